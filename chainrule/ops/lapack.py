"""LAPACK on stacks of matrices: plain arrays in, plain arrays out, no derivatives.

NumPy's generalized ufuncs (`numpy.linalg._umath_linalg`) loop over a stack in C and in the arrays'
own precision; they serve the inverse, the solution of systems, determinants, Cholesky and
eigenvalues. A failed matrix raises the floating-point flag "invalid", which is looked at where
failure is an error. The rest comes from SciPy's LAPACK, one matrix at a time; `info`, LAPACK's
verdict, is handed on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.linalg import _umath_linalg as gufuncs

from ..arrays.duck import Duck, NoRule, highest
from ..errors import LinAlgError
from ..tape import state
from .define import PRIMITIVES
from .matrices import first_failure, rows_of, upper

LETTER = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
UNITARY = {"orgqr": "ungqr", "ormqr": "unmqr"}


@functools.cache
def routine(name: str, dtype: np.dtype) -> Callable:
    """The LAPACK (or BLAS) routine of that name for a dtype."""
    from scipy.linalg import blas, lapack

    if dtype.kind == "c":
        name = UNITARY.get(name, name)
    full = LETTER[dtype.name] + name
    f = getattr(lapack, full, None) or getattr(blas, full)

    def call(*args: Any, **kwargs: Any) -> Any:
        for a in args:  # SciPy's wrappers lose a reference to the dtype when a conversion fails
            if isinstance(a, Duck):
                raise NoRule(f"LAPACK's {full} takes plain arrays")
        return f(*args, **kwargs)

    return call


def each(f: Callable, *stacks: Any) -> tuple:
    """The results of f for every matrix of the stacks (which share their batch dimensions),
    stacked.
    """
    lead = stacks[0].shape[:-2]
    if not lead:
        return tuple([np.asarray(r) for r in f(*stacks)])
    flat = [s.reshape((rows_of(s.shape), *s.shape[-2:])) for s in stacks]
    results = [f(*matrices) for matrices in zip(*flat, strict=True)]
    if not results:
        like = f(
            *[
                np.zeros(s.shape[-2:], s.dtype) + np.eye(*s.shape[-2:], dtype=s.dtype)
                for s in stacks
            ]
        )
        return tuple([np.zeros((*lead, *np.shape(r)), np.asarray(r).dtype) for r in like])
    return tuple(
        [np.array(r).reshape((*lead, *np.shape(r[0]))) for r in zip(*results, strict=True)]
    )


def together(*stacks: Any) -> tuple:
    """The stacks with their batch dimensions broadcast to one shape."""
    if all(s.ndim == 2 for s in stacks):
        return stacks
    lead = np.broadcast_shapes(*[s.shape[:-2] for s in stacks])
    return tuple(
        [s if s.shape[:-2] == lead else np.broadcast_to(s, (*lead, *s.shape[-2:])) for s in stacks]
    )


def many_small(A: Any) -> bool:
    """Whether to leave a stack to NumPy's loop in C, in double precision, for the matrices are
    small.
    """
    return A.ndim > 2 and 0 < A.shape[-1] * A.shape[-2] <= 1024 and A.size > 0


def strict(gufunc: Callable, failed: Callable, *arrays: Any) -> Any:
    """`gufunc(*arrays)`; if it failed for some matrix, the error that `failed(*arrays)` returns
    is raised.
    """
    try:
        with np.errstate(invalid="raise"):
            made = gufunc(*arrays)
    except FloatingPointError:
        plain = [a.numbers() if isinstance(a, Duck) and a.ground else a for a in arrays]
        raise failed(*plain) from None
    if state.capture is not None:
        first = made[0] if isinstance(made, tuple) else made
        state.capture.verified(functools.partial(strict, gufunc, failed), first, arrays)
    return made


def is_traced(A: Any) -> bool:
    """Whether a program is being captured, of which A is an array."""
    top = highest((A,))
    return top is not None and top.ground and state.capture is not None


def check_finite(A: Any, kind: type[Exception], text: str) -> None:
    """Raise kind(text) if a number of A is infinite or nan."""
    top = highest((A,))
    if top is not None and top.ground:
        if state.capture is not None:
            check = functools.partial(check_finite, kind=kind, text=text)
            state.capture.verified(check, A * 0, (A,))
        A = top.given()
    if A is not None and not np.isfinite(A).all():
        raise kind(text)


# -- inverse, systems ------------------------------------------------------------------------------


def inverse_with_info(A: Any) -> tuple:
    """Inverses, and for each matrix 0 or the number of the pivot that is zero."""

    def f(a: Any) -> tuple:
        if not a.size:
            return a.copy(), np.int32(0)
        lu, pivots, info = routine("getrf", a.dtype)(a)
        if info:
            return np.full_like(a, np.inf), np.int32(info)
        return routine("getri", a.dtype)(lu, pivots)[0], np.int32(info)

    return each(f, A)


def singular(name: str, A: Any) -> LinAlgError:
    """torch's error for a matrix that has no inverse."""
    where, k = first_failure(inverse_with_info(A)[1]) or ("", 1)
    return LinAlgError(
        f"{name}: {where}The diagonal element {k} is zero, the inversion could not be completed "
        "because the input matrix is singular."
    )


def unsolvable(name: str, A: Any) -> LinAlgError:
    """torch's error for a system without solution."""
    where, _ = first_failure(inverse_with_info(A)[1]) or ("", 1)
    return LinAlgError(
        f"torch.{name}: {where}The solver failed because the input matrix is singular."
    )


def triangular(A: Any, B: Any, lower: bool, unit: bool) -> Any:
    """X of A X = B, A's other triangle left unread; zeros on the diagonal give infinities."""
    A, B = together(A, B)
    top = highest((A, B))
    if top is not None and top.ground:
        return top.call("triangular", (A, B, lower, unit), {})
    if not B.size:
        return np.zeros(B.shape, B.dtype)
    if rows_of(A.shape) > A.shape[-1]:
        return _substituted(A, B, lower, unit)
    trsm = routine("trsm", A.dtype)
    return each(lambda a, b: (trsm(1.0, a, b, lower=lower, diag=unit),), A, B)[0]


PRIMITIVES["triangular"] = triangular


def _substituted(A: Any, B: Any, lower: bool, unit: bool) -> Any:
    """Substitution row by row, for all matrices of a large batch at once."""
    n = A.shape[-1]
    X = np.array(B)
    for i in range(n) if lower else reversed(range(n)):
        known = slice(0, i) if lower else slice(i + 1, n)
        row = X[..., i : i + 1, :]
        row -= A[..., i : i + 1, known] @ X[..., known, :]
        if not unit:
            row /= A[..., i : i + 1, i : i + 1]
    return X


def cholesky_failure(name: str, A: Any) -> LinAlgError:
    """torch's error for a matrix that is not positive-definite."""
    where, k = first_failure(cholesky_with_info(A)[1]) or ("", 1)
    return LinAlgError(
        f"{name}: {where}The factorization could not be completed because the input is not "
        f"positive-definite (the leading minor of order {k} is not positive-definite)."
    )


def cholesky_with_info(A: Any) -> tuple:
    """Lower factors, and for each matrix 0 or the order of the leading minor that is not
    positive.
    """

    def f(a: Any) -> tuple:
        c, info = routine("potrf", a.dtype)(a, lower=1, clean=1)
        return c, np.int32(info)

    return each(f, A)


# -- factorizations --------------------------------------------------------------------------------


def lu(A: Any) -> tuple:
    """The factors L and U in one array, pivots (counted from 1), and for each matrix 0 or the zero
    pivot.
    """

    def f(a: Any) -> tuple:
        if not a.size:
            return a.copy(), np.arange(1, min(a.shape) + 1, dtype=np.int32), np.int32(0)
        factors, pivots, info = routine("getrf", a.dtype)(a)
        return factors, pivots.astype(np.int32) + np.int32(1), np.int32(info)

    return each(f, A)


def lu_solution(LU: Any, B: Any, pivots: Any, trans: int) -> Any:
    """X of A X = B (trans 0), A^T X = B (1) or A^H X = B (2), from the factors of A."""
    pivots = np.asarray(pivots)[..., None] - 1
    LU, pivots, B = together(LU, pivots, B)
    if not B.size:
        return np.zeros(B.shape, B.dtype)
    getrs = routine("getrs", LU.dtype)
    return each(lambda a, p, b: (getrs(a, p[:, 0], b, trans=trans)[0],), LU, pivots, B)[0]


def permutation(pivots: Any, m: int, dtype: Any) -> Any:
    """The matrices P of A = P L U, from LAPACK's pivots."""
    top = highest((pivots,))
    if top is not None:
        return top.fallback(lambda p: permutation(p, m, dtype), None, (pivots,))
    pivots = np.asarray(pivots)
    lead = pivots.shape[:-1]
    order = np.broadcast_to(np.arange(m), (*lead, m)).copy()
    for i in range(pivots.shape[-1]):
        with_ = pivots[..., i : i + 1].astype(np.int64) - 1
        there = np.take_along_axis(order, with_, -1)
        np.put_along_axis(order, with_, order[..., i : i + 1].copy(), -1)
        order[..., i : i + 1] = there
    return (order[..., None, :] == np.arange(m)[:, None]).astype(dtype)


def reflectors(A: Any) -> tuple:
    """Householder vectors below the diagonal of R, in one array, and their factors tau."""

    def f(a: Any) -> tuple:
        if not a.size:
            return a.copy(), np.zeros(min(a.shape), a.dtype)
        qr, tau = routine("geqrf", a.dtype)(a, lwork=32 * a.shape[1])[:2]
        return qr, tau

    return each(f, A)


def reflected(A: Any, tau: Any, columns: int | None = None) -> Any:
    """The first columns (as many as A has, or `columns`) of the product of Householder
    reflections.
    """
    m, n = A.shape[-2:]
    n = n if columns is None else columns
    if n > A.shape[-1]:
        pad = np.zeros((*A.shape[:-1], n - A.shape[-1]), A.dtype)
        A = np.concatenate([A, pad], axis=-1)
    A = A[..., :n]
    if not A.size or not tau.shape[-1]:
        return np.broadcast_to(np.eye(m, n, dtype=A.dtype), A.shape).copy()
    orgqr = routine("orgqr", A.dtype)
    return each(lambda a, t: (orgqr(a, t[:, 0], lwork=32 * n)[0],), A, tau[..., None])[0]


def qr(A: Any, mode: str) -> tuple:
    """Q and R; mode "reduced", "complete", or "r" (Q then is empty)."""
    m, n = A.shape[-2:]
    k = min(m, n)
    A = A + A.dtype.type(0)  # -0 counts as 0: reflections look at the sign
    if is_traced(A) and A.size:
        return _qr_of_traced(A, mode)
    if mode != "r" and many_small(A):
        return tuple(np.linalg.qr(A, mode))
    rows = m if mode == "complete" else k
    made, tau = reflectors(A)
    R = np.triu(made[..., :rows, :])
    if mode == "r":
        return np.zeros(0, A.dtype), R
    return reflected(made[..., :k] if mode == "reduced" else made, tau, rows), R


def _qr_of_traced(A: Any, mode: str) -> tuple:
    """Q and R in functions that a trace knows."""
    m, n = A.shape[-2:]
    wide = np.dtype(np.complex128 if A.dtype.kind == "c" else np.float64)
    made, tau = highest((A,)).call("qr_raw", (A.astype(wide),), {})
    complete = mode == "complete" and m > n
    R = upper(made[..., : m if complete else min(m, n), :]).astype(A.dtype)
    if mode == "r":
        return np.zeros(0, A.dtype), R
    return (gufuncs.qr_complete if complete else gufuncs.qr_reduced)(made, tau).astype(A.dtype), R


def qr_raw(A: Any) -> tuple:
    """Householder vectors and R in one array, and the factors of the reflections."""
    made = np.array(A)
    return made, gufuncs.qr_r_raw(made)


PRIMITIVES["qr_raw"] = qr_raw


def svd(A: Any, full: bool, vectors: bool = True) -> tuple:
    """U, S, V^H and for each matrix LAPACK's verdict."""
    m, n = A.shape[-2:]
    k = min(m, n)
    if is_traced(A) and A.size:
        if not vectors:
            s = gufuncs.svd(A)
            return s, s, s, np.zeros(A.shape[:-2], np.int32)
        return *(gufuncs.svd_f if full else gufuncs.svd_s)(A), np.zeros(A.shape[:-2], np.int32)

    def f(a: Any) -> tuple:
        u, s, vh, info = routine("gesdd", a.dtype)(a, compute_uv=vectors, full_matrices=full)
        return u, s, vh, np.int32(info)

    lead = A.shape[:-2]
    if many_small(A) and vectors:
        try:
            return *np.linalg.svd(A, full), np.zeros(lead, np.int32)
        except np.linalg.LinAlgError:
            return each(f, A)
    if k and A.size:
        return each(f, A)
    U, Vh = np.eye(m, m if full else k, dtype=A.dtype), np.eye(n if full else k, n, dtype=A.dtype)
    S = np.zeros((*lead, k), A.real.dtype)
    return (
        np.broadcast_to(U, (*lead, *U.shape)).copy(),
        S,
        np.broadcast_to(Vh, (*lead, *Vh.shape)).copy(),
        np.zeros(lead, np.int32),
    )


def ldl(A: Any, hermitian: bool) -> tuple:
    """The factors of A = L D L^T (or L^H) in one array, LAPACK's pivots, and its verdicts."""

    def f(a: Any) -> tuple:
        if not a.size:
            return a.copy(), np.zeros(len(a), np.int32), np.int32(0)
        made, pivots, info = routine(
            "hetrf" if hermitian and a.dtype.kind == "c" else "sytrf", a.dtype
        )(a, lower=1)
        return np.tril(made), pivots.astype(np.int32), np.int32(info)

    return each(f, A)


def ldl_solution(LD: Any, pivots: Any, B: Any, hermitian: bool) -> Any:
    """X of A X = B, from the factors of A."""
    LD, pivots, B = together(LD, np.asarray(pivots)[..., None], B)
    if not B.size:
        return np.zeros(B.shape, B.dtype)
    solve = routine("hetrs" if hermitian and LD.dtype.kind == "c" else "sytrs", LD.dtype)
    return each(lambda a, p, b: (solve(a, p[:, 0], b, lower=1)[0],), LD, pivots, B)[0]


def least_squares(A: Any, B: Any, rcond: float, driver: str) -> tuple:
    """X that minimizes |A X - B| (a part of LAPACK's result, column by column), sums of squares of
    the rest (its rows beyond n), rank, S.
    """
    A, B = together(A, B)
    m, n = A.shape[-2:]

    def f(a: Any, b: Any) -> tuple:
        if m < n:
            b = np.concatenate([b, np.zeros((n - m, b.shape[1]), b.dtype)])
        x, rank, s = DRIVERS[driver](a, b, rcond)
        return x.T, (abs(x[n:]) ** 2).sum(0), np.int64(rank), s

    if not (A.size and B.size):
        lead, k = A.shape[:-2], B.shape[-1]
        S = np.zeros((*lead, min(m, n)), A.real.dtype)
        return (
            np.zeros((*lead, k, n), A.dtype).swapaxes(-1, -2),
            np.zeros((*lead, k), S.dtype),
            np.zeros(lead, np.int64),
            S,
        )
    turned, *others = each(f, A, B)
    return turned.swapaxes(-1, -2)[..., :n, :], *others


def _gelsy(a: Any, b: Any, rcond: float) -> tuple:
    m, n = a.shape
    work = 2 * min(m, n) + 32 * (max(m, n) + b.shape[1]) + 1
    made = routine("gelsy", a.dtype)(a, b, np.zeros((n, 1), np.int32), rcond, work)
    return made[1], made[3], np.zeros(0, a.real.dtype)


def _gelsd(a: Any, b: Any, rcond: float) -> tuple:
    from scipy.linalg import lapack

    make = routine("gelsd", a.dtype)
    sizes = getattr(lapack, LETTER[a.dtype.name] + "gelsd_lwork")(*a.shape, b.shape[1], rcond)
    x, s, rank, _ = make(a, b, *[int(np.real(w)) for w in sizes[:-1]], rcond)
    return x, rank, s


def _gelss(a: Any, b: Any, rcond: float) -> tuple:
    _, x, s, rank, _, _ = routine("gelss", a.dtype)(a, b, cond=rcond)
    return x, rank, s


def _gels(a: Any, b: Any, rcond: float) -> tuple:
    _, x, _ = routine("gels", a.dtype)(a, b)
    return x, min(a.shape), np.zeros(0, a.real.dtype)


DRIVERS = {"gelsy": _gelsy, "gelsd": _gelsd, "gelss": _gelss, "gels": _gels}
