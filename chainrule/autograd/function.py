"""`Function`: an operation whose derivative the user writes.

`forward` runs unrecorded; one node stands for the whole call, and its rule is the user's
`backward`, given tensors and returning tensors, so that a backward written in differentiable
operations can itself be differentiated. Saved inputs are kept as they are; a saved output is kept
as its array and joined to the node again when it is asked for, so that no reference cycle arises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import LeafInPlaceError, OverwrittenError
from ..ops import define
from ..storage import LOCK, overwritten
from ..tape import PACKING, AccumulateGrad, Node, record, state, storage_of
from . import engine, saved


class FunctionCtx:
    """What `forward` passes on to `backward`."""

    needs_input_grad: tuple = ()
    materialize_grads = True

    def __init__(self) -> None:
        self._to_save: tuple = ()
        self._dirty: tuple = ()
        self._constant: tuple = ()
        self._node: Node | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (inputs, outputs or intermediates; None allowed) for `backward`."""
        for t in tensors:
            if t is not None and not isinstance(t, define.Tensor):
                raise TypeError(
                    "save_for_backward can only save variables, but argument is of type"
                    f" {type(t).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for `jvp`."""
        self.saved_for_forward = tensors

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that were saved; raises once the graph has been freed."""
        node = self._node
        if node is None:
            return self._to_save
        if node.args is None:
            raise node.freed()
        return tuple(unpack(node) for unpack in node.args)

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs `forward` changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing output gradients arrive as zeros (the default) or as None."""
        self.materialize_grads = value


class _CustomOp:
    """What nodes of user functions have in place of an operator."""

    simple = None
    plain = joint = variadic = False
    saving = True
    rules: tuple = ()

    def __init__(self, name: str, outputs: int) -> None:
        self.outputs = outputs
        self.node_class = type(
            name, (FunctionNode,), {"__slots__": (), "__module__": "chainrule.autograd.function"}
        )


class FunctionNode(Node):
    """The node of one call of a user's Function."""

    __slots__ = ()

    @property
    def shown(self) -> Node:
        return self

    def name(self) -> str:
        """The user's class's name, as `ExpBackward`."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{type(self).__name__} object at {id(self):#x}>"

    def lifted(self, lift: Callable, args: tuple) -> tuple:
        """The saved values for double backward: they are tensors already."""
        return args

    def check(self) -> None:
        s = overwritten(self.more["watched"], self.seq)
        if s is not None:
            raise OverwrittenError(
                str(self.shape), self.name(), self.line, s.line, s.version, s.version - 1
            )

    def pull(self, g: Any, args: tuple) -> tuple:
        ctx, function, places = self.more["call"]
        single = self.op.outputs == 1
        gs = [g] if single else list(g)
        if ctx.materialize_grads:
            like = (
                [(self.shape, self.dtype)] if single else zip(self.shape, self.dtype, strict=True)
            )
            gs = [
                np.zeros(s, d) if g is None and s is not None else g
                for g, (s, d) in zip(gs, like, strict=True)
            ]
        ctx._node = self
        try:
            grads = function.backward(
                ctx, *[None if g is None else engine.as_tensor(g) for g in gs]
            )
        finally:
            ctx._node = None
        grads = grads if isinstance(grads, (tuple, list)) else (grads,)
        grads = _checked(function, grads, len(ctx.needs_input_grad))  # type: ignore[arg-type]
        edges = zip(places, self.edges, self.index, strict=True)
        return tuple(
            [
                self._array(function, k, grads[k], e and engine.shape_of(e, i)[0])
                for k, e, i in edges
            ]
        )

    def _array(self, function: Any, k: int, grad: Any, shape: tuple | None) -> Any:
        """The array of the gradient returned for argument k, if it can be summed to the argument's
        shape.
        """
        if grad is None or shape is None:
            return None
        if not isinstance(grad, define.Tensor):
            raise TypeError(
                f"{function.__name__}.backward returned {type(grad).__name__} where a Tensor or"
                " None was expected"
            )
        lead = grad.ndim - len(shape)
        if lead < 0 or any(n not in (m, 1) for m, n in zip(grad.shape[lead:], shape, strict=True)):
            raise RuntimeError(
                f"Function {self.name()} returned an invalid gradient at index {k} - got"
                f" {list(grad.shape)} but expected shape compatible with {list(shape)}"
            )
        return engine.as_array(grad)


def _checked(function: Any, grads: tuple, count: int) -> tuple:
    if len(grads) > count and all(g is None for g in grads[count:]):
        grads = grads[:count]
    if len(grads) != count:
        raise RuntimeError(
            f"function {function.__name__}Backward returned an incorrect number of gradients "
            f"(expected {count}, got {len(grads)})"
        )
    return grads


class Function:
    """Base class for operations with a user-written derivative; call them through `apply`.

    Subclasses define the static methods `forward(ctx, *args)` (or `forward(*args)` with
    `setup_context(ctx, inputs, output)`) and `backward(ctx, *grad_outputs)`, which returns one
    gradient, or None, for each argument of forward.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function"
            " to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward, and record the call if an input requires grad."""
        ctx = FunctionCtx()
        inputs = [a for a in args if isinstance(a, define.Tensor)]
        edges, index = define.edges_of(inputs)
        ctx.needs_input_grad = tuple(isinstance(a, define.Tensor) and a.requires_grad for a in args)
        recording, mode = state.grad and any(ctx.needs_input_grad), state.mode
        state.mode = (state.run, False)
        try:
            out = _forward(cls, ctx, args)
        finally:
            state.mode = mode
        outs = out if isinstance(out, tuple) else (out,)
        dirty = {id(t) for t in ctx._dirty}
        if recording and any(type(t._node) is AccumulateGrad for t in ctx._dirty):
            raise LeafInPlaceError
        if recording:
            outs = tuple(_own_output(o, inputs, dirty) for o in outs)
            _attach(cls, ctx, args, outs, edges, index)
        return tuple(outs) if isinstance(out, tuple) else outs[0]


def _forward(cls: Any, ctx: FunctionCtx, args: tuple) -> Any:
    if not hasattr(cls, "setup_context"):
        return cls.forward(ctx, *args)
    out = cls.forward(*args)
    cls.setup_context(ctx, args, out)
    return out


def _own_output(o: Any, inputs: list, dirty: set) -> Any:
    """An output as a tensor of its own: an input that is returned as it is becomes an alias."""
    if isinstance(o, define.Tensor) and id(o) not in dirty and any(o is x for x in inputs):
        return o.detach()
    return o


def _attach(
    cls: Any, ctx: FunctionCtx, args: tuple, outs: tuple, edges: tuple, index: tuple
) -> None:
    constant = {id(t) for t in ctx._constant}
    tensors = [
        o
        for o in outs
        if isinstance(o, define.Tensor) and id(o) not in constant and define._can_require(o)
    ]
    if not tensors:
        return
    single = len(outs) == 1
    op = _custom_op(cls, 1 if single else 0)
    first = tensors[0]._data
    node = record(op, first.shape, first.dtype, edges, index, ())
    node.__class__ = op.node_class
    node.more = {
        "call": (ctx, cls, [i for i, a in enumerate(args) if isinstance(a, define.Tensor)])
    }
    if not single:
        arrays = [o._data if isinstance(o, define.Tensor) else None for o in outs]
        node.shape = tuple([None if a is None else a.shape for a in arrays])
        node.dtype = tuple([None if a is None else a.dtype for a in arrays])
    for i, o in enumerate(outs):
        if any(o is t for t in tensors):
            o._node, o._index = node, i
            o._base = None
    to_save = ctx._to_save
    node.args = tuple(_packed(t, node) for t in to_save)
    node.more["watched"] = [t._data for t in to_save if t is not None and not state.hooks]
    ctx._to_save = ()


def _custom_op(cls: Any, outputs: int) -> _CustomOp:
    with LOCK:
        ops = cls.__dict__.get("_ops")
        if ops is None:
            ops = cls._ops = {}
        if outputs not in ops:
            ops[outputs] = _CustomOp(f"{cls.__name__}Backward", outputs)
        return ops[outputs]


def _packed(t: Any, node: Node) -> Callable:
    """A function from the node to a saved tensor; an output of the node is kept as its array (no
    cycle).
    """
    if t is not None and PACKING and state.hooks:
        return saved.tensor_in_hooks(t, node)
    if t is None or t._node is not node:
        return lambda _: t
    array, index, storage = t._data, t._index, storage_of(t)

    def unpack(owner: Node) -> Any:
        u = define.wrap(array)
        u._storage, u._node, u._index = storage, owner, index
        return u

    return unpack


def once_differentiable(f: Callable) -> Callable:
    """Decorator for a backward that must not itself be differentiated."""

    @functools.wraps(f)
    def inside(ctx: Any, *grads: Any) -> Any:
        recording = state.grad and any(
            isinstance(g, define.Tensor) and g.requires_grad for g in grads
        )
        mode = state.mode
        state.mode = (state.run, False)
        try:
            out = f(ctx, *grads)
        finally:
            state.mode = mode
        if recording:
            outs = out if isinstance(out, tuple) else (out,)
            for o in outs:
                if isinstance(o, define.Tensor):
                    _forbid(o, f.__qualname__)
        return out

    return inside


def _forbid(t: Any, name: str) -> None:
    op = _CustomOp("NotDifferentiableBackward", 1)
    node = record(op, t._data.shape, t._data.dtype, (), (), ())
    node.__class__ = op.node_class

    class Raises(Function):
        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            raise RuntimeError(
                "trying to differentiate twice a function that was marked with"
                f" @once_differentiable ({name})"
            )

    node.more = {"call": (FunctionCtx(), Raises, [])}
    t._node, t._index = node, 0
