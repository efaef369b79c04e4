"""Random programs under nested transforms: different ways to the same numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest

import chainrule as torch
from chainrule.func import grad, jacfwd, jacrev, jvp, vmap

F = torch.nn.functional
PLACES = torch.tensor([[0, 2, 1], [1, 1, 0], [2, 0, 0]])


def assigned(x):
    y = x.clone()
    y[0] = x[1] * 2
    y[:, 1] = 1.0
    return y


def in_place(x, a):
    y = x + 0
    y[1:].mul_(2)
    y[:, 0].add_(x[:, 1])
    return y.mul_(a).add_(x)


STEPS = {
    "sin": lambda x, a: x.sin(),
    "exp": lambda x, a: (x / 3).exp(),
    "abs": lambda x, a: x.abs(),
    "softplus": lambda x, a: F.softplus(x),
    "square": lambda x, a: x * x / 2,
    "cumsum": lambda x, a: x.cumsum(0),
    "cumprod": lambda x, a: x.tanh().cumprod(1),
    "softmax": lambda x, a: F.softmax(x, -1),
    "layer norm": lambda x, a: F.layer_norm(x, (3,)),
    "norm": lambda x, a: x / (torch.linalg.norm(x) + 1),
    "sort": lambda x, a: x.sort(1)[0],
    "mean": lambda x, a: x - x.mean(0, keepdim=True),
    "transpose": lambda x, a: x.t(),
    "logsumexp": lambda x, a: x - torch.logsumexp(x, 1, keepdim=True),
    "expand": lambda x, a: x[0].expand(3, 3) + x,
    "broadcast": lambda x, a: (x.unsqueeze(0) * a.unsqueeze(1)).sum(0) / 3,
    "assigned": lambda x, a: assigned(x),
    "in place": in_place,
    "masked fill": lambda x, a: x.masked_fill(a > 0, 0.5),
    "gather": lambda x, a: torch.gather(x, 1, PLACES),
    "topk": lambda x, a: torch.cat([x.topk(2, 1)[0], x[:, :1]], 1),
    "conv": lambda x, a: F.conv1d(x[None], a.unsqueeze(2))[0] / 3,
    "std": lambda x, a: x * x.std(0, keepdim=True),
    "prod": lambda x, a: x + x.tanh().prod(1, keepdim=True),
    "max": lambda x, a: x - x.max(1, keepdim=True)[0],
    "index": lambda x, a: x[torch.tensor([2, 0, 0])] + x,
    "where": lambda x, a: torch.where(x > 0.1, x * a, x - a),
    "matmul": lambda x, a: x @ a / 2,
    "outer": lambda x, a: torch.outer(x[0], x[:, 1]),
    "unbind": lambda x, a: torch.stack([x.unbind(1)[0] * x.unbind(1)[1], *x.unbind(1)[1:]], 1),
    "einsum": lambda x, a: torch.einsum("ij,kj->ik", x, a) / 2,
    "det": lambda x, a: x * torch.linalg.det(x / 3 + 2 * torch.eye(3, dtype=x.dtype)) / 8,
    "inv": lambda x, a: torch.linalg.inv(x / 3 + 2 * torch.eye(3, dtype=x.dtype)),
}


def program(number):
    """A scalar function of a matrix, made of two to four steps, with its data."""
    choice = random.Random(number)
    steps = [choice.choice(sorted(STEPS)) for _ in range(choice.randint(2, 4))]
    draw = np.random.RandomState(number)
    a, v = (torch.tensor(draw.randn(3, 3)) for _ in range(2))
    batch = torch.tensor(draw.randn(2, 3, 3))

    def f(x):
        for step in steps:
            x = STEPS[step](x, a)
        return (x * a).sum()

    return " > ".join(steps), f, v, batch


def close(x, y, what):
    scale = 1 + float(y.abs().max())
    assert float((x - y).abs().max()) <= 1e-8 * scale, what


def slope(build, x):
    """The gradient of the sum of what `build` returns, by the tape; zeros if it is constant."""
    leaf = x.clone().requires_grad_()
    out = build(leaf).sum()
    if out.requires_grad:
        out.backward()
    return torch.zeros_like(x) if leaf.grad is None else leaf.grad


@pytest.mark.parametrize("number", range(80))
def test_every_way_gives_the_same(number):
    name, f, v, batch = program(number)
    x = batch[0]
    product = jvp(grad(f), (x,), (v,))[1]
    hessian = jacfwd(grad(f))(x)
    close((hessian * v).sum((-2, -1)), product, f"{name}: Hessian")
    close(jacrev(grad(f))(x), hessian, f"{name}: reverse over reverse")
    close(grad(lambda u: jvp(f, (u,), (v,))[1])(x), product, f"{name}: reverse over forward")
    close(grad(lambda u: (grad(f)(u) * v).sum())(x), product, f"{name}: gradient of gradient")
    loop = torch.stack([grad(f)(u) for u in batch])
    close(vmap(grad(f))(batch), loop, f"{name}: vmap of grad")
    pushed = torch.stack([jvp(grad(f), (u,), (v,))[1] for u in batch])
    close(vmap(lambda u: jvp(grad(f), (u,), (v,))[1])(batch), pushed, f"{name}: vmap of jvp")
    both = jvp(vmap(grad(f)), (batch,), (torch.stack([v, v]),))[1]
    close(both, pushed, f"{name}: jvp of vmap")
    got = slope(lambda u: vmap(lambda b: grad(lambda w: f(w * b.mean()))(u))(batch) ** 2, x)
    expected = slope(lambda u: sum(grad(lambda w, b=b: f(w * b.mean()))(u) ** 2 for b in batch), x)
    close(got, expected, f"{name}: the tape through vmap of grad")
    got = slope(lambda u: torch.mul(*jvp(f, (u,), (u * v,))), x)
    expected = slope(lambda u: f(u) * (grad(f)(u) * u * v).sum(), x)
    close(got, expected, f"{name}: the tape through jvp")


@pytest.mark.parametrize("name", ["prod", "cumprod", "logcumsumexp"])
def test_a_gradient_through_examples_of_tangents(name):
    def f(x):
        return x.sin().prod() if name == "prod" else getattr(x.sin(), name)(0)

    x = torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64, requires_grad=True)
    rows = torch.eye(3, dtype=torch.float64)

    def push(t):
        return torch.func.jvp(f, (x,), (t,))[1]

    found = []
    for tangents in (torch.vmap(push)(rows), torch.stack([push(row) for row in rows])):
        x.grad = None
        (tangents * tangents).sum().backward()
        found.append(x.grad)
    assert torch.allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_what_a_pushforward_was_given_may_be_overwritten(shape, compiled):
    def step(x, v):
        out = torch.func.jvp(lambda u: u.sin() * u, (x,), (v,))[1]
        v.tanh_()
        return torch.autograd.grad(out.sum(), x)[0]

    call = torch.compile(step) if compiled else step
    for _ in range(1 + compiled):
        x, v = torch.full(shape, 0.7, requires_grad=True), torch.full(shape, 1.5)
        slope = 1.5 * (2 * x.cos() - x * x.sin())
        assert torch.allclose(call(x, v), slope)
