"""Draws that take one float or one double per value: uniform, bernoulli and the inverse method."""

from __future__ import annotations

import math

import numpy as np

from .generator import Generator
from .kinds import F32, F64, FLOATING, HALVES, INTEGERS, NAMES, PARTS, REAL, check, limits, require
from .rounding import Array, apply, cast, fma, fma_double

Shape = tuple[int, ...]


def draw_uniform(
    generator: Generator, shape: Shape, dtype: str = "float32", low: float = 0.0, high: float = 1.0
) -> Array:
    """Uniform on [low, high), floating or complex (then both parts are).

    Raises RuntimeError for bounds that are out of order or that `dtype` cannot hold.
    """
    if dtype in PARTS:
        parts = draw_uniform(generator, (*shape, 2), PARTS[dtype], low, high)
        return parts.view(dtype).reshape(shape)
    require(dtype, FLOATING, "check_uniform_bounds")
    unit, n = (low, high) == (0, 1), math.prod(shape)
    if not unit:
        _check_interval(dtype, low, high)
    values = generator.doubles(n) if dtype == "float64" else generator.floats(n)
    if not unit:
        values = _stretch(values, low, high)
    values = cast(values, dtype)
    if not unit or dtype in HALVES:
        first, last = np.array([low, high], F64).astype(values.dtype)
        np.copyto(values, first, where=values == last)
    return values.reshape(shape)


def _stretch(values: Array, low: float, high: float) -> Array:
    if values.dtype == F64:
        return fma_double(values, high - low, low)
    return fma(values, float(np.float32(high) - np.float32(low)), float(np.float32(low)))


def _check_interval(dtype: str, low: float, high: float) -> None:
    torch_name, name = NAMES[dtype]
    least, most = limits(dtype)
    check(least <= low <= most, f"from is out of bounds for {name}")
    check(least <= high <= most, f"to is out of bounds for {name}")
    text = "uniform_ expects to return a [from, to) range, but found"
    check(low <= high, f"{text} from={low:g} > to={high:g}")
    text = f"uniform_ expects to-from <= std::numeric_limits<{torch_name}>::max(), but found"
    text = f"{text} to={high:g} and from={low:g} which result in to-from to exceed the limit"
    check(high - low <= most, text)


def draw_bernoulli(generator: Generator, shape: Shape, dtype: str, p: float | Array) -> Array:
    """1 with probability p, else 0, in any real dtype. An array p (floating) is broadcast.

    Raises RuntimeError for a probability that is not in [0, 1].
    """
    n = math.prod(shape)
    if isinstance(p, np.ndarray):
        if n:
            require(dtype, REAL, "bernoulli_tensor_cpu_self_")
            require(p.dtype.name, FLOATING, "bernoulli_tensor_cpu_p_")
        p = p if p.dtype == F64 else p.astype(F32)
        valid = bool(((p >= 0) & (p <= 1)).all())
        check(valid, "Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
        uniforms = generator.doubles(n) if p.dtype == F64 else generator.floats(n)
    else:
        check(0 <= p <= 1, f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        if n:
            require(dtype, REAL, "bernoulli_scalar_cpu_")
        uniforms = generator.doubles(n)
    return (uniforms.reshape(shape) < p).astype(dtype)


def draw_dropout_mask(generator: Generator, shape: Shape, p: float) -> Array:
    """What dropout with probability p keeps, bool. (It divides what it keeps by 1 - p.)"""
    return draw_bernoulli(generator, shape, "bool", 1.0 - p)


def draw_exponential(
    generator: Generator, shape: Shape, dtype: str = "float32", rate: float = 1.0
) -> Array:
    """Exponential, -log(1 - u) / rate. Raises RuntimeError unless rate > 0 and `dtype` floats."""
    check(rate > 0, f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    _check_continuous(dtype, "Exponential", NAMES[dtype][0])
    uniforms = generator.doubles(math.prod(shape))
    values = (-1.0 / rate) * apply(np.log1p, math.log1p, -uniforms, dtype)
    return cast(values, dtype).reshape(shape)


def draw_cauchy(
    generator: Generator,
    shape: Shape,
    dtype: str = "float32",
    median: float = 0.0,
    sigma: float = 1.0,
) -> Array:
    """Cauchy, median + sigma tan(pi (u - 1/2)). Raises RuntimeError unless sigma > 0 and `dtype`
    floats.
    """
    check(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    _check_continuous(dtype, "Cauchy", NAMES[dtype][1])
    angles = math.pi * (generator.doubles(math.prod(shape)) - 0.5)
    values = fma_double(apply(np.tan, math.tan, angles, dtype), sigma, median)
    return cast(values, dtype).reshape(shape)


def _check_continuous(dtype: str, distribution: str, name: str) -> None:
    text = f"{distribution} distribution is a continuous probability distribution."
    check(dtype in FLOATING, f"{text} dtype must be a floating point but you specified {name}")


def draw_geometric(generator: Generator, shape: Shape, dtype: str, p: float) -> Array:
    """Trials up to the first success, ceil(log(u) / log(1 - p)), in any real dtype but bool.

    Raises RuntimeError unless 0 < p < 1.
    """
    check(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    n = math.prod(shape)
    if n:
        require(dtype, INTEGERS + FLOATING, "geometric_cpu")
    with np.errstate(divide="ignore"):
        trials = np.ceil(np.log(generator.doubles(n)) / math.log1p(-p))
    return cast(trials, dtype).reshape(shape)
