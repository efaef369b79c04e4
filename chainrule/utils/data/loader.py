"""The DataLoader: batches of a dataset, in order or shuffled, in this process or in workers."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetching import fetcher
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, fresh_seed
from .workers import Job, Pool

T_co = TypeVar("T_co", covariant=True)
FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _Endless(Sampler):
    """What stands for a sampler where the dataset is a stream: it never ends."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """An iterable of batches of `dataset`; each iteration is one epoch.

    With `num_workers` > 0 that many processes load ahead. `shuffle` draws from torch's stream (or
    `generator`). Raises ValueError for settings that contradict each other.
    """

    _started = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.generator = dataset, num_workers, generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn, self.in_order = timeout, worker_init_fn, in_order
        self.multiprocessing_context = multiprocessing_context
        self.stream = isinstance(dataset, IterableDataset)
        self._choose(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.persistent_workers = persistent_workers
        usual = default_convert if self.batch_sampler is None else default_collate
        self.collate_fn = collate_fn or usual
        self._pool: Pool | None = None
        self._started = True
        _check_count(num_workers)

    def _choose(
        self, batch_size: int | None, shuffle: Any, sampler: Any, batches: Any, drop_last: bool
    ) -> None:
        """Check the settings that say which samples make a batch, and make the samplers."""
        if self.stream:
            _check_stream(shuffle, sampler, batches)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batches is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            sampler = self._usual_sampler(shuffle)
        if batch_size is not None and batches is None:
            batches = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batches

    def _usual_sampler(self, shuffle: bool | None) -> Any:
        if self.stream:
            return _Endless()
        if shuffle:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._started and name in FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        object.__setattr__(self, name, value)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pool": None}

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started: a context of `multiprocessing`, or None for the usual one."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            if not self.num_workers:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading "
                    f"(num_workers > 0), but got num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                context = _context(context)
        self._context = context

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def __len__(self) -> int:
        if not self.stream:
            return len(self._index_sampler)
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device "
                "pinned memory won't be used.",
                stacklevel=2,
            )
        return _Working(self) if self.num_workers else _Single(self)

    def check_worker_number_rationality(self) -> None:
        """Warn if there are more workers than processors."""
        _check_count(self.num_workers)


class _Single:
    """One epoch, loaded in this process."""

    def __init__(self, loader: DataLoader) -> None:
        self._length = loader.__len__
        self.indices = iter(loader._index_sampler)
        fresh_seed(loader.generator)  # torch draws one here, which workers would need
        self.fetch = fetcher(
            loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last
        )

    def __iter__(self) -> _Single:
        return self

    def __next__(self) -> Any:
        return self.fetch(next(self.indices))

    def __len__(self) -> int:
        return self._length()


class _Working:
    """One epoch, loaded by workers."""

    def __init__(self, loader: DataLoader) -> None:
        self._length = loader.__len__
        self.keep = loader.persistent_workers
        pool = loader._pool if self.keep else None
        if pool is None:
            pool = _pool(loader)
            loader._pool = pool if self.keep else None
        self.pool = pool
        self.batches = pool.epoch(iter(loader._index_sampler))

    def __iter__(self) -> _Working:
        return self

    def __next__(self) -> Any:
        try:
            return next(self.batches)
        except BaseException:
            if not self.keep:
                self.pool.close()
            raise

    def __len__(self) -> int:
        return self._length()

    def __del__(self) -> None:
        if not self.__dict__.get("keep", True):
            self.pool.close()


def _pool(loader: DataLoader) -> Pool:
    job = Job(
        loader.dataset,
        loader._auto_collation,
        loader.collate_fn,
        loader.drop_last,
        loader.worker_init_fn,
        fresh_seed(loader.generator),
        loader.num_workers,
    )
    return Pool(job, loader.prefetch_factor or 1, loader.timeout, loader._context)


def _context(method: str) -> Any:
    methods = multiprocessing.get_all_start_methods()
    if method not in methods:
        raise ValueError(
            f"multiprocessing_context option should specify a valid start method in {methods!r}, "
            f"but got multiprocessing_context={method!r}"
        )
    return multiprocessing.get_context(method)


def _check_workers(count: int, timeout: float, prefetch: int | None, persistent: bool) -> None:
    if count < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if count == 0 and prefetch is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 "
            "to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch is not None and prefetch < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and count == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream(shuffle: Any, sampler: Any, batches: Any) -> None:
    given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batches}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got "
                f"{name}={value}"
            )


def _check_count(count: int) -> None:
    has_affinity = hasattr(os, "sched_getaffinity")
    most = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    if count > most:
        warnings.warn(
            f"This DataLoader will create {count} worker processes in total. Our suggested max "
            f"number of worker in current system is {most}, which is smaller than what this "
            "DataLoader is going to create. Please be aware that excessive worker creation might "
            "get DataLoader running slow or even freeze, lower the worker number to avoid "
            "potential slowness/freeze if necessary.",
            stacklevel=3,
        )
