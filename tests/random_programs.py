"""Random programs, run eagerly and compiled: results, gradients and state have to agree.

    python tests/random_programs.py --count 10000 --seed 0

builds, for each number from the seed on, the source of a function `step`, a line at a time: a line
stays if it runs. The function is called three times, each time with other numbers, on two copies of
its world (parameters, a buffer, an optimizer, the generator): as it is, and compiled. Between calls
the program that was captured is also run by NumPy: a difference there lies in the capture or in a
pass, one that the native code alone shows lies in fusion, kernels or memory. With torch installed
the eager results are compared with torch's too (`--torch`). A program that differs is cut down to
the lines that matter, and printed.

What rounding alone may do to a result is measured, where it matters, by running the function on
arguments changed by a few units in the last place.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import functools
import importlib.util
import math
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # not a Unix
    resource = None  # type: ignore[assignment]

import chainrule
import chainrule.utils.checkpoint
from chainrule.compiler import calls
from chainrule.compiler.api import Compiled

CALLS = 3
REACH = 50.0  # how many times as far as shaken runs others may be
LINE = 2 << 30  # bytes that a line may take
SHAKES = 12  # runs changed by rounding, at most, to see what it does
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "complex64": 1e-5, "complex128": 1e-12}
COARSE = {"float16": 2e-3, "bfloat16": 2e-2}
LAST_PLACE = {"float32": 6e-8, "float64": 1.1e-16, "float16": 1.2e-4, "bfloat16": 1e-3}
LAST_PLACE |= {"complex64": 6e-8, "complex128": 1.1e-16}
HEAD = "def step({}):\n"
UNDEFINED = {  # what comes out depends on the order in which elements are read and written
    "copies of memory to itself": r"\b(\w+)\[1:\] = \1\[:-1\]",
    "elements of itself, in place": r"\b(\w+)\.masked_scatter_\(.*\b\1\b",
    "products in place of themselves": r"\b(\w+)\.b?addb?mm_\(.*\b\1\b",
}
INSIDE = {  # what is rounded within a line, and that with a place to shake it
    r"\b(\w+)\.prod\((-?\d*)\)": r"mixed(\1, \2).prod(\2)",
    r"(\w+)\.sum\((.*), dtype=torch\.float32\)": r"shaken(\1.to(torch.float32)).sum(\2)",
    r"torch\.log_softmax\((\w+), (-?\d+)\)": r"log_shares(\1, \2)",
    r"torch\.softmax\((\w+), (-?\d+)\)": r"log_shares(\1, \2).exp()",
    r"torch\.(tanh|sigmoid)\((\w+)\)": r"bent_\1(\2)",
    r"\b(\w+)\.(tanh|sigmoid)\(\)": r"bent_\2(\1)",
    r"F\.gelu\((\w+)(, approximate='tanh')?\)": (
        r"(shaken(F.gelu(\1\2) + \1.clamp(-8, 8) / 2) - \1.clamp(-8, 8) / 2)"
    ),
}
ORDERS = re.compile(  # operators that find -0 and 0 equal: of which they return is not said
    r"max|min|sort|median|mode|topk|kthvalue|quantile|clamp|relu|clip"
)
TORCH_ALONE = [
    r"\.data(\.|\[)|\.detach\(\)\.\w+_\(",  # over what backward keeps, which others do otherwise
    r"torch\.polar\(",  # whose derivative takes negative lengths for positive ones
]
TORCH_NOT_FINITE = [
    r"\.prod\(",  # whose derivatives divide by the factors: NaN where one is zero or infinite
    r"linalg\.",  # where infinities take the way of another library
    r"\.logcumsumexp\(",  # whose derivative leaves NaN out of what comes from above
]

# -- the parts that lines are made of --------------------------------------------------------------

UNARY = """
    torch.abs({x}) | -{x} | torch.exp({x}) | torch.log({x}) | torch.sqrt({x}) | torch.rsqrt({x})
    torch.sin({x}) | torch.cos({x}) | torch.tan({x}) | torch.tanh({x}) | torch.sigmoid({x})
    torch.relu({x}) | F.gelu({x}) | F.gelu({x}, approximate='tanh') | F.silu({x})
    F.softplus({x}) | torch.erf({x}) | torch.expm1({x}) | torch.log1p({x}) | torch.square({x})
    {x}.reciprocal() | torch.floor({x}) | torch.ceil({x}) | torch.round({x}) | torch.trunc({x})
    torch.sign({x}) | F.elu({x}) | F.leaky_relu({x}, 0.2) | F.hardtanh({x})
    torch.clamp({x}, -0.5, 1.5) | {x}.clamp(min=0.25) | {x}.clamp(max=1) | F.logsigmoid({x})
    torch.sinh({x}) | torch.cosh({x}) | torch.atan({x}) | torch.asin({x}) | torch.atanh({x})
    torch.asinh({x}) | torch.frac({x}) | torch.isnan({x}) | torch.isfinite({x}) | ~{x}
    torch.logical_not({x}) | torch.exp2({x}) | torch.log2({x}) | torch.log10({x}) | F.selu({x})
    F.mish({x}) | F.hardswish({x}) | {x} ** 2 | {x} ** 3 | {x} ** 0.5 | {x} ** -1
    F.softsign({x}) | F.relu6({x}) | torch.logit({x}, 0.1) | torch.sinc({x}) | torch.lgamma({x})
    torch.erfc({x}) | torch.nan_to_num({x}) | {x}.detach() | torch.deg2rad({x}) | {x}.sign()
    F.threshold({x}, 0.1, 20) | F.hardsigmoid({x}) | {x}.clone() | {x} * 2 | {x} * 2.5 | 2 - {x}
    {x} - 0.5 | {x} / 3 | 1 / {x} | {x} // 2 | {x} % 3 | 2.0 ** {x} | {x} > 0 | {x} <= 1
    {x} == 0 | {x} != 1 | torch.pow({x}, 1.5) | {x} + True | {x} * 1 | {x} ** 1
    torch.zeros_like({x}) | torch.ones_like({x}) | torch.full_like({x}, 3)
"""
BINARY = """
    {x} + {y} | {x} - {y} | {x} * {y} | {x} / {y} | {x} ** {y} | {x} // {y} | {x} % {y}
    torch.maximum({x}, {y}) | torch.minimum({x}, {y}) | torch.atan2({x}, {y}) | torch.fmod({x}, {y})
    {x} < {y} | {x} >= {y} | {x} == {y} | {x} != {y} | torch.logical_and({x}, {y}) | {x} & {y}
    {x}.bitwise_or({y}) | {x} ^ {y} | torch.logical_xor({x}, {y}) | torch.hypot({x}, {y})
    {x} * {y} + {x} | torch.fmax({x}, {y}) | torch.fmin({x}, {y}) | torch.logaddexp({x}, {y})
    torch.where({x} > 0, {x}, {y}) | torch.where({x} > {y}, {x}, {y}) | torch.lerp({x}, {y}, 0.3)
    torch.where({c}, {x}, {y}) | torch.where({c}, {x}, 0.0) | torch.masked_fill({x}, {c}, 2)
    torch.addcmul({x}, {y}, {z}, value=0.5) | torch.addcdiv({x}, {y}, {z})
    torch.sub({x}, {y}, alpha=2) | torch.true_divide({x}, {y})
    torch.div({x}, {y}, rounding_mode='trunc') | {x} - {y} * {z} | torch.remainder({x}, {y})
    torch.heaviside({x}, {y}) | torch.clamp({x}, {y}, {z}) | {x}.lerp({y}, {z})
    F.mse_loss({x}, {y}.to({x})) | F.l1_loss({x}, {y}.to({x})) | F.huber_loss({x}, {y}.to({x}))
    F.smooth_l1_loss({x}, {y}.to({x})) | F.mse_loss({x}, {y}.to({x}), reduction='none')
    F.binary_cross_entropy_with_logits({x}, {y}.to({x}).sigmoid())
    F.kl_div({x}, {y}.to({x}).sigmoid()) | F.mse_loss({x}, {y}) | F.l1_loss({x}, {y})
    F.cosine_similarity({x}, {y}, dim={d}) | torch.isclose({x}, {y})
"""
REDUCED = """
    {x}.sum() | {x}.sum({d}) | {x}.sum({ds}, keepdim=True) | {x}.mean() | {x}.mean({ds})
    {x}.mean({d}, True) | {x}.prod() | {x}.prod({d}) | torch.amax({x}, {ds})
    torch.amin({x}, {ds}, keepdim=True) | {x}.max() | {x}.max({d})[0]
    {x}.min({d}, keepdim=True)[0] | {x}.max({d})[1] | {x}.argmax({d}) | {x}.argmin({d})
    {x}.all() | {x}.any({d}) | {x}.std() | {x}.var({ds})
    {x}.var({d}, unbiased=False, keepdim=True) | torch.logsumexp({x}, {ds})
    torch.logsumexp({x}, {d}, keepdim=True) | {x}.norm() | {x}.norm(dim={d}) | {x}.cumsum({d})
    {x}.cumprod({d}) | torch.count_nonzero({x}, {d}) | torch.nansum({x}, {d}) | {x}.norm(1)
    torch.var_mean({x}, {d}, correction=0)[1] | {x}.sum(dtype=torch.float64)
    {x}.sum({d}, dtype=torch.float32)
    torch.softmax({x}, {d}) | torch.log_softmax({x}, {d}) | F.softmin({x}, {d})
    F.normalize({x}, dim={d}) | F.layer_norm({x}, {x}.shape[-1:])
    F.layer_norm({x}, {x}.shape[-2:]) | {x} - {x}.mean({d}, keepdim=True)
    {x} / {x}.abs().sum({d}, keepdim=True) | {x} - {x}.max({d}, keepdim=True)[0]
    ({x} * {x}).sum({d}) | F.cross_entropy({x}, {i})
    F.cross_entropy({x}, {i}, label_smoothing=0.1) | F.nll_loss({x}, {i})
    F.cross_entropy({x}, {i}, reduction='none') | F.batch_norm({x}, None, None, training=True)
    F.group_norm({x}, 1) | F.rms_norm({x}, {x}.shape[-1:])
    torch.linalg.vector_norm({x}, dim={ds}) | ({x} - {y}).abs().max() | ({x} * {y}).sum({ds})
    ({x} > 0).sum({d}) | {x}.sort({d})[0] | {x}.median() | {x}.flip({d}) | {x}.roll(1, {d})
    torch.diff({x}, dim={d}) | {x}.trace() | {x}.logcumsumexp({d})
"""
SHAPES = """
    {x}.reshape(-1) | {x}.flatten() | {x}.unsqueeze({d}) | {x}.unsqueeze(-1) | {x}.squeeze()
    {x}.squeeze({d}) | {x}.transpose({d}, -1) | {x}.permute({p}) | {x}.T | {x}.mT
    {x}.expand(3, *{x}.shape) | {x}.contiguous() | {x}[0] | {x}[-1] | {x}[1:] | {x}[:-1]
    {x}[::2] | {x}[..., 1:] | {x}[..., ::2] | {x}[..., 0] | {x}[:, None] | {x}[..., None]
    {x}[None] | {x}[1:, ..., :-1] | {x}[:, 1:-1] | {x}[..., -1:] | {x}[{x}.shape[0] // 2:]
    {x}.reshape({x}.shape[0], -1) | {x}.reshape(*{x}.shape[:-1], -1, 2)
    {x}.view(-1, {x}.shape[-1]) | {x}.reshape(2, -1) | {x}.narrow({d}, 0, 1) | {x}.select({d}, 0)
    {x}.unbind({d})[-1] | {x}.chunk(2, {d})[1] | {x}.split(2, {d})[0] | {x}.diagonal()
    {x}.diag() | {x}.tril() | {x}.triu(1) | {x}.repeat(2, *(1,) * {x}.ndim) | {x}.movedim({d}, 0)
    {x}.repeat_interleave(2, {d}) | {x}.unfold({d}, 2, 1) | {x}.expand_as({y}) | {x}.tile(2)
    torch.cat([{x}, {y}], {d}) | torch.stack([{x}, {y}]) | torch.cat([{x}, {x} * 2, {y}], -1)
    torch.stack([{x}, {y}], -1) | torch.hstack([{x}, {y}]) | {x}[{i}] | {x}[:, {i}]
    {x}.gather({d}, {i}) | {x}.index_select({d}, {i}) | {x}.take({i}) | {x}[{c}.nonzero()[:0]]
    torch.zeros(4, {x}.shape[-1]).scatter({d}, {i}, {x}) | {x}.index_add({d}, {i}, {y})
    torch.take_along_dim({x}, {i}, {d}) | F.one_hot({i}, 5) | F.embedding({i}, {x})
    F.pad({x}, (1, 1)) | F.pad({x}, (0, -1)) | {x}.real | {x}.view_as({y})
    torch.broadcast_to({x}, {y}.shape) | {x}.scatter_add({d}, {i}, {y}) | {x}[[0, -1]]
    {x}.masked_fill({c}, 0.5) | {x}.swapaxes(0, -1).contiguous() | {x}.t().reshape(-1)
    {x}.as_strided((2, 2), (1, 1)) if {x}.numel() else {x} + 1
"""
PRODUCTS = """
    {x} @ {y} | {x} @ {y}.mT | {x}.mT @ {y} | {x} @ {x}.mT | torch.matmul({x}, {y})
    F.linear({x}, {y}) | torch.outer({x}.flatten()[:7], {y}.flatten()[:5])
    torch.einsum('...i,...i->...', {x}, {y}) | {x}.mm({y}) | torch.einsum('ij,kj->ik', {x}, {y})
    torch.addmm({z}, {x}, {y}) | torch.bmm({x}, {y}) | torch.dot({x}, {y})
    F.linear({x}, {y}, {z}) | {x}.mv({y}) | torch.tensordot({x}, {y}, 1)
    {x}[..., None] * {y}[..., None, :] | torch.einsum('bij,bjk->bik', {x}, {y})
    F.linear({x}, {y}).relu() | torch.tanh({x} @ {y}) + {z} | F.conv1d({x}, {x}[:2], padding=1)
    F.max_pool1d({x}, 2) | F.avg_pool1d({x}, 2) | {x}[:, :2] @ {y}[:2]
"""
CASTS = """
    {x}.float() | {x}.double() | {x}.long() | {x}.int() | {x}.bool() | {x}.half() | {x}.bfloat16()
    {x}.to(torch.uint8) | {x}.to(torch.int16) | {x}.to(torch.float32) | {x}.to({y}.dtype)
    {x}.type_as({y}) | {x}.to(torch.complex64) | {x}.half() | {x}.bfloat16()
"""
COMPLEX = """
    torch.complex({x}, {y}) | {x}.conj() | torch.angle({x}) | torch.view_as_real({x}) | {x}.imag
    torch.polar({x}, {y}) | torch.fft.fft({x}) | torch.fft.rfft({x}) | torch.fft.ifft({x})
    {x}.abs() | torch.fft.irfft({x}) | {x} * 1j | {x}.real | torch.fft.fftn({x}) | {x}.mH
    torch.view_as_complex({x}[..., None].expand(*{x}.shape, 2).contiguous()) | {x}.sgn()
    {x} * (1 + 2j) | {x}.to(torch.complex128) | {x}.conj() * {y} | {x}.resolve_conj()
"""
INTEGERS = """
    {x} << 1 | {x} >> 1 | {x} & 1 | torch.gcd({x}, {y}) | {x}.bitwise_or(4) | torch.lcm({x}, {y})
    {x} ** 2 | {x}.bitwise_xor({y}) | {x} // {y} | {x} % {y} | -{x} | {x}.abs() | {x} * {y}
    {x}.sum({d}) | {x}.prod({d}) | {x}.cumsum({d}) | {x}.max({d})[0] | {x} / {y}
    {x}.to(torch.int8) | torch.bincount({x}.flatten().abs()) | {x}.clamp(0, 1) | {x}.float().mean()
    {x} + 2.5
"""
SORTED = """
    {x}.sort({d})[0] | torch.argsort({x}, dim={d}, stable=True) | torch.topk({x}, 1, {d})[0]
    {x}.cummax({d})[0] | {x}.cummin({d})[1] | {x}.kthvalue(1, {d})[0] | torch.quantile({x}, 0.5)
    {x}.unique() | {x}[{c}] | {c}.nonzero() | torch.masked_select({x}, {c}) | {x}.median({d})[0]
    torch.searchsorted({x}.flatten().sort()[0].detach(), {y}) | torch.bucketize({x}, torch.ones(1))
    torch.aminmax({x})[0] | torch.std_mean({x}, {d}, correction=0)[0] | torch.isin({x}, {y})
    torch.cov({x}) | torch.kron({x}, {y}) | torch.rot90({x}) | torch.trapezoid({x})
    torch.cross({x}, {y}, dim=-1) | torch.sort({x}, {d}, descending=True)[0] | {x}.argwhere()
    torch.histc({x}, 5) | torch.cartesian_prod({x}, {y})
    torch.meshgrid({x}, {y}, indexing='ij')[0] | torch.cdist({x}, {y})
    torch.renorm({x}, 2, 0, 1.0) | {x}.dist({y})
"""
LAYERS = """
    F.conv2d({x}, {x}[:2, :, :1, :1]) | F.max_pool2d({x}, 2) | F.avg_pool2d({x}, 2)
    F.conv2d({x}[None], torch.ones(2, {x}.shape[0], 3, 3).to({x}.dtype) * 0.1, padding=1)
    F.conv2d({x}[None], torch.ones(2, {x}.shape[0], 1, 2).to({x}.dtype), stride=2)
    F.conv1d({x}, torch.full((4, {x}.shape[-2], 3), 0.1).to({x}.dtype), padding=1, stride=2)
    F.conv_transpose1d({x}, torch.full(({x}.shape[-2], 2, 3), 0.1).to({x}.dtype), stride=2)
    F.adaptive_avg_pool2d({x}, 2) | F.interpolate({x}[None], scale_factor=2)
    F.interpolate({x}[None], scale_factor=2.0, mode='bilinear') | F.adaptive_max_pool1d({x}, 2)
    F.scaled_dot_product_attention({x}, {x}, {y}) | F.max_pool2d({x}, 2, padding=1, stride=1)
    F.scaled_dot_product_attention({x}, {x}, {x}, is_causal=True) | F.glu({x}, {d})
    F.batch_norm({x}, {x}.mean(0).detach(), {x}.var(0).detach()) | F.instance_norm({x})
    F.unfold({x}[None], 2) | F.pixel_shuffle({x}, 2) | F.local_response_norm({x}, 2)
    F.embedding({i}, {x}) | F.pad({x}, (1, 1), mode='reflect') | F.pad({x}, (1, 0), value=2.0)
    F.bilinear({x}, {y}, torch.ones(2, {x}.shape[-1], {y}.shape[-1]).to({x}.dtype))
    F.prelu({x}, {y}) | F.gumbel_softmax({x}, dim={d}) | F.dropout1d({x}, 0.5)
"""
LINALG = """
    torch.linalg.solve({x} @ {x}.mT + 3 * torch.eye({x}.shape[-2]).to({x}.dtype), {x})
    torch.linalg.inv({x} @ {x}.mT + 3 * torch.eye({x}.shape[-2]).to({x}.dtype))
    torch.linalg.cholesky({x} @ {x}.mT + 3 * torch.eye({x}.shape[-2]).to({x}.dtype))
    torch.linalg.det({x}[..., :2, :2]) | torch.linalg.slogdet({x}[..., :2, :2])[1]
    torch.linalg.svdvals({x}) | torch.linalg.eigvalsh({x} @ {x}.mT) | torch.linalg.norm({x})
    torch.linalg.matrix_exp({x}[..., :2, :2] * 0.1) | torch.linalg.multi_dot([{x}, {y}.mT, {x}])
    torch.linalg.matrix_power({x}[..., :2, :2], 3) | torch.trace({x})
    torch.linalg.qr({x} + 9 * torch.eye(*{x}.shape[-2:]).to({x}.dtype)).R
"""
CONTROL = """
    sum(row * k for k, row in enumerate({x})) | {x} * 2 if {x}.shape[0] > 2 else {x}.neg()
    {x} * 2 if bool(({x} > 0).any()) else {x} - 1 | {x} + int(({x} > 0).sum() % 3)
    torch.cat([r.flatten() for r in {x}.split(2, {d})]) | ({x}, {y})[{x}.ndim % 2]
    functools.reduce(lambda u, v: u * 0.5 + v, {x}.unbind({d})) | {x}[:int({i}.flatten()[0])]
    {x}[int({i}.flatten()[-1])] | {x} * 2 if {x}.numel() > {y}.numel() else {y} * 2 | {x} * len({x})
    torch.stack([r.sum() for r in {x}]) | {x}[{i}.flatten()[0]] | {x} * float({x}.shape[-1])
    {x}.mul(2) if {x}.dtype == torch.float32 else {x}.mul(3)
    {x} + {x}.max().item() if {x}.dtype == torch.int64 else {x} | {x}.to({y}) | +{x}
"""
NESTED = """
    torch.func.grad(lambda u: (u * u.sin()).sum())({x}) | torch.vmap(lambda u: u.sum() * u)({x})
    torch.func.vmap(lambda u, v: u * v.sin())({x}, {y})
    torch.func.jvp(torch.sin, ({x},), ({y}.to({x}),))[1]
    torch.func.jvp(lambda u: (u * u).sum(0), ({x},), ({x},))[1]
    torch.func.vjp(lambda u: u.exp() * u, {x})[1]({x})[0]
    torch.func.jacrev(lambda u: u.flatten()[:3].sin() * u.sum())({x}.flatten()[:5])
    torch.func.jacfwd(lambda u: u.flatten()[:3].sin() * u.sum())({x}.flatten()[:5])
    torch.func.hessian(lambda u: (u.tanh() * u).prod())({x}.flatten()[:3])
    torch.func.vmap(torch.func.grad(lambda u: (u * u * u).sum()))({x})
    torch.autograd.grad(({x} * {x}.sin()).sum(), {x}, create_graph=True)[0]
    torch.autograd.grad({x}.square().mean(), {x})[0]
    torch.utils.checkpoint.checkpoint(lambda u: u.sin() * u, {x}, use_reentrant=False)
    torch.utils.checkpoint.checkpoint(lambda u: F.dropout(u, 0.4), {x}, use_reentrant=False)
    torch.vmap(lambda u: u @ u)({x}) | torch.vmap(lambda u: u.cumsum(0), in_dims={d})({x})
"""
RANDOM = """
    torch.randn({x}.shape) | torch.randn_like({x}) | torch.rand(3) | torch.rand_like({x})
    F.dropout({x}, 0.3) | torch.randint(0, 5, (4,)) | torch.bernoulli({x}.sigmoid())
    torch.randperm(5) | torch.normal(0.0, 1.0, (2, 3)) | F.dropout({x}, 0.5, training=False)
    {x} + 0.1 * torch.randn_like({x}) | torch.arange({x}.shape[-1]) | torch.zeros(3)
    torch.eye(3) | torch.linspace(0, 1, {x}.shape[-1]) | torch.arange(5.0) | torch.ones({x}.shape)
    torch.tensor([1.0, 2.0, 3.0]) | torch.full(({x}.shape[-1],), 0.5) | torch.randn(20)
    torch.tensor(2.5)
"""
WRITES = """
    {w}.add_({y}) | {w}.mul_(0.5) | {w}.sub_({y}, alpha=0.5) | {w}[0] = {y} | {w}[..., 0] = 1.5
    {w}[1:] += {y} | {w}[...] = {y} | {w}.copy_({y}) | {w}.zero_() | {w}.fill_(2)
    {w}.masked_fill_({c}, 0.25) | {w}[{c}] = 0.75 | {w}[{i}] = 1.0 | {w}.clamp_(-1, 1)
    {w}.t().add_(1) | {w}[::2].mul_(2) | {w}.view(-1)[1:].add_(0.5) | {w} += {y} | {w} *= {y}
    {w}.exp_() | {w}.tanh_() | {w}.index_add_({d}, {i}, {y}) | {w}.relu_() | {w}.lerp_({y}, 0.5)
    {w}.index_fill_({d}, {i}, 3) | {w}.addcmul_({y}, {z}) | {w}[..., ::2] = {y}
    {w}.transpose(0, -1)[0] = 2.0 | {w}[:, 1] = {w}[:, 0] | {w}[1:] = {w}[:-1] | {w}.uniform_()
    {w}.normal_() | {w}.diagonal().fill_(1) | {w}.neg_() | {w}[-1] -= {w}[0]
    {w}.index_put_(({i},), {y}) | {w}.scatter_({d}, {i}, 0.5) | {w}.data.mul_(0.9) | {w}.squeeze_()
    {w}.scatter_add_({d}, {i}, {y}) | torch.add({x}, {y}, out={w}) | {w}.t_() | {w}.unsqueeze_(0)
    {w}.masked_scatter_({c}, {y}) | {w}.floor_() | {w}.div_({y}) | {w}.pow_(2) | {w}.sigmoid_()
    {w}.cumsum_({d}) | {w}.bernoulli_(0.5) | {w}.random_(0, 5) | {w}[{c}] += 1
    {w}.copy_({w}.flip(0)) | {w}[{i}] += {y} | {w}.view(-1)[0] = 3 | {w}.select({d}, 0).mul_({y})
    with torch.no_grad(): {w}.mul_(0.9) | {w}.detach().mul_(0.9) | {w}.real.mul_(2) | {w} -= {w}
    {w}[{i}.flatten()[0]] = 0.5 | {w}[{i}.flatten()[0]].mul_(2) | {w}.transpose_(0, -1)
    {w}.index_copy_({d}, {i}, {y}) | {w}[0], {w}[-1] = {w}[-1].clone(), {w}[0].clone()
    {w}.unbind({d})[0].add_(1) | {w}.chunk(2, {d})[0].zero_()
    {w}.expand(2, *{w}.shape).sum().add_(1) | {w}.data[...] = {y} | {w}.logical_not_()
    {w}.bitwise_and_(1) | {w} //= 2 | {w} %= 2 | {w}.as_strided((2,), (1,)).add_({w}.numel() > 0)
    {w}.flatten().mul_(2) | {w}.clamp_(min=0) | {w}.addmm_({x}, {y}) | {w}.baddbmm_({x}, {y})
"""


def parts(text: str) -> list[str]:
    """The templates of a table."""
    return [t.strip() for line in text.strip().split("\n") for t in line.split(" | ")]


TABLES = {
    "unary": (parts(UNARY), 8),
    "binary": (parts(BINARY), 7),
    "reduced": (parts(REDUCED), 7),
    "shapes": (parts(SHAPES), 7),
    "products": (parts(PRODUCTS), 3),
    "casts": (parts(CASTS), 1.5),
    "random": (parts(RANDOM), 1),
    "writes": (parts(WRITES), 3),
    "complex": (parts(COMPLEX), 1),
    "integers": (parts(INTEGERS), 1),
    "sorted": (parts(SORTED), 1.5),
    "layers": (parts(LAYERS), 2),
    "linalg": (parts(LINALG), 0.7),
    "control": (parts(CONTROL), 2),
    "nested": (parts(NESTED), 1.5),
}
NAMES = list(TABLES)
WEIGHTS = np.array([w for _, w in TABLES.values()])
KINDS = {
    "float32": 10, "float64": 4, "int64": 2, "bool": 1, "int32": 0.5, "float16": 0.6,
    "bfloat16": 0.6, "uint8": 0.3, "complex64": 0.6, "int16": 0.2, "complex128": 0.2,
}  # fmt: skip
LARGE = (
    [(100003,), (17, 6007)],
    [(331, 317), (317,)],
    [(33, 65, 50), (50,)],
    [(70001, 2), (2,)],
    [(3, 40000), (3, 1)],
)
OPTIMIZERS = (
    "SGD(P, lr=0.1)",
    "SGD(P, lr=0.05, momentum=0.9)",
    "SGD(P, lr=0.05, momentum=0.9, nesterov=True)",
    "Adam(P, lr=0.01)",
    "AdamW(P, lr=0.01)",
    "Adam(P, lr=0.01, amsgrad=True)",
    "RMSprop(P, lr=0.01)",
    "SGD(P, lr=0.1, weight_decay=0.1)",
    "Adam(P, lr=0.01, weight_decay=0.1)",
    "Adagrad(P, lr=0.01)",
)


# -- a world: what a step finds --------------------------------------------------------------------


class Spec:
    """An argument or a parameter: shape, dtype, whether it requires grad, how it lies in memory."""

    def __init__(self, shape: tuple, kind: str, grad: bool, layout: str) -> None:
        self.shape, self.kind, self.grad, self.layout = shape, kind, grad, layout

    def array(self, rng: np.random.Generator) -> np.ndarray:
        """Its numbers."""
        if self.kind == "bool":
            return rng.random(self.shape) < 0.5
        if self.kind[0] in "iu":
            return rng.integers(0, 3, self.shape)
        x = rng.standard_normal(self.shape) + 0.1
        return x + 1j * rng.standard_normal(self.shape) if self.kind[0] == "c" else x

    def tensor(self, torch: Any, values: np.ndarray) -> Any:
        """It as a tensor of a library."""
        t = torch.tensor(np.array(values)).to(getattr(torch, self.kind))
        if self.layout == "transposed":
            t = t.transpose(0, -1).contiguous().transpose(0, -1)
        elif self.layout == "strided":
            t = torch.stack([t, t], -1)[..., 0]
        elif self.layout == "offset":
            t = torch.cat([t.flatten()[:1], t.flatten()])[1:].reshape(self.shape)
        # a leaf that is a view gets no gradient in torch once a view of it is written in no_grad
        return t.detach().requires_grad_() if self.grad else t

    def widened(self, halves: bool = False) -> Spec:
        """The same in double precision; half types, if at all, in single precision."""
        kind = {"float32": "float64", "complex64": "complex128"}.get(self.kind, self.kind)
        if halves and kind in COARSE:
            kind = "float32"
        return Spec(self.shape, kind, self.grad, self.layout)

    def __repr__(self) -> str:
        return " ".join([f"{self.kind}{list(self.shape)}", "grad" * self.grad, self.layout]).strip()


class Case:
    """A program: its lines, its arguments, its parameters, its optimizer."""

    def __init__(self, args: list, params: list, buffers: list, optimizer: str, seed: int) -> None:
        self.args, self.params, self.buffers = args, params, buffers
        self.optimizer, self.seed = optimizer, seed
        self.lines: list[str] = []
        self.returned: list[str] = []
        self.outside = False  # whether its first result is differentiated by the caller
        self.tangled = False  # whether a line writes what it also reads, in another order
        self.mixed = True  # whether numbers less precise than float64 may have a part in it
        self.coarse = 0.0  # how far numbers may be apart because half types have

    @property
    def source(self) -> str:
        """The function."""
        names = ", ".join(f"a{n}" for n in range(len(self.args)))
        body = [*self.lines, f"return {', '.join(self.returned) or 'None'}"]
        return HEAD.format(names) + "".join(f"    {line}\n" for line in body)

    def __str__(self) -> str:
        given = [f"# a{n} {s}" for n, s in enumerate(self.args)]
        given += [f"# p{n} {s}" for n, s in enumerate(self.params)]
        given += [f"# b{n} {s}" for n, s in enumerate(self.buffers)]
        given += ["# the first result is differentiated outside"] * self.outside
        return "\n".join([*given, f"# opt = {self.optimizer}", self.source])

    def numbers(self, call: int) -> list[np.ndarray]:
        """The arguments' values at a call."""
        rng = np.random.default_rng([self.seed, call])
        return [s.array(rng) for s in self.args]


class World:
    """A copy of everything that a program can reach, in one library."""

    def __init__(self, case: Case, torch: Any) -> None:
        self.case, self.torch = case, torch
        rng = np.random.default_rng([case.seed, 1000])
        self.params = [s.tensor(torch, s.array(rng)) for s in case.params]
        self.buffers = [s.tensor(torch, s.array(rng)) for s in case.buffers]
        self.scope: dict[str, Any] = {
            "torch": torch, "F": torch.nn.functional, "functools": functools,
            "__name__": "random_program",
        }  # fmt: skip
        self.scope |= {f"p{n}": t for n, t in enumerate(self.params)}
        self.scope |= {f"b{n}": t for n, t in enumerate(self.buffers)}
        self.opt = None
        if case.optimizer and self.params:
            self.opt = eval(f"torch.optim.{case.optimizer}", {"torch": torch, "P": self.params})
            self.scope["opt"] = self.opt

    def function(self, shaken: bool = False) -> Callable:
        """The step in this world; `shaken`: each line's result is changed as rounding might."""
        source = self.case.source
        if shaken:
            for pattern, shaken_within in INSIDE.items():
                source = re.sub(pattern, shaken_within, source)
            source = re.sub(
                r" +(t\d+|loss) = .*\n",
                lambda m: f"{m[0]}    {m[1]} = shaken({m[1]}, {bool(ORDERS.search(m[0]))})\n",
                source,
            )
        exec(compile(source, "<random program>", "exec"), self.scope)
        return self.scope["step"]

    def arguments(self, call: int, shaken: np.random.Generator | None = None) -> list:
        """The arguments of a call; `shaken`: changed as rounding might."""
        out = []
        for s, x in zip(self.case.args, self.case.numbers(call), strict=True):
            out.append(s.tensor(self.torch, x if shaken is None else shake(x, s.kind, shaken)))
        return out

    def shake(self, rng: np.random.Generator) -> None:
        """Change parameters and buffers as rounding might."""
        with self.torch.no_grad():
            for s, t in zip(
                self.case.params + self.case.buffers, self.params + self.buffers, strict=True
            ):
                noise = shake(np.ones(s.shape), s.kind, rng)
                if s.kind in LAST_PLACE:
                    t.mul_(self.torch.tensor(noise).to(t.dtype))

    def seen(self, args: list, result: Any) -> dict[str, Any]:
        """All that a step may have changed, as arrays."""
        found: dict[str, Any] = {}
        for n, r in enumerate(result if isinstance(result, tuple) else (result,)):
            found[f"result {n}"] = r
        for n, a in enumerate(args):
            found[f"argument {n}"] = a
            found[f"its grad {n}"] = a.grad if a.is_leaf else None
        for n, p in enumerate(self.params):
            found[f"parameter {n}"], found[f"grad of parameter {n}"] = p, p.grad
            if self.opt is not None:
                for key, value in sorted(self.opt.state.get(p, {}).items()):
                    found[f"{key} of parameter {n}"] = value
        found |= {f"buffer {n}": b for n, b in enumerate(self.buffers)}
        return {k: array_of(v, self.torch) for k, v in found.items()}


def shake(x: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Floats changed by a few units in the last place."""
    if x.dtype.kind not in "fc" or kind not in LAST_PLACE:
        return x
    return x * (1 + rng.uniform(-4, 4, x.shape) * LAST_PLACE[kind])


def shake_tensor(torch: Any, t: Any, zeros: bool = False, *, rng: np.random.Generator) -> Any:
    """Change a tensor's numbers, where they lie, by a few units in the last place, and those of its
    gradient when they come; with `zeros`, zeros become 0 or -0. The tensor, or a new one if its
    memory overlaps itself.
    """
    kind = str(t.dtype).partition(".")[2]
    if kind not in LAST_PLACE or not t.numel():
        return t

    def noise(like: Any) -> Any:
        return torch.tensor(shake(np.ones(tuple(like.shape)), kind, rng))

    factors = noise(t)
    if zeros:
        signs = torch.tensor(rng.choice([-1.0, 1.0], tuple(t.shape)))
        factors = torch.where(t.detach() == 0, signs, factors)
    try:
        t.data.copy_(t.data.to(factors.dtype) * factors)
    except RuntimeError:
        t = (t * factors).to(t.dtype)
    if t.requires_grad:
        t.register_hook(lambda g: (g * noise(g)).to(g.dtype))
    return t


def array_of(v: Any, torch: Any) -> Any:
    """A tensor as (dtype, array of float64, complex or integers)."""
    if not isinstance(v, torch.Tensor):
        return v
    kind = str(v.dtype).removeprefix("torch.").removeprefix("chainrule.")
    v = v.detach()
    wide = v.double() if v.is_floating_point() else v
    return kind, np.array(
        wide.resolve_conj().numpy() if hasattr(wide, "resolve_conj") else wide.numpy()
    )


# -- building --------------------------------------------------------------------------------------


class Builder:
    """Makes a case line by line: what runs, with numbers of a sensible size, stays."""

    def __init__(self, seed: int, size: int = 12, rng: Any = None) -> None:
        self.rng = rng or np.random.default_rng(seed)
        r = self.rng
        big = r.random() < 0.12
        sizes = [1, 2, 3, 4, 5, 7, 8, 16, 17, 33] + [0] * (r.random() < 0.1)
        self.dims = [int(r.choice(sizes)) for _ in range(3)]
        self.shapes = [tuple(self.dims[: int(r.integers(0, 4))]) for _ in range(3)]
        self.shapes += [tuple(int(d) for d in r.permutation(self.dims)[: int(r.integers(1, 4))])]
        if big:
            self.shapes[:2] = LARGE[int(r.integers(len(LARGE)))]
        self.double = r.random() < 0.25  # no float32 anywhere
        specs = [self.spec(n == 0) for n in range(int(r.integers(1, 4)))]
        if r.random() < 0.3:
            specs.append(
                Spec((int(r.choice([1, 2, 4, max(self.dims[0], 1)])),), "int64", False, "")
            )
        params = []
        for _ in range(int(r.integers(0, 3))):
            params.append(
                Spec(
                    self.shape(),
                    "float64" if self.double or r.random() < 0.3 else "float32",
                    True,
                    "",
                )
            )
        buffers = [
            Spec(self.shape(), "float64" if self.double else "float32", False, "")
            for _ in range(int(r.random() < 0.25))
        ]
        outside = r.random() < 0.2
        self.learns = bool(params) and r.random() < 0.7 and not outside
        optimizer = str(r.choice(OPTIMIZERS)) if self.learns else ""
        self.case = Case(specs, params, buffers, optimizer, seed)
        self.case.outside = outside
        self.world = World(self.case, chainrule)
        self.scope = self.world.scope
        for n, t in enumerate(self.world.arguments(0)):
            self.scope[f"a{n}"] = t
        self.names = [k for k in self.scope if k[0] in "apb" and k[1:].isdigit()]
        chainrule.manual_seed(0)
        self.build(size if not big else max(size // 2, 3))

    def shape(self) -> tuple:
        """One of the shapes of this program, perhaps with an axis of size 1."""
        s = list(self.shapes[int(self.rng.integers(len(self.shapes)))])
        if s and self.rng.random() < 0.2 and np.prod(s) < 1000:
            s[int(self.rng.integers(len(s)))] = 1
        return tuple(s)

    def spec(self, plain: bool) -> Spec:
        """An argument."""
        r, shape = self.rng, self.shape()
        weights = np.array(list(KINDS.values()))
        kind = "float32" if plain else str(r.choice(list(KINDS), p=weights / weights.sum()))
        if self.double and kind in ("float32", "float16", "bfloat16", "complex64"):
            kind = "float64"
        layouts = ["transposed"] * (len(shape) > 1) + ["strided"] + ["offset"]
        layout = str(r.choice(layouts)) if r.random() < 0.25 and 0 not in shape and shape else ""
        return Spec(shape, kind, kind in ("float32", "float64") and r.random() < 0.35, layout)

    def build(self, size: int) -> None:
        """Lines, then perhaps a backward pass and an optimizer's step, then what is returned."""
        tries = made = 0
        while made < size and tries < 12 * size:
            tries += 1
            made += self.line(self.proposed())
        loss = self.loss()
        if self.case.outside:
            self.case.outside = bool(loss) and self.line(f"loss = {loss}")
        elif loss:
            self.line("opt.zero_grad()" if self.case.optimizer else "pass")
            if self.line(f"loss = {loss}") and self.line("loss.backward()"):
                self.names.append("loss")
                if self.case.optimizer:
                    self.line("opt.step()")
        self.case.mixed = any(
            self.scope[n].dtype not in (chainrule.float64, chainrule.bool, chainrule.int64)
            for n in self.names
        ) or any(re.search(r"vmap|func\.", line) for line in self.case.lines)
        kinds = {str(self.scope[n].dtype).partition(".")[2] for n in self.names}
        self.case.coarse = max([COARSE[k] for k in kinds & COARSE.keys()], default=0.0)
        outs = [n for n in self.names if n[0] in "tl"]
        self.rng.shuffle(outs)
        self.case.returned = [
            n + ".detach()" * self.scope[n].requires_grad
            for n in outs[: int(self.rng.integers(1, 5))]
        ]
        if self.case.outside:
            self.case.returned = ["loss", *(r for r in self.case.returned if r != "loss.detach()")]
        self.case.lines = [line for line in self.case.lines if line != "pass"]

    def any(self, test: Callable = lambda t: True) -> str:
        """A name of a tensor, the newer the likelier."""
        names = [n for n in self.names if test(self.scope[n])]
        if not names:
            return self.names[0]
        at = len(names) - 1 - int(abs(self.rng.normal(0, 4)))
        return names[at] if at >= 0 else str(self.rng.choice(names))

    def proposed(self) -> str:
        """A line."""
        r = self.rng
        table = NAMES[int(r.choice(len(NAMES), p=WEIGHTS / WEIGHTS.sum()))]
        text = str(r.choice(TABLES[table][0]))
        x = self.any()
        if table == "integers":
            x = self.any(lambda t: not t.is_floating_point() and not t.is_complex())
        elif r.random() < 0.75:
            x = self.any(lambda t: t.is_floating_point())
        rank = self.scope[x].ndim
        axes = [int(a) for a in r.permutation(rank)]
        some = tuple(axes[: int(r.integers(1, rank + 1))]) if rank else ()
        shape = self.scope[x].shape
        near = (
            self.any(lambda t: t.shape == shape or t.shape == shape[1:])
            if r.random() < 0.6
            else self.any()
        )
        made = text.format(
            x=x,
            y=near,
            z=self.any(lambda t: t.shape == shape) if r.random() < 0.7 else self.any(),
            c=self.any(lambda t: t.dtype == chainrule.bool),
            i=self.any(lambda t: t.dtype == chainrule.int64),
            d=(axes[0] - rank * int(r.random() < 0.5)) if rank else 0,
            ds=some,
            p=tuple(axes),
            w=x,
        )
        if table == "writes":
            # eager keeps what a node saved of a number from writes by `.data`; torch does not
            untracked = re.search(r"\.data|no_grad|detach|\.t_|pose_|squeeze_", made)
            if untracked and not rank:
                return "pass"
            return "pass" if overlaps(self.scope[x]) else made
        if re.search(" for |reduce|jac|vmap|hessian", made) and max([1, *shape]) > 100:
            return "pass"  # many steps
        if "matrix_exp" in made and self.scope[x].dtype in (chainrule.float16, chainrule.bfloat16):
            return "pass"  # torch's have nothing to do with it: -1.3e30 for the exponential of 0
        pairs = self.scope[x].numel() * self.scope[near].numel()
        if pairs > 100_000 and re.search("kron|cartesian|cdist|meshgrid|isin", made):
            return "pass"  # every pair of two large tensors
        if "conv_transpose1d" in made and max([1, *shape]) > 10_000:
            return "pass"  # torch crashes with one thread
        if re.search("conv[12]d", made) and not pairs:
            return "pass"  # torch gives them shapes of its own
        return f"t{len(self.case.lines)} = {made}"

    def line(self, text: str) -> bool:
        """Take a line, if it runs and its numbers are of a sensible size."""
        target = text.partition(" = ")[0] if text.partition(" = ")[0].isidentifier() else ""
        before = dict(self.scope)
        kept = (
            {n: before[n].detach().clone() for n in self.names}
            if not target and len(text) < 300
            else {}
        )
        tangled = (not target or "out=" in text) and tangles(text, self.scope)
        try:
            with little_memory():
                exec(text, self.scope)
            made = self.scope.get(target)
            ok = not target or (isinstance(made, chainrule.Tensor) and sensible(made))
            ok = ok and all(sensible(self.scope[n]) for n in kept)
        except Exception:
            ok = False
        if not ok:
            for n, old in kept.items():
                if n in before and text not in ("opt.zero_grad()", "pass"):
                    with contextlib.suppress(RuntimeError):  # of memory that overlaps itself
                        before[n].data.copy_(old)
            self.scope.clear()
            self.scope.update(before)
            return False
        self.case.tangled |= tangled
        self.case.lines.append(text)
        if target and target not in self.names and target != "loss":
            self.names.append(target)
        return True

    def loss(self) -> str:
        """A number that depends on what requires grad."""
        terms = []
        for n in self.names[::-1]:
            t = self.scope[n]
            if (
                t.requires_grad
                and t.is_floating_point()
                and t.numel()
                and (n[0] == "t" or not terms)
            ):
                terms.append(f"{n}.mean()" if t.numel() > 1 or t.ndim else n)
            if len(terms) == 3:
                break
        return " + ".join(terms)


def overlaps(t: Any) -> bool:
    """Whether elements of a tensor may share memory: what writing there gives is not defined."""
    last = 0  # the farthest element in the axes so far
    for stride, size in sorted(zip(t.stride(), t.shape, strict=True)):
        if size > 1 and stride <= last:
            return True
        last += stride * max(size - 1, 0)
    return False


def tangles(text: str, scope: dict) -> bool:
    """Whether tensors of a line look at the same memory, but not at the same places in order."""
    names = set(re.findall(r"\b[abpt]\d+\b", text)) & scope.keys()
    arrays = [x for x in [scope[n]._data for n in names] if isinstance(x, np.ndarray)]
    looks = [(x, (x.ctypes.data, x.shape, x.strides)) for x in arrays]
    return any(np.may_share_memory(x, y) and i != j for x, i in looks for y, j in looks)


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Within, what takes more than LINE bytes raises MemoryError (on Linux)."""
    try:
        with open("/proc/self/statm") as f:
            taken = int(f.read().split()[0]) * resource.getpagesize()
    except (OSError, AttributeError):
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if limits[1] == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (taken + LINE, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def sensible(t: Any) -> bool:
    """Whether a tensor's numbers are finite and of a size that later lines can live with: whether
    very small ones are 0 hangs on the order of products.
    """
    if t.numel() > 3_000_000 or t.ndim > 5:
        return False
    if t.dtype == chainrule.bool or not t.numel():
        return True
    x = t.detach()
    x = np.abs(x.double().numpy() if x.is_floating_point() else x.numpy().astype(complex))
    return bool(np.isfinite(x).all() and x.max() < 1e4 and not 0 < x.max() < 1e-30)


# -- comparing -------------------------------------------------------------------------------------


def difference(found: Any, wanted: Any, mixed: bool, coarse: float) -> str | None:
    """What differs between two values of `World.seen`, and by how much; `coarse`: how much it may
    at least.
    """
    if not isinstance(wanted, tuple) or not isinstance(found, tuple):
        same = type(found) is type(wanted) and found == wanted
        return None if same else f"{found} for {wanted}"
    (kind, x), (wanted_kind, y) = found, wanted
    if kind != wanted_kind or x.shape != y.shape:
        return f"{kind}{list(x.shape)} for {wanted_kind}{list(y.shape)}"
    if kind not in TOLERANCE and kind not in COARSE:
        return (
            None
            if np.array_equal(x, y)
            else f"{kind} numbers differ: {x.ravel()[:4]} for {y.ravel()[:4]}"
        )
    worst = distance(x, y)
    limit = 1e-5 if mixed and kind in TOLERANCE else {**TOLERANCE, **COARSE}[kind]
    return None if worst <= max(limit, coarse) else f"{kind} off by {worst:.3g}"


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference, relative to the size of all numbers; inf where nan or inf differ."""
    if not x.size:
        return 0.0
    finite = np.isfinite(y)
    if not np.array_equal(finite, np.isfinite(x)) or not np.array_equal(
        x[~finite], y[~finite], equal_nan=True
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    return float(np.abs(x - y)[finite].max() / max(np.abs(y[finite]).max(), 1e-3))


class Difference(Exception):
    """Two runs of one program do not agree."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Refused(Difference):
    """A program has no one meaning, or torch does not run it, or shapes of it change from call to
    call, which is a compiled function's error.
    """


def run(world: World, step: Callable, call: int, shaken: Any = None) -> dict:
    """One call of a step; what can be seen of it."""
    args = world.arguments(call, shaken)
    world.torch.manual_seed(call)
    result = step(*args)
    if world.case.outside:
        (result[0] if isinstance(result, tuple) else result).backward()
    seen = world.seen(args, result)
    seen["stream"] = array_of(world.torch.rand(2), world.torch)
    return seen


def compare(case: Case, others: tuple = ("compiled",)) -> None:
    """Run a case in all ways; raises Difference if two do not agree."""
    for what, pattern in UNDEFINED.items():
        if re.search(pattern, case.source):
            raise Refused("undefined", what)
    eager = World(case, chainrule)
    step = eager.function()
    wanted = [run(eager, step, call) for call in range(CALLS)]
    if "compiled" in others:
        world = World(case, chainrule)
        compiled = Compiled(world.function())
        for call in range(CALLS):
            if "no program could be made" in (compiled.eager or ""):
                raise Difference("fault", str(compiled.eager))
            for entry in compiled.entries:
                vars(entry).pop("run", None)  # the program, even where the function is quicker
                if not isinstance(entry.plan, Interpreted):
                    Interpreted(entry)
            try:
                found = run(world, compiled, call)
            except chainrule.errors.OverwrittenError as e:
                if "torch" in others and not isinstance(outcome(case, ("torch",)), Refused):
                    raise Difference("compiled", f"unlike torch: {e}") from None
                raise Refused("compiled", f"as torch, unlike eager of numbers: {e}") from None
            except RuntimeError as e:
                if "its shape depends on numbers" in str(e):
                    raise Refused("compiled", str(e)) from None
                raise
            try:
                agree(case, "compiled" if call else "captured", found, wanted[call], call)
            except Difference as e:
                notes = [n for entry in compiled.entries for n in getattr(entry.plan, "found", ())]
                raise Difference(
                    e.kind, f"{e}; {notes or 'native code does as the program'}"
                ) from None
    if "torch" in others and case.tangled:
        raise Refused("undefined", "reading what the same line writes, in another order")
    if "torch" in others:
        import torch
        import torch.utils.checkpoint

        world = World(case, torch)
        step = world.function()
        for call in range(CALLS):
            try:
                found = run(world, step, call)
            except Exception as e:
                raise Refused("torch", f"{type(e).__name__}: {e}") from None
            agree(case, "torch", found, wanted[call], call)


class Interpreted:
    """Stands in for a plan: runs the program by NumPy before the native code, and compares."""

    def __init__(self, entry: Any) -> None:
        self.entry, self.plan = entry, entry.plan
        self.found: list[str] = []
        entry.plan, self.calls = self, self.plan.calls
        entry.execute, _ = calls.written(entry)

    def run(self, *arrays: Any) -> None:
        """Both."""
        planner = self.entry.planner
        known = {**planner.fixed, **dict(zip(planner.arguments, arrays, strict=True))}
        given = [known.get(v, np.zeros(v.shape, v.dtype)) for v in planner.program.inputs]
        stream = chainrule.get_rng_state()
        wanted = planner.program.run([np.array(x, order="C") for x in given])
        wanted = [np.array(x) for x in wanted]
        chainrule.set_rng_state(stream)
        self.plan.run(*arrays)
        for o, w in zip(planner.outputs, wanted, strict=True):
            found = o.array if o.array is not None else known[o.target or o.value]
            worst = off(found, w)
            if worst > {"f4": 1e-5, "f8": 1e-12, "c8": 1e-5}.get(w.dtype.str[1:], 3e-2):
                self.found.append(f"native: {o.value} {w.dtype} off by {worst:.3g}")


def off(x: Any, y: Any) -> float:
    """How far arrays are apart."""
    if x.shape != y.shape or x.dtype != y.dtype:
        return float("inf")
    if y.dtype.kind in "iub":
        return 0.0 if np.array_equal(x, y) else float("inf")
    wide = "c16" if y.dtype.kind == "c" else "f8"
    return distance(x.astype(wide), y.astype(wide))


def agree(case: Case, kind: str, found: dict, wanted: dict, call: int) -> None:
    """Raise Difference unless two runs agree, or rounding explains why they do not."""
    # compiled code rounds to a half type where it stores numbers, torch elsewhere
    coarse = COARSE["bfloat16"] if case.coarse and kind == "torch" else case.coarse
    told = [(k, difference(found.get(k), wanted[k], case.mixed, coarse)) for k in wanted]
    told = [(k, d) for k, d in told if d]
    if not told:
        return
    noise: dict[str, Moved] = {}
    for shaken in roundings(case, call, chainrule):
        take_in(noise, *shaken)
        if kind != "torch":
            told = [(k, d) for k, d in told if not explained(found.get(k), wanted[k], noise, k)]
        if not told:
            return
    if kind == "torch":
        import torch

        # torch adds rows up one after the other, an error that shaken runs have in common
        longest = max([1, *(n for s in case.args + case.params for n in s.shape)])
        reach = REACH * max(1, math.sqrt(longest) / 16)
        for shaken in roundings(case, call, torch):
            take_in(noise, *shaken)
            told = [
                (k, d) for k, d in told if not explained(found.get(k), wanted[k], noise, k, reach)
            ]
            if not told:
                return
    k, d = told[0]
    moved = noise[k].by if k in noise else 0
    raise Difference(kind, f"call {call}, {k}: {d} (rounding: {moved:.2g})")


class Moved:
    """What rounding does to a value: how far numbers go, and which have no digit that is sure."""

    def __init__(self) -> None:
        self.by, self.unsure = 0.0, np.False_

    def take_in(self, x: np.ndarray, y: np.ndarray) -> None:
        """Note a run beside a plain one."""
        if x.shape != y.shape:
            self.by = float("inf")
        elif x.dtype.kind in "iub":
            self.by = max(self.by, float(not np.array_equal(x, y)))
        else:
            self.by = max(self.by, distance(x, y))
            self.unsure = self.unsure | ~np.isclose(x, y, rtol=0.5, atol=0, equal_nan=True)


def explained(x: Any, y: Any, noise: dict[str, Moved], k: str, reach: float = REACH) -> bool:
    """Whether rounding moves a value as far as two runs differ; numbers that it moves by half of
    their size may be any.
    """
    if k not in noise:
        return False
    moved = noise[k]
    if not isinstance(x, tuple) or not isinstance(y, tuple) or x[0] != y[0]:
        return False
    if x[1].shape != y[1].shape:
        return moved.by == float("inf")
    if x[1].dtype.kind in "iub":
        return moved.by > 0
    if distance(x[1], y[1]) <= reach * moved.by:
        return True
    sure = ~(moved.unsure & (moved.by > 0.5))
    return distance(x[1][sure], y[1][sure]) <= reach * moved.by


def roundings(case: Case, call: int, library: Any) -> Iterator[tuple[dict, dict]]:
    """What is seen of runs that differ by rounding, each beside that of a plain one: everything in
    double precision, torch's half types as float32 too (where its formulas overflow), then numbers
    and gradients changed by units in the last place, again and again.
    """
    plain = World(case, library)
    step = plain.function()
    wanted = [run(plain, step, c) for c in range(call + 1)][-1]
    wider = [copy.copy(case)]
    for group in ("args", "params", "buffers"):
        setattr(wider[0], group, [s.widened() for s in getattr(case, group)])
    if library is not chainrule and case.coarse:
        wider.append(copy.copy(wider[0]))
        wider[1].lines = [re.sub(r"\.(half|bfloat16)\(\)", ".float()", x) for x in case.lines]
        for group in ("args", "params", "buffers"):
            setattr(wider[1], group, [s.widened(True) for s in getattr(case, group)])
    for wide in wider:
        world = World(wide, library)
        with contextlib.suppress(Exception):
            step = world.function()
            yield [run(world, step, c) for c in range(call + 1)][-1], wanted
    for n in range(SHAKES):
        rng = np.random.default_rng(n)
        world = World(case, library)
        world.shake(rng)
        shaken = functools.partial(shake_tensor, library, rng=rng)
        world.scope |= {"shaken": shaken, "log_shares": functools.partial(log_shares, shaken)}
        world.scope |= {"bent_tanh": bent_tanh, "bent_sigmoid": bent_sigmoid}
        world.scope["mixed"] = functools.partial(mixed, library, rng)
        step = world.function(True)
        # shapes, too, may depend on rounding
        with contextlib.suppress(IndexError, RuntimeError, ValueError):
            yield [run(world, step, c, rng) for c in range(call + 1)][-1], wanted


def log_shares(shaken: Callable, x: Any, dim: int) -> Any:
    """log_softmax in two steps, so that the sum, and what comes back to it, are shaken."""
    below = x - x.amax(dim, keepdim=True).detach()
    return below - shaken(below.exp().sum(dim, keepdim=True)).log()


def mixed(torch: Any, rng: np.random.Generator, x: Any, dim: int | None = None) -> Any:
    """The same numbers in another order (along an axis, or all): a product of many may overflow on
    its way, and then meet a zero, in one order and not in another.
    """
    if not x.ndim or not x.is_floating_point():
        return x
    if dim is None:
        return mixed(torch, rng, x.flatten(), 0)
    return x.index_select(dim, torch.tensor(rng.permutation(x.shape[dim])))


def bent_tanh(x: Any) -> Any:
    """tanh with another formula near 1, where what is left to 1 (and the derivative with it) is all
    rounding.
    """
    if x.is_complex():
        return x.tanh()
    return (2 * (2 * x).sigmoid() - 1).where(x.abs() > 4, x.tanh())


def bent_sigmoid(x: Any) -> Any:
    """sigmoid with another formula near 1, and where e^-x may overflow: 0 or subnormal."""
    if x.is_complex():
        return x.sigmoid()
    far = x.exp().where(x < -80, x.sigmoid())
    return (1 / (1 + (-x.clamp(min=4)).exp())).where(x > 4, far)


def take_in(out: dict[str, Moved], seen: dict, wanted: dict) -> None:
    """Note how far numbers have moved."""
    for k, v in wanted.items():
        w = seen.get(k)
        if isinstance(v, tuple) and isinstance(w, tuple):
            out.setdefault(k, Moved()).take_in(w[1], v[1])


def outcome(case: Case, others: tuple) -> Exception | None:
    """What comparing raises."""
    try:
        compare(case, others)
    except Exception as e:
        return e
    return None


def one(case: Case) -> None:
    """Compare the runs of a case, with torch's too if it is installed; raises if they do not agree,
    and that is not torch's fault.
    """
    others = ("compiled", "torch") if importlib.util.find_spec("torch") else ("compiled",)
    error = outcome(case, others) if runs(case) else None
    if error is None or isinstance(error, Refused):
        return
    small = shrunk(case, others, error)
    if not known(small, outcome(small, others)):
        raise AssertionError(f"{error}, or with less in it:\n{small}") from error


def known(case: Case, error: Exception | None) -> bool:
    """Whether a program with nothing in it that could be left out differs for a reason that lies in
    torch.
    """
    if getattr(error, "kind", "") != "torch":
        return False
    patterns = TORCH_ALONE + TORCH_NOT_FINITE * ("off by inf" in str(error))
    return any(re.search(p, case.source) for p in patterns)


def runs(case: Case) -> bool:
    """Whether a case runs eagerly."""
    try:
        world = World(case, chainrule)
        step = world.function()
        for call in range(CALLS):
            run(world, step, call)
    except Exception:
        return False
    return True


def label(e: Exception) -> tuple:
    """What makes two failures the same."""
    return type(e).__name__, getattr(e, "kind", str(e)[:30])


def shrunk(case: Case, others: tuple, error: Exception) -> Case:
    """The case with as few lines as still fail in the same way."""
    best, again = case, True
    limit = time.perf_counter() + 60
    while again and time.perf_counter() < limit:
        again = False
        for smaller in reductions(best):
            if not runs(smaller):
                continue
            e = outcome(smaller, others)
            if e is not None and label(e) == label(error):
                best, again = smaller, True
                break
    return best


def reductions(case: Case) -> Any:
    """Cases with a little less."""
    for n in reversed(range(len(case.lines))):
        smaller = copy.copy(case)
        smaller.lines = case.lines[:n] + case.lines[n + 1 :]
        yield smaller
    for n in range(case.outside, len(case.returned)):
        smaller = copy.copy(case)
        smaller.returned = case.returned[:n] + case.returned[n + 1 :]
        yield smaller
    for group in ("args", "params", "buffers"):
        specs = getattr(case, group)
        for n, s in enumerate(specs):
            for changed in ({"layout": ""}, {"grad": False}):
                if getattr(s, next(iter(changed))):
                    smaller, one = copy.copy(case), copy.copy(s)
                    one.__dict__.update(changed)
                    setattr(smaller, group, specs[:n] + [one] + specs[n + 1 :])
                    yield smaller
    if case.optimizer and not any("opt." in line for line in case.lines):
        smaller = copy.copy(case)
        smaller.optimizer = ""
        yield smaller


def main() -> int:
    """Run many; print those that differ."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--count", type=int, default=1000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--size", type=int, default=12)
    p.add_argument("--torch", action="store_true", help="compare with torch, too")
    p.add_argument("--stop", type=int, default=5, help="after so many differences")
    p.add_argument("--seconds", type=float, default=1e9)
    p.add_argument("--show", action="store_true", help="print every program")
    given = p.parse_args()
    others = ("compiled", "torch") if given.torch else ("compiled",)
    failed, refused, ran, begun, n = 0, 0, 0, time.perf_counter(), 0
    warnings.simplefilter("ignore")
    faulthandler.register(signal.SIGUSR1)
    for n in range(given.seed, given.seed + given.count):
        if (n - given.seed) % 100 == 0:
            print(f"{n} after {time.perf_counter() - begun:.0f} s", flush=True)
        case = Builder(n, given.size).case
        if given.show:
            print(case)
        if not runs(case):
            continue
        ran += 1
        error = outcome(case, others)
        if isinstance(error, Refused):
            refused += 1
            print(f"-- seed {n}: {' '.join(str(error).split())[:160]}", flush=True)
        elif error is not None:
            failed += 1
            print(f"-- seed {n}: {type(error).__name__}: {str(error)[:400]}")
            small = shrunk(case, others, error)
            again = outcome(small, others)
            if known(small, again):
                failed, refused = failed - 1, refused + 1
            print(f"{small}\n-> {type(again).__name__}: {str(again)[:600]}", flush=True)
            if again is not None and not isinstance(again, Difference):
                print("".join(traceback.format_tb(again.__traceback__)[-4:]), flush=True)
        if failed >= given.stop or time.perf_counter() - begun > given.seconds:
            break
    print(
        f"{n - given.seed + 1} programs, of which {ran} run, {failed} differ, torch refuses"
        f" {refused}, {time.perf_counter() - begun:.0f} s"
    )
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
