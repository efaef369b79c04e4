"""Run the op table's samples through torch: writes tests/golden/ops/<family>.npz, or compares with
it (`--check`).

python tools/golden_ops.py [--check] [family ...]     the families are the modules in tests/rows

Kept of each call: its result; for the first floating dtype also the `grad_fn` of its first output,
whether that shares memory with an input, and which other forms give the same (method, in-place
variant, `out=`). Samples that torch refuses and errors that torch does not raise are reported and
make the exit code 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import chainrule
from tests import golden_ops
from tests.op_table import (
    Row,
    differentiable,
    each,
    edges,
    find,
    fingerprint,
    has_edges,
    samples_of,
    show,
)
from tests.rows import families

warnings.simplefilter("ignore")


def tensor_of(a: np.ndarray) -> torch.Tensor:
    """A torch tensor with an array's values, in memory of its own."""
    if a.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(np.array(a.view(np.int16))).view(torch.bfloat16)
    return torch.from_numpy(np.array(a))


def array_of(t: torch.Tensor) -> np.ndarray:
    """An array with a tensor's values."""
    t = t.detach().resolve_conj().resolve_neg().contiguous()
    return (
        t.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        if t.dtype is torch.bfloat16
        else t.numpy()
    )


def torch_value(x: Any) -> Any:
    """chainrule's own objects among the arguments as torch's."""
    if isinstance(x, chainrule.dtype):
        return getattr(torch, x.name)
    if isinstance(x, chainrule.Size):
        return torch.Size(x)
    kind = type(x).__name__
    return (
        getattr(torch, str(x).removeprefix("torch.")) if kind in ("memory_format", "layout") else x
    )


def built(sample: tuple, grad_dtype: str | None = None) -> tuple[tuple, dict]:
    """A sample's arguments with torch tensors, which require grad if `grad_dtype` is given."""

    def make(a: np.ndarray) -> torch.Tensor:
        return tensor_of(a).requires_grad_(grad_dtype is not None and differentiable(a, grad_dtype))

    return each(make, sample, torch_value)


def plain(result: Any) -> Any:
    """A result as arrays and JSON values."""
    if isinstance(result, torch.Tensor):
        return array_of(result)
    if isinstance(result, (tuple, list)):
        return [plain(r) for r in result]
    return result if isinstance(result, (bool, int, str, type(None))) else repr(result)


def called(f: Any, sample: tuple) -> Any:
    """f of the sample, from the same random state each time."""
    torch.manual_seed(0)
    return f(*sample[0], **sample[1])


def tensors_in(x: Any) -> list[torch.Tensor]:
    """The tensors among nested sequences."""
    if isinstance(x, torch.Tensor):
        return [x]
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (tuple, list)) else ()
    return [t for p in parts for t in tensors_in(p)]


def node_of(row: Row, sample: tuple, dtype: str) -> str | None:
    """The name of the first output's grad_fn."""
    sample = built(sample, dtype)
    if row.name.endswith("_"):
        sample = each_tensor_cloned(sample)
    first = tensors_in(called(find(torch, row.name), sample))[:1]
    return first[0].grad_fn.name() if first and first[0].grad_fn is not None else None


def each_tensor_cloned(x: Any) -> Any:
    """Arguments as copies, which may be written although the originals are leaves."""
    if isinstance(x, torch.Tensor):
        return x.clone()
    if isinstance(x, dict):
        return {k: each_tensor_cloned(v) for k, v in x.items()}
    return type(x)([each_tensor_cloned(v) for v in x]) if type(x) in (tuple, list) else x


def shares_memory(row: Row, sample: tuple) -> bool:
    """Whether the first output looks at the memory of an input."""
    sample = built(sample)
    outs = tensors_in(called(find(torch, row.name), sample))
    memories = {t.untyped_storage().data_ptr() for t in tensors_in(sample) if t.numel()}
    return bool(outs) and outs[0].numel() > 0 and outs[0].untyped_storage().data_ptr() in memories


def forms_of(row: Row, sample: tuple, expected: Any) -> str:
    """Which other forms of the call give the same: m(ethod), i(n place), o(ut=)."""
    name = row.name.rpartition(".")[2]
    found = ""
    if row.name.startswith("Tensor.") or name.endswith("_"):
        return found
    args, kwargs = sample
    for letter, method in (("m", name), ("i", name + "_")):
        if (
            args
            and isinstance(args[0], np.ndarray)
            and hasattr(torch.Tensor, method)
            and "." not in row.name
        ):
            found += letter * gives(
                lambda *a, m=method, **k: getattr(a[0], m)(*a[1:], **k), (args, kwargs), expected
            )
    if isinstance(expected, np.ndarray) and "out" not in kwargs:
        dtype = tensor_of(expected).dtype
        found += "o" * gives(
            lambda *a, **k: find(torch, row.name)(*a, out=torch.empty(0, dtype=dtype), **k),
            sample,
            expected,
        )
    return found


def gives(f: Any, sample: tuple, expected: Any) -> bool:
    """Whether a call works in torch and gives `expected`, bit by bit."""
    try:
        result = plain(called(f, built(sample)))
    except (TypeError, RuntimeError, ValueError, AttributeError):
        return False
    return same(result, expected)


def same(a: Any, b: Any, ulps: int = 0) -> bool:
    """Whether two stored results are equal, floats within a number of units in the last place."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and same_array(a, b, ulps)
    if isinstance(a, dict):
        return (
            isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k], ulps) for k in a)
        )
    if isinstance(a, list):
        return (
            isinstance(b, list)
            and len(a) == len(b)
            and all(same(x, y, ulps) for x, y in zip(a, b, strict=True))
        )
    return a == b


def same_array(a: np.ndarray, b: np.ndarray, ulps: int) -> bool:
    """Whether two arrays are equal; another processor may round in another way. (Determinants of
    singular matrices of numbers near 1 are nothing but rounding.)
    """
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if not ulps or a.dtype.kind in "iub" or not a.size:
        return a.tobytes() == b.tobytes()
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    eps = float(ml_dtypes.finfo(a.dtype).eps)
    tolerance = ulps * eps
    x, y = a.astype(wide), b.astype(wide)
    if eps < 1e-12 and max(np.abs(x).max(), np.abs(y).max()) < 8 * eps:
        return True
    scale = np.max(np.abs(y), initial=0, where=np.isfinite(y))
    return np.allclose(x, y, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def record(row: Row) -> tuple[dict, list[str]]:
    """Everything about one row, and what is wrong with it."""
    problems: list[str] = []
    results = {dtype: run(row, dtype, problems) for dtype in row.dtypes}
    main = next((d for d in ("float32", *row.dtypes) if d in row.dtypes), None)
    entry = {"crc": {d: fingerprint(row, d) for d in row.dtypes}, "results": results}
    if main is not None and not problems:
        samples = samples_of(row, main)
        entry["main"] = main
        entry["forms"] = (
            [forms_of(row, s, r) for s, r in zip(samples, results[main], strict=True)]
            if row.values
            else []
        )
        entry["shares"] = [shares_memory(row, s) for s in samples]
        entry["edges"] = [at_edge(row, s) for s in edges(row, main)] if has_edges(row) else []
        if row.grad:
            entry["nodes"] = [node_of(row, s, main) for s in samples]
    problems += wrong_errors(row)
    return entry, problems


def run(row: Row, dtype: str, problems: list[str]) -> list:
    """The results of a row's samples in a dtype; undefined values are stored as zeros."""
    out = []
    for i, sample in enumerate(samples_of(row, dtype)):
        try:
            result = plain(called(find(torch, row.name), built(sample)))
            out.append(result if row.values else each(np.zeros_like, result))
        except Exception as e:
            problems.append(f"{dtype} sample {i} {show(sample)}: torch raises {told(e)}")
    return out


def told(e: Exception) -> str:
    """An error's class and how its text begins."""
    return f"{type(e).__name__}: {str(e)[:160]}"


def at_edge(row: Row, sample: tuple) -> Any:
    """What torch gives for a sample of the table's edges; {"error": class} if it refuses."""
    try:
        return plain(called(find(torch, row.name), built(sample)))
    except Exception as e:
        return {"error": type(e).__name__}


def wrong_errors(row: Row) -> Iterator[str]:
    """The row's error calls that torch answers otherwise."""
    for i, (call, kind, pattern) in enumerate(row.errors):
        try:
            call(torch)
        except Exception as e:
            if not isinstance(e, kind) or not re.search(pattern, str(e)):
                yield f"error {i}: torch raises {told(e)}; the row: {kind.__name__}, {pattern!r}"
        else:
            yield f"error {i}: torch raises nothing, the row says {kind.__name__}"


def compared(family: str, golden: dict) -> int:
    """Say which rows are not as stored, and how many they are."""
    stored = golden_ops.read(family)
    different = [k for k in {**golden, **stored} if not same(golden.get(k), stored.get(k), 64)]
    tail = f"; not as stored: {', '.join(different)}" if different else ", as stored"
    print(f"{family}: {len(golden)} rows{tail}")
    return len(different)


def stored(family: str, golden: dict) -> int:
    """Write a family's file."""
    golden_ops.write(family, golden)
    size = (golden_ops.FOLDER / f"{family}.npz").stat().st_size
    print(f"{family}: {len(golden)} rows, {size / 1024:.0f} kB")
    return 0


def main() -> int:
    """Record every family that was asked for; the exit code is 1 if there was a problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("families", nargs="*")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    failures = 0
    for family, rows in families().items():
        if options.families and family not in options.families:
            continue
        golden = {}
        for key, row in zip(golden_ops.keys(rows), rows, strict=True):
            golden[key], problems = record(row)
            failures += len(problems)
            print(*(f"{family}: {key}: {p}\n" for p in problems), sep="", end="")
        failures += (compared if options.check else stored)(family, golden)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
