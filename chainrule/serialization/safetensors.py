"""Dictionaries of tensors in the safetensors format, through the `safetensors` package (the extra of that name)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import COMPLEX
from ..ops import define


def save_file(tensors: dict, filename: Any, metadata: dict | None = None) -> None:
    """Write a dictionary of tensors; raises ValueError for complex ones, which the format does not have."""
    import safetensors.numpy

    for name, t in tensors.items():
        if t.dtype.category == COMPLEX:
            raise ValueError(f"{name!r} is {t.dtype}, which safetensors does not store; save its real and imaginary parts")
    arrays = {name: np.ascontiguousarray(define.storage_array(t)) for name, t in tensors.items()}
    safetensors.numpy.save_file(arrays, str(filename), metadata)


def load_file(filename: Any, device: Any = "cpu") -> dict:
    """The dictionary of tensors in a file."""
    import safetensors.numpy

    return {name: define.wrap(array) for name, array in safetensors.numpy.load_file(str(filename)).items()}
