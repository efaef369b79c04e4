"""Calling a module with other parameters than its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..ops.define import OPS


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


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(parameters, buffers) of several modules of one class, each stacked along a new dimension 0,
    by name: what `vmap` of `functional_call` runs an ensemble on.

    The stacked parameters are leaves that require grad where the modules' do. Raises RuntimeError
    for no modules, different classes, or a mixture of training and evaluation.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return _stacked(parameters), _stacked(buffers)


def _stacked(states: list[dict[str, Any]]) -> dict[str, Any]:
    stack = OPS["stack"].entry
    found = {}
    for name in states[0]:
        tensors = [s[name] for s in states]
        wants = {t.requires_grad for t in tensors}
        if len(wants) > 1:
            raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
        found[name] = stack([t.detach() for t in tensors]).requires_grad_(wants.pop())
    return found
