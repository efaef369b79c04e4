"""Inverses, determinants and the solution of linear systems.

The functions that rules need too are primitives: array code with rules of its own, so that every
rule can be differentiated again. In the engine's convention rules are plain transposes: where
formulas for complex matrices have a conjugate transpose of a holomorphic part, here stands the
transpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import _umath_linalg as gufuncs

from .. import return_types
from ..arrays.duck import somewhere
from ..errors import LinAlgError
from ..tape import state
from . import define, lapack
from .define import function, op, primitive
from .matrices import (
    check_equation,
    check_matrix,
    check_sides,
    check_square,
    columns,
    eps_of,
    first_failure,
    identity,
    lower,
    mH,
    mT,
    rows,
    upper,
)
from .products import type_name

INPUT = {"A": "input"}

# -- inverse ---------------------------------------------------------------------------------------


@primitive(define=op, namespace="linalg", node="LinalgInvExBackward0", laid=columns)
def inv(A: Any, /) -> Any:
    """Inverses of square matrices (..., n, n); raises LinAlgError for a singular one."""
    check_square("linalg.inv", A)
    return lapack.strict(gufuncs.inv, lambda A: lapack.singular("linalg.inv", A), A)


def _inverse_rule(g, out):
    return -(mT(out) @ g @ mT(out))


inv.vjp(_inverse_rule)


@op(namespace="linalg", result=return_types.linalg_inv_ex, outputs=1)
def inv_ex(A: Any, /, check_errors: bool = False) -> Any:
    """Inverses of square matrices, and for each 0 or the number of the pivot that is zero."""
    check_square("linalg.inv", A)
    out, info = lapack.inverse_with_info(A)
    if check_errors and somewhere(info):
        raise lapack.singular("linalg.inv_ex", A)
    return columns(out), info


inv_ex.vjp(_inverse_rule)
inv_ex.op.node = "LinalgInvExBackward0"


# -- determinants ----------------------------------------------------------------------------------


@op(name="det", namespace="linalg", node="LinalgDetBackward0")
def determinant(A: Any, /) -> Any:
    """Determinants of square matrices (..., n, n)."""
    check_square("linalg.det", A)
    return rows(gufuncs.det(A))


@determinant.vjp
def _(g, A):
    return g[..., None, None] * cofactors(A)


@primitive
def cofactors(x: Any, /) -> Any:
    """Matrices of cofactors: det(x) inverse(x)^T where there is an inverse, from singular values
    elsewhere.
    """
    d = gufuncs.det(x)
    if lapack.is_traced(x):
        fast = d[..., None, None] * mT(gufuncs.inv(x))
        return state.capture.unless(cofactors, d == 0, fast, (x,))
    if np.all(d != 0):
        return d[..., None, None] * mT(gufuncs.inv(x))
    U, S, Vh, _ = lapack.svd(x, True)
    n = x.shape[-1]
    others = np.prod(np.where(np.eye(n, dtype=bool), 1, S[..., None, :]), axis=-1)
    sign = gufuncs.det(U) * gufuncs.det(Vh)
    return (sign[..., None, None] * (U.conj() * others[..., None, :]) @ Vh.conj()).astype(x.dtype)


@cofactors.vjp
def _(g, x):
    return cofactor_slopes(x, g)  # cofactors are a gradient, and a Hessian is symmetric


@primitive
def cofactor_slopes(x: Any, y: Any, /) -> Any:
    """The derivative of the matrices of cofactors at `x` in the direction `y`, of whatever rank `x`
    is: with x = U S Vh and F = U^H y V it is that at S in the direction F, which needs the products
    of all singular values but two, times the cofactors of U and Vh.
    """
    if not x.size:
        return y
    U, S, Vh, _ = lapack.svd(x, True)
    F, zero = mH(U) @ y @ mH(Vh), S == 0
    known = np.where(zero, 1, S)
    product = np.multiply.reduce(known, axis=-1)[..., None, None]
    left_out = zero[..., None, :].astype(int) + zero[..., :, None]
    zeros = np.add.reduce(zero, axis=-1)[..., None, None]
    pairs = (zeros == left_out) & ~np.eye(x.shape[-1], dtype=bool)
    but_two = np.where(pairs, product / (known[..., None, :] * known[..., :, None]), 0)
    on_diagonal = but_two @ np.diagonal(F, axis1=-2, axis2=-1)[..., None]
    slopes = on_diagonal * np.eye(x.shape[-1]) - but_two * mT(F)
    sign = (gufuncs.det(U) * gufuncs.det(Vh))[..., None, None]
    return (sign * (U.conj() @ slopes @ Vh.conj())).astype(x.dtype)


@cofactor_slopes.vjp
def _(g, x, y):
    P, C, slopes = mT(inv(x)), cofactors(x), cofactor_slopes(x, g)
    turned = P @ mT(g) @ P
    first = np.add.reduce(y * slopes, axis=(-2, -1), keepdims=True) * P - P @ mT(y) @ slopes
    return first + turned @ mT(y) @ C - np.add.reduce(y * C, axis=(-2, -1), keepdims=True) * turned


@cofactor_slopes.vjp
def _(g, x):
    return cofactor_slopes(x, g)


@op(
    namespace="linalg",
    name="slogdet",
    outputs=2,
    partial=True,
    rows=True,
    node="LinalgSlogdetBackward0",
    result=return_types.linalg_slogdet,
)
def sign_and_log_determinant(A: Any, /) -> Any:
    """Sign (or phase) and logarithm of the absolute value of the determinants of square
    matrices.
    """
    check_square("linalg.slogdet", A)
    return gufuncs.slogdet(A)


@sign_and_log_determinant.vjp
def _(g, out, A):
    g_sign, g_log = g
    w = 0 if g_log is None else g_log.real
    if A.dtype.kind == "c" and g_sign is not None:
        w = w + (g_sign * out[0]).imag * 1j
    elif g_log is None:
        return None
    return w[..., None, None] * mT(inverse_if_any(A))


@primitive
def inverse_if_any(x: Any, /) -> Any:
    """Inverses of square matrices; infinity and nan for a singular one: its cofactors over zero."""
    out = gufuncs.inv(x)
    if lapack.is_traced(x):
        return state.capture.unless(inverse_if_any, np.isnan(out), out, (x,))
    singular = np.logical_and.reduce(np.isnan(out), axis=(-2, -1), keepdims=True)
    return np.where(singular, mT(cofactors(x)) / x.dtype.type(0), out) if singular.any() else out


@inverse_if_any.vjp
def _(g, x):
    P = mT(inv(x))
    return -(P @ g @ P)


# -- systems ---------------------------------------------------------------------------------------


def _is_vector(A: Any, B: Any) -> bool:
    """Whether B is a vector, or a stack of vectors, for the matrices A."""
    return B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])


def _solution(A: Any, B: Any, left: bool, run: Any) -> Any:
    if _is_vector(A, B):
        B = B[..., None] if left else B[..., None, :]
        return run(A, B)[..., 0] if left else mT(run(mT(A), mT(B)))[..., 0, :]
    return run(A, B) if left else mT(run(mT(A), mT(B)))


def _check_system(A: Any, B: Any, left: bool) -> None:
    check_matrix("linalg.solve", A)
    if not B.ndim:
        raise RuntimeError("linalg.solve: The input tensor B must have at least 2 dimensions.")
    B = (B[..., None] if left else B[..., None, :]) if _is_vector(A, B) else B
    check_equation("linalg.solve", A, B, left)


def _sided(X: Any, left: bool) -> Any:
    """A solution as it lies in memory: LAPACK computes that of X A = B transposed."""
    return columns(X) if left else rows(X)


@primitive(
    define=op,
    name="solve",
    namespace="linalg",
    node="LinalgSolveExBackward0",
    alike=True,
    laid=_sided,
)
def solve(A: Any, B: Any, /, left: bool = True) -> Any:
    """X of A X = B (X A = B with `left=False`) for square matrices A (..., n, n) and B (..., n, k)
    or (..., n).

    Raises LinAlgError for a singular matrix.
    """
    _check_system(A, B, left)
    return _solution(
        A,
        B,
        left,
        lambda a, b: lapack.strict(
            gufuncs.solve, lambda a, _: lapack.unsolvable("linalg.solve", a), a, b
        ),
    )


def _solve_rule(g, A, out, left, needs):
    gB = solve(mT(A), g, left)
    if not needs[0]:
        return None, gB
    if out.ndim == A.ndim - 1:
        return -(gB[..., None] * out[..., None, :]), gB
    return -(gB @ mT(out) if left else mT(out) @ gB), gB


solve.vjp_all(_solve_rule)


@op(
    namespace="linalg",
    node="LinalgSolveExBackward0",
    result=return_types.linalg_solve_ex,
    alike=True,
)
def solve_ex(A: Any, B: Any, /, left: bool = True, check_errors: bool = False) -> Any:
    """X of A X = B for square matrices A, and for each 0 or the number of the pivot that
    is zero.
    """
    _check_system(A, B, left)
    info = lapack.lu(A)[2]
    if check_errors and somewhere(info):
        raise lapack.unsolvable("linalg.solve_ex", A)
    return _sided(_solution(A, B, left, gufuncs.solve), left), info


solve_ex.vjp_all(_solve_rule)


@primitive(
    define=op,
    name="solve_triangular",
    namespace="linalg",
    node="LinalgSolveTriangularBackward0",
    public=INPUT,
    laid=lambda X, *_: columns(X),
)
def solve_triangular(
    A: Any, B: Any, /, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """X of A X = B (X A = B with `left=False`) for triangular A (..., n, n) and B (..., n, k).

    The other triangle is not read, and with `unitriangular` the diagonal counts as ones.
    """
    if A.dtype.kind not in "fc":
        raise NotImplementedError(f"\"triangular_solve_cpu\" not implemented for '{type_name(A)}'")
    check_square("linalg.solve_triangular", A)
    check_matrix("linalg.solve_triangular", B, "B")
    if A.dtype is not B.dtype:
        B = B.astype(A.dtype)
    check_equation("linalg.solve_triangular", A, B, left)
    if left:
        return lapack.triangular(A, B, not upper, unitriangular)
    return mT(lapack.triangular(mT(A), mT(B), upper, unitriangular))


@solve_triangular.vjp_all
def _(g, A, out, upper, left, unitriangular, needs):
    gB = solve_triangular(mT(A), g, not upper, left, unitriangular)
    if not needs[0]:
        return None, gB
    gA = -(gB @ mT(out) if left else mT(out) @ gB)
    return _triangle(gA, upper, unitriangular), gB


def _triangle(x: Any, is_upper: bool, unit: bool) -> Any:
    return upper(x, int(unit)) if is_upper else lower(x, -int(unit))


@op(
    outputs=2,
    result=return_types.triangular_solve,
    node="TriangularSolveBackward0",
    public={"b": "input"},
)
def triangular_solve(
    b: Any, A: Any, /, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """X of A X = b (A^T X = b with `transpose`) for triangular A, and a copy of A."""
    for name, x in (("b", b), ("A", A)):
        if x.ndim < 2:
            raise RuntimeError(
                f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it "
                f"has {x.ndim} dimensions instead"
            )
    if A.dtype.kind not in "fc":
        raise NotImplementedError(f"\"triangular_solve_cpu\" not implemented for '{type_name(A)}'")
    if A.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {type_name(b)} and A of "
            f"type {type_name(A)} instead."
        )
    check_sides("", A)
    if A.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for triangular_solve: each A matrix is {A.shape[-1]} by "
            f"{A.shape[-1]} but each b matrix is {b.shape[-2]} by {b.shape[-1]}"
        )
    lead = np.broadcast_shapes(A.shape[:-2], b.shape[:-2])
    X = lapack.triangular(mT(A) if transpose else A, b, upper == transpose, unitriangular)
    copied = mT(mT(np.broadcast_to(A, (*lead, *A.shape[-2:]))).copy())
    return columns(X), copied


@triangular_solve.vjp_all
def _(g, A, out, upper, transpose, unitriangular):
    (gX, g_copy), X = g, out[0]
    gb = solve_triangular(A if transpose else mT(A), gX, upper == transpose, True, unitriangular)
    gA = -(X @ mT(gb) if transpose else gb @ mT(X))
    return gb, _triangle(gA, upper, unitriangular) + g_copy


# -- pseudoinverse ---------------------------------------------------------------------------------


def counted(size: Any, atol: Any, rtol: Any, A: Any) -> Any:
    """Which singular values of A (`size`: without signs) exceed max(atol, rtol * the largest)."""
    atol, rtol = (np.asarray(t)[..., None] if np.ndim(t) else t for t in (atol, rtol))
    if rtol is None:
        usual = max(A.shape[-2:]) * eps_of(A)
        rtol = usual if atol is None else np.where(np.asarray(atol) > 0, 0.0, usual)
    largest = size.max(-1, keepdims=True, initial=0)
    return size > np.maximum(0.0 if atol is None else atol, rtol * largest)


@primitive(
    define=op,
    name="linalg_pinv",
    namespace="primitive",
    node="LinalgPinvBackward0",
    laid=lambda P, *_: rows(P),
)
def pseudoinverse(A: Any, /, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """Moore-Penrose inverses of matrices (..., m, n)."""
    if A.ndim < 2 or A.dtype.kind not in "fc":
        raise RuntimeError(
            f"linalg.pinv({type_name(A)}{{{list(A.shape)}}}): expected a tensor with 2 or more "
            "dimensions of float, double, cfloat or cdouble types"
        )
    if hermitian:
        check_sides("linalg.eigh", A)
        S, U = gufuncs.eigh_lo(A)
        Vh = mH(U)
    else:
        U, S, Vh, _ = lapack.svd(A, False)
    keep = counted(abs(S), atol, rtol, A)
    inverted = np.where(keep, 1 / np.where(keep, S, 1), 0).astype(S.dtype)
    return mH(Vh) @ (inverted[..., None] * mH(U))


def _pseudoinverse_cotangent(g: Any, A: Any, P: Any) -> Any:
    """The cotangent of A, from that of its pseudoinverse P (where the rank does not change)."""
    gT, PH = mT(g), mH(P)
    other = (gT - A @ (P @ gT)) @ (P @ PH) + (PH @ P) @ (gT - (gT @ P) @ A)
    return other.conj() - mT(P) @ g @ mT(P)


@pseudoinverse.vjp
def _(g, A, out):
    return _pseudoinverse_cotangent(g, A, out)


@function(method=False, namespace="linalg")
def pinv(
    input: Any,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Any:
    """Moore-Penrose inverses of matrices (..., m, n): singular values up to max(atol, rtol *
    largest) count as zero.
    """
    return pseudoinverse.op.entry(input, atol, rcond if rtol is None else rtol, hermitian, out=out)


# -- least squares ---------------------------------------------------------------------------------


@op(
    namespace="linalg",
    name="lstsq",
    outputs=2,
    partial=True,
    node="LinalgLstsqBackward0",
    result=return_types.linalg_lstsq,
    public={"A": "input", "B": "b"},
)
def least_squares(A: Any, B: Any, /, rcond: Any = None, driver: Any = None) -> Any:
    """X that minimizes |A X - B| for A (..., m, n) and B (..., m, k) or (..., m); also residuals,
    rank, singular values.

    `driver` names LAPACK's method: "gelsy" (the default), "gels" (full rank), "gelsd" or "gelss"
    (by singular values).
    """
    driver = driver or "gelsy"
    vector = _check_least_squares(A, B, driver)
    m, n = A.shape[-2:]
    rcond = max(m, n) * eps_of(A) if rcond is None else float(rcond)
    X, rest, rank, S = lapack.least_squares(A, B[..., None] if vector else B, rcond, driver)
    if vector:
        X, rest = X[..., 0], rest[..., 0]
    if driver == "gelsy" or m <= n or not (rank == n).all():
        rest = np.zeros(0, S.dtype)
    if driver in ("gels", "gelsy"):
        S = np.zeros(0, S.dtype)
    return X, rest, np.zeros(0, np.int64) if driver == "gels" else rank, S


def _check_least_squares(A: Any, B: Any, driver: str) -> bool:
    if A.ndim < 2:
        raise RuntimeError("torch.linalg.lstsq: input must have at least 2 dimensions.")
    if not B.ndim:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype.kind not in "fc":
        raise RuntimeError("This function doesn't handle types other than float and double")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            "torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's "
            f"dtype {type_name(A)} and other's dtype {type_name(B)}"
        )
    if driver not in lapack.DRIVERS:
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vector = _is_vector_of(A, B)
    if A.shape[-2] != B.shape[-1 if vector else -2]:
        raise RuntimeError(
            f"torch.linalg.lstsq: input.size(-2) should match other.size({-1 if vector else -2})"
        )
    return vector


def _is_vector_of(A: Any, B: Any) -> bool:
    return B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])


@least_squares.vjp_all
def _(g, A, B, out):
    gX, g_rest = g
    X = out[0]
    vector = X.ndim < max(A.ndim, B.ndim) or _is_vector_of(A, B)
    if vector:
        X, B = X[..., None], B[..., None]
        gX, g_rest = (
            gX if gX is None else gX[..., None],
            g_rest if g_rest is None else g_rest[..., None],
        )
    gA = gB = 0
    if gX is not None:
        P = pseudoinverse(A)
        gB = mT(P) @ gX
        gA = _pseudoinverse_cotangent(gX @ mT(B), A, P)
    if g_rest is not None and g_rest.size:
        rest = 2 * g_rest[..., None, :] * (A @ X - B).conj()
        gA, gB = gA + rest @ mT(X), gB - rest
    return gA, gB[..., 0] if vector else gB


# -- exponential -----------------------------------------------------------------------------------


@primitive(
    define=op,
    name="matrix_exp",
    node="LinalgMatrixExpBackward0",
    alias="linalg.matrix_exp",
    public=INPUT,
)
def exponential(A: Any, /) -> Any:
    """Matrix exponentials of square matrices (..., n, n)."""
    check_square("linalg.matrix_exp", A)
    from scipy.linalg import expm

    return expm(A).astype(A.dtype) if A.size else A.copy()


@exponential.vjp
def _(g, A):
    n = A.shape[-1]
    X = mT(A)
    zeros = np.zeros(A.shape, A.dtype)
    block = np.concatenate(
        [np.concatenate([X, g], axis=-1), np.concatenate([zeros, X], axis=-1)], axis=-2
    )
    return exponential(block)[..., :n, n:]


# -- from a Cholesky factor ------------------------------------------------------------------------


def _cholesky_solution(B: Any, L: Any, is_upper: bool) -> Any:
    first = mH(L) if is_upper else L
    return lapack.triangular(mH(first), lapack.triangular(first, B, True, False), False, False)


@primitive(
    define=op,
    name="cholesky_solve",
    node="CholeskySolveBackward0",
    public={"L": "input2"},
    laid=lambda X, _: columns(X),
)
def cholesky_solve(x: Any, L: Any, /, upper: bool = False) -> Any:
    """X of A X = input, given A's Cholesky factor: A = L L^H, or L^H L with `upper`."""
    for name, a in (("b", x), ("u", L)):
        if a.ndim < 2:
            raise RuntimeError(
                f"{name} should have at least 2 dimensions, but has {a.ndim} dimensions instead"
            )
    if x.dtype is not L.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {type_name(x)} and A of "
            f"type {type_name(L)} instead."
        )
    if L.dtype.kind not in "fc":
        raise NotImplementedError(f"\"cholesky_solve_cpu\" not implemented for '{type_name(L)}'")
    check_sides("cholesky_solve", L)
    if L.shape[-1] != x.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {L.shape[-1]} by "
            f"{L.shape[-1]} but each b matrix is {x.shape[-2]} by {x.shape[-1]}"
        )
    return _cholesky_solution(x, L, upper)


@cholesky_solve.vjp_all
def _(g, L, out, upper, needs):
    gB = cholesky_solve(g, L.conj(), upper)
    return gB, _factor_cotangent(-(gB @ mT(out)), L, upper) if needs[1] else None


def _factor_cotangent(gA: Any, L: Any, is_upper: bool) -> Any:
    """The cotangent of a Cholesky factor, from that of the matrix L L^H (or L^H L)."""
    both = gA + mH(gA)
    return L.conj() @ both if is_upper else both @ L.conj()


@op(public={"L": "input"})
def cholesky_inverse(L: Any, /, upper: bool = False) -> Any:
    """Inverse of the matrix whose Cholesky factor is given: L L^H, or L^H L with `upper`."""
    if L.dtype.kind not in "fc":
        raise NotImplementedError(
            f"\"cholesky_inverse_out_cpu\" not implemented for '{type_name(L)}'"
        )
    check_square("cholesky_inverse", L)
    zeros = np.einsum("...ii->...i", L) == 0
    if zeros.any():
        where, k = first_failure(np.where(zeros.any(-1), zeros.argmax(-1) + 1, 0)) or ("", 1)
        raise LinAlgError(
            f"cholesky_inverse: {where}The diagonal element {k} is zero, the inversion could not "
            "be completed because the input matrix is singular."
        )
    return columns(_cholesky_solution(identity(L.shape[-1], L, L.shape[:-2]), L, upper))


@cholesky_inverse.vjp
def _(g, L, out, upper):
    return _factor_cotangent(-(mT(out) @ g @ mT(out)), L, upper)


# -- tensors as matrices ---------------------------------------------------------------------------


def _sizes(shape: Any) -> int:
    return int(np.prod(shape, dtype=np.int64))


@function(method=False, namespace="linalg")
def tensorinv(input: Any, ind: int = 2, *, out: Any = None) -> Any:
    """Inverse of a tensor as a map from its last dimensions to its first `ind` dimensions."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    first, last = tuple(input.shape[:ind]), tuple(input.shape[ind:])
    if _sizes(first) != _sizes(last):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {_sizes(last)} != {_sizes(first)}"
        )
    made = inv.op.entry(input.reshape((_sizes(first), _sizes(last)))).reshape((*last, *first))
    return define.write_out(out, made)


@function(method=False, namespace="linalg")
def tensorsolve(input: Any, other: Any, dims: Any = None, *, out: Any = None) -> Any:
    """X of tensordot(input, X, X.ndim) = other; the dimensions `dims` of input are moved to its end
    first.
    """
    A, B = input, other  # as in A X = B
    if dims is not None:
        moved = [d % A.ndim for d in dims]
        A = A.permute([d for d in range(A.ndim) if d not in moved] + moved)
    shape = tuple(A.shape[B.ndim :])
    if _sizes(shape) != _sizes(A.shape[: B.ndim]):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {_sizes(shape)} != {_sizes(A.shape[: B.ndim])}"
        )
    made = solve.op.entry(A.reshape((_sizes(shape), _sizes(shape))), B.reshape(-1)).reshape(shape)
    return define.write_out(out, made)
