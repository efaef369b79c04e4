"""What the rules and checks of linear algebra share: transposes, triangles and diagonals of stacks
of matrices, in array code, and torch's complaints about their shapes and dtypes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import asfortranarray, ndarray

from ..arrays.duck import Duck, laid_out
from ..dtypes import FLOATING, FROM_NUMPY
from .define import row_by_row
from .products import type_name


def mT(x: Any) -> Any:
    """The matrices transposed."""
    return x.swapaxes(-1, -2)


def mH(x: Any) -> Any:
    """The matrices transposed and conjugated."""
    return x.swapaxes(-1, -2).conj()


def columns(x: Any) -> Any:
    """The matrices, copied where they do not lie column by column in memory, as LAPACK leaves what
    it computes, and torch with it.
    """
    if type(x) is ndarray:
        if x.ndim < 3:
            return asfortranarray(x)
        turned = x.mT
        return x if turned.flags.c_contiguous else turned.copy().mT
    if x.ndim < 2 or not isinstance(x, Duck) or not x.in_memory:
        return x
    lies = x.memory()
    if type(lies) is not np.ndarray or lies.swapaxes(-1, -2).flags.c_contiguous:
        return x
    *lead, m, n = lies.shape
    return laid_out(x, np.empty((*lead, n, m), lies.dtype).swapaxes(-1, -2))


def rows(x: Any) -> Any:
    """The matrices, copied where they do not lie row by row in memory."""
    return row_by_row(x, True)


def lower(x: Any, k: int = 0) -> Any:
    """The matrices' part on and below diagonal k, zeros above."""
    return np.where(np.tri(*x.shape[-2:], k, bool), x, x.dtype.type(0))


def upper(x: Any, k: int = 0) -> Any:
    """The matrices' part on and above diagonal k, zeros below."""
    return np.where(np.tri(*x.shape[-2:], k - 1, bool), x.dtype.type(0), x)


def diagonal(x: Any) -> Any:
    """The diagonals of square matrices."""
    on = np.eye(x.shape[-1], dtype=bool)
    return np.add.reduce(np.where(on, x, x.dtype.type(0)), axis=-1)


def diagonal_matrix(v: Any) -> Any:
    """Matrices with the vectors `v` on the diagonal."""
    return np.where(np.eye(v.shape[-1], dtype=bool), v[..., None], v.dtype.type(0))


def identity(n: int, like: Any, lead: tuple = ()) -> Any:
    """Identity matrices in the dtype of `like`, one for each place of `lead`."""
    eye = np.eye(n, dtype=like.dtype)
    return np.broadcast_to(eye, (*lead, n, n)) if lead else eye


def eps_of(x: Any) -> float:
    """The spacing of numbers near 1 in the dtype of `x`."""
    return float(np.finfo(x.dtype).eps)


# -- checks ----------------------------------------------------------------------------------------


def check_matrix(name: str, x: Any, argument: str = "A") -> None:
    """Raise unless `x` has two dimensions or more, and a floating or complex dtype."""
    if x.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    check_floating(name, x)


def check_floating(name: str, x: Any) -> None:
    """Raise unless the dtype of `x` is floating or complex."""
    if FROM_NUMPY[x.dtype].category < FLOATING:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {type_name(x)}"
        )


def check_square(name: str, x: Any) -> None:
    """Raise unless `x` is a stack of square matrices of a floating or complex dtype."""
    check_matrix(name, x)
    check_sides(name, x)


def check_sides(name: str, x: Any) -> None:
    """Raise unless the matrices are square."""
    m, n = x.shape[-2:]
    if m != n:
        prefix = f"{name}: " if name else ""
        raise RuntimeError(
            f"{prefix}A must be batches of square matrices, but they are {m} by {n} matrices"
        )


def check_equation(name: str, A: Any, B: Any, left: bool, first: str = "A") -> None:
    """Raise unless A X = B (or X A = B) makes sense for square A."""
    check_sides(name, A)
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected {first} and B to have the same dtype, but found {first} of type "
            f"{type_name(A)} and B of type {type_name(B)} instead"
        )
    if A.shape[-1] != B.shape[-2 if left else -1]:
        (m, n), (p, q) = A.shape[-2:], B.shape[-2:]
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({m}x{n} and {p}x{q})"
        )


def first_failure(info: Any) -> tuple[str, int] | None:
    """Of LAPACK's verdicts on a batch the first that is not zero: which element (as text) and the
    verdict.
    """
    while isinstance(info, Duck):
        info = info.parts()[0]
    codes = np.asarray(info).reshape(-1)
    failed = np.flatnonzero(codes)
    if not failed.size:
        return None
    place = int(failed[0])
    return (f"(Batch element {place}): " if np.ndim(info) else ""), int(codes[place])


def rows_of(shape: tuple) -> int:
    """How many matrices a batch of this shape holds."""
    return math.prod(shape[:-2])
