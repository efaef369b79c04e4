"""Who owns memory, and when it was last written.

A `Storage` stands for one piece of memory: its version counter. Every tensor that looks at the
memory (views, `detach()`, NumPy arrays given out) shares it; it is made when the first of these, or
an in-place write, needs it. Nodes do not hold storages: they save arrays. A write enters the
memory's owner in `WRITTEN`, with the next tick of the clock that nodes are numbered by, so a value
that a node saved has been overwritten exactly if its owner was written after the node was made.
`LAST` is the tick of the latest write of all: as long as it is older than a node there is nothing
to look up.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from types import CodeType, FrameType
from typing import Any

import numpy as np

tick = itertools.count(1).__next__
HERE = __file__.rsplit("/", 1)[0] + "/"
WRITTEN: dict[int, Storage] = {}  # id of a memory's owner -> who wrote it last; gone with the owner
LAST = [0]
LOCK = threading.RLock()  # for what two threads must not do at once; user code never runs inside
OUTSIDE: set[str] = set()  # files of user code seen so far
INSIDE: set[str] = set()  # files of this package, likewise
_REFERENCES: dict[int, Any] = {}
_getframe = sys._getframe


class Storage:
    """A piece of memory: how often it was written (`version`), and when and by which source line
    last.

    `tracked=False` (what `.data` gives) keeps writes from nodes that saved the values.
    """

    __slots__ = ("code", "lasti", "owner", "scalar", "tracked", "version", "written")

    def __init__(self, array: Any, tracked: bool = True) -> None:
        self.version = self.written = self.lasti = 0
        self.code: CodeType | None = None
        self.tracked, self.scalar = tracked, None
        self.owned_by(array)

    def owned_by(self, array: Any) -> None:
        """Note which array owns the memory (none as long as the value is a NumPy scalar, which
        `scalar` then keeps).
        """
        array = memory_of(array)
        self.owner = weakref.ref(owner_of(array)) if isinstance(array, np.ndarray) else None

    def bump(self) -> None:
        """Note that the memory has been written."""
        self.code, self.lasti = user_line()
        owner = self.owner and self.owner()
        with LOCK:  # or LAST might go back
            self.version += 1
            self.written = tick()
            if self.tracked and owner is not None:
                LAST[0] = self.written
                self._enter(id(owner), owner)

    def enter(self) -> None:
        """Have nodes look at this storage: from now on compiled code writes its memory, and counts
        `version` and `written` up by itself.
        """
        self.code, self.lasti = user_line()
        owner = self.owner and self.owner()
        if self.tracked and owner is not None:
            with LOCK:
                self._enter(id(owner), owner)

    def _enter(self, key: int, owner: Any) -> None:
        if WRITTEN.get(key) is not self:
            WRITTEN[key] = self
            _REFERENCES[key] = weakref.ref(owner, lambda _: _forget(key))
        if self.scalar is not None:
            WRITTEN[id(self.scalar)] = self

    @property
    def line(self) -> str:
        """The source line of the last write."""
        return describe_line(self.code, self.lasti) if self.written else "no line"


def _forget(key: int) -> None:
    _REFERENCES.pop(key, None)
    s = WRITTEN.pop(key, None)
    if s is not None and s.scalar is not None:
        WRITTEN.pop(id(s.scalar), None)


def memory_of(array: Any) -> Any:
    """The ndarray inside an array type of ours; anything else as it is."""
    inside = getattr(array, "memory", None)
    return inside() if callable(inside) else array


def owner_of(array: Any) -> Any:
    """The array that owns the memory `array` looks at."""
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        elif not hasattr(base, "__array_interface__"):
            break  # a buffer of something else (`as_strided` puts an object between two arrays)
        base = getattr(base, "base", None)
    return array


def overwritten(saved: Any, seq: int) -> Storage | None:
    """The storage of an array among `saved` (nested tuples and lists) that was written after tick
    `seq`, if any.
    """
    for v in saved:
        if isinstance(v, (tuple, list)):
            found = overwritten(v, seq)
        elif isinstance(v, np.ndarray):
            found = WRITTEN.get(id(owner_of(v)))
        elif isinstance(v, np.generic):
            found = WRITTEN.get(id(v))
        else:
            v = memory_of(v)
            found = WRITTEN.get(id(owner_of(v))) if isinstance(v, np.ndarray) else None
        if found is not None and found.written > seq:
            return found
    return None


def user_line(depth: int = 1) -> tuple[CodeType, int]:
    """Where the user's code stands: the innermost frame outside of this package.

    A caller may know how many frames up (`depth`) the first is that could be it.
    """
    frame = _getframe(depth)
    code = frame.f_code
    while code.co_filename not in OUTSIDE:
        frame = (code.co_filename in INSIDE and frame.f_back) or outside(frame)
        code = frame.f_code
    return code, frame.f_lasti


def outside(frame: FrameType) -> FrameType:
    """The innermost frame, from `frame` up, that runs a file outside of this package; the files met
    are remembered.
    """
    while frame.f_code.co_filename.startswith(HERE) and frame.f_back is not None:
        INSIDE.add(frame.f_code.co_filename)
        frame = frame.f_back
    if len(OUTSIDE) > 4096:
        OUTSIDE.clear()
    OUTSIDE.add(frame.f_code.co_filename)
    return frame


def describe_line(code: CodeType | None, lasti: int) -> str:
    """`file.py:12 in function` for a place noted by `user_line`."""
    if code is None:
        return "an unknown line"
    line = next(
        (p[0] for i, p in enumerate(code.co_positions()) if i == lasti // 2), code.co_firstlineno
    )
    where = "" if code.co_name == "<module>" else f" in {code.co_name}"
    return f"{code.co_filename}:{line}{where}"
