"""The dtype that binary operators give, for every pair of operands, against what torch gives
(tests/golden/promotion.json.gz).

An operand is a tensor with dimensions, one without, or a Python number. The golden file has, for
each operator, one letter per pair: the dtype of the result, or the class of the error.
"""

from __future__ import annotations

import gzip
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chainrule

GOLDEN = Path(__file__).parent / "golden" / "promotion.json.gz"
DTYPES = (
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
NUMBERS = {"True": True, "2": 2, "0.5": 0.5, "1j": 1j}
OPERANDS = (*(f"{name}[2]" for name in DTYPES), *(f"{name}[]" for name in DTYPES), *NUMBERS)
LETTERS = dict(zip(DTYPES, "abcdefghijkl", strict=True))
ERRORS = {
    RuntimeError: "R",
    NotImplementedError: "N",
    TypeError: "T",
    ValueError: "V",
    IndexError: "I",
    ZeroDivisionError: "Z",
    OverflowError: "O",
    AttributeError: "A",
}
SKIPPED = "."
OPERATORS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda t, x, y: x + y,
    "-": lambda t, x, y: x - y,
    "*": lambda t, x, y: x * y,
    "/": lambda t, x, y: x / y,
    "//": lambda t, x, y: x // y,
    "%": lambda t, x, y: x % y,
    "**": lambda t, x, y: x**y,
    "==": lambda t, x, y: x == y,
    "<": lambda t, x, y: x < y,
    "&": lambda t, x, y: x & y,
    "|": lambda t, x, y: x | y,
    "^": lambda t, x, y: x ^ y,
    "<<": lambda t, x, y: x << y,
    "add": lambda t, x, y: t.add(x, y),
    "add with alpha": lambda t, x, y: t.add(x, y, alpha=2),
    "rsub": lambda t, x, y: t.rsub(x, y),
    "div floor": lambda t, x, y: t.div(x, y, rounding_mode="floor"),
    "div trunc": lambda t, x, y: t.div(x, y, rounding_mode="trunc"),
    "fmod": lambda t, x, y: t.fmod(x, y),
    "remainder": lambda t, x, y: t.remainder(x, y),
    "pow": lambda t, x, y: t.pow(x, y),
    "float_power": lambda t, x, y: t.float_power(x, y),
    "maximum": lambda t, x, y: t.maximum(x, y),
    "fmin": lambda t, x, y: t.fmin(x, y),
    "atan2": lambda t, x, y: t.atan2(x, y),
    "hypot": lambda t, x, y: t.hypot(x, y),
    "copysign": lambda t, x, y: t.copysign(x, y),
    "logaddexp": lambda t, x, y: t.logaddexp(x, y),
    "xlogy": lambda t, x, y: t.xlogy(x, y),
    "ge": lambda t, x, y: t.ge(x, y),
    "logical_and": lambda t, x, y: t.logical_and(x, y),
    "bitwise_and": lambda t, x, y: t.bitwise_and(x, y),
    "gcd": lambda t, x, y: t.gcd(x, y),
    "where": lambda t, x, y: t.where(t.tensor([True, False]), x, y),
    "lerp": lambda t, x, y: t.lerp(x, y, 0.5),
    "clamp": lambda t, x, y: t.clamp(x, y),
    "cat": lambda t, x, y: t.cat([x, y]),
    "stack": lambda t, x, y: t.stack([x, y]),
    "result_type": lambda t, x, y: t.empty((), dtype=t.result_type(x, y)),
    "add_": lambda t, x, y: x.add_(y),
    "mul_": lambda t, x, y: x.mul_(y),
    "div_": lambda t, x, y: x.div_(y),
    "pow_": lambda t, x, y: x.pow_(y),
    "bitwise_or_": lambda t, x, y: x.bitwise_or_(y),
    "eq_": lambda t, x, y: x.eq_(y),
    "copy_": lambda t, x, y: x.copy_(y),
}
IN_FLOAT64 = ("+", "/", "**", "atan2", "float_power", "where")  # by float64 as default dtype, too
CASES = [(name, "float32") for name in OPERATORS] + [(name, "float64") for name in IN_FLOAT64]


def operand(torch: Any, text: str) -> Any:
    """The tensor of ones or the number that an operand's name describes."""
    if text in NUMBERS:
        return NUMBERS[text]
    name, _, size = text.partition("[")
    return torch.ones((2,) if size == "2]" else (), dtype=getattr(torch, name))


def rank(text: str) -> int:
    """What an operand counts for: tensors with dimensions most, numbers least."""
    return 2 if text.endswith("[2]") else 1 if text.endswith("[]") else 0


def makes_complex32(x: str, y: str) -> bool:
    """Whether torch promotes to complex32, which chainrule has not: float16 outranks a complex."""
    halves = [t for t in (x, y) if t.startswith("float16")]
    others = [t for t in (x, y) if t.startswith("complex") or t == "1j"]
    return bool(halves and others) and rank(halves[0]) > rank(others[0])


def outcome(torch: Any, name: str, x: str, y: str) -> str:
    """The letter for what an operator makes of two operands."""
    if (x in NUMBERS and (y in NUMBERS or name.endswith("_"))) or makes_complex32(x, y):
        return SKIPPED
    try:
        result = OPERATORS[name](torch, operand(torch, x), operand(torch, y))
    except Exception as e:
        return next(letter for kind, letter in reversed(ERRORS.items()) if isinstance(e, kind))
    return LETTERS[str(result.dtype).removeprefix("torch.")]


def outcomes(torch: Any, name: str, default: str) -> str:
    """The letters for all pairs of operands."""
    torch.set_default_dtype(getattr(torch, default))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "".join(
                outcome(torch, name, x, y) for x, y in itertools.product(OPERANDS, repeat=2)
            )
    finally:
        torch.set_default_dtype(torch.float32)


def differences(got: str, expected: str) -> list[str]:
    """The pairs whose outcomes differ, in words; NotImplementedError is a RuntimeError, too."""
    words = {v: k for k, v in LETTERS.items()} | {v: k.__name__ for k, v in ERRORS.items()}
    pairs = itertools.product(OPERANDS, repeat=2)
    return [
        f"{x}, {y}: {words[g]}, torch: {words[e]}"
        for (x, y), g, e in zip(pairs, got, expected, strict=True)
        if g != e and g + e != "NR"
    ]


@pytest.fixture(scope="module")
def golden() -> dict:
    """What torch gave."""
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))


@pytest.mark.parametrize(("name", "default"), CASES, ids=[f"{n}-{d}" for n, d in CASES])
def test_results_have_the_dtype_torch_gives(golden: dict, name: str, default: str):
    wrong = differences(outcomes(chainrule, name, default), golden["outcomes"][f"{name} {default}"])
    assert not wrong, f"{len(wrong)} pairs differ: " + "; ".join(wrong[:20])


def test_golden_file_has_every_pair(golden: dict):
    assert set(golden["outcomes"]) == {f"{name} {default}" for name, default in CASES}
    assert {len(text) for text in golden["outcomes"].values()} == {len(OPERANDS) ** 2}
    assert GOLDEN.stat().st_size < 150_000


def test_kron_counts_tensors_without_dimensions():
    a, s = chainrule.ones(3), chainrule.tensor(2.0, dtype=chainrule.float64)
    assert chainrule.kron(a, s).dtype == chainrule.kron(s, a).dtype == chainrule.float64
    assert chainrule.kron(a.half(), a.sum()).dtype == chainrule.float32
    assert chainrule.kron(s, chainrule.tensor(2)).shape == ()
    assert chainrule.kron(
        chainrule.ones(2, dtype=chainrule.int32), chainrule.tensor(2)
    ).tolist() == [2, 2]
    assert chainrule.kron(a, s.requires_grad_()).sum().backward() is None and s.grad == 3


def test_losses_count_tensors_without_dimensions():
    f, a, s = chainrule.nn.functional, chainrule.ones(3), chainrule.tensor(2.0).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that differ
        for loss in (f.mse_loss, f.l1_loss, f.smooth_l1_loss):
            assert loss(a, s).dtype == loss(s, a).dtype == chainrule.float64
    assert f.cosine_similarity(a, s, dim=0).dtype == chainrule.float64
