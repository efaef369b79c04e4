"""A loop nest as LLVM IR: one kernel of the runtime.

The dimensions are those of rows, which threads share out, and the inner ones. Where reductions over
the inner dimensions are used in the nest itself, it runs in stages: all of a row (or of a block of
rows) is swept for the first reduction, then numbers of the rows are computed, then the next sweep
follows. What a later sweep needs of an earlier one is computed again where that is cheap, and else
waits in a buffer that stays in the cache.

Reductions end in one of four ways: in a number for each row, in a row of sums over all rows, in one
number, or in memory that the row's inner loops sweep repeatedly.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .body import Value as Register
from .elements import (
    HALVES,
    MEMORY,
    REDUCTIONS,
    REGISTER,
    Writer,
    code,
    combine,
    emit_element,
    identity,
    is_float,
    reduced_dtype,
)
from .fuse import Nest, aligned
from .program import Instruction, Value
from .views import Place, contiguous

# vectors as wide as there are; the stack aligned for what is spilled from them
ATTRIBUTES = 'nounwind alignstack(64) "prefer-vector-width"="512"'
ROW, COLUMN, ALL, WITHIN = "row", "column", "all", "within"  # how a reduction ends
CHUNK = 1 << 18  # the cost, in simple operations, of what a thread takes at a time: 2 to 4 us
MEMORY_COST = 6  # of reading or writing an element
CHUNKS = 32  # of a nest that keeps a partial result for each
EVEN = 64  # elements: as many as LLVM's loops do at a time
SHORT = 512  # rows whose sum is one of those, and terms of a piece of a long sum in memory
SCRATCH = 1 << 17  # bytes of a row that may wait for the next sweep
CHEAP = 3  # operations that are done again rather than kept


class Access:
    """Memory as a nest sees it: which root, from where on, a stride for each dimension."""

    __slots__ = ("offset", "root", "strides")

    def __init__(self, root: Value, offset: int, strides: Sequence[int]) -> None:
        self.root, self.offset, self.strides = root, offset, list(strides)

    @property
    def key(self) -> tuple:
        """What makes it the same access."""
        return self.root, self.offset, tuple(self.strides)


class Kernel:
    """What a nest became: text with `@KERNEL` for its name, and what its record needs."""

    def __init__(self) -> None:
        self.text = ""
        self.functions: set[tuple[str, str]] = set()
        self.slots: list[Value] = []
        self.params: list[int] = []
        self.extent = self.grain = 1
        self.partials: list[tuple[Value, Instruction, int, int]] = []  # root, of what, chunks, size


def by_dims(axes: Sequence, strides: Sequence, rank: int) -> list[int]:
    """Strides of a value's axes as strides of the dimensions they run along."""
    out = [0] * rank
    for d, s in zip(axes, strides, strict=True):
        if d is not None:
            out[d] += s
    return out


class Shape:
    """The dimensions in the order of the loops, rows first, neighbours joined where all memory
    allows it.
    """

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.order = self.ordered()

    def ordered(self) -> list[int]:
        """The dimensions as loops, and how many of them are rows (`rows`)."""
        nest = self.nest
        every = list(range(len(nest.dims)))
        over = set(nest.over.values())
        inner = nest.inner
        if inner is None and over:
            inner = self.inner_of(next(iter(over)), every)
        if inner is None:
            self.rows = max(len(every) - 1, min(len(every), 1))
            return every
        outer = [d for d in every if d not in inner]
        self.rows = len(outer)
        return outer + [d for d in every if d in inner]

    def inner_of(self, over: frozenset, every: list[int]) -> frozenset:
        """The inner dimensions of a nest whose reductions all are over `over`."""
        if len(over) == len(every):
            return frozenset(every[1:])
        if every[-1] in over:
            return over
        kept = every[max(over) + 1 :]
        outer = [d for d in every if d not in over and d not in kept]
        return frozenset(every) - set(outer) if outer else frozenset(kept)


def write(nest: Nest, layouts: dict[Value, tuple], targets: dict[Value, Place]) -> Kernel:
    """The kernel of a nest; `layouts` has the strides of roots that are not row-major, `targets`
    where results go that are part of another value's memory.
    """
    return NestWriter(nest, layouts, targets).write()


class NestWriter:
    """The text of one nest."""

    def __init__(
        self, nest: Nest, layouts: dict[Value, tuple], targets: dict[Value, Place]
    ) -> None:
        self.nest, self.layouts, self.targets = nest, layouts, targets
        self.w = Writer()
        self.kernel = Kernel()
        self.shape = Shape(nest)
        self.inner_dims = frozenset(self.shape.order[self.shape.rows :])
        self.labels = 0
        self.slots: dict[Any, int] = {}
        self.allocas: list[str] = []
        self.accesses: dict[Any, Access] = {}
        self.stage: dict[Value, int] = {}
        self.temps: dict[Value, str] = {}
        self.cells: dict[Value, str] = {}
        self.ending: dict[Value, str] = {}
        self.loads: dict[tuple, Register] = {}  # by access and dtype
        self.hoisted: dict[tuple, Register] = {}
        self.hidden: dict[tuple, Register] = {}

    # -- before writing ---------------------------------------------------------------------------

    def read_access(self, i: Instruction, v: Value) -> Access:
        """How an instruction reads an operand from memory."""
        found = self.nest.reads[v]
        rank = len(self.nest.dims)
        if i.name in REDUCTIONS:
            axes = aligned(v.shape, self.nest.dims)
        elif i.name in ("pad", "gather") and v is i.args[0]:
            return self.apart_access(i, found)
        else:
            full = self.nest.maps[i.output]
            axes = full[len(full) - len(v.shape) :]
            axes = tuple(None if n == 1 else d for n, d in zip(v.shape, axes, strict=True))
        assert axes is not None
        return Access(found.root, found.offset, by_dims(axes, found.strides, rank))

    def apart_access(self, i: Instruction, found: Place) -> Access:
        """How the array of a pad or gather is read, whose axes are not those of the result."""
        axes, rank = self.nest.maps[i.output], len(self.nest.dims)
        if i.name == "pad":
            back = sum(n * s for n, s in zip(i.args[1], found.strides, strict=True))
            strides = by_dims(axes, found.strides, rank)
            return Access(found.root, found.offset - back, strides)
        axis = i.args[2]
        behind = len(found.shape) - axis - 1
        kept = [*axes[:axis], *axes[len(axes) - behind :]]
        rest = [*found.strides[:axis], *found.strides[axis + 1 :]]
        return Access(found.root, found.offset, by_dims(kept, rest, rank))

    def store_access(self, v: Value) -> Access:
        """How a value is written to memory."""
        target = self.targets.get(v)
        if target is not None:
            strides = by_dims(self.nest.maps[v], target.strides, len(self.nest.dims))
            return Access(target.root, target.offset, strides)
        lies = self.layouts.get(v) or contiguous(v.shape)
        return Access(v, 0, by_dims(self.nest.maps[v], lies, len(self.nest.dims)))

    def is_row(self, v: Value) -> bool:
        """Whether a member's result is one number for each row."""
        return self.nest.inner is not None and not any(
            d in self.inner_dims for d in self.nest.maps[v] if d is not None
        )

    def endings(self) -> None:
        """How each reduction ends."""
        every = frozenset(range(len(self.nest.dims)))
        outer = every - self.inner_dims
        for v, over in self.nest.over.items():
            base = self.base(v.producer.args[0])  # type: ignore[union-attr]
            if (
                over == self.inner_dims
                and over != frozenset()
                and (over != every or self.nest.inner == every)
            ):
                self.ending[v] = ROW
            elif over == every or (over == outer and base is not None and self.is_row(base)):
                self.ending[v] = ALL
            elif over == outer:
                self.ending[v] = COLUMN
            else:
                self.ending[v] = WITHIN

    def stages(self) -> int:
        """Give each member its stage; the number of stages."""
        nest, last = self.nest, 0
        for i in nest.members:
            stage = 0
            for v in i.operands():
                base = self.base(v)
                if base is None:
                    continue
                wait = self.is_row(base) and not (self.row_level(i))
                stage = max(stage, self.stage[base] + wait)
            self.stage[i.output] = stage
            last = max(last, stage)
        return last + 1

    def row_level(self, i: Instruction) -> bool:
        """Whether a member is computed once for each row."""
        if i.name in REDUCTIONS:
            base = self.base(i.args[0])
            return base is not None and self.is_row(base)
        return self.is_row(i.output)

    def base(self, v: Value) -> Value | None:
        """The member whose result an operand looks at; None if it is read from memory."""
        if v in self.nest.reads:
            return None
        while v not in self.nest.maps:
            v = v.producer.args[0]  # type: ignore[union-attr]
        return v

    def weight(self, v: Value, seen: set) -> int:
        """How much it is to compute a value again in a later stage."""
        if v in seen or self.is_row(v):
            return 0
        seen.add(v)
        i = v.producer
        assert i is not None
        if i.name in DEAR or i.name in REDUCTIONS:
            return 100
        total = 1
        for u in i.operands():
            base = self.base(u)
            total += 1 if base is None else self.weight(base, seen)
        return total

    def keep_for_later(self) -> None:
        """Decide which results of a sweep wait in scratch memory for a later one."""
        nest = self.nest
        row = math.prod(nest.dims[d] for d in self.inner_dims)
        for i in nest.members:
            for u in i.operands():
                v = self.base(u)
                if v is None or self.is_row(v) or v in self.temps or v in nest.stored:
                    continue
                if row * v.dtype.itemsize > SCRATCH:
                    continue  # the stack is no place for it
                if self.stage[v] < self.stage[i.output] and self.weight(v, set()) > CHEAP:
                    self.temps[v] = ""

    # -- text -------------------------------------------------------------------------------------

    def write(self) -> Kernel:
        """Do it."""
        k, w = self.kernel, self.w
        self.endings()
        count = self.stages()
        self.keep_for_later()
        self.collect()
        self.merge()
        self.plan_rows(count)
        w.lines.append(
            "define void @KERNEL(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end)"
            f" {ATTRIBUTES} {{"
        )
        w.block("entry")
        at_allocas = len(w.lines)
        self.pointers()
        self.begin_chunk()
        if self.blocked:
            self.loop("block", "%begin", "%end", self.block_body, step=self.block)
        else:
            self.rows_once(count)
        self.end_chunk()
        w.put("ret void")
        w.lines.append("}")
        w.lines[at_allocas:at_allocas] = self.allocas
        k.text, k.functions = "\n".join([*sorted(w.intrinsics), *w.lines]), w.functions
        return k

    def collect(self) -> None:
        """All accesses to memory."""
        nest = self.nest
        for i in nest.members:
            for v in i.operands():
                if v in nest.reads:
                    self.accesses[i, v] = self.read_access(i, v)
        for v in nest.stored:
            if v not in nest.over or self.ending[v] in (ROW, WITHIN):
                self.accesses[v] = self.store_access(v)
        for v, ending in self.ending.items():
            if ending == COLUMN:
                self.accesses[v] = self.store_access(v)

    def merge(self) -> None:
        """Put the dimensions in order and join neighbours."""
        nest, order = self.nest, self.shape.order
        iota = {i.output: nest.maps[i.output][i.args[1]] for i in nest.members if i.name == "iota"}
        pinned = set(iota.values())
        for i in nest.members:
            if i.name in ("pad", "inside"):
                pinned |= {d for d, *_ in self.limits(i)}
        groups: list[list[int]] = []
        kinds = self.kinds()
        for position, d in enumerate(order):
            fits = bool(groups) and position != self.shape.rows
            if fits:
                p = groups[-1][-1]
                same = all(
                    a.strides[p] == a.strides[d] * nest.dims[d] for a in self.accesses.values()
                )
                fits = same and kinds[p] == kinds[d] and d not in pinned and p not in pinned
            if fits:
                groups[-1].append(d)
            else:
                groups.append([d])
        self.pinned = pinned
        self.position = {d: n for n, g in enumerate(groups) for d in g}
        self.sizes = [math.prod(nest.dims[d] for d in g) for g in groups]
        self.iota = {v: self.position.get(d) for v, d in iota.items()}
        for a in self.accesses.values():
            a.strides = [a.strides[g[-1]] for g in groups]
        rows = sum(1 for g in groups if g[0] in order[: self.shape.rows])
        if not self.over_any() and rows < len(groups) and len(groups) > 1 and self.joins(rows):
            rows = self.join_rows(rows)
        elif rows == 1 and len(groups) == 2 and not self.over_any() and self.joins(1):
            rows = self.join_rows(1)
        self.row_sizes, self.inner_sizes = self.sizes[:rows], self.sizes[rows:]
        self.inner_over = {
            v: frozenset(self.position[d] for d in over) for v, over in nest.over.items()
        }

    def limits(self, i: Instruction) -> list[tuple[int, int, int]]:
        """(dimension, first, end) of what a pad takes from its array, where that is not all."""
        axes, starts = self.nest.maps[i.output], i.args[1]
        if i.name == "pad":
            ends = tuple(s + n for s, n in zip(starts, i.args[0].shape, strict=True))
        else:
            starts, ends = i.args
        return [
            (d, s, e)
            for d, s, e, m in zip(axes, starts, ends, i.output.shape, strict=True)
            if e - s != m and d is not None
        ]

    def within(self, i: Instruction) -> Register | None:
        """Whether this element is inside what a pad takes; None if all are."""
        w, inside = self.w, None
        if not self.asks:
            return None
        index = [*self.row_index, *self.inner]
        for d, first, end in self.limits(i):
            at = index[self.position[d]]
            for test in (f"icmp sge i64 {at}, {first}", f"icmp slt i64 {at}, {end}"):
                one = w.emit(test, "i1")
                if inside is not None:
                    one = w.emit(f"and i1 {inside.name}, {one.name}", "i1")
                inside = one
        return inside

    def over_any(self) -> bool:
        """Whether rows and inner dimensions differ in what is done over them."""
        return any(e != ALL for e in self.ending.values()) or bool(self.pinned)

    def joins(self, rows: int) -> bool:
        """Whether the rows and the inner dimension are one stretch of memory everywhere."""
        if rows != 1 or len(self.sizes) != 2:
            return False
        n = self.sizes[1]
        return all(a.strides[0] == a.strides[1] * n for a in self.accesses.values())

    def join_rows(self, rows: int) -> int:
        """Make them one."""
        self.sizes = [self.sizes[0] * self.sizes[1]]
        for a in self.accesses.values():
            a.strides = [a.strides[1]]
        return 1

    def kinds(self) -> list:
        """For each dimension which reductions are over it, and which results have it."""
        nest = self.nest
        return [
            tuple(d in over for over in nest.over.values())
            + tuple(d in nest.maps[i.output] for i in nest.members)
            for d in range(len(nest.dims))
        ]

    def plan_rows(self, count: int) -> None:
        """Extent, grain and block."""
        k = self.kernel
        self.count = count
        rows, inner = math.prod(self.row_sizes), math.prod(self.inner_sizes)
        row_members = [i for i in self.nest.members if self.row_level(i)]
        self.blocked = bool(row_members) or count > 1 or ROW in self.ending.values()
        cost = sum(20 if i.name in DEAR else 1 for i in self.nest.members)
        cost = (cost + MEMORY_COST * len({a.key for a in self.accesses.values()})) * inner
        k.extent = rows
        k.grain = max(1, min(rows, CHUNK // max(cost, 1)))
        partial = any(e in (COLUMN, ALL) for e in self.ending.values())
        if partial:
            columns = [v.size for v, e in self.ending.items() if e == COLUMN]
            chunks = CHUNKS
            if columns:  # short sums, joined at the end, round less than a long one
                k.grain = min(k.grain, SHORT)
                chunks = max(CHUNKS, min(1 << 10, (1 << 16) // max(columns)))
            k.grain = max(k.grain, -(-rows // chunks))
        if not self.inner_sizes and rows % EVEN == 0:
            k.grain = -(-k.grain // EVEN) * EVEN
        self.block = max(1, min(64, 4096 // max(inner, 1), rows)) if self.blocked else 1
        if self.blocked and k.grain > self.block:
            k.grain -= k.grain % self.block
        self.chunks = -(-rows // k.grain)

    def label(self, name: str) -> str:
        """A new label."""
        self.labels += 1
        return f"{name}{self.labels}"

    # -- slots, pointers, cells -------------------------------------------------------------------

    def slot(self, root: Value, offset: int) -> int:
        """The number of a pointer among the kernel's."""
        key = (root, offset)
        if key not in self.slots:
            self.slots[key] = len(self.kernel.slots)
            self.kernel.slots.append(root)
            self.kernel.params.append(offset)
        return self.slots[key]

    def pointers(self) -> None:
        """Load the addresses of all memory."""
        w = self.w
        for a in self.accesses.values():
            self.slot(a.root, a.offset)
        for v, ending in self.ending.items():
            if ending == ALL:
                self.slot(v, 0)
        for (root, _), n in self.slots.items():
            type = MEMORY[code(root.dtype)]
            w.put(f"%s{n}a = getelementptr i32, ptr %slots, i64 {n}")
            w.put(f"%s{n} = load i32, ptr %s{n}a")
            w.put(f"%p{n}a = getelementptr ptr, ptr %buffers, i32 %s{n}")
            w.put(f"%p{n}b = load ptr, ptr %p{n}a")
            w.put(f"%o{n}a = getelementptr i64, ptr %params, i64 {n}")
            w.put(f"%o{n} = load i64, ptr %o{n}a")
            w.put(f"%p{n} = getelementptr {type}, ptr %p{n}b, i64 %o{n}")
        for key, a in self.accesses.items():
            if not isinstance(key, tuple) or self.is_apart(*key):
                continue
            number = (a.key, key[1].dtype)
            if not any(a.strides) and number not in self.hoisted:
                at = f"%p{self.slot(a.root, a.offset)}"
                self.hoisted[number] = self.get_memory(at, key[1].dtype)
        self.hide_infinities()

    def hide_infinities(self) -> None:
        """Infinities that stand for masked elements of a maximum or minimum come from memory.

        LLVM would make max(m, select(mask, x, -inf)) into select(mask, max(m, x), m), a loop that
        it then cannot vectorise.
        """
        if not any(i.name in ("maximum.reduce", "minimum.reduce") for i in self.nest.members):
            return
        for i in self.nest.members:
            for a in i.args if i.name == "where" and is_float(i.output.dtype) else ():
                key = None if isinstance(a, Value) else (float(a), i.output.dtype)
                if key and math.isinf(key[0]) and key not in self.hidden:
                    at, type = self.alloca(i.output.dtype, 1), MEMORY[code(i.output.dtype)]
                    number = self.w.const(a, i.output.dtype)
                    self.w.put(f"store volatile {type} {number.name}, ptr {at}")
                    self.w.put(f"{at}.hidden = load volatile {type}, ptr {at}")
                    self.hidden[key] = Register(self.w, f"{at}.hidden", type)

    def is_apart(self, i: Instruction, v: Value) -> bool:
        """Whether memory is read at places of the instruction's own."""
        return i.name in ("pad", "gather") and v is i.args[0]

    def alloca(self, dtype: np.dtype, size: int) -> str:
        """Memory of the kernel's own."""
        name = f"%m{len(self.allocas)}"
        self.allocas.append(f"  {name} = alloca {MEMORY[code(dtype)]}, i64 {size}, align 64")
        return name

    def begin_chunk(self) -> None:
        """Partial results begin with the identity."""
        nest, w = self.nest, self.w
        if COLUMN in self.ending.values() or ALL in self.ending.values():
            w.put(f"%chunk = udiv i64 %begin, {self.kernel.grain}")
        inner = math.prod(self.inner_sizes)
        for v in nest.maps:
            if v in self.temps:
                self.temps[v] = self.alloca(v.dtype, self.block * inner)
            if self.is_row(v) and (v not in nest.over or self.ending[v] == ROW):
                self.cells[v] = self.alloca(v.dtype, self.block)
        for v, ending in self.ending.items():
            i = v.producer
            assert i is not None
            start = w.const(identity(i, reduced_dtype(i)), reduced_dtype(i))
            if ending == ROW and v not in self.cells:
                self.cells[v] = self.alloca(v.dtype, self.block)
            elif ending == ALL:
                self.cells[v] = self.alloca(v.dtype, 1)
                self.put_memory(start, self.cells[v], v.dtype)
                self.kernel.partials.append((v, i, self.chunks, 1))
            elif ending == COLUMN:
                self.kernel.partials.append((v, i, self.chunks, v.size))
                n = self.slot(v, 0)
                type = MEMORY[code(v.dtype)]
                w.put(f"%c{n}o = mul i64 %chunk, {v.size}")
                w.put(f"%c{n} = getelementptr {type}, ptr %p{n}, i64 %c{n}o")

                def fill(j: str, v: Value = v, n: int = n, start: Register = start) -> None:
                    at = self.w.emit(
                        f"getelementptr {MEMORY[code(v.dtype)]}, ptr %c{n}, i64 {j}", "ptr"
                    )
                    self.put_memory(start, at.name, v.dtype)

                self.loop("clear", "0", str(v.size), fill)

    def end_chunk(self) -> None:
        """Partial results that were kept in cells go to memory."""
        w = self.w
        for v, ending in self.ending.items():
            if ending == ALL:
                n, type = self.slot(v, 0), MEMORY[code(v.dtype)]
                at = w.emit(f"getelementptr {type}, ptr %p{n}, i64 %chunk", "ptr")
                self.put_memory(self.get_memory(self.cells[v], v.dtype), at.name, v.dtype)

    def get_memory(self, at: str, dtype: np.dtype, group: bool = False) -> Register:
        """A number from memory."""
        w, kind = self.w, code(dtype)
        end = ", !llvm.access.group !0" if group else ""
        w.count += 1
        name = f"%v{w.count}"
        w.put(f"{name} = load {MEMORY[kind]}, ptr {at}, align {min(dtype.itemsize, 8)}{end}")
        x = Register(w, name, MEMORY[kind])
        if kind in HALVES:
            return w.widened(x, kind)
        if kind != "b1":
            return x
        return w.emit(f"icmp ne i8 {x.name}, 0", "i1")

    def put_memory(self, x: Register, at: str, dtype: np.dtype, group: bool = False) -> None:
        """A number into memory."""
        w, kind = self.w, code(dtype)
        if kind == "b1":
            x = w.convert(x, "zext", "i8")
        elif kind in HALVES:
            x = w.shortened(x, kind)
        end = ", !llvm.access.group !0" if group else ""
        w.put(f"store {MEMORY[kind]} {x.name}, ptr {at}, align {min(dtype.itemsize, 8)}{end}")

    # -- loops ------------------------------------------------------------------------------------

    def loop(
        self, name: str, start: str, stop: str, body: Callable, step: int = 1, last: bool = True
    ) -> None:
        """for index in range(start, stop, step): body(index); at least once. `last`: the innermost,
        whose accesses to memory do not depend on each other.
        """
        w = self.w
        head, done = self.label(name), self.label("done")
        before = self.label("before")
        w.put(f"br label %{before}")
        w.block(before)
        w.put(f"br label %{head}")
        w.block(head)
        index = f"%{head}.i"
        place = len(w.lines)
        w.lines.append("")
        body(index)
        latch = self.label("next")
        w.put(f"br label %{latch}")
        w.block(latch)
        w.put(f"{index}.next = add nsw i64 {index}, {step}")
        w.put(f"{index}.more = icmp slt i64 {index}.next, {stop}")
        note = f", !llvm.loop !LOOP{self.labels}!" if last and step == 1 else ""
        w.put(f"br i1 {index}.more, label %{head}, label %{done}{note}")
        w.lines[place] = f"  {index} = phi i64 [ {start}, %{before} ], [ {index}.next, %{latch} ]"
        w.block(done)

    def block_body(self, begin: str) -> None:
        """A block of rows, stage by stage."""
        w = self.w
        if self.block == 1:
            self.first, self.stop = begin, ""
        else:
            stop = w.emit(f"add i64 {begin}, {self.block}", "i64")
            w.intrinsics.add("declare i64 @llvm.smin.i64(i64, i64)")
            stop = w.emit(f"call i64 @llvm.smin.i64(i64 {stop.name}, i64 %end)", "i64")
            self.first, self.stop = begin, stop.name
        for stage in range(self.count):
            self.sweep(stage)
            rows = [
                i for i in self.nest.members if self.stage[i.output] == stage and self.row_level(i)
            ]
            if rows or self.row_stores(stage):
                self.over_rows(lambda r, s=stage, m=rows: self.row_body(r, s, m), True)

    def over_rows(self, body: Callable, last: bool) -> None:
        """For each row of the block."""
        if self.block == 1:
            body(self.first)
        else:
            self.loop("row", self.first, self.stop, body, last=last)

    def row_stores(self, stage: int) -> list[Value]:
        """Reductions of a stage that go to memory row by row."""
        return [v for v in self.nest.stored if self.ending.get(v) == ROW and self.stage[v] == stage]

    def rows_once(self, count: int) -> None:
        """All rows, in one stage."""
        first, stop = self.first, self.stop = self.bounds()
        self.loop("row", first, stop, lambda r: self.sweep_row(r, 0), last=not self.inner_sizes)

    def bounds(self) -> tuple[str, str]:
        """Where a chunk begins and ends, so that LLVM sees what is known of it: numbers where there
        is but one short chunk; multiples of EVEN where all chunks are, which leaves no rest of
        vectors to make code for.
        """
        k, w = self.kernel, self.w
        if k.extent <= EVEN and k.grain >= k.extent:
            return "0", str(k.extent)
        if k.extent % EVEN or k.grain % EVEN:
            return "%begin", "%end"
        begin, end = (w.emit(f"and i64 {at}, -{EVEN}", "i64").name for at in ("%begin", "%end"))
        return begin, end

    def sweep(self, stage: int) -> None:
        """A sweep over the block."""
        members = self.swept(stage)
        if members:
            self.over_rows(lambda r: self.sweep_row(r, stage), not self.inner_sizes)

    def swept(self, stage: int) -> list[Instruction]:
        """The members that a stage computes element by element."""
        return [
            i for i in self.nest.members if self.stage[i.output] == stage and not self.row_level(i)
        ]

    def sweep_row(self, r: str, stage: int) -> None:
        """The inner loops of one row."""
        self.row = r
        self.row_index = self.split(r)
        members = self.swept(stage)
        ends = [i for i in members if i.name in REDUCTIONS]
        for i in ends:
            if self.ending[i.output] == ROW:
                self.put_memory(self.start(i), self.cell(i.output).name, i.output.dtype)
            elif self.ending[i.output] == WITHIN:
                self.clear_within(i)
        self.loads = dict(self.hoisted)
        self.in_row(members)
        self.plan_pieces(ends)
        self.nested(0, [], members, ends)

    def plan_pieces(self, ends: list) -> None:
        """Long sums of a row that lie in memory are taken in pieces: short sums, in memory of their
        own, round less than a long one. `pieces` has that memory, `pieced` the loop cut in pieces.
        """
        rows, self.pieces, self.pieced = len(self.row_sizes), {}, -1
        sums = [i.output for i in ends if i.name == "add.reduce"]
        sums = [v for v in sums if self.ending[v] == WITHIN and is_float(v.dtype)]
        over = {p - rows for v in sums for p in self.inner_over[v]} - {len(self.inner_sizes) - 1}
        longest = max(over, key=self.inner_sizes.__getitem__, default=-1)
        if math.prod(self.inner_sizes[d] for d in over) <= SHORT:
            return
        for v in sums:
            size = math.prod(self.inner_sizes[d] for d in self.kept_within(v, longest + 1))
            if rows + longest in self.inner_over[v] and size * v.dtype.itemsize <= SCRATCH:
                self.pieces[v] = self.alloca(v.dtype, size)
                self.pieced = longest

    def kept_within(self, v: Value, first: int) -> list[int]:
        """The inner dimensions, from one on, that a sum of a row in memory has."""
        rows = len(self.row_sizes)
        every = range(first, len(self.inner_sizes))
        return [d for d in every if rows + d not in self.inner_over[v]]

    def piece_address(self, v: Value, inner: list[str]) -> str:
        """Where a sum's piece is kept, at these inner indices."""
        w, kept = self.w, self.kept_within(v, self.pieced + 1)
        total = "0"
        for d, n in zip(kept, contiguous(tuple(self.inner_sizes[d] for d in kept)), strict=True):
            term = inner[d] if n == 1 else w.emit(f"mul nsw i64 {inner[d]}, {n}", "i64").name
            total = term if total == "0" else w.emit(f"add nsw i64 {total}, {term}", "i64").name
        type = MEMORY[code(v.dtype)]
        at = f"getelementptr inbounds {type}, ptr {self.pieces[v]}, i64 {total}"
        return w.emit(at, "ptr").name

    def total_address(self, v: Value, inner: list[str]) -> str:
        """Where a sum in memory is added up, at these inner indices."""
        if v in self.pieces and len(inner) > self.pieced:
            return self.piece_address(v, inner)
        return self.address(self.accesses[v], inner)

    def over_kept(self, v: Value, inner: list[str], body: Callable) -> None:
        """body(inner indices) for each element of a sum in memory, from some indices on."""
        depth = len(inner)
        kept = self.kept_within(v, depth)
        if depth == len(self.inner_sizes):
            body(inner)
        elif not kept or depth != kept[0]:
            self.over_kept(v, [*inner, "0"], body)
        else:
            size = str(self.inner_sizes[depth])
            last = len(kept) == 1

            def one(j: str) -> None:
                self.over_kept(v, [*inner, j], body)

            self.loop("kept", "0", size, one, last=last)

    def piece(self, begin: str, inner: list[str], members: list, ends: list) -> None:
        """One piece of the loop that is cut: the short sums, and what they are added to."""
        w = self.w
        stop = w.emit(f"add i64 {begin}, {SHORT}", "i64").name
        w.intrinsics.add("declare i64 @llvm.smin.i64(i64, i64)")
        size = self.inner_sizes[self.pieced]
        stop = w.emit(f"call i64 @llvm.smin.i64(i64 {stop}, i64 {size})", "i64").name
        sums = [i for i in ends if i.output in self.pieces]
        for i in sums:

            def clear(at: list[str], i: Instruction = i) -> None:
                self.put_memory(self.start(i), self.piece_address(i.output, at), i.output.dtype)

            self.over_kept(i.output, [*inner, "0"], clear)
        self.loop(
            "inner",
            begin,
            stop,
            lambda j: self.nested(self.pieced + 1, [*inner, j], members, ends),
            last=False,
        )
        for i in sums:

            def add(at: list[str], i: Instruction = i) -> None:
                v, dtype = i.output, reduced_dtype(i)
                place = self.address(self.accesses[v], at)
                new = self.get_memory(self.piece_address(v, at), v.dtype)
                old = self.get_memory(place, v.dtype)
                self.put_memory(combine(w, i, dtype, old, new), place, v.dtype)

            self.over_kept(i.output, [*inner, "0"], add)

    pieces: dict[Value, str] = {}
    pieced = -1  # the depth of the loop that is cut in pieces

    def start(self, i: Instruction) -> Register:
        dtype = reduced_dtype(i)
        return self.w.const(identity(i, dtype), dtype)

    def split(self, r: str) -> list[str]:
        """A row's number as indices of the row dimensions."""
        w, out, sizes = self.w, [], self.row_sizes
        if len(sizes) <= 1:
            return [r] * len(sizes)
        rest = r
        for n in reversed(sizes[1:]):
            out.append(w.emit(f"urem i64 {rest}, {n}", "i64").name)
            rest = w.emit(f"udiv i64 {rest}, {n}", "i64").name
        return [rest, *reversed(out)]

    def cell(self, v: Value) -> Register:
        """Where the number of this row is kept."""
        w, type = self.w, MEMORY[code(v.dtype)]
        if self.ending.get(v) == ALL or self.block == 1:
            return Register(w, self.cells[v], "ptr")
        offset = w.emit(f"sub i64 {self.row}, {self.first}", "i64")
        return w.emit(f"getelementptr {type}, ptr {self.cells[v]}, i64 {offset.name}", "ptr")

    def in_row(self, members: list[Instruction]) -> None:
        """Load what does not vary in a row."""
        rows = len(self.row_sizes)
        for key, a in self.accesses.items():
            if not isinstance(key, tuple) or self.is_apart(*key):
                continue
            number = (a.key, key[1].dtype)
            if not any(a.strides[rows:]) and key[0] in members and number not in self.loads:
                at = self.address(a, [])
                self.loads[number] = self.get_memory(at, key[1].dtype, not self.inner_sizes)

    def address(self, a: Access, inner: list[str]) -> str:
        """The address of an access at the row's and the inner indices."""
        w = self.w
        n = self.slot(a.root, a.offset)
        index = [*self.row_index, *inner]
        total = None
        for i, s in zip(index, a.strides, strict=False):
            if s == 0:
                continue
            term = i if s == 1 else w.emit(f"mul nsw i64 {i}, {s}", "i64").name
            total = term if total is None else w.emit(f"add nsw i64 {total}, {term}", "i64").name
        base = f"%p{n}"
        if self.ending.get(a.root) == COLUMN:
            base = f"%c{n}"
        if total is None:
            return base
        type = MEMORY[code(a.root.dtype)]
        return w.emit(f"getelementptr inbounds {type}, ptr {base}, i64 {total}", "ptr").name

    def nested(self, depth: int, inner: list[str], members: list, ends: list) -> None:
        """The inner loops from a depth on."""
        if depth == len(self.inner_sizes):
            self.body(inner, members)
            return
        last = depth == len(self.inner_sizes) - 1
        if last:
            self.innermost(inner, members, ends)
        elif depth == self.pieced:
            size = str(self.inner_sizes[depth])
            piece = functools.partial(self.piece, inner=inner, members=members, ends=ends)
            self.loop("piece", "0", size, piece, step=SHORT, last=False)
        else:
            self.loop(
                "inner",
                "0",
                str(self.inner_sizes[depth]),
                lambda j: self.nested(depth + 1, [*inner, j], members, ends),
                last=False,
            )

    def innermost(self, inner: list[str], members: list, ends: list) -> None:
        """The innermost loop, with running totals in registers."""
        found = None if ends else self.middle(members)
        if found is not None:
            self.in_three(inner, members, *found)
            return
        w = self.w
        rows = len(self.row_sizes)
        position = rows + len(inner)
        carried = [i for i in ends if position in self.inner_over[i.output]]
        head, done, before = self.label("inner"), self.label("done"), self.label("before")
        w.put(f"br label %{before}")
        w.block(before)
        w.put(f"br label %{head}")
        w.block(head)
        j = f"%{head}.i"
        place = len(w.lines)
        w.lines += [""] * (1 + len(carried))
        self.totals = {
            i.output: Register(w, f"{j}.t{n}", REGISTER[code(reduced_dtype(i))])
            for n, i in enumerate(carried)
        }
        self.body([*inner, j], members)
        latch = self.label("next")
        w.put(f"br label %{latch}")
        w.block(latch)
        w.put(f"{j}.next = add nsw i64 {j}, 1")
        w.put(f"{j}.more = icmp slt i64 {j}.next, {self.inner_sizes[-1]}")
        w.put(f"br i1 {j}.more, label %{head}, label %{done}, !llvm.loop !LOOP{self.labels}!")
        w.lines[place] = f"  {j} = phi i64 [ 0, %{before} ], [ {j}.next, %{latch} ]"
        for n, i in enumerate(carried):
            t, new = REGISTER[code(reduced_dtype(i))], self.totals[i.output].name
            w.lines[place + 1 + n] = (
                f"  {j}.t{n} = phi {t} [ {self.start(i).name}, %{before} ], [ {new}, %{latch} ]"
            )
        w.block(done)
        for i in carried:
            self.take_total(i, inner)
        self.totals = {}

    def middle(self, members: list[Instruction]) -> tuple[int, int, list] | None:
        """(first, end, other limits) of the innermost dimension's part where all pads are inside of
        their arrays, as far as that dimension goes; None if there are none or it is small.
        """
        last, n = len(self.sizes) - 1, self.inner_sizes[-1]
        first, end, others = 0, n, []
        for i in members:
            for d, start, stop in self.limits(i) if i.name in ("pad", "inside") else ():
                if self.position[d] == last:
                    first, end = max(first, start), min(end, stop)
                else:
                    others.append((self.position[d], start, stop))
        none = not others and (first, end) == (0, n)
        return None if none or 2 * (end - first) < n else (first, end, others)

    def in_three(
        self, inner: list[str], members: list[Instruction], first: int, end: int, others: list
    ) -> None:
        """The innermost loop where there are pads: without questions in the middle of rows that are
        inside of all arrays, with them for the ends of such rows and for other rows.
        """
        w, n = self.w, self.inner_sizes[-1]
        index, sure = [*self.row_index, *inner], "true"
        for position, start, stop in dict.fromkeys(others):
            at = index[position]
            for test in (
                f"sge i64 {at}, {start}",
                f"slt i64 {at}, {stop}",
            ):
                sure = w.emit(f"and i1 {sure}, {w.emit(f'icmp {test}', 'i1').name}", "i1").name
        middle, sides, part = self.label("middle"), self.label("sides"), self.label("part")
        over, before = self.label("over"), self.label("before")
        w.put(f"br i1 {sure}, label %{middle}, label %{sides}")
        w.block(middle)
        self.asks = False
        self.loop("inner", str(first), str(end), lambda j: self.body([*inner, j], members))
        self.asks = True
        w.put(f"br label %{sides}")
        w.block(sides)
        stop = w.emit(f"select i1 {sure}, i64 {first}, i64 {n}", "i64").name
        w.put(f"br label %{part}")
        w.block(part)
        again = self.label("again")
        w.put(f"%{part}.a = phi i64 [ 0, %{sides} ], [ {end}, %{again} ]")
        w.put(f"%{part}.b = phi i64 [ {stop}, %{sides} ], [ {n}, %{again} ]")
        w.put(f"%{part}.any = icmp slt i64 %{part}.a, %{part}.b")
        w.put(f"br i1 %{part}.any, label %{before}, label %{over}")
        w.block(before)
        self.loop("inner", f"%{part}.a", f"%{part}.b", lambda j: self.body([*inner, j], members))
        w.put(f"br label %{over}")
        w.block(over)
        w.put(f"%{part}.last = icmp eq i64 %{part}.b, {n}")
        out = self.label("out")
        w.put(f"br i1 %{part}.last, label %{out}, label %{again}")
        w.block(again)
        w.put(f"br label %{part}")
        w.block(out)

    def take_total(self, i: Instruction, inner: list[str]) -> None:
        """Add a total to where it belongs."""
        v, dtype = i.output, reduced_dtype(i)
        total = self.totals[v]
        if self.ending[v] in (ROW, ALL):
            at = self.cell(v).name
        else:
            at = self.total_address(v, [*inner, "0"])
        self.put_memory(combine(self.w, i, dtype, self.get_memory(at, v.dtype), total), at, v.dtype)

    def clear_within(self, i: Instruction) -> None:
        """Begin the sums of a row that lie in memory."""
        v, a = i.output, self.accesses[i.output]

        def clear(at: list[str]) -> None:
            self.put_memory(self.start(i), self.address(a, at), v.dtype)

        self.over_kept(v, [], clear)

    def body(self, inner: list[str], members: list[Instruction]) -> None:
        """The members of a stage at one element."""
        self.inner = inner
        self.values: dict[Value, Register] = {}
        self.read: dict[Any, Register] = {}
        for i in members:
            v = i.output
            if i.name in REDUCTIONS:
                self.reduce(i)
                continue
            x = self.element(i)
            self.values[v] = x
            if v in self.nest.stored:
                self.put_memory(x, self.address(self.accesses[v], inner), v.dtype, True)
            if v in self.temps:
                self.put_memory(x, self.temp_address(v), v.dtype, True)

    def element(self, i: Instruction) -> Register:
        """One element of a member's result."""
        if i.name == "iota":
            at = self.iota[i.output]
            index = [*self.row_index, *self.inner]
            return Register(self.w, "0" if at is None else index[at], "i64")
        if i.name == "pad":
            return self.padded(i)
        if i.name == "gather":
            return self.gathered(i)
        if i.name == "inside":
            return self.within(i) or self.w.const(True, np.dtype(bool))
        return emit_element(self.w, i, lambda a, dtype: self.operand(i, a, dtype))

    def padded(self, i: Instruction) -> Register:
        """An element of an array in zeros: loaded only where the array is."""
        w, v = self.w, i.args[0]
        inside = self.within(i)
        a = self.accesses[i, v]
        if inside is None:
            return self.fetch(i, v)
        before, there, after = self.label("before"), self.label("there"), self.label("after")
        w.put(f"br label %{before}")
        w.block(before)
        w.put(f"br i1 {inside.name}, label %{there}, label %{after}")
        w.block(there)
        x = self.get_memory(self.address(a, self.inner), v.dtype, True)
        w.put(f"br label %{after}")
        w.block(after)
        zero = w.const(0, v.dtype).name
        return w.emit(f"phi {x.type} [ {x.name}, %{there} ], [ {zero}, %{before} ]", x.type)

    def gathered(self, i: Instruction) -> Register:
        """An element at an index, counted from the end if negative, kept inside the array."""
        w, (v, index, axis) = self.w, i.args
        n, dtype = v.shape[axis], np.dtype(np.int64)
        at = self.operand(i, index, dtype)
        behind = w.emit(f"add i64 {at.name}, {n}", "i64")
        negative = w.emit(f"icmp slt i64 {at.name}, 0", "i1")
        at = w.select(negative, behind, at)
        w.intrinsics |= {
            "declare i64 @llvm.smax.i64(i64, i64)",
            "declare i64 @llvm.smin.i64(i64, i64)",
        }
        at = w.emit(f"call i64 @llvm.smax.i64(i64 {at.name}, i64 0)", "i64")
        at = w.emit(f"call i64 @llvm.smin.i64(i64 {at.name}, i64 {n - 1})", "i64")
        step = self.nest.reads[v].strides[axis]
        moved = w.emit(f"mul nsw i64 {at.name}, {step}", "i64")
        base = self.address(self.accesses[i, v], self.inner)
        type = MEMORY[code(v.dtype)]
        address = w.emit(f"getelementptr {type}, ptr {base}, i64 {moved.name}", "ptr")
        return self.get_memory(address.name, v.dtype, True)

    def operand(self, i: Instruction, a: Any, dtype: np.dtype) -> Register:
        """An argument at this element, cast."""
        if not isinstance(a, Value):
            if self.hidden and i.name == "where" and (float(a), dtype) in self.hidden:
                return self.hidden[float(a), dtype]
            return self.w.const(a, dtype)
        return self.w.cast(self.fetch(i, a), a.dtype, dtype)

    def fetch(self, i: Instruction, v: Value) -> Register:
        """An operand at this element."""
        if v in self.nest.reads:
            a = self.accesses[i, v]
            number = (a.key, v.dtype)
            if number in self.loads:
                return self.loads[number]
            if number not in self.read:
                at = self.address(a, self.inner)
                self.read[number] = self.get_memory(at, v.dtype, True)
            return self.read[number]
        base = self.base(v)
        assert base is not None
        return self.member(base)

    def member(self, v: Value) -> Register:
        """A member's result at this element: known, in memory, or computed again."""
        if v in self.values:
            return self.values[v]
        if v in self.cells and (self.is_row(v) or self.ending.get(v) == ROW):
            x = self.get_memory(self.cell(v).name, v.dtype)
        elif v in self.temps:
            x = self.get_memory(self.temp_address(v), v.dtype, True)
        elif v in self.nest.stored:
            x = self.get_memory(self.address(self.accesses[v], self.inner), v.dtype, True)
        else:
            i = v.producer
            assert i is not None
            x = self.element(i)
        self.values[v] = x
        return x

    def temp_address(self, v: Value) -> str:
        """Where a kept result of this element is."""
        w, type = self.w, MEMORY[code(v.dtype)]
        total: str = "0"
        for j, n in zip(self.inner, contiguous(tuple(self.inner_sizes)), strict=True):
            term = j if n == 1 else w.emit(f"mul nsw i64 {j}, {n}", "i64").name
            total = term if total == "0" else w.emit(f"add nsw i64 {total}, {term}", "i64").name
        if self.block > 1:
            row = w.emit(f"sub i64 {self.row}, {self.first}", "i64").name
            start = w.emit(f"mul nsw i64 {row}, {math.prod(self.inner_sizes)}", "i64").name
            total = w.emit(f"add nsw i64 {total}, {start}", "i64").name
        return w.emit(
            f"getelementptr inbounds {type}, ptr {self.temps[v]}, i64 {total}", "ptr"
        ).name

    def reduce(self, i: Instruction) -> None:
        """Take this element into a reduction."""
        w, v, dtype = self.w, i.output, reduced_dtype(i)
        x = self.operand(i, i.args[0], dtype)
        if v in self.totals:
            self.totals[v] = combine(w, i, dtype, self.totals[v], x)
            return
        if self.ending[v] in (ROW, ALL):
            at = self.cell(v).name
        else:
            at = self.total_address(v, self.inner)
        group = self.ending[v] in (COLUMN, WITHIN)
        old = self.get_memory(at, v.dtype, group)
        self.put_memory(combine(w, i, dtype, old, x), at, v.dtype, group)

    totals: dict[Value, Register] = {}
    asks = True  # whether elements of pads have to be asked if they are inside

    def row_body(self, r: str, stage: int, members: list[Instruction]) -> None:
        """What is computed once for each row, after a sweep."""
        self.row, self.row_index, self.inner = r, self.split(r), ["0"] * len(self.inner_sizes)
        self.values, self.read, self.totals = {}, {}, {}
        self.loads = dict(self.hoisted)
        for v in self.row_stores(stage):
            self.put_memory(self.member(v), self.address(self.accesses[v], self.inner), v.dtype)
        for i in members:
            v = i.output
            if i.name in REDUCTIONS:
                self.reduce(i)
                continue
            x = self.element(i)
            self.values[v] = x
            self.put_memory(x, self.cell(v).name, v.dtype, True)
            if v in self.nest.stored:
                self.put_memory(x, self.address(self.accesses[v], self.inner), v.dtype, True)


DEAR = frozenset(
    [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "arctan2",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "power",
        "sigmoid",
        "erf",
        "erfc",
        "erfinv",
        "log1p_exp",
        "twice_normal",
        "cbrt",
        "hypot",
    ]
)
