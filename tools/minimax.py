"""Write chainrule/compiler/coefficients.py: the polynomials of formulas.py, by Remez' exchange.

    python tools/minimax.py [NAME ...]

Every polynomial minimises the largest relative error of the whole function over an interval. The
coefficients are rounded to the format from the lowest up, the higher ones making up for each
rounding. Needs mpmath. With names, fits only these and prints them; without, fits all and writes
the file.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 45
LN2, QUARTER, ROOT_PI = mp.ln2, mp.pi / 4, mp.sqrt(mp.pi)
DIGAMMA_ROOT = mp.findroot(mp.digamma, 1.46)
OUT = Path(__file__).parent.parent / "chainrule" / "compiler" / "coefficients.py"


@dataclass(frozen=True)
class Fit:
    """`target(x)` by a polynomial in x over [low, high], its error measured times `weight(x)`."""

    target: Callable[[mpf], mpf]
    low: float | dict[str, float]
    high: float | dict[str, float]
    degree: dict[str, int]
    weight: Callable[[mpf], mpf]
    what: str
    floor: float = 0.02  # least weight: one of zero would leave the exchange without a foothold


def rounded(value: mpf, kind: str) -> float:
    """The nearest number of the format."""
    value = float(value)
    return struct.unpack("f", struct.pack("f", value))[0] if kind == "f32" else value


def exchange(degree: int, grid: list, values: list) -> list[mpf]:
    """The coefficients with the smallest largest error (Remez)."""
    count, last = degree + 1, len(grid) - 1
    picks = [round(last * i / count) for i in range(count + 1)]  # the grid itself is Chebyshev's
    coefficients: list[mpf] = []
    for _ in range(12):
        matrix, right = mp.matrix(count + 1, count + 1), mp.matrix(count + 1, 1)
        for row, i in enumerate(picks):
            f, w = values[i]
            for j in range(count):
                matrix[row, j] = grid[i] ** j * w
            matrix[row, count] = mpf(-1) ** row
            right[row] = f * w
        solution = mp.lu_solve(matrix, right)
        coefficients, level = [solution[j] for j in range(count)], abs(solution[count])
        errors = [
            (mp.polyval(coefficients[::-1], x) - f) * w
            for x, (f, w) in zip(grid, values, strict=True)
        ]
        picks, peak = extrema(errors, count + 1, picks)
        if peak <= level * mpf("1.02"):
            break
    return coefficients


def round_all(coefficients: list[mpf], kind: str, grid: list, values: list) -> list[float]:
    """Rounded from the lowest up; the higher ones take over what is lost (least squares)."""
    count = len(coefficients)
    moments = [mpf(0)] * (2 * count)
    for x, (_, w) in zip(grid, values, strict=True):
        power = w * w
        for k in range(2 * count):
            moments[k] += power
            power *= x
    found: list[float] = []
    for i in range(count):
        found.append(rounded(coefficients[i], kind))
        lost, rest = coefficients[i] - mpf(found[i]), range(i + 1, count)
        if rest:
            gram = mp.matrix([[moments[j + k] for k in rest] for j in rest])
            shift = mp.lu_solve(gram, mp.matrix([moments[i + j] * lost for j in rest]))
            for n, j in enumerate(rest):
                coefficients[j] += shift[n]
    return found


def extrema(errors: list, count: int, before: list[int]) -> tuple[list[int], mpf]:
    """Where the error is largest between its sign changes; `count` neighbours with the largest."""
    runs: list[list[int]] = [[0]]
    for i in range(1, len(errors)):
        if (errors[i] > 0) == (errors[i - 1] > 0):
            runs[-1].append(i)
        else:
            runs.append([i])
    peaks = [max(run, key=lambda i: abs(errors[i])) for run in runs]
    peak = max(abs(errors[i]) for i in peaks)
    if len(peaks) < count:
        return before, peak
    while len(peaks) > count:
        drop_first = abs(errors[peaks[0]]) < abs(errors[peaks[-1]])
        peaks = peaks[1:] if drop_first else peaks[:-1]
    return peaks, peak


def solve(fit: Fit, kind: str) -> tuple[list[float], float]:
    """The rounded coefficients, lowest first, and the largest weighted error."""
    degree = fit.degree[kind]
    points = 24 * (degree + 2)
    low, high = (mpf(v[kind] if isinstance(v, dict) else v) for v in (fit.low, fit.high))
    middle, half = (low + high) / 2, (high - low) / 2
    grid = [middle - half * mp.cos(mp.pi * (i + mpf("0.37")) / points) for i in range(points)]
    weights = [abs(fit.weight(x)) for x in grid]
    floor = max(weights) * fit.floor
    values = [(fit.target(x), max(w, floor)) for x, w in zip(grid, weights, strict=True)]
    fixed = round_all(exchange(degree, grid, values), kind, grid, values)
    worst = max(
        abs((mp.polyval([mpf(c) for c in fixed[::-1]], x) - f) * w)
        for x, (f, w) in zip(grid, values, strict=True)
    )
    return fixed, float(worst)


def erfc_scaled(u: mpf) -> mpf:
    """(1 + 2x) exp(x^2) erfc(x) at u = (x - c) / (x + c): smooth and flat over all x >= 0.

    At c = 3.862.. the value happens to lie next to a float32 and to a float64.
    """
    x = mpf("3.86279296875") * (1 + u) / (1 - u)
    if x > 20:
        terms = [(-1) ** n * mp.fac2(2 * n - 1) / (2 * x * x) ** n for n in range(60)]
        last = next((n for n in range(1, 59) if abs(terms[n + 1]) > abs(terms[n])), 59)
        return (1 + 2 * x) * mp.fsum(terms[:last]) / (x * ROOT_PI)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


NORMAL_REACH = mpf("5.4")  # where erf(x / sqrt(2)) rounds to 1 in float32


def normal_at(t: mpf) -> mpf:
    """Where the polynomial in t = 2 (x / reach)^2 - 1 for `twice_normal` stands in x."""
    return NORMAL_REACH * mp.sqrt((1 + t) / 2)


def normal_slope(t: mpf) -> mpf:
    """erf(x / sqrt(2)) / x, lifted by 1e-7 at the reach: there the polynomial shall not be below
    1, since what is above is cut off.
    """
    x = normal_at(t)
    return (mp.erf(x / mp.sqrt(2)) + mpf("1e-7") * (x / NORMAL_REACH) ** 8) / x


def stirling(x: mpf) -> mpf:
    """The leading terms of log gamma(x)."""
    return (x - mpf("0.5")) * mp.log(x) - x + mp.log(2 * mp.pi) / 2


def inverse_by_log(w: mpf) -> mpf:
    """erfinv(x) / x for w = -log(1 - x^2)."""
    if w < mpf("1e-25"):
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    rest = mp.exp(-w) / (1 + x)  # 1 - x without cancellation
    y = mp.sqrt(w) * mpf("0.9")
    for _ in range(60):  # Newton on log(erfc(y)) = log(1 - x)
        step = (mp.log(mp.erfc(y)) - mp.log(rest)) * mp.erfc(y) * mp.exp(y * y) * ROOT_PI / 2
        y += step
        if abs(step) < mpf(10) ** (-40):
            break
    return y / x


FITS = {
    "exp": Fit(
        lambda r: (mp.exp(r) - 1 - r) / r**2,
        -LN2 / 2,
        LN2 / 2,
        {"f32": 4, "f64": 9},
        lambda r: r**2 / mp.exp(r),
        "exp(r) = 1 + r + r^2 P(r), |r| <= ln 2 / 2",
    ),
    "log": Fit(
        lambda f: (mp.log1p(f) - f) / f**2,
        mpf(-1) / 3,
        mpf(1) / 3,
        {"f32": 8, "f64": 19},
        lambda f: f**2 / mp.log1p(f),
        "log(1 + f) = f + f^2 P(f), |f| <= 1/3",
    ),
    "sin": Fit(
        lambda s: (mp.sin(mp.sqrt(s)) / mp.sqrt(s) - 1) / s,
        0,
        QUARTER**2,
        {"f32": 2, "f64": 5},
        lambda s: s / (mp.sin(mp.sqrt(s)) / mp.sqrt(s)),
        "sin(r) = r + r^3 P(r^2), |r| <= pi/4",
    ),
    "cos": Fit(
        lambda s: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2,
        0,
        QUARTER**2,
        {"f32": 2, "f64": 5},
        lambda s: s**2 / mp.cos(mp.sqrt(s)),
        "cos(r) = 1 - r^2/2 + r^4 P(r^2), |r| <= pi/4",
    ),
    "erf": Fit(
        lambda s: mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1,
        0,
        1,
        {"f32": 6, "f64": 12},
        lambda s: 1 / (mp.erf(mp.sqrt(s)) / mp.sqrt(s)),
        "erf(x) = x + x P(x^2), |x| <= 1",
    ),
    "erf_tail": Fit(
        lambda x: (mp.log(mp.erfc(x)) + x) / x,
        0.95,
        {"f32": 4, "f64": 6},
        {"f32": 6, "f64": 19},
        lambda x: x * mp.erfc(x) / mp.erf(x),
        "log(erfc(x)) = -x + x P(x), from 1 to where erf(x) rounds to 1",
        1e-9,
    ),
    "twice_normal": Fit(
        normal_slope,
        -1,
        1,
        {"f32": 14},
        normal_at,
        "erf(x / sqrt(2)) = x P(2 (x / 5.4)^2 - 1), |x| <= 5.4 (absolute error)",
        1e-6,
    ),
    "erfc": Fit(
        erfc_scaled,
        -1,
        {"f32": 0.49, "f64": 0.76},
        {"f32": 11, "f64": 23},
        lambda u: 1 / erfc_scaled(u),
        "(1 + 2x) exp(x^2) erfc(x) = P(u), u = (x - c) / (x + c), where erfc(x) is not 0",
    ),
    "exp2": Fit(
        lambda r: (mp.mpf(2) ** r - 1) / r,
        -0.5,
        0.5,
        {"f32": 5, "f64": 10},
        lambda r: r / mp.mpf(2) ** r,
        "2^r = 1 + r P(r), |r| <= 1/2",
    ),
    "exp2_pow": Fit(
        lambda r: mp.mpf(2) ** r,
        -0.5,
        0.5,
        {"f64": 7},
        lambda r: 1 / mp.mpf(2) ** r,
        "2^r = P(r), |r| <= 1/2, for a power in float32 by way of float64",
    ),
    "log2_pow": Fit(
        lambda f: mp.log1p(f) / LN2 / f,
        mpf(-1) / 3,
        mpf(1) / 3,
        {"f64": 11},
        lambda f: f / mp.log1p(f),
        "log2(1 + f) = f P(f), |f| <= 1/3, for a power in float32 by way of float64",
    ),
    "log_pow": Fit(
        lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2 - 2 * z / 3) / z**2,
        0,
        mpf("0.0401"),
        {"f64": 6},
        lambda z: z**2,
        "log((1 + s) / (1 - s)) = 2 s + 2/3 s^3 + s^5 P(s^2), |s| <= 1/5",
    ),
    "arctan": Fit(
        lambda s: (mp.atan(mp.sqrt(s)) / mp.sqrt(s) - 1) / s,
        0,
        1,
        {"f32": 8, "f64": 19},
        lambda s: s / (mp.atan(mp.sqrt(s)) / mp.sqrt(s)),
        "arctan(z) = z + z^3 P(z^2), |z| <= 1",
    ),
    "arcsin": Fit(
        lambda s: (mp.asin(mp.sqrt(s)) / mp.sqrt(s) - 1) / s,
        0,
        0.25,
        {"f32": 4, "f64": 11},
        lambda s: s / (mp.asin(mp.sqrt(s)) / mp.sqrt(s)),
        "arcsin(z) = z + z^3 P(z^2), |z| <= 1/2",
    ),
    "cbrt": Fit(
        lambda f: (1 + f) ** (-mpf(1) / 3),
        mpf(-1) / 3,
        mpf(1) / 3,
        {"f32": 4, "f64": 8},
        lambda f: (1 + f) ** (mpf(1) / 3),
        "(1 + f)^(-1/3) = P(f), |f| <= 1/3: where Newton starts",
    ),
    "erfinv": Fit(
        lambda v: inverse_by_log(v + 2.5),
        -2.5,
        2.5,
        {"f32": 9, "f64": 22},
        lambda v: 1 / inverse_by_log(v + 2.5),
        "erfinv(x) / x = P(w - 5/2), w = -log(1 - x^2) <= 5 (as Giles, GPU Gems 4, 10)",
    ),
    "erfinv_tail": Fit(
        lambda v: inverse_by_log((v + 3) ** 2),
        mp.sqrt(5) - 3,
        {"f32": 1.1, "f64": 1.01},
        {"f32": 9, "f64": 21},
        lambda v: 1 / inverse_by_log((v + 3) ** 2),
        "erfinv(x) / x = P(sqrt(w) - 3), 5 <= w <= 16",
    ),
    "erfinv_far": Fit(
        lambda v: inverse_by_log((v + 5) ** 2),
        -1,
        1.1,
        {"f64": 18},
        lambda v: 1 / inverse_by_log((v + 5) ** 2),
        "erfinv(x) / x = P(sqrt(w) - 5), w >= 16",
    ),
    "gammaln": Fit(
        lambda z: mp.loggamma(2 + z) / z,
        -0.75,
        0.5,
        {"f32": 11, "f64": 21},
        lambda z: z / mp.loggamma(2 + z),
        "log gamma(2 + z) = z P(z), -3/4 <= z <= 1/2",
    ),
    "gammaln_far": Fit(
        lambda w: (mp.loggamma(w**-0.5) - stirling(w**-0.5)) * w**-0.5,
        0,
        8.5**-2,
        {"f32": 2, "f64": 7},
        lambda w: mpf(1) / 80,
        "log gamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + P(1/x^2) / x, x >= 8.5",
    ),
    "digamma": Fit(
        lambda z: mp.digamma(z + 1.5) / (z + 1.5 - DIGAMMA_ROOT),
        -0.5,
        0.5,
        {"f32": 9, "f64": 20},
        lambda z: (z + 1.5 - DIGAMMA_ROOT) / mp.digamma(z + 1.5),
        "digamma(t) = (t - t0) P(t - 3/2), digamma(t0) = 0, 1 <= t <= 2",
    ),
    "digamma_far": Fit(
        lambda w: (mp.log(w**-0.5) - w**0.5 / 2 - mp.digamma(w**-0.5)) / w,
        0,
        mpf(1) / 64,
        {"f32": 2, "f64": 7},
        lambda w: mpf(1) / 128,
        "digamma(x) = log x - 1 / (2x) - P(1 / x^2) / x^2, x >= 8",
    ),
}


def text(fits: dict[str, Fit]) -> str:
    """The module's source."""
    lines = ['"""Polynomials of vecmath, lowest coefficient first: written by tools/minimax.py."""']
    lines += ["", "# fmt: off", "COEFFICIENTS: dict[str, dict[str, tuple[float, ...]]] = {"]
    for name, fit in fits.items():
        lines.append(f'    "{name}": {{  # {fit.what}')
        for kind in fit.degree:
            coefficients, worst = solve(fit, kind)
            print(f"{name} {kind}: largest error {worst:.2e}", file=sys.stderr)
            lines.append(f'        "{kind}": (  # error {worst:.1e}')
            lines += [f"            {shortest(c, kind)}," for c in coefficients]
            lines.append("        ),")
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


def shortest(value: float, kind: str) -> str:
    """The shortest decimal that reads back as this number of the format."""
    digits = range(6, 18)
    return next(s for s in (f"{value:.{d}g}" for d in digits) if rounded(mpf(s), kind) == value)


if __name__ == "__main__":
    chosen = {name: FITS[name] for name in sys.argv[1:]} or FITS
    if chosen is FITS:
        OUT.write_text(text(FITS))
    else:
        print(text(chosen))
