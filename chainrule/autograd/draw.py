"""The graph of a tensor as text: what computed it, down to the leaves."""

from __future__ import annotations

from typing import Any

from ..tape import AccumulateGrad, Node


def draw(tensor: Any) -> str:
    """The nodes that gradients of `tensor` pass through, one a line, each below the one that used
    it.

    A node used twice is drawn once and named again by its number; leaves show their shape. Raises
    RuntimeError for a tensor without graph.
    """
    root = tensor._history()
    if root is None:
        raise RuntimeError("there is no graph to draw: the tensor does not require grad")
    lines: list[str] = []
    numbers: dict[Node, int] = {}
    stack: list[tuple[Node, str, str]] = [(root, "", "")]
    while stack:
        node, first, rest = stack.pop()
        if node in numbers:
            lines.append(f"{first}[{numbers[node]}] again")
            continue
        numbers[node] = len(numbers) + 1
        lines.append(f"{first}[{numbers[node]}] {_label(node)}")
        edges = [e for e in node.edges if e is not None]
        for i in reversed(range(len(edges))):
            last = i == len(edges) - 1
            stack.append(
                (edges[i], rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
            )
    return "\n".join(lines)


def _label(node: Node) -> str:
    if isinstance(node, AccumulateGrad):
        return f"leaf {list(node.shape)}"
    shape = node.shape
    sizes = ", ".join(str(list(s)) for s in shape) if node.op.outputs != 1 else str(list(shape))
    return f"{node.name()} {sizes}"
