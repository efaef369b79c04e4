"""Adam and AdamW: steps by running means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tensor import Tensor
from .optimizer import (
    Elementwise,
    ParamsT,
    advance,
    apply,
    check_betas,
    check_implementation,
    check_lr,
    check_nonnegative,
    counter,
    number,
    zeros_like,
)

MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


def adam(
    p: Any,
    g: Any,
    mean: Any,
    square: Any,
    highest: Any,
    shrink: float | None,
    decay: float,
    beta1: float,
    beta2: float,
    eps: float,
    rate: float,
    root: float,
) -> None:
    """m += (1 - beta1)(g - m), v = beta2 v + (1 - beta2) g^2, p -= rate m / (sqrt(v) / root + eps).

    `shrink` multiplies p first (AdamW); `decay` adds to the gradient; `highest` keeps the largest v
    (AMSGrad).
    """
    if shrink is not None:
        p *= shrink
    if decay:
        g = g + p * decay
    work = g - mean
    work *= 1 - beta1
    mean += work
    np.multiply(g, g, out=work)
    work *= 1 - beta2
    square *= beta2
    square += work
    if highest is not None:
        np.maximum(highest, square, out=highest)
        square = highest
    np.sqrt(square, out=work)
    work /= root
    work += eps
    np.divide(mean, work, out=work)
    work *= rate
    p -= work


def adam_without_highest(p: Any, g: Any, mean: Any, square: Any, *settings: Any) -> None:
    """`adam` without AMSGrad."""
    adam(p, g, mean, square, None, *settings)


class Adam(Elementwise):
    """Adam (Kingma and Ba 2014); with `amsgrad` its variant of Reddi et al. 2018."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_lr(lr)
        check_nonnegative(epsilon_value=eps)
        check_betas(betas)
        check_nonnegative(weight__decay_value=weight_decay)
        if len({isinstance(b, Tensor) for b in betas}) > 1:
            raise ValueError("betas must be either both floats or both Tensors")
        check_implementation(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def begin(self, own: dict, p: Any, group: dict) -> bool:
        own["step"] = counter()
        for name in MOMENTS[: 3 if group["amsgrad"] else 2]:
            own[name] = zeros_like(p)
        return True

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, eps, decay, amsgrad = (
            number(group),
            group["eps"],
            group["weight_decay"],
            group["amsgrad"],
        )
        beta1, beta2 = map(float, group["betas"])
        decoupled = group["decoupled_weight_decay"]
        shrink, added = (1 - lr * decay if decay else None, 0) if decoupled else (None, decay)
        names = MOMENTS[: 3 if amsgrad else 2]
        rule = adam if amsgrad else adam_without_highest

        def update(p: Any, g: Any) -> None:
            own = states[p]
            if not own:
                self.begin(own, p, group)
            t = advance(own)
            root = (1 - beta2**t) ** 0.5
            apply(
                rule,
                p,
                g,
                [own[name] for name in names],
                shrink,
                added,
                beta1,
                beta2,
                eps,
                lr / (1 - beta1**t),
                root,
            )

        return update


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2017)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
