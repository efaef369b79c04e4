"""Single operations at size: eager chainrule beside torch eager, without gradients.

Machine code is made once an operation has come back often enough, so each is first called as often.
On a busy machine medians say how libraries share it with others; the ratio of the quickest rounds
says what they need themselves.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from eager import measure

SIZES = (1_000, 100_000, 1_000_000, 10_000_000)
PAYS = 1 << 23  # elements after which an operation becomes machine code
PAUSE = 0.05  # seconds; torch's threads wait for some 15 ms on a processor before they sleep
COLUMNS = 100  # of the rows that softmax and layer_norm take


def adam(m: Any, x: Any, y: Any) -> Callable:
    """Adam's update of one parameter."""
    parameter = m.nn.Parameter(x)
    parameter.grad = y
    optimizer = m.optim.Adam([parameter])

    def update() -> Any:
        optimizer.step()
        return parameter.detach()

    return update


OPERATIONS: dict[str, Callable] = {
    "add": lambda m, x, y: lambda: m.add(x, y),
    "exp": lambda m, x, y: lambda: m.exp(x),
    "tanh": lambda m, x, y: lambda: m.tanh(x),
    "sum": lambda m, x, y: lambda: m.sum(x),
    "softmax": lambda m, x, y: lambda: m.softmax(x, 1),
    "layer_norm": lambda m, x, y: lambda: m.nn.functional.layer_norm(x, (COLUMNS,)),
    "gelu": lambda m, x, y: lambda: m.nn.functional.gelu(x),
    "adam": adam,
}


def compare(rounds: int, names: list[str] | None = None) -> None:
    """Print for every operation and size microseconds, the median ratio, and the ratio of the
    quickest rounds, then the means of both.
    """
    import torch

    import chainrule

    random = np.random.default_rng(0)
    ratios: dict[str, float] = {}
    least: dict[str, float] = {}
    for size in SIZES:
        shape = (size // COLUMNS, COLUMNS)
        arrays = [random.standard_normal(shape).astype(np.float32) for _ in range(2)]
        for name in names or OPERATIONS:
            steps = {
                word: OPERATIONS[name](m, *map(m.tensor, arrays))
                for word, m in (("chainrule", chainrule), ("torch", torch))
            }
            mine, theirs = (steps[word]().numpy() for word in steps)
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
            for _ in range(2 * PAYS // (size + 1000) + 3):
                steps["chainrule"]()
            times = measure(steps, rounds, PAUSE)
            ratio = statistics.median(
                a / b for a, b in zip(times["chainrule"], times["torch"], strict=True)
            )
            ratios[f"{name} of {size}"] = ratio
            quickest = least[f"{name} of {size}"] = min(times["chainrule"]) / min(times["torch"])
            mine, theirs = (1e6 * statistics.median(times[word]) for word in steps)
            print(
                f"{name:12s}{size:>10,d}   chainrule {mine:10.1f} us   torch {theirs:10.1f}"
                f"   ratio {ratio:.2f}   of the quickest {quickest:.2f}",
                flush=True,
            )
    summarize("Medians", ratios)
    summarize("Quickest rounds", least)


def summarize(title: str, ratios: dict[str, float]) -> None:
    """Print the geometric mean and the worst."""
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    worst = max(ratios, key=ratios.__getitem__)
    print(
        f"{title}: geometric mean {mean:.2f} (target 0.7), the worst {ratios[worst]:.2f} ({worst};"
        f" target 1.0), {sum(r > 1 for r in ratios.values())} of {len(ratios)} above 1.0."
    )
