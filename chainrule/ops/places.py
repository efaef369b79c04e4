"""Reading and writing the places of an index: primitives for kernels and rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import pick
from .define import primitive


@primitive
def put_add(x: Any, /, index: Any, shape: tuple) -> Any:
    """Zeros of `shape` with `x` added at `index` (a NumPy index; repeated places add up): the
    transpose of `y[index]`.
    """
    out = np.zeros(shape, x.dtype)
    if _unique_places(index):
        out[index] = x
    else:
        add_places(out, x, index)
    return out


@put_add.vjp
def _(g, index):
    return pick(g, index)


def _unique_places(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,)
    return not any(
        isinstance(p, np.ndarray) and p.dtype is not dtypes.BOOL_NP and p.size > 1 for p in parts
    )


def add_places(out: Any, y: Any, index: Any) -> None:
    """out[index] += y, repeated places adding up: `np.add.at`, by ways that are 4 to 20 times
    faster where there is one.

    NumPy is quick for one index on a 1-d array, so rows and grids are turned into that; many rows
    are a product with the sparse matrix that has a one for each row.
    """
    parts = index if type(index) is tuple else (index,)
    if _unique_places(index):
        out[index] += y
    elif out.ndim == 1 or not out.flags.c_contiguous or y.size < 64:
        np.add.at(out, index, y)
    elif len(parts) == 1:
        _add_rows(out, np.broadcast_to(y, parts[0].shape + out.shape[1:]), parts[0].reshape(-1))
    elif y.size * 8 < out.size:
        np.add.at(out, index, y)
    else:
        places = np.arange(out.size).reshape(out.shape)[index]
        np.add.at(out.reshape(-1), places.reshape(-1), np.broadcast_to(y, places.shape).reshape(-1))


def _add_rows(out: Any, y: Any, rows: Any) -> None:
    n, width, count = len(out), math.prod(out.shape[1:]), len(rows)
    low, high = int(rows.min()), int(rows.max())
    if low < -n or high >= n:
        raise IndexError(
            f"index {high if high >= n else low} is out of bounds for axis 0 with size {n}"
        )
    if low < 0:
        rows = rows % n
    if y.size < 65536 or out.size > 4 * y.size or out.dtype.kind == "b":
        places = rows.reshape(-1, 1) * width + np.arange(width)
        np.add.at(out.reshape(-1), places.reshape(-1), y.reshape(-1))
    else:
        from scipy.sparse import csc_array

        ones = csc_array((np.ones(count, out.dtype), rows, np.arange(count + 1)), shape=(n, count))
        out += (ones @ y.reshape(count, width)).reshape(out.shape)


@primitive
def put(x: Any, y: Any, /, index: Any) -> Any:
    """A copy of `x` in which `index` holds `y`."""
    out = np.array(x)
    out[index] = y
    return out


@put.vjp
def _(g, index):
    return put(g, np.zeros((), g.dtype), index)


@put.vjp
def _(g, index):
    return pick(g, index)
