"""What compiled programs do without Python: random draws, checks of indices, sorting, scattering,
decompositions, halves, complex numbers. Eager code is the reference, and nothing may be left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as torch
from chainrule.compiler import machine
from chainrule.compiler.api import compile

F = torch.nn.functional
native = pytest.mark.skipif(not machine.available(), reason="without llvmlite nothing is lowered")
R = np.random.RandomState(7)


def flat(x: Any) -> list:
    """The leaves of nested results."""
    return [leaf for e in x for leaf in flat(e)] if isinstance(x, (tuple, list)) else [x]


def compiled(f: Callable, *args: Any) -> Any:
    """f, compiled for these arguments; nothing of it may run in Python."""
    c = compile(f, fullgraph=True)
    c(*args)
    (entry,) = c.entries
    vars(entry).pop("run", None)  # it is not timed against eager code
    for planner in (entry.planner, getattr(entry, "back", None)):
        assert not getattr(planner, "python", ()), [str(i) for i in planner.python]
    return c


def same(f: Callable, *args: Any, exact: bool = False) -> None:
    """f gives the same compiled; to the last bit if `exact`."""
    c = compiled(f, *args)
    expected, got = flat(f(*args)), flat(c(*args))
    assert len(c.entries) == 1
    for x, y in zip(expected, got, strict=True):
        assert x.dtype is y.dtype and x.shape == y.shape
        a, b = (np.asarray(t.detach()) for t in (x, y))
        if exact or a.dtype.kind in "biu":
            assert a.tobytes() == b.tobytes()
        else:
            limit = 1e-12 if a.dtype.itemsize == 8 * (1 + (a.dtype.kind == "c")) else 2e-5
            size = max(float(np.abs(a[np.isfinite(a)]).max(initial=0)), 1e-30)
            np.testing.assert_allclose(b, a, rtol=limit, atol=limit * size)


def with_gradient(f: Callable) -> Callable:
    """f and the gradient of the sum of its squares."""

    def run(x: Any, *more: Any) -> Any:
        x = x.detach().requires_grad_()
        made = [y for y in flat(f(x, *more)) if y.requires_grad]
        total = sum((y * y.conj()).real.sum() if y.is_complex() else (y * y).sum() for y in made)
        return [y.detach() for y in made], torch.autograd.grad(total, x)[0]

    return run


def randn(*shape: int, dtype: str = "float32") -> Any:
    return torch.tensor(R.randn(*shape).astype(dtype))


# -- random draws ----------------------------------------------------------------------------------

E = torch.empty
DRAWS: dict[str, Callable] = {
    "uniform": lambda x: (
        torch.rand(1500),
        torch.rand(7, 3, dtype=torch.float64),
        E(50).uniform_(-1, 3),
        E(9, dtype=torch.float64).uniform_(-1, 3),
        torch.rand(3, dtype=torch.complex64),
    ),
    "normal": lambda x: (
        torch.randn(1003),
        torch.randn(16),
        E(40).normal_(-1, 3),
        torch.randn(100, dtype=torch.float64),
        E(20, dtype=torch.float64).normal_(2, 0.5),
        torch.randn(20, dtype=torch.complex64),
    ),
    "few normal": lambda x: (
        torch.randn(5),
        torch.randn(4),
        E(3).normal_(1, 2),
        torch.randn(7, dtype=torch.float64),
    ),
    "integers": lambda x: (
        torch.randint(0, 10, (100,)),
        torch.randint(-5, 2**40, (30,)),
        torch.randint(-5, 200, (30,), dtype=torch.float32),
        torch.randperm(1100),
        torch.randperm(3),
        E(10, dtype=torch.int64).random_(),
        E(10, dtype=torch.uint8).random_(),
    ),
    "bernoulli": lambda x: (
        torch.bernoulli(x),
        torch.bernoulli(x.double()),
        E(10).bernoulli_(0.3),
        F.dropout(x, 0.3),
        F.dropout2d(x[None, :, :, None], 0.4),
        F.alpha_dropout(x, 0.3, True),
    ),
    "inverse": lambda x: (
        E(30).exponential_(2.0),
        E(30, dtype=torch.float64).cauchy_(3.0, 2),
        E(30, dtype=torch.int64).geometric_(0.2),
    ),
}


@native
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_eagers_and_move_the_generator_on_as_eager_does(name):
    f, x = DRAWS[name], torch.full((6, 50), 0.4)
    c = compiled(f, x)
    seen = []
    for g in (f, c):
        torch.manual_seed(11)
        made = [g(x), torch.randn(3), g(x)]  # eager draws between two calls
        state = torch.get_rng_state()
        made += [g(x), torch.get_rng_state()]
        torch.set_rng_state(state)
        seen.append([np.asarray(t).tobytes() for t in flat([*made, g(x)])])
    assert seen[0] == seen[1]


@native
def test_draws_of_another_generator_and_mixed_with_what_only_python_draws():
    def f(x):
        first = torch.rand(5, generator=own)
        return first, torch.randn(20), torch.poisson(x), torch.randn(20), torch.rand(3)

    x = torch.full((4,), 3.0)
    c, own = compile(f, fullgraph=True), torch.Generator()
    c(x)
    seen = []
    for g in (f, c):
        torch.manual_seed(1)
        own.manual_seed(2)
        seen.append([np.asarray(t).tobytes() for t in flat([g(x), g(x)])])
    assert seen[0] == seen[1] and len(c.entries) == 1


@native
def test_a_training_step_with_dropout_follows_eager():
    results = []
    for make in (lambda f: f, compile):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Dropout(0.2))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(x, net=net, optimizer=optimizer):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        step = make(step)
        x = torch.randn(16, 8)
        results.append([step(x).item() for _ in range(5)])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


# -- checks ----------------------------------------------------------------------------------------

TABLE = torch.arange(12.0).reshape(4, 3)
BAD = [
    (lambda i: F.embedding(i, TABLE), 4),
    (lambda i: F.embedding(i, TABLE), -1),
    (lambda i: TABLE[i], 4),
    (lambda i: TABLE[:, i], -4),
    (lambda i: torch.gather(TABLE, 0, i[:, None]), 4),
    (lambda i: torch.index_select(TABLE, 0, i), 7),
    (lambda i: torch.take(TABLE, i), 12),
    (lambda i: TABLE.index_add(0, i, TABLE[:2]), 5),
    (lambda i: F.cross_entropy(TABLE[:2], i), 3),
    (lambda i: F.nll_loss(TABLE[:2], i), -3),
    (lambda i: torch.bernoulli(i.float()), 4),
    (lambda i: torch.linalg.cholesky(i.double()[:, None] * torch.eye(2)), -1),
    (lambda i: torch.linalg.inv(i.double()[:, None] + 0 * torch.eye(2)), 0),
]


@native
@pytest.mark.parametrize("case", range(len(BAD)))
def test_later_calls_raise_what_eager_raises(case):
    f, bad = BAD[case]
    good = torch.tensor([1, 0]) if case < 11 else torch.tensor([2, 1])
    if case == 12:
        f = lambda i: torch.linalg.inv(i.double()[:, None] * torch.eye(2))  # noqa: E731
    c = compiled(f, good)
    expected = c(good)
    wrong = torch.tensor([int(good[0]), bad])
    for _ in range(2):
        with pytest.raises(Exception) as eager:
            f(wrong)
        with pytest.raises(type(eager.value)) as later:
            c(wrong)
        assert str(later.value) == str(eager.value) and len(c.entries) == 1
        assert torch.equal(c(good), expected)


@native
def test_a_bad_target_leaves_parameters_as_they_were():
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 4)
    optimizer = torch.optim.Adam(net.parameters())

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, -100])
    step(x, y)
    step(x, y)
    before = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(IndexError, match=r"Target 4 is out of bounds\.") as error:
        step(x, torch.tensor([0, 1, 4, 3, -100]))
    assert not getattr(error.value, "__notes__", [])
    assert all(map(torch.equal, before, net.parameters()))


@native
def test_an_error_found_after_state_was_written_says_so():
    total = torch.zeros(3)

    @compile
    def step(x):
        total.add_(x)
        return TABLE[(total.sum() * 1).long().reshape(1)]

    step(torch.zeros(3))
    with pytest.raises(IndexError, match="index 30 is out of bounds") as error:
        step(torch.full((3,), 10.0))
    notes = getattr(error.value, "__notes__", [""])
    assert ("had been written" in notes[0]) == bool(total.any())


# -- indices, sorting ------------------------------------------------------------------------------


@native
def test_reading_and_writing_at_indices():
    x, v = randn(5, 6), torch.tensor([0, 3, -2, 1])
    i = torch.tensor(R.randint(0, 5, (5, 6)))

    def assigned(x, v):
        y = x.clone()
        y[v] = x[:4] * 2
        y[:, v] = 1.0
        y[x > 1] = 3.0
        return y

    same(
        with_gradient(
            lambda x, v, i: (
                x[v, v],
                x[v[:, None], v],
                x[:, v],
                x.T[v, 1:3],
                torch.gather(x, 1, i),
                torch.take_along_dim(x, i, 0),
                torch.take(x, v),
            )
        ),
        x,
        v,
        i,
    )
    same(
        with_gradient(
            lambda x, v, i: (
                torch.scatter(x, 1, i, 2.0),
                torch.scatter_add(x, 1, i, x * 2),
                torch.index_add(x, 1, v.abs(), x[:, :4]),
                x.index_put((v, v), x[0, :4], accumulate=True),
                assigned(x, v),
            )
        ),
        x,
        v,
        i,
    )
    kinds = ("sum", "prod", "mean", "amax", "amin")
    same(
        with_gradient(
            lambda x, i: [
                torch.scatter_reduce(x, 1, i, x * 2, how, include_self=own)
                for how in kinds
                for own in (True, False)
            ]
        ),
        x,
        i,
    )
    whole = torch.tensor(R.randint(-9, 9, (5, 6)))
    same(lambda x, i: (x.scatter_add(1, i, x), x[i[0], i[1]], x.bool()[i[0]]), whole, i)


def test_a_mask_that_another_shape_comes_of_is_captured_again():
    c = compile(lambda x, m: x[m] * 2)
    x = torch.arange(4.0)
    for mask in ([1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 1]):
        m = torch.tensor(mask) > 0
        assert c(x, m).tolist() == (x[m] * 2).tolist()
    assert c.captures == 3


@native
def test_sorting_and_selecting():
    x = randn(4, 5, 3)
    x[1, 2, 1] = float("nan")
    whole = torch.tensor(R.randint(-9, 9, (4, 60)))

    def f(x):
        return (
            *torch.sort(x, 1),
            *torch.sort(x, 0, descending=True, stable=True),
            torch.argsort(x),
            *torch.topk(x, 2),
            *torch.kthvalue(x, 2, 1),
            *torch.max(x, 1),
            *torch.min(x, 0),
            torch.argmax(x),
            torch.argmin(x, 0, keepdim=True),
        )

    same(f, x, exact=True)
    same(f, x.permute(2, 1, 0).double(), exact=True)
    same(f, whole.reshape(4, 20, 3), exact=True)  # with ties: those are Python's
    same(lambda x: (torch.median(x), *torch.median(x, 1)), whole)
    same(with_gradient(lambda x: (torch.sort(x, 0)[0], torch.topk(x, 2)[0])), randn(3, 4))


@native
def test_running_sums_and_their_like():
    x = randn(4, 5, 3)

    def f(x):
        found = [torch.cumsum, torch.cumprod, torch.logcumsumexp]
        found += [lambda x, d: torch.cummax(x, d)[0], lambda x, d: torch.cummin(x, d)[0]]
        return [g(x, d) for g in found for d in (0, 1, -1)]

    same(f, x, exact=True)
    same(f, x.permute(2, 1, 0), exact=True)
    same(with_gradient(f), x.double())
    same(lambda x: (x.cumsum(0), x // 7, x % 7, x.prod()), torch.arange(-3, 9))


# -- linear algebra --------------------------------------------------------------------------------


@native
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_decompositions_and_solvers(dtype):
    L = torch.linalg
    x = randn(2, 4, 4, dtype="float64")
    a = (x @ x.mT + torch.eye(4)).to(getattr(torch, dtype))
    if dtype == "complex128":
        a = a + 0.3j * (x - x.mT)
    b = randn(2, 4, 3, dtype="float64").to(a.dtype)

    def f(a, b):
        return (
            L.cholesky(a),
            L.solve(a, b),
            L.inv(a),
            L.eigh(a)[0],
            L.svdvals(a),
            L.qr(a[:, :, :3])[1].abs(),
            L.solve_triangular(a.triu(), b, upper=True),
            L.solve_triangular(a.tril(), b.mT, upper=False, left=False),
        )

    same(f, a, b)
    if dtype != "complex128":
        same(with_gradient(lambda a, b: (L.det(a), L.slogdet(a)[1], *f(a, b))), a, b)
    same(lambda a: (L.det(a), L.qr(a, "complete"), L.svd(a, False)[1]), a[0])


@native
def test_a_gradient_of_a_singular_determinant():
    x = torch.tensor([[1.0, 2], [2, 4]], dtype=torch.float64)
    same(with_gradient(lambda x: torch.linalg.det(x)), x)


# -- halves, complex -------------------------------------------------------------------------------


@native
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_rounded_where_eager_rounds(dtype):
    x, y, w = ((randn(*s) * 3).to(dtype) for s in ((5, 6), (6,), (6, 4)))

    def f(x, y, w):
        return (
            x + y * 2 - 1.3,
            x / y,
            torch.relu(x),
            torch.maximum(x, y),
            torch.where(x > 0, x, y),
            x.sum(0),
            x.sum(),
            x.mean(1),
            x.amax(1),
            x @ w,
            torch.cat([x, x]),
            x.T.float(),
            x.long(),
            x[torch.tensor([1, 0])],
        )

    same(lambda *given: [t.float() for t in flat(f(*given))], x, y, w, exact=True)
    wide = torch.tensor(R.randn(500) * 10.0 ** R.randint(-9, 6, 500))
    special = torch.tensor([float("inf"), -0.0, 7e4, 6e-8, 65520.0, 65519.9])
    for given in (wide, wide.float(), special, special.double()):
        same(lambda x: x.to(dtype).float(), given, exact=True)
    same(lambda x: F.layer_norm(F.gelu(x), (6,)).float(), x)
    same(with_gradient(lambda x: torch.softmax(x.exp(), 1).float()), x)


@native
def test_complex_numbers():
    z = torch.complex(randn(5, 6), randn(5, 6))

    def f(z):
        return (
            z * 2j + z.conj(),
            z.T.exp() / (z.T - 1),
            z.abs(),
            z.angle(),
            z.real * z.imag,
            z @ z.mH,
            z.sum(0),
            z.mean(),
            z.prod(1),
            torch.where(z.real > 0, z, -z),
            torch.cat([z, z])[2:7].flip(0),
            z.to(torch.complex128),
        )

    same(f, z)
    same(with_gradient(f), z)
    same(lambda x: (torch.polar(x, x), x.to(torch.complex64), torch.complex(x, x)), randn(5))


# -- special functions, and what is left -----------------------------------------------------------


@native
def test_functions_that_only_scipy_has():
    x = randn(3, 4).abs() + 0.5
    same(lambda x: (torch.lgamma(x), torch.special.i0(x), torch.special.ndtri(x / 4)), x)
    same(lambda x: (x % 0.7, torch.nextafter(x, x + 1), torch.fmod(x.T, 0.3)), x, exact=True)


@native
def test_fourier_transforms():
    x, fft = randn(3, 6, 5), torch.fft

    def f(x):
        return (
            fft.fft(x, dim=1),
            fft.rfft(x, 8, norm="ortho"),
            fft.fft2(x),
            fft.ifftn(x + 1j, (4, 3, 7)),
            fft.irfft2(x + 2j, (4, 6), norm="forward"),
            fft.hfft(x, 7),
        )

    same(f, x)
    same(with_gradient(f), x.double())


@native
def test_products_of_integers_and_of_stacks():
    i = torch.tensor(R.randint(-9, 9, (4, 5)))
    same(lambda i: (i @ i.T, i[0] @ i.T, i @ i[0], i[0] @ i[1], i.expand(3, 4, 5) @ i.T), i)
    a = randn(4, 4, dtype="float64")
    a = a @ a.T + torch.eye(4)
    same(lambda a, b: torch.linalg.solve(a, b), a, randn(2, 3, 4, 2, dtype="float64"))
    same(lambda z: (z[0] @ z, z @ z[0].mH), torch.complex(randn(3, 4, 4), randn(3, 4, 4)))
    same(lambda x: x @ x.T, torch.zeros(2, 0))


@native
def test_arrays_without_elements():
    x = torch.zeros(0, 3)
    same(lambda x: (x * 2, x.sum(0), x.sum(1), x @ torch.ones(3, 2), x.exp().mean(0)), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_factors_of_halves_are_differentiated_in_single_precision(dtype):
    def step(x):
        torch.linalg.qr(x).R.float().square().sum().backward()
        return x.grad

    x = torch.tensor([[3.0, 0.5], [0.25, 2.0], [1.0, -1.0]], dtype=dtype)
    compiled = torch.compile(step)
    for _ in range(2):
        found, wanted = compiled(x.clone().requires_grad_()), step(x.clone().requires_grad_())
        assert torch.allclose(found, wanted, rtol=2e-2, atol=2e-2)
    assert compiled.entries


@native
def test_products_are_rounded_alike_for_all_their_uses():
    """A sum may take a product before it is rounded, but not if another sum sees it rounded."""

    def f(x, y, z):
        m = x * y
        return m - m, m + -m, (m - z) - (m - z)

    x, y, z = (torch.from_numpy(R.randn(3000)) for _ in range(3))
    run = compile(f, fullgraph=True)
    for _ in range(2):
        assert not any(made.any() for made in run(x, y, z))

    slope = compile(torch.func.grad(lambda x: torch.atan2(x, x).tile(2).mean()), fullgraph=True)
    for _ in range(2):
        assert not slope(x.float()).any()


@native
def test_constants_full_of_one_number_are_that_number():
    def slope(x):
        loss = (x * torch.full((300, 400), 2.5) + torch.ones(300, 1)).sum()
        return torch.autograd.grad(loss, x)[0]

    x = torch.from_numpy(R.randn(300, 400)).requires_grad_()
    c = compile(slope, fullgraph=True)
    assert torch.equal(c(x), torch.full((300, 400), 2.5, dtype=torch.float64))
    assert c(x).stride() == (400, 1)
    (entry,) = c.entries
    assert max(v.data.nbytes for v in entry.planner.program.constants) <= 8


# -- every dtype -----------------------------------------------------------------------------------

ONE = """abs neg sign sgn square positive floor ceil trunc bitwise_not logical_not exp sqrt isfinite
    isnan signbit reciprocal relu sum prod amax amin argmax argmin any all cumsum cumprod sort real
    imag conj angle"""
TWO = """add sub mul true_divide floor_divide remainder fmod pow eq ne lt le maximum minimum fmax
    bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_xor gcd atan2 hypot copysign
    xlogy"""
NUMBERS = (2, 1, True, 3, -3, 200, 2.5)


def functions() -> dict[str, Callable]:
    """Elementwise functions, reductions and casts of two tensors, by name."""
    made: dict[str, Callable] = {}

    def on(f: Callable, *more: Any) -> Callable:
        return lambda x, y: f(x, *more)

    for name in ONE.split():
        made[name] = on(getattr(torch, name))
    for name in TWO.split():
        made[f"{name} of two"] = getattr(torch, name)
        made |= {f"{name} with {n}": on(getattr(torch, name), n) for n in NUMBERS}
    for n in NUMBERS:
        made[f"{n} to the power"] = on(lambda x, n: n**x, n)
        made[f"{n} minus"] = on(lambda x, n: n - x, n)
    for d in (torch.bool, torch.uint8, torch.int16):
        made[f"as {d}"] = on(lambda x, d: x.to(d), d)
    made["where"] = lambda x, y: torch.where(x.bool(), x, y)
    return made


def extremes(dtype: Any) -> list:
    """Numbers of a dtype among which are those that go wrong."""
    if dtype.is_complex:
        inf, nan = float("inf"), float("nan")
        parts = (0.0, -0.0, 1.0, -2.5, inf, -inf, nan)
        return [complex(a, b) for a in parts for b in parts]
    if dtype is torch.bool:
        return [True, False, False, True, True]
    lowest, highest = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    return [lowest, highest, 0, 1, 2, highest // 2 + (lowest == 0), lowest + 1, 7]


DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "complex64", "complex128"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:Casting complex:UserWarning")
@pytest.mark.parametrize("name", DTYPES)
def test_extreme_numbers_of_every_dtype(name):
    x = torch.tensor(extremes(getattr(torch, name)), dtype=getattr(torch, name))
    y = x.flip(0)
    of, expected = functions(), {}
    for what, f in of.items():
        try:
            expected[what] = f(x, y)
        except (RuntimeError, TypeError):  # not for this dtype
            continue
    assert len(expected) > 60
    kept = list(expected)
    c = compile(lambda x, y: [flat(of[what](x, y)) for what in kept])
    c(x, y)
    vars(c.entries[0]).pop("run", None)  # it is not timed against eager code
    for (what, made), found in zip(expected.items(), c(x, y), strict=True):
        for a, b in zip(flat(made), found, strict=True):
            assert a.dtype is b.dtype, what
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6, equal_nan=True, msg=what)
    assert c.eager is None
