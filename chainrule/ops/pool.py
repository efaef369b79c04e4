"""Pooling: maximum and mean over the windows of the last dimensions, and the windows themselves (unfold, fold).

For each place in a window, one strided slice of the image holds what all windows have there. So a maximum or a sum over
windows is that of a few slices. Two primitives, `windows` and its transpose `overlap` (windows added where they lie), give
the derivatives; what a maximum picked is remembered as places in the flattened image, as torch's indices are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from .conv import Sizes, add_windows, sliding
from .define import HALF, Tensor, function, not_a_tensor, op, primitive, put, put_add, scalar_name, state
from .padding import surrounded
from ..dtypes import FROM_NUMPY

FEW = 4  # elements that are added one by one, sooner than by np.add.reduceat
WORDS = {1: "one int", 2: "two ints", 3: "three ints"}


@primitive(linear=True)
def windows(x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """The windows of `x`: its last axes become (*kernel, *size)."""
    return sliding(x, kernel, size, stride, dilation)


@primitive(linear=True)
def overlap(x: Any, /, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Windows (*kernel, *size as the last axes) added where they lie in images of `size`: the transpose of `windows`."""
    out = np.zeros((*x.shape[: -2 * len(size)], *size), x.dtype)
    add_windows(out, x, stride, dilation)
    return out


@windows.vjp
def _(g, x_shape, kernel, stride, dilation):
    return overlap(g, x_shape[-len(kernel) :], stride, dilation)


@overlap.vjp
def _(g, x_shape, stride, dilation):
    n = len(stride)
    return windows(g, x_shape[-2 * n : -n], x_shape[-n:], stride, dilation)


def slices(x: Any, kernel: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Iterator[tuple[Sizes, Any]]:
    """For each place in a window, what all windows have there."""
    for place in product(*[range(k) for k in kernel]):
        spots = zip(place, dilation, size, stride, strict=True)
        yield place, x[(..., *[slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in spots])]


def margins(image: Sizes, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> list[int]:
    """torch's list of pads that lets all windows fit (those of `ceil_mode` may reach further)."""
    pads = []
    for n, k, m, s, p, d in zip(image, kernel, size, stride, padding, dilation, strict=True):
        pads.append((p, max((m - 1) * s + d * (k - 1) + 1 - n - p, 0)))
    return [p for pair in reversed(pads) for p in pair]


def framed(x: Any, pads: list[int], value: Any = 0) -> Any:
    """`surrounded`, without a copy where there is nothing to do."""
    return surrounded(x, pads, value) if any(pads) else x


# -- unfold and fold -------------------------------------------------------------------------------------------------


@op(promote=HALF, namespace="primitive", method=False, linear=True, node="Im2ColBackward0")
def im2col(x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """The windows of images (..., c, h, w) as columns (..., c * kernel, positions)."""
    x = framed(x, [p for p in reversed(padding) for _ in (0, 1)])
    parts = windows(x, kernel, size, stride, dilation)
    return parts.reshape(*x.shape[:-3], x.shape[-3] * math.prod(kernel), math.prod(size))


@op(promote=HALF, namespace="primitive", method=False, linear=True, node="Col2ImBackward0")
def col2im(x: Any, /, image: Sizes, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """Columns (..., c * kernel, positions) added where they lie in images (..., c, h, w)."""
    parts = x.reshape(*x.shape[:-2], x.shape[-2] // math.prod(kernel), *kernel, *size)
    out = overlap(parts, tuple([n + 2 * p for n, p in zip(image, padding, strict=True)]), stride, dilation)
    return out[(..., *[slice(p, p + n) for n, p in zip(image, padding, strict=True)])]


@im2col.vjp
def _(g, x_shape, kernel, size, stride, padding, dilation):
    return col2im.op.kernel(g, x_shape[-2:], kernel, size, stride, padding, dilation)


@col2im.vjp
def _(g, kernel, size, stride, padding, dilation):
    return im2col.op.kernel(g, kernel, size, stride, padding, dilation)


def pair(value: Any, name: str) -> Sizes:
    """An int or two ints as two ints, for unfold and fold."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) not in (1, 2):
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(values)}")
    return tuple([int(v) for v in (values * 2)[:2]])


def _check_unfold(**given: Sizes) -> None:
    for name, label, low, (h, w) in (
        ("kernel_size", "kernel", 1, given["kernel"]), ("dilation", "dilation", 1, given["dilation"]),
        ("padding", "pad", 0, given["padding"]), ("stride", "stride", 1, given["stride"]),
    ):  # fmt: skip
        if h < low or w < low:
            what = name.replace("_", " ") + " should be " + ("greater than zero" if low else "non-negative")
            raise RuntimeError(f"{what}, but got {label}_height: {h} {label}_width: {w}")


def _blocks(image: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    rows = zip(image, kernel, stride, padding, dilation, strict=True)
    return tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in rows])


@function(method=False, namespace="nn.functional")
def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of images (n, c, h, w) or (c, h, w) as columns: (n, c * kernel elements, windows)."""
    kernel, stride = pair(kernel_size, "kernel_size"), pair(stride, "stride")
    padding, dilation = pair(padding, "padding"), pair(dilation, "dilation")
    _check_unfold(kernel=kernel, dilation=dilation, padding=padding, stride=stride)
    shape = list(input.shape)
    if input.ndim not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
                           f"input, but got: {shape}")  # fmt: skip
    size = _blocks(shape[-2:], kernel, stride, padding, dilation)
    if min(size) < 1:
        raise RuntimeError(f"Given input with spatial size ({shape[-2]}, {shape[-1]}), kernel_size={kernel}, dilation={dilation}, "
                           f"padding={padding}, calculated shape of the array of sliding blocks as {size}, but its components "
                           "must be at least one.")  # fmt: skip
    refuse(input, "im2col_out_cpu", "i")
    return im2col(input, kernel, size, stride, padding, dilation)


@function(method=False, namespace="nn.functional")
def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns (n, c * kernel elements, windows) added up where the windows lie in images (n, c, *output_size)."""
    image, kernel, stride = pair(output_size, "output_size"), pair(kernel_size, "kernel_size"), pair(stride, "stride")
    padding, dilation = pair(padding, "padding"), pair(dilation, "dilation")
    _check_unfold(kernel=kernel, dilation=dilation, padding=padding, stride=stride)
    shape = list(input.shape)
    if input.ndim not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions "
                           f"for input, but got: {shape}")  # fmt: skip
    at = input.ndim - 2
    if shape[at] % math.prod(kernel):
        raise RuntimeError(f"Expected size of input's dimension {at} to be divisible by the product of kernel_size, but got "
                           f"input.size({at})={shape[at]} and kernel_size={kernel}.")  # fmt: skip
    size = _blocks(image, kernel, stride, padding, dilation)
    if shape[at + 1] != size[0] * size[1] or min(size) < 1:
        raise RuntimeError(f"Given output_size={image}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
                           f"stride={stride}, expected size of input's dimension {at + 1} to match the calculated number of "
                           f"sliding blocks {size[0]} * {size[1]} = {size[0] * size[1]}, but got "
                           f"input.size({at + 1})={shape[at + 1]}.")  # fmt: skip
    refuse(input, "col2im_out_cpu", "i")
    return col2im(input, image, kernel, size, stride, padding, dilation)


# -- arguments -------------------------------------------------------------------------------------------------------


def ints(name: str, dims: int, argument: str, value: Any) -> Sizes:
    """One of a pooling's arguments, an int or several, as one int for each dimension."""
    values = list(value) if isinstance(value, (tuple, list)) else [value]
    for v in values:
        if isinstance(v, float) or not hasattr(v, "__index__"):
            raise TypeError(f"{name}(): argument '{argument}' must be tuple of ints, not {type(v).__name__}")
    if len(values) not in (1, dims):
        if dims == 1:
            raise RuntimeError(f"{name}() {argument} must be an int, list of ints or tuple of ints of size 1 but got size {len(values)}")
        omitted = "be omitted, a single int," if argument == "stride" else "be a single int,"
        raise RuntimeError(f"{name}: {argument} must either {omitted} or a tuple of {WORDS[dims]}")
    return tuple([int(v) for v in values]) * (dims if len(values) == 1 else 1)


def _check_pool(kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> None:
    """Raise torch's error for arguments of a pooling that make no sense."""
    axes = ("T", "H", "W")[-len(kernel) :]
    if any(s == 0 for s in stride):
        raise RuntimeError("stride should not be zero")
    for what, label, values in (("kernel size", "k", kernel), ("stride", "d", stride), ("dilation", "dilation", dilation)):
        if any(v <= 0 for v in values):
            got = " ".join(f"{label}{a}: {v}" for a, v in zip(axes, values, strict=True))
            raise RuntimeError(f"{what} should be greater than zero, but got {got}")
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                               f"dilation={d}")  # fmt: skip


def pooled_size(image: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool) -> Sizes:
    """How many windows there are; with `ceil_mode` also those that begin inside and end outside."""
    size = []
    for n, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True):
        m = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        size.append(m - 1 if ceil_mode and (m - 1) * s >= n + p else m)
    return tuple(size)


def _geometry(name: str, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> tuple:
    """The checked arguments of a pooling over as many dimensions as `name` says: kernel, size, stride, padding, dilation."""
    dims = int(name[-2])
    if not isinstance(input, Tensor):
        raise not_a_tensor(name, "input", 1, input)
    kernel = ints(name, dims, "kernel_size", kernel_size)
    empty = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    stride = kernel if empty else ints(name, dims, "stride", stride)
    padding, dilation = ints(name, dims, "padding", padding), ints(name, dims, "dilation", dilation)
    shape = list(input.shape)
    _check_pool(kernel, stride, padding, dilation)
    if dims > 1 and "max" in name and len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for input")
    if len(shape) not in (dims + 1, dims + 2) or 0 in shape[-dims - 1 :]:
        raise RuntimeError(("max_pool1d: " if name == "max_pool1d" else "") + f"Expected {dims + 1}D or {dims + 2}D (batch mode) "
                           f"tensor with optional 0 dim batch size for input, but got:{shape}")  # fmt: skip
    size = pooled_size(tuple(shape[-dims:]), kernel, stride, padding, dilation, ceil_mode)
    if min(size) < 1:
        channels = shape[-dims - 1]
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, (channels, *shape[-dims:])))}). Calculated output size: "
                           f"({'x'.join(map(str, (channels, *size)))}). Output size is too small")  # fmt: skip
    return kernel, size, stride, padding, dilation


# -- maximum ---------------------------------------------------------------------------------------------------------


def outdone(best: Any, places: Any, rival: Any, its_places: Any) -> tuple[Any, Any]:
    """The larger of two and where it stands; of equals the first, of NaNs the last, and NaN beats all, as in torch."""
    wins = (rival > best) | (rival != rival)
    return np.where(wins, rival, best), np.where(wins, its_places, places)


def lowest(dtype: np.dtype) -> Any:
    """What every number of a dtype is at least."""
    return -math.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _starts(image: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> list:
    """Along each axis, the first place inside the image that each window looks at."""
    out = []
    for m, s, p, d in zip(size, stride, padding, dilation, strict=True):
        start = np.arange(m) * s - p
        out.append(np.where(start < 0, start + -(start // d) * d, start))
    return out


def _flat(image: Sizes, along: list) -> Any:
    """Places along each axis as places in the flattened image."""
    total = along[0]
    for n, a in zip(image[1:], along[1:], strict=True):
        total = np.add.outer(total * n, a)
    return total


def largest(x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """The largest of each window, and its place in the flattened image."""
    image = x.shape[-len(kernel) :]
    padded = framed(x, margins(image, kernel, size, stride, padding, dilation), lowest(x.dtype))
    best, places = lowest(x.dtype), _flat(image, _starts(image, size, stride, padding, dilation))
    for place, rival in slices(padded, kernel, size, stride, dilation):
        rows = zip(place, size, stride, padding, dilation, strict=True)
        best, places = outdone(best, places, rival, _flat(image, [np.arange(m) * s - p + k * d for k, m, s, p, d in rows]))
    return (best, places), places


def largest_values(x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """The largest of each window."""
    padded = framed(x, margins(x.shape[-len(kernel) :], kernel, size, stride, padding, dilation), lowest(x.dtype))
    return functools.reduce(np.maximum, [s for _, s in slices(padded, kernel, size, stride, dilation)])


def put_back(g: Any, x_shape: tuple, extra: Any, dims: int) -> Any:
    """The cotangent of images from that of what a maximum picked, at its places in each flattened image."""
    images, size = math.prod(x_shape[:-dims]), math.prod(x_shape[-dims:])
    places = extra.reshape(images, math.prod(extra.shape[-dims:])) + np.arange(0, images * size, max(size, 1))[:, None]
    return put_add(g.reshape(-1), places.reshape(-1), (images * size,)).reshape(x_shape)


def picked(g: Any, x_shape: tuple, places: Any, dims: int) -> Any:
    """What stands at places of flattened images: the transpose of `put_back`."""
    images = math.prod(x_shape[:-dims])
    flat = g.reshape(images, math.prod(g.shape[-dims:]))
    return np.take_along_axis(flat, places.reshape(images, math.prod(x_shape[-dims:])), 1).reshape(x_shape)


def _largest_op(dims: int) -> Callable:
    entry = op(largest, name=f"max_pool{dims}d_with_indices", namespace="primitive", method=False, extra=True,
               node=f"MaxPool{dims}DWithIndicesBackward0")  # fmt: skip
    entry.vjp(lambda g, x_shape, extra, kernel: put_back(g, x_shape, extra, len(kernel)))
    return entry


LARGEST = {dims: _largest_op(dims) for dims in (2, 3)}
VALUES = op(largest_values, name="max_pool_values", namespace="primitive", method=False)


def _apply(entries: dict, input: Any, geometry: tuple, *rest: Any) -> Any:
    """A pooling operator on an input of its dimensions; signals are images of one row."""
    dims = len(geometry[0])
    if dims > 1:
        return entries[dims](input, *geometry, *rest)
    kernel, size, stride, padding, dilation = geometry
    out = entries[2](input.unsqueeze(-2), (1, *kernel), (1, *size), (1, *stride), (0, *padding), (1, *dilation), *rest)
    return tuple([t.squeeze(-2) for t in out]) if isinstance(out, tuple) else out.squeeze(-2)


def _max_pool(name: str, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
              return_indices: bool) -> Any:  # fmt: skip
    """A maximum over windows; `name` says over how many dimensions."""
    geometry = _geometry(name, input, kernel_size, stride, padding, dilation, ceil_mode)
    refuse(input, name, "bc")
    if not return_indices and not (state.grad and input.requires_grad):
        return VALUES(input, *geometry)
    values, places = _apply(LARGEST, input, geometry)
    return (values, places) if return_indices else values


def refuse(x: Any, name: str, categories: str) -> None:
    """Raise torch's error for dtypes of some categories (b, i, f, c)."""
    d = FROM_NUMPY[x._data.dtype]
    if "bifc"[d.category] in categories:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")


def _pool_functions(name: str, doc: str) -> None:
    def pool(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
             return_indices: bool = False) -> Any:  # fmt: skip
        return _max_pool(name, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)

    def with_indices(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                     ceil_mode: bool = False, return_indices: bool = True) -> Any:  # fmt: skip
        return _max_pool(name, input, kernel_size, stride, padding, dilation, ceil_mode, True)

    publish(pool, name, doc)
    publish(with_indices, name + "_with_indices", doc)


def publish(f: Callable, name: str, doc: str, alias: str = "torch.") -> None:
    """Register one of a family of functions that differ by the number of dimensions."""
    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    function(f, method=False, namespace="nn.functional", alias=alias + name if alias else "")


for _dims, _of in ((1, "signals (n, c, length)"), (2, "images (n, c, h, w)"), (3, "volumes (n, c, d, h, w)")):
    _pool_functions(f"max_pool{_dims}d", f"The largest element of each window of {_of}, the batch dimension optional.\n\n"
                    "`padding` adds places that never win; `return_indices` also returns where in each flattened image the "
                    "largest stood; with `ceil_mode` windows may end outside.")  # fmt: skip


# -- mean ------------------------------------------------------------------------------------------------------------


def counts(image: Sizes, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, include_pad: bool) -> Any:
    """How many elements each window's mean is over: a number, or an array of the windows' shape if they differ."""
    along = []
    for n, k, m, s, p in zip(image, kernel, size, stride, padding, strict=True):
        first = np.arange(m) * s - p
        last = np.minimum(first + k, n + p)
        along.append(last - first if include_pad else np.minimum(last, n) - np.maximum(first, 0))
    if all((a == a[0]).all() for a in along):
        return math.prod(int(a[0]) for a in along)
    return functools.reduce(np.multiply.outer, along)


def window_mean(x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, divisor: Any) -> Any:
    """The sum of each window over `divisor`."""
    x = framed(x, margins(x.shape[-len(kernel) :], kernel, size, stride, padding, dilation))
    total = functools.reduce(np.add, [s for _, s in slices(x, kernel, size, stride, dilation)])
    divisor = np.asarray(divisor).astype(x.dtype)
    if x.dtype.kind in "iu":
        return np.sign(total) * np.sign(divisor) * (np.absolute(total) // np.absolute(divisor))
    return total / divisor


def spread_mean(g: Any, x_shape: tuple, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
                divisor: Any) -> Any:  # fmt: skip
    """The transpose of `window_mean`."""
    n = len(kernel)
    pads = margins(x_shape[-n:], kernel, size, stride, padding, dilation)
    framed_size = tuple([a + pads[2 * i] + pads[2 * i + 1] for i, a in zip(reversed(range(n)), x_shape[-n:], strict=True)])
    g = g / np.asarray(divisor).astype(g.dtype)
    lead = g.shape[:-n]
    parts = np.broadcast_to(g.reshape((*lead, *(1,) * n, *size)), (*lead, *kernel, *size))
    return framed(overlap(parts, framed_size, stride, dilation), [-p for p in pads])


def _mean_op(dims: int) -> Callable:
    entry = op(window_mean, name=f"window_mean{dims}d", namespace="primitive", method=False, linear=True,
               node=f"AvgPool{dims}DBackward0")  # fmt: skip
    entry.vjp(spread_mean)
    return entry


MEANS = {dims: _mean_op(dims) for dims in (2, 3)}


def _avg_pool(name: str, input: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
              divisor_override: int | None) -> Any:  # fmt: skip
    """A mean over windows; `name` says over how many dimensions."""
    geometry = _geometry(name, input, kernel_size, stride, padding, 1, ceil_mode)
    if input._data.dtype.kind in "bu" or input._data.dtype.itemsize < 8:
        refuse(input, name.replace("1", "2"), "bi")
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    kernel, size, stride, padding, _ = geometry
    image = tuple(input.shape)[-len(kernel) :]
    divisor = divisor_override or counts(image, kernel, size, stride, padding, count_include_pad)
    if len(kernel) == 1 and isinstance(divisor, np.ndarray):
        divisor = divisor[None]
    return _apply(MEANS, input, geometry, divisor)


@function(method=False, namespace="nn.functional", alias="torch.avg_pool1d")
def avg_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Any:  # fmt: skip
    """The mean of each window of signals (n, c, length) or (c, length)."""
    return _avg_pool("avg_pool1d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@function(method=False, namespace="nn.functional")
def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:  # fmt: skip
    """The mean of each window of images (n, c, h, w) or (c, h, w).

    The zeros of `padding` count, unless `count_include_pad` is False; `divisor_override` divides the sums instead.
    """
    return _avg_pool("avg_pool2d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@function(method=False, namespace="nn.functional")
def avg_pool3d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Any:  # fmt: skip
    """The mean of each window of volumes (n, c, d, h, w) or (c, d, h, w)."""
    return _avg_pool("avg_pool3d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _lp_functions(dims: int) -> None:
    def lp_pool(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        if math.isinf(norm_type):
            sign = 1 if norm_type > 0 else -1
            return _max_pool(f"max_pool{dims}d", input.abs() * sign, kernel_size, stride, 0, 1, ceil_mode, False) * sign
        count = math.prod(ints(f"lp_pool{dims}d", dims, "kernel_size", kernel_size))
        mean = _avg_pool(f"avg_pool{dims}d", input.pow(norm_type), kernel_size, stride, 0, ceil_mode, True, None)
        return (mean.sign() * mean.abs().relu()).mul(count).pow(1.0 / norm_type)

    publish(lp_pool, f"lp_pool{dims}d", "The norm (sum of x ** p) ** (1 / p) of each window.", alias="")


for _dims in (1, 2, 3):
    _lp_functions(_dims)


# -- adaptive --------------------------------------------------------------------------------------------------------


@primitive(linear=True)
def segments(x: Any, /, starts: Any, stops: Any, axis: int) -> Any:
    """Sums of x[start:stop] along `axis` (negative), one for each pair of the non-decreasing `starts` and `stops`."""
    lengths = stops - starts
    longest = int(lengths.max(initial=0))
    if longest <= FEW:
        return _sum_of_few(x, starts, lengths, longest, axis)
    beyond = np.zeros(_resized(x.shape, 1, axis), x.dtype)
    out = np.add.reduceat(np.concatenate([x, beyond], axis), np.stack((starts, stops), 1).reshape(-1), axis)
    out = out[(..., slice(None, None, 2), *(slice(None),) * (-1 - axis))]
    return out if lengths.all() else out * _column(lengths > 0, axis, x.dtype)


def _sum_of_few(x: Any, starts: Any, lengths: Any, longest: int, axis: int) -> Any:
    """Sums of at most a few elements each, taken one after the other."""
    out = None
    for i in range(max(longest, 1)):
        part = x.take(starts + i, axis, mode="clip") if x.shape[axis] else np.zeros(_resized(x.shape, len(starts), axis), x.dtype)
        if not (lengths > i).all():
            part = np.where(_column(lengths > i, axis, bool), part, x.dtype.type(0))
        out = part if out is None else out + part
    return out


def _resized(shape: tuple, n: int, axis: int) -> tuple:
    return (*shape[:axis], n, *shape[len(shape) + axis + 1 :])


def _column(values: Any, axis: int, dtype: Any) -> Any:
    """Numbers, one for each place along `axis` (negative), shaped to broadcast."""
    return values.astype(dtype).reshape(-1, *(1,) * (-1 - axis))


@segments.vjp
def _(g, x_shape, starts, stops, axis):
    return segments(g, *turned_bounds(starts, stops, x_shape[axis]), axis)


def turned_bounds(starts: Any, stops: Any, n: int) -> tuple[Any, Any]:
    """The segments of segments: for each of n elements, which of the segments it lies in."""
    element = np.arange(n)
    return np.searchsorted(stops, element, "right"), np.searchsorted(starts, element, "right")


def shares(n: int, m: int) -> tuple[Any, Any]:
    """Where the m nearly equal parts of n elements begin and end."""
    part = np.arange(m)
    return part * n // m, -(-(part + 1) * n // m)


def adaptive_mean(x: Any, /, size: Sizes) -> Any:
    """The mean of each of so many parts along the last axes."""
    for axis, m in enumerate(size, -len(size)):
        starts, stops = shares(x.shape[axis], m)
        x = segments(x, starts, stops, axis) / _column(stops - starts, axis, x.dtype)
    return x


def spread_adaptive(g: Any, x_shape: tuple, size: Sizes) -> Any:
    """The transpose of `adaptive_mean`."""
    for axis, m in enumerate(size, -len(size)):
        starts, stops = shares(x_shape[axis], m)
        g = segments(g / _column(stops - starts, axis, g.dtype), *turned_bounds(starts, stops, x_shape[axis]), axis)
    return g


def adaptive_largest(x: Any, /, size: Sizes) -> Any:
    """The largest of each of so many parts along the last axes, and its place in the flattened image."""
    image = x.shape[-len(size) :]
    places = np.broadcast_to(np.arange(math.prod(image)).reshape(image), x.shape)
    for axis, m in reversed(list(enumerate(size, -len(size)))):
        starts, stops = shares(x.shape[axis], m)
        behind = (slice(None),) * (-1 - axis)
        seen, where = x, places
        x, places = seen[(..., starts, *behind)], where[(..., starts, *behind)]
        for step in range(1, int((stops - starts).max(initial=0))):
            at = (..., np.minimum(starts + step, stops - 1), *behind)
            x, places = outdone(x, places, seen[at], where[at])
    return (x, places), places


def _adaptive_ops(dims: int) -> tuple:
    mean = op(adaptive_mean, name=f"adaptive_mean{dims}d", namespace="primitive", method=False, linear=True,
              node=f"AdaptiveAvgPool{dims}DBackward0")  # fmt: skip
    mean.vjp(spread_adaptive)
    largest = op(adaptive_largest, name=f"adaptive_largest{dims}d", namespace="primitive", method=False, extra=True,
                 node=f"AdaptiveMaxPool{dims}DBackward0")  # fmt: skip
    largest.vjp(lambda g, x_shape, extra, size: put_back(g, x_shape, extra, len(size)))
    return mean, largest


ADAPTIVE = {dims: _adaptive_ops(dims) for dims in (2, 3)}


def _adaptive_size(name: str, input: Any, output_size: Any) -> Sizes:
    """The checked sizes that an adaptive pooling over as many dimensions as `name` says is to make."""
    dims = int(name[-2])
    if not isinstance(input, Tensor):
        raise not_a_tensor(name, "input", 1, input)
    sizes = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size] * dims
    if dims == 1 and len(sizes) != 1:
        raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(sizes)})")
    if input.ndim not in (dims + 1, dims + 2):
        given = f"Expected {dims + 1} to {dims + 2} dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self'"
        raise RuntimeError(f"{given} (while checking arguments for {name})" if dims == 1 else
                           f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got: {list(input.shape)}")  # fmt: skip
    if len(sizes) > input.ndim - 1:
        raise ValueError(f"Input dimension should be at least {len(sizes) + 1}")
    sizes = [n if s is None else s for s, n in zip(sizes, input.shape[-len(sizes) :], strict=True)]
    ints(name, dims, "output_size", sizes)
    if min(sizes) < 0:
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0 but received "
                           "{" + ", ".join(map(str, sizes)) + "}")  # fmt: skip
    first = 1 if input.ndim == dims + 2 else 0
    for i in range(first + 1 if "avg" in name else first, input.ndim):
        if input.shape[i] == 0:
            raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                               f"{list(input.shape)} with dimension {i} being empty")  # fmt: skip
    refuse(input, name.replace("1", "2") if dims < 3 else name + "_cpu", "bi")
    return tuple(sizes)


def _adaptive(which: int, input: Any, size: Sizes) -> Any:
    """An adaptive pooling operator (0: mean, 1: maximum); signals are images of one row."""
    if len(size) > 1:
        return ADAPTIVE[len(size)][which](input, size)
    out = ADAPTIVE[2][which](input.unsqueeze(-2), (1, *size))
    return tuple([t.squeeze(-2) for t in out]) if isinstance(out, tuple) else out.squeeze(-2)


def _adaptive_functions(dims: int, of: str) -> None:
    def mean(input: Any, output_size: Any) -> Any:
        size = _adaptive_size(f"adaptive_avg_pool{dims}d", input, output_size)
        if all(s == 1 for s in size):
            return input.mean(tuple(range(-dims, 0)), True)
        return _adaptive(0, input, size)

    def largest(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        values, places = _adaptive(1, input, _adaptive_size(f"adaptive_max_pool{dims}d", input, output_size))
        return (values, places) if return_indices else values

    def with_indices(input: Any, output_size: Any, return_indices: bool = True) -> Any:
        return largest(input, output_size, True)

    alias = "torch." if dims == 1 else ""
    publish(mean, f"adaptive_avg_pool{dims}d", f"The means of {of} over parts, `output_size` of them; None keeps a size.", alias)
    publish(largest, f"adaptive_max_pool{dims}d", f"The largest elements of {of} in parts, `output_size` of them.", alias)
    publish(with_indices, f"adaptive_max_pool{dims}d_with_indices", f"The largest elements of {of} in parts, and where.", "")


for _dims, _of in ((1, "signals"), (2, "images"), (3, "volumes")):
    _adaptive_functions(_dims, _of)


# -- unpooling -------------------------------------------------------------------------------------------------------


def unpooled(x: Any, /, places: Any, size: Sizes) -> Any:
    """Images of `size`, zero but where a maximum was picked."""
    lead = x.shape[: -len(size)]
    images, count = math.prod(lead), math.prod(size)
    flat = places.reshape(images, math.prod(places.shape[-len(size) :])) + np.arange(0, images * count, max(count, 1))[:, None]
    out = put(np.zeros(images * count, x.dtype), x.reshape(-1), flat.reshape(-1))
    return out.reshape((*lead, *size))


def _unpool_op(dims: int) -> Callable:
    entry = op(unpooled, name=f"unpooled{dims}d", namespace="primitive", method=False, linear=True,
               node=f"MaxUnpool{dims}DBackward0")  # fmt: skip
    entry.vjp(lambda g, x_shape, places, size: picked(g, x_shape, places, len(size)))
    return entry


UNPOOL = {dims: _unpool_op(dims) for dims in (2, 3)}


def _unpool_size(name: str, input: Any, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Any) -> Sizes:
    """The size of the unpooled images: what the pooling's arguments say, or `output_size` if it is near that."""
    dims = len(kernel)
    rows = zip(tuple(input.shape)[-dims:], kernel, stride, padding, strict=True)
    default = [(n - 1) * s + k - 2 * p for n, k, s, p in rows]
    if output_size is None:
        return tuple(default)
    given = list(output_size)
    given = given[2:] if len(given) == dims + 2 else given
    if len(given) != dims:
        raise ValueError(f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it has a length of "
                         f"'{len(given)}'")  # fmt: skip
    for i, (n, m, s) in enumerate(zip(given, default, stride, strict=True)):
        if not m - s < n < m + s:
            raise ValueError(f'invalid output_size "{tuple(given)}" (dim {i} must be between {m - s} and {m + s})')
    return tuple(given)


def _check_places(name: str, input: Any, indices: Any, size: Sizes) -> None:
    dims, shape = len(size), list(input.shape)
    if str(indices.dtype) != "torch.int64":
        raise RuntimeError(f"elements in indices should be type int64 but got: {scalar_name(FROM_NUMPY[indices._data.dtype])}")
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"Input to {name} should be a {dims + 1}d or {dims + 2}d Tensor, but got a tensor with {len(shape)} "
                           "dimensions.")  # fmt: skip
    if list(indices.shape) != shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({shape}) but got indices tensor "
                           f"with shape: {list(indices.shape)}")  # fmt: skip
    for i in range(len(shape) - dims, len(shape)):
        if shape[i] == 0:
            raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got {shape} with "
                               f"dimension {i} being empty.")  # fmt: skip
    places = indices._data
    bad = places[(places < 0) | (places >= math.prod(size))] if places.size else places
    if bad.size:
        raise RuntimeError(f"Found an invalid max index: {int(bad.reshape(-1)[0])} (output volumes are of size "
                           f"{'x'.join(map(str, size))})")  # fmt: skip


def _unpool_functions(dims: int) -> None:
    name = f"max_unpool{dims}d"

    def unpool(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Any:
        kernel = ints(name, dims, "kernel_size", kernel_size)
        stride = ints(name, dims, "stride", stride) if stride is not None else kernel
        size = _unpool_size(name, input, kernel, stride, ints(name, dims, "padding", padding), output_size)
        _check_places(name.replace("pool", "pooling"), input, indices, size)
        if dims > 1:
            return UNPOOL[dims](input, indices, size)
        return UNPOOL[2](input.unsqueeze(-1), indices.unsqueeze(-1), (*size, 1)).squeeze(-1)

    publish(unpool, name, "Zeros but for `input` at `indices`, which a max_pool has returned: its partial inverse.", "")


for _dims in (1, 2, 3):
    _unpool_functions(_dims)
