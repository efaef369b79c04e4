"""What a call of a compiled step costs besides its native code, and what a second thread gains.

python benchmarks/overhead.py

The first is the time of a whole call less that of the native part, for a step with two arrays as
arguments and twenty parameters; the second the time of a step with one thread over that with two,
in turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import peers

import chainrule
from chainrule import nn

SCALED = ("mlp", "gpt", "elementwise", "heat")
ROUNDS = 21


def seconds(f: Callable, count: int) -> float:
    """Seconds of one of so many calls."""
    start = time.perf_counter()
    for _ in range(count):
        f()
    return (time.perf_counter() - start) / count


def made(kind: Any) -> tuple[Callable, Any, tuple]:
    """A compiled step with twenty parameters, its entry, and its arguments."""
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(10)])
    optimizer = kind(model.parameters(), lr=1e-3)

    @chainrule.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    arguments = chainrule.randn(8, 4), chainrule.randn(8, 4)
    for _ in range(12):
        step(*arguments)
    return step, step.entries[0], arguments


def share(kind: Any) -> tuple[float, float]:
    """Microseconds of a call and of its native part: the least of many."""
    step, entry, arguments = made(kind)
    given = [arguments[n]._data for n in entry.positions]
    given += [np.empty(shape, dtype) for shape, dtype in entry.made]
    enter = entry.plan.enter
    whole, native = [], []
    for _ in range(20 * ROUNDS):
        whole.append(seconds(lambda: step(*arguments), 200))
        native.append(seconds(lambda: enter(*given), 200))
    return 1e6 * min(whole), 1e6 * min(native)


def gain(name: str) -> tuple[float, float]:
    """Milliseconds of a step with one thread, and how many times that of two it is."""
    steps = {}
    for threads in (1, 2):
        chainrule.set_num_threads(threads)
        made = peers.chainrule_compiled(name)
        for _ in range(12):
            made.step()
        steps[threads] = made.step
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for threads, step in steps.items():
            chainrule.set_num_threads(threads)
            seconds(step, 5)  # the threads are new
            times[threads].append(seconds(step, 20))
    ratios = [a / b for a, b in zip(times[1], times[2], strict=True)]
    return 1e3 * statistics.median(times[1]), statistics.median(ratios)


def main() -> None:
    for name in ("SGD", "Adam"):
        whole, native = share(getattr(chainrule.optim, name))
        print(
            f"{name}, 2 arguments, 20 parameters: {whole:.2f} us a call, {native:.2f} native,"
            f" {whole - native:.2f} Python's"
        )
    for name in SCALED:
        one, ratio = gain(name)
        print(f"{name}: {one:.2f} ms with one thread, {ratio:.2f} times that of two")


if __name__ == "__main__":
    main()
