"""Selections: results that are elements of the input, together with their places.

The largest along a dimension, the median, the mode, the k largest, everything in order: each picks
elements and says where they stood. So one derivative serves them all: the gradient goes to the
places (`put_along`). Where nothing along the dimension is left out or taken twice, as here, no sums
are needed; a running maximum takes an element many times, and adds up.

Order is torch's: NaN is larger than everything, equal elements keep the order they stood in, and of
equal extremes the first is found. Where torch takes others of several equal ones, `ties` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import return_types
from ..arrays.duck import Duck, inward
from ..dtypes import BOOL_NP, FROM_NUMPY, I64
from .define import (
    MOVE,
    OPS,
    SAME,
    Tensor,
    function,
    op,
    primitive,
    row_by_row,
    scalar_name,
    write_out,
)
from .index import along, dim_of, grid, tensor_data
from .reduce import check_not_empty, flip, refuse_complex, spread
from .ties import highest, lowest, nth, retied

ZERO = np.int64(0)
LARGE = 4096


@primitive(linear=True)
def put_along(x: Any, /, index: Any, axis: int, shape: tuple, repeated: bool = False) -> Any:
    """Zeros of `shape` with `x` at `index` along `axis`, added up where places are `repeated`."""
    out = np.zeros(shape, x.dtype)
    if repeated:
        np.add.at(out, grid(index, axis), x)
    else:
        out[grid(index, axis)] = x
    return out


@put_along.vjp
def _(g, index, axis):
    return np.take_along_axis(g, index, axis)


def taken(x: Any, index: Any, axis: int) -> Any:
    """The elements of `x` at `index` along `axis`."""
    return x[grid(index, axis)]


def to_places(g: Any, x_shape: tuple, extra: Any, dim: int, keepdim: bool) -> Any:
    """The cotangent of the input of a selection of one element along `dim`."""
    ndim = len(x_shape)
    if not ndim:
        return g
    g, extra = spread(g, dim, keepdim, ndim), spread(extra, dim, keepdim, ndim)
    return put_along(g, extra, dim_of(dim, ndim), x_shape)


def all_to_places(g: Any, x_shape: tuple, extra: Any, dim: int) -> Any:
    """The cotangent of the input of a selection of several elements along `dim`."""
    return put_along(g, extra, dim_of(dim, len(x_shape)), x_shape) if x_shape else g


def selected(x: Any, places: Any, dim: int, keepdim: bool) -> tuple:
    """What a selection of one element along `dim` returns, from the places as size 1."""
    axis = dim_of(dim, x.ndim)
    values = taken(x, places, axis)
    if not keepdim:
        values, places = values[along(axis, 0)], row_by_row(places[along(axis, 0)], True)
    return (values, places), places


def itself(x: Any) -> tuple:
    """What any selection from a 0-d array returns."""
    return (x.copy() if isinstance(x, Duck) else x[()], ZERO), ZERO


def share_all(g: Any, x: Any, out: Any) -> Any:
    """The cotangent of `x` from that of one of its elements, shared by all that equal it."""
    hit = np.where(out == out, x == out, x != x)
    return np.where(hit, g / np.add.reduce(hit.astype(x.dtype), axis=None), 0)


# -- maximum and minimum ---------------------------------------------------------------------------


def extreme_along(name: str, x: Any, dim: int, keepdim: bool) -> tuple:
    """The largest or smallest element along `dim` and the first place where it stands."""
    if x.dtype.kind == "c":
        raise RuntimeError(f"{name}(): does not support complex input")
    axis = dim_of(dim, x.ndim)
    check_not_empty(name, x, axis)
    if not x.ndim:
        return itself(x)
    reduce, find = EXTREMES[name]
    places = find(x, axis, keepdim)
    return (reduce(x, axis=axis, keepdims=keepdim), places), places


EXTREMES: dict[str, tuple] = {
    "max": (np.maximum.reduce, lambda x, axis, keep: x.argmax(axis, keepdims=keep)),
    "min": (np.minimum.reduce, lambda x, axis, keep: x.argmin(axis, keepdims=keep)),
}


@op(
    name="max",
    extra=True,
    by_rule=True,
    result=return_types.max,
    node="MaxBackward0",
    method=False,
    rows=True,
)
def max_along(x: Any, /, dim: int, keepdim: bool = False) -> Any:
    """Largest element along `dim` and its place."""
    return extreme_along("max", x, dim, keepdim)


@op(
    name="min",
    extra=True,
    by_rule=True,
    result=return_types.min,
    node="MinBackward0",
    method=False,
    rows=True,
)
def min_along(x: Any, /, dim: int, keepdim: bool = False) -> Any:
    """Smallest element along `dim` and its place."""
    return extreme_along("min", x, dim, keepdim)


@op(name="max_all", by_rule=True, node="MaxBackward1", namespace="primitive")
def max_all(x: Any, /) -> Any:
    """Largest element of all."""
    refuse_complex("max_all", x)
    check_not_empty("max", x, None)
    return np.maximum.reduce(x, axis=None)


@op(name="min_all", by_rule=True, node="MinBackward1", namespace="primitive")
def min_all(x: Any, /) -> Any:
    """Smallest element of all."""
    refuse_complex("min_all", x)
    check_not_empty("min", x, None)
    return np.minimum.reduce(x, axis=None)


max_along.vjp(to_places)
min_along.vjp(to_places)
max_all.vjp(share_all)
min_all.vjp(share_all)


def extreme(whole: Callable, part: Callable, pairwise: str) -> Callable:
    """The public form: of all elements, along a dimension, or of two tensors."""

    def entry(
        input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None
    ) -> Any:
        if dim is None and other is None:
            return write_out(out, whole(input), input)
        if other is not None or isinstance(dim, Tensor):
            return OPS[pairwise].entry(input, dim if other is None else other, out=out)
        found = part(input, dim, keepdim)
        return found if out is None else write_out(out, found, input)

    entry.__name__ = entry.__qualname__ = part.op.name  # type: ignore[attr-defined]
    entry.__doc__ = f"{whole.__doc__} With `dim`: {part.__doc__} With another tensor: `{pairwise}`."
    return function(entry)


max = extreme(max_all, max_along, "maximum")
min = extreme(min_all, min_along, "minimum")


def place_of(name: str, x: Any, dim: int | None, keepdim: bool) -> Any:
    """The first place of the largest or smallest element, along `dim` or in the flat array."""
    if x.dtype.kind in "cb":
        kind = "complex" if x.dtype.kind == "c" else "bool"
        raise RuntimeError(f"arg{name}(): does not support {kind} input")
    if not x.size and dim is None:
        text = f"arg{name}(): Expected reduction dim to be specified for input.numel() == 0."
        raise IndexError(text)
    axis = None if dim is None else dim_of(dim, x.ndim)
    check_not_empty(f"arg{name}", x, axis)
    if not x.ndim:
        return ZERO
    return EXTREMES[name][1](x, axis, keepdim)


@op
def argmax(x: Any, /, dim: int | None = None, keepdim: bool = False) -> Any:
    """Where the largest element is: its first place along `dim`, or in the flattened input."""
    return place_of("max", x, dim, keepdim)


@op
def argmin(x: Any, /, dim: int | None = None, keepdim: bool = False) -> Any:
    """Where the smallest element is: its first place along `dim`, or in the flattened input."""
    return place_of("min", x, dim, keepdim)


def running(name: str, x: Any, dim: int) -> tuple:
    """The largest or smallest so far along `dim`, and the last place where it stood."""
    refuse_complex(f"cum{name}_cpu", x)
    axis = dim_of(dim, x.ndim)
    if not x.ndim:
        return itself(x)
    values = (np.maximum if name == "max" else np.minimum).accumulate(x, axis=axis)
    own = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    hits = np.where((x == values) | (x != x), own, 0)
    places = np.maximum.accumulate(hits, axis=axis)
    return (values, places), places


@op(extra=True, result=return_types.cummax, rows=True)
def cummax(x: Any, /, dim: int) -> Any:
    """Largest element so far along `dim`, and its (last) place."""
    return running("max", x, dim)


@op(extra=True, result=return_types.cummin, rows=True)
def cummin(x: Any, /, dim: int) -> Any:
    """Smallest element so far along `dim`, and its (last) place."""
    return running("min", x, dim)


def gathered(g: Any, x_shape: tuple, extra: Any, dim: int) -> Any:
    """The cotangent of the input of a running extreme: an element may be taken many times."""
    return put_along(g, extra, dim_of(dim, len(x_shape)), x_shape, True) if x_shape else g


cummax.vjp(gathered)
cummin.vjp(gathered)


# -- sorting ---------------------------------------------------------------------------------------


def order_of(x: Any, axis: int, descending: bool = False) -> Any:
    """The places of the elements in order along `axis`; equal ones as they stand."""
    if descending:
        return x.shape[axis] - 1 - flip(order_of(flip(x, axis), axis), axis)
    if x.size > LARGE and x.dtype.itemsize > 2:
        quick = np.argsort(x, axis=axis)
        in_order = taken(x, quick, axis)
        before, after = along(axis, slice(None, -1)), along(axis, slice(1, None))
        if (in_order[before] < in_order[after]).all():  # nothing equal, no NaN: the only order
            return quick
    return np.argsort(x, axis=axis, kind="stable")


def sorted_along(x: Any, /, dim: int = -1, descending: bool = False) -> Any:
    """The elements in order along `dim`, and their places; NaN is the largest."""
    if x.dtype.kind == "c":
        raise RuntimeError(" Sort does not support complex dtypes on CPU")
    axis = dim_of(dim, x.ndim)
    if not x.ndim:
        return itself(x)
    rows = type(x) is np.ndarray and x.flags.c_contiguous
    axes = None if rows else inward(x)  # results lie in memory as what is sorted does
    if axes is None:
        order = order_of(x, axis, descending)
        return (taken(x, order, axis), order), order
    turned, axis, back = x.transpose(axes), axes.index(axis), tuple(map(axes.index, range(x.ndim)))
    order = order_of(turned, axis, descending)
    values, order = taken(turned, order, axis).transpose(back), order.transpose(back)
    return (values, order), order


SORT = {"extra": True, "result": return_types.sort, "namespace": "primitive"}
sort_any = op(sorted_along, name="sort", node="SortBackward0", **SORT)
sort_stably = op(sorted_along, name="sort_stably", node="SortBackward1", **SORT)
sort_any.vjp(all_to_places)
sort_stably.vjp(all_to_places)


@function
def sort(
    input: Any,
    dim: int = -1,
    descending: bool = False,
    stable: bool | None = None,
    *,
    out: Any = None,
) -> Any:
    """The elements in order along `dim`, and their places; equal elements keep their order."""
    result = (sort_any if stable is None else sort_stably)(input, dim, descending)
    return write_out(out, result, input)


@function
def msort(input: Any, *, out: Any = None) -> Any:
    """The elements in order along dim 0."""
    return write_out(out, sort_any(input, 0)[0], input)


@op
def argsort(x: Any, /, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The places of the elements in order along `dim`."""
    return sorted_along(x, dim, descending)[1]


NO_TOPK = {"c": " topk does not support complex", "b": "topk does not support bool"}


@op(extra=True, result=return_types.topk, rows=True)
def topk(x: Any, /, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The `k` largest (or smallest) elements along `dim`, and their places."""
    if x.dtype.kind in NO_TOPK:
        raise RuntimeError(f"{NO_TOPK[x.dtype.kind]} dtypes on CPU")
    axis = dim_of(dim, x.ndim)
    if not 0 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError("selected index k out of range")
    if not x.ndim:
        return itself(x)
    places = best(x, k, axis, largest)
    if 0 < x.shape[axis] < 64 * k:
        places = retied(x, places, axis, (highest if largest else lowest)(k, sorted))
    return (taken(x, places, axis), places), places


def best(x: Any, k: int, axis: int, largest: bool) -> Any:
    """The places of the `k` largest (smallest) along `axis`, in order."""
    n = x.shape[axis]
    if x.size <= LARGE or not 0 < k < n // 4:
        return order_of(x, axis, largest)[along(axis, slice(k))]
    if largest:
        few = np.argpartition(x, n - k, axis=axis)[along(axis, slice(n - k, None))]
    else:
        few = np.argpartition(x, k - 1, axis=axis)[along(axis, slice(k))]
    few = np.sort(few, axis=axis)
    order = order_of(taken(x, few, axis), axis, largest)
    return taken(few, order, axis)


topk.vjp(all_to_places)


# -- order statistics ------------------------------------------------------------------------------


def check_ordered(name: str, x: Any, bools: bool = False) -> None:
    """Raise torch's error for complex numbers, and for bools where it refuses them."""
    if x.dtype.kind == "c" or (x.dtype == BOOL_NP and not bools):
        kind = scalar_name(FROM_NUMPY[x.dtype])
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{kind}'")


@op(extra=True, result=return_types.kthvalue, rows=True)
def kthvalue(x: Any, /, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The `k`-th smallest element along `dim` (counted from 1), and its place."""
    axis = dim_of(dim, x.ndim)
    check_ordered("kthvalue", x)
    check_not_empty("kthvalue", x, axis)
    if not 1 <= k <= (x.shape[axis] if x.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    if not x.ndim:
        return itself(x)
    places = order_of(x, axis)[along(axis, slice(k - 1, k))]
    return selected(x, retied(x, places, axis, nth(k - 1)), axis, keepdim)


def middle_along(name: str, x: Any, dim: int, keepdim: bool) -> tuple:
    """The lower median along `dim` and its place; a NaN counts unless `name` is nanmedian."""
    axis = dim_of(dim, x.ndim)
    check_ordered("median", x)
    check_not_empty("median", x, axis)
    if not x.ndim:
        return itself(x)
    order, n = order_of(x, axis), x.shape[axis]
    if type(x) is np.ndarray and (x == x).all():  # no NaN
        return selected(x, order[along(axis, slice((n - 1) // 2, (n + 1) // 2))], axis, keepdim)
    known = np.add.reduce(x == x, axis=axis, keepdims=True)
    rank = np.maximum(known - 1, 0) // 2
    if name == "median":
        rank = np.where(known == n, rank, known)
    return selected(x, taken(order, rank, axis), axis, keepdim)


@op(
    name="median",
    extra=True,
    result=return_types.median,
    node="MedianBackward1",
    method=False,
    rows=True,
)
def median_along(x: Any, /, dim: int, keepdim: bool = False) -> Any:
    """Median along `dim` (the lower of two), and its place; NaN if there is a NaN."""
    return middle_along("median", x, dim, keepdim)


@op(
    name="nanmedian",
    extra=True,
    result=return_types.nanmedian,
    node="NanmedianBackward1",
    method=False,
    rows=True,
)
def nanmedian_along(x: Any, /, dim: int, keepdim: bool = False) -> Any:
    """Median along `dim` of what is not NaN, and its place."""
    return middle_along("nanmedian", x, dim, keepdim)


def middle_of_all(name: str, x: Any) -> Any:
    """The lower median of all elements; of no elements NaN."""
    check_ordered("median", x)
    if not x.size:
        return np.array(np.nan).astype(x.dtype)[()]
    flat = x.reshape(-1)
    if name == "nanmedian":
        return middle_along(name, flat, 0, False)[0][0]
    rank = (x.size - 1) // 2
    middle = np.partition(flat, rank)[rank]
    if x.dtype.kind != "f":
        return middle
    return np.where(np.logical_and.reduce(flat == flat), middle, np.nan).astype(x.dtype)[()]


@op(name="median_all", namespace="primitive", node="MedianBackward0")
def median_all(x: Any, /) -> Any:
    """Median of all elements (the lower of two); NaN if there is a NaN."""
    return middle_of_all("median", x)


@op(name="nanmedian_all", namespace="primitive", node="NanmedianBackward0")
def nanmedian_all(x: Any, /) -> Any:
    """Median of all elements that are not NaN."""
    return middle_of_all("nanmedian", x)


median_along.vjp(to_places)
nanmedian_along.vjp(to_places)
median_all.vjp(share_all)
nanmedian_all.vjp(share_all)
kthvalue.vjp(to_places)


@function
def median(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Median of all elements, or along `dim` with its place; the lower of two, NaN if one is."""
    if dim is None:
        return write_out(out, median_all(input), input)
    return write_out(out, median_along(input, dim, keepdim), input)


@function
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Median of what is not NaN, of all elements, or along `dim` with its place."""
    if dim is None:
        return write_out(out, nanmedian_all(input), input)
    return write_out(out, nanmedian_along(input, dim, keepdim), input)


@op(extra=True, result=return_types.mode)
def mode(x: Any, /, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim` (the smallest of several), and its last place."""
    axis = dim_of(dim, x.ndim)
    check_ordered("mode", x, bools=True)
    check_not_empty("mode", x, axis)
    if not x.ndim:
        return itself(x)
    order = order_of(x, axis)
    runs = run_lengths(taken(x, order, axis), axis)
    last = np.argmax(runs, axis=axis, keepdims=True)
    return selected(x, taken(order, last, axis), axis, keepdim)


def run_lengths(x: Any, axis: int) -> Any:
    """How many elements equal to each stand right before it (and itself) along `axis`."""
    own = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    first, rest = along(axis, slice(0, 1)), along(axis, slice(1, None))
    fresh = np.concatenate((x[first] == x[first], x[rest] != x[along(axis, slice(None, -1))]), axis)
    return own - np.maximum.accumulate(np.where(fresh, own, 0), axis=axis) + 1


mode.vjp(to_places)


# -- distinct elements -----------------------------------------------------------------------------


def distinct(rows: Any, order: Any) -> tuple:
    """Where distinct rows start, rows being taken in `order`, and each row's number among them."""
    taken = rows if order is None else rows[order]
    fresh = taken[1:] != taken[:-1]
    if rows.ndim > 1:
        fresh = np.logical_or.reduce(fresh, axis=tuple(range(1, rows.ndim)))
    fresh = np.concatenate((np.ones(1 if len(rows) else 0, bool), fresh))
    number = np.add.accumulate(fresh, dtype=I64) - 1
    if order is not None:
        number[order] = number.copy()
    return np.flatnonzero(fresh), number


def in_order(rows: Any) -> Any:
    """The places of rows in lexicographic order."""
    if rows.ndim == 1:
        return order_of(rows, 0)
    return np.lexsort(rows.reshape(len(rows), -1).T[::-1]) if rows.size else np.arange(len(rows))


def check_rows(shape: tuple, axis: int) -> None:
    """Raise torch's error where rows along `axis` have no elements to compare."""
    if shape.count(0) > (shape[axis] == 0):
        raise RuntimeError(
            "Number of zero sized dimensions is more than one, so unique cannot be applied "
            if not shape[axis]
            else (
                "There are 0 sized dimensions, and they aren't selected, so unique cannot be"
                " applied"
            )
        )


def distinct_op(name: str, sort: bool) -> Callable:
    """An operator that finds the distinct elements or slices, in order or as they follow."""

    def kernel(x: Any, /, dim: int | None, inverse: bool, counts: bool) -> Any:
        refuse_complex("unique", x)
        if dim is not None and not x.ndim:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        axis = None if dim is None else dim_of(dim, x.ndim)
        if axis is not None:
            check_rows(x.shape, axis)
        rows = x.reshape(-1) if axis is None else x.swapaxes(0, axis)
        order = in_order(rows) if sort else None
        starts, number = distinct(rows, order)
        out = [rows[starts if order is None else order[starts]]]
        if axis is not None:
            out = [out[0].swapaxes(0, axis)]
        if inverse:
            out.append(number.reshape(x.shape) if axis is None else number)
        if counts:
            out.append(np.diff(np.append(starts, len(rows))))
        return tuple(out)

    def rule(g: Any) -> Any:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    entry = op(kernel, name=name, namespace="primitive")
    entry.vjp(rule)
    return entry


UNIQUE = [distinct_op(name, True) for name in ("_unique2", "unique_dim")]
RUNS = [distinct_op(name, False) for name in ("unique_consecutive", "unique_dim_consecutive")]


@function
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (or slices of `dim`) in order; each one's place, and the counts."""
    found = UNIQUE[dim is not None](input, dim, return_inverse, return_counts)
    return found if len(found) > 1 else found[0]


@function
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of each run of equal elements (or slices of `dim`); each one's run, the lengths."""
    found = RUNS[dim is not None](input, dim, return_inverse, return_counts)
    return found if len(found) > 1 else found[0]


# -- searching -------------------------------------------------------------------------------------


def place_in(row: np.ndarray, y: Any, side: str) -> Any:
    """`np.searchsorted`, but NaN (in the row, too) leads where the halving of torch ends, for which
    no element is as large.
    """
    places = np.searchsorted(row, y, side)
    if not (row.dtype.kind == "f" and np.isnan(row).any()):
        odd = np.asarray(y) != y
        return np.where(odd, len(row), places) if odd.any() else places
    first, last = np.zeros(np.shape(y), I64), np.full(np.shape(y), len(row), I64)
    for _ in range(len(row).bit_length()):
        middle = (first + last) // 2
        found = row[np.minimum(middle, len(row) - 1)]
        below = (first < last) & ~(found > y if side == "right" else found >= y)
        first, last = np.where(below, middle + 1, first), np.where(below, last, middle)
    return first


@op(promote=MOVE, name="searchsorted", namespace="primitive", numbers=True)
def places_among(
    x: Any, y: Any, /, right: bool = False, out_int32: bool = False, sorter: Any = None
) -> Any:
    """Where each of `y` belongs in the ordered `x`, row by row if `x` has rows."""
    refuse_complex("searchsorted_out_cpu", y if hasattr(y, "dtype") else x)
    side = "right" if right else "left"
    if sorter is not None:
        x = np.take_along_axis(x, sorter, -1)
    if x.ndim == 1:
        out = place_in(x, y, side)
    else:
        n = math.prod(x.shape[:-1])
        rows = zip(x.reshape(n, x.shape[-1]), y.reshape(n, y.shape[-1]), strict=True)
        out = np.array([place_in(a, b, side) for a, b in rows], I64).reshape(y.shape)
    return out.astype(np.int32 if out_int32 else I64)


@function(method=False)
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
    out: Any = None,
) -> Any:
    """Where each of `input` belongs in the ordered `sorted_sequence`, row by row if that has rows.

    Before equal values, or after them with `right` or `side="right"`; `sorter` is an order.
    """
    if side not in (None, "left", "right"):
        text = f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        raise RuntimeError(text)
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got "
            "side of left while right was True"
        )
    data = tensor_data("searchsorted", sorted_sequence, "sorted_sequence")
    check_boundaries(data, getattr(input, "_data", None))
    if sorter is not None:
        check_sorter(data, sorter._data)
    found = places_among(sorted_sequence, input, right or side == "right", out_int32, sorter)
    return write_out(out, found)


def check_boundaries(x: Any, y: Any) -> None:
    """Raise torch's error where the values cannot be searched in the boundaries."""
    if not x.ndim:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should have positive "
            "dimension, but got 0 dimension"
        )
    if x.ndim == 1:
        return
    if y is None or not y.ndim:
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor "
            f"dimension is 1, but we got boundaries tensor dim({x.ndim}) and input value's dim(0) "
            "numel(1)"
        )
    if x.shape[:-1] != y.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(x.shape)} and input value tensor {list(y.shape)}"
        )


def check_sorter(x: Any, sorter: Any) -> None:
    """Raise torch's error where `sorter` is no order of `x`."""
    if sorter.shape != x.shape:
        raise RuntimeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary "
            f"tensor {list(x.shape)}and got sorter tensor {list(sorter.shape)}"
        )
    if sorter.dtype != I64:
        raise RuntimeError(
            "torch.searchsorted(): sorter must be a tensor of long dtype but got "
            f"dtype {scalar_name(FROM_NUMPY[sorter.dtype])}"
        )
    if sorter.size and not 0 <= sorter.min() <= sorter.max() < x.shape[-1]:
        raise RuntimeError("torch.searchsorted(): sorter index out of range")


@function(method=False)
def bucketize(
    input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Any:
    """Which of the buckets between the ordered 1-d `boundaries` each of `input` falls into."""
    ndim = tensor_data("bucketize", boundaries, "boundaries", 2).ndim
    if ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({ndim})")
    return write_out(out, places_among(boundaries, input, right, out_int32))


@op(promote=SAME, method=False)
def isin(
    elements: Any, test_elements: Any, /, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Whether each of `elements` is among `test_elements`."""
    for x in (elements, test_elements):
        if getattr(x, "dtype", I64).kind == "c":
            kind = scalar_name(FROM_NUMPY[x.dtype])
            raise RuntimeError(f"Unsupported input type encountered for isin(): {kind}")
    return np.isin(elements, test_elements, assume_unique=assume_unique, invert=invert)
