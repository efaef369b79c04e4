"""The zeros around an array that a loop nest writes into the middle of a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .program import Instruction
from .routines import Number, Routine, Text, at, product, strides_of
from .runtime import Record

if TYPE_CHECKING:
    from .plan import Planner

GRAIN = 1 << 12  # stretches of zeros that a thread writes at a time


class Frame(Routine):
    """`frame`: zeros in memory of some shape, everywhere but in [starts, ends)."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        self.shape, self.starts, self.ends = i.output.shape, *i.args
        self.size = i.output.dtype.itemsize
        self.shared = self.starts[0] == 0 and self.ends[0] == self.shape[0]
        self.text = self.writing()
        self.texts = [self.text]

    def writing(self) -> str:
        """The kernel."""
        f = self.f = Text("i8")
        f.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        self.to = f.buffer(0)
        if self.shared:
            f.loop("%end", lambda i: self.inside([i]), first="%begin")
        else:
            self.inside([])
        return f.done(small=True)

    def inside(self, index: Sequence[Number]) -> None:
        """The zeros at an index of the first axes."""
        axis = len(index)
        if axis == len(self.shape):
            return
        start, end, n = self.starts[axis], self.ends[axis], self.shape[axis]
        self.zeros(index, 0, start)
        rest = slice(axis + 1, None)
        if any(self.starts[rest]) or self.ends[rest] != self.shape[rest]:
            self.f.loop(end, lambda i: self.inside([*index, i]), first=start)
        self.zeros(index, end, n)

    def zeros(self, index: Sequence[Number], first: int, end: int) -> None:
        """Zeros from one place on an axis to another."""
        f, steps = self.f, [self.size * s for s in strides_of(self.shape)]
        if first < end:
            axis = len(index)
            place = f.total(*at(steps[:axis], index), first * steps[axis])
            count = (end - first) * steps[axis]
            to = f(f"getelementptr i8, ptr {self.to}, i64 {place}")
            f.do(f"call void @llvm.memset.p0.i64(ptr {to}, i8 0, i64 {count}, i1 false)")

    def records(self, planner: Planner, memory: int) -> list[Record]:
        extent = grain = 1
        if self.shared:
            extent = self.shape[0]
            grain = max(1, GRAIN // max(1, 2 * product(self.ends[1:-1])))
        slots = [planner.slot(self.instruction.output)]
        return [Record(planner.addresses[self.text], slots, [], extent, min(extent, grain))]


class Zeros:
    """Where in the arena there are the zeros of a frame still, though the array in it is over: the
    next one with the same frame that is given the place need not write them again.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], tuple] = {}  # frames by stretches of memory

    def stay(self, begin: int, size: int, i: Instruction | None = None) -> bool:
        """Note that a stretch is given to something else, to what the frame `i` is around if that
        is not None: whether its zeros are there.
        """
        end = begin + size
        frame = None if i is None else (i.output.shape, i.output.dtype, *i.args)
        if frame is not None and self.known.get((begin, end)) == frame:
            return True
        for other in [k for k in self.known if k[0] < end and begin < k[1]]:
            del self.known[other]
        if frame is not None:
            self.known[begin, end] = frame
        return False


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of a frame; None for anything else."""
    return Frame(i) if i.name == "frame" else None
