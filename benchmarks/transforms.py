"""`func` of chainrule beside `torch.func` in one run: interleaved rounds, medians of ratios.

python benchmarks/transforms.py [--rounds 31] [--write docs/transforms_benchmarks.md]

Each program is written once and run by both libraries; what they compute is compared before
anything is timed. The Jacobian is compared with a loop of its own library over single rows. On a
busy machine threads wait for one another: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 gives steadier
figures there.
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from eager import measure

RANDOM = np.random.default_rng(0)
SIZES = [(10, 20), (20,), (20, 1), (1,)]
WEIGHTS = np.concatenate([0.3 * RANDOM.standard_normal(s).ravel() for s in SIZES])
SAMPLES, TARGETS = RANDOM.standard_normal((16, 10)), RANDOM.standard_normal((16, 1))
DIRECTIONS = RANDOM.standard_normal((1000, WEIGHTS.size))
IMAGES, LABELS = RANDOM.standard_normal((256, 64)), RANDOM.integers(0, 10, 256)
LAYERS = [(32, 64), (32,), (10, 32), (10,)]
N = 256
MATRIX, POINT = RANDOM.standard_normal((N, N)) / np.sqrt(N), RANDOM.standard_normal(N)


def tensor(m: Any, array: np.ndarray) -> Any:
    """The array as a float32 tensor, or int64 if it holds integers."""
    kind = m.int64 if array.dtype.kind == "i" else m.float32
    return m.tensor(array.tolist(), dtype=kind)


def network(m: Any, weights: Any, x: Any) -> Any:
    """The tanh network 10-20-1 with all its weights in one vector."""
    w, b, v, c = weights.split([int(np.prod(s)) for s in SIZES])
    return m.tanh(x @ w.reshape(10, 20) + b) @ v.reshape(20, 1) + c


def error(m: Any) -> Callable:
    """The network's mean squared error on 16 samples, as a function of its 241 weights."""
    x, y = tensor(m, SAMPLES), tensor(m, TARGETS)
    return lambda weights: (network(m, weights, x) - y).square().mean()


def hessian_of_input(m: Any) -> Callable:
    """10 x 10: of the network's answer, in its input."""
    weights, x = tensor(m, WEIGHTS), tensor(m, SAMPLES[0])
    hessian = m.func.hessian(lambda x: network(m, weights, x)[0])
    return lambda: hessian(x)


def hessian_of_weights(m: Any) -> Callable:
    """241 x 241: of the network's answer, in its weights."""
    weights, x = tensor(m, WEIGHTS), tensor(m, SAMPLES[0])
    hessian = m.func.hessian(lambda weights: network(m, weights, x)[0])
    return lambda: hessian(weights)


def hessian_of_error(m: Any) -> Callable:
    """241 x 241: of the mean squared error on 16 samples, in the weights."""
    weights, hessian = tensor(m, WEIGHTS), m.func.hessian(error(m))
    return lambda: hessian(weights)


def per_sample_gradients(m: Any) -> Callable:
    """Of the cross entropy of an MLP 64-32-10, a batch of 256: `vmap` of `grad`."""
    nn, functional = m.nn, m.nn.functional
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    draws = np.random.default_rng(1)
    names = [name for name, _ in model.named_parameters()]
    weights = {
        n: tensor(m, 0.2 * draws.standard_normal(s)) for n, s in zip(names, LAYERS, strict=True)
    }
    x, y = tensor(m, IMAGES), tensor(m, LABELS)

    def loss(weights: dict, x: Any, y: Any) -> Any:
        return functional.cross_entropy(m.func.functional_call(model, weights, (x,)), y)

    gradients = m.func.vmap(m.func.grad(loss), in_dims=(None, 0, 0))
    return lambda: gradients(weights, x, y)


def hessian_product(m: Any) -> Callable:
    """The Hessian of the error times one vector: `jvp` of `grad`."""
    weights, v, gradient = tensor(m, WEIGHTS), tensor(m, DIRECTIONS[0]), m.func.grad(error(m))
    return lambda: m.func.jvp(gradient, (weights,), (v,))[1]


def hessian_products(m: Any) -> Callable:
    """The same for 1000 vectors at once: `vmap` of `jvp` of `grad`."""
    weights, vectors, gradient = tensor(m, WEIGHTS), tensor(m, DIRECTIONS), m.func.grad(error(m))
    products = m.func.vmap(lambda v: m.func.jvp(gradient, (weights,), (v,))[1])
    return lambda: products(vectors)


# What is timed, and what makes milliseconds of a program's seconds: one by one, 1000 times as much.
PROGRAMS: dict[str, tuple[Callable, float]] = {
    "Hessian of a tanh network 10-20-1 in its input": (hessian_of_input, 1e3),
    "the same in its 241 weights": (hessian_of_weights, 1e3),
    "Hessian of its error on 16 samples in its weights": (hessian_of_error, 1e3),
    "gradients of 256 samples, MLP 64-32-10": (per_sample_gradients, 1e3),
    "1000 Hessian-vector products, one by one": (hessian_product, 1e6),
    "1000 Hessian-vector products, by vmap": (hessian_products, 1e3),
}


def rows(m: Any) -> tuple[Any, Callable]:
    """(the unit vectors, the pullback) of x -> tanh(A x) x in n = 256 dimensions."""
    matrix, x = tensor(m, MATRIX), tensor(m, POINT)
    return m.eye(N), m.func.vjp(lambda x: m.tanh(matrix @ x) * x, x)[1]


def jacobian_by_loop(m: Any) -> Callable:
    """Row by row, each a pullback of one unit vector."""
    units, pullback = rows(m)
    return lambda: m.stack([pullback(unit)[0] for unit in units])


def jacobian_by_vmap(m: Any) -> Callable:
    """All rows in one pullback."""
    units, pullback = rows(m)
    return lambda: m.func.vmap(pullback)(units)[0]


def agree(steps: dict[str, Callable], name: str) -> None:
    """Raise AssertionError unless all steps compute the same."""
    first, *others = (step() for step in steps.values())
    for other in others:
        for key in first if isinstance(first, dict) else [...]:
            mine, theirs = first[key].detach().numpy(), other[key].detach().numpy()
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5, err_msg=name)


def compare(rounds: int) -> list[tuple[str, float, float, float]]:
    """For each program: milliseconds of chainrule and of torch, and the median ratio."""
    import torch

    import chainrule

    found = []
    for name, (program, scale) in PROGRAMS.items():
        steps = {"chainrule": program(chainrule), "torch": program(torch)}
        agree(steps, name)
        times = measure(steps, rounds)
        ratio = middle_ratio(times["chainrule"], times["torch"])
        mine, theirs = (scale * statistics.median(times[k]) for k in steps)
        found.append((name, mine, theirs, ratio))
        print(f"{name:50s} chainrule {mine:9.2f} ms   torch {theirs:9.2f}   ratio {ratio:.2f}")
    return found


def compare_rows(rounds: int) -> list[tuple[str, float, float, float]]:
    """For each library: milliseconds of the Jacobian by a loop and by vmap, and how many times
    faster vmap is.
    """
    import torch

    import chainrule

    found = []
    for name, m in (("chainrule", chainrule), ("torch", torch)):
        steps = {"loop": jacobian_by_loop(m), "vmap": jacobian_by_vmap(m)}
        agree(steps, name)
        times = measure(steps, rounds)
        loop, vmap = (1e3 * statistics.median(times[k]) for k in steps)
        found.append((name, loop, vmap, middle_ratio(times["loop"], times["vmap"])))
        print(
            f"{name:10s} Jacobian, n = {N}: loop {loop:8.2f} ms   vmap {vmap:7.2f} ms"
            f"   {found[-1][3]:.0f} times faster"
        )
    return found


def middle_ratio(times: list[float], others: list[float]) -> float:
    """The median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def report(programs: list, jacobians: list) -> str:
    """The tables for the documentation."""
    import torch

    lines = [
        "# Benchmarks of the transformations",
        "",
        (
            "`func` beside `torch.func`, eager, float32, on small problems. Medians over"
            " interleaved rounds in one run; the ratio is the median of chainrule's time over"
            " torch's, round by round. Both compute the same: checked before anything is timed."
        ),
        "",
        "| program | chainrule, ms | torch, ms | chainrule / torch | target |",
        "|---|---|---|---|---|",
        *(f"| {n} | {a:.2f} | {b:.2f} | {r:.2f} | 0.5 |" for n, a, b, r in programs),
        "",
        (
            f"The Jacobian of x -> tanh(A x) x in {N} dimensions, its rows by `vmap` of the"
            " pullback against a loop over single rows of the same library (target for chainrule:"
            " 10 times faster)."
        ),
        "",
        "| library | loop, ms | vmap, ms | times faster |",
        "|---|---|---|---|",
        *(f"| {n} | {a:.2f} | {b:.2f} | {r:.0f} |" for n, a, b, r in jacobians),
        "",
        (
            f"Made by `make bench`: Python {platform.python_version()}, NumPy {np.__version__},"
            f" torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}."
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the tables if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    programs, jacobians = compare(options.rounds), compare_rows(options.rounds)
    if options.write:
        options.write.write_text(report(programs, jacobians))
        print("wrote", options.write)


if __name__ == "__main__":
    main()
