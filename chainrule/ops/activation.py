"""Activations and softmax: one operator each where torch has one node, with its closed-form rule.

At kinks the derivatives are torch's: those of a rectifier are 0 at 0, those of the "hard" family 0
at both ends. NaN goes through. A name with an underscore is the operator; the public function
beside it adds the `inplace=` of `torch.nn.functional`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.sums import MANY, add_up
from ..dtypes import F32, FROM_NUMPY
from ..rng import default_generator, draw_uniform
from .define import HALF, elementwise, function, op, primitive, row_by_row, scalar_name, wrap
from .draws import drawn
from .elementwise import absolute, blend, in_blocks, keep, sigmoid, tanh
from .inplace import assign, check_inplace
from .reduce import axes_of
from .special import erf

LOWEST = -math.inf
SQRT_HALF, SQRT_2_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)
PRIVATE: dict[str, Any] = {"namespace": "primitive", "method": False}
UNARY: dict[str, Any] = {"promote": HALF, "inplace": False, **PRIVATE}
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def run(o: Callable, input: Any, inplace: bool, *args: Any) -> Any:
    """The operator on the input, written into it if `inplace`."""
    if not inplace:
        return o(input, *args)
    check_inplace(input)
    return assign(input, o(input, *args), f"{o.__name__}_")


# -- rectifiers ------------------------------------------------------------------------------------


@elementwise(
    name="relu",
    promote=HALF,
    takes="if",
    inplace=False,
    **PRIVATE,
    vjp=lambda g, out: keep(g, out != 0),
    refusal="Boolean inputs not supported for relu",
)
def _relu(x: Any, /) -> Any:
    return np.maximum(0, x)  # in this order -0.0 stays, as in torch


@function(alias="nn.functional.relu", inplace="relu_")
def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0), elementwise; the derivative at 0 is 0."""
    return run(_relu, input, True) if inplace else _relu(input)


@op(name="leaky_relu", pointwise=True, takes="f", **PRIVATE)
def _leaky_relu(x: Any, /, negative_slope: float) -> Any:
    if 0 <= negative_slope <= 1:
        return np.maximum(x, x * negative_slope)
    return blend(x > 0, x, x * negative_slope)


_leaky_relu.vjp(lambda g, x, negative_slope: blend(x > 0, g, g * negative_slope))


@function(method=False, namespace="nn.functional")
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """The positive elements; `negative_slope` times the others."""
    return run(_leaky_relu, input, inplace, negative_slope)


@op(name="rrelu_with_noise", takes="f", **PRIVATE)
def _rrelu(x: Any, y: Any, /) -> Any:
    return x * y


_rrelu.vjp(lambda g, y: g * y)


@function(method=False, namespace="nn.functional", alias="torch.rrelu")
def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """The positive elements; a slope times the others.

    While training, each slope is drawn uniformly from [lower, upper); else it is their mean. Raises
    RuntimeError if lower > upper.
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    x = input._data
    if training:
        slopes = drawn(lambda _, each: _drawn_slopes(each, lower, upper), x.shape, x)
    else:
        slopes = np.where(x <= 0, x.dtype.type((lower + upper) / 2), x.dtype.type(1))
    return run(_rrelu, input, inplace, wrap(slopes))


def _drawn_slopes(x: Any, lower: float, upper: float) -> np.ndarray:
    """1 for the positive elements, a random slope for each of the others."""
    slopes, below = np.ones(x.shape, x.dtype), np.asarray(x <= 0)
    count = (int(np.count_nonzero(below)),)
    slopes[below] = draw_uniform(default_generator, count, "float64", lower, upper)
    return slopes


@op(name="prelu_kernel", pointwise=True, takes="f", **PRIVATE)
def _prelu(x: Any, y: Any, /) -> Any:
    return blend(x > 0, x, x * y)


_prelu.vjp(lambda g, x, y: blend(x > 0, g, g * y))
_prelu.vjp(lambda g, x: keep(g * x, ~(x > 0)))


@function(alias="nn.functional.prelu")
def prelu(input: Any, weight: Any) -> Any:
    """The positive elements; `weight` times the others.

    There is one weight for all, or one for each channel (dimension 1). Raises RuntimeError for
    another number of weights, and if the dtypes differ.
    """
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            "prelu: Type promoting not supported. "
            f"Got {scalar_name(input.dtype)} and {scalar_name(weight.dtype)}"
        )
    if weight.dim() > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}"
        )
    if not input.dim() and weight.numel() != 1:
        raise RuntimeError("Not allow zero-dim input tensor.")
    channels = input.shape[1] if input.dim() > 1 else 1
    if weight.numel() not in (1, channels):
        raise RuntimeError(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
            f"{weight.numel()} and channel size = {channels}."
        )
    return _prelu(input, weight.reshape([-1 if i == 1 else 1 for i in range(input.dim())]))


@op(name="threshold", pointwise=True, takes="if", **PRIVATE)
def _threshold(x: Any, /, threshold: float, value: float) -> Any:
    return blend(x <= threshold, x.dtype.type(value), x)


_threshold.vjp(lambda g, x, threshold: keep(g, ~(x <= threshold)))


@function(method=False, namespace="nn.functional", alias="torch.threshold")
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """The elements above `threshold`; `value` for the others."""
    return run(_threshold, input, inplace, threshold, value)


@op(
    name="hardtanh",
    pointwise=True,
    takes="if",
    refusal="Bool inputs not supported for hardtanh",
    **PRIVATE,
)
def _hardtanh(x: Any, /, min_val: float, max_val: float) -> Any:
    low, high = (int(min_val), int(max_val)) if x.dtype.kind in "iu" else (min_val, max_val)
    return np.minimum(np.maximum(low, x), high)


@_hardtanh.vjp
def _(g, x, min_val, max_val):
    return keep(g, ~((x <= min_val) | (x >= max_val)))


@function(method=False, namespace="nn.functional")
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Each element brought into [min_val, max_val]; the derivative is 0 at both ends.

    Raises ValueError if min_val > max_val.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return run(_hardtanh, input, inplace, min_val, max_val)


@function(method=False, namespace="nn.functional")
def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(input, 0), 6), elementwise."""
    return run(_hardtanh, input, inplace, 0.0, 6.0)


@op(takes="f", alias="nn.functional.hardshrink")
def hardshrink(x: Any, /, lambd: float = 0.5) -> Any:
    """The elements outside of [-lambd, lambd]; 0 for the others."""
    return keep(x, ~((x >= -lambd) & (x <= lambd)))


hardshrink.vjp(lambda g, x, lambd: keep(g, ~((x >= -lambd) & (x <= lambd))))


@op(takes="f", namespace="nn.functional")
def softshrink(x: Any, /, lambd: float = 0.5) -> Any:
    """Each element moved towards 0 by `lambd`, and no further.

    Raises RuntimeError for a negative `lambd`.
    """
    if lambd < 0:
        raise RuntimeError(
            f"lambda must be in range [0, {np.finfo(x.dtype).max:g}] for input dtype "
            f"{scalar_name(FROM_NUMPY[x.dtype])}, but found {lambd:g}"
        )
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0 + 0))


softshrink.vjp(lambda g, x, lambd: keep(g, ~((x >= -lambd) & (x <= lambd))))


SIXTH = float(np.float32(1) / np.float32(6))  # torch rounds it to float32, for float64 too


@elementwise(
    name="hardsigmoid", vjp=lambda g, x: keep(g * SIXTH, (x > -3) & (x < 3)), takes="f", **UNARY
)
def _hardsigmoid(x: Any, /) -> Any:
    return np.minimum(np.maximum(x + 3, 0), 6) / 6


@function(method=False, namespace="nn.functional")
def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """min(max(input + 3, 0), 6) / 6, elementwise."""
    return run(_hardsigmoid, input, inplace)


@elementwise(
    name="hardswish",
    vjp=lambda g, x: keep(blend(x < 3, g * (x / 3 + 0.5), g), ~(x <= -3)),
    takes="f",
    **UNARY,
)
def _hardswish(x: Any, /) -> Any:
    return x * np.minimum(np.maximum(x + 3, 0), 6) / 6


@function(method=False, namespace="nn.functional")
def hardswish(input: Any, inplace: bool = False) -> Any:
    """input * min(max(input + 3, 0), 6) / 6, elementwise."""
    return run(_hardswish, input, inplace)


# -- exponential units -----------------------------------------------------------------------------


@op(name="elu", pointwise=True, takes="f", **PRIVATE)
def _elu(x: Any, /, alpha: float, scale: float) -> Any:
    return np.maximum(0, x) * scale + np.expm1(np.minimum(0, x)) * (alpha * scale)


@_elu.vjp
def _(g, x, alpha, scale):
    return g * blend(x <= 0, np.exp(keep(x, x < 0)) * (alpha * scale), scale)


@function(method=False, namespace="nn.functional")
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """The positive elements; alpha * (exp(input) - 1) for the others."""
    return run(_elu, input, inplace, alpha, 1.0)


@function(method=False, namespace="nn.functional", alias="torch.selu")
def selu(input: Any, inplace: bool = False) -> Any:
    """1.0507 times the positive elements; 1.7581 * (exp(input) - 1) for the others."""
    return run(_elu, input, inplace, SELU_ALPHA, SELU_SCALE)


@op(name="celu", pointwise=True, takes="f", **PRIVATE)
def _celu(x: Any, /, alpha: float) -> Any:
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return np.maximum(0, x) + np.expm1(np.minimum(0, x) / alpha) * alpha


_celu.vjp(lambda g, x, alpha: g * np.exp(keep(x, x < 0) / alpha))


@function(method=False, namespace="nn.functional", alias="torch.celu")
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(0, input) + min(0, alpha * (exp(input / alpha) - 1)), elementwise.

    Raises RuntimeError if alpha is 0.
    """
    return run(_celu, input, inplace, alpha)


@elementwise(name="silu", takes="fc", **UNARY)
def _silu(x: Any, /) -> Any:
    return x * sigmoid(x)


@_silu.vjp
def _(g, x):
    s = sigmoid(x)
    return g * s * (1 + x * (1 - s))


@function(method=False, namespace="nn.functional")
def silu(input: Any, inplace: bool = False) -> Any:
    """input * sigmoid(input), elementwise."""
    return run(_silu, input, inplace)


@primitive(define=elementwise, vjp=lambda g, x: g * sigmoid(x), **UNARY)
def log1p_exp(x: Any, /) -> Any:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.absolute(x)))


@elementwise(name="mish", takes="f", **UNARY)
def _mish(x: Any, /) -> Any:
    return x * np.tanh(log1p_exp(x))


@_mish.vjp
def _(g, x):
    t = np.tanh(log1p_exp(x))
    return g * (t + x * sigmoid(x) * (1 - t * t))


@function(method=False, namespace="nn.functional")
def mish(input: Any, inplace: bool = False) -> Any:
    """input * tanh(log(1 + exp(input))), elementwise."""
    return run(_mish, input, inplace)


@op(takes="f", namespace="nn.functional")
def softplus(x: Any, /, beta: float = 1, threshold: float = 20) -> Any:
    """log(1 + exp(beta * input)) / beta; the input itself where beta * input > threshold."""
    z = x * beta
    return blend(z > threshold, x, np.log1p(np.exp(z)) / beta)


@softplus.vjp
def _(g, x, beta, threshold):
    z = x * beta
    return blend(z > threshold, g, g * sigmoid(z))


@elementwise(
    promote=HALF,
    takes="f",
    inplace=False,
    method=False,
    name="logsigmoid",
    namespace="nn.functional",
    node="LogSigmoidBackward0",
    vjp=lambda g, x: g * sigmoid(-x),
)
def logsigmoid(x: Any, /) -> Any:
    """log(1 / (1 + exp(-input))), elementwise, without overflow."""
    return row_by_row(np.minimum(x, 0) - np.log1p(np.exp(-np.absolute(x))), True)


@primitive(define=elementwise, vjp=lambda g, x: g * (SQRT_2_PI * np.exp(x * x * -0.5)), **UNARY)
def twice_normal(x: Any, /) -> Any:
    """1 + erf(x / sqrt(2)): twice the distribution function of the standard normal distribution."""
    if type(x) is np.ndarray and x.dtype is F32 and x.size >= 4096:
        return in_blocks(_twice_normal, x)
    return 1 + erf(x * SQRT_HALF)


# 2 / (1 + exp(-x Q(x^2))) is 1 + erf(x / sqrt(2)) to 3e-7 in float32 with this Q, the polynomial of
# least weighted error on |x| <= 6; SciPy's erf takes four times as long.
NORMAL_LOGIT = [
    np.float32(c)
    for c in (
        1.5957699,
        7.266617e-2,
        -6.518999e-5,
        -1.10612375e-4,
        7.929486e-6,
        -2.6452648e-7,
        3.5123364e-9,
    )
]


def _twice_normal(x: Any) -> Any:
    square = np.multiply(x, x)
    np.minimum(square, np.float32(36), out=square)
    q = square * NORMAL_LOGIT[-1]
    for coefficient in NORMAL_LOGIT[-2:0:-1]:
        q += coefficient
        q *= square
    q += NORMAL_LOGIT[0]
    q *= x
    np.negative(q, out=q)
    np.exp(q, out=q)
    q += 1
    np.divide(np.float32(2), q, out=q)
    q -= 1  # rounds as erf does near -1, so that the far tail is 0
    q += 1
    return q


@op(takes="f", namespace="nn.functional")
def gelu(x: Any, /, approximate: str = "none") -> Any:
    """input times the standard normal distribution function of input, elementwise.

    `approximate="tanh"` takes a formula with tanh for that function. Raises RuntimeError for
    another `approximate`.
    """
    if approximate == "none":
        return x * 0.5 * twice_normal(x)
    if approximate != "tanh":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return 0.5 * x * (1 + np.tanh(SQRT_2_PI * (x + 0.044715 * (x * x * x))))


@gelu.vjp
def _(g, x, approximate):
    if approximate == "none":
        return g * (0.5 * twice_normal(x) + x * (SQRT_2_PI / 2 * np.exp(x * x * -0.5)))
    t = np.tanh(SQRT_2_PI * (x + 0.044715 * (x * x * x)))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (SQRT_2_PI * (1 + 3 * 0.044715 * (x * x))))


# -- gates -----------------------------------------------------------------------------------------


def _halves(x: Any, dim: int) -> tuple:
    """The two index tuples that halve x along `dim`."""
    if not x.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    axis = axes_of(dim, x.ndim)[0]
    n = x.shape[axis]
    if n % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {n}")
    lead = (slice(None),) * axis
    return (*lead, slice(0, n // 2)), (*lead, slice(n // 2, n))


@op(takes="f", namespace="nn.functional")
def glu(x: Any, /, dim: int = -1) -> Any:
    """The first half of the input along `dim` times the sigmoid of the second half."""
    first, second = _halves(x, dim)
    return x[first] * sigmoid(x[second])


@glu.vjp
def _(g, x, dim):
    first, second = _halves(x, dim)
    gate = sigmoid(x[second])
    by_first = g * gate
    return np.concatenate([by_first, by_first * (1 - gate) * x[first]], axes_of(dim, x.ndim)[0])


# -- softmax ---------------------------------------------------------------------------------------


@op(name="softmax", method=False, takes="f", rows=True)
def normalized_exp(x: Any, /, dim: int) -> Any:
    """exp(x) divided by its sum along `dim`."""
    axes = axes_of(dim, x.ndim)  # less its peak, so that nothing overflows
    e = np.exp(x - np.maximum.reduce(x, axis=axes, keepdims=True, initial=LOWEST))
    long = e.ndim and e.shape[axes[0]] >= MANY
    e *= 1 / (add_up if long else np.add.reduce)(e, axis=axes, keepdims=True)  # at least 1
    return e


@normalized_exp.vjp
def _(g, out, dim):
    weighted = g * out
    return weighted - out * add_up(weighted, axes_of(dim, out.ndim), True)


@op(name="log_softmax", method=False, takes="f", rows=True)
def normalized(x: Any, /, dim: int) -> Any:
    """x less the logarithm of the sum of exp(x) along `dim`."""
    axes = axes_of(dim, x.ndim)
    z = x - np.maximum.reduce(x, axis=axes, keepdims=True, initial=LOWEST)
    return z - np.log(add_up(np.exp(z), axes, True))


@normalized.vjp
def _(g, out, dim):
    return g - np.exp(out) * add_up(g, axes_of(dim, out.ndim), True)


def _in_dtype(x: Any, dtype: Any) -> Any:
    return x if dtype is None else x.to(dtype)


def _guessed_dim(name: str, ndim: int) -> int:
    """The dimension that old programs leave out."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


@function(alias="special.softmax")
def softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """exp(input) divided by its sum along `dim`, computed in `dtype` if one is given."""
    if dtype is None and out is None:
        return normalized_exp(input, dim)
    return normalized_exp(_in_dtype(input, dtype), dim, out=out)


@function(alias="special.log_softmax")
def log_softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """log(softmax(input, dim)) without overflow, computed in `dtype` if one is given."""
    if dtype is None and out is None:
        return normalized(input, dim)
    return normalized(_in_dtype(input, dtype), dim, out=out)


def _functional(name: str, f: Callable, core: Callable) -> None:
    """softmax and its kin as torch.nn.functional has them: `dim` may be missing."""

    def form(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        if dim is None:
            dim = _guessed_dim(name, input.dim())
        return core(input, dim) if dtype is None else f(input, dim, dtype)

    form.__name__, form.__qualname__, form.__doc__ = name, name, f.__doc__
    function(form, method=False, namespace="nn.functional")


def _softmin(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(-input) divided by its sum along `dim`, computed in `dtype` if one is given."""
    return softmax(-input, dim, dtype)


_functional("softmax", softmax, normalized_exp)
_functional("log_softmax", log_softmax, normalized)
_functional("softmin", _softmin, _softmin)

# -- compositions ----------------------------------------------------------------------------------


@function(method=False, namespace="nn.functional")
def softsign(input: Any) -> Any:
    """input / (1 + |input|), elementwise."""
    return input / (absolute(input) + 1)


@function(method=False, namespace="nn.functional")
def tanhshrink(input: Any) -> Any:
    """input - tanh(input), elementwise."""
    return input - tanh(input)


def _writing(f: Callable) -> Callable:
    """The twin of an activation that always writes into its input."""

    def write(input: Any, *args: Any, **kwargs: Any) -> Any:
        return f(input, *args, inplace=True, **kwargs)

    write.__name__ = write.__qualname__ = f"{f.__name__}_"
    write.__doc__ = f"{f.__name__}, written into the input."
    return write


for _f in (relu, leaky_relu, rrelu, elu, selu, celu, hardtanh, threshold):
    _paths = " ".join(f"{a}_" for a in _f.facets[2] if a.startswith("torch."))
    _paths = "torch.relu_" if _f is relu else _paths
    function(_writing(_f), method=False, namespace="nn.functional", alias=_paths)
