"""Poisson, binomial, gamma and Dirichlet draws: by rejection, so one value after the other.

Each value takes as many doubles from the stream as its rejections ask for, and torch takes them in
the order of the elements: nothing here can be drawn for a whole array at once. `Generator.tape`
hands the doubles out singly and puts back what was drawn ahead. What depends on the parameters
alone is kept, since they mostly repeat. The steps that torch takes in float32 for float32
parameters are taken so here: those parameters come as NumPy scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from .generator import Generator
from .kinds import F64, FLOATING, NAMES, check, require
from .rounding import Array, cast

Draw = Callable[[], float]


def _log(x: float) -> float:
    return math.log(x) if x else -1e300  # of a uniform: once in 2**53 draws


def draw_poisson(generator: Generator, rates: Array) -> Array:
    """Poisson with each of `rates` (floating). Raises RuntimeError if one is negative or NaN."""
    require(rates.dtype.name, FLOATING, "poisson_cpu")
    text = "invalid Poisson rate, expected rate to be non-negative"
    check(bool((rates >= 0).all()), text)
    with generator.tape() as draw:
        counts = [
            _by_transformed_rejection(rate, draw) if rate >= 10 else _by_product(rate, draw)
            for rate in rates.ravel().astype(F64).tolist()
        ]
    return cast(np.array(counts, F64), rates.dtype.name).reshape(rates.shape)


def _by_product(rate: float, draw: Draw) -> int:
    """Knuth's method: how many uniforms it takes to bring their product to exp(-rate), less 1."""
    count, product, least = 0, 1.0, math.exp(-rate)
    while rate:
        product *= draw()
        if product <= least:
            break
        count += 1
    return count


def _by_transformed_rejection(rate: float, draw: Draw) -> int:
    """W. Hoermann, The transformed rejection method for generating Poisson random variables,
    Insurance: Mathematics and Economics 12 (1993), algorithm PTRS.
    """
    a, b, bound, log_rate, log_inverse = _poisson_box(rate)
    while True:
        u, v = draw() - 0.5, draw()
        edge = 0.5 - abs(u)
        if edge < 0.013 and v > edge:
            continue
        k = math.floor((2 * a / edge + b) * u + rate + 0.43)
        if edge >= 0.07 and v <= bound:
            return k
        if k >= 0 and (
            _log(v) + log_inverse - math.log(a / (edge * edge) + b)
            <= -rate + k * log_rate - math.lgamma(k + 1)
        ):
            return k


@lru_cache(typed=True)
def _poisson_box(rate: float) -> tuple[float, float, float, float, float]:
    b = 0.931 + 2.53 * math.sqrt(rate)
    log_inverse = math.log(1.1239 + 1.1328 / (b - 3.4))
    return -0.059 + 0.02483 * b, b, 0.9277 - 3.6224 / (b - 2), math.log(rate), log_inverse


def draw_binomial(generator: Generator, counts: Array, probabilities: Array) -> Array:
    """Binomial for each pair of a count and a probability, float32 or float64, broadcast.

    Raises ValueError unless the counts are floating, RuntimeError if the dtypes differ.
    """
    name, other = counts.dtype.name, probabilities.dtype.name
    if name not in FLOATING:
        text = "binomial only supports floating-point dtypes for count, got: "
        raise ValueError(text + NAMES[name][0])
    if name != other:
        raise RuntimeError(f"Found dtype {NAMES[other][0]} but expected {NAMES[name][0]}")
    require(name, {"float32", "float64"}, "binomial_cpu")
    pairs = np.broadcast(counts, probabilities)
    with generator.tape() as draw:
        values = [_binomial(count, p)(draw) for count, p in pairs]
    return np.array(values, counts.dtype).reshape(pairs.shape)


@lru_cache(typed=True)
def _binomial(count: Any, p: Any) -> Callable[[Draw], float]:
    """The method for one pair of NumPy scalars, in which float32 steps round to float32."""
    n = float(count)
    if n <= 0 or p <= 0:
        return lambda draw: 0.0
    if p >= 1 or math.isnan(p):
        return lambda draw: n if p >= 1 else math.nan
    if p > 0.5:
        failures = _binomial(count, type(p)(1.0 - float(p)))
        return lambda draw: n - failures(draw)
    if count * p < 10:
        return partial(_by_gaps, n, float(np.log1p(-p)))
    deviation = float(np.sqrt(count * p * (1 - p)))
    odds, most_likely = float(p / (1 - p)), math.floor((count + 1) * p)
    return partial(_by_binomial_box, n, float(p), float(count * p), deviation, odds, most_likely)


def _by_gaps(n: float, log_failure: float, draw: Draw) -> float:
    """The number of successes in n trials, adding up the geometric gaps between them."""
    trials, successes = 0.0, 0
    while True:
        trials += math.ceil(_log(draw()) / log_failure)
        if trials > n:
            return successes
        successes += 1


def _by_binomial_box(
    n: float, p: float, mean: float, deviation: float, odds: float, m: float, draw: Draw
) -> float:
    """W. Hoermann, The generation of binomial random variates, Journal of Statistical Computation
    and Simulation 46 (1993), algorithm BTRS; m is the most likely value.
    """
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    bound, alpha = 0.92 - 4.2 / b, (2.83 + 5.1 / b) * deviation
    while True:
        u, v = draw() - 0.5, draw()
        edge = 0.5 - abs(u)
        k = math.floor((2 * a / edge + b) * u + (mean + 0.5)) if edge else -1
        if k < 0 or k > n:
            continue
        if edge >= 0.07 and v <= bound:
            return k
        if _log(v * alpha / (a / (edge * edge) + b)) <= _log_ratio(n, k, m, odds):
            return k


def _log_ratio(n: float, k: int, m: float, odds: float) -> float:
    """log of the binomial probability of k successes over that of m, the most likely number."""
    return (
        (m + 0.5) * math.log((m + 1) / (odds * (n - m + 1)))
        + (n + 1) * math.log((n - m + 1) / (n - k + 1))
        + (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
        + (_stirling_rest(m) + _stirling_rest(n - m) - _stirling_rest(k) - _stirling_rest(n - k))
    )


_STIRLING = (
    0.0810614667953272,
    0.0413406959554092,
    0.0276779256849983,
    0.02079067210376509,
    0.0166446911898211,
    0.0138761288230707,
    0.0118967099458917,
    0.0104112652619720,
    0.00925546218271273,
    0.00833056343336287,
)


def _stirling_rest(k: float) -> float:
    """log k! less Stirling's approximation of it."""
    if k < 10:
        return _STIRLING[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)


def draw_gamma(generator: Generator, shapes: Array) -> Array:
    """Standard gamma (rate 1) with each of the shape parameters, float32 or float64."""
    name = shapes.dtype.name
    require(name, {"float32", "float64"}, "gamma_cpu")
    tiny = float(np.finfo(shapes.dtype).tiny)
    with generator.tape() as draw:
        normal = _normals_from(generator, draw)
        values = [max(tiny, _gamma(a, draw, normal)) for a in shapes.ravel()]
    return np.array(values, shapes.dtype).reshape(shapes.shape)


def draw_dirichlet(generator: Generator, concentrations: Array) -> Array:
    """Dirichlet along the last axis: gamma values in float64 over their sum, float32 or float64."""
    require(concentrations.dtype.name, {"float32", "float64"}, "dirichlet")
    values = draw_gamma(generator, concentrations.astype(F64))
    values /= values.sum(-1, keepdims=True)
    info = np.finfo(concentrations.dtype)
    return values.astype(concentrations.dtype).clip(info.tiny, 1 - info.epsneg)


_THIRD, _SQUEEZE = np.float32(1) / np.float32(3), float(np.float32(0.0331))


def _gamma(alpha: Any, draw: Draw, normal: Draw) -> float:
    """G. Marsaglia and W. W. Tsang, A simple method for generating gamma variables, ACM
    Transactions on Mathematical Software 26 (2000); below 1 through the value for alpha + 1.
    """
    if alpha <= 0:
        return 0.0
    power, d, c = _gamma_box(alpha)
    scale = (1 - draw()) ** power if power else 1.0
    while True:
        x = normal()
        y = 1 + c * x
        if y <= 0:
            continue
        v, u, square = y * y * y, 1 - draw(), x * x
        if u < 1 - _SQUEEZE * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


@lru_cache(typed=True)
def _gamma_box(alpha: Any) -> tuple[float, float, float]:
    one, third = type(alpha)(1), type(alpha)(_THIRD)
    boost = alpha < 1
    d = float((alpha + one if boost else alpha) - third)
    return float(one / alpha) if boost else 0.0, d, 1 / math.sqrt(9 * d)


def _normals_from(generator: Generator, draw: Draw) -> Draw:
    """The function that gives the next standard normal, in pairs and cached as torch's are."""

    def normal() -> float:
        cached, generator.cached_normal = generator.cached_normal, None
        if cached is not None:
            return cached
        angle, radius = 2.0 * math.pi * draw(), math.sqrt(-2.0 * math.log1p(-draw()))
        generator.cached_normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    return normal
