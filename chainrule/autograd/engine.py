"""The backward pass: iterative, latest node first.

Nodes carry the tick of one clock, and a node is always younger than the nodes of its inputs. So
taking the youngest node that has received something is a topological order: when a node's turn
comes, everything that could send it a gradient has run. A heap holds the nodes that wait; on a
chain it stays empty. Leaves come last, the youngest first.

The engine does what rules would otherwise repeat: it reduces each cotangent to the shape and dtype
of the value it belongs to, accumulates, converts torch's conjugate convention where gradients enter
and leave, runs hooks, checks that saved values were not overwritten, and frees what was saved. A
cotangent may be smaller than its value as long as it broadcasts (the gradient of a sum is one
number); it is expanded where a rule or a user needs the whole of it.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np
from numpy import float32

from ..arrays.boundary import combined, settled
from ..arrays.duck import Duck, NoRule, in_rows, inward, laid_out, memory
from ..arrays.grad import GradArray
from ..arrays.levels import EVER
from ..arrays.sums import MANY, add_up
from ..dtypes import F32, F64, HALVES
from ..ops import define
from ..ops.define import WATCHERS
from ..storage import LAST as last
from ..storage import LOCK, user_line
from ..tape import (
    AT_SECOND_THREAD,
    AccumulateGrad,
    AtSize,
    Node,
    is_large,
    pull_by,
    state,
    storage_of,
)
from .saved import unpacked

Targets = dict  # (node, output index) -> the cotangent found there, or None
ndarray = np.ndarray
sum_rows = np.add.reduce
WALKING: Any = (operator.call, False), (operator.call, True)  # modes, without and with history


def run(
    roots: Sequence,
    retain: bool,
    create: bool,
    targets: Targets | None = None,
    accumulate: bool = True,
    closed: bool = False,
) -> None:
    """Send the cotangents `roots` ([(node, index, g)]) backward; fill `targets`, or else the
    leaves' `.grad`. `closed`: it is known that the targets are all the leaves there are.
    """
    walk = Walk(retain, create, targets, accumulate)
    buffer: dict[Node, Any] = {}
    for node, index, g in roots:
        arrive(buffer, node, index, g)
    if targets is not None and not closed:
        walk.needed = reaching(buffer, {node for node, _ in targets})
    _quietly(walk.start, buffer, create=create)


def run_scalar(node: Node, index: int, g: Any, retain: bool) -> None:
    """`run` for the usual case: one scalar, gradients for the leaves."""
    walk = Walk(retain, False, None, True)
    if node.op.outputs != 1:
        g = [g if i == index else None for i in range(len(node.shape))]
    if type(node) is AccumulateGrad:
        _quietly(walk.start, {node: g})
    else:
        _quietly(walk.start, {}, node, g)


def _quietly(start: Callable, *received: Any, create: bool = False) -> None:
    """Walk with NumPy's warnings off throughout; what is called meanwhile need not turn them off
    again.
    """
    mode = state.mode
    state.mode = WALKING[create]
    try:
        mode[0](start, *received)
    finally:
        state.mode = mode


def reaching(roots: Any, targets: set) -> set:
    """The nodes below `roots` from which a target can be reached."""
    oldest = min((t.seq for t in targets), default=0)
    seen, stack = set(roots), list(roots)
    while stack:
        for e in stack.pop().edges:
            if e is not None and e.seq >= oldest and e not in seen:
                seen.add(e)
                stack.append(e)
    found: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.seq):
        if node in targets or any(e in found for e in node.edges if e is not None):
            found.add(node)
    return found


def shape_of(node: Node, index: int) -> tuple:
    """Shape and dtype of a node's output."""
    return (
        (node.shape, node.dtype) if node.op.outputs == 1 else (node.shape[index], node.dtype[index])
    )


def arrive(buffer: dict, node: Node, index: int, g: Any) -> None:
    """Add a cotangent to what has come for output `index` of `node`."""
    if node.op.outputs == 1:
        old = buffer.get(node)
        buffer[node] = g if old is None else combined(old, g)
    else:
        slots = buffer.setdefault(node, [None] * len(node.shape))
        slots[index] = g if slots[index] is None else combined(slots[index], g)


def will_run(walk: Walk, nodes: list, current: Node) -> set:
    """The places of those among `nodes` whose gradient is still to come in `walk`, which is at
    `current`.
    """
    reached, stack = {current}, [current, *walk.buffer]
    while stack:
        node = stack.pop()
        reached.add(node)
        stack += [e for e in node.edges if e is not None and e not in reached]
    if walk.needed is not None:
        reached &= walk.needed
    return {i for i, node in enumerate(nodes) if node in reached}


class Walk:
    """One backward pass over one graph."""

    __slots__ = (
        "__weakref__",
        "accumulate",
        "buffer",
        "create",
        "freed",
        "needed",
        "retain",
        "targets",
    )

    def __init__(
        self, retain: bool, create: bool, targets: Targets | None, accumulate: bool
    ) -> None:
        self.retain, self.create = retain, create
        self.targets, self.accumulate = targets, accumulate
        self.needed: set | None = None
        self.freed = {"freed": user_line(4)}  # the notes of the nodes this pass frees

    def start(self, buffer: dict, following: Any = None, held: Any = None) -> None:
        """Run all nodes that receive something, the youngest first, then the leaves. `following`,
        which has received `held`, is the next node if none that waits is younger.
        """
        ready, leaves = self.queues(buffer) if buffer else ([], [])
        special, retain = self.create or self.needed is not None, self.retain
        freed, add, large = self.freed, combined if EVER else operator.add, AtSize.rule
        while ready or following is not None:
            if not ready:
                node, g = following, held
            else:
                if following is not None:
                    buffer[following] = held
                    heappush(ready, (-following.seq, following))
                g = buffer.pop(node := heappop(ready)[1])
            following, simple, dtype = None, node.op.simple, node.dtype
            if (simple is None or node.more is not None) or (  # freed nodes have notes
                special or (dtype is not F32 and dtype is not F64)
            ):
                self.step(node, g, buffer, ready, leaves)
                continue
            rules, plain, saving = simple
            edges, k = node.edges, -1
            args = (node.args,) if len(edges) == 1 else node.args
            if saving and last[0] > node.seq:
                node.check()
            if saving and not retain:
                node.args, node.more = None, freed
            if (not plain or (not g.ndim and node.shape and broadcast(node))) and (
                g.shape != node.shape
            ):
                g = expand(g, node.shape)
            for e in edges:
                k += 1  # quicker than `enumerate` for one or two
                rule, a = rules[k], args[k]
                if a is None:
                    continue
                rule = rule if large is None else at_size(large, rule, g, a)
                try:  # a call without a star takes a third of the time
                    gi = (rule(g, a[0]) if len(a) == 1 else rule(g, *a)) if a else rule(g)
                except NoRule:
                    gi = pull_by(rule, g, a)
                if (type(gi) is not float32 or e.dtype is not F32) and (  # it broadcasts
                    gi is None or gi.shape != e.shape or gi.dtype is not e.dtype
                ):
                    if gi is None or e.op.outputs != 1:
                        self.deliver((gi,), (e,), (node.index[k],), buffer, ready, leaves)
                        continue
                    gi = fit(gi, e.shape, e.dtype)
                if e is following:
                    held = add(held, gi)
                elif e in buffer:
                    buffer[e] = add(buffer[e], gi)
                elif type(e) is AccumulateGrad:
                    leaves.append(e)
                    buffer[e] = gi
                elif following is None:
                    following, held = e, gi
                else:
                    heappush(ready, (-e.seq, e))
                    buffer[e] = gi
        gi = held = g = None  # accumulate_grad counts who holds an array
        self.finish(leaves, buffer, special or self.targets is not None)

    def step(self, node: Node, g: Any, buffer: dict, ready: list, leaves: list) -> None:
        """Run a node that is not as usual: one with hooks, say, or under create_graph."""
        self.buffer, state.walk = buffer, weakref.ref(self)
        self.deliver(self.pull(node, g), node.edges, node.index, buffer, ready, leaves)

    def queues(self, buffer: dict) -> tuple[list, list]:
        """The nodes to start from: those with an operator (a heap), and leaves."""
        ready: list[tuple[int, Node]] = []
        leaves: list[Node] = []
        for node in buffer:
            self.enqueue(node, ready, leaves)
        return ready, leaves

    def finish(self, leaves: list, buffer: dict, special: bool) -> None:
        """Hand their gradients to the leaves, the youngest first."""
        if len(leaves) > 1:
            leaves.sort(key=_age)
        for node in leaves:
            g = buffer.pop(node)
            if special or node.more is not None:
                self.buffer, state.walk = buffer, weakref.ref(self)
                self.finish_leaf(node, g)
            else:
                leaf = node._variable()
                if leaf is not None:
                    accumulate_grad(leaf, g, node)

    def deliver(
        self, grads: Sequence, edges: tuple, index: tuple, buffer: dict, ready: list, leaves: list
    ) -> None:
        """Hand cotangents to the nodes they belong to."""
        for g, e, i in zip(grads, edges, index, strict=False):
            if e is not None and g is not None:
                fresh = e not in buffer
                arrive(buffer, e, i, fit(g, *shape_of(e, i)))
                if fresh:
                    self.enqueue(e, ready, leaves)

    @staticmethod
    def enqueue(node: Node, ready: list, leaves: list) -> None:
        """Note that a node waits for its turn."""
        if type(node) is AccumulateGrad:
            leaves.append(node)
        else:
            heappush(ready, (-node.seq, node))

    def pull(self, node: Node, g: Any) -> Sequence:
        """Cotangents of a node's inputs, with hooks, targets, double backward, several outputs and
        half types.
        """
        if node.op.rules and not node.op.picks:
            node.op.read_rules()
        needed = self.needed
        if needed is not None and node not in needed:
            return (None,) * len(node.edges)
        g = whole(node, g)
        ends = needed is not None and not any([e in needed for e in node.edges])
        if needed is not None and not ends:
            self.note_targets(node, g)
        if node.more is not None and "hooks" in node.more:
            g = run_hooks(node, g)
        if ends:
            self.note_targets(node, g)
            return (None,) * len(node.edges)
        if node.more is not None and "pre_hooks" in node.more:
            g = node_pre_hooks(node, g)
        given = g
        if node.args is None:
            raise node.freed()
        if last[0] > node.seq:
            node.check()
        args = (node.args,) if node.op.rules and len(node.edges) == 1 else node.args
        if node.more is not None and "packed" in node.more:
            args = unpacked(args)
        if self.create:
            args = node.lifted(lift_saved, args)
            g = as_grad(g)
        elif node.op.rules and (
            node.dtype in HALVES if node.op.outputs == 1 else any(d in HALVES for d in node.dtype)
        ):
            g, args = widen(g, args)
        if node.op.outputs != 1 and node.op.rules:
            g = tuple(
                [
                    np.zeros(s, d) if gi is None and not node.op.partial else gi
                    for gi, s, d in zip(g, node.shape, node.dtype, strict=True)
                ]
            )
        grads: Sequence = node.pull(g, args)
        if self.create and node.op.rules and node.op.saving:
            grads = with_history(grads, args)
        if node.more is not None and "post_hooks" in node.more:
            grads = node_post_hooks(node, grads, given)
        if not self.retain and node.op.saving:
            node.args = None
            node.more = self.freed if node.more is None else {**node.more, **self.freed}
        return grads

    def note_targets(self, node: Node, g: Any) -> None:
        """Remember a cotangent that was asked for."""
        for i, gi in enumerate(g if node.op.outputs != 1 else (g,)):
            if (node, i) in self.targets:  # type: ignore[operator]
                self.targets[node, i] = settled(gi)  # type: ignore[index]

    def finish_leaf(self, node: AccumulateGrad, g: Any) -> None:
        """A gradient has reached a leaf: run its hooks, then note or accumulate it."""
        if self.targets is not None and (node, 0) not in self.targets:
            return
        if node.more is not None and "hooks" in node.more:
            g = run_hooks(node, expand(g, node.shape))
        if self.targets is not None:
            leaf = node._variable()
            kept = settled(g, None if leaf is None else leaf._data)
            self.targets[node, 0] = expand(kept, node.shape)
            if not self.accumulate:
                return
        leaf = node._variable()
        if leaf is None:
            return
        more = node.more or {}
        if "pre_hooks" in more:
            g = node_pre_hooks(node, expand(g, node.shape))
        accumulate_grad(leaf, g, node)
        for hook in list(more.get("accumulated", {}).values()):
            out = hook(leaf)
            if isinstance(out, define.Tensor):
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
            if out is not None:
                raise TypeError(f"expected Variable, but hook returned '{type(out).__name__}'")
        if "post_hooks" in more:
            node_post_hooks(node, (), expand(g, node.shape))


def _age(node: Node) -> int:
    return -node.seq


def at_size(large: Callable, rule: Callable, g: Any, args: tuple) -> Callable:
    """A rule, by way of `large` where an array is."""
    return partial(large, rule) if is_large(g) or (args and is_large(args[0])) else rule


def broadcast(node: Node) -> bool:
    """Whether an input of an elementwise node had another shape than its output, so that its
    gradient is a sum.
    """
    shape = node.shape
    for e, i in zip(node.edges, node.index, strict=True):
        if e is not None and e.shape is not shape and shape_of(e, i)[0] != shape:
            return True
    return False


def with_history(grads: Sequence, args: tuple) -> Sequence:
    """Cotangents that do not change with what was saved, joined to it all the same, as in torch."""
    flat = [v for a in args if a for v in a]
    source = next((v for v in flat if isinstance(v, GradArray)), None)
    if source is None:
        return grads
    return [
        (
            g
            if g is None or isinstance(g, GradArray)
            else GradArray(define.constant_in(source.tensor, g))
        )
        for g in grads
    ]


def whole(node: Node, g: Any) -> Any:
    """The cotangent(s) of a node's output(s), at full size."""
    if node.op.outputs == 1:
        return expand(g, node.shape)
    return [None if gi is None else expand(gi, s) for gi, s in zip(g, node.shape, strict=True)]


def accumulate_grad(leaf: Any, g: Any, node: AccumulateGrad, holders: int = 3) -> None:
    """`leaf.grad += g`, taking `g` over where nobody else holds it.

    Two names hold the array, the caller's and ours; getrefcount is the third of the `holders`.
    """
    old, kind = leaf._grad, type(g)
    if kind is not ndarray and isinstance(g, Duck):
        g = settled(g, leaf._data)
        if isinstance(g, GradArray):
            new = outward(expand(g, node.shape)).tensor
            leaf._grad = new if old is None else define.OPS["add"].entry(old, new)
            return
        kind = type(g)
    if node.dtype is not F32 and g.dtype.kind == "c":
        g = outward(g)
    if old is None:
        if node.strided and not in_rows(leaf._data):
            g = laid_as(leaf._data, expand(g, node.shape))
        elif kind is ndarray:
            if (
                g.shape != node.shape
                or g.base is not None
                or getrefcount(g) > holders
                or not g.flags.c_contiguous
            ):
                g = full_copy(g, node.shape)
        elif isinstance(g, Duck):
            g = expand(g, node.shape)
            if g.ground:
                g = g.copy()
        elif g.shape != node.shape:
            g = full_copy(g, node.shape)
        leaf._grad = define.wrap(g)
    elif old._node is not None or (isinstance(g, Duck) and not g.ground):
        leaf._grad = define.OPS["add"].entry(old, define.wrap(expand(g, node.shape)))
    else:
        add_to(old, g)


def laid_as(data: Any, g: Any) -> Any:
    """A copy of a gradient that lies in memory as its leaf does: row by row if that has gaps."""
    if isinstance(g, Duck) and not g.ground:
        return g
    lies = memory(data)
    axes = inward(lies)
    gaps = axes is None or not lies.transpose(axes).flags.c_contiguous
    return g.copy() if gaps else laid_out(g, lies)


accumulate_alone = accumulate_grad


def accumulate_in_turn(leaf: Any, g: Any, node: AccumulateGrad) -> None:
    """What stands for `accumulate_grad` once there is a second thread: one at a time."""
    with LOCK:
        accumulate_alone(leaf, g, node, 4)


@AT_SECOND_THREAD.append
def take_turns() -> None:
    """From now on gradients may come from several threads."""
    global accumulate_grad
    accumulate_grad = accumulate_in_turn  # type: ignore[assignment]


def full_copy(g: Any, shape: tuple) -> Any:
    """`g` expanded to `shape`, in memory of its own."""
    if g.shape == shape:
        return g.copy()
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def add_to(old: Any, g: Any) -> None:
    """Add to an accumulated gradient in place."""
    if WATCHERS:
        define.about_to_write(old)
    data = old._data
    if isinstance(g, Duck) and isinstance(data, ndarray):
        g.lay(old)
        data = old._data
    if isinstance(data, ndarray) or (isinstance(data, Duck) and data.ground):
        np.add(data, g, out=data)
        storage_of(old).bump()
    else:
        old._data = data + g


def fit(g: Any, shape: tuple, dtype: Any) -> Any:
    """`g` reduced to a shape that broadcasts to `shape`, in `dtype`: broadcasting and promotion
    undone.
    """
    given = g.shape
    if given != shape:
        lead = len(given) - len(shape)
        if lead > 0:
            if lead == 1:
                g = g[0] if given[0] == 1 else sum_rows(g) if given[0] < MANY else add_up(g, 0)
            else:
                g = add_up(g, tuple(range(lead)))
            given = given[lead:]
        if given != shape and lead >= 0:
            axes = tuple([i for i, n in enumerate(given) if n != 1 and shape[i] == 1])
            if axes:
                g = add_up(g, axes, True)
                given = g.shape
    if g.dtype is not dtype:
        if g.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            g = g.real
        g = g.astype(dtype)
    return expand(g, shape) if given != shape and given else g


def expand(g: Any, shape: tuple) -> Any:
    """`g` at the full shape it broadcasts to."""
    if g.shape == shape:
        return g
    if isinstance(g, np.generic):
        return ndarray(shape, g.dtype, np.array(g), 0, (0,) * len(shape))
    return np.broadcast_to(g, shape)


NOTHING = complex(-0.0, 0)  # added, it makes an imaginary part of -0 positive


def outward(g: Any) -> Any:
    """From the engine's convention for complex cotangents to torch's, and back.

    torch conjugates factors, not their products: its sums seldom end in an imaginary part of -0.
    """
    if g.dtype.kind != "c":
        return g
    return g.conj() if type(g) is GradArray else g.conj() + NOTHING


def as_grad(g: Any) -> Any:
    """Cotangents as GradArrays, so that the rules record."""
    if isinstance(g, (list, tuple)):
        return [None if gi is None else as_grad(gi) for gi in g]
    return g if isinstance(g, GradArray) else GradArray(define.wrap(g))


def widen(g: Any, args: tuple) -> tuple:
    """Half-precision cotangent and saved values in float32."""

    def up(v: Any) -> Any:
        if isinstance(v, (tuple, list)) and any(isinstance(e, (ndarray, Duck)) for e in v):
            return type(v)([up(e) for e in v])
        if isinstance(v, (ndarray, np.generic, Duck)) and v.dtype in HALVES:
            return v.astype(HALVES[v.dtype])
        return v

    return up(g), tuple([None if a is None else tuple([up(v) for v in a]) for a in args])


def lift_saved(node: Node, args: tuple) -> tuple:
    """A node's saved values as GradArrays joined to the graph they came from."""
    params = node.op.params
    places = {p: k for k, p in enumerate(params[: node.op.n])}

    def lift(name: str, value: Any) -> Any:
        if name == "out":
            if node.op.outputs != 1:
                return tuple([tensor_at(v, node, i) for i, v in enumerate(value)])
            return tensor_at(value, node, 0)
        k = places.get(name)
        if k is None:
            return value
        if node.op.variadic:
            return [
                v if e is None else tensor_at(v, e, i)
                for v, e, i in zip(value, node.edges, node.index, strict=True)
            ]
        return (
            value
            if value is None or k >= len(node.edges) or node.edges[k] is None
            else tensor_at(value, node.edges[k], node.index[k])
        )

    return tuple(
        [
            None if a is None else tuple([lift(n, v) for n, v in zip(names, a, strict=True)])
            for names, a in zip(node.op.names, args, strict=False)
        ]
    )


def tensor_at(array: Any, node: Node, index: int) -> Any:
    """A GradArray of a saved array, with the history it was saved with."""
    if not hasattr(array, "dtype"):
        return array
    t = define.wrap(array)
    t._node, t._index = node, index
    return GradArray(t)


# -- hooks -----------------------------------------------------------------------------------------


def as_tensor(g: Any) -> Any:
    """A cotangent as the user sees it."""
    g = outward(g)
    return g.tensor if isinstance(g, GradArray) else define.wrap(g)


def as_array(t: Any) -> Any:
    """A tensor from the user as a cotangent."""
    return outward(t._data if t._node is None else GradArray(t))


def run_hooks(node: Node, g: Any) -> Any:
    """Run the tensor hooks of a node's outputs, oldest first (`retain_grad` is last); each may
    replace the gradient.
    """
    gs = list(g) if node.op.outputs != 1 else [g]
    for index, hooks in list(node.more["hooks"].items()):
        for key in sorted(hooks):
            hook = hooks.get(key)
            if gs[index] is None or hook is None:
                continue
            out = hook(as_tensor(gs[index]))
            if out is not None:
                gs[index] = check_hook_result(hook, out, *shape_of(node, index))
    return gs if node.op.outputs != 1 else gs[0]


def check_hook_result(hook: Any, out: Any, shape: tuple, dtype: Any) -> Any:
    """The array of a hook's result, if it is a gradient of the right shape and dtype."""
    if not isinstance(out, define.Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(out).__name__}'")
    name = getattr(hook, "__name__", "hook")
    if out.shape != shape:
        raise RuntimeError(
            f"hook '{name}' has changed the size of value: it returned a gradient of shape "
            f"{list(out.shape)} for a tensor of shape {list(shape)}"
        )
    if out._data.dtype != dtype:
        was, got = (define.scalar_name(define.FROM_NUMPY[d]) for d in (dtype, out._data.dtype))
        raise RuntimeError(
            f"hook '{name}' has changed the type of value (was torch.{was}Tensor got"
            f" torch.{got}Tensor)"
        )
    return as_array(out)


def node_pre_hooks(node: Node, g: Any) -> Any:
    """Run the hooks that see the gradients of a node's outputs before its rule."""
    many = node.op.outputs != 1
    for hook in list(node.more["pre_hooks"].values()):
        gs = list(g) if many else [g]
        out = hook(tuple([None if gi is None else as_tensor(gi) for gi in gs]))
        if out is not None:
            places = [shape_of(node, i) for i in range(len(gs))]
            gs = check_hook_results(hook, out, places, gs)
            g = gs if many else gs[0]
    return g


def node_post_hooks(node: Node, grads: Sequence, g: Any) -> Sequence:
    """Run the hooks that see the gradients of a node's inputs and outputs after its rule."""
    outputs = g if isinstance(g, (tuple, list)) else (g,)
    shown = tuple([None if gi is None else as_tensor(gi) for gi in outputs])
    edges = list(zip(node.edges, node.index, strict=True))
    places = [None if e is None else shape_of(e, i) for e, i in edges]
    missing = [None] * (len(node.next_functions) - len(places))
    places += missing
    for hook in list(node.more["post_hooks"].values()):
        grads = [*grads, *[None] * (len(places) - len(grads))]
        given = [
            None if gi is None or p is None else as_tensor(fit_whole(gi, *p))
            for gi, p in zip(grads, places, strict=True)
        ]
        out = hook(tuple(given), shown)
        if out is not None:
            grads = check_hook_results(hook, out, places, given)
    return grads


def fit_whole(g: Any, shape: tuple, dtype: Any) -> Any:
    """`g` at exactly the shape and dtype of the value it belongs to."""
    return expand(fit(g, shape, dtype), shape)


def check_hook_results(hook: Any, out: Any, places: Sequence, given: Sequence) -> list:
    """The arrays of what a node's hook returned: a tuple with a gradient for each of `given`."""
    if not isinstance(out, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(out).__name__}'")
    if len(out) != len(given):
        name = getattr(hook, "__name__", "hook")
        raise RuntimeError(
            f"hook '{name}' has returned an incorrect number of values (got {len(out)}, but"
            f" expected {len(given)})"
        )
    return [
        None if o is None else as_array(o) if p is None else check_hook_result(hook, o, *p)
        for o, p in zip(out, places, strict=True)
    ]
