"""Special functions (`torch.special`)."""

from .ops.activation import log_softmax as log_softmax
from .ops.activation import softmax as softmax
from .ops.define import OPS as _OPS
from .ops.elementwise import exp2 as exp2
from .ops.elementwise import expm1 as expm1
from .ops.elementwise import log1p as log1p
from .ops.elementwise import round as round
from .ops.elementwise import sigmoid as _expit
from .ops.special import airy_ai as _airy_ai
from .ops.special import bessel_j0 as _bessel_j0
from .ops.special import bessel_j1 as _bessel_j1
from .ops.special import bessel_y0 as _bessel_y0
from .ops.special import bessel_y1 as _bessel_y1
from .ops.special import digamma as _digamma
from .ops.special import digamma as _psi
from .ops.special import entr as entr
from .ops.special import erf as _erf
from .ops.special import erfc as _erfc
from .ops.special import erfcx as _erfcx
from .ops.special import erfinv as _erfinv
from .ops.special import i0 as _i0
from .ops.special import i0e as _i0e
from .ops.special import i1 as _i1
from .ops.special import i1e as _i1e
from .ops.special import igamma as _gammainc
from .ops.special import igammac as _gammaincc
from .ops.special import lgamma as _gammaln
from .ops.special import log_ndtr as _log_ndtr
from .ops.special import logit as logit
from .ops.special import modified_bessel_i0 as _modified_bessel_i0
from .ops.special import modified_bessel_i1 as _modified_bessel_i1
from .ops.special import modified_bessel_k0 as _modified_bessel_k0
from .ops.special import modified_bessel_k1 as _modified_bessel_k1
from .ops.special import mvlgamma as multigammaln
from .ops.special import ndtr as _ndtr
from .ops.special import ndtri as _ndtri
from .ops.special import polygamma as polygamma
from .ops.special import scaled_modified_bessel_k0 as _scaled_modified_bessel_k0
from .ops.special import scaled_modified_bessel_k1 as _scaled_modified_bessel_k1
from .ops.special import sinc as sinc
from .ops.special import spherical_bessel_j0 as spherical_bessel_j0
from .ops.special import xlog1py as xlog1py
from .ops.special import xlogy as xlogy
from .ops.special import zeta as _zeta

airy_ai = _airy_ai.op.entry
bessel_j0 = _bessel_j0.op.entry
bessel_j1 = _bessel_j1.op.entry
bessel_y0 = _bessel_y0.op.entry
bessel_y1 = _bessel_y1.op.entry
chebyshev_polynomial_t = _OPS["chebyshev_polynomial_t"].entry
chebyshev_polynomial_u = _OPS["chebyshev_polynomial_u"].entry
chebyshev_polynomial_v = _OPS["chebyshev_polynomial_v"].entry
chebyshev_polynomial_w = _OPS["chebyshev_polynomial_w"].entry
digamma = _digamma.op.entry
erf = _erf.op.entry
erfc = _erfc.op.entry
erfcx = _erfcx.op.entry
erfinv = _erfinv.op.entry
expit = _expit.op.entry
gammainc = _gammainc.op.entry
gammaincc = _gammaincc.op.entry
gammaln = _gammaln.op.entry
hermite_polynomial_h = _OPS["hermite_polynomial_h"].entry
hermite_polynomial_he = _OPS["hermite_polynomial_he"].entry
i0 = _i0.op.entry
i0e = _i0e.op.entry
i1 = _i1.op.entry
i1e = _i1e.op.entry
laguerre_polynomial_l = _OPS["laguerre_polynomial_l"].entry
legendre_polynomial_p = _OPS["legendre_polynomial_p"].entry
log_ndtr = _log_ndtr.op.entry
modified_bessel_i0 = _modified_bessel_i0.op.entry
modified_bessel_i1 = _modified_bessel_i1.op.entry
modified_bessel_k0 = _modified_bessel_k0.op.entry
modified_bessel_k1 = _modified_bessel_k1.op.entry
ndtr = _ndtr.op.entry
ndtri = _ndtri.op.entry
psi = _psi.op.entry
scaled_modified_bessel_k0 = _scaled_modified_bessel_k0.op.entry
scaled_modified_bessel_k1 = _scaled_modified_bessel_k1.op.entry
shifted_chebyshev_polynomial_t = _OPS["shifted_chebyshev_polynomial_t"].entry
shifted_chebyshev_polynomial_u = _OPS["shifted_chebyshev_polynomial_u"].entry
shifted_chebyshev_polynomial_v = _OPS["shifted_chebyshev_polynomial_v"].entry
shifted_chebyshev_polynomial_w = _OPS["shifted_chebyshev_polynomial_w"].entry
zeta = _zeta.op.entry
