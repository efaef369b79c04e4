"""The formulas of vecmath: exp, log, sin, tanh, erf, pow ... as straight lines of instructions.

The methods are the classical ones: reduce the argument exactly (Cody and Waite, Software Manual for
the Elementary Functions, 1980), evaluate a minimax polynomial (coefficients.py, written by
tools/minimax.py), put the result together so that the last operation makes nearly all of the
rounding error. Where an operation has to be exact it is an fma. A formula takes a Body, which gives
it the format, and Values, and returns the Value of the result; `select` stands for every branch.

Names, special values and signs of zero are NumPy's (C99, Annex F). tests/test_vecmath.py holds the
error of each function, in units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nan

from .body import Body, Value
from .coefficients import COEFFICIENTS

Formula = Callable[..., Value]


@dataclass(frozen=True)
class Function:
    """A row of the table: the formula and how many arguments it takes."""

    formula: Formula
    arguments: int


@dataclass(frozen=True)
class Rescue:
    """Beyond which measure a quick formula does not reach, and the slow one that does."""

    limit: dict[str, float]
    formula: Formula
    arguments: int


FUNCTIONS: dict[str, Function] = {}
RESCUES: dict[str, Rescue] = {}


def function(arguments: int = 1, name: str = "") -> Callable[[Formula], Formula]:
    """Enter a formula `f(b, x, ...)` into the table under its own name or `name`."""

    def enter(formula: Formula) -> Formula:
        FUNCTIONS[name or formula.__name__.rstrip("_")] = Function(formula, arguments)
        return formula

    return enter


def coefficients(b: Body, name: str) -> tuple[float, ...]:
    """The polynomial for the body's format."""
    return COEFFICIENTS[name][b.format.kind]


def by_format(b: Body, f32: float, f64: float) -> float:
    """A constant that differs between the formats."""
    return f32 if b.format.kind == "f32" else f64


# -- exponentials ----------------------------------------------------------------------------------

LOG2_E, LN2 = 1.4426950408889634, 0.6931471805599453
# ln 2 in two parts; the first has so few bits that its product with an exponent is exact
LN2_HIGH = {"f32": 0.693145751953125, "f64": 0.693147180369123816490}
LN2_LOW = {"f32": 1.428606765330187045e-6, "f64": 1.90821492927058770002e-10}


def reduce_exp(b: Body, x: Value) -> tuple[Value, Value]:
    """x = k ln 2 + r, |r| <= ln 2 / 2: bits whose lowest are k + bias (power_of_two), and r."""
    shifted = b.mul_add(x, LOG2_E, b.format.exponent_magic)
    k = shifted - b.format.exponent_magic
    r = b.fma(k, -LN2_HIGH[b.format.kind], x)
    return b.bits(shifted), b.fma(k, -LN2_LOW[b.format.kind], r)


def exp_small(b: Body, r: Value) -> Value:
    """exp(r) for |r| <= ln 2 / 2."""
    return expm1_small(b, r) + 1.0


def expm1_small(b: Body, r: Value) -> Value:
    """exp(r) - 1 for |r| <= ln 2 / 2."""
    polynomial = b.paired if b.format.kind == "f32" else b.horner
    return b.mul_add(r * r, polynomial(r, coefficients(b, "exp")), r)


def power_of_two(b: Body, bits: Value) -> Value:
    """2^k, in the normal range, for bits whose lowest are k + bias; a shift drops the others."""
    return b.real(bits << b.format.mantissa)


def scaled(b: Body, x: Value, bits: Value, negative: Value, nothing: Value | None = None) -> Value:
    """x * 2^k for 1/2 <= x <= 2 and any k that the format has, subnormals rounded once; 0 where
    there is `nothing` left of it, which CPUs take a hundred cycles to find out.
    """
    if b.scales:
        return b.ldexp(x, bits - b.format.exponent_bits)
    half, mantissa = (64 if b.format.kind == "f32" else 512), b.format.mantissa
    inward = b.select(negative, b.like(half << mantissa, bits), -half << mantissa)
    power = b.real((bits << mantissa) + inward)
    last = b.select(negative, b.like(2.0**-half, x), 2.0**half)
    return x * power * (last if nothing is None else b.select(nothing, 0.0, last))


@function()
def exp(b: Body, x: Value) -> Value:
    """e^x = 2^k exp(r)."""
    least = by_format(b, -104.0, -746.0)
    x = b.above(b.below(x, by_format(b, 89.0, 710.0)), least)
    k, r = reduce_exp(b, x)
    return scaled(b, exp_small(b, r), k, x < 0, x <= least)


def exp_negative(b: Body, x: Value) -> Value:
    """e^x for x <= 0, where it may come out as 0 when it is not a normal number."""
    x = b.above(x, by_format(b, -87.0, -708.0))
    k, r = reduce_exp(b, x)
    return exp_small(b, r) * power_of_two(b, k)


@function()
def exp2(b: Body, x: Value) -> Value:
    """2^x = 2^k 2^r, where x - k is exact."""
    least = by_format(b, -151.0, -1076.0)
    x = b.above(b.below(x, by_format(b, 129.0, 1025.0)), least)
    shifted = x + b.format.exponent_magic
    r = x - (shifted - b.format.exponent_magic)
    power = b.mul_add(r, b.horner(r, coefficients(b, "exp2")), 1.0)
    return scaled(b, power, b.bits(shifted), x < 0, x <= least)


def half_expm1(b: Body, x: Value) -> Value:
    """expm1(x) / 2 up to where it overflows."""
    k, r = reduce_exp(b, x)
    quarter = power_of_two(b, k - 2)
    half = b.fma(quarter, expm1_small(b, r), quarter - 0.25)
    return half + half


@function()
def expm1(b: Body, x: Value) -> Value:
    """2^k (expm1(r) + 1) - 1; x itself where it is so small that halves lose bits."""
    y = b.above(b.below(x, by_format(b, 89.0, 710.0)), -40.0)
    half = half_expm1(b, y)
    return b.select(b.abs(x) < 4 * b.format.smallest_normal, x, half + half)


@function()
def sigmoid(b: Body, x: Value) -> Value:
    """1 / (1 + e^-x), from e^-|x|, which cannot overflow."""
    e = exp(b, -b.abs(x))
    return b.select(x < 0, e, 1.0) / (e + 1.0)


@function()
def sinh(b: Body, x: Value) -> Value:
    """(E + E / (E + 1)) / 2 with E = expm1(|x|), with x's sign."""
    size = b.below(b.abs(x), by_format(b, 89.5, 710.5))
    half = half_expm1(b, size)
    whole = half + half
    result = half + b.select(whole < inf, half / (whole + 1.0), 0.5)
    tiny = size < 4 * b.format.smallest_normal
    return b.copysign(b.select(tiny, size, result), x)


@function()
def cosh(b: Body, x: Value) -> Value:
    """H + 1 / (4 H) with H = e^|x| / 2."""
    k, r = reduce_exp(b, b.below(b.abs(x), by_format(b, 89.5, 710.5)))
    half = exp_small(b, r) * power_of_two(b, k - 2)
    half = half + half
    return half + 0.25 / half


@function()
def tanh(b: Body, x: Value) -> Value:
    """expm1(2|x|) / (expm1(2|x|) + 2), with x's sign."""
    y = b.below(b.abs(x), by_format(b, 10.0, 20.0))
    k, r = reduce_exp(b, y + y)
    power = power_of_two(b, k)
    e = b.fma(power, expm1_small(b, r), power - 1.0)
    return b.copysign(e / (e + 2.0), x)


# -- logarithms ------------------------------------------------------------------------------------


def split_log(b: Body, bits: Value) -> tuple[Value, Value]:
    """The normal number u > 0 with these bits as 2^k (1 + f), 2/3 <= 1 + f < 4/3: k and f."""
    two_thirds = 0x3F2AAAAB if b.format.kind == "f32" else 0x3FE5555555555555
    exponent = (bits - two_thirds) >> b.format.mantissa
    return exponent, b.real(bits - (exponent << b.format.mantissa)) - 1.0


def reduce_log(b: Body, x: Value) -> tuple[Value, Value]:
    """Any positive x as 2^k (1 + f): k as a float, and f."""
    tiny, lift = x < b.format.smallest_normal, b.format.mantissa + 1
    exponent, f = split_log(b, b.bits(b.select(tiny, x * 2.0**lift, x)))
    return to_float(b, exponent) - b.select(tiny, float(lift), 0.0), f


def to_float(b: Body, i: Value) -> Value:
    """A small integer as a float; for i64 by way of i32, which all machines convert."""
    if i.type == "i64":
        i = b.convert(i, "trunc", "i32")
    return b.convert(i, "sitofp", b.format.name)


def log1p_small(b: Body, f: Value) -> Value:
    """log(1 + f) - f for |f| <= 1/3."""
    return f * f * b.horner(f, coefficients(b, "log"))


def with_exponent(b: Body, k: Value, f: Value, small: Value) -> Value:
    """k ln 2 + f + small; float32's ln 2 happens to be right to 28 bits."""
    if b.format.kind == "f32":
        return b.fma(k, LN2, f + small)
    return b.fma(k, LN2_HIGH["f64"], f + b.mul_add(k, LN2_LOW["f64"], small))


def log_special(b: Body, x: Value, result: Value) -> Value:
    """A logarithm's values at and below 0, at inf and nan."""
    result = b.select(x < inf, result, x)
    return b.select(x > 0, result, b.select(x.equals(0), -inf, nan))


@function()
def log(b: Body, x: Value) -> Value:
    """k ln 2 + log(1 + f)."""
    k, f = reduce_log(b, x)
    return log_special(b, x, with_exponent(b, k, f, log1p_small(b, f)))


@function()
def log1p(b: Body, x: Value) -> Value:
    """log(u) for u = 1 + x, with what that sum lost brought in again."""
    result = log1p_positive(b, x)
    result = b.select(x < inf, result, x)
    result = b.select(x > -1, result, b.select(x.equals(-1), -inf, nan))
    return b.select(b.abs(x) < b.format.smallest_normal, x, result)


def log1p_positive(b: Body, x: Value) -> Value:
    """log(1 + x) for finite x > -1 (a zero may lose its sign)."""
    u = x + 1.0
    exponent, f = split_log(b, b.bits(u))
    lost = x - (u - 1.0)
    scale = b.real((b.format.bias << b.format.mantissa) - (exponent << b.format.mantissa))
    lost = b.select(u >= 2.0**60, 0.0, lost * scale)
    high = f + lost
    low = lost - (high - f)
    return with_exponent(b, to_float(b, exponent), high, log1p_small(b, high) + low)


# what 1 / ln 2 rounded to the format lacks; 1 / ln 10 with the same; log10(2), its first part
# with so few bits that the product with an exponent is exact
LOG2_E_LOW = {"f32": 1.925963033500011e-8, "f64": 2.0355273740931033e-17}
LOG10_E = {
    "f32": (0.4342944920063019, -1.0103049952192578e-8),
    "f64": (0.4342944819032518, 1.098319650216765e-17),
}
LOG10_2 = {
    "f32": (0.301025390625, 4.605039066518657e-6),
    "f64": (0.301029995663157, 8.241712586023572e-13),
}


@function()
def log2(b: Body, x: Value) -> Value:
    """k + log2(1 + f), exact at powers of two."""
    k, f = reduce_log(b, x)
    small = log1p_small(b, f) * LOG2_E
    small = b.mul_add(f, LOG2_E_LOW[b.format.kind], small)
    return log_special(b, x, k + b.fma(f, LOG2_E, small))


@function()
def log10(b: Body, x: Value) -> Value:
    """k log10(2) + log10(1 + f)."""
    k, f = reduce_log(b, x)
    (high, low), (two_high, two_low) = LOG10_E[b.format.kind], LOG10_2[b.format.kind]
    small = b.mul_add(f, low, log1p_small(b, f) * high)
    small = b.mul_add(k, two_low, small)
    return log_special(b, x, b.fma(k, two_high, b.fma(f, high, small)))


@function()
def softplus(b: Body, x: Value) -> Value:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
    return b.select(x < 0, 0.0, x) + log1p_positive(b, exp(b, -b.abs(x)))


@function()
def log_sigmoid(b: Body, x: Value) -> Value:
    """log(1 / (1 + e^-x)) = min(x, 0) - log1p(e^-|x|)."""
    return b.select(x > 0, 0.0, x) - log1p_positive(b, exp(b, -b.abs(x)))


@function(2)
def logaddexp(b: Body, x: Value, y: Value) -> Value:
    """log(e^x + e^y) = max + log1p(e^(min - max))."""
    larger, gap, lost = larger_and_gap(b, x, y)
    small = exp(b, gap)
    return larger + log1p_positive(b, b.mul_add(small, lost, small))


@function(2)
def logaddexp2(b: Body, x: Value, y: Value) -> Value:
    """log2(2^x + 2^y)."""
    larger, gap, lost = larger_and_gap(b, x, y)
    small = exp2(b, gap)
    return larger + log1p_positive(b, b.mul_add(small, lost * LN2, small)) * LOG2_E


def larger_and_gap(b: Body, x: Value, y: Value) -> tuple[Value, Value, Value]:
    """max, min - max rounded, and what the rounding lost; 0 between equals, infinite or not."""
    swap = x > y
    larger, smaller = b.select(swap, x, y), b.select(swap, y, x)
    gap = smaller - larger
    back = gap - smaller
    lost = smaller - (gap - back) - (larger + back)
    lost = b.select(b.abs(gap) < inf, lost, 0.0)
    return larger, b.select(x.equals(y), 0.0, gap), lost


@function()
def arcsinh(b: Body, x: Value) -> Value:
    """log1p(|x| + x^2 / (1 + sqrt(1 + x^2))), log(2 |x|) where x^2 might overflow."""
    size = b.abs(x)
    big = size > by_format(b, 1e9, 1e18)
    square = size * size
    near = size + square / (b.sqrt(square + 1.0) + 1.0)
    result = log1p_positive(b, b.select(big, size, near)) + b.select(big, LN2, 0.0)
    plain = (size < b.format.smallest_normal) | ~(size < inf)
    return b.copysign(b.select(plain, size, result), x)


@function()
def arccosh(b: Body, x: Value) -> Value:
    """log1p(t + sqrt(t (t + 2))) with t = x - 1."""
    big = x > by_format(b, 1e9, 1e18)
    t = x - 1.0
    near = t + b.sqrt(b.mul_add(t, t, t + t))
    result = log1p_positive(b, b.select(big, x, near)) + b.select(big, LN2, 0.0)
    result = b.select(x < inf, result, x)
    return b.select(x < 1, nan, result)


@function()
def arctanh(b: Body, x: Value) -> Value:
    """log1p(2 |x| / (1 - |x|)) / 2, with x's sign."""
    size = b.abs(x)
    result = log1p_positive(b, (size + size) / (1.0 - size)) * 0.5
    result = b.select(size < 1, result, b.select(size.equals(1), inf, nan))
    return b.copysign(b.select(size < 4 * b.format.smallest_normal, size, result), x)


# -- powers and roots ------------------------------------------------------------------------------


@function(2)
def power(b: Body, x: Value, y: Value) -> Value:
    """|x|^y with the sign and the special cases of C's pow."""
    size = b.abs(x)
    result = power_single(b, size, y) if b.format.kind == "f32" else power_double(b, size, y)
    whole = b.intrinsic("trunc", y).equals(y)
    half = y * 0.5
    odd = whole & b.intrinsic("trunc", half).differs(half)
    negative = b.bits(x) < 0
    result = b.select(negative & odd, -result, result)
    result = b.select((x < 0) & (x > -inf) & ~whole, nan, result)
    one = y.equals(0) | x.equals(1) | (x.equals(-1) & b.abs(y).equals(inf))
    return b.select(one, 1.0, result)


FUNCTIONS["float_power"] = FUNCTIONS["power"]


def power_single(b: Body, x: Value, y: Value) -> Value:
    """x^y for x >= 0 in float64: 2^(y log2 x)."""
    wide = b.wide()
    base, y = (b.convert(v, "fpext", "double") for v in (x, y))
    exponent, f = split_log(wide, wide.bits(base))
    log = wide.mul_add(f, wide.horner(f, coefficients(wide, "log2_pow")), to_float(wide, exponent))
    log = wide.select(base < inf, log, base)  # nan and inf
    log = wide.select(base.equals(0), -inf, log)
    t = wide.above(wide.below(y * log, 200.0), -200.0)
    shifted = t + wide.format.exponent_magic
    r = t - (shifted - wide.format.exponent_magic)
    result = wide.horner(r, coefficients(wide, "exp2_pow")) * power_of_two(wide, wide.bits(shifted))
    return b.convert(result, "fptrunc", "float")


def power_double(b: Body, x: Value, y: Value) -> Value:
    """x^y for x >= 0, the logarithm in two floats: 2 s + 2/3 s^3 + s^5 P(s^2), s = f / (2 + f)."""
    k, f = reduce_log(b, x)
    d = f + 2.0
    inverse = 1.0 / d
    s = f * inverse
    s_low = (b.fma(-s, d, f) - s * (f - (d - 2.0))) * inverse
    z = s * s
    z_low = b.mul_add(s + s, s_low, b.fma(s, s, -z))
    tail = z * b.horner(z, coefficients(b, "log_pow"))
    third = tail + 0.6666666666666666
    third_low = tail - (third - 0.6666666666666666) + 3.700743415417188e-17
    cube = s * z
    cube_low = b.mul_add(s_low, z, b.mul_add(s, z_low, b.fma(s, z, -cube)))
    term = cube * third
    term_low = b.mul_add(cube_low, third, b.mul_add(cube, third_low, b.fma(cube, third, -term)))
    whole = k * LN2_HIGH["f64"]
    first = whole + (s + s)
    low = (s + s) - (first - whole) + (s_low + s_low)
    high = first + term
    low = low + (term - (high - first)) + b.mul_add(k, LN2_LOW["f64"], term_low)
    edge = x.equals(0) | ~(x < inf)
    high = b.select(edge, b.select(x.equals(0), -inf, x), high)
    t = y * high
    t_low = b.mul_add(y, low, b.fma(y, high, -t))
    t_low = b.select((b.abs(t) < 800.0) & ~edge, t_low, 0.0)
    t = b.above(b.below(t, 710.0), -746.0)
    exponent, r = reduce_exp(b, t)
    return scaled(b, exp_small(b, r + t_low), exponent, t < 0)


@function()
def cbrt(b: Body, x: Value) -> Value:
    """2^q y^(1/3), k = 3 q + j: y^(-1/3) by a polynomial and Newton, then one step on y itself."""
    size = b.abs(x)
    k, f = reduce_log(b, size)
    q = b.intrinsic("floor", b.mul_add(k, 1 / 3, 1 / 8))
    j = k - q * 3.0
    y = (f + 1.0) * b.select(j < 1, 1.0, b.select(j < 2, 2.0, 4.0))
    start = b.select(j < 1, 1.0, b.select(j < 2, 2.0 ** (-1 / 3), 2.0 ** (-2 / 3)))
    r = b.horner(f, coefficients(b, "cbrt")) * start
    r = b.mul_add(r * (1 / 3), 1.0 - y * r * r * r, r)
    root = y * r * r
    error = b.fma(root * root, -root, y)
    square = root * root
    error = error - root * b.fma(root, root, -square)
    root = b.fma(error * (r * r), 1 / 3, root)
    result = root * power_of_two(b, b.bits(q + b.format.exponent_magic))
    plain = size.equals(0) | ~(size < inf)
    return b.copysign(b.select(plain, size, result), x)


@function(2)
def hypot(b: Body, x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2), scaled where squares leave the range; inf beside nan is inf."""
    x, y = b.abs(x), b.abs(y)
    large = b.select(x > y, x, y)
    reach = by_format(b, 60, 500)
    up, down = by_format(b, 90, 700), by_format(b, 90, 700)
    huge, tiny = large > 2.0**reach, large < 2.0**-reach
    scale = b.select(huge, 2.0**-down, b.select(tiny, 2.0**up, 1.0))
    back = b.select(huge, 2.0**down, b.select(tiny, 2.0**-up, 1.0))
    u, v = x * scale, y * scale
    result = b.sqrt(b.mul_add(u, u, v * v)) * back
    return b.select(x.equals(inf) | y.equals(inf), inf, result)


@function()
def reciprocal(b: Body, x: Value) -> Value:
    """1 / x."""
    return 1.0 / x


@function()
def rsqrt(b: Body, x: Value) -> Value:
    """1 / sqrt(x)."""
    return 1.0 / b.sqrt(x)


# -- sine and cosine -------------------------------------------------------------------------------

# pi/2 in parts of full precision; with fma the first product is subtracted exactly
HALF_PI = {
    "f32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "f64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}


def reduce_quarter(b: Body, x: Value) -> tuple[Value, Value]:
    """x = k pi/2 + r, |r| <= pi/4: k's low bits, and r."""
    shifted = b.mul_add(x, 0.6366197723675814, b.format.magic)
    k = shifted - b.format.magic
    r = x
    for part in HALF_PI[b.format.kind]:
        r = b.fma(k, -part, r)
    return b.bits(shifted), r


def sin_cos_small(b: Body, r: Value) -> tuple[Value, Value]:
    """sin(r) and cos(r) for |r| <= pi/4."""
    s = r * r
    sine = b.mul_add(r * s, b.horner(s, coefficients(b, "sin")), r)
    tail = b.mul_add(s, b.horner(s, coefficients(b, "cos")), -0.5)
    return sine, b.mul_add(s, tail, 1.0)


def sin_turned(b: Body, x: Value, k: Value, r: Value) -> Value:
    """sin(x) for |x| = k pi/2 + r; x gives the sign, so that -0 keeps its own."""
    sine, cosine = sin_cos_small(b, r)
    size = b.select((k & 1).equals(0), sine, cosine)
    return b.real(b.bits(size) ^ ((k & 2) << (b.format.width - 2)) ^ sign_bit(b, x))


def cos_turned(b: Body, x: Value, k: Value, r: Value) -> Value:
    """cos(x) for |x| = k pi/2 + r."""
    sine, cosine = sin_cos_small(b, r)
    size = b.select((k & 1).equals(0), cosine, sine)
    return b.real(b.bits(size) ^ (((k + 1) & 2) << (b.format.width - 2)))


def tan_turned(b: Body, x: Value, k: Value, r: Value) -> Value:
    """tan(x) for |x| = k pi/2 + r: sin / cos, or -cos / sin in odd quarters."""
    sine, cosine = sin_cos_small(b, r)
    even = (k & 1).equals(0)
    result = b.select(even, sine, -cosine) / b.select(even, cosine, sine)
    return b.real(b.bits(result) ^ sign_bit(b, x))


def sign_bit(b: Body, x: Value) -> Value:
    """The bit pattern of x with all but the sign cleared."""
    return b.bits(x) & -(1 << (b.format.width - 1))


TURNED = {"sin": sin_turned, "cos": cos_turned, "tan": tan_turned}


def trigonometric(name: str) -> Formula:
    """sin, cos or tan: by the quick reduction, where |x| is too large for it by the slow one."""

    def formula(b: Body, x: Value) -> Value:
        size = b.abs(x)
        return b.rescue(name, TURNED[name](b, x, *reduce_quarter(b, size)), size, x)

    return formula


# as far as the parts of pi/2 in `reduce_quarter` reach
QUARTERS = {"f32": 1e5, "f64": 1e12}


def huge_angle(name: str) -> Formula:
    """sin, cos or tan of one finite number of any size (Payne and Hanek, SIGNUM 18(1), 1983)."""

    def formula(b: Body, x: Value) -> Value:
        wide = b.wide()
        y = b.convert(x, "fpext", "double") if x.type == "float" else x
        result = TURNED[name](wide, y, *reduce_huge(wide, wide.abs(y)))
        result = b.convert(result, "fptrunc", "float") if x.type == "float" else result
        return b.select(b.abs(x) < inf, result, nan)

    return formula


TWO_OVER_PI_BITS = 1169
TWO_OVER_PI = int(  # floor(2/pi 2^1169): as many bits as the largest float64 asks for
    "145f306dc9c882a53f84eafa3ea69bb81b6c52b3278872083fca2c757bd778ac36e48dc74849ba5c"
    "00c925dd413a32439fc3bd63962534e7dd1046bea5d768909d338e04d68befc827323ac7306a673e"
    "93908bf177bf250763ff12fffbc0b301fde5e2316b414da3eda6cfd9e4f96136e9e8c7ecd3cbfd45"
    "aea4f758fd7cbe2f67a0e73ef14a525d4d7f6bf623f1aba10ac06",
    16,
)


def reduce_huge(b: Body, x: Value) -> tuple[Value, Value]:
    """x = k pi/2 + r for x > 1: the bits of 2/pi that matter to the quarter, in integers."""
    bits = b.bits(x)
    exponent = bits.shifted_down(52) - 1075
    whole = b.convert((bits & ((1 << 52) - 1)) | (1 << 52), "zext", "i192")
    shift = TWO_OVER_PI_BITS - 190 - exponent
    b.intrinsics.add(f"@cr.two_over_pi = internal constant i1312 {TWO_OVER_PI}")
    place = b.emit(f"getelementptr i8, ptr @cr.two_over_pi, i64 {(shift >> 3).name}", "ptr")
    window = b.emit(f"load i256, ptr {place.name}, align 1", "i256")
    window = window.shifted_down(b.convert(shift & 7, "zext", "i256"))
    turns = whole * b.convert(window, "trunc", "i192")  # quarters, 190 bits after the point, mod 4
    k = b.convert((turns + (1 << 189)).shifted_down(190), "trunc", "i64")
    pieces = [
        b.convert((turns << 2).shifted_down(192 - 32 * (i + 1)), "trunc", "i32") for i in range(4)
    ]
    parts = [
        b.convert(piece, "uitofp" if i else "sitofp", "double") * 2.0 ** (-32 * (i + 1))
        for i, piece in enumerate(pieces)
    ]
    total = parts[0] + parts[1]
    rest = parts[1] - (total - parts[0]) + (parts[2] + parts[3])
    high = total + rest
    low = rest - (high - total)
    half_pi = HALF_PI["f64"]
    return k, b.fma(high, half_pi[0], high * half_pi[1] + low * half_pi[0])


for _name in TURNED:
    FUNCTIONS[_name] = Function(trigonometric(_name), 1)
    RESCUES[_name] = Rescue(QUARTERS, huge_angle(_name), 1)


# -- inverse trigonometric functions ---------------------------------------------------------------

PI_HIGH = {"f32": 3.1415927410125732, "f64": 3.141592653589793}
PI_LOW = {"f32": -8.742277657347586e-08, "f64": 1.2246467991473532e-16}


def odd_series(b: Body, z: Value, name: str) -> Value:
    """z + z^3 P(z^2)."""
    square = z * z
    return b.mul_add(z * square, b.horner(square, coefficients(b, name)), z)


@function()
def arctan(b: Body, x: Value) -> Value:
    """Of |x| up to 1, above it pi/2 minus that of 1 / |x|."""
    size = b.abs(x)
    steep = size > 1
    angle = odd_series(b, b.select(steep, 1.0 / size, size), "arctan")
    high, low = HALF_PI[b.format.kind][:2]
    angle = b.select(steep, high - (angle - low), angle)
    return b.copysign(angle, x)


@function(2)
def arctan2(b: Body, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), in (-pi, pi]; a negative zero x lies on the left."""
    across, up = b.abs(x), b.abs(y)
    steep = up > across
    large, small = b.select(steep, up, across), b.select(steep, across, up)
    small = b.select(small.equals(large), 1.0, small)
    large = b.select(small.equals(1) & up.equals(across), 1.0, large)
    slope = b.select(up.equals(0) & across.equals(0), 0.0, small / large)
    angle = odd_series(b, slope, "arctan")
    high, low = HALF_PI[b.format.kind][:2]
    angle = b.select(steep, high - (angle - low), angle)
    high, low = PI_HIGH[b.format.kind], PI_LOW[b.format.kind]
    angle = b.select(b.bits(x) < 0, high - (angle - low), angle)
    return b.copysign(b.select(x.differs(x), x, angle), y)


@function()
def arcsin(b: Body, x: Value) -> Value:
    """Of |x| up to 1/2; above it pi/2 - 2 arcsin(sqrt((1 - |x|) / 2))."""
    size = b.abs(x)
    far = size > 0.5
    z = b.select(far, b.sqrt(b.fma(size, -0.5, 0.5)), size)
    angle = odd_series(b, z, "arcsin")
    high, low = HALF_PI[b.format.kind][:2]
    return b.copysign(b.select(far, high - (angle + angle - low), angle), x)


@function()
def arccos(b: Body, x: Value) -> Value:
    """pi/2 - arcsin(x); beyond 1/2 from 2 arcsin(sqrt((1 - |x|) / 2))."""
    size = b.abs(x)
    far = size > 0.5
    z = b.select(far, b.sqrt(b.fma(size, -0.5, 0.5)), size)
    angle = odd_series(b, z, "arcsin")
    high, low = HALF_PI[b.format.kind][:2]
    middle = high - (b.copysign(angle, x) - low)
    twice = angle + angle
    left = PI_HIGH[b.format.kind] - (twice - PI_LOW[b.format.kind])
    return b.select(far, b.select(x < 0, left, twice), middle)


# -- error function --------------------------------------------------------------------------------


@function()
def erf(b: Body, x: Value) -> Value:
    """x + x P(x^2) up to 1, then 1 - erfc(x)."""
    size = b.abs(x)
    square = b.below(size * size, 1.0)
    near = b.mul_add(size, b.horner(square, coefficients(b, "erf")), size)
    y = b.below(size, by_format(b, 4.0, 6.0))
    far = 1.0 - exp_negative(b, b.mul_add(y, b.horner(y, coefficients(b, "erf_tail")), -y))
    return b.copysign(b.select(size > 1.0, far, near), x)


@function()
def twice_normal(b: Body, x: Value) -> Value:
    """1 + erf(x / sqrt(2)): erf by one polynomial in float32, as its small values count for little
    beside the 1.
    """
    if b.format.kind == "f64":
        return erf(b, x * 0.5**0.5) + 1.0
    reach = 5.4
    x = b.above(b.below(x, reach), -reach)
    t = b.mul_add(x * x, 2 / reach**2, -1.0)
    size = x * b.horner(t, coefficients(b, "twice_normal"))
    return b.above(b.below(size, 1.0), -1.0) + 1.0


def erfc_smooth(b: Body, x: Value) -> Value:
    """exp(x^2) erfc(x) = P(u) / (1 + 2x) for x >= 0, u = (x - c) / (x + c).

    After M. Shepherd and J. Laframboise, Mathematics of Computation 36 (1981), 249. One division
    serves both quotients; a step of Newton takes its rounding out of them.
    """
    c = 3.86279296875
    first, second = x + c, x + x + 1.0
    inverse = 1.0 / (first * second)
    one_first, one_second = second * inverse, first * inverse
    u = (x - c) * one_first
    u = b.mul_add(b.fma(-u, first, x - c), one_first, u)
    one_second = b.mul_add(b.fma(-one_second, second, 1.0), one_second, one_second)
    return b.horner(u, coefficients(b, "erfc")) * one_second


@function()
def erfc(b: Body, x: Value) -> Value:
    """1 - erf(x) up to 1/2, then exp(-x^2) P(u) / (1 + 2x), the rounding of x^2 put right."""
    size = b.abs(x)
    square = b.below(size * size, 1.0)
    near = b.mul_add(x, b.horner(square, coefficients(b, "erf")), x)
    y = b.below(size, by_format(b, 11.0, 28.0))
    square = y * y
    lost = b.fma(y, y, -square)
    k, r = reduce_exp(b, -square)
    smooth = erfc_smooth(b, y)
    far = scaled(b, b.mul_add(smooth, expm1_small(b, r - lost), smooth), k, y > -1)
    far = b.select(x < 0, 2.0 - far, far)
    return b.select(size > 0.5, far, 1.0 - near)


@function()
def erfinv(b: Body, x: Value) -> Value:
    """x P(w), w = -log(1 - x^2), piecewise (M. Giles, GPU Computing Gems, Jade edition, 10)."""
    size = b.abs(x)
    k, f = reduce_log(b, (1.0 - size) * (size + 1.0))
    w = -with_exponent(b, k, f, log1p_small(b, f))
    root = b.sqrt(b.above(w, 4.0))
    result = b.horner(w - 2.5, coefficients(b, "erfinv"))
    result = b.select(w > 5.0, b.horner(root - 3.0, coefficients(b, "erfinv_tail")), result)
    if b.format.kind == "f64":
        far = b.horner(root - 5.0, coefficients(b, "erfinv_far"))
        result = b.select(w > 16.0, far, result)
    result = b.select(size < 1, size * result, b.select(size.equals(1), inf, nan))
    return b.copysign(result, x)


# -- gamma function --------------------------------------------------------------------------------

DIGAMMA_ROOT = {
    "f32": (1.4616321325302124, 1.243815006546356e-08),
    "f64": (1.4616321449683622, 9.549995429965697e-17),
}
PI = 3.141592653589793


def sin_cos_pi(b: Body, x: Value) -> tuple[Value, Value]:
    """sin(pi x) and cos(pi x) for |x| <= 1/2; the signs of x and +."""
    size = b.abs(x)
    far = size > 0.25
    sine, cosine = sin_cos_small(b, b.select(far, 0.5 - size, size) * PI)
    return b.copysign(b.select(far, cosine, sine), x), b.select(far, sine, cosine)


@function()
def lgamma(b: Body, x: Value) -> Value:
    """log |gamma(x)|; for x < 0, log(pi / |x sin(pi x)|) - log gamma(-x)."""
    size = b.abs(x)
    result = lgamma_positive(b, size)
    sine, _ = sin_cos_pi(b, size - b.intrinsic("rint", size))
    mirrored = -log(b, b.abs(size * sine) * (1 / PI)) - result
    mirrored = b.select(size < 2.0**-b.format.mantissa, result, mirrored)
    mirrored = b.select(size < 2.0**b.format.mantissa, mirrored, inf)
    return b.select(x < 0, mirrored, result)


def lgamma_positive(b: Body, x: Value) -> Value:
    """Around 2 by a polynomial, elsewhere below 8.5 moved there, above by Stirling's series."""
    big, low, tiny = x > 8.5, x < 1.25, x < 0.5
    whole = b.above(b.intrinsic("rint", b.below(x, 9.0)), 2.0)
    z = b.select(tiny, x, b.select(low, x - 1.0, x - whole))
    product = b.number(1.0)
    for i in range(1, 7):
        product = product * b.select(whole > i + 1.5, x - float(i), 1.0)
    product = b.select(tiny, b.mul_add(x, x, x), b.select(low, x, product))
    logarithm = log(b, b.select(big, x, product))
    moved = b.select(low, -logarithm, logarithm)
    near = z * b.horner(z, coefficients(b, "gammaln")) + moved
    inverse = 1.0 / x
    tail = b.horner(inverse * inverse, coefficients(b, "gammaln_far"))
    constant_part = b.mul_add(inverse, tail, 0.4189385332046727)  # log(2 pi) / 2 - 1/2
    return b.select(big, b.mul_add(x - 0.5, logarithm - 1.0, constant_part), near)


@function()
def digamma(b: Body, x: Value) -> Value:
    """The derivative of log gamma; for x < 0, digamma(-x) - 1/x - pi / tan(pi x)."""
    size = b.select(x < 0, -x, x)
    result = digamma_positive(b, size)
    away = size - b.intrinsic("rint", size)
    sine, cosine = sin_cos_pi(b, away)
    inverse = 1.0 / size
    mirrored = result + inverse + PI * (cosine / sine)
    mirrored = b.select(size < 2.0**-b.format.mantissa, inverse, mirrored)
    return b.select(x < 0, b.select(away.equals(0), nan, mirrored), result)


def digamma_positive(b: Body, x: Value) -> Value:
    """Around its root from 1 to 2, below 8 moved there by sums of 1 / (x - i), then a series."""
    low = x < 1
    whole = b.intrinsic("floor", b.below(x, 8.0))
    t = b.select(low, x + 1.0, x - (whole - 1.0))
    above, below = b.select(low, -1.0, b.number(0.0)), b.select(low, x, 1.0)
    for i in range(1, 7):
        wanted, factor = whole > i + 0.5, x - float(i)
        above = b.select(wanted, b.mul_add(above, factor, below), above)
        below = b.select(wanted, below * factor, below)
    root, root_low = DIGAMMA_ROOT[b.format.kind]
    near = (t - root - root_low) * b.horner(t - 1.5, coefficients(b, "digamma")) + above / below
    inverse = 1.0 / x
    square = inverse * inverse
    tail = square * b.horner(square, coefficients(b, "digamma_far"))
    return b.select(x < 8, near, log(b, x) - b.mul_add(inverse, 0.5, tail))


# -- division, signs, extremes ---------------------------------------------------------------------


@function(2)
def fmod(b: Body, x: Value, y: Value) -> Value:
    """x - n y with n = trunc(x / y): exact, and with x's sign."""
    size, unit = b.abs(x), b.abs(y)
    quotient = size / unit
    rest = b.fma(-b.intrinsic("trunc", quotient), unit, size)
    rest = b.select(rest < 0, rest + unit, rest)  # the quotient was rounded up to a whole number
    rest = b.select(unit.equals(inf) & (size < inf), size, rest)
    return b.copysign(b.rescue("fmod", rest, quotient, size, unit), x)


def fmod_slow(b: Body, x: Value, y: Value) -> Value:
    """x mod y for x >= 0, y > 0 with a large quotient: m 2^d modulo n on the integer fractions."""
    b, kind, special = b.wide(), b.format.kind, ~((x < inf) & (y > 0))
    if kind == "f32":
        x, y = (b.convert(v, "fpext", "double") for v in (x, y))
    (m, d), (n, e) = fraction(b, x), fraction(b, y)
    inverse = 1.0 / b.convert(n, "sitofp", "double")
    shift, power = d - e, b.like(1, m)
    for bit in range(11, -1, -1):
        power = product_modulo(b, power, power, n, inverse)
        double = power + power
        power = b.select(
            (shift.shifted_down(bit) & 1).equals(0),
            power,
            b.select(double >= n, double - n, double),
        )
    rest = product_modulo(b, product_modulo(b, m, b.like(1, m), n, inverse), power, n, inverse)
    result = b.convert(rest, "sitofp", "double") * 2.0**-52 * power_of_two(b, e)
    result = b.select(special, nan, result)
    return b.convert(result, "fptrunc", "float") if kind == "f32" else result


def fraction(b: Body, x: Value) -> tuple[Value, Value]:
    """x = m 2^(e - 1075), m an integer, for x >= 0."""
    bits = b.bits(x)
    exponent, m = bits.shifted_down(52), bits & ((1 << 52) - 1)
    normal = exponent > 0
    return b.select(normal, m | (1 << 52), m), b.select(normal, exponent, 1)


def product_modulo(b: Body, x: Value, y: Value, n: Value, inverse: Value) -> Value:
    """x y modulo n for integers below 2^53: the quotient from floats, the rest modulo 2^64."""
    floats = b.convert(x, "sitofp", "double") * b.convert(y, "sitofp", "double") * inverse
    rest = x * y - b.convert(floats, "fptosi", "i64") * n
    for _ in range(2):
        rest = b.select(rest < 0, rest + n, b.select(rest >= n, rest - n, rest))
    return rest


RESCUES["fmod"] = Rescue({"f32": 2.0**23, "f64": 2.0**52}, fmod_slow, 2)


@function(2)
def remainder(b: Body, x: Value, y: Value) -> Value:
    """x - n y with n = floor(x / y), with y's sign (Python's %)."""
    rest = fmod(b, x, y)
    against = rest.differs(0) & ((b.bits(rest) ^ b.bits(y)) < 0)
    return b.select(rest.equals(0), b.copysign(rest, y), b.select(against, rest + y, rest))


@function(2)
def floor_divide(b: Body, x: Value, y: Value) -> Value:
    """floor(x / y) of the exact quotient (Python's //)."""
    rest = fmod(b, x, y)
    quotient = (x - rest) / y
    against = rest.differs(0) & ((b.bits(rest) ^ b.bits(y)) < 0)
    quotient = b.select(against, quotient - 1.0, quotient)
    whole = b.intrinsic("floor", quotient)
    whole = b.select(quotient - whole > 0.5, whole + 1.0, whole)
    plain = x / y
    whole = b.select(quotient.equals(0), b.copysign(quotient, plain), whole)
    return b.select(y.equals(0), plain, whole)


@function()
def sign(b: Body, x: Value) -> Value:
    """-1, 0 or 1; nan for nan."""
    return b.select(x > 0, 1.0, b.select(x < 0, -1.0, b.select(x.equals(0), 0.0, x)))


@function(2)
def maximum(b: Body, x: Value, y: Value) -> Value:
    """The larger; nan if one is nan."""
    return b.select((x > y) | x.differs(x), x, y)


@function(2)
def minimum(b: Body, x: Value, y: Value) -> Value:
    """The smaller; nan if one is nan."""
    return b.select((x < y) | x.differs(x), x, y)


@function(2)
def fmax(b: Body, x: Value, y: Value) -> Value:
    """The larger; a number rather than nan."""
    return b.select((x > y) | y.differs(y), x, y)


@function(2)
def fmin(b: Body, x: Value, y: Value) -> Value:
    """The smaller; a number rather than nan."""
    return b.select((x < y) | y.differs(y), x, y)


@function(2)
def copysign(b: Body, x: Value, y: Value) -> Value:
    """|x| with the sign of y."""
    return b.copysign(x, y)


def intrinsic_function(name: str) -> Formula:
    """The formula that is LLVM's intrinsic of this name."""

    def formula(b: Body, x: Value) -> Value:
        return b.intrinsic(name, x)

    return formula


for _name in ("sqrt", "floor", "ceil", "trunc", "rint", "fabs"):
    FUNCTIONS[_name] = Function(intrinsic_function(_name), 1)
