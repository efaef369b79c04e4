"""`nn.functional`: the operators registered under that name, and what is composed of them.

The operators themselves stand in `chainrule/ops`; this module is where torch's users look for them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops.define import FUNCTIONS, OPS, wrap


def _registered() -> dict[str, Any]:
    """Every public function whose path begins with nn.functional, by its name there."""
    found = {}
    entries = [(o.name, o.alias, o.namespace, o.entry) for o in OPS.values()]
    entries += [(f.__name__, f.facets[2], f.facets[3], f) for f in FUNCTIONS.values()]  # type: ignore[attr-defined]
    for name, alias, namespace, entry in entries:
        for n in (name, *alias):
            path = n if "." in n else f"{namespace}.{n}"
            if path.startswith("nn.functional."):
                found[path.rpartition(".")[2]] = entry
    return found


# -- attention -------------------------------------------------------------------------------------------------------


def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any, in_proj_bias: Any,
    bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any, out_proj_bias: Any,
    training: bool = True, key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple:  # fmt: skip
    """Attention of several heads, softmax(q k^T / sqrt(d)) v, between projections, for (length, batch, features) inputs.

    Returns the output and, with `need_weights`, the weights (batch, target, source), averaged over heads or not.
    """
    single = query.dim() == 2
    if single:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    target, batch, features = query.shape
    if features != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {features}")
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
        per_head = key_padding_mask.view(batch, 1, 1, k.shape[1]).expand(-1, num_heads, -1, -1).reshape(heads, 1, k.shape[1])
        attn_mask = per_head if attn_mask is None else attn_mask + per_head
    dropped = dropout_p if training else 0.0
    mixed, attention = _attend(q, k, v, attn_mask, dropped, need_weights, is_causal, batch)
    out = _linear(mixed.transpose(0, 1).reshape(target * batch, features), out_proj_weight, out_proj_bias)
    out = out.view(target, batch, out.shape[1])
    if attention is not None:
        attention = attention.view(batch, num_heads, target, k.shape[1])
        attention = attention.mean(dim=1) if average_attn_weights else attention
        attention = attention.squeeze(0) if single else attention
    return (out.squeeze(1) if single else out), attention


def _attend(q: Any, k: Any, v: Any, mask: Any, dropped: float, need_weights: bool, causal: bool, batch: int) -> tuple:
    """softmax(q k^T / sqrt(d) + mask) v, and the weights if they are wanted."""
    if not need_weights:
        four = [x.view(batch, -1, *x.shape[1:]) for x in (q, k, v)]
        mask = mask if mask is None or mask.dim() == 2 else mask.view(batch, -1, *mask.shape[1:])
        mixed = globals()["scaled_dot_product_attention"](*four, mask, dropped, causal)
        return mixed.reshape(q.shape), None
    scores = (q * math.sqrt(1.0 / q.shape[2])) @ k.transpose(-2, -1)
    attention = (scores if mask is None else scores + mask).softmax(-1)
    if dropped > 0.0:
        attention = globals()["dropout"](attention, dropped)
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
    return globals()["linear"](x, weight, bias)


def _joined(tensors: list, dim: int = 0) -> Any:
    return OPS["cat"].entry(tensors, dim)


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
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {wanted}.")
    return mask


def _padded(mask: Any) -> Any:
    """A mask with one more key, which is seen by all."""
    if mask is None:
        return None
    return _joined([mask, wrap(np.zeros((*mask.shape[:-1], 1), mask.dtype.numpy))], -1)
globals().update(_registered())
