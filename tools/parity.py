"""Compare chainrule with torch over torch's own databases of operators, modules and optimizers.

python tools/parity.py [--limit N] [--write docs/parity.md] [name ...]

For every entry and dtype, torch's sample inputs are given to both: results (values, dtypes,
shapes), gradients, second gradients, forward mode, forward over reverse, vmap, results for inputs
with gaps in memory, the method, in-place and operator forms, and the class of the errors for bad
input. Entries that differ need a reason in tools/parity_reasons.txt; names that programs use most
are listed in tools/required_names.txt and must exist. Otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from parity_modes import check_modes
from parity_modules import MODULES, OPTIMIZERS, check_module, check_optimizer
from parity_names import entries_of, exists, required_names
from parity_operators import MISSING, OPERATORS, check_operator
from parity_report import Outcome, page, reasons, told

warnings.simplefilter("ignore")


def check_entry(outcome: Outcome, info: Any, limit: int) -> None:
    """Run an operator, plainly and under the transformations."""
    check_operator(outcome, info, limit)
    check_modes(outcome, info, limit)


def entries() -> dict[str, Callable[[Outcome, int], None]]:
    """Every entry of torch's databases that chainrule has: what checks it, by label."""
    found: dict[str, Callable] = {}
    for check, infos in (
        (check_entry, OPERATORS),
        (check_module, MODULES),
        (check_optimizer, OPTIMIZERS),
    ):
        found |= {label: lambda o, n, c=check, i=i: c(o, i, n) for label, i in infos.items()}
    return found


ENTRIES = entries()


def run_one(label: str, limit: int) -> Outcome:
    """Check one entry; an exception of the check itself is a problem of the entry."""
    outcome = Outcome(label)
    try:
        ENTRIES[label](outcome, limit)
    except Exception as e:
        outcome.note("value", "the check itself", f"raised {told(e)}")
    return outcome


def run_all(labels: list[str], limit: int, processes: int) -> list[Outcome]:
    """Check the entries, several at once, in order."""
    torch.set_num_threads(1)
    if processes == 1 or len(labels) < 8:
        return [run_one(label, limit) for label in labels]
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(processes, fork) as pool:
        return list(pool.map(run_one, labels, itertools.repeat(limit), chunksize=4))


def tell(outcomes: list[Outcome], why: dict[str, str], show: int) -> None:
    """Print what differs: the first differences, or the reason."""
    for o in outcomes:
        if o.problems:
            known = f"  [{why[o.label]}]" if o.label in why else ""
            print(f"{o.label}: {len(o.problems)} of {sum(o.checks.values())} checks differ{known}")
            for kind, text in o.problems[: 0 if known else show]:
                print(f"    {kind}, {text}")


def summary(outcomes: list[Outcome], why: dict[str, str], whole: bool) -> int:
    """Print how it went; 1 if something differs without a reason or a required name is missing."""
    good = {o.label for o in outcomes if not o.problems}
    unexplained = {o.label for o in outcomes} - good - set(why)
    missing = [n for n in required_names() if not exists(n)] if whole else []
    print(
        f"{len(good)} of {len(outcomes)} entries agree; {len(unexplained)} differ without a reason"
    )
    if missing:
        print(f"required names that are missing: {', '.join(missing)}")
    if good & set(why):
        print(f"agree although a reason is given: {', '.join(sorted(good & set(why)))}")
    return 1 if unexplained or missing else 0


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", help="entries, with their variants; all if none are given"
    )
    parser.add_argument("--limit", type=int, default=24, help="samples per entry and dtype")
    parser.add_argument("--show", type=int, default=4, help="differences to print per entry")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, help="write the table there")
    asked = parser.parse_args()
    heads = tuple(f"{n}." for n in asked.names)
    labels = [x for x in ENTRIES if not heads or f"{x}.".startswith(heads)]
    outcomes, why = run_all(labels, asked.limit, asked.processes), reasons()
    tell(outcomes, why, asked.show)
    if asked.write:
        names = {n: entries_of(n) for n in required_names()}
        existing, missing = sum(map(exists, names)), ", ".join(MISSING)
        asked.write.write_text(page(outcomes, why, names, existing=existing, missing=missing))
    return summary(outcomes, why, whole=not heads)


if __name__ == "__main__":
    sys.exit(main())
