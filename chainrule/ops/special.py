"""Special functions: what SciPy computes, with its derivatives, under torch's names.

Each is a primitive (an array function that other array types can answer to) as well as a public
operator, because the derivatives of one are written with the others. SciPy is imported when the
first of them is called.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .define import FLOAT, elementwise, function, op, primitive
from .elementwise import keep, underivable

PI, SQRT2, SQRT_PI = math.pi, math.sqrt(2), math.sqrt(math.pi)
ONLY_SPECIAL: dict[str, Any] = {"namespace": "special", "method": False, "inplace": False}


@functools.cache
def scipy_special() -> Any:
    """The module scipy.special."""
    import scipy.special

    return scipy.special


def from_scipy(
    name: str, vjp: Any, scipy_name: str = "", mended: Callable | None = None, **facets: Any
) -> Callable:
    """What SciPy calls `scipy_name`, a function of one array, as a primitive and an operator.
    `mended(x, y)`: y with the special values of x that SciPy has in another way.
    """
    ufunc = scipy_name or name

    def kernel(x: Any, /) -> Any:
        y = getattr(scipy_special(), ufunc)(x)
        return y if mended is None else mended(x, y)

    kernel.__name__, kernel.scipy = name, ufunc  # type: ignore[attr-defined]
    if facets.get("namespace") == "special":
        facets.setdefault(
            "node",
            "Special" + "".join(w[:1].upper() + w[1:] for w in name.split("_")) + "Backward0",
        )
    return primitive(kernel, define=elementwise, promote=FLOAT, takes="bif", vjp=vjp, **facets)


def away_from_zero(x: Any) -> Any:
    """x with 1 in place of 0: a divisor for quotients that are masked, or vanish, at 0."""
    return np.where(x == 0, 1, x)


# -- log-odds --------------------------------------------------------------------------------------


@op(promote=FLOAT, alias="special.logit", inplace=True, takes="bif", pointwise=True)
def logit(x: Any, /, eps: float | None = None) -> Any:
    """log(input / (1 - input)), the inverse of sigmoid.

    The elements are first brought into [eps, 1 - eps] if `eps` is given.
    """
    z = x if eps is None else np.minimum(np.maximum(x, eps), 1 - eps)
    return np.log(z / (1 - z))


@logit.vjp
def _(g, x, eps):
    low = 0 if eps is None else eps
    inside = ~((x < low) | (x > 1 - low))
    slope = g / (x * (1 - x))
    return np.where(inside, slope, np.nan) if eps is None else keep(slope, inside)


# -- error functions and the normal distribution ---------------------------------------------------

erf = from_scipy(
    "erf",
    lambda g, x: g * (2 / SQRT_PI * np.exp(-x * x)),
    alias="special.erf",
    doc="The error function: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to input.",
)
erfc = from_scipy(
    "erfc",
    lambda g, x: g * (-2 / SQRT_PI * np.exp(-x * x)),
    alias="special.erfc",
    doc="1 - erf(input), exact for large elements too.",
)
erfcx = from_scipy(
    "erfcx",
    lambda g, x, out: g * (2 * x * out - 2 / SQRT_PI),
    **ONLY_SPECIAL,
    doc="exp(input^2) * erfc(input), without overflow.",
)
erfinv = from_scipy(
    "erfinv",
    lambda g, out: g * (SQRT_PI / 2 * np.exp(out * out)),
    mended=lambda x, y: np.copysign(y, x),  # -0 stays
    alias="special.erfinv",
    doc="The inverse of erf.",
)
ndtr = from_scipy(
    "ndtr",
    lambda g, x: g * (np.exp(x * x / -2) / math.sqrt(2 * PI)),
    **ONLY_SPECIAL,
    node="MulBackward1",
    doc="The distribution function of the standard normal distribution.",
)
ndtri = from_scipy(
    "ndtri",
    lambda g, out: g * (math.sqrt(2 * PI) * np.exp(out * out / 2)),
    **ONLY_SPECIAL,
    doc="The inverse of ndtr: quantiles of the standard normal distribution.",
)
log_ndtr = from_scipy(
    "log_ndtr",
    lambda g, x: g * (math.sqrt(2 / PI) / erfcx(x / -SQRT2)),
    **ONLY_SPECIAL,
    doc="The logarithm of ndtr, exact for very negative elements too.",
)

# -- gamma functions -------------------------------------------------------------------------------

lgamma = from_scipy(
    "lgamma",
    lambda g, x: g * digamma(x),
    "gammaln",
    mended=lambda x, y: np.where(x == -np.inf, np.inf, y).astype(y.dtype)[()],
    alias="special.gammaln",
    doc="The logarithm of the absolute value of the gamma function.",
)
digamma = from_scipy(
    "digamma",
    lambda g, x: g * derived_digamma(x, 1),
    "psi",
    alias="special.digamma special.psi",
    doc="The derivative of lgamma.",
)


@primitive(
    define=elementwise,
    promote=FLOAT,
    namespace="special",
    method=False,
    inplace=False,
    takes="bif",
    vjp=(underivable("special_zeta"), lambda g, x, y: -g * x * zeta(x + 1, y)),
    node="SpecialZetaBackward0",
)
def zeta(x: Any, y: Any, /) -> Any:
    """The Hurwitz zeta function: the sum of (k + other)^-input over k = 0, 1, 2 ..."""
    return scipy_special().zeta(x, y)


@primitive(
    define=elementwise,
    promote=FLOAT,
    name="polygamma",
    method=False,
    inplace=False,
    takes="bif",
    vjp=lambda g, x, n: g * derived_digamma(x, n + 1),
)
def derived_digamma(x: Any, /, n: int) -> Any:
    """The n-th derivative of digamma."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return scipy_special().psi(x)
    return (-1) ** (n + 1) * float(math.factorial(n)) * scipy_special().zeta(n + 1.0, x)


@function(inplace="polygamma_", alias="special.polygamma")
def polygamma(n: Any, input: Any, *, out: Any = None) -> Any:
    """The n-th derivative of digamma at each element. Raises RuntimeError for negative n."""
    if not isinstance(n, int):
        n, input = input, n
    return derived_digamma.op.entry(input, n, **({} if out is None else {"out": out}))


@op(promote=FLOAT, alias="special.multigammaln", inplace=True)
def mvlgamma(x: Any, /, p: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension p, for input > (p - 1) / 2."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    return sum(lgamma(x - j / 2) for j in range(p)) + p * (p - 1) / 4 * math.log(PI)


@mvlgamma.vjp
def _(g, x, p):
    return g * sum(digamma(x - j / 2) for j in range(p))


def _gamma_density(g: Any, x: Any, y: Any) -> Any:
    """The derivative of the lower incomplete gamma function by its second argument."""
    return g * np.exp((x - 1) * np.log(y) - y - lgamma(x))


def _igamma(x: Any, y: Any, /) -> Any:
    return scipy_special().gammainc(x, y)


def _igammac(x: Any, y: Any, /) -> Any:
    return scipy_special().gammaincc(x, y)


igamma = primitive(
    _igamma,
    define=elementwise,
    promote=FLOAT,
    name="igamma",
    alias="special.gammainc",
    numbers=False,
    vjp=(underivable("igamma: input"), _gamma_density),
    takes="f",
    doc=(
        "The lower incomplete gamma function, regularised: the distribution function of "
        "Gamma(input, 1) at other."
    ),
)
igammac = primitive(
    _igammac,
    define=elementwise,
    promote=FLOAT,
    name="igammac",
    alias="special.gammaincc",
    numbers=False,
    vjp=(underivable("igammac: input"), lambda g, x, y: -_gamma_density(g, x, y)),
    takes="f",
    doc="The upper incomplete gamma function, regularised: 1 - igamma(input, other).",
)

# -- products with logarithms ----------------------------------------------------------------------


def _typed(x: Any, like: Any) -> Any:
    """A number in the dtype of the array beside it."""
    return x if hasattr(x, "dtype") else like.dtype.type(x)


def _xlogy(x: Any, y: Any, /) -> Any:
    x, y = _typed(x, y), _typed(y, x)
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y))


def _xlog1py(x: Any, y: Any, /) -> Any:
    x, y = _typed(x, y), _typed(y, x)
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log1p(y))


def _times_log(g: Any, log: Any, y: Any, none: Any) -> Any:
    """g * log(y), and 0 where `none` holds or g is 0, whatever the logarithm."""
    return keep(g * log, ~(none | ((g == 0) & (y == y) & ~np.isfinite(log))))


xlogy = elementwise(
    _xlogy,
    promote=FLOAT,
    name="xlogy",
    alias="special.xlogy",
    takes="bif",
    scalar_nodes="XlogyBackward2 XlogyBackward1",
    vjp=(
        lambda g, x, y: _times_log(g, np.log(y), y, (x == 0) & (y <= 0)),
        lambda g, x, y: g * x / y,
    ),
    doc="input * log(other), elementwise, and 0 where input is 0.",
)
xlog1py = elementwise(
    _xlog1py,
    promote=FLOAT,
    name="xlog1py",
    takes="bif",
    node="SpecialXlog1PyBackward0",
    **ONLY_SPECIAL,
    scalar_nodes="SpecialXlog1PyBackward2 SpecialXlog1PyBackward1",
    vjp=(
        lambda g, x, y: _times_log(g, np.log1p(y), y, (x == 0) & (y <= -1)),
        lambda g, x, y: g * x / (y + 1),
    ),
    doc="input * log(1 + other), elementwise, and 0 where input is 0.",
)


def _entr(x: Any, /) -> Any:
    return np.where(x == 0, 0, np.where(x < 0, -np.inf, -x * np.log(x)))


entr = elementwise(
    _entr,
    promote=FLOAT,
    name="entr",
    takes="bif",
    node="SpecialEntrBackward0",
    **ONLY_SPECIAL,
    vjp=lambda g, x: g * (-np.log(x) - 1),
    doc="-input * log(input), elementwise: 0 at 0, -inf below.",
)


def _sine_ratio(x: Any) -> Any:
    """sin(x) / x, and 1 at 0."""
    return np.where(x == 0, 1, np.sin(x) / away_from_zero(x))


def _sine_ratio_slope(x: Any) -> Any:
    """The derivative of sin(x) / x; at 0 it is 0, and falls by x / 3."""
    slope = (x * np.cos(x) - np.sin(x)) / away_from_zero(x * x)
    return np.where(x == 0, x / -3, slope)


sinc = elementwise(
    lambda x, /: _sine_ratio(PI * x),
    vjp=lambda g, x: g * (PI * _sine_ratio_slope(PI * x)),
    promote=FLOAT,
    name="sinc",
    alias="special.sinc",
    doc="sin(pi * input) / (pi * input), elementwise, and 1 at 0.",
)

# -- Bessel functions ------------------------------------------------------------------------------


def by_order_zero(g: Any, zeroth: Any, x: Any, out: Any) -> Any:
    """The rule of f, of order 1, with the function of order 0: f' = zeroth - f / x, 1/2 at 0."""
    return g * np.where(x == 0, 0.5, zeroth - out / away_from_zero(x))


i0 = from_scipy(
    "i0",
    lambda g, x: g * i1(x),
    alias="special.i0",
    doc="The modified Bessel function of the first kind of order 0.",
)
i0e = from_scipy(
    "i0e",
    lambda g, x, out: g * (i1e(x) - np.sign(x) * out),
    **ONLY_SPECIAL,
    node="SpecialI0EBackward0",
    doc="exp(-|input|) * i0(input), without overflow.",
)
i1 = from_scipy(
    "i1",
    lambda g, x, out: by_order_zero(g, i0(x), x, out),
    **ONLY_SPECIAL,
    doc="The modified Bessel function of the first kind of order 1.",
)
i1e = from_scipy(
    "i1e",
    lambda g, x, out: by_order_zero(g, i0e(x) - np.sign(x) * out, x, out),
    **ONLY_SPECIAL,
    node="SpecialI1EBackward0",
    doc="exp(-|input|) * i1(input), without overflow.",
)
bessel_j0 = from_scipy(
    "bessel_j0",
    lambda g, x: -g * bessel_j1(x),
    "j0",
    **ONLY_SPECIAL,
    doc="The Bessel function of the first kind of order 0.",
)
bessel_j1 = from_scipy(
    "bessel_j1",
    lambda g, x, out: by_order_zero(g, bessel_j0(x), x, out),
    "j1",
    **ONLY_SPECIAL,
    doc="The Bessel function of the first kind of order 1.",
)
bessel_y0 = from_scipy(
    "bessel_y0",
    lambda g, x: -g * bessel_y1(x),
    "y0",
    **ONLY_SPECIAL,
    doc="The Bessel function of the second kind of order 0.",
)
bessel_y1 = from_scipy(
    "bessel_y1",
    lambda g, x, out: g * (bessel_y0(x) - out / x),
    "y1",
    **ONLY_SPECIAL,
    doc="The Bessel function of the second kind of order 1.",
)
modified_bessel_i0 = from_scipy(
    "modified_bessel_i0",
    lambda g, x: g * i1(x),
    "i0",
    **ONLY_SPECIAL,
    doc="The modified Bessel function of the first kind of order 0.",
)
modified_bessel_i1 = from_scipy(
    "modified_bessel_i1",
    lambda g, x, out: by_order_zero(g, i0(x), x, out),
    "i1",
    **ONLY_SPECIAL,
    doc="The modified Bessel function of the first kind of order 1.",
)
modified_bessel_k0 = from_scipy(
    "modified_bessel_k0",
    lambda g, x: -g * modified_bessel_k1(x),
    "k0",
    **ONLY_SPECIAL,
    doc="The modified Bessel function of the second kind of order 0.",
)
modified_bessel_k1 = from_scipy(
    "modified_bessel_k1",
    lambda g, x, out: -g * (modified_bessel_k0(x) + out / x),
    "k1",
    **ONLY_SPECIAL,
    doc="The modified Bessel function of the second kind of order 1.",
)
scaled_modified_bessel_k0 = from_scipy(
    "scaled_modified_bessel_k0",
    lambda g, x, out: g * (out - scaled_modified_bessel_k1(x)),
    "k0e",
    **ONLY_SPECIAL,
    doc="exp(input) times the modified Bessel function of the second kind of order 0.",
)
scaled_modified_bessel_k1 = from_scipy(
    "scaled_modified_bessel_k1",
    lambda g, x, out: g * (out - out / x - scaled_modified_bessel_k0(x)),
    "k1e",
    **ONLY_SPECIAL,
    doc="exp(input) times the modified Bessel function of the second kind of order 1.",
)
spherical_bessel_j0 = elementwise(
    lambda x, /: _sine_ratio(x),
    vjp=lambda g, x: g * _sine_ratio_slope(x),
    promote=FLOAT,
    name="spherical_bessel_j0",
    takes="bif",
    **ONLY_SPECIAL,
    doc="The spherical Bessel function of the first kind of order 0: sin(input) / input.",
)


def _airy(x: Any, /) -> Any:
    return scipy_special().airy(x)[0]


airy_ai = primitive(
    _airy,
    define=elementwise,
    promote=FLOAT,
    name="airy_ai",
    takes="bif",
    **ONLY_SPECIAL,
    doc="The Airy function Ai.",
)

# -- orthogonal polynomials ------------------------------------------------------------------------


def _chebyshev(k: int, x: Any, p: Any, q: Any) -> Any:
    return 2 * x * p - q


# name: (polynomial of degree 1; that of degree k + 1 from p of degree k, q of degree k - 1; words)
FAMILIES: dict[str, tuple[Callable, Callable, str]] = {
    "chebyshev_polynomial_t": (lambda x: x, _chebyshev, "Chebyshev polynomial of the first kind"),
    "chebyshev_polynomial_u": (
        lambda x: 2 * x,
        _chebyshev,
        "Chebyshev polynomial of the second kind",
    ),
    "chebyshev_polynomial_v": (
        lambda x: 2 * x - 1,
        _chebyshev,
        "Chebyshev polynomial of the third kind",
    ),
    "chebyshev_polynomial_w": (
        lambda x: 2 * x + 1,
        _chebyshev,
        "Chebyshev polynomial of the fourth kind",
    ),
    "hermite_polynomial_h": (
        lambda x: 2 * x,
        lambda k, x, p, q: 2 * (x * p - k * q),
        "physicist's Hermite polynomial",
    ),
    "hermite_polynomial_he": (
        lambda x: x,
        lambda k, x, p, q: x * p - k * q,
        "probabilist's Hermite polynomial",
    ),
    "laguerre_polynomial_l": (
        lambda x: 1 - x,
        lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1),
        "Laguerre polynomial",
    ),
    "legendre_polynomial_p": (
        lambda x: x,
        lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1),
        "Legendre polynomial",
    ),
}


def _polynomial(name: str, first: Callable, following: Callable, words: str) -> Callable:
    """The operator for one family, by its recurrence up to the largest degree asked for."""
    shifted = name.startswith("shifted_")

    def kernel(x: Any, n: Any, /) -> Any:
        x, n = np.broadcast_arrays(_typed(x, n), np.trunc(_typed(n, x)))
        x = 2 * x - 1 if shifted else x
        before, now = np.ones_like(x), first(x)
        out = np.where(n == 0, before, np.where(n == 1, now, x.dtype.type(0)))
        for k in range(1, int(n.max(initial=0))):
            before, now = now, following(k, x, now, before)
            out = np.where(n == k + 1, now, out)
        return out

    kernel.__name__ = name
    return primitive(
        kernel,
        define=elementwise,
        promote=FLOAT,
        takes="bif",
        **ONLY_SPECIAL,
        doc=f"The {words} of degree n, elementwise; 0 for negative n.",
    )


for _name, (_first, _following, _words) in FAMILIES.items():
    globals()[_name] = _polynomial(_name, _first, _following, _words)
    if _name.startswith("chebyshev"):
        globals()[f"shifted_{_name}"] = _polynomial(
            f"shifted_{_name}", _first, _following, f"{_words}, at 2 * input - 1,"
        )
