"""Puts the operators on the Tensor class: methods, in-place variants, aliases and Python's
operators.

Run once, after every module of operators has been imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..dtypes import INTEGER, is_number
from ..tensor import Tensor
from . import compare, complexes, elementwise, products
from .define import FUNCTIONS, OPS, Op, binary
from .inplace import assign, check_inplace, inplace

BINARY_OPERATORS = {
    "__add__": "add",
    "__radd__": "add",
    "__sub__": "sub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__truediv__": "div",
    "__rsub__": "rsub",
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
    "__eq__": "eq",
    "__ne__": "ne",
    "__and__": "bitwise_and",
    "__rand__": "bitwise_and",
    "__or__": "bitwise_or",
    "__ror__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__rxor__": "bitwise_xor",
    "__lshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift",
    "__mod__": "remainder",
    "__floordiv__": "floor_divide",
    "__pow__": "pow",
}
INPLACE_OPERATORS = {
    "__iadd__": "add_",
    "__isub__": "sub_",
    "__imul__": "mul_",
    "__itruediv__": "div_",
    "__ipow__": "pow_",
    "__iand__": "bitwise_and_",
    "__ior__": "bitwise_or_",
    "__ixor__": "bitwise_xor_",
    "__imod__": "remainder_",
    "__ifloordiv__": "floor_divide_",
    "__ilshift__": "bitwise_left_shift_",
    "__irshift__": "bitwise_right_shift_",
}


def attach() -> None:
    """Attach everything in the registry to Tensor."""
    for name, o in OPS.items():
        if o.method and name == o.name:
            _set((o.name, *o.alias), o.entry)
            if o.inplace:
                _set(
                    [n + "_" for n in (o.name, *o.alias)], _named(inplace(o, o.entry), o.name + "_")
                )
    for f in FUNCTIONS.values():
        method, in_place, alias, _ = f.facets  # type: ignore[attr-defined]
        if method:
            _set((f.__name__, *alias), f)
        if in_place:
            _set((in_place, *(a + "_" for a in alias)), _named(_inplace_function(f), in_place))
    for dunder, name in BINARY_OPERATORS.items():
        o = OPS.get(name)  # type: ignore[assignment]
        if o is not None and o.n == 2:
            setattr(Tensor, dunder, _named(binary(o, dunder=True), dunder))
    for dunder, name in INPLACE_OPERATORS.items():
        if hasattr(Tensor, name):
            setattr(Tensor, dunder, getattr(Tensor, name))


def _set(names: Any, f: Callable) -> None:
    for name in names:
        if "." not in name and name not in Tensor.__dict__:
            setattr(Tensor, name, f)


def _named(f: Callable, name: str) -> Callable:
    f.__name__ = f.__qualname__ = name
    f.__doc__ = f.__doc__ or f"`{name.removesuffix('_')}`, written into the tensor itself."
    return f


def _inplace_function(f: Callable) -> Callable:
    """The in-place variant of a function written in terms of operators."""
    o = DIRECT.get(f.__name__)
    direct = inplace(o, f) if o is not None else None

    def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
        if direct is not None and not kwargs and len(args) == 1:
            return direct(self, *args)
        check_inplace(self, args)
        return assign(self, f(self, *args, **kwargs), f.__name__ + "_")

    return entry


DIRECT: dict[str, Op] = {"add": OPS["add"], "sub": OPS["sub"], "div": OPS["div"]}
REFLECTED = {
    "__rpow__": "pow",
    "__rmod__": "remainder",
    "__rfloordiv__": "floor_divide",
    "__rlshift__": "bitwise_left_shift",
    "__rrshift__": "bitwise_right_shift",
}
UNARY = {
    "__neg__": elementwise.neg,
    "__pos__": elementwise.positive,
    "__abs__": elementwise.absolute,
}


def _is_operand(x: Any) -> bool:
    return is_number(x) or isinstance(x, Tensor)


def _reflected(o: Op) -> Callable:
    return lambda self, other: o.entry(other, self) if _is_operand(other) else NotImplemented


def _rtruediv(self: Any, other: Any) -> Any:
    return elementwise.reciprocal(self) * other if _is_operand(other) else NotImplemented


def _invert(self: Any) -> Any:
    if self.dtype.category > INTEGER:
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return compare.bitwise_not(self)


def _where(self: Any, condition: Any, other: Any) -> Any:
    """The elements of this tensor where the condition holds, else those of `other`."""
    return compare.where(condition, self, other)


def _part(get: Callable) -> property:
    return property(get, lambda self, value: get(self).copy_(value), doc=get.__doc__)


for _name, _f in UNARY.items():
    setattr(Tensor, _name, _f)
for _dunder, _name in REFLECTED.items():
    setattr(Tensor, _dunder, _named(_reflected(OPS[_name]), _dunder))
Tensor.__rtruediv__ = Tensor.__rdiv__ = _named(_rtruediv, "__rtruediv__")  # type: ignore[assignment, attr-defined]
Tensor.__invert__ = _named(_invert, "__invert__")  # type: ignore[assignment, attr-defined]
Tensor.__matmul__ = _named(products.matmul_operator, "__matmul__")  # type: ignore[assignment, attr-defined]
Tensor.__rmatmul__ = _named(products.reflected_matmul_operator, "__rmatmul__")  # type: ignore[assignment, attr-defined]
Tensor.where = _named(_where, "where")  # type: ignore[attr-defined]
Tensor.real, Tensor.imag = _part(complexes.real), _part(complexes.imag)  # type: ignore[attr-defined]
