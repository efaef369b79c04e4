"""Outputs that do not lie row by row in memory.

A program makes arrays row by row. An output that lies in another way is made with its axes in the
order in which they lie, and looked at with them in their own: it is a `transpose` of what the
program computes, and that is computed in the other order from the start, as far as it is
elementwise and nothing else needs it: operands that lie as the output does are then read in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .passes import has_effect
from .plan import Output
from .program import Instruction, Program, Value, works_by_element

ALSO = ("where", "astype", "keep")  # elementwise, and no ufuncs


def arrange(program: Program, outputs: Sequence[Output], others: Iterable[Value]) -> None:
    """Give the outputs that have `axes` values with their axes in that order; `others` are wanted
    besides the outputs.
    """
    if not any(o.axes for o in outputs):
        return
    asked: dict[Value, set] = {v: {None} for v in others}
    for o in outputs:
        asked.setdefault(o.value, set()).add(o.axes)
    orders = orders_of(program, asked)
    found: dict[tuple[Value, tuple], Value] = {}
    for i in list(program.instructions):
        v = i.outputs[0] if i.outputs else None
        if v in orders:
            assert v is not None
            axes = orders[v]
            given = tuple([seen(program, found, a, axes) for a in i.args])
            shape = tuple([v.shape[n] for n in axes])
            found[v, axes] = program.put(i.name, given, {}, shape, v.dtype)
    for o in outputs:
        if o.axes:
            o.value = seen(program, found, o.value, o.axes)


def orders_of(program: Program, asked: dict[Value, set]) -> dict[Value, tuple]:
    """The values that are computed in another order, which is all that is asked of them; `asked`
    says for each value in which orders (None: its own) it is.
    """
    orders: dict[Value, tuple] = {}
    for i in reversed(program.instructions):
        wanted: set = set().union(*[asked.get(v, ()) for v in i.outputs])
        if not wanted and i.outputs and not has_effect(i):
            continue
        axes = wanted.pop() if len(wanted) == 1 and works(i) else None
        if axes is not None:
            orders[i.output] = axes
        for u in i.operands():
            whole = axes is not None and u.shape == i.output.shape
            asked.setdefault(u, set()).add(axes if whole else None)
    return orders


def works(i: Instruction) -> bool:
    """Whether an instruction works element by element."""
    return len(i.outputs) == 1 and not i.kwargs and (works_by_element(i.name) or i.name in ALSO)


def seen(program: Program, found: dict, a: Any, axes: tuple) -> Any:
    """An operand with its axes in another order."""
    if not isinstance(a, Value) or not a.shape:
        return a
    if (a, axes) not in found:
        whole, missing = a, len(axes) - len(a.shape)
        if missing:
            shape = (*[1] * missing, *a.shape)
            whole = program.put("reshape", (a, shape), {}, shape, a.dtype)
        shape = tuple([whole.shape[n] for n in axes])
        found[a, axes] = program.put("transpose", (whole, axes), {}, shape, a.dtype)
    return found[a, axes]
