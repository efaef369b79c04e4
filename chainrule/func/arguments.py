"""Which arguments of a function are differentiated: `argnums`."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


def chosen(args: tuple, argnums: Any) -> Any:
    """The argument `argnums`, or the tuple of them; raises RuntimeError if there are none such."""
    if isinstance(argnums, int):
        return args[_place(argnums, len(args))]
    if not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    places = [_place(a, len(args)) for a in argnums]
    if args and not places:
        raise RuntimeError("argnums must be non-empty")
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {tuple(places)}")
    return tuple(args[i] for i in places)


def _place(argnum: Any, count: int) -> int:
    if not isinstance(argnum, int):
        raise RuntimeError(f"argnum must be int, got: {type(argnum)}")
    if not -count <= argnum < count:
        raise RuntimeError(f"Got argnum={argnum}, but only {count} positional inputs")
    return argnum % count


def replaced(args: tuple, values: tuple, argnums: Any) -> tuple:
    """The arguments, with other values for the chosen ones."""
    places = (argnums,) if isinstance(argnums, int) else argnums
    new = list(args)
    for place, value in zip(places, values, strict=True):
        new[place] = value
    return tuple(new)


def parts_of(out: Any, head: str) -> tuple:
    """(output, aux) of a function that returns both."""
    if not (isinstance(out, tuple) and len(out) == 2):
        raise RuntimeError(
            f"{head}output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return out


def check_outputs(head: str, outs: list, out: Any) -> None:
    """Raise RuntimeError unless a function returned tensors, at least one."""
    if not outs:
        raise RuntimeError(
            f"{head}: Expected f to be a function that has non-empty output (got output = {out})"
        )
    for o in outs:
        if not isinstance(o, Tensor):
            raise RuntimeError(
                f"{head}: expected f(*primals) to return only tensors, got unsupported type"
                f" {type(o)}"
            )
