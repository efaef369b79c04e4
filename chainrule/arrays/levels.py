"""Levels: which transformation an array belongs to, and which transformations are running.

Each call of a transformation (vmap, jvp, a `dual_level`) takes a number from one clock, so an inner
one always has a higher number than those around it, and no two ever share one: a graph that was
built inside a transformation can still be differentiated after it has ended.
"""

from __future__ import annotations

import itertools
import sys
import threading
from typing import Any

PACKAGE = __file__.rsplit("arrays", 1)[0]
TRANSFORMS = ("func/pullback.py", "func/pushforward.py")
_numbers = itertools.count(1).__next__
EVER: list[bool] = []  # not empty once there has been a transformation
RUNNING: set[int] = set()  # the numbers of all transformations that run now, in any thread


class Level:
    """One call of a transformation, from `with` to the end of its block."""

    differentiates = False
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
    differentiates = True  # what is written inside takes on a derivative


def captured(x: Any) -> bool:
    """Whether the function that is being differentiated has `x` from outside: in a variable of its
    closure, or in one of its module's.
    """
    if not any(level.differentiates for level in stack.levels):
        return False
    frame: Any = sys._getframe(1)
    inside = []
    while frame is not None and not frame.f_code.co_filename.endswith(TRANSFORMS):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            inside.append(frame)
        frame = frame.f_back
    if frame is None or not inside:
        return False
    variables = inside[-1].f_locals
    closure = [variables.get(name) for name in inside[-1].f_code.co_freevars]
    modules = {id(f.f_globals): f.f_globals for f in inside}.values()
    return any(v is x for v in closure) or any(v is x for g in modules for v in list(g.values()))


class _Stack(threading.local):
    """The transformations that run in this thread, the outermost first."""

    def __init__(self) -> None:
        self.levels: list[Level] = []


stack = _Stack()
