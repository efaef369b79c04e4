"""`save`: objects into torch's file format.

A file is a ZIP archive: `data.pkl` is the object's pickle, in which every tensor says which storage
it looks at, and how; `data/0`, `data/1`, ... are the storages, each written once however many
tensors share it. A file is written beside its place and moved there when it is complete.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import secrets
import sys
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..nn.parameter import Parameter
from ..ops.define import storage_array
from ..storage import owner_of
from ..tensor import Size, Tensor, _user_attributes
from .names import STORAGE_OF, Name, named

ALIGNMENT = 64
ZERO_TIME = (1980, 1, 1, 0, 0, 0)


class Storages:
    """The storages that the tensors of a file look at: bytes by key, in order of first
    appearance.
    """

    def __init__(self) -> None:
        self.keys: dict[int, str] = {}
        self.kinds: dict[str, Any] = {}
        self.memory: list[Any] = []
        self.alive: list[Any] = []

    def place(self, array: Any) -> tuple[str, int, int]:
        """The key of an array's storage, the storage's elements, and the first of them that the
        array looks at.
        """
        memory = whole(array)
        address = memory.__array_interface__["data"][0]
        token = address if memory.size else -1 - len(self.memory)
        key = self.keys.setdefault(token, str(len(self.memory)))
        if int(key) == len(self.memory):
            self.memory.append(memory)
            self.alive.append(array)
            self.kinds[key] = array.dtype
        if self.kinds[key] != array.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different"
                " types"
            )
        start = (
            (array.__array_interface__["data"][0] - address) // array.itemsize if array.size else 0
        )
        return key, memory.size // array.itemsize, start


def whole(array: Any) -> Any:
    """The memory that an array looks at, as bytes."""
    return owner_of(array).reshape(-1, order="A").view(np.uint8)


def simple(array: Any) -> Any:
    """The array, or a copy of it where its memory is not one stretch walked forward."""
    owner = owner_of(array)
    one = owner.flags.c_contiguous or owner.flags.f_contiguous
    return array if one and all(s >= 0 for s in array.strides) else array.copy()


class Writer(pickle._Pickler):  # type: ignore[name-defined, misc]
    """A pickler that writes tensors, dtypes, sizes and devices under torch's names."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: Any, protocol: int, storages: Storages) -> None:
        super().__init__(file, protocol)
        self.storages = storages

    def persistent_id(self, obj: Any) -> Any:
        """Storages stand outside of the pickle."""
        return obj.entry if isinstance(obj, _Storage) else None

    def reducer_override(self, obj: Any) -> Any:
        """How the things that torch knows are written."""
        if isinstance(obj, Tensor):
            return self.tensor(obj)
        if isinstance(obj, Size):
            return named("torch", "Size"), (tuple(obj),)
        if isinstance(obj, devices.device):
            return named("torch", "device"), (
                (obj.type,) if obj.index is None else (obj.type, obj.index)
            )
        return NotImplemented

    def tensor(self, t: Any) -> tuple:
        """A tensor, or a parameter around it, with the attributes it was given."""
        attributes = _user_attributes(t, None)
        if isinstance(t, Parameter):
            args = (_Plain(t.detach()), t.requires_grad, OrderedDict())
            if attributes:
                return named("torch._utils", "_rebuild_parameter_with_state"), (*args, attributes)
            return named("torch._utils", "_rebuild_parameter"), args
        function, args = self.plain(t)
        if attributes:
            cls = named("torch", "Tensor")
            return named("torch._tensor", "_rebuild_from_type_v2"), (
                function,
                cls,
                args,
                attributes,
            )
        return function, args

    def plain(self, t: Any) -> tuple[Name, tuple]:
        """A tensor without attributes."""
        array = simple(storage_array(t))
        key, count, start = self.storages.place(array)
        kind = named("torch", STORAGE_OF[dtypes.of(array)])
        storage = _Storage(("storage", kind, key, "cpu", count))
        strides = tuple(s // array.itemsize for s in array.strides) if array.size else t.stride()
        args = (storage, start, tuple(array.shape), strides, bool(t.requires_grad), OrderedDict())
        return named("torch._utils", "_rebuild_tensor_v2"), args

    def save_name(self, obj: Name) -> None:
        """A global name."""
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_dtype(self, obj: Any) -> None:
        """A dtype is a global of torch's."""
        self.write(pickle.GLOBAL + f"torch\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_plain(self, obj: Any) -> None:
        """A tensor inside of a parameter."""
        function, args = self.plain(obj.tensor)
        self.save_reduce(function, args, obj=obj)

    dispatch[Name], dispatch[dtypes.dtype] = save_name, save_dtype  # type: ignore[assignment]


class _Storage:
    """Stands in a pickle for a storage."""

    def __init__(self, entry: tuple) -> None:
        self.entry = entry


class _Plain:
    """Stands in a pickle for a tensor that is to be written without its attributes."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor


Writer.dispatch[_Plain] = Writer.save_plain  # type: ignore[assignment]


def save(
    obj: object,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a path or a binary file object, so that `load` here or in torch gives it
    back.

    Tensors that share memory still share it after loading. A path holds either the complete new
    file or what it held before.
    """
    storages, body = Storages(), io.BytesIO()
    Writer(body, pickle_protocol, storages).dump(obj)
    with destination(f) as (file, name):
        _write(file, name, body.getvalue(), storages.memory)


@contextlib.contextmanager
def destination(f: Any) -> Iterator[tuple[Any, str]]:
    """The file to write, and the name of the folder inside of the archive."""
    if hasattr(f, "write"):
        yield f, "archive"
        return
    path = os.path.realpath(os.fspath(f))
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {os.path.dirname(os.fspath(f))} does not exist.")
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            yield file, "archive"
        return
    stem = os.path.splitext(os.path.basename(path))[0]
    part = f"{path}.{secrets.token_hex(8)}.part"
    try:
        with open(part, "xb") as file:
            yield file, stem if stem.isascii() and stem else "archive"
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def _write(file: Any, name: str, body: bytes, memory: list) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        records = {
            "data.pkl": body,
            ".format_version": b"1",
            ".storage_alignment": str(ALIGNMENT).encode(),
            "byteorder": sys.byteorder.encode(),
            **{f"data/{k}": m for k, m in enumerate(memory)},
            "version": b"3\n",
            ".data/serialization_id": _identity(body),
        }
        for record, content in records.items():
            info = zipfile.ZipInfo(f"{name}/{record}", ZERO_TIME)
            info.extra = _filling(archive.fp.tell(), len(info.filename), len(content))  # type: ignore[union-attr]
            archive.writestr(info, memoryview(content))


def _filling(at: int, name: int, size: int) -> bytes:
    """An extra field that makes a record's content begin at a multiple of 64, so that it can be
    mapped into memory.
    """
    header = at + 30 + name + 4 + (20 if size * 1.05 > zipfile.ZIP64_LIMIT else 0)
    n = -header % ALIGNMENT
    return b"FB" + n.to_bytes(2, "little") + b"Z" * n


def _identity(body: bytes) -> bytes:
    """A number that tells files apart."""
    return f"{zlib.crc32(body):020d}{len(body):020d}".encode()
