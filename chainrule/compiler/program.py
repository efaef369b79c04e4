"""The program: what a traced function did, as typed values, each computed once (SSA).

An instruction is a function of the waist with its arguments, in which values stand for arrays;
everything else in them never changes. Beside the waist's there are two of our own: `store`, a
memory with some of its elements written, and `python`, a call that only Python can make. `str`
prints a program, `verify` checks one, `run` is its meaning: NumPy, an instruction at a time.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays.waist import waist
from ..tape import quiet


class Value:
    """An array that the program is given, or computes."""

    __slots__ = ("data", "dtype", "index", "number", "producer", "shape")

    def __init__(self, shape: tuple, dtype: np.dtype, number: int) -> None:
        self.shape, self.dtype, self.number = shape, dtype, number
        self.producer: Instruction | None = None
        self.index = 0
        self.data: Any = None  # of a constant, the array

    @property
    def type(self) -> str:
        """As `float32[2, 3]`."""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    @property
    def size(self) -> int:
        """The number of elements."""
        n = 1
        for s in self.shape:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"%{self.number}"


NESTED = (tuple, list, dict, slice)  # what values may stand in


class Instruction:
    """One call: the function's name, its arguments, the values it computes (None where a result is
    not an array).
    """

    __slots__ = ("args", "kwargs", "name", "outputs")

    def __init__(self, name: str, args: tuple, kwargs: dict, outputs: list) -> None:
        self.name, self.args, self.kwargs, self.outputs = name, args, kwargs, outputs

    @property
    def output(self) -> Value:
        """The only result."""
        return self.outputs[0]

    def operands(self) -> list[Value]:
        """The values among the arguments, in order."""
        found: list[Value] = []
        for a in self.args:
            if type(a) is Value:
                found.append(a)
            elif type(a) in NESTED:
                collect(a, found)
        if self.kwargs:
            collect(self.kwargs, found)
        return found

    def __str__(self) -> str:
        made = ", ".join(f"{v} {v.type}" for v in self.outputs if v is not None)
        given = [show(a) for a in self.args] + [f"{k}={show(v)}" for k, v in self.kwargs.items()]
        return f"{made} = {self.name}({', '.join(given)})"


def show(a: Any) -> str:
    """An argument, for people."""
    if isinstance(a, (list, tuple)):
        return f"({', '.join(map(show, a))})"
    if callable(a) and not isinstance(a, type):
        return getattr(a, "__name__", type(a).__name__)
    return str(a) if isinstance(a, np.dtype) else repr(a)


def values_in(a: Any) -> list[Value]:
    """The values in nested tuples, lists and dictionaries."""
    found: list[Value] = []
    collect(a, found)
    return found


def collect(a: Any, found: list[Value]) -> None:
    """Append the values in nested tuples, lists and dictionaries."""
    kind = type(a)
    if kind is Value:
        found.append(a)
    elif kind is slice:
        for e in (a.start, a.stop, a.step):
            if e is not None and type(e) is not int:
                collect(e, found)
    elif kind in NESTED:
        for e in a.values() if kind is dict else a:
            if type(e) is Value:
                found.append(e)
            elif type(e) in NESTED:
                collect(e, found)


def replaced(a: Any, by: Callable) -> Any:
    """Nested arguments with by(value) in place of each value."""
    kind = type(a)
    if kind is Value:
        return by(a)
    if kind is tuple:
        return tuple([by(e) if type(e) is Value else replaced(e, by) for e in a])
    if kind is list:
        return [replaced(e, by) for e in a]
    return {k: replaced(v, by) for k, v in a.items()} if kind is dict else a


class Program:
    """Inputs, constants, instructions in order, outputs."""

    value = Value

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.constants: list[Value] = []
        self.instructions: list[Instruction] = []
        self.outputs: list[Value] = []
        self.count = 0

    def new(self, shape: tuple, dtype: np.dtype) -> Value:
        """A value with the next number."""
        self.count += 1
        return Value(tuple(shape), dtype, self.count - 1)

    def input(self, array: Any) -> Value:
        """The next input, an array like this one."""
        v = self.new(array.shape, array.dtype)
        self.inputs.append(v)
        return v

    def constant(self, array: np.ndarray) -> Value:
        """An array that is always the same."""
        v = self.new(array.shape, array.dtype)
        v.data = array
        self.constants.append(v)
        return v

    def add(self, name: str, args: tuple, kwargs: dict, results: Sequence) -> Instruction:
        """Append an instruction whose results are like these arrays (None: no array)."""
        outputs = [None if r is None else self.new(r.shape, r.dtype) for r in results]
        made = Instruction(name, args, kwargs, outputs)
        for i, v in enumerate(outputs):
            if v is not None:
                v.producer, v.index = made, i
        self.instructions.append(made)
        return made

    def put(self, name: str, args: tuple, kwargs: dict, shape: tuple, dtype: np.dtype) -> Value:
        """Append an instruction with one result, of that shape and dtype."""
        value = Value(shape, dtype, self.count)
        self.count += 1
        value.producer = made = Instruction(name, args, kwargs, [value])
        self.instructions.append(made)
        return value

    def used(self) -> set[Value]:
        """The values that instructions use."""
        return {v for i in self.instructions for v in i.operands()}

    def uses(self) -> dict[Value, int]:
        """How often each value is used; outputs count as uses."""
        count: dict[Value, int] = {}
        for i in self.instructions:
            for v in i.operands():
                count[v] = count.get(v, 0) + 1
        for v in self.outputs:
            count[v] = count.get(v, 0) + 1
        return count

    def __str__(self) -> str:
        lines = [f"inputs {', '.join(f'{v} {v.type}' for v in self.inputs)}"]
        lines += [f"{v} {v.type} = constant" for v in self.constants]
        lines += [str(i) for i in self.instructions]
        return "\n".join([*lines, f"outputs {', '.join(map(repr, self.outputs))}"])

    def verify(self) -> None:
        """Raise AssertionError unless every value is computed once, before it is used, and the
        results of what is known have the shapes and dtypes that NumPy gives them.
        """
        known = set(self.inputs) | set(self.constants)
        for i in self.instructions:
            given = i.operands()
            for v in given:
                assert v in known, f"{v} is used before it is computed: {i}"
            for v in i.outputs:
                if v is not None:
                    assert v not in known, f"{v} is computed twice: {i}"
                    assert v.producer is i and i.outputs[v.index] is v, f"{v} has lost its way: {i}"
                    known.add(v)
            check_type(i, given)
        for v in self.outputs:
            assert v in known, f"the output {v} is never computed"

    def computed(self, value: Value, known: dict[Value, Any]) -> Any:
        """One value by NumPy, from those that are known; what it takes becomes known, too."""

        def given(v: Value) -> Any:
            return known[v] if v.data is None else v.data

        waiting = [value]
        while waiting:
            v = waiting[-1]
            i = v.producer
            if v in known or v.data is not None:
                waiting.pop()
                continue
            assert i is not None, f"the input {v} is not known"
            missing = [u for u in i.operands() if u not in known and u.data is None]
            if missing:
                waiting += missing
                continue
            for u, r in zip(i.outputs, quiet(execute, i, given), strict=True):
                if u is not None:
                    known[u] = r
        return given(value)

    def comes_of_floats(self, value: Value, known: dict[Value, Any]) -> bool:
        """Whether floats would have to be computed to know a value."""
        seen, waiting = {value}, [value]
        while waiting:
            v = waiting.pop()
            if v in known or v.data is not None or v.producer is None:
                continue
            if v.dtype.kind in "fc":
                return True
            for u in v.producer.operands():
                if u not in seen:
                    seen.add(u)
                    waiting.append(u)
        return False

    def run(self, arrays: Sequence) -> list:
        """The outputs for these inputs, by NumPy."""
        values = self.known(arrays)
        for i in self.instructions:
            for v, found in results(i, values.__getitem__):
                check_shape(i, v, found)
                values[v] = found
        return [values[v] for v in self.outputs]

    def gives(self, arrays: Sequence, wanted: Sequence) -> bool:
        """Whether these are the outputs. They are compared one by one, as they come: what follows
        may have shapes that hang on them.
        """
        values, expected = self.known(arrays), dict(zip(self.outputs, wanted, strict=True))
        for i in self.instructions:
            for v, found in results(i, values.__getitem__):
                if v in expected and not np.array_equal(found, expected[v]):
                    return False
                values[v] = found
        return all(np.array_equal(values[v], w) for v, w in expected.items())

    def known(self, arrays: Sequence) -> dict[Value, Any]:
        """The inputs' and the constants' arrays."""
        return dict(zip(self.inputs, arrays, strict=True)) | {v: v.data for v in self.constants}


def results(i: Instruction, value: Callable) -> Iterator[tuple[Value, Any]]:
    """The values of one instruction, by NumPy; `value` gives the arrays of its operands."""
    out = quiet(execute, i, value)
    return ((v, r) for v, r in zip(i.outputs, out, strict=True) if v is not None)


def describe(i: Instruction) -> str:
    """What an instruction calls, for people."""
    f = i.args[0] if i.name == "python" else None
    return getattr(f, "__name__", i.name)


def check_shape(i: Instruction, v: Value, found: Any) -> None:
    """Raise RuntimeError unless an instruction gave for `v` what it gave when it was captured."""
    if np.shape(found) != v.shape:
        raise RuntimeError(
            f"compile: {describe(i)} gave an array of shape {list(np.shape(found))}, and"
            f" {list(v.shape)} when it was captured: its shape depends on numbers. What the step"
            " wrote before stays written. Take it out of what is compiled."
        )


@functools.cache
def works_by_element(name: str) -> bool:
    """Whether a function of the waist is a ufunc."""
    f = getattr(np, name, None)
    return isinstance(f, np.ufunc) and f.signature is None


def check_type(i: Instruction, given: list[Value]) -> None:
    """Raise AssertionError if an elementwise instruction does not have the shape of its operands
    broadcast.
    """
    out = i.outputs[0] if i.outputs else None
    if out is None or not works_by_element(i.name):
        return
    shape = out.shape
    others = [v.shape for v in given if v.shape != shape]
    if others or not given:
        shapes = [v.shape for v in given]
        assert np.broadcast_shapes(*shapes) == shape, f"wrong shape: {i}"


def execute(i: Instruction, value: Callable) -> list:
    """The results of one instruction, by NumPy."""
    args, kwargs = replaced(i.args, value), replaced(i.kwargs, value)
    if i.name == "store":
        return [stored(*args)]
    if i.name == "pad":
        return [padded(*args, i.output.shape)]  # type: ignore[call-arg]
    if i.name == "inside":
        return [inside(*args, i.output.shape)]  # type: ignore[call-arg]
    if i.name == "check":
        check(*args)
        return []
    if i.name == "verify":
        f, made, *rest = args
        if np.isnan(made).any():
            f(*rest)
        return []
    if i.name == "unless":
        f, bad, fast, *rest = args
        return [f(*rest) if np.any(bad) else fast]
    if i.name in OWN:
        return [OWN[i.name](*args)]
    if i.name == "python":
        f, _, *rest = args
        from ..arrays.trace import flattened

        return flattened(f(*rest))[0]
    if i.name == "view" and args[0].ndim:  # values lie row by row, their views here may not
        args = (np.ascontiguousarray(args[0]), *args[1:])
    out = waist(i.name)(*args, **kwargs)
    return list(out) if type(out) in (tuple, list) else [out]


def check(x: Any, low: int, size: int, ignore: int | None, kind: str, text: str) -> None:
    """Raise the error of that name unless x is in [low, size), but where it is `ignore`."""
    bad = (x < low) | (x >= size)
    found = x[bad if ignore is None else bad & (x != ignore)]
    if found.size:
        raise getattr(builtins, kind)(text.format(found[0]))


def iota(shape: tuple, axis: int) -> np.ndarray:
    """The place along an axis, everywhere."""
    line = np.arange(shape[axis]).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return np.broadcast_to(line, shape)


def padded(x: Any, starts: tuple, shape: tuple) -> np.ndarray:
    """x from `starts` on, in zeros."""
    out = np.zeros(shape, x.dtype)
    out[tuple(slice(s, s + n) for s, n in zip(starts, x.shape, strict=True))] = x
    return out


def inside(starts: tuple, ends: tuple, shape: tuple) -> np.ndarray:
    """Where the box is."""
    out = np.zeros(shape, bool)
    out[tuple(map(slice, starts, ends))] = True
    return out


def gather(x: Any, index: Any, axis: int) -> Any:
    """x at the indices along an axis; they have axes of size 1 for those of x behind it."""
    behind = x.ndim - axis - 1
    index = index.reshape(index.shape[: index.ndim - behind])
    return x[(slice(None),) * axis + (index,)]


def scatter_add(x: Any, rows: Any, shape: tuple) -> np.ndarray:
    """Zeros, to whose rows those of x are added."""
    out = np.zeros(shape, x.dtype)
    np.add.at(out, rows, x)
    return out


def put_places(x: Any, places: Any, size: int) -> np.ndarray:
    """Rows of zeros, of that size, with those of x added at places of theirs."""
    out = np.zeros((len(x), size), x.dtype)
    np.add.at(out, (np.arange(len(x))[:, None], places), x)
    return out


def look(x: Any, name: str, args: tuple) -> np.ndarray:
    """What a view function shows, copied."""
    return np.array(waist(name)(x, *args))


def scatter_set(x: Any, y: Any, places: Any) -> np.ndarray:
    """x with elements of y at places."""
    out = np.array(x)
    out[places] = y
    return out


def scatter_more(x: Any, y: Any, places: Any, by: Any = np.add) -> np.ndarray:
    """x with elements of y added (or whatever else) at places."""
    out = np.array(x)
    by.at(out, places, y)
    return out


def join_complex(real: Any, imag: Any, dtype: np.dtype) -> np.ndarray:
    """Complex numbers of two parts, the second of which may be None: zero."""
    out = np.zeros(real.shape, dtype)
    out.real = real
    if imag is not None:
        out.imag = imag
    return out


OWN = {
    "join_complex": join_complex,
    "scatter_set": scatter_set,
    "scatter_more": scatter_more,
    "scatter_multiply": functools.partial(scatter_more, by=np.multiply),
    "scatter_maximum": functools.partial(scatter_more, by=np.maximum),
    "scatter_minimum": functools.partial(scatter_more, by=np.minimum),
    "rows_sort": lambda x, stable: np.sort(x, kind="stable" if stable else None),
    "rows_argsort": lambda x, stable: np.argsort(x, kind="stable" if stable else None),
    "rows_argmax": lambda x: np.argmax(x, axis=-1),
    "rows_argmin": lambda x: np.argmin(x, axis=-1),
    "iota": iota,
    "look": look,
    "positive": np.array,
    "duplicate": np.array,
    "turned": np.array,
    "gather": gather,
    "scatter_add": scatter_add,
    "put_places": put_places,
}


def stored(memory: Any, value: Any, steps: tuple) -> np.ndarray:
    """A copy of memory, with a value written where the steps lead."""
    out = np.array(memory)
    seen = out
    for name, args, kwargs in steps[:-1]:
        seen = waist(name)(seen, *args, **kwargs)
    name, args, kwargs = steps[-1]
    if name == "getitem":
        seen[args[0]] = value
    else:
        waist(name)(seen, *args, **kwargs)[...] = value
    return out
