"""Python floats as inputs of a program: what a captured function is given in their place."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.trace import TraceArray, TraceNumber
from ..ops import define
from ..tape import state
from ..tensor import Tensor


class Number(Tensor):
    """A float among the arguments of a captured function: its program is given it with each call.

    Arithmetic with numbers is that of Python's floats; with tensors, that of a tensor and a number.
    Whatever else is asked for needs its value, which a program does not have: an error, and the
    function is captured again with the number as it is.
    """

    __slots__ = ()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return repr(self.item())

    __str__ = __repr__
    __hash__ = Tensor.__hash__

    def __neg__(self) -> Any:  # type: ignore[override]
        return number_of(np.negative(self._data))

    def __pos__(self) -> Any:  # type: ignore[override]
        return self

    def __abs__(self) -> Any:  # type: ignore[override]
        return number_of(np.absolute(self._data))


def number_of(array: TraceArray) -> Number:
    """A traced float64 as a number."""
    x = object.__new__(Number)
    x._data, x._index = TraceNumber(array.value, array.cell, array.steps), 0
    x._node = x._storage = x._base = None
    state.capture.made.append(weakref.ref(x))
    return x


def arithmetic(name: str, function: Callable, swapped: bool, compares: bool = False) -> Callable:
    """A method of numbers: with other numbers `function`, with tensors what tensors do."""
    of_tensors = getattr(Tensor, name)

    def method(self: Number, other: Any) -> Any:
        y = other._data if isinstance(other, Number) else other
        if not isinstance(y, (int, float, TraceNumber)) or isinstance(y, bool):
            return of_tensors(self, other)
        made = function(y, self._data) if swapped else function(self._data, y)
        return define.wrap(made) if compares else number_of(made)

    return method


OPERATIONS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
    "pow": np.power, "floordiv": np.floor_divide, "mod": np.remainder,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
for _name, _function in OPERATIONS.items():
    setattr(Number, f"__{_name}__", arithmetic(f"__{_name}__", _function, False))
    setattr(Number, f"__r{_name}__", arithmetic(f"__r{_name}__", _function, True))
for _name, _function in COMPARISONS.items():
    setattr(Number, f"__{_name}__", arithmetic(f"__{_name}__", _function, False, True))
