"""Uniform integers, in every real dtype: `randint` and the three forms of `random_`."""

from __future__ import annotations

import math
import warnings

import numpy as np

from .generator import Generator
from .kinds import (
    DIGITS,
    FLOATING,
    I64,
    INTEGERS,
    NAMES,
    PARTS,
    REAL,
    check,
    last_integer,
    limits,
    require,
)
from .rounding import Array, cast

Shape = tuple[int, ...]
_LEAST = -(1 << 63)


def draw_integers(
    generator: Generator, shape: Shape, dtype: str, low: int, high: int | None
) -> Array:
    """Integers low <= i < high: `randint` and `random_(low, high)`.

    `high=None` goes on to the largest value of the dtype (2**digits for floating ones). Raises
    RuntimeError for an empty range, or for one that `dtype` cannot hold.
    """
    if high is None and low == _LEAST:
        return _all_of_int64(generator, shape, dtype)
    low, last = range_from(dtype, low) if high is None else range_of(dtype, low, high)
    n, span = math.prod(shape), last - low + 1
    words = generator.words(n) if span < 1 << 28 else generator.long_words(n)
    values = _modulo(words, span).astype(I64, copy=False)
    values += np.int64(low)
    return cast(values, dtype).reshape(shape)


def draw_any_integers(generator: Generator, shape: Shape, dtype: str) -> Array:
    """Integers from 0 to the largest of the dtype (2**digits for floating ones): `random_()`."""
    n = math.prod(shape)
    if n:
        require(dtype, REAL, "random_kernel_cpu")
    words = generator.long_words(n) if dtype in ("int64", "float64") else generator.words(n)
    return cast(_modulo(words, last_integer(dtype) + 1), dtype).reshape(shape)


def _all_of_int64(generator: Generator, shape: Shape, dtype: str) -> Array:
    kernel = "random_full_64_bits_range_kernel_cpu"
    require(dtype, (*INTEGERS, "bfloat16", "float32", "float64"), kernel)
    text = f"{kernel} handles only int64, double, float and bfloat16"
    check(dtype == "int64" or dtype in FLOATING, text)
    return cast(generator.long_words(math.prod(shape)).view(I64), dtype).reshape(shape)


def _modulo(words: Array, m: int) -> Array:
    """words mod m. (NumPy divides by a constant much faster than it takes remainders.)"""
    divisor = words.dtype.type(m)
    multiples = words // divisor
    multiples *= divisor
    words -= multiples
    return words


def range_of(dtype: str, low: int, high: int) -> tuple[int, int]:
    """The first and the last of the integers low <= i < high that `dtype` can hold."""
    text = "random_ expects 'from'{0} to be less than 'to'{0}, but got from={1} >= to={2}"
    check(low < high, text.format("", low, high))
    if dtype in FLOATING:
        low, high = _nudged(low, 1, dtype), _nudged(high, -1, dtype)
        check(low < high, text.format(" casted to dtype", low, high))
    _check_range(dtype, low, high - 1, "check_random_bounds")
    return low, high - 1


def range_from(dtype: str, low: int) -> tuple[int, int]:
    """The first and the last of the integers from `low` on that `dtype` can hold."""
    last = (1 << 63) - 1 if dtype in PARTS else last_integer(dtype)
    if dtype in FLOATING:
        low = _nudged(low, 1, dtype)
        text = "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted"
        check(low < last, f"{text} to dtype, but got from={low} > to_inc={last}")
    _check_range(dtype, low, last, "random_from_to_impl")
    return low, last


def _nudged(bound: int, inward: int, dtype: str) -> int:
    """`bound`, moved inward by a step of the dtype if its inner neighbour rounds past it."""
    inner = float(cast(np.array(bound + inward, I64), dtype))
    inside = inner >= bound if inward > 0 else inner < bound
    if inside or not _LEAST <= inner < -_LEAST:
        return bound
    step = 1 << (abs(bound + inward).bit_length() - DIGITS[dtype])
    return int(inner) + inward * step


def _check_range(dtype: str, low: int, last: int, function: str) -> None:
    text = f"{function} handles only integral, floating-point and boolean types"
    check(dtype not in PARTS, text)
    (least, most), name = limits(dtype), NAMES[dtype][1]
    bounds = {"from": low, "to - 1": last}
    for label, bound in bounds.items():
        check(least <= bound <= most, f"{label} is out of bounds for {name}")
    digits = DIGITS.get(dtype, 64)
    for label, bound in bounds.items():
        if abs(bound) > 1 << digits:
            _warn_of_precision(label, digits, name)


def _warn_of_precision(label: str, digits: int, name: str) -> None:
    text = f"{label} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations "
    text += (
        f"{name} can support discrete uniform distribution only within this range. This warning "
    )
    text += "will become an error in version 1.7 release, please fix the code in advance"
    warnings.warn(text, UserWarning, stacklevel=5)
