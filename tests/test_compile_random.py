"""Random programs, compiled and not (see random_programs.py, which runs as many as one likes)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from .random_programs import Builder, one

EACH = 8


class Choices:
    """Random choices, asked for as from NumPy's generators, that Hypothesis makes; it tries simpler
    ones once a program has failed.
    """

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw

    def random(self) -> float:
        """A number below 1; the simplest is the largest, which makes nothing special happen."""
        return 1 - self.draw(st.integers(1, 1000)) / 1000

    def integers(self, low: int, high: int | None = None) -> int:
        """One of low to high - 1, or below low."""
        low, high = (0, low) if high is None else (low, high)
        return self.draw(st.integers(low, high - 1))

    def choice(self, items: Sequence, p: Any = None) -> Any:
        """One of them; the weights `p` say how often."""
        if p is None:
            return self.draw(st.sampled_from(list(items)))
        items = range(items) if isinstance(items, int) else items
        return items[int(np.searchsorted(np.cumsum(p), self.random()).clip(0, len(items) - 1))]

    def permutation(self, items: Any) -> list:
        """They, or the numbers below, in some order."""
        return self.draw(st.permutations(range(items) if isinstance(items, int) else items))

    def shuffle(self, items: list) -> None:
        """Bring them into some order."""
        items[:] = self.draw(st.permutations(items))

    def normal(self, mean: float, deviation: float) -> float:
        """A number that is not far from the mean."""
        return mean + deviation * self.draw(st.integers(-8, 8)) / 4


@hypothesis.settings(
    max_examples=24,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(st.data())
def test_programs_that_hypothesis_builds(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one(Builder(data.draw(st.integers(0, 1 << 31)), 12, Choices(data)).case)


@pytest.mark.parametrize("first", range(20000, 20000 + 12 * EACH, EACH))
def test_programs(first):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(first, first + EACH):
            one(Builder(seed).case)
