"""Float arithmetic rounded where torch rounds: casts, fused multiply-add, the C library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .kinds import F32, F64, HALVES

Array = np.ndarray[Any, Any]
Function = Callable[[float], float]


def cast(values: Array, dtype: str) -> Array:  # type: ignore[valid-type]
    """Round to `dtype`, too large a value to infinity; to half types by way of float32, as C++."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        return (values.astype(F32) if dtype in HALVES else values).astype(dtype)


def fma(x: Array, y: Any, z: Any) -> Array:  # type: ignore[valid-type]
    """x * y + z of float32 numbers, rounded once: their product is exact in float64."""
    wide = x.astype(F64)
    wide *= y
    wide += z
    return wide.astype(F32)


def fma_double(x: Array, y: float, z: float) -> Array:  # type: ignore[valid-type]
    """x * y + z of float64 numbers, rounded once: T. J. Dekker's exact product (Numerische
    Mathematik 18, 1971) and D. Knuth's exact sum.
    """
    product = x * y
    if z == 0 or y == 1 or not 1e-200 < abs(y) < 1e200:  # the last would overflow in halves
        return product + z
    (x1, x0), (y1, y0) = halves(x), halves(y)
    lost = x0 * y0 - (((product - x1 * y1) - x0 * y1) - x1 * y0)
    total = product + z
    added = total - product
    lost += (product - (total - added)) + (z - added)
    return total + lost


def halves(x: Any) -> tuple[Any, Any]:
    """Two float64 numbers of at most 26 bits that add up to x."""
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def libm(function: Function, x: Array) -> Array:  # type: ignore[valid-type]
    """A function of the C library at each element of a float64 array."""
    return np.fromiter(map(function, x.ravel().tolist()), F64, x.size).reshape(x.shape)


def apply(vector: np.ufunc, scalar: Function, x: Array, dtype: str) -> Array:  # type: ignore[valid-type]
    """A float64 function to the last bit if the result stays float64; else NumPy's, some 50 times
    faster, whose last bit does not survive the rounding to a shorter type.
    """
    return libm(scalar, x) if dtype == "float64" else vector(x)


def log_double(x: Array) -> Array:  # type: ignore[valid-type]
    """The C library's log of positive float64 numbers; many at once from SciPy, which calls it."""
    if x.size < 1 << 17:
        return libm(math.log, x)
    from scipy.special import xlogy

    return xlogy(1.0, x)
