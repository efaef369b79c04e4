"""vmap as an array type: an array of examples that looks like one example.

`BatchArray` holds a physical array whose axis 0 counts the examples; its shape is that of one of
them. Elementwise functions align the examples' axes and run once on the physical arrays;
reductions, shapes and indices act one axis further right. Nested vmaps nest the arrays, each with a
level of its own.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import define
from ..ops.places import put, put_add
from ..tape import state
from .duck import Duck, NoRule, laid_out, like_itself, memory, seen, tied, vacant, wider
from .levels import RUNNING
from .sums import add_up
from .waist import waist

FLOATS = (np.dtype("f4"), np.dtype("f8"))  # what BLAS multiplies


class BatchArray(Duck):
    """`array` seen as one of the examples along its axis 0."""

    __slots__ = ("array", "level")
    in_memory = True
    words = "a tensor inside vmap"

    def __init__(self, array: Any, level: int) -> None:
        self.array, self.level = array, level

    shape = property(lambda self: self.array.shape[1:])  # type: ignore[assignment]
    dtype = property(lambda self: self.array.dtype)  # type: ignore[assignment]
    ndim = property(lambda self: self.array.ndim - 1)  # type: ignore[assignment]

    def parts(self) -> tuple:
        return (self.array,)

    def constant(self) -> Any:
        inside = self.array
        return BatchArray(inside.constant(), self.level) if isinstance(inside, Duck) else self

    def check(self) -> None:
        """Raise if the vmap has ended, unless a backward pass goes through it."""
        if self.level not in RUNNING and state.mode[0] is not operator.call:
            raise RuntimeError(
                "a tensor that stands for one example of a vmap was used after that vmap had"
                " ended; return it from the function instead of keeping it"
            )

    def exposed(self) -> Any:
        self.check()
        return super().exposed()

    def __bool__(self) -> bool:
        self.check()
        raise NoRule(
            "vmap: It looks like you're attempting to use a Tensor in some data-dependent control"
            " flow. We don't support that yet, please file an issue at"
            " https://github.com/pytorch/pytorch/issues . (Use torch.where to choose for each"
            " example.)"
        )

    def item(self) -> Any:
        self.check()
        raise NoRule(
            "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over"
            " calling .item() on a Tensor, please try to rewrite what you're doing with other"
            " operations. If error is occurring somewhere inside PyTorch internals, please file a"
            " bug report."
        )

    tolist = __float__ = __int__ = __index__ = __complex__ = item

    def memory(self) -> Any:
        return memory(self.array)[0, ...] if len(self.array) else memory(self.array).sum(axis=0)

    def whole(self) -> Any:
        return self.array.whole() if isinstance(self.array, Duck) else self.array

    def kept(self) -> Any:
        inside = self.array
        kept = inside.kept() if isinstance(inside, Duck) else like_itself(inside)
        return BatchArray(kept, self.level)

    def repr_with(self, show: Callable) -> str:
        inside = show(self.array).replace("\n", "\n    ")
        return f"BatchedTensor(lvl={self.level}, bdim=0, value=\n    {inside}\n)"

    def values(self) -> Any:
        return self.array.values() if isinstance(self.array, Duck) else self.array

    def settle(self) -> None:
        if isinstance(self.array, Duck):
            self.array.settle()

    def laid_out(self, like: Any) -> Any:
        physical = vacant(like, self.dtype, len(self.array))
        return BatchArray(laid_out(self.array, physical), self.level)

    def by_example(self, new: Any) -> Any:
        examples = np.broadcast_to(new, (len(self.array), *new.shape)).copy()
        if isinstance(self.array, Duck):
            examples = self.array.by_example(examples)
        return BatchArray(examples, self.level)

    def seen(self, start: int, shape: Any, strides: Any, dtype: Any) -> Any:
        shape, strides = (len(self.array), *shape), (memory(self.array).strides[0], *strides)
        return BatchArray(seen(self.array, start, shape, strides, dtype), self.level)

    def wider(self, array: Any, private: bool) -> Any:
        examples = array.array if is_batched(array, self.level) else array
        return BatchArray(wider(self.array, examples, private), self.level)

    def over(self, data: Any, private: bool) -> Any:
        if private:
            count = len(self.array)
            examples = np.broadcast_to(data, (count, *data.shape))
            own = laid_out(examples, vacant(memory(data), data.dtype, count))
            return wider(BatchArray(own, self.level), self, True)
        raise RuntimeError(
            "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a"
            " Tensor `other` in extra_args that has more elements than `self`. This happened due"
            " to `other` being vmapped over but `self` not being vmapped over in a vmap. Please"
            " try to use out-of-place operators instead of inplace arithmetic. If said operator is"
            " being called inside the PyTorch framework, please file a bug report instead."
        )

    @classmethod
    def fallback(
        cls, f: Callable, on_tensors: Callable, args: tuple, extra: bool = False, op: Any = None
    ) -> Any:
        """f on one example after the other."""
        level = max(a.level for a in _flat(args) if isinstance(a, BatchArray))
        size = batch_size(args, level)
        results = [f(*_example(args, i, level)) for i in range(size)]
        if not results:
            zeros = [_zeros_example(a, level) for a in args]
            return _stacked([f(*zeros)], level, 0)
        return _stacked(results, level, size)

    def call(self, name: str, args: tuple, kwargs: dict) -> Any:
        level = self.level
        if level not in RUNNING:
            self.check()
        rule = RULES.get(name)
        if rule is not None:
            return rule(level, *args, **kwargs)
        f = _named(name)
        if isinstance(f, np.ufunc) or f.op.plain:
            return elementwise(level, f, args, kwargs)
        return self.fallback(f, f.op.entry, args)


@functools.cache
def _named(name: str) -> Any:
    """NumPy's function of that name, if it is elementwise, or the primitive."""
    f = define.PRIMITIVES.get(name) or getattr(np, name, None)
    if not isinstance(f, np.ufunc) and not hasattr(f, "op"):
        raise NoRule(f"vmap has no rule for {name!r}")
    return f


def _flat(args: Any) -> list:
    return [b for a in args for b in (_flat(a) if isinstance(a, (list, tuple)) else (a,))]


def _example(a: Any, i: int, level: int) -> Any:
    """Example i of an array, also inside lists and tuples."""
    if is_batched(a, level):
        return a.array[i]
    return type(a)([_example(e, i, level) for e in a]) if type(a) in (list, tuple) else a


def _zeros_example(a: Any, level: int) -> Any:
    """What stands for an example where there is none."""
    if is_batched(a, level):
        return np.zeros(a.shape, a.dtype)
    return type(a)([_zeros_example(e, level) for e in a]) if type(a) in (list, tuple) else a


def _stacked(results: list, level: int, size: int) -> Any:
    """The results of all examples as arrays of examples."""
    first = results[0]
    if type(first) in (list, tuple):
        return type(first)([_stacked(list(r), level, size) for r in zip(*results, strict=True)])
    if not isinstance(first, (np.ndarray, np.generic, Duck)):
        return first
    rows = [np.asarray(r) if isinstance(r, np.generic) else r for r in results]
    other = next((i for i, r in enumerate(rows) if r.shape != first.shape), None)
    if other is not None:
        raise RuntimeError(
            f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0"
            f" and {list(rows[other].shape)} at entry {other}"
        )
    return BatchArray(np.concatenate([r[None] for r in rows])[:size], level)


def elementwise(level: int, f: Callable, args: tuple, kwargs: dict) -> Any:
    """f on the physical arrays, the examples' axes aligned from the right."""
    arrays, least, rank = [], 1000, 0
    for a in args:
        if type(a) is BatchArray and a.level == level:
            a = a.array
            n = a.ndim - 1
            if n < least:  # min() would take longer than the rest
                least = n
        else:
            n = getattr(a, "ndim", 0)
        if n > rank:
            rank = n
        arrays.append(a)
    if least < rank:
        arrays = [aligned(a, rank, level) for a in args]
    out = f(*arrays, **kwargs)
    if type(out) is tuple:
        return tuple(BatchArray(o, level) for o in out)
    return BatchArray(tied(out, *arrays) if len(arrays) == 2 else out, level)


def aligned(a: Any, rank: int, level: int) -> Any:
    """The physical array with axes of size 1 after the batch axis, so that examples broadcast as
    `rank`-d arrays.
    """
    if not is_batched(a, level):
        return a
    lack = rank - a.ndim
    return (
        a.array.reshape((a.array.shape[0], *(1,) * lack, *a.array.shape[1:])) if lack else a.array
    )


def is_batched(a: Any, level: int) -> bool:
    """Whether `a` is an array of the batch at `level`."""
    return type(a) is BatchArray and a.level == level


def batch_size(args: Any, level: int) -> int:
    """The number of examples."""
    return next(a.array.shape[0] for a in _flat(args) if is_batched(a, level))


def physical(a: Any, size: int, level: int) -> Any:
    """The array with a batch axis in front, repeated without copying where it has none."""
    if is_batched(a, level):
        return a.array
    a = np.asarray(a) if not isinstance(a, Duck) else a
    return np.broadcast_to(a, (size, *a.shape))


def _setitem(level: int, x: Any, index: Any, value: Any) -> None:
    size = x.array.shape[0]
    places, order = located(level, index, x.ndim, size)
    x.array[places] = _ordered(_spread(physical(value, size, level), index, x.shape), order)


def _restride(level: int, x: Any, shape: tuple, strides: tuple) -> Any:
    first = memory(x.array).strides[0]
    size = x.array.shape[0]
    return BatchArray(waist("restride")(x.array, (size, *shape), (first, *strides)), level)


def _reduction(ufunc: Any) -> Callable:
    def rule(level: int, x: Any, axis: Any = 0, out: None = None, **kwargs: Any) -> Any:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        shifted = tuple([a % x.ndim + 1 for a in axes]) if x.ndim else ()
        a = x.array
        if type(a) is np.ndarray and shifted == (1,) and a.ndim == 2 and a.shape[1] * 4 < len(a):
            a = a.T.copy().T  # many short rows take longer than few long columns
        return BatchArray(ufunc.reduce(a, axis=shifted, **kwargs), level)

    return rule


def _sum(
    level: int, x: Any, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False
) -> Any:
    """Sums over axes; of many short columns or rows as one product with ones, which is several
    times faster.
    """
    a = x.array
    n = a.ndim - 1
    axes = range(n) if axis is None else (axis,) if isinstance(axis, int) else axis
    shifted = tuple([i % n + 1 for i in axes]) if n else ()
    if (
        shifted == (1,)
        and type(a) is np.ndarray
        and a.dtype in FLOATS
        and dtype in (None, a.dtype)
        and a.flags.c_contiguous
    ):
        if n == 2 and a.size > 4096:
            total = np.ones((1, a.shape[1]), a.dtype) @ a
            return BatchArray(total if keepdims else total[:, 0], level)
        if n == 1 and a.size > 1024 and a.shape[1] <= 64:
            total = a @ np.ones((a.shape[1], 1), a.dtype)
            return BatchArray(total if keepdims else total[:, 0], level)
    return BatchArray(add_up(a, shifted, keepdims, dtype), level)


def _accumulate(ufunc: Any) -> Callable:
    return lambda level, x, axis=0, **kwargs: BatchArray(
        ufunc.accumulate(x.array, axis=axis % x.ndim + 1, **kwargs), level
    )


def _along(f: Callable) -> Callable:
    """The rule of a function along one axis, or (axis None) over the flat array."""

    def rule(
        level: int, x: Any, axis: int | None = -1, keepdims: bool = False, **kwargs: Any
    ) -> Any:
        if axis is None:
            out = f(x.array.reshape(x.array.shape[0], -1), axis=1, **kwargs)
            return BatchArray(out.reshape(-1, *(1,) * x.ndim) if keepdims else out, level)
        if keepdims:
            kwargs["keepdims"] = True
        return BatchArray(f(x.array, axis=axis % x.ndim + 1, **kwargs), level)

    return rule


def _reshape(level: int, x: Any, shape: tuple) -> Any:
    if -1 in shape:
        known = math.prod([n for n in shape if n != -1])
        shape = tuple(x.size // max(known, 1) if n == -1 else n for n in shape)
    return BatchArray(x.array.reshape((x.array.shape[0], *shape)), level)


def located(level: int, index: Any, ndim: int, size: int) -> tuple[tuple, tuple | None]:
    """An index of an example as one of the physical array, and where its result's axes belong.

    Where the index arrays differ by example, or stand apart (so that NumPy puts their axes first),
    the number of the example becomes an index array too. The result then has the axes (examples,
    those of the index arrays, the rest), and `order` says how they are brought into place.
    """
    parts = _expanded(index if isinstance(index, tuple) else (index,), ndim)
    arrays = [k for k, i in enumerate(parts) if isinstance(i, (np.ndarray, Duck))]
    if not arrays:
        return (slice(None), *parts), None
    advanced = [k for k, i in enumerate(parts) if not (i is None or isinstance(i, slice))]
    together = advanced[-1] - advanced[0] == len(advanced) - 1
    if together and not any(is_batched(parts[k], level) for k in arrays):
        return (slice(None), *parts), None
    rank = max(parts[k].ndim for k in arrays)
    number = np.arange(size).reshape((size,) + (1,) * rank)
    moved = [aligned(i, rank, level) if isinstance(i, Duck) else i for i in parts]
    before = advanced[0] if together else 0
    rest = len(parts) - len(advanced)
    axes = list(range(1 + rank, 1 + rank + rest))
    order = (0, *axes[:before], *range(1, 1 + rank), *axes[before:])
    return (number, *moved), order


def _expanded(index: tuple, ndim: int) -> list:
    """An index with its Ellipsis written out, and masks as the places they hold."""
    parts: list = []
    for i in index:
        if isinstance(i, Duck) and i.dtype.kind == "b":
            raise NoRule("the places of a mask that differs by example")
        if isinstance(i, np.ndarray) and i.dtype.kind == "b" and not i.ndim:
            raise NoRule("a mask without dimensions")
        parts.extend(i.nonzero() if isinstance(i, np.ndarray) and i.dtype.kind == "b" else (i,))
    taken = sum(i is not None and i is not Ellipsis for i in parts)
    fill = [slice(None)] * (ndim - taken)
    at = next((k for k, i in enumerate(parts) if i is Ellipsis), None)
    return parts + fill if at is None else parts[:at] + fill + parts[at + 1 :]


def _getitem(level: int, x: Any, index: Any) -> Any:
    if type(index) is not tuple:
        index = (index,)
    if not any([isinstance(i, (np.ndarray, Duck)) for i in index]):
        return BatchArray(x.array[(slice(None), *index)], level)
    size = batch_size((x, index), level)
    places, order = located(level, index, x.ndim, size)
    out = physical(x, size, level)[places]
    return BatchArray(out if order is None else out.transpose(order), level)


def _ordered(y: Any, order: tuple | None) -> Any:
    """A value for the places of `located`, its axes as the index has them."""
    return y if order is None else y.transpose(tuple(np.argsort(order).tolist()))


def _rank_at(index: Any, shape: tuple) -> int:
    """The number of dimensions of x[index] for an x of that shape."""
    parts = index if isinstance(index, tuple) else (index,)
    plain = tuple([np.zeros(i.shape, np.intp) if isinstance(i, Duck) else i for i in parts])
    return np.broadcast_to(np.int8(0), shape)[plain].ndim


def _put_add(level: int, x: Any, index: Any, shape: tuple) -> Any:
    size = batch_size((x, index), level)
    places, order = located(level, index, len(shape), size)
    y = _ordered(_spread(physical(x, size, level), index, shape), order)
    return BatchArray(put_add(y, places, (size, *shape)), level)


def _spread(y: Any, index: Any, shape: tuple) -> Any:
    """A physical array with axes of size 1 so that each example has as many as x[index]."""
    lack = _rank_at(index, shape) - (y.ndim - 1)
    return y.reshape(y.shape[0], *(1,) * lack, *y.shape[1:]) if lack > 0 else y


def _put(level: int, x: Any, y: Any, index: Any) -> Any:
    size = batch_size((x, y, index), level)
    places, order = located(level, index, x.ndim, size)
    y = _ordered(_spread(physical(y, size, level), index, x.shape), order)
    return BatchArray(put(physical(x, size, level), y, places), level)


def _matmul(level: int, x: Any, y: Any) -> Any:
    """All examples' products: as one large product where the examples share an operand, as a
    multiplication where there is nothing to add up (an outer product).
    """
    if x.ndim == 1 and y.ndim == 1 and x.shape == y.shape:
        product = elementwise(level, np.multiply, (x, y), {}).array
        return BatchArray(np.add.reduce(product, axis=-1, dtype=product.dtype), level)
    if y.ndim == 1:
        if x.ndim == 2 and not is_batched(x, level):
            return BatchArray(y.array @ x.transpose((1, 0)), level)
        return _matmul(level, x, y[:, None])[..., 0]
    if x.ndim == 1:
        if y.ndim == 2 and not is_batched(y, level):
            return BatchArray(x.array @ y, level)
        return _matmul(level, x[None], y)[..., 0, :]
    if x.ndim == y.ndim == 2 and y.shape[1] == 1 and not is_batched(x, level):
        return BatchArray((y.array[..., 0] @ x.transpose((1, 0)))[..., None], level)
    rank = max(x.ndim, y.ndim)
    a, b = aligned(x, rank, level), aligned(y, rank, level)
    if a.shape[-1] == 1 == b.shape[-2] and type(a) is np.ndarray and type(b) is np.ndarray:
        return BatchArray(_outer(a[..., 0], b[..., 0, :]), level)
    if b.ndim == 2 and isinstance(a, np.ndarray) and a.flags.c_contiguous:
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) @ b
        return BatchArray(rows.reshape(*a.shape[:-1], b.shape[1]), level)
    return BatchArray(np.matmul(a, b), level)


OUTER = {(1, 1): "i,j->ij", (2, 2): "bi,bj->bij", (2, 1): "bi,j->bij", (1, 2): "i,bj->bij"}


def _outer(a: Any, b: Any) -> Any:
    """The products of each element along the last axis of one array with each of another's, twice
    as fast as by broadcasting, and never -0, as in any sum.
    """
    if (a.ndim, b.ndim) in OUTER:
        return np.einsum(OUTER[a.ndim, b.ndim], a, b)
    return np.einsum("...i,...j->...ij", a, b)


def _concatenate(level: int, arrays: Any, axis: int = 0) -> Any:
    size = batch_size(arrays, level)
    rank = arrays[0].ndim
    return BatchArray(
        np.concatenate([physical(a, size, level) for a in arrays], axis=axis % rank + 1), level
    )


def _take_along(level: int, x: Any, index: Any, axis: int) -> Any:
    size = batch_size((x, index), level)
    return BatchArray(
        np.take_along_axis(
            physical(x, size, level), physical(index, size, level), axis % x.ndim + 1
        ),
        level,
    )


def _broadcast_to(level: int, x: Any, shape: tuple) -> Any:
    return BatchArray(
        np.broadcast_to(aligned(x, len(shape), level), (x.array.shape[0], *shape)), level
    )


def _put_along(
    level: int, x: Any, index: Any, axis: int, shape: tuple, repeated: bool = False
) -> Any:
    size = batch_size((x, index), level)
    put_along = define.PRIMITIVES["put_along"]
    x, index = physical(x, size, level), physical(index, size, level)
    return BatchArray(put_along(x, index, axis % len(shape) + 1, (size, *shape), repeated), level)


def _recurrence(level: int, x: Any, y: Any, axis: int) -> Any:
    size = batch_size((x, y), level)
    recurrence = define.PRIMITIVES["recurrence"]
    return BatchArray(
        recurrence(physical(x, size, level), physical(y, size, level), axis % x.ndim + 1), level
    )


def _trailing(name: str) -> Callable:
    """A primitive that works on the last axes, whatever stands before them."""
    return lambda level, x, *args: BatchArray(define.PRIMITIVES[name](x.array, *args), level)


def _convolution(name: str) -> Callable:
    """Convolutions of all examples: more examples for one kernel, or more groups."""

    def rule(level: int, x: Any, y: Any, *rest: Any) -> Any:
        f, size = define.PRIMITIVES[name], batch_size((x, y, *rest), level)
        bias, rest = (rest[0], rest[1:]) if name != "convolve_kernel" else (None, rest)
        if name != "convolve_kernel" and not is_batched(y, level) and not is_batched(bias, level):
            return _apart(level, f(_merged(x.array), y, bias, *rest), size)
        *geometry, groups = rest
        x, y = physical(x, size, level), physical(y, size, level)
        x = _beside(x)
        if name == "convolve_kernel":
            out = f(x, _beside(y), *geometry, groups * size)
            return _apart(level, out, size)
        bias = None if bias is None else _merged(physical(bias, size, level))
        out = f(x, _merged(y), bias, *geometry, groups * size)
        parts = out.reshape(out.shape[0], size, out.shape[1] // size, *out.shape[2:])
        return BatchArray(parts.swapaxes(0, 1), level)

    return rule


def _merged(a: Any) -> Any:
    """(batch, n, ...) as (batch * n, ...)."""
    return a.reshape(a.shape[0] * a.shape[1], *a.shape[2:])


def _beside(a: Any) -> Any:
    """(batch, n, channels, ...) as (n, batch * channels, ...)."""
    a = a.swapaxes(0, 1)
    return a.reshape(a.shape[0], a.shape[1] * a.shape[2], *a.shape[3:])


def _apart(level: int, a: Any, size: int) -> Any:
    """(batch * n, ...) as examples of (n, ...)."""
    return BatchArray(a.reshape(size, a.shape[0] // size, *a.shape[1:]), level)


def _partition(f: Callable) -> Callable:
    return lambda level, x, kth, axis=-1: BatchArray(f(x.array, kth, axis=axis % x.ndim + 1), level)


RULES: dict[str, Callable] = {
    "setitem": _setitem,
    "restride": _restride,
    "add.reduce": _sum,
    "multiply.reduce": _reduction(np.multiply),
    "maximum.reduce": _reduction(np.maximum),
    "minimum.reduce": _reduction(np.minimum),
    "logical_and.reduce": _reduction(np.logical_and),
    "logical_or.reduce": _reduction(np.logical_or),
    "argmax": _along(np.argmax),
    "argmin": _along(np.argmin),
    "argsort": _along(np.argsort),
    "sort": _along(np.sort),
    "partition": _partition(np.partition),
    "argpartition": _partition(np.argpartition),
    "add.accumulate": _accumulate(np.add),
    "multiply.accumulate": _accumulate(np.multiply),
    "maximum.accumulate": _accumulate(np.maximum),
    "minimum.accumulate": _accumulate(np.minimum),
    "logaddexp.accumulate": _accumulate(np.logaddexp),
    "reshape": _reshape,
    "transpose": lambda level, x, axes: BatchArray(
        x.array.transpose((0, *[a % x.ndim + 1 for a in axes])), level
    ),
    "astype": lambda level, x, dtype: BatchArray(x.array.astype(dtype), level),
    "copy": lambda level, x: BatchArray(x.array.copy(), level),
    "real": lambda level, x: BatchArray(x.array.real, level),
    "imag": lambda level, x: BatchArray(x.array.imag, level),
    "view": lambda level, x, dtype: BatchArray(x.array.view(dtype), level),
    "getitem": _getitem,
    "matmul": _matmul,
    "dot": _matmul,
    "where": lambda level, c, x, y: elementwise(level, np.where, (c, x, y), {}),
    "concatenate": _concatenate,
    "take_along_axis": _take_along,
    "broadcast_to": _broadcast_to,
    "put_add": _put_add,
    "put_along": _put_along,
    "recurrence": _recurrence,
    "put": _put,
    **{name: _trailing(name) for name in ("windows", "overlap", "segments")},
    **{name: _convolution(name) for name in ("convolve", "convolve_back", "convolve_kernel")},
}
