"""Tracing as an array type: an array that computes, and writes down what was computed.

Running a function on `TraceArray`s gives its result at once and leaves a `Recording`: the list of
waist functions called, in order, each with where its arguments came from. Replayed on other arrays
of the same shapes it is the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .duck import Duck
from .waist import waist


class TraceArray(Duck):
    """A value that knows which line of the recording made it."""

    __slots__ = ("place", "recording", "value")
    level = 1000.0

    def __init__(self, value: Any, recording: Recording, place: int) -> None:
        self.value, self.recording, self.place = value, recording, place

    shape = property(lambda self: self.value.shape)  # type: ignore[assignment]
    dtype = property(lambda self: self.value.dtype)  # type: ignore[assignment]

    @classmethod
    def call(cls, name: str, args: tuple, kwargs: dict) -> Any:
        recording = _find(args)
        return recording.run(name, args, kwargs)


@dataclass
class Recording:
    """A straight-line program: inputs first, then one line per call."""

    inputs: int = 0
    lines: list[tuple[str, Any, dict]] = field(default_factory=list)

    def input(self, value: Any) -> TraceArray:
        """The next input."""
        self.inputs += 1
        return TraceArray(value, self, self.inputs - 1)

    def run(self, name: str, args: Any, kwargs: dict) -> Any:
        """Compute a call and note it."""
        out = compute(name, _map(args, lambda a: a.value), kwargs)
        self.lines.append((name, _map(args, lambda a: _Place(a.place)), kwargs))
        return TraceArray(out, self, self.inputs + len(self.lines) - 1)

    def replay(self, outputs: Sequence[TraceArray], *arrays: Any) -> list:
        """The outputs for other inputs."""
        values = list(arrays)
        for name, args, kwargs in self.lines:
            values.append(compute(name, _fill(args, values), kwargs))
        return [values[o.place] for o in outputs]

    def __str__(self) -> str:
        return "\n".join(
            f"v{self.inputs + i} = {name}({', '.join(map(str, args))})"
            for i, (name, args, _) in enumerate(self.lines)
        )


@dataclass(frozen=True)
class _Place:
    number: int

    def __str__(self) -> str:
        return f"v{self.number}"


def compute(name: str, args: Any, kwargs: dict) -> Any:
    """The waist function `name` on arrays."""
    return waist(name)(*args, **kwargs)


def _map(args: Any, f: Any) -> Any:
    if isinstance(args, TraceArray):
        return f(args)
    return type(args)([_map(a, f) for a in args]) if isinstance(args, (list, tuple)) else args


def _fill(args: Any, values: list) -> Any:
    if isinstance(args, _Place):
        return values[args.number]
    return type(args)([_fill(a, values) for a in args]) if isinstance(args, (list, tuple)) else args


def _find(args: Any) -> Recording:
    for a in args:
        if isinstance(a, TraceArray):
            return a.recording
        if isinstance(a, (list, tuple)):
            found = _find(a)
            if found is not None:
                return found
    return None  # type: ignore[return-value]
