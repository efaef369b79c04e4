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
    if type(axis) is tuple and len(axis) == 1:
        (axis,) = axis
    if (
        type(x) is not np.ndarray
        or x.size < MANY
        or axis is None
        or (type(axis) is int and x.shape[axis] < MANY)
        or (dtype is not None and dtype is not x.dtype)
        or x.dtype.kind not in "fc"
    ):
        return np.add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)
    axes = [a % x.ndim for a in ((axis,) if type(axis) is int else axis)]
    long = max(axes, key=x.shape.__getitem__, default=0)
    n, others = x.shape[long], tuple([a for a in axes if a != long])
    if n < MANY or (len(axes) == x.ndim and x.flags.c_contiguous):
        return np.add.reduce(x, axis=axis, keepdims=keepdims)
    again = [a for a in axes if not x.strides[a]] if x.dtype.char in "fd" else []
    times = math.prod([x.shape[a] for a in again])
    if times > 1:  # the same numbers again and again
        x = x[tuple([slice(1) if a in again else slice(None) for a in range(x.ndim)])]
        return add_up(x, axis, keepdims) * x.dtype.type(times)
    if not _by_rows(x, axes, long):
        return np.add.reduce(x, axis=axis, keepdims=keepdims)
    if others:
        x = np.add.reduce(x, axis=others, keepdims=True)
    return np.add.reduce(_in_pieces(x, long), axis=axis, keepdims=keepdims)


def _by_rows(x: np.ndarray, axes: list[int], long: int) -> bool:
    """Whether NumPy adds rows one after the other to sum along an axis: where numbers of different
    sums lie nearer to each other than those of one, or all of one are the same number.
    """
    step = abs(x.strides[long])
    return not step or any(
        n > 1 and a not in axes and abs(s) < step + (a > long)
        for a, (n, s) in enumerate(zip(x.shape, x.strides, strict=True))
    )


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
