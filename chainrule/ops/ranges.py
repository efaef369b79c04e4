"""Evenly spaced numbers, the same to the last bit as torch's on a CPU with AVX2.

torch computes a range in vectors of 32 bytes: a vector starts at start + step * k, rounded to the
dtype, and its other elements are start of the vector + step * j; what does not fill two vectors is
computed one by one. Products and sums are fused, which a wider type stands in for here.
"""

from __future__ import annotations

import builtins
import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import COMPLEX, F32, F64, HALVES, I64, INTEGER
from ..tape import state
from .convert import check_dtype, check_fits, converted
from .create import bad_allocation, check_options, finished, is_size, written
from .define import Tensor, function, scalar_name
from .examples import by_example, vmapped

WIDER = {F32: F64, F64: np.dtype(np.longdouble), dtypes.complex64.numpy: dtypes.complex128.numpy}


def plain_number(function: str, name: str, position: int, x: Any) -> Any:
    """An argument that is a number, or a tensor of no dimensions, as a Python number."""
    if isinstance(x, Tensor) and not x._data.ndim:
        x = x.item()
    if not dtypes.is_number(x):
        raise TypeError(
            f"{function}(): argument '{name}' (position {position}) must be Number, not "
            f"{type(x).__name__}"
        )
    return dtypes.number(x)


def _arguments(args: tuple, named: dict) -> list:
    """start, end, step of `arange(end)`, `arange(start, end)`, `arange(start, end, step)`, any of
    them by name.
    """
    named = {k: v for k, v in named.items() if v is not None}
    alone = len(args) == 1 and "end" not in named
    names = ("end",) if alone else ("start", "end", "step")
    if len(args) > 3 or named.keys() & set(names[: len(args)]) or (alone and named):
        given = [type(a).__name__ for a in args] + [
            f"{k}={type(v).__name__}" for k, v in named.items()
        ]
        raise TypeError(
            f"arange() received an invalid combination of arguments - got ({', '.join(given)})"
        )
    values = {**dict(zip(names, args, strict=False)), **named}
    if "end" not in values:
        raise TypeError('arange() missing 1 required positional arguments: "end"')
    order = ("end",) if alone else ("start", "end", "step")
    numbers = {
        k: plain_number("arange", k, i, values[k]) for i, k in enumerate(order, 1) if k in values
    }
    return [numbers.get("start", 0), numbers["end"], numbers.get("step", 1)]


@function(method=False)
def arange(
    *args: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """start, start + step, ... below end: ceil((end - start) / step) numbers.

    The dtype is int64 if all three are integers, else the default dtype. Raises RuntimeError for a
    step of zero or one that leads away from the end.
    """
    if layout is not None or device is not None or pin_memory:
        check_options(layout, device, pin_memory)
    if (
        len(args) == 1
        and type(args[0]) is int
        and start is end is step is dtype is out
        and args[0] >= 0
    ):
        return finished(counted(args[0]), requires_grad)
    numbers = _arguments(args, {"start": start, "end": end, "step": step})
    d = None if dtype is None else check_dtype("arange", dtype)
    target = d or (out.dtype if out is not None else dtype_of(numbers))
    a = steps(*numbers, target)  # type: ignore[call-arg]
    return finished(a, requires_grad) if out is None else written(out, a, d)


def counted(n: int) -> np.ndarray:
    """0, 1, ... n - 1."""
    try:
        return np.arange(n, dtype=I64)
    except (MemoryError, ValueError) as e:
        raise bad_allocation("arange", (n,), I64, e) from None


def dtype_of(numbers: Sequence) -> dtypes.dtype:
    """int64 for integers, else the default dtype."""
    return dtypes.int64 if all(isinstance(x, int) for x in numbers) else dtypes.default.real


def check_direction(start: Any, end: Any, step: Any) -> None:
    """Raise unless steps of this size lead from start to end."""
    if any(isinstance(x, complex) for x in (start, end, step)):
        raise RuntimeError("value cannot be converted to type double without overflow")
    if not step > 0 and not step < 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (step > 0 and start > end) or (step < 0 and start < end):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def steps(start: Any, end: Any, step: Any, d: dtypes.dtype) -> np.ndarray:
    """The array of `arange`."""
    check_direction(start, end, step)
    if d.category in (dtypes.BOOL, COMPLEX):
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{scalar_name(d)}'")
    count = math.ceil((end - start) / step)
    if d.category != INTEGER:
        return in_vectors(counted(count), start, step, d)
    start, end, step = int(start), int(end), int(step)
    if not step:
        raise ValueError("step must be nonzero")
    if d is dtypes.int64:
        count = -((start - end) // step)
    return (counted(count) * step + start).astype(d.numpy)


def in_vectors(i: np.ndarray, start: Any, step: Any, d: dtypes.dtype) -> np.ndarray:
    """start + step * i, computed as torch's vectors of 32 bytes do."""
    work = WIDER[HALVES.get(d.numpy, d.numpy)]
    if d.numpy in HALVES:
        start, step = np.float32(start), np.float32(step)
    start, step = work.type(start), work.type(step)
    out = rounded(start + step * i, d)
    lanes = 32 // d.itemsize
    whole = len(i) // (2 * lanes) * (2 * lanes)
    if whole:
        first = out[:whole:lanes, None].astype(work)
        out[:whole] = rounded(first + step * i[:lanes], d).reshape(-1)
    return out


def rounded(a: np.ndarray, d: dtypes.dtype) -> np.ndarray:
    """Numbers of a wider type in a floating dtype, by way of float32 to the halves."""
    return converted(a.astype(F32) if d.numpy in HALVES else a, d.numpy)


def closed_range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """Deprecated: start, start + step, ... up to and including end; use `arange`, whose end is
    excluded as Python's is.
    """
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is "
        "inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    check_options(layout, device, pin_memory)
    start, end, step = _arguments((start, end, step), {})
    d = None if dtype is None else check_dtype("range", dtype)
    target = d or (dtypes.default.real if out is None else out.dtype)
    check_direction(start, end, step)
    a = converted(np.arange(math.floor((end - start) / step) + 1) * step + start, target.numpy)
    return finished(a, requires_grad) if out is None else written(out, a, d)


closed_range.__name__ = "range"
function(closed_range, method=False)


def _ends(function: str, start: Any, end: Any, count: Any, out: Any, dtype: Any) -> tuple:
    """The checked arguments of `linspace` and `logspace`: ends, number of steps, dtype."""
    ends = []
    for name, x in (("start", start), ("end", end)):
        if isinstance(x, Tensor) and x._data.ndim:
            raise RuntimeError(
                f"{function} only supports 0-dimensional start and end tensors, but got {name} "
                "with "
                f"{x._data.ndim} dimension(s)."
            )
        ends.append(plain_number(function, name, len(ends) + 1, x))
    if not is_size(count):
        raise TypeError(
            f"{function}(): argument 'steps' (position 3) must be int, not {type(count).__name__}"
        )
    if count < 0:
        raise RuntimeError("number of steps must be non-negative")
    if dtype is not None:
        d = check_dtype(function, dtype)
    else:
        kind = (
            dtypes.default.complex
            if any(isinstance(x, complex) for x in ends)
            else dtypes.default.real
        )
        d = kind if out is None else out.dtype
    if d is dtypes.bool_:
        raise NotImplementedError(f"\"{function}_cpu\" not implemented for 'Bool'")
    for x in ends:
        check_fits(x, d)
    return *ends, operator.index(count), d


def line(start: Any, end: Any, count: int, d: dtypes.dtype) -> np.ndarray:
    """`count` numbers from start to end, the second half counted back from the end, in a type wider
    than `d`.
    """
    if d.category == INTEGER:
        start, end, unit, work = int(start), int(end), np.float64, F64
    else:
        unit, work = (
            HALVES.get(d.numpy, d.numpy).type,
            WIDER.get(HALVES.get(d.numpy, d.numpy), d.numpy),
        )
    i = counted(count)
    if d.numpy in HALVES:
        return _line_of_halves(rounded(np.array(start), d), rounded(np.array(end), d), i, d)
    low, high = unit(start), unit(end)
    step = unit((high - low) / unit(max(count - 1, 1)))
    low, high, step = work.type(low), work.type(high), work.type(step)
    a, turn = low + step * i, count // 2 or count
    a[turn:] = high - step * (count - 1 - i[turn:])
    return a


def _line_of_halves(low: Any, high: Any, i: np.ndarray, d: dtypes.dtype) -> np.ndarray:
    """The same, each operation rounded to the half type."""

    def each(x: Any) -> Any:
        return rounded(x, d).astype(F32)

    low, high, count = low.astype(F32), high.astype(F32), len(i)
    step = each(each(high - low) / each(np.array(max(count - 1, 1))))
    forward, back = each(step * each(i)), each(step * each(count - 1 - i))
    return np.where((i < count // 2) | (count == 1), low + forward, high - back)


@function(method=False)
def linspace(
    start: Any,
    end: Any,
    steps: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """`steps` evenly spaced numbers from start to end, both included."""
    check_options(layout, device, pin_memory)
    if out is None and (level := vmapped(start, end)):
        return by_example(linspace, level, start, end, steps, dtype=dtype)
    low, high, count, d = _ends("linspace", start, end, steps, out, dtype)
    a = state.run(lambda: rounded(line(low, high, count, d), d))
    return finished(a, requires_grad) if out is None else written(out, a, dtype and d)


@function(method=False)
def logspace(
    start: Any,
    end: Any,
    steps: Any,
    base: float = 10.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """base to the power of `steps` evenly spaced exponents from start to end."""
    check_options(layout, device, pin_memory)
    if out is None and (level := vmapped(start, end)):
        return by_example(logspace, level, start, end, steps, base, dtype=dtype)
    low, high, count, d = _ends("logspace", start, end, steps, out, dtype)

    def powers() -> np.ndarray:
        return rounded(np.power(float(base), line(low, high, count, d)), d)

    a = state.run(powers)
    return finished(a, requires_grad) if out is None else written(out, a, dtype and d)
