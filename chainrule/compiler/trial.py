"""Never slower: where it is in doubt whether a program is quicker than the function it was made of,
both are timed in the first calls, each doing what that call has to do, and the quicker one stays.

In doubt are programs of few operations, where the guards are the work; programs that call Python;
and those that take more than three times as long as the function's operations would need to move
their data, one after the other, at the speed of memory. Anything else is settled by the first calls
of the program, so that a large step never needs the memory that the function needs.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from ..arrays.trace import VIEWS
from .program import Program

FEW = 4  # operations
ENOUGH = 4  # calls of either kind, at most
SURE = 4  # calls of the program before its time alone puts it in doubt: others use the machine, too
LONG = 0.05  # seconds: one call of either kind tells enough
CLEARLY = 1.3  # times as quick: no further calls are compared
OVERHEAD = 0.5e-6  # seconds for an operation by itself, at least
SPEED = 20e9  # bytes in a second: more than two cores get from memory
TOLD = "{kind}: {ours:.3g} ms compiled, {theirs:.3g} ms as it is"


class Trial:
    """The first calls of an entry. It stands in the place of the entry's `run` until it knows."""

    def __init__(self, function: Callable, entry: Any, program: Program) -> None:
        self.function, self.entry, self.program = function, entry, program
        self.way = entry.run
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.warm = False
        entry.run = self.run
        entry.verdict = "not yet compared with the function as it is"

    def run(self, args: tuple, kwargs: dict) -> Any:
        """A call, one way or the other."""
        as_it_is = len(self.theirs) <= len(self.ours) - self.enough
        begun = time.perf_counter()
        result = self.function(*args, **kwargs) if as_it_is else self.way(args, kwargs)
        taken = time.perf_counter() - begun
        if as_it_is:
            self.theirs.append(taken)
        elif self.warm:
            self.ours.append(taken)
        self.warm = True
        self.look()
        return result

    def look(self) -> None:
        """Decide, if enough is known."""
        if len(self.ours) < 2:
            return
        ours = min(self.ours)
        if not self.doubtful(ours):
            self.settle("not in doubt, the function was not timed")
        elif len(self.theirs) > 1 or (self.theirs and ours > LONG):
            theirs = min(self.theirs)
            clear = max(ours, theirs) > CLEARLY * min(ours, theirs)
            if clear or len(self.theirs) == ENOUGH:
                kind = "slower, so the function is run as it is" if theirs < ours else "quicker"
                self.settle(TOLD.format(kind=kind, ours=1e3 * ours, theirs=1e3 * theirs))
                if theirs < ours:
                    self.entry.run = self.as_it_is

    @functools.cached_property
    def least(self) -> float:
        """Less than the seconds that the function takes."""
        return least(self.program)

    @functools.cached_property
    def suspect(self) -> bool:
        """Whether the program is in doubt whatever it takes."""
        return self.entry.captured <= FEW or bool(self.entry.plan.calls)

    @property
    def enough(self) -> int:
        """Calls of the program before the function is timed."""
        return 2 if self.suspect else SURE

    def doubtful(self, ours: float) -> bool:
        """Whether the function might be as quick as the program."""
        return self.suspect or ours > 3 * self.least

    def settle(self, verdict: str) -> None:
        """The program stays."""
        self.entry.verdict = verdict
        self.entry.run = self.way

    def as_it_is(self, args: tuple, kwargs: dict) -> Any:
        """A call of the function."""
        return self.function(*args, **kwargs)


def least(program: Program) -> float:
    """The seconds that a program's operations need, one after the other, if none of them computes:
    less than it takes to run them as they are.
    """
    seconds = 0.0
    for i in program.instructions:
        values = {v for v in (*i.operands(), *i.outputs) if i.name not in VIEWS}
        seconds += OVERHEAD + sum(v.size * v.dtype.itemsize for v in values) / SPEED
    return seconds
