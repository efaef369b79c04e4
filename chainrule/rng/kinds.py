"""The dtypes by NumPy's name: what torch calls them, what they can hold, which draws take them."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np

F32, F64, I32, I64, U32, U64 = (np.dtype(n) for n in ("f4", "f8", "i4", "i8", "u4", "u8"))

# In torch's messages a dtype goes by its own name or by that of the C++ type.
NAMES = {
    "bool": ("Bool", "bool"),
    "uint8": ("Byte", "unsigned char"),
    "int8": ("Char", "signed char"),
    "int16": ("Short", "short int"),
    "int32": ("Int", "int"),
    "int64": ("Long", "long int"),
    "uint16": ("UInt16", "short unsigned int"),
    "uint32": ("UInt32", "unsigned int"),
    "uint64": ("UInt64", "long unsigned int"),
    "float16": ("Half", "c10::Half"),
    "bfloat16": ("BFloat16", "c10::BFloat16"),
    "float32": ("Float", "float"),
    "float64": ("Double", "double"),
    "complex64": ("ComplexFloat", "c10::complex<float>"),
    "complex128": ("ComplexDouble", "c10::complex<double>"),
}
DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
HALVES = ("float16", "bfloat16")
FLOATING = tuple(DIGITS)
PARTS = {"complex64": "float32", "complex128": "float64"}
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
REAL = ("bool", *INTEGERS, *FLOATING)


def check(holds: bool, message: str) -> None:
    """Raise RuntimeError(message) unless `holds`."""
    if not holds:
        raise RuntimeError(message)


def require(dtype: str, supported: Collection[str], kernel: str) -> None:
    """Raise torch's NotImplementedError for a dtype that its kernel does not support."""
    if dtype not in supported:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{NAMES[dtype][0]}'")


def last_integer(dtype: str) -> int:
    """The largest value of an integer dtype; 2**digits for a floating one, then integers end."""
    if dtype in DIGITS:
        return 1 << DIGITS[dtype]
    return 1 if dtype == "bool" else int(np.iinfo(dtype).max)


@cache
def limits(dtype: str) -> tuple[float, float]:
    """The least and the largest value that torch accepts as a bound of a range in `dtype`."""
    if dtype in DIGITS:
        import ml_dtypes

        largest = float(ml_dtypes.finfo(np.dtype(dtype)).max)
        return -largest, largest
    if dtype == "bool":
        return 0, 1
    return int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), (1 << 63) - 1)
