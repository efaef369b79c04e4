"""vmap, grad and jvp: put the arguments on an array type (or a fresh tape), run the function, take
the result off again.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.batch import BatchArray
from ..arrays.dual import DualArray
from ..autograd.modes import enable_grad
from ..autograd.reverse import grad as tape_grad
from ..ops import define

_local = threading.local()


class _level:
    """A fresh level, above those in use in this thread, for one transformation."""

    def __enter__(self) -> int:
        _local.depth = getattr(_local, "depth", 0) + 1
        return _local.depth

    def __exit__(self, *_: object) -> None:
        _local.depth -= 1


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: Any = None,
) -> Callable:
    """`func` on every example along `in_dims` of its arguments, results stacked along `out_dims`.

    `in_dims` is a number, or for each argument a number or None (the same for every example).
    """

    @functools.wraps(func)
    def batched(*args: Any, **kwargs: Any) -> Any:
        dims = in_dims if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ValueError(
                f"vmap({func.__name__}, in_dims={in_dims}, ...)(<inputs>): in_dims is not"
                f" compatible with the structure of inputs: it has {len(dims)} entries for"
                f" {len(args)} arguments"
            )
        sizes = {
            a._data.shape[d]
            for a, d in zip(args, dims, strict=True)
            if isinstance(a, define.Tensor) and d is not None
        }
        if len(sizes) != 1:
            raise ValueError(
                "vmap: Expected all tensors to have the same size in the mapped dimension, got"
                f" sizes {sorted(sizes)} for the mapped dimension"
            )
        with _level() as level:
            out = func(*[_batch(a, d, level) for a, d in zip(args, dims, strict=True)], **kwargs)
            return _map_out(out, out_dims, lambda t, d: _unbatch(t, d, level, next(iter(sizes))))

    return batched


def _batch(a: Any, dim: Any, level: int) -> Any:
    if dim is None or not isinstance(a, define.Tensor):
        return a
    return define.wrap(BatchArray(_move(a._data, dim, 0), level))


def _unbatch(t: Any, dim: int, level: int, size: int) -> Any:
    data = t._data
    if isinstance(data, BatchArray) and data.level == level:
        return define.wrap(_move(data.array, 0, dim))
    return define.wrap(np.broadcast_to(data, (size, *data.shape)).copy())


def _move(a: Any, source: int, target: int) -> Any:
    order = [i for i in range(a.ndim) if i != source % a.ndim]
    order.insert(target % a.ndim, source % a.ndim)
    return a.transpose(order)


def _map_out(out: Any, dims: Any, f: Callable) -> Any:
    if isinstance(out, define.Tensor):
        return f(out, dims)
    if isinstance(out, dict):
        return {k: _map_out(v, dims, f) for k, v in out.items()}
    if isinstance(out, (tuple, list)):
        each = dims if isinstance(dims, (tuple, list)) else (dims,) * len(out)
        return type(out)([_map_out(o, d, f) for o, d in zip(out, each, strict=True)])
    raise ValueError(f"vmap: `func` must only return Tensors, got type {type(out)}")


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function in its argument(s) `argnums`, with its value (and aux)."""

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        numbers = (argnums,) if isinstance(argnums, int) else argnums
        with enable_grad():
            leaves, rebuilt = _leaves(args, numbers)
            out = func(*rebuilt, **kwargs)
            value, aux = out if has_aux else (out, None)
            if not isinstance(value, define.Tensor) or value._data.ndim:
                raise RuntimeError(
                    "Expected f(*args) to return a scalar tensor, got "
                    f"{getattr(value, 'shape', type(value))}"
                )
            found = iter(
                tape_grad(
                    value, leaves, create_graph=True, allow_unused=True, materialize_grads=True
                )
            )
        grads = [_structure(args[n], found) for n in numbers]
        result = grads[0] if isinstance(argnums, int) else tuple(grads)
        return (result, (value.detach(), aux)) if has_aux else (result, value.detach())

    return both


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function in its argument(s) `argnums`."""

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        result, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


def _leaves(args: tuple, numbers: tuple) -> tuple[list, list]:
    """Arguments whose tensors (also inside lists, tuples and dicts) at `numbers` are fresh
    variables of this transform.
    """
    leaves: list = []

    def fresh(a: Any) -> Any:
        if isinstance(a, define.Tensor):
            t = a.view_as(a) if a.requires_grad else define.wrap(a._data).requires_grad_()
            leaves.append(t)
            return t
        if isinstance(a, dict):
            return {k: fresh(v) for k, v in a.items()}
        return type(a)([fresh(e) for e in a]) if isinstance(a, (list, tuple)) else a

    return leaves, [fresh(a) if i in numbers else a for i, a in enumerate(args)]


def _structure(like: Any, grads: Any) -> Any:
    if isinstance(like, define.Tensor):
        return next(grads)
    if isinstance(like, dict):
        return {k: _structure(v, grads) for k, v in like.items()}
    return type(like)([_structure(e, grads) for e in like])


def jvp(func: Callable, primals: tuple, tangents: tuple) -> tuple:
    """(func(*primals), its derivative in the direction `tangents`), in one forward pass."""
    if len(primals) != len(tangents):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python"
            " structure"
        )
    with _level() as level:
        inputs = [
            define.wrap(DualArray(p._data, t._data, level))
            for p, t in zip(primals, tangents, strict=True)
        ]
        out = func(*inputs)
        return _part(out, level, "value"), _part(out, level, "tangent")


def _part(out: Any, level: int, which: str) -> Any:
    if isinstance(out, (tuple, list)):
        return type(out)([_part(o, level, which) for o in out])
    data = out._data
    if isinstance(data, DualArray) and data.level == level:
        part = data.value if which == "value" else data.tangent
        return define.wrap(
            part if part.shape == data.shape else np.broadcast_to(part, data.shape).copy()
        )
    return out if which == "value" else define.wrap(np.zeros(data.shape, data.dtype))
