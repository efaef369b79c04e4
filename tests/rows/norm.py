"""Normalization and attention."""

from __future__ import annotations

import numpy as np

from ..op_table import COMPLEX, FLOATS, REAL, Row
from .conv import LOOSE, F, refused
from .reduce import calls

LOOSER = {
    **LOOSE,
    "float16": 1e-2,
    "bfloat16": 8e-2,
    "float32": 4e-5,
    "float64": 1e-12,
    "complex64": 4e-5,
    "complex128": 1e-12,
    "gradient": 2e-5,
}
KINDS = {"tolerance": LOOSER, "exact_node": False}


def batch() -> list[Row]:
    training = calls(
        lambda m: ((m((4, 3)), None, None), {"training": True}),
        lambda m: ((m((2, 3, 4)), None, None, m((3,)), m((3,))), {"training": True}),
        lambda m: ((m((2, 3, 2, 2)), None, None, m((3,))), {"training": True, "eps": 0.1}),
        lambda m: ((m((0, 3)), None, None), {"training": True}),
    )
    frozen = calls(
        lambda m: (m((4, 3)), m.constant((3,)), m.constant((3,), 0.5, 2), m((3,)), m((3,))),
        lambda m: (m((2, 3, 4)), m.constant((3,)), m.constant((3,), 0.5, 2)),
        lambda m: (m((0, 3)), m.constant((3,)), m.constant((3,), 0.5, 2)),
    )
    plain = calls(
        lambda m: (m((4, 3)), m((3,)), m((3,)), None, None, True, 0.1, 1e-5, False),
        lambda m: (
            *(m((2, 3, 2)), None, None, m.constant((3,)), m.constant((3,), 0.5, 2)),
            *(False, 0.1, 1e-5, False),
        ),
    )
    native = calls(
        lambda m: (m((4, 3)), m((3,)), m((3,)), None, None, True, 0.1, 1e-5),
        lambda m: (
            *(m((2, 3, 2)), None, None, m.constant((3,)), m.constant((3,), 0.5, 2)),
            *(False, 0.1, 1e-5),
        ),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.batch_norm(t.ones(1, 3), None, None, training=True),
            "Expected more than 1 value per channel when training",
            ValueError,
        ),
        refused(
            lambda t: t.nn.functional.batch_norm(t.ones(2, 3), None, None),
            "running_mean must be defined in evaluation mode",
        ),
        refused(
            lambda t: t.nn.functional.batch_norm(t.ones(2, 3), t.ones(4), t.ones(4)),
            "running_mean should contain 3 elements not 4",
        ),
        refused(
            lambda t: t.nn.functional.batch_norm(t.ones(2, 3), t.ones(3), t.ones(3), t.ones(4)),
            "weight should contain 3 elements not 4",
        ),
    )
    return [
        Row(F + "batch_norm", training, ("float16", *REAL), errors=errors, **KINDS),
        Row(F + "batch_norm", frozen, REAL, **KINDS),
        Row("batch_norm", plain, REAL, **KINDS),
        Row("native_batch_norm", native, REAL, **KINDS),
    ]


def instance() -> list[Row]:
    samples = calls(
        lambda m: (m((2, 3, 4)),),
        lambda m: ((m((2, 3, 4)),), {"weight": m((3,)), "bias": m((3,)), "eps": 0.1}),
        lambda m: (
            (m((2, 3, 4)), m.constant((3,)), m.constant((3,), 0.5, 2)),
            {"use_input_stats": False},
        ),
    )
    plain = calls(lambda m: (m((2, 3, 2, 2)), m((3,)), m((3,)), None, None, True, 0.1, 1e-5, False))
    errors = (
        refused(
            lambda t: t.nn.functional.instance_norm(t.ones(2, 3, 1)),
            "Expected more than 1 spatial element when training",
            ValueError,
        ),
    )
    return [
        Row(F + "instance_norm", samples, REAL, errors=errors, **KINDS),
        Row("instance_norm", plain, REAL, **KINDS),
    ]


def layers() -> list[Row]:
    samples = calls(
        lambda m: (m((2, 3)), (3,)),
        lambda m: (m((2, 3, 4)), (3, 4), m((3, 4)), m((3, 4)), 0.1),
        lambda m: ((m((2, 3)), (3,)), {"bias": m((3,))}),
        lambda m: (m((0, 3)), (3,)),
    )
    native = calls(
        lambda m: (m((2, 3)), (3,), m((3,)), m((3,)), 1e-5),
        lambda m: (m((2, 3, 4)), (3, 4), None, None, 0.1),
    )
    squares = calls(
        lambda m: (m((2, 3)), (3,)),
        lambda m: (m((2, 3, 4)), (3, 4), m((3, 4)), 0.1),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.layer_norm(t.ones(2, 3), (4,)),
            r"Given normalized_shape=\[4\], expected input with shape \[\*, 4\]",
        ),
        refused(
            lambda t: t.nn.functional.layer_norm(t.ones(2, 3), (3,), t.ones(2)),
            "Expected weight to be of same shape as normalized_shape",
        ),
        refused(
            lambda t: t.nn.functional.layer_norm(t.ones(2, 3), ()),
            "Expected normalized_shape to be at least 1-dimensional",
        ),
    )
    return [
        Row(F + "layer_norm", samples, FLOATS, errors=errors, **KINDS),
        Row("layer_norm", samples, REAL, **KINDS),
        Row("native_layer_norm", native, REAL, **KINDS),
        Row(F + "rms_norm", squares, (*FLOATS, *COMPLEX), **KINDS),
    ]


def groups() -> list[Row]:
    samples = calls(
        lambda m: (m((2, 6)), 2),
        lambda m: (m((2, 4, 3)), 2, m((4,)), m((4,)), 0.1),
        lambda m: (m((1, 4, 2, 2)), 4),
        lambda m: (m((0, 4, 2)), 2),
    )
    native = calls(lambda m: (m((2, 4, 3)), m((4,)), m((4,)), 2, 4, 3, 2, 0.1))
    neighbours = calls(
        lambda m: (m((2, 3, 4)), 2),
        lambda m: (m((1, 4, 2, 2)), 3, 0.5, 0.5, 2.0),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.group_norm(t.ones(2, 4), 3),
            "Expected number of channels in input to be divisible by num_groups",
        ),
    )
    return [
        Row(F + "group_norm", samples, FLOATS, errors=errors, **KINDS),
        Row("group_norm", samples, REAL, **KINDS),
        Row("native_group_norm", native, REAL, **KINDS),
        Row(F + "local_response_norm", neighbours, REAL, **KINDS),
    ]


def attention() -> list[Row]:
    samples = calls(
        lambda m: (m((2, 3, 4)), m((2, 5, 4)), m((2, 5, 3))),
        lambda m: (m((1, 2, 3, 4)), m((1, 2, 5, 4)), m((1, 2, 5, 4))),
        lambda m: ((m((2, 3, 2)), m((2, 3, 2)), m((2, 3, 2))), {"is_causal": True}),
        lambda m: (
            (m((2, 3, 2)), m((2, 4, 2)), m((2, 4, 2)), np.tri(3, 4, 1, dtype=bool)),
            {"scale": 0.3},
        ),
        lambda m: (m((1, 2, 3, 2)), m((1, 2, 4, 2)), m((1, 2, 4, 2)), m.constant((3, 4))),
        lambda m: (m((2, 3, 2)), m((2, 4, 2)), m((2, 4, 2)), m((2, 3, 4))),
        lambda m: (m((1, 2, 2)), m((1, 3, 2)), m((1, 3, 2)), np.zeros((2, 3), bool)),
        lambda m: (
            (m((1, 4, 3, 2)), m((1, 2, 3, 2)), m((1, 2, 3, 2))),
            {"enable_gqa": True},
        ),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.scaled_dot_product_attention(*[t.ones(3)] * 3),
            "query, key, and value to all be  at least 2 dimensional",
        ),
        refused(
            lambda t: t.nn.functional.scaled_dot_product_attention(
                t.ones(2, 3), t.ones(2, 3, dtype=t.float64), t.ones(2, 3)
            ),
            "Expected query, key, and value to have the same dtype",
        ),
    )
    attend = "nn.functional.scaled_dot_product_attention"
    return [Row(attend, samples, ("float16", *REAL), errors=errors, **KINDS)]


ROWS = [*batch(), *instance(), *layers(), *groups(), *attention()]
