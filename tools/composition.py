"""Write docs/composition.md: what works in which mode of differentiation, found by running it.

python tools/composition.py [--check | --torch | --compiled]

`--check`: exit 1 if a cell fails or the page is not up to date. `--torch`: run the programs on
torch, and say where it does otherwise than tests/composition.py says that it does. `--compiled`:
run them compiled, which takes minutes; exit 1 if one of them is wrong.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest

import chainrule
from tests import composition, test_modes, test_ops
from tests.composition import BEYOND, FORBIDDEN, MODES, OWN, PROGRAMS
from tests.op_table import Row, samples_of

TARGET = Path(__file__).resolve().parents[1] / "docs" / "composition.md"
WORKS, MORE, SAME, FAILS, NONE = "yes", "yes+", "error", "**FAILS**", "-"
WORST = (FAILS, SAME, WORKS, NONE)
HEAD = """# What composes with what

Written by `make docs` (`python tools/composition.py`), which runs every cell. The tests run them
too: tests/test_composition.py the programs, tests/test_ops.py and tests/test_modes.py the
operators. `python tools/composition.py --torch` runs the programs on torch.

## Programs

Every program computes x² sin(Ax), and each uses one feature to do so. Its figures in a mode are
held, to ten digits, to a formula in NumPy that knows nothing of this library. A mode is run in all
the ways there are to it, listed below.

- `yes`: the figures are right, in every way.
- `yes+`: the same, but not in torch 2.13, which in at least one of the ways raises, leaves the
  feature out, or gives other figures.
- `error`: torch forbids it, and the error here is of the same class and begins with the same words.
- Two marks: some of the ways work, and the others are forbidden.

All of this holds under `chainrule.compile` too: each way through each cell, as a whole, gives the
figures of the formula as a compiled function, called three times on other numbers, or is refused as
it is without. `python tools/composition.py --compiled` runs them all, and says which of them no
program could be made of.
"""
OPERATORS = """## Operators

One line for every public operator, over all its samples in the op table (tests/rows), each mode
held to another way to the same number: values to torch's; gradients and second gradients to finite
differences; forward mode to the transpose of reverse mode; vmap to a loop.

- `error`: vmap is impossible, in torch as here (the shape of the result would depend on the
  examples' values, or random numbers were not allowed), and is refused in torch's words.
- `-`: nothing to compute: the operator is not differentiable, takes no numbers, or its result is
  undefined.
"""
COLUMNS: dict[str, str] = {
    "value": "value",
    "grad": "grad",
    "gradgrad": "grad of grad",
    "jvp": "jvp",
    "jvp of grad": "jvp of grad",
    "vmap": "vmap",
    "vmap of grad": "vmap of grad",
    "vmap of jvp": "vmap of jvp",
}


# -- programs --------------------------------------------------------------------------------------


def program_mark(mode: str, program: str) -> str:
    """The mark of a cell, from running every way through it."""
    marks = []
    for way in MODES[mode].ways:
        if composition.complaint(chainrule, mode, program, way) is not None:
            marks.append(FAILS)
        elif way in FORBIDDEN.get(program, {}):
            marks.append(SAME)
        else:
            marks.append(MORE if program in OWN or way in BEYOND.get(program, ()) else WORKS)
    if MORE in marks:
        marks = [m for m in marks if m != WORKS]
    return ", ".join(m for m in (FAILS, MORE, WORKS, SAME) if m in marks)


def program_part() -> str:
    """The matrix of programs, its legend, and what is forbidden."""
    rows = [f"| program | {' | '.join(MODES)} |", "|---" * (len(MODES) + 1) + "|"]
    for name in PROGRAMS:
        marks = [program_mark(mode, name) for mode in MODES]
        rows.append(f"| {name} | {' | '.join(marks)} |")
    features = [f"- {name}: {program.about}" for name, program in PROGRAMS.items()]
    ways = [f"- {name}: {', '.join(mode.ways)}" for name, mode in MODES.items()]
    lines = [HEAD, *rows, "", "The programs:", "", *features, "", "The ways of each mode:", ""]
    return "\n".join([*lines, *ways, "", "What is forbidden:", "", *forbidden(), ""])


def compiled() -> bool:
    """Run every way through every cell compiled; print what is wrong, and what is run as it is."""
    good, kinds, made = True, Counter(), []  # type: ignore[var-annotated]
    watching = chainrule.compile

    def noted(*args: Any, **options: Any) -> Any:
        made.append(watching(*args, **options))
        return made[-1]

    vars(chainrule)["compile"] = noted
    for program in PROGRAMS:
        for mode, row in MODES.items():
            for way in row.ways:
                made.clear()
                wrong = composition.compiled_complaint(chainrule, mode, program, way)
                forbids = way in FORBIDDEN.get(program, {})
                kind = "refused" if forbids else "compiled" if made[0].entries else "as it is"
                kinds["wrong" if wrong else kind] += 1
                if wrong or kind == "as it is":
                    print(f"{program}, {mode}, {way}: {wrong or made[0].eager}", flush=True)
                good = good and wrong is None
    vars(chainrule)["compile"] = watching
    print(", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    return good


def forbidden() -> Iterator[str]:
    """A line for each error, with the cells that raise it."""
    for program, refused in FORBIDDEN.items():
        for refusal in dict.fromkeys(refused.values()):
            ways = [way for way, r in refused.items() if r == refusal]
            words = re.sub(r"\\(.)", r"\1", refusal.words)
            yield f"- {program}: {refusal.error.__name__}, `{words} ...`: {', '.join(ways)}"


# -- operators -------------------------------------------------------------------------------------


def passes(test: Callable, *args: Any) -> bool:
    """Whether one of the test functions has nothing to say."""
    try:
        test(*args)
    except pytest.fail.Exception:
        return False
    return True


def operator_mark(column: str, family: str, key: str, row: Row) -> str:
    """The mark of one row of the op table in a mode."""
    if column == "value":
        good = all(passes(test_ops.test_value, family, key, row, d) for d in row.dtypes)
        return WORKS if good else FAILS
    differentiated = row.grad and column != "vmap"
    if not (differentiated or (column == "vmap" and row.values)):
        return NONE
    if row.name in test_modes.UNDEFINED:
        return NONE
    dtypes = ["float64", *(["complex128"] if row.complex_grad else [])]
    if not row.grad:
        dtypes = [test_modes.main_dtype(row)]
    found = [mode_mark(column, row, dtype) for dtype in dtypes]
    return min(found, key=WORST.index)


def mode_mark(column: str, row: Row, dtype: str) -> str:
    """The mark of a row in a mode and dtype."""
    if column in ("grad", "gradgrad"):
        texts = [gradient(row, s, dtype, column == "gradgrad") for s in samples_of(row, dtype)]
        return FAILS if any(texts) else WORKS
    texts = [text for _, _, text in test_modes.complaints(row, column, dtype)]
    if any(texts):
        return FAILS
    if not texts:
        return NONE
    return SAME if column.startswith("vmap") and row.name in test_modes.FORBIDDEN else WORKS


def gradient(row: Row, sample: tuple, dtype: str, second: bool) -> str | None:
    """What finite differences say about the first, or also the second, derivatives."""
    return test_ops.checked(row, sample, dtype, second)


def families() -> dict[str, dict[str, list[tuple[str, Row]]]]:
    """The rows of every public operator, by family and name."""
    found: dict[str, dict[str, list]] = {}
    for family, key, row in test_ops.TABLE:
        found.setdefault(family, {}).setdefault(row.name, []).append((key, row))
    return {f: dict(sorted(names.items())) for f, names in sorted(found.items())}


def operator_part() -> str:
    """The counts for each mode, and a table for each family."""
    counts: dict[str, Counter] = {column: Counter() for column in COLUMNS}
    tables = []
    for family, names in families().items():
        tables += ["", f"### {family}", "", *header("operator")]
        for name, rows in names.items():
            marks = []
            for column in COLUMNS:
                found = [operator_mark(column, family, key, row) for key, row in rows]
                marks.append(min(found, key=WORST.index))
                counts[column][marks[-1]] += 1
            tables.append(f"| {name} | {' | '.join(marks)} |")
    summary = [
        f"| {mark} | {' | '.join(str(counts[c][mark]) for c in COLUMNS)} |"
        for mark in (WORKS, SAME, NONE, FAILS)
    ]
    return "\n".join([OPERATORS, *header("operators"), *summary, *tables, ""])


def header(first: str) -> list[str]:
    """The head of a table with a column for each mode."""
    return [f"| {first} | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]


# -- torch -----------------------------------------------------------------------------------------


def compare_torch() -> int:
    """Print where torch does otherwise than the table says."""
    torch = importlib.import_module("torch")
    for name in ("utils.checkpoint", "autograd.forward_ad", "func"):
        importlib.import_module(f"torch.{name}")
    wrong = 0
    for program in [p for p in PROGRAMS if p not in OWN]:
        for mode in MODES:
            for way in MODES[mode].ways:
                text = composition.complaint(torch, mode, program, way)
                if (text is not None) != (way in BEYOND.get(program, ())):
                    wrong += 1
                    print(f"{program}, {mode}, {way}: {text or 'works in torch'}")
    print(f"torch {torch.__version__}: {wrong} ways do otherwise than tests/composition.py says")
    return int(wrong > 0)


def main() -> int:
    """Write the page, or check it."""
    warnings.simplefilter("ignore")
    if "--torch" in sys.argv:
        return compare_torch()
    if "--compiled" in sys.argv:
        return int(not compiled())
    with contextlib.redirect_stdout(sys.stderr):
        text = f"{program_part()}\n{operator_part()}"
    if "--check" in sys.argv:
        stale = not TARGET.exists() or TARGET.read_text() != text
        return int(stale or FAILS in text)
    TARGET.write_text(text)
    failing = text.count(FAILS + " |") - 1  # one is the head of the counts
    print(f"wrote {TARGET}; {failing} cells fail")
    return int(FAILS in text.replace(f"| {FAILS} | 0", ""))


if __name__ == "__main__":
    sys.exit(main())
