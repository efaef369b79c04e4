"""`rule`: an operator of one's own, from one formula in array code, that serves every mode.

The formula takes arrays and returns an array: NumPy arrays usually, or another array type that
answers to the same functions. With the rule of its derivative it becomes an operator like those of
this package: one node on the tape, double backward by running the rule on tensors, forward mode by
transposing it, vmap by running the formula on all examples at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..arrays.grad import GradArray, lift, lower
from ..ops import define
from ..ops.define import HALF, SAME, Op
from ..tape import state


def rule(
    formula: Callable | None = None,
    *,
    vjp: Any = None,
    elementwise: bool = False,
    name: str | None = None,
) -> Any:
    """Decorator that makes a function of tensors out of a formula in array code.

    In the formula's signature the tensors stand before `/`, parameters (numbers, shapes ...) after
    it. `vjp` is the product with the transposed Jacobian: for one tensor a function, for several a
    sequence of them, one for each (None where there is no gradient), or one function that returns
    a tuple. It is called with the cotangent and whatever else its parameter names ask for: tensors
    and parameters by the formula's names, the result as `out`, shapes as `x_shape`, NumPy dtypes
    as `x_dtype`. It is array code as well. Only what it asks for is saved. Without `vjp` the
    formula is differentiated as it is written. `elementwise`: each element of the result depends on
    the same element of the inputs alone, so that `vjp` serves forward mode directly.

    A complex cotangent is the plain transpose's: no conjugates; where gradients enter and leave,
    torch's convention is put on. The gradient of a real tensor is real: where the result may be
    complex, a rule takes the real part.

    Raises TypeError for rules that do not fit the formula, and RuntimeError, naming the rule's
    line, where one returns something else than a gradient.

    >>> import chainrule as torch, numpy as np
    >>> @torch.autograd.rule(vjp=lambda g: g)      # round, with the derivative of the identity
    ... def straight_through(x, /):
    ...     return np.rint(x)
    >>> x = torch.tensor([0.2, 1.7], requires_grad=True)
    >>> straight_through(x).sum().backward()
    >>> x.grad
    tensor([1., 1.])
    """
    if formula is None:
        return functools.partial(rule, vjp=vjp, elementwise=elementwise, name=name)
    if vjp is None:
        return _as_written(formula)
    o = Op(
        formula,
        name=name or formula.__name__,
        promote=SAME if elementwise else HALF,
        plain=elementwise,
        by_rule=True,
        namespace="user",
        method=False,
        node=_node_name(name or formula.__name__),
        doc=formula.__doc__ or "",
    )
    if not o.n:
        raise TypeError(
            f"rule: {formula.__name__} has no tensors; put them before `/` in its signature, as in"
            f" def {formula.__name__}(x, /, parameter=1)"
        )
    _set_rules(o, vjp)
    form = define.parametric if o.n == 1 else define.several
    o.entry = form(o)  # type: ignore[attr-defined]
    return _public(o, formula)


def _node_name(name: str) -> str:
    return "".join(w[:1].upper() + w[1:] for w in name.split("_")) + "Backward"


def _public(o: Op, formula: Callable) -> Callable:
    """The function of tensors; inside another formula it takes arrays."""

    @functools.wraps(formula)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, define.Tensor) for a in args):
            return o.entry(*args, **kwargs)  # type: ignore[attr-defined]
        if any(isinstance(a, Duck) for a in args):
            return lift(o.entry(*[lower(a) for a in args], **kwargs))  # type: ignore[attr-defined]
        if any(isinstance(a, (np.ndarray, np.generic)) for a in args):
            return formula(*args, **kwargs)
        raise TypeError(
            f"{o.name}(): expected a Tensor among its arguments, got"
            f" ({', '.join(type(a).__name__ for a in args)})"
        )

    call.op = o  # type: ignore[attr-defined]
    return call


def _as_written(formula: Callable) -> Callable:
    """A function of tensors that runs the formula on arrays, recorded function by function."""

    @functools.wraps(formula)
    def call(*args: Any, **kwargs: Any) -> Any:
        tensors = [a for a in args if isinstance(a, define.Tensor)]
        if not tensors:
            return formula(*args, **kwargs)
        if not (state.grad and any(t.requires_grad for t in tensors)):
            return lower(formula(*map(define.raw, args), **kwargs))
        given = [GradArray(a) if isinstance(a, define.Tensor) else a for a in args]
        return lower(formula(*given, **kwargs))

    return call


# -- the rules -------------------------------------------------------------------------------------


def _set_rules(o: Op, vjp: Any) -> None:
    tensors = o.params[: o.n]
    if not isinstance(vjp, Sequence):
        _check_names(o, vjp)
        if o.n == 1:
            o.set_rules((_checked_one(o, vjp, tensors[0]),))
        else:
            o.set_rules((_checked_all(o, vjp),), joint=True)
        return
    if len(vjp) != o.n:
        raise TypeError(
            f"rule: {o.name} has {o.n} tensors ({', '.join(tensors)}) but {len(vjp)} rules; give"
            " one for each, None where there is no gradient"
        )
    for r in vjp:
        if r is not None:
            _check_names(o, r)
    o.set_rules(
        [r and _checked_one(o, r, t) for r, t in zip(vjp, tensors, strict=True)]  # type: ignore[arg-type]
    )


def _names(r: Callable) -> tuple:
    code = r.__code__
    return code.co_varnames[1 : code.co_argcount]


def _check_names(o: Op, r: Callable) -> None:
    """A rule may ask for the formula's arguments, shapes, and the result."""
    if not hasattr(r, "__code__") or not r.__code__.co_argcount:
        raise TypeError(
            f"rule: {o.name}'s vjp must be a function whose first parameter is the cotangent, got"
            f" {r!r}"
        )
    known = {*o.params, "out"} | {
        f"{p}_{what}" for p in o.params[: o.n] for what in ("shape", "dtype")
    }
    unknown = [n for n in _names(r) if n not in known]
    if unknown:
        raise TypeError(
            f"rule: {o.name}'s vjp at {_line(r)} asks for {', '.join(unknown)}; it can have"
            f" {', '.join(sorted(known))}"
        )


def _line(r: Callable) -> str:
    return f"{r.__code__.co_filename}:{r.__code__.co_firstlineno}"


def _checked_one(o: Op, r: Callable, tensor: str) -> Callable:
    """A rule for one tensor that looks at what it returns."""
    count = len(_names(r))

    def checked(g: Any, *given: Any) -> Any:
        return _gradient(o, r, r(g, *given[:count]), tensor, *given[count:])

    checked.wanted = (*_names(r), f"{tensor}_shape", f"{tensor}_dtype")  # type: ignore[attr-defined]
    return checked


def _checked_all(o: Op, r: Callable) -> Callable:
    """One rule for all tensors that looks at what it returns."""
    tensors, count = o.params[: o.n], len(_names(r))

    def checked(g: Any, *given: Any) -> tuple:
        grads = r(g, *given[:count])
        if not isinstance(grads, tuple) or len(grads) != len(tensors):
            got = f"{len(grads)} of them" if isinstance(grads, tuple) else type(grads).__name__
            raise RuntimeError(
                f"{o.name}: its vjp at {_line(r)} must return a tuple of {len(tensors)} gradients"
                f" ({', '.join(tensors)}), got {got}"
            )
        needs, kinds = given[count], given[count + 1 :]
        return tuple(
            [
                _gradient(o, r, x, t, *kinds[i :: len(tensors)]) if need and x is not None else None
                for i, (x, t, need) in enumerate(zip(grads, tensors, needs, strict=True))
            ]
        )

    kinds = [f"{t}_{what}" for what in ("shape", "dtype") for t in tensors]
    checked.wanted = (*_names(r), "needs", *kinds)  # type: ignore[attr-defined]
    return checked


def _gradient(o: Op, r: Callable, grad: Any, tensor: str, shape: tuple, dtype: Any) -> Any:
    """What a rule returned, if it is a gradient for a tensor of that shape and dtype."""
    head = f"{o.name}: its vjp at {_line(r)} returned"
    if isinstance(grad, (bool, int, float, complex)):
        grad = np.asarray(grad, np.result_type(type(grad), np.float32))[()]
    if not isinstance(grad, (np.ndarray, np.generic, Duck)):
        raise RuntimeError(f"{head} {type(grad).__name__} where an array was expected")
    if grad.dtype.kind not in "fcV":
        raise RuntimeError(f"{head} a gradient of dtype {grad.dtype} for {tensor}")
    if grad.dtype.kind == "c" and dtype.kind != "c":
        raise RuntimeError(
            f"{head} a gradient of dtype {grad.dtype} for {tensor}, which is real ({dtype}); return"
            " its real part"
        )
    lead = grad.ndim - len(shape)
    sums = lead >= 0 and all(
        n == m or m == 1 for n, m in zip(grad.shape[lead:], shape, strict=True)
    )
    spreads = lead <= 0 and all(
        n in (1, m) for n, m in zip(grad.shape, shape[-lead:] if lead else shape, strict=False)
    )
    if not sums and not spreads:
        raise RuntimeError(
            f"{head} a gradient of shape {list(grad.shape)} for {tensor}, whose shape is"
            f" {list(shape)}"
        )
    return grad
