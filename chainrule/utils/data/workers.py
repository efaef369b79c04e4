"""Worker processes that load batches ahead of time.

Each worker has a pipe to the main process: tasks (numbers of samples) go in, batches come out, in
order. The main process hands out tasks in turn and reads the answers in the order of the tasks, so
batches arrive as they would without workers. A worker that dies closes its pipe, which the main
process notices at once. Batches travel pickled.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np

from ...ops.random import manual_seed
from .fetching import fetcher

BEGIN, ENDED = "begin", "ended"


@dataclass
class WorkerInfo:
    """What a worker knows about itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker its `id`, the `num_workers`, its `seed` and its copy of the `dataset`; None in
    the main process.
    """
    return _here


class WorkerError:
    """An exception on its way from a worker to the main process."""

    def __init__(self, where: str) -> None:
        kind, error = sys.exc_info()[:2]
        self.kind, self.where = kind, where
        self.text = f"Caught {kind.__name__} {where}.\nOriginal {traceback.format_exc()}"  # type: ignore[union-attr]
        del error

    def reraise(self) -> None:
        """Raise an exception of the same class that tells where it came from."""
        try:
            error = self.kind(self.text)  # type: ignore[misc]
        except Exception:
            raise RuntimeError(self.text) from None
        raise error


@dataclass
class Job:
    """What a worker needs to know."""

    dataset: Any
    batched: bool
    collate: Callable
    drop_last: bool
    init: Callable | None
    base_seed: int
    count: int


def work(pipe: Any, job: Job, worker: int) -> None:
    """The life of a worker process."""
    global _here
    seed = job.base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(numpy_seed(job.base_seed, worker))
    _here = WorkerInfo(worker, job.count, seed, job.dataset)
    tasks: SimpleQueue = SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), daemon=True).start()
    where, fetch, failure = f"in DataLoader worker process {worker}", None, None
    try:
        if job.init is not None:
            job.init(worker)
    except Exception:
        failure = WorkerError(where)
    while (task := tasks.get()) is not None:
        if task is BEGIN or task == BEGIN:
            fetch = None
            continue
        try:
            if fetch is None and failure is None:
                fetch = fetcher(job.dataset, job.batched, job.collate, job.drop_last)
            answer = failure if fetch is None else fetch(task)
        except StopIteration:
            answer = ENDED
        except Exception:
            answer = WorkerError(where)
        _send(pipe, answer, where)


def _receive(pipe: Any, tasks: SimpleQueue) -> None:
    """Take tasks off the pipe at once, so that neither side ever waits for the other to read."""
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        tasks.put(None)


def _send(pipe: Any, answer: Any, where: str) -> None:
    try:
        pipe.send(answer)
    except (BrokenPipeError, ConnectionResetError):
        return
    except Exception:
        pipe.send(WorkerError(where))


def numpy_seed(base_seed: int, worker: int) -> list[int]:
    """The seed of NumPy's global generator in a worker: four words mixed from both numbers as
    NumPy's SeedSequence mixes them.
    """
    words = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(words).generate_state(4).tolist()


class Pool:
    """The workers of one loader: makes an iterator over batches, for one epoch after another."""

    def __init__(self, job: Job, prefetch: int, timeout: float, context: Any) -> None:
        context = context or multiprocessing.get_context()
        self.prefetch, self.timeout, self.pipes, self.processes = prefetch, timeout, [], []
        for k in range(job.count):
            mine, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, job, k), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(mine)
            self.processes.append(process)

    def epoch(self, indices: Iterator) -> Iterator:
        """The batches for the given (lists of) indices, in their order."""
        for pipe in self.pipes:
            pipe.send(BEGIN)
        running, turn = [True] * len(self.pipes), 0
        pending: deque[int] = deque()

        def hand_out() -> None:
            nonlocal turn
            if not any(running):
                return
            try:
                task = next(indices)
            except StopIteration:
                return
            while not running[turn % len(running)]:
                turn += 1
            k = turn % len(running)
            turn += 1
            self.pipes[k].send(task)
            pending.append(k)

        for _ in range(self.prefetch * len(self.pipes)):
            hand_out()
        while pending:
            k = pending.popleft()
            answer = self.answer(k)
            if isinstance(answer, str) and answer == ENDED:
                if running[k]:
                    running[k] = False
                    hand_out()
                continue
            hand_out()
            if isinstance(answer, WorkerError):
                answer.reraise()
            yield answer

    def answer(self, k: int) -> Any:
        """The next answer of worker k; RuntimeError if it takes too long or the worker has died."""
        pipe = self.pipes[k]
        if self.timeout > 0 and not pipe.poll(self.timeout):
            raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds")
        try:
            return pipe.recv()
        except (EOFError, ConnectionResetError):
            self.processes[k].join(1)
            raise RuntimeError(
                f"DataLoader worker (pid(s) {self.processes[k].pid}) exited unexpectedly "
                f"(exit code {self.processes[k].exitcode})"
            ) from None

    def close(self) -> None:
        """End the workers."""
        for pipe in self.pipes:
            with contextlib.suppress(OSError):  # of a worker that has gone already
                pipe.send(None)  # forked workers hold this end too, and would never see it closed
            pipe.close()
        deadline = time.monotonic() + 2
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join()
        self.pipes, self.processes = [], []
