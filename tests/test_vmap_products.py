"""Matrix products of batches, whichever way they are done: the same as one example at a time."""

from __future__ import annotations

import itertools

import pytest

import chainrule as torch
from chainrule import func

SHAPES = [
    *(((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((2, 1), (1, 4))),
    *(((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4))),
    *(((5, 2, 3), (5, 3, 4)), ((2, 0), (0, 4)), ((0, 3), (3, 4)), ((5, 2, 1), (1, 4))),
    *(((2, 3), (3, 1)), ((2, 1), (1, 1)), ((5, 2, 3), (5, 3, 1))),
]
MAPPED = [(0, 0), (0, None), (None, 0)]


def operand(shape: tuple, dim: int | None) -> torch.Tensor:
    """A tensor of examples, or one for all."""
    return torch.randn(*shape if dim is None else (6, *shape), dtype=torch.float64)


def example(x: torch.Tensor, dim: int | None, i: int) -> torch.Tensor:
    """What example i has for this operand."""
    return x if dim is None else x[i]


@pytest.mark.parametrize(("shapes", "dims"), list(itertools.product(SHAPES, MAPPED)))
def test_products_equal_a_loop(shapes: tuple, dims: tuple):
    x, y = (operand(s, d) for s, d in zip(shapes, dims, strict=True))
    together = func.vmap(torch.matmul, in_dims=dims)(x, y)
    loop = [example(x, dims[0], i) @ example(y, dims[1], i) for i in range(6)]
    torch.testing.assert_close(together, torch.stack(loop), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dims", MAPPED)
def test_products_of_transposed_examples(dims: tuple):
    x, y = operand((3, 2), dims[0]), operand((4, 3), dims[1])
    together = func.vmap(lambda a, b: a.T @ b.T, in_dims=dims)(x, y)
    loop = [example(x, dims[0], i).T @ example(y, dims[1], i).T for i in range(6)]
    torch.testing.assert_close(together, torch.stack(loop), rtol=1e-12, atol=1e-12)


def test_nested_products_share_operands_at_each_level():
    x, y = operand((2, 3), 0), torch.randn(7, 3, 4, dtype=torch.float64)
    pairs = func.vmap(func.vmap(torch.matmul, in_dims=(None, 0)), in_dims=(0, None))(x, y)
    torch.testing.assert_close(pairs, x[:, None] @ y[None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shapes", [((3, 1), (1, 4)), ((3, 2), (2, 4)), ((3, 2), (2, 1))])
@pytest.mark.parametrize("dims", list(itertools.product((None, 0), repeat=4)))
def test_derivatives_of_products_along_directions(shapes: tuple, dims: tuple):
    if dims == (None,) * 4:
        dims = (0,) * 4
    x, y, dx, dy = (operand(s, d) for s, d in zip(shapes * 2, dims, strict=True))
    together = func.vmap(
        lambda x, y, dx, dy: func.jvp(torch.matmul, (x, y), (dx, dy))[1], in_dims=dims
    )(x, y, dx, dy)
    loop = []
    for i in range(6):
        a, b, da, db = (example(v, d, i) for v, d in zip((x, y, dx, dy), dims, strict=True))
        loop.append(da @ b + a @ db)
    torch.testing.assert_close(together, torch.stack(loop), rtol=1e-12, atol=1e-12)


def test_targets_of_all_examples_are_checked():
    scores, targets = torch.zeros(2, 1, 3), torch.tensor([[0], [5]])
    with pytest.raises(IndexError, match="Target 5 is out of bounds"):
        func.vmap(torch.nn.functional.cross_entropy)(scores, targets)


def test_ignored_targets_of_an_example():
    scores, targets = torch.zeros(2, 2, 3), torch.tensor([[0, 1], [0, -100]])
    losses = func.vmap(lambda s, t: torch.nn.functional.cross_entropy(s, t, reduction="sum"))(
        scores, targets
    )
    torch.testing.assert_close(losses, torch.log(torch.tensor([9.0, 3.0])))


def test_outer_products_have_no_negative_zero():
    x, y = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[-1.0, 2.0]]])
    assert str(func.vmap(torch.matmul)(x, y)[0, 0]) == "tensor([0., 0.])"


def test_products_of_examples_that_do_not_fit():
    x = torch.randn(16, 3, 1)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.vmap(lambda u: u @ u)(x)
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        torch.vmap(lambda u: u[:, 0] @ torch.ones(1))(x)


def test_products_of_integer_vectors_stay_of_their_dtype():
    x = torch.ones(2, 3, dtype=torch.int32)
    assert torch.vmap(lambda u: u @ u)(x).dtype is torch.int32
