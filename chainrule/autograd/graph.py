"""The graph from the outside: nodes, edges, hooks over several gradients, what is saved and where,
version counters.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..ops import define
from ..storage import owner_of
from ..tape import Node as Node
from ..tape import RemovableHandle, state, storage_of
from . import saved
from .engine import will_run


class GradientEdge(NamedTuple):
    """Where a gradient arrives: output `output_nr` of `node`.

    `autograd.grad` and `backward` take it in place of the tensor, which then need not be kept.
    """

    node: Any
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The edge that the gradient of `tensor` arrives at."""
    node = tensor._history()
    if node is None:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require"
            " gradients"
        )
    return GradientEdge(node.shown, tensor._index)


def increment_version(tensor: Any) -> None:
    """Note that the memory of a tensor (or of each of several) was changed by something that
    autograd did not see.
    """
    for t in (tensor,) if isinstance(tensor, define.Tensor) else tensor:
        storage_of(t).bump()


# -- hooks over several tensors --------------------------------------------------------------------


class _Handles(RemovableHandle):
    """Removes several hooks at once."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take all the hooks away."""
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence, fn: Callable, *, mode: str = "all"
) -> RemovableHandle:
    """Call `fn` once in each backward pass for all of `tensors` together.

    With mode "all", `fn(grads)` is called when the gradients of all those tensors that the pass
    reaches are there; the others' are None. With mode "any", `fn(grad)` is called with the first
    gradient that arrives.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if mode == "any":
        wanted = [t for t in tensors if t.requires_grad]
        first = _first_only(fn)
        return _Handles([t.register_hook(first) for t in wanted])
    nodes = [_node_of(t) for t in tensors]
    together = _Together(fn, nodes)
    return _Handles(
        [t.register_hook(functools.partial(together, i)) for i, t in enumerate(tensors)]
    )


def _node_of(t: Any) -> Node:
    node = t.node if isinstance(t, GradientEdge) else t._history()
    if node is None:
        raise AssertionError(
            "Expected gradient function to be set: a multi-grad hook was given a tensor that does"
            " not require grad"
        )
    return node


def _first_only(fn: Callable) -> Callable:
    """`fn` at its first call in each backward pass, nothing after."""
    walks: weakref.WeakSet = weakref.WeakSet()
    lock = threading.Lock()

    @functools.wraps(fn)
    def first(grad: Any) -> None:
        with lock:
            walk = state.walk()
            if walk in walks:
                return
            walks.add(walk)
        fn(grad)

    return first


class _Together:
    """Gathers the gradients of several tensors in a backward pass, then calls the hook."""

    def __init__(self, fn: Callable, nodes: list[Node]) -> None:
        self.fn, self.nodes = fn, nodes
        self.gathered: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self.lock = threading.Lock()

    def __call__(self, place: int, grad: Any) -> None:
        walk = state.walk()
        with self.lock:
            if walk not in self.gathered:
                missing = will_run(walk, self.nodes, self.nodes[place])
                self.gathered[walk] = ([None] * len(self.nodes), missing)
            grads, missing = self.gathered[walk]
            grads[place] = grad
            missing.discard(place)
            if missing:
                return
            del self.gathered[walk]
        self.fn(grads)


# -- hooks on what is saved ------------------------------------------------------------------------


class saved_tensors_hooks:
    """Within this block, nodes keep `pack_hook(tensor)` in place of each tensor they save, and call
    `unpack_hook` on it in the backward pass for a tensor of the same values.

    What `pack_hook` returns may be anything; it must not change its input. Of nested blocks the
    innermost counts; other threads are not concerned. Raises RuntimeError within
    `disable_saved_tensors_hooks`.
    """

    def __init__(self, pack_hook: Callable, unpack_hook: Callable) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> Any:
        if state.hooks_disabled is not None:
            raise RuntimeError(state.hooks_disabled)
        saved.push(self.pack_hook, self.unpack_hook)

    def __exit__(self, *_: object) -> None:
        saved.pop()


class save_on_cpu(saved_tensors_hooks):
    """Within this block nodes keep what they save on the CPU: where it is already.

    `pin_memory` changes nothing. In-place writes to saved values are found out as ever.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(saved.Kept, saved.Kept.get)


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within this block, setting saved-tensor hooks raises RuntimeError(error_message)."""
    if state.hooks:
        raise RuntimeError(error_message)
    before, state.hooks_disabled = state.hooks_disabled, error_message
    try:
        yield
    finally:
        state.hooks_disabled = before


class _MutableSaves:
    """What `allow_mutation_on_saved_tensors` knows of the tensors saved within it."""

    def __init__(self) -> None:
        self.original: weakref.WeakSet = weakref.WeakSet()
        self.cloned: weakref.WeakSet = weakref.WeakSet()
        self.open = True

    def pack(self, tensor: Any) -> saved.Kept:
        """Remember a tensor that is being saved."""
        kept = saved.Kept(tensor)
        self.original.add(kept)
        return kept

    def unpack(self, kept: saved.Kept) -> Any:
        """The tensor as it was when it was saved."""
        if not self.open:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context"
                "in which the graph was originally recorded."
            )
        return kept.get()

    def before_write(self, x: Any) -> None:
        """Clone what was saved of the memory of `x`."""
        memory = x._data
        scalar = memory if x._storage is None else x._storage.scalar  # what it was once
        for kept in list(self.original):
            array = kept.tensor._data
            if memory is array or scalar is array or _share(memory, array):
                kept.clone, kept.tensor = define.wrap(array.copy()), None
                self.original.discard(kept)
                self.cloned.add(kept)

    def clear(self) -> None:
        """Forget everything."""
        self.original.clear()
        self.cloned.clear()


def _share(x: Any, y: Any) -> bool:
    arrays = isinstance(x, np.ndarray) and isinstance(y, np.ndarray)
    return arrays and owner_of(x) is owner_of(y)


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_MutableSaves]:
    """Within this block, values that nodes saved may be overwritten in place: they are cloned
    before, and gradients are those of the original values.

    The backward pass must run within the block too. Blocks cannot be nested.
    """
    if state.mutable:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    saves = _MutableSaves()
    with saved_tensors_hooks(saves.pack, saves.unpack):
        state.mutable = True
        define.WATCHERS.append(saves.before_write)
        try:
            yield saves
        finally:
            define.WATCHERS.remove(saves.before_write)
            saves.open = state.mutable = False
            saves.clear()
