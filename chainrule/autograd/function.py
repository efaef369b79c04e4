"""`Function`: an operation whose derivative the user writes.

`forward` runs unrecorded; one node stands for the whole call, and its rule is the user's
`backward`, given tensors and returning tensors, so that a backward written in differentiable
operations can itself be differentiated. Saved inputs are kept as they are; a saved output is kept
as its array and joined to the node again when it is asked for, so that no reference cycle arises.
How forward runs on batched and dual tensors is in `function_modes`.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import LeafInPlaceError, OverwrittenError
from ..ops import define, inplace
from ..storage import LOCK, overwritten
from ..tape import PACKING, AccumulateGrad, Node, record, state, storage_of
from . import engine, saved
from .function_modes import default, noted, overrides, run, where


class FunctionCtx:
    """What `forward` passes on to `backward` and `jvp`; users add attributes of their own."""

    materialize_grads = True
    saved_for_forward: tuple | None = None

    def __init__(self, function: Any = None, needs_input_grad: tuple = ()) -> None:
        self._function, self.needs_input_grad = function, needs_input_grad
        self._to_save: tuple = ()
        self._dirty: tuple = ()
        self._constant: tuple = ()
        self._node: Node | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (inputs, outputs or intermediates; None allowed) for `backward`."""
        given = [t for t in tensors if t is not None]
        _check_tensors(given, TypeError, "save_for_backward can only save variables, but argument")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors (None allowed) for `jvp`, which finds them in `saved_tensors`."""
        if not all(t is None or isinstance(t, define.Tensor) for t in tensors):
            raise AssertionError(
                "save_for_forward expects all arguments to be tensors; you should save non-tensors"
                " as attributes on ctx."
            )
        self.saved_for_forward = tensors

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that were saved; raises RuntimeError once the graph has been freed."""
        node = self._node
        if node is not None:
            return _unpacked(node, getattr(self._function, "clear_saved_tensors_on_access", False))
        return self._to_save if self.saved_for_forward is None else self.saved_for_forward

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs `forward` changed in place; each must be returned."""
        _check_tensors(tensors, RuntimeError, "mark_dirty can only accept variables, but argument")
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        words = "mark_non_differentiable only accepts variable arguments, but got one that"
        _check_tensors(tensors, RuntimeError, words)
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients and tangents arrive as zeros (the default) or as None."""
        self.materialize_grads = value


def _check_tensors(tensors: Sequence, error: type[Exception], words: str) -> None:
    for t in tensors:
        if not isinstance(t, define.Tensor):
            raise error(f"{words} is of type {type(t).__name__}")


def _unpacked(node: Any, once: bool = False) -> tuple:
    """The tensors a node saved; with `once` they are let go."""
    if node.args is None:
        raise node.freed()
    if once:
        if "read" in node.more:
            raise RuntimeError(
                "saved_tensors can only be accessed once when clear_saved_tensors_on_access=True is"
                " set on the autograd.Function. Either access saved_tensors only once, or set"
                " clear_saved_tensors_on_access=False."
            )
        node.more["read"] = True
    tensors = tuple([unpack(node) for unpack in node.args])
    if once:
        node.args, node.more["watched"] = (), []
    return tensors


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
    """The node of one call of a user's Function; it shows the attributes of its `ctx`."""

    __slots__ = ()

    @property
    def shown(self) -> Node:
        return self

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that were saved; raises RuntimeError once the graph has been freed."""
        return _unpacked(self)

    def __getattr__(self, name: str) -> Any:
        more = None if name.startswith("_") else object.__getattribute__(self, "more")
        ctx = more["call"][0] if more is not None and "call" in more else None
        if ctx is not None and hasattr(ctx, name):
            return getattr(ctx, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
            shapes, dtypes = ((self.shape,), (self.dtype,)) if single else (self.shape, self.dtype)
            gs = [
                np.zeros(s, d) if g is None and s is not None else g
                for g, s, d in zip(gs, shapes, dtypes, strict=True)
            ]
        tensors: list = [None if g is None else engine.as_tensor(g) for g in gs]
        rule = _backward_of(function)
        ctx._node = self
        try:
            boxed = [tensors] if getattr(function, "boxed_grads_call", False) else tensors
            grads = noted(rule, function, self, ctx, *boxed)
        finally:
            ctx._node = None
        grads = grads if isinstance(grads, tuple) else (grads,)
        count = len(ctx.needs_input_grad)
        if len(grads) < count or any(g is not None for g in grads[count:]):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected"
                f" {count}, got {len(grads)}){self._place(function)}"
            )
        for k, g in enumerate(grads[:count]):
            if g is not None and k not in places:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position"
                    f" {k}, but the corresponding forward input was not a Variable"
                    + self._place(function)
                )
        return tuple(
            [
                self._array(function, k, grads[k], *(engine.shape_of(e, i) if e else (None, None)))
                for k, e, i in zip(places, self.edges, self.index, strict=True)
            ]
        )

    def _place(self, function: Any) -> str:
        """Where the rule stands and where it was applied."""
        rule = _backward_of(function)
        return (
            f" (by {function.__name__}.{rule.__name__}, {where(rule)}, of the call at {self.line})"
        )

    def _array(self, function: Any, k: int, grad: Any, shape: tuple | None, dtype: Any) -> Any:
        """The array of the gradient returned for argument k, if it can be summed to the argument's
        shape and be of its dtype.
        """
        if grad is not None and not isinstance(grad, define.Tensor):
            raise RuntimeError(
                f"expected Variable or None (got {type(grad).__name__}) at index {k}"
                + self._place(function)
            )
        if grad is None or shape is None:
            return None
        lead = grad.ndim - len(shape)
        same = grad._data.shape == shape
        if not same and (
            lead < 0 or any(m not in (n, 1) for n, m in zip(grad.shape[lead:], shape, strict=True))
        ):
            raise RuntimeError(
                f"Function {self.name()} returned an invalid gradient at index {k} - got"
                f" {list(grad.shape)} but expected shape compatible with"
                f" {list(shape)}{self._place(function)}"
            )
        if grad.is_complex() and dtype.kind != "c":
            raise RuntimeError(
                f"Function {self.name()} returned an invalid gradient at index {k} - got"
                f" {grad.dtype} for an input of dtype {define.FROM_NUMPY[dtype]}; take its real"
                f" part{self._place(function)}"
            )
        return engine.as_array(grad)


def _backward_of(function: Any) -> Callable:
    """The user's `backward`, or `vjp`, which is another name for it."""
    named = [n for n in ("backward", "vjp") if overrides(function, n)]
    if len(named) == 2:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You"
            f" should only implement one of them. ({function.__name__} at"
            f" {where(function.backward)} and {where(function.vjp)})"
        )
    return getattr(function, named[0] if named else "backward")


class Function:
    """Base class for operations with a user-written derivative; call them through `apply`.

    Subclasses define the static methods `forward(ctx, *args)` (or `forward(*args)` with
    `setup_context(ctx, inputs, output)`) and `backward(ctx, *grad_outputs)` (or `vjp`, the same
    under another name), which returns one gradient, or None, for each argument of forward.

    Forward mode uses `jvp` if it is overridden, and else derives it from `backward`. vmap runs
    forward, setup_context and backward on batched tensors; a `vmap` rule takes forward's place, for
    one that leaves this library (for NumPy, say).
    """

    generate_vmap_rule = False
    clear_saved_tensors_on_access = False  # whether `saved_tensors` can be read just once
    boxed_grads_call = False  # whether backward gets its gradients in one list

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all"
            " static, so you should invoke them on the class itself. Instantiating an autograd"
            " function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use"
            f" new-style autograd function with static forward method: {type(self).__name__}.apply"
        )

    @staticmethod
    @default
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    @default
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Save for `backward` what it needs, where forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    @default
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the arguments of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function"
            " to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    @default
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the tangents of the outputs from those of the arguments of forward."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with"
            " forward mode AD."
        )

    @staticmethod
    @default
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """Compute (output, out_dims) of a whole batch: `info.batch_size` examples along `in_dims`
        of `args` (None for what all examples share).
        """
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or"
            " set generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward, and record the call if an input requires grad."""
        if kwargs or overrides(cls, "setup_context"):
            args, kwargs = _bound(cls.forward, args, kwargs, overrides(cls, "setup_context"))
        ctx = FunctionCtx(
            cls, tuple([isinstance(a, define.Tensor) and a.requires_grad for a in args])
        )
        mode = state.mode
        state.mode = (state.run, False)
        try:
            out = run(cls, ctx, args, kwargs)
        finally:
            state.mode = mode
        outs = out if isinstance(out, tuple) else (out,)
        if ctx._dirty and not all(any(t is o for o in outs) for t in ctx._dirty):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as"
                " output. The inputs that are modified inplace must all be outputs of the"
                f" Function. ({cls.__name__}.forward, {where(cls.forward)})"
            )
        if state.grad and True in ctx.needs_input_grad:
            outs = cls._recorded(ctx, args, outs)
        return outs if isinstance(out, tuple) else outs[0]

    @classmethod
    def _recorded(cls, ctx: FunctionCtx, args: tuple, outs: tuple) -> tuple:
        """`outs` joined to a node that stands for the call."""
        for t in ctx._dirty:
            view = t._base is not None
            if type((t._base if view else t)._node) is AccumulateGrad:
                raise LeafInPlaceError(view)
            if view and len(outs) > 1:
                raise RuntimeError(
                    "If your Function modifies inplace an input that is a view of another Tensor,"
                    " your Function cannot return more than one Tensor. Make sure the input is not"
                    " a view (using .clone() for example), or split it into two Functions"
                    f" ({cls.__name__}.forward, {where(cls.forward)})"
                )
        inputs = [a for a in args if isinstance(a, define.Tensor)]
        outs = tuple([_own_output(o, inputs, ctx._dirty) for o in outs])
        _attach(cls, ctx, args, outs, *define.edges_of(inputs))
        return outs


def _bound(forward: Callable, args: tuple, kwargs: dict, defaults: bool) -> tuple[tuple, dict]:
    """Arguments given by name at their places, so that they are inputs as the others are; with
    `defaults` (forward takes no ctx then) also those that were not given.
    """
    if not kwargs and not getattr(forward, "__defaults__", None):
        return args, kwargs
    signature = inspect.signature(forward)
    if defaults:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs
    names = list(signature.parameters)[1:]
    given, rest = list(args), dict(kwargs)
    for k, name in enumerate(names[len(args) :], len(args)):
        p = signature.parameters[name]
        if p.kind is not p.POSITIONAL_OR_KEYWORD or not rest:
            break
        if name not in rest and p.default is p.empty:
            raise TypeError(f"forward() missing required argument: '{name}' (position {k})")
        given.append(rest.pop(name) if name in rest else p.default)
    return tuple(given), rest


def _own_output(o: Any, inputs: list, dirty: tuple) -> Any:
    """An output as a tensor of its own: an input that is returned as it is becomes a view."""
    if not isinstance(o, define.Tensor) or any(o is t for t in dirty):
        return o
    if not any(o is x for x in inputs):
        return o
    view = define.wrap(define.storage_array(o))
    define.be_view(view, o)
    return view


def _attach(
    cls: Any, ctx: FunctionCtx, args: tuple, outs: tuple, edges: tuple, index: tuple
) -> None:
    constant = {id(t) for t in ctx._constant}
    for o in ctx._dirty:
        if id(o) in constant:
            o._node, o._index = None, 0
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
        if o is tensors[0] or any(o is t for t in tensors):
            _join(o, node, i, not single, any(o is t for t in ctx._dirty))
    to_save = ctx._to_save
    node.args = tuple([_packed(t, node) for t in to_save])
    node.more["watched"] = [t._data for t in to_save if t is not None and not state.hooks]
    ctx._to_save, ctx._dirty, ctx._constant, ctx.saved_for_forward = (), (), (), None


def _join(o: Any, node: Node, index: int, several: bool, dirty: bool) -> None:
    """Make output `index` of `node` the history of tensor `o`."""
    if dirty and o._base is not None:
        inplace.rebase(o, node, index, define.edges_of((o,)))
        return
    o._node, o._index = node, index
    if o._base is not None:  # a view that backward stands for must not be written in place
        o._seen, o._no_inplace = o._base._node, "multi" if several else "function"
        o._born = o._storage.version


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
    """Decorator for a backward that must not itself be differentiated: doing so raises."""

    @functools.wraps(f)
    def inside(ctx: Any, *grads: Any) -> Any:
        mode = state.mode
        recording = mode[1] and any(isinstance(g, define.Tensor) and g.requires_grad for g in grads)
        state.mode = (state.run, False)
        try:
            out = f(ctx, *grads)
        finally:
            state.mode = mode
        if not recording:
            return out
        if isinstance(out, tuple):
            return tuple([_forbidden(o, f) for o in out])
        return _forbidden(out, f)

    return inside


def _forbidden(t: Any, rule: Callable) -> Any:
    """`t` with a history that must not be walked."""
    if not isinstance(t, define.Tensor):
        return t
    t = t.detach()
    node = record(DELAYED_ERROR, t._data.shape, t._data.dtype, (), (), ())
    node.__class__ = DELAYED_ERROR.node_class
    ctx = FunctionCtx(DelayedError)
    ctx.rule = rule  # type: ignore[attr-defined]
    node.more = {"call": (ctx, DelayedError, []), "watched": []}
    t._node, t._index = node, 0
    return t


class DelayedError(Function):
    """What the gradients from a `once_differentiable` backward come from."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Raise: the rule was not to be differentiated."""
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
            f" ({ctx.rule.__qualname__}, {where(ctx.rule)})"
        )


DELAYED_ERROR = _CustomOp("DelayedError", 1)


class InplaceFunction(Function):
    """An older base class for operations that may work in place; use `Function`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """An older base class for operations on nested tuples; use `Function`."""
