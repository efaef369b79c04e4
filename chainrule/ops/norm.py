"""Normalization: groups of elements shifted and scaled to mean 0 and variance 1, then scaled and
shifted per channel.

Batch, layer, group and instance norm are one operator, `standardized`, under different names: they
differ in how the input is viewed (`view`), over which axes of that view a group extends (`axes`),
and along which ones `weight` and `bias` lie (`scales`, the view's shape with 1 elsewhere). Mean and
scale are those of the forward pass as long as the backward pass runs on plain arrays; where its own
derivative is wanted they are computed again, as functions of the input.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays.duck import is_ground
from ..arrays.sums import add_up
from ..dtypes import F32, FROM_NUMPY
from .conv import Kind, kind_of
from .define import HALF, IMAGES, constant_result, function, op, scalar_name, state, wrap
from .padding import pad
from .pool import avg_pool2d


def inner(a: Any, b: Any, axes: tuple) -> Any:
    """The sum of a * b over axes, which stay with size 1; plain arrays need no room for
    the product.
    """
    last = a.ndim - 1
    if (
        type(a) is type(b) is np.ndarray
        and last in axes
        and a.shape == b.shape
        and a.dtype.kind == "f"
    ):
        total = np.vecdot(a, b)[..., None]
        rest = tuple([i for i in axes if i != last])
        return add_up(total, rest, True) if rest else total
    return add_up(a * b, axes, True)


def reuse(ufunc: np.ufunc, a: Any, *others: Any) -> Any:
    """ufunc(a, *others), in the memory of `a`, which nobody else may hold, if all are arrays."""
    for b in others:
        if type(b) is not np.ndarray or b.dtype is not a.dtype:
            return ufunc(a, *others)
    return ufunc(a, *others, out=a) if type(a) is np.ndarray else ufunc(a, *others)


def centered(y: Any, axes: tuple) -> tuple[Any, Any, Any]:
    """y less its mean over `axes`, the mean, and the variance."""
    n = math.prod(y.shape[a] for a in axes)
    mean = add_up(y, axes, True) / n
    y = y - mean
    return y, mean, inner(y, y, axes) / n


def standardized(
    x: Any,
    weight: Any,
    bias: Any,
    /,
    view: tuple,
    axes: tuple,
    scales: tuple,
    eps: float,
    heard: Callable | None = None,
) -> Any:
    """The normalized input; `heard` is told the mean and the variance of each group."""
    y, mean, variance = centered(x.reshape(view), axes)
    if heard is not None:
        heard(mean, variance)
    scale = 1 / np.sqrt(variance + eps)
    y = affine(reuse(np.multiply, y, scale), weight, bias, scales)
    return y.reshape(x.shape), (mean, scale)


def affine(y: Any, weight: Any, bias: Any, scales: tuple) -> Any:
    """y * weight + bias, either of them missing perhaps, in the memory of `y`."""
    if weight is not None:
        y = reuse(np.multiply, y, weight.reshape(scales))
    return y if bias is None else reuse(np.add, y, bias.reshape(scales))


def restored(x: Any, view: tuple, axes: tuple, eps: float, extra: tuple) -> tuple[Any, Any]:
    """The normalized input again, and its scale: by the statistics of the forward pass,
    unless `x` is to be differentiated.
    """
    y = x.reshape(view)
    if is_ground(y):
        return reuse(np.multiply, y - extra[0], extra[1]), extra[1]
    y, _, variance = centered(y, axes)
    scale = 1 / np.sqrt(variance + eps)
    return y * scale, scale


def affine_back(
    g: Any, z: Any, needs: tuple, scales: tuple, weight_shape: tuple, bias_shape: tuple
) -> tuple[Any, Any]:
    """The cotangents of weight and bias."""
    over = tuple([i for i, n in enumerate(scales) if n == 1 and g.shape[i] != 1])
    weights = inner(g, z, over).reshape(weight_shape) if needs[1] and over else None
    if needs[1] and not over:
        weights = (g * z).reshape(weight_shape)
    return weights, over_groups(g, over).reshape(bias_shape) if needs[2] else None


def over_groups(g: Any, axes: tuple) -> Any:
    """The sum over axes, if there are any."""
    return add_up(g, axes) if axes else g


def standardized_back(  # type: ignore[no-untyped-def]
    g, x, weight, extra, needs, view, axes, scales, eps, weight_shape, bias_shape
):
    """The cotangents of input, weight and bias."""
    g = g.reshape(view)
    z, scale = restored(x, view, axes, eps, extra)
    of_weight, of_bias = affine_back(g, z, needs, scales, weight_shape, bias_shape)
    if not needs[0]:
        return None, of_weight, of_bias
    h = g if weight is None else g * weight.reshape(scales)
    return _input_back(h, z, scale, axes).reshape(x.shape), of_weight, of_bias


def _input_back(h: Any, z: Any, scale: Any, axes: tuple) -> Any:
    """(h - mean of h - z * mean of h z) * scale, in the memory of `z`."""
    n = math.prod(h.shape[a] for a in axes)
    slope, mean = inner(h, z, axes) / -n, add_up(h, axes, True) / n
    z = reuse(np.add, reuse(np.multiply, z, slope), h)
    return reuse(np.multiply, reuse(np.subtract, z, mean), scale)


def _norm_op(name: str, rows: bool | str = IMAGES) -> Callable:
    node = "Native" + "".join(w.title() for w in name.split("_")) + "Backward0"
    entry = op(
        standardized,
        name=name,
        promote=HALF,
        namespace="primitive",
        method=False,
        extra=True,
        node=node,
        rows=rows,
    )
    entry.vjp_all(standardized_back)
    return entry


BATCH, LAYER, GROUP = _norm_op("batch_norm"), _norm_op("layer_norm", True), _norm_op("group_norm")


@op(namespace="primitive", method=False, node="NativeBatchNormBackward0", rows=IMAGES)
def shifted_and_scaled(
    x: Any, weight: Any, bias: Any, /, mean: Any, variance: Any, view: tuple, eps: float
) -> Any:
    """(x - mean) / sqrt(variance + eps) * weight + bias, by channel, for statistics known
    before.
    """
    mean, scale = _known(x, mean, variance, eps)
    y = reuse(np.multiply, x.reshape(view) - mean, scale)
    return affine(y, weight, bias, mean.shape).reshape(x.shape)


def _known(x: Any, mean: Any, variance: Any, eps: float) -> tuple[Any, Any]:
    """Running statistics, shaped like those of an input."""
    scales = (1, mean.size, 1)
    scale = 1 / np.sqrt(variance.astype(x.dtype) + x.dtype.type(eps))
    return mean.astype(x.dtype).reshape(scales), scale.reshape(scales)


@shifted_and_scaled.vjp_all
def _(g, x, weight, needs, mean, variance, view, eps, weight_shape, bias_shape):
    mean, scale = _known(x, mean, variance, eps)
    g = g.reshape(view)
    z = (x.reshape(view) - mean) * scale
    of_weight, of_bias = affine_back(g, z, needs, mean.shape, weight_shape, bias_shape)
    h = g * (scale if weight is None else scale * weight.reshape(mean.shape))
    return h.reshape(x.shape), of_weight, of_bias


def kinds_of(function: str, **tensors: Any) -> tuple:
    """Shapes and dtypes of arguments that are tensors or None."""
    return tuple(
        [
            None if t is None else kind_of(t, function, name, i)
            for i, (name, t) in enumerate(tensors.items(), 1)
        ]
    )


def _check_floating(x: Kind, name: str) -> None:
    d = FROM_NUMPY[x[1]]
    if not d.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")


def _check_mixed(x: Kind, parameters: Sequence) -> None:
    """Raise torch's error for parameters in another dtype (float32 ones may go with a half
    input).
    """
    d = FROM_NUMPY[x[1]]
    half = d.itemsize == 2
    for p in parameters:
        if p is None or p[1] == x[1] or (half and p[1] == F32):
            continue
        if d.itemsize > p[1].itemsize or half:
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
        raise RuntimeError(
            f"mixed dtype (CPU): expect parameter to have scalar type of {scalar_name(d)}"
        )


# -- batch norm ------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _batch_plan(
    x: Kind, running_mean: Kind, running_var: Kind, weight: Kind, bias: Kind, training: bool
) -> tuple:
    """The view (n, channels, rest) of a batch norm's input, all arguments checked."""
    view = (x[0][0], x[0][1] if len(x[0]) > 1 else 0, math.prod(x[0][2:]))
    named = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    for name, p in named.items():
        if p is not None and math.prod(p[0]) != view[1]:
            raise RuntimeError(f"{name} should contain {view[1]} elements not {math.prod(p[0])}")
    for name in ("running_mean", "running_var"):
        if not training and named[name] is None:
            raise RuntimeError(f"{name} must be defined in evaluation mode")
    _check_floating(x, "batch_norm")
    _check_mixed(x, list(named.values()))
    return view


def _check_running(running_mean: Any, running_var: Any) -> None:
    for name, p in (("running_mean", running_mean), ("running_var", running_var)):
        if p is not None and state.grad and p.requires_grad:
            raise RuntimeError(
                "The function 'native_batch_norm' is not differentiable with respect to argument "
                f"'{name}'. This input cannot have requires_grad True."
            )


def _batch_norm(
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    heard: Callable | None = None,
) -> Any:
    """The normalized input; in training the running statistics follow those of the batch."""
    kinds = kinds_of(
        "batch_norm",
        input=x,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    view = _batch_plan(*kinds, bool(training))
    _check_running(running_mean, running_var)
    if not training:
        return shifted_and_scaled(x, weight, bias, running_mean, running_var, view, eps)
    n = view[0] * view[2]

    def follow(mean: Any, variance: Any) -> None:
        if running_mean is not None and n:
            _follow(running_mean, mean, momentum)
            _follow(running_var, variance * (n / max(n - 1, 1)), momentum)
        if heard is not None:
            heard(mean, variance)

    return BATCH(x, weight, bias, view, (0, 2), (1, view[1], 1), eps, follow)


def _follow(running: Any, new: Any, momentum: float) -> None:
    """running = (1 - momentum) * running + momentum * new, in place; unrecorded and no new
    version, as in torch.
    """
    old = running._data
    old[...] = (1 - momentum) * old + momentum * new.reshape(old.shape)


@function(method=False, namespace="nn.functional")
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(input - mean) / sqrt(variance + eps) * weight + bias, with statistics by channel (dimension
    1).

    When `training` they are those of the batch, and the running ones move towards them by
    `momentum` (the variance by its unbiased estimate); else they are the running ones.
    """
    shape = tuple(input.shape)
    if training:
        if (running_mean is None) != (running_var is None):
            raise ValueError(
                "running_mean and running_var must either both be None or neither be None"
            )
        if shape[0] * math.prod(shape[2:]) == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{input.shape}"
            )
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def named(name: str) -> Callable:
    """Decorator that registers the torch.* form of a function whose nn.functional form has
    other arguments.
    """

    def register(f: Callable) -> Callable:
        f.__name__ = f.__qualname__ = name
        return function(f, method=False)

    return register


@named("batch_norm")
def torch_batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """`nn.functional.batch_norm` with all arguments given."""
    return _batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


class _Heard:
    """Keeps the statistics that a kernel tells."""

    def __call__(self, mean: Any, variance: Any) -> None:
        self.mean, self.variance = mean, variance

    def tensors(self, shape: tuple, dtype: Any, eps: float) -> tuple:
        """Mean and 1 / sqrt(variance + eps)."""
        return tuple(
            constant_result(a.reshape(shape).astype(dtype))
            for a in (self.mean, 1 / np.sqrt(self.variance + eps))
        )


@function(method=False)
def native_batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple:
    """`batch_norm`, and the batch's mean and 1 / sqrt(variance + eps) by channel (empty in
    evaluation).
    """
    heard = _Heard()
    out = _batch_norm(
        input, weight, bias, running_mean, running_var, training, momentum, eps, heard
    )
    wide = next((p for p in (weight, bias, running_mean) if p is not None), input)._data.dtype
    if not training:
        return out, wrap(np.zeros(0, wide)), wrap(np.zeros(0, wide))
    return out, *heard.tensors((input.shape[1],), wide, eps)


@function(method=False, namespace="nn.functional")
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each example normalized by itself: (input - mean) / sqrt(variance + eps) *
    weight + bias.

    With `use_input_stats` False the running statistics serve all examples; else they follow the
    mean of the examples'.
    """
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError(
            "Expected running_mean and running_var to be defined when use_input_stats is false"
        )
    shape = tuple(input.shape)
    n, channels = shape[:2]
    rows = input.contiguous().view(1, n * channels, *shape[2:])
    weight, bias = [None if p is None else p.repeat(n) for p in (weight, bias)]
    means, variances = [None if p is None else p.repeat(n) for p in (running_mean, running_var)]
    out = _batch_norm(rows, weight, bias, means, variances, use_input_stats, momentum, eps)
    for running, each in ((running_mean, means), (running_var, variances)):
        if running is not None and use_input_stats:
            _follow(running, np.add.reduce(each._data.reshape(n, channels), axis=0) / n, 1)
    return out.view(shape)


@named("instance_norm")
def torch_instance_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """`nn.functional.instance_norm` with all arguments given."""
    return instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


# -- layer norm and its kin ------------------------------------------------------------------------


def _sizes(shape: Any) -> tuple:
    """A normalized shape as a tuple."""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            "layer_norm(): argument 'normalized_shape' (position 2) must be tuple of ints, not "
            f"{type(shape).__name__}"
        )
    return tuple([int(n) for n in shape])


def _check_layer(x: Kind, shape: tuple, parameters: dict, star: str) -> None:
    """Raise torch's error for a norm over last dimensions that are not those of the input."""
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
            "one element, but got normalized_shape = []"
        )
    for name, p in parameters.items():
        if p is not None and p[0] != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(p[0])} and normalized_shape = {list(shape)}"
            )
    if x[0][-len(shape) :] != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[{star}{', '.join(map(str, shape))}], but got input of size{list(x[0])}"
        )


@functools.lru_cache(maxsize=1024)
def _layer_plan(x: Kind, weight: Kind, bias: Kind, shape: tuple) -> tuple:
    """The view (groups, elements) of a layer norm's input and (1, elements), all arguments
    checked.
    """
    _check_layer(x, shape, {"weight": weight, "bias": bias}, "*, ")
    _check_floating(x, "LayerNormKernelImpl")
    _check_mixed(x, (weight, bias))
    n = math.prod(shape)
    return (math.prod(x[0][: len(x[0]) - len(shape)]), n), (1, n)


def _layer_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any,
    bias: Any,
    eps: float,
    heard: Callable | None = None,
) -> Any:
    shape = normalized_shape if type(normalized_shape) is tuple else _sizes(normalized_shape)
    try:
        x = input._data
        of_weight = None if weight is None else (weight._data.shape, weight._data.dtype)
        of_bias = None if bias is None else (bias._data.shape, bias._data.dtype)
        view, scales = _layer_plan((x.shape, x.dtype), of_weight, of_bias, shape)
    except AttributeError:  # one that is no tensor, named by this
        kinds = kinds_of("layer_norm", input=input, weight=weight, bias=bias)
        view, scales = _layer_plan(*kinds, _sizes(shape))
    return LAYER(input, weight, bias, view, (1,), scales, eps, heard)


@function(method=False, namespace="nn.functional")
def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(input - mean) / sqrt(variance + eps) * weight + bias, over the last dimensions,
    whose shape is given.
    """
    return _layer_norm(input, normalized_shape, weight, bias, eps)


@named("layer_norm")
def torch_layer_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    """`nn.functional.layer_norm`."""
    return _layer_norm(input, normalized_shape, weight, bias, eps)


@function(method=False)
def native_layer_norm(
    input: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float
) -> tuple:
    """`layer_norm`, and the mean and 1 / sqrt(variance + eps) of each group."""
    heard = _Heard()
    out = _layer_norm(input, normalized_shape, weight, bias, eps, heard)
    k = len(normalized_shape)
    return out, *heard.tensors((*input.shape[: input.ndim - k], *(1,) * k), input._data.dtype, eps)


def _group_norm(input: Any, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    kinds = kinds_of("group_norm", input=input, weight=weight, bias=bias)
    _check_floating(kinds[0], "GroupNormKernelImpl")
    _check_mixed(kinds[0], kinds[1:])
    n, channels = input.shape[:2]
    per = channels // groups
    view = (n, groups, per, math.prod(input.shape[2:]))
    return GROUP(input, weight, bias, view, (2, 3), (1, groups, per, 1), eps)


def _check_group_norm(input: Any, groups: int, weight: Any, bias: Any) -> None:
    shape = list(input.shape)
    if input.ndim < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    if shape[0] * (shape[1] // groups) * math.prod(shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {shape}"
        )
    if groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {groups}")
    if shape[1] % groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {shape} and num_groups={groups}"
        )
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and list(p.shape) != shape[1:2]:
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(p.shape)} and input of shape {shape}"
            )


@function(method=False, namespace="nn.functional")
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(input - mean) / sqrt(variance + eps) * weight + bias, over groups of neighbouring
    channels of each example.
    """
    _check_group_norm(input, num_groups, weight, bias)
    return _group_norm(input, num_groups, weight, bias, eps)


@named("group_norm")
def torch_group_norm(
    input: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    """`nn.functional.group_norm`."""
    return group_norm(input, num_groups, weight, bias, eps)


@function(method=False)
def native_group_norm(
    input: Any, weight: Any, bias: Any, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple:
    """`group_norm`, and the mean and 1 / sqrt(variance + eps) of each group."""
    rows = input.reshape(N, group, C // group * HxW)
    mean = rows.mean(-1)
    variance = ((rows - mean.unsqueeze(-1)) ** 2).mean(-1)
    return _group_norm(input, group, weight, bias, eps), mean, (variance + eps).rsqrt()


@op(namespace="primitive", method=False, extra=True, node="MulBackward0", rows=IMAGES)
def scaled_by_mean_square(x: Any, weight: Any, /, axes: tuple, eps: float) -> Any:
    """x / sqrt(mean of x^2 over `axes` + eps) * weight."""
    scale = _mean_square_scale(x, axes, eps)
    y = x * scale
    return (y if weight is None else reuse(np.multiply, y, weight)), scale


def _mean_square_scale(x: Any, axes: tuple, eps: float) -> Any:
    axes = tuple([a % x.ndim for a in axes])
    return 1 / np.sqrt(inner(x, x, axes) / math.prod(x.shape[a] for a in axes) + eps)


@scaled_by_mean_square.vjp_all
def _(g, x, weight, extra, needs, axes, eps):
    scale = extra if is_ground(x) else _mean_square_scale(x, axes, eps)
    z = x * scale
    of_weight = g * z if needs[1] else None
    if not needs[0]:
        return None, of_weight
    h = g if weight is None else g * weight
    axes = tuple([a % x.ndim for a in axes])
    slope = inner(h, z, axes) / -math.prod(x.shape[a] for a in axes)
    return reuse(np.multiply, reuse(np.add, reuse(np.multiply, z, slope), h), scale), of_weight


@function(method=False, namespace="nn.functional", alias="torch.rms_norm")
def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """input / sqrt(mean of input^2 + eps) * weight, over the last dimensions; `eps` is the
    dtype's by default.
    """
    shape, kinds = _sizes(normalized_shape), kinds_of("rms_norm", input=input, weight=weight)
    _check_layer(kinds[0], shape, {"weight": kinds[1]}, "*")
    d = FROM_NUMPY[input._data.dtype]
    if not (d.is_floating_point or d.is_complex):
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{scalar_name(d)}'")
    if eps is None:
        eps = float(np.finfo(np.float64 if d.name in ("float64", "complex128") else np.float32).eps)
    if weight is not None and weight.dtype is not d:
        weight = weight.to(d)
    return scaled_by_mean_square(input, weight, tuple(range(-len(shape), 0)), eps)


@function(method=False, namespace="nn.functional")
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """input / (k + alpha * mean of the squares of `size` neighbouring channels) ** beta."""
    if input.ndim < 3:
        raise ValueError(
            "Expected 3D or higher dimensionality                          input (got "
            f"{input.ndim} dimensions)"
        )
    if not input.numel():
        return input
    shape = tuple(input.shape)
    squares = (input * input).reshape(shape[0], 1, shape[1], -1)
    mean = avg_pool2d(pad(squares, (0, 0, size // 2, (size - 1) // 2)), (size, 1), stride=1)
    return input / (mean.reshape(shape) * alpha + k) ** beta
