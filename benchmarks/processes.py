"""What can only be measured in a new process: the cost of the first call, and peak memory.

python benchmarks/processes.py PEER PROGRAM [ANOTHER] prints, as JSON, seconds of the first and of a
later call and the growth of the resident memory (Linux alone says so), after a step of ANOTHER.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from peers import UNROLLED, build

LATENCY = ["mlp", "gpt", "heat", "chain"]
LOOPS = ("node", "heat", "chain")
MEMORY = ["mlp", "gpt", "convnet", "elementwise"]
SECONDS = {"mlp": 1.0, "gpt": 2.0, "heat": 2.0, "chain": 2.0}  # targets of a cold first call
REPEATS = 3
PATIENCE = 20  # seconds after which no further process is begun


def run(*words: str, cache: str | None = None, limit: float = 600) -> dict[str, Any]:
    """What a new process finds for a `worker`'s words, or {"error": why there is nothing}."""
    here = os.path.abspath(__file__)
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed libraries come with theirs
    if cache is not None:
        environment["CHAINRULE_CACHE"] = cache
    try:
        done = subprocess.run(
            [sys.executable, here, *words],
            env=environment,
            timeout=limit,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:160]}
    return json.loads(done.stdout.splitlines()[-1])


def memory(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at the highest since `forget_peak`."""
    with open("/proc/self/status") as file:
        for text in file:
            if text.startswith(field + ":"):
                return int(text.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {field}")


def forget_peak() -> None:
    """VmHWM begins anew at VmRSS."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def worker(peer: str, name: str, first: str = "") -> dict[str, float]:
    """Build the program, call it, and watch. Another program may come first, so that libraries are
    loaded and their threads begun.
    """
    if first:
        build(peer, first).step()
    forget_peak()
    before = memory("VmRSS")
    step = build(peer, name).step
    calls = []
    for n in range(8):
        if n == 3:
            first_peak = memory("VmHWM")
            forget_peak()
        start = time.perf_counter()
        step()
        calls.append(time.perf_counter() - start)
    return {
        "first": calls[0],
        "later": statistics.median(calls[3:]),
        "peak": max(first_peak, memory("VmHWM")) - before,
        "steady": memory("VmHWM") - before,
    }


def latency(peer: str, name: str, again: bool = False) -> list[float]:
    """Seconds of the first call minus a later one: with an empty cache, and with what that process
    left in the cache if asked for `again`. Medians over a few processes, of one if that takes long.
    Raises RuntimeError with what the process said if it fails.
    """
    found: list[list[float]] = []
    start = time.perf_counter()
    while len(found) < REPEATS and time.perf_counter() - start < PATIENCE:
        with tempfile.TemporaryDirectory() as folder:
            runs = [run(peer, name, cache=folder) for _ in range(2 if again else 1)]
        for values in runs:
            if "error" in values:
                raise RuntimeError(values["error"])
        found.append([values["first"] - values["later"] for values in runs])
    return [statistics.median(values) for values in zip(*found, strict=True)]


def print_latency(names: list[str]) -> None:
    """Seconds that the first call costs more than a later one, and their targets. jax is given the
    program as it is written, and, where that has a loop, as a loop of the program too.
    """
    for name in names:
        print(f"{name:12s} jax.jit", end="", flush=True)
        (other,) = latency(UNROLLED, name)
        print(f" {other:7.3f} s", end="", flush=True)
        if name in LOOPS:
            print(f" ({latency('jax.jit', name)[0]:.3f} s as a loop)", end="", flush=True)
        try:
            cold, warm = latency("chainrule compiled", name, again=True)
        except RuntimeError as error:
            print(f"   chainrule: {error}", flush=True)
            continue
        print(
            f"   chainrule cold {cold:7.3f} s (target {SECONDS.get(name, 2.0)}),"
            f" ratio {cold / other:.2f} (0.5), warm {1e3 * warm:4.0f} ms (100)",
            flush=True,
        )


def print_memory(names: list[str]) -> None:
    """Megabytes by which the resident memory grows at most, over torch eager's."""
    for name in names:
        peers = ("torch eager", "jax.jit", "chainrule eager", "chainrule compiled")
        found = {peer: run(peer, name, "poly") for peer in peers}
        reference = found["torch eager"]
        cells = [f"{name:12s}"]
        for peer, value in found.items():
            if "error" in value:
                cells.append(f"{peer}: {value['error']}")
                continue
            peak, steady = value["peak"], value["steady"]
            cells.append(
                f"{peer} {peak / 2**20:.0f} MB x{peak / reference['peak']:.2f}"
                f" (steady {steady / 2**20:.0f}, x{steady / reference['steady']:.2f})"
            )
        print("   ".join(cells), "  target x0.7", flush=True)


if __name__ == "__main__":
    print(json.dumps(worker(*sys.argv[1:])))
