"""Norms and distances."""

from __future__ import annotations

import numpy as np

import chainrule

from ..op_table import COMPLEX, FLOATS, REAL, Row
from .reduce import beyond, calls

INEXACT = (*FLOATS, *COMPLEX)
ORDERS = (0, 0.5, 1, 1.5, 2, 3, -1, float("inf"), float("-inf"))


def norms() -> list[Row]:
    of_orders = calls(
        *(lambda m, p=p: (m((2, 3), 0.5, 2), p) for p in ORDERS),
        *(lambda m, p=p: (m((2, 3), 0.5, 2), p, 1) for p in ORDERS[2:6]),
        lambda m: (m((2, 3)), 2, (0, 1), True),
        lambda m: (m(), 2),
        lambda m: (m((0, 2)), 2, 1),
    )
    widened = calls(lambda m: ((m((2, 3)), 2, 1), {"dtype": chainrule.float64}))
    not_real = (
        lambda t: t.linalg.vector_norm(t.ones(2), dtype=t.complex64),
        RuntimeError,
        "dtype should be real for real inputs, but got ComplexFloat",
    )
    narrower = (
        lambda t: t.linalg.vector_norm(t.ones(2, dtype=t.float64), dtype=t.float32),
        RuntimeError,
        "should be convertible without narrowing to the specified dtype",
    )
    nothing = (
        lambda t: t.linalg.vector_norm(t.ones(0), t.inf),
        RuntimeError,
        "cannot compute the inf norm on an empty tensor",
    )
    whole = (
        lambda t: t.norm(t.ones(2, dtype=t.int64)),
        RuntimeError,
        "Expected a floating point or complex tensor as input. Got Long",
    )
    zeros = calls(*(lambda m, p=p: (np.zeros(3, m.dtype), p) for p in ORDERS[1:6]))
    loose = {"gradient": 1e-5}
    return [
        Row("norm", of_orders, INEXACT, tolerance=loose, errors=(beyond("norm"), whole)),
        Row(
            "norm",
            calls(
                lambda m: (m((2, 3)),),
                lambda m: (m((2, 3)), "fro"),
                lambda m: (m((2, 3)), "fro", 1),
                lambda m: ((m((2, 3)),), {"p": None, "dim": (0, 1)}),
            ),
            INEXACT,
            complex_grad=True,
        ),
        Row("norm", widened, ("float32",)),
        Row("norm", zeros, grad=False),
        Row(
            "linalg.vector_norm",
            of_orders,
            INEXACT,
            tolerance=loose,
            errors=(
                not_real,
                narrower,
                nothing,
                (lambda t: t.linalg.vector_norm(t.ones(2), "fro"), TypeError, "must be Number"),
            ),
        ),
        Row(
            "nn.functional.normalize",
            calls(
                lambda m: (m((2, 3)),),
                lambda m: ((m((2, 3)),), {"p": 1, "dim": 0}),
                lambda m: ((m((4,)),), {"dim": 0, "eps": 1e-3}),
                lambda m: ((np.zeros((1, 2), m.dtype),), {"p": 3.0}),
            ),
            INEXACT,
            exact_node=False,
            grad=False,
        ),
        Row("nn.functional.normalize", calls(lambda m: (m((2, 3)),)), complex_grad=True),
        Row(
            "norm_except_dim",
            calls(
                lambda m: (m((2, 3, 2)),),
                lambda m: (m((2, 3, 2)), 1, 1),
                lambda m: (m((2, 3)), 2, -1),
            ),
            REAL,
            exact_node=False,
        ),
        Row(
            "renorm",
            calls(
                lambda m: (m((3, 4)), 2, 0, 1.0),
                lambda m: (m((3, 4)), 1, 1, 2.0),
                lambda m: (m((2, 2, 3)), float("inf"), -1, 0.5),
                lambda m: (m((2, 3)), 2, 0, 100.0),
            ),
            INEXACT,
            complex_grad=True,
            tolerance={"gradient": 1e-5},
            errors=(
                (lambda t: t.renorm(t.ones(2, 2), -1, 0, 1.0), RuntimeError, "non-positive-norm"),
                (lambda t: t.renorm(t.ones(2, 2), 2, 0, -1.0), RuntimeError, "maxnorm to be >= 0"),
                (lambda t: t.renorm(t.ones(2), 2, 0, 1.0), RuntimeError, "at least 2 dimensions"),
            ),
        ),
    ]


def distances() -> list[Row]:
    loose = {"gradient": 1e-5}
    mixed = (
        lambda t: t.cdist(t.ones(2, 2), t.ones(2, 2, dtype=t.float64)),
        RuntimeError,
        "expected scalar type Float but found Double",
    )
    return [
        Row(
            "dist",
            calls(
                *(lambda m, p=p: (m((2, 3)), m((2, 3)), p) for p in ORDERS[:6]),
                lambda m: (m((2, 3)), m((3,))),
                lambda m: (m((4,)), m((4,)), float("inf")),
            ),
            INEXACT,
            tolerance=loose,
            errors=(
                (
                    lambda t: t.dist(t.ones(2, dtype=t.int64), t.ones(2, dtype=t.int64)),
                    RuntimeError,
                    "input dtype should be either floating point or complex. Got Long",
                ),
            ),
        ),
        Row(
            "nn.functional.pairwise_distance",
            calls(
                lambda m: (m((2, 3)), m((2, 3))),
                lambda m: (m((2, 3)), m((3,)), 1.0),
                lambda m: ((m((4,)), m((4,))), {"p": 3.0, "eps": 1e-3, "keepdim": True}),
            ),
            (*FLOATS, "int32", *COMPLEX),
            tolerance=loose,
        ),
        Row("pairwise_distance", calls(lambda m: (m((2, 3)), m((2, 3)))), REAL),
        Row(
            "nn.functional.cosine_similarity",
            calls(
                lambda m: (m((2, 3)), m((2, 3))),
                lambda m: (m((2, 3)), m((3,)), -1),
                lambda m: ((m((2, 3)), m((2, 1))), {"dim": 0}),
                lambda m: ((m((4,)), m((4,))), {"dim": 0, "eps": 1e-3}),
            ),
            REAL,
            errors=(
                (
                    lambda t: t.cosine_similarity(t.ones(3), t.ones(3)),
                    IndexError,
                    "Dimension out of range",
                ),
                (
                    lambda t: t.cosine_similarity(t.tensor([[1]]), t.tensor([[1]])),
                    RuntimeError,
                    "expected common dtype to be floating point, yet common dtype is Long",
                ),
            ),
        ),
        Row(
            "nn.functional.cosine_similarity",
            calls(lambda m: (np.zeros((1, 3), m.dtype), m((1, 3)))),
            REAL,
            grad=False,
        ),
        Row(
            "nn.functional.cosine_similarity",
            calls(lambda m: (m((2, 3), 0.5, 2), m((2, 3), 0.5, 2))),
            FLOATS[:2],
            tolerance={"float16": 4e-3, "bfloat16": 3e-2},
        ),
        Row("cosine_similarity", calls(lambda m: (m((2, 3)), m((2, 3)))), REAL),
        Row(
            "cdist",
            calls(
                *(lambda m, p=p: (m((3, 4)), m((2, 4)), p) for p in (0, 0.5, 1, 1.5, 2, 3)),
                lambda m: (m((3, 2)), m((2, 2)), float("inf")),
                lambda m: (m((2, 3, 2)), m((2, 4, 2))),
                lambda m: (m((2, 1, 3, 2)), m((4, 2))),
                lambda m: (m((0, 2)), m((3, 2))),
                lambda m: (m((2, 0)), m((3, 0))),
                lambda m: (
                    (m((3, 2)), m((2, 2))),
                    {"compute_mode": "donot_use_mm_for_euclid_dist"},
                ),
            ),
            REAL,
            tolerance=loose,
            errors=(
                mixed,
                (lambda t: t.cdist(t.ones(2), t.ones(2, 2)), RuntimeError, "X1 got: 1D"),
                (lambda t: t.cdist(t.ones(2, 2), t.ones(2, 3)), RuntimeError, "X1: 2 X2: 3"),
                (lambda t: t.cdist(t.ones(2, 2), t.ones(2, 2), -1.0), RuntimeError, "non-negative"),
                (
                    lambda t: t.cdist(t.ones(2, 2), t.ones(2, 2), compute_mode="fast"),
                    ValueError,
                    "fast is not a valid value for compute_mode",
                ),
            ),
        ),
        Row(
            "cdist",
            calls(
                lambda m: (m((26, 2)), m((3, 2))),
                lambda m: ((m((3, 2)), m((2, 2))), {"compute_mode": "use_mm_for_euclid_dist"}),
            ),
            REAL,
            tolerance={"float32": 1e-5, "gradient": 1e-5},
            exact_node=False,
        ),
        Row(
            "pdist",
            calls(
                *(lambda m, p=p: (m((4, 3)), p) for p in (0, 1, 1.5, 2, 3, float("inf"))),
                lambda m: (m((1, 3)),),
                lambda m: (m((3, 0)),),
            ),
            REAL,
            tolerance=loose,
            errors=(
                (lambda t: t.pdist(t.ones(3)), RuntimeError, "only supports 2D tensors, got: 1D"),
                (lambda t: t.pdist(t.ones(3, 2), -1.0), RuntimeError, "non-negative p values"),
            ),
        ),
        Row("nn.functional.pdist", calls(lambda m: (m((3, 2)),)), REAL),
    ]


ROWS = [*norms(), *distances()]
