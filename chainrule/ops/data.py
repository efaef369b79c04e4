"""Tensors from data.

`tensor` finds the shape of nested sequences by their first elements, level by level, then checks
that every other element agrees; its dtype is the lowest that holds every leaf, in torch's order of
categories (Python's floats count as the default dtype, NumPy's and tensors' numbers as their own).
It always copies; `as_tensor`, `from_numpy`, `frombuffer` and `asarray` look at the memory they are
given.
"""

from __future__ import annotations

import builtins
import itertools
import warnings
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..cuts import cut, cut_by
from ..dtypes import FLOATING, FROM_NUMPY, HALVES, I64, INTEGER, PYTHON_TYPES
from ..tape import state
from .convert import arranged, check_dtype, converted, to_dtype
from .create import check_options, finished
from .define import Tensor, function, scalar_name, wrap

WRITE_PROTECTED = (
    "The given {} is not writable, and PyTorch does not support non-writable tensors. This means "
    "you can write "
    "to the underlying (supposedly non-writable) {} using the tensor. Here the tensor may be read, "
    "and writing "
    "to it in place raises an error: copy the data first if you want to change it."
)


@function(method=False)
def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    pin_memory: builtins.bool = False,
) -> Any:
    """A new tensor that holds a copy of the data: numbers, nested sequences of numbers, arrays.

    Raises ValueError for ragged sequences, TypeError or RuntimeError for what is no number, and
    RuntimeError for numbers that the dtype cannot hold.
    """
    if device is not None or pin_memory:
        check_options(None, device, pin_memory)
    d = None if dtype is None else check_dtype("tensor", dtype)
    if isinstance(data, Tensor):
        if type(data._data) in dtypes.STAND_INS:
            return tensor(data.item(), dtype=dtype, requires_grad=requires_grad)
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than "
            "torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        cut("torch.tensor(), a copy", data)
        a = data._data
        return finished(
            (
                arranged(a, None)
                if d is None or d.numpy is a.dtype
                else state.run(converted, a, d.numpy)
            ),
            requires_grad,
        )
    return finished(array_of(data, d), requires_grad)


def array_of(data: Any, d: dtypes.dtype | None) -> Any:
    """A new array (or NumPy scalar) of numbers, sequences or an array, in dtype `d` or the one the
    data call for.
    """
    kind = type(data)
    if d is None and kind is float:
        return state.run(dtypes.default.real.numpy.type, data)
    if kind in PYTHON_TYPES:
        return numbers([data], {kind}, d)[0]
    if kind is list or kind is tuple:
        quick = plain(data) if d is None else None
        if quick is not None:
            return quick
    else:
        if isinstance(data, np.ndarray):
            a = native(data)
            return (
                state.run(a.copy, "K")
                if d is None or d.numpy is a.dtype
                else state.run(converted, a, d.numpy)
            )
        if isinstance(data, np.generic) and not isinstance(data, (str, bytes)):
            return numbers([data], {kind}, d)[0]
        if not is_sequence(data):
            leaf_dtype(kind)
            return array_of(data.__index__() if isinstance(data, int) else data.__float__(), d)
        if hasattr(data, "__array__"):
            return array_of(np.asarray(data), d)
    shape, leaves, kinds = leaves_of(data)
    return numbers(leaves, kinds, d).reshape(shape)


FLOATS, INTS, LISTS = {float}, {int}, {list}


def plain(data: Any) -> Any:
    """The array of a list, or a list of lists, of nothing but floats or ints; None for anything
    else.
    """
    kinds = set(map(type, data))
    if kinds == LISTS:
        kinds = set(map(type, itertools.chain.from_iterable(data)))
    if kinds == FLOATS:
        target = dtypes.default.real.numpy
        if target in HALVES:
            return None
    elif kinds == INTS:
        target = I64
    else:
        return None
    try:
        return state.run(np.array, data, target)
    except (ValueError, OverflowError):
        return None


def is_sequence(x: Any) -> builtins.bool:
    """Whether `tensor` looks inside: has a length and items, and is no mapping, text, number or
    tensor.
    """
    if isinstance(x, (str, bytes, dict, Tensor, np.generic)) or (
        isinstance(x, np.ndarray) and not x.ndim
    ):
        return False
    return hasattr(x, "__len__") and hasattr(x, "__getitem__")


def leaves_of(data: Any) -> tuple[list, list, set]:
    """Shape, leaves in order, and the types of the leaves, of nested sequences."""
    shape: list[int] = []
    level = [data]
    kinds = {type(data)}
    while level and is_sequence(level[0]):
        n = len(level[0])
        if kinds & {str, bytes} or len(kinds) > 1 or len(level) > 1:
            check_level(level, n, len(shape))
        shape.append(n)
        level = list(itertools.chain.from_iterable(level))
        kinds = set(map(type, level))
    if kinds == {str}:
        raise ValueError("too many dimensions 'str'")
    return shape, level, kinds


def check_level(level: list, n: int, dim: int) -> None:
    """Raise unless every element is a sequence of length n."""
    for x in level:
        if isinstance(x, (str, bytes)):
            leaf_dtype(type(x))
        if not is_sequence(x):
            raise TypeError(
                f"not a sequence: expected one of length {n} at dim {dim}, got {type(x).__name__}"
            )
        if len(x) != n:
            raise ValueError(f"expected sequence of length {n} at dim {dim} (got {len(x)})")


def leaf_dtype(kind: type) -> dtypes.dtype:
    """The dtype that one number of this type calls for."""
    if issubclass(kind, np.generic) and not issubclass(kind, (np.str_, np.bytes_)):
        return dtypes.from_numpy(np.dtype(kind))
    for base, d in (
        (builtins.bool, dtypes.bool_),
        (int, dtypes.int64),
        (float, dtypes.default.real),
        (builtins.complex, dtypes.default.complex),
    ):
        if issubclass(kind, base):
            return d
    if issubclass(kind, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{kind.__name__}'")
    name = (
        kind.__name__
        if kind.__module__ in ("builtins", "fractions")
        else f"{kind.__module__}.{kind.__name__}"
    )
    raise RuntimeError(f"Could not infer dtype of {name}")


def numbers(leaves: list, kinds: set, d: dtypes.dtype | None) -> np.ndarray:
    """A 1-d array of numbers (Python's, NumPy's, tensors of one element) in dtype `d` or the one
    they call for.
    """
    if Tensor in kinds or any(issubclass(k, Tensor) for k in kinds):
        kinds = {type(x) for x in leaves}
        found = [x.dtype for x in leaves if isinstance(x, Tensor)]
        cut_by("torch.tensor(), a copy", leaves)
        d = d or highest([*found, *[leaf_dtype(k) for k in kinds if not issubclass(k, Tensor)]])
        leaves = [only_element(x, d) for x in leaves]
        kinds = set(map(type, leaves))
    for k in kinds:
        if issubclass(k, (list, tuple, dict)):
            raise TypeError(
                f"'{k.__name__}' object cannot be interpreted as an integer"
                if {int, builtins.bool} & kinds
                else f"must be real number, not {k.__name__}"
            )
    d = d or (highest([leaf_dtype(k) for k in kinds]) if kinds else dtypes.default.real)
    if d.category >= FLOATING:
        return floats(leaves, kinds, d)
    if d is dtypes.bool_:
        return np.array(leaves).astype(builtins.bool)
    return integers(leaves, kinds, d)


def highest(found: list) -> dtypes.dtype:
    """The dtype all of these are promoted to."""
    d = found[0]
    for other in found[1:]:
        d = dtypes.promote_types(d, other)
    return d


def only_element(x: Any, d: dtypes.dtype) -> Any:
    """The number in a tensor of one element, as a leaf of a sequence; other leaves as they are."""
    if not isinstance(x, Tensor):
        return x
    if x._data.size != 1 or (d.category == INTEGER and x.dtype.category > INTEGER):
        raise TypeError(
            "only integer tensors of a single element can be converted to an index"
            if d.category == INTEGER
            else "only one element tensors can be converted to Python scalars"
        )
    return x._data.reshape(())[()]


def is_complex_type(kind: type) -> builtins.bool:
    """Whether numbers of this type have an imaginary part."""
    return issubclass(kind, (builtins.complex, np.complexfloating))


def floats(leaves: list, kinds: set, d: dtypes.dtype) -> np.ndarray:
    """Numbers as floats or complex numbers."""
    if d.category == FLOATING and any(map(is_complex_type, kinds)):
        raise TypeError("must be real number, not complex")
    compute = HALVES.get(d.numpy)
    a = state.run(np.array, leaves, compute or d.numpy)
    return a if compute is None else state.run(a.astype, d.numpy)


def integers(leaves: list, kinds: set, d: dtypes.dtype) -> np.ndarray:
    """Numbers as integers, truncated; raises for what the dtype cannot hold."""
    if any(map(is_complex_type, kinds)):
        raise TypeError("'complex' object cannot be interpreted as an integer")
    try:
        a = np.array(leaves, I64)
    except (OverflowError, ValueError):
        if all(issubclass(k, (int, np.integer)) for k in kinds):
            raise ValueError("Overflow when unpacking long long") from None
        a = None
    info = np.iinfo(d.numpy)
    low = info.min or -info.max
    if a is None or (d.numpy is not I64 and a.size and (a.min() < low or a.max() > info.max)):
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
    return a.astype(d.numpy)


@function(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """The data as a tensor: a tensor itself, a NumPy array's memory, or a copy of anything else."""
    if device is not None:
        devices.check(device)
    if isinstance(data, np.ndarray):
        data = from_numpy(data)
    if isinstance(data, Tensor) and type(data._data) not in dtypes.STAND_INS:
        return data if dtype is None else to_dtype(data, check_dtype("as_tensor", dtype))
    return tensor(data, dtype=dtype)


def native(a: np.ndarray) -> np.ndarray:
    """A NumPy array as a plain array with one of our dtype objects; raises for what a tensor cannot
    be.
    """
    d = FROM_NUMPY.get(a.dtype)
    if d is None:
        if not a.dtype.isnative:
            raise ValueError(
                "given numpy array has byte order different from the native byte order. Conversion "
                "between byte "
                "orders is currently not supported. (Use "
                "array.astype(array.dtype.newbyteorder('=')).)"
            )
        d = dtypes.from_numpy(a.dtype)
    if any(s < 0 for s in a.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not "
            "currently supported. (You can probably work around this by making a copy of your "
            "array  with "
            "array.copy().) "
        )
    if any(s % a.itemsize for s in a.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to "
            "reallocate the memory."
        )
    if state.capture is not None:
        state.capture.freeze(a)
    if type(a) is not np.ndarray:
        a = a.view(np.ndarray)
    return a if a.dtype is d.numpy else a.view(d.numpy)


@function(method=False)
def from_numpy(ndarray: Any, /) -> Any:
    """A tensor that looks at the memory of a NumPy array: writing to one writes to the other."""
    if not isinstance(ndarray, np.ndarray):
        module = "numpy." if isinstance(ndarray, np.generic) else ""
        raise TypeError(f"expected np.ndarray (got {module}{type(ndarray).__name__})")
    if not ndarray.flags.writeable:
        warnings.warn(
            WRITE_PROTECTED.format("NumPy array", "NumPy array"), UserWarning, stacklevel=2
        )
    return wrap(native(ndarray))


@function(method=False)
def frombuffer(
    buffer: Any,
    *,
    dtype: Any,
    count: int = -1,
    offset: int = 0,
    requires_grad: builtins.bool = False,
) -> Any:
    """A 1-d tensor that looks at `count` elements (-1: all) of a Python buffer, from the byte
    `offset` on.
    """
    d = check_dtype("frombuffer", dtype)
    try:
        memory = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    size, item = memory.nbytes, d.itemsize
    if not size or not count:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({size} bytes) minus 1"
        )
    if count < 0 and (size - offset) % item:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a "
            "multiple of element "
            f"size ({item})"
        )
    if count > 0 and offset + count * item > size:
        raise ValueError(
            f"requested buffer length ({count} * {item} bytes) after offset ({offset} bytes) must "
            "not be greater "
            f"than actual buffer length ({size} bytes)"
        )
    if memory.readonly:
        warnings.warn(WRITE_PROTECTED.format("buffer", "buffer"), UserWarning, stacklevel=2)
    t = wrap(
        np.frombuffer(buffer, np.uint8, count * item if count > 0 else -1, offset).view(d.numpy)
    )
    return t.requires_grad_() if requires_grad else t


@function(method=False)
def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: builtins.bool | None = None,
    requires_grad: builtins.bool | None = None,
) -> Any:
    """`obj` as a tensor, sharing its memory where it can (tensor, NumPy array, DLPack, buffer) and
    `copy` allows it.
    """
    devices.check(device)
    d = None if dtype is None else check_dtype("asarray", dtype)
    t = sharing(obj, d)
    if t is None:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        return tensor(obj, dtype=d, requires_grad=requires_grad is True)
    if d is not None and d is not t.dtype and copy is False:
        raise ValueError(
            f"can't alias tensor with dtype '{scalar_name(t.dtype)}' into dtype '{scalar_name(d)}'."
        )
    t = to_dtype(t, t.dtype if d is None else d, copy is True)
    if requires_grad is None or requires_grad is t.requires_grad:
        return t
    return t.detach().requires_grad_(requires_grad)


def sharing(obj: Any, d: dtypes.dtype | None) -> Any:
    """A tensor that looks at the memory of `obj`, or None if it has none to look at."""
    if isinstance(obj, Tensor):
        return None if type(obj._data) in dtypes.STAND_INS else obj
    if isinstance(obj, np.ndarray):
        return from_numpy(obj)
    if isinstance(obj, np.generic) and not isinstance(obj, (str, bytes)):
        return finished(array_of(obj, None))
    if hasattr(obj, "__dlpack__"):
        return wrap(np.from_dlpack(obj))
    try:
        memoryview(obj)
    except TypeError:
        return None
    return frombuffer(obj, dtype=d or dtypes.default.real)


@function(namespace="Tensor")
def new_tensor(
    self: Any,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    layout: Any = None,
    pin_memory: builtins.bool = False,
) -> Any:
    """A tensor of the data in this tensor's dtype."""
    check_options(layout, None, False)
    return tensor(
        data,
        dtype=dtypes.of(self._data) if dtype is None else dtype,
        device=device,
        requires_grad=requires_grad,
        pin_memory=pin_memory,
    )
