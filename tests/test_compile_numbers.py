"""Floats among the arguments of compiled functions; compiled functions inside of transformations
and differentiated twice.
"""

import math

import pytest

import chainrule as torch
from chainrule import func, nn
from chainrule.nn import functional as F

X = torch.tensor([1.0, 2.0, 3.0])
VALUES = [0.05 + 0.125 * n for n in range(6)]


def agrees(c, f, *args):
    found, expected = c(*args), f(*args)
    assert found.dtype is expected.dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, s: x * s,
        lambda x, s: s / x,
        lambda x, s: x - s * 0.5 * (1 - s) / 2 + s**2 - (-s) % 3 + abs(s) // 2,
        lambda x, s: x.long() * s,
        lambda x, s: x.double() * s,
        lambda x, s: x.half() * s,
        lambda x, s: x.bfloat16() + s,
        lambda x, s: x * (s * 1j),
        lambda x, s: torch.add(x, x, alpha=s),
        lambda x, s: torch.clamp(x, min=s),
        lambda x, s: torch.where(x > s, x, s),
        lambda x, s: x**s,
    ],
)
def test_a_float_is_an_input(f):
    c = torch.compile(f)
    for value in VALUES:
        agrees(c, f, X, value)
    assert c.captures == 2, "once for the first value, once for all others"
    assert c.eager is None


@pytest.mark.parametrize(
    "f",
    [
        lambda x, s: torch.full((3,), s) + x,
        lambda x, s: F.leaky_relu(-x, s),
        lambda x, s: torch.lerp(x, x * 2, s),
        lambda x, s: x * math.sqrt(s),
        lambda x, s: x + torch.tensor(s),
        lambda x, s: x + torch.as_tensor([s, 1.0, s]),
        lambda x, s: x * float(f"{s:.2f}"),
        lambda x, s: x * round(s, 1),
    ],
)
def test_a_function_that_wants_to_know_its_float(f):
    c = torch.compile(f)
    for value in VALUES[:4]:
        agrees(c, f, X, value)


def test_a_float_that_decides():
    def f(x, s):
        return x * s if s > 0.3 else x + s

    c = torch.compile(f)
    for value in [*VALUES, *VALUES]:
        agrees(c, f, X, value)
    assert c.captures == 3


def test_a_float_that_is_given_back():
    c = torch.compile(lambda x, s: (x * s, s * 2))
    for value in VALUES[:3]:
        y, s = c(X, value)
        assert type(s) is float
        assert s == value * 2
        torch.testing.assert_close(y, X * value)


def test_a_float_in_a_step():
    def make():
        torch.manual_seed(0)
        return nn.Linear(3, 1)

    def step(model, rate, decay):
        model.zero_grad()
        loss = model(X).square().sum()
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 - rate * decay).sub_(rate * p.grad)
        return loss

    ours, theirs, c = make(), make(), torch.compile(step)
    for n in range(8):
        rate = 0.1 / (n + 1)
        torch.testing.assert_close(c(ours, rate, 0.25), step(theirs, rate, 0.25))
    torch.testing.assert_close(ours.weight, theirs.weight)
    assert c.captures == 2


def test_a_float_in_a_function_that_is_differentiated():
    c = torch.compile(lambda x, s: (x * s).sin().sum())
    for value in VALUES:
        x = X.clone().requires_grad_()
        c(x, value).backward()
        torch.testing.assert_close(x.grad, value * (X * value).cos())
    assert c.captures == 2


@pytest.mark.parametrize(
    "transform",
    [
        func.grad,
        func.jacrev,
        func.jacfwd,
        func.hessian,
        lambda f: func.vmap(lambda x: f(x * X)),
        lambda f: lambda x: func.jvp(f, (x,), (X,))[1],
        lambda f: lambda x: func.vjp(f, x)[1](torch.tensor(2.0))[0],
        lambda f: func.vmap(func.grad(lambda s: f(s * X))),
        lambda f: func.functional_call(nn.Identity(), {}, (func.grad(f),)),
    ],
)
def test_a_compiled_function_inside_of_a_transformation(transform):
    w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)

    def f(x):
        return (x * w).sin().sum() * x.prod()

    c = torch.compile(f)
    plain, made = transform(f), transform(c)
    for _ in range(3):
        torch.testing.assert_close(made(X), plain(X))
    torch.testing.assert_close(c(X), f(X))
    assert len(c.entries) >= 1


def test_captured_tensors_of_a_transformation():
    def outer(w):
        return torch.compile(lambda x: (x * w).sin().sum())(X)

    torch.testing.assert_close(func.grad(outer)(X), X * (X * X).cos())


def test_gradients_are_differentiated_again():
    w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    c = torch.compile(lambda x: (x * w).sin().sum())
    x = X.clone().requires_grad_()
    for _ in range(2):
        g, h = torch.autograd.grad(c(x), (x, w), create_graph=True)
        torch.testing.assert_close(g, w * (x * w).cos())
        (second,) = torch.autograd.grad((g + h).sum(), x)
        expected = -w * w * (x * w).sin() + (x * w).cos() - x * w * (x * w).sin()
        torch.testing.assert_close(second, expected.detach())
    y = c(x)
    with torch.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y, x, create_graph=True)


def test_gradients_of_a_function_that_writes_are_not():
    count = torch.zeros(())

    def f(x):
        count.add_(1)
        return x.sin().sum()

    c = torch.compile(f)
    x = X.clone().requires_grad_()
    c(x)
    y = c(x)
    with pytest.raises(RuntimeError, match="writes to tensors"):
        torch.autograd.grad(y, x, create_graph=True)
    assert count == 2


def test_sizes_that_vary():
    c = torch.compile(lambda x, s: (x * s).sum(), dynamic=True)
    for n in range(1, 70):
        torch.testing.assert_close(c(torch.ones(n), n / 2), torch.tensor(n * n / 2))
    assert c.eager is None
    assert len(c.entries) == 64
    assert c.captures == 69
    fixed = torch.compile(lambda x, s: x * s, dynamic=False)
    for s in VALUES[:3]:
        torch.testing.assert_close(fixed(X, s), X * s)
    assert fixed.captures == 3


@pytest.mark.parametrize("shape", [(), (3,), (40, 5)])
@pytest.mark.parametrize("f", [torch.atanh, torch.sin, lambda x: torch.copysign(x, -x)])
def test_doubles_become_halves(f, shape):
    x = torch.linspace(-0.9, 0.9, 200, dtype=torch.float64)[: math.prod(shape)].reshape(shape)
    c = torch.compile(lambda x: f(x).half())
    for _ in range(2):
        agrees(c, lambda x: f(x).half(), x)
    assert c.eager is None


def test_halves_keep_signs_and_round_to_even():
    inf = math.inf
    values = [0.0, -0.0, inf, -inf, 65504, 65520, -65520, 1e-8, -1e-8, 6e-8, 2049, 2051, -2051]
    x = torch.tensor(values)
    found = torch.compile(lambda x: x.half())(x)
    assert found.view(torch.int16).tolist() == x.half().view(torch.int16).tolist()
