"""Memory of large arrays, used again.

A large result costs more to get than to compute: the system hands its memory out page by page, each
zeroed as it is first touched, and takes it back when the array dies. Here freed blocks of `LEAST`
bytes and more are kept, up to `KEPT` bytes of them, and the next array of about that size is given
the one that was freed last, which may still be in cache. Sizes are rounded up to one of eight steps
in each doubling; blocks are aligned for vectors, those of many pages to huge ones.

It is an allocator in NumPy's sense (`PyDataMem_SetHandler`): a few functions of machine code, which
NumPy calls for arrays that are made in a context where the handler is set. That is the context that
operators run in, so arrays that the user's own NumPy code makes are not concerned. An array knows
who gave it its memory, and gives it back there: memory is handed out again exactly when NumPy
frees it, whatever views, buffers or tensors looked at it.

Where the system has no memory left, what is kept is given back first.

The list of blocks has a lock that nobody waits for: who finds it taken asks the system. A forked
child begins with an empty list.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from . import machine

LEAST = 1 << 16  # bytes of a block that is kept
HUGE = 1 << 22  # bytes from which huge pages are asked for
PAGE = 1 << 21
BLOCKS = 32  # how many are kept at most
SHARE = 16  # of the machine's memory, one part in so many may be kept
MOST = 512 << 20  # bytes that are kept at most

NAME = b"mem_handler"  # of the capsule, NumPy's
GET, SET = 305, 304  # places of PyDataMem_GetHandler and PyDataMem_SetHandler in NumPy's C API
DEFAULT = ("context", "malloc", "calloc", "realloc", "free")  # as they stand in a handler

ADVISE = hasattr(os, "posix_fadvise") and os.uname().sysname == "Linux"
HUGE_PAGES = 14  # MADV_HUGEPAGE


def _default(name: str) -> str:
    """The place in `cr.default` of a function of NumPy's own allocator."""
    return f"getelementptr inbounds ([5 x ptr], ptr @cr.default, i64 0, i64 {DEFAULT.index(name)})"


def _call(kind: str, name: str, given: str) -> str:
    """Lines that call a function of NumPy's own allocator; the result is %{name}."""
    result = "" if kind == "void" else f"%{name} = "
    return f"""  %{name}.context = load ptr, ptr @cr.default
  %{name}.f = load ptr, ptr {_default(name)}
  {result}call {kind} %{name}.f(ptr %{name}.context, {given})"""


GLOBALS = f"""
@cr.default = global [5 x ptr] zeroinitializer
@cr.lock = global i64 0
@cr.count = global i64 0
@cr.held = global i64 0
@cr.limit = global i64 0
@cr.reused = global i64 0
@cr.addresses = global [{BLOCKS} x ptr] zeroinitializer
@cr.sizes = global [{BLOCKS} x i64] zeroinitializer
declare i64 @llvm.ctlz.i64(i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare i32 @posix_memalign(ptr, i64, i64)
declare i32 @madvise(ptr, i64, i32)

define internal i64 @rounded(i64 %size) nounwind {{
  %zeros = call i64 @llvm.ctlz.i64(i64 %size, i1 false)
  %shift = sub i64 60, %zeros
  %step = shl i64 1, %shift
  %less = sub i64 %step, 1
  %more = add i64 %size, %less
  %mask = xor i64 %less, -1
  %all = and i64 %more, %mask
  ret i64 %all
}}

define internal i1 @lock() nounwind {{
  %got = cmpxchg ptr @cr.lock, i64 0, i64 1 acquire monotonic
  %mine = extractvalue {{ i64, i1 }} %got, 1
  ret i1 %mine
}}

define internal void @drop(i64 %i) nounwind {{
  %count = load i64, ptr @cr.count
  %last = sub i64 %count, 1
  store i64 %last, ptr @cr.count
  %size_at = getelementptr i64, ptr @cr.sizes, i64 %i
  %size = load i64, ptr %size_at
  %held = load i64, ptr @cr.held
  %left = sub i64 %held, %size
  store i64 %left, ptr @cr.held
  %behind = sub i64 %last, %i
  %bytes = mul i64 %behind, 8
  %address_at = getelementptr ptr, ptr @cr.addresses, i64 %i
  %address_next = getelementptr ptr, ptr %address_at, i64 1
  %size_next = getelementptr i64, ptr %size_at, i64 1
  call void @llvm.memmove.p0.p0.i64(ptr %address_at, ptr %address_next, i64 %bytes, i1 false)
  call void @llvm.memmove.p0.p0.i64(ptr %size_at, ptr %size_next, i64 %bytes, i1 false)
  ret void
}}
"""

# The block of that (rounded) size that was freed last; null if there is none.
TAKE = """
define internal ptr @take(i64 %size) nounwind {
  %mine = call i1 @lock()
  br i1 %mine, label %begin, label %none
begin:
  %count = load i64, ptr @cr.count
  br label %look
look:
  %n = phi i64 [ %count, %begin ], [ %i, %next ]
  %any = icmp sgt i64 %n, 0
  br i1 %any, label %next, label %missing
next:
  %i = sub i64 %n, 1
  %size_at = getelementptr i64, ptr @cr.sizes, i64 %i
  %this = load i64, ptr %size_at
  %fits = icmp eq i64 %this, %size
  br i1 %fits, label %found, label %look
found:
  %address_at = getelementptr ptr, ptr @cr.addresses, i64 %i
  %address = load ptr, ptr %address_at
  call void @drop(i64 %i)
  %before = load i64, ptr @cr.reused
  %after = add i64 %before, 1
  store i64 %after, ptr @cr.reused
  store atomic i64 0, ptr @cr.lock release, align 8
  ret ptr %address
missing:
  store atomic i64 0, ptr @cr.lock release, align 8
  ret ptr null
none:
  ret ptr null
}
"""

# Keep a block, letting the oldest go where there is no room; 0 if it cannot be kept.
KEEP = f"""
define internal i1 @keep(ptr %p, i64 %size) nounwind {{
  %limit = load i64, ptr @cr.limit
  %fits = icmp ule i64 %size, %limit
  br i1 %fits, label %try, label %no
try:
  %mine = call i1 @lock()
  br i1 %mine, label %room, label %no
room:
  %count = load i64, ptr @cr.count
  %held = load i64, ptr @cr.held
  %sum = add i64 %held, %size
  %over = icmp ugt i64 %sum, %limit
  %full = icmp sge i64 %count, {BLOCKS}
  %must = or i1 %over, %full
  br i1 %must, label %evict, label %put
evict:
  %oldest = load ptr, ptr @cr.addresses
  %oldest_size = load i64, ptr @cr.sizes
  call void @drop(i64 0)
{_call("void", "free", "ptr %oldest, i64 %oldest_size")}
  br label %room
put:
  %address_at = getelementptr ptr, ptr @cr.addresses, i64 %count
  store ptr %p, ptr %address_at
  %size_at = getelementptr i64, ptr @cr.sizes, i64 %count
  store i64 %size, ptr %size_at
  store i64 %sum, ptr @cr.held
  %more = add i64 %count, 1
  store i64 %more, ptr @cr.count
  store atomic i64 0, ptr @cr.lock release, align 8
  ret i1 true
no:
  ret i1 false
}}

define void @cr.empty() nounwind {{
  %mine = call i1 @lock()
  br i1 %mine, label %more, label %busy
more:
  %count = load i64, ptr @cr.count
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %one, label %done
one:
  %oldest = load ptr, ptr @cr.addresses
  %oldest_size = load i64, ptr @cr.sizes
  call void @drop(i64 0)
{_call("void", "free", "ptr %oldest, i64 %oldest_size")}
  br label %more
done:
  store atomic i64 0, ptr @cr.lock release, align 8
  ret void
busy:
  ret void
}}
"""

# A block of a rounded size from the system.
FRESH = f"""
define internal ptr @fresh(i64 %size) nounwind {{
  %at = alloca ptr
  %many = icmp uge i64 %size, {HUGE}
  %align = select i1 %many, i64 {PAGE}, i64 64
  %failed = call i32 @posix_memalign(ptr %at, i64 %align, i64 %size)
  %bad = icmp ne i32 %failed, 0
  br i1 %bad, label %nothing, label %got
got:
  %p = load ptr, ptr %at
  br i1 %many, label %advise, label %done
advise:
  {f"call i32 @madvise(ptr %p, i64 %size, i32 {HUGE_PAGES})" if ADVISE else ""}
  br label %done
done:
  ret ptr %p
nothing:
  ret ptr null
}}
"""

HANDLER = f"""
define ptr @cr.malloc(ptr %self, i64 %size) nounwind {{
  %small = icmp ult i64 %size, {LEAST}
  br i1 %small, label %theirs, label %ours
theirs:
{_call("ptr", "malloc", "i64 %size")}
  ret ptr %malloc
ours:
  %all = call i64 @rounded(i64 %size)
  %kept = call ptr @take(i64 %all)
  %missing = icmp eq ptr %kept, null
  br i1 %missing, label %new, label %old
old:
  ret ptr %kept
new:
  %made = call ptr @fresh(i64 %all)
  %refused = icmp eq ptr %made, null
  br i1 %refused, label %again, label %done
done:
  ret ptr %made
again:
  call void @cr.empty()
  %second = call ptr @fresh(i64 %all)
  ret ptr %second
}}

define ptr @cr.calloc(ptr %self, i64 %count, i64 %each) nounwind {{
  %size = mul i64 %count, %each
  %small = icmp ult i64 %size, {LEAST}
  br i1 %small, label %theirs, label %ours
theirs:
  br label %zeros
ours:
  %all = call i64 @rounded(i64 %size)
  %kept = call ptr @take(i64 %all)
  %missing = icmp eq ptr %kept, null
  br i1 %missing, label %zeros, label %clear
clear:
  call void @llvm.memset.p0.i64(ptr %kept, i8 0, i64 %size, i1 false)
  ret ptr %kept
zeros:
  %n = phi i64 [ %count, %theirs ], [ %all, %ours ]
  %bytes = phi i64 [ %each, %theirs ], [ 1, %ours ]
{_call("ptr", "calloc", "i64 %n, i64 %bytes")}
  ret ptr %calloc
}}

define ptr @cr.realloc(ptr %self, ptr %p, i64 %size) nounwind {{
  %small = icmp ult i64 %size, {LEAST}
  br i1 %small, label %go, label %round
round:
  %all = call i64 @rounded(i64 %size)
  br label %go
go:
  %n = phi i64 [ %size, %0 ], [ %all, %round ]
{_call("ptr", "realloc", "ptr %p, i64 %n")}
  ret ptr %realloc
}}

define void @cr.free(ptr %self, ptr %p, i64 %size) nounwind {{
  %small = icmp ult i64 %size, {LEAST}
  %null = icmp eq ptr %p, null
  %either = or i1 %small, %null
  br i1 %either, label %theirs, label %ours
ours:
  %all = call i64 @rounded(i64 %size)
  %kept = call i1 @keep(ptr %p, i64 %all)
  br i1 %kept, label %done, label %theirs
theirs:
{_call("void", "free", "ptr %p, i64 %size")}
  br label %done
done:
  ret void
}}
"""


def text() -> str:
    """The allocator's module."""
    return "\n".join([GLOBALS, TAKE, KEEP, FRESH, HANDLER])


class _Handler(ctypes.Structure):
    """PyDataMem_Handler, version 1."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("functions", ctypes.c_void_p * 5),
    ]


class Recycler:
    """The allocator of this process."""

    def __init__(self) -> None:
        api = numpy_api()
        get = ctypes.PYFUNCTYPE(ctypes.py_object)(api[GET])
        self._set = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(api[SET])
        theirs = _Handler.from_address(_pointer(get(), NAME))
        if theirs.version != 1:
            raise RuntimeError(f"NumPy's allocators have version {theirs.version}, not 1")
        self.code = machine.native(text(), level=1)
        (ctypes.c_void_p * 5).from_address(self.code.address("cr.default"))[:] = theirs.functions
        self.word("limit").value = most_kept()
        ours = [0, *(self.code.address(f"cr.{name}") for name in DEFAULT[1:])]
        self._handler = _Handler(b"chainrule_recycling", 1, (ctypes.c_void_p * 5)(*ours))
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.capsule = make(ctypes.addressof(self._handler), NAME, None)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def word(self, name: str) -> ctypes.c_int64:
        """A number of the allocator's: `count`, `held`, `limit`, `reused`."""
        return ctypes.c_int64.from_address(self.code.address(f"cr.{name}"))

    def install(self) -> None:
        """Let arrays that are made in the current context have their memory from here."""
        self._set(self.capsule)

    def empty(self) -> None:
        """Give what is kept back to the system."""
        ctypes.PYFUNCTYPE(None)(self.code.address("cr.empty"))()

    def _after_fork(self) -> None:
        """Another thread may have been at the list: it begins anew."""
        for name in ("count", "held", "lock"):
            self.word(name).value = 0


def most_kept() -> int:
    """How many bytes may be kept for the next array."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        memory = 0
    return min(MOST, memory // SHARE) if memory > 0 else MOST // 8


def _pointer(capsule: Any, name: bytes | None) -> int:
    """What a capsule points to."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, name)


def numpy_api() -> Any:
    """The functions of NumPy's C API, by place."""
    from numpy._core import _multiarray_umath

    at = _pointer(_multiarray_umath._ARRAY_API, None)
    return (ctypes.c_void_p * (GET + 1)).from_address(at)


@machine.made_once
def recycler() -> Recycler:
    """The allocator, loaded when first asked for."""
    return Recycler()
