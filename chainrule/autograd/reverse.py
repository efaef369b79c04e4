"""`backward` and `grad`: what a user asks of the engine, checked and put in its terms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import float32

from ..arrays.boundary import enter_batch, leave_batch
from ..arrays.grad import GradArray
from ..arrays.levels import RUNNING, Level, stack
from ..ops import define
from ..tape import state
from . import engine
from .graph import GradientEdge

ONE = float32(1)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate into the leaves' `.grad` the gradient of `tensors`, weighted by `grad_tensors`.

    A scalar needs no weight. `inputs` limits the accumulation to those tensors. Raises RuntimeError
    for a tensor without graph, a missing or misshapen weight, and a graph that was freed.
    """
    if RUNNING and any(level.transforms for level in stack.levels):
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use"
            " functorch.grad or functorch.vjp instead or call backward() outside of functorch"
            " transforms."
        )
    if (
        grad_tensors is None
        and inputs is None
        and not create_graph
        and isinstance(tensors, define.Tensor)
    ):
        node = tensors._node if tensors._base is None else tensors._history()
        if node is not None:
            one = ONE if type(tensors._data) is float32 else _seed(tensors, None, False)
            engine.run_scalar(node, tensors._index, one, bool(retain_graph))
            return
    outs = _as_tuple(tensors)
    weights = _as_tuple(grad_tensors) if grad_tensors is not None else (None,) * len(outs)
    if inputs is not None and len(_as_tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _roots(outs, weights, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        engine.run(roots, retain, create_graph)
        return
    wanted = _as_tuple(inputs)
    targets = _targets(wanted)
    engine.run(roots, retain, create_graph, targets)
    for x in wanted:
        if not x.is_leaf and not x.retains_grad and targets[_edge(x)] is not None:
            _accumulate_inner(x, engine.as_tensor(targets[_edge(x)]))


def _accumulate_inner(x: Any, g: Any) -> None:
    x._grad = g if x.__dict__.get("_grad") is None else define.OPS["add"].entry(x._grad, g)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    is_grads_batched: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of `outputs`, weighted by `grad_outputs`, with respect to each of `inputs`, as
    a tuple.

    `.grad` is left alone. An input that the outputs do not depend on raises RuntimeError, or gives
    None with `allow_unused=True`, or zeros with `materialize_grads=True`.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if is_grads_batched:
        return _grad_of_rows(
            outputs,
            inputs,
            grad_outputs,
            retain_graph,
            create_graph,
            allow_unused,
            materialize_grads,
        )
    outs, wanted = _as_tuple(outputs), _as_tuple(inputs)
    if materialize_grads and any(hasattr(x, "_placed") for x in wanted):
        raise RuntimeError(
            "materialize_grads cannot be used when the given input is a GradientEdge"
        )
    weights = _as_tuple(grad_outputs) if grad_outputs is not None else (None,) * len(outs)
    retain = create_graph if retain_graph is None else retain_graph
    found = cotangents(outs, wanted, weights, retain, create_graph)
    return tuple(
        [
            _result(i, x, g, bool(allow_unused), materialize_grads)
            for i, (x, g) in enumerate(zip(wanted, found, strict=True))
        ]
    )


def cotangents(
    outs: tuple, wanted: tuple, weights: tuple, retain: bool, create: bool, closed: bool = False
) -> list:
    """The cotangents of `wanted`, from those of `outs`; None for what they do not depend on.
    `closed`: it is known that `wanted` are all the leaves there are.
    """
    roots = _roots(outs, weights, create)
    targets = _targets(wanted)
    engine.run(roots, retain, create, targets, accumulate=False, closed=closed)
    return [targets[_edge(x)] for x in wanted]


def gradients(
    outs: tuple, wanted: tuple, weights: tuple, retain: bool, create: bool, closed: bool
) -> list:
    """The gradients of `outs` in `wanted` as tensors, zeros where there are none."""
    found = cotangents(outs, wanted, weights, retain, create, closed)
    return [_result(0, x, g, True, True) for x, g in zip(wanted, found, strict=True)]


def _grad_of_rows(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool | None,
    materialize_grads: bool,
) -> tuple:
    """`grad` for every row of `grad_outputs` at once: the pullback under vmap."""
    weights = _as_tuple(grad_outputs) if grad_outputs is not None else ()
    sizes = {w._data.shape[0] for w in weights if w is not None and w._data.ndim}
    if len(sizes) != 1:
        raise RuntimeError(
            "is_grads_batched=True: grad_outputs must be tensors with one first dimension, the"
            f" number of rows; got shapes {[list(w.shape) for w in weights if w is not None]}"
        )
    size = sizes.pop()
    with Level() as level:
        number = level.number
        rows = [None if w is None else enter_batch.op.entry(w, number, 0) for w in weights]
        found = grad(
            outputs,
            inputs,
            rows,
            retain_graph,
            create_graph,
            allow_unused=allow_unused,
            materialize_grads=materialize_grads,
        )
        return tuple(
            [None if g is None else leave_batch.op.entry(g, number, 0, size) for g in found]
        )


def _result(place: int, x: Any, g: Any, allow_unused: bool, materialize: bool) -> Any:
    if g is not None:
        return engine.as_tensor(_owned(g))
    if not (allow_unused or materialize):
        raise RuntimeError(
            f"The differentiated Tensor at index {place} appears to not have been used in the"
            " graph. Set allow_unused=True if this is the desired behavior."
        )
    return zeros_like(x) if materialize else None


def zeros_like(x: Any) -> Any:
    """A tensor of zeros of the same shape and dtype, without history."""
    return define.wrap(np.zeros(x._data.shape, x._data.dtype))


def _owned(g: Any) -> Any:
    """A gradient that may be written: never a broadcast view."""
    if isinstance(g, np.ndarray) and (0 in g.strides and g.size > 1):
        return g.copy()
    return g


def _as_tuple(x: Any) -> tuple:
    if isinstance(x, (define.Tensor, GradientEdge)) or not hasattr(x, "__iter__"):
        x = (x,)
    return tuple([_at(e) if isinstance(e, GradientEdge) else e for e in x])


def _at(edge: GradientEdge) -> Any:
    """A tensor that stands for a place in the graph; its values are not known."""
    shape, dtype = engine.shape_of(edge.node, edge.output_nr)
    t = define.wrap(np.broadcast_to(np.zeros((), dtype), shape))
    t._node, t._index, t._placed = edge.node, edge.output_nr, edge
    return t


def _edge(x: Any) -> tuple:
    return (x._node, x._index)


def _targets(wanted: tuple) -> dict:
    for x in wanted:
        define.edges_of((x,))
        if x._node is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    return {_edge(x): None for x in wanted}


def _roots(outs: tuple, weights: tuple, create: bool) -> list:
    if len(weights) != len(outs):
        raise RuntimeError(f"got {len(outs)} tensors and {len(weights)} gradients")
    roots = []
    for i, (t, w) in enumerate(zip(outs, weights, strict=True)):
        define.edges_of((t,))
        if t._node is None:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn"
            )
        roots.append(
            (t._node, t._index, engine.fit(_seed(t, w, create), t._data.shape, t._data.dtype))
        )
    return roots


def _seed(t: Any, weight: Any, create: bool) -> Any:
    data = t._data
    if weight is None:
        if data.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if data.dtype.kind == "c":
            raise RuntimeError(
                "grad can be implicitly created only for real scalar outputs but got "
                f"{define.FROM_NUMPY[data.dtype]}"
            )
        one = data.dtype.type(1) if not data.shape else np.ones(data.shape, data.dtype)
        return GradArray(define.wrap(one)) if create else one
    if not isinstance(weight, define.Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(weight).__name__}")
    if weight._data.shape != data.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {weight.shape} and output[0] has a"
            f" shape of {t.shape}."
        )
    if (weight._data.dtype.kind == "c") != (data.dtype.kind == "c"):
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype."
            f" Mismatch in dtype: grad_output[0] has a dtype of {weight.dtype} and output[0] has a"
            f" dtype of {t.dtype}."
        )
    return engine.outward(GradArray(weight) if create else weight._data)


def is_checkpoint_valid() -> bool:
    """Whether the backward pass that runs now is one for all leaves, which another one may run
    inside of.
    """
    walk = state.walk and state.walk()
    return walk is None or walk.targets is None
