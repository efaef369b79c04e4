"""Selections with their places, sorting, distinct elements, searching."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..op_table import FLOATS, INTS, Row
from .reduce import beyond, calls, with_nan

ORDERED = ("bool", *INTS, *FLOATS)
NUMBERS = (*INTS, *FLOATS)


def mixed(make: Any, *shape: int) -> np.ndarray:
    """Different numbers in random order."""
    n = int(np.prod(shape))
    order = make.random.permutation(n) - (0 if make.dtype.kind in "ub" else n // 2)
    return order.reshape(shape).astype(make.dtype)


def lines(*more: Callable, empty: tuple = (0, 3)) -> Callable:
    """One dimension of 0-d, empty and larger tensors, kept or not."""

    def samples(make: Any) -> Iterator:
        yield (make(), 0), {}
        yield (mixed(make, 5), -1), {}
        yield (mixed(make, 2, 3), 1), {}
        yield (mixed(make, 2, 3, 2), -2), {"keepdim": True}
        yield (make(empty), 1), {}
        for f in more:
            yield f(make), {}

    return samples


def equal(make: Any) -> np.ndarray:
    """Two rows with equal elements."""
    return np.array([[1, 2, 2, 0], [3, 3, 3, 3]], make.dtype)


def extremes() -> list[Row]:
    rows: list[Row] = []
    for name in ("max", "min"):

        def nothing(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(2, 0), 1)

        def everything(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(0))

        def imaginary(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(2, dtype=t.complex64), 0)

        rows += [
            Row(
                name,
                lines(),
                ORDERED,
                errors=(
                    beyond(name),
                    (nothing, IndexError, "Expected reduction dim 1 to have non-zero size"),
                    (everything, RuntimeError, "Expected reduction dim to be specified for input"),
                    (imaginary, RuntimeError, "does not support complex input"),
                ),
            ),
            Row(
                name, calls(lambda m: (m(),), lambda m: (m((5,)),), lambda m: (m((2, 3)),)), ORDERED
            ),
            Row(
                name,
                calls(
                    lambda m: (equal(m),),
                    lambda m: (equal(m), 1),
                    lambda m: (with_nan(m),),
                    lambda m: (with_nan(m), 1),
                    lambda m: ((equal(m),), {"axis": 0, "keepdims": True}),
                ),
                grad=False,
            ),
            Row(
                name,
                calls(lambda m: (m((2, 3)), m((3,))), lambda m: ((m((3,)),), {"other": m((3,))})),
                ORDERED,
            ),
        ]
    return rows


def places() -> list[Row]:
    rows: list[Row] = []
    for name in ("argmax", "argmin"):

        def truths(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(2, dtype=t.bool))

        def nothing(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(0))

        rows.append(
            Row(
                name,
                lines(
                    lambda m: (m((2, 3)),),
                    lambda m: (m(),),
                    lambda m: (m((2, 3)), None, True),
                    lambda m: (equal(m), 1),
                    lambda m: (with_nan(m), 1),
                ),
                NUMBERS,
                grad=False,
                errors=(
                    beyond(name),
                    (truths, RuntimeError, "does not support bool input"),
                    (nothing, IndexError, "Expected reduction dim to be specified"),
                ),
            )
        )
    return rows


def running() -> list[Row]:
    rows: list[Row] = []
    for name in ("cummax", "cummin"):
        row = calls(
            lambda m: (m(), 0),
            lambda m: (mixed(m, 5), 0),
            lambda m: (mixed(m, 2, 3), 1),
            lambda m: (m((0, 2)), 0),
        )
        rows += [
            Row(name, row, ORDERED, errors=(beyond(name),)),
            Row(
                name, calls(lambda m: (equal(m), 1), lambda m: (with_nan(m), 1)), FLOATS, grad=False
            ),
        ]
    return rows


def sorting() -> list[Row]:
    refusal = (
        lambda t: t.ones(2, dtype=t.complex64).sort(),
        RuntimeError,
        "does not support complex dtypes on CPU",
    )
    return [
        Row(
            "sort",
            calls(
                lambda m: (m(),),
                lambda m: (mixed(m, 5),),
                lambda m: (mixed(m, 2, 3), 0),
                lambda m: (mixed(m, 2, 3), 1, True),
                lambda m: ((mixed(m, 3, 2),), {"dim": 0, "descending": True, "stable": True}),
                lambda m: (m((0, 2)),),
            ),
            ORDERED,
            errors=(beyond("sort"), refusal),
        ),
        Row(
            "sort",
            calls(
                lambda m: (equal(m),),
                lambda m: (equal(m), 1, True),
                lambda m: (with_nan(m),),
                lambda m: (with_nan(m), 1, True),
            ),
            FLOATS,
            grad=False,
        ),
        Row("msort", calls(lambda m: (mixed(m, 4),), lambda m: (mixed(m, 3, 2),)), ORDERED),
        Row(
            "argsort",
            calls(
                lambda m: (m(),),
                lambda m: (mixed(m, 2, 3), 0),
                lambda m: (mixed(m, 2, 3), 1, True),
                lambda m: ((equal(m),), {"stable": True, "descending": True}),
            ),
            ORDERED[1:],
            grad=False,
            errors=(beyond("argsort"),),
        ),
        Row("argsort", calls(lambda m: (mixed(m, 70, 70),)), ("int32", "float64"), grad=False),
        Row(
            "topk",
            calls(
                lambda m: (m(), 1),
                lambda m: (mixed(m, 5), 2),
                lambda m: (mixed(m, 2, 4), 3, 1, False),
                lambda m: ((mixed(m, 4, 2), 2), {"dim": 0}),
                lambda m: (mixed(m, 5), 0),
            ),
            NUMBERS,
            errors=(
                (lambda t: t.ones(3).topk(4), RuntimeError, "selected index k out of range"),
                (lambda t: t.ones(3).topk(-1), RuntimeError, "selected index k out of range"),
                (
                    lambda t: t.ones(3, dtype=t.bool).topk(1),
                    RuntimeError,
                    "topk does not support bool dtypes on CPU",
                ),
            ),
        ),
        Row(
            "topk",
            calls(
                lambda m: (mixed(m, 5000), 3),
                lambda m: (mixed(m, 5000), 3, 0, False),
                lambda m: (equal(m), 2),
                lambda m: (equal(m), 3, 1, False),
                lambda m: (np.zeros((20, 2), m.dtype), 3, 0),
                lambda m: (np.ones(40, m.dtype), 30),
                lambda m: ((np.ones(40, m.dtype), 20), {"sorted": False}),
            ),
            ("int32", "float64"),
            grad=False,
        ),
    ]


def order_statistics() -> list[Row]:
    whole = calls(lambda m: (m(),), lambda m: (m((5,)),), lambda m: (m((2, 4)),))
    rows: list[Row] = []
    for name in ("median", "nanmedian"):

        def truths(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(2, dtype=t.bool))

        def nothing(t: Any, name: str = name) -> Any:
            return getattr(t, name)(t.ones(2, 0), 1)

        rows += [
            Row(
                name,
                lines(lambda m: (mixed(m, 3, 4), 1)),
                NUMBERS,
                errors=(
                    beyond(name),
                    (truths, NotImplementedError, "\"median_cpu\" not implemented for 'Bool'"),
                    (nothing, IndexError, "Expected reduction dim 1 to have non-zero size"),
                ),
            ),
            Row(name, whole, NUMBERS),
            Row(
                name,
                calls(
                    lambda m: (with_nan(m),),
                    lambda m: (with_nan(m), 1),
                    lambda m: (m((0,)),),
                    lambda m: (np.full((2, 2), np.nan, m.dtype),),
                    lambda m: (np.full((2, 2), np.nan, m.dtype), 1),
                ),
                FLOATS,
                grad=False,
            ),
        ]
    return [
        *rows,
        Row(
            "mode",
            lines(lambda m: (equal(m),), lambda m: (np.array([2, 1, 2, 1, 0], m.dtype),)),
            ORDERED,
            grad=False,
            errors=(beyond("mode"),),
        ),
        Row("mode", calls(lambda m: (mixed(m, 5),), lambda m: (mixed(m, 2, 3), 0, True))),
        Row(
            "kthvalue",
            calls(
                lambda m: (m(), 1),
                lambda m: (mixed(m, 5), 2),
                lambda m: (mixed(m, 2, 3), 3, 1),
                lambda m: (mixed(m, 2, 3), 1, 0, True),
                lambda m: (m((0, 3)), 1, 1),
            ),
            NUMBERS,
            errors=(
                (
                    lambda t: t.ones(3).kthvalue(4),
                    RuntimeError,
                    r"kthvalue\(\): selected number k out of range for dimension 0",
                ),
                (lambda t: t.ones(3).kthvalue(1, 1), IndexError, "Dimension out of range"),
            ),
        ),
        Row(
            "kthvalue",
            calls(
                lambda m: (equal(m), 2),
                lambda m: (m.ints((30,), 0, 3).astype(m.dtype), 12),
                lambda m: (m.ints((9, 2), 0, 3).astype(m.dtype), 5, 0),
            ),
            ("int32", "float64"),
            grad=False,
        ),
    ]


def distinct() -> list[Row]:
    rows = np.array([[1, 2], [1, 2], [0, 1], [1, 2]])
    return [
        Row(
            "unique",
            calls(
                lambda m: (m(),),
                lambda m: (equal(m),),
                lambda m: (equal(m), True, True, True),
                lambda m: ((equal(m),), {"return_counts": True}),
                lambda m: ((rows.astype(m.dtype),), {"dim": 0}),
                lambda m: (rows.astype(m.dtype), True, True, True, 0),
                lambda m: (rows.astype(m.dtype), True, True, True, -1),
                lambda m: ((m((0,)),), {"return_inverse": True}),
                lambda m: ((m((2, 0, 3)),), {"dim": 1}),
                lambda m: (with_nan(m), True, True, True),
            ),
            ORDERED,
            grad=False,
            errors=(
                (lambda t: t.unique(t.ones(()), dim=0), IndexError, "tensor has no dimensions"),
                (
                    lambda t: t.unique(t.ones(2, 0, 3), dim=0),
                    RuntimeError,
                    "There are 0 sized dimensions, and they aren't selected",
                ),
                (
                    lambda t: t.unique(t.ones(2, dtype=t.complex64)),
                    NotImplementedError,
                    "\"unique\" not implemented for 'ComplexFloat'",
                ),
                (
                    lambda t: t.unique(t.ones(2, requires_grad=True)).sum().backward(),
                    NotImplementedError,
                    "the derivative for '_unique2' is not implemented",
                ),
            ),
        ),
        Row(
            "unique_consecutive",
            calls(
                lambda m: (m(),),
                lambda m: (equal(m),),
                lambda m: (equal(m), True, True),
                lambda m: (rows.astype(m.dtype), True, True, 0),
                lambda m: ((m((0,)),), {"return_counts": True}),
            ),
            ORDERED,
            grad=False,
        ),
    ]


def searching() -> list[Row]:
    edges = np.array([1, 3, 5, 5, 7])
    return [
        Row(
            "searchsorted",
            calls(
                lambda m: (edges.astype(m.dtype), m((2, 3), 0, 8)),
                lambda m: ((edges.astype(m.dtype), m((4,), 0, 8)), {"right": True}),
                lambda m: ((edges.astype(m.dtype), 5), {"side": "right"}),
                lambda m: ((edges.astype(m.dtype), m((), 0, 8)), {"out_int32": True}),
                lambda m: (np.sort(mixed(m, 2, 3)), m((2, 4))),
                lambda m: (
                    (edges[::-1].astype(m.dtype), m((3,), 0, 8)),
                    {"sorter": np.arange(5)[::-1].copy()},
                ),
                lambda m: (m((0,)), m((3,))),
            ),
            NUMBERS,
            grad=False,
            errors=(
                (
                    lambda t: t.searchsorted(t.ones(2), t.ones(2), side="up"),
                    RuntimeError,
                    "side can only be 'left' or 'right' but got up",
                ),
                (
                    lambda t: t.searchsorted(t.ones(2), t.ones(2), side="left", right=True),
                    RuntimeError,
                    "side and right can't be set to opposites",
                ),
                (
                    lambda t: t.searchsorted(t.ones(2, 3), t.ones(3)),
                    RuntimeError,
                    "boundaries tensor should be 1 dimension or the first N-1 dimensions",
                ),
                (
                    lambda t: t.searchsorted(t.ones(2, 3), 1.0),
                    RuntimeError,
                    "input value can be a scalar only when boundaries tensor dimension is 1",
                ),
                (
                    lambda t: t.searchsorted(t.ones(()), t.ones(3)),
                    RuntimeError,
                    "boundaries tensor should have positive dimension",
                ),
                (
                    lambda t: t.searchsorted(t.ones(3), t.ones(3), sorter=t.tensor([0, 1, 5])),
                    RuntimeError,
                    "sorter index out of range",
                ),
            ),
        ),
        Row(
            "bucketize",
            calls(
                lambda m: (m((2, 3), 0, 8), edges.astype(m.dtype)),
                lambda m: ((m((3,), 0, 8), edges.astype(m.dtype)), {"right": True}),
                lambda m: ((4, edges.astype(m.dtype)), {"out_int32": True}),
            ),
            NUMBERS,
            grad=False,
            errors=(
                (
                    lambda t: t.bucketize(t.ones(2), t.ones(2, 2)),
                    RuntimeError,
                    r"boundaries tensor must be 1 dimension, but got dim\(2\)",
                ),
            ),
        ),
        Row(
            "isin",
            calls(
                lambda m: (m((2, 3)), m((4,))),
                lambda m: (equal(m), np.array([2, 3], m.dtype)),
                lambda m: (equal(m), 2),
                lambda m: (2, equal(m)),
                lambda m: ((equal(m), np.array([2, 3], m.dtype)), {"invert": True}),
                lambda m: (equal(m), m((0,))),
            ),
            NUMBERS,
            grad=False,
            errors=(
                (
                    lambda t: t.isin(t.ones(2, dtype=t.complex64), t.ones(2)),
                    RuntimeError,
                    "Unsupported input type encountered for isin",
                ),
            ),
        ),
    ]


ROWS = [
    *extremes(),
    *places(),
    *running(),
    *sorting(),
    *order_statistics(),
    *distinct(),
    *searching(),
]
