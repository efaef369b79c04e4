"""Record torch's layers, programs with modules, optimizers, schedules and data loaders in
tests/golden/nn.json.gz, and files of torch's in tests/golden/torch_*.pt; `--check` compares with
what is there.

python tools/golden_nn.py [--check]
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def sections() -> dict[str, list[str]]:
    """The lines of tools/golden_nn.txt under each heading."""
    text = Path(__file__).with_suffix(".txt").read_text()
    parts = [part.partition("\n") for part in text.split("\n=== ")[1:]]
    return {name: body.strip().split("\n") for name, _, body in parts}


def layers(lines: list[str]) -> dict[str, Any]:
    """What torch gives for every layer."""
    from tests.golden_nn import observe_layer

    found = {}
    for line in lines:
        make, call = line.split(" | ")
        found[line] = {"make": make, "call": call, "seen": observe_layer(make, call, torch)}
    return found


def programs(lines: list[str], observe: Callable) -> dict[str, Any]:
    """What torch shows for every program."""
    found = {}
    for part in "\n".join(["", *lines]).split("\n== ")[1:]:
        name, _, source = part.partition("\n")
        found[name] = {"source": source, "seen": observe(source, torch)}
    return found


def recorded() -> dict[str, Any]:
    """Everything that is kept."""
    from tests.golden_nn import observe, observe_optimizer, observe_schedule

    text = sections()
    return {
        "layers": layers(text["layers"]),
        "programs": programs(text["programs"], observe),
        "optimizers": {t: observe_optimizer(t, torch) for t in text["optimizers"]},
        "schedules": {t: observe_schedule(t, torch) for t in text["schedules"]},
        "optim programs": programs(text["optim programs"], observe),
        "data programs": programs(text["data programs"], observe),
    }


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Where two recordings differ by more than rounding."""
    if isinstance(new, dict) and isinstance(old, dict) and list(old) == list(new):
        return [d for k in new for d in differences(old[k], new[k], f"{where}/{k}")]
    if isinstance(new, list) and isinstance(old, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    if isinstance(new, float) and isinstance(old, float):
        same = (
            old == new
            or (old != old and new != new)
            or math.isclose(old, new, rel_tol=1e-3, abs_tol=1e-5)
        )
        return [] if same else [f"{where}: {old} is now {new}"]
    if isinstance(new, str) and isinstance(old, str):
        from tests.golden_nn import assert_same_text

        try:
            assert_same_text(old, new)
        except AssertionError as e:
            return [f"{where}: {e}"]
        return []
    return [] if old == new else [f"{where}: {old!r:.60} is now {new!r:.60}"]


def files() -> dict[str, Any]:
    """The objects that torch writes to files."""
    from tests.test_serialization import everything

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU(), torch.nn.Linear(3, 1)
    )
    model(torch.randn(8, 2))
    x = torch.randn(4, 2)
    results = (x, model.eval()(x).detach())
    return {
        "zip": everything(torch),
        "old": everything(torch),
        "model": model,
        "model_results": results,
    }


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    warnings.simplefilter("ignore")
    folder = ROOT / "tests" / "golden"
    new = recorded()
    if check:
        old = json.loads(gzip.decompress((folder / "nn.json.gz").read_bytes()))
        found = differences(old, json.loads(json.dumps(new)))
        print("\n".join(found) or f"nn.json.gz: {sum(map(len, new.values()))} cases as recorded")
        return 1 if found else 0
    text = json.dumps(new, separators=(",", ":"))
    (folder / "nn.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    for name, obj in files().items():
        torch.save(obj, folder / f"torch_{name}.pt", _use_new_zipfile_serialization=name != "old")
    print(f"nn.json.gz: {sum(map(len, new.values()))} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
