"""Forward mode from reverse mode, for any function that has a derivative rule.

The pullback u -> J^T u is linear in u, and the tape can differentiate it: the gradient of
<J^T u, t> with respect to u is J t. So whatever can be differentiated twice in reverse has a
forward mode; a rule of its own is only ever quicker.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import dual
from ..arrays.batch import BatchArray
from ..arrays.dual import DualArray, value_of
from ..arrays.duck import Duck
from ..ops import define
from ..tape import state
from . import reverse


def tensors_in(x: Any) -> list:
    """The tensors among nested tuples and lists."""
    if isinstance(x, define.Tensor):
        return [x]
    return [t for e in x for t in tensors_in(e)] if isinstance(x, (tuple, list)) else []


def by_transposition(
    level: int, f: Callable, on_tensors: Callable, args: tuple, extra: bool
) -> Any:
    """The dual value of f(*args): g = J^T u is linear in u, so that <g, t> differentiated with
    respect to u gives J t.
    """
    with np.errstate(all="ignore"):
        return _by_transposition(level, f, on_tensors, args, extra)


def _by_transposition(
    level: int, f: Callable, on_tensors: Callable, args: tuple, extra: bool
) -> Any:
    value = f(*[value_of(a, level) for a in args])
    before, hooks = state.mode, state.hooks
    state.mode, state.hooks = (operator.call, True), ()  # type: ignore[assignment]
    try:
        leaves: list = []
        tangents: list = []
        batches = _batches(args)
        given = [_leaf(a, level, leaves, tangents, batches) for a in args]
        outs = tensors_in(on_tensors(*given))
        wanted = [o for o in outs if o._node is not None]
        zeros = [np.zeros(o._data.shape, o._data.dtype) for o in wanted]
        weights = [define.wrap(_spread(z, batches)) for z in zeros]
        for w in weights:
            w.requires_grad_()
        pulled = reverse.grad(wanted, leaves, weights, create_graph=True, materialize_grads=True)
        pairs = [(p, t) for p, t in zip(pulled, tangents, strict=True) if p.requires_grad]
        pushed = iter(
            reverse.grad(
                [p for p, _ in pairs],
                weights,
                [define.wrap(t) for _, t in pairs],
                materialize_grads=True,
            )
            if pairs
            else weights
        )
    finally:
        state.mode, state.hooks = before, hooks
    found = [next(pushed)._data if o._node is not None else None for o in outs]
    result = value[0] if extra else value
    joined = _joined(result, iter(found), level)
    return (joined, value[1]) if extra else joined


def _batches(args: Any) -> dict[int, int]:
    """The levels, and sizes, of all batches among nested arrays."""
    found: dict[int, int] = {}
    for a in args:
        if isinstance(a, BatchArray):
            found[a.level] = a.array.shape[0]
        if isinstance(a, Duck):
            found |= _batches(a.parts())
        elif isinstance(a, (tuple, list)):
            found |= _batches(a)
    return found


def _spread(x: Any, batches: dict[int, int]) -> Any:
    """x, one for each example: a variable that all share would get one gradient, their sum."""
    zero: Any = np.zeros(tuple([batches[k] for k in sorted(batches)]), x.dtype)
    for level in sorted(batches):
        zero = BatchArray(zero, level)
    return x + zero if batches else x


def _leaf(a: Any, level: int, leaves: list, tangents: list, batches: dict[int, int]) -> Any:
    """An array as a tensor, a variable if it is a dual number."""
    if isinstance(a, DualArray) and a.level == level:
        t = define.wrap(_spread(a.value, batches))
        t.requires_grad_()
        leaves.append(t)
        tangents.append(np.broadcast_to(a.tangent, a.shape))
        return t
    if type(a) in (list, tuple):
        return type(a)([_leaf(e, level, leaves, tangents, batches) for e in a])
    return define.wrap(a) if isinstance(a, (np.ndarray, np.generic, Duck)) else a


def _joined(value: Any, tangents: Any, level: int) -> Any:
    """Values with their tangents, where they have one."""
    if isinstance(value, (tuple, list)):
        return type(value)([_joined(v, tangents, level) for v in value])
    if not isinstance(value, (np.ndarray, np.generic, Duck)):
        return value
    t = next(tangents)
    return value if t is None else DualArray(value, t, level)


dual.TRANSPOSITION.append(by_transposition)
