"""Draws into memory that exists already, whatever its strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .generator import Generator
from .normals import draw_normal
from .rounding import Array


def write(out: Array, draw: Callable[..., Array], generator: Generator, *parameters: Any) -> Array:
    """Fill `out` with draw(generator, shape, dtype, *parameters), in the order of its addresses.

    That order, not the order of its axes, is torch's. Parameters that are arrays are broadcast to
    the shape of `out`, element to element. Returns `out`.
    """
    if out.flags.c_contiguous:
        out[...] = draw(generator, out.shape, out.dtype.name, *parameters)
        return out
    axes = sorted(range(out.ndim), key=lambda axis: -out.strides[axis])
    turned = [
        np.broadcast_to(p, out.shape).transpose(axes) if isinstance(p, np.ndarray) else p
        for p in parameters
    ]
    target = out.transpose(axes)
    how = {"contiguous": False} if draw is draw_normal else {}
    target[...] = draw(generator, target.shape, out.dtype.name, *turned, **how)
    return out
