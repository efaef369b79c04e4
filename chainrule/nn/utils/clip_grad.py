"""Gradient clipping: by the norm of all gradients together, or element by element."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...dtypes import HALVES
from ...ops.define import about_to_be_written, wrap
from ...tape import state, storage_of
from ...tensor import Tensor


def _norm(array: Any, p: float) -> Any:
    """The p-norm of all elements, in the array's (real) dtype."""
    if p == 2.0:
        flat = array.reshape(-1)
        if flat.dtype.kind == "c":
            flat = flat.view(flat.real.dtype)
        return np.sqrt(np.dot(flat, flat))
    size = np.abs(array)
    if math.isinf(p):
        return size.max(initial=0) if p > 0 else size.min()
    if p == 0.0:
        return np.add.reduce((size != 0).astype(size.dtype), axis=None)
    return np.add.reduce(size**p, axis=None) ** (1.0 / p)


def _total_norm(arrays: list, p: float) -> Any:
    wide = [a.astype(HALVES[a.dtype]) if a.dtype in HALVES else a for a in arrays]
    norms = [_norm(a, p) for a in wide]
    dtype = arrays[0].real.dtype if arrays[0].dtype.kind == "c" else arrays[0].dtype
    return _norm(np.array(norms, np.result_type(*norms)), p).astype(dtype)


def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm of the p-norms of tensors: that of all their elements together.

    Raises RuntimeError if it is not finite and `error_if_nonfinite`.
    """
    arrays = [t._data for t in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    if not arrays:
        return wrap(np.float32(0.0))
    total = state.run(_total_norm, arrays, float(norm_type))
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {float(norm_type)} for gradients from `parameters` is "
            "non-finite, so it "
            "cannot be clipped. To disable this error and scale the gradients by the non-finite "
            "norm anyway, "
            "set `error_if_nonfinite=False`"
        )
    return wrap(total)


def _grads(parameters: Any) -> list:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    elif not isinstance(parameters, Iterable):
        raise TypeError(
            "parameters must be a Tensor or an iterable of Tensors, but got "
            f"{type(parameters).__name__}"
        )
    return [p.grad for p in parameters if p.grad is not None]


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply every gradient by max_norm / (total_norm + 1e-6), or by 1 if that is more."""
    _scale(_grads(parameters), max_norm, total_norm)


def _scale(grads: list, max_norm: float, total_norm: Tensor) -> None:
    factor = np.minimum(float(max_norm) / (total_norm._data + 1e-6), 1.0)
    if isinstance(factor, np.generic) and factor == 1:
        return
    for g in grads:
        data = about_to_be_written(g)
        data *= factor.astype(data.real.dtype)
        storage_of(g).bump()


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of `parameters` so that the norm of all together is at most `max_norm`;
    returns the norm before.

    Raises RuntimeError if the norm is not finite and `error_if_nonfinite`.
    """
    grads = _grads(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    if grads:
        _scale(grads, max_norm, total)
    return total


def clip_grad_norm(*args: Any, **kwargs: Any) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    import warnings

    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(*args, **kwargs)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Hold every element of every gradient within [-clip_value, clip_value], in place."""
    limit = float(clip_value)
    for g in _grads(parameters):
        data = about_to_be_written(g)
        np.minimum(data, limit, out=data)
        np.maximum(data, -limit, out=data)
        storage_of(g).bump()
