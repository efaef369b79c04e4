"""CTC against the sum over all paths, its gradient against finite differences of the logits."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

import chainrule
from chainrule.nn import functional as F

CASES = (([1], 3), ([1, 2], 4), ([1, 1], 4), ([2, 1, 2], 4), ([], 3), ([1, 1, 1], 4))


def spelled(path: tuple) -> list:
    """The labels a path stands for: repeats merged, blanks (0) dropped."""
    return [label for label, _ in groupby(path) if label]


def by_all_paths(log_probs: np.ndarray, target: list) -> float:
    """-log of the probability of all paths that spell the target."""
    steps, classes = log_probs.shape
    paths = (p for p in product(range(classes), repeat=steps) if spelled(p) == target)
    total = sum(np.exp(sum(log_probs[t, c] for t, c in enumerate(p))) for p in paths)
    return -np.log(total) if total else np.inf


def loss_of(logits: chainrule.Tensor, target: list, **more: object) -> chainrule.Tensor:
    """The loss of one sequence."""
    targets = chainrule.tensor([target or [0]])
    log_probs = logits.log_softmax(1).unsqueeze(1)
    lengths = (logits.shape[0],), (len(target),)
    return F.ctc_loss(log_probs, targets, *lengths, reduction="sum", **more)


@pytest.mark.parametrize(("target", "steps"), CASES)
def test_loss_is_the_sum_over_paths(target: list, steps: int):
    logits = chainrule.tensor(np.random.RandomState(steps).standard_normal((steps, 3)))
    wanted = by_all_paths(logits.log_softmax(1).numpy(), target)
    assert loss_of(logits, target).item() == pytest.approx(wanted)


@pytest.mark.parametrize(("target", "steps"), CASES[:5])
def test_gradient_is_that_of_the_logits(target: list, steps: int):
    start = np.random.RandomState(steps).standard_normal((steps, 3))
    logits = chainrule.tensor(start, requires_grad=True)
    loss_of(logits, target).backward()
    for place in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[place] = 1e-6
        ahead, behind = (loss_of(chainrule.tensor(start + s), target) for s in (step, -step))
        wanted = (ahead - behind).item() / 2e-6
        assert logits.grad[place].item() == pytest.approx(wanted, abs=1e-7)


def test_impossible_targets_cost_nothing_if_asked():
    logits = chainrule.zeros(2, 3, dtype=chainrule.float64, requires_grad=True)
    assert loss_of(logits, [1, 1]).item() == np.inf
    loss = loss_of(logits, [1, 1], zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_steps_beyond_a_length_count_for_nothing():
    log_probs = chainrule.randn(5, 2, 3).log_softmax(2).requires_grad_()
    targets = chainrule.tensor([1, 2, 1])
    losses = F.ctc_loss(log_probs, targets, (5, 3), (2, 1), reduction="none")
    alone = F.ctc_loss(log_probs[:3, 1:], targets[2:], (3,), (1,), reduction="none")
    assert losses[1].item() == pytest.approx(alone.item(), rel=1e-5)
    losses.sum().backward()
    assert not log_probs.grad[3:, 1].any()


def test_second_derivative_is_refused():
    logits = chainrule.randn(4, 3, requires_grad=True)
    (gradient,) = chainrule.autograd.grad(loss_of(logits, [1, 2]), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="_ctc_loss_backward is not implemented"):
        gradient.sum().backward()
