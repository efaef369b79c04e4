"""Quantiles, counts and histograms, covariance and correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op_table import COMPLEX, INTS, REAL, Row
from .reduce import calls, with_nan
from .sort import mixed


def fractions(make: Any) -> np.ndarray:
    """Three quantiles to ask for."""
    return make.constant((3,), 0.05, 0.95)


def quantiles() -> list[Row]:
    rows: list[Row] = []
    for name in ("quantile", "nanquantile"):

        def refused(call: Any, text: str, name: str = name) -> tuple:
            return (lambda t: call(getattr(t, name), t), RuntimeError, text)

        rows += [
            Row(
                name,
                calls(
                    lambda m: (mixed(m, 2, 3), 0.3),
                    lambda m: (mixed(m, 2, 3), 0.8, 1),
                    lambda m: (mixed(m, 3, 2, 2), 0.5, -3, True),
                    lambda m: (mixed(m, 2, 3), fractions(m)),
                    lambda m: (mixed(m, 2, 3), fractions(m), 0, True),
                    lambda m: (mixed(m, 5), m((), 0.1, 0.9)),
                    lambda m: (mixed(m, 2, 5), m((2,), 0.1, 0.9), 1),
                    lambda m: (m(), 0.4),
                    lambda m: ((mixed(m, 5), 0.3), {"interpolation": "lower"}),
                    lambda m: ((mixed(m, 5), 0.3), {"interpolation": "higher"}),
                    lambda m: ((mixed(m, 5), 0.3), {"interpolation": "nearest"}),
                    lambda m: ((mixed(m, 5), 0.3), {"interpolation": "midpoint"}),
                ),
                REAL,
                errors=(
                    refused(lambda f, t: f(t.ones(2), 1.5), r"must be in the range \[0, 1\] but"),
                    refused(lambda f, t: f(t.ones(2), t.ones(1, 1)), "must be a scalar or 1D"),
                    refused(lambda f, t: f(t.ones(2), 2 * t.ones(1)), "values must be in"),
                    refused(lambda f, t: f(t.ones(0), 0.5), "must be non-empty"),
                    refused(lambda f, t: f(t.ones(2).half(), 0.5), "either float or double dtype"),
                    refused(
                        lambda f, t: f(t.ones(2), t.ones(1, dtype=t.float64)),
                        "q tensor must be same dtype",
                    ),
                    refused(
                        lambda f, t: f(t.ones(2), 0.5, interpolation="cubic"),
                        "interpolation must be one of linear, lower, higher, midpoint or nearest",
                    ),
                ),
            ),
            Row(
                name,
                calls(
                    lambda m: (with_nan(m), 0.4),
                    lambda m: (with_nan(m), fractions(m), 1),
                    lambda m: (np.full((2, 2), np.nan, m.dtype), 0.5, 0),
                ),
                REAL,
                grad=False,
            ),
        ]
    return rows


def counts() -> list[Row]:
    edges = np.array([-2, -0.5, 0, 1.5])
    bad_bins = (lambda t: t.histc(t.ones(2), 0), RuntimeError, "bins must be > 0, but got 0")
    return [
        Row(
            "bincount",
            calls(
                lambda m: (m.ints((8,)),),
                lambda m: ((m.ints((4,)),), {"minlength": 7}),
                lambda m: (m.ints((6,)), m.constant((6,))),
                lambda m: ((m.ints((0,)),), {"minlength": 2}),
            ),
            (*REAL, "int32"),
            grad=False,
            errors=(
                (lambda t: t.bincount(t.tensor([-1])), RuntimeError, "1-d non-negative integral"),
                (lambda t: t.bincount(t.tensor([[1]])), RuntimeError, "1-d non-negative integral"),
                (lambda t: t.bincount(t.tensor([1.0])), NotImplementedError, "bincount_cpu"),
                (
                    lambda t: t.bincount(t.tensor([1, 2]), t.ones(1)),
                    RuntimeError,
                    "weights should be 1-d and have the same length as input",
                ),
                (lambda t: t.bincount(t.tensor([1]), None, -1), RuntimeError, "minlength"),
            ),
        ),
        Row(
            "histc",
            calls(
                lambda m: (m((20,)),),
                lambda m: (m((4, 5)), 6),
                lambda m: (m((20,)), 5, -1, 1.5),
                lambda m: (np.ones(3, m.dtype), 4),
                lambda m: ((m((0,)),), {"bins": 3}),
                lambda m: (with_nan(m), 3, -2, 2),
            ),
            grad=False,
            errors=(
                bad_bins,
                (lambda t: t.histc(t.ones(2), 3, 2, 1), RuntimeError, "max must be larger"),
                (lambda t: t.histc(t.tensor([1, t.inf]), 3), RuntimeError, "is not finite"),
                (lambda t: t.histc(t.ones(2, dtype=t.int64), 3), NotImplementedError, "'Long'"),
            ),
        ),
        Row(
            "histogram",
            calls(
                lambda m: (m((20,)), 4),
                lambda m: ((m((4, 5)), 5), {"range": (-1.0, 1.5)}),
                lambda m: (m((20,)), edges.astype(m.dtype)),
                lambda m: ((m((20,)), 4), {"weight": m((20,), 0, 1), "density": True}),
                lambda m: ((m((20,)), edges.astype(m.dtype)), {"density": True}),
                lambda m: (np.ones(3, m.dtype), 4),
                lambda m: (m((0,)), 3),
            ),
            REAL,
            grad=False,
            errors=(
                (lambda t: t.histogram(t.ones(2), 0), RuntimeError, "bins must be > 0, but got 0"),
                (
                    lambda t: t.histogram(t.ones(2), 3, range=(2.0, 1.0)),
                    RuntimeError,
                    "min should not exceed max, but got min 2 max 1 for dimension 0",
                ),
                (
                    lambda t: t.histogram(t.ones(2), t.ones(0)),
                    RuntimeError,
                    "bins tensor should have at least 1 element",
                ),
                (
                    lambda t: t.histogram(t.tensor([1, t.nan]), 3),
                    RuntimeError,
                    "dimension 0's range .* is not finite",
                ),
                (
                    lambda t: t.histogram(t.ones(2, dtype=t.int64), 3),
                    NotImplementedError,
                    "\"histogramdd\" not implemented for 'Long'",
                ),
            ),
        ),
        Row(
            "histogramdd",
            calls(
                lambda m: (m((20, 2)), [3, 2]),
                lambda m: ((m((20, 2)), 2), {"range": [-1.0, 1.0, -2.0, 0.5], "density": True}),
                lambda m: ((m((20, 1)), [edges.astype(m.dtype)]), {"weight": m((20,), 0, 1)}),
            ),
            REAL,
            grad=False,
        ),
    ]


def covariance() -> list[Row]:
    return [
        Row(
            "cov",
            calls(
                lambda m: (m((5,)),),
                lambda m: (m((3, 4)),),
                lambda m: ((m((2, 4)),), {"correction": 0}),
            ),
            (*INTS, *REAL, *COMPLEX),
            complex_grad=True,
            exact_node=False,
            tolerance={"float32": 1e-5, "complex64": 1e-5},
            errors=(
                (lambda t: t.cov(t.ones(2, 2, 2)), RuntimeError, "two or fewer dimensions"),
                (lambda t: t.cov(t.ones(2, dtype=t.bool)), RuntimeError, "bool dtype is not"),
                (
                    lambda t: t.cov(t.ones(2, 3), fweights=t.ones(3)),
                    RuntimeError,
                    "expected fweights to have integral dtype but got fweights with Float dtype",
                ),
                (
                    lambda t: t.cov(t.ones(2, 3), aweights=-t.ones(3)),
                    RuntimeError,
                    "aweights cannot be negative",
                ),
                (
                    lambda t: t.cov(t.ones(2, 3), aweights=t.ones(2)),
                    RuntimeError,
                    "to have the same numel as there are observations in the input but got 2 != 3",
                ),
            ),
        ),
        Row(
            "cov",
            calls(
                lambda m: ((m((2, 3)),), {"fweights": np.array([1, 3, 2])}),
                lambda m: ((m((2, 3)),), {"aweights": m.constant((3,), 0.5, 2)}),
                lambda m: (
                    (m((2, 3)),),
                    {"fweights": np.array([1, 3, 2]), "aweights": m.constant((3,), 0.5, 2)},
                ),
                lambda m: ((m((2, 3)),), {"aweights": m((3,), 0.5, 2)}),
            ),
            REAL,
            exact_node=False,
            tolerance={"float32": 1e-5},
        ),
        Row(
            "corrcoef",
            calls(lambda m: (m((5,)),), lambda m: (m((3, 4)),), lambda m: (m((2, 5)),)),
            (*REAL, *COMPLEX),
            exact_node=False,
            tolerance={"float32": 1e-5, "complex64": 1e-5, "gradient": 1e-4},
            errors=(
                (lambda t: t.corrcoef(t.ones(2, 2, 2)), RuntimeError, "two or fewer dimensions"),
            ),
        ),
    ]


ROWS = [*quantiles(), *counts(), *covariance()]
