"""Factorizations of stacks of matrices: Cholesky, LU, QR, eigenvalues, singular values, LDL,
Householder.

Rules are in the engine's convention, plain transposes: they are torch's formulas with every saved
factor conjugated (`U^H` becomes `U^T`, `U` becomes `conj(U)`). Factors that are only defined up to
a phase make a complex loss ill-defined unless it does not depend on the phase; rules check that, as
torch does. Rules with `partial=True` get None for factors that nothing was computed from, so that a
loss of the eigenvalues alone divides by no differences of eigenvalues.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.linalg import _umath_linalg as gufuncs

from .. import return_types
from ..arrays.duck import Duck, somewhere
from ..errors import LinAlgError
from ..tape import state
from . import define, lapack
from .define import function, op
from .matrices import (
    check_equation,
    check_matrix,
    check_sides,
    check_square,
    columns,
    diagonal,
    diagonal_matrix,
    first_failure,
    lower,
    mH,
    mT,
    rows,
    upper,
)
from .products import type_name
from .solvers import solve, solve_triangular

INPUT = {"A": "input"}

# -- Cholesky --------------------------------------------------------------------------------------


def _cholesky(name: str, A: Any, is_upper: bool) -> Any:
    gufunc = gufuncs.cholesky_up if is_upper else gufuncs.cholesky_lo
    made = lapack.strict(
        gufunc, lambda A: lapack.cholesky_failure(name, mH(A) if is_upper else A), A
    )
    return columns(made)


def _cholesky_rule(g, out, upper):
    g, L = (mH(g), mH(out)) if upper else (g, out)
    S = lower(mT(L) @ g)
    S = (S + mH(lower(S, -1))) * 0.5
    left = solve_triangular(mT(L), S, True)
    return solve_triangular(L.conj(), left, False, False)


@op(namespace="primitive", node="CholeskyBackward0")
def old_cholesky(x: Any, /, upper: bool = False) -> Any:
    """Cholesky factor of positive-definite matrices; `linalg.cholesky` is the newer name."""
    check_square("cholesky", x)
    return _cholesky("cholesky", x, upper)


@op(namespace="linalg", node="LinalgCholeskyExBackward0", public=INPUT)
def cholesky(A: Any, /, upper: bool = False) -> Any:
    """Lower triangular L of A = L L^H (upper triangular of A = L^H L with `upper`) for
    positive-definite A (..., n, n).

    Raises LinAlgError for a matrix that is not positive-definite.
    """
    check_square("linalg.cholesky", A)
    return _cholesky("linalg.cholesky", A, upper)


@op(
    namespace="linalg",
    result=return_types.linalg_cholesky_ex,
    node="LinalgCholeskyExBackward0",
    public=INPUT,
)
def cholesky_ex(A: Any, /, upper: bool = False, check_errors: bool = False) -> Any:
    """Cholesky factors, and for each 0 or the order of the leading minor that is not
    positive-definite.
    """
    check_square("linalg.cholesky_ex", A)
    L, info = (
        lapack.cholesky_with_info(mH(A) if upper else A)
        if A.size
        else (A.copy(), np.zeros(A.shape[:-2], np.int32))
    )
    if check_errors and somewhere(info):
        raise lapack.cholesky_failure("linalg.cholesky_ex", mH(A) if upper else A)
    return columns(mH(L) if upper else L), info


for _entry in (cholesky, old_cholesky, cholesky_ex):
    _entry.vjp(_cholesky_rule)

# -- LU --------------------------------------------------------------------------------------------


def _lu_cotangent(gL: Any, gU: Any, L: Any, U: Any, P: Any) -> Any:
    """The cotangent of A = P L U (L unit lower, U upper triangular; one of them may be a
    trapezoid).
    """
    k = L.shape[-1]
    m, n = L.shape[-2], U.shape[-1]
    L1, U1, L2, U2 = L[..., :k, :], U[..., :k], L[..., k:, :], U[..., k:]
    g1, h1, g2, h2 = gL[..., :k, :], gU[..., :k], gL[..., k:, :], gU[..., k:]
    below, above = mT(L1) @ g1, h1 @ mT(U1)
    if n > k:
        below = below - h2 @ mT(U2)
    if m > k:
        above = above - mT(L2) @ g2
    middle = solve_triangular(mT(L1), lower(below, -1) + upper(above), True, True, True)
    out = solve_triangular(mT(U1), middle, False, False)
    if n > k:
        out = np.concatenate([out, solve_triangular(mT(L1), h2, True, True, True)], axis=-1)
    if m > k:
        out = np.concatenate([out, solve_triangular(mT(U1), g2, False, False)], axis=-2)
    return P @ out


def _check_lu(name: str, A: Any, pivot: bool) -> None:
    if A.ndim < 2:
        raise RuntimeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead"
        )
    if A.dtype.kind not in "fc":
        raise NotImplementedError(f"\"lu_cpu\" not implemented for '{type_name(A)}'")
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")


def _unpacked(LU: Any) -> tuple:
    """L and U from the array that holds both."""
    k = min(LU.shape[-2:])
    return (
        lower(LU, -1)[..., :, :k] + np.eye(LU.shape[-2], k, dtype=LU.dtype),
        upper(LU)[..., :k, :],
    )


@op(namespace="primitive", name="linalg_lu", outputs=2, extra=True, node="LinalgLuBackward0")
def lower_and_upper(A: Any, /, pivot: bool) -> Any:
    """L, U and P of A = P L U."""
    _check_lu("linalg.lu", A, pivot)
    LU, pivots, _ = lapack.lu(A)
    L, U = _unpacked(LU)
    P = lapack.permutation(pivots, A.shape[-2], A.dtype)
    return (rows(L), rows(U), P), P


@lower_and_upper.vjp
def _(g, out, extra):
    return _lu_cotangent(*g, *out, extra)


@function(method=False, namespace="linalg")
def lu(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """P, L and U of A = P L U: a permutation, unit lower triangular, upper triangular."""
    L, U, P = lower_and_upper(A, pivot)
    return define.write_out(out, return_types.linalg_lu(P, L, U))


@op(namespace="linalg", outputs=1, extra=True, result=return_types.linalg_lu_factor_ex)
def lu_factor_ex(A: Any, /, pivot: bool = True, check_errors: bool = False) -> Any:
    """L and U in one array, pivots, and for each matrix 0 or the number of the zero on U's
    diagonal.
    """
    _check_lu("torch.lu_factor", A, pivot)
    LU, pivots, info = lapack.lu(A)
    if check_errors:
        _check_pivots("linalg.lu_factor_ex", info)
    return (columns(LU), pivots, info), pivots


@lu_factor_ex.vjp
def _(g, out, extra):
    k = min(g.shape[-2:])
    P = lapack.permutation(extra, g.shape[-2], g.dtype)
    return _lu_cotangent(lower(g, -1)[..., :, :k], upper(g)[..., :k, :], *_unpacked(out), P)


lu_factor_ex.op.node = "LinalgLuFactorExBackward0"


def _check_pivots(name: str, info: Any) -> None:
    failed = first_failure(info)
    if failed:
        where, k = failed
        raise RuntimeError(
            f"torch.{name}: {where}U[{k},{k}] is zero and using it on lu_solve would result in a "
            "division by zero. If you still want to perform the factorization, consider calling "
            "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )


@function(method=False, namespace="linalg")
def lu_factor(A: Any, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U in one array, and pivots; raises RuntimeError for a zero on U's diagonal."""
    LU, pivots, info = lu_factor_ex(A, pivot)
    _check_pivots("linalg.lu_factor", info._data)
    return define.write_out(out, return_types.linalg_lu_factor(LU, pivots))


@op(namespace="primitive", name="unpack_lu", outputs=2, node="LuUnpackBackward0")
def unpack_lu(x: Any, /) -> Any:
    """L and U from the array that holds both."""
    return rows(_unpacked(x))


@unpack_lu.vjp
def _(g, x_shape):
    gL, gU = g
    (m, n), k, lead = x_shape[-2:], min(x_shape[-2:]), x_shape[:-2]
    left, right = lower(gL, -1), upper(gU)
    if n > k:
        left = np.concatenate([left, np.zeros((*lead, m, n - k), gL.dtype)], axis=-1)
    if m > k:
        right = np.concatenate([right, np.zeros((*lead, m - k, n), gU.dtype)], axis=-2)
    return left + right


@function(method=False)
def lu_unpack(
    LU_data: Any,
    LU_pivots: Any,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
    *,
    out: Any = None,
) -> Any:
    """P, L and U from what `linalg.lu_factor` returned."""
    _check_lu("torch.lu_unpack", LU_data._data, True)
    pivots, m = LU_pivots._data, LU_data.shape[-2]
    if unpack_pivots and pivots.dtype != np.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
        )
    if unpack_pivots and somewhere((pivots < 1) | (pivots > m)):
        raise RuntimeError(
            "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive.Did you "
            "properly pass the result of lu_factor?"
        )
    nothing = define.wrap(np.zeros(0, LU_data._data.dtype))
    L, U = unpack_lu(LU_data) if unpack_data else (nothing, nothing)
    P = (
        define.wrap(lapack.permutation(pivots, m, LU_data._data.dtype))
        if unpack_pivots
        else nothing
    )
    return define.write_out(out, return_types.lu_unpack(P, L, U))


@define.primitive(
    define=op,
    name="solve_factored",
    namespace="primitive",
    node="LinalgLuSolveBackward0",
    laid=lambda X, *_: columns(X),
)
def solve_factored(LU: Any, B: Any, /, pivots: Any, trans: int) -> Any:
    """X of A X = B (trans 0), A^T X = B (1) or A^H X = B (2), from the factors of A."""
    return lapack.lu_solution(LU, B, pivots, trans)


@solve_factored.vjp_all
def _(g, LU, out, pivots, trans, needs):
    if trans == 2:
        gB = solve_factored(LU, g.conj(), pivots, 0).conj()
    else:
        gB = solve_factored(LU, g, pivots, 1 - trans)
    if not needs[0]:
        return None, gB
    gA = -(gB @ mT(out)) if trans == 0 else -(out @ mT(gB))
    gA = gA.conj() if trans == 2 else gA
    L, U = _unpacked(LU)
    gA = mT(lapack.permutation(pivots, LU.shape[-1], LU.dtype)) @ gA
    return lower(gA @ mT(U), -1) + upper(mT(L) @ gA), gB


def _check_factored(LU: Any, pivots: Any, B: Any, left: bool) -> None:
    if B.ndim < 2:
        raise RuntimeError("linalg.lu_solve: The input tensor B must have at least 2 dimensions.")
    if pivots.dtype != np.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    check_sides("torch.linalg.lu_solve", LU)
    if pivots.shape[-1] != LU.shape[-1]:
        raise RuntimeError(
            "linalg.lu_solve: Number of pivots per batch should be same as the dimension of the "
            "matrix"
        )
    check_equation("linalg.lu_solve", LU, B, left, "LU")


@function(method=False, namespace="linalg")
def lu_solve(
    LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False, out: Any = None
) -> Any:
    """X of A X = B (X A = B with `left=False`, A^H X = B with `adjoint`), from what
    `linalg.lu_factor` returned.
    """
    _check_factored(LU._data, pivots._data, B._data, left)
    run = solve_factored.op.entry
    if left:
        made = run(LU, B, pivots, 2 if adjoint else 0)
    elif adjoint:
        made = run(LU, B.conj().mT, pivots, 0).conj().mT
    else:
        made = run(LU, B.mT, pivots, 1).mT
    return define.write_out(out, made)


# -- QR --------------------------------------------------------------------------------------------


def _qr_cotangent(gQ: Any, gR: Any, Q: Any, R: Any) -> Any:
    """The cotangent of A = Q R, for square R."""
    X = upper(gR @ mT(R) - mT(Q) @ gQ)
    S = X + mH(X) - X.real * np.eye(X.shape[-1], dtype=bool)
    return solve_triangular(mT(R), Q.conj() @ S + gQ, False, False)


@op(
    namespace="primitive",
    name="linalg_qr",
    outputs=2,
    node="LinalgQrBackward0",
    result=return_types.linalg_qr,
)
def orthogonal_and_upper(A: Any, /, mode: str = "reduced") -> Any:
    """Q and R of A = Q R, for matrices (..., m, n)."""
    check_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    Q, R = lapack.qr(A, mode)
    return columns(Q), columns(R)


@orthogonal_and_upper.vjp
def _(g, out, mode):
    (gQ, gR), (Q, R) = g, out
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
            "Please use linalg.qr(A, mode='reduced') if you are going to differentiate through "
            "linalg.qr."
        )
    m, n = Q.shape[-2], R.shape[-1]
    if mode == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )
    if m >= n:
        return _qr_cotangent(gQ, gR, Q, R)
    right, g_right = R[..., m:], gR[..., m:]
    gQ = gQ + Q.conj() @ (right.conj() @ mH(g_right))
    return np.concatenate(
        [_qr_cotangent(gQ, gR[..., :m], Q, R[..., :m]), Q.conj() @ g_right], axis=-1
    )


@function(method=False, namespace="linalg")
def qr(A: Any, mode: str = "reduced", *, out: Any = None) -> Any:
    """Q and R of A = Q R for matrices (..., m, n); mode "reduced", "complete", or "r" (R alone)."""
    return define.write_out(out, orthogonal_and_upper(A, mode))


# -- singular values -------------------------------------------------------------------------------


def _check_svd(A: Any) -> None:
    check_matrix("linalg.svd", A)
    text = (
        "linalg.svd: The algorithm failed to converge because the input matrix contained "
        "non-finite values."
    )
    lapack.check_finite(A, LinAlgError, text)


def _converged(info: Any) -> None:
    failed = first_failure(info)
    if failed:
        raise LinAlgError(
            f"linalg.svd: {failed[0]}The algorithm failed to converge because the input matrix is "
            f"ill-conditioned or has too many repeated singular values (error code: {failed[1]})."
        )


@op(
    namespace="primitive",
    name="linalg_svd",
    outputs=3,
    partial=True,
    node="LinalgSvdBackward0",
    result=return_types.linalg_svd,
)
def singular_vectors(A: Any, /, full_matrices: bool) -> Any:
    """U, S and V^H of A = U diag(S) V^H."""
    _check_svd(A)
    U, S, Vh, info = lapack.svd(A, full_matrices)
    _converged(info)
    return columns(U), rows(S), columns(Vh)


@singular_vectors.vjp
def _(g, out):
    (gU, gS, gVh), (U, S, Vh) = g, out
    k = S.shape[-1]
    if U.shape[-1] > k:
        U, gU = U[..., :k], None if gU is None else gU[..., :k]
    if Vh.shape[-2] > k:
        Vh, gVh = Vh[..., :k, :], None if gVh is None else gVh[..., :k, :]
    if gU is None and gVh is None:
        return (U.conj() * gS[..., None, :]) @ Vh.conj()
    return _svd_cotangent(gU, gS, gVh, U, S, Vh)


def _skew(x: Any) -> Any:
    return x - mH(x)


def _svd_cotangent(gU: Any, gS: Any, gVh: Any, U: Any, S: Any, Vh: Any) -> Any:
    column, row = S[..., None], S[..., None, :]
    P = None if gU is None else _skew(mT(U) @ gU)
    Q = None if gVh is None else _skew(Vh.conj() @ mH(gVh))
    _check_phase(U, P, Q)
    gaps = row * row - column * column + np.eye(S.shape[-1], dtype=bool)
    inner = (0 if P is None else P * row) + (0 if Q is None else column * Q)
    inner = inner / gaps
    if gS is not None:
        inner = inner + diagonal_matrix(gS)
    if U.dtype.kind == "c" and P is not None and Q is not None:
        inner = inner + P * np.eye(S.shape[-1], dtype=bool) / (2 * row)
    gA = U.conj() @ inner
    if gU is not None and U.shape[-2] > U.shape[-1]:
        rest = gU / row
        gA = gA + rest - U.conj() @ (mT(U) @ rest)
    gA = gA @ Vh.conj()
    if gVh is not None and Vh.shape[-1] > Vh.shape[-2]:
        rest = gVh / column
        gA = gA + U.conj() @ (rest - (rest @ mT(Vh)) @ Vh.conj())
    return gA


def _check_phase(U: Any, P: Any, Q: Any) -> None:
    if U.dtype.kind != "c" or any(x is not None and not isinstance(x, np.ndarray) for x in (P, Q)):
        return
    turn = (0 if P is None else diagonal(P)) + (0 if Q is None else diagonal(Q))
    if not np.allclose(turn.imag, 0, atol=1e-2):
        raise RuntimeError(
            "svd_backward: The singular vectors in the complex case are specified up to "
            "multiplication by e^{i phi}. The specified loss function depends on this phase "
            "term, making it ill-defined."
        )


def _no_driver(driver: Any) -> None:
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with "
            "cuSOLVER backend."
        )


@function(method=False, namespace="linalg")
def svd(A: Any, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> Any:
    """U, S and V^H of A = U diag(S) V^H for matrices (..., m, n); S is in descending order.

    Without `full_matrices`, U and V^H keep min(m, n) columns and rows.
    """
    _no_driver(driver)
    return define.write_out(out, singular_vectors(A, full_matrices))


@op(namespace="primitive")
def only_singular_values(A: Any, /) -> Any:
    """Singular values, in descending order."""
    _check_svd(A)
    _, S, _, info = lapack.svd(A, False, vectors=False)
    _converged(info)
    return rows(S)


def _differentiated(A: Any) -> bool:
    return (state.grad and A.requires_grad) or isinstance(A._data, Duck)


@function(method=False, namespace="linalg")
def svdvals(A: Any, *, driver: Any = None, out: Any = None) -> Any:
    """Singular values of matrices (..., m, n), in descending order."""
    _no_driver(driver)
    return define.write_out(
        out, singular_vectors(A, False)[1] if _differentiated(A) else only_singular_values(A)
    )


# -- eigenvalues -----------------------------------------------------------------------------------


def _check_eigenvectors(name: str, W: Any) -> None:
    if isinstance(W, np.ndarray) and not np.allclose(diagonal(W).imag, 0, atol=1e-2):
        raise RuntimeError(
            f"{name}: The eigenvectors in the complex case are specified up to multiplication by "
            "e^{i phi}. The specified loss function depends on this quantity, so it is "
            "ill-defined."
        )


def _gaps(L: Any) -> Any:
    """Differences of eigenvalues, L_j - L_i, with ones on the diagonal."""
    return L[..., None, :] - L[..., None] + np.eye(L.shape[-1], dtype=bool)


def _triangle_named(UPLO: str) -> bool:
    if not isinstance(UPLO, str):
        raise TypeError(
            f"linalg_eigh(): argument 'UPLO' (position 2) must be str, not {type(UPLO).__name__}"
        )
    if UPLO not in ("L", "U", "l", "u"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO in "Uu"


def _check_hermitian(A: Any) -> None:
    if A.dtype.kind not in "fc":
        raise NotImplementedError(f"\"linalg_eigh_cpu\" not implemented for '{type_name(A)}'")
    check_square("linalg.eigh", A)


def _stubborn(name: str) -> LinAlgError:
    return LinAlgError(
        f"{name}: The algorithm failed to converge because the input matrix is ill-conditioned or "
        "has too many repeated eigenvalues (error code: 1)."
    )


@op(
    namespace="linalg",
    name="eigh",
    outputs=2,
    partial=True,
    node="LinalgEighBackward0",
    result=return_types.linalg_eigh,
    public=INPUT,
)
def hermitian_eigenvectors(A: Any, /, UPLO: str = "L") -> Any:
    """Eigenvalues (ascending) and orthonormal eigenvectors of Hermitian matrices (..., n, n), of
    which one triangle is read.

    UPLO names the triangle, "L" or "U".
    """
    is_upper = _triangle_named(UPLO)
    _check_hermitian(A)
    L, V = lapack.strict(
        gufuncs.eigh_up if is_upper else gufuncs.eigh_lo, lambda _: _stubborn("linalg.eigh"), A
    )
    return rows(L), columns(V)


@hermitian_eigenvectors.vjp
def _(g, out):
    (gL, gV), (L, V) = g, out
    if gV is None:
        return (V.conj() * gL[..., None, :]) @ mT(V)
    W = mT(V) @ gV
    if V.dtype.kind == "c":
        _check_eigenvectors("linalg_eigh_backward", W)
    inner = W / _gaps(L) * ~np.eye(L.shape[-1], dtype=bool)
    if gL is not None:
        inner = inner + diagonal_matrix(gL)
    gA = V.conj() @ inner @ mT(V)
    return (gA + mH(gA)) * 0.5


@op(namespace="primitive")
def only_hermitian_eigenvalues(A: Any, /, UPLO: str) -> Any:
    """Eigenvalues of Hermitian matrices, ascending."""
    is_upper = _triangle_named(UPLO)
    _check_hermitian(A)
    found = lapack.strict(
        gufuncs.eigvalsh_up if is_upper else gufuncs.eigvalsh_lo,
        lambda _: _stubborn("linalg.eigh"),
        A,
    )
    return rows(found)


@function(method=False, namespace="linalg")
def eigvalsh(input: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """Eigenvalues of Hermitian matrices (..., n, n), ascending; one triangle is read, "L"
    or "U".
    """
    made = (
        hermitian_eigenvectors(input, UPLO)[0]
        if _differentiated(input)
        else only_hermitian_eigenvalues(input, UPLO)
    )
    return define.write_out(out, made)


def _check_eig(A: Any) -> None:
    check_square("linalg.eig", A)
    text = "torch.linalg.eig: input tensor should not contain infs or NaNs."
    lapack.check_finite(A, RuntimeError, text)


def _complex_of(x: Any) -> Any:
    return np.dtype(
        np.complex64
        if x.dtype.itemsize // (2 if x.dtype.kind == "c" else 1) == 4
        else np.complex128
    )


@op(
    namespace="linalg",
    name="eig",
    outputs=2,
    partial=True,
    node="LinalgEigBackward0",
    result=return_types.linalg_eig,
    public=INPUT,
)
def eigenvectors(A: Any, /) -> Any:
    """Eigenvalues and eigenvectors (of length 1), complex, of square matrices (..., n, n)."""
    _check_eig(A)
    L, V = lapack.strict(gufuncs.eig, lambda _: _stubborn("linalg.eig"), A)
    L = rows(L)
    return L.astype(_complex_of(A)), columns(V.astype(_complex_of(A)))


@eigenvectors.vjp
def _(g, out):
    (gL, gV), (L, V) = g, out
    VT = mT(V)
    if gV is None:
        return solve(VT, gL[..., None] * VT)
    eye = np.eye(L.shape[-1], dtype=bool)
    W = VT @ gV
    _check_eigenvectors("linalg_eig_backward", W)
    inner = (W - (VT @ V.conj()) * diagonal(W).real[..., None, :]) / _gaps(L) * ~eye
    if gL is not None:
        inner = inner + diagonal_matrix(gL)
    return solve(VT, inner @ VT)


@op(namespace="primitive")
def only_eigenvalues(A: Any, /) -> Any:
    """Eigenvalues of square matrices, complex."""
    _check_eig(A)
    found = lapack.strict(gufuncs.eigvals, lambda _: _stubborn("linalg.eig"), A)
    return rows(found).astype(_complex_of(A))


@function(method=False, namespace="linalg")
def eigvals(input: Any, *, out: Any = None) -> Any:
    """Eigenvalues, complex, of square matrices (..., n, n)."""
    return define.write_out(
        out, eigenvectors(input)[0] if _differentiated(input) else only_eigenvalues(input)
    )


# -- LDL -------------------------------------------------------------------------------------------


@op(
    namespace="linalg",
    result=return_types.linalg_ldl_factor_ex,
    outputs=1,
    node="NotImplemented",
    public=INPUT,
)
def ldl_factor_ex(A: Any, /, hermitian: bool = False, check_errors: bool = False) -> Any:
    """Factors of A = L D L^T (or L^H with `hermitian`) in one array, pivots, and LAPACK's verdicts.
    Not differentiable.
    """
    check_matrix("torch.linalg.ldl_factor_ex", A)
    check_sides("torch.linalg.ldl_factor_ex", A)
    LD, pivots, info = lapack.ldl(A, hermitian)
    failed = first_failure(info) if check_errors else None
    if failed:
        raise LinAlgError(
            f"linalg.ldl_factor_ex: {failed[0]}The diagonal element {failed[1]} is zero, using it "
            "for solving would divide by zero."
        )
    return columns(LD), pivots, info


@ldl_factor_ex.vjp
def _(g):
    raise RuntimeError("derivative for aten::linalg_ldl_factor_ex is not implemented")


@function(method=False, namespace="linalg")
def ldl_factor(input: Any, *, hermitian: bool = False, out: Any = None) -> Any:
    """Factors of A = L D L^T (or L^H with `hermitian`) in one array, and pivots. Not
    differentiable.
    """
    LD, pivots, _ = ldl_factor_ex(input, hermitian)
    return define.write_out(out, return_types.linalg_ldl_factor(LD, pivots))


@op(namespace="primitive", node="NotImplemented")
def solve_ldl(LD: Any, B: Any, /, pivots: Any, hermitian: bool) -> Any:
    """X of A X = B, from the LDL factors of A."""
    if B.ndim < 2:
        raise define.bad_dim(-2, B.ndim)
    return columns(lapack.ldl_solution(LD, pivots, B, hermitian))


@solve_ldl.vjp_all
def _(g):
    raise RuntimeError("derivative for aten::linalg_ldl_solve is not implemented")


@function(method=False, namespace="linalg")
def ldl_solve(LD: Any, pivots: Any, B: Any, *, hermitian: bool = False, out: Any = None) -> Any:
    """X of A X = B, from what `linalg.ldl_factor` returned. Not differentiable."""
    return define.write_out(out, solve_ldl(LD, B, pivots, hermitian))


# -- Householder reflections -----------------------------------------------------------------------


@op(result=return_types.geqrf, outputs=2)
def geqrf(x: Any, /) -> Any:
    """R, with the vectors of Householder reflections below its diagonal, and their factors tau."""
    if x.dtype.kind not in "fc":
        raise NotImplementedError(f"\"geqrf_cpu\" not implemented for '{type_name(x)}'")
    check_matrix("torch.geqrf", x, "input")
    made, tau = lapack.reflectors(x)
    return columns(made), tau


@geqrf.vjp
def _(g):
    raise NotImplementedError("the derivative for 'geqrf' is not implemented.")


@op(namespace="linalg", node="LinalgHouseholderProductBackward0", public=INPUT)
def householder_product(A: Any, tau: Any, /) -> Any:
    """First n columns of the product of reflections 1 - tau_i v_i v_i^H, for v_i below the diagonal
    of A (..., m, n).
    """
    name = "torch.linalg.householder_product"
    if A.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if A.shape[-2] < A.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]"
        )
    if A.shape[-1] < tau.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    if A.dtype is not tau.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {type_name(tau)} does not match input dtype {type_name(A)}"
        )
    if A.dtype.kind not in "fc":
        raise NotImplementedError(f"\"orgqr_cpu\" not implemented for '{type_name(A)}'")
    if tau.shape[:-1] != A.shape[:-2]:
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(tau.shape[:-1])}"
        )
    return columns(lapack.reflected(A, tau))


def _reflections_cotangent(g: Any, A: Any, tau: Any) -> tuple:
    """The cotangents of A and tau: the product is undone reflection by reflection."""
    (m, n), k = A.shape[-2:], tau.shape[-1]
    V = lower(A, -1) + np.eye(m, n, dtype=A.dtype)
    parts = [
        np.broadcast_to(np.eye(m, n, dtype=A.dtype), A.shape)
    ]  # products of the last reflections: none, one, two ...
    for i in reversed(range(1, k)):
        v = V[..., i : i + 1]
        parts.append(parts[-1] - tau[..., i : i + 1, None] * (v @ (mH(v) @ parts[-1])))
    columns, taus = [], []
    for i in range(k):
        v, t, rest = V[..., i : i + 1], tau[..., i : i + 1, None], parts[k - 1 - i]
        w, g_w = mH(v) @ rest, mT(v) @ g
        taus.append(-(g_w @ mT(w))[..., 0])
        columns.append(-t * (g @ mT(w)) - (rest @ mT(t * g_w)).conj())
        g = g - v.conj() @ (t * g_w)
    zeros = np.zeros((*A.shape[:-1], n - k), A.dtype)
    return lower(np.concatenate([*columns, zeros], axis=-1), -1), np.concatenate(
        [*taus, tau[..., :0]], axis=-1
    )


@householder_product.vjp
def _(g, A, tau):
    return _reflections_cotangent(g, A, tau)[0]


@householder_product.vjp
def _(g, A, tau):
    return _reflections_cotangent(g, A, tau)[1]


def _check_ormqr(A: Any, tau: Any, other: Any, left: bool) -> None:
    for name, x in (("input", A), ("other", other)):
        if x.ndim < 2:
            raise RuntimeError(f"torch.ormqr: {name} must have at least 2 dimensions.")
    side = -2 if left else -1
    if tau.ndim != A.ndim - 1:
        raise RuntimeError(
            "torch.ormqr: Expected tau to have one dimension less than input, but got tau.ndim "
            f"equal to {tau.ndim} and input.ndim is equal to {A.ndim}"
        )
    if other.ndim != A.ndim:
        raise RuntimeError(
            "torch.ormqr: Expected other to have the same number of dimensions as input, but got "
            f"other.ndim equal to {other.ndim} and input.ndim is equal to {A.ndim}"
        )
    if tau.shape[-1] > min(other.shape[side], A.shape[-1]):
        raise RuntimeError(
            f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{side}], input.shape[-1])"
        )
    if other.shape[side] != A.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if A.dtype.kind not in "fc":
        raise NotImplementedError(f"\"ormqr_cpu\" not implemented for '{type_name(A)}'")


@function
def ormqr(
    input: Any,
    input2: Any,
    input3: Any,
    left: bool = True,
    transpose: bool = False,
    *,
    out: Any = None,
) -> Any:
    """Q @ input3 for the (m, m) product Q of the reflections that `input` (vectors below its
    diagonal) and `input2` (their factors tau) describe; `transpose` takes Q^H, `left=False`
    multiplies from the right.
    """
    _check_ormqr(input._data, input2._data, input3._data, left)
    m, n = input.shape[-2:]
    pad = define.wrap(np.zeros((*input.shape[:-1], max(m - n, 0)), input._data.dtype))
    Q = householder_product(
        define.OPS["cat"].entry((input, pad), -1) if m > n else input[..., :m], input2
    )
    Q = Q.mH if transpose else Q
    made = (input3.mT @ Q.mT).mT if left else (Q.mT @ input3.mT).mT  # lies column by column
    return define.write_out(out, made)
