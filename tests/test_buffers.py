"""Buffers filled by parts, through views of every age and kind, under nested transforms: each
program beside the same function written without a write.
"""

from __future__ import annotations

from itertools import product

import pytest

import chainrule as torch
from chainrule.autograd import forward_ad
from chainrule.func import grad, jacfwd, jacrev, jvp, vmap

D = torch.float64
X = torch.tensor([1.1, 0.7, -0.4], dtype=D)
B = torch.tensor([[1.1, 0.7, -0.4], [0.3, -0.2, 1.9]], dtype=D)
WAYS = {"f": jacfwd, "r": jacrev}


def by_slices(x):
    out = torch.empty(3, dtype=D)
    out[0] = x[0] ** 3
    out[1:] = x[1:] * x[0]
    return out


def by_slices_plainly(x):
    return torch.cat([x[:1] ** 3, x[1:] * x[0]])


def scaled(x):
    out = torch.zeros_like(x)
    out[0] = x[0] ** 3
    out[1:].copy_(x[1:] * x[0] * x[2])
    out[:2].mul_(x[1])
    return out


def scaled_plainly(x):
    return torch.stack([x[0] ** 3 * x[1], x[1] * x[0] * x[2] * x[1], x[2] * x[0] * x[2]])


def step_by_step(x):
    out = torch.zeros(3, dtype=D)
    for i in range(3):
        out[i] = x[i] ** 2 * out[i - 1].clone() if i else x[i] ** 3
    return out


def step_by_step_plainly(x):
    return torch.stack([x[0] ** 3, x[1] ** 2 * x[0] ** 3, x[2] ** 2 * x[1] ** 2 * x[0] ** 3])


def read_through_an_older_view(x):
    out = x.new_zeros(3)
    view = out[:2]
    out[0] = x[0] ** 3
    return view * x[1]


def read_plainly(x):
    return torch.stack([x[0] ** 3 * x[1], 0 * x[0]])


def written_through_an_older_view(x):
    out = x.new_zeros(3)
    view, tail = out[1:][:1], out[1:]
    tail[0] = x[0] ** 3
    view.add_(x[1] ** 2 * x[0])
    return torch.cat([out, view * x[2], tail * x[1]])


def written_plainly(x):
    middle, zero = x[0] ** 3 + x[1] ** 2 * x[0], 0 * x[0]
    return torch.stack([zero, middle, zero, middle * x[2], middle * x[1], zero])


def matrix(x):
    out = x.new_zeros(3, 2)
    across = out.t()
    across[0] = x * x[0]
    out[1:, 1] = x[1:] * x[2]
    across[1].add_(across[0].clone())
    flat = out.view(6)
    flat[::2].mul_(x**2)
    return out


def matrix_plainly(x):
    first = x * x[0]
    return torch.stack([first * x**2, torch.cat([0 * x[:1], x[1:] * x[2]]) + first], 1)


def other_strides(x):
    out = x.new_zeros(2, 3).t().clone()  # the columns one after the other
    across = out.t()
    out[:, 0] = x**2
    across[1, 1:].add_(x[1:] * x[0])
    return out * across[0].clone()[:, None]


def other_strides_plainly(x):
    second = torch.cat([0 * x[:1], x[1:] * x[0]])
    return torch.stack([x**4, second * x**2], 1)


def complex_parts(x):
    out = x.new_zeros(3, dtype=torch.complex128)
    real, imag = out.real, out.imag
    real.copy_(x**2)
    imag[1:].copy_(x[1:] * x[0])
    out[0] = torch.complex(x[0] ** 2, x[2])
    return (out * out).imag


def complex_parts_plainly(x):
    return 2 * x**2 * torch.cat([x[2:], x[1:] * x[0]])


PAIRS = {
    "by slices": (by_slices, by_slices_plainly),
    "scaled": (scaled, scaled_plainly),
    "step by step": (step_by_step, step_by_step_plainly),
    "read through an older view": (read_through_an_older_view, read_plainly),
    "written through an older view": (written_through_an_older_view, written_plainly),
    "matrix": (matrix, matrix_plainly),
    "other strides": (other_strides, other_strides_plainly),
    "complex parts": (complex_parts, complex_parts_plainly),
}
SHARED = ("by slices", "step by step")  # all examples of a vmap would write into one buffer


def nested(f, ways):
    for w in ways:
        f = WAYS[w](f)
    return f


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_jacobians_nested(name, depth):
    program, plain = PAIRS[name]
    expected = nested(plain, "r" * depth)(X)
    for ways in product("fr", repeat=depth) if depth < 4 else ("ffff", "frff", "ffrf", "rfff"):
        found = nested(program, ways)(X)
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9), "".join(ways)


@pytest.mark.parametrize("name", PAIRS)
def test_with_vmap_and_grad(name):
    program, plain = PAIRS[name]

    def ways(f):
        def total(x):
            return (f(x) ** 2).sum()

        if name not in SHARED:
            yield vmap(jacfwd(f))(B)
            yield vmap(jacfwd(jacfwd(jacfwd(f))))(B)
            yield vmap(jacfwd(grad(total)))(B)
        yield jvp(grad(total), (X,), (X * 2,))[1]
        yield grad(lambda x: jvp(total, (x,), (x * 2,))[1])(X)
        yield jvp(lambda x: jvp(f, (x,), (x * 2,))[1], (X,), (X + 1,))[1]

    for found, expected in zip(ways(program), ways(plain), strict=True):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_two_levels_write_into_one_buffer():
    def program(a, b):
        out = torch.zeros(3, dtype=D)
        tail = out[1:]
        out[0] = a[0] ** 2
        out[1] = b[1] ** 3 * a[1]
        tail[1:] = a[2:] * b[2:] ** 2 * b[0]
        return out * tail[0].clone()

    def plain(a, b):
        middle = b[1] ** 3 * a[1]
        return torch.stack([a[0] ** 2, middle, a[2] * b[2] ** 2 * b[0]]) * middle

    def mixed(f):
        return jacfwd(lambda a: jacfwd(lambda b: f(a, b))(B[1]))(B[0])

    assert torch.allclose(mixed(program), mixed(plain))
    pushed = vmap(lambda t, f=program: jvp(f, (B[0], B[1]), (t, B[0]))[1])  # one tangent is batched
    assert torch.allclose(pushed(B), torch.stack([jvp(plain, (*B,), (t, B[0]))[1] for t in B]))


def test_views_from_before_the_level():
    out = torch.zeros(3, dtype=D)
    tail, head = out[1:], out[:2]
    with forward_ad.dual_level():
        x = forward_ad.make_dual(X, X * 2)
        out[0] = x[0] ** 2
        tail.add_(x[1:] * x[0])
        for t, places in ((out, slice(0, 3)), (tail, slice(1, 3)), (head, slice(0, 2))):
            tangent = forward_ad.unpack_dual(t).tangent
            assert torch.allclose(tangent, 4 * torch.cat([X[:1] ** 2, X[1:] * X[0]])[places])
    assert torch.allclose(head, out[:2])


def test_views_of_data_that_was_written():
    def f(x):
        out = torch.zeros(3, dtype=D).data
        out.add_(1)
        tail = out[1:]
        out[0] = x[0] ** 2
        tail.mul_(x[1:])
        return out * tail[0].clone()

    def plain(x):
        return torch.cat([x[:1] ** 2, x[1:]]) * x[1]

    assert torch.allclose(jacfwd(f)(X), jacrev(plain)(X))
    assert torch.allclose(jacfwd(jacfwd(f))(X), jacrev(jacrev(plain))(X))


def test_detached_views_take_no_tangent():
    def f(x):
        out = torch.zeros(3, dtype=D)
        cut = out.detach()
        out[0] = x[0] ** 3
        return cut * x

    assert torch.allclose(jacfwd(f)(X), torch.diag(torch.cat([X[:1] ** 3, 0 * X[1:]])))


def test_examples_do_not_fit_into_a_value():
    def f(x):
        out = torch.zeros(3, dtype=D)
        out[0] = x[0]
        return out

    with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
        vmap(f)(B)
    with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
        vmap(jacfwd(lambda x: jvp(f, (X,), (X,))[0] + f(x)))(B)
