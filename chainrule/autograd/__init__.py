"""Automatic differentiation: what `torch.autograd` offers."""

from . import forward_ad as forward_ad
from . import functional as functional
from . import graph as graph
from .anomaly import detect_anomaly as detect_anomaly
from .anomaly import set_detect_anomaly as set_detect_anomaly
from .function import Function as Function
from .modes import enable_grad as enable_grad
from .modes import inference_mode as inference_mode
from .modes import no_grad as no_grad
from .modes import set_grad_enabled as set_grad_enabled
from .reverse import backward as backward
from .reverse import grad as grad
from .transposition import by_transposition as by_transposition
