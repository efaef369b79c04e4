"""The Optimizer: parameters in groups, each group with its settings, and a state for each
parameter.

The optimizers of this package compute on arrays, unrecorded and in place. An update rule is a
function that overwrites the arrays of a parameter and of its state, given the gradient; `apply`
runs it on stretches short enough to stay in the processor's cache, so that a rule may take as many
passes as its formula has operations. Complex parameters are seen as pairs of reals, and half types
are widened for the rule and rounded back. One write is entered for each parameter.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..autograd.modes import enable_grad
from ..dtypes import F32, F64, HALVES
from ..ops.define import WATCHERS, about_to_be_written, about_to_write, storage_array, wrap
from ..tape import AtSize, state, storage_of
from ..tensor import RemovableHandle, Tensor

BLOCK = 1 << 15
HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _Required:
    """Marks a setting that has no default."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()
ParamsT = Iterable[Any]


def _with_hooks(step: Callable) -> Callable:
    """`step` between the optimizer's step hooks."""

    @functools.wraps(step)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        if not own.get(HOOKS[0]) and not own.get(HOOKS[1]):
            return step(self, *args, **kwargs)
        for hook in list(own[HOOKS[0]].values()):
            result = hook(self, (self, *args), kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got"
                        f" {result}."
                    )
                args, kwargs = result[0][1:], result[1]
        out = step(self, *args, **kwargs)
        for hook in list(own[HOOKS[1]].values()):
            hook(self, (self, *args), kwargs)
        return out

    hooked.hooked = True  # type: ignore[attr-defined]
    return hooked


class Optimizer:
    """Base of all optimizers: `params` are tensors, (name, tensor) pairs, or dictionaries with
    "params" and settings.

    Raises TypeError for what is not an iterable of those, ValueError for none at all and for
    duplicates across groups.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        step = cls.__dict__.get("step")
        if step is not None and not hasattr(step, "hooked"):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        for table in HOOKS:
            self.__dict__[table] = OrderedDict()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts,"
                " but got " + params.type()
            )
        self.state: Any = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __getstate__(self) -> dict:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, saved: dict) -> None:
        self.__dict__.update(saved)
        for table in HOOKS:
            self.__dict__.setdefault(table, OrderedDict())
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for k, group in enumerate(self.param_groups):
            lines += ["" if k else None, f"Parameter Group {k}"]  # type: ignore[list-item]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(line for line in lines if line is not None) + "\n)"

    # -- parameters -------------------------------------------------------------------------------
    # ------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; what is not given comes from the defaults."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, Tensor):
            given = [given]
        elif isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering"
                " of tensors in sets will change between runs. Please use a list instead."
            )
        params, names = _names_apart(list(given))
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for p in params:
            self._check(p)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter"
                    f" {name}"
                )
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) < len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this"
                " will cause an error; see github.com/pytorch/pytorch/issues/40967 for more"
                " information",
                stacklevel=3,
            )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in param_group) != (
            "param_names" in self.param_groups[0]
        ):
            raise ValueError(
                "all optimizer param groups should be with/without names. Some param groups have"
                " names, others do not"
            )
        self.param_groups.append(param_group)

    def _check(self, p: Any) -> None:
        if not isinstance(p, Tensor):
            raise TypeError(
                f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}"
            )
        if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
            raise ValueError("can't optimize a non-leaf Tensor")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Remove the gradients of all parameters, or set them to zero."""
        if set_to_none and state.capture is not None:
            state.capture.clears([p for group in self.param_groups for p in group["params"]])
        for group in self.param_groups:
            for p in group["params"]:
                grad = p._grad
                if grad is None:
                    continue
                if set_to_none:
                    p._grad = None
                else:
                    if grad._node is not None:
                        p._grad = grad = grad.detach()
                    about_to_be_written(grad)[...] = 0
                    storage_of(grad).bump()

    def step(self, closure: Callable | None = None) -> Any:
        """One update of all parameters by their gradients; `closure` computes the loss anew and is
        called first.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    # -- state ------------------------------------------------------------------------------------
    # ------------------

    def prepare(self) -> list:
        """Make the state that the first step would make, where that changes nothing: a step that is
        captured then is what all later steps are. Returns the parameters that got one.
        """
        found = []
        for group in self.param_groups:
            for p in group["params"]:
                if (
                    p.requires_grad
                    and not self.state.get(p)
                    and self.begin(self.state[p], p, group)
                ):
                    found.append(p)
        return found

    def unprepare(self, params: list) -> None:
        """Forget the state that `prepare` made."""
        for p in params:
            del self.state[p]

    def begin(self, own: dict, p: Any, group: dict) -> bool:
        """Fill a parameter's new state as its first step would; False if that is not all that the
        first step does in a way of its own.
        """
        return False

    def state_dict(self) -> dict[str, Any]:
        """{"state": by the parameters' numbers, "param_groups": settings, with those numbers under
        "params"}.
        """
        for hook in list(self.__dict__[HOOKS[2]].values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(numbers[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        out: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in list(self.__dict__[HOOKS[3]].values()):
            result = hook(self, out)
            out = out if result is None else result
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take state and settings from what `state_dict()` gave; ValueError if the groups do not
        fit.
        """
        saved = state_dict.copy()
        for hook in list(self.__dict__[HOOKS[4]].values()):
            result = hook(self, saved)
            saved = saved if result is None else result
        own, groups = self.param_groups, copy.deepcopy(saved["param_groups"])
        if len(own) != len(groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(own, groups, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of"
                " optimizer's group"
            )
        by_number = dict(
            zip(
                chain(*(g["params"] for g in groups)),
                chain(*(g["params"] for g in own)),
                strict=True,
            )
        )
        state: Any = defaultdict(dict)
        for key, value in saved["state"].items():
            p = by_number.get(key)
            state[key if p is None else p] = value if p is None else _fitted(value, p)
        for old, new in zip(own, groups, strict=True):
            new["params"] = old["params"]
            if "param_names" in old and "param_names" not in new:
                new["param_names"] = old["param_names"]
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in list(self.__dict__[HOOKS[5]].values()):
            hook(self)

    # -- hooks ------------------------------------------------------------------------------------
    # ------------------

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return other arguments."""
        return RemovableHandle(self.__dict__[HOOKS[0]], hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return RemovableHandle(self.__dict__[HOOKS[1]], hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict()`."""
        return self._hook(HOOKS[2], hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after `state_dict()`; it may return another one."""
        return self._hook(HOOKS[3], hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another one."""
        return self._hook(HOOKS[4], hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return self._hook(HOOKS[5], hook, prepend)

    def _hook(self, table: str, hook: Callable, prepend: bool) -> RemovableHandle:
        hooks = self.__dict__[table]
        handle = RemovableHandle(hooks, hook)
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle


def _names_apart(given: list) -> tuple[list, list]:
    """Parameters and their names, from parameters or from (name, parameter) pairs."""
    named = [isinstance(p, tuple) for p in given]
    if any(named) and not all(named):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    if given and all(named):
        return [p for _, p in given], [name for name, _ in given]
    return given, []


def _fitted(value: Any, p: Any, key: Any = None) -> Any:
    """A saved state with its tensors (but for step counts) in the dtype of the parameter."""
    if isinstance(value, Tensor):
        if key == "step":
            return value.clone()
        floating = p.is_floating_point() or p.is_complex()
        return value.to(p.dtype).clone() if floating else value.clone()
    if isinstance(value, dict):
        return {k: _fitted(v, p, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_fitted(v, p) for v in value])
    return value


# -- what the optimizers here share ---------------------------------------------------------------


def evaluated(closure: Callable | None) -> Any:
    """The closure's loss, computed with recording on."""
    if closure is None:
        return None
    with enable_grad():
        return closure()


def check_nonnegative(**values: Any) -> None:
    """Raise torch's ValueError for the first setting that is negative (or NaN); its words are the
    keyword's.
    """
    for words, value in values.items():
        if not float(value) >= 0.0:
            raise ValueError(
                f"Invalid {words.replace('_value', ' value').replace('__', '_')}: {value}"
            )


def check_lr(lr: Any) -> None:
    """Raise ValueError unless lr is a number or a one-element tensor, and not negative."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not float(lr) >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_betas(betas: Any) -> None:
    """Raise ValueError unless both are in [0, 1)."""
    for k, beta in enumerate(betas):
        if not 0.0 <= float(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {beta}")


def check_implementation(foreach: Any, fused: Any = None, differentiable: bool = False) -> None:
    """`foreach` and `fused` choose among torch's implementations; here there is one.
    `differentiable` is refused.
    """
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if differentiable:
        raise RuntimeError(
            "differentiable=True is not supported: optimizers here update in place, unrecorded. To"
            " differentiate through a step, write it with tensor operations and"
            " torch.func.functional_call."
        )


def zeros_like(p: Any) -> Tensor:
    """Zeros of a parameter's shape and dtype."""
    return wrap(np.zeros(p._data.shape, p._data.dtype))


def counter() -> Tensor:
    """A count of steps, as torch keeps it: a float32 tensor."""
    return wrap(np.float32(0))


def number(group: dict, key: str = "lr") -> Any:
    """A setting of a group as a float; while a step is captured, an input of its program."""
    return float(group[key]) if state.capture is None else state.capture.setting(group, key)


def advance(own: dict) -> Any:
    """Count one step more; returns the count."""
    t = own["step"]
    if not isinstance(t, Tensor):
        own["step"] = t = wrap(np.float32(t))
    data: Any = t._data
    if isinstance(data, Duck):
        np.add(data, 1, out=data)
        return data.astype(F64)
    if isinstance(data, np.ndarray):
        data += 1
        return float(data)
    t._data = data + np.float32(1)
    return float(t._data)


def apply(rule: Callable, p: Any, g: Any, tensors: Iterable, *settings: Any) -> None:
    """Run `rule(p, g, *state, *settings)` on the arrays of a parameter, its gradient and its state;
    note the write.
    """
    if WATCHERS:
        tensors = list(tensors)
        for t in (p, *tensors):
            about_to_write(t)
    data = p._data
    if isinstance(data, Duck):
        tensors = list(tensors)
        for t in tensors:  # state that this very step has made
            if isinstance(storage_array(t), np.ndarray):
                data.lay(t)
        settings = tuple([s.astype(data.dtype) if isinstance(s, Duck) else s for s in settings])
    simple = data.ndim and (data.dtype is F32 or data.dtype is F64)
    if simple and data.size <= BLOCK:
        rule(data, g, *[t._data for t in tensors], *settings)
    else:
        _apply_to_any(rule, [storage_array(p), g, *map(storage_array, tensors)], settings)
    storage_of(p).bump()


def _apply_to_any(rule: Callable, arrays: list, settings: tuple) -> None:
    """Run a rule on arrays of any dtype and length."""
    data = arrays[0]
    if data.dtype.kind == "c":
        arrays = [as_real(a) for a in arrays]
    elif not data.ndim:
        arrays = [a.reshape(1) for a in arrays]
    if data.dtype in HALVES:
        _widened(rule, arrays, settings)
    elif data.size > BLOCK:
        _in_blocks(rule, arrays, settings)
    else:
        rule(*arrays, *settings)


def as_real(a: Any) -> Any:
    """Complex memory as pairs of reals."""
    return a[..., None].view(a.real.dtype)


def _widened(rule: Callable, arrays: list, settings: tuple) -> None:
    wide = [a.astype(HALVES[a.dtype]) for a in arrays]
    rule(*wide, *settings)
    for a, w in zip(arrays, wide, strict=True):
        if a is not arrays[1]:
            a[...] = w


def _in_blocks(rule: Callable, arrays: list, settings: tuple) -> None:
    if not all(isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays):
        rule(*arrays, *settings)
        return
    flat = [a.reshape(-1) for a in arrays]
    if AtSize.update is not None and AtSize.update(rule, flat, settings):
        return
    for i in range(0, flat[0].size, BLOCK):
        rule(*[a[i : i + BLOCK] for a in flat], *settings)


class Elementwise(Optimizer):
    """An optimizer that treats every element alike: subclasses say how one parameter is updated."""

    def step(self, closure: Callable | None = None) -> Any:
        """One update of all parameters by their gradients; `closure` computes the loss anew and is
        called first.
        """
        loss = evaluated(closure)
        for group in self.param_groups:
            state.run(self._update, group)
        return loss

    def _update(self, group: dict) -> None:
        """Update the parameters of a group that have gradients."""
        update, downhill = self.updater(group, self.state), not group["maximize"]
        for p in group["params"]:
            grad = p._grad
            if grad is not None:
                update(p, grad._data if downhill else -grad._data)

    def updater(self, group: dict, states: Any) -> Callable:
        """A function (parameter, gradient array) that updates one parameter with the group's
        settings.
        """
        raise AssertionError
