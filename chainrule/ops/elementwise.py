"""Arithmetic and elementary functions: each entry is the NumPy function and its derivative.

Rules are plain transposes in `g`. Where a function is not holomorphic (abs, sgn ...) the rule is
the transpose over the reals: a cotangent g stands for the linear map dx -> Re(g * dx). Where torch
picks a subgradient (0 for abs at 0), so do these. `keep` is how rules mask: it gives 0 where the
mask fails, whatever was there.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import Duck, NoRule, tied
from ..dtypes import COMPLEX, FLOATING, FROM_NUMPY
from ..errors import not_a_tensor
from ..return_types import frexp as frexp_result
from . import define
from .define import FLOAT, MOVE, SAME, elementwise, function, op, primitive, scalar_name

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
    """x where the mask holds, else 0 (for NaN too): an integer product on the bits."""
    bits = BITS.get(x.dtype.itemsize)
    if bits is None:
        return np.where(mask, x, x.dtype.type(0))
    return np.multiply(x.view(bits), mask).view(x.dtype)


@keep.vjp
def _(g, mask):
    return keep(g, mask)


def blend(condition: Any, x: Any, y: Any) -> Any:
    """np.where; large arrays by arithmetic on bits, 5 times as fast where masks are mixed."""
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


def in_blocks(f: Callable, x: Any, block: int = 32768) -> Any:
    """f(x) for an elementwise f of several steps, in blocks that stay in cache."""
    if x.size < 2 * block or not x.flags.c_contiguous:
        return f(x)
    out = np.empty_like(x)
    source, target = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, block):
        target[start : start + block] = f(source[start : start + block])
    return out


def zero(g: Any) -> Any:
    """The rule of functions that are constant wherever they are differentiable."""
    return np.zeros((), g.dtype)


def underivable(name: str) -> Any:
    """The rule of functions that torch does not differentiate: it says so."""

    def rule(g: Any) -> Any:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return rule


# -- sums, products, quotients ---------------------------------------------------------------------

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
    numbers="right",
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
    vjp=(lambda g, y: g / y, lambda g, y, out: -g * (out / y)),
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
    refusal=(
        "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
        "invert a mask, use the `~` or `logical_not()` operator instead."
    ),
    doc="-input, elementwise.",
)
reciprocal = elementwise(
    np.reciprocal, promote=FLOAT, vjp=lambda g, out: -g * (out * out), doc="1 / input, elementwise."
)


def no_zero_divisor(x: Any, y: Any) -> None:
    """Integers cannot be divided by 0."""
    if type(y) is int:
        bad = y == 0 and x.dtype.kind in "iu"
    else:
        bad = isinstance(y, (np.ndarray, np.integer)) and y.dtype.kind in "iu" and not y.all()
    if bad and np.size(x):
        raise RuntimeError("ZeroDivisionError")


def _floor_quotient(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    return np.floor_divide(x, y)


def _trunc_quotient(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    if (x if hasattr(x, "dtype") else y).dtype.kind in "iu":
        return np.floor_divide(x - np.fmod(x, y), y)
    return np.trunc(x / y)


def _remainder(x: Any, y: Any, /) -> Any:
    no_zero_divisor(x, y)
    rest = np.remainder(x, y)
    if rest.dtype.kind != "f":
        return rest
    zero = rest == 0
    if type(zero) is np.bool and not zero:
        return rest
    return np.where(zero, np.copysign(rest, x), rest)[()]  # NumPy's zeros have the divisor's sign


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
    doc="The quotient rounded down, elementwise. Raises RuntimeError for integers divided by 0.",
)
remainder = elementwise(
    _remainder,
    name="remainder",
    takes="if",
    vjp=(lambda g: g, lambda g, x, y: -g * np.floor_divide(x, y)),
    node="RemainderBackward1",
    scalar_nodes="RemainderBackward0",
    doc="input - other * floor(input / other): the remainder with the sign of the divisor.",
)
fmod = elementwise(
    _fmod,
    ufunc=np.fmod,
    name="fmod",
    takes="if",
    numbers="right",
    vjp=(lambda g: g, lambda g, x, y: -g * np.trunc(x / y)),
    node="FmodBackward1",
    scalar_nodes="FmodBackward0",
    doc="input - other * trunc(input / other): the remainder with the sign of the dividend.",
)
ROUNDED_QUOTIENTS = {None: quotient, "floor": floor_quotient, "trunc": trunc_quotient}


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor, not a number."""
    return isinstance(x, define.Tensor)


def _scaled(input: Any, other: Any, alpha: Any) -> Any:
    """alpha * other, after a look at whether alpha fits the dtype of the result."""
    d = dtypes.result_dtype([x._data if is_tensor(x) else x for x in (input, other)])
    category = d.category
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
    elif is_tensor(other) and other.dtype is not d:
        other = other.to(d)  # alpha * other may be more than its own dtype holds
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
    """input / other, elementwise; `rounding_mode` "floor" rounds it down, "trunc" towards 0."""
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
    factor = int(value) if x.dtype.kind in "iu" else value
    return tied(x + factor * tensor1 * tensor2, x, tensor1, tensor2)


plus_product.vjp(lambda g: g)
plus_product.vjp(lambda g, tensor2, value: g * (tensor2 * value))
plus_product.vjp(lambda g, tensor1, value: g * (tensor1 * value))


@op(promote=SAME, name="addcdiv", method=False, wide=True, takes="fc")
def plus_quotient(x: Any, tensor1: Any, tensor2: Any, /, value: Any = 1) -> Any:
    """x + value * tensor1 / tensor2."""
    return tied(x + value * tensor1 / tensor2, x, tensor1, tensor2)


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
    """input + value * tensor1 / tensor2, elementwise.

    Raises RuntimeError if both tensors that are divided hold integers.
    """
    if not any(
        is_tensor(t) and FROM_NUMPY[t._data.dtype].category >= FLOATING
        for t in (tensor1, tensor2, tensor)
    ):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future release "
            "addcdiv will perform a true division of tensor1 and tensor2. Convert one of them to a "
            "floating point dtype."
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
        near = abs(weight) < 0.5
        return tied(x + weight * difference if near else end - difference * (1 - weight), x, end)
    made = blend(
        np.absolute(weight) < 0.5, x + weight * difference, end - difference * (1 - weight)
    )
    return tied(made, x, end, weight)


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
    for i, (name, t) in enumerate((("input", input), ("end", end)), 1):
        if not is_tensor(t):
            raise not_a_tensor("lerp", name, i, t)
    for name, t in (("end", end), ("weight", weight)):
        if is_tensor(t) and t.dtype is not input.dtype:
            expected, got = _c_name(input.dtype), _c_name(t.dtype)
            raise RuntimeError(f"expected dtype {expected} for `{name}` but got dtype {got}")
    if input.dtype.category < FLOATING:
        raise NotImplementedError(
            f"\"lerp_kernel\" not implemented for '{scalar_name(input.dtype)}'"
        )
    return interpolate(input, end, weight, **({} if out is None else {"out": out}))


@function
def positive(input: Any) -> Any:
    """The tensor itself. Raises RuntimeError for bools."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# -- powers and roots ------------------------------------------------------------------------------

SMALL_POWERS = {
    1: np.positive,
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    4: lambda x: (x * x) * (x * x),
    0.5: np.sqrt,
    -0.5: lambda x: 1 / np.sqrt(x),
    -1: np.reciprocal,
    -2: lambda x: 1 / (x * x),
}
NUMBERS = (int, float, complex)


def _is_bool(x: Any) -> bool:
    """Whether x is a bool, or an array of them."""
    return type(x) is bool or getattr(x, "dtype", None) is dtypes.BOOL_NP


def _power(x: Any, y: Any, /) -> Any:
    """x ** y, by products and roots for the small exponents that have them."""
    if _is_bool(x) and _is_bool(y):
        if type(y) is not bool:
            raise NotImplementedError("\"pow\" not implemented for 'Bool'")
        return x.copy() if y else np.equal(x, x)
    if type(y) in NUMBERS or type(y) is bool:
        if type(y) is int and y < 0 and x.dtype.kind in "iu":
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        by_product = SMALL_POWERS.get(y)
        return np.power(x, y) if by_product is None else by_product(x)
    found = _power_of_array(x, y)
    return define.row_by_row(found, True) if type(x) in NUMBERS else found


def _power_of_array(x: Any, y: Any) -> Any:
    """x ** y for an array y."""
    if y.dtype.kind == "c" or type(x) is complex or getattr(x, "dtype", y.dtype).kind == "c":
        return _complex_power(x, y)
    if y.dtype.kind == "i" and isinstance(y, Duck) and getattr(x, "dtype", y.dtype).kind in "iu":
        raise NoRule("negative exponents of integers are looked for one example at a time")
    if y.dtype.kind == "i" and isinstance(y, (np.ndarray, np.generic)) and (y < 0).any():
        return _negative_power(x, y)
    return np.power(x, y)


def _complex_power(x: Any, y: Any) -> Any:
    """e to the power of y log x: NaN where both are 0, as in torch."""
    if type(x) not in NUMBERS:
        return np.exp(y * np.log(x))
    return np.ones(y.shape, y.dtype) if x == 1 else np.exp(y * np.log(complex(x)).item())


def _negative_power(x: Any, y: Any) -> Any:
    """Integer powers, rounded towards 0 where the exponent is negative: 1 and -1 keep theirs."""
    unit = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
    return np.where(y < 0, unit, np.power(x, np.maximum(y, 0))).astype(y.dtype)


def _power_by_base(g: Any, x: Any, y: Any) -> Any:
    if type(y) in NUMBERS:
        if y == 0:
            return zero(g)
        if isinstance(x, define.Duck):
            # powers down to x**0: constants that know where they came from, as torch's
            return g * (y * np.power(x, y - 1))
        return g * (x + x) if y == 2 else g if y == 1 else g * (y * _power(x, y - 1))
    return np.where(y == 0, 0, g * (y * _power(x, y - 1)))


def _not_negative(x: Any) -> Any:
    """Whether x is real and not below 0."""
    return (x.imag == 0) & (x.real >= 0) if x.dtype.kind == "c" else x >= 0


def _power_by_exponent(g: Any, x: Any, y: Any, out: Any) -> Any:
    if type(x) in NUMBERS:
        if x == 0:
            return g * np.where(_not_negative(y), 0, out * -np.inf)
        return g * (out * np.log(x).item())
    return g * np.where((x == 0) & _not_negative(y), 0, out * np.log(x))


power = elementwise(
    _power,
    ufunc=np.power,
    name="pow",
    vjp=(_power_by_base, _power_by_exponent),
    method=False,
    inplace=False,
    public={"y": "exponent"},
    node="PowBackward1",
    scalar_nodes="PowBackward0 PowBackward2",
)


@function(inplace="pow_")
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power of exponent, elementwise; one of the two may be a number.

    Raises RuntimeError for integers to a negative integer power.
    """
    if not isinstance(input, define.Tensor) and not is_tensor(exponent):
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
    if is_tensor(x):
        return x.to(dtypes.complex128 if x.dtype.is_complex else dtypes.float64)
    return x if isinstance(x, complex) else float(x)


@function(inplace="float_power_")
def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power of exponent, computed in float64 (complex128 if one is complex)."""
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

# -- exponentials and logarithms -------------------------------------------------------------------

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


@primitive(
    define=elementwise,
    promote=FLOAT,
    alias="special.expit nn.functional.sigmoid",
    vjp=lambda g, out: g * out * (1 - out),
)
def sigmoid(x: Any, /) -> Any:
    """1 / (1 + exp(-input)), elementwise."""
    return in_blocks(_logistic, x) if x.ndim and type(x) is np.ndarray else 1 / (1 + np.exp(-x))


def _logistic(x: Any) -> Any:
    e = np.negative(x)
    np.exp(e, out=e)
    e += 1
    return np.reciprocal(e, out=e)


def _logaddexp(x: Any, y: Any, /) -> Any:
    if x.dtype.kind != "c":
        return np.logaddexp(x, y)
    first = (x.real >= y.real) | np.isnan(x)
    high, low = np.where(first, x, y), np.where(first, y, x)
    return np.where(high == low, high + LN2, high + np.log1p(np.exp(low - high)))


logaddexp = elementwise(
    _logaddexp,
    ufunc=np.logaddexp,
    vjp=(lambda g, x, y: g * sigmoid(x - y), lambda g, x, y: g * sigmoid(y - x)),
    name="logaddexp",
    numbers=False,
    inplace=False,
    takes="fc",
    doc="log(exp(input) + exp(other)), elementwise, without overflow.",
)
logaddexp2 = elementwise(
    np.logaddexp2,
    vjp=(lambda g, x, y: g * sigmoid((x - y) * LN2), lambda g, x, y: g * sigmoid((y - x) * LN2)),
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
    """Mantissa and int32 exponent: input = mantissa * 2^exponent, 0.5 <= |mantissa| < 1."""
    mantissa, exponent = np.frexp(x)
    return (mantissa, exponent), exponent


@frexp.vjp
def _(g, extra):
    return g * np.exp2(-extra.astype(g.dtype))


# -- trigonometric and hyperbolic ------------------------------------------------------------------

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


@primitive(
    define=elementwise,
    promote=MOVE,
    namespace="primitive",
    method=False,
    inplace=False,
    node="TanhBackwardBackward0",
)
def tanh_back(x: Any, y: Any, /) -> Any:
    """x (1 - y^2): the cotangent of a tanh that is y, from its own, x; one step, which transforms
    differentiate in fewer than its parts.
    """
    return x * (1 - y * y)


@tanh_back.vjp
def _(g, y):
    return tanh_back(g, y)


@tanh_back.vjp
def _(g, x, y):
    return g * (x * y * -2)


def _of_tanh(g: Any, out: Any) -> Any:
    if isinstance(g, Duck) or isinstance(out, Duck):
        return tanh_back(g, out)
    return g * (one(out.dtype) - out * out)


@functools.cache
def one(dtype: np.dtype) -> np.ndarray:
    """1 as an array without dimensions, which ufuncs take at half the price of the number."""
    return np.ones((), dtype)


tanh = elementwise(
    np.tanh,
    promote=FLOAT,
    vjp=_of_tanh,
    alias="nn.functional.tanh",
    doc="Hyperbolic tangent of each element.",
)


def _acosh_slope(x: Any) -> Any:
    """sqrt(x^2 - 1), on the branch of acosh for complex numbers."""
    return np.sqrt(x - 1) * np.sqrt(x + 1) if x.dtype.kind == "c" else np.sqrt(x * x - 1)


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
    vjp=lambda g, x: g / _acosh_slope(x),
    doc="Inverse hyperbolic cosine of each element.",
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

# -- sign, size, rounding --------------------------------------------------------------------------


def _sgn_rule(g: Any, x: Any, out: Any) -> Any:
    if x.dtype.kind != "c":
        return zero(g)
    return keep(g - (g * out).real * out.conj(), x != 0) / np.where(x == 0, 1, np.absolute(x))


def signs(x: Any, /) -> Any:
    """x / |x|, and 0 for 0 and for real NaN."""
    if x.dtype.kind == "b":
        return x.copy()
    sign = np.sign(x)
    return keep(sign, sign == sign) if x.dtype.kind == "f" else sign  # 0 for NaN


def _signbit(x: Any, /) -> Any:
    return np.signbit(x) if x.dtype.kind == "f" else x < 0


def _rint(x: Any, /) -> Any:
    return x.copy() if x.dtype.kind in "iu" else np.rint(x)


absolute = elementwise(
    np.absolute,
    vjp=lambda g, x: g * signs(x).conj(),
    name="abs",
    alias="absolute",
    takes="ifc",
    doc="|input|, elementwise.",
)
sign = elementwise(
    signs,
    vjp=zero,
    name="sign",
    takes="bif",
    refusal=(
        "Unlike NumPy, torch.sign is not intended to support complex numbers. "
        "Please use torch.sgn instead."
    ),
    doc="-1, 0 or 1 for each element: its sign.",
)
sgn = elementwise(
    signs, ufunc=np.sign, vjp=_sgn_rule, name="sgn", doc="input / |input|, elementwise, and 0 at 0."
)
copysign = elementwise(
    np.copysign,
    promote=FLOAT,
    vjp=(lambda g, x, out: g * np.where(x == 0, 0, out / x), zero),
    takes="bif",
    scalar_nodes="CopysignBackward1",
    numbers="right",
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
    """Each element rounded to the nearest integer, halves to even; or to `decimals` places."""
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
