"""`torch.backends`: switches of libraries that are not here. They may be set; asking what is
available answers no.
"""

from __future__ import annotations

from types import SimpleNamespace


def _no() -> bool:
    return False


cudnn = SimpleNamespace(
    enabled=False,
    benchmark=False,
    deterministic=False,
    allow_tf32=False,
    is_available=_no,
    version=lambda: None,
)
cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False), is_built=_no)
mps = SimpleNamespace(is_available=_no, is_built=_no)
mkl = SimpleNamespace(is_available=_no)
openmp = SimpleNamespace(is_available=_no)
