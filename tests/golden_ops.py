"""What torch gave for the samples of the op table: reading and writing tests/golden/ops/*.npz.

A family's file holds, for each row, per dtype, the results of its samples (nested lists of arrays
and Python values), and facts about the calls that gradients and other forms are held to. All
elements of one dtype lie in one array, in the order in which the index (JSON) mentions them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .op_table import Row, numpy_dtype

FOLDER = Path(__file__).parent / "golden" / "ops"


def keys(rows: list[Row]) -> list[str]:
    """A name for each row: the function's, numbered from its second row on."""
    names = [row.name for row in rows]
    return [
        n if names.index(n) == i else f"{n}#{names[:i].count(n) + 1}" for i, n in enumerate(names)
    ]


def write(family: str, golden: dict) -> None:
    """Store {row key: {"crc", "results", ...}}; in the index, arrays are [dtype, *shape]."""
    pools: dict[str, list[bytes]] = {}
    index = _packed(golden, pools)
    arrays = {
        name: _shuffled(b"".join(parts), numpy_dtype(name).itemsize)
        for name, parts in pools.items()
    }
    FOLDER.mkdir(exist_ok=True)
    text = np.frombuffer(json.dumps(index, separators=(",", ":")).encode(), np.uint8)
    np.savez_compressed(FOLDER / f"{family}.npz", index=text, **arrays)


def read(family: str) -> dict:
    """What `write` stored; empty if there is no file."""
    path = FOLDER / f"{family}.npz"
    if not path.exists():
        return {}
    with np.load(path) as stored:
        index = json.loads(stored["index"].tobytes())
        pools = {
            name: _unshuffled(stored[name], numpy_dtype(name))
            for name in stored.files
            if name != "index"
        }
    return _unpacked(index, pools, dict.fromkeys(pools, 0))


def _shuffled(data: bytes, size: int) -> np.ndarray:
    """The bytes of elements, all first bytes first: they compress better so."""
    return np.frombuffer(data, np.uint8).reshape(-1, size).T.copy()


def _unshuffled(data: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return data.T.copy().reshape(-1).view(dtype)


def _packed(x: Any, pools: dict) -> Any:
    if isinstance(x, np.ndarray):
        pools.setdefault(x.dtype.name, []).append(np.ascontiguousarray(x).tobytes())
        return {"": [x.dtype.name, *x.shape]}
    if isinstance(x, dict):
        return {k: _packed(v, pools) for k, v in x.items()}
    return [_packed(v, pools) for v in x] if isinstance(x, (list, tuple)) else x


def _unpacked(x: Any, pools: dict, places: dict) -> Any:
    if isinstance(x, dict):
        return (
            _next_array(x[""], pools, places)
            if "" in x
            else {k: _unpacked(v, pools, places) for k, v in x.items()}
        )
    return [_unpacked(v, pools, places) for v in x] if isinstance(x, list) else x


def _next_array(entry: list, pools: dict, places: dict) -> np.ndarray:
    name, *shape = entry
    start = places[name]
    places[name] = end = start + int(np.prod(shape, dtype=int))
    return pools[name][start:end].reshape(shape)


def leaves(x: Any) -> Iterator[Any]:
    """The arrays and Python values of a result, in order."""
    if isinstance(x, (list, tuple)):
        for v in x:
            yield from leaves(v)
    else:
        yield x
