"""`gradcheck` and `gradgradcheck`: they pass what is right, and say what is wrong and where."""

from __future__ import annotations

import sys

import pytest

import chainrule as torch
from chainrule.autograd import Function, gradcheck, gradgradcheck
from chainrule.autograd.gradcheck import GradcheckError


def leaf(*values, dtype=torch.float64):
    data = values if len(values) != 1 else values[0]
    return torch.tensor(data, dtype=dtype, requires_grad=True)


X = ((0.3, 2.0, 0.7), (1.0, -0.5, 0.2))
Z = (0.7 + 1j, 1.5 - 0.5j)
MODES = pytest.mark.parametrize("fast", [False, True])


def complex_leaf():
    return leaf(*Z, dtype=torch.complex128)


class Slip(Function):
    """sin(x) * y with a derivative that is off by `error` where x is largest."""

    error = 0.0

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x.sin() * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * (x.cos() * y + Slip.error * (x == x.max())), (g * x.sin()).sum(0)


@MODES
@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (torch.sin, lambda: leaf(*X)),
        (lambda x, k: x * k, lambda: (leaf(*X), 3.0)),
        (lambda x, y: x * y, lambda: (leaf(*X), leaf(1.0, 2.0, 3.0))),
        (lambda x: [x.sum(), x.exp(), (x > 0)], lambda: (leaf(*X),)),
        (lambda z: z * z.conj() * z, complex_leaf),
        (lambda z: ((z * z.conj()).real, z.imag * 2, z.exp()), complex_leaf),
        (torch.abs, complex_leaf),
        (
            lambda x, z: (x * 1j) @ torch.stack([z, z * 1j, z * z]),
            lambda: (leaf(*X), complex_leaf()),
        ),
        (lambda x: x.t(), lambda: leaf(*X)),
        (lambda x: x.sum(), lambda: leaf(2.0)),
        (lambda x: x * 2, lambda: torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)),
    ],
)
def test_right_derivatives_pass(f, inputs, fast):
    options = dict(check_batched_grad=True, fast_mode=fast)
    f_of = inputs()
    was = [
        t.detach().clone() for t in (f_of if type(f_of) is tuple else (f_of,)) if torch.is_tensor(t)
    ]
    forward = dict(check_forward_ad=True, check_batched_forward_grad=True)
    assert gradcheck(f, f_of, **options, **forward, check_grad_dtypes=True)
    smooth = (
        (lambda *xs: f(*xs)[:2])
        if type(f(*([*f_of] if type(f_of) is tuple else [f_of]))) is list
        else f
    )
    assert gradgradcheck(smooth, f_of, **options, check_fwd_over_rev=True)
    now = [t for t in (f_of if type(f_of) is tuple else (f_of,)) if torch.is_tensor(t)]
    assert all((a == b).all() for a, b in zip(was, now, strict=True))


def test_the_module_is_shadowed_by_its_function():
    assert callable(torch.autograd.gradcheck)
    module = sys.modules["chainrule.autograd.gradcheck"]
    assert module.gradcheck is gradcheck is torch.autograd.gradcheck
    assert issubclass(GradcheckError, RuntimeError)


@MODES
def test_a_wrong_element_is_named(fast):
    Slip.error = 0.5
    inputs = leaf(*X), leaf(1.0, 2.0, 3.0)
    with pytest.raises(GradcheckError) as e:
        gradcheck(Slip.apply, inputs, fast_mode=fast)
    message = str(e.value)
    assert message.startswith("Jacobian mismatch for output 0 with respect to input 0,\nnumerical:")
    assert "\nanalytical:" in message
    assert "1 of 36 elements disagree" in message
    assert "derivative of output element (0, 1) by input element (0, 1)" in message
    assert "numerical -0.832293" in message
    assert "analytical -0.332293" in message
    assert ("The max per-element difference (slow mode) is: 0.4999" in message) == fast
    assert gradcheck(Slip.apply, inputs, fast_mode=fast, raise_exception=False) is False
    assert gradcheck(Slip.apply, inputs, fast_mode=fast, atol=1.0)
    Slip.error = 0.0
    assert gradcheck(Slip.apply, inputs, fast_mode=fast)
    assert gradgradcheck(Slip.apply, inputs, fast_mode=fast)


def test_the_second_input_and_output_are_named():
    class Two(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * 1, y * 2

        @staticmethod
        def backward(ctx, g, h):
            return g, h * 3

    with pytest.raises(GradcheckError, match="mismatch for output 1 with respect to input 1"):
        gradcheck(Two.apply, (leaf(1.0, 2.0), leaf(3.0)))


@MODES
def test_wrong_forward_mode(fast):
    class Tilted(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

        @staticmethod
        def jvp(ctx, t):
            return t * 3

    x = leaf(1.0, 2.0)
    assert gradcheck(Tilted.apply, x, fast_mode=fast)
    with pytest.raises(
        GradcheckError, match="Jacobian computed with forward mode mismatch for out"
    ):
        gradcheck(Tilted.apply, x, fast_mode=fast, check_forward_ad=True)
    assert not gradcheck(
        Tilted.apply, x, check_forward_ad=True, check_backward_ad=False, raise_exception=False
    )


def test_complex_parts_are_named():
    class Turned(Function):
        @staticmethod
        def forward(ctx, z):
            return z * 1j

        @staticmethod
        def backward(ctx, g):
            return g * 1j  # without the conjugate

        @staticmethod
        def jvp(ctx, t):
            return t * 2j

    z = complex_leaf()
    head = "While considering the imaginary part of complex {} only, Jacobian"
    with pytest.raises(GradcheckError, match=head.format("outputs")):
        gradcheck(Turned.apply, z)
    with pytest.raises(GradcheckError, match=head.format("inputs")):
        gradcheck(Turned.apply, z, check_forward_ad=True, check_backward_ad=False)


def test_second_derivatives():
    class Fake(Function):
        """A first derivative that is right and does not depend on x as it should."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * g * ctx.saved_tensors[0].detach() ** 2

    x = leaf(1.0, 2.0)
    assert gradcheck(Fake.apply, x)
    with pytest.raises(GradcheckError, match="mismatch for output 0 with respect to input 0"):
        gradgradcheck(Fake.apply, x)
    ours = torch.tensor([1.0, 2.0]).double().requires_grad_()
    assert gradgradcheck(lambda x: x**3, x, ours)
    assert gradgradcheck(lambda x: x**3, leaf(*X), gen_non_contig_grad_outputs=True)


class Odd(Function):
    """A backward that is what `rule` says."""

    rule = None

    @staticmethod
    def forward(ctx, x):
        return x * 1, x * 1

    @staticmethod
    def backward(ctx, g, h):
        return Odd.rule(g, h)


def test_backward_must_be_reentrant():
    calls = []

    def rule(g, h):
        calls.append(1)
        return g + h + 1e-7 * len(calls) * (g + h)

    Odd.rule = rule
    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(Odd.apply, leaf(1.0, 2.0))
    assert gradcheck(Odd.apply, leaf(1.0, 2.0), nondet_tol=1e-6)


def test_backward_must_be_proportional():
    Odd.rule = lambda g, h: g + h + 1e-6
    with pytest.raises(GradcheckError, match="backward not multiplied by grad_output"):
        gradcheck(Odd.apply, leaf(1.0, 2.0))


def test_missing_gradients_are_zeros():
    class Strict(Odd):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 1

    def f(x):
        a, b = Strict.apply(x)
        return a, b

    Odd.rule = lambda g, h: (
        torch.zeros(2).double() + (0 if g is None else g) + (0 if h is None else h)
    )
    assert gradcheck(f, leaf(1.0, 2.0))
    Odd.rule = lambda g, h: g + h if g is not None and h is not None else g if h is None else h + 1
    with pytest.raises(GradcheckError):
        gradcheck(f, leaf(1.0, 2.0))

    class Alone(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * 1

    with pytest.raises(GradcheckError, match="Expected backward function to handle undefined"):
        gradcheck(Alone.apply, leaf(1.0, 2.0))
    assert gradcheck(Alone.apply, leaf(1.0, 2.0), check_undefined_grad=False)


def test_gradients_under_vmap():
    class Alike(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g / g.detach().numpy().max() * g.max()  # leaves the library

    with pytest.raises(GradcheckError, match="While computing batched gradients, got: "):
        gradcheck(
            Alike.apply,
            leaf(1.0, 2.0),
            check_batched_grad=True,
            check_undefined_grad=False,
        )


def test_constant_functions():
    assert gradcheck(lambda x: torch.tensor(1.0), leaf(1.0))
    with pytest.raises(GradcheckError, match="Numerical gradient for function expected to be zero"):
        gradcheck(lambda x: x.detach() * 2, leaf(1.0))


def test_inputs_that_cannot_be_checked():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(torch.sin, torch.ones(2))
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(torch.sin, leaf(1.0).expand(3))
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double prec"):
        gradcheck(lambda x: x * 2, torch.ones(2, requires_grad=True), eps=1e-2)
    with pytest.raises(AssertionError, match="at least one of check_forward_ad or"):
        gradcheck(torch.sin, leaf(1.0), check_backward_ad=False)
    with pytest.raises(AssertionError, match="check_batched_forward_grad=True requires"):
        gradcheck(torch.sin, leaf(1.0), check_batched_forward_grad=True)
    with pytest.raises(AssertionError, match="check_fwd_over_rev or check_rev_over_rev"):
        gradgradcheck(torch.sin, leaf(1.0), check_rev_over_rev=False)


def test_outputs_may_not_change_their_shape():
    with pytest.raises(AssertionError, match="outputs with the same shape when inputs are perturb"):
        gradcheck(lambda x: x[x > 1.0], leaf(1.0, 2.0))


def test_gradcheck_sees_captured_tensors():
    w = leaf(2.0)
    assert gradcheck(lambda w_: (w_ * 1 + w * w) * 0 + w * w, w)
