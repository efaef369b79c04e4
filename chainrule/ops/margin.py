"""Losses that ask for a margin between right and wrong, and those of Gaussian and Poisson
counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY
from .activation import logsigmoid
from .compare import where
from .define import function, op, scalar_name, state
from .distance import pairwise_distance
from .index import check_range, grid
from .loss import constant, finished, floating, how, reduced, shared
from .places import put_add

EPSILON = 1e-12


# -- one right class -------------------------------------------------------------------------------


def _rivals(x: Any, target: Any, margin: float) -> tuple[Any, Any]:
    """How much each class comes within `margin` of the right one, and which ones are wrong."""
    wrong = np.arange(x.shape[1]) != target[:, None]
    over = margin - x[grid(target[:, None], 1)] + x
    return np.where(wrong, np.maximum(over, x.dtype.type(0)), x.dtype.type(0)), wrong


def _class_scale(x: Any, target: Any, weight: Any) -> Any:
    each = x.dtype.type(1 / x.shape[1])
    return each if weight is None else weight.astype(x.dtype)[target][:, None] * each


@op(namespace="primitive", method=False, node="MultiMarginLossBackward0")
def right_by_a_margin(
    x: Any, /, target: Any, p: int, margin: float, weight: Any, reduction: str
) -> Any:
    """The mean over classes j of max(0, margin - x[t] + x[j]) ** p, without the right class t."""
    over, _ = _rivals(x, target, margin)
    losses = (over if p == 1 else over * over) * _class_scale(x, target, weight)
    return reduced(np.add.reduce(losses, axis=1), reduction)


@right_by_a_margin.vjp
def _(g, x, target, p, margin, weight, reduction):
    over, wrong = _rivals(x, target, margin)
    slope = (over > 0).astype(x.dtype) if p == 1 else 2 * over
    slope = slope * _class_scale(x, target, weight)
    toward = np.where(wrong, slope, -np.add.reduce(slope, axis=1, keepdims=True))
    g = shared(g, x.shape[0], reduction)
    return (g[:, None] if reduction == "none" else g) * toward


def _check_multi_margin(shape: list, target: Any, p: int, weight: Any) -> None:
    rows, classes = (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0] if shape else 1)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    if len(shape) > 2 or classes == 0:
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {shape}"
        )
    if target.ndim > 1 or target.numel() != rows:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input "
            f"samples (batch size). Expected target size [{rows}], but got {list(target.shape)}. "
            f"Input has shape {shape}."
        )
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(
            f"inconsistent weight size, expected {classes} but got {list(weight.shape)}"
        )
    _check_long(target)
    data = target._data
    if state.capture is not None:
        check_range(data, classes, 0, RuntimeError, "target out of range")
    elif isinstance(data, np.ndarray | np.generic) and ((data < 0) | (data >= classes)).any():
        raise RuntimeError("target out of range")


def _check_long(target: Any) -> None:
    if str(target.dtype) != "torch.int64":
        d = scalar_name(FROM_NUMPY[target._data.dtype])
        raise RuntimeError(f"expected scalar type Long but found {d}")


@function(method=False, namespace="nn.functional")
def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean over classes of weight * max(0, margin - input[target] + input[class]) ** p."""
    reduction = how(reduction, size_average, reduce)
    _check_multi_margin(list(input.shape), target, p, weight)
    floating(input, "multi_margin_loss_cpu_kernel")
    constant("multi_margin_loss", "weight", weight)
    rows = input if input.ndim == 2 else input.reshape(1, -1)
    out = right_by_a_margin(rows, target.reshape(-1), p, margin, weight, reduction)
    return out.reshape(()) if input.ndim < 2 and reduction == "none" else out


# -- several right classes -------------------------------------------------------------------------


def _shortfalls(x: Any, target: Any) -> tuple[Any, Any]:
    """max(0, 1 - (x[t] - x[j])) / classes for right classes t and wrong ones j; and the classes t.

    The targets of a row end at its first -1.
    """
    given = np.logical_and.accumulate(target >= 0, axis=1)
    safe = np.where(given, target, 0)
    named = (safe[:, :, None] == np.arange(x.shape[1])) & given[:, :, None]
    right = np.logical_or.reduce(named, axis=1)
    counts = given[:, :, None] & ~right[:, None, :]
    short = 1 - x[grid(safe, 1)][:, :, None] + x[:, None, :]
    zero = x.dtype.type(0)
    return np.where(counts & (short > 0), short, zero) / x.shape[1], safe


@op(namespace="primitive", method=False, node="MultilabelMarginLossBackward0")
def all_right_by_a_margin(x: Any, /, target: Any, reduction: str) -> Any:
    """The sum over right classes t and wrong ones j of max(0, 1 - (x[t] - x[j])) / classes."""
    short, _ = _shortfalls(x, target)
    return reduced(np.add.reduce(short, axis=(1, 2)), reduction)


@all_right_by_a_margin.vjp
def _(g, x, target, reduction):
    short, safe = _shortfalls(x, target)
    slope = (short > 0).astype(x.dtype) / x.shape[1]
    g = shared(g, x.shape[0], reduction)
    g = g[:, None] if reduction == "none" else g
    from_right = put_add(g * np.add.reduce(slope, axis=2), grid(safe, 1), x.shape)
    return g * np.add.reduce(slope, axis=1) - from_right


@function(method=False, namespace="nn.functional")
def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The sum of max(0, 1 - (input[t] - input[j])) / classes over right classes t and wrong ones j.

    `target`, in the shape of `input`, lists the right classes, up to the first -1.
    """
    reduction = how(reduction, size_average, reduce)
    shape = list(input.shape)
    if len(shape) > 2 or (shape and shape[-1] == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {shape}"
        )
    if list(target.shape) != shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {shape}"
        )
    _check_long(target)
    data, classes = target._data, (shape or [1])[-1]
    text = "argument #2 'target' is out of range"
    if state.capture is not None:
        check_range(data, classes, -1, RuntimeError, text)
    elif isinstance(data, np.ndarray) and ((data < -1) | (data >= classes)).any():
        raise RuntimeError(text)
    floating(input, "multilabel_margin_loss_forward_out_frame")
    if input.ndim == 2:
        return all_right_by_a_margin(input, target, reduction)
    out = all_right_by_a_margin(input.reshape(1, -1), target.reshape(1, -1), reduction)
    return out.reshape(()) if reduction == "none" else out


@function(method=False, namespace="nn.functional")
def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-(target log s(input) + (1 - target) log s(-input)) times weight, averaged over classes."""
    reduction = how(reduction, size_average, reduce)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    if not input.ndim:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    return finished(losses.sum(-1) / input.shape[-1], reduction)


# -- pairs and triples -----------------------------------------------------------------------------


@function(method=False, namespace="nn.functional")
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """1 - c for target 1 and max(0, c - margin) for target -1, c the cosine of the two inputs."""
    reduction = how(reduction, size_average, reduce)
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim != input1.ndim - 1 or target.ndim != input2.ndim - 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    axis = target.ndim
    squares = [(x * x).sum(axis) + EPSILON for x in (input1, input2)]
    cosine = (input1 * input2).sum(axis) / (squares[0] * squares[1]).sqrt()
    apart = (cosine - margin).clamp_min(0)
    near = (1 - cosine).masked_fill(target != 1, 0.0)
    return finished(near + apart.masked_fill(target != -1, 0.0), reduction)


@function(method=False, namespace="nn.functional")
def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """`input`, a distance, for target 1, and max(0, margin - input) for target -1."""
    reduction = how(reduction, size_average, reduce)
    zeros = (input * 0).detach()
    apart = where(target != 1, (margin - input).clamp_min(0), zeros)
    return finished(apart + where(target != -1, input, zeros), reduction)


@function(method=False, namespace="nn.functional")
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, -target * (input1 - input2) + margin): target 1 wants input1 larger, -1 input2."""
    reduction = how(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return finished((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def _check_triple(margin: float, *tensors: Any) -> None:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    a, p, n = [t.ndim for t in tensors]
    if not a == p == n:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {a}D, positive {p}D, and negative {n}D inputs"
        )


@function(method=False, namespace="nn.functional")
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, margin + |anchor - positive| - |anchor - negative|), by p-norms.

    With `swap` the distance from positive to negative counts, where that is smaller.
    """
    reduction = how(reduction, size_average, reduce)

    def distance(x: Any, y: Any) -> Any:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=distance,
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


@function(method=False, namespace="nn.functional")
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)) for a distance d of your own."""
    reduction = how(reduction)
    _check_triple(margin, anchor, positive, negative)
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return finished((margin + near - far).clamp_min(0), reduction)


# -- likelihoods -----------------------------------------------------------------------------------


def _variance(input: Any, var: Any, eps: float) -> Any:
    """The variances, shaped to go with the input, not below `eps` (their gradient passes)."""
    if isinstance(var, float):
        var = (input * 0).detach() + var
    data = var._data
    if isinstance(data, np.ndarray | np.generic) and (data < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        sizes = zip(input.shape, var.shape, strict=False)
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif input.ndim != var.ndim or sum(b for a, b in sizes if a != b) != 1:
            raise ValueError("var is of incorrect size")
    var = var.clone()
    was, state.grad = state.grad, False
    try:
        var.clamp_(min=eps)
    finally:
        state.grad = was
    return var


@function(method=False, namespace="nn.functional")
def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """(log(var) + (input - target) ** 2 / var) / 2, with log(2 pi) / 2 added if `full`."""
    var = _variance(input, var, eps)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    losses = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return finished(losses, reduction)


@function(method=False, namespace="nn.functional")
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """exp(input) - target * input, or input - target log(input) if not `log_input`.

    `full` adds Stirling's approximation of log(target!) where target > 1.
    """
    reduction = how(reduction, size_average, reduce)
    if log_input:
        losses = input.exp() - target * input
    else:
        losses = input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + stirling.masked_fill(target <= 1, 0.0)
    return finished(losses, reduction)
