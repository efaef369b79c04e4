"""Random numbers drawn by compiled code, the same that `rng` draws: from the generator's own
memory, which moves on in place.

A kernel asks `words` for the next words of the engine, a thousand at a time, and makes numbers of
them in the way (and with the roundings) of `rng.uniforms`, `rng.integers` and `rng.normals`. What
is drawn in other ways is left to Python, in its turn: draws keep their order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import rng
from ..ops.draws import Draw
from ..ops.random import permutation
from ..rng import integers, normals
from ..rng.kinds import PARTS, last_integer
from ..rng.rounding import halves
from . import machine
from .body import constant
from .driver import ERROR
from .elements import MEMORY, code
from .program import Instruction, Value
from .routines import Number, Routine, Text, product
from .runtime import LATE, WORDS, Plan, Record
from .views import dense

if TYPE_CHECKING:
    from .plan import Planner

WORD_SOURCE = "cr.words"  # the function that all kernels call
CHUNK = 1024  # numbers that are made at a time
KINDS = ("b1", "u1", "i1", "i2", "i4", "i8", "f4", "f8")  # dtypes that are written

# The next `count` words of the engine. Its state is made anew, 624 words at a time, by the
# recurrence of Matsumoto and Nishimura (1998); a word is tempered on its way out.
ENGINE = """
declare i64 @llvm.smin.i64(i64, i64)
define internal i32 @next(i32 %this, i32 %next, i32 %far) alwaysinline nounwind {
  %high = and i32 %this, -2147483648
  %low = and i32 %next, 2147483647
  %both = or i32 %high, %low
  %half = lshr i32 %both, 1
  %odd = and i32 %next, 1
  %mask = sub i32 0, %odd
  %matrix = and i32 %mask, -1727483681
  %sum = xor i32 %half, %matrix
  %made = xor i32 %sum, %far
  ret i32 %made
}
define internal void @twist(ptr %state) noinline nounwind {
entry:
  br label %first
first:
  %i = phi i64 [ 0, %entry ], [ %i1, %first ]
  %ia = getelementptr i32, ptr %state, i64 %i
  %i1 = add nuw nsw i64 %i, 1
  %ib = getelementptr i32, ptr %state, i64 %i1
  %i2 = add nuw nsw i64 %i, 397
  %ic = getelementptr i32, ptr %state, i64 %i2
  %ix = load i32, ptr %ia
  %iy = load i32, ptr %ib
  %iz = load i32, ptr %ic
  %iw = call i32 @next(i32 %ix, i32 %iy, i32 %iz)
  store i32 %iw, ptr %ia
  %im = icmp ult i64 %i1, 227
  br i1 %im, label %first, label %second
second:
  %j = phi i64 [ 227, %first ], [ %j1, %second ]
  %ja = getelementptr i32, ptr %state, i64 %j
  %j1 = add nuw nsw i64 %j, 1
  %jb = getelementptr i32, ptr %state, i64 %j1
  %j2 = sub nsw i64 %j, 227
  %jc = getelementptr i32, ptr %state, i64 %j2
  %jx = load i32, ptr %ja
  %jy = load i32, ptr %jb
  %jz = load i32, ptr %jc
  %jw = call i32 @next(i32 %jx, i32 %jy, i32 %jz)
  store i32 %jw, ptr %ja
  %jm = icmp ult i64 %j1, 623
  br i1 %jm, label %second, label %last
last:
  %ka = getelementptr i32, ptr %state, i64 623
  %kc = getelementptr i32, ptr %state, i64 396
  %kx = load i32, ptr %ka
  %ky = load i32, ptr %state
  %kz = load i32, ptr %kc
  %kw = call i32 @next(i32 %kx, i32 %ky, i32 %kz)
  store i32 %kw, ptr %ka
  ret void
}
define void @cr.words(ptr noalias %state, ptr noalias %out, i64 %count) nounwind {
entry:
  %place = getelementptr i32, ptr %state, i64 624
  br label %more
more:
  %done = phi i64 [ 0, %entry ], [ %upto, %filled ]
  %left = sub i64 %count, %done
  %any = icmp sgt i64 %left, 0
  br i1 %any, label %look, label %over
look:
  %at = load i32, ptr %place
  %spent = icmp sge i32 %at, 624
  br i1 %spent, label %twist, label %ready
twist:
  call void @twist(ptr %state)
  br label %ready
ready:
  %start32 = phi i32 [ %at, %look ], [ 0, %twist ]
  %start = zext i32 %start32 to i64
  %rest = sub i64 624, %start
  %n = call i64 @llvm.smin.i64(i64 %left, i64 %rest)
  %key = getelementptr i32, ptr %state, i64 %start
  %to = getelementptr i32, ptr %out, i64 %done
  br label %temper
temper:
  %i = phi i64 [ 0, %ready ], [ %i1, %temper ]
  %from = getelementptr i32, ptr %key, i64 %i
  %w0 = load i32, ptr %from
  %w1 = lshr i32 %w0, 11
  %w2 = xor i32 %w0, %w1
  %w3 = shl i32 %w2, 7
  %w4 = and i32 %w3, -1658038656
  %w5 = xor i32 %w2, %w4
  %w6 = shl i32 %w5, 15
  %w7 = and i32 %w6, -272236544
  %w8 = xor i32 %w5, %w7
  %w9 = lshr i32 %w8, 18
  %wa = xor i32 %w8, %w9
  %into = getelementptr i32, ptr %to, i64 %i
  store i32 %wa, ptr %into
  %i1 = add nuw nsw i64 %i, 1
  %im = icmp slt i64 %i1, %n
  br i1 %im, label %temper, label %filled
filled:
  %upto = add i64 %done, %n
  %past = add i64 %start, %n
  %past32 = trunc i64 %past to i32
  store i32 %past32, ptr %place
  br label %more
over:
  ret void
}
"""


@functools.cache
def engine() -> machine.Code:
    """`cr.words`, loaded when first needed."""
    return machine.native(ENGINE)


class Numbers(Text):
    """A kernel that draws: its slots are the engine's memory, the generator's pair, the array to
    fill, and one of chances; its first param is the address of `cr.words`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(MEMORY[kind], int(kind[1:]))
        self.target = kind
        self.state, self.pair, self.out = self.buffer(0), self.buffer(1), self.buffer(2)
        self.function = self(f"inttoptr i64 {self.param(0)} to ptr")
        self.words = f"%words{len(self.allocas)}"
        self.allocas.append(f"  {self.words} = alloca [{2 * CHUNK} x i32], align 64")

    def draw(self, count: Number) -> None:
        """The next words, into `words`."""
        self.do(f"call void {self.function}(ptr {self.state}, ptr {self.words}, i64 {count})")

    def word(self, i: Number) -> str:
        """One of them."""
        place = self(f"getelementptr i32, ptr {self.words}, i64 {i}")
        return self(f"load i32, ptr {place}, align 4, !llvm.access.group !0")

    def single(self, i: Number) -> str:
        """A float made of word i, in [0, 1)."""
        whole = self(f"uitofp i32 {self(f'and i32 {self.word(i)}, 16777215')} to float")
        return self(f"fmul float {whole}, {constant(2**-24, 'float')}")

    def double(self, i: Number) -> str:
        """A double made of words 2 i and 2 i + 1, in [0, 1)."""
        first = self.total((i, 2))
        high = self(f"and i32 {self.word(first)}, 2097151")
        high = self(f"uitofp i32 {high} to double")
        high = self(f"fmul double {high}, {constant(2.0**32, 'double')}")
        low = self(f"uitofp i32 {self.word(self.total(first, 1))} to double")
        both = self(f"fadd double {high}, {low}")
        return self(f"fmul double {both}, {constant(2.0**-53, 'double')}")

    def long(self, i: Number) -> str:
        """An i64 made of words 2 i and 2 i + 1."""
        first = self.total((i, 2))
        high = self(f"zext i32 {self.word(first)} to i64")
        low = self(f"zext i32 {self.word(self.total(first, 1))} to i64")
        return self(f"or i64 {self(f'shl i64 {high}, 32')}, {low}")

    def put(self, value: str, source: str, place: str) -> None:
        """Write a number, an i1, i64 (signed), float or double, as an element of the array."""
        target = self.target
        if target == "b1":
            test = {"i1": "", "i64": "icmp ne i64", "float": "fcmp une float"}
            if source != "i1":
                zero = "0" if source == "i64" else "0.0"
                how = test.get(source, "fcmp une double")
                value = self(f"{how} {value}, {zero}")
            value = self(f"zext i1 {value} to i8")
        elif source == "i1":
            how = "uitofp" if target[0] == "f" else "zext"
            value = self(f"{how} i1 {value} to {self.kind}")
        elif source == "i64":
            if target[0] == "f":
                value = self(f"sitofp i64 {value} to {self.kind}")
            elif target != "i8":
                value = self(f"trunc i64 {value} to {self.kind}")
        elif source != self.kind and target[0] != "f":
            value = self(f"fptosi {source} {value} to {self.kind}")
        elif source != self.kind:
            value = self(
                f"{'fptrunc' if target == 'f4' else 'fpext'} {source} {value} to {self.kind}"
            )
        self.store(value, place, True)

    def each(self, count: int, words: int, make: Callable[[Number, Number], tuple]) -> None:
        """Fill the array with make(i, place), a number and its type, of `words` words each."""

        def chunk(c: Number) -> None:
            start = self.total((c, CHUNK))
            n = self.least(CHUNK, self.total(count, (start, -1)))
            self.draw(self.total((n, words)))

            def one(i: Number) -> None:
                place = self.total(start, i)
                value, kind = make(i, place)
                self.put(value, kind, self.place(self.out, place))

            self.loop(n, one, free=True)

        self.loop(-(-count // CHUNK), chunk)


# -- one text for each kind of draw ----------------------------------------------------------------


def uniform(kind: str, count: int, low: float, high: float) -> str | None:
    """Uniform numbers in [low, high)."""
    if kind not in ("f4", "f8"):
        return None
    f = Numbers(kind)
    wide = f.kind == "double"

    def make(i: Number, place: Number) -> tuple:
        x = f.double(i) if wide else f.single(i)
        if (low, high) == (0, 1):
            return x, f.kind
        if wide:
            x = fused(f, x, high - low, low)
        else:
            step = float(np.float32(high) - np.float32(low))
            x = fma(f, f(f"fpext float {x} to double"), number(step), float(np.float32(low)))
        first, last = (constant(v, f.kind) for v in (low, high))
        return f(
            f"select i1 {f(f'fcmp oeq {f.kind} {x}, {last}')}, {f.kind} {first}, {f.kind} {x}"
        ), f.kind

    f.each(count, 2 if wide else 1, make)
    return f.done()


def bernoulli(kind: str, count: int, p: float | None, chances: Any = None) -> str:
    """1 with a chance: p, or that of an array of dtype `chances`."""
    f = Numbers(kind)
    given = "" if chances is None else f.array(3, 1)
    single = chances is not None and code(chances) == "f4"
    held = "float" if single else "double"

    def make(i: Number, place: Number) -> tuple:
        x = f.single(i) if single else f.double(i)
        limit = number(p) if p is not None else ""
        if given:
            at = f(f"getelementptr {held}, ptr {given}, i64 {place}")
            limit = f(f"load {held}, ptr {at}, !llvm.access.group !0")
        return f(f"fcmp olt {held} {x}, {limit}"), "i1"

    def draw() -> None:
        f.each(count, 1 if single else 2, make)

    if not given:
        draw()
        return f.done()

    def one(i: Number, found: list) -> list[str]:
        at = f(f"getelementptr {held}, ptr {given}, i64 {i}")
        x = f(f"load {held}, ptr {at}, !llvm.access.group !0")
        low, high = f(f"fcmp oge {held} {x}, 0.0"), f(f"fcmp ole {held} {x}, 1.0")
        fine = f(f"zext i1 {f(f'and i1 {low}, {high}')} to i8")
        return [f(f"and i8 {found[0]}, {fine}")]

    (valid,) = f.fold(count, ["1"], "i8", one)
    f.either(f(f"icmp ne i8 {valid}, 0"), draw, lambda: wrong(f, 4, 2))
    return f.done()


def wrong(f: Text, slot: int, param: int) -> None:
    """Tell that something is wrong: what, is a param."""
    words = f.buffer(slot)
    f.do(f"store i64 {f.param(param)}, ptr {f(f'getelementptr i64, ptr {words}, i64 {ERROR}')}")


def inverse(kind: str, count: int, make: Callable) -> str:
    """Values of distributions by the inverse method: make(kernel, double)."""
    f = Numbers(kind)
    f.each(count, 2, lambda i, place: (make(f, f.double(i)), "double"))
    return f.done()


def exponential(f: Text, u: str, rate: float) -> str:
    """Exponential."""
    log = call(f, "log1p", f(f"fneg double {u}"))
    return f(f"fmul double {number(-1.0 / rate)}, {log}")


def cauchy(f: Text, u: str, median: float, sigma: float) -> str:
    """Cauchy."""
    angle = f(f"fmul double {number(math.pi)}, {f(f'fsub double {u}, {number(0.5)}')}")
    return fused(f, call(f, "tan", angle), sigma, median)


def geometric(f: Text, u: str, p: float) -> str:
    """How many trials it takes."""
    f.declared.add("declare double @llvm.ceil.f64(double)")
    trials = f(f"fdiv double {call(f, 'log', u)}, {number(math.log1p(-p))}")
    return f(f"call double @llvm.ceil.f64(double {trials})")


INVERSE: dict[Callable, tuple[Callable, tuple]] = {
    rng.draw_exponential: (exponential, (1.0,)),
    rng.draw_cauchy: (cauchy, (0.0, 1.0)),
    rng.draw_geometric: (geometric, ()),
}


def whole(kind: str, count: int, low: int, span: int, long: bool) -> str:
    """Integers low + w mod span, of words or of pairs of words."""
    f = Numbers(kind)

    def make(i: Number, place: Number) -> tuple:
        if long:
            w = f.long(i)
            rest = w if span == 1 << 64 else f(f"urem i64 {w}, {span}")
        else:
            w = f.word(i)
            rest = w if span >= 1 << 32 else f(f"urem i32 {w}, {span}")
            rest = f(f"zext i32 {rest} to i64")
        return (f(f"add i64 {rest}, {low}") if low else rest), "i64"

    f.each(count, 2 if long else 1, make)
    return f.done()


def permuted(kind: str, count: int) -> str:
    """The numbers below `count` in random order: each place in turn is swapped with a later one."""
    f = Numbers(kind)

    def fill(i: Number) -> None:
        f.put(str(i) if isinstance(i, int) else i, "i64", f.place(f.out, i))

    f.loop(count, fill, free=True)
    swaps = count - 1

    def chunk(c: Number) -> None:
        start = f.total((c, CHUNK))
        n = f.least(CHUNK, f.total(swaps, (start, -1)))
        f.draw(n)

        def swap(i: Number) -> None:
            place = f.total(start, i)
            left = f(f"trunc i64 {f.total(count, (place, -1))} to i32")
            at = f(f"getelementptr i32, ptr {f.words}, i64 {i}")
            step = f(f"urem i32 {f(f'load i32, ptr {at}')}, {left}")
            other = f.total(place, f(f"zext i32 {step} to i64"))
            a, b = f.place(f.out, place), f.place(f.out, other)
            x, y = f.load(a), f.load(b)
            f.store(y, a)
            f.store(x, b)

        f.loop(n, swap)

    f.loop(-(-swaps // CHUNK), chunk)
    return f.done()


# -- normal values ---------------------------------------------------------------------------------


def number(value: float) -> str:
    """A double."""
    return constant(value, "double")


def fma(f: Text, x: str, y: str, z: Any) -> str:
    """The float x * y + z of doubles: their product is exact (see `rng.rounding.fma`)."""
    z = number(z) if isinstance(z, float) else z
    product = f(f"fmul double {x}, {y}")
    return f(f"fptrunc double {f(f'fadd double {product}, {z}')} to float")


def fused(f: Text, x: str, y: float, z: float) -> str:
    """The double x * y + z, rounded as `rng.rounding.fma_double` does."""

    def op(name: str, a: str, b: str) -> str:
        return f(f"f{name} double {a}, {b}")

    product = op("mul", x, number(y))
    if z == 0 or y == 1 or not 1e-200 < abs(y) < 1e200:
        return op("add", product, number(z))
    y1, y0 = (number(v) for v in halves(y))
    scaled = op("mul", x, number(134217729.0))
    x1 = op("sub", scaled, op("sub", scaled, x))
    x0 = op("sub", x, x1)
    rest = op("sub", product, op("mul", x1, y1))
    rest = op("sub", op("sub", rest, op("mul", x0, y1)), op("mul", x1, y0))
    lost = op("sub", op("mul", x0, y0), rest)
    total = op("add", product, number(z))
    added = op("sub", total, product)
    error = op("sub", product, op("sub", total, added))
    lost = op("add", lost, op("add", error, op("sub", number(z), added)))
    return op("add", total, lost)


def wide(f: Text, x: str) -> str:
    """A float as a double."""
    return f(f"fpext float {x} to double")


def polynomial(f: Text, coefficients: Sequence[float], x: str) -> str:
    """Horner's rule in float with fused steps, at a double."""
    y = f(f"fmul double {x}, {number(coefficients[0])}")
    y = f(f"fadd double {y}, {number(coefficients[1])}")
    y = f(f"fptrunc double {y} to float")
    for c in coefficients[2:]:
        y = fma(f, wide(f, y), x, c)
    return y


def short(value: float) -> str:
    """A float."""
    return constant(float(np.float32(value)), "float")


def log_of_fraction(f: Text, k: str) -> str:
    """log(k / 2**24), as `rng.normals` has it."""
    x = f(f"sitofp i32 {k} to float")
    bits = f(f"bitcast float {x} to i32")
    exponent = f(f"ashr i32 {f(f'sub i32 {bits}, {0x3F3504F3}')}, 23")
    bits = f(f"sub i32 {bits}, {f(f'shl i32 {exponent}, 23')}")
    x = f(f"fsub float {f(f'bitcast i32 {bits} to float')}, {short(1)}")
    power = f(f"sitofp i32 {f(f'sub i32 {exponent}, 24')} to float")
    y = f(f"fmul float {polynomial(f, normals.LOG, wide(f, x))}, {x}")
    square = f(f"fmul float {x}, {x}")
    small = f(f"fmul float {power}, {short(normals.LOG_2[1])}")
    y = fma(f, wide(f, y), wide(f, square), wide(f, small))
    y = f(f"fsub float {y}, {f(f'fmul float {square}, {short(0.5)}')}")
    x = f(f"fadd float {x}, {y}")
    return fma(f, wide(f, power), number(normals.LOG_2[0]), wide(f, x))


def cosine_sine_of_turn(f: Text, k: str) -> tuple[str, str]:
    """cos and sin of the angle 2 pi k / 2**24, as `rng.normals` has them."""
    step = np.float32(2 * math.pi) * np.float32(2**-24)
    x = f(f"fmul float {f(f'sitofp i32 {k} to float')}, {short(step)}")
    octant = f(f"fptosi float {f(f'fmul float {x}, {short(4 / math.pi)}')} to i32")
    octant = f(f"and i32 {f(f'add i32 {octant}, 1')}, -2")
    turns = f(f"sitofp i32 {octant} to float")
    for part in normals.QUARTER_PI[:2]:
        x = f(f"fsub float {x}, {f(f'fmul float {turns}, {short(part)}')}")
    x = fma(f, wide(f, turns), number(-normals.QUARTER_PI[2]), wide(f, x))
    square = f(f"fmul float {x}, {x}")
    broad = wide(f, square)
    cosine = f(f"fmul float {polynomial(f, normals.COSINE, broad)}, {square}")
    half = f(f"fmul float {square}, {short(-0.5)}")
    cosine = fma(f, wide(f, cosine), broad, wide(f, half))
    cosine = f(f"fadd float {cosine}, {short(1)}")
    sine = f(f"fmul float {polynomial(f, normals.SINE, broad)}, {square}")
    sine = fma(f, wide(f, sine), wide(f, x), wide(f, x))
    return turned(f, cosine, sine, octant)


def turned(f: Text, cosine: str, sine: str, octant: str) -> tuple[str, str]:
    """Both, turned by octant * pi / 4."""
    c, s = (f(f"bitcast float {v} to i32") for v in (cosine, sine))
    odd = f(f"and i32 {f(f'ashr i32 {octant}, 1')}, 1")
    change = f(f"and i32 {f(f'xor i32 {c}, {s}')}, {f(f'sub i32 0, {odd}')}")
    out = []
    for v, by in ((c, f(f"add i32 {octant}, 2")), (s, octant)):
        sign = f(f"shl i32 {f(f'and i32 {by}, 4')}, 29")
        v = f(f"xor i32 {v}, {f(f'xor i32 {change}, {sign}')}")
        out.append(f(f"bitcast i32 {v} to float"))
    return out[0], out[1]


def normal(kind: str, count: int, mean: float, std: float, rows: bool = True) -> str | None:
    """Normal values; `rows`: to lie row by row."""
    if kind not in ("f4", "f8"):
        return None
    f = Numbers(kind)
    if count < 16 or not rows:
        in_pairs(f, count, mean, std)
    else:
        in_groups(f, count, mean, std)
    return f.done()


def group(f: Numbers, mean: float, std: float, first: Number, to: str) -> None:
    """The 16 values of a group, of the words (or pairs of words) from `first` on."""

    def one(j: Number) -> None:
        here, there = f.total(first, j), f.total(first, j, 8)
        if f.kind == "double":
            radius, cosine, sine = polar(f, f.double(here), f.double(there))
            values = [f(f"fmul double {radius}, {v}") for v in (cosine, sine)]
            values = [fused(f, v, std, mean) for v in values]
        else:
            k, turn = (f(f"and i32 {f.word(w)}, 16777215") for w in (here, there))
            radius = log_of_fraction(f, f(f"sub i32 {1 << 24}, {k}"))
            radius = root(f, f(f"fmul float {radius}, {short(-2)}"))
            both = cosine_sine_of_turn(f, turn)
            values = [f(f"fmul float {radius}, {v}") for v in both]
            m, s = float(np.float32(mean)), float(np.float32(std))
            if (m, s) == (0, 1):
                values = [f(f"fadd float {v}, {short(0)}") for v in values]
            else:
                values = [fma(f, wide(f, v), number(s), m) for v in values]
        f.store(values[0], f.place(to, j), True)
        f.store(values[1], f.place(to, j, 8), True)

    f.loop(8, one, free=True)


def root(f: Text, x: str) -> str:
    """The square root of a float or double."""
    bits = 32 if f.kind == "float" else 64
    f.declared.add(f"declare {f.kind} @llvm.sqrt.f{bits}({f.kind})")
    return f(f"call {f.kind} @llvm.sqrt.f{bits}({f.kind} {x})")


def call(f: Text, name: str, x: str) -> str:
    """A function of the C library, of a double."""
    f.declared.add(f"declare double @{name}(double)")
    return f(f"call double @{name}(double {x})")


def polar(f: Text, u: str, v: str) -> tuple[str, str, str]:
    """Radius, cosine and sine that two doubles of [0, 1) give."""
    log = call(f, "log", f(f"fsub double {number(1)}, {u}"))
    radius = root(f, f(f"fmul double {number(-2)}, {log}"))
    angle = f(f"fmul double {number(2 * math.pi)}, {v}")
    return radius, call(f, "cos", angle), call(f, "sin", angle)


def in_groups(f: Numbers, count: int, mean: float, std: float) -> None:
    """16 values or more: groups of 16, the last of which are made anew unless 16 divides their
    number.
    """
    words = 2 if f.kind == "double" else 1
    groups, rest = divmod(count, 16)
    many = CHUNK // 16

    def chunk(c: Number) -> None:
        start = f.total((c, many))
        n = f.least(many, f.total(groups, (start, -1)))
        f.draw(f.total((n, 16 * words)))
        to = f.place(f.out, (start, 16))
        f.loop(n, lambda g: group(f, mean, std, f.total((g, 16)), f.place(to, (g, 16))))

    f.loop(-(-groups // many), chunk)
    if rest:
        f.draw(rest * words)  # for values that are not kept
        f.draw(16 * words)
        group(f, mean, std, 0, f.place(f.out, count - 16))


def in_pairs(f: Numbers, count: int, mean: float, std: float) -> None:
    """Fewer, or any that do not lie row by row: two at a time, the first of them the one that was
    left, if any.
    """

    def value(x: str, place: Number) -> None:
        x = fused(f, x, std, mean)
        if f.kind == "float":
            x = f(f"fptrunc double {x} to float")
        f.store(x, f.place(f.out, place))

    f.allocas.append("  %had = alloca i64")
    f.do("store i64 0, ptr %had")
    cached = f(f"getelementptr double, ptr {f.pair}, i64 1")

    def use() -> None:
        value(f(f"load double, ptr {cached}"), 0)
        f.do(f"store double 0.0, ptr {f.pair}", f"store double 0.0, ptr {cached}")
        f.do("store i64 1, ptr %had")

    flag = f(f"load double, ptr {f.pair}")
    f.either(f(f"fcmp une double {flag}, 0.0"), use, lambda: None)
    first = f("load i64, ptr %had")
    left = f.total(count, (first, -1))
    pairs = f(f"sdiv i64 {f.total(left, 1)}, 2")
    many = CHUNK // 4

    def chunk(c: Number) -> None:
        start = f.total((c, many))
        n = f.least(many, f.total(pairs, (start, -1)))
        f.draw(f.total((n, 4)))
        f.loop(n, lambda p: pair(p, f.total(first, (start, 2), (p, 2))))

    def pair(p: Number, place: Number) -> None:
        angle = f(f"fmul double {number(2 * math.pi)}, {f.double(f.total((p, 2)))}")
        u = f.double(f.total((p, 2), 1))
        log = call(f, "log1p", f(f"fneg double {u}"))
        f.declared.add("declare double @llvm.sqrt.f64(double)")
        scaled = f(f"fmul double {number(-2)}, {log}")
        radius = f(f"call double @llvm.sqrt.f64(double {scaled})")
        value(f(f"fmul double {radius}, {call(f, 'cos', angle)}"), place)
        other = f(f"fmul double {radius}, {call(f, 'sin', angle)}")
        fits = f(f"icmp slt i64 {f.total(place, 1)}, {count}")

        def keep() -> None:
            f.do(f"store double 1.0, ptr {f.pair}", f"store double {other}, ptr {cached}")

        f.either(fits, lambda: value(other, f.total(place, 1)), keep)

    f.loop(f(f"sdiv i64 {f.total(pairs, many - 1)}, {many}"), chunk)


# -- in a plan -------------------------------------------------------------------------------------


def text_of(draw: Draw, shape: tuple, out: Value, given: Sequence[Value]) -> str | None:
    """The kernel of a draw; None if there is none."""
    name, count, more = draw.name, product(shape), draw.parameters
    kind = code(out.dtype)
    parts = name in PARTS
    if parts:
        name, count = PARTS[name], 2 * count
        kind = {"float32": "f4", "float64": "f8"}[name]
    if kind not in KINDS or (parts and draw.function not in (rng.draw_uniform, rng.draw_normal)):
        return None
    if draw.function is rng.draw_uniform:
        low, high = more or (0.0, 1.0)
        return uniform(kind, count, float(low), float(high))
    if draw.function is rng.draw_normal:
        mean, std, rows = (*more, *(0.0, 1.0, True)[len(more) :])
        std = float(std) / (math.sqrt(2) if parts else 1)
        return normal(kind, count, float(mean), std, rows)
    if draw.function is rng.draw_bernoulli:
        if given:
            fits = code(given[0].dtype) in ("f4", "f8") and given[0].shape == tuple(shape)
            return bernoulli(kind, count, None, given[0].dtype) if fits else None
        return bernoulli(kind, count, float(more[0]))
    if draw.function in INVERSE:
        make, usual = INVERSE[draw.function]
        given_too = [float(p) for p in (*more, *usual[len(more) :])]
        return inverse(kind, count, lambda f, u: make(f, u, *given_too)) if kind != "b1" else None
    if draw.function is permutation:
        return permuted(kind, count) if count < 1 << 24 else None
    return integers_text(draw, name, kind, count)


def integers_text(draw: Draw, name: str, kind: str, count: int) -> str | None:
    """The kernel of a draw of integers."""
    if draw.function is rng.draw_integers:
        low, high = draw.parameters
        if high is None and low == -(1 << 63):
            return None
        find = integers.range_from if high is None else integers.range_of
        low, last = find(name, low) if high is None else find(name, low, high)  # type: ignore
        span = last - low + 1
        return whole(kind, count, low, span, span >= 1 << 28)
    if draw.function is rng.draw_any_integers:
        return whole(kind, count, 0, last_integer(name) + 1, name in ("int64", "float64"))
    return None


class Drawing(Routine):
    """A draw by compiled code."""

    def __init__(self, i: Instruction, text: str, draw: Draw, given: Sequence[Value]) -> None:
        self.instruction, self.draw, self.given = i, draw, given
        self.texts = [text]

    def records(self, planner: Planner, memory: int) -> list[Record]:
        generator = self.draw.generator
        if generator not in planner.generators:
            planner.generators.append(generator)
        places = [planner.place_of(v) for v in self.given]
        state, pair = (planner.slot((part, generator)) for part in ("engine", "pair"))
        slots = [state, pair, planner.slot(self.instruction.output)]
        slots += [planner.slot(p.root) for p in places]
        work = 4 * self.instruction.output.size
        params = [engine().address(WORD_SOURCE), *[p.offset for p in places]]
        if places:
            slots.append(WORDS)
            planner.errors.append(
                ("RuntimeError", "Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
            )
            params.append(len(planner.errors) | (LATE if planner.written else 0))
        return [Record(planner.addresses[self.texts[0]], slots, params, work)]


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of a draw; None if an instruction is none, or one left to Python."""
    what = getattr(i.args[0], "what", None) if i.name == "python" else None
    if what is None or not isinstance(what[0], Draw):
        return None
    (draw, shape), given = what, [v for v in i.args[2:] if isinstance(v, Value)]
    if len(i.outputs) != 1 or not i.outputs[0].size or i.output.shape != tuple(shape):
        return None
    if not all(dense(planner.place_of(v)) for v in given):
        return None
    text = text_of(draw, shape, i.output, given)
    return None if text is None else Drawing(i, text, draw, given)


class Drawer(Plan):
    """A plan that draws: it has its generators to itself while it runs."""

    def __init__(
        self, generators: Sequence[tuple[Any, int, int]], *given: Any, **more: Any
    ) -> None:
        super().__init__(*given, **more)
        self.generators = generators

    def run(self, *arrays: Any) -> None:
        self.with_generators(self.generators, arrays)

    def with_generators(self, rest: Sequence, arrays: tuple) -> None:
        """Run with the locks of generators held, and their memory bound."""
        if not rest:
            super().run(*arrays)
            return
        generator, state, pair = rest[0]
        with generator.lock:
            self.buffers[state] = generator.memory()
            self.buffers[pair] = generator.pair.ctypes.data
            self.with_generators(rest[1:], arrays)


def said(i: Instruction) -> bool:
    """Whether the text of an instruction says all of the draw that it is."""
    return bool(getattr(i.args[0], "said", False))


def slots_of(planner: Planner) -> list[tuple[int, int]]:
    """The slots of the memory of the default generator, if it is drawn from."""
    slots = planner.slots
    return [(slots["engine", g], slots["pair", g]) for g in planner.generators]


def plan_with(slots: Sequence[Sequence[int]]) -> Callable[..., Plan]:
    """What makes a plan that draws from the default generator, whose memory has those slots."""
    if not slots:
        return Plan
    return functools.partial(Drawer, [(rng.default_generator, *pair) for pair in slots])


def plan_for(planner: Planner) -> Callable[..., Plan]:
    """What makes a planner's plan."""
    slots = planner.slots
    found = [(g, slots["engine", g], slots["pair", g]) for g in planner.generators]
    return functools.partial(Drawer, found) if found else Plan
