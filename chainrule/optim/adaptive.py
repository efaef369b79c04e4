"""Optimizers with a rate for each element: Adagrad, Adadelta, RMSprop, Adamax, NAdam, RAdam."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.define import wrap
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
    zeros_like,
)


def lerp(mean: Any, g: Any, weight: float) -> None:
    """mean += weight (g - mean)."""
    change = g - mean
    change *= weight
    mean += change


def add_square(square: Any, g: Any, beta: float) -> None:
    """v = beta v + (1 - beta) g^2."""
    square *= beta
    change = g * g
    change *= 1 - beta
    square += change


def begin(own: dict, p: Any, names: tuple) -> None:
    """Fill a new state: a count of steps, and zeros under each name."""
    if not own:
        own["step"] = counter()
        for name in names:
            own[name] = zeros_like(p)


def moments(own: dict, names: tuple) -> list:
    """The tensors of a state under those names."""
    return [own[name] for name in names]


# -- Adagrad --------------------------------------------------------------------------------------


def adagrad(p: Any, g: Any, total: Any, decay: float, rate: float, eps: float) -> None:
    """s += g^2, p -= rate g / (sqrt(s) + eps)."""
    if decay:
        g = g + p * decay
    total += g * g
    work = np.sqrt(total)
    work += eps
    np.divide(g, work, out=work)
    work *= rate
    p -= work


class Adagrad(Elementwise):
    """Adagrad (Duchi et al. 2011)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_nonnegative(lr__decay_value=lr_decay, weight__decay_value=weight_decay)
        if not initial_accumulator_value >= 0.0:
            raise ValueError(
                f"Invalid initial_accumulator_value value: {initial_accumulator_value}"
            )
        check_nonnegative(epsilon_value=eps)
        check_implementation(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(self.state[p], p, group)

    def _begin(self, own: dict, p: Any, group: dict) -> None:
        start = group["initial_accumulator_value"]
        value = complex(start, start) if p.is_complex() else start
        own["step"], own["sum"] = counter(), wrap(np.full(p._data.shape, value, p._data.dtype))

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, lr_decay, decay, eps = (
            float(group["lr"]),
            group["lr_decay"],
            group["weight_decay"],
            group["eps"],
        )

        def update(p: Any, g: Any) -> None:
            own = states[p]
            if not own:
                self._begin(own, p, group)
            t = advance(own)
            apply(adagrad, p, g, (own["sum"],), decay, lr / (1 + (t - 1) * lr_decay), eps)

        return update


# -- Adadelta -------------------------------------------------------------------------------------


def adadelta(
    p: Any, g: Any, square: Any, moved: Any, lr: float, rho: float, eps: float, decay: float
) -> None:
    """d = g sqrt(u + eps) / sqrt(v + eps), with v and u running means of g^2 and d^2; p -= lr d."""
    if decay:
        g = g + p * decay
    add_square(square, g, rho)
    delta = np.sqrt(moved + eps)
    delta /= np.sqrt(square + eps)
    delta *= g
    add_square(moved, delta, rho)
    delta *= lr
    p -= delta


class Adadelta(Elementwise):
    """Adadelta (Zeiler 2012)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_nonnegative(epsilon_value=eps, weight__decay_value=weight_decay)
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        names = ("square_avg", "acc_delta")
        settings = (float(group["lr"]), group["rho"], group["eps"], group["weight_decay"])

        def update(p: Any, g: Any) -> None:
            own = states[p]
            begin(own, p, names)
            advance(own)
            apply(adadelta, p, g, moments(own, names), *settings)

        return update


# -- RMSprop --------------------------------------------------------------------------------------


def rmsprop(p: Any, g: Any, square: Any, *rest: Any) -> None:
    """v = alpha v + (1 - alpha) g^2, p -= lr g / (sqrt(v) + eps).

    With momentum, p follows b = momentum b + g / (sqrt(v) + eps); centred, v - m^2 stands for v.
    """
    *more, lr, alpha, eps, decay, momentum, centered = rest
    if decay:
        g = g + p * decay
    add_square(square, g, alpha)
    if centered:
        mean = more[-1]
        lerp(mean, g, 1 - alpha)
        work = mean * mean
        np.subtract(square, work, out=work)
        np.sqrt(work, out=work)
    else:
        work = np.sqrt(square)
    work += eps
    np.divide(g, work, out=work)
    if momentum:
        buffer = more[0]
        buffer *= momentum
        buffer += work
        np.multiply(buffer, lr, out=work)
    else:
        work *= lr
    p -= work


class RMSprop(Elementwise):
    """RMSprop (Tieleman and Hinton 2012), centred as in Graves 2013."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(
            epsilon_value=eps,
            momentum_value=momentum,
            weight__decay_value=weight_decay,
            alpha_value=alpha,
        )
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        momentum, centered = group["momentum"], group["centered"]
        names = (
            "square_avg",
            *(("momentum_buffer",) if momentum else ()),
            *(("grad_avg",) if centered else ()),
        )
        settings = (
            float(group["lr"]),
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            momentum,
            centered,
        )

        def update(p: Any, g: Any) -> None:
            own = states[p]
            begin(own, p, names)
            advance(own)
            apply(rmsprop, p, g, moments(own, names), *settings)

        return update


# -- Adamax ---------------------------------------------------------------------------------------


def adamax(
    p: Any,
    g: Any,
    mean: Any,
    largest: Any,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
) -> None:
    """u = max(beta2 u, |g| + eps), p -= rate m / u."""
    if decay:
        g = g + p * decay
    lerp(mean, g, 1 - beta1)
    work = np.abs(g)
    work += eps
    largest *= beta2
    np.maximum(largest, work, out=largest)
    np.divide(mean, largest, out=work)
    work *= rate
    p -= work


class Adamax(Elementwise):
    """Adam by the infinity norm (Kingma and Ba 2014)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 2e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(epsilon_value=eps)
        check_betas(betas)
        check_nonnegative(weight__decay_value=weight_decay)
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, (beta1, beta2), names = float(group["lr"]), group["betas"], ("exp_avg", "exp_inf")

        def update(p: Any, g: Any) -> None:
            own = states[p]
            begin(own, p, names)
            rate = lr / (1 - beta1 ** advance(own))
            apply(
                adamax,
                p,
                g,
                moments(own, names),
                rate,
                beta1,
                beta2,
                group["eps"],
                group["weight_decay"],
            )

        return update


# -- NAdam ----------------------------------------------------------------------------------------


def nadam(
    p: Any,
    g: Any,
    mean: Any,
    square: Any,
    shrink: float,
    decay: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction: float,
    by_gradient: float,
    by_mean: float,
) -> None:
    """p -= (a g + b m) / (sqrt(v / correction) + eps)."""
    if shrink != 1:
        p *= shrink
    if decay:
        g = g + p * decay
    lerp(mean, g, 1 - beta1)
    add_square(square, g, beta2)
    scale = square / correction
    np.sqrt(scale, out=scale)
    scale += eps
    work = g / scale
    work *= by_gradient
    p -= work
    np.divide(mean, scale, out=work)
    work *= by_mean
    p -= work


class NAdam(Elementwise):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 2e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(epsilon_value=eps)
        check_betas(betas)
        check_nonnegative(weight__decay_value=weight_decay, momentum__decay_value=momentum_decay)
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, (beta1, beta2), eps, slow = (
            float(group["lr"]),
            group["betas"],
            group["eps"],
            group["momentum_decay"],
        )
        decay = group["weight_decay"]
        shrink, added = (1 - lr * decay, 0) if group["decoupled_weight_decay"] else (1, decay)
        names = ("exp_avg", "exp_avg_sq")

        def update(p: Any, g: Any) -> None:
            own = states[p]
            if not own:
                own["step"], own["mu_product"] = counter(), wrap(np.float32(1))
                own["exp_avg"], own["exp_avg_sq"] = zeros_like(p), zeros_like(p)
            t = advance(own)
            now, then = (beta1 * (1.0 - 0.5 * 0.96 ** (k * slow)) for k in (t, t + 1))
            own["mu_product"] = wrap(np.float32(own["mu_product"]._data) * np.float32(now))
            product = float(own["mu_product"])
            rates = lr * (1 - now) / (1 - product), lr * then / (1 - product * then)
            apply(
                nadam,
                p,
                g,
                moments(own, names),
                shrink,
                added,
                beta1,
                beta2,
                eps,
                1 - beta2**t,
                *rates,
            )

        return update


# -- RAdam ----------------------------------------------------------------------------------------


def radam(
    p: Any,
    g: Any,
    mean: Any,
    square: Any,
    shrink: float,
    decay: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction: float,
    lr: float,
    rectified: float | None,
) -> None:
    """p -= lr m / correction, times rectified / (sqrt(v) + eps) once the variance can be
    trusted.
    """
    if shrink != 1:
        p *= shrink
    if decay:
        g = g + p * decay
    lerp(mean, g, 1 - beta1)
    add_square(square, g, beta2)
    step = mean / correction
    step *= lr
    if rectified is not None:
        scale = np.sqrt(square)
        scale += eps
        np.divide(rectified, scale, out=scale)
        step *= scale
    p -= step


class RAdam(Elementwise):
    """Adam with a rectified variance (Liu et al. 2019)."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        betas: tuple = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_nonnegative(epsilon_value=eps)
        check_betas(betas)
        check_nonnegative(weight__decay_value=weight_decay)
        check_implementation(foreach, None, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, (beta1, beta2), eps, decay = (
            float(group["lr"]),
            group["betas"],
            group["eps"],
            group["weight_decay"],
        )
        shrink, added = (1 - lr * decay, 0) if group["decoupled_weight_decay"] else (1, decay)
        names, limit = ("exp_avg", "exp_avg_sq"), 2 / (1 - beta2) - 1

        def update(p: Any, g: Any) -> None:
            own = states[p]
            begin(own, p, names)
            t = advance(own)
            trust = limit - 2 * t * beta2**t / (1 - beta2**t)
            rectified = None
            if trust > 5.0:
                ratio = (trust - 4) * (trust - 2) * limit / ((limit - 4) * (limit - 2) * trust)
                rectified = math.sqrt(ratio) * math.sqrt(1 - beta2**t)
            apply(
                radam,
                p,
                g,
                moments(own, names),
                shrink,
                added,
                beta1,
                beta2,
                eps,
                1 - beta1**t,
                lr,
                rectified,
            )

        return update
