"""`torch.cuda` on a machine without it: questions are answered (no device), requests are refused
clearly.
"""

from __future__ import annotations

from typing import Any

from .errors import OutOfMemoryError as OutOfMemoryError


def is_available() -> bool:
    """False: chainrule computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def empty_cache() -> None:
    """Nothing to release."""


def manual_seed(seed: int) -> None:
    """No generator to seed; silently ignored, as torch does."""


def manual_seed_all(seed: int) -> None:
    """No generator to seed; silently ignored, as torch does."""


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing to reset."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(
            "Torch not compiled with CUDA enabled: chainrule computes on the CPU only, and "
            f"torch.cuda.{name} was called. Guard it with torch.cuda.is_available()."
        )

    return refuse
