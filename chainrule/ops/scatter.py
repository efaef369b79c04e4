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
from .define import (MOVE, OPS, Op, add_places, assign, check_inplace, edges_of, function, op, primitive, put, put_add, rebase, same_memory, scalar_name,
                     storage_array, wrap, write_out)  # fmt: skip
from .index import (FULL, SLICE, along, broadcast_shapes, check_along, check_flat, dim_of, grid, index_error, last_step, look,
                    out_of_range, split, tensor_data, type_name)  # fmt: skip

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
    """out[index] += y, with repeated places adding up; halves add up in float32."""
    if out.dtype in HALVES:
        total = out.astype(F32)
        add_places(total, y.astype(F32), index)
        out[...] = total
    else:
        add_places(out, y, index)


def _overwrite(out: Any, y: Any, index: Any) -> None:
    out[index] = y


def _cleared(g: Any, index: Any) -> Any:
    return put(g, np.zeros((), g.dtype), index)


def _nothing(g: Any) -> Any:
    return np.zeros((), g.dtype)


def writer(
    name: str,
    node: str,
    kernel: Callable,
    into: Callable | None,
    *rules: Callable,
    keeps: bool = True,
) -> Op:
    """An operator that writes, under the name of a node; `kernel` takes as many tensors as there are rules."""
    entry = op(
        kernel,
        promote=MOVE,
        method=False,
        namespace="primitive",
        name=name,
        node=node,
        into=into,
        keeps=keeps,
    )
    entry.op.set_rules(rules)
    return entry.op


def putter(name: str, node: str) -> Op:
    """Overwrite the places of an index with a tensor."""
    return writer(
        name,
        node,
        lambda x, y, /, index: put(x, y, index),
        _overwrite,
        _cleared,
        lambda g, index: g[index],
    )


def filler(name: str, node: str) -> Op:
    """Overwrite the places of an index with a number."""
    return writer(name, node, lambda x, /, value, index: put(x, value, index), _overwrite, _cleared)


def adder(name: str, node: str) -> Op:
    """Add a tensor at the places of an index."""
    return writer(
        name,
        node,
        lambda x, y, /, index: add_at(x, y, index),
        add_into,
        lambda g: g,
        lambda g, index: g[index],
    )


PUT = putter("index_put", "IndexPutBackward0")
PUT_ADD = adder("index_put_accumulate", "IndexPutBackward0")
SCATTER, SCATTER_NUMBER = (
    putter("scatter", "ScatterBackward0"),
    filler("scatter_number", "ScatterBackward1"),
)
SCATTER_ADD = adder("scatter_add", "ScatterAddBackward0")
INDEX_ADD, INDEX_COPY = (
    adder("index_add", "IndexAddBackward0"),
    putter("index_copy", "IndexCopyBackward0"),
)
INDEX_FILL = filler("index_fill", "IndexFillBackward0")
INDEX_FILL_TENSOR = writer("index_fill_tensor", "IndexFillBackward1", lambda x, y, /, index: put(x, y, index), _overwrite, _cleared,
                           lambda g, index: np.where(put(np.zeros(g.shape, bool), True, index), g, g.dtype.type(0)))  # fmt: skip
FLAT_PUT, FLAT_ADD = (
    putter("put_flat", "PutBackward0"),
    adder("put_flat_accumulate", "PutBackward0"),
)
SELECT_SCATTER = putter("select_scatter", "SelectScatterBackward0")
SLICE_SCATTER = putter("slice_scatter", "SliceScatterBackward0")


# -- meetings: what several values sent to one place become ------------------------------------------------------------


@primitive
def multiply_at(x: Any, y: Any, /, index: Any) -> Any:
    """A copy of `x` multiplied by `y` at `index` (a NumPy index; repeated places multiply up)."""
    out = np.array(x)
    np.multiply.at(out, index, y)
    return out


@multiply_at.vjp
def _(g, y, index, x_shape):
    return g * multiply_at(np.ones(x_shape, g.dtype), y, index)


@multiply_at.vjp
def _(g, x, y, index, out):
    zero = y == 0
    lonely = zero & (add_at(np.zeros(x.shape, np.int64), zero.astype(np.int64), index)[index] == 1)
    without = multiply_at(x, np.where(lonely, y.dtype.type(1), y), index)
    return np.where(
        lonely, (g * without)[index], (g * out)[index] / np.where(zero, y.dtype.type(1), y)
    )


def _extreme(x: Any, how: str) -> Any:
    """The value that loses against every other: of amax the lowest, of amin the highest."""
    sign = -1 if how == "amax" else 1
    if x.dtype.kind in "biu":
        info = np.iinfo(x.dtype) if x.dtype.kind != "b" else None
        return (how == "amin") if info is None else info.min if sign < 0 else info.max
    return sign * np.inf


def _count(x: Any, y: Any, index: Any, include_self: bool) -> Any:
    """How many values met at each place (1 where none did)."""
    count = add_at(np.full(x.shape, int(include_self), np.int64), np.ones(y.shape, np.int64), index)
    return np.where(count == 0, 1, count)


def _meet(x: Any, y: Any, index: Any, how: str, include_self: bool) -> Any:
    """`x` after `y` was sent to `index`: the values that meet are added, multiplied, averaged, or the extreme one stays."""
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
        out = np.array(x)
        (np.maximum if how == "amax" else np.minimum).at(out, index, y)
        return out
    total = add_at(x, y, index)
    if how == "sum":
        return total
    count = _count(x, y, index, include_self)
    return (
        total // count.astype(x.dtype)
        if x.dtype.kind in "biu"
        else total / count.astype(x.real.dtype)
    )


def _meet_self(
    g: Any, x: Any, y: Any, out: Any, index: Any, how: str, include_self: bool
) -> Any:
    if how[0] == "a":
        own, _, count = _hits(x, y, out, index, include_self, g.dtype)
        return g * own / count
    if how == "mean":
        g = g / _count(x, y, index, include_self).astype(g.real.dtype)
    elif how == "prod":
        g = g * multiply_at(np.ones(x.shape, g.dtype), y, index)
    return g if include_self else put(g, np.zeros((), g.dtype), index)


def _meet_other(
    g: Any, x: Any, y: Any, out: Any, index: Any, how: str, include_self: bool
) -> Any:
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
    return writer(name, node, lambda x, y, /, index, how, include_self: _meet(x, y, index, how, include_self), None,
                  _meet_self, _meet_other)  # fmt: skip


SCATTER_REDUCE = meeting("scatter_reduce", "ScatterReduceBackward0")
INDEX_REDUCE = meeting("index_reduce", "IndexReduceBackward0")


def _whole(name: str, node: str) -> Op:
    """Overwrite everything with a tensor."""
    return writer(
        name,
        node,
        lambda x, y, /: put(x, y, ...),
        lambda out, y: _overwrite(out, y, ...),
        _nothing,
        lambda g: g,
    )


def _whole_number(name: str, node: str) -> Op:
    """Overwrite everything with a number."""
    return writer(
        name,
        node,
        lambda x, /, value: put(x, value, ...),
        lambda out, value: out.fill(value),
        _nothing,
    )


COPY = _whole("copy", "CopyBackwards")
FILL, FILL_TENSOR = _whole_number("fill", "FillBackward0"), _whole("fill_tensor", "FillBackward1")
FILL_INTO, FILL_TENSOR_INTO = (
    _whole_number("fill_into", "FillBackward2"),
    _whole("fill_tensor_into", "FillBackward3"),
)
ZERO = _whole_number("zero", "ZeroBackward0")
LENIENT = (FILL_INTO, FILL_TENSOR_INTO, ZERO)  # these may write an expanded tensor


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
    if state.mode[1]:
        o.attach(inputs, arrays, params, t, False, None)
    return t


def in_place(o: Op, x: Any, *rest: Any) -> Any:
    """`x`, written in its memory, with its new history."""
    check_inplace(x, rest, o in LENIENT)
    data = storage_array(x)
    if o.into is None or type(data) is not np.ndarray:
        return assign(x, fresh(o, x, *rest), o.name)
    others, params = rest[: o.n - 1], rest[o.n - 1 :]
    arrays = [data, *[y._data for y in others]]
    state.run(o.into, *arrays, *params)
    x._storage.bump()
    if state.mode[1] and (recorded(x) or any([recorded(y) for y in others])):
        inputs = (x, *others)
        before, t = edges_of((x,)), wrap(data)
        o.attach(inputs, arrays, params, t, False, None)
        if t._node is not None:
            rebase(x, t._node, t._index, before)
    return x


def recorded(x: Any) -> bool:
    """Whether `x`, or the tensor it is a view of, has a history or is a leaf that wants a gradient."""
    return x._node is not None or (x._base is not None and x._base._node is not None)


FORGETTING: dict[str, Op] = {}


def forget(x: Any, node: str) -> None:
    """Give `x`, all of which has been overwritten in place, the history that says so: its gradient ends in zeros."""
    if not state.mode[1] or not x.requires_grad:
        return
    if node not in FORGETTING:
        FORGETTING[node] = _whole_number(node, node)
    before, t = edges_of((x,)), wrap(x._data)
    FORGETTING[node].attach((x,), (x._data,), (0,), t, False, None)
    rebase(x, t._node, t._index, before)


def both(
    f: Callable | None = None, *, name: str = "", method: bool = True, namespace: str = "primitive"
) -> Any:
    """Register `f(do, input, ...)` under its name, with `out=`, and as the method with `_`, which writes in place."""
    if f is None:
        return lambda f: both(f, name=name, method=method, namespace=namespace)
    name = name or f.__name__

    def public(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        tensor_data(name, input)
        return write_out(out, f(fresh, input, *args, **kwargs), input)

    def changing(self: Any, *args: Any, **kwargs: Any) -> Any:
        return f(in_place, self, *args, **kwargs)

    public.__name__ = public.__qualname__ = name
    changing.__name__ = changing.__qualname__ = name + "_"
    public.__doc__ = changing.__doc__ = f.__doc__
    function(public, method=method)
    function(changing, namespace=namespace)
    return f


SPOKEN = {"uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int",
          "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
          "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}  # fmt: skip
CPP_NAMES = {"bool": "bool", "uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
             "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
             "complex64": "c10::complex<float>", "complex128": "c10::complex<double>"}  # fmt: skip


def fitting(value: Any, dtype: np.dtype) -> Any:
    """The number `value` as a scalar of `dtype`; torch's error if it does not fit."""
    kind = type(value)
    if kind is float and (
        dtype is F64 or (dtype is F32 and -3.4028234e38 <= value <= 3.4028234e38)
    ):
        return dtype.type(value)
    d = FROM_NUMPY[dtype]
    value = dtypes.number(value)
    if (
        d.category < COMPLEX
        and isinstance(value, complex)
        and (value.imag == 0 or d.name == "bool")
    ):
        value = value.real if value.imag == 0 else 1
    if isinstance(value, complex):
        fits = d.category == COMPLEX and all(
            _in_range(p, d.to_real()) for p in (value.real, value.imag)
        )
    else:
        fits = _in_range(value, d.to_real())
    if not fits:
        raise RuntimeError(
            f"value cannot be converted to type {CPP_NAMES[d.name]} without overflow"
        )
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
        raise RuntimeError(
            text.format(scalar_name(FROM_NUMPY[x.dtype]), scalar_name(FROM_NUMPY[y.dtype]))
        )


# -- x[index] = value ------------------------------------------------------------------------------------------------


def setitem(self: Any, index: Any, value: Any) -> None:
    """`self[index] = value`: a number, or a tensor that broadcasts to what the index looks at."""
    data, place = self._data, _plain_place(index)
    if place is not None and type(value) is Tensor and _is_already_there(self, data, place, value):
        check_inplace(value)
        self._storage.bump()
        return
    source = None if place is None else _plain_source(self, data, value)
    if source is not None:
        try:
            data[place] = source
        except (IndexError, ValueError, OverflowError):
            pass  # said in torch's words below; nothing has been written
        else:
            storage_of(self).bump()
            return
    _setitem(self, index, value)


def _is_already_there(self: Any, data: Any, place: Any, value: Any) -> bool:
    """Whether `value` looks at just the place it is assigned to, as after the `+=` of `x[0] += 1`."""
    if value._storage is None or value._storage is not self._storage or type(data) is not np.ndarray:
        return False
    try:
        return same_memory(data[place], value._data)
    except IndexError:
        return False


def _plain_source(self: Any, data: Any, value: Any) -> Any:
    """What an assignment that nobody records, converts or has to check may write; else None."""
    if type(data) is not np.ndarray or 0 in data.strides or (state.mode[1] and recorded(self)):
        return None
    kind, dtype = type(value), data.dtype
    if kind is float or kind is int:
        if dtype is F32 or dtype is F64:
            return value if -1e38 < value < 1e38 else None
        return value if dtype is I64 and kind is int else None
    if kind is not Tensor or value._data.dtype is not dtype or (state.mode[1] and recorded(value)):
        return None
    return None if value._storage is not None and value._storage is self._storage else value._data


def _plain_place(index: Any) -> Any:
    """The NumPy index of a simple index; else None."""
    kind = type(index)
    if kind is int:
        return (index, ...)
    if kind is tuple and last_step(index) is not None:
        return index if Ellipsis in index else (*index, ...)
    if kind is slice:
        return index if index.step is None else None
    if kind is Tensor:
        array = index._data
        if (
            type(array) is np.ndarray
            and array.ndim
            and (array.dtype is I64 or (array.dtype is BOOL_NP and array.size))
        ):
            return array
    return index if index is Ellipsis else None


def _setitem(self: Any, index: Any, value: Any) -> None:
    basic, advanced, last = split(self, index)
    tensor = isinstance(value, Tensor)
    if not tensor:
        if not dtypes.is_number(value):
            raise TypeError(
                f"can't assign a {type_name(value)} to a torch.{scalar_name(self.dtype)}Tensor"
            )
        dtype = self._data.dtype
        number = fitting(value, F64 if dtype in HALVES else dtype)
        value = wrap(number if number.dtype is dtype else state.run(number.astype, dtype))
    if basic is not None and not (advanced is None and _everything(index)):
        self = look(last, self, basic)
    if advanced is None:
        _copy(self, value, COPY if tensor else FILL_TENSOR_INTO)
    else:
        _index_put(self, advanced, value)


def _everything(index: Any) -> bool:
    return (
        index is Ellipsis
        or (type(index) is tuple and not index)
        or (type(index) is slice and index == FULL)
    )


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
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=5
        )
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
            raise TypeError(
                f"expected Tensor as element {k} in argument 0, but got {type(i).__name__}"
            )
    if len(indices) > input._data.ndim:
        raise IndexError(
            f"too many indices for tensor of dimension {input._data.ndim} (got {len(indices)})"
        )
    place = split(input, tuple(indices))[1]
    if not accumulate:
        return put_tensor(do, input, place, values, PUT)
    return put_tensor(do, input, place, values, PUT_ADD)


# -- along one dimension ---------------------------------------------------------------------------------------------


def scattered(
    do: Callable, name: str, input: Any, dim: int, index: Any, src: Any, write: Callable
) -> Any:
    """`write(input, place, src)` with the NumPy index that a scatter writes at, and `src` (if any) cut to its size."""
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
    if any(
        [
            (n > m and k != dim) or n > s
            for k, (n, m, s) in enumerate(zip(shape, x_shape, have, strict=True))
        ]
    ):
        tail = "" if src is None else f" and to be no larger size than src {list(have)}"
        raise RuntimeError(
            f"Expected index {list(shape)} to be no larger than self {list(x_shape)} apart from dimension {dim}{tail}"
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
    """`input` with out[index[i][j]][j] = src[i][j] for dim 0, and so on; or a number; or added or multiplied (`reduce`)."""
    if src is None and value is None:
        raise TypeError(
            "scatter() received an invalid combination of arguments: give src (a Tensor) or value (a number)"
        )
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    number = value if src is None else src
    if isinstance(number, Tensor):
        if reduce == "multiply":
            return scatter_reduce(do, input, dim, index, number, "prod")
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
    return scatter(do, input, dim, index, wrap(np.full(index.shape, number)), reduce=reduce)


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
    """`input` with sum, prod, mean, amax or amin of what src[i][j] sends to out[index[i][j]][j] for dim 0, and so on.

    With `include_self` the value that was there takes part.
    """
    if reduce not in ("sum", *MEETINGS):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    tensor_data("scatter_reduce", src, "src", 3)
    return scattered(do, "scatter_reduce", input, dim, index, src,
                     lambda x, place, y: do(SCATTER_REDUCE, x, y, place, reduce, include_self))  # fmt: skip


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
    bad = out_of_range(i, size, 0)
    if bad is not None and x.ndim < 2:
        raise IndexError("index out of range in self")
    if bad is not None:
        raise RuntimeError(f"index {bad} is out of bounds for dimension {dim} with size {size}")
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
        raise IndexError("index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
                         f"dimensionality ({y.ndim}), destination dimensionality ({x.ndim})")  # fmt: skip
    if i.dtype is not I64:
        raise RuntimeError(
            f"index_copy_(): Expected a long tensor for index, but got {scalar_name(FROM_NUMPY[i.dtype])}"
        )
    same_dtype(
        x,
        y,
        "index_copy_(): self and source expected to have the same dtype, but got (self) {0} and (source) {1}",
    )
    have = y.shape[dim] if y.ndim else 1
    if i.size != have:
        raise IndexError(
            f"index_copy_(): Number of indices ({i.size}) should be equal to source.size(dim) ({have})"
        )
    mine, theirs = _but(x.shape, dim), _but(y.shape, dim)
    if mine != theirs:
        k = next((k for k, (n, m) in enumerate(zip(mine, theirs, strict=False)) if n != m), 0)
        raise RuntimeError("index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: "
                           f"{' '.join(map(str, mine))} at dimension {dim} and source slice shape: {' '.join(map(str, theirs))} "
                           f"at dimension {k * 0}.")  # fmt: skip
    size = x.shape[dim] if x.ndim else 1
    bad = out_of_range(i, size, 0)
    if bad is not None:
        raise IndexError(
            f"index_copy_(): index {bad} is out of bounds for dimension {dim} with size {size}"
        )


@both
def index_fill(do: Callable, input: Any, dim: int, index: Any, value: Any) -> Any:
    """`input` with `value`, a number or 0-d tensor, in the slices that `index` names along `dim`."""
    x, i = input._data, tensor_data("index_fill", index, "index", 2)
    dim = dim_of(dim, x.ndim)
    if i.dtype is not I64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if i.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    size = x.shape[dim] if x.ndim else 1
    bad = out_of_range(i, size)
    if bad is not None:
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {size}")
    place = along(dim, i.reshape(-1)) if x.ndim else ...
    if isinstance(value, Tensor):
        check_scalar("index_fill_", value)
        return do(INDEX_FILL_TENSOR, input, converted(value, x.dtype), place)
    if isinstance(value, complex) and x.dtype.kind != "c":
        raise RuntimeError(
            "index_fill_(): Converting complex Scalar to non-complex type is not supported"
        )
    return do(INDEX_FILL, input, fitting(value, x.dtype), place)


def check_scalar(name: str, value: Any) -> None:
    """Raise unless a value given as a tensor is 0-d."""
    if value._data.ndim:
        raise RuntimeError(
            f"{name} only supports a 0-dimensional value tensor, but got tensor with {value._data.ndim} dimension(s)."
        )


@both(name="put")
def put_flat(do: Callable, input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """`input` with the elements of `source` at (or, accumulating, added at) `index` in its flattened form."""
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
        "put_(): self and source expected to have the same dtype, but got self.dtype = {0} and source.dtype = {1}",
    )
    if i.size != y.size:
        raise IndexError("put_(): Expected source and index to have the same number of elements, but got source.numel() = "
                         f"{y.size}, index.numel() = {i.size}")  # fmt: skip
    check_flat("put", i, x.size)
    if not x.ndim and i.size != 1:
        done = put_flat(do, input.reshape(1), index, source, accumulate)
        return input if do is in_place else done.reshape(())
    place = np.unravel_index(i % max(x.size, 1), x.shape) if x.ndim else ()
    shape = i.shape if x.ndim else ()
    source = source if y.shape == shape else source.reshape(shape)
    return do(FLAT_ADD if accumulate else FLAT_PUT, input, source, place)


# -- masks -----------------------------------------------------------------------------------------------------------


@both
def masked_fill(do: Callable, input: Any, mask: Any, value: Any) -> Any:
    """`input` with `value`, a number or 0-d tensor, where `mask` (broadcast) is True."""
    x, m = input._data, tensor_data("masked_fill", mask, "mask", 2)
    if m.dtype is not BOOL_NP:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {SPOKEN[FROM_NUMPY[m.dtype].name]}"
        )
    if m.shape != x.shape:
        check_mask(do, x.shape, m.shape)
    if isinstance(value, Tensor):
        check_scalar("masked_fill_", value)
        if value._data.dtype.kind == "c" and x.dtype.kind != "c":
            fitting(value.item(), x.dtype)
        return do(MASKED_FILL_TENSOR, input, converted(value, x.dtype), m)
    if not dtypes.is_number(value):
        raise TypeError(f"masked_fill() received an invalid combination of arguments: value is a {type(value).__name__}, "
                        "expected a Tensor or a number")  # fmt: skip
    return do(MASKED_FILL, input, fitting(value, x.dtype), m)


def check_mask(do: Callable, shape: tuple, mask: tuple) -> None:
    """Raise unless `mask` broadcasts with `shape`; in place it may not be larger."""
    common = broadcast_shapes(mask, shape)
    if do is in_place and common != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(common)}"
        )


@both
def masked_scatter(do: Callable, input: Any, mask: Any, source: Any) -> Any:
    """`input` with the elements of `source`, in order, where `mask` (broadcast) is True."""
    x, m = input._data, tensor_data("masked_scatter", mask, "mask", 2)
    y = tensor_data("masked_scatter", source, "source", 2)
    same_dtype(
        x, y, "masked_scatter: expected self and source to have same dtypes but got{0} and {1}"
    )
    if m.dtype is not BOOL_NP:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype "
                           f"{scalar_name(FROM_NUMPY[m.dtype])}")  # fmt: skip
    shape = broadcast_shapes(x.shape, m.shape)
    if do is in_place:
        check_expand(mask, m.shape, x.shape)
    elif x.shape != shape:
        input = input.expand(shape)
    m = np.broadcast_to(m, shape)
    if np.count_nonzero(m) > y.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return do(MASKED_SCATTER, input, source, m)


# -- slices ----------------------------------------------------------------------------------------------------------


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
        raise RuntimeError(f"expected src to have a size equal to the slice of self. src size = {list(y.shape)}, "
                           f"slice size = {list(shape)}")  # fmt: skip
    return fresh(o, input, src, place)


@function
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """`input` with `src` in place of one index of dimension `dim`."""
    shape = tensor_data("select_scatter", input).shape
    dim = dim_of(dim, len(shape))
    if not -shape[dim] <= index < shape[dim]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {dim}"
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


# -- everything ------------------------------------------------------------------------------------------------------


@both(method=False, namespace="torch")
def fill(do: Callable, input: Any, value: Any) -> Any:
    """`value`, a number or 0-d tensor, in every place of a tensor like `input`."""
    if not isinstance(value, Tensor):
        return do(FILL_INTO if do is in_place else FILL, input, fitting(value, input._data.dtype))
    if value._data.ndim:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value._data.ndim} dimensions."
        )
    return do(
        FILL_TENSOR_INTO if do is in_place else FILL_TENSOR,
        input,
        converted(value, input._data.dtype),
    )


@function(method=True)
def zero_(input: Any) -> Any:
    """Set every element to zero, in place."""
    return in_place(ZERO, input, tensor_data("zero_", input).dtype.type(0))


@function(namespace="primitive")
def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Overwrite every element with those of `src` (broadcast, converted), in place."""
    if dtypes.is_number(src):
        src = wrap(fitting(src, self._data.dtype))
    elif not isinstance(src, Tensor):
        raise not_a_tensor("copy_", "other", 1, src)
    shape, source = self._data.shape, src._data.shape
    if source != shape and (common := broadcast_shapes(shape, source)) != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(common)}"
        )
    return in_place(COPY, self, converted(src, self._data.dtype))


@function(namespace="primitive")
def set_(self: Any, source: Any = None) -> Any:
    """Let this tensor be `source`'s memory, shape and all; without a source, an empty tensor."""
    if source is None:
        self._data, self._storage = np.zeros(0, self._data.dtype), None
        return self
    y = tensor_data("set_", source, "source", 1)
    same_dtype(self._data, y, "Could not set tensor of type {1} to a tensor of type {0}")
    if state.mode[1] and self.requires_grad:
        raise RuntimeError(
            "set_() of a tensor that requires grad: use no_grad(), or write its data with copy_()"
        )
    self._data = storage_array(source)
    self._storage = storage_of(source)
    return self


def delitem(self: Any, index: Any) -> None:
    """Tensors keep their elements."""
    raise TypeError("Tensor does not support deleting items")


Tensor.__setitem__, Tensor.__delitem__ = setitem, delitem  # type: ignore[attr-defined]
