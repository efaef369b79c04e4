"""Kernels written loop by loop: what convolutions and poolings are made of.

A `Routine` is what an instruction becomes that is no loop nest: the texts of its kernels, the
memory they work in, the records that call them. A `Text` writes one: nested loops over known
counts, the addresses of arrays as sums of products, and calls of BLAS's matrix product, whose
address comes with the record (nothing of this process is in the code).

Chunks that work in memory of their own take it from a few places (`Scratch`), one for each thread
that there can be: a flag says which are taken. Whoever comes when all are waits for a flag: their
owners never wait while they have one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..namespace import get_num_threads
from . import lapack
from .blas import Body
from .runtime import Record, runtime

if TYPE_CHECKING:
    from .plan import Planner

TYPES = {"<f4": ("float", "sgemm"), "<f8": ("double", "dgemm")}
HEAD = "define void @KERNEL(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end) nounwind {"
LINE = 64  # bytes of a cache line
Number = int | str  # a constant, or the name of an i64


def product(values: Sequence[int]) -> int:
    """The product of sizes."""
    n = 1
    for v in values:
        n *= v
    return n


class Routine:
    """What the plan needs to know of an instruction: the texts of its kernels, the bytes of the
    memory they share, and its records.
    """

    texts: Sequence[str] = ()
    scratch = 0
    lasting = True  # whether the records mean the same in another process: plans are kept then

    def records(self, planner: Planner, memory: int) -> list[Record]:
        """The records, in order; `memory` is the slot of the scratch memory."""
        raise NotImplementedError(f"{type(self).__name__}.records")


class Text(Body):
    """A kernel on elements of one LLVM type: `float`, `double`, or an integer of so many bytes."""

    def __init__(self, kind: str, size: int = 0) -> None:
        super().__init__()
        self.kind, self.size = kind, size or (4 if kind == "float" else 8)
        self.allocas: list[str] = []
        self.declared: set[str] = set()
        self.label, self.labels = "entry", 0

    def done(self, small: bool = False) -> str:
        """The kernel's text; `small` code is sooner compiled."""
        head = [HEAD.replace(" {", " optsize {") if small else HEAD, "entry:", *self.allocas]
        return "\n".join([*sorted(self.declared), *head, *self.lines, "  ret void", "}"])

    # -- numbers ----------------------------------------------------------------------------------

    def total(self, *terms: Number | tuple[Number, Number]) -> Number:
        """A sum of numbers and of products of two."""
        constant, names = 0, []
        for term in terms:
            a, b = term if isinstance(term, tuple) else (term, 1)
            if isinstance(a, int) and isinstance(b, int):
                constant += a * b
            elif a == 1 or b == 1:
                names.append(a if b == 1 else b)
            elif a != 0 and b != 0:
                names.append(self(f"mul nsw i64 {a}, {b}"))
        if constant or not names:
            names.append(constant)
        while len(names) > 1:
            names[:2] = [self(f"add nsw i64 {names[0]}, {names[1]}")]
        return names[0]

    def least(self, a: Number, b: Number) -> Number:
        """The smaller of two."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self(f"select i1 {self(f'icmp slt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def most(self, a: Number, b: Number) -> Number:
        """The larger of two."""
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self(f"select i1 {self(f'icmp sgt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def parts(self, a: Number, by: int) -> tuple[Number, Number]:
        """Quotient and remainder by a constant."""
        if by == 1 or a == 0:
            return a, 0
        return self(f"udiv i64 {a}, {by}"), self(f"urem i64 {a}, {by}")

    def digits(self, a: Number, sizes: Sequence[int]) -> list[Number]:
        """A place in a row-major array as an index."""
        out: list[Number] = []
        for n in reversed(sizes[1:]):
            a, rest = self.parts(a, n)
            out.append(rest)
        return [*([a] if sizes else []), *reversed(out)]

    # -- memory -----------------------------------------------------------------------------------

    def array(self, slot: int, param: int) -> str:
        """The address of an array: a buffer, and where it begins there, in elements."""
        return self.place(self.buffer(slot), self.param(param))

    def place(self, base: str, *terms: Number | tuple[Number, Number]) -> str:
        """The address of an element."""
        index = self.total(*terms)
        return base if index == 0 else self(f"getelementptr {self.kind}, ptr {base}, i64 {index}")

    def load(self, place: str, free: bool = False) -> str:
        """An element; `free` in a loop whose turns do not depend on each other."""
        return self(
            f"load {self.kind}, ptr {place}, align {self.size}{', !llvm.access.group !0' * free}"
        )

    def store(self, value: str, place: str, free: bool = False) -> None:
        """Write an element."""
        note = ", !llvm.access.group !0" * free
        self.do(f"store {self.kind} {value}, ptr {place}, align {self.size}{note}")

    def clear(self, place: str, count: Number) -> None:
        """Set elements to zero."""
        self.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        size = self.total((count, self.size))
        self.do(f"call void @llvm.memset.p0.i64(ptr {place}, i8 0, i64 {size}, i1 false)")

    def fill(self, place: str, count: Number, value: str) -> None:
        """Set elements to a value."""
        self.loop(count, lambda i: self.store(value, self.place(place, i), True), free=True)

    def copy(self, to: str, source: str, count: Number, step: int = 1) -> None:
        """Copy elements, every `step`th of the source."""

        def one(i: Number) -> None:
            self.store(self.load(self.place(source, (i, step)), True), self.place(to, i), True)

        self.loop(count, one, free=True)

    # -- control ----------------------------------------------------------------------------------

    def new_label(self) -> int:
        """A number for labels."""
        self.labels += 1
        return self.labels

    def begin_block(self, name: str) -> None:
        """Begin a block."""
        self.do(f"{name}:")
        self.label = name

    def loop(
        self,
        count: Number,
        body: Callable[[Number], None],
        free: bool = False,
        first: Number = 0,
    ) -> None:
        """body(i) for i from `first` up to count; `free` if its turns do not depend on each
        other.
        """
        if count == 1 and first == 0:
            body(0)
            return
        n = self.new_label()
        self.do(f"br label %head{n}", f"head{n}:")
        i = self(f"phi i64 [ {first}, %{self.label} ], [ %next{n}, %tail{n} ]")
        self.do(f"br i1 {self(f'icmp slt i64 {i}, {count}')}, label %body{n}, label %exit{n}")
        self.begin_block(f"body{n}")
        body(i)
        self.do(f"br label %tail{n}", f"tail{n}:", f"%next{n} = add nsw i64 {i}, 1")
        self.do(f"br label %head{n}" + f", !llvm.loop !LOOP{n}!" * free)
        self.begin_block(f"exit{n}")

    def fold(
        self, count: Number, values: list[str], kind: str, body: Callable[[Number, list], list]
    ) -> list[str]:
        """Values of one LLVM type after some turns, each of which makes them body(i, values)."""
        n = self.new_label()
        self.do(f"br label %head{n}", f"head{n}:")
        i = self(f"phi i64 [ 0, %{self.label} ], [ %next{n}, %tail{n} ]")
        kept = [
            self(f"phi {kind} [ {v}, %{self.label} ], [ %fold{n}.{j}, %tail{n} ]")
            for j, v in enumerate(values)
        ]
        self.do(f"br i1 {self(f'icmp slt i64 {i}, {count}')}, label %body{n}, label %exit{n}")
        self.begin_block(f"body{n}")
        made = body(i, kept)
        self.do(f"br label %tail{n}", f"tail{n}:", f"%next{n} = add nsw i64 {i}, 1")
        for j, v in enumerate(made):
            self.do(f"%fold{n}.{j} = freeze {kind} {v}")
        self.do(f"br label %head{n}")
        self.begin_block(f"exit{n}")
        return kept

    def loops(self, counts: Sequence[Number], body: Callable[[list[Number]], None]) -> None:
        """body(index) for every index of a space."""

        def inside(index: list[Number]) -> None:
            if len(index) == len(counts):
                body(index)
            else:
                self.loop(counts[len(index)], lambda i: inside([*index, i]))

        inside([])

    def either(self, test: str, yes: Callable[[], None], no: Callable[[], None]) -> None:
        """One of two."""
        n = self.new_label()
        self.do(f"br i1 {test}, label %yes{n}, label %no{n}")
        for name, body in (("yes", yes), ("no", no)):
            self.begin_block(f"{name}{n}")
            body()
            self.do(f"br label %both{n}")
        self.begin_block(f"both{n}")

    # -- products ---------------------------------------------------------------------------------

    def stacked(self, kind: str, value: Number) -> str:
        """A place on the stack with a value: there is one for each use, whatever loop it is in."""
        name = f"%cell{len(self.allocas)}"
        self.allocas.append(f"  {name} = alloca {kind}")
        self.do(f"store {kind} {value}, ptr {name}")
        return name

    def whole(self, value: Number) -> str:
        """A BLAS integer."""
        if isinstance(value, int):
            return self.stacked("i32", value)
        return self.stacked("i32", self(f"trunc i64 {value} to i32"))

    def multiply(
        self,
        routine: str,
        sizes: tuple[Number, Number, Number],
        a: tuple[str, Number, bool],
        b: tuple[str, Number, bool],
        c: tuple[str, Number],
        add: bool,
    ) -> None:
        """C[m, n] = A[m, k] B[k, n], or added to C; in row-major order. A and B are (address, row
        length in memory, whether it lies transposed).
        """
        m, n, k = sizes
        one = self.stacked(self.kind, "1.0")
        scale = self.stacked(self.kind, "1.0" if add else "0.0")
        letters = [self.stacked("i8", 84 if x[2] else 78) for x in (b, a)]
        places = [*letters, *map(self.whole, (n, m, k)), one, b[0], self.whole(b[1]), a[0]]
        places += [self.whole(a[1]), scale, c[0], self.whole(c[1])]
        self.do(f"call void {routine}({', '.join(f'ptr {p}' for p in places)})")


# -- memory of chunks ------------------------------------------------------------------------------


class Scratch:
    """Places of `size` bytes, for chunks that run at the same time."""

    def __init__(self, size: int, chunks: int) -> None:
        self.size = -(-size // LINE) * LINE
        self.count = min(chunks, max(os.cpu_count() or 1, get_num_threads())) if size else 0

    @property
    def bytes(self) -> int:
        """All of it, with the flags."""
        return self.count * (self.size + LINE)

    def take(self, f: Text, memory: str) -> tuple[str, str]:
        """(flag, address) of a place that nobody has."""
        n = f.new_label()
        f.do(f"br label %seek{n}", f"seek{n}:")
        i = f(f"phi i64 [ 0, %{f.label} ], [ %other{n}, %seek{n} ]")
        flag = f(f"getelementptr i8, ptr {memory}, i64 {f(f'mul i64 {i}, {LINE}')}")
        got = f(f"cmpxchg ptr {flag}, i64 0, i64 1 acquire monotonic")
        mine = f(f"extractvalue {{ i64, i1 }} {got}, 1")
        more = f(f"add i64 {i}, 1")
        f.do(f"%other{n} = urem i64 {more}, {self.count}")
        f.do(f"br i1 {mine}, label %had{n}, label %seek{n}")
        f.begin_block(f"had{n}")
        start = f(f"add i64 {f(f'mul i64 {i}, {self.size}')}, {self.count * LINE}")
        return flag, f(f"getelementptr i8, ptr {memory}, i64 {start}")

    def give(self, f: Text, flag: str) -> None:
        """Let a place go."""
        f.do(f"store atomic i64 0, ptr {flag} release, align 8")


def resetting(count: int) -> str:
    """The kernel that sets the flags of so many places to zero."""
    f = Text("float")
    f.clear(f.buffer(0), count * LINE // f.size)
    return f.done()


def adding(kind: str, parts: int, size: int) -> str:
    """The kernel that adds up partial results, in their order."""
    f = Text(kind)
    out, given = f.array(0, 0), f.array(1, 1)

    def one(i: Number) -> None:
        value = f.load(f.place(given, i), True)
        for p in range(1, parts):
            value = f(f"fadd {kind} {value}, {f.load(f.place(given, i, p * size), True)}")
        f.store(value, f.place(out, i), True)

    f.loop("%end", one, free=True, first="%begin")
    return f.done()


def entry_of(routine: str) -> int:
    """The address of a routine of BLAS, which is made ready to be called by several threads."""
    runtime().bind_blas()
    return lapack.routine(routine)


def strides_of(shape: Sequence[int]) -> list[int]:
    """The strides of a row-major array, in elements."""
    return [product(shape[n + 1 :]) for n in range(len(shape))]


def at(strides: Sequence[int], index: Sequence[Number]) -> list[tuple[Any, Any]]:
    """An index as terms of a sum."""
    return list(zip(index, strides, strict=True))
