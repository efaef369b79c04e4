"""Reverse mode from end to end: what a user of `torch.autograd` relies on.

Everything but the last part holds in torch too, word for word (run there while writing).
"""

from __future__ import annotations

import gc
import math
import threading
import weakref

import numpy as np
import pytest

import chainrule as torch
from chainrule.arrays.trace import Trace
from chainrule.autograd import Function, functional, grad
from chainrule.compiler.program import Program
from chainrule.ops.define import wrap

close = torch.testing.assert_close


def leaf(*values, dtype=torch.float64):
    """A leaf with these values; one value makes it 0-d."""
    data = values[0] if len(values) == 1 else list(values)
    return torch.tensor(data, dtype=dtype, requires_grad=True)


def same(got, *expected):
    """The values of a tensor are these."""
    expected = expected[0] if len(expected) == 1 else list(expected)
    close(got.detach(), torch.tensor(expected, dtype=got.dtype))


# -- backward and grad -----------------------------------------------------------------------------


def test_polynomial():
    x = leaf(3.0)
    y = 2 * x**4 + x**3 + 3 * x**2 + 5 * x + 1
    y.backward()
    same(x.grad, 8 * 27 + 3 * 9 + 6 * 3 + 5)


def test_one_leaf_used_along_many_paths():
    x = leaf(0.5)
    y = x
    for _ in range(30):
        y = y + y  # 2**30 paths, 30 nodes
    y.backward()
    same(x.grad, 2.0**30)


def test_gradients_add_up_until_reset():
    x = leaf(2.0)
    for times in (1, 2, 3):
        (x * x).backward()
        same(x.grad, 4.0 * times)
    x.grad = None
    (x * x).backward()
    same(x.grad, 4.0)


def test_accumulation_keeps_the_tensor():
    x = leaf(2.0, 3.0)
    x.sum().backward()
    first = x.grad
    (2 * x).sum().backward()
    assert x.grad is first
    same(first, 3.0, 3.0)


def test_gradients_of_two_leaves_share_no_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).backward(torch.ones(2, dtype=torch.float64))
    x.grad.zero_()
    same(y.grad, 1.0, 1.0)


def test_gradient_argument_is_not_taken_over():
    x, g = leaf(1.0, 2.0), torch.ones(2, dtype=torch.float64)
    (x + 0).backward(g)
    x.grad.mul_(5)
    same(g, 1.0, 1.0)


def test_broadcast_gradients_are_summed():
    x, y, s = leaf([[1.0], [2.0]]), leaf(3.0, 4.0, 5.0), leaf(2.0)
    (x * y + s).sum().backward()
    same(x.grad, [[12.0], [12.0]])
    same(y.grad, 3.0, 3.0, 3.0)
    same(s.grad, 6.0)


def test_weighted_backward():
    x = leaf(1.0, 2.0, 3.0)
    (x * x).backward(torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64))
    same(x.grad, 2.0, 40.0, 600.0)


def test_backward_of_several_roots():
    x = leaf(3.0)
    torch.autograd.backward(
        [x * x, 2 * x], [torch.tensor(1.0).double(), torch.tensor(10.0).double()]
    )
    same(x.grad, 26.0)


def test_root_inside_the_graph_of_another():
    x = leaf(3.0)
    y = x * x
    torch.autograd.backward([y, y * 2])
    same(x.grad, 18.0)


def test_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    same(x.grad, 12.0)
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()


def test_second_backward_where_nothing_was_saved():
    x = leaf(3.0)
    y = x + 1
    y.backward()
    y.backward()
    same(x.grad, 2.0)


def test_graphs_that_share_a_freed_part():
    x = leaf(3.0)
    shared = x.exp()
    shared.backward(retain_graph=True)
    (shared * 2).backward()
    with pytest.raises(RuntimeError, match="a second time"):
        (shared * 3).backward()


def test_only_scalars_have_an_implicit_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(
        RuntimeError, match="grad can be implicitly created only for scalar outputs"
    ):
        (x * 2).backward()
    (x[:1] * 2).backward()  # one element will do
    same(x.grad, 2.0, 0.0)


def test_no_graph():
    with pytest.raises(
        RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"
    ):
        torch.ones(()).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        (leaf(1.0).detach() * 2).backward()


def test_weight_of_another_shape():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="Mismatch in shape: grad_output"):
        (x * 2).backward(torch.ones(3).double())


def test_only_floats_can_be_leaves():
    for dtype in (torch.int64, torch.bool, torch.uint8):
        with pytest.raises(RuntimeError, match="nly Tensors of floating point"):
            torch.zeros(2, dtype=dtype).requires_grad_()
        with pytest.raises(RuntimeError, match="nly Tensors of floating point"):
            torch.zeros(2, dtype=dtype, requires_grad=True)


def test_backward_into_chosen_inputs():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    (z * z).backward(inputs=[x])
    same(x.grad, 2 * 6 * 3.0)
    assert y.grad is None
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (x * y).backward(inputs=[])


def test_backward_into_an_inner_tensor():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    (y * 3).backward(inputs=[y])
    same(y.grad, 3.0)
    assert x.grad is None


def test_grad_leaves_grad_alone():
    x, y = leaf(2.0), leaf(3.0)
    gx, gy = grad(x * y, [x, y])
    same(gx, 3.0)
    same(gy, 2.0)
    assert x.grad is None
    assert y.grad is None


def test_grad_of_inner_tensors():
    x = leaf(2.0)
    y = x.exp()
    z = y * y
    gy, gx = grad(z, (y, x))
    same(gy, 2 * math.exp(2))
    same(gx, 2 * math.exp(4))


def test_grad_of_an_output_itself():
    x = leaf(2.0)
    y = x * x
    gy, gx = grad(y, (y, x))
    same(gy, 1.0)
    same(gx, 4.0)


def test_unused_inputs():
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        grad(x * 2, [x, y])
    assert grad(x * 2, [x, y], allow_unused=True)[1] is None
    same(grad(x * 2, [x, y], materialize_grads=True)[1], 0.0)
    with pytest.raises(ValueError, match="Expected allow_unused to be True or not passed"):
        grad(x * 2, [x, y], allow_unused=False, materialize_grads=True)


def test_grad_of_what_needs_none():
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad(leaf(1.0) * 2, torch.ones(()))


def test_grad_with_several_outputs_and_weights():
    x = leaf(1.0, 2.0)
    weights = [torch.tensor([1.0, 2.0]).double(), None]
    (g,) = grad([x * x, x.sum()], x, weights)
    same(g, 1 * 2 * 1 + 1.0, 2 * 2 * 2 + 1.0)


def test_grad_does_not_walk_what_it_need_not():
    x = leaf(2.0)
    y = x * x
    z = y.exp()
    called = []
    x.register_hook(called.append)
    grad(z, y)
    assert not called


def test_backward_through_a_view_of_a_leaf():
    x = leaf(1.0, 2.0, 3.0)
    x[1:].prod().backward()
    same(x.grad, 0.0, 3.0, 2.0)


# -- higher order ----------------------------------------------------------------------------------


def test_three_derivatives_of_sin():
    x = leaf(0.7)
    y = x.sin()
    for expected in (math.cos(0.7), -math.sin(0.7), -math.cos(0.7), math.sin(0.7)):
        (y,) = grad(y, x, create_graph=True)
        same(y, expected)


def test_derivatives_of_a_power():
    x = leaf(2.0)
    y = x**5
    for expected in (80.0, 160.0, 240.0, 240.0, 120.0, 0.0):
        (y,) = grad(y, x, create_graph=True)
        same(y, expected)


def test_backward_with_create_graph():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.backward()
    same(x.grad, 12.0)


def test_gradient_penalty():
    w = leaf(1.0, -2.0)
    x = leaf(0.5, 0.25)
    out = (w * x * x).sum()
    (g,) = grad(out, x, create_graph=True)
    (g.pow(2).sum() + out).backward()
    same(w.grad, 8 * 0.5**2 * 1 + 0.5**2, 8 * 0.25**2 * -2 + 0.25**2)


def test_third_derivative_of_mixed_operations():
    x = leaf(0.3)
    y = (x.exp() * x.cos()).log()  # x + log cos x
    first = grad(y, x, create_graph=True)[0]
    second = grad(first, x, create_graph=True)[0]
    third = grad(second, x)[0]
    t = math.tan(0.3)
    same(first, 1 - t)
    same(second, -(1 + t * t))
    same(third, -2 * t * (1 + t * t))


def test_derivative_with_respect_to_the_weight():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = grad(x * x, x, w, create_graph=True)
    (back,) = grad(g.sum(), w)
    same(back, 2.0, 4.0)


def test_gradient_without_create_graph_is_a_constant():
    x = leaf(2.0)
    (g,) = grad(x**3, x)
    assert not g.requires_grad
    assert g.is_leaf


# -- what tensors know of their history ------------------------------------------------------------


def test_leaves_and_nodes():
    x = leaf(1.0)
    y = x * 2
    assert x.is_leaf
    assert x.grad_fn is None
    assert not y.is_leaf
    assert y.grad_fn.name() == "MulBackward0"
    assert y.requires_grad
    assert torch.ones(2).is_leaf


def test_next_functions():
    x, y = leaf(1.0), leaf(2.0)
    node = (x.exp() * y).grad_fn
    (exp, first), (accumulate, second) = node.next_functions
    assert exp.name() == "ExpBackward0"
    assert accumulate.variable is y
    assert (first, second) == (0, 0)
    assert exp.next_functions[0][0].variable is x


def test_number_has_no_edge():
    x = leaf(1.0)
    assert (2 * x).grad_fn.next_functions[0][0].variable is x


def test_output_number():
    values = leaf(3.0, 1.0).sort()[0]
    assert values.grad_fn.name() == "SortBackward0"
    a, b = leaf(3.0, 1.0).unbind()
    assert (a.output_nr, b.output_nr) == (0, 1)


def test_requires_grad_of_an_inner_tensor_cannot_be_taken_away():
    y = leaf(1.0) * 2
    y.requires_grad_(True)
    with pytest.raises(
        RuntimeError, match="you can only change requires_grad flags of leaf variables"
    ):
        y.requires_grad_(False)


def test_detach():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y.detach()
    assert not z.requires_grad
    z[0] = 7
    assert y[0].item() == 7  # the same memory
    (y * z).sum().backward()
    same(x.grad, 14.0, 8.0)


def test_detach_in_place():
    y = leaf(1.0) * 2
    y.detach_()
    assert y.is_leaf
    assert not y.requires_grad


def test_constants_do_not_get_gradients():
    x, c = leaf(2.0), torch.tensor(3.0, dtype=torch.float64)
    (x * c).backward()
    assert c.grad is None


def test_assigned_grad_is_checked():
    x = leaf(1.0, 2.0)
    x.grad = torch.ones(2, dtype=torch.float64)
    with pytest.raises(
        RuntimeError, match=r"assign a gradient of size .*3.* to a tensor of size .*2"
    ):
        x.grad = torch.ones(3, dtype=torch.float64)
    with pytest.raises(
        RuntimeError, match="attempting to assign a gradient with dtype 'float' to a tensor with"
    ):
        x.grad = torch.ones(2)
    with pytest.raises(
        TypeError, match="assigned grad expected to be a Tensor or None but got grad of type float"
    ):
        x.grad = 1.0
    x.grad = None
    assert x.grad is None


def test_integers_stop_gradients():
    x = leaf(1.6)
    assert not x.long().requires_grad
    assert not (x > 1).requires_grad
    assert not x.argmax().requires_grad


# -- hooks -----------------------------------------------------------------------------------------


def test_hook_sees_and_replaces():
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.item()) or g * 10)
    (y * y).backward()
    assert seen == [12.0]
    same(x.grad, 360.0)


def test_hook_is_removed():
    x = leaf(2.0)
    handle = x.register_hook(lambda g: g * 10)
    (x * 1).backward()
    handle.remove()
    (x * 1).backward()
    same(x.grad, 11.0)


def test_handle_as_context_manager():
    x = leaf(2.0)
    with x.register_hook(lambda g: g * 10):
        (x * 1).backward()
    (x * 1).backward()
    same(x.grad, 11.0)


def test_hooks_run_in_order_on_the_whole_gradient():
    x = leaf(2.0)
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 2)
    (y + y + y).backward()  # arrives as 3, once
    same(x.grad, 8.0)


def test_hook_on_a_leaf_runs_before_accumulation():
    x = leaf(2.0)
    x.register_hook(lambda g: -g)
    x.grad = torch.tensor(100.0, dtype=torch.float64)
    (x * 5).backward()
    same(x.grad, 95.0)


def test_hook_on_an_input_of_grad():
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * 7)
    same(grad(y * 3, y)[0], 21.0)
    same(grad(y * 3, x)[0], 84.0)


def test_hook_with_create_graph():
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * y)
    (g,) = grad(y * 1, x, create_graph=True)  # x**2 * 2x
    same(g, 16.0)
    same(grad(g, x)[0], 72.0)  # what flows back through y meets the hook again


def test_hook_that_returns_something_else():
    x = leaf(2.0, 3.0)
    handle = x.register_hook(lambda g: 1.0)
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'float'"):
        x.sum().backward()
    handle.remove()
    x.register_hook(lambda g: g[:1])
    with pytest.raises(RuntimeError, match="has changed the size of value"):
        x.sum().backward()


def test_hook_needs_a_gradient():
    with pytest.raises(
        RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"
    ):
        torch.ones(2).register_hook(print)


def test_post_accumulate_hook():
    x = leaf(2.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.item())))
    (x * 3).backward()
    (x * 3).backward()
    assert seen == [(True, 3.0), (True, 6.0)]
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_optimizer_in_a_hook():
    x = leaf(2.0)

    def step(t):
        with torch.no_grad():
            t -= 0.1 * t.grad
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * x).backward()
    same(x, 1.6)
    assert x.grad is None


def test_node_hooks():
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.grad_fn.register_prehook(lambda outs: seen.append(outs[0].item()))
    y.grad_fn.register_hook(lambda ins, outs: seen.append((ins[0].item(), outs[0].item())))
    (y * 5).backward()
    assert seen == [5.0, (15.0, 5.0)]


def test_retain_grad():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    assert y.retains_grad
    (y * 3).backward()
    same(y.grad, 3.0)
    x.retain_grad()  # nothing to do for a leaf
    assert not x.retains_grad
    with pytest.raises(
        RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"
    ):
        torch.ones(1).retain_grad()


def test_retain_grad_sees_what_hooks_made():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    y.register_hook(lambda g: g * 100)
    (y * 3).backward()
    same(y.grad, 300.0)
    same(x.grad, 1200.0)


def test_exception_in_a_hook_leaves_the_graph_usable():
    x = leaf(2.0)
    y = x * x
    handle = y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    handle.remove()
    y.backward()
    same(x.grad, 4.0)
    assert torch.is_grad_enabled()


# -- modes -----------------------------------------------------------------------------------------


def test_no_grad():
    x = leaf(2.0)
    with torch.no_grad():
        y = x * x
        assert not torch.is_grad_enabled()
    assert not y.requires_grad
    assert (x * x).requires_grad


def test_modes_nest():
    x = leaf(2.0)
    with torch.no_grad():
        with torch.enable_grad():
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    with torch.set_grad_enabled(False):
        assert not (x * x).requires_grad
        with torch.set_grad_enabled(True):
            assert (x * x).requires_grad


def test_set_grad_enabled_as_a_function():
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert torch.is_grad_enabled()


def test_mode_is_restored_after_an_exception():
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        math.ldexp(1, 0) / 0
    assert torch.is_grad_enabled()


MODES = {
    "bare": lambda: torch.no_grad,
    "no_grad": lambda: torch.no_grad(),
    "inference_mode": lambda: torch.inference_mode(),
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_modes_decorate(mode):
    @mode()
    def square(x):
        """Its square."""
        return x * x

    torch.set_grad_enabled(True)
    assert not square(leaf(2.0)).requires_grad
    assert square.__name__ == "square"
    assert torch.is_grad_enabled()


def test_decorated_recursion():
    @torch.no_grad()
    def down(x, n):
        return x if n == 0 else down(x * 2, n - 1)

    assert not down(leaf(1.0), 5).requires_grad
    assert torch.is_grad_enabled()


def test_decorated_generator():
    @torch.no_grad()
    def steps(x):
        got = yield x * 1
        assert got == "sent"
        try:
            yield x * 2
        except KeyError:
            yield x * 3
        return "end"

    x = leaf(2.0)
    run = steps(x)
    assert not next(run).requires_grad
    assert torch.is_grad_enabled()  # between the steps the caller's mode holds
    assert not run.send("sent").requires_grad
    assert not run.throw(KeyError()).requires_grad
    with pytest.raises(StopIteration) as end:
        next(run)
    assert end.value.value == "end"


def test_modes_belong_to_their_thread():
    seen = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: seen.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_in_several_threads():
    x = [leaf(float(i)) for i in range(4)]
    threads = [threading.Thread(target=lambda t=t: (t.exp() * t).backward()) for t in x]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, t in enumerate(x):
        same(t.grad, math.exp(i) * (1 + i))


def test_inference_mode():
    x = leaf(2.0)
    with torch.inference_mode():
        y = x * x
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
    assert not y.requires_grad
    with torch.inference_mode(False):
        assert (x * x).requires_grad


def test_in_place_on_a_leaf_under_no_grad():
    x = leaf(2.0)
    with torch.no_grad():
        x.mul_(3)
    (x * x).backward()
    same(x.grad, 12.0)


# -- in place --------------------------------------------------------------------------------------


def test_overwritten_value_is_noticed():
    x = leaf(2.0, 3.0)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(
        RuntimeError,
        match="variables needed for gradient computation has been modified by an inplace",
    ):
        z.sum().backward()


def test_overwritten_output_is_noticed():
    x = leaf(2.0, 3.0)
    y = x.exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_overwriting_what_nobody_saved_is_fine():
    x = leaf(2.0, 3.0)
    y = x + 1
    z = y + 2
    y.mul_(5)
    (z + y).sum().backward()
    same(x.grad, 6.0, 6.0)


def test_write_through_a_view_is_noticed():
    x = leaf(2.0, 3.0)
    y = x * 1
    z = y.sin()
    y[0] = 0.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_leaf_cannot_be_written():
    x = leaf(2.0, 3.0)
    with pytest.raises(
        RuntimeError,
        match="a leaf Variable that requires grad is being used in an in-place operation",
    ):
        x.add_(1)
    with pytest.raises(
        RuntimeError,
        match="a view of a leaf Variable that requires grad is being used in an in-place operation",
    ):
        x[0] = 1
    same(x, 2.0, 3.0)


def test_in_place_becomes_history():
    x = leaf(2.0, 3.0)
    y = x * 2
    y.mul_(x).add_(1)
    assert y.grad_fn.name() == "AddBackward0"
    y.sum().backward()
    same(x.grad, 8.0, 12.0)


def test_constant_that_is_written_joins_the_graph():
    x = leaf(2.0, 3.0)
    buffer = torch.zeros(3, dtype=torch.float64)
    buffer[1:] = x
    buffer[0] = x[0] * x[1]
    (buffer * torch.tensor([1.0, 10.0, 100.0]).double()).sum().backward()
    same(x.grad, 13.0, 102.0)


def test_write_into_a_view_rewrites_the_base():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 1
    part = y[:2]
    part.mul_(10)
    assert y.grad_fn.name() == "torch::autograd::CopySlices"
    assert type(y.grad_fn).__name__ == "CopySlices"
    y.sum().backward()
    same(x.grad, 10.0, 10.0, 1.0)


def test_view_follows_its_base():
    x = leaf(1.0, 2.0)
    y = x * 1
    first = y[0]
    y.mul_(3)
    first.backward()
    same(x.grad, 3.0, 0.0)


def test_outputs_of_unbind_cannot_be_written():
    a, _ = (leaf(1.0, 2.0) * 1).unbind()
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        a.add_(1)


# -- Function --------------------------------------------------------------------------------------


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * g * x**2


def test_function():
    x = leaf(2.0)
    y = Cube.apply(x)
    assert y.grad_fn.name() == "CubeBackward"
    y.backward()
    same(x.grad, 12.0)


def test_function_to_third_order():
    x = leaf(2.0)
    y = Cube.apply(x)
    for expected in (12.0, 12.0, 6.0):
        (y,) = grad(y, x, create_graph=True)
        same(y, expected)


def test_function_saves_its_output():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            out = x.exp()
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    x = leaf(0.5)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = grad(y, x, create_graph=True)
        same(y, math.exp(0.5))


def test_function_with_several_inputs_and_outputs():
    class Mix(Function):
        @staticmethod
        def forward(ctx, x, y, k):
            ctx.save_for_backward(x, y)
            ctx.k = k
            return x * y, x + k * y, "text"

        @staticmethod
        def backward(ctx, g, h, none):
            x, y = ctx.saved_tensors
            assert none is None
            return g * y + h, g * x + ctx.k * h, None

    x, y = leaf(2.0), leaf(3.0)
    product, total, text = Mix.apply(x, y, 10)
    assert text == "text"
    assert product.grad_fn is total.grad_fn
    (product + 100 * total).backward()
    same(x.grad, 103.0)
    same(y.grad, 1002.0)


def test_missing_gradients_are_zeros_or_none():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            seen.append(h)
            return g, None

    x = leaf(1.0, 2.0)
    Two.apply(x, True)[0].sum().backward()
    Two.apply(x, False)[0].sum().backward()
    same(seen[0], 0.0, 0.0)
    assert seen[1] is None


def test_non_differentiable_output():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            fraction = x - x.floor()
            whole = x.floor()
            ctx.mark_non_differentiable(whole)
            return fraction, whole

        @staticmethod
        def backward(ctx, g, h):
            same(h, 0.0)
            return g

    x = leaf(2.7)
    fraction, whole = Split.apply(x)
    assert fraction.requires_grad
    assert not whole.requires_grad
    fraction.backward()
    same(x.grad, 1.0)


def test_needs_input_grad():
    class Look(Function):
        @staticmethod
        def forward(ctx, x, y, k):
            assert ctx.needs_input_grad == (True, False, False)
            return x * y

        @staticmethod
        def backward(ctx, g):
            assert ctx.needs_input_grad == (True, False, False)
            return g, None, None

    Look.apply(leaf(2.0), torch.tensor(3.0).double(), 5).backward()


def test_function_without_gradient():
    y = Cube.apply(torch.tensor(2.0))
    assert not y.requires_grad
    with torch.no_grad():
        assert not Cube.apply(leaf(2.0)).requires_grad


def test_setup_context():
    class Scale(Function):
        @staticmethod
        def forward(x, k):
            return x * k

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.k = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return g * ctx.k, None

    x = leaf(2.0)
    Scale.apply(x, 7.0).backward()
    same(x.grad, 7.0)


def test_dirty_input():
    class AddOne(Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf(2.0)
    y = x * 3
    z = AddOne.apply(y)
    assert z is y
    same(y, 7.0)
    y.backward()
    same(x.grad, 30.0)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        AddOne.apply(x)


def test_input_returned_as_it_is():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = leaf(2.0)
    y = Same.apply(x)
    assert y is not x
    y.backward()
    same(x.grad, 5.0)


def test_wrong_number_of_gradients():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(
        RuntimeError, match=r"returned an incorrect number of gradients \(expected 2, got 1\)"
    ):
        Wrong.apply(leaf(1.0), leaf(2.0)).backward()


def test_gradient_of_a_wrong_shape_or_kind():
    class Wrong(Function):
        result = None

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return Wrong.result

    Wrong.result = torch.ones(3).double()
    with pytest.raises(RuntimeError, match="invalid gradient at index 0"):
        Wrong.apply(leaf(1.0, 2.0)).sum().backward()
    Wrong.result = 1.0
    with pytest.raises((TypeError, RuntimeError)):
        Wrong.apply(leaf(1.0, 2.0)).sum().backward()


def test_function_must_be_complete():
    class Nothing(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(
        NotImplementedError, match="You must implement either the backward or vjp method"
    ):
        Nothing.apply(leaf(1.0)).backward()
    with pytest.raises(NotImplementedError, match="You must implement the forward function"):
        type("Empty", (Function,), {}).apply(leaf(1.0))


def test_function_saved_tensors_are_freed():
    y = Cube.apply(leaf(2.0))
    y.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_function_saved_value_is_overwritten():
    x = leaf(2.0)
    y = x * 1
    z = Cube.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_save_for_backward_takes_tensors():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3.0)
            return x

    with pytest.raises(TypeError, match="save_for_backward can only save variables"):
        Wrong.apply(leaf(1.0))


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            assert not torch.is_grad_enabled()
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(3.0)
    Once.apply(x).backward()
    same(x.grad, 6.0)
    (g,) = grad(Once.apply(x), x, create_graph=True)
    assert not g.requires_grad
    (g,) = grad(Once.apply(x) * x, x, create_graph=True)
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        g.backward()


def test_functions_within_functions():
    class Outer(Function):
        @staticmethod
        def forward(ctx, x):
            with torch.enable_grad():
                inner = x.detach().requires_grad_()
                ctx.out = Cube.apply(inner).sin()
            ctx.inner = inner
            return ctx.out.detach()

        @staticmethod
        def backward(ctx, g):
            return grad(ctx.out, ctx.inner, g)[0]

    x = leaf(0.5)
    Outer.apply(x).backward()
    same(x.grad, math.cos(0.125) * 3 * 0.25)


# -- functional ------------------------------------------------------------------------------------


def test_jacobian():
    x = torch.tensor([1.0, 2.0, 3.0]).double()
    j = functional.jacobian(lambda x: torch.stack([x[0] * x[1], x[2] ** 2]), x)
    same(j, [2.0, 1.0, 0.0], [0.0, 0.0, 6.0])


def test_jacobian_of_several_inputs_and_outputs():
    x, y = torch.tensor([1.0, 2.0]).double(), torch.tensor(3.0).double()
    (xx, xy), (yx, yy) = functional.jacobian(lambda x, y: (x * y, (x * x).sum() + y), (x, y))
    same(xx, [3.0, 0.0], [0.0, 3.0])
    same(xy, 1.0, 2.0)
    same(yx, 2.0, 4.0)
    same(yy, 1.0)


def test_jacobian_can_be_differentiated():
    x = leaf(1.0, 2.0)
    functional.jacobian(lambda x: x**3, x, create_graph=True).sum().backward()
    same(x.grad, 6.0, 12.0)


def test_strict_jacobian():
    x, y = torch.ones(2), torch.ones(2)
    same(functional.jacobian(lambda x, y: x * 2, (x, y))[1], [0.0, 0.0], [0.0, 0.0])
    with pytest.raises(RuntimeError, match="is independent of input 1"):
        functional.jacobian(lambda x, y: x * 2, (x, y), strict=True)


def test_hessian():
    x = torch.tensor([1.0, 2.0]).double()
    same(functional.hessian(lambda x: x[0] ** 2 * x[1] + x[1] ** 3, x), [4.0, 2.0], [2.0, 12.0])


def test_hessian_of_two_inputs():
    x, y = torch.tensor(2.0).double(), torch.tensor(3.0).double()
    (xx, xy), (yx, yy) = functional.hessian(lambda x, y: x**2 * y**3, (x, y))
    for got, expected in ((xx, 54.0), (xy, 108.0), (yx, 108.0), (yy, 72.0)):
        same(got, expected)


def test_products():
    def f(x):
        return torch.stack([x[0] * x[1], x[1].exp()])

    def scalar(x):
        return x[0] ** 2 * x[1]

    x, v = torch.tensor([2.0, 3.0]).double(), torch.tensor([1.0, 10.0]).double()
    e = math.exp(3)
    out, got = functional.vjp(f, x, v)
    same(out, 6.0, e)
    same(got, 3.0, 2.0 + 10 * e)
    same(functional.jvp(f, x, v)[1], 3.0 + 20.0, 10 * e)
    same(functional.vhp(scalar, x, v)[1], 6.0 + 40.0, 4.0)
    same(functional.hvp(scalar, x, v)[1], 6.0 + 40.0, 4.0)
    with pytest.raises(RuntimeError, match="invalid size"):
        functional.vjp(f, x, torch.ones(3).double())


# -- transformations -------------------------------------------------------------------------------


def test_func_grad():
    f = torch.func.grad(torch.func.grad(torch.sin))
    same(f(torch.tensor(0.5).double()), -math.sin(0.5))
    gx, gy = torch.func.grad(lambda x, y: x * y**2, argnums=(0, 1))(
        torch.tensor(2.0), torch.tensor(3.0)
    )
    same(gx, 9.0)
    same(gy, 12.0)
    g, (value, extra) = torch.func.grad_and_value(lambda x: (x**2, x + 1), has_aux=True)(
        torch.tensor(3.0)
    )
    same(g, 6.0)
    same(value, 9.0)
    same(extra, 4.0)


def test_func_jvp():
    x, t = torch.tensor([0.5, 1.0]).double(), torch.tensor([1.0, 2.0]).double()
    out, tangent = torch.func.jvp(lambda x: (x.sin() * x).sum(), (x,), (t,))
    same(out, 0.5 * math.sin(0.5) + math.sin(1.0))
    expected = (math.sin(0.5) + 0.5 * math.cos(0.5)) + 2 * (math.sin(1.0) + math.cos(1.0))
    same(tangent, expected)


def test_vmap():
    x = torch.arange(6.0).reshape(2, 3)
    close(torch.vmap(lambda v: v.sum())(x), x.sum(1))
    close(torch.vmap(torch.dot)(x, x), (x * x).sum(1))
    close(torch.vmap(lambda v, w: v * w, in_dims=(0, None))(x, x[0]), x * x[0])
    close(torch.vmap(lambda v: v + 1, in_dims=1, out_dims=1)(x), x + 1)


def test_vmap_of_grad():
    x = torch.arange(6.0).reshape(2, 3).double()
    close(torch.vmap(torch.func.grad(lambda v: (v * v * v).sum()))(x), 3 * x * x)


def test_forward_over_reverse():
    def f(x):
        return (x.exp() * x).sum()

    x, t = torch.tensor([0.5, 1.0]).double(), torch.tensor([1.0, -1.0]).double()
    _, product = torch.func.jvp(torch.func.grad(f), (x,), (t,))
    close(product, t * (x.exp() * (x + 2)))


SKELETON = {
    "add": lambda x: x + x.flip(0),
    "mul": lambda x: x * x * 3,
    "matmul": lambda x: x.reshape(2, 2) @ x.reshape(2, 2),
    "sin": lambda x: x.sin(),
    "exp": lambda x: x.exp().sum(),
    "mean": lambda x: (x * x).mean(),
    "reshape": lambda x: x.reshape(2, 2).t() * x[:2],
    "index": lambda x: x[1:] * x[torch.tensor([0, 0, 3])],
    "where": lambda x: torch.where(x > 0, x * x, x.sin()),
}


@pytest.mark.parametrize("f", SKELETON.values(), ids=SKELETON)
def test_transformations_agree(f):
    """vmap is a loop; jvp is the Jacobian's product; both also when one is inside the other."""
    torch.manual_seed(0)
    x, t = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    close(torch.vmap(f)(x), torch.stack([f(row) for row in x]))
    jacobians = [functional.jacobian(f, row) for row in x]
    products = [(j * v).sum(-1) for j, v in zip(jacobians, t, strict=True)]
    close(torch.func.jvp(f, (x[0],), (t[0],))[1], products[0])
    close(torch.func.jvp(torch.vmap(f), (x,), (t,))[1], torch.stack(products))
    close(torch.vmap(lambda a, b: torch.func.jvp(f, (a,), (b,))[1])(x, t), torch.stack(products))
    gradient = torch.func.grad(lambda row: f(row).sum())
    close(torch.vmap(gradient)(x), torch.stack([gradient(row) for row in x]))


# -- complex numbers -------------------------------------------------------------------------------


def test_complex_gradients_are_conjugate():
    z = torch.tensor([1 + 2j, -3 + 0.5j], requires_grad=True)
    (z * z).abs().sum().backward()  # |z|^2, whose gradient is 2z
    close(z.grad, 2 * z.detach())


def test_holomorphic_function():
    z = torch.tensor(1 + 2j, dtype=torch.complex128, requires_grad=True)
    (g,) = grad(z**3, z, torch.tensor(1 + 0j, dtype=torch.complex128))
    close(g, (3 * z.detach() ** 2).conj().resolve_conj())


def test_real_and_imaginary_parts():
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128, requires_grad=True)
    (2 * z.real + 5 * z.imag).sum().backward()
    same(z.grad, 2 + 5j, 2 + 5j)


@pytest.mark.parametrize("compiled", [False, True])
def test_complex_gradients_print_without_negative_zeros(compiled):
    def slopes(x, y):
        return torch.autograd.grad((x * y).sum(), x, torch.ones((), dtype=torch.complex64))[0]

    x = torch.tensor([2 + 0j, 1 + 1j, 0j], requires_grad=True)
    y = torch.tensor([3 + 0j, 0j, 1j])
    call = torch.compile(slopes) if compiled else slopes
    assert str(call(x, y)) == "tensor([3.+0.j, 0.+0.j, 0.-1.j])"
    (x * y).sum().backward(torch.ones((), dtype=torch.complex64))
    assert str(x.grad) == "tensor([3.+0.j, 0.+0.j, 0.-1.j])"


@pytest.mark.parametrize("base", [torch.zeros(2), torch.zeros(2, dtype=torch.complex64), 0])
def test_zero_to_a_complex_power(base):
    found = base ** torch.tensor([0j, 2])
    assert str(found) == "tensor([nan+nanj, 0.-0.j])"
    assert str(1 ** torch.tensor([0j, complex("inf")])) == "tensor([1.+0.j, 1.+0.j])"


def test_complex_from_real():
    x = leaf(1.0, 2.0)
    (x * (1 + 2j)).abs().sum().backward()
    same(x.grad, math.sqrt(5), math.sqrt(5))


def test_complex_outputs_need_a_weight():
    z = torch.tensor(1 + 2j, requires_grad=True)
    with pytest.raises(
        RuntimeError, match="grad can be implicitly created only for real scalar outputs"
    ):
        (z * z).backward()


def test_second_derivative_of_complex():
    z = torch.tensor(1 + 2j, dtype=torch.complex128, requires_grad=True)
    (g,) = grad((z * z).real, z, create_graph=True)
    close(g.detach(), (2 * z.detach()).conj().resolve_conj())
    (h,) = grad(g.real + 3 * g.imag, z)  # g = 2x - 2iy
    close(h, torch.tensor(2 - 6j, dtype=torch.complex128))


# -- dtypes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_gradients(dtype):
    x = torch.tensor([0.5, 1.5, -2.0], dtype=dtype, requires_grad=True)
    (x.exp() * x).sum().backward()
    assert x.grad.dtype == dtype
    wide = x.detach().double()
    torch.testing.assert_close(x.grad.double(), wide.exp() * (1 + wide), rtol=0.02, atol=0.02)


def test_gradient_has_the_dtype_of_its_leaf():
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.float64, requires_grad=True)
    out = x * y
    assert out.dtype == torch.float64
    out.sum().backward()
    assert x.grad.dtype == torch.float32
    assert y.grad.dtype == torch.float64


def test_gradient_through_casts():
    x = torch.tensor([1.5, 2.5], requires_grad=True)
    (x.double() * 2).half().float().sum().backward()
    same(x.grad, 2.0, 2.0)


# -- several outputs -------------------------------------------------------------------------------


def test_outputs_that_are_not_used():
    x = leaf(3.0, 1.0, 2.0)
    values, indices = x.sort()
    values[0].backward()
    same(x.grad, 0.0, 1.0, 0.0)
    assert not indices.requires_grad


def test_all_outputs_are_used():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    a, b = x.unbind()
    (a * b).sum().backward()
    same(x.grad, [3.0, 4.0], [1.0, 2.0])


def test_split_twice_differentiated():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = x.split(2)
    (g,) = grad((a * a * b).sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    same(h, 2 * 3 + 2 * 1.0, 2 * 4 + 2 * 2.0, 2 * 1.0, 2 * 2.0)


# -- beyond torch ----------------------------------------------------------------------------------


def line_of(marker):
    """This file's line that ends with a marker."""
    with open(__file__) as f:
        return next(i for i, text in enumerate(f, 1) if text.rstrip().endswith(f"# {marker}"))


def test_beyond_freed_graph_names_its_line():
    x = leaf(2.0)
    y = x * x  # freed
    y.backward()
    with pytest.raises(
        RuntimeError, match=rf"MulBackward0, made at .*test_autograd.py:{line_of('freed')}"
    ):
        y.backward()


def test_beyond_overwritten_value_names_both_lines():
    y = leaf(2.0, 3.0) * 1
    z = y.sin()  # saved
    y.add_(1)  # overwritten
    with pytest.raises(RuntimeError) as caught:
        z.sum().backward()
    text = str(caught.value)
    assert f"saved at {__file__}:{line_of('saved')} in test_beyond" in text
    assert f"overwritten at {__file__}:{line_of('overwritten')} in test_beyond" in text


def test_beyond_function_that_is_overwritten_names_both_lines():
    y = leaf(2.0) * 1
    z = Cube.apply(y)  # cubed
    y.mul_(2)  # doubled
    with pytest.raises(RuntimeError, match=f":{line_of('cubed')} in .*:{line_of('doubled')} in "):
        z.backward()


def test_beyond_trace_is_replayed_on_other_values():
    trace = Trace(Program(), read=None, lay=None)
    x = trace.input(np.array([1.0, 2.0, 3.0]))
    out = (wrap(x) * wrap(x)).sum().sin()
    assert out._data.value == np.sin(14.0)
    trace.program.outputs = [out._data.now()]
    trace.program.verify()
    (again,) = trace.program.run([np.array([2.0, 3.0, 4.0])])
    assert again == np.sin(29.0)
    assert len(trace.program.instructions) == 3


def test_beyond_leaf_dies_while_its_graph_lives():
    x = leaf(2.0)
    y = x * 3
    gone = weakref.ref(x)
    del x
    assert gone() is None
    y.backward()  # nobody is left to take the gradient
    assert y.grad_fn.next_functions[0][0].variable is None
    assert gc.isenabled()


# -- inference mode --------------------------------------------------------------------------------


def test_tensors_made_in_inference_mode_stay_so():
    n = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        a, of_normal = torch.ones(3), n.view(3)
        assert a.is_inference() and not of_normal.is_inference() and (n * 2).is_inference()
        assert not torch.is_grad_enabled()
        with torch.inference_mode(False):
            assert torch.is_grad_enabled() and not torch.ones(1).is_inference()
    assert a[0].is_inference() and a.detach().is_inference()
    assert not a.clone().is_inference() and not torch.ones(1).is_inference()
    for f, words in (
        (lambda: a * n, "cannot be saved for backward"),
        (lambda: n * a, "cannot be saved for backward"),
        (lambda: torch.nn.functional.linear(a, n[None]), "cannot be saved for backward"),
        (lambda: torch.matmul(a, n), "cannot be saved for backward"),
        (lambda: a.add_(1), "Inplace update to inference tensor outside InferenceMode"),
        (lambda: torch.add(n.detach(), 1, out=a), "Inplace update to inference tensor"),
        (lambda: of_normal.add_(1), "A view was created in inference mode"),
        (lambda: a.requires_grad_(), "Setting requires_grad=True on inference tensor"),
        (lambda: torch.nn.Parameter(a), "Setting requires_grad=True on inference tensor"),
        (lambda: a._version, "do not track version counter"),
    ):
        with pytest.raises(RuntimeError, match=words):
            f()
    assert a.tolist() == [1, 1, 1]
    assert (a + n).grad_fn.name() == "AddBackward0"  # nothing is saved


def test_inference_mode_is_the_threads_own():
    made = {}
    inside, outside = threading.Event(), threading.Event()

    def infer():
        with torch.inference_mode():
            inside.set()
            outside.wait(10)
            made["inside"] = torch.ones(1)

    thread = threading.Thread(target=infer)
    thread.start()
    inside.wait(10)
    x = torch.ones(1)
    outside.set()
    thread.join()
    assert made["inside"].is_inference() and not x.is_inference()


def test_a_rule_without_a_derivative_leaves_none():
    x = leaf([1.0, 2.0])
    x.norm(0).backward()
    assert x.grad is None
    (x.norm(0) + x.sum()).backward()
    assert x.grad.tolist() == [1, 1]
