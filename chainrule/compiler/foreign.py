"""NumPy's own loops as kernels: a ufunc is a table of functions in C, one for each choice of
dtypes, that compiled code can call like any other, without the interpreter. So what no loop nest
computes (complex numbers, special functions, decompositions) has eager's results to the last bit,
for the price of a pass over memory.

Addresses of functions are of this process, so they stand in the params of `cr.loop`, which are
never kept on disk.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.waist import waist
from ..ops.fft import row_transform
from .loops import DIMS, LARGE, MOST, OFFSETS, SIZES, STEPS, STRIDES
from .passes import called, ufunc_of
from .program import Instruction, Value
from .routines import Routine
from .runtime import Record, kernel
from .views import Place, contiguous, dense

if TYPE_CHECKING:
    from .plan import Planner

GRAIN = 1 << 14  # elements that a thread takes at a time
HEADER = object.__basicsize__


MARK = "numpy|"  # before the name of a function of NumPy's
names: dict[int, str] = {}  # of those that were asked for, by address


def address_of(name: str) -> int:
    """The address that has a name in `names`.

    Raises:
        KeyError: NumPy has no such function, or not any more.
    """
    _, function, place, part = name.split("|")
    if len(function) == 1:
        return array_functions(function)[int(place)]
    if function.startswith("fft."):
        from numpy.fft import _pocketfft_umath

        f = getattr(_pocketfft_umath, function.removeprefix("fft."))
    else:
        f = ufunc_of(function)
    if f is None:
        raise KeyError(name)
    table = (ctypes.c_void_p * f.ntypes).from_address(tables(f)[int(part)])
    return table[int(place)] or 0


class Function:
    """One loop of a ufunc: its address, what it is given besides, its dtypes."""

    def __init__(self, address: int, data: int, dtypes: Sequence[np.dtype]) -> None:
        self.address, self.data, self.dtypes = address, data, dtypes


def tables(f: Any) -> list[int]:
    """Where the functions of a ufunc stand, what each is given besides, and its dtypes: see its
    struct in NumPy's public headers.
    """
    start = id(f) + HEADER
    return [ctypes.c_void_p.from_address(start + at).value or 0 for at in (16, 24, 48)]


@functools.cache
def functions(f: Any) -> tuple[Function, ...]:
    """The loops of a ufunc."""
    loops, data, types = tables(f)
    word = ctypes.c_void_p.from_address
    text = ctypes.string_at(types, f.ntypes * f.nargs)
    out = []
    for n in range(f.ntypes):
        kinds = text[n * f.nargs : (n + 1) * f.nargs]
        address = word(loops + 8 * n).value
        if address and all(k in DTYPES for k in kinds):
            given = (word(data + 8 * n).value or 0) if data else 0
            for part, at in enumerate((address, given)):
                if at:
                    names.setdefault(at, f"{MARK}{called[f]}|{n}|{part}")
            out.append(Function(address, given, [DTYPES[k] for k in kinds]))
    return tuple(out)


DTYPES_BY_CHAR = "?bBhHiIlLqQefdFD"
DTYPES = {np.dtype(c).num: np.dtype(c) for c in DTYPES_BY_CHAR}


def found(f: Any, given: Sequence[np.dtype], made: Sequence[np.dtype]) -> Function | None:
    """The loop of a ufunc for operands and results of these dtypes; None if there is none."""
    wanted = [*given, *made]
    return next((one for one in functions(f) if list(one.dtypes) == wanted), None)


# -- functions of rows -----------------------------------------------------------------------------

GET_FUNCTIONS = 365  # place of _PyDataType_GetArrFuncs in NumPy's table for extensions
ARGMAX, SORT, ARGSORT, ARGMIN = 26, 33, 36, 46  # places in PyArray_ArrFuncs
STABLE = 2


@functools.cache
def array_functions(char: str) -> list[int]:
    """The functions that NumPy has for arrays of a dtype, as its headers lay them out."""
    from numpy._core import _multiarray_umath as umath

    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(umath._ARRAY_API, None)
    address = ctypes.c_void_p.from_address(table + 8 * GET_FUNCTIONS).value
    assert address is not None
    find = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(address)
    found = find(np.dtype(char))
    words = (ctypes.c_void_p * (ARGMIN + 1)).from_address(found)
    for n, w in enumerate(words):
        if w:
            names.setdefault(w, f"{MARK}{char}|{n}|2")
    return [w or 0 for w in words]


# -- records ---------------------------------------------------------------------------------------


def joined(sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list, list[list]]:
    """Sizes and, for each array, strides, without axes of size 1, neighbours joined where every
    array allows it.
    """
    axes: list[tuple[int, list[int]]] = []
    for n, *row in zip(sizes, *strides, strict=True):
        if n == 1:
            continue
        if axes and all(p == s * n for p, s in zip(axes[-1][1], row, strict=True)):
            axes[-1] = axes[-1][0] * n, row
        else:
            axes.append((n, row))
    return [n for n, _ in axes], [[row[j] for _, row in axes] for j in range(len(strides))]


def spread(p: Place, rank: int) -> list[int]:
    """The strides of an operand, in elements, along the axes of a result of that rank."""
    own = [0 if n == 1 else s for n, s in zip(p.shape, p.strides, strict=True)]
    return [0] * (rank - len(own)) + own


def loop_params(
    function: Function,
    counts: Sequence[int],
    offsets: Sequence[int],
    around: Sequence[int],
    strides: Sequence[Sequence[int]],
    steps: Sequence[int],
) -> list[int]:
    """The params of a `cr.loop` record; `strides` has a row for each array."""
    params = [0] * STEPS
    params[:4] = function.address, function.data, len(offsets), len(around)
    params[DIMS : DIMS + len(counts)] = counts
    params[OFFSETS : OFFSETS + len(offsets)] = offsets
    params[SIZES : SIZES + len(around)] = around
    for j, row in enumerate(strides):
        for i, s in enumerate(row):
            params[STRIDES + MOST * i + j] = s
    return [*params, *steps]


class Elements(Routine):
    """A ufunc of elements."""

    def __init__(self, i: Instruction, function: Function, places: list[Place]) -> None:
        self.instruction, self.function = i, function
        made = [Place(v, 0, v.shape, contiguous(v.shape)) for v in i.outputs]
        self.places = [*places, *made]
        rank = len(i.outputs[0].shape)
        sizes = [d.itemsize for d in function.dtypes]
        rows = [
            [s * size for s in spread(p, rank)] for p, size in zip(self.places, sizes, strict=True)
        ]
        self.sizes, self.strides = joined(i.outputs[0].shape, rows)
        self.offsets = [p.offset * size for p, size in zip(self.places, sizes, strict=True)]

    @property
    def fits(self) -> bool:
        """Whether there are few enough dimensions."""
        return len(self.sizes) <= MOST

    def records(self, planner: Planner, memory: int) -> list[Record]:
        slots = [planner.slot(p.root) for p in self.places]
        if len(self.sizes) < 2:
            extent = self.sizes[0] if self.sizes else 1
            steps = [row[0] if row else 0 for row in self.strides]
            params = loop_params(self.function, [extent], self.offsets, [], [], steps)
            return [Record(kernel("cr.loop"), slots, params, extent, min(extent, GRAIN))]
        count, around = self.sizes[-1], self.sizes[:-1]
        steps = [row[-1] for row in self.strides]
        outer = [row[:-1] for row in self.strides]
        params = loop_params(self.function, [count], self.offsets, around, outer, steps)
        extent = math.prod(around)
        return [Record(kernel("cr.loop"), slots, params, extent, max(1, GRAIN // count))]


class Accumulated(Routine):
    """`ufunc.accumulate` along an axis: the loop of two operands, the first of which is the result
    one place back.
    """

    def __init__(self, i: Instruction, function: Function, axis: int, place: Place) -> None:
        self.instruction, self.function, self.axis, self.place = i, function, axis, place

    def records(self, planner: Planner, memory: int) -> list[Record]:
        x, out, axis = self.place, self.instruction.output, self.axis
        size = out.dtype.itemsize
        lies = contiguous(out.shape)
        source, target = planner.slot(x.root), planner.slot(out)
        first = [n for a, n in enumerate(out.shape) if a != axis]
        rows = [[s * size for a, s in enumerate(r) if a != axis] for r in (x.strides, lies)]
        step, stride = x.strides[axis] * size, lies[axis] * size
        found = [copy_record(target, source, size, first, rows[1], rows[0], 0, x.offset * size)]
        n = out.shape[axis]
        if n > 1:
            sizes, outer = joined(first, [rows[1], rows[0], rows[1]])
            sizes, outer = (sizes, outer) if sizes else ([1], [[0], [0], [0]])
            offsets = [0, x.offset * size + step, stride]
            params = loop_params(
                self.function, [n - 1], offsets, sizes, outer, [stride, step, stride]
            )
            slots = [target, source, target]
            extent = math.prod(sizes)
            found.append(Record(kernel("cr.loop"), slots, params, extent, max(1, GRAIN // n)))
        return found


def copy_record(
    target: int,
    source: int,
    size: int,
    shape: Sequence[int],
    to: Sequence[int],
    of: Sequence[int],
    into: int,
    first: int,
) -> Record:
    """The record of a copy of elements of `size` bytes; strides and offsets in bytes."""
    sizes, (to, of) = joined(shape, [to, of])
    count, step, stride = (sizes[-1], of[-1], to[-1]) if sizes else (1, size, size)
    around, of, to = sizes[:-1], of[:-1], to[:-1]
    params = [size, len(around), first, into, count, step, stride, 0]
    for row in (around, of, to):
        params += [*row, *[0] * (LARGE - len(row))]
    extent = math.prod(around)
    return Record(kernel("cr.strided"), [target, source], params, extent, max(1, GRAIN // count))


class Reduced(Routine):
    """`ufunc.reduce` along one axis: the first element is copied, the others taken in."""

    def __init__(self, i: Instruction, function: Function, axis: int, place: Place) -> None:
        self.instruction, self.function, self.axis, self.place = i, function, axis, place

    def records(self, planner: Planner, memory: int) -> list[Record]:
        x, out, axis = self.place, self.instruction.output, self.axis
        size = out.dtype.itemsize
        kept = [n for a, n in enumerate(x.shape) if a != axis]
        to = [s * size for s in contiguous(tuple(kept))]
        of = [s * size for a, s in enumerate(x.strides) if a != axis]
        target, source = planner.slot(out), planner.slot(x.root)
        found = [copy_record(target, source, size, kept, to, of, 0, x.offset * size)]
        n, step = x.shape[axis], x.strides[axis] * size
        if n > 1:
            sizes, outer = joined(kept, [to, of, to])
            sizes, outer = (sizes, outer) if sizes else ([1], [[0], [0], [0]])
            offsets, steps = [0, x.offset * size + step, 0], [0, step, 0]
            params = loop_params(self.function, [n - 1], offsets, sizes, outer, steps)
            extent = math.prod(sizes)
            slots = [target, source, target]
            found.append(Record(kernel("cr.loop"), slots, params, extent, max(1, GRAIN // n)))
        return found


class Copied(Routine):
    """What a view shows, copied."""

    def __init__(self, i: Instruction, place: Place, first: int, strides: Sequence[int]) -> None:
        self.instruction, self.place = i, place
        self.first, self.strides = first, strides

    def records(self, planner: Planner, memory: int) -> list[Record]:
        out = self.instruction.output
        size = out.dtype.itemsize
        to = [s * size for s in contiguous(out.shape)]
        slots = planner.slot(out), planner.slot(self.place.root)
        return [copy_record(*slots, size, out.shape, to, self.strides, 0, self.first)]


class Stacked(Routine):
    """A generalized ufunc over a stack of matrices (or of rows), all of them row-major."""

    def __init__(self, i: Instruction, function: Function, places: list[Place], core: Any) -> None:
        self.instruction, self.function, self.places = i, function, places
        self.lead, self.counts, self.cores = core

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        values = [*i.args[: len(self.places)], *i.outputs]
        slots = [planner.slot(p.root) for p in self.places]
        slots += [planner.slot(v) for v in i.outputs]
        sizes = [d.itemsize for d in self.function.dtypes]
        offsets = [p.offset * s for p, s in zip(self.places, sizes, strict=False)]
        offsets += [0] * len(i.outputs)
        steps, inner = [], []
        for v, size, core in zip(values, sizes, self.cores, strict=True):
            lies = [s * size for s in contiguous(v.shape)]
            outer = math.prod(v.shape[len(v.shape) - core :]) * size
            steps.append(outer if len(v.shape) > core else 0)
            inner += lies[len(lies) - core :]
        params = loop_params(
            self.function, [self.lead, *self.counts], offsets, [], [], [*steps, *inner]
        )
        grain = max(1, GRAIN // max(1, math.prod(self.counts) * 8))
        return [Record(kernel("cr.loop"), slots, params, self.lead, grain, blas=False)]


class Transformed(Routine):
    """`transformed_rows(x, factor, kind, n)`."""

    def __init__(self, i: Instruction, function: Function) -> None:
        self.instruction, self.function = i, function

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        x, factor = (planner.place_of(v) for v in i.args[:2])
        sizes = [d.itemsize for d in self.function.dtypes]
        n, m = x.shape[-1], i.output.shape[-1]
        counts = [n, m]
        lead = i.output.size // m
        offsets = [x.offset * sizes[0], factor.offset * sizes[1], 0]
        steps = [n * sizes[0], 0, m * sizes[2], sizes[0], sizes[2]]
        params = loop_params(self.function, [lead, *counts], offsets, [], [], steps)
        slots = [planner.slot(x.root), planner.slot(factor.root), planner.slot(i.output)]
        return [Record(kernel("cr.loop"), slots, params, lead, max(1, GRAIN // (4 * m)))]


# -- which instructions ----------------------------------------------------------------------------


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of what NumPy has a loop for; None for anything else."""
    if any(v is None or not v.size for v in (*i.operands(), *i.outputs)):
        return None
    if i.name == "look":
        return looked(i, planner)
    if i.name == "transformed_rows":
        x, factor, kind, n = i.args
        f = row_transform(x.dtype, kind, n)[0]
        called[f] = f"fft.{f.__name__}"
        function = found(f, [x.dtype, factor.dtype], [i.output.dtype])
        ready = function is not None and dense(planner.place_of(x))
        return Transformed(i, function) if ready and function is not None else None
    head, _, method = i.name.partition(".")
    if method == "accumulate":
        return accumulated(i, planner, head)
    if method == "reduce":
        return reduced(i, planner, head)
    f = ufunc_of("matmul" if i.name == "dot" else i.name)
    if f is None or i.kwargs.keys() - {"dtype"}:
        return None
    given = i.args[: f.nin]
    if len(i.args) != f.nin or not all(isinstance(a, Value) for a in given):
        return None
    function = found(f, [v.dtype for v in given], [v.dtype for v in i.outputs])
    if function is None:
        return None
    places = [planner.place_of(v) for v in given]
    if f.signature is not None:
        flat = f is np.matmul and any(len(v.shape) < 2 for v in given)
        core = None if flat else cores(f, given, i.outputs)
        ready = core is not None and all(map(dense, places))
        return Stacked(i, function, places, core) if ready else None
    made = Elements(i, function, places)
    return made if made.fits else None


def cores(f: Any, given: Sequence[Value], made: Sequence[Value]) -> Any:
    """(size of the stack, core dimensions in the order of the signature, how many each array has)
    of a generalized ufunc; None where stacks are broadcast.
    """
    groups = [g.strip("() ") for g in f.signature.replace("->", ",").split("),")]
    names: dict[str, int] = {}
    ranks, leads = [], set()
    for v, group in zip((*given, *made), groups, strict=True):
        own = [n.strip(" ?") for n in group.split(",") if n.strip()]
        ranks.append(len(own))
        leads.add(v.shape[: len(v.shape) - len(own)])
        for name, size in zip(own, v.shape[len(v.shape) - len(own) :], strict=True):
            names.setdefault(name, size)
    if len(leads) != 1 or len(names) >= MOST:
        return None
    return math.prod(leads.pop()), list(names.values()), ranks


def accumulated(i: Instruction, planner: Planner, name: str) -> Routine | None:
    """The routine of an accumulation."""
    f, (x, *rest) = ufunc_of(name), i.args
    more = {**dict(zip(("axis", "dtype"), rest, strict=False)), **i.kwargs}
    out = i.output
    if f is None or more.keys() - {"axis", "dtype"} or x.dtype != out.dtype:
        return None
    function = found(f, [out.dtype, out.dtype], [out.dtype])
    place = planner.place_of(x)
    if function is None or len(out.shape) > MOST:
        return None
    axis = more.get("axis", 0) % len(out.shape)
    return Accumulated(i, function, axis, place)


def reduced(i: Instruction, planner: Planner, name: str) -> Routine | None:
    """The routine of a reduction over one axis."""
    f, x, out = ufunc_of(name), i.args[0], i.output
    more = {k: v for k, v in i.kwargs.items() if k != "keepdims"}
    axis = more.pop("axis", 0)
    axes = axis if isinstance(axis, tuple) else (axis,)
    if more.pop("dtype", out.dtype) != out.dtype or more or len(i.args) > 1 or len(axes) != 1:
        return None
    if f is None or axes[0] is None or x.dtype != out.dtype or not 0 < len(x.shape) <= MOST:
        return None
    function = found(f, [out.dtype, out.dtype], [out.dtype])
    place = planner.place_of(x)
    return None if function is None else Reduced(i, function, axes[0] % len(x.shape), place)


def looked(i: Instruction, planner: Planner) -> Routine | None:
    """The routine that copies what a view shows; None where the view itself is a copy."""
    x, name, args = i.args
    place = planner.place_of(x)
    if not x.size:
        return None
    steps = [(n - 1) * s for n, s in zip(place.shape, place.strides, strict=True)]
    before = -sum(s for s in steps if s < 0)
    memory = np.empty(1 + before + sum(s for s in steps if s > 0), x.dtype)
    size = x.dtype.itemsize
    strides = tuple(s * size for s in place.strides)
    base = np.ndarray(place.shape, x.dtype, memory, before * size, strides)
    seen = waist(name)(base, *args)
    if not isinstance(seen, np.ndarray) or not np.may_share_memory(seen, base):
        return None
    moved = seen.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return Copied(i, place, place.offset * size + moved, seen.strides)
