"""Convolutions of stride 1 without columns: what a window sees is read where it lies.

A tile is some vectors of responses, each along the last axis, for some channels: its sums are in
registers, while a loop over (channel, place in the kernel) multiplies what the vectors see there,
read from an image with its margin, by one weight for each channel. So `convolve`, and
`convolve_back` with the kernels turned around. Weights are put into the order of the loop first,
beside a table of how far from a window's first element its others are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .convolutions import KINDS, PARTIAL, PIECES, WORK, Geometry, geometry, surround
from .machine import registers
from .program import Instruction, Value
from .routines import (
    TYPES,
    Number,
    Routine,
    Scratch,
    Text,
    adding,
    at,
    product,
    resetting,
    strides_of,
)
from .runtime import Record

if TYPE_CHECKING:
    from .plan import Planner

HELD = 1 << 17  # bytes of weights that stay in the cache while tiles go by
ROWS = 288  # of weights of one part that do
NEAR = 2048  # positions that sums are made over at a time
LONG = 32  # vectors that are worth a sum of their lanes
FULL = 0.6  # of a vector's lanes that have to be of use


class Direct(Routine):
    """`convolve` or `convolve_back` of stride 1."""

    def __init__(self, i: Instruction, g: Geometry) -> None:
        self.instruction, self.g = i, g
        self.turned = i.name == "convolve_back"
        self.inputs, self.outputs = (g.o, g.c) if self.turned else (g.c, g.o)
        self.seen, self.made = (g.places, g.image) if self.turned else (g.image, g.places)
        self.margin = margin_of(g) if self.turned else g.padding
        self.rows = self.inputs * product(g.kernel)
        self.kind = TYPES[g.dtype.str][0]
        size, count = registers()
        self.lanes = size // g.dtype.itemsize
        self.channels, self.vectors = tile(count, self.outputs)
        self.parts = -(-self.outputs // self.channels)
        self.across = -(-self.made[-1] // self.lanes)  # vectors along the last axis
        places = product(g.kernel)  # rows that are summed over at a time, `steps` times in all
        self.step = max(1, ROWS // places) * places
        if self.rows * self.outputs * g.dtype.itemsize <= HELD:
            self.step = self.rows
        self.steps = -(-self.rows // self.step)
        self.cut()
        self.pack, self.text = self.packing(), self.convolving()
        self.texts = [self.pack, self.text, resetting(self.own.count)]

    def cut(self) -> None:
        """Units, chunks, scratch memory."""
        g = self.g
        pieces = max(1, min(PIECES, -(-g.work // WORK)))
        images = g.n * g.groups
        self.length = self.made[0]
        if g.dims > 1 and images < pieces:
            self.length = -(-self.made[0] // min(self.made[0], -(-pieces // images)))
        self.cuts = -(-self.made[0] // self.length)
        self.units = images * self.cuts
        self.grain = -(-self.units // pieces)
        counts = (self.length, *self.made[1:]) if g.dims > 1 else self.made
        self.shape = padded_shape(g, counts, self.lanes, self.inputs)
        size = g.dtype.itemsize
        self.own = Scratch(product(self.shape) * size, -(-self.units // self.grain))
        self.table = self.own.bytes  # where the offsets are
        self.weights = self.table + -(-8 * self.rows // 64) * 64
        self.scratch = self.weights + g.groups * self.parts * self.rows * self.channels * size

    # -- weights ----------------------------------------------------------------------------------

    def packing(self) -> str:
        """The kernel that puts weights in order: (group, part, row, channel of a part)."""
        f, g = Text(self.kind), self.g
        memory, w = f.buffer(0), f.array(1, 0)
        table = f(f"getelementptr i8, ptr {memory}, i64 {self.table}")
        to = f(f"getelementptr i8, ptr {memory}, i64 {self.weights}")
        shape = (self.inputs, *g.kernel)
        steps = strides_of(self.shape)

        def offset(index: list) -> None:
            far = [(k, d) for k, d in zip(index[1:], g.dilation, strict=True)]
            value = f.total(*at(steps, [index[0], *[f.total(t) for t in far]]))
            row = f.total(*at(strides_of(shape), index))
            f.do(f"store i64 {value}, ptr {f(f'getelementptr i64, ptr {table}, i64 {row}')}")

        def part(n: Number) -> None:
            group, p = f.parts(n, self.parts)

            def one(index: list) -> None:
                row = f.total(*at(strides_of(shape), index[:-1]))
                here = f.place(to, (n, self.rows * self.channels), (row, self.channels), index[-1])
                channel = f.total((p, self.channels), index[-1])
                known = f(f"icmp slt i64 {channel}, {self.outputs}")
                source = f.place(w, self.weight(f, group, channel, index[:-1]))
                f.either(
                    known,
                    lambda: f.store(f.load(source), here),
                    lambda: f.store("0.0", here),
                )

            f.loops([*shape, self.channels], one)

        f.loops(shape, offset)
        f.loop("%end", part, first="%begin")
        return f.done(small=True)

    def weight(self, f: Text, group: Number, channel: Number, index: Sequence[Number]) -> Number:
        """Where the weight from one channel to another stands."""
        g = self.g
        sizes = strides_of((g.groups, g.o, g.c, *g.kernel))
        if not self.turned:
            return f.total(*at(sizes, [group, channel, *index]))
        around = [f.total(n - 1, (k, -1)) for n, k in zip(g.kernel, index[1:], strict=True)]
        return f.total(*at(sizes, [group, index[0], channel, *around]))

    # -- sums -------------------------------------------------------------------------------------

    def convolving(self) -> str:
        """The kernel."""
        f = self.f = Text(self.kind)
        given = [v for v in self.instruction.args if isinstance(v, Value)]
        arrays = [f.array(n, n) for n in (0, 1)]
        self.out, self.given = arrays
        self.bias = f.array(2, 2) if len(given) > 2 else ""
        memory = f.buffer(3 if self.bias else 2)
        self.offsets = f(f"getelementptr i8, ptr {memory}, i64 {self.table}")
        self.packed = f(f"getelementptr i8, ptr {memory}, i64 {self.weights}")
        flag, self.image = self.own.take(f, memory)
        f.loop("%end", self.unit, first="%begin")
        self.own.give(f, flag)
        return f.done()

    def unit(self, number: Number) -> None:
        """Some rows of the responses of one group to one image."""
        f, g = self.f, self.g
        image, cut = f.parts(number, self.cuts)
        start, length = stretch(f, cut, self.cuts, self.length, self.made[0])
        source = f.place(self.given, (image, self.inputs * product(self.seen)))
        starts = [start, *[0] * (g.dims - 1)]
        surround(f, self.image, source, self.shape, starts, self.margin, self.seen)
        group = f(f"urem i64 {image}, {g.groups}") if g.groups > 1 else 0
        inner = product(self.made[1:-1]) * self.across if g.dims > 1 else 1
        count = f.total((length, inner)) if g.dims > 1 else self.across
        to = f.place(
            self.out,
            (image, self.outputs * product(self.made)),
            (start, product(self.made[1:])),
        )
        tiles = f.total(count, self.vectors - 1)
        tiles = f.parts(tiles, self.vectors)[0] if isinstance(tiles, str) else tiles // self.vectors
        if self.steps == 1:

            def tile(t: Number) -> None:
                vectors = self.tile(f.total((t, self.vectors)), count, to)
                f.loop(self.parts, lambda p: self.part(p, group, (0, self.rows), *vectors))

            f.loop(tiles, tile)
            return

        def fill(channel: Number) -> None:
            value = "0.0"
            if self.bias:
                value = f.load(f.place(self.bias, (group, self.outputs), channel))
            width = f.total((length, product(self.made[1:]))) if g.dims > 1 else self.made[0]
            f.fill(f.place(to, (channel, product(self.made))), width, value)

        f.loop(self.outputs, fill)

        def step(index: list) -> None:
            first = f.total((index[0], self.step))
            rows = first, f.least(self.step, f.total(self.rows, (first, -1)))
            f.loop(
                tiles,
                lambda t: self.part(
                    index[1], group, rows, *self.tile(f.total((t, self.vectors)), count, to)
                ),
            )

        f.loops([self.steps, self.parts], step)

    def tile(self, first: Number, count: Number, to: str) -> tuple[list, list, list]:
        """Some vectors: where what they see begins, where they are written, which lanes of them."""
        f = self.f
        last = f.total(count, -1)
        steps = strides_of(self.shape)[1:]
        sees, writes, masks = [], [], []
        for v in range(self.vectors):
            index = f.digits(f.least(f.total(first, v), last), (*self.made[:-1], self.across))
            sees.append(f.place(self.image, *at(steps[:-1], index[:-1]), (index[-1], self.lanes)))
            flat = at(strides_of(self.made)[:-1], index[:-1])
            writes.append(f.place(to, *flat, (index[-1], self.lanes)))
            masks.append(mask(f, index[-1], self.made[-1], self.lanes))

        return sees, writes, masks

    def part(
        self, p: Number, group: Number, rows: tuple, sees: list, writes: list, masks: list
    ) -> None:
        """Some channels of a tile: the sums over some rows."""
        f = self.f
        channel = f.total((p, self.channels))
        weights = f.place(
            self.packed,
            (group, self.parts * self.rows * self.channels),
            (p, self.rows * self.channels),
        )
        if self.steps == 1:
            begin = self.beginning(group, channel)
        else:
            begin = [
                load(f, self.vector, f.place(to, (last, product(self.made))), inside)
                for to, inside in zip(writes, masks, strict=True)
                for last in self.known(channel)
            ]
        sums = self.summed(sees, weights, begin, *rows)
        for j in range(self.channels):
            self.put(f.total(channel, j), sums[j :: self.channels], writes, masks)

    def known(self, channel: Number) -> list[Number]:
        """The channels from one on, the last instead of those that are not."""
        f = self.f
        return [f.least(f.total(channel, j), self.outputs - 1) for j in range(self.channels)]

    @property
    def vector(self) -> str:
        """LLVM's type of a vector."""
        return f"<{self.lanes} x {self.kind}>"

    def spread(self, value: str) -> str:
        """A number in all lanes."""
        f = self.f
        one = f(f"insertelement {self.vector} poison, {self.kind} {value}, i64 0")
        return f(
            f"shufflevector {self.vector} {one}, {self.vector} poison,"
            f" <{self.lanes} x i32> zeroinitializer"
        )

    def beginning(self, group: Number, channel: Number) -> list[str]:
        """What the sums begin with: vector by vector, the channels of each."""
        f, found = self.f, []
        for last in self.known(channel):
            if self.bias:
                place = f.place(self.bias, (group, self.outputs), last)
                found.append(self.spread(f.load(place)))
            else:
                found.append("zeroinitializer")
        return found * self.vectors

    def summed(
        self, sees: list, weights: str, begin: list, first: Number, count: Number
    ) -> list[str]:
        """The loop over rows."""
        f, vector = self.f, self.vector
        name = f"@llvm.fmuladd.v{self.lanes}f{8 * self.g.dtype.itemsize}"
        f.declared.add(f"declare {vector} {name}({vector}, {vector}, {vector})")

        def row(n: Number, sums: list) -> list[str]:
            r = f.total(first, n)
            far = f(f"load i64, ptr {f(f'getelementptr i64, ptr {self.offsets}, i64 {r}')}")
            xs = [f(f"load {vector}, ptr {f.place(x, far)}, align {f.size}") for x in sees]
            out = list(sums)
            for j in range(self.channels):  # one weight at a time, to leave registers to the sums
                w = self.spread(f.load(f.place(weights, (r, self.channels), j)))
                for n in range(j, len(sums), self.channels):
                    x = xs[n // self.channels]
                    out[n] = f(
                        f"call {vector} {name}({vector} {x}, {vector} {w}, {vector} {sums[n]})"
                    )
            return out

        return f.fold(count, begin, vector, row)

    def put(self, channel: Number, sums: list, writes: list, masks: list) -> None:
        """Write the sums of a channel."""
        f, vector = self.f, self.vector

        def write() -> None:
            for total, to, mask in zip(sums, writes, masks, strict=True):
                place = f.place(to, (channel, product(self.made)))
                if mask:
                    name = f"@llvm.masked.store.v{self.lanes}f{8 * f.size}.p0"
                    kind = f"<{self.lanes} x i1>"
                    f.declared.add(f"declare void {name}({vector}, ptr, i32, {kind})")
                    f.do(
                        f"call void {name}({vector} {total}, ptr {place}, i32 {f.size},"
                        f" {kind} {mask})"
                    )
                else:
                    f.do(f"store {vector} {total}, ptr {place}, align {f.size}")

        if self.outputs % self.channels == 0:
            write()
        else:
            known = f(f"icmp slt i64 {channel}, {self.outputs}")
            f.either(known, write, lambda: None)

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        x, w, *bias = [v for v in i.args if isinstance(v, Value)]
        places = [planner.place_of(v) for v in (x, *bias)]
        weights = planner.place_of(w)
        slots = [memory, planner.slot(weights.root)]
        parts = self.g.groups * self.parts
        out = [
            Record(planner.addresses[resetting(self.own.count)], [memory], [], 1),
            Record(planner.addresses[self.pack], slots, [weights.offset], parts),
        ]
        slots = [planner.slot(i.output), *[planner.slot(p.root) for p in places], memory]
        params = [0, *[p.offset for p in places]]
        address = planner.addresses[self.text]
        out.append(Record(address, slots, params, self.units, self.grain))
        return out


class Weights(Routine):
    """`convolve_kernel` of stride 1: sums over positions, a vector of them at a time, of responses
    for some channels times what some rows (channel, place in the kernel) see there. A tile of sums
    is in registers. Chunks sum for themselves; what they found is added up in order.
    """

    def __init__(self, i: Instruction, g: Geometry) -> None:
        self.instruction, self.g = i, g
        self.rows = g.rows
        self.kind = TYPES[g.dtype.str][0]
        size, count = registers()
        self.lanes = size // g.dtype.itemsize
        self.vector = f"<{self.lanes} x {self.kind}>"
        self.across = -(-g.places[-1] // self.lanes)
        self.channels = min(g.o, 4 if count == 32 else 3)
        self.together = min(self.rows, (24 if count == 32 else 12) // self.channels, 12)
        self.size = g.groups * g.o * g.rows
        self.cut()
        self.text = self.summing()
        self.join = adding(self.kind, self.chunks, self.size)
        self.texts = [self.text, resetting(self.own.count), *[self.join] * (self.chunks > 1)]

    def cut(self) -> None:
        """Units, chunks, scratch memory."""
        g = self.g
        most = max(2, min(PIECES, PARTIAL // (self.size * g.dtype.itemsize)))
        pieces = max(1, min(most, -(-g.work // WORK)))
        self.length = g.places[0]
        if g.dims > 1:
            inner = product(g.places[1:])
            images = g.n * g.groups
            room = min(g.places[0], max(1, NEAR // inner), -(-g.places[0] * images // pieces))
            self.length = -(-g.places[0] // -(-g.places[0] // max(1, room)))
        self.cuts = -(-g.places[0] // self.length)
        self.units = g.n * g.groups * self.cuts
        self.grain = -(-self.units // pieces)
        self.chunks = -(-self.units // self.grain)
        self.shape = padded_shape(g, (self.length, *g.places[1:]), self.lanes, g.c)
        self.own = Scratch(product(self.shape) * g.dtype.itemsize, self.chunks)
        self.scratch = self.start = self.own.bytes
        if self.chunks > 1:
            self.scratch += self.chunks * self.size * g.dtype.itemsize

    def summing(self) -> str:
        """The kernel."""
        f = self.f = Text(self.kind)
        self.target, self.x, self.y = (f.array(n, n) for n in range(3))
        if self.chunks > 1:
            chunk = f(f"udiv i64 %begin, {self.grain}")
            self.target = f.place(self.target, (chunk, self.size))
        f.clear(self.target, self.size)
        flag, self.image = self.own.take(f, f.buffer(3))
        f.loop("%end", self.unit, first="%begin")
        self.own.give(f, flag)
        return f.done()

    def unit(self, number: Number) -> None:
        """Some rows of the responses of one group to one image."""
        f, g = self.f, self.g
        image, cut = f.parts(number, self.cuts)
        start, length = stretch(f, cut, self.cuts, self.length, g.places[0])
        source = f.place(self.x, (image, g.c * product(g.image)))
        starts = [start, *[0] * (g.dims - 1)]
        surround(f, self.image, source, self.shape, starts, g.padding, g.image)
        y = f.place(self.y, (image, g.o * g.positions), (start, product(g.places[1:])))
        group = f(f"urem i64 {image}, {g.groups}") if g.groups > 1 else 0
        target = f.place(self.target, (group, g.o * self.rows))
        inner = product(g.places[1:-1]) * self.across
        self.count = f.total((length, inner)) if g.dims > 1 else self.across
        tiles = [-(-g.o // self.channels), -(-self.rows // self.together)]
        f.loops(tiles, lambda index: self.tile(index, y, target))

    def tile(self, index: list, y: str, target: str) -> None:
        """The sums for some channels and rows."""
        f, g = self.f, self.g
        channels = [f.total((index[0], self.channels), j) for j in range(self.channels)]
        rows = [f.total((index[1], self.together), j) for j in range(self.together)]
        given = [f.place(y, (f.least(o, g.o - 1), g.positions)) for o in channels]
        seen = []
        for r in rows:
            c, *place = f.digits(f.least(r, self.rows - 1), (g.c, *g.kernel))
            far = [f.total((k, d)) for k, d in zip(place, g.dilation, strict=True)]
            seen.append(f.place(self.image, *at(strides_of(self.shape), [c, *far])))
        sums = self.summed(given, seen)
        for n, o in enumerate(channels):
            for m, r in enumerate(rows):
                self.add(sums[n * self.together + m], target, o, r)

    def summed(self, given: list, seen: list) -> list[str]:
        """The loop over vectors of positions."""
        f, g, vector = self.f, self.g, self.vector
        name = f"@llvm.fmuladd.v{self.lanes}f{8 * f.size}"
        f.declared.add(f"declare {vector} {name}({vector}, {vector}, {vector})")
        steps = strides_of(self.shape)[1:]

        def one(v: Number, sums: list) -> list[str]:
            place = f.digits(v, (*g.places[:-1], self.across))
            here = f.total(*at(strides_of(g.places)[:-1], place[:-1]), (place[-1], self.lanes))
            there = f.total(*at(steps[:-1], place[:-1]), (place[-1], self.lanes))
            inside = mask(f, place[-1], g.places[-1], self.lanes)
            ys = [load(f, vector, f.place(p, here), inside) for p in given]
            out = list(sums)
            for m, p in enumerate(seen):  # one at a time, to leave registers to the sums
                x = load(f, vector, f.place(p, there), inside)
                for j, y in enumerate(ys):
                    n = j * len(seen) + m
                    out[n] = f(
                        f"call {vector} {name}({vector} {y}, {vector} {x}, {vector} {sums[n]})"
                    )
            return out

        begin = ["zeroinitializer"] * (self.channels * self.together)
        return f.fold(self.count, begin, vector, one)

    def add(self, total: str, target: str, channel: Number, row: Number) -> None:
        """Add the lanes of a sum to its weight."""
        f, g = self.f, self.g
        name = f"@llvm.vector.reduce.fadd.v{self.lanes}f{8 * f.size}"
        f.declared.add(f"declare {f.kind} {name}({f.kind}, {self.vector})")
        value = f(f"call reassoc {f.kind} {name}({f.kind} -0.0, {self.vector} {total})")

        def write() -> None:
            to = f.place(target, (channel, self.rows), row)
            f.store(f(f"fadd {f.kind} {f.load(to)}, {value}"), to)

        tests = []
        if g.o % self.channels:
            tests.append(f(f"icmp slt i64 {channel}, {g.o}"))
        if self.rows % self.together:
            tests.append(f(f"icmp slt i64 {row}, {self.rows}"))
        if tests:
            known = tests[0] if len(tests) == 1 else f(f"and i1 {tests[0]}, {tests[1]}")
            f.either(known, write, lambda: None)
        else:
            write()

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i, address = self.instruction, planner.addresses
        x, y = (planner.place_of(v) for v in i.args[:2])
        out, start = planner.slot(i.output), self.start // self.g.dtype.itemsize
        several = self.chunks > 1
        slots = [memory if several else out, planner.slot(x.root), planner.slot(y.root), memory]
        params = [start if several else 0, x.offset, y.offset]
        found = [
            Record(address[resetting(self.own.count)], [memory], [], 1),
            Record(address[self.text], slots, params, self.units, self.grain),
        ]
        if several:
            grain = min(self.size, max(1 << 13, -(-self.size // PIECES)))
            found.append(Record(address[self.join], [out, memory], [0, start], self.size, grain))
        return found


def padded_shape(g: Geometry, counts: tuple, lanes: int, channels: int) -> tuple:
    """The sizes of what windows of stride 1 see, rows being as long as whole vectors read."""
    reach = [n + d * (k - 1) for n, d, k in zip(counts, g.dilation, g.kernel, strict=True)]
    reach[-1] += -counts[-1] % lanes
    reach[-1] += -reach[-1] % lanes
    return (channels, *reach)


def stretch(f: Text, cut: Number, cuts: int, length: int, total: int) -> tuple[Number, Number]:
    """(start, length) of one of the pieces of an axis."""
    if cuts == 1:
        return 0, length
    start = f.total((cut, length))
    return start, f.least(length, f.total(total, (start, -1)))


def mask(f: Text, place: Number, count: int, lanes: int) -> str:
    """Which lanes of a vector at that place of a line of `count` elements exist; empty: all."""
    last, n = count // lanes, count % lanes
    if not n:
        return ""
    bits = ", ".join(f"i1 {int(lane < n)}" for lane in range(lanes))
    every = ", ".join(["i1 1"] * lanes)
    if isinstance(place, int):
        return f"<{bits if place == last else every}>"
    kind = f"<{lanes} x i1>"
    return f(f"select i1 {f(f'icmp eq i64 {place}, {last}')}, {kind} <{bits}>, {kind} <{every}>")


def load(f: Text, vector: str, place: str, inside: str) -> str:
    """A vector, zero where it is not inside."""
    if not inside:
        return f(f"load {vector}, ptr {place}, align {f.size}")
    lanes = int(vector[1:].split()[0])
    name, kind = f"@llvm.masked.load.v{lanes}f{8 * f.size}.p0", f"<{lanes} x i1>"
    f.declared.add(f"declare {vector} {name}(ptr, i32, {kind}, {vector})")
    return f(
        f"call {vector} {name}(ptr {place}, i32 {f.size}, {kind} {inside},"
        f" {vector} zeroinitializer)"
    )


def tile(registers: int, outputs: int) -> tuple[int, int]:
    """(channels, vectors) of a tile."""
    if outputs < 4:
        return outputs, (registers - 8) // (2 * outputs) if outputs > 1 else registers // 4
    return (8, 3) if registers == 32 else (4, 3)


def margin_of(g: Geometry) -> tuple:
    """The padding with which a convolution with kernels turned around does `convolve_back`."""
    rows = zip(g.kernel, g.dilation, g.padding, strict=True)
    return tuple([d * (k - 1) - p for k, d, p in rows])


def pays(i: Instruction, g: Geometry) -> bool:
    """Whether a convolution can be done without columns, and vectors would be full enough."""
    if any(s != 1 for s in g.stride) or g.plain:
        return False
    if i.name == "convolve_back" and min(margin_of(g)) < 0:
        return False
    last = (g.image if i.name == "convolve_back" else g.places)[-1]
    lanes = registers()[0] // g.dtype.itemsize
    vectors = -(-last // lanes)
    if last < FULL * lanes * vectors:
        return False
    if g.dims == 1 and g.n * g.groups < 4 and g.work > 4 * WORK:
        return False  # too few pieces
    return i.name != "convolve_kernel" or product(g.places[:-1]) * vectors >= LONG


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of a convolution; None if an instruction is none, or one left to NumPy."""
    g = geometry(i, planner)
    if g is None:
        return None
    if not pays(i, g):
        return KINDS[i.name](i)
    return Weights(i, g) if i.name == "convolve_kernel" else Direct(i, g)
