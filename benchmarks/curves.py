"""How exact compiled steps are: against eager ones, and along a training against torch.

python benchmarks/curves.py [--only mlp,gpt] [--steps 200]

Two tables. The first has, for every program of the suite in float32 and float64, how far the values
of three compiled steps and what they leave behind are from eager's: the norm of an array's
difference over its norm, the largest of all arrays (the limits are on this), and the largest
difference over the largest number; then how far by the latter those of compiled and eager steps in
float32 are from eager's in float64: Adam makes much of the rounding of single small gradients. The
second has, for the programs that train, the largest distance of the losses from torch's, over the
loss or 1, whichever is larger: compiled and eager. A figure that is above its limit makes the
command fail at its end.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import suite

import chainrule

LIMITS = {"float32": 1e-5, "float64": 1e-12}  # of a compiled step from an eager one
CURVES = ("mlp", "gpt", "convnet", "logreg", "tiny")
CURVE = 1e-4  # of a loss from torch's


class Double:
    """chainrule, whose tensors of float32 arrays are float64."""

    def __getattr__(self, name: str) -> Any:
        return getattr(chainrule, name)

    @staticmethod
    def tensor(array: Any, **options: Any) -> Any:
        """The array as a tensor."""
        array = np.asarray(array)
        return chainrule.tensor(
            array.astype(float) if array.dtype.kind == "f" else array, **options
        )


@contextlib.contextmanager
def library(kind: str) -> Iterator[Any]:
    """The module to build programs of a dtype with."""
    chainrule.set_default_dtype(getattr(chainrule, kind))
    try:
        yield chainrule if kind == "float32" else Double()
    finally:
        chainrule.set_default_dtype(chainrule.float32)


def outcome(name: str, kind: str, around: Callable) -> list[np.ndarray]:
    """The values of three steps, run by what `around` makes of them, and what they leave behind."""
    with library(kind) as m:
        program = suite.PROGRAMS[name][0](m)
        step = around(suite.step_of(program))
        values = [step(*program.arguments).detach().numpy().copy() for _ in range(3)]
        return values + suite.state_of(program)


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference over the largest number."""
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    return float(np.abs(found - wanted).max() / (np.abs(wanted).max() or 1))


def losses(m: Any, name: str, steps: int, around: Callable) -> np.ndarray:
    """The losses of a training."""
    program = suite.PROGRAMS[name][0](m)
    if program.optimizer is None:
        program = program._replace(optimizer=m.optim.SGD(program.leaves, lr=0.1))
    step = around(suite.step_of(program))
    return np.array([float(step(*program.arguments).detach()) for _ in range(steps)])


def plain(step: Callable) -> Callable:
    return step


def in_norm(found: np.ndarray, wanted: np.ndarray) -> float:
    """The norm of the difference over the norm."""
    return float(np.linalg.norm(found - wanted) / (np.linalg.norm(wanted) or 1))


def farthest(found: list[np.ndarray], wanted: list[np.ndarray], by: Callable = distance) -> float:
    """The largest distance of an array from the one that is wanted."""
    pairs = zip(found, wanted, strict=True)
    return max(by(a.astype(b.dtype), b) for a, b in pairs)


def equal(names: list[str]) -> bool:
    """The first table; whether all is within its limits."""
    print(f"{'compiled against eager:':23s} in norm: float32   float64   largest: float32", end="")
    print("   float64   from float64: compiled     eager")
    good = True
    for name in names:
        mine = {kind: outcome(name, kind, chainrule.compile) for kind in LIMITS}
        eager = {kind: outcome(name, kind, plain) for kind in LIMITS}
        apart = {kind: farthest(mine[kind], eager[kind], in_norm) for kind in LIMITS}
        largest = [farthest(mine[kind], eager[kind]) for kind in LIMITS]
        rounding = [farthest(x["float32"], eager["float64"]) for x in (mine, eager)]
        good &= all(apart[kind] <= limit for kind, limit in LIMITS.items())
        figures = (*apart.values(), *largest, *rounding)
        shown = "{:20.1e}  {:8.1e}  {:17.1e}  {:8.1e}  {:22.1e}  {:8.1e}".format(*figures)
        print(f"{name:20s}{shown}", flush=True)
    return good


def curves(names: list[str], steps: int) -> bool:
    """The second table; whether all is within its limit."""
    import torch

    print(f"losses of {steps} steps against torch's:  compiled  eager  (first, last loss)")
    good = True
    for name in names:
        wanted = losses(torch, name, steps, plain)
        figures = []
        for around in (chainrule.compile, plain):
            found = losses(chainrule, name, steps, around)
            figures.append(float((np.abs(found - wanted) / np.maximum(np.abs(wanted), 1)).max()))
        good &= figures[0] <= CURVE
        shown = "  ".join(f"{f:8.1e}" for f in figures)
        print(f"{name:24s} {shown}  ({wanted[0]:.4g}, {wanted[-1]:.4g})", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="names of programs, separated by commas")
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(suite.PROGRAMS)
    good = equal(names)
    good &= curves([name for name in names if name in CURVES], options.steps)
    if not good:
        raise SystemExit("a figure is above its limit")


if __name__ == "__main__":
    main()
