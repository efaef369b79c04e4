"""Derivatives held to finite differences, along random directions.

The outputs of a function are weighted and summed to one number L. Along a random direction v of all
inputs together, (L(x + h v) - L(x - h v)) / 2h must be the product of the gradient with v: one
number for the whole gradient, which a mistake in any element spoils. Only a mistake is looked for
element by element. The gradient is then itself such a function, of the inputs and the weights, and
is checked in the same way.

Complex gradients follow torch: for real L, dL = Re(sum conj(gradient) dx).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule

STEP = 1e-6
Arrays = list[np.ndarray]


def check(
    function: Callable[..., Any],
    inputs: Sequence[np.ndarray],
    tolerance: float = 2e-6,
    second: bool = True,
) -> str | None:
    """What is wrong with the gradient of `function` (tensors to tensors) at `inputs`, or None."""
    random = np.random.RandomState(len(inputs))
    inputs = [np.array(x) for x in inputs]
    outs = [array_of(o) for o in outputs_of(function, leaves(inputs))]
    if not outs or not inputs:
        return None
    weights = [draw(random, o) for o in outs]
    complaint = first_order(function, inputs, weights, random, tolerance)
    if complaint is not None or not second:
        return complaint
    count = len(inputs)

    def gradient(*both: Any) -> list:
        return [g for g in gradients(function, both[:count], both[count:]) if g.requires_grad]

    with_weights = [*inputs, *weights]
    seconds = [draw(random, g) for g in map(array_of, gradient(*leaves(with_weights)))]
    if not seconds:  # the gradient is constant
        return None
    complaint = first_order(gradient, with_weights, seconds, random, tolerance * 5)
    return complaint and f"second order: {complaint}"


def first_order(
    function: Callable, inputs: Arrays, weights: Arrays, random: Any, tolerance: float
) -> str | None:
    """Compare the gradient of the weighted outputs with a difference along one direction."""
    xs = leaves(inputs)
    found = [array_of(g) for g in gradients(function, xs, [tensor(w) for w in weights])]
    for x, g in zip(inputs, found, strict=True):
        if g.shape != x.shape or g.dtype != x.dtype:
            return f"gradient {g.dtype}{list(g.shape)} for an input {x.dtype}{list(x.shape)}"
    direction = [draw(random, x) for x in inputs]
    expected = difference(function, inputs, weights, direction)
    got = sum(product(g, d) for g, d in zip(found, direction, strict=True))
    scale = sum(float(np.abs(g * d).sum()) for g, d in zip(found, direction, strict=True))
    if abs(got - expected) <= tolerance * (1 + scale):
        return None
    return (
        worst(function, inputs, weights, found)
        or f"{got:.9g} along a direction, differences give {expected:.9g}"
    )


def worst(function: Callable, inputs: Arrays, weights: Arrays, found: Arrays) -> str | None:
    """The element of the gradient that differs most from differences."""
    off, text = 0.0, None
    for k, x in enumerate(inputs):
        for place in np.ndindex(x.shape):
            for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
                direction = [np.zeros_like(y) for y in inputs]
                direction[k][place] = unit
                expected = difference(function, inputs, weights, direction)
                got = product(found[k], direction[k])
                if not abs(got - expected) <= off:
                    off = abs(got - expected)
                    at = f"input {k} at {place} ({x[place]:.6g})"
                    text = f"{at}: gradient {got:.9g}, differences give {expected:.9g}"
    return text


def difference(function: Callable, inputs: Arrays, weights: Arrays, direction: Arrays) -> float:
    """The slope of the weighted outputs along a direction."""
    up, down = ([x + s * STEP * d for x, d in zip(inputs, direction, strict=True)] for s in (1, -1))
    return (weighted(function, up, weights) - weighted(function, down, weights)) / (2 * STEP)


def weighted(function: Callable, inputs: Arrays, weights: Arrays) -> float:
    """The real part of the outputs' product with the weights."""
    outs = outputs_of(function, leaves(inputs))
    return sum(product(w, array_of(o)) for w, o in zip(weights, outs, strict=True))


def gradients(function: Callable, inputs: Sequence, weights: Sequence) -> list:
    """The gradients of the weighted outputs in each input, zeros where there is no dependence."""
    outs = outputs_of(function, inputs)
    return list(
        chainrule.autograd.grad(outs, inputs, weights, create_graph=True, materialize_grads=True)
    )


def outputs_of(function: Callable, inputs: Sequence) -> list:
    """The outputs that depend differentiably on the inputs."""
    return [t for t in tensors_in(function(*inputs)) if t.requires_grad]


def tensors_in(x: Any) -> list:
    """The tensors among nested sequences."""
    if isinstance(x, chainrule.Tensor):
        return [x]
    return [t for e in x for t in tensors_in(e)] if isinstance(x, (tuple, list)) else []


def product(a: np.ndarray, b: np.ndarray) -> float:
    """Re(sum conj(a) b)."""
    return float(np.real(np.vdot(a, b)))


def draw(random: Any, like: np.ndarray) -> np.ndarray:
    """Random weights for an array."""
    real, imag = random.uniform(-1, 1, (2, *like.shape))
    return np.asarray(real + 1j * imag if like.dtype.kind == "c" else real).astype(like.dtype)


def leaves(arrays: Arrays) -> list:
    """Tensors with the values of arrays, differentiated."""
    return [tensor(a).requires_grad_() for a in arrays]


def tensor(array: np.ndarray) -> Any:
    """A tensor that looks at an array's memory, with its strides."""
    return chainrule.from_numpy(np.asarray(array))


def array_of(t: Any) -> np.ndarray:
    """A tensor's values."""
    return t.detach().numpy()
