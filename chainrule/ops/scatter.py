"""Writing along a dimension: scatter, index_add and their like, put, and slices out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..dtypes import F32, FROM_NUMPY, HALVES, I64
from ..tensor import Tensor
from .define import Op, function, primitive, scalar_name, wrap, write_out
from .index import (
    SLICE,
    along,
    check_along,
    check_flat,
    check_range,
    coordinates,
    dim_of,
    grid,
    look,
    tensor_data,
)
from .places import put
from .write import (
    add_at,
    adder,
    both,
    check_scalar,
    cleared,
    converted,
    filler,
    fitting,
    fresh,
    in_place,
    overwrite,
    putter,
    same_dtype,
    writer,
)

SCATTER, SCATTER_NUMBER = (
    putter("scatter", "ScatterBackward0", rows=True),
    filler("scatter_number", "ScatterBackward1", rows=True),
)


SCATTER_ADD = adder("scatter_add", "ScatterAddBackward0", rows=True)


INDEX_ADD, INDEX_COPY = (
    adder("index_add", "IndexAddBackward0", rows=True),
    putter("index_copy", "IndexCopyBackward0", rows=True),
)


INDEX_FILL = filler("index_fill", "IndexFillBackward0")


INDEX_FILL_TENSOR = writer(
    "index_fill_tensor",
    "IndexFillBackward1",
    lambda x, y, /, index: put(x, y, index),
    overwrite,
    cleared,
    lambda g, index: np.where(put(np.zeros(g.shape, bool), True, index), g, g.dtype.type(0)),
)


FLAT_PUT, FLAT_ADD = (
    putter("put_flat", "PutBackward0"),
    adder("put_flat_accumulate", "PutBackward0"),
)


SELECT_SCATTER = putter("select_scatter", "SelectScatterBackward0")


SLICE_SCATTER = putter("slice_scatter", "SliceScatterBackward0")


# -- meetings: what several values sent to one place become ----------------------------------------


@primitive
def multiply_at(x: Any, y: Any, /, index: Any) -> Any:
    """A copy of `x` multiplied by `y` at `index` (a NumPy index; repeated places multiply up)."""
    out = np.array(x)
    np.multiply.at(out, index, y)
    return out


@multiply_at.vjp
def _(g, y, index, x_shape):
    return g * multiply_at(as_part_of(np.ones(x_shape, g.dtype), y), y, index)


@multiply_at.vjp
def _(g, x, y, index, out):
    zero = y == 0
    none = as_part_of(np.zeros(x.shape, np.int64), x)
    lonely = zero & (add_at(none, zero.astype(np.int64), index)[index] == 1)
    without = multiply_at(x, np.where(lonely, y.dtype.type(1), y), index)
    return np.where(
        lonely, (g * without)[index], (g * out)[index] / np.where(zero, y.dtype.type(1), y)
    )


@primitive
def extreme_at(x: Any, y: Any, /, index: Any, how: str) -> Any:
    """A copy of `x` in which the places of `index` hold the extreme of it and of all of `y` sent
    there.
    """
    out = np.array(x)
    (np.maximum if how == "amax" else np.minimum).at(out, index, y)
    return out


@extreme_at.vjp
def _(g, x, y, index, out):
    return np.where(x == out, g / _winners(x, y, index, out), 0).astype(g.dtype)


@extreme_at.vjp
def _(g, x, y, index, out):
    share = (g / _winners(x, y, index, out))[index]
    return np.where(y == out[index], share, 0).astype(g.dtype)


def _winners(x: Any, y: Any, index: Any, out: Any) -> Any:
    """How many values are the extreme of their place, at least one."""
    won = (x == out).astype(np.float32), (y == out[index]).astype(np.float32)
    return np.maximum(add_at(*won, index), np.float32(1))


def _extreme(x: Any, how: str) -> Any:
    """The value that loses against every other: of amax the lowest, of amin the highest."""
    sign = -1 if how == "amax" else 1
    if x.dtype.kind in "biu":
        info = np.iinfo(x.dtype) if x.dtype.kind != "b" else None
        return (how == "amin") if info is None else info.min if sign < 0 else info.max
    return sign * np.inf


def as_part_of(array: Any, like: Any) -> Any:
    """A plain array as one of the program that is being captured, if `like` is."""
    return like.zeros(array) if isinstance(like, Duck) and like.ground else array


def _count(x: Any, y: Any, index: Any, include_self: bool) -> Any:
    """How many values met at each place (1 where none did)."""
    start, ones = np.full(x.shape, int(include_self), np.int64), np.ones(y.shape, np.int64)
    count = add_at(as_part_of(start, x), as_part_of(ones, y), index)
    return np.where(count == 0, 1, count)


def _meet(x: Any, y: Any, index: Any, how: str, include_self: bool) -> Any:
    """`x` after `y` was sent to `index`: the values that meet are added, multiplied, averaged, or
    the extreme one stays.
    """
    if x.dtype in HALVES:
        return _meet(x.astype(F32), y.astype(F32), index, how, include_self).astype(x.dtype)
    if not include_self:
        x = put(
            x,
            x.dtype.type(
                {"sum": 0, "mean": 0, "prod": 1}.get(how) if how[0] != "a" else _extreme(x, how)
            ),
            index,
        )
    if how == "prod":
        return multiply_at(x, y, index)
    if how[0] == "a":
        return extreme_at(x, y, index, how)
    total = add_at(x, y, index)
    if how == "sum":
        return total
    count = _count(x, y, index, include_self)
    return (
        total // count.astype(x.dtype)
        if x.dtype.kind in "biu"
        else total / count.astype(x.real.dtype)
    )


def _meet_self(g: Any, x: Any, y: Any, out: Any, index: Any, how: str, include_self: bool) -> Any:
    if how[0] == "a":
        own, _, count = _hits(x, y, out, index, include_self, g.dtype)
        return g * own / count
    if how == "mean":
        g = g / _count(x, y, index, include_self).astype(g.real.dtype)
    elif how == "prod":
        g = g * multiply_at(as_part_of(np.ones(x.shape, g.dtype), x), y, index)
    return g if include_self else put(g, np.zeros((), g.dtype), index)


def _meet_other(g: Any, x: Any, y: Any, out: Any, index: Any, how: str, include_self: bool) -> Any:
    if how[0] == "a":
        _, others, count = _hits(x, y, out, index, include_self, g.dtype)
        return (g / count)[index] * others
    if how == "mean":
        g = g / _count(x, y, index, include_self).astype(g.real.dtype)
    elif how == "prod":
        start = x if include_self else put(x, np.ones((), x.dtype), index)
        return multiply_at.op.rules[1](g, start, y, index, out)
    return g[index]


def _hits(x: Any, y: Any, out: Any, index: Any, include_self: bool, dtype: Any) -> tuple:
    """Where `x` and `y` hold the extreme value, and how many share it at each place."""
    own, others = (x == out).astype(dtype), (y == out[index]).astype(dtype)
    if not include_self:
        own = put(own, np.zeros((), dtype), index)
    return own, others, add_at(own, others, index)


MEETINGS = ("prod", "mean", "amax", "amin")


def meeting(name: str, node: str) -> Op:
    """Send a tensor to the places of an index, under the name of a node."""
    return writer(
        name,
        node,
        lambda x, y, /, index, how, include_self: _meet(x, y, index, how, include_self),
        None,
        _meet_self,
        _meet_other,
        rows=True,
    )


SCATTER_REDUCE = meeting("scatter_reduce", "ScatterReduceBackward0")


INDEX_REDUCE = meeting("index_reduce", "IndexReduceBackward0")


# -- scatter ---------------------------------------------------------------------------------------


def scattered(
    do: Callable, name: str, input: Any, dim: int, index: Any, src: Any, write: Callable
) -> Any:
    """`write(input, place, src)` with the NumPy index that a scatter writes at, and `src` (if any)
    cut to its size.
    """
    x, i = input._data, tensor_data(name, index, "index", 2)
    if src is not None:
        same_dtype(
            x,
            tensor_data(name, src, "src", 3),
            "scatter(): Expected self.dtype to be equal to src.dtype",
        )
    dim = dim_of(dim, x.ndim)
    check_along("scatter", x, dim, i)
    if not x.ndim and i.size == 1:
        return write(input, (), src if src is None or not src._data.ndim else src.reshape(()))
    if not x.ndim:
        place = (i.reshape(-1),)
        done = write(input.reshape(1), place, src if src is None else src.reshape(-1))
        return input if do is in_place else done.reshape(())
    if not i.size:
        i = np.zeros((0,) + (1,) * (x.ndim - 1), np.int64)
        src = src if src is None else look(SLICE, src.reshape(-1), (slice(0), ...)).reshape(i.shape)
    elif not i.ndim:
        i = i.reshape(-1)
        src = src if src is None else src.reshape(-1)
    return write(input, grid(i, dim), _cut(x.shape, i.shape, dim, src))


def _cut(x_shape: tuple, shape: tuple, dim: int, src: Any) -> Any:
    """`src` cut to `shape`, after a look at whether the shapes of a scatter go together."""
    if len(shape) != len(x_shape):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    have = shape if src is None else src._data.shape
    if len(shape) != len(have):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    for k, (n, m, held) in enumerate(zip(shape, x_shape, have, strict=True)):
        if (n <= held and (n <= m or k == dim)) or 0 in shape:
            continue
        tail = "" if src is None else f" and to be no larger size than src {list(have)}"
        raise RuntimeError(
            f"Expected index {list(shape)} to be no larger than self {list(x_shape)} apart from "
            f"dimension {dim}{tail}"
        )
    return src if have == shape else look(SLICE, src, (*[slice(n) for n in shape], ...))


@both
def scatter(
    do: Callable,
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    value: Any = None,
    *,
    reduce: Any = None,
) -> Any:
    """`input` with out[index[i][j]][j] = src[i][j] for dim 0, and so on; or a number; or added or
    multiplied (`reduce`).
    """
    if src is None and value is None:
        raise TypeError(
            "scatter() received an invalid combination of arguments: give src (a Tensor) or value "
            "(a number)"
        )
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    number = value if src is None else src
    if isinstance(number, Tensor):
        if reduce == "multiply":
            return scatter_reduce.by(do, input, dim, index, number, "prod")
        how = SCATTER if reduce is None else SCATTER_ADD
        return scattered(
            do, "scatter", input, dim, index, number, lambda x, place, y: do(how, x, y, place)
        )
    number = fitting(number, input._data.dtype)
    if reduce is None:
        return scattered(
            do,
            "scatter",
            input,
            dim,
            index,
            None,
            lambda x, place, _: do(SCATTER_NUMBER, x, number, place),
        )
    return scatter.by(do, input, dim, index, wrap(np.full(index.shape, number)), reduce=reduce)


@both
def scatter_add(do: Callable, input: Any, dim: int, index: Any, src: Any) -> Any:
    """`input` with src[i][j] added to out[index[i][j]][j] for dim 0, and so on."""
    tensor_data("scatter_add", src, "src", 3)
    return scattered(
        do, "scatter_add", input, dim, index, src, lambda x, place, y: do(SCATTER_ADD, x, y, place)
    )


@both
def scatter_reduce(
    do: Callable,
    input: Any,
    dim: int,
    index: Any,
    src: Any,
    reduce: str,
    *,
    include_self: bool = True,
) -> Any:
    """`input` with sum, prod, mean, amax or amin of what is sent to each place.

    src[i][j] is sent to out[index[i][j]][j] for dim 0, and so on. With `include_self` the value
    that was there takes part.
    """
    if reduce not in ("sum", *MEETINGS):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    tensor_data("scatter_reduce", src, "src", 3)
    return scattered(
        do,
        "scatter_reduce",
        input,
        dim,
        index,
        src,
        lambda x, place, y: do(SCATTER_REDUCE, x, y, place, reduce, include_self),
    )


# -- slices of one dimension -----------------------------------------------------------------------


def index_of(name: str, input: Any, dim: int, index: Any, source: Any) -> tuple:
    """The NumPy index at which an index_add or its like writes, all arguments checked."""
    x, i = input._data, tensor_data(name, index, "index", 2)
    if i.ndim > 1:
        raise IndexError(
            f"{name}_(): Index is supposed to be a vector, but got dim: {i.ndim} with type: "
            f"{scalar_name(FROM_NUMPY[i.dtype])} and size: {list(i.shape)}"
        )
    if i.dtype.kind != "i" or i.dtype.itemsize < 4:
        raise RuntimeError(
            f"{name}_(): Expected dtype int32/int64 for index but got: "
            f"{scalar_name(FROM_NUMPY[i.dtype])}"
        )
    dim = dim_of(dim, x.ndim)
    check_source(name, x, dim, i, source)
    size = x.shape[dim] if x.ndim else 1
    if x.ndim < 2:
        check_range(i, size, 0, IndexError, "index out of range in self")
    text = f"index {{}} is out of bounds for dimension {dim} with size {size}"
    check_range(i, size, 0, RuntimeError, text)
    return along(dim, i.reshape(-1)) if x.ndim else ()


def check_source(name: str, x: Any, dim: int, index: Any, source: Any) -> None:
    """Raise unless `source` has the shape of `x`, but for one slice per index along `dim`."""
    y = tensor_data(name, source, "source", 3)
    same_dtype(x, y, name + "_(): self ({0}) and source ({1}) must have the same scalar type")
    have = y.shape[dim] if dim < y.ndim else 1
    if index.size != have:
        raise RuntimeError(
            f"{name}_(): Number of indices ({index.size}) should be equal to source.size(dim): "
            f"({have}), for dim: {dim}"
        )
    if x.ndim != y.ndim or _but(x.shape, dim) != _but(y.shape, dim):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(x.shape)} source.shape = {list(y.shape)}"
        )


def _but(shape: tuple, dim: int) -> tuple:
    """A shape without one of its dimensions."""
    return shape[:dim] + shape[dim + 1 :]


@both
def index_add(
    do: Callable, input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1
) -> Any:
    """`input` with alpha times the slices of `source` added to those that `index` names."""
    place = index_of("index_add", input, dim, index, source)
    return do(INDEX_ADD, input, source if alpha == 1 else source * alpha, place)


@both
def index_reduce(
    do: Callable,
    input: Any,
    dim: int,
    index: Any,
    source: Any,
    reduce: str,
    *,
    include_self: bool = True,
) -> Any:
    """`input` with prod, mean, amax or amin of the slices of `source` sent where `index` says."""
    if reduce not in MEETINGS:
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    place = index_of("index_reduce", input, dim, index, source)
    return do(INDEX_REDUCE, input, source, place, reduce, include_self)


@both
def index_copy(do: Callable, input: Any, dim: int, index: Any, source: Any) -> Any:
    """`input` with the slices of `source` in place of those that `index` names along `dim`."""
    x, i = input._data, tensor_data("index_copy", index, "index", 2)
    y = tensor_data("index_copy", source, "source", 3)
    dim = dim_of(dim, x.ndim)
    _check_index_copy(x, y, dim, i)
    place = along(dim, i.reshape(-1) if y.ndim else i) if x.ndim else ()
    return do(INDEX_COPY, input, source if x.ndim else source.reshape(()), place)


def _check_index_copy(x: Any, y: Any, dim: int, i: Any) -> None:
    if i.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {i.ndim})")
    if y.ndim and x.ndim and y.ndim != x.ndim:
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must "
            f"match. Source dimensionality ({y.ndim}), destination dimensionality ({x.ndim})"
        )
    if i.dtype is not I64:
        raise RuntimeError(
            "index_copy_(): Expected a long tensor for index, but got "
            f"{scalar_name(FROM_NUMPY[i.dtype])}"
        )
    same_dtype(
        x,
        y,
        "index_copy_(): self and source expected to have the same dtype, but got (self) {0} and "
        "(source) {1}",
    )
    size = x.shape[dim] if x.ndim else 1
    text = f"index_copy_(): index {{}} is out of bounds for dimension {dim} with size {size}"
    check_range(i, size, 0, IndexError, text)
    _check_copied_slices(x, y, dim, i)


def _check_copied_slices(x: Any, y: Any, dim: int, i: Any) -> None:
    have = y.shape[dim] if y.ndim else 1
    if i.size != have:
        raise IndexError(
            f"index_copy_(): Number of indices ({i.size}) should be equal to source.size(dim) "
            f"({have})"
        )
    mine, theirs = _but(x.shape, dim), _but(y.shape, dim)
    if mine != theirs:
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {' '.join(map(str, mine))} at dimension {dim} and source slice shape: "
            f"{' '.join(map(str, theirs))} at dimension 0."
        )


@both
def index_fill(do: Callable, input: Any, dim: int, index: Any, value: Any) -> Any:
    """`input` with `value`, a number or 0-d tensor, in the slices that `index` names."""
    x, i = input._data, tensor_data("index_fill", index, "index", 2)
    dim = dim_of(dim, x.ndim)
    if i.dtype is not I64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if i.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    size = x.shape[dim] if x.ndim else 1
    text = f"index {{}} is out of bounds for dimension {dim} with size {size}"
    check_range(i, size, None, IndexError, text)
    place = along(dim, i.reshape(-1)) if x.ndim else ...
    if isinstance(value, Tensor):
        check_scalar("index_fill_", value)
        return do(INDEX_FILL_TENSOR, input, converted(value, x.dtype), place)
    if isinstance(value, complex) and x.dtype.kind != "c":
        raise RuntimeError(
            "index_fill_(): Converting complex Scalar to non-complex type is not supported"
        )
    return do(INDEX_FILL, input, fitting(value, x.dtype), place)


# -- flattened -------------------------------------------------------------------------------------


@both(name="put")
def put_flat(do: Callable, input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """`input` with the elements of `source` at (or, accumulating, added at) `index` in its
    flattened form.
    """
    x, i, y = (
        input._data,
        tensor_data("put", index, "index", 2),
        tensor_data("put", source, "source", 3),
    )
    if i.dtype is not I64:
        raise RuntimeError(
            f"put_(): Expected a long tensor for index, but got {scalar_name(FROM_NUMPY[i.dtype])}"
        )
    same_dtype(
        x,
        y,
        "put_(): self and source expected to have the same dtype, but got self.dtype = {0} and "
        "source.dtype = {1}",
    )
    if i.size != y.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            "source.numel() = "
            f"{y.size}, index.numel() = {i.size}"
        )
    check_flat("put", i, x.size)
    if not x.ndim and i.size != 1:
        done = put_flat.by(do, input.reshape(1), index, source, accumulate)
        return input if do is in_place else done.reshape(())
    place = coordinates(i % max(x.size, 1), x.shape)
    shape = i.shape if x.ndim else ()
    source = source if y.shape == shape else source.reshape(shape)
    return do(FLAT_ADD if accumulate else FLAT_PUT, input, source, place)


# -- one slice -------------------------------------------------------------------------------------


def _scatter_slice(o: Op, input: Any, src: Any, place: tuple) -> Any:
    """`input` with `src` at a basic index, of whose slice it must have the shape."""
    y = tensor_data(o.name, src, "src", 2)
    same_dtype(
        input._data,
        y,
        o.name + "(): expected self and src to have the same dtype, but got {0} and {1}",
    )
    shape = wrap(input._data)._data[(*place, ...)].shape
    if y.shape != shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(y.shape)}, "
            f"slice size = {list(shape)}"
        )
    return fresh(o, input, src, place)


@function
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """`input` with `src` in place of one index of dimension `dim`."""
    shape = tensor_data("select_scatter", input).shape
    dim = dim_of(dim, len(shape))
    if not -shape[dim] <= index < shape[dim]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension "
            f"{dim}"
        )
    return _scatter_slice(SELECT_SCATTER, input, src, along(dim, index))


@function
def slice_scatter(
    input: Any,
    src: Any,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
    *,
    out: Any = None,
) -> Any:
    """`input` with `src` in place of a slice of dimension `dim`."""
    shape = tensor_data("slice_scatter", input).shape
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    place = along(dim_of(dim, len(shape)), slice(start, end, step))
    return write_out(out, _scatter_slice(SLICE_SCATTER, input, src, place), input)
