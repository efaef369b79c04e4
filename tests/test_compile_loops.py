"""What compiled loops and products are made of: our own product kernel, arrays in zeros, rows that
were split, masked maxima, the clock's notes. Each beside NumPy or the same function not compiled.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.compiler import blas, products, runtime
from chainrule.compiler.api import Compiled, compile
from chainrule.compiler.fuse import Nest
from chainrule.compiler.machine import registers
from chainrule.compiler.runtime import Plan, Record

F = nn.functional
KINDS = {"f32": (np.float32, 2e-4), "f64": (np.float64, 1e-11)}


def numbers(seed: int, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def nests(compiled: Compiled) -> list[Nest]:
    """The loop nests of what was compiled last."""
    return [g for g in compiled.entries[-1].planner.groups if isinstance(g, Nest)]


def agree(f: Callable, *args: torch.Tensor) -> Compiled:
    """Compile a function; its results and its gradients have to be those it has without that."""

    def gradients(*args: torch.Tensor) -> Any:
        out = f(*args)
        out.square().sum().backward()
        return out, [a.grad for a in args]

    found = []
    compiled = compile(gradients)
    for run in (gradients, compiled, compiled):
        given = [copy.deepcopy(a) for a in args]
        found.append(run(*given))
    for out, grads in found[1:]:
        for a, b in zip([out, *grads], [found[0][0], *found[0][1]], strict=True):
            limit = 1e-5 * max(1, float(b.detach().abs().max()))
            np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-5, atol=limit)
    assert compiled.entries
    return compiled


def leaf(seed: int, *shape: int) -> torch.Tensor:
    return torch.tensor(numbers(seed, *shape), requires_grad=True)


# -- products --------------------------------------------------------------------------------------


def multiplied(kind: str, m: int, n: int, k: int, how: dict, grain: int, split: int) -> Any:
    """(what our kernel makes of parts of larger matrices, what NumPy does)."""
    dtype = KINDS[kind][0]
    opa, opb, beta = how["opa"], how["opb"], how["beta"]
    a = numbers(1, *((k, m + 3) if opa else (m, k + 3)), dtype=dtype)
    b = numbers(2, *((n, k + 2) if opb else (k, n + 2)), dtype=dtype)
    c = numbers(3, m, n + 1, dtype=dtype)
    x = (a[:, :m] if opa else a[:, :k]).T if opa else a[:, :k]
    y = b[:, :k].T if opb else b[:, :n]
    wanted = c.copy()
    wanted[:, 1:] = x @ y + beta * c[:, 1:]
    params = blas.gemm_params(
        *(m, n, k),
        **dict(lda=a.shape[1], ldb=b.shape[1], ldc=n + 1, offsets=(0, 0, 1), split=split, **how),
    )
    record = Record(products.address(kind), (0, 1, 2), params, (m, n)[split], grain)
    Plan([record], 3, (0, 1, 2)).run(a, b, c)
    return c, wanted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opa", [0, 1])
@pytest.mark.parametrize("opb", [0, 1])
@pytest.mark.parametrize("beta", [0, 1])
def test_own_product(kind: str, opa: int, opb: int, beta: int):
    """Sizes that no tile divides, and more rows of B than are packed at a time."""
    if registers()[0] != 64:
        assert not products.serves(kind, 64, 64, 64)
        return
    how = {"opa": opa, "opb": opb, "beta": beta}
    for m, n, k in ((8, 32, 8), (13, 45, 21), (70, 33, 300), (1, 1, 1)):
        for split in (blas.ROWS, blas.COLUMNS):
            found, wanted = multiplied(kind, m, n, k, how, 16, split)
            np.testing.assert_allclose(found, wanted, rtol=KINDS[kind][1], atol=KINDS[kind][1])


def test_own_product_has_the_same_bits_however_it_is_cut():
    if registers()[0] != 64:
        assert not products.serves("f32", 64, 64, 64)
        return
    how = {"opa": 0, "opb": 1, "beta": 0}
    made = [
        multiplied("f32", 64, 96, 400, how, grain, split)[0]
        for grain, split in ((64, blas.ROWS), (8, blas.ROWS), (32, blas.COLUMNS))
    ]
    assert (made[0] == made[1]).all() and (made[0] == made[2]).all()


def test_which_products_are_ours():
    """Not those whose tiles would be mostly empty, nor those that do not stay in the cache."""
    assert products.serves("f32", 512, 128, 512) == (registers()[0] == 64)
    assert not products.serves("f32", 512, 3, 512)
    assert not products.serves("f32", 2, 512, 512)
    assert not products.serves("f32", 1 << 16, 512, 512)
    assert not products.serves("c64", 512, 128, 512)


def test_attention_and_layers_in_batches():
    """Products of parts of arrays, by heads inside of samples."""

    def attend(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        q, k, v = (x @ w).view(4, 24, 3, 2, 16).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(4, 24, 32)

    agree(attend, leaf(0, 4, 24, 32), leaf(1, 32, 96))


# -- arrays in zeros -------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [(1, 1), (2, 0, 0, 3), (0, 0, 1, 2, 1, 0), (0, 5), (40, 40)])
def test_what_is_padded_is_written_where_it_belongs(padding: tuple):
    def f(x: torch.Tensor) -> torch.Tensor:
        y = F.pad(x * x + 1, padding)
        return y[..., 1:] - y[..., :-1]

    compiled = agree(f, leaf(0, 3, 9, 17))
    names = [g.members[0].name for g in compiled.entries[-1].planner.groups]
    assert ("frame" in names) == (padding != (40, 40))  # mostly zeros are no frame


def test_padding_again_and_again():
    """Zeros are written just before what they surround, so that two memories serve all steps, and
    not where the step before the last has written them.
    """

    def heat(u: torch.Tensor) -> torch.Tensor:
        for _ in range(8):
            inner = u[1:-1, 1:-1]
            around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
            u = F.pad(inner + 0.2 * (around - 4 * inner), (1, 1, 1, 1))
        return u

    compiled = agree(heat, leaf(0, 40, 70))
    assert compiled.entries[-1].planner.arena < 6 * 40 * 70 * 4
    frames = [g for g in compiled.entries[-1].planner.groups if g.members[0].name == "frame"]
    assert len(frames) >= 8
    assert len(compiled.entries[-1].planner.needless) >= 6


def test_zeros_are_written_again_after_other_numbers():
    """Memory with a frame of zeros goes to something else in between, or to another frame."""

    def f(u: torch.Tensor) -> torch.Tensor:
        for n, pad in enumerate([(1, 1, 1, 1), (1, 1, 1, 1), (2, 0, 0, 2), (0, 2, 1, 1)] * 3):
            cut = u[pad[2] : u.shape[0] - pad[3], pad[0] : u.shape[1] - pad[1]]
            u = F.pad(cut * 0.5 + 1, pad)
            u = u + u.sin() if n % 3 == 0 else u.cumsum(0) * 0.01 if n % 5 == 4 else u
        return u

    compiled = agree(f, leaf(0, 40, 70))
    assert compiled.entries[-1].planner.needless


def test_padding_of_what_is_wanted_besides():
    def f(x: torch.Tensor) -> torch.Tensor:
        y = x.exp()
        return F.pad(y, (1, 1))[:, 2:] + y

    agree(f, leaf(0, 5, 8))


@pytest.mark.parametrize("shape", [(5, 70), (3, 4, 33), (2, 3, 4), (70, 5)])
def test_gradients_of_slices(shape: tuple):
    """Sums of arrays in zeros, which know their edges in all dimensions."""

    def f(x: torch.Tensor) -> torch.Tensor:
        y = x[..., 1:] * x[..., :-1]
        return y[1:] + 2 * y[:-1]

    agree(f, leaf(0, *shape))


# -- rows that were split --------------------------------------------------------------------------


def test_rows_that_were_split_are_one_loop():
    """A linear layer of (batch, time, width) is a product of rows: bias, activation, the rest of
    the block and the gradient of the bias take those rows as they are.
    """

    def f(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.tanh(F.linear(x, w, b)) + x

    args = leaf(0, 4, 6, 8), leaf(1, 8, 8), leaf(2, 8)
    compiled = agree(f, *args)
    assert {g.dims for g in nests(compiled) if len(g.members) > 1} == {(24, 8)}


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (1, 2), (0, 2), -1])
@pytest.mark.parametrize("keep", [False, True])
def test_reductions_of_split_rows(axis: Any, keep: bool):
    def f(x: torch.Tensor) -> torch.Tensor:
        y = (x * 2).reshape(4, 6, 8).sin()
        if axis is None:
            return y.sum()
        return (y * y.sum(axis, keepdim=True)).sum(axis, keepdim=keep)

    agree(f, leaf(0, 24, 8))


def test_split_rows_and_what_varies_along_them():
    def f(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        y = (x * 2).reshape(4, 6, 8) + places
        return (y.transpose(1, 2) * 3).reshape(4, 48) + x.reshape(4, 48)

    agree(f, leaf(0, 24, 8), leaf(1, 6, 8))


def test_weight_decay_is_part_of_the_update():
    layer = nn.Linear(64, 32)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)

    def step(x: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = layer(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled = compile(step)
    compiled(torch.tensor(numbers(0, 16, 64)))
    assert len([g for g in nests(compiled) if g.dims == (32, 64)]) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("order", [(1, 0), (2, 1, 0), (1, 2, 0), (0, 2, 1), (1, 0, 2)])
def test_results_that_lie_the_other_way(dtype: torch.dtype, order: tuple):
    """Copied in squares, none of which need be full."""
    shape = (67, 81) if len(order) == 2 else (37, 3, 49)
    x = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype)

    def f(x: torch.Tensor) -> torch.Tensor:
        return (x * 2 + 1).permute(order).contiguous()

    compiled = compile(f)
    for _ in range(2):
        y = compiled(x)
        assert y.dtype == dtype and y.shape == f(x).shape
        np.testing.assert_array_equal(y, f(x))
    names = [g.members[0].name for g in compiled.entries[0].planner.groups]
    squares = registers()[0] == 64 and order[-1] != len(order) - 1 and dtype != torch.int64
    squares = squares and y.shape[-1] >= 16  # others are not full enough
    assert ("turned" in names) == squares


# -- loops -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_softmax(dtype: torch.dtype):
    """With rows of which nothing, or one number, is left."""
    mask = torch.tril(torch.ones(40, 40, dtype=torch.bool), -1)
    x = torch.tensor(numbers(0, 3, 40, 40)).to(dtype)

    def f(x: torch.Tensor) -> tuple:
        y = torch.where(mask, x, float("-inf"))
        low = torch.where(mask, x, float("inf"))
        return y.amax(-1), low.amin(-1), torch.softmax(y, -1)[:, 1:], torch.exp(y)

    compiled = compile(f)
    for _ in range(2):
        for a, b in zip(compiled(x), f(x), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == torch.float32 else 1e-13)
    assert any("load volatile" in t for t in compiled.entries[0].planner.kernel_texts())


def test_maxima_of_nan_and_zeros():
    x = torch.tensor([[0.0, -0.0], [float("nan"), 1.0], [1.0, float("nan")], [-2.0, -3.0]])
    compiled = compile(lambda x: (x.amax(1), x.amin(1)))
    for _ in range(2):
        high, low = compiled(x)
        np.testing.assert_array_equal(high, [0, np.nan, np.nan, -2])
        np.testing.assert_array_equal(low, [0, np.nan, np.nan, -3])


# -- the runtime -----------------------------------------------------------------------------------


def test_clock_notes_when_each_record_ended():
    nothing = runtime.kernel("cr.nothing")
    plan = Plan([Record(nothing)] * 5, 1)
    times = plan.timed()
    assert times.shape == (5,) and (np.diff(times) >= 0).all() and times[0] > 0
    again = plan.timed()
    assert again[0] >= times[-1]
    plan.run()


def test_chunks_beyond_what_a_ticket_counts():
    """Larger ones are made of them."""
    record = Record(runtime.kernel("cr.nothing"), (), (), 1 << 20, 1)
    plan = Plan([record], 1)
    assert plan.records[0, 3] == 1 << 20 and plan.records[0, 4] > 1
    plan.run()


def test_kept_plans_find_the_product_kernel(tmp_path: Path):
    """In a process that has planned nothing itself: neither our product nor a loop is compiled."""
    program = """
import numpy as np
import chainrule as torch
from chainrule.compiler import machine

compiled, made = torch.compile(lambda x, y: (x @ y).tanh()), []
plain = machine.compiled
machine.compiled = lambda *args: made.append(1) or plain(*args)
x = torch.tensor(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))
for _ in range(2):
    assert np.allclose(compiled(x, x), (x @ x).tanh(), atol=1e-5)
assert len(compiled.entries) == 1
print(len(made))
"""
    environment = {**os.environ, "CHAINRULE_CACHE": str(tmp_path)}
    counts = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert int(counts[0]) > 0 and int(counts[1]) == 0


def test_one_memory_read_as_two_dtypes():
    def f(x: torch.Tensor) -> tuple:
        total, bits = x.amax(), x.view(torch.int32)
        return x * 2, bits ^ 1, total.view(torch.int32) ^ bits, total + x

    compiled, x = compile(f), torch.tensor(numbers(3, 300, 20))
    for found, wanted in zip(compiled(x), f(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert compiled.entries and not compiled.eager


def test_what_is_taken_of_a_number():
    """Its gradient is put back into an array without axes: zeros around nothing."""
    index = torch.zeros(1, dtype=torch.int64)
    agree(lambda x: x.index_select(0, index).exp() + x, torch.tensor(0.5, requires_grad=True))


def test_a_view_of_what_was_broadcast():
    """Values of a program lie row by row, even where NumPy has them broadcast."""

    def f(x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex(x[..., None].expand(*x.shape, 2).contiguous())

    compiled, x = compile(f), torch.tensor(numbers(0, 5))
    assert compiled(x).equal(f(x)) and compiled(x).equal(f(x))
    (found,) = compiled.entries[0].planner.program.run([x.numpy()])
    np.testing.assert_array_equal(np.asarray(found).ravel(), f(x))


def test_memory_that_grows_is_not_captured():
    def f(x: torch.Tensor, y: torch.Tensor) -> None:
        row = x[0]
        torch.add(row, y, out=row)

    compiled, x, y = compile(f), torch.tensor(numbers(0, 5, 2)), torch.ones(5, 2)
    again = x.clone()
    f(x, y)
    with pytest.warns(UserWarning, match="resize_"):
        compiled(again, y)
    assert x.equal(again)


def test_layouts_of_images_made_larger():
    seen = []

    def f(x: torch.Tensor) -> torch.Tensor:
        seen.append(F.interpolate(x[None], scale_factor=2).stride())
        return x * 2

    x = torch.tensor(numbers(0, 17, 4))
    f(x), compile(f)(x)
    assert seen[0] == seen[1] == (136, 8, 1)


def test_elements_at_places_that_they_are():
    f = compile(lambda x: x.take(x) + 0)
    for numbers_ in ([1, 0], [0, 1], [-1, 0], [1, -2]):
        x = torch.tensor(numbers_)
        assert f(x).tolist() == x.take(x).tolist()
    assert f.entries
