"""Errors that name lines: overwritten values, freed graphs, and why a parameter has no gradient."""

from __future__ import annotations

import functools
import gc
import inspect
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import chainrule as torch
from chainrule import cuts, why_no_grad
from chainrule.nn import functional as F

HERE = re.escape(__file__)


def line() -> int:
    """The line of the call."""
    return sys._getframe(1).f_lineno


def unrecorded(f: Callable) -> Callable:
    @functools.wraps(f)
    def inside(y: torch.Tensor) -> None:
        with torch.no_grad():
            f(y)

    return inside


# -- overwritten -----------------------------------------------------------------------------------

ones, long = torch.ones, torch.long
first = torch.tensor([0])
WRITES: dict[str, Callable] = {
    "add_": lambda y: y.add_(1),
    "+=": lambda y: y.__iadd__(1),
    "sigmoid_": lambda y: y.sigmoid_(),
    "clamp_": lambda y: y.clamp_(0, 1),
    "y[0] = number": lambda y: y.__setitem__(0, 5.0),
    "y[:2] = tensor": lambda y: y.__setitem__(slice(0, 2), torch.zeros(2)),
    "y[mask] = number": lambda y: y.__setitem__(y > 2, 0.0),
    "y[indices] = number": lambda y: y.__setitem__(first, 0.0),
    "y[0] = number, no_grad": unrecorded(lambda y: y.__setitem__(0, 5.0)),
    "out=": unrecorded(lambda y: torch.add(ones(4), 1, out=y)),
    "out= of a detached tensor": lambda y: torch.add(ones(4), 1, out=y.detach()),
    "out= of a view": unrecorded(lambda y: torch.sum(ones(4), 0, out=y[0])),
    "out= of two": unrecorded(lambda y: torch.sort(ones(4), out=(y, torch.zeros(4, dtype=long)))),
    "out= of a factory": unrecorded(lambda y: torch.rand(4, out=y)),
    "copy_": lambda y: y.copy_(torch.zeros(4)),
    "fill_": lambda y: y.fill_(1.0),
    "zero_": lambda y: y.zero_(),
    "view": lambda y: y[1:].mul_(2),
    "view of a view": lambda y: y.view(2, 2).t().add_(1),
    "diagonal": lambda y: y.view(2, 2).diagonal().fill_(0.0),
    "unbind, no_grad": unrecorded(lambda y: y.unbind(0)[0].add_(1)),
    "detach": lambda y: y.detach().mul_(2),
    "normal_": lambda y: y.normal_(),
    "uniform_": unrecorded(lambda y: y.uniform_()),
    "random_": lambda y: y.random_(5),
    "nn.init": lambda y: torch.nn.init.zeros_(y),
    "masked_fill_": lambda y: y.masked_fill_(y > 2, 0.0),
    "index_add_": lambda y: y.index_add_(0, first, ones(1)),
    "scatter_": lambda y: y.scatter_(0, first, 1.0),
    "index_put_": lambda y: y.index_put_((first,), ones(1)),
    "masked_scatter_": lambda y: y.masked_scatter_(y > 2, ones(4)),
    "addcmul_": lambda y: y.addcmul_(ones(4), ones(4)),
    "addmv_": lambda y: y.addmv_(ones(4, 4), ones(4)),
    "relu_": lambda y: torch.relu_(y),
    "dropout, inplace": lambda y: F.dropout(y, 0.5, inplace=True),
    "increment_version": lambda y: torch.autograd.graph.increment_version(y),
    "from_numpy": lambda y: torch.from_numpy(y.detach().numpy()).add_(1),
}


@pytest.mark.parametrize("name", WRITES)
def test_overwritten_value_names_both_lines(name: str):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = x * 2
    z, saved = y * y, line()
    WRITES[name](y)
    code = inspect.unwrap(WRITES[name]).__code__
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as e:
        z.sum().backward()
    said = str(e.value)
    assert f"saved at {__file__}:{saved} in test_overwritten" in said
    written = re.search(rf"overwritten at {HERE}:(\d+) in (<lambda>|inside)", said)
    assert written, said
    assert int(written[1]) in range(code.co_firstlineno, code.co_firstlineno + 4)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Rprop"])
def test_optimizer_step_overwrites(name: str):
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = getattr(torch.optim, name)([p], lr=0.1)
    z, saved = (p * p).sum(), line()
    z.backward(retain_graph=True)
    at = line() + 1
    optimizer.step()
    with pytest.raises(RuntimeError, match=rf"{HERE}:{saved} .*overwritten at {HERE}:{at} "):
        z.backward()


# -- freed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "walk",
    [
        lambda y, x: y.backward(),
        lambda y, x: torch.autograd.backward(y),
        lambda y, x: torch.autograd.backward([y], inputs=[x]),
        lambda y, x: torch.autograd.grad(y, x),
    ],
)
def test_second_backward_names_the_first(walk: Callable):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y, made = (x * x).sum(), line()
    walk(y, x)
    freed = walk.__code__.co_firstlineno
    with pytest.raises(RuntimeError, match=r"Trying to backward .* a second time") as e:
        y.backward()
    assert f"MulBackward0, made at {__file__}:{made} in test_second" in str(e.value)
    assert f"the backward pass at {__file__}:{freed} in <lambda> freed it" in str(e.value)


def test_freed_node_takes_notes_of_its_own():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp() * x.sin()
    y.sum().backward()
    first, second = (n for n, _ in y.grad_fn.next_functions)
    first.metadata["mine"] = 1
    assert first.metadata == {"mine": 1} and second.metadata == {}
    with pytest.raises(RuntimeError, match="second time"):
        first.register_prehook(lambda g: None) and y.sum().backward()


def test_saved_tensors_of_a_freed_function():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return g * 2 * (ctx.saved_tensors[0] > 0)

    y = Double.apply(torch.ones(2, requires_grad=True)).sum()
    at = line() + 1
    y.backward()
    with pytest.raises(RuntimeError, match=rf"the backward pass at {HERE}:{at} .* freed it"):
        y.backward()


# -- why_no_grad -----------------------------------------------------------------------------------


def in_no_grad(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        h = p * 2
    return (h * q).sum()


def view_in_no_grad(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        h = p[1:]
    return (h * q[1:]).sum()


def in_inference(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        h = (p * 2).tolist()
    return h[0] * q.sum()


def switched_off(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    torch.set_grad_enabled(False)
    h = p * 2
    torch.set_grad_enabled(True)
    return (h * q).sum()


@torch.no_grad()
def frozen(p: torch.Tensor) -> torch.Tensor:
    return p * 3


# kind -> (the loss of two parameters, what the notes say, what running it says)
LOSSES: dict[str, tuple[Callable, str, str]] = {
    "detach": (lambda p, q: ((p * 2).detach() * q).sum(), "detach() at", "detach() at"),
    "data": (lambda p, q: (p.data * q).sum(), ".data at", ".data at"),
    "item": (lambda p, q: (p * 2).sum().item() * q.sum(), "item() at", "item() at"),
    "float": (lambda p, q: float((p * 2).sum().abs()) * q.sum(), "Python number at", "number at"),
    "tolist": (lambda p, q: (p * 2).tolist()[0] * q.sum(), "tolist() at", "tolist() at"),
    "long": (lambda p, q: ((p * 2).long() * q).sum(), "integers or bools at", "or bools at"),
    "bool": (lambda p, q: ((p * 2).to(torch.bool) * q).sum(), "integers or bools at", "bools at"),
    "numpy": (
        lambda p, q: (torch.from_numpy(np.tanh((p * 2).detach().numpy())) * q).sum(),
        "detach() at",
        "detach() at",
    ),
    "forced numpy": (
        lambda p, q: (torch.from_numpy((p * 2).numpy(force=True)) * q).sum(),
        "numpy(force=True) at",
        "numpy(force=True) at",
    ),
    "list": (lambda p, q: (torch.tensor([p[0], p[1]]) * q).sum(), "a copy at", "a copy at"),
    "argmax": (lambda p, q: (p * 2).argmax() * q.sum(), "argmax at", "argmax at"),
    "argsort": (lambda p, q: (p * 2).argsort().sum() * q.sum(), "argsort at", "argsort at"),
    "comparison": (lambda p, q: ((p > 1) * q).sum(), "Nothing cut", "gt at"),
    "no_grad": (in_no_grad, "no_grad() at", "mul at"),
    "view in no_grad": (view_in_no_grad, "no_grad() at", "used a view made without recording"),
    "inference_mode": (in_inference, "inference_mode() at", "mul at"),
    "set_grad_enabled": (switched_off, "set_grad_enabled(False) at", "mul at"),
    "decorated": (lambda p, q: (frozen(p) * q).sum(), "no_grad() at", "mul at"),
}


@pytest.fixture
def fresh():
    """No notes from before."""
    cuts.CUTS.clear()
    cuts.BLOCKS.clear()


def parameters() -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1.0, 2.0], requires_grad=True),
    )


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("name", LOSSES)
def test_cut_is_named_with_its_line(name: str, fresh: None, capsys: pytest.CaptureFixture):
    compute, noted, seen = LOSSES[name]
    p, q = parameters()
    loss = compute(p, q)
    loss.backward()
    assert p.grad is None and q.grad is not None
    code = frozen.__wrapped__.__code__ if name == "decorated" else compute.__code__
    lines = range(code.co_firstlineno, code.co_firstlineno + 4)
    for by, expected in ((loss, noted), (lambda: compute(p, q), seen)):
        told = why_no_grad(p, by)
        assert capsys.readouterr().out.endswith(told + "\n")
        assert told.startswith("The loss has a graph, but the tensor is not in it.")
        found = [s for s in told.split("\n") if expected in s]
        assert found, told
        if expected != "Nothing cut":
            at = re.search(rf"at {HERE}:(\d+)", found[0])
            assert at and int(at[1]) in lines, told
        assert "The loss depends on the tensor, by way of:" in why_no_grad(q, loss)


def test_running_leaves_other_tensors_out(fresh: None):
    """Only cuts of what depends on the parameter count, however many others there are."""
    p, q = parameters()

    def compute() -> torch.Tensor:
        q.detach().item if q.numel() == 1 else q.tolist()
        with torch.no_grad():
            q * 2
        return (p.exp().round().detach() * q).sum()

    told = why_no_grad(p, compute)
    assert told.count(__file__) == 1 and "detach() at" in told


def test_layers(fresh: None):
    first, second = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)
    x = torch.ones(4, 2)

    def compute() -> torch.Tensor:
        with torch.no_grad():
            h = first(x).relu()
        return second(h).sum()

    at = compute.__code__.co_firstlineno
    told = why_no_grad(first.weight, compute)
    assert f"linear at {__file__}:{at + 2} in compute was not recorded" in told
    assert f"in the no_grad() block of {__file__}:{at + 1} in compute" in told
    assert "AddmmBackward0" in why_no_grad(second.weight, compute)


def test_no_graph(fresh: None):
    p, _ = parameters()
    at = line() + 1
    loss = (p * 2).sum().detach()
    told = why_no_grad(p, loss)
    assert told.startswith("The loss has no graph")
    assert f"detach() at {__file__}:{at} " in told


def test_reached_but_none():
    p, q = parameters()
    loss = (p * q).sum()
    torch.autograd.grad(loss, p)
    told = why_no_grad(p, loss)
    assert re.search(rf"SumBackward0, {HERE}:\d+ .*\n  MulBackward0, {HERE}:\d+ ", told)
    assert "autograd.grad()" in told
    q.grad = torch.ones(2)
    assert why_no_grad(q, loss).endswith("and its .grad is there.")


def test_long_ways_are_shortened():
    p, _ = parameters()
    y = p
    for _ in range(100):
        y = y * 2
    assert "... 93 more ..." in why_no_grad(p, y.sum())


def test_parameter_that_is_none(fresh: None):
    p, q = parameters()
    loss = (q * 2).sum()
    at = line() + 1
    made = p * 2
    assert f"MulBackward0 computed it at {__file__}:{at} " in why_no_grad(made, loss)
    assert "does not require grad" in why_no_grad(torch.ones(2), loss)
    assert "dtype torch.int64" in why_no_grad(torch.tensor([1]), loss)
    told = why_no_grad(p, loss)
    assert "Nothing cut" in told and "1 of the same shape" in told
    assert "does not use the tensor" in why_no_grad(p, lambda: (q * 2).sum())
    with pytest.raises(TypeError, match="a Tensor, not a int"):
        why_no_grad(1, loss)
    with pytest.raises(TypeError, match=r"the loss, a Tensor, or a function .*, not a str"):
        why_no_grad(p, "loss")
    assert "returned no tensor but a float" in why_no_grad(p, lambda: (p * 2).sum().item())


def test_running_leaves_the_modes_as_they_were():
    p, _ = parameters()
    before = torch.autograd.modes.state.mode
    with pytest.raises(ZeroDivisionError):
        why_no_grad(p, lambda: (p * (1 // 0)).sum())
    assert torch.autograd.modes.state.mode is before and cuts.journal.listener is None


def test_notes_keep_nothing_alive():
    p, q = parameters()
    saved = q * 2
    y = p * saved
    watched = [weakref.ref(t) for t in (p, saved, y)] + [weakref.ref(saved._data)]
    y.detach(), y.sum().item(), y.long(), y.argmax()
    gc.collect()
    gc.disable()
    try:
        del p, q, saved, y
        assert [r() for r in watched] == [None] * 4
    finally:
        gc.enable()


def test_notes_are_bounded(fresh: None):
    p, _ = parameters()
    lines = "\n".join("y.detach()" for _ in range(cuts.MOST + 50))
    exec(compile(lines, "many.py", "exec"), {"y": p * 2})
    assert len(cuts.CUTS) == cuts.MOST
    assert any(c.line.startswith(f"many.py:{cuts.MOST + 50}") for c in cuts.CUTS.values())


def test_line_that_cuts_in_a_loop(fresh: None):
    """A line serves one model after the other; the notes follow."""

    def read(x: torch.Tensor) -> float:
        return x.item()

    for _ in range(3):
        p, q = parameters()
        for _ in range(20):
            loss = read((p * 2).sum()) * q.sum()
        told = why_no_grad(p, loss)
        assert "item() at" in told
        del p, q, loss
        gc.collect()


def test_item_of_a_large_graph_is_cheap(fresh: None):
    """The graph is walked at few of many visits of a line."""
    p, _ = parameters()
    y = p
    for _ in range(500):
        y = y * 1.01
    loss = y.sum()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            loss.item()
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 30e-6


def test_threads_note_at_the_same_time(fresh: None):
    p, q = parameters()

    def work() -> None:
        for _ in range(300):
            (p * 2).sum().item()
            with torch.no_grad():
                p * 2

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    (found,) = cuts.CUTS.values()
    assert found.hits == 2400 and found.off(p) and not found.off(q)
