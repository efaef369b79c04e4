"""What stands beside tensors and modules: loading data, hooks, exchange with other libraries."""

import importlib
from typing import Any

MODULES = ("checkpoint", "data", "dlpack", "hooks")


def __getattr__(name: str) -> Any:
    """Import a submodule when it is first asked for."""
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
