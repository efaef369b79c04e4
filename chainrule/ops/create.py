"""Tensors from data, and tensors filled with something."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import devices, dtypes
from .define import Tensor, wrap


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:
    a = np.array(data)
    if dtype is None and a.dtype.kind == "f" and not isinstance(data, (np.ndarray, np.generic)):
        a = a.astype(dtypes.get_default_dtype().numpy)
    if dtype: a = a.astype(dtype.numpy)
    t = wrap(a if a.ndim else a[()])
    return t.requires_grad_() if requires_grad else t


def empty(*size):
    return wrap(np.empty(size, "f4"))
