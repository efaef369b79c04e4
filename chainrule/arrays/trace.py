"""Tracing as an array type: an array that writes down what is computed, and computes little of it.

Running a function on `TraceArray`s leaves a `Program`. The arrays know shape, dtype and layout of
what would come out (`blanks`), but have no numbers: these are computed from the program where
somebody asks (an `if`, an index, a function that only Python can call), and remembered. An array
that is not traced is a constant of the program. Views and writes are made functional on the way in:
a `Cell` stands for one piece of memory and knows which value of the program it holds now; a view is
its cell and the steps that lead from the memory to it, and is derived anew once the memory has been
written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import STAND_INS
from .blanks import INDEXED, SMALL, blank, ufunc
from .duck import Duck, NoRule, laid_out, like_itself
from .waist import restride, waist

Step = tuple[str, tuple, dict]
Value = Any  # of compiler.program, which is above this module
VIEWS = (
    "getitem",
    "reshape",
    "transpose",
    "real",
    "imag",
    "view",
    "restride",
    "broadcast_to",
    "diagonal",
)


OPENED = (
    "inv",
    "solve",
    "solve_triangular",
    "contract",
    "cofactors",
    "inverse_if_any",
    "c2c",
    "r2c",
    "c2r",
)  # primitives that are traced through
PLAIN = (int, float, bool, str, type(None))
SIZED = ("flatnonzero", "nonzero", "bincount")  # what the shape of the result depends on: numbers
SHARED = 4096  # bytes of constants that are looked up where they are equal
DEFAULTS = {"where": True, "dtype": None, "keepdims": False}  # said or not, it is the same


def find_value(a: Any, kind: type) -> bool:
    """Whether there is a value of a program among nested arguments."""
    if type(a) in (tuple, list):
        return any(find_value(e, kind) for e in a)
    if type(a) is slice:
        return find_value((a.start, a.stop, a.step), kind)
    return isinstance(a, kind)


class Cell:
    """A piece of memory: the value of the program that it holds, and how often it was written."""

    __slots__ = ("current", "trace", "version")

    def __init__(self, trace: Trace, current: Value) -> None:
        self.trace, self.current, self.version = trace, current, 0


class TraceArray(Duck):
    """An array that the program computes: what its cell holds, seen by `steps`. `value` lies in
    memory as it does; the numbers there mean nothing.
    """

    __slots__ = ("array", "cell", "node", "seen_at", "steps", "value")
    level = 0.5  # below all transformations: their arrays are made of these
    in_memory = ground = True
    words = "a tensor inside compile"

    def __init__(self, value: Any, cell: Cell, steps: tuple[Step, ...] = ()) -> None:
        self.value, self.cell, self.steps = value, cell, steps
        self.seen_at, self.node = (-1, None) if steps else (cell.version, cell.current)

    shape = property(lambda self: self.value.shape)  # type: ignore[assignment]
    dtype = property(lambda self: self.value.dtype)  # type: ignore[assignment]
    ndim = property(lambda self: self.value.ndim)  # type: ignore[assignment]
    size = property(lambda self: self.value.size)  # type: ignore[assignment]

    def now(self) -> Value:
        """The value of the program that this array holds at this point."""
        cell = self.cell
        if self.seen_at != cell.version:
            node = cell.current
            for name, args, kwargs in self.steps:
                node = cell.trace.emit(name, (node, *args), kwargs)
            self.seen_at, self.node = cell.version, node
        return self.node  # type: ignore[return-value]

    def numbers(self) -> Any:
        """What the program computes, computed now: an array that must not be written."""
        return self.cell.trace.known_of(self.now())

    def given(self) -> Any:
        """The numbers, if they need not be computed; else None."""
        value = self.now()
        return self.cell.trace.known.get(value) if value.data is None else value.data

    def places(self) -> Any:
        """What can stand for it as an index, as far as shapes go: its numbers; zeros where they are
        whole numbers that come of floats, which would all have to be computed.
        """
        value, trace = self.now(), self.cell.trace
        if self.dtype.kind == "b" or not trace.program.comes_of_floats(value, trace.known):
            return trace.known_of(value)
        return np.zeros(self.shape, self.dtype)

    def parts(self) -> tuple:
        return (self.numbers(),)

    def memory(self) -> Any:
        return self.value

    def settle(self) -> None:
        if isinstance(self.value, np.generic):
            self.value = np.array(self.value)

    def constant(self) -> Any:
        return self

    def repr_with(self, show: Callable) -> str:
        return f"Traced(value={show(self.numbers())})"

    def by_example(self, new: Any) -> Any:
        return new

    def zeros(self, zeros: Any) -> Any:
        return self.cell.trace.lifted(zeros)

    def laid_out(self, like: Any) -> Any:
        return self.cell.trace.noted("copy", (self,), {}, laid_out(self.value, like))

    def kept(self) -> Any:
        return self.cell.trace.noted("copy", (self,), {}, like_itself(self.value))

    def pretends(self, copied: TraceArray) -> None:
        """A copy stands for a view of this from now on, so that neither may be written."""
        self.cell.trace.copied |= {self.cell, copied.cell}

    def over(self, data: Any, private: bool) -> Any:
        return self.cell.trace.lifted(data)

    def seen(self, start: int, shape: Any, strides: Any, dtype: Any) -> Any:
        value = self.value
        if start == 0 and (shape, strides, dtype) == (value.shape, value.strides, value.dtype):
            return self
        if not value.flags.c_contiguous or dtype != value.dtype or start % self.itemsize:
            raise NoRule("memory of a traced array seen in another way")
        return restride(self.reshape(-1)[start // self.itemsize :], tuple(shape), tuple(strides))

    def lay(self, x: Any) -> None:
        self.cell.trace.lay(x)

    def astype(self, dtype: Any) -> Any:
        return self.call("astype", (self, np.dtype(dtype)), {})  # always a copy, as NumPy's

    def item(self) -> Any:
        """The only element: a guard of the program where it is discrete, and else an error."""
        return self.cell.trace.read(self).item()

    def tolist(self) -> Any:
        return self.cell.trace.read(self).tolist()

    def exposed(self) -> Any:
        return self.cell.trace.read(self)

    def __bool__(self) -> bool:
        return bool(self.cell.trace.read(self))

    def __float__(self) -> float:
        return float(self.cell.trace.read(self))

    def __int__(self) -> int:
        return int(self.cell.trace.read(self))

    __index__ = __int__

    def __complex__(self) -> complex:
        return complex(self.cell.trace.read(self))

    def is_zero(self) -> bool:
        """Whether it is zero whatever the program is given."""
        data = self.now().data
        return data is not None and not np.any(data)

    @classmethod
    def fallback(
        cls, f: Callable, on_tensors: Callable, args: tuple, extra: bool = False, op: Any = None
    ) -> Any:
        """f(*args) with all arrays traced, or as a call of Python in the program."""
        trace = find(args).cell.trace
        if trace.lifting:
            raise NoRule("nothing more to be traced")
        if any(isinstance(a, np.ndarray) for a in args):
            trace.lifting = True
            try:
                return f(*[trace.lifted(a) if isinstance(a, np.ndarray) else a for a in args])
            except NoRule:
                pass  # a kernel of numbers, for Python
            finally:
                trace.lifting = False
        return trace.python(f, args)

    def call(self, name: str, args: tuple, kwargs: dict) -> Any:
        return self.cell.trace.run(name, args, kwargs)


class TraceNumber(TraceArray):
    """A Python float that a program is given: it promotes as one does."""

    __slots__ = ()
    words = "a number inside compile"


STAND_INS[TraceNumber] = float
TRACED = (TraceArray, TraceNumber)


def _in_place(name: str) -> Callable:
    def method(self: TraceArray, other: Any) -> TraceArray:
        trace = self.cell.trace
        trace.store(self, ..., trace.run(name, (self, other), {}))
        return self

    return method


for _short, _name in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}.items():
    setattr(TraceArray, f"__i{_short}__", _in_place(_name))


class Trace:
    """One run of a function that is written down, as `program`."""

    lifting = False  # whether a function that has no rule is tried with all its arrays traced

    def __init__(self, program: Any, read: Callable, lay: Callable) -> None:
        self.program = program
        self.constants: dict[Any, Value] = {}
        self.known: dict[Value, Any] = {}  # the numbers of what was given or asked for
        self.read, self.lay = read, lay  # what reading a number and writing a constant tensor do
        self.sources: list[Any] = []  # what constants were made of
        self.watch: Callable | None = None  # told of each cell that is written
        self.guards: list[tuple[Value, Any]] = []  # what has to be as it is now
        self.copied: set[Cell] = set()  # what copies stand for as views, and those

    def lifted(self, array: Any) -> TraceArray:
        """A plain array as one of the program: a constant."""
        return TraceArray(array, Cell(self, self.constant(array)))

    def input(self, array: Any) -> TraceArray:
        """The next input of the program; `array` is what it is this time."""
        value = self.program.input(array)
        self.known[value] = np.asarray(array)
        return TraceArray(array, Cell(self, value))

    def known_of(self, value: Value) -> Any:
        """The numbers of a value of the program, as an array that must not be written."""
        return self.program.computed(value, self.known)

    def constant(self, array: Any) -> Value:
        """The value of the program that a plain array is, as it is now."""
        self.sources.append(array)
        array = np.asarray(array)
        once = one_of(array)
        if once.size < array.size:
            return self.emit("broadcast_to", (self.constant(once), array.shape), {})
        key = (array.dtype, array.shape, array.tobytes()) if array.nbytes <= SHARED else None
        if key in self.constants:
            return self.constants[key]
        value = self.program.constant(array.copy())
        if key is not None:
            self.constants[key] = value
        return value

    def emit(self, name: str, args: tuple, kwargs: dict) -> Value:
        """Write down a view of a value (the one result is found by doing it on what is there)."""
        out = waist(name)(_like(args[0]), *args[1:], **kwargs)
        return self.program.add(name, args, kwargs, [out]).outputs[0]

    def run(self, name: str, args: tuple, kwargs: dict) -> Any:
        """Do what NumPy's `name` does, and write it down."""
        if not kwargs:
            f = ufunc(name)
            if f is not None:
                return self.elementwise(name, f, args)
        if name == "setitem":
            self.store(*args)
            return None
        if name in OPENED:
            return waist(name).kernel(*args, **kwargs)  # type: ignore[attr-defined]
        target = None
        if kwargs:
            target = kwargs.pop("out", None)
            for option, usual in DEFAULTS.items():
                if kwargs.get(option, usual) is usual:
                    kwargs.pop(option, None)
        if name in VIEWS:
            out: Any = self.look(name, args, kwargs)
            if name == "getitem" and find_mask(args[1:]):
                self.guard_shape(out)
        else:
            out = self.operation(name, args, kwargs)
            if name in SIZED:
                self.guard_shape(out)
        if target is None:
            return out
        if type(target) is tuple:
            target = target[0]
        if not isinstance(target, TraceArray):
            raise NoRule(f"{name} of a traced array into an array that is not")
        self.store(target, ..., out)
        return target

    def guard_shape(self, out: Any) -> None:
        """The shape of a result depends on numbers: it has to be what it is now."""
        for x in out if type(out) is tuple else (out,):
            shape = self.python(shape_of, (x,))
            self.guards.append((shape.now(), np.array(shape.numbers())))

    def elementwise(self, name: str, f: Any, args: tuple) -> TraceArray:
        """What a ufunc gives: most of what is traced."""
        given, values = [], []
        computed = True
        for a in args:
            kind = type(a)
            if kind in TRACED:
                given.append(a.node if a.seen_at == a.cell.version else a.now())
                a = a.value
                if a.size > SMALL:
                    computed = False
            elif kind is float or kind is int:
                given.append(a)
            else:
                return self.operation(name, args, {})
            values.append(a)
        try:
            result = f(*values) if computed else blank(name, tuple(values), {})
        except (ValueError, TypeError, ArithmeticError):
            result = None
        if result is None:
            return self.operation(name, args, {})
        value = self.program.put(name, tuple(given), {}, result.shape, result.dtype)
        return TraceArray(result, Cell(self, value))

    def look(self, name: str, args: tuple, kwargs: dict) -> Any:
        """A view, or what has the name of one and is a copy."""
        x, *rest = args
        if isinstance(x, TraceArray):
            x.settle()  # a number has no memory to look at
        index = _indices if name == "getitem" else _numbers
        result = waist(name)(_concrete(x), *index(rest), **_numbers(kwargs))
        fixed = find(rest) is None and not has_slices_of(rest)
        if name == "getitem" and type(rest[0]) in (tuple, np.ndarray, list):
            parts = rest[0] if type(rest[0]) is tuple else rest
            fixed = fixed and not any(isinstance(p, (np.ndarray, list)) for p in parts)  # a copy
        if fixed and isinstance(x, TraceArray) and _shares(result, x.value):
            step = (name, tuple([self.operand(a) for a in rest]), kwargs)
            return TraceArray(result, x.cell, (*x.steps, step))
        if not fixed and isinstance(result, np.ndarray):
            result = result.copy("K")
        return self.noted(name, args, kwargs, result)

    def operation(self, name: str, args: tuple, kwargs: dict) -> Any:
        """What is no view: without numbers, where that can be."""
        indexed = name in INDEXED
        result = blank(name, _indexed(args) if indexed else _concrete(args), kwargs)
        if result is not None:
            return self.noted(name, args, kwargs, result)
        if indexed:
            return self.noted(name, args, kwargs, waist(name)(*_indexed(args), **kwargs))
        return self.settled(name, args, kwargs, waist(name)(*_numbers(args), **_numbers(kwargs)))

    def settled(self, name: str, args: Any, kwargs: dict, result: Any) -> Any:
        """An instruction whose results are known."""
        out = self.noted(name, args, kwargs, result)
        for x in out if type(out) in (tuple, list) else (out,):
            if isinstance(x, TraceArray):
                self.known[x.cell.current] = np.asarray(x.value)
        return out

    def noted(self, name: str, args: Any, kwargs: dict, result: Any) -> Any:
        """An instruction with these results, as arrays of the program."""
        if type(result) is np.ndarray:
            given, options = self.operand(args), self.operand(kwargs) if kwargs else {}
            value = self.program.put(name, given, options, result.shape, result.dtype)
            return TraceArray(result, Cell(self, value))
        many = type(result) in (tuple, list)
        results = list(result) if many else [result]
        given = self.operand(args)
        arrays = [isinstance(r, (np.ndarray, np.generic)) for r in results]
        like = [r if a else None for r, a in zip(results, arrays, strict=True)]
        made = self.program.add(name, given, self.operand(kwargs), like)
        out = [
            TraceArray(r, Cell(self, v)) if a else r
            for r, a, v in zip(results, arrays, made.outputs, strict=True)
        ]
        return type(result)(out) if many else out[0]

    def python(self, f: Callable, args: tuple) -> Any:
        """A call of a function of arrays, to be made by Python whenever the program runs."""
        result = f(*_numbers(args))
        flat, shape = flattened(result)
        made = self.settled("python", (f, shape, *args), {}, flat)
        return restored(shape, iter(made))

    def store(self, x: Any, index: Any, value: Any) -> None:
        """Write into memory that is traced."""
        if not isinstance(x, TraceArray):
            raise NoRule("a traced array cannot be written into an array that is not")
        x.settle()
        if not x.value.flags.writeable:
            raise NoRule("a write into a traced array whose elements overlap")
        cell = x.cell
        if cell in self.copied:
            raise NoRule("a write where windows of memory that does not lie row by row look")
        if self.watch is not None:
            self.watch(cell)
        given = self.operand(value)
        fits(x.value, _indices(index), _concrete(value))
        whole = index is Ellipsis or (type(index) is slice and index == slice(None))
        if whole and not x.steps:
            given = self.fitted(given, x)
        else:
            if self.loses(x):
                raise NoRule("a write through a view that only this layout in memory allows")
            steps = (*x.steps, ("getitem", (self.operand(index),), {}))
            given = self.program.add(
                "store", (cell.current, given, steps), {}, [_like(cell.current)]
            )
            given = given.outputs[0]
        cell.current = given
        cell.version += 1

    def loses(self, x: TraceArray) -> bool:
        """Whether what x looks at would be copied by its steps if its memory lay row by row, as
        values of a program do: a write would not arrive.
        """
        if not any(name == "reshape" for name, *_ in x.steps):
            return False
        base = seen = np.empty(x.cell.current.shape, x.cell.current.dtype)
        for name, args, kwargs in x.steps:
            if find_value(args, self.program.value):
                return False  # an index that is computed
            seen = waist(name)(seen, *args, **kwargs)
            if seen.size and not np.may_share_memory(seen, base):
                return True
        return False

    def fitted(self, given: Any, x: TraceArray) -> Value:
        """A value of the shape and dtype of memory that it fills."""
        if not isinstance(given, self.program.value):
            given = self.constant(np.asarray(given, x.dtype))
        if given.dtype != x.dtype:
            like = np.empty(given.shape, x.dtype)
            given = self.program.add("astype", (given, x.dtype), {}, [like]).outputs[0]
        if given.shape != x.shape:
            given = self.program.add("broadcast_to", (given, x.shape), {}, [x.value]).outputs[0]
        return given

    def operand(self, a: Any) -> Any:
        """An argument as the program has it: values, and what never changes."""
        kind = type(a)
        if kind in TRACED:
            return a.node if a.seen_at == a.cell.version else a.now()
        if kind in PLAIN:
            return a
        if kind is tuple or kind is list:
            return kind([self.operand(e) for e in a])
        if isinstance(a, np.ndarray):
            return self.constant(a)
        if kind is dict:
            return {k: self.operand(v) for k, v in a.items()}
        if isinstance(a, Duck):
            raise NoRule("an array of a transformation inside of a traced one")
        return a


def has_slices_of(args: Any) -> bool:
    """Whether a slice among nested tuples begins or ends at a traced number."""
    for a in args:
        kind = type(a)
        if kind is slice:
            plain = type(a.start) in PLAIN and type(a.stop) in PLAIN and type(a.step) in PLAIN
            if not plain and find((a.start, a.stop, a.step)) is not None:
                return True
        elif (kind is tuple or kind is list) and has_slices_of(a):
            return True
    return False


def find(args: Any) -> Any:
    """A traced array among nested tuples and lists."""
    for a in args:
        if isinstance(a, TraceArray):
            return a
        if type(a) in (tuple, list):
            found = find(a)
            if found is not None:
                return found
    return None


def find_mask(args: Any) -> bool:
    """Whether a traced array of bools is among nested tuples and lists."""
    return any(
        find_mask(a)
        if type(a) in (tuple, list)
        else isinstance(a, TraceArray) and a.dtype.kind == "b"
        for a in args
    )


def shape_of(x: Any) -> np.ndarray:
    """An array's shape, as an array."""
    return np.array(x.shape, np.int64)


def flattened(result: Any) -> tuple[list, Any]:
    """The leaves of nested tuples and lists, and their structure (None for a leaf)."""
    if type(result) not in (tuple, list):
        return [result], None
    parts = [flattened(r) for r in result]
    return [leaf for leaves, _ in parts for leaf in leaves], (type(result), [s for _, s in parts])


def restored(shape: Any, leaves: Any) -> Any:
    """Nested tuples and lists of that structure."""
    if shape is None:
        return next(leaves)
    return shape[0]([restored(s, leaves) for s in shape[1]])


def _concrete(a: Any) -> Any:
    """An argument with arrays that lie as they do in place of traced ones."""
    kind = type(a)
    if kind in TRACED:
        return a.value
    if kind is tuple or kind is list:
        return kind([_concrete(e) for e in a])
    return {k: _concrete(v) for k, v in a.items()} if kind is dict else a


def _numbers(a: Any) -> Any:
    """An argument with their numbers in place of traced arrays."""
    kind = type(a)
    if kind in TRACED:
        return a.numbers()
    if kind in PLAIN:
        return a
    if kind is slice:
        if type(a.start) in PLAIN and type(a.stop) in PLAIN and type(a.step) in PLAIN:
            return a
        return slice(*_numbers((a.start, a.stop, a.step)))
    if kind is tuple or kind is list:
        return kind([_numbers(e) for e in a])
    return {k: _numbers(v) for k, v in a.items()} if kind is dict else a


def _indices(a: Any) -> Any:
    """An argument with what can stand for traced arrays as indices."""
    kind = type(a)
    if kind in TRACED:
        return a.places()
    return kind([_indices(e) for e in a]) if kind is tuple or kind is list else _numbers(a)


def _indexed(args: tuple) -> tuple:
    """Arguments with what can stand for traced arrays that may be indices, and arrays that lie as
    the others do.
    """
    return tuple(
        [
            a.value if isinstance(a, TraceArray) and a.dtype.kind in "fc" else _indices(a)
            for a in args
        ]
    )


def fits(memory: np.ndarray, index: Any, value: Any) -> None:
    """Raise NumPy's error if memory[index] = value does."""
    part = memory if index is Ellipsis else memory[index]
    shape = getattr(value, "shape", None)
    if shape == () or shape == part.shape:
        return
    np.empty_like(part)[...] = value


def one_of(array: np.ndarray) -> np.ndarray:
    """An array without its repetitions: one element of each axis along which strides are 0; of a
    large array full of one number, that.
    """
    again = [n > 1 and not s for n, s in zip(array.shape, array.strides, strict=True)]
    if any(again) and array.size:
        return array[tuple([slice(1) if a else slice(None) for a in again])]
    if array.nbytes <= SHARED or array.itemsize > 8 or not array.flags.c_contiguous:
        return array
    flat = array.reshape(-1)
    bits = flat.view(f"u{array.itemsize}")
    full = bits[0] == bits[-1] and (bits == bits[0]).all()
    return flat[:1].reshape(()) if full else array


def _like(value: Any) -> np.ndarray:
    """An array as the program's value is."""
    return np.empty(value.shape, value.dtype)


def _shares(y: Any, x: Any) -> bool:
    """Whether the result of a view function looks at the memory it was given."""
    if not isinstance(y, np.ndarray) or not isinstance(x, np.ndarray):
        return False
    return y is x or (y.base is not None and (not y.size or np.may_share_memory(y, x)))
