"""Connectionist temporal classification: the likelihood of a label sequence under all alignments.

Graves et al. 2006. A path assigns a label or the blank to each step; it spells a target if merging
repeats and then dropping blanks gives the target. With blanks between the labels (2 S + 1 states)
the paths are those that stay, go one state on, or skip a blank between two different labels. Their
probabilities are summed forward (alpha) and backward (beta), in logarithms.

The gradient is torch's: that of the loss by the logits of which `log_probs` are the log-softmax.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY
from .define import MOVE, Tensor, function, op, primitive, scalar_name, wrap
from .examples import by_example, vmapped
from .loss import finished

NEVER = -np.inf


def _states(targets: Any, blank: int) -> tuple[Any, Any]:
    """The labels of the states, (n, 2 S + 1), and which of them may be reached by a skip."""
    n, length = targets.shape
    labels = np.full((n, 2 * length + 1), blank)
    labels[:, 1::2] = targets
    skips = np.zeros(labels.shape, bool)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    return labels, skips


def _step(rows: Any, skips: Any) -> Any:
    """Log-probabilities of having arrived in each state: by staying, one on, or a skip."""
    moved = np.full_like(rows, NEVER)
    moved[:, 1:] = rows[:, :-1]
    skipped = np.full_like(rows, NEVER)
    skipped[:, 2:] = np.where(skips[:, 2:], rows[:, :-2], NEVER)
    return np.logaddexp(np.logaddexp(rows, moved), skipped)


def _alphas(emitted: Any, skips: Any) -> Any:
    """alpha[t, n, s]: the log-probability of the first t + 1 steps ending in state s."""
    out = np.empty_like(emitted)
    rows = np.full_like(emitted[0], NEVER)
    rows[:, :2] = emitted[0][:, :2]
    out[0] = rows
    for t in range(1, len(emitted)):
        rows = out[t] = _step(rows, skips) + emitted[t]
    return out


def _betas(emitted: Any, labels: Any, skips: Any, lengths: Any, ends: Any) -> Any:
    """beta[t, n, s]: the log-probability of all steps from t on, starting in state s."""
    out = np.empty_like(emitted)
    onward = np.zeros_like(skips)
    onward[:, :-2] = skips[:, 2:]
    rows = np.full_like(emitted[0], NEVER)
    for t in reversed(range(len(emitted))):
        last = (lengths == t + 1)[:, None]
        arrived = _step(rows[:, ::-1], onward[:, ::-1])[:, ::-1]
        rows = out[t] = np.where(last, np.where(ends, 0.0, NEVER), arrived) + emitted[t]
    return out


def _ends(targets_length: Any, states: int) -> Any:
    """The states in which a path may end: the last label and the blank behind it."""
    state = np.arange(states)
    last = 2 * targets_length[:, None]
    return (state == last) | ((state == last - 1) & (last > 0))


def _gathered(x: Any, labels: Any) -> Any:
    """log_probs of each state's label: (steps, n, states)."""
    return np.take_along_axis(x, np.broadcast_to(labels, (len(x), *labels.shape)), 2)


@primitive(
    define=op,
    promote=MOVE,
    namespace="primitive",
    method=False,
    extra=True,
    node="CtcLossBackward0",
)
def ctc_losses(
    x: Any, /, targets: Any, lengths: Any, target_lengths: Any, blank: int, zero_infinity: bool
) -> Any:
    """-log of the probability of each target (n, S) under the log-probabilities x (steps, n, c)."""
    labels, skips = _states(targets, blank)
    ends = _ends(target_lengths, labels.shape[1])
    if not len(x):
        alpha = np.empty((0, *labels.shape), x.dtype)
        total = np.where(target_lengths == 0, 0.0, NEVER)
    else:
        alpha = _alphas(_gathered(x, labels), skips)
        last = alpha[np.maximum(lengths, 1) - 1, np.arange(len(lengths))]
        total = np.logaddexp.reduce(np.where(ends, last, NEVER), axis=1)
        total = np.where(lengths == 0, np.where(target_lengths == 0, 0.0, NEVER), total)
    losses = (-total).astype(x.dtype)
    return losses, (alpha, losses)


@primitive
def ctc_slopes(
    x: Any,
    /,
    alpha: Any,
    losses: Any,
    targets: Any,
    lengths: Any,
    target_lengths: Any,
    blank: int,
    zero_infinity: bool,
) -> Any:
    """The derivative of each loss by the logits behind `x`: softmax less the share of each
    label.
    """
    labels, skips = _states(targets, blank)
    emitted = _gathered(x, labels)
    beta = _betas(emitted, labels, skips, lengths, _ends(target_lengths, labels.shape[1]))
    share = np.exp(alpha + beta - emitted + losses[:, None])
    out = np.exp(x)
    rows = np.arange(out.shape[1])[:, None]
    np.subtract.at(out, (slice(None), rows, labels), share)
    out[np.arange(len(x))[:, None] >= lengths] = 0
    if zero_infinity:
        out[:, np.isinf(losses)] = 0
    return out


@ctc_slopes.vjp
def _(g):
    raise RuntimeError(
        "derivative for aten::_ctc_loss_backward is not implemented: the gradient of ctc_loss has "
        "no derivative of its own, here as in torch"
    )


@ctc_losses.vjp
def _(g, x, extra, targets, lengths, target_lengths, blank, zero_infinity):
    slopes = ctc_slopes(x, *extra, targets, lengths, target_lengths, blank, zero_infinity)
    return g[:, None] * slopes


# -- public form -----------------------------------------------------------------------------------


def _lengths(name: str, values: Any, batch: int) -> Any:
    """Lengths given as a tensor or as a sequence."""
    if isinstance(values, Tensor):
        if values._data.dtype.kind not in "iu":
            raise RuntimeError(f"{name} must be integral")
        values = np.asarray(values._data)
    out = np.asarray(values, np.int64).reshape(-1)
    if len(out) != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    return out


def _checked(log_probs: Any, lengths: Any, target_lengths: Any, blank: int) -> None:
    during = "(while checking arguments for ctc_loss_allocate_outputs)"
    if log_probs.ndim != 3:
        raise RuntimeError(
            f"Expected 3-dimensional tensor, but got {log_probs.ndim}-dimensional tensor for "
            f"argument #1 'log_probs' {during}"
        )
    steps, _, classes = log_probs.shape
    d = FROM_NUMPY[log_probs._data.dtype]
    if d.name not in ("float32", "float64"):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{scalar_name(d)}'")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    for name, values in (("input_lengths", lengths), ("target_lengths", target_lengths)):
        if len(values) and values.min() < 0:
            raise RuntimeError(
                f"Expected {name} to have value at least 0, but got value {values.min()} {during}"
            )
    if len(lengths) and lengths.max() > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {lengths.max()} "
            f"{during}"
        )


def _in_rows(targets: Any, target_lengths: Any) -> Any:
    """Targets (n, S), padded, or all in one row, as (n, S)."""
    targets = np.asarray(targets._data).astype(np.int64)
    longest = int(target_lengths.max(initial=0))
    if targets.ndim > 2:
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {targets.ndim}-dimensional tensor for argument "
            "#2 'targets' (while checking arguments for ctc_loss_allocate_outputs)"
        )
    if targets.ndim == 2:
        if targets.shape[1] < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size "
                f"{targets.shape[1]} for argument #2 'targets' (while checking arguments for "
                "ctc_loss_allocate_outputs)"
            )
        return targets[:, :longest]
    if targets.size != target_lengths.sum():
        raise RuntimeError(
            f"Expected tensor to have size {target_lengths.sum()} at dimension 0, but got size "
            f"{targets.size} for argument #2 'targets' (while checking arguments for "
            "ctc_loss_allocate_outputs)"
        )
    out = np.zeros((len(target_lengths), longest), np.int64)
    out[np.arange(longest) < target_lengths[:, None]] = targets
    return out


@function(method=False, namespace="nn.functional", alias="torch.ctc_loss")
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """-log of the probability that `log_probs` (steps, n, classes) spell the targets.

    `targets` are (n, S), or all one after the other; 'mean' divides each loss by its target's
    length. Impossible targets cost inf, or nothing with `zero_infinity`.
    """
    if level := vmapped(targets, input_lengths, target_lengths):
        given = (input_lengths, target_lengths, blank, reduction, zero_infinity)
        return by_example(ctc_loss, level, log_probs, targets, *given)
    reduction = ("none", "mean", "sum")[reduction] if isinstance(reduction, int) else reduction
    rows = log_probs if log_probs.ndim != 2 else log_probs.unsqueeze(1)
    batch = rows.shape[1] if rows.ndim > 1 else 1
    lengths = _lengths("input_lengths", input_lengths, batch)
    target_counts = _lengths("target_lengths", target_lengths, batch)
    _checked(rows, lengths, target_counts, blank)
    losses = ctc_losses.op.entry(
        rows, _in_rows(targets, target_counts), lengths, target_counts, blank, zero_infinity
    )
    if zero_infinity:
        losses = losses.masked_fill(losses == np.inf, 0.0)
    if log_probs.ndim == 2:
        losses = losses.squeeze(0)
    if reduction != "mean":
        return finished(losses, reduction)
    counts = np.maximum(target_counts, 1).astype(losses._data.dtype)
    return (losses / wrap(counts.reshape(tuple(losses.shape)))).mean()
