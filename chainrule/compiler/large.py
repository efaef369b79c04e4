"""How operators notice that an array is large, at no cost to small ones.

Every operator runs its kernel through `state.run`, which is the `run` of the thread's context. Once
a thread has met a large array, its `run` is the builtin made here: the same in machine code, but
that it looks at the sizes of the first arrays on the way (a nanosecond or two), and hands the call
to Python, `takes(kernel, *args)`, where one of them has `LARGE` elements.
"""

from __future__ import annotations

import contextvars
import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tape import LARGE
from . import machine
from .runtime import data_offset

LOOKED_AT = 3  # arguments behind the kernel
FUNCTIONS = (
    "PyObject_Vectorcall",
    "PyTuple_GetItem",
    "PyContext_Enter",
    "PyContext_Exit",
    "Py_DecRef",
)
TYPE = 8  # where in an object the address of its type stands
METH_FASTCALL, METH_KEYWORDS = 0x80, 0x2


def _function(name: str) -> str:
    """The place in `cr.functions` of a function of the interpreter."""
    kind = f"[{len(FUNCTIONS)} x ptr]"
    return f"getelementptr inbounds ({kind}, ptr @cr.functions, i64 0, i64 {FUNCTIONS.index(name)})"


# `self` is the tuple (context, takes).
RUN = f"""
@cr.functions = global [{len(FUNCTIONS)} x ptr] zeroinitializer
@cr.array_type = global ptr null
@cr.data_offset = global i64 0
@cr.large = global i64 {LARGE}

define internal i1 @is_large(ptr %x) nounwind {{
  %type_at = getelementptr i8, ptr %x, i64 {TYPE}
  %type = load ptr, ptr %type_at
  %array = load ptr, ptr @cr.array_type
  %plain = icmp eq ptr %type, %array
  br i1 %plain, label %measure, label %no
measure:
  %offset = load i64, ptr @cr.data_offset
  %data_at = getelementptr i8, ptr %x, i64 %offset
  %rank_at = getelementptr i8, ptr %data_at, i64 8
  %rank = load i32, ptr %rank_at
  %shape_at = getelementptr i8, ptr %data_at, i64 16
  %shape = load ptr, ptr %shape_at
  br label %look
look:
  %i = phi i32 [ 0, %measure ], [ %next, %times ]
  %size = phi i64 [ 1, %measure ], [ %product, %times ]
  %more = icmp slt i32 %i, %rank
  br i1 %more, label %times, label %compare
times:
  %n_at = getelementptr i64, ptr %shape, i32 %i
  %n = load i64, ptr %n_at
  %product = mul i64 %size, %n
  %next = add i32 %i, 1
  br label %look
compare:
  %limit = load i64, ptr @cr.large
  %large = icmp sge i64 %size, %limit
  ret i1 %large
no:
  ret i1 false
}}

define ptr @cr.run(ptr %self, ptr %args, i64 %count, ptr %names) nounwind {{
  %call = load ptr, ptr {_function("PyObject_Vectorcall")}
  %item = load ptr, ptr {_function("PyTuple_GetItem")}
  %most = icmp slt i64 %count, {LOOKED_AT + 1}
  %end = select i1 %most, i64 %count, i64 {LOOKED_AT + 1}
  br label %each
each:
  %i = phi i64 [ 1, %0 ], [ %next, %look ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %look, label %small
look:
  %at = getelementptr ptr, ptr %args, i64 %i
  %x = load ptr, ptr %at
  %next = add i64 %i, 1
  %large = call i1 @is_large(ptr %x)
  br i1 %large, label %hand, label %each
hand:
  %takes = call ptr %item(ptr %self, i64 1)
  %theirs = call ptr %call(ptr %takes, ptr %args, i64 %count, ptr %names)
  ret ptr %theirs
small:
  %context = call ptr %item(ptr %self, i64 0)
  %enter = load ptr, ptr {_function("PyContext_Enter")}
  %entered = call i32 %enter(ptr %context)
  %refused = icmp ne i32 %entered, 0
  br i1 %refused, label %failed, label %go
go:
  %kernel = load ptr, ptr %args
  %given = getelementptr ptr, ptr %args, i64 1
  %rest = sub i64 %count, 1
  %result = call ptr %call(ptr %kernel, ptr %given, i64 %rest, ptr %names)
  %exit = load ptr, ptr {_function("PyContext_Exit")}
  %left = call i32 %exit(ptr %context)
  %bad = icmp ne i32 %left, 0
  br i1 %bad, label %drop, label %done
drop:
  %none = icmp eq ptr %result, null
  br i1 %none, label %failed, label %release
release:
  %decrease = load ptr, ptr {_function("Py_DecRef")}
  call void %decrease(ptr %result)
  ret ptr null
done:
  ret ptr %result
failed:
  ret ptr null
}}
"""


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Look:
    """The builtin's code in this process."""

    def __init__(self) -> None:
        array = np.zeros(1)
        if ctypes.c_void_p.from_address(id(array) + TYPE).value != id(np.ndarray):
            raise RuntimeError("objects of this interpreter have their type elsewhere")
        self.code = machine.native(RUN, level=1)
        table = (ctypes.c_void_p * len(FUNCTIONS)).from_address(self.code.address("cr.functions"))
        table[:] = [ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p) for n in FUNCTIONS]
        self.word("array_type").value = id(np.ndarray)
        self.word("data_offset").value = data_offset()
        flags = METH_FASTCALL | METH_KEYWORDS
        self.method = _Method(b"run", self.code.address("cr.run"), flags, None)

    def word(self, name: str) -> ctypes.c_int64:
        """A number of the code's: `large`, from how many elements on an array is."""
        return ctypes.c_int64.from_address(self.code.address(f"cr.{name}"))

    def builtin(self, context: contextvars.Context, takes: Callable) -> Callable:
        """`context.run`, with calls on large arrays handed to `takes`."""
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        return make(ctypes.addressof(self.method), (context, takes), None)


@functools.cache
def look() -> Look:
    """The builtin's code, loaded when first asked for."""
    return Look()


