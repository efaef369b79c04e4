"""Every mode of differentiation of one call, each held to another way to the same number.

For a function of arrays and inputs to vary:

- jvp: <u, J v> is <J^T u, v>;
- jvp of grad: the same of the pullback, a function of the inputs and the weights;
- vmap, vmap of grad, vmap of jvp: a loop over the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule
from chainrule import func

from .differences import array_of, draw, product, tensor, tensors_in

EXAMPLES = 3


def floating(outs: Sequence) -> list:
    """The results that can have a derivative."""
    return [t for t in outs if t.is_floating_point() or t.is_complex()]


def outputs(function: Callable) -> Callable:
    """The function, returning the tuple of its floating results."""
    return lambda *xs: tuple(floating(tensors_in(function(*xs))))


def pullback(function: Callable, count: int) -> Callable:
    """(inputs, weights) -> the gradients of the weighted results in the inputs."""

    def pulled(*both: Any) -> tuple:
        out, back = func.vjp(outputs(function), *both[:count])
        return back(tuple(both[count : count + len(out)]))

    return pulled


def jvp(function: Callable, inputs: list, tolerance: float) -> str | None:
    """What is wrong with forward mode."""
    random = np.random.RandomState(1)
    f, xs = outputs(function), [tensor(x) for x in inputs]
    vs = [tensor(draw(random, x)) for x in inputs]
    expected = [array_of(t) for t in f(*xs)]
    outs, tangents = func.jvp(f, tuple(xs), tuple(vs))
    for o, t, e in zip(outs, tangents, expected, strict=True):
        if not _close(array_of(o), e, tolerance) or t.shape != o.shape or t.dtype != o.dtype:
            return "the value is another one"
    us = [draw(random, e) for e in expected]
    grads = pullback(function, len(xs))(*xs, *map(tensor, us))
    forward = sum(product(u, array_of(t)) for u, t in zip(us, tangents, strict=True))
    backward = [product(array_of(v), array_of(g)) for v, g in zip(vs, grads, strict=True)]
    scale = 1 + sum(map(abs, backward)) + sum(float(np.abs(array_of(g)).sum()) for g in grads)
    if abs(forward - sum(backward)) <= tolerance * scale:
        return None
    return f"<u, Jv> = {forward:.9g}, <J^T u, v> = {sum(backward):.9g}"


def jvp_of_grad(function: Callable, inputs: list, tolerance: float) -> str | None:
    """What is wrong with forward mode over reverse mode."""
    random = np.random.RandomState(2)
    weights = [draw(random, array_of(t)) for t in outputs(function)(*map(tensor, inputs))]
    return jvp(pullback(function, len(inputs)), [*inputs, *weights], tolerance)


def vmap(function: Callable, inputs: list, tolerance: float) -> str | None:
    """What is wrong with vmap."""
    batches = [_examples(x) for x in inputs]

    def all_outputs(*xs: Any) -> tuple:
        return tuple(tensors_in(function(*xs)))

    expected = [
        [array_of(t) for t in all_outputs(*[tensor(b[i]) for b in batches])]
        for i in range(EXAMPLES)
    ]
    got = [array_of(t) for t in func.vmap(all_outputs)(*map(tensor, batches))]
    for k, column in enumerate(zip(*expected, strict=True)):
        rows = np.stack(column)
        if got[k].shape != rows.shape or got[k].dtype != rows.dtype:
            return f"result {k}: {got[k].dtype}{got[k].shape}, a loop {rows.dtype}{rows.shape}"
        if not _close(got[k], rows, tolerance):
            return f"result {k} differs from a loop by {np.nanmax(np.abs(got[k] - rows)):.3g}"
    return None


def vmap_of_grad(function: Callable, inputs: list, tolerance: float) -> str | None:
    """What is wrong with vmap over reverse mode."""
    random = np.random.RandomState(3)
    weights = [draw(random, array_of(t)) for t in outputs(function)(*map(tensor, inputs))]
    return vmap(pullback(function, len(inputs)), [*inputs, *weights], tolerance)


def vmap_of_jvp(function: Callable, inputs: list, tolerance: float) -> str | None:
    """What is wrong with vmap over forward mode."""
    random = np.random.RandomState(4)
    count = len(inputs)

    def pushed(*both: Any) -> tuple:
        out, tangents = func.jvp(outputs(function), both[:count], both[count:])
        return (*out, *tangents)

    return vmap(pushed, [*inputs, *[draw(random, x) for x in inputs]], tolerance)


MODES: dict[str, Callable] = {
    "jvp": jvp,
    "jvp of grad": jvp_of_grad,
    "vmap": vmap,
    "vmap of grad": vmap_of_grad,
    "vmap of jvp": vmap_of_jvp,
}


def _examples(x: np.ndarray) -> np.ndarray:
    """Examples like an input: the input itself, and others near it (so that they are in the domain
    as well).
    """
    x = np.asarray(x)
    if x.dtype.kind not in "fc":
        return np.stack([x] * EXAMPLES)
    return np.stack([x, x * x.real.dtype.type(1.03125), x * x.real.dtype.type(0.96875)])


def _close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    scale = np.max(np.abs(b), initial=0, where=np.isfinite(b)) if b.dtype.kind in "fc" else 1
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= tolerance * (1 + scale) if b.dtype.kind != "b" else a == b
    same = (a == b) | ((a != a) & (b != b))
    return bool((near | same).all())


def complaint(mode: str, function: Callable, inputs: list, tolerance: float) -> str | None:
    """What is wrong with a mode for a call, or None."""
    chainrule.manual_seed(0)
    try:
        return MODES[mode](function, inputs, tolerance)
    except Exception as e:
        return f"raised {type(e).__name__}: {e}"
