"""What torch's files call things, and what those things are here."""

from __future__ import annotations

import codecs
import functools
from collections import Counter, OrderedDict
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..nn.parameter import Parameter
from ..ops.define import wrap
from ..tape import new
from ..tensor import Size, Tensor

STORAGES = {
    "DoubleStorage": dtypes.float64,
    "FloatStorage": dtypes.float32,
    "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64,
    "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_,
    "ComplexFloatStorage": dtypes.complex64,
    "ComplexDoubleStorage": dtypes.complex128,
}
STORAGE_OF = {d: name for name, d in STORAGES.items()}


class Name:
    """A global name as it stands in a pickle; pickle asks that what is to be called later look
    callable now.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *_: Any) -> Any:
        raise TypeError(
            f"{self.module}.{self.name} stands for a name in a file and cannot be called"
        )


named = functools.cache(Name)


class StorageType:
    """A storage class of torch's: it says what the elements of a storage are (None: bytes)."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


class LoadedStorage:
    """The memory of a loaded storage, as bytes, and the dtype that its elements have."""

    __slots__ = ("dtype", "memory")

    def __init__(self, memory: Any, dtype: Any) -> None:
        self.memory, self.dtype = memory, dtype


INTERNAL = ("_grad", "_seen", "_no_inplace", "_born", "_replay", "_retains", "_inference")


# -- what rebuilds tensors ------------------------------------------------------------------------


def rebuild_tensor(
    storage: LoadedStorage, storage_offset: int, size: tuple, stride: tuple
) -> Tensor:
    """A tensor that looks at a storage; RuntimeError if it would look beyond it."""
    return _view(storage, storage.dtype or dtypes.uint8, storage_offset, size, stride)


def rebuild_tensor_v2(
    storage: LoadedStorage,
    storage_offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """As `rebuild_tensor`, with `requires_grad`."""
    return rebuild_tensor(storage, storage_offset, size, stride).requires_grad_(requires_grad)


def rebuild_tensor_v3(
    storage: LoadedStorage,
    storage_offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    backward_hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    """As `rebuild_tensor_v2`, with a dtype of its own over a storage of bytes."""
    return _view(storage, dtype, storage_offset, size, stride).requires_grad_(requires_grad)


def _view(storage: LoadedStorage, dtype: Any, offset: int, size: tuple, stride: tuple) -> Tensor:
    kind = dtype.numpy
    try:
        steps = [s * kind.itemsize for s in stride]
        array = np.ndarray(tuple(size), kind, storage.memory, offset * kind.itemsize, steps)
    except (ValueError, TypeError) as e:
        raise RuntimeError(
            f"damaged file: a tensor of size {tuple(size)}, stride {tuple(stride)} and offset"
            f" {offset} does not fit its storage of {storage.memory.nbytes} bytes"
        ) from e
    return wrap(array)


def rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Parameter:
    """A parameter around a tensor."""
    return Parameter(data, requires_grad)


def rebuild_parameter_with_state(
    data: Tensor, requires_grad: bool, backward_hooks: Any, state: dict
) -> Parameter:
    """A parameter with attributes of its own."""
    return set_attributes(Parameter(data, requires_grad), state)


def rebuild_from_type(function: Any, cls: type, args: tuple, state: Any) -> Any:
    """A tensor with attributes of its own."""
    if function not in REBUILD.values() or cls not in (Tensor, Parameter):
        raise RuntimeError(
            f"damaged file: {function!r:.100} does not rebuild tensors, or {cls!r:.100} is no class"
            " of tensors"
        )
    t = function(*args)
    if type(t) is not cls:
        u = new(cls)
        u._data, u._node, u._index, u._storage, u._base = (
            t._data,
            t._node,
            t._index,
            t._storage,
            t._base,
        )
        t = u
    return set_attributes(t, state)


def set_attributes(t: Any, state: Any) -> Any:
    """Give an object the attributes that a pickle says it had."""
    if isinstance(state, tuple) and len(state) == 2:
        state = {**(state[0] or {}), **(state[1] or {})}
    if not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
        raise RuntimeError(
            f"damaged file: the state of a {type(t).__name__} is not a dictionary of attributes"
        )
    t.__dict__.update(
        {k: v for k, v in state.items() if k not in INTERNAL and not k.startswith("__")}
    )
    return t


def mutable_bytes(content: bytes = b"") -> bytearray:
    """A bytearray of given content (a number would ask for so many zeros)."""
    if not isinstance(content, bytes):
        raise RuntimeError("damaged file: a bytearray of something other than bytes")
    return bytearray(content)


def encode(text: str, encoding: str) -> bytes:
    """Bytes, which old pickles write as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RuntimeError("damaged file: bytes in an encoding other than latin1")
    return codecs.encode(text, "latin1")


REBUILD = {
    "_rebuild_tensor": rebuild_tensor,
    "_rebuild_tensor_v2": rebuild_tensor_v2,
    "_rebuild_tensor_v3": rebuild_tensor_v3,
    "_rebuild_parameter": rebuild_parameter,
    "_rebuild_parameter_with_state": rebuild_parameter_with_state,
}
SAFE: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("_codecs", "encode"): encode,
    ("torch", "Size"): Size,
    ("torch", "device"): devices.device,
    ("torch", "Tensor"): Tensor,
    ("torch._tensor", "Tensor"): Tensor,
    ("torch.nn.parameter", "Parameter"): Parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): rebuild_from_type,
    ("torch.storage", "UntypedStorage"): StorageType(None),
    ("torch", "UntypedStorage"): StorageType(None),
    **{
        (b, n): t
        for b in ("builtins", "__builtin__")
        for n, t in (
            ("set", set),
            ("frozenset", frozenset),
            ("bytearray", mutable_bytes),
            ("complex", complex),
            ("slice", slice),
        )
    },
    **{("torch._utils", name): f for name, f in REBUILD.items()},
    **{
        (m, name): StorageType(d)
        for m in ("torch", "torch.storage")
        for name, d in STORAGES.items()
    },
    **{("torch", d.name): d for d in dtypes.ALL},
}
CALLABLE = {id(x) for x in SAFE.values() if callable(x) and x not in (Tensor, Parameter)}


# -- what the user adds ---------------------------------------------------------------------------

_added: dict[tuple[str, str], Any] = {}


def add_safe_globals(safe_globals: list) -> None:
    """Let `load(weights_only=True)` use these classes and functions (or (object, "module.name")
    pairs).
    """
    for entry in safe_globals:
        thing, path = (
            entry
            if isinstance(entry, tuple)
            else (entry, f"{entry.__module__}.{entry.__qualname__}")
        )
        module, _, name = path.rpartition(".")
        _added[module, name] = thing


def get_safe_globals() -> list:
    """What has been added."""
    return list(_added.values())


def clear_safe_globals() -> None:
    """Forget what has been added."""
    _added.clear()


class safe_globals:
    """`add_safe_globals` for the length of a block."""

    def __init__(self, safe_globals: list) -> None:
        self.entries = safe_globals

    def __enter__(self) -> None:
        self.before = dict(_added)
        add_safe_globals(self.entries)

    def __exit__(self, *_: object) -> None:
        _added.clear()
        _added.update(self.before)


def added(module: str, name: str) -> Any:
    """What was added under that name, or None."""
    return _added.get((module, name)) or (
        _added.get(("builtins", name)) if module == "__builtin__" else None
    )
