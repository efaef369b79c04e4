"""Writing by index: assignment, scatter, index_add, masked_fill, fill, copy.

A writer says what an array looks like after some of its places have been written: `put` (overwrite) or `add_at` (add,
repeated places adding up) at a NumPy index, or a mask. Each has a twin (`into`) that writes straight into memory, and is
used under the name of several nodes. A public function does index arithmetic and hands the rest to `do`: `fresh` makes a
new tensor, `in_place` writes into the input's memory and gives it its new history; so `both` makes two of each function.

No writer's rule looks at the values before or after the write, which is why the memory may change under it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import Duck
from ..dtypes import BOOL_NP, COMPLEX, F32, F64, FROM_NUMPY, HALVES, I64
from ..errors import not_a_tensor
from ..tape import state, storage_of
from ..tensor import Tensor
from .define import (MOVE, OPS, Op, assign, check_inplace, edges_of, function, op, primitive, put, put_add, rebase, scalar_name,
                     storage_array, wrap, write_out)  # fmt: skip
from .index import (ALIAS, FULL, SLICE, along, broadcast_shapes, check_along, check_flat, dim_of, grid, index_error, look,
                    out_of_range, split, tensor_data)  # fmt: skip

# -- writers ---------------------------------------------------------------------------------------------------------


@primitive
def add_at(x: Any, y: Any, /, index: Any) -> Any:
    """A copy of `x` with `y` added at `index` (a NumPy index; repeated places add up)."""
    out = np.array(x)
    add_into(out, y, index)
    return out


@add_at.vjp
def _(g):
    return g


@add_at.vjp
def _(g, index):
    return g[index]


def add_into(out: Any, y: Any, index: Any) -> None:
    """out[index] += y, with repeated places adding up."""
    np.add.at(out, index, y)


def _overwrite(out: Any, y: Any, index: Any) -> None:
    out[index] = y


def _cleared(g: Any, index: Any) -> Any:
    return put(g, np.zeros((), g.dtype), index)


def _nothing(g: Any) -> Any:
    return np.zeros((), g.dtype)


def writer(name: str, node: str, kernel: Callable, into: Callable, *rules: Callable) -> Op:
    """An operator that writes, under the name of a node; `kernel` takes as many tensors as there are rules."""
    entry = op(kernel, promote=MOVE, method=False, namespace="primitive", name=name, node=node, into=into)
    entry.op.set_rules(rules)
    return entry.op


def putter(name: str, node: str) -> Op:
    """Overwrite the places of an index with a tensor."""
    return writer(name, node, lambda x, y, /, index: put(x, y, index), _overwrite, _cleared, lambda g, index: g[index])


def filler(name: str, node: str) -> Op:
    """Overwrite the places of an index with a number."""
    return writer(name, node, lambda x, /, value, index: put(x, value, index), _overwrite, _cleared)


def adder(name: str, node: str) -> Op:
    """Add a tensor at the places of an index."""
    return writer(name, node, lambda x, y, /, index: add_at(x, y, index), add_into, lambda g: g, lambda g, index: g[index])


PUT = putter("index_put", "IndexPutBackward0")
PUT_ADD = adder("index_put_accumulate", "IndexPutBackward0")
SCATTER, SCATTER_NUMBER = putter("scatter", "ScatterBackward0"), filler("scatter_number", "ScatterBackward1")
SCATTER_ADD = adder("scatter_add", "ScatterAddBackward0")
INDEX_ADD, INDEX_COPY = adder("index_add", "IndexAddBackward0"), putter("index_copy", "IndexCopyBackward0")
INDEX_FILL, INDEX_FILL_TENSOR = filler("index_fill", "IndexFillBackward0"), putter("index_fill_tensor", "IndexFillBackward1")
FLAT_PUT, FLAT_ADD = putter("put_flat", "PutBackward0"), adder("put_flat_accumulate", "PutBackward0")
SELECT_SCATTER = putter("select_scatter", "SelectScatterBackward0")
SLICE_SCATTER = putter("slice_scatter", "SliceScatterBackward0")


def _whole(name: str, node: str) -> Op:
    """Overwrite everything with a tensor."""
    return writer(name, node, lambda x, y, /: put(x, y, ...), lambda out, y: _overwrite(out, y, ...), _nothing, lambda g: g)


def _whole_number(name: str, node: str) -> Op:
    """Overwrite everything with a number."""
    return writer(name, node, lambda x, /, value: put(x, value, ...), lambda out, value: out.fill(value), _nothing)


COPY = _whole("copy", "CopyBackwards")
FILL, FILL_TENSOR = _whole_number("fill", "FillBackward0"), _whole("fill_tensor", "FillBackward1")
FILL_INTO, FILL_TENSOR_INTO = _whole_number("fill_into", "FillBackward2"), _whole("fill_tensor_into", "FillBackward3")
ZERO = _whole_number("zero", "ZeroBackward0")


def _masked(x: Any, value: Any, mask: Any) -> Any:
    return np.where(mask, value, x)


def _fill_mask(out: Any, value: Any, mask: Any) -> None:
    np.copyto(out, value, where=mask)


MASKED_FILL = writer("masked_fill", "MaskedFillBackward0", lambda x, /, value, mask: _masked(x, value, mask), _fill_mask,
                     lambda g, mask: np.where(mask, g.dtype.type(0), g))  # fmt: skip
MASKED_FILL_TENSOR = writer("masked_fill_tensor", "MaskedFillBackward1", lambda x, y, /, mask: _masked(x, y, mask), _fill_mask,
                            lambda g, mask: np.where(mask, g.dtype.type(0), g),
                            lambda g, mask: np.where(mask, g, g.dtype.type(0)))  # fmt: skip


def _masked_source_rule(g: Any, mask: Any, y_shape: tuple) -> Any:
    taken = g[mask]
    return put_add(taken, slice(taken.shape[0]), (math.prod(y_shape),)).reshape(y_shape)


MASKED_SCATTER = writer(
    "masked_scatter", "MaskedScatterBackward0",
    lambda x, y, /, mask: put(x, y.reshape(-1)[: np.count_nonzero(mask)], mask),
    lambda out, y, mask: _overwrite(out, y.reshape(-1)[: np.count_nonzero(mask)], mask),
    lambda g, mask: _cleared(g, mask), _masked_source_rule,
)  # fmt: skip


# -- doing it --------------------------------------------------------------------------------------------------------


def fresh(o: Op, x: Any, *rest: Any) -> Any:
    """A new tensor: `x` after the write."""
    inputs, params = (x, *rest[: o.n - 1]), rest[o.n - 1 :]
    arrays = tuple([i._data for i in inputs])
    t = wrap(state.run(o.kernel, *arrays, *params))
    if state.grad:
        o.attach(inputs, arrays, params, t, False, None)
    return t


def in_place(o: Op, x: Any, *rest: Any) -> Any:
    """`x`, written in its memory, with its new history."""
    check_inplace(x)
    data = storage_array(x)
    if type(data) is not np.ndarray:
        return assign(x, fresh(o, x, *rest), o.name)
    inputs, params = (x, *rest[: o.n - 1]), rest[o.n - 1 :]
    for other in inputs[1:]:
        check_overlap(x, other)
    before = edges_of((x,))
    arrays = tuple([i._data for i in inputs])
    state.run(o.into, *arrays, *params)
    x._storage.bump()
    if state.grad:
        t = wrap(data)
        o.attach(inputs, arrays, params, t, False, None)
        if t._node is not None:
            rebase(x, t._node, t._index, before)
    return x


def check_overlap(x: Any, y: Any) -> None:
    """Raise torch's error if `y` looks at part of the memory that `x` is about to be written in."""
    if x._storage is not y._storage:
        return
    a, b = x._data, y._data
    same = a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data
    if not same and a.flags.forc and b.flags.forc and np.may_share_memory(a, b):
        raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
                           "single memory location. Please clone() the tensor before performing the operation.")  # fmt: skip


def both(f: Callable | None = None, *, method: bool = True, namespace: str = "primitive", out: bool = True) -> Any:
    """Register `f(do, input, ...)` under its name, with `out=`, and as the method with `_`, which writes in place."""
    if f is None:
        return lambda f: both(f, method=method, namespace=namespace)

    def public(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        tensor_data(f.__name__, input)
        return write_out(out, f(fresh, input, *args, **kwargs), input)

    def changing(self: Any, *args: Any, **kwargs: Any) -> Any:
        return f(in_place, self, *args, **kwargs)

    for g, name in ((public, f.__name__), (changing, f.__name__ + "_")):
        g.__name__ = g.__qualname__ = name
        g.__doc__ = f.__doc__
    function(public, method=method)
    function(changing, namespace=namespace)
    return public


CPP_NAMES = {"bool": "bool", "uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
             "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
             "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}  # fmt: skip


def fitting(value: Any, dtype: np.dtype) -> Any:
    """The number `value` as a scalar of `dtype`; torch's error if it does not fit."""
    kind = type(value)
    if kind is float and (dtype is F64 or (dtype is F32 and -3.4028234e38 <= value <= 3.4028234e38)):
        return dtype.type(value)
    d = FROM_NUMPY[dtype]
    value = dtypes.number(value)
    if d.category < COMPLEX and isinstance(value, complex) and (value.imag == 0 or d.name == "bool"):
        value = value.real if value.imag == 0 else 1
    if isinstance(value, complex):
        fits = d.category == COMPLEX and all(_in_range(p, d.to_real()) for p in (value.real, value.imag))
    else:
        fits = _in_range(value, d.to_real())
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {CPP_NAMES[d.name]} without overflow")
    if d.category == dtypes.INTEGER:
        value = int(value) % 256 if d.name == "uint8" else int(value)
    return dtype.type(value)


def _in_range(value: float, d: dtypes.dtype) -> bool:
    if d.name == "bool":
        return True
    if d.category == dtypes.INTEGER:
        low, high = int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max)
        return math.isfinite(value) and (-high if d.name == "uint8" else low) <= int(value) <= high
    return not math.isfinite(value) or abs(value) <= dtypes.finfo(d).max


def same_dtype(x: Any, y: Any, text: str) -> None:
    """Raise `text`, with the names of the two dtypes in its `{0}` and `{1}`, if they differ."""
    if x.dtype is not y.dtype:
        raise RuntimeError(text.format(scalar_name(FROM_NUMPY[x.dtype]), scalar_name(FROM_NUMPY[y.dtype])))


# -- x[index] = value ------------------------------------------------------------------------------------------------


def setitem(self: Any, index: Any, value: Any) -> None:
    """`self[index] = value`: a number, or a tensor that broadcasts to what the index looks at."""
    basic, advanced, last, _ = split(self, index)
    tensor = isinstance(value, Tensor)
    if not tensor:
        if not dtypes.is_number(value):
            raise TypeError(f"can't assign a {type(value).__name__} to a torch.{scalar_name(self.dtype)}Tensor")
        value = wrap(fitting(value, self._data.dtype))
    if basic is not None and not (advanced is None and _everything(index)):
        self = look(last, self, basic)
    if advanced is None:
        _copy(self, value, COPY if tensor else FILL_TENSOR_INTO)
    else:
        _index_put(self, advanced, value)


def _everything(index: Any) -> bool:
    return index is Ellipsis or (type(index) is tuple and not index) or (type(index) is slice and index == FULL)


def _copy(self: Any, value: Any, o: Op) -> None:
    """Write all of `self`, of which `value` may have leading dimensions of size 1 too many."""
    shape, source = self._data.shape, value._data.shape
    extra = len(source) - len(shape)
    if extra > 0 and source[:extra] == (1,) * extra:
        value = value.reshape(source[extra:])
        source = source[extra:]
    check_expand(value, source, shape)
    in_place(o, self, converted(value, self._data.dtype))


def check_expand(value: Any, source: tuple, shape: tuple) -> None:
    """Raise torch's error if `source` does not expand to `shape`."""
    if len(source) > len(shape):
        raise RuntimeError(f"expand(torch.{scalar_name(value.dtype)}Tensor{{{list(source)}}}, size={list(shape)}): the number of "
                           f"sizes provided ({len(shape)}) must be greater or equal to the number of dimensions in the tensor "
                           f"({len(source)})")  # fmt: skip
    lead = len(shape) - len(source)
    for k, n in enumerate(source):
        if n not in (1, shape[k + lead]):
            raise RuntimeError(f"The expanded size of the tensor ({shape[k + lead]}) must match the existing size ({n}) at "
                               f"non-singleton dimension {k + lead}.  Target sizes: {list(shape)}.  Tensor sizes: {list(source)}")  # fmt: skip


def converted(value: Any, dtype: np.dtype) -> Any:
    """A tensor in `dtype`, its conversion on record; the imaginary part goes with torch's warning."""
    if value._data.dtype is dtype:
        return value
    if value._data.dtype.kind == "c" and dtype.kind not in "cb":
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=5)
        value = value.real
    return OPS["cast"].entry(value, dtype)


def _index_put(self: Any, advanced: Any, value: Any) -> None:
    parts = advanced if type(advanced) is tuple else (advanced,)
    if value._data.size == 1 and all(isinstance(p, slice) or p.dtype.kind == "b" for p in parts):
        value = converted(value, self._data.dtype)
    put_tensor(in_place, self, advanced, value, PUT)


def put_tensor(do: Callable, x: Any, place: Any, value: Any, o: Op) -> Any:
    """Write (or, by another operator, add) `value` at the places of an advanced index."""
    same_dtype(x._data, value._data, "Index put requires the source and destination dtypes match, got {0} for the "
                                     "destination and {1} for the source.")  # fmt: skip
    try:
        return do(o, x, value, place)
    except IndexError as e:
        raise index_error(e, x._data.shape, place) from None
    except ValueError as e:
        target = wrap(x._data)[place].shape
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result "
                           f"of shape {list(target)}") from e  # fmt: skip


@both(namespace="torch")
def index_put(do: Callable, input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """`input` with `values` at (or, accumulating, added at) the places that the tuple of index tensors names."""
    if not isinstance(indices, (tuple, list)):
        raise TypeError("index_put(): argument 'indices' (position 1) must be tuple of Tensors, not "
                        f"{type(indices).__name__}")  # fmt: skip
    tensor_data("index_put", values, "values", 2)
    for k, i in enumerate(indices):
        if not isinstance(i, Tensor):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(i).__name__}")
    if len(indices) > input._data.ndim:
        raise IndexError(f"too many indices for tensor of dimension {input._data.ndim} (got {len(indices)})")
    place = split(input, tuple(indices))[1]
    if not accumulate:
        return put_tensor(do, input, place, values, PUT)
    return put_tensor(do, input, place, values, PUT_ADD)


# -- along one dimension ---------------------------------------------------------------------------------------------


def _scattered(name: str, input: Any, dim: int, index: Any, src: Any = None) -> tuple:
    """The NumPy index of a scatter, and its source cut to the index's size (None without a source)."""
    x, i = input._data, tensor_data(name, index, "index", 2)
    if src is not None:
        same_dtype(x, tensor_data(name, src, "src", 3), "scatter(): Expected self.dtype to be equal to src.dtype")
    dim = dim_of(dim, x.ndim)
    if not i.size:
        return None, None
    if max(i.ndim, 1) != max(x.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    shape = i.shape
    if src is not None:
        if max(i.ndim, 1) != max(src._data.ndim, 1):
            raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
        src = _cut(x.shape, shape, dim, src)
    elif any(n > m for k, (n, m) in enumerate(zip(shape, x.shape, strict=False)) if k != dim):
        raise RuntimeError(f"Expected index {list(shape)} to be no larger than self {list(x.shape)} apart from dimension {dim}")
    check_along("scatter", x, dim, i)
    return (() if not x.ndim else grid(i.reshape(-1) if x.ndim == 1 else i, dim)), src


def _cut(x_shape: tuple, shape: tuple, dim: int, src: Any) -> Any:
    have = src._data.shape
    if any((n > m and k != dim) or n > s for k, (n, m, s) in enumerate(zip(shape, x_shape, have, strict=False))):
        raise RuntimeError(f"Expected index {list(shape)} to be no larger than self {list(x_shape)} apart from dimension {dim} "
                           f"and to be no larger size than src {list(have)}")  # fmt: skip
    if len(x_shape) != len(have):
        src = src.reshape(shape if not x_shape or not shape else -1)
    return src if src._data.shape == shape or not shape else look(SLICE, src, (*[slice(n) for n in shape], ...))


REDUCTIONS = {"add": "sum", "multiply": "prod"}


@both
def scatter(do: Callable, input: Any, dim: int, index: Any, src: Any = None, value: Any = None, *, reduce: Any = None) -> Any:
    """`input` with out[index[i][j]][j] = src[i][j] for dim 0, and so on; or a number; or added or multiplied (`reduce`)."""
    if src is None and value is None:
        raise TypeError("scatter() received an invalid combination of arguments: give src (a Tensor) or value (a number)")
    if src is not None and not isinstance(src, Tensor):
        src, value = None, src
    if reduce is not None:
        return _scatter_reducing(do, input, dim, index, src, value, reduce)
    place, source = _scattered("scatter", input, dim, index, src)
    if place is None:
        return _unchanged(do, input, src, SCATTER)
    if src is not None:
        return do(SCATTER, input, source, place)
    return do(SCATTER_NUMBER, input, fitting(value, input._data.dtype), place)


def _unchanged(do: Callable, input: Any, src: Any, o: Op) -> Any:
    """Nothing is written: an empty index."""
    nothing = (slice(0),) if input._data.ndim else (np.zeros(0, np.intp),)
    if src is None:
        return do(SCATTER_NUMBER, input, input._data.dtype.type(0), nothing)
    empty = wrap(np.zeros((0,), input._data.dtype))
    return do(o, input, empty.reshape((0,) + (1,) * (input._data.ndim - 1)), nothing) if input._data.ndim else do(COPY, input, input)


def _scatter_reducing(do: Callable, input: Any, dim: int, index: Any, src: Any, value: Any, reduce: str) -> Any:
    if reduce not in REDUCTIONS:
        raise RuntimeError("reduce argument must be either add or multiply.")
    if src is None:
        src = wrap(np.full(index.shape, fitting(value, input._data.dtype)))
    return _scatter_reduce(do, input, dim, index, src, REDUCTIONS[reduce], True)


@both
def scatter_add(do: Callable, input: Any, dim: int, index: Any, src: Any) -> Any:
    """`input` with src[i][j] added to out[index[i][j]][j] for dim 0, and so on."""
    tensor_data("scatter_add", src, "src", 3)
    place, source = _scattered("scatter_add", input, dim, index, src)
    return _unchanged(do, input, src, SCATTER_ADD) if place is None else do(SCATTER_ADD, input, source, place)
