"""From a list of samples to a batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...ops.data import as_tensor, tensor
from ...ops.join import stack
from ...tensor import Tensor

WHAT = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars inside of `data` as tensors; everything else as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return as_tensor(data) if data.dtype.kind not in "SUO" else data
    if isinstance(data, Mapping):
        return _like_mapping(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, tuple):
        return [default_convert(v) for v in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(v) for v in data])
    return data


def default_collate(batch: Any) -> Any:
    """One batch from a list of samples: tensors, arrays and numbers are stacked; mappings and
    sequences entry by entry.

    Strings stay a list. Raises TypeError for samples of another kind, RuntimeError for sequences of
    unequal length.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch), 0)
    if isinstance(first, (np.ndarray, np.generic)):
        return _collate_arrays(batch, first)
    if isinstance(first, float):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        entries = {k: default_collate([sample[k] for sample in batch]) for k in first}
        return _like_mapping(first, entries)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(values)) for values in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        return _collate_sequences(batch, first)
    raise TypeError(WHAT.format(type(first)))


def _collate_arrays(batch: Any, first: Any) -> Any:
    if first.dtype.kind in "SUO":
        raise TypeError(WHAT.format(first.dtype))
    return as_tensor(np.stack(batch))


def _collate_sequences(batch: Any, first: Any) -> Any:
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [default_collate(list(values)) for values in zip(*batch, strict=True)]
    return columns if isinstance(first, tuple) else _like_sequence(first, columns)


def _like_mapping(model: Any, entries: dict) -> Any:
    """The entries in a mapping of the same kind, if it can be made."""
    try:
        if isinstance(model, MutableMapping):
            clone = copy.copy(model)
            clone.update(entries)
            return clone
        return type(model)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _like_sequence(model: Any, values: list) -> Any:
    """The values in a sequence of the same kind, if it can be made."""
    if type(model) is list or isinstance(model, range):
        return values
    try:
        if isinstance(model, MutableSequence):
            clone = copy.copy(model)
            for k, value in enumerate(values):
                clone[k] = value
            return clone
        return type(model)(values)  # type: ignore[call-arg]
    except TypeError:
        return values
