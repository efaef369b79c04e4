"""Arithmetic and elementary functions: each entry is the NumPy function and its derivative.

Rules are plain transposes in `g`. Where a function is not holomorphic (abs, conj, real ...) the rule is the transpose over
the reals: a cotangent g stands for the linear map dx -> Re(g * dx). Where torch picks a subgradient (abs at 0, ties of
maximum, the bounds of clamp), so do these. `keep` is how rules mask: it gives 0 where the mask fails, whatever was there.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import COMPLEX, FLOATING, FROM_NUMPY
from ..return_types import frexp as frexp_result
from . import define
from .define import (
    BOOLEAN,
    FLOAT,
    FUNCTIONS,
    MOVE,
    SAME,
    elementwise,
    function,
    op,
    primitive,
    scalar_name,
    wrap,
)

LN2, LN10, PI = math.log(2), math.log(10), math.pi
BITS = {2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}


@primitive(
    define=elementwise,
    promote=MOVE,
    namespace="primitive",
    method=False,
    inplace=False,
    linear=True,
)
def keep(x: Any, /, mask: Any) -> Any:
    """x where the mask holds, else 0: an integer product on the bits, which neither NaN nor a sign survives."""
    bits = BITS.get(x.dtype.itemsize)
    if bits is None:
        return np.where(mask, x, x.dtype.type(0))
    return np.multiply(x.view(bits), mask).view(x.dtype)


@keep.vjp
def _(g, mask):
    return keep(g, mask)


def blend(condition: Any, x: Any, y: Any) -> Any:
    """np.where; on large arrays by arithmetic on the bits, five times as fast as branches on a mixed mask."""
    like = x if type(x) is np.ndarray else y
    if type(condition) is not np.ndarray or condition.size < 8192 or type(like) is not np.ndarray:
        return np.where(condition, x, y)
    bits = BITS.get(like.itemsize)
    if bits is None or any(getattr(a, "dtype", like.dtype) is not like.dtype for a in (x, y)):
        return np.where(condition, x, y)
    first, second = (
        a.view(bits) if hasattr(a, "dtype") else like.dtype.type(a).view(bits) for a in (x, y)
    )
    mixed = np.multiply(np.bitwise_xor(first, second), condition)
    return np.bitwise_xor(mixed, second, out=mixed).view(like.dtype)


def zero(g: Any) -> Any:
    """The rule of functions that are constant wherever they are differentiable."""
    return np.zeros((), g.dtype)


def underivable(name: str) -> Any:
    """The rule of functions that torch does not differentiate: it says so."""

    def rule(g: Any) -> Any:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return rule


# -- sums, products, quotients ---------------------------------------------------------------------------------------

NO_BOOLS = (
    "Subtraction, the `-` operator, with two bool tensors is not supported. "
    "Use the `^` or `logical_xor()` operator instead."
)
NO_BOOL = (
    "Subtraction, the `-` operator, with a bool tensor is not supported. "
    "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
)
plus = elementwise(
    np.add, vjp=(lambda g: g, lambda g: g), name="add", method=False, inplace=False, linear=True
)
minus = elementwise(
    np.subtract,
    vjp=(lambda g: g, lambda g: -g),
    name="sub",
    method=False,
    inplace=False,
    linear=True,
    takes="ifc",
    each=NO_BOOL,
    refusal=NO_BOOLS,
)
reversed_minus = elementwise(
    lambda x, y, /: y - x,
    vjp=(lambda g: -g, lambda g: g),
    name="rsub",
    method=False,
    inplace=False,
    linear=True,
    takes="ifc",
    each=NO_BOOL,
    refusal=NO_BOOLS,
    node="RsubBackward0",
    scalar_nodes="RsubBackward1",
)
mul = elementwise(
    np.multiply,
    vjp=(lambda g, y: g * y, lambda g, x: g * x),
    name="mul",
    alias="multiply",
    wide=True,
    doc="input * other, elementwise.",
)
quotient = elementwise(
    np.divide,
    promote=FLOAT,
    vjp=(lambda g, y: g / y, lambda g, y, out: -g * out / y),
    name="div",
    method=False,
    inplace=False,
    wide=True,
)
neg = elementwise(
    np.negative,
    vjp=lambda g: -g,
    name="neg",
    alias="negative",
    linear=True,
    takes="ifc",
    doc="-input, elementwise.",
    refusal="Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
    "`logical_not()` operator instead.",
)
reciprocal = elementwise(
    np.reciprocal, promote=FLOAT, vjp=lambda g, out: -g * out * out, doc="1 / input, elementwise."
)


def no_zero_divisor(x: Any, y: Any) -> None:
    """Integers cannot be divided by 0."""
    if type(y) is int:
        bad = y == 0 and x.dtype.kind in "iu"
    else:
        bad = isinstance(y, (np.ndarray, np.integer)) and y.dtype.kind in "iu" and not y.all()
    if bad:
        raise RuntimeError("ZeroDivisionError")


def _floor_quotient(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    return np.floor_divide(x, y)


def _trunc_quotient(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    if x.dtype.kind in "iu":
        return np.floor_divide(x - np.fmod(x, y), y)
    return np.trunc(x / y)


def _remainder(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    return np.remainder(x, y)


def _fmod(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    return np.fmod(x, y)


floor_quotient = elementwise(
    _floor_quotient,
    vjp=(zero, zero),
    name="div_floor",
    namespace="primitive",
    method=False,
    inplace=False,
    takes="if",
    node="DivBackward2",
    wide=True,
)
trunc_quotient = elementwise(
    _trunc_quotient,
    vjp=(zero, zero),
    name="div_trunc",
    namespace="primitive",
    method=False,
    inplace=False,
    takes="if",
    node="DivBackward2",
    wide=True,
)
floor_divide = elementwise(
    _floor_quotient,
    vjp=(underivable("floor_divide"),) * 2,
    name="floor_divide",
    takes="if",
    node="NotImplemented",
    wide=True,
    doc="The quotient rounded down, elementwise. Raises RuntimeError where integers are divided by 0.",
)
remainder = elementwise(
    _remainder,
    vjp=(lambda g: g, lambda g, x, y: -g * np.floor(x / y)),
    name="remainder",
    takes="if",
    node="RemainderBackward1",
    scalar_nodes="RemainderBackward0",
    doc="input - other * floor(input / other): the remainder with the sign of the divisor, as Python's %.",
)
fmod = elementwise(
    _fmod,
    vjp=(lambda g: g, lambda g, x, y: -g * np.trunc(x / y)),
    name="fmod",
    takes="if",
    node="FmodBackward1",
    scalar_nodes="FmodBackward0",
    doc="input - other * trunc(input / other): the remainder with the sign of the dividend.",
)
ROUNDED_QUOTIENTS = {None: quotient, "floor": floor_quotient, "trunc": trunc_quotient}


def _is_tensor(x: Any) -> bool:
    return isinstance(x, define.Tensor)


def _scaled(input: Any, other: Any, alpha: Any) -> Any:
    """alpha * other, after a look at whether alpha fits the dtype of the result."""
    category = dtypes.result_dtype(
        [x._data if _is_tensor(x) else x for x in (input, other)]
    ).category
    if type(alpha) is bool and category > dtypes.BOOL:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if type(alpha) is float and category < FLOATING:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if type(alpha) is complex and category < COMPLEX:
        raise RuntimeError(
            "For non-complex input tensors, argument alpha must not be a complex number."
        )
    if category == dtypes.BOOL:
        alpha = bool(alpha)
    return other if alpha == 1 else other * alpha


def _number_first(name: str) -> None:
    warnings.warn(
        f"This overload of {name} is deprecated: pass the number by keyword, after the tensors",
        UserWarning,
        4,
    )


def _with_alpha(operator: Any, input: Any, other: Any, tensor: Any, alpha: Any, out: Any) -> Any:
    if tensor is not None:
        _number_first(operator.__name__)
        other, alpha = tensor, other
    return operator(
        input, other if type(alpha) is int and alpha == 1 else _scaled(input, other, alpha), out=out
    )


@function(inplace="add_")
def add(input: Any, other: Any, tensor: Any = None, *, alpha: Any = 1, out: Any = None) -> Any:
    """input + alpha * other, elementwise."""
    return _with_alpha(plus, input, other, tensor, alpha, out)


@function(inplace="sub_", alias="subtract")
def sub(input: Any, other: Any, tensor: Any = None, *, alpha: Any = 1, out: Any = None) -> Any:
    """input - alpha * other, elementwise."""
    return _with_alpha(minus, input, other, tensor, alpha, out)


@function
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input, elementwise."""
    return reversed_minus(input if alpha == 1 else _scaled(other, input, alpha), other)


@function(inplace="div_", alias="divide")
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """input / other, elementwise; rounded down for `rounding_mode="floor"`, towards 0 for "trunc"."""
    if rounding_mode not in ROUNDED_QUOTIENTS:
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    return ROUNDED_QUOTIENTS[rounding_mode](input, other, out=out)


@function(inplace="true_divide_")
def true_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """input / other, elementwise, in floating point."""
    return quotient(input, other, out=out)


@op(promote=SAME, name="addcmul", method=False, wide=True, takes="ifc")
def plus_product(x: Any, tensor1: Any, tensor2: Any, /, value: Any = 1) -> Any:
    """x + value * tensor1 * tensor2."""
    return x + (int(value) if x.dtype.kind in "iu" else value) * tensor1 * tensor2


plus_product.vjp(lambda g: g)
plus_product.vjp(lambda g, tensor2, value: g * (tensor2 * value))
plus_product.vjp(lambda g, tensor1, value: g * (tensor1 * value))


@op(promote=SAME, name="addcdiv", method=False, wide=True, takes="fc")
def plus_quotient(x: Any, tensor1: Any, tensor2: Any, /, value: Any = 1) -> Any:
    """x + value * tensor1 / tensor2."""
    return x + value * tensor1 / tensor2


plus_quotient.vjp(lambda g: g)
plus_quotient.vjp(lambda g, tensor2, value: g * (value / tensor2))
plus_quotient.vjp(lambda g, tensor1, tensor2, value: -g * (value * tensor1 / (tensor2 * tensor2)))


def _with_value(
    operator: Any, input: Any, tensor1: Any, tensor2: Any, tensor: Any, value: Any, out: Any
) -> Any:
    if tensor is not None:
        _number_first(operator.__name__)
        value, tensor1, tensor2 = tensor1, tensor2, tensor
    return operator(input, tensor1, tensor2, value, **({} if out is None else {"out": out}))


@function(inplace="addcmul_")
def addcmul(
    input: Any, tensor1: Any, tensor2: Any, tensor: Any = None, *, value: Any = 1, out: Any = None
) -> Any:
    """input + value * tensor1 * tensor2, elementwise."""
    return _with_value(plus_product, input, tensor1, tensor2, tensor, value, out)


@function(inplace="addcdiv_")
def addcdiv(
    input: Any, tensor1: Any, tensor2: Any, tensor: Any = None, *, value: Any = 1, out: Any = None
) -> Any:
    """input + value * tensor1 / tensor2, elementwise. Raises RuntimeError if both divided tensors are integers."""
    if not any(
        _is_tensor(t) and FROM_NUMPY[t._data.dtype].category >= FLOATING
        for t in (tensor1, tensor2, tensor)
    ):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future release addcdiv will perform a "
            "true division of tensor1 and tensor2. Divide in floating point, or use addcmul with the "
            "reciprocal."
        )
    return _with_value(plus_quotient, input, tensor1, tensor2, tensor, value, out)


@op(
    promote=SAME,
    name="lerp",
    method=False,
    wide=True,
    takes="fc",
    node="LerpBackward1",
    scalar_nodes="LerpBackward0",
)
def interpolate(x: Any, end: Any, weight: Any, /) -> Any:
    """x + weight * (end - x), counted from the nearer of the two ends."""
    difference = end - x
    if not hasattr(weight, "dtype"):
        return x + weight * difference if abs(weight) < 0.5 else end - difference * (1 - weight)
    return blend(
        np.absolute(weight) < 0.5, x + weight * difference, end - difference * (1 - weight)
    )


interpolate.vjp(lambda g, weight: g * (1 - weight))
interpolate.vjp(lambda g, weight: g * weight)
interpolate.vjp(lambda g, x, end: g * (end - x))


def _c_name(d: dtypes.dtype) -> str:
    return {"float32": "float", "float64": "double", "int64": "long int", "int32": "int"}.get(
        d.name, d.name
    )


@function(inplace="lerp_")
def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:
    """input + weight * (end - input), elementwise; `weight` is a tensor or a number."""
    for name, t in (("end", end), ("weight", weight)):
        if _is_tensor(t) and t.dtype is not input.dtype:
            raise RuntimeError(
                f"expected dtype {_c_name(input.dtype)} for `{name}` but got dtype {_c_name(t.dtype)}"
            )
    if input.dtype.category < FLOATING:
        raise NotImplementedError(
            f"\"lerp_kernel\" not implemented for '{scalar_name(input.dtype)}'"
        )
    return interpolate(input, end, weight, **({} if out is None else {"out": out}))


# -- powers and roots ------------------------------------------------------------------------------------------------

SMALL_POWERS = {
    1: lambda x: x * 1,
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    4: lambda x: (x * x) * (x * x),
    0.5: np.sqrt,
    -0.5: lambda x: 1 / np.sqrt(x),
    -1: np.reciprocal,
    -2: lambda x: 1 / (x * x),
}
NUMBERS = (int, float, complex)


def _power(x: Any, y: Any, /) -> Any:
    """x ** y, by products and roots for the small exponents that have them."""
    if type(y) in NUMBERS:
        if type(y) is int and y < 0 and x.dtype.kind in "iu":
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        by_product = SMALL_POWERS.get(y)
        return np.power(x, y) if by_product is None else by_product(x)
    if y.dtype.kind == "i" and isinstance(y, (np.ndarray, np.generic)) and (y < 0).any():
        return _negative_power(x, y)
    return np.power(x, y)


def _negative_power(x: Any, y: Any) -> Any:
    """Integer powers rounded towards 0 where the exponent is negative: only those of 1 and -1 are left."""
    unit = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
    return np.where(y < 0, unit, np.power(x, np.maximum(y, 0))).astype(y.dtype)


def _power_by_base(g: Any, x: Any, y: Any) -> Any:
    if type(y) in NUMBERS:
        if y == 2:
            return (g + g) * x
        return zero(g) if y == 0 else g if y == 1 else g * (y * _power(x, y - 1))
    return g * np.where(y == 0, 0, y * np.power(x, y - 1))


def _power_by_exponent(g: Any, x: Any, y: Any, out: Any) -> Any:
    if type(x) in NUMBERS:
        if x == 0:
            return g * np.where(y.real >= 0, 0, out * -np.inf)
        return g * (out * np.log(x).item())
    return g * np.where((x == 0) & (y.real >= 0), 0, out * np.log(x))


power = elementwise(
    _power,
    vjp=(_power_by_base, _power_by_exponent),
    name="pow",
    method=False,
    inplace=False,
    takes="ifc",
    node="PowBackward1",
    scalar_nodes="PowBackward0 PowBackward2",
)


@function(inplace="pow_")
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power of exponent, elementwise; one of the two may be a number.

    Raises RuntimeError for integers to a negative integer power.
    """
    if not _is_tensor(input) and not _is_tensor(exponent):
        raise TypeError(
            "pow() received an invalid combination of arguments - got "
            f"({type(input).__name__}, {type(exponent).__name__}), but expected a tensor among them"
        )
    return power(input, exponent, out=out)


@function(inplace="square_")
def square(input: Any, *, out: Any = None) -> Any:
    """The square of each element."""
    return power(input, 2, out=out)


def _widest(x: Any) -> Any:
    """A tensor in float64 or complex128, or a number as float or complex."""
    if _is_tensor(x):
        return x.to(dtypes.complex128 if x.dtype.is_complex else dtypes.float64)
    return x if isinstance(x, complex) else float(x)


@function(inplace="float_power_")
def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power of exponent, computed in float64 (complex128 if one of them is complex)."""
    return power(_widest(input), _widest(exponent), out=out)


sqrt = elementwise(
    np.sqrt, promote=FLOAT, vjp=lambda g, out: g / (2 * out), doc="Square root of each element."
)
rsqrt = elementwise(
    lambda x, /: 1 / np.sqrt(x),
    promote=FLOAT,
    vjp=lambda g, out: -0.5 * g * (out * out * out),
    name="rsqrt",
    doc="1 / sqrt(input), elementwise.",
)
hypot = elementwise(
    np.hypot,
    vjp=(lambda g, x, out: g * (x / out), lambda g, y, out: g * (y / out)),
    numbers=False,
    takes="f",
    doc="sqrt(input^2 + other^2), elementwise, without overflow.",
)

# -- exponentials and logarithms -------------------------------------------------------------------------------------

exp = elementwise(
    np.exp, promote=FLOAT, vjp=lambda g, out: g * out, doc="e to the power of each element."
)
exp2 = elementwise(
    np.exp2,
    promote=FLOAT,
    vjp=lambda g, out: g * out * LN2,
    alias="special.exp2",
    doc="2 to the power of each element.",
)
expm1 = elementwise(
    np.expm1,
    promote=FLOAT,
    vjp=lambda g, out: g * (out + 1),
    alias="special.expm1",
    doc="exp(input) - 1, exact for small elements too.",
)
log = elementwise(
    np.log, promote=FLOAT, vjp=lambda g, x: g / x, doc="Natural logarithm of each element."
)
log2 = elementwise(
    np.log2,
    promote=FLOAT,
    vjp=lambda g, x: g / (x * LN2),
    doc="Logarithm of each element to base 2.",
)
log10 = elementwise(
    np.log10,
    promote=FLOAT,
    vjp=lambda g, x: g / (x * LN10),
    doc="Logarithm of each element to base 10.",
)
log1p = elementwise(
    np.log1p,
    promote=FLOAT,
    vjp=lambda g, x: g / (x + 1),
    alias="special.log1p",
    node="Log1PBackward0",
    doc="log(1 + input), exact for small elements too.",
)


def _logaddexp(x: Any, y: Any, /) -> Any:
    if x.dtype.kind != "c":
        return np.logaddexp(x, y)
    first = (x.real >= y.real) | np.isnan(x)
    high, low = np.where(first, x, y), np.where(first, y, x)
    return np.where(high == low, high + LN2, high + np.log1p(np.exp(low - high)))


logaddexp = elementwise(
    _logaddexp,
    vjp=(lambda g, x, y: g / (1 + np.exp(y - x)), lambda g, x, y: g / (1 + np.exp(x - y))),
    name="logaddexp",
    numbers=False,
    inplace=False,
    takes="fc",
    doc="log(exp(input) + exp(other)), elementwise, without overflow.",
)
logaddexp2 = elementwise(
    np.logaddexp2,
    vjp=(lambda g, x, y: g / (1 + np.exp2(y - x)), lambda g, x, y: g / (1 + np.exp2(x - y))),
    numbers=False,
    inplace=False,
    takes="f",
    doc="log2(2^input + 2^other), elementwise, without overflow.",
)
ldexp = elementwise(
    lambda x, y, /: x * np.exp2(y),
    promote=FLOAT,
    name="ldexp",
    numbers=False,
    vjp=(lambda g, y: g * np.exp2(y), lambda g, out: g * out * LN2),
    doc="input * 2^other, elementwise.",
)


@op(
    name="frexp",
    extra=True,
    result=frexp_result,
    takes="f",
    refusal="torch.frexp() only supports floating-point dtypes",
)
def frexp(x: Any, /) -> Any:
    """Mantissa (of magnitude in [0.5, 1)) and int32 exponent, such that input = mantissa * 2^exponent."""
    mantissa, exponent = np.frexp(x)
    return (mantissa, exponent), exponent


@frexp.vjp
def _(g, extra):
    return g * np.exp2(-extra.astype(g.dtype))


# -- trigonometric and hyperbolic ------------------------------------------------------------------------------------

sin = elementwise(
    np.sin, promote=FLOAT, vjp=lambda g, x: g * np.cos(x), doc="Sine of each element (radians)."
)
cos = elementwise(
    np.cos, promote=FLOAT, vjp=lambda g, x: -g * np.sin(x), doc="Cosine of each element (radians)."
)
tan = elementwise(
    np.tan,
    promote=FLOAT,
    vjp=lambda g, out: g * (1 + out * out),
    doc="Tangent of each element (radians).",
)
asin = elementwise(
    np.arcsin,
    promote=FLOAT,
    vjp=lambda g, x: g / np.sqrt(1 - x * x),
    name="asin",
    alias="arcsin",
    doc="Inverse sine of each element, in [-pi/2, pi/2].",
)
acos = elementwise(
    np.arccos,
    promote=FLOAT,
    vjp=lambda g, x: -g / np.sqrt(1 - x * x),
    name="acos",
    alias="arccos",
    doc="Inverse cosine of each element, in [0, pi].",
)
atan = elementwise(
    np.arctan,
    promote=FLOAT,
    vjp=lambda g, x: g / (x * x + 1),
    name="atan",
    alias="arctan",
    doc="Inverse tangent of each element, in (-pi/2, pi/2).",
)
sinh = elementwise(
    np.sinh, promote=FLOAT, vjp=lambda g, x: g * np.cosh(x), doc="Hyperbolic sine of each element."
)
cosh = elementwise(
    np.cosh,
    promote=FLOAT,
    vjp=lambda g, x: g * np.sinh(x),
    doc="Hyperbolic cosine of each element.",
)
tanh = elementwise(
    np.tanh,
    promote=FLOAT,
    vjp=lambda g, out: g - g * out * out,
    alias="nn.functional.tanh",
    doc="Hyperbolic tangent of each element.",
)
asinh = elementwise(
    np.arcsinh,
    promote=FLOAT,
    vjp=lambda g, x: g / np.sqrt(x * x + 1),
    name="asinh",
    alias="arcsinh",
    doc="Inverse hyperbolic sine of each element.",
)
acosh = elementwise(
    np.arccosh,
    promote=FLOAT,
    name="acosh",
    alias="arccosh",
    doc="Inverse hyperbolic cosine of each element.",
    vjp=lambda g, x: (
        g / (np.sqrt(x - 1) * np.sqrt(x + 1) if x.dtype.kind == "c" else np.sqrt(x * x - 1))
    ),
)
atanh = elementwise(
    np.arctanh,
    promote=FLOAT,
    vjp=lambda g, x: g / (1 - x * x),
    name="atanh",
    alias="arctanh",
    doc="Inverse hyperbolic tangent of each element.",
)


def _by_square_sum(g: Any, part: Any, other: Any) -> Any:
    """g * part / (part^2 + other^2), and 0 at the origin."""
    total = part * part + other * other
    return g * np.where(total == 0, 0, part / total)


atan2 = elementwise(
    np.arctan2,
    promote=FLOAT,
    name="atan2",
    alias="arctan2",
    numbers=False,
    takes="bif",
    vjp=(lambda g, x, y: _by_square_sum(g, y, x), lambda g, x, y: -_by_square_sum(g, x, y)),
    doc="The angle of the point (other, input) in the plane, in [-pi, pi].",
)
deg2rad = elementwise(
    lambda x, /: x * (PI / 180),
    promote=FLOAT,
    vjp=lambda g: g * (PI / 180),
    name="deg2rad",
    linear=True,
    takes="bif",
    refusal="deg2rad is not supported for complex tensors.",
    node="Deg2RadBackward0",
    doc="Degrees to radians: input * pi / 180.",
)
rad2deg = elementwise(
    lambda x, /: x * (180 / PI),
    promote=FLOAT,
    vjp=lambda g: g * (180 / PI),
    name="rad2deg",
    linear=True,
    takes="bif",
    refusal="rad2deg is not supported for complex tensors.",
    node="Rad2DegBackward0",
    doc="Radians to degrees: input * 180 / pi.",
)

# -- sign, size, rounding --------------------------------------------------------------------------------------------


def _sgn_rule(g: Any, x: Any, out: Any) -> Any:
    if x.dtype.kind != "c":
        return zero(g)
    return keep(g - (g * out).real * out.conj(), x != 0) / np.where(x == 0, 1, np.absolute(x))


def _sgn(x: Any, /) -> Any:
    return x.copy() if x.dtype.kind == "b" else np.sign(x)


def _signbit(x: Any, /) -> Any:
    return np.signbit(x) if x.dtype.kind == "f" else x < 0


def _rint(x: Any, /) -> Any:
    return x.copy() if x.dtype.kind in "iu" else np.rint(x)


absolute = elementwise(
    np.absolute,
    vjp=lambda g, x: g * np.sign(x).conj(),
    name="abs",
    alias="absolute",
    takes="ifc",
    doc="|input|, elementwise.",
)
sign = elementwise(
    _sgn,
    vjp=zero,
    name="sign",
    takes="bif",
    doc="-1, 0 or 1 for each element: its sign.",
    refusal="Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead.",
)
sgn = elementwise(_sgn, vjp=_sgn_rule, name="sgn", doc="input / |input|, elementwise, and 0 at 0.")
copysign = elementwise(
    np.copysign,
    promote=FLOAT,
    vjp=(lambda g, x, out: g * np.where(x == 0, 0, out / x), zero),
    takes="bif",
    scalar_nodes="CopysignBackward1",
    doc="The magnitude of input with the sign of other, elementwise.",
)
ceil = elementwise(
    np.ceil, vjp=zero, takes="if", doc="The smallest integer not below each element."
)
floor = elementwise(
    np.floor, vjp=zero, takes="if", doc="The largest integer not above each element."
)
trunc = elementwise(
    np.trunc, vjp=zero, takes="if", alias="fix", doc="The integer part of each element."
)
frac = elementwise(
    lambda x, /: x - np.trunc(x),
    vjp=lambda g: g,
    name="frac",
    takes="f",
    doc="input - trunc(input): the fractional part of each element.",
)
rounded = elementwise(_rint, vjp=zero, name="round", method=False, inplace=False, takes="if")
signbit = elementwise(
    _signbit,
    name="signbit",
    inplace=False,
    takes="bif",
    refusal="signbit is not implemented for complex tensors.",
    doc="Whether the sign bit of each element is set (that of -0.0 is).",
)


@op(name="round_to", namespace="primitive", method=False, takes="f", node="RoundBackward1")
def rounded_to(x: Any, /, decimals: int) -> Any:
    """Each element rounded to `decimals` places after the point (before it, if negative)."""
    step = 10.0 ** abs(decimals)
    return np.rint(x / step) * step if decimals < 0 else np.rint(x * step) / step


rounded_to.vjp(zero)


@function(inplace="round_", alias="special.round")
def round(input: Any, *, decimals: int | None = None, out: Any = None) -> Any:
    """Each element rounded to the nearest integer, halves to even; or to `decimals` places after the point."""
    if decimals is None:
        return rounded(input, out=out)
    return rounded_to(input, decimals, **({} if out is None else {"out": out}))


nextafter = elementwise(
    np.nextafter,
    promote=MOVE,
    vjp=(lambda g, x, y: keep(g, x != y), zero),
    numbers=False,
    takes="f",
    doc="The next floating-point number from input towards other.",
)


def _heaviside(x: Any, values: Any, /) -> Any:
    if x.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return np.where(x == 0, values, (x > 0).astype(x.dtype))


heaviside = elementwise(
    _heaviside,
    promote=MOVE,
    vjp=(underivable("heaviside"),) * 2,
    name="heaviside",
    numbers=False,
    node="NotImplemented",
    doc="The step function: 0 for negative elements, 1 for positive ones, `values` at 0.",
)
gcd = elementwise(
    np.gcd, numbers=False, takes="i", doc="The greatest common divisor, elementwise, of integers."
)
lcm = elementwise(
    np.lcm, numbers=False, takes="i", doc="The least common multiple, elementwise, of integers."
)

# -- larger, smaller, between ----------------------------------------------------------------------------------------


def _tied(g: Any, wins: Any, x: Any, y: Any) -> Any:
    """g where an input wins, half of it where both are equal; NaN wins on both sides."""
    return blend(x == y, g / 2, keep(g, wins))


maximum = elementwise(
    np.maximum,
    vjp=(lambda g, x, y: _tied(g, ~(x < y), x, y), lambda g, x, y: _tied(g, ~(x > y), x, y)),
    numbers=False,
    inplace=False,
    takes="bif",
    refusal="maximum not implemented for complex tensors.",
    doc="The larger of two elements, or NaN if one of them is; equal elements share the gradient.",
)
minimum = elementwise(
    np.minimum,
    vjp=(lambda g, x, y: _tied(g, ~(x > y), x, y), lambda g, x, y: _tied(g, ~(x < y), x, y)),
    numbers=False,
    inplace=False,
    takes="bif",
    refusal="minimum not implemented for complex tensors.",
    doc="The smaller of two elements, or NaN if one of them is; equal elements share the gradient.",
)
fmax = elementwise(
    np.fmax,
    vjp=(
        lambda g, x, y: keep(g, (x >= y) | np.isnan(y)),
        lambda g, x, y: keep(g, ~((x >= y) | np.isnan(y))),
    ),
    numbers=False,
    inplace=False,
    takes="bif",
    refusal="fmax not implemented for complex tensors.",
    doc="The larger of two elements; a NaN counts only if both are.",
)
fmin = elementwise(
    np.fmin,
    vjp=(
        lambda g, x, y: keep(g, (x <= y) | np.isnan(y)),
        lambda g, x, y: keep(g, ~((x <= y) | np.isnan(y))),
    ),
    numbers=False,
    inplace=False,
    takes="bif",
    refusal="fmin not implemented for complex tensors.",
    doc="The smaller of two elements; a NaN counts only if both are.",
)
NO_COMPLEX_CLAMP = "clamp is not supported for complex types"


@elementwise(
    vjp=(lambda g, x, min: keep(g, x >= min), lambda g, x, min: keep(g, x < min)),
    node="ClampMinBackward1",
    scalar_nodes="ClampMinBackward0",
    takes="bif",
    refusal=NO_COMPLEX_CLAMP,
)
def clamp_min(x: Any, min: Any, /) -> Any:
    """Each element, raised to `min` (a tensor or a number) if it is below."""
    return np.maximum(min, x)


@elementwise(
    vjp=(lambda g, x, max: keep(g, x <= max), lambda g, x, max: keep(g, x > max)),
    node="ClampMaxBackward1",
    scalar_nodes="ClampMaxBackward0",
    takes="bif",
    refusal=NO_COMPLEX_CLAMP,
)
def clamp_max(x: Any, max: Any, /) -> Any:
    """Each element, lowered to `max` (a tensor or a number) if it is above."""
    return np.minimum(max, x)


@op(
    promote=SAME,
    alias="clip",
    inplace=True,
    node="ClampBackward0",
    scalar_nodes="ClampBackward1",
    takes="if",
    refusal=NO_COMPLEX_CLAMP,
)
def clamp(x: Any, min: Any = None, max: Any = None, /) -> Any:
    """min(max(input, `min`), `max`), elementwise; the bounds are tensors or numbers, one of them may be missing."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    raised = (
        x if min is None else np.maximum(min, x)
    )  # in this order -0.0 stays where the bound is 0
    return raised if max is None else np.minimum(max, raised)


@clamp.vjp
def _(g, x, min, max):
    inside = x <= max if min is None else x >= min if max is None else (x >= min) & (x <= max)
    return keep(g, inside)


@clamp.vjp
def _(g, x, min, max):
    return keep(g, x < min if max is None else (x < min) & (min < max))


@clamp.vjp
def _(g, x, min, max):
    return keep(g, x > max if min is None else (x > max) | (max < min))


# -- comparing -------------------------------------------------------------------------------------------------------

eq = elementwise(np.equal, name="eq", doc="Whether input == other, elementwise.")
ne = elementwise(
    np.not_equal, name="ne", alias="not_equal", doc="Whether input != other, elementwise."
)
lt = elementwise(
    np.less, name="lt", alias="less", takes="bif", doc="Whether input < other, elementwise."
)
le = elementwise(
    np.less_equal,
    name="le",
    alias="less_equal",
    takes="bif",
    doc="Whether input <= other, elementwise.",
)
gt = elementwise(
    np.greater, name="gt", alias="greater", takes="bif", doc="Whether input > other, elementwise."
)
ge = elementwise(
    np.greater_equal,
    name="ge",
    alias="greater_equal",
    takes="bif",
    doc="Whether input >= other, elementwise.",
)
isnan = elementwise(np.isnan, inplace=False, doc="Whether each element is NaN.")
isinf = elementwise(np.isinf, inplace=False, doc="Whether each element is infinite.")
isfinite = elementwise(
    np.isfinite, inplace=False, doc="Whether each element is neither infinite nor NaN."
)
isposinf = elementwise(
    lambda x, /: x == np.inf,
    name="isposinf",
    inplace=False,
    takes="bif",
    refusal="isposinf does not support complex inputs.",
    doc="Whether each element is +infinity.",
)
isneginf = elementwise(
    lambda x, /: x == -np.inf,
    name="isneginf",
    inplace=False,
    takes="bif",
    refusal="isneginf does not support complex inputs.",
    doc="Whether each element is -infinity.",
)
isreal = elementwise(
    lambda x, /: x.imag == 0 if x.dtype.kind == "c" else x == x,
    promote=MOVE,
    name="isreal",
    inplace=False,
    doc="Whether the imaginary part of each element is 0.",
)


@op(name="close", namespace="primitive", method=False)
def close(x: Any, y: Any, /, rtol: float, atol: float, equal_nan: bool) -> Any:
    """Whether |x - y| <= atol + rtol * |y|, or both are equal (infinities too; NaN if `equal_nan`)."""
    equal = x == y
    if equal_nan:
        equal = equal | (np.isnan(x) & np.isnan(y))
    if rtol == 0 and atol == 0:
        return equal
    x, y = (x, y) if x.dtype.kind in "fc" else (x.astype(np.float64), y.astype(np.float64))
    apart = np.absolute(x - y)
    return equal | (np.isfinite(apart) & (apart <= atol + np.absolute(rtol * y)))


@function
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether |input - other| <= atol + rtol * |other|, elementwise, or both are equal.

    Raises RuntimeError for tensors of different dtypes and for negative tolerances.
    """
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{scalar_name(input.dtype)} did not match {scalar_name(other.dtype)}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(
                f"{name} must be greater than or equal to zero, but got {tolerance:g}"
            )
    return close(input, other, rtol, atol, equal_nan)


@function
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether |input - other| <= atol + rtol * |other| for all elements."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


@function
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and the same elements."""
    return input.shape == other.shape and bool(eq(input, other)._data.all())


# -- logic and bits --------------------------------------------------------------------------------------------------

logical_and = elementwise(
    np.logical_and, promote=BOOLEAN, numbers=False, doc="Whether both elements are nonzero."
)
logical_or = elementwise(
    np.logical_or, promote=BOOLEAN, numbers=False, doc="Whether one of two elements is nonzero."
)
logical_xor = elementwise(
    np.logical_xor,
    promote=BOOLEAN,
    numbers=False,
    doc="Whether just one of two elements is nonzero.",
)
logical_not = elementwise(np.logical_not, promote=BOOLEAN, doc="Whether each element is 0.")
bitwise_and = elementwise(
    np.bitwise_and, takes="bi", doc="The bits set in both, elementwise, of integers or bools."
)
bitwise_or = elementwise(
    np.bitwise_or, takes="bi", doc="The bits set in one of two, elementwise, of integers or bools."
)
bitwise_xor = elementwise(
    np.bitwise_xor,
    takes="bi",
    doc="The bits set in just one of two, elementwise, of integers or bools.",
)
bitwise_not = elementwise(
    np.invert, name="bitwise_not", takes="bi", doc="The bits of each integer or bool inverted."
)
bitwise_left_shift = elementwise(
    np.left_shift,
    name="bitwise_left_shift",
    takes="i",
    doc="input * 2^other, elementwise, of integers, with the bits that leave lost.",
)
bitwise_right_shift = elementwise(
    np.right_shift,
    name="bitwise_right_shift",
    takes="i",
    doc="floor(input / 2^other), elementwise, of integers.",
)

# -- choosing --------------------------------------------------------------------------------------------------------


@op(promote=SAME, name="where", method=False)
def choose(x: Any, y: Any, /, condition: Any) -> Any:
    """x where the condition holds, else y."""
    return blend(condition, x, y)


choose.vjp(lambda g, condition: keep(g, condition))
choose.vjp(lambda g, condition: keep(g, np.logical_not(condition)))


@function(method=False)
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where the condition (bool) holds, else `other`, broadcast; of the condition alone: the places where it holds."""
    if input is None and other is None:
        return FUNCTIONS["nonzero"](condition, as_tuple=True)
    if not _is_tensor(condition):
        raise define.not_a_tensor("where", "condition", 1, condition)
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{scalar_name(condition.dtype)}"
        )
    if not _is_tensor(input) and not _is_tensor(other):
        input = wrap(np.array(input, dtypes.result_dtype((input, other)).numpy)[()])
    return choose(
        input,
        other,
        condition.bool() if condition.dtype is dtypes.uint8 else condition,
        **({} if out is None else {"out": out}),
    )


def _finite(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    limits = dtypes.finfo(FROM_NUMPY[x.dtype])
    high, low = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
    replaced = np.where(
        np.isnan(x),
        0 if nan is None else nan,
        np.where(x == -np.inf, low, np.where(x == np.inf, high, x)),
    )
    return replaced.astype(x.dtype)


@op(promote=MOVE, inplace=True)
def nan_to_num(
    x: Any, /, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """NaN replaced by `nan` (0) and the infinities by `posinf`, `neginf` (the largest and smallest finite numbers)."""
    if x.dtype.kind == "c":
        return (
            _finite(x.real, nan, posinf, neginf) + 1j * _finite(x.imag, nan, posinf, neginf)
        ).astype(x.dtype)
    return x.copy() if FROM_NUMPY[x.dtype].category < FLOATING else _finite(x, nan, posinf, neginf)


nan_to_num.vjp(lambda g, x: keep(g, np.isfinite(x)))

# -- complex numbers -------------------------------------------------------------------------------------------------


@op(
    promote=MOVE,
    view=True,
    namespace="primitive",
    method=False,
    linear=True,
    node="SelectBackward0",
)
def real_part(x: Any, /) -> Any:
    """The real parts, in the memory of x."""
    return x.real


@op(
    promote=MOVE,
    view=True,
    namespace="primitive",
    method=False,
    linear=True,
    node="SelectBackward0",
)
def imag_part(x: Any, /) -> Any:
    """The imaginary parts, in the memory of x."""
    return x.imag


real_part.vjp(lambda g: g)
imag_part.vjp(lambda g: g * -1j)


@function(method=False)
def real(input: Any) -> Any:
    """The real part of each element: a view, or a real tensor itself."""
    return real_part(input) if input.dtype.is_complex else input


@function(method=False)
def imag(input: Any) -> Any:
    """The imaginary part of each element: a view. Raises RuntimeError for a real tensor."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return imag_part(input)


conjugate = elementwise(
    np.conjugate, vjp=lambda g: g.conj(), name="conj", method=False, inplace=False
)
physical = elementwise(
    lambda x, /: np.conjugate(x),
    vjp=lambda g: g.conj(),
    name="conj_physical",
    method=False,
    inplace=False,
)


@function
def conj(input: Any) -> Any:
    """The complex conjugate of each element; a real tensor itself."""
    return conjugate(input) if input.dtype.is_complex else input


@function(inplace="conj_physical_")
def conj_physical(input: Any, *, out: Any = None) -> Any:
    """The complex conjugate of each element, in memory of its own; a real tensor itself."""
    return physical(input, out=out) if input.dtype.is_complex or out is not None else input


@function(alias="resolve_neg")
def resolve_conj(input: Any) -> Any:
    """The tensor itself: conjugates are never put off here."""
    return input


@function(alias="is_neg")
def is_conj(input: Any) -> bool:
    """False: conjugates are never put off here."""
    return False


@function
def positive(input: Any) -> Any:
    """The tensor itself. Raises RuntimeError for bools."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def _angle(x: Any, /) -> Any:
    if x.dtype.kind == "c":
        return np.arctan2(x.imag, x.real)
    return np.where(np.isnan(x), x, (x < 0) * x.dtype.type(PI))


def _angle_rule(g: Any, x: Any) -> Any:
    return keep(-1j * g / np.where(x == 0, 1, x), x != 0) if x.dtype.kind == "c" else zero(g)


angle = elementwise(
    _angle,
    promote=FLOAT,
    vjp=_angle_rule,
    name="angle",
    inplace=False,
    doc="The angle of each complex number in the plane, in [-pi, pi]; 0 or pi for real numbers.",
)


@op(promote=MOVE, view=True, linear=True, method=False)
def view_as_real(x: Any, /) -> Any:
    """A complex tensor seen as a real one with a last dimension of size 2."""
    if x.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return x[..., None].view(x.real.dtype)


@view_as_real.vjp
def _(g):
    return g[..., 0] - 1j * g[..., 1]


@op(promote=MOVE, view=True, linear=True, method=False)
def view_as_complex(x: Any, /) -> Any:
    """A real tensor with a last dimension of size 2 seen as a complex one."""
    d = FROM_NUMPY[x.dtype]
    if d not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for float and double tensors, but got a tensor of scalar type: "
            + scalar_name(d)
        )
    if not x.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if x.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if x.strides[-1] != x.itemsize:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    return x.view(d.to_complex().numpy)[..., 0]


@view_as_complex.vjp
def _(g):
    return np.concatenate([g.real[..., None], -g.imag[..., None]], -1)
