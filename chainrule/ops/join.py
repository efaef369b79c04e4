"""Putting tensors together, and taking them apart.

`cat` and `stack` promote the dtypes of what they join; a 1-d tensor of no elements joins anything,
as it did in the first torch. The parts of a split are views; all but those of `tensor_split`
(slices, each with a node of its own) are outputs of one node and may not be changed in place.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import Duck
from ..errors import NothingGivenError
from .convert import converted
from .create import is_size
from .define import MOVE, Tensor, function, op, scalar_name
from .shape import place, reshape, unsqueeze

# -- together --------------------------------------------------------------------------------------


def alike(arrays: Sequence) -> Sequence:
    """The arrays in the dtype that all of them are promoted to."""
    first = arrays[0].dtype
    if all(a.dtype is first for a in arrays):
        return arrays
    target = dtypes.result_dtype(arrays).numpy
    return [a if a.dtype is target else converted(a, target) for a in arrays]


def takes_part(shape: tuple) -> bool:
    """Whether a tensor of this shape counts in `cat`: 1-d tensors of no elements do not."""
    return shape != (0,)


@op(promote=MOVE, variadic=True, method=False, linear=True, alias="concat concatenate")
def cat(tensors: Any, /, dim: Any = 0) -> Any:
    """The tensors one after the other along `dim`; their other sizes must agree."""
    if not tensors:
        raise NothingGivenError("torch.cat(): expected a non-empty list of Tensors")
    tensors = alike(tensors)
    try:
        return row_major(np.concatenate(tensors, dim))
    except ValueError:
        return _cat_uneven(tensors, dim)


def row_major(x: Any) -> Any:
    """The array in row-major order, which NumPy's joins do not give where all parts lie
    otherwise.
    """
    lies = x.whole() if isinstance(x, Duck) and x.in_memory else x
    return x.copy() if type(lies) is np.ndarray and not lies.flags.c_contiguous else x


def _cat_uneven(tensors: Sequence, dim: int) -> Any:
    """`cat` of arrays that NumPy would not take: without those that do not count; raises torch's
    errors.
    """
    for i, x in enumerate(tensors):
        if not x.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    part = [x for x in tensors if takes_part(x.shape)] or tensors
    first = part[0].shape
    dim = place(dim, len(first))
    for i, x in enumerate(tensors):
        if not takes_part(x.shape):
            continue
        if x.ndim != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and {x.ndim}"
            )
        wrong = next((k for k, n in enumerate(x.shape) if n != first[k] and k != dim), None)
        if wrong is not None:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size "
                f"{first[wrong]} but got size "
                f"{x.shape[wrong]} for tensor number {i} in the list."
            )
    return row_major(np.concatenate(part, dim))


@cat.vjp_all
def _(g, tensors_shape, dim, needs):
    dim = dim % g.ndim
    before, start, out = (slice(None),) * dim, 0, []
    for shape, needed in zip(tensors_shape, needs, strict=True):
        if len(shape) != g.ndim:
            out.append(np.zeros(shape, g.dtype) if needed else None)
            continue
        stop = start + shape[dim]
        out.append(g[(*before, slice(start, stop))] if needed else None)
        start = stop
    return tuple(out)


@op(promote=MOVE, variadic=True, method=False, linear=True)
def stack(tensors: Any, /, dim: Any = 0) -> Any:
    """The tensors, all of one shape, along a new dimension `dim`."""
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = tensors[0].shape
    for i, x in enumerate(tensors):
        if x.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(x.shape)} "
                f"at entry {i}"
            )
    i = place(dim, len(shape) + 1)
    shape = (*shape[:i], 1, *shape[i:])
    return row_major(np.concatenate([x.reshape(shape) for x in alike(tensors)], i))


@stack.vjp_all
def _(g, dim, needs):
    before = (slice(None),) * (dim % g.ndim)
    return tuple([g[(*before, i)] if needed else None for i, needed in enumerate(needs)])


def tensors_of(function: str, tensors: Any) -> list:
    """The tensors given as a list, or one by one."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{function}(): expected Tensor as element {i} in argument 0, but got "
                f"{type(x).__name__}"
            )
    return list(tensors)


def _at_least(name: str, rank: int, raise_rank: Callable) -> Callable:
    def entry(*tensors: Any) -> Any:
        many = len(tensors) != 1 or isinstance(tensors[0], (tuple, list))
        out = tuple(
            [x if x._data.ndim >= rank else raise_rank(x) for x in tensors_of(name, tensors)]
        )
        return out if many else out[0]

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = (
        f"The tensor (or each of several), with dimensions of size 1 added to make at least {rank}."
    )
    return function(entry, method=False)


def _to_3d(x: Any) -> Any:
    ndim = x._data.ndim
    if not ndim:
        return reshape(x, (1, 1, 1))
    return unsqueeze(unsqueeze(x, 0), -1) if ndim == 1 else unsqueeze(x, -1)


atleast_1d = _at_least("atleast_1d", 1, lambda x: reshape(x, (1,)))
atleast_2d = _at_least(
    "atleast_2d", 2, lambda x: unsqueeze(x, 0) if x._data.ndim else reshape(x, (1, 1))
)
atleast_3d = _at_least("atleast_3d", 3, _to_3d)


def _joined(name: str, prepare: Callable, dim: Callable, doc: str, alias: str = "") -> Callable:
    """A function that joins tensors after it has given them the dimensions it needs."""

    def entry(tensors: Any, *, out: Any = None) -> Any:
        if isinstance(tensors, Tensor):
            raise TypeError(
                f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
            )
        parts = tensors_of(name, (tensors,))
        if not parts:
            raise RuntimeError(f"{name} expects a non-empty TensorList")
        parts = [prepare(x) for x in parts]
        return cat(parts, dim(parts[0]._data.ndim), **({} if out is None else {"out": out}))

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = doc
    return function(entry, method=False, alias=alias)


hstack = _joined(
    "hstack",
    atleast_1d,
    lambda ndim: 0 if ndim == 1 else 1,
    "The tensors side by side: along dimension 1, or 0 for 1-d tensors.",
)
vstack = _joined(
    "vstack",
    atleast_2d,
    lambda ndim: 0,
    "The tensors one below the other; 1-d tensors are rows.",
    "row_stack",
)
dstack = _joined(
    "dstack", atleast_3d, lambda ndim: 2, "The tensors one behind the other, along dimension 2."
)
column_stack = _joined(
    "column_stack",
    lambda x: x if x._data.ndim > 1 else reshape(x, (x._data.size, 1)),
    lambda ndim: 1,
    "The tensors side by side; 1-d tensors are columns.",
)


@op(
    promote=MOVE,
    variadic=True,
    method=False,
    linear=True,
    name="block_diag_of",
    namespace="primitive",
    node="BlockDiagBackward0",
)
def blocks(tensors: Any, /) -> Any:
    """Matrices along the diagonal of one, zeros elsewhere; vectors are rows."""
    for i, x in enumerate(tensors):
        if x.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{x.ndim} dimensions"
            )
    tensors = alike(tensors)
    rows = [x.reshape(as_block(x.shape)) for x in tensors]
    width, start, out = sum(r.shape[1] for r in rows), 0, []
    for r in rows:
        height, stop = r.shape[0], start + r.shape[1]
        edges = [np.zeros((height, start), r.dtype), r, np.zeros((height, width - stop), r.dtype)]
        out.append(np.concatenate(edges, 1))
        start = stop
    return np.concatenate(out, 0)


def as_block(shape: tuple) -> tuple:
    """The shape of a block: two dimensions."""
    return (1,) * (2 - len(shape)) + shape


@blocks.vjp_all
def _(g, tensors_shape, needs):
    row = column = 0
    out = []
    for shape, needed in zip(tensors_shape, needs, strict=True):
        m, n = as_block(shape)
        out.append(g[row : row + m, column : column + n].reshape(shape) if needed else None)
        row, column = row + m, column + n
    return tuple(out)


@function(method=False)
def block_diag(*tensors: Any) -> Any:
    """A matrix with the given ones along its diagonal and zeros elsewhere; vectors are rows."""
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            )
    if not tensors:
        from .create import empty

        return empty(1, 0)
    return blocks(tensors)


# -- apart -----------------------------------------------------------------------------------------


def parts(x: Any, lengths: Sequence, dim: int) -> tuple:
    """Views of an array, one after the other along `dim`."""
    before, start, out = (slice(None),) * dim, 0, []
    for n in lengths:
        out.append(x[(*before, slice(start, start + n))])
        start += n
    return tuple(out)


def even(size: int, each: int) -> list:
    """Lengths of the parts of `size`, `each` long but for the last."""
    if not size:
        return [0]
    return [min(each, size - start) for start in range(0, size, each)]


def check_split(x: Any, each: int, dim: int) -> list:
    """The lengths of the parts that `split` makes; raises torch's errors."""
    if not x.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    size = x.shape[place(dim, x.ndim)]
    if each < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={each}")
    if not each and size:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}"
        )
    return even(size, each)


def check_lengths(x: Any, lengths: Sequence, dim: int) -> Sequence:
    """The lengths given to `split_with_sizes`; raises torch's errors."""
    if not x.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    size = x.shape[place(dim, x.ndim)]
    if any(n < 0 for n in lengths):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list(lengths)}"
        )
    if sum(lengths) != size:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size "
            f"at dimension {dim}), "
            f"but got split_sizes={list(lengths)}"
        )
    return lengths


def _joining_rule(g, dim):
    """The rule of every split: the parts' cotangents together again."""
    return np.concatenate(g, dim)


@op(
    promote=MOVE,
    view=True,
    outputs=0,
    method=False,
    namespace="primitive",
    linear=True,
    name="split_evenly",
    node="SplitBackward0",
)
def split_evenly(x: Any, /, split_size: Any, dim: Any = 0) -> Any:
    """Parts of `split_size` along `dim`, the last one smaller if need be."""
    return parts(x, check_split(x, split_size, dim), dim % x.ndim)


@op(promote=MOVE, view=True, outputs=0, linear=True)
def split_with_sizes(x: Any, /, split_sizes: Any, dim: Any = 0) -> Any:
    """Parts of the given sizes along `dim`."""
    return parts(x, check_lengths(x, split_sizes, dim), dim % x.ndim)


@op(promote=MOVE, outputs=0, linear=True)
def unsafe_split(x: Any, /, split_size: Any, dim: Any = 0) -> Any:
    """`split`, whose parts may be changed in place: nothing keeps watch over the memory
    they share.
    """
    return parts(x, check_split(x, split_size, dim), dim % x.ndim)


@op(promote=MOVE, outputs=0, linear=True)
def unsafe_split_with_sizes(x: Any, /, split_sizes: Any, dim: Any = 0) -> Any:
    """`split_with_sizes`, whose parts may be changed in place, unwatched."""
    return parts(x, check_lengths(x, split_sizes, dim), dim % x.ndim)


for _split in (split_evenly, split_with_sizes, unsafe_split, unsafe_split_with_sizes):
    _split.vjp(_joining_rule)


@function(method=False)
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Views of a tensor along `dim`: parts of one size (the last may be smaller), or of the sizes
    listed.
    """
    if is_size(split_size_or_sections):
        return split_evenly(tensor, operator.index(split_size_or_sections), dim)
    sections = split_size_or_sections
    if not isinstance(sections, (tuple, list)):
        raise TypeError(
            "split_with_sizes(): argument 'split_sizes' (position 2) must be tuple of ints, not "
            f"{type(sections).__name__}"
        )
    wrong = next((i for i, n in enumerate(sections) if not is_size(n)), None)
    if wrong is not None:
        raise TypeError(
            "split_with_sizes(): argument 'split_sizes' (position 2) must be tuple of ints, but "
            "found element of type "
            f"{type(sections[wrong]).__name__} at pos {wrong}"
        )
    return split_with_sizes(tensor, tuple([operator.index(n) for n in sections]), dim)


def _split_method(self: Any, split_size: Any, dim: int = 0) -> tuple:
    """Views of the tensor along `dim`: parts of one size (the last may be smaller), or of the sizes
    listed.
    """
    return split(self, split_size, dim)


_split_method.__name__ = "split"
function(_split_method, namespace="Tensor")


def chunk_size(x: Any, chunks: int, dim: int) -> int:
    """How long the chunks are; raises torch's errors."""
    if not x._data.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    return -(-x._data.shape[place(dim, x._data.ndim)] // chunks)


@function
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` views of a tensor along `dim`, all but the last of one size."""
    each = chunk_size(input, chunks, dim)
    return split_evenly(input, each, dim) if each else split_with_sizes(input, (0,) * chunks, dim)


@function
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """`chunk`, whose parts may be changed in place."""
    each = chunk_size(input, chunks, dim)
    return (
        unsafe_split(input, each, dim)
        if each
        else unsafe_split_with_sizes(input, (0,) * chunks, dim)
    )


def cuts_of(size: int, sections: Any) -> list:
    """The places where `tensor_split` cuts: evenly for a number of sections, else where told."""
    if isinstance(sections, Tensor):
        if sections.dtype is not dtypes.int64:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to have dtype of long, but got "
                f"{scalar_name(sections.dtype)}"
            )
        sections = sections.tolist()
    if not isinstance(sections, (tuple, list)):
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        each, longer = divmod(size, sections)
        return [i * each + min(i, longer) for i in range(1, sections)]
    return [operator.index(i) for i in sections]


@function
def tensor_split(
    input: Any,
    indices_or_sections: Any = None,
    dim: int = 0,
    *,
    indices: Any = None,
    sections: Any = None,
    tensor_indices_or_sections: Any = None,
) -> tuple:
    """Views along `dim`: a number of them, as even as can be, or cut at the given places."""
    x = input._data
    if not x.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    given = [
        a
        for a in (indices_or_sections, indices, sections, tensor_indices_or_sections)
        if a is not None
    ]
    if len(given) != 1:
        raise TypeError(
            f"tensor_split() takes one of indices and sections, but {len(given)} were given"
        )
    i = place(dim, x.ndim)
    bounds = [0, *cuts_of(x.shape[i], given[0]), None]
    before = (slice(None),) * i
    return tuple([input[(*before, slice(a, b))] for a, b in itertools.pairwise(bounds)])


def _split_along(name: str, ndim: int, dim: Callable, doc: str) -> Callable:
    def entry(
        input: Any, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
    ) -> tuple:
        rank = input._data.ndim
        if rank < ndim:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {ndim} dimension, but got a tensor "
                f"with {rank} dimensions!"
            )
        where = next((a for a in (indices_or_sections, indices, sections) if a is not None), None)
        axis = dim(rank)
        if isinstance(where, int) and (where <= 0 or input._data.shape[axis] % where):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the "
                "dimension "
                f"{input._data.shape[axis]} is not divisible by the split_size {where}!"
            )
        return tensor_split(input, where, axis)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = doc
    return function(entry)


hsplit = _split_along(
    "hsplit",
    1,
    lambda ndim: 0 if ndim == 1 else 1,
    "Views cut along dimension 1 (0 for 1-d tensors).",
)
vsplit = _split_along("vsplit", 2, lambda ndim: 0, "Views cut along dimension 0.")
dsplit = _split_along("dsplit", 3, lambda ndim: 2, "Views cut along dimension 2.")
