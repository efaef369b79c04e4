"""Activations and softmax."""

from __future__ import annotations

from typing import Any

import chainrule

from ..op_table import FLOATS, INTS, REAL, Row
from .elementwise import calls, unary

F = "nn.functional."
NUMERIC = (*INTS, *FLOATS)


def variants(*arguments: dict) -> Any:
    """A few shapes with each set of keyword arguments."""
    return calls(
        *(
            lambda m, k=k, s=s: ((m(s, -4, 4),), k)
            for k in arguments
            for s in ((), (7,), (2, 3), (0,))
        )
    )


def not_for(name: str, dtype: str, pattern: str) -> tuple:
    """The error of a function for tensors of a dtype."""
    kind = RuntimeError if "Bool" in pattern else NotImplementedError
    return (
        lambda t: getattr(t.nn.functional, name)(t.ones(2, dtype=getattr(t, dtype))),
        kind,
        pattern,
    )


def by_weight(make: Any) -> Any:
    """prelu with one weight, and with one for each channel."""
    yield (make((2, 3)), make((1,))), {}
    yield (make((2, 3, 2)), make((3,))), {}
    yield (make(()), make(())), {}
    yield (make((4,)), make((1,))), {}


def along(make: Any) -> Any:
    """Softmax along dimensions of several shapes, in another dtype too."""
    yield (make((2, 3)), 1), {}
    yield (make((2, 3)), 0), {}
    yield (make((2, 3, 2)), -2), {}
    yield (make(()), 0), {}
    yield (make((0, 3)), 1), {}
    yield (make((3, 0)), 1), {}
    yield (make((4,)), -1), {"dtype": chainrule.float64}


def softmaxes() -> list[Row]:
    bad_dim = (
        lambda t: t.softmax(t.ones(2), 1),
        IndexError,
        "Dimension out of range \\(expected to be in range of \\[-1, 0\\], but got 1\\)",
    )
    return [
        Row(
            "softmax",
            along,
            errors=(
                bad_dim,
                (
                    lambda t: t.softmax(t.tensor([1, 2]), 0),
                    NotImplementedError,
                    "not implemented for 'Long'",
                ),
            ),
        ),
        Row("log_softmax", along),
        *(Row(F + name, along) for name in ("softmax", "log_softmax", "softmin")),
        Row(
            F + "glu",
            calls(
                lambda m: (m((4,)),),
                lambda m: (m((2, 4)),),
                lambda m: (m((4, 3)), 0),
                lambda m: ((m((2, 2, 3)),), {"dim": -2}),
                lambda m: (m((0, 2)),),
            ),
            errors=(
                (
                    lambda t: t.nn.functional.glu(t.ones(3)),
                    RuntimeError,
                    "Halving dimension must be even, but dimension 0 is size 3",
                ),
                (
                    lambda t: t.nn.functional.glu(t.ones(())),
                    RuntimeError,
                    "glu does not support scalars",
                ),
            ),
        ),
    ]


ROWS = [
    Row(
        "relu",
        unary(),
        NUMERIC,
        errors=(not_for("relu", "bool", "Boolean inputs not supported for relu"),),
    ),
    Row(
        F + "relu6",
        unary(-4, 8),
        NUMERIC,
        errors=(not_for("relu6", "bool", "Bool inputs not supported for hardtanh"),),
    ),
    Row(
        F + "leaky_relu",
        variants({}, {"negative_slope": 0.3}, {"negative_slope": 1.5}),
        errors=(not_for("leaky_relu", "int64", "\"leaky_relu_cpu\" not implemented for 'Long'"),),
    ),
    Row(
        F + "prelu",
        by_weight,
        errors=(
            (
                lambda t: t.prelu(t.ones(2, 4), t.ones(3)),
                RuntimeError,
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = 3",
            ),
            (
                lambda t: t.prelu(t.ones(2), t.ones(1, dtype=t.float64)),
                RuntimeError,
                "prelu: Type promoting not supported. Got Float and Double",
            ),
            (
                lambda t: t.prelu(t.ones(2), t.ones(1, 1)),
                RuntimeError,
                "prelu: Expected `weight` to be a scalar or 1D tensor",
            ),
        ),
    ),
    Row("prelu", by_weight),
    Row(F + "rrelu", variants({}, {"training": True, "lower": 0.2}), REAL),
    Row(F + "threshold", variants({"threshold": 0.5, "value": 2}), NUMERIC),
    Row(
        F + "hardtanh",
        variants({}, {"min_val": -2.0, "max_val": 0.5}),
        FLOATS,
        errors=(
            (
                lambda t: t.nn.functional.hardtanh(t.ones(1), 2, 1),
                ValueError,
                "min_val cannot be greater than max_val",
            ),
        ),
    ),
    Row("hardshrink", variants({}, {"lambd": 1.5})),
    Row(
        F + "softshrink",
        variants({}, {"lambd": 1.5}),
        errors=(
            (
                lambda t: t.nn.functional.softshrink(t.ones(1), -1),
                RuntimeError,
                "lambda must be in range \\[0, 3.40282e\\+38\\] for input dtype Float",
            ),
        ),
    ),
    Row(F + "tanhshrink", variants({}), (*INTS, *FLOATS), tolerance={"float32": 1e-5}),
    Row(F + "softsign", variants({}), (*INTS, *FLOATS)),
    Row(F + "hardsigmoid", variants({})),
    Row(F + "hardswish", variants({})),
    Row(F + "elu", variants({}, {"alpha": 0.5})),
    Row(F + "selu", variants({})),
    Row(
        F + "celu",
        variants({}, {"alpha": 0.5}),
        errors=(
            (
                lambda t: t.nn.functional.celu(t.ones(1), 0),
                RuntimeError,
                "alpha cannot be 0 for CELU",
            ),
        ),
    ),
    Row(F + "silu", variants({})),
    Row(F + "mish", variants({})),
    Row(F + "softplus", variants({}, {"beta": 2, "threshold": 3})),
    Row(F + "logsigmoid", variants({})),
    Row(
        F + "gelu",
        variants({}, {"approximate": "tanh"}),
        tolerance={"float32": 1e-5},
        errors=(
            (
                lambda t: t.nn.functional.gelu(t.ones(1), approximate="no"),
                RuntimeError,
                "approximate argument must be either none or tanh.",
            ),
        ),
    ),
    *(
        Row(F + f"{name}_", variants(*arguments), REAL, exact_node=False)
        for name, *arguments in (
            ("relu", {}),
            ("leaky_relu", {"negative_slope": 0.3}),
            ("elu", {}),
            ("selu", {}),
            ("celu", {}),
            ("hardtanh", {}),
            ("threshold", {"threshold": 0.5, "value": 2}),
            ("rrelu", {"training": True}),
        )
    ),
    *softmaxes(),
]
