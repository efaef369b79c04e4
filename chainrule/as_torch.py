"""`import torch` gives chainrule: an importer that answers for the name torch and everything below
it.

`torch.nn.functional` becomes `chainrule.nn.functional`, and so on. A module that chainrule lacks
raises ModuleNotFoundError which names it and lists what there is.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _TorchImporter:
    """Finds `torch` and `torch.x.y`, and loads `chainrule` and `chainrule.x.y` for them."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name != "torch" and not name.startswith("torch."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> ModuleType:
        ours = "chainrule" + spec.name[len("torch") :]
        try:
            module = importlib.import_module(ours)
        except ModuleNotFoundError as e:
            if e.name is None or not ours.startswith(e.name):
                raise
            raise ModuleNotFoundError(_missing(spec.name, ours), name=spec.name) from None
        self._kept = (module.__spec__, module.__loader__, module.__package__)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__, module.__loader__, module.__package__ = self._kept


def _missing(name: str, ours: str) -> str:
    parent = importlib.import_module(ours.rpartition(".")[0])
    there = sorted(m.name for m in pkgutil.iter_modules(getattr(parent, "__path__", [])))
    return (
        f"No module named '{name}': chainrule does not have it. "
        f"'{name.rpartition('.')[0]}' has the modules {', '.join(there) or '(none)'}."
    )


def install_as_torch() -> None:
    """Make `import torch` (and `from torch import nn` ...) give chainrule in this process.

    Raises RuntimeError if the real torch has already been imported.
    """
    loaded = sys.modules.get("torch")
    if loaded is not None and not loaded.__name__.startswith("chainrule"):
        raise RuntimeError(
            "torch has already been imported in this process; call install_as_torch() before"
            " anything imports it"
        )
    if not any(isinstance(f, _TorchImporter) for f in sys.meta_path):
        sys.meta_path.insert(0, _TorchImporter())
