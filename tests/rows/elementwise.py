"""Elementwise mathematics and special functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..op_table import ALL, COMPLEX, FLOATS, INTS, REAL, Row

NOT_COMPLEX = ("bool", *INTS, *FLOATS)
NOT_BOOL = (*INTS, *FLOATS, *COMPLEX)
NUMERIC = (*INTS, *FLOATS)
BITS = ("bool", *INTS)
SHAPES = ((), (5,), (0, 3), (2, 3))
PAIRS = (((), ()), ((4,), (4,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 0), (1, 1)), ((), (3,)))


def unary(low: float = -2, high: float = 2) -> Callable:
    """One tensor of several shapes, with elements between bounds."""

    def samples(make: Any) -> Iterator:
        for shape in SHAPES:
            yield (make(shape, low, high),), {}

    return samples


def binary(
    low: float = -2,
    high: float = 2,
    *,
    least: float | None = None,
    most: float | None = None,
    numbers: tuple = (),
) -> Callable:
    """Two tensors that broadcast, the second between `least` and `most`; or one and a number."""

    def samples(make: Any) -> Iterator:
        for a, b in PAIRS:
            yield (
                (
                    make(a, low, high),
                    make(b, low if least is None else least, high if most is None else most),
                ),
                {},
            )
        for n in numbers:
            yield (make((3,), low, high), n), {}

    return samples


def first_number(low: float, high: float, number: Any) -> Callable:
    """A number and a tensor."""

    def samples(make: Any) -> Iterator:
        yield (number, make((4,), low, high)), {}
        yield (number, make((), low, high)), {}

    return samples


def calls(*build: Callable) -> Callable:
    """Each of the functions makes one call's arguments: a tuple, or a tuple and a dict."""

    def samples(make: Any) -> Iterator:
        for f in build:
            given = f(make)
            yield given if len(given) == 2 and isinstance(given[1], dict) else (given, {})

    return samples


def unlike(torch: Any) -> tuple:
    """Two tensors that do not broadcast."""
    return torch.ones(3), torch.ones(2)


def not_finite(make: Any) -> np.ndarray:
    """Four numbers, of which one is NaN and two are infinite."""
    return np.array([np.nan, np.inf, -np.inf, 1.5], make.dtype)


MISMATCH = (
    RuntimeError,
    r"The size of tensor a \(3\) must match the size of tensor b \(2\) at non-singleton dimension",
)
NO_TENSOR = (TypeError, "must be Tensor, not int")


def arithmetic() -> list[Row]:
    zero_divisor = (RuntimeError, "ZeroDivisionError")
    return [
        Row(
            "add",
            binary(numbers=(2, 0.5)),
            ALL,
            complex_grad=True,
            errors=(
                (lambda t: t.add(*unlike(t)), *MISMATCH),
                (
                    lambda t: t.add(t.tensor([1]), t.tensor([1]), alpha=1.5),
                    RuntimeError,
                    "For integral input tensors, argument alpha",
                ),
                (
                    lambda t: t.add(t.tensor([1]), t.tensor([1]), alpha=True),
                    RuntimeError,
                    "Boolean alpha only supported",
                ),
                (lambda t: t.tensor([1.0]) + "a", TypeError, "unsupported operand"),
            ),
        ),
        Row(
            "add",
            calls(
                lambda m: ((m((3,)), m((2, 3))), {"alpha": 3}), lambda m: ((m(), 2), {"alpha": 2})
            ),
            NOT_BOOL,
        ),
        Row(
            "sub",
            binary(numbers=(2, 0.5)),
            NOT_BOOL,
            complex_grad=True,
            errors=(
                (
                    lambda t: t.tensor([True]) - t.tensor([True]),
                    RuntimeError,
                    "Subtraction, the `-` operator, with two bool tensors",
                ),
                (
                    lambda t: 1 - t.tensor([True]),
                    RuntimeError,
                    "Subtraction, the `-` operator, with a bool tensor",
                ),
            ),
        ),
        Row("sub", calls(lambda m: ((m((3,)), m((2, 3))), {"alpha": 3})), NOT_BOOL),
        Row("rsub", binary(numbers=(2, 0.5)), NOT_BOOL),
        Row("rsub", calls(lambda m: ((m((3,)), m((2, 3))), {"alpha": 3})), NOT_BOOL),
        Row(
            "mul",
            binary(numbers=(2, 0.5)),
            ALL,
            complex_grad=True,
            errors=((lambda t: t.mul(*unlike(t)), *MISMATCH),),
        ),
        Row(
            "div",
            binary(least=0.5, numbers=(2, 0.5)),
            ALL,
            complex_grad=True,
            errors=(
                (
                    lambda t: t.div(t.ones(1), 2, rounding_mode="up"),
                    RuntimeError,
                    "div expected rounding_mode to be one of None",
                ),
            ),
        ),
        *(
            Row(
                "div",
                calls(
                    lambda m, r=r: ((m((5,), -5, 5), m((2, 5), 1, 3)), {"rounding_mode": r}),
                    lambda m, r=r: ((m((4,), -5, 5), 2), {"rounding_mode": r}),
                ),
                NUMERIC,
                errors=(
                    (
                        lambda t, r=r: t.div(t.tensor([1]), t.tensor([0]), rounding_mode=r),
                        *zero_divisor,
                    ),
                ),
            )
            for r in ("floor", "trunc")
        ),
        Row("true_divide", binary(least=0.5, numbers=(2, 0.5)), ALL),
        Row(
            "floor_divide",
            binary(-5, 5, least=1, numbers=(2,)),
            NUMERIC,
            grad=False,
            errors=(
                (lambda t: t.tensor([1]) // 0, *zero_divisor),
                (
                    lambda t: (t.ones(1, requires_grad=True) // 2).sum().backward(),
                    RuntimeError,
                    "derivative for aten::floor_divide",
                ),
            ),
        ),
        Row(
            "remainder",
            binary(-5, 5, least=1.1, most=3, numbers=(2, -2)),
            NUMERIC,
            errors=((lambda t: t.tensor([1]) % 0, *zero_divisor),),
        ),
        Row(
            "fmod",
            binary(-5, 5, least=1.1, most=3, numbers=(2, -2)),
            NUMERIC,
            errors=((lambda t: t.fmod(t.tensor([1]), 0), *zero_divisor),),
        ),
        Row(
            "neg",
            unary(),
            NOT_BOOL,
            complex_grad=True,
            errors=(
                (
                    lambda t: -t.tensor([True]),
                    RuntimeError,
                    "Negation, the `-` operator, on a bool tensor",
                ),
            ),
        ),
        Row(
            "positive",
            unary(),
            NOT_BOOL,
            errors=(
                (lambda t: +t.tensor([True]), RuntimeError, "The `\\+` operator, on a bool tensor"),
            ),
        ),
        Row("reciprocal", unary(0.5, 2), ALL, complex_grad=True),
        Row(
            "addcmul",
            calls(
                lambda m: (m((2, 3)), m((3,)), m((2, 1))),
                lambda m: ((m(()), m((2,)), m((2,))), {"value": 2}),
                lambda m: (m((0, 3)), m((3,)), m(())),
            ),
            NOT_BOOL,
            complex_grad=True,
        ),
        Row(
            "addcdiv",
            calls(
                lambda m: (m((2, 3)), m((3,)), m((2, 1), 0.5)),
                lambda m: ((m(()), m((2,)), m((2,), 0.5)), {"value": -1.5}),
            ),
            (*FLOATS, *COMPLEX),
            complex_grad=True,
            errors=(
                (
                    lambda t: t.addcdiv(t.tensor([1]), t.tensor([1]), t.tensor([1])),
                    RuntimeError,
                    "Integer division with addcdiv",
                ),
            ),
        ),
        Row(
            "lerp",
            calls(
                lambda m: (m((2, 3)), m((3,)), 0.3),
                lambda m: (m((3,)), m((3,)), 0.8),
                lambda m: (m((2, 3)), m((3,)), m((2, 1), 0, 1)),
                lambda m: (m(()), m((0,)), m(())),
            ),
            (*FLOATS, *COMPLEX),
            complex_grad=True,
            errors=(
                (
                    lambda t: t.lerp(t.ones(1), t.ones(1, dtype=t.float64), 0.5),
                    RuntimeError,
                    "expected dtype float for `end`",
                ),
                (
                    lambda t: t.lerp(t.tensor([1]), t.tensor([2]), 0.5),
                    NotImplementedError,
                    "lerp_kernel",
                ),
            ),
        ),
    ]


def powers() -> list[Row]:
    return [
        Row(
            "pow",
            binary(0.5, 2, numbers=(2, 3, 4, 1, 0, 0.5, 2.5)),
            NUMERIC,
            errors=(
                (
                    lambda t: t.tensor([2]) ** -1,
                    RuntimeError,
                    "Integers to negative integer powers are not allowed.",
                ),
                (lambda t: t.pow(2, 3), TypeError, "pow\\(\\) received an invalid combination"),
                (lambda t: t.tensor([True]) ** t.tensor([True]), NotImplementedError, "pow"),
            ),
        ),
        Row(
            "pow",
            calls(*(lambda m, n=n: (m((3,), 0.5, 2), n) for n in (-1, -2, -0.5, -3, 1.5))),
            FLOATS,
        ),
        Row(
            "pow",
            calls(lambda m: (m((4,), -2, 2), m((4,), -3, 3))),
            ("int8", "int32", "int64"),
            grad=False,
        ),
        Row("pow", first_number(-2, 2, 3), FLOATS),
        Row(
            "pow",
            calls(*(lambda m, n=n: (m((3,), 0.5, 2), n) for n in (2, 3, -1, 0.5, 1 + 2j))),
            COMPLEX,
            complex_grad=True,
            tolerance={"complex64": 1e-5},
        ),
        Row("square", unary(), ALL, complex_grad=True),
        Row("float_power", binary(0.5, 2, numbers=(2, 0.5)), ALL),
        Row("sqrt", unary(0.5, 2), ALL, complex_grad=True),
        Row("rsqrt", unary(0.5, 2), ALL, complex_grad=True),
        Row(
            "hypot",
            binary(0.5, 2),
            FLOATS,
            errors=(
                (lambda t: t.hypot(t.tensor([1]), t.tensor([1])), NotImplementedError, "hypot_cpu"),
            ),
        ),
    ]


def exponentials() -> list[Row]:
    return [
        *(Row(name, unary(), ALL, complex_grad=True) for name in ("exp", "exp2", "expm1")),
        *(
            Row(name, unary(0.5, 2), ALL, complex_grad=True)
            for name in ("log", "log2", "log10", "log1p")
        ),
        Row(
            "logaddexp",
            binary(),
            (*FLOATS, *COMPLEX),
            complex_grad=True,
            tolerance={"complex64": 2e-5},
        ),
        Row("logaddexp2", binary(), FLOATS),
        Row(
            "ldexp",
            calls(lambda m: (m((2, 3)), m.ints((3,), -3, 3)), lambda m: (m(()), m((2,)))),
            (*INTS, "float32", "float64"),
        ),
        Row(
            "frexp",
            unary(),
            FLOATS,
            errors=(
                (
                    lambda t: t.frexp(t.tensor([1])),
                    RuntimeError,
                    "torch.frexp\\(\\) only supports floating",
                ),
            ),
        ),
    ]


def trigonometry() -> list[Row]:
    turns = ("deg2rad", "rad2deg")
    return [
        *(
            Row(name, unary(), ALL, complex_grad=True)
            for name in ("sin", "cos", "sinh", "cosh", "tanh", "asinh")
        ),
        Row("tan", unary(-1.2, 1.2), ALL, complex_grad=True),
        *(
            Row(name, unary(-0.8, 0.8), ALL, complex_grad=True)
            for name in ("asin", "acos", "atan", "atanh")
        ),
        Row("acosh", unary(1.2, 3), ALL, complex_grad=True),
        Row(
            "atan2",
            binary(0.5, 2),
            NOT_COMPLEX,
            errors=((lambda t: t.atan2(t.ones(1), 1), *NO_TENSOR),),
        ),
        *(
            Row(
                name,
                unary(),
                NOT_COMPLEX,
                errors=(
                    (
                        lambda t, n=name: getattr(t, n)(t.ones(1, dtype=t.complex64)),
                        RuntimeError,
                        "not supported for complex tensors",
                    ),
                ),
            )
            for name in turns
        ),
    ]


def no_complex(name: str, pattern: str) -> tuple:
    """The error of a function for complex tensors."""
    return ((lambda t: getattr(t, name)(t.ones(1, dtype=t.complex64)), RuntimeError, pattern),)


def signs_and_rounding() -> list[Row]:
    return [
        Row(
            "abs",
            unary(),
            NOT_BOOL,
            complex_grad=True,
            errors=((lambda t: t.abs(t.tensor([True])), NotImplementedError, "abs_cpu"),),
        ),
        Row(
            "sign",
            unary(),
            NOT_COMPLEX,
            errors=no_complex("sign", "Unlike NumPy, torch.sign is not intended"),
        ),
        Row("sgn", unary(0.5, 2), ALL, complex_grad=True),
        Row("copysign", binary(0.5, 2, least=-2, numbers=(-1.0, 2)), NOT_COMPLEX),
        *(
            Row(name, unary(-3, 3), NUMERIC, errors=no_complex(name, "not"))
            for name in ("ceil", "floor", "trunc")
        ),
        Row("frac", unary(-3, 3), FLOATS),
        Row("round", unary(-3, 3), NUMERIC),
        Row(
            "round",
            calls(
                lambda m: ((m((4,), -30, 30),), {"decimals": 1}),
                lambda m: ((m((4,), -30, 30),), {"decimals": -1}),
            ),
            REAL,
            errors=((lambda t: t.round(t.tensor([1]), decimals=1), NotImplementedError, "round"),),
        ),
        Row("signbit", unary(), NOT_COMPLEX, grad=False),
        Row("nextafter", binary(), FLOATS, grad=False),
        Row(
            "heaviside",
            binary(),
            NOT_COMPLEX,
            grad=False,
            errors=(
                (
                    lambda t: t.heaviside(t.ones(1), t.tensor([1])),
                    RuntimeError,
                    "heaviside is not yet implemented for tensors with different",
                ),
            ),
        ),
        Row("gcd", binary(-12, 12), INTS, grad=False),
        Row("lcm", binary(-12, 12), INTS, grad=False),
    ]


def bounds() -> list[Row]:
    return [
        *(
            Row(
                name,
                binary(),
                NOT_COMPLEX,
                errors=(
                    (lambda t, n=name: getattr(t, n)(t.ones(1), 1), *NO_TENSOR),
                    (lambda t, n=name: getattr(t, n)(*unlike(t)), *MISMATCH),
                ),
            )
            for name in ("maximum", "minimum", "fmax", "fmin")
        ),
        Row("clamp_min", binary(numbers=(0, 0.5)), NOT_COMPLEX),
        Row("clamp_max", binary(numbers=(0, 0.5)), NOT_COMPLEX),
        Row(
            "clamp",
            calls(
                lambda m: (m((2, 3)), -1, 1),
                lambda m: ((m((4,)),), {"min": 0.5}),
                lambda m: ((m((4,)),), {"max": 1}),
                lambda m: (m((2, 3)), m((3,), -1, 0), m((2, 1), 0.1, 1)),
                lambda m: ((m((4,)),), {"min": m((4,))}),
                lambda m: (m((3,)), None, m(())),
                lambda m: (m((0,)), 0, 1),
                lambda m: (m(()), 2, 1),
            ),
            NUMERIC,
            errors=(
                (
                    lambda t: t.clamp(t.ones(1)),
                    RuntimeError,
                    "At least one of 'min' or 'max' must not be None",
                ),
                (
                    lambda t: t.clamp(t.ones(1, dtype=t.complex64), 0),
                    RuntimeError,
                    "clamp is not supported for complex types",
                ),
            ),
        ),
    ]


def comparisons() -> list[Row]:
    close = calls(
        lambda m: (m((4,)), m((4,))),
        lambda m: (m((2, 3)), m((2, 3)), 0.5, 0.5),
        lambda m: ((m((3,)), m(())), {"atol": 1}),
        lambda m: (
            (
                (m((3,)) * float("nan"), m((3,)) * float("nan"))
                if m.dtype.kind in "f"
                else (m((3,)), m((3,)))
            ),
            {"equal_nan": True},
        ),
        lambda m: ((m((3,)), m((3,))), {"rtol": 0, "atol": 0}),
    )
    return [
        *(Row(name, binary(-1, 1, numbers=(0, 0.5)), ALL, grad=False) for name in ("eq", "ne")),
        *(
            Row(
                name,
                binary(-1, 1, numbers=(0, 0.5)),
                NOT_COMPLEX,
                grad=False,
                errors=(
                    (
                        lambda t, n=name: getattr(t, n)(t.ones(1, dtype=t.complex64), 1),
                        NotImplementedError,
                        f"{name}_cpu",
                    ),
                    (lambda t, n=name: getattr(t, n)(*unlike(t)), *MISMATCH),
                ),
            )
            for name in ("lt", "le", "gt", "ge")
        ),
        *(Row(name, unary(), ALL, grad=False) for name in ("isnan", "isinf", "isfinite", "isreal")),
        *(
            Row(
                name,
                unary(),
                NOT_COMPLEX,
                grad=False,
                errors=(
                    (
                        lambda t, n=name: getattr(t, n)(t.ones(1, dtype=t.complex64)),
                        RuntimeError,
                        f"{name} does not support complex inputs",
                    ),
                ),
            )
            for name in ("isposinf", "isneginf")
        ),
        Row(
            "isclose",
            close,
            ALL,
            grad=False,
            errors=(
                (
                    lambda t: t.isclose(t.tensor([1]), t.tensor([1.0])),
                    RuntimeError,
                    "Long did not match Float",
                ),
                (
                    lambda t: t.isclose(t.ones(1), t.ones(1), rtol=-1),
                    RuntimeError,
                    "rtol must be greater than or equal to zero, but got -1",
                ),
            ),
        ),
        Row("allclose", close, (*FLOATS, *COMPLEX), grad=False),
        Row(
            "equal",
            calls(
                lambda m: (m((3,)), m((3,))), lambda m: (m((3,)), m((2,))), lambda m: (m(()),) * 2
            ),
            ALL,
            grad=False,
        ),
        *(
            Row(
                name,
                binary(-1, 1),
                ALL,
                grad=False,
                errors=((lambda t, n=name: getattr(t, n)(t.ones(1), 1), *NO_TENSOR),),
            )
            for name in ("logical_and", "logical_or", "logical_xor")
        ),
        Row("logical_not", unary(-1, 1), ALL, grad=False),
        *(
            Row(
                name,
                binary(numbers=(1, 3)),
                BITS,
                grad=False,
                errors=(
                    (
                        lambda t, n=name: getattr(t, n)(t.ones(1), t.ones(1)),
                        NotImplementedError,
                        f"\"{name}_cpu\" not implemented for 'Float'",
                    ),
                ),
            )
            for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
        ),
        Row(
            "bitwise_not",
            unary(),
            BITS,
            grad=False,
            errors=(
                (
                    lambda t: ~t.ones(1),
                    TypeError,
                    "~ \\(operator.invert\\) is only implemented on integer and Boolean",
                ),
            ),
        ),
        *(
            Row(name, binary(-5, 5, least=0, most=9, numbers=(1, 70)), INTS, grad=False)
            for name in ("bitwise_left_shift", "bitwise_right_shift")
        ),
    ]


def choices() -> list[Row]:
    return [
        Row(
            "where",
            calls(
                lambda m: (m.bools((2, 3)), m((2, 3)), m((3,))),
                lambda m: (m.bools((3,)), m(()), m((2, 1))),
                lambda m: (m.bools(()), m(()), m(())),
                lambda m: (m.bools((3,)), m((3,)), 2),
                lambda m: (m.bools((3,)), 0.5, m((3,))),
                lambda m: (m.bools((0,)), m((1,)), m((0,))),
                lambda m: (m.bools((3,)), 1, 2),
                lambda m: (m.bools((3,)), 1.0, 2),
            ),
            ALL,
            complex_grad=True,
            errors=(
                (
                    lambda t: t.where(t.tensor([1]), 1, 2),
                    RuntimeError,
                    "where expected condition to be a boolean tensor",
                ),
            ),
        ),
        Row(
            "Tensor.where",
            calls(
                lambda m: (m((3,)), m.bools((2, 3)), m((3,))), lambda m: (m((3,)), m.bools((3,)), 0)
            ),
            FLOATS,
        ),
        Row("nan_to_num", unary(), NOT_COMPLEX),
        Row(
            "nan_to_num",
            calls(lambda m: (not_finite(m),), lambda m: (not_finite(m), 1.0, 2.0, -3.0)),
            REAL,
            grad=False,
        ),
    ]


def complex_parts() -> list[Row]:
    return [
        Row("real", unary(), ALL, complex_grad=True),
        Row(
            "imag",
            unary(),
            COMPLEX,
            grad=False,
            complex_grad=True,
            errors=(
                (
                    lambda t: t.imag(t.ones(1)),
                    RuntimeError,
                    "imag is not implemented for tensors with non-complex dtypes.",
                ),
            ),
        ),
        Row("conj", unary(), ALL, complex_grad=True, exact_node=False),
        Row("conj_physical", unary(), ALL, complex_grad=True),
        Row("resolve_conj", unary(), ALL, complex_grad=True),
        *(Row(name, unary(), ALL, grad=False) for name in ("is_conj", "is_neg")),
        Row("resolve_neg", unary(), ALL),
        Row("angle", unary(0.5, 2), ALL, complex_grad=True),
        Row(
            "view_as_real",
            unary(),
            COMPLEX,
            grad=False,
            complex_grad=True,
            errors=(
                (
                    lambda t: t.view_as_real(t.ones(1)),
                    RuntimeError,
                    "view_as_real is only supported for complex tensors",
                ),
            ),
        ),
        Row(
            "view_as_complex",
            calls(lambda m: (m((2,)),), lambda m: (m((3, 2)),)),
            ("float64",),
            errors=(
                (
                    lambda t: t.view_as_complex(t.ones(3)),
                    RuntimeError,
                    "Tensor must have a last dimension of size 2",
                ),
                (
                    lambda t: t.view_as_complex(t.ones(())),
                    RuntimeError,
                    "Input tensor must have one or more dimensions",
                ),
            ),
        ),
    ]


def special() -> list[Row]:
    loose = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "float64": 1e-12}
    in_half = {"float16": 1e-2, "bfloat16": 5e-2}  # torch rounds in between
    functions = [
        *(Row(name, unary(), NOT_COMPLEX, tolerance=loose) for name in ("erf", "erfc", "i0")),
        *(
            Row(f"special.{name}", unary(0.5, 2), NOT_COMPLEX, tolerance=loose)
            for name in ("i0e", "i1", "i1e", "ndtr", "entr")
        ),
        Row("erfinv", unary(-0.8, 0.8), NOT_COMPLEX, tolerance=loose),
        *(Row(f"special.{name}", unary(), REAL, tolerance=loose) for name in ("erfcx", "log_ndtr")),
        Row("special.ndtri", unary(0.1, 0.9), REAL, tolerance=loose),
        *(Row(name, unary(0.5, 4), NOT_COMPLEX, tolerance=loose) for name in ("lgamma", "digamma")),
        Row(
            "polygamma",
            calls(*(lambda m, n=n: (n, m((3,), 0.5, 4)) for n in range(4))),
            REAL,
            tolerance={"float32": 2e-5, "float64": 1e-8},
        ),
        Row(
            "mvlgamma",
            calls(lambda m: (m((3,), 2, 4), 1), lambda m: (m((), 2, 4), 3)),
            (*INTS, "float32", "float64"),
            tolerance=loose,
        ),
        *(
            Row(
                name,
                calls(lambda m: (m.constant((3,), 0.5, 3), m((2, 3), 0.5, 3))),
                REAL,
                tolerance=loose,
                exact_node=False,
            )
            for name in ("igamma", "igammac")
        ),
        Row(
            "special.zeta",
            calls(
                lambda m: (m.constant((3,), 1.5, 3), m((2, 3), 0.5, 3)),
                lambda m: (m.constant((3,), 2, 4), 2.0),
            ),
            REAL,
            tolerance=loose,
            exact_node=False,
        ),
        Row("xlogy", binary(0.5, 2, numbers=(2, 0.5)), NOT_COMPLEX),
        Row("xlogy", first_number(0.5, 2, 2.0), FLOATS),
        Row("special.xlog1py", binary(0.5, 2, numbers=(2, 0.5)), NOT_COMPLEX),
        Row(
            "sinc",
            unary(0.5, 2),
            ALL,
            complex_grad=True,
            tolerance={"float32": 2e-5, "complex64": 2e-5},
        ),
        Row("sigmoid", unary(), ALL, complex_grad=True),
        Row("logit", unary(0.1, 0.9), NOT_COMPLEX, tolerance=in_half),
        Row(
            "logit",
            calls(lambda m: ((m((5,), -0.5, 1.5),), {"eps": 0.1})),
            FLOATS,
            tolerance=in_half,
        ),
    ]
    positive = (
        "bessel_y0",
        "bessel_y1",
        "modified_bessel_k0",
        "modified_bessel_k1",
        "scaled_modified_bessel_k0",
        "scaled_modified_bessel_k1",
    )
    anywhere = (
        "bessel_j0",
        "bessel_j1",
        "modified_bessel_i0",
        "modified_bessel_i1",
        "spherical_bessel_j0",
    )
    loose = {"float32": 2e-5, "float64": 2e-9, "float32 gradient": 1e-3}
    polynomials = (
        *(
            f"{shifted}chebyshev_polynomial_{kind}"
            for shifted in ("", "shifted_")
            for kind in "tuvw"
        ),
        "hermite_polynomial_h",
        "hermite_polynomial_he",
        "laguerre_polynomial_l",
        "legendre_polynomial_p",
    )
    degrees = calls(
        lambda m: (m((5,), 0.1, 0.9), m.ints((5,), -1, 5)),
        lambda m: (m((2, 1), 0.1, 0.9), 3),
        lambda m: (m(()), m.ints(())),
    )
    return [
        *functions,
        *(
            Row(f"special.{name}", unary(0.5, 2), REAL, tolerance=loose, exact_node=False)
            for name in positive
        ),
        *(
            Row(f"special.{name}", unary(-2, 2), REAL, tolerance=loose, exact_node=False)
            for name in anywhere
        ),
        Row("special.airy_ai", unary(0.5, 2), REAL, grad=False, tolerance=loose),
        *(
            Row(f"special.{name}", degrees, REAL, grad=False, tolerance=loose, exact_node=False)
            for name in polynomials
        ),
    ]


ROWS = [
    *arithmetic(),
    *powers(),
    *exponentials(),
    *trigonometry(),
    *signs_and_rounding(),
    *bounds(),
    *comparisons(),
    *choices(),
    *complex_parts(),
    *special(),
]
