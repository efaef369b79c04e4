"""Automatic differentiation: what `torch.autograd` offers. What not every program needs is imported
when it is first asked for.
"""

import importlib as _importlib
import sys as _sys
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import graph as graph
from . import transposition as transposition  # forward mode falls back on it
from .modes import enable_grad as enable_grad
from .modes import inference_mode as inference_mode
from .modes import no_grad as no_grad
from .modes import set_grad_enabled as set_grad_enabled
from .reverse import backward as backward
from .reverse import grad as grad

if _TYPE_CHECKING:
    from . import forward_ad as forward_ad
    from . import function as function
    from . import functional as functional
    from .anomaly import detect_anomaly as detect_anomaly
    from .anomaly import set_detect_anomaly as set_detect_anomaly
    from .function import Function as Function
    from .function import NestedIOFunction as NestedIOFunction
    from .gradcheck import gradcheck as gradcheck
    from .gradcheck import gradgradcheck as gradgradcheck
    from .rules import rule as rule

__all__ = [
    "Function",
    "NestedIOFunction",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "rule",
    "set_detect_anomaly",
    "set_grad_enabled",
]
_MODULES = ("forward_ad", "function", "functional")
_ELSEWHERE = {
    "Function": "function",
    "NestedIOFunction": "function",
    "RuleReport": "consistency",
    "check_rules": "consistency",
    "detect_anomaly": "anomaly",
    "gradcheck": "gradcheck",
    "gradgradcheck": "gradcheck",
    "rule": "rules",
    "set_detect_anomaly": "anomaly",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _importlib.import_module(f".{name}", __name__)
    if name in _ELSEWHERE:
        found = getattr(_importlib.import_module(f".{_ELSEWHERE[name]}", __name__), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({n for n in globals() if not n.startswith("_")} | {*_MODULES, *_ELSEWHERE})


class _Autograd(_ModuleType):
    """Keeps the function `gradcheck` where importing the module of that name would put itself, as
    in torch.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name == "gradcheck" and isinstance(value, _ModuleType):
            value = value.gradcheck
        super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Autograd
