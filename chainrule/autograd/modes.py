"""The modes that say whether operations are recorded: context managers and decorators, one setting
per thread.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import Any

from ..arrays.levels import linearizing
from ..cuts import block
from ..ops import define
from ..tape import state


class _Mode:
    """A setting for a block of code, a function, or every step of a generator."""

    def __call__(self, f: Callable) -> Callable:
        if inspect.isgeneratorfunction(f):
            return _around_generator(self, f)

        @functools.wraps(f)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return f(*args, **kwargs)

        return inside

    def again(self) -> Any:
        """A fresh manager of the same setting, for one call of a decorated function."""
        return type(self)()


class _Bare(type):
    """Lets a mode without arguments decorate without parentheses: `@no_grad`."""

    def __call__(cls, f: Any = None) -> Any:
        mode = type.__call__(cls)
        return mode if f is None else mode(f)


class _Recording(_Mode):
    """Sets whether operations are recorded, and puts the old setting back."""

    recording = True

    def __enter__(self) -> None:
        self.before = state.mode
        if not self.recording:
            if linearizing():
                return
            block("no_grad()")
        state.mode = (state.run, self.recording)

    def __exit__(self, *_: object) -> None:
        state.mode = self.before


class no_grad(_Recording, metaclass=_Bare):
    """Nothing computed here is recorded; results have requires_grad=False."""

    recording = False


class enable_grad(_Recording, metaclass=_Bare):
    """Operations are recorded here even inside `no_grad`."""


class set_grad_enabled(_Mode):
    """Sets recording to `mode` at once; as a context manager, until the end of the block."""

    def __init__(self, mode: bool) -> None:
        self.recording = bool(mode)
        self.before = state.mode
        state.mode = (state.run, self.recording)
        if not self.recording:
            block("set_grad_enabled(False)")

    def __call__(self, f: Callable) -> Callable:
        state.mode = self.before
        return super().__call__(f)

    def __enter__(self) -> None:
        state.mode = (state.run, self.recording)

    def __exit__(self, *_: object) -> None:
        state.mode = self.before

    def again(self) -> set_grad_enabled:
        return set_grad_enabled(self.recording)


class inference_mode(_Mode):
    """Like `no_grad`; tensors made here can never be recorded later."""

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return cls()(mode)
        return object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.on = mode

    def __enter__(self) -> None:
        self.before = (state.mode, state.inference)
        state.mode = (state.run, not self.on)
        if self.on:
            define.inference_begins()
            block("inference_mode()")
        state.inference = self.on

    def __exit__(self, *_: object) -> None:
        state.mode, state.inference = self.before
        if self.on:
            define.inference_ends()

    def again(self) -> inference_mode:
        return inference_mode(self.on)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on in this thread."""
    return state.inference


def _around_generator(mode: _Mode, f: Callable) -> Callable:
    """A generator function each step of which runs in the mode."""

    @functools.wraps(f)
    def inside(*args: Any, **kwargs: Any) -> Generator:
        steps = f(*args, **kwargs)
        send, value = steps.send, None
        while True:
            try:
                with mode.again():  # type: ignore[attr-defined]
                    item = send(value)
            except StopIteration as end:
                return end.value
            try:
                send, value = steps.send, (yield item)
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as e:
                send, value = steps.throw, e

    return inside
