"""Averaged gradient descent, and resilient propagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.define import wrap
from .adaptive import begin
from .optimizer import (
    Elementwise,
    ParamsT,
    advance,
    apply,
    check_implementation,
    check_lr,
    check_nonnegative,
    counter,
    zeros_like,
)


def asgd(
    p: Any, g: Any, average: Any, decay: float, shrink: float, rate: float, weight: float
) -> None:
    """p = shrink p - rate g; average += weight (p - average)."""
    if decay:
        g = g + p * decay
    p *= shrink
    p -= g * rate
    if weight == 1:
        average[...] = p
    else:
        average += (p - average) * weight


class ASGD(Elementwise):
    """Averaged stochastic gradient descent (Polyak and Juditsky 1992)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(weight__decay_value=weight_decay)
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, decay, lambd = float(group["lr"]), group["weight_decay"], group["lambd"]

        def update(p: Any, g: Any) -> None:
            own = states[p]
            if not own:
                own["step"], own["eta"], own["mu"] = (
                    counter(),
                    wrap(np.float32(lr)),
                    wrap(np.float32(1)),
                )
                own["ax"] = zeros_like(p)
            t = advance(own)
            rate, weight = float(own["eta"]), float(own["mu"])
            apply(asgd, p, g, (own["ax"],), decay, 1 - lambd * rate, rate, weight)
            own["eta"] = wrap(np.float32(lr / (1 + lambd * lr * t) ** group["alpha"]))
            own["mu"] = wrap(np.float32(1 / max(1, t - group["t0"])))

        return update


def rprop(
    p: Any, g: Any, last: Any, size: Any, shrink: float, grow: float, low: float, high: float
) -> None:
    """Each element's step grows while its gradient keeps its sign, and shrinks (and waits) when it
    changes.
    """
    same = np.sign(g * last)
    size *= np.where(same > 0, grow, np.where(same < 0, shrink, 1)).astype(size.dtype)
    np.minimum(size, high, out=size)
    np.maximum(size, low, out=size)
    np.multiply(g, same >= 0, out=last)
    p -= np.sign(last) * size


class Rprop(Elementwise):
    """Resilient propagation (Riedmiller and Braun 1993)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        etas: tuple = (0.5, 1.2),
        step_sizes: tuple = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, settings = float(group["lr"]), (*group["etas"], *group["step_sizes"])

        def update(p: Any, g: Any) -> None:
            own = states[p]
            if not own:
                begin(own, p, ("prev",))
                value = complex(lr, lr) if p.is_complex() else lr
                own["step_size"] = wrap(np.full(p._data.shape, value, p._data.dtype))
            advance(own)
            apply(rprop, p, g, (own["prev"], own["step_size"]), *settings)

        return update
