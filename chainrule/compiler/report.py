"""What `explain()` says of a compiled function."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .fuse import Nest


def report(compiled: Any) -> str:
    """The programs of a compiled function, their kernels, memory and guards."""
    f = compiled.function
    name = getattr(f, "__qualname__", type(f).__name__)
    lines = [f"{name}: captured {compiled.captures} times, {compiled.hits} calls compiled"]
    if compiled.eager is not None:
        lines.append(f"  run as it is: {compiled.eager}")
    for n, entry in enumerate(compiled.entries, 1):
        lines += [f"program {n}, made in {entry.seconds * 1e3:.0f} ms", *described(entry)]
    return "\n".join(lines)


def described(entry: Any) -> list[str]:
    """One program."""
    planner, program = entry.planner, entry.program
    given = ", ".join(v.type for v in program.inputs if v in planner.arguments)
    state = sum(1 for o in planner.outputs if o.target is not None)
    made = [o.type for o in planner.outputs if o.target is None and o.array is None]
    lines = [
        f"  takes     {given or 'nothing'}",
        f"  returns   {', '.join(made) or 'nothing'}",
        f"  state     {len(entry.state)} tensors read in place, {state} memories written,"
        f" {sum(1 for _, g in entry.grads if g is not None)} gradients",
        f"  guards    {len(entry.kinds)} arguments, {len(entry.state)} arrays,"
        f" {len(entry.edges.tables)} objects, {len(entry.guarded)} values",
        *([f"  speed     {entry.verdict}"] if entry.verdict else []),
        f"  captured  {entry.captured} operations, {len(program.instructions)} after simplifying",
    ]
    if not hasattr(planner, "groups"):
        return [*lines, "  runs      through NumPy (llvmlite is not installed)"]
    nests = [g for g in planner.groups if isinstance(g, Nest)]
    calls = Counter(name_of(g.members[0]) for g in planner.groups if not isinstance(g, Nest))
    calls.subtract(Counter(map(name_of, planner.python)))
    fused = sum(len(g.members) for g in nests)
    lines.append(
        f"  kernels   {len(nests)} loop nests of {fused} operations,"
        f" {len(set(planner.kernel_texts()))} different; memory {planner.arena / 1024:.0f} KiB"
    )
    library = ", ".join(f"{n} {name}" for name, n in calls.items() if n > 0)
    lines.append(f"  library   {library or 'nothing'}")
    python = Counter(map(name_of, planner.python))
    said = ", ".join(f"{n} {name}" for name, n in python.items())
    lines.append(f"  Python    {said or 'nothing'}")
    for g in planner.groups:
        if isinstance(g, Nest):
            size = " x ".join(map(str, g.dims)) or "1"
            lines.append(f"    loop {size}: {', '.join(i.name for i in g.members)}")
        else:
            lines.append(f"    {g.members[0]}")
    return lines


def name_of(i: Any) -> str:
    """What an instruction calls."""
    return called(i) if i.name == "python" else i.name  # type: ignore[no-any-return]


def called(i: Any) -> str:
    """The name of the function that a call of Python makes."""
    return getattr(i.args[0], "__name__", "function")
