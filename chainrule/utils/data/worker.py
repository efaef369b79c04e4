"""Worker processes of a loader: each fetches the batches it is sent, and sends them back."""

from __future__ import annotations

import os
import queue
import random
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import rng


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this process is."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: list[WorkerInfo | None] = [None]


def get_worker_info() -> WorkerInfo | None:
    """In a worker process: its number, how many there are, its seed and its data set; None
    elsewhere.
    """
    return _info[0]


class Failure:
    """An exception from a worker, with its traceback as text."""

    def __init__(self, e: BaseException, where: str) -> None:
        self.kind, self.where, self.text = type(e), where, "".join(traceback.format_exception(e))

    def reraise(self) -> None:
        """Raise the same class of exception here."""
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        try:
            e = self.kind(message)
        except TypeError:
            e = RuntimeError(message)
        raise e


def work(fetcher: Any, tasks: Any, results: Any, info: WorkerInfo, init: Any) -> None:
    """The life of a worker: (number, keys) in, (number, batch or Failure) out, until None comes or
    the parent is gone.
    """
    _info[0] = info
    rng.default_generator.manual_seed(info.seed)
    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    where = f"in DataLoader worker process {info.id}"
    broken = None
    try:
        if init is not None:
            init(info.id)
    except Exception as e:
        broken = Failure(e, where)
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            task = tasks.get(timeout=5)
        except queue.Empty:
            continue
        if task is None:
            return
        number, keys = task
        try:
            results.put((number, broken or fetcher.fetch(keys)))
        except Exception as e:
            results.put((number, Failure(e, where)))
