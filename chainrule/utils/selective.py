"""Selective checkpointing: a policy says which operators' results a checkpoint keeps, so that the
second run need not compute them again.

Operators run their kernels through what `state.mode` says. Within the context of the first run that
is `Keeping`, which calls the kernel and keeps what the policy wants kept, by operator and by how
often it has been called; within that of the second run it is `Recalling`, which hands out what was
kept in place of calling the kernel. Views and in-place writes have nothing to keep.
"""

from __future__ import annotations

import enum
import functools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..ops.aten import Overload, Packet, name_of, operator_of
from ..ops.define import Op, wrap
from ..storage import overwritten, tick
from ..tape import state


class CheckpointPolicy(enum.Enum):
    """What becomes of an operator's result: kept for the backward pass or computed again in it.

    Nothing here overrides a policy, nor is there another device: MUST and PREFER are the same, and
    CPU_OFFLOAD is RECOMPUTE.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


SAVING = (True, CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)
RECOMPUTED, CONSUMED = object(), object()
WHY = (
    "This can happen if the operations in the checkpointed region are nondeterministic or depend on"
    " global state that changed between forward and backward."
)


class SelectiveCheckpointContext:
    """What a policy is told besides the operator and its arguments: `op_output`, the result.
    `is_recompute` is False: in the second run nobody is asked.
    """

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


class _Kept:
    """A result, with the time it was made."""

    def __init__(self, out: Any) -> None:
        self.out, self.seq = out, tick()

    def get(self, lenient: bool) -> Any:
        """The result, if nobody has written into it, or that is allowed."""
        out = self.out
        if not lenient and overwritten(out if isinstance(out, (tuple, list)) else (out,), self.seq):
            raise RuntimeError(
                "Tensor cached during selective activation checkpoint has been mutated"
            )
        return out


class _Running:
    """A context in which operators run their kernels through `run`."""

    operator: Callable  # (operator, number of its call, frame, kernel, arguments) -> the result

    def __init__(self, kept: dict) -> None:
        self.kept = kept
        self.counts: Counter = Counter()
        self.busy = False

    def __enter__(self) -> Any:
        self.counts.clear()
        self.under = state.mode[0]
        state.mode = (self.run, state.mode[1])  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        state.mode = (self.under, state.mode[1])

    def run(self, kernel: Callable, *args: Any) -> Any:
        """What stands for calling a kernel."""
        if self.busy:  # a kernel that calls operators
            return kernel(*args)
        frame = sys._getframe(1)
        op = operator_of(kernel, frame)
        if op is None or op.view:
            return self.under(kernel, *args)
        place = self.counts[op]
        self.counts[op] += 1
        return self.operator(op, place, frame, kernel, args)

    def compute(self, kernel: Callable, args: tuple) -> Any:
        """Call the kernel itself."""
        self.busy = True
        try:
            return self.under(kernel, *args)
        finally:
            self.busy = False


class Keeping(_Running):
    """The first run."""

    def __init__(self, policy: Callable, kept: dict) -> None:
        super().__init__(kept)
        self.policy = policy

    def operator(self, op: Op, place: int, frame: Any, kernel: Callable, args: tuple) -> Any:
        self.kept[op][place] = RECOMPUTED
        out = self.compute(kernel, args)
        if self.ask(op, frame, args, out[0] if op.extra else out):
            self.kept[op][place] = _Kept(out)
        return out

    def ask(self, op: Op, frame: Any, args: tuple, out: Any) -> bool:
        """Whether the policy wants a result kept."""
        context = SelectiveCheckpointContext(is_recompute=False, op_output=_shown(out))
        name = Overload(name_of(op), "default", frame)
        mode = state.mode
        state.mode = (self.under, False)
        try:
            return self.policy(context, name, *map(_shown, args)) in SAVING
        finally:
            state.mode, name.frame = mode, None


class Recalling(_Running):
    """The second run."""

    def __init__(self, kept: dict, lenient: bool) -> None:
        super().__init__(kept)
        self.lenient = lenient

    def operator(self, op: Op, place: int, frame: Any, kernel: Callable, args: tuple) -> Any:
        found = self.kept[op].get(place) if op in self.kept else None
        if found is RECOMPUTED:
            return self.compute(kernel, args)
        try:
            out = self.recalled(found, op, place)
        except RuntimeError:
            self.counts[op] -= 1  # the operator tries again, in a way that lets errors through
            raise
        self.kept[op][place] = CONSUMED
        return out

    def recalled(self, found: Any, op: Op, place: int) -> Any:
        """What was kept of an operator's call; raises RuntimeError where nothing was."""
        if isinstance(found, _Kept):
            return found.get(self.lenient)
        if found is CONSUMED:
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any"
                " region computed under selective activation checkpoint."
            )
        call = f" invocation index {place}" if op in self.kept else ""
        raise RuntimeError(
            f"aten.{name_of(op)}.default{call} encountered during backward but not found in"
            f" storage. {WHY}"
        )


def _shown(a: Any) -> Any:
    """An array as a tensor; what is none stays."""
    if isinstance(a, (tuple, list)):
        return type(a)([_shown(e) for e in a])
    return wrap(a) if isinstance(a, (np.ndarray, np.generic, Duck)) else a


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False
) -> tuple[Keeping, Recalling]:
    """The two contexts for `checkpoint(..., use_reentrant=False, context_fn=...)` that keep the
    results of some operators, so that the backward pass does not compute them again.

    `policy_fn_or_list` is a list of operators to keep (`torch.ops.aten.mm.default`, or functions as
    they are called: `torch.matmul` keeps every operator that runs inside of it), or a function
    `policy(context, op, *args)` that returns a `CheckpointPolicy`; `args` are the tensors and
    parameters that the operator's kernel gets, `op` compares to the names and functions. It is
    asked about every operator but views and in-place writes. Backward through such a region works
    once.

    Raises RuntimeError in the backward pass if a result that was kept has been written in place
    meanwhile, unless `allow_cache_entry_mutation`; ValueError for a list with something else in it.

    >>> import functools, chainrule as torch
    >>> from chainrule.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> x = torch.ones(2, 2, requires_grad=True)
    >>> keep = functools.partial(create_selective_checkpoint_contexts, [torch.mm])
    >>> y = checkpoint(lambda x: x.mm(x).sin(), x, use_reentrant=False, context_fn=keep)
    >>> y.sum().backward()
    >>> x.grad
    tensor([[-1.6646, -1.6646],
            [-1.6646, -1.6646]])
    """
    if isinstance(policy_fn_or_list, list):
        wanted = [_checked(op) for op in policy_fn_or_list]
        policy = functools.partial(_is_listed, wanted)
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    kept: dict = defaultdict(dict)
    return Keeping(policy, kept), Recalling(kept, allow_cache_entry_mutation)


def _is_listed(wanted: list, context: Any, op: Overload, *args: Any) -> bool:
    return op in wanted


def _checked(op: Any) -> Any:
    """An entry of a list of operators."""
    if isinstance(op, Overload) or (callable(op) and hasattr(op, "__code__")):
        return op
    packet = (
        "Please update the OpOverloadPacket to a specific OpOverload.For example, if you have"
        " `torch.ops.aten.mm`, change it to `torch.ops.aten.mm.default`."
    )
    raise ValueError(
        f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}."
        f" {packet if isinstance(op, Packet) else ''}"
    )
