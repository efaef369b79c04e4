"""Mathematical functions as LLVM IR text that vectorises: exp, log, sin, tanh, erf, pow ...

Each is one straight-line function of scalars, `@cr.NAME.f32` or `.f64`, inlined into the loop that
calls it, where LLVM's vectoriser makes it as wide as the machine is. No branches, no tables in
memory, no calls to a C library. The methods are the classical ones: reduce the argument exactly
(Cody and Waite, Software Manual for the Elementary Functions, 1980), evaluate a minimax polynomial
(coefficients.py, written by tools/minimax.py), put the result together so that the last operation
makes nearly all of the rounding error. Where an operation has to be exact it is an fma.

Names, special values and signs of zero are NumPy's (C99, Annex F). tests/test_vecmath.py holds the
error of each function, in units in the last place, and that its loop vectorises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nan

from .body import FORMATS, Body, Value
from .coefficients import COEFFICIENTS

Formula = Callable[..., Value]


@dataclass(frozen=True)
class Function:
    """A row of the table: the formula and how many arguments it takes."""

    formula: Formula
    arguments: int


FUNCTIONS: dict[str, Function] = {}


def function(arguments: int = 1, name: str = "") -> Callable[[Formula], Formula]:
    """Enter a formula `f(b, x, ...)` into the table under its own name or `name`."""

    def enter(formula: Formula) -> Formula:
        FUNCTIONS[name or formula.__name__.rstrip("_")] = Function(formula, arguments)
        return formula

    return enter


def functions() -> dict[str, Function]:
    """All functions by name; each exists as f32 and f64."""
    return FUNCTIONS


def call(name: str, dtype: str) -> str:
    """The symbol of a function: `call("exp", "f32")` is "@cr.exp.f32"."""
    return f"@cr.{name}.{dtype}"


def define(names: set[tuple[str, str]]) -> str:
    """The IR text that defines exactly these (name, dtype) pairs, and declares what they need."""
    bodies, intrinsics = [], set()
    for name, dtype in sorted(names):
        row, form = FUNCTIONS[name], FORMATS[dtype]
        body = Body(form, row.arguments)
        result = row.formula(body, *body.inputs)
        intrinsics |= body.intrinsics
        arguments = ", ".join(f"{x.type} {x.name}" for x in body.inputs)
        head = f"define internal {form.name} {call(name, dtype)}({arguments})"
        lines = [f"{head} alwaysinline nounwind willreturn memory(none) {{", *body.lines]
        bodies.append("\n".join([*lines, f"  ret {result.type} {result.name}", "}", ""]))
    return "\n".join([*sorted(intrinsics), "", *bodies])


def coefficients(b: Body, name: str) -> tuple[float, ...]:
    """The polynomial for the body's format."""
    return COEFFICIENTS[name][b.format.kind]


def by_format(b: Body, f32: float, f64: float) -> float:
    """A constant that differs between the formats."""
    return f32 if b.format.kind == "f32" else f64


# -- exponentials ----------------------------------------------------------------------------------

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has so few bits that its product with an exponent is exact
LN2_HIGH = {"f32": 0.693145751953125, "f64": 0.693147180369123816490}
LN2_LOW = {"f32": 1.428606765330187045e-6, "f64": 1.90821492927058770002e-10}


def reduce_exp(b: Body, x: Value) -> tuple[Value, Value]:
    """x = k ln 2 + r, |r| <= ln 2 / 2: the bits of k (above them rubbish that a shift drops), r."""
    shifted = b.mul_add(x, LOG2_E, b.format.magic)
    k = shifted - b.format.magic
    r = b.fma(k, -LN2_HIGH[b.format.kind], x)
    return b.bits(shifted), b.fma(k, -LN2_LOW[b.format.kind], r)


def exp_small(b: Body, r: Value) -> Value:
    """exp(r) for |r| <= ln 2 / 2."""
    return b.mul_add(r * r, b.horner(r, coefficients(b, "exp")), r) + 1.0


def power_of_two(b: Body, k: Value) -> Value:
    """2^k for k in the normal range; only k's low bits count."""
    return b.real((k << b.format.mantissa) + (b.format.bias << b.format.mantissa))


def scaled(b: Body, x: Value, k: Value, negative: Value) -> Value:
    """x * 2^k for 1/2 <= x <= 2 and any k that the format has, subnormals rounded once."""
    half, form = (64 if b.format.kind == "f32" else 512), b.format
    bias = b.select(
        negative,
        b.like(form.bias + half << form.mantissa, k),
        form.bias - half << form.mantissa,
    )
    power = b.real((k << form.mantissa) + bias)
    return x * power * b.select(negative, 2.0**-half, 2.0**half)


@function()
def exp(b: Body, x: Value) -> Value:
    """e^x = 2^k exp(r)."""
    x = b.above(b.below(x, by_format(b, 89.0, 710.0)), by_format(b, -104.0, -746.0))
    k, r = reduce_exp(b, x)
    return scaled(b, exp_small(b, r), k, x < 0)


def exp_negative(b: Body, x: Value) -> Value:
    """e^x for x <= 0, where it may come out as 0 when it is not a normal number."""
    x = b.above(x, by_format(b, -87.0, -708.0))
    k, r = reduce_exp(b, x)
    return exp_small(b, r) * power_of_two(b, k)


@function()
def sigmoid(b: Body, x: Value) -> Value:
    """1 / (1 + e^-x), from e^-|x|, which cannot overflow."""
    e = exp(b, -b.abs(x))
    return b.select(x < 0, e, 1.0) / (e + 1.0)


@function()
def tanh(b: Body, x: Value) -> Value:
    """expm1(2|x|) / (expm1(2|x|) + 2), with x's sign."""
    y = b.below(b.abs(x), by_format(b, 10.0, 20.0))
    k, r = reduce_exp(b, y + y)
    r_expm1 = b.mul_add(r * r, b.horner(r, coefficients(b, "exp")), r)
    power = power_of_two(b, k)
    e = b.fma(power, r_expm1, power - 1.0)
    return b.copysign(e / (e + 2.0), x)


# -- logarithms ------------------------------------------------------------------------------------


def reduce_log(b: Body, x: Value) -> tuple[Value, Value]:
    """x = 2^k (1 + f), 2/3 <= 1 + f < 4/3, for positive x: k as a float, and f."""
    form = b.format
    tiny = x < form.smallest_normal
    lifted = b.bits(b.select(tiny, x * 2.0 ** (form.mantissa + 1), x))
    low = by_format(b, 0x3F2AAAAB, 0x3FE5555555555555)  # 2/3
    exponent = (lifted - int(low)) >> form.mantissa
    f = b.real(lifted - (exponent << form.mantissa)) - 1.0
    k = to_float(b, exponent) - b.select(tiny, form.mantissa + 1.0, 0.0)
    return k, f


def to_float(b: Body, i: Value) -> Value:
    """A small integer as a float; for i64 by way of i32, which all machines convert."""
    if i.type == "i64":
        i = b.convert(i, "trunc", "i32")
    return b.convert(i, "sitofp", b.format.name)


def log1p_small(b: Body, f: Value) -> Value:
    """log(1 + f) - f for |f| <= 1/3."""
    return f * f * b.horner(f, coefficients(b, "log"))


def log_special(b: Body, x: Value, result: Value) -> Value:
    """A logarithm's values at and below 0, at inf and nan."""
    result = b.select(x < inf, result, x)
    return b.select(x > 0, result, b.select(x.equals(0), -inf, nan))


@function()
def log(b: Body, x: Value) -> Value:
    """k ln 2 + log(1 + f)."""
    k, f = reduce_log(b, x)
    small = b.mul_add(k, LN2_LOW[b.format.kind], log1p_small(b, f))
    return log_special(b, x, b.fma(k, LN2_HIGH[b.format.kind], f + small))


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


@function()
def sin(b: Body, x: Value) -> Value:
    """By quarter turns, on |x| so that -0 keeps its sign."""
    k, r = reduce_quarter(b, b.abs(x))
    sine, cosine = sin_cos_small(b, r)
    size = b.select((k & 1).equals(0), sine, cosine)
    turn = ((k & 2) << (b.format.width - 2)) ^ (b.bits(x) & -(1 << (b.format.width - 1)))
    return b.real(b.bits(size) ^ turn)


@function()
def cos(b: Body, x: Value) -> Value:
    """By quarter turns."""
    k, r = reduce_quarter(b, b.abs(x))
    sine, cosine = sin_cos_small(b, r)
    size = b.select((k & 1).equals(0), cosine, sine)
    return b.real(b.bits(size) ^ (((k + 1) & 2) << (b.format.width - 2)))


# -- error function --------------------------------------------------------------------------------


@function()
def erf(b: Body, x: Value) -> Value:
    """x + x P(x^2) up to 1, then 1 - erfc(x)."""
    size = b.abs(x)
    square = b.below(size * size, 1.0)
    near = b.mul_add(size, b.horner(square, coefficients(b, "erf")), size)
    if b.format.kind == "f32":
        y = b.below(size, 4.0)
        far = 1.0 - exp_negative(b, b.mul_add(y, b.horner(y, coefficients(b, "erf_tail")), -y))
    else:
        far = 1.0 - erfc_positive(b, b.below(size, 6.5))
    return b.copysign(b.select(size > 1.0, far, near), x)


def erfc_positive(b: Body, x: Value) -> Value:
    """erfc(x) = exp(-x^2) P(u) / (1 + 2x) for x >= 0, u = (x - 4) / (x + 4)."""
    u = (x - 4.0) / (x + 4.0)
    return exp_negative(b, -(x * x)) * b.horner(u, coefficients(b, "erfc")) / (x + x + 1.0)
