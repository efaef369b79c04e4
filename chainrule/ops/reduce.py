"""Reductions: over all elements, or along some dimensions.

What every reduction shares is here as well: `axes_of` turns torch's `dim` (an int, a tuple, None or
() for all) into axes, and `spread` gives a cotangent of the result its reduced dimensions back, as
size 1, so that it broadcasts against the input. Integers and bools add and multiply in int64; half
types are computed in float32 by the operator's kind. Results that are elements of the input (max,
median ...) are in `sort`, running sums and products in `scan`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import return_types
from ..dtypes import COMPLEX, FLOATING, FROM_NUMPY, I64
from .define import FLOAT, Tensor, function, op, scalar_name

Dims = int | Sequence[int] | None


def axes_of(dim: Dims, ndim: int) -> tuple:
    """`dim` as a tuple of axes; None and () mean all. 0-d arrays may be reduced along dim 0 or -1."""
    if type(dim) is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    if not dims:
        return tuple(range(ndim))
    out = [axis_of(d, max(ndim, 1)) for d in dims]
    if len(set(out)) != len(out):
        twice = next(d for d in out if out.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(out) if ndim else ()


def axis_of(dim: int, ndim: int) -> int:
    """One `dim` as an axis; 0 for a 0-d array."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise np.exceptions.AxisError(dim, n)
    return dim % n


def spread(g: Any, dim: Dims, keepdim: bool, ndim: int) -> Any:
    """`g` with the reduced dimensions put back as size 1."""
    if keepdim or not ndim:
        return g
    axes = axes_of(dim, ndim)
    if len(axes) == ndim:
        return g.reshape((1,) * ndim) if g.ndim != ndim else g
    return g[tuple([None if i in axes else slice(None) for i in range(ndim)])]


def count(shape: Sequence, axes: Sequence) -> int:
    """How many elements of an array of `shape` are reduced to one along `axes`."""
    return math.prod([shape[a] for a in axes])


def check_not_empty(name: str, x: Any, dim: Dims) -> None:
    """Raise torch's error where a reduction without an identity has nothing to reduce."""
    if x.size:
        return
    if dim is None or dim == () or dim == []:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    for axis in axes_of(dim, x.ndim):
        if x.ndim and not x.shape[axis]:
            text = f"{name}(): Expected reduction dim {axis} to have non-zero size."
            raise IndexError(text)


def refuse_complex(kernel: str, x: Any) -> None:
    """Raise torch's error for functions that need an order."""
    if x.dtype.kind == "c":
        kind = scalar_name(FROM_NUMPY[x.dtype])
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{kind}'")


def refuse_integers(text: str, x: Any) -> None:
    """Raise `text` (with the dtype in place of {}) for integer and bool arrays."""
    if FROM_NUMPY[x.dtype].category < FLOATING:
        raise RuntimeError(text.format(scalar_name(FROM_NUMPY[x.dtype])))


def wide(x: Any) -> Any:
    """The dtype in which sums and products of `x` are formed: int64 for integers and bools."""
    return I64 if FROM_NUMPY[x.dtype].category < FLOATING else x.dtype


# -- sums and means --------------------------------------------------------------------------------


@op(name="sum", linear=True, node="SumBackward1", method=False)
def total(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Sum of the elements, of all or along `dim`; integers and bools add up in int64."""
    axes = None if dim is None else axes_of(dim, x.ndim)
    return np.add.reduce(x, axis=axes, dtype=wide(x), keepdims=keepdim)


@total.vjp
def _(g, x_shape, dim, keepdim):
    return spread(g, dim, keepdim, len(x_shape))


MEAN_OF_INTEGERS = (
    "mean(): could not infer output dtype. Input dtype must be either a floating point or complex "
    "dtype. Got: {}"
)


@op(name="mean", linear=True, node="MeanBackward1", method=False)
def average(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Mean of the elements, of all or along `dim`."""
    refuse_integers(MEAN_OF_INTEGERS, x)
    axes = axes_of(dim, x.ndim)
    return np.add.reduce(x, axis=axes, keepdims=keepdim) / x.dtype.type(count(x.shape, axes))


@average.vjp
def _(g, x_shape, dim, keepdim):
    axes = axes_of(dim, len(x_shape))
    return spread(g, dim, keepdim, len(x_shape)) / count(x_shape, axes)


@op(name="sum_all", linear=True, method=False, node="SumBackward0")
def total_all(x: Any, /) -> Any:
    """Sum of all elements."""
    return np.add.reduce(x, axis=None, dtype=wide(x))


@total_all.vjp
def _(g):
    return g


@op(name="mean_all", linear=True, method=False, node="MeanBackward0")
def average_all(x: Any, /) -> Any:
    """Mean of all elements."""
    refuse_integers(MEAN_OF_INTEGERS, x)
    return np.add.reduce(x, axis=None) / x.dtype.type(x.size)


@average_all.vjp
def _(g, x_shape):
    return g / math.prod(x_shape)


@op(name="nansum", method=False)
def nan_total(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Sum of the elements that are not NaN, of all or along `dim`."""
    if x.dtype.kind == "c":
        raise RuntimeError("nansum on CPU does not support complex inputs")
    known = np.where(np.isnan(x), x.dtype.type(0), x)
    return np.add.reduce(known, axis=axes_of(dim, x.ndim), dtype=wide(x), keepdims=keepdim)


@nan_total.vjp
def _(g, x, dim, keepdim):
    return spread(g, dim, keepdim, x.ndim) * ~np.isnan(x)


@function
def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None,
        out: Any = None, **names: Any) -> Any:  # fmt: skip
    """Sum of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None and not keepdim and dtype is None and out is None and not names:
        return total_all(input)
    x, given = _prepared(input, dtype, out)
    if dim is None and not keepdim and not names:
        return total_all(x, **given)
    return total(x, **_dims(dim, keepdim), **given, **names)


@function
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None,
         out: Any = None, **names: Any) -> Any:  # fmt: skip
    """Mean of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None and not keepdim and dtype is None and out is None and not names:
        return average_all(input)
    if dtype is not None and dtype.category < FLOATING:
        raise RuntimeError(
            "mean(): could not infer output dtype. Optional dtype must be either a floating point "
            f"or complex dtype. Got: {scalar_name(dtype)}"
        )
    x, given = input if dtype is None else input.to(dtype), {} if out is None else {"out": out}
    if dim is None and not keepdim and not names:
        return average_all(x, **given)
    return average(x, **_dims(dim, keepdim), **given, **names)


@function
def nansum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None,
           out: Any = None) -> Any:  # fmt: skip
    """Sum of the elements that are not NaN, computed in `dtype` if one is given."""
    x, given = _prepared(input, dtype, out)
    return nan_total(x, dim, keepdim, **given)


@function
def nanmean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None,
            out: Any = None) -> Any:  # fmt: skip
    """Mean of the elements that are not NaN, of all or along `dim`."""
    refuse_integers("nanmean(): expected input to have floating point or complex dtype but got {}",
                    input._data)  # fmt: skip
    known = total(~input.isnan(), dim, keepdim)
    mean = nansum(input, dim, keepdim, dtype=dtype) / known
    return mean if out is None else out.copy_(mean)
