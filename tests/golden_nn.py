"""What is recorded of modules, optimizers, schedules and programs (by tools/golden_nn.py, from
torch) and how it is compared."""

from __future__ import annotations

import copy
import functools
import gzip
import json
import math
import pickle
import re
import warnings
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "nn.json.gz"
NUMBER = re.compile(r"(?<![\w.])-?(?:\d+\.\d*(?:e[-+]\d+)?|\d+e[-+]\d+|inf|nan)")


def golden(kind):
    """What was recorded of one kind, by name."""
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))[kind]


# -- what is recorded ------------------------------------------------------------------------------


def tensors_in(x, torch):
    """The tensors inside of tuples, lists and packed sequences."""
    if isinstance(x, torch.Tensor):
        return [x]
    return [t for y in x for t in tensors_in(y, torch)] if isinstance(x, (tuple, list)) else []


def numbers(t):
    """A tensor as shape and values, seven digits each."""
    values = t.detach().reshape(-1).tolist()
    shown = [float(f"{v:.7g}") if isinstance(v, float) else v for v in values]
    return [list(t.shape), str(t.dtype), shown]


def observe_layer(make, call, torch):
    """A layer's text, state, results and gradients, from known random numbers."""
    scope = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "math": math}
    torch.manual_seed(0)
    module = eval(make, scope)
    seen = {"text": repr(module)}
    seen["state"] = {k: numbers(v) for k, v in module.state_dict().items()}
    for mode in ("train", "eval"):
        torch.manual_seed(1)
        given = eval(f"({call},)", scope)
        seen[mode] = observe_call(getattr(module, mode)(), given, torch)
    return seen


def observe_call(module, given, torch):
    """Results and gradients of one call."""
    varied = given[:1] if "Loss" in type(module).__name__ else given
    leaves = [t for t in tensors_in(varied, torch) if t.is_floating_point()]
    for t in leaves:
        t.requires_grad_()
    outs = tensors_in(module(*given), torch)
    seen = {"outs": [numbers(t) for t in outs]}
    total = sum(
        (t * torch.arange(1.0, t.numel() + 1).cos().reshape(t.shape)).sum()
        for t in outs
        if t.requires_grad
    )
    if not isinstance(total, torch.Tensor):
        return seen
    wanted = [*leaves, *module.parameters()]
    grads = torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)
    seen["grads"] = [numbers(g) for g in grads]
    return seen


def observe(source, torch):
    """What a program shows."""
    seen = []

    def see(*things):
        seen.append(" ; ".join(str(t) for t in things))

    def fails(function):
        try:
            see("no error", function())
        except Exception as e:
            seen.append(complaint(e))

    scope = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "see": see, "fails": fails}
    scope |= {"copy": copy, "pickle": pickle, "math": math}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(source, scope)
    return [re.sub(r"0x[0-9a-f]+", "0x", s) for s in seen]


def complaint(error):
    """The class an error can be caught by, and its text."""
    builtin = next(c for c in type(error).__mro__ if c.__module__ == "builtins")
    return f"{builtin.__name__}: {error}"


STEPS = 50


def observe_optimizer(text, torch):
    """How an optimizer goes down a smooth valley: losses, parameters and its state."""
    name, _, settings = text.partition("(")
    rng = np.random.default_rng(0)

    def drawn(*shape):
        return torch.tensor(rng.standard_normal(shape))

    x, y = drawn(6, 4), drawn(6, 3)
    params = [drawn(4, 3).requires_grad_(), drawn(3).requires_grad_(), drawn().requires_grad_()]
    make = functools.partial(getattr(torch.optim, name), params)
    optimizer, losses = eval(f"make({settings}", {"make": make}), []

    def closure():
        optimizer.zero_grad()
        rest = (x @ params[0] + params[1]).tanh() * params[2].cos() - y
        loss = (rest * rest).mean() + (params[0] * params[0]).mean()
        loss.backward()
        return loss

    for _ in range(STEPS if name != "LBFGS" else 5):
        losses.append(float(f"{optimizer.step(closure).item():.10g}"))
    seen = {"losses": losses, "params": [numbers(p) for p in params]}
    if name != "LBFGS":
        state = optimizer.state_dict()["state"]
        seen["state"] = {str(k): {n: numbers(t) for n, t in v.items()} for k, v in state.items()}
    return seen


def observe_schedule(text, torch):
    """The rates and momenta of two groups over a few steps, and the schedule's state."""
    parts = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": [parts[0]], "lr": 0.5}, {"params": [parts[1]], "lr": 0.2}]
    o = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    schedules = torch.optim.lr_scheduler
    schedule, seen = eval(f"L.{text}", {"L": schedules, "o": o}), []
    for _ in range(13):
        seen.append([g[k] for g in o.param_groups for k in ("lr", "momentum")])
        assert schedule.get_last_lr() == [g["lr"] for g in o.param_groups]
        o.step()
        schedule.step()
    return [*seen, str(schedule.state_dict())]


# -- how it is compared ----------------------------------------------------------------------------


def assert_same(got, wanted, where="", tolerance=2e-6):
    """Equal, but for rounding in lists of numbers."""
    if isinstance(wanted, dict):
        assert list(got) == list(wanted), where
        for k, v in wanted.items():
            assert_same(got[k], v, f"{where}.{k}", tolerance)
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], float):
        size = max(1.0, *(abs(v) for v in wanted if math.isfinite(v)), 0.0)
        assert len(got) == len(wanted), where
        for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
            same = a == b or (a != a and b != b) or abs(a - b) <= tolerance * size
            assert same, f"{where}[{k}]: {a} instead of {b}"
    elif isinstance(wanted, list):
        assert len(got) == len(wanted), where
        for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
            assert_same(a, b, f"{where}[{k}]", tolerance)
    else:
        assert got == wanted, f"{where}: {got!r} instead of {wanted!r}"


def assert_same_text(got, wanted):
    """Equal, but for the last digits of the numbers in it."""
    got = re.sub(r"chainrule\.nn\.\w+", "torch.nn", got)
    got, wanted = (re.sub(r"torch\.nn\.modules\.\w+", "torch.nn", t) for t in (got, wanted))
    blank = [re.sub(r"\s+", " ", NUMBER.sub("#", t)).replace("( #", "(#") for t in (got, wanted)]
    assert blank[0] == blank[1], f"{got}\n  instead of\n{wanted}"
    for a, b in zip(NUMBER.findall(got), NUMBER.findall(wanted), strict=True):
        x, y = float(a), float(b)
        close = x == y or (x != x and y != y) or abs(x - y) <= 2e-4 * max(1.0, abs(y))
        assert close, f"{a} instead of {b} in\n{got}"
