"""Softmax over many classes, the frequent ones first (Grave et al. 2016)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops.define import wrap
from ..ops.join import cat
from . import functional as F
from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module


class _ASMoutput(NamedTuple):
    """The log-probability of each target, and the mean loss."""

    output: Any
    loss: Any


ASMoutput = _ASMoutput


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax in two steps: over the frequent classes and the clusters of rare ones, then
    inside of a cluster.

    `cutoffs` are the first classes of the clusters; cluster i works on in_features / div_value^(i +
    1) features.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(cutoffs)
            or min(cutoffs) <= 0
            or max(cutoffs) > n_classes - 1
            or len(set(cutoffs)) != len(cutoffs)
            or any(int(c) != c for c in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an "
                "increasing order, where "
                "each value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes, self.cutoffs = (
            in_features,
            n_classes,
            [*cutoffs, n_classes],
        )
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            features = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, features, False, device, dtype),
                    Linear(features, size, False, device, dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.head.reset_parameters()
        for down, up in self.tail:
            down.reset_parameters()
            up.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> _ASMoutput:
        """The log-probability of each target class, and minus their mean."""
        single = input_.dim() == 1
        input, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if single else (input_, target_)
        if input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if int(target.min()) < 0 or int(target.max()) >= self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{int(target.min())}, {int(target.max())}] were found. "
            )
        out = self._of_targets(input, target)
        loss = (-out).mean()
        return _ASMoutput(out.squeeze(0) if single else out, loss)

    def _of_targets(self, input: Any, target: Any) -> Any:
        """The log-probability of each row's target: of its class or cluster, and inside of that."""
        classes = target._data
        inside = wrap(np.zeros(classes.shape, input.dtype.numpy))
        at_head = classes.copy()
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            rows = np.flatnonzero((low <= classes) & (classes < high))
            if rows.size:
                at_head[rows] = self.shortlist_size + i
                part = F.log_softmax(self.tail[i](input[wrap(rows)]), dim=1)
                chosen = part.gather(1, wrap((classes[rows] - low)[:, None])).squeeze(1)
                inside = inside.index_copy(0, wrap(rows), chosen)
        head = F.log_softmax(self.head(input), dim=1)
        return inside + head.gather(1, wrap(at_head[:, None])).squeeze(1)

    def _full_log_prob(self, input: Any, head_output: Any) -> Any:
        """The log-probabilities of all classes."""
        head = F.log_softmax(head_output, dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            inside = F.log_softmax(self.tail[i](input), dim=1)
            parts.append(inside + head[:, self.shortlist_size + i].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input: Any) -> Any:
        """The log-probabilities of all classes, (N, n_classes)."""
        return self._full_log_prob(input, self.head(input))

    def predict(self, input: Any) -> Any:
        """The most probable class of each row."""
        return self.log_prob(input).argmax(dim=1)
