"""`torch.testing`: comparing tensors within tolerances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import dtypes
from .ops import define

TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable | None = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected| for every
    element.

    Works through sequences and mappings. Default tolerances are torch's, by dtype (the looser of
    the two).
    """
    if (rtol is None) != (atol is None):
        raise ValueError(
            "rtol and atol must both be specified or both be unspecified, but got "
            f"rtol={rtol} and atol={atol}"
        )
    options = (rtol, atol, equal_nan, check_dtype, check_stride)
    complaint = _compare(actual, expected, options, "")
    if complaint is not None:
        raise AssertionError(complaint if msg is None else msg(complaint) if callable(msg) else msg)


def _compare(a: Any, b: Any, options: tuple, where: str) -> str | None:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            return f"The keys of the mappings do not match:\n{sorted(a)} vs. {sorted(b)}"
        return _first(_compare(a[k], b[k], options, f"{where}[{k!r}]") for k in a)
    if _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            return f"The length of the sequences mismatch: {len(a)} != {len(b)}"
        return _first(
            _compare(x, y, options, f"{where}[{i}]")
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        )
    if a is None or b is None:
        return None if a is b else f"None mismatch: {a} is not {b}"
    return _compare_arrays(*_arrays(a, b), options, where)  # type: ignore[call-arg]


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _first(complaints: Any) -> str | None:
    return next((c for c in complaints if c is not None), None)


def _arrays(a: Any, b: Any) -> tuple:
    def array(x: Any) -> Any:
        return x._data if isinstance(x, define.Tensor) else np.asarray(x)

    x, y = array(a), array(b)
    numbers = not isinstance(a, (define.Tensor, np.ndarray)) and not isinstance(
        b, (define.Tensor, np.ndarray)
    )
    return x, y, numbers


def _compare_arrays(x: Any, y: Any, numbers: bool, options: tuple, where: str) -> str | None:
    rtol, atol, equal_nan, check_dtype, check_stride = options
    tail = f"\n\nThe failure occurred for item {where}" if where else ""
    if x.shape != y.shape:
        return f"The values for attribute 'shape' do not match: {_size(x)} != {_size(y)}.{tail}"
    if check_dtype and not numbers and x.dtype != y.dtype:
        return (
            f"The values for attribute 'dtype' do not match: {dtypes.of(x)} !="
            f" {dtypes.of(y)}.{tail}"
        )
    if check_stride and np.asarray(x).strides != np.asarray(y).strides:
        return f"The values for attribute 'stride()' do not match.{tail}"
    if rtol is None:
        pairs = [TOLERANCES.get(dtypes.of(v).name, (0.0, 0.0)) for v in (x, y)]
        rtol, atol = max(p[0] for p in pairs), max(p[1] for p in pairs)
    return _report(x, y, rtol, atol, equal_nan, tail)


def _size(x: Any) -> str:
    return f"torch.Size({list(x.shape)})"


def _wide(x: Any) -> Any:
    d = dtypes.of(x)
    return np.asarray(x).astype(
        np.complex128 if d.is_complex else np.float64 if d.is_floating_point else x.dtype
    )


def _report(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool, tail: str) -> str | None:
    a, b = _wide(x), _wide(y)
    with np.errstate(all="ignore"):
        exact = a.dtype.kind in "biu" and b.dtype.kind in "biu"
        close = (
            a == b
            if exact and rtol == atol == 0
            else np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)
        )
        if np.all(close):
            return None
        off = np.abs(a.astype(np.complex128) - b.astype(np.complex128))
        relative = off / np.abs(b)
    bad = ~np.atleast_1d(close)
    if a.ndim == 0:
        return (
            f"Scalars are not close!\n\nExpected {b.item()} but got {a.item()}.\nAbsolute"
            f" difference: {off.item()} (up to {atol} allowed)\nRelative difference:"
            f" {relative.item()} (up to {rtol} allowed){tail}"
        )
    masked = np.where(bad, np.nan_to_num(off, nan=np.inf), -1)
    worst, worst_rel = (
        np.unravel_index(np.argmax(m), a.shape)
        for m in (masked, np.where(bad, np.nan_to_num(relative, nan=np.inf), -1))
    )
    count, total = int(bad.sum()), bad.size
    return (
        f"Tensor-likes are not close!\n\nMismatched elements: {count} / {total}"
        f" ({100 * count / total:.1f}%)\nGreatest absolute difference: {off[worst]} at index"
        f" {tuple(map(int, worst))} (up to {atol} allowed)\nGreatest relative difference:"
        f" {relative[worst_rel]} at index {tuple(map(int, worst_rel))} (up to {rtol} allowed){tail}"
    )
