"""Normal values, by two routes with different streams.

Sixteen or more values that lie contiguous in memory are made in groups of 16, in float64 for
float64 and in float32 for all shorter types; there torch's kernel takes log, sine and cosine from
the single precision polynomials of S. Moshier's Cephes library, with fused multiply-adds. All other
normal values are made two at a time in float64; an odd one out stays in the generator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .generator import Generator
from .kinds import F32, F64, FLOATING, HALVES, I32, PARTS, check, require
from .rounding import Array, apply, cast, fma, fma_double, log_double

Shape = tuple[int, ...]


def draw_normal(
    generator: Generator,
    shape: Shape,
    dtype: str = "float32",
    mean: float = 0.0,
    std: float = 1.0,
    contiguous: bool = True,
) -> Array:
    """Normal with `mean` and `std`, floating or complex (then each part has std / sqrt(2)).

    `contiguous=False` draws what torch would put into a strided destination. Raises RuntimeError if
    std is negative or NaN.
    """
    check(std >= 0, f"normal expects std >= 0.0, but found std {std:g}")
    if dtype in PARTS:
        parts = (*shape, 2), PARTS[dtype], mean, std / math.sqrt(2), contiguous
        return draw_normal(generator, *parts).view(dtype).reshape(shape)
    n = math.prod(shape)
    if n:
        require(dtype, FLOATING, "normal_kernel_cpu")
    if n >= 16 and contiguous:
        values = _in_groups(generator, n, dtype, mean, std)
    else:
        values = fma_double(_in_pairs(generator, n, dtype), std, mean)
    return cast(values, dtype).reshape(shape)


def draw_normal_around(generator: Generator, mean: Array | float, std: Array | float) -> Array:
    """Normal about each element of `mean` with each element of `std`, one or both of them arrays.

    The dtype is that of `mean` if it is an array, else that of `std`. Raises RuntimeError if an
    element of `std` is negative.
    """
    dtype = (mean if isinstance(mean, np.ndarray) else np.asarray(std)).dtype.name
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
    if isinstance(std, np.ndarray):
        check(bool((std >= 0).all()), "normal expects all elements of std >= 0.0")
        out = draw_normal(generator, shape, dtype)
        np.multiply(out, std, out=out, casting="same_kind")
    else:
        out = draw_normal(generator, shape, dtype, 0.0, std)
    return np.add(out, mean, out=out, casting="same_kind")


def draw_log_normal(
    generator: Generator, shape: Shape, dtype: str = "float32", mean: float = 1.0, std: float = 2.0
) -> Array:
    """exp of a normal with `mean` and `std`. Raises RuntimeError unless std > 0."""
    check(std > 0, f"log_normal_ expects std > 0.0, but found std={std:g}")
    n = math.prod(shape)
    if n:
        require(dtype, FLOATING, "log_normal_cpu")
    exponents = fma_double(_in_pairs(generator, n, dtype), std, mean)
    with np.errstate(over="ignore"):
        return cast(apply(np.exp, _exp, exponents, dtype), dtype).reshape(shape)


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.78 else math.inf


# ---------------------------------------------------------------------------------- two at a time


def _in_pairs(generator: Generator, n: int, dtype: str) -> Array:
    """n standard normals, float64, starting with the cached one if there is one."""
    if not n:
        return np.empty(0)
    with generator.lock:
        cached = generator.cached_normal
        first = cached is not None
        uniforms = generator.doubles(2 * ((n - first + 1) // 2))
        angles, logs = 2.0 * math.pi * uniforms[::2], -uniforms[1::2]
        radii = np.sqrt(-2.0 * apply(np.log1p, math.log1p, logs, dtype))
        out = np.empty(first + uniforms.size)
        out[:first] = cached
        out[first::2] = radii * np.cos(angles)
        out[first + 1 :: 2] = radii * np.sin(angles)
        odd = out.size > n
        generator.cached_normal = _second_of_pair(angles[-1], logs[-1]) if odd else None
    return out[:n]


def _second_of_pair(angle: float, minus_u: float) -> float:
    """The sine half of a pair of normals, to the last bit: it will be seen in the state."""
    return math.sqrt(-2.0 * math.log1p(minus_u)) * math.sin(angle)


# --------------------------------------------------------------------------------- in groups of 16


def _in_groups(generator: Generator, n: int, dtype: str, mean: float, std: float) -> Array:
    """n >= 16 normals, of which the last 16 are drawn a second time unless 16 divides n.

    The first time round a half type leaves out the n mod 16 values that would not fill a group.
    """
    whole, last = n - n % 16, 16 if n % 16 else 0
    lost = 0 if dtype in HALVES else n - whole
    count = whole + lost + last
    draws = generator.doubles(count) if dtype == "float64" else generator.words(count)
    draws[whole : whole + last] = draws[whole + lost :]
    groups = draws[: whole + last].reshape(-1, 2, 8)
    box_muller = _box_muller_double if dtype == "float64" else _box_muller
    values = box_muller(groups, mean, std).reshape(-1)
    values[n - last : n] = values[whole:].copy()
    return values[:n]


def _box_muller_double(uniforms: Array, mean: float, std: float) -> Array:
    radii = np.sqrt(-2.0 * log_double(1.0 - uniforms[:, 0]))
    angles = 2.0 * math.pi * uniforms[:, 1]
    normals = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return fma_double(normals, std, mean)


def _box_muller(words: Array, mean: float, std: float) -> Array:
    """Float32 normals from groups of 2 x 8 words, in blocks that stay in the processor's cache."""
    out = np.empty(words.shape, F32)
    mean, std = float(np.float32(mean)), float(np.float32(std))
    for start in range(0, len(words), 2048):
        fractions = (words[start : start + 2048] & np.uint32(0xFFFFFF)).view(I32)
        block = out[start : start + 2048]
        radius = _log_of_fraction(np.int32(1 << 24) - fractions[:, 0])
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        cosine, sine = _cosine_sine_of_turn(fractions[:, 1])
        np.multiply(radius, cosine, out=block[:, 0])
        np.multiply(radius, sine, out=block[:, 1])
        block[...] = fma(block, std, mean) if (mean, std) != (0, 1) else block + np.float32(0)
    return out


def _single(*numbers: float) -> list[float]:
    return [float(np.float32(number)) for number in numbers]


# log(1 + x) = x - x^2 / 2 + x^3 p(x) for sqrt(1/2) <= 1 + x < sqrt(2), highest power first
LOG = _single(
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
LOG_2 = _single(0.693359375, -2.12194440e-4)  # in two pieces, the first with few digits
# cos x = 1 - x^2 / 2 + x^4 p(x^2) and sin x = x + x^3 q(x^2) for |x| <= pi / 4
COSINE = _single(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
SINE = _single(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
QUARTER_PI = _single(0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)


def _polynomial(coefficients: list[Any], x: Array) -> Array:
    """Horner's rule in float32 with fused steps, at float32 numbers x that come as float64."""
    wide = x * coefficients[0]
    wide += coefficients[1]
    y = wide.astype(F32)
    for c in coefficients[2:]:
        wide[...] = y
        wide *= x
        wide += c
        y[...] = wide
    return y


def _log_of_fraction(k: Array) -> Array:
    """log(k / 2**24) in float32, for int32 k from 1 to 2**24."""
    x = k.astype(F32)
    bits = x.view(I32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)  # those are the bits of sqrt(1/2)
    bits -= exponent << np.int32(23)
    x -= np.float32(1)
    exponent -= np.int32(24)
    power = exponent.astype(F32)
    y = _polynomial(LOG, x.astype(F64))
    y *= x
    square = x * x
    y = fma(y, square, power * np.float32(LOG_2[1]))
    square *= np.float32(0.5)
    y -= square
    x += y
    return fma(power, LOG_2[0], x)


def _cosine_sine_of_turn(k: Array) -> tuple[Array, Array]:
    """cos and sin of the float32 angle 2 pi k / 2**24, for int32 k from 0 to 2**24 - 1."""
    x = k.astype(F32)
    x *= np.float32(2 * math.pi) * np.float32(2**-24)
    octant = (x * np.float32(4 / math.pi)).astype(I32)
    octant += np.int32(1)
    octant &= np.int32(~1)
    turns = octant.astype(F32)
    x -= turns * np.float32(QUARTER_PI[0])  # this product is exact, and the next
    x -= turns * np.float32(QUARTER_PI[1])
    x = fma(turns, -QUARTER_PI[2], x)
    square = x * x  # type: ignore[operator]
    wide = square.astype(F64)
    cosine = fma(_polynomial(COSINE, wide) * square, wide, square * np.float32(-0.5))
    cosine += np.float32(1)
    sine = fma(_polynomial(SINE, wide) * square, x, x)
    _turn(cosine.view(I32), sine.view(I32), octant)
    return cosine, sine


def _turn(cosine: Array, sine: Array, octant: Array) -> None:
    """Turn by octant * pi / 4, octant even, in place: swap and negate by way of the bits."""
    change = (cosine ^ sine) & -((octant >> np.int32(1)) & np.int32(1))
    cosine ^= change ^ (((octant + np.int32(2)) & np.int32(4)) << np.int32(29))
    sine ^= change ^ ((octant & np.int32(4)) << np.int32(29))
