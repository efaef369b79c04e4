"""chainrule: tensors with automatic differentiation, PyTorch's API on NumPy."""
from . import dtypes, tensor
from .tensor import Tensor, Size
from .ops.elementwise import add, sub, mul, exp, sin, cos, pow, square, neg
from .ops.reduce import sum, mean
from .ops import shape as _s, index as _i, linalg as _l, create as _c
from .ops.create import tensor
from .ops.attach import attach
attach()
