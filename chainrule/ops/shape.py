"""Operators that look at the same elements with other sizes, strides or offset; where torch shares
memory, so do these.

Every view here is one NumPy view, and its rule is the way back. `reshape` is a view where the
strides allow it and a copy elsewhere, as in torch: the copy leaves two nodes (clone, unsafe view).
The in-place variants (`squeeze_`, `t_` ...) change how the tensor itself looks at its memory, and
give it the node of the view.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import Duck, NoRule, has_tangent, is_ground
from ..arrays.waist import has_strides, restride
from ..errors import bad_dim, not_a_tensor
from ..tape import state, storage_of
from .convert import arranged, contiguous_format, copied, in_format, preserve_format
from .create import allocate, bad_allocation, is_size, sizes_of
from .define import (
    MOVE,
    OPS,
    Op,
    Tensor,
    about_to_be_written,
    be_view,
    function,
    op,
    scalar_name,
    storage_array,
    wrap,
)
from .inplace import check_inplace, geometry, seen_by, view_places
from .places import put_add


def place(dim: Any, ndim: int) -> int:
    """A dimension counted from the front; a 0-d array has dimensions 0 and -1, as in torch."""
    n = ndim or 1
    if not -n <= dim < n:
        raise bad_dim(dim, ndim)
    return dim % n


def sizes(size: Any, name: str = "size") -> tuple:
    """Sizes given as a tuple, list or one integer."""
    if type(size) in (tuple, list) or isinstance(size, (tuple, list)):
        return tuple(size)
    if is_size(size):
        return (operator.index(size),)
    raise TypeError(f"argument '{name}' must be tuple of ints, not {type(size).__name__}")


# -- shapes ----------------------------------------------------------------------------------------


def bad_shape(x: Any, shape: Sequence) -> RuntimeError:
    """torch's error for a shape that does not fit."""
    shape = [int(n) for n in shape]
    negative = [i for i, n in enumerate(shape) if n < 0]
    if any(shape[i] < -1 for i in negative):
        i = next(i for i in negative if shape[i] < -1)
        return RuntimeError(f"invalid shape dimension {shape[i]} at index {i} of shape {shape}")
    if len(negative) > 1:
        return RuntimeError("only one dimension can be inferred")
    if negative and not x.size and 0 in shape:
        return RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {shape} because the unspecified "
            "dimension size -1 "
            "can be any value and is ambiguous"
        )
    return RuntimeError(f"shape '{shape}' is invalid for input of size {x.size}")


@op(
    promote=MOVE,
    view=True,
    method=False,
    namespace="primitive",
    linear=True,
    name="reshape",
    node="ViewBackward0",
)
def looked_at(x: Any, /, shape: Any) -> Any:
    """The same elements in another shape."""
    if type(shape) not in (tuple, list):
        shape = sizes(shape, "shape")
    try:
        y = x.reshape(shape)
    except ValueError:
        raise bad_shape(x, shape) from None
    if y.shape != shape and any(n < -1 for n in shape):
        raise bad_shape(x, shape)
    return y


@looked_at.vjp
def _(g, x_shape):
    return g.reshape(x_shape)


looked_at_in_strides = op(
    looked_at.op.kernel,
    promote=MOVE,
    view=True,
    method=False,
    namespace="primitive",
    linear=True,
    name="reshape_alias",
)  # what torch calls it where the tensor is not contiguous
looked_at_in_strides.vjp(lambda g, x_shape: g.reshape(x_shape))


@op(promote=MOVE, method=False, namespace="primitive", linear=True)
def unsafe_view(x: Any, /, shape: Any) -> Any:
    """The elements of a copy in another shape: memory is shared with a tensor that nobody
    else has.
    """
    return looked_at.op.kernel(x, shape)


@unsafe_view.vjp
def _(g, x_shape):
    return g.reshape(x_shape)


def strides_allow(x: np.ndarray, shape: Sequence) -> bool:
    """Whether an array can be looked at in another shape of as many elements without copying.

    Dimensions that follow each other without gaps form a chunk; every chunk must be made of whole
    new dimensions.
    """
    if x.flags.c_contiguous or not x.size:
        return True
    old = [(n, s) for n, s in zip(x.shape, x.strides, strict=True) if n != 1]
    chunks: list[int] = []
    for i, (n, s) in enumerate(old):
        if i and old[i - 1][1] == n * s:
            chunks[-1] *= n
        else:
            chunks.append(n)
    rest = iter(shape)
    for chunk in chunks:
        count = 1
        while count < chunk:
            count *= next(rest)
        if count != chunk:
            return False
    return True


def shape_of(x: Any, shape: Any) -> tuple:
    """The shape asked for, with -1 filled in; raises torch's error if it does not fit."""
    shape = tuple([operator.index(n) for n in sizes(shape, "shape")])
    known = math.prod(n for n in shape if n >= 0)
    lacking = [i for i, n in enumerate(shape) if n < 0]
    if len(lacking) == 1 and known and shape[lacking[0]] == -1:
        shape = tuple([x.size // known if n < 0 else n for n in shape])
        known *= shape[lacking[0]]
        lacking = []
    if lacking or known != x.size:
        raise bad_shape(x, shape)
    return shape


@function
def reshape(input: Any, *shape: Any, **named: Any) -> Any:
    """The same elements in another shape, one size of which may be -1 (found out); a view where the
    strides allow it.
    """
    if named or not isinstance(input, Tensor) or not shape:
        input, shape = _named_shape("reshape", input, shape, named)
    if len(shape) == 1 and type(shape[0]) is not int:
        shape = sizes(shape[0], "shape")
    data = input._data
    if type(data) is not np.ndarray or data.flags.c_contiguous:
        return looked_at(input, shape)
    if strides_allow(data, shape_of(data, shape)):
        return looked_at_in_strides(input, shape)
    return unsafe_view(copied(input, contiguous_format), shape)


def _named_shape(function: str, input: Any, shape: tuple, named: dict) -> tuple:
    name = "shape" if function == "reshape" else "size"
    extra = [k for k in named if k != name]
    if extra or (shape and named):
        raise TypeError(
            f"{function}() got an unexpected keyword argument '{(extra or list(named))[0]}'"
        )
    if not isinstance(input, Tensor):
        raise not_a_tensor(function, "input", 1, input)
    if not shape and not named:
        raise TypeError(f'{function}() missing 1 required positional arguments: "{name}"')
    return input, (tuple(named[name]),) if named else shape


@function(namespace="Tensor")
def view(self: Any, *shape: Any, dtype: Any = None, size: Any = None) -> Any:
    """The same memory in another shape, or with its bytes read as another dtype.

    Raises RuntimeError if the elements do not lie in memory so that it can be done without copying.
    """
    if size is not None:
        shape = (size,)
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], (dtypes.dtype, type))):
        return view_as_dtype(self, shape[0] if dtype is None else dtype)
    if not shape:
        raise TypeError(
            "view() received an invalid combination of arguments - got (), but expected a size or "
            "a dtype"
        )
    if len(shape) == 1 and type(shape[0]) is not int:
        shape = sizes(shape[0])
    data = self._data
    if (
        type(data) is np.ndarray
        and not data.flags.c_contiguous
        and not strides_allow(data, shape_of(data, shape))
    ):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across "
            "two contiguous subspaces). Use .reshape(...) instead."
        )
    return looked_at(self, shape)


@op(promote=MOVE, view=True, method=False, namespace="primitive", name="view_dtype")
def read_as(x: Any, /, dtype: Any) -> Any:
    """The same bytes read as another NumPy dtype."""
    return x.view(dtype)


def view_as_dtype(x: Any, dtype: Any) -> Any:
    """The same memory with its bytes read as another dtype; the last dimension shrinks or grows if
    the sizes differ.
    """
    d, data = dtypes.PYTHON_TYPES.get(dtype, dtype), x._data
    source = dtypes.of(data)
    if d is source:
        return looked_at(x, data.shape)
    step, size = (
        (data.strides[-1] if data.ndim and type(data) is np.ndarray else source.itemsize),
        data.shape[-1] if data.ndim else 1,
    )
    names = f"to view {scalar_name(source)} as {scalar_name(d)} (different element sizes)"
    if d.itemsize != source.itemsize:
        if not data.ndim:
            raise RuntimeError(f"self.dim() cannot be 0 {names}")
        ratio = d.itemsize // source.itemsize
        if step != source.itemsize and size > 1 and data.size:
            raise RuntimeError(
                f"self.stride(-1) must be 1 {names}, but got {step // source.itemsize}"
            )
        if ratio > 1 and size % ratio:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {ratio} {names}, but got {size}"
            )
        if ratio > 1 and any(s % d.itemsize for s in storage_array(x).strides[:-1]):
            raise RuntimeError(f"self.stride() must be divisible by {ratio} {names}")
    t = read_as(x, d.numpy)
    if d.category < dtypes.FLOATING:
        t._base = (
            None  # no gradient can flow, so to torch it is a tensor of its own that shares memory
        )
    return t


@function(namespace="Tensor")
def view_as(self: Any, other: Any) -> Any:
    """`self.view(other.size())`."""
    if not isinstance(other, Tensor):
        raise not_a_tensor("view_as", "other", 1, other)
    return view(self, other._data.shape)


@function(namespace="Tensor")
def reshape_as(self: Any, other: Any) -> Any:
    """`self.reshape(other.size())`."""
    if not isinstance(other, Tensor):
        raise not_a_tensor("reshape_as", "other", 1, other)
    return reshape(self, other._data.shape)


@function
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions start_dim to end_dim made one."""
    shape = input._data.shape
    first, last = place(start_dim, len(shape)), place(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last and shape:
        return input
    return reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@function
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """Dimension `dim` made several of the given sizes, one of which may be -1."""
    if not isinstance(sizes, (tuple, list)):
        raise TypeError(
            "unflatten(): argument 'sizes' (position 2) must be tuple of ints, not "
            f"{type(sizes).__name__}"
        )
    shape = input._data.shape
    dim = place(dim, len(shape))
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = math.prod(n for n in sizes if n != -1)
    fits = shape[dim] % known == 0 if -1 in sizes and known else known == shape[dim]
    if list(sizes).count(-1) > 1:
        raise RuntimeError("unflatten got an unexpected error: only one dimension can be inferred")
    if not fits:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} "
            f"({shape[dim]}) in "
            "the input tensor"
        )
    if -1 in sizes:
        sizes = [shape[dim] // max(known, 1) if n == -1 else n for n in sizes]
    return view(input, (*shape[:dim], *sizes, *shape[dim + 1 :]))


@function
def ravel(input: Any) -> Any:
    """All elements in one dimension, in row-major order."""
    return looked_at(
        input if in_format(input._data, contiguous_format) else copied(input, contiguous_format),
        (-1,),
    )


# -- sizes repeated without copying ----------------------------------------------------------------


def expanded_shape(shape: Sequence, target: Sequence) -> tuple:
    """The sizes `expand` gives, -1 filled in; raises torch's error if they do not fit."""
    lead, target = len(target) - len(shape), tuple(target)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.Tensor{{{list(shape)}}}, size={list(target)}): the number of sizes "
            "provided "
            f"({len(target)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(shape)})"
        )
    out = list(target)
    for i, n in enumerate(target):
        if i < lead:
            if not is_size(n):
                raise TypeError(
                    "expand(): argument 'size' must be tuple of ints, but found "
                    f"{type(n).__name__} at pos {i}"
                )
            if n < 0:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                    f"non-existing dimension {i}"
                )
        elif n == -1:
            out[i] = shape[i - lead]
        elif shape[i - lead] not in (1, n) or n < 0:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size "
                f"({shape[i - lead]}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(target)}.  Tensor sizes: "
                f"{list(shape)}"
            )
    return tuple(out)


@op(promote=MOVE, star=True, view=True, linear=True, method=True, namespace="Tensor")
def expand(x: Any, /, size: Any) -> Any:
    """Dimensions of size 1 (and new ones in front) repeated without copying; -1 keeps a size."""
    if type(x) is not np.ndarray:
        full = expanded_shape(x.shape, sizes(size))
        lead = len(full) - x.ndim
        if full == (1,) * lead + x.shape:
            return x[(None,) * lead + (...,)]
        return np.broadcast_to(x, full)
    shape = list(sizes(size))
    lead = len(shape) - x.ndim
    strides = [0] * lead
    if lead < 0 or (lead and min(shape[:lead]) < 0):
        expanded_shape(x.shape, shape)
    for i, (n, step) in enumerate(zip(x.shape, x.strides, strict=True), lead):
        if shape[i] == n or shape[i] == -1:
            shape[i] = n
            strides.append(step)
        elif n == 1 and shape[i] >= 0:
            strides.append(0)
        else:
            expanded_shape(x.shape, shape)
    return restride(x, shape, strides)


@expand.vjp
def _(g):
    return g


@function
def broadcast_to(input: Any, size: Any) -> Any:
    """The tensor expanded to a size."""
    return expand(input, sizes(size))


@function(namespace="Tensor")
def expand_as(self: Any, other: Any) -> Any:
    """`self.expand(other.size())`."""
    if not isinstance(other, Tensor):
        raise not_a_tensor("expand_as", "other", 1, other)
    return expand(self, other._data.shape)


@function(method=False)
def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes broadcast to."""
    from ..tensor import Size

    shapes = tuple([(s,) if isinstance(s, int) else tuple(s) for s in shapes])
    out = [1] * max(map(len, shapes), default=0)
    for k, shape in enumerate(shapes):
        for i in range(-1, -1 - len(shape), -1):
            n = shape[i]
            if n < 0:
                raise ValueError("Attempting to broadcast a dimension with negative length!")
            if n not in (1, out[i]):
                if out[i] != 1:
                    raise RuntimeError(
                        f"Attempting to broadcast a dimension of length {n} at {i}! Mismatching "
                        "argument at index "
                        f"{k} had {shape}; but expected shape should be broadcastable to {out}"
                    )
                out[i] = n
    return Size(out)


@function(method=False)
def broadcast_tensors(*tensors: Any) -> tuple:
    """The tensors expanded to their common shape."""
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}"
            )
    shape = common_shape([t._data.shape for t in tensors])
    return tuple([t if t._data.shape == shape else expand(t, shape) for t in tensors])


def common_shape(shapes: Sequence) -> tuple:
    """The shape these shapes broadcast to; raises torch's error for two that do not."""
    from .define import broadcast_error

    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        first = np.broadcast_shapes(*shapes[:1])
        for shape in shapes[1:]:
            error = broadcast_error((first, shape))
            if error is not None:
                raise error from None
            first = np.broadcast_shapes(first, shape)
        raise


# -- the order of dimensions -----------------------------------------------------------------------


@op(promote=MOVE, view=True, linear=True)
def transpose(x: Any, /, dim0: Any, dim1: Any) -> Any:
    """Two dimensions exchanged."""
    if not x.ndim:
        place(dim0, 0), place(dim1, 0)
        return x.reshape(())
    return x.swapaxes(dim0, dim1)


@transpose.vjp
def _(g, dim0, dim1):
    return g.swapaxes(dim0, dim1) if g.ndim else g


@function
def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Two dimensions exchanged (`transpose`)."""
    return transpose(input, axis0, axis1)


@function
def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged (`transpose`)."""
    return transpose(input, dim0, dim1)


@op(promote=MOVE, view=True, linear=True)
def t(x: Any, /) -> Any:
    """The transpose of a matrix; a tensor of one dimension or none as it is."""
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    return x.reshape(x.shape) if x.ndim < 2 else x.T


@t.vjp
def _(g):
    return g.T


def order(dims: Any, ndim: int) -> list:
    """An order of all dimensions, counted from the front."""
    if len(dims) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            "length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = "
            f"{len(dims)}"
        )
    found = [place(d, ndim) for d in dims]
    if len(set(found)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return found


@op(promote=MOVE, star=True, view=True, linear=True)
def permute(x: Any, /, dims: Any) -> Any:
    """The dimensions in another order."""
    try:
        return x.transpose(dims)
    except ValueError:
        return x.transpose(order(dims, x.ndim))


@permute.vjp
def _(g, dims):
    dims = [d % g.ndim for d in dims]
    return g.transpose([dims.index(i) for i in range(g.ndim)])


@function(alias="moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """The dimensions `source` moved to the places `destination`; the others keep their order."""
    ndim = input._data.ndim
    if isinstance(source, int) is not isinstance(destination, int):
        raise TypeError(
            "movedim() received an invalid combination of arguments - got "
            f"({type(source).__name__}, {type(destination).__name__})"
        )
    ends = [sizes(source), sizes(destination)]
    if len(ends[0]) != len(ends[1]):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({list(ends[0])} dims) should contain the same number of dims as destination "
            f"({list(ends[1])} dims)"
        )
    places = [[place(d, ndim) for d in dims] for dims in ends]
    for name, dims, given in zip(("source", "destination"), places, ends, strict=True):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(given)})")
    if not ndim:
        return permute(input, ())
    rest = iter([d for d in range(ndim) if d not in places[0]])
    goes = dict(zip(places[1], places[0], strict=True))
    return permute(input, tuple([goes[i] if i in goes else next(rest) for i in range(ndim)]))


def _deprecated_on_scalars(name: str, instead: str) -> None:
    warnings.warn(f"{name} is deprecated on 0-D tensors. {instead}", UserWarning, stacklevel=3)


def _T(self: Any) -> Any:
    """The dimensions in reverse order."""
    ndim = self._data.ndim
    if ndim != 2:
        if not ndim:
            _deprecated_on_scalars("Tensor.T", "This function is the identity in these cases.")
        else:
            warnings.warn(
                "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
                "deprecated and it will "
                "throw an error in a future release. Consider `x.mT` to transpose batches of "
                "matrices or "
                "`x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a "
                "tensor.",
                UserWarning,
                stacklevel=2,
            )
        return permute(self, tuple(range(ndim))[::-1])
    return permute(self, (1, 0))


def _mT(self: Any) -> Any:
    """The last two dimensions exchanged."""
    if self._data.ndim < 2:
        if self._data.ndim:
            raise RuntimeError(
                "tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor."
            )
        _deprecated_on_scalars("Tensor.mT", "This function is the identity in these cases.")
        return self
    return transpose(self, -2, -1)


def _H(self: Any) -> Any:
    """The conjugate transpose of a matrix."""
    ndim = self._data.ndim
    if ndim != 2:
        if ndim:
            raise RuntimeError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {ndim}-D tensor."
                + (" For batches of matrices, consider using tensor.mH" if ndim > 2 else "")
            )
        _deprecated_on_scalars("Tensor.H", "Consider using x.conj().")
        return _conjugated(self)
    return _conjugated(transpose(self, 0, 1))


def _mH(self: Any) -> Any:
    """The last two dimensions exchanged and the elements conjugated."""
    return adjoint(self)


def _conjugated(x: Any) -> Any:
    return OPS["conj"].entry(x) if x.dtype.is_complex else x


Tensor.T, Tensor.mT, Tensor.H, Tensor.mH = property(_T), property(_mT), property(_H), property(_mH)


@function
def adjoint(input: Any) -> Any:
    """The last two dimensions exchanged and the elements conjugated."""
    if input._data.ndim < 2:
        if input._data.ndim:
            raise RuntimeError(
                "tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D "
                "tensor."
            )
        _deprecated_on_scalars("adjoint()", "Consider using x.conj().")
        return _conjugated(input)
    return _conjugated(transpose(input, -2, -1))


# -- dimensions of size 1 --------------------------------------------------------------------------


def _squeezing(name: str, kernel: Callable, node: str) -> Callable:
    entry = op(
        kernel,
        promote=MOVE,
        view=True,
        method=False,
        namespace="primitive",
        linear=True,
        name=name,
        node=node,
    )
    entry.vjp(lambda g, x_shape: g.reshape(x_shape))
    return entry


def _squeeze_all(x: Any, /) -> Any:
    """All dimensions of size 1 taken away."""
    return x.reshape(tuple([n for n in x.shape if n != 1]))


def _squeeze_dim(x: Any, /, dim: Any) -> Any:
    """Dimension `dim` taken away if its size is 1."""
    i = place(dim, x.ndim)
    return squeezed(x, [i] if x.ndim and x.shape[i] == 1 else [])


def _squeeze_dims(x: Any, /, dim: Any) -> Any:
    """Those of the dimensions `dim` taken away whose size is 1."""
    found = [place(d, x.ndim) for d in dim]
    twice = next((d for d in found if found.count(d) > 1), None)
    if twice is not None:
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return squeezed(x, [i for i in found if x.ndim and x.shape[i] == 1])


def squeezed(x: Any, gone: Sequence) -> Any:
    """A view of an array without the dimensions `gone`, of size 1."""
    return x.reshape(tuple([n for i, n in enumerate(x.shape) if i not in gone]))


squeeze_all = _squeezing("squeeze_all", _squeeze_all, "SqueezeBackward0")
squeeze_dim = _squeezing("squeeze_dim", _squeeze_dim, "SqueezeBackward1")
squeeze_dims = _squeezing("squeeze_dims", _squeeze_dims, "SqueezeBackward2")


@function
def squeeze(input: Any, dim: Any = None) -> Any:
    """Dimensions of size 1 taken away: all of them, or those among `dim`."""
    if dim is None:
        return squeeze_all(input)
    if isinstance(dim, (tuple, list)):
        return squeeze_dims(input, tuple(dim))
    if not is_size(dim):
        raise TypeError(
            f"squeeze(): argument 'dim' must be int or tuple of ints, not {type(dim).__name__}"
        )
    return squeeze_dim(input, dim)


@op(promote=MOVE, view=True, linear=True)
def unsqueeze(x: Any, /, dim: Any) -> Any:
    """A dimension of size 1 put in before `dim`."""
    i = place(dim, x.ndim + 1)
    if i == 0:
        return x[None]
    return x[..., None] if i == x.ndim else x[(*(slice(None),) * i, None)]


@unsqueeze.vjp
def _(g, x_shape):
    return g.reshape(x_shape)


# -- windows and strides ---------------------------------------------------------------------------


@op(promote=MOVE, view=True, method=True, namespace="Tensor", linear=True)
def unfold(x: Any, /, dimension: Any, size: Any, step: Any) -> Any:
    """Windows of `size` elements along a dimension, `step` apart: the windows' places there, their
    elements last.
    """
    i, full = place(dimension, x.ndim), x.shape[dimension] if x.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > full:
        raise RuntimeError(f"maximum size for tensor at dimension {i} is {full} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not x.ndim:
        return x.reshape(1)[:size]
    if not has_strides(x):
        copied = _windows_last(x[windows(full, i, size, step)], i)
        if is_ground(x):
            x.pretends(copied)
        return copied
    shape = (*x.shape[:i], (full - size) // step + 1, *x.shape[i + 1 :], size)
    strides = (*x.strides[:i], x.strides[i] * step, *x.strides[i + 1 :], x.strides[i])
    return restride(x, shape, strides)


def windows(full: int, axis: int, size: int, step: int) -> tuple:
    """An index that puts windows at `axis` and their elements behind."""
    starts = np.arange((full - size) // step + 1) * step
    return (*(slice(None),) * axis, starts[:, None] + np.arange(size))


def _windows_last(y: Any, axis: int) -> Any:
    return y.transpose([k for k in range(y.ndim) if k != axis + 1] + [axis + 1])


@unfold.vjp
def _(g, dimension, size, step, x_shape):
    if not x_shape:
        return np.add.reduce(g, axis=0)
    i = dimension % len(x_shape)
    back = g.transpose([*range(i + 1), g.ndim - 1, *range(i + 1, g.ndim - 1)])
    return put_add(back, windows(x_shape[i], i, size, step), x_shape)


@op(
    promote=MOVE,
    view=True,
    method=False,
    extra=True,
    namespace="primitive",
    linear=True,
    node="AsStridedBackward0",
)
def as_strided_view(x: Any, /, view: Any) -> Any:
    """`view`, an array that looks at the memory of `x`, as a tensor derived from `x`."""
    return view, geometry(x, view)


@as_strided_view.vjp
def _(g, extra):
    count = math.prod(extra[0])
    return put_add(g, view_places(*extra), (count + 1,))[:count].reshape(extra[0])


def check_strided(shape: tuple, strides: tuple, offset: int, available: int, item: int) -> None:
    """Raise torch's error for a geometry that memory of `available` elements does not hold."""
    if len(shape) != len(strides):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in strides):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(strides)}"
        )
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"Storage size calculation overflowed with sizes={list(shape)} and "
            f"strides={list(strides)}"
        )
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    needed = offset + extent(shape, strides)
    if needed > available:
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, "
            f"and itemsize {item} requiring a storage size of {needed * item} are out of bounds "
            f"for storage of size {available * item}"
        )


def extent(shape: Sequence, strides: Sequence) -> int:
    """How many elements of memory sizes and strides span."""
    if not all(shape):
        return 0
    return 1 + sum(s * (n - 1) for s, n in zip(strides, shape, strict=True))


@function
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """The tensor's memory looked at with other sizes, strides and offset, all in elements.

    Without `storage_offset` it begins where the tensor does.
    """
    shape, strides = sizes_of("as_strided", (size,)), sizes_of("as_strided", (stride,))
    offset = input.storage_offset() if storage_offset is None else operator.index(storage_offset)
    owner = storage_array(input if input._base is None else input._base)
    if isinstance(input._data, Duck) and input._data.ground:
        if isinstance(owner, np.ndarray) or not owner.memory().flags.c_contiguous:
            raise NoRule("other strides of memory that is not the function's own")
        if state.capture is not None:
            state.capture.strided(owner)
        item = owner.dtype.itemsize
        if storage_offset is None:
            offset = geometry(owner, input._data)[-1]
        check_strided(shape, strides, offset, owner.size, item)
        steps = tuple([s * item for s in strides])
        out = as_strided_view(input, owner.seen(offset * item, shape, steps, owner.dtype))
        if out._base is None:
            be_view(out, input)
        return out
    if not isinstance(owner, np.ndarray):  # an array type of ours: taken for contiguous
        check_strided(shape, strides, offset, owner.size, owner.dtype.itemsize)
        return reshape(input, (-1,))[wrap(seen_by(np.arange(owner.size)[offset:], shape, strides))]
    item = owner.itemsize
    available = extent(owner.shape, [s // item for s in owner.strides])
    check_strided(shape, strides, offset, available, item)
    memory = np.lib.stride_tricks.as_strided(owner, (available,), (item,))
    out = as_strided_view(input, seen_by(memory[offset:], shape, strides))
    if out._base is None:
        be_view(out, input)
    return out


# -- in place: the tensor looks at its memory in another way ---------------------------------------


def _restriding(name: str, f: Callable, nodes: dict[str, str]) -> Callable:
    """The in-place variant of a view function; `nodes` renames the view's nodes."""

    def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_inplace(self)
        seen = f(self, *args, **kwargs)
        node = seen._node
        self._data = seen._data
        storage_of(self).bump()
        if node is not None and node is not self._node:
            node.op = _renamed(node.op, nodes.get(node.op.node_name, node.op.node_name))
            self._node, self._index = node, 0
        if self._base is not None:
            self._seen = self._base._node
        return self

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"`{name[:-1]}`, in place: the tensor itself is looked at in the new way."
    return entry


RENAMED: dict[tuple, Op] = {}


def _renamed(o: Op, node: str) -> Op:
    found = RENAMED.get((o.name, node))
    if found is None:
        found = RENAMED.setdefault((o.name, node), o._named(node))
    return found


for _name, _f, _nodes in (
    ("squeeze_", squeeze, {f"SqueezeBackward{i}": f"SqueezeBackward{i + 3}" for i in range(3)}),
    ("unsqueeze_", unsqueeze, {"UnsqueezeBackward0": "UnsqueezeBackward1"}),
    ("t_", t, {"TBackward0": "TBackward1"}),
    ("transpose_", transpose, {"TransposeBackward0": "TransposeBackward1"}),
    ("swapaxes_", swapaxes, {"TransposeBackward0": "TransposeBackward1"}),
    ("swapdims_", swapdims, {"TransposeBackward0": "TransposeBackward1"}),
    ("as_strided_", as_strided, {"AsStridedBackward0": "AsStridedBackward1"}),
):
    function(_restriding(_name, _f, _nodes), namespace="Tensor")


def memory_behind(x: np.ndarray) -> np.ndarray:
    """All memory that an array owns from its first element on (or that its owner does), as a 1-d
    array.
    """
    owner = x
    while isinstance(owner.base, np.ndarray) and owner.base.dtype is x.dtype:
        owner = owner.base
    if not owner.flags.c_contiguous:
        return x.reshape(-1)
    start = x.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return owner.reshape(-1)[start // x.itemsize :]


@function(namespace="Tensor")
def resize_(self: Any, *size: Any, memory_format: Any = contiguous_format) -> Any:
    """The tensor made another size: its memory is looked at anew, and moved if it is too small (new
    elements are undefined).
    """
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    shape = sizes_of("resize_", size)
    if any(n < 0 for n in shape):
        raise bad_allocation("resize_", shape, self._data.dtype, ValueError())
    data, count = storage_array(self), math.prod(shape)
    if isinstance(data, Duck):
        self._data = _resized_example(data, count).reshape(shape)
        return self
    memory = memory_behind(data)
    if count > memory.size:
        grown = allocate("resize_", np.empty, (count,), memory.dtype)
        grown[: memory.size] = memory
        memory = grown
    self._data = memory[:count].reshape(shape)
    if memory_format is not contiguous_format and memory_format is not preserve_format:
        self._data = arranged(self._data, memory_format)
    return self


def _resized_example(data: Any, count: int) -> Any:
    """The elements of an example of a vmap, as many as `count`."""
    if has_tangent(data):
        raise RuntimeError("cannot resize variables that has a forward grad")
    flat = data.reshape(-1)
    if count <= flat.size:
        return flat[:count]
    if state.capture is not None:
        raise NoRule("resize_ to more elements, some of which other tensors may have")
    return np.concatenate((flat, np.zeros(count - flat.size, data.dtype)))


@function
def resize_as_(self: Any, the_template: Any, *, memory_format: Any = contiguous_format) -> Any:
    """`self.resize_(the_template.size())`."""
    return resize_(self, the_template._data.shape, memory_format=memory_format)


@function(namespace="Tensor")
def resize(self: Any, *size: Any) -> Any:
    """Deprecated: `reshape` to a size of as many elements."""
    warnings.warn("non-inplace resize is deprecated", UserWarning, stacklevel=2)
    return view(self, *size)


@function(namespace="Tensor")
def resize_as(self: Any, tensor: Any) -> Any:
    """Deprecated: `reshape` to the size of another tensor of as many elements."""
    warnings.warn("non-inplace resize_as is deprecated", UserWarning, stacklevel=2)
    return view(self, tensor._data.shape)


@function(namespace="Tensor")
def set_(self: Any, source: Any = None) -> Any:
    """The tensor made to look at the memory of another of its dtype (or at none)."""
    if source is None:
        source = wrap(np.empty(0, self._data.dtype))
    if source._data.dtype is not self._data.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {source.dtype.name} to a tensor of type "
            f"{self.dtype.name}"
        )
    if self.requires_grad and state.grad:
        check_inplace(self)
    about_to_be_written(self)
    self._data, self._storage, self._base = storage_array(source), storage_of(source), None
    return self


@function(namespace="Tensor")
def is_set_to(self: Any, tensor: Any) -> bool:
    """Whether both look at the same memory in the same way."""
    x, y = storage_array(self), storage_array(tensor)
    return (
        x.dtype is y.dtype
        and x.__array_interface__["data"] == y.__array_interface__["data"]
        and x.shape == y.shape
        and x.strides == y.strides
    )


# -- questions -------------------------------------------------------------------------------------


@function(method=False)
def numel(input: Any) -> int:
    """The number of elements."""
    if not isinstance(input, Tensor):
        raise not_a_tensor("numel", "input", 1, input)
    return int(input._data.size)


@function(method=False)
def is_floating_point(input: Any) -> bool:
    """Whether the dtype is float16, bfloat16, float32 or float64."""
    return input.is_floating_point()


@function(method=False)
def is_complex(input: Any) -> bool:
    """Whether the dtype is complex64 or complex128."""
    return input.is_complex()


@function(method=False)
def is_inference(input: Any) -> bool:
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


@function(method=False)
def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage object."""
    from ..tensor import UntypedStorage

    return isinstance(obj, UntypedStorage)


@function
def is_nonzero(input: Any) -> bool:
    """Whether the only element of a tensor is not zero."""
    return bool(input)


@function
def is_same_size(input: Any, other: Any) -> bool:
    """Whether both have the same shape."""
    return input._data.shape == other._data.shape


@function(method=False)
def result_type(tensor: Any, other: Any) -> dtypes.dtype:
    """The dtype that an operation on the two (tensors or numbers) gives."""
    operands = []
    for x in (tensor, other):
        if not isinstance(x, Tensor) and not dtypes.is_number(x):
            raise TypeError(
                "result_type() received an invalid combination of arguments - got "
                f"({type(tensor).__name__}, {type(other).__name__})"
            )
        operands.append(x._data if isinstance(x, Tensor) else dtypes.number(x))
    return dtypes.result_dtype(operands)
