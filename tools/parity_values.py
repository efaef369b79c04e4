"""Torch's objects as chainrule's, and results of the two compared."""

from __future__ import annotations

import contextlib
import functools
import types
from typing import Any

import numpy as np
import torch

import chainrule

TOLERANCE = {
    "float16": 2e-3, "bfloat16": 2e-2, "float32": 3e-5, "float64": 1e-8, "complex64": 3e-5,
    "complex128": 1e-8,
}  # fmt: skip
# What wrappers in torch's test code call beside torch, and what stands for it.
INSTEAD = {"freeze_rng_state": contextlib.nullcontext}


def find(root: Any, path: str) -> Any:
    """What stands under a dotted path, or None."""
    for part in path.split("."):
        root = getattr(root, part, None)
    return root


# -- torch's as ours -------------------------------------------------------------------------------


def to_ours(x: Any) -> Any:
    """Tensors (sharing memory), dtypes, functions ... of torch as chainrule's, nested at will."""
    if isinstance(x, torch.Tensor):
        return tensor_of(x)
    if isinstance(x, torch.Size):
        return chainrule.Size(x)
    if isinstance(x, (list, tuple)):
        return (
            type(x)([to_ours(e) for e in x])
            if not hasattr(x, "_fields")
            else tuple(map(to_ours, x))
        )
    if isinstance(x, dict):
        return {k: to_ours(v) for k, v in x.items()}
    if isinstance(x, (torch.dtype, torch.memory_format)):
        return getattr(chainrule, str(x).removeprefix("torch."))
    if isinstance(x, torch.layout):
        return None if x is torch.strided else getattr(chainrule, str(x).removeprefix("torch."))
    if isinstance(x, torch.device):
        return str(x)
    if isinstance(x, torch.nn.Module):
        return module_of(x)
    return function_of(x) if callable(x) else x


def tensor_of(x: torch.Tensor) -> Any:
    """A chainrule tensor that looks at a torch tensor's memory."""
    d = x.detach().resolve_conj().resolve_neg()
    half = d.dtype is torch.bfloat16
    if d.numel() and not x.requires_grad and d.untyped_storage().nbytes() != d.nbytes and not half:
        return part_of_storage(d)
    array = d.view(torch.int16).numpy().view(chainrule.bfloat16.numpy) if half else d.numpy()
    t = chainrule.ops.define.wrap(array if array.ndim else array[()])
    return t.requires_grad_() if x.requires_grad else t


def part_of_storage(d: torch.Tensor) -> Any:
    """A chainrule tensor that is a view of all the memory a torch tensor is a view of."""
    whole = torch.empty(0, dtype=d.dtype).set_(d.untyped_storage())
    base = chainrule.ops.define.wrap(whole.numpy())
    return chainrule.as_strided(base, tuple(d.shape), d.stride(), d.storage_offset())


def module_of(x: torch.nn.Module) -> Any:
    """A module without parameters, with the same settings."""
    out = getattr(chainrule.nn, type(x).__name__)()
    for name, value in vars(x).items():
        if isinstance(value, (bool, int, float, str)):
            setattr(out, name, value)
    return out


def function_of(f: Any) -> Any:
    """chainrule's function or class for one of torch's, by name or bound anew."""
    if isinstance(f, types.FunctionType) and f.__module__.startswith("torch.testing"):
        return rebound(f)
    if isinstance(f, functools.partial):
        return functools.partial(function_of(f.func), *to_ours(f.args), **to_ours(f.keywords))
    if isinstance(f, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        return getattr(chainrule.Tensor, f.__name__)
    name, module = getattr(f, "__name__", None), getattr(f, "__module__", None) or ""
    if name is None or not module.startswith("torch"):
        return f
    places = (
        chainrule,
        chainrule.nn.functional,
        chainrule.linalg,
        chainrule.special,
        chainrule.fft,
        chainrule.nn,
    )
    return next((getattr(p, name) for p in places if hasattr(p, name)), f)


@functools.cache
def rebound(f: types.FunctionType) -> types.FunctionType:
    """A wrapper from torch's test code with chainrule where it says torch."""
    names = {n for code in codes(f.__code__) for n in code.co_names}
    scope = dict(f.__globals__)
    scope |= {n: INSTEAD.get(n, in_place_of(scope[n])) for n in names & scope.keys()}
    cells = tuple(types.CellType(in_place_of(c.cell_contents)) for c in f.__closure__ or ())
    out = types.FunctionType(f.__code__, scope, f.__name__, f.__defaults__, cells)
    out.__kwdefaults__ = f.__kwdefaults__
    return out


def in_place_of(x: Any) -> Any:
    """chainrule for torch, its modules for torch's, functions by name; anything else stays."""
    if isinstance(x, types.ModuleType) and x.__name__.split(".")[0] == "torch":
        return find(chainrule, x.__name__.partition(".")[2]) if "." in x.__name__ else chainrule
    return function_of(x) if callable(x) and not isinstance(x, type) else x


def codes(code: types.CodeType) -> list[types.CodeType]:
    """A code object and those inside it."""
    return [code, *(c for k in code.co_consts if isinstance(k, types.CodeType) for c in codes(k))]


# -- comparing -------------------------------------------------------------------------------------


def array_of(x: Any) -> np.ndarray:
    """The values of a tensor of either library, bfloat16 as float32."""
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        return x.float().numpy() if x.dtype is torch.bfloat16 else x.numpy(force=True)
    a = np.asarray(x._data)
    return a.astype(np.float32) if x.dtype is chainrule.bfloat16 else a


def flat(x: Any) -> list:
    """The tensors of either library among nested sequences and dicts."""
    if isinstance(x, (torch.Tensor, chainrule.Tensor)):
        return [x]
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else ()
    return [t for e in parts for t in flat(e)]


def compare(mine: Any, theirs: Any, dtype: str, values: bool = True) -> str | None:
    """How a result differs from torch's, or None."""
    a, b = flat(mine), flat(theirs)
    if len(a) != len(b):
        return f"{len(a)} results instead of {len(b)}"
    plain = not b and not isinstance(theirs, (list, tuple, dict))
    if plain and not isinstance(theirs, torch.device) and str(mine) != str(theirs):
        return f"{mine!r} instead of {theirs!r}"
    return next(
        filter(None, (compare_tensors(m, t, dtype, values) for m, t in zip(a, b, strict=True))),
        None,
    )


def compare_tensors(
    m: Any, t: Any, dtype: str, values: bool = True, slack: float = 1
) -> str | None:
    """How a tensor differs from torch's in dtype, shape or values."""
    if str(m.dtype) != str(t.dtype):
        return f"dtype {m.dtype} instead of {t.dtype}"
    if tuple(m.shape) != tuple(t.shape):
        return f"shape {tuple(m.shape)} instead of {tuple(t.shape)}"
    if not values:
        return None
    x, y = array_of(m), array_of(t)
    tolerance = slack * TOLERANCE.get(str(t.dtype).split(".")[-1], TOLERANCE.get(dtype, 0))
    finite = y[np.isfinite(y)] if y.dtype.kind in "fc" else y
    scale = np.max(np.abs(finite), initial=1) if y.dtype.kind in "fc" else 1
    bad = np.flatnonzero(
        ~np.isclose(x, y, rtol=tolerance * 10, atol=tolerance * float(scale), equal_nan=True)
    )
    if not len(bad):
        return None
    k = int(bad[0])
    at = f" at {tuple(map(int, np.unravel_index(k, y.shape)))}" if y.ndim else ""
    return f"{x.flat[k]} instead of {y.flat[k]}{at} ({len(bad)} of {y.size} elements)"
