"""Where values left the graph: notes for `why_no_grad`.

What cuts a value from its history (detach, `.data`, item, numpy, a cast to integers, argmax ...)
leaves a note: the kind of cut, the line, and which leaves were cut off, by the weak references that
their nodes hold anyway; so no graph and no array is kept alive. Arithmetic leaves none. For blocks
without recording (no_grad ...) just the line of entering is noted.

Finding the leaves means walking the graph, at most `LIMIT` nodes of it. A line that cuts again and
again (`loss.item()` in a loop) walks at its first, second, fourth, eighth ... visit, and when the
leaves it knew are gone. The notes are bounded in number, the latest stay.
"""

from __future__ import annotations

import threading
from sys import _getframe
from types import CodeType
from typing import Any

from .storage import HERE, INSIDE, LOCK, OUTSIDE, describe_line, outside, tick
from .tape import AccumulateGrad, Node

LIMIT = 2000  # nodes that one cut looks at
MOST = 512  # lines of each kind that are remembered


class Cut:
    """One line that cuts: how, when last, how often, and what it cut off."""

    __slots__ = ("code", "hits", "kind", "lasti", "latest", "leaves")

    def __init__(self, kind: str, code: CodeType, lasti: int) -> None:
        self.kind, self.code, self.lasti = kind, code, lasti
        self.hits, self.latest = 0, 0
        self.leaves: dict[int, Any] = {}  # id of the leaf tensor -> weak reference to it

    @property
    def line(self) -> str:
        """The source line."""
        return describe_line(self.code, self.lasti)

    def off(self, leaf: Any) -> bool:
        """Whether `leaf` is known to be among what was cut off."""
        found = self.leaves.get(id(leaf))
        return found is not None and found() is leaf

    def add(self, node: Node) -> None:
        """Note one more visit, by a value whose history is `node`."""
        self.hits += 1
        self.latest = tick()
        if not self.hits & (self.hits - 1) or self.forgotten():
            known = {k: r for k, r in self.leaves.items() if r() is not None}
            self.leaves = known | leaves_below(node)

    def forgotten(self) -> bool:
        """Whether the leaves that were cut off here are gone."""
        return next(iter(self.leaves.values()), _none)() is None


class Journal(threading.local):
    """What a thread writes down while `why_no_grad` runs a function for it; else None."""

    listener: Any = None


CUTS: dict[tuple, Cut] = {}
BLOCKS: dict[tuple, Cut] = {}
journal = Journal()


def _none() -> None:
    return None


def leaves_below(node: Node, limit: int = LIMIT) -> dict:
    """Weak references to the leaves that `node` leads to, of which no more than `limit` nodes are
    looked at.
    """
    found, seen, stack = {}, {node}, [node]
    while stack and limit:
        n = stack.pop()
        limit -= 1
        if type(n) is AccumulateGrad:
            reference = n._variable
            found[id(reference())] = reference
            continue
        for e in n.edges:
            if e is not None and e not in seen:
                seen.add(e)
                stack.append(e)
    return found


def cut(kind: str, x: Any, depth: int = 2) -> None:
    """Note that a value of tensor `x` leaves the graph, if the frame `depth` up is the user's."""
    node = x._node
    if node is None:
        return
    frame = _getframe(depth)
    code = frame.f_code
    if code.co_filename in INSIDE:
        return
    if code.co_filename not in OUTSIDE and outside(frame) is not frame:
        return
    _enter(kind, node, code, frame.f_lasti)
    if journal.listener is not None:
        journal.listener(kind, x, describe_line(code, frame.f_lasti))


def cut_by(kind: str, inputs: Any) -> None:
    """Note that an operator's result has no gradient, whatever frame of ours it is called from."""
    for x in inputs:
        node = getattr(x, "_node", None)
        if node is not None:
            frame = _getframe(2)
            while frame.f_code.co_filename.startswith(HERE) and frame.f_back is not None:
                frame = frame.f_back
            _enter(kind, node, frame.f_code, frame.f_lasti)
            if journal.listener is not None:
                journal.listener(kind, x, describe_line(frame.f_code, frame.f_lasti))


def _enter(kind: str, node: Node, code: CodeType, lasti: int) -> None:
    key = (id(code), lasti, kind)
    with LOCK:
        found = CUTS.get(key) or _remember(CUTS, key, kind, code, lasti)
        found.add(node)


def _remember(table: dict, key: tuple, kind: str, code: CodeType, lasti: int) -> Cut:
    if len(table) >= MOST:
        del table[min(table, key=lambda k: table[k].latest)]
    table[key] = Cut(kind, code, lasti)
    return table[key]


def block(kind: str) -> None:
    """Note that a block without recording begins, or a function decorated so: not one of ours."""
    frame = _getframe(2)
    code, lasti = frame.f_code, frame.f_lasti
    if code.co_name == "inside" and "f" in code.co_freevars:  # the wrapper of a decorated function
        code, lasti = frame.f_locals["f"].__code__, 0
    name = code.co_filename
    if name in INSIDE or (name not in OUTSIDE and name.startswith(HERE)):
        return
    key = (id(code), lasti, kind)
    with LOCK:
        found = BLOCKS.get(key) or _remember(BLOCKS, key, kind, code, lasti)
        found.hits += 1
        found.latest = tick()
