"""Resampling: images made larger or smaller, and elements moved between channels and pixels.

An axis at a time, every element of the result is a weighted sum of a few neighbours (`taps`): one
for 'nearest', two for 'linear', four for 'bicubic', and with `antialias` as many as a kernel
covers that grows with the step. The places of each tap do not decrease, so the transpose of taking
them is a sum over segments (see `adaptive.segments`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY
from .adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    along,
    column,
    segments,
    turned_bounds,
)
from .define import HALF, MOVE, function, op, scalar_name, wrap
from .norm import reuse

Taps = tuple[Any, Any]  # places and weights, each (taps, size); no weights: one tap of weight 1


# -- where an element comes from -------------------------------------------------------------------


def step_of(n: int, m: int, factor: float | None, align: bool, real: type) -> Any:
    """How far apart in the input neighbours in the output are."""
    if align:
        return real((n - 1) / (m - 1)) if m > 1 else real(0)
    return real(1 / factor) if factor else real(n) / real(m)


def nearest(n: int, m: int, factor: float | None, align: bool, real: type) -> Taps:
    """The element that the lower end of each element falls into."""
    at = np.arange(m)
    if m == n:
        return at[None], None
    if m == 2 * n and factor in (None, 2):
        return (at // 2)[None], None
    step = step_of(n, m, factor, False, np.float32)
    return np.minimum(np.floor(at.astype(np.float32) * step).astype(np.int64), n - 1)[None], None


def nearest_exact(n: int, m: int, factor: float | None, align: bool, real: type) -> Taps:
    """The element that the middle of each element falls into."""
    step = step_of(n, m, factor, False, np.float32)
    middle = (np.arange(m).astype(np.float32) + np.float32(0.5)) * step
    return np.minimum(np.floor(middle).astype(np.int64), n - 1)[None], None


def _middles(n: int, m: int, factor: float | None, align: bool, real: type) -> Any:
    """Where the middle of each element lies among the middles of the input's."""
    step = step_of(n, m, factor, align, real)
    at = np.arange(m).astype(real)
    return at * step if align else (at + real(0.5)) * step - real(0.5)


def linear(n: int, m: int, factor: float | None, align: bool, real: type) -> Taps:
    """The two neighbours, the nearer the heavier."""
    if m == n:
        return np.arange(m)[None], None
    middle = np.maximum(_middles(n, m, factor, align, real), real(0))
    low = np.minimum(np.floor(middle).astype(np.int64), n - 1)
    part = np.clip(middle - low.astype(real), real(0), real(1))
    return np.stack([low, np.minimum(low + 1, n - 1)]), np.stack([real(1) - part, part])


def cubic_weights(part: Any, a: float) -> list:
    """Keys's cubic convolution: the weights of four neighbours, `part` of the way between two."""

    def inner(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def outer(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [outer(part + 1), inner(part), inner(1 - part), outer(2 - part)]


def cubic(n: int, m: int, factor: float | None, align: bool, real: type) -> Taps:
    """Four neighbours, weighted by cubic convolution."""
    middle = _middles(n, m, factor, align, real)
    low = np.floor(middle)
    places = low.astype(np.int64) + np.arange(-1, 3)[:, None]
    return np.clip(places, 0, n - 1), np.stack(cubic_weights(middle - low, -0.75)).astype(real)


def _triangle(x: Any) -> Any:
    return np.maximum(1 - np.absolute(x), 0)


def _keys(x: Any) -> Any:
    x, a = np.absolute(x), -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: Any) -> Any:
    return np.where(np.absolute(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def smooth(kernel: Callable, reach: int) -> Callable:
    """Taps for `antialias`: `kernel`, `reach` wide to either side, stretched by steps above 1."""

    def taps(n: int, m: int, factor: float | None, align: bool, real: type) -> Taps:
        step = float(step_of(n, m, factor, align, real))
        stretch = max(step, 1.0)
        middle = step * (np.arange(m) + 0.5)
        first = np.maximum((middle - reach * stretch + 0.5).astype(np.int64), 0)
        count = np.minimum((middle + reach * stretch + 0.5).astype(np.int64), n) - first
        places = first + np.arange(int(count.max(initial=1)))[:, None]
        weights = kernel((places - middle + 0.5) / stretch) * (places < first + count)
        total = weights.sum(0)
        weights = weights / np.where(total == 0, 1, total)
        return np.minimum(places, n - 1), weights.astype(real)

    return taps


# -- the operators ---------------------------------------------------------------------------------


def resampled(x: Any, /, plan: tuple) -> Any:
    """`x` with each axis of the plan (axis, places, weights) made of its taps."""
    for axis, places, weights in plan:
        if weights is None:
            x = along(x, places[0], axis)
            continue
        total = None
        for place, weight in zip(places, weights, strict=True):
            part = reuse(np.multiply, along(x, place, axis), column(weight, axis, x.dtype))
            total = part if total is None else reuse(np.add, total, part)
        x = total
    return x


def resampled_bytes(x: Any, plan: tuple) -> Any:
    """`resampled` for uint8, as torch does it: weights as 16-bit fractions, each axis rounded."""
    for axis, places, weights in plan:
        if weights is None:
            x = along(x, places[0], axis)
            continue
        weights = _merged(places, weights.astype(np.float64))
        bits = _fraction_bits(float(weights.max(initial=0)))
        whole = np.trunc(weights * 2**bits + np.copysign(0.5, weights))
        total = np.full((), 1 << (bits - 1), np.int64)
        for place, weight in zip(places, whole, strict=True):
            total = total + along(x, place, axis) * column(weight, axis, np.int64)
        x = np.minimum(np.maximum(total >> bits, 0), 255).astype(np.uint8)
    return x


def _merged(places: Any, weights: Any) -> Any:
    """The weights of taps at one place (at the edges) put together on the first of them."""
    same = places[:, None] == places
    first = np.argmax(same, axis=1) == np.arange(len(places))[:, None]
    return np.where(first, (same * weights).sum(1), 0)


def _fraction_bits(largest: float) -> int:
    """How many binary places a weight may have and still fit 16 bits with its sign."""
    bits = 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    return bits


def taken_back(g: Any, x_shape: tuple, plan: tuple) -> Any:
    """The transpose of `resampled`."""
    for axis, places, weights in reversed(plan):
        total = None
        for i, place in enumerate(places):
            part = g if weights is None else g * column(weights[i], axis, g.dtype)
            part = segments(part, *turned_bounds(place, place + 1, x_shape[axis]), axis)
            total = part if total is None else total + part
        g = total
    return g


def _upsample_op(name: str) -> Callable:
    entry = op(
        resampled,
        name=name,
        promote=HALF,
        namespace="primitive",
        method=False,
        linear=True,
        node=name + "Backward0",
    )
    entry.vjp(taken_back)
    return entry


MODES: dict[tuple, tuple] = {
    **{("nearest", d): (nearest, f"UpsampleNearest{d}D") for d in (1, 2, 3)},
    **{("nearest-exact", d): (nearest_exact, f"UpsampleNearestExact{d}D") for d in (1, 2, 3)},
    ("linear", 1): (linear, "UpsampleLinear1D"),
    ("bilinear", 2): (linear, "UpsampleBilinear2D"),
    ("trilinear", 3): (linear, "UpsampleTrilinear3D"),
    ("bicubic", 2): (cubic, "UpsampleBicubic2D"),
}
SMOOTH: dict[str, tuple] = {
    "bilinear": (smooth(_triangle, 1), "UpsampleBilinear2DAa"),
    "bicubic": (smooth(_keys, 2), "UpsampleBicubic2DAa"),
    "lanczos": (smooth(_lanczos, 3), "UpsampleLanczos2DAa"),
}
UPSAMPLE = {name: _upsample_op(name) for _, name in (*MODES.values(), *SMOOTH.values())}
AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
DIMENSIONS = {"linear": 1, "bilinear": 2, "trilinear": 3}
ALL_MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"


def _sizes(input: Any, size: Any, scale_factor: Any) -> tuple[list, list]:
    """The size to make and the factors (None where the sizes say all), for each dimension."""
    dims, image = input.ndim - 2, list(input.shape[2:])
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    given = size if size is not None else scale_factor
    values = list(given) if isinstance(given, (tuple, list)) else [given] * dims
    word, name, letter = (
        ("size", "output size of ", "o")
        if size is not None
        else ("scale_factor", "scale_factor of shape ", "s")
    )
    if len(values) != dims:
        what = "output" if size is not None else "scale_factor"
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {image} and {name}{tuple(values)}. Please provide input tensor "
            f"in (N, C, d1, d2, ...,dK) format and {'output size' if letter == 'o' else word} in "
            f"({letter}1, {letter}2, ...,{letter}K) format."
        )
    if size is None:
        factors = [float(v) for v in values]
        return [math.floor(n * f) for n, f in zip(image, factors, strict=True)], factors
    for v in values:
        if isinstance(v, float) or not hasattr(v, "__index__"):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, "
                f"int, int], but got size with types {[type(v) for v in values]}"
            )
    return [int(v) for v in values], [None] * dims


def _check_mode(input: Any, mode: str, align_corners: bool | None, antialias: bool) -> None:
    dims = input.ndim - 2
    known = mode == "area" or (mode, dims) in MODES or (mode == "lanczos" and dims == 2)
    if antialias and not (mode in SMOOTH and dims == 2):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            "a 4-D tensor as input"
        )
    if mode == "lanczos" and dims == 2 and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and dims == 2 and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if mode in DIMENSIONS and dims in (1, 2, 3) and DIMENSIONS[mode] != dims:
        raise NotImplementedError(
            f"Got {dims + 2}D input, but {mode} mode needs {DIMENSIONS[mode] + 2}D input"
        )
    if not known or dims not in (1, 2, 3):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {dims + 2}D) for the "
            f"modes: {ALL_MODES} (got {mode})"
        )


def _check_input(input: Any, size: list, node: str) -> None:
    image, shape = list(input.shape[2:]), list(input.shape)
    if min(size) < 1 or min(image) < 1:
        letters = "DHW"[-len(size) :]
        given, wanted = [
            "(" + ", ".join(f"{a}: {n}" for a, n in zip(letters, values, strict=True)) + ")"
            for values in (image, size)
        ]
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input {given} output "
            f"{wanted}"
        )
    if shape[1] == 0:
        raise RuntimeError(
            f"Non-empty {len(shape)}D data tensor expected but got a tensor with sizes {shape}"
        )
    d = FROM_NUMPY[input._data.dtype]
    if not d.is_floating_point and d.name != "uint8":
        raise NotImplementedError(
            f"\"{node}_channels_last\" not implemented for '{scalar_name(d)}'"
        )


@function(method=False, namespace="nn.functional")
def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Signals, images or volumes (n, c, ...) resampled to `size`, or by `scale_factor`.

    `mode`: 'nearest', 'nearest-exact', 'linear', 'bilinear', 'trilinear', 'bicubic', 'area' (means
    of parts) or, with `antialias`, 'lanczos'. With `align_corners` the middles of the corner
    elements stay where they are, else the corners themselves do.
    """
    if align_corners is not None and mode in ("nearest", "area", "nearest-exact"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    sizes, factors = _sizes(input, size, scale_factor)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    _check_mode(input, mode, align_corners, antialias)
    if mode == "area":
        return AREA[input.ndim - 2](input, sizes)
    taps, node = SMOOTH[mode] if antialias else MODES[mode, input.ndim - 2]
    _check_input(input, sizes, _snake(node))
    if recompute_scale_factor:
        factors = [None] * len(sizes)
    real = np.float64 if input._data.dtype in (np.float64, np.uint8) else np.float32
    rows = zip(range(-len(sizes), 0), input.shape[2:], sizes, factors, strict=True)
    plan = [(axis, *taps(n, m, f, bool(align_corners), real)) for axis, n, m, f in rows]
    if input._data.dtype == np.uint8:
        return wrap(resampled_bytes(input._data, tuple(reversed(plan))))
    return UPSAMPLE[node](input, tuple(reversed(plan)))


def _snake(node: str) -> str:
    """torch's kernel name, as its messages use it."""
    name = node.replace("Upsample", "upsample_").replace("NearestExact", "nearest_exact")
    return name.lower()


def _deprecated(name: str, stacklevel: int = 3) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=stacklevel,
    )


@function(method=False, namespace="nn.functional")
def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """The old name of `interpolate`."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@function(method=False, namespace="nn.functional")
def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode 'nearest'."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


@function(method=False, namespace="nn.functional")
def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode 'bilinear' and the corners aligned."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


# -- channels and pixels ---------------------------------------------------------------------------


def _shuffled(x: Any, r: int) -> Any:
    """(..., c r^2, h, w) as (..., c, h r, w r)."""
    lead, (c, h, w) = x.shape[:-3], x.shape[-3:]
    n = len(lead)
    parts = x.reshape(*lead, c // (r * r), r, r, h, w)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return parts.transpose(order).copy().reshape(*lead, c // (r * r), h * r, w * r)


def _unshuffled(x: Any, r: int) -> Any:
    """(..., c, h r, w r) as (..., c r^2, h, w)."""
    lead, (c, h, w) = x.shape[:-3], x.shape[-3:]
    n = len(lead)
    parts = x.reshape(*lead, c, h // r, r, w // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return parts.transpose(order).copy().reshape(*lead, c * r * r, h // r, w // r)


def _check_shuffle(name: str, x: Any, r: int, label: str) -> None:
    if x.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} "
            "dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"{name} expects a positive {label}, but got {r}")


@op(promote=MOVE, method=False, linear=True, alias="nn.functional.pixel_shuffle")
def pixel_shuffle(x: Any, /, upscale_factor: int) -> Any:
    """(..., c r^2, h, w) as (..., c, h r, w r), for r = `upscale_factor`."""
    _check_shuffle("pixel_shuffle", x, upscale_factor, "upscale_factor")
    square = upscale_factor**2
    if x.shape[-3] % square:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={x.shape[-3]} is not divisible by {square}"
        )
    return _shuffled(x, upscale_factor)


@pixel_shuffle.vjp
def _(g, upscale_factor):
    return _unshuffled(g, upscale_factor)


@op(promote=MOVE, method=False, linear=True, alias="nn.functional.pixel_unshuffle")
def pixel_unshuffle(x: Any, /, downscale_factor: int) -> Any:
    """(..., c, h r, w r) as (..., c r^2, h, w), for r = `downscale_factor`."""
    _check_shuffle("pixel_unshuffle", x, downscale_factor, "downscale_factor")
    for label, axis in (("height", -2), ("width", -1)):
        if x.shape[axis] % downscale_factor:
            raise RuntimeError(
                f"pixel_unshuffle expects {label} to be divisible by downscale_factor, but "
                f"input.size({axis})={x.shape[axis]} is not divisible by {downscale_factor}"
            )
    return _unshuffled(x, downscale_factor)


@pixel_unshuffle.vjp
def _(g, downscale_factor):
    return _shuffled(g, downscale_factor)


def _regrouped(x: Any, groups: int) -> Any:
    """Channels in `groups` rows, read by columns."""
    n, c = x.shape[:2]
    rest = x.shape[2:]
    parts = x.reshape(n, groups, c // groups, *rest).swapaxes(1, 2)
    return parts.copy().reshape(x.shape)


@op(
    promote=MOVE,
    method=False,
    linear=True,
    alias="nn.functional.channel_shuffle native_channel_shuffle "
    "nn.functional.native_channel_shuffle",
)
def channel_shuffle(x: Any, /, groups: int) -> Any:
    """The channels of (n, c, ...), in `groups` groups, taken from each group in turn."""
    if x.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(x.shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if x.shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {x.shape[1]} channels and "
            f"{groups} groups."
        )
    return _regrouped(x, groups)


@channel_shuffle.vjp
def _(g, groups):
    return _regrouped(g, g.shape[1] // groups)
