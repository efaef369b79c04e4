"""Activations as modules: each calls the function of its name in `nn.functional` with the settings
it was made with.
"""

from __future__ import annotations

from typing import Any

from . import functional as F
from . import init as initial
from .module import Module
from .parameter import Parameter, blank


class _Switch(Module):
    """An activation whose only setting is whether it works in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_Switch):
    """max(x, 0)."""

    def forward(self, input: Any) -> Any:
        """max(x, 0)."""
        return F.relu(input, self.inplace)


class SELU(_Switch):
    """scale * (max(0, x) + min(0, alpha (exp(x) - 1))) (Klambauer et al. 2017)."""

    def forward(self, input: Any) -> Any:
        """The activation of each element."""
        return F.selu(input, self.inplace)


class SiLU(_Switch):
    """x sigmoid(x)."""

    def forward(self, input: Any) -> Any:
        """x sigmoid(x)."""
        return F.silu(input, self.inplace)


class Mish(_Switch):
    """x tanh(softplus(x)) (Misra 2019)."""

    def forward(self, input: Any) -> Any:
        """x tanh(softplus(x))."""
        return F.mish(input, self.inplace)


class Hardsigmoid(_Switch):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, input: Any) -> Any:
        """min(max(x + 3, 0), 6) / 6."""
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardswish(Hardsigmoid):
    """x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)."""

    def forward(self, input: Any) -> Any:
        """x min(max(x + 3, 0), 6) / 6."""
        return F.hardswish(input, self.inplace)


class Hardtanh(Module):
    """x held within [min_val, max_val]."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.max_val > self.min_val:
            raise AssertionError(
                f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})"
            )

    def forward(self, input: Any) -> Any:
        """x held within [min_val, max_val]."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (
            ", inplace=True" if self.inplace else ""
        )


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Threshold(Module):
    """x where x > threshold, else `value`."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Any) -> Any:
        """x where x > threshold, else `value`."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (
            ", inplace=True" if self.inplace else ""
        )


class _Alpha(Module):
    """An activation with the settings `alpha` and `inplace`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class ELU(_Alpha):
    """x if x > 0, else alpha (exp(x) - 1) (Clevert et al. 2015)."""

    def forward(self, input: Any) -> Any:
        """x if x > 0, else alpha (exp(x) - 1)."""
        return F.elu(input, self.alpha, self.inplace)


class CELU(_Alpha):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)) (Barron 2017)."""

    def forward(self, input: Any) -> Any:
        """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
        return F.celu(input, self.alpha, self.inplace)


class LeakyReLU(Module):
    """x if x > 0, else negative_slope x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Any) -> Any:
        """x if x > 0, else negative_slope x."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class RReLU(Module):
    """x if x > 0, else a x, with a drawn uniformly from [lower, upper) in training and their mean
    in evaluation.
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        """x if x > 0, else a x."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (
            ", inplace=True" if self.inplace else ""
        )


class PReLU(Module):
    """x if x > 0, else w x, with one learnt w or one per channel (He et al. 2015)."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(blank(num_parameters, dtype, device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every w is `init`."""
        initial.constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        """x if x > 0, else w x."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class GELU(Module):
    """x Phi(x), with Phi the normal distribution function, or its "tanh" approximation (Hendrycks
    and Gimpel 2016).
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        """x Phi(x)."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Any) -> Any:
        """1 / (1 + exp(-x))."""
        return F.sigmoid(input)


class Tanh(Module):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""

    def forward(self, input: Any) -> Any:
        """tanh(x)."""
        return F.tanh(input)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x)))."""

    def forward(self, input: Any) -> Any:
        """log(1 / (1 + exp(-x)))."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input: Any) -> Any:
        """x / (1 + |x|)."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, input: Any) -> Any:
        """x - tanh(x)."""
        return F.tanhshrink(input)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Any) -> Any:
        """log(1 + exp(beta x)) / beta."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _Lambda(Module):
    """A shrinking function with the setting `lambd`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Lambda):
    """x where |x| > lambd, else 0."""

    def forward(self, input: Any) -> Any:
        """x where |x| > lambd, else 0."""
        return F.hardshrink(input, self.lambd)


class Softshrink(_Lambda):
    """x moved towards 0 by lambd, and 0 where it would cross."""

    def forward(self, input: Any) -> Any:
        """x moved towards 0 by lambd."""
        return F.softshrink(input, self.lambd)


class GLU(Module):
    """a sigmoid(b), with a and b the halves of x along `dim` (Dauphin et al. 2016)."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """a sigmoid(b)."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _Along(Module):
    """A normalised exponential along `dim`; without one, torch's old choice by the number of
    dimensions.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """exp(x) / sum(exp(x)) along `dim`."""

    def forward(self, input: Any) -> Any:
        """exp(x) / sum(exp(x))."""
        return F.softmax(input, self.dim)


class Softmin(_Along):
    """exp(-x) / sum(exp(-x)) along `dim`."""

    def forward(self, input: Any) -> Any:
        """exp(-x) / sum(exp(-x))."""
        return F.softmin(input, self.dim)


class LogSoftmax(_Along):
    """x - log(sum(exp(x))) along `dim`."""

    def forward(self, input: Any) -> Any:
        """x - log(sum(exp(x)))."""
        return F.log_softmax(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Any) -> Any:
        """exp(x) / sum(exp(x)) over channels."""
        if input.dim() not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead"
            )
        return F.softmax(input, -3)
