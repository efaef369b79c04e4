"""The threads that share the chunks of a program's records with the thread that runs it.

They are threads of the system that never touch Python: born of the C library, at the first program
with chunks to share, in `cr.work` (see `driver`) until they are told to stop. Stopped they are when
the number of threads changes, before a fork (parent and child hire anew when they need to) and at
exit. That is safe at any time, since no program depends on them: what they leave undone, the thread
that runs it does.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import namespace
from .driver import CONDITION, CPU_WORDS, CPUS, JOB_CPU, MUTEX, POOL_WORDS, SPINS, STOP, WORKERS

PATIENCE = 100e-6  # seconds that a worker without work looks for it before it sleeps


def library() -> Any:
    """The C library, None where it is not POSIX's: there are no workers then."""
    return ctypes.CDLL(None) if os.name == "posix" else None


class Workers:
    """The pool of this process: `start`, `stop`, and when that has to happen.

    Args:
        code: the runtime's, with `cr.work`, `cr.wake`, `cr.spin` and `cr.pool`.
        after_fork: what else has to be done in a child.
    """

    def __init__(self, code: Any, after_fork: Callable[[], None]) -> None:
        self.c = library()
        self.work, self.pool = code.address("cr.work"), code.address("cr.pool")
        self.wake = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("cr.wake"))
        self.spin = ctypes.CFUNCTYPE(None, ctypes.c_int64)(code.address("cr.spin"))
        self.after_fork = after_fork
        self.words: Any = None
        self.threads: list[ctypes.c_void_p] = []
        self.lock = threading.RLock()
        self.kept: list[Any] = []  # pools that programs under way may still look at
        self.start = self._start  # one object, to which native code has the address
        namespace.watch_num_threads(self.stop)
        atexit.register(self.stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self.lock.release,
                after_in_child=self._in_child,
            )

    def _start(self) -> None:
        """Hire: one thread less than asked for, as the caller works too; fewer if the system has
        no more.
        """
        with self.lock:
            if self.words is not None:
                return
            memory = np.zeros(8 * POOL_WORDS + 64, np.uint8)
            first = -memory.ctypes.data % 64
            words = memory[first : first + 8 * POOL_WORDS].view(np.int64)
            base = words.ctypes.data
            words[SPINS] = PATIENCE / self._pause()
            words[JOB_CPU] = -1
            for cpu in os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ():
                if cpu < 64 * CPU_WORDS:
                    words[CPUS + cpu // 64 : CPUS + cpu // 64 + 1].view(np.uint64)[:] |= (
                        1 << cpu % 64
                    )
            if self.c is not None:
                self.c.pthread_mutex_init(ctypes.c_void_p(base + 8 * MUTEX), None)
                self.c.pthread_cond_init(ctypes.c_void_p(base + 8 * CONDITION), None)
                self._hire(base, namespace.get_num_threads() - 1)
            words[WORKERS] = len(self.threads)
            self.words = words
            ctypes.c_void_p.from_address(self.pool).value = base

    def _hire(self, base: int, count: int) -> None:
        """Start threads that leave signals to Python's."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for _ in range(count):
                thread = ctypes.c_void_p()
                work, pool = ctypes.c_void_p(self.work), ctypes.c_void_p(base)
                if self.c.pthread_create(ctypes.byref(thread), None, work, pool):
                    break
                self.threads.append(thread)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> None:
        """Let all go, after the chunks they are at. The next program hires anew."""
        with self.lock:
            if self.words is None:
                return
            ctypes.c_void_p.from_address(self.pool).value = None
            self.words[STOP] = 1
            if self.threads:
                self.wake(self.words.ctypes.data)
            for thread in self.threads:
                self.c.pthread_join(thread, None)
            self.threads.clear()
            self.kept.append(self.words)
            self.words = None

    def _before_fork(self) -> None:
        self.lock.acquire()
        self.stop()

    def _in_child(self) -> None:
        self.lock.release()
        self.after_fork()

    def _pause(self) -> float:
        """Seconds that one turn of waiting takes on this CPU."""
        best = 1.0
        for _ in range(3):
            begun = time.perf_counter()
            self.spin(1000)
            best = min(best, (time.perf_counter() - begun) / 1000)
        return best
