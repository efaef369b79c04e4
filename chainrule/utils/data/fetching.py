"""From indices to a batch: what the loading process does for each batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .collate import default_collate
from .dataset import IterableDataset, TensorDataset


def fetcher(dataset: Any, batched: bool, collate: Callable, drop_last: bool) -> Callable:
    """A function from the indices of a batch (or one index, if not `batched`) to the batch.

    For a stream the indices only say how many samples; StopIteration says that it has ended.
    """
    if isinstance(dataset, IterableDataset):
        return _from_stream(dataset, batched, collate, drop_last)
    if not batched:
        return lambda index: collate(dataset[index])
    if type(dataset) is TensorDataset and collate is default_collate:
        return lambda indices: _rows(dataset, indices)
    several = getattr(dataset, "__getitems__", None)
    if callable(several):
        return lambda indices: collate(several(indices))
    return lambda indices: collate([dataset[i] for i in indices])


def _rows(dataset: TensorDataset, indices: Any) -> list:
    """What collating the samples one by one gives, in one go."""
    chosen = np.asarray(indices, np.intp)
    return [t[chosen] for t in dataset.tensors]


def _from_stream(dataset: Any, batched: bool, collate: Callable, drop_last: bool) -> Callable:
    stream = iter(dataset)

    def one(_: Any) -> Any:
        return collate(next(stream))

    def several(indices: Any) -> Any:
        samples = list(itertools.islice(stream, len(indices)))
        if not samples or (drop_last and len(samples) < len(indices)):
            raise StopIteration
        return collate(samples)

    return several if batched else one
