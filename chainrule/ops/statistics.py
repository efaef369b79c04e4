"""Describing data: quantiles, histograms and counts, covariance and correlation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import return_types
from ..arrays.duck import NoRule, highest, somewhere
from ..dtypes import F32, F64, FLOATING, FROM_NUMPY, I64
from .define import MOVE, OPS, Tensor, function, op, row_by_row, scalar_name, wrap, write_out
from .examples import by_example, vmapped
from .index import dim_of, tensor_data
from .sort import order_of, put_along

# -- quantiles -------------------------------------------------------------------------------------

ROUNDED = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}
INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantiles(x: Any, q: Any, dim: int | None, keepdim: bool, how: str, skip_nan: bool) -> tuple:
    """The quantiles `q` along `dim`; as extra, the places each lies between, how many steps it is
    from the first place to the last, and the part of a step it lies beyond q times that.
    """
    rows = rows_along(x, dim)
    q, n = np.asarray(q, x.dtype), rows.shape[-1]
    known = np.add.reduce(rows == rows, axis=-1, keepdims=True)
    steps = np.maximum(known - 1, 0) if skip_nan else np.where(known == n, n - 1, 0)
    steps = steps.astype(x.dtype)
    ranks = q.reshape(-1) * steps
    if not skip_nan:
        ranks = np.where(known == n, ranks, x.dtype.type(n - 1))
    ranks = ROUNDED[how](ranks) if how in ROUNDED else ranks
    below = np.floor(ranks)
    part = np.full_like(ranks, 0.5) if how == "midpoint" else ranks - below
    order = order_of(rows, rows.ndim - 1)
    low, high = [np.take_along_axis(order, r.astype(I64), -1) for r in (below, np.ceil(ranks))]
    first, last = np.take_along_axis(rows, low, -1), np.take_along_axis(rows, high, -1)
    gap = last - first
    between = np.where(part < 0.5, first + part * gap, last - gap * (1 - part))
    out = from_rows(row_by_row(between, True), x.ndim, q.ndim, dim, keepdim)
    return out, (low, high, steps, part - q.reshape(-1) * steps)


def rows_along(x: Any, dim: int | None) -> Any:
    """`x` with `dim` last, or flat if there is none."""
    if dim is None or not x.ndim:
        return x.reshape(-1)
    axis = dim_of(dim, x.ndim)
    return x.transpose((*range(axis), *range(axis + 1, x.ndim), axis))


def out_of_rows(rows: Any, shape: tuple, dim: int | None) -> Any:
    """What `rows_along` was made from."""
    if dim is None or not shape:
        return rows.reshape(shape)
    axis, last = dim_of(dim, len(shape)), len(shape) - 1
    return rows.transpose((*range(axis), last, *range(axis, last)))


def from_rows(out: Any, ndim: int, q_ndim: int, dim: int | None, keepdim: bool) -> Any:
    """Results (..., number of q) as torch lays them out: q first, gone if 0-d; `dim` put back."""
    rest = out.shape[:-1]
    if keepdim and ndim:
        axis = 0 if dim is None else dim_of(dim, ndim)
        rest = (1,) * ndim if dim is None else (*rest[:axis], 1, *rest[axis:])
    first = out.transpose((out.ndim - 1, *range(out.ndim - 1)))
    return first.reshape((*out.shape[-1:] * q_ndim, *rest))


def pull_to_rows(g: Any, places: Any) -> Any:
    """The cotangent of quantiles laid out as rows, like `places`."""
    shape = places.shape
    return g.reshape((shape[-1], *shape[:-1])).transpose((*range(1, len(shape)), 0))


def pull_quantiles(g: Any, q: Any, x_shape: tuple, extra: tuple, dim: int | None) -> Any:
    """The cotangent of the input of `quantiles`, shared by the two elements around each."""
    low, high, steps, beyond = extra
    g = pull_to_rows(g, low)
    part = (q.reshape(-1) if hasattr(q, "dtype") else q) * steps + beyond
    n = math.prod(x_shape) if dim is None or not x_shape else x_shape[dim]
    shape = (*low.shape[:-1], n)
    axis = len(shape) - 1
    rows = put_along(g * (1 - part), low, axis, shape, True)
    rows = rows + put_along(g * part, high, axis, shape, True)
    return out_of_rows(rows, x_shape, dim)


def pull_q(g: Any, x: Any, extra: tuple, dim: int | None, interpolation: str) -> Any:
    """The cotangent of `q`: how fast the quantiles move with it."""
    if interpolation != "linear":
        return None
    low, high, steps, _ = extra
    rows = rows_along(x, dim)
    gap = np.take_along_axis(rows, high, -1) - np.take_along_axis(rows, low, -1)
    return np.add.reduce((pull_to_rows(g, low) * gap * steps).reshape(-1, low.shape[-1]), axis=0)


def quantile_op(name: str, skip_nan: bool) -> Any:
    """The public function `quantile` or `nanquantile`."""

    def kernel(x: Any, q: Any, /, dim: Any, keepdim: bool, interpolation: str) -> Any:
        return quantiles(x, q, dim, keepdim, interpolation, skip_nan)

    inner = op(
        kernel,
        name=name,
        namespace="primitive",
        promote=MOVE,
        extra=True,
        numbers=True,
        node="SqueezeBackward4",
    )
    inner.vjp(pull_quantiles)
    inner.vjp(pull_q)

    def entry(
        input: Any,
        q: Any,
        dim: int | None = None,
        keepdim: bool = False,
        *,
        interpolation: str = "linear",
        out: Any = None,
    ) -> Any:
        check_quantile(tensor_data(name, input), q, interpolation)
        return write_out(out, inner(input, q, dim, keepdim, interpolation), input)

    entry.__name__ = entry.__qualname__ = name
    left_out = " (NaN left out)" if skip_nan else "; NaN if there is one"
    entry.__doc__ = f"The `q`-th quantiles, of all elements or along `dim`{left_out}."
    return function(entry)


def check_quantile(x: Any, q: Any, interpolation: str) -> None:
    """Raise torch's error for input, `q` or `interpolation` that will not do."""
    if isinstance(q, Tensor):
        complaint = check_q(x, q._data)
    elif not isinstance(q, (int, float)):
        raise TypeError(f"quantile(): argument 'q' must be Tensor or float, not {type(q).__name__}")
    else:
        complaint = "" if 0 <= q <= 1 else f"q must be in the range [0, 1] but got {q}"
    if not x.size:
        complaint = "input tensor must be non-empty"
    elif x.dtype not in (F32, F64):
        complaint = "input tensor must be either float or double dtype"
    elif not complaint and interpolation not in INTERPOLATIONS:
        complaint = (
            "interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    if complaint:
        raise RuntimeError(f"quantile() {complaint}")


def check_q(x: Any, q: Any) -> str:
    """What is wrong with the quantiles asked for, if anything."""
    if q.ndim > 1:
        return "q must be a scalar or 1D tensor"
    if q.dtype != x.dtype:
        return "q tensor must be same dtype as the input tensor"
    return "q values must be in the range [0, 1]" if somewhere(~((q >= 0) & (q <= 1))) else ""


quantile = quantile_op("quantile", skip_nan=False)
nanquantile = quantile_op("nanquantile", skip_nan=True)

# -- counts and histograms -------------------------------------------------------------------------


def no_rule(name: str) -> Callable:
    """A rule that refuses, in torch's words."""

    def rule(g: Any) -> Any:
        raise RuntimeError(f"derivative for aten::{name} is not implemented")

    return rule


@op(promote=MOVE, node="NotImplemented", rules=(None, no_rule("bincount")))
def bincount(x: Any, weights: Any = None, /, minlength: int = 0) -> Any:
    """How often each of 0, 1, 2 ... occurs in the 1-d `input`, or the sum of its `weights`."""
    if x.dtype.kind not in "iu":
        kind = scalar_name(FROM_NUMPY[x.dtype])
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{kind}'")
    if x.ndim != 1 or somewhere(x < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is None or not x.size:
        return np.bincount(x, minlength=minlength)
    if weights.shape != x.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    counted = np.bincount(x, weights.astype(F64), minlength)
    return counted.astype(F32 if weights.dtype is F32 else F64)


@op(promote=MOVE)
def histc(x: Any, /, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall in each of `bins` equal bins from `min` to `max` (or their own)."""
    kind = scalar_name(FROM_NUMPY[x.dtype])
    if FROM_NUMPY[x.dtype].category != FLOATING:
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{kind}'")
    check_bins(bins, 0)
    if min == max and x.size:
        min, max = float(x.min()), float(x.max())
    if not np.isfinite(min) or not np.isfinite(max):
        raise RuntimeError(f"torch.histc: range of [{min:g}, {max:g}] is not finite")
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    low, high = (min - 1, max + 1) if min == max else (min, max)
    low, high = x.dtype.type(low), x.dtype.type(high)
    inside = x[(x >= low) & (x <= high)]
    bin = np.minimum(((inside - low) * x.dtype.type(bins) / (high - low)).astype(I64), bins - 1)
    return np.bincount(bin, minlength=bins).astype(x.dtype)


def check_bins(bins: int, d: int) -> None:
    """Raise torch's error for no bins."""
    if bins <= 0:
        text = f"bins must be > 0, but got {bins} for dimension {d}"
        raise RuntimeError(f"torch.histogram(): {text}")


def edges_of(values: Any, bins: Any, limits: Sequence | None, d: int) -> Any:
    """The edges of the bins of dimension `d`: as given, or `bins` equal ones over the range."""
    if isinstance(bins, Tensor):
        if not bins._data.size:
            raise RuntimeError(
                "torch.histogramdd: bins tensor should have at least 1 element, but got 0 elements "
                f"in the bins tensor for dimension {d}"
            )
        return bins._data
    check_bins(bins, d)
    if limits is None:
        limits = (values.min(), values.max()) if values.size else (0, 1)
    low, high = limits
    if not np.isfinite(low) or not np.isfinite(high):
        text = f"dimension {d}'s range [{low:g}, {high:g}] is not finite"
        raise RuntimeError(f"torch.histogramdd: {text}")
    if low > high:
        text = f"min should not exceed max, but got min {low:g} max {high:g} for dimension {d}"
        raise RuntimeError(f"torch.histogramdd: {text}")
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    return np.linspace(low, high, bins + 1, dtype=values.dtype)


def count_in_bins(points: Any, edges: Sequence, weight: Any, density: bool) -> Any:
    """How many of the points (rows), or what weight, fall in each bin of the grid of `edges`."""
    if points.dtype not in (F32, F64):
        kind = scalar_name(FROM_NUMPY[points.dtype])
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{kind}'")
    shape = tuple([len(e) - 1 for e in edges])
    bins, inside = [], np.ones(len(points), bool)
    for e, x in zip(edges, points.T, strict=True):
        inside &= (x >= e[0]) & (x <= e[-1])
        bins.append(np.minimum(np.searchsorted(e, x, "right") - 1, len(e) - 2))
    flat = np.ravel_multi_index([b[inside] for b in bins], shape)
    weights = None if weight is None else weight.reshape(-1)[inside].astype(F64)
    hist = np.bincount(flat, weights, int(np.prod(shape))).astype(points.dtype).reshape(shape)
    if density:
        hist = hist / np.add.reduce(hist, axis=None)
        for d, e in enumerate(edges):
            hist = hist / np.diff(e).reshape((-1,) + (1,) * (len(edges) - 1 - d))
    return hist


@op(
    promote=MOVE,
    name="histogram",
    namespace="primitive",
    node="NotImplemented",
    rules=(no_rule("histogram"),),
)
def counts_in_bins(x: Any, /, edges: Sequence, weight: Any, density: bool) -> Any:
    """Counts of points in a grid of bins."""
    if highest((x, *edges, weight)) is not None:
        raise NoRule("bins are filled one example at a time")
    return count_in_bins(x.reshape(-1, len(edges)), edges, weight, density)


@function
def histogram(
    input: Any,
    bins: Any = 100,
    *,
    range: Any = None,
    weight: Any = None,
    density: bool = False,
    out: Any = None,
) -> Any:
    """Counts (or weights, or densities) in bins, and the bins' edges: given, or that many equal."""
    if out is None and (level := vmapped(input, bins, weight)):
        given = {"range": range, "weight": weight, "density": density}
        return by_example(histogram, level, input, bins, **given)
    points = tensor_data("histogram", input).reshape(-1, 1)
    edges = edges_of(points, bins, range, 0)
    hist = counts_in_bins(input, (edges,), weight, density)
    return write_out(out, return_types.histogram(hist, wrap(edges)))


@function(method=False)
def histogramdd(
    input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> Any:
    """Counts (or weights, or densities) of points (the last dimension) in a grid of bins."""
    data = tensor_data("histogramdd", input)
    points = data.reshape(-1, data.shape[-1])
    n = points.shape[1]
    each = [bins] * n if isinstance(bins, int) else bins
    if len(each) != n:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input:"
            f" got {len(each)} and {n}"
        )
    limits = [None] * n if range is None else list(zip(range[::2], range[1::2], strict=True))
    edges = tuple([edges_of(points[:, d], each[d], limits[d], d) for d in np.arange(n)])
    hist = counts_in_bins(input, edges, weight, density)
    return return_types.histogramdd(hist, tuple([wrap(e) for e in edges]))


# -- covariance ------------------------------------------------------------------------------------


@function
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Covariance matrix of the variables (rows) over the observations (columns).

    `fweights` say how often each observation occurs, `aweights` how much it counts.
    """
    check_cov(input, fweights, aweights)
    x = input.reshape(1, -1) if input._data.ndim < 2 else input
    both = fweights is not None and aweights is not None
    weights = fweights * aweights if both else aweights if fweights is None else fweights
    weighted = x if weights is None else x * weights
    n = x._data.shape[1] if weights is None else weights.sum()
    off = x - weighted.sum(1, keepdim=True) / n
    free = n - correction
    if aweights is not None and correction:
        free = n - correction * (weights * aweights).sum() / n
    if somewhere(free._data <= 0) if isinstance(free, Tensor) else free <= 0:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than "
            "the number of observations.",
            stacklevel=3,
        )
        free = free.clamp(min=0) if isinstance(free, Tensor) else 0
    return (off.mm((off if weights is None else off * weights).t().conj()) / free).squeeze()


def check_cov(input: Any, fweights: Any, aweights: Any) -> None:
    """Raise torch's error for input or weights that will not do."""
    data = tensor_data("cov", input)
    if data.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input "
            f"with {data.ndim} dimensions"
        )
    if data.dtype == bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    count = data.size if data.ndim < 2 else data.shape[1]
    check_weights("fweights", fweights, "iu", "integral", count)
    check_weights("aweights", aweights, "fV", "floating point", count)


def check_weights(name: str, weights: Any, kinds: str, word: str, count: int) -> None:
    """Raise torch's error for weights of the wrong shape, dtype or sign."""
    if weights is None:
        return
    w = weights._data
    if w.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got "
            f"{name} with {w.ndim} dimensions"
        )
    if w.dtype.kind not in kinds:
        raise RuntimeError(
            f"cov(): expected {name} to have {word} dtype but got {name} with "
            f"{scalar_name(FROM_NUMPY[w.dtype])} dtype"
        )
    if w.size != count:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are "
            f"observations in the input but got {w.size} != {count}"
        )
    if somewhere(w < 0):
        raise RuntimeError(f"cov(): {name} cannot be negative")


@function
def corrcoef(input: Any) -> Any:
    """Pearson correlation of the variables (rows) over the observations (columns), in [-1, 1]."""
    if tensor_data("corrcoef", input).ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an "
            f"input with {input._data.ndim} dimensions"
        )
    c = cov(input)
    if not c._data.ndim:
        return c / c
    deviation = c.diagonal().real.sqrt() if c.is_complex() else c.diagonal().sqrt()
    c = c / deviation.reshape(-1, 1) / deviation
    if c.is_complex():
        return OPS["complex"].entry(c.real.clamp(-1, 1), c.imag.clamp(-1, 1))
    return c.clamp(-1, 1)
