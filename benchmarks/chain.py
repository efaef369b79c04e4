"""A chain of a million nodes: time and memory per node to build, walk backward and delete it.

python benchmarks/chain.py [length]

Each length runs in a process of its own, so that the memory it needs is its own; "bytes a node" is
the growth of the process divided by the number of nodes, the saved values (NumPy scalars) included.
"""

from __future__ import annotations

import gc
import itertools
import resource
import subprocess
import sys
import time

import chainrule

KINDS = 4


def chain(x: chainrule.Tensor, length: int) -> chainrule.Tensor:
    """`length` nodes of four kinds, one after the other."""
    y = x
    for _ in range(length // KINDS):
        y = (y * x - 1).exp().sqrt()
    return y


def resident() -> int:
    """Bytes of memory the process has now."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def measure(length: int) -> None:
    """Build, walk and delete one chain, and print what each took."""
    x = chainrule.ones((), requires_grad=True)
    chain(x, 1000).backward()
    gc.disable()
    start = resident()
    times = [time.perf_counter()]
    y = chain(x, length)
    times.append(time.perf_counter())
    peak = resident()
    y.backward()
    times.append(time.perf_counter())
    del y
    times.append(time.perf_counter())
    parts = [1e9 * (b - a) / length for a, b in itertools.pairwise(times)]
    memory, left = (peak - start) / length, (resident() - start) / 2**20
    row(f"{length:,}", *(f"{t:.0f}" for t in (*parts, sum(parts), memory)), f"{left:.1f}")


def row(*cells: str) -> None:
    """Print a line of the table."""
    print("".join(f"{c:>14}" for c in cells), flush=True)


def main() -> None:
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
        return
    row("nodes", "build ns", "backward ns", "delete ns", "all ns", "bytes a node", "MB left")
    for length in (10_000, 100_000, 1_000_000):
        subprocess.run([sys.executable, __file__, str(length)], check=True)


if __name__ == "__main__":
    main()
