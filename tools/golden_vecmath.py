"""Write tests/golden/vecmath.npz: samples of every function of vecmath with mpmath's values.

    python tools/golden_vecmath.py

Kept are, for each function, the arguments, the value rounded to float64, and what it lacks, in
units in the last place.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chainrule.compiler import vecmath
from tests.vector_samples import GOLDEN, reference, samples

mp.prec = 200
COUNT = 24
# exact in float64, or rounded once by the machine: NumPy says what is right
EXACT = {
    *("sqrt", "floor", "ceil", "trunc", "rint", "fabs", "copysign", "sign", "reciprocal"),
    *("maximum", "minimum", "fmax", "fmin", "fmod", "remainder", "floor_divide"),
}
VALUES = {
    "exp2": lambda x: mpf(2) ** x,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "log2": lambda x: mp.log(x) / mp.ln2,
    "softplus": lambda x: max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x))),
    "log_sigmoid": lambda x: min(x, mpf(0)) - mp.log1p(mp.exp(-abs(x))),
    "logaddexp": lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
    "logaddexp2": lambda x, y: max(x, y) + mp.log1p(mpf(2) ** -abs(x - y)) / mp.ln2,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "erfc": lambda x: mp.erfc(x) if abs(x) < 30 else 1 - mp.sign(x),
    "erf": lambda x: mp.erf(x) if abs(x) < 30 else mp.sign(x),
    "twice_normal": lambda x: mp.erfc(-x / mp.sqrt(2)) if abs(x) < 30 else 1 + mp.sign(x),
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "arctan2": mp.atan2,
    "arcsinh": mp.asinh,
    "arccosh": mp.acosh,
    "arctanh": mp.atanh,
    "float_power": mp.power,
    "lgamma": mp.loggamma,
    "digamma": mp.digamma,
}


def exact(name: str, numbers: tuple[float, ...], guess: float) -> tuple[float, float]:
    """mpmath's value as a float64 and the rest of it in ulps; NumPy's where it is not finite."""
    if not np.isfinite(guess):
        return guess, 0.0
    value = (VALUES.get(name) or getattr(mp, name))(*(mpf(v) for v in numbers))
    nearest = float(value)
    if not np.isfinite(nearest):
        return nearest, 0.0
    return nearest, float((value - mpf(nearest)) / mpf(float(np.spacing(abs(nearest)))))


def main() -> None:
    """Fill the file."""
    kept = {}
    for name, row in vecmath.functions().items():
        if name in EXACT:
            continue
        arrays = samples(name, "f64", COUNT, row.arguments)
        guesses = reference(name, *arrays)
        pairs = [
            exact(name, tuple(map(float, numbers)), float(guess))
            for *numbers, guess in zip(*arrays, guesses, strict=True)
        ]
        kept[f"{name}.arguments"] = np.array(arrays)
        kept[f"{name}.values"] = np.array([value for value, _ in pairs])
        kept[f"{name}.rest"] = np.array([rest for _, rest in pairs], np.float32)
    np.savez_compressed(GOLDEN, **kept)


if __name__ == "__main__":
    main()
