"""Jacobians, Hessians and products with them, row by row through the tape
(`torch.autograd.functional`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.boundary import enter_batch, leave_batch, tangent_part
from ..arrays.levels import Level
from ..ops import define
from .forward_ad import dual, is_dual
from .modes import enable_grad
from .reverse import grad


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func` at `inputs`: shape output.shape + input.shape, nested in tuples as
    outputs and inputs are.

    `strict` raises RuntimeError where an output does not depend on an input, instead of giving
    zeros.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your'
            ' function has more outputs than inputs, "forward-mode" is recommended. Otherwise,'
            ' prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                "torch.autograd.functional.jacobian: `create_graph=True` and"
                ' `strategy="forward-mode"` are not supported together (yet). Please either set'
                ' `create_graph=False` or `strategy="reverse-mode"`.'
            )
        if strict:
            raise RuntimeError(
                "torch.autograd.functional.jacobian: `strict=True` and"
                ' `strategy="forward-mode"` are not supported together (yet). Please either set'
                ' `strict=False` or `strategy="reverse-mode"`.'
            )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian is only"
                " implemented for `vectorize=True`."
            )
        return _by_columns(func, inputs)
    if vectorize and strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not"
            " supported together. Please either set `strict=False` or `vectorize=False`."
        )
    with enable_grad():
        xs, xs_single = _inputs(inputs, create_graph)
        outs, outs_single = _outputs(func(*xs), "jacobian")
        if vectorize:
            rows = tuple(_rows_at_once(out, xs, create_graph) for out in outs)
            return _nested(rows, create_graph, xs_single, outs_single)
        rows = tuple(_jacobian_of(i, out, xs, create_graph, strict) for i, out in enumerate(outs))
    return _nested(rows, create_graph, xs_single, outs_single)


def _nested(rows: tuple, create_graph: bool, xs_single: bool, outs_single: bool) -> Any:
    """Jacobians, a row of tensors for each output, nested as outputs and inputs are."""
    rows = tuple(tuple(r if create_graph else r.detach() for r in row) for row in rows)
    picked = tuple(row[0] if xs_single else row for row in rows)
    return picked[0] if outs_single else picked


def _identity(x: Any) -> Any:
    n = x.numel()
    return define.wrap(np.eye(n, dtype=x._data.dtype).reshape(n, *x._data.shape))


def _rows_at_once(out: Any, xs: tuple, create_graph: bool) -> tuple:
    """The Jacobians of one output, all rows in one vectorised backward pass."""
    if not out.requires_grad or not out.numel():
        return tuple(_zeros((*out.shape, *x.shape), x) for x in xs)
    rows = grad(
        out,
        xs,
        _identity(out),
        retain_graph=True,
        create_graph=create_graph,
        is_grads_batched=True,
        materialize_grads=True,
    )
    return tuple(r.reshape(*out.shape, *x.shape) for r, x in zip(rows, xs, strict=True))


def _by_columns(func: Callable, inputs: Any) -> Any:
    """The Jacobian by forward mode, the columns of each input in one vectorised pass."""
    xs, xs_single = _inputs(inputs, False)
    xs = tuple(x.detach() for x in xs)
    columns: list[tuple] = []
    outs_single = True
    for j, x in enumerate(xs):
        with Level() as batch, Level() as level:
            tangent = enter_batch.op.entry(_identity(x), batch.number, 0)
            given = (*xs[:j], dual(x, tangent, level.number), *xs[j + 1 :])
            outs, outs_single = _outputs(func(*given), "jacobian")
            columns.append(tuple(_column(o, x, batch.number, level.number) for o in outs))
    rows = tuple(zip(*columns, strict=True))
    return _nested(rows, False, xs_single, outs_single)


def _column(out: Any, x: Any, batch: int, level: int) -> Any:
    shape = (*out.shape, *x.shape)
    if not is_dual(out, level):
        return _zeros(shape, x)
    tangent = tangent_part.op.entry(out, level)
    return leave_batch.op.entry(tangent, batch, out._data.ndim, x.numel()).reshape(shape)


def _zeros(shape: tuple, like: Any) -> Any:
    return define.wrap(np.zeros(shape, like._data.dtype))


def _jacobian_of(i: int, out: Any, xs: tuple, create_graph: bool, strict: bool) -> tuple:
    """The Jacobians of one output with respect to every input."""
    if strict and not out.requires_grad:
        raise RuntimeError(
            f"Output {i} of the user-provided function does not require gradients. The outputs must"
            " be computed in a differentiable manner from the input when running in strict mode."
        )
    columns: list[list] = [[] for _ in xs]
    for one in _elements(out):
        grads = (
            grad(one, xs, retain_graph=True, create_graph=create_graph, allow_unused=True)
            if out.requires_grad
            else ((None,) * len(xs))
        )
        for j, (g, x) in enumerate(zip(grads, xs, strict=True)):
            if g is None and strict:
                raise RuntimeError(
                    f"Output {i} of the user-provided function is independent of input {j}. This is"
                    " not allowed in strict mode."
                )
            columns[j].append(_zeros_like(x) if g is None else g)
    return tuple(
        _stack(c, tuple(out.shape) + tuple(x.shape), x) for c, x in zip(columns, xs, strict=True)
    )


def _elements(out: Any) -> list:
    flat = out.reshape(-1)
    return [flat[k] for k in range(out.numel())]


def _stack(rows: list, shape: tuple, x: Any) -> Any:
    if not rows:
        return define.wrap(np.zeros(shape, x._data.dtype))
    return define.OPS["cat"].entry([r.reshape(1, -1) for r in rows]).reshape(shape)


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function: for each pair of inputs shape input_i.shape +
    input_j.shape.
    """
    single = isinstance(inputs, define.Tensor)

    def gradient(*xs: Any) -> Any:
        out = func(*xs)
        _check_scalar(out, "hessian")
        grads = (
            grad(out, xs, create_graph=True, allow_unused=not strict, materialize_grads=not strict)
            if out.requires_grad
            else (tuple(_zeros_like(x) for x in xs))
        )
        return grads[0] if single else grads

    forward = outer_jacobian_strategy == "forward-mode"
    if forward and strict:
        raise RuntimeError(
            "torch.autograd.functional.hessian: `strict=True` and"
            ' `outer_jacobian_strategy="forward-mode"` are not supported together.'
        )
    if forward:
        return jacobian(
            lambda *given: _detached_gradient(func, given, single),
            inputs,
            vectorize=vectorize,
            strategy="forward-mode",
        )
    return jacobian(gradient, inputs, create_graph=create_graph, strict=strict, vectorize=vectorize)


def _detached_gradient(func: Callable, given: tuple, single: bool) -> Any:
    """The gradient at dual inputs: forward over reverse."""
    with enable_grad():
        xs = tuple(define.wrap(x._data).requires_grad_() for x in given)
        out = func(*xs)
        _check_scalar(out, "hessian")
        grads = _grad_or_zeros((out,), xs, (None,), False, False)
    return grads[0] if single else grads


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(inputs), the product of `v` with the Jacobian)."""
    with enable_grad():
        xs, single = _inputs(inputs, create_graph)
        outs, outs_single = _outputs(func(*xs), "vjp")
        weights = _weights(v, outs, "vjp")
        grads = _grad_or_zeros(outs, xs, weights, create_graph, strict)
    return _finish(outs, outs_single, create_graph), _finish(grads, single, create_graph)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(inputs), the product of the Jacobian with `v`), by differentiating the vjp with respect
    to its weight.
    """
    with enable_grad():
        xs, _ = _inputs(inputs, create_graph)
        directions = _weights(v, xs, "jvp")
        outs, outs_single = _outputs(func(*xs), "jvp")
        weights = tuple(_zeros_like(o).requires_grad_() for o in outs)
        grads = _grad_or_zeros(outs, xs, weights, True, strict)
        products = _grad_or_zeros(grads, weights, directions, create_graph, strict)
    return _finish(outs, outs_single, create_graph), _finish(products, outs_single, create_graph)


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(inputs), the product of `v` with the Hessian of a scalar function)."""
    with enable_grad():
        xs, single = _inputs(inputs, create_graph)
        directions = _weights(v, xs, "vhp")
        out = func(*xs)
        _check_scalar(out, "vhp")
        grads = _grad_or_zeros((out,), xs, (None,), True, strict)
        products = _grad_or_zeros(grads, xs, directions, create_graph, strict)
    return _finish((out,), True, create_graph), _finish(products, single, create_graph)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(inputs), the product of the Hessian of a scalar function with `v`); the Hessian is
    symmetric.
    """
    return vhp(func, inputs, v, create_graph, strict)


def _grad_or_zeros(
    outs: tuple, xs: tuple, weights: tuple, create_graph: bool, strict: bool
) -> tuple:
    pairs = [(o, w) for o, w in zip(outs, weights, strict=True) if o.requires_grad]
    if strict and len(pairs) < len(outs):
        raise RuntimeError(
            "The output of the user-provided function is independent of the input. This is not"
            " allowed in strict mode."
        )
    if not pairs:
        return tuple(_zeros_like(x) for x in xs)
    return grad(
        [o for o, _ in pairs],
        xs,
        [w for _, w in pairs],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=not strict,
        materialize_grads=not strict,
    )


def _inputs(inputs: Any, create_graph: bool) -> tuple[tuple, bool]:
    single = isinstance(inputs, define.Tensor)
    xs = (inputs,) if single else tuple(inputs)
    for i, x in enumerate(xs):
        if not isinstance(x, define.Tensor):
            raise TypeError(
                "The inputs given to the function must be either a Tensor or a tuple of Tensors"
                f" but the value at index {i} has type {type(x)}."
            )
    if create_graph:
        return (
            tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in xs),
            single,
        )
    return tuple(x.detach().requires_grad_() for x in xs), single


def _outputs(outputs: Any, name: str) -> tuple[tuple, bool]:
    single = isinstance(outputs, define.Tensor)
    outs = (outputs,) if single else outputs
    if not isinstance(outs, tuple) or not all(isinstance(o, define.Tensor) for o in outs):
        raise TypeError(
            f"The outputs of the user-provided function given to {name} must be either a Tensor or"
            f" a tuple of Tensors but got {type(outputs)}."
        )
    return outs, single


def _weights(v: Any, like: tuple, name: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the user-provided function {name} is of a single"
                " element."
            )
        return (define.wrap(np.ones(like[0]._data.shape, like[0]._data.dtype)),)
    vs = (v,) if isinstance(v, define.Tensor) else tuple(v)
    if len(vs) != len(like):
        raise RuntimeError(f"v has {len(vs)} elements where {len(like)} were expected")
    for i, (a, b) in enumerate(zip(vs, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(
                f"Entry {i} in v has invalid size: should be {b.shape} but got {a.shape}."
            )
    return vs


def _check_scalar(out: Any, name: str) -> None:
    if not isinstance(out, define.Tensor) or out.numel() != 1:
        got = (
            f"a Tensor with {out.numel()} elements"
            if isinstance(out, define.Tensor)
            else str(type(out))
        )
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element,"
            f" got {got}"
        )


def _zeros_like(x: Any) -> Any:
    return define.wrap(np.zeros(x._data.shape, x._data.dtype))


def _finish(ts: tuple, single: bool, keep: bool) -> Any:
    done = tuple(t if keep else t.detach() for t in ts)
    return done[0] if single else done
