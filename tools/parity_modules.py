"""torch's databases of modules and optimizers: built, run, differentiated in both libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from parity_report import Outcome, told
from parity_values import compare, compare_tensors, find, flat, to_ours
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.common_optimizers import optim_db

import chainrule

MODULES = {m.name: m for m in module_db if find(chainrule, m.name) is not None}
OPTIMIZERS = {
    f"optim.{o.optim_cls.__name__}": o
    for o in optim_db
    if hasattr(chainrule.optim, o.optim_cls.__name__)
}
SEED = 1
STEPS = 6


def check_module(outcome: Outcome, info: Any, limit: int) -> None:
    """Build, run and differentiate a module in both libraries, in training and evaluation."""
    for training in (True, False):
        torch.manual_seed(0)
        inputs = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
        )
        for i, given in enumerate(inputs[:limit]):
            if given.forward_input is None or takes_modules(given.constructor_input):
                continue
            outcome.samples += 1
            where = f"{'training' if training else 'evaluation'} {i} {given.desc}"
            compare_modules(outcome, where, info, given, training)


def takes_modules(given: Any) -> bool:
    """Whether a constructor is given torch modules."""
    return any(isinstance(x, torch.nn.Module) for x in (*given.args, *given.kwargs.values()))


def compare_modules(outcome: Outcome, where: str, info: Any, given: Any, training: bool) -> None:
    """One module in both libraries: initial parameters, results, gradients."""
    built, call = given.constructor_input, given.forward_input
    torch.manual_seed(SEED)
    theirs = info.module_cls(*built.args, **built.kwargs).double().train(training)
    their_out = run(torch, theirs, call.args, call.kwargs)
    if isinstance(their_out, Exception):
        return
    chainrule.manual_seed(SEED)
    try:
        mine = (
            find(chainrule, info.name)(*to_ours(built.args), **to_ours(built.kwargs))
            .double()
            .train(training)
        )
    except Exception as e:
        outcome.note("value", where, f"building it raised {told(e)}")
        return
    args, kwargs = to_ours((call.args, call.kwargs))
    got = run(chainrule, mine, args, kwargs)
    if isinstance(got, Exception):
        outcome.note("value", where, f"raised {told(got)}")
        return
    outcome.note("value", where, compare(got, their_out, "float64") or states_differ(mine, theirs))
    our_leaves = [x for x in (*mine.parameters(), *flat((args, kwargs))) if x.requires_grad]
    their_leaves = [
        x for x in (*theirs.parameters(), *flat((call.args, call.kwargs))) if x.requires_grad
    ]
    if len(set(their_leaves)) < len(their_leaves):  # one tensor given twice
        return
    text = gradients_differ((got, our_leaves), (their_out, their_leaves))
    if text is not NotImplemented:
        outcome.note("gradient", where, text)


def run(library: Any, module: Any, args: tuple, kwargs: dict) -> Any:
    """The module's result from a known random state, or its error."""
    library.manual_seed(SEED)
    try:
        return module(*args, **kwargs)
    except Exception as e:
        return e


def states_differ(mine: Any, theirs: Any) -> str | None:
    """How parameters and buffers differ, in name, order or value."""
    a, b = mine.state_dict(), theirs.state_dict()
    if list(a) != list(b):
        return f"state {list(a)} instead of {list(b)}"
    found = ((k, compare_tensors(a[k], b[k], "float32")) for k in a)
    return next((f"{k}: {text}" for k, text in found if text), None)


def gradients_differ(ours: tuple, theirs: tuple) -> Any:
    """How the gradients of the leaves differ; NotImplemented where torch has none."""
    results = []
    for library, (out, leaves) in ((torch, theirs), (chainrule, ours)):
        outs = [t for t in flat(out) if t.requires_grad]
        if not outs or not leaves:
            return NotImplemented if library is torch else "the result does not require grad"
        weights = [library.ones_like(t) for t in outs]
        try:
            results.append(library.autograd.grad(outs, leaves, weights, allow_unused=True))
        except Exception as e:
            return NotImplemented if library is torch else f"backward raised {told(e)}"
    if len(results[0]) != len(results[1]):
        return f"{len(results[1])} leaves instead of {len(results[0])}"
    pairs = zip(results[1], results[0], strict=True)
    return next(filter(None, (differ(m, t) for m, t in pairs)), None)


def differ(m: Any, t: Any) -> str | None:
    """How two gradients differ; None stands for zeros."""
    if m is None or t is None:
        other = t if m is None else m
        return None if other is None or not bool(other.any()) else "a gradient on one side only"
    return compare_tensors(m, t, "float64")


def check_optimizer(outcome: Outcome, info: Any, limit: int) -> None:
    """A few steps on the same problem with every setting that torch tests."""
    for given in info.optim_inputs_func(device="cpu"):
        outcome.samples += 1
        kwargs = dict(given.kwargs)
        theirs = trained(torch, info.optim_cls, kwargs)
        if isinstance(theirs, Exception):
            continue
        got = trained(chainrule, getattr(chainrule.optim, info.optim_cls.__name__), to_ours(kwargs))
        text = (
            f"raised {told(got)}" if isinstance(got, Exception) else compare(got, theirs, "float64")
        )
        outcome.note("value", f"{given.desc} {kwargs}", text)


def trained(library: Any, optimizer: Callable, kwargs: dict) -> Any:
    """The parameters after a few steps, or the error."""
    start = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    parts = (
        [start, start[0].clone()]
        if optimizer.__name__ != "Muon"
        else [start, start.t().contiguous()]
    )
    params = [
        p.clone() if library is torch else chainrule.tensor(p.tolist(), dtype=chainrule.float64)
        for p in parts
    ]
    for p in params:
        p.requires_grad_()
    try:
        steps = optimizer(params, **kwargs)
        for _ in range(STEPS):
            steps.step(lambda: loss(steps, params))
    except Exception as e:
        return e
    return [p.detach() for p in params]


def loss(steps: Any, params: list) -> Any:
    """A smooth function of the parameters, differentiated."""
    steps.zero_grad()
    out = sum(((p - 0.3) ** 2 + 0.1 * p**4).sum() for p in params)
    out.backward()
    return out
