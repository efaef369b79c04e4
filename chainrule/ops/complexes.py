"""Complex numbers: their parts, conjugates and angles, and the views of them as pairs of reals.

The rules are transposes over the reals: a cotangent g stands for the linear map dx -> Re(g * dx).
Conjugates are computed at once; torch's lazy ones (`is_conj()`) do not exist here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..dtypes import FROM_NUMPY
from .define import FLOAT, MOVE, elementwise, function, op, scalar_name
from .elementwise import PI, keep, zero


@op(
    promote=MOVE,
    view=True,
    namespace="primitive",
    method=False,
    linear=True,
    node="SelectBackward0",
)
def real_part(x: Any, /) -> Any:
    """The real parts, in the memory of x."""
    return x.real


@op(
    promote=MOVE,
    view=True,
    namespace="primitive",
    method=False,
    linear=True,
    node="SelectBackward0",
)
def imag_part(x: Any, /) -> Any:
    """The imaginary parts, in the memory of x."""
    return x.imag


real_part.vjp(lambda g: g)
imag_part.vjp(lambda g: g * -1j)


@function(method=False)
def real(input: Any) -> Any:
    """The real part of each element: a view, or a real tensor itself."""
    return real_part(input) if input.dtype.is_complex else input


@function(method=False)
def imag(input: Any) -> Any:
    """The imaginary part of each element: a view. Raises RuntimeError for a real tensor."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return imag_part(input)


conjugate = elementwise(
    np.conjugate, vjp=lambda g: g.conj(), name="conj", method=False, inplace=False
)
physical = elementwise(
    lambda x, /: np.conjugate(x),
    vjp=lambda g: g.conj(),
    name="conj_physical",
    method=False,
    inplace=False,
)


@function
def conj(input: Any) -> Any:
    """The complex conjugate of each element; a real tensor itself."""
    return conjugate(input) if input.dtype.is_complex else input


@function(inplace="conj_physical_")
def conj_physical(input: Any, *, out: Any = None) -> Any:
    """The complex conjugate of each element, in memory of its own; a real tensor itself."""
    return physical(input, out=out) if input.dtype.is_complex or out is not None else input


def _angle(x: Any, /) -> Any:
    if x.dtype.kind == "c":
        return np.arctan2(x.imag, x.real)
    return np.where(np.isnan(x), x, (x < 0) * x.dtype.type(PI))


def _angle_rule(g: Any, x: Any) -> Any:
    return keep(-1j * g / np.where(x == 0, 1, x), x != 0) if x.dtype.kind == "c" else zero(g)


angle = elementwise(
    _angle,
    promote=FLOAT,
    vjp=_angle_rule,
    name="angle",
    inplace=False,
    doc="The angle of each complex number in the plane, in [-pi, pi]; 0 or pi for real numbers.",
)


@op(promote=MOVE, view=True, linear=True, method=False)
def view_as_real(x: Any, /) -> Any:
    """A complex tensor seen as a real one with a last dimension of size 2."""
    if x.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return x[..., None].view(x.real.dtype)


@view_as_real.vjp
def _(g):
    return g[..., 0] - 1j * g[..., 1]


@op(promote=MOVE, view=True, linear=True, method=False)
def view_as_complex(x: Any, /) -> Any:
    """A real tensor with a last dimension of size 2 seen as a complex one."""
    d = FROM_NUMPY[x.dtype]
    if d not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for float and double tensors, but got a tensor of "
            f"scalar type: {scalar_name(d)}"
        )
    if not x.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if x.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if x.strides[-1] != x.itemsize:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    return x.view(d.to_complex().numpy)[..., 0]


@view_as_complex.vjp
def _(g):
    return np.concatenate([g.real[..., None], -g.imag[..., None]], -1)
