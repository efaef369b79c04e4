"""Compare chainrule with torch over torch's own operator database: values, gradients, second gradients.

python tools/parity.py [name ...]     all operators that chainrule defines, or the named ones
"""

from __future__ import annotations

import argparse
import itertools
import sys
import types
import warnings
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import chainrule

warnings.simplefilter("ignore")
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128")
TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 3e-5, "float64": 1e-8, "complex64": 3e-5, "complex128": 1e-8}


def find(root: Any, path: str) -> Any:
    for part in path.split("."):
        root = getattr(root, part, None)
    return root


def chainrule_function(path: str) -> Any:
    """What stands under torch's name, or the method; for `where` the database puts the condition second."""
    return chainrule.Tensor.where if path == "where" else find(chainrule, path) or find(chainrule.Tensor, path)


def ours(info: Any) -> Any:
    """chainrule's function for an entry: the one of that name, or the entry's own wrapper with chainrule for torch."""
    f = info.op
    if not isinstance(f, types.FunctionType) or "testing" not in f.__module__:
        return chainrule_function(info.name)
    names = {**f.__globals__, "torch": chainrule, "wrapper_set_seed": seeded}
    return types.FunctionType(f.__code__, names, f.__name__, f.__defaults__, f.__closure__)


def seeded(f: Any, *args: Any, **kwargs: Any) -> Any:
    """What the database's wrappers do to functions that draw random numbers."""
    chainrule.manual_seed(42)
    return f(*args, **kwargs)


def to_ours(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        d = x.detach()
        d = d.resolve_conj().resolve_neg()
        array = d.view(torch.int16).numpy().view(chainrule.bfloat16.numpy) if d.dtype is torch.bfloat16 else d.numpy()
        t = chainrule.Tensor.__new__(chainrule.Tensor)
        t._data, t._node, t._index, t._storage, t._base = array if array.ndim else array[()], None, 0, None, None
        return t.requires_grad_() if x.requires_grad else t
    if isinstance(x, torch.dtype):
        return getattr(chainrule, str(x).split(".")[-1])
    if isinstance(x, torch.Size):
        return chainrule.Size(x)
    if isinstance(x, (list, tuple)):
        return type(x)([to_ours(e) for e in x]) if not hasattr(x, "_fields") else tuple(to_ours(e) for e in x)
    if isinstance(x, dict):
        return {k: to_ours(v) for k, v in x.items()}
    if isinstance(x, torch.device):
        return "cpu"
    return None if isinstance(x, torch.layout | torch.memory_format) else x


def array_of(x: Any) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        return x.float().numpy() if x.dtype is torch.bfloat16 else x.numpy(force=True)
    a = np.asarray(x._data)
    return a.astype(np.float32) if x.dtype is chainrule.bfloat16 else a


def flat(x: Any) -> list:
    if isinstance(x, (torch.Tensor, chainrule.Tensor)):
        return [x]
    if isinstance(x, (list, tuple)):
        return [t for e in x for t in flat(e)]
    return []


def compare(mine: Any, theirs: Any, dtype: str, what: str) -> str | None:
    a, b = flat(mine), flat(theirs)
    if len(a) != len(b):
        return f"{what}: {len(a)} results instead of {len(b)}"
    if not b and not isinstance(theirs, (list, tuple, dict)) and mine != theirs and not (mine != mine):
        return f"{what}: {mine!r} instead of {theirs!r}"
    for m, t in zip(a, b, strict=True):
        if str(m.dtype) != str(t.dtype):
            return f"{what}: dtype {m.dtype} instead of {t.dtype}"
        if tuple(m.shape) != tuple(t.shape):
            return f"{what}: shape {tuple(m.shape)} instead of {tuple(t.shape)}"
        x, y = array_of(m), array_of(t)
        tol = TOLERANCE.get(str(t.dtype).split(".")[-1], TOLERANCE.get(dtype, 0))
        scale = np.max(np.abs(y[np.isfinite(y)]), initial=1e-30) if y.size and y.dtype.kind in "fc" else 1
        if not np.allclose(x, y, rtol=tol * 10, atol=tol * max(1, float(scale)), equal_nan=True):
            return f"{what}: values differ: {str(x.ravel()[:6])} instead of {str(y.ravel()[:6])} (shape {y.shape})"
    return None


def differentiable(tensors: list) -> list:
    return [t for t in tensors if t.requires_grad]


def gradients(module: Any, outs: list, inputs: list, weights: list, create: bool) -> list:
    return module.autograd.grad(outs, inputs, weights, create_graph=create, allow_unused=True)


def call(f: Any, sample_args: tuple, kwargs: dict) -> tuple[Any, Exception | None]:
    try:
        return f(*sample_args, **kwargs), None
    except Exception as e:
        return None, e


def check_sample(mine: Any, theirs: Any, sample: Any, dtype: str, grad: bool) -> str | None:
    targs, tkw = (sample.input, *sample.args), sample.kwargs
    oargs, okw = to_ours(tuple(targs)), to_ours(tkw)
    t_inputs, o_inputs = flat([targs, list(tkw.values())]), flat([oargs, list(okw.values())])
    t_out, t_error = call(theirs, targs, tkw)
    o_out, o_error = call(mine, oargs, okw)
    if t_error is not None:
        return None
    if o_error is not None:
        return f"raised {type(o_error).__name__}: {str(o_error)[:160]}"
    if sample.output_process_fn_grad is not None:  # makes results comparable that are unique up to sign or phase only
        o_out, t_out = sample.output_process_fn_grad(o_out), sample.output_process_fn_grad(t_out)
    bad = compare(o_out, t_out, dtype, "value")
    if bad or not grad:
        return bad
    t_outs, o_outs = flat(t_out), flat(o_out)
    rt, ro = [t.requires_grad for t in t_outs], [t.requires_grad for t in o_outs]
    if rt != ro:
        return f"requires_grad {ro} instead of {rt}"
    t_in, o_in = differentiable(t_inputs), differentiable(o_inputs)
    t_outs, o_outs = differentiable(t_outs), differentiable(o_outs)
    if not t_outs or not t_in:
        return None
    g = torch.Generator().manual_seed(0)
    t_w = [torch.randn(t.shape, dtype=t.dtype, generator=g) for t in t_outs]
    o_w = to_ours(t_w)
    second = dtype in ("float64", "complex128")
    try:
        t_g = gradients(torch, t_outs, t_in, t_w, second)
    except Exception:
        return None
    try:
        o_g = gradients(chainrule, o_outs, o_in, o_w, second)
    except Exception as e:
        return f"backward raised {type(e).__name__}: {str(e)[:160]}"
    bad = compare_grads(o_g, t_g, dtype, "gradient")
    if bad or not second:
        return bad
    return check_second(o_g, t_g, o_in, t_in, dtype)


def compare_grads(mine: Any, theirs: Any, dtype: str, what: str) -> str | None:
    for m, t in zip(mine, theirs, strict=True):
        if t is None or m is None:
            if (m is not None and array_of(m).any()) or (t is not None and array_of(t).any()):
                return f"{what}: {'None' if m is None else 'a value'} instead of {'None' if t is None else 'a value'}"
            continue
        bad = compare(m, t, dtype, what)
        if bad:
            return bad
    return None


def check_second(o_g: Any, t_g: Any, o_in: list, t_in: list, dtype: str) -> str | None:
    pairs = [(m, t) for m, t in zip(o_g, t_g, strict=True) if t is not None and t.requires_grad and m is not None]
    if not pairs:
        return None
    lacking = [m for m, _ in pairs if not m.requires_grad]
    g = torch.Generator().manual_seed(1)
    t_w = [torch.randn(t.shape, dtype=t.dtype, generator=g) for _, t in pairs]
    try:
        t_gg = gradients(torch, [t for _, t in pairs], t_in, t_w, False)
    except Exception:
        return None
    if lacking and not any(t is not None and array_of(t).any() for t in t_gg):
        return None
    keep = [i for i, (m, _) in enumerate(pairs) if m.requires_grad]
    try:
        o_gg = gradients(chainrule, [pairs[i][0] for i in keep], o_in, to_ours([t_w[i] for i in keep]), False)
    except Exception as e:
        return f"second backward raised {type(e).__name__}: {str(e)[:160]}"
    return compare_grads(o_gg, t_gg, dtype, "second gradient")


def check_op(info: Any, dtypes: tuple, limit: int) -> tuple[int, list[str]]:
    mine = ours(info)
    problems, count = [], 0
    for dtype in dtypes:
        torch_dtype = getattr(torch, dtype)
        if torch_dtype not in info.dtypes:
            continue
        grad = info.supports_autograd and torch_dtype in info.backward_dtypes and dtype in ("float32", "float64", "complex64", "complex128")
        torch.manual_seed(0)
        samples = itertools.islice(info.sample_inputs("cpu", torch_dtype, requires_grad=grad), limit)
        for i, sample in enumerate(samples):
            count += 1
            bad = check_sample(mine, info.op, sample, dtype, grad)
            if bad:
                problems.append(f"{dtype} sample {i} {sample_text(sample)}: {bad}")
    return count, problems


def sample_text(sample: Any) -> str:
    def show(x: Any) -> str:
        return str(list(x.shape)) if isinstance(x, torch.Tensor) else repr(x)[:60]

    kw = ", ".join(f"{k}={show(v)}" for k, v in sample.kwargs.items())
    return f"({', '.join(show(a) for a in (sample.input, *sample.args))}{', ' + kw if kw else ''})"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--show", type=int, default=4)
    options = parser.parse_args()
    bad_ops = 0
    total = 0
    for info in op_db:
        if (options.names and info.name not in options.names) or chainrule_function(info.name) is None:
            continue
        total += 1
        count, problems = check_op(info, DTYPES, options.limit)
        label = info.name + (f".{info.variant_test_name}" if info.variant_test_name else "")
        if problems:
            bad_ops += 1
            print(f"{label}: {len(problems)} of {count} samples differ")
            for p in problems[: options.show]:
                print("   ", p)
    print(f"{total - bad_ops} of {total} entries agree")
    return 1 if bad_ops else 0


if __name__ == "__main__":
    sys.exit(main())
