"""Anomaly detection: which operation, at which line, first made a nan or an infinity.

Turned off it is not there: turning it on puts `Watch` in the place of the function that runs
kernels (`state.run`), so that each forward value is looked at, and `WatchedWalk` in the place of
the engine's `Walk`, which looks at each gradient. A nan among the gradients raises; the error says
at which line the operation stands, where the first bad gradient is, what came in and what was saved
there, and, from what was seen forward or is still saved in the graph, which operation made the
first bad value of all. Forward values are watched in the thread that turned detection on; gradients
in all.
"""

from __future__ import annotations

import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop
from sys import _getframe
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes
from ..arrays.duck import Duck
from ..errors import NotANumberError
from ..ops import define
from ..storage import describe_line, user_line
from ..tape import AccumulateGrad, Node, state
from . import engine

KINDS: dict[str, Callable] = {"nan": np.isnan, "inf": np.isinf}
SETTINGS = [False, True]  # whether detection is on; whether a nan raises
PLAIN = engine.Walk
Saved = list  # of arrays that a node keeps


class Origin(NamedTuple):
    """An operation one of whose results has a nan or an infinity, and how it came by it."""

    kind: str
    text: str


# -- looking at values -----------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The array inside of whatever array type; None for what is no floating point array."""
    while isinstance(value, Duck):
        value = value.tensor._data if hasattr(value, "tensor") else inner(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    return value if dtypes.FROM_NUMPY[value.dtype].category >= dtypes.FLOATING else None


def inner(value: Any) -> Any:
    """What a batched, dual or traced array is made of."""
    if value.ground:
        return value.parts()[0]
    return value.array if hasattr(value, "array") else value.value


def first(value: Any, kind: str) -> tuple | None:
    """The position of the first nan (or inf) of an array, in row-major order."""
    array = plain(value)
    if array is None:
        return None
    found = np.asarray(KINDS[kind](array))
    return tuple(np.argwhere(found)[0].tolist()) if found.any() else None


def arrays_in(value: Any) -> Iterator[Any]:
    """The floating point arrays in nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        for v in value:
            yield from arrays_in(v)
    elif plain(value) is not None:
        yield plain(value)


def at(value: Any, position: tuple) -> str:
    """`nan at [0, 2] of [3, 4]`."""
    array = plain(value)
    where = f" at {list(position)} of {list(array.shape)}" if position else ""
    return f"{array[position]}{where}"


def described(arrays: Sequence) -> str:
    """`float32[2, 3], float32[3]`."""
    return ", ".join(f"{dtypes.FROM_NUMPY[a.dtype].name}{list(a.shape)}" for a in arrays)


# -- forward ---------------------------------------------------------------------------------------


class Watch:
    """Runs kernels in the place of `run`, and remembers those that made a bad value."""

    def __init__(self, run: Callable) -> None:
        self.run = run
        self.origins: deque[Origin] = deque(maxlen=4096)

    def __call__(self, kernel: Callable, *args: Any) -> Any:
        inputs = list(arrays_in(args))
        bad = {kind: [first(a, kind) for a in inputs] for kind in KINDS}
        out = self.run(kernel, *args)
        name, _ = caller(_getframe(1))
        if name:
            written = inputs[:1] if out is None else list(arrays_in(out))
            for kind in KINDS:
                self.note(name, kind, inputs, bad[kind], written)
        return out

    def note(self, name: str, kind: str, inputs: list, bad: list, outs: list) -> None:
        """Remember a call one of whose results holds a bad value."""
        found = next(((o, p) for o in outs if (p := first(o, kind)) is not None), None)
        if found is None:
            return
        line = describe_line(*user_line(2))
        k = next((k for k, p in enumerate(bad) if p is not None), None)
        if k is None:
            how = f"of {described(inputs)}, made {at(*found)}"
            there = [f"{a[found[1]]}" for a in inputs if a.shape == found[0].shape and a.ndim]
            how += f" from {' and '.join(there)}" if there and out_of_place(outs, inputs) else ""
        else:
            how = f"was given {at(inputs[k], bad[k])}"  # type: ignore[arg-type]
        self.origins.append(Origin(kind, f"{name}, at {line}, {how}"))


def out_of_place(outs: list, inputs: list) -> bool:
    """Whether the inputs still are what they were."""
    return not any(o is a for o in outs for a in inputs)


def called(op: Any) -> str:
    """What a user calls an operator."""
    private = op.namespace == "primitive" or op.name not in vars(define.Tensor)
    return op.node_name.removesuffix("Backward0").lower() if private else op.name


def caller(frame: Any) -> tuple[str, Any]:
    """What a user calls the function of ours that runs a kernel, and its operator (None if it has
    no single one); "" if it makes tensors of something else.
    """
    names = frame.f_locals
    op = next((v for n in ("op", "self", "o") if isinstance(v := names.get(n), define.Op)), None)
    if op is not None:
        return called(op), op
    return (frame.f_code.co_name if next(tensors_of(frame), None) is not None else ""), None


def tensors_of(frame: Any) -> Iterator[Any]:
    """The tensors that a call of ours works on: among the local names of the function that runs a
    kernel, and the arguments of the one that called it, if it is ours.
    """
    for f, some in ((frame, ...), (frame.f_back, ("inputs", "args", "input", "other", "rest"))):
        if f is not None and (f.f_globals.get("__package__") or "").startswith("chainrule.ops"):
            names = f.f_locals
            yield from _tensors([v for n, v in names.items() if some is ... or n in some])


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, define.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from _tensors(v)


# -- backward --------------------------------------------------------------------------------------


class WatchedWalk(engine.Walk):
    """A backward pass that looks at every gradient."""

    __slots__ = ("infinite",)

    def start(self, buffer: dict, following: Any = None, held: Any = None) -> None:
        if following is not None:
            buffer[following] = held
        held = None  # accumulate_grad counts who holds it
        try:
            self.walk(buffer)
        finally:
            if state.watch is not None and not self.create:
                state.watch.origins.clear()  # what follows is another graph

    def walk(self, buffer: dict) -> None:
        """Run all nodes, the youngest first, and look at what they give."""
        self.infinite = ""  # where the first infinite gradient arose
        ready, leaves = self.queues(buffer)
        while ready:
            node = heappop(ready)[1]
            g = buffer.pop(node)
            saved = list(arrays_in(node.args))
            self.buffer, state.walk = buffer, weakref.ref(self)
            try:
                grads = self.pull(node, g)
            except Exception:
                blame(node)
                raise
            self.look(node, g, grads, saved)
            self.deliver(grads, node.edges, node.index, buffer, ready, leaves)
        saved = g = grads = None  # type: ignore[assignment]  # accumulate_grad counts who holds it
        self.finish(leaves, buffer, True)

    def look(self, node: Node, g: Any, grads: Sequence, saved: Saved) -> None:
        """Raise if a gradient has a nan; note the first infinity."""
        for k, gi in enumerate(grads):
            position = first(gi, "nan") if SETTINGS[1] else None
            if position is not None:
                blame(node)
                findings = self.findings(node, g, gi, position, saved)
                raise NotANumberError(node.name(), k, findings)
            position = first(gi, "inf")
            if position is not None and not self.infinite:
                self.infinite = f"{node.name()} of {node.line}: {at(gi, position)}"

    def findings(self, node: Node, g: Any, bad: Any, position: tuple, saved: Saved) -> list[str]:
        """What is known about the first nan among the gradients."""
        told = [f"forward: called at {node.line}", f"gradient: {at(bad, position)}"]
        came = list(arrays_in(g if isinstance(g, (tuple, list)) else (g,)))
        for kind in KINDS:
            for a in came:
                p = first(a, kind)
                if p is not None:
                    told.append(f"the gradient that came to it already had {at(a, p)}")
        shape = np.shape(plain(bad))
        for what, arrays in (("the gradient that came to it", came), ("saved", saved)):
            there = [f"{a[position]}" for a in arrays if a.shape == shape]
            if there:
                told.append(f"{what}, at that position: {', '.join(there)}")
        if self.infinite:
            told.append(f"first infinite gradient: {self.infinite}")
        return told + self.origins(node, saved)

    def origins(self, node: Node, saved: Saved) -> list[str]:
        """The first bad values of the forward pass: as watched, or else as still saved."""
        seen = state.watch.origins if state.watch is not None else ()
        told = []
        for kind in KINDS:
            text = next((o.text for o in seen if o.kind == kind), "")
            text = text or earliest(node, saved, kind)
            if text:
                told.append(f"first {kind} of the forward pass: {text}")
        return told


def below(roots: Any) -> set:
    """All nodes that can be reached from some, but leaves."""
    seen, stack = set(roots), list(roots)
    while stack:
        for e in stack.pop().edges:
            if e is not None and e not in seen and type(e) is not AccumulateGrad:
                seen.add(e)
                stack.append(e)
    return seen


def earliest(node: Node, saved: Saved, kind: str) -> str:
    """The oldest node below `node` that saved a bad value, and which."""
    for n in sorted(below([node]), key=lambda n: n.seq):
        for a in saved if n is node else arrays_in(n.args or ()):
            position = first(a, kind)
            if position is not None:
                return f"{n.name()}, called at {n.line}, saved {at(a, position)}"
    return ""


def blame(node: Node) -> None:
    """torch's warning, which names the forward line."""
    warnings.warn(
        f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
        f"  {node.line}\n",
        UserWarning,
        stacklevel=2,
    )


# -- turning it on and off -------------------------------------------------------------------------


def _switch(on: bool, check_nan: bool) -> None:
    SETTINGS[:] = on, check_nan
    engine.Walk = WatchedWalk if on else PLAIN  # type: ignore[misc]
    run, grad = state.mode
    if on and not isinstance(run, Watch):
        state.watch = Watch(run)
        state.mode = (state.watch, grad)
    elif not on and isinstance(run, Watch):
        state.watch = None
        state.mode = (run.run, grad)


class set_detect_anomaly:
    """Turns anomaly detection on or off at once; as a context manager, until the end of the block.

    `check_nan`: whether a nan among the gradients raises (otherwise just errors inside the backward
    pass are explained).
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = tuple(SETTINGS)
        _switch(bool(mode), check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _switch(*self.before)


class detect_anomaly:
    """Within the block, a backward pass that makes a nan raises RuntimeError: which operation, at
    which line, where in the gradient, and which operation made the first nan and the first infinity
    forward.

    For debugging: every value is looked at.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self.before = tuple(SETTINGS)
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should"
            " only be enabled for debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self.before = tuple(SETTINGS)
        _switch(True, self.check_nan)

    def __exit__(self, *_: object) -> None:
        _switch(*self.before)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return SETTINGS[0]


def is_anomaly_check_nan_enabled() -> bool:
    """Whether, when anomaly detection is on, a nan among the gradients raises."""
    return SETTINGS[1]
