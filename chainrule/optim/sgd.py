"""Stochastic gradient descent, with momentum or Nesterov's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .optimizer import (
    Elementwise,
    ParamsT,
    apply,
    check_implementation,
    check_lr,
    check_nonnegative,
    number,
    zeros_like,
)


def descend(p: Any, g: Any, lr: float, decay: float) -> None:
    """p -= lr (g + decay p)."""
    if decay:
        g = g + p * decay
    p -= g * lr


def descend_with_momentum(
    p: Any,
    g: Any,
    buffer: Any,
    lr: float,
    decay: float,
    momentum: float,
    damped: float,
    nesterov: bool,
) -> None:
    """b = momentum b + damped g; p -= lr b, or with Nesterov's momentum lr (g + momentum b)."""
    if decay:
        g = g + p * decay
    buffer *= momentum
    buffer += g if damped == 1 else g * damped
    step = buffer * momentum if nesterov else buffer
    if nesterov:
        step += g
    p -= step * lr


class SGD(Elementwise):
    """p -= lr g, with momentum (Sutskever et al. 2013)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: Any = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_nonnegative(momentum_value=momentum, weight__decay_value=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_implementation(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def begin(self, own: dict, p: Any, group: dict) -> bool:
        if group["momentum"] and not group["dampening"]:
            own["momentum_buffer"] = zeros_like(p)
        return bool(own)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, decay, momentum = number(group), float(group["weight_decay"]), group["momentum"]
        damped, nesterov = 1 - group["dampening"], group["nesterov"]

        def plain(p: Any, g: Any) -> None:
            apply(descend, p, g, (), lr, decay)

        def with_momentum(p: Any, g: Any) -> None:
            own = states[p]
            buffer, factor = own.get("momentum_buffer"), damped
            if buffer is None:
                buffer, factor = zeros_like(p), 1
                own["momentum_buffer"] = buffer
            apply(descend_with_momentum, p, g, (buffer,), lr, decay, momentum, factor, nesterov)

        return with_momentum if momentum else plain
