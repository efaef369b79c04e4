"""Pooling: one value for each window."""

from __future__ import annotations

from typing import Any

from . import functional as F
from .module import Module
from .tuples import repeated


class _MaxPoolNd(Module):
    """The largest value of each window; positions outside count as -infinity."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _pool(self, function: Any, input: Any) -> Any:
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """Maxima over windows of (N, C, L)."""

    def forward(self, input: Any) -> Any:
        """The maxima (and where they are, with `return_indices`)."""
        return self._pool(F.max_pool1d, input)


class MaxPool2d(_MaxPoolNd):
    """Maxima over windows of (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        """The maxima (and where they are, with `return_indices`)."""
        return self._pool(F.max_pool2d, input)


class MaxPool3d(_MaxPoolNd):
    """Maxima over windows of (N, C, D, H, W)."""

    def forward(self, input: Any) -> Any:
        """The maxima (and where they are, with `return_indices`)."""
        return self._pool(F.max_pool3d, input)


class _MaxUnpoolNd(Module):
    """Puts maxima back where they came from, zeros elsewhere."""

    dims = 0

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = repeated(kernel_size, self.dims)
        self.stride = repeated(kernel_size if stride is None else stride, self.dims)
        self.padding = repeated(padding, self.dims)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The partial inverse of MaxPool1d."""

    dims = 1

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The maxima at their indices, zeros elsewhere."""
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool2d(_MaxUnpoolNd):
    """The partial inverse of MaxPool2d."""

    dims = 2

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The maxima at their indices, zeros elsewhere."""
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool3d(_MaxUnpoolNd):
    """The partial inverse of MaxPool3d."""

    dims = 3

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """The maxima at their indices, zeros elsewhere."""
        return F.max_unpool3d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class AvgPool1d(Module):
    """Means over windows of (N, C, L)."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = repeated(kernel_size, 1)
        self.stride = repeated(kernel_size if stride is None else stride, 1)
        self.padding = repeated(padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        """The means."""
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPoolNd(Module):
    """The mean of each window, or its sum over `divisor_override`."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def _pool(self, function: Any, input: Any) -> Any:
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPoolNd):
    """Means over windows of (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        """The means."""
        return self._pool(F.avg_pool2d, input)


class AvgPool3d(_AvgPoolNd):
    """Means over windows of (N, C, D, H, W)."""

    def forward(self, input: Any) -> Any:
        """The means."""
        return self._pool(F.avg_pool3d, input)


class _LPPoolNd(Module):
    """(sum of x^p)^(1/p) over each window."""

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = (
            norm_type,
            kernel_size,
            stride,
            ceil_mode,
        )

    def _pool(self, function: Any, input: Any) -> Any:
        return function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """Power means over windows of (N, C, L)."""

    def forward(self, input: Any) -> Any:
        """The norms of the windows."""
        return self._pool(F.lp_pool1d, input)


class LPPool2d(_LPPoolNd):
    """Power means over windows of (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        """The norms of the windows."""
        return self._pool(F.lp_pool2d, input)


class LPPool3d(_LPPoolNd):
    """Power means over windows of (N, C, D, H, W)."""

    def forward(self, input: Any) -> Any:
        """The norms of the windows."""
        return self._pool(F.lp_pool3d, input)


class _AdaptiveMaxPoolNd(Module):
    """Maxima over as many windows as the output is to have elements; None keeps a
    dimension's size.
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Adaptive maxima of (N, C, L)."""

    def forward(self, input: Any) -> Any:
        """The maxima (and where they are, with `return_indices`)."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Adaptive maxima of (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        """The maxima (and where they are, with `return_indices`)."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Adaptive maxima of (N, C, D, H, W)."""

    def forward(self, input: Any) -> Any:
        """The maxima (and where they are, with `return_indices`)."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _AdaptiveAvgPoolNd(Module):
    """Means over as many windows as the output is to have elements; None keeps a
    dimension's size.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Adaptive means of (N, C, L)."""

    def forward(self, input: Any) -> Any:
        """The means."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Adaptive means of (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        """The means."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Adaptive means of (N, C, D, H, W)."""

    def forward(self, input: Any) -> Any:
        """The means."""
        return F.adaptive_avg_pool3d(input, self.output_size)
