"""Reading torch's zip format with an unpickler that can only build data.

A pickle is a program; this one may name tensors, storages, dtypes, plain containers and nothing
else, so loading a file
runs none of its code. `weights_only=False` lifts that for files one trusts: classes are then
imported, torch's under our
names.
"""

from __future__ import annotations

import collections
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..ops.define import wrap
from ..tensor import Size, Tensor
from .save import STORAGES

STORAGE_TYPES = {name: dtypes.BY_NAME[d] for d, name in STORAGES.items()}


def _rebuild_tensor(
    memory: Any,
    offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    array = _look(memory, offset, size, stride)
    t = wrap(array)
    return t.requires_grad_() if requires_grad else t


def _look(memory: np.ndarray, offset: int, size: tuple, stride: tuple) -> np.ndarray:
    """The part of a storage that a tensor looks at; raises if it does not lie within."""
    sizes, strides = tuple(map(int, size)), tuple(map(int, stride))
    last = offset + sum(s * (n - 1) for s, n in zip(strides, sizes, strict=True))
    if 0 in sizes:
        return np.empty(sizes, memory.dtype)
    if offset < 0 or min(strides, default=0) < 0 or last >= memory.size:
        raise pickle.UnpicklingError(
            f"a tensor of size {sizes} at offset {offset} does not fit its storage of {memory.size}"
        )
    return np.ndarray(
        sizes,
        memory.dtype,
        memory,
        offset * memory.itemsize,
        tuple(s * memory.itemsize for s in strides),
    )


def _rebuild_parameter(
    data: Tensor, requires_grad: bool, hooks: Any = None, state: Any = None
) -> Tensor:
    from ..nn import Parameter

    return Parameter(data, requires_grad)


SAFE: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch", "Size"): Size,
    ("torch", "device"): devices.device,
    ("torch", "Tensor"): Tensor,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("collections", "Counter"): collections.Counter,
    ("builtins", "set"): set,
    ("builtins", "complex"): complex,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "dict"): dict,
    ("builtins", "list"): list,
    ("builtins", "int"): int,
    ("builtins", "float"): float,
    ("__builtin__", "set"): set,
    ("__builtin__", "complex"): complex,
    ("__builtin__", "bytearray"): bytearray,
    **{("torch", d.name): d for d in dtypes.ALL},
    **{("torch", name): d for name, d in STORAGE_TYPES.items()},
}
_added: dict[tuple[str, str], Any] = {}


def add_safe_globals(classes: list) -> None:
    """Let `load` build these classes too."""
    for c in classes:
        _added[c.__module__, c.__qualname__] = c


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, which protocol-2 pickles use for bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Builds data only: every name must be on the list."""

    def __init__(self, file: Any, read: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self.read, self.memories = read, {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode
        found = SAFE.get((module, name), _added.get((module, name)))
        if found is None:
            raise pickle.UnpicklingError(
                f"Weights only load failed. Unsupported global: GLOBAL {module}.{name} was not an"
                " allowed global by default. If you trust the file, load it with"
                " weights_only=False, or allow the class with add_safe_globals."
            )
        return found

    def persistent_load(self, saved_id: Any) -> np.ndarray:
        kind, dtype, key, _, numel = saved_id
        if kind != "storage" or not isinstance(dtype, dtypes.dtype):
            raise pickle.UnpicklingError(f"unknown kind of reference in the file: {saved_id!r}")
        memory = self.memories.get((key, dtype))
        if memory is None:
            data = self.raw(key)
            if len(data) < numel * dtype.itemsize:
                raise pickle.UnpicklingError(
                    f"storage {key} holds {len(data)} bytes, {numel * dtype.itemsize} were expected"
                )
            memory = self.memories[key, dtype] = data.view(dtype.numpy)
        return memory

    def raw(self, key: str) -> np.ndarray:
        """The bytes of a storage, writable; tensors of several dtypes may look at the same ones."""
        if key not in self.memories:
            self.memories[key] = np.frombuffer(bytearray(self.read(f"data/{key}")), np.uint8)
        return self.memories[key]


class _TrustingUnpickler(_Unpickler):
    """Also imports classes, torch's from here."""

    def find_class(self, module: str, name: str) -> Any:
        found = SAFE.get((module, name))
        if found is not None:
            return found
        if module == "torch" or module.startswith("torch."):
            module = "chainrule" + module[len("torch") :]
        return pickle.Unpickler.find_class(self, module, name)


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool = True,
    mmap: Any = None,
    **pickle_load_args: Any,
) -> Any:
    """What `save` (torch's or ours) wrote to the file or path `f`.

    With `weights_only` (the default) only data is built and pickle.UnpicklingError is raised for
    anything else in the file;
    `map_location` is accepted, since everything goes to the CPU. Raises FileNotFoundError, and
    RuntimeError for a file that
    is damaged or of another format.
    """
    if isinstance(map_location, (str, devices.device)):
        devices.check(map_location)
    if hasattr(f, "read"):
        return _load(f, weights_only)
    with Path(f).open("rb") as file:
        return _load(file, weights_only)


def _load(file: Any, weights_only: bool) -> Any:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise RuntimeError(
            "PytorchStreamReader failed reading zip archive: the file is not a torch file, or is"
            " damaged or cut short (files of torch before 1.6 are not zip archives: save them anew"
            " with a later torch)"
        ) from None
    with archive:
        name = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
        if name is None:
            raise RuntimeError(
                "PytorchStreamReader failed locating file data.pkl: the archive is no torch file"
            )
        prefix = name[: -len("data.pkl")]
        return _unpickle(archive, prefix, weights_only)


def _unpickle(archive: zipfile.ZipFile, prefix: str, weights_only: bool) -> Any:
    def read(part: str) -> bytes:
        try:
            return archive.read(prefix + part)
        except (KeyError, zipfile.BadZipFile) as e:
            raise RuntimeError(
                f"PytorchStreamReader failed reading {part}: the file is damaged ({e})"
            ) from None

    if f"{prefix}byteorder" in archive.namelist() and read("byteorder").strip() != b"little":
        raise RuntimeError("the file was written on a big-endian machine, which is not supported")
    with archive.open(f"{prefix}data.pkl") as pickled:
        unpickler = (_Unpickler if weights_only else _TrustingUnpickler)(pickled, read)
        try:
            return unpickler.load()
        except (EOFError, IndexError, KeyError, zipfile.BadZipFile) as e:
            raise RuntimeError(f"the file is damaged: {type(e).__name__} {e}") from None
