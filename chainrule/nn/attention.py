"""Attention and the Transformer (Vaswani et al. 2017).

Sequences are (length, batch, features), or (batch, length, features) with `batch_first`, or
(length, features).
"""

from __future__ import annotations

import contextlib
import copy
import enum
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import devices
from ..dtypes import get_default_dtype
from ..ops.define import wrap
from . import functional as F
from . import init
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear, NonDynamicallyQuantizableLinear
from .module import Module
from .multihead import additive
from .norm import LayerNorm
from .parameter import Parameter, blank


class SDPBackend(enum.IntEnum):
    """torch's ways to compute attention; here there is one."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """Choose among torch's ways to compute attention: understood, without effect."""
    given = [backends] if isinstance(backends, SDPBackend) else backends
    if not all(isinstance(b, SDPBackend) for b in given):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances"
        )
    yield


class MultiheadAttention(Module):
    """Several attentions side by side: softmax(q k^T / sqrt(d)) v for each head, between linear
    maps.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = (
            embed_dim,
            num_heads,
            dropout,
            batch_first,
        )
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        together = self._qkv_same_embed_dim
        shapes = {
            "q_proj_weight": (embed_dim, embed_dim),
            "k_proj_weight": (embed_dim, self.kdim),
            "v_proj_weight": (embed_dim, self.vdim),
        }
        if together:
            self.in_proj_weight = Parameter(blank((3 * embed_dim, embed_dim), dtype, device))
        for name, shape in shapes.items():
            self.register_parameter(
                name, None if together else Parameter(blank(shape, dtype, device))
            )
        if not together:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter(
            "in_proj_bias", Parameter(blank(3 * embed_dim, dtype, device)) if bias else None
        )
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, device, dtype)
        self.bias_k, self.bias_v = (
            Parameter(blank((1, 1, embed_dim), dtype, device)) if add_bias_kv else None
            for _ in "kv"
        )
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        if self._qkv_same_embed_dim:
            init.xavier_uniform_(self.in_proj_weight)
        else:
            for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
            init.xavier_normal_(self.bias_v)

    def __setstate__(self, saved: dict) -> None:
        saved.setdefault("_qkv_same_embed_dim", True)
        super().__setstate__(saved)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple:
        """The attended values, and the weights if wanted; boolean masks are True where attention is
        forbidden.
        """
        batched = query.dim() == 3
        if self.batch_first and batched:
            swapped = {id(x): x.transpose(1, 0) for x in (query, key, value)}
            query, key, value = (swapped[id(x)] for x in (query, key, value))
        separate = (
            {}
            if self._qkv_same_embed_dim
            else {
                "use_separate_proj_weight": True,
                "q_proj_weight": self.q_proj_weight,
                "k_proj_weight": self.k_proj_weight,
                "v_proj_weight": self.v_proj_weight,
            }
        )
        out, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            **separate,
        )
        return (out.transpose(1, 0) if self.batch_first and batched else out), weights


# -- Transformer ----------------------------------------------------------------------------------

ACTIVATIONS = ("relu", "gelu")


def activation_of(given: Any) -> Callable:
    """The function for "relu" or "gelu", or the function given."""
    if not isinstance(given, str):
        return given
    if given not in ACTIVATIONS:
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return getattr(F, given)


def clones(module: Module, n: int) -> ModuleList:
    """A ModuleList of n copies."""
    return ModuleList([copy.deepcopy(module) for _ in range(n)])


class _Layer(Module):
    """What an encoder and a decoder layer share: self-attention, a two-layer network, and dropout
    after each.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Any,
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        attentions: tuple,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        for name in attentions:
            setattr(
                self,
                name,
                MultiheadAttention(
                    d_model,
                    nhead,
                    dropout,
                    bias,
                    batch_first=batch_first,
                    device=device,
                    dtype=dtype,
                ),
            )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        parts = range(1, len(attentions) + 2)
        for k in parts:
            setattr(
                self,
                f"norm{k}",
                LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype),
            )
        for k in parts:
            setattr(self, f"dropout{k}", Dropout(dropout))
        self.activation = activation_of(activation)

    def _attend(
        self, attention: Any, x: Any, memory: Any, mask: Any, padding: Any, causal: bool
    ) -> Any:
        return attention(
            x,
            memory,
            memory,
            attn_mask=mask,
            key_padding_mask=padding,
            is_causal=causal,
            need_weights=False,
        )[0]

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _residual(self, x: Any, k: int, block: Callable) -> Any:
        """x + block, with the k-th dropout and norm around it."""
        norm, dropout = getattr(self, f"norm{k}"), getattr(self, f"dropout{k}")
        if self.norm_first:
            return x + dropout(block(norm(x)))
        return norm(x + dropout(block(x)))


class TransformerEncoderLayer(_Layer):
    """Self-attention and a two-layer network, each with dropout, residual and layer norm."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            ("self_attn",),
            device,
            dtype,
        )

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """The encoded sequence."""
        padding = additive(src_key_padding_mask, src.dtype)
        mask = additive(src_mask, src.dtype)
        x = self._residual(
            src, 1, lambda y: self._attend(self.self_attn, y, y, mask, padding, is_causal)
        )
        return self._residual(x, 2, self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory and a two-layer network, each with dropout, residual
    and layer norm.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            ("self_attn", "multihead_attn"),
            device,
            dtype,
        )

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """The decoded sequence."""
        x = self._residual(
            tgt,
            1,
            lambda y: self._attend(
                self.self_attn, y, y, tgt_mask, tgt_key_padding_mask, tgt_is_causal
            ),
        )
        x = self._residual(
            x,
            2,
            lambda y: self._attend(
                self.multihead_attn,
                y,
                memory,
                memory_mask,
                memory_key_padding_mask,
                memory_is_causal,
            ),
        )
        return self._residual(x, 3, self._feed_forward)


def is_causal_mask(mask: Any, is_causal: bool | None, size: int) -> bool:
    """Whether a mask forbids just the future; `is_causal` says so in advance."""
    if is_causal is not None or mask is None:
        return bool(is_causal)
    wanted = causal_mask(size, mask.dtype)._data
    return mask._data.shape == wanted.shape and bool((mask._data == wanted).all())


def causal_mask(size: int, dtype: Any = None) -> Any:
    """A square mask to be added: -inf above the diagonal, 0 elsewhere."""
    kind = (dtype or get_default_dtype()).numpy
    if kind.kind == "b":
        return wrap(np.triu(np.ones((size, size), bool), 1))
    return wrap(np.triu(np.full((size, size), -np.inf, np.float32), 1).astype(kind))


class TransformerEncoder(Module):
    """A stack of encoder layers."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers, self.num_layers, self.norm = (
            clones(encoder_layer, num_layers),
            num_layers,
            norm,
        )
        self.enable_nested_tensor, self.use_nested_tensor, self.mask_check = (
            enable_nested_tensor,
            False,
            mask_check,
        )

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        """The encoded sequence."""
        causal = is_causal_mask(mask, is_causal, _length(src, self.layers))
        for layer in self.layers:
            src = layer(
                src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal
            )
        return src if self.norm is None else self.norm(src)


def _length(x: Any, layers: ModuleList) -> int:
    if x.dim() == 2:
        return x.shape[0]
    return x.shape[1 if layers[0].self_attn.batch_first else 0]


class TransformerDecoder(Module):
    """A stack of decoder layers."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers, self.num_layers, self.norm = (
            clones(decoder_layer, num_layers),
            num_layers,
            norm,
        )

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """The decoded sequence."""
        causal = is_causal_mask(tgt_mask, tgt_is_causal, _length(tgt, self.layers))
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask,
                memory_mask,
                tgt_key_padding_mask,
                memory_key_padding_mask,
                causal,
                memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        settings = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )
        norm = (d_model, layer_norm_eps, True, bias, device, dtype)
        if custom_encoder is None:
            layer = TransformerEncoderLayer(*settings)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers, LayerNorm(*norm))
        self.encoder = custom_encoder
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*settings)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, LayerNorm(*norm))
        self.decoder = custom_decoder
        for weight in self.parameters():
            if weight.dim() > 1:
                init.xavier_uniform_(weight)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """The decoded target."""
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        if src.dim() == 3 and src.size(0 if self.batch_first else 1) != tgt.size(
            0 if self.batch_first else 1
        ):
            raise RuntimeError("the batch number of src and tgt must be equal")
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """A mask (sz, sz) to be added: -inf for the future, 0 elsewhere."""
        devices.check(device)
        return causal_mask(sz, dtype)
