"""A tensor that looks like an array: what the backward pass runs on when its own derivative is
wanted.

With `create_graph=True` the engine hands the rules `GradArray`s in place of arrays. Each NumPy
function a rule calls then runs as the tensor operator of the same meaning, which records its node:
so one rule serves every order. Ufuncs find their operator by the kernel it was defined with,
primitives by their name; the rest is the table below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import define
from ..ops.define import raw
from .duck import TAPED, Duck, NoRule

BY_EXAMPLE: list[Callable] = []  # arrays/boundary.py puts its way through vmap here


class GradArray(Duck):
    """An array look-alike around a Tensor."""

    __slots__ = ("tensor",)
    level = float("inf")

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    shape = property(lambda self: self.tensor._data.shape)  # type: ignore[assignment]
    dtype = property(lambda self: self.tensor._data.dtype)  # type: ignore[assignment]

    def parts(self) -> tuple:
        return (self.tensor._data,)

    @classmethod
    def fallback(
        cls, f: Callable, on_tensors: Any, args: tuple, extra: bool = False, op: Any = None
    ) -> Any:
        """f on one example after the other, recorded; an error where there are no examples."""
        return BY_EXAMPLE[0](f, args)

    def __bool__(self) -> bool:
        return bool(self.tensor._data)

    def call(self, name: str, args: tuple, kwargs: dict) -> Any:
        rule = RULES.get(name)
        if rule is None:
            rule = RULES[name] = _derive(name)
        return lift(rule(*[lower(a) for a in args], **kwargs))


def lift(result: Any) -> Any:
    """Tensors as arrays again: GradArrays where they have history, their plain arrays where not."""
    if isinstance(result, tuple):
        return tuple(lift(r) for r in result)
    if not isinstance(result, define.Tensor):
        return result
    return GradArray(result) if result._node is not None else result._data


def lower(a: Any) -> Any:
    """Arrays as tensors; what is no array stays."""
    if isinstance(a, GradArray):
        return a.tensor
    if isinstance(a, (np.ndarray, np.generic, Duck)):
        return define.wrap(a)
    if type(a) is list or (type(a) is tuple and any(isinstance(e, (np.ndarray, Duck)) for e in a)):
        return type(a)([lower(e) for e in a])
    return a


def _derive(name: str) -> Callable:
    primitive = define.PRIMITIVES.get(name)
    if primitive is not None:
        return primitive_rule(primitive.op.entry)  # type: ignore[attr-defined]
    for o in define.OPS.values():
        if o.ufunc is not None and o.ufunc.__name__ == name and o.total == o.n:
            return o.entry
    raise NoRule(f"double backward has no rule for NumPy's {name!r}; add a row to arrays/grad.py")


def primitive_rule(entry: Callable) -> Callable:
    """Primitives take their index and mask arguments raw."""
    n = entry.op.n  # type: ignore[attr-defined]

    def rule(*args: Any, **kwargs: Any) -> Any:
        return entry(*args[:n], *[raw(a) for a in args[n:]], **kwargs)

    return rule


def on_tensors(f: Callable) -> Callable:
    """A function of arrays as one of tensors, which records."""

    def of_tensors(*args: Any) -> Any:
        return lower(f(*[_as_grad(a) for a in args]))

    return of_tensors


def _as_grad(a: Any) -> Any:
    if isinstance(a, define.Tensor):
        return GradArray(a) if a._node is not None else a._data
    return type(a)([_as_grad(e) for e in a]) if type(a) in (tuple, list) else a


def _op(name: str) -> Callable:
    return lambda *args, **kwargs: define.OPS[name].entry(*args, **kwargs)


def _function(name: str) -> Callable:
    return lambda *args: define.FUNCTIONS[name](*args)


def _reduction(name: str) -> Callable:
    def rule(
        x: Any, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False
    ) -> Any:
        if axis == () and x._data.ndim:
            return x
        axis = tuple(range(x._data.ndim)) if axis is None else axis
        return define.OPS[name].entry(x, axis, keepdims)

    return rule


def _getitem(x: Any, index: Any) -> Any:
    return define.OPS["getitem"].entry(x, raw(index))


def _constant(ufunc: Any) -> Callable:
    """Functions whose derivative is zero wherever there is one: computed on the values alone."""
    return lambda *args, **kwargs: ufunc(*[raw(a) for a in args], **kwargs)


CONSTANT = (
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.logical_and,
    np.logical_or,
    np.logical_not,
    np.logical_xor,
    np.bitwise_and,
    np.bitwise_or,
    np.bitwise_xor,
    np.invert,
    np.floor,
    np.ceil,
    np.rint,
    np.trunc,
    np.signbit,
    np.floor_divide,
    np.left_shift,
    np.right_shift,
    np.gcd,
    np.lcm,
)
RULES: dict[str, Callable] = {
    **{ufunc.__name__: _constant(ufunc) for ufunc in CONSTANT},
    "add.reduce": _reduction("sum"),
    "maximum.reduce": _reduction("amax"),
    "minimum.reduce": _reduction("amin"),
    "reshape": _op("reshape"),
    "transpose": _op("permute"),
    "astype": _op("cast"),
    "copy": _op("clone"),
    "real": lambda x: define.OPS["real_part"].entry(x) if x.is_complex() else x,
    "imag": _op("imag_part"),
    "getitem": _getitem,
    "matmul": _function("matmul"),
    "dot": _function("matmul"),
    "where": lambda c, x, y: define.OPS["where"].entry(x, y, raw(c)),
    "sign": lambda x: define.OPS["sgn"].entry(x) if x.is_complex() else np.sign(raw(x)),
    "broadcast_to": lambda x, shape: define.OPS["expand"].entry(x, shape),
    "concatenate": lambda xs, axis=0: define.OPS["cat"].entry(xs, axis),
    "take_along_axis": lambda x, index, axis: define.FUNCTIONS["gather"](x, axis, index),
    "add.accumulate": lambda x, axis=0: define.OPS["cumsum"].entry(x, axis),
    "multiply.accumulate": lambda x, axis=0: define.OPS["cumprod"].entry(x, axis),
}
TAPED.append(on_tensors)
