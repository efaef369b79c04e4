"""Convolution: one form in three tensors, three primitives, each the derivative of the others.

The sum over examples n, channels o and c, kernel places k and positions p (of any rank) of

    x[n, c, p * stride + k * dilation - padding] * w[o, c, k] * y[n, o, p]

is linear in the image x, the kernel w and the response y. Leaving out one of the three gives an
operator: `convolve` makes the response, `convolve_back` the image (a transposed convolution),
`convolve_kernel` the kernel. So every derivative of a convolution, of any order, is a convolution.
Each is given the `size` of what it makes.

All three are matrix products with the windows of the image as columns. The windows are a view
(strides, no copy) until they are gathered for the product, a few examples at a time, so that the
columns stay in the cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..arrays.sums import add_up
from ..dtypes import FROM_NUMPY
from .define import HALF, function, not_a_tensor, primitive, scalar_name
from .padding import pad

WORTH = 256  # positions that make a matrix product worth its call
CACHED = 2**21  # numbers that the columns of several examples may have

Sizes = tuple[int, ...]


def sliding(x: Any, kernel: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """All windows of a plain array as a view: its last axes become (*kernel, *size)."""
    n = len(kernel)
    x = np.ascontiguousarray(x)
    lead, last = x.strides[:-n], x.strides[-n:]
    inside = [d * s for d, s in zip(dilation, last, strict=True)]
    across = [d * s for d, s in zip(stride, last, strict=True)]
    shape = (*x.shape[:-n], *kernel, *size)
    if not math.prod(shape):
        return np.empty(shape, x.dtype)
    return np.ndarray(shape, x.dtype, x, 0, (*lead, *inside, *across))


def add_windows(out: Any, windows: Any, stride: Sizes, dilation: Sizes) -> None:
    """Add windows (*kernel, *size as the last axes) to the places of `out` they look at."""
    n = len(stride)
    kernel, size = windows.shape[-2 * n : -n], windows.shape[-n:]
    for place in product(*[range(k) for k in kernel]):
        spot = tuple(
            [
                slice(k * d, k * d + (p - 1) * s + 1, s)
                for k, d, p, s in zip(place, dilation, size, stride, strict=True)
            ]
        )
        out[(..., *spot)] += windows[(..., *place, *(slice(None),) * n)]


def with_margin(x: Any, padding: Sizes) -> Any:
    """A plain array with zeros around its last axes."""
    if not any(padding):
        return x
    lead = x.ndim - len(padding)
    out = np.zeros(
        (*x.shape[:lead], *[n + 2 * p for n, p in zip(x.shape[lead:], padding, strict=True)]),
        x.dtype,
    )
    out[inside(padding, x.shape[lead:])] = x
    return out


def inside(padding: Sizes, size: Sizes) -> tuple:
    """The index of what `with_margin` has put zeros around."""
    return (..., *[slice(p, p + n) for p, n in zip(padding, size, strict=True)])


def portions(examples: int, numbers: int, positions: int) -> Iterator[tuple[slice, bool]]:
    """Slices of the batch whose columns (so many numbers per example) fit the cache, and whether to
    merge their examples.

    Examples of few positions share one matrix product, those of many have one each.
    """
    merge = positions < WORTH
    step = max(1, min(CACHED // max(numbers, 1), examples))
    for start in range(0, examples, step):
        yield slice(start, min(start + step, examples)), merge


def merged(y: Any) -> Any:
    """(n, groups, o, positions) as (groups, o, n * positions)."""
    n, groups, o, count = y.shape
    return y.transpose(1, 2, 0, 3).reshape(groups, o, n * count)


def parted(y: Any, n: int) -> Any:
    """(groups, o, n * positions) as (n, groups, o, positions)."""
    groups, o, count = y.shape
    return y.reshape(groups, o, n, count // n).transpose(2, 0, 1, 3)


def gathered(windows: Any, rows: int) -> Iterator[tuple[slice, bool, Any]]:
    """Windows (n, groups, c, *kernel, *size) as columns (n, groups, rows, positions), some examples
    at a time, in one buffer.

    Columns of merged examples are (groups, rows, n * positions).
    """
    dims, groups = (windows.ndim - 3) // 2, windows.shape[1]
    last = windows.ndim - dims
    size = windows.shape[last:]
    ready = rows == windows.shape[2] and windows.flags.c_contiguous
    buffer = np.empty(0, windows.dtype)
    for part, merge in portions(windows.shape[0], groups * rows * math.prod(size), math.prod(size)):
        some = windows[part]
        n = some.shape[0]
        if merge:
            some = some.transpose(*range(1, last), 0, *range(last, some.ndim))
        if merge or not ready:
            buffer = buffer if buffer.size else np.empty(some.size, windows.dtype)
            columns = buffer[: some.size].reshape(some.shape)
            columns[...] = some
            some = columns
        count = math.prod(size)
        yield (
            part,
            merge,
            some.reshape((groups, rows, n * count) if merge else (n, groups, rows, count)),
        )


def grouped_windows(
    x: Any, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    """The windows of images (n, channels, ...) as a view (n, groups, c, *kernel, *size)."""
    x = with_margin(x, padding)
    x = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    return sliding(x, kernel, size, stride, dilation)


@primitive(promote=HALF, node="ConvolutionBackward0")
def convolve(
    x: Any,
    w: Any,
    bias: Any,
    /,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """Responses (n, o, *size) of images x (n, c, ...) to kernels w (o, c / groups, ...),
    with `bias` (o,) added.
    """
    windows = grouped_windows(x, w.shape[2:], size, stride, padding, dilation, groups)
    w = w.reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:]))
    out = np.empty((x.shape[0], *w.shape[:2], math.prod(size)), x.dtype)
    for part, merge, columns in gathered(windows, w.shape[2]):
        if merge:
            out[part] = parted(w @ columns, part.stop - part.start)
        else:
            np.matmul(w, columns, out=out[part])
        if bias is not None:
            out[part] += bias.reshape(*w.shape[:2], 1)
    return out.reshape(x.shape[0], groups * w.shape[1], *size)


@primitive(promote=HALF, node="ConvolutionBackward0")
def convolve_back(
    y: Any,
    w: Any,
    bias: Any,
    /,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Any:
    """Images (n, c, *size) that responses y (n, o, ...) paint with kernels w (o, c /
    groups, ...), with `bias` (c,) added.
    """
    margin = opposite_padding(y.shape, w.shape, size, stride, padding, dilation, groups)
    if margin is not None:
        return convolve(y, turned(w, groups), bias, size, stride, margin, dilation, groups)
    out = np.empty((y.shape[0], groups, w.shape[1], *size), y.dtype)
    for part, windows in painted(y, w, groups):
        image = np.zeros(
            (*windows.shape[:3], *[n + 2 * p for n, p in zip(size, padding, strict=True)]), y.dtype
        )
        add_windows(image, windows, stride, dilation)
        out[part] = image[inside(padding, size)]
        if bias is not None:
            out[part] += bias.reshape(groups, w.shape[1], *(1,) * len(size))
    return out.reshape(y.shape[0], groups * w.shape[1], *size)


def painted(y: Any, w: Any, groups: int) -> Iterator[tuple[slice, Any]]:
    """What responses add to the windows (n, groups, c, *kernel, *size) of images, some
    examples at a time.
    """
    shape = (groups, *w.shape[1:], *y.shape[2:])
    y = y.reshape(y.shape[0], groups, y.shape[1] // groups, math.prod(y.shape[2:]))
    w = w.reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:])).swapaxes(1, 2)
    for part, merge in portions(y.shape[0], math.prod(shape), y.shape[3]):
        n = part.stop - part.start
        windows = parted(w @ merged(y[part]), n) if merge else w @ y[part]
        yield part, windows.reshape(n, *shape)


def opposite_padding(
    y: Sizes, w: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Sizes | None:
    """The padding with which a convolution does what `convolve_back` is asked for, if one
    can, and with no more work.
    """
    if any(s != 1 for s in stride) or w[0] > 2 * groups * w[1]:
        return None
    margin = tuple([d * (k - 1) - p for d, k, p in zip(dilation, w[2:], padding, strict=True)])
    rows = zip(size, y[2:], margin, padding, strict=True)
    return margin if all(m >= 0 and n == a + m - p for n, a, m, p in rows) else None


def turned(w: Any, groups: int) -> Any:
    """Kernels (o, c / groups, ...) turned around, and seen from the other side: (c, o /
    groups, ...).
    """
    w = w[(..., *(slice(None, None, -1),) * (w.ndim - 2))]
    o, c, kernel = w.shape[0] // groups, w.shape[1], w.shape[2:]
    return np.ascontiguousarray(w.reshape(groups, o, c, *kernel).swapaxes(1, 2)).reshape(
        groups * c, o, *kernel
    )


@primitive(promote=HALF, node="ConvolutionBackward0")
def convolve_kernel(
    x: Any, y: Any, /, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Any:
    """Kernels (o, c / groups, *size) that say how responses y (n, o, ...) go with images x
    (n, c, ...).
    """
    channels, place = x.shape[1] // groups, y.shape[2:]
    rows = channels * math.prod(size)
    windows = grouped_windows(x, size, place, stride, padding, dilation, groups)
    y = y.reshape(y.shape[0], groups, y.shape[1] // groups, math.prod(place))
    out = np.zeros((groups, y.shape[2], rows), x.dtype)
    for part, merge, columns in gathered(windows, rows):
        if merge:
            out += merged(y[part]) @ columns.swapaxes(1, 2)
        else:
            out += np.add.reduce(y[part] @ columns.swapaxes(2, 3), axis=0)
    return out.reshape(groups * y.shape[2], channels, *size)


def over_channels(g: Any) -> Any:
    """The transpose of adding a bias."""
    return add_up(g, (0, *range(2, g.ndim)))


@convolve.vjp
def _(g, w, x_shape, stride, padding, dilation, groups):
    return convolve_back(g, w, None, x_shape[2:], stride, padding, dilation, groups)


@convolve.vjp
def _(g, x, w_shape, stride, padding, dilation, groups):
    return convolve_kernel(x, g, w_shape[2:], stride, padding, dilation, groups)


@convolve.vjp
def _(g):
    return over_channels(g)


@convolve_back.vjp
def _(g, w, y_shape, stride, padding, dilation, groups):
    return convolve(g, w, None, y_shape[2:], stride, padding, dilation, groups)


@convolve_back.vjp
def _(g, y, w_shape, stride, padding, dilation, groups):
    return convolve_kernel(g, y, w_shape[2:], stride, padding, dilation, groups)


@convolve_back.vjp
def _(g):
    return over_channels(g)


@convolve_kernel.vjp
def _(g, y, x_shape, stride, padding, dilation, groups):
    return convolve_back(y, g, None, x_shape[2:], stride, padding, dilation, groups)


@convolve_kernel.vjp
def _(g, x, y_shape, stride, padding, dilation, groups):
    return convolve(x, g, None, y_shape[2:], stride, padding, dilation, groups)


# -- public forms ----------------------------------------------------------------------------------

CPP_NAMES = {
    "uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int",
    "int64": "long int",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip
SHAPES = {1: "2D (unbatched) or 3D", 2: "3D (unbatched) or 4D", 3: "4D (unbatched) or 5D"}


Kind = tuple[Sizes, np.dtype]  # a tensor's shape and dtype


def frozen(value: Any, function: str, argument: str) -> Any:
    """An int, a string, or ints as a tuple: what a plan may be remembered by."""
    if type(value) is int or type(value) is str:
        return value
    values = value if isinstance(value, (tuple, list)) else (value,)
    for v in values:
        if isinstance(v, (float, str)) or not hasattr(v, "__index__"):
            raise TypeError(
                f"{function}(): argument '{argument}' must be tuple of ints, not {type(v).__name__}"
            )
    return tuple([v.__index__() for v in values])


def each(value: Any, dims: int) -> list[int]:
    """A frozen argument as a list, a single number meant for all `dims` dimensions."""
    values = [value] if type(value) is int else list(value)
    return values * dims if len(values) == 1 else values


def kind_of(t: Any, function: str, argument: str, position: int) -> Kind:
    """Shape and dtype of an argument that must be a tensor."""
    try:
        data = t._data
    except AttributeError:
        raise not_a_tensor(function, argument, position, t) from None
    return data.shape, data.dtype


def _check_settings(dims: int, groups: int, **settings: list) -> None:
    """Raise torch's error for strides and the like of the wrong number or sign."""
    for name, values in settings.items():
        if len(values) != dims:
            raise RuntimeError(
                f"expected {name} to be a single integer value or a list of {dims} values to match "
                f"the convolution dimensions, but got {name}={values}"
            )
    for name in ("padding", "output_padding"):
        if any(p < 0 for p in settings.get(name, ())):
            raise RuntimeError(f"negative {name} is not supported")
    if any(s <= 0 for s in settings["stride"]):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in settings["dilation"]):
        raise RuntimeError(f"dilation should be greater than zero, but got {settings['dilation']}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")


def _check_kinds(name: str, x: Kind, w: Kind, bias: Kind | None) -> None:
    """Raise torch's error for a rank or dtypes that do not fit."""
    dims = int(name[-2])
    if len(x[0]) not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Expected {SHAPES[dims]} (batched) input to {name}, but got input of size: "
            f"{list(x[0])}"
        )
    a, b = FROM_NUMPY[x[1]], FROM_NUMPY[w[1]]
    if a is not b:
        raise RuntimeError(f"expected scalar type {scalar_name(a)} but found {scalar_name(b)}")
    if a.category == 0:
        raise NotImplementedError("\"slow_conv2d_cpu\" not implemented for 'Bool'")
    if bias is not None and bias[1] != x[1]:
        names = CPP_NAMES[a.name], CPP_NAMES[FROM_NUMPY[bias[1]].name]
        raise RuntimeError(f"Input type ({names[0]}) and bias type ({names[1]}) should be the same")


def _check_channels(x: Sizes, w: Sizes, bias: Kind | None, groups: int, transposed: bool) -> None:
    """Raise torch's error for channels that do not fit together; `x` has its batch dimension."""
    shape, k = list(w), w[2:]
    if any(n == 0 for n in k):
        names = ["kernel_depth", "kernel_height", "kernel_width"][-len(k) :]
        raise RuntimeError(
            "kernel size should be greater than zero, but got "
            + " ".join(f"{name}: {n}" for name, n in zip(names, k, strict=True))
        )
    if w[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {shape} instead"
        )
    if w[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{shape}] instead"
        )
    wanted, made = (w[0], w[1] * groups) if transposed else (w[1] * groups, w[0])
    mode = f"transposed={int(transposed)}" if transposed else f"groups={groups}"
    if x[1] != wanted:
        raise RuntimeError(
            f"Given {mode}, weight of size {shape}, expected input{list(x)} to have {wanted} "
            f"channels, but got {x[1]} channels instead"
        )
    if bias is not None and bias[0] != (made,):
        given = "Given transposed=1, weight" if transposed else "Given weight"
        raise RuntimeError(
            f"{given} of size {shape}, expected bias to be 1-dimensional with {made} elements, but "
            f"got bias of size {list(bias[0])} instead"
        )


def _sizes(values: Sequence[int]) -> str:
    return "(" + " x ".join(map(str, values)) + ")"


def _response_size(x: Sizes, w: Sizes, stride: list, padding: list, dilation: list) -> Sizes:
    padded = [n + 2 * p for n, p in zip(x[2:], padding, strict=True)]
    kernel = [d * (k - 1) + 1 for k, d in zip(w[2:], dilation, strict=True)]
    if any(n < k for n, k in zip(padded, kernel, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: {_sizes(padded)}. Kernel size: "
            f"{_sizes(kernel)}. Kernel size can't be greater than actual input size"
        )
    return tuple([(n - k) // s + 1 for n, k, s in zip(padded, kernel, stride, strict=True)])


def _image_size(
    x: Sizes, w: Sizes, stride: list, padding: list, output_padding: list, dilation: list
) -> Sizes:
    _check_output_padding(output_padding, stride, dilation)
    rows = zip(x[2:], w[2:], stride, padding, output_padding, dilation, strict=True)
    size = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, o, d in rows]
    if any(n < 1 for n in size):
        raise RuntimeError(
            f"Given input size per channel: {_sizes(x[2:])}. Calculated output size per channel: "
            f"{_sizes(size)}. Output size is too small"
        )
    return tuple(size)


def _check_output_padding(output_padding: list, stride: list, dilation: list) -> None:
    if all(o < s or o < d for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        return
    lists = {"output_padding": output_padding, "stride": stride, "dilation": dilation}
    if len(stride) == 1:
        lists = {
            "output_padding": [0, *output_padding],
            "stride": stride * 2,
            "dilation": dilation * 2,
        }
    names = ["depth", "height", "width"][-len(lists["stride"]) :]
    raise RuntimeError(
        "output padding must be smaller than either stride or dilation, but got "
        + " ".join(
            f"{label}_{n}: {v}"
            for label, values in lists.items()
            for n, v in zip(names, values, strict=True)
        )
    )


def _by_name(padding: str, w: Sizes, stride: list, dilation: list) -> tuple[list, list]:
    """The padding that 'same' or 'valid' stands for, and pads for where the two sides differ."""
    if padding == "valid":
        return [0] * len(stride), []
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(w[2:], dilation, strict=True)]
    extra = [e for t in reversed(total) for e in (0, t % 2)]
    return [t // 2 for t in total], extra if any(extra) else []


@functools.lru_cache(maxsize=1024)
def _plan(
    name: str,
    x: Kind,
    w: Kind,
    bias: Kind | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> tuple[list, tuple]:
    """Pads to be added first, and the arguments of `convolve`, all checked."""
    _check_kinds(name, x, w, bias)
    dims, (shape, kernel) = int(name[-2]), (x[0], w[0])
    shape = shape if len(shape) == dims + 2 else (1, *shape)
    stride, dilation = each(stride, dims), each(dilation, dims)
    _check_settings(len(kernel) - 2, groups, stride=stride, dilation=dilation)
    extra: list = []
    if type(padding) is str:
        padding, extra = _by_name(padding, kernel, stride, dilation)
    if extra:
        shape = (*shape[:2], *[n + e for n, e in zip(shape[2:], extra[::-2], strict=True)])
    padding = each(padding, dims)
    _check_settings(len(kernel) - 2, groups, stride=stride, padding=padding, dilation=dilation)
    _check_channels(shape, kernel, bias, groups, False)
    size = _response_size(shape, kernel, stride, padding, dilation)
    return extra, (size, tuple(stride), tuple(padding), tuple(dilation), groups)


@functools.lru_cache(maxsize=1024)
def _plan_back(
    name: str,
    x: Kind,
    w: Kind,
    bias: Kind | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: int,
) -> tuple:
    """The arguments of `convolve_back`, all checked."""
    _check_kinds(name, x, w, bias)
    dims, (shape, kernel) = int(name[-2]), (x[0], w[0])
    shape = shape if len(shape) == dims + 2 else (1, *shape)
    settings = {
        "stride": each(stride, dims),
        "padding": each(padding, dims),
        "output_padding": each(output_padding, dims),
        "dilation": each(dilation, dims),
    }
    _check_settings(len(kernel) - 2, groups, **settings)
    _check_channels(shape, kernel, bias, groups, True)
    size = _image_size(shape, kernel, **settings)
    return (size, *[tuple(settings[k]) for k in ("stride", "padding", "dilation")], groups)


def _kinds(name: str, input: Any, weight: Any, bias: Any) -> tuple:
    """The kinds of a convolution's tensors."""
    return (
        kind_of(input, name, "input", 1),
        kind_of(weight, name, "weight", 2),
        None if bias is None else kind_of(bias, name, "bias", 3),
    )


def _run(entry: Callable, name: str, input: Any, weight: Any, bias: Any, settings: tuple) -> Any:
    """A convolution's operator on an input with or without a batch dimension."""
    if input._data.ndim == int(name[-2]) + 2:
        return entry(input, weight, bias, *settings)
    return entry(input.unsqueeze(0), weight, bias, *settings).squeeze(0)


def _convolution(
    name: str,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """A convolution over the last dimensions; `name` says over how many."""
    stride, dilation = frozen(stride, name, "stride"), frozen(dilation, name, "dilation")
    padding, kinds = frozen(padding, name, "padding"), _kinds(name, input, weight, bias)
    extra, settings = _plan(name, *kinds, stride, padding, dilation, groups)
    input = pad(input, extra) if extra else input
    return _run(convolve.op.entry, name, input, weight, bias, settings)


def _transposed(
    name: str,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    """A transposed convolution over the last dimensions; `name` says over how many."""
    given = (stride, padding, output_padding, dilation)
    names = ("stride", "padding", "output_padding", "dilation")
    if type(padding) is str:
        raise TypeError(f"{name}(): argument 'padding' must be tuple of ints, not str")
    given = tuple([frozen(v, name, label) for v, label in zip(given, names, strict=True)])
    settings = _plan_back(name, *_kinds(name, input, weight, bias), *given, groups)
    return _run(convolve_back.op.entry, name, input, weight, bias, settings)


@function(method=False, namespace="nn.functional", alias="torch.conv1d")
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Sums of products of `weight` (out, in / groups, k) with each window of `input` (n, in,
    length), plus `bias`.

    `padding` is a number of zeros at both ends, 'valid' (none) or 'same' (the output is as long as
    the input).
    """
    return _convolution("conv1d", input, weight, bias, stride, padding, dilation, groups)


@function(method=False, namespace="nn.functional", alias="torch.conv2d")
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Sums of products of `weight` (out, in / groups, kh, kw) with each window of `input`
    (n, in, h, w), plus `bias`.
    """
    return _convolution("conv2d", input, weight, bias, stride, padding, dilation, groups)


@function(method=False, namespace="nn.functional", alias="torch.conv3d")
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Sums of products of `weight` (out, in / groups, kd, kh, kw) with each window of
    `input` (n, in, d, h, w), plus `bias`.
    """
    return _convolution("conv3d", input, weight, bias, stride, padding, dilation, groups)


@function(method=False, namespace="nn.functional", alias="torch.conv_transpose1d")
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of conv1d: each element of `input` (n, in, length) adds its multiple
    of `weight` (in, out / groups, k).
    """
    return _transposed(
        "conv_transpose1d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@function(method=False, namespace="nn.functional", alias="torch.conv_transpose2d")
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of conv2d, with `weight` (in, out / groups, kh, kw); `output_padding`
    makes the output that much larger.
    """
    return _transposed(
        "conv_transpose2d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@function(method=False, namespace="nn.functional", alias="torch.conv_transpose3d")
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of conv3d, with `weight` (in, out / groups, kd, kh, kw)."""
    return _transposed(
        "conv_transpose3d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


@function(method=False)
def convolution(
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    """A convolution, or a transposed one, over as many dimensions as `weight` has beyond two."""
    dims = weight.ndim - 2
    if transposed:
        return _transposed(
            f"conv_transpose{dims}d",
            input,
            weight,
            bias,
            stride,
            padding,
            output_padding,
            groups,
            dilation,
        )
    return _convolution(f"conv{dims}d", input, weight, bias, stride, padding, dilation, groups)


@function(method=False, namespace="nn.functional", alias="torch.conv_tbc")
def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """conv1d with time first: `input` (length, n, in), `weight` (k, in, out)."""
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return out.permute(2, 0, 1)
