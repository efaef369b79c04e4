"""Assignment: x[index] = value, masks, fill and copy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import Duck, somewhere
from ..arrays.levels import RUNNING
from ..dtypes import BOOL_NP, F32, F64, FROM_NUMPY, HALVES, I64
from ..errors import not_a_tensor
from ..tape import state, storage_of
from ..tensor import Tensor
from .define import WATCHERS, Op, function, scalar_name, wrap
from .index import (
    CPP_NAMES,
    FULL,
    broadcast_shapes,
    index_error,
    last_step,
    look,
    note_ranges,
    split,
    tensor_data,
    type_name,
)
from .inplace import check_inplace, same_memory
from .places import put, put_add
from .write import (
    COPY,
    FILL,
    FILL_INTO,
    FILL_TENSOR,
    FILL_TENSOR_INTO,
    ZERO,
    adder,
    both,
    check_expand,
    check_scalar,
    cleared,
    converted,
    fitting,
    in_place,
    overwrite,
    putter,
    recorded,
    same_dtype,
    writer,
)

PUT = putter("index_put", "IndexPutBackward0")


PUT_ADD = adder("index_put_accumulate", "IndexPutBackward0")


def _masked(x: Any, value: Any, mask: Any) -> Any:
    return np.where(mask, value, x)


def _fill_mask(out: Any, value: Any, mask: Any) -> None:
    np.copyto(out, value, where=mask)


MASKED_FILL = writer(
    "masked_fill",
    "MaskedFillBackward0",
    lambda x, /, value, mask: _masked(x, value, mask),
    _fill_mask,
    lambda g, mask: np.where(mask, g.dtype.type(0), g),
    rows=True,
)


MASKED_FILL_TENSOR = writer(
    "masked_fill_tensor",
    "MaskedFillBackward1",
    lambda x, y, /, mask: _masked(x, y, mask),
    _fill_mask,
    lambda g, mask: np.where(mask, g.dtype.type(0), g),
    lambda g, mask: np.where(mask, g, g.dtype.type(0)),
    rows=True,
)


def _order(mask: Any) -> Any:
    """For each True of a mask how many are before it, in a flat array."""
    return np.maximum(np.add.accumulate(mask.reshape(-1).astype(np.int64), axis=0) - 1, 0)


def _masked_scatter(x: Any, y: Any, /, mask: Any) -> Any:
    if isinstance(mask, Duck) and y.size:  # its examples need not have equally many places
        return np.where(mask, y.reshape(-1)[_order(mask)].reshape(mask.shape), x)
    return put(x, y.reshape(-1)[: np.count_nonzero(mask)], mask)


def _masked_source_rule(g: Any, mask: Any, y_shape: tuple) -> Any:
    count = math.prod(y_shape)
    if isinstance(mask, Duck) and count:
        taken = np.where(mask, g, g.dtype.type(0)).reshape(-1)
        return put_add(taken, _order(mask), (count,)).reshape(y_shape)
    taken = g[mask]
    return put_add(taken, slice(taken.shape[0]), (count,)).reshape(y_shape)


MASKED_SCATTER = writer(
    "masked_scatter",
    "MaskedScatterBackward0",
    _masked_scatter,
    lambda out, y, mask: overwrite(out, y.reshape(-1)[: np.count_nonzero(mask)], mask),
    lambda g, mask: cleared(g, mask),
    _masked_source_rule,
    rows=True,
)


# -- x[index] = value ------------------------------------------------------------------------------


def setitem(self: Any, index: Any, value: Any) -> None:
    """`self[index] = value`: a number, or a tensor that broadcasts to what the index looks at."""
    data, place = self._data, _plain_place(index)
    if place is not None and type(value) is Tensor and _is_already_there(self, data, place, value):
        check_inplace(value)
        self._storage.bump()
        return
    source = None if place is None or WATCHERS or RUNNING else _plain_source(self, data, value)
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
    """Whether `value` looks at the very place it is assigned to, as after the += of x[0] += 1."""
    if (
        value._storage is None
        or value._storage is not self._storage
        or type(data) is not np.ndarray
    ):
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
    if isinstance(value._data, Duck):
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


def _index_put(self: Any, advanced: Any, value: Any) -> None:
    parts = advanced if type(advanced) is tuple else (advanced,)
    if value._data.size == 1 and all(isinstance(p, slice) or p.dtype.kind == "b" for p in parts):
        value = converted(value, self._data.dtype)
    put_tensor(in_place, self, advanced, value, PUT)


def put_tensor(do: Callable, x: Any, place: Any, value: Any, o: Op) -> Any:
    """Write (or, by another operator, add) `value` at the places of an advanced index."""
    same_dtype(
        x._data,
        value._data,
        "Index put requires the source and destination dtypes match, got {0} for the "
        "destination and {1} for the source.",
    )
    if state.capture is not None:
        note_ranges(x._data.shape, place)
    try:
        return do(o, x, value, place)
    except IndexError as e:
        raise index_error(e, x._data.shape, place) from None
    except ValueError as e:
        target = wrap(x._data)[place].shape
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to "
            "indexing result "
            f"of shape {list(target)}"
        ) from e


@both(namespace="torch")
def index_put(do: Callable, input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """`input` with `values` at (or, accumulating, added at) the places that the tuple of index
    tensors names.
    """
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            "index_put(): argument 'indices' (position 1) must be tuple of Tensors, not "
            f"{type(indices).__name__}"
        )
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
    alone = [not i._data.ndim and i._data.dtype.kind == "i" for i in indices]
    rows = [i.reshape(1) if a else i for i, a in zip(indices, alone, strict=True)]
    place = split(input, tuple(rows))[1]
    if not accumulate:
        return put_tensor(do, input, place, values, PUT)
    return put_tensor(do, input, place, values, PUT_ADD)


# -- masks -----------------------------------------------------------------------------------------


@both
def masked_fill(do: Callable, input: Any, mask: Any, value: Any) -> Any:
    """`input` with `value`, a number or 0-d tensor, where `mask` (broadcast) is True."""
    x, m = input._data, tensor_data("masked_fill", mask, "mask", 2)
    if m.dtype is not BOOL_NP:
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype "
            f"{CPP_NAMES[FROM_NUMPY[m.dtype].name]}"
        )
    if m.shape != x.shape:
        check_mask(do, x.shape, m.shape)
    if isinstance(value, Tensor):
        check_scalar("masked_fill_", value)
        if value._data.dtype.kind == "c" and x.dtype.kind != "c":
            fitting(value.item(), x.dtype)
        return do(MASKED_FILL_TENSOR, input, converted(value, x.dtype), m)
    if not dtypes.is_number(value):
        raise TypeError(
            "masked_fill() received an invalid combination of arguments: value is a "
            f"{type(value).__name__}, "
            "expected a Tensor or a number"
        )
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
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{scalar_name(FROM_NUMPY[m.dtype])}"
        )
    shape = broadcast_shapes(x.shape, m.shape)
    if do is in_place:
        check_expand(mask, m.shape, x.shape)
    elif x.shape != shape:
        input = input.expand(shape)
    m = np.broadcast_to(m, shape)
    if somewhere(np.add.reduce(m, axis=None) > y.size):
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return do(MASKED_SCATTER, input, source, m)


# -- everything ------------------------------------------------------------------------------------


@both(method=False, namespace="torch")
def fill(do: Callable, input: Any, value: Any) -> Any:
    """`value`, a number or 0-d tensor, in every place of a tensor like `input`."""
    if not isinstance(value, Tensor):
        return do(FILL_INTO if do is in_place else FILL, input, fitting(value, input._data.dtype))
    if value._data.ndim:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value._data.ndim} "
            "dimensions."
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
        real = isinstance(src, complex) and self._data.dtype.kind != "c"
        src = wrap(fitting(src.real if real else src, self._data.dtype))
    elif not isinstance(src, Tensor):
        raise not_a_tensor("copy_", "other", 1, src)
    shape, source = self._data.shape, src._data.shape
    if source != shape and (common := broadcast_shapes(shape, source)) != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(common)}"
        )
    return in_place(COPY, self, converted(src, self._data.dtype))


def delitem(self: Any, index: Any) -> None:
    """Tensors keep their elements."""
    raise TypeError("Tensor does not support deleting items")


Tensor.__setitem__, Tensor.__delitem__ = setitem, delitem  # type: ignore[assignment, attr-defined, index]
