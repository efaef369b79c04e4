"""What runs a compiled program: a loop in native code over a table of kernel calls.

A program is data, a `Plan`: records of kernel, slots, params, extent and grain, and a table of
addresses (buffers) that slots index. A kernel is a function

    void kernel(ptr buffers, ptr slots, ptr params, i64 begin, i64 end)

that does the units [begin, end) of its extent, on buffers[slots[i]], with the integers in params.
Records run in order, each in chunks of `grain` units. Chunks begin at multiples of grain whatever
the number of threads, so that a reduction with one partial result per chunk (begin / grain) has the
same bits on any machine.

`Plan.run(*arrays)` enters native code once: it puts the addresses of the arrays' elements into the
table, lets go of the interpreter lock, and runs to the end, or to a record without kernel, where a
Python function is called and the program resumed after. Entry is a builtin made of native code: 0.1
us, where ctypes takes 1.
"""

from __future__ import annotations

import builtins
import ctypes
import functools
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import blas, driver, guards, machine
from .driver import (
    ARGUMENT_COUNT,
    ARGUMENTS,
    BLAS,
    BUFFERS,
    BUSY,
    COUNT,
    ERROR,
    FAILED,
    FLAGS,
    IN_USE,
    MOST,
    PARALLEL,
    RECORDS,
    RELEASE,
    STAMPS,
    VALUE,
    WRONG_COUNT,
)
from .workers import Workers, library


@functools.cache
def data_offset() -> int:
    """Where in an array's object the address of its elements stands: at 16 in NumPy's ABI, further
    on where Python's objects are larger.
    """
    arrays = [np.empty(3), np.empty((2, 2), np.int8)]
    for offset in range(0, 64, 8):
        if all(ctypes.c_void_p.from_address(id(a) + offset).value == a.ctypes.data for a in arrays):
            return offset
    raise RuntimeError("this build of NumPy keeps an array's address where nobody can find it")


# -- loaded ----------------------------------------------------------------------------------------


class Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


METH_O, METH_FASTCALL = 0x8, 0x80
BUILTINS = {"enter": METH_FASTCALL, "resume": METH_O, "check": METH_FASTCALL, "bump": METH_O}


class Runtime:
    """The runtime's code in this process, bound to the interpreter, the C library and BLAS."""

    def __init__(self) -> None:
        self.code = machine.native(driver.text(), level=0)
        self.workers = Workers(self.code, self.after_fork)
        found = {n: _place(ctypes.pythonapi, n) for n in driver.PYTHON}
        found |= {n: _place(library(), n) for n in driver.SYSTEM}
        found["start_workers"] = id(self.workers.start)
        found |= {name: id(x) for name, x in guards.OBJECTS.items()}
        offset = ctypes.c_int64.from_address(self.code.address("cr.data_offset"))
        offset.value = data_offset()
        self._fill(found)
        self.products = {
            self.code.address(f"cr.{kind}.{t}") for kind in ("gemm", "gemv") for t in blas.TYPES
        } | {self.code.address("cr.call")}
        self.splits: bool | None = None  # whether the workers may share a product; not known yet
        self._methods: dict[str, Method] = {}

    def _fill(self, found: dict[str, int | None]) -> None:
        """Write addresses into the table of the code."""
        table = (ctypes.c_void_p * len(driver.NAMES)).from_address(self.code.address("cr.table"))
        for name, address in found.items():
            table[driver.NAMES.index(name)] = address

    def bind_blas(self) -> None:
        """Find BLAS: not before a product is asked for, since that imports SciPy."""
        if self.splits is None:
            found = blas.addresses()
            self._fill(found)
            self.splits = found["set_blas_threads"] is not None

    def after_fork(self) -> None:
        """In a child: no thread but this one is inside of a program."""
        users = ctypes.c_int64.from_address(self.code.address("cr.blas_users"))
        if users.value and self.splits:
            before = ctypes.c_int64.from_address(self.code.address("cr.blas_threads")).value
            blas.set_threads(before)
        users.value = 0
        for plan in plans:
            plan.after_fork()

    def builtin(self, name: str, words: Any) -> Callable[..., Any]:
        """One of BUILTINS as a function of Python's, for what has those words: its `self`."""
        if name not in self._methods:
            address = self.code.address(f"cr.{name}")
            self._methods[name] = Method(name.encode(), address, BUILTINS[name], None)
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        return make(ctypes.addressof(self._methods[name]), words, None)


def _place(library: Any, name: str) -> int | None:
    """The address of a function of a library, None if there is none."""
    found = getattr(library, name, None)
    return ctypes.cast(found, ctypes.c_void_p).value if found is not None else None


@machine.made_once
def runtime() -> Runtime:
    """The runtime, loaded when first asked for."""
    return Runtime()


kernels: dict[int, str] = {}  # those that were asked for, by address


def kernel(name: str) -> int:
    """The address of a kernel of the runtime's own, such as `cr.gemm.f32`."""
    address = runtime().code.address(name)
    kernels[address] = name
    if address in runtime().products:
        runtime().bind_blas()
    return address


# -- programs --------------------------------------------------------------------------------------

WORDS = -1  # instead of a slot: the program's own words
ALIGN = 64
PAGE = 2 << 20  # a huge page: arenas of some size begin at one


def aligned(size: int) -> Any:
    """`size` bytes at a multiple of ALIGN, or of a huge page where there are several, as uint8."""
    align = PAGE if size >= 2 * PAGE else ALIGN
    memory = np.empty(size + align, np.uint8)
    start = -memory.ctypes.data % align
    return memory[start : start + size]


plans: weakref.WeakSet[Plan] = weakref.WeakSet()


class Record:
    """One kernel call of a program, or (function None) one call of Python; `blas` if the kernel
    calls BLAS on its own.
    """

    __slots__ = ("blas", "extent", "function", "grain", "params", "slots")

    def __init__(
        self,
        function: int | None,
        slots: Sequence[int] = (),
        params: Sequence[int] = (),
        extent: int = 1,
        grain: int = 0,
        blas: bool = False,
    ) -> None:
        self.function = function
        self.blas = blas
        self.slots = slots
        self.params = params
        self.extent = extent
        self.grain = grain or extent


INTERRUPTED_NOTE = (
    "A compiled program was interrupted between two of its kernels: what it writes in place"
    " (parameters, optimizer state, buffers) may be half updated."
)

LATE = 1 << 32  # in ERROR: some of what the program writes in place has been written
LATE_NOTE = (
    "Part of what the compiled program writes in place (parameters, optimizer state, buffers) had"
    " been written before this was found."
)


class Wrong(Exception):
    """Around an error that a program has found."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Plan:
    """A program ready to run, and the memory behind it.

    Args:
        records: what is done, in order.
        slots: how many buffers there are.
        arguments: the slots whose addresses come with each call: those of run's arrays, in order.
        fixed: {slot: array} that stay the same; kept alive. Only their addresses count.
        arena: bytes of memory between the kernels.
        places: {slot: offset into the arena}, multiples of 64.
        calls: {index of a record without function: Python function called there}.
        release: let go of the interpreter lock while running; for all but programs of few
            microseconds.
        errors: of what kernels find wrong: they set ERROR to one more than the place here. Either
            (class, text), where VALUE stands for {} in the text, or a function that raises, or
            returns if nothing is wrong; then the program goes on at record VALUE.
    """

    def __init__(
        self,
        records: Sequence[Record],
        slots: int,
        arguments: Sequence[int] = (),
        fixed: dict[int, Any] | None = None,
        arena: int = 0,
        places: dict[int, int] | None = None,
        calls: dict[int, Callable[[], None]] | None = None,
        release: bool = True,
        errors: Sequence[Any] = (),
    ) -> None:
        self.errors = errors
        self.calls = calls or {}
        self.fixed = fixed or {}
        self.arena = aligned(arena)
        self.buffers = np.zeros(slots + 1, np.uintp)
        for slot, array in self.fixed.items():
            self.buffers[slot] = array.ctypes.data
        base = self.arena.ctypes.data
        for slot, offset in (places or {}).items():
            self.buffers[slot] = base + offset
        self.arguments = np.array(arguments, np.int32)
        given = [slots if s == WORDS else s for r in records for s in r.slots]
        self.slots = np.array(given, np.int32)
        self.params = np.array([p for r in records for p in r.params], np.int64)
        self.records = self._table(records)
        self.words = np.zeros(16, np.int64)
        self.buffers[slots] = self.words.ctypes.data
        self.words[RECORDS] = self.records.ctypes.data
        self.words[COUNT] = len(self.records)
        self.words[BUFFERS] = self.buffers.ctypes.data
        self.words[ARGUMENTS] = self.arguments.ctypes.data
        self.words[ARGUMENT_COUNT] = len(self.arguments)
        parallel = any(r.extent > r.grain for r in records)
        products = any(r.blas or r.function in runtime().products for r in records)
        self.words[FLAGS] = RELEASE * release | PARALLEL * parallel | BLAS * products
        self.enter = runtime().builtin("enter", self.words)
        self.resume = runtime().builtin("resume", self.words)
        self._owner = 0
        plans.add(self)

    def _table(self, records: Sequence[Record]) -> Any:
        """The records as native code reads them."""
        table = np.zeros((len(records), 5), np.int64)
        slots, params = self.slots.ctypes.data, self.params.ctypes.data
        nothing = kernel("cr.nothing")
        for row, r in zip(table, records, strict=True):
            function = r.function if r.extent or not r.function else nothing
            grain = max(r.grain, -(-r.extent // MOST))
            row[:] = function or 0, slots, params, r.extent, grain
            slots += 4 * len(r.slots)
            params += 8 * len(r.params)
        return table

    def run(self, *arrays: Any) -> None:
        """Run on those arrays' elements, in the order of `arguments`.

        The arrays' dtype, shape and layout are not looked at: that is the caller's part.
        """
        try:
            stop = self.enter(*arrays)
        except BaseException as error:
            error.add_note(INTERRUPTED_NOTE)
            raise
        if stop:
            self._finish(stop, arrays)

    def timed(self, *arrays: Any) -> Any:
        """Run, and say what the CPU's clock counted when each record had ended."""
        stamps = np.zeros(max(len(self.records), 1), np.int64)
        self.words[STAMPS] = stamps.ctypes.data
        try:
            self.run(*arrays)
        finally:
            self.words[STAMPS] = 0
        return stamps

    def _finish(self, stop: int, arrays: tuple[Any, ...]) -> None:
        """What running does besides native code."""
        if stop == WRONG_COUNT:
            raise TypeError(f"{len(self.arguments)} arrays are needed, got {len(arrays)}")
        while stop == IN_USE:
            stop = self._wait(arrays)
        self._owner = threading.get_ident()
        try:
            while stop:
                if stop == FAILED:
                    stop = self._failed()
                else:
                    self.calls[stop - 1]()
                stop = self.resume(stop)
        except Wrong as wrong:
            raise wrong.error from None
        except BaseException as error:
            error.add_note(INTERRUPTED_NOTE)
            raise
        finally:
            self._owner = 0
            if stop:
                self.words[[ERROR, BUSY]] = 0

    def _failed(self) -> int:
        """What a kernel has found wrong is raised; if it is not wrong, where to go on."""
        number, value = int(self.words[ERROR]), int(self.words[VALUE])
        self.words[ERROR] = 0
        what = self.errors[(number & ~LATE) - 1]
        try:
            if callable(what):
                what()
                return value
            raise getattr(builtins, what[0])(what[1].format(value))
        except Exception as error:
            if number & LATE:
                error.add_note(LATE_NOTE)
            raise Wrong(error) from None

    def after_fork(self) -> None:
        """In a child: the thread that was running this plan, if another, is not there."""
        if self._owner != threading.get_ident():
            self.words[BUSY] = 0

    def _wait(self, arrays: tuple[Any, ...]) -> int:
        """Enter when the thread that runs this plan has finished."""
        if self._owner == threading.get_ident():
            raise RuntimeError("a compiled program was called from inside of itself")
        time.sleep(1e-4)
        return self.enter(*arrays)
