"""The op table: one row per operator says how to sample it; every generic test is driven by these rows.

A row's `samples(make)` yields `(args, kwargs)`; wherever a tensor goes it puts what `make(shape, low=-2, high=2)` returns
(`make.ints(shape, low, high)` for integer tensors, `make.bools(shape)` for masks, of fixed dtype whatever dtype is tested).
The driver builds them for each dtype, contiguous and strided, with and without gradient. Values are held to a golden file
that torch wrote from the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

REAL = ("float32", "float64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
INTS = ("uint8", "int8", "int16", "int32", "int64")
ALL = ("bool", *INTS, *FLOATS, *COMPLEX)


@dataclass(frozen=True)
class Row:
    """How one public function is tested; `name` is its path below `torch`, as `exp` or `nn.functional.relu`."""

    name: str
    samples: Callable[[Any], Iterator[tuple[tuple, dict]]]
    dtypes: tuple[str, ...] = FLOATS
    grad: bool = True  # differentiable: gradcheck and gradgradcheck in float64
    gradgrad: bool = True
    complex_grad: bool = False  # gradcheck in complex128 too
    errors: tuple[tuple[Callable[[Any], Any], type, str], ...] = ()  # (call(torch), class, pattern)
    tolerance: dict[str, float] = field(default_factory=dict)  # dtype name -> relative tolerance, where the default is too tight
