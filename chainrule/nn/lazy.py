"""Lazy modules: layers that learn their input size from the first input, and then become ordinary
ones.
"""

from __future__ import annotations

from typing import Any

from ..autograd.modes import no_grad
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    check_groups,
)
from .linear import Linear
from .norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy


def _settle(module: Any, args: tuple, kwargs: dict) -> None:
    """Before the first call: give the parameters their shapes, and the module the class it is to
    become.
    """
    with no_grad():
        module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
    module.__dict__.pop("_first_call").remove()
    module.__dict__["_hooked"] = bool(
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become


class LazyModuleMixin:
    """What makes a module lazy: subclasses define `initialize_parameters(input)`, and
    `cls_to_become`.
    """

    cls_to_become: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__["_first_call"] = self.register_forward_pre_hook(_settle, with_kwargs=True)  # type: ignore[attr-defined]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes, from the first call's arguments."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        own = (*self._parameters.values(), *self._buffers.values())  # type: ignore[attr-defined]
        return any(is_lazy(value) for value in own)

    def reset_parameters(self) -> None:
        """As the class it is to become, once there are shapes."""
        if "_first_call" in self.__dict__ and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _put_off(self, device: Any, dtype: Any, **shaped: bool) -> None:
        """Replace parameters by ones without shape (None where there is to be none)."""
        for name, there in shaped.items():
            self.__dict__["_parameters"][name] = (
                UninitializedParameter(device=device, dtype=dtype) if there else None
            )


class LazyLinear(LazyModuleMixin, Linear):
    """A Linear whose `in_features` are those of the first input."""

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self._put_off(device, dtype, weight=True, bias=bias)
        self.out_features = out_features

    def initialize_parameters(self, input: Any) -> None:  # type: ignore[override]
        """Give the parameters their shapes."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))  # type: ignore[attr-defined]
            if self.bias is not None:
                self.bias.materialize((self.out_features,))  # type: ignore[attr-defined]
            self.reset_parameters()


class _LazyConv(LazyModuleMixin):
    """What the lazy convolutions share."""

    def initialize_parameters(self: Any, input: Any) -> None:  # type: ignore[override]
        """Give the parameters their shapes."""
        if not self.has_uninitialized_params():
            return
        if input.dim() not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {input.shape}"
            )
        self.in_channels = input.shape[-self.dims - 1]
        check_groups(self.in_channels, self.out_channels, self.groups)
        inner, outer = self.in_channels, self.out_channels
        channels = (
            (inner, outer // self.groups) if self.transposed else (outer, inner // self.groups)
        )
        self.weight.materialize((*channels, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyForward(_LazyConv):
    def __init__(
        self,
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
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._put_off(device, dtype, weight=True, bias=bias)
        self.out_channels = out_channels


class _LazyTransposed(_LazyConv):
    def __init__(
        self,
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
            0,
            0,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            False,
            dilation,
            padding_mode,
        )
        self._put_off(device, dtype, weight=True, bias=bias)
        self.out_channels = out_channels


class LazyConv1d(_LazyForward, Conv1d):
    """A Conv1d whose `in_channels` are those of the first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyForward, Conv2d):
    """A Conv2d whose `in_channels` are those of the first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyForward, Conv3d):
    """A Conv3d whose `in_channels` are those of the first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyTransposed, ConvTranspose1d):
    """A ConvTranspose1d whose `in_channels` are those of the first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyTransposed, ConvTranspose2d):
    """A ConvTranspose2d whose `in_channels` are those of the first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyTransposed, ConvTranspose3d):
    """A ConvTranspose3d whose `in_channels` are those of the first input."""

    cls_to_become = ConvTranspose3d


class _LazyNorm(LazyModuleMixin):
    """What the lazy normalisations share."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, track_running_stats, device, dtype)
        self.affine = affine
        self._put_off(device, dtype, weight=affine, bias=affine and bias)
        if track_running_stats:
            for name in ("running_mean", "running_var"):
                self.__dict__["_buffers"][name] = UninitializedBuffer(device=device, dtype=dtype)

    def reset_running_stats(self) -> None:
        """As the class it is to become, once there are shapes."""
        if "_first_call" in self.__dict__ and not self.has_uninitialized_params():
            super().reset_running_stats()  # type: ignore[misc]

    def initialize_parameters(self: Any, input: Any) -> None:  # type: ignore[override]
        """Give the parameters their shapes."""
        if self.has_uninitialized_params():
            self.num_features = input.shape[
                1 if input.dim() > self.ndims[0] or len(self.ndims) == 1 else self._channel
            ]
            for value in (self.weight, self.bias, self.running_mean, self.running_var):
                if value is not None:
                    value.materialize((self.num_features,))
            self.reset_parameters()

    _channel = 1


class _LazyInstance(_LazyNorm):
    _channel = 0


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A BatchNorm1d whose `num_features` are those of the first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A BatchNorm2d whose `num_features` are those of the first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A BatchNorm3d whose `num_features` are those of the first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyInstance, InstanceNorm1d):
    """An InstanceNorm1d whose `num_features` are those of the first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstance, InstanceNorm2d):
    """An InstanceNorm2d whose `num_features` are those of the first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstance, InstanceNorm3d):
    """An InstanceNorm3d whose `num_features` are those of the first input."""

    cls_to_become = InstanceNorm3d
