"""How the forward of a user's Function runs, whatever the tensors hold.

On plain arrays it is just called. On batched tensors it is called too, unless the user wrote a
`vmap` rule: that gets the physical tensors. On dual tensors it runs on the values, and the tangents
of the outputs are the user's `jvp` of the tangents, or follow from the user's `backward`: a
cotangent u goes to J^T u, which is linear in u, so transposing once more gives J. Each case peels
off one array type and asks again, so that transformations nest.

In every case `ctx` is left with what `backward` needs on the tensors as they came: batched and dual
ones, so that the tape above works at any level.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays.batch import BatchArray
from ..arrays.boundary import part_at
from ..arrays.dual import DualArray, split
from ..arrays.duck import highest
from ..arrays.levels import RUNNING, stack
from ..ops import define
from ..tape import Node, state
from .modes import enable_grad
from .reverse import grad


class VmapInfo(NamedTuple):
    """What a Function's `vmap` rule is told about the vmap around it."""

    batch_size: int
    randomness: str


def default(f: Callable) -> Callable:
    """Marks a method of `Function` that users may override."""
    f.default = True  # type: ignore[attr-defined]
    return f


def overrides(cls: Any, name: str) -> bool:
    """Whether a user's class has its own method of that name."""
    return not hasattr(getattr(cls, name), "default")


def where(rule: Any) -> str:
    """`file.py:12` of a user's rule."""
    code = getattr(getattr(rule, "__wrapped__", rule), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else "an unknown line"


def noted(rule: Callable, cls: Any, node: Node | None, *args: Any) -> Any:
    """`rule(*args)`; an error it raises is told which rule of whose class it came from, and of
    which call.
    """
    try:
        return rule(*args)
    except Exception as e:
        call = f", of the call at {node.line}" if node is not None else ""
        e.add_note(f"in {cls.__name__}.{rule.__name__} ({where(rule)}){call}")
        raise


def run(cls: Any, ctx: Any, args: tuple, kwargs: dict) -> Any:
    """What `cls.forward` returns on `args`; fills `ctx`."""
    arrays = [a._data for a in args if isinstance(a, define.Tensor)]
    top = highest(arrays)
    by_rule = isinstance(top, BatchArray) and overrides(cls, "vmap")
    level = None if top is None or by_rule else _dual_level(arrays)
    if level is not None:
        return _run_dual(cls, ctx, args, kwargs, level)
    if by_rule:
        out = _run_vmap_rule(cls, args, top)
        cls.setup_context(ctx, args, out)
        return out
    if not overrides(cls, "setup_context"):
        return cls.forward(ctx, *args, **kwargs)
    out = cls.forward(*args, **kwargs)
    cls.setup_context(ctx, args, out)
    return out


# -- vmap ------------------------------------------------------------------------------------------


def _run_vmap_rule(cls: Any, args: tuple, top: BatchArray) -> Any:
    """The user's `vmap` on physical tensors, its outputs as batched ones."""
    if cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an"
            " overridden vmap staticmethod. Please set generate_vmap_rule=False or delete the"
            f" overridden vmap staticmethod to avoid ambiguity ({where(cls.vmap)})."
        )
    if not overrides(cls, "setup_context"):
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp,"
            " jacrev, ...), it must override the setup_context staticmethod: forward of"
            f" {cls.__name__} does not run where its vmap staticmethod ({where(cls.vmap)}) does, so"
            " it cannot set up ctx."
        )
    level: Any = top.level
    size = top.array.shape[0]
    physical = [_unbatched(a, level) for a in args]
    in_dims = tuple(None if p is a else 0 for p, a in zip(physical, args, strict=True))
    info = VmapInfo(size, _randomness(level))
    result = noted(cls.vmap, cls, None, info, in_dims, *physical)
    if not isinstance(result, tuple) or len(result) != 2:
        got = f"{len(result)} returns" if isinstance(result, tuple) else f"a {type(result)}"
        raise RuntimeError(
            "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree"
            f" structure compatible with the output. Got {got} instead ({cls.__name__}.vmap,"
            f" {where(cls.vmap)})"
        )
    out, dims = result
    many = isinstance(out, (tuple, list))
    each = dims if isinstance(dims, (tuple, list)) else (dims,) * (len(out) if many else 1)
    outs = out if many else (out,)
    if len(each) != len(outs) or (isinstance(dims, (tuple, list)) and not many):
        raise RuntimeError(
            "The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims)"
            f" tuple. Expected out_dims={dims} to be compatible with the structure of `output`"
            f" ({cls.__name__}.vmap, {where(cls.vmap)})"
        )
    known = {id(p): a for p, a in zip(physical, args, strict=True) if isinstance(a, define.Tensor)}
    batched = [
        known[id(o)] if id(o) in known else _batched(cls, o, d, level, size)
        for o, d in zip(outs, each, strict=True)
    ]
    return type(out)(batched) if many else batched[0]


def _randomness(level: int) -> str:
    """What the vmap of that level does about random numbers."""
    return next((v.randomness for v in stack.levels if v.number == level), "error")  # type: ignore[attr-defined]


def _unbatched(a: Any, level: Any) -> Any:
    data = a._data if isinstance(a, define.Tensor) else None
    if isinstance(data, BatchArray) and data.level == level:
        return define.wrap(data.array)
    return a


def _batched(cls: Any, out: Any, dim: int | None, level: Any, size: int) -> Any:
    """One output of a `vmap` rule as the tensor of one example."""
    if dim is None or not isinstance(out, define.Tensor):
        return out
    rank = out.ndim
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got"
            f" {dim}): out_dims of {cls.__name__}.vmap ({where(cls.vmap)})"
        )
    order = [dim % rank, *(i for i in range(rank) if i != dim % rank)]
    data = out._data.transpose(order)
    if data.shape[0] != size:
        raise RuntimeError(
            f"{cls.__name__}.vmap ({where(cls.vmap)}) returned an output of shape"
            f" {list(out.shape)} with out_dim {dim}, where that dimension must have the batch size"
            f" {size}"
        )
    return define.wrap(BatchArray(data, level))


# -- forward mode ----------------------------------------------------------------------------------


def _dual_level(arrays: Sequence) -> Any:
    """The highest level of a dual array among `arrays`, also inside of batched ones. One whose
    transformation has ended is a plain value, but in a backward pass through it.
    """
    levels, backward = [], state.mode[0] is operator.call
    for a in arrays:
        while isinstance(a, BatchArray):
            a = a.array
        if isinstance(a, DualArray) and (backward or a.level in RUNNING):
            levels.append(a.level)
    return max(levels, default=None)


def _split(a: Any, level: Any) -> tuple[Any, Any]:
    """Value and tangent at `level` (None for a constant), also of a batch of dual numbers."""
    if not isinstance(a, BatchArray):
        return split(a, level)
    value, tangent = _split(a.array, level)
    if tangent is None:
        return a, None
    return BatchArray(value, int(a.level)), BatchArray(_filled(tangent, value), int(a.level))


def _join(value: Any, tangent: Any, level: Any, adjoint: bool) -> Any:
    """The dual array of a value and a tangent of the same shape; inside of batches that are
    further in.
    """
    top = highest((value, tangent))
    if not isinstance(top, BatchArray) or top.level < level:
        return DualArray(value, tangent, level, adjoint)
    size, depth = top.array.shape[0], int(top.level)
    pair = [
        a.array
        if isinstance(a, BatchArray) and a.level == depth
        else np.broadcast_to(a, (size, *a.shape))
        for a in (value, tangent)
    ]
    return BatchArray(_join(pair[0], pair[1], level, adjoint), depth)


def _filled(tangent: Any, value: Any) -> Any:
    """A tangent at its value's shape."""
    same = tangent.shape == value.shape
    return tangent if same else np.broadcast_to(tangent, value.shape).copy()


def _run_dual(cls: Any, ctx: Any, args: tuple, kwargs: dict, level: Any) -> Any:
    """Forward on the values, `jvp` on the tangents, and `ctx` on the dual tensors."""
    tensors = [isinstance(a, define.Tensor) for a in args]
    pairs = [_split(a._data, level) if t else (a, None) for a, t in zip(args, tensors, strict=True)]
    values = [define.wrap(v) if t else v for (v, _), t in zip(pairs, tensors, strict=True)]
    tangents = [None if t is None else define.wrap(_filled(t, v)) for v, t in pairs]
    by_user = overrides(cls, "jvp")
    if by_user:
        leaves, needs = {}, ctx.needs_input_grad
    else:
        leaves = _leaves(values, tangents)
        needs = tuple(i in leaves for i in range(len(args)))
    adjoint = any(
        getattr(part_at(a._data, level), "adjoint", False)
        for a, t in zip(args, tensors, strict=True)
        if t
    )
    inner = type(ctx)(cls, needs)
    out = run(cls, inner, tuple(values), kwargs)
    outs = out if isinstance(out, tuple) else (out,)
    saved, constant = inner._to_save, {id(t) for t in inner._constant}
    dirty = {id(v): a for v, a in zip(values, args, strict=True) if _among(v, inner._dirty)}
    if by_user:
        pushed = _user_jvp(cls, inner, values, tangents, outs)
    else:
        pushed = _derived_jvp(cls, inner, values, leaves, tangents, outs)
    duals = tuple(
        _dual(o, None if id(o) in constant else p, level, adjoint, dirty)
        for o, p in zip(outs, pushed, strict=True)
    )
    result = duals if isinstance(out, tuple) else duals[0]
    if overrides(cls, "setup_context"):
        cls.setup_context(ctx, args, result)
    else:
        inner._to_save = saved
        _carry_over(inner, ctx, zip((*values, *outs), (*args, *duals), strict=True))
        inner._to_save = ()
    return result


def _among(x: Any, things: Sequence) -> bool:
    return any(x is t for t in things)


def _zeros_like(x: Any) -> Any:
    return define.wrap(np.zeros(x._data.shape, x._data.dtype))


def _user_jvp(cls: Any, ctx: Any, values: list, tangents: list, outs: tuple) -> Sequence:
    """What the user's `jvp` returns, one for each output, checked."""
    if ctx.materialize_grads:
        tangents = [
            _zeros_like(v) if t is None and isinstance(v, define.Tensor) else t
            for v, t in zip(values, tangents, strict=True)
        ]
    result = noted(cls.jvp, cls, None, ctx, *tangents)
    pushed = result if isinstance(result, tuple) else (result,)
    place = f" ({cls.__name__}.jvp, {where(cls.jvp)})"
    if len(pushed) != len(outs):
        raise RuntimeError(
            "Function's jvp returned an invalid number of forward gradients (expected"
            f" {len(outs)} but got {len(pushed)}){place}"
        )
    for i, (o, p) in enumerate(zip(outs, pushed, strict=True)):
        if p is None:
            continue
        if not isinstance(p, define.Tensor) or not isinstance(o, define.Tensor):
            raise RuntimeError(
                f"expected Variable or None (got {type(p).__name__}) for grad output {i}.{place}"
            )
        if p.shape != o.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the"
                f" original Tensor, this is not supported. Tensor is of size {list(o.shape)} while"
                f" the given forward gradient is of size {list(p.shape)}. It is output {i}{place}"
            )
        if p.is_complex() and not o.is_complex():
            raise RuntimeError(
                f"the forward gradient of output {i} is {p.dtype}, but the output itself is real"
                f" ({o.dtype}){place}"
            )
    return pushed


def _leaves(values: list, tangents: list) -> dict:
    """Fresh variables for the inputs that move, whose aliases take their places among `values` (so
    that a forward that writes its input in place may).
    """
    leaves = {}
    with enable_grad():
        for i, t in enumerate(tangents):
            if t is not None and define._can_require(values[i]):
                leaves[i] = values[i].requires_grad_()
                values[i] = leaves[i].view_as(leaves[i])
                values[i]._base = None
    return leaves


def _derived_jvp(
    cls: Any, ctx: Any, values: list, leaves: dict, tangents: list, outs: tuple
) -> Sequence:
    """J t for each output, from the user's `backward` alone: u -> J^T u is linear in u, and its
    transpose is J.

    A backward that cannot itself be differentiated is asked for J^T of one unit vector after
    another.
    """
    pushed: list = [None] * len(outs)
    with enable_grad():
        again = cls._recorded(ctx, tuple(values), outs) if leaves else ()
    ends = [k for k, o in enumerate(again) if isinstance(o, define.Tensor) and o.requires_grad]
    if ends:
        ys = [again[k] for k in ends]
        xs, ts = list(leaves.values()), [tangents[i] for i in leaves]
        try:
            found = _by_transposing(ys, xs, ts)
        except RuntimeError:
            found = [_by_rows(y, xs, ts) for y in ys]
        for k, p in zip(ends, found, strict=True):
            pushed[k] = p
    return pushed


def _by_transposing(ys: list, xs: list, ts: list) -> list:
    with enable_grad():
        us = [_zeros_like(y).requires_grad_() for y in ys]
        gs = grad(ys, xs, us, create_graph=True, allow_unused=True)
        total = [_zeros_like(y) for y in ys]
    for g, t in zip(gs, ts, strict=True):
        if g is not None:
            parts = grad([g], us, [t], True, allow_unused=True) if g.requires_grad else ()
            if all(p is None for p in parts):
                raise RuntimeError("a gradient is not computed from the cotangent differentiably")
            total = [s if p is None else s + p for s, p in zip(total, parts, strict=True)]
    return total


def _by_rows(y: Any, xs: list, ts: list) -> Any:
    """J t, element after element of `y`: <J^T e, t> for unit vectors e."""
    shape, dtype, size = y._data.shape, y._data.dtype, y._data.size
    rows = []
    for k in range(size):
        row: Any = dtype.type(0)
        for unit in (1, 1j) if dtype.kind == "c" else (1,):
            e = np.zeros(size, dtype)
            e[k] = unit
            e = define.wrap(e.reshape(shape))
            for g, t in zip(grad([y], xs, [e], True, allow_unused=True), ts, strict=True):
                if g is not None:
                    row = row + unit * np.add.reduce((g.conj()._data * t._data).reshape(-1)).real
        rows.append(np.broadcast_to(row, (1,)) if np.isscalar(row) else row.reshape(1))
    return define.wrap(np.concatenate(rows).reshape(shape) if rows else np.zeros(shape, dtype))


def _dual(out: Any, pushed: Any, level: Any, adjoint: bool, dirty: dict) -> Any:
    """An output with its tangent; an input that was changed in place is itself again."""
    if not isinstance(out, define.Tensor):
        return out
    data = out._data
    if pushed is not None and define._can_require(out):
        tangent = pushed._data
        if tangent.dtype is not data.dtype:
            tangent = tangent.astype(data.dtype)
        data = _join(data, tangent, level, adjoint)
    original = dirty.get(id(out))
    if original is None:
        return define.wrap(data)
    original._data = data
    return original


def _carry_over(inner: Any, ctx: Any, pairs: Any) -> None:
    """What forward left in `inner`, with each value's dual tensor in its place."""
    known = {id(v): d for v, d in pairs if isinstance(v, define.Tensor)}

    def lifted(v: Any) -> Any:
        return tuple([lifted(e) for e in v]) if type(v) is tuple else known.get(id(v), v)

    needs = ctx.needs_input_grad
    ctx.__dict__.update({name: lifted(v) for name, v in inner.__dict__.items()})
    ctx.needs_input_grad = needs
