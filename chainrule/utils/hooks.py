"""Handles of hooks."""

from ..tensor import RemovableHandle

__all__ = ["RemovableHandle"]
