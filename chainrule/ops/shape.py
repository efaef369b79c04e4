"""Operators that move elements or look at them differently; where torch shares memory, so do these."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .define import MOVE, geometry, op, put_add, view_places


@op(promote=MOVE, star=True, view=True, linear=True, node="ViewBackward0")
def reshape(x: Any, /, shape: Any) -> Any:
    """The same elements in another shape; a view where the strides allow it."""
    return x.reshape(shape)


@reshape.vjp
def _(g, x_shape):
    return g.reshape(x_shape)


@op(promote=MOVE, star=True, view=True, linear=True)
def permute(x: Any, /, dims: Any) -> Any:
    """The dimensions in another order."""
    return x.transpose(dims)


@permute.vjp
def _(g, dims):
    order = [d % g.ndim for d in dims]
    return g.transpose([order.index(i) for i in range(g.ndim)])


@op(promote=MOVE, star=True, view=True, linear=True)
def expand(x: Any, /, size: Any) -> Any:
    """Size-1 dimensions repeated without copying; -1 keeps a size."""
    lead = len(size) - x.ndim
    return np.broadcast_to(x, tuple([x.shape[i - lead] if n == -1 else n for i, n in enumerate(size)]))


@expand.vjp
def _(g):
    return g


@op(promote=MOVE, name="cast", method=False, linear=True, node="ToCopyBackward0")
def cast(x: Any, /, dtype: Any) -> Any:
    """The elements converted to a NumPy dtype."""
    return x.astype(dtype)


@cast.vjp
def _(g):
    return g


@op(promote=MOVE, linear=True)
def clone(x: Any, /, memory_format: Any = None) -> Any:
    """A copy in memory of its own."""
    return x.copy()


@clone.vjp
def _(g):
    return g


@op(promote=MOVE, view=True, method=False, extra=True, node="AsStridedBackward0")
def as_strided_view(x: Any, /, view: Any) -> Any:
    """`view`, an array that looks at the memory of `x`, as a tensor derived from `x`."""
    return view, geometry(x, view)


@as_strided_view.vjp
def _(g, extra):
    return put_add(g, view_places(*extra), (math.prod(extra[0]),)).reshape(extra[0])
