"""`why_no_grad`: why a parameter has no gradient, and which line cut it off.

The graph of the loss says whether the parameter is reached. Where it is not, the notes in `cuts`
say which lines took a value that depends on it out of the graph. They are limited, so several lines
may come into question; given a function that computes the loss, `why_no_grad` runs it and looks at
every operation on the way, and then names exactly the lines at which the parameter was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe
from typing import Any

from .. import cuts, dtypes
from ..ops import define
from ..storage import describe_line, user_line
from ..tape import AccumulateGrad, Node, state
from .anomaly import caller, tensors_of

SHOWN = 8  # lines of one kind that an explanation lists at most
ADVICE = {
    "item()": "compute with the tensor, not with the Python number",
    "tolist()": "compute with the tensor, not with Python numbers",
    "a conversion to a Python number": "compute with the tensor, not with the Python number",
    "torch.tensor(), a copy": "use the tensor itself, or torch.stack for a list of tensors",
    "numpy(force=True)": "compute with tensors, not with NumPy",
    "detach()": "leave detach() (and .numpy() after it) out where the gradient is to pass",
    "detach_()": "leave it out where the gradient is to pass",
    ".data": "use the tensor itself",
    "cast": "gradients do not pass through integers and bools",
}


def why_no_grad(param: Any, loss: Any) -> str:
    """Explain why `param.grad` is None after `loss.backward()`; prints the explanation and returns
    it.

    Says whether `loss` depends on `param`, and by which operations, or else what cut the
    connection and at which line: detach, no_grad, a cast to integers, `.item()`, NumPy, a copy, an
    operation without derivative. `loss` may be a function without arguments that computes the loss
    anew: it is run once, and every operation in it is looked at. Without it the lines noted while
    the program ran are given, the latest first. Raises TypeError if `param` is not a tensor, or
    `loss` neither a tensor nor a function that returns one.
    """
    if not isinstance(param, define.Tensor):
        raise TypeError(f"why_no_grad() explains a Tensor, not a {type(param).__name__}")
    told = of_param(param)
    if not told:
        told = by_running(param, loss) if not _is_tensor(loss) else by_notes(param, loss)
    text = "\n".join(told)
    print(text)
    return text


def _is_tensor(loss: Any) -> bool:
    if isinstance(loss, define.Tensor):
        return True
    if not callable(loss):
        raise TypeError(
            "why_no_grad() needs the loss, a Tensor, or a function that computes it, not a "
            f"{type(loss).__name__}"
        )
    return False


def of_param(param: Any) -> list[str]:
    """What is wrong with the parameter itself, if anything."""
    node = param._history()
    if node is None:
        d = dtypes.of(param._data)
        if d.category < dtypes.FLOATING:
            return [
                f"The tensor has dtype {d}; only floating point and complex tensors have grads."
            ]
        return [
            "The tensor does not require grad: call requires_grad_() on it before the loss is"
            " computed (tensors made under no_grad or by detach() do not require grad either)."
        ]
    if type(node) is not AccumulateGrad and not param.retains_grad:
        return [
            f"The tensor is no leaf: {node.name()} computed it at {node.line}. Its gradient flows"
            " on to the leaves it was computed from. Call retain_grad() on it to keep it, or make"
            " it a leaf by detach().requires_grad_()."
        ]
    return []


# -- reached ---------------------------------------------------------------------------------------


def path_to(leaf: Any, loss: Any) -> list[Node] | None:
    """The nodes from that of `loss` down to that of `leaf`, or None if there is no way."""
    start, goal = loss._history(), leaf._node
    if start is None:
        return None
    came: dict[Node, Node | None] = {start: None}
    stack = [start]
    while stack:
        node: Any = stack.pop()
        if node is goal:
            path = []
            while node is not None:
                path.append(node)
                node = came[node]
            return path[::-1]
        for e in node.edges:
            if e is not None and e not in came and e.seq >= goal.seq:
                came[e] = node
                stack.append(e)
    return None


def reached(param: Any, path: list[Node]) -> list[str]:
    """What to say when the loss does depend on the parameter."""
    way = [f"  {n.name()}, {n.line}" for n in path if type(n) is not AccumulateGrad]
    if len(way) > SHOWN:
        way[SHOWN // 2 : -SHOWN // 2] = [f"  ... {len(way) - SHOWN} more ..."]
    told = ["The loss depends on the tensor, by way of:", *way]
    if param._grad is not None:
        return [*told, "and its .grad is there."]
    return [
        *told,
        "so backward() gives it a gradient. It is None because backward() was not called on this"
        " loss since, or was called with other `inputs=`, or the gradient was set to None again (by"
        " zero_grad()), or was taken by autograd.grad(), which leaves .grad alone.",
    ]


# -- cut, by what was noted ------------------------------------------------------------------------


def by_notes(param: Any, loss: Any) -> list[str]:
    """The explanation from the loss's graph and the notes of cuts."""
    path = path_to(param, loss)
    if path is not None:
        return reached(param, path)
    told = [missing(loss)]
    found = [c for c in cuts.CUTS.values() if c.off(param)]
    if found:
        told.append("A value that depends on it left the graph, the latest first:")
        told += _latest(found)
    blocks = [c for c in cuts.BLOCKS.values() if c.latest > param._node.seq]
    if blocks:
        told.append("What is computed in such a block is not recorded, the latest entered first:")
        told += _latest(blocks)
    if not found and not blocks:
        told.append("Nothing cut a value off it: the loss was computed without the tensor.")
    if not found:
        told += others(param, loss)
    told.append("For the exact line give a function: why_no_grad(param, lambda: compute_loss()).")
    return told


def missing(loss: Any) -> str:
    """That the loss does not lead to the parameter."""
    if loss._history() is None:
        return "The loss has no graph: nothing it was computed from requires grad, or it was cut."
    return "The loss has a graph, but the tensor is not in it."


def _latest(found: list) -> list[str]:
    found = sorted(found, key=lambda c: -c.latest)
    return [_described(c.kind, c.line) for c in found[:SHOWN]]


def _described(kind: str, line: str) -> str:
    advice = ADVICE.get(kind)
    name = "a cast to integers or bools" if kind == "cast" else kind
    return f"  {name} at {line} " + (f"({advice})" if advice else "has no derivative")


def others(param: Any, loss: Any) -> list[str]:
    """A leaf of the same shape that the loss does reach: the parameter may be an old copy of it."""
    node = loss._history()
    if node is None:
        return []
    leaves = [r() for r in cuts.leaves_below(node, 100_000).values()]
    like = sum(x is not None and x.shape == param.shape for x in leaves)
    text = f"The loss reaches {len(leaves)} other leaves"
    return [f"{text}, {like} of the same shape: is the tensor a copy that is not used?"] * bool(
        like
    )


# -- cut, as seen on the way -----------------------------------------------------------------------


class Listener:
    """Runs kernels in the place of `run`, and writes down where `param` is lost."""

    def __init__(self, param: Any, run: Callable) -> None:
        self.goal, self.run = param._node, run
        self.param = param
        self.found: dict[str, None] = {}  # in the order of their happening
        self.known: dict[Node, bool] = {}

    def depends(self, x: Any) -> bool:
        """Whether the history of a tensor, or of what it is an unrecorded view of, leads to the
        parameter.
        """
        node = x._node
        if node is None:
            return x._base is not None and self.leads(x._base._node)
        return self.leads(node)

    def leads(self, node: Node | None) -> bool:
        """Whether the parameter's node is below `node`."""
        if node is None:
            return False
        found = self.known.get(node)
        if found is None:
            stack, seen = [node], {node}
            while stack and not self.known.get(stack[-1]) and stack[-1] is not self.goal:
                for e in stack.pop().edges:
                    if e is not None and e not in seen and self.known.get(e) is not False:
                        seen.add(e)
                        stack.append(e)
            found = self.known[node] = bool(stack)
        return found

    def heard(self, kind: str, x: Any, line: str) -> None:
        """A cut was noted."""
        if self.depends(x):
            self.found[_described(kind, line)] = None

    def __call__(self, kernel: Callable, *args: Any) -> Any:
        frame = _getframe(1)
        name, op = caller(frame)
        if name:
            lost = [x for x in tensors_of(frame) if self.depends(x)]
            if lost:
                self.judge(name, op, lost)
        return self.run(kernel, *args)

    def judge(self, name: str, op: Any, lost: list) -> None:
        """An operation on values that depend on the parameter: is it recorded?"""
        line = describe_line(*user_line(2))
        if not state.mode[1]:
            blocks = max(cuts.BLOCKS.values(), key=lambda c: c.latest, default=None)
            where = f", in the {blocks.kind} block of {blocks.line}" if blocks else ""
            self.found[f"  {name} at {line} was not recorded{where}"] = None
        elif op is not None and not op.rules and op.plain:  # the others left a note
            self.found[f"  {name} at {line} has no derivative"] = None
        elif all(x._node is None for x in lost):
            self.found[f"  {name} at {line} used a view made without recording"] = None


def by_running(param: Any, compute: Callable) -> list[str]:
    """The explanation from one run of the function that computes the loss."""
    mode = state.mode
    listener = Listener(param, mode[0])
    before = cuts.journal.listener
    state.mode, cuts.journal.listener = (listener, mode[1]), listener.heard  # type: ignore[assignment]
    try:
        loss = compute()
    finally:
        state.mode, cuts.journal.listener = mode, before
    if not isinstance(loss, define.Tensor):
        told = [f"The function returned no tensor but a {type(loss).__name__}."]
    else:
        path = path_to(param, loss)
        if path is not None:
            return reached(param, path)
        told = [missing(loss)]
    if listener.found:
        told.append("Values that depend on the tensor were lost here, in this order:")
        return told + list(listener.found)[: 2 * SHOWN]
    return [*told, "The function does not use the tensor.", *_copies(param, loss)]


def _copies(param: Any, loss: Any) -> list[str]:
    return others(param, loss) if isinstance(loss, define.Tensor) else []
