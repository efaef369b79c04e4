"""A function run on one example of a vmap after the other: for functions that look at the numbers
of their arguments, which a tensor inside vmap does not show.

It is done on tensors: the examples leave the vmap, the results enter it again, and the tape and
forward mode see both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays.batch import BatchArray
from ..arrays.boundary import enter_batch, leave_batch, part_at
from ..arrays.duck import Duck, levels_in
from ..arrays.levels import RUNNING
from .define import OPS, Tensor


def vmapped(*args: Any) -> int:
    """The level of the innermost running vmap that an argument is an example of, or 0."""
    return max([_vmap_of(a._data) for a in args if isinstance(a, Tensor)], default=0)


def _vmap_of(data: Any) -> int:
    if not isinstance(data, Duck):
        return 0
    levels = (n for n in levels_in(data) & RUNNING if isinstance(part_at(data, n), BatchArray))
    return max(levels, default=0)


def by_example(f: Callable, level: int, *args: Any, **kwargs: Any) -> Any:
    """f of each example of the vmap `level`, the results (of one shape) examples again."""
    given = [_outside(a, level) for a in (*args, *kwargs.values())]
    size = next(len(a) for a, split in given if split)
    if not size:
        raise RuntimeError(
            f"vmap: {f.__name__} runs one example after the other, and does not support vmap over"
            " dims of size 0"
        )
    rows = []
    for i in range(size):
        row = [a[i] if split else a for a, split in given]
        rows.append(f(*row[: len(args)], **dict(zip(kwargs, row[len(args) :], strict=True))))
    return _inside(rows, level)


def _outside(a: Any, level: int) -> tuple[Any, bool]:
    """An argument, as all its examples if it is one, and whether it is."""
    if not isinstance(a, Tensor) or part_at(a._data, level) is None:
        return a, False
    inside: Any = part_at(a._data, level)
    return leave_batch.op.entry(a, level, 0, len(inside.array)), True


def _inside(rows: list, level: int) -> Any:
    first = rows[0]
    if isinstance(first, tuple):
        columns = [_inside(list(c), level) for c in zip(*rows, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
    return enter_batch.op.entry(OPS["stack"].entry(rows, 0), level, 0)
