"""Writing torch's zip format: a pickle that names torch's own functions, and the memory of each
storage beside it.

Objects of ours are pickled under the names torch has for them, so that real torch reads the file
too. Tensors that share
memory share a storage in the file. A file is written under another name first and then moved into
place, so that an error
leaves what was there.
"""

from __future__ import annotations

import io
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import device
from ..ops import define
from ..storage import owner_of
from ..tensor import Size, Tensor

STORAGES = {
    "bool": "BoolStorage",
    "uint8": "ByteStorage",
    "int8": "CharStorage",
    "int16": "ShortStorage",
    "int32": "IntStorage",
    "int64": "LongStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


class _Name:
    """Stands for an object that the file refers to by module and name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> None:
        """Only whoever reads the file calls it."""
        raise TypeError(f"{self.module}.{self.name} is a name in a file")


class _Memory:
    """Stands for the storage of a tensor."""

    def __init__(self, key: str, dtype: dtypes.dtype, numel: int) -> None:
        self.key, self.dtype, self.numel = key, dtype, numel


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Pickles tensors, parameters, dtypes, sizes and devices as torch does."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.owners: dict[int, tuple[str, np.ndarray]] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, _Memory):
            return ("storage", _Name("torch", STORAGES[obj.dtype.name]), obj.key, "cpu", obj.numel)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            return self.reduce_tensor(obj)
        if isinstance(obj, Size):
            return _Name("torch", "Size"), (tuple(obj),)
        if isinstance(obj, device):
            return _Name("torch", "device"), (str(obj),)
        return obj.name if isinstance(obj, (_Name, dtypes.dtype)) else NotImplemented

    def reduce_tensor(self, t: Tensor) -> tuple:
        """The call of torch's that rebuilds a tensor from its storage."""
        if type(t).__name__ == "Parameter":
            return _Name("torch._utils", "_rebuild_parameter"), (
                t.data,
                t.requires_grad,
                OrderedDict(),
            )
        array = define.storage_array(t)
        if any(s < 0 for s in array.strides):
            array = array.copy()
        owner = owner_of(array)
        key, _ = self.owners.setdefault(id(owner), (str(len(self.owners)), owner))
        size = array.dtype.itemsize
        offset = (
            (array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // size
            if array.size
            else 0
        )
        memory = _Memory(key, t.dtype, owner.nbytes // size)
        return _Name("torch._utils", "_rebuild_tensor_v2"), (
            memory,
            offset,
            tuple(array.shape),
            _strides(array),
            t.requires_grad and t.is_leaf,
            OrderedDict(),
        )

    def save_global(self, obj: Any, name: Any = None) -> None:
        if isinstance(obj, dtypes.dtype):
            obj = _Name("torch", obj.name)
        if isinstance(obj, _Name):
            self.write(b"c" + obj.module.encode() + b"\n" + obj.name.encode() + b"\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)


def _strides(array: np.ndarray) -> tuple:
    return define.wrap(array).stride()


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write `obj` (tensors, state dicts, containers, anything picklable) to the file or path `f`,
    as torch.save does.

    Raises what pickling raises; the file at a path is then left as it was.
    """
    stream = io.BytesIO()
    pickler = _Pickler(stream, pickle_protocol)
    pickler.dump(obj)
    if hasattr(f, "write"):
        _write(f, "archive", stream.getvalue(), pickler.owners)
        return
    path = Path(f)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, path.stem or "archive", stream.getvalue(), pickler.owners)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(file: Any, name: str, pickled: bytes, owners: dict) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{name}/data.pkl", pickled)
        archive.writestr(f"{name}/byteorder", "little")
        for key, owner in owners.values():
            archive.writestr(f"{name}/data/{key}", owner.ravel(order="K").tobytes())
        archive.writestr(f"{name}/version", "3\n")
