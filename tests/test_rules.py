"""Rules of one's own in every mode."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

import chainrule as torch
from chainrule.autograd import gradcheck, gradgradcheck, rule
from chainrule.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from . import modes

X = np.linspace(0.3, 1.2, 4)
Y = np.linspace(-0.7, 0.8, 4)


@rule(vjp=lambda g, x, out: g * (1 - out * out) * 3 * x**2)
def tanh_of_cube(x, /):
    """tanh(x^3)."""
    return np.tanh(x**3)


@rule(
    vjp=(lambda g, y, power: g * y**power, lambda g, x, y, power: g * x * power * y ** (power - 1))
)
def weighted(x, y, /, power=2):
    """x y^power."""
    return x * y**power


@rule(vjp=lambda g, x, y: (g @ y.T, x.T @ g))
def product(x, y, /):
    """x @ y."""
    return x @ y


@rule(vjp=lambda g, out: g * out, elementwise=True)
def exponential(x, /):
    """exp(x)."""
    return np.exp(x)


@rule
def softplus(x, /, beta=1.0):
    """log(1 + exp(beta x)) / beta, with no rule: differentiated as written."""
    return np.log1p(np.exp(x * beta)) / beta


def newton_root(a, b):
    """The positive x with x^3 + a x = b, by iteration: the formula is not differentiated."""
    x = np.ones_like(a) if isinstance(a, np.ndarray) else a * 0 + 1
    for _ in range(60):
        x = x - (x**3 + a * x - b) / (3 * x**2 + a)
    return x


@rule(
    vjp=(
        lambda g, a, out: -g * out / (3 * out**2 + a),
        lambda g, a, out: g / (3 * out**2 + a),
    )
)
def root(a, b, /):
    """The root of x^3 + a x - b, its derivative by the implicit function theorem."""
    return newton_root(a, b)


M = np.array([[0.5, -1.0, 0.3], [1.5, 0.2, -0.7]])
CASES = {
    "one tensor": (tanh_of_cube, [X]),
    "a rule each": (lambda x, y: weighted(x, y, power=3), [X, Y + 2]),
    "one rule for all": (product, [M, M.T.copy()]),
    "elementwise": (exponential, [X]),
    "no rule": (lambda x: softplus(x, beta=2.0), [X]),
    "implicit": (root, [X, X + 1]),
    "inside another": (lambda x: exponential(tanh_of_cube(x)) * x, [X]),
    "broadcast": (weighted, [X[:, None], Y + 2]),
    "0-d": (tanh_of_cube, [np.array(0.7)]),
    "empty": (tanh_of_cube, [np.zeros((0, 2))]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_mode(case):
    function, inputs = CASES[case]
    leaves = [torch.tensor(a, requires_grad=True) for a in inputs]
    assert gradcheck(function, leaves) and gradgradcheck(function, leaves)
    for mode in modes.MODES:
        assert modes.complaint(mode, function, inputs, 1e-8) is None, mode


def test_every_nesting():
    x = torch.tensor(X)

    def f(u):
        return tanh_of_cube(u).sum() * u[0]

    def plain(u):
        return torch.tanh(u**3).sum() * u[0]

    for make in (
        grad,
        hessian,
        lambda h: jacfwd(jacfwd(h)),
        lambda h: jacrev(jacrev(h)),
        lambda h: lambda u: vmap(grad(h))(torch.stack([u, 2 * u])),
        lambda h: lambda u: vmap(hessian(h))(torch.stack([u, 2 * u])),
        lambda h: grad(lambda u: jvp(h, (u,), (u,))[1]),
    ):
        torch.testing.assert_close(make(f)(x), make(plain)(x))


def test_the_derivative_is_the_rules_not_the_formulas():
    @rule(vjp=lambda g: g)
    def straight_through(x, /):
        return np.rint(x)

    x = torch.tensor([0.2, 1.7], requires_grad=True)
    straight_through(x).sum().backward()
    assert x.grad.tolist() == [1, 1]
    v = torch.tensor([3.0, 4.0])
    assert jvp(straight_through, (x.detach(),), (v,))[1].tolist() == [3, 4]
    assert vmap(lambda a, t: jvp(straight_through, (a,), (t,))[1])(x.detach(), v).tolist() == [3, 4]
    assert jvp(vmap(straight_through), (x.detach(),), (v,))[1].tolist() == [3, 4]


def test_what_the_node_says_and_saves():
    x = torch.tensor(X, requires_grad=True)
    out = tanh_of_cube(x)
    assert out.grad_fn.name() == "TanhOfCubeBackward" and len(out.grad_fn.next_functions) == 1
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    half = tanh_of_cube(torch.tensor([0.5], dtype=torch.bfloat16))
    assert half.dtype is torch.bfloat16
    assert tanh_of_cube(torch.tensor([0.5])).dtype is torch.float32


def test_the_example_in_the_documentation():
    module = importlib.import_module("chainrule.autograd.rules")
    assert doctest.testmod(module).failed == 0 and doctest.testmod(module).attempted > 4


def backward_of(vjp, *arrays):
    @rule(vjp=vjp)
    def wrong(x, y, /):
        return x * y

    leaves = [torch.tensor(a, requires_grad=True) for a in arrays or (X, Y)]
    wrong(*leaves).sum().backward()


@pytest.mark.parametrize(
    ("vjp", "words"),
    [
        ((lambda g: g[:2], lambda g: g), r"gradient of shape \[2\] for x, whose shape is \[4\]"),
        ((lambda g: None, lambda g: g), "returned NoneType where an array was expected"),
        ((lambda g: g > 0, lambda g: g), "a gradient of dtype bool for x"),
        ((lambda g: "g", lambda g: g), "returned str where an array"),
        (lambda g: (g,), r"must return a tuple of 2 gradients \(x, y\), got 1 of them"),
        (lambda g: g, "must return a tuple of 2 gradients .* got ndarray"),
    ],
)
def test_rules_that_return_something_else(vjp, words):
    with pytest.raises(RuntimeError, match=words) as e:
        backward_of(vjp)
    assert "test_rules.py:" in str(e.value)


def real_part(a, dtype):
    return a if dtype.kind == "c" else a.real


@rule(
    vjp=(
        lambda g, y, x_dtype: real_part(g * y, x_dtype),
        lambda g, x, y_dtype: real_part(g * x, y_dtype),
    )
)
def times(x, y, /):
    """x y, of any dtypes."""
    return x * y


@rule(vjp=lambda g, x, y, x_dtype, y_dtype: (real_part(g * y, x_dtype), real_part(g * x, y_dtype)))
def times_jointly(x, y, /):
    """x y, of any dtypes."""
    return x * y


@rule(vjp=lambda g, x, x_dtype: real_part(1j * g * np.exp(1j * x), x_dtype), elementwise=True)
def on_circle(x, /):
    """exp(i x)."""
    return np.exp(1j * x)


@pytest.mark.parametrize("mode", modes.MODES)
def test_real_and_complex_together(mode):
    z = Y * (1 - 2j)
    for function in (times, times_jointly):
        for inputs in ([X, z], [z, X], [z, z]):
            assert modes.complaint(mode, function, inputs, 1e-8) is None


def test_the_gradient_of_a_real_tensor_is_real():
    """As in torch, whose autograd.Function refuses another one too."""
    x = torch.tensor(X, requires_grad=True)
    z = torch.tensor(Y * 1j, requires_grad=True)
    on_circle(x).imag.sum().backward()
    assert torch.allclose(x.grad, x.detach().cos())
    words = "gradient of dtype complex128 for x, which is real .float64.; return its real part"

    def product(x, y, /):
        return x * y

    rules = (lambda g, y: g * y, lambda g, x: g * x), lambda g, x, y: (g * y, g * x)
    for of_product in (rule(product, vjp=r) for r in rules):
        with pytest.raises(RuntimeError, match=words):
            of_product(x, z).real.sum().backward()
        of_product(z, z).real.sum().backward()
        with pytest.raises(RuntimeError, match=words):
            jvp(lambda v, f=of_product: f(v, z.detach()), (x.detach(),), (x.detach(),))
    for elementwise in (False, True):
        rotated = rule(lambda x, /: x * 2, vjp=lambda g: g * 2j, elementwise=elementwise, name="r")
        with pytest.raises(RuntimeError, match=words):
            rotated(x).sum().backward()
        with pytest.raises(RuntimeError, match=words):
            grad(lambda v, f=rotated: f(v).sum())(x.detach())
        with pytest.raises(RuntimeError, match=words):
            jvp(rotated, (x.detach(),), (x.detach(),))


def test_rules_that_do_not_fit():
    with pytest.raises(TypeError, match=r"has 2 tensors \(x, y\) but 1 rules"):
        backward_of((lambda g: g,))
    with pytest.raises(
        TypeError, match=r"test_rules.py:\d+ asks for z; it can have out, x, x_dtype, x_shape"
    ):
        backward_of((lambda g, z: g, lambda g: g))
    with pytest.raises(TypeError, match="has no tensors; put them before `/`"):
        rule(vjp=lambda g: g)(lambda x: x)
    with pytest.raises(TypeError, match="must be a function whose first parameter"):
        rule(vjp=3)(lambda x, /: x)
    with pytest.raises(TypeError, match="expected a Tensor among its arguments, got"):
        tanh_of_cube("x")
