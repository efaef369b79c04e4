"""What all array types of ours have in common: the NumPy protocols, operators and methods,
funnelled into one `call`.

A transformation is an array type: NumPy's functions, ufuncs and operators, our primitives, and the
few methods of the waist all arrive as `call(name, args, kwargs)` at the highest array type among
the arguments, which looks the name up in its table. Names are the ufunc's (`exp`, `add`),
`add.reduce` for its methods, and the function's or method's (`where`, `reshape`, `getitem`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "pow": np.power,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}


class Duck:
    """Base of the array types; `level` orders nested transformations, the highest answers."""

    __slots__ = ()
    level: float = 0
    shape: tuple
    dtype: np.dtype

    @classmethod
    def call(cls, name: str, args: tuple, kwargs: dict) -> Any:
        """Do what NumPy's `name` does."""
        raise TypeError(f"{cls.__name__} has no rule for {name!r}")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return highest(args).call(name, args, kwargs)

    def __array_function__(self, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        return highest(args).call(func.__name__, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return highest((self, index)).call("getitem", (self, index), {})

    def __bool__(self) -> bool:
        raise TypeError(f"a {type(self).__name__} has no single truth value here")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def T(self) -> Any:
        return self.call("transpose", (self, tuple(range(self.ndim))[::-1]), {})

    @property
    def real(self) -> Any:
        return self.call("real", (self,), {})

    @property
    def imag(self) -> Any:
        return self.call("imag", (self,), {})

    def reshape(self, *shape: Any) -> Any:
        shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.call("reshape", (self, tuple(shape)), {})

    def transpose(self, *axes: Any) -> Any:
        if not axes:
            return self.T
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.call("transpose", (self, tuple(axes)), {})

    def swapaxes(self, a: int, b: int) -> Any:
        axes = list(range(self.ndim))
        axes[a], axes[b] = axes[b], axes[a]
        return self.call("transpose", (self, tuple(axes)), {})

    def astype(self, dtype: Any) -> Any:
        dtype = np.dtype(dtype)
        return self if dtype is self.dtype else self.call("astype", (self, dtype), {})

    def conj(self) -> Any:
        return np.conjugate(self) if self.dtype.kind == "c" else self

    def copy(self) -> Any:
        return self.call("copy", (self,), {})

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return self.call("argmax", (self,), {"axis": axis, "keepdims": keepdims})

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return self.call("argmin", (self,), {"axis": axis, "keepdims": keepdims})

    def ravel(self) -> Any:
        return self.reshape(-1)


def highest(args: Iterable) -> Any:
    """The array type with the highest level among the arguments (also inside lists and tuples)."""
    top, level = None, -1.0
    for a in args:
        if isinstance(a, (list, tuple)):
            a = highest(a)
        if isinstance(a, Duck) and a.level > level:
            top, level = a, a.level
    return top


def _operator(ufunc: Any) -> tuple:
    return (lambda self, other: ufunc(self, other)), (lambda self, other: ufunc(other, self))


for _name, _ufunc in OPERATORS.items():
    _forward, _reverse = _operator(_ufunc)
    setattr(Duck, f"__{_name}__", _forward)
    setattr(Duck, f"__r{_name}__", _reverse)
for _name, _ufunc in COMPARISONS.items():
    setattr(Duck, f"__{_name}__", _operator(_ufunc)[0])
Duck.__neg__ = lambda self: np.negative(self)  # type: ignore[attr-defined, operator]
Duck.__abs__ = lambda self: np.absolute(self)  # type: ignore[attr-defined]
Duck.__invert__ = lambda self: np.invert(self)  # type: ignore[attr-defined, operator]
Duck.__hash__ = None  # type: ignore[assignment]
