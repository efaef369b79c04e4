"""`nn.functional`: the operators registered under that name, and what is composed of them.

The operators themselves stand in `chainrule/ops`; this module is where torch's users look for them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops.join import cat as _cat

from ..ops.define import OPS, wrap

# exports: begin (tools/exports.py)
from ..ops.activation import celu as celu
from ..ops.activation import elu as elu
from ..ops.activation import gelu as gelu
from ..ops.activation import glu as glu
from ..ops.activation import hardshrink as hardshrink
from ..ops.activation import hardsigmoid as hardsigmoid
from ..ops.activation import hardswish as hardswish
from ..ops.activation import hardtanh as hardtanh
from ..ops.activation import leaky_relu as leaky_relu
from ..ops.activation import logsigmoid as logsigmoid
from ..ops.activation import mish as mish
from ..ops.activation import prelu as prelu
from ..ops.activation import relu as relu
from ..ops.activation import relu6 as relu6
from ..ops.activation import rrelu as rrelu
from ..ops.activation import selu as selu
from ..ops.activation import silu as silu
from ..ops.activation import softplus as softplus
from ..ops.activation import softshrink as softshrink
from ..ops.activation import softsign as softsign
from ..ops.activation import tanhshrink as tanhshrink
from ..ops.activation import threshold as threshold
from ..ops.adaptive import adaptive_avg_pool1d as adaptive_avg_pool1d
from ..ops.adaptive import adaptive_avg_pool2d as adaptive_avg_pool2d
from ..ops.adaptive import adaptive_avg_pool3d as adaptive_avg_pool3d
from ..ops.adaptive import adaptive_max_pool1d as adaptive_max_pool1d
from ..ops.adaptive import adaptive_max_pool1d_with_indices as adaptive_max_pool1d_with_indices
from ..ops.adaptive import adaptive_max_pool2d as adaptive_max_pool2d
from ..ops.adaptive import adaptive_max_pool2d_with_indices as adaptive_max_pool2d_with_indices
from ..ops.adaptive import adaptive_max_pool3d as adaptive_max_pool3d
from ..ops.adaptive import adaptive_max_pool3d_with_indices as adaptive_max_pool3d_with_indices
from ..ops.attention import scaled_dot_product_attention as scaled_dot_product_attention
from ..ops.conv import conv1d as conv1d
from ..ops.conv import conv2d as conv2d
from ..ops.conv import conv3d as conv3d
from ..ops.conv import conv_tbc as conv_tbc
from ..ops.conv import conv_transpose1d as conv_transpose1d
from ..ops.conv import conv_transpose2d as conv_transpose2d
from ..ops.conv import conv_transpose3d as conv_transpose3d
from ..ops.ctc import ctc_loss as ctc_loss
from ..ops.define import FUNCTIONS as _FUNCTIONS
from ..ops.distance import cosine_similarity as cosine_similarity
from ..ops.distance import normalize as normalize
from ..ops.distance import pairwise_distance as pairwise_distance
from ..ops.distance import pdist as pdist
from ..ops.einsum import bilinear as bilinear
from ..ops.elementwise import sigmoid as _sigmoid
from ..ops.elementwise import tanh as tanh
from ..ops.embed import embedding as embedding
from ..ops.embed import embedding_bag as embedding_bag
from ..ops.embed import one_hot as one_hot
from ..ops.loss import binary_cross_entropy as binary_cross_entropy
from ..ops.loss import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from ..ops.loss import cross_entropy as cross_entropy
from ..ops.loss import huber_loss as huber_loss
from ..ops.loss import kl_div as kl_div
from ..ops.loss import l1_loss as l1_loss
from ..ops.loss import mse_loss as mse_loss
from ..ops.loss import nll_loss as nll_loss
from ..ops.loss import smooth_l1_loss as smooth_l1_loss
from ..ops.loss import soft_margin_loss as soft_margin_loss
from ..ops.margin import cosine_embedding_loss as cosine_embedding_loss
from ..ops.margin import gaussian_nll_loss as gaussian_nll_loss
from ..ops.margin import hinge_embedding_loss as hinge_embedding_loss
from ..ops.margin import margin_ranking_loss as margin_ranking_loss
from ..ops.margin import multi_margin_loss as multi_margin_loss
from ..ops.margin import multilabel_margin_loss as multilabel_margin_loss
from ..ops.margin import multilabel_soft_margin_loss as multilabel_soft_margin_loss
from ..ops.margin import poisson_nll_loss as poisson_nll_loss
from ..ops.margin import triplet_margin_loss as triplet_margin_loss
from ..ops.margin import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss
from ..ops.norm import batch_norm as batch_norm
from ..ops.norm import group_norm as group_norm
from ..ops.norm import instance_norm as instance_norm
from ..ops.norm import layer_norm as layer_norm
from ..ops.norm import local_response_norm as local_response_norm
from ..ops.norm import rms_norm as rms_norm
from ..ops.padding import pad as pad
from ..ops.pool import avg_pool1d as avg_pool1d
from ..ops.pool import avg_pool2d as avg_pool2d
from ..ops.pool import avg_pool3d as avg_pool3d
from ..ops.pool import lp_pool1d as lp_pool1d
from ..ops.pool import lp_pool2d as lp_pool2d
from ..ops.pool import lp_pool3d as lp_pool3d
from ..ops.pool import max_pool1d as max_pool1d
from ..ops.pool import max_pool1d_with_indices as max_pool1d_with_indices
from ..ops.pool import max_pool2d as max_pool2d
from ..ops.pool import max_pool2d_with_indices as max_pool2d_with_indices
from ..ops.pool import max_pool3d as max_pool3d
from ..ops.pool import max_pool3d_with_indices as max_pool3d_with_indices
from ..ops.pool import max_unpool1d as max_unpool1d
from ..ops.pool import max_unpool2d as max_unpool2d
from ..ops.pool import max_unpool3d as max_unpool3d
from ..ops.products import linear as linear
from ..ops.random import alpha_dropout as alpha_dropout
from ..ops.random import dropout as dropout
from ..ops.random import dropout1d as dropout1d
from ..ops.random import dropout2d as dropout2d
from ..ops.random import dropout3d as dropout3d
from ..ops.random import feature_alpha_dropout as feature_alpha_dropout
from ..ops.resample import channel_shuffle as channel_shuffle
from ..ops.resample import channel_shuffle as native_channel_shuffle
from ..ops.resample import interpolate as interpolate
from ..ops.resample import pixel_shuffle as pixel_shuffle
from ..ops.resample import pixel_unshuffle as pixel_unshuffle
from ..ops.resample import upsample as upsample
from ..ops.resample import upsample_bilinear as upsample_bilinear
from ..ops.resample import upsample_nearest as upsample_nearest
from ..ops.sampling import affine_grid as affine_grid
from ..ops.sampling import grid_sample as grid_sample
from ..ops.windows import fold as fold
from ..ops.windows import unfold as unfold

celu_ = _FUNCTIONS["nn.functional.celu_"]
elu_ = _FUNCTIONS["nn.functional.elu_"]
hardtanh_ = _FUNCTIONS["nn.functional.hardtanh_"]
leaky_relu_ = _FUNCTIONS["nn.functional.leaky_relu_"]
log_softmax = _FUNCTIONS["nn.functional.log_softmax"]
relu_ = _FUNCTIONS["nn.functional.relu_"]
rrelu_ = _FUNCTIONS["nn.functional.rrelu_"]
selu_ = _FUNCTIONS["nn.functional.selu_"]
sigmoid = _sigmoid.op.entry
softmax = _FUNCTIONS["nn.functional.softmax"]
softmin = _FUNCTIONS["nn.functional.softmin"]
threshold_ = _FUNCTIONS["nn.functional.threshold_"]
# exports: end

# -- attention ------------------------------------------------------------------------------------


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple:
    """Attention of several heads, softmax(q k^T / sqrt(d)) v, between projections, for (length,
    batch, features) inputs.

    Returns the output and, with `need_weights`, the weights (batch, target, source), averaged over
    heads or not.
    """
    single = query.dim() == 2
    if single:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    target, batch, features = query.shape
    if features != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {features}"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    key_padding_mask = additive(key_padding_mask, query.dtype)
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask, is_causal = additive(attn_mask, query.dtype), False
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, separate, in_proj_weight, in_proj_bias)
    attn_mask = _mask_of_heads(attn_mask, target, key.shape[0], batch * num_heads)
    if bias_k is not None:
        k, v = _joined([k, bias_k.repeat(1, batch, 1)]), _joined([v, bias_v.repeat(1, batch, 1)])
        attn_mask, key_padding_mask = _padded(attn_mask), _padded(key_padding_mask)
    heads = batch * num_heads
    q = _split_heads(q, heads)
    k = _split_heads(k, heads) if static_k is None else static_k
    v = _split_heads(v, heads) if static_v is None else static_v
    if add_zero_attn:
        nothing = wrap(np.zeros((heads, 1, q.shape[2]), q.dtype.numpy))
        k, v = _joined([k, nothing], 1), _joined([v, nothing], 1)
        attn_mask, key_padding_mask = _padded(attn_mask), _padded(key_padding_mask)
    if key_padding_mask is not None:
        per_head = (
            key_padding_mask.view(batch, 1, 1, k.shape[1])
            .expand(-1, num_heads, -1, -1)
            .reshape(heads, 1, k.shape[1])
        )
        attn_mask = per_head if attn_mask is None else attn_mask + per_head
    dropped = dropout_p if training else 0.0
    mixed, attention = _attend(q, k, v, attn_mask, dropped, need_weights, is_causal, batch)
    out = _linear(
        mixed.transpose(0, 1).reshape(target * batch, features), out_proj_weight, out_proj_bias
    )
    out = out.view(target, batch, out.shape[1])
    if attention is not None:
        attention = attention.view(batch, num_heads, target, k.shape[1])
        attention = attention.mean(dim=1) if average_attn_weights else attention
        attention = attention.squeeze(0) if single else attention
    return (out.squeeze(1) if single else out), attention


def _attend(
    q: Any, k: Any, v: Any, mask: Any, dropped: float, need_weights: bool, causal: bool, batch: int
) -> tuple:
    """softmax(q k^T / sqrt(d) + mask) v, and the weights if they are wanted."""
    if not need_weights:
        four = [x.view(batch, -1, *x.shape[1:]) for x in (q, k, v)]
        mask = mask if mask is None or mask.dim() == 2 else mask.view(batch, -1, *mask.shape[1:])
        mixed = scaled_dot_product_attention(*four, mask, dropped, causal)
        return mixed.reshape(q.shape), None
    scores = (q * math.sqrt(1.0 / q.shape[2])) @ k.transpose(-2, -1)
    attention = (scores if mask is None else scores + mask).softmax(-1)
    if dropped > 0.0:
        attention = dropout(attention, dropped)
    return attention @ v, attention


def _projected(query: Any, key: Any, value: Any, separate: Any, weight: Any, bias: Any) -> Any:
    """The linear maps of query, key and value: one product where all three are the same tensor."""
    if separate is None and query is key and key is value:
        return _linear(query, weight, bias).chunk(3, -1)
    weights = separate or weight.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return [_linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    """`nn.functional.linear`."""
    return linear(x, weight, bias)


def _joined(tensors: list, dim: int = 0) -> Any:
    return _cat(tensors, dim)


def _split_heads(x: Any, heads: int) -> Any:
    """(length, batch, features) as (heads, length, features of one head)."""
    return x.contiguous().view(x.shape[0], heads, -1).transpose(0, 1)


def additive(mask: Any, dtype: Any) -> Any:
    """A mask to be added to scores: -inf where a boolean mask is True."""
    if mask is None:
        return None
    if mask.is_floating_point():
        return mask
    if mask._data.dtype.kind != "b":
        raise AssertionError("only bool and floating types of mask are supported")
    return wrap(np.where(mask._data, dtype.numpy.type(-math.inf), dtype.numpy.type(0)))


def _mask_of_heads(mask: Any, target: int, source: int, heads: int) -> Any:
    if mask is None:
        return None
    wanted = (target, source) if mask.dim() == 2 else (heads, target, source)
    if mask.dim() not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    if tuple(mask.shape) != wanted:
        raise RuntimeError(
            f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {wanted}."
        )
    return mask


def _padded(mask: Any) -> Any:
    """A mask with one more key, which is seen by all."""
    if mask is None:
        return None
    return _joined([mask, wrap(np.zeros((*mask.shape[:-1], 1), mask.dtype.numpy))], -1)
