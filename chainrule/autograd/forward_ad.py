"""Forward mode by hand (`torch.autograd.forward_ad`): dual tensors inside a `dual_level`.

Inside the level a tensor made by `make_dual` carries its tangent through every operation;
`unpack_dual` takes it off again. When the level ends, tangents are gone.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from ..arrays.boundary import enter_dual, tangent_part, value_part
from ..arrays.dual import DualArray
from ..arrays.levels import Level
from ..ops import define
from ..tape import state


class _Current(threading.local):
    """The dual level of this thread."""

    level: Level | None = None


_current = _Current()


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent (None if it has none)."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Begin forward mode; returns the number of the level. One level is all there can be."""
    if _current.level is not None:
        raise RuntimeError(
            "Nested forward mode AD is not supported at the moment; use torch.func.jvp inside of"
            " torch.func.jvp instead."
        )
    _current.level = Level().__enter__()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End forward mode; tangents are gone."""
    if _current.level is None or level not in (None, 0):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is"
            " not supported."
        )
    _current.level.__exit__()
    _current.level = None


class dual_level:
    """Context manager in which dual tensors live."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: object) -> None:
        exit_dual_level()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """`tensor` with a tangent of its shape and dtype; both stay connected to their histories.

    Raises RuntimeError outside of a level, and for shapes or dtypes that differ.
    """
    if _current.level is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to"
            " enter_dual_level() first."
        )
    return dual(tensor, tangent, _current.level.number)


def dual(primal: Any, tangent: Any, number: int) -> Any:
    """A dual tensor of a level; raises if primal and tangent do not agree in shape and dtype."""
    if not (primal.is_floating_point() or primal.is_complex()):
        raise ValueError(
            f"Expected primal to be floating point or complex, but got: {primal.dtype}"
        )
    if not (tangent.is_floating_point() or tangent.is_complex()):
        raise ValueError(
            f"Expected tangent to be floating point or complex, but got: {tangent.dtype}"
        )
    if primal._data.shape != tangent._data.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original"
            f" Tensor, this is not supported. Tensor is of size {list(primal.shape)} while the"
            f" given forward gradient is of size {list(tangent.shape)}."
        )
    tangent = tangent.to(primal.dtype)
    if state.inference:
        return primal
    if state.grad and (primal.requires_grad or tangent.requires_grad):
        # what backward keeps of dual numbers does not see later writes into these
        primal, tangent = primal.clone(), tangent.clone()
    return enter_dual.op.entry(primal, tangent, number)


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """(the tensor without tangent, its tangent or None)."""
    current = _current.level
    if current is None or not is_dual(tensor, current.number):
        return UnpackedDualTensor(tensor, None)
    number = current.number
    return UnpackedDualTensor(
        value_part.op.entry(tensor, number), tangent_part.op.entry(tensor, number)
    )


def is_dual(t: Any, number: int) -> bool:
    """Whether a tensor is a dual number of a level."""
    return (
        isinstance(t, define.Tensor) and isinstance(t._data, DualArray) and t._data.level == number
    )
