"""Attention of several heads as one function: softmax(q k^T / sqrt(d)) v for each head, between
projections.

Sequences are (length, batch, features); inside, the heads of all samples lie side by side, as
(batch * heads, length, features of one head).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops.attention import scaled_dot_product_attention
from ..ops.define import wrap
from ..ops.join import cat
from ..ops.products import linear
from ..ops.random import dropout


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
    """The attended values (target length, batch, features), projected, and with `need_weights` the
    weights (batch, target, source), averaged over heads or not.

    Boolean masks are True where attention is forbidden; other masks are added to the scores.
    """
    single = query.dim() == 2
    if single:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if query.shape[2] != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {query.shape[2]}"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    causal = is_causal and key_padding_mask is None and not need_weights
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = projected(query, key, value, separate, in_proj_weight, in_proj_bias)
    heads = _Heads(query.shape[0], query.shape[1], num_heads, causal)
    heads.mask = None if causal else heads.checked(additive(attn_mask, q.dtype), key.shape[0])
    heads.padding = additive(key_padding_mask, q.dtype)
    if bias_k is not None:
        k, v = heads.extended(k, v, *(b.repeat(1, heads.batch, 1) for b in (bias_k, bias_v)))
    q = heads.split(q)
    k = heads.split(k) if static_k is None else static_k
    v = heads.split(v) if static_v is None else static_v
    if add_zero_attn:
        nothing = wrap(np.zeros((q.shape[0], 1, q.shape[2]), q.dtype.numpy))
        k, v = heads.extended(k, v, nothing, nothing, 1)
    mixed, weights = heads.attend(q, k, v, dropout_p if training else 0.0, need_weights)
    out = linear(heads.join(mixed), out_proj_weight, out_proj_bias)
    if weights is not None:
        weights = weights.view(heads.batch, num_heads, heads.target, k.shape[1])
        weights = weights.mean(dim=1) if average_attn_weights else weights
        weights = weights.squeeze(0) if single else weights
    return (out.squeeze(1) if single else out), weights


class _Heads:
    """The heads of one call: how they are laid out, and which keys they may see."""

    def __init__(self, target: int, batch: int, count: int, causal: bool) -> None:
        self.target, self.batch, self.count, self.causal = target, batch, count, causal
        self.mask: Any = None
        self.padding: Any = None

    def split(self, x: Any) -> Any:
        """(length, batch, features) as (batch * heads, length, features of one head)."""
        return x.contiguous().view(x.shape[0], self.batch * self.count, -1).transpose(0, 1)

    def join(self, x: Any) -> Any:
        """The inverse of `split`."""
        return x.transpose(0, 1).reshape(self.target, self.batch, -1)

    def checked(self, mask: Any, source: int) -> Any:
        """An attention mask of the right shape; RuntimeError for another."""
        if mask is None:
            return None
        heads = self.batch * self.count
        wanted = (self.target, source) if mask.dim() == 2 else (heads, self.target, source)
        if mask.dim() not in (2, 3):
            raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
        if tuple(mask.shape) != wanted:
            raise RuntimeError(
                f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {wanted}."
            )
        return mask

    def extended(self, k: Any, v: Any, more_k: Any, more_v: Any, dim: int = 0) -> tuple:
        """Keys and values with one more, which every query sees."""
        self.mask, self.padding = _with_zeros(self.mask), _with_zeros(self.padding)
        return cat([k, more_k], dim), cat([v, more_v], dim)

    def attend(self, q: Any, k: Any, v: Any, dropped: float, need_weights: bool) -> tuple:
        """softmax(q k^T / sqrt(d) + mask) v, and the weights if they are wanted."""
        mask, source = self.mask, k.shape[1]
        if self.padding is not None:
            padding = self.padding.view(self.batch, 1, 1, source)
            padding = padding.expand(-1, self.count, -1, -1).reshape(-1, 1, source)
            mask = padding if mask is None else mask + padding
        if not need_weights:
            four = [x.view(self.batch, -1, *x.shape[1:]) for x in (q, k, v)]
            if mask is not None and mask.dim() == 3:
                mask = mask.view(self.batch, -1, *mask.shape[1:])
            mixed = scaled_dot_product_attention(*four, mask, dropped, self.causal)
            return mixed.reshape(q.shape), None
        scores = (q * math.sqrt(1.0 / q.shape[2])) @ k.transpose(-2, -1)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        if dropped > 0.0:
            weights = dropout(weights, dropped)
        return weights @ v, weights


def projected(
    query: Any, key: Any, value: Any, separate: tuple | None, weight: Any, bias: Any
) -> Any:
    """The linear maps of query, key and value: one product where all three are the same tensor."""
    if separate is None and query is key and key is value:
        return linear(query, weight, bias).chunk(3, -1)
    weights = separate or weight.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    given = zip((query, key, value), weights, biases, strict=True)
    return [linear(x, w, b) for x, w, b in given]


def additive(mask: Any, dtype: Any) -> Any:
    """A mask to be added to scores: -inf where a boolean mask is True."""
    if mask is None or mask.is_floating_point():
        return mask
    if mask._data.dtype.kind != "b":
        raise AssertionError("only bool and floating types of mask are supported")
    return wrap(np.where(mask._data, dtype.numpy.type(-math.inf), dtype.numpy.type(0)))


def _with_zeros(mask: Any) -> Any:
    """A mask with one more key, which is seen by all."""
    if mask is None:
        return None
    return cat([mask, wrap(np.zeros((*mask.shape[:-1], 1), mask.dtype.numpy))], -1)
