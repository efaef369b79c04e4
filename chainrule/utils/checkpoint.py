"""Trading time for memory: a checkpointed function's intermediate values are not kept for the
backward pass but computed again in it.

Without re-entry (`use_reentrant=False`), saved-tensor hooks count the values that nodes save within
the function and keep nothing of them. When the backward pass asks for the first one, the function
runs once more, with hooks that gather the same values in the same order, and stops as soon as the
last one is there. The graph of the first run stays, so everything that works on a graph works
through a checkpoint: double backward, `autograd.grad`, transforms, and checkpoints in checkpoints
(the inner one's inputs are values that the outer one need not keep).

With re-entry, one node stands for the whole function; its derivative is a second backward pass
inside the first.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ..arrays.levels import RUNNING, linearizing, stack
from ..autograd import saved
from ..autograd.function import Function
from ..autograd.graph import saved_tensors_hooks
from ..autograd.modes import enable_grad
from ..autograd.reverse import backward as run_backward
from ..autograd.reverse import is_checkpoint_valid
from ..errors import OverwrittenError
from ..nn.containers import Sequential
from ..ops.define import wrap
from ..rng.generator import Moment, default_generator
from ..tape import Packed, state, storage_of
from ..tensor import Tensor
from .selective import CheckpointPolicy as CheckpointPolicy
from .selective import SelectiveCheckpointContext as SelectiveCheckpointContext
from .selective import (
    create_selective_checkpoint_contexts as create_selective_checkpoint_contexts,
)

Contexts = tuple[AbstractContextManager, AbstractContextManager]


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did not save what the first one saved."""


class _Enough(Exception):
    """Ends a recomputation: everything that is needed has been computed."""


class _Settings:
    """What `set_checkpoint_early_stop` and `set_checkpoint_debug_enabled` set; None leaves it to
    the call.
    """

    early_stop: bool | None = None
    debug: bool | None = None


def noop_context_fn() -> Contexts:
    """Two contexts that do nothing, for the first run and for the second."""
    return nullcontext(), nullcontext()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether checkpoints made within this block stop recomputing once they have what is needed."""
    before, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Whether checkpoints made within this block list operations when runs differ; None: as each
    says.
    """
    before, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = before


# -- without re-entry ------------------------------------------------------------------------------


class _Place:
    """Stands in a node for a value that can be computed again."""

    __slots__ = ("__weakref__",)


class _Input:
    """A tensor argument of a checkpointed function, kept as a node would keep it: by the hooks that
    are active around the checkpoint, or as it is, if it has not been overwritten when it is needed.
    """

    def __init__(self, tensor: Any) -> None:
        self.node, self.index = tensor._history(), tensor._index
        self.tensor, self.version = tensor, 0
        self.packed: Packed | None = None
        if state.hooks:
            self.packed = saved.packed(state.hooks[-1], tensor._data, tensor)
            self.tensor = None
        else:
            self.version = storage_of(tensor).version

    def get(self) -> Any:
        """The tensor, with the history it had."""
        if self.packed is not None:
            t = wrap(saved.call_unpack(self.packed)._data)
            t._node, t._index = self.node, self.index
            return t
        s = storage_of(self.tensor)
        if s.version != self.version:
            what = str(list(self.tensor.shape))
            raise OverwrittenError(
                what, "checkpoint", "the call of checkpoint()", s.line, s.version, self.version
            )
        return self.tensor


class _Frame:
    """One call of a checkpointed function: how to run it again, and what the first run saved."""

    def __init__(self, run: Callable, args: tuple, early_stop: bool, describe: Callable) -> None:
        self.run, self.early_stop, self.describe = run, early_stop, describe
        self.args = [_Input(a) if isinstance(a, Tensor) else a for a in args]
        self.levels = list(stack.levels)  # a vmap that runs now decides what is drawn
        self.places: list[weakref.ref] = []
        self.seen: list[Any] = []
        self.complete = self.lenient = False
        self.found: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # by backward pass
        self.log: _Log | None = None

    def save(self, tensor: Any) -> _Place:
        """The first run saves a tensor: note what it looks like."""
        place = _Place()
        self.places.append(weakref.ref(place))
        self.seen.append(self.describe(tensor))
        return place

    def give(self, place: _Place) -> Any:
        """The backward pass needs a value: compute it, and all the others, if this pass has not."""
        walk = state.walk and state.walk()
        values = None if walk is None else self.found.get(walk)
        if values is None:
            try:
                values = self.recompute()
            except CheckpointError as e:
                if self.log is None:
                    raise
                raise CheckpointError(self.log.report(e)) from e
            if walk is not None:
                self.found[walk] = values
        if place not in values:
            raise CheckpointError(
                "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already"
                " unpacked once. If you are calling ctx.saved_tensors in backward, make sure to do"
                " so only once. Otherwise please open an issue with details on your use case."
            )
        return values.pop(place).get()

    def recompute(self) -> weakref.WeakKeyDictionary:
        """Run the function again; its saved values by place."""
        run = _Recomputation(self)
        args = [a.get() if isinstance(a, _Input) else a for a in self.args]
        walk = state.walk
        try:
            with _inside(self.levels), saved_tensors_hooks(run.save, _same), enable_grad():
                self.run(*args)
        except _Enough as e:
            if e.args[0] is not run:
                raise
        finally:
            state.walk = walk
        run.check()
        return run.values


def _same(t: Any) -> Any:
    return t


@contextmanager
def _inside(levels: list) -> Iterator[None]:
    """Within just these transformations, whether they have ended or not."""
    before, stack.levels = stack.levels, list(levels)
    resumed = {level.number for level in levels} - RUNNING
    RUNNING.update(resumed)
    try:
        yield
    finally:
        stack.levels = before
        RUNNING.difference_update(resumed)


class _Recomputation:
    """Gathers what the second run saves."""

    def __init__(self, frame: _Frame) -> None:
        self.frame, self.count = frame, 0
        self.values: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self.differing: list[str] = []

    def save(self, tensor: Any) -> Any:
        """The second run saves a tensor."""
        frame, i = self.frame, self.count
        tensor = wrap(tensor._data)  # without history, but with a tangent where it has one
        self.count += 1
        if i >= len(frame.places):
            if frame.complete:
                raise CheckpointError(
                    "torch.utils.checkpoint: trying to save more tensors during recomputation than"
                    f" during the original forward pass.\n{TIP}"
                )
            frame.lenient = True  # a backward pass inside of the function, before its end
            return tensor
        place = frame.places[i]()
        if place is not None:
            self.values[place] = saved.Kept(tensor)
            now = frame.describe(tensor)
            if now != frame.seen[i]:
                self.differing.append(
                    f"tensor at position {i}:\nsaved metadata: {frame.seen[i]}\nrecomputed"
                    f" metadata: {now}\n"
                )
        if frame.early_stop and self.count == len(frame.places):
            raise _Enough(self)
        return tensor

    def check(self) -> None:
        """Raise CheckpointError if the second run saved something else than the first."""
        frame = self.frame
        if frame.lenient:
            return
        if self.count != len(frame.places):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the"
                " original forward and recomputation.\nNumber of tensors saved during forward:"
                f" {len(frame.places)}\nNumber of tensors saved during recomputation:"
                f" {self.count}.\n{TIP}"
            )
        if self.differing:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different"
                f" metadata than during the forward pass.\n{''.join(self.differing)}.\n{TIP}"
            )


TIP = (
    "\nTip: To see a more detailed error message, either pass `debug=True` to"
    " `torch.utils.checkpoint.checkpoint(...)` or wrap the code block with `with"
    " torch.utils.checkpoint.set_checkpoint_debug_enabled(True):`."
)


class _Log:
    """With `debug=True`: the operations both runs recorded, each with its line."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.second: list[str] = []

    @contextmanager
    def listening(self, second: bool) -> Iterator[None]:
        """Note the operations recorded in this block."""
        lines = self.second if second else self.first
        lines.clear()

        def note(node: Any) -> None:
            kind = getattr(node.op, "node_class", type(node))
            lines.append(f"{kind.__name__} {list(node.shape)} at {node.line}")

        before, state.listeners = state.listeners, (*state.listeners, note)
        try:
            yield
        finally:
            state.listeners = before

    def report(self, error: CheckpointError) -> str:
        """The error with both lists."""
        lists = [
            f"Operations executed during {when}:\n\n" + "\n".join(lines)
            for when, lines in (
                ("the original forward", self.first),
                ("recomputation", self.second),
            )
        ]
        head = str(error).removesuffix(TIP)
        return "\n\n".join(
            (
                "An error happened while unpacking tensors; dumping logs of latest computation"
                " because you passed `debug=True` to `torch.utils.checkpoint.checkpoint()`.",
                head,
                *lists,
                "ERROR: Detected non-determinism while running activation checkpointing: compare"
                " the two lists to see where the runs part.",
            )
        )


def _metadata(t: Any) -> dict:
    return {"shape": t.shape, "dtype": t.dtype, "device": t.device}


DETERMINISM: dict[str, Callable] = {"default": _metadata, "none": lambda _: None}


@contextmanager
def _generator_at(start: Moment | None) -> Iterator[None]:
    """The random numbers of another time within the block, and as if nothing had been drawn after
    it.
    """
    if start is None:
        yield
        return
    if state.capture is not None and start.state is not None:
        with state.capture.stream_at(start):
            yield
        return
    now = Moment(default_generator)
    try:
        if start.state is not None:
            default_generator.set_state_bytes(start.state)
        yield
    finally:
        now.come_back()


@contextmanager
def _watching(preserve: bool) -> Iterator[Moment | None]:
    """Where the random numbers of the block start."""
    start = Moment(default_generator) if preserve else None
    place = None if state.capture is None else state.capture.place()
    try:
        yield start
    finally:
        if start is not None:
            start.close()
            if start.state is not None and state.capture is not None:
                state.capture.note_stream(start, place)


def _without_reentry(
    function: Callable, args: tuple, kwargs: dict, early_stop: bool, options: dict
) -> Any:
    context_fn, check = options["context_fn"], options["determinism_check"]
    log = None
    if options["debug"] if _Settings.debug is None else _Settings.debug:
        if context_fn is not noop_context_fn:
            raise ValueError("debug=True is incompatible with non-default context_fn")
        log = _Log()
    if check not in DETERMINISM:
        raise ValueError(f"determinism_check should be one of {list(DETERMINISM)}, but got {check}")
    first, second = context_fn() if log is None else (log.listening(False), nullcontext())

    def again(*inputs: Any) -> None:
        around = second if log is None else log.listening(True)
        with _generator_at(start), around:
            function(*inputs, **kwargs)

    if not state.grad:
        return function(*args, **kwargs)
    frame = _Frame(again, args, early_stop, DETERMINISM[check])
    frame.log = log
    done = False
    watching = _watching(options["preserve_rng_state"])
    with watching as start, saved_tensors_hooks(frame.save, frame.give), first:
        result = function(*args, **kwargs)
        done = True
    if not done:
        raise RuntimeError(
            "torch.utils.checkpoint: the forward context provided by context_fn suppressed an"
            " exception raised during the checkpointed forward. This is not supported because"
            " checkpoint cannot return a value for a failed forward."
        )
    frame.complete = True
    return result


# -- with re-entry ---------------------------------------------------------------------------------


def check_backward_validity(inputs: Any) -> None:
    """Warn if no input requires grad, so that the checkpoint will have no gradients."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn(
            "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2
        )


def detach_variable(inputs: tuple) -> tuple:
    """The same values as leaves that require grad where the inputs do."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            "Only tuple of tensors is supported. Got Unsupported input type:"
            f" {type(inputs).__name__}"
        )
    return tuple(
        x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs
    )


INSTEAD = (
    " (checkpoint with use_reentrant=True has none; with use_reentrant=False it works in every"
    " mode.)"
)
NO_TRANSFORMS = (
    "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...),"
    f" it must override the setup_context staticmethod.{INSTEAD}"
)

NO_JVP = (
    "You must implement the jvp function for custom autograd.Function to use it with forward mode"
    f" AD.{INSTEAD}"
)


class CheckpointFunction(Function):
    """A function run without recording; its backward runs it again and goes back through it."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        """Run the function and keep its arguments."""
        if linearizing():
            raise NotImplementedError(NO_JVP)
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.others = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[a if isinstance(a, Tensor) else None for a in args])
        with _watching(preserve_rng_state) as ctx.start:
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Run the function again, recorded, and send the gradients back through that."""
        if stack.passing is not None:
            raise RuntimeError(NO_TRANSFORMS)
        if not is_checkpoint_valid():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or"
                " passing an `inputs` parameter to .backward(). To resolve this error, you can"
                " either set use_reentrant=False, or call .backward() without passing the `inputs`"
                " argument."
            )
        pairs = zip(ctx.saved_tensors, ctx.others, strict=True)
        inputs = detach_variable(tuple(a if t is None else t for t, a in pairs))
        with _generator_at(ctx.start), enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        found = [
            (out, g)
            for out, g in zip(outputs, grads, strict=False)
            if isinstance(out, Tensor) and out.requires_grad
        ]
        if not found:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        run_backward([out for out, _ in found], [g for _, g in found])
        return (None, None, *[x.grad if isinstance(x, Tensor) else None for x in inputs])

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Raise: what is not recorded cannot be pushed forward."""
        if any(level.transforms for level in stack.levels):
            raise RuntimeError(NO_TRANSFORMS)
        raise NotImplementedError(NO_JVP)


# -- for users -------------------------------------------------------------------------------------


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, whose intermediate values are not kept for the backward pass but
    computed again in it.

    `use_reentrant=False` is the way to choose: see the head of this module; without a choice it is
    True, with a warning. `preserve_rng_state` (True) gives the second run the random numbers of the
    first. `context_fn()` returns two contexts, for the first run and the second. The second run
    must save tensors of the same shapes and dtypes, else CheckpointError is raised
    (`determinism_check="none"` looks at their number alone); `debug=True` then lists the operations
    of both runs. With `early_stop` the second run ends when all that is needed has been computed.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly."
            " Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an"
            " exception. use_reentrant=False is recommended, but if you need to preserve the"
            " current default behavior, you can pass use_reentrant=True. Refer to docs for more"
            " details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError(
                "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
            )
        return CheckpointFunction.apply(function, preserve, *args)
    stop = early_stop if _Settings.early_stop is None else _Settings.early_stop
    options = {
        "context_fn": context_fn,
        "determinism_check": determinism_check,
        "debug": debug,
        "preserve_rng_state": preserve,
    }
    return _without_reentry(function, args, kwargs, stop, options)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """`input` sent through `functions` (a Sequential, or a list of callables) in `segments` parts,
    each but the last a checkpoint.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be"
            " passed explicitly. In version 2.9 we will raise an exception if use_reentrant is not"
            " passed. use_reentrant=False is recommended, but if you need to preserve the current"
            " default behavior, you can pass use_reentrant=True. Refer to docs for more details on"
            " the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size):
        part = _chain(steps[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _chain(steps[size * (segments - 1) :])(input)


def _chain(steps: Sequence) -> Callable:
    def run(input: Any) -> Any:
        for step in steps:
            input = step(input)
        return input

    return run
