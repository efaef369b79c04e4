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
from ..arrays.duck import in_rows
from ..arrays.sums import add_up
from ..dtypes import FLOATING, FROM_NUMPY, I64
from .define import FLOAT, Tensor, function, op, scalar_name, wrap, write_out
from .index import along, dim_of, tensor_data

Dims = int | Sequence[int] | None


def axes_of(dim: Dims, ndim: int) -> tuple:
    """`dim` as a tuple of axes; None and () mean all. A 0-d array has a dim 0 (or -1) to reduce."""
    if type(dim) is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
    if not dims:
        return tuple(range(ndim))
    out = [dim_of(d, max(ndim, 1)) for d in dims]
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
    if x.dtype.kind in "biu":
        raise RuntimeError(text.format(scalar_name(FROM_NUMPY[x.dtype])))


def wide(x: Any) -> Any:
    """The dtype in which sums and products of `x` are formed: int64 for integers and bools."""
    return I64 if x.dtype.kind in "biu" else x.dtype


# -- sums and means --------------------------------------------------------------------------------


@op(name="sum", linear=True, rows=True, node="SumBackward1", method=False)
def total(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Sum of the elements, of all or along `dim`; integers and bools add up in int64."""
    axes = None if dim is None else axes_of(dim, x.ndim)
    return add_up(x, axes, keepdim, wide(x))


@total.vjp
def _(g, x_shape, dim, keepdim):
    return spread(g, dim, keepdim, len(x_shape))


MEAN_OF_INTEGERS = (
    "mean(): could not infer output dtype. Input dtype must be either a floating point or complex "
    "dtype. Got: {}"
)


@op(name="mean", linear=True, rows=True, node="MeanBackward1", method=False)
def average(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Mean of the elements, of all or along `dim`."""
    refuse_integers(MEAN_OF_INTEGERS, x)
    axes = axes_of(dim, x.ndim)
    return add_up(x, axes, keepdim) / count(x.shape, axes)


@average.vjp
def _(g, x_shape, dim, keepdim):
    axes = axes_of(dim, len(x_shape))
    return spread(g, dim, keepdim, len(x_shape)) / count(x_shape, axes)


@op(name="sum_all", linear=True, namespace="primitive", node="SumBackward0")
def total_all(x: Any, /) -> Any:
    """Sum of all elements."""
    if x.dtype.kind in "biu":
        return np.add.reduce(x, axis=None, dtype=I64)
    return np.add.reduce(x, axis=None)


@total_all.vjp
def _(g):
    return g


@op(name="mean_all", linear=True, namespace="primitive", node="MeanBackward0")
def average_all(x: Any, /) -> Any:
    """Mean of all elements."""
    if x.dtype.kind in "biu":
        refuse_integers(MEAN_OF_INTEGERS, x)
    return np.add.reduce(x, axis=None) / x.size


@average_all.vjp
def _(g, x_shape):
    return g / math.prod(x_shape)


# Means of what does not lie row by row: their gradients do, as in torch. Those of the others are a
# number for each mean, which is repeated, and lies as whatever it meets.
average_in_rows = op(
    average.op.kernel,
    name="mean_in_rows",
    linear=True,
    rows=True,
    namespace="primitive",
    node="MeanBackward1",
)
average_all_in_rows = op(
    average_all.op.kernel,
    name="mean_all_in_rows",
    linear=True,
    namespace="primitive",
    node="MeanBackward0",
)


@average_in_rows.vjp
def _(g, x_shape, dim, keepdim):
    axes = axes_of(dim, len(x_shape))
    return np.broadcast_to(spread(g, dim, keepdim, len(x_shape)), x_shape) / count(x_shape, axes)


@average_all_in_rows.vjp
def _(g, x_shape):
    return np.broadcast_to(g, x_shape) / math.prod(x_shape)


def _mean(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    rows = not isinstance(input, Tensor) or in_rows(input._data)
    if dim is None and not keepdim:
        return average_all(input) if rows else average_all_in_rows(input)
    return (average if rows else average_in_rows)(input, dim, keepdim)


@op(name="nansum", method=False, rows=True)
def nan_total(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Sum of the elements that are not NaN, of all or along `dim`."""
    if x.dtype.kind == "c":
        raise RuntimeError("nansum on CPU does not support complex inputs")
    known = np.where(np.isnan(x), x.dtype.type(0), x)
    return add_up(known, axes_of(dim, x.ndim), keepdim, wide(x))


@nan_total.vjp
def _(g, x, dim, keepdim):
    return spread(g, dim, keepdim, x.ndim) * ~np.isnan(x)


@function
def sum(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    **names: Any,
) -> Any:
    """Sum of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None and not keepdim and dtype is None and out is None and not names:
        return total_all(input)
    if names:
        dim, keepdim = by_numpy_names("sum", names, dim, keepdim)
    if dtype is None and out is None:
        return total(input, dim, keepdim)
    if dim is None and not keepdim:
        return in_dtype(total_all, input, dtype, out)
    return in_dtype(total, input, dtype, out, dim, keepdim)


@function
def mean(
    input: Any,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
    **names: Any,
) -> Any:
    """Mean of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None and not keepdim and dtype is None and out is None and not names:
        return _mean(input)
    if dtype is not None and dtype.category < FLOATING:
        raise RuntimeError(
            "mean(): could not infer output dtype. Optional dtype must be either a floating point "
            f"or complex dtype. Got: {scalar_name(dtype)}"
        )
    if names:
        dim, keepdim = by_numpy_names("mean", names, dim, keepdim)
    x = input if dtype is None else input.to(dtype)
    return write_out(out, _mean(x, dim, keepdim), input)


@function
def nansum(
    input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """Sum of the elements that are not NaN, computed in `dtype` if one is given."""
    return in_dtype(nan_total, input, dtype, out, dim, keepdim)


@function
def nanmean(
    input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """Mean of the elements that are not NaN, of all or along `dim`."""
    refuse_integers(
        "nanmean(): expected input to have floating point or complex dtype but got {}",
        tensor_data("nanmean", input),
    )
    known = total(wrap(~np.isnan(input._data)), dim, keepdim)
    return write_out(out, nansum(input, dim, keepdim, dtype=dtype) / known)


def in_dtype(o: Callable, input: Any, dtype: Any, out: Any, *args: Any) -> Any:
    """o(input, *args), computed in `dtype` (or that of `out`) instead of the input's own."""
    wanted = out.dtype if dtype is None and out is not None else dtype
    result = o(input if wanted is None else input.to(wanted), *args)
    if wanted is not None and result.dtype is not wanted:  # integers, computed in int64
        result = result.to(wanted)
    return write_out(out, result, input)


def by_numpy_names(function: str, names: dict, dim: Dims, keepdim: bool) -> tuple[Dims, bool]:
    """`dim` and `keepdim`, where they may have been given as NumPy's `axis` and `keepdims`."""
    dim, keepdim = names.pop("axis", dim), names.pop("keepdims", keepdim)
    for name in names:
        raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")
    return dim, keepdim


@function(namespace="Tensor")
def sum_to_size(input: Any, *size: Any) -> Any:
    """The sum over the dimensions that broadcasting from `size` to the input's shape expanded."""
    size = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    shape = tensor_data("sum_to_size", input).shape
    lead = len(shape) - len(size)
    if lead < 0 or any(n not in (1, m) for n, m in zip(size, shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(shape)}}}.")
    if not size:
        return total_all(input)
    axes = [i for i, m in enumerate(shape) if i < lead or (m != 1 and size[i - lead] == 1)]
    if not axes:
        return input
    reduced = total(input, tuple(axes), True)
    return reduced.reshape(size) if lead else reduced


# -- products --------------------------------------------------------------------------------------


@op(name="prod", node="ProdBackward1", method=False, rows=True)
def product(x: Any, /, dim: int, keepdim: bool = False) -> Any:
    """Product of the elements along `dim`; integers and bools multiply in int64."""
    axis = dim_of(dim, x.ndim) if x.ndim else None
    dim_of(dim, x.ndim)
    return np.multiply.reduce(x, axis=axis, dtype=wide(x), keepdims=keepdim)


@product.vjp
def _(g, x, dim, keepdim):
    if not x.ndim:
        return g
    return spread(g, dim, keepdim, x.ndim) * product_of_others(x, dim_of(dim, x.ndim))


@op(name="prod_all", namespace="primitive", node="ProdBackward0")
def product_all(x: Any, /) -> Any:
    """Product of all elements."""
    return np.multiply.reduce(x, axis=None, dtype=wide(x))


@product_all.vjp
def _(g, x):
    return g * product_of_others(x.reshape(-1), 0).reshape(x.shape)


def product_of_others(x: Any, axis: int) -> Any:
    """For each element the product of all others along `axis`, without dividing by it."""
    return product_before(x, axis) * flip(product_before(flip(x, axis), axis), axis)


def product_before(x: Any, axis: int) -> Any:
    """For each element the product of those before it along `axis`."""
    one = np.ones((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
    shifted = np.concatenate((one, x[along(axis, slice(None, -1))]), axis=axis)
    return np.multiply.accumulate(shifted[along(axis, slice(x.shape[axis]))], axis=axis)


def flip(x: Any, axis: int) -> Any:
    """`x` in reverse order along `axis`."""
    return x[along(axis, slice(None, None, -1))]


@function
def prod(
    input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """Product of the elements, of all or along `dim`, computed in `dtype` if one is given."""
    if dim is None:
        return in_dtype(product_all, input, dtype, out)
    return in_dtype(product, input, dtype, out, dim, keepdim)


# -- variance and standard deviation ---------------------------------------------------------------


def spread_of_values(name: str, x: Any, dim: Dims, correction: float, keepdim: bool) -> tuple:
    """Variance and mean along `dim`."""
    axes = axes_of(dim, x.ndim)
    n = count(x.shape, axes)
    if n - correction <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the "
            "reduction factor (input numel divided by output numel).",
            stacklevel=2,
        )
    middle = add_up(x, axes, True) / n
    off = x - middle
    squares = off * off if x.dtype.kind != "c" else off.real * off.real + off.imag * off.imag
    variance = add_up(squares, axes, keepdim)
    variance = variance / max(n - correction, 0)
    return variance, middle if keepdim else middle.reshape(variance.shape)


def pull_variance(g: Any, x: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    """The cotangent of `x` from that of its variance along `dim`."""
    axes = axes_of(dim, x.ndim)
    n = count(x.shape, axes)
    off = x - add_up(x, axes, True) / n
    g = spread(g, dim, keepdim, x.ndim)
    if n <= correction:
        return g * np.where(off == 0, np.nan, np.inf)
    return g * (2 / (n - correction)) * off.conj()


def pull_root(g: Any, out: Any) -> Any:
    """The cotangent of `out * out` from that of `out`; 0 where `out` is 0."""
    return np.where(out == 0, 0, g / np.where(out == 0, 1, 2 * out))


@op(name="var", method=False, rows=True)
def variance(x: Any, /, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Any:
    """Sum of the squared distances from the mean over `n - correction`."""
    return spread_of_values("var", x, dim, correction, keepdim)[0]


@op(name="std", method=False, by_rule=True, rows=True)
def deviation(x: Any, /, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Any:
    """Square root of the variance."""
    return np.sqrt(spread_of_values("std", x, dim, correction, keepdim)[0])


@op(name="var_mean", method=False, outputs=0, rows=True)
def variance_and_mean(
    x: Any, /, dim: Dims = None, correction: float = 1, keepdim: bool = False
) -> Any:
    """Variance and mean."""
    return spread_of_values("var_mean", x, dim, correction, keepdim)


@op(name="std_mean", method=False, outputs=0, by_rule=True, rows=True)
def deviation_and_mean(
    x: Any, /, dim: Dims = None, correction: float = 1, keepdim: bool = False
) -> Any:
    """Standard deviation and mean."""
    variance, middle = spread_of_values("std_mean", x, dim, correction, keepdim)
    return np.sqrt(variance), middle


variance.vjp(pull_variance)


@deviation.vjp
def _(g, x, out, dim, correction, keepdim):
    return pull_variance(pull_root(g, out), x, dim, correction, keepdim)


@variance_and_mean.vjp
def _(g, x, dim, correction, keepdim):
    return pull_variance(g[0], x, dim, correction, keepdim) + pull_mean(g[1], x, dim, keepdim)


@deviation_and_mean.vjp
def _(g, x, out, dim, correction, keepdim):
    variance = pull_variance(pull_root(g[0], out[0]), x, dim, correction, keepdim)
    return variance + pull_mean(g[1], x, dim, keepdim)


def pull_mean(g: Any, x: Any, dim: Dims, keepdim: bool) -> Any:
    """The cotangent of `x` from that of its mean along `dim`."""
    return spread(g, dim, keepdim, x.ndim) / count(x.shape, axes_of(dim, x.ndim))


def of_spread(o: Callable) -> Callable:
    """The public form of a variance or deviation (with the mean, if it has several outputs).

    Its signatures are `(unbiased)`, `(dim, unbiased, keepdim)`, `(dim, correction=, keepdim=)`.
    """
    name, single = o.op.name, o.op.outputs == 1  # type: ignore[attr-defined]
    text = f"{'std and var' if single else name} only support floating point and complex dtypes"

    def entry(
        input: Any,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: Any = None,
        out: Any = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if unbiased is not None and correction is not None:
            raise TypeError(f"{name}() takes either unbiased or correction, but both were given")
        refuse_integers(text, tensor_data(name, input))
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        return write_out(out, o(input, dim, correction, keepdim), input)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"{o.__doc__} Over `dim` or all; `correction` is 1, or 0 if not `unbiased`."
    return function(entry, method=single)


var, std = of_spread(variance), of_spread(deviation)
var_mean, std_mean = of_spread(variance_and_mean), of_spread(deviation_and_mean)


# -- extremes --------------------------------------------------------------------------------------


def share(g: Any, x: Any, out: Any, dim: Dims, keepdim: bool) -> Any:
    """The cotangent of `x` from that of its extreme `out` along `dim`: ties share it evenly."""
    hit = (x == spread(out, dim, keepdim, x.ndim)).astype(x.dtype)
    ties = np.add.reduce(hit, axis=axes_of(dim, x.ndim), keepdims=True)
    return spread(g, dim, keepdim, x.ndim) * hit / ties


@op(rows=True)
def amax(x: Any, /, dim: Dims = (), keepdim: bool = False) -> Any:
    """Largest element, of all or along `dim`; ties share the gradient evenly."""
    refuse_complex("max_values_cpu", x)
    check_not_empty("amax", x, dim)
    return np.maximum.reduce(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@op(rows=True)
def amin(x: Any, /, dim: Dims = (), keepdim: bool = False) -> Any:
    """Smallest element, of all or along `dim`; ties share the gradient evenly."""
    refuse_complex("min_values_cpu", x)
    check_not_empty("amin", x, dim)
    return np.minimum.reduce(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


amax.vjp(share)
amin.vjp(share)


@op(outputs=0, result=return_types.aminmax, rows=True)
def aminmax(x: Any, /, dim: int | None = None, keepdim: bool = False) -> Any:
    """Smallest and largest element, of all or along `dim`; ties share the gradient evenly."""
    refuse_complex("aminmax_cpu", x)
    axes = axes_of(dim, x.ndim)
    if not x.size and dim is None:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the "
            "operation has no identity."
        )
    check_not_empty("aminmax", x, dim)
    given = {"axis": axes, "keepdims": keepdim}
    return np.minimum.reduce(x, **given), np.maximum.reduce(x, **given)


@aminmax.vjp
def _(g, x, out, dim, keepdim):
    return share(g[0], x, out[0], dim, keepdim) + share(g[1], x, out[1], dim, keepdim)


@op(promote=FLOAT, rows=True)
def logsumexp(x: Any, /, dim: Dims, keepdim: bool = False) -> Any:
    """Logarithm of the sum of the exponentials along `dim`, without overflow."""
    axes = axes_of(dim, x.ndim)
    top = np.maximum.reduce(x.real, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))
    out = np.log(add_up(np.exp(x - top), axes, keepdim))
    return out + (top if keepdim else top.reshape(out.shape))


@logsumexp.vjp
def _(g, x, out, dim, keepdim):
    return spread(g, dim, keepdim, x.ndim) * np.exp(x - spread(out, dim, keepdim, x.ndim))


# -- truth and counts ------------------------------------------------------------------------------


def fold_truth(ufunc: np.ufunc, x: Any, dim: Dims, keepdim: bool) -> Any:
    """`ufunc` (logical and, or) folded over `x`; () reduces nothing, and uint8 stays uint8."""
    nothing = dim is not None and not isinstance(dim, int) and not len(dim)
    axes = () if nothing else axes_of(dim, x.ndim)
    out = ufunc.reduce(x, axis=axes, keepdims=keepdim)
    return out.astype(np.uint8) if x.dtype == np.uint8 else out


@op(name="any", rows=True)
def some(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether some element is nonzero, of all or along `dim`."""
    return fold_truth(np.logical_or, x, dim, keepdim)


@op(name="all", rows=True)
def every(x: Any, /, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether every element is nonzero, of all or along `dim`."""
    return fold_truth(np.logical_and, x, dim, keepdim)


@op(rows=True)
def count_nonzero(x: Any, /, dim: Dims = None) -> Any:
    """How many elements are nonzero, of all or along `dim`."""
    return np.add.reduce(x != 0, axis=axes_of(dim, x.ndim), dtype=I64)
