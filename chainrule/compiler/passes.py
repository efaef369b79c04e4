"""Passes over a program: each takes one and returns one that computes the same with less.

`simplify` runs them in order and verifies after each. Instructions with an effect (a random draw)
are never moved, joined or left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.trace import one_of
from ..arrays.waist import GUFUNCS, waist
from ..tape import quiet
from . import indexing
from .elements import HALVES, REDUCTIONS, code, identity, is_lowered
from .program import Instruction, Program, Value, execute, replaced, values_in
from .views import VIEWS, Place, contiguous, part_of

SWEPT = 1 << 14  # elements of a tall matrix, times a vector, from which it is swept by rows
SINGLE = np.dtype(np.float32)
CHECKS = ("check", "verify")  # of what is computed: they raise errors
APART = ("pad", "gather", "inside", "iota")  # what they do depends on where an element is
FOLDED = 1 << 16  # elements up to which constants are computed once and for all


def simplify(program: Program) -> Program:
    """All passes; the program is verified after each."""
    for one in (rewritten, flattened, shared, live):
        program = one(program)
        program.verify()
    return program


def has_effect(i: Instruction) -> bool:
    """Whether a call does more than its results say."""
    return i.name in CHECKS or (i.name == "python" and getattr(i.args[0], "effect", False))


class Builder:
    """A program in the making from another one, whose values are mapped to its own."""

    def __init__(self, source: Program) -> None:
        self.program = Program()
        self.program.count = source.count
        self.program.inputs = source.inputs
        self.program.constants = source.constants
        self.known: dict[Value, Value] = {}

    def of(self, v: Value) -> Value:
        """What stands for a value of the source."""
        return self.known.get(v, v)

    def keep(self, i: Instruction) -> None:
        """Take an instruction over, with its operands mapped."""
        args, kwargs = replaced(i.args, self.of), replaced(i.kwargs, self.of)
        made = Instruction(i.name, args, kwargs, [])
        for v in i.outputs:
            new = None
            if v is not None:
                new = self.program.new(v.shape, v.dtype)
                new.producer, new.index = made, v.index
                self.known[v] = new
            made.outputs.append(new)
        self.program.instructions.append(made)

    def emit(self, name: str, args: tuple, shape: tuple, dtype: np.dtype, **kwargs: Any) -> Value:
        """A new instruction with one result."""
        like = np.broadcast_to(np.empty((), dtype), shape)
        return self.program.add(name, args, kwargs, [like]).outputs[0]

    def done(self, source: Program) -> Program:
        """The program, with the source's outputs."""
        self.program.outputs = [self.of(v) for v in source.outputs]
        return self.program


def live(program: Program) -> Program:
    """Without what no output needs."""
    needed = set(program.outputs)
    kept = []
    for i in reversed(program.instructions):
        if has_effect(i) or any(v in needed for v in i.outputs):
            kept.append(i)
            needed.update(i.operands())
    b = Builder(program)
    for i in reversed(kept):
        b.keep(i)
    done = b.done(program)
    done.constants = [v for v in program.constants if v in needed]
    return done


def shared(program: Program) -> Program:
    """Common subexpressions computed once; of constants, what repeats is kept once."""
    b = Builder(program)
    seen: dict[Any, list] = {}
    for v in tuple(program.constants):
        b.known[v] = known_once(b, v, seen)
    for i in program.instructions:
        if i.name == "python":
            b.keep(i)
            continue
        key = (i.name, frozen(replaced(i.args, b.of)), frozen(replaced(i.kwargs, b.of)))
        found = seen.get(key)
        if found is None:
            b.keep(i)
            seen[key] = [None if v is None else b.of(v) for v in i.outputs]
        else:
            b.known.update(zip(i.outputs, found, strict=True))
    return b.done(program)


def known_once(b: Builder, v: Value, seen: dict[Any, list]) -> Value:
    """A constant, or what stands for it: an equal one, or one element of it again and again."""
    once = one_of(v.data)
    if once.size == v.size > FOLDED:
        return v
    key = v.dtype, once.shape, once.tobytes()
    whole = key, v.shape
    if key not in seen:
        seen[key] = [v if once.size == v.size else b.program.constant(once)]
    if whole not in seen:
        (found,) = seen[key]
        spread = once.size < v.size
        args = found, v.shape
        seen[whole] = [b.emit("broadcast_to", args, v.shape, v.dtype) if spread else found]
    return seen[whole][0]


def frozen(a: Any) -> Any:
    """An argument as a key: values by identity, numbers by type too."""
    if isinstance(a, Value):
        return ("value", a.number)
    if isinstance(a, (list, tuple)):
        return (type(a), tuple([frozen(e) for e in a]))
    if isinstance(a, dict):
        return tuple([(k, frozen(v)) for k, v in sorted(a.items())])
    if isinstance(a, slice):
        return ("slice", a.start, a.stop, a.step)
    if isinstance(a, (float, np.floating)):
        return (type(a), a.hex() if isinstance(a, float) else a.tobytes())
    return (type(a), a)


def rewritten(program: Program) -> Program:
    """By the rules of `RULES`, instruction by instruction; what depends on constants alone is
    computed now.
    """
    b = Builder(program)
    for v in program.inputs:
        nothing(b, v)
    for i in program.instructions:
        if not has_effect(i) and all(v is not None and not v.size for v in i.outputs):
            for v in i.outputs:
                nothing(b, v)
            continue
        given = i.operands()
        constant = all(b.of(v).data is not None for v in given) and given
        if (
            constant
            and i.name != "python"
            and i.name not in CHECKS
            and sum(v.size for v in i.outputs) <= FOLDED
        ):
            found = quiet(execute, i, lambda v: b.of(v).data)
            for v, r in zip(i.outputs, found, strict=True):
                b.known[v] = program.constant(np.asarray(r))
            continue
        rule = RULES.get(i.name)
        done = rule(b, i) if rule is not None else None
        if done is None:
            i = Instruction(i.name, i.args, i.kwargs, i.outputs)  # the source stays as it is
            cast(b, i)
            b.keep(i)
        else:
            b.known[i.output] = done
    return b.done(program)


def nothing(b: Builder, v: Value) -> None:
    """An array without elements is known: a constant."""
    if not v.size:
        b.known[v] = b.program.constant(np.empty(v.shape, v.dtype))


def cast(b: Builder, i: Instruction) -> None:
    """Have the operands of a ufunc that only NumPy computes in the dtypes of one of its loops."""
    f = None if is_lowered(i) else ufunc_of(i.name)
    if f is None or i.kwargs or len(i.args) != f.nin or not i.operands():
        return
    kinds = [a.dtype if hasattr(a, "dtype") else type(a) for a in i.args]
    try:
        wanted = f.resolve_dtypes((*kinds, *(None,) * f.nout))
    except (TypeError, ValueError):
        return
    given = []
    for a, dtype in zip(i.args, wanted[: f.nin], strict=True):
        if not isinstance(a, Value):
            a = b.program.constant(np.asarray(a).astype(dtype))
        elif a.dtype != dtype:
            a = converted(b, b.of(a), dtype)
        given.append(a)
    i.args = tuple(given)
    if i.name.startswith(GUFUNCS):
        alike(b, i, f)


called: dict[Any, str] = {}  # the names by which ufuncs were asked for


def ufunc_of(name: str) -> Any:
    """The ufunc that a name of the waist stands for, None if none."""
    if name in ("python", "store", *CHECKS):
        return None
    try:
        f = waist(name)
    except AttributeError:
        return None
    known = getattr(getattr(f, "kernel", None), "scipy", None)
    if known is not None:
        from scipy import special

        f = getattr(special, known)
    if not isinstance(f, np.ufunc):
        return None
    called[f] = name
    return f


def flattened(program: Program) -> Program:
    """Elementwise operations and reductions of an array whose first axes were split by a reshape,
    done before that reshape: a batch of rows, say, as matrix products make and want them, is not
    two loops but one, and may be fused with its neighbours.
    """
    if not any(i.name == "reshape" for i in program.instructions):
        return program
    b = Builder(program)
    for i in program.instructions:
        if i.name == "reshape":
            done = reshaped(b, i)
        else:
            done = before_split(b, i) if is_lowered(i) else None
        if done is None:
            b.keep(i)
        else:
            b.known[i.output] = done
    return b.done(program)


def looks(v: Value) -> bool:
    """Whether a value is a view of another."""
    return v.producer is not None and v.producer.name in VIEWS


def reshaped(b: Builder, i: Instruction) -> Value | None:
    """A reshape of a reshape, of what that was made of."""
    first = x = b.of(i.args[0])
    while x.producer is not None and x.producer.name == "reshape":
        inner = x.producer.args[0]
        if looks(inner) and inner.producer.name != "reshape":
            break  # it may be a copy: one is enough
        x = inner
    if x is first or i.kwargs:
        return None
    shape = i.output.shape
    return x if x.shape == shape else b.emit("reshape", (x, shape), shape, x.dtype)


def before_split(b: Builder, i: Instruction) -> Value | None:
    """The result of an instruction by way of the array that its operand was reshaped from."""
    if i.name in APART:
        return None
    given = [b.of(v) for v in i.operands()]
    shape = given[0].shape if i.name in REDUCTIONS else i.output.shape
    for v in given:
        p = v.producer
        if v.shape == shape and p is not None and p.name == "reshape":
            flat = p.args[0].shape
            lead = len(shape) - len(flat) + 1
            if lead > 1 and flat and flat[1:] == shape[lead:]:
                act = reduced_flat if i.name in REDUCTIONS else computed_flat
                return act(b, i, flat, lead)
    return None


def computed_flat(b: Builder, i: Instruction, flat: tuple, lead: int) -> Value | None:
    """An elementwise instruction on arrays whose first axes are joined."""
    shape, by = i.output.shape, {}
    for v in map(b.of, i.operands()):
        if v.shape == shape:
            p = v.producer
            if p is not None and p.name == "reshape" and p.args[0].shape == flat:
                by[v] = p.args[0]
                continue
            if looks(v) and p is not None and p.name != "reshape":
                return None
            wanted = flat
        else:
            wanted = v.shape[-len(flat) + 1 :] if len(flat) > 1 else ()
            if v.size != math.prod(wanted):
                return None  # it varies along the axes that are joined
        if v.shape != wanted and v not in by:
            by[v] = b.emit("reshape", (v, wanted), wanted, v.dtype)
    args = replaced(replaced(i.args, b.of), lambda v: by.get(v, v))
    like = np.broadcast_to(np.empty((), i.output.dtype), flat)
    out = b.program.add(i.name, args, i.kwargs, [like]).output
    return b.emit("reshape", (out, shape), shape, out.dtype)


def reduced_flat(b: Builder, i: Instruction, flat: tuple, lead: int) -> Value | None:
    """A reduction over all of the joined axes, or none of them."""
    x, out = b.of(i.args[0]), i.output
    axis, rank = i.kwargs.get("axis", 0), len(x.shape)
    axes = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    over = {a % rank for a in axes}
    joined = over & set(range(lead))
    if joined and len(joined) != lead:
        return None
    own = tuple(sorted({max(a - lead + 1, 0) for a in over}))
    keeps = bool(i.kwargs.get("keepdims"))
    kept = [1 if a in own else n for a, n in enumerate(flat)]
    shape = tuple([n for a, n in enumerate(kept) if keeps or a not in own])
    x = x.producer.args[0]  # type: ignore[union-attr]
    like = np.broadcast_to(np.empty((), out.dtype), shape)
    total = b.program.add(i.name, (x,), i.kwargs | {"axis": own}, [like]).output
    return (
        total if shape == out.shape else b.emit("reshape", (total, out.shape), out.shape, out.dtype)
    )


def rule(*names: str) -> Callable:
    """Enter a rewriting into the table: it returns what stands for the result, or None."""

    def enter(f: Callable) -> Callable:
        RULES.update(dict.fromkeys(names, f))
        return f

    return enter


RULES: dict[str, Callable] = {}


@rule(*REDUCTIONS)
def _(b: Builder, i: Instruction) -> Value | None:
    x, out = b.of(i.args[0]), i.output
    if code(out.dtype) in HALVES and x.dtype == out.dtype and x.size and "dtype" not in i.kwargs:
        wide = b.emit("astype", (x, SINGLE), x.shape, SINGLE)
        total = b.emit(i.name, (wide,), out.shape, SINGLE, **i.kwargs)
        return b.emit("astype", (total, out.dtype), out.shape, out.dtype)
    if out.dtype.kind == "c" and x.dtype == out.dtype and x.size and out.size < x.size:
        return axis_by_axis(b, i, x)
    if i.name.startswith("logical") and x.dtype.kind in "fciu" and x.size:
        wide = b.emit("not_equal", (x, x.dtype.type(0)), x.shape, np.dtype(bool))
        if x.dtype.kind == "c":
            zero = b.program.constant(np.zeros((), x.dtype))
            wide = b.emit("not_equal", (x, zero), x.shape, np.dtype(bool))
        if x.size == out.size:
            return indexing.shaped(b, wide, out.shape)
        return b.emit(i.name, (wide,), out.shape, out.dtype, **i.kwargs)
    start = i.kwargs.get("initial")
    neutral = start in (None, identity(i, out.dtype)) if out.dtype.kind != "c" else start is None
    given = {k for k, v in i.kwargs.items() if k != "dtype" or v != out.dtype}
    given -= {"axis", "keepdims", "initial"}
    if not neutral and i.name in ("maximum.reduce", "minimum.reduce") and x.size and out.size:
        rest = {k: v for k, v in i.kwargs.items() if k != "initial"}
        total = b.emit(i.name, (x,), out.shape, out.dtype, **rest)
        least = out.dtype.type(start)
        return b.emit(i.name[:7], (total, least), out.shape, out.dtype)
    if x.size != out.size or not out.size or given or not neutral:
        return None
    if x.dtype != out.dtype:
        x = b.emit("astype", (x, out.dtype), x.shape, out.dtype)
    if i.name == "add.reduce" and out.dtype.kind in "fc":
        start = np.full((), i.kwargs.get("initial", 0), out.dtype)  # which makes 0 of -0, if 0
        start = b.program.constant(start) if out.dtype.kind == "c" else start[()]
        x = b.emit("add", (x, start), x.shape, out.dtype)
    return x if x.shape == out.shape else b.emit("reshape", (x, out.shape), out.shape, out.dtype)


def stacks(b: Builder, name: str, x: Value, y: Value, out: Value) -> Value | None:
    """A product of vectors, or of stacks that are broadcast, as one of like stacks."""
    first, last = len(x.shape) == 1, len(y.shape) == 1
    if name == "dot" and max(len(x.shape), len(y.shape)) > 2:
        return None
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    given = []
    for v, shape in ((x, (1, *x.shape)), (y, (*y.shape, 1))):
        if len(v.shape) == 1:
            v = b.emit("reshape", (v, shape), shape, v.dtype)
        given.append(spread_to(b, v, (*lead, *v.shape[-2:])))
    if given == [x, y]:
        return None
    shape = (*lead, given[0].shape[-2], given[1].shape[-1])
    made = b.emit("matmul", tuple(given), shape, out.dtype)
    return b.emit("reshape", (made, out.shape), out.shape, out.dtype) if first or last else made


def spread_to(b: Builder, v: Value, shape: tuple) -> Value:
    """A value broadcast to a shape."""
    return v if v.shape == shape else b.emit("broadcast_to", (v, shape), shape, v.dtype)


def alike(b: Builder, i: Instruction, f: Any) -> None:
    """Have the stacks that a generalized ufunc is given of one length."""
    groups = [g.strip("() ") for g in f.signature.split("->")[0].split("),")]
    cores = [len([n for n in g.split(",") if n.strip()]) for g in groups]
    given = [b.of(v) for v in i.args]
    pairs = list(zip(given, cores, strict=True))
    lead = np.broadcast_shapes(*[v.shape[: len(v.shape) - c] for v, c in pairs])
    i.args = tuple([spread_to(b, v, (*lead, *v.shape[len(v.shape) - c :])) for v, c in pairs])


def axis_by_axis(b: Builder, i: Instruction, x: Value) -> Value | None:
    """A reduction over several axes as one over each."""
    axis = i.kwargs.get("axis", 0)
    rank = len(x.shape)
    axes = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    given = {k for k, v in i.kwargs.items() if k != "dtype" or v != x.dtype}
    if given - {"axis", "keepdims"} or len(axes) < 2:
        return None
    for a in sorted([a % rank for a in axes], reverse=True):
        shape = x.shape[:a] + x.shape[a + 1 :]
        x = b.emit(i.name, (x,), shape, x.dtype, axis=(a,))
    return (
        x
        if x.shape == i.output.shape
        else b.emit("reshape", (x, i.output.shape), i.output.shape, x.dtype)
    )


@rule("dot", "matmul")
def _(b: Builder, i: Instruction) -> Value | None:
    """A tall matrix times a vector, or a matrix of one column, as a sum of products, which may be
    part of a sweep over it.
    """
    x, y = (b.of(v) if isinstance(v, Value) else v for v in i.args)
    out = i.output
    if not i.kwargs and isinstance(x, Value) and isinstance(y, Value):
        if not (x.size and y.size):
            return b.program.constant(np.zeros(out.shape, out.dtype))
        if out.dtype.kind in "ciub":
            return stacks(b, i.name, x, y, out)
    if code(out.dtype) in HALVES and not i.kwargs and isinstance(x, Value) and isinstance(y, Value):
        x, y = (b.emit("astype", (v, SINGLE), v.shape, SINGLE) for v in (x, y))
        total = b.emit(i.name, (x, y), out.shape, SINGLE)
        return b.emit("astype", (total, out.dtype), out.shape, out.dtype)
    if i.kwargs or not all(isinstance(v, Value) and 0 < len(v.shape) < 3 for v in (x, y)):
        return None
    if out.dtype.str not in ("<f4", "<f8") or not x.dtype == y.dtype == out.dtype:
        return None
    if len(x.shape) == 2 and (len(y.shape) == 1 or y.shape[1] == 1):
        matrix, vector, axis = x, y, 1
    elif len(y.shape) == 2 and (len(x.shape) == 1 or x.shape[0] == 1):
        matrix, vector, axis = y, x, 0
    else:
        return None
    p = matrix.producer
    if p is not None and p.name == "transpose":
        matrix, axis = p.args[0], 1 - axis
    rows, columns = matrix.shape
    if rows <= 8 * columns or columns < 2 or matrix.size < SWEPT:
        return None
    spread = (1, columns) if axis else (rows, 1)
    if vector.shape != spread:
        vector = b.emit("reshape", (vector, spread), spread, out.dtype)
    terms = b.emit("multiply", (matrix, vector), matrix.shape, out.dtype)
    shape = (rows,) if axis else (columns,)
    total = b.emit("add.reduce", (terms,), shape, out.dtype, axis=(axis,))
    return (
        total if out.shape == shape else b.emit("reshape", (total, out.shape), out.shape, out.dtype)
    )


@rule("copy")
def _(b: Builder, i: Instruction) -> Value | None:
    return b.of(i.args[0])


@rule("astype")
def _(b: Builder, i: Instruction) -> Value | None:
    x, dtype = b.of(i.args[0]), i.output.dtype
    if x.dtype != dtype and ("c" not in x.dtype.kind + dtype.kind or not x.size):
        return None
    return converted(b, x, dtype)


def converted(b: Builder, x: Value, dtype: np.dtype) -> Value:
    """x in a dtype; complex numbers by their parts."""
    if x.dtype == dtype:
        return x
    if "c" not in x.dtype.kind + dtype.kind or not x.size:
        return b.emit("astype", (x, dtype), x.shape, dtype)
    parts = []
    for name in ("real", "imag") if x.dtype.kind == "c" else ():
        own = np.dtype(f"f{x.dtype.itemsize // 2}")
        parts.append(b.emit(name, (x,), x.shape, own))
    wanted = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
    parts = [
        v if v.dtype == wanted else b.emit("astype", (v, wanted), v.shape, wanted)
        for v in parts or [x]
    ]
    if dtype.kind == "b":
        return b.emit("logical_or", tuple(parts), x.shape, dtype)
    if dtype.kind != "c":
        return parts[0]
    return b.emit("join_complex", (parts[0], (*parts, None)[1], dtype), x.shape, dtype)


@rule("reshape", "broadcast_to")
def _(b: Builder, i: Instruction) -> Value | None:
    x = b.of(i.args[0])
    return x if x.shape == i.output.shape else None


@rule("transpose")
def _(b: Builder, i: Instruction) -> Value | None:
    x, axes = b.of(i.args[0]), tuple(a % len(i.output.shape) for a in i.args[1])
    if axes == tuple(range(len(axes))):
        return x
    inner = x.producer
    if inner is not None and inner.name == "transpose":
        first = tuple(a % len(axes) for a in inner.args[1])
        axes = tuple(first[a] for a in axes)
        if axes == tuple(range(len(axes))):
            return inner.args[0]
        return b.emit("transpose", (inner.args[0], axes), i.output.shape, x.dtype)
    return None


@rule("getitem")
def _(b: Builder, i: Instruction) -> Value | None:
    x, index = b.of(i.args[0]), i.args[1]
    parts = index if isinstance(index, tuple) else (index,)
    if x.shape == i.output.shape and all(p is Ellipsis or whole(p) for p in parts):
        return x
    return (
        picked(b, x, parts, i) or gathered(b, x, parts, i) or indexing.read(b, x, parts, i.output)
    )


def gathered(b: Builder, x: Value, parts: tuple, i: Instruction) -> Value | None:
    """x[:, index] with one array of integers, as a gather: the index stands under its axes."""
    dots = [n for n, p in enumerate(parts) if p is Ellipsis]
    if len(dots) == 1 and None not in [p for p in parts if not isinstance(p, Value)]:
        lack = (slice(None),) * (len(x.shape) - len(parts) + 1)
        parts = (*parts[: dots[0]], *lack, *parts[dots[0] + 1 :])
    arrays = [n for n, p in enumerate(parts) if isinstance(p, Value)]
    if len(arrays) != 1 or not all(whole(p) for n, p in enumerate(parts) if n not in arrays):
        return None
    axis = arrays[0]
    index = b.of(parts[axis])
    if index.dtype.kind != "i" or not x.shape[axis]:
        return None
    behind = len(x.shape) - axis - 1
    if behind and index.shape:
        spread = (Ellipsis, *(None,) * behind)
        index = b.emit("getitem", (index, spread), (*index.shape, *(1,) * behind), index.dtype)
    return b.emit("gather", (x, index, axis), i.output.shape, x.dtype)


@rule("store")
def _(b: Builder, i: Instruction) -> Value | None:
    _, value, steps = i.args
    last = steps[-1]
    index = last[1][0] if isinstance(last[1][0], tuple) else last[1]
    trivial = last[0] == "getitem" and all(p is Ellipsis or whole(p) for p in index)
    if not trivial or len(steps) > 1:
        return filled(b, i, steps[:-1] if trivial else steps)
    if not isinstance(value, Value):
        return None
    value, out = b.of(value), i.output
    if value.dtype != out.dtype:
        value = b.emit("astype", (value, out.dtype), value.shape, out.dtype)
    if value.shape != out.shape:
        value = b.emit("broadcast_to", (value, out.shape), out.shape, out.dtype)
    return value


def filled(b: Builder, i: Instruction, steps: tuple) -> Value | None:
    """A store of one number to a box of the array, as a choice for each element."""
    base, value = b.of(i.args[0]), given(b, i.args[1])
    out = i.output
    number = value.data if isinstance(value, Value) else np.asarray(value)
    if number is not None and number.shape == () and not any(values_in(steps)):
        where = part_of(out, steps)
        box = None if where is None else box_of(where, out.shape)
        if box is not None:
            inside = b.emit("inside", box, out.shape, np.dtype(bool))
            return b.emit(
                "where", (inside, number.astype(out.dtype)[()], base), out.shape, out.dtype
            )
    if steps is i.args[2]:
        return None
    return b.emit("store", (base, value, steps), out.shape, out.dtype)


def box_of(where: Place, shape: tuple) -> tuple | None:
    """(first, end) along each axis of a part of a row-major array that is a box of it."""
    strides = contiguous(shape)
    if len(where.shape) != len(shape) or not where.size:
        return None
    if any(n != 1 and s != t for n, s, t in zip(where.shape, where.strides, strides, strict=True)):
        return None
    starts, rest = [], where.offset
    for s in strides:
        starts.append(rest // s)
        rest %= s
    ends = tuple(a + n for a, n in zip(starts, where.shape, strict=True))
    if any(e > n for e, n in zip(ends, shape, strict=True)):
        return None
    return tuple(starts), ends


def given(b: Builder, a: Any) -> Any:
    """An argument of the source, mapped."""
    return replaced(a, b.of)


def bounds(index: Any, shape: tuple) -> list | None:
    """(start, count, step, kept) along each axis of a basic index without None; None for others."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(p is None or not isinstance(p, (int, np.integer, slice, type(...))) for p in parts):
        return None
    if any(isinstance(p, bool) for p in parts):
        return None
    lack = len(shape) - sum(p is not Ellipsis for p in parts)
    full: list = []
    for p in parts:
        full += [slice(None)] * lack if p is Ellipsis else [p]
    full += [slice(None)] * (len(shape) - len(full))
    out = []
    for p, n in zip(full, shape, strict=True):
        if isinstance(p, slice):
            start, stop, step = p.indices(n)
            out.append((start, len(range(start, stop, step)), step, True))
        else:
            out.append((int(p) % n, 1, 1, False))
    return out


@rule("put")
def _(b: Builder, i: Instruction) -> Value | None:
    x, y, index = i.args
    if not isinstance(y, Value) or bounds(index, x.shape) is None:
        return indexing.put(b, i)
    steps = (("getitem", (index,), {}),)
    like = Instruction("store", (x, y, steps), {}, [i.output])
    found = RULES["store"](b, like)
    return found or b.emit("store", (b.of(x), b.of(y), steps), x.shape, x.dtype)


@rule("add_at", "multiply_at", "extreme_at", "argsort", "sort", "partition", "argmax", "argmin")
def _(b: Builder, i: Instruction) -> Value | None:
    return indexing.RULES[i.name](b, i)


@rule("put_add")
def _(b: Builder, i: Instruction) -> Value | None:
    x, index, shape = i.args
    found = bounds(index, tuple(shape))
    x = b.of(x) if isinstance(x, Value) else b.program.constant(np.asarray(x))
    if found is None:
        rows = scattered(b, x, index, tuple(shape), i)
        return rows or indexing.put_add(b, x, index, i.output)
    if any(step != 1 for _, _, step, _ in found) or not x.size:
        return None
    if x.shape != tuple(n for _, n, _, kept in found if kept):
        return None
    if not all(kept for *_, kept in found):
        spread = tuple(slice(None) if kept else None for *_, kept in found)
        sizes = tuple(n for _, n, _, _ in found)
        x = b.emit("getitem", (x, spread), sizes, x.dtype)
    return padded(b, x, tuple(start for start, *_ in found), i.output.shape)


@rule("resized")
def _(b: Builder, i: Instruction) -> Value | None:
    """Cut, and padded with zeros."""
    x, shape = b.of(i.args[0]), i.output.shape
    if not x.size:
        return None
    kept = tuple([min(n, m) for n, m in zip(x.shape, shape, strict=True)])
    if kept != x.shape:
        x = b.emit("getitem", (x, tuple([slice(0, n) for n in kept])), kept, x.dtype)
    return x if kept == shape else b.emit("pad", (x, (0,) * len(shape)), shape, x.dtype)


def padded(b: Builder, x: Value, starts: tuple, shape: tuple) -> Value:
    """x in zeros; of a multiple of x, the multiple of that."""
    p = x.producer
    if p is not None and p.name == "negative":
        inner = padded(b, p.args[0], starts, shape)
        return b.emit("negative", (inner,), shape, x.dtype)
    if p is not None and p.name == "multiply":
        for v, factor in (p.args, p.args[::-1]):
            if (
                isinstance(v, Value)
                and isinstance(factor, (int, float, np.generic))
                and (v.shape == x.shape and v.dtype == x.dtype and np.isfinite(factor))
            ):
                return b.emit("multiply", (padded(b, v, starts, shape), factor), shape, x.dtype)
    return b.emit("pad", (x, starts), shape, x.dtype)


def scattered(b: Builder, x: Value, index: Any, shape: tuple, i: Instruction) -> Value | None:
    """Rows added up by one array of row numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) != 1 or not isinstance(parts[0], Value):
        return None
    rows = b.of(parts[0])
    fits = rows.dtype == np.int64 and x.shape == (*rows.shape, *shape[1:]) and x.size
    if not fits or x.dtype.str not in ("<f4", "<f8"):
        return None
    if len(shape) == 1:
        found = by_image(b, x, rows, shape[0])
        if found is not None:
            return found
    return b.emit("scatter_add", (x, rows, shape), shape, x.dtype)


def by_image(b: Builder, x: Value, rows: Value, total: int) -> Value | None:
    """Elements put at places in many images, each place that in its image and the image's first."""
    flat = rows.producer
    placed = flat.args[0].producer if flat is not None and flat.name == "reshape" else None
    if placed is None or placed.name != "add":
        return None
    places, first = placed.args
    if not isinstance(first, Value) or first.data is None or first.shape != (len(first.data), 1):
        return None
    images, size = len(first.data), total // max(len(first.data), 1)
    regular = np.array_equal(first.data[:, 0], np.arange(images) * size)
    if not isinstance(places, Value) or not regular or size * images != total:
        return None
    if places.shape != placed.output.shape or places.dtype != np.int64:
        return None
    x = b.emit("reshape", (x, places.shape), places.shape, x.dtype)
    out = b.emit("put_places", (x, places, size), (images, size), x.dtype)
    return b.emit("reshape", (out, (total,)), (total,), x.dtype)


def whole(part: Any) -> bool:
    """Whether a slice takes everything."""
    return isinstance(part, slice) and part in (slice(None), slice(0, None), slice(0, None, 1))


def picked(b: Builder, x: Value, parts: tuple, i: Instruction) -> Value | None:
    """x[rows, index], one element of each row, as a sum over the row: zero but at the index."""
    if len(parts) != 2 or len(x.shape) != 2 or not all(isinstance(p, Value) for p in parts):
        return None
    rows, index = (b.of(p) for p in parts)
    n = x.shape[0]
    if rows.data is None or index.shape not in ((n,), (n, 1)) or rows.shape != index.shape:
        return None
    if not np.array_equal(rows.data.reshape(-1), np.arange(n)) or x.dtype.kind != "f":
        return None
    column = index
    if index.shape == (n,):
        column = b.emit("getitem", (index, (slice(None), None)), (n, 1), index.dtype)
    return taken(b, x, column, i.output, 1)


def taken(b: Builder, x: Value, index: Value, out: Value, axis: int) -> Value:
    """One element of each line along an axis: the sum with as many -0, which changes nothing."""
    found = chosen(b, x, index, x, axis, -0.0)
    kept = {"keepdims": True} if len(out.shape) == len(x.shape) else {}
    return b.emit("add.reduce", (found,), out.shape, x.dtype, axis=(axis,), initial=-0.0, **kept)


def chosen(b: Builder, x: Value, index: Value, like: Value, axis: int, other: float = 0.0) -> Value:
    """x where the place along an axis is `index` (counted from the end if negative)."""
    n = like.shape[axis]
    place = b.emit("iota", (like.shape, axis), like.shape, np.dtype(np.int64))
    negative = b.emit("less", (index, 0), index.shape, np.dtype(bool))
    behind = b.emit("add", (index, n), index.shape, index.dtype)
    index = b.emit("where", (negative, behind, index), index.shape, index.dtype)
    here = b.emit("equal", (place, index), like.shape, np.dtype(bool))
    return b.emit("where", (here, x, x.dtype.type(other)), like.shape, x.dtype)


@rule("take_along_axis")
def _(b: Builder, i: Instruction) -> Value | None:
    x, index = b.of(i.args[0]), b.of(i.args[1])
    axis = (i.args[2] if len(i.args) > 2 else i.kwargs["axis"]) % len(x.shape)
    short = index.shape[axis] == 1 and index.shape[:axis] + index.shape[axis + 1 :] == (
        x.shape[:axis] + x.shape[axis + 1 :]
    )
    if not short or x.dtype.kind != "f" or x.shape[axis] > 4096:
        return indexing.take_along(b, i)
    return taken(b, x, index, i.output, axis)


@rule("put_along")
def _(b: Builder, i: Instruction) -> Value | None:
    x, index = (b.of(a) if isinstance(a, Value) else a for a in i.args[:2])
    shape = i.args[3]
    axis = i.args[2] % len(shape)
    if not isinstance(x, Value) or index.shape[axis] != 1 or x.dtype.kind != "f":
        return indexing.put_along(b, i)
    if x.shape != index.shape or index.shape[:axis] + index.shape[axis + 1 :] != (
        tuple(shape[:axis]) + tuple(shape[axis + 1 :])
    ):
        return indexing.put_along(b, i)
    return chosen(b, x, index, i.output, axis)


@rule("multiply")
def _(b: Builder, i: Instruction) -> Value | None:
    return neutral(b, i, 1)


@rule("divide")
def _(b: Builder, i: Instruction) -> Value | None:
    return neutral(b, i, 1, right=True)


def neutral(b: Builder, i: Instruction, number: float, right: bool = False) -> Value | None:
    """The operand of an operation with a number that changes nothing. (Of complex numbers that is
    none: the parts of a product are sums of products with the 0 that a number has besides.)
    """
    x, y = i.args
    if i.output.dtype.kind == "c":
        return None
    for v, other in ((x, y),) if right else ((x, y), (y, x)):
        if isinstance(v, Value) and not isinstance(other, Value) and other == number:
            v = b.of(v)
            if v.shape == i.output.shape and v.dtype == i.output.dtype:
                return v
    return None


@rule("power")
def _(b: Builder, i: Instruction) -> Value | None:
    x, y = i.args
    out = i.output
    if isinstance(y, Value) or not isinstance(x, Value) or out.dtype.kind != "f":
        return None
    x = b.of(x)
    if x.dtype != out.dtype:
        return None
    if y == 1:
        return x

    def emit(name: str, *args: Any) -> Value:
        return b.emit(name, args, out.shape, out.dtype)

    if y in (2, 3, 4, -2):
        square = emit("multiply", x, x)
        if y == -2:
            return emit("reciprocal", square)
        return square if y == 2 else emit("multiply", square, x if y == 3 else square)
    if y in (0.5, -0.5):
        root = emit("sqrt", x)
        return root if y == 0.5 else emit("reciprocal", root)
    return emit("reciprocal", x) if y == -1 else None
