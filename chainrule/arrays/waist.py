"""The waist by name: which function of arrays a name that an array type is asked for stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.linalg import _umath_linalg

from ..ops import define
from .duck import Duck, pick
from .sums import add_up


def _setitem(x: Any, index: Any, value: Any) -> None:
    x[index] = value


def restride(x: Any, shape: Sequence, strides: Sequence) -> Any:
    """The array's memory from its first element on, with other sizes and strides (in bytes)."""
    if isinstance(x, Duck):
        return x.call("restride", (x, shape, strides), {})
    if x.flags.c_contiguous and x.flags.writeable and x.dtype.kind != "V":
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=x.flags.writeable)


def has_strides(x: Any) -> bool:
    """Whether an array lies in memory, so that `restride` can look at it in another way."""
    if isinstance(x, Duck):
        return x.in_memory and not (x.ground and not x.memory().flags.c_contiguous)
    return type(x) is np.ndarray


def diagonal_of(x: np.ndarray, offset: int, axis1: int, axis2: int) -> np.ndarray:
    """The diagonal over two axes, as a last axis; a view that can be written if the array can."""
    out = x.diagonal(offset, axis1, axis2)
    out.flags.writeable = x.flags.writeable
    return out


def _sum(
    x: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None
) -> Any:
    if initial is not None:
        return np.add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial)
    return add_up(x, axis, keepdims, dtype)


METHODS: dict[str, Callable] = {
    "add.reduce": _sum,
    "getitem": pick,
    "setitem": _setitem,
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes),
    "astype": lambda x, dtype: x.astype(dtype),
    "copy": lambda x: x.copy(),
    "real": lambda x: x.real,
    "imag": lambda x: x.imag,
    "view": lambda x, dtype: x.view(dtype),
    "diagonal": diagonal_of,
    "restride": lambda x, shape, strides: restride(x, shape, strides),
}


GUFUNCS = "gufuncs"  # before the name of one of NumPy's functions of linear algebra


def waist(name: str) -> Callable:
    """The function called `name` (`exp`, `add.reduce`, a method, or one of our primitives)."""
    f = METHODS.get(name) or define.PRIMITIVES.get(name)
    if f is None:
        head, _, method = name.partition(".")
        if head == GUFUNCS:
            f = _umath_linalg
        else:
            f = getattr(np, head, None) or getattr(np.linalg, head)
        f = getattr(f, method) if method else f
    return f  # type: ignore[return-value]
