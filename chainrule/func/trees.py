"""Nested structures of tensors: tuples, named tuples, lists, dictionaries; the rest are leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def children(tree: Any) -> list | None:
    """What a container holds, in order; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.values())
    return list(tree) if isinstance(tree, (tuple, list)) and not _is_size(tree) else None


def _is_size(tree: Any) -> bool:
    return type(tree).__name__ == "Size"


def leaves(tree: Any) -> list:
    """The leaves, in order."""
    inside = children(tree)
    return [tree] if inside is None else [leaf for t in inside for leaf in leaves(t)]


def rebuild(tree: Any, values: Iterator) -> Any:
    """A structure like `tree`, with leaves taken from `values`."""
    inside = children(tree)
    if inside is None:
        return next(values)
    parts = [rebuild(t, values) for t in inside]
    if isinstance(tree, dict):
        return _like_dict(tree, parts)
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def _like_dict(tree: dict, parts: list) -> dict:
    filled = dict(zip(tree, parts, strict=True))
    if type(tree) is dict:
        return filled
    copy = tree.copy()
    copy.update(filled)
    return copy


def mapped(f: Callable, tree: Any) -> Any:
    """The structure with f applied to its leaves."""
    return rebuild(tree, iter([f(leaf) for leaf in leaves(tree)]))


def broadcast(prefix: Any, tree: Any) -> list | None:
    """For each leaf of `tree` the leaf of `prefix` at or above its place; None if they do not
    match.
    """
    inside, above = children(tree), children(prefix)
    if above is None:
        return [prefix] * len(leaves(tree))
    if inside is None or type(prefix) is not type(tree) or len(above) != len(inside):
        return None
    if isinstance(tree, dict) and list(prefix) != list(tree):
        return None
    parts = [broadcast(p, t) for p, t in zip(above, inside, strict=True)]
    return None if None in parts else [d for part in parts for d in part]  # type: ignore[union-attr]


def shape_of(tree: Any) -> str:
    """A structure in words: `*` for a leaf."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{k!r}: {shape_of(v)}" for k, v in tree.items()) + "}"
    inside = children(tree)
    if inside is None:
        return "*"
    text = ", ".join(map(shape_of, inside))
    return f"[{text}]" if isinstance(tree, list) else f"({text}{',' * (len(inside) == 1)})"
