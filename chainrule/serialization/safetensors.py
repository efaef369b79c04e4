"""Dictionaries of tensors in the safetensors format, through the `safetensors` package (the extra of that name)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import dtypes
from ..ops import define

NAMES = {"bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "float16": "F16",
         "bfloat16": "BF16", "float32": "F32", "float64": "F64"}  # fmt: skip
DTYPES = {name: dtypes.BY_NAME[d] for d, name in NAMES.items()}


def save_file(tensors: dict, filename: Any, metadata: dict | None = None) -> None:
    """Write a dictionary of tensors; raises ValueError for dtypes that the format does not have."""
    import safetensors

    entries = {}
    for name, t in tensors.items():
        if t.dtype.name not in NAMES:
            raise ValueError(f"{name!r} is {t.dtype}; safetensors stores {', '.join(NAMES)}")
        data = np.ascontiguousarray(define.storage_array(t)).tobytes()
        entries[name] = {"dtype": t.dtype.name, "shape": list(t.shape), "data": data}
    safetensors.serialize_file(entries, str(filename), metadata)


def load_file(filename: Any, device: Any = "cpu") -> dict:
    """The dictionary of tensors in a file."""
    import safetensors

    found = {}
    for name, entry in safetensors.deserialize(Path(filename).read_bytes()):
        array = np.frombuffer(bytearray(entry["data"]), DTYPES[entry["dtype"]].numpy).reshape(entry["shape"])
        found[name] = define.wrap(array)
    return found
