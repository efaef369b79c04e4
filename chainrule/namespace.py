"""What `torch` has beside its operators: constants, modes, small questions about the library, kept
together for `chainrule/__init__.py`.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from typing import Any

from .ops import define
from .tape import AT_LARGE

inf, nan, pi, e = float("inf"), float("nan"), 3.141592653589793, 2.718281828459045
newaxis = None


class layout:
    """How elements are laid out in memory; only `strided` exists here."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class memory_format(layout):
    """The order of the dimensions in memory."""


strided, sparse_coo, sparse_csr = layout("strided"), layout("sparse_coo"), layout("sparse_csr")
contiguous_format, preserve_format = (
    memory_format("contiguous_format"),
    memory_format("preserve_format"),
)
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")


class _Threads:
    """How many threads are asked for: as many as this process has CPUs, if nobody says."""

    count = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    watchers: list[Callable[[], None]] = []  # called when the number changes


def get_num_threads() -> int:
    """The number of threads asked for."""
    return _Threads.count


def set_num_threads(n: int) -> None:
    """Ask for a number of threads for compiled code; NumPy's BLAS is governed by its own
    settings.
    """
    if not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n <= 0:
        raise RuntimeError("expected a positive number of threads")
    if n != _Threads.count:
        _Threads.count = n
        for watcher in _Threads.watchers:
            watcher()


def watch_num_threads(watcher: Callable[[], None]) -> None:
    """Have a function called whenever the number of threads changes."""
    _Threads.watchers.append(watcher)


class _Deterministic:
    on = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted; everything here is deterministic."""
    _Deterministic.on = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was last told."""
    return _Deterministic.on


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted ("highest", "high", "medium"); float32 products are always computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"Unknown float32_matmul_precision '{precision}': use 'highest', 'high' or 'medium'"
        )


def get_float32_matmul_precision() -> str:
    """ "highest"."""
    return "highest"


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, define.Tensor)


def typename(obj: Any) -> str:
    """The type of a tensor as `torch.FloatTensor`, or the name of an object's class."""
    return obj.type() if isinstance(obj, define.Tensor) else type(obj).__qualname__


class autocast(contextlib.ContextDecorator):
    """Mixed precision is understood and left off: on this CPU library float32 is the fast type, and
    results keep the precision they have. Asking for CUDA warns, as torch does without a GPU.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if enabled and device_type == "cuda":
            warnings.warn(
                "User provided device_type of 'cuda', but CUDA is not available. Disabling",
                stacklevel=2,
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was changed."""


def is_autocast_enabled(device_type: Any = None) -> bool:
    """False."""
    return False


def compile(model: Callable | None = None, **options: Any) -> Any:
    """A function that does what `model` does, as one native call (see
    `chainrule.compiler.api.compile`, whose options it takes).
    """
    from .compiler.api import compile as compiled

    return compiled(model, **options)


def _at_large() -> None:
    """Large arrays are there: machine code for them is loaded."""
    from .compiler.eager import begin

    begin()


AT_LARGE.append(_at_large)
