"""A call of a program, written out as Python.

What has to be done around the native code is known when a program is made: which arrays are taken
from which arguments, what is made, which numbers are read, which gradients are put in place. So it
is written down as the source of one function, without a loop or a condition that is always the
same; a call of a small program takes a third of the time that way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops import define
from ..storage import LAST, tick
from ..tape import storage_of
from . import guards, machine

FEW = 4  # gradients that are looked at one by one


def written(entry: Any) -> tuple[Callable, Callable | None]:
    """`execute(given)` of an entry: run its plan on the arguments' leaves, and enter what it did;
    returns the arrays that it made. And `run(args, kwargs)`, a whole call, where the arguments have
    no structure and the result is one new tensor; else None.
    """
    names: dict[str, Any] = {
        "empty": np.empty,
        "go": entry.plan.run,
        "LAST": LAST,
        "tick": tick,
        "bump": entry.bump,
        "storage_of": storage_of,
        "wrap": define.wrap,
    }
    lines = []
    for n, (setting, number) in enumerate(zip(entry.settings, entry.numbers, strict=True)):
        names[f"group{n}"], names[f"number{n}"] = setting.group, number
        keys = setting.key if isinstance(setting.key, tuple) else (setting.key,)
        lines.append(f"number{n}[()] = group{n}{''.join(f'[{key!r}]' for key in keys)}")
    for n, number in entry.floats.items():
        names[f"float{n}"] = number
        lines.append(f"float{n}[()] = given[{n}]")
    for n, (shape, dtype) in enumerate(entry.made):
        names[f"shape{n}"], names[f"dtype{n}"] = shape, dtype
        lines.append(f"made{n} = empty(shape{n}, dtype{n})")
    made = [f"made{n}" for n in range(len(entry.made))]
    lines.append(f"go({', '.join([f'given[{i}]._data' for i in entry.positions] + made)})")
    for n, axes in entry.turns.items():
        names[f"axes{n}"] = axes
        lines.append(f"made{n} = made{n}.transpose(axes{n})")
    if entry.grads:
        lines.append(f"if {gradients(entry, names)}:")
        lines += [f"    tensor{n}._grad = grad{n}" for n in range(len(entry.grads))]
    if entry.bump is not None:
        lines += ["LAST[0] = now = tick()", "bump(now)"]
    lines += [f"storage_of(given[{n}]).bump()" for n in entry.given_written]
    for n, place in entry.given_grads:
        lines.append(f"given[{n}]._grad = {'None' if place is None else f'wrap(made{place})'}")
    text = ["def execute(given):", *lines, f"return [{', '.join(made)}]"]
    defined(text, names)
    if not (entry.plain and entry.single):
        return names["execute"], None
    defined(["def run(given, kwargs):", *lines, "return wrap(made0)"], names)
    return names["execute"], names["run"]


def defined(lines: Sequence[str], names: dict[str, Any]) -> None:
    """Define a function among those names: its head, and the lines of its body."""
    exec(compile("\n    ".join(lines), "<chainrule.compile>", "exec"), names)


def gradients(entry: Any, names: dict[str, Any]) -> str:
    """The condition that some gradient is not in its place."""
    for n, (t, g) in enumerate(entry.grads):
        names[f"tensor{n}"], names[f"grad{n}"] = t, g
    if len(entry.grads) > FEW and machine.available() and guards.layout() is not None:
        table = guards.Guards([], None, entry.recording)
        table.watch([], [(t.__dict__, "_grad", g) for t, g in entry.grads], [])
        names["table"], names["in_place"] = table, table.builtin()
        return "not in_place()"
    return " or ".join(f"tensor{n}._grad is not grad{n}" for n in range(len(entry.grads)))
