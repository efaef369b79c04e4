"""The waist by name: which function of arrays a name that an array type is asked for stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import define


def _setitem(x: Any, index: Any, value: Any) -> None:
    x[index] = value


METHODS: dict[str, Callable] = {
    "getitem": lambda x, index: x[index],
    "setitem": _setitem,
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes),
    "astype": lambda x, dtype: x.astype(dtype),
    "copy": lambda x: x.copy(),
    "real": lambda x: x.real,
    "imag": lambda x: x.imag,
}


def waist(name: str) -> Callable:
    """The function called `name` (`exp`, `add.reduce`, a method, or one of our primitives)."""
    f = METHODS.get(name) or define.PRIMITIVES.get(name)
    if f is None:
        head, _, method = name.partition(".")
        f = getattr(np, head)
        f = getattr(f, method) if method else f
    return f  # type: ignore[return-value]
