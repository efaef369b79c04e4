"""The composition matrix: programs that each use one feature, run in every mode of differentiation.

Every program computes f(x) = x^2 sin(Ax) on vectors of three, each in its own way. What a mode must
give for it is known without any of them: a formula in NumPy. Two numbers in the formula say what
the feature does to derivatives that go through s = Ax: they are multiplied by `back` each time they
are sent backward and by `ahead` each time they are pushed forward (a hook that doubles gradients
has back = 2; under no_grad nothing goes back). The gradient of a gradient by nested transformations
is a third case, `again`: the outer one sees the operations of the inner one's hooks, not the hooks.

Nothing here belongs to one library: programs and modes are given the module to use, so
`tools/composition.py --torch` runs the same table on torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

A = np.array([[0.5, -1.0, 0.3], [1.5, 0.2, -0.7], [-0.4, 0.9, 1.1]])
POINT = np.array([0.6, -0.8, 1.3])
DIRECTION = np.array([0.7, 0.4, -0.9])
WEIGHTS = np.array([1.1, -0.6, 0.8])
BATCH = np.array([[0.6, -0.8, 1.3], [0.1, 0.9, -0.5], [-1.2, 0.4, 0.7], [1.5, -0.3, -0.2]])
TURN = np.array([0.3, -0.5, 0.2])  # imaginary parts, for the program on complex numbers


# -- what every cell must give ---------------------------------------------------------------------


@dataclass(frozen=True)
class Formula:
    """f(x) = x^2 sin(Ax) and its derivatives, in NumPy.

    Gradients of complex numbers follow torch: the cotangent w of a holomorphic f with Jacobian J
    gives conj(J)^T w.
    """

    back: float = 1.0
    ahead: float = 1.0
    again: float = 1.0

    def value(self, x: np.ndarray) -> np.ndarray:
        """f(x); also of a batch of x."""
        return x * x * np.sin(x @ A.T)

    def jacobian(self, x: np.ndarray, through: float) -> np.ndarray:
        """df_i/dx_j, with what goes through s multiplied by `through`."""
        s = A @ x
        return np.diag(2 * x * np.sin(s)) + through * (x * x * np.cos(s))[:, None] * A

    def second(self, x: np.ndarray, w: np.ndarray, first: float) -> np.ndarray:
        """The derivative of J^T w in x, where x enters s as `first` says and the gradient leaves it
        as `back` says.
        """
        s, b = A @ x, self.back
        d1, d2 = np.diag(2 * w * np.sin(s)), np.diag(2 * w * x * np.cos(s))
        d3 = np.diag(-w * x * x * np.sin(s))
        return d1 + first * d2 @ A + b * A.T @ d2 + first * b * A.T @ d3 @ A

    def pulled(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The gradient of the outputs weighted by w."""
        return (self.jacobian(x, self.back).T @ w.conj()).conj()

    def pushed(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The tangent of the outputs in direction v."""
        return self.jacobian(x, self.ahead) @ v


@dataclass(frozen=True)
class Data:
    """Where a mode is run: the point, a direction, weights of the outputs, a batch of points."""

    x: Any
    v: Any
    w: Any
    batch: Any


def arrays(is_complex: bool, turn: int = 0) -> Data:
    """The data as arrays; at each turn others."""
    turned = 1j * TURN if is_complex else np.zeros(3)
    point, batch = POINT + 0.1 * turn, BATCH - 0.1 * turn
    parts = point + turned, DIRECTION - 2 * turned, WEIGHTS + 3 * turned, batch + turned
    return Data(*(p if is_complex else p.real for p in parts))


# -- modes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """A row: ways to the same figures, and what these must be."""

    ways: dict[str, Callable]  # (torch, f, data) -> figures
    expected: Callable  # (formula, data) -> figures
    nested: tuple[str, ...] = ()  # ways that send gradients back by two transformations
    backward: bool = True  # whether gradients are sent backward


def dot(a: Any, b: Any) -> Any:
    """The real part of <a, b>, a scalar."""
    product = (a.conj() * b).sum()
    return product.real if product.is_complex() else product


def leaf(t: Any) -> Any:
    """A new leaf that requires grad."""
    return t.clone().requires_grad_()


def weighted(f: Callable, w: Any) -> Callable:
    """f as a scalar."""
    return lambda x: dot(w, f(x))


def by_backward(torch: Any, f: Callable, d: Data) -> list:
    x = leaf(d.x)
    y = f(x)
    y.backward(d.w)
    return [y.detach(), x.grad]


def by_autograd_grad(torch: Any, f: Callable, d: Data) -> list:
    x = leaf(d.x)
    y = f(x)
    return [y.detach(), *torch.autograd.grad(y, x, d.w)]


def by_vjp(torch: Any, f: Callable, d: Data) -> list:
    y, pull = torch.func.vjp(f, d.x)
    return [y, *pull(d.w)]


def by_two_grads(torch: Any, f: Callable, d: Data) -> list:
    x = leaf(d.x)
    (g,) = torch.autograd.grad(f(x), x, d.w, create_graph=True)
    return [g.detach(), *torch.autograd.grad(g, x, d.v)]


def by_backward_twice(torch: Any, f: Callable, d: Data) -> list:
    x = leaf(d.x)
    (g,) = torch.autograd.grad(dot(d.w, f(x)), x, create_graph=True)
    dot(d.v, g).backward()
    return [g.detach(), x.grad]


def by_grad_of_grad(torch: Any, f: Callable, d: Data) -> list:
    g = torch.func.grad(weighted(f, d.w))
    return [g(d.x), torch.func.grad(weighted(g, d.v))(d.x)]


def by_backward_of_grad(torch: Any, f: Callable, d: Data) -> list:
    x = leaf(d.x)
    g = torch.func.grad(weighted(f, d.w))(x)
    g.backward(d.v)
    return [g.detach(), x.grad]


def by_dual_tensors(torch: Any, f: Callable, d: Data) -> list:
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        out = forward.unpack_dual(f(forward.make_dual(d.x, d.v)))
        return [out.primal, out.tangent]


def by_linearize(torch: Any, f: Callable, d: Data) -> list:
    y, push = torch.func.linearize(f, d.x)
    return [y, push(d.v)]


def by_jvp(torch: Any, f: Callable, d: Data) -> list:
    return list(torch.func.jvp(f, (d.x,), (d.v,)))


def by_jvp_of_grad(torch: Any, f: Callable, d: Data) -> list:
    return list(torch.func.jvp(torch.func.grad(weighted(f, d.w)), (d.x,), (d.v,)))


def by_grad_of_dual(torch: Any, f: Callable, d: Data) -> list:
    forward = torch.autograd.forward_ad
    x = leaf(d.x)
    with forward.dual_level():
        (g,) = torch.autograd.grad(f(forward.make_dual(x, d.v)), x, d.w)
        out = forward.unpack_dual(g)
        return [out.primal, out.tangent]


def by_grad_of_jvp(torch: Any, f: Callable, d: Data) -> list:
    def tangent(x: Any) -> Any:
        return torch.func.jvp(f, (x,), (d.v,))[1]

    return [tangent(d.x), torch.func.grad(weighted(tangent, d.w))(d.x)]


def by_backward_of_tangent(torch: Any, f: Callable, d: Data) -> list:
    forward = torch.autograd.forward_ad
    x = leaf(d.x)
    with forward.dual_level():
        tangent = forward.unpack_dual(f(forward.make_dual(x, d.v))).tangent
        (g,) = torch.autograd.grad(tangent, x, d.w)
    return [tangent.detach(), g]


def by_backward_through_jvp(torch: Any, f: Callable, d: Data) -> list:
    x = leaf(d.x)
    tangent = torch.func.jvp(f, (x,), (d.v,))[1]
    tangent.backward(d.w)
    return [tangent.detach(), x.grad]


def by_vmap(torch: Any, f: Callable, d: Data) -> list:
    return [torch.func.vmap(f)(d.batch)]


def by_vmap_in_columns(torch: Any, f: Callable, d: Data) -> list:
    return [torch.func.vmap(f, in_dims=1, out_dims=1)(d.batch.T).T]


def by_vmap_of_grad(torch: Any, f: Callable, d: Data) -> list:
    return [torch.func.vmap(torch.func.grad(weighted(f, d.w)))(d.batch)]


def by_backward_through_vmap(torch: Any, f: Callable, d: Data) -> list:
    batch = leaf(d.batch)
    torch.func.vmap(f)(batch).backward(d.w.expand_as(d.batch))
    return [batch.grad]


def by_jacrev(torch: Any, f: Callable, d: Data) -> list:
    return [torch.func.jacrev(f)(d.x)]


def by_batched_grads(torch: Any, f: Callable, d: Data) -> list:
    x, rows = leaf(d.x), torch.eye(3, dtype=d.x.dtype)
    (found,) = torch.autograd.grad(f(x), x, rows, is_grads_batched=True)
    return [found.conj()]  # the rows of a complex Jacobian come conjugated


def by_jacobian(torch: Any, f: Callable, d: Data) -> list:
    return [torch.autograd.functional.jacobian(f, d.x)]


def by_jacfwd(torch: Any, f: Callable, d: Data) -> list:
    return [torch.func.jacfwd(f)(d.x)]


def by_forward_jacobian(torch: Any, f: Callable, d: Data) -> list:
    way = {"vectorize": True, "strategy": "forward-mode"}
    return [torch.autograd.functional.jacobian(f, d.x, **way)]


def by_hessian(torch: Any, f: Callable, d: Data) -> list:
    return [torch.func.hessian(f)(d.x)]


def by_jacrev_of_scalars(torch: Any, f: Callable, d: Data) -> list:
    rows = torch.eye(3, dtype=d.x.dtype)
    scalars = [torch.func.hessian(weighted(f, rows[i]))(d.x) for i in range(3)]
    return [torch.stack(scalars)]


def all_seconds(formula: Formula, d: Data) -> list:
    """The Hessian of each output."""
    return [np.stack([formula.second(d.x, e, formula.ahead) for e in np.eye(3)])]


def twice_back(o: Formula, d: Data, again: float | None = None) -> list:
    second = o.second(d.x, d.w.conj(), o.back if again is None else again)
    return [o.pulled(d.x, d.w), (second.T @ d.v).conj()]


def forward_over_reverse(o: Formula, d: Data) -> list:
    second = o.second(d.x, d.w.conj(), o.ahead)
    return [o.pulled(d.x, d.w), (second @ d.v).conj()]


def reverse_over_forward(o: Formula, d: Data) -> list:
    second = o.second(d.x, d.w.conj(), o.ahead)
    return [o.pushed(d.x, d.v), (second @ d.v).conj()]


MODES: dict[str, Mode] = {
    "reverse": Mode(  # the way of torch's own tape first
        {"backward": by_backward, "autograd.grad": by_autograd_grad, "func.vjp": by_vjp},
        lambda o, d: [o.value(d.x), o.pulled(d.x, d.w)],
    ),
    "double reverse": Mode(
        {
            "autograd.grad twice": by_two_grads,
            "backward of a gradient": by_backward_twice,
            "func.grad of func.grad": by_grad_of_grad,
            "backward of func.grad": by_backward_of_grad,
        },
        twice_back,
        nested=("func.grad of func.grad", "backward of func.grad"),
    ),
    "forward": Mode(
        {"forward_ad": by_dual_tensors, "func.jvp": by_jvp, "func.linearize": by_linearize},
        lambda o, d: [o.value(d.x), o.pushed(d.x, d.v)],
        backward=False,
    ),
    "forward-over-reverse": Mode(
        {"func.jvp of func.grad": by_jvp_of_grad, "autograd.grad of dual": by_grad_of_dual},
        forward_over_reverse,
    ),
    "reverse-over-forward": Mode(
        {
            "func.grad of func.jvp": by_grad_of_jvp,
            "autograd.grad of a tangent": by_backward_of_tangent,
            "backward through func.jvp": by_backward_through_jvp,
        },
        reverse_over_forward,
    ),
    "vmap": Mode(
        {"vmap": by_vmap, "vmap along dim 1": by_vmap_in_columns},
        lambda o, d: [o.value(d.batch)],
        backward=False,
    ),
    "vmap of grad": Mode(
        {"vmap of func.grad": by_vmap_of_grad, "backward through vmap": by_backward_through_vmap},
        lambda o, d: [np.stack([o.pulled(x, d.w) for x in d.batch])],
    ),
    "jacrev": Mode(
        {
            "func.jacrev": by_jacrev,
            "is_grads_batched": by_batched_grads,
            "functional.jacobian": by_jacobian,
        },
        lambda o, d: [o.jacobian(d.x, o.back)],
    ),
    "jacfwd": Mode(
        {"func.jacfwd": by_jacfwd, "functional.jacobian, forward": by_forward_jacobian},
        lambda o, d: [o.jacobian(d.x, o.ahead)],
        backward=False,
    ),
    "hessian": Mode(
        {"func.hessian": by_hessian, "func.hessian of each output": by_jacrev_of_scalars},
        all_seconds,
    ),
}


# -- programs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """A column: `make(torch, note)` gives the function; it calls note() wherever its feature is at
    work on a gradient.
    """

    about: str
    make: Callable
    formula: Formula = field(default_factory=Formula)
    is_complex: bool = False
    notes: bool = False  # whether it calls note() in every backward pass


def matrix(torch: Any, x: Any) -> Any:
    """A in the dtype of x."""
    return torch.tensor(A, dtype=x.dtype)


def plain(torch: Any, note: Callable) -> Callable:
    return lambda x: x * x * torch.sin(matrix(torch, x) @ x)


def hooks(torch: Any, note: Callable) -> Callable:
    def double(g: Any) -> Any:
        note()
        return 2 * g

    def f(x: Any) -> Any:
        s = matrix(torch, x) @ x
        if s.requires_grad:
            s.register_hook(lambda g: note())
            s.register_hook(double)
        return x * x * torch.sin(s)

    return f


def node_hooks(torch: Any, note: Callable) -> Callable:
    def before(grads: tuple) -> tuple:
        note()
        return tuple([4 * g for g in grads])

    def after(inputs: tuple, outputs: tuple) -> tuple:
        return tuple([None if g is None else g / 2 for g in inputs])

    def f(x: Any) -> Any:
        s = matrix(torch, x) @ x
        if s.grad_fn is not None:
            s.grad_fn.register_prehook(before)
            s.grad_fn.register_hook(after)
        return x * x * torch.sin(s)

    return f


def checkpointed(reentrant: bool) -> Callable:
    def make(torch: Any, note: Callable) -> Callable:
        def f(x: Any) -> Any:
            runs = []

            def inside(x: Any, s: Any) -> Any:
                runs.append(1)
                if len(runs) > 1:
                    note()
                return x * torch.sin(s)

            s = matrix(torch, x) @ x
            return x * torch.utils.checkpoint.checkpoint(inside, x, s, use_reentrant=reentrant)

        return f

    return make


def custom_function(torch: Any, note: Callable) -> Callable:
    class ScaledSine(torch.autograd.Function):
        """x sin(s), with rules for every mode."""

        generate_vmap_rule = True

        @staticmethod
        def forward(x, s):
            return x * torch.sin(s)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            note()
            x, s = ctx.saved_tensors
            return g * torch.sin(s).conj(), g * (x * torch.cos(s)).conj()

        @staticmethod
        def jvp(ctx, dx, ds):
            x, s = ctx.saved_tensors
            return dx * torch.sin(s) + ds * x * torch.cos(s)

    return lambda x: x * ScaledSine.apply(x, matrix(torch, x) @ x)


def custom_backward(torch: Any, note: Callable) -> Callable:
    class ScaledSine(torch.autograd.Function):
        """x sin(s), with a rule for reverse mode alone."""

        @staticmethod
        def forward(ctx, x, s):
            ctx.save_for_backward(x, s)
            return x * torch.sin(s)

        @staticmethod
        def backward(ctx, g):
            note()
            x, s = ctx.saved_tensors
            return g * torch.sin(s), g * x * torch.cos(s)

    return lambda x: x * ScaledSine.apply(x, matrix(torch, x) @ x)


def in_place(torch: Any, note: Callable) -> Callable:
    def f(x: Any) -> Any:
        s = matrix(torch, x) @ x
        s.sin_()
        y = x * 1
        y.mul_(x)
        y *= s
        return y

    return f


def buffers(torch: Any, note: Callable) -> Callable:
    def f(x: Any) -> Any:
        s, y = torch.zeros_like(x), torch.zeros_like(x)
        s += matrix(torch, x) @ x
        y[1:] = x[1:]  # a part, then through a view, then all of it
        y[:1].add_(x[:1])
        y *= x
        return y.mul_(s.sin_())

    return f


def views(torch: Any, note: Callable) -> Callable:
    def f(x: Any) -> Any:
        both = torch.cat([x, matrix(torch, x) @ x]).view(2, 3)
        both[1].sin_()  # writes a part of `both`, and of what is seen through it
        both[:1].mul_(x)
        turned = both.transpose(0, 1).unsqueeze(0)
        first, second = turned.unbind(-1)
        return (first * second).squeeze(0)

    return f


def no_grad(torch: Any, note: Callable) -> Callable:
    def f(x: Any) -> Any:
        with torch.no_grad():
            s = matrix(torch, x) @ x
        return x * x * torch.sin(s)

    return f


def detached(torch: Any, note: Callable) -> Callable:
    return lambda x: x * x * torch.sin((matrix(torch, x) @ x).detach())


def saved_tensor_hooks(torch: Any, note: Callable) -> Callable:
    def pack(t: Any) -> tuple:
        return (t * 2,)

    def unpack(packed: tuple) -> Any:
        note()
        return packed[0] / 2

    def f(x: Any) -> Any:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            return x * x * torch.sin(matrix(torch, x) @ x)

    return f


def complex_inside(torch: Any, note: Callable) -> Callable:
    def f(x: Any) -> Any:
        turned = torch.exp(1j * (matrix(torch, x) @ x))
        return (x * turned * torch.complex(x, torch.zeros_like(x)).conj()).imag

    return f


def custom_rule(torch: Any, note: Callable) -> Callable:
    def pulled(g: Any, x: Any, s: Any) -> tuple:
        note()
        return g * np.sin(s), g * x * np.cos(s)

    @torch.autograd.rule(vjp=pulled)
    def scaled_sine(x, s, /):
        return x * np.sin(s)

    return lambda x: x * scaled_sine(x, matrix(torch, x) @ x)


def formula_alone(torch: Any, note: Callable) -> Callable:
    @torch.autograd.rule
    def scaled_sine(x, s, /):
        return x * np.sin(s)

    return lambda x: x * scaled_sine(x, matrix(torch, x) @ x)


TWICE, CUT = Formula(back=2.0), Formula(back=0.0, again=0.0)
APART = Formula(back=0.0, ahead=0.0, again=0.0)

PROGRAMS: dict[str, Program] = {
    "plain": Program("nothing but operators", plain),
    "hooks": Program("tensor hooks that see and replace gradients", hooks, TWICE, notes=True),
    "node hooks": Program("pre- and post-hooks of a grad_fn", node_hooks, TWICE, notes=True),
    "checkpoint": Program("utils.checkpoint, not reentrant", checkpointed(False), notes=True),
    "checkpoint, reentrant": Program(
        "utils.checkpoint with use_reentrant=True", checkpointed(True), notes=True
    ),
    "custom Function": Program(
        "autograd.Function with setup_context, backward, jvp, generate_vmap_rule",
        custom_function,
        notes=True,
    ),
    "custom backward": Program(
        "autograd.Function with forward(ctx) and backward alone", custom_backward, notes=True
    ),
    "custom rule": Program("autograd.rule: a formula and its vjp", custom_rule, notes=True),
    "formula": Program("autograd.rule: a formula alone", formula_alone),
    "in-place": Program("operators that overwrite intermediate values", in_place),
    "buffers": Program("zeros that are filled in place, by parts", buffers),
    "views": Program("views, and writing through them", views),
    "no_grad": Program("a region that records nothing", no_grad, CUT),
    "detach": Program("a value cut off from everything", detached, APART),
    "saved-tensor hooks": Program(
        "saved_tensors_hooks that pack and unpack", saved_tensor_hooks, notes=True
    ),
    "complex": Program("complex numbers between real ones", complex_inside),
    "complex inputs": Program("complex inputs and outputs", plain, is_complex=True),
}


# -- running a cell --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """An error: its class, and a pattern for its leading words."""

    error: type[Exception]
    words: str


NEEDS_CONTEXT = Refusal(
    RuntimeError, r"In order to use an autograd.Function with functorch transforms \(vmap, grad,"
)
NEEDS_BACKWARD = Refusal(
    RuntimeError, "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad()"
)
NEEDS_JVP = Refusal(
    NotImplementedError, "You must implement the jvp function for custom autograd.Function to use"
)
REENTRANT: dict[str, Refusal] = {
    **dict.fromkeys(("autograd.grad", "autograd.grad twice"), NEEDS_BACKWARD),
    **dict.fromkeys(("backward of a gradient", "is_grads_batched"), NEEDS_BACKWARD),
    **dict.fromkeys(("functional.jacobian",), NEEDS_BACKWARD),
    **dict.fromkeys(("func.vjp", "func.grad of func.grad", "backward of func.grad"), NEEDS_CONTEXT),
    **dict.fromkeys(("func.jvp", "func.jvp of func.grad"), NEEDS_CONTEXT),
    **dict.fromkeys(("func.grad of func.jvp", "backward through func.jvp"), NEEDS_CONTEXT),
    **dict.fromkeys(("vmap of func.grad", "func.jacrev", "func.jacfwd"), NEEDS_CONTEXT),
    **dict.fromkeys(("func.hessian", "func.hessian of each output"), NEEDS_CONTEXT),
    **dict.fromkeys(("forward_ad", "func.linearize", "autograd.grad of dual"), NEEDS_JVP),
    **dict.fromkeys(("autograd.grad of a tangent", "functional.jacobian, forward"), NEEDS_JVP),
}
COMPLEX_INPUTS: dict[str, Refusal] = {
    "func.jacrev": Refusal(RuntimeError, "jacrev: Expected all inputs to be real but received"),
    "func.jacfwd": Refusal(RuntimeError, "jacfwd: Expected all inputs to be real but received"),
    "func.hessian": Refusal(RuntimeError, "jacfwd: Expected all inputs to be real but received"),
    "func.hessian of each output": Refusal(
        RuntimeError, "jacfwd: Expected all inputs to be real but received"
    ),
    "functional.jacobian": Refusal(
        RuntimeError, "grad can be implicitly created only for real scalar outputs but got"
    ),
}
# What torch refuses, by program and way, and here is refused in the same words.
FORBIDDEN: dict[str, dict[str, Refusal]] = {
    "checkpoint, reentrant": REENTRANT,
    "complex inputs": COMPLEX_INPUTS,
}
BY_GRADIENT = ("func.vjp", "func.grad of func.grad", "backward of func.grad", "func.jacrev")
BY_GRADIENT += ("func.jvp of func.grad", "func.grad of func.jvp", "vmap of func.grad")
BY_GRADIENT += ("func.hessian", "func.hessian of each output")
UNSEEN = ("func.grad of func.jvp", "backward through func.jvp", "backward through vmap")
BY_FORWARD = ("forward_ad", "func.jvp", "func.linearize", "func.jacfwd")
BY_FORWARD += ("functional.jacobian, forward", "autograd.grad of dual")
BY_FORWARD += ("autograd.grad of a tangent",)
# The ways in which torch raises, leaves the feature out, or gives other figures; here they work.
BEYOND: dict[str, tuple[str, ...]] = {
    "hooks": UNSEEN,
    "node hooks": UNSEEN,
    "checkpoint": (*BY_GRADIENT, "backward through func.jvp", "backward through vmap"),
    "checkpoint, reentrant": ("vmap", "vmap along dim 1", "backward through vmap"),
    "custom backward": (
        *BY_GRADIENT,
        *BY_FORWARD,
        "backward through func.jvp",
        "backward through vmap",
        "vmap",
        "vmap along dim 1",
    ),
    "views": ("func.linearize",),
    "saved-tensor hooks": BY_GRADIENT,
    "complex": ("functional.jacobian, forward",),
}
OWN = ("custom rule", "formula")  # programs for what only this library has


def figures(torch: Any, mode: str, program: str, way: str) -> list[np.ndarray]:
    """What one way through a cell gives."""
    column, log = PROGRAMS[program], []
    f = column.make(torch, lambda: log.append(1))
    data = arrays(column.is_complex)
    given = Data(*[torch.tensor(a) for a in (data.x, data.v, data.w, data.batch)])
    found = MODES[mode].ways[way](torch, f, given)
    if column.notes and MODES[mode].backward and not log:
        raise AssertionError("the feature was not at work")
    return [np.asarray(t.detach().resolve_conj().numpy()) for t in found]


def known(mode: str, program: str, way: str, turn: int = 0) -> list[np.ndarray]:
    """What the formula says one way through a cell must give."""
    column, row = PROGRAMS[program], MODES[mode]
    data = arrays(column.is_complex, turn)
    if way in row.nested:
        return twice_back(column.formula, data, column.formula.again)
    return row.expected(column.formula, data)


def complaint(torch: Any, mode: str, program: str, way: str) -> str | None:
    """What is wrong with one way through a cell, or None."""
    refusal = FORBIDDEN.get(program, {}).get(way)
    try:
        got = figures(torch, mode, program, way)
    except Exception as e:
        if refusal is not None and isinstance(e, refusal.error) and re.match(refusal.words, str(e)):
            return None
        return f"raised {type(e).__name__}: {e}"
    if refusal is not None:
        return "torch forbids this, and here it gives figures"
    expected = known(mode, program, way)
    for g, e in zip(got, expected, strict=True):
        if g.shape != e.shape or not np.allclose(g, e, rtol=1e-10, atol=1e-12):
            return f"gives {g.tolist()}, and the formula {e.tolist()}"
    return None


def compiled_complaint(torch: Any, mode: str, program: str, way: str) -> str | None:
    """What is wrong with one way through a cell as a compiled function, called three times on other
    numbers, or None.
    """
    refusal, column = FORBIDDEN.get(program, {}).get(way), PROGRAMS[program]
    f = column.make(torch, lambda: None)
    step = torch.compile(lambda *given: MODES[mode].ways[way](torch, f, Data(*given)))
    for turn in range(3):
        data = arrays(column.is_complex, turn)
        given = [torch.tensor(a) for a in (data.x, data.v, data.w, data.batch)]
        try:
            got = [t.detach().resolve_conj().numpy() for t in step(*given)]
        except Exception as e:
            words = refusal is not None and re.match(refusal.words, str(e))
            if not words or not isinstance(e, refusal.error):
                return f"call {turn} raised {type(e).__name__}: {e}"
            continue
        if refusal is not None:
            return f"call {turn}: torch forbids this, and compiled it gives figures"
        for g, e in zip(got, known(mode, program, way, turn), strict=True):
            if g.shape != e.shape or not np.allclose(g, e, rtol=1e-10, atol=1e-12):
                return f"call {turn} gives {g.tolist()}, and the formula {e.tolist()}"
    return None
