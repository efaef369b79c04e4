"""Norms and distances: (sum |x|^p)^(1/p) of a vector, of a difference, of all pairs of rows.

`norm_of` and `pull_norm` are the kernel and the rule; every function here is the two of them on
something: an array, a difference of two, differences of pairs. At zero, where a norm has a kink,
the gradient is zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..arrays.sums import add_up
from ..dtypes import COMPLEX, F32, F64, FLOATING, FROM_NUMPY, default, promote_types
from .define import (
    FUNCTIONS,
    MOVE,
    SAME,
    function,
    op,
    scalar_name,
    with_dimensions,
    write_out,
)
from .elementwise import signs
from .index import dim_of, tensor_data
from .places import put_add
from .reduce import Dims, axes_of, refuse_integers, spread

INF = math.inf
NORM_OF_INTEGERS = (
    "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}"
)
DIST_OF_INTEGERS = "norm(): input dtype should be either floating point or complex. Got {} instead."


def norm_of(x: Any, p: float, axes: tuple, keepdim: bool) -> Any:
    """The p-norm along `axes`; p = 0 counts what is not zero, p = inf and -inf are the extremes."""
    if isinstance(x, Duck) and p not in (0, 1, INF, -INF):  # forward mode at a kink
        size = size_of(x, p, axes)
        kept = [n for i, n in enumerate(x.shape) if i not in axes]
        return size if keepdim else size.reshape(kept)
    return _norm_of(x, p, axes, keepdim)


def _norm_of(x: Any, p: float, axes: tuple, keepdim: bool) -> Any:
    if p == 0:
        return np.add.reduce(x != 0, axis=axes, dtype=x.real.dtype, keepdims=keepdim)
    if p == 2 and x.dtype.kind == "f":
        return np.sqrt(add_up(x * x, axes, keepdim))
    size = np.abs(x)
    if p in (INF, -INF):
        return (np.maximum if p > 0 else np.minimum).reduce(size, axis=axes, keepdims=keepdim)
    if p == 1:
        return add_up(size, axes, keepdim)
    powers = size**p
    if p < 1 and isinstance(size, Duck):  # steep at zero; the derivative there is to be zero
        zero = size == 0
        powers = np.where(zero, 0 if p > 0 else INF, np.where(zero, 1, size) ** p)
    return add_up(powers, axes, keepdim) ** (1 / p)


def pull_norm(g: Any, x: Any, out: Any, p: float, axes: tuple | None) -> Any:
    """The cotangent of `x` from that of its norm `out`, both spread to where they broadcast.

    Where p is inf, elements that tie along `axes` share it; without `axes` each gets all of it.
    Where p is 1, NaN gets nothing; without `axes` NaN.
    """
    if p == 0:
        return None
    if p == 2:
        return g * np.where(out == 0, 0, x.conj() / out)
    size = np.abs(x)
    if p == 1:
        return g * (np.sign(x) if axes is None else direction(x, size))
    if p in (INF, -INF):
        hit = size == out
        if axes is not None:
            g = g / np.add.reduce(hit.astype(size.dtype), axis=axes, keepdims=True)
        return np.where(hit, g * direction(x, size), 0)
    if p < 1:
        return np.where(size == 0, 0, size ** (p - 1)) * direction(x, size) * g * out ** (1 - p)
    steep = size ** (p - 1) * direction(x, size) if p < 2 else x.conj() * size ** (p - 2)
    return steep * np.where(out == 0, 0, g * np.where(out == 0, 1, out) ** (1 - p))


def size_of(x: Any, p: float, axes: tuple) -> Any:
    """The norm as size 1 along `axes`, with derivative 0 where all is zero: for rules."""
    nothing = np.logical_and.reduce(x == 0, axis=axes, keepdims=True)
    safe = np.where(nothing, x.dtype.type(1), x)
    return np.where(nothing, 0, _norm_of(safe, p, axes, True)).astype(x.real.dtype)


def direction(x: Any, size: Any) -> Any:
    """x / |x| as the rules need it (conjugated), 0 at 0."""
    if x.dtype.kind == "f":
        return signs(x)
    zero = size == 0
    return np.where(zero, 0, x.conj() / np.where(zero, 1, size))


# -- norms -----------------------------------------------------------------------------------------


@op(name="linalg_vector_norm", namespace="primitive", by_rule=True, rows=True)
def length(x: Any, /, ord: float = 2, dim: Dims = None, keepdim: bool = False) -> Any:
    """The vector norm along `dim`."""
    axes = axes_of(dim, x.ndim)
    if not x.size and (ord < 0 or ord == INF):
        check_identity(x.shape, ord, dim, axes)
    return norm_of(x, ord, axes, keepdim)


@length.vjp
def _(g, x, out, ord, dim, keepdim):
    g, out = spread(g, dim, keepdim, x.ndim), spread(out, dim, keepdim, x.ndim)
    return pull_norm(g, x, out, ord, axes_of(dim, x.ndim))


def check_identity(shape: tuple, p: float, dim: Dims, axes: tuple) -> None:
    """Raise torch's error for extremes over nothing."""
    text = f"linalg.vector_norm cannot compute the {p:g} norm on "
    why = "the operation does not have an identity"
    if dim is None or not np.size(dim):
        raise RuntimeError(f"{text}an empty tensor because {why}")
    for axis in axes:
        if not shape[axis]:
            text += f"the dimension {axis}because this dimension is empty and "
            raise RuntimeError(text + why)


def with_dtype(input: Any, dtype: Any) -> Any:
    """`input` in the dtype a norm is asked for in, if torch allows it."""
    refuse_integers(NORM_OF_INTEGERS, tensor_data("norm", input))
    own, name = FROM_NUMPY[input._data.dtype], "linalg.vector_norm: "
    if dtype is None or dtype is own:
        return input
    kind = scalar_name(dtype)
    if dtype.category < FLOATING:
        raise RuntimeError(f"{name}dtype should be floating point or complex, but got {kind}")
    if dtype.category != own.category:
        word = "complex for complex" if own.category == COMPLEX else "real for real"
        raise RuntimeError(f"{name}dtype should be {word} inputs, but got {kind}")
    if promote_types(dtype, own) is not dtype:
        raise RuntimeError(
            f"{name}the dtype of the input ({scalar_name(own)}) should be convertible without "
            f"narrowing to the specified dtype ({kind})"
        )
    return input.to(dtype)


@function(method=False, namespace="linalg")
def vector_norm(
    input: Any,
    ord: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """(sum |x|^ord)^(1/ord) over all elements or along `dim`; computed in `dtype` if given."""
    if isinstance(ord, str):
        raise TypeError("linalg_vector_norm(): argument 'ord' (position 2) must be Number, not str")
    return write_out(out, length(with_dtype(input, dtype), ord, dim, keepdim), input)


@function
def norm(
    input: Any,
    p: Any = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Any:
    """Vector norm of the elements, of all or along `dim`; with p="nuc" the nuclear matrix norm."""
    if isinstance(p, str) and p != "fro":
        dims = (-2, -1) if dim is None else dim
        return FUNCTIONS["linalg.matrix_norm"](input, p, dims, keepdim, dtype=dtype, out=out)
    order = 2 if p is None or p == "fro" else p
    return vector_norm(input, order, dim, keepdim, dtype=dtype, out=out)


@function(method=False, namespace="nn.functional")
def normalize(
    input: Any, p: float = 2.0, dim: Dims = 1, eps: float = 1e-12, out: Any = None
) -> Any:
    """input / max(|input|_p, eps), the norm being along `dim`."""
    return write_out(out, input / vector_norm(input, p, dim, True).clamp_min(eps), input)


@function(method=False)
def norm_except_dim(v: Any, pow: float = 2, dim: int = 0) -> Any:
    """The norm of each slice of `dim` (of all for -1), the other dimensions kept as size 1."""
    data = tensor_data("norm_except_dim", v, "v")
    return vector_norm(v, pow, None if dim == -1 else others(dim, data.ndim), dim != -1)


@op(inplace=True, rows=True)
def renorm(x: Any, /, p: float, dim: int, maxnorm: float) -> Any:
    """Each slice of `dim` whose p-norm is above `maxnorm`, scaled down to it."""
    check_renorm(x, p, maxnorm)
    axis = dim_of(dim, x.ndim)
    return x * shrink(norm_of(x, p, others(axis, x.ndim), True), maxnorm)


@renorm.vjp
def _(g, x, p, dim, maxnorm):
    axes = others(dim_of(dim, x.ndim), x.ndim)
    size = size_of(x, p, axes)
    pulled = add_up((g * x).real, axes, True)
    slope = np.where(size > maxnorm, -maxnorm / ((size + 1e-7) * (size + 1e-7)), 0)
    turned = np.where(size > maxnorm, pull_norm(pulled * slope, x, size, p, axes), 0)
    return g * shrink(size, maxnorm) + turned


def shrink(size: Any, maxnorm: float) -> Any:
    """The factor that brings a norm above `maxnorm` down to it."""
    return np.where(size > maxnorm, maxnorm / (size + 1e-7), 1).astype(size.dtype)


def others(axis: int, ndim: int) -> tuple:
    """All axes but one."""
    return tuple([i for i in range(ndim) if i != axis])


def check_renorm(x: Any, p: float, maxnorm: float) -> None:
    """Raise torch's error for what cannot be renormed."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if x.ndim < 2:
        text = f"input needs at least 2 dimensions, got {x.ndim} dimensions"
        raise RuntimeError(f"renorm: {text}")
    refuse_integers(NORM_OF_INTEGERS, x)


# -- distances -------------------------------------------------------------------------------------


@op(promote=SAME, numbers=False, by_rule=True)
def dist(x: Any, y: Any, /, p: float = 2) -> Any:
    """The p-norm of input - other."""
    refuse_integers(DIST_OF_INTEGERS, x)
    gap = x - y
    return norm_of(gap, p, axes_of(None, gap.ndim), False)


@dist.vjp_all
def _(g, x, y, out, p):
    gap = x - y
    pulled = pull_norm(g, gap, out, p, axes_of(None, gap.ndim))
    return (pulled, None if pulled is None else -pulled)


@op(
    promote=SAME,
    numbers=False,
    by_rule=True,
    alias="nn.functional.pairwise_distance",
    method=False,
    node="NormBackward1",
    rows=True,
)
def pairwise_distance(
    x1: Any, x2: Any, /, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    gap = x1 - x2
    if FROM_NUMPY[gap.dtype].category < FLOATING:
        gap = gap.astype(default.real.numpy)
    gap = gap + gap.dtype.type(eps)
    return norm_of(gap, p, axes_of(-1, gap.ndim), keepdim)


@pairwise_distance.vjp_all
def _(g, x1, x2, out, p, eps, keepdim):
    gap = x1 - x2 + eps
    g, out = spread(g, -1, keepdim, gap.ndim), spread(out, -1, keepdim, gap.ndim)
    pulled = pull_norm(g, gap, out, p, axes_of(-1, gap.ndim))
    return (pulled, None if pulled is None else -pulled)


MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)
FEW = 25


@op(name="cdist", promote=MOVE, namespace="primitive", by_rule=True, rows=True)
def all_distances(x1: Any, x2: Any, /, p: float, by_products: bool) -> Any:
    """The p-norm of the difference of each row of `x1` and each row of `x2`."""
    if not x1.shape[-1]:
        return np.add.reduce(x1[..., :, None, :] - x2[..., None, :, :], axis=-1)
    if by_products:
        squares = squared(x1)[..., :, None] + squared(x2)[..., None, :]
        return np.sqrt(np.maximum(squares - 2 * (x1 @ x2.swapaxes(-1, -2)), 0))
    gaps = x1[..., :, None, :] - x2[..., None, :, :]
    return norm_of(gaps, p, (gaps.ndim - 1,), False)


def squared(x: Any) -> Any:
    """The squared length of each row."""
    return np.add.reduce(x * x, axis=-1)


@all_distances.vjp_all
def _(g, x1, x2, out, p, by_products):
    if by_products:
        pull = np.where(out == 0, 0, g / out)
        g1 = x1 * np.add.reduce(pull, axis=-1, keepdims=True) - pull @ x2
        back = pull.swapaxes(-1, -2)
        return g1, x2 * np.add.reduce(back, axis=-1, keepdims=True) - back @ x1
    if p == 0:
        return np.zeros(x1.shape, x1.dtype), np.zeros(x2.shape, x2.dtype)
    gaps = x1[..., :, None, :] - x2[..., None, :, :]
    pulled = pull_distance(g, gaps, out, p)
    return np.add.reduce(pulled, axis=-2), -np.add.reduce(pulled, axis=-3)


def pull_distance(g: Any, gaps: Any, out: Any, p: float) -> Any:
    """The cotangent of gaps from that of their p-norms `out` over the last axis; nothing comes from
    a distance of 0, not even NaN, but where the rule does not divide by it.
    """
    g = g if p in (1, INF) else np.where(out == 0, 0, g)
    return pull_norm(g[..., None], gaps, out[..., None], p, None)


@function(method=False)
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = MODES[0]) -> Any:
    """The p-norm of the difference of each row of `x1` (..., P, M) and each of `x2` (..., R, M)."""
    if compute_mode not in MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    x, y = tensor_data("cdist", x1, "x1"), tensor_data("cdist", x2, "x2", 2)
    check_rows(x, y, p)
    many = x.shape[-2] > FEW or y.shape[-2] > FEW
    return all_distances(x1, x2, p, p == 2 and (many, True, False)[MODES.index(compute_mode)])


def check_rows(x: Any, y: Any, p: float) -> None:
    """Raise torch's error for what has no rows to compare."""
    for name, a in (("X1", x), ("X2", y)):
        kind = scalar_name(FROM_NUMPY[a.dtype])
        if FROM_NUMPY[a.dtype].category != FLOATING:
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {kind}")
        if a.dtype not in (F32, F64):
            raise NotImplementedError(f"\"cdist\" not implemented for '{kind}'")
        if a.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {a.ndim}D")
    if x.shape[-1] != y.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x.shape[-1]} X2: {y.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if x.dtype != y.dtype:
        kinds = [scalar_name(FROM_NUMPY[a.dtype]) for a in (x, y)]
        raise RuntimeError(f"expected scalar type {kinds[0]} but found {kinds[1]}")


@op(alias="nn.functional.pdist", method=False, by_rule=True)
def pdist(x: Any, /, p: float = 2.0) -> Any:
    """The p-norm of the difference of each two rows (i < j) of a 2-d tensor, in one row."""
    if x.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {x.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    i, j = np.triu_indices(len(x), 1)
    return norm_of(x[i] - x[j], p, (1,), False) if x.shape[1] else np.zeros(len(i), x.dtype)


@pdist.vjp
def _(g, x, out, p):
    if p == 0:
        return np.zeros(x.shape, x.dtype)
    i, j = np.triu_indices(x.shape[0], 1)
    pulled = pull_distance(g, x[i] - x[j], out, p)
    return put_add(pulled, i, x.shape) - put_add(pulled, j, x.shape)


@op(
    promote=SAME,
    numbers=False,
    name="cosine_similarity",
    method=False,
    node="SumBackward1",
    rows=True,
)
def cosine(x1: Any, x2: Any, /, dim: int, eps: float) -> Any:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
    refuse_integers("expected common dtype to be floating point, yet common dtype is {}", x1)
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    axes = axes_of(dim, len(shape))
    x1, x2 = spread_to(shape, x1), spread_to(shape, x2)
    first = unit(x1, norm_of(x1, 2, axes, True), eps)
    return add_up(first * unit(x2, norm_of(x2, 2, axes, True), eps), axes)


@function(method=False, alias="nn.functional.cosine_similarity")
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`."""
    return cosine(*with_dimensions(x1, x2), dim, eps)


def spread_to(shape: tuple, x: Any) -> Any:
    """`x` broadcast to `shape`, if it is not of it."""
    return x if x.shape == shape else np.broadcast_to(x, shape)


def unit(x: Any, size: Any, eps: float) -> Any:
    """`x` over its `size`, if that is at least `eps`."""
    return x / np.maximum(size, x.dtype.type(eps))


@cosine.vjp_all
def _(g, x1, x2, out, dim, eps):
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    axes = axes_of(dim, len(shape))
    x1, x2 = spread_to(shape, x1), spread_to(shape, x2)
    g, out = spread(g, axes, False, len(shape)), spread(out, axes, False, len(shape))
    return pull_cosine(g, x1, x2, out, axes, eps), pull_cosine(g, x2, x1, out, axes, eps)


def pull_cosine(g: Any, x: Any, y: Any, out: Any, axes: tuple, eps: float) -> Any:
    """The cotangent of `x` from that of its cosine similarity `out` with `y`."""
    size = size_of(x, 2, axes)
    off = unit(y, size_of(y, 2, axes), eps) - np.where(size == 0, 0, x / size) * out
    return unit(g * off, size, eps)
