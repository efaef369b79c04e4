"""Averages of weights over training (Izmailov et al. 2018), and the schedule that goes with
them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..autograd.modes import no_grad
from ..nn.module import Module
from ..nn.norm import _NormBase
from ..ops.define import wrap
from .lr_scheduler import LRScheduler, per_group
from .optimizer import Optimizer


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """A function that moves lists of averages towards the present values: a += (1 - decay)(p -
    a)."""
    _check_decay(decay)

    @no_grad()
    def average(averages: Any, present: Any, _: Any) -> None:
        for a, p in zip(averages, present, strict=True):
            a.lerp_(p, 1 - decay)

    return average


def get_swa_multi_avg_fn() -> Callable:
    """A function that takes present values into lists of equal averages: a += (p - a) / (n + 1)."""

    @no_grad()
    def average(averages: Any, present: Any, count: Any) -> None:
        for a, p in zip(averages, present, strict=True):
            a.lerp_(p, 1 / (float(count) + 1))

    return average


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """A function that gives decay * average + (1 - decay) * present."""
    _check_decay(decay)

    @no_grad()
    def average(average: Any, present: Any, _: Any) -> Any:
        return decay * average + (1 - decay) * present

    return average


def get_swa_avg_fn() -> Callable:
    """A function that gives average + (present - average) / (count + 1)."""

    @no_grad()
    def average(average: Any, present: Any, count: Any) -> Any:
        return average + (present - average) / (count + 1)

    return average


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


class AveragedModel(Module):
    """A copy of a model whose parameters are averages; `update_parameters(model)` takes another in.

    The averages are equal ones, unless `avg_fn` (of one tensor) or `multi_avg_fn` (of lists) say
    otherwise; `use_buffers` averages buffers too.
    """

    n_averaged: Any

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", wrap(np.zeros((), np.int64)))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model gives."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present values of a model into the averages."""
        own, present = (list(m.parameters()) for m in (self.module, model))
        if self.use_buffers:
            own, present = (  # type: ignore[assignment]
                p + list(m.buffers()) for p, m in ((own, self.module), (present, model))
            )
        with no_grad():
            if not self.n_averaged.item():
                for a, p in zip(own, present, strict=True):
                    a.copy_(p)
            else:
                self._average([a.detach() for a in own], [p.detach() for p in present])
            if not self.use_buffers:
                for a, p in zip(self.module.buffers(), model.buffers(), strict=True):  # type: ignore[assignment]
                    a.copy_(p)
            self.n_averaged.add_(1)

    def _average(self, own: list, present: list) -> None:
        if self.avg_fn is None:
            average = self.multi_avg_fn or get_swa_multi_avg_fn()
            floating = [a.is_floating_point() or a.is_complex() for a in own]
            chosen = [[t for t, f in zip(x, floating, strict=True) if f] for x in (own, present)]
            average(*chosen, self.n_averaged)
            for a, p, f in zip(own, present, floating, strict=True):
                if not f:
                    a.copy_(p)
            return
        for a, p in zip(own, present, strict=True):
            a.copy_(self.avg_fn(a, p, self.n_averaged))


@no_grad()
def update_bn(loader: Iterable, model: Module, device: Any = None) -> None:
    """Compute the running statistics of a model's batch normalisations anew, over all of `loader`.

    A batch that is a list or tuple counts by its first element.
    """
    norms = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    if not norms:
        return
    before, training = [m.momentum for m in norms], model.training
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    model.train()
    for batch in loader:
        model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    for m, momentum in zip(norms, before, strict=True):
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """Rates that go to `swa_lr` in `anneal_epochs` epochs, along a cosine or a line, and stay
    there."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = per_group("swa_lr", swa_lr, optimizer.param_groups)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: float) -> float:
        """How much of the way has been gone."""
        part = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return part if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * part)) / 2

    def get_lr(self) -> list:
        """The next rates: the old start is worked out from the present rates."""
        present = self._present()
        step = self._step_count - 1
        before, now = self._share(max(0, step - 1)), self._share(max(0, step))
        if not self.anneal_epochs:
            before = now = 1.0
        rates = []
        for group, rate in zip(self.optimizer.param_groups, present, strict=True):
            end = group["swa_lr"]
            start = end if before == 1 else (rate - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
