"""What a transformed function captured: tensors it reaches without their being arguments.

A transformation of a function (grad, vjp, jvp) must leave such tensors as they were: to write them
would leave values, and history, of the inside of the transformation in the world around it.
"""

from __future__ import annotations

import dis
import functools
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
    """The objects that a function, method, container or object leads to."""
    if isinstance(x, types.FunctionType):
        if x.__module__ is None or not x.__module__.startswith("chainrule."):
            yield from (x.__globals__[n] for n in names_in(x.__code__) if n in x.__globals__)
        for cell in x.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # a name that has no value yet
                continue
        yield from x.__defaults__ or ()
    elif isinstance(x, types.MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, functools.partial):
        yield from (x.func, *x.args, *x.keywords.values())
    elif isinstance(x, dict):
        yield from x.values()
    elif isinstance(x, (list, tuple, set)):
        yield from x
    elif not isinstance(x, (type, types.ModuleType)):
        yield from vars(x).values() if hasattr(x, "__dict__") else ()
        yield from methods_of(x)


def methods_of(x: Any) -> Iterator[Any]:
    """The functions of an object's class, and what its slots hold, if it is a user's class."""
    for kind in type(x).__mro__:
        if kind.__module__.partition(".")[0] in ("chainrule", "builtins", "numpy"):
            continue
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if hasattr(x, name):
                yield getattr(x, name)
        yield from (f for f in vars(kind).values() if isinstance(f, types.FunctionType))


@functools.lru_cache(4096)
def names_in(code: types.CodeType) -> tuple[str, ...]:
    """The global names in a function's code, and in the code of the functions inside it, each once,
    in the order in which they stand there.
    """
    found = [i.argval for i in dis.get_instructions(code) if i.opname in GLOBAL]
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found += names_in(c)
    return tuple(dict.fromkeys(found))
