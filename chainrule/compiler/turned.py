"""Copies of arrays whose last axis is not the one that lies together: squares of numbers are
transposed in registers, where a loop would write one number here, the next one far from it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .machine import registers
from .products import Vectors
from .program import Instruction
from .routines import TYPES, Number, Routine, at, strides_of
from .runtime import Record
from .views import Place

if TYPE_CHECKING:
    from .plan import Planner

LEAST = 1 << 12  # elements that are worth it
GRAIN = 1 << 14  # elements that a thread copies at a time


def axis_of(lies: Place, dtype: str) -> int | None:
    """The axis that lies together, where copying in squares pays; else None."""
    if dtype not in TYPES or registers()[0] != 64 or lies.size < LEAST:
        return None
    if len(lies.shape) < 2 or lies.shape[-1] < 16 or lies.strides[-1] == 1:
        return None
    found = [a for a, s in enumerate(lies.strides[:-1]) if s == 1 and lies.shape[a] >= 16]
    return found[0] if found else None


class Turned(Routine):
    """`turned`: a row-major copy."""

    def __init__(self, i: Instruction, lies: Place, axis: int) -> None:
        self.instruction, self.lies, self.axis = i, lies, axis
        kind = TYPES[i.output.dtype.str][0]
        self.vectors = Vectors(kind)
        others = [a for a in range(len(lies.shape) - 1) if a != axis]
        self.blocks = -(-lies.shape[axis] // self.vectors.lanes)
        self.sizes = [*[lies.shape[a] for a in others], self.blocks]
        self.others = others
        self.text = self.writing()
        self.texts = [self.text]

    def writing(self) -> str:
        """The kernel; a unit is one vector of the axis that lies together, for all of the last."""
        v, f, lies = self.vectors, self.vectors.f, self.lies
        to, source = f.array(0, 0), f.array(1, 1)
        steps = strides_of(lies.shape)
        rows, columns, lanes = lies.shape[self.axis], lies.shape[-1], v.lanes

        def unit(n: Number) -> None:
            *index, block = f.digits(n, self.sizes)
            first = f.total((block, lanes))
            there = f.total(rows, (first, -1))
            inside = v.lower(there)
            a = f.place(source, *at([lies.strides[d] for d in self.others], index), first)
            b = f.place(to, *at([steps[d] for d in self.others], index), (first, steps[self.axis]))

            def square(q: Number) -> None:
                column = f.total((q, lanes))
                across = v.lower(f.total(columns, (column, -1)))
                xs = []
                for k in range(lanes):
                    here = f.least(f.total(column, k), columns - 1)
                    xs.append(v.masked_load(f.place(a, (here, lies.strides[-1])), inside))
                for k, x in enumerate(v.transposed(xs)):
                    known = f(f"icmp sgt i64 {there}, {k}")
                    mask = f(f"select i1 {known}, {v.mask} {across}, {v.mask} zeroinitializer")
                    v.masked_store(x, f.place(b, k * steps[self.axis], column), mask)

            f.loop(v.steps(columns, lanes), square)

        f.loop("%end", unit, first="%begin")
        return v.done()

    def records(self, planner: Planner, memory: int) -> list[Record]:
        slots = [planner.slot(self.instruction.output), planner.slot(self.lies.root)]
        extent = math.prod(self.sizes)
        grain = max(1, GRAIN // (self.vectors.lanes * self.lies.shape[-1]))
        address = planner.addresses[self.text]
        return [Record(address, slots, [0, self.lies.offset], extent, min(grain, extent))]


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of a copy in squares; None for anything else."""
    if i.name != "turned":
        return None
    lies = planner.place_of(i.args[0])
    axis = axis_of(lies, i.output.dtype.str)
    assert axis is not None, i
    return Turned(i, lies, axis)
