"""The op table: one row per public function says how to sample it; every generic test is driven by
these rows.

A row's `samples(make)` yields `(args, kwargs)` of valid calls. Wherever a tensor goes it puts an
array:

- `make(shape, low=-2, high=2)`: random, in the dtype that is tested (integers from `low` up to and
  with `high`);
- `make.constant(shape, low, high)`: the same, but the function is not differentiated with respect
  to it;
- `make.ints(shape, low, high)`: int64 from `low` up to, but without, `high`; `make.bools(shape)`: a
  mask.

They are NumPy arrays, so a sample may compute with them (`a @ a.T`, `np.sort(a)`, `a.astype(...)`);
`make.dtype` is their dtype. Any array anywhere in the arguments becomes a tensor; floating arrays
of the tested dtype are differentiated. Arguments that are dtypes are written `chainrule.float64`.
Samples should cover 0-d, empty, broadcast and the keywords, with sizes up to about 5.

The driver (test_ops.py) holds each sample to what torch gave for it: `python tools/golden_ops.py
<family>` writes tests/golden/ops/<family>.npz for the rows in tests/rows/<family>.py, and says
where torch refuses a sample.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

REAL = ("float32", "float64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
INTS = ("uint8", "int8", "int16", "int32", "int64")
ALL = ("bool", *INTS, *FLOATS, *COMPLEX)


@dataclass(frozen=True)
class Row:
    """How one public function is tested.

    `name` is its path below `torch`: `exp`, `nn.functional.relu`, `Tensor.expand`.
    """

    name: str
    samples: Callable[[Any], Iterator[tuple[tuple, dict]]]
    dtypes: tuple[str, ...] = FLOATS
    grad: bool = True  # differentiable: gradcheck and gradgradcheck in float64
    complex_grad: bool = False  # gradcheck in complex128 too
    errors: tuple[tuple[Callable[[Any], Any], type, str], ...] = ()  # (call(torch), class, pattern)
    # by dtype ("gradient": finite differences), where the default is too tight
    tolerance: dict[str, float] = field(default_factory=dict)
    values: bool = True  # False: results are undefined (`empty`), only shapes and dtypes compared
    strided: bool = True  # False: what it gives depends on how the input lies in memory
    # False: the grad_fn may have another name than torch's, or be there where torch has none
    exact_node: bool = True


def numpy_dtype(name: str) -> np.dtype:
    """The NumPy dtype of a dtype's name."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


class Constant(np.ndarray):
    """An array of the tested dtype that is not differentiated."""


class Maker:
    """Draws a row's arrays: the same numbers for every dtype, as far as the dtype can hold them."""

    def __init__(self, name: str, dtype: str) -> None:
        self.dtype = numpy_dtype(dtype)
        self.random = np.random.RandomState(zlib.crc32(name.encode()))

    def __call__(self, shape: tuple = (), low: float = -2, high: float = 2) -> np.ndarray:
        """Random numbers in the tested dtype."""
        real, imag = self.random.uniform(low, high, (2, *shape))
        if self.dtype.kind in "iu":
            least = max(int(np.ceil(low)), np.iinfo(self.dtype).min)
            count = max(min(int(np.floor(high)), np.iinfo(self.dtype).max) - least, 0) + 1
            return np.asarray(least + np.floor((real - low) / (high - low) * count)).astype(
                self.dtype
            )
        if self.dtype.kind == "b":
            return np.asarray(real > (low + high) / 2)
        real = np.asarray(real).astype(np.float32)
        return (
            real + 1j * np.asarray(imag).astype(np.float32) if self.dtype.kind == "c" else real
        ).astype(self.dtype)

    def constant(self, shape: tuple = (), low: float = -2, high: float = 2) -> np.ndarray:
        """Random numbers in the tested dtype, with respect to which nothing is differentiated."""
        return self(shape, low, high).view(Constant)

    def ints(self, shape: tuple = (), low: int = 0, high: int = 5) -> np.ndarray:
        """Random int64 from `low` up to, but without, `high`."""
        return np.asarray(self.random.randint(low, high, shape), np.int64)

    def bools(self, shape: tuple = ()) -> np.ndarray:
        """A random mask."""
        return np.asarray(self.random.randint(0, 2, shape), bool)


def samples_of(row: Row, dtype: str) -> list[tuple[tuple, dict]]:
    """The row's samples in a dtype."""
    return list(row.samples(Maker(row.name, dtype)))


def each(f: Callable[[np.ndarray], Any], x: Any, rest: Callable[[Any], Any] = lambda v: v) -> Any:
    """Nested tuples, lists and dicts with `f` applied to the arrays in them, `rest` to the rest."""
    if isinstance(x, (np.ndarray, np.generic)):
        return f(np.asarray(x) if isinstance(x, np.generic) else x)
    if isinstance(x, dict):
        return {k: each(f, v, rest) for k, v in x.items()}
    return type(x)([each(f, v, rest) for v in x]) if type(x) in (tuple, list) else rest(x)


def arrays_in(x: Any) -> list[np.ndarray]:
    """The arrays among nested tuples, lists and dicts, in order."""
    found: list[np.ndarray] = []
    each(found.append, x)
    return found


# Functions that differ from torch where there are no elements, and why.
UNLIKE_AT_EDGES = {
    "pixel_unshuffle": "torch leaves the shape as it was",
    "Tensor.is_contiguous": "torch calls an empty tensor channels_last only if it was made so",
    "index_fill": "torch reads beyond an empty index",
    "linalg.tensorsolve": "torch checks the shapes only if there are elements",
    "linalg.pinv": "torch checks that the matrix is square only if there are elements",
    "linalg.cond": "torch checks that the matrix is square only if there are elements",
    "linalg.matrix_rank": "torch checks that the matrix is square only if there are elements",
    "cholesky": "torch checks that the matrix is square only if there are elements",
    "lu_unpack": "torch's result is uninitialised",
    "nn.functional.multi_margin_loss": "torch's result is uninitialised",
    "nn.functional.multilabel_margin_loss": "torch's result is uninitialised",
    "nn.functional.batch_norm": "torch checks the statistics only if there are elements",
    "batch_norm": "torch checks the statistics only if there are elements",
    "native_batch_norm": "torch checks the statistics only if there are elements",
    "nn.functional.scaled_dot_product_attention": "torch checks masks only if there are elements",
    "nn.functional.adaptive_avg_pool1d": "torch gives the mean of nothing for one output",
    "nn.functional.adaptive_avg_pool2d": "torch gives the mean of nothing for one output",
    "nn.functional.adaptive_avg_pool3d": "torch gives the mean of nothing for one output",
    "nn.functional.adaptive_max_pool1d": "torch lets an unbatched input have no channels",
    "nn.functional.adaptive_max_pool2d": "torch lets an unbatched input have no channels",
    "nn.functional.adaptive_max_pool3d": "torch lets an unbatched input have no channels",
    "trapezoid": "torch checks the points only if there are elements",
}


def has_edges(row: Row) -> bool:
    """Whether a row is held to what torch gives at its edges; only then is that recorded."""
    return row.values and row.name not in UNLIKE_AT_EDGES


def edges(row: Row, dtype: str) -> Iterator[tuple[tuple, dict]]:
    """The first samples with arrays of no dimension, of no rows, and of no columns instead."""
    seen = set()
    for sample in samples_of(row, dtype)[:5]:
        for changed in (_scalar, _without_rows, _without_columns):
            edge = each(changed, sample)
            text = show(edge)
            if text not in seen and text != show(sample):
                seen.add(text)
                yield edge


def _scalar(a: np.ndarray) -> np.ndarray:
    return np.array(a.reshape(-1)[0]) if a.size else a


def _without_rows(a: np.ndarray) -> np.ndarray:
    return a[:0].copy() if a.ndim else a


def _without_columns(a: np.ndarray) -> np.ndarray:
    return a[..., :0].copy() if a.ndim > 1 else a


def show(sample: tuple[tuple, dict]) -> str:
    """A call's arguments in words: arrays by their shapes."""
    args, kwargs = each(lambda a: list(a.shape), sample, _show_one)
    return f"({', '.join([*map(str, args), *(f'{k}={v}' for k, v in kwargs.items())])})"


def _show_one(x: Any) -> Any:
    text = repr(x)
    return type(x).__name__ if " at 0x" in text else text


def differentiable(array: np.ndarray, dtype: str) -> bool:
    """Whether gradcheck varies an array of a sample."""
    return (
        array.dtype == numpy_dtype(dtype)
        and array.dtype.kind in "fcV"
        and not isinstance(array, Constant)
    )


def fingerprint(row: Row, dtype: str) -> int:
    """A number that changes when the row's samples change."""
    crc = 0
    for sample in samples_of(row, dtype):
        for a in arrays_in(sample):
            crc = zlib.crc32(np.ascontiguousarray(a).tobytes(), crc)
        crc = zlib.crc32(show(sample).encode(), crc)
    return crc


def find(root: Any, path: str) -> Any:
    """What stands under a dotted path; raises AttributeError if nothing does."""
    for part in path.split("."):
        root = getattr(root, part)
    return root
