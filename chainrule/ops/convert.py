"""From one dtype, memory order or library to another.

`Tensor.to` and its relatives return the tensor itself when there is nothing to change. Numbers are
converted as torch does on x86: a float that an integer type cannot hold becomes the type's lowest
value (int32, int64) or its low bits; float64 becomes float16 by way of float32. A copy keeps the
order of the dimensions in memory unless a format is asked for. NumPy arrays and DLPack capsules
look at the same memory as the tensor they came from, and keep it alive.
"""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..arrays.duck import Duck, like_itself
from ..dtypes import COMPLEX, F32, F64, FLOATING, INTEGER
from ..errors import not_a_tensor
from ..namespace import channels_last, channels_last_3d, contiguous_format, preserve_format, strided
from .define import MOVE, Tensor, function, op, storage_array, wrap

F16 = dtypes.float16.numpy
Tensor.layout = strided

# -- numbers ---------------------------------------------------------------------------------------


def converted(x: Any, dtype: np.dtype) -> Any:
    """The elements of an array in a NumPy dtype, rounded and wrapped as torch does; the imaginary
    part is dropped.
    """
    source = x.dtype
    if source.kind == "c" and dtype.kind not in "cb":
        x = x.real
    elif source is F64 and dtype is F16:
        x = x.astype(F32)
    if type(x) is np.ndarray and 0 in x.strides:
        return like_itself(x).astype(dtype)
    return x.astype(dtype)


CPP_NAMES = {
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int",
    "int64": "int64_t",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
}


FLOAT_LIMITS = {
    d: float(np.finfo(d.numpy).max) if d is not dtypes.bfloat16 else (2 - 2**-7) * 2.0**127
    for d in dtypes.ALL
    if d.category == FLOATING
}
INTEGER_LIMITS = {
    d: (int(np.iinfo(d.numpy).min) or -int(np.iinfo(d.numpy).max), int(np.iinfo(d.numpy).max))
    for d in dtypes.ALL
    if d.category == INTEGER
}


def fits(value: Any, d: dtypes.dtype) -> builtins.bool:
    """Whether torch converts the number to the dtype without complaint: in range, or negative for
    an unsigned type.
    """
    if d.category == COMPLEX or d is dtypes.bool_:
        return True
    if isinstance(value, builtins.complex):
        if value.imag:
            return False
        value = value.real
    if d.category == FLOATING:
        return not math.isfinite(value) or abs(value) <= FLOAT_LIMITS[d]
    low, high = INTEGER_LIMITS[d]
    return math.isfinite(value) and low <= value <= high


def check_fits(value: Any, d: dtypes.dtype) -> None:
    """Raise torch's error for a number that a tensor of dtype `d` cannot be filled with."""
    if not fits(value, d):
        raise RuntimeError(
            f"value cannot be converted to type {CPP_NAMES[d.name]} without overflow"
        )


# -- memory ----------------------------------------------------------------------------------------

CHANNELS_LAST = {channels_last: (0, 2, 3, 1), channels_last_3d: (0, 2, 3, 4, 1)}


def arranged(x: Any, memory_format: Any) -> Any:
    """A copy of an array, in a memory format (None: in the order it has)."""
    if memory_format is None or memory_format is preserve_format:
        if isinstance(x, Duck):
            return x.kept()
        return x.copy() if x.flags.c_contiguous else like_itself(x)
    axes = CHANNELS_LAST.get(memory_format)
    if axes is None:
        return x.copy()
    check_rank(x, memory_format)
    back = (0, len(axes) - 1, *range(1, len(axes) - 1))
    return x.transpose(axes).copy().transpose(back)


def check_rank(x: Any, memory_format: Any) -> None:
    """Raise torch's error if the format is for arrays of another rank."""
    axes = CHANNELS_LAST.get(memory_format)
    if axes is not None and x.ndim != len(axes):
        raise RuntimeError(f"required rank {len(axes)} tensor to use {memory_format.name} format")


def in_format(x: Any, memory_format: Any) -> builtins.bool:
    """Whether the array's elements lie in memory as the format says."""
    if type(x) is not np.ndarray:
        if not getattr(x, "ground", False):
            return memory_format not in CHANNELS_LAST
        x = np.asarray(x.memory())
    axes = CHANNELS_LAST.get(memory_format)
    if axes is None:
        return x.flags.c_contiguous
    return x.ndim == len(axes) and x.transpose(axes).flags.c_contiguous


@op(promote=MOVE, method=False, linear=True, name="clone")
def copied(x: Any, /, memory_format: Any = None) -> Any:
    """A copy in memory of its own."""
    return arranged(x, memory_format)


@copied.vjp
def _(g):
    return g


@function
def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy in memory of its own, with the dimensions in memory in the order they have or the
    format asked for.
    """
    return copied(input, memory_format)


@function(namespace="Tensor")
def contiguous(self: Any, memory_format: Any = contiguous_format) -> Any:
    """The tensor itself if its elements lie in memory in row-major order (or the format asked for),
    else a copy that does.
    """
    if memory_format is preserve_format or in_format(self._data, memory_format):
        return self
    return copied(self, memory_format)


@function(namespace="Tensor")
def is_contiguous(self: Any, memory_format: Any = contiguous_format) -> builtins.bool:
    """Whether the elements lie in memory in row-major order without gaps, or as the format says."""
    return in_format(self._data, memory_format)


# -- dtypes ----------------------------------------------------------------------------------------


@op(promote=MOVE, namespace="primitive", linear=True, node="ToCopyBackward0")
def cast(x: Any, /, dtype: Any, memory_format: Any = None) -> Any:
    """The elements converted to a NumPy dtype; always a copy."""
    if memory_format is not None and memory_format is not preserve_format:
        return arranged(converted(x, dtype), memory_format)
    return converted(x, dtype) if x.dtype is not dtype else arranged(x, None)


@cast.vjp
def _(g):
    return g


def check_dtype(function: str, d: Any) -> dtypes.dtype:
    """The dtype given as an argument; Python's number types stand for bool, int64, float64 and
    complex128.
    """
    if isinstance(d, dtypes.dtype):
        return d
    found = dtypes.PYTHON_TYPES.get(d) if isinstance(d, type) else None
    if found is None:
        raise TypeError(
            f"{function}(): argument 'dtype' must be torch.dtype, not {type(d).__name__}"
        )
    return found


def to_dtype(
    x: Any, d: dtypes.dtype, copy: builtins.bool = False, memory_format: Any = None
) -> Any:
    """`x` in dtype `d`: itself where neither dtype nor memory format changes, unless a copy is
    asked for.
    """
    data = x._data
    if (
        data.dtype is d.numpy
        and not copy
        and (
            memory_format is None
            or memory_format is preserve_format
            or in_format(data, memory_format)
        )
    ):
        check_rank(data, memory_format)
        return x
    if data.dtype.kind == "c" and COMPLEX > d.category > dtypes.BOOL:
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3
        )
    return cast(x, d.numpy, memory_format)


@function(namespace="Tensor")
def to(
    self: Any,
    *args: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: builtins.bool = False,
    copy: builtins.bool = False,
    memory_format: Any = None,
) -> Any:
    """The tensor in another dtype: `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`;
    itself if nothing changes.
    """
    if args:
        first, *rest = args
        if isinstance(first, Tensor):
            dtype = dtypes.of(first._data)
        elif isinstance(first, dtypes.dtype) or first in dtypes.PYTHON_TYPES:
            dtype = first
        else:
            device = first
            if rest and not isinstance(rest[0], builtins.bool):
                dtype = rest.pop(0)
        if len(rest) > 2 or any(not isinstance(r, builtins.bool) for r in rest):
            raise TypeError(
                "to() received an invalid combination of arguments - got "
                f"({', '.join(type(a).__name__ for a in args)})"
            )
        copy = rest[1] if len(rest) == 2 else copy
    if device is not None and device != "cpu":
        devices.check(device)
    d = dtypes.of(self._data) if dtype is None else check_dtype("to", dtype)
    return to_dtype(self, d, copy, memory_format)


def _conversion(name: str, d: dtypes.dtype) -> Callable:
    def entry(self: Any, memory_format: Any = None) -> Any:
        return (
            self
            if self._data.dtype is d.numpy and memory_format is None
            else to_dtype(self, d, False, memory_format)
        )

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"The tensor converted to {d.name}; itself if it has that dtype."
    return entry


for _name, _dtype in {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
    "bool": dtypes.bool_,
    "byte": dtypes.uint8,
    "char": dtypes.int8,
    "short": dtypes.int16,
    "int": dtypes.int32,
    "long": dtypes.int64,
}.items():
    function(_conversion(_name, _dtype), namespace="Tensor")


@function(namespace="Tensor")
def type_as(self: Any, other: Any) -> Any:
    """The tensor converted to the dtype of `other`."""
    if not isinstance(other, Tensor):
        raise not_a_tensor("type_as", "other", 1, other)
    return to_dtype(self, dtypes.of(other._data))


# -- devices ---------------------------------------------------------------------------------------


@function(namespace="Tensor")
def cpu(self: Any, memory_format: Any = None) -> Any:
    """The tensor itself: it is on the CPU."""
    return to_dtype(self, dtypes.of(self._data), False, memory_format)


@function(namespace="Tensor")
def cuda(
    self: Any, device: Any = None, non_blocking: builtins.bool = False, memory_format: Any = None
) -> Any:
    """Raises: there is no CUDA here."""
    devices.check("cuda" if device is None else device)
    return self


@function(method=False)
def set_default_device(device: Any) -> None:
    """Say where new tensors live: on the CPU. Raises for any other device."""
    devices.check(device)


@function(method=False)
def get_default_device() -> devices.device:
    """Where new tensors live: on the CPU."""
    return devices.CPU


@function(namespace="Tensor")
def pin_memory(self: Any, device: Any = None) -> Any:
    """Raises: memory is pinned for an accelerator, and there is none."""
    raise RuntimeError(
        "Cannot access accelerator device when none is available: pinned memory speeds up copies "
        "to a GPU, "
        "and chainrule computes on the CPU only"
    )


@function(namespace="Tensor")
def is_pinned(self: Any, device: Any = None) -> builtins.bool:
    """False: no memory is pinned without an accelerator."""
    return False


@function(namespace="Tensor")
def share_memory_(self: Any) -> Any:
    """The tensor itself: memory is shared among threads as it is; processes copy what they are
    sent.
    """
    return self


@function(namespace="Tensor")
def is_shared(self: Any) -> builtins.bool:
    """Whether the memory is shared among processes: it never is."""
    return False


@function(namespace="Tensor")
def to_dense(self: Any, dtype: Any = None) -> Any:
    """The tensor itself: all tensors are dense."""
    return self if dtype is None else to_dtype(self, check_dtype("to_dense", dtype))


@function
def resolve_conj(input: Any) -> Any:
    """The tensor itself: conjugates are computed at once."""
    return input


@function
def resolve_neg(input: Any) -> Any:
    """The tensor itself: negatives are computed at once."""
    return input


@function
def is_conj(input: Any) -> builtins.bool:
    """Whether a conjugation is still to be done: never."""
    return False


@function
def is_neg(input: Any) -> builtins.bool:
    """Whether a negation is still to be done: never."""
    return False


# -- DLPack ----------------------------------------------------------------------------------------


class _Capsule:
    """A bare DLPack capsule, dressed for `np.from_dlpack`."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple:
        return (1, 0)


@function(method=False)
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: builtins.bool | None = None) -> Any:
    """A tensor that looks at the memory of an array of any library that speaks DLPack, or of a
    DLPack capsule.
    """
    devices.check(device)
    if not hasattr(ext_tensor, "__dlpack__"):
        if type(ext_tensor).__name__ != "PyCapsule":
            raise RuntimeError(
                "from_dlpack received an invalid capsule: expected an object with __dlpack__ or a "
                "DLPack "
                f"capsule, got {type(ext_tensor).__name__}"
            )
        ext_tensor = _Capsule(ext_tensor)
    array = np.from_dlpack(ext_tensor)
    dtypes.from_numpy(array.dtype)
    return wrap(array.copy() if copy else array)


@function(method=False)
def to_dlpack(tensor: Any) -> Any:
    """A DLPack capsule of the tensor's memory; whoever consumes it keeps the memory alive."""
    if not isinstance(tensor, Tensor):
        raise not_a_tensor("to_dlpack", "tensor", 1, tensor)
    return storage_array(tensor).__dlpack__()
