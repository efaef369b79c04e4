"""From a program to a plan of the runtime: groups, kernels, memory, records.

Every root value gets a slot: inputs and outputs that are fixed memory, arrays that come with each
call, constants, and places in one arena, shared by values that are not needed at the same time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import (
    blas,
    checks,
    direct,
    draws,
    factors,
    foreign,
    frames,
    machine,
    places,
    pools,
    products,
    turned,
    vecmath,
)
from .fuse import Call, Fusion, Group, Nest
from .kernels import COPY, combining, scattering
from .nests import Kernel, NestWriter, write
from .passes import has_effect
from .program import Instruction, Program, Value, check_shape, results
from .routines import Routine
from .runtime import Record, kernel
from .views import Place, contiguous, dense, place

ROUTINES = (
    checks.routine,
    draws.routine,
    direct.routine,
    pools.routine,
    frames.routine,
    turned.routine,
    factors.routine,
    places.routine,
    foreign.routine,
)

TYPES = {"<f4": "f32", "<f8": "f64"}  # in names of kernels for products


class Output:
    """Where an output of the program goes: to a fresh array of each call (`target` None), or to the
    memory of an input, or to memory of its own that stays (`array`). `axes`: those of the result in
    the order in which the output has them, where that is not their own.
    """

    axes: tuple | None = None

    def __init__(self, value: Value, target: Value | None = None, array: Any = None) -> None:
        self.value, self.target, self.array = value, target, array

    @property
    def type(self) -> str:
        """That of the result."""
        shape = (
            self.value.shape if self.axes is None else [self.value.shape[n] for n in self.back()]
        )
        return f"{self.value.dtype}[{', '.join(map(str, shape))}]"

    def rows(self, result: Any) -> Any:
        """An array of the result as one of the output."""
        return result if self.axes is None else result.transpose(self.axes)

    def back(self) -> tuple:
        """The order of the output's axes in the result."""
        assert self.axes is not None
        return tuple([self.axes.index(n) for n in range(len(self.axes))])


class Planner:
    """Builds the plan of a program.

    Args:
        program: simplified; its outputs are not looked at.
        outputs: what is wanted, and where.
        fixed: for inputs whose memory is always the same, the array.
        layouts: strides, in elements, of inputs that are not row-major.
    """

    def __init__(
        self,
        program: Program,
        outputs: Sequence[Output],
        fixed: dict[Value, Any],
        layouts: dict[Value, tuple],
    ) -> None:
        self.outputs = list(outputs)
        self.fixed = dict(fixed)
        self.layouts = layouts
        self.program = program
        apart(program)
        self.separate()
        program.outputs = [o.value for o in self.outputs]
        program.verify()
        self.fusion = Fusion(program, layouts)
        self.groups = self.fusion.groups
        self.slots: dict[Any, int] = {}
        self.records: list[Record] = []
        self.calls: dict[int, Callable] = {}
        self.functions: set[tuple[str, str]] = set()
        self.uses: dict[Value, list[int]] = {}
        self.python: list[Instruction] = []
        self.errors: list[Any] = []  # what kernels may find wrong
        self.written = False  # whether one of the records so far writes state
        self.generators: list[Any] = []  # whose numbers are drawn
        self.build()

    # -- outputs ----------------------------------------------------------------------------------

    def separate(self) -> None:
        """Give every output a computed value of its own, or all of one, in another shape."""
        taken: set[Value] = set()
        self.reshaped: dict[Value, Value] = {}  # computed values, and the outputs that they are
        own = {o.value for o in self.outputs}
        for o in self.outputs:
            v = o.value
            i = v.producer
            lies = place(v, self.layouts)
            if o.target is None and v not in taken and whole_of(lies, own | taken):
                assert lies is not None
                self.reshaped[lies.root] = v
                taken |= {v, lies.root}
                continue
            if i is None or v in taken or lies is None or lies.root is not v:
                apart = lies is not None and turned.axis_of(lies, v.dtype.str) is not None
                made = self.program.add(
                    "turned" if apart else "positive",
                    (v,),
                    {},
                    [np.broadcast_to(np.empty((), v.dtype), v.shape)],
                )
                o.value = made.output
            taken.add(o.value)

    # -- all --------------------------------------------------------------------------------------

    def build(self) -> None:
        """Kernels, then memory, then records."""
        steps: list[tuple[Group, Any]] = []
        for g in self.groups:
            steps.append(
                (g, write(g, self.layouts, self.fusion.targets) if isinstance(g, Nest) else None)
            )
        self.steps = steps
        calls = [g.members[0] for g, _ in steps if isinstance(g, Call)]
        found = {i: next(filter(None, (f(i, self) for f in ROUTINES)), None) for i in calls}
        self.routines: dict[Instruction, Routine] = {i: r for i, r in found.items() if r}
        for n, (g, k) in enumerate(steps):
            for v in self.touched(g, k):
                self.uses.setdefault(v, []).append(n)
        self.alias()
        self.place_all()
        self.announce(calls)
        self.addresses = self.compile()
        kept = {*self.home, *(o.value for o in self.outputs if o.array is not None)}
        for g, k in steps:
            if isinstance(k, Kernel):
                self.nest_records(k)
            else:
                self.call_records(g.members[0])
            self.written |= any(v in kept for v in g_outputs(g))
        self.copy_back()
        self.plan = draws.plan_for(self)(
            self.records,
            len(self.slots),
            arguments=[self.slots[v] for v in self.arguments],
            fixed={self.slots[v]: a for v, a in self.fixed_arrays().items()},
            arena=self.arena,
            places={self.slots[v]: at for v, at in self.offsets.items()},
            calls=self.calls,
            release=self.releases(),
            errors=self.errors,
        )

    def releases(self) -> bool:
        """Whether running takes long enough to let other threads run meanwhile."""
        return sum(r.extent for r in self.records) > 20000 or len(self.records) > 2000

    def touched(self, g: Group, k: Any) -> list[Value]:
        """The roots that a step reads or writes."""
        if isinstance(g, Nest):
            return list(dict.fromkeys(k.slots))
        i = g.members[0]
        found = [self.root(v) for v in i.operands()]
        return list(dict.fromkeys([*found, *[v for v in i.outputs if v is not None]]))

    def place_of(self, v: Value) -> Place:
        """Where a value lies."""
        found = place(v, self.layouts)
        assert found is not None, v
        return found

    def root(self, v: Value) -> Value:
        """The root that a value lies in."""
        return self.place_of(v).root

    def alias(self) -> None:
        """Write state where it stays, if nobody reads the old state afterwards."""
        self.home = dict(self.reshaped)
        self.late: list[Output] = []
        for o in self.outputs:
            if o.target is None:
                continue
            v, t = o.value, o.target
            made = next((n for n, (g, _) in enumerate(self.steps) if v in g_outputs(g)), None)
            last = max(self.uses.get(t, [-1]))
            layout = self.layouts.get(t)
            fits = layout in (None, contiguous(t.shape))
            if made is None or not fits:
                self.late.append(o)
            elif last < made or (last == made and self.in_step(made, v, t)):
                self.home[v] = t
            else:
                self.late.append(o)

    def in_step(self, n: int, v: Value, t: Value) -> bool:
        """Whether a nest reads the old state just where it writes the new one."""
        g, _ = self.steps[n]
        if not isinstance(g, Nest) or g.inner is not None or v in g.over:
            return False
        writer = NestWriter(g, self.layouts, self.fusion.targets)
        target = writer.store_access(v).strides
        for i in g.members:
            for u in i.operands():
                if u in g.reads and g.reads[u].root is t:
                    a = writer.read_access(i, u)
                    if a.offset or a.strides != target:
                        return False
        return True

    # -- memory -----------------------------------------------------------------------------------

    def place_all(self) -> None:
        """Slots for all roots; places in the arena for what lives only during a call."""
        outputs = {o.value: o for o in self.outputs if o.value not in self.home}
        self.offsets: dict[Any, int] = {}
        self.arguments: list[Value] = []
        free: list[tuple[int, int]] = []
        self.arena = 0
        self.zeros, self.needless = frames.Zeros(), set[Instruction]()
        dying: dict[int, list] = {}
        for v in self.program.inputs:
            if v not in self.fixed and v in self.uses_or_targets():
                self.slot(v)
                self.arguments.append(v)
        for o in self.outputs:
            if o.value in outputs and o.target is None and o.array is None:
                self.slot(o.value)
                self.arguments.append(o.value)
        for n, (g, k) in enumerate(self.steps):
            for v in self.uses_at(n):
                if v in self.slots or v in self.home or v.producer is None:
                    self.slot(v)
                    continue
                known = outputs.get(v)
                if known is not None and known.array is not None:
                    self.slot(v)
                    continue
                self.slot(v)
                old = self.given_up(n, v)
                if old is not None:
                    self.offsets[v] = self.offsets[old]
                    self.zeros.stay(self.offsets[v], bytes_of(v))
                    dying[n] = [d for d in dying.get(n, []) if d[0] != self.offsets[v]]
                else:
                    i = g.members[0]
                    frame = i if i.name == "frame" and i.output is v else None
                    self.offsets[v] = self.take(free, bytes_of(v), frame)
                last = max(self.uses[v])
                if v in outputs:
                    last = len(self.steps)
                dying.setdefault(last, []).append((self.offsets[v], bytes_of(v)))
            if isinstance(k, Kernel):
                for v, _, chunks, size in k.partials:
                    if chunks > 1:
                        key = ("partial", v)
                        self.slot(key)
                        need = chunks * size * v.dtype.itemsize
                        self.offsets[key] = self.take(free, need)
                        dying.setdefault(n, []).append((self.offsets[key], need))
            routine = self.routines.get(g.members[0])
            if routine is not None and routine.scratch:
                memory = ("scratch", routine)
                self.slot(memory)
                self.offsets[memory] = self.take(free, routine.scratch)
                dying.setdefault(n, []).append((self.offsets[memory], routine.scratch))
            for at, size in dying.pop(n, []):
                give(free, at, -(-size // 64) * 64)

    def given_up(self, n: int, v: Value) -> Value | None:
        """For a copy of memory that nobody else needs any more: that memory."""
        g = self.steps[n][0]
        if isinstance(g, Nest) or g.members[0].name != "duplicate":
            return None
        old = self.root(g.members[0].args[0])
        fits = old in self.offsets and max(self.uses[old]) == n and bytes_of(old) == bytes_of(v)
        kept = {o.value for o in self.outputs}
        return old if fits and v not in kept and old not in kept else None

    def uses_or_targets(self) -> set:
        """Inputs that the plan touches."""
        return set(self.uses) | {o.target for o in self.outputs}

    def uses_at(self, n: int) -> list[Value]:
        """The roots a step touches."""
        return self.touched(*self.steps[n])

    def take(self, free: list, size: int, frame: Instruction | None = None) -> int:
        """A place in the arena; `frame` surrounds with zeros what will be there."""
        size = -(-max(size, 1) // 64) * 64
        best = min((b for b in free if b[1] >= size), key=lambda b: b[1], default=None)
        if best is None:
            at = self.arena
            self.arena += size
        else:
            at = best[0]
            free.remove(best)
            if best[1] > size:
                free.append((at + size, best[1] - size))
        if self.zeros.stay(at, size, frame) and frame is not None:
            self.needless.add(frame)
        return at

    def slot(self, v: Any) -> int:
        """The number of a root's buffer."""
        v = self.home.get(v, v)
        if v not in self.slots:
            self.slots[v] = len(self.slots)
        return self.slots[v]

    def fixed_arrays(self) -> dict:
        """The roots whose memory never changes."""
        found = {v: a for v, a in self.fixed.items() if v in self.slots}
        for v in self.program.constants:
            if v in self.slots:
                found[v] = np.ascontiguousarray(v.data)
        for o in self.outputs:
            if o.array is not None and o.value in self.slots:
                found[o.value] = o.array
        return found

    # -- code -------------------------------------------------------------------------------------

    def compile(self) -> dict[str, int]:
        """All kernels in one module; their addresses by text."""
        names: dict[str, str] = {}
        for g, k in self.steps:
            if isinstance(g, Call) and g.members[0].name == "scatter_add":
                names.setdefault(scattering(g.members[0]), f"k{len(names)}")
            if isinstance(k, Kernel):
                names.setdefault(k.text, f"k{len(names)}")
                self.functions |= k.functions
                for v, i, chunks, _ in k.partials:
                    if chunks > 1:
                        names.setdefault(combining(v, i), f"k{len(names)}")
        for routine in self.routines.values():
            for text in routine.texts:
                names.setdefault(text, f"k{len(names)}")
        names.setdefault(COPY, f"k{len(names)}")
        self.names = names
        self.module = assemble(names, self.functions)
        self.code = machine.native(self.module)
        return {text: self.code.address(name) for text, name in names.items()}

    def kernel_texts(self) -> list[str]:
        """The text of each nest's kernel."""
        return [k.text for _, k in self.steps if isinstance(k, Kernel)]

    # -- records ----------------------------------------------------------------------------------

    def nest_records(self, k: Kernel) -> None:
        """The record of a nest, and those that join its partial results."""
        partial = {v: ("partial", v) for v, _, chunks, _ in k.partials if chunks > 1}
        slots = [self.slot(partial.get(v, v)) for v in k.slots]
        self.records.append(Record(self.addresses[k.text], slots, k.params, k.extent, k.grain))
        for v, i, chunks, size in k.partials:
            if chunks > 1:
                given = [self.slot(v), self.slot(("partial", v))]
                joins = self.addresses[combining(v, i)]
                self.records.append(Record(joins, given, [chunks, size], 1))

    def call_records(self, i: Instruction) -> None:
        """The records of an instruction that is not a nest."""
        if i in self.needless:
            return
        if i.outputs and not has_effect(i) and not any(v is None or v.size for v in i.outputs):
            return
        if i.name in ("dot", "matmul") and self.product(i):
            return
        if i.name == "duplicate" and self.duplicate(i):
            return
        if i.name == "scatter_add" and self.scatter(i):
            return
        routine = self.routines.get(i)
        if routine is not None:
            memory = self.slot(("scratch", routine)) if routine.scratch else 0
            self.records += routine.records(self, memory)
            return
        self.python.append(i)
        self.calls[len(self.records)] = lambda: self.by_python(i)
        self.records.append(Record(None))

    def by_python(self, i: Instruction) -> None:
        """Run one instruction on the arrays of this call."""
        for v, found in results(i, self.array):
            check_shape(i, v, found)
            self.root_array(v)[...] = found

    def array(self, v: Value) -> Any:
        """A value as an array of this call."""
        root = self.root(v)
        if v is root:
            return self.root_array(root)
        from ..arrays.waist import waist

        i = v.producer
        assert i is not None
        return waist(i.name)(self.array(i.args[0]), *i.args[1:], **i.kwargs)

    def root_array(self, v: Value) -> Any:
        """The array at a root's address, now."""
        if v.data is not None:
            return v.data
        address = int(self.plan.buffers[self.slot(v)])
        strides = tuple(s * v.dtype.itemsize for s in self.layouts.get(v) or contiguous(v.shape))
        span = sum((n - 1) * s for n, s in zip(v.shape, strides, strict=True)) + v.dtype.itemsize
        memory = (np.ctypeslib.ctypes.c_char * max(span, 1)).from_address(address)
        return np.ndarray(v.shape, v.dtype, memory, 0, strides)

    def duplicate(self, i: Instruction) -> bool:
        """The record that copies memory as it is; False if it lies in another way."""
        found = place(i.args[0], self.layouts)
        assert found is not None
        if found.offset or found.strides != contiguous(found.shape):
            return False
        if self.offsets.get(found.root, -1) == self.offsets.get(i.output, -2):
            return True
        size = bytes_of(i.output)
        slots = [self.slot(i.output), self.slot(found.root)]
        self.records.append(Record(self.addresses[COPY], slots, [], size, copy_grain(size)))
        return True

    def scatter(self, i: Instruction) -> bool:
        """The record that adds rows up; False if they lie in another way."""
        x, rows, shape = i.args
        if not isinstance(x, Value) or not isinstance(rows, Value):
            return False
        starts = [self.offset(x), self.offset(rows)]
        if starts[0] is None or starts[1] is None:
            return False
        text = scattering(i)
        slots = [self.slot(i.output), self.slot(self.root(x)), self.slot(self.root(rows))]
        columns = math.prod(shape[1:])
        grain = max(64, -(-columns // 2)) if x.size > 1 << 15 else columns
        params = [s for s in starts if s is not None]
        self.records.append(Record(self.addresses[text], slots, params, columns, grain))
        return True

    def offset(self, v: Value) -> int | None:
        """Where in its root a row-major value begins; None if it is not row-major."""
        found = place(v, self.layouts)
        assert found is not None
        return found.offset if found.strides == contiguous(v.shape) else None

    def announce(self, calls: Sequence[Instruction]) -> None:
        """Have the kernel that matrix products will want made meanwhile."""
        for i in calls:
            given = i.operands()
            if i.name in ("dot", "matmul") and [len(v.shape) > 1 for v in given] == [True, True]:
                (*_, m, k), n = given[0].shape, given[1].shape[-1]
                suffix = TYPES.get(i.output.dtype.str, "")
                if products.serves(suffix, m, n, k):
                    products.begin(suffix)

    def product(self, i: Instruction) -> bool:
        """Records for a matrix product by BLAS; False if BLAS cannot."""
        x, y = i.args
        out = i.output
        suffix = TYPES.get(out.dtype.str)
        if (
            suffix is None
            or i.kwargs
            or x.dtype != out.dtype
            or y.dtype != out.dtype
            or not out.size
        ):
            return False
        a, b = place(x, self.layouts), place(y, self.layouts)
        if a is None or b is None or not x.size or not y.size:
            return False
        found = batches(a, b, out)
        if found is None:
            return False
        m, n, k, sa, sb, batch = found
        flags = [leading(s, shape) for s, shape in ((sa, (m, k)), (sb, (k, n)))]
        if None in flags:
            return False
        (opa, lda), (opb, ldb) = flags  # type: ignore[misc]
        slots = [self.slot(a.root), self.slot(b.root), self.slot(out)]
        own = products.serves(suffix, m, n, k)
        address = products.address(suffix) if own else kernel(f"cr.gemm.{suffix}")
        sizes = {"lda": lda, "ldb": ldb, "ldc": n, "opa": opa, "opb": opb}
        for starts, (inner, strides), (count, outer) in runs(batch):
            offsets = (a.offset + starts[0], b.offset + starts[1], starts[2])
            if inner * count == 1:
                split, extent, grain = blas.gemm_split(m, n, k)
                params = blas.gemm_params(m, n, k, split=split, offsets=offsets, **sizes)
            else:
                extent = inner * count
                grain = blas.batch_grain(extent, m * n * k)
                params = blas.gemm_params(
                    m, n, k, split=blas.BATCH, offsets=offsets, strides=strides, inner=inner,
                    outer=outer, **sizes,
                )  # fmt: skip
            self.records.append(Record(address, slots, params, extent, grain))
        return True

    def copy_back(self) -> None:
        """State that could not be written in place is copied at the end."""
        for o in self.late:
            v, t = o.value, o.target
            assert t is not None
            if not t.size:
                continue
            if self.layouts.get(t) in (None, contiguous(t.shape)):
                size = bytes_of(t)
                slots = [self.slot(t), self.slot(v)]
                self.records.append(Record(self.addresses[COPY], slots, [], size, copy_grain(size)))
            else:

                def copy(v: Value = v, t: Value = t) -> None:
                    self.root_array(t)[...] = self.root_array(v)

                self.calls[len(self.records)] = copy
                self.records.append(Record(None))


def copy_grain(size: int) -> int:
    """Bytes that one thread copies at a time."""
    return max(1 << 18, -(-size // 2)) if size > 1 << 19 else max(size, 1)


class Interpreted:
    """The plan of a program where no machine code can be made: NumPy, an instruction at a time."""

    python = calls = ()  # calls of Python in the program: NumPy's are not counted

    def __init__(
        self,
        program: Program,
        outputs: Sequence[Output],
        fixed: dict[Value, Any],
        layouts: dict[Value, tuple],
    ) -> None:
        self.program, self.outputs, self.fixed = program, list(outputs), fixed
        self.layouts = layouts
        self.given = [v for v in program.inputs if v not in fixed]
        fresh = [o for o in self.outputs if o.target is None and o.array is None]
        separate = dict.fromkeys(o.value for o in fresh)
        self.fresh: list[Value] = []
        for o in fresh:
            if o.value not in separate or o.value in self.given:
                like = np.broadcast_to(np.empty((), o.value.dtype), o.value.shape)
                o.value = program.add("positive", (o.value,), {}, [like]).output
            separate.pop(o.value, None)
            self.fresh.append(o.value)
        self.arguments = [*self.given, *self.fresh]
        self.plan = self
        program.outputs = [o.value for o in self.outputs]

    def run(self, *arrays: Any) -> None:
        """Run on those arrays, and write the results into the last of them."""
        count = len(self.given)
        known = dict(zip(self.given, arrays[:count], strict=True)) | self.fixed
        results = self.program.run([known[v] for v in self.program.inputs])
        results = [np.array(r) for r in results]
        places = dict(zip(self.fresh, arrays[count:], strict=True))
        for o, r in zip(self.outputs, results, strict=True):
            if o.target is not None:
                known[o.target][...] = r
            else:
                (places[o.value] if o.array is None else o.array)[...] = r


def whole_of(lies: Place | None, others: set[Value]) -> bool:
    """Whether a place is all of a computed value, in order, that is none of the others."""
    if lies is None or lies.root.producer is None or lies.root in others:
        return False
    return lies.size == lies.root.size and not lies.offset and dense(lies)


def g_outputs(g: Group) -> list:
    """What a group leaves in memory."""
    return g.stored if isinstance(g, Nest) else g.members[0].outputs


def bytes_of(v: Value) -> int:
    """Bytes of a value."""
    return v.size * v.dtype.itemsize


def give(free: list, at: int, size: int) -> None:
    """A stretch of the arena is free again; neighbours become one."""
    for b in list(free):
        if b[0] + b[1] == at:
            free.remove(b)
            at, size = b[0], b[1] + size
        elif at + size == b[0]:
            free.remove(b)
            size += b[1]
    free.append((at, size))


Dim = tuple[
    int, tuple[int, int, int]
]  # how many matrices, and their strides in a, b and the result


def batches(a: Place, b: Place, out: Value) -> Any:
    """(m, n, k, strides of one matrix of a, and of b, the dimensions of the batch)."""
    sa, sb = a.shape, b.shape
    if len(sa) == 1 and len(sb) == 1:
        return 1, 1, sa[0], (sa[0], a.strides[0]), (b.strides[0], 1), []
    if len(sb) == 1:
        return (sa[0], 1, sa[1], a.strides, (b.strides[0], 1), []) if len(sa) == 2 else None
    if len(sa) == 1:
        return (1, sb[1], sa[0], (sa[0], a.strides[0]), b.strides, []) if len(sb) == 2 else None
    m, k, n = sa[-2], sa[-1], sb[-1]
    lead = len(out.shape) - 2
    dims: list[Dim] = []
    for axis, (size, dc) in enumerate(zip(out.shape, contiguous(out.shape), strict=True)):
        if axis < lead and size != 1:
            da, db = (
                p.strides[axis - lead - 2] if axis - lead - 2 >= -len(p.shape)
                and p.shape[axis - lead - 2] != 1 else 0
                for p in (a, b)
            )  # fmt: skip
            dims.append((size, (da, db, dc)))
    rows = a.strides[-2]
    if dims and all(db == 0 for _, (_, db, _) in dims):  # one matrix on the right: one product
        joined = joined_dims([*dims, (m, (rows, 0, n))])
        if len(joined) == 1:
            return joined[0][0], n, k, a.strides[-2:], b.strides[-2:], []
    return m, n, k, a.strides[-2:], b.strides[-2:], dims


def joined_dims(dims: list[Dim]) -> list[Dim]:
    """The dimensions of a batch, neighbours joined where their matrices are evenly spaced."""
    out: list[Dim] = []
    for size, strides in dims:
        if out and out[-1][1] == tuple(s * size for s in strides):
            out[-1] = out[-1][0] * size, strides
        else:
            out.append((size, strides))
    return out


def runs(dims: list[Dim]) -> Iterator[tuple[tuple, Dim, Dim]]:
    """A batch as (where it starts, inner dimension, outer dimension), several where there are more
    than two.
    """
    dims = joined_dims(dims)
    none: Dim = (1, (0, 0, 0))
    inner = dims[-1] if dims else none
    outer = dims[-2] if len(dims) > 1 else none
    rest = dims[:-2]
    for index in np.ndindex(*[n for n, _ in rest]):
        starts = tuple(
            sum(i * s[j] for i, (_, s) in zip(index, rest, strict=True)) for j in range(3)
        )
        yield starts, inner, outer


def leading(strides: tuple, shape: tuple) -> tuple[int, int] | None:
    """(whether a matrix lies transposed, its leading dimension); None if neither way."""
    rows, columns = strides
    m, n = shape
    if (columns == 1 or n == 1) and (rows >= n or m == 1):
        return 0, max(rows, n) if m > 1 else n
    if (rows == 1 or m == 1) and (columns >= m or n == 1):
        return 1, max(columns, m) if n > 1 else m
    return None


def apart(program: Program) -> None:
    """Copy indices that are the array itself that they pick from: loops tell operands by value."""
    for n, i in reversed(list(enumerate(program.instructions))):
        if i.name == "gather" and i.args[0] is i.args[1]:
            x, _, axis = i.args
            index = program.put("positive", (x,), {}, x.shape, x.dtype)
            program.instructions.insert(n, program.instructions.pop())
            i.args = (x, index, axis)


def assemble(names: dict[str, str], functions: set) -> str:
    """One module of all kernels."""
    declared: set[str] = {"declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"}
    bodies: list[str] = []
    notes = [  # those of loops from !3 on
        "!0 = distinct !{}",
        '!1 = !{!"llvm.loop.parallel_accesses", !0}',
        '!2 = !{!"llvm.loop.unroll.disable"}',
    ]
    for text, name in names.items():
        lines = text.split("\n")
        declared.update(line for line in lines if line.startswith("declare"))
        body = "\n".join(line for line in lines if not line.startswith("declare"))
        for one in dict.fromkeys(re.findall(r"!LOOP\d+!", body)):
            n = len(notes)
            notes.append(f"!{n} = distinct !{{!{n}, !1{', !2' * is_long(body, one)}}}")
            body = body.replace(one, f"!{n}")
        bodies.append(body.replace("@KERNEL", f"@{name}"))
    math = vecmath.define(functions)
    lines = math.split("\n")
    declared.update(line for line in lines if line.startswith("declare"))
    math = "\n".join(line for line in lines if not line.startswith("declare"))
    return "\n".join([*sorted(declared), math, *bodies, *notes]) + "\n"


def is_long(text: str, note: str) -> bool:
    """Whether the loop with this note calls vecmath or takes an extreme: to repeat all that makes
    the loop no quicker, and takes LLVM twice the time.
    """
    end = re.search(rf"label %(\w+), label %\w+, !llvm.loop {note}", text)
    body = text[text.index(f"\n{end[1]}:") : end.start()] if end else ""
    return any(name in body for name in ("@cr.", "@llvm.maximum", "@llvm.minimum"))
