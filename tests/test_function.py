"""`autograd.Function` in every mode: errors that name the class and its line, forward mode (the
user's jvp, or derived from backward), vmap (the user's rule, or forward on batched tensors).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as torch
from chainrule.autograd import Function, grad
from chainrule.autograd.function import InplaceFunction, NestedIOFunction, once_differentiable
from chainrule.func import grad as func_grad
from chainrule.func import jvp, vmap


def leaf(*values):
    data = values if len(values) != 1 else values[0]
    return torch.tensor(data, dtype=torch.float64, requires_grad=True)


def constant(*values):
    return leaf(*values).detach()


def same(t, expected):
    np.testing.assert_allclose(t.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


class Cube(Function):
    """A derivative of its own: 5 x^2, so that one can see which rule ran."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 5 * g * x**2


class Scale(Function):
    @staticmethod
    def forward(x, k=2.0, *, shift=0.0):
        return x * k + shift

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.k = inputs[1]

    @staticmethod
    def backward(ctx, g):
        return g * ctx.k, None


class Returns(Function):
    """Gives back as its gradient whatever is put into `result`."""

    result = None

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return Returns.result


# -- calling ---------------------------------------------------------------------------------------


def test_defaults_and_keywords_reach_setup_context():
    x = leaf(3.0)
    for call, k, value in (
        (lambda: Scale.apply(x), 2.0, 6.0),
        (lambda: Scale.apply(x, k=4.0), 4.0, 12.0),
        (lambda: Scale.apply(x, 4.0, shift=1.0), 4.0, 13.0),
    ):
        y = call()
        same(y, value)
        assert y.grad_fn.k == k
        same(grad(y, x)[0], k)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Scale.apply(x, z=3)


def test_keywords_without_setup_context():
    class Power(Function):
        @staticmethod
        def forward(ctx, x, k=2):
            ctx.save_for_backward(x)
            ctx.k = k
            return x**k

        @staticmethod
        def backward(ctx, g):
            return g * ctx.k * ctx.saved_tensors[0] ** (ctx.k - 1), None

    x = leaf(2.0)
    y = Power.apply(x, k=3)
    same(y, 8.0)
    assert y.grad_fn.needs_input_grad == (True, False)
    same(grad(y, x)[0], 12.0)
    Power.backward = staticmethod(lambda ctx, g: (g, g))
    with pytest.raises(RuntimeError, match="gradient different than None at position 1"):
        Power.apply(x, k=3).backward()


def test_node_shows_its_context():
    x = leaf(2.0)
    y = Cube.apply(x)
    assert y.grad_fn.saved_tensors[0] is x
    assert y.grad_fn.needs_input_grad == (True,)
    with pytest.raises(AttributeError, match="'CubeBackward' object has no attribute 'missing'"):
        _ = y.grad_fn.missing
    y.backward()
    with pytest.raises(RuntimeError, match="directly access saved tensors"):
        _ = y.grad_fn.saved_tensors


def test_vjp_is_another_name_for_backward():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, g):
            return g * 2

    class Both(Double):
        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(1.0)
    Double.apply(x).backward()
    same(x.grad, 2.0)
    with pytest.raises(RuntimeError, match="Implementing both 'backward' and 'vjp'"):
        Both.apply(x).backward()


def test_gradients_in_one_list():
    class Boxed(Function):
        boxed_grads_call = True

        @staticmethod
        def forward(ctx, x):
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, grads):
            assert type(grads) is list
            return grads[0] + 2 * grads[1]

    x = leaf(1.0)
    sum(Boxed.apply(x)).backward()
    same(x.grad, 3.0)


def test_saved_tensors_are_cleared_on_access():
    class Once(Function):
        clear_saved_tensors_on_access = True
        reads = 1

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * sum(ctx.saved_tensors[0] for _ in range(Once.reads))

    x = leaf(3.0)
    y = Once.apply(x)
    y.backward(retain_graph=True)
    same(x.grad, 3.0)
    with pytest.raises(RuntimeError, match="saved_tensors can only be accessed once"):
        y.backward()
    Once.reads = 2
    with pytest.raises(RuntimeError, match="saved_tensors can only be accessed once"):
        Once.apply(x).backward()


def test_functions_are_not_instantiated():
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        f = Cube()
    with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward"):
        f(leaf(1.0))
    with pytest.warns(DeprecationWarning):
        assert InplaceFunction(True).inplace
    assert issubclass(torch.autograd.NestedIOFunction, Function)
    assert torch.autograd.NestedIOFunction is NestedIOFunction


# -- what the user did wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("text", r"expected Variable or None \(got str\)"),
        (1.0, r"expected Variable or None \(got float\)"),
        (np.ones(2), r"expected Variable or None \(got ndarray\)"),
        ([torch.ones(2)], r"expected Variable or None \(got list\)"),
        (torch.ones(3), r"invalid gradient at index 0 - got \[3\] but expected .* \[2\]"),
        (torch.ones(1), r"invalid gradient at index 0 - got \[1\] but expected .* \[2\]"),
        (torch.tensor(1.0), r"invalid gradient at index 0 - got \[\] but expected .* \[2\]"),
        (torch.ones(2) * 1j, "invalid gradient at index 0 - got torch.complex64"),
        ((), r"incorrect number of gradients \(expected 1, got 0\)"),
        ((torch.ones(2),) * 2, r"incorrect number of gradients \(expected 1, got 2\)"),
    ],
)
def test_a_wrong_gradient_names_class_and_line(result, words):
    Returns.result = result
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=words) as e:
        Returns.apply(x).sum().backward()
    line = Returns.backward.__code__.co_firstlineno
    assert f"Returns.backward, {__file__}:{line}" in str(e.value)
    assert f"of the call at {__file__}:" in str(e.value)
    assert x.grad is None


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (torch.ones(2), 1.0),
        (torch.ones(2, dtype=torch.int64), 1.0),
        (torch.ones(3, 2), 3.0),
        ((torch.ones(2), None), 1.0),
    ],
)
def test_gradients_are_cast_and_summed(result, expected):
    Returns.result = result
    x = leaf(1.0, 2.0)
    Returns.apply(x).sum().backward()
    same(x.grad, [expected, expected])
    assert x.grad.dtype == torch.float64


def test_no_gradient():
    Returns.result = None
    x = leaf(1.0, 2.0)
    Returns.apply(x).sum().backward()
    assert x.grad is None


def test_an_error_in_backward_is_told_its_place():
    class Raises(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("lost")

    x = leaf(1.0)
    y = Raises.apply(x)
    with pytest.raises(KeyError, match="lost") as e:
        y.backward()
    assert any("in Raises.backward" in n and "of the call at" in n for n in e.value.__notes__)
    with pytest.raises(KeyError):  # nothing was freed
        y.backward()


def test_contexts_take_tensors():
    class Marks(Function):
        name = ""

        @staticmethod
        def forward(ctx, x):
            getattr(ctx, Marks.name)(3)
            return x * 1

    for name, error in (
        ("mark_dirty", RuntimeError),
        ("mark_non_differentiable", RuntimeError),
        ("save_for_backward", TypeError),
        ("save_for_forward", AssertionError),
    ):
        Marks.name = name
        with pytest.raises(error, match=name):
            Marks.apply(leaf(1.0))


def test_dirty_tensors_must_be_returned():
    class Forgets(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 1

    with pytest.raises(RuntimeError, match=r"marked as dirty .* were not returned as output"):
        Forgets.apply(leaf(1.0) * 1)


def test_once_differentiable_forbids_the_second_time():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(3.0)
    (g,) = grad(Once.apply(x) * x, x, create_graph=True)
    same(g, 27.0)
    with pytest.raises(RuntimeError, match=r"trying to differentiate twice .*Once.backward"):
        g.backward()


class AddOne(Function):
    @staticmethod
    def forward(ctx, x):
        x.add_(1)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 10


def test_a_dirty_view_changes_the_history_of_its_base():
    x = leaf(1.0, 2.0)
    y = x * 1
    v = y[0]
    assert AddOne.apply(v) is v
    same(y, [2.0, 2.0])
    y.sum().backward()
    same(x.grad, [10.0, 1.0])
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        AddOne.apply(x[0])


def test_dirty_inputs_invalidate_what_was_saved():
    y = leaf(1.0, 2.0) * 1
    z = y * y
    AddOne.apply(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


class Parts(Function):
    count = 1

    @staticmethod
    def forward(ctx, x):
        return x.view(-1) if Parts.count == 1 else (x[0], x[1])

    @staticmethod
    def backward(ctx, *gs):
        return gs[0].view(2) if Parts.count == 1 else torch.stack(gs)


def test_views_from_forward_are_not_written():
    for Parts.count, words in ((1, "created inside a custom Function"), (2, "multiple views")):
        x = leaf(1.0, 2.0) * 1
        y = Parts.apply(x)
        y = y if Parts.count == 1 else y[0]
        with pytest.raises(RuntimeError, match=f"Output 0 of Parts is a view and is .*{words}"):
            y.mul_(2)
        x.mul_(2)
        with pytest.raises(RuntimeError, match=f"its base or another view .*{words}"):
            _ = y.grad_fn


def test_an_input_returned_as_it_is_is_not_written():
    Returns.result = torch.ones(2)

    class Same(Returns):
        @staticmethod
        def forward(ctx, x):
            return x

    y = Same.apply(leaf(1.0, 2.0) * 1)
    with pytest.raises(RuntimeError, match=r"Output 0 of Same is a view .* input was returned as"):
        y.mul_(2)


def test_several_outputs_beside_a_dirty_view():
    class Both(AddOne):
        @staticmethod
        def forward(ctx, x):
            return AddOne.forward(ctx, x), x * 2

    with pytest.raises(RuntimeError, match="your Function cannot return more than one Tensor"):
        Both.apply((leaf(1.0, 2.0) * 1)[0])


# -- forward mode ----------------------------------------------------------------------------------


def test_jvp_of_the_user():
    class Square(Function):
        @staticmethod
        def forward(ctx, x, k):
            assert not torch.is_grad_enabled()
            ctx.save_for_forward(x)
            ctx.k = k
            return k * x * x

        @staticmethod
        def jvp(ctx, t, none):
            assert none is None
            return 7 * ctx.k * ctx.saved_tensors[0] * t

    out, t = jvp(lambda x: Square.apply(x, 2.0).sin(), (constant(3.0),), (constant(1.0),))
    same(out, math.sin(18.0))
    same(t, math.cos(18.0) * 42.0)


def test_missing_tangents_are_zeros_or_none():
    seen = []

    class Plus(Function):
        @staticmethod
        def forward(ctx, x, y, materialize):
            ctx.set_materialize_grads(materialize)
            return x + y

        @staticmethod
        def jvp(ctx, t, u, none):
            seen.append(u)
            return t

    for materialize in (True, False):
        jvp(
            lambda x, m=materialize: Plus.apply(x, constant(1.0, 1.0), m),
            (constant(1.0, 2.0),),
            (constant(1.0, 1.0),),
        )
    same(seen[0], [0.0, 0.0])
    assert seen[1] is None


class Pushes(Function):
    """Gives back as its tangents whatever `result` makes of them."""

    result = None

    @staticmethod
    def forward(ctx, x):
        return x * 1, x * 2

    @staticmethod
    def jvp(ctx, t):
        return Pushes.result(t)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda t: t, r"invalid number of forward gradients \(expected 2 but got 1\)"),
        (lambda t: ("text", t), r"expected Variable or None \(got str\) for grad output 0"),
        (lambda t: (t, torch.ones(3)), r"different size .* of size \[2\] .* of size \[3\]"),
        (lambda t: (t, t * 1j), "the forward gradient of output 1 is torch.complex128"),
    ],
)
def test_a_wrong_tangent_names_class_and_line(result, words):
    Pushes.result = result
    with pytest.raises(RuntimeError, match=words) as e:
        jvp(Pushes.apply, (constant(1.0, 2.0),), (constant(1.0, 1.0),))
    assert f"Pushes.jvp, {__file__}:{Pushes.jvp.__code__.co_firstlineno}" in str(e.value)


def test_tangents_may_be_none_or_of_another_dtype():
    Pushes.result = lambda t: (None, t.float())
    _, (a, b) = jvp(Pushes.apply, (constant(1.0, 2.0),), (constant(1.0, 3.0),))
    same(a, [0.0, 0.0])
    same(b, [1.0, 3.0])
    assert b.dtype == torch.float64


def test_jvp_derived_from_backward():
    out, t = jvp(Cube.apply, (constant(1.0, 2.0),), (constant(1.0, 10.0),))
    same(out, [1.0, 8.0])
    same(t, [5.0, 200.0])


def test_jvp_derived_where_backward_cannot_be_differentiated():
    class Outer(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x[:, None] * y

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return torch.from_numpy(g.numpy() @ y.detach().numpy()), (g * x[:, None]).sum(0)

    x, y, t, u = (
        constant(1.0, 2.0),
        constant(3.0, 4.0, 5.0),
        constant(1.0, 7.0),
        constant(2.0, 0.5, 1.0),
    )
    _, pushed = jvp(Outer.apply, (x, y), (t, u))
    same(pushed, np.outer(t.numpy(), y.numpy()) + np.outer(x.numpy(), u.numpy()))


def test_jvp_derived_for_complex_numbers():
    class Turn(Function):
        twice = True

        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, g):
            (z,) = ctx.saved_tensors
            result = 2 * g * z.conj()
            return result if Turn.twice else once(result)

    def once(result):
        return torch.from_numpy(result.detach().numpy())

    z, t = torch.tensor([1 + 2j, 3 - 1j]), torch.tensor([1j, 2.0 - 1j])
    z, t = z.to(torch.complex128), t.to(torch.complex128)
    for Turn.twice in (True, False):
        _, pushed = jvp(Turn.apply, (z,), (t,))
        np.testing.assert_allclose(pushed.numpy(), 2 * z.numpy() * t.numpy())


def test_forward_runs_once_for_a_derived_jvp():
    calls = []

    class Counts(Function):
        @staticmethod
        def forward(ctx, x):
            calls.append(1)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    _, t = jvp(Counts.apply, (constant(1.0),), (constant(1.0),))
    same(t, 2.0)
    assert len(calls) == 1


def test_a_dual_tensor_that_outlived_its_transformation_is_a_value():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x

    jvp(f, (constant(1.0, 2.0),), (constant(1.0, 1.0),))
    same(Cube.apply(kept[0]) + 0, [8.0, 64.0])


def test_forward_over_reverse_and_the_other_way_round():
    x, t = constant(1.0, 2.0), constant(1.0, 10.0)
    _, hvp = jvp(func_grad(lambda x: Cube.apply(x).sum()), (x,), (t,))
    same(hvp, [10.0, 200.0])  # d/dx 5 x^2 = 10 x
    _, second = jvp(lambda x: jvp(Cube.apply, (x,), (t,))[1], (x,), (t,))
    same(second, [10.0, 2000.0])


def test_forward_over_reverse_with_a_saved_output():
    class Exp(Function):
        @staticmethod
        def forward(x):
            return x.exp()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    class Exp2(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        backward = Exp.backward

    x, t = constant(0.5, 1.0), constant(1.0, 2.0)
    for f in (Exp, Exp2):
        for many in (lambda x, f=f: f.apply(x).sum(), lambda x, f=f: f.apply(f.apply(x)).sum()):
            _, hvp = jvp(func_grad(many), (x,), (t,))
            plain = (lambda x: x.exp().sum()) if many(x) < 10 else (lambda x: x.exp().exp().sum())
            same(hvp, jvp(func_grad(plain), (x,), (t,))[1].numpy())


def test_in_place_forward_in_forward_mode():
    class AddOne(Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    def f(x):
        y = x * 3
        z = AddOne.apply(y)
        assert z is y
        return y * 1

    out, t = jvp(f, (constant(2.0),), (constant(1.0),))
    same(out, 7.0)
    same(t, 30.0)


def test_non_differentiable_output_has_no_tangent():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            whole = x.floor()
            ctx.mark_non_differentiable(whole)
            return x - whole, whole, (x > 0)

        @staticmethod
        def backward(ctx, g, h, none):
            return g

    _, (a, b, c) = jvp(Split.apply, (constant(1.5, 2.0),), (constant(1.0, 1.0),))
    same(a, [1.0, 1.0])
    same(b, [0.0, 0.0])
    assert c.numel() == 2


# -- vmap ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generate", [False, True])
def test_vmap_without_a_rule(generate):
    f = type("Cube", (Cube,), {"generate_vmap_rule": generate})
    x = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    same(vmap(f.apply)(x), x.numpy() ** 3)
    same(vmap(func_grad(lambda x: f.apply(x).sum()))(x), 5 * x.numpy() ** 2)
    _, t = jvp(vmap(f.apply), (x,), (torch.ones_like(x),))
    same(t, 5 * x.numpy() ** 2)
    same(vmap(lambda x: jvp(f.apply, (x,), (torch.ones_like(x),))[1])(x), 5 * x.numpy() ** 2)


class NumpySort(Function):
    """A forward that leaves the library, and the vmap rule that it needs therefore."""

    infos: list = []

    @staticmethod
    def forward(x, axis):
        order = np.argsort(x.numpy(), axis)
        return torch.from_numpy(np.take_along_axis(x.numpy(), order, axis)), torch.from_numpy(order)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.axis = inputs[1]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx, g, _):
        (order,) = ctx.saved_tensors
        places = torch.arange(order.shape[-1])
        there = (order.unsqueeze(-1) == places).to(g.dtype)  # sorted along the last axis
        return (g.unsqueeze(-2) @ there).squeeze(-2), None

    @staticmethod
    def vmap(info, in_dims, x, axis):
        NumpySort.infos.append((info.batch_size, in_dims))
        axis = axis % (x.ndim - 1)
        return NumpySort.apply(x.movedim(in_dims[0], 0), axis + 1), (0, 0)


def test_vmap_rule():
    x = torch.tensor([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]]).double()
    NumpySort.infos.clear()
    same(vmap(lambda x: NumpySort.apply(x, -1)[0])(x), np.sort(x.numpy(), -1))
    assert NumpySort.infos == [(2, (0, None))]
    same(vmap(lambda x: NumpySort.apply(x, 0)[0], in_dims=1, out_dims=1)(x), np.sort(x.numpy(), 0))
    nested = vmap(vmap(lambda x: NumpySort.apply(x, 0)[0]))(torch.stack([x, -x]))
    same(nested, np.sort(np.stack([x.numpy(), -x.numpy()]), -1))


def test_vmap_rule_of_a_gradient():
    x = torch.tensor([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]]).double()
    weights = constant(1.0, 10.0, 100.0)
    g = vmap(func_grad(lambda x: (NumpySort.apply(x, 0)[0] * weights).sum()))(x)
    same(g, [[100.0, 1.0, 10.0], [10.0, 100.0, 1.0]])
    _, t = jvp(lambda x: vmap(lambda x: NumpySort.apply(x, 0)[0])(x), (x,), (x * 2,))
    same(t, np.sort(x.numpy(), -1) * 2)
    t = vmap(lambda x: jvp(lambda x: NumpySort.apply(x, 0)[0], (x,), (x * 2,))[1])(x)
    same(t, np.sort(x.numpy(), -1) * 2)


class Batches(Function):
    result = None

    @staticmethod
    def forward(x):
        return x * 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.shape = inputs[0].shape

    @staticmethod
    def backward(ctx, g):
        assert g.shape == ctx.shape
        return g * 2

    @staticmethod
    def vmap(info, in_dims, x):
        return Batches.result(x, in_dims)


@pytest.mark.parametrize(
    ("result", "shape"),
    [
        (lambda x, dims: (x * 2, 0), (3, 4)),
        (lambda x, dims: (x * 2, -1), (4, 3)),
        (lambda x, dims: (x.sum(0), None), (3, 4)),
        (lambda x, dims: (x, dims[0]), (3, 4)),
        (lambda x, dims: ((x * 2, x.sum(0)), (0, None)), None),
    ],
)
def test_out_dims_of_a_vmap_rule(result, shape):
    Batches.result = result
    f = vmap(lambda x: Batches.apply(x)[0] if shape is None else Batches.apply(x))
    x = torch.ones(*((4, 4) if shape == (4, 3) else (3, 4))).double()
    if shape == (4, 3):
        shape = (4, 4)
    assert f(x).shape == (shape or (3, 4))


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        (lambda x, dims: x, RuntimeError, "Expected the vmap staticmethod to have two returns"),
        (lambda x, dims: (x, x, x), RuntimeError, "Got 3 returns instead"),
        (lambda x, dims: (x * 2, (0, 0)), RuntimeError, r"incompatible \(output, out_dims\) tuple"),
        (lambda x, dims: (x * 2, 5), IndexError, r"range of \[-2, 1\], but got 5"),
        (lambda x, dims: (x[:2], 0), RuntimeError, "must have the batch size 3"),
    ],
)
def test_a_wrong_vmap_rule_names_class_and_line(result, error, words):
    Batches.result = result
    with pytest.raises(error, match=words) as e:
        vmap(Batches.apply)(torch.ones(3, 4))
    assert f"Batches.vmap, {__file__}:" in str(e.value) or "Batches.vmap (" in str(e.value)


def test_a_vmap_rule_and_generate_vmap_rule_exclude_each_other():
    f = type("Twice", (Batches,), {"generate_vmap_rule": True})
    with pytest.raises(RuntimeError, match="You tried to vmap over Twice, but it has both"):
        vmap(f.apply)(torch.ones(3, 4))


def test_a_vmap_rule_needs_setup_context():
    class Combined(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vmap(info, in_dims, x):
            return x * 2, 0

    with pytest.raises(RuntimeError, match="must override the setup_context staticmethod"):
        vmap(Combined.apply)(torch.ones(3, 4))


def test_an_error_in_a_rule_is_told_its_place():
    def raises(x, dims):
        raise ValueError("lost")

    Batches.result = raises
    with pytest.raises(ValueError, match="lost") as e:
        vmap(Batches.apply)(torch.ones(3, 4))
    assert any("in Batches.vmap" in n for n in e.value.__notes__)
    Pushes.result = lambda t: raises(t, 0)
    with pytest.raises(ValueError, match="lost") as e:
        jvp(Pushes.apply, (constant(1.0),), (constant(1.0),))
    assert any("in Pushes.jvp" in n for n in e.value.__notes__)


def test_forward_may_leave_the_library():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.from_numpy(np.sin(x.numpy()))

        @staticmethod
        def backward(ctx, g):
            return torch.from_numpy(g.numpy() * np.cos(ctx.saved_tensors[0].numpy()))

    x = leaf(0.5, 1.0)
    Sine.apply(x).sum().backward()
    same(x.grad, np.cos([0.5, 1.0]))
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        x.numpy()


# -- modes within modes ----------------------------------------------------------------------------


class Sine(Function):
    """Both rules in operations; backward calls another Function."""

    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return Times.apply(g, ctx.saved_tensors[0].cos())


class SineWithJvp(Sine):
    @staticmethod
    def jvp(ctx, t):
        return Times.apply(t, ctx.saved_tensors[0].cos())


class SineOfContext(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    backward = Sine.backward


class Times(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y, g * x


@pytest.mark.parametrize("f", [Sine.apply, SineWithJvp.apply, SineOfContext.apply])
def test_modes_nest_in_any_order(f):
    x, t = constant(0.3, 1.2, -0.7), constant(1.0, -2.0, 0.5)
    sin, cos = np.sin(x.numpy()), np.cos(x.numpy())
    t_ = t.numpy()

    def scalar(x):
        return (f(x) * f(x)).sum()  # the gradient is sin 2x, then 2 cos 2x, -4 sin 2x

    def push(g, x):
        return jvp(g, (x,), (t,))[1]

    same(func_grad(scalar)(x), 2 * sin * cos)
    hessian = 2 * np.cos(2 * x.numpy())
    third = -4 * np.sin(2 * x.numpy())
    same(push(func_grad(scalar), x), hessian * t_)  # forward over reverse
    same(func_grad(lambda x: push(scalar, x))(x), hessian * t_)  # reverse over forward
    same(push(lambda x: push(scalar, x), x), (hessian * t_ * t_).sum())  # forward over forward
    same(func_grad(lambda x: (func_grad(scalar)(x) * t).sum())(x), hessian * t_)
    same(func_grad(lambda x: push(lambda x: push(scalar, x), x))(x), third * t_ * t_)
    same(push(lambda x: push(func_grad(scalar), x), x), third * t_ * t_)
    same(push(func_grad(lambda x: push(scalar, x)), x), third * t_ * t_)
    rows = torch.stack([x, x * 2])
    wide = rows.numpy()
    same(vmap(func_grad(scalar))(rows), np.sin(2 * wide))
    same(func_grad(lambda r: vmap(scalar)(r).sum())(rows), np.sin(2 * wide))
    same(vmap(lambda x: push(func_grad(scalar), x))(rows), 2 * np.cos(2 * wide) * t_)
    same(vmap(func_grad(lambda x: push(scalar, x)))(rows), 2 * np.cos(2 * wide) * t_)
    over = jvp(vmap(func_grad(scalar)), (rows,), (rows * 0 + t,))[1]
    same(over, 2 * np.cos(2 * wide) * t_)
    leaf_x = x.clone().requires_grad_()
    push(scalar, leaf_x).backward()
    same(leaf_x.grad, hessian * t_)


def test_every_rule_of_a_function_agrees():
    x = constant(0.3, 1.2, -0.7)
    for f in (Sine, SineWithJvp, SineOfContext):
        assert torch.check_rules(f.apply, x)
    assert torch.check_rules(Times.apply, (x, x.flip(0)))
    assert torch.check_rules(lambda x: NumpySort.apply(x, -1)[0], constant(3.0, 1.0, 2.0))


def test_randomness_reaches_the_vmap_rule():
    seen = []

    class Noise(Batches):
        @staticmethod
        def vmap(info, in_dims, x):
            seen.append(tuple(info))
            return x * 1, 0

    for randomness in ("error", "same", "different"):
        vmap(Noise.apply, randomness=randomness)(torch.ones(3, 4))
    assert seen == [(3, "error"), (3, "same"), (3, "different")]


class Itself(Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 5


@pytest.mark.parametrize(("f", "slope", "shift"), [(Itself, 5.0, 0.0), (AddOne, 10.0, 1.0)])
def test_inputs_that_are_outputs_in_every_mode(f, slope, shift):
    def total(x):
        return (f.apply(x * 1) ** 2).sum()

    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    first = 2 * slope * (rows.numpy() + shift)
    same(vmap(func_grad(total))(rows), first)
    same(func_grad(lambda r: vmap(total)(r).sum())(rows), first)
    same(jvp(total, (rows,), (rows,))[1], (first * rows.numpy()).sum())
    second = 2 * slope**2
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        for inner in (torch.func.jacfwd, torch.func.jacrev):
            same(outer(inner(total))(rows[0]), np.eye(2) * second)
