"""Products of matrices and vectors, all of them calls of one routine: BLAS's matrix product, behind
`np.dot` and `np.matmul`.

`matmul` looks at the dimensions and picks the operator: the dot product, matrix and vector, two
matrices (the hot path: one operator of two tensors), a stack of matrices against one matrix (folded
into a single product), or batches. Each has its own `grad_fn` name, as in torch. `np.dot`, in
`product_of`, takes operands of at most two dimensions, since it costs half of what `@` does on
small arrays; both mean the same there. Nothing is promoted: operands must share their dtype.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays.batch import BatchArray
from ..dtypes import F32, F64, FLOATING, FROM_NUMPY
from ..errors import not_a_tensor
from ..tape import state
from . import define
from .define import SAME, broadcast_error, function, op, row_by_row, scalar_name

CPP_NAMES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}
NO_BOOL = "\"{}\" not implemented for 'Bool'"
product = functools.partial(op, takes="ifc", alike=True)  # of operands of one dtype


# -- what goes wrong -------------------------------------------------------------------------------


def type_name(x: Any) -> str:
    """The dtype of an array as messages name it: Float, Double, Long ..."""
    return scalar_name(FROM_NUMPY[x.dtype])


def times(shape: tuple) -> str:
    """A shape as messages print it: 2x3."""
    return "x".join(map(str, shape))


def unlike_matrices(x: Any, y: Any) -> RuntimeError:
    """The error for two matrices of different dtype."""
    a, b = (CPP_NAMES[FROM_NUMPY[m.dtype].name] for m in (x, y))
    return RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a} != {b}")


def unlike_batches(x: Any, y: Any) -> RuntimeError:
    """The error for two batches of different dtype."""
    return RuntimeError(f"expected scalar type {type_name(x)} but found {type_name(y)}")


def misfit(rows: int, inner: int, shape: Any) -> RuntimeError:
    """The error for matrices whose inner sizes differ."""
    return RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({rows}x{inner} and {times(shape)})"
    )


def misfit_vector(rows: int, shape: tuple, length: int) -> RuntimeError:
    """The error for a matrix and a vector that do not fit."""
    return RuntimeError(f"size mismatch, got input ({rows}), mat ({times(shape)}), vec ({length})")


def misfit_batch(x: Any, y: Any) -> RuntimeError:
    """The error for batches that do not fit: in the batch dimensions, or in the inner sizes."""
    broadcast = broadcast_error((x.shape[:-2], y.shape[:-2]))
    size = math.prod(np.broadcast_shapes(x.shape[:-2], y.shape[:-2])) if broadcast is None else 0
    return broadcast or RuntimeError(
        f"Expected size for first two dimensions of batch2 tensor to be: [{size}, {x.shape[-1]}] "
        f"but got: [{size}, {y.shape[-2]}]."
    )


def check_expandable(shape: tuple, target: tuple) -> None:
    """Raise torch's error if a tensor of `shape` does not broadcast to `target`."""
    lead = len(target) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.FloatTensor{{{list(shape)}}}, size={list(target)}): the number of sizes "
            f"provided ({len(target)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({len(shape)})"
        )
    for i in reversed(range(len(shape))):
        if shape[i] not in (1, target[lead + i]):
            raise RuntimeError(
                f"The expanded size of the tensor ({target[lead + i]}) must match the existing "
                f"size ({shape[i]}) at non-singleton dimension {lead + i}.  Target sizes: "
                f"{list(target)}.  Tensor sizes: {list(shape)}"
            )


def check_tensors(name: str, **given: Any) -> None:
    """Raise torch's TypeError unless all that is given are tensors."""
    for i, (argument, x) in enumerate(given.items()):
        if not isinstance(x, define.Tensor):
            raise not_a_tensor(name, argument, i + 1, x)


# -- two operands ----------------------------------------------------------------------------------


def product_of(x: Any, y: Any) -> Any:
    """np.dot(x, y) with torch's signs of zeros; on plain arrays by the method, which does not ask
    who else might answer.
    """
    if x.shape[-1] == 1:
        return _one_term(x, y)
    return x.dot(y) if type(x) is type(y) is ndarray else np.dot(x, y)


def _one_term(x: Any, y: Any) -> Any:
    """np.dot(x, y) where sums have a single term: a product of two matrices is that term, batches
    and the others add it to 0, which makes 0 of -0.
    """
    if type(x) is type(y) is ndarray and y.ndim < 3 and (x.size == 1 or y.size == 1):
        return np.matmul(x, y) + x.dtype.type(0)  # np.dot would leave out infinity times 0
    if x.dtype is not y.dtype or (x.dtype is not F32 and x.dtype is not F64):
        return np.dot(x, y)
    matrices = x.ndim == y.ndim == 2 and x.shape[0] > y.shape[0] == 1 < y.shape[1]
    if matrices and not (isinstance(x, BatchArray) or isinstance(y, BatchArray)):
        return x * y
    z = np.dot(x, y)
    return z + 0.0 if z.size == 1 else z


@product(refusal=NO_BOOL.format("addmm_impl_cpu_"))
def mm(x: Any, mat2: Any, /) -> Any:
    """Matrix product of (n, k) and (k, m)."""
    if x.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(("mat2" if x.ndim == 2 else "self") + " must be a matrix")
    if x.dtype is not mat2.dtype:
        raise unlike_matrices(x, mat2)
    try:
        return product_of(x, mat2)
    except ValueError:
        raise misfit(x.shape[0], x.shape[1], mat2.shape) from None


@mm.vjp
def _(g, mat2):
    return product_of(g, mat2.T)


@mm.vjp
def _(g, x):
    return product_of(x.T, g)


@product(refusal=NO_BOOL.format("addmv_impl_cpu"))
def mv(x: Any, vec: Any, /) -> Any:
    """Product of a matrix (n, k) and a vector (k)."""
    if x.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {x.ndim}, {vec.ndim}")
    if x.dtype is not vec.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {type_name(vec)}, "
            f"{type_name(x)}, and {type_name(vec)}"
        )
    try:
        return product_of(x, vec)
    except ValueError:
        raise misfit_vector(x.shape[0], x.shape, vec.shape[0]) from None


@mv.vjp
def _(g, vec):
    return g[:, None] * vec


@mv.vjp
def _(g, x):
    return product_of(x.T, g)


@product(
    refusal=NO_BOOL.format("addmm_impl_cpu_"),
    namespace="primitive",
    node="SqueezeBackward4",
)
def vector_matrix(x: Any, y: Any, /) -> Any:
    """Product of a vector (k) and a matrix (k, m)."""
    if x.dtype is not y.dtype:
        raise unlike_matrices(x, y)
    try:
        return product_of(x, y)
    except ValueError:
        raise misfit(1, x.shape[0], y.shape) from None


@vector_matrix.vjp
def _(g, y):
    return product_of(y, g)


@vector_matrix.vjp
def _(g, x):
    return x[:, None] * g


def _check_vectors(x: Any, y: Any) -> None:
    if x.ndim != 1 or y.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {type_name(x)} and "
            f"{type_name(y)}"
        )
    if x.shape != y.shape:
        n, m = x.size, y.size
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same "
            f"number of elements, but got {n} and {m} elements respectively"
        )


@product(refusal=NO_BOOL.format("dot"))
def dot(x: Any, tensor: Any, /) -> Any:
    """Sum of the products of the elements of two vectors (nothing is conjugated)."""
    _check_vectors(x, tensor)
    return product_of(x, tensor)


@dot.vjp
def _(g, tensor):
    return g * tensor


@dot.vjp
def _(g, x):
    return g * x


@product(refusal=NO_BOOL.format("dot"))
def vdot(x: Any, y: Any, /) -> Any:
    """Sum of conj(input) * other over two vectors."""
    _check_vectors(x, y)
    return product_of(x.conj(), y)


@vdot.vjp
def _(g, y):
    return (g * y).conj()


@vdot.vjp
def _(g, x):
    return g * x.conj()


@op(promote=SAME, numbers=False, alias="ger", node="MulBackward0")
def outer(x: Any, vec2: Any, /) -> Any:
    """The matrix of the products of each element of one vector with each of another."""
    if x.ndim != 1 or vec2.ndim != 1:
        name, ndim = ("self", x.ndim) if x.ndim != 1 else ("vec2", vec2.ndim)
        raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {ndim}-D")
    return x[:, None] * vec2


@outer.vjp
def _(g, vec2):
    return product_of(g, vec2)


@outer.vjp
def _(g, x):
    return product_of(x, g)


# -- batches ---------------------------------------------------------------------------------------


@product(refusal=NO_BOOL.format("bmm"))
def bmm(x: Any, mat2: Any, /) -> Any:
    """Matrix products of (b, n, k) and (b, k, m), one for each of the batch."""
    for i, a in enumerate((x, mat2)):
        if a.ndim != 3:
            raise RuntimeError(f"batch{i + 1} must be a 3D tensor")
    if x.dtype is not mat2.dtype:
        raise unlike_batches(x, mat2)
    if x.shape[0] != mat2.shape[0] or x.shape[2] != mat2.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{x.shape[0]}, "
            f"{x.shape[2]}] but got: [{mat2.shape[0]}, {mat2.shape[1]}]."
        )
    return np.matmul(x, mat2)


@bmm.vjp
def _(g, mat2):
    return np.matmul(g, mat2.swapaxes(1, 2))


@bmm.vjp
def _(g, x):
    return np.matmul(x.swapaxes(1, 2), g)


@product(
    refusal=NO_BOOL.format("bmm"),
    namespace="primitive",
    node="UnsafeViewBackward0",
)
def batches(x: Any, y: Any, /) -> Any:
    """Matrix products over broadcast batch dimensions."""
    if x.dtype is not y.dtype:
        raise unlike_batches(x, y)
    try:
        return row_by_row(np.matmul(x, y), True)
    except ValueError:
        raise misfit_batch(x, y) from None


@batches.vjp
def _(g, y):
    return np.matmul(g, y.swapaxes(-1, -2))


@batches.vjp
def _(g, x):
    return np.matmul(x.swapaxes(-1, -2), g)


@product(
    refusal=NO_BOOL.format("bmm"),
    namespace="primitive",
    node="UnsafeViewBackward0",
)
def vector_batches(x: Any, y: Any, /) -> Any:
    """Products of one vector (k) with many matrices (..., k, m)."""
    if x.dtype is not y.dtype:
        raise unlike_batches(x, y)
    try:
        return row_by_row(np.matmul(x, y), True)
    except ValueError:
        raise misfit_batch(x[None], y) from None


@vector_batches.vjp
def _(g, y):
    return np.matmul(y, g[..., None])[..., 0]


@vector_batches.vjp
def _(g, x):
    return x[:, None] * g[..., None, :]


def flat(x: Any) -> Any:
    """The last dimension kept, all others in one."""
    return x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


@product(
    refusal=NO_BOOL.format("addmm_impl_cpu_"),
    namespace="primitive",
    node="UnsafeViewBackward0",
)
def folded(x: Any, y: Any, /) -> Any:
    """Products of many matrices (..., n, k) with one (k, m), as a single product."""
    if x.dtype is not y.dtype:
        raise unlike_matrices(x, y)
    if x.shape[-1] != y.shape[0]:
        raise misfit(math.prod(x.shape[:-1]), x.shape[-1], y.shape)
    return product_of(flat(x), y).reshape((*x.shape[:-1], y.shape[1]))


@folded.vjp
def _(g, y):
    return product_of(flat(g), y.T).reshape((*g.shape[:-1], y.shape[0]))


@folded.vjp
def _(g, x):
    return product_of(flat(x).T, flat(g))


@product(
    refusal=NO_BOOL.format("addmv_impl_cpu"),
    namespace="primitive",
    node="UnsafeViewBackward0",
)
def folded_vector(x: Any, y: Any, /) -> Any:
    """Products of many matrices (..., n, k) with one vector (k), as a single product."""
    rows = math.prod(x.shape[:-1])
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {type_name(y)}, "
            f"{type_name(x)}, and {type_name(y)}"
        )
    if x.shape[-1] != y.shape[0]:
        raise misfit_vector(rows, (rows, x.shape[-1]), y.shape[0])
    return product_of(flat(x), y).reshape(x.shape[:-1])


@folded_vector.vjp
def _(g, y):
    return g[..., None] * y


@folded_vector.vjp
def _(g, x):
    return product_of(flat(x).T, g.reshape(-1))


# -- the product that fits -------------------------------------------------------------------------

PRODUCTS = {(1, 1): dot, (2, 1): mv, (1, 2): vector_matrix, (2, 2): mm}


def _product(input: Any, other: Any) -> Any:
    """The operator for two tensors, by their dimensions."""
    m, n = input._data.ndim, other._data.ndim
    found = PRODUCTS.get((m, n))
    if found is not None:
        return found
    if not m or not n:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {m}D and {n}D"
        )
    if n <= 2:
        return folded if n == 2 else folded_vector
    return vector_batches if m == 1 else batches


@function(alias="linalg.matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """Product of vectors, matrices or broadcast batches of matrices, by the dimensions of the
    operands.

    Raises RuntimeError for sizes that do not fit, 0-d operands, and operands of different dtype.
    """
    try:
        if input._data.ndim == 2 == other._data.ndim and out is None:
            return mm(input, other)
        return _product(input, other)(input, other, out=out)
    except AttributeError:
        if isinstance(input, define.Tensor) and isinstance(other, define.Tensor):
            raise
        at = int(isinstance(input, define.Tensor))
        raise not_a_tensor("matmul", ("input", "other")[at], at + 1, (input, other)[at]) from None


def matmul_operator(self: Any, other: Any) -> Any:
    """`self @ other`."""
    try:
        matrices = self._data.ndim == 2 == other._data.ndim
    except AttributeError:
        return NotImplemented
    return mm(self, other) if matrices else _product(self, other)(self, other)


def reflected_matmul_operator(self: Any, other: Any) -> Any:
    """`other @ self`."""
    return matmul_operator(other, self) if isinstance(other, define.Tensor) else NotImplemented


define.Tensor.__matmul__, define.Tensor.__rmatmul__ = matmul_operator, reflected_matmul_operator


# -- a product and a sum ---------------------------------------------------------------------------


def _scaled(x: Any, scale: Any) -> Any:
    """x * scale, for integers by the whole part of the scale."""
    if scale == 1:
        return x
    return x * (int(scale) if x.dtype.kind in "iu" else scale)


def _sum(x: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """beta * x + alpha * product; with beta = 0, `x` and whatever it holds (NaN too) is
    left out.
    """
    check_expandable(x.shape, product.shape)
    product = _scaled(product, alpha)
    if beta == 0:
        return product
    return product + _scaled(x, beta)


def _rule_for_summand(g, beta):
    return _scaled(g, beta)


@product(inplace=True, refusal=NO_BOOL.format("addmm_impl_cpu_"))
def addmm(x: Any, mat1: Any, mat2: Any, /, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (mat1 @ mat2), for matrices (n, k) and (k, m)."""
    for name, m in (("mat1", mat1), ("mat2", mat2)):
        if m.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {m.ndim}-D tensor")
    if x.dtype is not mat2.dtype or mat1.dtype is not mat2.dtype:
        name, other = ("self", x) if x.dtype is not mat2.dtype else ("mat1", mat1)
        raise RuntimeError(
            f"{name} and mat2 must have the same dtype, but got {type_name(other)} and "
            f"{type_name(mat2)}"
        )
    if mat1.shape[1] != mat2.shape[0]:
        raise misfit(mat1.shape[0], mat1.shape[1], mat2.shape)
    return _sum(x, product_of(mat1, mat2), beta, alpha)


addmm.vjp(_rule_for_summand)


@addmm.vjp
def _(g, mat2, alpha):
    return _scaled(product_of(g, mat2.T), alpha)


@addmm.vjp
def _(g, mat1, alpha):
    return _scaled(product_of(mat1.T, g), alpha)


@product(inplace=True, refusal=NO_BOOL.format("addmv_impl_cpu"))
def addmv(x: Any, mat: Any, vec: Any, /, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (mat @ vec), for a matrix (n, k) and a vector (k)."""
    if mat.ndim != 2 or vec.ndim != 1 or x.ndim > 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {x.ndim}, {mat.ndim}, {vec.ndim}"
        )
    if not x.dtype is mat.dtype is vec.dtype:
        raise RuntimeError(
            f"addmv input tensors must have the same dtype, but got {type_name(x)}, "
            f"{type_name(mat)}, and {type_name(vec)}"
        )
    if mat.shape[1] != vec.shape[0] or x.size not in (1, mat.shape[0]):
        raise misfit_vector(x.size, mat.shape, vec.shape[0])
    return _sum(x, product_of(mat, vec), beta, alpha)


addmv.vjp(_rule_for_summand)


@addmv.vjp
def _(g, vec, alpha):
    return _scaled(g[:, None] * vec, alpha)


@addmv.vjp
def _(g, mat, alpha):
    return _scaled(product_of(mat.T, g), alpha)


def _check_batches(x: Any, batch1: Any, batch2: Any) -> None:
    for i, b in enumerate((batch1, batch2)):
        if b.ndim != 3:
            raise RuntimeError(f"batch{i + 1} must be a 3D tensor")
    if not x.dtype is batch1.dtype is batch2.dtype:
        a, b, c = (CPP_NAMES[FROM_NUMPY[m.dtype].name] for m in (x, batch1, batch2))
        raise RuntimeError(
            f"Input dtypes must be the same, got: input {a}, batch1: {b}, batch2: {c}"
        )


@product(inplace=True, refusal=NO_BOOL.format("baddbmm"))
def baddbmm(x: Any, batch1: Any, batch2: Any, /, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (batch1 @ batch2), for batches (b, n, k) and (b, k, m)."""
    _check_batches(x, batch1, batch2)
    (b, n, k), m = batch1.shape, batch2.shape[2]
    check_expandable(x.shape, (b, n, m))
    if batch2.shape[:2] != (b, k):
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{b}, {k}] but got: "
            f"{list(batch2.shape[:2])}."
        )
    return _sum(x, np.matmul(batch1, batch2), beta, alpha)


baddbmm.vjp(_rule_for_summand)


@baddbmm.vjp
def _(g, batch2, alpha):
    return _scaled(np.matmul(g, batch2.swapaxes(1, 2)), alpha)


@baddbmm.vjp
def _(g, batch1, alpha):
    return _scaled(np.matmul(batch1.swapaxes(1, 2), g), alpha)


@product(inplace=True, refusal=NO_BOOL.format("addbmm"))
def addbmm(x: Any, batch1: Any, batch2: Any, /, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (the sum over the batch of batch1 @ batch2), for batches (b, n, k) and
    (b, k, m).
    """
    _check_batches(x, batch1, batch2)
    (b, n, k), m = batch1.shape, batch2.shape[2]
    check_expandable(x.shape, (n, m))
    if batch2.shape[0] != b:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {b} and {batch2.shape[0]}"
        )
    if batch2.shape[1] != k:
        raise RuntimeError(
            f"Incompatible matrix sizes for bmm ({n}x{k} and {times(batch2.shape[1:])})"
        )
    wide = batch1.transpose((1, 0, 2)).reshape((n, b * k))
    return _sum(x, product_of(wide, batch2.reshape((b * k, m))), beta, alpha)


addbmm.vjp(_rule_for_summand)


@addbmm.vjp
def _(g, batch2, alpha):
    return _scaled(np.matmul(g, batch2.swapaxes(1, 2)), alpha)


@addbmm.vjp
def _(g, batch1, alpha):
    return _scaled(np.matmul(batch1.swapaxes(1, 2), g), alpha)


@op(promote=SAME, numbers=False, inplace=True)
def addr(x: Any, vec1: Any, vec2: Any, /, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * outer(vec1, vec2)."""
    for name, v in (("vec1", vec1), ("vec2", vec2)):
        if v.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {v.ndim}-D")
    check_expandable(x.shape, (vec1.size, vec2.size))
    if FROM_NUMPY[x.dtype].category < FLOATING:
        for name, scale in (("beta", beta), ("alpha", alpha)):
            if isinstance(scale, float):
                raise RuntimeError(
                    f"For integral input tensors, argument {name} must not be a floating point "
                    "number."
                )
    if x.dtype.kind == "b":
        return (vec1[:, None] & vec2 & bool(alpha)) | (x & bool(beta))
    return _sum(x, vec1[:, None] * vec2, beta, alpha)


addr.vjp(_rule_for_summand)


@addr.vjp
def _(g, vec2, alpha):
    return _scaled(product_of(g, vec2), alpha)


@addr.vjp
def _(g, vec1, alpha):
    return _scaled(product_of(vec1, g), alpha)


# -- linear layers ---------------------------------------------------------------------------------


def _check_linear(x: Any, weight: Any, bias: Any = None) -> None:
    if not x.ndim:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are 0D and {weight.ndim}D"
        )
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if weight.ndim < 2:
        raise RuntimeError(f"mat2 must be a matrix, got {weight.ndim}-D tensor")
    if bias is not None and bias.dtype is not weight.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {type_name(bias)} and "
            f"{type_name(weight)}"
        )
    if x.dtype is not weight.dtype:
        if bias is None:
            raise unlike_matrices(x, weight)
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {type_name(x)} and "
            f"{type_name(weight)}"
        )
    rows = math.prod(x.shape[:-1])
    if x.shape[-1] != weight.shape[1]:
        raise misfit(rows, x.shape[-1], weight.shape[::-1])
    if bias is not None:
        check_expandable(bias.shape, (rows, weight.shape[0]))


def _affine(x: Any, weight: Any, bias: Any, /) -> Any:
    """x @ weight.T + bias for x of (..., k), weight of (m, k): a single product."""
    try:
        out = product_of(x if x.ndim == 2 else flat(x), weight.T)
        if x.dtype is not weight.dtype or bias.dtype is not x.dtype or weight.ndim != 2:
            raise ValueError
        if type(out) is np.ndarray is type(bias):
            out += bias
        else:
            out = out + bias
    except ValueError:
        _check_linear(x, weight, bias)
        raise
    return out if x.ndim == 2 else out.reshape((*x.shape[:-1], weight.shape[0]))


def _projection(x: Any, weight: Any, /) -> Any:
    """x @ weight.T for x of (..., k), weight of (m, k): a single product."""
    if x.dtype is not weight.dtype or weight.ndim != 2 or not x.ndim:
        _check_linear(x, weight)
    try:
        out = product_of(x if x.ndim == 2 else flat(x), weight.T)
    except ValueError:
        _check_linear(x, weight)
        raise
    return out if x.ndim == 2 else out.reshape((*x.shape[:-1], weight.shape[0]))


MATRIX = (lambda g, weight: product_of(g, weight), lambda g, x: product_of(g.T, x), lambda g: g)
STACK = (
    lambda g, weight: product_of(flat(g), weight).reshape((*g.shape[:-1], weight.shape[1])),
    lambda g, x: product_of(flat(g).T, flat(x)),
    lambda g: g,
)


def _linear_op(kernel: Any, name: str, node: str, rules: tuple) -> define.Op:
    entry = product(
        kernel,
        name=name,
        node=node,
        rules=rules,
        namespace="primitive",
        refusal=NO_BOOL.format("addmm_impl_cpu_"),
    )
    return entry.op


AFFINE = (
    _linear_op(_affine, "folded_affine", "ViewBackward0", STACK),
    _linear_op(_affine, "affine", "AddmmBackward0", MATRIX),
)
PROJECTION = (
    _linear_op(_projection, "folded_projection", "UnsafeViewBackward0", STACK[:2]),
    _linear_op(_projection, "projection", "MmBackward0", MATRIX[:2]),
)


@function(method=False, namespace="nn.functional")
def linear(input: Any, weight: Any, bias: Any = None, *, out: Any = None) -> Any:
    """input @ weight.T + bias, for an input of (..., k), a weight of (m, k) and a bias of (m) or
    None.
    """
    try:
        x, w, b = input._data, weight._data, None if bias is None else bias._data
        dtype = x.dtype
        ready = (dtype is F32 or dtype is F64) and dtype is w.dtype and w.ndim == 2 and x.ndim
    except AttributeError:
        ready = False
    if not ready or out is not None:
        return define.write_out(out, _any_linear(input, weight, bias), input, weight)
    run, grad = state.mode
    try:
        z = run(_projection, x, w) if b is None else run(_affine, x, w, b)
    except (RuntimeError, ValueError):
        return _any_linear(input, weight, bias)
    t = define.blank()
    t._data, t._index = z, 0
    t._node = t._storage = t._base = None
    if grad:
        _record_linear(t, input, weight, bias)
    return t


def _record_linear(out: Any, input: Any, weight: Any, bias: Any) -> None:
    """Leave the node of a linear layer, as `Op.attach` would, in half the time."""
    owners = (input, weight) if bias is None else (input, weight, bias)
    for t in owners:
        if t._base is not None and t._base._node is not t._seen:
            define.refresh(t)
    m, n, p = input._node, weight._node, None if bias is None else bias._node
    if m is None and n is None and p is None:
        return
    x, w, z = input._data, weight._data, out._data
    matrix = x.ndim == 2
    owner = (AFFINE if bias is not None else PROJECTION)[matrix]
    if (m is not None and weight._inference) or (n is not None and input._inference):
        define.refuse_inference(owner, n is not None, owners)
    for_x = None if m is None else (w,)
    for_w = None if n is None else (x,)
    if bias is None:
        out._node = define.record(
            owner,
            z.shape,
            z.dtype,
            (m, n),
            (input._index, weight._index),
            (for_x, for_w),
        )
    else:
        out._node = define.record(
            owner,
            z.shape,
            z.dtype,
            (m, n, p),
            (input._index, weight._index, bias._index),
            (for_x, for_w, None if p is None else ()),
        )


def _any_linear(input: Any, weight: Any, bias: Any) -> Any:
    """`linear` for any dtypes and dimensions, by the general path; whatever is wrong is raised
    there.
    """
    if (
        bias is None
        and weight.__class__ is define.Tensor
        and weight._data.ndim == 1
        and input._data.ndim
    ):
        return matmul(input, weight)
    optional = {} if bias is None else {"bias": bias}
    check_tensors("linear", input=input, weight=weight, **optional)
    matrix = input._data.ndim == 2
    if bias is None:
        return PROJECTION[matrix].entry(input, weight)
    return AFFINE[matrix].entry(input, weight, bias)
