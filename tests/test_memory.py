"""Graphs cost little, are freed by reference count alone, and may be as long as one likes."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import chainrule

LENGTH = 100_000


@pytest.fixture(autouse=True)
def no_collector():
    """The cycle collector stays off: reference counts must do."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def traced():
    """Bytes in use, as a function."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


def chain(x, length: int):
    """`length` nodes of four kinds, one after the other; values stay near 1."""
    y = x
    for _ in range(length // 4):
        y = (y * x - 1).exp().sqrt()
    return y


def saved_bytes(y) -> int:
    """What the arrays take that the graph of y has saved."""
    found, seen, stack = {}, set(), [y.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack += node.edges
        found |= {id(a): sys.getsizeof(a) for a in arrays_of(node.args)}
    return sum(found.values())


def arrays_of(saved):
    """The arrays among what a node saved."""
    if isinstance(saved, tuple):
        return [a for s in saved for a in arrays_of(s)]
    return [saved] if isinstance(saved, (np.ndarray, np.generic)) else []


@pytest.mark.parametrize("shape", [(), (4,)])
def test_bytes_per_node(traced: Callable, shape: tuple):
    x = chainrule.ones(shape, requires_grad=True)
    chain(x, 100).sum().backward()
    before = traced()
    y = chain(x, LENGTH)
    used = traced() - before - saved_bytes(y)
    assert used / LENGTH <= 600, f"{used / LENGTH:.0f} bytes a node"


def test_long_chain_is_built_walked_and_deleted(traced: Callable):
    """No recursion anywhere, and the memory comes back."""
    x = chainrule.ones((), requires_grad=True)
    chain(x, 100).backward()
    before = traced()
    y = chain(x, LENGTH)
    y.backward()
    assert np.isfinite(x.grad.item())
    del y
    assert traced() - before < 5 * LENGTH  # CPython keeps some tuples for the next time


def test_long_chain_is_deleted_without_backward(traced: Callable):
    x = chainrule.ones((), requires_grad=True)
    chain(x, 100).backward()
    before = traced()
    y = chain(x, LENGTH)
    del y
    assert traced() - before < 5 * LENGTH  # CPython keeps some tuples for the next time


def test_long_chain_twice_differentiated():
    x = chainrule.tensor(1.0, dtype=chainrule.float64, requires_grad=True)
    y = x
    for _ in range(5000):
        y = y * x
    (first,) = chainrule.autograd.grad(y, x, create_graph=True)
    (second,) = chainrule.autograd.grad(first, x)
    assert (first.item(), second.item()) == (5001.0, 5001.0 * 5000.0)


def test_a_thousand_training_steps(traced: Callable):
    """Memory is flat from step to step, with the collector off."""
    chainrule.manual_seed(0)
    w, b = chainrule.randn(3, 4, requires_grad=True), chainrule.zeros(4, requires_grad=True)
    x, t = chainrule.randn(8, 3), chainrule.randn(8, 4)

    def step():
        loss = ((x @ w + b).tanh() - t).pow(2).mean()
        loss.backward()
        with chainrule.no_grad():
            for p in (w, b):
                p -= 0.1 * p.grad
                p.grad = None
        return loss.item()

    first = max(step() for _ in range(100))
    before, objects = traced(), len(gc.get_objects())
    for _ in range(1000):
        last = step()
    assert last < first
    assert traced() - before < 20_000
    assert len(gc.get_objects()) - objects < 50


# -- graphs of every kind die with the last tensor that leads to them ------------------------------


def through_function(x):
    class Cube(chainrule.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            out = x * x * x
            ctx.save_for_backward(x, out)
            return out

        @staticmethod
        def backward(ctx, g):
            x, _ = ctx.saved_tensors
            return 3 * g * x * x

    return Cube.apply(x)


def with_hook(x):
    y = x.sin()
    y.register_hook(lambda g: y.detach() * g if y.requires_grad else g)
    return y.exp()


def with_retained_grad(x):
    y = x.sin()
    y.retain_grad()
    return y.exp()


def written_in_place(x):
    y = x.clone()
    y[1:3] = y[:2] * 2
    y.mul_(2)
    return y


def views(x):
    a, b = x.unbind(0)[:2]
    return (a * b).reshape(1).expand(3) * 2


def several_outputs(x):
    values, _ = x.sort()
    return values * values


def twice_differentiated(x):
    y = (x.sin() * x).sum()
    (g,) = chainrule.autograd.grad(y, x, create_graph=True)
    return g * g


GRAPHS = {
    "elementwise": lambda x: (x.exp() * x).sin(),
    "reductions": lambda x: x.softmax(0).sum() * x.max(),
    "in place": written_in_place,
    "views": views,
    "several outputs": several_outputs,
    "double backward": twice_differentiated,
    "function": through_function,
    "retained grad": with_retained_grad,
}


def witness(x):
    """A tensor between leaf and graph, and a reference to its memory."""
    y = x * 1
    return y, weakref.ref(y._data)


@pytest.mark.parametrize("build", GRAPHS.values(), ids=GRAPHS)
def test_graph_dies_with_its_tensor(build: Callable):
    x = chainrule.tensor([0.3, -0.2, 0.9, 0.5], requires_grad=True)
    y, memory = witness(x)
    out = build(y)
    del y
    del out
    assert memory() is None


@pytest.mark.parametrize("build", GRAPHS.values(), ids=GRAPHS)
def test_backward_frees_what_was_saved(build: Callable):
    x = chainrule.tensor([0.3, -0.2, 0.9, 0.5], requires_grad=True)
    y, memory = witness(x)
    out = build(y)
    del y
    out.sum().backward()
    out = out.detach().clone()
    assert memory() is None


def test_gradient_with_a_graph_makes_no_cycle():
    x = chainrule.tensor([0.3, -0.2], requires_grad=True)
    y, memory = witness(x)
    y.sin().sum().backward(create_graph=True)
    assert x.grad.requires_grad
    del y
    leaf = weakref.ref(x)
    del x
    assert leaf() is None
    assert memory() is None


def test_hook_that_holds_its_tensor_is_a_cycle_only_of_the_user():
    x = chainrule.tensor([0.3, -0.2], requires_grad=True)
    handle = x.register_hook(lambda g: g * 2)
    leaf = weakref.ref(x)
    (x * x).sum().backward()
    del x
    assert leaf() is None
    handle.remove()
