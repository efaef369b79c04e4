"""chainrule: tensors with automatic differentiation, PyTorch's API outside, NumPy inside.

The namespace is torch's: `import chainrule as torch`. Modules that not every program needs (`nn`,
`optim`, `utils` ...) are imported when they are first asked for.
"""

import gc as _gc
import importlib as _importlib

from .version import __version__ as __version__


class _Pause:
    """No garbage collection while this object lives: importing makes a hundred thousand objects
    that all stay, and looking through them takes 15 ms. At its end they count as old.
    """

    def __init__(self) -> None:
        self.was_on = _gc.isenabled()
        _gc.disable()

    def __del__(self) -> None:
        if not _gc.get_freeze_count():
            _gc.freeze()
            _gc.unfreeze()
        if self.was_on:
            _gc.enable()


_pause = _Pause()

from . import tensor as _tensor  # first: what the others hang on
from . import autograd as autograd
from .autograd.modes import enable_grad as enable_grad
from .autograd.modes import inference_mode as inference_mode
from .autograd.modes import is_grad_enabled as is_grad_enabled
from .autograd.modes import is_inference_mode_enabled as is_inference_mode_enabled
from .autograd.modes import no_grad as no_grad
from .autograd.modes import set_grad_enabled as set_grad_enabled
from .devices import device as device
from .display import set_printoptions as set_printoptions
from .dtypes import bfloat16 as bfloat16
from .dtypes import bool_ as bool
from .dtypes import can_cast as can_cast
from .dtypes import complex64 as complex64
from .dtypes import complex128 as complex128
from .dtypes import dtype as dtype
from .dtypes import finfo as finfo
from .dtypes import float16 as float16
from .dtypes import float32 as float32
from .dtypes import float64 as float64
from .dtypes import get_default_dtype as get_default_dtype
from .dtypes import iinfo as iinfo
from .dtypes import int8 as int8
from .dtypes import int16 as int16
from .dtypes import int32 as int32
from .dtypes import int64 as int64
from .dtypes import promote_types as promote_types
from .dtypes import set_default_dtype as set_default_dtype
from .dtypes import set_default_tensor_type as set_default_tensor_type
from .dtypes import uint8 as uint8
from .errors import OutOfMemoryError as OutOfMemoryError
from .namespace import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from .namespace import autocast as autocast
from .namespace import channels_last as channels_last
from .namespace import channels_last_3d as channels_last_3d
from .namespace import compile as compile
from .namespace import contiguous_format as contiguous_format
from .namespace import e as e
from .namespace import get_float32_matmul_precision as get_float32_matmul_precision
from .namespace import get_num_threads as get_num_threads
from .namespace import inf as inf
from .namespace import is_autocast_enabled as is_autocast_enabled
from .namespace import is_tensor as is_tensor
from .namespace import layout as layout
from .namespace import memory_format as memory_format
from .namespace import nan as nan
from .namespace import newaxis as newaxis
from .namespace import pi as pi
from .namespace import preserve_format as preserve_format
from .namespace import set_float32_matmul_precision as set_float32_matmul_precision
from .namespace import set_num_threads as set_num_threads
from .namespace import sparse_coo as sparse_coo
from .namespace import sparse_csr as sparse_csr
from .namespace import strided as strided
from .namespace import typename as typename
from .namespace import use_deterministic_algorithms as use_deterministic_algorithms

# exports: begin (tools/exports.py)
from .ops import attention as _attention
from .ops import embed as _embed
from .ops import fft as _fft
from .ops import lapack as _lapack
from .ops import loss as _loss
from .ops import margin as _margin
from .ops import matrices as _matrices
from .ops import recurrent as _recurrent
from .ops import ties as _ties
from .ops import windows as _windows
from .ops import write as _write
from .ops.activation import celu as celu
from .ops.activation import hardshrink as hardshrink
from .ops.activation import log_softmax as log_softmax
from .ops.activation import prelu as prelu
from .ops.activation import relu as relu
from .ops.activation import rrelu as rrelu
from .ops.activation import selu as selu
from .ops.activation import softmax as softmax
from .ops.activation import threshold as threshold
from .ops.adaptive import adaptive_avg_pool1d as adaptive_avg_pool1d
from .ops.adaptive import adaptive_max_pool1d_with_indices as adaptive_max_pool1d
from .ops.assign import fill as fill
from .ops.assign import index_put as index_put
from .ops.assign import masked_fill as masked_fill
from .ops.assign import masked_scatter as masked_scatter
from .ops.assign import zero_ as zero_
from .ops.compare import allclose as allclose
from .ops.compare import bitwise_and as bitwise_and
from .ops.compare import bitwise_left_shift as bitwise_left_shift
from .ops.compare import bitwise_not as bitwise_not
from .ops.compare import bitwise_or as bitwise_or
from .ops.compare import bitwise_right_shift as bitwise_right_shift
from .ops.compare import bitwise_xor as bitwise_xor
from .ops.compare import clamp as clamp
from .ops.compare import clamp as clip
from .ops.compare import clamp_max as clamp_max
from .ops.compare import clamp_min as clamp_min
from .ops.compare import eq as eq
from .ops.compare import equal as equal
from .ops.compare import fmax as fmax
from .ops.compare import fmin as fmin
from .ops.compare import ge as ge
from .ops.compare import ge as greater_equal
from .ops.compare import gt as greater
from .ops.compare import gt as gt
from .ops.compare import isclose as isclose
from .ops.compare import isfinite as isfinite
from .ops.compare import isinf as isinf
from .ops.compare import isnan as isnan
from .ops.compare import isneginf as isneginf
from .ops.compare import isposinf as isposinf
from .ops.compare import isreal as isreal
from .ops.compare import le as le
from .ops.compare import le as less_equal
from .ops.compare import logical_and as logical_and
from .ops.compare import logical_not as logical_not
from .ops.compare import logical_or as logical_or
from .ops.compare import logical_xor as logical_xor
from .ops.compare import lt as less
from .ops.compare import lt as lt
from .ops.compare import maximum as maximum
from .ops.compare import minimum as minimum
from .ops.compare import nan_to_num as nan_to_num
from .ops.compare import ne as ne
from .ops.compare import ne as not_equal
from .ops.compare import where as where
from .ops.complexes import angle as angle
from .ops.complexes import conj as conj
from .ops.complexes import conj_physical as conj_physical
from .ops.complexes import imag as imag
from .ops.complexes import real as real
from .ops.complexes import view_as_complex as view_as_complex
from .ops.complexes import view_as_real as view_as_real
from .ops.conv import conv1d as conv1d
from .ops.conv import conv2d as conv2d
from .ops.conv import conv3d as conv3d
from .ops.conv import conv_tbc as conv_tbc
from .ops.conv import conv_transpose1d as conv_transpose1d
from .ops.conv import conv_transpose2d as conv_transpose2d
from .ops.conv import conv_transpose3d as conv_transpose3d
from .ops.conv import convolution as convolution
from .ops.convert import clone as clone
from .ops.convert import from_dlpack as from_dlpack
from .ops.convert import get_default_device as get_default_device
from .ops.convert import is_conj as is_conj
from .ops.convert import is_neg as is_neg
from .ops.convert import resolve_conj as resolve_conj
from .ops.convert import resolve_neg as resolve_neg
from .ops.convert import set_default_device as set_default_device
from .ops.convert import to_dlpack as to_dlpack
from .ops.create import complex_of_parts as complex
from .ops.create import empty as empty
from .ops.create import empty_like as empty_like
from .ops.create import empty_permuted as empty_permuted
from .ops.create import empty_strided as empty_strided
from .ops.create import eye as eye
from .ops.create import full as full
from .ops.create import full_like as full_like
from .ops.create import ones as ones
from .ops.create import ones_like as ones_like
from .ops.create import polar as polar
from .ops.create import scalar_tensor as scalar_tensor
from .ops.create import tril_indices as tril_indices
from .ops.create import triu_indices as triu_indices
from .ops.create import zeros as zeros
from .ops.create import zeros_like as zeros_like
from .ops.ctc import ctc_loss as ctc_loss
from .ops.data import as_tensor as as_tensor
from .ops.data import asarray as asarray
from .ops.data import from_numpy as from_numpy
from .ops.data import frombuffer as frombuffer
from .ops.data import tensor as tensor
from .ops.define import FUNCTIONS as _FUNCTIONS
from .ops.diagonal import diag as diag
from .ops.diagonal import diag_embed as diag_embed
from .ops.diagonal import diagflat as diagflat
from .ops.diagonal import diagonal as diagonal
from .ops.diagonal import diagonal_copy as diagonal_copy
from .ops.diagonal import diagonal_scatter as diagonal_scatter
from .ops.diagonal import tril as tril
from .ops.diagonal import triu as triu
from .ops.distance import cdist as cdist
from .ops.distance import cosine_similarity as cosine_similarity
from .ops.distance import dist as dist
from .ops.distance import norm as norm
from .ops.distance import norm_except_dim as norm_except_dim
from .ops.distance import pairwise_distance as pairwise_distance
from .ops.distance import pdist as pdist
from .ops.distance import renorm as renorm
from .ops.einsum import chain_matmul as chain_matmul
from .ops.einsum import einsum as einsum
from .ops.einsum import inner as inner
from .ops.einsum import kron as kron
from .ops.einsum import tensordot as tensordot
from .ops.elementwise import absolute as abs
from .ops.elementwise import absolute as absolute
from .ops.elementwise import acos as acos
from .ops.elementwise import acos as arccos
from .ops.elementwise import acosh as acosh
from .ops.elementwise import acosh as arccosh
from .ops.elementwise import add as add
from .ops.elementwise import addcdiv as addcdiv
from .ops.elementwise import addcmul as addcmul
from .ops.elementwise import asin as arcsin
from .ops.elementwise import asin as asin
from .ops.elementwise import asinh as arcsinh
from .ops.elementwise import asinh as asinh
from .ops.elementwise import atan as arctan
from .ops.elementwise import atan as atan
from .ops.elementwise import atan2 as arctan2
from .ops.elementwise import atan2 as atan2
from .ops.elementwise import atanh as arctanh
from .ops.elementwise import atanh as atanh
from .ops.elementwise import ceil as ceil
from .ops.elementwise import copysign as copysign
from .ops.elementwise import cos as cos
from .ops.elementwise import cosh as cosh
from .ops.elementwise import deg2rad as deg2rad
from .ops.elementwise import div as div
from .ops.elementwise import div as divide
from .ops.elementwise import exp as exp
from .ops.elementwise import exp2 as exp2
from .ops.elementwise import expm1 as expm1
from .ops.elementwise import float_power as float_power
from .ops.elementwise import floor as floor
from .ops.elementwise import floor_divide as floor_divide
from .ops.elementwise import fmod as fmod
from .ops.elementwise import frac as frac
from .ops.elementwise import frexp as frexp
from .ops.elementwise import gcd as gcd
from .ops.elementwise import heaviside as heaviside
from .ops.elementwise import hypot as hypot
from .ops.elementwise import lcm as lcm
from .ops.elementwise import ldexp as ldexp
from .ops.elementwise import lerp as lerp
from .ops.elementwise import log as log
from .ops.elementwise import log10 as log10
from .ops.elementwise import log1p as log1p
from .ops.elementwise import log2 as log2
from .ops.elementwise import logaddexp as logaddexp
from .ops.elementwise import logaddexp2 as logaddexp2
from .ops.elementwise import mul as mul
from .ops.elementwise import mul as multiply
from .ops.elementwise import neg as neg
from .ops.elementwise import neg as negative
from .ops.elementwise import nextafter as nextafter
from .ops.elementwise import positive as positive
from .ops.elementwise import pow as pow
from .ops.elementwise import rad2deg as rad2deg
from .ops.elementwise import reciprocal as reciprocal
from .ops.elementwise import remainder as remainder
from .ops.elementwise import round as round
from .ops.elementwise import rsqrt as rsqrt
from .ops.elementwise import rsub as rsub
from .ops.elementwise import sgn as sgn
from .ops.elementwise import sigmoid as _sigmoid
from .ops.elementwise import sign as sign
from .ops.elementwise import signbit as signbit
from .ops.elementwise import sin as sin
from .ops.elementwise import sinh as sinh
from .ops.elementwise import sqrt as sqrt
from .ops.elementwise import square as square
from .ops.elementwise import sub as sub
from .ops.elementwise import sub as subtract
from .ops.elementwise import tan as tan
from .ops.elementwise import tanh as tanh
from .ops.elementwise import true_divide as true_divide
from .ops.elementwise import trunc as fix
from .ops.elementwise import trunc as trunc
from .ops.factorizations import geqrf as geqrf
from .ops.factorizations import lu_unpack as lu_unpack
from .ops.factorizations import ormqr as ormqr
from .ops.index import argwhere as argwhere
from .ops.index import gather as gather
from .ops.index import index_select as index_select
from .ops.index import masked_select as masked_select
from .ops.index import narrow as narrow
from .ops.index import nonzero as nonzero
from .ops.index import select as select
from .ops.index import take as take
from .ops.index import take_along_dim as take_along_dim
from .ops.index import unbind as unbind
from .ops.index import unravel_index as unravel_index
from .ops.join import atleast_1d as atleast_1d
from .ops.join import atleast_2d as atleast_2d
from .ops.join import atleast_3d as atleast_3d
from .ops.join import block_diag as block_diag
from .ops.join import cat as cat
from .ops.join import cat as concat
from .ops.join import cat as concatenate
from .ops.join import chunk as chunk
from .ops.join import column_stack as column_stack
from .ops.join import dsplit as dsplit
from .ops.join import dstack as dstack
from .ops.join import hsplit as hsplit
from .ops.join import hstack as hstack
from .ops.join import split as split
from .ops.join import split_with_sizes as split_with_sizes
from .ops.join import stack as stack
from .ops.join import tensor_split as tensor_split
from .ops.join import unsafe_chunk as unsafe_chunk
from .ops.join import unsafe_split as unsafe_split
from .ops.join import unsafe_split_with_sizes as unsafe_split_with_sizes
from .ops.join import vsplit as vsplit
from .ops.join import vstack as row_stack
from .ops.join import vstack as vstack
from .ops.legacy import BFloat16Tensor as BFloat16Tensor
from .ops.legacy import BoolTensor as BoolTensor
from .ops.legacy import ByteTensor as ByteTensor
from .ops.legacy import CharTensor as CharTensor
from .ops.legacy import DoubleTensor as DoubleTensor
from .ops.legacy import FloatTensor as FloatTensor
from .ops.legacy import HalfTensor as HalfTensor
from .ops.legacy import IntTensor as IntTensor
from .ops.legacy import LongTensor as LongTensor
from .ops.legacy import ShortTensor as ShortTensor
from .ops.linalg import cholesky as cholesky
from .ops.linalg import cross as cross
from .ops.linalg import det as det
from .ops.linalg import inverse as inverse
from .ops.linalg import logdet as logdet
from .ops.linalg import lu as lu
from .ops.linalg import lu_solve as lu_solve
from .ops.linalg import matrix_power as matrix_power
from .ops.linalg import orgqr as orgqr
from .ops.linalg import pca_lowrank as pca_lowrank
from .ops.linalg import pinverse as pinverse
from .ops.linalg import qr as qr
from .ops.linalg import slogdet as slogdet
from .ops.linalg import svd as svd
from .ops.linalg import svd_lowrank as svd_lowrank
from .ops.linalg import trace as trace
from .ops.norm import native_batch_norm as native_batch_norm
from .ops.norm import native_group_norm as native_group_norm
from .ops.norm import native_layer_norm as native_layer_norm
from .ops.norm import rms_norm as rms_norm
from .ops.norm import torch_batch_norm as batch_norm
from .ops.norm import torch_group_norm as group_norm
from .ops.norm import torch_instance_norm as instance_norm
from .ops.norm import torch_layer_norm as layer_norm
from .ops.padding import constant_pad_nd as constant_pad_nd
from .ops.pool import avg_pool1d as avg_pool1d
from .ops.pool import max_pool1d as max_pool1d
from .ops.pool import max_pool1d_with_indices as max_pool1d_with_indices
from .ops.pool import max_pool2d as max_pool2d
from .ops.pool import max_pool3d as max_pool3d
from .ops.products import addbmm as addbmm
from .ops.products import addmm as addmm
from .ops.products import addmv as addmv
from .ops.products import addr as addr
from .ops.products import baddbmm as baddbmm
from .ops.products import bmm as bmm
from .ops.products import dot as dot
from .ops.products import matmul as matmul
from .ops.products import mm as mm
from .ops.products import mv as mv
from .ops.products import outer as ger
from .ops.products import outer as outer
from .ops.products import vdot as vdot
from .ops.random import bernoulli as bernoulli
from .ops.random import binomial as binomial
from .ops.random import get_rng_state as get_rng_state
from .ops.random import initial_seed as initial_seed
from .ops.random import manual_seed as manual_seed
from .ops.random import multinomial as multinomial
from .ops.random import normal as normal
from .ops.random import poisson as poisson
from .ops.random import rand as rand
from .ops.random import rand_like as rand_like
from .ops.random import randint as randint
from .ops.random import randint_like as randint_like
from .ops.random import randn as randn
from .ops.random import randn_like as randn_like
from .ops.random import randperm as randperm
from .ops.random import seed as seed
from .ops.random import set_rng_state as set_rng_state
from .ops.ranges import arange as arange
from .ops.ranges import closed_range as range
from .ops.ranges import linspace as linspace
from .ops.ranges import logspace as logspace
from .ops.rearrange import cartesian_prod as cartesian_prod
from .ops.rearrange import combinations as combinations
from .ops.rearrange import flip as flip
from .ops.rearrange import fliplr as fliplr
from .ops.rearrange import flipud as flipud
from .ops.rearrange import meshgrid as meshgrid
from .ops.rearrange import repeat_interleave as repeat_interleave
from .ops.rearrange import roll as roll
from .ops.rearrange import rot90 as rot90
from .ops.rearrange import tile as tile
from .ops.rearrange import vander as vander
from .ops.reduce import amax as amax
from .ops.reduce import amin as amin
from .ops.reduce import aminmax as aminmax
from .ops.reduce import count_nonzero as count_nonzero
from .ops.reduce import every as all
from .ops.reduce import logsumexp as logsumexp
from .ops.reduce import mean as mean
from .ops.reduce import nanmean as nanmean
from .ops.reduce import nansum as nansum
from .ops.reduce import prod as prod
from .ops.reduce import some as any
from .ops.reduce import std as std
from .ops.reduce import std_mean as std_mean
from .ops.reduce import sum as sum
from .ops.reduce import var as var
from .ops.reduce import var_mean as var_mean
from .ops.resample import channel_shuffle as channel_shuffle
from .ops.resample import channel_shuffle as native_channel_shuffle
from .ops.resample import pixel_shuffle as pixel_shuffle
from .ops.resample import pixel_unshuffle as pixel_unshuffle
from .ops.sampling import affine_grid_generator as affine_grid_generator
from .ops.sampling import grid_sampler as grid_sampler
from .ops.sampling import grid_sampler_2d as grid_sampler_2d
from .ops.sampling import grid_sampler_3d as grid_sampler_3d
from .ops.scan import cumprod as cumprod
from .ops.scan import cumsum as cumsum
from .ops.scan import cumulative_trapezoid as cumulative_trapezoid
from .ops.scan import diff as diff
from .ops.scan import gradient as gradient
from .ops.scan import logcumsumexp as logcumsumexp
from .ops.scan import trapezoid as trapezoid
from .ops.scan import trapezoid as trapz
from .ops.scatter import index_add as index_add
from .ops.scatter import index_copy as index_copy
from .ops.scatter import index_fill as index_fill
from .ops.scatter import index_reduce as index_reduce
from .ops.scatter import put_flat as put
from .ops.scatter import scatter as scatter
from .ops.scatter import scatter_add as scatter_add
from .ops.scatter import scatter_reduce as scatter_reduce
from .ops.scatter import select_scatter as select_scatter
from .ops.scatter import slice_scatter as slice_scatter
from .ops.shape import adjoint as adjoint
from .ops.shape import as_strided as as_strided
from .ops.shape import broadcast_shapes as broadcast_shapes
from .ops.shape import broadcast_tensors as broadcast_tensors
from .ops.shape import broadcast_to as broadcast_to
from .ops.shape import flatten as flatten
from .ops.shape import is_complex as is_complex
from .ops.shape import is_floating_point as is_floating_point
from .ops.shape import is_inference as is_inference
from .ops.shape import is_nonzero as is_nonzero
from .ops.shape import is_same_size as is_same_size
from .ops.shape import is_storage as is_storage
from .ops.shape import movedim as moveaxis
from .ops.shape import movedim as movedim
from .ops.shape import numel as numel
from .ops.shape import permute as permute
from .ops.shape import ravel as ravel
from .ops.shape import reshape as reshape
from .ops.shape import resize_as_ as resize_as_
from .ops.shape import result_type as result_type
from .ops.shape import squeeze as squeeze
from .ops.shape import swapaxes as swapaxes
from .ops.shape import swapdims as swapdims
from .ops.shape import t as t
from .ops.shape import transpose as transpose
from .ops.shape import unflatten as unflatten
from .ops.shape import unsqueeze as unsqueeze
from .ops.solvers import cholesky_inverse as cholesky_inverse
from .ops.solvers import cholesky_solve as _cholesky_solve
from .ops.solvers import exponential as _matrix_exp
from .ops.solvers import triangular_solve as triangular_solve
from .ops.sort import argmax as argmax
from .ops.sort import argmin as argmin
from .ops.sort import argsort as argsort
from .ops.sort import bucketize as bucketize
from .ops.sort import cummax as cummax
from .ops.sort import cummin as cummin
from .ops.sort import isin as isin
from .ops.sort import kthvalue as kthvalue
from .ops.sort import max as max
from .ops.sort import median as median
from .ops.sort import min as min
from .ops.sort import mode as mode
from .ops.sort import msort as msort
from .ops.sort import nanmedian as nanmedian
from .ops.sort import searchsorted as searchsorted
from .ops.sort import sort as sort
from .ops.sort import topk as topk
from .ops.sort import unique as unique
from .ops.sort import unique_consecutive as unique_consecutive
from .ops.special import digamma as _digamma
from .ops.special import erf as _erf
from .ops.special import erfc as _erfc
from .ops.special import erfinv as _erfinv
from .ops.special import i0 as _i0
from .ops.special import igamma as _igamma
from .ops.special import igammac as _igammac
from .ops.special import lgamma as _lgamma
from .ops.special import logit as logit
from .ops.special import mvlgamma as mvlgamma
from .ops.special import polygamma as polygamma
from .ops.special import sinc as sinc
from .ops.special import xlogy as xlogy
from .ops.statistics import bincount as bincount
from .ops.statistics import corrcoef as corrcoef
from .ops.statistics import cov as cov
from .ops.statistics import histc as histc
from .ops.statistics import histogram as histogram
from .ops.statistics import histogramdd as histogramdd
from .ops.statistics import nanquantile as nanquantile
from .ops.statistics import quantile as quantile

celu_ = _FUNCTIONS["nn.functional.celu_"]
cholesky_solve = _cholesky_solve.op.entry
digamma = _digamma.op.entry
eig = _FUNCTIONS["eig"]
erf = _erf.op.entry
erfc = _erfc.op.entry
erfinv = _erfinv.op.entry
fill_ = _FUNCTIONS["fill_"]
i0 = _i0.op.entry
igamma = _igamma.op.entry
igammac = _igammac.op.entry
index_put_ = _FUNCTIONS["index_put_"]
lgamma = _lgamma.op.entry
lstsq = _FUNCTIONS["lstsq"]
matrix_exp = _matrix_exp.op.entry
matrix_rank = _FUNCTIONS["matrix_rank"]
relu_ = _FUNCTIONS["nn.functional.relu_"]
rrelu_ = _FUNCTIONS["nn.functional.rrelu_"]
selu_ = _FUNCTIONS["nn.functional.selu_"]
sigmoid = _sigmoid.op.entry
solve = _FUNCTIONS["solve"]
symeig = _FUNCTIONS["symeig"]
threshold_ = _FUNCTIONS["nn.functional.threshold_"]
# exports: end
from .ops.attach import attach as _attach
from .rng import Generator as Generator
from .rng import default_generator as default_generator
from .tensor import Size as Size
from .tensor import Tensor as Tensor

_attach()
del _pause

float, double, half = float32, float64, float16
int, long, short = int32, int64, int16
cfloat, cdouble = complex64, complex128
_MODULES = (
    "amp",
    "backends",
    "cuda",
    "fft",
    "func",
    "linalg",
    "nn",
    "optim",
    "return_types",
    "serialization",
    "special",
    "testing",
    "utils",
)
_ELSEWHERE = {
    "save": "serialization",
    "load": "serialization",
    "vmap": "func",
    "check_rules": "autograd.consistency",
    "why_no_grad": "autograd.explain",
    "is_anomaly_check_nan_enabled": "autograd.anomaly",
    "is_anomaly_enabled": "autograd.anomaly",
    "install_as_torch": "as_torch",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _importlib.import_module(f".{name}", __name__)
    if name in _ELSEWHERE:
        found = getattr(_importlib.import_module(f".{_ELSEWHERE[name]}", __name__), name)
        globals()[name] = found
        return found
    raise AttributeError(_missing(name))


def _missing(name: str) -> str:
    """What to say of a name that is not there."""
    from difflib import get_close_matches

    near = get_close_matches(name, __dir__(), 3, 0.7)
    advice = (
        f"the nearest names are {', '.join(near)}"
        if near
        else "see docs/reference.md for what there is"
    )
    return (
        f"module 'torch' has no attribute '{name}' (chainrule {__version__} does not define it;"
        f" {advice})"
    )


def __dir__() -> list[str]:
    return sorted({n for n in globals() if not n.startswith("_")} | {*_MODULES, *_ELSEWHERE})
