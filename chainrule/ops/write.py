"""How a tensor is written: in a new copy, or in its own memory.

A writer says what an array looks like after some of its places have been written: `put` (overwrite)
or `add_at` (add, repeated places adding up) at a NumPy index, or everything. Each has a twin
(`into`) that writes straight into memory, and is used under the name of several nodes. A public
function checks, does index arithmetic and hands the rest to `do`: `fresh` makes a new tensor,
`in_place` writes into the input's memory and gives it its new history; `both` makes two public
functions of it.

No writer with a twin has a rule that looks at values before or after the write, which is why the
memory may change under it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes
from ..arrays.duck import NoRule, highest
from ..dtypes import COMPLEX, F32, F64, FROM_NUMPY, HALVES
from ..tape import state
from .define import (
    MOVE,
    OPS,
    Op,
    edges_of,
    function,
    op,
    primitive,
    row_by_row,
    scalar_name,
    storage_array,
    wrap,
    write_out,
)
from .index import tensor_data
from .inplace import assign, check_inplace, rebase
from .places import add_places, put


@primitive
def add_at(x: Any, y: Any, /, index: Any) -> Any:
    """A copy of `x` with `y` added at `index` (a NumPy index; repeated places add up)."""
    out = np.array(x)
    add_into(out, y, index)
    return out


@add_at.vjp
def _(g):
    return g


@add_at.vjp
def _(g, index):
    return g[index]


def add_into(out: Any, y: Any, index: Any) -> None:
    """out[index] += y, with repeated places adding up; halves add up in float32."""
    if out.dtype in HALVES:
        total = out.astype(F32)
        add_places(total, y.astype(F32), index)
        out[...] = total
    else:
        add_places(out, y, index)


def overwrite(out: Any, y: Any, index: Any) -> None:
    out[index] = y


def cleared(g: Any, index: Any) -> Any:
    return put(g, np.zeros((), g.dtype), index)


def _nothing(g: Any) -> Any:
    return np.zeros((), g.dtype)


def writer(
    name: str,
    node: str,
    kernel: Callable,
    into: Callable | None,
    *rules: Callable,
    keeps: bool = True,
    rows: bool = False,
) -> Op:
    """An operator that writes, under the name of a node; `kernel` takes as many tensors as there
    are rules. `rows`: whether what it writes is first copied row by row in memory.
    """
    entry = op(
        kernel,
        promote=MOVE,
        method=False,
        namespace="primitive",
        name=name,
        node=node,
        into=into,
        keeps=keeps,
        rows=rows,
    )
    entry.op.set_rules(rules)
    return entry.op


def putter(name: str, node: str, rows: bool = False) -> Op:
    """Overwrite the places of an index with a tensor."""
    return writer(
        name,
        node,
        lambda x, y, /, index: put(x, y, index),
        overwrite,
        cleared,
        lambda g, index: g[index],
        rows=rows,
    )


def filler(name: str, node: str, rows: bool = False) -> Op:
    """Overwrite the places of an index with a number."""
    return writer(
        name,
        node,
        lambda x, /, value, index: put(x, value, index),
        overwrite,
        cleared,
        rows=rows,
    )


def adder(name: str, node: str, rows: bool = False) -> Op:
    """Add a tensor at the places of an index."""
    return writer(
        name,
        node,
        lambda x, y, /, index: add_at(x, y, index),
        add_into,
        lambda g: g,
        lambda g, index: g[index],
        rows=rows,
    )


def _whole(name: str, node: str) -> Op:
    """Overwrite everything with a tensor."""
    return writer(
        name,
        node,
        lambda x, y, /: put(x, y, ...),
        lambda out, y: overwrite(out, y, ...),
        _nothing,
        lambda g: g,
    )


def _whole_number(name: str, node: str) -> Op:
    """Overwrite everything with a number."""
    return writer(
        name,
        node,
        lambda x, /, value: put(x, value, ...),
        lambda out, value: out.fill(value),
        _nothing,
    )


COPY = _whole("copy", "CopyBackwards")


FILL, FILL_TENSOR = _whole_number("fill", "FillBackward0"), _whole("fill_tensor", "FillBackward1")


FILL_INTO, FILL_TENSOR_INTO = (
    _whole_number("fill_into", "FillBackward2"),
    _whole("fill_tensor_into", "FillBackward3"),
)


ZERO = _whole_number("zero", "ZeroBackward0")


LENIENT = (FILL_INTO, FILL_TENSOR_INTO, ZERO)  # these may write an expanded tensor


# -- doing it --------------------------------------------------------------------------------------


def fresh(o: Op, x: Any, *rest: Any) -> Any:
    """A new tensor: `x` after the write."""
    inputs, params = (x, *rest[: o.n - 1]), rest[o.n - 1 :]
    arrays = tuple([i._data for i in inputs])
    try:
        out = state.run(o.kernel, *arrays, *params)
        if o.rows and (type(out) is not np.ndarray or not out.flags.c_contiguous):
            out = row_by_row(out, o.rows)
        t = wrap(out)
    except NoRule:
        t = wrap(o.by_fallback(arrays, params))
    if state.mode[1]:
        o.attach(inputs, arrays, params, t, False, None)
    return t


def in_place(o: Op, x: Any, *rest: Any) -> Any:
    """`x`, written in its memory, with its new history."""
    check_inplace(x, rest, o in LENIENT)
    data = storage_array(x)
    if o.into is None or highest((data, *[getattr(y, "_data", y) for y in rest])) is not None:
        return assign(x, fresh(o, x, *rest), o.name)
    others, params = rest[: o.n - 1], rest[o.n - 1 :]
    arrays = [data, *[y._data for y in others]]
    state.run(o.into, *arrays, *params)
    x._storage.bump()
    if state.mode[1] and (recorded(x) or any(recorded(y) for y in others)):
        inputs = (x, *others)
        before, t = edges_of((x,)), wrap(data)
        o.attach(inputs, arrays, params, t, False, None)
        if t._node is not None:
            rebase(x, t._node, t._index, before)
    return x


def recorded(x: Any) -> bool:
    """Whether `x`, or the tensor it is a view of, has a history or wants a gradient."""
    return x._node is not None or (x._base is not None and x._base._node is not None)


def both(
    f: Callable | None = None, *, name: str = "", method: bool = True, namespace: str = "primitive"
) -> Any:
    """Make two public functions of `f(do, input, ...)`: one of its name, which takes `out=`, and
    the method with `_`, which writes in place. (`by` of the first is `f`.)
    """
    if f is None:
        return lambda f: both(f, name=name, method=method, namespace=namespace)
    name = name or f.__name__

    def public(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        tensor_data(name, input)
        return write_out(out, f(fresh, input, *args, **kwargs), input)

    def changing(self: Any, *args: Any, **kwargs: Any) -> Any:
        return f(in_place, self, *args, **kwargs)

    public.__name__ = public.__qualname__ = name
    changing.__name__ = changing.__qualname__ = name + "_"
    public.__doc__ = changing.__doc__ = f.__doc__
    public.by = f  # type: ignore[attr-defined]
    function(changing, namespace=namespace)
    return function(public, method=method)


# -- what may be written ---------------------------------------------------------------------------


C_TYPES = {
    "bool": "bool",
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int",
    "int64": "int64_t",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def fitting(value: Any, dtype: np.dtype) -> Any:
    """The number `value` as a scalar of `dtype`; torch's error if it does not fit."""
    kind = type(value)
    if kind is float and (
        dtype is F64 or (dtype is F32 and -3.4028234e38 <= value <= 3.4028234e38)
    ):
        return dtype.type(value)
    d = FROM_NUMPY[dtype]
    value = dtypes.number(value)
    if (
        d.category < COMPLEX
        and isinstance(value, complex)
        and (value.imag == 0 or d.name == "bool")
    ):
        value = value.real if value.imag == 0 else 1
    if isinstance(value, complex):
        fits = d.category == COMPLEX and all(
            _in_range(p, d.to_real()) for p in (value.real, value.imag)
        )
    else:
        fits = _in_range(value, d.to_real())
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {C_TYPES[d.name]} without overflow")
    if d.category == dtypes.INTEGER:
        value = int(value) % 256 if d.name == "uint8" else int(value)
    return dtype.type(value)


def _in_range(value: float, d: dtypes.dtype) -> bool:
    if d.name == "bool":
        return True
    if d.category == dtypes.INTEGER:
        low, high = int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max)
        return math.isfinite(value) and (-high if d.name == "uint8" else low) <= int(value) <= high
    return not math.isfinite(value) or abs(value) <= dtypes.finfo(d).max


def same_dtype(x: Any, y: Any, text: str) -> None:
    """Raise `text`, with the names of the two dtypes in its `{0}` and `{1}`, if they differ."""
    if x.dtype is not y.dtype:
        raise RuntimeError(
            text.format(scalar_name(FROM_NUMPY[x.dtype]), scalar_name(FROM_NUMPY[y.dtype]))
        )


def converted(value: Any, dtype: np.dtype) -> Any:
    """A tensor in `dtype`, its conversion on record; an imaginary part goes, with a warning."""
    if value._data.dtype is dtype:
        return value
    if value._data.dtype.kind == "c" and dtype.kind not in "cb":
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=5
        )
        value = value.real
    return OPS["cast"].entry(value, dtype)


def check_scalar(name: str, value: Any) -> None:
    """Raise unless a value given as a tensor is 0-d."""
    if value._data.ndim:
        raise RuntimeError(
            f"{name} only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._data.ndim} dimension(s)."
        )


def check_expand(value: Any, source: tuple, shape: tuple) -> None:
    """Raise torch's error if `source` does not expand to `shape`."""
    if len(source) > len(shape):
        raise RuntimeError(
            f"expand(torch.{scalar_name(value.dtype)}Tensor{{{list(source)}}}, "
            f"size={list(shape)}): the number of "
            f"sizes provided ({len(shape)}) must be greater or equal to the number of dimensions "
            "in the tensor "
            f"({len(source)})"
        )
    lead = len(shape) - len(source)
    for k, n in enumerate(source):
        if n not in (1, shape[k + lead]):
            raise RuntimeError(
                f"The expanded size of the tensor ({shape[k + lead]}) must match the existing "
                f"size ({n}) at "
                f"non-singleton dimension {k + lead}.  Target sizes: {list(shape)}.  Tensor "
                f"sizes: {list(source)}"
            )
