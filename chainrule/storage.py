"""Who owns memory, and when it was last written.

A `Storage` stands for one piece of memory. Every tensor that looks at the memory (views, `detach()`, NumPy arrays given
out) shares it. It is made when the first thing needs it: a node that saves the value, a view, an in-place write. Writes
take the next tick of one clock that nodes are numbered by too, so a value saved by a node was overwritten exactly if
`storage.written > node.seq`.
"""

from __future__ import annotations

import itertools
import sys
from types import CodeType

tick = itertools.count(1).__next__
HERE = __file__.rsplit("/", 1)[0] + "/"
_getframe = sys._getframe


class Storage:
    """When a piece of memory was last written (`written`, a tick of the clock), how often, and by which source line."""

    __slots__ = ("log", "written")

    def bump(self) -> None:
        """Note that the memory has been written."""
        code, lasti = user_line()
        self.log = (self.version + 1, code, lasti)
        self.written = tick()

    @property
    def version(self) -> int:
        """How often the memory has been written."""
        return self.log[0] if self.written else 0

    @property
    def line(self) -> str:
        """The source line of the last write."""
        return describe_line(*self.log[1:]) if self.written else "no line"


def new_storage() -> Storage:
    """A storage that has not been written yet."""
    s = Storage()
    s.written = 0
    return s


def user_line() -> tuple[CodeType, int]:
    """Where the user's code stands: the innermost frame outside of this package."""
    frame = _getframe(1)
    while frame.f_code.co_filename.startswith(HERE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def describe_line(code: CodeType | None, lasti: int) -> str:
    """`file.py:12 in function` for a place noted by `user_line`."""
    if code is None:
        return "an unknown line"
    line = next((p[0] for i, p in enumerate(code.co_positions()) if i == lasti // 2), code.co_firstlineno)
    where = "" if code.co_name == "<module>" else f" in {code.co_name}"
    return f"{code.co_filename}:{line}{where}"
