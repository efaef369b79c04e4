"""What can only be measured in a new process: the cost of the first call, and peak memory.

python benchmarks/processes.py PEER PROGRAM [ANOTHER] prints, as JSON, seconds of the first and of a
later call and the growth of the resident memory (Linux alone says so), after a step of ANOTHER.
"""

from __future__ import annotations

import json
import math
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


def run(*words: str, cache: str | None = None, limit: float = 600) -> dict[str, Any]:
    """What a new process finds for a `worker`'s words, or {"error": why there is nothing}."""
    here = os.path.abspath(__file__)
    environment = dict(os.environ)
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


def latency(peer: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(cold, warm): medians of the first call minus a later one, {"error": ...} if it fails."""
    found: tuple[list[dict], list[dict]] = ([], [])
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            for runs in found:
                runs.append(run(peer, name, cache=folder))
                if "error" in runs[-1]:
                    return runs[-1], runs[-1]
    cold, warm = (statistics.median(r["first"] - r["later"] for r in runs) for runs in found)
    return {"seconds": cold}, {"seconds": warm}


def print_latency(names: list[str]) -> None:
    """Seconds that the first call costs more than a later one, and their targets. jax is given the
    program as it is written, and, where that has a loop, as a loop of the program too.
    """
    for name in names:
        (mine, warm), (theirs, _) = latency("chainrule compiled", name), latency(UNROLLED, name)
        cells = [f"{name:12s}"]
        if "seconds" in mine:
            cells.append(f"cold {mine['seconds']:7.3f} s (target {SECONDS.get(name, 2.0)})")
            cells.append(f"warm {1e3 * warm['seconds']:6.0f} ms (100)")
        else:
            cells.append(mine["error"])
        cells.append(f"jax.jit {theirs.get('seconds', math.nan):7.3f} s")
        if "seconds" in mine and "seconds" in theirs:
            cells.append(f"ratio {mine['seconds'] / theirs['seconds']:.2f} (0.5)")
        if name in LOOPS:
            cells.append(
                f"jax.jit by scan {latency('jax.jit', name)[0].get('seconds', math.nan):.3f} s"
            )
        print("   ".join(cells), flush=True)


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
