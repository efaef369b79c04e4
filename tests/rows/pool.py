"""Pooling: maximum, mean and norm over windows and over parts; unpooling."""

from __future__ import annotations

import numpy as np

from ..op_table import FLOATS, INTS, REAL, Row
from .conv import LOOSE, F, refused
from .reduce import calls

KINDS = {"tolerance": LOOSE, "exact_node": False}


def maxima() -> list[Row]:
    one = calls(
        lambda m: (m((2, 3, 6)), 2),
        lambda m: (m((2, 7)), 3, 2, 1),
        lambda m: ((m((1, 2, 7)), 3), {"dilation": 2, "stride": 1, "return_indices": True}),
        lambda m: ((m((1, 2, 6)), 3, 2), {"ceil_mode": True, "return_indices": True}),
    )
    two = calls(
        lambda m: (m((2, 3, 4, 5)), 2),
        lambda m: (m((3, 4, 5)), (2, 3), (1, 2), (1, 0)),
        lambda m: ((m((1, 2, 5, 5)), 3, 2, 1, 1, True), {"return_indices": True}),
        lambda m: ((m((1, 2, 6, 5)), 2), {"dilation": (2, 3)}),
        lambda m: (m((0, 2, 4, 4)), 2),
        lambda m: ((np.full((1, 1, 2, 2), -2).astype(m.dtype), 2, 2, 1), {"return_indices": True}),
    )
    three = calls(
        lambda m: (m((1, 2, 4, 3, 4)), 2),
        lambda m: ((m((2, 3, 3, 4)), 2, 1, 1), {"return_indices": True}),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 2, 2), 3),
            r"Calculated output size: \(1x0x0\). Output size is too small",
        ),
        refused(
            lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 4, 4), 2, padding=2),
            "pad should be at most half of effective kernel size",
        ),
        refused(
            lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 4, 4), 2, 0),
            "stride should not be zero",
        ),
        refused(
            lambda t: t.nn.functional.max_pool2d(t.ones(2, 2), 2), "non-empty 3D or 4D .* expected"
        ),
        refused(
            lambda t: t.nn.functional.max_pool2d(t.ones(1, 2, 2), (1, 1, 1)),
            "kernel_size must either be a single int, or a tuple of two ints",
        ),
    )
    rows = [
        Row(F + "max_pool1d", one, FLOATS, exact_node=False),
        Row(F + "max_pool2d", two, FLOATS, errors=errors),
        Row(F + "max_pool2d", two, INTS, grad=False),
        Row(F + "max_pool3d", three, FLOATS),
    ]
    for n, shape in ((1, (2, 6)), (2, (2, 4, 6)), (3, (1, 4, 2, 4))):
        both = calls(lambda m, shape=shape: (m(shape), 2))
        rows.append(Row(f"{F}max_pool{n}d_with_indices", both, REAL, exact_node=False))
    return rows


def means() -> list[Row]:
    one = calls(
        lambda m: (m((2, 3, 6)), 2),
        lambda m: (m((2, 7)), 3, 2, 1, True, False),
    )
    two = calls(
        lambda m: (m((2, 3, 4, 5)), 2),
        lambda m: (m((3, 4, 5)), (2, 3), (1, 2), (1, 0)),
        lambda m: (m((1, 2, 5, 4)), 3, 2, 1, True),
        lambda m: (m((1, 2, 5, 4)), 3, 2, 1, True, False),
        lambda m: ((m((1, 2, 4, 4)), 2), {"divisor_override": 3}),
    )
    three = calls(
        lambda m: (m((1, 2, 4, 3, 4)), 2),
        lambda m: (m((2, 3, 3, 4)), 2, 1, 1, False, False),
    )
    norms = [
        calls(
            lambda m, shape=shape: (m(shape, 0.5, 2), 2, 2),
            lambda m, shape=shape: (m(shape, 0.5, 2), 3.0, 2, 1, True),
            lambda m, shape=shape: (m(shape), float("inf"), 2),
        )
        for shape in ((2, 3, 5), (1, 3, 4, 5), (1, 2, 3, 2, 3))
    ]
    zero = refused(
        lambda t: t.nn.functional.avg_pool2d(t.ones(1, 1, 4, 4), 2, divisor_override=0),
        "divisor must be not zero",
    )
    return [
        Row(F + "avg_pool1d", one, FLOATS, **KINDS),
        Row(F + "avg_pool2d", two, FLOATS, errors=(zero,), **KINDS),
        Row(F + "avg_pool2d", two, ("int64",), grad=False),
        Row(F + "avg_pool3d", three, REAL, **KINDS),
        *(Row(f"{F}lp_pool{i}d", norm, REAL, **KINDS) for i, norm in enumerate(norms, 1)),
    ]


def adaptive() -> list[Row]:
    rows = []
    for n, shape in ((1, (2, 3, 7)), (2, (2, 3, 5, 7)), (3, (1, 2, 3, 5, 4))):
        sizes = calls(
            lambda m, shape=shape: (m(shape), 3),
            lambda m, shape=shape: (m(shape), 1),
            lambda m, shape=shape: (m(shape[1:]), 2),
            lambda m, shape=shape, n=n: (m(shape), [8] * n),
        )
        both = calls(
            lambda m, shape=shape: ((m(shape), 3), {"return_indices": True}),
            lambda m, shape=shape: (m(shape[1:]), 2),
        )
        indices = calls(lambda m, shape=shape: (m(shape), 2))
        rows += [
            Row(f"{F}adaptive_avg_pool{n}d", sizes, ("float16", *REAL), **KINDS),
            Row(f"{F}adaptive_max_pool{n}d", both, FLOATS, exact_node=False),
            Row(f"{F}adaptive_max_pool{n}d_with_indices", indices, REAL, exact_node=False),
        ]
    kept = calls(lambda m: (m((1, 2, 3, 5)), (None, 2)))
    negative = refused(
        lambda t: t.nn.functional.adaptive_avg_pool2d(t.ones(1, 2, 2), -1),
        "elements of output_size must be greater than or equal to 0",
    )
    hollow = refused(
        lambda t: t.nn.functional.adaptive_avg_pool2d(t.ones(1, 2, 0), 2),
        "non-zero size for non-batch dimensions",
    )
    return [
        *rows,
        Row(F + "adaptive_avg_pool2d", kept, REAL, errors=(negative, hollow), **KINDS),
    ]


def unpooled() -> list[Row]:
    one = calls(
        lambda m: (m((2, 3)), np.array([[0, 3, 5], [1, 2, 4]]), 2),
        lambda m: (m((1, 2, 2)), np.array([[[0, 3], [1, 2]]]), 2, 2, 0, (5,)),
    )
    two = calls(
        lambda m: (m((1, 2, 2)), np.array([[[0, 3], [9, 14]]]), 2),
        lambda m: (m((1, 1, 1, 2)), np.array([[[[0, 7]]]]), (2, 2), None, 0, (1, 1, 3, 4)),
    )
    three = calls(lambda m: (m((1, 1, 1, 2)), np.array([[[[3, 8]]]]), 2))
    outside = refused(
        lambda t: t.nn.functional.max_unpool2d(t.ones(1, 1, 1), t.full((1, 1, 1), 9), 2),
        "Found an invalid max index: 9",
    )
    far = refused(
        lambda t: t.nn.functional.max_unpool2d(
            t.ones(1, 1, 1), t.zeros(1, 1, 1, dtype=t.int64), 2, output_size=(9, 9)
        ),
        "invalid output_size",
        ValueError,
    )
    return [
        Row(F + "max_unpool1d", one, FLOATS, exact_node=False),
        Row(F + "max_unpool2d", two, FLOATS, errors=(outside, far)),
        Row(F + "max_unpool3d", three, FLOATS),
    ]


ROWS = [*maxima(), *means(), *adaptive(), *unpooled()]
