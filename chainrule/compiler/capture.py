"""Capturing a function: it is run once, on tensors whose arrays write down what is done.

All tensors that the function can reach (its arguments, closures, globals, modules, optimizers) are
lifted for the run: their arrays become inputs of the program, by the memory they lie in, so that
what is written is written to copies. When the run has ended, the memory that was written becomes
outputs, and everything is put back; the caller then enters the results. A run that fails leaves all
as it was.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..arrays.duck import Duck, NoRule
from ..arrays.trace import Cell, Trace, TraceArray
from ..captures import inside
from ..func.trees import leaves
from ..ops import define
from ..storage import owner_of, user_line, describe_line
from ..tape import state
from ..tensor import Tensor
from .program import Program, Value

REACH = 200_000  # objects that are looked at on the way to tensors


class CaptureError(RuntimeError):
    """A function does something that a program cannot say; the message says what, where, and how to
    write it.
    """


class Memory:
    """A piece of memory that was there before: the tensors that lie in it, its cell in the trace."""

    def __init__(self, owner: np.ndarray, cell: Cell, copy: np.ndarray) -> None:
        self.owner, self.cell, self.copy = owner, cell, copy
        self.given = cell.current
        self.tensors: list[Any] = []

    @property
    def written(self) -> bool:
        """Whether the function wrote it."""
        return self.cell.version > 0


class Setting:
    """A number of an optimizer's settings, read anew at each call."""

    def __init__(self, group: dict, key: Any, value: Value) -> None:
        self.group, self.key, self.value = group, key, value

    def now(self) -> float:
        """The number."""
        found = self.group[self.key[0]] if isinstance(self.key, tuple) else self.group[self.key]
        return float(found[self.key[1]] if isinstance(self.key, tuple) else found)


class Capture:
    """One run of `function(*args, **kwargs)` and what came of it."""

    def __init__(self, function: Callable, args: tuple, kwargs: dict) -> None:
        self.trace = Trace(Program(), self.read, self.lay)
        self.program = self.trace.program
        self.memories: dict[int, Memory] = {}
        self.guards: list[tuple[Value, Any]] = []
        self.settings: dict[Any, tuple[Setting, TraceArray]] = {}
        self.arguments = [t for t in leaves((args, kwargs)) if isinstance(t, Tensor)]
        self.made: list[weakref.ref] = []
        self.function, self.args, self.kwargs = function, args, kwargs
        self.draws = 0

    # -- the run ----------------------------------------------------------------------------------

    def run(self) -> Any:
        """Run the function; returns what it returned, with traced tensors in it."""
        reached, optimizers = reachable((self.function, self.args, self.kwargs))
        prepared = [(o, o.prepare()) for o in optimizers]
        tensors = self.arguments + reached
        for o in optimizers:
            tensors += [t for t in leaves(list(o.state.values())) if isinstance(t, Tensor)]
        unique = list({id(t): t for t in tensors}.values())
        self.phantoms = [t for t in unique if t._node is not None and t.is_leaf and t._grad is None]
        unique += [t._grad for t in unique if t._grad is not None]
        unique = list({id(t): t for t in unique}.values())
        before = [(t, Slots(t)) for t in unique]
        self.tensors = unique
        try:
            for t in unique:
                t._data = self.lift(t)
            with self.recording():
                result = self.function(*self.args, **self.kwargs)
            self.finish(before)
        except BaseException:
            for t, slots in before:
                slots.restore(t)
            for o, was in prepared:
                o.unprepare(was)
            raise
        return result

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """While the function runs: new tensors are noted, and random draws and settings ask here."""
        blank, outer = define.blank, state.capture

        def noted() -> Any:
            t = blank()
            self.made.append(weakref.ref(t))
            return t

        define.blank, state.capture = noted, self
        try:
            yield
        finally:
            define.blank, state.capture = blank, outer

    def lift(self, t: Any) -> TraceArray:
        """The array of a tensor as an input of the program."""
        data = define.storage_array(t)
        if isinstance(data, Duck):
            raise CaptureError(
                "compile was called inside of a transformation (vmap, jvp) with one of its"
                " tensors captured; compile the function that holds the transformation instead"
            )
        owner = owner_of(data)
        memory = self.memories.get(id(owner))
        if memory is None:
            if not (owner.flags.c_contiguous or data is owner):
                owner = data
            copy = owner.copy(order="K")
            cell = Cell(self.trace, self.program.input(owner))
            memory = self.memories[id(owner)] = Memory(owner, cell, copy)
        memory.tensors.append(t)
        return look(memory, data)

    def finish(self, before: list) -> None:
        """Note what was written and put everything back as the caller will enter it."""
        self.updates = [m for m in self.memories.values() if m.written]
        self.grads = []
        for t, slots in before:
            grad = t._grad
            if grad is not slots.grad:
                self.grads.append((t, grad))
        for t, slots in before:
            t._data = slots.data
        for m in self.updates:
            m.owner[...] = m.copy
        self.settled()

    def settled(self) -> None:
        """Tensors made by the run that somebody keeps: those that are traced get their values."""
        self.kept = []
        for ref in self.made:
            t = ref()
            if t is not None and isinstance(t._data, TraceArray):
                self.kept.append((t, t._data))

    # -- what the run asks ------------------------------------------------------------------------

    def read(self, x: TraceArray) -> Any:
        """A number is asked for: by a kernel, which then runs in Python as a whole, or by the user:
        a guard where it is discrete.
        """
        frame = sys._getframe(2)
        if frame.f_globals.get("__name__") != "chainrule.tensor":
            raise NoRule("the numbers of a traced array")
        if x.value.size == 1 and x.dtype.kind in "biu":
            self.guards.append((x.now(), x.value.copy()))
            return x.value
        line = describe_line(*user_line(2))
        raise CaptureError(
            f"compile: a number that the step computes is read by Python at {line}. What Python"
            " does with it would not be part of the compiled step. Keep it a tensor (torch.where"
            " instead of `if`, tensor arithmetic instead of .item()), or return it from the step"
            " and read it outside."
        )

    def lay(self, x: Any) -> None:
        """Let a tensor made of constants, and those that share its memory, be traced."""
        owner = owner_of(x._data)
        cell = Cell(self.trace, self.trace.constant(owner))
        memory = Memory(owner, cell, owner)
        for ref in self.made:
            t = ref()
            if t is not None and isinstance(t._data, np.ndarray) and owner_of(t._data) is owner:
                t._data = look(memory, t._data)

    def setting(self, group: dict, key: Any) -> TraceArray:
        """A number of an optimizer's group as an input of the program (float64)."""
        name = (id(group), key)
        if name not in self.settings:
            setting = Setting(group, key, None)
            array = self.trace.input(np.float64(setting.now()))
            setting.value = array.now()
            self.settings[name] = setting, array
        return self.settings[name][1]

    def draw(self, f: Callable, *given: Any) -> Any:
        """Random numbers: drawn by Python whenever the program runs."""
        self.draws += 1
        f = drawing(f)
        return self.trace.python(f, given)


def drawing(f: Callable) -> Callable:
    """A draw, marked as a call that may not be left out, repeated or moved past another."""

    def draw(*given: Any) -> Any:
        return f(*given)

    draw.effect = True  # type: ignore[attr-defined]
    return draw


class Slots:
    """What a tensor was before the run."""

    def __init__(self, t: Any) -> None:
        self.data, self.node, self.index = t._data, t._node, t._index
        self.storage, self.base, self.own = t._storage, t._base, dict(t.__dict__)
        self.grad = t._grad

    def restore(self, t: Any) -> None:
        """Make the tensor that again."""
        t._data, t._node, t._index = self.data, self.node, self.index
        t._storage, t._base = self.storage, self.base
        t.__dict__.clear()
        t.__dict__.update(self.own)


def look(memory: Memory, data: np.ndarray) -> TraceArray:
    """The traced array of a tensor with array `data`, which lies in that memory."""
    owner, copy, cell = memory.owner, memory.copy, memory.cell
    if data is owner or (
        data.shape == owner.shape and data.strides == owner.strides and data.dtype is owner.dtype
        and data.ctypes.data == owner.ctypes.data
    ):
        return TraceArray(copy, cell)
    start = (data.__array_interface__["data"][0] - owner.__array_interface__["data"][0])
    if data.dtype is not owner.dtype or start % data.itemsize:
        raise CaptureError(
            f"compile: a tensor looks at {owner.dtype} memory as {data.dtype}; give the step a copy"
        )
    first = start // data.itemsize
    steps = (
        ("reshape", ((-1,),), {}),
        ("getitem", (slice(first, None),), {}),
        ("restride", (data.shape, data.strides), {}),
    )
    value = np.ndarray(data.shape, data.dtype, copy.reshape(-1)[first:], 0, data.strides)
    return TraceArray(value, cell, steps)


def reachable(roots: tuple) -> tuple[list, list]:
    """The tensors and optimizers that a function and its arguments lead to."""
    tensors: list = []
    optimizers: list = []
    seen: dict[int, Any] = {}
    waiting = [*roots]
    while waiting and len(seen) < REACH:
        x = waiting.pop()
        if id(x) in seen or isinstance(x, (str, int, float, complex, type(None), np.ndarray)):
            continue
        seen[id(x)] = x
        if isinstance(x, Tensor):
            tensors.append(x)
            continue
        if hasattr(x, "prepare") and hasattr(x, "param_groups"):
            optimizers.append(x)
        waiting.extend(inside(x))
        if isinstance(x, dict):
            waiting.extend(k for k in x if isinstance(k, Tensor))
    return tensors, optimizers
