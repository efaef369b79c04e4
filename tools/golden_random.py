"""Record torch's random streams: writes tests/golden/random.json.gz, or compares (`--check`).

A case is a seed and the draws made from it in turn. A draw is an operation, the shape and dtype of
what it fills (absent where its parameters say so), further parameters, and for a strided
destination the `view` taken of a contiguous array of that shape (an order of the axes and a step
along each). A parameter that is an array is given as a NumPy expression and a dtype. What came of
it is recorded by a digest of the bytes and the values at both ends; then the state of the
generator, by a digest of all but the cached normal value, and that value.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import itertools
import json
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.nn import functional

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "random.json.gz"
Draw = list[Any]
Case = dict[str, Any]

HALVES = ("float16", "bfloat16")
FLOATS = (*HALVES, "float32", "float64")
COMPLEX = ("complex64", "complex128")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
SIZES = (0, 1, 15, 16, 17, 100, 1000, 100003)
FEW = (1, 17, 1000)
VIEWS = (
    [[1, 0, 2], [1, 1, 1]],
    [[2, 1, 0], [1, 1, 1]],
    [[0, 1, 2], [1, 2, 1]],
    [[0, 1, 2], [1, 1, 3]],
    [[1, 2, 0], [1, 3, 1]],
    [[2, 0, 1], [6, 4, 1]],
)


def array(x: str, dtype: str) -> Case:
    return {"x": x, "dtype": dtype}


# ------------------------------------------------------------------------------------- the cases


def continuous() -> Iterator[Draw]:
    for op, dtype, n in itertools.product(("uniform", "normal"), FLOATS + COMPLEX, SIZES):
        yield [op, [n], dtype]
    for dtype, n in itertools.product(FLOATS + COMPLEX, FEW):
        yield ["uniform", [n], dtype, -1.5, 2.26]
        yield ["normal", [n], dtype, 0.3, 1.7]
    for dtype in FLOATS:
        yield ["uniform", [40], dtype, 0.0, 65504.0]
        yield ["uniform", [40], dtype, 3.0, 3.0]
        yield ["normal", [4, 5, 6], dtype, -1e3, 1e-3]
        yield ["normal", [33], dtype, 2.5, 0.0]
    for dtype, n in itertools.product(FLOATS, (*FEW, 100003)):
        yield ["exponential", [n], dtype]
        yield ["exponential", [n], dtype, 2.7]
        yield ["cauchy", [n], dtype]
        yield ["cauchy", [n], dtype, 1.3, 0.7]
        yield ["log_normal", [n], dtype]
        yield ["log_normal", [n], dtype, 0.3, 0.7]
    for dtype, n in itertools.product(INTEGERS + FLOATS, (1, 1000)):
        yield ["geometric", [n], dtype, 0.15]
    for p in (1e-3, 0.5, 0.999):
        yield ["geometric", [100003], "float32", p]


def around() -> Iterator[Draw]:
    for dtype, n in itertools.product(FLOATS, (5, 24)):
        mean = array(f"np.linspace(-3, 3, {n})", dtype)
        std = array(f"np.linspace(0, 2, {n})", dtype)
        yield ["normal_around", mean, 1.5]
        yield ["normal_around", -0.25, std]
        yield ["normal_around", mean, std]
    row, column = array("np.arange(6.0)", "float32"), array("np.arange(4.0)[:, None]", "float32")
    yield ["normal_around", row, column]


def integers() -> Iterator[Draw]:
    wide = ((0, 1 << 28), (-7, 1 << 33), (-(1 << 62), 1 << 62), (-(1 << 63), (1 << 63) - 1))
    for (low, high), dtype in itertools.product(wide, ("int64", "float32", "float64")):
        yield ["integers", [100], dtype, low, high]
    for dtype, n in itertools.product((*INTEGERS, *FLOATS), FEW):
        yield ["integers", [n], dtype, 3, 100]
        yield ["any_integers", [n], dtype]
    for dtype in ("bool", *INTEGERS, *FLOATS, "uint16", "uint32"):
        yield ["integers", [40], dtype, 0, 2]
        yield ["integers", [40], dtype, 0, None]
    for dtype in ("int8", "int16", "int32", "int64", *FLOATS):
        yield ["integers", [40], dtype, -5, None]
    for low, high in ((0, (1 << 28) - 1), (0, 1 << 28), (-(1 << 31), (1 << 31) - 1)):
        yield ["integers", [100], "int32", low, high]
    for high in (3001, 4097, 65000, 65504):
        yield ["integers", [100], "float16", -high, high]
        yield ["integers", [100], "bfloat16", -high, high]
    yield ["any_integers", [40], "bool"]
    yield ["integers", [100], "uint64", 3, 1 << 62]
    for dtype in ("int64", "bfloat16", "float32", "float64"):
        yield ["integers", [100], dtype, -(1 << 63), None]


def bernoulli() -> Iterator[Draw]:
    for dtype, n in itertools.product(("bool", *INTEGERS, *FLOATS), FEW):
        yield ["bernoulli", [n], dtype, 0.3]
    for p in (0.0, 1e-9, 0.5, 1.0):
        yield ["bernoulli", [100003], "float32", p]
    for dtype, kind in itertools.product(("bool", "int64", *FLOATS), FLOATS):
        yield ["bernoulli", [5, 7], dtype, array("np.linspace(0, 1, 35).reshape(5, 7)", kind)]
        yield ["bernoulli", [5, 7], dtype, array("np.linspace(0, 1, 7)", kind)]
    for shape, p in itertools.product(([3], [17], [4, 5, 6], [100003]), (0.1, 0.5, 0.9)):
        yield ["dropout_mask", shape, p]


def choices() -> Iterator[Draw]:
    for n in (0, 1, 2, 3, 10, 100, 1000, 100003):
        yield ["permutation", n, "int64"]
    for dtype in (*INTEGERS, *FLOATS):
        yield ["permutation", 100, dtype]
    rows = {
        "one": "np.array([2.5])",
        "row": "np.arange(1, 8) / 7",
        "sparse": "np.array([0.0, 3.0, 0.0, 0.5, 0.0, 1.0])",
        "long": "(np.arange(1000) * 37 % 101 + 1) / 101",
        "rows": "(np.arange(60).reshape(12, 5) * 37 % 101 + 1) / 101",
        "turned": "((np.arange(60).reshape(12, 5) * 37 % 101 + 1) / 101).T",
    }
    for x, dtype in itertools.product(rows.values(), FLOATS):
        yield ["multinomial", array(x, dtype), 1, False]
        yield ["multinomial", array(x, dtype), 1, True]
        yield ["multinomial", array(x, dtype), 40, True]
    for x, dtype in itertools.product((rows["row"], rows["long"], rows["rows"]), FLOATS[2:]):
        yield ["multinomial", array(x, dtype), 3, False]
        yield ["multinomial", array(x, dtype), 5, False]


def rejection() -> Iterator[Draw]:
    for dtype, rate in itertools.product(FLOATS, (0.0, 0.3, 9.99, 10.0, 1000.0)):
        yield ["poisson", array(f"np.full(300, {rate})", dtype)]
    for dtype in FLOATS:
        yield ["poisson", array("np.linspace(0, 40, 600).reshape(20, 30)", dtype)]
    pairs = ((5.0, 0.3), (40.0, 0.5), (40.0, 0.01), (1e3, 0.3), (1e6, 0.7), (20.0, 0.99))
    for dtype, (count, p) in itertools.product(FLOATS[2:], pairs):
        yield ["binomial", array(f"np.full(300, {count})", dtype), array(f"np.array({p})", dtype)]
    for dtype in FLOATS[2:]:
        counts, odds = (
            array("np.arange(-1.0, 60)", dtype),
            array("np.linspace(-0.1, 1.1, 61)", dtype),
        )
        yield ["binomial", counts, odds]
        for alpha in (0.001, 0.5, 1.0, 2.5, 1e3):
            yield ["gamma", array(f"np.full(301, {alpha})", dtype)]
            yield ["dirichlet", array(f"np.full((20, 3), {alpha})", dtype)]
        yield ["gamma", array("np.linspace(0, 3, 301)", dtype)]


def strided() -> Iterator[Draw]:
    for view, dtype in itertools.product(VIEWS, (*FLOATS, *COMPLEX)):
        yield ["normal", [4, 5, 6], dtype, 0.3, 1.4, {"view": view}]
        yield ["uniform", [4, 5, 6], dtype, -2.3, 1.0, {"view": view}]
    for view, dtype in itertools.product(VIEWS, ("float32", "float64")):
        yield ["exponential", [4, 5, 6], dtype, 1.5, {"view": view}]
        yield ["bernoulli", [4, 5, 6], dtype, 0.2, {"view": view}]
        yield ["log_normal", [4, 5, 6], dtype, 0.1, 0.5, {"view": view}]
        yield ["integers", [4, 5, 6], dtype, -3, 77, {"view": view}]
    shape = "np.linspace(0, 1, 120).reshape(5, 4, 6)"
    for dtype in ("float32", "float64"):
        yield ["bernoulli", [4, 5, 6], "int32", array(shape, dtype), {"view": VIEWS[0]}]


def small_draws() -> list[Draw]:
    return [
        ["normal", [1], "float32"],
        ["normal", [3], "float32"],
        ["normal", [15], "float64"],
        ["normal", [2], "bfloat16", 1.0, 2.0],
        ["normal", [16], "float32"],
        ["normal", [17], "float16"],
        ["normal", [3], "complex64"],
        ["normal", [4, 5, 6], "float32", 0.0, 1.0, {"view": VIEWS[3]}],
        ["log_normal", [3], "float32"],
        ["uniform", [5], "float32"],
        ["uniform", [2], "float64"],
        ["integers", [3], "int64", 0, 10],
        ["integers", [3], "int64", 0, 1 << 40],
        ["permutation", 7, "int64"],
        ["bernoulli", [3], "float32", 0.5],
        ["dropout_mask", [9], 0.5],
        ["exponential", [1], "float32"],
        ["gamma", array("np.full(3, 0.7)", "float32")],
        ["gamma", array("np.full(2, 1.5)", "float64")],
        ["poisson", array("np.full(2, 4.0)", "float32")],
        ["poisson", array("np.full(3, 0.0)", "float32")],
        ["uniform", [700], "float32"],
        ["multinomial", array("np.arange(4.0)", "float32"), 2, False],
        ["normal", [0], "float32"],
    ]


def cases() -> Iterator[Case]:
    """One draw each from a few seeds, then draws that follow one another, so that what one leaves
    in the generator (a cached value, a position among the words) is what the next one finds.
    """
    groups = (continuous, around, integers, bernoulli, choices, rejection, strided)
    for i, draw in enumerate(itertools.chain.from_iterable(group() for group in groups)):
        yield {"seed": (0, 1, 42, 1234567)[i % 4], "draws": [draw]}
    for seed in (
        0,
        1,
        -1,
        (1 << 32) - 1,
        1 << 32,
        (1 << 32) + 7,
        1 << 63,
        (1 << 64) - 1,
        -(1 << 63),
    ):
        yield {"seed": seed, "draws": [["uniform", [5], "float32"], ["normal", [21], "float32"]]}
    mixed, order = small_draws(), random.Random(2)
    for seed in range(60):
        yield {"seed": seed, "draws": order.choices(mixed, k=8)}


def refused() -> Iterator[Draw]:
    for op in ("uniform", "normal", "log_normal", "exponential", "cauchy"):
        yield [op, [3], "int64"]
        yield [op, [3], "bool"]
    for op in ("uniform", "normal", "any_integers"):
        yield [op, [3], "uint16"]
    nan, inf = float("nan"), float("inf")
    for low, high in ((1.0, 0.0), (0.0, inf), (nan, 1.0), (-3e38, 3e38)):
        yield ["uniform", [3], "float32", low, high]
    yield ["uniform", [3], "float16", 0.0, 1e6]
    yield ["uniform", [0], "float32", 1.0, 0.5]
    yield ["normal", [3], "float32", 0.0, -1.5]
    yield ["normal", [0], "complex64", 0.0, nan]
    yield ["normal_around", 0.0, array("np.array([1.0, -1.0])", "float32")]
    yield ["normal_around", array("np.zeros(2)", "float32"), -1.0]
    yield ["normal_around", array("np.zeros(2)", "int64"), 1.0]
    yield ["exponential", [3], "float32", 0.0]
    yield ["exponential", [3], "float32", nan]
    yield ["cauchy", [3], "float32", 0.0, -1.0]
    yield ["log_normal", [3], "float32", 0.0, 0.0]
    yield ["geometric", [3], "float32", 0.0]
    yield ["geometric", [3], "float32", 1.0]
    yield ["geometric", [3], "bool", 0.5]
    yield ["bernoulli", [3], "float32", 1.5]
    yield ["bernoulli", [3], "float32", nan]
    yield ["bernoulli", [3], "complex64", 0.5]
    yield ["bernoulli", [2], "float32", array("np.array([0.5, 1.5])", "float32")]
    yield ["bernoulli", [2], "float32", array("np.array([0, 1])", "int64")]
    yield ["bernoulli", [2], "complex64", array("np.array([0.5, 0.5])", "float32")]
    for dtype, low, high in (
        ("float32", 5, 5),
        ("int64", 5, 3),
        ("uint8", 0, 300),
        ("uint8", -1, 30),
        ("int8", 0, 129),
        ("bool", 0, 3),
        ("float16", 0, 100000),
        ("float16", 5000, None),
        ("float32", (1 << 24) + 1, None),
        ("int32", -(1 << 63), None),
        ("float16", -(1 << 63), None),
        ("bool", -(1 << 63), None),
        ("complex64", 0, 2),
        ("complex64", 0, None),
        ("uint64", 0, None),
        ("uint16", 0, 65537),
    ):
        yield ["integers", [3], dtype, low, high]
    for n, dtype in ((-1, "int64"), (300, "int8"), (257, "uint8"), (2050, "float16"), (5, "bool")):
        yield ["permutation", n, dtype]
    yield ["permutation", 5, "complex64"]
    weights = (
        "[-1.0, 2.0]",
        "[np.nan, 2.0]",
        "[np.inf, 2.0]",
        "[0.0, 0.0]",
        "[[1.0, 1.0], [0.0, 0.0]]",
    )
    for x, (samples, replacement) in itertools.product(weights, ((1, False), (2, True))):
        yield ["multinomial", array(f"np.array({x})", "float32"), samples, replacement]
    for x, samples in (
        ("np.ones(3)", 4),
        ("np.ones(3)", 0),
        ("np.ones((2, 2, 2))", 1),
        ("np.ones(())", 1),
    ):
        yield ["multinomial", array(x, "float32"), samples, False]
    yield ["multinomial", array("np.ones(3)", "int64"), 1, False]
    for x, dtype in (("[-1.0]", "float32"), ("[np.nan]", "float64"), ("[1]", "int64")):
        yield ["poisson", array(f"np.array({x})", dtype)]
    for dtype, other in (("int64", "float32"), ("float32", "float64"), ("float16", "float16")):
        yield ["binomial", array("np.array([5])", dtype), array("np.array([0.5])", other)]
    yield ["gamma", array("np.array([1.0])", "float16")]
    yield ["dirichlet", array("np.array([1.0])", "float16")]


# --------------------------------------------------------------------------- what torch makes of it


def tensor(parameter: Any) -> Any:
    if not isinstance(parameter, dict):
        return parameter
    values = eval(parameter["x"], {"np": np})
    if parameter["dtype"] in HALVES:
        values = values.astype(np.float32)
    return torch.from_numpy(np.asarray(values)).to(getattr(torch, parameter["dtype"]))


def filled(method: str) -> Callable[..., torch.Tensor]:
    def run(shape: list[int], dtype: str, *parameters: Any) -> torch.Tensor:
        base = torch.zeros(shape, dtype=getattr(torch, dtype))
        target = base
        if parameters and isinstance(parameters[-1], dict) and "view" in parameters[-1]:
            *parameters, last = parameters
            axes, steps = last["view"]
            target = base.permute(axes)[tuple(slice(None, None, step) for step in steps)]
        getattr(target, method)(*map(tensor, parameters))
        return base

    return run


def torch_normal(mean: Any, std: Any) -> torch.Tensor:
    return torch.normal(tensor(mean), tensor(std))


def on_arrays(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda *parameters: function(*map(tensor, parameters))


TORCH: dict[str, Callable[..., torch.Tensor]] = {
    "uniform": filled("uniform_"),
    "normal": filled("normal_"),
    "exponential": filled("exponential_"),
    "cauchy": filled("cauchy_"),
    "log_normal": filled("log_normal_"),
    "geometric": filled("geometric_"),
    "bernoulli": filled("bernoulli_"),
    "integers": filled("random_"),
    "any_integers": filled("random_"),
    "normal_around": on_arrays(torch.normal),
    "dropout_mask": lambda shape, p: functional.dropout(torch.ones(shape), p).ne(0),
    "permutation": lambda n, dtype: torch.randperm(n, dtype=getattr(torch, dtype)),
    "multinomial": on_arrays(torch.multinomial),
    "poisson": on_arrays(torch.poisson),
    "binomial": on_arrays(torch.binomial),
    "gamma": on_arrays(torch._standard_gamma),
    "dirichlet": on_arrays(torch._sample_dirichlet),
}


def numpy_of(x: torch.Tensor) -> np.ndarray[Any, Any]:
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.numpy()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def ends(values: np.ndarray[Any, Any]) -> list[Any]:
    """The first and the last four values, complex ones as their parts."""
    flat = values.reshape(-1)
    if flat.dtype.kind == "c":
        flat = flat.view(f"f{flat.itemsize // 2}")
    picked = np.concatenate([flat[:4], flat[-4:]])
    return picked.tolist() if picked.dtype.kind in "bui" else picked.astype(np.float64).tolist()


def outcome(draw: Draw) -> Case:
    values = numpy_of(TORCH[draw[0]](*draw[1:]))
    described = {"shape": list(values.shape), "dtype": values.dtype.name, "ends": ends(values)}
    return {**described, "digest": digest(values.tobytes())}


def state() -> Case:
    raw = torch.get_rng_state().numpy()
    cached = raw[5024:5032].view(np.float64)[0].item() if raw[5040] else None
    return {"digest": digest(raw[:5024].tobytes() + raw[5032:].tobytes()), "cached": cached}


def record(case: Case) -> Case:
    torch.manual_seed(case["seed"])
    return {**case, "outcomes": [outcome(draw) for draw in case["draws"]], "state": state()}


def record_refusal(draw: Draw) -> Case:
    try:
        TORCH[draw[0]](*draw[1:])
    except (RuntimeError, ValueError) as error:
        text = str(error).split("\n")[0].split("  (Could this")[0]
        return {"draw": draw, "error": type(error).__name__, "text": text}
    raise AssertionError(f"torch accepts {draw}")


def record_state(seed: int, draws: list[Draw]) -> Case:
    """A state in full, to be loaded: after draws that leave it fresh, in mid-stream, used up ..."""
    torch.manual_seed(seed)
    for draw in draws:
        TORCH[draw[0]](*draw[1:])
    raw = base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode()
    after: list[Draw] = [["normal", [3], "float32"], ["uniform", [700], "float32"]]
    return {
        "bytes": raw,
        "draws": after,
        "outcomes": [outcome(draw) for draw in after],
        "state": state(),
    }


def golden() -> Case:
    warnings.simplefilter("ignore")
    before: list[list[Draw]] = [
        [],
        [["uniform", [3], "float32"], ["normal", [3], "float32"]],
        [["uniform", [624], "float32"]],
    ]
    return {
        "torch": torch.__version__,
        "cases": [record(case) for case in cases()],
        "refused": [record_refusal(draw) for draw in refused()],
        "states": [record_state(7, draws) for draws in before],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the stored file")
    check = parser.parse_args().check
    new = json.loads(json.dumps(golden()))
    if not check:
        GOLDEN.write_bytes(gzip.compress(json.dumps(new).encode(), 9, mtime=0))
        counts = ", ".join(f"{len(new[part])} {part}" for part in ("cases", "refused", "states"))
        print(f"wrote {counts} to {GOLDEN}: {GOLDEN.stat().st_size} bytes")
        return 0
    old = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    different = [part for part in new if new[part] != old[part]]
    print(
        f"{len(new['cases'])} cases now, {len(old['cases'])} stored; parts that differ: {different}"
    )
    changed = [now for now, then in zip(new["cases"], old["cases"], strict=False) if now != then]
    print(*changed[:3], sep="\n")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
