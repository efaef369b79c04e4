"""What rows cannot say of norms: running statistics, and gradients of batches in every mode."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule
from chainrule.nn import functional as F


def statistics() -> tuple:
    """Fresh running mean and variance of three channels."""
    return chainrule.zeros(3), chainrule.ones(3)


def test_batch_norm_moves_running_statistics():
    mean, variance = statistics()
    x = chainrule.randn(4, 3, 5)
    F.batch_norm(x, mean, variance, training=True, momentum=0.2)
    rows = x.numpy().transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_allclose(mean.numpy(), 0.2 * rows.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance.numpy(), 0.8 + 0.2 * rows.var(1, ddof=1), rtol=1e-4)
    kept = mean.clone(), variance.clone()
    out = F.batch_norm(x, mean, variance)
    assert chainrule.equal(kept[0], mean)
    assert chainrule.equal(kept[1], variance)
    scale = (variance + 1e-5).sqrt().view(3, 1)
    np.testing.assert_allclose(out.numpy(), ((x - mean.view(3, 1)) / scale).numpy(), rtol=1e-4)


def test_running_statistics_of_half_inputs_are_not_rounded():
    mean, variance = statistics()
    x = (chainrule.randn(64, 3) * 0.01 + 1).half()
    F.batch_norm(x, mean, variance, training=True)
    np.testing.assert_allclose(mean.numpy(), 0.1 * x.float().numpy().mean(0), rtol=1e-6)


def test_no_examples_leave_running_statistics():
    mean, variance = statistics()
    F.batch_norm(chainrule.zeros(0, 3), mean, variance, training=True)
    assert not mean.any()
    assert (variance == 1).all()


def test_instance_norm_follows_the_mean_of_the_examples():
    mean, variance = statistics()
    x = chainrule.randn(4, 3, 5)
    F.instance_norm(x, mean, variance)
    each = x.numpy()
    np.testing.assert_allclose(mean.numpy(), 0.1 * each.mean((0, 2)), rtol=1e-4, atol=1e-6)
    wanted = 0.9 + 0.1 * each.var(2, ddof=1).mean(0)
    np.testing.assert_allclose(variance.numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_running_statistics_cannot_be_learned(name: str):
    given = dict(zip(("running_mean", "running_var"), statistics(), strict=True))
    given[name].requires_grad_()
    with pytest.raises(RuntimeError, match=f"not differentiable with respect to argument '{name}'"):
        F.batch_norm(chainrule.randn(4, 3), **given)


def test_a_group_that_is_constant_has_no_gradient():
    x = chainrule.full((2, 4), 3.0, requires_grad=True)
    F.layer_norm(x, (4,)).sum().backward()
    assert not x.grad.any()
