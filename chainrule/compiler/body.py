"""Straight-line LLVM IR written like mathematics: `x * y + 1.0` emits the instructions.

A `Body` collects the instructions of one function. Its values are `Value`s: an SSA name (or a
constant) with its LLVM type and the operators. A Python number beside a Value becomes a constant
of its type. There are no branches: `select` chooses between two values that both are computed,
which is what lets LLVM turn a loop over the function into vector code. Nothing here carries
fast-math flags.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Format:
    """A floating point format: LLVM's names, and the numbers its bit tricks need."""

    kind: str
    name: str
    bits: str
    width: int
    mantissa: int  # explicit bits of the fraction
    bias: int

    @property
    def smallest_normal(self) -> float:
        """The smallest number that is not subnormal."""
        return 2.0 ** (1 - self.bias)

    @property
    def magic(self) -> float:
        """Added to |x| < 2^(mantissa-2), rounds it to an integer that stands in the low bits."""
        return 1.5 * 2.0**self.mantissa

    @property
    def exponent_magic(self) -> float:
        """The same, the integer k in the low bits biased: shifted up they are the float 2^k."""
        return self.magic + self.bias

    @property
    def exponent_bits(self) -> int:
        """The bit pattern of `exponent_magic`, which stands for k = 0."""
        as_float, as_int = ("<f", "<i") if self.kind == "f32" else ("<d", "<q")
        return int(struct.unpack(as_int, struct.pack(as_float, self.exponent_magic))[0])


FORMATS = {
    "f32": Format("f32", "float", "i32", 32, 23, 127),
    "f64": Format("f64", "double", "i64", 64, 52, 1023),
}
FLOATS = {"float": "f32", "double": "f64"}
Number = int | float
INLINED = "alwaysinline nounwind willreturn memory(none)"
OUTSIDE = "noinline nounwind willreturn memory(none)"
SLOW = "noinline optnone nounwind willreturn memory(none)"  # quickly compiled
LONG = 8  # a polynomial of this degree is split
WIDTHS = {"f32": (4, 8, 16), "f64": (2, 4, 8)}  # lanes that a rescue exists for


def rescue_symbols(name: str, dtype: str) -> list[str]:
    """The symbols of a rescue: the scalar one, then one for each vector width."""
    base = f"@cr.rescue.{name}.{dtype}"
    return [base, *(f"{base}.v{width}" for width in WIDTHS[dtype])]


def constant(number: Number, type: str) -> str:
    """A constant as LLVM writes it; a float as the hex of the double it equals."""
    if type not in FLOATS:
        return str(int(number))
    if type == "float":
        number = struct.unpack("<f", struct.pack("<f", number))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


@dataclass(frozen=True, eq=False)
class Value:
    """An SSA value: its name in the text, its LLVM type, and the body it belongs to."""

    body: Body
    name: str
    type: str

    def _binary(self, other: Value | Number, float_name: str, int_name: str) -> Value:
        name = float_name if self.type in FLOATS else int_name
        other = self.body.like(other, self)
        return self.body.emit(f"{name} {self.type} {self.name}, {other.name}", self.type)

    def __add__(self, other: Value | Number) -> Value:
        return self._binary(other, "fadd", "add")

    def __sub__(self, other: Value | Number) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: Number) -> Value:
        return self.body.like(other, self) - self

    def __mul__(self, other: Value | Number) -> Value:
        return self._binary(other, "fmul", "mul")

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: Value | Number) -> Value:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: Number) -> Value:
        return self.body.like(other, self) / self

    def __mod__(self, other: Value | Number) -> Value:
        return self._binary(other, "frem", "srem")

    def __neg__(self) -> Value:
        if self.type in FLOATS:
            return self.body.emit(f"fneg {self.type} {self.name}", self.type)
        return 0 - self

    def __and__(self, other: Value | int) -> Value:
        return self._binary(other, "and", "and")

    def __or__(self, other: Value | int) -> Value:
        return self._binary(other, "or", "or")

    def __xor__(self, other: Value | int) -> Value:
        return self._binary(other, "xor", "xor")

    def __invert__(self) -> Value:
        return self ^ (1 if self.type == "i1" else -1)

    def __lshift__(self, other: Value | int) -> Value:
        return self._binary(other, "shl", "shl")

    def __rshift__(self, other: Value | int) -> Value:
        """Arithmetic: the sign comes in from the left."""
        return self._binary(other, "ashr", "ashr")

    def shifted_down(self, other: Value | int) -> Value:
        """Logical right shift: zeros come in from the left."""
        return self._binary(other, "lshr", "lshr")

    def _compare(self, other: Value | Number, float_test: str, int_test: str) -> Value:
        test = f"fcmp {float_test}" if self.type in FLOATS else f"icmp {int_test}"
        other = self.body.like(other, self)
        return self.body.emit(f"{test} {self.type} {self.name}, {other.name}", "i1")

    def __lt__(self, other: Value | Number) -> Value:
        return self._compare(other, "olt", "slt")

    def __le__(self, other: Value | Number) -> Value:
        return self._compare(other, "ole", "sle")

    def __gt__(self, other: Value | Number) -> Value:
        return self._compare(other, "ogt", "sgt")

    def __ge__(self, other: Value | Number) -> Value:
        return self._compare(other, "oge", "sge")

    def equals(self, other: Value | Number) -> Value:
        """Equality (false for nan)."""
        return self._compare(other, "oeq", "eq")

    def differs(self, other: Value | Number) -> Value:
        """Inequality (true for nan)."""
        return self._compare(other, "une", "ne")


@dataclass
class Body:
    """The instructions of one function of `arguments` numbers of one floating point format."""

    format: Format
    arguments: int = 1
    scales: bool = False  # the CPU multiplies vectors by powers of two (AVX-512)
    lines: list[str] = field(default_factory=list)
    intrinsics: set[str] = field(default_factory=set)
    known: dict[str, Value] = field(default_factory=dict)
    rescues: set[tuple[str, str]] = field(default_factory=set)

    @property
    def inputs(self) -> list[Value]:
        """The function's arguments."""
        names = ("%x", "%y", "%z")[: self.arguments]
        return [Value(self, name, self.format.name) for name in names]

    def define(self, symbol: str, result: Value, attributes: str) -> str:
        """The text of the function that returns `result`."""
        inputs = ", ".join(f"{x.type} {x.name}" for x in self.inputs)
        head = f"define internal {result.type} {symbol}({inputs}) {attributes} {{"
        return "\n".join([head, *self.lines, f"  ret {result.type} {result.name}", "}", ""])

    def rescue(self, name: str, quick: Value, measure: Value, *operands: Value) -> Value:
        """`quick`, but the rescue's slow formula of the operands where `measure` is too large.

        A call that the vectoriser turns into one for a whole vector, which looks whether any lane
        is in need before it does anything: a slow path without a branch in the loop.
        """
        kind = self.format.kind
        self.rescues.add((name, kind))
        scalar, *vectors = (symbol[1:] for symbol in rescue_symbols(name, kind))
        letters = "v" * (2 + len(operands))
        variants = ",".join(
            f"_ZGV_LLVM_N{width}{letters}_{scalar}({vector})"
            for width, vector in zip(WIDTHS[kind], vectors, strict=True)
        )
        values = ", ".join(f"{v.type} {v.name}" for v in (quick, measure, *operands))
        return self.emit(
            f'call {quick.type} @{scalar}({values}) "vector-function-abi-variant"="{variants}"',
            quick.type,
        )

    def wide(self) -> Body:
        """The same body, its constants and polynomials those of float64."""
        return replace(self, format=FORMATS["f64"])

    def emit(self, instruction: str, type: str) -> Value:
        """A new value; one that was computed before is used again."""
        if instruction not in self.known:
            name = f"%v{len(self.lines)}"
            self.lines.append(f"  {name} = {instruction}")
            self.known[instruction] = Value(self, name, type)
        return self.known[instruction]

    def like(self, number: Value | Number, model: Value) -> Value:
        """The number as a constant of the model's type."""
        if isinstance(number, Value):
            assert number.type == model.type, (number.type, model.type)
            return number
        return Value(self, constant(number, model.type), model.type)

    def number(self, value: Number) -> Value:
        """A constant of the function's format."""
        return Value(self, constant(value, self.format.name), self.format.name)

    def convert(self, x: Value, operation: str, type: str) -> Value:
        """A conversion instruction: bitcast, sitofp, fptosi, fpext, fptrunc, zext, trunc ..."""
        return self.emit(f"{operation} {x.type} {x.name} to {type}", type)

    def bits(self, x: Value) -> Value:
        """The bit pattern of a float as an integer."""
        return self.convert(x, "bitcast", FORMATS[FLOATS[x.type]].bits)

    def real(self, i: Value) -> Value:
        """The float with this bit pattern."""
        return self.convert(i, "bitcast", "float" if i.type == "i32" else "double")

    def intrinsic(self, name: str, *operands: Value, type: str = "") -> Value:
        """A call of llvm.NAME on operands of one type."""
        kind = FLOATS.get(operands[0].type, operands[0].type)
        types = ", ".join(operand.type for operand in operands)
        type = type or operands[0].type
        self.intrinsics.add(f"declare {type} @llvm.{name}.{kind}({types})")
        values = ", ".join(f"{operand.type} {operand.name}" for operand in operands)
        return self.emit(f"call {type} @llvm.{name}.{kind}({values})", type)

    def fma(self, x: Value, y: Value | Number, z: Value | Number) -> Value:
        """x * y + z, rounded once: where the formula's exactness rests on it."""
        return self.intrinsic("fma", x, self.like(y, x), self.like(z, x))

    def ldexp(self, x: Value, k: Value) -> Value:
        """x * 2^k for any integer k, rounded once: a few instructions where the CPU `scales`."""
        kind, small = FLOATS[x.type], k if k.type == "i32" else self.convert(k, "trunc", "i32")
        self.intrinsics.add(f"declare {x.type} @llvm.ldexp.{kind}.i32({x.type}, i32)")
        return self.emit(
            f"call {x.type} @llvm.ldexp.{kind}.i32({x.type} {x.name}, i32 {small.name})", x.type
        )

    def mul_add(self, x: Value, y: Value | Number, z: Value | Number) -> Value:
        """x * y + z, rounded once or twice, whichever the machine does faster."""
        return self.intrinsic("fmuladd", x, self.like(y, x), self.like(z, x))

    def horner(self, x: Value, coefficients: Sequence[float]) -> Value:
        """The polynomial with these coefficients, lowest first.

        A long one runs as two chains, of the even and the odd powers, so that the machine does not
        wait for each step; the lowest coefficient still comes last, for its rounding alone counts.
        """
        first, *rest = coefficients
        if len(rest) < LONG:
            return self.mul_add(self.chain(x, rest), x, first)
        square = x * x
        even, odd = self.chain(square, rest[::2]), self.chain(square, rest[1::2])
        return self.mul_add(self.mul_add(odd, x, even), x, first)

    def chain(self, x: Value, coefficients: Sequence[float]) -> Value:
        """Horner's rule."""
        total = self.like(coefficients[-1], x)
        for c in coefficients[-2::-1]:
            total = self.mul_add(total, x, c)
        return total

    def paired(self, x: Value, coefficients: Sequence[float]) -> Value:
        """The same in half the time, for the price of a square that may be known: Horner's rule
        with pairs c + d x in place of numbers (Estrin).
        """
        halves = zip(coefficients[::2], coefficients[1::2], strict=False)
        pairs = [self.mul_add(x, d, c) for c, d in halves]
        total = self.like(coefficients[-1], x) if len(coefficients) % 2 else pairs.pop()
        for pair in pairs[::-1]:
            total = self.mul_add(x * x, total, pair)
        return total

    def select(self, condition: Value, x: Value | Number, y: Value | Number) -> Value:
        """x where the condition holds, y elsewhere; both are computed."""
        if not isinstance(x, Value):
            x = self.like(x, y) if isinstance(y, Value) else self.number(x)
        y = self.like(y, x)
        return self.emit(
            f"select i1 {condition.name}, {x.type} {x.name}, {y.type} {y.name}", x.type
        )

    def abs(self, x: Value) -> Value:
        """|x|, the sign bit cleared."""
        return self.intrinsic("fabs", x)

    def copysign(self, x: Value, sign: Value) -> Value:
        """|x| with the sign bit of `sign`."""
        return self.intrinsic("copysign", x, sign)

    def sqrt(self, x: Value) -> Value:
        """The square root, correctly rounded."""
        return self.intrinsic("sqrt", x)

    def below(self, x: Value, limit: Number) -> Value:
        """The smaller of x and a constant; nan stays nan."""
        return self.select(x > limit, limit, x)

    def above(self, x: Value, limit: Number) -> Value:
        """The larger of x and a constant; nan stays nan."""
        return self.select(x < limit, limit, x)
