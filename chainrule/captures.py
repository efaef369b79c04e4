"""What a transformed function captured: tensors it reaches without their being arguments.

A transformation of a function (grad, vjp, jvp) must leave such tensors as they were: to write them
would leave values, and history, of the inside of the transformation in the world around it.
"""

from __future__ import annotations

import collections
import dis
import functools
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .arrays.levels import Captor, stack

GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
LIMIT = 5000  # objects that are looked at; beyond, nothing is claimed


def refuse_captured(x: Any) -> None:
    """Raise torch's error if tensor `x`, about to be written, was captured by a function that a
    transformation runs now.
    """
    for level in stack.levels:
        if isinstance(level, Captor) and level.function is not None:
            if level.captured is None:
                level.captured = captured(level.function, level.given)
            if id(x) in level.captured or id(x._base) in level.captured:
                raise RuntimeError(
                    "During a grad (vjp, jvp, grad, etc) transform, the function provided"
                    " attempted to call in-place operation that would mutate a captured Tensor."
                    " This is not supported; please rewrite the function being transformed to"
                    " explicitly accept the mutated Tensor(s) as inputs."
                )


def captured(function: Callable, given: Sequence) -> dict[int, Any]:
    """The tensors that `function` reaches, but those in `given`, by id."""
    known = {id(t) for t in given}
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [function]
    while waiting and len(seen) < LIMIT:
        x = waiting.pop()
        if id(x) in seen or id(x) in known:
            continue
        seen.add(id(x))
        if hasattr(type(x), "requires_grad"):
            found[id(x)] = x
        else:
            waiting.extend(inside(x))
    return found


def inside(x: Any) -> Iterator[Any]:
    """The objects that a function, method, container, class or object leads to."""
    if isinstance(x, types.FunctionType):
        if not is_own(x):
            names = set(names_in(x.__code__))
            yield from (x.__globals__[n] for n in names if n in x.__globals__)
        for cell in x.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # a name that has no value yet
                continue
        yield from x.__defaults__ or ()
        yield from (x.__kwdefaults__ or {}).values()
        yield from x.__dict__.values()
    elif isinstance(x, types.MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, functools.partial):
        yield from (x.func, *x.args, x.keywords)
    elif isinstance(x, (dict, types.MappingProxyType)):
        yield from x.values()
        yield from getattr(x, "__dict__", {}).values()
    elif isinstance(x, (list, tuple, set, frozenset, collections.deque)):
        yield from x
        yield from getattr(x, "__dict__", {}).values()
    elif isinstance(x, type):
        yield from own_attributes(x).values() if foreign(x.__module__) else ()
    elif not isinstance(x, types.ModuleType):
        yield from vars(x).values() if hasattr(x, "__dict__") else ()
        yield from methods_of(x)


def methods_of(x: Any) -> Iterator[Any]:
    """The functions of an object's class, and what its slots hold, if it is a user's class."""
    for kind in type(x).__mro__:
        if kind.__module__.partition(".")[0] in ("chainrule", "builtins", "numpy"):
            continue
        yield from slots_of(x, kind).values()
        yield from own_attributes(kind).values()


def slots_of(x: Any, kind: type) -> dict[str, Any]:
    """What the slots hold that a class gives its objects."""
    names = kind.__dict__.get("__slots__", ())
    names = (names,) if isinstance(names, str) else names
    return {n: getattr(x, n) for n in names if n[:2] != "__" and hasattr(x, n)}


def own_attributes(kind: type) -> dict[str, Any]:
    """The functions of a class, of whatever kind, and its other attributes by name."""
    found: dict[str, Any] = {}
    for name, value in vars(kind).items():
        if isinstance(value, (staticmethod, classmethod)):
            found[name] = value.__func__
        elif isinstance(value, property):
            found[name] = value.fget
        elif isinstance(value, types.FunctionType) or name[:2] != "__":
            found[name] = value
    return found


def is_own(f: Any) -> bool:
    """Whether a function is of this package."""
    return f.__module__ is not None and f.__module__.partition(".")[0] == "chainrule"


@functools.cache
def foreign(module: str | None) -> bool:
    """Whether a module is the user's: neither of this package, nor of Python or what is installed
    with it.
    """
    root = (module or "builtins").partition(".")[0]
    if root in sys.stdlib_module_names and root != "__main__":
        return False
    place = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return root != "chainrule" and "site-packages" not in place


def attributes_in(code: types.CodeType) -> set[str]:
    """The names in a function's code, and in the code of the functions inside it."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(attributes_in, inner))


def names_in(code: types.CodeType) -> tuple[str, ...]:
    """The global names in a function's code, and in the code of the functions inside it, each once,
    in the order in which they stand there.
    """
    found = [i.argval for i in dis.get_instructions(code) if i.opname in GLOBAL]
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found += names_in(c)
    return tuple(dict.fromkeys(found))
