"""Windows: the parts of an image that a pooling or a convolution looks at, and unfold and fold.

For each place in a window, one strided slice of the image holds what all windows have there
(`slices`). All windows together are the primitive `windows`; its transpose is `overlap`, windows
added where they lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY
from .conv import Sizes, add_windows, sliding
from .define import HALF, function, op, primitive, scalar_name
from .padding import surrounded


@primitive(linear=True)
def windows(x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """The windows of `x`: its last axes become (*kernel, *size)."""
    return sliding(x, kernel, size, stride, dilation)


@primitive(linear=True)
def overlap(x: Any, /, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Windows (*kernel, *size as the last axes) added where they lie in images of `size`:
    the transpose of `windows`.
    """
    out = np.zeros((*x.shape[: -2 * len(size)], *size), x.dtype)
    add_windows(out, x, stride, dilation)
    return out


@windows.vjp
def _(g, x_shape, kernel, stride, dilation):
    return overlap(g, x_shape[-len(kernel) :], stride, dilation)


@overlap.vjp
def _(g, x_shape, stride, dilation):
    n = len(stride)
    return windows(g, x_shape[-2 * n : -n], x_shape[-n:], stride, dilation)


def slices(
    x: Any, kernel: Sizes, size: Sizes, stride: Sizes, dilation: Sizes
) -> Iterator[tuple[Sizes, Any]]:
    """For each place in a window, what all windows have there."""
    for place in product(*[range(k) for k in kernel]):
        spots = zip(place, dilation, size, stride, strict=True)
        yield place, x[(..., *[slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in spots])]


def margins(
    image: Sizes, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> list[int]:
    """torch's list of pads that lets all windows fit (those of `ceil_mode` may reach further)."""
    pads = []
    for n, k, m, s, p, d in zip(image, kernel, size, stride, padding, dilation, strict=True):
        pads.append((p, max((m - 1) * s + d * (k - 1) + 1 - n - p, 0)))
    return [p for pair in reversed(pads) for p in pair]


def framed(x: Any, pads: list[int], value: Any = 0) -> Any:
    """`surrounded`, without a copy where there is nothing to do."""
    return surrounded(x, pads, value) if any(pads) else x


# -- unfold and fold -------------------------------------------------------------------------------


@op(promote=HALF, namespace="primitive", method=False, linear=True, node="Im2ColBackward0")
def im2col(
    x: Any, /, kernel: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    """The windows of images (..., c, h, w) as columns (..., c * kernel, positions)."""
    x = framed(x, [p for p in reversed(padding) for _ in (0, 1)])
    parts = windows(x, kernel, size, stride, dilation).copy()
    return parts.reshape(*x.shape[:-3], x.shape[-3] * math.prod(kernel), math.prod(size))


@op(promote=HALF, namespace="primitive", method=False, linear=True, node="Col2ImBackward0")
def col2im(
    x: Any,
    /,
    image: Sizes,
    kernel: Sizes,
    size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
) -> Any:
    """Columns (..., c * kernel, positions) added where they lie in images (..., c, h, w)."""
    parts = x.reshape(*x.shape[:-2], x.shape[-2] // math.prod(kernel), *kernel, *size)
    out = overlap(
        parts, tuple([n + 2 * p for n, p in zip(image, padding, strict=True)]), stride, dilation
    )
    inner = out[(..., *[slice(p, p + n) for n, p in zip(image, padding, strict=True)])]
    return inner.copy() if any(padding) else inner


@im2col.vjp
def _(g, x_shape, kernel, size, stride, padding, dilation):
    return col2im.op.kernel(g, x_shape[-2:], kernel, size, stride, padding, dilation)


@col2im.vjp
def _(g, kernel, size, stride, padding, dilation):
    return im2col.op.kernel(g, kernel, size, stride, padding, dilation)


def pair(value: Any, name: str) -> Sizes:
    """An int or two ints as two ints, for unfold and fold."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) not in (1, 2):
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(values)}")
    return tuple([int(v) for v in (values * 2)[:2]])


def _check_unfold(**given: Sizes) -> None:
    for name, (h, w) in given.items():
        what = "kernel size" if name == "kernel" else name
        if name != "pad" and min(h, w) < 1:
            raise RuntimeError(
                f"{what} should be greater than zero, but got {name}_height: {h} {name}_width: {w}"
            )
        if min(h, w) < 0:
            raise RuntimeError(
                f"padding should be non-negative, but got pad_height: {h} pad_width: {w}"
            )


def _blocks(image: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    rows = zip(image, kernel, stride, padding, dilation, strict=True)
    return tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in rows])


@function(method=False, namespace="nn.functional")
def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """The windows of images (n, c, h, w) or (c, h, w) as columns: (n, c * kernel elements,
    windows).
    """
    kernel, stride = pair(kernel_size, "kernel_size"), pair(stride, "stride")
    padding, dilation = pair(padding, "padding"), pair(dilation, "dilation")
    _check_unfold(kernel=kernel, dilation=dilation, pad=padding, stride=stride)
    shape = list(input.shape)
    if input.ndim not in (3, 4) or 0 in shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {shape}"
        )
    size = _blocks(shape[-2:], kernel, stride, padding, dilation)  # type: ignore[arg-type]
    if min(size) < 1:
        raise RuntimeError(
            f"Given input with spatial size ({shape[-2]}, {shape[-1]}), kernel_size={kernel}, "
            f"dilation={dilation}, padding={padding}, calculated shape of the array of sliding "
            f"blocks as {size}, but its components must be at least one."
        )
    refuse(input, "im2col_out_cpu", "i")
    return im2col(input, kernel, size, stride, padding, dilation)


@function(method=False, namespace="nn.functional")
def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Columns (n, c * kernel elements, windows) added up where the windows lie in images
    (n, c, *output_size).
    """
    image, kernel, stride = (
        pair(output_size, "output_size"),
        pair(kernel_size, "kernel_size"),
        pair(stride, "stride"),
    )
    padding, dilation = pair(padding, "padding"), pair(dilation, "dilation")
    _check_unfold(kernel=kernel, dilation=dilation, pad=padding, stride=stride)
    shape = list(input.shape)
    if input.ndim not in (2, 3) or 0 in shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {shape}"
        )
    at = input.ndim - 2
    if shape[at] % math.prod(kernel):
        raise RuntimeError(
            f"Expected size of input's dimension {at} to be divisible by the product of "
            f"kernel_size, but got input.size({at})={shape[at]} and kernel_size={kernel}."
        )
    size = _blocks(image, kernel, stride, padding, dilation)
    if shape[at + 1] != size[0] * size[1] or min(size) < 1:
        raise RuntimeError(
            f"Given output_size={image}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, expected size of input's dimension {at + 1} to "
            f"match the calculated number of sliding blocks {size[0]} * {size[1]} = "
            f"{size[0] * size[1]}, but got input.size({at + 1})={shape[at + 1]}."
        )
    refuse(input, "col2im_out_cpu", "i")
    return col2im(input, image, kernel, size, stride, padding, dilation)


def refuse(x: Any, name: str, categories: str) -> None:
    """Raise torch's error for dtypes of some categories (b, i, f, c)."""
    d = FROM_NUMPY[x._data.dtype]
    if "bifc"[d.category] in categories:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")
