"""Losses: how far a prediction is from its target, as one number, or one per element.

Where torch has one node for a loss, so have we: a kernel for the value of each element, a rule for
its slope, and `reduced` and `shared` between them and the result. The others are composed of tensor
functions. `reduction` is 'mean', 'sum' or 'none'; the older `size_average` and `reduce` still work,
with torch's warning.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.duck import Duck, tied
from ..dtypes import FROM_NUMPY
from .conv import Kind
from .define import (
    SAME,
    Tensor,
    broadcast_error,
    function,
    not_a_tensor,
    op,
    scalar_name,
    state,
    with_dimensions,
)
from .elementwise import sigmoid
from .index import check_range, grid
from .norm import kinds_of
from .sort import put_along

REDUCTIONS = ("none", "mean", "sum")


# -- what all losses share -------------------------------------------------------------------------


def reduced(values: Any, reduction: str) -> Any:
    """The values, their sum or their mean."""
    if reduction == "none":
        return values
    total = np.add.reduce(values, axis=None)
    return total if reduction == "sum" else total / values.dtype.type(values.size)


def shared(g: Any, count: int, reduction: str) -> Any:
    """The cotangent of each of `count` values from that of `reduced`."""
    return g / count if reduction == "mean" else g


def how(reduction: Any, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction asked for, the older arguments taken into account."""
    if size_average is not None or reduce is not None:
        reduction = (
            ("mean" if size_average in (None, True) else "sum")
            if reduce in (None, True)
            else "none"
        )
        warnings.warn(
            "size_average and reduce args will be deprecated, please use "
            f"reduction='{reduction}' instead.",
            stacklevel=4,
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def finished(values: Any, reduction: str) -> Any:
    """A tensor of losses, reduced."""
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()


def constant(function: str, argument: str, t: Any) -> None:
    """Raise torch's error if an argument that has no derivative requires one."""
    if t is not None and state.grad and t.requires_grad:
        raise RuntimeError(
            f"The function '{function}' is not differentiable with respect to argument "
            f"'{argument}'. This input cannot have requires_grad True."
        )


def fitting(*tensors: Any) -> None:
    """Raise torch's error for tensors whose shapes do not broadcast."""
    shapes = [t.shape for t in tensors if t is not None]
    error = broadcast_error(shapes) if len(shapes) > 1 else None
    if error is not None:
        raise error


def floating(x: Any, name: str, complex_too: bool = False) -> None:
    """Raise torch's error unless a tensor is floating."""
    d = FROM_NUMPY[x._data.dtype]
    if not d.is_floating_point and not (complex_too and d.is_complex):
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")


def pairs(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Input and target in one shape, with torch's warning if theirs differ."""
    for i, (label, t) in enumerate((("input", input), ("target", target))):
        if not isinstance(t, Tensor):
            raise not_a_tensor(name, label, i + 1, t)
    if input.shape == target.shape:
        return input, target
    warnings.warn(
        f"Using a target size ({target.shape}) that is different to the input size "
        f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
        "Please ensure they have the same size.",
        stacklevel=3,
    )
    return (input, target) if name == "huber_loss" else with_dimensions(input, target)


# -- functions of the difference -------------------------------------------------------------------


def _difference_loss(name: str, value: Callable, slope: Callable) -> Callable:
    """An operator for the loss value(x - y, width) with the derivative slope(x - y, width)."""

    def kernel(x: Any, y: Any, /, reduction: str, width: float) -> Any:
        values = value(x - y, width)
        return tied(values, x, y) if reduction == "none" else reduced(values, reduction)

    def toward_x(g, x, y, reduction, width):  # type: ignore[no-untyped-def]
        d = x - y
        return shared(g, d.size, reduction) * slope(d, width)

    def toward_y(g, x, y, reduction, width):  # type: ignore[no-untyped-def]
        d = x - y
        return shared(-g, d.size, reduction) * slope(d, width)

    node = "".join(w.title() for w in name.split("_")) + "Backward0"
    entry = op(kernel, name=name, promote=SAME, namespace="primitive", method=False, node=node)
    entry.vjp(toward_x)
    entry.vjp(toward_y)
    return entry


def _smooth(d: Any, width: float) -> Any:
    size = np.absolute(d)
    return np.where(size < width, d * d * (0.5 / width), size - 0.5 * width)


def _huber(d: Any, width: float) -> Any:
    size = np.absolute(d)
    return np.where(size <= width, 0.5 * d * d, width * (size - 0.5 * width))


SQUARE = _difference_loss("mse_loss", lambda d, width: d * d, lambda d, width: d + d)
SMOOTH = _difference_loss(
    "smooth_l1_loss",
    _smooth,
    lambda d, width: np.where(np.absolute(d) < width, d / width, np.sign(d)),
)
HUBER = _difference_loss(
    "huber_loss",
    _huber,
    lambda d, width: np.where(np.absolute(d) < width, d, width * np.sign(d)),
)


def _check_weight(input: Any, weight: Any) -> None:
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")


def _weighted(values: Any, weight: Any, reduction: str) -> Any:
    """The weighted losses, their sum, or their mean by weight."""
    total = values * weight
    if reduction == "none":
        return total
    return total.sum() if reduction == "sum" else total.sum() / weight.sum()


@function(method=False, namespace="nn.functional")
def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The squared error (input - target) ** 2."""
    input, target = pairs("mse_loss", input, target)
    reduction = how(reduction, size_average, reduce)
    floating(input, "mse_cpu")
    if weight is None:
        return SQUARE(input, target, reduction, 0.0)
    _check_weight(input, weight)
    return _weighted((input - target) ** 2, weight, reduction)


@function(method=False, namespace="nn.functional")
def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The absolute error |input - target|."""
    input, target = pairs("l1_loss", input, target)
    reduction = how(reduction, size_average, reduce)
    if weight is None:
        return finished((input - target).abs(), reduction)
    _check_weight(input, weight)
    return _weighted((input - target).abs(), weight, reduction)


@function(method=False, namespace="nn.functional")
def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """|d| - beta / 2 for the difference d, rounded off to d**2 / (2 beta) where |d| < beta."""
    input, target = pairs("smooth_l1_loss", input, target)
    reduction = how(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return finished((input - target).abs(), reduction)
    floating(input, "smooth_l1_cpu")
    return SMOOTH(input, target, reduction, float(beta))


@function(method=False, namespace="nn.functional")
def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """d**2 / 2 for the difference d, continued as delta (|d| - delta / 2) where |d| > delta."""
    input, target = pairs("huber_loss", input, target)
    reduction = how(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    floating(input, "huber_cpu")
    if weight is None:
        return HUBER(input, target, reduction, float(delta))
    _check_weight(input, weight)
    return finished(HUBER(input, target, "none", float(delta)) * weight, reduction)


@op(
    promote=SAME,
    name="soft_margin",
    namespace="primitive",
    method=False,
    node="SoftMarginLossBackward0",
)
def margin_logistic(x: Any, /, target: Any, reduction: str) -> Any:
    """log(1 + exp(-target * x))."""
    return reduced(np.log1p(np.exp(-target.astype(x.dtype) * x)), reduction)


@margin_logistic.vjp
def _(g, x, target, reduction):
    target = target.astype(x.dtype)
    return -shared(g, x.size, reduction) * target * sigmoid(-target * x)


@function(method=False, namespace="nn.functional")
def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """log(1 + exp(-target * input)), for targets 1 and -1."""
    reduction = how(reduction, size_average, reduce)
    constant("soft_margin_loss", "target", target)
    fitting(input, target)
    return margin_logistic(input, target, reduction)


# -- two classes -----------------------------------------------------------------------------------


@op(promote=SAME, name="binary_cross_entropy", namespace="primitive", method=False, by_rule=True)
def cross_entropy_of_two(x: Any, y: Any, /, weight: Any, reduction: str) -> Any:
    """-(y log x + (1 - y) log(1 - x)) times weight, the logarithms not below -100."""
    no = np.maximum(np.log1p(-x), x.dtype.type(-100))
    yes = np.maximum(np.log(x), x.dtype.type(-100))
    return reduced(_times((y - 1) * no - y * yes, weight), reduction)


def _times(values: Any, weight: Any) -> Any:
    return values if weight is None else values * weight.astype(values.dtype)


@cross_entropy_of_two.vjp
def _(g, x, y, weight, reduction):
    slope = (x - y) / np.maximum((1 - x) * x, x.dtype.type(1e-12))
    return shared(g, x.size, reduction) * _times(slope, weight)


@cross_entropy_of_two.vjp
def _(g, x, weight, reduction):
    return shared(g, x.size, reduction) * _times(np.log1p(-x) - np.log(x), weight)


@op(
    promote=SAME,
    name="logits_loss",
    namespace="primitive",
    method=False,
    node="BinaryCrossEntropyWithLogitsBackward0",
)
def cross_entropy_of_logits(x: Any, y: Any, /, weight: Any, pos_weight: Any, reduction: str) -> Any:
    """-(p y log s(x) + (1 - y) log(1 - s(x))) times weight, s the sigmoid and p `pos_weight`."""
    losses = (1 - y) * x + _yes_weight(y, pos_weight) * _softplus_of_minus(x)
    return reduced(_times(losses, weight), reduction)


def _yes_weight(y: Any, pos_weight: Any) -> Any:
    return 1 if pos_weight is None else (pos_weight.astype(y.dtype) - 1) * y + 1


def _softplus_of_minus(x: Any) -> Any:
    """log(1 + exp(-x)) without overflow."""
    return np.log1p(np.exp(-np.absolute(x))) + np.maximum(-x, x.dtype.type(0))


@cross_entropy_of_logits.vjp
def _(g, x, y, weight, pos_weight, reduction):
    if pos_weight is None:
        slope = sigmoid(x) - y
    else:
        slope = sigmoid(x) * _yes_weight(y, pos_weight) - pos_weight.astype(y.dtype) * y
    return shared(g, x.size, reduction) * _times(slope, weight)


@cross_entropy_of_logits.vjp
def _(g, x, weight, pos_weight, reduction):
    slope = -x
    if pos_weight is not None:
        slope = slope + (pos_weight.astype(x.dtype) - 1) * _softplus_of_minus(x)
    return shared(g, x.size, reduction) * _times(slope, weight)


@function(method=False, namespace="nn.functional")
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-(target log(input) + (1 - target) log(1 - input)) times weight, for probabilities."""
    reduction = how(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    floating(input, "binary_cross_entropy")
    a, b = FROM_NUMPY[input._data.dtype], FROM_NUMPY[target._data.dtype]
    if a is not b:
        raise RuntimeError(f"Found dtype {scalar_name(b)} but expected {scalar_name(a)}")
    constant("binary_cross_entropy", "weight", weight)
    for label, t in (("input", input), ("target", target)):
        data = t._data
        if isinstance(data, np.ndarray | np.generic) and ((data < 0) | (data > 1)).any():
            raise RuntimeError(f"all elements of {label} should be between 0 and 1")
    fitting(input, weight)
    return cross_entropy_of_two(input, target, weight, reduction)


@function(method=False, namespace="nn.functional")
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """`binary_cross_entropy` of sigmoid(input), computed without rounding where it saturates.

    `pos_weight` multiplies the term of target 1.
    """
    reduction = how(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    name = "binary_cross_entropy_with_logits"
    constant(name, "weight", weight)
    constant(name, "pos_weight", pos_weight)
    floating(input, "log_sigmoid_cpu")
    _check_target(target)
    fitting(pos_weight, target, weight)
    return cross_entropy_of_logits(input, target, weight, pos_weight, reduction)


def _check_target(target: Any) -> None:
    kind = target._data.dtype.kind
    if kind == "b":
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. "
            "Use the `^` or `logical_xor()` operator instead."
        )
    if kind in "iu":
        d = scalar_name(FROM_NUMPY[target._data.dtype])
        raise RuntimeError(
            f"result type Float can't be cast to the desired output type {d}: "
            "the target of binary_cross_entropy_with_logits is not floating; use target.float()"
        )


@function(method=False, namespace="nn.functional")
def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """target (log(target) - input), for `input` in logarithms (and `target` too, if `log_target`).

    'batchmean' divides the sum by the number of examples: the Kullback-Leibler divergence.
    """
    batchmean = reduction == "batchmean" and size_average is None and reduce is None
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            stacklevel=2,
        )
    reduction = "sum" if batchmean else how(reduction, size_average, reduce)
    for t in (input, target):
        if not (t.is_floating_point() or t.is_complex()):
            raise RuntimeError("kl_div: Integral inputs not supported.")
    if log_target:
        losses = target.exp() * (target - input)
    else:
        losses = target.xlogy(target) - target * input
    total = finished(losses, reduction)
    return total / input.shape[0] if batchmean and input.ndim else total


# -- several classes -------------------------------------------------------------------------------


def class_weights(x: Any, target: Any, weight: Any, ignore_index: int | None) -> tuple[Any, Any]:
    """Targets with those to be ignored replaced by class 0, and the weight of each (0 for those);
    no weights if all are 1.
    """
    if ignore_index is None:
        return target, None if weight is None else weight.astype(x.dtype)[target]
    ignored = target == ignore_index
    safe = np.where(ignored, 0, target)
    of_one = x.dtype.type(1) if weight is None else weight.astype(x.dtype)[safe]
    return safe, np.where(ignored, x.dtype.type(0), of_one)


def negative_log_likelihood(
    x: Any, /, target: Any, weight: Any, reduction: str, ignore_index: int | None
) -> Any:
    """-weight[t] * x[n, t], for the class t of each place; the mean is by weight."""
    rows, places = (x, target) if x.ndim > 1 else (x.reshape(1, -1), target.reshape(1))
    safe, weights = class_weights(x, places, weight, ignore_index)
    losses = -rows[grid(safe[:, None], 1)][:, 0]
    if weights is not None:
        losses = losses * weights
    if reduction == "none":
        return losses.reshape(target.shape)
    total = np.add.reduce(losses, axis=None)
    if reduction == "mean":
        total = total / (_count(places) if weights is None else np.add.reduce(weights, axis=None))
    return total


def _count(places: Any) -> Any:
    """The number of places; nan instead of 0, as the mean of nothing."""
    return places.size or math.nan


def likelihood_back(g, x_shape, target, weight, reduction, ignore_index):  # type: ignore[no-untyped-def]
    """The cotangent of the log-probabilities."""
    shape, places = (x_shape, target) if len(x_shape) > 1 else ((1, *x_shape), target.reshape(1))
    safe, weights = class_weights(np.zeros(0, g.dtype), places, weight, ignore_index)
    g = g.reshape(places.shape) if reduction == "none" else g
    if reduction == "mean":
        g = g / (_count(places) if weights is None else np.add.reduce(weights, axis=None))
    if weights is None:
        g = np.broadcast_to(-g, places.shape)
    else:  # nothing where the target is ignored, even if all are and the mean is nan
        g = np.where(weights == 0, weights, -g * weights)
    return put_along(g[:, None], safe[:, None], 1, shape).reshape(x_shape)


def _likelihood_op(name: str, node: str) -> Callable:
    entry = op(
        negative_log_likelihood,
        name=name,
        namespace="primitive",
        method=False,
        linear=True,
        node=node,
    )
    entry.vjp(likelihood_back)
    return entry


LIKELIHOOD = _likelihood_op("nll_loss", "NllLossBackward0")
LIKELIHOOD_2D = _likelihood_op("nll_loss2d", "NllLoss2DBackward0")


@functools.lru_cache(maxsize=1024)
def _check_classes(x: Kind, target: Kind, weight: Kind | None) -> int:
    """How many classes there are; raises torch's error if the arguments do not go together."""
    d, t = FROM_NUMPY[x[1]], FROM_NUMPY[target[1]]
    if not d.is_floating_point:
        raise NotImplementedError(f"\"nll_loss_out_frame\" not implemented for '{scalar_name(d)}'")
    if t.name not in ("int64", "uint8"):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {scalar_name(t)}")
    if len(x[0]) > 1:
        _check_batch(list(x[0]), list(target[0]))
    elif len(target[0]) > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    elif math.prod(target[0]) != 1:
        raise ValueError(
            "For 1D input, 1D target must have size 1, but got target size: "
            f"{target[0][0] if target[0] else 0}"
        )
    classes = x[0][min(len(x[0]) - 1, 1)]
    check_class_weight(x, weight, classes)
    return classes


def _check_batch(shape: list, target: list) -> None:
    """Raise torch's error for targets that are not one for each place of a batch."""
    wanted = [shape[0], *shape[2:]]
    if target[:1] != shape[:1]:
        raise ValueError(
            f"Expected input batch_size ({shape[0]}) to match target batch_size "
            f"({target[0] if target else 0})."
        )
    if len(shape) == 2 and len(target) != 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if len(shape) == 4 and len(target) != 3:
        raise RuntimeError(
            "only batches of spatial targets supported (3D tensors) but got targets of dimension: "
            f"{len(target)}"
        )
    if target != wanted and len(shape) == 4:
        raise RuntimeError(f"size mismatch (got input: {shape} , target: {target}")
    if target != wanted:
        raise RuntimeError(f"Expected target size {wanted}, got {target}")


def check_class_weight(x: Kind, weight: Kind | None, classes: int, prefix: str = "") -> None:
    """Raise torch's error for weights that are not one for each class."""
    if weight is None:
        return
    if weight[0] != (classes,):
        raise RuntimeError(
            f"{prefix}weight tensor should be defined either for all {classes} classes or no "
            f"classes but got weight tensor of shape: {list(weight[0])}"
        )
    a, b = FROM_NUMPY[x[1]], FROM_NUMPY[weight[1]]
    if a is not b and not prefix:
        raise RuntimeError(f"expected scalar type {scalar_name(a)} but found {scalar_name(b)}")


def _needs_care(target: Any, classes: int, ignore_index: int) -> bool:
    """Whether targets may have to be ignored; raises torch's error if others are out of range."""
    if state.capture is not None:
        text = "Target {} is out of bounds."
        check_range(target, classes, 0, IndexError, text, ignore_index)
    target = target.values() if isinstance(target, Duck) else target
    if not isinstance(target, np.ndarray | np.generic):
        return True
    if not target.size:
        return False
    unsigned = target.view(np.uint64) if target.dtype.itemsize == 8 else target
    if np.maximum.reduce(unsigned, axis=None) < classes:
        return 0 <= ignore_index < classes
    bad = ((target < 0) | (target >= classes)) & (target != ignore_index)
    if bad.any():
        raise IndexError(f"Target {int(target[bad][0])} is out of bounds.")
    return True


@function(method=False, namespace="nn.functional")
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-weight[target] * input[target]: `input` (n, classes, ...) holds log-probabilities.

    `target` (n, ...) are class indices; those equal to `ignore_index` do not count. The mean is the
    sum over the sum of the targets' weights.
    """
    reduction = how(reduction, size_average, reduce)
    if not input.ndim:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    constant("nll_loss_forward", "weight", weight)
    classes = _check_classes(*kinds_of("nll_loss", input=input, target=target, weight=weight))
    if input.ndim == 1:
        target = target.reshape(())
    care = _needs_care(target._data, classes, ignore_index)
    entry = LIKELIHOOD if input.ndim <= 2 else LIKELIHOOD_2D
    return entry(input, target, weight, reduction, ignore_index if care else None)


def _smoothed(
    log_p: Any, target: Any, weight: Any, reduction: str, ignore_index: int, smoothing: float
) -> Any:
    """The loss of class indices, part of each target's probability shared by all classes."""
    exact = nll_loss(log_p, target, weight, None, ignore_index, None, reduction)
    axis = 0 if log_p.ndim == 1 else 1
    target = target if axis else target.reshape(())
    classes = log_p.shape[axis]
    shape = [1] * log_p.ndim
    shape[axis] = classes
    weighted = log_p if weight is None else log_p * weight.view(shape)
    ignored = target == ignore_index
    uniform = (-weighted.sum(axis)).masked_fill(ignored, 0.0)
    if reduction == "mean":
        if weight is None:
            total = (~ignored).sum()
        else:
            safe = target.masked_fill(ignored, 0).reshape(-1)
            total = weight.gather(0, safe).masked_fill(ignored.reshape(-1), 0.0).sum()
        uniform = uniform.sum() / total
    elif reduction == "sum":
        uniform = uniform.sum()
    return exact * (1 - smoothing) + uniform * (smoothing / classes)


def _of_probabilities(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float
) -> Any:
    """The cross entropy of class probabilities."""
    axis = 0 if input.ndim == 1 else 1
    classes = input.shape[axis] if input.ndim else 1
    if not target.is_floating_point():
        d = scalar_name(FROM_NUMPY[target._data.dtype])
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {d}"
        )
    constant("nll_loss_forward", "weight", weight)
    kinds = kinds_of("cross_entropy", input=input, weight=weight)
    check_class_weight(*kinds, classes, "cross_entropy: ")  # type: ignore[call-arg]
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / classes
    log_p = input.log_softmax(axis)
    if weight is not None:
        shape = [1] * input.ndim
        shape[axis] = classes
        log_p = log_p * weight.view(shape)
    losses = log_p * target
    if reduction == "none":
        return -losses.sum(axis)
    total = -losses.sum()
    return total if reduction == "sum" else total / (input.numel() // max(classes, 1) or math.nan)


@function(method=False, namespace="nn.functional")
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-weight * log softmax(input)[target], for unnormalized scores `input` (n, classes, ...).

    `target` holds class indices (n, ...) or, in the shape of `input`, class probabilities;
    `label_smoothing` gives that share of each target to all classes alike.
    """
    reduction = how(reduction, size_average, reduce)
    if target.shape == input.shape:
        if label_smoothing > 1 or label_smoothing < 0:
            raise RuntimeError(
                f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    log_p = input.log_softmax(0 if input.ndim == 1 else 1)
    if label_smoothing > 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if label_smoothing > 0:
        return _smoothed(log_p, target, weight, reduction, ignore_index, label_smoothing)
    return nll_loss(log_p, target, weight, None, ignore_index, None, reduction)
