"""Arithmetic and elementary functions: each line is the NumPy function and its derivative.

Rules are plain transposes in `g`; where a function is not holomorphic (abs, real ...) the rule is the transpose over the
reals, in the engine's convention (the conjugate of torch's).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .define import FLOAT, SAME, elementwise, function, op

plus = elementwise(np.add, vjp=(lambda g: g, lambda g: g), name="add", method=False, inplace=False, linear=True)
minus = elementwise(np.subtract, vjp=(lambda g: g, lambda g: -g), name="sub", method=False, inplace=False, linear=True)
reversed_minus = elementwise(lambda x, y, /: y - x, vjp=(lambda g: -g, lambda g: g), name="rsub", method=False,
                             inplace=False, linear=True, node="RsubBackward1")  # fmt: skip
mul = elementwise(np.multiply, vjp=(lambda g, y: g * y, lambda g, x: g * x), name="mul", alias="multiply",
                  doc="Product of two tensors, elementwise.")  # fmt: skip
quotient = elementwise(np.divide, promote=FLOAT, vjp=(lambda g, y: g / y, lambda g, y, out: -g * out / y), name="div",
                       method=False, inplace=False)  # fmt: skip
neg = elementwise(np.negative, vjp=lambda g: -g, name="neg", alias="negative", linear=True, doc="-input, elementwise.")
exp = elementwise(np.exp, promote=FLOAT, vjp=lambda g, out: g * out, doc="e to the power of each element.")
log = elementwise(np.log, promote=FLOAT, vjp=lambda g, x: g / x, doc="Natural logarithm of each element.")
sin = elementwise(np.sin, promote=FLOAT, vjp=lambda g, x: g * np.cos(x), doc="Sine of each element (radians).")
cos = elementwise(np.cos, promote=FLOAT, vjp=lambda g, x: -g * np.sin(x), doc="Cosine of each element (radians).")
tanh = elementwise(np.tanh, promote=FLOAT, vjp=lambda g, out: g - g * out * out, doc="Hyperbolic tangent.")
sqrt = elementwise(np.sqrt, promote=FLOAT, vjp=lambda g, out: g / (2 * out), doc="Square root of each element.")
reciprocal = elementwise(lambda x, /: 1 / x, promote=FLOAT, vjp=lambda g, out: -g * out * out, name="reciprocal",
                         doc="1 / input, elementwise.")  # fmt: skip


def _power(x: Any, y: Any, /) -> Any:
    """x ** y, by products for the small exponents where torch uses them."""
    if type(y) is int or type(y) is float:
        if y == 3:
            return x * x * x
        if y == 0.5:
            return np.sqrt(x)
    return x**y


power_of_number = elementwise(_power, vjp=(lambda g, x, y: g * (y * x ** (y - 1)) if y else g * 0,), name="pow",
                              method=False, inplace=False, node="PowBackward0")  # fmt: skip
power_of_tensor = elementwise(
    np.power, name="pow_tensor", method=False, inplace=False, node="PowBackward1",
    vjp=(lambda g, x, y: g * np.where(y == 0, 0, y * x ** (y - 1)),
         lambda g, x, y, out: g * np.where((x == 0) & (y >= 0), 0, out * np.log(x))),
)  # fmt: skip


@function(inplace="add_")
def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """input + alpha * other, elementwise."""
    return plus(input, other if alpha == 1 else other * alpha, out=out)


@function(inplace="sub_", alias="subtract")
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """input - alpha * other, elementwise."""
    return minus(input, other if alpha == 1 else other * alpha, out=out)


@function
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input, elementwise."""
    return reversed_minus(input if alpha == 1 else input * alpha, other)


@function(inplace="pow_")
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """input to the power of exponent, elementwise; one of the two may be a number."""
    if type(exponent) is int or type(exponent) is float:
        return power_of_number(input, exponent, out=out)
    return power_of_tensor(input, exponent, out=out)


@function(inplace="square_")
def square(input: Any, *, out: Any = None) -> Any:
    """The square of each element."""
    return power_of_number(input, 2, out=out)


@op(promote=SAME, name="where", method=False)
def choose(condition: Any, x: Any, y: Any, /) -> Any:
    """x where the condition holds, else y."""
    return np.where(condition, x, y)


conj = elementwise(np.conjugate, vjp=lambda g: g.conj(), name="conj", inplace=False, doc="The complex conjugate.")
