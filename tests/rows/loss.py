"""Losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..op_table import FLOATS, REAL, Row
from .conv import LOOSE, F, refused
from .reduce import calls

LOOSER = {**LOOSE, "float16": 1e-2, "bfloat16": 8e-2, "gradient": 1e-5}
KINDS = {"tolerance": LOOSER, "exact_node": False}
WAYS = ("mean", "sum", "none")


def each_way(*build: Callable, **more: Any) -> Callable:
    """Each call with every reduction."""

    def samples(make: Any) -> Iterator:
        for f in build:
            given = f(make)
            args, kwargs = given if len(given) == 2 and isinstance(given[1], dict) else (given, {})
            yield from ((args, {**kwargs, **more, "reduction": way}) for way in WAYS)

    return samples


def distances() -> list[Row]:
    pair = each_way(lambda m: (m((2, 3)), m((2, 3))), lambda m: (m(), m()))
    weighted = each_way(lambda m: ((m((2, 3)), m((2, 3))), {"weight": m.constant((2, 3), 0.5, 2)}))
    narrow = each_way(lambda m: (m((2, 3)), m((2, 3))), beta=0.3)
    steep = each_way(lambda m: (m((2, 3)), m((2, 3))), delta=0.4)
    signs = each_way(lambda m: (m((2, 3)), np.sign(m.constant((2, 3)))))
    odd = refused(
        lambda t: t.nn.functional.mse_loss(t.ones(2), t.ones(2), reduction="median"),
        "median is not a valid value for reduction",
        ValueError,
    )
    unfit = refused(
        lambda t: t.nn.functional.mse_loss(t.ones(2, 3), t.ones(2, 3), weight=t.ones(3)),
        "Weights and input must have the same size",
        ValueError,
    )
    negative = refused(
        lambda t: t.nn.functional.smooth_l1_loss(t.ones(2), t.ones(2), beta=-1),
        "does not support negative values for beta",
    )
    zero = refused(
        lambda t: t.nn.functional.huber_loss(t.ones(2), t.ones(2), delta=0),
        "does not support non-positive values for delta",
    )
    return [
        Row(F + "mse_loss", pair, FLOATS, errors=(odd, unfit), **KINDS),
        Row(F + "mse_loss", weighted, REAL, **KINDS),
        Row(F + "l1_loss", pair, FLOATS, **KINDS),
        Row(F + "l1_loss", weighted, REAL, **KINDS),
        Row(F + "smooth_l1_loss", pair, FLOATS, errors=(negative,), **KINDS),
        Row(F + "smooth_l1_loss", narrow, REAL, **KINDS),
        Row(F + "huber_loss", pair, FLOATS, errors=(zero,), **KINDS),
        Row(F + "huber_loss", steep, REAL, **KINDS),
        Row(F + "huber_loss", weighted, REAL, **KINDS),
        Row(F + "soft_margin_loss", signs, REAL, **KINDS),
    ]


def of_two() -> list[Row]:
    probabilities = each_way(
        lambda m: (m((2, 3), 0.1, 0.9), m((2, 3), 0.1, 0.9)),
        lambda m: (m((2, 3), 0.1, 0.9), m((2, 3), 0.1, 0.9), m.constant((3,), 0.5, 2)),
    )
    logits = each_way(
        lambda m: (m((2, 3)), m((2, 3), 0, 1)),
        lambda m: (m((2, 3), -40, 40), m((2, 3), 0, 1), m.constant((2, 1), 0.5, 2)),
        lambda m: ((m((2, 3)), m((2, 3), 0, 1)), {"pos_weight": m.constant((3,), 0.5, 2)}),
    )
    outside = refused(
        lambda t: t.nn.functional.binary_cross_entropy(t.full((2,), 2.0), t.ones(2)),
        "all elements of input should be between 0 and 1",
    )
    unfit = refused(
        lambda t: t.nn.functional.binary_cross_entropy_with_logits(t.ones(2), t.ones(3)),
        "must be the same as input size",
        ValueError,
    )
    divergence = each_way(
        lambda m: (m((2, 3)), m((2, 3), 0.1, 1)),
        lambda m: ((m((2, 3)), m((2, 3))), {"log_target": True}),
    )
    batchmean = calls(
        lambda m: ((m((2, 3)), m((2, 3), 0.1, 1)), {"reduction": "batchmean"}),
    )
    name = "binary_cross_entropy"
    return [
        Row(F + name, probabilities, REAL, errors=(outside,), **KINDS),
        Row(f"{F}{name}_with_logits", logits, FLOATS, errors=(unfit,), **KINDS),
        Row(F + "kl_div", divergence, REAL, **KINDS),
        Row(F + "kl_div", batchmean, REAL, **KINDS),
    ]


def of_classes() -> list[Row]:
    indices = each_way(
        lambda m: (m((4, 3)), m.ints((4,), 0, 3)),
        lambda m: (m((4, 3)), m.ints((4,), 0, 3), m.constant((3,), 0.5, 2)),
        lambda m: ((m((4, 3)), np.array([0, 1, 2, 1])), {"ignore_index": 1}),
        lambda m: (m((2, 3, 4)), m.ints((2, 4), 0, 3)),
        lambda m: (m((1, 3, 2, 2)), m.ints((1, 2, 2), 0, 3), m.constant((3,), 0.5, 2)),
        lambda m: (m((3,)), np.array(2)),
    )
    smooth = each_way(
        lambda m: (m((4, 3)), m.ints((4,), 0, 3)),
        lambda m: (m((2, 3, 2)), m.ints((2, 2), 0, 3), m.constant((3,), 0.5, 2)),
        lambda m: ((m((4, 3)), np.array([0, 1, 2, 1])), {"ignore_index": 1}),
        label_smoothing=0.2,
    )
    shares = each_way(
        lambda m: (m((4, 3)), m((4, 3), 0, 1)),
        lambda m: ((m((2, 3, 2)), m((2, 3, 2), 0, 1)), {"weight": m.constant((3,), 0.5, 2)}),
        lambda m: ((m((2, 3)), m((2, 3), 0, 1)), {"label_smoothing": 0.2}),
        lambda m: (m((3,)), m((3,), 0, 1)),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.nll_loss(t.ones(2, 3), t.full((2,), 5)),
            "Target 5 is out of bounds",
            IndexError,
        ),
        refused(
            lambda t: t.nn.functional.nll_loss(t.ones(5, 3), t.zeros(2, dtype=t.int64)),
            r"Expected input batch_size \(5\) to match target batch_size \(2\)",
            ValueError,
        ),
        refused(
            lambda t: t.nn.functional.nll_loss(t.ones(2, 3), t.ones(2)),
            "expected target dtype to be Long or Byte, but got Float",
        ),
        refused(
            lambda t: t.nn.functional.nll_loss(
                t.ones(2, 3), t.zeros(2, dtype=t.int64), weight=t.ones(2)
            ),
            "weight tensor should be defined either for all 3 classes or no classes",
        ),
    )
    too_smooth = refused(
        lambda t: t.nn.functional.cross_entropy(
            t.ones(2, 3), t.zeros(2, dtype=t.int64), label_smoothing=2.0
        ),
        "label_smoothing must be between 0.0 and 1.0",
    )
    return [
        Row(F + "nll_loss", indices, REAL, errors=errors, **KINDS),
        Row(F + "cross_entropy", indices, FLOATS, errors=(too_smooth,), **KINDS),
        Row(F + "cross_entropy", smooth, REAL, **KINDS),
        Row(F + "cross_entropy", shares, REAL, **KINDS),
    ]


def margins() -> list[Row]:
    one = each_way(
        lambda m: (m((4, 3)), m.ints((4,), 0, 3)),
        lambda m: (m((4, 3)), m.ints((4,), 0, 3), 2, 0.5, m.constant((3,), 0.5, 2)),
        lambda m: (m((3,)), np.array(1)),
    )
    several = each_way(
        lambda m: (m((2, 4)), np.array([[3, 0, -1, 1], [1, -1, 2, 0]])),
        lambda m: (m((3,)), np.array([2, 1, -1])),
    )
    soft = each_way(
        lambda m: (m((2, 3)), m((2, 3), 0, 1)),
        lambda m: (m((2, 3)), m((2, 3), 0, 1), m.constant((3,), 0.5, 2)),
    )
    cosine = each_way(
        lambda m: (m((4, 3)), m((4, 3)), np.array([1, -1, 1, -1])),
        lambda m: (m((3,)), m((3,)), np.array(-1), 0.1),
    )
    hinge = each_way(lambda m: ((m((4,)), np.array([1, -1, 1, -1])), {"margin": 0.7}))
    ranking = each_way(lambda m: (m((4,)), m((4,)), np.array([1, -1, 1, -1]), 0.3))
    triple = each_way(
        lambda m: (m((4, 3)), m((4, 3)), m((4, 3))),
        lambda m: ((m((4, 3)), m((4, 3)), m((4, 3))), {"swap": True, "p": 1, "margin": 2.0}),
    )
    own = each_way(lambda m: ((m((4, 3)), m((4, 3)), m((4, 3))), {"swap": True}))
    cubed = refused(
        lambda t: t.nn.functional.multi_margin_loss(t.ones(1, 2), t.zeros(1, dtype=t.int64), p=3),
        "only p == 1 and p == 2 supported",
        ValueError,
    )
    outside = refused(
        lambda t: t.nn.functional.multilabel_margin_loss(t.ones(2), t.full((2,), 5)),
        "argument #2 'target' is out of range",
    )
    close = refused(
        lambda t: t.nn.functional.triplet_margin_loss(*[t.ones(2, 2)] * 3, margin=-1),
        "margin must be greater than 0, got -1",
        ValueError,
    )
    return [
        Row(F + "multi_margin_loss", one, REAL, errors=(cubed,), **KINDS),
        Row(F + "multilabel_margin_loss", several, REAL, errors=(outside,), **KINDS),
        Row(F + "multilabel_soft_margin_loss", soft, REAL, **KINDS),
        Row(F + "cosine_embedding_loss", cosine, REAL, **KINDS),
        Row(F + "hinge_embedding_loss", hinge, REAL, **KINDS),
        Row(F + "margin_ranking_loss", ranking, REAL, **KINDS),
        Row(F + "triplet_margin_loss", triple, REAL, errors=(close,), **KINDS),
        Row(F + "triplet_margin_with_distance_loss", own, REAL, **KINDS),
    ]


def likelihoods() -> list[Row]:
    gauss = each_way(
        lambda m: (m((2, 3)), m((2, 3)), m((2, 3), 0.5, 2)),
        lambda m: ((m((2, 3)), m((2, 3)), m((2, 1), 0.5, 2)), {"full": True}),
    )
    poisson = each_way(
        lambda m: (m((2, 3)), m((2, 3), 0, 4)),
        lambda m: ((m((2, 3), 0.5, 2), m((2, 3), 1.5, 4)), {"log_input": False, "full": True}),
    )
    labels = np.array([[1, 2, 2], [3, 1, 1]])
    spelled = each_way(
        lambda m: (m((7, 2, 4), -3, -0.5), labels, (7, 6), (3, 2)),
        lambda m: (m((5, 4), -3, -0.5), np.array([2, 1]), (5,), (2,)),
        lambda m: (
            (m((3, 2, 4), -3, -0.5), np.array([1, 1, 1, 2]), (3, 3), (3, 1)),
            {"zero_infinity": True, "blank": 3},
        ),
    )
    negative = refused(
        lambda t: t.nn.functional.gaussian_nll_loss(t.ones(2), t.ones(2), -t.ones(2)),
        "var has negative entry/entries",
        ValueError,
    )
    blank = refused(
        lambda t: t.nn.functional.ctc_loss(
            t.ones(3, 1, 2), t.ones(1, 1, dtype=t.int64), (3,), (1,), blank=5
        ),
        "blank must be in label range",
    )
    # the gradient of ctc_loss is that of the logits: finite differences of log_probs differ
    return [
        Row(F + "gaussian_nll_loss", gauss, REAL, errors=(negative,), **KINDS),
        Row(F + "poisson_nll_loss", poisson, REAL, **KINDS),
        Row(F + "ctc_loss", spelled, REAL, grad=False, errors=(blank,), **KINDS),
    ]


ROWS = [*distances(), *of_two(), *of_classes(), *margins(), *likelihoods()]
