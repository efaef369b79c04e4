"""Sums of products over named dimensions: einsum, and what is said more shortly with it (tensordot,
inner, kron ...).

One primitive does the work: `contract(x, y, xs, ys, outs)`, where the three tuples label the
dimensions of the operands and of the result. Each label stands in at least two of the three; then
the cotangents are contractions too (`g` with `y` labelled as `x` was), and every order of
derivative follows. `einsum` reads its equation once for given shapes, and keeps a plan: diagonals
for labels repeated in one operand, sums for labels that occur nowhere else, then pairs to contract,
the cheapest pair first.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import Any

import numpy as np

from ..arrays.duck import tied
from ..dtypes import FLOATING, FROM_NUMPY, int64, promote_types
from . import define
from .define import HALF, SAME, function, op, primitive, row_by_row, with_dimensions
from .products import CPP_NAMES, check_tensors, matmul, unlike_batches

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ELLIPSIS = len(
    LETTERS
)  # dimensions under an ellipsis are labelled from here on, the last one with the highest label
Labels = tuple[int, ...]
Sizes = tuple[int, ...]


# -- two operands ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def layout(xs: Labels, ys: Labels, outs: Labels) -> tuple:
    """How to turn a contraction into a matrix product: the operands' axes as (batch, left, sum) and
    (batch, sum, right), and the result's axes (None for axes that stand right already), the number
    of each, and whether the operands change places for a result that lies in its own order.
    """
    batch = [k for k in outs if k in xs and k in ys]
    left, right = [k for k in outs if k not in ys], [k for k in outs if k not in xs]
    if left and right and outs.index(right[-1]) < outs.index(left[0]):
        return *layout(ys, xs, outs)[:-1], True
    sums = [k for k in xs if k in ys and k not in outs]
    made = batch + left + right
    axes = (
        [xs.index(k) for k in batch + left + sums],
        [ys.index(k) for k in batch + sums + right],
        [made.index(k) for k in outs],
    )
    moved = [None if a == sorted(a) else tuple(a) for a in axes]
    return *moved, len(batch), len(left), len(sums), False


@primitive(define=op, promote=HALF, namespace="primitive", method=False, node="ViewBackward0")
def contract(x: Any, y: Any, /, xs: Labels, ys: Labels, outs: Labels) -> Any:
    """Sum of products of two arrays over the labels that `outs` lacks; sizes of 1 broadcast."""
    x_axes, y_axes, out_axes, batch, left, sums, swapped = layout(xs, ys, outs)
    if not sums:
        return _outer_product(x, y, xs, ys, outs)
    x, y = (y, x) if swapped else (x, y)
    x = x if x_axes is None else x.transpose(x_axes)
    y = y if y_axes is None else y.transpose(y_axes)
    z = _matrix_product(x, y, batch, left, sums)
    return z if out_axes is None else z.transpose(out_axes)


@contract.vjp
def _(g, y, xs, ys, outs):
    return contract(g, y, outs, ys, xs)


@contract.vjp
def _(g, x, xs, ys, outs):
    return contract(g, x, outs, xs, ys)


outer_product = op(
    contract.op.kernel,
    source=contract.op.source,
    name="outer_product",
    namespace="primitive",
    node="MulBackward0",
    rules=contract.op.rules,
)
outer_product.__doc__ = (
    "`contract` where nothing is summed, under the name that torch gives its node."
)


def _outer_product(x: Any, y: Any, xs: Labels, ys: Labels, outs: Labels) -> Any:
    if x.dtype is not y.dtype:
        dtype = promote_types(FROM_NUMPY[x.dtype], FROM_NUMPY[y.dtype]).numpy
        x, y = x.astype(dtype), y.astype(dtype)
    x, y = _among(x, xs, outs), _among(y, ys, outs)
    return tied(x * y, x, y)


def _among(x: Any, labels: Labels, outs: Labels) -> Any:
    """x with its dimensions in the order of `outs`, of size 1 for labels that it lacks."""
    if labels == outs:
        return x
    axes, look = _look(labels, outs)
    return (x if axes is None else x.transpose(axes))[look]


@functools.lru_cache(maxsize=4096)
def _look(labels: Labels, outs: Labels) -> tuple:
    """The axes of `_among`, or None where they stand right already, and an index that makes room
    for what is lacking.
    """
    axes = tuple(labels.index(k) for k in outs if k in labels)
    look = tuple(slice(None) if k in labels else None for k in outs)
    return None if axes == tuple(range(len(labels))) else axes, look


def _matrix_product(x: Any, y: Any, batch: int, left: int, sums: int) -> Any:
    if x.dtype is not y.dtype:
        raise unlike_batches(x, y)
    if x.dtype.kind == "b":
        raise NotImplementedError("\"bmm\" not implemented for 'Bool'")
    inner, n = batch + left, batch + sums
    if x.shape[inner:] != y.shape[batch:n]:
        x, y = _squeezed(x, inner, y.shape[batch:n]), _squeezed(y, batch, x.shape[inner:])
    size = math.prod(x.shape[inner:])
    rows, columns = x.shape[batch:inner], y.shape[n:]
    matrix = x.reshape((*x.shape[:batch], math.prod(rows), size))
    other = y.reshape((*y.shape[:batch], size, math.prod(columns)))
    if size == 1:
        z = matrix * other  # as torch: products, which are not added to 0
    else:
        z = row_by_row(np.matmul(matrix, other), True) if batch else np.dot(matrix, other)
    return z.reshape((*z.shape[:batch], *rows, *columns))


def _squeezed(x: Any, start: int, sizes: tuple) -> Any:
    """x summed over the dimensions, from `start` on, where the other operand has size 1."""
    axes = tuple(start + i for i, n in enumerate(sizes) if n == 1 != x.shape[start + i])
    return np.add.reduce(x, axis=axes, dtype=x.dtype, keepdims=True) if axes else x


# -- reading an equation ---------------------------------------------------------------------------


def _labels(text: str, whole: str, start: int, where: str) -> list:
    """The labels of one term (`text`, at `start` of the equation); None stands for the ellipsis."""
    out: list[int | None] = []
    i = 0
    while i < len(text):
        letter = text[i]
        if letter == ".":
            if None in out:
                raise RuntimeError(
                    f"einsum(): found '.' for {where} for which an ellipsis was already found"
                )
            if text[i : i + 3] != "...":
                raise RuntimeError(
                    f"einsum(): found '.' for {where} that is not part of any ellipsis"
                    + (" (...)" if where == "output" else "")
                )
            out.append(None)
            i += 2
        elif letter in LETTERS:
            out.append(LETTERS.index(letter))
        elif letter != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + i} in the equation string, "
                "subscripts must be in [a-zA-Z]"
            )
        i += 1
    return out


def _terms(equation: str) -> tuple[list, list | None]:
    """The labels of each operand, and of the output (None if the equation names none)."""
    inputs, arrow, output = equation.partition("->")
    terms, start = [], 0
    for i, text in enumerate(inputs.split(",")):
        terms.append(_labels(text, equation, start, f"operand {i}"))
        start += len(text) + 1
    return terms, _labels(output, equation, len(inputs) + 2, "output") if arrow else None


def _name(label: int) -> str:
    return LETTERS[label] if label < ELLIPSIS else "..."


def _expanded(term: list, rank: int, most: int) -> list:
    """A term with its ellipsis replaced by `rank` labels, aligned at the right among at most
    `most`.
    """
    names = range(ELLIPSIS + most - rank, ELLIPSIS + most)
    return [k for label in term for k in (names if label is None else (label,))]


def read(equation: str, shapes: tuple) -> tuple[list, list]:
    """The labels of every dimension of the operands and of the output, checked against the
    shapes.
    """
    terms, output = _terms(equation)
    if len(terms) != len(shapes):
        word = "fewer" if len(terms) > len(shapes) else "more"
        raise RuntimeError(
            f"einsum(): {word} operands were provided than specified in the equation"
        )
    ranks = [
        _ellipsis_rank(i, t, len(s)) for i, (t, s) in enumerate(zip(terms, shapes, strict=True))
    ]
    most = max(ranks)
    terms = [_expanded(t, r, most) for t, r in zip(terms, ranks, strict=True)]
    _check_sizes(terms, shapes)
    if output is None:
        count = Counter(k for t in terms for k in t)
        output = [k for k in sorted(count) if k < ELLIPSIS and count[k] == 1]
        return terms, [*range(ELLIPSIS, ELLIPSIS + most), *output]
    output = _expanded(output, most, most)
    for k in output:
        if k < ELLIPSIS and not any(k in t for t in terms):
            raise RuntimeError(
                f"einsum(): output subscript {_name(k)} does not appear in the equation for any "
                "input operand"
            )
        if output.count(k) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {_name(k)} appears more than once in the output"
            )
    return terms, output


def _ellipsis_rank(i: int, term: list, ndim: int) -> int:
    """How many dimensions the ellipsis of operand i stands for."""
    named = len(term) - term.count(None)
    if None not in term and named != ndim:
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) does not match the "
            f"number of dimensions ({ndim}) for operand {i} and no ellipsis was given"
        )
    if named > ndim:
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) is more than the number "
            f"of dimensions ({ndim}) for operand {i}"
        )
    return ndim - named


def _check_sizes(terms: list, shapes: tuple) -> None:
    sizes: dict[int, int] = {}
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[int, int] = {}
        for k, n in zip(term, shape, strict=True):
            if own.setdefault(k, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {_name(k)} is repeated for operand {i} but the sizes "
                    f"don't match, {n} != {own[k]}"
                )
        for k, n in own.items():
            seen = sizes.setdefault(k, n)
            if n != seen and 1 not in (n, seen):
                raise RuntimeError(
                    f"einsum(): subscript {_name(k)} has size {n} for operand {i} which does not "
                    f"broadcast with previously seen size {seen}"
                )
            sizes[k] = max(n, seen) if 0 not in (n, seen) else 0


# -- the plan --------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def plan(equation: str, shapes: tuple) -> tuple:
    """The steps that compute an equation: (function, operand numbers, arguments), the last one's
    result being the answer.
    """
    terms, output = read(equation, shapes)
    sizes: dict[int, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for k, n in zip(term, shape, strict=True):
            sizes[k] = n if sizes.get(k, 1) == 1 else sizes[k]
    steps: list[tuple] = []
    live = [(i, _prepared(i, terms, output, steps)) for i in range(len(terms))]
    count = len(terms)
    while len(live) > 1:
        a, b = _cheapest(live, output, sizes)
        (i, xs), (j, ys) = live[a], live[b]
        others = [t for n, (_, t) in enumerate(live) if n not in (a, b)]
        outs = tuple(output) if not others else _kept(xs, ys, [*others, output])
        product = contract.op.entry if set(xs + ys) > set(outs) else outer_product
        steps.append((product, (i, j), (xs, ys, outs)))
        live = [t for n, t in enumerate(live) if n not in (a, b)] + [(count, outs)]
        count += 1
    if len(terms) == 1:
        order = [live[0][1].index(k) for k in output]
        if not steps or order != sorted(order) or steps[-1][0] is not _op("sum"):
            steps.append((_op("permute"), (0,), (order,)))
    return tuple(steps)


def _op(name: str) -> Any:
    return define.OPS[name].entry


def _prepared(i: int, terms: list, output: list, steps: list) -> Labels:
    """Note the diagonals and sums that operand i needs before any product; its labels
    after them.
    """
    labels = list(terms[i])
    for k in sorted(set(labels)):
        while labels.count(k) > 1:
            first = labels.index(k)
            second = labels.index(k, first + 1)
            steps.append((_op("diagonal"), (i,), (0, first, second)))
            labels = [*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], k]
    needed = {k for j, t in enumerate(terms) if j != i for k in t} | set(output)
    if needed.issuperset(labels):
        return tuple(labels)
    order = sorted(labels, key=[*output, *labels].index)  # what sums leave lies in this order
    if order != labels:
        steps.append((_op("permute"), (i,), ([labels.index(k) for k in order],)))
    alone = tuple(n for n, k in enumerate(order) if k not in needed)
    steps.append((_op("sum"), (i,), (alone,)))
    return tuple(k for k in order if k in needed)


def _kept(xs: Labels, ys: Labels, others: list) -> Labels:
    """The labels of a product of two operands that something else still needs."""
    needed = {k for t in others for k in t}
    return tuple(k for k in dict.fromkeys(xs + ys) if k in needed)


def _cheapest(live: list, output: list, sizes: dict) -> tuple[int, int]:
    """The pair of operands whose contraction takes the fewest multiplications, then gives the
    smallest result.
    """

    def cost(pair: tuple[int, int]) -> tuple:
        xs, ys = live[pair[0]][1], live[pair[1]][1]
        others = [t for n, (_, t) in enumerate(live) if n not in pair]
        result = _kept(xs, ys, [*others, output])
        return math.prod(sizes[k] for k in {*xs, *ys}), math.prod(sizes[k] for k in result)

    return min(((a, b) for b in range(len(live)) for a in range(b)), key=cost)


def _equation_of(args: tuple) -> tuple[str, list]:
    """`einsum(x, [0, 1], y, [1, 2], [0, 2])` as an equation and its operands."""

    def text(subscripts: Any) -> str:
        for s in subscripts:
            if s is not Ellipsis and not 0 <= s < len(LETTERS):
                raise ValueError(
                    "einsum(): subscript in subscript list is not within the valid range [0, 52)"
                )
        return "".join("..." if s is Ellipsis else LETTERS[s] for s in subscripts)

    pairs = len(args) // 2
    equation = ",".join(text(args[2 * i + 1]) for i in range(pairs))
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, list(args[: 2 * pairs : 2])


@function(method=False)
def einsum(*args: Any) -> Any:
    """Sum of products of the operands over the subscripts that the output lacks:
    `einsum("ij,jk->ik", x, y)`.

    The operands may also be given each with a list of subscript numbers: `einsum(x, [0, 1], y, [1,
    2], [0, 2])`. An ellipsis stands for broadcast dimensions; a subscript repeated in one operand
    takes its diagonal.
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if isinstance(args[0], define.Tensor):
        equation, operands = _equation_of(args)
    else:
        equation, operands = (
            args[0],
            list(args[1] if isinstance(args[1], (list, tuple)) else args[1:]),
        )
    if not isinstance(equation, str):
        raise TypeError(
            f"einsum(): argument 'equation' (position 1) must be str, not {type(equation).__name__}"
        )
    for i, x in enumerate(operands):
        if not isinstance(x, define.Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 1, but got {type(x).__name__}"
            )
    for f, places, arguments in plan(equation, tuple([x._data.shape for x in operands])):
        given = [operands[i] for i in places]
        if len(given) == 2 and not _fast(*given):
            given = _alike(*given, *arguments)
        made = f(*given, *arguments)
        if len(places) == 1:
            operands[places[0]] = made
        else:
            operands.append(made)
    return operands[-1]


def _fast(x: Any, y: Any) -> bool:
    """Whether two operands are of one dtype, and no integers."""
    return x.dtype is y.dtype and x.dtype.category >= FLOATING


def _alike(x: Any, y: Any, xs: Labels, ys: Labels, outs: Labels) -> list:
    """Two operands in the dtype that they promote to, where nothing is summed over both; integers
    that are summed alone, where the other has size 1, are int64.
    """
    sizes, dtype = dict(zip(xs, x.shape, strict=True)), promote_types(x.dtype, y.dtype)
    for k, n in zip(ys, y.shape, strict=True):
        if k in outs or k not in sizes or n == sizes[k] == 1:
            continue
        if n != 1 != sizes[k]:
            if x.dtype is not y.dtype:
                raise unlike_batches(x._data, y._data)
        elif dtype.category < FLOATING:
            dtype = int64
    return [x.to(dtype), y.to(dtype)]


# -- said with a contraction -----------------------------------------------------------------------


def _axes(dims: Any, ndim: int) -> list[int]:
    dims = [dims] if isinstance(dims, int) else [int(d) for d in dims]
    for d in dims:
        if not -max(ndim, 1) <= d < max(ndim, 1):
            raise define.bad_dim(d, ndim)
    dims = [d % max(ndim, 1) for d in dims]
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return dims


def _pairs(dims: Any, m: int, n: int) -> tuple:
    """The dimensions of either operand that `tensordot` sums over, in pairs."""
    if isinstance(dims, define.Tensor):
        dims = dims.tolist()
    if isinstance(dims, (list, tuple)):
        first, second = dims
        return first, second
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > min(m, n):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return range(-dims, 0), range(dims)


@functools.lru_cache(maxsize=1024)
def _labels_of_pairs(m: int, n: int, first: tuple, second: tuple) -> tuple[Labels, Labels, Labels]:
    """Labels for m and n dimensions of which those in `first` and `second` are summed over in
    pairs.
    """
    xs = tuple(range(m))
    ys = tuple(first[second.index(q)] if q in second else m + q for q in range(n))
    return xs, ys, (*(k for k in xs if k not in first), *(k for k in ys if k >= m))


@function(method=False)
def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sum of products over `dims`: that many last dimensions of `a` and first of `b`, or a pair of
    lists.
    """
    x, y = a._data.shape, b._data.shape
    given = _pairs(dims, len(x), len(y))
    first, second = _axes(given[0], len(x)), _axes(given[1], len(y))
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    if a._data.dtype is not b._data.dtype:
        raise RuntimeError("both inputs should have same dtype")
    for i, (p, q) in enumerate(zip(first, second, strict=True)):
        if x[p] != y[q] and 1 not in (x[p], y[q]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {x[p]} in dim "
                f"{list(given[0])[i]} and second has size {y[q]} in dim {list(given[1])[i]}"
            )
    if first and all(1 in (x[p], y[q]) for p, q in zip(first, second, strict=True)):
        return define.write_out(out, _one_term(a, b, first, second))
    labels = _labels_of_pairs(len(x), len(y), tuple(first), tuple(second))
    return define.write_out(out, contract.op.entry(a, b, *labels))


def _one_term(a: Any, b: Any, first: list[int], second: list[int]) -> Any:
    """`tensordot` where each sum has a single term: a product of matrices (which says what becomes
    of -0), after sums over the dimensions that the other tensor has but one of.
    """
    x, y = a.shape, b.shape
    for p, q in zip(first, second, strict=True):
        a = a.sum(p, keepdim=True, dtype=a.dtype) if x[p] != 1 else a
        b = b.sum(q, keepdim=True, dtype=b.dtype) if y[q] != 1 else b
    rows, columns = (
        [n for i, n in enumerate(t) if i not in d] for t, d in ((x, first), (y, second))
    )
    left, right = a.reshape(math.prod(rows), 1), b.reshape(1, math.prod(columns))
    return _op("mm")(left, right).reshape((*rows, *columns))


@function
def inner(input: Any, other: Any, *, out: Any = None) -> Any:
    """Sum of products over the last dimension of both tensors; for a 0-d tensor the elementwise
    product.
    """
    check_tensors("inner", input=input, other=other)
    m, n = input.ndim, other.ndim
    if not m or not n:
        return _op("mul")(input, other, out=out)
    if input.dtype is not other.dtype:
        raise RuntimeError("both inputs should have same dtype")
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    if input.shape[-1] == 1:
        return define.write_out(out, _one_term(input, other, [m - 1], [n - 1]))
    xs, ys = tuple(range(m)), (*range(m, m + n - 1), m - 1)
    return contract.op.entry(input, other, xs, ys, (*xs[:-1], *ys[:-1]), out=out)


def _interleaved(x: Sizes, y: Sizes) -> tuple[Sizes, Sizes]:
    """Shapes in which x's and y's dimensions alternate, each with 1 where the other has its own."""
    n = max(len(x), len(y))
    x, y = (1,) * (n - len(x)) + x, (1,) * (n - len(y)) + y
    return tuple(p for k in x for p in (k, 1)), tuple(p for k in y for p in (1, k))


@op(name="kron", method=False, promote=SAME, numbers=False, node="UnsafeViewBackward0")
def kronecker(x: Any, y: Any, /) -> Any:
    """Every element of `x` times the whole of `y`, as one array."""
    p, q = _interleaved(x.shape, y.shape)
    shape = tuple(m * n for m, n in zip(p[::2], q[1::2], strict=True))
    x, y = x.reshape(p), y.reshape(q)
    return tied(x * y, x, y).reshape(shape)


@kronecker.vjp
def _(g, x, y):
    p, q = _interleaved(x.shape, y.shape)
    return _summed(g.reshape(_product_shape(p, q)) * y.reshape(q), 1, x.shape)


@kronecker.vjp
def _(g, x, y):
    p, q = _interleaved(x.shape, y.shape)
    return _summed(g.reshape(_product_shape(p, q)) * x.reshape(p), 0, y.shape)


@function
def kron(input: Any, other: Any, *, out: Any = None) -> Any:
    """Kronecker product: every element of `input` times the whole of `other`, as one array. The
    dtype of a tensor without dimensions counts as much as the other's.
    """
    x, y = with_dimensions(input, other)
    return kronecker(x, y) if out is None else kronecker(x, y, out=out)


def _product_shape(p: Sizes, q: Sizes) -> Sizes:
    return tuple(m * n for m, n in zip(p, q, strict=True))


def _summed(x: Any, first: int, shape: Sizes) -> Any:
    """x summed over every second dimension from the first on."""
    return np.add.reduce(x, axis=tuple(range(first, x.ndim, 2))).reshape(shape)


@function(method=False, namespace="nn.functional")
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """input1 @ weight[o] @ input2 + bias[o] for each output o: (..., n), (..., m), (o, n, m), (o)
    to (..., o).
    """
    check_tensors("bilinear", input1=input1, input2=input2, weight=weight)
    _check_bilinear(input1, input2, weight, bias)
    n = input1.ndim
    rows, o, i, j = tuple(range(n - 1)), n, n + 1, n + 2
    half = contract.op.entry(input1, weight, (*rows, i), (o, i, j), (*rows, o, j))
    out = contract.op.entry(half, input2, (*rows, o, j), (*rows, j), (*rows, o))
    return out if bias is None else out + bias


def _check_bilinear(x: Any, y: Any, weight: Any, bias: Any) -> None:
    if x.ndim != y.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {x.ndim} and {y.ndim}")
    for d, (a, b) in enumerate(zip(x.shape[:-1], y.shape[:-1], strict=True)):
        if a != b:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {d}: got {a} and {b}"
            )
    for k, t in ((1, x), (2, y)):
        if t.shape[-1] != weight.shape[k]:
            raise RuntimeError(
                f"bilinear(): input{k} size does not match weight size: got {t.shape[-1]} but "
                f"expected {weight.shape[k]}"
            )
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected "
            f"{weight.shape[0]}"
        )
    if not x.dtype is y.dtype is weight.dtype:
        names = [CPP_NAMES[t.dtype.name] for t in (x, y, weight)]
        raise RuntimeError(
            "All tensors must have the same dtype, got input1: {}, input2: {}, weight: {}".format(
                *names
            )
        )


# -- chains of products ----------------------------------------------------------------------------


def _cheapest_split(sizes: list[int]) -> Any:
    """Where to split each stretch of a chain of matrices, of sizes[i] x sizes[i + 1], for the
    fewest multiplications.
    """

    @functools.cache
    def cost(i: int, j: int) -> tuple[int, int]:
        if i == j:
            return 0, i
        return min(
            (cost(i, k)[0] + cost(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
            for k in range(i, j)
        )

    return lambda i, j: cost(i, j)[1]


def _chain(matrices: list) -> Any:
    sizes = [m.shape[0] for m in matrices] + [matrices[-1].shape[-1]]
    split = _cheapest_split(sizes)

    def product(i: int, j: int) -> Any:
        if i == j:
            return matrices[i]
        k = split(i, j)
        return matmul(product(i, k), product(k + 1, j))

    return product(0, len(matrices) - 1)


@function(method=False, namespace="linalg")
def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """Product of two or more matrices, in the order that takes the fewest multiplications; the ends
    may be vectors.
    """
    if isinstance(tensors, define.Tensor):
        raise TypeError(
            "linalg_multi_dot(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            "Tensor"
        )
    tensors = list(tensors)
    _check_list(tensors)
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    _check_chain(tensors)
    first, last = tensors[0].ndim, tensors[-1].ndim
    chain = [
        tensors[0].reshape((1, -1)) if first == 1 else tensors[0],
        *tensors[1:-1],
        tensors[-1].reshape((-1, 1)) if last == 1 else tensors[-1],
    ]
    for i in range(n - 1):
        if chain[i].shape[1] != chain[i + 1].shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(tensors[i].shape)} and "
                f"{list(tensors[i + 1].shape)} cannot be multiplied"
            )
    made = _chain(chain)
    shape = (*made.shape[: 1 if first == 2 else 0], *made.shape[1 if last == 2 else 2 :])
    return define.write_out(out, made.reshape(shape))


def _check_list(tensors: Any) -> None:
    for i, t in enumerate(tensors):
        if not isinstance(t, define.Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}"
            )


def _check_chain(tensors: list) -> None:
    for i, t in enumerate(tensors):
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{CPP_NAMES[tensors[0].dtype.name]} and tensor {i} {CPP_NAMES[t.dtype.name]}"
            )
    for i, word in ((0, "first"), (-1, "last")):
        if tensors[i].ndim not in (1, 2):
            raise RuntimeError(
                f"multi_dot(): the {word} tensor must be 1D or 2D but got {tensors[i].ndim}D"
            )
    for i, t in enumerate(tensors[1:-1]):
        if t.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {i + 1} must be 2D but got {t.ndim}D")


@function(method=False)
def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """Product of matrices, in the order that takes the fewest multiplications (`linalg.multi_dot`
    takes a list).
    """
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    _check_list(matrices)
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    if len(matrices) == 1:
        return define.write_out(out, matrices[0].clone())
    return multi_dot(matrices, out=out)
