"""How operators come to machine code, at no cost to small arrays.

Every operator runs its kernel through `state.run`, which is the `run` of the thread's context. Once
a thread has met a large array, its `run` is the builtin made here: the same in machine code, but
that it looks at the sizes of the first arrays on the way (a nanosecond or two). Where one has
`LEAST` elements, it looks for an entry that fits the call: the same kernel, arrays of the same
shapes, strides and dtypes, the same objects else. An entry says which plan of the runtime does the
call, and what array its result is; or that NumPy has to do it. Where there is no entry, Python is
told (`takes(kernel, *args)`): always, if an array is large, and at every `STRIDE`th call else.
"""

from __future__ import annotations

import contextvars
import ctypes
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tape import LARGE as LEAST
from . import guards, machine
from .recycle import numpy_api
from .runtime import METH_FASTCALL, Method, data_offset, runtime

LARGE = 1 << 15  # elements of an array that is worth a call of Python at once
STRIDE = 61  # one call in so many, of those on arrays that are not large, is counted in Python
LOOKED_AT = 3  # arguments behind the kernel
FUNCTIONS = (
    "PyObject_Vectorcall",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyContext_Enter",
    "PyContext_Exit",
    "PyLong_AsSsize_t",
    "Py_IncRef",
    "Py_DecRef",
)
NUMPY = {"PyArray_Return": 76, "PyArray_NewFromDescr": 94}  # places in NumPy's C API
ENTRIES = 4096  # places of the table, a power of two
KEPT = ENTRIES  # entries that are ever made
MOST = 8  # arguments of an entry's call

RESULTS = 4  # of an entry's call

# words of an entry: what it is for, the plan, the arrays that this is given and makes (for each
# rank, shape and dtype), and the form of what is returned
KERNEL, COUNT, WORDS, ORDER, GIVEN, MADE, MAKES, FORM, SPECS = range(9)
# of a form: how many parts, and each of them: the number of a result, or one of these
NOTHING, OTHERS = -1, -2  # None; the tuple of the results behind the first
# words of one of its arguments: an array's dtype (0: any other object), rank, and where its shape
# and strides are; of another object, where that is
SPEC = 3
BY_NUMPY, BY_PYTHON = 0, 1  # in place of a plan's words: who does the call
TYPE = 8  # where in an object the address of its type stands
METH_KEYWORDS = 0x2


def _function(name: str) -> str:
    """The place in `cr.functions` of a function of the interpreter or of NumPy."""
    names = (*FUNCTIONS, *NUMPY, "enter", "none")
    kind = f"[{len(names)} x ptr]"
    return f"getelementptr inbounds ({kind}, ptr @cr.functions, i64 0, i64 {names.index(name)})"


def _word(name: str, of: str, index: int, kind: str = "i64") -> str:
    """Lines that load a word."""
    return f"""  %{name}.at = getelementptr i64, ptr {of}, i64 {index}
  %{name} = load {kind}, ptr %{name}.at"""


GLOBALS = f"""
@cr.functions = global [{len(FUNCTIONS) + len(NUMPY) + 2} x ptr] zeroinitializer
@cr.array_type = global ptr null
@cr.data_offset = global i64 0
@cr.large = global i64 {LARGE}
@cr.least = global i64 {LEAST}
@cr.calls = global i64 0
@cr.entries = global [{ENTRIES} x ptr] zeroinitializer

define internal i64 @size(ptr %x) nounwind {{
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
  br i1 %more, label %times, label %done
times:
  %n_at = getelementptr i64, ptr %shape, i32 %i
  %n = load i64, ptr %n_at
  %product = mul i64 %size, %n
  %next = add i32 %i, 1
  br label %look
done:
  ret i64 %size
no:
  ret i64 0
}}

define internal i64 @place(ptr %kernel, i64 %size) nounwind {{
  %k = ptrtoint ptr %kernel to i64
  %high = lshr i64 %k, 4
  %a = mul i64 %high, {0x9E3779B97F4A7C15 - (1 << 64)}
  %b = mul i64 %size, {0xC2B2AE3D27D4EB4F - (1 << 64)}
  %both = xor i64 %a, %b
  %mixed = lshr i64 %both, {64 - (ENTRIES - 1).bit_length()}
  ret i64 %mixed
}}

define i64 @cr.place(ptr %kernel, i64 %size) nounwind {{
  %found = call i64 @place(ptr %kernel, i64 %size)
  ret i64 %found
}}
"""

# Whether an argument is as an entry says.
FITS = f"""
define internal i1 @fits(ptr %x, ptr %spec) nounwind {{
{_word("dtype", "%spec", 0, "ptr")}
{_word("rank", "%spec", 1)}
{_word("known", "%spec", 2, "ptr")}
  %other = icmp eq ptr %dtype, null
  br i1 %other, label %object, label %array
object:
  %same = icmp eq ptr %x, %known
  ret i1 %same
array:
  %type_at = getelementptr i8, ptr %x, i64 {TYPE}
  %type = load ptr, ptr %type_at
  %array_type = load ptr, ptr @cr.array_type
  %plain = icmp eq ptr %type, %array_type
  br i1 %plain, label %compare, label %no
compare:
  %offset = load i64, ptr @cr.data_offset
  %data_at = getelementptr i8, ptr %x, i64 %offset
  %rank_at = getelementptr i8, ptr %data_at, i64 8
  %own_rank32 = load i32, ptr %rank_at
  %own_rank = sext i32 %own_rank32 to i64
  %shape_at = getelementptr i8, ptr %data_at, i64 16
  %shape = load ptr, ptr %shape_at
  %strides_at = getelementptr i8, ptr %data_at, i64 24
  %strides = load ptr, ptr %strides_at
  %dtype_at = getelementptr i8, ptr %data_at, i64 40
  %own_dtype = load ptr, ptr %dtype_at
  %same_rank = icmp eq i64 %rank, %own_rank
  %same_dtype = icmp eq ptr %dtype, %own_dtype
  %both = and i1 %same_rank, %same_dtype
  br i1 %both, label %each, label %no
each:
  %i = phi i64 [ 0, %compare ], [ %next, %one ]
  %more = icmp slt i64 %i, %rank
  br i1 %more, label %one, label %yes
one:
  %n_at = getelementptr i64, ptr %shape, i64 %i
  %n = load i64, ptr %n_at
  %s_at = getelementptr i64, ptr %strides, i64 %i
  %s = load i64, ptr %s_at
  %known_n_at = getelementptr i64, ptr %known, i64 %i
  %known_n = load i64, ptr %known_n_at
  %j = add i64 %i, %rank
  %known_s_at = getelementptr i64, ptr %known, i64 %j
  %known_s = load i64, ptr %known_s_at
  %same_n = icmp eq i64 %n, %known_n
  %same_s = icmp eq i64 %s, %known_s
  %next = add i64 %i, 1
  %fine = and i1 %same_n, %same_s
  br i1 %fine, label %each, label %no
yes:
  ret i1 true
no:
  ret i1 false
}}

define internal i1 @matches(ptr %entry, ptr %args, i64 %count) nounwind {{
  %none = icmp eq ptr %entry, null
  br i1 %none, label %no, label %begin
begin:
{_word("kernel", "%entry", KERNEL, "ptr")}
{_word("wanted", "%entry", COUNT)}
  %own = load ptr, ptr %args
  %same = icmp eq ptr %kernel, %own
  %all = icmp eq i64 %wanted, %count
  %both = and i1 %same, %all
  br i1 %both, label %each, label %no
each:
  %i = phi i64 [ 1, %begin ], [ %next, %one ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %yes
one:
  %at = getelementptr ptr, ptr %args, i64 %i
  %x = load ptr, ptr %at
  %before = sub i64 %i, 1
  %words = mul i64 %before, {SPEC}
  %index = add i64 %words, {SPECS}
  %spec = getelementptr i64, ptr %entry, i64 %index
  %fine = call i1 @fits(ptr %x, ptr %spec)
  %next = add i64 %i, 1
  br i1 %fine, label %each, label %no
yes:
  ret i1 true
no:
  ret i1 false
}}
"""

# What is returned, from an entry's form and the results that it made.
PACK = f"""
define internal ptr @part(ptr %made, i64 %count, i64 %code) nounwind {{
  switch i64 %code, label %one [ i64 {NOTHING}, label %nothing
                                 i64 {OTHERS}, label %others ]
nothing:
  %none = load ptr, ptr {_function("none")}
  %keep = load ptr, ptr {_function("Py_IncRef")}
  call void %keep(ptr %none)
  ret ptr %none
one:
  %at = getelementptr ptr, ptr %made, i64 %code
  %array = load ptr, ptr %at
  %as_number = load ptr, ptr {_function("PyArray_Return")}
  %result = call ptr %as_number(ptr %array)
  ret ptr %result
others:
  %rest = sub i64 %count, 1
  %new = load ptr, ptr {_function("PyTuple_New")}
  %tuple = call ptr %new(i64 %rest)
  %set = load ptr, ptr {_function("PyTuple_SetItem")}
  br label %each
each:
  %i = phi i64 [ 0, %others ], [ %next, %more ]
  %left = icmp slt i64 %i, %rest
  br i1 %left, label %more, label %done
more:
  %next = add i64 %i, 1
  %item = call ptr @part(ptr %made, i64 %count, i64 %next)
  call i32 %set(ptr %tuple, i64 %i, ptr %item)
  br label %each
done:
  ret ptr %tuple
}}

define internal ptr @pack(ptr %form, ptr %made, i64 %count) nounwind {{
  %parts = load i64, ptr %form
  %single = icmp eq i64 %parts, 0
  br i1 %single, label %one, label %several
one:
  %only = call ptr @part(ptr %made, i64 1, i64 0)
  ret ptr %only
several:
  %new = load ptr, ptr {_function("PyTuple_New")}
  %tuple = call ptr %new(i64 %parts)
  %set = load ptr, ptr {_function("PyTuple_SetItem")}
  br label %each
each:
  %i = phi i64 [ 0, %several ], [ %next, %more ]
  %left = icmp slt i64 %i, %parts
  br i1 %left, label %more, label %done
more:
  %next = add i64 %i, 1
  %code_at = getelementptr i64, ptr %form, i64 %next
  %code = load i64, ptr %code_at
  %item = call ptr @part(ptr %made, i64 %count, i64 %code)
  call i32 %set(ptr %tuple, i64 %i, ptr %item)
  br label %each
done:
  ret ptr %tuple
}}
"""

# Fresh arrays for the results of an entry; 0 if there is no memory.
MAKE = f"""
define internal i1 @make(ptr %specs, i64 %count, ptr %made) nounwind {{
  %keep = load ptr, ptr {_function("Py_IncRef")}
  %new = load ptr, ptr {_function("PyArray_NewFromDescr")}
  %array_type = load ptr, ptr @cr.array_type
  br label %each
each:
  %i = phi i64 [ 0, %0 ], [ %next, %put ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %done
one:
  %words = mul i64 %i, 3
  %spec = getelementptr i64, ptr %specs, i64 %words
{_word("rank", "%spec", 0)}
{_word("shape", "%spec", 1, "ptr")}
{_word("dtype", "%spec", 2, "ptr")}
  call void %keep(ptr %dtype)
  %rank32 = trunc i64 %rank to i32
  %out = call ptr %new(ptr %array_type, ptr %dtype, i32 %rank32, ptr %shape, ptr null, ptr null,
                       i32 0, ptr null)
  %none = icmp eq ptr %out, null
  br i1 %none, label %failed, label %put
put:
  %to = getelementptr ptr, ptr %made, i64 %i
  store ptr %out, ptr %to
  %next = add i64 %i, 1
  br label %each
done:
  ret i1 true
failed:
  call void @drop(ptr %made, i64 %i)
  ret i1 false
}}

define internal void @drop(ptr %made, i64 %count) nounwind {{
  %release = load ptr, ptr {_function("Py_DecRef")}
  br label %each
each:
  %i = phi i64 [ 0, %0 ], [ %next, %one ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %done
one:
  %at = getelementptr ptr, ptr %made, i64 %i
  %array = load ptr, ptr %at
  call void %release(ptr %array)
  %next = add i64 %i, 1
  br label %each
done:
  ret void
}}
"""

# The result of a call by an entry; null with `failed` 1 for an error, 0 if the plan is in use.
LAUNCH = f"""
define internal ptr @launch(ptr %entry, ptr %args, ptr %context, ptr %failed) nounwind {{
  %arrays = alloca [{MOST + RESULTS} x ptr]
  store i64 1, ptr %failed
{_word("words", "%entry", WORDS, "ptr")}
{_word("order", "%entry", ORDER, "ptr")}
{_word("given", "%entry", GIVEN)}
{_word("count", "%entry", MADE)}
{_word("specs", "%entry", MAKES, "ptr")}
{_word("form", "%entry", FORM, "ptr")}
  %made = getelementptr ptr, ptr %arrays, i64 %given
  %outside = icmp ne ptr %context, null
  br i1 %outside, label %go_in, label %make
go_in:
  %enter_context = load ptr, ptr {_function("PyContext_Enter")}
  %entered = call i32 %enter_context(ptr %context)
  %refused = icmp ne i32 %entered, 0
  br i1 %refused, label %error, label %make
make:
  %there = call i1 @make(ptr %specs, i64 %count, ptr %made)
  br i1 %outside, label %go_out, label %out
go_out:
  %exit = load ptr, ptr {_function("PyContext_Exit")}
  call i32 %exit(ptr %context)
  br label %out
out:
  br i1 %there, label %gather, label %error
gather:
  %i = phi i64 [ 0, %out ], [ %next, %one ]
  %more = icmp slt i64 %i, %given
  br i1 %more, label %one, label %run
one:
  %place_at = getelementptr i64, ptr %order, i64 %i
  %place = load i64, ptr %place_at
  %x_at = getelementptr ptr, ptr %args, i64 %place
  %x = load ptr, ptr %x_at
  %to = getelementptr ptr, ptr %arrays, i64 %i
  store ptr %x, ptr %to
  %next = add i64 %i, 1
  br label %gather
run:
  %all = add i64 %given, %count
  %enter = load ptr, ptr {_function("enter")}
  %answer = call ptr %enter(ptr %words, ptr %arrays, i64 %all)
  %raised = icmp eq ptr %answer, null
  br i1 %raised, label %lose, label %read
read:
  %unbox = load ptr, ptr {_function("PyLong_AsSsize_t")}
  %stop = call i64 %unbox(ptr %answer)
  %release = load ptr, ptr {_function("Py_DecRef")}
  call void %release(ptr %answer)
  %ended = icmp eq i64 %stop, 0
  br i1 %ended, label %give, label %in_use
give:
  %result = call ptr @pack(ptr %form, ptr %made, i64 %count)
  ret ptr %result
in_use:
  store i64 0, ptr %failed
  br label %lose
lose:
  call void @drop(ptr %made, i64 %count)
  ret ptr null
error:
  ret ptr null
}}
"""


# The builtin; its `self` is the tuple (context, takes).
RUN = f"""
define ptr @cr.NAME(ptr %self, ptr %args, i64 %count, ptr %names) nounwind {{
  %failed = alloca i64
  %call = load ptr, ptr {_function("PyObject_Vectorcall")}
  %item = load ptr, ptr {_function("PyTuple_GetItem")}
  %context = call ptr %item(ptr %self, i64 0)
  %most = icmp slt i64 %count, {LOOKED_AT + 1}
  %end = select i1 %most, i64 %count, i64 {LOOKED_AT + 1}
  %least = load i64, ptr @cr.least
  br label %each
each:
  %i = phi i64 [ 1, %0 ], [ %next, %look ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %look, label %small
look:
  %at = getelementptr ptr, ptr %args, i64 %i
  %x = load ptr, ptr %at
  %next = add i64 %i, 1
  %size = call i64 @size(ptr %x)
  %some = icmp sge i64 %size, %least
  br i1 %some, label %seek, label %each
seek:
  %kernel = load ptr, ptr %args
  %place = call i64 @place(ptr %kernel, i64 %size)
  %entry_at = getelementptr ptr, ptr @cr.entries, i64 %place
  %entry = load ptr, ptr %entry_at
  %found = call i1 @matches(ptr %entry, ptr %args, i64 %count)
  %unnamed = icmp eq ptr %names, null
  %known = and i1 %found, %unnamed
  br i1 %known, label %choose, label %miss
choose:
{_word("words", "%entry", WORDS, "ptr")}
  %way = ptrtoint ptr %words to i64
  switch i64 %way, label %launch [ i64 {BY_NUMPY}, label %small
                                   i64 {BY_PYTHON}, label %hand ]
launch:
  %made = call ptr @launch(ptr %entry, ptr %args, ptr CONTEXT, ptr %failed)
  %well = icmp ne ptr %made, null
  br i1 %well, label %answer, label %why
answer:
  ret ptr %made
why:
  %code = load i64, ptr %failed
  %busy = icmp eq i64 %code, 0
  br i1 %busy, label %small, label %error
miss:
  %limit = load i64, ptr @cr.large
  %large = icmp sge i64 %size, %limit
  br i1 %large, label %hand, label %sample
sample:
  %calls = load i64, ptr @cr.calls
  %this = add i64 %calls, 1
  %over = icmp sge i64 %this, {STRIDE}
  %kept = select i1 %over, i64 0, i64 %this
  store i64 %kept, ptr @cr.calls
  br i1 %over, label %hand, label %small
hand:
  %takes = call ptr %item(ptr %self, i64 1)
  %theirs = call ptr %call(ptr %takes, ptr %args, i64 %count, ptr %names)
  ret ptr %theirs
small:
  %enter = load ptr, ptr {_function("PyContext_Enter")}
  %entered = ENTER
  %refused = icmp ne i32 %entered, 0
  br i1 %refused, label %error, label %go
go:
  %function = load ptr, ptr %args
  %given = getelementptr ptr, ptr %args, i64 1
  %rest = sub i64 %count, 1
  %result = call ptr %call(ptr %function, ptr %given, i64 %rest, ptr %names)
  %exit = load ptr, ptr {_function("PyContext_Exit")}
  %left = EXIT
  %bad = icmp ne i32 %left, 0
  br i1 %bad, label %drop, label %done
drop:
  %none = icmp eq ptr %result, null
  br i1 %none, label %error, label %release
release:
  %decrease = load ptr, ptr {_function("Py_DecRef")}
  call void %decrease(ptr %result)
  ret ptr null
done:
  ret ptr %result
error:
  ret ptr null
}}
"""
WITHIN = {"NAME": "call", "CONTEXT": "null", "ENTER": "add i32 0, 0", "EXIT": "add i32 0, 0"}
AROUND = {
    "NAME": "run",
    "CONTEXT": "%context",
    "ENTER": "call i32 %enter(ptr %context)",
    "EXIT": "call i32 %exit(ptr %context)",
}


def _run(words: dict[str, str]) -> str:
    """The builtin for callers outside of the context, or for those that are in it already."""
    return re.sub("|".join(words), lambda found: words[found[0]], RUN)


def text() -> str:
    """The builtin's module."""
    return "\n".join([GLOBALS, FITS, PACK, MAKE, LAUNCH, _run(AROUND), _run(WITHIN)])


class Look:
    """The builtin's code in this process, and its table of entries."""

    def __init__(self) -> None:
        if guards.layout() is None:
            raise RuntimeError("objects of this interpreter, or arrays, are laid out otherwise")
        self.code = machine.native(text(), level=1)
        found = [_address(getattr(ctypes.pythonapi, name)) for name in FUNCTIONS]
        api = numpy_api()
        found += [api[place] for place in NUMPY.values()]
        found += [runtime().code.address("cr.enter"), id(None)]
        table = (ctypes.c_void_p * len(found)).from_address(self.code.address("cr.functions"))
        for n, address in enumerate(found):
            table[n] = address
        self.word("array_type").value = id(np.ndarray)
        self.word("data_offset").value = data_offset()
        flags = METH_FASTCALL | METH_KEYWORDS
        self.methods = [
            Method(name.encode(), self.code.address(f"cr.{name}"), flags, None)
            for name in ("call", "run")
        ]
        self.place = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(
            self.code.address("cr.place")
        )
        self.table = (ctypes.c_void_p * ENTRIES).from_address(self.code.address("cr.entries"))
        self.kept: list[Any] = []  # what entries point to; other threads may still look at old ones

    def word(self, name: str) -> ctypes.c_int64:
        """A number of the code's: `large`, `least`, `calls`."""
        return ctypes.c_int64.from_address(self.code.address(f"cr.{name}"))

    def builtin(self, context: contextvars.Context | None, takes: Callable) -> Callable:
        """`context.run` (None: a call as it is), with calls on large arrays done by entries or
        handed to `takes`.
        """
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        method = self.methods[context is not None]
        return make(ctypes.addressof(method), (context, takes, self), None)

    def enter(
        self,
        kernel: Any,
        args: tuple,
        plan: Any,
        order: Sequence = (),
        results: Sequence = (),
        form: Sequence = (),
    ) -> None:
        """Let calls like this one be done by a plan; or BY_NUMPY, or BY_PYTHON.

        Args:
            kernel: whose calls.
            args: of such a call.
            plan: of the runtime.
            order: which of `args` are the arrays that it is given, in order.
            results: shape and dtype of the arrays that it makes, given behind these.
            form: of the tuple that is returned, empty if it is the one result.
        """
        size = next((a.size for a in args[:LOOKED_AT] if _counts(a, self.word("least").value)), 0)
        place = self.place(id(kernel), size)
        if not size or len(args) > MOST or len(results) > RESULTS or len(self.kept) >= KEPT:
            return
        lists = [np.array([n + 1 for n in order], np.int64), np.array([len(form), *form], np.int64)]
        made = []
        for shape, dtype in results:
            lists.append(np.array(shape, np.int64))
            made += [len(shape), lists[-1].ctypes.data, id(dtype)]
        lists.append(np.array(made, np.int64))
        words = [id(kernel), len(args) + 1, plan if type(plan) is int else id(plan.words)]
        words += [lists[0].ctypes.data, len(order), len(results), lists[-1].ctypes.data]
        words.append(lists[1].ctypes.data)
        for a in args:
            if type(a) is np.ndarray:
                lists.append(np.array([*a.shape, *a.strides], np.int64))
                words += [id(a.dtype), a.ndim, lists[-1].ctypes.data]
            else:
                words += [0, 0, id(a)]
        others = [a for a in args if type(a) is not np.ndarray]
        lists.append(np.array(words, np.int64))
        self.kept.append(
            (kernel, plan, [a.dtype for a in args if _counts(a, 0)], results, others, lists)
        )
        self.table[place] = lists[-1].ctypes.data

    def forget(self) -> None:
        """Take all entries out of the table."""
        ctypes.memset(self.table, 0, ctypes.sizeof(self.table))


def _counts(a: Any, least: int) -> bool:
    return type(a) is np.ndarray and a.size >= least


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@machine.made_once
def look() -> Look:
    """The builtin's code, loaded when first asked for."""
    return Look()
