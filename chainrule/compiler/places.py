"""Elements written to, or added at, places of flat memory that are known only when the program
runs; and sorting, and the place of the largest, row by row, by NumPy's own functions.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from .elements import MEMORY, code
from .foreign import ARGMAX, ARGMIN, ARGSORT, SORT, STABLE, array_functions, copy_record
from .program import Instruction, Value
from .routines import Number, Routine, Text
from .runtime import Record, kernel
from .views import contiguous, dense

if TYPE_CHECKING:
    from .plan import Planner

KINDS = {**MEMORY, "c8": "i64", "c16": "i128"}
PARTS = {"c8": "float", "c16": "double"}
GRAIN = 1 << 14


def met(f: Text, how: str, old: str, new: str) -> str:
    """What two numbers at one place become: `more` is their sum."""
    real = f.kind in ("float", "double")
    if how in ("maximum", "minimum"):
        test = {"maximum": "ge", "minimum": "le"}[how]
        if not real:
            first = f(f"icmp s{test} {f.kind} {old}, {new}")
            return f(f"select i1 {first}, {f.kind} {old}, {f.kind} {new}")
        first = f(f"fcmp o{test} {f.kind} {old}, {new}")
        first = f(f"or i1 {first}, {f(f'fcmp uno {f.kind} {old}, {old}')}")
        return f(f"select i1 {first}, {f.kind} {old}, {f.kind} {new}")
    name = "mul" if how == "multiply" else "or" if how == "either" else "add"
    return f(f"{'f' * real}{name} {f.kind} {old}, {new}")


def scattering(kind: str, how: str) -> str:
    """The kernel: its slots are memory, elements, places; its params where these begin, how many
    there are, how large memory is.
    """
    pair = how != "set" and kind in PARTS
    f = Text(PARTS[kind] if pair else KINDS[kind], int(kind[1:]) // (2 if pair else 1))
    out, given = f.buffer(0), f.array(1, 0)
    places = f(f"getelementptr i64, ptr {f.buffer(2)}, i64 {f.param(1)}")
    count, size = f.param(2), f.param(3)
    f.declared |= {"declare i64 @llvm.smax.i64(i64, i64)", "declare i64 @llvm.smin.i64(i64, i64)"}
    last = f(f"sub i64 {size}, 1")

    def one(i: Number) -> None:
        at = f(f"load i64, ptr {f(f'getelementptr i64, ptr {places}, i64 {i}')}")
        at = f(f"call i64 @llvm.smax.i64(i64 {at}, i64 0)")
        at = f(f"call i64 @llvm.smin.i64(i64 {at}, i64 {last})")
        for part in range(2 if pair else 1):
            step = 2 if pair else 1
            place = f.place(out, (at, step), part)
            x = f.load(f.place(given, (i, step), part))
            if how != "set":
                x = met(f, "either" if kind == "b1" else how, f.load(place), x)
            f.store(x, place)

    f.loop(count, one)
    return f.done(small=True)


class Scatter(Routine):
    """`scatter_set`, `scatter_more` and their like: (memory, elements, places), all flat."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        self.texts = [scattering(code(i.output.dtype), i.name.removeprefix("scatter_"))]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        x, y, at = (planner.place_of(v) for v in i.args)
        out, size = planner.slot(i.output), i.output.dtype.itemsize
        strides = [s * size for s in x.strides]
        given = (i.output.shape, [size], strides, 0, x.offset * size)
        slots = [out, planner.slot(y.root), planner.slot(at.root)]
        params = [y.offset, at.offset, y.size, i.output.size]
        return [
            copy_record(out, planner.slot(x.root), size, *given),
            Record(planner.addresses[self.texts[0]], slots, params),
        ]


def joining(kind: str, both: bool) -> str:
    """The kernel that puts complex numbers together: slots are the result, real parts, and
    imaginary parts if there are.
    """
    f = Text("float" if kind == "c8" else "double")
    out, real = f.buffer(0), f.array(1, 0)
    imag = f.array(2, 1) if both else ""

    def one(i: Number) -> None:
        f.store(f.load(f.place(real, i), True), f.place(out, (i, 2)), True)
        value = f.load(f.place(imag, i), True) if both else "0.0"
        f.store(value, f.place(out, (i, 2), 1), True)

    f.loop("%end", one, free=True, first="%begin")
    return f.done()


class Join(Routine):
    """`join_complex(real, imag, dtype)`."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        self.texts = [joining(code(i.output.dtype), i.args[1] is not None)]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        given = [planner.place_of(v) for v in i.args[:2] if v is not None]
        slots = [planner.slot(i.output), *[planner.slot(p.root) for p in given]]
        params, n = [p.offset for p in given], i.output.size
        return [Record(planner.addresses[self.texts[0]], slots, params, n, min(n, GRAIN))]


def recurring(kind: str, n: int, behind: int) -> str:
    """The kernel of s[i] = y[i] s[i - 1] + x[i], where a factor of 0 ends what came before; a unit
    is all that lies behind one place before the axis.
    """
    f = Text(kind)
    out, x, y = f.buffer(0), f.array(1, 0), f.array(2, 1)

    def unit(u: Number) -> None:
        def step(i: Number) -> None:
            def one(j: Number) -> None:
                here = [(u, n * behind), (i, behind), j]
                before = f.place(out, (u, n * behind), (f.total(i, -1), behind), j)
                factor = f.load(f.place(y, *here), True)
                ends = f(f"fcmp oeq {kind} {factor}, 0.0")
                earlier = f(f"select i1 {ends}, {kind} 0.0, {kind} {f.load(before, True)}")
                product = f(f"fmul {kind} {factor}, {earlier}")
                total = f(f"fadd {kind} {f.load(f.place(x, *here), True)}, {product}")
                f.store(total, f.place(out, *here), True)

            f.loop(behind, one, free=True)

        start = [(u, n * behind)]
        f.copy(f.place(out, *start), f.place(x, *start), behind)
        f.loop(n, step, first=1)

    f.loop("%end", unit, first="%begin")
    return f.done()


class Recurrence(Routine):
    """`recurrence(x, y, axis)`."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        shape, axis = i.output.shape, i.args[2] % len(i.output.shape)
        behind = math.prod(shape[axis + 1 :])
        self.units = math.prod(shape[:axis])
        self.grain = max(1, GRAIN // (shape[axis] * behind))
        kind = MEMORY[code(i.output.dtype)]
        self.texts = [recurring(kind, shape[axis], behind)]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        given = [planner.place_of(v) for v in i.args[:2]]
        slots = [planner.slot(i.output), *[planner.slot(p.root) for p in given]]
        address = planner.addresses[self.texts[0]]
        return [Record(address, slots, [p.offset for p in given], self.units, self.grain)]


# -- rows ------------------------------------------------------------------------------------------


@functools.cache
def usable(char: str) -> bool:
    """Whether they do what they should: tried on three numbers."""
    x = np.array([3, 1, 2]).astype(char)
    order, place = np.arange(3), np.zeros(1, np.int64)
    try:
        words = array_functions(char)
    except (AttributeError, AssertionError):
        return False
    sort = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 2, ctypes.c_int64, ctypes.c_void_p)
    pick = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 2)
    if not all(words[n] for n in (ARGMAX, ARGMIN, SORT, SORT + STABLE, ARGSORT, ARGSORT + STABLE)):
        return False
    sort(words[ARGSORT])(x.ctypes.data, order.ctypes.data, 3, None)
    pick(words[ARGMAX])(x.ctypes.data, 3, place.ctypes.data, None)
    return order.tolist() == np.argsort(x).tolist() and place[0] == x.argmax()


class Rows(Routine):
    """`rows_sort`, `rows_argsort`, `rows_argmax`, `rows_argmin`."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        x, out = planner.place_of(i.args[0]), i.output
        dtype = i.args[0].dtype
        n, size = x.shape[-1], dtype.itemsize
        rows, words = x.size // n, array_functions(dtype.char)
        target, source = planner.slot(out), planner.slot(x.root)
        grain = max(1, GRAIN // n)
        if i.name in ("rows_argmax", "rows_argmin"):
            function = words[ARGMAX if i.name == "rows_argmax" else ARGMIN]
            params = [function, n, x.offset * size, size]
            return [Record(kernel("cr.argmax"), [target, source], params, rows, grain)]
        stable = STABLE * bool(i.args[1])
        if i.name == "rows_argsort":
            params = [words[ARGSORT + stable], n, x.offset * size, size]
            return [Record(kernel("cr.argsort"), [target, source], params, rows, grain)]
        strides = [[s * size for s in r] for r in (contiguous(x.shape), x.strides)]
        copied = copy_record(
            target, source, size, x.shape, strides[0], strides[1], 0, x.offset * size
        )
        params = [words[SORT + stable], n, 0, size]
        return [copied, Record(kernel("cr.sort"), [target], params, rows, grain)]


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of a scatter, or of a function of rows; None for anything else."""
    if i.name.startswith("scatter_") and i.name != "scatter_add":
        kind = code(i.output.dtype)
        known = kind in KINDS and (i.name == "scatter_set" or kind not in ("f2", "V2"))
        rest = [planner.place_of(v) for v in i.args[1:]]
        return Scatter(i) if known and all(map(dense, rest)) else None
    if i.name == "recurrence":
        fits = all(isinstance(v, Value) and v.dtype == i.output.dtype for v in i.args[:2])
        fits = fits and all(v.shape == i.output.shape and v.size for v in i.args[:2])
        fits = fits and i.output.dtype.str in ("<f4", "<f8")
        fits = fits and all(dense(planner.place_of(v)) for v in i.args[:2])
        return Recurrence(i) if fits else None
    if i.name == "join_complex":
        given = [planner.place_of(v) for v in i.args[:2] if v is not None]
        return Join(i) if all(map(dense, given)) else None
    if i.name.startswith("rows_") and usable(i.args[0].dtype.char):
        return Rows(i) if dense(planner.place_of(i.args[0])) else None
    return None
