"""Indices that have to be in range: a kernel that looks at all of them, before they are used.

What it finds is told in the program's words, whereupon nothing more of the program is run, and
the caller raises the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .driver import ERROR, VALUE
from .foreign import copy_record
from .program import Instruction
from .routines import Routine, Text
from .runtime import LATE, WORDS, Record
from .views import contiguous, dense

if TYPE_CHECKING:
    from .plan import Planner

NONE = 1 << 62  # to ignore: no index


def checking(kind: str, signed: bool) -> str:
    """The kernel for integers of an LLVM type: its params are where they begin, how many there
    are, the lowest, the first too high, which to ignore, and what to tell.
    """
    f = Text(kind, int(kind[1:]) // 8)
    index, words = f.array(0, 0), f.buffer(1)
    count, low, high, ignore, code = (f.param(n) for n in range(1, 6))

    def bad(i: Any, free: bool) -> tuple[str, str]:
        x = f.load(f.place(index, i), free)
        if kind != "i64":
            x = f(f"{'sext' if signed else 'zext'} {kind} {x} to i64")
        under, over = f(f"icmp slt i64 {x}, {low}"), f(f"icmp sge i64 {x}, {high}")
        outside = f(f"or i1 {under}, {over}")
        return x, f(f"and i1 {outside}, {f(f'icmp ne i64 {x}, {ignore}')}")

    def one(i: Any, found: list) -> list[str]:
        return [f(f"or i8 {found[0]}, {f(f'zext i1 {bad(i, True)[1]} to i8')}")]

    (found,) = f.fold(count, ["0"], "i8", one)

    def tell() -> None:
        def look(i: Any) -> None:
            x, test = bad(i, False)
            first = f(f"load i64, ptr {f(f'getelementptr i64, ptr {words}, i64 {ERROR}')}")
            test = f(f"and i1 {test}, {f(f'icmp eq i64 {first}, 0')}")

            def write() -> None:
                for place, value in ((VALUE, x), (ERROR, code)):
                    at = f(f"getelementptr i64, ptr {words}, i64 {place}")
                    f.do(f"store i64 {value}, ptr {at}")

            f.either(test, write, lambda: None)

        f.loop(count, look)

    f.either(f(f"icmp ne i8 {found}, 0"), tell, lambda: None)
    return f.done()


class Check(Routine):
    """`check`."""

    def __init__(self, i: Instruction, offset: int) -> None:
        self.instruction, self.offset = i, offset
        dtype = i.args[0].dtype
        self.texts = [checking(f"i{8 * dtype.itemsize}", dtype.kind == "i")]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        x, low, high, ignore, kind, text = self.instruction.args
        planner.errors.append((kind, text))
        code = len(planner.errors) | (LATE if planner.written else 0)
        params = [self.offset, x.size, low, high, NONE if ignore is None else ignore, code]
        slots = [planner.slot(planner.root(x)), WORDS]
        return [Record(planner.addresses[self.texts[0]], slots, params)]


def seeking(f: Text, test: Callable[[Any], Any]) -> str:
    """The kernel that looks for an element with a `test` (an i8) that is not zero: its params are
    where to begin, how many there are, what to tell, and where to go on.
    """
    x, words = f.array(0, 0), f.buffer(1)
    count, code, place = (f.param(n) for n in (1, 2, 3))

    def one(i: Any, found: list) -> list[str]:
        return [f(f"or i8 {found[0]}, {test(f.load(f.place(x, i), True))}")]

    (found,) = f.fold(count, ["0"], "i8", one)

    def tell() -> None:
        for at, value in ((VALUE, place), (ERROR, code)):
            f.do(f"store i64 {value}, ptr {f(f'getelementptr i64, ptr {words}, i64 {at}')}")

    f.either(f(f"icmp ne i8 {found}, 0"), tell, lambda: None)
    return f.done(small=True)


def seeking_nan(kind: str) -> str:
    """The kernel that looks for nan."""
    f = Text(kind)
    return seeking(f, lambda v: f(f"zext i1 {f(f'fcmp uno {kind} {v}, {v}')} to i8"))


def seeking_true() -> str:
    """The kernel that looks for one byte that is not zero."""
    return seeking(Text("i8", 1), lambda v: v)


class Verify(Routine):
    """`verify`: where a result has nan, eager code is asked what is wrong."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        made = i.args[1]
        self.count = made.size * (2 if made.dtype.kind == "c" else 1)
        size = made.size * made.dtype.itemsize // self.count
        self.texts = [seeking_nan("float" if size == 4 else "double")]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        f, made, *rest = self.instruction.args
        planner.errors.append(lambda: f(*[planner.array(v) for v in rest]))
        code = len(planner.errors) | (LATE if planner.written else 0)
        slots = [planner.slot(planner.root(made)), WORDS]
        params = [0, self.count, code, len(planner.records) + 1]
        return [Record(planner.addresses[self.texts[0]], slots, params)]


class Unless(Routine):
    """`unless(f, bad, fast, *arrays)`: `fast`, but where something is bad, f(*arrays) by Python."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        self.texts = [seeking_true()]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        bad, fast = (planner.place_of(v) for v in i.args[1:3])
        out, size = planner.slot(i.output), i.output.dtype.itemsize
        rows = [[s * size for s in r] for r in (contiguous(fast.shape), fast.strides)]
        copied = copy_record(
            out, planner.slot(fast.root), size, fast.shape, rows[0], rows[1], 0, fast.offset * size
        )
        planner.errors.append(lambda: planner.by_python(i))
        code = len(planner.errors)
        params = [bad.offset, bad.size, code, len(planner.records) + 2]
        slots = [planner.slot(bad.root), WORDS]
        return [copied, Record(planner.addresses[self.texts[0]], slots, params)]


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of a check; None if it is none."""
    if i.name == "unless":
        bad = planner.place_of(i.args[1])
        return Unless(i) if dense(bad) and bad.size and i.output.size else None
    if i.name == "verify":
        lies = planner.place_of(i.args[1])
        return Verify(i) if lies.root is i.args[1] else None
    if i.name != "check":
        return None
    lies = planner.place_of(i.args[0])
    return Check(i, lies.offset) if dense(lies) else None
