"""A compiled function whose result somebody else differentiates: one program for the results, and
one for their backward pass, on the tape as a single node.

Both come from one capture: the function, then the gradients of its results by all tensors that
require grad. What the second part needs of the first is given on as further results.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..autograd.function import Function
from ..autograd.modes import enable_grad
from ..autograd.reverse import grad
from ..func.trees import leaves, mapped, rebuild
from ..ops import define
from ..storage import overwritten
from ..tape import state
from . import kept
from .api import FRESH, Entry, planner
from .capture import Capture, Differentiable
from .orders import arrange
from .passes import CHECKS, Builder, has_effect, simplify
from .plan import Output
from .program import Program, Value
from .views import contiguous


class Twofold(Entry):
    """An entry with a backward program."""

    def simplified(self, c: Capture, outputs: list[Output]) -> Any:
        """The program of the results; what the gradients need besides becomes outputs of it, and
        `backward` the program that makes them.
        """
        program = c.program
        if c.guards:
            raise Differentiable("it looks at numbers, and its result is differentiated outside")
        wanted = [g for g in c.gradients if g is not None]
        program.outputs = [o.value for o in outputs] + wanted
        program = simplify(program)
        for o, v in zip(outputs, program.outputs, strict=False):
            o.value = v
        gradients = program.outputs[len(outputs) :]
        cotangents = [g.now() for g in c.cotangents]
        first = needed_for(program, outputs)
        rest = [i for i in program.instructions if id(i) not in first]
        later = {v for i in rest for v in i.outputs}
        used = dict.fromkeys([*[v for i in rest for v in i.operands()], *gradients])
        given = [v for v in used if v not in later and v.data is None and v not in cotangents]
        written = {o.target for o in outputs}
        if any(v in written for v in given):
            raise Differentiable("it overwrites what its own backward pass needs")
        self.made_for_later = [v for v in given if v.producer is not None]
        numbers = {x.now(): n for n, x in c.numbers.items()}
        self.numbers_for_later = [v for v in given if v in numbers]
        self.kept_numbers = [numbers[v] for v in self.numbers_for_later]
        self.inputs_for_later = [v for v in given if v.producer is None and v not in numbers]
        given = [*self.made_for_later, *self.numbers_for_later, *self.inputs_for_later]
        outputs += [Output(v) for v in self.made_for_later]
        self.backward = self.second(program, rest, given, cotangents, gradients)
        program.inputs = [v for v in program.inputs if v not in cotangents]
        program.instructions = [i for i in program.instructions if id(i) in first]
        program.outputs = [o.value for o in outputs]
        program.verify()
        return program

    def second(
        self, program: Any, rest: list, given: list[Value], cotangents: list, gradients: list
    ) -> Program:
        """The backward program: its inputs are the cotangents and what the first one gives."""
        source = Program()
        source.count, source.constants = program.count, list(program.constants)
        source.instructions, source.outputs = rest, gradients
        b = Builder(source)
        b.program.inputs = []
        for v in [*cotangents, *given]:
            new = b.program.new(v.shape, v.dtype)
            b.program.inputs.append(new)
            b.known[v] = new
        for i in rest:
            b.keep(i)
        done = b.done(source)
        done.verify()
        return done

    def plan_of(self, c: Capture, outputs: list[Output]) -> None:
        """The plan of the results."""
        program = self.program = self.simplified(c, outputs)
        self.make = functools.partial(self.planned, program, outputs)
        self.ready = kept.prepared(program, outputs, self.fixed, self.layouts, self.make)

    def planned(self, program: Any, outputs: list[Output]) -> Any:
        """The planner of the results, with the plan made now."""
        self.planner = planner(program, outputs, self.fixed, self.layouts)
        return self.planner

    def enter(self, c: Capture, outputs: list[Output]) -> None:
        """The plan of the gradients, and what each call needs besides."""
        super().enter(c, outputs)
        first = len(outputs) - len(self.made_for_later)
        self.kept = [self.place_of[n] for n in range(first, len(outputs))]
        number = {m.given: m for m in c.memories.values()}
        self.kept_inputs = [number[v] for v in self.inputs_for_later]
        results = self.gradients_of(c)
        layouts = {}
        before = len(c.cotangents) + len(self.kept) + len(self.kept_numbers)
        after = self.backward.inputs[before:]
        for v, old in zip(after, self.inputs_for_later, strict=True):
            owner = number[old].owner
            strides = tuple(s // owner.itemsize for s in owner.strides)
            if strides != contiguous(owner.shape):
                layouts[v] = strides
        given = self.backward, results, {}, layouts
        self.back = kept.prepared(*given, functools.partial(planner, *given))
        self.gradient_types = [(o.value.shape, o.value.dtype) for o in results]
        self.sources = [
            (c.arguments.get(id(t)), t, g is not None)
            for t, g in zip(c.sources, c.gradients, strict=True)
        ]
        self.function = c.function
        self.arguments = mapped(lambda _: None, (c.args, c.kwargs))
        self.draws = any(
            getattr(i.args[0], "effect", False) for i in c.program.instructions if i.args
        )
        tape = {id(t) for t in c.outside}
        self.is_on_tape = [id(leaf) in tape for leaf in self.out_leaves]
        self.on_tape = [
            x
            for (how, x), leaf in zip(self.recipe, self.out_leaves, strict=True)
            if how == FRESH and id(leaf) in tape
        ]

    def gradients_of(self, c: Capture) -> list[Output]:
        """The outputs of the backward program, which lie as the tape's gradients do."""
        results = [Output(v) for v in self.backward.outputs]
        orders = [x for x, g in zip(c.orders, c.gradients, strict=True) if g is not None]
        for o, axes in zip(results, orders, strict=True):
            o.axes = axes
        self.turns_back = [(n, o.back()) for n, o in enumerate(results) if o.axes]
        if self.turns_back:
            arrange(self.backward, results, ())
            self.backward.outputs = [o.value for o in results]
            self.backward = simplify(self.backward)
            for o, v in zip(results, self.backward.outputs, strict=True):
                o.value = v
        return results

    def hold(self, c: Capture) -> None:
        """Gradients are none of its business, unless it reads them."""
        c.held = [(t, g) for t, g in c.held if g is not None or t._grad is not None]
        super().hold(c)

    def run(self, args: tuple, kwargs: dict) -> Any:
        """One call: its results belong to one node of the tape."""
        given = args if self.plain else leaves((args, kwargs))
        sources = [t if n is None else given[n] for n, t, _ in self.sources]
        box: list[list] = []
        tensors = CompiledFunction.apply(self, given, box, *sources)
        made = dict(zip(self.on_tape, tensors, strict=True))
        fresh = box[0]
        found = [
            (made.get(x) if x in made else define.wrap(fresh[x])) if how == FRESH else other
            for (how, x), other in zip(self.recipe, self.others(given), strict=True)
        ]
        return rebuild(self.result_tree, iter(found))

    def others(self, given: Sequence) -> list:
        """The results that are not made: arguments, and what they were."""
        return [given[x] if how == 1 else x for how, x in self.recipe]

    def pull(self, arrays: list, cotangents: Sequence) -> list:
        """The gradients of the sources."""
        inputs = [np.ascontiguousarray(g._data) for g in cotangents] + arrays
        out: list[Any] = [np.empty(shape, dtype) for shape, dtype in self.gradient_types]
        given = [inputs[n] if kind == kept.INPUT else out[n] for kind, n in self.back.arguments]
        self.back.plan.run(*given)
        for n, axes in self.turns_back:
            out[n] = out[n].transpose(axes)
        found = iter(out)
        return [define.wrap(next(found)) if has else None for _, _, has in self.sources]


class CompiledFunction(Function):
    """The node of a compiled function."""

    @staticmethod
    def forward(ctx: Any, entry: Twofold, given: Sequence, box: list, *sources: Any) -> Any:
        """Run the first program; `box` receives all arrays that it made."""
        fresh = entry.execute(given)
        box.append(fresh)
        inputs = [
            m.tensors[0] if m.argument is None else given[m.argument] for m in entry.kept_inputs
        ]
        ctx.given, ctx.sources = given, sources
        ctx.entry, ctx.owners = entry, [m.owner for m in entry.kept_inputs]
        ctx.fixed = [m.argument is None for m in entry.kept_inputs]
        ctx.made = [fresh[n] for n in entry.kept]
        ctx.made += [np.array(given[n]) for n in entry.kept_numbers]
        ctx.save_for_backward(*inputs)
        return tuple(define.wrap(fresh[x]) for x in entry.on_tape)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """Run the second program; where the gradients are themselves differentiated, or the
        cotangents belong to a transformation, the function as it is.
        """
        if state.grad or any(isinstance(g._data, Duck) for g in cotangents):
            return (None, None, None, *derived(ctx, cotangents))
        arrays = [
            owner if fixed else t._data
            for owner, fixed, t in zip(ctx.owners, ctx.fixed, ctx.saved_tensors, strict=True)
        ]
        return (None, None, None, *ctx.entry.pull([*ctx.made, *arrays], cotangents))


def derived(ctx: Any, cotangents: Sequence) -> tuple:
    """The gradients of the sources, by differentiating the function itself once more."""
    entry = ctx.entry
    if entry.written or entry.given_written or entry.draws:
        raise RuntimeError(
            "a compiled function that writes to tensors or draws random numbers cannot be run again"
            " for derivatives of its gradients; compile the function that takes all derivatives"
        )
    s = overwritten([t._data for t in ctx.sources], ctx._node.seq)
    if s is not None:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace"
            f" operation, at {s.line}: derivatives of a compiled function's gradients need its"
            " arguments and parameters as they were"
        )
    args, kwargs = rebuild(entry.arguments, iter(ctx.given))
    create = state.grad
    with enable_grad():
        result = leaves(entry.function(*args, **kwargs))
        wanted = [t for t, tape in zip(result, entry.is_on_tape, strict=True) if tape]
        return grad(wanted, ctx.sources, cotangents, create_graph=create, allow_unused=True)


def needed_for(program: Program, outputs: Sequence[Output]) -> set[int]:
    """The instructions (by id) that the function itself consists of: what its results need, and its
    random draws.
    """
    needed, found = {o.value for o in outputs}, set()
    for i in reversed(program.instructions):
        drawn = i.name == "python" and has_effect(i) and not i.args[0].backward
        if drawn or any(v in needed for v in i.outputs):
            found.add(id(i))
            needed.update(i.operands())
    later = {v for i in program.instructions if id(i) not in found for v in i.outputs}
    checks = [i for i in program.instructions if i.name in CHECKS]
    found.update(id(i) for i in checks if later.isdisjoint(i.operands()))
    return found
