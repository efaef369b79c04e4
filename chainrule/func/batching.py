"""`vmap`: a function of one example, run on all of them at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..arrays.batch import BatchArray
from ..arrays.boundary import enter_batch, leave_batch
from ..arrays.duck import NoRule
from ..arrays.levels import Transform
from ..ops import define
from .trees import broadcast, leaves, rebuild, shape_of

RANDOMNESS = ("error", "different", "same")


class Batch(Transform):
    """One call of vmap: `size` examples; `randomness` says what drawing random numbers does."""

    def __init__(self, size: int, randomness: str) -> None:
        super().__init__()
        self.size, self.randomness = size, randomness


def name_of(func: Any) -> str:
    """A function's name, for messages."""
    if isinstance(func, functools.partial):
        return f"functools.partial({name_of(func.func)}, ...)"
    return getattr(func, "__name__", repr(func))


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """`func` on every example along `in_dims` of its arguments, results stacked along `out_dims`.

    `in_dims` is a dimension, or a structure like that of the arguments with a dimension, or None
    (the same for every example), for each part; `out_dims` likewise for the results, where None
    takes a result that is the same for every example. `randomness`: random numbers are an "error",
    "different" for each example, or the "same". `chunk_size` limits how many examples run at once.
    Raises ValueError for dimensions that do not fit.
    """
    if randomness not in RANDOMNESS:
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got"
            f" {randomness}"
        )
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func, updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        _check_out_dims(func, out_dims)
        dims = _flat_in_dims(func, in_dims, args)
        size = _size(dims, leaves(args))
        call = functools.partial(_call, func, args, kwargs, dims, out_dims, randomness)
        if chunk_size is None or chunk_size >= size:
            return call(size, 0)
        starts = range(0, size, chunk_size)
        parts = [call(min(chunk_size, size - s), s, whole=False) for s in starts]
        return _joined(parts, out_dims)

    return batched


def _call(
    func: Callable,
    args: tuple,
    kwargs: dict,
    dims: list,
    out_dims: Any,
    randomness: str,
    size: int,
    start: int,
    whole: bool = True,
) -> Any:
    """`func` on `size` examples from number `start`."""
    with Batch(size, randomness) as batch:
        given = [
            a if d is None else _enter(a if whole else a.narrow(d, start, size), d, batch.number)
            for a, d in zip(leaves(args), dims, strict=True)
        ]
        try:
            out = func(*rebuild(args, iter(given)), **kwargs)
        except NoRule as e:  # nobody between the user's line and here could help it
            raise RuntimeError(str(e)).with_traceback(e.__traceback__) from None
        places = _flat_out_dims(func, out_dims, out)
        found = [
            _leave(func, t, d, batch.number, size) for t, d in zip(leaves(out), places, strict=True)
        ]
    return rebuild(out, iter(found))


def _enter(x: Any, dim: int, level: int) -> Any:
    t = enter_batch.op.entry(x, level, dim % x._data.ndim)
    t._storage = define.storage_of(x)
    return t


def _leave(func: Callable, t: Any, dim: Any, level: int, size: int) -> Any:
    if dim is None:
        if isinstance(t, define.Tensor) and _is_batched(t, level):
            name = name_of(func)
            raise ValueError(
                f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
            )
        return t
    if not isinstance(t, define.Tensor):
        name = name_of(func)
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(t)}. Did you"
            " mean to set out_dims= to None for output?"
        )
    rank = t._data.ndim + 1
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got"
            f" {dim})"
        )
    if _is_batched(t, level):
        return leave_batch.op.entry(t, level, dim % rank, size)
    return t.unsqueeze(dim).repeat(*[size if k == dim % rank else 1 for k in range(rank)])


def _is_batched(t: Any, level: int) -> bool:
    return isinstance(t._data, BatchArray) and t._data.level == level


def _joined(parts: list, out_dims: Any) -> Any:
    """The results of all chunks, joined along `out_dims`."""
    dims = iter(broadcast(out_dims, parts[0]) or [])
    columns = zip(*[leaves(p) for p in parts], strict=True)
    cat = define.OPS["cat"].entry
    return rebuild(
        parts[0],
        iter([c[0] if d is None else cat(list(c), d) for c, d in zip(columns, dims)]),  # noqa: B905
    )


# -- what is wrong with a call ---------------------------------------------------------------------


def _flat_in_dims(func: Callable, in_dims: Any, args: tuple) -> list:
    """The dimension of each leaf of the arguments, checked."""
    head = f"vmap({name_of(func)}, in_dims={in_dims}, ...)(<inputs>): "
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{head}expected `in_dims` to be int or a (potentially nested) tuple matching the"
            f" structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name_of(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or"
            " you are trying to vmap over a function with no inputs. The latter is unsupported."
        )
    dims = broadcast(in_dims, args)
    if dims is None:
        raise ValueError(
            f"{head}in_dims is not compatible with the structure of `inputs`. in_dims has"
            f" structure {shape_of(in_dims)} but inputs has structure {shape_of(args)}."
        )
    for a, d in zip(leaves(args), dims, strict=True):
        _check_in_dim(head, a, d)
    return dims


def _check_in_dim(head: str, a: Any, d: Any) -> None:
    if d is None:
        return
    if not isinstance(d, int):
        raise ValueError(
            f"{head}Got in_dim={d} for an input but in_dim must be either an integer dimension or"
            " None."
        )
    if not isinstance(a, define.Tensor):
        raise ValueError(
            f"{head}Got in_dim={d} for an input but the input is of type {type(a)}. We cannot vmap"
            " over non-Tensor arguments, please use None as the respective in_dim"
        )
    n = a._data.ndim
    if not -n <= d < n:
        raise ValueError(
            f"{head}Got in_dim={d} for some input, but that input is a Tensor of dimensionality"
            f" {n} so expected in_dim to satisfy -{n} <= in_dim < {n}."
        )


def _size(dims: list, tensors: list) -> int:
    sizes = [t._data.shape[d] for t, d in zip(tensors, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes"
            f" {sizes} for the mapped dimension"
        )
    return sizes[0]


def _check_out_dims(func: Callable, out_dims: Any) -> None:
    if not all(d is None or isinstance(d, int) for d in leaves(out_dims)):
        raise ValueError(
            f"vmap({name_of(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or"
            " a python collection of ints representing where in the outputs the vmapped dimension"
            " should appear."
        )


def _flat_out_dims(func: Callable, out_dims: Any, out: Any) -> list:
    if isinstance(out, define.Tensor) and isinstance(out_dims, tuple) and len(out_dims) == 1:
        return list(out_dims)
    dims = broadcast(out_dims, out)
    if dims is None:
        raise ValueError(
            f"vmap({name_of(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not"
            f" compatible with the structure of `outputs`. out_dims has structure"
            f" {shape_of(out_dims)} but outputs has structure {shape_of(out)}."
        )
    return dims
