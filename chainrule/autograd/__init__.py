"""Automatic differentiation: what `torch.autograd` offers."""

from . import forward_ad as forward_ad
from . import functional as functional
from . import graph as graph
from .anomaly import detect_anomaly as detect_anomaly
from .anomaly import set_detect_anomaly as set_detect_anomaly
from .consistency import RuleReport as RuleReport
from .consistency import check_rules as check_rules
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
from .transposition import by_transposition as by_transposition
