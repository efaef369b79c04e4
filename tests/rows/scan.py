"""Running sums, products and the like; differences, integrals and slopes."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule

from ..op_table import ALL, COMPLEX, FLOATS, INTS, REAL, Row
from .reduce import beyond, calls, with_zeros

INEXACT = (*FLOATS, *COMPLEX)
LINES = (
    lambda m: (m(), 0),
    lambda m: (m((5,)), 0),
    lambda m: (m((2, 3)), -1),
    lambda m: (m((2, 3, 2)), 1),
    lambda m: (m((0, 2)), 0),
    lambda m: (m((1, 2)), 0),
)


def long_line(make: Any) -> np.ndarray:
    """More elements than are worked off one by one."""
    return make((70,), 0.9, 1.1)


def scans() -> list[Row]:
    in_double = calls(lambda m: ((m((2, 3)), 1), {"dtype": chainrule.float64}))
    small = calls(lambda m: ((m((2, 3)),), {"axis": 1, "dtype": chainrule.int8}))
    return [
        Row(
            "cumsum",
            calls(*LINES),
            ALL,
            complex_grad=True,
            errors=(
                beyond("cumsum"),
                (lambda t: t.ones(3).cumsum(), TypeError, "missing 1 required positional argument"),
            ),
        ),
        Row("cumsum", in_double, ("float32", "int32")),
        Row("cumsum", small, INTS, grad=False),
        Row("cumprod", calls(*LINES), ALL, complex_grad=True, errors=(beyond("cumprod"),)),
        Row(
            "cumprod",
            calls(
                lambda m: (with_zeros(m, 4), 1),
                lambda m: (with_zeros(m, 0, 4, 5), 0),
                lambda m: (with_zeros(m, 0, 1, 2, 5, 7), 1),
            ),
        ),
        Row("cumprod", calls(lambda m: (long_line(m), 0)), REAL),
        Row("cumprod", small, INTS, grad=False),
        Row(
            "logcumsumexp",
            calls(*LINES),
            INEXACT,
            complex_grad=True,
            errors=(
                beyond("logcumsumexp"),
                (
                    lambda t: t.logcumsumexp(t.ones(2, dtype=t.int64), 0),
                    NotImplementedError,
                    "\"logcumsumexp_out_cpu\" not implemented for 'Long'",
                ),
            ),
        ),
        Row("logcumsumexp", calls(lambda m: (long_line(m), 0)), REAL),
        Row(
            "logcumsumexp",
            calls(lambda m: (np.array([-np.inf, -np.inf, 1, np.inf, 2], m.dtype), 0)),
            grad=False,
        ),
    ]


def differences() -> list[Row]:
    return [
        Row(
            "diff",
            calls(
                lambda m: (m((5,)),),
                lambda m: (m((5,)), 2),
                lambda m: (m((2, 3)), 1, 0),
                lambda m: ((m((2, 3)),), {"n": 2, "dim": -1}),
                lambda m: (m((2, 3)), 4),
                lambda m: ((m((2, 3)),), {"prepend": m((2, 1)), "append": m((2, 2))}),
                lambda m: ((m((3,)), 2), {"append": m((1,))}),
            ),
            ALL,
            complex_grad=True,
            errors=(
                (lambda t: t.diff(t.ones(())), RuntimeError, "at least one-dimensional"),
                (lambda t: t.diff(t.ones(3), -1), RuntimeError, "order must be non-negative"),
                (
                    lambda t: t.diff(t.ones(2, 3), prepend=t.ones(3)),
                    RuntimeError,
                    "diff expects prepend or append to be the same dimension as input",
                ),
            ),
        ),
        Row("diff", calls(lambda m: (m((2, 3)), 0)), ALL, exact_node=False),
    ]


def integrals() -> list[Row]:
    rows = []
    for name in ("trapezoid", "cumulative_trapezoid"):
        rows.append(
            Row(
                name,
                calls(
                    lambda m: (m((5,)),),
                    lambda m: ((m((2, 3)),), {"dim": 0}),
                    lambda m: ((m((2, 3)),), {"dx": 0.5}),
                    lambda m: (m((2, 3)), m((3,))),
                    lambda m: ((m((2, 3)), m((2,))), {"dim": 0}),
                    lambda m: (m((2, 3)), m((2, 3))),
                    lambda m: (m((0,)),),
                    lambda m: (m((1,)),),
                ),
                (*REAL, *COMPLEX),
                complex_grad=True,
                exact_node=False,
                errors=(
                    (
                        lambda t, name=name: getattr(t, name)(t.ones(3), t.ones(2)),
                        RuntimeError,
                        "There must be one `x` value for each sample point",
                    ),
                    (
                        lambda t, name=name: getattr(t, name)(t.ones(3, dtype=t.bool)),
                        RuntimeError,
                        "received a bool input for `y`",
                    ),
                    (lambda t, name=name: getattr(t, name)(t.ones(3), 2), TypeError, ""),
                ),
            )
        )
    return [*rows, Row("trapz", calls(lambda m: (m((2, 3)),)), REAL, exact_node=False)]


def slopes() -> list[Row]:
    at = np.array([0, 1, 1.5, 3])
    return [
        Row(
            "gradient",
            calls(
                lambda m: (m((5,)),),
                lambda m: (m((2, 3)),),
                lambda m: ((m((3, 4)),), {"spacing": 0.5, "dim": 1, "edge_order": 2}),
                lambda m: ((m((3, 4)),), {"spacing": (2.0, 0.5)}),
                lambda m: ((m((2, 4)),), {"spacing": (at.astype(m.dtype),), "dim": 1}),
                lambda m: (
                    (m((4, 4)),),
                    {"spacing": (at.astype(m.dtype), at.astype(m.dtype)), "edge_order": 2},
                ),
            ),
            REAL,
            exact_node=False,
            errors=(
                (lambda t: t.gradient(t.ones(1)), RuntimeError, "at least edge_order\\+1"),
                (
                    lambda t: t.gradient(t.ones(2, 2), spacing=(1.0,)),
                    RuntimeError,
                    "expected spacing to be unspecified, a scalar, or a list of length equal to",
                ),
                (lambda t: t.gradient(t.ones(3), edge_order=3), RuntimeError, "only supports"),
            ),
        )
    ]


ROWS = [*scans(), *differences(), *integrals(), *slopes()]
