"""Scaled dot-product attention: softmax(q k^T * scale + mask) v as one operator.

The weights are kept from the forward pass as long as the backward pass runs on plain arrays; where
its own derivative is wanted they are computed again from q, k and the mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.duck import in_axes, inward, is_ground, memory
from ..dtypes import FROM_NUMPY
from .conv import CPP_NAMES
from .define import Tensor, broadcast_error, function, not_a_tensor, op, row_by_row
from .norm import reuse
from .random import dropout


def weights(q: Any, k: Any, bias: Any, keep: Any, scale: float, causal: bool) -> Any:
    """softmax(q k^T * scale + bias) over what `keep` allows; a row without any is all zero."""
    scores = np.matmul(q * scale, k.swapaxes(-1, -2))
    if bias is not None:
        scores = scores + bias
    never = scores.dtype.type(-np.inf)
    if keep is not None:
        scores = np.where(keep, scores, never)
    if causal:
        scores = np.where(_not_ahead(*scores.shape[-2:]), scores, never)
    if not scores.shape[-1]:
        return scores
    top = np.maximum.reduce(scores, axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, scores.dtype.type(0))
    scores = reuse(np.subtract, scores, top)
    shares = reuse(np.exp, scores)
    total = np.add.reduce(shares, axis=-1, keepdims=True)
    return reuse(np.divide, shares, np.where(total == 0, total.dtype.type(1), total))


def _not_ahead(rows: int, columns: int) -> Any:
    """Which keys stand at a query's place or before it."""
    return np.arange(columns) <= np.arange(rows)[:, None]


def attended(q: Any, k: Any, v: Any, bias: Any, /, keep: Any, scale: float, causal: bool) -> Any:
    """The mean of the values by the weights of the keys, and those weights."""
    shares = weights(q, k, bias, keep, scale, causal)
    return np.matmul(shares, v), shares


def attended_as_queries(
    q: Any, k: Any, v: Any, bias: Any, /, keep: Any, scale: float, causal: bool
) -> Any:
    """`attended`, the mean with its axes in memory in the order of those of the queries: heads that
    were taken apart from rows of features go together again without a copy.
    """
    out, shares = attended(q, k, v, bias, keep, scale, causal)
    axes = inward(q)
    return row_by_row(out, True) if axes is None else in_axes(out, axes), shares


def attended_back(g, q, k, v, bias, extra, needs, keep, scale, causal):  # type: ignore[no-untyped-def]
    """The cotangents of queries, keys, values and mask."""
    plain = is_ground(q) and is_ground(k) and not needs[3]
    shares = extra if plain else weights(q, k, bias, keep, scale, causal)
    h = np.matmul(g, v.swapaxes(-1, -2))
    h = shares * (h - np.add.reduce(h * shares, axis=-1, keepdims=True))
    return (
        np.matmul(h, k) * scale if needs[0] else None,
        np.matmul(h.swapaxes(-1, -2), q) * scale if needs[1] else None,
        np.matmul(shares.swapaxes(-1, -2), g) if needs[2] else None,
        h if needs[3] else None,
    )


def _attention_op(kernel: Callable, name: str, node: str, **facets: Any) -> Callable:
    entry = op(
        kernel, name=name, namespace="primitive", method=False, extra=True, node=node, **facets
    )
    entry.vjp_all(attended_back)
    return entry


FLASH = _attention_op(
    attended_as_queries, "flash_attention", "ScaledDotProductFlashAttentionForCpuBackward0"
)
PLAIN = _attention_op(attended, "plain_attention", "UnsafeViewBackward0", rows=True)


@op(namespace="primitive", method=False, extra=True, node="SafeSoftmaxBackward0")
def attention_weights(q: Any, k: Any, bias: Any, /, keep: Any, scale: float, causal: bool) -> Any:
    """The weights of the keys alone."""
    shares = weights(q, k, bias, keep, scale, causal)
    return shares, shares


@attention_weights.vjp_all
def _(g, q, k, bias, extra, needs, keep, scale, causal):
    plain = is_ground(q) and is_ground(k) and not needs[2]
    shares = extra if plain else weights(q, k, bias, keep, scale, causal)
    h = shares * (g - np.add.reduce(g * shares, axis=-1, keepdims=True))
    return (
        np.matmul(h, k) * scale if needs[0] else None,
        np.matmul(h.swapaxes(-1, -2), q) * scale if needs[1] else None,
        h if needs[2] else None,
    )


def _dtype_name(t: Any) -> str:
    name = FROM_NUMPY[t._data.dtype].name
    return "bool" if name == "bool" else CPP_NAMES[name]


def _check_attention(query: Any, key: Any, value: Any, mask: Any) -> None:
    named = {"query": query, "key": key, "value": value}
    for i, (name, t) in enumerate(named.items()):
        if not isinstance(t, Tensor):
            raise not_a_tensor("scaled_dot_product_attention", name, i + 1, t)
    if min(t.ndim for t in named.values()) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if not query.dtype is key.dtype is value.dtype:
        names = [_dtype_name(t) for t in named.values()]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    if mask is not None and str(mask.dtype) not in (
        "torch.bool",
        "torch.float32",
        str(query.dtype),
    ):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {_dtype_name(mask)} and  query.dtype: {_dtype_name(query)} instead."
        )
    d = FROM_NUMPY[query._data.dtype]
    if not d.is_floating_point:
        raise RuntimeError(f"expected scalar type Float but found {d.name.title()}")


def _check_shapes(query: Any, key: Any, value: Any) -> None:
    if query.shape[-1] != key.shape[-1]:
        raise RuntimeError(
            "scaled_dot_product_attention(): the last dimensions of query and key must be the "
            f"same, but got query of shape {list(query.shape)} and key of shape {list(key.shape)}"
        )
    if key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            "scaled_dot_product_attention(): there must be as many values as keys, but got key of "
            f"shape {list(key.shape)} and value of shape {list(value.shape)}"
        )
    error = broadcast_error([t.shape[:-2] for t in (query, key, value)])
    if error is not None:
        raise error


def _for_all_heads(query: Any, t: Any) -> Any:
    """Keys or values repeated so that each head of the queries has its own."""
    heads = query.shape[-3]
    if heads % t.shape[-3]:
        raise RuntimeError(
            "Number of heads in key and value must divide the number of heads in query"
        )
    return t.repeat_interleave(heads // t.shape[-3], -3)


@function(method=False, namespace="nn.functional")
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query key^T * scale + mask) value, for (..., length, features).

    A boolean `attn_mask` is True where a key takes part; a float one is added. `is_causal` lets
    each query see the keys up to its own place. `scale` is 1 / sqrt(features) by default.
    """
    _check_attention(query, key, value, attn_mask)
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if enable_gqa:
        key, value = _for_all_heads(query, key), _for_all_heads(query, value)
    _check_shapes(query, key, value)
    scale = 1 / math.sqrt(query.shape[-1] or 1) if scale is None else scale
    keep = bias = None
    if attn_mask is not None and str(attn_mask.dtype) == "torch.bool":
        keep = attn_mask
    elif attn_mask is not None:
        bias = attn_mask.to(query.dtype)
    _check_mask(query, key, attn_mask)
    if dropout_p > 0:
        shares = attention_weights(query, key, bias, keep, scale, is_causal)
        return dropout(shares, dropout_p) @ value
    at_once = _flash(query, key, value) and not (bias is not None and bias.requires_grad)
    return (FLASH if at_once else PLAIN)(query, key, value, bias, keep, scale, is_causal)


def _flash(query: Any, key: Any, value: Any) -> bool:
    """Whether torch computes the attention of these at once, and not as products and a softmax."""
    q, k, v = memory(query._data), memory(key._data), memory(value._data)
    return (
        q.ndim == k.ndim == v.ndim == 4
        and q.shape[:2] == k.shape[:2] == v.shape[:2]
        and q.shape[3] == v.shape[3]
        and q.strides[3] == k.strides[3] == v.strides[3] == q.itemsize
    )


def _check_mask(query: Any, key: Any, mask: Any) -> None:
    if mask is not None:
        scores = (*query.shape[:-1], key.shape[-2])
        error = broadcast_error([scores, mask.shape])
        if error is not None:
            raise error
