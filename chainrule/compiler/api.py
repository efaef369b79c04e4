"""`compile`: a function that is captured when it is first called, and run as one native program
from then on, as long as everything that it depended on stays as it was.

An `Entry` is one program with its guards. A call looks for an entry whose guards hold and runs it;
where none does, the function is captured again.
"""

from __future__ import annotations

import functools
import gc
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter, is_
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import NoRule, inward
from ..func.trees import leaves, rebuild, shape_of
from ..ops import define
from ..storage import owner_of
from ..tape import state, storage_of
from ..tensor import Tensor
from . import calls, guards, kept, machine
from .capture import Capture, CaptureError, Picked, Transformed, Wrapper, frozen
from .orders import arrange
from .passes import has_effect, simplify
from .plan import Interpreted, Output, Planner
from .trial import Trial
from .views import contiguous

ENTRIES = 8  # programs of one function; beyond, it is run as it is
SIZES = 64  # likewise with dynamic=True, where the oldest gives way instead
FRESH, GIVEN, SAME = range(3)  # a result: new, an argument, what it was
DATA, GRAD, NODE = attrgetter("_data"), attrgetter("_grad"), attrgetter("_node")
told: list[str] = []  # what has been said once
capturing = threading.RLock()


class Entry:
    """One program of a function: its guards, its plan, and how results are given back."""

    def __init__(self, c: Capture, result: Any, args: tuple, kwargs: dict) -> None:
        start = time.perf_counter()
        self.remember(c, args, kwargs)
        outputs = self.results_of(c, result)
        self.captured = len(c.program.instructions)
        self.verdict = ""  # whether it was compared with the function as it is (see `trial`)
        self.memory_of(c)
        self.plan_of(c, outputs)
        self.enter(c, outputs)
        self.hold(c)
        self.guard_of(c)
        self.watch()
        self.execute, run = calls.written(self)
        if run is not None and type(self) is Entry:
            self.run = run  # type: ignore[method-assign]
        self.seconds = time.perf_counter() - start

    # -- guards -----------------------------------------------------------------------------------

    def remember(self, c: Capture, args: tuple, kwargs: dict) -> None:
        """What has to stay."""
        given = leaves((args, kwargs))
        self.tree = shape_of((args, kwargs))
        self.count = len(args)
        self.plain = not kwargs and len(given) == len(args) and all(map(is_, given, args))
        self.kinds = [NUMBER if n in c.numbers else signature(a) for n, a in enumerate(given)]
        self.natives = [native(a, kind) for a, kind in zip(given, self.kinds, strict=True)]
        self.tensors = [n for n, a in enumerate(given) if isinstance(a, Tensor)]
        self.recording, self.default = state.grad, dtypes.default.real
        own = {id(a) for a in given} | c.grad_ids
        self.state = [t for t in c.tensors if id(t) not in own]
        self.arrays = [t._data for t in self.state]
        self.nodes = [t._node for t in self.state]
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
        for n, grad, t in self.given_held:
            if given[n]._grad is not grad or (t is not None and given[n] is not t):
                return False
        return (
            all(map(fits, given, self.kinds))
            and state.mode[1] is self.recording
            and dtypes.default.real is self.default
            and all(map(is_, map(DATA, self.state), self.arrays))
            and (all(map(is_, map(NODE, self.state), self.nodes)) or self.required(self.state))
            and all(map(is_, map(GRAD, self.held_tensors), self.held_grads))
            and self.apart(given)
            and self.hold_edges()
            and (self.guard is None or self.guard(given))
        )

    def required(self, state: Sequence) -> bool:
        """Whether the same tensors ask for gradients as before; their nodes may be new ones."""
        nodes = list(map(NODE, state))
        same = [n is None for n in nodes] == [n is None for n in self.nodes]
        if same:
            self.nodes, self.edges.renewed = nodes, True
        return same

    def hold_edges(self) -> bool:
        """Whether what led to tensors is what it was, or equal to it."""
        held = self.edges.hold()
        if self.edges.renewed:
            self.watch()
        return held

    def watch(self) -> None:
        """Make `holds`, which says in one native call that all is as it was; None where arguments
        are containers, or more than references has to be looked at.
        """
        self.holds, self.edges.renewed = None, False
        found = guards.layout() if machine.available() else None
        if found is None or not self.plain or self.guard is not None or self.given_held:
            return
        if self.edges.contained or any(type(kind) is Array for kind in self.kinds):
            return
        table = guards.Guards(self.natives, self.owners if self.writes() else None, self.recording)
        slots = [(t, found.data, a) for t, a in zip(self.state, self.arrays, strict=True)]
        edges = self.edges
        slots += [(t, found.node, n) for t, n in zip(self.state, self.nodes, strict=True)]
        slots += [(c, found.cell, x) for c, x in zip(edges.cells, edges.contents, strict=True)]
        attributes = [
            (t, "_grad", g) for t, g in zip(self.held_tensors, self.held_grads, strict=True)
        ]
        attributes += [(dtypes.default, "real", self.default), *edges.attributes]
        rows = list(zip(edges.tables, edges.keys, edges.values, strict=True))
        table.watch(slots, rows, attributes, edges.lengths)
        self.table, self.holds = table, table.builtin()
        if edges.arrays:
            same, unchanged = self.holds, edges.unchanged
            self.holds = lambda *given: same(*given) and unchanged()

    def writes(self) -> bool:
        """Whether memory that was there before is written."""
        return bool(self.written or self.given_written)

    # -- the program ------------------------------------------------------------------------------

    def results_of(self, c: Capture, result: Any) -> list[Output]:
        """The outputs: what is returned, the state that is written, gradients."""
        self.result_tree, self.out_leaves = result, leaves(result)
        outputs: list[Output] = []
        recipe: list[tuple[int, Any]] = []
        for leaf in self.out_leaves:
            value = c.value_of(leaf)
            if value is not None:
                outputs.append(self.output(leaf, value))
                recipe.append((FRESH, len(outputs) - 1))
            elif id(leaf) in c.arguments:
                recipe.append((GIVEN, c.arguments[id(leaf)]))
            else:
                recipe.append((SAME, leaf))
        self.fresh = len(outputs)
        outputs += [Output(m.cell.current, m.given) for m in c.updates]
        self.grads: list[tuple[Any, Any]] = []
        self.given_grads: list[tuple[int, Any]] = []
        for t, grad in c.grads:
            value, position = c.value_of(grad), c.arguments.get(id(t))
            if position is None:
                if value is not None:
                    outputs.append(self.output(grad, value))
                    outputs[-1].array = outputs[-1].rows(define.storage_array(grad))
                self.grads.append((t, grad))
            else:
                self.given_grads.append((position, grad))
                if value is not None:
                    outputs.append(self.output(grad, value))
                    self.given_grads[-1] = position, outputs[-1]
        arrange(c.program, outputs, [g for g in c.gradients if g is not None])
        self.written = [
            storage_of(t) for m in c.updates for t in m.tensors if id(t) not in c.arguments
        ]
        for s in self.written:
            s.enter()
        self.versions = guards.Versions(self.written)
        self.bump = self.versions.builtin() if self.written else None
        self.given_written = [m.argument for m in c.updates if m.argument is not None]
        self.recipe = recipe
        return outputs

    def output(self, t: Any, value: Any) -> Output:
        """The output that a tensor is, which lies in memory as that does."""
        made = Output(value)
        made.axes = inward(define.storage_array(t))
        return made

    def memory_of(self, c: Capture) -> None:
        """The inputs whose memory stays, and how inputs lie that are not row-major."""
        self.fixed: dict[Any, Any] = {
            m.given: m.owner for m in c.memories.values() if m.argument is None
        }
        self.settings = [s for s, _ in c.settings.values()]
        self.numbers = [np.array(s.now()) for s in self.settings]
        self.fixed.update({s.value: a for s, a in zip(self.settings, self.numbers, strict=True)})
        self.floats = {n: np.array(x.value) for n, x in c.numbers.items()}
        self.fixed.update({x.now(): self.floats[n] for n, x in c.numbers.items()})
        self.layouts: dict[Any, tuple] = {}
        for m in c.memories.values():
            strides = tuple(s // m.owner.itemsize for s in m.owner.strides)
            if strides != contiguous(m.owner.shape):
                self.layouts[m.given] = strides

    def plan_of(self, c: Capture, outputs: list[Output]) -> None:
        """The plan: of an earlier process, or made now and kept for later ones. What led to a plan
        that was found is made where somebody asks.
        """
        self.make = functools.partial(self.planned, c.program, outputs)
        self.ready = kept.prepared(c.program, outputs, self.fixed, self.layouts, self.make)

    def planned(self, program: Any, outputs: list[Output]) -> Any:
        """The planner, with the plan made now."""
        program.outputs = [o.value for o in outputs]
        self.program = simplify(program)
        for o, v in zip(outputs, self.program.outputs, strict=True):
            o.value = v
        self.planner = planner(self.program, outputs, self.fixed, self.layouts)
        return self.planner

    def __getattr__(self, name: str) -> Any:
        if name not in ("planner", "program"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.make()  # what led to a plan that was found: somebody wants to see it
        return self.__dict__[name]

    def enter(self, c: Capture, outputs: list[Output]) -> None:
        """The plan, and what each call needs besides: which arguments it is given, which arrays are
        made for it, and what becomes of these.
        """
        self.plan = self.ready.plan
        place_of_input = {m.given: m.argument for m in c.memories.values()}
        given = [n for kind, n in self.ready.arguments if kind == kept.INPUT]
        self.positions: list[Any] = [place_of_input[self.ready.inputs[n]] for n in given]
        made = [n for kind, n in self.ready.arguments if kind == kept.OUTPUT]
        self.made = [(outputs[n].value.shape, outputs[n].value.dtype) for n in made]
        self.turns = {k: outputs[n].back() for k, n in enumerate(made) if outputs[n].axes}
        place = self.place_of = {n: k for k, n in enumerate(made)}
        self.recipe = [(how, place[x] if how == FRESH else x) for how, x in self.recipe]
        number = {id(o): n for n, o in enumerate(outputs)}
        self.given_grads = [
            (n, place[number[id(o)]] if isinstance(o, Output) else None)
            for n, o in self.given_grads
        ]
        self.single = (
            self.recipe == [(FRESH, 0)]
            and len(made) == 1
            and self.out_leaves[0] is self.result_tree
        )

    def hold(self, c: Capture) -> None:
        """Which gradients have to be what they were, and which memory must not be given twice."""
        uses = self.ready.used
        written = {id(m.given) for m in c.updates}
        by_grad = {id(t): m for m in c.memories.values() for t in m.tensors}
        self.held: list[tuple[Any, Any]] = []
        self.given_held: list[tuple[int, Any, Any]] = []
        for t, grad in c.held:
            if id(t) in c.cleared:
                m = by_grad.get(id(grad))
                if m is None or (m.given not in uses and id(m.given) not in written):
                    continue
            position = c.arguments.get(id(t))
            if position is None:
                self.held.append((t, grad))
            else:
                self.given_held.append((position, grad, None if grad is None else t))
        self.held_tensors = [t for t, _ in self.held]
        self.held_grads = [g for _, g in self.held]
        grads = [
            g for g in [*self.held_grads, *(g for _, g, _ in self.given_held)] if g is not None
        ]
        self.state += grads
        self.arrays += [g._data for g in grads]
        self.nodes += [g._node for g in grads]
        self.owners = {id(owner_of(m.owner)) for m in c.memories.values() if m.argument is None}

    def apart(self, given: Sequence) -> bool:
        """Whether no argument lies in memory of another, or of what was captured."""
        if not self.writes():
            return True
        found = set()
        for n in self.tensors:
            data = given[n]._data
            owner = id(data if data.base is None else owner_of(data))
            if owner in found or owner in self.owners:
                return False
            found.add(owner)
        return True

    def guard_of(self, c: Capture) -> None:
        """A program of its own for the values that Python has looked at."""
        self.guard: Any = None
        self.guarded = c.guards
        if not self.guarded:
            return
        wanted = [x for _, x in self.guarded]
        c.program.outputs = [v for v, _ in self.guarded]
        program = simplify(c.program)
        used = program.used() | set(program.outputs)
        program.inputs = [v for v in program.inputs if v in used]
        memories = {m.given: m for m in c.memories.values()}
        generators = list(c.streams) if any(map(has_effect, program.instructions)) else []
        settings = dict(zip([s.value for s in self.settings], self.settings, strict=True))
        floats = {x.now(): n for n, x in c.numbers.items()}

        def guard(given: Sequence) -> bool:
            arrays = []
            for v in program.inputs:
                if v in settings:
                    arrays.append(np.float64(settings[v].now()))
                elif v in floats:
                    arrays.append(np.float64(given[floats[v]]))
                elif memories[v].argument is None:
                    arrays.append(memories[v].owner)
                else:
                    place = memories[v].argument
                    assert place is not None
                    arrays.append(given[place]._data)
            streams = [(g, g.state_bytes()) for g in generators]
            same = program.gives(arrays, wanted)
            for g, was in streams:
                g.set_state_bytes(was)
            return same

        self.guard = guard

    # -- a call -----------------------------------------------------------------------------------

    def run(self, args: tuple, kwargs: dict) -> Any:
        """One call."""
        given = args if self.plain else leaves((args, kwargs))
        fresh = self.execute(given)
        if self.single:
            return define.wrap(fresh[0])
        return rebuild(self.result_tree, self.results(given, fresh))

    def results(self, given: Sequence, fresh: list) -> Any:
        """The leaves of the result."""
        return iter(
            [
                define.wrap(fresh[x]) if how == FRESH else given[x] if how == GIVEN else x
                for how, x in self.recipe
            ]
        )


def planner(program: Any, *given: Any) -> Any:
    """The planner of a program, which has made the plan."""
    return (Planner if machine.available() else Interpreted)(program, *given)


class Float:
    """An argument that is a float, and an input of the program."""


NUMBER = Float()


class Constant:
    """An argument that is no tensor: it has to be equal."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Array:
    """A NumPy array among the arguments: a constant, its numbers have to be the same."""

    def __init__(self, array: np.ndarray) -> None:
        self.held = frozen(array)


def signature(a: Any) -> Any:
    """What a guard remembers of an argument."""
    if isinstance(a, np.ndarray):
        return Array(a)
    if not isinstance(a, Tensor):
        return Constant(a)
    data = define.storage_array(a)
    return data.shape, data.dtype, data.strides, a._node is None


def native(a: Any, kind: Any) -> tuple[type | None, Any]:
    """The same for a guard in native code (see `guards.Guards`)."""
    if isinstance(a, Tensor):
        return type(a), (define.storage_array(a), a._node is None)
    return (float, None) if kind is NUMBER else (None, a)


def fits(a: Any, kind: Any) -> bool:
    """Whether an argument is as the guard remembers."""
    if type(kind) is tuple:
        if not isinstance(a, Tensor):
            return False
        data = a._data
        if type(data) is not np.ndarray:
            data = define.storage_array(a)
        return (data.shape, data.dtype, data.strides, a._node is None) == kind
    if kind is NUMBER:
        return type(a) is float
    if type(kind) is Array:
        return isinstance(a, np.ndarray) and frozen(a) == kind.held
    value = kind.value
    if type(a) is not type(value):
        return False
    return a is value or bool(a == value) or (a != a and value != value)


class Compiled(Wrapper):
    """A compiled function (see `compile`)."""

    def __init__(
        self,
        function: Callable,
        fullgraph: bool = False,
        check: bool = False,
        dynamic: bool | None = None,
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function, self.fullgraph, self.check = function, fullgraph, check
        self.dynamic = dynamic
        self.entries: list[Entry] = []
        self.captures = self.hits = 0
        self.constants: set[int] = set()  # floats whose value the function wants to know
        self.eager: str | None = None  # why it is not compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs and not self.check:
            for entry in self.entries:
                if entry.holds is not None and entry.holds(*args):
                    self.hits += 1
                    return entry.run(args, kwargs)
        for entry in self.entries:
            if entry.matches(args, kwargs):
                self.hits += 1
                if self.check:
                    return self.checked(entry, args, kwargs)
                return entry.run(args, kwargs)
        if self.eager is not None or state.capture is not None:
            return self.function(*args, **kwargs)
        return self.capture(args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["function"], name)

    def capture(self, args: tuple, kwargs: dict) -> Any:
        """Run the function and keep its program. Meanwhile no cycles are collected: nothing of a
        program dies while it is made, and looking for it takes a third of the time.
        """
        with capturing:  # tensors are looked at by one capture at a time
            for entry in self.entries:  # perhaps made while this thread was waiting
                if entry.matches(args, kwargs):
                    return entry.run(args, kwargs)
            collecting = gc.isenabled()
            gc.disable()
            try:
                return self.captured(args, kwargs)
            finally:
                if collecting:
                    gc.enable()

    def captured(self, args: tuple, kwargs: dict) -> Any:
        """Run the function and keep its program."""
        if self.dynamic and len(self.entries) == SIZES:
            del self.entries[0]
        if self.captures >= ENTRIES and not self.dynamic:
            self.give_up(
                f"it was captured {ENTRIES} times, and no program fitted the next call: shapes,"
                " dtypes, Python numbers or objects that it depends on change from call to call"
                " (for sizes that vary there is dynamic=True)"
            )
            return self.function(*args, **kwargs)
        self.captures += 1
        try:
            c, result = self.run(args, kwargs)
        except Transformed:
            self.captures -= 1
            return self.function(*args, **kwargs)
        except CaptureError as why:
            if self.fullgraph or not why.silent:
                raise
            self.eager = str(why)
            return self.function(*args, **kwargs)
        except NoRule as why:
            if self.fullgraph:
                raise
            self.give_up(f"it does something that a program cannot say: {why}")
            return self.function(*args, **kwargs)
        if c.outside:
            c.compute(c.results(result))
            return self.keep_both(c, result, args, kwargs)
        if not c.replayable or not c.silent:
            c.enter()
            if c.replayable:
                self.keep(c, result, args, kwargs)
            return c.returned(result)
        c.compute(c.results(result))
        if self.keep(c, result, args, kwargs):
            return self.first(c, result, args, kwargs)
        c.enter()
        return c.returned(result)

    def first(self, c: Capture, result: Any, args: tuple, kwargs: dict) -> Any:
        """What the capture has only written down, done by its program."""
        entry = self.entries[-1]
        grads = [(t, t._grad) for t in c.given if isinstance(t, Tensor)]
        made = entry.run(args, kwargs)
        pairs = list(zip(entry.out_leaves, leaves(made), strict=True))
        c.same_as(pairs + [(g, t._grad) for t, g in grads if g is not t._grad])
        return made

    def numbers(self, given: list) -> set[int]:
        """The floats among the arguments that are to be inputs: those that have changed; all with
        dynamic=True, none with dynamic=False.
        """
        floats = {n for n, a in enumerate(given) if type(a) is float} - self.constants
        if self.dynamic is not None:
            return floats if self.dynamic else set()
        return {
            n
            for entry in self.entries
            if len(entry.kinds) == len(given)
            for n in floats
            if not fits(given[n], entry.kinds[n]) or entry.kinds[n] is NUMBER
        }

    def run(self, args: tuple, kwargs: dict) -> tuple[Capture, Any]:
        """A capture that has run, and the result. Where the function wants to know its floats, and
        raises whatever it does, there is another one with them as they are; where it takes views by
        indices it computes, one with these as guards.
        """
        given = self.numbers(leaves((args, kwargs)))
        c = Capture(self.function, args, kwargs, given)
        try:
            return c, c.run()
        except Picked:
            again = Capture(self.function, args, kwargs, given, True)
        except Exception:
            if not c.numbers:
                raise
            self.constants |= set(c.numbers)
            again = Capture(self.function, args, kwargs)
        return again, again.run()

    def keep_both(self, c: Capture, result: Any, args: tuple, kwargs: dict) -> Any:
        """Make an entry of a capture whose result is differentiated outside, and run it."""
        from .twofold import Twofold

        if not c.replayable:
            self.eager = "it changes Python objects, and its result is differentiated outside"
        elif self.keep(c, result, args, kwargs, Twofold):
            return self.entries[-1].run(args, kwargs)
        return self.function(*args, **kwargs)

    def keep(self, c: Capture, result: Any, args: tuple, kwargs: dict, kind: Any = Entry) -> bool:
        """Make an entry of a capture; False if it cannot be made."""
        if not machine.available() and "llvmlite" not in told:
            told.append("llvmlite")
            warnings.warn(
                "compile: llvmlite is not installed, so compiled functions run through NumPy,"
                " without machine code; `pip install chainrule[jit]` gets the speed",
                stacklevel=5,
            )
        try:
            entry = kind(c, result, args, kwargs)
            if kind is Entry and not self.check and not self.fullgraph:
                Trial(self.function, entry, c.program)
            self.entries.append(entry)
        except Exception as fault:
            if self.fullgraph:
                raise
            if isinstance(fault, CaptureError) and fault.silent:
                self.eager = str(fault)
                return False
            self.give_up(f"no program could be made of it ({type(fault).__name__}: {fault})")
            return False
        return True

    def give_up(self, why: str) -> None:
        """Run the function as it is from now on."""
        self.eager = why
        name = getattr(self.function, "__name__", type(self.function).__name__)
        warnings.warn(
            f"compile: {name} is run as it is from now on: {why}. reset() begins anew.",
            stacklevel=4,
        )

    def checked(self, entry: Entry, args: tuple, kwargs: dict) -> Any:
        """Run an entry and compare with the function; RuntimeError if they differ."""
        c = Capture(self.function, args, kwargs)
        expected = c.run(keep=False)
        memory = [
            (m, np.array(c.trace.known_of(m.cell.current)))
            for m in c.memories.values()
            if m.written
        ]
        numbers = [np.array(t._data.numbers()) if is_traced(t) else None for t in leaves(expected)]
        result = entry.run(args, kwargs)
        both = zip(numbers, leaves(result), strict=True)
        pairs = [(x, u._data) for x, u in both if x is not None]
        for x, y in pairs + [(x, m.owner) for m, x in memory]:
            low = x.dtype.itemsize <= 4 or x.dtype.kind == "c"
            if not np.allclose(x, y, 1e-4 if low else 1e-10, 1e-5 if low else 1e-11, True):
                raise RuntimeError(
                    "compile(check=True): the compiled step and the function differ in"
                    f" {np.sum(x != y)} elements of a value of shape {list(x.shape)}; please"
                    " report it, with explain()"
                )
        return result

    def reset(self) -> None:
        """Forget all programs."""
        self.entries.clear()
        self.captures, self.eager = 0, None

    def explain(self) -> str:
        """What became of the function, for people to read."""
        from .report import report

        return report(self)


def is_traced(t: Any) -> bool:
    """Whether a tensor's array was computed in a capture."""
    return isinstance(t, Tensor) and hasattr(t._data, "numbers")


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
    check: bool = False,
) -> Any:
    """A function that does what `model` does, as one native call.

    The first call runs the function and writes down what it does to tensors: forward, backward, the
    optimizer's update. Later calls run that program, made into machine code, as long as the
    arguments have the same shapes and dtypes and nothing else that the function depends on has
    changed; otherwise it is captured again, up to eight times. State (parameters, buffers, the
    optimizer's, `.grad`, the random generator's) is read and written where it is.

    Args:
        model: a function or module; without it, a decorator is returned.
        fullgraph: raise where the function cannot be compiled as a whole, instead of running it;
            and run the program even where the function itself might be quicker.
        dynamic: every shape gets a program of its own, which takes most of its kernels from those
            before. With True there may be any number of them (the latest 64 are kept), and Python
            floats are inputs from the first call on; with None they are from the second value on;
            with False every value gets a program.
        backend, mode, options: torch's; there is one backend, and nothing to choose.
        disable: return `model` as it is.
        check: run the function beside every compiled call and compare; for finding faults.

    Returns:
        A callable with `explain()`, which says what was made of it, and `reset()`.

    Raises:
        CaptureError: a number that the function computes is read by Python.
    """
    if model is None:
        return functools.partial(
            compile,
            fullgraph=fullgraph,
            dynamic=dynamic,
            backend=backend,
            mode=mode,
            options=options,
            disable=disable,
            check=check,
        )
    return model if disable else Compiled(model, fullgraph, check, dynamic)
