"""Convolutions and transposed convolutions."""

from __future__ import annotations

import math
from typing import Any

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, blank
from .tuples import repeated

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """A convolution over the last `dims` dimensions; weight (out, in / groups, *kernel)
    (transposed: (in, out / groups, *kernel)).
    """

    dims = 0
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        n = self.dims
        check_groups(in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = (
            repeated(kernel_size, n),
            repeated(stride, n),
            repeated(dilation, n),
        )
        self.output_padding = repeated(output_padding, n)
        self.padding = padding if isinstance(padding, str) else repeated(padding, n)
        self.padding_mode = padding_mode
        self._check_padding()
        channels = (
            (in_channels, out_channels // groups)
            if self.transposed
            else (out_channels, in_channels // groups)
        )
        self.weight = Parameter(blank((*channels, *self.kernel_size), dtype, device))
        if bias:
            self.bias = Parameter(blank(out_channels, dtype, device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check_padding(self) -> None:
        if isinstance(self.padding, str):
            if self.padding not in ("valid", "same"):
                raise ValueError(
                    f"Invalid padding string {self.padding!r}, should be one of {{'valid', 'same'}}"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {PADDING_MODES}, but got "
                f"padding_mode='{self.padding_mode}'"
            )
        if self.transposed and self.padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly from (-k, k), k = 1 / sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _edges(self) -> list[int]:
        """How much to pad before and after each dimension, the last dimension first, as `F.pad`
        takes it.
        """
        if self.padding == "valid":
            return [0] * (2 * self.dims)
        out = []
        for k in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[k] * (self.kernel_size[k] - 1)
                out += [total // 2, total - total // 2]
            else:
                out += [self.padding[k]] * 2
        return out

    def _convolve(self, convolution: Any, input: Any, weight: Any, bias: Any) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._edges(), mode=self.padding_mode), (0,) * self.dims
        return convolution(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        n = self.dims
        text = f"{self.in_channels}, {self.out_channels}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Raise ValueError unless both numbers of channels can be split into that many groups."""
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups:
        raise ValueError("out_channels must be divisible by groups")


class _Forward(_ConvNd):
    """A convolution, with the constructor that all three share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Forward):
    """Cross-correlation of (N, C, L) with a weight (out, C / groups, k)."""

    dims = 1

    def forward(self, input: Any) -> Any:
        """The convolution plus bias."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        return self._convolve(F.conv1d, input, weight, bias)


class Conv2d(_Forward):
    """Cross-correlation of (N, C, H, W) with a weight (out, C / groups, kh, kw)."""

    dims = 2

    def forward(self, input: Any) -> Any:
        """The convolution plus bias."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        return self._convolve(F.conv2d, input, weight, bias)


class Conv3d(_Forward):
    """Cross-correlation of (N, C, D, H, W) with a weight (out, C / groups, kd, kh, kw)."""

    dims = 3

    def forward(self, input: Any) -> Any:
        """The convolution plus bias."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Any, weight: Any, bias: Any) -> Any:
        return self._convolve(F.conv3d, input, weight, bias)


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution, with the constructor that all three share."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input: Any, output_size: Any) -> tuple:
        """The output padding that gives `output_size`."""
        if output_size is None:
            return self.output_padding
        n = self.dims
        batched = input.dim() - n - 1
        if len(output_size) == input.dim():
            output_size = output_size[batched + 1 :]
        if len(output_size) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have {n} or "
                f"{input.dim()} "
                f"elements (got {len(output_size)})"
            )
        sizes = input.size()[-n:]
        least = [
            (sizes[k] - 1) * self.stride[k]
            - 2 * self.padding[k]
            + self.dilation[k] * (self.kernel_size[k] - 1)
            + 1
            for k in range(n)
        ]
        most = [low + self.stride[k] - 1 for k, low in enumerate(least)]
        if any(
            not low <= size <= high
            for size, low, high in zip(output_size, least, most, strict=True)
        ):
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {least} "
                f"to {most} (for an "
                f"input of {sizes})"
            )
        return tuple(size - low for size, low in zip(output_size, least, strict=True))

    def _transpose(self, convolution: Any, input: Any, output_size: Any) -> Any:
        return convolution(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of Conv1d as a linear map: (N, C, L) with a weight (C, out / groups, k)."""

    dims = 1

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """The transposed convolution plus bias."""
        return self._transpose(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of Conv2d as a linear map: (N, C, H, W) with a weight (C, out / groups, kh,
    kw).
    """

    dims = 2

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """The transposed convolution plus bias."""
        return self._transpose(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of Conv3d as a linear map: (N, C, D, H, W) with a weight (C, out / groups, kd,
    kh, kw).
    """

    dims = 3

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """The transposed convolution plus bias."""
        return self._transpose(F.conv_transpose3d, input, output_size)
