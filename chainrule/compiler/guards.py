"""The guards of an entry as native code: a table of what has to lie where, read in one call.

A guard of Python's asks one thing after the other, at 30 to 60 ns each; a step with an optimizer
has hundreds of them. Here they are rows of tables: slots of objects, entries of dicts, items of
lists, attributes, lengths; and one row for each argument, whose array's shape, dtype and strides
are read where NumPy keeps them. Where objects keep what is found out by looking (`Layout`); an
interpreter that keeps them elsewhere does without, and asks in Python.

`Guards.check(*given)` is a builtin: True if all is as it was, False if not or if it cannot be told
from here, in which case the entry's `matches` decides. `Versions.bump(tick)` is another: all
storages that a program writes are written now.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import types
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..storage import Storage
from ..tape import state
from ..tensor import Tensor
from . import machine

# words of a check, in `Guards.words`
COUNT, ARGUMENTS, SLOTS, DICTS, LISTS, ATTRIBUTES, OWNERS = 0, 1, 2, 4, 6, 8, 10
APART, MODES, MODE_NAME, RECORDING, SIZES = 12, 13, 14, 15, 16
WORDS = 18
ROW = (
    6  # words of an argument: type, dtype, number of axes, shape, strides, whether without history
)


SLOTS_READ, COUNTED = ("_data", "_node"), ("version", "written")  # of tensors, of storages


class Layout(NamedTuple):
    """Where objects keep what guards read: offsets in bytes."""

    data: int  # a tensor's array
    node: int  # its node
    version: int  # of a storage
    written: int
    cell: int  # the contents of a closure's cell
    changes: int  # a dict's number of its latest change, -1 where dicts have none


def offset_of(make: Callable[[Any], Any], size: int) -> int:
    """Where in an object of that size the reference lies that `make` gave it."""
    found: set[int] = set(range(0, size, 8))
    for _ in range(3):
        sentinel = object()
        x = make(sentinel)
        words = (ctypes.c_void_p * (size // 8)).from_address(id(x))
        found &= {8 * n for n, word in enumerate(words) if word == id(sentinel)}
    (only,) = found
    return only


def setter(kind: type, name: str) -> Callable[[Any], Any]:
    """A function that makes an object with something in that slot."""

    def make(x: Any) -> Any:
        made = object.__new__(kind)
        setattr(made, name, x)
        return made

    return make


def changes() -> int:
    """Where a dict keeps a number that is another after every change, and the same until then; -1
    where that is not to be found (Python 3.14 has none).
    """
    size = {}.__sizeof__()
    found = set(range(16, min(size, 48), 8))
    tables: list[dict] = [{"a": object()} for _ in range(2)]
    seen = set()
    for n in range(8):
        for d in tables:
            words = (ctypes.c_uint64 * (size // 8)).from_address(id(d))
            before = list(words)
            d.get("a"), "b" in d, len(d), list(d)
            found -= {8 * k for k, (x, y) in enumerate(zip(before, words, strict=True)) if x != y}
            d["a"] = n if n % 2 else object()
            found &= {8 * k for k, x in enumerate(words) if x != before[k]}
            seen |= {(k, words[k // 8]) for k in found}
    return min((k for k in found if len({v for j, v in seen if j == k}) >= 16), default=-1)


@functools.cache
def layout() -> Layout | None:
    """Where this interpreter and this NumPy keep things; None if that is not known."""
    plain = sys.implementation.name == "cpython" and ctypes.sizeof(ctypes.c_void_p) == 8
    if not plain or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    from .runtime import data_offset

    x = np.empty((5, 7, 3), np.int16)[:, 1:]
    at = id(x) + data_offset()
    fields = (ctypes.c_void_p * 6).from_address(at)
    if (
        (fields[1] or 0) & 0xFFFFFFFF != x.ndim
        or list((ctypes.c_int64 * 3).from_address(fields[2] or 0)) != list(x.shape)
        or list((ctypes.c_int64 * 3).from_address(fields[3] or 0)) != list(x.strides)
        or fields[4] != id(x.base)
        or fields[5] != id(x.dtype)
        or ctypes.c_void_p.from_address(id(x) + 8).value != id(np.ndarray)
    ):
        return None
    try:
        data, node = (offset_of(setter(Tensor, n), Tensor.__basicsize__) for n in SLOTS_READ)
        version, written = (offset_of(setter(Storage, n), Storage.__basicsize__) for n in COUNTED)
        cell = offset_of(types.CellType, types.CellType.__basicsize__)
        return Layout(data, node, version, written, cell, changes())
    except ValueError:  # no place, or two
        return None


class Guards:
    """A table of what has to stay; `check` reads it.

    Args:
        kinds: for each argument, the type and (array, whether without history) of a tensor that
            fits; (a type, None) where all of that type do; or (None, an object) that it has to be.
        apart: None, or the ids of the arrays that own the memory that no argument may lie in; no
            two arguments may lie in one then.
        recording: whether gradients have to be recorded.
    """

    def __init__(
        self,
        kinds: Sequence[tuple[type | None, Any]],
        apart: Collection[int] | None,
        recording: bool,
    ) -> None:
        self.kept: list[Any] = []  # all whose addresses are in the tables
        self.words = np.zeros(WORDS, np.int64)
        self.words[COUNT] = len(kinds)
        rows = [self._row(kind, x) for kind, x in kinds]
        self.words[ARGUMENTS] = self._address([w for row in rows for w in row])
        self.words[APART] = apart is not None
        self._table(OWNERS, [(owner,) for owner in apart or ()])
        self.words[MODES], self.words[MODE_NAME] = id(state), id("mode")
        self.kept.append("mode")
        self.words[RECORDING] = id(recording)

    def _address(self, words: Sequence[int]) -> int:
        array = np.array(words, np.int64)
        self.kept.append(array)
        return array.ctypes.data

    def _row(self, kind: type | None, x: Any) -> list[int]:
        self.kept += [kind, x]
        if kind is None or x is None:
            return [0 if kind is None else id(kind), 0 if kind else id(x), 0, 0, 0, 0]
        array, leaf = x
        self.kept.append(array.dtype)
        shape, strides = self._address(array.shape), self._address(array.strides)
        return [id(kind), id(array.dtype), array.ndim, shape, strides, int(leaf)]

    def _table(self, at: int, rows: Sequence[Sequence[int]]) -> None:
        self.words[at] = len(rows)
        self.words[at + 1] = self._address([w for row in rows for w in row])

    def watch(
        self,
        slots: Sequence[tuple[Any, int, Any]],
        tables: Sequence[tuple[Any, Any, Any]],
        attributes: Sequence[tuple[Any, str, Any]],
        lengths: Sequence[tuple[Any, int]] = (),
    ) -> None:
        """What else has to stay: the reference at an offset of an object, the value of a dict or
        list at a key, an attribute, how long a container is.
        """
        dicts = [row for row in tables if isinstance(row[0], dict)]
        lists = [row for row in tables if not isinstance(row[0], dict)]
        self.kept += [slots, tables, attributes, lengths]
        self._table(SIZES, [(id(x), n) for x, n in lengths])
        self._table(SLOTS, [(id(x) + offset, id(value)) for x, offset, value in slots])
        pairs: dict[int, list[int]] = {}
        for table, key, value in dicts:
            pairs.setdefault(id(table), []).extend((id(key), id(value)))
        entries = [(at, -1, self._address(p), len(p) // 2) for at, p in pairs.items()]
        self._table(DICTS, entries)
        self._table(LISTS, [(id(table), n, id(value)) for table, n, value in lists])
        self._table(ATTRIBUTES, [tuple(map(id, row)) for row in attributes])

    def builtin(self) -> Callable[..., bool]:
        """`check(*given)`."""
        from .runtime import runtime

        return runtime().builtin("check", self.words)


class Versions:
    """The storages that a program writes, so that `bump` counts up all at once."""

    def __init__(self, storages: Sequence[Storage]) -> None:
        self.storages = list(storages)
        self.rows = np.array([id(s) for s in storages], np.int64)
        self.words = np.array([len(storages), self.rows.ctypes.data], np.int64)

    def builtin(self) -> Callable[[int], None]:
        """`bump(tick)`."""
        if not machine.available() or layout() is None:
            return self.bump
        from .runtime import runtime

        return runtime().builtin("bump", self.words)

    def bump(self, tick: int) -> None:
        """The same in Python."""
        for s in self.storages:
            s.version += 1
            s.written = tick


OBJECTS = {"None": None, "True": True, "False": False, "ndarray": np.ndarray}
PYTHON = (  # functions of the interpreter that the code below calls
    "Py_IncRef",
    "Py_DecRef",
    "PyErr_Clear",
    "PyDict_GetItemWithError",
    "PyList_Size",
    "PyObject_Size",
    "PyList_GetItem",
    "PyObject_GetAttr",
    "PyTuple_GetItem",
)


def text(entry: Callable[[str], str]) -> str:
    """The native code; `entry` names the places of addresses (see `driver`)."""
    found = layout()
    if found is None:
        return ""
    return "\n".join(
        [
            _array(entry),
            _owner(entry),
            _memory(found),
            _apart(),
            _tables(entry, found),
            _mode(entry),
            _argument(entry, found),
            _check(entry),
            _bump(entry, found),
        ]
    )


def _loop(name: str, at: int, width: int, body: str) -> str:
    """Rows of a table of the words, one after the other: `body` ends with %same, whether a row is
    as it was, and reads its words at %row; leaves for %changed, or to %{name}.done.
    """
    return f"""
  br label %{name}
{name}:
  %{name}.count_at = getelementptr i64, ptr %words, i64 {at}
  %{name}.count = load i64, ptr %{name}.count_at
  %{name}.rows_at = getelementptr i64, ptr %words, i64 {at + 1}
  %{name}.rows = load ptr, ptr %{name}.rows_at
  br label %{name}.more
{name}.more:
  %{name}.i = phi i64 [ 0, %{name} ], [ %{name}.next, %{name}.tail ]
  %{name}.left = icmp slt i64 %{name}.i, %{name}.count
  br i1 %{name}.left, label %{name}.body, label %{name}.done
{name}.body:
  %{name}.first = mul i64 %{name}.i, {width}
  %{name}.row = getelementptr i64, ptr %{name}.rows, i64 %{name}.first
{body}
  br label %{name}.tail
{name}.tail:
  %{name}.next = add i64 %{name}.i, 1
  br i1 %{name}.same, label %{name}.more, label %changed
{name}.done:"""


def _words_of(name: str, *fields: str) -> str:
    """The words of a table's row, as %name.field."""
    lines = []
    for n, field in enumerate(fields):
        lines += [
            f"  %{name}.{field}_at = getelementptr i64, ptr %{name}.row, i64 {n}",
            f"  %{name}.{field} = load ptr, ptr %{name}.{field}_at",
        ]
    return "\n".join(lines)


def _call(name: str, result: str, kind: str, function: str, arguments: str, entry: Any) -> str:
    """A call of a function of the interpreter."""
    target = f"%{name}.{result}" if result else f"%{name}"
    given = f"{target} = call {kind}" if kind != "void" else "call void"
    return f"""  {target}.f = load ptr, ptr {entry(function)}
  {given} {target}.f({arguments})"""


def _array(entry: Callable[[str], str]) -> str:
    """Whether an array is of a row's dtype, shape and strides."""
    return f"""
define internal i1 @guards.array(ptr %array, ptr %row) nounwind {{
  %type_at = getelementptr i64, ptr %array, i64 1
  %type = load ptr, ptr %type_at
  %plain = load ptr, ptr {entry("ndarray")}
  %known = icmp eq ptr %type, %plain
  br i1 %known, label %look, label %no
look:
  %offset = load i64, ptr @cr.data_offset
  %fields = getelementptr i8, ptr %array, i64 %offset
  %axes_at = getelementptr i64, ptr %fields, i64 1
  %axes = load i32, ptr %axes_at
  %wide = sext i32 %axes to i64
  %axes_row = getelementptr i64, ptr %row, i64 2
  %want_axes = load i64, ptr %axes_row
  %same_axes = icmp eq i64 %wide, %want_axes
  %dtype_at = getelementptr i64, ptr %fields, i64 5
  %dtype = load ptr, ptr %dtype_at
  %dtype_row = getelementptr i64, ptr %row, i64 1
  %want_dtype = load ptr, ptr %dtype_row
  %same_dtype = icmp eq ptr %dtype, %want_dtype
  %same = and i1 %same_axes, %same_dtype
  br i1 %same, label %extents, label %no
extents:
  %shape_at = getelementptr i64, ptr %fields, i64 2
  %shape = load ptr, ptr %shape_at
  %strides_at = getelementptr i64, ptr %fields, i64 3
  %strides = load ptr, ptr %strides_at
  %shape_row = getelementptr i64, ptr %row, i64 3
  %want_shape = load ptr, ptr %shape_row
  %strides_row = getelementptr i64, ptr %row, i64 4
  %want_strides = load ptr, ptr %strides_row
  br label %more
more:
  %i = phi i64 [ 0, %extents ], [ %next, %axis ]
  %left = icmp slt i64 %i, %want_axes
  br i1 %left, label %axis, label %yes
axis:
  %n_at = getelementptr i64, ptr %shape, i64 %i
  %n = load i64, ptr %n_at
  %want_n_at = getelementptr i64, ptr %want_shape, i64 %i
  %want_n = load i64, ptr %want_n_at
  %same_n = icmp eq i64 %n, %want_n
  %s_at = getelementptr i64, ptr %strides, i64 %i
  %s = load i64, ptr %s_at
  %want_s_at = getelementptr i64, ptr %want_strides, i64 %i
  %want_s = load i64, ptr %want_s_at
  %same_s = icmp eq i64 %s, %want_s
  %fits = and i1 %same_n, %same_s
  %next = add i64 %i, 1
  br i1 %fits, label %more, label %no
yes:
  ret i1 true
no:
  ret i1 false
}}"""


def _owner(entry: Callable[[str], str]) -> str:
    """The array that owns an array's memory; null where another object does."""
    return f"""
define internal ptr @guards.owner(ptr %given) nounwind {{
  %offset = load i64, ptr @cr.data_offset
  %base_offset = add i64 %offset, 32
  %plain = load ptr, ptr {entry("ndarray")}
  br label %more
more:
  %array = phi ptr [ %given, %0 ], [ %base, %array_too ]
  %base_at = getelementptr i8, ptr %array, i64 %base_offset
  %base = load ptr, ptr %base_at
  %none = icmp eq ptr %base, null
  br i1 %none, label %found, label %look
look:
  %type_at = getelementptr i64, ptr %base, i64 1
  %type = load ptr, ptr %type_at
  %known = icmp eq ptr %type, %plain
  br i1 %known, label %array_too, label %unknown
array_too:
  br label %more
found:
  ret ptr %array
unknown:
  ret ptr null
}}"""


def _memory(found: Layout) -> str:
    """The array that owns an argument's memory; for what is no tensor, something of its own."""
    return f"""
define internal ptr @guards.memory(ptr %words, ptr %given, i64 %i) nounwind {{
  %rows_at = getelementptr i64, ptr %words, i64 {ARGUMENTS}
  %rows = load ptr, ptr %rows_at
  %first = mul i64 %i, {ROW}
  %row = getelementptr i64, ptr %rows, i64 %first
  %shape_at = getelementptr i64, ptr %row, i64 3
  %shape = load ptr, ptr %shape_at
  %x_at = getelementptr ptr, ptr %given, i64 %i
  %x = load ptr, ptr %x_at
  %other = icmp eq ptr %shape, null
  br i1 %other, label %itself, label %tensor
itself:
  ret ptr %x_at
tensor:
  %a_at = getelementptr i8, ptr %x, i64 {found.data}
  %a = load ptr, ptr %a_at
  %owner = call ptr @guards.owner(ptr %a)
  ret ptr %owner
}}"""


def _apart() -> str:
    """Whether a tensor's memory is not that of what was captured, and whether all arguments lie in
    memory of their own.
    """
    return f"""
define internal i1 @guards.free(ptr %words, ptr %owner) nounwind {{
  %owners_at = getelementptr i64, ptr %words, i64 {OWNERS}
  %owners = load i64, ptr %owners_at
  %table_at = getelementptr i64, ptr %words, i64 {OWNERS + 1}
  %table = load ptr, ptr %table_at
  %unknown = icmp eq ptr %owner, null
  br i1 %unknown, label %no, label %more
more:
  %k = phi i64 [ 0, %0 ], [ %next, %one ]
  %left = icmp slt i64 %k, %owners
  br i1 %left, label %one, label %yes
one:
  %held_at = getelementptr ptr, ptr %table, i64 %k
  %held = load ptr, ptr %held_at
  %next = add i64 %k, 1
  %shared = icmp eq ptr %held, %owner
  br i1 %shared, label %no, label %more
yes:
  ret i1 true
no:
  ret i1 false
}}

define internal i1 @guards.apart(ptr %words, ptr %given, i64 %count) nounwind {{
  br label %outer
outer:
  %i = phi i64 [ 0, %0 ], [ %i_next, %outer_tail ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %yes
one:
  %owner = call ptr @guards.memory(ptr %words, ptr %given, i64 %i)
  %free = call i1 @guards.free(ptr %words, ptr %owner)
  br i1 %free, label %inner, label %no
inner:
  %j = phi i64 [ 0, %one ], [ %j_next, %compare ]
  %j_left = icmp slt i64 %j, %i
  br i1 %j_left, label %compare, label %outer_tail
compare:
  %other = call ptr @guards.memory(ptr %words, ptr %given, i64 %j)
  %j_next = add i64 %j, 1
  %same = icmp eq ptr %owner, %other
  br i1 %same, label %no, label %inner
outer_tail:
  %i_next = add i64 %i, 1
  br label %outer
yes:
  ret i1 true
no:
  ret i1 false
}}"""


def _tables(entry: Callable[[str], str], found: Layout) -> str:
    """Whether slots, dicts, lists and attributes hold what they held."""
    slots = f"""{_words_of("slot", "place", "want")}
  %slot.now = load ptr, ptr %slot.place
  %slot.same = icmp eq ptr %slot.now, %slot.want"""
    dicts = f"""{_words_of("dict", "table")}
  %dict.same = call i1 @guards.dict(ptr %dict.table, ptr %dict.row)"""
    lists = f"""{_words_of("list", "table", "index", "want")}
{_call("list", "size", "i64", "PyList_Size", "ptr %list.table", entry)}
  %list.n = ptrtoint ptr %list.index to i64
  %list.in = icmp slt i64 %list.n, %list.size
  br i1 %list.in, label %list.get, label %changed
list.get:
{_call("list", "now", "ptr", "PyList_GetItem", "ptr %list.table, i64 %list.n", entry)}
  %list.same = icmp eq ptr %list.now, %list.want"""
    attributes = f"""{_words_of("attr", "object", "name", "want")}
{_call("attr", "now", "ptr", "PyObject_GetAttr", "ptr %attr.object, ptr %attr.name", entry)}
  %attr.none = icmp eq ptr %attr.now, null
  br i1 %attr.none, label %changed, label %attr.has
attr.has:
{_call("attr.drop", "", "void", "Py_DecRef", "ptr %attr.now", entry)}
  %attr.same = icmp eq ptr %attr.now, %attr.want"""
    sizes = f"""{_words_of("size", "of", "want")}
{_call("size", "now", "i64", "PyObject_Size", "ptr %size.of", entry)}
  %size.number = ptrtoint ptr %size.want to i64
  %size.same = icmp eq i64 %size.now, %size.number"""
    return f"""
{_dict(entry, found)}
define internal i1 @guards.tables(ptr %words) nounwind {{
{_loop("slot", SLOTS, 2, slots)}
{_loop("dict", DICTS, 4, dicts)}
{_loop("size", SIZES, 2, sizes)}
{_loop("list", LISTS, 3, lists)}
{_loop("attr", ATTRIBUTES, 3, attributes)}
  ret i1 true
changed:
{_call("clear", "", "void", "PyErr_Clear", "", entry)}
  ret i1 false
}}"""


def _dict(entry: Callable[[str], str], found: Layout) -> str:
    """Whether a dict holds what it held: not looked at again before its next change."""
    get = "PyDict_GetItemWithError"
    number = (
        f"""%number_at = getelementptr i8, ptr %table, i64 {found.changes}
  %number = load i64, ptr %number_at"""
        if found.changes >= 0
        else "%number = add i64 -2, 0"
    )
    return f"""
define internal i1 @guards.dict(ptr %table, ptr %row) nounwind {{
  {number}
  %seen_at = getelementptr i64, ptr %row, i64 1
  %seen = load i64, ptr %seen_at
  %unchanged = icmp eq i64 %number, %seen
  br i1 %unchanged, label %yes, label %look
look:
  %entries_at = getelementptr i64, ptr %row, i64 2
  %entries = load ptr, ptr %entries_at
  %count_at = getelementptr i64, ptr %row, i64 3
  %count = load i64, ptr %count_at
  br label %more
more:
  %i = phi i64 [ 0, %look ], [ %next, %one ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %held
one:
  %first = mul i64 %i, 2
  %key_at = getelementptr i64, ptr %entries, i64 %first
  %key = load ptr, ptr %key_at
  %want_at = getelementptr i64, ptr %key_at, i64 1
  %want = load ptr, ptr %want_at
{_call("now", "", "ptr", get, "ptr %table, ptr %key", entry)}
  %same = icmp eq ptr %now, %want
  %next = add i64 %i, 1
  br i1 %same, label %more, label %no
held:
  store i64 %number, ptr %seen_at
  br label %yes
yes:
  ret i1 true
no:
  ret i1 false
}}"""


def _mode(entry: Callable[[str], str]) -> str:
    """Whether gradients are recorded, or not, as they were in this thread."""
    return f"""
define internal i1 @guards.mode(ptr %words) nounwind {{
  %state_at = getelementptr i64, ptr %words, i64 {MODES}
  %state = load ptr, ptr %state_at
  %name_at = getelementptr i64, ptr %words, i64 {MODE_NAME}
  %name = load ptr, ptr %name_at
  %want_at = getelementptr i64, ptr %words, i64 {RECORDING}
  %want = load ptr, ptr %want_at
{_call("mode", "", "ptr", "PyObject_GetAttr", "ptr %state, ptr %name", entry)}
  %none = icmp eq ptr %mode, null
  br i1 %none, label %failed, label %look
look:
{_call("now", "", "ptr", "PyTuple_GetItem", "ptr %mode, i64 1", entry)}
{_call("drop", "", "void", "Py_DecRef", "ptr %mode", entry)}
  %same = icmp eq ptr %now, %want
  ret i1 %same
failed:
{_call("clear", "", "void", "PyErr_Clear", "", entry)}
  ret i1 false
}}"""


def _argument(entry: Callable[[str], str], found: Layout) -> str:
    """Whether an argument is as its row says."""
    return f"""
define internal i1 @guards.argument(ptr %x, ptr %row) nounwind {{
  %kind = load ptr, ptr %row
  %constant = icmp eq ptr %kind, null
  br i1 %constant, label %object, label %tensor
object:
  %want_at = getelementptr i64, ptr %row, i64 1
  %want = load ptr, ptr %want_at
  %is = icmp eq ptr %x, %want
  ret i1 %is
tensor:
  %type_at = getelementptr i64, ptr %x, i64 1
  %type = load ptr, ptr %type_at
  %is_type = icmp eq ptr %type, %kind
  br i1 %is_type, label %number, label %no
number:
  %dtype_at = getelementptr i64, ptr %row, i64 1
  %dtype = load ptr, ptr %dtype_at
  %any = icmp eq ptr %dtype, null
  br i1 %any, label %yes, label %history
history:
  %node_at = getelementptr i8, ptr %x, i64 {found.node}
  %node = load ptr, ptr %node_at
  %nothing = load ptr, ptr {entry("None")}
  %leaf = icmp eq ptr %node, %nothing
  %leaf_word = zext i1 %leaf to i64
  %want_leaf_at = getelementptr i64, ptr %row, i64 5
  %want_leaf = load i64, ptr %want_leaf_at
  %same_leaf = icmp eq i64 %leaf_word, %want_leaf
  br i1 %same_leaf, label %array, label %no
array:
  %a_at = getelementptr i8, ptr %x, i64 {found.data}
  %a = load ptr, ptr %a_at
  %fits = call i1 @guards.array(ptr %a, ptr %row)
  ret i1 %fits
yes:
  ret i1 true
no:
  ret i1 false
}}"""


def _check(entry: Callable[[str], str]) -> str:
    """The builtin check(*given)."""
    return f"""
define ptr @cr.check(ptr %self, ptr %given, i64 %count) nounwind {{
  %offset = load i64, ptr @cr.data_offset
  %words_at = getelementptr i8, ptr %self, i64 %offset
  %words = load ptr, ptr %words_at
  %wanted_at = getelementptr i64, ptr %words, i64 {COUNT}
  %wanted = load i64, ptr %wanted_at
  %rows_at = getelementptr i64, ptr %words, i64 {ARGUMENTS}
  %rows = load ptr, ptr %rows_at
  %enough = icmp eq i64 %count, %wanted
  br i1 %enough, label %more, label %changed
more:
  %i = phi i64 [ 0, %0 ], [ %next, %one ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %surroundings
one:
  %first = mul i64 %i, {ROW}
  %row = getelementptr i64, ptr %rows, i64 %first
  %x_at = getelementptr ptr, ptr %given, i64 %i
  %x = load ptr, ptr %x_at
  %good = call i1 @guards.argument(ptr %x, ptr %row)
  %next = add i64 %i, 1
  br i1 %good, label %more, label %changed
surroundings:
  %mode = call i1 @guards.mode(ptr %words)
  br i1 %mode, label %held, label %changed
held:
  %same = call i1 @guards.tables(ptr %words)
  br i1 %same, label %alone, label %changed
alone:
  %apart_at = getelementptr i64, ptr %words, i64 {APART}
  %apart = load i64, ptr %apart_at
  %any = icmp eq i64 %apart, 0
  br i1 %any, label %yes, label %ask
ask:
  %separate = call i1 @guards.apart(ptr %words, ptr %given, i64 %count)
  br i1 %separate, label %yes, label %changed
yes:
  %true = load ptr, ptr {entry("True")}
{_call("count_true", "", "void", "Py_IncRef", "ptr %true", entry)}
  ret ptr %true
changed:
  %false = load ptr, ptr {entry("False")}
{_call("count_false", "", "void", "Py_IncRef", "ptr %false", entry)}
  ret ptr %false
}}"""


def _bump(entry: Callable[[str], str], found: Layout) -> str:
    """The builtin bump(tick)."""
    return f"""
define ptr @cr.bump(ptr %self, ptr %tick) nounwind {{
  %offset = load i64, ptr @cr.data_offset
  %words_at = getelementptr i8, ptr %self, i64 %offset
  %words = load ptr, ptr %words_at
  %count = load i64, ptr %words
  %rows_at = getelementptr i64, ptr %words, i64 1
  %rows = load ptr, ptr %rows_at
  br label %more
more:
  %i = phi i64 [ 0, %0 ], [ %next, %one ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %done
one:
  %storage_at = getelementptr ptr, ptr %rows, i64 %i
  %storage = load ptr, ptr %storage_at
  %version_at = getelementptr i8, ptr %storage, i64 {found.version}
  %old = load ptr, ptr %version_at
{_call("number", "", "i64", "PyLong_AsSsize_t", "ptr %old", entry)}
  %plus = add i64 %number, 1
{_call("new", "", "ptr", "PyLong_FromSsize_t", "i64 %plus", entry)}
  store ptr %new, ptr %version_at
{_call("drop", "", "void", "Py_DecRef", "ptr %old", entry)}
  %written_at = getelementptr i8, ptr %storage, i64 {found.written}
  %before = load ptr, ptr %written_at
{_call("hold", "", "void", "Py_IncRef", "ptr %tick", entry)}
  store ptr %tick, ptr %written_at
{_call("let", "", "void", "Py_DecRef", "ptr %before", entry)}
  %next = add i64 %i, 1
  br label %more
done:
  %none = load ptr, ptr {entry("None")}
{_call("count_none", "", "void", "Py_IncRef", "ptr %none", entry)}
  ret ptr %none
}}"""
