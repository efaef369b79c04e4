"""Initial values of parameters: each function fills its tensor in place, unrecorded, and returns
it.

The draws are torch's, so that the same seed gives the same parameters.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..autograd.modes import no_grad
from ..ops.define import about_to_be_written, storage_array
from ..tape import storage_of

GAINS = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The factor by which a nonlinearity's inputs are to be scaled so that its outputs keep their
    variance.
    """
    if nonlinearity in LINEAR:
        return 1
    if nonlinearity in GAINS:
        return GAINS[nonlinearity]
    if nonlinearity != "leaky_relu":
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    if param is None:
        slope = 0.01
    elif isinstance(param, (int, float)) and not isinstance(param, bool):
        slope = param
    else:
        raise ValueError(f"negative_slope {param} not a valid number")
    return math.sqrt(2.0 / (1 + slope**2))


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Draw from the uniform distribution on [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Draw from the normal distribution with that mean and standard deviation."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Any:
    """Draw from a normal distribution restricted to [a, b]: what falls outside is drawn again."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be "
            "incorrect.",
            stacklevel=2,
        )
    low, high = ((1.0 + math.erf((end - mean) / std / math.sqrt(2.0))) / 2.0 for end in (a, b))
    with no_grad():
        if high - low > 0.3:
            _draw_until_inside(tensor, mean, std, a, b, generator)
        else:
            _draw_until_accepted(tensor, mean, std, a, b, generator)
    return tensor


def _draw_until_inside(
    tensor: Any, mean: float, std: float, a: float, b: float, generator: Any
) -> None:
    """Normal values, all drawn again as long as some lie outside, and taken where they are
    missing.
    """
    values = storage_array(tensor.normal_(mean, std, generator=generator))
    low, high = np.array([a, b]).astype(values.dtype)
    while (outside := (values < low) | (values > high)).any():
        values[outside] = (
            tensor.new_empty(values.shape).normal_(mean, std, generator=generator)._data[outside]
        )


def _draw_until_accepted(
    tensor: Any, mean: float, std: float, a: float, b: float, generator: Any
) -> None:
    """Uniform values, each kept with the probability that its density bears to the greatest one in
    [a, b].
    """
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    values = about_to_be_written(tensor)
    missing = np.ones(values.shape, bool)
    while missing.any():
        drawn = tensor.new_empty(values.shape).uniform_(a, b, generator=generator)
        values[missing] = drawn._data[missing]
        level = ((drawn - mean) / std).pow(2) * -0.5 - peak
        chance = tensor.new_empty(values.shape).uniform_(generator=generator).log()
        missing &= (chance > level)._data
    storage_of(tensor).bump()


def constant_(tensor: Any, val: float) -> Any:
    """Fill with one value."""
    about_to_be_written(tensor).fill(val)
    storage_of(tensor).bump()
    return tensor


def ones_(tensor: Any) -> Any:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Any) -> Any:
    """Make a matrix the identity (ones on the diagonal, whatever its shape)."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    zeros_(tensor)
    np.fill_diagonal(tensor._data, 1)
    return tensor


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Make a convolution's weight hand its input channels through unchanged."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out_channels, in_channels, *kernel = tensor._data.shape
    if out_channels % groups:
        raise ValueError("dim 0 must be divisible by groups")
    zeros_(tensor)
    each = out_channels // groups
    centre = tuple(n // 2 for n in kernel)
    for channel in range(min(each, in_channels)):
        tensor._data[(slice(channel, None, each), channel, *centre)] = 1
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    """How many inputs reach one output of a weight, and how many outputs one input reaches."""
    shape = tensor._data.shape
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _fan(tensor: Any, mode: str) -> int:
    modes = ["fan_in", "fan_out"]
    if str(mode).lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform on (-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming(tensor: Any, a: float, mode: str, nonlinearity: str) -> float | None:
    """The standard deviation that He et al. (2015) ask for; None for a tensor without elements."""
    if 0 in tensor._data.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))


def kaiming_uniform_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """Uniform on (-b, b), b = gain sqrt(3 / fan) (He et al. 2015); `a` is the slope of a leaky
    ReLU.
    """
    std = _kaiming(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """Normal with standard deviation gain / sqrt(fan) (He et al. 2015); `a` is the slope of a leaky
    ReLU.
    """
    std = _kaiming(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """A (semi-)orthogonal matrix times `gain`, from the QR factors of a normal one (Saxe et al.
    2013).
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if not tensor.numel():
        return tensor
    data = about_to_be_written(tensor)
    rows, columns = data.shape[0], data.size // data.shape[0]
    with no_grad():
        a = tensor.new_empty((rows, columns)).normal_(0, 1, generator=generator)._data
    q, r = np.linalg.qr(a.T if rows < columns else a)
    q = q * np.sign(np.diagonal(r))
    data[...] = ((q.T if rows < columns else q) * gain).reshape(data.shape)
    storage_of(tensor).bump()
    return tensor


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal values, of which the fraction `sparsity` in each column is set to 0 (Martens 2010)."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0, std, generator)
    from .. import randperm

    for column in range(columns):
        tensor._data[randperm(rows)._data[:zeros], column] = 0
    return tensor


def _deprecated(new: Any) -> Any:
    name = new.__name__

    def old(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"`nn.init.{name[:-1]}` is now deprecated in favor of `nn.init.{name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return new(*args, **kwargs)

    old.__name__, old.__doc__ = name[:-1], f"The old name of `{name}`."
    return old


uniform, normal, constant, eye, dirac = map(
    _deprecated, (uniform_, normal_, constant_, eye_, dirac_)
)
xavier_uniform, xavier_normal = map(_deprecated, (xavier_uniform_, xavier_normal_))
kaiming_uniform, kaiming_normal = map(_deprecated, (kaiming_uniform_, kaiming_normal_))
orthogonal, sparse = map(_deprecated, (orthogonal_, sparse_))
