"""The three convolution primitives held to their defining sum, in portions of every size, and under
vmap and forward mode.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import chainrule
from chainrule.func import jvp, vmap
from chainrule.nn import functional as F
from chainrule.ops import conv

# (examples, groups, image channels, response channels, image, kernel, stride, padding, dilation)
SHAPES = (
    (5, 1, 2, 3, (6,), (3,), (1,), (1,), (1,)),
    (4, 2, 4, 6, (5, 4), (2, 3), (2, 1), (0, 1), (1, 1)),
    (3, 3, 3, 3, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
    (3, 1, 1, 5, (6, 5), (2, 2), (1, 2), (1, 0), (2, 1)),
    (2, 1, 3, 2, (3, 4), (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 1, 2, 2, (3, 4, 3), (2, 2, 2), (1, 2, 1), (1, 1, 0), (1, 1, 2)),
)
# (positions worth a product of their own, numbers that fit the cache)
PORTIONS = ((256, 2**21), (1, 1), (1, 300), (10**6, 300))


def drawn(shape: tuple) -> tuple:
    """Image, kernel and response for a row of SHAPES, and the arguments after `size`."""
    n, groups, c, o, image, kernel, stride, padding, dilation = shape
    random = np.random.RandomState(n)
    rows = zip(image, kernel, stride, padding, dilation, strict=True)
    size = tuple((a + 2 * p - d * (k - 1) - 1) // s + 1 for a, k, s, p, d in rows)
    x = random.standard_normal((n, c, *image))
    w = random.standard_normal((o, c // groups, *kernel))
    y = random.standard_normal((n, o, *size))
    return x, w, y, (stride, padding, dilation, groups)


def terms(x: np.ndarray, w: np.ndarray, y: np.ndarray, settings: tuple):
    """The indices (of x, w, y) of all products in the sum that defines a convolution."""
    stride, padding, dilation, groups = settings
    per_group = w.shape[0] // groups
    for n, o, c in product(range(x.shape[0]), range(w.shape[0]), range(w.shape[1])):
        channel = o // per_group * w.shape[1] + c
        for k in np.ndindex(*w.shape[2:]):
            for p in np.ndindex(*y.shape[2:]):
                rows = zip(p, stride, k, dilation, padding, strict=True)
                at = tuple(a * s + b * d - m for a, s, b, d, m in rows)
                if all(0 <= a < size for a, size in zip(at, x.shape[2:], strict=True)):
                    yield (n, channel, *at), (o, c, *k), (n, o, *p)


@pytest.mark.parametrize("portion", PORTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_primitives_are_their_sum(shape: tuple, portion: tuple, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conv, "WORTH", portion[0])
    monkeypatch.setattr(conv, "CACHED", portion[1])
    x, w, y, settings = drawn(shape)
    image, kernel, response = np.zeros_like(x), np.zeros_like(w), np.zeros_like(y)
    for i, j, k in terms(x, w, y, settings):
        image[i] += w[j] * y[k]
        kernel[j] += x[i] * y[k]
        response[k] += x[i] * w[j]
    np.testing.assert_allclose(conv.convolve(x, w, None, y.shape[2:], *settings), response)
    np.testing.assert_allclose(conv.convolve_back(y, w, None, x.shape[2:], *settings), image)
    np.testing.assert_allclose(conv.convolve_kernel(x, y, w.shape[2:], *settings), kernel)


def calls(shape: tuple):
    """A convolution and a transposed one with a bias, as functions of tensors, and their inputs."""
    x, w, y, (stride, padding, dilation, groups) = drawn(shape)
    name = f"{len(stride)}d"
    forward = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    random = np.random.RandomState(1)
    biases = random.standard_normal(w.shape[0]), random.standard_normal(w.shape[1] * groups)
    yield lambda *a: getattr(F, f"conv{name}")(*a, **forward), (x, w, biases[0])
    yield lambda *a: getattr(F, f"conv_transpose{name}")(*a, **forward), (y, w, biases[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batched", [(0, None, None), (None, 0, None), (0, 0, 0), (0, None, 0)])
def test_vmap_is_a_loop(shape: tuple, batched: tuple):
    for f, arrays in calls(shape):
        inputs = [
            chainrule.tensor(a if dim is None else np.stack([a, -2 * a]))
            for a, dim in zip(arrays, batched, strict=True)
        ]
        one_by_one = [
            f(*[t if d is None else t[i] for t, d in zip(inputs, batched, strict=True)])
            for i in range(2)
        ]
        found = vmap(f, in_dims=batched)(*inputs)
        np.testing.assert_allclose(found.numpy(), chainrule.stack(one_by_one).numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_mode_is_the_difference(shape: tuple):
    for f, arrays in calls(shape):
        inputs = tuple(chainrule.tensor(a) for a in arrays)
        tangents = tuple(
            chainrule.tensor(np.cos(np.arange(a.size).reshape(a.shape))) for a in arrays
        )
        _, found = jvp(f, inputs, tangents)
        ahead, behind = (
            f(*[a + h * t for a, t in zip(inputs, tangents, strict=True)]) for h in (1e-5, -1e-5)
        )
        np.testing.assert_allclose(found.numpy(), ((ahead - behind) / 2e-5).numpy(), atol=1e-6)
