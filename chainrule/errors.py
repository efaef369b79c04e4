"""The mistakes a user can make that deserve a class or a shared wording of their own.

torch raises plain RuntimeError, TypeError, ValueError and IndexError, and programs match on those;
every class here is a subclass of the one torch raises, so that both ways of catching work.
"""

from __future__ import annotations

from typing import Any


class OutOfMemoryError(RuntimeError):
    """Memory for a tensor could not be had."""


class DeviceError(AssertionError, RuntimeError):
    """A device was asked for that this library does not have."""

    def __init__(self, device: str) -> None:
        super().__init__(
            "Torch not compiled with CUDA enabled: chainrule computes on the CPU only, and"
            f" {device!r} was asked for. Use device='cpu', or guard with torch.cuda.is_available()."
        )


class NothingGivenError(ValueError, RuntimeError):
    """A list of tensors was empty."""


class FreedGraphError(RuntimeError):
    """A graph was walked backward a second time, after the first walk freed what it had saved."""

    def __init__(self, node: str, line: str, freed: str) -> None:
        super().__init__(
            "Trying to backward through the graph a second time (or directly access saved tensors"
            " after they have already been freed). Saved intermediate values of the graph are"
            " freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you"
            " need to backward through the graph a second time or if you need to access saved"
            f" tensors after calling backward. (The first freed node is {node}, made at {line}; the"
            f" backward pass at {freed} freed it.)"
        )


class OverwrittenError(RuntimeError):
    """A value that a derivative needs was overwritten in place."""

    def __init__(
        self, what: str, node: str, saved: str, written: str, version: int, expected: int
    ) -> None:
        super().__init__(
            "one of the variables needed for gradient computation has been modified by an inplace"
            f" operation: [{what}], saved by {node}, is at version {version}; expected version"
            f" {expected} instead. Hint: it was saved at {saved} and overwritten at {written}."
            " Write the second operation out of place, or clone() the value before."
        )


class NotANumberError(RuntimeError):
    """A derivative came out as nan while anomaly detection was on."""

    def __init__(self, node: str, output: int, findings: list[str]) -> None:
        told = "".join(f"\n  {line}" for line in findings)
        super().__init__(f"Function '{node}' returned nan values in its {output}th output.{told}")


class LinAlgError(RuntimeError):
    """A matrix without the inverse, solution or factorization that was asked for."""


class LeafInPlaceError(RuntimeError):
    """An in-place operation on a leaf that requires grad."""

    def __init__(self, view: bool = False) -> None:
        what = (
            "a view of a leaf Variable that requires grad"
            if view
            else "a leaf Variable that requires grad"
        )
        super().__init__(f"{what} is being used in an in-place operation.")


def not_a_tensor(function: str, argument: str, position: int, got: Any) -> TypeError:
    """torch's TypeError for an argument that should have been a Tensor."""
    return TypeError(
        f"{function}(): argument '{argument}' (position {position}) must be Tensor, not"
        f" {type(got).__name__}"
    )


def bad_dim(dim: int, ndim: int) -> IndexError:
    """torch's IndexError for a dimension that is not there."""
    n = max(ndim, 1)
    return IndexError(
        f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
    )
