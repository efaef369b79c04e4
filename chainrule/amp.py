"""`torch.amp`: mixed precision is understood and left off (see `autocast`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .namespace import autocast as autocast
from .namespace import is_autocast_enabled as is_autocast_enabled


class GradScaler:
    """Loss scaling, off as it is in torch without CUDA: losses and gradients pass unscaled."""

    def __init__(self, device: str = "cuda", **options: Any) -> None:
        self.device = device

    def scale(self, outputs: Any) -> Any:
        """The outputs as they are."""
        return outputs

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()`."""
        return optimizer.step(*args, **kwargs)

    def unscale_(self, optimizer: Any) -> None:
        """Gradients are not scaled."""

    def update(self, new_scale: Any = None) -> None:
        """There is no scale to adapt."""

    def is_enabled(self) -> bool:
        """False."""
        return False

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def state_dict(self) -> dict:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """Nothing to load."""


def custom_fwd(f: Callable | None = None, **options: Any) -> Callable:
    """The forward of a Function, as it is."""
    return (lambda g: g) if f is None else f


custom_bwd = custom_fwd
