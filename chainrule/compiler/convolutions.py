"""Convolutions as kernels: the windows of a few images gathered as columns, which stay in the
cache, and products with them by BLAS.

`ops.conv` says what `convolve`, `convolve_back` and `convolve_kernel` mean. A unit of work is a
stretch of the positions of one image, or some images of few positions. For each group

    convolve         response[o, p] = weight[o, r] columns[r, p]
    convolve_back    columns[r, p] = weight[o, r] response[o, p], added to the image's places
    convolve_kernel  weight[o, r] += response[o, p] columns[r, p]

where r runs over (channel, place in the kernel). Sums over images are made by chunks, each for
itself, and joined in order afterwards: the same bits for any number of threads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .program import Instruction, Value
from .routines import (
    TYPES,
    Number,
    Routine,
    Scratch,
    Text,
    adding,
    at,
    entry_of,
    product,
    resetting,
    strides_of,
)
from .runtime import Record
from .views import dense

if TYPE_CHECKING:
    from .plan import Planner

NAMES = ("convolve", "convolve_back", "convolve_kernel")
CACHE = 1 << 19  # bytes of columns that are made at a time
FEW = 128  # positions of an image below which images share a product
PIECES = 16  # chunks at most
WORK = 1 << 21  # multiplications that are worth a chunk
PARTIAL = 1 << 25  # bytes that partial results of weights may take


class Geometry:
    """The sizes of a convolution of images (n, groups * c, *image) to responses
    (n, groups * o, *places) with weights (groups * o, c, *kernel).
    """

    def __init__(self, i: Instruction) -> None:
        first, second = i.args[:2]
        size, self.stride, self.padding, self.dilation, self.groups = i.args[-5:]
        shapes = {
            "convolve": (first.shape, second.shape, (*first.shape[:1], second.shape[0], *size)),
            "convolve_back": (
                (*first.shape[:1], second.shape[1] * self.groups, *size),
                second.shape,
                first.shape,
            ),
            "convolve_kernel": (
                first.shape,
                (second.shape[1], first.shape[1] // self.groups, *size),
                second.shape,
            ),
        }
        images, weights, responses = shapes[i.name]
        self.n, self.image = images[0], tuple(images[2:])
        self.c, self.kernel = weights[1], tuple(weights[2:])
        self.o, self.places = weights[0] // self.groups, tuple(responses[2:])
        self.rows, self.positions = self.c * product(self.kernel), product(self.places)
        self.dtype = i.output.dtype
        self.dims = len(self.places)

    @property
    def work(self) -> int:
        """Multiplications."""
        return self.n * self.groups * self.o * self.rows * self.positions

    @property
    def plain(self) -> bool:
        """Whether the columns are the image itself."""
        return (
            product(self.kernel) == 1
            and product(self.stride) == 1
            and not any(self.padding)
            and self.places == self.image
        )

    def reach(self, counts: tuple) -> tuple:
        """How far so many windows reach along each axis."""
        rows = zip(counts, self.stride, self.dilation, self.kernel, strict=True)
        return tuple([(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in rows])


class Blocks:
    """How positions are cut: `along` an axis into stretches of `length`, whole behind it, one by
    one before; or not at all, and `images` of them are taken together.
    """

    def __init__(self, g: Geometry, units: int) -> None:
        """`units`: how many there had better be."""
        self.g = g
        room = max(FEW, CACHE // (g.rows * g.dtype.itemsize))  # positions
        self.images, self.along, self.length = 1, 0, g.places[0]
        if g.positions < FEW and g.n > 1:
            fit = min(-(-2 * FEW // g.positions), room // g.positions, -(-g.n // units))
            self.images = max(1, min(fit, g.n))
        else:
            room = min(room, max(FEW, g.n * g.positions // units))
            while self.along < g.dims - 1 and self.behind > room:
                self.along += 1
            count = -(-g.places[self.along] // max(1, room // self.behind))
            self.length = -(-g.places[self.along] // count)
        self.cuts = -(-g.places[self.along] // self.length)
        self.before = g.places[: self.along]
        self.count = self.cuts * product(self.before)  # per image
        self.size = self.length * self.behind  # positions at most
        self.units = -(-g.n // self.images) * self.count
        self.row = self.images * self.size  # of the columns

    @property
    def behind(self) -> int:
        """Positions behind the axis that is cut."""
        return product(self.g.places[self.along + 1 :])

    @property
    def reach(self) -> tuple:
        """How far the windows of a stretch reach along each axis."""
        g = self.g
        ones = (1,) * self.along
        return g.reach((*ones, self.length, *g.places[self.along + 1 :]))


class Stretch:
    """One unit's positions, as names in the text: where they start along each axis, and how many
    there are along the axis that is cut.
    """

    def __init__(self, f: Text, b: Blocks, number: Number) -> None:
        g = b.g
        *before, cut = f.digits(number, (*b.before, b.cuts))
        start = f.total((cut, b.length))
        rest = f.total(g.places[b.along], (start, -1))
        self.length = b.length if b.cuts == 1 else f.least(rest, b.length)
        self.starts = [*before, start, *[0] * (g.dims - b.along - 1)]
        self.counts = [*[1] * b.along, self.length, *g.places[b.along + 1 :]]
        self.first = f.total(*at(strides_of(g.places), self.starts))
        self.size = f.total((self.length, b.behind))


class Convolution(Routine):
    """What is common to the three: sizes, blocks, and the gathering of windows."""

    def __init__(self, i: Instruction) -> None:
        self.instruction = i
        g = self.g = Geometry(i)
        self.kind, self.blas = TYPES[g.dtype.str]
        self.blocks = Blocks(g, min(PIECES, -(-g.work // WORK)))
        self.merged = self.blocks.images > 1
        self.regions: dict[str, tuple[int, int]] = {}
        self.room = 0
        self.plan()
        self.f = Text(self.kind)
        self.text = self.written()
        self.texts = [self.text, *self.others()]

    def region(self, name: str, count: int) -> None:
        """Have a region of the scratch memory, of so many elements."""
        line = 64 // self.g.dtype.itemsize
        count = -(-count // line) * line
        self.regions[name] = self.room, count
        self.room += count

    def plan(self) -> None:
        """Decide on units, chunks, scratch memory."""
        raise NotImplementedError(f"{type(self).__name__}.plan")

    def cut(self, units: int, most: int = PIECES) -> None:
        """Cut units into chunks."""
        pieces = max(1, min(units, most, -(-self.g.work // WORK)))
        self.units, self.grain = units, -(-units // pieces)
        self.chunks = -(-units // self.grain)
        self.own = Scratch(self.room * self.g.dtype.itemsize, self.chunks)
        self.scratch = self.own.bytes

    def columns_regions(self) -> None:
        """The memory that gathering needs."""
        g, b = self.g, self.blocks
        if self.as_they_are:
            return
        if any(g.padding):
            self.region("padded", g.c * product(b.reach))
        self.region("columns", g.rows * b.row)

    @property
    def as_they_are(self) -> bool:
        """Whether nothing has to be gathered."""
        return self.g.plain and not self.merged

    def others(self) -> list[str]:
        """Further texts."""
        return [resetting(self.own.count)] if self.own.count else []

    def written(self) -> str:
        """The kernel: its arrays, then its units, in scratch memory of its own."""
        f, i = self.f, self.instruction
        given = [v for v in i.args if isinstance(v, Value)]
        self.routine = f(f"inttoptr i64 {f.param(0)} to ptr")
        arrays = [f.array(n, n + 1) for n in range(len(given) + 1)]
        self.out, self.given = arrays[0], arrays[1:]
        flag = None
        if self.own.count:
            flag, self.memory = self.own.take(f, f.buffer(len(arrays)))
        self.before_units()
        f.loop("%end", self.unit, first="%begin")
        if flag is not None:
            self.own.give(f, flag)
        return f.done()

    def before_units(self) -> None:
        """What a chunk does first."""

    def unit(self, number: Number) -> None:
        """One unit."""
        raise NotImplementedError(f"{type(self).__name__}.unit")

    def at_region(self, name: str) -> str:
        """The address of a region."""
        return self.f.place(self.memory, self.regions[name][0])

    def images_of(self, number: Number) -> tuple[Number, Number]:
        """(first image, how many) of a number of images taken together."""
        b, f = self.blocks, self.f
        first = f.total((number, b.images))
        if self.g.n % b.images == 0:
            return first, b.images
        return first, f.least(b.images, f.total(self.g.n, (first, -1)))

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        given = [v for v in i.args if isinstance(v, Value)]
        slots = [planner.slot(i.output), *[planner.slot(planner.root(v)) for v in given]]
        offsets = [planner.place_of(v).offset for v in given]
        params = [entry_of(self.blas), 0, *offsets]
        out = []
        if self.own.count:
            slots.append(memory)
            out.append(Record(planner.addresses[resetting(self.own.count)], [memory], [], 1))
        address = planner.addresses[self.text]
        out.append(Record(address, slots, params, self.units, self.grain, blas=True))
        return out

    # -- windows ----------------------------------------------------------------------------------

    def columns(self, x: str, image: Number, count: Number, group: Number, s: Stretch) -> tuple:
        """The windows of images from `image` on as (address, row length) of columns."""
        f, g, b = self.f, self.g, self.blocks
        size = product(g.image)
        channels = g.groups * g.c
        if self.as_they_are:
            return f.place(x, (image, channels * size), (group, g.c * size), s.first), size
        to = self.at_region("columns")

        def one(n: Number) -> None:
            image_at = f.total(image, n)
            source = f.place(x, (image_at, channels * size), (group, g.c * size))
            starts = [f.total((a, w)) for a, w in zip(s.starts, g.stride, strict=True)]
            steps = strides_of(g.image)
            if any(g.padding):
                to_padded = self.at_region("padded")
                surround(f, to_padded, source, (g.c, *b.reach), starts, g.padding, g.image)
                source, steps = to_padded, strides_of(b.reach)
                channel = product(b.reach)
            else:
                source, channel = f.place(source, *at(steps, starts)), size
            self.gather(f.place(to, (n, b.size)), source, channel, steps, s)

        f.loop(count, one)
        return to, b.row

    def gather(self, to: str, source: str, channel: int, steps: list, s: Stretch) -> None:
        """The windows of one image as columns."""
        f, g, b = self.f, self.g, self.blocks
        lines = strides_of((g.c, *g.kernel))
        inner = strides_of(g.places)

        def place_in_kernel(index: list) -> None:
            row = f.total(*at(lines, index))
            inside = [f.total((k, d)) for k, d in zip(index[1:], g.dilation, strict=True)]
            window = f.place(source, (index[0], channel), *at(steps, inside))

            def line(at_position: list) -> None:
                where = [(q, w * t) for q, w, t in zip(at_position, g.stride, steps, strict=False)]
                target = f.place(to, (row, b.row), *at(inner[:-1], at_position))
                f.copy(target, f.place(window, *where), s.counts[-1], g.stride[-1])

            f.loops(s.counts[:-1], line)

        f.loops([g.c, *g.kernel], place_in_kernel)

    def responses(self, y: str, image: Number, count: Number, group: Number, s: Stretch) -> tuple:
        """The responses that go with columns, as (address, row length)."""
        f, g, b = self.f, self.g, self.blocks
        sizes = (g.n, g.groups, g.o, g.positions)
        if not self.merged:
            return f.place(y, *at(strides_of(sizes), [image, group, 0, s.first])), g.positions
        to = self.at_region("responses")

        def one(index: list) -> None:
            n, o = index
            here = [f.total(image, n), group, o, 0]
            source = f.place(y, *at(strides_of(sizes), here))
            f.copy(f.place(to, (o, b.row), (n, b.size)), source, g.positions)

        f.loops([count, g.o], one)
        return to, b.row


def surround(
    f: Text, to: str, source: str, shape: tuple, starts: list, padding: tuple, image: tuple
) -> None:
    """What is seen from `starts` on of an image (channels, *image) with its margin, as an array of
    that shape, zero outside.
    """
    reach = shape[1:]
    first = f.total(starts[-1], -padding[-1])
    low = f.least(f.most(0, f.total((first, -1))), reach[-1])
    high = f.most(low, f.least(reach[-1], f.total(image[-1], (first, -1))))

    def row(index: list) -> None:
        line = f.place(to, *at(strides_of(shape), [*index, 0]))
        inside, terms = "", []
        for e, start, p, n in zip(index[1:], starts, padding, image, strict=False):
            place = f.total(e, start, -p)
            terms.append(place)
            test = f(f"icmp ult i64 {place}, {n}")
            inside = f(f"and i1 {inside}, {test}") if inside else test
        here = [index[0], *terms, f.total(first, low)]
        read = f.place(source, *at(strides_of((shape[0], *image)), here))

        def taken() -> None:
            f.loop(low, lambda e: f.store("0.0", f.place(line, e)))
            f.copy(f.place(line, low), read, f.total(high, (low, -1)))
            f.loop(reach[-1], lambda e: f.store("0.0", f.place(line, e)), first=high)

        if inside:
            f.either(inside, taken, lambda: f.clear(line, reach[-1]))
        else:
            taken()

    f.loops(shape[:-1], row)


class Response(Convolution):
    """`convolve`."""

    def plan(self) -> None:
        self.columns_regions()
        if self.merged:
            self.region("responses", self.g.o * self.blocks.row)
        self.cut(self.blocks.units)

    def unit(self, number: Number) -> None:
        f, g, b = self.f, self.g, self.blocks
        together, stretch = f.parts(number, b.count)
        image, count = self.images_of(together)
        s = Stretch(f, b, stretch if b.count > 1 else 0)
        x, w, *bias = self.given
        width = f.total((count, b.size)) if self.merged else s.size

        def group(n: Number) -> None:
            columns, row = self.columns(x, image, count, n, s)
            sizes = (g.n, g.groups, g.o, g.positions)
            to, line = self.at_region("responses") if self.merged else "", b.row
            if not self.merged:
                to = f.place(self.out, *at(strides_of(sizes), [image, n, 0, s.first]))
                line = g.positions

            def one(o: Number) -> None:
                value = f.load(f.place(bias[0], (n, g.o), o))
                f.fill(f.place(to, (o, line)), width, value)

            if bias:
                f.loop(g.o, one)
            weight = f.place(w, (n, g.o * g.rows))
            f.multiply(
                self.routine,
                (g.o, width, g.rows),
                (weight, g.rows, False),
                (columns, row, False),
                (to, line),
                add=bool(bias),
            )
            if self.merged:
                f.loops([count, g.o], lambda index: self.part(to, image, n, index))

        f.loop(g.groups, group)

    def part(self, source: str, image: Number, group: Number, index: list) -> None:
        """One image's responses of one channel, put where they belong."""
        f, g, b = self.f, self.g, self.blocks
        n, o = index
        sizes = (g.n, g.groups, g.o, g.positions)
        to = f.place(self.out, *at(strides_of(sizes), [f.total(image, n), group, o, 0]))
        f.copy(to, f.place(source, (o, b.row), (n, b.size)), g.positions)


class Kernel(Convolution):
    """`convolve_kernel`."""

    def plan(self) -> None:
        g = self.g
        self.columns_regions()
        if self.merged:
            self.region("responses", g.o * self.blocks.row)
        self.size = g.groups * g.o * g.rows
        self.cut(self.blocks.units, max(2, min(PIECES, PARTIAL // (self.size * g.dtype.itemsize))))
        if self.chunks > 1:
            self.scratch += self.chunks * self.size * g.dtype.itemsize

    def others(self) -> list[str]:
        return [*super().others(), *([self.joining()] if self.chunks > 1 else [])]

    def joining(self) -> str:
        """The text of what joins the chunks' results."""
        return adding(self.kind, self.chunks, self.size)

    def before_units(self) -> None:
        f = self.f
        self.target = self.out
        if self.chunks > 1:
            chunk = f(f"udiv i64 %begin, {self.grain}")
            self.target = f.place(self.out, (chunk, self.size))
        f.clear(self.target, self.size)

    def unit(self, number: Number) -> None:
        f, g, b = self.f, self.g, self.blocks
        together, stretch = f.parts(number, b.count)
        image, count = self.images_of(together)
        s = Stretch(f, b, stretch if b.count > 1 else 0)
        x, y = self.given
        width = f.total((count, b.size)) if self.merged else s.size

        def group(n: Number) -> None:
            columns, row = self.columns(x, image, count, n, s)
            response, line = self.responses(y, image, count, n, s)
            f.multiply(
                self.routine,
                (g.o, g.rows, width),
                (response, line, False),
                (columns, row, True),
                (f.place(self.target, (n, g.o * g.rows)), g.rows),
                add=True,
            )

        f.loop(g.groups, group)

    def records(self, planner: Planner, memory: int) -> list[Record]:
        out = super().records(planner, memory)
        if self.chunks > 1:
            start = self.own.bytes // self.g.dtype.itemsize
            out[-1].slots = [memory, *out[-1].slots[1:]]
            out[-1].params = [out[-1].params[0], start, *out[-1].params[2:]]
            slots = [planner.slot(self.instruction.output), memory]
            grain = max(1 << 13, -(-self.size // PIECES))
            address = planner.addresses[self.joining()]
            out.append(Record(address, slots, [0, start], self.size, min(grain, self.size)))
        return out


class Image(Convolution):
    """`convolve_back`."""

    def plan(self) -> None:
        g, b = self.g, self.blocks
        together = -(-g.n // b.images)
        wanted = min(PIECES, -(-g.work // WORK))
        self.channels = g.c
        for n in range(g.c, 0, -1):
            if g.c % n == 0 and together * (g.c // self.channels) < wanted:
                self.channels = n if n * product(g.kernel) >= 16 else self.channels
        self.full = tuple(
            max(r, n + p) for r, n, p in zip(g.reach(g.places), g.image, g.padding, strict=True)
        )
        self.straight = not any(g.padding) and self.full == g.image
        if not self.as_they_are:
            self.region("columns", self.channels * product(g.kernel) * b.row)
        if not self.straight:
            self.region("image", b.images * self.channels * product(self.full))
        if self.merged:
            self.region("responses", g.o * b.row)
        self.cut(together * (g.c // self.channels))

    def unit(self, number: Number) -> None:
        f, g = self.f, self.g
        together, part = f.parts(number, g.c // self.channels)
        image, count = self.images_of(together)
        channel = f.total((part, self.channels)) if self.channels < g.c else 0
        f.loop(g.groups, lambda n: self.group(image, count, n, channel))

    def group(self, image: Number, count: Number, group: Number, channel: Number) -> None:
        """Some channels of a group."""
        f, g = self.f, self.g
        size = product(g.image)
        sizes = (g.n, g.groups, g.c, size)
        first = f.place(self.out, *at(strides_of(sizes), [image, group, channel, 0]))
        bias = f.place(self.given[2], (group, g.c), channel) if len(self.given) > 2 else ""
        if self.straight:
            step = g.groups * g.c * size
            target, channel_step = first, size
        else:
            step = self.channels * product(self.full)
            target, channel_step = self.at_region("image"), product(self.full)
        if self.straight and bias:
            f.loops(
                [count, self.channels],
                lambda i: f.fill(
                    f.place(target, (i[0], step), (i[1], size)), size, f.load(f.place(bias, i[1]))
                ),
            )
        else:
            length = self.channels * channel_step
            f.loop(count, lambda n: f.clear(f.place(target, (n, step)), length))
        f.loop(
            self.blocks.count,
            lambda number: self.paint(image, count, group, channel, number, target, step),
        )
        if not self.straight:
            f.loops([count, self.channels], lambda i: self.cut_out(first, target, bias, i))

    def paint(
        self,
        image: Number,
        count: Number,
        group: Number,
        channel: Number,
        number: Number,
        target: str,
        step: int,
    ) -> None:
        """Add what the responses of a stretch say to images at `target`, `step` elements apart."""
        f, g, b = self.f, self.g, self.blocks
        s = Stretch(f, b, number)
        places = product(g.kernel)
        response, line = self.responses(self.given[0], image, count, group, s)
        weight = f.place(self.given[1], (group, g.o * g.rows), (channel, places))
        if self.as_they_are:
            to, row = f.place(target, s.first), g.positions
        else:
            to, row = self.at_region("columns"), b.row
        f.multiply(
            self.routine,
            (self.channels * places, f.total((count, b.size)) if self.merged else s.size, g.o),
            (weight, g.rows, True),
            (response, line, False),
            (to, row),
            add=self.as_they_are,
        )
        if not self.as_they_are:
            f.loop(
                count,
                lambda n: self.scatter(f.place(target, (n, step)), f.place(to, (n, b.size)), s),
            )

    def scatter(self, target: str, source: str, s: Stretch) -> None:
        """Add columns to the windows of an image."""
        f, g, b = self.f, self.g, self.blocks
        steps = strides_of((self.channels, *self.full))
        starts = [f.total((a, w)) for a, w in zip(s.starts, g.stride, strict=True)]
        origin = f.place(target, *at(steps[1:], starts))
        lines, inner = strides_of((self.channels, *g.kernel)), strides_of(g.places)

        def place_in_kernel(index: list) -> None:
            inside = [f.total((k, d)) for k, d in zip(index[1:], g.dilation, strict=True)]
            window = f.place(origin, *at(steps, [index[0], *inside]))
            row = f.total(*at(lines, index))

            def line(position: list) -> None:
                where = [(q, w * t) for q, w, t in zip(position, g.stride, steps[1:], strict=False)]
                to = f.place(window, *where)
                read = f.place(source, (row, b.row), *at(inner[:-1], position))

                def one(q: Number) -> None:
                    there = f.place(to, (q, g.stride[-1]))
                    value = f(
                        f"fadd {f.kind} {f.load(there, True)}, {f.load(f.place(read, q), True)}"
                    )
                    f.store(value, there, True)

                f.loop(s.counts[-1], one, free=True)

            f.loops(s.counts[:-1], line)

        f.loops([self.channels, *g.kernel], place_in_kernel)

    def cut_out(self, first: str, source: str, bias: str, index: list) -> None:
        """The inside of one channel of one image, with the bias."""
        f, g = self.f, self.g
        n, c = index
        value = f.load(f.place(bias, c)) if bias else ""
        images = (g.n, g.groups * g.c, *g.image)
        full = strides_of((self.blocks.images, self.channels, *self.full))

        def line(place: list) -> None:
            to = f.place(first, *at(strides_of(images), [n, c, *place, 0]))
            moved = [f.total(e, p) for e, p in zip([*place, 0], g.padding, strict=True)]
            read = f.place(source, *at(full, [n, c, *moved]))

            def one(e: Number) -> None:
                x = f.load(f.place(read, e), True)
                x = f(f"fadd {f.kind} {x}, {value}") if bias else x
                f.store(x, f.place(to, e), True)

            f.loop(g.image[-1], one, free=True)

        f.loops(g.image[:-1], line)


KINDS = {"convolve": Response, "convolve_back": Image, "convolve_kernel": Kernel}


def geometry(i: Instruction, planner: Planner) -> Geometry | None:
    """The sizes of a convolution; None if an instruction is none, or one left to NumPy."""
    if i.name not in KINDS or i.kwargs or i.output.dtype.str not in TYPES:
        return None
    given = [v for v in i.args if isinstance(v, Value)]
    if any(v.dtype != i.output.dtype or not v.size for v in given) or not i.output.size:
        return None
    if not all(dense(planner.place_of(v)) for v in given):
        return None
    if not all(isinstance(n, (int, np.integer)) for a in i.args[-5:-1] for n in a):
        return None
    most = max(math.prod(v.shape) for v in (*given, i.output))
    return Geometry(i) if most < 1 << 31 else None
