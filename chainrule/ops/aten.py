"""`torch.ops.aten`: torch's names for operators, `aten.mm.default`, as programs name them to others
(to selective checkpointing, say).

A name stands for the operators whose nodes carry it: `aten.mm` for all that leave a `MmBackward0`.
A fused operator has the name of its dearest part. Overloads of one name are not told apart: what
takes a number here and a tensor there is one operator.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..tensor import Tensor
from .define import FAST, FUNCTIONS, OPS, Op

FUSED = {
    "batches": "bmm",
    "contract": "bmm",
    "folded": "mm",
    "folded_projection": "mm",
    "folded_affine": "addmm",
    "plain_attention": "scaled_dot_product_flash_attention_for_cpu",
}
OTHER_DEVICES = {
    f"scaled_dot_product_{kind}_attention": "scaled_dot_product_flash_attention_for_cpu"
    for kind in ("flash", "efficient", "cudnn", "fused")
}


@functools.cache
def name_of(op: Op) -> str:
    """torch's name of an operator, without underscores in front."""
    if op.name in FUSED:
        return FUSED[op.name]
    stem = re.sub(r"Backward\d*$", "", op.node_name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()


def public(name: str) -> Any:
    """The function of that name, or None."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    return OPS[name].entry if name in OPS else None  # type: ignore[attr-defined]


class Overload:
    """One operator by its name, as `aten.add.Tensor`; calls the function of that name.

    It equals other overloads of its name, and the function itself. One that stands for a call that
    is under way (`frame` is where it was made) also equals the functions that the call is part of
    (`torch.matmul`, and so the method behind `@`).
    """

    __slots__ = ("_name", "frame", "overload")

    def __init__(self, name: str, overload: str, frame: FrameType | None = None) -> None:
        self._name, self.overload, self.frame = name, overload, frame

    def name(self) -> str:
        """`aten::add.Tensor`, or `aten::mm`, which has one overload."""
        return f"aten::{self._name}" + ("" if self.overload == "default" else f".{self.overload}")

    def __str__(self) -> str:
        return f"aten.{self._name}.{self.overload}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='aten.{self._name}', overload='{self.overload}')>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = public(key(self._name))
        if function is None:
            raise NotImplementedError(f"{self} names what an operator does, and is no function")
        return function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Overload):
            return key(self._name) == key(other._name)
        op = getattr(other, "op", None)
        if isinstance(op, Op):
            return name_of(op) == key(self._name)
        names = ("", *(f"__{mark}{getattr(other, '__name__', '')}__" for mark in ("", "r")))
        methods = [getattr(Tensor, name, None) if name else other for name in names]
        codes = [m.__code__ for m in methods if hasattr(m, "__code__")]
        frame = self.frame
        while codes and frame is not None:
            if frame.f_code in codes:
                return True
            frame = frame.f_back
        return False

    def __hash__(self) -> int:
        name = key(self._name)
        function = public(name)
        return hash(name if function is None else function)


class Packet:
    """An operator's name with the overloads as attributes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, overload: str) -> Overload:
        if overload.startswith("_"):
            raise AttributeError(overload)
        return Overload(self._name, overload)

    def __str__(self) -> str:
        return f"aten.{self._name}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.default(*args, **kwargs)


def key(name: str) -> str:
    """What names of one operator have in common."""
    bare = name.lstrip("_")
    return OTHER_DEVICES.get(bare, bare)


@functools.cache
def known() -> frozenset:
    """The names that there are."""
    return frozenset((*map(name_of, OPS.values()), *OPS, *FUNCTIONS))


def __getattr__(name: str) -> Packet:
    if name.startswith("__") or key(name) not in known():
        raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
    return Packet(name)


@functools.cache
def _owners() -> dict:
    """The first operator of each kernel."""
    return {o.kernel: o for o in reversed(OPS.values())}


def operator_of(kernel: Callable, frame: FrameType) -> Op | None:
    """The operator that calls its kernel in a frame, that of a public function or a method of
    `Op`; None for other functions than kernels.
    """
    names = frame.f_locals
    op = next((o for o in map(names.get, ("op", "self", "o")) if isinstance(o, Op)), None)
    op = op or _owners().get(kernel)
    return op if op is not None and kernel in (op.kernel, FAST.get(op.kernel)) else None
