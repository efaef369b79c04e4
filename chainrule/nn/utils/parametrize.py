"""Parametrizations: a parameter computed from others whenever it is read.

`register_parametrization(module, "weight", P())` moves the parameter to
`module.parametrizations.weight.original`, and gives the module a class of its own on which `weight`
is a property: the original passed through all parametrizations in turn.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...autograd.modes import no_grad
from ...tensor import Tensor
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

_cache: dict[tuple[int, str], Any] = {}
_caching = 0


@contextmanager
def cached() -> Iterator[None]:
    """Within the block every parametrized tensor is computed once."""
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


def _keep(module: Module, name: str, value: Any) -> None:
    """Register a parameter or a buffer."""
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they act, and the original(s) they
    act on.
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        start = self._inverted(original.detach())
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        if self.is_tensor:
            with no_grad():
                if start is not original:
                    original.data = start
            _keep(self, "original", original)
        else:
            for i, part in enumerate(start):
                _keep(
                    self,
                    f"original{i}",
                    (
                        Parameter(part, part.is_floating_point() and original.requires_grad)
                        if isinstance(original, Parameter)
                        else part
                    ),
                )
        if not unsafe:
            self._check(original)

    def _inverted(self, value: Any) -> Any:
        """The value that the parametrizations turn into `value`, as far as they say so."""
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    value = module.right_inverse(value)
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                "Got "
                f"{type(value).__name__}"
            )
        return value

    def _check(self, original: Any) -> None:
        with no_grad():
            value = self()
        if not isinstance(value, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
        if value.dtype != original.dtype:
            raise ValueError(
                "Registering a parametrization may not change the dtype of the tensor, unless "
                "`unsafe` flag is "
                f"enabled.\nunparametrized dtype: {original.dtype}\nparametrized dtype: "
                f"{value.dtype}"
            )
        if value.shape != original.shape:
            raise ValueError(
                "Registering a parametrization may not change the shape of the tensor, unless "
                "`unsafe` flag is "
                f"enabled.\nunparametrized shape: {original.shape}\nparametrized shape: "
                f"{value.shape}"
            )

    def right_inverse(self, value: Any) -> None:
        """Set the original(s) so that the parametrized tensor becomes `value`."""
        start = self._inverted(value)
        with no_grad():
            for name, part in (
                [("original", start)]
                if self.is_tensor
                else [(f"original{i}", s) for i, s in enumerate(start)]
            ):
                getattr(self, name).data = part.detach().clone()

    def forward(self) -> Any:
        """The parametrized tensor."""
        first, *rest = self
        value = (
            first(self.original)
            if self.is_tensor
            else first(*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        )
        for module in rest:
            value = module(value)
        return value


def _refuse_pickling(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/saving_loading_models.html#saving-loading-a-general-checkpoint"
        "-for-inference-and-or-resuming-training"
    )


def _copied(self: Any, memo: dict) -> Any:
    if id(self) in memo:
        return memo[id(self)]
    replica = self.__new__(type(self))
    memo[id(self)] = replica
    replica.__setstate__(copy.deepcopy(Module.__getstate__(self), memo))
    return replica


def _with_class_of_its_own(module: Module) -> None:
    cls = type(module)
    members = {"__getstate__": _refuse_pickling, "__deepcopy__": _copied}
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _with_property(module: Module, name: str) -> None:
    def read(self: Any) -> Any:
        if not _caching:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer of `module` be `parametrization(original)` from now on; returns the
    module.

    A `right_inverse` of the parametrization gives the original for a present or assigned value.
    Raises ValueError if there is no such tensor, or (unless `unsafe`) if its shape or dtype would
    change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held = module.parametrizations[tensor_name]  # type: ignore[index]
        before = getattr(module, tensor_name)
        held.append(parametrization)
        held.unsafe |= unsafe
        if not held.unsafe:
            held._check(before)
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        held = ParametrizationList([parametrization], original, unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _with_class_of_its_own(module)
            module.parametrizations = ModuleDict()
        _with_property(module, tensor_name)
        module.parametrizations[tensor_name] = held  # type: ignore[index]
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            "with name "
            f"'{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations (of that tensor)."""
    held = module.__dict__.get("parametrizations")
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a tensor an ordinary one again, with the parametrized value (or else with the original);
    returns the module.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    held = module.parametrizations[tensor_name]  # type: ignore[index]
    if not held.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a "
            "sequence of tensors."
        )
    original = held.original if held.is_tensor else held.original0
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach()
        original = Parameter(value, original.requires_grad) if not held.is_tensor else original
        original.data = value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]  # type: ignore[attr-defined]
    _keep(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
