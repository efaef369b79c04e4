"""A module of LLVM IR cut into several, for several cores to compile.

Functions that others do not see (internal ones) go into every part, as do declarations, constants,
attributes, and LLVM's own lists of what is used: a part compiles what it needs of them and drops
the rest. Functions for the outside are dealt out by length. A module whose functions for the
outside call one another, or that has variables, stays whole.
"""

from __future__ import annotations

import re

FUNCTION = re.compile(r"^define\b.*?^}[^\n]*\n?", re.MULTILINE | re.DOTALL)
NAME = re.compile(r'@([\w.$-]+|"[^"]*")')
INSIDE = re.compile(r"define\s+(?:internal|private|linkonce|linkonce_odr|available_externally)\b")
VARIABLE = re.compile(r"^@(?!llvm\.)\S+ = (?!.*\bconstant\b)", re.MULTILINE)
LEAST = 4000  # characters of functions that are worth a part: about 10 ms


def cut(text: str, most: int) -> list[str]:
    """The module's text in at most that many parts."""
    functions = FUNCTION.findall(text)
    outside = [f for f in functions if not INSIDE.match(f)]
    count = min(most, len(outside), sum(map(len, outside)) // LEAST)
    head = FUNCTION.sub("", text)
    if count < 2 or VARIABLE.search(head):
        return [text]
    names = {found[1] for f in outside if (found := NAME.search(f))}
    if any(names & set(NAME.findall(f.partition("\n")[2])) for f in functions):
        return [text]
    shared = [head, *(f for f in functions if INSIDE.match(f))]
    parts: list[list[str]] = [[] for _ in range(count)]
    for f in sorted(outside, key=len, reverse=True):
        min(parts, key=lambda p: sum(map(len, p))).append(f)
    return ["\n".join([*shared, *part]) for part in parts]
