"""Adafactor: a second moment kept as its row and column means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import FROM_NUMPY, HALVES, finfo
from ..ops.define import about_to_be_written, storage_array, wrap
from ..tape import storage_of
from .adaptive import lerp
from .optimizer import Elementwise, ParamsT, advance, counter, zeros_like


def root_mean_square(a: Any) -> float:
    """sqrt(mean(a^2))."""
    return float(np.linalg.norm(a.reshape(-1))) / a.size**0.5


def estimate(g: Any, row: Any, column: Any, weight: float, eps: float) -> Any:
    """The second moment: the product of its running row and column means over their common mean."""
    lerp(row, np.add.reduce(g * g, axis=-1, keepdims=True) / g.shape[-1], weight)
    lerp(column, np.add.reduce(g * g, axis=-2, keepdims=True) / g.shape[-2], weight)
    mean = np.add.reduce(row, axis=-2, keepdims=True) / row.shape[-2]
    return np.matmul(row, column) / np.maximum(mean, eps)


class Adafactor(Elementwise):
    """Adafactor (Shazeer and Stern 2018) with relative step sizes."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        for name, value in (("Learning rate", lr), ("weight_decay", weight_decay)):
            if not float(value) >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if not beta2_decay <= 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        for k, e in enumerate(eps):
            if e is not None and not e >= 0:
                raise ValueError(f"epsilon{k + 1} should be >= 0 but is: {e}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def updater(self, group: dict, states: Any) -> Callable:
        """The update of one parameter with the group's settings."""
        lr, (eps1, eps2) = float(group["lr"]), group["eps"]

        def update(p: Any, g: Any) -> None:
            own = states[p]
            data = about_to_be_written(p)
            if data.dtype.kind == "c":
                raise RuntimeError("Adafactor does not support complex parameters")
            if not own:
                _begin(own, p)
            t, eps = advance(own), finfo(FROM_NUMPY[data.dtype]).eps if eps1 is None else eps1
            weight, half = t ** group["beta2_decay"], data.dtype in HALVES
            wide, g = (data.astype(np.float32), g.astype(np.float32)) if half else (data, g)
            rate = max(eps2, root_mean_square(wide)) * min(lr, 1 / t**0.5)
            wide *= 1 - lr * group["weight_decay"]
            moment = _moment(own, g, weight, eps)
            step = g / np.sqrt(np.maximum(moment, eps * eps))
            step *= rate / max(1.0, root_mean_square(step) / group["d"])
            np.subtract(wide, step, out=data, casting="same_kind")
            storage_of(p).bump()

        return update


def _begin(own: dict, p: Any) -> None:
    own["step"] = counter()
    if p._data.ndim < 2:
        own["variance"] = zeros_like(p)
        return
    shape, dtype = p._data.shape, p._data.dtype
    own["row_var"] = wrap(np.zeros((*shape[:-1], 1), dtype))
    own["col_var"] = wrap(np.zeros((*shape[:-2], 1, shape[-1]), dtype))


def _moment(own: dict, g: Any, weight: float, eps: float) -> Any:
    if "variance" in own:
        variance = storage_array(own["variance"])
        lerp(variance, g * g, weight)
        return variance
    return estimate(g, storage_array(own["row_var"]), storage_array(own["col_var"]), weight, eps)
