"""What loops can compute: for each elementwise function of the waist the LLVM instructions of one
element, and for each reduction how two partial results become one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import vecmath
from .body import Body, Value
from .body import constant as literal
from .program import Instruction
from .program import Value as Array

REGISTER = {  # how a number of a dtype is held in a register
    "f4": "float",
    "f8": "double",
    "b1": "i1",
    "i1": "i8",
    "u1": "i8",
    "i2": "i16",
    "i4": "i32",
    "i8": "i64",
    "f2": "float",  # float16: rounded after each operation
    "V2": "float",  # bfloat16
    "c8": "i64",  # complex numbers are moved, not computed with
    "c16": "i128",
}
MEMORY = {**REGISTER, "b1": "i8", "f2": "i16", "V2": "i16"}
HALVES = ("f2", "V2")
MOVES = ("where", "keep", "assign", "positive", "conjugate", "negative", "gather", "pad")
EXACT = frozenset(  # of halves these make halves, without rounding
    [
        *("where", "keep", "assign", "negative", "positive", "conjugate", "absolute", "fabs"),
        *("sign", "copysign", "maximum", "minimum", "fmax", "fmin", "floor", "ceil", "trunc"),
        *("rint", "iota"),
    ]
)
ARITHMETIC = {"add": "add", "subtract": "sub", "multiply": "mul"}
COMPARISONS = {
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}
SIMPLE_INTRINSICS = {
    "sqrt": "sqrt",
    "absolute": "fabs",
    "fabs": "fabs",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "rint",
}
LOGIC = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
OF_BOOLS = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}


def code(dtype: np.dtype) -> str:
    """`f4`, `i8`, ... of a dtype."""
    return dtype.str[1:]


def is_float(dtype: np.dtype) -> bool:
    """Whether it is a float, which a register holds as float32 or float64."""
    return code(dtype) in ("f4", "f8", *HALVES)


class Writer(Body):
    """The instructions of a kernel, in several blocks; equal ones are shared within a block."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.functions: set[tuple[str, str]] = set()
        self.count = 0

    def emit(self, instruction: str, type: str) -> Value:
        if instruction not in self.known:
            self.count += 1
            name = f"%v{self.count}"
            self.lines.append(f"  {name} = {instruction}")
            self.known[instruction] = Value(self, name, type)
        return self.known[instruction]

    def put(self, line: str) -> None:
        """A line that makes no value."""
        self.lines.append(f"  {line}")

    def block(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.known.clear()

    def math(self, name: str, *operands: Value) -> Value:
        """A call of a function of vecmath."""
        kind = "f32" if operands[0].type == "float" else "f64"
        self.functions.add((name, kind))
        given = ", ".join(f"{x.type} {x.name}" for x in operands)
        type = operands[0].type
        return self.emit(f"call {type} {vecmath.call(name, kind)}({given})", type)

    def const(self, number: Any, dtype: np.dtype) -> Value:
        """A number as a constant of a dtype."""
        type = REGISTER[code(dtype)]
        value = np.asarray(number).astype(dtype)[()]
        if dtype.kind == "c":
            return Value(self, str(int.from_bytes(value.tobytes(), "little")), type)
        if type == "i1":
            return Value(self, "true" if value else "false", type)
        if code(dtype) in HALVES:
            return Value(self, literal(float(value), type), type)
        return Value(self, literal(value.item(), type), type)

    def cast(self, x: Value, source: np.dtype, target: np.dtype) -> Value:
        """A number in another dtype, as NumPy casts."""
        a, b = code(source), code(target)
        s, t = REGISTER[a], REGISTER[b]
        if a == b:
            return x
        if b == "b1":
            test = "fcmp une" if is_float(source) else "icmp ne"
            zero = literal(0, s) if is_float(source) else "0"
            return self.emit(f"{test} {s} {x.name}, {zero}", "i1")
        floats = is_float(source), is_float(target)
        if all(floats):
            if b == "f2" and a == "f8":
                x = self.odd(x)
            elif s != t:
                x = self.convert(x, "fpext" if b == "f8" else "fptrunc", t)
            return self.rounded(x, b)
        unsigned = a in ("b1", "u1")
        if floats[1]:
            return self.rounded(self.convert(x, "uitofp" if unsigned else "sitofp", t), b)
        if floats[0]:
            return self.truncated(x, s, t)
        narrow, wide_bits = int(s[1:]), int(t[1:])
        if narrow == wide_bits:
            return x
        if narrow > wide_bits:
            return self.convert(x, "trunc", t)
        return self.convert(x, "zext" if unsigned else "sext", t)

    def rounded(self, x: Value, kind: str) -> Value:
        """A float rounded to what a half of that kind can hold."""
        return self.widened(self.shortened(x, kind), kind) if kind in HALVES else x

    def odd(self, x: Value) -> Value:
        """A double as a float, rounded so that it can be rounded once more: towards zero, and the
        last bit set if that has lost anything.
        """
        near = self.convert(x, "fptrunc", "float")
        back = self.convert(near, "fpext", "double")
        bits = self.bits(near)
        size, other = self.intrinsic("fabs", back), self.intrinsic("fabs", x)
        over = self.emit(f"fcmp ogt double {size.name}, {other.name}", "i1")
        less = self.emit(f"sub i32 {bits.name}, 1", "i32")
        bits = self.select(over, less, bits)
        lost = self.emit(f"fcmp one double {back.name}, {x.name}", "i1")
        last = self.emit(f"or i32 {bits.name}, 1", "i32")
        return self.real(self.select(lost, last, bits))

    def shortened(self, x: Value, kind: str) -> Value:
        """The bits of a half near a float, an i16."""
        bits = self.bits(x)
        if kind == "f2":  # the sign apart: LLVM calls a function to round a double's copied sign
            near = self.convert(self.intrinsic("fabs", x), "fptrunc", "half")
            sign = self.emit(f"and i32 {bits.name}, -2147483648", "i32")
            sign = self.convert(self.emit(f"lshr i32 {sign.name}, 16", "i32"), "trunc", "i16")
            size = self.convert(near, "bitcast", "i16")
            return self.emit(f"or i16 {size.name}, {sign.name}", "i16")
        last = self.emit(f"and i32 {self.emit(f'lshr i32 {bits.name}, 16', 'i32').name}, 1", "i32")
        half = self.emit(f"add i32 {last.name}, 32767", "i32")
        near = self.emit(f"add i32 {bits.name}, {half.name}", "i32")
        quiet = self.emit(f"or i32 {bits.name}, 4194304", "i32")
        nan = self.emit(f"fcmp uno float {x.name}, {x.name}", "i1")
        near = self.select(nan, quiet, near)
        return self.convert(self.emit(f"lshr i32 {near.name}, 16", "i32"), "trunc", "i16")

    def widened(self, bits: Value, kind: str) -> Value:
        """The float that the bits of a half stand for."""
        if kind == "f2":
            return self.convert(self.convert(bits, "bitcast", "half"), "fpext", "float")
        high = self.convert(bits, "zext", "i32")
        return self.real(self.emit(f"shl i32 {high.name}, 16", "i32"))

    def truncated(self, x: Value, source: str, target: str) -> Value:
        """A float as an integer: the lowest of 32 bits, or 64, where it is none of these, as x86
        has it (and NumPy and torch there); of less, the last bits of one of 32.
        """
        bits = 64 if target == "i64" else 32
        low, high = literal(-(2.0 ** (bits - 1)), source), literal(2.0 ** (bits - 1), source)
        inside = self.emit(f"fcmp oge {source} {x.name}, {low}", "i1")
        below = self.emit(f"fcmp olt {source} {x.name}, {high}", "i1")
        inside = self.emit(f"and i1 {inside.name}, {below.name}", "i1")
        number = self.convert(x, "fptosi", f"i{bits}")
        lowest = Value(self, str(-(2 ** (bits - 1))), f"i{bits}")
        found = self.select(inside, number, lowest)
        return found if target == f"i{bits}" else self.convert(found, "trunc", target)


# -- one element of each function ------------------------------------------------------------------

Emit = Callable[..., Value]
ELEMENTWISE: dict[str, Emit] = {}


def element(*names: str) -> Callable:
    """Enter f(writer, dtype, *operands), the operands of that dtype, into the table."""

    def enter(f: Emit) -> Emit:
        for name in names:
            ELEMENTWISE[name] = f
        return f

    return enter


def _arithmetic(name: str) -> Emit:
    def emit(w: Writer, dtype: np.dtype, x: Value, y: Value) -> Value:
        if is_float(dtype):
            return w.emit(f"f{name} {x.type} {x.name}, {y.name}", x.type)
        if code(dtype) == "b1":
            name_of_bool = {"add": "or", "mul": "and"}[name]
            return w.emit(f"{name_of_bool} i1 {x.name}, {y.name}", "i1")
        return w.emit(f"{name} {x.type} {x.name}, {y.name}", x.type)

    return emit


def _comparison(test: str) -> Emit:
    def emit(w: Writer, dtype: np.dtype, x: Value, y: Value) -> Value:
        if is_float(dtype):
            how = "une" if test == "ne" else "o" + test
            return w.emit(f"fcmp {how} {x.type} {x.name}, {y.name}", "i1")
        signed = "" if test in ("eq", "ne") else "u" if code(dtype) in ("u1", "b1") else "s"
        return w.emit(f"icmp {signed}{test} {x.type} {x.name}, {y.name}", "i1")

    return emit


def _intrinsic(name: str) -> Emit:
    def emit(w: Writer, dtype: np.dtype, x: Value) -> Value:
        if is_float(dtype):
            return w.intrinsic(name, x)
        if name == "fabs" and code(dtype)[0] == "i":
            negative = w.emit(f"icmp slt {x.type} {x.name}, 0", "i1")
            return w.select(negative, w.emit(f"sub {x.type} 0, {x.name}", x.type), x)
        return x

    return emit


def _logic(name: str) -> Emit:
    return lambda w, dtype, x, y: w.emit(f"{name} {x.type} {x.name}, {y.name}", x.type)


for _name, _op in ARITHMETIC.items():
    ELEMENTWISE[_name] = _arithmetic(_op)
for _name, _op in COMPARISONS.items():
    ELEMENTWISE[_name] = _comparison(_op)
for _name, _op in SIMPLE_INTRINSICS.items():
    ELEMENTWISE[_name] = _intrinsic(_op)
for _name, _op in (LOGIC | OF_BOOLS).items():
    ELEMENTWISE[_name] = _logic(_op)


@element("divide")
def _(w: Writer, dtype: np.dtype, x: Value, y: Value) -> Value:
    return w.emit(f"fdiv {x.type} {x.name}, {y.name}", x.type)


@element("negative")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    if is_float(dtype):
        return w.emit(f"fneg {x.type} {x.name}", x.type)
    return w.emit(f"sub {x.type} 0, {x.name}", x.type)


@element("positive", "conjugate")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    return x


@element("square")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    return ELEMENTWISE["multiply"](w, dtype, x, x)


@element("reciprocal")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    return w.emit(f"fdiv {x.type} {literal(1, x.type)}, {x.name}", x.type)


@element("logical_not")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    return w.emit(f"xor i1 {x.name}, true", "i1")


@element("invert")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    return w.emit(f"xor {x.type} {x.name}, {'true' if x.type == 'i1' else '-1'}", x.type)


@element("isnan")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    if not is_float(dtype):
        return w.const(False, np.dtype(bool))
    return w.emit(f"fcmp uno {x.type} {x.name}, {x.name}", "i1")


@element("isinf")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    if not is_float(dtype):
        return w.const(False, np.dtype(bool))
    size = w.intrinsic("fabs", x)
    return w.emit(f"fcmp oeq {x.type} {size.name}, {literal(float('inf'), x.type)}", "i1")


@element("isfinite")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    if not is_float(dtype):
        return w.const(True, np.dtype(bool))
    size = w.intrinsic("fabs", x)
    return w.emit(f"fcmp olt {x.type} {size.name}, {literal(float('inf'), x.type)}", "i1")


@element("signbit")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    bits = w.bits(x)
    return w.emit(f"icmp slt {bits.type} {bits.name}, 0", "i1")


@element("copysign")
def _(w: Writer, dtype: np.dtype, x: Value, y: Value) -> Value:
    return w.intrinsic("copysign", x, y)


@element("sign")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    if is_float(dtype):
        zero, one = literal(0, x.type), literal(1, x.type)
        above = w.emit(f"fcmp ogt {x.type} {x.name}, {zero}", "i1")
        below = w.emit(f"fcmp olt {x.type} {x.name}, {zero}", "i1")
        size = w.intrinsic("fabs", x)  # 0 of -0
        high = w.emit(f"select i1 {above.name}, {x.type} {one}, {x.type} {size.name}", x.type)
        return w.emit(
            f"select i1 {below.name}, {x.type} {literal(-1, x.type)}, {x.type} {high.name}", x.type
        )
    if code(dtype) == "u1":
        return w.convert(w.emit(f"icmp ne {x.type} {x.name}, 0", "i1"), "zext", x.type)
    above = w.emit(f"icmp sgt {x.type} {x.name}, 0", "i1")
    below = w.emit(f"icmp slt {x.type} {x.name}, 0", "i1")
    high, low = (w.convert(b, e, x.type) for b, e in ((above, "zext"), (below, "sext")))
    return w.emit(f"or {x.type} {high.name}, {low.name}", x.type)


def _extreme(test: str, unordered: bool) -> Emit:
    """maximum and minimum (nan wins), fmax and fmin (nan loses); of two zeros the second."""

    def emit(w: Writer, dtype: np.dtype, x: Value, y: Value) -> Value:
        if not is_float(dtype):
            how = "u" if code(dtype) in ("u1", "b1") else "s"
            first = w.emit(f"icmp {how}{test} {x.type} {x.name}, {y.name}", "i1")
            return w.select(first, x, y)
        if unordered:  # x, if it is nan or beats y
            first = w.emit(f"fcmp o{test} {x.type} {x.name}, {y.name}", "i1")
            nan = w.emit(f"fcmp uno {x.type} {x.name}, {x.name}", "i1")
            first = w.emit(f"or i1 {first.name}, {nan.name}", "i1")
            return w.select(first, x, y)
        first = w.emit(f"fcmp o{test} {x.type} {x.name}, {y.name}", "i1")
        nan = w.emit(f"fcmp uno {y.type} {y.name}, {y.name}", "i1")
        first = w.emit(f"or i1 {first.name}, {nan.name}", "i1")
        return w.select(first, x, y)

    return emit


ELEMENTWISE["maximum"] = _extreme("gt", True)
ELEMENTWISE["minimum"] = _extreme("lt", True)
ELEMENTWISE["fmax"] = _extreme("gt", False)
ELEMENTWISE["fmin"] = _extreme("lt", False)


@element("tanh_back")
def _(w: Writer, dtype: np.dtype, x: Value, y: Value) -> Value:
    mul, sub = ELEMENTWISE["multiply"], ELEMENTWISE["subtract"]
    return mul(w, dtype, x, sub(w, dtype, w.const(1, dtype), mul(w, dtype, y, y)))


@element("twice_normal")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    return w.math("twice_normal", x)


@element("log1p_exp")
def _(w: Writer, dtype: np.dtype, x: Value) -> Value:
    size = w.intrinsic("fabs", x)
    small = w.math("exp", w.emit(f"fneg {x.type} {size.name}", x.type))
    high = ELEMENTWISE["maximum"](w, dtype, x, w.const(0, dtype))
    return ELEMENTWISE["add"](w, dtype, high, w.math("log1p", small))


def emit_element(w: Writer, i: Instruction, operand: Callable) -> Value:
    """The element of an instruction's result; operand(argument, dtype) is that of an argument."""
    out = i.output.dtype
    if i.name == "where":
        c, x, y = i.args
        return w.select(operand(c, np.dtype(bool)), operand(x, out), operand(y, out))
    if i.name == "keep":
        x, mask = i.args
        return w.select(operand(mask, np.dtype(bool)), operand(x, out), w.const(0, out))
    if i.name in ("astype", "assign"):
        return operand(i.args[0], out)
    if out.kind == "c":
        x = operand(i.args[0], out)
        half = 4 * out.itemsize  # where the imaginary part begins
        signs = {"conjugate": 1 << 2 * half - 1, "negative": 1 << 2 * half - 1 | 1 << half - 1}
        sign = signs.get(i.name)
        return x if sign is None else w.emit(f"xor {x.type} {x.name}, {sign}", x.type)
    dtype = loop_dtype(i)
    given = [operand(a, dtype) for a in i.args]
    if i.name in ELEMENTWISE:
        x = ELEMENTWISE[i.name](w, dtype, *given)
    else:
        x = w.math(i.name, *given)
    return x if i.name in EXACT else w.rounded(x, code(out))


def loop_dtype(i: Instruction) -> np.dtype:
    """The dtype that the operands of an elementwise function are cast to."""
    if i.name in OF_BOOLS or i.name == "logical_not":
        return np.dtype(bool)
    f = getattr(np, i.name, None)
    if not isinstance(f, np.ufunc) or i.name == "positive":
        return i.output.dtype
    kinds = [a.dtype if hasattr(a, "dtype") else type(a) for a in i.args]
    kinds = [np.dtype(bool) if k is bool else k for k in kinds]
    return f.resolve_dtypes((*kinds, *(None,) * f.nout))[0]


# -- reductions ------------------------------------------------------------------------------------

REDUCTIONS = {
    "add.reduce": ("add", 0),
    "multiply.reduce": ("multiply", 1),
    "maximum.reduce": ("maximum", None),
    "minimum.reduce": ("minimum", None),
    "logical_and.reduce": ("logical_and", True),
    "logical_or.reduce": ("logical_or", False),
}


def identity(i: Instruction, dtype: np.dtype) -> Any:
    """What a reduction begins with."""
    name, start = REDUCTIONS[i.name]
    if start is not None:
        given = i.kwargs.get("initial")
        return given if given == start else start  # a sum may begin with -0
    low = name == "maximum"
    if is_float(dtype):
        return -np.inf if low else np.inf
    if code(dtype) == "b1":
        return not low
    limits = np.iinfo(dtype)
    return limits.min if low else limits.max


def combine(w: Writer, i: Instruction, dtype: np.dtype, x: Value, y: Value) -> Value:
    """Two partial results as one; sums of floats may be taken in any order."""
    name = REDUCTIONS[i.name][0]
    if is_float(dtype) and name in ("add", "multiply"):
        flags = "reassoc contract"
        return w.emit(f"f{ARITHMETIC[name]} {flags} {x.type} {x.name}, {y.name}", x.type)
    if is_float(dtype):
        bits = 32 if x.type == "float" else 64
        w.intrinsics.add(f"declare {x.type} @llvm.{name}.f{bits}({x.type}, {x.type})")
        given = f"{x.type} {x.name}, {x.type} {y.name}"
        return w.emit(f"call nsz {x.type} @llvm.{name}.f{bits}({given})", x.type)  # nan wins
    return ELEMENTWISE[name](w, dtype, x, y)


def reduced_dtype(i: Instruction) -> np.dtype:
    """The dtype a reduction is done in: bool for logical ones, else the result's."""
    return np.dtype(bool) if i.name.startswith("logical") else i.output.dtype


# -- what can be done ------------------------------------------------------------------------------


def is_lowered(i: Instruction) -> bool:
    """Whether an instruction can be part of a loop nest."""
    if len(i.outputs) != 1 or i.outputs[0] is None:
        return False
    arrays = [*i.operands(), i.output]
    if any(code(v.dtype) not in REGISTER or not v.size for v in arrays):
        return False
    if any(v.dtype.kind == "c" for v in arrays):
        others = [v for v in arrays if v.dtype != i.output.dtype and v.dtype.kind in "cfV"]
        return i.name in MOVES and not i.kwargs and i.output.dtype.kind == "c" and not others
    if i.name in REDUCTIONS:
        return _is_reduction(i)
    if i.name in ("pad", "gather", "inside"):
        return True
    if i.kwargs or not all(isinstance(a, (Array, int, float, bool, np.generic)) for a in i.args):
        return i.name in ("iota", "astype") and not i.kwargs
    return _is_elementwise(i)


def _is_reduction(i: Instruction) -> bool:
    extra = {k: v for k, v in i.kwargs.items() if k not in ("axis", "keepdims")}
    start = extra.pop("initial", None)
    if extra.pop("dtype", None) not in (None, i.output.dtype):
        return False
    if i.args[0].size == i.output.size:
        return False  # over nothing
    neutral = start is None or start == identity(i, i.output.dtype)
    kind = i.args[0].dtype.kind
    return not extra and neutral and len(i.args) == 1 and (kind != "f" or is_float(i.output.dtype))


def _is_elementwise(i: Instruction) -> bool:
    if i.name in ("where", "keep", "astype", "assign"):
        return True
    if i.name == "power" or (i.name not in ELEMENTWISE and i.name not in vecmath.functions()):
        return i.name in vecmath.functions() and is_float(i.output.dtype)
    if not any(isinstance(a, Array) for a in i.args):
        return False
    try:
        dtype = loop_dtype(i)
    except TypeError:
        return False
    if code(dtype) not in REGISTER or (i.name not in ELEMENTWISE and not is_float(dtype)):
        return False
    if i.name in OF_BOOLS or i.name == "logical_not":
        return True
    return code(dtype) != "b1" or i.name in (
        *LOGIC,
        "add",
        "multiply",
        "positive",
        "invert",
        "equal",
        "not_equal",
    )
