"""Samples into batches: tensors, arrays and numbers are stacked, containers of them element by
element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import chainrule


def default_collate(batch: Any) -> Any:
    """A list of samples as one batch: along a new first dimension, through dictionaries, tuples and
    lists.

    Raises TypeError for elements it does not know, RuntimeError for sequences of unequal length.
    """
    first = batch[0]
    if isinstance(first, chainrule.Tensor):
        return chainrule.stack(list(batch), 0)
    if isinstance(first, np.ndarray) and first.dtype.kind not in "SUO":
        return chainrule.stack([chainrule.as_tensor(b) for b in batch], 0)
    if isinstance(first, (np.generic, bool, int)) and not isinstance(first, (np.str_, np.bytes_)):
        return chainrule.as_tensor(np.asarray(batch))
    if isinstance(first, float):
        return chainrule.tensor(list(batch), dtype=chainrule.float64)
    if isinstance(first, (str, bytes)):
        return batch
    return _through(batch, first)


def _through(batch: Any, first: Any) -> Any:
    if isinstance(first, Mapping):
        return _rebuilt(first, {k: default_collate([b[k] for b in batch]) for k in first})
    if isinstance(first, Sequence):
        if any(len(b) != len(first) for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return _sequence(first, columns)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{type(first)}"
    )


def _rebuilt(like: Mapping, items: dict) -> Any:
    try:
        return type(like)(items)  # type: ignore[call-arg]
    except TypeError:
        return items


def _sequence(like: Any, items: list) -> Any:
    if isinstance(like, tuple):
        return type(like)(*items) if hasattr(like, "_fields") else items
    return items


def default_convert(data: Any) -> Any:
    """A single sample with its arrays as tensors."""
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "SUO":
        return chainrule.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuilt(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _sequence(data, [default_convert(d) for d in data])
    return data


Collate = Callable[[list], Any]
