"""Discrete Fourier transforms.

Three primitives: complex to complex, real to half of a complex spectrum, and back; each takes the
sizes to cut or pad to, so that `fft(x, n)` is one operator. The matrix of a transform is symmetric,
and rules in the engine's convention are plain transposes: the cotangent of a transform is the same
transform of the cotangent, not its inverse. For the half spectra the weights of the missing half
enter: each inner frequency counts twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.duck import highest, in_axes, is_ground, memory
from ..dtypes import FLOATING, HALVES, default
from . import define
from .define import FUNCTIONS, PRIMITIVES, bad_dim, function, op, primitive, scalar_name
from .lapack import is_traced
from .products import check_tensors

SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}
Sizes = tuple[int, ...]


# -- transforms of arrays --------------------------------------------------------------------------


@primitive
def resized(x: Any, /, dims: Sizes, sizes: Sizes) -> Any:
    """x cut, or padded with zeros at the end, to `sizes` in `dims`."""
    shape = list(x.shape)
    for d, n in zip(dims, sizes, strict=True):
        shape[d] = n
    if tuple(shape) == x.shape:
        return x
    part = tuple([slice(0, min(m, n)) for m, n in zip(x.shape, shape, strict=True)])
    out = np.zeros(shape, x.dtype)
    out[part] = x[part]
    return out


@resized.vjp
def _(g, x_shape, dims):
    return resized(g, dims, _sizes_at(x_shape, dims))


def _sizes_at(shape: tuple, dims: Sizes) -> Sizes:
    return tuple([shape[d] for d in dims])


def transformed_rows(x: Any, factor: Any, kind: str, n: int) -> Any:
    """Transforms of rows, cut or padded to the size that is wanted, times a factor: NumPy's `fft`
    and `ifft` to n numbers, `rfft` of n, `irfft` to n.
    """
    top = highest((x,))
    if top is not None:
        return top.call("transformed_rows", (x, factor, kind, n), {})
    f, length, dtype = row_transform(x.dtype, kind, n)
    out = np.empty((*x.shape[:-1], length), dtype)
    return f(x, factor, out=out)


PRIMITIVES["transformed_rows"] = transformed_rows


def row_transform(dtype: np.dtype, kind: str, n: int) -> tuple[Any, int, np.dtype]:
    """NumPy's function for rows of that dtype, how long the results are, and their dtype."""
    from numpy.fft import _pocketfft_umath

    name = f"rfft_n_{'odd' if n % 2 else 'even'}" if kind == "rfft" else kind
    single = dtype.char in "fF"
    chars = ("f" if single else "d") if kind == "irfft" else ("F" if single else "D")
    length = n // 2 + 1 if kind == "rfft" else n
    return getattr(_pocketfft_umath, name), length, np.dtype(chars)


def _one_by_one(x: Any, kind: str, dims: Sizes, sizes: Sizes, norm: str) -> Any:
    """Transforms along `dims`, one after the other, in functions that a trace knows."""
    single = x.dtype.char in "fF"
    for d, n in zip(dims, sizes, strict=True):
        whole = norm == ("forward" if kind in ("fft", "rfft") else "backward")
        scale = n**-0.5 if norm == "ortho" else 1 / n if whole else 1.0
        factor = np.array(scale, np.float32 if single else np.float64)
        rows = x.swapaxes(d, -1)
        x = transformed_rows(rows, factor, kind, n).swapaxes(d, -1)
    return x


def _transform(x: Any, dims: Sizes, sizes: Sizes, forward: bool, norm: str) -> Any:
    """Transform of complex or real arrays along `dims`."""
    from scipy import fft

    if is_traced(x) and x.size:
        x = x if x.dtype.kind == "c" else x.astype(np.result_type(x.dtype, np.complex64))
        return _one_by_one(x, "fft" if forward else "ifft", dims, sizes, norm)
    if len(dims) == 1:
        return (fft.fft if forward else fft.ifft)(x, sizes[0], dims[0], norm)
    return (fft.fftn if forward else fft.ifftn)(x, sizes, dims, norm)


def _transform_rule(g, x_shape, dims, forward, norm):
    return resized(
        c2c(g, dims, _sizes_at(g.shape, dims), forward, norm), dims, _sizes_at(x_shape, dims)
    )


def _laid(out: Any, x: Any, dims: Sizes) -> Any:
    """A transform with its axes in memory as torch's: those that stay, then those transformed, each
    in the order in which they lay.
    """
    if not is_ground(out):
        return out
    steps = memory(x).strides
    stay = [axis for axis in range(out.ndim) if axis not in dims]
    parts = [sorted(part, key=lambda axis: -steps[axis]) for part in (stay, dims)]
    return in_axes(out, tuple(parts[0] + parts[1]))


@primitive(define=op, name="fft_c2c", namespace="primitive", node="FftC2CBackward0", linear=True)
def c2c(x: Any, /, dims: Sizes, sizes: Sizes, forward: bool, norm: str) -> Any:
    """Transform of complex arrays along `dims`."""
    return _laid(_transform(x, dims, sizes, forward, norm), x, dims)


c2c.vjp(_transform_rule)


@op(name="fft_r2c_whole", namespace="primitive", node="FftR2CBackward0", linear=True)
def whole(x: Any, /, dims: Sizes, sizes: Sizes, forward: bool, norm: str) -> Any:
    """Transform of real arrays along `dims`, with the redundant half of the spectrum."""
    return _laid(_transform(x, dims, sizes, forward, norm), x, dims)


whole.vjp(_transform_rule)


@primitive(define=op, name="fft_r2c", namespace="primitive", node="FftR2CBackward0", linear=True)
def r2c(x: Any, /, dims: Sizes, sizes: Sizes, forward: bool, norm: str) -> Any:
    """Transform of real arrays along `dims`; of the last of them only frequencies up to half of the
    rate.
    """
    from scipy import fft

    norm = norm if forward else SWAPPED[norm]
    if is_traced(x) and x.size:
        out = _one_by_one(x, "rfft", dims[-1:], sizes[-1:], norm)
        out = _one_by_one(out, "fft", dims[:-1], sizes[:-1], norm)
    elif len(dims) == 1:
        out = fft.rfft(x, sizes[0], dims[0], norm)
    else:
        out = fft.rfftn(x, sizes, dims, norm)
    return _laid(out if forward else out.conj(), x, dims)


@r2c.vjp
def _(g, x_shape, dims, sizes, forward, norm):
    g = g * _weights(g, dims, sizes, 0.5)
    return resized(
        c2r(g.conj() if forward else g, dims, sizes, False, SWAPPED[norm] if forward else norm),
        dims,
        _sizes_at(x_shape, dims),
    )


@primitive(define=op, name="fft_c2r", namespace="primitive", node="FftC2RBackward0", linear=True)
def c2r(x: Any, /, dims: Sizes, sizes: Sizes, forward: bool, norm: str) -> Any:
    """Transform along `dims` of half spectra of real arrays; `sizes` are those of the result."""
    from scipy import fft

    x, norm = (x.conj(), SWAPPED[norm]) if forward else (x, norm)
    if is_traced(x) and x.size:
        x = _one_by_one(x, "ifft", dims[:-1], sizes[:-1], norm)
        out = _one_by_one(x, "irfft", dims[-1:], sizes[-1:], norm)
    elif len(dims) == 1:
        out = fft.irfft(x, sizes[0], dims[0], norm)
    else:
        out = fft.irfftn(x, sizes, dims, norm)
    return _laid(out, x, dims)


@c2r.vjp
def _(g, x_shape, dims, sizes, forward, norm):
    g = r2c(g, dims, sizes, True, norm if forward else SWAPPED[norm])
    g = g * _weights(g, dims, sizes, 2)
    return resized(g if forward else g.conj(), dims, _sizes_at(x_shape, dims))


def _weights(g: Any, dims: Sizes, sizes: Sizes, inner: float) -> Any:
    """1 for the frequencies of a half spectrum that stand alone (zero, half of the rate), `inner`
    for the others.
    """
    n, d = sizes[-1], dims[-1]
    k = np.arange(n // 2 + 1)
    weights = np.where((k == 0) | (2 * k == n), 1, inner).astype(g.real.dtype)
    return weights.reshape([-1 if i == d else 1 for i in range(g.ndim)])


# -- what the caller asked for ---------------------------------------------------------------------


def _floating(x: Any) -> Any:
    """A tensor to transform: integers become the default float; half types are refused."""
    dtype = x.dtype
    if dtype.numpy in HALVES:
        raise RuntimeError(f"Unsupported dtype {scalar_name(dtype)}")
    return x if dtype.category >= FLOATING else x.to(default.real)


def _complex(x: Any) -> Any:
    """A tensor to transform, as a complex one."""
    x = _floating(x)
    return x if x.is_complex() else x.to(x.dtype.to_complex())


def _norm(norm: Any) -> str:
    if norm is None:
        return "backward"
    if norm not in SWAPPED:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _check_sizes(sizes: Sizes) -> None:
    for n in sizes:
        if n < 1:
            raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _axis(dim: int, ndim: int) -> int:
    if not ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -ndim <= dim < ndim:
        raise bad_dim(dim, ndim)
    return dim % ndim


def _refused(name: str, argument: str, wanted: str, got: Any) -> TypeError:
    return TypeError(
        f"fft_{name}(): argument '{argument}' must be {wanted}, not {type(got).__name__}"
    )


def _whole(n: Any) -> bool:
    return isinstance(n, (int, np.integer))


def _one(name: str, x: Any, n: int | None, dim: int) -> tuple[Sizes, Sizes]:
    """The dimension of a one-dimensional transform and its size."""
    check_tensors(f"fft_{name}", input=x)
    for argument, given in (("n", n), ("dim", dim)):
        if not _whole(given) and (given is not None or argument == "dim"):
            raise _refused(name, argument, "int", given)
    d = _axis(dim, x.ndim)
    return (d,), (x.shape[d] if n is None else n,)


def _several(name: str, x: Any, s: Any, dim: Any) -> tuple[Sizes, Sizes]:
    """The dimensions of a transform and their sizes."""
    check_tensors(f"fft_{name}", input=x)
    if isinstance(s, (list, tuple)) and not all(map(_whole, s)):
        raise _refused(name, "s", "tuple of ints", s)
    ndim = x.ndim
    s = (s,) if isinstance(s, int) else s
    if dim is not None:
        dims = tuple([_axis(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim)])
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is not None:
        if len(s) > ndim:
            raise RuntimeError(
                f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions."
            )
        dims = tuple(range(ndim - len(s), ndim))
    else:
        dims = tuple(range(ndim))
    given = (-1,) * len(dims) if s is None else s
    return dims, tuple([x.shape[d] if n == -1 else n for d, n in zip(dims, given, strict=True)])


def _last_of_half(x: Any, dims: Sizes, sizes: Sizes, n: int | None) -> Sizes:
    """Sizes of a real result: by default the last is twice that of the half spectrum, without its
    ends.
    """
    return (*sizes[:-1], 2 * (x.shape[dims[-1]] - 1) if n is None else sizes[-1])


def _to_complex(x: Any, dims: Sizes, sizes: Sizes, forward: bool, norm: Any, out: Any) -> Any:
    x = _floating(x)
    _check_sizes(sizes)
    run = c2c.op.entry if x.is_complex() or len(dims) > 1 else whole
    return define.write_out(out, run(x, dims, sizes, forward, _norm(norm)) if dims else _complex(x))


def _to_half(
    name: str, x: Any, dims: Sizes, sizes: Sizes, forward: bool, norm: Any, out: Any
) -> Any:
    if x.is_complex():
        raise RuntimeError(f"{name} {REAL_ONLY[name]} {scalar_name(x.dtype)}")
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    _check_sizes(sizes)
    return define.write_out(out, r2c.op.entry(_floating(x), dims, sizes, forward, _norm(norm)))


def _to_real(
    name: str, x: Any, dims: Sizes, sizes: Sizes, forward: bool, norm: Any, out: Any
) -> Any:
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    _check_sizes(sizes)
    return define.write_out(out, c2r.op.entry(_complex(x), dims, sizes, forward, _norm(norm)))


def _last_given(s: Any) -> int | None:
    """The last size asked for, None for the default."""
    last = s if s is None or isinstance(s, int) else s[-1] if len(s) else None
    return None if last == -1 else last


# -- torch.fft -------------------------------------------------------------------------------------

DOCS = {
    "fft": "Transform along `dim`, cut or padded to `n`: sum of input[j] exp(-2 pi i j k / n).",
    "ifft": "Inverse transform along `dim`, cut or padded to `n`.",
    "rfft": (
        "Transform of a real tensor along `dim`: the n // 2 + 1 frequencies up to half of the rate."
    ),
    "irfft": "Real inverse of `rfft`; `n` is the size of the result, by default 2 (size - 1).",
    "hfft": (
        "Real transform of the half of a Hermitian signal; `n` is the size of the result, by "
        "default 2 (size - 1)."
    ),
    "ihfft": "Inverse of `hfft`: the first n // 2 + 1 values.",
}
FORWARD = {"fft": True, "ifft": False, "rfft": True, "irfft": False, "hfft": True, "ihfft": False}


REAL_ONLY = {
    "rfft": "expects a real input tensor, but got",
    "rfftn": "expects a real-valued input tensor, but got",
    "ihfft": "expects a real input tensor, but got",
    "ihfftn": "only supports floating-point dtypes, but found:",
}


def _run(
    name: str, x: Any, dims: Sizes, sizes: Sizes, n: int | None, norm: Any, out: Any, shown: str
) -> Any:
    """The transform `name` over given dimensions."""
    if name in ("fft", "ifft"):
        return _to_complex(x, dims, sizes, FORWARD[name], norm, out)
    if name in ("rfft", "ihfft"):
        return _to_half(shown, x, dims, sizes, FORWARD[name], norm, out)
    return _to_real(
        shown, x, dims, _last_of_half(x, dims, sizes, n) if dims else (), FORWARD[name], norm, out
    )


def _define(name: str) -> None:
    """The transform `name` over one, two and any number of dimensions."""

    def one(
        input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None
    ) -> Any:
        return _run(name, input, *_one(name, input, n, dim), n, norm, out, name)

    def two(
        input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None
    ) -> Any:
        given = _several(f"{name}2", input, s, dim)
        return _run(name, input, *given, _last_given(s), norm, out, name + "n")

    def many(
        input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
    ) -> Any:
        given = _several(f"{name}n", input, s, dim)
        return _run(name, input, *given, _last_given(s), norm, out, name + "n")

    for f, suffix, where in (
        (one, "", ""),
        (two, "2", " Over two dimensions."),
        (many, "n", " Over several dimensions."),
    ):
        f.__name__ = f.__qualname__ = name + suffix
        f.__doc__ = DOCS[name] + where
        function(method=False, namespace="fft")(f)


for _name in DOCS:
    _define(_name)


def _shift_dims(name: str, x: Any, dim: Any) -> Sizes:
    check_tensors(f"fft_{name}", input=x)
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = tuple([_axis(d, x.ndim) for d in dims])
    if not dims:
        raise RuntimeError("`shifts` required")
    return dims


def _rolled(x: Any, shifts: list[int], dims: Sizes) -> Any:
    f = FUNCTIONS.get("roll") or define.OPS["roll"].entry
    return f(x, shifts, dims)


@function(method=False, namespace="fft")
def fftshift(input: Any, dim: Any = None) -> Any:
    """The zero frequency moved to the middle of `dim` (of all dimensions by default)."""
    dims = _shift_dims("fftshift", input, dim)
    return _rolled(input, [input.shape[d] // 2 for d in dims], dims)


@function(method=False, namespace="fft")
def ifftshift(input: Any, dim: Any = None) -> Any:
    """Inverse of `fftshift`."""
    dims = _shift_dims("ifftshift", input, dim)
    return _rolled(input, [-(input.shape[d] // 2) for d in dims], dims)


def _check_count(name: str, n: Any) -> None:
    if not _whole(n):
        raise _refused(name, "n", "int", n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")


def _frequencies(
    name: str, numbers: Any, n: int, d: float, dtype: Any, requires_grad: bool, out: Any
) -> Any:
    dtype = default.real if dtype is None else dtype
    if dtype.category < FLOATING:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    values = numbers / (n * d) if n else np.full(numbers.shape, np.nan)
    made = define.wrap(values.astype(dtype.numpy))
    made = define.write_out(out, made)
    return made.requires_grad_() if requires_grad else made


@function(method=False, namespace="fft")
def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The frequencies of `fft` over n points at distance d, in cycles per unit of d: those of the
    second half negative.
    """
    _check_count("fftfreq", n)
    numbers = np.concatenate([np.arange((n + 1) // 2), np.arange(-(n // 2), 0)])
    return _frequencies("fftfreq", numbers, n, d, dtype, requires_grad, out)


@function(method=False, namespace="fft")
def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The frequencies of `rfft` over n points at distance d, in cycles per unit of d."""
    _check_count("rfftfreq", n)
    return _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, dtype, requires_grad, out)
