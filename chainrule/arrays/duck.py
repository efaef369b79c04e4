"""What all array types of ours have in common: the NumPy protocols, operators and methods,
funnelled into one `call`.

A transformation is an array type: NumPy's functions, ufuncs and operators, our primitives, and the
few methods of the waist all arrive as `call(name, args, kwargs)` at the highest array type among
the arguments, which looks the name up in its table. Names are the ufunc's (`exp`, `add`),
`add.reduce` for its methods, and the function's or method's (`where`, `reshape`, `getitem`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "pow": np.power,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}


TAPED: list = []  # arrays/grad.py puts `on_tensors` here


class NoRule(RuntimeError, AttributeError):
    """An array type has no rule for what was asked of it: the operator falls back on a way that
    always works (`Duck.fallback`), or the user is told.
    """


class Duck:
    """Base of the array types; `level` orders nested transformations, the highest answers."""

    __slots__ = ()
    is_dual = False  # whether it carries a tangent
    in_memory = False  # whether `memory` says where it lies
    ground = False  # whether it stands for one plain array, to be written in place as that is
    level: Any = 0
    shape: tuple
    dtype: np.dtype

    @classmethod
    def fallback(
        cls, f: Any, on_tensors: Any, args: tuple, extra: bool = False, op: Any = None
    ) -> Any:
        """f(*args), for a function of arrays that has no rule; `on_tensors` is the same function
        of tensors. With `extra`, f returns (result, what the derivative needs besides). `op` is the
        elementwise operator that f is, if it is one.
        """
        raise NoRule(f"{cls.__name__} cannot run {getattr(f, '__name__', f)}")

    @classmethod
    def on_tensors(cls, f: Any) -> Any:
        """A function of arrays as one of tensors, which records what it does."""
        return TAPED[0](f)

    def parts(self) -> tuple:
        """The arrays inside, one level down."""
        return ()

    def values(self) -> Any:
        """The numbers inside as a plain array, those of all examples together; None where they are
        not to be looked at.
        """
        return None

    def repr_with(self, show: Any) -> str:
        """How a tensor with this array prints; `show` prints one with another array."""
        return f"<{self.words}: {self.dtype} {list(self.shape)}>"

    def settle(self) -> None:
        """Make sure that all parts are memory that can be shared and written."""

    def wider(self, array: Any, private: bool) -> Any:
        """`wider(self, array, private)`, for an array of this level or a lower one."""
        raise NoRule(f"a {type(self).__name__} cannot be written")

    def over(self, data: Any, private: bool) -> Any:
        """`wider(data, self, private)`, for data of lower levels."""
        raise NoRule(f"a {type(self).__name__} cannot be written into another array")

    def laid_out(self, like: Any) -> Any:
        """`laid_out(self, like)`."""
        raise NoRule(f"a {type(self).__name__} has no memory of its own")

    def by_example(self, new: Any) -> Any:
        """The ndarray `new`; of a batch, one for each example, so that examples can be written."""
        return new

    def seen(self, start: int, shape: Any, strides: Any, dtype: Any) -> Any:
        """`seen(self, ...)`."""
        raise NoRule(f"a {type(self).__name__} has no memory of its own")

    def memory(self) -> Any:
        """An ndarray that lies in memory as one example, or value, of this array does."""
        raise NoRule(f"a {type(self).__name__} has no memory of its own")

    def whole(self) -> Any:
        """An ndarray that lies in memory as this array does with all its examples."""
        return self.memory()

    def call(self, name: str, args: tuple, kwargs: dict) -> Any:
        """Do what NumPy's `name` does."""
        raise NoRule(f"{type(self).__name__} has no rule for {name!r}")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if ufunc.signature is not None and ufunc is not np.matmul:
            name = f"gufuncs.{name}"
        if len(args) == 1 and not kwargs:
            return self.call(name, args, kwargs)
        return highest((args, kwargs.get("out"))).call(name, args, kwargs)

    def __array_function__(self, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        return highest(args).call(func.__name__, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return highest((self, index)).call("getitem", (self, index), {})

    def refused(self, *args: Any, **kwargs: Any) -> Any:
        """What needs the numbers themselves."""
        raise NoRule(f"{self.words} has no numbers, or memory, of its own that this could take")

    def exposed(self) -> Any:
        """The ndarray that a user may see through NumPy; raises RuntimeError if there is none."""
        raise RuntimeError(
            "Cannot access data pointer of Tensor that doesn't have storage:"
            f" {self.words} has no memory of its own. Compute with tensors here, or take the"
            " numbers of what the transformation returns."
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __array__ = item = tolist = refused

    base = flags = fill = nonzero = tobytes = take = put = sort = searchsorted = property(refused)
    repeat = clip = mean = prod = cumsum = cumprod = squeeze = flatten = diagonal = property(
        refused
    )
    words = "a tensor inside a transformation"

    def view(self, dtype: Any) -> Any:
        return self.call("view", (self, np.dtype(dtype)), {})

    @property
    def strides(self) -> tuple:
        return self.memory().strides

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    __dlpack__ = __array_interface__ = property(refused)

    def all(self, axis: Any = None) -> Any:
        return self.call("logical_and.reduce", (self,), {"axis": axis})

    def any(self, axis: Any = None) -> Any:
        return self.call("logical_or.reduce", (self,), {"axis": axis})

    def min(self, axis: Any = None, **options: Any) -> Any:
        return self.call("minimum.reduce", (self,), {"axis": axis, **options})

    def max(self, axis: Any = None, **options: Any) -> Any:
        return self.call("maximum.reduce", (self,), {"axis": axis, **options})

    def sum(self, axis: Any = None, **options: Any) -> Any:
        return self.call("add.reduce", (self,), {"axis": axis, **options})

    def constant(self) -> Any:
        """This array without what it knows of derivatives."""
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        highest((self, value)).call("setitem", (self, index, value), {})

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def T(self) -> Any:
        return self.call("transpose", (self, tuple(range(self.ndim))[::-1]), {})

    @property
    def real(self) -> Any:
        return self.call("real", (self,), {})

    @property
    def imag(self) -> Any:
        return self.call("imag", (self,), {})

    def reshape(self, *shape: Any) -> Any:
        shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.call("reshape", (self, tuple(shape)), {})

    def transpose(self, *axes: Any) -> Any:
        if not axes:
            return self.T
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.call("transpose", (self, tuple(axes)), {})

    def swapaxes(self, a: int, b: int) -> Any:
        axes = list(range(self.ndim))
        axes[a], axes[b] = axes[b], axes[a]
        return self.call("transpose", (self, tuple(axes)), {})

    def astype(self, dtype: Any) -> Any:
        dtype = np.dtype(dtype)
        return self if dtype is self.dtype else self.call("astype", (self, dtype), {})

    def conj(self) -> Any:
        return np.conjugate(self) if self.dtype.kind == "c" else self

    def copy(self) -> Any:
        return self.call("copy", (self,), {})

    def kept(self) -> Any:
        """A copy that lies in memory as this does, where something does."""
        return self.copy()

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return self.call("argmax", (self,), {"axis": axis, "keepdims": keepdims})

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return self.call("argmin", (self,), {"axis": axis, "keepdims": keepdims})

    def ravel(self) -> Any:
        return self.reshape(-1)


def levels_in(a: Any) -> set:
    """The levels of an array and of those inside it."""
    if not isinstance(a, Duck):
        return set()
    if a.ground:
        return set()
    own = {a.level} if a.level != float("inf") else set()
    return own.union(*[levels_in(p) for p in a.parts()])


def has_tangent(a: Any) -> bool:
    """Whether an array, or one in a list or tuple, carries a tangent, at any level."""
    if isinstance(a, (list, tuple)):
        return any([has_tangent(e) for e in a])
    if not isinstance(a, Duck) or a.ground:
        return False
    return a.is_dual or any([has_tangent(p) for p in a.parts()])


def somewhere(condition: Any) -> bool:
    """Whether a condition holds anywhere, for any example: for checks of what a user gives."""
    while isinstance(condition, Duck):
        condition = condition.parts()[0]
    return bool(np.logical_or.reduce(condition, axis=None))


def holds(data: Any, array: Any) -> bool:
    """Whether `data` has a place for every part of `array`, so that this can be written into it."""
    if not isinstance(array, Duck):
        return True
    if not isinstance(data, Duck) or data.level < array.level:
        return False
    if data.ground and array.ground:
        return True
    if data.level > array.level:  # to `data` it is a constant, the same for every example
        return holds(data.parts()[0], array)
    return all([holds(d, a) for d, a in zip(data.parts(), array.parts(), strict=True)])


def wider(data: Any, array: Any, private: bool = False) -> Any:
    """`data` with a place for every part of `array` as well; values stay in the memory they are in,
    but where it is `private` to `data`, as tangents are.
    """
    if holds(data, array):
        return data
    if isinstance(data, Duck) and data.level >= array.level:
        return data.wider(array, private)
    return array.over(data, private)


def vacant(like: Any, dtype: Any, count: int | None = None) -> Any:
    """Zeros that lie in memory as the ndarray `like` does (as far as that has no overlaps); with
    `count`, so many of them along a new first dimension.
    """
    lead = () if count is None else (count,)
    span = 1 + sum([(n - 1) * s for n, s in zip(like.shape, like.strides, strict=True)])
    span = 1 + (span - 1) // like.itemsize
    if like.flags.c_contiguous or span < like.size or not like.size:
        return np.zeros((*lead, *like.shape), dtype)
    flat = np.zeros((*lead, span), dtype)
    steps = [s // like.itemsize * dtype.itemsize for s in like.strides]
    return np.lib.stride_tricks.as_strided(
        flat, (*lead, *like.shape), (*flat.strides[: len(lead)], *steps)
    )


def laid_out(a: Any, like: Any) -> Any:
    """A copy of an array that lies in memory as the ndarray `like` (each example of a batch does),
    as far as that has no overlaps.
    """
    if isinstance(a, Duck):
        return a.laid_out(like)
    if like.flags.c_contiguous:
        return a.copy()
    out = vacant(like, a.dtype)
    out[...] = a
    return out


def seen(array: Any, start: int, shape: Any, strides: Any, dtype: Any) -> Any:
    """The memory of an array looked at from an offset on, with a shape and strides, all in bytes,
    as numbers of `dtype`.
    """
    if isinstance(array, Duck):
        return array.seen(start, shape, strides, dtype)
    if 0 in shape:
        return np.zeros(shape, dtype)
    if array.flags.c_contiguous:
        return np.ndarray(shape, dtype, array, start, strides)
    size, look = array.itemsize, np.lib.stride_tricks.as_strided
    flat = look(array, (-(-(start + dtype.itemsize) // size),), (size,))
    first = flat.view(np.uint8)[start : start + dtype.itemsize].view(dtype)
    return look(first, shape, strides)


def memory(a: Any) -> Any:
    """The ndarray that says where an array lies in memory, and with which strides."""
    return a.memory() if isinstance(a, Duck) else a


def inward(x: Any) -> tuple | None:
    """The axes of an array from the outermost in memory to the innermost; None where that is their
    own order. Axes along which elements repeat stay where they are.
    """
    if isinstance(x, Duck):
        if not x.in_memory:
            return None
        x = x.memory()
    if x.flags.c_contiguous:
        return None
    axes = inward_of((x.strides,), x.shape)
    return None if axes == tuple(range(x.ndim)) else axes


def inward_of(strides: Sequence[Sequence[int]], shape: Sequence[int]) -> tuple:
    """The axes from the outermost in memory to the innermost, of what is computed element by
    element from arrays with these strides (0 where they repeat) and the shape: of two axes, the
    first array in which neither is repeated decides.
    """
    axes = list(range(len(shape)))
    for i in range(len(shape) - 2, -1, -1):  # as torch sorts them, from the last on
        moving = i
        for j in range(i + 1, len(shape)):
            p, q = axes[moving], axes[j]
            for own in strides:
                if own[p] and own[q] and (own[p] != own[q] or shape[q] > shape[p]):
                    break
            else:
                continue
            if own[p] > own[q]:
                break
            axes[moving], axes[j] = q, p
            moving = j
    return tuple(axes)


def in_order(made: Any, arrays: Iterable) -> Any:
    """What was computed element by element from arrays, copied if its axes do not lie in memory in
    the order that follows from theirs: NumPy leaves them as they are wherever arrays disagree.
    """
    if not is_ground(made):
        return made
    shape = made.shape
    strides = []
    for a in arrays:
        if is_ground(a):
            lies = memory(a)
            own = [0 if n == 1 != m else s for s, n, m in broadcast_steps(lies, shape)]
            strides.append([0] * (len(shape) - len(own)) + own)
        elif isinstance(a, Duck):
            return made
    return in_axes(made, inward_of(strides, shape))


def in_axes(made: Any, axes: tuple) -> Any:
    """An array, copied unless its axes lie in memory in that order, the outermost first."""
    lies = memory(made)
    ordered = lies.transpose(axes).flags.c_contiguous
    if ordered and 1 not in made.shape:
        return made
    # axes of one element have strides as well
    wanted = empty_in(axes, made.shape, made.dtype)
    return made if ordered and lies.strides == wanted.strides else laid_out(made, wanted)


def tied(made: Any, x: Any, y: Any, z: Any = None) -> Any:
    """`in_order` for two or three arrays, looked into only where it may matter: where not all lie
    row by row, and the first does not decide for all axes.
    """
    if made.ndim < 2:
        return made
    whole = getattr(x, "shape", None) == made.shape  # numbers have no shape
    return (
        made if in_rows(x) and (whole or (in_rows(y) and in_rows(z))) else in_order(made, (x, y, z))
    )


def in_rows(x: Any) -> bool:
    """Whether the numbers of an array lie row by row, or nothing is known about that."""
    if type(x) is ndarray:
        return x.flags.c_contiguous
    return not isinstance(x, Duck) or not x.in_memory or x.memory().flags.c_contiguous


def broadcast_steps(x: np.ndarray, shape: tuple) -> Iterable:
    """For each axis of an array: its stride and length, and the length that it is broadcast to."""
    return zip(x.strides, x.shape, shape[len(shape) - x.ndim :], strict=True)


def like_itself(x: np.ndarray) -> np.ndarray:
    """A copy of an array whose axes lie in memory in the order in which its own do."""
    if 0 not in x.strides:
        return x.copy("K")
    axes = inward(x)
    if axes is None:
        return x.copy()
    return x.transpose(axes).copy().transpose([axes.index(axis) for axis in range(x.ndim)])


def empty_like_itself(x: np.ndarray) -> np.ndarray:
    """An array whose axes lie in memory in the order in which those of an array do."""
    axes = inward(x)
    return np.empty(x.shape, x.dtype) if axes is None else empty_in(axes, x.shape, x.dtype)


def empty_in(axes: tuple, shape: tuple, dtype: np.dtype) -> np.ndarray:
    """An array whose axes lie in memory in that order, from the outermost to the innermost."""
    made = np.empty([shape[axis] for axis in axes], dtype)
    return made.transpose([axes.index(axis) for axis in range(len(shape))])


def highest(args: Iterable) -> Any:
    """The array type with the highest level among the arguments (also inside lists and tuples)."""
    top, level = None, -1.0
    for a in args:
        kind = type(a)
        if kind is np.ndarray or kind is int:
            continue
        if kind is tuple or kind is list:
            a = highest(a)
        if isinstance(a, Duck) and a.level > level:
            top, level = a, a.level
    return top


def is_ground(a: Any) -> bool:
    """Whether it is an array of numbers, one that is traced included."""
    return type(a) is np.ndarray or (isinstance(a, Duck) and a.ground)


def pick(data: Any, index: Any) -> Any:
    """`data[index]`, also of a plain array at places that transformations know."""
    top = highest((index,)) if type(data) is np.ndarray or isinstance(data, np.generic) else None
    return data[index] if top is None else top.call("getitem", (np.asarray(data), index), {})


def _operator(ufunc: Any) -> tuple:
    """The operator of a ufunc with one of our arrays on its left, and on its right."""
    name = ufunc.__name__

    def forward(self: Any, other: Any) -> Any:
        top = other if isinstance(other, Duck) and other.level > self.level else self
        return top.call(name, (self, other), {})

    return forward, lambda self, other: self.call(name, (other, self), {})


for _name, _ufunc in OPERATORS.items():
    _forward, _reverse = _operator(_ufunc)
    setattr(Duck, f"__{_name}__", _forward)
    setattr(Duck, f"__r{_name}__", _reverse)
for _name, _ufunc in COMPARISONS.items():
    setattr(Duck, f"__{_name}__", _operator(_ufunc)[0])
Duck.__neg__ = lambda self: np.negative(self)  # type: ignore[attr-defined, operator]
Duck.__abs__ = lambda self: np.absolute(self)  # type: ignore[attr-defined]
Duck.__invert__ = lambda self: np.invert(self)  # type: ignore[attr-defined, operator]
Duck.__hash__ = None  # type: ignore[assignment]
