"""Writing in place: checks, the in-place variants, and the history of what was written.

A write computes out of place, checks, writes into the tensor's memory and notes it there. A tensor
that is a view has its history rewritten together with that of its base: the base's node becomes a
`CopySlices`, which sends the view's part of a cotangent through the write and the rest past it.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays.duck import Duck, NoRule, holds, is_ground, memory, seen, wider
from ..arrays.levels import RUNNING
from ..captures import refuse_captured
from ..dtypes import F32, F64
from ..errors import LeafInPlaceError, not_a_tensor
from ..storage import LOCK, WRITTEN, tick
from ..tape import PACKING, AccumulateGrad, Ending, Node, packed_in, record, state, storage_of
from . import define
from .define import (
    Op,
    check_castable,
    check_distinct,
    check_writable,
    edges_of,
    storage_array,
    view_error,
)
from .places import put


def check_inplace(x: Any, others: Sequence = (), expanded: bool = False) -> None:
    """Raise torch's error if `x` must not be changed in place now; nothing has been changed yet.

    `others` are the operation's other arguments; `expanded`: places that share memory may be
    written.
    """
    if not isinstance(x, define.Tensor):
        raise not_a_tensor("in-place operation", "self", 1, x)
    check_writable(x)
    if RUNNING:
        refuse_captured(x)
    if state.grad:
        base = x._base
        if base is None:
            if type(x._node) is AccumulateGrad:
                raise LeafInPlaceError
        else:
            _check_view(x, base, others)
    data = x._data
    if isinstance(data, np.ndarray):
        if not data.flags.writeable:
            _read_only(data)
        if not expanded:
            check_distinct(data)
        if x._storage is not None:
            for y in others:
                if isinstance(y, define.Tensor) and y._storage is x._storage:
                    _check_overlap(data, y._data)


def _read_only(data: Any) -> None:
    raise RuntimeError(
        "the tensor's memory is a read-only NumPy array or buffer, and cannot be written in place; "
        "clone() the tensor first"
    )


def _check_overlap(a: Any, b: Any) -> None:
    """Raise if `b` looks at a part of the memory `a` is about to be written in (all of it, the same
    way, is fine).
    """
    if not same_memory(a, b) and a.flags.forc and b.flags.forc and np.may_share_memory(a, b):
        raise RuntimeError(
            "unsupported operation: some elements of the input tensor and the written-to tensor"
            " refer to a single memory location. Please clone() the tensor before performing the"
            " operation."
        )


def same_memory(a: Any, b: Any) -> bool:
    """Whether two arrays look at the same memory in the same way."""
    return a is b or (a.shape == b.shape and a.strides == b.strides and address(a) == address(b))


def address(a: Any) -> int:
    """Where an array's first element lies in memory."""
    return memory(a).__array_interface__["data"][0]


def _check_view(x: Any, base: Any, others: Sequence) -> None:
    if x._no_inplace is not None and (
        x.requires_grad or any(isinstance(y, define.Tensor) and y.requires_grad for y in others)
    ):
        raise view_error(x, "is being")
    by_leaf = base._node is None and x._node is not None  # through a view that was made a leaf
    if by_leaf or type(base._node) is AccumulateGrad or type(x._node) is AccumulateGrad:
        raise LeafInPlaceError(view=True)


def inplace(op: Op, function: Callable) -> Callable:
    """The in-place variant of an operator: compute, check, write into `self`'s memory, rewrite its
    history.
    """
    ufunc = op.kernel if isinstance(op.kernel, np.ufunc) else None
    takes_floats = ufunc is not None and any(t[0] in "fd" for t in ufunc.types)

    def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_inplace(self, args)
        data = self._data
        if (
            ufunc is not None
            and type(data) is np.ndarray
            and not kwargs
            and not _tracks(self, args)
        ):
            operands = [a._data if isinstance(a, define.Tensor) else a for a in args]
            if takes_floats and _writes_directly(data, operands):
                state.run(_into, ufunc, data, operands)
                storage_of(self).bump()
                return self
        by_tensor = any(isinstance(a, define.Tensor) for a in args)
        return assign(self, function(self, *args, **kwargs), op.name + "_", by_tensor)

    return entry


def _into(ufunc: Callable, data: Any, operands: list) -> None:
    ufunc(data, *operands, out=data)


def _tracks(self: Any, args: tuple) -> bool:
    if not state.grad:
        return False
    return self.requires_grad or any(isinstance(a, define.Tensor) and a.requires_grad for a in args)


def _writes_directly(data: Any, operands: list) -> bool:
    dtype = data.dtype
    if dtype is not F32 and dtype is not F64:
        return False
    for a in operands:
        if type(a) is float or type(a) is int:
            continue
        if (
            not isinstance(a, (np.ndarray, np.generic))
            or a.dtype is not dtype
            or a.ndim > data.ndim
        ):
            return False
        if any(m != n and m != 1 for m, n in zip(a.shape[::-1], data.shape[::-1], strict=False)):
            return False
    return True


def assign(self: Any, result: Any, name: str, by_tensor: bool = False) -> Any:
    """Write `result` (computed from `self` out of place) into `self`, and give `self` its
    history; `by_tensor`: whether another tensor has a part in it.
    """
    if result._data.shape != self._data.shape:
        raise RuntimeError(
            f"output with shape {list(self._data.shape)} doesn't match the broadcast shape "
            f"{list(result._data.shape)}"
        )
    check_castable(result._data.dtype, self._data.dtype)
    if not state.grad:
        store(self, result._data)
        storage_of(self).bump()
        return self
    node = result._node
    if node is not None:
        _save_copy(node, self._data)
    before = edges_of((self,))
    data = store(self, result._data)
    storage_of(self).bump()
    if node is not None:
        _save_output(node, result._data, data)
        rebase(self, node, result._index, before)
    elif before[0][0] is not None and not name.startswith("logical"):  # those are no node in torch
        forget(self, f"{name[:-1].title().replace('_', '')}Backward{int(by_tensor)}")
    return self


def store(x: Any, array: Any) -> Any:
    """Write an array into the memory of a tensor; returns the tensor's array."""
    data = storage_array(x)
    if state.capture is not None and isinstance(array, Duck) and isinstance(data, np.ndarray):
        state.capture.lay(x)  # detached tensors look at the memory, too
        data = x._data
    if isinstance(array, Duck) and not holds(data, array):
        widen(x, array)
        data = x._data
    data[...] = define.wrapped(array, data.dtype)
    return data


def widen(x: Any, array: Any) -> None:
    """Give the memory of a tensor, which others may look at as well, a place for every part of
    `array`: for the tangents and examples that it has and `x` does not.
    """
    base = x if x._base is None else x._base
    old = storage_array(base)
    new, start = wider(old, array), address(old)
    for view in views_of(base, x):
        lies = memory(view._data)
        view._data = seen(new, address(lies) - start, lies.shape, lies.strides, lies.dtype)
    base._data = new


def views_of(base: Any, known: Any) -> list:
    """The tensors that are views of `base`, as `known` is, if it is another. Nobody keeps a list of
    them: all who hold the storage are asked, if there are more than these two, the table of writes,
    and this function (twice, while it counts).
    """
    storage, view = base._storage, known is not base
    owners = storage.owner and storage.owner(), storage.scalar
    noted = [o for o in owners if WRITTEN.get(id(o)) is storage]
    if getrefcount(storage) == 3 + view + len(noted):
        return [known] if view else []
    held = [t for t in gc.get_referrers(storage) if isinstance(t, define.Tensor)]
    return [t for t in held if t._base is base]


def _replaced(saved: Any, old: Any, by: Any) -> Any:
    """Nested tuples with one array in place of another."""
    return tuple(
        [_replaced(v, old, by) if type(v) is tuple else by if v is old else v for v in saved]
    )


def _holds(saved: Any, array: Any) -> bool:
    return any(_holds(v, array) if type(v) is tuple else v is array for v in saved)


def _save_copy(node: Node, data: Any) -> None:
    """Let a node that saved `data` keep a copy of it, since the memory is about to be written."""
    if PACKING or node.more is not None:
        for p in packed_in(node.args):
            p.renew(data)
    if _holds(node.args, data):
        node.args = _replaced(node.args, data, data.copy())


def _save_output(node: Node, result: Any, data: Any) -> None:
    """Let a node that saved its result watch the memory the result was written to."""
    if _holds(node.args, result):
        node.args = _replaced(node.args, result, data)
        node.seq = tick()
    node.dtype = data.dtype


def rebase(self: Any, node: Node | None, index: int, before: tuple) -> None:
    """Make `node` (of the out-of-place computation) the history of the memory of `self`."""
    owner = self if self._base is None else self._base
    old, at = owner._node, owner._index
    if owner is self:
        self._node, self._index = node, index if node is not None else 0
    else:
        owner._node, owner._index = CopySlices.over(owner, self, node, before), 0
    if owner._retains and old is not None and owner._node is not None:
        keep = (
            old.notes("hooks").setdefault(at, {}).pop(math.inf, None)
        )  # the hook of retain_grad() goes with the value
        owner._node.notes("hooks").setdefault(owner._index, {})[math.inf] = keep


FORGETTING: dict[str, Op] = {}


def forget(x: Any, node: str) -> None:
    """Give `x`, all of which has been overwritten in place by what has no derivative, the history
    that says so: its gradient ends in zeros.
    """
    if not state.mode[1] or not x.requires_grad:
        return
    with LOCK:
        if node not in FORGETTING:
            entry = define.op(
                lambda x, /: x, name=node, node=node, promote=define.MOVE, namespace="primitive"
            )
            entry.vjp(lambda g: np.zeros((), g.dtype))
            FORGETTING[node] = entry.op
    before, t = edges_of((x,)), define.wrap(x._data)
    FORGETTING[node].attach((x,), (x._data,), (), t, False, None)
    rebase(x, t._node, t._index, before)


class Sliced(Ending):
    """Stands in for the operator of `CopySlices` nodes."""

    saving = True


class CopySlices(Node):
    """History of a base, one view of which was written in place: the view's part flows through
    `inner`.
    """

    __slots__ = ()

    @staticmethod
    def over(base: Any, view: Any, inner: Node | None, before: tuple) -> CopySlices:
        """The node that says: `base` is as before, but where `view` looks it is what `inner`
        computed.
        """
        others = list(zip(inner.edges, inner.index, strict=False)) if inner is not None else []
        own = (before[0][0], before[1][0])
        first = others.index(own) if own in others else None
        edges = [(base._node, base._index), *(o for k, o in enumerate(others) if k != first)]
        node = record(
            Sliced,
            base._data.shape,
            base._data.dtype,
            tuple(e for e, _ in edges),
            tuple(i for _, i in edges),
            (),
        )
        node.__class__ = SLICES
        node.args = (args_of(inner) if inner is not None else (), first)
        node.more = {
            "inner": inner,
            "geometry": geometry(base._data, view._data),
            "mixed": _mixed(base._data, view._data),
        }
        if inner is not None and inner.more is not None and "packed" in inner.more:
            node.more["packed"] = True
        return node  # type: ignore[return-value]

    def lifted(self, lift: Callable, args: tuple) -> tuple:
        inner = self.more["inner"]
        return (lift(inner, args[0]) if inner is not None else (), args[1])

    def pull(self, g: Any, args: tuple) -> tuple:
        inner_args, first = args
        inner, mixed = self.more["inner"], self.more["mixed"]
        whole = as_pairs(g) if mixed == "base" else g
        part = self.part(whole)
        parts = (
            list(inner.pull(as_complex(part) if mixed == "view" else part, inner_args))
            if inner is not None
            else []
        )
        own = parts.pop(first) if first is not None else None
        own = (
            np.zeros((), whole.dtype) if own is None else as_pairs(own) if mixed == "view" else own
        )
        rest = self.rest(whole, own)
        return (as_complex(rest) if mixed == "base" else rest, *parts)

    def plain(self, whole: Any) -> bool:
        """Whether the view's strides and offset are true of a cotangent of the base too (an array,
        and row-major).
        """
        shape, strides, *_ = self.more["geometry"]
        return is_ground(whole) and strides == contiguous_strides(shape)

    def part(self, whole: Any) -> Any:
        """The cotangent of the view."""
        if self.plain(whole):
            if not isinstance(whole, Duck):
                whole = np.ascontiguousarray(whole)
            return self.seen(whole).copy()
        return whole.reshape(-1)[view_places(*self.more["geometry"])]

    def rest(self, whole: Any, own: Any) -> Any:
        """The cotangent of the base before the write: `own` where the view looks."""
        alike = is_ground(own) if isinstance(whole, Duck) else not isinstance(own, Duck)
        if self.plain(whole) and alike:
            out = whole.copy()
            self.seen(out)[...] = own
            return out
        return put(whole.reshape(-1), own, view_places(*self.more["geometry"])).reshape(whole.shape)

    def seen(self, whole: Any) -> Any:
        """A row-major array like the base, looked at as the view looks at the base."""
        _, _, shape, strides, start = self.more["geometry"]
        size = whole.itemsize
        if isinstance(whole, Duck):
            return whole.seen(start * size, shape, tuple(s * size for s in strides), whole.dtype)
        return ndarray(shape, whole.dtype, whole, start * size, [s * size for s in strides])


SLICES = CopySlices


def contiguous_strides(shape: tuple) -> tuple:
    """The strides, in elements, of a row-major array."""
    out, step = [], 1
    for n in reversed(shape):
        out.append(step)
        step *= max(n, 1)
    return tuple(reversed(out))


def _mixed(base: Any, view: Any) -> str | None:
    """Which of the two is complex while the other is real, if they differ."""
    if (base.dtype.kind == "c") == (view.dtype.kind == "c"):
        return None
    return "base" if base.dtype.kind == "c" else "view"


def as_pairs(g: Any) -> Any:
    """A complex cotangent as that of the (real, imaginary) pairs in a last dimension."""
    return np.concatenate([g.real[..., None], -g.imag[..., None]], -1)


def as_complex(g: Any) -> Any:
    """The cotangent of pairs (real, imaginary) in the last dimension as that of complex numbers."""
    return g[..., 0] - 1j * g[..., 1]


def _parts(a: Any) -> Any:
    """The memory of a complex array as (real, imaginary) pairs in a last dimension."""
    real = a.real
    return np.lib.stride_tricks.as_strided(real, (*real.shape, 2), (*real.strides, real.itemsize))


def args_of(node: Node) -> tuple:
    """What a node saved, for each of its edges."""
    return (node.args,) if len(node.edges) == 1 and node.op.rules else node.args


def geometry(base: Any, view: Any) -> tuple:
    """How `view` lies in the memory of `base`: shapes, strides and offset, in elements (real ones,
    where just one is complex).
    """
    if isinstance(base, np.ndarray) and isinstance(view, Duck) and view.ground:
        raise NoRule("a view of memory that is not the function's own is given another history")
    base, view = memory(base), memory(view)
    mixed = _mixed(base, view)
    if mixed is not None:
        base, view = (_parts(base), view) if mixed == "base" else (base, _parts(view))
    size = base.dtype.itemsize
    start = (address(view) - address(base)) // size
    return (
        base.shape,
        tuple(s // size for s in base.strides),
        view.shape,
        tuple(s // size for s in view.strides),
        start,
    )


def view_places(
    base_shape: tuple, base_strides: tuple, shape: tuple, strides: tuple, start: int
) -> Any:
    """For each element of a view its place in `base.reshape(-1)`; the number of elements stands for
    a place outside.
    """
    count = math.prod(base_shape)
    spans = [(0, base_shape, base_strides), (start, shape, strides)]
    low = min(
        at + sum(min(0, s * (n - 1)) for s, n in zip(steps, size, strict=True))
        for at, size, steps in spans
    )
    high = max(
        at + sum(max(0, s * (n - 1)) for s, n in zip(steps, size, strict=True))
        for at, size, steps in spans
    )
    memory = np.full(max(high - low + 1, 1), count, np.intp)
    seen_by(memory[-low:], base_shape, base_strides)[...] = np.arange(count).reshape(base_shape)
    return seen_by(memory[start - low :], shape, strides).copy()


def seen_by(memory: Any, shape: Sequence, strides: Sequence) -> Any:
    """1-d memory looked at with a shape and strides (in elements)."""
    return np.lib.stride_tricks.as_strided(memory, shape, [s * memory.itemsize for s in strides])
