"""Printing tensors, character for character as torch does.

A text is made in three steps. The array is cut down to its edges when it has more elements than the
threshold, so printing a large tensor costs no more than printing a small one. What is left becomes
one flat list of cells that share a notation and a width. The cells are then folded into brackets,
innermost axis first, and the suffixes (size, dtype, grad_fn ...) are appended, each on a line of
its own where it would not fit.

Invariants: notation and width depend on the elements shown and on nothing else; a column is as wide
as its widest finite number other than zero, so `nan`, `inf` and `-0.` may stick out; floats that
are all whole print as `1.`; every float is formatted from its exact value as a Python float,
whatever its dtype. The array itself is only read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .dtypes import get_default_dtype

_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
_options = SimpleNamespace(**_PROFILES["default"], sci_mode=None)

# A subclass prints under its own name; these two print as `tensor(`.
_PLAIN_CLASSES = ("Tensor", "Parameter")

Cells = tuple[list[str], int]  # the texts of the elements, and the width of a column


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; what is None stays as it is, but for `sci_mode`.

    `precision` is the number of digits after the point, `threshold` the number of elements above
    which only `edgeitems` are shown at both ends of every axis, and `linewidth` the column at which
    lines break. `profile` ("default", "short" or "full") sets all four, before the others are
    applied. `sci_mode` forces (True) or forbids (False) scientific notation; None, also when it is
    not given, leaves the choice to the values.
    """
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    settings = vars(_options)
    settings.update(_PROFILES.get(profile or "", {}))
    settings.update((name, value) for name, value in given.items() if value is not None)
    settings["sci_mode"] = sci_mode


def get_printoptions() -> dict[str, Any]:
    """Return the print options as a dictionary that `set_printoptions(**options)` restores."""
    return dict(vars(_options))


def format_array(array: Any, dtype_name: str, indent: int) -> str:
    """Return the bracketed numbers of `array`, which start in column `indent`.

    `array` is a NumPy array or scalar; `dtype_name` ("float32", "int64" ...) says how to read it.
    """
    array = np.asarray(array)
    if not array.size:
        return "[]"
    shown = array
    if array.ndim and array.size > _options.threshold:
        if not _options.edgeitems:
            return "[...]"
        shown = _edges(array)
    texts, width = _cells(shown, dtype_name)
    for depth in reversed(range(array.ndim)):
        rows = _rows(texts, shown.shape[depth])
        last = depth == array.ndim - 1
        if shown.shape[depth] < array.shape[depth]:
            rows = _elide(rows, " ..." if last else "...")
        if last:
            rows = _wrap(rows, _options.linewidth - indent - depth, width + 2)
        blank_lines = "\n" * max(0, array.ndim - depth - 2)
        separator = f",\n{blank_lines}{' ' * (indent + depth + 1)}"
        texts = [f"[{separator.join(row)}]" for row in rows]
    return texts[0]


def format_tensor(
    array: Any,
    dtype_name: str,
    *,
    default_dtype_name: str = "float32",
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    leading: str = "tensor(",
    suffixes: Iterable[str] = (),
) -> str:
    """Return the whole text of a tensor: `tensor([1., 2.], grad_fn=<MulBackward0>)`.

    The shape is named where the brackets do not show it, the dtype where it is neither a default
    nor evident from the numbers; `suffixes` come last.
    """
    notes = []
    shape_is_hidden = not _options.edgeitems if array.size else array.ndim != 1
    if shape_is_hidden:
        notes.append(f"size={array.shape}")
    if dtype_name not in _evident_dtypes(default_dtype_name, array.size):
        notes.append(f"dtype=torch.{dtype_name}")
    if grad_fn_name is not None:
        notes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    indent = len(leading)
    text = leading + format_array(array, dtype_name, indent)
    return _append(text, [*notes, *suffixes], indent) + ")"


def tensor_repr(tensor: Any, suffixes: Iterable[str] = ()) -> str:
    """Return what `repr(tensor)` says; a subclass is printed under its own name."""
    kind = type(tensor).__name__
    return format_tensor(
        tensor._data,
        _name(tensor.dtype),
        default_dtype_name=_name(get_default_dtype()),
        requires_grad=tensor.requires_grad,
        grad_fn_name=_grad_fn_name(tensor),
        leading="tensor(" if kind in _PLAIN_CLASSES else f"{kind}(",
        suffixes=suffixes,
    )


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _grad_fn_name(tensor: Any) -> str | None:
    """Name the node that made `tensor`; asking for it fails on a view whose history was lost."""
    try:
        node = tensor.grad_fn
    except RuntimeError:
        return "Invalid"
    return None if node is None else type(node).__name__


def _evident_dtypes(default: str, size: int) -> tuple[str, ...]:
    """The dtypes that go without saying: without elements, none but the default."""
    if not size:
        return (default,)
    return (default, "complex128" if default == "float64" else "complex64", "int64", "bool")


def _append(text: str, notes: Sequence[str], indent: int) -> str:
    column = len(text) - text.rfind("\n") + 1  # one more than there are, and torch's so too
    for note in notes:
        column += len(note) + 2
        if column > _options.linewidth:
            text += ",\n" + " " * indent + note
            column = indent + len(note)
        else:
            text += ", " + note
    return text


def _edges(array: np.ndarray) -> np.ndarray:
    """Keep the first and last `edgeitems` of every axis longer than both together."""
    ends = _options.edgeitems
    kept = [range(n) if n <= 2 * ends else (*range(ends), *range(n - ends, n)) for n in array.shape]
    index = np.ix_(*(places for places in kept if len(places) > 1))  # takes no more than 63 axes
    return array.squeeze()[index].reshape([len(places) for places in kept])


def _rows(texts: list[str], length: int) -> list[list[str]]:
    return [texts[start : start + length] for start in range(0, len(texts), length)]


def _elide(rows: list[list[str]], dots: str) -> list[list[str]]:
    ends = _options.edgeitems
    return [[*row[:ends], dots, *row[ends:]] for row in rows]


def _wrap(rows: list[list[str]], room: int, cell: int) -> list[list[str]]:
    """Join the cells of every row into lines that fit into `room` columns."""
    length = max(1, math.floor(room / cell))
    return [[", ".join(line) for line in _rows(row, length)] for row in rows]


def _cells(x: np.ndarray, dtype_name: str) -> Cells:
    if dtype_name.startswith("complex"):
        return _complex_cells(x)
    texts, width = _float_texts(x) if "float" in dtype_name else _integer_texts(x)
    return [text.rjust(width) for text in texts], width


def _complex_cells(x: np.ndarray) -> Cells:
    """Real and imaginary parts choose notation and width apart; only the real part is padded."""
    real, real_width = _float_texts(x.real)
    imag, imag_width = _float_texts(x.imag)
    signed = (text if text.startswith("-") else "+" + text for text in imag)
    texts = [f"{re:>{real_width}}{im}j" for re, im in zip(real, signed, strict=True)]
    return texts, real_width + imag_width + 1


def _integer_texts(x: np.ndarray) -> Cells:
    texts = [str(value) for value in x.ravel().tolist()]
    return texts, max(map(len, texts))


def _float_texts(x: np.ndarray) -> Cells:
    with np.errstate(invalid="ignore"):  # a signalling nan becomes a quiet one
        x = x.astype(np.float64).ravel()
    counted = np.isfinite(x) & (x != 0)
    notation, point = _notation(x[counted])
    texts = [format(value, notation) for value in x.tolist()]
    if point:
        texts = [text if text.endswith(("nan", "inf")) else text + point for text in texts]
    return texts, max((len(texts[i]) for i in counted.nonzero()[0].tolist()), default=1)


def _notation(x: np.ndarray) -> tuple[str, str]:
    """Choose the format of a column, and what follows its finite numbers, from those not zero."""
    if not x.size:
        return ".0f", "."
    if _is_scientific(x) if _options.sci_mode is None else _options.sci_mode:
        return f".{_options.precision}e", ""
    if (x == np.ceil(x)).all():
        return ".0f", "."
    return f".{_options.precision}f", ""


def _is_scientific(x: np.ndarray) -> bool:
    """Whether the magnitudes are too large, too small or too far apart for fixed notation."""
    sizes = np.abs(x)
    smallest, largest = float(sizes.min()), float(sizes.max())
    return largest / smallest > 1e3 or largest > 1e8 or smallest < 1e-4
