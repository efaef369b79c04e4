"""The same elements repeated, reversed, shifted or combined: copies, whose rules go back the same
way.
"""

from __future__ import annotations

import itertools
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.sums import add_up
from .convert import arranged, contiguous_format, copied
from .create import bad_allocation, is_size
from .define import MOVE, Tensor, function, op, scalar_name, wrap
from .examples import by_example, vmapped
from .join import cat, stack, tensors_of
from .shape import expand, flatten, place, reshape, sizes, unsqueeze

# -- repeated --------------------------------------------------------------------------------------


def blocked(shape: Sequence, repeats: Sequence) -> tuple[list, list]:
    """A shape with a dimension of size 1 before each, and the same with those of the repeats'
    sizes.
    """
    shape = (*(1,) * (len(repeats) - len(shape)), *shape)
    single = [n for size in shape for n in (1, size)]
    return single, [n for k, size in zip(repeats, shape, strict=True) for n in (k, size)]


@op(promote=MOVE, star=True, linear=True, method=True, namespace="Tensor")
def repeat(x: Any, /, repeats: Any) -> Any:
    """The tensor repeated `repeats[i]` times along each dimension; new dimensions come in front."""
    repeats = sizes(repeats, "repeats")
    if len(repeats) < x.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    single, repeated = blocked(x.shape, repeats)
    target = tuple([k * n for k, n in zip(repeated[::2], repeated[1::2], strict=True)])
    if any(n < 0 for n in repeats):
        raise bad_allocation("repeat", target, x.dtype, ValueError())
    return np.broadcast_to(x.reshape(tuple(single)), tuple(repeated)).copy().reshape(target)


@repeat.vjp
def _(g, repeats, x_shape):
    _, repeated = blocked(x_shape, sizes(repeats))
    summed = (
        add_up(g.reshape(tuple(repeated)), tuple(range(0, len(repeated), 2))) if repeated else g
    )
    return summed.reshape(x_shape)


@function
def tile(input: Any, *repeats: Any, dims: Any = None) -> Any:
    """The tensor repeated along each dimension; missing repeats in front count as 1."""
    repeats = sizes(
        dims if dims is not None else repeats[0] if len(repeats) == 1 else repeats, "dims"
    )
    return repeat(input, (1,) * (input._data.ndim - len(repeats)) + repeats)


@function
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each element (or slice along `dim`) repeated: all as often, or as the tensor `repeats` says.

    `repeat_interleave(repeats)` alone gives each place as often as its number says.
    """
    if level := vmapped(input if repeats is None else repeats):
        return by_example(repeat_interleave, level, input, repeats, dim, output_size=output_size)
    if repeats is None:
        return wrap(np.repeat(np.arange(input._data.size), counts(input, output_size)))
    if not is_size(repeats) and not isinstance(repeats, Tensor):
        raise TypeError(
            "repeat_interleave() received an invalid combination of arguments: repeats must be an "
            "int or a Tensor, "
            f"not {type(repeats).__name__}"
        )
    if dim is None:
        input, dim = flatten(input), 0
    dim = place(dim, input._data.ndim)
    if isinstance(repeats, Tensor):
        return _each_repeated(input, repeats, dim, output_size)
    if not input._data.ndim:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got 1)")
    return _all_repeated(input, operator.index(repeats), dim, output_size)


def _all_repeated(x: Any, times: int, dim: int, output_size: int | None) -> Any:
    if times < 0:
        raise RuntimeError("Repeats must be non-negative")
    shape = x._data.shape
    if output_size is not None and output_size != shape[dim] * times:
        raise RuntimeError(
            f"repeat_interleave: Invalid output_size, expected {shape[dim] * times} but got "
            f"{output_size}"
        )
    repeated = expand(unsqueeze(x, dim + 1), (*shape[: dim + 1], times, *shape[dim + 1 :]))
    return flatten(copied(repeated, contiguous_format), dim, dim + 1)


def _each_repeated(x: Any, repeats: Any, dim: int, output_size: int | None) -> Any:
    size = x._data.shape[dim] if x._data.ndim else 1
    times = counts(repeats, None)
    if times.size == 1:
        times = np.broadcast_to(times.reshape(-1), (size,))
    check_total(times, output_size)
    if len(times) != size:
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{len(times)} and "
            f"input.size({dim}) = {size}"
        )
    return x.index_select(dim, wrap(np.repeat(np.arange(size), times)))


def counts(repeats: Any, output_size: int | None) -> np.ndarray:
    """The numbers of repeats as an array; raises torch's errors."""
    times = np.asarray(repeats._data)
    if times.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if times.dtype not in (dtypes.int64.numpy, dtypes.int32.numpy):
        raise NotImplementedError(
            f"\"repeat_interleave_cpu\" not implemented for '{scalar_name(repeats.dtype)}'"
        )
    if (times < 0).any():
        raise RuntimeError("repeats can not be negative")
    check_total(times, output_size)
    return times


def check_total(times: np.ndarray, output_size: int | None) -> None:
    """Raise if the repeats do not add up to the size promised."""
    if output_size is not None and int(times.sum()) != output_size:
        raise RuntimeError("allocated size does not match required size")


# -- reversed and shifted --------------------------------------------------------------------------


def distinct(dims: Any, ndim: int) -> list:
    """Dimensions counted from the front; raises if one occurs twice."""
    found = [place(d, ndim) for d in dims]
    twice = next((d for d in found if found.count(d) > 1), None)
    if twice is not None:
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return found


def backwards(x: Any, dims: Sequence) -> Any:
    """A view of an array with the elements along `dims` in reverse order."""
    return x[tuple([slice(None, None, -1) if i in dims else slice(None) for i in range(x.ndim)])]


@op(promote=MOVE, star=True, linear=True)
def flip(x: Any, /, dims: Any) -> Any:
    """The elements along `dims` in reverse order."""
    return arranged(backwards(x, distinct(sizes(dims, "dims"), x.ndim)), None)


@flip.vjp
def _(g, dims):
    return arranged(backwards(g, [d % g.ndim for d in sizes(dims)]), None) if g.ndim else g


@function
def fliplr(input: Any) -> Any:
    """The columns (dimension 1) in reverse order."""
    if input._data.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


@function
def flipud(input: Any) -> Any:
    """The rows (dimension 0) in reverse order."""
    if input._data.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


def rolled(x: Any, shifts: Sequence, dims: Sequence) -> Any:
    """Elements moved along `dims`, those pushed out at one end put in at the other."""
    for shift, dim in zip(shifts, dims, strict=True):
        n = x.shape[dim]
        cut = -shift % n if n else 0
        if cut:
            before = (slice(None),) * dim
            x = np.concatenate([x[(*before, slice(cut, None))], x[(*before, slice(cut))]], dim)
    return x


def rolls(shifts: Any, dims: Any, ndim: int) -> tuple[tuple, list]:
    """Shifts and dimensions as sequences of one length; raises torch's errors."""
    shifts, dims = sizes(shifts, "shifts"), sizes(dims, "dims")
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
        )
    if not ndim:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    return shifts, [place(d, ndim) for d in dims]


@op(promote=MOVE, linear=True)
def roll(x: Any, /, shifts: Any, dims: Any = ()) -> Any:
    """The elements moved by `shifts` along `dims` (of the flattened tensor if none are given),
    wrapping around.
    """
    if dims == () and (not isinstance(shifts, (tuple, list)) or len(shifts) == 1):
        return rolled(x.reshape(-1), sizes(shifts), (0,)).reshape(x.shape).copy()
    return rolled(x, *rolls(shifts, dims, x.ndim)).copy()


@roll.vjp
def _(g, shifts, dims):
    shifts = [-s for s in sizes(shifts)]
    if dims == ():
        return rolled(g.reshape(-1), shifts, (0,)).reshape(g.shape)
    return rolled(g, shifts, [d % g.ndim for d in sizes(dims)])


def turned(x: Any, k: int, dims: Sequence) -> Any:
    """A view of an array turned k times by 90 degrees from dims[0] towards dims[1]."""
    a, b = (d % x.ndim for d in dims)
    if k % 4 == 2:
        return backwards(x, (a, b))
    if k % 4 == 1:
        return backwards(x, (b,)).swapaxes(a, b)
    return backwards(x.swapaxes(a, b), (b,)) if k % 4 else x


@op(promote=MOVE, linear=True)
def rot90(x: Any, /, k: Any = 1, dims: Any = (0, 1)) -> Any:
    """The tensor turned k times by 90 degrees in the plane of two dimensions, from the first
    towards the second.
    """
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if x.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {x.ndim}")
    if place(dims[0], x.ndim) == place(dims[1], x.ndim):
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    return arranged(turned(x, k, dims), None)


@rot90.vjp
def _(g, k, dims):
    return arranged(turned(g, -k, dims), None)


# -- grids and combinations ------------------------------------------------------------------------


@function(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple:
    """The coordinates of a grid: tensor i repeated along all dimensions but i; 'xy' exchanges the
    first two dimensions.
    """
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument.",
            UserWarning,
            stacklevel=2,
        )
    axes = tensors_of("meshgrid", tensors)
    if not axes:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in axes:
        if x._data.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x}"
            )
    if any(x.dtype is not axes[0].dtype for x in axes):
        raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swapped = indexing == "xy" and len(axes) > 1
    if swapped:
        axes[:2] = axes[1::-1]
    shape = tuple([x._data.size for x in axes])
    grids = [
        expand(reshape(x, (*(1,) * i, -1, *(1,) * (len(axes) - i - 1))), shape)
        for i, x in enumerate(axes)
    ]
    if swapped:
        grids[:2] = grids[1::-1]
    return tuple(grids)


def _check_vector(x: Any) -> None:
    if x._data.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(x._data.shape)}")


@function(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All ways to pick one element of each vector, one way a row."""
    vectors = tensors_of("cartesian_prod", tensors)
    for x in vectors:
        _check_vector(x)
    if len(vectors) == 1:
        return vectors[0]
    return stack([flatten(g) for g in meshgrid(vectors, indexing="ij")], 1)


@function
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All ways to pick r elements of a vector regardless of order, one way a row."""
    _check_vector(input)
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return wrap(np.empty(0, input._data.dtype))
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(pick(range(input._data.size), r)), np.int64).reshape(-1, r)
    return stack([input.index_select(0, wrap(column)) for column in places.T], 1)


@function(method=False)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector's elements as columns, from the highest to 0 (or up, if
    increasing).
    """
    if x._data.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = x._data.size if N is None else N
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    dtype = x._data.dtype if x.dtype.category >= dtypes.FLOATING else dtypes.I64
    powers = wrap(np.ones((x._data.size, min(count, 1)), dtype))
    if count > 1:
        powers = cat([powers, expand(unsqueeze(x, -1), (-1, count - 1)).cumprod(-1)], -1)
    return powers if increasing else flip(powers, (-1,))
