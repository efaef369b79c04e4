"""Optimizers and schedules against what torch does (tests/golden/nn.json.gz, written by
tools/golden_nn.py): losses and parameters over 50 steps, states, rates, texts and errors."""

from __future__ import annotations

import gc
import math
import warnings
import weakref

import numpy as np
import pytest

import chainrule

from .golden_nn import (
    assert_same,
    assert_same_text,
    golden,
    observe,
    observe_optimizer,
    observe_schedule,
)

OPTIMIZERS, SCHEDULES = golden("optimizers"), golden("schedules")
PROGRAMS = golden("optim programs")


@pytest.mark.parametrize("text", OPTIMIZERS)
def test_optimizer(text):
    assert_same(observe_optimizer(text, chainrule), OPTIMIZERS[text], text, 2e-6)


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedule(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        *rates, state = observe_schedule(text, chainrule)
    *wanted, wanted_state = SCHEDULES[text]
    assert_same(rates, wanted, text, 1e-12)
    assert_same_text(state, wanted_state)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    case = PROGRAMS[name]
    got = observe(case["source"], chainrule)
    assert len(got) == len(case["seen"]), got
    for a, b in zip(got, case["seen"], strict=True):
        assert_same_text(a, b)


# -- what is ours ----------------------------------------------------------------------------------

torch, nn = chainrule, chainrule.nn
ELEMENTWISE = sorted({t.partition("(")[0] for t in OPTIMIZERS} - {"LBFGS", "Adafactor"})


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_long_parameters_go_in_pieces(name):
    """A parameter longer than a piece is treated as its parts are."""
    rng = np.random.default_rng(0)
    start, slope = (rng.standard_normal((3, 40_000)).astype("f4") for _ in range(2))
    whole = nn.Parameter(torch.tensor(start))
    strided = nn.Parameter(torch.tensor(np.repeat(start, 2, axis=1))[:, ::2])
    parts = [nn.Parameter(torch.tensor(row[:33_000])) for row in start]
    optimizers = [getattr(torch.optim, name)(p) for p in ([whole], [strided], parts)]
    for _ in range(3):
        whole.grad, strided.grad = torch.tensor(slope), torch.tensor(slope)
        for p, row in zip(parts, slope, strict=True):
            p.grad = torch.tensor(row[:33_000])
        for o in optimizers:
            o.step()
    assert torch.equal(whole, strided)
    for p, row in zip(parts, whole.detach(), strict=True):
        assert torch.equal(p, row[:33_000])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_are_left_alone(name):
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.tensor([1.0, -2.0, 3.0])
    o = getattr(torch.optim, name)([p], **({} if name == "Rprop" else {"weight_decay": 0.1}))
    o.step()
    o.step()
    assert p.grad.tolist() == [1.0, -2.0, 3.0]
    assert not any(t.requires_grad for t in o.state[p].values() if isinstance(t, torch.Tensor))


def test_a_step_counts_as_a_write():
    p = nn.Parameter(torch.ones(2))
    loss = (p * p).sum()
    p.grad = torch.ones(2)
    torch.optim.SGD([p]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_default_learns():
    torch.manual_seed(0)
    x = torch.randn(64, 2)
    y = (x[:, :1] * x[:, 1:]).sign()
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    for name in ("Adam", "AdamW", "RMSprop", "NAdam", "RAdam", "Adamax", "SGD"):
        torch.manual_seed(1)
        for layer in (model[0], model[2]):
            layer.reset_parameters()
        settings = {"momentum": 0.9, "lr": 0.1} if name == "SGD" else {"lr": 0.02}
        o = getattr(torch.optim, name)(model.parameters(), **settings)
        losses = []
        for _ in range(150):
            o.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            o.step()
            losses.append(loss.item())
        assert losses[-1] < 0.6 * losses[0], (name, losses[0], losses[-1])


def test_differentiable_is_refused():
    with pytest.raises(RuntimeError, match="functional_call"):
        torch.optim.SGD([nn.Parameter(torch.ones(1))], differentiable=True)


def test_an_optimizer_is_freed_without_the_collector():
    gc.disable()
    try:
        p = nn.Parameter(torch.ones(2))
        o = torch.optim.Adam([p])
        p.grad = torch.ones(2)
        o.step()
        gone = weakref.ref(o)
        del o
        assert gone() is None
    finally:
        gc.enable()


def test_required_settings():
    from chainrule.optim.optimizer import Optimizer, required

    class Mine(Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": required})

    p = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Mine([p])
    assert Mine([{"params": [p], "lr": 1}]).param_groups[0]["lr"] == 1
    with pytest.raises(NotImplementedError, match="does not define step"):
        Optimizer([p], {}).step()


def test_nan_settings_are_refused():
    for settings in ({"lr": math.nan}, {"weight_decay": math.nan}):
        with pytest.raises(ValueError, match="Invalid"):
            torch.optim.SGD([nn.Parameter(torch.ones(1))], **settings)
