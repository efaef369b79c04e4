"""A batch normalisation in evaluation mode folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from ..parameter import Parameter


def _scales(running_mean: Any, running_var: Any, eps: float, weight: Any, bias: Any) -> tuple:
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else weight * scale
    shift = -running_mean * scale
    return scale, shift if bias is None else shift + bias


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple:
    """The weight and bias of a convolution that includes the normalisation after it."""
    scale, shift = _scales(bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    shape = [1, -1] if transpose else [-1, 1]
    weight = conv_w * scale.reshape(shape + [1] * (conv_w.dim() - 2))
    bias = shift if conv_b is None else conv_b * scale + shift
    return Parameter(weight.detach(), conv_w.requires_grad), Parameter(
        bias.detach(), conv_w.requires_grad
    )


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple:
    """The weight and bias of a linear layer that includes the normalisation after it."""
    scale, shift = _scales(bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    bias = shift if linear_b is None else linear_b * scale + shift
    return Parameter((linear_w * scale.unsqueeze(-1)).detach(), linear_w.requires_grad), Parameter(
        bias.detach(), linear_w.requires_grad
    )


def _fused(layer: Any, bn: Any, fuse: Any, **kind: Any) -> Any:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    out = copy.deepcopy(layer)
    out.weight, out.bias = fuse(
        out.weight, out.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, **kind
    )
    return out


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of `conv` that does what `conv` and then `bn` do; both in evaluation mode."""
    return _fused(conv, bn, fuse_conv_bn_weights, transpose=transpose)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of `linear` that does what `linear` and then `bn` do; both in evaluation mode."""
    return _fused(linear, bn, fuse_linear_bn_weights)
