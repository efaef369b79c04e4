"""Adaptive pooling: means and maxima over a given number of nearly equal parts of each axis.

The parts of an axis are segments whose ends do not decrease, and so are the parts that an element
lies in: summing over segments (`segments`) is its own transpose with the roles exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .conv import Sizes
from .define import Tensor, not_a_tensor, op, primitive, row_by_row
from .pool import ints, outdone, publish, put_back
from .windows import refuse

FEW = 4  # elements that are added one by one, sooner than by np.add.reduceat


def along(x: Any, places: Any, axis: int) -> Any:
    """x[places] along `axis` (negative)."""
    if type(x) is np.ndarray:
        return x.take(places, axis)
    return row_by_row(x[(..., places, *(slice(None),) * (-1 - axis))], True)  # as `take` gives it


@primitive(linear=True)
def segments(x: Any, /, starts: Any, stops: Any, axis: int) -> Any:
    """Sums of x[start:stop] along `axis` (negative), one for each pair of the
    non-decreasing `starts` and `stops`.
    """
    lengths = stops - starts
    longest = int(lengths.max(initial=0))
    if longest <= FEW:
        return _sum_of_few(x, starts, lengths, longest, axis)
    beyond = np.zeros(_resized(x.shape, 1, axis), x.dtype)
    out = np.add.reduceat(
        np.concatenate([x, beyond], axis),
        np.stack((starts, stops), 1).reshape(-1),
        axis,
    )
    out = out[(..., slice(None, None, 2), *(slice(None),) * (-1 - axis))]
    return out if lengths.all() else out * column(lengths > 0, axis, x.dtype)


def _sum_of_few(x: Any, starts: Any, lengths: Any, longest: int, axis: int) -> Any:
    """Sums of at most a few elements each, taken one after the other."""
    out = None
    for i in range(max(longest, 1)):
        part = (
            x.take(starts + i, axis, mode="clip")
            if x.shape[axis]
            else np.zeros(_resized(x.shape, len(starts), axis), x.dtype)
        )
        if not (lengths > i).all():
            part = np.where(column(lengths > i, axis, bool), part, x.dtype.type(0))
        out = part if out is None else out + part
    return out


def _resized(shape: tuple, n: int, axis: int) -> tuple:
    return (*shape[:axis], n, *shape[len(shape) + axis + 1 :])


def column(values: Any, axis: int, dtype: Any) -> Any:
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
        x = segments(x, starts, stops, axis) / column(stops - starts, axis, x.dtype)
    return x


def spread_adaptive(g: Any, x_shape: tuple, size: Sizes) -> Any:
    """The transpose of `adaptive_mean`."""
    for axis, m in enumerate(size, -len(size)):
        starts, stops = shares(x_shape[axis], m)
        g = segments(
            g / column(stops - starts, axis, g.dtype),
            *turned_bounds(starts, stops, x_shape[axis]),
            axis,
        )
    return g


def adaptive_largest(x: Any, /, size: Sizes) -> Any:
    """The largest of each of so many parts along the last axes, and its place in the
    flattened image.
    """
    image = x.shape[-len(size) :]
    places = np.broadcast_to(np.arange(math.prod(image)).reshape(image), x.shape)
    for axis, m in reversed(list(enumerate(size, -len(size)))):
        starts, stops = shares(x.shape[axis], m)
        seen, where = x, places
        x, places = along(seen, starts, axis), along(where, starts, axis)
        for step in range(1, int((stops - starts).max(initial=0))):
            at = np.minimum(starts + step, stops - 1)
            x, places = outdone(x, places, along(seen, at, axis), along(where, at, axis))
    return (x, places), places


def _adaptive_ops(dims: int) -> tuple:
    mean = op(
        adaptive_mean,
        name=f"adaptive_mean{dims}d",
        namespace="primitive",
        method=False,
        linear=True,
        node=f"AdaptiveAvgPool{dims}DBackward0",
    )
    mean.vjp(spread_adaptive)
    largest = op(
        adaptive_largest,
        name=f"adaptive_largest{dims}d",
        by_rule=True,
        namespace="primitive",
        method=False,
        extra=True,
        node=f"AdaptiveMaxPool{dims}DBackward0",
    )
    largest.vjp(lambda g, x_shape, extra, size: put_back(g, x_shape, extra, len(size)))
    return mean, largest


ADAPTIVE = {dims: _adaptive_ops(dims) for dims in (2, 3)}


def _adaptive_size(name: str, input: Any, output_size: Any) -> Sizes:
    """The checked sizes that an adaptive pooling (`name` says over what) is to make."""
    dims = int(name[-2])
    if not isinstance(input, Tensor):
        raise not_a_tensor(name, "input", 1, input)
    sizes = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size] * dims
    if dims > 1 and len(sizes) >= input.ndim:
        raise ValueError(f"Input dimension should be at least {len(sizes) + 1}")
    if len(sizes) != dims:
        raise RuntimeError(
            f"{name}() argument 'output_size' should contain one int (got {len(sizes)})"
            if dims == 1
            else f"{name}: internal error: output_size.size() must be {dims}"
        )
    _check_adaptive(name, list(input.shape), dims)
    sizes = [n if s is None else s for s, n in zip(sizes, input.shape[-dims:], strict=True)]
    ints(name, dims, "output_size", sizes)
    if min(sizes) < 0:
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received "
            "{" + ", ".join(map(str, sizes)) + "}"
        )
    refuse(input, name.replace("1", "2") if dims < 3 else name + "_cpu", "bi")
    return tuple(sizes)


def _check_adaptive(name: str, shape: list, dims: int) -> None:
    """Raise torch's error for an input of the wrong rank, or hollow."""
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {dims + 1} to {dims + 2} dimensions, but got {len(shape)}-dimensional "
            f"tensor for argument #1 'self' (while checking arguments for {name})"
            if dims == 1
            else f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got: {shape}"
        )
    first = len(shape) - dims if "avg" in name else len(shape) - dims - 1
    for i in range(first, len(shape)):
        if shape[i] == 0:
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but "
                f"input has sizes {shape} with dimension {i} being empty"
            )


def _adaptive(which: int, input: Any, size: Sizes) -> Any:
    """An adaptive pooling operator (0: mean, 1: maximum); signals are images of one row."""
    if len(size) > 1:
        return ADAPTIVE[len(size)][which](input, size)
    out = ADAPTIVE[2][which](input.unsqueeze(-2), (1, *size))
    return tuple([t.squeeze(-2) for t in out]) if isinstance(out, tuple) else out.squeeze(-2)


def _adaptive_mean(dims: int, of: str) -> Callable:
    name = f"adaptive_avg_pool{dims}d"

    def mean(input: Any, output_size: Any) -> Any:
        size = _adaptive_size(name, input, output_size)
        if all(s == 1 for s in size):
            return input.mean(tuple(range(-dims, 0)), True)
        return _adaptive(0, input, size)

    doc = f"The means of {of} over parts, `output_size` of them; None keeps a size."
    return publish(mean, name, doc, "torch.adaptive_avg_pool1d" if dims == 1 else "")


def _adaptive_maximum(dims: int, of: str) -> tuple[Callable, Callable]:
    name = f"adaptive_max_pool{dims}d"

    def largest(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        values, places = _adaptive(1, input, _adaptive_size(name, input, output_size))
        return (values, places) if return_indices else values

    def with_indices(input: Any, output_size: Any, return_indices: bool = True) -> Any:
        return _adaptive(1, input, _adaptive_size(name, input, output_size))

    doc = f"The largest elements of {of} in parts, `output_size` of them; None keeps a size."
    also = "torch.adaptive_max_pool1d" if dims == 1 else ""  # torch's own returns the places too
    return publish(largest, name, doc), publish(with_indices, f"{name}_with_indices", doc, also)


adaptive_avg_pool1d = _adaptive_mean(1, "signals")
adaptive_avg_pool2d = _adaptive_mean(2, "images")
adaptive_avg_pool3d = _adaptive_mean(3, "volumes")
adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive_maximum(1, "signals")
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive_maximum(2, "images")
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive_maximum(3, "volumes")
