"""Sampling images at places of a grid: grid_sample, and the grids of affine maps.

A place x along an axis, from -1 to 1, is turned into a position among the elements; each position
has a few taps (an element's number, its weight, and the weight's derivative), and a place in n
dimensions the products of the taps of its axes. The sample is the weighted sum of what the taps
find, zero outside. The numbers are constants; so the rules, written with weights and slopes as
functions of the grid, serve derivatives of any order.
"""

from __future__ import annotations

import math
import warnings
from itertools import product
from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY, HALVES
from .define import HALF, function, op, scalar_name
from .places import put_add
from .resample import cubic_weights

Axis = list[tuple[Any, Any, Any]]  # taps: numbers, weights, slopes
MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def position(place: Any, n: int, align: bool) -> tuple[Any, float]:
    """Where a place in [-1, 1] lies among n elements, and the derivative."""
    if align:
        return (place + 1) * ((n - 1) / 2), (n - 1) / 2
    return ((place + 1) * n - 1) * 0.5, n / 2


def mirrored(at: Any, n: int, align: bool) -> tuple[Any, Any]:
    """A position reflected into the range of n elements, and the derivative, 1 or -1."""
    low, high = (0, 2 * (n - 1)) if align else (-1, 2 * n - 1)
    if low == high:
        return at * 0, 0
    start, span = low / 2, (high - low) / 2
    away = np.absolute(at - start)
    flips = np.floor(away / span)
    rest = away - flips * span
    even = (flips % 2) == 0
    sign = np.where(at < start, -1.0, 1.0) * np.where(even, 1.0, -1.0)
    return np.where(even, rest + start, span - rest + start), sign.astype(at.dtype)


def bounded(at: Any, n: int, padding: str, align: bool) -> tuple[Any, Any]:
    """A position brought inside, as the padding says, and the derivative."""
    sign: Any = 1
    if padding == "zeros":
        return at, sign
    if padding == "reflection":
        at, sign = mirrored(at, n, align)
    within = (at > 0) & (at < n - 1)
    return np.minimum(np.maximum(at, at.dtype.type(0)), at.dtype.type(n - 1)), sign * within


def taps_of(place: Any, n: int, mode: str, padding: str, align: bool) -> Axis:
    """The taps along one axis."""
    at, slope = position(place, n, align)
    if mode == "bicubic":
        low = np.floor(at)
        part = at - low
        weights, slopes = cubic_weights(part, -0.75), cubic_slopes(part, -0.75)
        numbers = [bounded(low + k, n, padding, align)[0] for k in range(-1, 3)]
        rows = zip(numbers, weights, slopes, strict=True)
        return [(number, w, s * slope) for number, w, s in rows]
    at, sign = bounded(at, n, padding, align)
    if mode == "nearest":
        number = np.rint(at)
        return [(number, number * 0 + 1, number * 0)]
    low = np.floor(at)
    slope = slope * sign * (low * 0 + 1)
    return [(low, 1 - (at - low), -slope), (low + 1, at - low, slope)]


def cubic_slopes(part: Any, a: float) -> list:
    """The derivatives of `resample.cubic_weights`."""

    def inner(x: Any) -> Any:
        return (3 * (a + 2) * x - 2 * (a + 3)) * x

    def outer(x: Any) -> Any:
        return (3 * a * x - 10 * a) * x + 8 * a

    return [outer(part + 1), inner(part), -inner(1 - part), -outer(2 - part)]


def numbers_of(at: Any, n: int) -> tuple[Any, Any]:
    """Positions as element numbers, and which of them exist."""
    exists = (at >= 0) & (at <= n - 1)
    return np.where(exists, at, 0).astype(np.int64), exists


def corners(image: tuple, axes: list[Axis]) -> list[tuple[Any, Any, list]]:
    """All combinations of taps: (places in the flattened image, weight, slope by each axis)."""
    out = []
    for taps in product(*axes):
        flat: Any = 0
        exists: Any = True
        for n, (at, _, _) in zip(image, taps, strict=True):
            number, there = numbers_of(at, n)
            flat, exists = flat * n + number, exists & there
        weights = [w for _, w, _ in taps]
        slopes = [
            _kept(exists, _times([*weights[:k], s, *weights[k + 1 :]]))
            for k, (_, _, s) in enumerate(taps)
        ]
        out.append((flat, _kept(exists, _times(weights)), slopes))
    return out


def _times(factors: list) -> Any:
    total = factors[0]
    for f in factors[1:]:
        total = total * f
    return total


def _kept(exists: Any, x: Any) -> Any:
    return np.where(exists, x, x.dtype.type(0))


def _corners(x_shape: tuple, grid: Any, mode: str, padding: str, align: bool) -> list:
    """`corners` of a grid (n, ..., axes), its places in one row for each example."""
    image = x_shape[2:]
    places = grid.reshape(grid.shape[0], math.prod(grid.shape[1:-1]), grid.shape[-1])
    order = reversed(range(len(image)))  # the last axis of the image comes first in the grid
    rows = zip(image, order, strict=True)
    axes = [taps_of(places[:, :, k], n, mode, padding, align) for n, k in rows]
    return corners(image, axes)


def _found(x: Any, flat: Any) -> Any:
    """What stands at places (n, positions) of images (n, c, size): (n, c, positions)."""
    if type(x) is type(flat) is np.ndarray and len(x):
        return np.concatenate([image.take(at, 1)[None] for image, at in zip(x, flat, strict=True)])
    shape = (x.shape[0], x.shape[1], flat.shape[1])
    return np.take_along_axis(x, np.broadcast_to(flat[:, None], shape), 2)


def sampled(x: Any, grid: Any, /, mode: str, padding: str, align: bool) -> Any:
    """Images (n, c, ...) at the places of a grid (n, ..., axes): (n, c, ...)."""
    rows = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    total = None
    for flat, weight, _ in _corners(x.shape, grid, mode, padding, align):
        part = _found(rows, flat) * weight[:, None]
        total = part if total is None else total + part
    return total.reshape(*x.shape[:2], *grid.shape[1:-1])


def to_image(g: Any, grid: Any, x_shape: tuple, mode: str, padding: str, align: bool) -> Any:
    """The cotangent of the images."""
    n, c, size = x_shape[0], x_shape[1], math.prod(x_shape[2:])
    g = g.reshape(n, c, math.prod(g.shape[2:]))
    first = np.arange(n * c).reshape(n, c, 1) * size
    total = None
    for flat, weight, _ in _corners(x_shape, grid, mode, padding, align):
        places = (first + flat[:, None]).reshape(-1)
        part = put_add((g * weight[:, None]).reshape(-1), places, (n * c * size,))
        total = part if total is None else total + part
    return total.reshape(x_shape)


def to_grid(g: Any, x: Any, grid: Any, mode: str, padding: str, align: bool) -> Any:
    """The cotangent of the grid."""
    rows = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    g = g.reshape(*x.shape[:2], math.prod(g.shape[2:]))
    totals: list = [0] * (x.ndim - 2)
    for flat, _, slopes in _corners(x.shape, grid, mode, padding, align):
        along = np.add.reduce(g * _found(rows, flat), axis=1)
        totals = [t + along * s for t, s in zip(totals, slopes, strict=True)]
    return np.concatenate([t[..., None] for t in reversed(totals)], axis=-1).reshape(grid.shape)


def _sampler(dims: int) -> Any:
    entry = op(
        sampled,
        name=f"grid_sampled{dims}d",
        promote=HALF,
        namespace="primitive",
        method=False,
        node=f"GridSampler{dims}DBackward0",
    )
    entry.vjp(to_image)
    entry.vjp(to_grid)
    return entry


SAMPLERS = {dims: _sampler(dims) for dims in (2, 3)}


def _check_grid(x: Any, grid: Any, mode: str) -> None:
    shape, other = list(x.shape), list(grid.shape)
    sizes = f"but got input with sizes {shape} and grid with sizes {other}"
    if shape[0] != other[0]:
        raise RuntimeError(
            f"grid_sampler(): expected grid and input to have same batch size, {sizes}"
        )
    if other[-1] != len(shape) - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {len(shape) - 2} in last dimension, but "
            f"got grid with sizes {other}"
        )
    for i, n in enumerate(shape[2:], 2):
        if n == 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input "
                f"has sizes {shape} with dimension {i} being empty"
            )
    if len(shape) not in (4, 5) or len(shape) != len(other):
        rank = len(shape) if len(shape) in (4, 5) else "4D or 5"
        raise RuntimeError(
            f"grid_sampler(): expected {rank}D input and grid with same number of dimensions, "
            f"{sizes}"
        )
    if len(shape) == 5 and mode == "bicubic":
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    a, b = FROM_NUMPY[x._data.dtype], FROM_NUMPY[grid._data.dtype]
    if not a.is_floating_point:
        name = f"grid_sampler_{len(shape) - 2}d_cpu"
        raise NotImplementedError(f"\"{name}_kernel_impl\" not implemented for '{scalar_name(a)}'")
    if a is not b:
        raise RuntimeError(f"expected scalar type {scalar_name(a)} but found {scalar_name(b)}")


def _aligned(align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
            "1.3.0. Please specify align_corners=True if the old behavior is desired. See the "
            "documentation of grid_sample for details.",
            stacklevel=3,
        )
    return bool(align_corners)


@function(method=False, namespace="nn.functional")
def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """Images (n, c, h, w) or volumes at the places of `grid` (n, ..., 2 or 3), in [-1, 1].

    The grid's last dimension is (x, y) or (x, y, z). `mode`: 'bilinear', 'nearest' or 'bicubic';
    `padding_mode` outside: 'zeros', 'border' or 'reflection'. With `align_corners` -1 and 1 are the
    middles of the corner elements, else their outer edges.
    """
    if mode not in MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    align = _aligned(align_corners)
    return _sample(input, grid, mode, padding_mode, align)


def _sample(x: Any, grid: Any, mode: str, padding: str, align: bool) -> Any:
    _check_grid(x, grid, mode)
    return SAMPLERS[x.ndim - 2](x, grid, mode, padding, align)


@function(method=False)
def grid_sampler(
    input: Any,
    grid: Any,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Any:
    """`nn.functional.grid_sample` with modes given as numbers."""
    return _sample(input, grid, MODES[interpolation_mode], PADDINGS[padding_mode], align_corners)


@function(method=False)
def grid_sampler_2d(
    input: Any,
    grid: Any,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Any:
    """`nn.functional.grid_sample` of images with modes given as numbers."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


@function(method=False)
def grid_sampler_3d(
    input: Any,
    grid: Any,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Any:
    """`nn.functional.grid_sample` of volumes with modes given as numbers."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


# -- affine maps -----------------------------------------------------------------------------------


def _base(size: tuple, align: bool, dtype: Any) -> Any:
    """The places (x, y, ..., 1) of all elements of an image, one in each row."""
    along = []
    for n in size:
        edge = 1 if align else (n - 1) / n
        along.append(np.linspace(-edge, edge, n) if n > 1 else np.zeros(1))
    grids = np.meshgrid(*along, indexing="ij")
    rows = np.stack([*reversed(grids), np.ones(size)], axis=-1)
    return rows.reshape(-1, len(size) + 1).astype(dtype)


@op(
    namespace="primitive",
    method=False,
    linear=True,
    node="AffineGridGeneratorBackward0",
)
def affine_places(x: Any, /, base: Any, size: tuple) -> Any:
    """The places to which affine maps (n, axes, axes + 1) take the elements of an image."""
    places = np.matmul(base, x.swapaxes(1, 2))
    return places.reshape(x.shape[0], *size, len(size))


@affine_places.vjp
def _(g, base, size):
    rows = g.reshape(g.shape[0], math.prod(size), len(size))
    return np.matmul(rows.swapaxes(1, 2), base.astype(g.dtype))


@function(method=False, namespace="nn.functional")
def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The grid for `grid_sample` of affine maps `theta` (n, 2, 3) or (n, 3, 4): (n, ..., axes).

    `size` is that of the images to make, (n, c, h, w) or (n, c, d, h, w).
    """
    size = tuple([int(n) for n in size])
    align = _aligned(align_corners)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    k = len(size) - 2
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (k, k + 1):
        raise ValueError(
            f"Expected a batch of {k}D affine matrices of shape Nx{k}x{k + 1} for size {size}. Got "
            f"{theta.shape}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return affine_grid_generator(theta, size, align)


@function(method=False)
def affine_grid_generator(theta: Any, size: Any, align_corners: bool) -> Any:
    """`nn.functional.affine_grid`."""
    if theta.shape[0] != size[0]:
        k = theta.shape[2]
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{size[0]}, {k}] but "
            f"got: [{theta.shape[0]}, {k}]."
        )
    base = _base(tuple(size[2:]), align_corners, HALVES.get(theta._data.dtype, theta._data.dtype))
    return affine_places(theta, base, tuple(size[2:]))
