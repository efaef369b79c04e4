"""Forward mode as an array type: a value and its tangent, computed side by side.

Every rule maps (value, tangent) pairs to a pair. For elementwise functions the tangent follows from
the operator's vjp rule (the derivative of a function that acts on each element alone is its own
transpose), so nothing is written twice; linear functions act on the tangent as on the value; the
rest are the rows of the table.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import define
from ..ops.places import put, put_add
from ..tape import state
from .batch import BatchArray, is_batched
from .duck import Duck, NoRule, laid_out, memory, seen, vacant, wider
from .grad import CONSTANT, primitive_rule
from .levels import RUNNING, stack
from .waist import waist

TRANSPOSITION: list[Callable] = []  # autograd/transposition.py puts it here


class DualArray(Duck):
    """`value` + epsilon * `tangent`; the tangent broadcasts to the value's shape."""

    __slots__ = ("adjoint", "level", "tangent", "value")
    in_memory = is_dual = True
    words = "a tensor in forward mode"

    def __init__(self, value: Any, tangent: Any, level: int, adjoint: bool = False) -> None:
        self.value, self.tangent, self.level, self.adjoint = value, tangent, level, adjoint

    shape = property(lambda self: self.value.shape)  # type: ignore[assignment]
    dtype = property(lambda self: self.value.dtype)  # type: ignore[assignment]
    ndim = property(lambda self: self.value.ndim)  # type: ignore[assignment]

    def call(self, name: str, args: tuple, kwargs: dict) -> Any:
        level = self.level
        if level not in RUNNING and state.mode[0] is not operator.call:
            ended = [value_of(a, level) for a in args]
            return waist(name)(*ended, **kwargs)
        rule = RULES.get(name)
        if rule is None:
            rule = RULES[name] = _linear(name) or _elementwise(name)
        out = rule(level, *args, **kwargs)
        if self.adjoint or _adjoint_among(args, level):
            _mark(out)
        return out

    def parts(self) -> tuple:
        return (self.value, self.tangent)

    def constant(self) -> Any:
        inside = self.value
        return inside.constant() if isinstance(inside, Duck) else inside

    def memory(self) -> Any:
        return memory(self.value)

    def exposed(self) -> Any:
        if any(v.number == self.level and v.transforms for v in stack.levels):
            return super().exposed()
        return self.value.exposed() if isinstance(self.value, Duck) else self.value

    def repr_with(self, show: Callable) -> str:
        value = show(self.value)
        if self.level not in RUNNING:
            return value
        tangent = np.broadcast_to(self.tangent, self.shape)
        return f"{value[:-1]},\n       tangent={show(tangent)})"

    def settle(self) -> None:
        if isinstance(self.value, np.generic):
            self.value = np.array(self.value)
        tangent = np.broadcast_to(self.tangent, self.shape)  # it may be another tensor's as well
        lies = memory(self.value)
        self.tangent = laid_out(tangent, lies)
        for part in (self.value, self.tangent):
            if isinstance(part, Duck):
                part.settle()

    def wider(self, array: Any, private: bool) -> Any:
        value, tangent = split(array, self.level)
        widened = wider(self.value, value, private), wider(self.tangent, tangent, True)
        return DualArray(*widened, self.level, self.adjoint)

    def over(self, data: Any, private: bool) -> Any:
        zeros = vacant(memory(data), data.dtype)
        return DualArray(
            wider(data, self.value, private), wider(zeros, self.tangent, True), self.level
        )

    def laid_out(self, like: Any) -> Any:
        tangent = np.broadcast_to(self.tangent, self.shape)
        parts = laid_out(self.value, like), laid_out(tangent, like)
        return DualArray(*parts, self.level, self.adjoint)

    def by_example(self, new: Any) -> Any:
        return self.value.by_example(new) if isinstance(self.value, Duck) else new

    def seen(self, start: int, shape: Any, strides: Any, dtype: Any) -> Any:
        value, tangent = [seen(p, start, shape, strides, dtype) for p in self.parts()]
        return DualArray(value, tangent, self.level, self.adjoint)

    @classmethod
    def fallback(
        cls, f: Callable, on_tensors: Callable, args: tuple, extra: bool = False, op: Any = None
    ) -> Any:
        """f on the values; the tangents by transposing the reverse mode twice."""
        level = max(a.level for a in _flat(args) if isinstance(a, DualArray))
        if op is not None and op.rules and not _complex_among(args):
            with np.errstate(all="ignore"):
                return _by_elements(op)(level, *args, f=f)
        return TRANSPOSITION[0](level, f, on_tensors, args, extra)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __complex__(self) -> complex:
        return complex(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)

    def item(self) -> Any:
        return self.value.item()

    def tolist(self) -> Any:
        return self.value.tolist()


def _flat(args: Any) -> list:
    return [b for a in args for b in (_flat(a) if isinstance(a, (list, tuple)) else (a,))]


def _adjoint_among(args: Any, level: int) -> bool:
    """Whether an argument (also inside lists and tuples) is an adjoint of `level`."""
    for a in args:
        if type(a) is DualArray:
            if a.adjoint and a.level == level:
                return True
        elif type(a) in (list, tuple) and _adjoint_among(a, level):
            return True
    return False


def _mark(out: Any) -> None:
    """Mark results as adjoints."""
    for a in out if isinstance(out, (tuple, list)) else (out,):
        if isinstance(a, DualArray):
            a.adjoint = True


def value_of(a: Any, level: int) -> Any:
    """The value of a dual number of `level`, also inside lists and tuples."""
    if isinstance(a, DualArray) and a.level == level:
        return a.value
    return type(a)([value_of(e, level) for e in a]) if type(a) in (list, tuple) else a


def full(a: Any, level: int) -> tuple[Any, Any]:
    """Value and tangent, zeros for a constant."""
    value, tangent = split(a, level)
    return value, np.zeros(value.shape, value.dtype) if tangent is None else tangent


def split(a: Any, level: int) -> tuple[Any, Any]:
    """Value and tangent (None for a constant)."""
    return (a.value, a.tangent) if isinstance(a, DualArray) and a.level == level else (a, None)


@functools.cache
def _elementwise(name: str) -> Callable:
    """The rule of an elementwise ufunc, from the vjp of the operator defined with it."""
    f = define.PRIMITIVES.get(name) or getattr(np, name, None)
    if f is None:
        raise NoRule(f"forward mode has no rule for {name!r}")
    o = getattr(f, "op", None) or next(
        (o for o in define.OPS.values() if o.plain and o.rules and o.ufunc is f), None
    )
    if f in CONSTANT:
        return lambda level, *args: f(*[split(a, level)[0] for a in args])
    if o is not None and hasattr(f, "op") and not (o.rules and o.plain):
        return lambda level, *args: DualArray.fallback(f, primitive_rule(o.entry), args, o.extra)
    if o is None or not o.rules or not o.plain:
        raise NoRule(f"forward mode has no rule for {name!r}")

    by_elements = _by_elements(o)

    def rule(level: int, *args: Any) -> Any:
        if name in NOT_HOLOMORPHIC and _complex_among(args):
            raise NoRule(f"{name} of complex numbers is no product with a derivative")
        return by_elements(level, *args, f=f)

    return rule


@functools.cache
def _by_elements(o: Any) -> Callable:
    """Forward mode of an elementwise operator: its vjp rules, for they are their own transposes."""
    known = {
        **{p: i for i, p in enumerate(o.params)},
        **{f"{p}_shape": p for p in o.params},
        **{f"{p}_dtype": None for p in o.params},
        "out": -1,
    }
    rules = [(r, [known[n] for n in names]) for r, names in zip(o.rules, o.names, strict=True)]

    def rule(level: int, *args: Any, f: Callable) -> Any:
        values, tangents = [], []
        for a in args:
            dual = type(a) is DualArray and a.level == level
            values.append(a.value if dual else a)
            tangents.append(a.tangent if dual else None)
        out = f(*values)
        if out.dtype.kind != "c" and _complex_among(args):
            raise NoRule(f"{o.name} of complex numbers is no product with a derivative")
        values.append(out)
        total = None
        for (r, places), t in zip(rules, tangents, strict=False):
            if t is not None and r is not None:
                part = r(t, *[_saved(values, o, p) for p in places])
                total = part if total is None else total + part
        return out if total is None else DualArray(out, total, level)

    return rule


def _saved(values: list, o: Any, place: Any) -> Any:
    """What a rule asks for: a value by its place, the shape of the tensor of a name, or (None) the
    dtype of what it computes: in forward mode a tangent of the result.
    """
    if place is None:
        return values[-1].dtype
    if isinstance(place, str):
        return getattr(values[o.params.index(place)], "shape", ())
    return values[place]


def _complex_among(args: tuple) -> bool:
    return any([isinstance(a, DualArray) and a.dtype.kind == "c" for a in args])


NOT_HOLOMORPHIC = ("sgn", "sign")
METHODS = ("reshape", "transpose", "astype", "copy", "real", "imag", "getitem", "restride")
LINEAR: dict[str, Callable] = {
    **{name: waist(name) for name in METHODS},
    "add.reduce": waist("add.reduce"),
    "add.accumulate": np.add.accumulate,
    "broadcast_to": np.broadcast_to,
    "take_along_axis": np.take_along_axis,
    "put_add": lambda x, index, shape: put_add(x, index, shape),
    "put_along": lambda *args: define.PRIMITIVES["put_along"](*args),
    "windows": lambda *args: define.PRIMITIVES["windows"](*args),
    "overlap": lambda *args: define.PRIMITIVES["overlap"](*args),
    "segments": lambda *args: define.PRIMITIVES["segments"](*args),
}


@functools.cache
def _linear(name: str) -> Callable | None:
    f = LINEAR.get(name)
    if f is None:
        return None

    def rule(level: int, x: Any, *args: Any, **kwargs: Any) -> Any:
        value, tangent = split(x, level)
        tangent = np.broadcast_to(tangent, value.shape) if tangent.shape != value.shape else tangent
        return DualArray(f(value, *args, **kwargs), f(tangent, *args, **kwargs), level)

    return rule


PIECE = 1 << 18  # bytes: a fraction of the cache


def added(x: Any, times: Callable, a: Any, b: Any) -> Any:
    """x + times(a, b) for a fresh `x`, which nobody else holds: in its memory, if the product is
    like it; that of a large batch piece by piece, so that it stays in the cache.
    """
    if type(x) is BatchArray and type(x.array) is np.ndarray and x.array.nbytes > 4 * PIECE:
        step = max(1, PIECE * len(x.array) // x.array.nbytes)
        for start in range(0, len(x.array), step):
            part = slice(start, start + step)
            into = BatchArray(x.array[part], x.level)
            more = times(_examples(a, part, x.level), _examples(b, part, x.level))
            if not _alike(into, more):  # so are all pieces or none
                return x + times(a, b)
            np.add(into.array, more.array, out=into.array)
        return x
    y = times(a, b)
    if not _alike(x, y):
        return x + y
    p, q = (x.array, y.array) if type(x) is BatchArray else (x, y)
    np.add(p, q, out=p)
    return x


def _examples(a: Any, part: slice, level: int) -> Any:
    """Some of the examples of a batch; what is no batch of `level` is the same for all."""
    return BatchArray(a.array[part], level) if is_batched(a, level) else a


def _alike(x: Any, y: Any) -> bool:
    """Whether two arrays, or two batches of them, agree in kind, shape and dtype."""
    if type(x) is type(y) is BatchArray and x.level == y.level:
        x, y = x.array, y.array
    return type(x) is type(y) is np.ndarray and x.shape == y.shape and x.dtype is y.dtype


def _product_rule(times: Callable) -> Callable:
    """The rule of a product, which is linear in each of its two factors."""

    def rule(level: int, x: Any, y: Any) -> Any:
        (a, da), (b, db) = split(x, level), split(y, level)
        value = times(a, b)
        if da is None:
            return DualArray(value, times(a, db), level)
        if db is None:
            return DualArray(value, times(da, b), level)
        return DualArray(value, added(times(da, b), times, a, db), level)

    return rule


_matrix_product = _product_rule(operator.matmul)


def _matmul(level: int, x: Any, y: Any) -> Any:
    """The rule of matrix products. Where columns meet rows of a batch (outer products), the two
    products of a value and a tangent are taken as one, of twice the inner size: that is one pass
    over the results, and NumPy leaves no inner size but 1 to slow loops.
    """
    if x.ndim == y.ndim == 2 and x.shape[1] == 1:
        (a, da), (b, db) = split(x, level), split(y, level)
        batch = type(da) is BatchArray or type(db) is BatchArray
        if batch and getattr(da, "shape", ()) == a.shape and getattr(db, "shape", ()) == b.shape:
            both = np.concatenate((da, a), -1), np.concatenate((b, db), -2)
            return DualArray(operator.matmul(a, b), operator.matmul(*both), level)
    return _matrix_product(level, x, y)


def _add(level: int, x: Any, y: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    return DualArray(a + b, db if da is None else da if db is None else da + db, level)


def _subtract(level: int, x: Any, y: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    return DualArray(a - b, -db if da is None else da if db is None else da - db, level)


def _tanh_back(level: int, x: Any, y: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    back = define.PRIMITIVES["tanh_back"]
    value = back(a, b)
    if db is None:
        return DualArray(value, back(da, b), level)
    slope = a * b * -2
    if da is None:
        return DualArray(value, db * slope, level)
    return DualArray(value, added(back(da, b), operator.mul, slope, db), level)


def _tanh(level: int, x: Any) -> Any:
    out = np.tanh(x.value)  # the slope by itself: it may be smaller than the tangent
    return DualArray(out, x.tangent * (1 - out * out), level)


def _view(level: int, x: Any, dtype: Any) -> Any:
    if {x.dtype, dtype} - {np.dtype(d) for d in ("f4", "f8", "c8", "c16")}:
        raise NoRule("the bytes of numbers are no linear function of them")
    return DualArray(x.value.view(dtype), x.tangent.view(dtype), level)


def _setitem(level: int, x: Any, index: Any, value: Any) -> None:
    v, t = split(value, level)
    x.value[index] = v
    x.tangent[index] = 0 if t is None else t


def _where(level: int, c: Any, x: Any, y: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    condition = split(c, level)[0]
    return DualArray(
        np.where(condition, a, b),
        np.where(condition, 0 if da is None else da, 0 if db is None else db),
        level,
    )


def _concatenate(level: int, arrays: Any, axis: int = 0) -> Any:
    pairs = [split(a, level) for a in arrays]
    tangents = [
        np.zeros(v.shape, v.dtype)
        if t is None
        else t
        if t.shape == v.shape
        else np.broadcast_to(t, v.shape)
        for v, t in pairs
    ]
    return DualArray(
        np.concatenate([v for v, _ in pairs], axis=axis), np.concatenate(tangents, axis=axis), level
    )


def _places(f: Callable) -> Callable:
    """The rule of a function that says where elements stand: a constant."""
    return lambda level, x, *args, **kwargs: f(split(x, level)[0], *args, **kwargs)


def _reduction(ufunc: Any, name: str) -> Callable:
    """The rule of a reduction from the vjp of operator `name`: the cotangent 1 gives the slope by
    each element.
    """

    def rule(
        level: int,
        x: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        **rest: Any,
    ) -> Any:
        value, tangent = split(x, level)
        axes = tuple(range(value.ndim)) if axis is None else axis
        whole = ufunc.reduce(value, axis=axes, keepdims=True, **rest)
        vjp, names = define.OPS[name].rules[0], define.OPS[name].names[0]
        given = {"x": value, "out": whole, "dim": axes, "keepdim": True}
        slopes = vjp(np.ones(whole.shape, whole.dtype), *[given[n] for n in names])
        result = whole if keepdims else ufunc.reduce(value, axis=axes, **rest)
        return DualArray(
            result, np.add.reduce(slopes * tangent, axis=axes, keepdims=keepdims), level
        )

    return rule


def _product(
    level: int, x: Any, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False
) -> Any:
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, tuple):
        raise NoRule("the product along several axes")
    if axis is not None:
        return _reduction(np.multiply, "prod")(level, x, axis, keepdims=keepdims)
    flat = _reduction(np.multiply, "prod")(level, x.reshape(-1), 0)
    return flat.reshape((1,) * x.ndim) if keepdims else flat


def _running_product(level: int, x: Any, axis: int = 0) -> Any:
    value, tangent = split(x, level)
    out = np.multiply.accumulate(value, axis=axis)
    return DualArray(
        out, define.PRIMITIVES["recurrence"](_before(out, 1, axis) * tangent, value, axis), level
    )


def _running_logsum(level: int, x: Any, axis: int = 0) -> Any:
    value, tangent = split(x, level)
    out = np.logaddexp.accumulate(value, axis=axis)
    fading = np.exp(np.where(out == -np.inf, 0, _before(out, -np.inf, axis) - out))
    own = np.exp(np.where(out == -np.inf, 0, value - out))
    return DualArray(out, define.PRIMITIVES["recurrence"](own * tangent, fading, axis), level)


def _before(x: Any, first: float, axis: int) -> Any:
    """`x` one place later along an axis, with `first` in front."""
    head, tail = [
        (slice(None),) * (axis % x.ndim) + (part,) for part in (slice(0, 1), slice(None, -1))
    ]
    return np.concatenate((np.full(x[head].shape, first, x.dtype), x[tail]), axis=axis)


def _partition(level: int, x: Any, kth: int, axis: int = -1) -> Any:
    value, tangent = split(x, level)
    places = np.argpartition(value, kth, axis=axis)
    tangent = np.broadcast_to(tangent, value.shape)
    return DualArray(
        np.take_along_axis(value, places, axis), np.take_along_axis(tangent, places, axis), level
    )


def _running_extreme(name: str) -> Callable:
    def rule(level: int, x: Any, axis: int = 0) -> Any:
        value, tangent = split(x, level)
        (out, places), _ = define.OPS[name].kernel(value, axis)
        tangent = np.broadcast_to(tangent, value.shape)
        return DualArray(out, np.take_along_axis(tangent, places, axis), level)

    return rule


def _put(level: int, x: Any, y: Any, index: Any) -> Any:
    (a, da), (b, db) = split(x, level), split(y, level)
    da = np.zeros(a.shape, a.dtype) if da is None else np.broadcast_to(da, a.shape)
    db = np.zeros((), b.dtype) if db is None else db
    return DualArray(put(a, b, index), put(da, db, index), level)


def _cofactors(level: int, x: Any) -> Any:
    value, slopes = define.PRIMITIVES["cofactors"](x.value), define.PRIMITIVES["cofactor_slopes"]
    return DualArray(value, slopes(x.value, np.broadcast_to(x.tangent, x.shape)), level)


def _convolution(name: str) -> Callable:
    """Linear in each of two tensors, with a bias added to the first two kinds."""

    def rule(level: int, x: Any, y: Any, *rest: Any) -> Any:
        f, biased = define.PRIMITIVES[name], name != "convolve_kernel"
        (a, da), (b, db) = split(x, level), split(y, level)
        bias, dbias = split(rest[0], level) if biased else (None, None)
        geometry = rest[1:] if biased else rest
        none, given = ((None,), (bias,)) if biased else ((), ())
        value = f(a, b, *given, *geometry)
        tangents = [] if dbias is None else [dbias.reshape(-1, *(1,) * (value.ndim - 2))]
        if da is not None:
            tangents.append(f(np.broadcast_to(da, a.shape), b, *none, *geometry))
        if db is not None:
            tangents.append(f(a, np.broadcast_to(db, b.shape), *none, *geometry))
        return DualArray(value, functools.reduce(np.add, tangents), level)

    return rule


RULES: dict[str, Callable] = {
    "setitem": _setitem,
    "view": _view,
    "put": _put,
    "cofactors": _cofactors,
    **{name: _convolution(name) for name in ("convolve", "convolve_back", "convolve_kernel")},
    "add": _add,
    "subtract": _subtract,
    "multiply": _product_rule(operator.mul),
    "tanh": _tanh,
    "tanh_back": _tanh_back,
    "matmul": _matmul,
    "dot": _matmul,
    "where": _where,
    "concatenate": _concatenate,
    "maximum.reduce": _reduction(np.maximum, "amax"),
    "minimum.reduce": _reduction(np.minimum, "amin"),
    "multiply.reduce": _product,
    "multiply.accumulate": _running_product,
    "logaddexp.accumulate": _running_logsum,
    "partition": _partition,
    "maximum.accumulate": _running_extreme("cummax"),
    "minimum.accumulate": _running_extreme("cummin"),
    **{f.__name__: _places(f) for f in (np.argmax, np.argmin, np.argsort, np.argpartition)},
    "logical_or.reduce": _places(np.logical_or.reduce),
    "logical_and.reduce": _places(np.logical_and.reduce),
}
