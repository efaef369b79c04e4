"""What the vecmath tests ask the functions: numbers over all exponents, special values, references.

The references for float64 come from mpmath, kept in tests/golden/vecmath.npz by
tools/golden_vecmath.py; those for float32 from NumPy and SciPy in float64.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.special

GOLDEN = Path(__file__).parent / "golden" / "vecmath.npz"
SPECIAL = (0.0, np.inf, np.nan, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 10.0)
# log gamma and digamma cross zero at every negative integer: only their absolute error is bounded
POSITIVE = {"lgamma", "digamma"}

REFERENCE = {
    "sigmoid": lambda x: np.where(x > -700, 1 / (1 + np.exp(-x)), np.exp(x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "twice_normal": lambda x: 1 + scipy.special.erf(x * 0.5**0.5),
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erfinv": scipy.special.erfinv,
    "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.digamma,
}


def reference(name: str, *arrays: np.ndarray) -> np.ndarray:
    """The function by NumPy or SciPy, in the arrays' own precision."""
    with np.errstate(all="ignore"):
        return (REFERENCE.get(name) or getattr(np, name))(*arrays)


def samples(name: str, dtype: str, count: int, arguments: int, seed: int = 0) -> list[np.ndarray]:
    """`count` numbers of each of seven kinds for each argument, the second in another order."""
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    limits, rng = np.finfo(kind), np.random.default_rng(seed)
    inside = rng.uniform(-1, 1, count)
    sign = np.where(rng.random(count) < 0.5, 1, -1)
    lowest = limits.minexp - limits.nmant + 1
    overflow = {"f32": 110, "f64": 760}[dtype]
    groups = [
        np.exp2(rng.uniform(lowest, limits.maxexp - 0.001, count)) * sign,  # any exponent
        np.exp2(rng.uniform(-12, 7, count)) * sign,
        inside,
        1 + inside * np.exp2(rng.uniform(-20, 0, count)),  # near 1
        inside * overflow,  # where exp ends
        inside * 30,
        rng.integers(-200, 200, count) * (np.pi / 2),  # where sin and cos are next to nothing
    ]
    x = np.concatenate(groups).astype(kind)
    if name in POSITIVE:
        x = np.abs(x)
    return [x] if arguments == 1 else [x, rng.permutation(x)]


def special_values(dtype: str, arguments: int) -> list[np.ndarray]:
    """Zeros, infinities, nan, whole numbers, the ends of the format; of both signs, all pairs."""
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    limits = np.finfo(kind)
    ends = (limits.max, limits.tiny, limits.smallest_subnormal)
    x = np.array([s * v for v in (*SPECIAL, *ends) for s in (1, -1)], kind)
    if arguments == 1:
        return [x]
    return [grid.ravel() for grid in np.meshgrid(x, x)]
