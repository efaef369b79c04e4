"""The Tensor: an array, its history, and who owns its memory.

Five slots are all that every tensor has: `_data` (an ndarray, a NumPy scalar for a 0-d result that
nobody has looked into yet, or another array type inside a transformation), `_node` and `_index`
(which output of which node it is; None where no gradient flows), `_storage` (shared with whatever
looks at the same memory; made when first needed) and `_base` (the tensor it is a view of).
Everything rarer lives in `__dict__` with a default on the class. Operators attach their methods
here from the registry.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import devices, display, dtypes, errors
from .arrays.duck import Duck
from .arrays.levels import of_this_level
from .autograd import reverse
from .cuts import cut
from .ops import define
from .storage import Storage
from .tape import AccumulateGrad, RemovableHandle, new, state


class Size(tuple):
    """The shape of a tensor: a tuple that prints as `torch.Size([2, 3])`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def numel(self) -> int:
        """The product of the sizes."""
        n = 1
        for s in self:
            n *= s
        return n

    def __getitem__(self, i: Any) -> Any:
        got = tuple.__getitem__(self, i)
        return Size(got) if isinstance(i, slice) else got

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    def __reduce__(self) -> tuple:
        return Size, (tuple(self),)


class _TensorMeta(type):
    """Makes `isinstance(parameter, Tensor)` cheap and lets `Tensor(2, 3)` build float tensors."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Tensor:
            return _legacy_new(*args, **kwargs)
        return type.__call__(cls, *args, **kwargs)


def _legacy_new(*args: Any, device: Any = None) -> Any:
    """`Tensor(2, 3)`: uninitialised float tensor; `Tensor([1, 2])`: a float tensor of the data;
    `Tensor(x)`: looks at x.
    """
    from .ops.legacy import legacy

    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach()
    return legacy(args, dtypes.get_default_dtype(), device)


class Tensor(metaclass=_TensorMeta):
    """An n-dimensional array that remembers how it was computed, so that gradients can
    flow back.
    """

    __slots__ = ("__dict__", "__weakref__", "_base", "_data", "_index", "_node", "_storage")
    _data: Any
    _node: Any
    _index: int
    _storage: Any
    _base: Any
    if TYPE_CHECKING:  # methods and operators are attached from the registry

        def __getattr__(self, name: str) -> Any: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = (
            __rtruediv__
        ) = Any
        __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __mod__ = __floordiv__ = __neg__ = (
            __invert__
        ) = Any
        __lt__ = __le__ = __gt__ = __ge__ = __and__ = __or__ = __xor__ = __getitem__ = (
            __setitem__
        ) = Any
    __array_priority__ = 1000
    _grad: Any = None
    _seen: Any = None
    _no_inplace: str | None = None
    _born: int = 0
    _replay: Any = None
    _retains: bool = False
    _asleep: Any = None  # the hooks of a leaf that requires no grad for now
    _inference: bool = False
    is_sparse = is_cuda = is_quantized = is_meta = is_mkldnn = is_mps = is_xpu = is_nested = False
    layout: Any = None
    names: tuple = ()

    # -- what it is --------------------------------------------------------------------------------
    # ------------------

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self._data.shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type."""
        return dtypes.FROM_NUMPY[self._data.dtype]

    @property
    def device(self) -> devices.device:
        """Where the tensor lives: always the CPU."""
        return devices.CPU

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._data.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._data.dtype.itemsize * self._data.size

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of dimension `dim`."""
        if dim is None:
            return Size(self._data.shape)
        shape = self._data.shape
        if not -len(shape) <= dim < len(shape):
            raise errors.bad_dim(dim, len(shape))
        return shape[dim]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return int(self._data.size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._data.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Steps in memory, in elements, for each dimension (or for `dim`)."""
        data, size = self._data, self._data.dtype.itemsize
        if isinstance(data, Duck) and data.ground:
            data = data.memory()
        if not isinstance(data, np.ndarray) or data.flags.c_contiguous:
            strides = _contiguous_strides(data.shape)
        else:
            strides = tuple(s // size for s in data.strides)
        if dim is None:
            return strides
        if not -len(strides) <= dim < len(strides):
            raise errors.bad_dim(dim, len(strides))
        return strides[dim]

    def storage_offset(self) -> int:
        """Where in its memory the tensor begins, in elements."""
        if self._base is None or not isinstance(self._data, np.ndarray):
            return 0
        return (
            _address(self._data) - _address(define.storage_array(self._base))
        ) // self._data.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return _address(_exposed(self)) if self._data.size else 0

    def is_floating_point(self) -> bool:
        """Whether the dtype is float16, bfloat16, float32 or float64."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex64 or complex128."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether the tensor was made in inference mode."""
        return define.is_inference(self)

    def get_device(self) -> int:
        """-1, the number torch gives the CPU."""
        return -1

    def untyped_storage(self) -> Any:
        """The memory behind the tensor, with `data_ptr()` and `nbytes()`."""
        return UntypedStorage(self)

    storage = untyped_storage

    # -- history -----------------------------------------------------------------------------------
    # ------------------

    def _history(self) -> Any:
        base = self._base
        if base is not None:
            if base._node is not self._seen:
                define.refresh(self)
            elif (
                self._no_inplace is not None
                and self._storage.version != self._born
                and self.requires_grad
            ):
                raise define.view_error(self, "its base or another view of its base has been")
        return self._node

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor, or the tensor it is a view of."""
        return self._node is not None or (self._base is not None and self._base._node is not None)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop) recording what is done with this leaf; floating and complex
        tensors only.
        """
        node = self._history()
        if node is not None and type(node) is not AccumulateGrad:
            if requires_grad:
                return self
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a"
                " computed variable in a subgraph that doesn't require differentiation use"
                " var_no_grad = var.detach()."
            )
        if not requires_grad:
            if node is not None and node.more is not None:
                self._asleep = node.more
            self._node = None
        elif node is None:
            if dtypes.of(self._data).category < dtypes.FLOATING:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            if define.is_inference(self) and not state.inference:
                raise RuntimeError(
                    "Setting requires_grad=True on inference tensor outside InferenceMode is not"
                    " allowed."
                )
            self._node = AccumulateGrad(self)
            if self._asleep is not None:
                self._node.more, self._asleep = self._asleep, None
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user (or needs no gradient), not computed."""
        node = self._history()
        return node is None or type(node) is AccumulateGrad

    @property
    def grad_fn(self) -> Any:
        """The node that computed this tensor; None for a leaf."""
        node = self._history()
        return None if node is None or type(node) is AccumulateGrad else node.shown

    @property
    def output_nr(self) -> int:
        """Which output of its `grad_fn` this tensor is."""
        return self._index

    @property
    def grad(self) -> Any:
        """The gradient accumulated by `backward()`, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            _check_grad(self, value)
        elif state.capture is not None:
            state.capture.clears([self])
        self._grad = value

    @property
    def _version(self) -> int:
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0 if self._storage is None else self._storage.version

    @property
    def data(self) -> Tensor:
        """The same memory without history and with a version counter of its own."""
        cut(".data", self)
        t = define.wrap(define.storage_array(self))
        t._inference = self.is_inference()
        t._storage = Storage(t._data, tracked=False)
        return t

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._data = define.storage_array(value)
        self._storage = Storage(self._data)
        if type(self._node) is AccumulateGrad:
            self._node.shape, self._node.dtype = self._data.shape, self._data.dtype

    def detach(self) -> Tensor:
        """The same values in the same memory, cut from the history."""
        cut("detach()", self)
        data = define.storage_array(self)
        t = define.wrap(data.constant() if isinstance(data, Duck) else data)
        t._storage = self._storage
        t._inference = define.is_inference(self)
        return t

    def detach_(self) -> Tensor:
        """Cut this tensor from its history, in place."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        cut("detach_()", self)
        self._node, self._index = None, 0
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this tensor, weighted by `gradient`, to the `.grad` of the leaves it
        depends on.
        """
        reverse.backward(self, gradient, retain_graph, create_graph, inputs)

    def retain_grad(self) -> None:
        """Keep `.grad` for this tensor although it is computed."""
        node = self._history()
        if node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if type(node) is AccumulateGrad or self._retains:
            return
        self._retains = True
        import weakref

        me = weakref.ref(self)

        def keep(g: Tensor) -> None:
            t = me()
            if t is not None:
                t._grad = g.clone() if t._grad is None else t._grad + g

        _hooks_of(self).setdefault(float("inf"), of_this_level(keep))

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad()` was called on this computed tensor."""
        return self._retains

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(grad)` when the gradient of this tensor is computed; what it returns replaces
        the gradient.
        """
        if self._history() is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return RemovableHandle(_hooks_of(self), of_this_level(hook))

    def register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(tensor)` after `.grad` of this leaf has been accumulated."""
        node = self._history()
        if node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if type(node) is not AccumulateGrad:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        return RemovableHandle(node.notes("accumulated"), hook)

    # -- to Python and NumPy
    # -----------------------------------------------------------------------------------------

    def item(self) -> Any:
        """The only element as a Python number."""
        data = self._data
        if data.size != 1:
            raise RuntimeError(f"a Tensor with {data.size} elements cannot be converted to Scalar")
        if self._node is not None:
            cut("item()", self)
        value = data.item()
        return value if type(value) in NUMBERS else float(value)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        data = self._data
        cut("tolist()", self)
        return (
            data.astype(np.float32).tolist()
            if data.dtype.kind == "V" or data.dtype is dtypes.bfloat16.numpy
            else data.tolist()
        )

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The same memory as a NumPy array."""
        if self.requires_grad and state.grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()"
                " instead."
            )
        cut("numpy(force=True)", self)
        return _exposed(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is None or array.dtype == dtype:
            return array.copy() if copy else array
        if copy is False:
            raise ValueError("Unable to avoid copy while creating an array as requested.")
        return array.astype(dtype)

    def __dlpack__(self, *, stream: Any = None, **kwargs: Any) -> Any:
        """A DLPack capsule of the same memory."""
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return _exposed(self).__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple:
        return (1, 0)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        data = self._data
        if isinstance(data, Duck):
            return data.repr_with(lambda array: repr(define.wrap(array)))
        return display.tensor_repr(self)

    def __format__(self, spec: str) -> str:
        if self._data.ndim == 0:
            return format(self.item(), spec)
        if not spec:
            return repr(self)
        raise TypeError("unsupported format string passed to Tensor.__format__")

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[0]

    def __iter__(self) -> Iterator:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))  # type: ignore[attr-defined]

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise RuntimeError(
                "Boolean value of Tensor with "
                + (
                    "no values is ambiguous"
                    if not self._data.size
                    else "more than one value is ambiguous"
                )
            )
        return bool(self._data.reshape(()) if isinstance(self._data, np.ndarray) else self._data)

    def _only(self) -> Any:
        """The only element, for Python's conversions."""
        cut("a conversion to a Python number", self, 3)
        if self._data.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        if self.requires_grad:
            warnings.warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected"
                " behavior.\nConsider using tensor.detach() first.",
                UserWarning,
                stacklevel=3,
            )
        return self.item()

    def __float__(self) -> float:
        return float(_real(self._only()))

    def __int__(self) -> int:
        return int(_real(self._only()))

    def __complex__(self) -> complex:
        return complex(self._only())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iu" or self._data.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __hash__(self) -> int:
        return id(self)

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).any())  # type: ignore[attr-defined]

    def __dir__(self) -> list[str]:
        return [n for n in object.__dir__(self) if not n.startswith("is_m")]

    # -- copies ------------------------------------------------------------------------------------
    # ------------------

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy"
                " protocol at the moment. If you were attempting to deepcopy a module, this may be"
                " because of a torch.nn.utils.weight_norm usage"
            )
        if id(self) in memo:
            return memo[id(self)]
        t = new(type(self))
        t._data, t._node, t._index, t._storage, t._base = (
            define.storage_array(self).copy(),
            None,
            0,
            None,
            None,
        )
        memo[id(self)] = t
        t.__dict__.update(_user_attributes(self, memo))
        if self.requires_grad:
            t.requires_grad_()
        if self._grad is not None:
            t._grad = copy.deepcopy(self._grad, memo)
        return t

    def __reduce_ex__(self, protocol: Any) -> tuple:
        if not self.is_leaf:
            raise RuntimeError(
                "only leaf tensors can be pickled; call detach() on a computed one first"
            )
        return _rebuild, (
            type(self),
            define.storage_array(self),
            self.requires_grad,
            _user_attributes(self, None),
        )


PRIVATE = frozenset(
    (
        "_grad",
        "_seen",
        "_no_inplace",
        "_born",
        "_replay",
        "_retains",
        "_inference",
        "_asleep",
        "_placed",
    )
)
NUMBERS = frozenset((bool, int, float, complex))


def _real(value: Any) -> Any:
    """A number without imaginary part as a real one."""
    if not isinstance(value, complex):
        return value
    if value.imag:
        raise RuntimeError("value cannot be converted to type double without overflow")
    return value.real


def _user_attributes(t: Tensor, memo: dict | None) -> dict:
    own = {k: v for k, v in t.__dict__.items() if k not in PRIVATE}
    return own if memo is None else copy.deepcopy(own, memo)


def _rebuild(cls: type, array: np.ndarray, requires_grad: bool, attributes: dict) -> Tensor:
    array = array.view(dtypes.from_numpy(array.dtype).numpy)  # pickles make dtypes of their own
    t = new(cls)
    t._data, t._node, t._index, t._storage, t._base = array, None, 0, None, None
    t.__dict__.update(attributes)
    return t.requires_grad_(requires_grad)


class UntypedStorage:
    """A tensor's memory as torch's storage objects show it."""

    def __init__(self, tensor: Tensor) -> None:
        array = define.storage_array(tensor)
        while isinstance(array.base, np.ndarray):
            array = array.base
        self._array = array

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return _address(self._array)

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._array.nbytes

    size = __len__ = nbytes


def _exposed(tensor: Tensor) -> np.ndarray:
    """The array that a tensor lies in; raises RuntimeError where it stands for examples of a batch,
    or for a value and its tangent.
    """
    array = define.storage_array(tensor)
    return array.exposed() if isinstance(array, Duck) else array


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _contiguous_strides(shape: tuple) -> tuple:
    out, step = [], 1
    for n in reversed(shape):
        out.append(step)
        step *= max(n, 1)
    return tuple(reversed(out))


def _hooks_of(t: Tensor) -> dict:
    return t._node.notes("hooks").setdefault(t._index, {})


def _check_grad(t: Tensor, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            "assigned grad expected to be a Tensor or None but got grad of type"
            f" {type(value).__name__}"
        )
    if value is t:
        raise RuntimeError("can't assign Variable as its own grad")
    if value._data.shape != t._data.shape:
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
            f"'{list(t.shape)}'. Please ensure that the gradient and the tensor are the same size"
        )
    if value._data.dtype is not t._data.dtype:
        raise RuntimeError(
            "attempting to assign a gradient with dtype"
            f" '{define.scalar_name(value.dtype).lower()}' to a tensor with grad_dtype"
            f" '{define.scalar_name(t.dtype)}': a gradient has the dtype of its tensor"
        )


define.bind_tensor(Tensor)
