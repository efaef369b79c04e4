"""Devices: there is one, the CPU; the rest of torch's vocabulary is understood and refused
clearly.
"""

from __future__ import annotations

from typing import Any

from .errors import DeviceError

KINDS = (
    "cpu",
    "cuda",
    "mps",
    "xpu",
    "meta",
    "hpu",
    "xla",
    "mtia",
    "ipu",
    "privateuseone",
    "vulkan",
)


class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda", 1)`, `device("cuda:1")`."""

    __slots__ = ("index", "type")

    def __init__(self, type: Any = None, index: int | None = None, *, device: Any = None) -> None:
        type = device if type is None else type
        if isinstance(type, globals()["device"]):
            type, index = type.type, type.index
        if isinstance(type, int):
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(
                f"device(): argument 'type' (position 1) must be str, not {type.__class__.__name__}"
            )
        name, colon, number = type.partition(":")
        if name not in KINDS:
            raise RuntimeError(
                f"Expected one of {', '.join(KINDS)} device type at start of device string: {name}"
            )
        if colon:
            if index is not None or not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        self.type, self.index = name, index

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}'"
            + ("" if self.index is None else f", index={self.index}")
            + ")"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple:
        return device, (str(self),)

    def __enter__(self) -> device:
        check(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the block; there is nothing to restore."""


CPU = device("cpu")


def check(d: Any) -> None:
    """Raise unless `d` (None, a name or a device) means the CPU."""
    if d is None or d is CPU:
        return
    if (d if isinstance(d, device) else device(d)).type != "cpu":
        raise DeviceError(str(d))
