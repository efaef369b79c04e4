"""Fixtures for all tests: each starts from the library's default settings."""

from __future__ import annotations

import pytest

import chainrule


@pytest.fixture(autouse=True)
def default_settings():
    """Recording on, float32 the default, a known random state."""
    chainrule.set_grad_enabled(True)
    chainrule.set_default_dtype(chainrule.float32)
    chainrule.manual_seed(0)
