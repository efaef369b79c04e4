"""Reading a pickle without running code.

A pickle is a program for a small stack machine. `pickletools` parses it; here is a machine that
knows the instructions which build plain data, and that calls nothing but what `names.SAFE` lists
(and what the user has added). Whatever else a file asks for raises UnpicklingError.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

from . import names

ADVICE = (
    "Weights only load failed. {} Load the file with weights_only=False only if you trust its "
    "source, since that runs whatever code the file contains; or allow the name with "
    "torch.serialization.add_safe_globals."
)
_MARK = object()


def refuse(what: str) -> UnpicklingError:
    """The error for what a file must not ask for."""
    return UnpicklingError(ADVICE.format(what))


class Machine:
    """The stack, the memo, and how storages are found."""

    def __init__(self, persistent: Callable[[Any], Any]) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.persistent = persistent

    def run(self, stream: Any) -> Any:
        """The object that a pickle builds."""
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "STOP":
                    return self.stack.pop()
                handler = HANDLERS.get(opcode.name)
                if handler is None:
                    raise refuse(f"the instruction {opcode.name} is not allowed.")
                handler(self, argument)
        except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as e:
            raise UnpicklingError(f"damaged file: {type(e).__name__}: {e}") from e
        raise EOFError("Ran out of input")

    # -- the stack --------------------------------------------------------------------------------
    # ------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list:
        """What was pushed since the last mark, taken off."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def last(self, n: int) -> list:
        """The last n values, taken off."""
        values = self.stack[len(self.stack) - n :]
        del self.stack[len(self.stack) - n :]
        return values

    def memoize(self, argument: Any) -> None:
        self.memo[len(self.memo) if argument is None else int(argument)] = self.stack[-1]

    # -- containers -------------------------------------------------------------------------------
    # ------------------

    def extend(self, values: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise refuse(f"values are appended to a {type(target).__name__}.")
        target.extend(values)

    def set_items(self, values: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise refuse(f"items are set in a {type(target).__name__}.")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[key] = value

    def add_items(self, values: list) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise refuse(f"elements are added to a {type(target).__name__}.")
        target.update(values)

    # -- names and calls
    # ---------------------------------------------------------------------------------------------

    def find(self, module: str, name: str) -> Any:
        """What a global name means; UnpicklingError if it is not allowed."""
        found = names.SAFE.get((module, name), None)
        if found is None:
            found = names.added(module, name)
        if found is None:
            place = name if module in ("builtins", "__builtin__") else f"{module}.{name}"
            raise refuse(
                f"Unsupported global: GLOBAL {place} was not an allowed global by default."
            )
        return found

    def by_stack(self, _: Any) -> None:
        module, name = self.last(2)
        self.push(self.find(module, name))

    def call(self, _: Any) -> None:
        """Call an allowed function or class."""
        function, args = self.last(2)
        allowed = id(function) in names.CALLABLE or any(
            function is g for g in names.get_safe_globals()
        )
        if not allowed or not isinstance(args, tuple):
            raise refuse(f"a call of {function!r:.100} is not allowed.")
        self.push(function(*args))

    def make(self, _: Any) -> None:
        """`cls.__new__(cls, *args)` for an allowed class."""
        cls, args = self.last(2)
        if not isinstance(cls, type) or not (
            id(cls) in names.CALLABLE or cls in names.get_safe_globals()
        ):
            raise refuse(f"an instance of {cls!r:.100} is not allowed.")
        self.push(cls.__new__(cls, *args))

    def build(self, _: Any) -> None:
        """Give the object on the stack its state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) in (names.OrderedDict, names.Tensor, names.Parameter):
            names.set_attributes(target, state)
        elif type(target) in names.get_safe_globals():
            restore = getattr(target, "__setstate__", None)
            restore(state) if restore is not None else names.set_attributes(target, state)
        else:
            raise refuse(f"a state for a {type(target).__name__} is not allowed.")


def _call_with(n: int) -> Callable:
    return lambda m, _: m.push(tuple(m.last(n)))


def _dictionary(values: list) -> dict:
    return dict(zip(values[::2], values[1::2], strict=True))


def _nothing(machine: Machine, argument: Any) -> None:
    """Framing, which says nothing about the object."""


CONSTANTS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING"
    " UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
HANDLERS: dict[str, Callable[[Machine, Any], Any]] = {
    **dict.fromkeys(CONSTANTS.split(), Machine.push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine.memoize),
    **{name: lambda m, i: m.push(m.memo[int(i)]) for name in ("GET", "BINGET", "LONG_BINGET")},
    "PROTO": _nothing,
    "FRAME": _nothing,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": lambda m, _: m.push(_MARK),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": _call_with(1),
    "TUPLE2": _call_with(2),
    "TUPLE3": _call_with(3),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "DICT": lambda m, _: m.push(_dictionary(m.since_mark())),
    "SETITEM": lambda m, _: m.set_items(m.last(2)),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "ADDITEMS": lambda m, _: m.add_items(m.since_mark()),
    "FROZENSET": lambda m, _: m.push(frozenset(m.since_mark())),
    "GLOBAL": lambda m, path: m.push(m.find(*path.split(" ", 1))),
    "STACK_GLOBAL": Machine.by_stack,
    "REDUCE": Machine.call,
    "NEWOBJ": Machine.make,
    "BUILD": Machine.build,
    "BINPERSID": lambda m, _: m.push(m.persistent(m.stack.pop())),
    "PERSID": lambda m, i: m.push(m.persistent(i)),
}
