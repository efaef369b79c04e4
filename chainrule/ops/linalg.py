"""The rest of torch.linalg, in terms of its factorizations: norms, condition, rank, powers; and the
functions that torch has had under its own name since before torch.linalg (`torch.svd`, `torch.qr`,
`torch.slogdet` ...).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import return_types
from ..arrays.duck import somewhere
from ..errors import LinAlgError
from . import define, einsum, factorizations, products, solvers  # noqa: F401
from .convert import contiguous_format
from .define import FUNCTIONS, SAME, function, op, primitive
from .factorizations import eigvalsh, singular_vectors, svdvals
from .matrices import check_floating, check_matrix, check_sides, check_square
from .products import check_tensors, matmul, type_name, unlike_batches
from .reduce import axes_of
from .solvers import counted

LinAlgError.facets = (False, "", (), "linalg")  # type: ignore[attr-defined]
FUNCTIONS["linalg.LinAlgError"] = LinAlgError


def _call(name: str, *args: Any, **kwargs: Any) -> Any:
    """A public function of another family, by its name."""
    f = FUNCTIONS.get(name) or define.OPS[name.removeprefix("linalg.")].entry
    return f(*args, **kwargs)


def _out(out: Any) -> dict:
    return {} if out is None else {"out": out}


# -- names from before torch.linalg ----------------------------------------------------------------


@function
def inverse(input: Any, *, out: Any = None) -> Any:
    """Inverses of square matrices (..., n, n); raises LinAlgError for a singular one."""
    return solvers.inv.op.entry(input, out=out)


@function
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """Moore-Penrose inverses of matrices (..., m, n)."""
    return solvers.pinv(input, rcond)


@function
def slogdet(input: Any, *, out: Any = None) -> Any:
    """Sign (or phase) and logarithm of the absolute value of the determinants of square
    matrices.
    """
    return define.write_out(out, return_types.slogdet(*solvers.sign_and_log_determinant(input)))


@function
def logdet(input: Any) -> Any:
    """Logarithm of the determinants of square matrices; NaN where one is negative."""
    check_tensors("logdet", input=input)
    check_square("logdet", input._data)
    sign, log = solvers.sign_and_log_determinant(input)
    if input.is_complex():
        return sign.log() + log
    return _call("where", sign == -1, float("nan"), log)


@function
def det(input: Any) -> Any:
    """Determinants of square matrices (..., n, n)."""
    return solvers.determinant(input)


@function
def cholesky(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """Cholesky factor of positive-definite matrices; `linalg.cholesky` is the newer name."""
    return factorizations.old_cholesky(input, upper, **_out(out))


@function
def lu_solve(input: Any, LU_data: Any, LU_pivots: Any, *, out: Any = None) -> Any:
    """X of A X = input, from what `linalg.lu_factor` returned for A."""
    return factorizations.lu_solve(LU_data, LU_pivots, input, out=out)


@function
def lu(A: Any, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """L and U in one array, and pivots; with `get_infos` also LAPACK's verdicts."""
    LU, pivots, info = factorizations.lu_factor_ex(A, pivot)
    if get_infos:
        return define.write_out(out, return_types._lu_with_info(LU, pivots, info))
    return define.write_out(out, (LU, pivots))


@function
def qr(input: Any, some: bool = True, *, out: Any = None) -> Any:
    """Q and R of input = Q R; with `some=False` Q is square."""
    made = factorizations.orthogonal_and_upper(input, "reduced" if some else "complete")
    return define.write_out(out, return_types.qr(*made))


@function
def svd(input: Any, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """U, S and V of input = U diag(S) V^H; `linalg.svd`, which returns V^H, is the newer name."""
    if compute_uv:
        U, S, Vh = singular_vectors(input, not some)
        return define.write_out(out, return_types.svd(U, S, Vh.mH))
    check_matrix("linalg.svd", input._data)
    m, n = input.shape[-2:]
    U, V = [define.wrap(np.zeros((*input.shape[:-2], k, k), input._data.dtype)) for k in (m, n)]
    return define.write_out(out, return_types.svd(U, svdvals(input), V.mT))


@function
def orgqr(input: Any, input2: Any, *, out: Any = None) -> Any:
    """First columns of a product of Householder reflections; `linalg.householder_product` is the
    newer name.
    """
    return factorizations.householder_product(input, input2, **_out(out))


REMOVED = {
    "symeig": "eigh",
    "eig": "eig",
    "solve": "solve",
    "lstsq": "lstsq",
    "matrix_rank": "matrix_rank",
}


def _removed(name: str, successor: str) -> None:
    def raising(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"This function was deprecated since version 1.9 and is now removed. `torch.{name}` is "
            f"gone in favor of `torch.linalg.{successor}`."
        )

    raising.__name__ = raising.__qualname__ = name
    raising.__doc__ = f"Gone from torch; see `linalg.{successor}`."
    function(raising)


for _name, _successor in REMOVED.items():
    _removed(_name, _successor)


# -- products and powers ---------------------------------------------------------------------------


@op
def trace(x: Any, /) -> Any:
    """Sum of the diagonal of a matrix."""
    if x.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {x.ndim}")
    if x.dtype.kind == "b":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    m, n = x.shape
    last = max(min(m, n) - 1, 0) * (n + 1)  # where in memory order the diagonal ends
    on = x.reshape(-1)[: last + 1 : n + 1]
    return np.add.reduce(on, axis=0, dtype=np.int64 if x.dtype.kind in "iu" else x.dtype)


@trace.vjp
def _(g, x_shape):
    return np.where(np.eye(*x_shape, dtype=bool), g, g.dtype.type(0))


NEXT, LAST = np.array([1, 2, 0]), np.array([2, 0, 1])


@primitive(
    define=op,
    name="linalg_cross",
    promote=SAME,
    numbers=False,
    namespace="primitive",
    node="LinalgCrossBackward0",
)
def cross_product(x: Any, y: Any, /, dim: int) -> Any:
    """Cross products of the vectors of length 3 along `dim`."""
    once, twice = ((*(slice(None),) * dim, order) for order in (NEXT, LAST))
    return define.row_by_row(x[once] * y[twice] - x[twice] * y[once], True)


@cross_product.vjp
def _(g, y, dim):
    return cross_product(y, g, dim)


@cross_product.vjp
def _(g, x, dim):
    return cross_product(g, x, dim)


def _cross(input: Any, other: Any, dim: int | None, out: Any) -> Any:
    check_tensors("cross", input=input, other=other)
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    m, n = input.ndim, other.ndim
    if m != n:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if not -m <= dim < m:
        raise define.bad_dim(dim, m)
    p, q = input.shape[dim], other.shape[dim]
    if p != 3 or q != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {p} and {q}"
        )
    if input._data.dtype.kind == "b":
        raise NotImplementedError("\"cross\" not implemented for 'Bool'")
    if input.dtype is not other.dtype:
        raise unlike_batches(input._data, other._data)
    return cross_product.op.entry(input, other, dim % m, **_out(out))


@function
def cross(input: Any, other: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """Cross products of vectors of length 3 along `dim` (by default the first dimension of that
    size).
    """
    return _cross(input, other, dim, out)


def _linalg_cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """Cross products of vectors of length 3 along `dim`."""
    return _cross(input, other, dim, out)


_linalg_cross.__name__ = "cross"
linalg_cross = function(method=False, namespace="linalg")(_linalg_cross)


@function(method=False, namespace="linalg")
def vecdot(x: Any, y: Any, *, dim: int = -1, out: Any = None) -> Any:
    """Sum of conj(x) * y along `dim`, of broadcast tensors."""
    check_tensors("linalg_vecdot", x=x, y=y)
    check_floating("linalg.vecdot", x._data)
    if x.dtype is not y.dtype:
        raise RuntimeError(
            "linalg.vecdot: Expected x and y to have the same dtype, but found x of type "
            f"{type_name(x._data)} and y of type {type_name(y._data)} instead"
        )
    if x.ndim == y.ndim == 1:
        return products.vdot(x, y, out=out)
    return _call("sum", (x.conj() if x.is_complex() else x) * y, dim, **_out(out))


@function(alias="linalg.matrix_power")
def matrix_power(input: Any, n: int, *, out: Any = None) -> Any:
    """The n-th power of square matrices; a negative power is one of the inverse."""
    check_tensors("matrix_power", input=input)
    if not isinstance(n, int):
        raise TypeError(
            f"matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}"
        )
    if input.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_power: The input tensor A must have at least 2 dimensions."
        )
    check_sides("linalg.matrix_power", input._data)
    if n < 0:
        input = solvers.inv.op.entry(input)
    return define.write_out(out, input if n == -1 else _power(input, abs(n)))


def _power(A: Any, n: int) -> Any:
    if n == 0:
        eye = define.wrap(np.eye(A.shape[-1], dtype=A._data.dtype))
        return _call(
            "where", define.wrap(np.ones(A.shape, bool)), eye, A
        )  # A, of which nothing is taken
    if n == 1:
        return A.clone(memory_format=contiguous_format)
    result = None
    while n:
        if n & 1:
            result = A if result is None else matmul(result, A)
        n >>= 1
        A = matmul(A, A) if n else A
    return result


@function(method=False, namespace="linalg")
def vander(x: Any, *, N: int | None = None) -> Any:
    """Matrices with the powers 0 ... N - 1 of each element in a row."""
    check_tensors("linalg_vander", x=x)
    n = (x.shape[-1] if x.ndim else 1) if N is None else N
    if n <= 1:
        raise RuntimeError("N must be greater than 1.")
    x = x if x.ndim else x.reshape((1,))
    powers = x.unsqueeze(-1).expand((*x.shape, n - 1))
    ones = define.wrap(np.ones((*x.shape, 1), x._data.dtype))
    return _call("cat", (ones, powers.cumprod(-1)), -1)


def _diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices, as a view."""
    return A.diagonal(offset, dim1, dim2)


_diagonal.__name__ = "diagonal"
linalg_diagonal = function(method=False, namespace="linalg")(_diagonal)


# -- norms -----------------------------------------------------------------------------------------


def _to(A: Any, dtype: Any) -> Any:
    return A if dtype is None else A.to(dtype)


def _matrix_dims(dim: Any, ndim: int) -> tuple[int, int]:
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 2:
        raise RuntimeError(
            f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}"
        )
    first, second = (axes_of(d, ndim)[0] for d in dims)
    if first == second:
        raise RuntimeError(
            f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})"
        )
    return first, second


def _spectrum(A: Any, dims: tuple[int, int], keepdim: bool) -> tuple:
    """Singular values of the matrices in `dims`, and a function that puts those back with size 1
    into what was computed of them (if they are kept).
    """
    order = [*(d for d in range(A.ndim) if d not in dims), *dims]

    def kept(x: Any) -> Any:
        return x.reshape((*x.shape, 1, 1)).permute([order.index(d) for d in range(A.ndim)])

    return svdvals(A.permute(order)), kept if keepdim else lambda x: x


@function(method=False, namespace="linalg")
def matrix_norm(
    input: Any,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """Norms of matrices: "fro", "nuc", 2 and -2 (of singular values), 1, -1, inf and -inf (of row
    or column sums).
    """
    check_tensors("linalg_matrix_norm", input=input)
    if ord not in ("fro", "nuc") and (isinstance(ord, str) or abs(ord) not in (1, 2, float("inf"))):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    check_matrix("linalg.matrix_norm", input._data)
    dims = _matrix_dims(dim, input.ndim)
    if ord == "fro":
        return _call("linalg.vector_norm", input, 2, dims, keepdim, dtype=dtype, **_out(out))
    input = _to(input, dtype)
    if ord == "nuc":
        S, shaped = _spectrum(input, dims, keepdim)
        return define.write_out(out, shaped(_call("sum", S, -1)))
    if abs(ord) == 2:
        S, shaped = _spectrum(input, dims, keepdim)
        return define.write_out(out, shaped(_extreme(S, ord, -1)))
    over, along = dims if abs(ord) == 1 else dims[::-1]
    sums = _call("linalg.vector_norm", input, 1, (over,), keepdim)
    return define.write_out(
        out, _extreme(sums, ord, along - (along > over and not keepdim), keepdim)
    )


def _extreme(x: Any, ord: Any, dim: int, keepdim: bool = False) -> Any:
    """The largest along `dim` (0 of none), or for a negative `ord` the smallest."""
    name = "amin" if ord < 0 else "amax" if x.shape[dim] else "sum"
    return _call(name, x, dim, keepdim)


def _norm_dims(ord: Any, dim: Any, ndim: int) -> tuple | None:
    """The dimensions that `norm` is over; None for all."""
    if dim is not None:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        if ord is not None and len(dims) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}"
            )
        return dims
    if ord is None:
        return None
    if ndim > 2 or (ndim == 0 and not isinstance(ord, str)):
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{ndim}D."
        )
    return (-2, -1) if isinstance(ord, str) else tuple(range(ndim))


@function(method=False, namespace="linalg")
def norm(
    input: Any,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """Norm of vectors or matrices, by `ord` and the number of dimensions; of all elements by
    default.
    """
    check_tensors("linalg_norm", input=input)
    dims = _norm_dims(ord, dim, input.ndim)
    if ord is not None and (isinstance(ord, str) or (dims is not None and len(dims) == 2)):
        return matrix_norm(input, ord, dims, keepdim, dtype=dtype, out=out)
    order = 2 if ord is None else ord
    return _call("linalg.vector_norm", input, order, dims, keepdim, dtype=dtype, **_out(out))


@function(method=False, namespace="linalg")
def cond(input: Any, p: Any = None, *, out: Any = None) -> Any:
    """Condition numbers of matrices in the norm `p`: norm(A) norm(inverse(A)); infinite for a
    singular matrix.
    """
    check_tensors("linalg_cond", input=input)
    if input.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is None or p in (2, -2):
        S = svdvals(input)
        if not S.shape[-1]:
            return define.write_out(out, define.wrap(np.zeros(S.shape[:-1], S._data.dtype)))
        large, small = S[..., 0], S[..., -1]
        return define.write_out(out, small / large if p == -2 else large / small)
    check_sides(f"linalg.cond(ord={p})", input._data)
    inverse, info = solvers.inv_ex(input)
    made = matrix_norm(input, p) * matrix_norm(_finite(inverse), p)
    singular = define.wrap(info._data != 0)
    return define.write_out(out, _call("where", singular, float("inf"), made))


def _finite(inverse: Any) -> Any:
    """Inverses with zeros for those that are none, so that their norms can be taken."""
    bad = ~np.isfinite(inverse._data)
    return _call("where", define.wrap(bad), 0.0, inverse) if somewhere(bad) else inverse


@function(method=False, namespace="linalg")
def matrix_rank(
    input: Any,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
    out: Any = None,
) -> Any:
    """How many singular values exceed max(atol, rtol * largest); `tol` is another name of
    `atol`.
    """
    check_tensors("linalg_matrix_rank", input=input)
    if input.ndim < 2:
        raise RuntimeError(
            "torch.linalg.matrix_rank: The input tensor input must have at least 2 dimensions."
        )
    if input._data.dtype.kind not in "fc":
        raise RuntimeError("This function doesn't handle types other than float and double")
    A = input.detach()
    S = abs((eigvalsh(A) if hermitian else svdvals(A))._data)
    tolerances = (tol if atol is None else atol, 0.0 if tol is not None else rtol)
    atol, rtol = (t._data if isinstance(t, define.Tensor) else t for t in tolerances)
    found = counted(S, atol, rtol, A._data).sum(-1, dtype=np.int64)
    return define.write_out(out, define.wrap(found))


# -- factors of low rank ---------------------------------------------------------------------------


def _basis(A: Any, q: int, niter: int) -> Any:
    """An orthonormal basis that nearly spans the columns of A, by subspace iteration from random
    vectors.
    """
    random = _call("randn", A.shape[-1], q, dtype=A.dtype)
    Q = factorizations.qr(A @ random)[0]
    for _ in range(niter):
        Q = factorizations.qr(A.mH @ Q)[0]
        Q = factorizations.qr(A @ Q)[0]
    return Q


@function(method=False)
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple:
    """U, S and V of a matrix of rank q near A (or A - M), by `niter` steps of subspace iteration.

    N. Halko, P.-G. Martinsson, J. Tropp: Finding structure with randomness, algorithm 5.1.
    """
    m, n = A.shape[-2:]
    A = A if M is None else A - M
    A = A.mH if m < n else A
    Q = _basis(A, 6 if q is None else q, 2 if niter is None else niter)
    U, S, Vh = singular_vectors(Q.mH @ A, False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if m < n else (U, S, V)


@function(method=False)
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> tuple:
    """U, S and V of a matrix of rank q near A, whose columns are centred first: its principal
    components.
    """
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A, q, niter, _call("mean", A, -2, True) if center else None)
