"""Tensors of a given size: filled with something, or like another tensor.

All constructors take torch's keywords: `out`, `dtype`, `layout`, `device`, `pin_memory`,
`requires_grad`, `memory_format`. The options that ask for what there is not here (sparse layouts,
other devices, pinned memory) raise. Sizes are checked after NumPy has refused them, so that the
simple calls stay quick.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..arrays.duck import Duck, like_itself, tied
from ..dtypes import FLOATING, FROM_NUMPY
from ..errors import OutOfMemoryError, not_a_tensor
from ..namespace import layout as layout_type
from ..namespace import strided
from ..tape import state
from . import define
from .convert import arranged, check_dtype, check_fits, converted
from .define import MOVE, Tensor, function, op, scalar_name, wrap

# -- options all constructors take -----------------------------------------------------------------


def check_options(layout: Any, device: Any, pin_memory: Any) -> None:
    """Raise for options that ask for what there is not: sparse layouts, other devices, pinned
    memory.
    """
    devices.check(device)
    if layout is not None and layout is not strided:
        if not isinstance(layout, layout_type):
            raise TypeError(f"argument 'layout' must be torch.layout, not {type(layout).__name__}")
        raise RuntimeError(f"tensors here are dense (torch.strided), and {layout} was asked for")
    if pin_memory:
        raise RuntimeError(
            "Cannot access accelerator device when none is available: pin_memory=True needs a GPU, "
            "and chainrule computes on the CPU only"
        )


def finished(a: Any, requires_grad: builtins.bool = False) -> Any:
    """The tensor around a new array."""
    t = wrap(a if a.ndim else a[()])
    if requires_grad:
        if FROM_NUMPY[a.dtype].category < FLOATING:
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        t.requires_grad_()
    return t


def written(out: Any, a: Any, dtype: Any) -> Any:
    """`out` after the new array has been written into it."""
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if dtype is not None and out.dtype is not dtype:
        raise RuntimeError(
            f"dtype {scalar_name(dtype)} does not match dtype of out parameter "
            f"({scalar_name(out.dtype)})"
        )
    return define.write_out(out, wrap(a))


# -- sizes -----------------------------------------------------------------------------------------


def is_size(n: Any) -> builtins.bool:
    """Whether `n` can be one of the sizes: an integer, but no bool; also an integer tensor of one
    element.
    """
    if isinstance(n, (Tensor, np.ndarray)):
        n = n._data if isinstance(n, Tensor) else n
        return n.ndim == 0 and n.dtype.kind in "iu"
    return hasattr(n, "__index__") and not isinstance(n, builtins.bool)


def sizes_of(function: str, sizes: Sequence) -> tuple:
    """The shape given as `f(2, 3)` or `f((2, 3))`, checked; raises torch's TypeError for anything
    else.
    """
    if not sizes:
        raise TypeError(f'{function}() missing 1 required positional arguments: "size"')
    first = sizes[0]
    if not is_size(first):
        if not isinstance(first, (tuple, list)):
            raise TypeError(
                f"{function}(): argument 'size' (position 1) must be tuple of ints, not "
                f"{type(first).__name__}"
            )
        if len(sizes) > 1:
            raise TypeError(f"{function}() takes 1 positional argument but {len(sizes)} were given")
        sizes = first
    for i, n in enumerate(sizes):
        if not is_size(n):
            raise TypeError(
                f"{function}(): argument 'size' (position 1) must be tuple of ints, but found "
                "element of type "
                f"{type(n).__name__} at pos {i}"
            )
    return tuple([operator.index(n) for n in sizes])


def allocate(function: str, make: Callable, shape: Any, dtype: np.dtype) -> np.ndarray:
    """`make(shape, dtype)`, with NumPy's complaints about the shape in torch's words."""
    try:
        return state.run(make, shape, dtype)
    except (TypeError, ValueError, OverflowError, MemoryError):
        shape = sizes_of(function, (shape,))
    try:
        return state.run(make, shape, dtype)
    except (ValueError, OverflowError, MemoryError) as e:
        raise bad_allocation(function, shape, dtype, e) from None


def bad_allocation(function: str, shape: tuple, dtype: np.dtype, e: Exception) -> Exception:
    """torch's error for a shape that no array can have."""
    negative = next((n for n in shape if n < 0), None)
    if negative is not None:
        return RuntimeError(
            "zeros: Dimension size must be non-negative."
            if function == "zeros"
            else f"Trying to create tensor with negative dimension {negative}: {list(shape)}"
        )
    if not isinstance(e, MemoryError):
        if len(shape) > 64:
            return ValueError(
                f"too many dimensions: {len(shape)} were asked for, and there can be 64"
            )
        return RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)}")
    wanted = math.prod(shape) * dtype.itemsize
    return OutOfMemoryError(
        f"[enforce fail at {function}()] DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate "
        f"{wanted} bytes. Error code 12 (Cannot allocate memory)"
    )


# -- filled ----------------------------------------------------------------------------------------


def _ones(shape: Any, dtype: np.dtype) -> np.ndarray:
    a = np.empty(shape, dtype)
    a.fill(1)
    return a


def _constructor(name: str, make: Callable, doc: str) -> Callable:
    """The function that makes a tensor of a given size with `make(shape, dtype)`."""

    def entry(
        *sizes: Any,
        size: Any = None,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: builtins.bool = False,
        requires_grad: builtins.bool = False,
        memory_format: Any = None,
    ) -> Any:
        if layout is not None or device is not None or pin_memory:
            check_options(layout, device, pin_memory)
        if size is not None:
            sizes = (*sizes, size)
        shape = sizes
        if len(sizes) == 1 and type(sizes[0]) is not int:
            shape = sizes[0]
        if type(shape) not in (tuple, list) or not sizes or True in shape:
            shape = sizes_of(name, sizes)
        if dtype is None:
            target = dtypes.default.real.numpy if out is None else out._data.dtype
        else:
            dtype = check_dtype(name, dtype)
            target = dtype.numpy
        a = allocate(name, make, shape, target)
        if memory_format is not None:
            a = arranged(a, memory_format)
        return finished(a, requires_grad) if out is None else written(out, a, dtype)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = doc
    return entry


zeros = function(
    _constructor("zeros", np.zeros, "A tensor of zeros: `zeros(2, 3)` or `zeros((2, 3))`."),
    method=False,
)
ones = function(
    _constructor("ones", _ones, "A tensor of ones: `ones(2, 3)` or `ones((2, 3))`."), method=False
)
empty = function(
    _constructor("empty", np.empty, "A tensor whose elements are whatever was in memory."),
    method=False,
)


def fill_dtype(value: Any, dtype: Any, function: str) -> tuple[Any, dtypes.dtype]:
    """A number to fill with (also a tensor of no dimensions), and the dtype it calls for if none is
    given.
    """
    if isinstance(value, Tensor) and not value._data.ndim:
        value = value.item()
    if not dtypes.is_number(value):
        raise TypeError(
            f"{function}(): argument 'fill_value' (position 2) must be Number, not "
            f"{type(value).__name__}"
        )
    value = dtypes.number(value)
    d = dtypes.result_dtype((value,)) if dtype is None else check_dtype(function, dtype)
    check_fits(value, d)
    return value, d


def constant(function: str, shape: Any, value: Any, d: dtypes.dtype) -> np.ndarray:
    """A new array of one number."""
    a = allocate(function, np.empty, shape, d.numpy)
    a[...] = converted(np.array(value), d.numpy)
    return a


@function(method=False)
def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """A tensor filled with a number, whose kind (bool, int, float, complex) decides the dtype if
    none is given.
    """
    check_options(layout, device, pin_memory)
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    value, d = fill_dtype(
        fill_value, dtype if out is None or dtype is not None else out.dtype, "full"
    )
    a = constant("full", size, value, d)
    return (
        finished(a, requires_grad) if out is None else written(out, a, None if dtype is None else d)
    )


@function(method=False)
def scalar_tensor(
    s: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """A tensor of no dimensions that holds the number, in the default dtype if none is given."""
    return full(
        (),
        s,
        dtype=dtypes.default.real if dtype is None else dtype,
        layout=layout,
        device=device,
        pin_memory=pin_memory,
        requires_grad=requires_grad,
    )


# -- like another tensor ---------------------------------------------------------------------------


def like(
    function: str,
    input: Any,
    dtype: Any,
    layout: Any,
    device: Any,
    pin_memory: Any,
    memory_format: Any,
) -> np.ndarray:
    """A new array of the shape, memory order and (unless one is given) dtype of `input`, not
    filled.
    """
    if not isinstance(input, Tensor):
        raise not_a_tensor(function, "input", 1, input)
    if layout is not None or device is not None or pin_memory:
        check_options(layout, device, pin_memory)
    x = input._data
    d = x.dtype if dtype is None else check_dtype(function, dtype).numpy
    x = x.memory() if isinstance(x, Duck) and x.ground else x
    if memory_format is None and type(x) is np.ndarray and not x.flags.c_contiguous:
        repeats = 0 in x.strides  # the memory of one copy, then
        return state.run(np.empty_like, like_itself(x) if repeats else x, d, "K")
    a = state.run(np.empty, x.shape, d)
    return a if memory_format is None else arranged(a, memory_format)


def _like(name: str, value: Any, doc: str) -> Callable:
    def entry(
        input: Any,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: builtins.bool = False,
        requires_grad: builtins.bool = False,
        memory_format: Any = None,
    ) -> Any:
        a = like(name, input, dtype, layout, device, pin_memory, memory_format)
        if value is not None:
            a.fill(value)
        x = input._data
        return finished(x.by_example(a) if isinstance(x, Duck) else a, requires_grad)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = doc
    return entry


zeros_like = function(
    _like("zeros_like", 0, "Zeros in the shape and dtype of `input`."), method=False
)
ones_like = function(_like("ones_like", 1, "Ones in the shape and dtype of `input`."), method=False)
empty_like = function(
    _like("empty_like", None, "A tensor of the shape and dtype of `input`, not filled."),
    method=False,
)


@function(method=False)
def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
    memory_format: Any = None,
) -> Any:
    """A tensor of the shape and dtype of `input`, filled with a number."""
    a = like("full_like", input, dtype, layout, device, pin_memory, memory_format)
    value, d = fill_dtype(fill_value, FROM_NUMPY[a.dtype], "full_like")
    a[...] = converted(np.array(value), d.numpy)
    x = input._data
    return finished(x.by_example(a) if isinstance(x, Duck) else a, requires_grad)


def _by_example(new: Any, source: Any) -> Any:
    """The new tensor, one for each example where `source` stands for the examples of a vmap."""
    if isinstance(source._data, Duck):
        new._data = source._data.by_example(new._data)
    return new


def _new(make: Callable, name: str, doc: str) -> Callable:
    def entry(self: Any, *sizes: Any, dtype: Any = None, **options: Any) -> Any:
        if not sizes and "size" not in options:
            raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
        dtype = dtypes.of(self._data) if dtype is None else dtype
        return _by_example(make(*sizes, dtype=dtype, **options), self)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = doc
    return entry


new_zeros = function(
    _new(zeros, "new_zeros", "Zeros of a given size in this tensor's dtype."), namespace="Tensor"
)
new_ones = function(
    _new(ones, "new_ones", "Ones of a given size in this tensor's dtype."), namespace="Tensor"
)
new_empty = function(
    _new(empty, "new_empty", "A tensor of a given size in this tensor's dtype, not filled."),
    namespace="Tensor",
)


@function(namespace="Tensor")
def new_full(self: Any, size: Any, fill_value: Any, *, dtype: Any = None, **options: Any) -> Any:
    """A tensor of a given size in this tensor's dtype, filled with a number."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            "new_full(): argument 'size' (position 1) must be tuple of ints, not "
            f"{type(size).__name__}"
        )
    dtype = dtypes.of(self._data) if dtype is None else dtype
    return _by_example(full(size, fill_value, dtype=dtype, **options), self)


@function(namespace="Tensor")
def new_empty_strided(
    self: Any, size: Any, stride: Any, *, dtype: Any = None, **options: Any
) -> Any:
    """A tensor of given size and strides in this tensor's dtype, not filled."""
    return empty_strided(
        size, stride, dtype=dtypes.of(self._data) if dtype is None else dtype, **options
    )


@function(method=False)
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """A tensor of given size and strides (in elements), not filled."""
    check_options(layout, device, pin_memory)
    shape, strides = sizes_of("empty_strided", (size,)), sizes_of("empty_strided", (stride,))
    if len(shape) != len(strides):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides "
            f"({len(strides)})"
        )
    if any(s < 0 for s in strides):
        raise RuntimeError(
            f"empty_strided: negative strides are not supported, got strides: {list(strides)}"
        )
    d = (dtypes.default.real if dtype is None else check_dtype("empty_strided", dtype)).numpy
    needed = 1 + sum(s * (n - 1) for s, n in zip(strides, shape, strict=True)) if all(shape) else 0
    if any(n < 0 for n in shape):
        raise bad_allocation("empty_strided", shape, d, ValueError())
    memory = allocate("empty_strided", np.empty, (max(needed, 1),), d)
    return finished(
        np.lib.stride_tricks.as_strided(memory, shape, [s * d.itemsize for s in strides]),
        requires_grad,
    )


@function(method=False)
def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """A tensor whose dimensions lie in memory in the given order, outermost first, not filled."""
    shape, order = (
        sizes_of("empty_permuted", (size,)),
        sizes_of("empty_permuted", (physical_layout,)),
    )
    if sorted(order) != list(range(len(shape))):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            "len(size) = "
            f"{len(shape)} is not equal to len(physical_layout) = {len(order)}"
            if len(order) != len(shape)
            else "Duplicate dim not allowed"
        )
    check_options(layout, device, pin_memory)
    d = (dtypes.default.real if dtype is None else check_dtype("empty_permuted", dtype)).numpy
    a = allocate("empty_permuted", np.empty, tuple([shape[i] for i in order]), d)
    return finished(a.transpose([order.index(i) for i in range(len(shape))]), requires_grad)


# -- matrices and indices --------------------------------------------------------------------------


@function(method=False)
def eye(
    n: Any,
    m: Any = None,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: builtins.bool = False,
    requires_grad: builtins.bool = False,
) -> Any:
    """The n by m matrix (m = n if not given) with ones on the diagonal and zeros elsewhere."""
    check_options(layout, device, pin_memory)
    for name, size in (("n", n), ("m", n if m is None else m)):
        if not is_size(size):
            raise TypeError(f"eye(): argument '{name}' must be int, not {type(size).__name__}")
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {int(size)}")
    rows = operator.index(n)
    columns = rows if m is None else operator.index(m)
    d = None if dtype is None else check_dtype("eye", dtype)
    target = (d or (dtypes.default.real if out is None else out.dtype)).numpy
    a = allocate("eye", np.zeros, (rows, columns), target)
    a.reshape(-1)[: columns * min(rows, columns) : columns + 1] = 1
    return finished(a, requires_grad) if out is None else written(out, a, d)


def _triangle(name: str, keeps: Callable, doc: str) -> Callable:
    """The function that lists the places of a triangle of a matrix."""

    def entry(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: Any = dtypes.int64,
        device: Any = None,
        layout: Any = None,
        pin_memory: builtins.bool = False,
    ) -> Any:
        check_options(layout, device, pin_memory)
        d = check_dtype(name, dtype)
        if d not in (dtypes.int64, dtypes.int32):
            raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")
        for what, size in (("row", row), ("col", col)):
            if size < 0:
                raise RuntimeError(f"{what} must be non-negative, got{size}")
        inside = keeps(np.arange(col) - np.arange(row)[:, None], offset)
        return wrap(np.array(inside.nonzero(), d.numpy))

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = doc
    return entry


tril_indices = function(
    _triangle(
        "tril_indices",
        np.less_equal,
        "Rows and columns of the places on and below a diagonal "
        "of a row x col matrix, as a (2, n) tensor.",
    ),
    method=False,
)
triu_indices = function(
    _triangle(
        "triu_indices",
        np.greater_equal,
        "Rows and columns of the places on and above a diagonal "
        "of a row x col matrix, as a (2, n) tensor.",
    ),
    method=False,
)


# -- complex numbers from their parts --------------------------------------------------------------


def check_parts(x: Any, y: Any) -> None:
    """Raise unless both are float32 or both float64."""
    a, b = FROM_NUMPY[x.dtype], FROM_NUMPY[y.dtype]
    real = (dtypes.float32, dtypes.float64)
    if a not in real or b not in (*real, dtypes.float16):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {scalar_name(a)} "
            f"and {scalar_name(b)}"
        )
    if a is not b:
        raise RuntimeError(
            f"Expected object of scalar type {scalar_name(a)} but got scalar type {scalar_name(b)} "
            "for second argument"
        )


@op(promote=MOVE, name="complex", method=False)
def complex_of_parts(real: Any, imag: Any, /) -> Any:
    """real + 1j * imag."""
    check_parts(real, imag)
    if not isinstance(real, (np.ndarray, np.generic)) or not isinstance(
        imag, (np.ndarray, np.generic)
    ):
        return real + 1j * imag
    out = np.empty(np.broadcast_shapes(real.shape, imag.shape), dtypes.of(real).to_complex().numpy)
    out.real, out.imag = real, imag
    return tied(out, real, imag, imag)


@complex_of_parts.vjp
def _(g):
    return g


@complex_of_parts.vjp
def _(g):
    return -g.imag


@op(promote=MOVE, method=False)
def polar(abs: Any, angle: Any, /) -> Any:
    """abs * exp(1j * angle)."""
    check_parts(abs, angle)
    return tied(abs * np.cos(angle) + 1j * (abs * np.sin(angle)), abs, angle)


@polar.vjp
def _(g, angle):
    return g * np.exp(1j * angle)


@polar.vjp
def _(g, out):
    return 1j * g * out
