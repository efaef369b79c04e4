"""`load`: objects from torch's files, new (ZIP) and old.

With `weights_only=True`, the default, nothing in a file is run: see `machine`. `weights_only=False`
hands the pickle to Python, with torch's names leading to what is here; do that only with files you
trust.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import devices
from . import names
from .machine import Machine
from .names import LoadedStorage, StorageType

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
BROKEN = (
    "PytorchStreamReader failed reading zip archive: {}. The file is probably damaged: it was not"
    " saved completely, or not transferred completely."
)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """The object in a file that `save`, here or in torch, has written: a path or a binary file
    object.

    `mmap` maps the file into memory instead of reading it. Raises pickle.UnpicklingError for a file
    that asks for more than tensors and plain data (unless `weights_only=False`), RuntimeError for
    one that is damaged.
    """
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    safe = weights_only if weights_only is not None else pickle_module is None
    check_location(map_location)
    with _source(f) as file:
        start = file.tell()
        head = file.read(4)
        file.seek(start)
        if head == b"PK\x03\x04":
            return _load_archive(file, f, safe, bool(mmap), map_location, pickle_load_args)
        if mmap:
            raise RuntimeError(
                "mmap can only be used with files saved with"
                " `torch.save(_use_new_zipfile_serialization=True)`, please torch.save your"
                " checkpoint with this option in order to use mmap."
            )
        if not head:
            raise EOFError("Ran out of input")
        return _load_old(file, safe, map_location, pickle_load_args)


def check_location(location: Any) -> None:
    """Raise for a `map_location` that is not the CPU; a function or dictionary is looked at when
    storages are read.
    """
    if isinstance(location, (str, devices.device)):
        devices.check(location)


def _check_stored(location: str, mapped: Any) -> None:
    """Raise torch's error for a storage of another device, unless it is mapped to this one."""
    if isinstance(mapped, dict):
        location = mapped.get(location, location)
    elif mapped is not None:
        return
    if isinstance(location, str) and location.startswith("cuda"):
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is"
            " False. If you are running on a CPU-only machine, please use torch.load with"
            " map_location=torch.device('cpu') to map your storages to the CPU."
        )


@contextlib.contextmanager
def _source(f: Any) -> Iterator[Any]:
    if not hasattr(f, "read"):
        with open(f, "rb") as file:
            yield file
        return
    if not hasattr(f, "seek") or not (not hasattr(f, "seekable") or f.seekable()):
        raise AttributeError(
            "You can only torch.load from a file that is seekable. Please pre-load the data into a"
            " buffer like io.BytesIO and try to load from it instead."
        )
    yield f


# -- ZIP archives ---------------------------------------------------------------------------------


class Archive:
    """The records of a file."""

    def __init__(self, file: Any, path: str | None) -> None:
        self.file, self.path = file, path
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as e:
            raise RuntimeError(BROKEN.format("failed finding central directory")) from e
        records = [n for n in self.zip.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
        if not records:
            raise RuntimeError(
                BROKEN.format("file in archive is not in a subdirectory archive/: data.pkl")
            )
        self.folder = records[0][: -len("data.pkl")]
        if self.folder + "constants.pkl" in self.zip.NameToInfo:
            raise RuntimeError(
                "the file is a TorchScript archive, which holds compiled code; only files of"
                " torch.save can be loaded here"
            )

    def read(self, record: str, default: bytes | None = None) -> bytes:
        """The content of a small record."""
        if default is not None and self.folder + record not in self.zip.NameToInfo:
            return default
        return bytes(self.memory(record))

    def memory(self, record: str) -> Any:
        """The content of a record in an array of bytes."""
        info = self.find(record)
        if info.compress_type != zipfile.ZIP_STORED:
            return self.compressed(info)
        self.file.seek(self.offset(info))
        content = np.empty(info.file_size, np.uint8)
        got = (
            self.file.readinto(memoryview(content))
            if hasattr(self.file, "readinto")
            else self.by_copy(content)
        )
        if got != info.file_size or (info.CRC and zlib.crc32(content) != info.CRC):
            raise RuntimeError(
                BROKEN.format(f"failed reading file {record}: its content is not what was written")
            )
        return content

    def mapped(self, record: str) -> Any:
        """The content of a record, mapped: what is written to it stays private."""
        info = self.find(record)
        if info.compress_type != zipfile.ZIP_STORED or not info.file_size:
            return self.memory(record)
        return np.memmap(self.path, np.uint8, "c", self.offset(info), (info.file_size,)).view(
            np.ndarray
        )  # type: ignore[call-overload]

    def find(self, record: str) -> zipfile.ZipInfo:
        """Where a record is; RuntimeError if it is not there."""
        info = self.zip.NameToInfo.get(self.folder + record)
        if info is None:
            raise RuntimeError(BROKEN.format(f"failed finding file {record}"))
        return info

    def offset(self, info: zipfile.ZipInfo) -> int:
        """Where the content of a record begins in the file."""
        start = info.header_offset
        self.file.seek(start)
        header = self.file.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise RuntimeError(BROKEN.format(f"invalid header of {info.filename}"))
        return (
            start
            + 30
            + int.from_bytes(header[26:28], "little")
            + int.from_bytes(header[28:30], "little")
        )

    def compressed(self, info: zipfile.ZipInfo) -> Any:
        """The content of a record that was compressed (by somebody else)."""
        try:
            return np.frombuffer(bytearray(self.zip.read(info)), np.uint8)
        except (zipfile.BadZipFile, zlib.error, EOFError) as e:
            raise RuntimeError(BROKEN.format(f"failed reading file {info.filename}")) from e

    def by_copy(self, content: Any) -> int:
        """Read from a file object that cannot read into memory."""
        data = self.file.read(content.nbytes)
        content[: len(data)] = np.frombuffer(data, np.uint8)
        return len(data)


def _load_archive(
    file: Any, f: Any, safe: bool, mapping: bool, location: Any, options: dict
) -> Any:
    if mapping and hasattr(f, "read"):
        raise ValueError("f must be a file path in order to use the mmap argument")
    archive = Archive(file, None if hasattr(f, "read") else os.fspath(f))
    swap = archive.read("byteorder", sys.byteorder.encode()) != sys.byteorder.encode()
    loaded: dict[str, Any] = {}

    def persistent(entry: Any) -> LoadedStorage:
        kind, key, place, _ = _checked(entry, 5)
        _check_stored(place, location)
        if key not in loaded:
            memory = archive.mapped(f"data/{key}") if mapping else archive.memory(f"data/{key}")
            loaded[key] = _swapped(memory, kind) if swap else memory
        return LoadedStorage(loaded[key], kind.dtype)

    return _unpickled(io.BytesIO(archive.read("data.pkl")), safe, persistent, options)


def _checked(entry: Any, n: int) -> tuple:
    """The parts of a persistent id: storage type, key, location, number of elements."""
    if (
        not isinstance(entry, tuple)
        or len(entry) < n
        or entry[0] != "storage"
        or not isinstance(entry[1], StorageType)
    ):
        raise pickle.UnpicklingError(f"damaged file: {entry!r:.100} does not name a storage")
    if not all(isinstance(part, str) for part in entry[2:4]):
        raise pickle.UnpicklingError(f"damaged file: {entry!r:.100} does not name a storage")
    return entry[1:5]


def _swapped(memory: Any, kind: StorageType) -> Any:
    """Memory written on a machine of the other byte order."""
    if kind.dtype is None:
        return memory
    numpy = kind.dtype.numpy
    part = numpy.itemsize // 2 if numpy.kind == "c" else numpy.itemsize
    return memory.reshape(-1, part)[:, ::-1].reshape(-1).copy()


# -- pickles --------------------------------------------------------------------------------------


def _unpickled(stream: Any, safe: bool, persistent: Callable, options: dict) -> Any:
    if safe:
        return Machine(persistent).run(stream)
    return Trusting(stream, persistent, options).load()


class Trusting(pickle.Unpickler):
    """Python's own unpickler, for files that are trusted: torch's names lead to what is here."""

    def __init__(self, stream: Any, persistent: Callable, options: dict) -> None:
        super().__init__(stream, **{"encoding": "utf-8", **options})
        self.persistent = persistent

    def persistent_load(self, entry: Any) -> Any:
        """The storage that an entry names."""
        return self.persistent(entry)

    def find_class(self, module: str, name: str) -> Any:
        """The object of a global name."""
        found = names.SAFE.get((module, name))
        if found is not None:
            return found
        if module == "torch" or module.startswith("torch."):
            return counterpart(module, name)
        return super().find_class(module, name)


def counterpart(module: str, name: str) -> Any:
    """What `torch....name` is here: looked for in the same module, then in the packages
    around it.
    """
    parts = ["chainrule", *module.split(".")[1:]]
    while parts:
        with contextlib.suppress(ImportError):
            found: Any = importlib.import_module(".".join(parts))
            with contextlib.suppress(AttributeError):
                for part in name.split("."):
                    found = getattr(found, part)
                return found
        parts.pop()
    raise AttributeError(f"the file needs {module}.{name}, which chainrule does not have")


# -- files of before 2020 -------------------------------------------------------------------------


def _load_old(file: Any, safe: bool, location: Any, options: dict) -> Any:
    """The old format: a row of pickles, then the storages."""
    loaded: dict[str, tuple] = {}

    def persistent(entry: Any) -> Any:
        kind, key, place, count = _checked(entry, 5)
        _check_stored(place, location)
        if key not in loaded:
            size = (kind.dtype.itemsize if kind.dtype else 1) * int(count)
            if not 0 <= size <= _rest(file):
                raise RuntimeError(
                    f"damaged file: a storage of {size} bytes is announced, but so many do not"
                    " follow"
                )
            loaded[key] = (np.empty(size, np.uint8), kind)
        memory, view = loaded[key][0], entry[5] if len(entry) > 5 else None
        if view is not None:
            width = kind.dtype.itemsize if kind.dtype else 1
            memory = memory[view[1] * width : (view[1] + view[2]) * width]
        return LoadedStorage(memory, kind.dtype)

    def plain(entry: Any) -> Any:
        raise pickle.UnpicklingError("damaged file: a storage where none can be")

    if Machine(plain).run(file) != MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = Machine(plain).run(file)
    if version != PROTOCOL:
        raise RuntimeError(f"Invalid protocol version: {version}")
    system = Machine(plain).run(file)
    little = not isinstance(system, dict) or system.get("little_endian", True)
    result = _unpickled(file, safe, persistent, options)
    keys = Machine(plain).run(file)
    if not isinstance(keys, list) or any(key not in loaded for key in keys):
        raise RuntimeError("damaged file: the list of storages does not fit the object")
    for key in keys:
        memory, kind = loaded[key]
        width = kind.dtype.itemsize if kind.dtype else 1
        count = int.from_bytes(file.read(8), "little" if little else "big")
        content = file.read(memory.nbytes)
        if count * width != memory.nbytes or len(content) != memory.nbytes:
            raise RuntimeError("unexpected EOF. The file might be corrupted.")
        memory[...] = np.frombuffer(content, np.uint8)
        if little != (sys.byteorder == "little"):
            memory[...] = _swapped(memory, kind)
    return result


def _rest(file: Any) -> int:
    """How many bytes follow."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here
