"""Reductions: sums, means, products, variances, extremes, truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule

from ..op_table import ALL, COMPLEX, FLOATS, INTS, Row

INEXACT = (*FLOATS, *COMPLEX)
ORDERED = ("bool", *INTS, *FLOATS)
BAD_DIM = (IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2")


def calls(*build: Callable) -> Callable:
    """Each of the functions makes one call's arguments: a tuple, or a tuple and a dict."""

    def samples(make: Any) -> Iterator:
        for f in build:
            given = f(make)
            yield given if len(given) == 2 and isinstance(given[1], dict) else (given, {})

    return samples


def over(
    *, dims: bool = True, one: bool = True, whole: bool = True, empty: bool = True
) -> Callable:
    """All elements; one dimension; several; kept or not; of 0-d, empty and larger tensors."""

    def samples(make: Any) -> Iterator:
        if whole:
            yield from (((make(shape),), {}) for shape in ((), (5,), (2, 3)))
        if whole and empty:
            yield (make((0,)),), {}
        if one:
            yield (make(), 0), {}
            yield (make((2, 3)), 1), {}
            yield (make((2, 3, 2)), -2), {"keepdim": True}
            yield (make((0, 3)), 1), {}
        if one and empty:
            yield (make((0, 3)), 0), {}
        if dims:
            yield (make((2, 3, 2)), (0, -1)), {}
            yield (make((2, 3)),), {"dim": (1, 0), "keepdim": True}

    return samples


def twice(name: str) -> tuple:
    """The error for a dimension named twice."""
    return (
        lambda t: getattr(t, name)(t.ones(2, 3), dim=(0, -2)),
        RuntimeError,
        "dim 0 appears multiple times in the list of dims",
    )


def beyond(name: str, *args: Any) -> tuple:
    """The error for a dimension that is not there."""
    return (lambda t: getattr(t, name)(t.ones(2, 3), *args, dim=2), *BAD_DIM)


def refuses_integers(name: str, text: str) -> tuple:
    """The error for integers where there is no result among them."""
    return (lambda t: getattr(t, name)(t.ones(3, dtype=t.int64)), RuntimeError, text)


def with_nan(make: Any) -> np.ndarray:
    """Two rows with a NaN in one of them, where the dtype has it."""
    x = make((2, 3))
    if x.dtype.kind in "fV":
        x[1, 1] = np.nan
    return x


def sums() -> list[Row]:
    nans = calls(
        lambda m: (with_nan(m),), lambda m: (with_nan(m), 1), lambda m: (with_nan(m), (0, 1), True)
    )
    in_double = calls(
        lambda m: ((m((2, 3)),), {"dtype": chainrule.float64}),
        lambda m: ((m((2, 3)), 1), {"dtype": chainrule.float64}),
    )
    return [
        Row("sum", over(), ALL, complex_grad=True, errors=(twice("sum"), beyond("sum"))),
        Row("sum", in_double, ("int32", "float32", "float64")),
        Row(
            "sum",
            calls(
                lambda m: ((m((2, 3)),), {"axis": 0}),
                lambda m: ((m((2, 3)),), {"axis": 1, "keepdims": True}),
                lambda m: ((m((2, 3)),), {"dtype": chainrule.int8}),
            ),
            INTS,
            grad=False,
        ),
        Row("nansum", over(), ORDERED),
        Row(
            "nansum",
            nans,
            errors=(
                (
                    lambda t: t.nansum(t.ones(2, dtype=t.complex64)),
                    RuntimeError,
                    "nansum on CPU does not support complex inputs",
                ),
            ),
        ),
        *(
            Row(name, calls(lambda m: (m((0,)),), lambda m: (m((0, 3)), 0)), grad=False)
            for name in ("mean", "nanmean")
        ),
        Row(
            "mean",
            over(empty=False),
            INEXACT,
            complex_grad=True,
            errors=(
                beyond("mean"),
                refuses_integers("mean", r"could not infer output dtype. .* Got: Long"),
                (
                    lambda t: t.mean(t.ones(2), dtype=t.int32),
                    RuntimeError,
                    "Optional dtype must be either a floating point or complex dtype. Got: Int",
                ),
            ),
        ),
        Row("mean", in_double, ("int32", "float32", "float64")),
        Row(
            "nanmean",
            over(empty=False),
            errors=(refuses_integers("nanmean", "to have floating point"),),
        ),
        Row("nanmean", nans),
        Row(
            "Tensor.sum_to_size",
            calls(
                lambda m: (m((2, 3)), 1, 3),
                lambda m: (m((2, 3)), (3,)),
                lambda m: (m((2, 3)), 2, 1),
                lambda m: (m((2, 3)), ()),
                lambda m: (m((4, 2, 3)), 1, 3),
            ),
            ALL,
            errors=(
                (lambda t: t.ones(2, 3).sum_to_size(4), RuntimeError, "is not expandable to size"),
            ),
        ),
        Row("count_nonzero", over(one=False, dims=False), ALL, grad=False),
        Row(
            "count_nonzero",
            calls(
                lambda m: (m((2, 3)), 1), lambda m: (m((2, 3)), (0, 1)), lambda m: (m((0, 3)), 0)
            ),
            ALL,
            grad=False,
        ),
    ]


def with_zeros(make: Any, *places: int) -> np.ndarray:
    """Three rows of three, zero at some flat places."""
    x = make((3, 3), 0.5, 2)
    x.reshape(-1)[list(places)] = 0
    return x


def products() -> list[Row]:
    return [
        Row("prod", over(dims=False), ALL, complex_grad=True, errors=(beyond("prod"),)),
        Row(
            "prod",
            calls(
                lambda m: (with_zeros(m, 4),),
                lambda m: (with_zeros(m, 0, 4, 5), 1),
                lambda m: (with_zeros(m, 0, 1, 2, 6), 0, True),
            ),
        ),
        Row("prod", calls(lambda m: ((m((2, 3)), 1), {"dtype": chainrule.float64})), ("float32",)),
    ]


def spreads() -> list[Row]:
    unlike = (TypeError, "")
    samples = calls(
        lambda m: (m((5,)),),
        lambda m: (m((2, 3)), False),
        lambda m: (m((2, 3)), 1),
        lambda m: (m((2, 3)), (0, 1), False),
        lambda m: (m((2, 3)), -1, True, True),
        lambda m: ((m((3, 2)),), {"dim": 0, "correction": 2}),
        lambda m: ((m((3, 2)),), {"axis": 0, "correction": 0.5, "keepdims": True}),
        lambda m: ((m((2, 3)),), {"unbiased": False}),
        lambda m: (m((0, 3)), 1),
    )
    refusal = "only support floating point and complex dtypes"
    rows = [
        Row(
            name,
            samples,
            INEXACT,
            complex_grad=True,
            errors=(
                beyond(name),
                twice(name),
                refuses_integers(name, refusal),
                (
                    lambda t, name=name: getattr(t, name)(t.ones(3), unbiased=True, correction=1),
                    *unlike,
                ),
            ),
        )
        for name in ("var", "std", "var_mean", "std_mean")
    ]
    without_freedom = calls(
        lambda m: (m(),), lambda m: (m((1,)), 0), lambda m: (m((0,)),), lambda m: (m((2, 0)), 1)
    )
    return [*rows, *(Row(r.name, without_freedom, INEXACT, grad=False) for r in rows)]


def extremes() -> list[Row]:
    ties = calls(
        lambda m: (np.array([1, 2, 2], m.dtype), 0), lambda m: (np.ones((2, 2), m.dtype), (0, 1))
    )
    nothing = (
        lambda t, name: getattr(t, name)(t.ones(0)),
        RuntimeError,
        "Specify the reduction dim with the 'dim' argument",
    )
    rows: list[Row] = []
    for name in ("amax", "amin"):
        rows += [
            Row(
                name,
                over(empty=False),
                ORDERED,
                errors=(
                    beyond(name),
                    twice(name),
                    (lambda t, name=name: nothing[0](t, name), *nothing[1:]),
                    (
                        lambda t, name=name: getattr(t, name)(t.ones(2, 0), 1),
                        IndexError,
                        "Expected reduction dim 1 to have non-zero size",
                    ),
                    (
                        lambda t, name=name: getattr(t, name)(t.ones(2, dtype=t.complex64)),
                        NotImplementedError,
                        "_values_cpu\" not implemented for 'ComplexFloat'",
                    ),
                ),
            ),
            Row(name, calls(lambda m: (with_nan(m),), lambda m: (with_nan(m), 1)), grad=False),
            Row(name, ties, grad=False),
        ]
    return [
        *rows,
        Row(
            "aminmax",
            calls(
                lambda m: (m((2, 3)),),
                lambda m: (m(),),
                lambda m: ((m((2, 3)),), {"dim": 1}),
                lambda m: ((m((2, 3)),), {"dim": -2, "keepdim": True}),
                lambda m: ((m((0, 3)),), {"dim": 1}),
            ),
            ORDERED,
            errors=((lambda t: t.aminmax(t.ones(0)), RuntimeError, "operation has no identity"),),
        ),
        Row(
            "logsumexp",
            over(whole=False, empty=False),
            (*ORDERED, *COMPLEX),
            complex_grad=True,
            errors=(beyond("logsumexp"),),
        ),
        Row(
            "logsumexp",
            calls(
                lambda m: (np.array([-np.inf, 1, 2], m.dtype), 0),
                lambda m: (np.array([np.inf, 1, 2], m.dtype), 0),
                lambda m: (np.full(2, -np.inf, m.dtype), 0),
                lambda m: (m((0, 3)), 0),
            ),
            grad=False,
        ),
    ]


def truth() -> list[Row]:
    nothing = calls(lambda m: ((m((2, 3)),), {"dim": ()}))
    return [
        row
        for name in ("any", "all")
        for row in (
            Row(name, over(), ALL, grad=False, errors=(beyond(name), twice(name))),
            Row(name, nothing, ALL, grad=False),
        )
    ]


ROWS = [*sums(), *products(), *spreads(), *extremes(), *truth()]
