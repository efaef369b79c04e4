"""Hooks on tensors, nodes and saved values, and the graph as users may walk it.

Everything holds in torch too (run there while writing), but what is under "beyond torch".
"""

from __future__ import annotations

import copy
import gc
import threading
import weakref

import pytest

import chainrule as torch
from chainrule.autograd import Function, grad, graph
from chainrule.autograd.graph import (
    allow_mutation_on_saved_tensors,
    disable_saved_tensors_hooks,
    get_gradient_edge,
    register_multi_grad_hook,
    save_on_cpu,
    saved_tensors_hooks,
)

close = torch.testing.assert_close


def leaf(*values, dtype=torch.float64):
    """A leaf with these values."""
    return torch.tensor(list(values), dtype=dtype, requires_grad=True)


def same(got, *expected):
    """The values of a tensor are these."""
    close(got.detach(), torch.tensor(list(expected), dtype=got.dtype))


def keeping(log=None):
    """Saved-tensor hooks that keep clones, and list the shapes of what they are given."""
    log = [] if log is None else log

    def pack(t):
        log.append(tuple(t.shape))
        return t.clone()  # without history: hooks run unrecorded

    return saved_tensors_hooks(pack, lambda t: t)


# -- tensor hooks ----------------------------------------------------------------------------------


def test_order_replacement_and_removal():
    x = leaf(2.0, 3.0)
    seen = []
    x.register_hook(lambda g: seen.append(("x1", g.tolist())))
    double = x.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: seen.append(("x2", g.tolist())))
    y = x * 3
    one_more = y.register_hook(lambda g: g + 1)
    y.sum().backward(retain_graph=True)
    assert seen == [("x1", [6.0, 6.0]), ("x2", [12.0, 12.0])]
    double.remove()
    one_more.remove()
    x.grad = None
    y.sum().backward()
    same(x.grad, 3.0, 3.0)


def test_hooks_belong_to_the_value_before_or_after_an_in_place_operation():
    x = leaf(2.0, 3.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(("before", g.tolist())))
    y.mul_(5)
    y.register_hook(lambda g: seen.append(("after", g.tolist())))
    y.sum().backward()
    assert seen == [("after", [1.0, 1.0]), ("before", [5.0, 5.0])]


def test_hook_removed_by_itself():
    x = leaf(2.0)
    calls = []

    def once(g):
        calls.append(g)
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        (x * 2).sum().backward()
    assert len(calls) == 1


def test_hook_set_during_the_backward_pass():
    x = leaf(2.0)
    late = []
    y = x * 2

    def set_another(g):
        x.register_hook(late.append)

    y.register_hook(set_another)
    y.sum().backward()
    assert len(late) == 1


def test_hooks_run_only_where_gradients_are_wanted():
    a, b = leaf(2.0, 3.0), leaf(4.0, 5.0)
    seen = []
    for name, t in (("a", a), ("b", b)):
        t.register_hook(lambda g, name=name: seen.append(name))
    c = a * b
    c.register_hook(lambda g: seen.append("c"))
    d = c.exp()
    d.register_hook(lambda g: seen.append("d"))
    d.sum().backward(inputs=[a], retain_graph=True)
    assert seen == ["d", "c", "a"]
    assert b.grad is None
    seen.clear()
    grad(d.sum(), b, retain_graph=True)
    assert seen == ["d", "c", "b"]
    seen.clear()
    grad(d.sum(), c)
    assert seen == ["d", "c"]


def test_a_hook_must_keep_shape_and_dtype():
    x = leaf(2.0, 3.0, dtype=torch.float32)
    with (
        x.register_hook(lambda g: g.double()),
        pytest.raises(RuntimeError, match=r"changed the type of value \(was torch.FloatTensor got"),
    ):
        (x * 2).sum().backward()
    with (
        x.register_hook(lambda g: g.sum()),
        pytest.raises(RuntimeError, match="has changed the size of value"),
    ):
        (x * 2).sum().backward()
    with (
        x.register_hook(lambda g: "g"),
        pytest.raises(TypeError, match="expected Variable, but hook returned 'str'"),
    ):
        (x * 2).sum().backward()
    assert x.grad is None
    (x * 2).sum().backward()
    same(x.grad, 2.0, 2.0)


def test_hooks_of_a_leaf_outlive_freezing():
    x = leaf(1.0)
    x.register_hook(lambda g: g * 2)
    x.requires_grad_(False)
    x.requires_grad_()
    (x * 1).sum().backward()
    same(x.grad, 2.0)
    y = copy.deepcopy(x)
    y.grad = None
    (y * 1).sum().backward()
    same(y.grad, 1.0)  # a copy has none


def test_hooks_see_complex_gradients_in_the_convention_of_grad():
    x = torch.tensor([1 + 2j], dtype=torch.complex128, requires_grad=True)
    y = x * (2 + 1j)
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.grad_fn.register_prehook(lambda g: (g[0] * 1j,))
    (y * y.conj()).real.sum().backward()
    assert seen == [10j]
    same(x.grad, -10 * (2 - 1j))


def test_post_accumulate_hook_runs_for_wanted_leaves_alone():
    x, y = leaf(1.0), leaf(1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("x", p.grad.item())))
    y.register_post_accumulate_grad_hook(lambda p: seen.append(("y", p.grad.item())))
    (x * y).sum().backward(inputs=[x])
    grad((x * y).sum(), [x, y])
    assert seen == [("x", 1.0)]
    x.register_post_accumulate_grad_hook(lambda p: p.grad)
    with pytest.raises(RuntimeError, match="post accumulate grad hooks should return None"):
        (x * y).sum().backward()


# -- node hooks ------------------------------------------------------------------------------------


def test_node_hooks_replace_gradients():
    x = leaf(2.0, 3.0)
    e = x.exp()
    node = (y := e * x).grad_fn
    seen = []
    y.register_hook(lambda g: seen.append("tensor"))
    double = node.register_prehook(lambda g: (g[0] * 2,))
    node.register_prehook(lambda g: seen.append(g[0].tolist()))
    node.register_hook(lambda ins, outs: (ins[0] * 0, ins[1]))
    node.register_hook(lambda ins, outs: seen.append((ins[0].tolist(), outs[0].tolist())))
    y.sum().backward(retain_graph=True)
    assert seen == ["tensor", [2.0, 2.0], ([0.0, 0.0], [2.0, 2.0])]
    close(x.grad, 2 * e.detach())
    double.remove()
    close(grad(y.sum(), x)[0], e.detach())


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (3, TypeError, "expected tuple, but hook returned 'int'"),
        (torch.ones(2), TypeError, "expected tuple, but hook returned 'Tensor'"),
        ((None,) * 3, RuntimeError, r"incorrect number of values \(got 3, but expected"),
    ],
)
def test_node_hooks_must_return_a_tuple(result, error, message):
    x = leaf(2.0, 3.0)
    y = x * x
    before = y.grad_fn.register_prehook(lambda g: result)
    with pytest.raises(error, match=message):
        y.sum().backward(retain_graph=True)
    before.remove()
    after = y.grad_fn.register_hook(lambda i, o: result)
    with pytest.raises(error, match=message):
        y.sum().backward(retain_graph=True)
    after.remove()
    y.sum().backward()
    same(x.grad, 4.0, 6.0)


def test_node_hooks_of_several_outputs_and_of_numbers():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = x.unbind(0)
    seen = []
    a.grad_fn.register_prehook(seen.append)
    b.sum().backward()
    assert seen[0][0] is None
    same(seen[0][1], 1.0, 1.0)
    y = x * 3
    y.grad_fn.register_hook(lambda i, o: seen.append(i))
    y.sum().backward()
    assert seen[1][1] is None  # the 3


def test_hooks_of_the_node_of_a_leaf():
    x = leaf(1.0, 2.0)
    node = (x * 2).grad_fn.next_functions[0][0]
    assert node.variable is x
    assert node.name() == "torch::autograd::AccumulateGrad"
    seen = []
    node.register_prehook(lambda g: seen.append(("pre", x.grad)))
    node.register_hook(lambda i, o: seen.append(("post", i, o[0].tolist(), x.grad.tolist())))
    triple = node.register_prehook(lambda g: (g[0] * 3,))
    x.sum().backward()
    assert seen == [("pre", None), ("post", (), [3.0, 3.0], [3.0, 3.0])]
    seen.clear()
    grad(x.sum(), x)
    assert seen == []
    triple.remove()
    x.grad = None
    x.sum().backward()
    same(x.grad, 1.0, 1.0)


def test_node_hooks_in_half_precision():
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    y = x * 3
    seen = []
    y.grad_fn.register_prehook(lambda g: seen.append(g[0].dtype))
    y.grad_fn.register_hook(lambda i, o: seen.append((i[0].dtype, o[0].dtype)))
    y.exp().sum().backward()
    assert seen == [torch.bfloat16, (torch.bfloat16, torch.bfloat16)]


def test_node_hooks_with_create_graph():
    x = leaf(2.0, 3.0)
    y = x**3
    y.register_hook(lambda g: g * x)
    y.grad_fn.register_prehook(lambda g: (g[0] * x,))
    y.grad_fn.register_hook(lambda i, o: (i[0] * x, *i[1:]))
    (g,) = grad(y.sum(), x, create_graph=True)  # 3 x**5
    same(g, 96.0, 729.0)
    same(grad(g.sum(), x)[0], 240.0, 1215.0)
    y.grad_fn.metadata["note"] = "kept"
    assert y.grad_fn.metadata == {"note": "kept"}


def test_a_function_of_the_user_has_node_hooks_too():
    class Both(Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.save_for_backward(x)
            return x.exp(), x * k

        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            return g * x.exp() + h, None

    x = leaf(1.0, 2.0)
    a, _ = Both.apply(x, 3)
    seen = []
    a.grad_fn.register_prehook(lambda g: seen.append(g[1]))
    a.grad_fn.register_hook(lambda i, o: (i[0] * 0,))
    a.sum().backward()
    assert seen == [None]
    same(x.grad, 0.0, 0.0)


def test_an_error_in_a_hook_leaves_things_as_they_were():
    x = leaf(2.0, 3.0)
    y = x.exp()
    z = (y * y).sum()

    def broken(*_):
        raise ValueError("mine")

    for hooked in (y.register_hook, y.grad_fn.register_prehook, y.grad_fn.register_hook):
        handle = hooked(broken)
        with pytest.raises(ValueError, match="mine"):
            z.backward(retain_graph=True)
        handle.remove()
        assert x.grad is None
        assert torch.is_grad_enabled()
    handle = y.register_hook(broken)
    with pytest.raises(ValueError, match="mine"):
        z.backward()
    handle.remove()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        z.backward()  # what ran before the error is freed
    y.sum().backward()  # the rest is not
    close(x.grad, y.detach())


# -- hooks over several tensors --------------------------------------------------------------------


def test_multi_grad_hook_waits_for_all_that_come():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    c, d = a * b, a * b
    seen = []
    handle = register_multi_grad_hook(
        (a, b, c, d), lambda gs: seen.append([g is not None for g in gs])
    )
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    (c + d).sum().backward(retain_graph=True)
    assert seen == [[True, True, True, False], [True, False, True, False], [True] * 4]
    handle.remove()
    c.sum().backward()
    assert len(seen) == 3


def test_multi_grad_hook_with_the_first_that_comes():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    c = a * b
    seen = []
    handle = register_multi_grad_hook(
        (a, b, c, torch.ones(2)), lambda g: seen.append(g.tolist()), mode="any"
    )
    c.sum().backward(retain_graph=True)
    c.sum().backward(retain_graph=True)
    assert seen == [[1.0, 1.0]] * 2
    handle.remove()
    c.sum().backward()
    assert len(seen) == 2


def test_multi_grad_hook_that_raises():
    x, y = leaf(1.0), leaf(2.0)

    def broken(_):
        raise ValueError("mine")

    handle = register_multi_grad_hook([x, y], broken)
    z = (x * y).sum()
    with pytest.raises(ValueError, match="mine"):
        z.backward(retain_graph=True)
    handle.remove()
    x.grad = y.grad = None
    z.backward()
    same(x.grad, 2.0)
    with pytest.raises(ValueError, match="Expects mode to be one of"):
        register_multi_grad_hook([x], print, mode="some")
    with pytest.raises(AssertionError, match="Expected gradient function to be set"):
        register_multi_grad_hook([torch.ones(1)], print)


# -- nodes and edges -------------------------------------------------------------------------------


def test_walking_the_graph():
    x = leaf(1.0, 2.0)
    y = (x * 2).exp() + x
    assert isinstance(y.grad_fn, graph.Node)
    names, stack = [], [y.grad_fn]
    while stack:
        node = stack.pop()
        names.append(node.name())
        stack += [n for n, _ in node.next_functions if n is not None]
    assert sorted(names) == [
        "AddBackward0",
        "ExpBackward0",
        "MulBackward0",
        "torch::autograd::AccumulateGrad",
        "torch::autograd::AccumulateGrad",
    ]


def test_gradient_edges_stand_for_tensors():
    x = leaf(1.0, 2.0)
    y = x * 3
    z = (y * y).sum()
    at_y, at_x, at_z = get_gradient_edge(y), get_gradient_edge(x), get_gradient_edge(z)
    assert at_y.node is y.grad_fn
    assert at_y.output_nr == 0
    del y
    dy, dx = grad(z, [at_y, at_x], retain_graph=True)
    same(dy, 6.0, 12.0)
    same(dx, 18.0, 36.0)
    same(grad(at_z, x, retain_graph=True)[0], 18.0, 36.0)
    same(grad(at_y, at_x, grad_outputs=torch.ones(2).double(), retain_graph=True)[0], 3.0, 3.0)
    torch.autograd.backward(at_z, retain_graph=True)
    same(x.grad, 18.0, 36.0)
    x.grad = None
    ones = torch.ones(2, dtype=torch.float64)
    torch.autograd.backward([at_z, at_y], [ones[0], ones], retain_graph=True)
    same(x.grad, 21.0, 39.0)
    x.grad = None
    torch.autograd.backward(z, inputs=[at_x])
    same(x.grad, 18.0, 36.0)


def test_gradient_edge_of_one_output_among_several():
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    a, b = x.unbind(0)
    edge = get_gradient_edge(b)
    assert edge.output_nr == 1
    same(grad((a * b).sum(), edge)[0], 1.0, 2.0)


def test_gradient_edges_and_higher_orders():
    x = leaf(1.0, 2.0)
    edge = get_gradient_edge((x**3).sum())
    (g,) = grad(edge, x, create_graph=True)
    same(grad(g.sum(), x)[0], 6.0, 12.0)


def test_errors_with_gradient_edges():
    x, w = leaf(1.0, 2.0), leaf(1.0)
    edge = get_gradient_edge(x * 3)
    with pytest.raises(RuntimeError, match="implicitly created only for scalar outputs"):
        grad(edge, x)
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        grad(edge, x, torch.ones(3, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="at index 1 appears to not have been used"):
        grad(x.sum(), [x, get_gradient_edge(w)])
    with pytest.raises(RuntimeError, match="materialize_grads cannot be used when"):
        grad(x.sum(), [get_gradient_edge(w)], materialize_grads=True)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        get_gradient_edge(torch.ones(2))


def test_increment_version():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y * y
    before = y._version
    graph.increment_version(y)
    graph.increment_version([y, y])
    graph.increment_version(iter([y]))
    assert y._version == before + 4
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


# -- saved-tensor hooks ----------------------------------------------------------------------------


def test_saved_values_are_packed_and_unpacked_once_each():
    x, k = leaf(0.1, 0.2), torch.tensor([3.0, 4.0], dtype=torch.float64)
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.tolist())
        return ("anything", t.detach().numpy().copy())

    def unpack(v):
        unpacked.append(v[1].tolist())
        return torch.from_numpy(v[1])

    with saved_tensors_hooks(pack, unpack):
        z = (x * k * 2).exp()
        w = (z * z).sum()
    assert len(packed) == 4  # k, the result of exp, z twice; neither the 2 nor anything for sum
    assert packed[0] == [3.0, 4.0]
    w.backward()
    assert sorted(unpacked) == sorted(packed)
    close(x.grad, 2 * 2 * k * z.detach() ** 2)


@pytest.mark.parametrize(
    ("count", "program"),
    [
        (1, lambda x, c: x * c),
        (1, lambda x, c: x.relu()),
        (1, lambda x, c: x.softmax(1)),
        (1, lambda x, c: x**2),
        (3, lambda x, c: x**x),
        (2, lambda x, c: x * x),
        (1, lambda x, c: x / c),
        (0, lambda x, c: x / 2),
        (0, lambda x, c: x + c),
        (0, lambda x, c: x.sum()),
        (0, lambda x, c: torch.cat([x, x])),
        (2, lambda x, c: x @ x.T),
        (1, lambda x, c: x @ c.T),
        (1, lambda x, c: torch.where(c > 0.5, x, c)),
        (1, lambda x, c: x[torch.tensor([0])]),
        (3, lambda x, c: torch.nn.functional.layer_norm(x, (3,))),
    ],
)
def test_how_many_values_are_packed(count, program):
    log = []
    with keeping(log):
        program(torch.rand(2, 3, requires_grad=True), torch.rand(2, 3))
    assert len(log) == count


def test_a_parameter_is_packed_as_itself():
    p = torch.nn.Parameter(torch.ones(2))
    seen = []
    with saved_tensors_hooks(lambda t: seen.append(t is p) or t, lambda t: t):
        y = (p * p).sin()
    assert seen == [True, True, False]
    y.sum().backward()
    assert p.grad is not None


def test_of_nested_hooks_the_innermost_counts():
    x = leaf(0.5)
    outer, inner = [], []
    with keeping(outer):
        a = x.exp()
        with keeping(inner):
            b = a.sin()
        b.tanh().sum().backward()
    assert (len(outer), len(inner)) == (2, 1)
    close(x.grad, (1 - torch.tanh(b) ** 2).detach() * torch.cos(a).detach() * a.detach())


def test_saved_hooks_belong_to_their_thread():
    x = leaf(0.5)
    log = []
    with keeping(log):
        thread = threading.Thread(target=lambda: x.exp().sum().backward())
        thread.start()
        thread.join()
        assert log == []
        close(x.grad, x.exp().detach())
        assert len(log) == 1


def test_double_backward_through_unpacked_values():
    x = leaf(0.1, 0.2)
    with saved_tensors_hooks(lambda t: t.detach().numpy().copy(), torch.from_numpy):
        y = (x**3).sin() * x
        (g,) = grad(y.sum(), x, create_graph=True)
        (h,) = grad(g.sum(), x, create_graph=True)
    plain = (x**3).sin() * x
    (g2,) = grad(plain.sum(), x, create_graph=True)
    (h2,) = grad(g2.sum(), x, create_graph=True)
    close(g, g2)
    close(h, h2)
    close(grad(h.sum(), x), grad(h2.sum(), x))


def test_in_place_operations_and_views_under_saved_hooks():
    def program(x):
        y = x * 1
        v = y.view(2, 2)
        v[0].mul_(y[2:].clone())
        v.t().sin_()
        y[1:3] = y[:2].clone() * x[:2]
        y.pow_(3)
        y.exp_()
        return (y * y).sum()

    x = leaf(1.0, 2.0, 3.0, 4.0)
    expected = grad(program(x), x, create_graph=True)[0]
    for hooks in (keeping(), saved_tensors_hooks(lambda t: t.clone(), lambda t: t)):
        with hooks:
            found = grad(program(x), x, create_graph=True)[0]
        close(found, expected)
        close(grad(found.sum(), x, retain_graph=True), grad(expected.sum(), x, retain_graph=True))


def test_what_was_packed_may_be_overwritten():
    x = leaf(0.5)
    with keeping():
        y = x * 2
        z = y * y
    y.add_(5)
    z.sum().backward()
    same(x.grad, 4.0)


def test_a_graph_with_packed_values_is_freed_like_any_other():
    x = leaf(0.5)
    with keeping():
        z = x.exp().sum()
    z.backward(retain_graph=True)
    z.backward()
    close(x.grad, 2 * x.exp().detach())
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        z.backward()


def test_saved_values_are_let_go():
    class Kept:
        def __init__(self, t):
            self.tensor = t.detach().clone()

    alive = weakref.WeakSet()

    def pack(t):
        kept = Kept(t)
        alive.add(kept)
        return kept

    gc.disable()
    try:
        with saved_tensors_hooks(pack, lambda kept: kept.tensor):
            z = leaf(0.5).exp().sin().sum()
            dropped = leaf(0.5).exp()
        assert len(alive) == 3
        z.backward()
        assert len(alive) == 1
        del dropped
        assert not alive
    finally:
        gc.enable()


def test_errors_of_saved_hooks():
    x = leaf(0.5)
    with saved_tensors_hooks(lambda t: t, lambda t: 5):
        y = x.exp()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of"):
        y.sum().backward()
    for f in (lambda: x.sin(), lambda: (x * 1).exp()):
        with (
            saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t),
            pytest.raises(RuntimeError, match="pack hook is modifying its input in place"),
        ):
            f()


def test_saved_hooks_that_raise():
    x = leaf(0.5)
    trouble = [True]

    def sometimes(t):
        if trouble[0]:
            raise KeyError("mine")
        return t

    with pytest.raises(KeyError, match="mine"), saved_tensors_hooks(sometimes, lambda t: t):
        x.sin()
    assert torch.is_grad_enabled()
    with saved_tensors_hooks(lambda t: t, sometimes):
        y = x.sin()
    with pytest.raises(KeyError, match="mine"):
        y.sum().backward()
    trouble[0] = False
    y.sum().backward()
    close(x.grad, x.cos().detach())


def test_functions_of_the_user_save_through_hooks():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            assert x.requires_grad and x.is_leaf and y.requires_grad
            return g * y

    x = leaf(0.5)
    log = []
    with keeping(log):
        y = Exp.apply(x)
    assert len(log) == 2
    (g,) = grad(y.sum(), x, create_graph=True)
    close(grad(g.sum(), x)[0], y.detach())


def test_save_on_cpu():
    x = leaf(0.5)
    with save_on_cpu(pin_memory=False):
        y = x * 2
        z = (y * y).exp().sum()
    z.backward()
    close(x.grad, 8 * x.detach() * z.detach())


def test_disable_saved_tensors_hooks():
    def use():
        with keeping():
            pass

    with disable_saved_tensors_hooks("one"):
        with disable_saved_tensors_hooks("two"), pytest.raises(RuntimeError, match="two"):
            use()
        with pytest.raises(RuntimeError, match="one"):
            use()
    use()
    with keeping(), pytest.raises(RuntimeError, match="not here"):
        disable_saved_tensors_hooks("not here").__enter__()


# -- allow_mutation_on_saved_tensors ---------------------------------------------------------------


def test_saved_values_may_be_overwritten():
    with allow_mutation_on_saved_tensors() as saves:
        a = leaf(1.0, 2.0)
        b = a.clone()
        y = (b**2).sum()
        assert (len(saves.original), len(saves.cloned)) == (1, 0)
        b.sin_()
        assert len(saves.cloned) == 1
        y.backward()
        same(a.grad, 2.0, 4.0)
        assert (len(saves.original), len(saves.cloned)) == (1, 0)  # what sin_ saved


@pytest.mark.parametrize(
    "write",
    [
        lambda b: b.zero_(),
        lambda b: b[:1].mul_(10),
        lambda b: b.__setitem__(0, 3.0),
        lambda b: b.copy_(torch.ones(2)),
        lambda b: torch.exp(b.detach(), out=b.detach()),
        lambda b: torch.optim.SGD([b], lr=1.0).step(),
    ],
)
def test_every_way_of_writing_clones_before(write):
    with allow_mutation_on_saved_tensors():
        a = leaf(1.0, 2.0)
        b = a.detach().clone().requires_grad_()
        y = (b * b).sum() + (a * b).sum()
        b.grad = torch.ones(2, dtype=torch.float64)
        with torch.no_grad():
            write(b)
        b.grad = None
        y.backward()
        same(b.grad, 3.0, 6.0)
        same(a.grad, 1.0, 2.0)


OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
)
INITIALIZERS = {
    **dict.fromkeys(("ones_", "zeros_", "eye_", "uniform_", "normal_", "trunc_normal_"), ()),
    **dict.fromkeys(("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "orthogonal_"), ()),
    **{"constant_": (3.0,), "sparse_": (0.5,), "kaiming_normal_": ()},
}


def overwritten_by(write, shape=(4, 4)):
    """`write(w)` for a leaf whose value a node saved: its gradient is that of the old value."""
    with allow_mutation_on_saved_tensors():
        w = (torch.rand(*shape) + 2).requires_grad_()
        old = w.detach().clone()
        y = (w**2).sum()
        write(w)
        assert not torch.equal(w.detach(), old)
        w.grad = None
        y.backward()
        close(w.grad, 2 * old)


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n not in ("Optimizer", "SparseAdam")])
def test_optimizers_may_overwrite_what_was_saved(name):
    def step(w):
        optimizer = getattr(torch.optim, name)([w], lr=0.1)

        def closure():
            optimizer.zero_grad()
            loss = (w - 1).square().sum()
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)

    overwritten_by(step)


def test_a_line_search_may_overwrite_what_was_saved():
    def step(w):
        optimizer = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = (w - 1).pow(4).sum()
            loss.backward()
            return loss

        optimizer.step(closure)

    overwritten_by(step)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_may_overwrite_what_was_saved(name):
    overwritten_by(lambda w: getattr(torch.nn.init, name)(w, *INITIALIZERS[name]))


def test_modules_may_overwrite_what_was_saved():
    overwritten_by(torch.nn.init.dirac_, (4, 4, 3))
    look_up = torch.nn.functional.embedding
    overwritten_by(lambda w: look_up(torch.tensor([0]), w, max_norm=0.1))

    def look_elsewhere(w):
        with torch.no_grad():
            w.set_(torch.zeros(4, 4))

    overwritten_by(look_elsewhere)


@pytest.mark.parametrize(
    "write",
    [
        lambda p: torch.nn.utils.clip_grad_norm_([p], 0.1),
        lambda p: torch.nn.utils.clip_grad_value_([p], 0.1),
        lambda p: torch.optim.SGD([p], lr=1.0).zero_grad(set_to_none=False),
        lambda p: torch.nn.ParameterList([p]).zero_grad(set_to_none=False),
        lambda p: (p * 3).sum().backward(),
    ],
)
def test_gradients_that_were_saved_may_change(write):
    with allow_mutation_on_saved_tensors():
        p, a = torch.nn.Parameter(torch.ones(3)), torch.ones(3, requires_grad=True)
        p.grad = torch.full((3,), 2.0)
        y = (p.grad * a).sum()
        write(p)
        assert not torch.equal(p.grad, torch.full((3,), 2.0))
        y.backward()
        same(a.grad, 2.0, 2.0, 2.0)


def test_a_learning_rate_that_was_saved_may_change():
    with allow_mutation_on_saved_tensors():
        p, a = torch.ones(2, requires_grad=True), torch.ones((), requires_grad=True)
        optimizer = torch.optim.SGD([p], lr=torch.tensor(0.5))
        y = a * optimizer.param_groups[0]["lr"]
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        p.grad = torch.ones(2)
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"].item() == 0.25
        y.backward()
        assert a.grad.item() == 0.5


def test_a_number_that_was_saved_may_change():
    with allow_mutation_on_saved_tensors():
        a, b = leaf(1.0), torch.tensor(3.0, dtype=torch.float64)
        y = a * b
        assert b[...].item() == 3  # a view gives it memory
        b.fill_(7)
        y.backward()
        same(a.grad, 3.0)


def test_limits_of_mutation():
    with allow_mutation_on_saved_tensors():
        y = (leaf(1.0) ** 2).sum()
        with pytest.raises(RuntimeError, match="contexts cannot be nested"):
            allow_mutation_on_saved_tensors().__enter__()
    with pytest.raises(AssertionError, match="outside of the 'allow_mutation_on_saved_tensors'"):
        y.backward()


# -- what a node saved -----------------------------------------------------------------------------


def test_saved_values_by_name():
    x, y = leaf(0.1, 0.2), leaf(0.3, 0.4)
    product = (x * y).grad_fn
    assert product._saved_self is x
    assert product._saved_other is y
    e = x.exp()
    close(e.grad_fn._saved_result.detach(), e.detach())
    assert e.grad_fn._saved_result.grad_fn is e.grad_fn
    assert (x**3).grad_fn._saved_exponent == 3
    assert (x * torch.ones(2, dtype=torch.float64)).grad_fn._saved_self is None
    inner = x * 2
    close((inner * inner).grad_fn._saved_self, inner)
    assert (inner * inner).grad_fn._saved_self.grad_fn is inner.grad_fn
    a = torch.ones(2, 3, requires_grad=True)
    softmax = a.softmax(1).grad_fn
    assert softmax._saved_dim == 1
    total = a.sum(1, keepdim=True).grad_fn
    assert total._saved_keepdim is True
    assert total._saved_self_sym_sizes == (2, 3)
    assert (a @ a.T).grad_fn._saved_mat2.shape == (3, 2)
    assert "_saved_result" in dir(e.grad_fn)
    with pytest.raises(AttributeError):
        _ = e.grad_fn._saved_self


def test_saved_values_after_the_graph_is_freed_or_overwritten():
    x = leaf(0.5)
    y = x.exp()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        _ = y.grad_fn._saved_result
    a = x * 2
    b = a * a
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        _ = b.grad_fn._saved_self


def test_hooks_on_one_saved_value():
    x = leaf(0.1, 0.2)
    y = x * 2
    z = y * y
    z.grad_fn._raw_saved_self.register_hooks(lambda t: t * 10, lambda t: t)
    z.sum().backward(retain_graph=True)
    same(x.grad, 4.4, 8.8)
    same(z.grad_fn._saved_self, 2.0, 4.0)
    same(z.grad_fn._saved_other, 0.2, 0.4)
    with pytest.raises(RuntimeError, match="whose hooks have already been set"):
        z.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t)
    with pytest.raises(RuntimeError, match="value None is forbidden"):
        (x * torch.ones(2).double()).grad_fn._raw_saved_self.register_hooks(id, id)
    raw = z.grad_fn._raw_saved_other
    z.sum().backward()
    with pytest.raises(RuntimeError, match="after it has been freed"):
        raw.register_hooks(lambda t: t, lambda t: t)


# -- beyond torch ----------------------------------------------------------------------------------


def test_hooks_run_inside_transforms():
    def doubled(a):
        b = a.exp()
        b.register_hook(lambda g: g * 2)
        return (b * a).sum()

    x = leaf(0.1, 0.2).detach()
    close(torch.func.grad(doubled)(x), 2 * x * x.exp() + x.exp())
    rows = torch.stack([x, x + 1])
    each = torch.func.vmap(torch.func.grad(doubled))(rows)
    close(each, torch.stack([torch.func.grad(doubled)(r) for r in rows]))


def test_saved_hooks_run_inside_transforms():
    def f(a):
        return (a.exp() * a).sin().sum()

    rows = torch.rand(3, 2, dtype=torch.float64)
    expected = torch.func.vmap(torch.func.grad(f))(rows)
    with keeping():
        found = torch.func.vmap(torch.func.grad(f))(rows)
        pushed = torch.func.jvp(torch.func.grad(f), (rows[0],), (rows[1],))[1]
    close(found, expected)
    close(pushed, torch.func.jvp(torch.func.grad(f), (rows[0],), (rows[1],))[1])


def test_in_place_operations_under_hooks_that_keep_the_memory():
    def program(x):
        y = x * 2
        for f in (lambda: y.pow_(3), y.exp_, lambda: y.mul_(x), y.sigmoid_, lambda: y.div_(x)):
            f()
        return y.sum()

    def apart(x):
        return (((((x * 2) ** 3).exp() * x).sigmoid()) / x).sum()

    x = leaf(0.1, 0.2)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y = program(x)
    close(grad(y, x), grad(apart(x), x))


def test_save_on_cpu_notices_writes():
    with save_on_cpu():
        y = leaf(0.5) * 2
        z = (y * y).sum()
    y.add_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_multi_grad_hook_with_leaves_in_grad():
    a, b = leaf(1.0), leaf(3.0)
    c = a * b
    seen = []
    register_multi_grad_hook((a, b, c), lambda gs: seen.append([g is not None for g in gs]))
    grad(c.sum(), b)
    assert seen == [[False, True, True]]


def test_threads_with_and_without_hooks():
    shared = leaf(0.3, 0.4)
    wrong, stop = [], []

    def program(x):
        return (x.exp() * x).sin().sum()

    (expected,) = grad(program(shared), shared)

    def work(i):
        for n in range(60):
            if i % 3 == 0:
                with keeping():
                    (g,) = grad(program(shared), shared)
            elif i % 3 == 1:
                y = shared * 1
                y.register_hook(lambda g: g * 1)
                (g,) = grad(program(y), shared)
            else:
                with torch.no_grad():
                    program(shared)
                (g,) = grad(program(shared), shared)
            if not torch.equal(g, expected):
                wrong.append((i, n))
        stop.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
    assert len(stop) == 8
