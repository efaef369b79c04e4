"""`nn.functional`: the operators registered under that name, and what is composed of them.

The operators themselves stand in `chainrule/ops`; this module is where torch's users look for them.
"""

from __future__ import annotations

from typing import Any

from .multihead import multi_head_attention_forward as multi_head_attention_forward

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


def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """softmax((logits + g) / tau) with Gumbel noise g (Jang et al. 2016).

    `hard`: the value is one-hot, the gradient that of the soft sample.
    """
    noise = -logits.new_empty(logits.shape).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    one_hot = soft.new_zeros(soft.shape).scatter_(dim, soft.argmax(dim, keepdim=True), 1.0)
    return one_hot - soft.detach() + soft
