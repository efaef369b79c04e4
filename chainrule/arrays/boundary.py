"""Crossing the boundary of a transformation: how arrays enter and leave vmap and forward mode, and
what a gradient becomes that crosses it the other way.

The crossings are operators, so the tape sees them: what is computed inside a transformation from
tensors outside stays connected to them. Backwards, entering becomes leaving and leaving entering.

- vmap: a cotangent of an example is an array of examples. A tensor from outside that every example
  used receives the sum over them, once the vmap has ended.
- forward mode: let y = y0 + e y1 be a dual value, and L depend on both parts. The adjoint of y is
  kept as the dual number dL/dy1 + e dL/dy0: multiplied by transposed Jacobians, dual numbers as
  well, it stays that for every earlier value. Such a cotangent is marked (`adjoint`). One that is
  not marked is the derivative of a dual L, itself a dual number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import define
from ..ops.define import MOVE, op
from . import batch, dual
from .batch import BatchArray, physical
from .dual import DualArray
from .duck import Duck, NoRule, highest, in_axes, in_rows, inward, is_ground, levels_in
from .grad import BY_EXAMPLE, GradArray
from .levels import RUNNING


def _crossing(kernel: Any) -> Any:
    """Decorator: an operator that array types above the level it crosses have a row for."""
    entry = op(kernel, promote=MOVE, namespace="primitive", method=False)
    kernel.op, kernel.vjp = entry.op, entry.vjp
    define.PRIMITIVES[kernel.__name__] = kernel
    return kernel


def _above(x: Any, level: int) -> bool:
    return isinstance(x, Duck) and x.level > level


@_crossing
def enter_batch(x: Any, /, level: int, dim: int) -> Any:
    """The slices of `x` along `dim`, as the examples of vmap `level`."""
    if _above(x, level):
        return x.call("enter_batch", (x, level, dim), {})
    return BatchArray(moved_axis(x, dim, 0), level)


@enter_batch.vjp
def _(g, level, dim, x_shape):
    return leave_batch(g, level, dim, x_shape[dim])


@_crossing
def leave_batch(x: Any, /, level: int, dim: int, size: int) -> Any:
    """The examples of vmap `level` along a new dimension `dim`; the same `size` times, if `x` is
    none of them.
    """
    if _above(x, level):
        return x.call("leave_batch", (x, level, dim, size), {})
    if isinstance(x, BatchArray) and x.level == level:
        return moved_axis(x.array, 0, dim)
    shape = list(x.shape)
    shape.insert(dim % (x.ndim + 1), size)
    return np.broadcast_to(x[(slice(None),) * (dim % (x.ndim + 1)) + (None,)], shape)


@leave_batch.vjp
def _(g, level, dim):
    return enter_batch(g, level, dim)


@_crossing
def enter_dual(x: Any, y: Any, /, level: int, adjoint: bool = False) -> Any:
    """The dual number with value `x` and tangent `y`."""
    top = highest((x, y))
    if _above(top, level):
        return top.call("enter_dual", (x, y, level, adjoint), {})
    return DualArray(x, like(y, x), level, adjoint)


def like(y: Any, x: Any) -> Any:
    """`y`, its axes in memory in the order in which those of `x` lie."""
    if not is_ground(x) or not is_ground(y) or (in_rows(x) and in_rows(y)):
        return y
    return in_axes(y, inward(x) or tuple(range(y.ndim)))


@enter_dual.vjp
def _(g, level):
    return outside(g, level)


@enter_dual.vjp
def _(g, level):
    inside = part_at(g, level)
    if inside is not None and inside.adjoint:
        return value_part(g, level)
    if level in RUNNING:
        return enter_dual(np.zeros(g.shape, g.dtype), value_part(g, level), level)
    return np.zeros(g.shape, g.dtype)


@_crossing
def value_part(x: Any, /, level: int) -> Any:
    """The value of a dual number of `level`."""
    if _above(x, level):
        return x.call("value_part", (x, level), {})
    return x.value if isinstance(x, DualArray) and x.level == level else x


@value_part.vjp
def _(g, level):
    return enter_dual(np.zeros(g.shape, g.dtype), g, level, True)


@_crossing
def tangent_part(x: Any, /, level: int) -> Any:
    """The tangent of a dual number of `level`."""
    if _above(x, level):
        return x.call("tangent_part", (x, level), {})
    if isinstance(x, DualArray) and x.level == level:
        t = x.tangent
        return t if t.shape == x.shape else np.broadcast_to(t, x.shape)
    return np.zeros(x.shape, x.dtype)


@tangent_part.vjp
def _(g, level):
    return enter_dual(g, np.zeros(g.shape, g.dtype), level, True)


def moved_axis(a: Any, source: int, target: int) -> Any:
    """An array with one axis moved to another place."""
    order = [i for i in range(a.ndim) if i != source % a.ndim]
    order.insert(target % a.ndim, source % a.ndim)
    return a.transpose(order)


def part_at(a: Any, level: int) -> Any:
    """The array of `level` inside `a`, or None."""
    if not isinstance(a, Duck) or a.level == level:
        return a if isinstance(a, Duck) else None
    if a.ground:
        return None
    return next((p for p in (part_at(q, level) for q in a.parts()) if p is not None), None)


def outside(g: Any, level: int) -> Any:
    """A cotangent that came from inside a transformation, for a value outside of it."""
    inside = part_at(g, level)
    if inside is None:
        return g
    if isinstance(inside, DualArray):
        if inside.adjoint:
            return tangent_part(g, level)
        return g if level in RUNNING else value_part(g, level)
    if isinstance(inside, BatchArray) and level not in RUNNING:
        return np.add.reduce(leave_batch(g, level, 0, inside.array.shape[0]), axis=0)
    return g


def combined(a: Any, b: Any) -> Any:
    """The sum of two cotangents of one value. Where one of them comes from inside a transformation
    and the other does not, the value is outside of it; unless that other is just a zero, which a
    rule may have made without a look at its cotangent. It is told by its value: rules make zeros in
    many ways, and a zero that is a real contribution adds nothing either, wherever it belongs.
    """
    if type(a) is type(b) is np.ndarray:
        return a + b
    inside_a, inside_b = levels_in(a), levels_in(b)
    if inside_a != inside_b:
        for zero, other in ((a, b), (b, a)):
            if _is_zero(zero):
                return other
    for level in sorted(inside_a ^ inside_b, reverse=True):
        a, b = (outside(g, level) for g in (a, b))
    return a + b


def _is_zero(g: Any) -> bool:
    if isinstance(g, GradArray):
        return False  # its derivative may be another
    if isinstance(g, Duck) and g.ground:
        return g.is_zero()
    return all(_is_zero(p) for p in g.parts()) if isinstance(g, Duck) else not np.any(g)


def settled(g: Any, at: Any = None) -> Any:
    """A cotangent for a value of array `at`: what stems from transformations that have ended is
    summed up, or taken apart; those that `at` belongs to are its own.
    """
    if not isinstance(g, Duck):
        return g
    for level in sorted(levels_in(g) - levels_in(at), reverse=True):
        g = outside(g, level)
    return g


batch.RULES.update(
    enter_batch=lambda own, x, level, dim: BatchArray(
        enter_batch(x.array, level, dim % x.ndim + 1), own
    ),
    leave_batch=lambda own, x, level, dim, size: BatchArray(
        leave_batch(x.array, level, dim % (x.ndim + 1) + 1, size), own
    ),
    value_part=lambda own, x, level: BatchArray(value_part(x.array, level), own),
    tangent_part=lambda own, x, level: BatchArray(tangent_part(x.array, level), own),
)


def _dual_of_batches(own: int, x: Any, y: Any, level: int, adjoint: bool = False) -> Any:
    size = batch.batch_size((x, y), own)
    return BatchArray(
        enter_dual(physical(x, size, own), physical(y, size, own), level, adjoint), own
    )


def _dual_of_duals(own: int, x: Any, y: Any, level: int, adjoint: bool = False) -> Any:
    (a, da), (b, db) = dual.full(x, own), dual.full(y, own)
    return DualArray(enter_dual(a, b, level, adjoint), enter_dual(da, db, level, adjoint), own)


batch.RULES["enter_dual"] = _dual_of_batches
dual.RULES["enter_dual"] = _dual_of_duals
dual.LINEAR.update(
    enter_batch=enter_batch,
    leave_batch=leave_batch,
    value_part=value_part,
    tangent_part=tangent_part,
)


def by_example(f: Callable, args: tuple) -> Any:
    """f(*args) for arrays that are differentiated again, one example of a vmap after the other."""
    batches = [p for p in _parts(args) if isinstance(p, BatchArray)]
    if not batches:
        raise NoRule(f"double backward cannot run {getattr(f, '__name__', f)}")
    last = max(batches, key=lambda p: p.level)
    level, size = last.level, last.array.shape[0]
    rows = [f(*[_example(a, i, level, size) for a in args]) for i in range(size)]
    return _stacked(rows, level)


def _parts(a: Any) -> list:
    """All arrays of ours inside an argument."""
    if isinstance(a, (list, tuple)):
        return [p for e in a for p in _parts(e)]
    if not isinstance(a, Duck):
        return []
    return [a] if a.ground else [a, *[q for p in a.parts() for q in _parts(p)]]


def _example(a: Any, i: int, level: int, size: int) -> Any:
    if isinstance(a, (list, tuple)):
        return type(a)([_example(e, i, level, size) for e in a])
    if part_at(a, level) is None and not isinstance(a, GradArray):
        return a
    return leave_batch(a, level, 0, size)[i]


def _stacked(rows: list, level: int) -> Any:
    first = rows[0]
    if isinstance(first, (list, tuple)):
        return type(first)([_stacked(list(r), level) for r in zip(*rows, strict=True)])
    if not isinstance(first, (np.ndarray, np.generic, Duck)):
        return first
    return enter_batch(np.concatenate([r[None] for r in rows]), level, 0)


BY_EXAMPLE.append(by_example)
