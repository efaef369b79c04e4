"""Record how torch prints: writes tests/golden/printing.json, or compares with it (`--check`).

Every case says, without torch, how to rebuild what is printed: `x` is a NumPy expression and
`dtype` the type it is cast to; `options` are given to `set_printoptions` over the defaults;
`default` is the default dtype; `grad_fn`, `requires_grad`, `leading` and `suffixes` are what
surrounds the numbers. `text` is what torch made of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from itertools import chain, product
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.autograd import forward_ad

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "printing.json"
NAMES = {"np": np, "nan": np.nan, "inf": np.inf}
Case = dict[str, Any]

FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")

SCALARS = (
    "0.0",
    "-0.0",
    "1.0",
    "-2.0",
    "0.1",
    "3.14159265",
    "1e-5",
    "123456.0",
    "1e9",
    "1234.5678",
    "nan",
    "inf",
    "-inf",
)
VECTORS = (
    "[0.0, 1.0, 2.0]",
    "[0.0, -0.0]",
    "[1.0, -0.0, 3.0]",
    "[0.5, -0.0, 0.0]",
    "[1.0, nan, inf]",
    "[nan, -inf]",
    "[0.5, nan, -inf]",
    "[1e-4, 1e-3, nan, -inf, 0.0]",
    "[1e-5, 1.0]",
    "[1.0, 1000.0]",
    "[1.0, 1001.0]",
    "[0.5, 500.0]",
    "[0.5, 501.0]",
    "[1e8, 2e8]",
    "[1e8, 2.5e8]",
    "[1e-4, 2e-4]",
    "[9e-5, 2e-4]",
    "[0.00012345, 0.05]",
    "[12345.678, 99999.9]",
    "[-1.5, 22.25, -333.125]",
    "[65504.0, 1e-3]",
    "[1e300, -1e-300]",
    "[5e-324, 0.0]",
    "[0.99999, 0.5]",
    "[0.00005, 0.00015, 1.0]",
    "[[1.0, 2.0], [3.0, 40.0]]",
    "[[0.1, -20.0], [nan, 4.0]]",
)
COMPLEX_VALUES = (
    "1 + 2j",
    "-0.5j",
    "0j",
    "complex(0.0, -0.0)",
    "complex(nan, -inf)",
    "[1 + 1j, -2 - 20j]",
    "[0.5 + 1j, 2 - 3.25j]",
    "[1e-5 + 1j, 2 + 3j]",
    "[1 + 1e9j, 2 + 3j]",
    "[complex(nan, 1), complex(-inf, -2.5), 3j]",
    "[[1j, 2 + 0j], [-1 - 1j, 0j]]",
    "[complex(1, nan), complex(1000, inf), complex(0.5, -0.0)]",
    "np.arange(9.0) * (1 - 0.5j)",
    "np.arange(30.0) + 1j",
    "(np.arange(12.0) / 7 - 1j).reshape(2, 2, 3)",
    "np.arange(1200.0).reshape(40, 30) * (1 + 1j)",
)

# Operations that leave their input as it is, by the name of the node each leaves behind.
SCALAR_NODES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "MeanBackward0": lambda x: x.mean(),
    "MulBackward0": lambda x: x * 1,
    "SumBackward0": lambda x: x.sum(),
}
MATRIX_NODES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "AddBackward0": lambda x: x + 0,
    "AddmmBackward0": lambda x: torch.addmm(torch.zeros(2), x, torch.eye(2)),
    "CatBackward0": lambda x: torch.cat([x[:1], x[1:]]),
    "CloneBackward0": lambda x: x.clone(),
    "CopySlices": lambda x: changed_through_a_view(x.clone()),
    "DivBackward0": lambda x: x / 1,
    "ExpandBackward0": lambda x: x.expand(2, 2),
    "IndexBackward0": lambda x: x[torch.arange(2)],
    "MaximumBackward0": lambda x: torch.maximum(x, torch.zeros(2, 2)),
    "MmBackward0": lambda x: x @ torch.eye(2),
    "NegBackward0": lambda x: x.neg().neg(),
    "PermuteBackward0": lambda x: x.permute(0, 1),
    "PowBackward0": lambda x: x**1.0,
    "ReluBackward0": lambda x: x.relu(),
    "SelectBackward0": lambda x: x[None][0],
    "SqueezeBackward1": lambda x: x[None].squeeze(0),
    "SubBackward0": lambda x: x - 0,
    "SumBackward1": lambda x: x[None].sum(0),
    "TBackward0": lambda x: x.t().t(),
    "ViewBackward0": lambda x: x.view(2, 2),
    "WhereBackward0": lambda x: torch.where(torch.tensor(True), x, x),
}


def changed_through_a_view(x: torch.Tensor) -> torch.Tensor:
    x[:1].mul_(1)
    return x


def case(x: str, dtype: str = "float32", **surroundings: Any) -> Case:
    return {"x": x, "dtype": dtype, **surroundings}


def count(*shape: int) -> str:
    return f"np.arange({np.prod(shape)}).reshape({shape})"


def uniform(seed: int, *shape: int, scale: int = 2) -> str:
    """An expression for numbers between -scale and scale, the same on every machine."""
    return f"(np.random.RandomState({seed}).random_sample({shape}) - 0.5) * {2 * scale}"


def values() -> Iterator[Case]:
    yield from (case(x, dtype) for x, dtype in product(SCALARS + VECTORS, FLOATS))
    yield from (case(x, dtype) for x, dtype in product(COMPLEX_VALUES, COMPLEX))
    yield from (case(x, "bool") for x in ("True", "False", "[True, False]", "np.eye(3)"))
    for dtype in INTEGERS:
        yield case("0", dtype)
        yield case(f"[0, 7, np.iinfo('{dtype}').min, np.iinfo('{dtype}').max]", dtype)
        yield case(count(2, 3, 4) + " * 5", dtype)
    yield from (case(f"[0, np.iinfo('{u}').max]", u) for u in ("uint16", "uint32", "uint64"))


def shapes() -> Iterator[Case]:
    empty = ((0,), (0, 3), (2, 0), (1, 0, 2), (0, 0, 0, 0))
    dtypes = ("float32", "float64", "int64", "bool", "complex64", "bfloat16")
    yield from (case(f"np.zeros({shape})", dtype) for shape, dtype in product(empty, dtypes))
    for shape in ((1,), (1, 1), (1, 1, 1), (2, 1), (1, 5), (2, 2, 2), (2, 1, 3, 2), (1,) * 20):
        yield case(count(*shape) + " / 4 + 0.25")
        yield case(count(*shape) + " - 3", "int64")
    yield case(count(3, 4) + ".T")
    yield case(count(2, 3, 4) + "[:, ::2, ::-1]", "int64")
    yield case("np.broadcast_to(np.arange(3.0), (4, 3))")


def line_breaks() -> Iterator[Case]:
    for n in (8, 9, 10, 11, 23, 24, 25, 26):
        yield case(uniform(n, n))
        yield case(count(n), "int64")
        yield case(count(n) + " % 2 == 0", "bool")
    for width in (1, 10, 20, 33, 40, 79, 120, 300):
        yield case(uniform(1, 30), options={"linewidth": width})
        yield case(count(2, 13) + " ** 2", "int64", options={"linewidth": width})
        yield case(count(8) + " / 4 - 1j", "complex64", options={"linewidth": width})
    yield case(uniform(2, 2, 20), "float64")
    yield case(uniform(3, 2, 2, 17), "bfloat16")


def summaries() -> Iterator[Case]:
    for shape in ((1001,), (1001, 1), (1, 1001), (2, 501), (7, 144), (34, 30), (11, 11, 11)):
        yield case(count(*shape), "int64")
        yield case(uniform(4, *shape, scale=100), "float64" if len(shape) == 2 else "float32")
    yield case(uniform(5, 7, 143))
    yield case(uniform(6, 6, 7, 5, 5), "float16")
    yield case("np.where(np.arange(2000) == 1000, 1e12, 1.0)")  # what is left out decides nothing
    yield case("np.where(np.arange(2000) == 1999, 1e12, 1.0)")
    yield case("np.arange(2000) % 7 == 0", "bool")
    for edge, threshold in product((0, 1, 2, 5), (0, 4, 30)):
        options = {"edgeitems": edge, "threshold": threshold}
        yield case("np.arange(5.0) / 2", options=options)
        yield case(count(6, 6), "int64", options=options)
        yield case(count(2, 3, 4) + " - 2j", "complex64", options=options)
    yield case("2.5", options={"threshold": 0})
    yield case(count(30, 40), "int64", options={"linewidth": 30})


def print_options() -> Iterator[Case]:
    numbers = ("[0.1, 22.25, 3.0]", "[1.0, 2.0, 300.0]", "[1e-7, 1.0]", "[0.0, nan]", "3.14159265")
    for x, sci in product((*numbers, "[1e10, 1.0, nan, inf]"), (True, False)):
        yield case(x, options={"sci_mode": sci})
        yield case(x, "float64", options={"sci_mode": sci, "precision": 2})
    yield from (case(x, options={"precision": n}) for x, n in product(numbers, (0, 1, 8, 12)))
    for dtype, sci in product(("complex64", "float16", "bfloat16", "int64"), (True, False)):
        yield case(count(4) + " * 100", dtype, options={"sci_mode": sci})
    yield case("[0.5 - 1j, 1e-6j]", "complex128", options={"sci_mode": True, "precision": 1})
    for profile in ("default", "short", "full", "unknown"):
        yield case(uniform(5, 12, scale=30), options={"profile": profile})
        yield case(uniform(6, 9, 7, 9), options={"profile": profile, "threshold": 500})
    yield case(count(1010) + " % 10", "uint8", options={"profile": "full"})
    yield case(uniform(7, 8), options={"profile": "short", "precision": 6, "linewidth": 50})


def default_dtypes() -> Iterator[Case]:
    dtypes = (*FLOATS, *COMPLEX, "bool", "int64", "int32")
    for default, dtype, x in product(FLOATS, dtypes, ("[0, 1]", "[]")):
        yield case(x, dtype, default=default)


def histories() -> Iterator[Case]:
    for dtype, n in product((*FLOATS, *COMPLEX), (0, 1, 4, 6)):
        yield case(count(n) + " / 2", dtype, requires_grad=True)
    for width in (12, 30, 45):
        yield case("np.arange(3.0)", "float64", requires_grad=True, options={"linewidth": width})
    yield case("7.0", "float64", requires_grad=True, default="float64")
    yield case("np.zeros((2, 0))", requires_grad=True)
    yield case("[1.0, 2.0]", requires_grad=True, options={"edgeitems": 0})
    yield from (case("2.5", grad_fn=name) for name in SCALAR_NODES)
    yield from (case("[[1.0, 2.0], [0.5, 4.0]]", grad_fn=name) for name in MATRIX_NODES)
    for length in range(14, 50, 2):
        yield case("[0.5, 1.5, -2.5]", grad_fn="N" * length + "Backward")
    for length in (1, 30, 40, 41, 42, 70, 90):
        name = "N" * length + "Backward"
        yield case("[[0.5, 1.5], [-2.5, 0.0]]", "float64", grad_fn=name)
        yield case(uniform(8, 20), "float16", grad_fn=name, options={"linewidth": 60})
        yield case("np.zeros((0, 4))", "float64", grad_fn=name)


def surroundings() -> Iterator[Case]:
    for leading in ("Quantity(", "AnArrayWithAVeryLongNameIndeed("):
        yield case("[[1.0, 2.0], [0.5, 4.0]]", "float64", leading=leading)
        yield case(count(30), "int64", leading=leading)
    yield case("2.5", tangent="1.0")
    yield case("[1.0, 2.0, 3.0]", tangent="[1.0, 0.0, -1.0]")
    yield case(uniform(9, 5), tangent="np.arange(5.0) / 3")


GROUPS = (
    values,
    shapes,
    line_breaks,
    summaries,
    print_options,
    default_dtypes,
    histories,
    surroundings,
)


def build(x: str, dtype: str) -> torch.Tensor:
    """The tensor with exactly the bits of the array that `x` describes."""
    numpy_dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    with np.errstate(all="ignore"):
        array = np.asarray(eval(x, NAMES)).astype(numpy_dtype)
    octets = torch.tensor(list(array.tobytes()), dtype=torch.uint8)
    return octets.view(getattr(torch, dtype)).reshape(array.shape)


def named(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that copies and leaves a node called `name`."""
    rules = {"forward": lambda context, x: x.clone(), "backward": lambda context, g: g}
    members = {key: staticmethod(rule) for key, rule in rules.items()}
    return type(name.removesuffix("Backward"), (torch.autograd.Function,), members).apply


def with_history(x: torch.Tensor, name: str) -> torch.Tensor:
    make = (MATRIX_NODES if x.ndim else SCALAR_NODES).get(name) or named(name)
    out = make(x.requires_grad_())
    if type(out.grad_fn).__name__ != name:
        raise ValueError(f"the operation recorded as {name} leaves {out.grad_fn}")
    return out


def surround(x: torch.Tensor, spec: Case) -> torch.Tensor:
    """Give `x` the history, class or tangent that `spec` asks for."""
    if "tangent" in spec:
        tangent = build(spec.pop("tangent"), spec["dtype"])
        spec["suffixes"] = [f"tangent={tangent}"]
        return forward_ad.make_dual(x, tangent)
    if "leading" in spec:
        return x.as_subclass(type(spec["leading"][:-1], (torch.Tensor,), {}))
    if "grad_fn" in spec:
        return with_history(x, spec["grad_fn"])
    return x.requires_grad_(spec.get("requires_grad", False))


def record(spec: Case) -> Case:
    torch.set_default_dtype(getattr(torch, spec.get("default", "float32")))
    torch.set_printoptions(profile="default")
    torch.set_printoptions(**spec.get("options", {}))
    with forward_ad.dual_level():
        text = repr(surround(build(spec["x"], spec["dtype"]), spec))
    return {**spec, "text": text}


def render(cases: list[Case]) -> str:
    """One case a line, so that a difference is a line too."""
    lines = ",\n".join(json.dumps(spec) for spec in cases)
    return f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the stored file")
    check = parser.parse_args().check
    cases = [record(spec) for spec in chain.from_iterable(group() for group in GROUPS)]
    if not check:
        GOLDEN.write_text(render(cases))
        print(f"wrote {len(cases)} cases to {GOLDEN}")
        return 0
    stored = json.loads(GOLDEN.read_text())["cases"]
    changed = [new for new, old in zip(cases, stored, strict=False) if new != old]
    print(f"{len(cases)} cases now, {len(stored)} stored, {len(changed)} differ")
    print(*changed[:3], sep="\n")
    return int(cases != stored)


if __name__ == "__main__":
    sys.exit(main())
