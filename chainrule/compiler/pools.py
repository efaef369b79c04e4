"""What poolings leave in a program, as kernels: elements put at places of images (the transpose of
a maximum), windows copied or added where they lie (unfold, and the transpose of a mean), sums over
segments of an axis (adaptive poolings, resampling).

A unit of work is one image of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .program import Instruction, Value
from .routines import TYPES, Number, Routine, Text, at, product, strides_of
from .runtime import Record
from .views import Place, dense

if TYPE_CHECKING:
    from .plan import Planner

PIECES = 16  # chunks at most
LARGE = 1 << 14  # elements that are worth a chunk


class Pool(Routine):
    """A kernel over units, without memory of its own."""

    def __init__(self, i: Instruction, places: list[Place]) -> None:
        self.instruction, self.given = i, places
        self.f = Text(TYPES[i.output.dtype.str][0])
        self.units, self.work = 1, 0
        arrays = [self.f.array(n, n) for n in range(len(places) + 1)]
        self.write(*arrays)
        self.text = self.f.done()
        self.texts = [self.text]

    def write(self, out: str, *given: str) -> None:
        """The kernel: `units` of them, on so many elements (`work`) in all."""
        raise NotImplementedError(f"{type(self).__name__}.write")

    def records(self, planner: Planner, memory: int) -> list[Record]:
        slots = [planner.slot(self.instruction.output)]
        slots += [planner.slot(p.root) for p in self.given]
        params = [0, *[p.offset for p in self.given]]
        pieces = max(1, min(PIECES, self.work // LARGE, self.units))
        grain = -(-self.units // pieces)
        return [Record(planner.addresses[self.text], slots, params, self.units, grain)]


class Put(Pool):
    """`put_places(x, places, size)`: zeros (images, size) with x (images, count) added at places
    (images, count).
    """

    def write(self, out: str, *given: str) -> None:
        f, (x, places) = self.f, given
        (self.units, count), size = self.instruction.args[0].shape, self.instruction.args[2]
        self.work = self.units * (size + 4 * count)

        def unit(n: Number) -> None:
            to = f.place(out, (n, size))
            f.clear(to, size)

            def one(j: Number) -> None:
                here = f.total((n, count), j)
                address = f(f"getelementptr i64, ptr {places}, i64 {here}")
                spot = f.place(to, f(f"load i64, ptr {address}, align 8"))
                f.store(f(f"fadd {f.kind} {f.load(spot)}, {f.load(f.place(x, here))}"), spot)

            f.loop(count, one)

        f.loop("%end", unit, first="%begin")


class Windows(Pool):
    """`windows` of images: (..., *kernel, *size)."""

    def write(self, out: str, *given: str) -> None:
        f, i = self.f, self.instruction
        kernel, size, stride, dilation = i.args[1:]
        image = i.args[0].shape[-len(size) :]
        self.units = product(i.args[0].shape[: -len(size)])
        self.work = i.output.size
        steps, every = strides_of(image), product((*kernel, *size))

        def unit(n: Number) -> None:
            def line(index: list) -> None:
                inside, across = index[: len(size)], index[len(size) :]
                to = f.place(out, (n, every), *at(strides_of((*kernel, *size)), [*index, 0]))
                terms = [(k, d * s) for k, d, s in zip(inside, dilation, steps, strict=True)]
                terms += [(q, d * s) for q, d, s in zip(across, stride, steps, strict=False)]
                source = f.place(given[0], (n, product(image)), *terms)
                f.copy(to, source, size[-1], stride[-1])

            f.loops([*kernel, *size[:-1]], line)

        f.loop("%end", unit, first="%begin")


class Overlap(Pool):
    """`overlap`: windows (..., *kernel, *size), which may lie in any way, added where they lie in
    images.
    """

    def write(self, out: str, *given: str) -> None:
        f, i, seen = self.f, self.instruction, self.given[0]
        image, stride, dilation = i.args[1:]
        dims = len(image)
        lead, kernel, size = (
            seen.shape[: -2 * dims],
            seen.shape[-2 * dims : -dims],
            seen.shape[-dims:],
        )
        self.units, self.work = product(lead), seen.size
        steps = strides_of(image)

        def unit(n: Number) -> None:
            to = f.place(out, (n, product(image)))
            source = f.place(given[0], *zip(f.digits(n, lead), seen.strides, strict=False))
            f.clear(to, product(image))

            def line(index: list) -> None:
                inside, across = index[:dims], index[dims:]
                terms = [(k, d * s) for k, d, s in zip(inside, dilation, steps, strict=True)]
                terms += [(q, d * s) for q, d, s in zip(across, stride, steps, strict=False)]
                target = f.place(to, *terms)
                read = f.place(source, *zip(index, seen.strides[len(lead) :], strict=False))

                def one(q: Number) -> None:
                    there = f.place(target, (q, stride[-1]))
                    x = f.load(f.place(read, (q, seen.strides[-1])), True)
                    f.store(f(f"fadd {f.kind} {f.load(there, True)}, {x}"), there, True)

                f.loop(size[-1], one, free=True)

            f.loops([*kernel, *size[:-1]], line)

        f.loop("%end", unit, first="%begin")


class Segments(Pool):
    """`segments`: sums of x[start:stop] along an axis."""

    def write(self, out: str, *given: str) -> None:
        f, i = self.f, self.instruction
        x, starts, stops = given
        axis = i.args[3]
        shape = i.args[0].shape
        length, count = shape[axis], i.output.shape[axis]
        behind = product(shape[axis:][1:])
        self.units = product(shape[:axis])
        self.work = i.args[0].size + i.output.size

        def unit(n: Number) -> None:
            source = f.place(x, (n, length * behind))

            def segment(j: Number) -> None:
                to = f.place(out, (n, count * behind), (j, behind))
                start, stop = (
                    f(f"load i64, ptr {f(f'getelementptr i64, ptr {p}, i64 {j}')}, align 8")
                    for p in (starts, stops)
                )
                f.clear(to, behind)

                def row(k: Number) -> None:
                    read = f.place(source, (k, behind))

                    def one(e: Number) -> None:
                        there = f.place(to, e)
                        value = f.load(f.place(read, e), True)
                        f.store(f(f"fadd {f.kind} {f.load(there, True)}, {value}"), there, True)

                    f.loop(behind, one, free=True)

                f.loop(stop, row, first=start)

            f.loop(count, segment)

        f.loop("%end", unit, first="%begin")


KINDS = {"put_places": Put, "windows": Windows, "overlap": Overlap, "segments": Segments}


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of what a pooling left; None if it is left to NumPy."""
    if i.name not in KINDS or i.kwargs or i.output.dtype.str not in TYPES or not i.output.size:
        return None
    given = [v for v in i.args if isinstance(v, Value)]
    if given[0].dtype != i.output.dtype or any(v.dtype != "<i8" for v in given[1:]):
        return None
    places = [planner.place_of(v) for v in given]
    if not all(v.size for v in given):
        return None
    if i.name != "overlap" and not all(map(dense, places)):
        return None
    return KINDS[i.name](i, places)
