"""Convolutions and poolings in compiled programs: what eager computes, by native code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import api, convolutions, direct
from chainrule.nn import functional as F


def compare(f: Callable, *given: Any, native: bool = True) -> Any:
    """A function's results, compiled and called three times, beside its eager ones; returns the
    compiled function.
    """
    compiled = cr.compile(f)
    for turn in range(3):
        args = [g * (1 + turn) if g.is_floating_point() else g for g in given]
        wanted = f(*args)
        for a, b in zip(compiled(*args), wanted, strict=True):
            found, right = a.numpy(), b.numpy()
            assert found.dtype == right.dtype and found.shape == right.shape
            most = max(np.abs(right[np.isfinite(right)]).max(initial=0), 1e-30)
            limit = (2e-5 if right.dtype == np.float32 else 1e-12) * most
            np.testing.assert_allclose(found, right, rtol=0, atol=limit)
    calls = [str(i) for e in compiled.entries for i in e.planner.python]
    assert len(compiled.entries) == 1 and (not native or calls == [])
    return compiled


def gradients(f: Callable) -> Callable:
    """A function's value, and its gradients in all arguments from a cotangent that varies."""

    def both(*given: Any) -> tuple:
        leaves = [g.detach().requires_grad_() for g in given]
        y = f(*leaves)
        (y * y * 0.5 + y).sum().backward()
        return (y.detach(), *[leaf.grad for leaf in leaves])

    return both


def convolution(dims: int, **settings: Any) -> Callable:
    f = getattr(F, f"conv{dims}d")
    return gradients(lambda x, w, *b: f(x, w, *b, **settings))


def given(seed: int, *shapes: tuple, dtype: Any = cr.float32) -> list:
    cr.manual_seed(seed)
    return [cr.randn(*s, dtype=dtype) for s in shapes]


def settings() -> Iterator[tuple]:
    """(dims, groups, channels in and out of a group, image, kernel, stride, padding, dilation)"""
    sizes = {1: ((11,), (3,)), 2: ((9, 8), (3, 2)), 3: ((6, 5, 7), (2, 3, 2))}
    for dims, (image, kernel) in sizes.items():
        for stride, padding, dilation in itertools.product((1, 2), (0, 1), (1, 2)):
            yield dims, 1, 3, 4, image, kernel, stride, padding, dilation
        yield dims, 2, 2, 3, image, kernel, 1, 1, 1
        yield dims, 3, 1, 1, image, kernel, 2, 1, 1


@pytest.mark.parametrize("case", list(settings()), ids=str)
def test_convolutions_and_their_gradients(case):
    dims, groups, c, o, image, kernel, stride, padding, dilation = case
    args = given(0, (2, groups * c, *image), (groups * o, c, *kernel), (groups * o,))
    f = convolution(dims, stride=stride, padding=padding, dilation=dilation, groups=groups)
    compare(f, *args)


@pytest.mark.parametrize(
    ("dims", "stride", "padding", "dilation", "more"),
    [(1, 2, 1, 1, 1), (2, 1, 0, 1, 0), (2, 2, 1, 1, 1), (2, 3, 1, 2, 2), (3, 2, 0, 1, 0)],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions(dims, stride, padding, dilation, more, groups):
    args = given(1, (2, 4, *(5,) * dims), (4, 3, *(3,) * dims), (3 * groups,), dtype=cr.float64)
    f = getattr(F, f"conv_transpose{dims}d")
    compare(
        gradients(
            lambda x, w, b: f(
                x,
                w,
                b,
                stride=stride,
                padding=padding,
                output_padding=more,
                groups=groups,
                dilation=dilation,
            )
        ),
        *args,
    )


SHAPES = [
    ("blocks of rows", (2, 8, 60, 50), (16, 8, 3, 3), {"padding": 1}),
    ("one image", (1, 8, 64, 64), (24, 8, 3, 3), {"padding": 1}),
    ("few positions", (40, 32, 4, 4), (24, 32, 3, 3), {"padding": 1}),
    ("one position", (9, 16, 3, 3), (24, 16, 3, 3), {}),
    ("a long signal in blocks", (2, 8, 9000), (8, 8, 9), {"padding": 4, "dilation": 2}),
    ("as they are", (3, 16, 20, 20), (8, 16, 1, 1), {}),
    ("every second", (3, 16, 20, 20), (8, 16, 1, 1), {"stride": 2}),
    ("few positions as they are", (20, 16, 5, 5), (8, 16, 1, 1), {}),
    ("depthwise", (3, 24, 20, 20), (24, 1, 3, 3), {"padding": 1, "groups": 24}),
    ("windows that leave some out", (2, 3, 14, 15), (4, 3, 3, 3), {"stride": 4}),
    ("more margin than image", (2, 3, 3, 3), (4, 3, 3, 3), {"padding": 4}),
    ("many channels", (2, 80, 12, 14), (45, 80, 3, 3), {"padding": 1}),
    ("volumes in blocks", (1, 4, 20, 18, 18), (8, 4, 3, 3, 3), {"padding": 1}),
]


@pytest.mark.parametrize(
    ("shape", "weight", "how"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES]
)
@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_convolutions_of_many_sizes(shape, weight, how, dtype):
    args = given(2, shape, weight, (weight[0],), dtype=dtype)
    compare(convolution(len(shape) - 2, **how), *args)


@pytest.mark.parametrize("registers", [(64, 32), (32, 16), (16, 32), (16, 16)])
def test_tiles_of_other_machines(registers, monkeypatch):
    monkeypatch.setattr(direct, "registers", lambda: registers)
    args = given(13, (2, 6, 20, 31), (10, 3, 3, 2), (10,))
    compiled = compare(convolution(2, padding=(1, 0), groups=2), *args)
    kinds = [type(r) for e in compiled.entries for r in e.planner.routines.values()]
    assert kinds == [direct.Direct, direct.Direct, direct.Weights]


def test_without_bias_and_without_batch():
    x, w = given(3, (3, 9, 9), (4, 3, 3, 3))
    compare(convolution(2, padding=1), x, w)


def test_operands_that_are_views():
    x, w = given(4, (9, 8, 3, 2), (3, 3, 3, 4))
    f = gradients(
        lambda x, w: F.conv2d(x.permute(3, 2, 0, 1), w.permute(3, 2, 0, 1)[1:], padding=1)
    )
    compare(f, x, w)


def test_other_dtypes_are_left_to_numpy():
    x, w = given(5, (2, 3, 8, 8), (4, 3, 3, 3), dtype=cr.complex64)
    compiled = cr.compile(lambda x, w: F.conv2d(x, w))
    wanted = F.conv2d(x, w).numpy()
    for _ in range(2):
        np.testing.assert_array_equal(compiled(x, w).numpy(), wanted)
    assert [i.name for e in compiled.entries for i in e.planner.python] == ["convolve"]


def test_gradients_of_gradients():
    x, w = given(6, (2, 3, 8, 8), (4, 3, 3, 3), dtype=cr.float64)

    def f(x, w):
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        y = F.conv2d(x, w, padding=1, stride=2).tanh().sum()
        gx, gw = cr.autograd.grad(y, (x, w), create_graph=True)
        ((gx * gx).sum() + (gw * gw).sum()).backward()
        return x.grad, w.grad

    compare(f, x, w)


def test_sums_over_images_are_the_same_for_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(api, "Trial", lambda *given: None)  # which would call the function, too
    args = given(7, (24, 16, 20, 20), (32, 16, 3, 3), (32,))
    f = convolution(2, padding=1)
    compiled, before, found = cr.compile(f, fullgraph=True), cr.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            cr.set_num_threads(threads)
            compiled(*args)
            found.append([t.numpy().tobytes() for t in compiled(*args)])
    finally:
        cr.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    (entry,) = compiled.entries
    kernels = [
        r
        for r in entry.planner.routines.values()
        if isinstance(r, (convolutions.Kernel, direct.Weights))
    ]
    assert [k.chunks > 1 for k in kernels] == [True]


# -- poolings --------------------------------------------------------------------------------------


POOLS = {
    "max": lambda x: F.max_pool2d(x, 2),
    "max with padding": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max that overlaps": lambda x: F.max_pool2d(x, 3, 1),
    "max dilated": lambda x: F.max_pool2d(x, 2, 2, dilation=2),
    "max to the end": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "mean": lambda x: F.avg_pool2d(x, 2),
    "mean with padding": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "mean of what is inside": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "adaptive mean": lambda x: F.adaptive_avg_pool2d(x, (4, 2)),
    "adaptive mean that overlaps": lambda x: F.adaptive_avg_pool2d(x, (3, 5)),
    "mean of all": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, (4, 2)),
    "norm": lambda x: F.lp_pool2d(x, 2.0, 2),
    "unfold": lambda x: F.unfold(x, 3, padding=1, stride=2),
    "fold": lambda x: F.fold(F.unfold(x, 3, padding=1), (8, 8), 3, padding=1),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("dtype", [cr.float32, cr.float64])
def test_poolings(name, dtype):
    (x,) = given(8, (3, 5, 8, 8), dtype=dtype)
    compare(gradients(POOLS[name]), x.abs() + 0.1 if name == "norm" else x)


def test_poolings_of_signals_and_volumes():
    x, y = given(9, (3, 4, 12), (2, 3, 6, 6, 6))
    compare(gradients(lambda x: F.max_pool1d(x, 3, 2)), x)
    compare(gradients(lambda x: F.avg_pool1d(x, 2)), x)
    compare(gradients(lambda x: F.max_pool3d(x, 2)), y)
    compare(gradients(lambda x: F.avg_pool3d(x, 2)), y)


@pytest.mark.parametrize("kernel", [(2, 2, 0), (3, 2, 1)])
def test_of_equals_the_first_is_picked_and_of_nans_the_last(kernel):
    rng = np.random.default_rng(10)
    x = rng.integers(0, 3, (4, 3, 8, 8)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.1] = -np.inf

    def f(x):
        x = x.detach().requires_grad_()
        y, places = F.max_pool2d(x, *kernel, return_indices=True)
        (y.nan_to_num(1.0, 2.0, 3.0) * cr.arange(y.numel()).reshape(y.shape)).sum().backward()
        return y.detach(), places, x.grad

    given = cr.from_numpy(x)
    compiled, wanted = cr.compile(f), f(given)
    for _ in range(2):
        for a, b in zip(compiled(given), wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_step_of_training():
    def model() -> Any:
        cr.manual_seed(11)
        layers = [cr.nn.Conv2d(3, 8, 3, padding=1), cr.nn.ReLU(), cr.nn.MaxPool2d(2)]
        layers += [cr.nn.Conv2d(8, 16, 3, padding=1), cr.nn.BatchNorm2d(16), cr.nn.ReLU()]
        return cr.nn.Sequential(
            *layers, cr.nn.AvgPool2d(2), cr.nn.Flatten(), cr.nn.Linear(16 * 16, 5)
        )

    x, y = given(12, (6, 3, 16, 16))[0], cr.arange(6) % 5

    def trained(wrap: Callable) -> tuple:
        net = model()
        optimizer = cr.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        step = wrap(step)
        losses = [step(x, y).item() for _ in range(4)]
        return losses, [p.detach().numpy() for p in net.parameters()], step

    losses, parameters, _ = trained(lambda f: f)
    found, others, step = trained(cr.compile)
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    for a, b in zip(others, parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert [str(i) for e in step.entries for i in e.planner.python] == []
