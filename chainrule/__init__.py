"""chainrule: tensors with automatic differentiation, PyTorch's API on NumPy."""

import importlib
import types

from . import dtypes, tensor  # noqa: F401
from .tensor import Size, Tensor  # noqa: F401

for _m in ("elementwise", "compare", "complexes", "special", "activation", "reduce", "scan", "sort", "statistics", "distance", "convert", "create", "data", "ranges", "legacy", "shape", "join", "rearrange", "index", "scatter", "diagonal", "linalg", "fft", "padding",
           "conv", "pool", "resample", "loss", "norm", "attention", "embed", "random"):
    try:
        importlib.import_module(f".ops.{_m}", __name__)
    except ModuleNotFoundError as e:
        if f"ops.{_m}" not in str(e):
            raise
from .ops import attach as _a  # noqa: E402
from .ops.define import FUNCTIONS, OPS  # noqa: E402

_a.attach()
from . import nn, optim  # noqa: E402


def _put(namespace, name, f):
    target = globals()
    if namespace in ("primitive", "Tensor"):
        return
    if "." in name:  # an alias elsewhere, by its path below torch
        namespace, _, name = name.rpartition(".")
    if namespace != "torch":
        obj = None
        for part in namespace.split("."):
            scope = target if obj is None else obj.__dict__
            if part not in scope:
                scope[part] = types.ModuleType(part)
            obj = scope[part]
        target = obj.__dict__
    target[name] = f


for _o in OPS.values():
    for _n in (_o.name, *_o.alias):
        _put(_o.namespace, _n, _o.entry)
for _k, _f in FUNCTIONS.items():
    for _n in (_f.__name__, *_f.facets[2]):
        _put(_f.facets[3], _n, _f)
for _d in dtypes.ALL:
    globals()[_d.name] = _d
from .autograd.reverse import backward as _b, grad as _g  # noqa: E402

from . import autograd
from . import cuda, func, namespace, testing  # noqa: E402
from .as_torch import install_as_torch  # noqa: E402
from .autograd import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: E402
from .autograd.modes import is_grad_enabled, is_inference_mode_enabled  # noqa: E402
from .devices import device  # noqa: E402
from .display import set_printoptions  # noqa: E402
from .dtypes import (can_cast, cdouble, cfloat, double, dtype, finfo, float_, get_default_dtype, half, iinfo, int_, long,  # noqa: E402
                     promote_types, set_default_dtype, set_default_tensor_type, short)
from .func import vmap  # noqa: E402
from .rng import Generator, default_generator  # noqa: E402
from . import utils  # noqa: E402
globals().update({k: v for k, v in vars(namespace).items() if not k.startswith("_") and k not in globals()})
float, int, bool = float_, int_, dtypes.bool_
from .version import __version__  # noqa: E402
