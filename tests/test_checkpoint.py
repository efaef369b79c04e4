"""Checkpoints: the same values and gradients as without them, less memory, clear errors.

Everything holds in torch too (run there while writing), but what is under "beyond torch".
"""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref

import pytest

import chainrule as torch
from chainrule.autograd import Function, grad
from chainrule.autograd.graph import saved_tensors_hooks
from chainrule.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    detach_variable,
    noop_context_fn,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

close = torch.testing.assert_close
nn, F = torch.nn, torch.nn.functional
both = pytest.mark.parametrize("reentrant", [True, False])


def leaf(*values):
    """A leaf with these values."""
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


class Counted:
    """A function that counts its calls."""

    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.f(*args, **kwargs)


def wave(x):
    """Something with a few saved values."""
    return (x.exp() * x).sin().tanh()


# -- values and gradients --------------------------------------------------------------------------


@both
def test_runs_twice_and_gives_the_same(reentrant):
    x = leaf(0.1, 0.2)
    (expected,) = grad(wave(x).sum(), x)
    f = Counted(wave)
    y = checkpoint(f, x, use_reentrant=reentrant)
    assert f.calls == 1
    close(y.detach(), wave(x).detach())
    y.sum().backward()
    assert f.calls == 2
    close(x.grad, expected, rtol=0, atol=0)


def test_arguments_by_name():
    x = leaf(0.1, 0.2)
    y = checkpoint(lambda a, b=2.0: (a.exp() * b).sin(), x, b=3.0, use_reentrant=False)
    y.sum().backward()
    close(x.grad, ((3 * x.exp()).cos() * 3 * x.exp()).detach())
    with pytest.raises(ValueError, match="Unexpected keyword arguments: b"):
        checkpoint(wave, x, b=3.0, use_reentrant=True)
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(wave, x, debug=True, use_reentrant=True)


def test_the_choice_must_be_made():
    x = leaf(0.1)
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed explicitly"):
        y = checkpoint(wave, x)
    assert y.grad_fn.name() == "CheckpointFunctionBackward"
    with pytest.warns(UserWarning, match="checkpoint_sequential: the use_reentrant parameter"):
        checkpoint_sequential([wave, wave], 2, x)


@both
def test_parameters_outside_of_the_arguments(reentrant):
    linear = nn.Linear(3, 2)
    x = torch.rand(4, 3, requires_grad=True)
    expected = grad(linear(x).tanh().sum(), [x, *linear.parameters()])
    checkpoint(lambda a: linear(a).tanh(), x, use_reentrant=reentrant).sum().backward()
    close([x.grad, *[p.grad for p in linear.parameters()]], list(expected))


def test_inputs_without_gradient():
    linear = nn.Linear(3, 2)
    checkpoint(linear, torch.ones(1, 3), use_reentrant=False).sum().backward()
    close(linear.weight.grad, torch.ones(2, 3))
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        y = checkpoint(linear, torch.ones(1, 3), use_reentrant=True)
    assert not y.requires_grad
    with torch.no_grad():
        assert not checkpoint(wave, leaf(0.1), use_reentrant=False).requires_grad


@both
def test_outputs_of_any_kind(reentrant):
    x = leaf(0.1)
    a, b, c = checkpoint(lambda v: (v.sin(), v.exp().detach(), 3), x, use_reentrant=reentrant)
    assert (a.requires_grad, b.requires_grad, c) == (True, reentrant, 3)
    a.sum().backward()
    close(x.grad, x.cos().detach())
    if not reentrant:
        checkpoint(lambda v: {"k": [v.sin()]}, x, use_reentrant=False)["k"][0].sum().backward()
        close(x.grad, 2 * x.cos().detach())


def test_a_network_with_every_kind_of_layer():
    def run(checkpointed):
        torch.manual_seed(3)
        conv, lstm = nn.Conv2d(1, 2, 3), nn.LSTM(4, 3, batch_first=True)
        embed, attend = nn.Embedding(5, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        norm = nn.BatchNorm2d(2)

        def f(places, image):
            h, _ = lstm(embed(places))
            o, _ = attend(embed(places), embed(places), embed(places))
            u = F.max_pool2d(F.gelu(norm(conv(image))), 2)
            return (
                h.sum()
                + o.pow(2).sum()
                + F.dropout(u, 0.3).sum()
                + torch.cat([u, u * 2]).std()
                + torch.einsum("ij,kj->ik", h[0], h[1]).logsumexp(0).sum()
                + u.sort(-1)[0][..., 0].cumsum(0).max()
                + F.cross_entropy(o.flatten(0, 1), places.flatten() % 4)
            )

        places, image = torch.tensor([[0, 1, 2], [2, 3, 4]]), torch.rand(2, 1, 6, 6)
        y = checkpoint(f, places, image, use_reentrant=False) if checkpointed else f(places, image)
        y.backward()
        return [y, *[p.grad for m in (conv, lstm, embed, attend, norm) for p in m.parameters()]]

    for got, expected in zip(run(True), run(False), strict=True):
        close(got, expected, rtol=0, atol=0)


@both
def test_in_place_operations_inside(reentrant):
    def f(a):
        b = a * 2
        b.sin_()
        c = b[:1]
        c.mul_(3)
        b.pow_(2)
        return b.sin()

    x = leaf(0.1, 0.2)
    (expected,) = grad(f(x).sum(), x)
    checkpoint(f, x, use_reentrant=reentrant).sum().backward()
    close(x.grad, expected)


@both
def test_an_input_that_is_overwritten_is_noticed(reentrant):
    x = leaf(0.1)
    y = x * 2
    z = checkpoint(wave, y, use_reentrant=reentrant)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    assert x.grad is None


# -- random numbers --------------------------------------------------------------------------------


@both
def test_random_numbers_are_the_same_again(reentrant):
    x = torch.ones(64, requires_grad=True)
    torch.manual_seed(0)
    y = checkpoint(lambda a: F.dropout(a, 0.5) * a, x, use_reentrant=reentrant)
    middle = torch.rand(1)
    y.sum().backward()
    after = torch.rand(1)
    close(x.grad, 2 * y.detach())
    torch.manual_seed(0)
    F.dropout(x, 0.5)
    close(middle, torch.rand(1))
    close(after, torch.rand(1))  # the backward pass has left no trace


@both
def test_random_numbers_that_are_not_preserved(reentrant):
    x = torch.ones(64, requires_grad=True)
    f = lambda a: F.dropout(a, 0.5) * a  # noqa: E731
    y = checkpoint(f, x, use_reentrant=reentrant, preserve_rng_state=False)
    y.sum().backward()
    assert not torch.equal(x.grad, 2 * y.detach())


@both
def test_random_numbers_of_the_second_run_alone_leave_no_trace(reentrant):
    def drawing(a):
        torch.manual_seed(7)
        return a.exp() * torch.rand(1, dtype=torch.float64)

    for first, second in ((torch.exp, drawing), (drawing, drawing)):
        x = leaf(0.1)
        y = checkpoint(unsteady(first, second), x, use_reentrant=reentrant, **LENIENT[reentrant])
        torch.manual_seed(5)
        y.sum().backward()
        found = torch.rand(1)
        torch.manual_seed(5)
        close(found, torch.rand(1))


LENIENT = {True: {}, False: {"determinism_check": "none", "early_stop": True}}


# -- gradients in every way ------------------------------------------------------------------------


def test_grad_and_double_backward():
    x = leaf(0.1, 0.2)
    orders = []
    for y in (wave(x), checkpoint(wave, x, use_reentrant=False)):
        (g,) = grad(y.sum(), x, create_graph=True)
        (h,) = grad(g.sum(), x, create_graph=True)
        orders.append((g, h, *grad(h.sum(), x)))
    close(orders[0], orders[1])


def test_reentry_is_for_backward_alone():
    x = leaf(0.1)
    y = checkpoint(wave, x, use_reentrant=True).sum()
    with pytest.raises(RuntimeError, match=r"incompatible with .grad\(\)"):
        grad(y, x, retain_graph=True)
    with pytest.raises(RuntimeError, match="an `inputs` parameter"):
        y.backward(inputs=[x], retain_graph=True)
    y.backward()
    assert x.grad is not None


@both
def test_several_backward_passes(reentrant):
    x = leaf(0.1)
    f = Counted(wave)
    y = checkpoint(f, x, use_reentrant=reentrant).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert f.calls == 3
    close(x.grad, 2 * grad(wave(x).sum(), x)[0])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_a_part_of_the_graph():
    x, w = leaf(0.1), leaf(0.3)
    f = Counted(lambda a, b: (a.exp() * b.sin()).tanh())
    y = checkpoint(f, x, w, use_reentrant=False).sum()
    (gx,) = grad(y, x, retain_graph=True)
    (gw,) = grad(y, w)
    close((gx, gw), grad(f.f(x, w).sum(), (x, w)))


def test_backward_inside():
    def slope_times(a, create):
        (g,) = grad(a.exp().sum(), a, create_graph=create)
        return g * a

    for create in (True, False):
        for early in (True, False):
            x = leaf(0.1, 0.2)
            expected = grad(slope_times(x, create).sum(), x)[0]
            y = checkpoint(slope_times, x, create, use_reentrant=False, early_stop=early)
            y.sum().backward()
            close(x.grad, expected)


def test_hooks_inside_and_outside():
    x = leaf(0.1)
    seen = []

    def f(a):
        b = a.exp()
        b.register_hook(lambda g: seen.append(g.item()))
        return b.sin()

    y = checkpoint(f, x, use_reentrant=False)
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    close(seen, [2 * x.exp().cos().item()])


def test_saved_hooks_around_keep_the_inputs():
    x = leaf(0.1)
    log = []
    with saved_tensors_hooks(lambda t: log.append(tuple(t.shape)) or t.clone(), lambda t: t):
        y = checkpoint(wave, x * 2, use_reentrant=False)
    assert log == [(1,)]
    y.sum().backward()
    close(x.grad, 2 * grad(wave(a := leaf(0.2)).sum(), a)[0])


def test_a_saved_value_can_be_looked_at():
    x = leaf(0.1)
    y = checkpoint(torch.exp, x, use_reentrant=False)
    for _ in range(2):
        close(y.grad_fn._saved_result.detach(), y.detach())
    y.sum().backward()
    close(x.grad, y.detach())


# -- checkpoints in checkpoints --------------------------------------------------------------------


def nest(depth, x):
    """`depth` checkpoints inside one another."""
    if depth == 0:
        return x.sin()
    return checkpoint(nest, depth - 1, (x * 0.5).exp(), use_reentrant=False) * x.cos()


def unnest(depth, x):
    """The same without checkpoints."""
    return x.sin() if depth == 0 else unnest(depth - 1, (x * 0.5).exp()) * x.cos()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_nested(depth):
    x = leaf(0.1, 0.2)
    orders = []
    for f in (unnest, nest):
        (g,) = grad(f(depth, x).sum(), x, create_graph=True)
        orders.append((g, *grad(g.sum(), x)))
    close(orders[0], orders[1])


def test_nested_side_by_side():
    def outer(a):
        b = checkpoint(wave, a * 2, use_reentrant=False)
        return checkpoint(wave, b.tanh(), use_reentrant=False) * b

    x = leaf(0.1, 0.2)
    y = checkpoint(outer, x, use_reentrant=False)
    y.sum().backward()
    b = wave(x * 2)
    close(x.grad, grad((wave(b.tanh()) * b).sum(), x)[0])


@pytest.mark.parametrize(("outer", "inner"), [(True, True), (True, False), (False, True)])
def test_nested_of_both_kinds(outer, inner):
    def f(a):
        return checkpoint(torch.sin, a.exp(), use_reentrant=inner) * a

    x = leaf(0.1, 0.2)
    quiet = pytest.warns(UserWarning) if outer and inner else contextlib.nullcontext()
    with quiet:  # the inner one sees inputs without gradient in the first run
        y = checkpoint(f, x, use_reentrant=outer)
    y.sum().backward()
    close(x.grad, grad((x.exp().sin() * x).sum(), x)[0])


# -- memory and work -------------------------------------------------------------------------------


def test_intermediate_values_are_not_kept():
    refs = []

    def f(a):
        for _ in range(3):
            a = a.exp().sin()
            refs.append(weakref.ref(a._data))
        return a.sum()

    gc.disable()
    try:
        y = checkpoint(f, torch.rand(100, requires_grad=True), use_reentrant=False)
        assert all(r() is None for r in refs)
        y.backward()
        del y
        assert len(refs) == 5  # the last one is not needed again
        assert all(r() is None for r in refs)
    finally:
        gc.enable()


def test_inner_checkpoints_leave_nothing_but_the_outer_inputs():
    refs = []

    def inner(a):
        return a.exp().sin()

    def outer(a):
        for _ in range(3):
            a = checkpoint(inner, a, use_reentrant=False)
            refs.append(weakref.ref(a._data))
        return a.sum()

    y = checkpoint(outer, torch.rand(100, requires_grad=True), use_reentrant=False)
    assert all(r() is None for r in refs)
    y.backward()


@pytest.mark.parametrize("early", [True, False])
def test_early_stop(early):
    steps = []

    def f(a):
        b = a.exp()
        steps.append(1)
        c = b.sin()
        steps.append(2)
        return c + 1

    x = leaf(0.1)
    with set_checkpoint_early_stop(early):
        first = checkpoint(f, x, use_reentrant=False)
    second = checkpoint(f, x, use_reentrant=False, early_stop=early)
    for y in (first, second):
        steps.clear()
        y.sum().backward()
        assert steps == ([1] if early else [1, 2])


# -- what goes wrong -------------------------------------------------------------------------------


def unsteady(first, second):
    """A function that does one thing in its first call and another in the second."""
    calls = []

    def f(a):
        calls.append(1)
        return first(a) if len(calls) == 1 else second(a)

    return f


def test_a_run_that_saves_less_or_more():
    def less(a):
        return a.exp()

    def more(a):
        return a.exp().sin()

    x = leaf(0.1)
    with pytest.raises(CheckpointError, match="A different number of tensors was saved during"):
        checkpoint(unsteady(more, less), x, use_reentrant=False).sum().backward()
    y = checkpoint(unsteady(less, more), x, use_reentrant=False)
    y.sum().backward()  # what is needed is there before the difference
    close(x.grad, y.detach())
    with pytest.raises(CheckpointError, match="trying to save more tensors during recomputation"):
        checkpoint(unsteady(less, more), x, use_reentrant=False, early_stop=False).sum().backward()


def test_a_run_that_saves_something_else():
    def once(a):
        return a.exp().sum()

    def twice(a):
        return torch.cat([a, a]).exp().sum()

    x = leaf(0.1, 0.2)
    y = checkpoint(unsteady(once, twice), x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="have different metadata than during the forward"):
        y.backward()
    assert issubclass(CheckpointError, RuntimeError)
    y = checkpoint(unsteady(once, wave), x, use_reentrant=False, determinism_check="none")
    y.backward()
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(wave, x, use_reentrant=False, determinism_check="some")


def test_debug_lists_what_both_runs_did():
    x = leaf(0.1, 0.2)
    f = unsteady(lambda a: a.exp().sum(), lambda a: a.exp().sin().sum() * a)
    y = checkpoint(f, x, use_reentrant=False, debug=True)
    y.backward()  # stops before the difference
    for where in (
        lambda f: checkpoint(f, x, use_reentrant=False, debug=True, early_stop=False),
        lambda f: _in_debug_mode(f, x),
    ):
        f = unsteady(lambda a: a.exp().sum(), lambda a: a.exp().sin().sum() * a)
        with pytest.raises(CheckpointError, match="because you passed `debug=True`") as e:
            where(f).backward()
        text = str(e.value)
        forward, again = text.split("Operations executed during recomputation:")
        assert "ExpBackward0" in forward and "SinBackward0" not in forward
        assert "SinBackward0" in again and "test_checkpoint.py:" in again
    with pytest.raises(ValueError, match="debug=True is incompatible with non-default context_fn"):
        checkpoint(wave, x, use_reentrant=False, debug=True, context_fn=lambda: (0, 0))


def _in_debug_mode(f, x):
    with set_checkpoint_debug_enabled(True), set_checkpoint_early_stop(False):
        return checkpoint(f, x, use_reentrant=False)


def test_contexts_for_both_runs():
    seen = []

    @contextlib.contextmanager
    def note(name):
        seen.append(name)
        yield
        seen.append(f"end {name}")

    x = leaf(0.1)
    y = checkpoint(wave, x, use_reentrant=False, context_fn=lambda: (note("first"), note("second")))
    assert seen == ["first", "end first"]
    with set_checkpoint_early_stop(False):
        y.sum().backward()
    assert seen[2] == "second"
    assert len(noop_context_fn()) == 2


def test_a_context_may_not_swallow_errors():
    def broken(a):
        raise ValueError("mine")

    swallow = lambda: (contextlib.suppress(ValueError), contextlib.nullcontext())  # noqa: E731
    with pytest.raises(RuntimeError, match="suppressed an exception raised"):
        checkpoint(broken, leaf(0.1), use_reentrant=False, context_fn=swallow)


@both
def test_errors_of_the_function_come_through(reentrant):
    def broken(a):
        a.exp()
        raise ValueError("mine")

    x = leaf(0.1)
    with pytest.raises(ValueError, match="mine"):
        checkpoint(broken, x, use_reentrant=reentrant)
    f = unsteady(torch.exp, broken)
    y = checkpoint(f, x * 1, use_reentrant=reentrant)
    if reentrant:
        with pytest.raises(ValueError, match="mine"):
            y.sum().backward()
    log = []
    with saved_tensors_hooks(lambda t: log.append(1) or t, lambda t: t):
        x.exp()
    assert log == [1]  # no hooks are left over
    assert torch.is_grad_enabled()


def test_values_asked_for_twice():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            (y,) = ctx.saved_tensors
            return g * y

    y = checkpoint(Exp.apply, leaf(0.1), use_reentrant=False)
    with pytest.raises(CheckpointError, match="already unpacked once"):
        y.sum().backward()


def test_detach_variable():
    a, b, c = detach_variable((leaf(0.1) * 1, torch.ones(1), 3))
    assert (a.requires_grad, a.is_leaf, b.requires_grad, c) == (True, True, False, 3)
    with pytest.raises(RuntimeError, match="Only tuple of tensors is supported"):
        detach_variable([1])


# -- sequences and threads -------------------------------------------------------------------------


@both
@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_sequences(reentrant, segments):
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    x = torch.rand(4, 2, requires_grad=True)
    wanted = [x, *model.parameters()]
    expected = grad(model(x).sum(), wanted)
    for steps in (model, list(model)):
        for t in wanted:
            t.grad = None
        checkpoint_sequential(steps, segments, x, use_reentrant=reentrant).sum().backward()
        close([t.grad for t in wanted], list(expected))
    with pytest.raises(ValueError, match="Unexpected keyword arguments: foo"):
        checkpoint_sequential(model, 2, x, use_reentrant=reentrant, foo=1)


def test_threads():
    shared = leaf(0.3)
    expected = [grad((wave(leaf(float(i))) * shared).sum(), shared)[0] for i in range(4)]
    found = {}

    def work(i):
        for _ in range(25):
            x = leaf(float(i))
            y = checkpoint(lambda a: wave(a) * shared, x, use_reentrant=False)
            found[i] = grad(y.sum(), shared)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    close([found[i] for i in range(4)], expected)


# -- beyond torch ----------------------------------------------------------------------------------


def compare(transform, *args):
    """A transformation of a checkpointed function gives what it gives without the checkpoint."""

    def plain(a):
        return wave(a * 2).sum()

    def kept(a):
        return checkpoint(wave, a * 2, use_reentrant=False).sum()

    close(transform(kept)(*args), transform(plain)(*args))


@pytest.mark.parametrize("late", [True, False])
def test_a_saved_value_that_is_overwritten_inside(late):
    def f(a):
        b = a * 2
        c = b * b
        if not late:
            b.add_(1)
        c = c.sin()
        if late:
            b.add_(1)
        return c

    x = leaf(0.1)
    y = checkpoint(f, x, use_reentrant=False)
    if late:
        y.sum().backward()  # it ends before that
        close(x.grad, grad((4 * x * x).sin().sum(), x)[0])
    else:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


func = torch.func
TRANSFORMS = {
    "grad": func.grad,
    "grad of grad": lambda f: func.grad(lambda a: func.grad(f)(a).sum()),
    "jvp": lambda f: lambda a: func.jvp(f, (a,), (torch.ones_like(a),))[1],
    "jvp of grad": lambda f: lambda a: func.jvp(func.grad(f), (a,), (torch.ones_like(a),))[1],
    "grad of jvp": lambda f: func.grad(lambda a: func.jvp(f, (a,), (torch.ones_like(a),))[1]),
    "hessian": func.hessian,
    "jacrev of jacrev": lambda f: func.jacrev(func.jacrev(f)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_under_transforms(name):
    compare(TRANSFORMS[name], torch.rand(3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["grad", "jvp of grad", "hessian"])
def test_under_vmap(name):
    rows = torch.rand(4, 3, dtype=torch.float64)
    compare(lambda f: func.vmap(TRANSFORMS[name](f)), rows)


def test_backward_through_vmap():
    rows = torch.rand(4, 3, dtype=torch.float64)
    compare(lambda f: func.grad(lambda a: func.vmap(f)(a).sum()), rows)
    x = rows.clone().requires_grad_()
    func.vmap(lambda a: checkpoint(wave, a, use_reentrant=False))(x).sum().backward()
    close(x.grad, grad(wave(x).sum(), x)[0])


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_random_numbers_under_vmap(randomness):
    rows = torch.rand(4, 8, dtype=torch.float64) + 1

    def f(a):
        return checkpoint(lambda b: F.dropout(b, 0.5) * b, a, use_reentrant=False)

    inside = func.vmap(func.grad(lambda a: f(a).sum()), randomness=randomness)(rows)
    value, pullback = func.vjp(func.vmap(f, randomness=randomness), rows)
    (outside,) = pullback(torch.ones_like(value))  # the vmap has ended
    close(outside, 2 * value / rows)
    for masks in ((inside != 0).tolist(), (outside != 0).tolist()):
        assert all(m == masks[0] for m in masks) == (randomness == "same")
