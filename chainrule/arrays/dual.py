"""Forward mode as an array type: a value and its tangent, computed side by side.

Every rule maps (value, tangent) pairs to a pair. For elementwise functions the tangent follows from the operator's vjp
rule (the derivative of a function that acts on each element alone is its own transpose), so nothing is written twice;
linear functions act on the tangent as on the value; the rest are the rows of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import define
from .duck import Duck
from .grad import CONSTANT


class DualArray(Duck):
    """`value` + epsilon * `tangent`; the tangent broadcasts to the value's shape."""

    __slots__ = ("level", "tangent", "value")

    def __init__(self, value: Any, tangent: Any, level: int) -> None:
        self.value, self.tangent, self.level = value, tangent, level

    shape = property(lambda self: self.value.shape)  # type: ignore[assignment]
    dtype = property(lambda self: self.value.dtype)  # type: ignore[assignment]

    @classmethod
    def call(cls, name: str, args: tuple, kwargs: dict) -> Any:
        level = max(a.level for a in _flat(args) if isinstance(a, DualArray))
        rule = RULES.get(name) or _linear(name) or _elementwise(name)
        return rule(level, *args, **kwargs)


def _flat(args: Any) -> list:
    return [b for a in args for b in (_flat(a) if isinstance(a, (list, tuple)) else (a,))]


def split(a: Any, level: int) -> tuple[Any, Any]:
    """Value and tangent (None for a constant)."""
    return (a.value, a.tangent) if isinstance(a, DualArray) and a.level == level else (a, None)


def _elementwise(name: str) -> Callable:
    """The rule of an elementwise ufunc, from the vjp of the operator defined with it."""
    f = define.PRIMITIVES.get(name) or getattr(np, name, None)
    o = getattr(f, "op", None) or next((o for o in define.OPS.values() if o.plain and o.rules and o.ufunc is f), None)
    if f in CONSTANT:
        return lambda level, *args: f(*[split(a, level)[0] for a in args])
    if o is None or not o.rules or not o.plain:
        raise TypeError(f"forward mode has no rule for {name!r}")

    def rule(level: int, *args: Any) -> Any:
        pairs = [split(a, level) for a in args]
        values = [v for v, _ in pairs]
        out = f(*values)
        given = {"out": out, **dict(zip(o.params, values, strict=True))}
        parts = [r(t, *[given[n] for n in names]) for r, names, (_, t) in zip(o.rules, o.names, pairs, strict=False) if t is not None]
        if not parts:
            return out
        tangent = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return DualArray(out, tangent, level)

    return rule


LINEAR: dict[str, Callable] = {
    "add.reduce": np.add.reduce,
    "add.accumulate": np.add.accumulate,
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes),
    "astype": lambda x, dtype: x.astype(dtype),
    "copy": lambda x: x.copy(),
    "real": lambda x: x.real,
    "imag": lambda x: x.imag,
    "getitem": lambda x, index: x[index],
    "broadcast_to": np.broadcast_to,
    "take_along_axis": np.take_along_axis,
    "put_add": lambda x, index, shape: define.put_add(x, index, shape),
}


def _linear(name: str) -> Callable | None:
    f = LINEAR.get(name)
    if f is None:
        return None

    def rule(level: int, x: Any, *args: Any, **kwargs: Any) -> Any:
        value, tangent = split(x, level)
        tangent = np.broadcast_to(tangent, value.shape) if tangent.shape != value.shape else tangent
        return DualArray(f(value, *args, **kwargs), f(tangent, *args, **kwargs), level)

    return rule


def _matmul(level: int, x: Any, y: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    if da is None:
        return DualArray(a @ b, a @ db, level)
    return DualArray(a @ b, da @ b if db is None else da @ b + a @ db, level)


def _where(level: int, c: Any, x: Any, y: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    condition = split(c, level)[0]
    return DualArray(np.where(condition, a, b), np.where(condition, 0 if da is None else da, 0 if db is None else db), level)


def _concatenate(level: int, arrays: Any, axis: int = 0) -> Any:
    pairs = [split(a, level) for a in arrays]
    tangents = [np.zeros(v.shape, v.dtype) if t is None else np.broadcast_to(t, v.shape) for v, t in pairs]
    return DualArray(np.concatenate([v for v, _ in pairs], axis=axis), np.concatenate(tangents, axis=axis), level)


RULES: dict[str, Callable] = {"matmul": _matmul, "dot": _matmul, "where": _where, "concatenate": _concatenate}
