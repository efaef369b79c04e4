"""Levels: which transformation an array belongs to, and which transformations are running.

Each call of a transformation (vmap, jvp, a `dual_level`) takes a number from one clock, so an inner
one always has a higher number than those around it, and no two ever share one: a graph that was
built inside a transformation can still be differentiated after it has ended.
"""

from __future__ import annotations

import itertools
import threading
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


class _Stack(threading.local):
    """The transformations that run in this thread, the outermost first."""

    def __init__(self) -> None:
        self.levels: list[Level] = []


stack = _Stack()
