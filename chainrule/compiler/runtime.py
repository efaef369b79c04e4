"""What runs a compiled program: a loop in native code over a table of kernel calls.

A program is data, a `Plan`: records of kernel, slots, params, extent and grain, and a table of addresses
(buffers) that slots index. A kernel is a function

    void kernel(ptr buffers, ptr slots, ptr params, i64 begin, i64 end)

that does the units [begin, end) of its extent, on buffers[slots[i]], with the integers in params. Records run in
order, each in chunks of `grain` units. Chunks begin at multiples of grain whatever the number of threads, so
that a reduction with one partial result per chunk (begin / grain) has the same bits on any machine.

`Plan.run(*arrays)` enters native code once: it puts the addresses of the arrays' elements into the table, lets go of the
interpreter lock, and runs to the end, or to a record without kernel, where a Python function is called and
the program resumed after. Entry is a builtin made of native code: 0.1 us, where ctypes takes 1.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import blas, machine

# -- the text --------------------------------------------------------------------------------------

PYTHON = (  # functions of the interpreter that native code calls
    "PyLong_FromSsize_t",
    "PyLong_AsSsize_t",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyErr_CheckSignals",
)
TABLE = (*PYTHON, *blas.ROUTINES)
# words of a program, in `Plan.words`
RECORDS, COUNT, BUFFERS, ARGUMENTS, ARGUMENT_COUNT, FLAGS, BUSY = range(7)
RELEASE = 1  # FLAGS: let go of the interpreter lock
WRONG_COUNT, IN_USE = -1, -2  # what entering returns instead of running


def entry(name: str) -> str:
    """The address, as a constant in LLVM, of a function's place in the table."""
    return f"getelementptr inbounds ([{len(TABLE)} x ptr], ptr @cr.table, i64 0, i64 {TABLE.index(name)})"


def text() -> str:
    """The runtime's module."""
    parts = [f"@cr.table = global [{len(TABLE)} x ptr] zeroinitializer", DRIVER, _enter()]
    for suffix, (letter, *_) in blas.TYPES.items():
        parts.append(blas.gemm_text(suffix, entry(f"{letter}gemm")))
        parts.append(blas.gemv_text(suffix, entry(f"{letter}gemv")))
    return "\n\n".join(parts)


DRIVER = """\
define internal void @record(ptr %buffers, ptr %record) nounwind {
  %kernel = load ptr, ptr %record
  %slots_at = getelementptr i64, ptr %record, i64 1
  %slots = load ptr, ptr %slots_at
  %params_at = getelementptr i64, ptr %record, i64 2
  %params = load ptr, ptr %params_at
  %extent_at = getelementptr i64, ptr %record, i64 3
  %extent = load i64, ptr %extent_at
  %grain_at = getelementptr i64, ptr %record, i64 4
  %grain = load i64, ptr %grain_at
  br label %chunk
chunk:
  %begin = phi i64 [ 0, %0 ], [ %end, %chunk ]
  %next = add i64 %begin, %grain
  %last = icmp sge i64 %next, %extent
  %end = select i1 %last, i64 %extent, i64 %next
  call void %kernel(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end)
  br i1 %last, label %done, label %chunk
done:
  ret void
}

define internal i64 @drive(ptr %program, i64 %start) nounwind {
  %records = load ptr, ptr %program
  %count_at = getelementptr i64, ptr %program, i64 1
  %count = load i64, ptr %count_at
  %buffers_at = getelementptr i64, ptr %program, i64 2
  %buffers = load ptr, ptr %buffers_at
  br label %step
step:
  %i = phi i64 [ %start, %0 ], [ %next, %run ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %look, label %finished
look:
  %next = add i64 %i, 1
  %record = getelementptr [5 x i64], ptr %records, i64 %i
  %kernel = load ptr, ptr %record
  %stop = icmp eq ptr %kernel, null
  br i1 %stop, label %stopped, label %run
run:
  call void @record(ptr %buffers, ptr %record)
  br label %step
stopped:
  ret i64 %next
finished:
  ret i64 0
}
"""


def _enter() -> str:
    """The builtins: enter(arrays) and resume(start), their `self` the array of a program's words."""
    return f"""\
define internal ptr @continue(ptr %program, i64 %start) nounwind {{
  %flags_at = getelementptr i64, ptr %program, i64 {FLAGS}
  %flags = load i64, ptr %flags_at
  %bit = and i64 %flags, {RELEASE}
  %release = icmp ne i64 %bit, 0
  br i1 %release, label %freely, label %holding
freely:
  %save = load ptr, ptr {entry("PyEval_SaveThread")}
  %state = call ptr %save()
  %stop1 = call i64 @drive(ptr %program, i64 %start)
  %restore = load ptr, ptr {entry("PyEval_RestoreThread")}
  call void %restore(ptr %state)
  br label %done
holding:
  %stop2 = call i64 @drive(ptr %program, i64 %start)
  br label %done
done:
  %stop = phi i64 [ %stop1, %freely ], [ %stop2, %holding ]
  %ended = icmp eq i64 %stop, 0
  br i1 %ended, label %leave, label %answer
leave:
  %busy = getelementptr i64, ptr %program, i64 {BUSY}
  store i64 0, ptr %busy
  br label %answer
answer:
  %box = load ptr, ptr {entry("PyLong_FromSsize_t")}
  %result = call ptr %box(i64 %stop)
  ret ptr %result
}}

define ptr @cr.enter(ptr %self, ptr %arrays, i64 %count) nounwind {{
  %program_at = getelementptr i8, ptr %self, i64 {data_offset()}
  %program = load ptr, ptr %program_at
  %wanted_at = getelementptr i64, ptr %program, i64 {ARGUMENT_COUNT}
  %wanted = load i64, ptr %wanted_at
  %enough = icmp eq i64 %count, %wanted
  br i1 %enough, label %claim, label %refuse
claim:
  %busy = getelementptr i64, ptr %program, i64 {BUSY}
  %old = atomicrmw xchg ptr %busy, i64 1 acquire
  %mine = icmp eq i64 %old, 0
  br i1 %mine, label %bind, label %refuse
refuse:
  %why = phi i64 [ {WRONG_COUNT}, %0 ], [ {IN_USE}, %claim ]
  %box = load ptr, ptr {entry("PyLong_FromSsize_t")}
  %answer = call ptr %box(i64 %why)
  ret ptr %answer
bind:
  %buffers_at = getelementptr i64, ptr %program, i64 {BUFFERS}
  %buffers = load ptr, ptr %buffers_at
  %slots_at = getelementptr i64, ptr %program, i64 {ARGUMENTS}
  %slots = load ptr, ptr %slots_at
  br label %more
more:
  %i = phi i64 [ 0, %bind ], [ %next, %one ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %go
one:
  %array_at = getelementptr ptr, ptr %arrays, i64 %i
  %array = load ptr, ptr %array_at
  %data_at = getelementptr i8, ptr %array, i64 {data_offset()}
  %data = load ptr, ptr %data_at
  %slot_at = getelementptr i32, ptr %slots, i64 %i
  %slot = load i32, ptr %slot_at
  %place = getelementptr ptr, ptr %buffers, i32 %slot
  store ptr %data, ptr %place
  %next = add i64 %i, 1
  br label %more
go:
  %result = tail call ptr @continue(ptr %program, i64 0)
  ret ptr %result
}}

define ptr @cr.resume(ptr %self, ptr %start) nounwind {{
  %program_at = getelementptr i8, ptr %self, i64 {data_offset()}
  %program = load ptr, ptr %program_at
  %unbox = load ptr, ptr {entry("PyLong_AsSsize_t")}
  %i = call i64 %unbox(ptr %start)
  %result = tail call ptr @continue(ptr %program, i64 %i)
  ret ptr %result
}}
"""


@functools.cache
def data_offset() -> int:
    """Where in an array's object the address of its elements stands (16 in NumPy's ABI, more without the GIL)."""
    arrays = [np.empty(3), np.empty((2, 2), np.int8)]
    for offset in range(0, 64, 8):
        if all(ctypes.c_void_p.from_address(id(a) + offset).value == a.ctypes.data for a in arrays):
            return offset
    raise RuntimeError("this build of NumPy keeps an array's address where nobody can find it")


# -- loaded ----------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


METH_O, METH_FASTCALL = 0x8, 0x80


class Runtime:
    """The runtime's code in this process, bound to the interpreter and BLAS."""

    def __init__(self) -> None:
        self.code = machine.native(text())
        api = ctypes.PyDLL(None)
        found = {n: ctypes.cast(getattr(api, n), ctypes.c_void_p).value for n in PYTHON}
        found |= blas.addresses()
        table = (ctypes.c_void_p * len(TABLE)).from_address(self.code.address("cr.table"))
        table[:] = [found[n] for n in TABLE]
        self._enter = _Method(b"enter", self.code.address("cr.enter"), METH_FASTCALL, None)
        self._resume = _Method(b"resume", self.code.address("cr.resume"), METH_O, None)
        # builtins point into this object and its code, which therefore may never go
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.code))

    def builtins(self, words: Any) -> tuple[Callable[..., int], Callable[[int], int]]:
        """(enter, resume) for the program with those words."""
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        return tuple(make(ctypes.addressof(m), words, None) for m in (self._enter, self._resume))


@functools.cache
def runtime() -> Runtime:
    """The runtime, loaded when first asked for."""
    return Runtime()


def kernel(name: str) -> int:
    """The address of a kernel of the runtime's own, such as `cr.gemm.f32`."""
    return runtime().code.address(name)


# -- programs --------------------------------------------------------------------------------------

ALIGN = 64
PAGE = 2 << 20  # a huge page: arenas of some size begin at one


def aligned(size: int) -> Any:
    """`size` bytes at a multiple of ALIGN, or of a huge page where there are several, as uint8."""
    align = PAGE if size >= 2 * PAGE else ALIGN
    memory = np.empty(size + align, np.uint8)
    start = -memory.ctypes.data % align
    return memory[start : start + size]


class Record:
    """One kernel call of a program, or (function None) one call of Python."""

    __slots__ = ("extent", "function", "grain", "params", "slots")

    def __init__(
        self,
        function: int | None,
        slots: Sequence[int] = (),
        params: Sequence[int] = (),
        extent: int = 1,
        grain: int = 0,
    ) -> None:
        self.function = function
        self.slots = slots
        self.params = params
        self.extent = extent
        self.grain = grain or extent


class Plan:
    """A program ready to run, and the memory behind it.

    Args:
        records: what is done, in order. Records of extent 0 are left out.
        slots: how many buffers there are.
        arguments: the slots whose addresses come with each call: those of run's arrays, in order.
        fixed: {slot: array} that stay the same; kept alive. Only their addresses count.
        arena: bytes of memory between the kernels; `places` says {slot: offset into it}, multiples of 64.
        calls: {index of a record without function: Python function called there}.
        release: let go of the interpreter lock while running; for all but programs of few microseconds.
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
    ) -> None:
        self.calls = calls or {}
        self.fixed = fixed or {}
        self.arena = aligned(arena)
        self.buffers = np.zeros(max(slots, 1), np.uintp)
        for slot, array in self.fixed.items():
            self.buffers[slot] = array.ctypes.data
        base = self.arena.ctypes.data
        for slot, offset in (places or {}).items():
            self.buffers[slot] = base + offset
        self.arguments = np.array(arguments, np.int32)
        self.slots = np.array([s for r in records for s in r.slots], np.int32)
        self.params = np.array([p for r in records for p in r.params], np.int64)
        self.records = self._table(records)
        self.words = np.zeros(8, np.int64)
        self.words[RECORDS] = self.records.ctypes.data
        self.words[COUNT] = len(self.records)
        self.words[BUFFERS] = self.buffers.ctypes.data
        self.words[ARGUMENTS] = self.arguments.ctypes.data
        self.words[ARGUMENT_COUNT] = len(self.arguments)
        self.words[FLAGS] = RELEASE * release
        self.enter, self.resume = runtime().builtins(self.words)
        self._owner = 0

    def _table(self, records: Sequence[Record]) -> Any:
        """The records as native code reads them."""
        table = np.zeros((len(records), 5), np.int64)
        slots, params = self.slots.ctypes.data, self.params.ctypes.data
        for row, r in zip(table, records, strict=True):
            row[:] = r.function or 0, slots, params, r.extent, r.grain
            slots += 4 * len(r.slots)
            params += 8 * len(r.params)
        return table

    def run(self, *arrays: Any) -> None:
        """Run on those arrays' elements, in the order of `arguments`.

        The arrays' dtype, shape and layout are not looked at: that is the caller's part.
        """
        stop = self.enter(*arrays)
        if stop:
            self._finish(stop, arrays)

    def _finish(self, stop: int, arrays: tuple[Any, ...]) -> None:
        """What running does besides native code."""
        if stop == WRONG_COUNT:
            raise TypeError(f"{len(self.arguments)} arrays are needed, got {len(arrays)}")
        while stop == IN_USE:
            stop = self._wait(arrays)
        self._owner = threading.get_ident()
        try:
            while stop:
                self.calls[stop - 1]()
                stop = self.resume(stop)
        finally:
            self._owner = 0
            if stop:
                self.words[BUSY] = 0

    def _wait(self, arrays: tuple[Any, ...]) -> int:
        """Enter when the thread that runs this plan has finished."""
        import time

        if self._owner == threading.get_ident():
            raise RuntimeError("a compiled program was called from inside of itself")
        time.sleep(1e-4)
        return self.enter(*arrays)
