"""The tape: what one differentiable operation leaves behind, and the modes that say whether it
leaves anything.

A `Node` is the derivative of one call: its edges lead to the nodes of the inputs, `args` holds for
each input the arrays and parameters that its rule needs (None where no gradient is asked for), and
`shape`/`dtype` say what a gradient arriving here must look like. Nodes keep raw arrays, never
Tensors, so no reference cycles arise and a graph is freed by reference count alone. Each operator
has its own subclass, made at its first use, whose class attributes (`rules`, `names`, `op`) are
what all its calls share.

Cotangents inside are plain transposes (no conjugate); torch's convention for complex numbers is
their conjugate, and the engine converts where gradients enter and leave.
"""

from __future__ import annotations

import contextvars
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .arrays.duck import NoRule, highest
from .arrays.levels import of_this_level
from .errors import FreedGraphError, OverwrittenError
from .storage import INSIDE, LOCK, OUTSIDE, Storage, describe_line, outside, overwritten, tick

_getframe = sys._getframe
new = object.__new__


threads = itertools.count().__next__  # counts those that ever computed
AT_SECOND_THREAD: list[Callable[[], None]] = []  # called when there is more than one
LARGE = 1 << 9  # elements of an array from which machine code may be quicker than NumPy
AT_LARGE: list[Callable[[], None]] = []  # called where a thread meets the first such array


class AtSize:
    """What takes over where arrays are large, once machine code can be made for them."""

    rule: Callable | None = None  # rule(f, g, *args) does f(g, *args)
    update: Callable | None = None  # update(f, arrays, numbers) does f(*arrays, *numbers), or not


class State(threading.local):
    """Modes of the current thread; `mode` is (run, grad), read at once on the hot path.

    The backward pass turns NumPy's warnings off once and for all; until it ends, `run` is just a
    call.
    """

    inference = False
    watch: Any = None  # what looks at forward values, if anomaly detection is on
    hooks: tuple = ()  # pairs of saved-tensor hooks, the innermost last
    listeners: tuple = ()  # called with each node made while there are hooks
    hooks_disabled: str | None = None  # the error for those who set hooks
    mutable = False  # whether saved values may be overwritten
    capture: Any = None  # the `compiler.capture.Capture` that runs in this thread
    walk: Any = None  # weak reference to the backward pass that runs hooks or user code now

    def __init__(self) -> None:
        if threads() == 1:
            for prepare in AT_SECOND_THREAD:
                prepare()
        self.context = contextvars.copy_context()
        self.context.run(np.seterr, all="ignore")
        self.plain = self.context.run  # `run` as long as no array is large
        self.mode = (self.plain, True)

    @property
    def run(self) -> Callable:
        """Calls a function with NumPy's floating-point warnings off."""
        return self.mode[0]

    @property
    def grad(self) -> bool:
        """Whether operations are recorded."""
        return self.mode[1]

    @grad.setter
    def grad(self, value: bool) -> None:
        self.mode = (self.run, value)


state = State()
PACKING: list[int] = []  # one for each block of saved-tensor hooks, in any thread
pack_node: Callable  # hands what a new node saved to the hooks of this thread


def bind_packing(pack: Callable) -> None:
    """Tell `record` who packs what new nodes saved."""
    global pack_node
    pack_node = pack


def met_large() -> None:
    """An array is large: let the thread's operators look out for such from now on."""
    if state.run is state.plain:
        for prepare in AT_LARGE:
            prepare()


def is_large(a: Any) -> bool:
    """Whether it is a plain array of that size."""
    return type(a) is np.ndarray and a.size >= LARGE


def quiet(kernel: Callable, *args: Any) -> Any:
    """`kernel(*args)` without NumPy's floating-point warnings, however deeply nested."""
    with np.errstate(all="ignore"):
        return kernel(*args)


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away; usable as a context
    manager.
    """

    def __init__(self, hooks: dict, hook: Callable) -> None:
        self.id = tick()
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away (harmless if it is gone already)."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def pull_by(rule: Callable, g: Any, args: tuple) -> Any:
    """rule(g, *args), for array types too that have no rule for what it does."""
    try:
        if AtSize.rule is not None and (is_large(g) or any(map(is_large, args))):
            return AtSize.rule(rule, g, *args)
        return rule(g, *args)
    except NoRule:
        top = highest((g, args))
        if top is None:
            raise
        return top.fallback(rule, top.on_tensors(rule), (g, *args))


class Node:
    """The derivative of one call of an operator (`grad_fn`).

    `args` is what the rule of each edge is given after g (None where no gradient is asked for); of
    a node with one edge it is that of its one rule. It becomes None when the graph is freed, and
    `more` then says where. The hot path makes plain `Node`s (one class, so that CPython's inline
    caches hold); `shown` gives a node the class with the operator's name when a user gets to see
    it.
    """

    __slots__ = ("args", "code", "dtype", "edges", "index", "lasti", "more", "op", "seq", "shape")
    op: Any
    edges: tuple
    index: tuple
    args: Any
    shape: tuple
    dtype: Any
    seq: int
    code: Any
    lasti: int
    more: Any

    @property
    def shown(self) -> Node:
        """This node, under its operator's name."""
        if type(self) is Node:
            self.__class__ = self.op.node_class
        return self

    @property
    def next_functions(self) -> tuple:
        """The nodes of the inputs, each with the index of its output, as torch gives them."""
        found = [
            (None, 0) if e is None else (e.shown, i)
            for e, i in zip(self.edges, self.index, strict=True)
        ]
        return (*found, *((None, 0),) * (getattr(self.op, "shown_edges", 0) - len(found)))

    def notes(self, kind: str) -> dict:
        """What is kept about this node besides its derivative: hooks of one kind, or the user's
        metadata.
        """
        with LOCK:
            if self.more is None:
                self.more = {}
            elif "freed" in self.more:
                self.more = dict(self.more)  # one for all nodes that a backward pass has freed
            return self.more.setdefault(kind, {})

    @property
    def metadata(self) -> dict:
        """A dictionary for the user's notes about this node."""
        return self.notes("metadata")

    def __repr__(self) -> str:
        return f"<{type(self.shown).__name__} object at {id(self):#x}>"

    def name(self) -> str:
        """The node's name, as `AddBackward0`."""
        kind = type(self.shown)
        own = kind.__module__ == "chainrule" and kind.__name__ != "CopyBackwards"
        return kind.__name__ if own else f"torch::autograd::{kind.__name__}"

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after this node has run; a tuple it returns
        replaces grad_inputs.
        """
        return RemovableHandle(self.notes("post_hooks"), of_this_level(hook))

    def register_prehook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(grad_outputs)` before this node runs; a tuple it returns replaces them."""
        return RemovableHandle(self.notes("pre_hooks"), of_this_level(hook))

    @property
    def line(self) -> str:
        """The source line of the call."""
        return describe_line(self.code, self.lasti)

    def freed(self) -> FreedGraphError:
        """The error for a node that has been freed: says where it was made, and where freed."""
        return FreedGraphError(self.name(), self.line, describe_line(*self.more["freed"]))

    def check(self) -> None:
        """Raise if a value this node saved has been overwritten since."""
        s = overwritten(self.args or (), self.seq)
        if s is not None:
            what = str(list(self.shape))
            raise OverwrittenError(what, self.name(), self.line, s.line, s.version, s.version - 1)

    def lifted(self, lift: Callable, args: tuple) -> tuple:
        """The saved values for double backward."""
        return lift(self, args)

    def pull(self, g: Any, args: tuple) -> tuple:
        """The cotangents of the inputs, from that of the output."""
        if self.op.joint:
            return pull_by(self.op.rules[0], g, args[0])
        return tuple(
            [
                None if a is None else pull_by(rule, g, a)
                for rule, a in zip(self.op.rules, args, strict=False)
            ]
        )


class Packed:
    """A saved value in the keeping of saved-tensor hooks, in its place among a node's `args`.

    `value` is what `pack` made of the tensor; `unpack` makes a tensor of it again. `source` leads
    to the array as long as it lives, for in-place operations that are about to write it.
    """

    __slots__ = ("__weakref__", "pack", "source", "unpack", "value")

    def __init__(self, array: Any, pack: Callable, unpack: Callable, value: Any) -> None:
        self.pack, self.unpack, self.value = pack, unpack, value
        self.source = weakref.ref(array) if isinstance(array, np.ndarray) else None

    def renew(self, array: Any) -> None:
        """Pack a copy instead if the array that was packed is `array`, soon to be overwritten."""
        if self.source is not None and self.source() is array:
            self.value = self.pack(array.copy())


def packed_in(saved: Any) -> Iterator[Packed]:
    """The packed values among nested tuples and lists."""
    for v in saved or ():
        if isinstance(v, Packed):
            yield v
        elif isinstance(v, (tuple, list)):
            yield from packed_in(v)


class Ending:
    """Stands in for the operator of nodes that have none."""

    outputs, simple, plain, joint, saving, rules = 1, None, False, False, False, ()


class AccumulateGrad(Node):
    """Where a gradient ends: the node of a leaf tensor that requires grad."""

    __slots__ = ("_variable", "strided")

    def __init__(self, tensor: Any) -> None:
        self._variable = weakref.ref(tensor)
        self.op, self.more = Ending, None
        self.edges = self.index = ()
        self.args = ()
        data = tensor._data
        self.shape, self.dtype, self.seq = data.shape, data.dtype, tick()
        self.strided = type(data) is not np.ndarray or not data.flags.c_contiguous
        self.code, self.lasti = None, 0

    @property
    def shown(self) -> Node:
        return self

    @property
    def variable(self) -> Any:
        """The leaf tensor, or None when it is gone."""
        return self._variable()


def record(op: Any, shape: tuple, dtype: Any, edges: tuple, index: tuple, args: tuple) -> Node:
    """A new node of operator `op` for an output of that shape and NumPy dtype."""
    node = Node()  # assigned one by one, which is quicker than by tuples
    node.op = op
    node.edges = edges
    node.index = index
    node.args = args
    node.shape = shape
    node.dtype = dtype
    node.seq = tick()
    node.more = None
    frame = _getframe(2)
    code = frame.f_code
    while code.co_filename not in OUTSIDE:
        frame = (code.co_filename in INSIDE and frame.f_back) or outside(frame)
        code = frame.f_code
    node.code = code
    node.lasti = frame.f_lasti
    if PACKING:
        pack_node(node)
    return node


def storage_of(x: Any) -> Storage:
    """The storage of a tensor, made now if there is none yet."""
    s = x._storage
    if s is None:
        with LOCK:
            s = x._storage
            if s is None:
                s = x._storage = Storage(x._data)
    return s
