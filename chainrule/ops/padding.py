"""Padding: more elements around the edges, constant or taken from the tensor itself.

`pads` is torch's list: (before, after) of the last axis, then of the one before it, and so on; a
negative number takes elements away. Every mode is one axis at a time: [edge before, the elements,
edge after], where an edge is a slice or an index of the elements; so its transpose adds the
gradients of the edges back where they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY
from .convert import arranged
from .define import IMAGES, MOVE, function, op, scalar_name
from .places import put, put_add

Pads = Sequence[int]


def spans(pads: Pads, ndim: int) -> list[tuple[int, int]]:
    """(before, after) for each of the `ndim` axes, first axis first."""
    given = [(pads[i], pads[i + 1]) for i in range(0, len(pads), 2)]
    return [(0, 0)] * (ndim - len(given)) + given[::-1]


def surrounded(x: Any, pads: Pads, value: Any = 0) -> Any:
    """Array code: `x` with `value` around it."""
    x, around = cropped(x, pads)
    if not any(b or a for b, a in around):
        return x
    shape = tuple([n + b + a for n, (b, a) in zip(x.shape, around, strict=True)])
    inside = tuple([slice(b, b + n) for n, (b, _) in zip(x.shape, around, strict=True)])
    if value == 0:
        return put_add(x, inside, shape)
    return put(np.broadcast_to(np.array(value).astype(x.dtype), shape), x, inside)


def cropped(x: Any, pads: Pads) -> tuple[Any, list]:
    """`x` without what negative pads take away, and the pads that are left."""
    around = spans(pads, x.ndim)
    if any(p < 0 for p in pads):
        x = x[
            tuple(
                [
                    slice(max(-b, 0), n - max(-a, 0))
                    for n, (b, a) in zip(x.shape, around, strict=True)
                ]
            )
        ]
    return x, [(max(b, 0), max(a, 0)) for b, a in around]


@op(promote=MOVE, method=False, linear=True)
def constant_pad_nd(x: Any, /, pad: Any, value: Any = 0) -> Any:
    """The input with `value` around it: `pad` is (before, after) of the last dimension,
    then of the one before, and so on.
    """
    check_length(pad, x.ndim)
    for i, (n, (b, a)) in enumerate(zip(x.shape, spans(pad, x.ndim), strict=True)):
        if n + b + a < 0 or max(-b, 0) > n:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {b} and {a}, resulted in a negative "
                f"output size, which is invalid. Check dimension {i} of your input."
            )
    added = any(p > 0 for p in pad)
    return surrounded(x, pad, value) if added else arranged(surrounded(x, pad), None)


@constant_pad_nd.vjp
def _(g, pad):
    g = surrounded(g, [-p for p in pad])
    return g if any(p < 0 for p in pad) else arranged(g, None)


# -- edges taken from the elements -----------------------------------------------------------------


def _reflect(n: int, before: int, after: int) -> tuple:
    last = n - 2 - after if n - 2 >= after else None
    return slice(before, 0, -1), slice(n - 2, last, -1) if after else slice(0, 0)


def _replicate(n: int, before: int, after: int) -> tuple:
    return np.zeros(before, np.intp), np.full(after, n - 1, np.intp)


def _circular(n: int, before: int, after: int) -> tuple:
    return slice(n - before, n), slice(0, after)


EDGES: dict[str, Callable] = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}


def extended(x: Any, /, pads: Any, mode: str) -> Any:
    """The input with edges made of its own elements."""
    inner, outer = _halves(pads, mode)
    x = surrounded(x, inner) if any(inner) else x
    x = x if any(p > 0 for p in pads) else x.copy()
    for axis, (before, after) in enumerate(spans(outer, x.ndim)):
        if before or after:
            lead = (slice(None),) * axis
            first, last = EDGES[mode](x.shape[axis], before, after)
            x = np.concatenate([x[(*lead, first)], x, x[(*lead, last)]], axis=axis)
    if mode != "circular" and any(p < 0 for p in pads):
        x = surrounded(x, [min(p, 0) for p in pads])
    return x


def _halves(pads: Pads, mode: str) -> tuple[list, list]:
    """What is taken away before the edges are made, and the edges: only a circle closes
    over what is left.
    """
    taken = [min(p, 0) if mode == "circular" else 0 for p in pads]
    return taken, [max(p, 0) for p in pads]


def folded_back(g: Any, x_shape: tuple, pads: Any, mode: str) -> Any:
    """The transpose of `extended`."""
    inner, outer = _halves(pads, mode)
    if mode != "circular" and any(p < 0 for p in pads):
        g = surrounded(g, [-min(p, 0) for p in pads])
    for axis, (before, after) in enumerate(spans(outer, g.ndim)):
        if before or after:
            g = _fold_axis(g, axis, before, after, mode)
    return surrounded(g, [-p for p in inner]) if any(inner) else g


def _fold_axis(g: Any, axis: int, before: int, after: int, mode: str) -> Any:
    lead, n = (slice(None),) * axis, g.shape[axis] - before - after
    first, last = EDGES[mode](n, before, after)
    out = g[(*lead, slice(before, before + n))]
    for edge, part, count in (
        (first, slice(0, before), before),
        (last, slice(before + n, None), after),
    ):
        if count:
            out = out + put_add(g[(*lead, part)], (*lead, edge), out.shape)
    return out


def _edge_op(name: str, node: str) -> Callable:
    entry = op(
        extended,
        name=name,
        promote=MOVE,
        namespace="primitive",
        method=False,
        linear=True,
        node=node,
        rows=IMAGES,
    )
    entry.vjp(folded_back)
    return entry


NAMES = {"reflect": "reflection", "replicate": "replication", "circular": "circular"}
PADS = {
    (mode, n): _edge_op(f"{label}_pad{n}d", f"{label.title()}Pad{n}DBackward0")
    for mode, label in NAMES.items()
    for n in (1, 2, 3)
}


@function(method=False, namespace="nn.functional")
def pad(input: Any, pad: Pads, mode: str = "constant", value: float | None = None) -> Any:
    """The input with elements around it: (before, after) of the last dimension first; negative
    numbers take away.

    `mode`: 'constant' (`value`, or 0), 'reflect' (mirrored, the edge not repeated), 'replicate'
    (the edge repeated) or 'circular' (from the other side); the last three pad the last 1, 2 or 3
    dimensions behind one or two leading ones.
    """
    if not isinstance(pad, (tuple, list)):
        raise TypeError(
            f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}"
        )
    pad = tuple([int(p) for p in pad])
    check_length(pad, input.ndim)
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    n = len(pad) // 2
    if n not in (1, 2, 3) or input.ndim not in (n + 1, n + 2):
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {input.ndim}D input tensor."
        )
    if mode not in EDGES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    CHECKS[mode](input, pad, n)
    return PADS[mode, n](input, pad, mode)


def check_length(pad: Pads, ndim: int) -> None:
    """Raise torch's error for a list of pads that is odd or too long."""
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(pad)} and input of dimension {ndim}"
        )


def _check_edges(input: Any, pad: Pads, n: int, mode: str) -> None:
    shape = list(input.shape)
    if 0 in shape[-n - 1 :]:
        raise RuntimeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with possibly 0 batch size and "
            f"other non-zero dimensions for input, but got: {shape}"
        )
    if input.dtype.category == 0:
        raise NotImplementedError(
            f'"{NAMES[mode]}_pad{n}d" not implemented for '
            f"'{scalar_name(FROM_NUMPY[input._data.dtype])}'"
        )
    for i in range(n):
        size, (b, a) = shape[-1 - i], pad[2 * i : 2 * i + 2]
        if mode == "reflect" and (b >= size or a >= size):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, "
                f"but got: padding ({b}, {a}) at dimension {len(shape) - 1 - i} of input {shape}"
            )
        if size + b + a < 1:
            axis = "WHD"[i]
            raise RuntimeError(
                f"input ({axis}: {size}) is too small. Calculated output {axis}: {size + b + a}"
            )


def _check_circle(input: Any, pad: Pads, n: int) -> None:
    for i in range(n):
        size, (b, a) = input.shape[-1 - i], pad[2 * i : 2 * i + 2]
        if b > size or a > size:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if size + b + a < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")


CHECKS: dict[str, Callable] = {
    "reflect": partial(_check_edges, mode="reflect"),
    "replicate": partial(_check_edges, mode="replicate"),
    "circular": _check_circle,
}
