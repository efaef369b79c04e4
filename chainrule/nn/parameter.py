"""Parameter and Buffer: tensors that a Module adopts when they are assigned to one of its
attributes.

A `Parameter` is a Tensor of another class, so everything that works on tensors works on it;
operators give plain Tensors back. A `Buffer` is a plain Tensor with a mark. The uninitialised kinds
have no shape yet: a lazy module gives them one at its first call, and they then turn into what they
were to become.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import devices, dtypes
from ..ops.define import storage_array, wrap
from ..tape import new, state, storage_of
from ..tensor import Tensor, _TensorMeta

NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens "
    "in `load_state_dict` "
    "when trying to load an uninitialized parameter into an initialized one. Call `forward` to "
    "initialize the "
    "parameters before accessing their attributes."
)


class Parameter(Tensor):
    """A tensor that is a module's parameter: it requires grad by default and appears in
    `Module.parameters()`.
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = blank((0,))
        if type(data) is not Tensor and not isinstance(data, Parameter):
            return _adopted(data, requires_grad)
        t = new(cls)
        t._data, t._storage = storage_array(data), storage_of(data)
        t._node, t._index, t._base = None, 0, None
        if state.capture is not None:
            state.capture.note(t)
        if data.is_inference():
            t._inference = True
        if requires_grad:
            _require(t)
        return t

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()


def _require(t: Tensor) -> None:
    if dtypes.of(t._data).category < dtypes.FLOATING:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    t.requires_grad_()


def _adopted(data: Any, requires_grad: bool) -> Any:
    """A tensor of the user's own class stays what it is; only its history is cut."""
    t = data.detach().requires_grad_(requires_grad)
    if type(t) is not type(data):
        raise RuntimeError(
            f"Creating a Parameter from an instance of type {type(data).__name__} requires that "
            "detach() "
            f"returns an instance of the same type, but return type {type(t).__name__} was found "
            "instead. To "
            "use the type as a Parameter, please correct the detach() semantics."
        )
    return t


def blank(shape: Any, dtype: Any = None, device: Any = None) -> Any:
    """A tensor whose elements have not been set."""
    devices.check(device)
    t = wrap(state.run(np.empty, shape, (dtype or dtypes.get_default_dtype()).numpy))
    t._storage = None
    return t


class _BufferMeta(_TensorMeta):
    def __instancecheck__(cls, instance: Any) -> bool:
        marked = isinstance(instance, Tensor) and instance.__dict__.get("_is_buffer", False)
        return marked if cls is Buffer else type.__instancecheck__(cls, instance)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A plain tensor, marked so that a module registers it as a buffer (`persistent`: part of the
    state dict).
    """

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        t = (
            (blank((0,)) if data is None else data)
            .detach()
            .requires_grad_(data is not None and data.requires_grad)
        )
        t.persistent, t._is_buffer = persistent, True
        return t


class _Uninitialized:
    """What lazy parameters and buffers share: no shape until `materialize`."""

    __slots__ = ()
    becomes: type = Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give it memory of `shape` and turn it into what it stands for."""
        self._data = blank(shape, dtype or self.dtype, device)._data
        node = self._node
        if node is not None:
            node.shape, node.dtype = self._data.shape, self._data.dtype
        self.__class__ = self.becomes

    @property
    def shape(self) -> Any:
        raise RuntimeError(NO_SHAPE)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)  # type: ignore[call-arg]
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return type(self), (self.requires_grad, None, self.dtype)


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet."""

    __slots__ = ()
    becomes = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Parameter.__new__(cls, blank((0,), dtype, device), requires_grad)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape is not known yet."""

    __slots__ = ()

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Any:
        t = new(cls)
        t._data, t._node, t._index, t._storage, t._base = (
            blank((0,), dtype, device)._data,
            None,
            0,
            None,
            None,
        )
        t.persistent, t._is_buffer = persistent, True
        return t.requires_grad_(requires_grad)


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, _Uninitialized)
