"""Write docs/lowering.md: which operators run in a compiled program as calls of Python, and what of
them does; found by compiling every operator of the table on its samples.

python tools/lowering.py [--check] [name ...]

`--check`: exit 1 if the page is not up to date. Names: those operators alone, printed with what
each calls; nothing is written.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import chainrule as torch
from benchmarks.suite import PROGRAMS, step_of
from chainrule.arrays.duck import NoRule
from chainrule.compiler import api, draws, kept, plan
from chainrule.compiler.report import called
from chainrule.compiler.twofold import Twofold
from tests import rows
from tests.op_table import Constant, Row, each, find, samples_of

TARGET = Path(__file__).resolve().parents[1] / "docs" / "lowering.md"
DTYPES = ("float32", "int64", "float16", "complex64")  # of the others less is asked
HEAD = """# What runs in Python inside compiled programs

Written by `make docs` (`python tools/lowering.py`), which compiles every public operator on all its
samples in the op table (tests/rows): the operator alone and, where it is differentiable, with its
gradients. What has no machine code of its own is a call of Python inside the program: right, and
counted by `explain()`, but no faster than without `compile`.
"""


class Blank:
    """In place of a plan: this asks what would be called, and runs nothing."""

    def __init__(self, *given: Any, **more: Any) -> None:
        pass

    def run(self, *arrays: Any) -> None:
        """Do nothing."""


def function_of(row: Row, gradients: bool) -> Callable:
    """The operator, or its gradients too, as a function of a list of tensors and one that puts
    them into a call.
    """
    f = find(torch, row.name)

    def run(tensors: list, put: Callable) -> Any:
        args, kwargs = put(tensors)
        out = f(*args, **kwargs)
        if not gradients:
            return out
        found = [t for t in flat(out) if isinstance(t, torch.Tensor) and t.requires_grad]
        given = [t for t in tensors if t.requires_grad]
        if not found or not given:
            return out
        return torch.autograd.grad(
            found, given, [torch.ones_like(t) for t in found], allow_unused=True
        )

    return run


def flat(x: Any) -> list:
    """The leaves of nested results."""
    return [leaf for e in x for leaf in flat(e)] if isinstance(x, (tuple, list)) else [x]


def programs(row: Row, dtype: str) -> Iterator[Counter]:
    """What the programs of a row's samples call of Python."""
    own = row.name.endswith("_")  # leaves that require grad are not written in place
    for sample in samples_of(row, dtype)[: None if dtype == DTYPES[0] else 2]:
        for gradients in (False, True) if row.grad and not own else (False,):
            arrays: list = []
            each(arrays.append, sample)
            tensors = [torch.from_numpy(np.array(a)) for a in arrays]
            for t, a in zip(tensors, arrays, strict=True):
                if gradients and a.dtype.kind in "fcV" and not isinstance(a, Constant):
                    t.requires_grad_()

            def put(given: list, sample: Any = sample) -> Any:
                rest = iter(given)
                return each(lambda _: next(rest), sample)

            compiled = api.compile(function_of(row, gradients), fullgraph=True)
            compiled(tensors, put)
            found: Counter = Counter()
            for entry in compiled.entries:
                for p in (entry.planner, getattr(entry, "back", None)):
                    for i in p.python if p is not None else ():
                        found[called(i) if i.name == "python" else i.name] += 1
            yield found


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Programs are planned, and never run."""
    before = plan.Planner.compile, draws.plan_for, api.Compiled.first, Twofold.run, kept.key_of
    plan.Planner.compile = lambda _: defaultdict(int)  # type: ignore[method-assign]
    kept.key_of = lambda *_: None  # type: ignore[assignment]
    draws.plan_for = lambda _: Blank  # type: ignore[assignment,return-value]
    api.Compiled.first = Twofold.run = lambda *_: None  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        plan.Planner.compile, draws.plan_for, api.Compiled.first = before[:3]  # type: ignore[method-assign]
        Twofold.run, kept.key_of = before[3:]  # type: ignore[method-assign]


def surveyed(row: Row) -> dict[str, Counter] | str:
    """What a row calls in each dtype; or why it cannot be compiled."""
    out = {}
    for dtype in DTYPES:
        if dtype in row.dtypes:
            try:
                out[dtype] = sum(programs(row, dtype), Counter())
            except Exception as why:
                return NUMBERS if isinstance(why, NoRule) else f"{type(why).__name__}: {why}"
    return out


# -- the page --------------------------------------------------------------------------------------


def suite() -> str:
    """What the programs of the benchmark call."""
    said = []
    for name, (make, _) in PROGRAMS.items():
        program = make(torch)
        step = api.compile(step_of(program), fullgraph=True)
        step(*program.arguments)
        (entry,) = step.entries
        count = len(entry.planner.python) + len(getattr(entry, "back", entry.planner).python)
        said.append(f"{name} {count}")
    return ", ".join(said)


def page() -> str:
    """The page."""
    found = {}
    for family in rows.families().values():
        for row in family:
            old = found.get(row.name, {})
            new = surveyed(row)
            both = isinstance(old, dict) and isinstance(new, dict)
            found[row.name] = merged(old, new) if both else new if isinstance(new, str) else old
    lines = [HEAD, "| dtype | operators | of them without a call of Python |", "|---|---|---|"]
    for dtype in DTYPES:
        known = [f[dtype] for f in found.values() if isinstance(f, dict) and dtype in f]
        lines.append(f"| {dtype} | {len(known)} | {sum(not c for c in known)} |")
    lines += ["", f"Calls in the programs of benchmarks/suite.py: {suite()}.", "", CALLS]
    rest = []
    for name, f in sorted(found.items()):
        if isinstance(f, str):
            rest.append(f"- `{name}`: {f}")
            continue
        calls: dict[str, list[str]] = {}
        for dtype, counter in f.items():
            for one in counter:
                calls.setdefault(one.replace("<lambda>", "its own code"), []).append(dtype)
        if calls:
            said = [f"{one} ({', '.join(kinds)})" for one, kinds in sorted(calls.items())]
            lines.append(f"- `{name}`: {'; '.join(said)}")
    return "\n".join([*lines, "", REST, *rest]) + "\n"


def merged(a: dict, b: dict) -> dict:
    """What two rows of one operator call."""
    return {k: a.get(k, Counter()) + b.get(k, Counter()) for k in {**a, **b}}


CALLS = """## Operators that call Python

After each name what is called, and for which dtypes. Often only some samples do: the others, and
gradients, are machine code.
"""
REST = """## Operators that no program can hold

The function is then run as it is (with `fullgraph=True`: an error).
"""
NUMBERS = "what it does depends on the numbers it is given"


def main(arguments: list[str]) -> int:
    """Write or check the page, or print what some operators call."""
    warnings.simplefilter("ignore")
    names = [a for a in arguments if not a.startswith("--")]
    with asking():
        if names:
            for row in [r for family in rows.families().values() for r in family]:
                if row.name in names:
                    print(row.name, surveyed(row))
            return 0
        text = page()
    if "--check" in arguments:
        return int(TARGET.read_text() != text)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
