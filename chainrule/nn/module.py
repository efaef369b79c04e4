"""The Module: a tree of parameters, buffers and submodules around a `forward`.

What a module owns is listed in three registries, `_parameters`, `_buffers` and `_modules`;
assigning a Parameter, Buffer or Module to an attribute puts it in its registry. A registry is a
dictionary that also keeps each entry in the module's `__dict__`, so that `self.weight` costs one
ordinary attribute lookup; whoever writes to `module._parameters[name]` is therefore seen too.
Copies and pickles hold the registries alone, and the attributes are restored from them.

A call without hooks is `forward` and one test. The flag `_hooked` says that some hook was
registered once; only then are the hook tables looked at.
"""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from .. import devices, dtypes
from ..autograd.modes import no_grad
from ..ops import define
from ..tape import state
from ..tensor import RemovableHandle, Tensor
from .backward_hooks import BackwardWatch
from .parameter import Buffer, Parameter, is_lazy
from .registry import Registry

KINDS = ("_parameters", "_buffers", "_modules")
TABLES = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
CALL_TABLES = ("_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_pre_hooks")


class _IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it did not expect."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        missing, unexpected = self.missing_keys, self.unexpected_keys
        return f"_IncompatibleKeys(missing_keys={missing}, unexpected_keys={unexpected})"

    __str__ = __repr__


def _missing_forward(self: Module, *input: Any) -> None:
    """Compute the module's output; every subclass defines it."""
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


def type_name(value: Any) -> str:
    """What torch's messages call the type of a value."""
    return value.type() if type(value) is Tensor else type(value).__name__


class Module:
    """Base of all layers and models: assign Parameters and Modules to attributes and define
    `forward`.
    """

    dump_patches: ClassVar[bool] = False
    call_super_init: ClassVar[bool] = False
    _version: ClassVar[int] = 1
    _hooked = False
    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                name = next(iter(kwargs))
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but "
                    f"{len(args) + 1} were given"
                )
        own = self.__dict__
        own["training"] = True
        own["_parameters"], own["_buffers"], own["_modules"] = (
            Registry(self),
            Registry(self),
            Registry(self),
        )
        own["_non_persistent_buffers_set"] = set()
        own["_is_full_backward_hook"] = None
        for table in TABLES:
            own[table] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward: Callable[..., Any] = _missing_forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    # -- attributes -------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            self._adopt("_parameters", "parameters", name, value)
        elif isinstance(value, Module):
            self._adopt("_modules", "module", name, value)
        elif name in own:
            self._replace(own, name, value)
        elif isinstance(value, Tensor) and isinstance(value, Buffer):
            self._adopt("_buffers", "buffer", name, value)
        else:
            object.__setattr__(self, name, value)

    def _adopt(self, kind: str, noun: str, name: str, value: Any) -> None:
        own = self.__dict__
        registry = own.get(kind)
        if registry is None:
            raise AttributeError(f"cannot assign {noun} before Module.__init__() call")
        for other in KINDS:
            if other != kind and name in own[other]:
                del own[other][name]
        own["_non_persistent_buffers_set"].discard(name)
        if name not in registry:
            own.pop(name, None)
            checked = {
                "_parameters": self.register_parameter,
                "_buffers": self._register_marked,
            }.get(kind)
            if checked is not None:
                checked(name, value)
                return
        registry[name] = value

    def _register_marked(self, name: str, buffer: Any) -> None:
        self.register_buffer(name, buffer, buffer.persistent)

    def _replace(self, own: dict, name: str, value: Any) -> None:
        """Assign to an attribute that exists: what a registry holds stays of its kind or becomes
        None.
        """
        if name in KINDS:
            for old in own[name]:
                own.pop(old, None)
            own[name] = Registry(self, value)
        elif name in own["_parameters"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as parameter '{name}' "
                    "(torch.nn.Parameter or None expected)"
                )
            own["_parameters"][name] = None
        elif name in own["_modules"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            own["_modules"][name] = None
        elif name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            if isinstance(value, Buffer):
                self._note_persistence(name, value.persistent)
            own["_buffers"][name] = value
        elif isinstance(value, Buffer):
            self._adopt("_buffers", "buffer", name, value)
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for kind in KINDS:
            registry = self.__dict__.get(kind, ())
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                return
        if name not in self.__dict__ and not hasattr(type(self), name):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted(name for name in set(object.__dir__(self)) if not name[:1].isdigit())

    def __getstate__(self) -> dict:
        own = dict(self.__dict__)
        for kind in KINDS:
            for name, value in own.get(kind, {}).items():
                if own.get(name) is value:
                    del own[name]
            if kind in own:
                own[kind] = dict(own[kind])
        return own

    def __setstate__(self, saved: dict) -> None:
        own = self.__dict__
        own.update(saved)
        for kind in KINDS:
            own[kind] = Registry(self, own.get(kind, ()))
        for table in TABLES:
            own.setdefault(table, OrderedDict())
        own.setdefault("_non_persistent_buffers_set", set())
        own.setdefault("_is_full_backward_hook", None)
        if any(own[table] for table in CALL_TABLES):
            own["_hooked"] = True

    # -- registering ------------------------------------------------------------------------------

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that is not a parameter; `persistent` buffers are part of the state dict.

        Raises TypeError for what is not a Tensor or None, KeyError for a bad or taken name.
        """
        self._check_name("buffer", "_buffers", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (torch Tensor or "
                "None required)"
            )
        self._buffers[name] = tensor
        self._note_persistence(name, persistent)

    def _note_persistence(self, name: str, persistent: bool) -> None:
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Any) -> None:
        """Add a parameter (or None, for one that is left out).

        Raises TypeError for what is not a Parameter or None, KeyError for a bad or taken name.
        """
        self._check_name("parameter", "_parameters", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type_name(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                "created "
                "explicitly. To express '{name}' as a function of another Tensor, compute the "
                "value in the "
                "forward() method."
            )
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule, which can then be reached as the attribute `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", "_modules", name)
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    def _check_name(self, noun: str, kind: str, name: Any) -> None:
        if kind not in self.__dict__:
            raise AttributeError(f"cannot assign {noun} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{noun} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(
                f'{noun} name can\'t contain "."' + (f", got: {name}" if noun == "module" else "")
            )
        if not name:
            raise KeyError(f'{noun} name can\'t be empty string ""')
        if name not in self.__dict__[kind] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # -- finding ----------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; AttributeError if there is none."""
        found: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(found, name):
                raise AttributeError(f"{found._get_name()} has no attribute `{name}`")
            found = getattr(found, name)
            if not isinstance(found, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at a dotted path; `strict` asks that there was one before."""
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        return self.get_submodule(path)._get_member(name, Parameter, "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = module._get_member(name, object, "")
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    def _get_member(self, name: str, cls: type, noun: str) -> Any:
        if not hasattr(self, name):
            raise AttributeError(f"{self._get_name()} has no attribute `{name}`")
        found = getattr(self, name)
        if not isinstance(found, cls):
            raise AttributeError(f"`{name}` is not {noun}")
        return found

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator:
        """All modules of the tree with their dotted names, this one ("") first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """All modules of the tree, this one first, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen: set = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self,
        members: Callable,
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator:
        """`members(module)` over the tree, with dotted names, each once."""
        memo = set()
        tree = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in tree:
            for name, value in members(module):
                if value is None or id(value) in memo:
                    continue
                if remove_duplicate:
                    memo.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names."""
        yield from self._named_members(
            lambda m: m._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, with `recurse`, of all below."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names."""
        yield from self._named_members(
            lambda m: m._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with `recurse`, of all below."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # -- changing all of it -----------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call `fn` on every module of the tree, children first; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> Any:
        """Replace the values of all parameters, their gradients and all buffers by `fn` of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with no_grad():
            for name, param in self._parameters.items():
                if param is not None:
                    self._apply_to(name, param, fn)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def _apply_to(self, name: str, param: Any, fn: Callable) -> None:
        changed = fn(param)
        if changed is param:
            return
        grad = param.grad
        if is_lazy(param):  # no elements yet, but a dtype
            param._data = changed._data
            return
        param.data = changed
        if grad is not None:
            param.grad = fn(grad).requires_grad_(grad.requires_grad)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Cast floating (and complex) parameters and buffers: `to(dtype)`, `to(device)`,
        `to(tensor)`.
        """
        dtype, _non_blocking = _parse_to(args, kwargs)
        if dtype is not None and dtype.category < dtypes.FLOATING:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )
        if dtype is None:
            return self
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() or t.is_complex() else t)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Move to `device` without keeping the values: on the one device there is, they are left as
        they are.
        """
        devices.check(device)
        return self

    def type(self, dst_type: Any) -> Any:
        """Cast all parameters and buffers to a type."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Any:
        """Cast floating parameters and buffers to float32."""
        return self._cast(dtypes.float32)

    def double(self) -> Any:
        """Cast floating parameters and buffers to float64."""
        return self._cast(dtypes.float64)

    def half(self) -> Any:
        """Cast floating parameters and buffers to float16."""
        return self._cast(dtypes.float16)

    def bfloat16(self) -> Any:
        """Cast floating parameters and buffers to bfloat16."""
        return self._cast(dtypes.bfloat16)

    def _cast(self, dtype: Any) -> Any:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def cpu(self) -> Any:
        """Self: everything is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Any:
        """Raises DeviceError: there is no such device."""
        return self.to(devices.device("cuda" if device is None else device))

    def train(self, mode: bool = True) -> Any:
        """Set training mode (or, with False, evaluation mode) on the whole tree."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Any:
        """Set evaluation mode on the whole tree."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set `requires_grad` of every parameter."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Remove the gradients of all parameters, or set them to zero."""
        for param in self.parameters():
            clear_grad(param, set_to_none)

    def share_memory(self) -> Any:
        """Self: worker processes get copies."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile `forward` in place."""
        from .. import compile

        self.forward = compile(self.forward, *args, **kwargs)

    # -- state ------------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """What a subclass wants stored in the state dict besides tensors."""
        raise RuntimeError("Module.get_extra_state() was called, but the class does not define it")

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` gave."""
        raise RuntimeError("Module.set_extra_state() was called, but the class does not define it")

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own parameters and persistent buffers into `destination`."""
        kept = (
            (n, b) for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set
        )
        for name, value in itertools.chain(self._parameters.items(), kept):
            if value is not None:
                destination[prefix + name] = (
                    value if keep_vars or is_lazy(value) else value.detach()
                )
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by dotted name, sharing memory with the module
        (detached, unless `keep_vars`).
        """
        destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args) :])
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, local)
            if not getattr(hook, "_from_public_api", False):
                destination = destination if result is None else result
            elif result is not None:
                raise RuntimeError("state_dict post-hook must return None")
        return destination

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict()` collects."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after `state_dict()` has
        collected.
        """
        hook._from_public_api = True  # type: ignore[attr-defined]
        return RemovableHandle(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """As `register_state_dict_post_hook`, but the hook may return another state dict."""
        return RemovableHandle(self._state_dict_hooks, hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        """Call `hook([module,] state_dict, prefix, metadata, strict, missing, unexpected, errors)`
        before loading.
        """
        return RemovableHandle(
            self._load_state_dict_pre_hooks, _Bound(hook, self) if with_module else hook
        )

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)`
        before loading.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may edit the keys in place."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the values of a state dict into this module (`assign`: take its tensors themselves).

        Returns the missing and unexpected keys. Raises RuntimeError for a wrong shape and, if
        `strict`, for those keys.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        values = OrderedDict(state_dict)
        if metadata is not None:
            values._metadata = metadata  # type: ignore[attr-defined]
        load = _Load(metadata, strict, assign)
        load.walk(self, values, "")
        if strict:
            load.complain()
        if load.errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(load.errors)
            )
        return _IncompatibleKeys(load.missing, load.unexpected)  # type: ignore[call-arg]

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list,
        unexpected_keys: list,
        error_msgs: list,
    ) -> None:
        """Copy this module's own entries, noting what is missing, unexpected or wrong."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        kept = {n: b for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set}
        own = {
            n: t
            for n, t in itertools.chain(self._parameters.items(), kept.items())
            if t is not None
        }
        for name, tensor in own.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            error = self._load_one(
                key,
                name,
                tensor,
                state_dict[key],
                local_metadata.get("assign_to_params_buffers", False),
            )
            if error:
                error_msgs.append(error)
        self._load_extra_state(
            state_dict, prefix + "_extra_state", strict, missing_keys, unexpected_keys
        )
        if strict:
            unexpected_keys.extend(
                k
                for k in state_dict
                if k != prefix + "_extra_state"
                and k.startswith(prefix)
                and not self._expects(k[len(prefix) :], own)
            )

    def _expects(self, key: str, own: dict) -> bool:
        head, dot, _ = key.partition(".")
        return head in self._modules if dot else key in own

    def _load_extra_state(
        self, state_dict: Any, key: str, strict: bool, missing: list, unexpected: list
    ) -> None:
        if type(self).set_extra_state is not Module.set_extra_state:
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing.append(key)
        elif strict and key in state_dict:
            unexpected.append(key)

    def _load_one(self, key: str, name: str, tensor: Any, value: Any, assign: bool) -> str | None:
        """Put one value into a parameter or buffer; returns what is wrong, if anything is."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or '
                "Tensor-like object from checkpoint "
                f"but received {type(value)}"
            )
        if is_lazy(tensor):
            if not is_lazy(value):
                tensor.materialize(value.shape, dtype=value.dtype)
            else:
                return None
        elif tensor._data.shape == () and value._data.shape == (1,):
            value = value[0]  # type: ignore[call-arg]
        elif value.shape != tensor.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from "
                "checkpoint, the shape in current "
                f"model is {tensor.shape}."
            )
        try:
            with no_grad():
                if assign:
                    self._take(name, tensor, value)
                else:
                    tensor.copy_(value)
        except Exception as e:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the '
                f"model are {tensor.shape} and whose "
                f"dimensions in the checkpoint are {value.shape}, an exception occurred : {e.args}."
            )
        return None

    def _take(self, name: str, tensor: Any, value: Any) -> None:
        if isinstance(tensor, Parameter):
            if not isinstance(value, Parameter):
                value = Parameter(value, requires_grad=tensor.requires_grad)
            else:
                value.requires_grad_(tensor.requires_grad)
            self._parameters[name] = value
        else:
            self._buffers[name] = value

    # -- hooks ------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` (or `hook(module, args, kwargs)`) before `forward`; it may
        return other arguments.
        """
        return self._hook(
            "_forward_pre_hooks", hook, prepend, _forward_pre_hooks_with_kwargs=with_kwargs
        )

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` (or `hook(module, args, kwargs, output)`) after
        `forward`; what it returns replaces the output.

        `always_call`: call it even if `forward` raised.
        """
        return self._hook(
            "_forward_hooks",
            hook,
            prepend,
            _forward_hooks_with_kwargs=with_kwargs,
            _forward_hooks_always_called=always_call,
        )

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's gradients are computed; it may
        return other gradients.
        """
        return self._hook("_backward_pre_hooks", hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs have been
        computed; it may return other ones.
        """
        if self._is_full_backward_hook is False:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use "
                "only one of them."
            )
        self._is_full_backward_hook = True
        return self._hook("_backward_hooks", hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` for the last operation of `forward`; prefer
        the full hook.
        """
        if self._is_full_backward_hook is True:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use "
                "only one of them."
            )
        self._is_full_backward_hook = False
        return self._hook("_backward_hooks", hook, False)

    def _hook(self, table: str, hook: Callable, prepend: bool, **flags: bool) -> RemovableHandle:
        hooks = self.__dict__[table]
        handle = RemovableHandle(hooks, hook)
        for flag, on in flags.items():
            if on:
                self.__dict__[flag][handle.id] = True
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        self.__dict__["_hooked"] = True
        return handle

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        pending = dict(self._forward_hooks)
        try:
            args, kwargs = self._before(args, kwargs)
            watch = BackwardWatch.of(self)
            if watch is not None:
                args = watch.inputs(args)
            result = self.forward(*args, **kwargs)
            while pending:
                key = next(iter(pending))
                result = self._after(key, pending.pop(key), args, kwargs, result)
            return result if watch is None else watch.outputs(result)
        except Exception:
            self._after_failure(pending, args, kwargs)
            raise

    def _before(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        for key, hook in list(self._forward_pre_hooks.items()):
            if key in self._forward_pre_hooks_with_kwargs:
                result = hook(self, args, kwargs)
                if result is not None:
                    if not (isinstance(result, tuple) and len(result) == 2):
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of (new_args, "
                            "new_kwargs), but got "
                            f"{result}."
                        )
                    args, kwargs = result
            else:
                result = hook(self, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
        return args, kwargs

    def _after(self, key: int, hook: Callable, args: tuple, kwargs: dict, result: Any) -> Any:
        with_kwargs = key in self._forward_hooks_with_kwargs
        replaced = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
        return result if replaced is None else replaced

    def _after_failure(self, pending: dict, args: tuple, kwargs: dict) -> None:
        """Run the `always_call` hooks that have not run, their own errors reported as warnings."""
        for key, hook in pending.items():
            if key in self._forward_hooks_always_called:
                try:
                    self._after(key, hook, args, kwargs, None)
                except Exception as e:
                    import warnings

                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that "
                        "was silenced as "
                        f"another error was raised in forward: {e}",
                        stacklevel=3,
                    )

    # -- text -------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's text, besides its children."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()
        ]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        body = "\n  ".join(lines + children)
        return f"{self._get_name()}(\n  {body}\n)" if body else f"{self._get_name()}()"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def clear_grad(param: Any, set_to_none: bool) -> None:
    """Drop a tensor's gradient, or fill it with zeros."""
    if set_to_none and state.capture is not None:
        state.capture.clears([param])
    grad = param._grad
    if grad is None:
        return
    if set_to_none:
        param._grad = None
        return
    if grad._node is not None:
        param._grad = grad = grad.detach()
    define.about_to_be_written(grad)[...] = 0
    grad._storage.bump()


def _parse_to(args: tuple, kwargs: dict) -> tuple:
    """The dtype asked for by `to(...)`; the device is checked."""
    dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
    non_blocking = kwargs.pop("non_blocking", False)
    kwargs.pop("memory_format", None), kwargs.pop("copy", None), kwargs.pop("tensor", None)
    for a in args:
        if isinstance(a, dtypes.dtype):
            dtype = a
        elif isinstance(a, Tensor):
            dtype = a.dtype
        elif isinstance(a, (str, devices.device)) or (
            isinstance(a, int) and not isinstance(a, bool)
        ):
            device = a
        elif a is not None and not isinstance(a, bool):
            raise TypeError(
                f"to() received an invalid combination of arguments - got ({type(a).__name__})"
            )
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    devices.check(device)
    return dtype, non_blocking


class _Bound:
    """A hook that gets its module first."""

    def __init__(self, hook: Callable, module: Module) -> None:
        self.hook, self.module = hook, weakref.ref(module)

    def __call__(self, *args: Any) -> Any:
        return self.hook(self.module(), *args)

    def __getstate__(self) -> tuple:
        return self.hook, self.module()

    def __setstate__(self, saved: tuple) -> None:
        self.hook, self.module = saved[0], weakref.ref(saved[1])


class _Load:
    """One run of `load_state_dict` over a tree of modules."""

    def __init__(self, metadata: Any, strict: bool, assign: bool) -> None:
        self.metadata, self.strict, self.assign = metadata, strict, assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def walk(self, module: Module, values: Any, prefix: str) -> None:
        """Load `module` and what is below it."""
        local = {} if self.metadata is None else self.metadata.get(prefix[:-1], {})
        if self.assign:
            local["assign_to_params_buffers"] = True
        module._load_from_state_dict(
            values, prefix, local, True, self.missing, self.unexpected, self.errors
        )
        for name, child in module._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                self.walk(
                    child,
                    OrderedDict((k, v) for k, v in values.items() if k.startswith(below)),
                    below,
                )
        keys = _IncompatibleKeys(self.missing, self.unexpected)  # type: ignore[call-arg]
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, keys) is not None:
                raise RuntimeError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                    "expected to return "
                    "new values, if incompatible_keys need to be modified, it should be done "
                    "inplace."
                )

    def complain(self) -> None:
        """Missing and unexpected keys are errors."""
        for noun, keys in (("Unexpected", self.unexpected), ("Missing", self.missing)):
            if keys:
                self.errors.insert(
                    0, f"{noun} key(s) in state_dict: " + ", ".join(f'"{k}"' for k in keys) + ". "
                )
