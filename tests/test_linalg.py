"""Linear algebra beyond single calls: what factorizations multiply to, and derivatives of what does
not depend on signs, phases and the triangle that is not read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import linalg

from . import differences

DTYPES = ("float64", "complex128")


def draw(dtype: str, *shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers."""
    random = np.random.RandomState(seed)
    real = random.standard_normal(shape)
    return real + 1j * random.standard_normal(shape) if dtype == "complex128" else real


def hermitian(A: Any) -> Any:
    """A Hermitian matrix made of a square one."""
    return A + A.mH


def positive(A: Any) -> Any:
    """A positive-definite matrix made of a square one."""
    return A @ A.mH + 2 * chainrule.eye(A.shape[-1], dtype=A.dtype)


def close(x: Any, y: Any, tolerance: float = 1e-10) -> bool:
    """Whether two tensors have about the same values."""
    return np.allclose(x.detach().numpy(), y.detach().numpy(), rtol=tolerance, atol=tolerance)


# -- factors multiply to the matrix ----------------------------------------------------------------


def with_diagonal(U: Any, S: Any, Vh: Any) -> Any:
    """U diag(S) Vh."""
    return (U * S.unsqueeze(-2)) @ Vh


PRODUCTS: dict[str, Callable[[Any], tuple]] = {
    "cholesky": lambda A: (positive(A), (L := linalg.cholesky(positive(A))) @ L.mH),
    "cholesky, upper": lambda A: (
        positive(A),
        (U := linalg.cholesky(positive(A), upper=True)).mH @ U,
    ),
    "eigh": lambda A: (hermitian(A), (e := linalg.eigh(hermitian(A))) and of_eigenvectors(*e)),
    "eigh, upper": lambda A: (hermitian(A), of_eigenvectors(*linalg.eigh(hermitian(A), "U"))),
    "eig": lambda A: (A + 0j, (e := linalg.eig(A))[1] @ (e[0].unsqueeze(-1) * linalg.inv(e[1]))),
    "svd": lambda A: (A[..., :2], with_diagonal(*linalg.svd(A[..., :2], full_matrices=False))),
    "svd, wide": lambda A: (A[..., :2, :], with_diagonal(*linalg.svd(A[..., :2, :], False))),
    "qr": lambda A: (A[..., :2], (f := linalg.qr(A[..., :2])).Q @ f.R),
    "qr, wide": lambda A: (A[..., :2, :], (f := linalg.qr(A[..., :2, :])).Q @ f.R),
    "lu": lambda A: (A, (f := linalg.lu(A)).P @ f.L @ f.U),
    "lu, tall": lambda A: (A[..., :2], (f := linalg.lu(A[..., :2])).P @ f.L @ f.U),
    "lu_factor": lambda A: (A, (f := chainrule.lu_unpack(*linalg.lu_factor(A))).P @ f.L @ f.U),
    "ldl": lambda A: (
        A,
        positive(A)
        @ linalg.ldl_solve(*linalg.ldl_factor(positive(A), hermitian=True), A, hermitian=True),
    ),
}


def of_eigenvectors(L: Any, V: Any) -> Any:
    """V diag(L) V^H."""
    return (V * L.unsqueeze(-2)) @ V.mH


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (40, 3, 3), (2, 2, 3, 3)])
@pytest.mark.parametrize("name", PRODUCTS)
def test_factors_multiply_to_the_matrix(name: str, shape: tuple, dtype: str):
    A, product = PRODUCTS[name](chainrule.tensor(draw(dtype, *shape)))
    assert close(A, product)


@pytest.mark.parametrize("single", ["float32", "complex64"])
def test_single_precision_stays_single(single: str):
    A = positive(
        chainrule.tensor(draw("complex128" if single == "complex64" else "float64", 5, 3, 3))
    )
    A = A.to(getattr(chainrule, single))
    for result in (
        linalg.inv(A),
        linalg.cholesky(A),
        linalg.qr(A).Q,
        linalg.svd(A).U,
        linalg.lu(A).L,
        linalg.eigh(A).eigenvectors,
        linalg.solve(A, A),
        linalg.pinv(A),
        chainrule.matrix_exp(A),
        chainrule.det(A),
    ):
        assert result.dtype is A.dtype
    assert linalg.eig(A).eigenvalues.dtype is chainrule.complex64
    assert linalg.svdvals(A).dtype is linalg.eigvalsh(A).dtype is chainrule.float32


# -- derivatives of what is unique -----------------------------------------------------------------


def projector(V: Any) -> Any:
    """What the first vector of a basis spans."""
    return V[..., :1] @ V[..., :1].mH


def shifted(A: Any) -> Any:
    """A matrix with eigenvalues far from each other."""
    return A + chainrule.tensor(
        np.diag(np.arange(A.shape[-1]) * 4.0).astype(A.detach().numpy().dtype)
    )


UNIQUE: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda A: linalg.cholesky(positive(A)),
    "cholesky, upper": lambda A: linalg.cholesky(positive(A), upper=True),
    "torch.cholesky": lambda A: chainrule.cholesky(positive(A)),
    "cholesky_ex": lambda A: linalg.cholesky_ex(positive(A)).L,
    "cholesky_inverse": lambda A: chainrule.cholesky_inverse(linalg.cholesky(positive(A))),
    "cholesky_inverse, upper": lambda A: chainrule.cholesky_inverse(
        linalg.cholesky(positive(A), upper=True), upper=True
    ),
    "cholesky_solve": lambda A: chainrule.cholesky_solve(A, linalg.cholesky(positive(A))),
    "eigvalsh": lambda A: linalg.eigvalsh(hermitian(shifted(A))),
    "eigh": lambda A: projector(linalg.eigh(hermitian(shifted(A)))[1]),
    "eigh, both": lambda A: of_eigenvectors(*map_first(chainrule.exp, linalg.eigh(hermitian(A)))),
    "eig": lambda A: exponential_by_eigenvectors(shifted(A)),
    "svd": lambda A: projector(linalg.svd(shifted(A), full_matrices=False)[0]),
    "svd, tall": lambda A: projector(linalg.svd(shifted(A)[..., :2])[0]),
    "svd, wide": lambda A: projector(linalg.svd(shifted(A)[..., :2, :])[2].mH),
    "svd, all": lambda A: sine_of_singular_values(A),
    "svd, values": lambda A: linalg.svd(A)[1],
    "lu": lambda A: linalg.lu(shifted(A))[1:],
    "lu_factor": lambda A: linalg.lu_factor(shifted(A)).LU,
    "pinv, hermitian": lambda A: linalg.pinv(hermitian(shifted(A)), hermitian=True),
    "norms of singular values": lambda A: (linalg.matrix_norm(A, "nuc"), linalg.cond(shifted(A))),
}


def map_first(f: Callable, pair: tuple) -> tuple:
    """The pair with f of its first."""
    return f(pair[0]), pair[1]


def exponential_by_eigenvectors(A: Any) -> Any:
    """exp(A / 8), through eigenvalues."""
    L, V = linalg.eig(A / 8)
    return (V * L.exp().unsqueeze(-2)) @ linalg.inv(V)


def sine_of_singular_values(A: Any) -> Any:
    """U diag(sin(S)) V^H."""
    U, S, Vh = linalg.svd(A, full_matrices=False)
    return with_diagonal(U, S.sin(), Vh)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNIQUE)
def test_derivatives_of_what_is_unique(name: str, dtype: str):
    assert differences.check(UNIQUE[name], [draw(dtype, 2, 3, 3)], 2e-5) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvalues_alone_do_not_mind_being_equal(dtype: str):
    for f in (
        linalg.eigvalsh,
        linalg.svdvals,
        linalg.eigvals,
        lambda A: linalg.eigh(A)[0],
        lambda A: linalg.svd(A)[1],
        lambda A: chainrule.svd(A).S,
    ):
        A = chainrule.eye(3, dtype=getattr(chainrule, dtype)).requires_grad_()
        f(A).real.sum().backward()
        assert close(A.grad, chainrule.eye(3, dtype=A.dtype))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_determinant_of_a_singular_matrix_has_a_gradient(rank: int):
    A = np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 4]])[:, :rank]
    A = A @ A.T
    assert differences.check(chainrule.det, [A]) is None
    minors = np.array([[minor(A, i, j) for j in range(3)] for i in range(3)])
    x = chainrule.tensor(A, requires_grad=True)
    chainrule.det(x).backward()
    assert np.allclose(x.grad.numpy(), minors, atol=1e-9)


def determinant_written_out(x):
    """The determinant of a 3 x 3 matrix, written out."""
    total = 0
    for i, j, k, sign in (
        (0, 1, 2, 1),
        (1, 2, 0, 1),
        (2, 0, 1, 1),
        (2, 1, 0, -1),
        (0, 2, 1, -1),
        (1, 0, 2, -1),
    ):
        total = total + sign * x[..., 0, i] * x[..., 1, j] * x[..., 2, k]
    return total


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_second_derivatives_of_a_determinant(rank: int, dtype: str):
    f = chainrule.func
    A = draw(dtype, 3, 3)[:, :rank] @ draw(dtype, rank, 3)
    x, v = (
        chainrule.tensor(np.stack([A, draw(dtype, 3, 3)])),
        chainrule.tensor(draw(dtype, 2, 3, 3)),
    )

    def of(det):
        def loss(x):
            return (det(x) * det(x) + det(x)).real.sum()

        yield f.grad(loss)(x)
        yield f.jvp(f.grad(loss), (x,), (v,))[1]
        yield f.grad(lambda x: f.jvp(loss, (x,), (v,))[1])(x)
        yield f.grad(lambda x: (f.grad(loss)(x) * v).real.sum())(x)
        yield f.vmap(lambda x, v: f.jvp(f.grad(loss), (x,), (v,))[1])(x, v)
        if dtype == "float64":
            yield f.hessian(loss)(x)
        if rank == 3:
            yield f.grad(lambda x: f.jvp(f.grad(loss), (x,), (v,))[1].abs().sum())(x)

    for found, expected in zip(of(linalg.det), of(determinant_written_out), strict=True):
        assert close(found, expected, 1e-8)


def test_a_singular_matrix_among_others():
    """Its logarithm's gradient is not finite, as in torch; the others have theirs."""
    regular = np.array([[1.0, 2], [3, 4]])
    for singular, expected in (([[1.0, 2], [2, 4]], "inf"), ([[1.0, 0], [0, 0]], "nan")):
        x = chainrule.tensor(np.stack([regular, singular]), requires_grad=True)
        linalg.slogdet(x)[1].sum().backward()
        assert np.allclose(x.grad[0].numpy(), np.linalg.inv(regular).T)
        assert expected in str(x.grad[1]) and not chainrule.isfinite(x.grad[1]).any()
        slope = chainrule.func.jvp(lambda a: linalg.slogdet(a)[1], (x.detach(),), (x.detach(),))[1]
        assert chainrule.isfinite(slope).tolist() == [True, False]
        (g,) = chainrule.autograd.grad(linalg.slogdet(x)[1].sum(), x, create_graph=True)
        with pytest.raises(linalg.LinAlgError):
            g[0].sum().backward()


def minor(A: np.ndarray, i: int, j: int) -> float:
    """A cofactor."""
    rest = np.delete(np.delete(A, i, 0), j, 1)
    return float((-1) ** (i + j) * np.linalg.det(rest))


def test_losses_that_depend_on_a_phase_are_refused():
    A = draw("complex128", 3, 3)
    for f in (
        lambda x: linalg.eigh(hermitian(x))[1],
        lambda x: linalg.eig(x)[1],
        lambda x: linalg.svd(x)[0],
    ):
        x = chainrule.tensor(A, requires_grad=True)
        with pytest.raises(RuntimeError, match="ill-defined"):
            f(x).real.sum().backward()


# -- failures --------------------------------------------------------------------------------------


def test_failures_have_a_class_of_their_own():
    assert issubclass(linalg.LinAlgError, RuntimeError)
    zeros = chainrule.zeros(2, 2)
    for f in (
        linalg.inv,
        chainrule.inverse,
        linalg.cholesky,
        chainrule.cholesky,
        lambda A: linalg.solve(A, A),
        chainrule.cholesky_inverse,
    ):
        with pytest.raises(linalg.LinAlgError):
            f(zeros)


def test_verdicts_name_the_failed_matrices():
    A = chainrule.stack([chainrule.eye(3), chainrule.zeros(3, 3), -chainrule.eye(3)])
    assert linalg.inv_ex(A).info.tolist() == [0, 1, 0]
    assert linalg.cholesky_ex(A).info.tolist() == [0, 1, 1]
    assert linalg.lu_factor_ex(A).info.tolist() == [0, 1, 0]
    assert linalg.solve_ex(A, A).info.tolist() == [0, 1, 0]
    assert linalg.ldl_factor_ex(A).info.tolist() == [0, 1, 0]


def test_zeros_on_the_diagonal_of_a_triangle_give_infinities():
    for A in (chainrule.zeros(2, 2), chainrule.zeros(4, 2, 2)):
        X = linalg.solve_triangular(A, chainrule.ones(2, 1), upper=False)
        assert not chainrule.isfinite(X).any()


def test_nothing_flows_through_factors_without_derivative():
    A = positive(chainrule.tensor(draw("float64", 3, 3))).detach().requires_grad_()
    for f in (
        lambda: linalg.ldl_factor(A).LD,
        lambda: linalg.ldl_factor_ex(A).LD,
        lambda: chainrule.geqrf(A).a,
    ):
        with pytest.raises((RuntimeError, NotImplementedError), match="not implemented"):
            f().sum().backward()


def test_results_have_names():
    made = linalg.eigh(chainrule.eye(2))
    assert (
        repr(made) == "torch.return_types.linalg_eigh(\neigenvalues=tensor([1., "
        "1.]),\neigenvectors=tensor([[1., 0.],\n        "
        "[0., 1.]]))"
    )
    values, vectors = made
    assert made.eigenvalues is values
    assert made[1] is made.eigenvectors is vectors


# -- products --------------------------------------------------------------------------------------

NUMPY_EQUATIONS = (
    "ij,jk,kl->il",
    "ijk,jil->kl",
    "abcd,bd,ca->a",
    "ii,jj->",
    "aab,b->a",
    "i,j,k->kji",
    "...i,i",
)


@pytest.mark.parametrize("equation", NUMPY_EQUATIONS)
def test_einsum_is_numpys(equation: str):
    sizes = dict(zip("abcdijkl", (2, 3, 4, 2, 3, 3, 2, 4), strict=True))
    terms = equation.partition("->")[0].replace("...", "ab").split(",")
    arrays = [draw("float64", *[sizes[k] for k in t], seed=i) for i, t in enumerate(terms)]
    got = chainrule.einsum(equation, *[chainrule.tensor(a) for a in arrays])
    assert np.allclose(got.numpy(), np.einsum(equation, *arrays))


def test_chains_multiply_the_cheapest_pair_first():
    """A product of 40 thin matrices whose order decides between a moment and minutes."""
    shapes = [(400, 2), (2, 400)] * 3 + [(400, 1)]
    matrices = [chainrule.tensor(draw("float64", *s, seed=i)) for i, s in enumerate(shapes)]
    expected = functools.reduce(lambda x, y: y @ x, reversed([m.numpy() for m in matrices]))
    labels = "abcdefgh"
    equation = ",".join(labels[i : i + 2] for i in range(7)) + "->ah"
    assert np.allclose(chainrule.einsum(equation, *matrices).numpy(), expected)
    assert np.allclose(linalg.multi_dot(matrices).numpy(), expected)


@pytest.mark.parametrize(
    "shapes", [((5, 4), (3, 4), (3,)), ((2, 5, 4), (3, 4), (3,)), ((5, 4), (3, 4), None)]
)
def test_linear_is_its_definition(shapes: tuple):
    x, w, b = (
        s and chainrule.tensor(draw("float64", *s, seed=i), requires_grad=True)
        for i, s in enumerate(shapes)
    )
    by_layer = chainrule.nn.functional.linear(x, w, b)
    by_hand = x @ w.mT if b is None else x @ w.mT + b
    assert close(by_layer, by_hand)
    weight = chainrule.tensor(draw("float64", *by_hand.shape, seed=9))
    given = [t for t in (x, w, b) if t is not None]
    for got, expected in zip(
        chainrule.autograd.grad(by_layer, given, weight),
        chainrule.autograd.grad(by_hand, given, weight),
        strict=True,
    ):
        assert close(got, expected)


def test_a_weight_overwritten_before_backward_is_noticed():
    x, w = (chainrule.ones(2, 2, requires_grad=True) for _ in range(2))
    out = chainrule.nn.functional.linear(x, w)
    with chainrule.no_grad():
        w.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_reflections_of_negative_zeros_and_infinities():
    """-0 is reflected as 0 is; what is not finite stays above the diagonal."""
    A = chainrule.tensor([[-0.0, 1.0], [2.0, 3.0], [1.0, 5.0]])
    compiled = chainrule.compile(lambda A: chainrule.linalg.qr(A).R)
    for qr in (
        lambda A: chainrule.linalg.qr(A, mode="r").R,
        lambda A: chainrule.linalg.qr(A).R,
        compiled,
    ):
        assert qr(A)[0, 0] < 0
        R = qr(chainrule.tensor([[1.0, math.inf], [math.inf, 2.0], [3.0, 4.0]]))
        assert R[0, 0] == -math.inf and R[1, 0] == 0


def test_the_trace_of_an_infinite_slope():
    A = chainrule.ones(2, 2, requires_grad=True)
    (A.trace() * math.inf).backward()
    assert A.grad.tolist() == [[math.inf, 0], [0, math.inf]]


def test_places_of_what_is_not_a_number():
    """Found as torch's halving finds them, which takes NaN to be larger than nothing."""
    nan = math.nan
    for row, wanted in (([1.0, 2.0], [2, 0]), ([1.0, nan], [2, 2]), ([nan, nan], [2, 2])):
        found = chainrule.searchsorted(chainrule.tensor(row), chainrule.tensor([nan, 0.5]))
        assert found.tolist() == wanted
