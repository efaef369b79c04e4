"""Arrays as NumPy's functions would give them, but with no numbers in them: shape, dtype, layout.

A trace only needs to know what an operation gives, not what comes out. `blank` answers for the
functions whose result follows from the shapes and dtypes of what they are given; memory is taken
but never touched. For anything else it answers None, and the numbers have to be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from .waist import GUFUNCS, waist

SMALL = 256  # elements up to which computing is as quick as thinking
# Primitives that work element by element, as ufuncs do.
ELEMENTWISE = (
    *("keep", "sigmoid", "tanh_back", "log1p_exp", "twice_normal", "lgamma", "digamma"),
    *("erf", "erfc", "erfcx", "erfinv", "ndtr", "ndtri", "log_ndtr"),
)
# What it gives follows from shapes and from numbers that are no float's: those of its indices.
INDEXED = ("put", "put_add", "put_along", "take", "take_along_axis")

_dtypes: dict[tuple, tuple] = {}  # of an elementwise function of operands of these kinds
_rules: dict[str, Callable | None] = {}
_ufuncs: dict[str, Any] = {}


def blank(name: str, values: tuple, kwargs: dict) -> Any:
    """What the function gives for arguments like `values`, or None where only computing can tell.

    Args:
        name: the waist's.
        values: the arguments, with any arrays of the right shape, dtype and layout.
        kwargs: the keyword arguments.
    """
    rule = _rules[name] if name in _rules else _rules.setdefault(name, rule_of(name))
    if rule is None:
        return None
    try:
        if rule is not primitive and small(values) and (name != "where" or len(values) == 3):
            return waist(name)(*values, **kwargs)
        return rule(name, values, kwargs)
    except (ValueError, IndexError, TypeError, ArithmeticError):
        return None  # what was given does not fit, or only the numbers do not: computing says it


def ufunc(name: str) -> Any:
    """The ufunc with one result of that name, None if that is something else."""
    if name not in _ufuncs:
        f = getattr(np, name, None)
        plain = isinstance(f, np.ufunc) and f.signature is None and f.nout == 1
        _ufuncs[name] = f if plain and name not in OWN and f is waist(name) else None
    return _ufuncs[name]


def small(values: tuple) -> bool:
    """Whether all arrays have few elements."""
    for v in values:
        if type(v) is np.ndarray:
            if v.size > SMALL:
                return False
        elif type(v) is list or type(v) is tuple:
            return False
    return True


def rule_of(name: str) -> Callable | None:
    """How the result of a function is found."""
    head, _, method = name.partition(".")
    if head == GUFUNCS:
        return stacked
    f = getattr(np, head, None)
    if isinstance(f, np.ufunc) and f.signature is None and name not in OWN:
        return {"": elementwise, "reduce": reduction, "accumulate": running}.get(method)
    return primitive if name in ELEMENTWISE else OWN.get(name)


def elementwise(name: str, values: tuple, kwargs: dict) -> Any:
    """The operands' shapes broadcast; the dtype is found out once for operands of each kind."""
    if kwargs:
        return None
    shape: tuple = ()
    kinds: list[Any] = [name]
    plain = True
    for v in values:
        kind = type(v)
        if kind is np.ndarray:
            kinds.append(v.dtype)
            plain = plain and (v.flags.c_contiguous or rowwise(v))
            if v.shape != shape and v.shape:
                shape = np.broadcast_shapes(shape, v.shape) if shape else v.shape
        elif kind is float or kind is complex or kind is bool:
            kinds.append(kind)
        elif isinstance(v, np.generic):
            kinds.append(v.dtype)
        elif kind is int:
            kinds.append(v)  # whether a dtype can hold it depends on the number
        else:
            return None
    key = tuple(kinds)
    found = _dtypes.get(key)
    if found is None:
        found = _dtypes[key] = dtypes_of(name, values)
    if plain:
        out = [np.empty(shape, dtype) for dtype in found]
    else:
        out = [laid(name, values, kwargs, shape, dtype) for dtype in found]
    return out[0] if len(out) == 1 else tuple(out)


def rowwise(x: np.ndarray) -> bool:
    """Whether the axes of an array lie in memory in their order."""
    strides = x.strides
    return all(a >= b > 0 for a, b in pairwise(strides))


def primitive(name: str, values: tuple, kwargs: dict) -> Any:
    """As `elementwise`, but only for floats of one dtype, which then is the result's: trying it out
    may take a library that is not needed otherwise.
    """
    arrays = [v for v in values if isinstance(v, (np.ndarray, np.generic))]
    found = {v.dtype for v in arrays if v.dtype.kind != "b"}
    if kwargs or len(found) != 1 or not all(d.char in "fd" for d in found):
        return None
    shape = np.broadcast_shapes(*[v.shape for v in arrays])
    out = laid(name, values, kwargs, shape, *found)
    return out[()] if all(isinstance(v, np.generic) for v in arrays) else out


def dtypes_of(name: str, values: tuple, **kwargs: Any) -> tuple:
    """The dtypes of what a function gives, found by doing it to ones."""
    ones = [np.ones(1, v.dtype) if isinstance(v, (np.ndarray, np.generic)) else v for v in values]
    with np.errstate(all="ignore"):
        out = waist(name)(*ones, **kwargs)
    return tuple([r.dtype for r in (out if type(out) is tuple else (out,))])


def laid(name: str, values: tuple, kwargs: dict, shape: tuple, dtype: np.dtype) -> np.ndarray:
    """An array of this shape, its axes in memory in the order in which the function gives them,
    which the first elements of its operands show.
    """
    if all_rowwise(values) or not all(shape):
        return np.empty(shape, dtype)
    with np.errstate(all="ignore"):
        made = waist(name)(*beginning(values), **kwargs)
    strides = (made[0] if type(made) is tuple else made).strides
    order = sorted(range(len(shape)), key=lambda axis: -strides[axis])
    return np.empty([shape[axis] for axis in order], dtype).transpose(np.argsort(order))


def all_rowwise(values: Any) -> bool:
    """Whether all arrays lie in memory in the order of their axes."""
    for v in values:
        kind = type(v)
        if kind is np.ndarray:
            if not (v.flags.c_contiguous or rowwise(v)):
                return False
        elif (kind is list or kind is tuple) and not all_rowwise(v):
            return False
    return True


def beginning(value: Any) -> Any:
    """Arguments with the first two elements along each axis in place of their arrays."""
    kind = type(value)
    if kind is np.ndarray:
        return value[(slice(2),) * value.ndim]
    return kind([beginning(v) for v in value]) if kind is list or kind is tuple else value


def reduction(name: str, values: tuple, kwargs: dict) -> Any:
    """The shape without the axes."""
    (x,) = values
    if set(kwargs) - {"axis", "keepdims", "initial"} or not x.size:
        return None
    first = {k: v for k, v in kwargs.items() if k == "initial"}
    axis = kwargs.get("axis", 0)
    rank = x.ndim
    given = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -rank <= a < rank for a in given):
        return None
    dropped = {a % rank for a in given}
    if kwargs.get("keepdims"):
        shape = tuple([1 if a in dropped else n for a, n in enumerate(x.shape)])
    else:
        shape = tuple([n for a, n in enumerate(x.shape) if a not in dropped])
    key = (name, x.dtype, *map(type, first.values()))
    if key not in _dtypes:
        _dtypes[key] = dtypes_of(name, values, **first)
    if not shape:
        return emptied(shape, _dtypes[key][0])
    return laid(name, values, kwargs, shape, _dtypes[key][0])


def position(name: str, values: tuple, kwargs: dict) -> Any:
    """Where along an axis an extreme is."""
    return reduction(name, values, {"axis": None, **kwargs}) if len(values) == 1 else None


def emptied(shape: tuple, dtype: np.dtype) -> Any:
    """An array, or without any axis a number, as NumPy gives it."""
    return np.empty(shape, dtype) if shape else np.zeros(shape, dtype)[()]


def product(name: str, values: tuple, kwargs: dict) -> Any:
    """Of matrices and vectors; of stacks of matrices with `matmul` alone."""
    x, y = values
    if kwargs or not x.ndim or not y.ndim or (name == "dot" and max(x.ndim, y.ndim) > 2):
        return None
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        return None
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    shape = (*batch, *x.shape[-2:-1], *(y.shape[-1:] if y.ndim > 1 else ()))
    dtype = np.result_type(x, y)
    return laid(name, values, kwargs, shape, dtype) if shape else emptied(shape, dtype)


def running(name: str, values: tuple, kwargs: dict) -> Any:
    """Of the shape of the operand."""
    if set(kwargs) - {"axis", "dtype"} or len(values) > 1:
        return None
    dtype = dtypes_of(name, values, **{k: v for k, v in kwargs.items() if k == "dtype"})[0]
    return laid(name, values, kwargs, values[0].shape, dtype)


def stacked(name: str, values: tuple, kwargs: dict) -> Any:
    """What a generalized ufunc of linear algebra makes of stacks of matrices."""
    f = waist(name)
    if kwargs or len(values) != f.nin:
        return None
    groups = [g.strip("() ") for g in f.signature.replace("->", ",").split("),")]
    names = [[n.strip() for n in g.split(",") if n.strip()] for g in groups]
    sizes: dict[str, int] = {}
    leads = []
    for v, own in zip(values, names, strict=False):
        leads.append(v.shape[: v.ndim - len(own)])
        sizes.update(zip(own, v.shape[v.ndim - len(own) :], strict=True))
    lead = np.broadcast_shapes(*leads)
    made = names[f.nin :]
    if any(n not in sizes for own in made for n in own):
        return None
    found = f.resolve_dtypes((*[v.dtype for v in values], *[None] * f.nout))[f.nin :]
    out = [
        emptied((*lead, *[sizes[n] for n in own]), dtype)
        for own, dtype in zip(made, found, strict=True)
    ]
    return out[0] if len(out) == 1 else tuple(out)


def choice(name: str, values: tuple, kwargs: dict) -> Any:
    """One of two for each element."""
    return elementwise(name, values, kwargs) if len(values) == 3 else None


def joined(name: str, values: tuple, kwargs: dict) -> Any:
    """Arrays one after the other along an axis."""
    arrays = values[0]
    axis = kwargs.get("axis", values[1] if len(values) > 1 else 0)
    if set(kwargs) - {"axis"} or len(values) > 2 or type(axis) is not int:
        return None
    first = arrays[0].shape
    axis %= len(first)
    lengths = [a.shape[axis] for a in arrays]
    if any(a.shape != (*first[:axis], a.shape[axis], *first[axis + 1 :]) for a in arrays):
        return None
    shape = (*first[:axis], sum(lengths), *first[axis + 1 :])
    return laid(name, values, kwargs, shape, np.result_type(*arrays))


def copied(name: str, values: tuple, kwargs: dict) -> Any:
    """The same, row-major."""
    return None if kwargs else np.empty(values[0].shape, values[0].dtype)


def converted(name: str, values: tuple, kwargs: dict) -> Any:
    """The same as another dtype, in the same layout."""
    return None if kwargs else np.empty_like(values[0], values[1])


def basic(index: Any) -> bool:
    """Whether an index looks at a part as it lies."""
    parts = index if type(index) is tuple else (index,)
    return all(p is None or p is Ellipsis or type(p) in (int, slice) for p in parts)


def replaced(name: str, values: tuple, kwargs: dict) -> Any:
    """A copy of x with y at the index."""
    x, y, index = values
    if kwargs:
        return None
    np.broadcast_to(y, x[index].shape)
    return np.empty_like(x)


def spread(name: str, values: tuple, kwargs: dict) -> Any:
    """Zeros with x added at the index."""
    x, index, shape = values
    if kwargs:
        return None
    if not basic(index):
        np.broadcast_to(x, np.broadcast_to(x.dtype.type(0), shape)[index].shape)
    return np.empty(shape, x.dtype)


def convolved(name: str, values: tuple, kwargs: dict) -> Any:
    """Responses of images to kernels, images of responses, kernels of both."""
    x, y, *rest = values
    groups = rest[-1]
    if kwargs or x.ndim != y.ndim:
        return None
    if name == "convolve_kernel":
        shape = (y.shape[1], x.shape[1] // groups, *rest[0])
    else:
        shape = (x.shape[0], y.shape[0] if name == "convolve" else y.shape[1] * groups, *rest[1])
    return np.empty(shape, x.dtype)


def transformed(name: str, values: tuple, kwargs: dict) -> Any:
    """Rows of another length."""
    x, _, kind, n = values
    single, real = x.dtype.char in "fF", kind == "irfft"
    dtype = np.dtype(("f" if single else "d") if real else "F" if single else "D")
    return np.empty((*x.shape[:-1], n // 2 + 1 if kind == "rfft" else n), dtype)


OWN: dict[str, Callable] = {
    "convolve": convolved,
    "convolve_back": convolved,
    "convolve_kernel": convolved,
    "matmul": product,
    "dot": product,
    "where": choice,
    "concatenate": joined,
    "argmax": position,
    "argmin": position,
    "copy": copied,
    "astype": converted,
    "put": replaced,
    "put_add": spread,
    "transformed_rows": transformed,
}
