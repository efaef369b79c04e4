"""Captures compute no numbers: what they take for an operation's result has its layout."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as torch
from chainrule.arrays.blanks import blank
from chainrule.arrays.waist import waist

KEEP = slice(None)


def shapes(rng: np.random.Generator) -> tuple:
    """Of one to four axes, with more elements than are simply computed."""
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 5, 7, 17, 400], rng.integers(1, 5)))
    return shape if 300 < np.prod(shape) < 50_000 else shapes(rng)


def lying(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The array, or a part or a picture of it, in some layout."""
    permuted = x.transpose(rng.permutation(x.ndim))
    ways = [x, permuted, np.broadcast_to(x[:1], x.shape), permuted[..., ::-1], x[::2]]
    return ways[int(rng.integers(len(ways)))]


def strides(x: np.ndarray) -> tuple:
    """Those that matter."""
    return tuple([s if n > 1 else None for s, n in zip(x.strides, x.shape, strict=True)])


def calls(rng: np.random.Generator) -> list[tuple]:
    """Functions with arguments and keyword arguments."""
    x = lying(rng.random(shapes(rng)) * 0.8 + 0.1, rng)
    y = lying(rng.random(x.shape), rng)
    y = y if y.shape == x.shape else rng.random(x.shape)
    y = y[..., :1] if rng.random() < 0.3 else y
    some = tuple(int(a) for a in rng.permutation(x.ndim)[: rng.integers(1, x.ndim + 1)])
    one = some[0]
    out: list[tuple] = [
        *((name, (x,), {}) for name in ("exp", "modf", "sigmoid", "erf", "digamma", "copy")),
        *((name, (x, y), {}) for name in ("add", "less", "tanh_back")),
        *((name, (y > 0.5, x, y), {}) for name in ("where",)),
        ("keep", (x, y > 0.5), {}),
        ("astype", (x, np.dtype("f4")), {}),
        ("put", (x, 1.0, (KEEP,)), {}),
        ("concatenate", ([x, x], one), {}),
        ("argmax", (x,), {"axis": one}),
        ("add.accumulate", (x,), {"axis": one}),
        ("add.reduce", (x,), {"axis": one}),
        ("maximum.reduce", (x,), {"axis": some, "keepdims": True}),
    ]
    if x.ndim > 1:
        out.append(("matmul", (x, x.swapaxes(-1, -2)), {}))
    return out


@pytest.mark.parametrize("seed", range(60))
def test_layouts_are_those_of_computed_results(seed):
    for name, args, kwargs in calls(np.random.default_rng(seed)):
        found, wanted = blank(name, args, kwargs), waist(name)(*args, **kwargs)
        pairs = zip(found, wanted, strict=True) if type(wanted) is tuple else [(found, wanted)]
        for b, w in pairs:
            assert (b.shape, b.dtype) == (w.shape, w.dtype), name
            assert not w.ndim or strides(b) == strides(w), (name, [a.strides for a in args[:1]])


def operands(rng: np.random.Generator) -> list:
    """Three tensors that broadcast to one shape, lying differently."""
    shape = [int(n) for n in rng.choice([1, 2, 3, 5], rng.integers(2, 5))]
    found = []
    for _ in range(3):
        own = [1 if rng.random() < 0.2 else n for n in shape[int(rng.random() < 0.2) :]]
        order = rng.permutation(len(own))
        x = torch.rand([own[axis] for axis in order]).permute(*np.argsort(order).tolist())
        found.append(x.expand(own) if rng.random() < 0.8 else x[..., :1].expand(own))
    return found


def test_captures_lay_out_what_comes_of_several_operands_as_the_function_does():
    def f(cases: list) -> list:
        return [
            made
            for x, y, z in cases
            for made in (
                torch.where(x > 0.5, y, z),
                torch.addcmul(x, y, z),
                torch.lerp(x, y, z),
                x.clamp(y, z),
                x + y * z,
                (x.double() - y).exp(),
            )
        ]

    rng = np.random.default_rng(0)
    cases = [operands(rng) for _ in range(25)]
    compiled = torch.compile(f)
    for _ in range(2):
        for made, expected in zip(compiled(cases), f(cases), strict=True):
            assert strides(made.numpy()) == strides(expected.numpy())
            torch.testing.assert_close(made, expected)
    assert compiled.hits == 1
