"""Anomaly detection: what is raised, what it names, and that it is gone when it is off."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import chainrule as torch
from chainrule.autograd import engine
from chainrule.tape import state

HERE = re.escape(__file__)
nan, inf = float("nan"), float("inf")


def line() -> int:
    """The line of the call."""
    return sys._getframe(1).f_lineno


@pytest.fixture
def on() -> Iterator[None]:
    """Detection is on, without its warning."""
    with torch.autograd.set_detect_anomaly(True):
        yield


def said(walk: Callable) -> str:
    """What the error of a backward pass says; it is announced by torch's warning."""
    with (
        pytest.warns(UserWarning, match=r"Error detected in \w+\. Traceback of forward call"),
        pytest.raises(RuntimeError) as e,
    ):
        walk()
    return str(e.value)


def test_function_line_and_place_of_the_first_bad_gradient(on: None):
    x = torch.tensor([[1.0, 4.0], [0.0, 1.0]], requires_grad=True)
    y, made = torch.sqrt(x), line()
    text = said((y * 0).sum().backward)
    assert text.startswith("Function 'SqrtBackward0' returned nan values in its 0th output.")
    assert f"forward: called at {__file__}:{made} in test_function" in text
    assert "gradient: nan at [1, 0] of [2, 2]" in text
    assert "the gradient that came to it, at that position: 0.0" in text
    assert "saved, at that position: 0.0" in text
    assert "forward pass" not in text  # there was nothing wrong


def test_first_nan_of_the_forward_pass(on: None):
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    (x * 3).sum().backward()
    y, made = torch.log(x), line()
    text = said(((y * 2).exp() * x).sum().backward)
    assert text.startswith("Function 'MulBackward0' returned nan values in its 1th output.")
    first = f"log, at {__file__}:{made} in test_first_nan_of_the_forward_pass, of float32[2]"
    assert f"first nan of the forward pass: {first}, made nan at [1] of [2] from -1.0" in text


def test_infinity_before_the_nan(on: None):
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    y, made = 1 / x, line()
    text = said((y * 0).sum().backward)
    where = re.escape(f"{__file__}:{made} in test_infinity_before_the_nan")
    assert re.search(rf"first inf of the forward pass: \w+, at {where}, .* made inf at \[0\]", text)
    assert "first nan of the forward pass: mul, at" in text


def test_infinite_gradient_before_the_nan(on: None):
    x = torch.tensor([4.0, 0.0], requires_grad=True)
    y, made = torch.sqrt(x * 0), line()
    text = said(y.sum().backward)
    assert text.startswith("Function 'MulBackward0' returned nan values in its 0th output.")
    assert f"first infinite gradient: SqrtBackward0 of {__file__}:{made} in test_inf" in text
    assert "the gradient that came to it already had inf at [0] of [2]" in text


def test_nan_that_came_in(on: None):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * torch.tensor([1.0, nan])
    text = said(y.sum().backward)
    assert "first nan of the forward pass: mul, at" in text
    assert "was given nan at [1] of [2]" in text
    text = said(lambda: (x * 1).sum().backward(torch.tensor(nan)))
    assert "Function 'SumBackward0'" in text and "already had nan" in text


def test_in_place_and_slow_paths_are_watched(on: None):
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    y = torch.tensor([1.0, -2.0])
    y.sqrt_()
    assert "sqrt, at" in said(lambda: (x * y).sum().backward())
    z = torch.tensor([1.0, -2.0], dtype=torch.bfloat16).log()
    text = said(lambda: (x * z.float()).sum().backward())
    assert "log, at" in text and "made nan at [1] of [2]" in text


def test_layers_are_watched(on: None):
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.fill_(3e38)
    x = torch.full((1, 2), 10.0, requires_grad=True)
    y, made = layer(x), line()
    text = said(((y - y) * x).sum().backward)
    assert f"first inf of the forward pass: linear, at {__file__}:{made} in test_layers" in text
    assert "first nan of the forward pass: sub, at" in text


def test_graph_made_without_detection():
    """What is still saved tells which operation had the first bad value."""
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    y, made = torch.sqrt(x), line()
    loss = (y.exp() * x).sum()
    with torch.autograd.set_detect_anomaly(True):
        text = said(loss.backward)
    first = f"SqrtBackward0, called at {__file__}:{made} in test_graph"
    assert f"first nan of the forward pass: {first}" in text
    assert "saved nan at [1] of [2]" in text


@pytest.mark.parametrize("create", [False, True])
def test_double_backward(on: None, create: bool):
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    (g,) = torch.autograd.grad((x**1.5).sum(), x, create_graph=True)
    assert g.tolist() == [0.0, 1.5]
    text = said(lambda: (g * 0).sum().backward(create_graph=create))
    assert text.startswith("Function 'PowBackward0' returned nan values in its 0th output.")
    assert "gradient: nan at [0] of [2]" in text


def test_custom_function(on: None):
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * nan

    x = torch.ones(2, requires_grad=True)
    y, made = Bad.apply(x), line()
    text = said(y.sum().backward)
    assert text.startswith("Function 'BadBackward' returned nan values in its 0th output.")
    assert f"{__file__}:{made}" in text


def test_errors_inside_the_backward_pass_are_announced(on: None):
    x = torch.ones(2, requires_grad=True)
    y, made = x.exp(), line()
    y[0] = 1
    with (
        pytest.raises(RuntimeError, match="modified by an inplace"),
        pytest.warns(UserWarning, match=rf"Error detected in ExpBackward0\. .*\n  {HERE}:{made} "),
    ):
        y.sum().backward()


def test_check_nan_off():
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        assert torch.is_anomaly_enabled() and not torch.is_anomaly_check_nan_enabled()
        (torch.sqrt(x) * 0).sum().backward()
    assert str(x.grad) == "tensor([nan, 0.])"


def test_right_gradients_while_on(on: None):
    def gradients() -> list:
        x = torch.linspace(0.1, 1, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
        y = x.clone()
        y[0] *= 2
        hooked = y.exp()
        hooked.register_hook(lambda g: 3 * g)
        (a, b, c) = hooked.unbind(1)
        loss = (a * b).sum() + c.log_softmax(0)[0] + x.half().float().sum()
        (g,) = torch.autograd.grad(loss, x, create_graph=True)
        (g * g).sum().backward()
        return [g.tolist(), x.grad.tolist()]

    watched = gradients()
    with torch.autograd.set_detect_anomaly(False):
        assert gradients() == watched


def test_off_is_as_before():
    before = engine.Walk, state.mode
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        mode = torch.autograd.detect_anomaly()
    with mode:
        assert torch.is_anomaly_enabled() and torch.is_anomaly_check_nan_enabled()
        assert engine.Walk is not before[0] and state.mode[0] is not before[1][0]
        with torch.no_grad(), torch.autograd.set_detect_anomaly(False):
            assert engine.Walk is before[0] and state.mode == (before[1][0], False)
        assert engine.Walk is not before[0] and state.mode[0] is not before[1][0]
    assert (engine.Walk, state.mode) == before
    assert not torch.is_anomaly_enabled() and state.watch is None
    torch.autograd.set_detect_anomaly(True)
    torch.autograd.set_detect_anomaly(False)
    assert (engine.Walk, state.mode) == before


def test_gradients_of_other_threads_are_watched(on: None):
    raised = []

    def work() -> None:
        x = torch.tensor([-1.0, 1.0], requires_grad=True)
        try:
            (x.log() * x).sum().backward()
        except RuntimeError as e:
            raised.append(str(e))

    with pytest.warns(UserWarning, match="Error detected in MulBackward0"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert "'MulBackward0' returned nan values" in raised[0]
    assert "LogBackward0" not in raised[0] and "MulBackward0, called at" in raised[0]


def test_hooks_on_several_tensors_run_in_a_watched_pass(on: None):
    x = torch.ones(2, requires_grad=True)
    a, b = x * 2, x * 3
    seen: list = []
    torch.autograd.graph.register_multi_grad_hook((a, b), seen.append)
    (a * b).sum().backward()
    assert [g.tolist() for g in seen[0]] == [[3.0, 3.0], [2.0, 2.0]]
