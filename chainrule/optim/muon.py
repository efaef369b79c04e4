"""Muon: momentum whose matrices are made nearly orthogonal before they are taken as steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from ..ops.define import about_to_be_written, storage_array
from ..tape import storage_of
from ..tensor import Tensor
from .adaptive import lerp
from .optimizer import Elementwise, ParamsT, zeros_like


def rounded(a: Any) -> Any:
    """Rounded to bfloat16, in which torch iterates; kept as float32."""
    return a.astype(ml_dtypes.bfloat16).astype(np.float32)


def orthogonalized(g: Any, coefficients: tuple, steps: int, eps: float) -> Any:
    """U S' V^T for g = U S V^T, with S' near 1, by the quintic Newton-Schulz iteration
    X' = a X + (b G + c G^2) X, G = X X^T.
    """
    a, b, c = coefficients
    x = rounded(g.T if g.shape[0] > g.shape[1] else g)
    length = rounded(np.sqrt(np.add.reduce(x * x, axis=None, dtype=np.float32)))
    x = rounded(x / np.maximum(length, rounded(np.float32(eps))))
    for _ in range(steps):
        gram = rounded(x @ x.T)
        x = rounded(a * x + rounded(b * gram + c * (gram @ gram)) @ x)
    return x.T if g.shape[0] > g.shape[1] else x


RATES: dict[str | None, Callable[[int, int], float]] = {
    None: lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "original": lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}


class Muon(Elementwise):
    """Momentum with orthogonalized steps (Jordan et al. 2024), for matrices.

    Raises ValueError for parameters of other dimensions and for settings out of range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        values = {"Learning rate": lr, "momentum": momentum, "weight decay": weight_decay}
        for name, value in values.items():
            if not float(value) >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in RATES:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.ndim != 2:
                raise ValueError(
                    "Muon only supports 2D parameters whereas we found a parameter with size: "
                    f"{p.size()}"
                )

    def _update(self, group: dict) -> None:
        for p in group["params"]:
            if p._grad is not None:
                self._move(p, p._grad._data, self.state[p], group)

    def _move(self, p: Any, g: Any, own: dict, group: dict) -> None:
        """One step of one matrix."""
        data, momentum, lr = about_to_be_written(p), group["momentum"], float(group["lr"])
        if data.dtype.kind == "c":
            raise ValueError("Complex parameters are not supported")
        steps = group["ns_steps"]
        if steps >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        buffer = storage_array(own.setdefault("momentum_buffer", zeros_like(p)))
        lerp(buffer, g, 1 - momentum)
        step = g + momentum * (buffer - g) if group["nesterov"] else buffer
        step = orthogonalized(step, group["ns_coefficients"], steps, group["eps"])
        data *= 1 - lr * group["weight_decay"]
        data -= (step * (lr * RATES[group["adjust_lr_fn"]](*data.shape))).astype(data.dtype)
        storage_of(p).bump()
