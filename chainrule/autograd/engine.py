"""The backward pass: iterative, by dependency counts, latest node first.

First count, for every node that can be reached, how many gradients it will receive; then run the nodes whose count is
used up, the most recently recorded first, as torch does. The engine does what rules would otherwise repeat: it reduces
each cotangent to the shape and dtype of the value it belongs to, accumulates, converts torch's conjugate convention where
gradients enter and leave, runs hooks, checks that saved values were not overwritten, and frees what was saved.

A cotangent may be smaller than its value as long as it broadcasts (the gradient of a sum is one number); it is expanded
where a rule or a user needs the whole of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from ..arrays.grad import GradArray
from ..dtypes import F32, F64, HALVES
from ..errors import FreedGraphError
from ..ops import define
from ..tape import AccumulateGrad, Node, state, storage_of

Targets = dict  # (node, output index) -> the cotangent found there, or None
ndarray = np.ndarray


def run(roots: Sequence, retain: bool, create: bool, targets: Targets | None = None, accumulate: bool = True) -> None:
    """Send the cotangents `roots` ([(node, index, g)]) backward; fill `targets`, or else the leaves' `.grad`."""
    counts = count_dependencies(node for node, _, _ in roots)
    needed = None if targets is None else reaching(counts, {node for node, _ in targets})
    walk = Walk(counts, needed, retain, create, targets, accumulate)
    was = state.grad
    state.grad = create
    try:
        for node, index, g in roots:
            walk.arrive(node, index, fit(g, *shape_of(node, index)))
        walk.start(dict.fromkeys(node for node, _, _ in roots))
    finally:
        state.grad = was


def count_dependencies(roots: Any) -> dict:
    """For each reachable node the number of gradients that will arrive, not counting the roots' own."""
    counts: dict[Node, int] = {}
    stack: list[Node] = []
    for node in roots:
        if node not in counts:
            counts[node] = 0
            stack.append(node)
    while stack:
        for e in stack.pop().edges:
            if e is not None:
                if e in counts:
                    counts[e] += 1
                else:
                    counts[e] = 1
                    stack.append(e)
    return counts


def reaching(counts: dict, targets: set) -> set:
    """The nodes from which a target can be reached."""
    found: set[Node] = set()
    for node in sorted(counts, key=lambda n: n.seq):
        if node in targets or any(e in found for e in node.edges if e is not None):
            found.add(node)
    return found


def shape_of(node: Node, index: int) -> tuple:
    """Shape and dtype of a node's output."""
    return (node.shape if node.outputs == 1 else node.shape[index]), node.dtype


class Walk:
    """One backward pass over one graph."""

    def __init__(self, counts: dict, needed: set | None, retain: bool, create: bool, targets: Targets | None,
                 accumulate: bool) -> None:  # fmt: skip
        self.counts, self.needed, self.retain, self.create = counts, needed, retain, create
        self.targets, self.accumulate = targets, accumulate
        self.buffer: dict[Node, Any] = {}
        self.ready: list[tuple[int, Node]] = []

    def arrive(self, node: Node, index: int, g: Any) -> None:
        """Add a cotangent to what has come for output `index` of `node`."""
        if node.outputs == 1:
            old = self.buffer.get(node)
            self.buffer[node] = g if old is None else old + g
        else:
            slots = self.buffer.setdefault(node, [None] * node.outputs)
            slots[index] = g if slots[index] is None else slots[index] + g

    def start(self, roots: Any) -> None:
        """Run all nodes, each when everything has arrived."""
        counts, buffer, ready, needed = self.counts, self.buffer, self.ready, self.needed
        arrive, apply, plain = self.arrive, state.run, not self.create
        for node in roots:
            if not counts[node]:
                heappush(ready, (-node.seq, node))
        while ready:
            node = heappop(ready)[1]
            g = buffer.pop(node, None)
            if type(node) is AccumulateGrad:
                if g is not None:
                    self.finish_leaf(node, g)
                continue
            if needed is not None and (node not in needed or not any(e in needed for e in node.edges)):
                if g is not None:
                    self.arrived_at_target(node, g)
                continue
            if g is None:
                grads = (None,) * len(node.edges)
            elif plain and node.op is not None and node.op.plain and node.hooks is None and self.targets is None:
                grads = self.pull_plain(node, g, apply)
            else:
                grads = self.pull(node, g)
            for e, i, gi in zip(node.edges, node.index, grads, strict=False):
                if e is None:
                    continue
                if gi is not None:
                    if e.outputs == 1:
                        if gi.shape != e.shape or gi.dtype is not e.dtype:
                            gi = fit(gi, e.shape, e.dtype)
                        old = buffer.get(e)
                        buffer[e] = gi if old is None else old + gi
                    else:
                        arrive(e, i, fit(gi, *shape_of(e, i)))
                left = counts[e] - 1
                counts[e] = left
                if not left:
                    heappush(ready, (-e.seq, e))

    def pull_plain(self, node: Node, g: Any, apply: Callable) -> Any:
        """The rules of an elementwise node in float32 or float64: no expansion, no rounding."""
        args, storages = node.args, node.storages
        if args is None:
            raise FreedGraphError(node.name(), node.line)
        if storages:
            seq = node.seq
            for s in storages:
                if s.written > seq:
                    node.check()
            if not self.retain:
                node.args, node.storages = None, ()
        dtype = node.dtype
        if dtype is not F32 and dtype is not F64:
            g, args = widen(g, args)
        if len(args) == 1:
            return (apply(node.rules[0], g, *args[0]),)
        a0, a1 = args
        rules = node.rules
        return (
            None if a0 is None else apply(rules[0], g, *a0),
            None if a1 is None else apply(rules[1], g, *a1),
        )

    def pull(self, node: Node, g: Any) -> tuple:
        """Cotangents of a node's inputs, with hooks, targets, double backward and half types."""
        g = self.whole(node, g)
        if node.hooks is not None:
            g = run_hooks(node, g)
        if self.targets is not None:
            self.note_targets(node, g)
        if node.args is None:
            raise FreedGraphError(node.name(), node.line)
        node.check()
        args = node.args
        if self.create:
            args = node.lifted(lift_saved) if hasattr(node, "lifted") else lift_saved(node, args)
            g = as_grad(g)
        elif node.dtype in HALVES:
            g, args = widen(g, args)
        if node.outputs != 1:
            g = tuple([np.zeros(s, node.dtype) if gi is None else gi for gi, s in zip(g, node.shape, strict=True)])
        before = node.__dict__.get("pre_hooks")
        if before:
            g = node_pre_hooks(before, g)
        grads = node.pull(g, args) if self.create else state.run(node.pull, g, args)
        after = node.__dict__.get("post_hooks")
        if after:
            grads = node_post_hooks(after, grads, g)
        if not self.retain and node.storages:
            node.args, node.storages = None, ()
        return grads

    def whole(self, node: Node, g: Any) -> Any:
        """The cotangent(s) of a node's output(s), at full size."""
        if node.outputs == 1:
            return expand(g, node.shape)
        return [None if gi is None else expand(gi, s) for gi, s in zip(g, node.shape, strict=True)]

    def arrived_at_target(self, node: Node, g: Any) -> None:
        """The walk ends here: run the hooks, note the gradient if it is asked for."""
        g = self.whole(node, g)
        self.note_targets(node, g if node.hooks is None else run_hooks(node, g))

    def note_targets(self, node: Node, g: Any) -> None:
        for i, gi in enumerate(g if node.outputs != 1 else (g,)):
            if (node, i) in self.targets:
                self.targets[node, i] = gi

    def finish_leaf(self, node: AccumulateGrad, g: Any) -> None:
        """A gradient has reached a leaf: run its hooks, then note or accumulate it."""
        if node.hooks is not None:
            g = run_hooks(node, expand(g, node.shape))
        if self.targets is not None:
            if (node, 0) in self.targets:
                self.targets[node, 0] = expand(g, node.shape)
            if not (self.accumulate and (node, 0) in self.targets):
                return
        leaf = node.variable
        if leaf is None:
            return
        accumulate_grad(leaf, g, node)
        for hook in list(node.__dict__.get("accumulated", {}).values()):
            hook(leaf)


def accumulate_grad(leaf: Any, g: Any, node: AccumulateGrad) -> None:
    """`leaf.grad += g`, taking `g` over where nobody else holds it."""
    old = leaf.grad
    if isinstance(g, GradArray):
        new = outward(expand(g, node.shape)).tensor
        leaf._grad = new if old is None else define.OPS["add"].entry(old, new)
        return
    g = outward(g)
    if old is None:
        # held by: the caller's variable, this one, and getrefcount's argument
        owned = isinstance(g, np.generic) or (
            type(g) is ndarray and g.shape == node.shape and g.base is None and sys.getrefcount(g) <= 5
            and g.flags.c_contiguous and g.flags.owndata
        )  # fmt: skip
        leaf._grad = define.wrap(g if owned else expand(g, node.shape) + 0 if isinstance(g, define.Duck) else full_copy(g, node.shape))
    elif old._node is not None:
        leaf._grad = define.OPS["add"].entry(old, define.wrap(expand(g, node.shape)))
    else:
        add_to(old, g)


def full_copy(g: Any, shape: tuple) -> Any:
    """`g` expanded to `shape`, in memory of its own."""
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def add_to(old: Any, g: Any) -> None:
    """Add to an accumulated gradient in place."""
    data = old._data
    if isinstance(data, ndarray):
        np.add(data, g, out=data)
        storage_of(old).bump()
    else:
        old._data = data + g


def fit(g: Any, shape: tuple, dtype: Any) -> Any:
    """`g` reduced to a shape that broadcasts to `shape`, in `dtype`: broadcasting and promotion undone."""
    if g.shape != shape:
        lead = g.ndim - len(shape)
        if lead >= 0:
            axes = tuple([i for i, n in enumerate(g.shape) if i < lead or (n != 1 and shape[i - lead] == 1)])
            if axes:
                g = np.add.reduce(g, axis=axes, keepdims=True)
            if lead:
                g = g.reshape(g.shape[lead:])
    if g.dtype is not dtype:
        if g.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            g = g.real
        g = g.astype(dtype)
    return g


def expand(g: Any, shape: tuple) -> Any:
    """`g` at the full shape it broadcasts to."""
    return g if g.shape == shape else np.broadcast_to(g, shape)


def outward(g: Any) -> Any:
    """From the engine's convention for complex cotangents to torch's, and back."""
    return g.conj() if g.dtype.kind == "c" else g


def as_grad(g: Any) -> Any:
    """Cotangents as GradArrays, so that the rules record."""
    if isinstance(g, (list, tuple)):
        return [None if gi is None else as_grad(gi) for gi in g]
    return g if isinstance(g, GradArray) else GradArray(define.wrap(g))


def widen(g: Any, args: tuple) -> tuple:
    """Half-precision cotangent and saved values in float32."""
    def up(v: Any) -> Any:
        if isinstance(v, (tuple, list)) and any(isinstance(e, ndarray) for e in v):
            return type(v)([up(e) for e in v])
        if isinstance(v, (ndarray, np.generic, define.Duck)) and v.dtype in HALVES:
            return v.astype(HALVES[v.dtype])
        return v

    return up(g), tuple([None if a is None else tuple([up(v) for v in a]) for a in args])


def lift_saved(node: Node, args: tuple) -> tuple:
    """A node's saved values as GradArrays joined to the graph they came from."""
    params = node.op.params
    places = {p: k for k, p in enumerate(params[: node.op.n])}

    def lift(name: str, value: Any) -> Any:
        if name == "out":
            if node.outputs != 1:
                return tuple([tensor_at(v, node, i) for i, v in enumerate(value)])
            return tensor_at(value, node, 0)
        k = places.get(name)
        if k is None:
            return value
        if node.op.variadic:
            return [v if e is None else tensor_at(v, e, i) for v, e, i in zip(value, node.edges, node.index, strict=True)]
        return value if value is None or node.edges[k] is None else tensor_at(value, node.edges[k], node.index[k])

    return tuple([None if a is None else tuple([lift(n, v) for n, v in zip(names, a, strict=True)])
                  for names, a in zip(node.names, args, strict=True)])  # fmt: skip


def tensor_at(array: Any, node: Node, index: int) -> Any:
    """A GradArray of a saved array, with the history it was saved with."""
    if not hasattr(array, "dtype"):
        return array
    t = define.wrap(array)
    t._node, t._index = node, index
    return GradArray(t)


# -- hooks -----------------------------------------------------------------------------------------------------------


def as_tensor(g: Any) -> Any:
    """A cotangent as the user sees it."""
    g = outward(g)
    return g.tensor if isinstance(g, GradArray) else define.wrap(g)


def as_array(t: Any) -> Any:
    """A tensor from the user as a cotangent."""
    return outward(t._data if t._node is None else GradArray(t))


def run_hooks(node: Node, g: Any) -> Any:
    """Run the tensor hooks of a node's outputs; each may replace the gradient."""
    gs = list(g) if node.outputs != 1 else [g]
    for index, hooks in list(node.hooks.items()):
        for hook in list(hooks.values()):
            if gs[index] is None:
                continue
            out = hook(as_tensor(gs[index]))
            if out is not None:
                gs[index] = check_hook_result(hook, out, *shape_of(node, index))
    return gs if node.outputs != 1 else gs[0]


def check_hook_result(hook: Any, out: Any, shape: tuple, dtype: Any) -> Any:
    """The array of a hook's result, if it is a gradient of the right shape."""
    if not isinstance(out, define.Tensor):
        raise TypeError(f"expected Tensor, but hook returned '{type(out).__name__}'")
    if out.shape != shape:
        name = getattr(hook, "__name__", "hook")
        raise RuntimeError(f"hook '{name}' has changed the size of value: it returned a gradient of shape "
                           f"{list(out.shape)} for a tensor of shape {list(shape)}")  # fmt: skip
    return fit(as_array(out), shape, dtype)


def node_pre_hooks(hooks: dict, g: Any) -> Any:
    """Hooks that see the gradients of a node's outputs before its rule."""
    many = isinstance(g, (tuple, list))
    for hook in list(hooks.values()):
        out = hook(tuple(as_tensor(gi) for gi in (g if many else (g,))))
        if out is not None:
            out = out if isinstance(out, tuple) else (out,)
            g = tuple(as_array(o) for o in out) if many else as_array(out[0])
    return g


def node_post_hooks(hooks: dict, grads: tuple, g: Any) -> tuple:
    """Hooks that see the gradients of a node's inputs and outputs after its rule."""
    outputs = tuple(as_tensor(gi) for gi in (g if isinstance(g, (tuple, list)) else (g,)))
    for hook in list(hooks.values()):
        out = hook(tuple(None if gi is None else as_tensor(gi) for gi in grads), outputs)
        if out is not None:
            out = out if isinstance(out, tuple) else (out,)
            grads = tuple(None if o is None else as_array(o) for o in out)
    return grads
