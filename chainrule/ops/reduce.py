"""Reductions: over all elements, or along some dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import FLOATING, FROM_NUMPY, I64
from .define import function, op

Dims = int | Sequence[int] | None


def axes_of(dim: Dims, ndim: int) -> tuple:
    """`dim` as a tuple of axes; None and () mean all. A 0-d array may be reduced along dim 0 or -1."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    if not dims:
        return tuple(range(ndim))
    n = max(ndim, 1)
    out = []
    for d in dims:
        if not -n <= d < n:
            raise np.exceptions.AxisError(d, n)
        out.append(d % n)
    if len(set(out)) != len(out):
        twice = next(d for d in out if out.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(out) if ndim else ()


def spread(g: Any, dim: Dims, keepdim: bool, ndim: int) -> Any:
    """`g` with the reduced dimensions put back as size 1."""
    if keepdim or not ndim:
        return g
    axes = axes_of(dim, ndim)
    if len(axes) == ndim:
        return g.reshape((1,) * ndim) if g.ndim != ndim else g
    return g[tuple([None if i in axes else slice(None) for i in range(ndim)])]


@op(name="sum", linear=True, node="SumBackward1", method=False)
def total(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Sum of the elements, of all or along `dim`; integers and bools add up in int64."""
    axes = None if dim is None else axes_of(dim, x.ndim)
    if FROM_NUMPY[x.dtype].category < FLOATING:
        return np.add.reduce(x, axis=axes, dtype=I64, keepdims=keepdim)
    return np.add.reduce(x, axis=axes, keepdims=keepdim)


@total.vjp
def _(g, x_shape, dim, keepdim):
    return spread(g, dim, keepdim, len(x_shape))


@op(name="mean", linear=True, node="MeanBackward1", method=False)
def average(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Mean of the elements, of all or along `dim`."""
    if FROM_NUMPY[x.dtype].category < FLOATING:
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating point or complex "
                           f"dtype. Got: {FROM_NUMPY[x.dtype]}")  # fmt: skip
    axes = axes_of(dim, x.ndim)
    return np.add.reduce(x, axis=axes, keepdims=keepdim) / x.dtype.type(math.prod(x.shape[a] for a in axes))


@average.vjp
def _(g, x_shape, dim, keepdim):
    axes = axes_of(dim, len(x_shape))
    return spread(g, dim, keepdim, len(x_shape)) / math.prod(x_shape[a] for a in axes)


@op(name="sum_all", linear=True, method=False, node="SumBackward0")
def total_all(x: Any, /) -> Any:
    """Sum of all elements."""
    return np.add.reduce(x, axis=None) if FROM_NUMPY[x.dtype].category >= FLOATING else np.add.reduce(x, axis=None, dtype=I64)


@total_all.vjp
def _(g):
    return g


@op(name="mean_all", linear=True, method=False, node="MeanBackward0")
def average_all(x: Any, /) -> Any:
    """Mean of all elements."""
    if FROM_NUMPY[x.dtype].category < FLOATING:
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating point or complex "
                           f"dtype. Got: {FROM_NUMPY[x.dtype]}")  # fmt: skip
    return np.add.reduce(x, axis=None) / x.dtype.type(x.size)


@average_all.vjp
def _(g, x_shape):
    return g / math.prod(x_shape)


@op
def amax(x: Any, /, dim: Dims = (), keepdim: bool = False) -> Any:
    """Largest element, of all or along `dim`; ties share the gradient evenly."""
    return np.maximum.reduce(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@amax.vjp
def _(g, x, out, dim, keepdim):
    hit = (x == spread(out, dim, keepdim, x.ndim)).astype(x.dtype)
    count = np.add.reduce(hit, axis=axes_of(dim, x.ndim), keepdims=True)
    return spread(g, dim, keepdim, x.ndim) * hit / count


@function(method=True)
def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Sum of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None and not keepdim and dtype is None and out is None:
        return total_all(input)
    return total(input if dtype is None else input.to(dtype), dim, keepdim, **_out(out))


@function(method=True)
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Mean of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None and not keepdim and dtype is None and out is None:
        return average_all(input)
    return average(input if dtype is None else input.to(dtype), dim, keepdim, **_out(out))


def _out(out: Any) -> dict:
    return {} if out is None else {"out": out}
