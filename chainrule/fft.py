"""Discrete Fourier transforms (`torch.fft`)."""

from .ops.define import FUNCTIONS as _FUNCTIONS
from .ops.fft import fftfreq as fftfreq
from .ops.fft import fftshift as fftshift
from .ops.fft import ifftshift as ifftshift
from .ops.fft import rfftfreq as rfftfreq

fft = _FUNCTIONS["fft.fft"]
fft2 = _FUNCTIONS["fft.fft2"]
fftn = _FUNCTIONS["fft.fftn"]
hfft = _FUNCTIONS["fft.hfft"]
hfft2 = _FUNCTIONS["fft.hfft2"]
hfftn = _FUNCTIONS["fft.hfftn"]
ifft = _FUNCTIONS["fft.ifft"]
ifft2 = _FUNCTIONS["fft.ifft2"]
ifftn = _FUNCTIONS["fft.ifftn"]
ihfft = _FUNCTIONS["fft.ihfft"]
ihfft2 = _FUNCTIONS["fft.ihfft2"]
ihfftn = _FUNCTIONS["fft.ihfftn"]
irfft = _FUNCTIONS["fft.irfft"]
irfft2 = _FUNCTIONS["fft.irfft2"]
irfftn = _FUNCTIONS["fft.irfftn"]
rfft = _FUNCTIONS["fft.rfft"]
rfft2 = _FUNCTIONS["fft.rfft2"]
rfftn = _FUNCTIONS["fft.rfftn"]
