"""Scans: results that run along a dimension, each element from those before it.

Two of the derivatives are a first-order linear recurrence, `s[i] = a[i] * s[i - 1] + b[i]`, run
backward. It is the primitive `recurrence` here, whose own derivative is the same recurrence in the
other direction: so the gradient of a running product is right at zeros, and so is its second.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import C64, C128, F32, F64, FROM_NUMPY
from .convert import arranged
from .define import MOVE, OPS, function, op, primitive, scalar_name
from .index import along, dim_of, tensor_data
from .reduce import axes_of, flip, in_dtype, product_before, wide

LONG = 64
DOUBLE = {F32: F64, C64: C128}


@primitive
def recurrence(x: Any, y: Any, /, axis: int) -> Any:
    """s with s[i] = y[i] * s[i - 1] + x[i] along `axis`, from s[-1] = 0.

    A factor of 0 ends what came before it, even where that is infinite or NaN.
    """
    x, y = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    by_steps = len(x) <= LONG or x.size > LONG * len(x)
    s = _step_by_step(x, y) if by_steps else _by_doubling(x, y)
    return np.moveaxis(s, 0, axis)


def _step_by_step(x: Any, y: Any) -> Any:
    s = np.array(x)
    for i in range(1, len(s)):
        s[i] += y[i] * np.where(y[i] == 0, 0, s[i - 1])
    return s


def _by_doubling(x: Any, y: Any) -> Any:
    """In log2(n) passes: after each, s[i] has what the last 2 * reach elements contribute."""
    s, factor, reach = np.array(x), np.array(y), 1
    while reach < len(s):
        s[reach:] += factor[reach:] * np.where(factor[reach:] == 0, 0, s[:-reach])
        factor[reach:] *= factor[:-reach].copy()
        reach *= 2
    return s


@recurrence.vjp
def _(g, y, axis):
    return backward_recurrence(g, y, axis)


@recurrence.vjp
def _(g, y, out, axis):
    return backward_recurrence(g, y, axis) * after_first(out, axis)


def backward_recurrence(x: Any, y: Any, axis: int) -> Any:
    """s with s[i] = y[i + 1] * s[i + 1] + x[i] along `axis`."""
    return flip(recurrence(flip(x, axis), after_first(flip(y, axis), axis), axis), axis)


def after_first(x: Any, axis: int) -> Any:
    """`x` one place later along `axis`, with 0 first."""
    shape = (*x.shape[:axis], min(1, x.shape[axis]), *x.shape[axis + 1 :])
    return np.concatenate((np.zeros(shape, x.dtype), x[along(axis, slice(None, -1))]), axis=axis)


@op(linear=True, inplace=True, method=False, name="cumsum", rows=True)
def running_sum(x: Any, /, dim: int) -> Any:
    """Sum of the elements up to and including each, along `dim`."""
    axis = dim_of(dim, x.ndim)
    return accumulated(np.add, x, axis)


@running_sum.vjp
def _(g, dim):
    if not g.ndim:
        return g
    axis = dim_of(dim, g.ndim)
    return arranged(flip(accumulated(np.add, flip(g, axis), axis), axis), None)


@op(method=False, name="cumprod", rows=True)
def running_product(x: Any, /, dim: int) -> Any:
    """Product of the elements up to and including each, along `dim`."""
    return accumulated(np.multiply, x, dim_of(dim, x.ndim))


@running_product.vjp
def _(g, x, dim):
    if not x.ndim:
        return g
    axis = dim_of(dim, x.ndim)
    before, after = product_before(x, axis), backward_recurrence(g, x, axis)
    # nothing gets here from behind a factor of 0, not even NaN from infinite cotangents
    return before * np.where((before == 0) & ~np.isfinite(after), 0, after)


def accumulated(ufunc: np.ufunc, x: Any, axis: int) -> Any:
    """`ufunc.accumulate`; single precision runs in double as torch's does, and is rounded back."""
    dtype = wide(x)
    if not x.ndim:
        return x.astype(dtype) if x.dtype != dtype else x.copy()
    double = DOUBLE.get(dtype)
    if double is not None:
        return ufunc.accumulate(x.astype(double), axis=axis).astype(dtype)
    return ufunc.accumulate(x.astype(dtype), axis=axis)


@function(inplace="cumsum_")
def cumsum(input: Any, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    """Sum of the elements up to and including each, along `dim`."""
    if dtype is None and out is None:
        return running_sum(input, dim)
    return in_dtype(running_sum, input, dtype, out, dim)


@function(inplace="cumprod_")
def cumprod(input: Any, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    """Product of the elements up to and including each, along `dim`."""
    if dtype is None and out is None:
        return running_product(input, dim)
    return in_dtype(running_product, input, dtype, out, dim)


@op(by_rule=True, rows=True)
def logcumsumexp(x: Any, /, dim: int) -> Any:
    """Logarithm of the sum of the exponentials up to and including each, along `dim`."""
    axis = dim_of(dim, x.ndim)
    if x.dtype.kind in "biu":
        kind = scalar_name(FROM_NUMPY[x.dtype])
        raise NotImplementedError(f"\"logcumsumexp_out_cpu\" not implemented for '{kind}'")
    if not x.ndim:
        return x + 0
    return np.logaddexp.accumulate(x, axis=axis) if x.dtype.kind == "f" else _complex_scan(x, axis)


def _complex_scan(x: Any, axis: int) -> Any:
    """logcumsumexp of complex numbers, one after the other, as the imaginary part winds on."""
    out = np.moveaxis(x.copy(), axis, 0)
    for i in range(1, len(out)):
        first = out[i - 1].real >= out[i].real
        high, low = np.where(first, out[i - 1], out[i]), np.where(first, out[i], out[i - 1])
        out[i] = np.where(high.real == -np.inf, high, high + np.log1p(np.exp(low - high)))
    return np.moveaxis(out, 0, axis)


@logcumsumexp.vjp
def _(g, x, out, dim):
    if not x.ndim:
        return g
    axis = dim_of(dim, x.ndim)
    before = previous(out, axis)
    fading = np.exp(np.where(before == out, 0, before - out))
    own = np.exp(x - out)
    return own * backward_recurrence(g, fading, axis)


def previous(x: Any, axis: int) -> Any:
    """For each element the one before it along `axis`; for the first, itself."""
    parts = (x[along(axis, slice(0, 1))], x[along(axis, slice(None, -1))])
    return np.concatenate(parts, axis=axis)


# -- differences and integrals ---------------------------------------------------------------------


@op(name="diff", method=False, node="SubBackward0", linear=True, promote=MOVE)
def differences(x: Any, /, n: int, dim: int) -> Any:
    """x[i + 1] - x[i] along `dim`, `n` times over; for bools, whether they differ."""
    axis, minus = dim_of(dim, x.ndim), np.not_equal if x.dtype == bool else np.subtract
    for _ in range(n):
        x = minus(x[along(axis, slice(1, None))], x[along(axis, slice(None, -1))])
    return x if n else x.copy()


@differences.vjp
def _(g, x_shape, n, dim):
    axis = dim_of(dim, len(x_shape))
    if n >= x_shape[axis]:
        return np.zeros(x_shape, g.dtype)
    gap = np.zeros((*x_shape[:axis], 1, *x_shape[axis + 1 :]), g.dtype)
    for _ in range(n):
        g = np.concatenate((gap, g), axis=axis) - np.concatenate((g, gap), axis=axis)
    return g


@function
def diff(
    input: Any,
    n: int = 1,
    dim: int = -1,
    prepend: Any = None,
    append: Any = None,
    *,
    out: Any = None,
) -> Any:
    """Differences of neighbours along `dim`, `n` times over, with more values at either end."""
    data = tensor_data("diff", input)
    if not data.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if any(t is not None and t._data.ndim != data.ndim for t in (prepend, append)):
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    parts = [t for t in (prepend, input, append) if t is not None] if n else [input]
    joined = input if len(parts) == 1 else OPS["cat"].entry(parts, dim)
    return differences(joined, n, dim, **({} if out is None else {"out": out}))


def axis_of(name: str, y: Any, x: Any, dim: int) -> int:
    """The axis to integrate along; raises torch's error for what cannot be integrated."""
    for argument, t in (("y", y),) if x is None else (("y", y), ("x", x)):
        if tensor_data(name, t, argument).dtype == bool:
            text = f"received a bool input for `{argument}`, but bool is not supported"
            raise RuntimeError(f"{name}: {text}")
    if not y._data.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return dim_of(dim, y._data.ndim)


def panels(name: str, y: Any, x: Any, dx: Any, axis: int) -> Any:
    """Twice the areas between neighbours along an axis."""
    left, right = along(axis, slice(None, -1)), along(axis, slice(1, None))
    sums = y[left] + y[right]
    if x is None:
        return sums * (1 if dx is None else dx)
    ndim = y._data.ndim
    if x._data.ndim == 1:
        if x._data.shape[0] != y._data.shape[axis]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        x = x.reshape((-1,) + (1,) * (ndim - 1 - axis))
    return sums * differences(x, 1, axis - ndim)


@function(method=False, alias="trapz")
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """Integral along `dim` by the trapezoidal rule, at points `x` or at distances `dx`."""
    axis = axis_of("trapezoid", y, x, dim)
    if x is None and y.shape[axis]:
        ends = y.select(axis, 0) + y.select(axis, -1)
        return (y.sum(axis) - ends * 0.5) * (1 if dx is None else dx)
    total = panels("trapezoid", y, x, dx, axis).sum(axis) / 2
    return total if y.shape[axis] else total.detach()  # torch gives zeros of its own there


@function(method=False)
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """Integral along `dim` up to each point but the first, by the trapezoidal rule."""
    axis = axis_of("cumulative_trapezoid", y, x, dim)
    return running_sum(panels("cumulative_trapezoid", y, x, dx, axis) / 2, axis)


@function(method=False)
def gradient(input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    """Slopes along each of `dim` (default: all): central differences, one-sided at the ends.

    `spacing` is one step for all, or for each a step or a tensor of coordinates.
    """
    ndim = tensor_data("gradient", input).ndim
    dims, spacing = axes_of(dim, ndim), 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length "
            f"equal to that of dim or to 'self.dim() = {ndim}', but got a list of {len(steps)}"
        )
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if [a for a in dims if input._data.shape[a] <= edge_order]:
        text = "expected each dimension size to be at least edge_order+1"
        raise RuntimeError(f"torch.gradient {text}")
    return tuple([slopes(input, h, a, edge_order) for h, a in zip(steps, dims, strict=True)])


def slopes(y: Any, step: Any, axis: int, edge_order: int) -> Any:
    """Slopes of `y` along `axis`, for one step or at the coordinates `step`."""
    rise = differences(y, 1, axis)
    if getattr(step, "ndim", 0):
        step = differences(step, 1, 0).reshape((-1,) + (1,) * (y._data.ndim - 1 - axis))
        share = step[1:] / (step[:-1] + step[1:])  # what the step before a point counts for
        opening, closing = 1 - share[:1], share[-1:]
    else:
        share = opening = closing = 0.5
    rise = rise / step
    early, late = rise[along(axis, slice(None, -1))], rise[along(axis, slice(1, None))]
    first, last = rise[along(axis, slice(0, 1))], rise[along(axis, slice(-1, None))]
    if edge_order == 2:
        first = first + (first - rise[along(axis, slice(1, 2))]) * opening
        last = last + (last - rise[along(axis, slice(-2, -1))]) * closing
    return OPS["cat"].entry([first, early * share + late * (1 - share), last], axis)
