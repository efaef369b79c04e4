"""Pooling: maximum, mean and norm over the windows of the last dimensions, and unpooling.

What a maximum picked is remembered as places in the flattened image, as torch's indices are; its
derivative adds the gradient there. A mean's derivative is `overlap`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.duck import Duck, somewhere
from ..dtypes import FROM_NUMPY
from .conv import Sizes, frozen, kind_of
from .define import IMAGES, function, op, scalar_name, state, write_out
from .index import check_range
from .places import put, put_add
from .windows import framed, margins, overlap, refuse, slices

WORDS = {1: "one int", 2: "two ints", 3: "three ints"}


# -- arguments -------------------------------------------------------------------------------------


def ints(name: str, dims: int, argument: str, value: Any) -> Sizes:
    """One of a pooling's arguments, an int or several, as one int for each dimension."""
    values = list(value) if isinstance(value, (tuple, list)) else [value]
    for v in values:
        if isinstance(v, float) or not hasattr(v, "__index__"):
            raise TypeError(
                f"{name}(): argument '{argument}' must be tuple of ints, not {type(v).__name__}"
            )
    if len(values) not in (1, dims):
        if dims == 1:
            raise RuntimeError(
                f"{name}() {argument} must be an int, list of ints or tuple of ints of size 1 but "
                f"got size {len(values)}"
            )
        omitted = "be omitted, a single int," if argument == "stride" else "be a single int,"
        raise RuntimeError(f"{name}: {argument} must either {omitted} or a tuple of {WORDS[dims]}")
    return tuple([int(v) for v in values]) * (dims if len(values) == 1 else 1)


def _check_pool(kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> None:
    """Raise torch's error for arguments of a pooling that make no sense."""
    axes = ("T", "H", "W")[-len(kernel) :]
    if any(s == 0 for s in stride):
        raise RuntimeError("stride should not be zero")
    for what, label, values in (
        ("kernel size", "k", kernel),
        ("stride", "d", stride),
        ("dilation", "dilation", dilation),
    ):
        if any(v <= 0 for v in values):
            got = " ".join(f"{label}{a}: {v}" for a, v in zip(axes, values, strict=True))
            raise RuntimeError(f"{what} should be greater than zero, but got {got}")
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation={d}"
            )


def pooled_size(
    image: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    """How many windows there are; with `ceil_mode` also those that begin inside and end outside."""
    size = []
    for n, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True):
        m = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        size.append(m - 1 if ceil_mode and (m - 1) * s >= n + p else m)
    return tuple(size)


def _geometry(
    name: str,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> tuple:
    """The checked arguments of a pooling over as many dimensions as `name` says: kernel,
    size, stride, padding, dilation.
    """
    shape, _ = kind_of(input, name, "input", 1)
    kernel = frozen(kernel_size, name, "kernel_size")
    empty = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    stride = kernel if empty else frozen(stride, name, "stride")
    padding, dilation = frozen(padding, name, "padding"), frozen(dilation, name, "dilation")
    return _plan(name, shape, kernel, stride, padding, dilation, bool(ceil_mode))


@functools.lru_cache(maxsize=1024)
def _plan(
    name: str,
    shape: Sizes,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> tuple:
    """What `_geometry` says."""
    dims = int(name[-2])
    kernel, stride = ints(name, dims, "kernel_size", kernel), ints(name, dims, "stride", stride)
    padding, dilation = ints(name, dims, "padding", padding), ints(name, dims, "dilation", dilation)
    _check_pool(kernel, stride, padding, dilation)
    _check_pooled(name, list(shape), dims)
    size = pooled_size(shape[-dims:], kernel, stride, padding, dilation, ceil_mode)
    if min(size) < 1:
        given, made = (
            "x".join(map(str, (shape[-dims - 1], *values))) for values in (shape[-dims:], size)
        )
        raise RuntimeError(
            f"Given input size: ({given}). Calculated output size: ({made}). Output size is too "
            "small"
        )
    return kernel, size, stride, padding, dilation


def _check_pooled(name: str, shape: list, dims: int) -> None:
    """Raise torch's error for an input of the wrong rank, or hollow."""
    ranks = f"{dims + 1}D or {dims + 2}D (batch mode)"
    wrong = len(shape) not in (dims + 1, dims + 2)
    if wrong and dims > 1 and "max" in name:
        raise RuntimeError(f"non-empty {ranks} tensor expected for input")
    if wrong or 0 in shape[-dims - 1 :]:
        prefix = "max_pool1d: " if name == "max_pool1d" else ""
        raise RuntimeError(
            f"{prefix}Expected {ranks} tensor with optional 0 dim batch size for input, but got:"
            f"{shape}"
        )


# -- maximum ---------------------------------------------------------------------------------------


def outdone(best: Any, places: Any, rival: Any, its_places: Any) -> tuple[Any, Any]:
    """The larger of two and where it stands; of equals the first, of NaNs the last, and
    NaN beats all, as in torch.
    """
    wins = (rival > best) | (rival != rival)
    return np.where(wins, rival, best), np.where(wins, its_places, places)


def lowest(dtype: np.dtype) -> Any:
    """What every number of a dtype is at least."""
    return -math.inf if dtype.kind == "f" else np.iinfo(dtype).min


@functools.lru_cache(maxsize=64)
def _places(
    image: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Any, Any]:
    """The place in the flattened image of each window's first element, and of the first inside."""
    starts, inside = [], []
    for m, s, p, d in zip(size, stride, padding, dilation, strict=True):
        start = np.arange(m) * s - p
        starts.append(start)
        inside.append(np.where(start < 0, start + -(start // d) * d, start))
    return _flat(image, starts), _flat(image, inside)


def _flat(image: Sizes, along: list) -> Any:
    """Places along each axis as places in the flattened image."""
    total = along[0]
    for n, a in zip(image[1:], along[1:], strict=True):
        total = np.add.outer(total * n, a)
    return total


def largest(
    x: Any,
    /,
    kernel: Sizes,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
) -> Any:
    """The largest of each window, and its place in the flattened image."""
    image = x.shape[-len(kernel) :]
    pads = margins(image, kernel, size, stride, padding, dilation)
    padded = framed(x, pads, lowest(x.dtype))
    first, places = _places(image, size, stride, padding, dilation)
    best = lowest(x.dtype)
    for place, rival in slices(padded, kernel, size, stride, dilation):
        step = 0
        for n, k, d in zip(image, place, dilation, strict=True):
            step = step * n + k * d
        best, places = outdone(best, places, rival, first + step)
    return (best, places), places


def largest_values(
    x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    """The largest of each window."""
    padded = framed(
        x,
        margins(x.shape[-len(kernel) :], kernel, size, stride, padding, dilation),
        lowest(x.dtype),
    )
    return functools.reduce(
        np.maximum, [s for _, s in slices(padded, kernel, size, stride, dilation)]
    )


def put_back(g: Any, x_shape: tuple, extra: Any, dims: int) -> Any:
    """The cotangent of images from that of what a maximum picked, at its places in each
    flattened image.
    """
    images, size = math.prod(x_shape[:-dims]), math.prod(x_shape[-dims:])
    places = (
        extra.reshape(images, math.prod(extra.shape[-dims:]))
        + np.arange(0, images * size, max(size, 1))[:, None]
    )
    return put_add(g.reshape(-1), places.reshape(-1), (images * size,)).reshape(x_shape)


def picked(g: Any, x_shape: tuple, places: Any, dims: int) -> Any:
    """What stands at places of flattened images: the transpose of `put_back`."""
    images = math.prod(x_shape[:-dims])
    flat = g.reshape(images, math.prod(g.shape[-dims:]))
    return np.take_along_axis(flat, places.reshape(images, math.prod(x_shape[-dims:])), 1).reshape(
        x_shape
    )


def _largest_op(dims: int) -> Callable:
    entry = op(
        largest,
        name=f"max_pool{dims}d_with_indices",
        by_rule=True,
        namespace="primitive",
        method=False,
        extra=True,
        node=f"MaxPool{dims}DWithIndicesBackward0",
        rows=IMAGES,
    )
    entry.vjp(lambda g, x_shape, extra, kernel: put_back(g, x_shape, extra, len(kernel)))
    return entry


LARGEST = {dims: _largest_op(dims) for dims in (2, 3)}
VALUES = op(
    largest_values, name="max_pool_values", namespace="primitive", method=False, rows=IMAGES
)


def _apply(entries: dict, input: Any, geometry: tuple, *rest: Any) -> Any:
    """A pooling operator on an input of its dimensions; signals are images of one row."""
    dims = len(geometry[0])
    if dims > 1:
        return entries[dims](input, *geometry, *rest)
    kernel, size, stride, padding, dilation = geometry
    out = entries[2](
        input.unsqueeze(-2),
        (1, *kernel),
        (1, *size),
        (1, *stride),
        (0, *padding),
        (1, *dilation),
        *rest,
    )
    return tuple([t.squeeze(-2) for t in out]) if isinstance(out, tuple) else out.squeeze(-2)


def _max_pool(
    name: str,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """A maximum over windows; `name` says over how many dimensions."""
    geometry = _geometry(name, input, kernel_size, stride, padding, dilation, ceil_mode)
    refuse(input, name, "bc")
    plain = not (state.grad and input.requires_grad) and not isinstance(input._data, Duck)
    if not return_indices and plain:
        return VALUES(input, *geometry)
    values, places = _apply(LARGEST, input, geometry)
    return (values, places) if return_indices else values


def publish(f: Callable, name: str, doc: str, alias: str = "") -> Callable:
    """Register one of a family of functions that differ by the number of dimensions."""
    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return function(f, method=False, namespace="nn.functional", alias=alias)


def _max_pools(name: str, of: str) -> tuple[Callable, Callable]:
    def pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        return _max_pool(
            name, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )

    def with_indices(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = True,
    ) -> Any:
        return _max_pool(name, input, kernel_size, stride, padding, dilation, ceil_mode, True)

    doc = (
        f"The largest element of each window of {of}, the batch dimension optional.\n\n"
        "`padding` adds places that never win; `return_indices` also returns where in each "
        "flattened image the largest stood; with `ceil_mode` windows may end outside."
    )
    also = "torch.max_pool1d_with_indices" if name == "max_pool1d" else ""
    return (
        publish(pool, name, doc, f"torch.{name}"),
        publish(with_indices, f"{name}_with_indices", doc, also),
    )


max_pool1d, max_pool1d_with_indices = _max_pools("max_pool1d", "signals (n, c, length)")
max_pool2d, max_pool2d_with_indices = _max_pools("max_pool2d", "images (n, c, h, w)")
max_pool3d, max_pool3d_with_indices = _max_pools("max_pool3d", "volumes (n, c, d, h, w)")


# -- mean ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def counts(
    image: Sizes, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, include_pad: bool
) -> Any:
    """How many elements each window's mean is over: a number, or an array of the windows'
    shape if they differ.
    """
    along = []
    for n, k, m, s, p in zip(image, kernel, size, stride, padding, strict=True):
        first = np.arange(m) * s - p
        last = np.minimum(first + k, n + p)
        along.append(last - first if include_pad else np.minimum(last, n) - np.maximum(first, 0))
    if all((a == a[0]).all() for a in along):
        return math.prod(int(a[0]) for a in along)
    return functools.reduce(np.multiply.outer, along)


def window_mean(
    x: Any,
    /,
    kernel: Sizes,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    divisor: Any,
) -> Any:
    """The sum of each window over `divisor`."""
    x = framed(x, margins(x.shape[-len(kernel) :], kernel, size, stride, padding, dilation))
    total = functools.reduce(np.add, [s for _, s in slices(x, kernel, size, stride, dilation)])
    divisor = np.asarray(divisor).astype(x.dtype)
    if x.dtype.kind in "iu":
        return np.sign(total) * np.sign(divisor) * (np.absolute(total) // np.absolute(divisor))
    return total / divisor


def spread_mean(
    g: Any,
    x_shape: tuple,
    kernel: Sizes,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    divisor: Any,
) -> Any:
    """The transpose of `window_mean`."""
    n = len(kernel)
    pads = margins(x_shape[-n:], kernel, size, stride, padding, dilation)
    framed_size = tuple(
        [
            a + pads[2 * i] + pads[2 * i + 1]
            for i, a in zip(reversed(range(n)), x_shape[-n:], strict=True)
        ]
    )
    g = g / np.asarray(divisor).astype(g.dtype)
    lead = g.shape[:-n]
    parts = np.broadcast_to(g.reshape((*lead, *(1,) * n, *size)), (*lead, *kernel, *size))
    whole = overlap(parts, framed_size, stride, dilation)
    return framed(whole, [-p for p in pads]).copy() if any(pads) else whole


def _mean_op(dims: int) -> Callable:
    entry = op(
        window_mean,
        name=f"window_mean{dims}d",
        namespace="primitive",
        method=False,
        linear=True,
        node=f"AvgPool{dims}DBackward0",
        rows=IMAGES,
    )
    entry.vjp(spread_mean)
    return entry


MEANS = {dims: _mean_op(dims) for dims in (2, 3)}


def _avg_pool(
    name: str,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
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
def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of signals (n, c, length) or (c, length)."""
    return _avg_pool(
        "avg_pool1d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


@function(method=False, namespace="nn.functional")
def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    """The mean of each window of images (n, c, h, w) or (c, h, w).

    The zeros of `padding` count, unless `count_include_pad` is False; `divisor_override` divides
    the sums instead.
    """
    mean = _avg_pool(
        "avg_pool2d",
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
    return write_out(out, mean, input)


@function(method=False, namespace="nn.functional")
def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    """The mean of each window of volumes (n, c, d, h, w) or (c, d, h, w)."""
    mean = _avg_pool(
        "avg_pool3d",
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
    return write_out(out, mean, input)


def _lp_pool(dims: int) -> Callable:
    name = f"lp_pool{dims}d"

    def pool(
        input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> Any:
        if math.isinf(norm_type):
            sign = 1 if norm_type > 0 else -1
            signed = input.abs() * sign
            largest = _max_pool(
                f"max_pool{dims}d", signed, kernel_size, stride, 0, 1, ceil_mode, False
            )
            return largest * sign
        count = math.prod(ints(name, dims, "kernel_size", kernel_size))
        powers = input.pow(norm_type)
        mean = _avg_pool(f"avg_pool{dims}d", powers, kernel_size, stride, 0, ceil_mode, True, None)
        return (mean.sign() * mean.abs().relu()).mul(count).pow(1.0 / norm_type)

    return publish(pool, name, "The norm (sum of x ** p) ** (1 / p) of each window.")


lp_pool1d, lp_pool2d, lp_pool3d = _lp_pool(1), _lp_pool(2), _lp_pool(3)


# -- unpooling -------------------------------------------------------------------------------------


def unpooled(x: Any, /, places: Any, size: Sizes) -> Any:
    """Images of `size`, zero but where a maximum was picked."""
    lead = x.shape[: -len(size)]
    images, count = math.prod(lead), math.prod(size)
    flat = (
        places.reshape(images, math.prod(places.shape[-len(size) :]))
        + np.arange(0, images * count, max(count, 1))[:, None]
    )
    out = put(np.zeros(images * count, x.dtype), x.reshape(-1), flat.reshape(-1))
    return out.reshape((*lead, *size))


def _unpool_op(dims: int) -> Callable:
    entry = op(
        unpooled,
        name=f"unpooled{dims}d",
        namespace="primitive",
        method=False,
        linear=True,
        node=f"MaxUnpool{dims}DBackward0",
    )
    entry.vjp(lambda g, x_shape, places, size: picked(g, x_shape, places, len(size)))
    return entry


UNPOOL = {dims: _unpool_op(dims) for dims in (2, 3)}


def _unpool_size(
    input: Any, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Any
) -> Sizes:
    """The size of the unpooled images: what the pooling's arguments say, or `output_size`
    if it is near that.
    """
    dims = len(kernel)
    rows = zip(tuple(input.shape)[-dims:], kernel, stride, padding, strict=True)
    default = [(n - 1) * s + k - 2 * p for n, k, s, p in rows]
    if output_size is None:
        return tuple(default)
    given = list(output_size)
    given = given[2:] if len(given) == dims + 2 else given
    if len(given) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it "
            f"has a length of '{len(given)}'"
        )
    for i, (n, m, s) in enumerate(zip(given, default, stride, strict=True)):
        if not m - s < n < m + s:
            raise ValueError(
                f'invalid output_size "{tuple(given)}" (dim {i} must be between {m - s} and '
                f"{m + s})"
            )
    return tuple(given)


def _check_places(name: str, input: Any, indices: Any, size: Sizes) -> None:
    dims, shape = len(size), list(input.shape)
    if str(indices.dtype) != "torch.int64":
        raise RuntimeError(
            "elements in indices should be type int64 but got: "
            f"{scalar_name(FROM_NUMPY[indices._data.dtype])}"
        )
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Input to {name} should be a {dims + 1}d or {dims + 2}d Tensor, but got a tensor with "
            f"{len(shape)} dimensions."
        )
    if list(indices.shape) != shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({shape}) but got "
            f"indices tensor with shape: {list(indices.shape)}"
        )
    for i in range(len(shape) - dims, len(shape)):
        if shape[i] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
                f"{shape} with dimension {i} being empty."
            )
    places, count = indices._data, math.prod(size)
    text = "Found an invalid max index{} (output volumes are of size " + "x".join(map(str, size))
    check_range(places, count, 0, RuntimeError, text.replace("{}", ": {}") + ")")
    if somewhere((places < 0) | (places >= count)):  # in one of the examples of a vmap
        raise RuntimeError(text.format("") + ")")


def _max_unpool(dims: int) -> Callable:
    name = f"max_unpool{dims}d"

    def unpool(
        input: Any,
        indices: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
    ) -> Any:
        kernel = ints(name, dims, "kernel_size", kernel_size)
        stride = kernel if stride is None else ints(name, dims, "stride", stride)
        padding = ints(name, dims, "padding", padding)
        size = _unpool_size(input, kernel, stride, padding, output_size)
        _check_places(name.replace("pool", "pooling"), input, indices, size)
        if dims > 1:
            return UNPOOL[dims](input, indices, size)
        return UNPOOL[2](input.unsqueeze(-1), indices.unsqueeze(-1), (*size, 1)).squeeze(-1)

    doc = "Zeros but for `input` at `indices`, which a max_pool has returned: its partial inverse."
    return publish(unpool, name, doc)


max_unpool1d, max_unpool2d, max_unpool3d = _max_unpool(1), _max_unpool(2), _max_unpool(3)
