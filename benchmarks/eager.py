"""Eager chainrule beside torch and HIPS autograd, in one run: interleaved rounds, medians of
ratios.

python benchmarks/eager.py [--rounds 31] [--write docs/benchmarks.md]

Each program computes a value and its gradients. Every peer's gradients are compared with torch's
before anything is timed.
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

HIDDEN = np.array([[-0.0053, 0.3793], [-0.5820, -0.5204], [-0.2723, 0.1896]], np.float32).T.copy()
WEIGHTS = [
    HIDDEN,
    np.array([-0.0140, 0.5607, -0.0628], np.float32),
    np.array([[0.1528, -0.1745, -0.1135]], np.float32).T.copy(),
    np.array([-0.5516], np.float32),
]
SIXTEEN = np.linspace(0.1, 1.6, 16, dtype=np.float32)


def polynomial(m: Any, x: Any) -> Any:
    """Seed 002: a polynomial of a scalar."""
    return 2 * x**4 + x**3 + 3 * x**2 + 5 * x + 1


def network(m: Any, w0: Any, b0: Any, w1: Any, b1: Any) -> Any:
    """Seed 000: two inputs, three hidden units, one output, mean squared error."""
    hidden = 1 / (1 + m.exp(-m.matmul(network.inputs[m], w0 + b0)))
    return m.mean(m.square(m.matmul(hidden, w1) + b1 - network.targets[m]))


network.inputs, network.targets = {}, {}


def squares(m: Any, x: Any) -> Any:
    """The sum of squares of a 2x2 matrix."""
    return (x**2).sum()


def squares_method(m: Any, x: Any) -> Any:
    """The same by methods, as seed 000 writes it."""
    return x.pow(2).sum()


def chain(m: Any, x: Any) -> Any:
    """2000 elementwise operations, of ten kinds, on 16 floats."""
    y = x
    for _ in range(200):
        y = m.sin(y)
        y = y * 1.1
        y = y + x
        y = m.tanh(y)
        y = m.exp(-y)
        y = y - x
        y = m.cos(y)
        y = y * x
        y = y + 0.5
    return y.sum()


PROGRAMS: dict[str, tuple[Callable, list]] = {
    "polynomial of a scalar": (polynomial, [np.float32(2.0)]),
    "network 2-3-1": (network, WEIGHTS),
    "x.pow(2).sum() on 2x2": (squares_method, [np.array([[2, -1], [1, 1]], np.float32)]),
    "chain of 2000 ops on 16 floats": (chain, [SIXTEEN]),
}


def taped(m: Any, program: Callable, arrays: list) -> tuple[Callable, Callable]:
    """(one forward and backward, the gradients it leaves) for a library with torch's interface."""
    leaves = [m.tensor(a.tolist(), requires_grad=True) for a in arrays]
    network.inputs[m], network.targets[m] = m.tensor([[1.0, 1.0]]), m.tensor([[0.0]])

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        program(m, *leaves).backward()

    return step, lambda: [x.grad.tolist() for x in leaves]


def hips(program: Callable, arrays: list) -> tuple[Callable, Callable]:
    """The same for HIPS autograd, where it can express the program."""
    import autograd
    import autograd.numpy as m

    network.inputs[m], network.targets[m] = (
        np.ones((1, 2), np.float32),
        np.zeros((1, 1), np.float32),
    )
    program = squares if program is squares_method else program
    gradient = autograd.grad(lambda *xs: program(m, *xs), tuple(range(len(arrays))))
    values = [np.asarray(a) for a in arrays]

    def plain() -> list:
        return [np.asarray(g).tolist() for g in gradient(*values)]

    return lambda: gradient(*values), plain


def measure(steps: dict[str, Callable], rounds: int, pause: float = 0.0) -> dict[str, list[float]]:
    """Seconds per call of each step, round by round in turn; each round lasts about 20 ms, after a
    pause in which threads of the step before, that still wait for more, go to sleep, and half as
    many calls in which its own wake up.
    """
    counts = {}
    for name, step in steps.items():
        step()
        start = time.perf_counter()
        step()
        counts[name] = max(1, int(0.02 / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            if pause:
                time.sleep(pause)
                for _ in range(counts[name] // 2):
                    step()
            start = time.perf_counter()
            for _ in range(counts[name]):
                step()
            times[name].append((time.perf_counter() - start) / counts[name])
    return times


def compare(rounds: int) -> list[tuple[str, float, float, float, float]]:
    """For each program: microseconds of chainrule, torch and autograd, and the median ratio to
    torch.
    """
    import torch

    import chainrule

    rows = []
    for name, (program, arrays) in PROGRAMS.items():
        peers = {
            "chainrule": taped(chainrule, program, arrays),
            "torch": taped(torch, program, arrays),
            "autograd": hips(program, arrays),
        }
        for step, _ in peers.values():
            step()
        reference = peers["torch"][1]()
        for peer, (_, gradients) in peers.items():
            for mine, theirs in zip(gradients(), reference, strict=True):
                np.testing.assert_allclose(
                    mine, theirs, rtol=1e-3, atol=1e-5, err_msg=f"{name} {peer}"
                )
        times = measure({peer: step for peer, (step, _) in peers.items()}, rounds)
        ratio = statistics.median(
            a / b for a, b in zip(times["chainrule"], times["torch"], strict=True)
        )
        rows.append((name, *(1e6 * statistics.median(times[p]) for p in peers), ratio))
        print(
            "{:32s} chainrule {:9.1f} us   torch {:9.1f}   autograd {:9.1f}   ratio {:.2f}".format(
                *rows[-1]
            ),
            flush=True,
        )
    return rows


TARGETS = (0.35, 0.5, 0.5, 0.5)


def report(rows: list) -> str:
    """The table for the documentation."""
    import torch

    lines = [
        "# Benchmarks",
        "",
        (
            "Forward and backward of small programs, eager, float32: where overhead is everything."
            " Medians over interleaved rounds in one run; the ratio is the median of chainrule's"
            " time over torch's, round by round."
        ),
        "",
        (
            "Whole steps, compiled, beside torch.compile and jax.jit: [compiled_benchmarks.md]"
            "(compiled_benchmarks.md). Transformations: [transforms_benchmarks.md]"
            "(transforms_benchmarks.md)."
        ),
        "",
        "| program | chainrule, us | torch, us | HIPS autograd, us | chainrule / torch | target |",
        "|---|---|---|---|---|---|",
        *(
            f"| {n} | {a:.1f} | {b:.1f} | {c:.1f} | {r:.2f} | {t} |"
            for (n, a, b, c, r), t in zip(rows, TARGETS, strict=True)
        ),
        "",
        (
            f"Made by `make bench`: Python {platform.python_version()}, NumPy {np.__version__},"
            f" torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}."
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    rows = compare(options.rounds)
    if options.write:
        options.write.write_text(report(rows))
        print("wrote", options.write)


if __name__ == "__main__":
    main()
