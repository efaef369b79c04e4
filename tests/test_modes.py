"""Every operator in every mode of differentiation: forward, forward over reverse, vmap, vmap over
each of them. (Value, gradient and second gradient are test_ops.py's.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from . import differences, modes
from .op_table import Constant, Row, arrays_in, each, numpy_dtype, samples_of
from .test_ops import TABLE, called, function_of, report

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

LOOKS = "data-dependent control flow|calling .item"
RANDOM = "called random operation while in randomness error mode"
UNEQUAL = "expects each tensor to be equal size"
DYNAMIC = "operators that can output dynamic shape"
MEMORY = "no numbers, or memory, of its own"
# What vmap cannot do, as in torch, and what it says then.
FORBIDDEN = {
    "allclose": LOOKS,
    "equal": LOOKS,
    "is_nonzero": LOOKS,
    "histogramdd": LOOKS,
    "histc": LOOKS,
    "nn.functional.one_hot": "explicit positive num_classes",
    "repeat_interleave": UNEQUAL,
    "bincount": LOOKS + "|" + UNEQUAL,
    "argwhere": UNEQUAL,
    "nonzero": DYNAMIC,
    "Tensor.nonzero": DYNAMIC,
    "Tensor.is_set_to": MEMORY,
    "from_dlpack": "doesn't have storage",
    "nn.functional.rrelu": RANDOM,
    "nn.functional.rrelu_": RANDOM,
    "pca_lowrank": RANDOM,
    "svd_lowrank": RANDOM,
}
UNDEFINED = ("empty_like", "Tensor.new_empty", "Tensor.new_empty_strided")  # uninitialised values
NO_OUTPUT = "non-empty output"


def varied(array: np.ndarray, dtype: str) -> bool:
    """Whether the modes take an array of a sample as an input."""
    return array.dtype == numpy_dtype(dtype) and not isinstance(array, Constant)


def as_function(f: Callable, sample: tuple, dtype: str) -> Callable:
    """The call as a function of its arrays of the tested dtype."""

    def function(*tensors: Any) -> Any:
        given = iter(tensors)

        def put(a: np.ndarray) -> Any:
            return next(given) if varied(a, dtype) else differences.tensor(np.array(a))

        return called(f, each(put, sample))

    return function


def main_dtype(row: Row) -> str:
    """The dtype in which a row that has no gradient is run."""
    wanted = ("float64", "float32", "int64", "bool", "complex128")
    return next(d for d in (*wanted, *row.dtypes) if d in row.dtypes)


def complaints(row: Row, mode: str, dtype: str) -> Iterator:
    tolerance = row.tolerance.get("gradient", 2e-6) if row.grad else 1e-5
    forbidden = FORBIDDEN.get(row.name, "") if mode.startswith("vmap") else ""
    for i, sample in enumerate(samples_of(row, dtype)):
        inputs = [a for a in arrays_in(sample) if varied(a, dtype)]
        if not inputs:
            continue
        function = as_function(function_of(row), sample, dtype)
        text = modes.complaint(mode, function, inputs, tolerance)
        known = text and ((forbidden and re.search(forbidden, text)) or re.search(NO_OUTPUT, text))
        yield i, sample, None if known else text


def cases(wanted: Callable[[Row], bool], names: tuple) -> Any:
    """A test for every row and mode."""
    return pytest.mark.parametrize(
        ("row", "mode"),
        [
            pytest.param(row, mode, id=f"{key}-{mode.replace(' ', '-')}")
            for _, key, row in TABLE
            if wanted(row) and row.name not in UNDEFINED
            for mode in names
        ],
    )


@cases(lambda row: row.grad, tuple(modes.MODES))
def test_differentiable(row: Row, mode: str):
    for dtype in ("float64", *(("complex128",) if row.complex_grad else ())):
        report(row, dtype, complaints(row, mode, dtype))


@cases(lambda row: not row.grad and row.values, ("vmap",))
def test_not_differentiable(row: Row, mode: str):
    dtype = main_dtype(row)
    report(row, dtype, complaints(row, mode, dtype))
