"""Files of the safetensors format: a header in JSON that says what each tensor is and where it
lies, then the tensors.

Eight bytes give the header's length; the tensors' bytes follow it without gaps, in little-endian
order.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..ops.define import storage_array, wrap
from .writing import destination

CODES = {
    "BOOL": dtypes.bool_,
    "U8": dtypes.uint8,
    "I8": dtypes.int8,
    "I16": dtypes.int16,
    "I32": dtypes.int32,
    "I64": dtypes.int64,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "C64": dtypes.complex64,
}
CODE_OF = {d: code for code, d in CODES.items()}
LONGEST_HEADER = 100_000_000


def save(tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a file that holds named tensors.

    Raises ValueError for a tensor that is not contiguous or has a dtype the format lacks,
    RuntimeError for shared memory.
    """
    return b"".join(_pieces(tensors, metadata))


def save_file(
    tensors: dict[str, Any], filename: Any, metadata: dict[str, str] | None = None
) -> None:
    """Write named tensors to a file, as `save` puts them in bytes."""
    pieces = _pieces(tensors, metadata)
    with destination(filename) as (file, _):
        for piece in pieces:
            file.write(piece)


def _pieces(tensors: dict[str, Any], metadata: dict[str, str] | None) -> list:
    """The parts of a file, in order: wide dtypes first, so that every tensor is aligned."""
    arrays = {name: _checked(name, storage_array(t)) for name, t in tensors.items()}
    _check_apart(arrays)
    names = sorted(arrays, key=lambda n: (-arrays[n].itemsize, n))
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name in names:
        a = arrays[name]
        code = CODE_OF[dtypes.of(a)]
        header[name] = {
            "dtype": code,
            "shape": list(a.shape),
            "data_offsets": [end, end + a.nbytes],
        }
        end += a.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [
        len(text).to_bytes(8, "little"),
        text,
        *(memoryview(arrays[n].reshape(-1).view(np.uint8)) for n in names),
    ]


def _checked(name: str, array: Any) -> Any:
    if not array.flags.c_contiguous:
        raise ValueError(
            f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. Call"
            " .contiguous() on it first; the file then holds a copy of it."
        )
    if dtypes.of(array) not in CODE_OF:
        raise ValueError(
            f"the safetensors format has no type for {dtypes.of(array)}, which tensor {name!r} has"
        )
    return array


def _check_apart(arrays: dict[str, Any]) -> None:
    """Raise RuntimeError for tensors that share memory."""
    spans = sorted(
        (a.__array_interface__["data"][0], a.nbytes, name) for name, a in arrays.items() if a.size
    )
    for (start, size, name), (after, _, other) in itertools.pairwise(spans):
        if after < start + size:
            raise RuntimeError(
                "Some tensors share memory, this will lead to duplicate memory on disk and"
                f" potential differences when loading them again: {name!r} and {other!r}. Save one,"
                " or clone the other."
            )


def load(data: bytes) -> dict[str, Any]:
    """The named tensors in the bytes of a file; RuntimeError if they are damaged."""
    return _tensors(np.frombuffer(bytearray(data), np.uint8))


def load_file(filename: Any, device: Any = "cpu") -> dict[str, Any]:
    """The named tensors in a file; RuntimeError if it is damaged."""
    devices.check(device)
    return _tensors(np.fromfile(os.fspath(filename), np.uint8))


def _tensors(content: Any) -> dict[str, Any]:
    length = int.from_bytes(bytes(content[:8]), "little")
    if content.size < 8 or length > min(content.size - 8, LONGEST_HEADER):
        raise _damaged("the header is longer than the file")
    try:
        header = json.loads(bytes(content[8 : 8 + length]))
        header.pop("__metadata__", None)
        entries = {
            name: (CODES[e["dtype"]], tuple(e["shape"]), *e["data_offsets"])
            for name, e in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise _damaged(f"the header cannot be read ({type(e).__name__}: {e})") from e
    memory = content[8 + length :]
    return {name: _tensor(name, memory, *entry) for name, entry in entries.items()}


def _tensor(name: str, memory: Any, dtype: Any, shape: tuple, start: int, end: int) -> Any:
    fits = (
        all(isinstance(n, int) and n >= 0 for n in (*shape, start, end))
        and start <= end <= memory.size
    )
    if not fits or end - start != math.prod(shape) * dtype.itemsize:
        raise _damaged(f"tensor {name!r} does not fit its place")
    return wrap(memory[start:end].view(dtype.numpy).reshape(shape))


def _damaged(what: str) -> RuntimeError:
    return RuntimeError(f"damaged safetensors file: {what}")
