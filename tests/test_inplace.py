"""Views, in-place writes and version counters against what torch does (tests/golden/inplace.json).

A case is a short program. It shows what it did with `see(...)` and, for what must fail,
`fails(function)`; an error that is not caught ends it. `observe` runs a program on either library
and returns all that it showed.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

import chainrule
import chainrule as torch

GOLDEN = Path(__file__).parent / "golden" / "inplace.json"
LEADING = 50  # how much of an error's text is compared


def observe(source, torch):
    """What the program `source` shows when it runs on the library `torch`."""
    seen = []

    def see(*things):
        seen.append(" ; ".join(describe(t, torch) for t in things))

    def fails(function):
        try:
            see(function())
        except Exception as e:
            seen.append(complaint(e))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(source, {"torch": torch, "np": np, "see": see, "fails": fails})
        except Exception as e:
            seen.append(complaint(e))
    return seen


def complaint(error):
    """The class an error can be caught by, and how its text begins."""
    builtin = next(c for c in type(error).__mro__ if c.__module__ == "builtins")
    return f"{builtin.__name__}: {str(error)[:LEADING]}"


def describe(thing, torch):
    """A tensor's values, node and flags; of anything else what it prints."""
    if isinstance(thing, (list, tuple)) and not isinstance(thing, torch.Size):
        return "(" + ", ".join(describe(t, torch) for t in thing) + ")"
    if not isinstance(thing, torch.Tensor):
        return str(thing)
    flags = [
        name
        for name, on in (
            ("leaf", thing.is_leaf),
            ("grad", thing.requires_grad),
            ("view", thing._base is not None),
        )
        if on
    ]
    node = "" if thing.grad_fn is None else f" {type(thing.grad_fn).__name__}"
    kind = "" if thing.dtype is torch.float32 else f" {str(thing.dtype).split('.')[-1]}"
    return f"{rounded(thing.detach().tolist())}{kind}{node} {' '.join(flags)}".rstrip()


def rounded(values):
    """Nested lists of numbers with five significant digits."""
    if isinstance(values, list):
        return [rounded(v) for v in values]
    if isinstance(values, complex):
        return complex(rounded(values.real), rounded(values.imag))
    return float(f"{values:.5g}") + 0.0 if isinstance(values, float) else values


CASES = json.loads(GOLDEN.read_text())["cases"] if GOLDEN.exists() else []


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_does_what_torch_does(case):
    import chainrule

    assert observe(case["source"], chainrule) == case["seen"]


def test_enough_cases():
    assert len(CASES) >= 130


def test_index_put_with_indices_of_one_element():
    """A tensor without dimensions names a row; it is no mask."""
    one, values = chainrule.tensor(1), chainrule.ones(2)
    assert chainrule.zeros(3, 2).index_put_((one,), values).tolist() == [[0, 0], [1, 1], [0, 0]]
    assert chainrule.zeros(3, 2).index_put((one, one), values[0]).tolist() == [
        [0, 0],
        [0, 1],
        [0, 0],
    ]
    added = chainrule.ones(3, 2).index_put_(
        (chainrule.tensor([0, 2]), one), values, accumulate=True
    )
    assert added.tolist() == [[1, 2], [1, 1], [1, 2]]


def test_embedding_of_one_index_is_a_copy():
    table = chainrule.zeros(3, 2)
    row = chainrule.nn.functional.embedding(chainrule.tensor(1), table)
    table.add_(1)
    assert row.tolist() == [0, 0]


def test_alpha_times_what_does_not_hold_it():
    small = chainrule.tensor([255, 3], dtype=chainrule.uint8)
    assert chainrule.sub(chainrule.zeros(2), small, alpha=2).tolist() == [-510, -6]
    assert chainrule.zeros(2).add_(small, alpha=3).tolist() == [765, 9]


def test_comparisons_in_place_end_the_gradient_in_zeros():
    for write, node in (
        (lambda y: y.eq_(2), "EqBackward0"),
        (lambda y: y.lt_(torch.ones(2)), "LtBackward1"),
        (lambda y: y.random_(3), "RandomBackward1"),
        (lambda y: y.bernoulli_(0.5), "BernoulliBackward2"),
    ):
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        write(y)
        assert y.requires_grad and type(y.grad_fn).__name__ == node
        (y + x * 3).sum().backward()
        assert x.grad.tolist() == [3, 3]
    y = x * 2
    y[:1].eq_(2)
    y.sum().backward()
    assert x.grad.tolist() == [3, 5]
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.logical_not_()  # which torch makes no node of: the gradient of what was there passes
    y.sum().backward()
    assert y.tolist() == [0, 0] and x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_written_through_data_reaches_what_backward_keeps_of_a_number(compiled):
    """tanh keeps its result, whose memory `.data` shows, of an array and of a single number."""

    def slope(x, whole):
        y = (x.sum() if whole else x).tanh()
        y.data.mul_(0.5)
        return torch.autograd.grad(y.sum(), x)[0]

    run = torch.compile(slope) if compiled else slope
    x = torch.tensor([0.25], requires_grad=True)
    expected = pytest.approx(1 - (math.tanh(0.25) / 2) ** 2)
    for _ in range(2):
        assert run(x, True).item() == expected == run(x, False).item()


def test_single_integers_that_do_not_fit_wrap_around():
    a, b = torch.tensor(-43, dtype=torch.int8), torch.tensor(25813, dtype=torch.int16)
    assert a.clone().add_(b).item() == -86
    assert a.clone().mul_(b).item() == 57
    out = torch.tensor(0, dtype=torch.int8)
    assert torch.sub(a, b, out=out) is out
    assert out.item() == 0
    assert torch.tensor([1, 2], dtype=torch.int8).add_(b).tolist() == [-42, -41]


def test_nothing_is_divided_by_zero():
    nothing, zero = torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for f in (torch.remainder, torch.floor_divide, torch.fmod):
        assert f(nothing, zero).shape == (0,)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            f(zero, zero)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("compiled", [False, True])
def test_without_grad_parts_of_what_was_rewritten_are_written(dtype, compiled):
    p = torch.ones(2, 2, dtype=dtype, requires_grad=True)

    def step():
        x = p * 2
        part = x.unbind(1)[1]
        x[0] = x[1].clone()
        with torch.no_grad():
            part.mul_(0.5)
        return x.detach()

    f = torch.compile(step) if compiled else step
    for _ in range(2):
        assert f().tolist() == [[2, 1], [2, 1]]
