"""Where values lie: views as offsets and strides of a root, and views inside a loop nest as axes.

NumPy itself says what a view is: it is asked to look at an array of the same layout.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays.trace import VIEWS
from ..arrays.waist import waist
from .program import Instruction, Value

Map = (
    tuple  # for each axis of a value the dimension of the loop nest, or None where it does not vary
)


class Place:
    """A root value, and where in its memory (offset and strides, in elements)."""

    __slots__ = ("offset", "root", "shape", "strides")

    def __init__(self, root: Value, offset: int, shape: tuple, strides: tuple) -> None:
        self.root, self.offset, self.shape, self.strides = root, offset, shape, strides

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


def contiguous(shape: tuple) -> tuple:
    """The strides of a row-major array, in elements."""
    out, step = [], 1
    for n in reversed(shape):
        out.append(step)
        step *= max(n, 1)
    return tuple(reversed(out))


def dense(p: Place) -> bool:
    """Whether elements lie one after the other, in row-major order."""
    rows = zip(p.shape, p.strides, contiguous(p.shape), strict=True)
    return all(n == 1 or s == t for n, s, t in rows)


def is_basic(i: Instruction) -> bool:
    """Whether an instruction can be a view: its only value is the array it looks at."""
    return i.name in VIEWS and len(i.operands()) == 1 and not has_arrays(i)


def has_arrays(i: Instruction) -> bool:
    """Whether getitem has index lists (which copy)."""
    index = i.args[1] if i.name == "getitem" else None
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, (list, np.ndarray, bool, np.bool_)) for p in parts)


def place(v: Value, layouts: dict[Value, tuple]) -> Place | None:
    """Where a value lies, as a view of what is computed; None if it must be copied first."""
    i = v.producer
    if i is None or not is_basic(i):
        return Place(v, 0, v.shape, layouts.get(v) or contiguous(v.shape))
    inner = place(i.args[0], layouts)
    if inner is None:
        return None
    if i.name == "restride" and inner.strides != contiguous(inner.shape):
        return None  # its strides are those of row-major memory
    base = laid(inner, i.args[0].dtype)
    if i.name == "view" and v.dtype.itemsize != base.itemsize and not base.flags.c_contiguous:
        return None
    seen = waist(i.name)(base, *i.args[1:], **i.kwargs)
    if isinstance(seen, np.generic):  # an element: NumPy copies it
        index = tuple(
            slice(p, p + 1 or None) if isinstance(p, (int, np.integer)) else p
            for p in (i.args[1] if isinstance(i.args[1], tuple) else (i.args[1],))
        )
        seen = base[index].reshape(())
    if seen.size and not np.may_share_memory(seen, base):
        return None
    if seen.dtype != base.dtype and seen.itemsize != base.itemsize:
        return None
    size = base.itemsize
    moved = seen.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    offset = inner.offset + (moved // size if seen.size else 0)
    return Place(inner.root, offset, v.shape, tuple(s // size for s in seen.strides))


def part_of(memory: Value, steps: tuple) -> Place | None:
    """Where in row-major memory the steps of a store lead; None if to a copy."""
    base = laid(Place(memory, 0, memory.shape, contiguous(memory.shape)), memory.dtype)
    seen: Any = base
    for name, args, kwargs in steps:
        if name == "getitem":
            index = args[0] if isinstance(args[0], tuple) else (args[0],)
            if any(
                not isinstance(p, (int, np.integer, slice, type(None), type(...))) for p in index
            ):
                return None
            if any(isinstance(p, bool) for p in index):
                return None
            args = ((*index, ...) if Ellipsis not in index else index,)
        seen = waist(name)(seen, *args, **kwargs)
        if seen.size and not np.may_share_memory(seen, base):
            return None
        if seen.dtype != base.dtype:
            return None
    size = base.itemsize
    moved = seen.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    strides = tuple(s // size for s in seen.strides)
    return Place(memory, moved // size if seen.size else 0, seen.shape, strides)


def laid(p: Place, dtype: np.dtype) -> np.ndarray:
    """An array with a place's layout (nobody looks at what is in it)."""
    steps = [(n - 1) * s for n, s in zip(p.shape, p.strides, strict=True) if n]
    before = -sum(s for s in steps if s < 0)  # elements that lie before the first
    memory = np.empty(1 + before + sum(s for s in steps if s > 0), dtype)
    strides = tuple(s * dtype.itemsize for s in p.strides)
    return np.ndarray(p.shape, dtype, memory, before * dtype.itemsize, strides)


def soft(i: Instruction, axes: Map) -> Map | None:
    """The map of a view whose array has the map `axes`; None if a loop nest cannot express it."""
    x = i.args[0]
    if i.name == "transpose":
        return tuple(axes[a] for a in i.args[1])
    if i.name == "broadcast_to":
        lead = len(i.output.shape) - len(x.shape)
        return (None,) * lead + tuple(
            d if n == m else None
            for d, n, m in zip(axes, x.shape, i.output.shape[lead:], strict=True)
        )
    if i.name == "reshape":
        long = [(n, d) for n, d in zip(x.shape, axes, strict=True) if n != 1]
        if [n for n, _ in long] != [n for n in i.output.shape if n != 1]:
            return None
        rest = iter(long)
        return tuple(None if n == 1 else next(rest)[1] for n in i.output.shape)
    if i.name == "getitem":
        return softly_indexed(i, axes)
    return None


def softly_indexed(i: Instruction, axes: Map) -> Map | None:
    """The map of x[index] for an index that only adds and removes axes of size 1."""
    index = i.args[1] if isinstance(i.args[1], tuple) else (i.args[1],)
    shape = i.args[0].shape
    taken = sum(p is not None and p is not Ellipsis for p in index)
    out: list[Any] = []
    axis = 0
    for p in index if Ellipsis in index else (*index, Ellipsis):
        if p is None:
            out.append(None)
        elif p is Ellipsis:
            rest = len(shape) - taken
            out += axes[axis : axis + rest]
            axis += rest
        elif isinstance(p, slice) and p.indices(shape[axis]) == (0, shape[axis], 1):
            out.append(axes[axis])
            axis += 1
        elif isinstance(p, int) and shape[axis] == 1:
            axis += 1
        else:
            return None
    return tuple(out)
