"""How results lie in memory, for operands that do not lie row by row: as PyTorch 2.13 has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import chainrule as torch

F = torch.nn.functional

Strides = tuple[int, ...]


def filled(*shape: int) -> Any:
    """Different numbers between -1 and 1."""
    n = torch.Size(shape).numel()
    return (torch.arange(n) * 7919 % 101 / 50 - 1).reshape(shape)


def turned() -> Any:
    """5 x 3 x 4, the last dimension outermost but one in memory: strides (1, 20, 5)."""
    return filled(3, 4, 5).permute(2, 0, 1)


def images() -> Any:
    """2 x 3 x 4 x 5, channels last: strides (60, 1, 15, 3)."""
    return filled(2, 3, 4, 5).to(memory_format=torch.channels_last)


def places(x: Any) -> Any:
    return torch.zeros(x.shape, dtype=torch.int64)


# name: (function, strides of the result for `turned`, for `images`)
ROWS: dict[str, tuple[Callable, Strides, Strides]] = {
    "sum": (lambda x: x.sum(0), (4, 1), (20, 5, 1)),
    "sum of integers": (lambda x: x.long().sum(1), (4, 1), (20, 5, 1)),
    "sum over two": (lambda x: x.sum((0, 1)), (1,), (5, 1)),
    "mean": (lambda x: x.mean(-1), (3, 1), (12, 4, 1)),
    "amax": (lambda x: x.amax(1), (4, 1), (20, 5, 1)),
    "max": (lambda x: x.max(1)[0], (4, 1), (20, 5, 1)),
    "prod": (lambda x: x.prod(-1), (3, 1), (12, 4, 1)),
    "any": (lambda x: (x > 0).any(-1), (3, 1), (12, 4, 1)),
    "any over none": (lambda x: (x > 0).any(()), (12, 4, 1), (60, 20, 5, 1)),
    "var": (lambda x: x.var(1), (4, 1), (20, 5, 1)),
    "var_mean": (lambda x: torch.var_mean(x, 1)[1], (4, 1), (20, 5, 1)),
    "logsumexp": (lambda x: x.logsumexp(-1), (3, 1), (12, 4, 1)),
    "count_nonzero": (lambda x: x.count_nonzero(1), (4, 1), (20, 5, 1)),
    "aminmax": (lambda x: torch.aminmax(x, dim=1)[1], (4, 1), (20, 5, 1)),
    "places of medians": (lambda x: x.median(1)[1], (4, 1), (20, 5, 1)),
    "places of the largest": (lambda x: x.topk(1, 1)[1], (4, 4, 1), (20, 20, 5, 1)),
    "norm": (lambda x: x.norm(dim=-1), (3, 1), (12, 4, 1)),
    "quantile": (lambda x: x.quantile(0.5, 0), (4, 1), (20, 5, 1)),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x, 1), (4, 1), (20, 5, 1)),
    "cdist": (lambda x: torch.cdist(x, x), (9, 3, 1), (48, 16, 4, 1)),
    "renorm": (lambda x: x.renorm(2, 0, 1.0), (12, 4, 1), (60, 20, 5, 1)),
    "cumsum": (lambda x: x.cumsum(1), (12, 4, 1), (60, 20, 5, 1)),
    "cumsum of doubles": (lambda x: x.double().cumsum(0), (12, 4, 1), (60, 20, 5, 1)),
    "cumprod": (lambda x: x.cumprod(-1), (12, 4, 1), (60, 20, 5, 1)),
    "logcumsumexp": (lambda x: x.logcumsumexp(1), (12, 4, 1), (60, 20, 5, 1)),
    "cummax": (lambda x: x.cummax(0)[0], (12, 4, 1), (60, 20, 5, 1)),
    "places of cummax": (lambda x: x.cummax(0)[1], (12, 4, 1), (60, 20, 5, 1)),
    "softmax": (lambda x: x.softmax(1), (12, 4, 1), (60, 20, 5, 1)),
    "log_softmax": (lambda x: x.log_softmax(-1), (12, 4, 1), (60, 20, 5, 1)),
    "tril": (lambda x: x.tril(), (12, 4, 1), (60, 20, 5, 1)),
    "masked_fill": (lambda x: x.masked_fill(x > 0, 1.0), (12, 4, 1), (60, 20, 5, 1)),
    "masked_scatter": (lambda x: x.masked_scatter(x > 0, x), (12, 4, 1), (60, 20, 5, 1)),
    "gather": (lambda x: x.gather(0, places(x)), (12, 4, 1), (60, 20, 5, 1)),
    "scatter": (lambda x: x.scatter(0, places(x), x), (12, 4, 1), (60, 20, 5, 1)),
    "index_add": (
        lambda x: x.index_add(0, torch.tensor([0]), x[:1]),
        (12, 4, 1),
        (60, 20, 5, 1),
    ),
    "index_select": (
        lambda x: x.index_select(0, torch.tensor([0, 1])),
        (12, 4, 1),
        (60, 20, 5, 1),
    ),
    "layer_norm": (lambda x: F.layer_norm(x, x.shape[-1:]), (12, 4, 1), (60, 20, 5, 1)),
    "batch_norm": (
        lambda x: F.batch_norm(x, None, None, training=True),
        (12, 4, 1),
        (60, 1, 15, 3),
    ),
    "group_norm": (lambda x: F.group_norm(x, 1), (12, 4, 1), (60, 1, 15, 3)),
    "rms_norm": (lambda x: F.rms_norm(x, x.shape[-1:]), (12, 4, 1), (60, 1, 15, 3)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, 1), (6, 3, 1), (36, 1, 12, 3)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, 1), (6, 3, 1), (36, 1, 12, 3)),
}

KEEPING: dict[str, tuple[Callable, Strides, Strides]] = {
    "exp": (lambda x: x.exp(), (1, 20, 5), (60, 1, 15, 3)),
    "sort": (lambda x: x.sort(1)[0], (1, 20, 5), (60, 1, 15, 3)),
    "places of sort": (lambda x: x.sort(0)[1], (1, 20, 5), (60, 1, 15, 3)),
    "less its mean": (lambda x: x - x.mean(1, keepdim=True), (1, 20, 5), (60, 1, 15, 3)),
    "normalize": (lambda x: F.normalize(x, dim=0), (1, 20, 5), (60, 1, 15, 3)),
    "argsort": (lambda x: x.argsort(-1, descending=True), (1, 20, 5), (60, 1, 15, 3)),
    "dropout": (lambda x: F.dropout(x, 0.3), (1, 20, 5), (60, 1, 15, 3)),
    "dropout of all": (lambda x: F.dropout(x, 1.0), (1, 20, 5), (60, 1, 15, 3)),
    "alpha_dropout": (lambda x: F.alpha_dropout(x, 0.3, True), (1, 20, 5), (60, 1, 15, 3)),
    "of channels": (lambda x: F.feature_alpha_dropout(x, 0.3, True), (1, 20, 5), (60, 1, 15, 3)),
    "randn_like": (lambda x: torch.randn_like(x), (1, 20, 5), (60, 1, 15, 3)),
    "rand_like": (lambda x: torch.rand_like(x), (1, 20, 5), (60, 1, 15, 3)),
    "randint_like": (lambda x: torch.randint_like(x, 5), (1, 20, 5), (60, 1, 15, 3)),
    "in another format": (
        lambda x: torch.rand_like(x, memory_format=torch.contiguous_format),
        (12, 4, 1),
        (60, 20, 5, 1),
    ),
}


@pytest.mark.parametrize("name", [*ROWS, *KEEPING])
def test_strides(name: str) -> None:
    f, of_turned, of_images = (ROWS | KEEPING)[name]
    assert f(turned()).stride() == of_turned
    assert f(images()).stride() == of_images


@pytest.mark.parametrize("name", ROWS)
def test_the_numbers_are_those_of_a_copy(name: str) -> None:
    f = ROWS[name][0]
    for x in (turned(), images()):
        torch.testing.assert_close(f(x), f(x.contiguous()))


def test_what_is_row_by_row_can_be_viewed() -> None:
    scores = filled(2, 3, 4).mT.softmax(-1)
    assert scores.is_contiguous()
    assert scores.view(-1).data_ptr() == scores.data_ptr() == scores.flatten().data_ptr()


def test_columns() -> None:
    assert torch.ones(2, 3).nonzero().stride() == (1, 6)
    assert turned().quantile(torch.tensor([0.1, 0.5]), 0).stride() == (1, 8, 2)


def test_expanded() -> None:
    x = filled(3, 1, 5).expand(3, 4, 5)
    for copied in (x.clone(), x.double(), torch.zeros_like(x), x.sort(0)[0], torch.rand_like(x)):
        assert copied.stride() == (20, 5, 1)
    x = x.permute(2, 0, 1)
    for copied in (x.clone(), x.double(), torch.zeros_like(x), x.sort(0)[0], torch.rand_like(x)):
        assert copied.stride() == (4, 20, 1)


def test_what_an_index_takes_from_rows_lies_row_by_row() -> None:
    assert filled(3, 4, 5)[:, 1, torch.tensor([0, 1])].stride() == (2, 1)


# -- random numbers are drawn in the order in which they lie ---------------------------------------


def test_dropout_draws_in_memory_order() -> None:
    torch.manual_seed(3)
    kept = F.dropout(torch.ones(2, 3, 4).permute(2, 0, 1), 0.5) != 0
    assert kept.int().tolist() == [
        [[1, 0, 1], [1, 1, 0]],
        [[1, 0, 0], [1, 0, 0]],
        [[0, 1, 1], [0, 0, 1]],
        [[1, 1, 0], [1, 1, 1]],
    ]


def test_like_draws_in_memory_order() -> None:
    two = torch.ones(2, 3).t()
    torch.manual_seed(3)
    expected = torch.tensor([[0.0043, 0.027], [0.1056, 0.4716], [0.2858, 0.0601]])
    torch.testing.assert_close(torch.rand_like(two), expected, atol=1e-4, rtol=0)
    torch.manual_seed(3)
    assert torch.randint_like(two, 9).tolist() == [[4, 3], [5, 1], [1, 3]]
    torch.manual_seed(3)
    last = torch.rand_like(torch.ones(1, 2, 2, 2), memory_format=torch.channels_last)
    assert [round(v, 4) for v in last.flatten().tolist()] == [
        *(0.0043, 0.2858, 0.4716, 0.7719),
        *(0.1056, 0.027, 0.0601, 0.7437),
    ]


def test_normal_numbers_that_do_not_lie_row_by_row_are_drawn_in_pairs() -> None:
    torch.manual_seed(3)
    drawn = torch.randn_like(torch.ones(4, 5).t())
    expected = torch.tensor(
        [
            [0.8033, -1.3683, 0.522, -0.0799],
            [0.1748, 0.3375, 1.2379, 0.9264],
            [0.089, 1.0111, -0.8646, 0.8157],
            [-0.6137, -1.4352, 0.299, 0.4952],
            [0.0462, 0.9774, 0.4192, -0.1643],
        ]
    )
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)
    assert round(torch.rand(1).item(), 4) == 0.5824  # as many were taken from the stream


DRAWS: dict[str, Callable] = {
    "dropout": lambda x: F.dropout(x * 2, 0.3),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, True),
    "randn_like": lambda x: torch.randn_like(x),
    "complex randn_like": lambda x: torch.randn_like(x, dtype=torch.complex64).real,
    "rand_like": lambda x: torch.rand_like(x.exp()) + x,
    "normal_": lambda x: torch.empty_like(x).normal_(),
    "of rows": lambda x: F.dropout(x.softmax(1), 0.3),
    "of sorted": lambda x: F.dropout(x.sort(0)[0], 0.3),
}


@pytest.mark.parametrize("name", DRAWS)
def test_captures_draw_the_same_numbers(name: str) -> None:
    f = DRAWS[name]
    for x in (turned(), filled(40, 5, 20).permute(2, 0, 1)):  # many, too: drawn in portions
        compiled = torch.compile(f)
        for seed in (0, 1):
            torch.manual_seed(seed)
            expected, then = f(x), torch.rand(1)
            torch.manual_seed(seed)
            torch.testing.assert_close(compiled(x), expected)
            assert torch.equal(torch.rand(1), then)


def test_captures_move_nothing_that_lies_well() -> None:
    compiled = torch.compile(lambda x: x.softmax(1).cumsum(0))
    compiled(turned().contiguous())
    assert "copy" not in compiled.explain()
    compiled(turned())
    assert "copy" not in compiled.explain()


def test_draws_in_memory_order_under_transformations() -> None:
    x = turned()
    torch.manual_seed(0)
    expected = F.dropout(x, 0.3)
    torch.manual_seed(0)
    value, tangent = torch.func.jvp(lambda x: F.dropout(x, 0.3), (x,), (x,))
    assert torch.equal(value, expected)
    assert torch.equal(tangent, expected)
    sort = torch.func.vmap(lambda x: x.sort(0)[0], in_dims=1, out_dims=1)
    assert torch.equal(sort(x), x.sort(0)[0])


@pytest.mark.parametrize(
    "name, of, stride",
    [
        ("cumsum", lambda u: u.cumsum(0), (3, 1)),
        ("softmax", lambda u: u.softmax(0), (3, 1)),
        ("cat", lambda u: torch.cat([u, u]), (6, 1)),
        ("stack", lambda u: torch.stack([u, u]), (6, 3, 1)),
        ("clone", lambda u: u.clone(), (1, 4)),
        ("flip", lambda u: u.flip(0), (1, 4)),
        ("mul", lambda u: u * u, (1, 4)),
    ],
)
def test_batches_that_do_not_lie_example_by_example(name, of, stride):
    assert torch.vmap(of)(filled(3, 4).t()).stride() == stride


@pytest.mark.parametrize(
    "of",
    [
        lambda u: u.cumsum(0),
        lambda u: u.max(0)[0],
        lambda u: u.sort(0)[0],
        lambda u: u.gather(0, torch.tensor(0)),
        lambda u: u.index_select(0, torch.tensor([0])),
    ],
)
def test_single_numbers_of_a_batch_are_copied(of):
    x = torch.tensor([1.0, 2.0])
    torch.vmap(of)(x).zero_()
    torch.func.jvp(lambda u: of(u).mul_(0), (x[0],), (x[1],))
    assert x.tolist() == [1, 2]
