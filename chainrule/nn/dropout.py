"""Dropout: in training, zero elements (or whole channels) at random; in evaluation, pass everything
through.
"""

from __future__ import annotations

from typing import Any

from . import functional as F
from .module import Module


class _DropoutNd(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Each element is 0 with probability p, else divided by 1 - p (Hinton et al. 2012)."""

    def forward(self, input: Any) -> Any:
        """The input, thinned out in training."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Each channel of (N, C, L) is 0 with probability p, else divided by 1 - p (Tompson et al.
    2015).
    """

    def forward(self, input: Any) -> Any:
        """The input, thinned out in training."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Each channel of (N, C, H, W) is 0 with probability p, else divided by 1 - p (Tompson et al.
    2015).
    """

    def forward(self, input: Any) -> Any:
        """The input, thinned out in training."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Each channel of (N, C, D, H, W) is 0 with probability p, else divided by 1 - p (Tompson et
    al. 2015).
    """

    def forward(self, input: Any) -> Any:
        """The input, thinned out in training."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout for SELU networks: keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, input: Any) -> Any:
        """The input, thinned out in training."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """Alpha dropout of whole channels."""

    def forward(self, input: Any) -> Any:
        """The input, thinned out in training."""
        return F.feature_alpha_dropout(input, self.p, self.training)
