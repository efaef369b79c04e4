"""Random programs, compiled and not (see random_programs.py, which runs as many as one likes)."""

from __future__ import annotations

import warnings

import pytest

from .random_programs import one

EACH = 8


@pytest.mark.parametrize("first", range(20000, 20000 + 12 * EACH, EACH))
def test_programs(first):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(first, first + EACH):
            one(seed)
