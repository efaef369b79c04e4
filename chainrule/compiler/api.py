"""`compile`: a function that is captured when it is first called, and run as one native program from
then on, as long as everything that it depended on stays as it was.

An `Entry` is one program with its guards. A call looks for an entry whose guards hold and runs it;
where none does, the function is captured again.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter, is_
from typing import Any

import numpy as np

from .. import dtypes
from ..func.trees import leaves, rebuild, shape_of
from ..ops import define
from ..storage import LAST, tick, user_line
from ..tape import AccumulateGrad, state, storage_of
from ..tensor import Tensor
from . import machine
from .capture import Capture, CaptureError, reachable
from .passes import simplify
from .plan import Output, Planner
from .views import contiguous

ENTRIES = 8  # programs of one function; beyond, it is run as it is
DATA, GRAD = attrgetter("_data"), attrgetter("_grad")


class Entry:
    """One program of a function: its guards, its plan, and how results are given back."""

    def __init__(self, capture: Capture, result: Any, args: tuple, kwargs: dict) -> None:
        self.capture_facts(capture, args, kwargs)
        self.result_tree = result
        self.build(capture, result)

    # -- guards -----------------------------------------------------------------------------------

    def capture_facts(self, c: Capture, args: tuple, kwargs: dict) -> None:
        """What has to stay."""
        given = leaves((args, kwargs))
        self.tree = shape_of((args, kwargs))
        self.count = len(args)
        self.plain = not kwargs and all(type(a) is Tensor or isinstance(a, Tensor) for a in args)
        self.kinds = [signature(a) for a in given]
        self.mode = (state.grad, dtypes.default.real)
        own = {id(a) for a in given}
        self.state = [t for t in c.tensors if id(t) not in own and id(t) not in c.grad_ids]
        self.arrays = [t._data for t in self.state]
        self.edges = c.edges

    def matches(self, args: tuple, kwargs: dict) -> bool:
        """Whether all is as it was captured."""
        if self.plain:
            if kwargs or len(args) != self.count:
                return False
            given: Sequence = args
        else:
            given = leaves((args, kwargs))
            if len(given) != len(self.kinds) or shape_of((args, kwargs)) != self.tree:
                return False
        for a, kind in zip(given, self.kinds, strict=True):
            if type(kind) is tuple:
                if not isinstance(a, Tensor):
                    return False
                data = a._data
                if type(data) is not np.ndarray:
                    data = define.storage_array(a)
                if (data.shape, data.dtype, data.strides) != kind[0] or (a._node is None) != kind[
                    1
                ]:
                    return False
            elif type(a) is not type(kind.value) or (a is not kind.value and a != kind.value):
                return False
        return (
            (state.grad, dtypes.default.real) == self.mode
            and all(map(is_, map(DATA, self.state), self.arrays))
            and self.edges.hold()
        )

    # -- the plan ---------------------------------------------------------------------------------

    def build(self, c: Capture, result: Any) -> None:
        """Simplify the program and plan it."""
        self.out_leaves = leaves(result)
        outputs, recipe = [], []
        for leaf in self.out_leaves:
            traced = c.traced_of(leaf)
            if traced is None:
                recipe.append((None, leaf))
            else:
                outputs.append(Output(traced.now()))
                recipe.append((len(outputs) - 1, traced.value))
        self.fresh = len(outputs)
        self.recipe = recipe
        outputs += [Output(m.cell.current, m.given) for m in c.updates]
        self.grads: list[tuple[Any, Any]] = []
        for t, grad in c.grads:
            if grad is None:
                self.grads.append((t, None))
            elif c.traced_of(grad) is not None:
                traced = c.traced_of(grad)
                outputs.append(Output(traced.now(), None, traced.array))
                self.grads.append((t, grad))
            else:
                self.grads.append((t, grad))
        self.given = [(m, m.argument) for m in c.memories.values()]
        self.written = [storage_of(t) for m in c.updates for t in m.tensors]
        program = c.program
        program.outputs = [o.value for o in outputs]
        self.captured = len(program.instructions)
        program = simplify(program)
        for o, v in zip(outputs, program.outputs, strict=True):
            o.value = v
        self.program = program
        fixed = {m.given: m.owner for m in c.memories.values() if m.argument is None}
        self.settings = [s for s, _ in c.settings.values()]
        self.numbers = [np.array(s.now()) for s in self.settings]
        fixed.update({s.value: a for s, a in zip(self.settings, self.numbers, strict=True)})
        layouts = {}
        for m in c.memories.values():
            strides = tuple(s // m.owner.itemsize for s in m.owner.strides)
            if strides != contiguous(m.owner.shape):
                layouts[m.given] = strides
        self.planner = Planner(program, outputs, fixed, layouts)
        self.plan = self.planner.plan
        number = {m.given: m.argument for m in c.memories.values()}
        self.positions = [number[v] for v in self.planner.arguments if v in number]
        self.made = [
            (o.value.shape, o.value.dtype)
            for v in self.planner.arguments
            if v not in number
            for o in outputs
            if o.value is v
        ]
        self.grad_tensors = [t for t, _ in self.grads]
        self.grad_values = [g for _, g in self.grads]
        self.single = self.out_leaves == [result] and self.fresh == 1

    def run(self, args: tuple, kwargs: dict) -> Any:
        """One call."""
        given = args if self.plain else leaves((args, kwargs))
        arrays = [given[i]._data for i in self.positions]
        for s, number in zip(self.settings, self.numbers, strict=True):
            number[...] = s.now()
        fresh = [np.empty(shape, dtype) for shape, dtype in self.made]
        self.plan.run(*arrays, *fresh)
        if not all(map(is_, map(GRAD, self.grad_tensors), self.grad_values)):
            for t, g in self.grads:
                t._grad = g
        now = LAST[0] = tick()
        for s in self.written:
            s.version += 1
            s.written = now
        if self.single:
            return define.wrap(fresh[0])
        return rebuild(self.result_tree, self.results(fresh))

    def results(self, fresh: list) -> Any:
        """The leaves of the result."""
        return iter([leaf if n is None else define.wrap(fresh[n]) for n, leaf in self.recipe])


class Constant:
    """An argument that is no tensor: it has to be equal."""

    def __init__(self, value: Any) -> None:
        self.value = value


def signature(a: Any) -> Any:
    """What a guard remembers of an argument."""
    if not isinstance(a, Tensor):
        return Constant(a)
    data = define.storage_array(a)
    return (data.shape, data.dtype, data.strides), a._node is None


class Compiled:
    """A compiled function (see `compile`)."""

    def __init__(self, function: Callable, fullgraph: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function, self.fullgraph = function, fullgraph
        self.entries: list[Entry] = []
        self.captures = 0
        self.eager: str | None = None  # why it is not compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for entry in self.entries:
            if entry.matches(args, kwargs):
                return entry.run(args, kwargs)
        if self.eager is not None or state.capture is not None or not machine.available():
            return self.function(*args, **kwargs)
        return self.capture(args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def capture(self, args: tuple, kwargs: dict) -> Any:
        """Run the function and keep its program."""
        if self.captures >= ENTRIES:
            self.eager = f"it was captured {ENTRIES} times, and no program fitted the next call"
            warnings.warn(
                f"compile: {self.function.__name__} is run as it is from now on: {self.eager}."
                " reset() begins anew.",
                stacklevel=3,
            )
            return self.function(*args, **kwargs)
        self.captures += 1
        c = Capture(self.function, args, kwargs)
        result = c.run()
        if c.replayable:
            self.entries.append(Entry(c, result, args, kwargs))
        return c.returned(result)

    def reset(self) -> None:
        """Forget all programs."""
        self.entries.clear()
        self.captures, self.eager = 0, None

    def explain(self) -> str:
        """The programs, for people."""
        return "\n\n".join(str(e.program) for e in self.entries)


def compile(model: Any = None, *, fullgraph: bool = False, **options: Any) -> Any:
    """A function that does what `model` does, as one native call.

    The first call runs the function and writes down what it does to tensors: forward, backward, the
    optimizer's update. Later calls run that program, made into machine code, as long as the
    arguments have the same shapes and dtypes and nothing else has changed.
    """
    if model is None:
        return lambda f: compile(f, fullgraph=fullgraph, **options)
    return Compiled(model, fullgraph)


__all__ = ["CaptureError", "Compiled", "compile", "reachable", "user_line", "AccumulateGrad"]
