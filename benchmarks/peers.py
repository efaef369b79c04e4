"""What is compared with what: a program of the suite as each library runs it.

A `Peer` is one step as a function without arguments, what its steps leave behind, and, of compiled
chainrule, what became of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import suite

TOLERANCE = 1e-4  # of the norm: float32, three steps


class Peer(NamedTuple):
    step: Callable
    state: Callable
    compiled: Any = None


def closed(step: Callable, arguments: tuple) -> Callable:
    """The step of its arguments, without the cost of handing over none."""
    if not arguments:
        return step
    if len(arguments) == 1:
        (x,) = arguments
        return lambda: step(x)
    x, y = arguments
    return lambda: step(x, y)


def chainrule_eager(name: str) -> Peer:
    import chainrule

    program = suite.PROGRAMS[name][0](chainrule)
    step = suite.step_of(program)
    return Peer(closed(step, program.arguments), lambda: suite.state_of(program))


def chainrule_compiled(name: str) -> Peer:
    import chainrule
    from chainrule.compiler import api

    program = suite.PROGRAMS[name][0](chainrule)
    step = api.compile(suite.step_of(program))
    return Peer(closed(step, program.arguments), lambda: suite.state_of(program), step)


def torch_eager(name: str) -> Peer:
    import torch

    program = suite.PROGRAMS[name][0](torch)
    step = suite.step_of(program)
    return Peer(closed(step, program.arguments), lambda: suite.state_of(program))


def torch_compiled(name: str) -> Peer:
    """The loss and the optimizer's step compiled, each for itself: torch does not compile
    `backward` into one program with them.
    """
    import torch

    program = suite.PROGRAMS[name][0](torch)
    program = program._replace(loss=torch.compile(program.loss))
    if program.optimizer is not None:
        program.optimizer.step = torch.compile(program.optimizer.step)
    step = suite.step_of(program)
    return Peer(closed(step, program.arguments), lambda: suite.state_of(program))


def jax_jit(name: str) -> Peer:
    import suite_jax

    return Peer(*suite_jax.step_of(suite_jax.PROGRAMS[name]()))


def jax_unrolled(name: str) -> Peer:
    """Loops written out, where the suite for jax has them as loops of the program."""
    import suite_jax

    return Peer(*suite_jax.step_of(suite_jax.UNROLLED.get(name, suite_jax.PROGRAMS[name])()))


PEERS: dict[str, Callable[[str], Peer]] = {
    "torch eager": torch_eager,
    "torch.compile": torch_compiled,
    "jax.jit": jax_jit,
    "chainrule eager": chainrule_eager,
    "chainrule compiled": chainrule_compiled,
}
# Only the cost of its first call is looked at.
UNROLLED = "jax.jit, unrolled"


def build(peer: str, name: str) -> Peer:
    """The peer of that name."""
    return jax_unrolled(name) if peer == UNROLLED else PEERS[peer](name)


def outcome(peer: Peer) -> list[np.ndarray]:
    """The values of three steps and what they leave behind."""
    values = [peer.step() for _ in range(3)]
    found = [v.detach().numpy() if hasattr(v, "detach") else np.asarray(v) for v in values]
    return found + [np.asarray(a) for a in peer.state()]


def disagreement(mine: list[np.ndarray], reference: list[np.ndarray]) -> str | None:
    """Where two outcomes differ by more than the tolerance, in words; None if they do not."""
    if len(mine) != len(reference):
        return f"{len(mine)} results where torch has {len(reference)}"
    for n, (a, b) in enumerate(zip(mine, reference, strict=True)):
        what = f"value of step {n + 1}" if n < 3 else f"state {n - 3}"
        if a.shape != b.shape:
            return f"{what} has shape {a.shape}, torch's {b.shape}"
        distance, norm = np.linalg.norm(a - b), np.linalg.norm(b)
        if not distance <= TOLERANCE * norm:
            return f"{what} is {distance / (norm or 1):.1e} off (relative, in norm)"
    return None
