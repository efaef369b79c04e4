"""Fusion: the instructions of a program gathered into loop nests.

A `Nest` runs over a space of dimensions. Its members are elementwise instructions and reductions;
each value in it has a map from its axes to those dimensions. A reduction over the nest's inner
dimensions may be used by later members (softmax, layer norm): a row is then swept several times
while it is in the cache. Any other reduction ends in the nest. Everything that is not a loop nest
is a `Call`: of a library's function, or of Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays.waist import GUFUNCS
from .elements import REDUCTIONS, REGISTER, code, is_lowered
from .passes import CHECKS, has_effect
from .program import Instruction, Program, Value, replaced, values_in
from .views import Map, Place, contiguous, dense, is_basic, part_of, place, soft

DENSE = (  # kernels that want row-major operands
    "unless",
    "recurrence",
    "join_complex",
    "scatter_set",
    "scatter_more",
    "scatter_multiply",
    "scatter_maximum",
    "scatter_minimum",
    "rows_sort",
    "rows_argsort",
    "rows_argmax",
    "rows_argmin",
    "triangular",
    "transformed_rows",
    "convolve",
    "convolve_back",
    "convolve_kernel",
    "put_places",
    "windows",
    "segments",
    "check",
)
LARGEST = 64  # members of a nest
WAITING = (
    8  # elementwise instructions, one using the other, that wait to be put where they are used
)
ONE_ROW = 4096  # elements of a space that may be one row, done by one thread


class Group:
    """A step of the plan: a nest or a call, with the values it needs that others compute."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.members: list[Instruction] = []

    @property
    def checks(self) -> bool:
        """Whether it is a check of what was given: these come first of all."""
        return self.members[0].name in CHECKS

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number}: {', '.join(i.name for i in self.members)}>"


class Call(Group):
    """One instruction that is not a loop nest."""


class Nest(Group):
    """Loops over `dims`, their members' maps, and what they read from memory."""

    def __init__(self, number: int, dims: tuple) -> None:
        super().__init__(number)
        self.dims = dims
        self.maps: dict[Value, Map] = {}
        self.reads: dict[Value, Place] = {}
        self.over: dict[Value, frozenset] = {}  # of a reduction's result, the dimensions it is over
        self.inner: frozenset | None = None  # what the reductions that members use are over
        self.stored: list[Value] = []

    @property
    def size(self) -> int:
        """How often the innermost body runs."""
        n = 1
        for d in self.dims:
            n *= d
        return n


class Fusion:
    """The groups of a program, in an order in which they can run."""

    def __init__(self, program: Program, layouts: dict[Value, tuple]) -> None:
        self.program, self.layouts = program, layouts
        self.groups: list[Group] = []
        self.home: dict[Value, Group] = {}
        self.above: list[int] = []  # for each group the set of groups it depends on, as bits
        self.needed: dict[Value, None] = {}  # values that must be in memory
        self.readers: dict[Value, list[Nest]] = {}
        self.targets: dict[Value, Place] = {}  # of values that are written into another's memory
        self.writers: dict[Value, list[Group]] = {}  # the groups that do, besides `home`
        self.pending: dict[Value, int] = {}  # results without a group, to be put where used
        self.users = program.uses()
        given, program.instructions = program.instructions, []
        for i in given:
            view = is_basic(i) and self.is_view(i)
            program.instructions.append(i)
            if view:
                continue
            if is_basic(i):  # it cannot be one: an instruction like any other
                i.args, i.name = (i.args[0], i.name, i.args[1:]), "look"
            if i.name == "store" and self.store(i):
                continue
            if i.name == "concatenate" and self.concatenate(i):
                continue
            if i.name == "pad" and self.surround(i):
                continue
            if is_lowered(i):
                self.place(i)
            else:
                dense = i.name in DENSE or i.name.startswith(GUFUNCS)
                if dense or of_complex(i) or self.is_apart(i):
                    self.make_dense(i)
                self.call(i)
        for v in program.outputs:
            self.need(v)
        for g in self.groups:
            if isinstance(g, Nest):
                g.stored = [v for i in g.members for v in i.outputs if v in self.needed]
        self.order()

    # -- values -----------------------------------------------------------------------------------

    def is_view(self, i: Instruction) -> bool:
        """Whether the result of a view function is one; if it would have to be a copy, it becomes a
        view of a copy.
        """
        if place(i.output, self.layouts) is not None:
            return True
        v = self.copied(i.args[0])
        if v is None:
            return False
        i.args = (v, *i.args[1:])
        return place(i.output, self.layouts) is not None

    def copied(self, x: Value) -> Value | None:
        """A row-major copy of a value; None if no nest can make one."""
        if place(x, self.layouts) is None:
            return None
        copy = Instruction("positive", (x,), {}, [])
        v = self.program.new(x.shape, x.dtype)
        v.producer = copy
        copy.outputs.append(v)
        if not is_lowered(copy):
            return None
        self.program.instructions.append(copy)
        self.place(copy)
        return v

    def is_apart(self, i: Instruction) -> bool:
        """Whether it is a product of matrices of which one has neither rows nor columns in one
        piece.
        """
        if i.name not in ("dot", "matmul") or i.kwargs:
            return False
        found = [place(v, self.layouts) for v in i.operands()]
        return any(
            p is not None and len(p.shape) > 1 and 1 not in p.strides[-2:] and min(p.shape[-2:]) > 1
            for p in found
        )

    def make_dense(self, i: Instruction) -> None:
        """Have the operands of a kernel that wants them so row-major, as copies where they are
        not.
        """
        by: dict[Value, Value] = {}
        self.program.instructions.pop()  # the copies come first
        for v in dict.fromkeys(i.operands()):
            found = place(v, self.layouts)
            if found is not None and not dense(found):
                by[v] = self.copied(v) or v
        i.args = replaced(i.args, lambda v: by.get(v, v))
        self.program.instructions.append(i)

    def place_of(self, v: Value) -> Place:
        """Where a value is, once it is in memory."""
        found = place(v, self.layouts)
        assert found is not None, v
        return found

    def need(self, v: Value) -> Place:
        """Have a value in memory; returns where."""
        found = self.place_of(v)
        if found.root in self.pending:
            self.apart(found.root)
        self.needed[found.root] = None
        return found

    def apart(self, v: Value) -> None:
        """Give a pending instruction a nest of its own."""
        i = v.producer
        assert i is not None
        nest = Nest(len(self.groups), tuple(n for n in v.shape if n != 1))
        self.enter(nest)
        joined = self.join(nest, i, True)
        assert joined, i

    def source(self, v: Value) -> tuple[Value, list[Instruction]]:
        """The computed value that a view looks at, and the views on the way, innermost first."""
        steps = []
        while v.producer is not None and is_basic(v.producer) and v not in self.home:
            steps.append(v.producer)
            v = v.producer.args[0]
        return v, steps[::-1]

    def map_in(self, v: Value, nest: Nest) -> Map | None:
        """The map of an operand that the nest computes; None if it does not, or not visibly."""
        base, steps = self.source(v)
        axes = nest.maps.get(base)
        for i in steps:
            if axes is None:
                return None
            axes = soft(i, axes)
        return axes

    def home_of(self, v: Value) -> list[Group]:
        """The groups that write the memory of a value that no nest shows to its members."""
        base = self.source(v)[0]
        return [g for g in (self.home.get(base), *self.writers.get(base, ())) if g is not None]

    def producers(self, i: Instruction) -> list[Group]:
        """The groups that compute what an instruction needs, the latest first."""
        found = {}
        for v in i.operands():
            base = self.source(v)[0]
            g = self.home.get(base)
            if g is not None:
                found[g.number] = g
                for other in self.writers.get(base, ()):
                    found[other.number] = other
        return [found[n] for n in sorted(found, reverse=True)]

    # -- forming groups ---------------------------------------------------------------------------

    def call(self, i: Instruction) -> None:
        """A group of its own for an instruction that is not a loop."""
        for v in i.operands():
            self.need(v)
        g = Call(len(self.groups))
        self.enter(g)
        g.members.append(i)
        self.depend(g, i)
        if i.name == "python" and has_effect(i):
            if self.last is not None:
                self.add_above(g, self.above[self.last.number] | 1 << self.last.number)
            self.last = g
        for v in i.outputs:
            if v is not None:
                self.home[v] = g
                self.needed[v] = None

    last: Call | None = None  # that has an effect: the next one comes after it

    def store(self, i: Instruction) -> bool:
        """Memory with a part written: a copy, and a nest that writes the part. False if what is
        written is not a view.
        """
        base, value, steps = i.args
        if len(list(values_in(steps))) or code(i.output.dtype) not in REGISTER:
            return False
        found = part_of(i.output, steps)
        if found is None or not i.output.size or place(base, self.layouts) is None:
            return False
        out = i.output
        lies = place(base, self.layouts)
        assert lies is not None
        if lies.offset or lies.strides != contiguous(lies.shape):
            self.assign(out, base, Place(out, 0, out.shape, contiguous(out.shape)), [])
        else:
            self.call(Instruction("duplicate", (base,), {}, [out]))
        if found.size:
            self.assign(out, value, found, [self.home[out]])
        return True

    def concatenate(self, i: Instruction) -> bool:
        """The parts of a concatenation, each written by a nest."""
        out, axis = i.output, i.kwargs.get("axis", i.args[1] if len(i.args) > 1 else 0)
        if set(i.kwargs) - {"axis"} or axis is None or code(out.dtype) not in REGISTER:
            return False
        parts = [v for v in i.args[0] if v.size]
        if not out.size or any(place(v, self.layouts) is None for v in parts):
            return False
        axis %= len(out.shape)
        start = 0
        for v in parts:
            strides = contiguous(out.shape)
            where = Place(out, start * strides[axis], v.shape, strides)
            self.assign(out, v, where, [])
            start += v.shape[axis]
        return True

    def surround(self, i: Instruction) -> bool:
        """An array in zeros, where it is most of the result and nobody else wants it: the nest that
        computes it writes it where it belongs, and zeros are written around.
        """
        x, starts = i.args
        out, made = i.output, x.producer
        if made is None or is_basic(made) or made.name in REDUCTIONS or self.users[x] != 1:
            return False
        if not x.shape or not x.size or 2 * x.size < out.size or code(out.dtype) not in REGISTER:
            return False
        if x not in self.pending and not isinstance(self.home.get(x), Nest):
            return False
        ends = tuple(s + n for s, n in zip(starts, x.shape, strict=True))
        self.call(Instruction("frame", (tuple(starts), ends), {}, [out]))
        strides = contiguous(out.shape)
        first = sum(s * n for s, n in zip(starts, strides, strict=True))
        self.assign(out, x, Place(out, first, x.shape, strides), [self.home[out]])
        return True

    def assign(self, out: Value, value: Any, where: Place, after: list[Group]) -> None:
        """A nest that writes a value into part of `out`, after other groups."""
        if not isinstance(value, Value):
            value = self.program.constant(np.asarray(value, out.dtype))
        member = Instruction("assign", (value,), {}, [])
        v = self.program.new(where.shape, out.dtype)
        v.producer = member
        member.outputs.append(v)
        self.targets[v] = where
        self.needed[v] = None
        self.place(member, after)
        nest = self.home[v]
        bits = 0
        for g in after:
            bits |= self.above[g.number] | 1 << g.number
        self.add_above(nest, bits)
        if out in self.home:
            self.writers.setdefault(out, []).append(self.home[out])
        self.home[out] = nest

    def enter(self, g: Group) -> None:
        """Append a group."""
        self.groups.append(g)
        self.above.append(0)

    def depend(self, g: Group, i: Instruction) -> None:
        """Note what a group needs now that it has this member."""
        bits = 0
        for p in self.producers(i):
            if p is not g:
                bits |= self.above[p.number] | 1 << p.number
        self.add_above(g, bits)

    def add_above(self, g: Group, bits: int) -> None:
        """A group comes after others, and so do all that come after it."""
        if bits & ~self.above[g.number]:
            self.above[g.number] |= bits
            own = 1 << g.number
            for n, above in enumerate(self.above):
                if above & own:
                    self.above[n] |= bits

    def place(self, i: Instruction, after: Sequence = ()) -> None:
        """Put an elementwise instruction or reduction into the best nest for it, one that can come
        after other groups.
        """
        operands = list(dict.fromkeys(i.operands()))
        makers = self.producers(i)
        numbers = all(v.size == 1 or not self.home_of(v) for v in operands) and i.output.size > 1
        early = not makers or numbers  # made of what was there before, and of numbers
        if early and i.name != "assign" and i.name not in REDUCTIONS:
            depth = 1 + max([self.pending.get(self.source(v)[0], 0) for v in operands], default=0)
            if depth <= WAITING:
                self.pending[i.output] = depth
                return
        for nest in [*makers, *self.siblings(operands)]:
            if nest in after or not isinstance(nest, Nest):
                continue
            if self.may_join(nest, [*makers, *after]) and self.join(nest, i):
                return
        space = (i.operands()[0] if i.name in REDUCTIONS else i.output).shape
        nest = Nest(len(self.groups), tuple(n for n in space if n != 1))
        self.enter(nest)
        joined = self.join(nest, i, True)
        assert joined, i

    def siblings(self, operands: list) -> list:
        """Nests that read what these operands are, the latest first."""
        found = {}
        for v in operands:
            base = self.source(v)[0]
            if base.shape:
                for nest in self.readers.get(base, ())[-3:]:
                    found[nest.number] = nest
        return [found[n] for n in sorted(found, reverse=True)]

    def may_join(self, nest: Nest, makers: list) -> bool:
        """Whether a nest has room, and nothing that a new member needs comes after it."""
        if len(nest.members) >= LARGEST:
            return False
        own = 1 << nest.number
        return not any(self.above[m.number] & own for m in makers if m is not nest)

    def join(self, nest: Nest, i: Instruction, first: bool = False) -> bool:
        """Make an instruction a member of a nest, if it fits; nothing is changed if not."""
        inside: dict[Value, Map] = {}
        outside: list[Value] = []
        rows: set = set()
        for n, v in enumerate(dict.fromkeys(i.operands())):
            base = self.source(v)[0]
            if base in nest.maps:
                if i.name in ("pad", "gather") and n == 0:
                    return False
                axes = self.map_in(v, nest)
                if axes is None:
                    return False
                inside[v] = axes
                if base in nest.over:
                    rows.add(nest.over[base])
            elif nest in self.home_of(base):
                return False  # memory that the nest writes elsewhere than it would be read
            else:
                outside.append(v)
        if len(rows) > 1 or not all(self.may_use(nest, r) for r in rows):
            return False
        if i.name in REDUCTIONS:
            found = self.reduction_map(nest, i, inside)
        else:
            found = self.elementwise_map(nest, i, inside, outside)
        if found is None:
            return False
        axes, places, over = found
        if over is not None and not self.may_reduce(nest, over, axes):
            return False
        partial = len([d for d in axes if d is not None]) < len(nest.dims)
        if not inside and not first and partial and over is None:
            return False  # a row that does not come from this nest: computed apart
        before = nest.inner
        if rows:
            nest.inner = next(iter(rows))
        if not self.ready(nest, i, axes, places):
            nest.inner = before
            return False
        self.adopt(nest, i, axes, places, over)
        return True

    def ready(self, nest: Nest, i: Instruction, axes: Map, places: dict) -> bool:
        """Give pending operands that cannot become members of a nest with `i` nests of their own;
        False if one of these would have to come after this nest.
        """
        while True:
            makers: dict[int, Group] = {}
            maps = dict(nest.maps)
            refused = self.refused(nest, i, axes, list(places), maps, makers)
            if refused is None:
                return self.may_join(nest, list(makers.values()))
            self.apart(refused)

    def refused(
        self, nest: Nest, i: Instruction, axes: Map, operands: list, maps: dict, makers: dict
    ) -> Value | None:
        """A pending value that `i` needs and that cannot become a member; None if all can. `maps`
        gets those that can, `makers` the groups that the others come from.
        """
        for v in sorted(operands, key=lambda v: v in self.pending):
            if v in maps:
                if i.name in ("pad", "gather") and v is i.args[0]:  # read at other places, too
                    return v if v in self.pending else i.output
                continue
            root = self.place_of(v).root
            if v not in self.pending:
                if root in self.pending:
                    return root
                makers.update((g.number, g) for g in self.home_of(v))
                continue
            given = self.embedded(nest, i, v, axes, maps)
            if given is None:
                return v
            p = v.producer
            assert p is not None
            found = self.refused(nest, p, given, list(dict.fromkeys(p.operands())), maps, makers)
            if found is not None:
                return found
            maps[v] = given
            if any(u in maps and maps[u] != tail(given, u.shape) for u in p.operands()):
                return v
        return None

    def adopt(self, nest: Nest, i: Instruction, axes: Map, places: dict, over: Any) -> None:
        """The member's marks in the tables; pending operands become members before it."""
        self.pending.pop(i.output, None)
        for v in sorted(places, key=lambda v: v in self.pending):  # views of pending ones first
            found = places[v]
            if v in nest.maps or (v in self.pending and self.embed(nest, i, v, axes)):
                continue
            self.need(v)
            nest.reads[v] = found
            self.readers.setdefault(found.root, []).append(nest)
        nest.members.append(i)
        self.depend(nest, i)
        for v in i.outputs:
            nest.maps[v] = axes
            self.home[v] = nest
            if over is not None:
                nest.over[v] = over

    def embed(self, nest: Nest, i: Instruction, v: Value, axes: Map) -> bool:
        """Make a pending operand a member (`ready` has seen to it that it can be one)."""
        if v not in self.pending:
            return False
        p, given = v.producer, self.embedded(nest, i, v, axes, nest.maps)
        assert p is not None and given is not None, i
        self.adopt(nest, p, given, {u: self.place_of(u) for u in dict.fromkeys(p.operands())}, None)
        return True

    def embedded(self, nest: Nest, i: Instruction, v: Value, axes: Map, maps: dict) -> Map | None:
        """The map of a pending operand of `i` as a member of a nest with the members `maps`, if it
        varies along all dimensions and is no view; else None.
        """
        p = v.producer
        if p is None or len(maps) >= LARGEST or (i.name in ("pad", "gather") and v is i.args[0]):
            return None
        for u in p.operands():
            if u not in maps and (nest in self.home_of(u) or self.source(u)[0] in maps):
                return None
        if nest.inner is not None and any(u in maps for u in p.operands()):
            return None
        if any(self.source(u)[0] in nest.over for u in p.operands()):
            return None  # a reduction of this very nest: not known before its end
        if i.name in REDUCTIONS:
            given = aligned(v.shape, nest.dims)
        else:
            given = tail(axes, v.shape)
        if given is None or [d for d in given if d is not None] != list(range(len(nest.dims))):
            return None
        return given

    def may_use(self, nest: Nest, over: frozenset) -> bool:
        """Whether a reduction over these dimensions may be used in its own nest."""
        if nest.inner is not None:
            return over == nest.inner
        last = len(nest.dims) - 1  # rows of a nest had better lie in memory as rows
        if (len(over) == len(nest.dims) or last not in over) and nest.size > ONE_ROW:
            return False
        outer = frozenset(range(len(nest.dims))) - over
        every = frozenset(range(len(nest.dims)))
        return all(o in (over, outer, every) for o in nest.over.values())

    def may_reduce(self, nest: Nest, over: frozenset, axes: Map) -> bool:
        """Whether a nest can hold one more reduction, over these dimensions."""
        every = frozenset(range(len(nest.dims)))
        if nest.inner is not None:
            return over in (nest.inner, every - nest.inner, every)
        return all(o == over for o in nest.over.values())

    def reduction_map(self, nest: Nest, i: Instruction, inside: dict) -> Any:
        """(map of the result, places read, dimensions reduced)."""
        x = i.args[0]
        places = {}
        if x in inside:
            axes = inside[x]
        else:
            axes = aligned(x.shape, nest.dims)
            if axes is None:
                return None
            places[x] = self.place_of(x)
        if any(d is None and n != 1 for d, n in zip(axes, x.shape, strict=True)):
            return None
        found = frozenset(d for d in axes if d is not None)
        every = frozenset(range(len(nest.dims)))
        if found != every:  # of a row of the nest: its sum over all rows
            rows = nest.inner is not None and found == every - nest.inner and x in inside
            if not rows or len(reduced_axes(i)) != len(x.shape):
                return None
        dropped = reduced_axes(i)
        over = frozenset(axes[a] for a in dropped if axes[a] is not None)
        if i.kwargs.get("keepdims"):
            return tuple(None if a in dropped else d for a, d in enumerate(axes)), places, over
        return tuple(d for a, d in enumerate(axes) if a not in dropped), places, over

    def elementwise_map(self, nest: Nest, i: Instruction, inside: dict, outside: list) -> Any:
        """(map of the result, places read, None)."""
        shape = i.output.shape
        axes: list[Any] = [None] * len(shape)
        for given in inside.values():
            lead = len(shape) - len(given)
            for a, d in enumerate(given):
                if d is None:
                    continue
                if axes[lead + a] is None:
                    axes[lead + a] = d
                elif axes[lead + a] != d:
                    return None
        known = [d for d in axes if d is not None]
        if len(set(known)) != len(known):
            return None
        wide = [a for a, n in enumerate(shape) if n != 1 and axes[a] is None]
        if wide:
            standard = aligned(shape, nest.dims)
            if standard is None:
                return None
            for a in wide:
                if standard[a] is None or standard[a] in axes:
                    return None
                axes[a] = standard[a]
        known = [d for d in axes if d is not None]
        if known != sorted(known) and not inside:
            return None
        places = {v: self.place_of(v) for v in outside}
        return tuple(axes), places, None

    # -- order ------------------------------------------------------------------------------------

    def order(self) -> None:
        """Sort the groups so that each comes after what it needs."""
        done, out = 0, []
        early = [g for g in self.groups if not self.above[g.number] and g.checks]
        waiting = early + [g for g in self.groups if g not in early]
        while waiting:
            later = []
            for g in waiting:
                if self.above[g.number] & ~done:
                    later.append(g)
                else:
                    done |= 1 << g.number
                    out.append(g)
            assert len(later) < len(waiting), "groups depend on each other"
            waiting = later
        self.groups = self.frames_late(out)

    def frames_late(self, groups: list[Group]) -> list[Group]:
        """The groups in order, with zeros written just before what they surround: memory that is
        not needed sooner is used by others until then.
        """
        out: list[Group] = []
        held: list[Group] = []
        for g in groups:
            if isinstance(g, Call) and g.members[0].name == "frame":
                held.append(g)
                continue
            now = [f for f in held if self.above[g.number] >> f.number & 1]
            held = [f for f in held if f not in now]
            out += [*now, g]
        return out + held


def of_complex(i: Instruction) -> bool:
    """Whether it is a product of matrices of complex numbers or integers."""
    return i.name in ("dot", "matmul") and i.output.dtype.kind in "ciub"


def tail(axes: Map, shape: tuple) -> Map:
    """The map of an operand of this shape of an instruction with the map `axes`."""
    last = axes[len(axes) - len(shape) :]
    return tuple(None if n == 1 else d for n, d in zip(shape, last, strict=True))


def aligned(shape: tuple, dims: tuple) -> Map | None:
    """The map of an array whose axes longer than 1 are the last of the dimensions, in order."""
    long = [n for n in shape if n != 1]
    first = len(dims) - len(long)
    if first < 0 or tuple(long) != tuple(dims[first:]):
        return None
    at = iter(range(first, len(dims)))
    return tuple(None if n == 1 else next(at) for n in shape)


def reduced_axes(i: Instruction) -> tuple:
    """The axes that a reduction is over, as nonnegative numbers."""
    rank = len(i.args[0].shape)
    axis = i.kwargs.get("axis", 0)
    if axis is None:
        return tuple(range(rank))
    return tuple(a % rank for a in (axis if isinstance(axis, tuple) else (axis,)))
