"""Reading and writing by index."""

from __future__ import annotations

from typing import Any

from .define import MOVE, op, put_add


@op(promote=MOVE, view=True, method=False, name="getitem", node="IndexBackward0", linear=True)
def getitem(x: Any, /, index: Any) -> Any:
    """x[index] for a NumPy index; a view for basic indexing."""
    return x[index]


@getitem.vjp
def _(g, index, x_shape):
    return put_add(g, index, x_shape)
