"""Tensors to and from DLPack capsules."""

from ..ops.convert import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
