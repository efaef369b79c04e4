"""Advanced indices as places in flat memory, and selections along an axis as those of rows: what is
left to compute is elementwise, a gather, or one of a few kernels (`places`, `rows`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .program import Instruction, Value
from .views import contiguous

if TYPE_CHECKING:
    from .passes import Builder

I64 = np.dtype(np.int64)
BOOL = np.dtype(bool)
NAN_LAST = "efdFDgbBhHiIlLqQ?"  # dtypes that NumPy's own functions sort


# -- places ----------------------------------------------------------------------------------------


def expanded(parts: Sequence, rank: int) -> list | None:
    """An index with a part for each axis; None for one with new axes or masks."""
    if any(p is None or isinstance(p, (bool, np.bool_)) for p in parts):
        return None
    if any(isinstance(p, Value) and p.dtype.kind not in "iu" for p in parts):
        return None
    dots = [n for n, p in enumerate(parts) if p is Ellipsis]
    lack = [slice(None)] * (rank - len(parts) + len(dots))
    at = dots[0] if dots else len(parts)
    full = [*parts[:at], *lack, *parts[at + len(dots) :]]
    known = (Value, slice, int, np.integer)
    return full if len(full) == rank and all(isinstance(p, known) for p in full) else None


def whole_numbers(s: slice) -> bool:
    """Whether a slice's bounds are plain numbers."""
    return all(v is None or isinstance(v, (int, np.integer)) for v in (s.start, s.stop, s.step))


def flat_places(b: Builder, shape: tuple, index: Any) -> tuple[Value, tuple] | None:
    """Where in row-major memory the elements are that an advanced index names, and their shape;
    None for an index that is not understood.
    """
    parts = expanded(index if isinstance(index, tuple) else (index,), len(shape))
    if parts is None or not any(isinstance(p, Value) for p in parts):
        return None
    if not all(whole_numbers(p) for p in parts if isinstance(p, slice)):
        return None
    taken = [n for n, p in enumerate(parts) if not isinstance(p, slice)]
    arrays = [parts[n].shape if isinstance(parts[n], Value) else () for n in taken]
    block = np.broadcast_shapes(*arrays)
    together = taken == list(range(taken[0], taken[-1] + 1))
    first = taken[0] if together else 0
    ranges = {n: range(*p.indices(shape[n])) for n, p in enumerate(parts) if isinstance(p, slice)}
    before = [n for n in ranges if n < first]
    after = [n for n in ranges if n not in before]
    out = (*[len(ranges[n]) for n in before], *block, *[len(ranges[n]) for n in after])
    if not math.prod(out):
        return None
    axis_of = {n: k for k, n in enumerate(before)}
    axis_of |= {n: len(before) + len(block) + k for k, n in enumerate(after)}
    total: Value | None = None
    known = np.zeros((1,) * len(out), np.int64)
    for n, (p, step) in enumerate(zip(parts, contiguous(shape), strict=True)):
        if isinstance(p, slice):
            line = [-1 if k == axis_of[n] else 1 for k in range(len(out))]
            known = known + np.array(ranges[n], np.int64).reshape(line) * step
        elif isinstance(p, Value):
            behind = (1,) * len(after)
            spread = (*(1,) * (len(out) - len(after) - len(p.shape)), *p.shape, *behind)
            total = summed(b, total, placed(b, b.of(p), shape[n], step, spread))
        else:
            known = known + int(p) % max(shape[n], 1) * step
    assert total is not None
    if known.any():
        total = summed(b, total, b.program.constant(known))
    if total.shape != out:
        total = b.emit("broadcast_to", (total, out), out, I64)
    return total, out


def summed(b: Builder, x: Value | None, y: Value) -> Value:
    """The sum of two, if there are two."""
    if x is None:
        return y
    return b.emit("add", (x, y), np.broadcast_shapes(x.shape, y.shape), I64)


def placed(b: Builder, index: Value, n: int, step: int, spread: tuple) -> Value:
    """Indices along an axis of size n, counted from the end where negative, as distances."""
    if index.data is not None:
        at = np.where(index.data < 0, index.data + n, index.data).astype(np.int64) * step
        return b.program.constant(at.reshape(spread))
    if index.dtype != I64:
        index = b.emit("astype", (index, I64), index.shape, I64)
    if index.shape != spread:
        index = b.emit("reshape", (index, spread), spread, I64)
    negative = b.emit("less", (index, 0), spread, BOOL)
    index = b.emit("where", (negative, b.emit("add", (index, n), spread, I64), index), spread, I64)
    return index if step == 1 else b.emit("multiply", (index, step), spread, I64)


def flat(b: Builder, x: Value) -> Value:
    """All elements in a row."""
    shape = (x.size,)
    return x if x.shape == shape else b.emit("reshape", (x, shape), shape, x.dtype)


def shaped(b: Builder, x: Value, shape: tuple) -> Value:
    """The elements of x in another shape."""
    return x if x.shape == tuple(shape) else b.emit("reshape", (x, shape), shape, x.dtype)


def read(b: Builder, x: Value, parts: tuple, out: Value) -> Value | None:
    """x[parts] as a gather from flat memory."""
    found = flat_places(b, x.shape, parts)
    if found is None or found[1] != out.shape or not x.size:
        return None
    return b.emit("gather", (flat(b, x), found[0], 0), out.shape, x.dtype)


def written(
    b: Builder, name: str, x: Value | None, y: Any, places: tuple, like: Value
) -> Value | None:
    """Memory x (zeros if None) with y written (`scatter_set`) or added (`scatter_more`)."""
    at, shape = places
    if not isinstance(y, Value):
        y = b.program.constant(np.asarray(y).astype(like.dtype))
    if y.dtype != like.dtype:
        y = b.emit("astype", (y, like.dtype), y.shape, like.dtype)
    if y.shape != shape:
        y = b.emit("broadcast_to", (y, shape), shape, y.dtype)
    if x is None and name == "scatter_more" and like.dtype.str in ("<f4", "<f8"):
        size = (like.size,)
        made = b.emit("scatter_add", (flat(b, y), flat(b, at), size), size, like.dtype)
    else:
        if x is None:
            zero = b.program.constant(np.zeros((), like.dtype))
            x = b.emit("broadcast_to", (zero, (like.size,)), (like.size,), like.dtype)
        given = (flat(b, x), flat(b, y), flat(b, at))
        made = b.emit(name, given, (like.size,), like.dtype)
    return shaped(b, made, like.shape)


def without_places(index: Any) -> bool:
    """Whether an index with arrays names nothing."""
    parts = index if type(index) is tuple else (index,)
    return any(isinstance(p, Value) and p.dtype != BOOL and not p.size for p in parts)


def written_whole(b: Builder, y: Any, like: Value) -> Value:
    """y as an array like another one."""
    if not isinstance(y, Value):
        y = b.program.constant(np.asarray(y).astype(like.dtype))
    if y.dtype != like.dtype:
        y = b.emit("astype", (y, like.dtype), y.shape, like.dtype)
    if y.shape != like.shape:
        y = b.emit("broadcast_to", (y, like.shape), like.shape, like.dtype)
    return y


def masked(b: Builder, x: Value, y: Any, index: Any) -> Value | None:
    """x with one number where a mask is set."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) != 1 or not isinstance(parts[0], Value) or parts[0].dtype != BOOL:
        return None
    mask = b.of(parts[0])
    if (isinstance(y, Value) and y.size != 1) or mask.shape != x.shape[: len(mask.shape)]:
        return None
    if isinstance(y, Value):
        y = shaped(b, b.of(y), ())
        y = y if y.dtype == x.dtype else b.emit("astype", (y, x.dtype), (), x.dtype)
    else:
        y = np.asarray(y).astype(x.dtype)[()]
    shape = (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape)))
    return b.emit("where", (shaped(b, mask, shape), y, x), x.shape, x.dtype)


def mapped(b: Builder, a: Any) -> Any:
    """An argument of the source, mapped."""
    return b.of(a) if isinstance(a, Value) else a


def put(b: Builder, i: Instruction) -> Value | None:
    """put(x, y, index)."""
    x, y, index = i.args
    if not isinstance(x, Value) or not i.output.size:
        return None
    if without_places(index):
        return b.of(x)
    if index is Ellipsis or (type(index) is tuple and index in ((), (Ellipsis,))):
        return written_whole(b, mapped(b, y), i.output)
    found = masked(b, b.of(x), y, index)
    if found is not None:
        return found
    places = flat_places(b, x.shape, index)
    if places is None:
        return None
    return written(b, "scatter_set", b.of(x), mapped(b, y), places, i.output)


def add_at(b: Builder, i: Instruction) -> Value | None:
    """add_at(x, y, index)."""
    x, y, index = i.args
    if isinstance(x, Value) and without_places(index):
        return b.of(x)
    if isinstance(x, Value) and index == ():
        y = written_whole(b, mapped(b, y), i.output)
        return b.emit("add", (b.of(x), y), x.shape, x.dtype)
    places = flat_places(b, x.shape, index) if isinstance(x, Value) and x.size else None
    if places is None:
        return None
    return written(b, "scatter_more", b.of(x), mapped(b, y), places, i.output)


BY = {"multiply_at": "scatter_multiply", "amax": "scatter_maximum", "amin": "scatter_minimum"}


def meet_at(b: Builder, i: Instruction) -> Value | None:
    """multiply_at(x, y, index), extreme_at(x, y, index, how)."""
    x, y, index, *how = i.args
    if not isinstance(x, Value) or not x.size or i.kwargs:
        return None
    if without_places(index):
        return b.of(x)
    places = flat_places(b, x.shape, index)
    if places is None or x.dtype.str not in ("<f4", "<f8", "<i8", "<i4"):
        return None
    return written(b, BY[(how or [i.name])[0]], b.of(x), mapped(b, y), places, i.output)


def put_add(b: Builder, x: Value, index: Any, out: Value) -> Value | None:
    """put_add(x, index, shape)."""
    places = flat_places(b, out.shape, index) if out.size else None
    return None if places is None else written(b, "scatter_more", None, x, places, out)


def grid(b: Builder, index: Value, axis: int, shape: tuple, out: tuple) -> tuple | None:
    """The places of an index along one axis, its other axes being those of the array."""
    if index.dtype.kind not in "iu" or len(index.shape) != len(shape) or not math.prod(out):
        return None
    known = np.zeros((1,) * len(shape), np.int64)
    for k, step in enumerate(contiguous(shape)):
        if k != axis and shape[k] != 1 and out[k] != 1:
            line = [-1 if a == k else 1 for a in range(len(shape))]
            known = known + np.arange(out[k]).reshape(line) * step
    at = placed(b, b.of(index), shape[axis], contiguous(shape)[axis], index.shape)
    at = summed(b, at, b.program.constant(known)) if known.any() else at
    if at.shape != tuple(out):
        at = b.emit("broadcast_to", (at, tuple(out)), tuple(out), I64)
    return at, tuple(out)


def take_along(b: Builder, i: Instruction) -> Value | None:
    """take_along_axis(x, index, axis)."""
    x, index = i.args[:2]
    axis = i.args[2] if len(i.args) > 2 else i.kwargs.get("axis", -1)
    if axis is None or not isinstance(x, Value) or not isinstance(index, Value) or not x.size:
        return None
    places = grid(b, index, axis % len(x.shape), x.shape, i.output.shape)
    if places is None:
        return None
    return b.emit("gather", (flat(b, b.of(x)), places[0], 0), i.output.shape, x.dtype)


def put_along(b: Builder, i: Instruction) -> Value | None:
    """put_along(x, index, axis, shape, repeated)."""
    x, index, axis, shape, *repeated = i.args
    repeated = repeated or [i.kwargs.get("repeated", False)]
    if not isinstance(x, Value) or not isinstance(index, Value):
        return None
    out = np.broadcast_shapes(x.shape, index.shape)
    places = grid(b, index, axis % len(shape), tuple(shape), out)
    if places is None:
        return None
    name = "scatter_more" if repeated[0] else "scatter_set"
    return written(b, name, None, b.of(x), places, i.output)


# -- rows ------------------------------------------------------------------------------------------


def along_rows(b: Builder, i: Instruction) -> Value | None:
    """argsort, sort, partition, argmax and argmin along any axis, as those of the last one."""
    x, *rest = i.args
    names = ("kth", "axis") if i.name == "partition" else ("axis",)
    more = {**dict(zip(names, rest, strict=False)), **i.kwargs}
    selects = i.name in ("argmax", "argmin")
    axis = more.pop("axis", None if selects else -1)
    kind = more.pop("kind", None)
    for name in ("keepdims", "kth"):
        more.pop(name, None)
    known = isinstance(x, Value) and x.dtype.char in NAN_LAST and x.size
    if more or not known or kind not in (None, "stable", "quicksort"):
        return None
    out, x = i.output, b.of(x)
    if axis is None or not x.shape:
        rows = flat(b, x)
        order: tuple = ()
    else:
        rank = len(x.shape)
        order = (*[a for a in range(rank) if a != axis % rank], axis % rank)
        shape = tuple(x.shape[a] for a in order)
        straight = order == tuple(range(rank))
        rows = x if straight else b.emit("transpose", (x, order), shape, x.dtype)
    if selects:
        made = b.emit(f"rows_{i.name}", (rows,), rows.shape[:-1], I64)
        return shaped(b, made, out.shape)
    name = "rows_argsort" if i.name == "argsort" else "rows_sort"
    made = b.emit(name, (rows, kind == "stable"), rows.shape, out.dtype)
    if not order or order == tuple(range(len(order))):
        return shaped(b, made, out.shape)
    back = tuple(int(a) for a in np.argsort(order))
    return b.emit("transpose", (made, back), out.shape, out.dtype)


RULES: dict[str, Callable] = {
    "put": put,
    "add_at": add_at,
    "multiply_at": meet_at,
    "extreme_at": meet_at,
    "take_along_axis": take_along,
    "put_along": put_along,
    **dict.fromkeys(("argsort", "sort", "partition", "argmax", "argmin"), along_rows),
}
