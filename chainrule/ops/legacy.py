"""Tensor types: torch's first way to name a dtype, as `FloatTensor`.

A tensor type makes tensors of its dtype, from sizes or from data, and `isinstance` asks it about
the dtype; it has no instances of its own. `Tensor(...)` does the same in the default dtype, and
`x.new(...)` in that of `x`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import devices, dtypes
from ..namespace import layout, strided
from .convert import to_dtype
from .create import empty, is_size
from .data import is_sequence, tensor
from .define import FUNCTIONS, SCALAR_NAMES, Tensor, function, scalar_name


class TensorType(type):
    """The class of `FloatTensor` and its kind."""

    dtype: dtypes.dtype
    is_cuda = is_sparse = False
    layout: layout = strided

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        return legacy(args, cls.dtype, device)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype


def legacy(args: tuple, d: dtypes.dtype, device: Any = None) -> Any:
    """What torch's old constructors make of their arguments: sizes, data, or another tensor to look
    at.
    """
    devices.check(device)
    if (
        len(args) == 1
        and (isinstance(args[0], Tensor) or not is_size(args[0]))
        and type(args[0]).__name__ != "Size"
    ):
        data = args[0]
        if isinstance(data, Tensor):
            if data.dtype is not d:
                raise TypeError(
                    f"expected a tensor of dtype {d.name} (got {data.dtype.name}): the old "
                    "constructors do not convert; "
                    "use .to(dtype)"
                )
            return data.detach()
        if isinstance(data, np.ndarray) or is_sequence(data):
            return tensor(data, dtype=d)
        if isinstance(data, (str, bytes)):
            raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
        raise TypeError(f"new(): data must be a sequence (got {type(data).__name__})")
    return empty(*(args or (0,)), dtype=d)


TYPES = {
    name: TensorType(
        f"{cpp}Tensor",
        (),
        {
            "__module__": "torch",
            "__doc__": f"Tensors of dtype {name}: made of sizes or data, known to isinstance.",
            "dtype": dtypes.BY_NAME[name],
        },
    )
    for name, cpp in SCALAR_NAMES.items()
}
FloatTensor, DoubleTensor = TYPES["float32"], TYPES["float64"]
HalfTensor, BFloat16Tensor = TYPES["float16"], TYPES["bfloat16"]
ByteTensor, CharTensor, ShortTensor = TYPES["uint8"], TYPES["int8"], TYPES["int16"]
IntTensor, LongTensor, BoolTensor = TYPES["int32"], TYPES["int64"], TYPES["bool"]
NAMED_TYPES = {f"torch.{t.__name__}": dtypes.BY_NAME[name] for name, t in TYPES.items()}
for _tensor_type in [t for name, t in TYPES.items() if not name.startswith("complex")]:
    _tensor_type.facets = (False, "", (), "torch")
    FUNCTIONS[_tensor_type.__name__] = _tensor_type


@function(namespace="Tensor")
def new(self: Any, *args: Any, size: Any = None, device: Any = None) -> Any:
    """A tensor of this one's dtype: of given sizes (not filled), or of data."""
    return legacy(args if size is None else (*size,), self.dtype, device)


def _type(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, as 'torch.FloatTensor'; or the tensor converted to a dtype,
    tensor type or name of one.
    """
    if dtype is None:
        return f"torch.{scalar_name(self.dtype)}Tensor"
    return to_dtype(self, type_dtype(dtype))


def type_dtype(given: Any) -> dtypes.dtype:
    """The dtype that a dtype, a tensor type or the name of one stands for."""
    if isinstance(given, dtypes.dtype):
        return given
    if isinstance(given, TensorType):
        return given.dtype
    if given is Tensor:
        return dtypes.default.real
    if not isinstance(given, (str, type)):
        raise TypeError("dtype must be a type, str, or dtype object")
    name = given if isinstance(given, str) else given.__name__
    if name.startswith("torch.cuda."):
        devices.check("cuda")
    if name not in NAMED_TYPES:
        raise ValueError(f"invalid type: '{name}'")
    return NAMED_TYPES[name]


_type.__name__ = "type"
function(_type, namespace="Tensor")
