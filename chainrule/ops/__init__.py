"""The operators, one module per family; `define` says what an operator is."""

import importlib
from typing import Any

from .. import tensor as tensor


def __getattr__(name: str) -> Any:
    """Import the names of torch's operators when they are first asked for."""
    if name == "aten":
        return importlib.import_module(f"{__name__}.aten")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
