"""Sums that round little: NumPy adds rows one after the other, whose error grows with their number;
the square root of that number at a time, it grows with the square root.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MANY = 256  # elements along an axis from which on they are added in pieces
NARROW = 16  # numbers in a row, from which on NumPy adds rows quicker than pieces of one axis


def add_up(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """`np.add.reduce`, in pieces where that adds rows of floats."""
    if (
        type(x) is not np.ndarray
        or x.size < MANY
        or axis is None
        or (type(axis) is int and x.shape[axis] < MANY)
        or (dtype is not None and dtype is not x.dtype)
        or x.dtype.kind not in "fc"
    ):
        return np.add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)
    last = x.ndim - 1
    axes = [a % x.ndim for a in ((axis,) if type(axis) is int else axis)]
    long = max(axes, key=x.shape.__getitem__, default=last)
    n, others = x.shape[long], tuple([a for a in axes if a != long])
    by_rows = len(axes) <= last and math.prod(x.shape[long:]) > n and x.flags.c_contiguous
    if n < MANY or not by_rows:
        return np.add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)
    if others:
        x = np.add.reduce(x, axis=others, keepdims=True)
    return np.add.reduce(_in_pieces(x, long), axis=axis, keepdims=keepdims)


def _in_pieces(x: np.ndarray, axis: int) -> np.ndarray:
    """Sums of as many neighbours along an axis as the square root of their number says."""
    n = x.shape[axis]
    piece = math.isqrt(n)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    if math.prod(after) < NARROW:
        return np.add.reduceat(x, np.arange(0, n, piece), axis=axis)
    count = n // piece
    at = (slice(None),) * axis
    whole = x[(*at, slice(count * piece))].reshape(*before, count, piece, *after)
    sums = np.add.reduce(whole, axis=axis + 1)
    if count * piece == n:
        return sums
    rest = np.add.reduce(x[(*at, slice(count * piece, None))], axis=axis, keepdims=True)
    return np.concatenate([sums, rest], axis)
