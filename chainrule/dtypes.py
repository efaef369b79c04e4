"""Number types: torch's names outside, NumPy's dtypes inside.

A `dtype` here is a name and a NumPy dtype. Promotion follows torch, not NumPy: operands fall in
three ranks (tensors with dimensions, 0-d tensors, Python numbers), and a lower rank changes the
result only if its category (bool < integer < floating < complex) is higher. Half types (float16,
bfloat16) are stored as such and computed in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BOOL, INTEGER, FLOATING, COMPLEX = range(4)


class dtype:
    """The element type of a tensor, as `torch.float32` is; `numpy` holds NumPy's dtype for it."""

    __slots__ = (
        "category",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "name",
        "numpy",
    )

    def __init__(self, name: str, scalar: type | None, category: int) -> None:
        self.name, self.category = name, category
        if scalar is not None:
            self.numpy = np.dtype(scalar)
            self.itemsize = self.numpy.itemsize
        self.is_floating_point, self.is_complex = category == FLOATING, category == COMPLEX
        self.is_signed = name not in ("bool", "uint8")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type."""
        return complex128 if self is float64 or self is complex128 else complex64

    def to_real(self) -> dtype:
        """The type of the parts of a complex number of this type."""
        return {complex64: float32, complex128: float64}.get(self, self)


class _Bfloat16(dtype):
    """bfloat16 until it is used for the first time: NumPy knows it from ml_dtypes, whose import
    takes 6 ms.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("bfloat16", None, FLOATING)
        self.itemsize = 2

    def __getattr__(self, name: str) -> Any:
        if name != "numpy":
            raise AttributeError(f"torch.bfloat16 has no attribute {name!r}")
        import ml_dtypes

        self.numpy, self.__class__ = np.dtype(ml_dtypes.bfloat16), dtype  # type: ignore[assignment]
        FROM_NUMPY[self.numpy], HALVES[self.numpy] = self, F32
        return self.numpy


_Bfloat16.__name__ = _Bfloat16.__qualname__ = "dtype"
bool_ = dtype("bool", np.bool_, BOOL)
uint8 = dtype("uint8", np.uint8, INTEGER)
int8 = dtype("int8", np.int8, INTEGER)
int16 = short = dtype("int16", np.int16, INTEGER)
int32 = int_ = dtype("int32", np.int32, INTEGER)
int64 = long = dtype("int64", np.int64, INTEGER)
float16 = half = dtype("float16", np.float16, FLOATING)
bfloat16 = _Bfloat16()
float32 = float_ = dtype("float32", np.float32, FLOATING)
float64 = double = dtype("float64", np.float64, FLOATING)
complex64 = cfloat = dtype("complex64", np.complex64, COMPLEX)
complex128 = cdouble = dtype("complex128", np.complex128, COMPLEX)

ALL = (
    bool_,
    uint8,
    int8,
    int16,
    int32,
    int64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64,
    complex128,
)
FROM_NUMPY = {d.numpy: d for d in ALL if d is not bfloat16}  # bfloat16 enters when it is used
BY_NAME = {d.name: d for d in ALL}
F32, F64, I64, BOOL_NP = float32.numpy, float64.numpy, int64.numpy, bool_.numpy
C64, C128 = complex64.numpy, complex128.numpy
HALVES = {float16.numpy: F32}  # bfloat16 likewise
PYTHON_TYPES = {bool: bool_, int: int64, float: float64, complex: complex128}
STAND_INS: dict[type, type] = {}  # array types whose arrays are Python numbers, and of which type


class _Default:
    """The dtype of new floating tensors, set by `set_default_dtype`."""

    __slots__ = ("complex", "real")

    def __init__(self) -> None:
        self.real, self.complex = float32, complex64


default = _Default()


def get_default_dtype() -> dtype:
    """The dtype that floating tensors get when none is asked for."""
    return default.real


def set_default_dtype(d: dtype) -> None:
    """Make `d` (a floating dtype) the dtype that new floating tensors get."""
    if not isinstance(d, dtype):
        raise TypeError(
            "invalid dtype object: only floating-point types are supported as the default type,"
            f" got {d!r}"
        )
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    default.real, default.complex = d, d.to_complex()


def set_default_tensor_type(t: Any) -> None:
    """Make the dtype of the tensor type `t` (`torch.DoubleTensor` or its name) the default."""
    name = t if isinstance(t, str) else t.__name__
    names = {
        "HalfTensor": float16,
        "BFloat16Tensor": bfloat16,
        "FloatTensor": float32,
        "DoubleTensor": float64,
    }
    last = name.rsplit(".", 1)[-1]
    if last not in names:
        raise TypeError(f"only floating-point types are supported as the default type, got {name}")
    set_default_dtype(names[last])


def of(array: Any) -> dtype:
    """The `dtype` of an array."""
    return FROM_NUMPY[array.dtype]


def from_numpy(d: np.dtype) -> dtype:
    """The `dtype` that stands for NumPy's `d`."""
    found = FROM_NUMPY.get(d) or (bfloat16 if d == bfloat16.numpy else None)
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {d}. The only supported types are: float64, float32,"
            " float16, complex64, complex128, int64, int32, int16, int8, uint8, and bool."
        )
    return found


_INTS = {int8: 1, int16: 2, int32: 3, int64: 4}
_PROMOTED: dict[tuple[dtype, dtype], dtype] = {}


def _promote(a: dtype, b: dtype) -> dtype:
    if a is b:
        return a
    if a.category != b.category:
        low, high = (a, b) if a.category < b.category else (b, a)
        return complex128 if high is complex64 and low is float64 else high
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    if {a, b} == {float16, bfloat16}:
        return float32
    return a if (a.itemsize, _INTS.get(a, 0)) > (b.itemsize, _INTS.get(b, 0)) else b


for _a in ALL:
    for _b in ALL:
        _PROMOTED[_a, _b] = _promote(_a, _b)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that holds both, by torch's table."""
    found = _PROMOTED.get((type1, type2))
    if found is None:
        i, d = (2, type2) if isinstance(type1, dtype) else (1, type1)
        raise TypeError(
            f"promote_types(): argument 'type{i}' (position {i}) must be torch.dtype, not"
            f" {type(d).__name__}"
        )
    return found


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether torch lets a result of type `from_` be written into a tensor of type `to`."""
    for i, (name, d) in enumerate((("from_", from_), ("to", to)), 1):
        if not isinstance(d, dtype):
            raise TypeError(
                f"can_cast(): argument '{name}' (position {i}) must be torch.dtype, not"
                f" {type(d).__name__}"
            )
    return from_.category <= to.category


def result_dtype(operands: Any) -> dtype:
    """torch's promotion over arrays (ranked by having dimensions or not) and Python numbers."""
    ranks: list[dtype | None] = [None, None, None]
    for x in operands:
        kind = STAND_INS.get(type(x)) or type(x)
        if kind in PYTHON_TYPES:
            rank, d = 2, _number_dtype(kind)
        else:
            rank, d = (0 if x.ndim else 1), FROM_NUMPY[x.dtype]
        old = ranks[rank]
        ranks[rank] = d if old is None else _PROMOTED[old, d]
    return _combine(*ranks)


def _number_dtype(kind: type) -> dtype:
    if kind is float:
        return default.real
    return default.complex if kind is complex else PYTHON_TYPES[kind]


def _combine(*ranks: dtype | None) -> dtype:
    out: dtype | None = None
    for d in ranks:
        if d is None:
            continue
        if out is None:
            out = d
        elif d.category > out.category:
            out = out.to_complex() if out.category == FLOATING else d
    assert out is not None
    return out


def is_number(x: object) -> bool:
    """Whether `x` is a Python number (bool, int, float, complex) or a NumPy scalar."""
    return isinstance(x, (bool, int, float, complex, np.generic))


def number(x: Any) -> Any:
    """`x` as a plain Python number."""
    return x.item() if isinstance(x, np.generic) else x


class _Info:
    """What `finfo` and `iinfo` share: the dtype and its limits as Python numbers."""

    def __init__(self, type: dtype | None, allowed: tuple[int, ...], word: str) -> None:
        d = default.real if type is None else type
        if not isinstance(d, dtype):
            raise TypeError(
                f"{word}(): argument 'type' (position 1) must be torch.dtype, not"
                f" {d.__class__.__name__}"
            )
        self._of, self.bits, self.dtype = d, d.itemsize * 8, d.name
        if d.category not in allowed:
            raise TypeError(
                f"torch.{word}() requires {'a floating point' if word == 'finfo' else 'an integer'}"
                f" input type. Use torch.{'iinfo' if word == 'finfo' else 'finfo'} to handle"
                f" 'torch.{word}' (got {d})"
            )


class finfo(_Info):
    """Limits of a floating dtype: bits, eps, max, min, tiny, smallest_normal, resolution."""

    def __init__(self, type: dtype | None = None) -> None:
        super().__init__(type, (FLOATING, COMPLEX), "finfo")
        import ml_dtypes

        info = ml_dtypes.finfo(self._of.to_real().numpy)
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = 10.0**-info.precision

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g},"
            f" eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g},"
            f" dtype={self.dtype})"
        )


class iinfo(_Info):
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, type: dtype) -> None:
        super().__init__(type, (INTEGER,), "iinfo")
        info = np.iinfo(self._of.numpy)
        self.max, self.min = int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
