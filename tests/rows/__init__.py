"""The rows of the op table, one module per family of operators."""

from __future__ import annotations

import importlib
import pkgutil

from ..op_table import Row


def families() -> dict[str, list[Row]]:
    """The rows of each family."""
    return {
        m.name: list(importlib.import_module(f"{__name__}.{m.name}").ROWS)
        for m in pkgutil.iter_modules(__path__)
    }
