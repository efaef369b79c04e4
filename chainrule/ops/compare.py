"""Larger and smaller, equal and unequal, true and false: bounds, comparisons, logic, bits, choices.

Where two elements are equal, or one lies on a bound, the gradient goes where torch sends it: half
to each side of maximum and minimum, all of it to the first of fmax and fmin, and to the element,
not the bound, of clamp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import tied
from ..dtypes import BOOL_NP, FLOATING, FROM_NUMPY
from . import define
from .define import BOOLEAN, FUNCTIONS, MOVE, SAME, elementwise, function, op, scalar_name, wrap
from .elementwise import blend, is_tensor, keep

NUMBERS = (float, int, bool, type(None))

# -- larger, smaller, between ----------------------------------------------------------------------


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
    numbers="right",
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
    numbers="right",
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
    pointwise=True,
    takes="bif",
    refusal=NO_COMPLEX_CLAMP,
    numbers="right",
)
def clamp(x: Any, min: Any = None, max: Any = None, /) -> Any:
    """min(max(input, `min`), `max`), elementwise; each bound is a tensor, a number or None.

    Raises RuntimeError if both bounds are None.
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if x.dtype is BOOL_NP and (type(min) is bool or type(max) is bool):
        raise NotImplementedError("\"clamp_scalar_cpu\" not implemented for 'Bool'")
    raised = (
        x if min is None else np.maximum(min, x)
    )  # in this order -0.0 stays where the bound is 0
    made = raised if max is None else np.minimum(max, raised)
    return made if type(min) in NUMBERS and type(max) in NUMBERS else tied(made, x, min, max)


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


# -- comparing -------------------------------------------------------------------------------------

eq = elementwise(np.equal, name="eq", numbers="right", doc="Whether input == other, elementwise.")
ne = elementwise(
    np.not_equal,
    name="ne",
    numbers="right",
    alias="not_equal",
    doc="Whether input != other, elementwise.",
)
lt = elementwise(
    np.less,
    name="lt",
    numbers="right",
    alias="less",
    takes="bif",
    doc="Whether input < other, elementwise.",
)
le = elementwise(
    np.less_equal,
    name="le",
    numbers="right",
    alias="less_equal",
    takes="bif",
    doc="Whether input <= other, elementwise.",
)
gt = elementwise(
    np.greater,
    name="gt",
    numbers="right",
    alias="greater",
    takes="bif",
    doc="Whether input > other, elementwise.",
)
ge = elementwise(
    np.greater_equal,
    name="ge",
    numbers="right",
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
    lambda x, /: x.imag == 0 if x.dtype.kind == "c" else (x == x) | True,
    promote=MOVE,
    name="isreal",
    inplace=False,
    doc="Whether the imaginary part of each element is 0.",
)


@op(name="close", namespace="primitive", method=False)
def close(x: Any, y: Any, /, rtol: float, atol: float, equal_nan: bool) -> Any:
    """Whether |x - y| <= atol + rtol * |y|, or both are equal (NaN too if `equal_nan`)."""
    equal = x == y
    if equal_nan:
        equal = equal | (np.isnan(x) & np.isnan(y))
    if rtol == 0 and atol == 0:
        return tied(equal, x, y)
    a, b = (x, y) if x.dtype.kind in "fc" else (x.astype(np.float64), y.astype(np.float64))
    apart = np.absolute(a - b)
    return tied(equal | (np.isfinite(apart) & (apart <= atol + np.absolute(rtol * b))), x, y)


@function
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether |input - other| <= atol + rtol * |other|, elementwise, or both are equal.

    Raises RuntimeError for tensors of different dtypes and for negative tolerances.
    """
    for position, (name, x) in enumerate((("input", input), ("other", other)), 1):
        if not is_tensor(x):
            raise define.not_a_tensor("isclose", name, position, x)
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


# -- logic and bits --------------------------------------------------------------------------------

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

# -- choosing --------------------------------------------------------------------------------------


@op(promote=SAME, name="where", method=False)
def choose(x: Any, y: Any, /, condition: Any) -> Any:
    """x where the condition holds, else y."""
    return tied(blend(condition, x, y), condition, x, y)


choose.vjp(lambda g, condition: keep(g, condition))
choose.vjp(lambda g, condition: keep(g, np.logical_not(condition)))


@function(method=False)
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where the condition (bool) holds, else `other`; both are tensors or numbers.

    Of the condition alone: the indices of the places where it holds, one tensor per dimension.
    """
    if input is None and other is None:
        return FUNCTIONS["nonzero"](condition, as_tuple=True)
    if not is_tensor(condition):
        raise define.not_a_tensor("where", "condition", 1, condition)
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{scalar_name(condition.dtype)}"
        )
    if not is_tensor(input) and not is_tensor(other):
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
    """NaN replaced by `nan` (0), infinities by `posinf` and `neginf` (the finite limits)."""
    if x.dtype.kind == "c":
        return (
            _finite(x.real, nan, posinf, neginf) + 1j * _finite(x.imag, nan, posinf, neginf)
        ).astype(x.dtype)
    return x.copy() if FROM_NUMPY[x.dtype].category < FLOATING else _finite(x, nan, posinf, neginf)


nan_to_num.vjp(lambda g, x: g * np.isfinite(x))
