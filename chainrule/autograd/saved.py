"""What nodes have saved: hooks that keep it elsewhere, and the names under which users see it.

While a pair of hooks is active, `record` hands each new node to `pack_node`, which replaces every
saved array by a `Packed`: whatever the user's `pack` made of it. The node is marked ("packed" in
its `more`), so the engine leaves its quick path and asks `unpacked` for arrays again. Hooks belong
to the thread that set them; the innermost pair is the one that counts.

A value is named by the parameter of the rule that asks for it, in torch's words: x is `self`, y is
`other`, out is `result`. So `node._saved_self` and its kin follow from the rule's signature alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import F32, FROM_NUMPY
from ..errors import OverwrittenError
from ..ops import define
from ..storage import overwritten, tick
from ..tape import PACKING, AccumulateGrad, Node, Packed, bind_packing, state

LOCK = threading.Lock()


def push(pack: Callable, unpack: Callable) -> None:
    """Let `pack` and `unpack` keep what this thread saves from now on."""
    with LOCK:
        PACKING.append(1)
    state.hooks = (*state.hooks, (pack, unpack))


def pop() -> None:
    """Take the innermost pair away."""
    state.hooks = state.hooks[:-1]
    with LOCK:
        PACKING.pop()


# -- packing ---------------------------------------------------------------------------------------


def pack_node(node: Node) -> None:
    """Hand what a new node saved to the hooks of this thread."""
    for listen in state.listeners:
        listen(node)
    if not state.hooks or not node.args or not node.op.rules:
        return
    done: dict[tuple, Packed] = {}
    args = tuple(
        [
            None
            if a is None
            else tuple([pack_value(node, n, v, 0, done) for n, v in zip(names, a, strict=True)])
            for names, a in zip(node.op.names, per_rule(node), strict=False)
        ]
    )
    if done:
        put_back(node, args)


def pack_value(node: Node, name: str, value: Any, place: int, done: dict) -> Any:
    """One saved value, or nested ones, in the keeping of the hooks; `done` holds those packed
    before.
    """
    if type(value) in (tuple, list):
        return type(value)([pack_value(node, name, v, i, done) for i, v in enumerate(value)])
    if not is_tensor(node, name, value):
        return value
    key = (name, id(value))
    if key not in done:
        tensor = as_saved(node, name, value, place, False)
        done[key] = packed(state.hooks[-1], value, tensor)
    return done[key]


def packed(hooks: tuple, array: Any, tensor: Any) -> Packed:
    """`array` as the pack hook leaves it; the hook is shown `tensor`."""
    pack, unpack = hooks

    def again(copied: Any) -> Any:
        return call_pack(pack, define.wrap(copied))

    return Packed(array, again, unpack, call_pack(pack, tensor))


def call_pack(pack: Callable, tensor: Any) -> Any:
    """What a pack hook makes of a tensor, which it must leave as it is."""
    before = 0 if tensor._storage is None else tensor._storage.version
    mode = state.mode
    state.mode = (mode[0], False)
    try:
        value = pack(tensor)
    finally:
        state.mode = mode
    if tensor._storage is not None and tensor._storage.version != before:
        raise RuntimeError(
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input"
            " to pack hook cannot be modified by in-place operations as this can lead to"
            " unexpected side-effects. Please open an issue if you need to perform in-place"
            " operations on the input to a pack hook."
        )
    return value


def call_unpack(p: Packed) -> Any:
    """The tensor that an unpack hook gives back."""
    out = p.unpack(p.value)
    if not isinstance(out, define.Tensor):
        raise TypeError(
            "Output of saved tensor unpack_hook expected to be a Tensor but got result of type"
            f" {type(out).__name__}"
        )
    return out


def unpacked(args: Any, known: dict | None = None) -> Any:
    """Saved values with arrays in place of what hooks keep; each is unpacked once."""
    known = {} if known is None else known
    out = []
    for v in args:
        if isinstance(v, Packed):
            if v not in known:
                known[v] = call_unpack(v)._data
            v = known[v]
        elif type(v) in (tuple, list):
            v = unpacked(v, known)
        out.append(v)
    return tuple(out) if type(args) is tuple else out


def tensor_in_hooks(t: Any, node: Node) -> Callable:
    """What a user's Function saves, in the keeping of the hooks: a function from its node to the
    tensor, joined to the history it was saved with.
    """
    own, edge, index = t._node is node, t._node, t._index
    p = packed(state.hooks[-1], t._data, define.wrap(t._data) if own else t)
    node.notes("packed")
    edge = None if own else edge

    def unpack(owner: Node) -> Any:
        u = define.wrap(call_unpack(p)._data)
        u._node, u._index = owner if own else edge, index
        return u

    return unpack


class Kept:
    """A saved tensor, kept as it is: an error if its memory has been written meanwhile, unless
    there is a clone from before.
    """

    __slots__ = ("__weakref__", "clone", "seq", "tensor")

    def __init__(self, tensor: Any) -> None:
        self.tensor, self.clone, self.seq = tensor, None, tick()

    def get(self) -> Any:
        """The tensor as it was when it was saved."""
        if self.clone is not None:
            return self.clone
        s = overwritten((self.tensor._data,), self.seq)
        if s is not None:
            what, here = str(list(self.tensor.shape)), "an unknown line, into saved-tensor hooks"
            raise OverwrittenError(what, "a node", here, s.line, s.version, s.version - 1)
        return self.tensor


# -- what a node saved, by name --------------------------------------------------------------------


def per_rule(node: Node) -> tuple:
    """A node's saved values, a tuple for each rule."""
    return (node.args,) if len(node.edges) == 1 else node.args


def put_back(node: Node, args: tuple) -> None:
    """Replace what a node saved; some of it is packed now."""
    node.args = args[0] if len(node.edges) == 1 else args
    node.notes("packed")


def is_tensor(node: Node, name: str, value: Any) -> bool:
    """Whether a saved value is a tensor to the user, and not a number or another parameter."""
    op = node.op
    if name in op.params[: op.n]:
        return isinstance(value, (np.ndarray, np.generic, define.Duck)) and not is_number(value)
    if name == "out" and isinstance(value, np.generic):
        return True
    return isinstance(value, (np.ndarray, define.Duck)) and value.dtype in FROM_NUMPY


def is_number(value: Any) -> bool:
    """Whether a 0-d array is the number in `x * 2`."""
    if type(value) is not np.ndarray or value.ndim:
        return False
    known = define.SINGLES if value.dtype is F32 else define.DOUBLES
    return known.get(value.item()) is value


def as_saved(node: Node, name: str, array: Any, place: int, own: bool) -> Any:
    """The tensor of a saved array: a leaf itself, or one with the history it was saved with
    (`own`: a result belongs to its node, as it does once the node is complete).
    """
    op = node.op
    edge, index = (node, place) if own and name == "out" else (None, 0)
    if name in op.params[: op.n]:
        k = place if op.variadic else op.params.index(name)
        if k < len(node.edges):  # beyond it stands what takes no gradient
            edge, index = node.edges[k], node.index[k]
    leaf = edge._variable() if type(edge) is AccumulateGrad else None
    if leaf is not None and leaf._data is array:
        return leaf
    t = define.wrap(array)
    t._node, t._index = edge, index
    return t


TORCH_NAMES = {"input": "self", "out": "result"}


def field(op: define.Op, name: str) -> str:
    """torch's name of the value that rules call `name`."""
    if name.endswith("_shape"):
        return f"{field(op, name.removesuffix('_shape'))}_sym_sizes"
    if name in op.params:
        name = op.public[op.params.index(name)]
    return TORCH_NAMES.get(name, name)


def saved_fields(op: define.Op) -> dict:
    """Properties `_saved_self`, `_raw_saved_self` ... for everything that an operator's rules ask
    for.
    """
    found = {}
    kinds = [f"{p}_dtype" for p in op.params]
    for name in {n: None for names in op.names for n in names if n not in ("needs", *kinds)}:
        found[f"_saved_{field(op, name)}"] = _shown(name)
        if name in (*op.params[: op.n], "out", "extra"):
            found[f"_raw_saved_{field(op, name)}"] = _raw(name)
    return found


def _shown(name: str) -> property:
    return property(lambda node: value_of(node, name))


def _raw(name: str) -> property:
    def raw(node: Node) -> Any:
        value = find(node, name)
        if type(value) in (tuple, list):
            return tuple([SavedTensor(node, name, i) for i in range(len(value))])
        return SavedTensor(node, name)

    return property(raw)


def find(node: Node, name: str) -> Any:
    """What a node saved under a rule's parameter name; None if nothing asked for it."""
    if node.args is None:
        raise node.freed()
    for names, a in zip(node.op.names, per_rule(node), strict=False):
        if a is not None and name in names:
            return a[names.index(name)]
    return None


def value_of(node: Node, name: str) -> Any:
    """The same as the user sees it: tensors, numbers, shapes."""
    value = find(node, name)
    node.check()
    return shown_value(node, name, value, 0)


def shown_value(node: Node, name: str, v: Any, place: int) -> Any:
    """One saved value as the user sees it."""
    if isinstance(v, Packed):
        v = call_unpack(v)._data
    elif type(v) in (tuple, list):
        return type(v)([shown_value(node, name, e, i) for i, e in enumerate(v)])
    elif not is_tensor(node, name, v):
        return shown_number(node, name, v)
    return as_saved(node, name, v, place, True)


def shown_number(node: Node, name: str, v: Any) -> Any:
    """A saved parameter; a number in a tensor's place is a tensor, if torch's node has no number
    there.
    """
    v = v.item() if isinstance(v, (np.ndarray, np.generic)) and not v.ndim else v
    op = node.op
    if name in op.params[: op.n] and not op.scalar_nodes and isinstance(v, (int, float, complex)):
        return define.wrap(np.asarray(v, node.dtype))
    return v


class SavedTensor:
    """One saved tensor of a node (`node._raw_saved_self`), for registering hooks on it alone."""

    def __init__(self, node: Node, name: str, place: int | None = None) -> None:
        self._node, self._name, self._place = node, name, place

    def unpack(self) -> Any:
        """The saved tensor."""
        value = value_of(self._node, self._name)
        return value if self._place is None else value[self._place]

    def register_hooks(self, pack_hook: Callable, unpack_hook: Callable) -> None:
        """Keep `pack_hook(tensor)` instead of the tensor; `unpack_hook` of that gives the tensor
        for the backward pass.

        Raises RuntimeError if nothing is saved here, hooks are set already, or the graph was freed.
        """
        node, place = self._node, self._place
        if node.args is None:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor after it has been freed. Saved"
                " intermediate values of the graph are freed when you call .backward() or"
                " autograd.grad(). Specify retain_graph=True if you need to backward through the"
                " graph a second time or if you need to access saved variables after calling"
                " backward."
            )
        value = find(node, self._name)
        value = value if place is None else value[place]
        if isinstance(value, Packed):
            raise RuntimeError(
                "Calling register_hooks on a saved tensor whose hooks have already been set. Hint:"
                " only one pair of hooks is allowed at a time."
            )
        if value is None:
            raise RuntimeError(
                "Calling register_hooks on a saved tensor with value None is forbidden"
            )
        by = packed((pack_hook, unpack_hook), value, define.wrap(value))
        several = [
            None
            if a is None
            else exchanged(a, names.index(self._name), place, by)
            if self._name in names
            else a
            for names, a in zip(node.op.names, per_rule(node), strict=False)
        ]
        put_back(node, tuple(several))


def exchanged(saved: tuple, k: int, place: int | None, by: Packed) -> tuple:
    """What a rule is given, with `by` in place of value number k, or of element `place` of it."""
    new: Any = by
    if place is not None:
        new = type(saved[k])([by if i == place else v for i, v in enumerate(saved[k])])
    return (*saved[:k], new, *saved[k + 1 :])


define.bind_saved(saved_fields)
bind_packing(pack_node)
