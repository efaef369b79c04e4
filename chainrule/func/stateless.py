"""Calling a module with other parameters than its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def functional_call(
    module: Any,
    parameters_and_buffers: Any,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with tensors from a dictionary (or a tuple of dictionaries) in
    place of its parameters and buffers of those names, which it has back afterwards.

    Tied parameters follow the one that is given (`tie_weights`). With `strict` every name must be
    one of the module's, and all must be given; raises RuntimeError otherwise.
    """
    given: dict[str, Any] = {}
    dictionaries = (
        parameters_and_buffers
        if isinstance(parameters_and_buffers, tuple)
        else (parameters_and_buffers,)
    )
    for d in dictionaries:
        given.update(d)
    own = dict(module.named_parameters(remove_duplicate=False))
    own.update(module.named_buffers(remove_duplicate=False))
    if strict and set(given) != set(own):
        missing, unexpected = sorted(set(own) - set(given)), sorted(set(given) - set(own))
        raise RuntimeError(
            f"Error(s) in functional_call: missing keys {missing}, unexpected keys {unexpected}"
        )
    if tie_weights:
        by_tensor = {id(own[name]): t for name, t in given.items() if name in own}
        given = {**{n: by_tensor[id(t)] for n, t in own.items() if id(t) in by_tensor}, **given}
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with swapped(module, given):
        return module(*args, **(kwargs or {}))


@contextmanager
def swapped(module: Any, tensors: dict[str, Any]) -> Iterator[None]:
    """The module's parameters and buffers of those names replaced while the block runs."""
    places = []
    try:
        for name, t in tensors.items():
            owner, _, last = name.rpartition(".")
            home = module.get_submodule(owner)
            slots = next((s for s in (home._parameters, home._buffers) if last in s), None)
            if slots is None:
                raise KeyError(f"{type(module).__name__} has no parameter or buffer {name!r}")
            places.append((slots, last, slots[last]))
            slots[last] = t
        yield
    finally:
        for slots, last, old in reversed(places):
            slots[last] = old
