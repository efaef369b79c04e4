"""What a comparison with torch found, and docs/parity.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

KINDS = {
    "value": "values",
    "gradient": "gradients",
    "second gradient": "gradgrad",
    "forward": "forward",
    "forward over reverse": "forward over reverse",
    "vmap": "vmap",
    "strided": "strided",
    "form": "forms",
    "error": "errors",
}  # of checks, and the heads of their columns
REASONS = Path(__file__).resolve().parent / "parity_reasons.txt"
PAGE = """# Parity with torch

chainrule beside torch {version} (CPU) over torch's own databases of operators, modules and
optimizers; written by `make parity` (`python tools/parity.py --write docs/parity.md`).

- {good} of {entries} entries agree in all their samples ({samples:,} altogether): values, dtypes
  and shapes in every dtype, gradients, second gradients (in the inputs and the weights), tangents
  of results and of gradients in float64 and complex128 (forward mode, forward over reverse), vmap
  (a batch of every tensor, and of the first alone), inputs with gaps in memory, method, in-place
  and operator forms, and the classes of errors. {explained} differ for the reason given.
- Entries that agree in all checks of a column, of those that have any (torch refuses the others, or
  has no samples): {columns}.
- {existing} of the {names} names that PyTorch programs use most (tools/required_names.txt) exist;
  {checked} of them have entries here, and of these {agreeing} agree in all{but}.
- Not here: {missing}.

"""


@dataclass
class Outcome:
    """What came of one entry: how many checks of each kind, and what differed."""

    label: str
    samples: int = 0
    checks: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)  # (kind, text)

    def note(self, kind: str, where: str, complaint: str | None) -> None:
        """Count a check, and keep what was wrong."""
        self.checks[kind] = self.checks.get(kind, 0) + 1
        if complaint:
            self.problems.append((kind, f"{where}: {complaint}"))

    def cell(self, kind: str) -> str:
        """The entry's cell of the table."""
        count, wrong = self.checks.get(kind, 0), sum(k == kind for k, _ in self.problems)
        return f"{wrong} of {count} differ" if wrong else "equal" if count else ""


def told(e: Exception) -> str:
    """An error in short."""
    return f"{type(e).__name__}: {str(e)[:160]}"


def reasons() -> dict[str, str]:
    """Why entries differ, by label."""
    lines = REASONS.read_text().split("\n")
    return dict(line.split(": ", 1) for line in lines if line and line[0] != "#")


def page(
    outcomes: list[Outcome], why: dict, names: dict[str, list[str]], **facts: str | int
) -> str:
    """docs/parity.md; `names` are the required names with the entries that check each."""
    wrong = {o.label for o in outcomes if o.problems}
    checked = {n: labels for n, labels in names.items() if labels}
    rest = [n for n, labels in checked.items() if wrong & set(labels)]
    columns = [f"{head} {share(outcomes, kind)}" for kind, head in KINDS.items()]
    facts |= {
        "columns": ", ".join(columns),
        "version": torch.__version__.partition("+")[0],
        "good": len(outcomes) - len(wrong),
        "entries": len(outcomes),
        "samples": sum(o.samples for o in outcomes),
        "explained": len(wrong & set(why)),
        "names": len(names),
        "checked": len(checked),
        "agreeing": len(checked) - len(rest),
        "but": f" (not: {', '.join(rest)})" if rest else "",
    }
    table = [row(o, why.get(o.label, "") if o.problems else "") for o in outcomes]
    heads = ("entry", "samples", *KINDS.values(), "")
    top = f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    return PAGE.format(**facts) + top + "".join(table)


def share(outcomes: list[Outcome], kind: str) -> str:
    """How many entries have checks of a kind, and in how many of these all agree."""
    cells = [c for c in (o.cell(kind) for o in outcomes) if c]
    return f"{cells.count('equal')} of {len(cells)}"


def row(o: Outcome, reason: str) -> str:
    """An entry's line of the table."""
    return f"| {' | '.join((o.label, str(o.samples), *map(o.cell, KINDS), reason))} |\n"
