"""Bad rules, leaks, hooks that raise and writes to captured tensors, in every mode: a clear error,
and everything as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as torch
from chainrule import func
from chainrule.arrays.levels import RUNNING, stack
from chainrule.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

x = torch.tensor([0.3, -0.5, 1.2], dtype=torch.float64)
v = torch.ones(3, dtype=torch.float64)
X = torch.stack([x, 2 * x])
HERE = Path(__file__).name


def backward(f: Callable) -> Any:
    leaf = x.clone().requires_grad_()
    try:
        f(leaf).sum().backward()
    finally:
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()
    return leaf.grad


MODES: dict[str, Callable] = {
    "backward": backward,
    "grad": lambda f: grad(lambda u: f(u).sum())(x),
    "vjp": lambda f: vjp(f, x)[1](v),
    "vmap of grad": lambda f: vmap(grad(lambda u: f(u).sum()))(X),
    "jacrev": lambda f: jacrev(f)(x),
    "hessian": lambda f: hessian(lambda u: f(u).sin().sum())(x),
    "jvp of grad": lambda f: jvp(grad(lambda u: f(u).sin().sum()), (x,), (v,)),
}
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """After a test no transformation runs, and operations are recorded as before."""
    before = set(RUNNING)
    yield
    assert not stack.levels and stack.passing is None and before == RUNNING
    assert torch.is_grad_enabled()
    assert torch.equal(grad(lambda u: (u**2).sum())(x), 2 * x)


# -- rules -----------------------------------------------------------------------------------------


def twice(vjp: Any) -> Callable:
    @torch.autograd.rule(vjp=vjp)
    def twice(a, /):
        return a * 2

    return twice


def product(vjp: Any) -> Callable:
    @torch.autograd.rule(vjp=vjp)
    def product(a, b, /):
        return a * b

    return lambda u: product(u, u * 2)


BAD_RULES = {
    "shape": (twice(lambda g: np.concatenate([g, g])), "gradient of shape .* for a"),
    "rank": (twice(lambda g: g[None, None][..., :2]), "gradient of shape .* for a"),
    "dtype": (twice(lambda g: np.ones(g.shape, np.int64)), "dtype int64 for a"),
    "nothing": (twice(lambda g: None), "NoneType where an array"),
    "a list": (twice(lambda g: [1, 2, 3]), "list where an array"),
    "too few": (product(lambda g, a, b: (g * b,)), r"a tuple of 2 gradients \(a, b\), got 1"),
    "too many": (product(lambda g, a, b: (g * b, g * a, g)), "a tuple of 2 gradients .*, got 3"),
    "no tuple": (product(lambda g, a, b: g * b), "a tuple of 2 gradients"),
}


@each_mode
@pytest.mark.parametrize("bad", BAD_RULES)
def test_bad_rules_are_named_with_their_line(bad: str, mode: str):
    f, words = BAD_RULES[bad]
    with pytest.raises(RuntimeError, match=rf"{HERE}:\d+.*{words}"):
        MODES[mode](f)


def bad_function(returned: Callable) -> Callable:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(a, b):
            return a * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return returned(g)

    return lambda u: Twice.apply(u, 2)


BAD_BACKWARDS = {
    "shape": (lambda g: (torch.cat([g, g]), None), "returned an invalid gradient at index 0"),
    "complex": (lambda g: (g + 1j, None), "returned an invalid gradient at index 0"),
    "too few": (lambda g: g, "returned an incorrect number of gradients"),
    "too many": (lambda g: (g, None, g), "returned an incorrect number of gradients"),
    "no tensor": (lambda g: (3.0, None), "expected Variable or None"),
    "constants": (lambda g: (g, g), "returned a gradient different than None at position 1"),
}


@each_mode
@pytest.mark.parametrize("bad", BAD_BACKWARDS)
def test_bad_backwards_are_named_with_their_line(bad: str, mode: str):
    returned, words = BAD_BACKWARDS[bad]
    with pytest.raises(RuntimeError, match=rf"{words}[\s\S]*{HERE}:\d+"):
        MODES[mode](bad_function(returned))


# -- hooks -----------------------------------------------------------------------------------------


def raises(*grads: Any) -> Any:
    raise ValueError("this hook is broken")


def with_hook(hook: Callable, of_node: bool) -> Callable:
    def f(u: Any) -> Any:
        s = u * 2
        s.grad_fn.register_hook(hook) if of_node else s.register_hook(hook)
        return s

    return f


@each_mode
@pytest.mark.parametrize("of_node", [False, True])
def test_hooks_that_raise(mode: str, of_node: bool):
    with pytest.raises(ValueError, match="this hook is broken") as caught:
        MODES[mode](with_hook(raises, of_node))
    assert any(entry.name == "raises" for entry in caught.traceback)  # its line is shown


@each_mode
def test_hooks_that_return_something_else(mode: str):
    with pytest.raises(RuntimeError, match="has changed the size of value"):
        MODES[mode](with_hook(lambda g: torch.cat([g, g]), False))
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'int'"):
        MODES[mode](with_hook(lambda g: 3, False))


def test_hooks_belong_to_the_transformation_they_are_registered_in():
    """As torch's figures: the outer gradient is that of 2 (u^2)' = 4u, hook or not."""
    calls = []

    def f(u):
        s = u * u
        s.register_hook(lambda g: calls.append(1) or 2 * g)
        return s.sum()

    assert torch.equal(grad(lambda u: grad(f)(u).sum())(x), 4 * v)
    assert len(calls) == 1
    leaf = x.clone().requires_grad_()
    grad(f)(leaf).sum().backward()
    assert torch.equal(leaf.grad, 4 * v) and len(calls) == 2
    out, pull = vjp(f, x)
    assert torch.equal(pull(torch.ones_like(out))[0], 4 * x)
    out, push = linearize(f, x)  # forward mode has no gradients to hook
    assert torch.equal(push(v), (2 * x).sum()) and len(calls) == 3


# -- leaks -----------------------------------------------------------------------------------------

USES: dict[str, Callable] = {
    "add": lambda t: t + 1,
    "item": lambda t: t.sum().item(),
    "tolist": lambda t: t.tolist(),
    "numpy": lambda t: t.detach().numpy(),
    "bool": lambda t: bool(t.sum() > 0),
    "another vmap": lambda t: vmap(lambda u: u + t)(X),
    "write": lambda t: t.add_(1),
}


@pytest.mark.parametrize("use", USES)
def test_examples_that_leak_say_so(use: str):
    for run in (vmap, lambda f: vmap(grad(lambda u: f(u).sum()))):
        kept = []
        run(lambda u, kept=kept: kept.append(u * 2) or u)(X)
        with pytest.raises(RuntimeError, match="used after that vmap had ended"):
            USES[use](kept[0])


def test_dual_tensors_that_leak_are_their_values():
    kept = []
    jvp(lambda u: kept.append(u * 2) or u, (x,), (v,))
    assert torch.equal(kept[0] + 1, 2 * x + 1) and isinstance(kept[0].numpy(), np.ndarray)
    assert kept[0].tolist() == (2 * x).tolist()


def test_numpy_cannot_look_inside():
    def look(u):
        u.detach().numpy() if u.requires_grad else u.numpy()
        return u * 2

    for run in (lambda: vmap(look)(X), lambda: jvp(look, (x,), (v,)), lambda: jacfwd(look)(x)):
        with pytest.raises(RuntimeError, match="Cannot access data pointer of Tensor"):
            run()


# -- writes to what was captured -------------------------------------------------------------------

CAPTURED = torch.zeros(3, dtype=torch.float64)
WRITES: dict[str, Callable] = {
    "add_": lambda c, u: c.add_(u),
    "assignment": lambda c, u: c.__setitem__(0, u[0]),
    "a number": lambda c, u: c.__setitem__(0, 1.0),
    "through a view": lambda c, u: c[:2].mul_(3.0),
    "copy_": lambda c, u: c.copy_(u),
}
TRANSFORMS: dict[str, Callable] = {
    "grad": lambda f: grad(f)(x),
    "vjp": lambda f: vjp(f, x),
    "jvp": lambda f: jvp(f, (x,), (v,)),
    "jacrev": lambda f: jacrev(f)(x),
    "hessian": lambda f: hessian(f)(x),
    "vmap of grad": lambda f: vmap(grad(f))(X),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("write", WRITES)
def test_captured_tensors_are_not_written(write: str, transform: str):
    own = torch.ones(3, dtype=torch.float64)

    def by_closure(u):
        WRITES[write](own, u)
        return (u * own).sum()

    def by_name(u):
        WRITES[write](CAPTURED, u)
        return (u * CAPTURED).sum()

    for f, tensor in ((by_closure, own), (by_name, CAPTURED)):
        before = tensor.clone()
        with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
            TRANSFORMS[transform](f)
        assert torch.equal(tensor, before) and not tensor.requires_grad


def test_buffers_of_a_module_are_written_only_as_arguments():
    norm = torch.nn.BatchNorm1d(3, dtype=torch.float64)
    parameters, buffers = dict(norm.named_parameters()), dict(norm.named_buffers())
    before = {k: t.clone() for k, t in buffers.items()}

    def loss(p, b):
        return func.functional_call(norm, (p, b), (X,)).sin().sum()

    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        grad(lambda p: loss(p, buffers))(parameters)
    with pytest.raises(RuntimeError, match="would mutate a captured Tensor"):
        grad(lambda u: norm(u).sum())(X)
    assert all(torch.equal(t, before[k]) for k, t in buffers.items())
    grad(loss)(parameters, buffers)
    assert not torch.equal(buffers["running_mean"], before["running_mean"])


def test_tensors_made_inside_are_written():
    def f(u):
        total = torch.zeros(3, dtype=torch.float64)

        def add(w):
            total.add_(w * w)

        add(u)
        total[0] = u[1]
        return total

    expected = torch.stack(
        [torch.stack([0 * x[0], 1 + 0 * x[0], 0 * x[0]]), *torch.diag(2 * x)[1:]]
    )
    for way in (jacrev, jacfwd):
        assert torch.equal(way(f)(x), expected)
    assert torch.equal(hessian(lambda u: f(u).sum())(x), torch.diag(2 * v - torch.eye(3)[0] * 2))
