"""Automatic differentiation: what `torch.autograd` offers."""

from . import forward_ad as forward_ad
from . import functional as functional
from . import graph as graph
from . import transposition as transposition  # forward mode falls back on it
from .anomaly import detect_anomaly as detect_anomaly
from .anomaly import set_detect_anomaly as set_detect_anomaly
from .function import Function as Function
from .function import NestedIOFunction as NestedIOFunction
from .gradcheck import (
    gradcheck as gradcheck,
)  # the function, as in torch; the module stays importable
from .gradcheck import gradgradcheck as gradgradcheck
from .modes import enable_grad as enable_grad
from .modes import inference_mode as inference_mode
from .modes import no_grad as no_grad
from .modes import set_grad_enabled as set_grad_enabled
from .reverse import backward as backward
from .reverse import grad as grad
from .rules import rule as rule


def __getattr__(name: str) -> object:
    if name in ("check_rules", "RuleReport"):  # a tool for those who write rules
        from . import consistency

        return getattr(consistency, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
