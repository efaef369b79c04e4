"""Compiled chainrule beside torch eager, torch.compile and jax.jit, in one run: whole steps,
interleaved rounds, medians of ratios.

python benchmarks/compiled.py [--rounds 15] [--threads 2] [--only mlp,gpt] [--torch-compile]
                              [--write docs/compiled_benchmarks.md]
python benchmarks/compiled.py --latency | --memory | --eager

Three steps of every peer are compared with torch's, values and what they leave behind, before
anything is timed. What a peer cannot do is an error in the table, and a result that differs from
torch's makes the command fail at its end.
"""

from __future__ import annotations

import argparse
import collections
import math
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import eager_ops
import numpy as np
import processes
import suite
from peers import PEERS, Peer, disagreement, outcome

MINE, REFERENCE, AGAIN = "chainrule compiled", "torch eager", "torch again"
OTHERS = ("torch eager", "torch.compile", "jax.jit")
ROUND = 0.02  # seconds that a peer is timed for in a round, at least one step
PAUSE = 0.25  # seconds before each turn: BLAS threads of the one before wait busily for up to 0.2


class Row(NamedTuple):
    """One program: milliseconds and errors by peer, the fastest peer, and the median ratios."""

    name: str
    target: float
    times: dict[str, float]
    errors: dict[str, str]
    best: str
    ratio: float | None  # compiled over the best peer
    noise: float  # torch over torch
    note: str  # what became of the program


def interleaved(steps: dict[str, Callable], rounds: int, clock: Callable) -> dict[str, list[float]]:
    """Seconds per call of each step, round by round. The order rotates, and a call that is not
    timed comes first, so that nobody pays for the caches or the waking threads of the one before.
    """
    names, counts = list(steps), {}
    for name, step in steps.items():
        counts[name] = max(1, int(ROUND / min(once(step) for _ in range(3))))
    times: dict[str, list[float]] = {name: [] for name in names}
    for n in range(rounds):
        turn = n % len(names)
        for name in names[turn:] + names[:turn]:
            step, count = steps[name], range(counts[name])
            time.sleep(PAUSE)
            step()
            start = clock()
            for _ in count:
                step()
            times[name].append((clock() - start) / len(count))
    return times


def once(step: Callable) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def middle(times: list[float], others: list[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def prepare(name: str, peers: list[str]) -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers that compute what torch computes, and why the others do not."""
    built: dict[str, Peer] = {}
    errors: dict[str, str] = {}
    reference: list = []
    for peer in peers:
        try:
            made = PEERS[peer](name)
            found = outcome(made)
        except Exception as error:
            errors[peer] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
            continue
        reference = reference or found
        wrong = disagreement(found, reference)
        if wrong:
            errors[peer] = f"WRONG: {wrong}"
        else:
            built[peer] = made
    return built, errors


def note_of(compiled: Any) -> str:
    """What became of a compiled function: the instructions that run as Python calls, counted."""
    if not compiled.entries:
        return f"not compiled: {compiled.eager or 'its first call cannot be repeated'}"
    calls = [i for entry in compiled.entries for i in entry.planner.python]
    kinds = collections.Counter(i.name for i in calls)
    listed = ", ".join(f"{count} {name}" for name, count in kinds.most_common())
    return f"Python calls: {listed}" if calls else ""


def row_of(name: str, peers: list[str], rounds: int, clock: Callable) -> Row:
    """Check and time one program."""
    built, errors = prepare(name, peers)
    steps = {peer: made.step for peer, made in built.items()}
    steps[AGAIN] = steps[REFERENCE]
    times = interleaved(steps, rounds, clock)
    medians = {peer: 1e3 * statistics.median(t) for peer, t in times.items()}
    best = min((p for p in OTHERS if p in medians), key=medians.__getitem__)
    ratio = middle(times[MINE], times[best]) if MINE in times else None
    note = note_of(built[MINE].compiled) if MINE in built else errors.get(MINE, "")
    noise = middle(times[AGAIN], times[REFERENCE])
    return Row(name, suite.PROGRAMS[name][1], medians, errors, best, ratio, noise, note)


def compare(names: list[str], peers: list[str], options: argparse.Namespace) -> list[Row]:
    """All programs, printed as they are done. torch.compile is tried in a process of its own
    first, which is ended after a while and leaves its code in torch's cache.
    """
    clock = time.process_time if options.cpu else time.perf_counter
    rows = []
    for name in names:
        taking, failed = list(peers), {}
        if "torch.compile" in peers:
            trial = processes.run("torch.compile", name, limit=options.limit)
            if "error" in trial:
                taking.remove("torch.compile")
                failed["torch.compile"] = trial["error"]
        row = row_of(name, taking, options.rounds, clock)
        row.errors.update(failed)
        rows.append(row)
        print(line(row), flush=True)
    return rows


def line(row: Row) -> str:
    """A row as it is printed."""
    cells = [f"{row.name:18s}"]
    for peer in PEERS:
        if peer in row.times or peer in row.errors:
            cells.append(f"{peer} {amount(row, peer):>8s}")
    ratio = "   -" if row.ratio is None else f"{row.ratio:.2f}"
    return "  ".join([*cells, f"ratio {ratio} (target {row.target})", row.note])


def amount(row: Row, peer: str) -> str:
    """Milliseconds, or that there are none."""
    if peer in row.times:
        return f"{row.times[peer]:.4g}"
    return "error" if peer in row.errors else "-"


def summary(rows: list[Row]) -> str:
    """The geometric mean of the ratios, and the worst."""
    ratios = {r.name: r.ratio for r in rows if r.ratio is not None}
    if not ratios:
        return "nothing was compiled"
    worst = max(ratios, key=ratios.__getitem__)
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    missing = len(rows) - len(ratios)
    return (
        f"Geometric mean of the ratios {mean:.2f} (target 0.5), the worst {ratios[worst]:.2f}"
        f" ({worst}; target 1.0)"
        + (f"; {missing} of {len(rows)} programs are missing from both" if missing else "")
        + "."
    )


# -- the report ------------------------------------------------------------------------------------


def report(rows: list[Row], load: str, plot: str) -> str:
    """The page for the documentation."""
    peers = [p for p in PEERS if any(p in r.times or p in r.errors for r in rows)]
    heads = [
        "program",
        *(f"{p}, ms" for p in peers),
        "compiled / best peer",
        "target",
        "torch/torch",
    ]
    lines = [
        "# Benchmarks of compiled steps",
        "",
        (
            "One whole step, with the optimizer's update where there is one, float32. Medians over"
            " interleaved rounds in one run; the ratio is the median of compiled chainrule's time"
            " over the fastest peer's (torch eager, torch.compile, jax.jit), round by round;"
            " torch against itself shows the noise. Values and what steps leave behind agree with"
            " torch's: checked before anything is timed. `benchmarks/suite.py` has the programs."
        ),
        "",
        f"![time of a step over torch eager's]({plot})",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        cells = [row.name, *(amount(row, p) for p in peers), ratio, row.target, f"{row.noise:.2f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    remarks = [f"- `{r.name}`, {peer}: {text}" for r in rows for peer, text in r.errors.items()]
    remarks += [f"- `{r.name}`, {MINE}: {r.note}" for r in rows if r.note and MINE in r.times]
    lines += ["", summary(rows), "", *remarks, *([""] if remarks else []), made_by(load), ""]
    return "\n".join(lines)


def made_by(load: str) -> str:
    """Where the figures come from."""
    import jax
    import torch

    return (
        f"Made by `make bench`: Python {platform.python_version()}, NumPy {np.__version__},"
        f" torch {torch.__version__}, jax {jax.__version__}, {torch.get_num_threads()} threads,"
        f" {platform.machine()}; load average of the machine {load}."
    )


COLOURS = ("#9a9a9a", "#c9a227", "#5b8bd0", "#b9d7a8", "#2f7d32")


def draw(rows: list[Row], path: pathlib.Path) -> None:
    """A point for each program and peer: its time over torch eager's, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "chainrule"
    peers = [p for p in PEERS if any(p in r.times for r in rows)]
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.5 * len(rows)))
    for peer in peers:
        taken = [
            (i, r.times[peer] / r.times[REFERENCE]) for i, r in enumerate(rows) if peer in r.times
        ]
        axes.plot(
            [ratio for _, ratio in taken],
            [i for i, _ in taken],
            "o",
            label=peer,
            color=COLOURS[list(PEERS).index(peer)],
        )
    axes.set_yticks(range(len(rows)), [r.name for r in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.grid(axis="y", linewidth=0.3)
    axes.axvline(1, color="black", linewidth=0.5)
    axes.set_xlabel("time of one step / torch eager's (less is faster)")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


# -- the command -----------------------------------------------------------------------------------


def confine(threads: int) -> None:
    """Begin anew on that many cores: BLAS, OpenMP and XLA count them when they are loaded."""
    if len(os.sched_getaffinity(0)) != threads:
        cores = sorted(os.sched_getaffinity(0))[:threads]
        if len(cores) < threads:
            raise SystemExit(f"--threads {threads}: there are {len(cores)} cores")
        os.sched_setaffinity(0, cores)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def load_average() -> str:
    return " ".join(f"{x:.2f}" for x in os.getloadavg())


def run_suite(options: argparse.Namespace, names: list[str]) -> None:
    """Measure, print, and write table and plot if asked to."""
    peers = [p for p in PEERS if p != "torch.compile" or options.torch_compile]
    load = load_average()
    rows = compare(names, peers, options)
    load = f"{load} at the beginning, {load_average()} at the end"
    if options.cpu:
        load += "; CPU time, not the clock's"
    print(summary(rows), f"Load average: {load}.")
    if options.write:
        plot = options.write.with_suffix(".svg")
        options.write.write_text(report(rows, load, plot.name))
        draw(rows, plot)
        print("wrote", options.write, "and", plot)
    if any(text.startswith("WRONG") for r in rows for text in r.errors.values()):
        raise SystemExit("a peer's results differ from torch's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=15)
    add("--threads", type=int, help="cores to use (default: all)")
    add("--cpu", action="store_true", help="CPU time, for a busy machine (with --threads 1)")
    add("--only", help="names of programs, separated by commas")
    add("--torch-compile", action="store_true", help="torch.compile as well: minutes")
    add("--limit", type=float, default=300, help="seconds that torch.compile may take a program")
    add("--write", type=pathlib.Path)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--latency", action="store_true", help="what the first call costs")
    kinds.add_argument("--memory", action="store_true", help="the peak of the resident memory")
    kinds.add_argument("--eager", action="store_true", help="single operations, eager, at size")
    options = parser.parse_args()
    if options.cpu and options.threads != 1:
        parser.error("--cpu adds up the time of all threads: it needs --threads 1")
    if options.threads:
        confine(options.threads)
    names = options.only.split(",") if options.only else None
    if options.latency:
        processes.print_latency(names or processes.LATENCY)
    elif options.memory:
        processes.print_memory(names or processes.MEMORY)
    elif options.eager:
        eager_ops.compare(options.rounds, names)
    else:
        run_suite(options, names or list(suite.PROGRAMS))


if __name__ == "__main__":
    main()
