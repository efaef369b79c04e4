"""Compiled functions that would be slower are run as they are."""

import time

import pytest

import chainrule as torch
from chainrule.compiler.api import Compiled
from chainrule.compiler.trial import Trial

pytest.importorskip("llvmlite")


def test_a_slow_program_gives_way():
    slow = []

    def f(x):
        return torch.fft.fft(x)

    c = Compiled(f)
    x = torch.ones(8)
    c(x)
    (entry,) = c.entries
    way = entry.run.__self__.way

    def late(args, kwargs):
        time.sleep(0.002)
        slow.append(args)
        return way(args, kwargs)

    entry.run.__self__.way = late
    for _ in range(12):
        torch.testing.assert_close(c(x), f(x))
    assert "as it is" in entry.verdict
    assert entry.verdict.startswith("slower")
    assert "slower, so the function is run as it is" in c.explain()
    count = len(slow)
    c(x)
    assert len(slow) == count


def test_a_quick_program_stays_and_state_moves_on_once_a_call():
    count = torch.zeros(())

    def f(x):
        if state["slow"]:
            time.sleep(0.002)
        count.add_(1)
        return x + count

    state = {"slow": True}
    c = Compiled(f)
    x = torch.ones(3)
    for n in range(12):
        torch.testing.assert_close(c(x), x + n + 1)
    (entry,) = c.entries
    assert count == 12
    assert entry.verdict.startswith("quicker")
    assert "quicker" in c.explain()
    assert not isinstance(getattr(entry.run, "__self__", None), Trial)


def test_large_programs_are_not_compared():
    def f(x):
        for _ in range(20):
            x = (x * 1.5).sin() + x.sum(0)
        return x

    c = Compiled(f)
    x = torch.ones(4, 4)
    for _ in range(4):
        c(x)
    (entry,) = c.entries
    assert "not timed" in entry.verdict


def test_errors_leave_the_trial_as_it_was():
    def f(x):
        if broken:
            raise ValueError("not today")
        return x + 1

    broken = []
    c = Compiled(f)
    x = torch.ones(3)
    for _ in range(3):
        c(x)
    broken.append(1)
    with pytest.raises(ValueError, match="not today"):
        c(x)
    broken.clear()
    torch.testing.assert_close(c(x), x + 1)
