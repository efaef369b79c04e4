"""DataLoader: batches of a data set, in this process or from worker processes, in an order that
follows the seed.
"""

from __future__ import annotations

import itertools
import multiprocessing
import queue
from collections.abc import Callable, Iterator
from typing import Any

from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, random_seed
from .worker import Failure, WorkerInfo, work

END = "the stream has ended"


class _ByKey:
    """Fetches batches of a data set with keys."""

    def __init__(self, dataset: Any, collate: Callable, batched: bool) -> None:
        self.dataset, self.collate, self.batched = dataset, collate, batched

    def fetch(self, keys: Any) -> Any:
        """The batch (or single sample) for keys."""
        if not self.batched:
            return self.collate(self.dataset[keys])
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate(many(keys) if many is not None else [self.dataset[k] for k in keys])


class _Stream:
    """Fetches batches of an iterable data set; the keys only say how many samples."""

    def __init__(self, dataset: Any, collate: Callable, batched: bool, drop_last: bool) -> None:
        self.dataset, self.collate, self.batched, self.drop_last = (
            dataset,
            collate,
            batched,
            drop_last,
        )
        self.samples: Iterator | None = None

    def fetch(self, keys: Any) -> Any:
        """The next batch, or END."""
        if self.samples is None:
            self.samples = iter(self.dataset)
        if not self.batched:
            sample = next(self.samples, END)
            return END if sample is END else self.collate(sample)
        batch = list(itertools.islice(self.samples, len(keys)))
        return (
            self.collate(batch)
            if batch and not (self.drop_last and len(batch) < len(keys))
            else END
        )


class _Forever:
    """The sampler of a stream: keys without end."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader:
    """Iterates over batches of `dataset`.

    Arguments are torch's. `shuffle` and the samplers draw torch's random stream, so the order under
    a seed is torch's. `num_workers > 0` fetches in that many processes (which must be able to
    pickle the data set unless they are forked); an exception there is raised here with its
    traceback. `pin_memory` is accepted and does nothing.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Any = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.worker_init_fn, self.multiprocessing_context, self.generator = (
            worker_init_fn,
            multiprocessing_context,
            generator,
        )
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers, self.pin_memory, self.in_order = (
            persistent_workers,
            pin_memory,
            in_order,
        )
        self._stream = isinstance(dataset, IterableDataset)
        self._choose_samplers(batch_size, shuffle, sampler, batch_sampler, drop_last)
        batched = self.batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._pool: _Workers | None = None

    def _choose_samplers(
        self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
    ) -> None:
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected unspecified shuffle, sampler and"
                " batch_sampler options"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler,"
                    " and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with"
                " drop_last"
            )
        if sampler is None:
            sampler = (
                _Forever()
                if self._stream
                else (
                    RandomSampler(self.dataset, generator=self.generator)
                    if shuffle
                    else SequentialSampler(self.dataset)
                )
            )
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = (
            batch_size,
            drop_last,
            sampler,
            batch_sampler,
        )

    @property
    def _keys(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _fetcher(self) -> Any:
        batched = self.batch_sampler is not None
        if self._stream:
            return _Stream(self.dataset, self.collate_fn, batched, self.drop_last)
        return _ByKey(self.dataset, self.collate_fn, batched)

    def __iter__(self) -> Iterator:
        seed = random_seed(self.generator)
        if not self.num_workers:
            return self._in_this_process()
        pool = self._pool or _Workers(self, seed)
        if self.persistent_workers:
            self._pool = pool
        return pool.batches(self)

    def _in_this_process(self) -> Iterator:
        fetcher = self._fetcher()
        for keys in self._keys:
            batch = fetcher.fetch(keys)
            if batch is END:
                return
            yield batch

    def __len__(self) -> int:
        if not self._stream:
            return len(self._keys)
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def _check(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable"
            " multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0"
            " to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


class _Workers:
    """The worker processes of a loader, each with a queue of tasks; results come back through one
    queue.
    """

    def __init__(self, loader: DataLoader, seed: int) -> None:
        context = loader.multiprocessing_context
        if not hasattr(context, "Process"):
            context = multiprocessing.get_context(context)
        n = loader.num_workers
        self.results = context.Queue()
        self.tasks = [context.Queue() for _ in range(n)]
        self.processes = []
        for i in range(n):
            info = WorkerInfo(i, n, (seed + i) % 2**63, loader.dataset)
            arguments = (
                loader._fetcher(),
                self.tasks[i],
                self.results,
                info,
                loader.worker_init_fn,
            )
            self.processes.append(context.Process(target=work, args=arguments, daemon=True))
            self.processes[-1].start()

    def batches(self, loader: DataLoader) -> Iterator:
        """All batches of an epoch, in order."""
        try:
            yield from self._in_order(loader)
        finally:
            if loader._pool is not self:
                self.stop()

    def _in_order(self, loader: DataLoader) -> Iterator:
        keys = enumerate(iter(loader._keys))
        alive = [True] * len(self.tasks)
        waiting: dict[int, Any] = {}
        owners: dict[int, int] = {}

        def send(worker: int) -> None:
            task = next(keys, None)
            if task is not None:
                owners[task[0]] = worker
                self.tasks[worker].put(task)

        for _ in range(loader.prefetch_factor or 1):
            for worker in range(len(self.tasks)):
                send(worker)
        number = 0
        while number in owners:
            while number not in waiting:
                at, batch = self._next_result(loader)
                waiting[at] = batch
            batch, worker = waiting.pop(number), owners.pop(number)
            number += 1
            if isinstance(batch, Failure):
                batch.reraise()
            if isinstance(batch, str) and batch == END:
                alive[worker] = False
                continue
            if alive[worker]:
                send(worker)
            yield batch

    def _next_result(self, loader: DataLoader) -> tuple:
        waited = 0.0
        while True:
            try:
                return self.results.get(timeout=1)
            except queue.Empty:
                waited += 1
            dead = [p.pid for p in self.processes if not p.is_alive()]
            if dead:
                raise RuntimeError(
                    f"DataLoader worker (pid(s) {', '.join(map(str, dead))}) exited unexpectedly"
                )
            if loader.timeout and waited >= loader.timeout:
                raise RuntimeError(f"DataLoader timed out after {loader.timeout} seconds")

    def stop(self) -> None:
        """End the processes."""
        for tasks in self.tasks:
            tasks.put(None)
        for process in self.processes:
            process.join(timeout=1)
            if process.is_alive():
                process.terminate()
                process.join()
        for q in (self.results, *self.tasks):
            q.cancel_join_thread()
            q.close()
