"""Levels: which transformation an array belongs to, and which transformations are running.

Each call of a transformation (vmap, jvp, a `dual_level`) takes a number from one clock, so an inner
one always has a higher number than those around it, and no two ever share one: a graph that was
built inside a transformation can still be differentiated after it has ended.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

_numbers = itertools.count(1).__next__
EVER: list[bool] = []  # not empty once there has been a transformation
RUNNING: set[int] = set()  # the numbers of all transformations that run now, in any thread


class Level:
    """One call of a transformation, from `with` to the end of its block."""

    transforms = False  # whether it is that of a `Transform`
    randomness = ""  # what drawing random numbers does: of vmap, "error", "different" or "same"

    def __init__(self) -> None:
        self.number = _numbers()

    def __enter__(self) -> Any:
        if not EVER:
            EVER.append(True)
        RUNNING.add(self.number)
        stack.levels.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        RUNNING.discard(self.number)
        stack.levels.remove(self)


class Transform(Level):
    """One call of a transform of a function, inside of which backward() is an error."""

    transforms = True


class Captor(Transform):
    """One call of grad, vjp or jvp on `function`, whose tensor arguments are `given`."""

    captured: dict | None = None  # the tensors that the function captured, once they are asked for

    def __init__(self, function: Callable | None = None, given: Sequence = ()) -> None:
        super().__init__()
        self.function, self.given = function, given


class Gradient(Captor):
    """One call of grad or vjp: what hooks that are registered inside belong to."""


class Linear(Gradient):
    """One call of linearize, which records what forward mode would carry: also under no_grad, and
    nothing of hooks on gradients.
    """


class _Stack(threading.local):
    """The transformations that run in this thread, the outermost first."""

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.passing: int | None = None  # whose backward pass runs, if it is a `Gradient`'s


stack = _Stack()


def of_this_level(hook: Callable) -> Callable:
    """A hook on gradients, called in backward passes of the grad or vjp that runs now only: those
    of the transformations around it see the operations of the hook, not the hook.
    """
    around = _gradient()
    if around is None:
        return hook
    level = 0 if isinstance(around, Linear) else around.number

    @functools.wraps(hook)
    def called_at_its_level(*grads: Any) -> Any:
        passing = stack.passing
        if passing is None:
            running = _gradient()
            passing = None if running is None else running.number
        return hook(*grads) if passing == level else None

    return called_at_its_level


def linearizing() -> bool:
    """Whether what runs now in this thread is recorded for linearize."""
    return bool(stack.levels) and isinstance(_gradient(), Linear)


def _gradient() -> Gradient | None:
    """The innermost grad or vjp that runs in this thread."""
    return next((v for v in reversed(stack.levels) if isinstance(v, Gradient)), None)
