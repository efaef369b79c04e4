"""Capturing a function: it is run once, on tensors whose arrays write down what is done.

All tensors that the function can reach (its arguments, closures, globals, modules, optimizers) are
lifted for the run: their arrays become inputs of the program, by the memory they lie in; nothing is
written there, and little is computed. When the run has ended, the memory that was written becomes
outputs, and everything is put back; the caller then runs the program, or has `enter` compute what
the run has done. A run that fails leaves all as it was.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import sys
import types
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import attrgetter, getitem, is_
from typing import Any

import numpy as np

from ..arrays.duck import Duck, NoRule, empty_like_itself, inward, vacant
from ..arrays.trace import Cell, Trace, TraceArray
from ..autograd.reverse import grad
from ..captures import (
    attributes_in,
    foreign,
    inside,
    is_own,
    methods_of,
    names_in,
    own_attributes,
    slots_of,
)
from ..func.trees import leaves, mapped, rebuild
from ..ops import define
from ..ops.draws import Draw
from ..rng import Generator, default_generator
from ..storage import HERE, describe_line, owner_of, user_line
from ..tape import AccumulateGrad, state, storage_of
from ..tensor import Tensor
from .numbers import Number, number_of
from .program import Program, Value

REACH = 200_000  # objects that are looked at on the way to tensors
HOLDERS = 4  # of an array that only the trace knows: two lists, a name, and the question itself


class CaptureError(RuntimeError):
    """A function does something that a program cannot say; the message says what, where, and how to
    write it.
    """

    silent = False  # whether the function is then run as it is, without a word


class Differentiable(CaptureError):
    """The result of a function belongs to a graph that somebody else goes through."""

    silent = True


class Picked(BaseException):
    """An element was picked by a traced index, as if it were a copy; but it is a view, and that
    matters: one of the two is written. The function has to be captured anew, with the index as a
    guard.
    """


class Transformed(CaptureError):
    """A function is called inside of a transformation, which goes through it as it is."""


class Memory:
    """A piece of memory that was there before: the tensors in it, its cell in the trace, and a
    blank that lies as it does.
    """

    def __init__(self, owner: np.ndarray, cell: Cell, blank: np.ndarray) -> None:
        self.owner, self.cell, self.blank = owner, cell, blank
        self.argument: int | None = None  # which of the arguments' leaves lies here
        self.given = cell.current
        self.tensors: list[Any] = []

    @property
    def written(self) -> bool:
        """Whether the function wrote it."""
        return self.cell.version > 0


def blank_for(owner: np.ndarray) -> np.ndarray:
    """An array that lies in memory as another one does; read-only where elements repeat."""
    repeated = [s == 0 and n > 1 for s, n in zip(owner.strides, owner.shape, strict=True)]
    if not any(repeated) or not owner.size:
        return vacant(owner, owner.dtype)
    once = owner[tuple([slice(1) if r else slice(None) for r in repeated])]
    return np.broadcast_to(vacant(once, owner.dtype), owner.shape)


class Setting:
    """A number of an optimizer's settings, read anew at each call."""

    def __init__(self, group: dict, key: Any, value: Value) -> None:
        self.group, self.key, self.value = group, key, value

    def now(self) -> float:
        """The number."""
        return setting_now(self.group, self.key)


def setting_now(group: dict, key: Any) -> float:
    """A number of a group: that of a key, or of a place in what the key has."""
    return float(group[key[0]][key[1]] if isinstance(key, tuple) else group[key])


class Capture:
    """One run of `function(*args, **kwargs)` and what came of it."""

    def __init__(
        self,
        function: Callable,
        args: tuple,
        kwargs: dict,
        numbers: Collection[int] = (),
        exact: bool = False,
    ) -> None:
        self.exact = exact  # whether an index that picks one element is a guard
        self.picks: list[tuple[weakref.ref, Any]] = []
        self.trace = Trace(Program(), self.read, self.lay)
        self.program = self.trace.program
        self.memories: dict[int, Memory] = {}
        self.seen: dict[int, TraceArray] = {}
        self.guards = self.trace.guards
        self.settings: dict[Any, tuple[Setting, TraceArray]] = {}
        given = leaves((args, kwargs))
        self.arguments = {
            id(t): n for n, t in reversed(list(enumerate(given))) if isinstance(t, Tensor)
        }
        self.given = given
        self.numbers = {n: self.trace.input(np.float64(given[n])) for n in sorted(numbers)}
        self.made: list[weakref.ref] = []
        self.function, self.args, self.kwargs = function, args, kwargs
        self.outside: list[Any] = []  # results whose graph is differentiated by the caller
        self.cleared: set[int] = set()  # tensors whose first gradient the function drops

    # -- the run ----------------------------------------------------------------------------------

    def run(self, keep: bool = True) -> Any:
        """Run the function; returns what it returned, whose tensors have memory, but no numbers
        yet. With keep=False they are traced, and all is as it was before.
        """
        self.streams: dict[Any, Callable] = {}  # of each generator that is drawn from, its way back
        self.draws_from(default_generator)
        optimizers = self.reach()
        try:
            self.lift_all(self.tensors)
            self.seen = {id(t): t._data for t in self.tensors}
            with self.recording():
                args, kwargs = self.with_numbers()
                result = self.function(*args, **kwargs)
                self.look_at(result)
                self.look_for_strangers()
                if self.outside and keep:
                    self.differentiate(any(made for _, made in optimizers))
        except BaseException:
            self.undo(optimizers)
            self.settle()
            self.come_back()
            raise
        if keep:
            self.finish()
        if not keep or self.outside:
            self.undo(optimizers)
            self.come_back()
        return result

    def with_numbers(self) -> tuple[tuple, dict]:
        """The arguments, with what stands for the floats that are inputs."""
        if not self.numbers:
            return self.args, self.kwargs
        given = [
            number_of(self.numbers[n]) if n in self.numbers else x for n, x in enumerate(self.given)
        ]
        return rebuild((self.args, self.kwargs), iter(given))

    def reach(self) -> list:
        """Find all tensors, and what they were; returns the optimizers with the state that was made
        for them.
        """
        roots = (self.function, self.args, self.kwargs)
        _, optimizers, _ = reachable(roots)
        self.optimizers = [
            (o, [(p, own, dict(own)) for p, own in o.state.items()]) for o in optimizers
        ]
        prepared = [(o, o.prepare()) for o in optimizers]
        reached, _, self.edges = reachable(roots)
        tensors = [t for t in self.given if isinstance(t, Tensor)] + reached
        unique = list({id(t): t for t in tensors}.values())
        grads = [t._grad for t in unique if t._grad is not None]
        self.grad_ids = {id(g) for g in grads}
        self.tensors = list({id(t): t for t in [*unique, *grads]}.values())
        for t in self.tensors:
            define.storage_array(t)  # a number becomes memory for good: the program writes there
        self.before = [(t, Slots(t)) for t in self.tensors]
        self.first = {id(t): t._grad for t in self.tensors}
        return prepared

    def look_at(self, result: Any) -> None:
        """Raise for what a program cannot give back."""
        for t in self.tensors:
            seen = self.seen[id(t)]
            same = t._data is seen or (
                isinstance(t._data, TraceArray)
                and t._data.cell is seen.cell
                and t._data.steps == seen.steps
            )
            if not same:
                raise NoRule("a tensor that was there before is made to look at memory differently")
        if any(isinstance(x, Number) for x in leaves(result)):
            raise NoRule("a number that is given back")
        found = [t for t in leaves(result) if isinstance(t, Tensor) and id(t) not in self.first]
        if any(type(t._node) is AccumulateGrad for t in found):
            raise Differentiable("it returns a new tensor that requires grad and has no history")
        self.outside = [t for t in found if t.requires_grad and not consumed(t._history())]

    def look_for_strangers(self) -> None:
        """Raise if a constant of the program is the memory of a tensor that was there before, but
        was not found: later calls would go on with what it is now. Of floats alone: indices that
        rules have made are alive as long as the graph, and looking takes long.
        """
        own = {id(t) for t in self.living()}
        known = {id(t._data) for t in self.living()}
        arrays = (np.ndarray, np.generic)
        held = [a for a in self.trace.sources if isinstance(a, arrays) and a.dtype.kind in "fc"]
        held = [a for a in held if sys.getrefcount(a) > HOLDERS and id(a) not in known]
        for t in gc.get_referrers(*held) if held else ():
            if isinstance(t, Tensor) and id(t) not in own:
                raise stranger(t, "used")

    def living(self) -> Iterator[Any]:
        """The tensors that were made in the run and are still there."""
        return (t for t in [ref() for ref in self.made] if t is not None)

    def about_to_write(self, x: Any) -> None:
        """Raise if a tensor is written that was there before, but was not found."""
        plain = state.capture is self and isinstance(x._data, np.ndarray)
        if plain and all(x is not t for t in self.living()):
            raise stranger(x, "written")

    def differentiate(self, prepared: bool) -> None:
        """Write down, for results that belong to a graph, its backward pass too: gradients of all
        tensors that require grad, from cotangents that are given.
        """
        if prepared:
            raise Differentiable(
                "it updates an optimizer, and its result is differentiated outside"
            )
        if not all(isinstance(t._data, TraceArray) for t in self.outside):
            raise Differentiable("it returns a new tensor that requires grad")
        self.sources = [
            t for t in self.tensors if t._node is not None and id(t) not in self.grad_ids
        ]
        self.backward = True
        ones = [np.ones(t._data.shape, t._data.dtype) for t in self.outside]
        self.cotangents = [self.trace.input(x) for x in ones]  # row by row, as those of sums lie
        given = [define.wrap(g) for g in self.cotangents]
        found = grad(self.outside, self.sources, given, allow_unused=True)
        self.gradients = [
            None if g is None else g._data.now()
            if isinstance(g._data, TraceArray) else self.trace.constant(np.asarray(g._data))
            for g in found
        ]  # fmt: skip
        self.orders = [None if g is None else inward(g._data) for g in found]

    def undo(self, prepared: list) -> None:
        """Put everything back."""
        for t, slots in self.before:
            slots.restore(t)
        for o, was in prepared:
            o.unprepare(was)
        for o, was in self.optimizers:
            o.state.clear()
            for p, own, then in was:
                o.state[p] = own
                own.clear()
                own.update(then)

    def settle(self) -> None:
        """Give numbers to what the function has kept for later before it failed."""
        reached, *_ = reachable((self.function, self.args, self.kwargs))
        for t in reached:
            if isinstance(t._data, TraceArray):
                t._data = np.array(t._data.numbers())
                t._node = None

    def finish(self) -> None:
        """Put arrays back; what the run made gets memory, with nothing in it yet."""
        self.updates = [m for m in self.memories.values() if m.written]
        reached, *_ = reachable((self.function, self.args, self.kwargs))
        known = {id(t) for t, _ in self.before}
        self.replayable = (
            not self.shared_arguments
            and all((t._node is None) is (slots.node is None) for t, slots in self.before)
            and all(id(t) in known for t in reached)
            and self.edges.hold()
        )
        self.held = [
            (t, slots.grad)
            for t, slots in self.before
            if id(t) not in self.cleared or slots.grad is not None
            if slots.grad is not None or t._grad is not None or t.requires_grad
        ]
        self.grads = [(t, t._grad) for t, slots in self.before if t._grad is not slots.grad]
        for t, slots in self.before:
            t._data = slots.data
        self.traced: dict[int, Any] = {}
        for ref in self.made:
            t = ref()
            if t is not None and isinstance(t._data, TraceArray):
                traced = self.traced[id(t)] = t._data
                if not hasattr(traced, "array"):  # other tensors may be the same array
                    traced.array = empty_like_itself(traced.value)
                t._data = traced.array

    def compute(self, but: set[int]) -> None:
        """Compute what tensors hold that were made in the run and live, by NumPy; `but` those with
        these ids, which the caller computes in another way.
        """
        for key, traced in self.traced.items():
            if key not in but:
                traced.array[...] = traced.numbers()

    def enter(self) -> None:
        """Enter all that the run has done, as NumPy computes it."""
        arrays = [np.array(self.trace.known_of(m.cell.current)) for m in self.updates]
        self.compute(set())
        for m, array in zip(self.updates, arrays, strict=True):
            m.owner[...] = array
            for t in m.tensors:
                storage_of(t).bump()

    def results(self, result: Any) -> set[int]:
        """The ids of the tensors that a program makes: results and gradients."""
        return {id(t) for t in leaves(result)} | {id(g) for _, g in self.grads}

    def same_as(self, made: list[tuple[Any, Any]]) -> None:
        """Give tensors made in the run what the program has made in their place: somebody else may
        have them too.
        """
        for t, other in made:
            if id(t) in self.traced and t is not other:
                t._data[...] = other._data

    @property
    def silent(self) -> bool:
        """Whether nothing of it was computed by Python, so that its program may be run instead."""
        return all(i.name != "python" for i in self.program.instructions)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """While the function runs: new tensors are noted, draws and settings ask here."""
        outer, state.capture = state.capture, self
        define.capture_begins()
        define.WATCHERS.append(self.about_to_write)
        try:
            with np.errstate(all="ignore"):  # of blanks: what is computed in them means nothing
                yield
        finally:
            define.WATCHERS.remove(self.about_to_write)
            define.capture_ends()
            state.capture = outer

    def note(self, t: Any) -> None:
        """A tensor was made."""
        self.made.append(weakref.ref(t))

    def lift_all(self, tensors: list) -> None:
        """Make the arrays of tensors inputs of the program, those that share memory together."""
        groups: dict[int, list] = {}
        for t in tensors:
            data = define.storage_array(t)
            if isinstance(data, Duck):
                raise Transformed("a tensor belongs to a transformation")
            groups.setdefault(id(owner_of(data)), []).append(t)
        for key, group in groups.items():
            first = group[0]._data
            if all(same_memory(t._data, first) for t in group):
                owner = first
            else:
                owner = owner_of(first)
                if not owner.flags.c_contiguous:
                    raise CaptureError(
                        "compile: tensors look at one memory that is not row-major in different"
                        " ways; give the step copies"
                    )
            cell = Cell(self.trace, self.program.input(owner))
            self.trace.known[cell.current] = owner
            memory = self.memories[key] = Memory(owner, cell, blank_for(owner))
            memory.tensors = group
            numbers = [self.arguments[id(t)] for t in group if id(t) in self.arguments]
            if numbers and len(group) == 1:
                memory.argument = numbers[0]
            elif numbers:
                self.shared_arguments = True
            for t in group:
                t._data = self.seen[id(t)] = look(memory, t._data)

    backward = False  # whether the backward pass for the caller is being written down
    gradients: Sequence = ()  # what that makes
    shared_arguments = False  # whether an argument lies in memory that others look at

    def value_of(self, leaf: Any) -> Value | None:
        """The program's value of a tensor made in the run, at its end; None for anything else."""
        traced = self.traced.get(id(leaf))
        if traced is not None:
            return traced.now()
        if isinstance(leaf, Tensor) and id(leaf) not in self.first:
            return self.trace.constant(define.storage_array(leaf))
        return None

    def clears(self, tensors: list) -> None:
        """The function drops gradients; those that were there before then do not matter, if they
        have not been used.
        """
        for t in tensors:
            if id(t) in self.first and t._grad is self.first[id(t)]:
                self.cleared.add(id(t))

    def returned(self, result: Any) -> Any:
        """The result of the run, its tensors without history. Gradients are copied: later calls
        write where these are.
        """
        kept = {id(g) for _, g in self.grads}

        def settled(leaf: Any) -> Any:
            if id(leaf) not in self.traced:
                return leaf
            return define.wrap(leaf._data.copy("K") if id(leaf) in kept else leaf._data)

        return mapped(settled, result)

    # -- what the run asks ------------------------------------------------------------------------

    def read(self, x: TraceArray) -> Any:
        """A number is asked for: by a kernel, which then runs in Python as a whole, or by the user:
        a guard where it is discrete.
        """
        frame = sys._getframe(2)
        if frame.f_globals.get("__name__") != "chainrule.tensor":
            raise NoRule("the numbers of a traced array")
        if x.value.size == 1 and x.dtype.kind in "biu":
            found = np.array(x.numbers())
            self.guards.append((x.now(), found))
            return found
        if frame.f_back is not None and frame.f_back.f_code.co_filename.startswith(HERE):
            raise NoRule("the numbers of a traced array")
        line = describe_line(*user_line(2))
        raise CaptureError(
            f"compile: a number that the step computes is read by Python at {line}. What Python"
            " does with it would not be part of the compiled step. Keep it a tensor (torch.where"
            " instead of `if`, tensor arithmetic instead of .item()), or return it from the step"
            " and read it outside."
        )

    def index(self, a: Any) -> Any:
        """An integer tensor that picks one element: as it is, or its number, as a guard."""
        if not self.exact or not isinstance(a, TraceArray):
            return a
        found = np.array(a.numbers())
        self.guards.append((a.now(), found))
        return found

    def picked(self, x: Any, found: Any, index: Any) -> None:
        """`found` was read out of `x` by an index; with one of a single element it is a view of `x`
        outside of a capture.
        """
        parts = index if type(index) is tuple else (index,)
        views = all(type(p) is slice or not p.ndim for p in parts)
        if views and isinstance(found._data, TraceArray):
            source = x._data.cell if isinstance(x._data, TraceArray) else owner_of(x._data)
            self.picks.append((weakref.ref(found), source))
            self.trace.watch = self.watch

    def watch(self, written: Any) -> None:
        """Memory (a cell, or an array of constants) is written: not that of a view which was made
        as a copy, nor what it looks at.
        """
        for ref, source in self.picks:
            found = ref()
            if found is not None and (written is source or written is cell_of(found)):
                raise Picked

    def strided(self, x: Any) -> None:
        """Memory of `x` is looked at beyond it: not that of a view which was made as a copy."""
        alive = [found for found in [ref() for ref, _ in self.picks] if found is not None]
        if any(cell_of(found) is x.cell for found in alive):
            raise Picked

    def lay(self, x: Any) -> None:
        """Let a tensor made of constants be traced, and all that shares its memory: tensors, and
        what nodes have saved.
        """
        owner = owner_of(x._data)
        if any(owner_of(a) is owner for a, _ in self.edges.arrays):
            raise NoRule("a write into the memory of a NumPy array")
        self.watch(owner)
        seen = owner
        if owner.dtype is not x._data.dtype and owner.flags.c_contiguous:
            seen = owner.view(x._data.dtype)
        memory = Memory(seen, Cell(self.trace, self.trace.constant(seen)), seen)

        def laid(a: Any) -> Any:
            if type(a) is tuple or type(a) is list:
                return type(a)(map(laid, a))
            shares = isinstance(a, np.ndarray) and owner_of(a) is owner
            return look(memory, a) if shares else a

        tensors = [t for t in [ref() for ref in self.made] if t is not None]
        for t in tensors:
            t._data = laid(t._data)
        nodes, met = [t._node for t in tensors], {None}
        while nodes:
            node = nodes.pop()
            if node not in met:
                met.add(node)
                node.args = laid(node.args)
                nodes += node.edges

    def freeze(self, array: np.ndarray) -> None:
        """A NumPy array becomes a constant tensor: its numbers have to stay."""
        self.edges.arrays.append((array, frozen(array)))

    def setting(self, group: dict, key: Any) -> TraceArray:
        """A number of an optimizer's group as an input of the program (float64)."""
        name = (id(group), key)
        if name not in self.settings:
            array = self.trace.input(np.float64(setting_now(group, key)))
            self.settings[name] = Setting(group, key, array.now()), array
        return self.settings[name][1]

    def bounded(
        self,
        index: Any,
        size: int,
        lowest: int | None,
        kind: type[Exception],
        text: str,
        ignore: int | None = None,
    ) -> None:
        """An index that has to be in [lowest, size) whenever the program runs (lowest: -size), but
        where it is `ignore`: else kind(text) is raised, with the first that is not in place of {}.
        """
        while isinstance(index, Duck) and not isinstance(index, TraceArray):
            index = index.parts()[0]
        if isinstance(index, TraceArray) and index.size and index.dtype.kind in "iu":
            low = -size if lowest is None else lowest
            given = (index.now(), low, size, ignore, kind.__name__, text)
            self.program.add("check", given, {}, [])

    def counted(self, mask: Any) -> None:
        """As many elements of a mask have to be set as now: a shape depends on it."""
        while isinstance(mask, Duck) and not isinstance(mask, TraceArray):
            mask = mask.parts()[0]
        if isinstance(mask, TraceArray):
            count = np.add.reduce(mask, axis=None, dtype=np.int64)
            self.guards.append((count.now(), np.array(count.numbers())))

    def verified(self, f: Callable, made: Any, arrays: tuple) -> None:
        """`made` came of f(*arrays), which raises an error for some arrays, and then it has nan:
        whenever it has, f is asked again.
        """
        while isinstance(made, Duck) and not isinstance(made, TraceArray):
            made, arrays = made.parts()[0], tuple([a.parts()[0] for a in arrays])
        if isinstance(made, TraceArray) and made.size:
            given = (f, made.now(), *[self.trace.operand(a) for a in arrays])
            self.program.add("verify", given, {}, [])

    def unless(self, f: Callable, bad: Any, fast: Any, arrays: tuple) -> Any:
        """What f(*arrays) is: `fast`, unless something is `bad`; then Python is asked."""
        like = np.empty(fast.shape, fast.dtype)
        return self.trace.noted("unless", (f, bad, fast, *arrays), {}, like)

    def draw(self, f: Callable, *given: Any, what: Any = None) -> Any:
        """Random numbers, drawn anew whenever the program runs: f(*given), which is `what`, (a
        draw, a shape), where that is known.
        """
        given = tuple([np.asarray(a) if isinstance(a, np.generic) else a for a in given])
        return self.trace.python(Drawing(f, what, self.backward), given)

    def draws_from(self, g: Any) -> None:
        """A generator is going to be drawn from, or set."""
        if g not in self.streams:
            self.streams[g] = g.way_back()

    def come_back(self) -> None:
        """Put the generators where they were."""
        for back in self.streams.values():
            back()

    def stream(self, g: Any, f: Callable, *given: Any) -> Any:
        """A call that asks for a generator's state, or sets it."""
        self.draws_from(g)
        return self.draw(f, *given)

    def place(self) -> int:
        """Where in the program the function is now."""
        return len(self.program.instructions)

    def note_stream(self, moment: Any, place: int) -> None:
        """Have the program look at a generator's state at a place, where it was that of a moment
        that has passed.
        """
        moment.traced = self.stream(moment.generator, moment.generator.state_bytes)
        self.trace.known[moment.traced.cell.current] = moment.state
        self.program.instructions.insert(place, self.program.instructions.pop())

    @contextlib.contextmanager
    def stream_at(self, moment: Any) -> Iterator[None]:
        """The random numbers of a moment within the block, and as if nothing had been drawn after
        it.
        """
        g = moment.generator
        now = self.stream(g, g.state_bytes)
        self.stream(g, g.set_state_bytes, moment.state if moment.traced is None else moment.traced)
        try:
            yield
        finally:
            self.stream(g, g.set_state_bytes, now)


def stranger(t: Any, how: str) -> NoRule:
    """The error for a tensor that nothing leads to."""
    return NoRule(
        f"a tensor of shape {list(t.shape)} is {how} that nothing compile knows of leads to (a"
        " generator, perhaps, or a weak reference); hand it over as an argument"
    )


class Drawing:
    """A draw, a call that may not be left out, repeated or moved past another; `what` it is, (a
    draw, a shape), where that is known; and whether it belongs to a backward pass made for the
    caller. Where f has no result, that is an array too.
    """

    effect = True

    def __init__(self, f: Callable, what: Any, backward: bool) -> None:
        self.f, self.what, self.backward = f, what, backward
        draw = what[0] if what is not None else None
        made = getattr(draw, "function", draw)
        self.__name__ = getattr(made, "__name__", "draw")

    def __call__(self, *given: Any) -> Any:
        result = self.f(*given)
        return np.zeros(1, bool) if result is None else result

    @property
    def said(self) -> bool:
        """Whether its text says all that it is: it draws from the default generator."""
        draw = self.what[0] if self.what is not None else None
        return isinstance(draw, Draw) and draw.generator is default_generator

    def __repr__(self) -> str:
        if not self.said:
            return object.__repr__(self)
        draw, shape = self.what
        return f"<{self.__name__} {draw.name} {draw.parameters} {shape}>"


def cell_of(t: Any) -> Cell | None:
    """The memory that a tensor looks at, if it is traced."""
    return getattr(t._data, "cell", None)


def consumed(node: Any) -> bool:
    """Whether a backward pass has been through the graph of a node, and freed it."""
    seen = {node}
    waiting = [node]
    while waiting:
        n = waiting.pop()
        if n.args is None:
            return True
        for e in n.edges:
            if e is not None and e not in seen:
                seen.add(e)
                waiting.append(e)
    return False


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
    owner, blank, cell = memory.owner, memory.blank, memory.cell
    if same_memory(data, owner):
        return TraceArray(blank, cell)
    start = data.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
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
    value = np.ndarray(data.shape, data.dtype, blank.reshape(-1)[first:], 0, data.strides)
    return TraceArray(value, cell, steps)


class Edges:
    """What led to tensors, and the settings beside them: all has to stay as it was."""

    def __init__(self) -> None:
        self.tables: list[Any] = []
        self.lengths: list[tuple] = []
        self.cells: list[Any] = []
        self.contents: list[Any] = []
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.attributes: list[tuple[Any, str, Any]] = []  # of objects with slots, and of classes
        self.contained: list[tuple[Any, list]] = []  # sets and deques, and what is in them
        self.arrays: list[tuple[np.ndarray, Any]] = []  # NumPy arrays, and what they hold
        self.classes: set[Any] = set()  # whose attributes have been noted
        self.renewed = False  # whether equal values have taken the place of what was there

    def full(self) -> bool:
        """Whether the tables are as long as they were, and others have what they had."""
        return all(len(table) == n for table, n in self.lengths) and all(
            len(x) == len(held) and all(map(is_, x, held)) for x, held in self.contained
        )

    def unchanged(self) -> bool:
        """Whether NumPy arrays have the numbers that they had."""
        return all(frozen(a) == held for a, held in self.arrays)

    def note(self, table: Any, key: Any, value: Any) -> None:
        """table[key] is value."""
        self.tables.append(table)
        self.keys.append(key)
        self.values.append(value)

    def note_cell(self, cell: Any) -> None:
        """What a closure's cell holds, if its name has a value yet."""
        with contextlib.suppress(ValueError):
            self.contents.append(cell.cell_contents)
            self.cells.append(cell)

    def note_all(self, x: Any) -> None:
        """What an object, or a container, leads to. Of modules and optimizers only what calls of
        their methods change in passing.
        """
        if isinstance(x, (dict, list)):
            self.lengths.append((x, len(x)))
            pairs = enumerate(x) if isinstance(x, list) else x.items()
            for key, value in pairs:
                self.note(x, key, value)
            if hasattr(x, "__dict__"):
                self.note_dict(x.__dict__)
        elif isinstance(x, (set, collections.deque)):
            self.contained.append((x, list(x)))
        elif isinstance(x, functools.partial):
            self.note_dict(x.keywords)
        elif isinstance(x, types.FunctionType):
            self.attributes.append((x, "__defaults__", x.__defaults__))
            self.note_dict(x.__dict__)
            self.note_dict(x.__kwdefaults__ or {})
        elif isinstance(x, type):
            self.note_class(x)
        elif hasattr(x, "param_groups") and hasattr(x, "prepare"):
            self.note(x.__dict__, "state", x.state)
            self.note(x.__dict__, "param_groups", x.param_groups)
            for group in x.param_groups:
                for key in group:
                    if key != "lr":  # an input of the program
                        self.note(group, key, group[key])
        elif hasattr(x, "_parameters") and hasattr(x, "_modules"):
            for table in (x._parameters, x._buffers, x._modules):
                for key, value in table.items():
                    self.note(table, key, value)
            for key, value in x.__dict__.items():
                if key[0] != "_":
                    self.note(x.__dict__, key, value)
        elif hasattr(x, "__dict__"):
            self.note_dict(x.__dict__, True)
        for kind in type(x).__mro__:
            if foreign(kind.__module__):
                self.attributes += [(x, name, v) for name, v in slots_of(x, kind).items()]
                self.note_class(kind)

    def note_dict(self, table: dict, empty: bool = False) -> None:
        """What a dict has; of an empty one that it stays so, if that is wanted."""
        if table or empty:
            self.lengths.append((table, len(table)))
        for key, value in table.items():
            self.note(table, key, value)

    def note_class(self, kind: type) -> None:
        """The attributes of a user's class that are no functions."""
        if kind not in self.classes and foreign(kind.__module__):
            self.classes.add(kind)
            for name, value in own_attributes(kind).items():
                plain = not callable(value) and not hasattr(type(value), "__get__")
                if plain and getattr(kind, name, self) is value:
                    self.attributes.append((kind, name, value))

    def note_module(self, module: types.ModuleType, names: set[str]) -> list:
        """What a user's module has of these names; returns the objects, but modules."""
        found: list = []
        if module not in self.classes and foreign(module.__name__):
            for name in names & vars(module).keys():
                value = vars(module)[name]
                if isinstance(value, types.ModuleType):
                    found += self.note_module(value, names)
                else:
                    self.note(vars(module), name, value)
                    found.append(value)
        return found

    def hold(self) -> bool:
        """Whether nothing has changed."""
        try:
            if not self.unchanged():
                return False
            if (
                all(map(is_, map(getitem, self.tables, self.keys), self.values))
                and all(map(is_, map(CONTENTS, self.cells), self.contents))
                and all(getattr(x, name) is value for x, name, value in self.attributes)
                and self.full()
            ):
                return True
            return self.hold_equal()
        except (KeyError, IndexError, ValueError, AttributeError):
            return False

    def hold_equal(self) -> bool:
        """Whether what has changed is equal to what was there; it is then what has to stay."""
        if not self.full():
            return False
        now = list(map(getitem, self.tables, self.keys))
        held = list(map(CONTENTS, self.cells))
        own = [(x, name, getattr(x, name)) for x, name, _ in self.attributes]
        before = [*self.values, *self.contents, *(value for *_, value in self.attributes)]
        after = [*now, *held, *(value for *_, value in own)]
        for old, new in zip(before, after, strict=True):
            same = type(old) is type(new) and type(old) in NUMBERS and old == new
            if old is not new and not same:
                return False
        self.values, self.contents, self.attributes = now, held, own
        self.renewed = True
        return True


CONTENTS = attrgetter("cell_contents")
NUMBERS = (int, float, bool, str, complex, tuple)


class Wrapper:
    """What stands for `function`: nothing else in it leads to tensors that the function uses."""

    function: Any


LEADING_NOWHERE = (
    *(str, int, float, complex, type(None), types.ModuleType),
    *(np.ndarray, define.Op, Generator, type(state)),
)


SMALL = 4096  # bytes of NumPy arrays that are watched wherever they are; larger ones where used


def frozen(a: np.ndarray) -> tuple:
    """What a NumPy array is and holds."""
    return a.shape, a.dtype, a.strides, a.tobytes()


def reachable(roots: tuple) -> tuple[list, list, Edges]:
    """The tensors and optimizers that a function and its arguments lead to, and the way to them."""
    tensors: list = []
    optimizers: list = []
    edges = Edges()
    seen: dict[int, Any] = {}
    waiting = [*roots]
    while waiting and len(seen) < REACH:
        x = waiting.pop()
        if type(x) is np.ndarray and x.nbytes <= SMALL and id(x) not in seen:
            edges.arrays.append((x, frozen(x)))
            seen[id(x)] = x
        if id(x) in seen or isinstance(x, LEADING_NOWHERE):
            continue  # (a module of Python's is asked for nothing: it may look for what it lacks)
        seen[id(x)] = x
        if isinstance(x, Wrapper):
            waiting.append(x.function)
            continue
        if isinstance(x, Tensor):
            tensors.append(x)
            continue
        if hasattr(x, "prepare") and hasattr(x, "param_groups"):
            optimizers.append(x)
        if isinstance(x, types.FunctionType) and not is_own(x):
            for name in names_in(x.__code__):
                if not isinstance(x.__globals__.get(name, type), (types.ModuleType, type)):
                    edges.note(x.__globals__, name, x.__globals__[name])
            modules = [m for m in inside(x) if isinstance(m, types.ModuleType)]
            for module in modules:
                waiting += edges.note_module(module, attributes_in(x.__code__))
        for cell in getattr(x, "__closure__", None) or ():
            edges.note_cell(cell)
        edges.note_all(x)
        if hasattr(x, "param_groups") and hasattr(x, "prepare"):
            for p, own_state in x.state.items():
                waiting.append(p)
                tensors += [t for t in leaves(own_state) if isinstance(t, Tensor)]
            waiting += [p for g in x.param_groups for p in g["params"]]
            continue
        if hasattr(x, "_parameters") and hasattr(x, "_modules"):
            for table in (x._parameters, x._buffers, x._modules):
                waiting.extend(table.values())
            waiting += [v for k, v in x.__dict__.items() if k[0] != "_"]
            waiting += [f for k, f in hooks_of(x)]
            waiting.extend(methods_of(x))
            continue
        waiting.extend(inside(x))
        if isinstance(x, dict):
            waiting.extend(k for k in x if isinstance(k, Tensor))
    return tensors, optimizers, edges


def hooks_of(module: Any) -> list:
    """The hooks of a module."""
    tables = [t for k, t in module.__dict__.items() if k.endswith("_hooks") and t]
    return [pair for t in tables for pair in t.items()]


def same_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays look at memory in the same way."""
    return a is b or (
        a.shape == b.shape
        and a.strides == b.strides
        and a.dtype is b.dtype
        and a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    )
