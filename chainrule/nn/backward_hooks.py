"""Backward hooks of modules: two nodes around a call, which change nothing and see the
gradients."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ops import define
from ..storage import tick
from ..tape import state
from ..tensor import Tensor

if TYPE_CHECKING:
    from .module import Module


@define.op(
    promote=define.MOVE,
    variadic=True,
    outputs=0,
    node="BackwardHookFunctionBackward",
    namespace="primitive",
    method=False,
    name="pass_through",
)
def pass_through(x: Any, /) -> Any:
    """The tensors as they are, with one node for all of them."""
    return tuple(x)


@pass_through.vjp_all
def _(g):
    return g


class BackwardWatch:
    """Runs one module's backward hooks for one call of it.

    The inputs and the outputs that require grad each go through one node that changes nothing;
    hooks on these two nodes see the gradients of all outputs, and then those of all inputs.
    """

    @staticmethod
    def of(module: Module) -> BackwardWatch | None:
        """A watch for this call, if the module has backward hooks."""
        if not module._backward_hooks and not module._backward_pre_hooks:
            return None
        return BackwardWatch(
            module, list(module._backward_hooks.values()), list(module._backward_pre_hooks.values())
        )

    def __init__(self, module: Module, hooks: list, pre_hooks: list) -> None:
        self.module, self.hooks, self.pre_hooks = weakref.ref(module), hooks, pre_hooks
        self.full = module._is_full_backward_hook is not False
        self.tensors: dict[int, Any] = {}
        self.places: list[int] = []
        self.grad_outputs: tuple | None = None

    def inputs(self, args: tuple) -> tuple:
        """The arguments, with a node that sees their gradients."""
        if not self.full:
            return args
        args, node, self.places = self._through(args)
        self.tensors = {i: a._data for i, a in enumerate(args) if isinstance(a, Tensor)}
        if node is not None:
            node.notes("pre_hooks")[tick()] = self._on_inputs
        return args

    def outputs(self, result: Any) -> Any:
        """The result, with a node that sees its gradients."""
        if not self.full:
            return self._last_node(result)
        outs = result if isinstance(result, tuple) else (result,)
        passed, node, self.out_places = self._through(outs)
        self.out_tensors = {i: o._data for i, o in enumerate(outs) if isinstance(o, Tensor)}
        if node is not None:
            node.notes("pre_hooks")[tick()] = self._on_outputs
        if not isinstance(result, tuple):
            return passed[0]
        return type(result)(*passed) if hasattr(result, "_fields") else passed

    def _last_node(self, result: Any) -> Any:
        found = result
        while not isinstance(found, Tensor):
            found = (
                next(v for v in found.values() if isinstance(v, Tensor))
                if isinstance(found, dict)
                else found[0]
            )
        if found.grad_fn is not None:
            found.grad_fn.notes("post_hooks")[tick()] = self._on_last
        return result

    def _on_last(self, grad_input: tuple, grad_output: tuple) -> Any:
        for hook in self.hooks:
            got = hook(self.module(), grad_input, grad_output)
            grad_input = grad_input if got is None else (got if isinstance(got, tuple) else (got,))
        return grad_input

    def _through(self, values: tuple) -> tuple[tuple, Any, list]:
        places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
        if not places or not state.grad:
            return values, None, places
        changed = list(values)
        passed = pass_through([values[i] for i in places])
        for i, t in zip(places, passed, strict=True):
            define.storage_array(values[i])
            define.be_view(t, values[i], many=True)
            changed[i] = t
        return tuple(changed), passed[0]._node, places

    def _spread(self, grads: tuple, places: list, tensors: dict) -> tuple:
        """Gradients for all tensors: zeros for those that require none."""
        found = dict(zip(places, grads, strict=True))
        return tuple(
            found[i] if i in found else define.wrap(np.zeros(a.shape, a.dtype))
            for i, a in tensors.items()
        )

    def _on_outputs(self, grads: tuple) -> tuple:
        full = self._spread(grads, self.out_places, self.out_tensors)
        for hook in self.pre_hooks:
            full = _replaced(hook(self.module(), full), full, "Backward pre hook", "grad_output")
        self.grad_outputs = full
        if not self.places:
            for hook in self.hooks:
                if hook(self.module(), (None,) * len(self.tensors), full) is not None:
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None "
                        "or None for all gradients."
                    )
        where = {t: k for k, t in enumerate(self.out_tensors)}
        return tuple(full[where[p]] for p in self.out_places)

    def _on_inputs(self, grads: tuple) -> tuple:
        full = self._spread(grads, self.places, self.tensors)
        if self.grad_outputs is None:
            return grads
        for hook in self.hooks:
            full = _replaced(
                hook(self.module(), full, self.grad_outputs), full, "Backward hook", "grad_input"
            )
        self.grad_outputs = None
        where = {t: k for k, t in enumerate(self.tensors)}
        return tuple(full[where[p]] for p in self.places)


def _replaced(got: Any, old: tuple, who: str, what: str) -> tuple:
    """What a hook returned, if it did, as a tuple of as many gradients."""
    if got is None:
        return old
    new = got if isinstance(got, tuple) else (got,)
    if len(new) != len(old):
        raise RuntimeError(
            f"{who} returned an invalid number of {what}, got {len(new)}, but expected {len(old)}"
        )
    return new
