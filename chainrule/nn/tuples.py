"""Settings given as one number or as one for each dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def repeated(value: Any, n: int) -> tuple:
    """A tuple of n: the value itself if it is iterable, else n times the value."""
    return tuple(value) if hasattr(value, "__iter__") else (value,) * n


def _ntuple(n: int) -> Callable:
    return lambda value: repeated(value, n)


_single, _pair, _triple, _quadruple = map(_ntuple, (1, 2, 3, 4))
