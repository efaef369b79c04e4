"""chainrule: tensors with automatic differentiation, PyTorch's API outside, NumPy inside.

The namespace is torch's: `import chainrule as torch`. Modules that not every program needs (`nn`, `optim`, `utils` ...) are
imported when they are first asked for.
"""

import importlib as _importlib

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
from .ops import legacy as _legacy

# exports: begin (tools/exports.py)
# exports: end
from .ops.attach import attach as _attach
from .rng import Generator as Generator
from .rng import default_generator as default_generator
from .tensor import Size as Size
from .tensor import Tensor as Tensor
from .version import __version__ as __version__

_attach()

float, double, half = float32, float64, float16
int, long, short = int32, int64, int16
cfloat, cdouble = complex64, complex128
BoolTensor, ByteTensor, CharTensor = (_legacy.TYPES[n] for n in ("bool", "uint8", "int8"))
ShortTensor, IntTensor, LongTensor = (_legacy.TYPES[n] for n in ("int16", "int32", "int64"))
HalfTensor, BFloat16Tensor = (_legacy.TYPES[n] for n in ("float16", "bfloat16"))
FloatTensor, DoubleTensor = (_legacy.TYPES[n] for n in ("float32", "float64"))

_MODULES = (
    "amp", "backends", "cuda", "fft", "func", "linalg", "nn", "optim", "return_types", "serialization", "special", "testing",
    "utils",
)  # fmt: skip
_ELSEWHERE = {"save": "serialization", "load": "serialization", "vmap": "func", "install_as_torch": "as_torch"}


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
    advice = f"the nearest names are {', '.join(near)}" if near else "see docs/reference.md for what there is"
    return f"module 'torch' has no attribute '{name}' (chainrule {__version__} does not define it; {advice})"


def __dir__() -> list[str]:
    return sorted({n for n in globals() if not n.startswith("_")} | {*_MODULES, *_ELSEWHERE})
