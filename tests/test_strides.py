"""How results lie in memory, for operands that do not lie row by row: as PyTorch 2.13 has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import chainrule as torch

F, L = torch.nn.functional, torch.linalg

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


def rows(x: Any) -> Any:
    """Other numbers of the shape, row by row."""
    return filled(*x.shape)


LIKE = (1, 20, 5), (60, 1, 15, 3)  # the strides of `turned` and `images`
PICKED = torch.tensor([0, 1, 1])

# name: (function, strides of the result for `turned`, for `images`)
ROWS: dict[str, tuple[Callable, Strides, Strides]] = {
    "sum": (lambda x: x.sum(0), (4, 1), (20, 5, 1)),
    "sum of integers": (lambda x: x.long().sum(1), (4, 1), (20, 5, 1)),
    "sum over two": (lambda x: x.sum((0, 1)), (1,), (5, 1)),
    "mean": (lambda x: x.mean(-1), (3, 1), (12, 4, 1)),
    "power of a number": (lambda x: 2.0**x, (12, 4, 1), (60, 20, 5, 1)),
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
    "mean that keeps its axis": (lambda x: x.mean(0, keepdim=True), (12, 4, 1), (60, 20, 5, 1)),
    "norm that keeps its axis": (lambda x: x.norm(dim=1, keepdim=True), (4, 4, 1), (20, 20, 5, 1)),
    "max that keeps its axis": (lambda x: x.max(1, keepdim=True)[0], (4, 4, 1), (20, 20, 5, 1)),
    "logsigmoid": (F.logsigmoid, (12, 4, 1), (60, 20, 5, 1)),
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
    "cut": (lambda x: F.pad(x, (0, -1)), (1, 15, 5), (48, 1, 12, 3)),
    "squared error": (lambda x: F.mse_loss(x, rows(x), reduction="none"), *LIKE),
    "isclose": (lambda x: torch.isclose(x, rows(x)), *LIKE),
    "polar": (lambda x: torch.polar(x, rows(x)), *LIKE),
    "vmap": (lambda x: torch.vmap(lambda u, v: u * v)(x, rows(x)), *LIKE),
    "tangents": (lambda x: torch.func.jvp(torch.sin, (x,), (rows(x),))[1], *LIKE),
    "tangents turned": (
        lambda x: torch.func.jvp(torch.sin, (rows(x),), (x,))[1],
        (12, 4, 1),
        (60, 20, 5, 1),
    ),
    "kron": (lambda x: torch.kron(x, x), (1, 400, 25), (3600, 1, 225, 9)),
    "second axis picked": (lambda x: x[:, PICKED], (1, 5, 15), (60, 20, 5, 1)),
    "last axis picked": (lambda x: x[..., PICKED], (3, 15, 1), (36, 3, 9, 1)),
    "picked apart": (lambda x: x[PICKED, :, PICKED], (3, 1), (15, 1, 3)),
    "two axes picked": (lambda x: x[:, PICKED, PICKED], (3, 1), (15, 5, 1)),
    "picked by a matrix": (
        lambda x: x[:, PICKED[None].expand(2, 3)],
        (1, 15, 5, 30),
        (120, 60, 20, 5, 1),
    ),
    "fft": (torch.fft.fft, (4, 20, 1), (60, 5, 15, 1)),
    "fft of complex": (lambda x: torch.fft.fft(x + 0j, dim=1), (3, 1, 15), (60, 1, 15, 3)),
    "rfft": (lambda x: torch.fft.rfft(x, dim=0), (1, 12, 3), (1, 2, 30, 6)),
    "irfft": (lambda x: torch.fft.irfft(x + 0j, dim=1), (4, 1, 20), (80, 1, 20, 4)),
    "fftn": (torch.fft.fftn, *LIKE),
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


# -- linear algebra --------------------------------------------------------------------------------

# name: (function of P (3 x 3) and B (3 x 2), strides of its results that are no vectors for one
# matrix, and for a batch of two)
LINALG: dict[str, tuple[Callable, list[Strides], list[Strides]]] = {
    "inv": (lambda P, B: L.inv(P), [(1, 3)], [(9, 1, 3)]),
    "inv_ex": (lambda P, B: L.inv_ex(P)[0], [(1, 3)], [(9, 1, 3)]),
    "solve": (lambda P, B: L.solve(P, B), [(1, 3)], [(6, 1, 3)]),
    "solve from the right": (lambda P, B: L.solve(P, B.mT, left=False), [(3, 1)], [(6, 3, 1)]),
    "solve for vectors": (lambda P, B: L.solve(P, B[..., 0]), [], [(1, 2)]),
    "solve_ex": (lambda P, B: L.solve_ex(P, B)[0], [(1, 3)], [(6, 1, 3)]),
    "solve_triangular": (lambda P, B: L.solve_triangular(P, B, upper=True), [(1, 3)], [(6, 1, 3)]),
    "solve_triangular from the right": (
        lambda P, B: L.solve_triangular(P, B.mT, upper=True, left=False),
        [(1, 2)],
        [(6, 1, 2)],
    ),
    "triangular_solve": (
        lambda P, B: torch.triangular_solve(B, P),
        [(1, 3), (1, 3)],
        [(6, 1, 3), (9, 1, 3)],
    ),
    "lu_factor": (lambda P, B: L.lu_factor(P), [(1, 3)], [(9, 1, 3), (3, 1)]),
    "lu": (lambda P, B: L.lu(B), [(3, 1), (2, 1), (2, 1)], [(9, 3, 1), (6, 2, 1), (4, 2, 1)]),
    "lu_unpack": (
        lambda P, B: torch.lu_unpack(*L.lu_factor(B)),
        [(3, 1), (2, 1), (2, 1)],
        [(9, 3, 1), (6, 2, 1), (4, 2, 1)],
    ),
    "lu_solve": (lambda P, B: L.lu_solve(*L.lu_factor(P), B), [(1, 3)], [(6, 1, 3)]),
    "lu_solve from the right": (
        lambda P, B: L.lu_solve(*L.lu_factor(P), B.mT, left=False),
        [(3, 1)],
        [(6, 3, 1)],
    ),
    "ldl_factor": (lambda P, B: L.ldl_factor(P), [(1, 3)], [(9, 1, 3), (3, 1)]),
    "ldl_solve": (lambda P, B: L.ldl_solve(*L.ldl_factor(P), B), [(1, 3)], [(6, 1, 3)]),
    "cholesky": (lambda P, B: L.cholesky(P), [(1, 3)], [(9, 1, 3)]),
    "upper cholesky": (lambda P, B: L.cholesky(P, upper=True), [(1, 3)], [(9, 1, 3)]),
    "cholesky_ex": (lambda P, B: L.cholesky_ex(P)[0], [(1, 3)], [(9, 1, 3)]),
    "cholesky_inverse": (lambda P, B: torch.cholesky_inverse(P), [(1, 3)], [(9, 1, 3)]),
    "cholesky_solve": (lambda P, B: torch.cholesky_solve(B, P), [(1, 3)], [(6, 1, 3)]),
    "eigh": (lambda P, B: L.eigh(P), [(1, 3)], [(3, 1), (9, 1, 3)]),
    "eig": (lambda P, B: L.eig(P), [(1, 3)], [(3, 1), (9, 1, 3)]),
    "qr": (lambda P, B: L.qr(B), [(1, 3), (1, 2)], [(6, 1, 3), (4, 1, 2)]),
    "complete qr": (lambda P, B: L.qr(B, "complete"), [(1, 3), (1, 3)], [(9, 1, 3), (6, 1, 3)]),
    "svd": (lambda P, B: L.svd(B), [(1, 3), (1, 2)], [(9, 1, 3), (2, 1), (4, 1, 2)]),
    "reduced svd": (lambda P, B: L.svd(B, False), [(1, 3), (1, 2)], [(6, 1, 3), (2, 1), (4, 1, 2)]),
    "torch.svd": (lambda P, B: torch.svd(B), [(1, 3), (2, 1)], [(6, 1, 3), (2, 1), (4, 2, 1)]),
    "svd of values alone": (
        lambda P, B: torch.svd(B, compute_uv=False),
        [(3, 1), (1, 2)],
        [(9, 3, 1), (2, 1), (4, 1, 2)],
    ),
    "lstsq": (lambda P, B: L.lstsq(B, B)[0], [(1, 3)], [(6, 1, 3)]),
    "pinv": (lambda P, B: L.pinv(B), [(3, 1)], [(6, 3, 1)]),
    "geqrf": (lambda P, B: torch.geqrf(B), [(1, 3)], [(6, 1, 3), (2, 1)]),
    "householder_product": (
        lambda P, B: L.householder_product(*torch.geqrf(B)),
        [(1, 3)],
        [(6, 1, 3)],
    ),
    "ormqr": (lambda P, B: torch.ormqr(*torch.geqrf(B), B), [(1, 3)], [(6, 1, 3)]),
    "matrix_exp": (lambda P, B: L.matrix_exp(P), [(3, 1)], [(9, 3, 1)]),
    "the power 1": (lambda P, B: L.matrix_power(P.mT, 1), [(3, 1)], [(9, 3, 1)]),
    "the power -1": (lambda P, B: L.matrix_power(P, -1), [(1, 3)], [(9, 1, 3)]),
    "the power 2": (lambda P, B: L.matrix_power(P, 2), [(3, 1)], [(9, 3, 1)]),
}


def matrices(*lead: int) -> tuple[Any, Any]:
    """A positive-definite matrix and a tall one, or batches of them."""
    P, B = torch.eye(3) * 4 + 1, torch.tensor([[2.0, 1.0], [1.0, 5.0], [0.0, 3.0]])
    return P.expand(*lead, 3, 3).clone(), B.expand(*lead, 3, 2).clone()


def strides_of(made: Any) -> list[Strides]:
    """Those of one result or of several, but for vectors."""
    return [x.stride() for x in (made if isinstance(made, tuple) else (made,)) if x.ndim > 1]


@pytest.mark.parametrize("name", LINALG)
def test_factors_and_solutions(name: str) -> None:
    f, of_one, of_two = LINALG[name]
    assert strides_of(f(*matrices())) == of_one
    assert strides_of(f(*matrices(2))) == of_two
    P, B = matrices(2)
    assert strides_of(f(P.mT.clone(), B.mT.clone().mT)) == of_two
    assert strides_of(f(P.requires_grad_(), B)) == of_two


def test_captures_lay_factors_and_solutions_out_alike() -> None:
    names = [name for name in LINALG if name not in ("eig", "lstsq")]  # of what only Python calls
    compiled = torch.compile(lambda P, B: [LINALG[name][0](P, B) for name in names])
    P, B = matrices(2)
    for _ in range(2):
        for name, made in zip(names, compiled(P, B), strict=True):
            f, _, expected = LINALG[name]
            assert strides_of(made) == expected, name
            torch.testing.assert_close(made, f(P, B))
    assert compiled.hits == 1


@pytest.mark.parametrize(
    "f, strides",
    [
        (lambda x: L.det(x), [(3, 1)]),
        (lambda x: L.slogdet(x), [(3, 1), (3, 1)]),
        (lambda x: L.svdvals(x), [(12, 4, 1)]),
        (lambda x: L.svd(x), [(48, 16, 1, 4), (12, 4, 1), (48, 16, 1, 4)]),
        (lambda x: L.eigh(x), [(12, 4, 1), (48, 16, 1, 4)]),
        (lambda x: L.eigvalsh(x), [(12, 4, 1)]),
        (lambda x: L.eig(x), [(12, 4, 1), (48, 16, 1, 4)]),
        (lambda x: L.pinv(x), [(48, 16, 4, 1)]),
        (lambda x: x @ x, [(48, 16, 4, 1)]),
        (lambda x: x[0, 0, 0] @ x, [(12, 4, 1)]),
        (lambda x: torch.einsum("...ij,...ij->...i", x, x), [(12, 4, 1)]),
    ],
)
def test_batches_turned_in_memory_give_batches_in_order(f: Callable, strides: list) -> None:
    x = filled(3, 2, 4, 4).transpose(0, 1) + 4 * torch.eye(4)
    assert x.stride() == (16, 32, 4, 1)
    assert strides_of(f(x)) == strides
    assert strides_of(f(x.requires_grad_())) == strides


@pytest.mark.parametrize(
    "equation, strides",
    [
        ("a,c->ca", (2, 1)),
        ("ab,c->cba", (6, 1, 3)),
        ("ab,cb->bca", (1, 6, 3)),
        ("bc,abc->ac", (1, 2)),
        ("ca,ab->bc", (4, 1)),
        ("ca,abc->bc", (1, 3)),
        ("ac,b->cb", (3, 1)),
    ],
)
def test_sums_and_products_of_named_dimensions(equation: str, strides: Strides) -> None:
    sizes = {"a": 2, "b": 3, "c": 4}
    terms = equation.partition("->")[0].split(",")
    made = torch.einsum(equation, *[filled(*map(sizes.get, t)) for t in terms])
    assert made.stride() == strides


def test_attention_lies_as_its_queries() -> None:
    def heads(x: Any) -> Any:
        """2 x 6 x (3 x 15) numbers as queries, keys and values of 3 heads of 5 features."""
        return [t.view(2, 6, 3, 5).transpose(1, 2) for t in x.split(15, 2)]

    attend, x = F.scaled_dot_product_attention, filled(2, 6, 45)
    q, k, v = heads(x)
    compiled = torch.compile(lambda x: attend(*heads(x)))
    for y in (attend(q, k, v), attend(q, k, v, is_causal=True), compiled(x), compiled(x)):
        assert y.stride() == (90, 5, 15, 1)
        assert y.transpose(1, 2).view(2, 6, 15).shape == (2, 6, 15)
    batched = torch.vmap(lambda *t: attend(*[u[None] for u in t])[0])(q, k, v)
    torch.testing.assert_close(batched, attend(q, k, v))
    assert attend(q.contiguous(), k, v).stride() == (90, 30, 5, 1)
    by_columns = [t.mT.contiguous().mT for t in (q, k, v)]
    assert attend(*by_columns).stride() == (90, 30, 5, 1)
    assert attend(q[0], k[0], v[0]).stride() == (30, 5, 1)
    wide = v.repeat(1, 1, 1, 2)
    assert attend(q, k, wide).stride() == (180, 60, 10, 1)


def test_draws_into_factors_come_in_the_order_of_memory() -> None:
    P, _ = matrices()
    numbers = [[0.0043, 0.027, 0.7719], [0.1056, 0.4716, 0.7437], [0.2858, 0.0601, 0.5944]]
    draws: list[tuple[Callable, list]] = [
        (lambda P: torch.rand_like(L.inv(P)), numbers),
        (lambda P: L.cholesky(P).random_(0, 5), [[1.0, 2, 0], [3, 0, 0], [2, 0, 1]]),
    ]
    for f, expected in draws:
        for run in (f, torch.compile(f)):
            for _ in range(2):
                torch.manual_seed(3)
                torch.testing.assert_close(run(P), torch.tensor(expected), atol=1e-4, rtol=0)


def test_what_a_factor_looks_at() -> None:
    P, _ = matrices()
    inverse = L.inv(P)
    inverse.mT.flatten().mul_(2)  # a view of the columns
    torch.testing.assert_close(inverse, 2 * L.inv(P))
    inverse.flatten().mul_(2)  # a copy
    torch.testing.assert_close(inverse, 2 * L.inv(P))
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        inverse.view(-1)


# -- operands that lie differently: the first that decides wins ------------------------------------

DIFFERENT: dict[str, tuple[Callable, Strides]] = {
    "where": (lambda x, c: torch.where(x > 0, c, c), (1, 5)),
    "where, rows first": (lambda x, c: torch.where(c > 0, x, x), (4, 1)),
    "where, a column first": (lambda x, c: torch.where(x[:, :1] > 0, x, c), (1, 5)),
    "where, a row first": (lambda x, c: torch.where(x[:1] > 0, c, x), (4, 1)),
    "addcmul": (lambda x, c: torch.addcmul(x, c, c), (1, 5)),
    "addcmul, rows first": (lambda x, c: torch.addcmul(c, x, x), (4, 1)),
    "addcdiv": (lambda x, c: torch.addcdiv(x, c, c + 1), (1, 5)),
    "lerp": (lambda x, c: torch.lerp(x, c, c), (1, 5)),
    "lerp, rows first": (lambda x, c: torch.lerp(c, x, x), (4, 1)),
    "clamp": (lambda x, c: x.clamp(c, c + 1), (1, 5)),
    "clamp, rows first": (lambda x, c: c.clamp(x, x + 1), (4, 1)),
    "floats": (lambda x, c: x - c, (1, 5)),
    "floats, rows first": (lambda x, c: c / x, (4, 1)),
    "floats, a row first": (lambda x, c: c[:1] * x, (1, 5)),
    "a function of floats": (lambda x, c: torch.atan2(x, c), (1, 5)),
    "integers": (lambda x, c: x.int() + c.int(), (1, 5)),
    "integers, rows first": (lambda x, c: c.int() + x.int(), (4, 1)),
    "other dtypes": (lambda x, c: x.double() * c, (1, 5)),
    "complex": (lambda x, c: torch.complex(x, x), (1, 5)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_first_operand_decides(name: str) -> None:
    f, expected = DIFFERENT[name]
    x, c = filled(4, 5).t(), filled(5, 4)
    assert f(x, c).stride() == expected
    torch.testing.assert_close(f(x, c), f(x.contiguous(), c))


def test_axes_of_one_element_have_strides_as_well() -> None:
    x = torch.zeros(99).as_strided((1, 3, 3, 1), (9, 1, 3, 9))
    y = torch.zeros(99).as_strided((5, 3, 3, 1), (3, 1, 15, 3))
    assert (x + y).stride() == (3, 1, 15, 15)


def test_captures_let_the_first_operand_decide() -> None:
    compiled = torch.compile(lambda x, c: [f(x, c) for f, _ in DIFFERENT.values()])
    x, c = filled(4, 5).t(), filled(5, 4)
    for _ in range(2):
        for (f, expected), made in zip(DIFFERENT.values(), compiled(x, c), strict=True):
            assert made.stride() == expected
            torch.testing.assert_close(made, f(x, c))


# -- gradients, and results of captures ------------------------------------------------------------


DENSE: dict[str, Callable] = {  # functions whose rules reverse axes, or cut margins off
    "flip": lambda x: x.flip(1),
    "cumsum": lambda x: x.cumsum(1),
    "rot90": lambda x: x.rot90(2, (0, 1)),
    "sort": lambda x: x.sort(1, descending=True)[0],
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "pad and cut": lambda x: F.pad(x, (1, -1)),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "avg_pool1d": lambda x: F.avg_pool1d(x[0], 3, 2, 1, ceil_mode=True),
    "unfold": lambda x: F.unfold(x, 2, padding=1),
    "cross": lambda x: torch.cross(x, x.flip(0), dim=1),
}


@pytest.mark.parametrize("name", DENSE)
def test_gradients_are_dense(name: str) -> None:
    x = filled(2, 3, 4, 5).requires_grad_()
    y = DENSE[name](x)
    (g,) = torch.autograd.grad(y, x, rows(y.detach()))
    assert g.stride() == (60, 20, 5, 1)
    assert g.view(-1).shape == (120,)


def test_folded_images_are_dense() -> None:
    assert F.fold(filled(2, 12, 25), (4, 4), 2, padding=1).view(-1).shape == (96,)


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_lie_as_their_leaves(compiled: bool) -> None:
    def step(x: Any, w: Any) -> None:
        x.grad = w.grad = None
        (x * w).exp().sum().backward()

    run = torch.compile(step) if compiled else step
    leaves = {
        (1, 5): filled(4, 5).t().clone(),
        (4, 1): filled(5, 8)[:, ::2],  # with gaps
    }
    for expected, x in leaves.items():
        x, w = x.requires_grad_(), filled(5, 4).requires_grad_()
        for _ in range(2):
            run(x, w)
            assert x.grad.stride() == expected
            assert w.grad.stride() == (4, 1)
            torch.testing.assert_close(x.grad, w.detach() * (x * w).detach().exp())


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda x: x.square().mean(), (4, 1)),
        (lambda x: x.square().sum(), (1, 5)),
        (lambda x: (x * 2).exp().mean(0).sum(), (4, 1)),
        (lambda x: x.exp().mean(1, keepdim=True).sum(), (4, 1)),
    ],
)
def test_gradients_of_means_lie_row_by_row(
    loss: Callable, expected: Strides, compiled: bool
) -> None:
    def slope(x: Any) -> Any:
        x = x.t()
        return torch.autograd.grad(loss(x), x)[0]

    run = torch.compile(slope) if compiled else slope
    x = filled(4, 5).requires_grad_()
    for _ in range(2):
        assert run(x).stride() == expected
    rows = x.detach().t().contiguous().requires_grad_()
    torch.testing.assert_close(run(x), torch.autograd.grad(loss(rows), rows)[0])


def test_captured_functions_have_gradients_that_lie_as_those_of_the_function() -> None:
    def f(x: Any, w: Any) -> Any:
        return (x * w).exp() * 2

    compiled = torch.compile(f)
    x, w = filled(4, 5).t().requires_grad_(), filled(5, 4).requires_grad_()
    for _ in range(2):
        found = torch.autograd.grad(compiled(x, w).sum(), (x, w))
        for g, expected in zip(found, torch.autograd.grad(f(x, w).sum(), (x, w)), strict=True):
            torch.testing.assert_close(g, expected)
            assert g.stride() == expected.stride()


def test_captures_give_results_that_lie_as_those_of_the_function() -> None:
    def f(x: Any) -> Any:
        y = x.exp() * 2
        return y, y + 1, y.sum(0), x.softmax(0), x.permute(1, 2, 0) - 1, (y + x[:1]).mT

    compiled = torch.compile(f)
    for x in (turned(), filled(40, 5, 20).permute(2, 0, 1)):
        for _ in range(2):
            for made, expected in zip(compiled(x), f(x), strict=True):
                assert made.stride() == expected.stride()
                torch.testing.assert_close(made, expected)


def test_captures_compute_results_in_the_order_in_which_they_lie() -> None:
    compiled = torch.compile(lambda x: (x.exp() * 2).tanh())
    compiled(turned())
    assert "positive" not in compiled.explain()  # nothing is moved afterwards


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
