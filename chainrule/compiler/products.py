"""A matrix product of our own, for sizes that stay in the cache, where vectors have 16 floats.

C[m, n] = A[m, k] B[k, n]. The kernel takes the params of `cr.gemm` (see `blas`), with alpha 1 and
beta 0 or 1. For some columns of C (two vectors) and some rows of B (`DEPTH`) that part of B is
packed into memory of the kernel's own, row after row, whichever way B lies. Then ROWS rows of C at
a time are held in registers, while a loop over k multiplies a row of the packed part by one number
of each of the rows of A, read where they are.

Every element of C is a sum in the order of k, however the product is cut. OpenBLAS packs A too,
which pays where A does not stay in the cache: such sizes are its business, see `serves`. Measured
on one core (172 GFLOP/s at most), float32, this and OpenBLAS: 512 x 512 x 128 156 and 135, 512 x
128 x 512 155 and 134, 128 x 256 x 784 150 and 122, a transposed 128 x 512 x 512 148 and 117.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor

from . import machine
from .blas import BATCH, COLUMNS, CORES, ROWS
from .machine import registers
from .routines import Number, Text

TALL, DEPTH = 8, 256  # rows of a tile; rows of B that are packed at a time
AHEAD = 12  # steps in k before its use that a number of A is fetched: 5 to 9 % faster
FULL = 0.6  # of the elements of tiles that have to be of use
NEAR = 1 << 19  # bytes of A that are read for every two vectors of columns
KINDS = {"f32": ("float", 4), "f64": ("double", 8)}


def text(kind: str) -> str:
    """The kernel for `float` or `double`."""
    return Product(kind).text()


class Vectors:
    """Vectors of 64 bytes and what is done with them, in a text."""

    def __init__(self, kind: str) -> None:
        self.f = Text(kind)
        self.kind = kind
        self.lanes = 64 // self.f.size
        self.vector = f"<{self.lanes} x {kind}>"
        self.mask = f"<{self.lanes} x i1>"
        self.suffix = f"v{self.lanes}f{8 * self.f.size}"
        v, m = self.vector, self.mask
        self.f.declared |= {
            f"declare {v} @llvm.masked.load.{self.suffix}.p0(ptr, i32, {m}, {v})",
            f"declare void @llvm.masked.store.{self.suffix}.p0({v}, ptr, i32, {m})",
        }

    def done(self) -> str:
        """The kernel's text."""
        wide = 'nounwind alignstack(64) "prefer-vector-width"="512" {'
        return self.f.done().replace("nounwind {", wide)

    def steps(self, count: Number, step: int) -> Number:
        """In how many pieces of at most `step` something is done."""
        more = self.f.total(count, step - 1)
        return more // step if isinstance(more, int) else self.f(f"udiv i64 {more}, {step}")

    def lower(self, count: Number) -> str:
        """The mask of the first lanes."""
        f, kind = self.f, f"<{self.lanes} x i64>"
        one = f(f"insertelement {kind} poison, i64 {count}, i64 0")
        every = f(
            f"shufflevector {kind} {one}, {kind} poison, <{self.lanes} x i32> zeroinitializer"
        )
        lanes = ", ".join(f"i64 {n}" for n in range(self.lanes))
        return f(f"icmp slt {kind} <{lanes}>, {every}")

    def masked_load(self, place: str, mask: str) -> str:
        """A vector, zero where it is masked."""
        return self.f(
            f"call {self.vector} @llvm.masked.load.{self.suffix}.p0(ptr {place},"
            f" i32 {self.f.size}, {self.mask} {mask}, {self.vector} zeroinitializer)"
        )

    def masked_store(self, x: str, place: str, mask: str) -> None:
        """Write the lanes of a vector that are not masked."""
        self.f.do(
            f"call void @llvm.masked.store.{self.suffix}.p0({self.vector} {x}, ptr {place},"
            f" i32 {self.f.size}, {self.mask} {mask})"
        )

    def transposed(self, xs: list[str]) -> list[str]:
        """A square of numbers, turned."""
        f, lanes, d = self.f, self.lanes, 1
        xs = list(xs)
        while d < lanes:
            one = [n if not n & d else lanes + n - d for n in range(lanes)]
            two = [n + d if not n & d else lanes + n for n in range(lanes)]
            for i in range(lanes):
                if not i & d:
                    a, b = xs[i], xs[i + d]
                    for target, order in ((i, one), (i + d, two)):
                        places = ", ".join(f"i32 {n}" for n in order)
                        xs[target] = f(
                            f"shufflevector {self.vector} {a}, {self.vector} {b},"
                            f" <{lanes} x i32> <{places}>"
                        )
            d *= 2
        return xs


class Product(Vectors):
    """The writer of the kernel."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.width = 2 * self.lanes
        v = self.vector
        self.f.declared |= {
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
            f"declare {v} @llvm.fma.{self.suffix}({v}, {v}, {v})",
        }

    def text(self) -> str:
        f = self.f
        f.allocas.append(f"  %packed = alloca {self.kind}, i64 {DEPTH * self.width}, align 64")
        m, n, k, lda, ldb, self.ldc, opa, opb = (f.param(i) for i in range(8))
        beta = f.param(10)
        starts = [f.param(12 + i) for i in range(3)]
        split = f.param(15)
        strides, outer = [f.param(16 + i) for i in range(3)], [f.param(20 + i) for i in range(3)]
        bases = [f.place(f.buffer(i), starts[i]) for i in range(3)]
        self.add = f(f"icmp ne i64 {beta}, 0")
        plain_a, plain_b = f(f"icmp eq i64 {opa}, 0"), f(f"icmp eq i64 {opb}, 0")
        self.a_row, self.a_step = f.choose(plain_a, lda, "1"), f.choose(plain_a, "1", lda)
        self.b_row, self.b_column = f.choose(plain_b, ldb, "1"), f.choose(plain_b, "1", ldb)
        self.plain_b = plain_b
        rows, columns = f(f"icmp eq i64 {split}, {ROWS}"), f(f"icmp eq i64 {split}, {COLUMNS}")
        batch = f(f"icmp eq i64 {split}, {BATCH}")
        length = f("sub i64 %end, %begin")
        self.m, self.n, self.k = f.choose(rows, length, m), f.choose(columns, length, n), k
        first_row = f.choose(rows, "%begin", "0")
        first_column = f.choose(columns, "%begin", "0")
        inner = f.choose(batch, f.param(19), str(1 << 62))
        first, last = f.choose(batch, "%begin", "0"), f.choose(batch, "%end", "1")

        def one(i: Number) -> None:
            run, index = f(f"udiv i64 {i}, {inner}"), f(f"urem i64 {i}, {inner}")
            a, b, c = (f.place(bases[j], (run, outer[j]), (index, strides[j])) for j in range(3))
            a = f.place(a, (first_row, self.a_row))
            b = f.place(b, (first_column, self.b_column))
            c = f.place(c, (first_row, self.ldc), first_column)
            self.matrix(a, b, c)

        f.loop(last, one, first=first)
        return self.done()

    def matrix(self, a: str, b: str, c: str) -> None:
        """One product."""
        f = self.f

        def panel(p: Number) -> None:
            column = f.total((p, self.width))
            wide = f.least(self.width, f.total(self.n, (column, -1)))
            self.masks = [self.lower(f.total(wide, -j * self.lanes)) for j in range(2)]

            def layer(q: Number) -> None:
                start = f.total((q, DEPTH))
                deep = f.least(DEPTH, f.total(self.k, (start, -1)))
                source = f.place(b, (start, self.b_row), (column, self.b_column))
                f.either(
                    self.plain_b,
                    lambda: self.pack(source, deep),
                    lambda: self.pack_turned(source, deep, wide),
                )
                later = f(f"icmp ne i64 {q}, 0")
                self.adds = f(f"or i1 {later}, {self.add}")
                seen = f.place(a, (start, self.a_step))
                self.tiles(seen, f.place(c, column), deep)

            f.loop(self.steps(self.k, DEPTH), layer)

        f.loop(self.steps(self.n, self.width), panel)

    # -- packing ----------------------------------------------------------------------------------

    def pack(self, source: str, deep: Number) -> None:
        """Rows of B as they are."""
        f = self.f

        def row(i: Number) -> None:
            for j in range(2):
                x = self.masked_load(
                    f.place(source, (i, self.b_row), j * self.lanes), self.masks[j]
                )
                to = f.place("%packed", (i, self.width), j * self.lanes)
                f.do(f"store {self.vector} {x}, ptr {to}, align 64")

        f.loop(deep, row)

    def pack_turned(self, source: str, deep: Number, wide: Number) -> None:
        """Rows of B whose columns lie in memory as rows: squares are transposed in registers."""
        f, lanes = self.f, self.lanes

        def square(index: list) -> None:
            row, half = f.total((index[0], lanes)), f.total((index[1], lanes))
            inside = self.lower(f.total(deep, (row, -1)))
            xs = []
            for n in range(lanes):
                column = f.least(f.total(half, n), f.total(wide, -1))
                xs.append(self.masked_load(f.place(source, (column, self.b_column), row), inside))
            for n, x in enumerate(self.transposed(xs)):
                to = f.place("%packed", (row, self.width), half, n * self.width)
                f.do(f"store {self.vector} {x}, ptr {to}, align 64")

        f.loops([self.steps(deep, lanes), 2], square)

    # -- tiles ------------------------------------------------------------------------------------

    def tiles(self, a: str, c: str, deep: Number) -> None:
        """All rows of C in these columns."""
        f = self.f

        def tile(t: Number) -> None:
            before = f.label
            top, last = f.total((t, TALL)), f.total(self.m, -1)
            rows = [f.least(f.total(top, r), last) for r in range(TALL)]
            seen = [f.place(a, (row, self.a_row)) for row in rows]
            to = [f.place(c, (row, self.ldc), j * self.lanes) for row in rows for j in range(2)]
            name = f.new_label()
            f.do(f"br i1 {self.adds}, label %held{name}, label %fresh{name}")
            f.begin_block(f"held{name}")
            held = [self.masked_load(at, self.masks[n % 2]) for n, at in enumerate(to)]
            f.do(f"br label %fresh{name}")
            f.begin_block(f"fresh{name}")
            begin = [
                f(f"phi {self.vector} [ {x}, %held{name} ], [ zeroinitializer, %{before} ]")
                for x in held
            ]
            sums = f.fold(deep, begin, self.vector, lambda i, old: self.step(i, old, seen))
            for n, (x, at) in enumerate(zip(sums, to, strict=True)):
                self.masked_store(x, at, self.masks[n % 2])

        f.loop(self.steps(self.m, TALL), tile)

    def step(self, i: Number, old: list[str], seen: list[str]) -> list[str]:
        """One row of the packed part, times one number for each row of A."""
        f, made = self.f, []
        row = [
            f(
                f"load {self.vector}, ptr"
                f" {f.place('%packed', (i, self.width), j * self.lanes)}, align 64"
            )
            for j in range(2)
        ]
        ahead = f.place(seen[0], (f.total(i, AHEAD), self.a_step))
        f.do(f"call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 3, i32 1)")
        offset = f.total((i, self.a_step))
        for r, base in enumerate(seen):
            x = f.load(f.place(base, offset))
            one = f(f"insertelement {self.vector} poison, {self.kind} {x}, i64 0")
            every = f(
                f"shufflevector {self.vector} {one}, {self.vector} poison,"
                f" <{self.lanes} x i32> zeroinitializer"
            )
            for j in range(2):
                made.append(
                    f(
                        f"call {self.vector} @llvm.fma.{self.suffix}({self.vector} {every},"
                        f" {self.vector} {row[j]}, {self.vector} {old[2 * r + j]})"
                    )
                )
        return made


@functools.cache
def serves(suffix: str, m: int, n: int, k: int) -> bool:
    """Whether this CPU has such vectors, and a product of that type (`f32`) and size is one for
    this kernel: tiles are full enough, and what is read of A again and again stays in the cache.
    """
    if suffix not in KINDS or registers()[0] != 64:
        return False
    size = KINDS[suffix][1]
    width = 128 // size
    full = (m / (-m % TALL + m)) * (n / (-n % width + n))
    return full > FULL and k >= TALL and -(-m // CORES) * min(k, DEPTH) * size <= NEAR


places: dict[int, str] = {}  # kernels that were asked for, by address: type and name of the code


@functools.cache
def address(suffix: str) -> int:
    """The kernel for a type, in memory."""
    begin(suffix)
    code = coming[suffix].result()
    found = code.address("product")
    places[found] = f"{suffix}:{code.name}"
    return found


def address_again(place: str) -> int:
    """The kernel that has been written down in `places`, perhaps in another process: from the cache
    if it is there, so that its text need not be written.
    """
    suffix, _, name = place.partition(":")
    code = None if suffix in coming else machine.kept(name)
    if code is not None:
        made: Future = Future()
        made.set_result(code)
        coming.setdefault(suffix, made)
    return address(suffix)


coming: dict[str, Future] = {}  # the code of kernels that are made, or being made


def begin(suffix: str) -> None:
    """Have the kernel for a type made by another thread, while this one has other kernels made."""
    if suffix in coming:
        return
    pool = ThreadPoolExecutor(1)
    coming[suffix] = pool.submit(_made, suffix)
    pool.shutdown(wait=False)


def _made(suffix: str) -> machine.Code:
    from .plan import assemble

    return machine.native(assemble({text(KINDS[suffix][0]): "product"}, set()))
