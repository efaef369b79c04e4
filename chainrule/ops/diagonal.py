"""Diagonals and triangles of matrices.

A diagonal is the index `[..., r, c]` of matrices whose two dimensions have been moved to the end:
reading it is a view, writing it is `put`, and embedding a vector there is `put_add` into zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..arrays.waist import diagonal_of
from .define import MOVE, OPS, function, op, storage_array, write_out
from .define import wrap as as_tensor
from .index import SLICE, dim_of, look, tensor_data
from .places import put, put_add
from .write import FILL_INTO, fitting, in_place


def on_diagonal(shape: tuple, offset: int) -> tuple:
    """The NumPy index of the diagonal of matrices in the last two dimensions of `shape`."""
    rows, columns = shape[-2:]
    n = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    steps = np.arange(n)
    return ..., steps - min(offset, 0), steps + max(offset, 0)


def last_two(ndim: int, dim1: int, dim2: int) -> tuple[tuple, tuple]:
    """The order of dimensions that puts `dim1` and `dim2` last, and the order that undoes it."""
    dim1, dim2 = dim_of(dim1, ndim), dim_of(dim2, ndim)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    order = (*[k for k in range(ndim) if k not in (dim1, dim2)], dim1, dim2)
    return order, tuple([order.index(k) for k in range(ndim)])


def _diagonal_rule(g: Any, x_shape: tuple, offset: int, dim1: int, dim2: int) -> Any:
    order, back = last_two(len(x_shape), dim1, dim2)
    shape = tuple([x_shape[k] for k in order])
    return put_add(g, on_diagonal(shape, offset), shape).transpose(back)


def _diagonal_kernel(x: Any, /, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The elements at (i, i + offset) over two dimensions, as a view with a last dimension for
    them.
    """
    order, _ = last_two(x.ndim, dim1, dim2)
    if isinstance(x, Duck) and x.ground:
        return x.call("diagonal", (x, offset, dim1, dim2), {})
    if not isinstance(x, np.ndarray):
        moved = x.transpose(order)
        return moved[on_diagonal(moved.shape, offset)]
    return diagonal_of(x, offset, dim1, dim2)


diagonal = op(_diagonal_kernel, promote=MOVE, view=True, linear=True, name="diagonal")
diagonal.vjp(_diagonal_rule)
diagonal_copy = op(
    lambda x, /, offset=0, dim1=0, dim2=1: _diagonal_kernel(x, offset, dim1, dim2).copy(),
    promote=MOVE,
    linear=True,
    name="diagonal_copy",
    node="DiagonalBackward0_copy",
    method=False,
    doc="The elements at (i, i + offset) over two dimensions, in a last dimension of their own.",
)
diagonal_copy.vjp(_diagonal_rule)


def linalg_diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The elements at (i, i + offset) over two dimensions (the last two), as a view with a last
    dimension for them.
    """
    return diagonal(A, offset, dim1, dim2)


linalg_diagonal.__name__ = "diagonal"
function(linalg_diagonal, method=False, namespace="linalg")


@op(promote=MOVE, linear=True)
def diag_embed(x: Any, /, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices, in two new dimensions, with the last dimension of the input on a diagonal and zeros
    elsewhere.
    """
    _, back = last_two(x.ndim + 1, dim1, dim2)
    n = x.shape[-1] + abs(offset)
    return put_add(x, on_diagonal((n, n), offset), (*x.shape[:-1], n, n)).transpose(back)


@diag_embed.vjp
def _(g, offset, dim1, dim2):
    order, _ = last_two(g.ndim, dim1, dim2)
    n = g.shape[order[-1]]
    return g.transpose(order)[on_diagonal((n, n), offset)]


@function
def diag(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """The square matrix with a vector on a diagonal; or the diagonal of a matrix, copied."""
    ndim = tensor_data("diag", input).ndim
    if ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    return write_out(
        out, diag_embed(input, diagonal) if ndim == 1 else diagonal_copy(input, diagonal), input
    )


@function
def diagflat(input: Any, offset: int = 0) -> Any:
    """The square matrix with the flattened input on a diagonal."""
    return diag_embed(input.reshape(-1), offset)


@op(promote=MOVE)
def diagonal_scatter(x: Any, y: Any, /, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """`input` with `src` on a diagonal."""
    order, back = last_two(x.ndim, dim1, dim2)
    moved = x.transpose(order)
    place = on_diagonal(moved.shape, offset)
    shape = (*moved.shape[:-2], len(place[1]))
    if y.shape != shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(y.shape)}, "
            f"slice size = {list(shape)}"
        )
    return put(moved, y, place).transpose(back)


@diagonal_scatter.vjp
def _(g, x_shape, offset, dim1, dim2):
    order, back = last_two(len(x_shape), dim1, dim2)
    moved = g.transpose(order)
    return put(moved, np.zeros((), g.dtype), on_diagonal(moved.shape, offset)).transpose(back)


@diagonal_scatter.vjp
def _(g, x_shape, offset, dim1, dim2):
    order, _ = last_two(len(x_shape), dim1, dim2)
    moved = g.transpose(order)
    return moved[on_diagonal(moved.shape, offset)]


# -- triangles -----------------------------------------------------------------------------------
# --------------------


def _triangle(name: str, keep: Any, doc: str) -> Any:
    """tril or triu: the elements where `keep(column - row, diagonal)`, zeros elsewhere."""

    def kernel(x: Any, /, diagonal: int = 0) -> Any:
        if x.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        rows, columns = x.shape[-2:]
        kept = keep(np.arange(columns) - np.arange(rows).reshape(-1, 1), diagonal)
        return np.where(kept, x, x.dtype.type(0))

    entry = op(kernel, promote=MOVE, name=name, inplace=True, linear=True, doc=doc, rows=True)
    entry.vjp(lambda g, diagonal: kernel(g, diagonal))
    return entry


tril = _triangle("tril", np.less_equal, "The matrices below (and on) a diagonal, zeros above it.")
triu = _triangle(
    "triu", np.greater_equal, "The matrices above (and on) a diagonal, zeros below it."
)


def _main_diagonals(shape: tuple, wrapped: bool) -> np.ndarray:
    """Where `fill_diagonal_` writes."""
    mask = np.zeros(shape, bool)
    if len(shape) > 2:
        mask[(np.arange(shape[0]),) * len(shape)] = True
        return mask
    for top in range(0, shape[0] if wrapped else 1, shape[1] + 1):
        places = np.arange(min(shape[0] - top, shape[1]))
        mask[top + places, places] = True
    return mask


@function(namespace="primitive")
def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
    """Write a number on the main diagonal, in place; `wrap` starts a new one below the square part
    of a tall matrix.
    """
    shape = tensor_data("fill_diagonal_", self).shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    number = fitting(fill_value, self._data.dtype)
    if isinstance(self._data, Duck):
        return self.masked_fill_(as_tensor(_main_diagonals(shape, wrap)), fill_value)
    if len(shape) > 2:
        data = storage_array(self)
        line = np.lib.stride_tricks.as_strided(data, (shape[0],), (sum(data.strides),))
        in_place(FILL_INTO, OPS["as_strided_view"].entry(self, line), number)
        return self
    for top in range(0, shape[0] if wrap else 1, shape[1] + 1):
        in_place(FILL_INTO, diagonal(look(SLICE, self, slice(top, None)) if top else self), number)
    return self
