"""torch's database of operators under the transformations: forward mode, forward over reverse, and
vmap.

The reference for forward mode is torch.autograd.forward_ad, for vmap torch.func.vmap; chainrule's
side is func.jvp, func.vjp and func.vmap. What torch refuses is not compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from parity_operators import (
    CHOICES,
    UNDEFINED,
    VECTORS,
    call,
    compare_gradients,
    normalized,
    options,
    ours,
    sample_text,
    samples_of,
)
from parity_report import Outcome, told
from parity_values import compare, flat, function_of, to_ours
from torch.autograd import forward_ad

from chainrule import func

PRECISE = ("float64", "complex128")
SAMPLES = 8  # of those an entry has, spread over them
SECOND = 20  # how much larger an error may be that has come through two derivatives
SCALES = (1.0, 1.03125, 0.96875)  # the examples of a batch are a sample's tensors times these


def check_modes(outcome: Outcome, info: Any, limit: int) -> None:
    """Run an entry under each transformation that torch has for it."""
    for dtype in PRECISE:
        if getattr(torch, dtype) not in info.dtypes:
            continue
        smooth = info.supports_autograd and getattr(torch, dtype) in info.backward_dtypes
        for i, sample in spread(samples_of(info, dtype, smooth, limit)):
            where = f"{dtype} sample {i} {sample_text(sample)}"
            case = Case(info, sample)
            if smooth and info.supports_forward_ad:
                check_forward(outcome, where, case, dtype)
            check_batched(outcome, where, case, dtype)


def spread(samples: Iterator) -> list:
    """Some of the samples, from all over the list, with their numbers."""
    found = list(enumerate(samples))
    return found[:: -(-len(found) // SAMPLES) or 1]


@dataclass
class Case:
    """One call as a function of some of its tensors, in both libraries."""

    info: Any
    sample: Any

    @property
    def their_args(self) -> tuple:
        """torch's arguments."""
        return (self.sample.input, *self.sample.args), self.sample.kwargs

    def theirs(self, process: Any, chosen: Callable) -> Callable:
        """torch's call of the chosen tensors.

        With a `process`, the one torch differentiates: applied to the result, and arguments made
        symmetric, triangular ... as the operator demands of them.
        """
        f = self.info.op
        if process is not None:
            f = functools.partial(self.info.gradcheck_wrapper, f)
        return functools.partial(run, f, process, self.their_args, chosen)

    def ours(self, process: Any, chosen: Callable) -> Callable:
        """chainrule's call of the chosen tensors."""
        f = ours(self.info)
        if process is not None:
            f = functools.partial(function_of(self.info.gradcheck_wrapper), f)
            process = function_of(process)
        return functools.partial(run, f, process, to_ours(self.their_args), chosen)


def run(f: Callable, process: Callable | None, args: tuple, chosen: Callable, *given: Any) -> list:
    """The tensors among the results of a call with the chosen ones among its arguments replaced."""
    args, kwargs = replaced(args, chosen, iter(given))
    out = f(*args, **kwargs)
    return flat(process(out) if process else out)


def replaced(x: Any, chosen: Callable, given: Iterator) -> Any:
    """Nested arguments with the next given tensor in place of each chosen one."""
    if flat(x) == [x]:
        return next(given) if chosen(x) else x
    if isinstance(x, dict):
        return {k: replaced(v, chosen, given) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        parts = [replaced(e, chosen, given) for e in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def drawn(tensors: list, seed: int) -> list:
    """Random tensors like these, the same for every run."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(t.shape, dtype=t.dtype, generator=generator) for t in tensors]


# -- forward mode ----------------------------------------------------------------------------------


def differentiated(t: Any) -> bool:
    """Whether the sample wants derivatives in a tensor."""
    return t.requires_grad


def smooth(outs: list) -> list:
    """The results that can have a derivative."""
    return [t for t in outs if t.is_floating_point() or t.is_complex()]


def check_forward(outcome: Outcome, where: str, case: Case, dtype: str) -> None:
    """Tangents of the results, then tangents of the gradients."""
    xs = [t.detach() for t in flat(case.their_args) if differentiated(t)]
    process = case.sample.output_process_fn_grad
    theirs, f = (side(process, differentiated) for side in (case.theirs, case.ours))
    vs = drawn(xs, 2)
    expected, refused = call(pushed_by_torch, (theirs, xs, vs), {})
    if refused is not None or not expected:
        return
    mine, error = call(pushed, (f, to_ours(xs), to_ours(vs)), {})
    text = f"raised {told(error)}" if error else compare_gradients(mine, expected, dtype, 1)
    outcome.note("forward", where, text)
    if text or not case.info.supports_fwgrad_bwgrad:
        return
    us = drawn(smooth(theirs(*xs)), 3)
    both = [*xs, *us], [*vs, *drawn(us, 4)]
    expected, refused = call(pushed_back_by_torch, (theirs, len(xs), *both), {})
    if refused is None:
        mine, error = call(pushed_back, (f, len(xs), *to_ours(both)), {})
        text = f"raised {told(error)}" if error else None
        text = text or compare_gradients(mine, expected, dtype, SECOND)
        outcome.note("forward over reverse", where, text)


def pushed_by_torch(f: Callable, xs: list, vs: list) -> list:
    """The tangents of the results of f at `xs` in the direction `vs`; None if there is none."""
    with forward_ad.dual_level():
        outs = f(*map(forward_ad.make_dual, xs, vs))
        return [forward_ad.unpack_dual(t).tangent for t in smooth(outs)]


def pushed(f: Callable, xs: list, vs: list) -> list:
    """The same by chainrule."""
    return func.jvp(lambda *duals: smooth(f(*duals)), tuple(xs), tuple(vs))[1]


def pushed_back_by_torch(f: Callable, count: int, both: list, directions: list) -> list:
    """The tangents of the gradients of f's weighted results: `both` holds `count` inputs and then
    the weights, `directions` a tangent for each.

    The gradients are asked for with create_graph: without, torch's rules of det, solve, cumprod ...
    use numbers that they saved without a tangent.
    """
    with forward_ad.dual_level():
        duals = [
            forward_ad.make_dual(x.clone().requires_grad_(i < count), v)
            for i, (x, v) in enumerate(zip(both, directions, strict=True))
        ]
        outs = smooth(f(*duals[:count]))
        pairs = [(o, u) for o, u in zip(outs, duals[count:], strict=True) if o.requires_grad]
        grads = torch.autograd.grad(
            [o for o, _ in pairs], duals[:count], [u for _, u in pairs], **options(True)
        )
        return [None if g is None else forward_ad.unpack_dual(g).tangent for g in grads]


def pushed_back(f: Callable, count: int, both: list, directions: list) -> list:
    """The same by chainrule."""

    def pulled(*xs: Any) -> tuple:
        back = func.vjp(lambda *inputs: smooth(f(*inputs)), *xs[:count])[1]
        return back(list(xs[count:]))

    return func.jvp(pulled, tuple(both), tuple(directions))[1]


# -- vmap ------------------------------------------------------------------------------------------


def check_batched(outcome: Outcome, where: str, case: Case, dtype: str) -> None:
    """vmap with a batch of every tensor, then of the first alone."""
    xs = [t.detach() for t in flat(case.their_args)]
    if not xs or case.info.name in UNDEFINED:
        return
    batches = [torch.stack([scaled(x, s) for s in SCALES]) for x in xs]
    compare_batched(outcome, where, case, dtype, batches, (0,) * len(xs))
    if len(xs) > 1:
        dims = (0, *(None,) * (len(xs) - 1))
        compare_batched(outcome, f"{where} first", case, dtype, [batches[0], *xs[1:]], dims)


def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Another example like a tensor; of integers and truth values the same again."""
    return x * factor if x.is_floating_point() or x.is_complex() else x


def compare_batched(
    outcome: Outcome, where: str, case: Case, dtype: str, batches: list, dims: tuple
) -> None:
    """The results of vmap beside torch's."""
    theirs, f = (side(None, bool_of_any) for side in (case.theirs, case.ours))
    expected, refused = call(torch.func.vmap(theirs, in_dims=dims), tuple(batches), {})
    if refused is not None or not expected:
        return
    mine, error = call(func.vmap(f, in_dims=dims), tuple(to_ours(batches)), {})
    if error:
        outcome.note("vmap", where, f"raised {told(error)}")
        return
    name = case.info.name
    if name in VECTORS:
        mine, expected = (normalized(x, VECTORS[name]) for x in (mine, expected))
    if name in CHOICES:  # among equal elements torch may name any
        mine, expected = mine[:-1], expected[:-1]
    outcome.note("vmap", where, compare(mine, expected, dtype))


def bool_of_any(t: Any) -> bool:
    """Every tensor of a call is an input of the batched function."""
    return True
