"""The graph from the outside: nodes, edges, version counters."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..tape import Node as Node
from ..tape import storage_of


class GradientEdge(NamedTuple):
    """Where a gradient arrives: output `output_nr` of `node`."""

    node: Any
    output_nr: int


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The edge that the gradient of `tensor` arrives at."""
    node = tensor._history()
    if node is None:
        raise RuntimeError("Cannot get gradient edge from Tensor that does not require grad")
    return GradientEdge(node.shown if hasattr(node.op, "node_class") else node, tensor._index)


def increment_version(tensor: Any) -> None:
    """Note that the memory of a tensor (or of each of several) was changed by something that
    autograd did not see.
    """
    for t in tensor if isinstance(tensor, (list, tuple)) else (tensor,):
        storage_of(t).bump()
