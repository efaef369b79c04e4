"""Reverse mode as functions of functions: grad, vjp, jacrev, hessian."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.levels import Gradient, Linear, stack
from ..autograd.modes import enable_grad
from ..autograd.reverse import gradients, zeros_like
from ..ops import define
from ..tape import AccumulateGrad
from .arguments import check_outputs, chosen, parts_of, replaced
from .batching import vmap
from .trees import leaves, mapped, rebuild, shape_of


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of the scalar `func` in its argument(s) `argnums`, and
    its value; with `has_aux`, `func` returns (value, anything else), and so does this.

    Raises RuntimeError if `func` does not return a tensor without dimensions.
    """
    head = "grad_and_value(f)(*args): "

    @functools.wraps(func, updated=())
    def both(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            variables, given = _variables(args, argnums)
            with Gradient(func, leaves((given, kwargs))) as level:
                out = func(*given, **kwargs)
            if has_aux:
                out, aux = parts_of(out, head)
            _check_scalar(out, head)
            outer = has_history([out], variables)
            found = iter(_gradients([out], None, variables, outer, outer, outer, level.number))
            grads = mapped(lambda _: next(found), chosen(args, argnums))
        value = out if outer else cut(out)
        return (grads, (value, _settled(aux, outer))) if has_aux else (grads, value)

    return both


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of the scalar `func` in its argument(s) `argnums` (and,
    with `has_aux`, what `func` returns besides).
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        grads, value = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(func(*primals), pullback[, aux]): `pullback(*cotangents)` is the tuple of the products of
    the cotangents, structured as the outputs, with the Jacobian in each primal.
    """
    return _pulled(func, primals, has_aux, Gradient(func))


def recorded(func: Callable, primals: tuple) -> tuple:
    """(func(*primals), pullback) for linearize: the transposed Jacobian that forward mode has."""
    return _pulled(func, primals, False, Linear(func))


def _pulled(func: Callable, primals: tuple, has_aux: bool, level: Gradient) -> tuple:
    """What `vjp` returns, by a transformation of that level."""
    head = "vjp(f, *primals): "
    with enable_grad():
        variables, given = _variables(primals, tuple(range(len(primals))))
        level.given = leaves(given)
        with level:
            out = func(*given)
        if has_aux:
            out, aux = parts_of(out, head)
    outs = leaves(out)
    _check_outputs(outs, out)
    outer = has_history(outs, variables)

    def pullback(*cotangents: Any) -> tuple:
        given = cotangents[0] if len(cotangents) == 1 and not _same(cotangents, out) else cotangents
        if not _same(given, out):
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of"
                f" outputs to the function. cotangents: {shape_of(given)}, primal output:"
                f" {shape_of(out)}"
            )
        weights = leaves(given)
        create = outer or any(w.requires_grad for w in weights)
        with enable_grad():
            found = iter(_gradients(outs, weights, variables, outer, create, True, level.number))
        return tuple(mapped(lambda _: next(found), p) for p in primals)

    value = mapped(lambda t: t if outer else cut(t), out)
    return (value, pullback, _settled(aux, outer)) if has_aux else (value, pullback)


SINGLE = ((), (1,), (1, 1))  # shapes of one element


def jacrev(
    func: Callable,
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """A function that returns the Jacobian of `func` in its argument(s) `argnums`, by reverse mode:
    for each output and input a tensor of shape output.shape + input.shape.
    """
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func, updated=())
    def jacobian(*args: Any) -> Any:
        refuse_complex("jacrev", args, "inputs")

        def of_chosen(*inputs: Any) -> Any:
            return func(*replaced(args, inputs, argnums))

        selected = chosen(args, argnums)
        inputs = (selected,) if isinstance(argnums, int) else selected
        out, pullback, *aux = vjp(of_chosen, *inputs, has_aux=has_aux)
        outs = leaves(out)
        refuse_complex("jacrev", outs, "outputs")
        if len(outs) == 1 and outs[0]._data.shape in SINGLE:  # its only row needs no vmap
            unit = define.wrap(np.ones(outs[0]._data.shape, outs[0]._data.dtype))
            rows = pullback(rebuild(out, iter([unit])))
        else:
            rows = vmap(lambda *row: pullback(rebuild(out, iter(row))), chunk_size=chunk_size)(
                *basis(outs)
            )
        flat = _by_output(rows, outs)
        result = rebuild(
            out, iter([part[0] if isinstance(argnums, int) else part for part in flat])
        )
        return (result, aux[0]) if has_aux else result

    return jacobian


def _by_output(rows: tuple, outs: list) -> list[tuple]:
    """Rows of Jacobians, of all outputs together, cut into one for each output, in its shape (the
    row of a single number has no dimension to count rows).
    """
    if len(outs) == 1:
        shape = outs[0]._data.shape
        first = 0 if shape in SINGLE else 1

        def shaped(r: Any) -> Any:
            whole = (*shape, *r._data.shape[first:])
            return r if whole == r._data.shape else r.reshape(whole)

        return [tuple([mapped(shaped, row) for row in rows])]
    found, start = [], 0
    for out in outs:
        n = out.numel()

        def cut(r: Any, start: int = start, n: int = n, shape: Any = out.shape) -> Any:
            return r.narrow(0, start, n).reshape(*shape, *r.shape[1:])

        found.append(tuple(mapped(cut, row) for row in rows))
        start += n
    return found


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """A function that returns the Hessian of `func` in its argument(s) `argnums`: forward mode over
    reverse mode.
    """
    from .pushforward import jacfwd

    return jacfwd(jacrev(func, argnums), argnums)


# -- shared by these and forward mode --------------------------------------------------------------


def basis(tensors: list) -> list:
    """For each tensor the rows of the identity that belong to its elements, among those of all."""
    total, start, found = sum(t.numel() for t in tensors), 0, []
    for t in tensors:
        n, dtype = t.numel(), t._data.dtype
        rows = np.zeros((total, n), dtype)
        rows[np.arange(start, start + n), np.arange(n)] = 1
        found.append(define.wrap(rows.reshape(total, *t.shape)))
        start += n
    return found


def has_history(outs: list, variables: list) -> bool:
    """Whether outputs depend on anything that requires grad besides the variables of this
    transform.
    """
    if any(type(v._node) is not AccumulateGrad for v in variables):
        return True
    own = {id(v._node) for v in variables}
    first = min((v._node.seq for v in variables), default=0)
    seen: set[int] = set()
    waiting = [t._node for t in outs if isinstance(t, define.Tensor)]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen or id(node) in own:
            continue
        if node.seq < first or type(node) is AccumulateGrad:
            return True
        seen.add(id(node))
        waiting.extend(node.edges)
    return False


def refuse_complex(name: str, args: Any, which: str) -> None:
    """Jacobians are of real functions only."""
    for i, a in enumerate(leaves(args)):
        if isinstance(a, define.Tensor) and a.is_complex():
            raise RuntimeError(
                f"{name}: Expected all {which} to be real but received complex tensor at"
                f" flattened input idx: {i}"
            )


def _variables(args: tuple, argnums: Any) -> tuple[list, tuple]:
    """The tensors of the chosen arguments as fresh variables, and the arguments with them."""
    selected = chosen(args, argnums)
    fresh = [_variable(t) for t in leaves(selected)]
    return fresh, replaced(
        args,
        (rebuild(selected, iter(fresh)),)
        if isinstance(argnums, int)
        else rebuild(selected, iter(fresh)),
        argnums,
    )


def _variable(t: Any) -> Any:
    if not isinstance(t, define.Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(t)}")
    if t.requires_grad:
        return t.view_as(t)
    v = define.wrap(t._data)
    v._storage = t._storage
    return v.requires_grad_()


def _gradients(
    outs: list,
    weights: list | None,
    variables: list,
    outer: bool,
    create: bool,
    retain: bool,
    level: int,
) -> list:
    """The gradients in the variables, zeros where there is no dependence; `outer`: whether the
    outputs depend on anything else that requires grad. `level` is the transformation's number.
    """
    given = weights or [None] * len(outs)
    pairs = [(o, w) for o, w in zip(outs, given, strict=True) if o.requires_grad]
    if not pairs:
        return [zeros_like(v) for v in variables]
    roots, seeds = zip(*pairs, strict=True)
    around, stack.passing = stack.passing, level
    try:
        return gradients(roots, tuple(variables), seeds, retain, create, closed=not outer)
    finally:
        stack.passing = around


def cut(t: Any) -> Any:
    """The same tensor for the transforms around this one, without the history of this one."""
    found = define.wrap(t._data)
    found._storage = t._storage
    return found


def _settled(aux: Any, outer: bool) -> Any:
    """What a function returned besides, without the history of this transform."""
    if outer:
        return aux
    return mapped(lambda t: cut(t) if isinstance(t, define.Tensor) else t, aux)


def _same(a: Any, b: Any) -> bool:
    return shape_of(a) == shape_of(b)


def _check_scalar(out: Any, head: str) -> None:
    if not isinstance(out, define.Tensor):
        raise RuntimeError(f"{head}Expected f(*args) to return a Tensor, got {type(out)}")
    if out._data.ndim:
        raise RuntimeError(
            f"{head}Expected f(*args) to return a scalar Tensor, got tensor with"
            f" {out._data.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
        )


def _check_outputs(outs: list, out: Any) -> None:
    check_outputs("vjp(f, *primals)", outs, out)
    for o in outs:
        if not (o.is_floating_point() or o.is_complex()):
            raise RuntimeError(
                "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got"
                f" Tensor with dtype {o.dtype}"
            )
