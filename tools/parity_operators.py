"""torch's database of operators: every entry's samples through both libraries."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from parity_report import Outcome, told
from parity_values import (
    TOLERANCE,
    array_of,
    compare,
    compare_tensors,
    find,
    flat,
    function_of,
    to_ours,
)
from torch.testing._internal.common_methods_invocations import op_db

import chainrule

INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
LOW = ("float16", "bfloat16", "float32", "complex64")
DTYPES = ("bool", *INTEGERS, *LOW, "float64", "complex128")
DIFFERENTIATED = ("float32", "float64", "complex64", "complex128")
# Results that are uninitialised memory.
UNDEFINED = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty"}
UNDEFINED |= {"new_empty_strided", "resize_", "resize_as_"}
# Where equal elements stand at several places, torch may name any: a position is checked by its
# element. (Which argument the dimension is, and its default.)
CHOICES = {
    "kthvalue": (2, -1),
    "topk": (2, -1),
    "mode": (1, -1),
    "sort": (1, -1),
    "argsort": (1, -1),
}


# Whose columns are determined up to a sign or phase: at these places of the result.
VECTORS = {"linalg.eigh": (1,), "linalg.eig": (1,), "svd_lowrank": (0, 2), "pca_lowrank": (0, 2)}


def label_of(info: Any) -> str:
    """An entry's name with that of its variant."""
    return info.name + (f".{info.variant_test_name}" if info.variant_test_name else "")


def ours(info: Any) -> Callable | None:
    """chainrule's function for an entry: by name, or the entry's wrapper bound anew."""
    named = find(chainrule, info.name)
    if not callable(named) or isinstance(named, type):
        named = find(chainrule.Tensor, info.name)
    if named is None:
        return None
    wrapped = getattr(info.op, "__module__", "") or ""
    return (
        function_of(info.op)
        if wrapped.startswith("torch.testing")
        else named
        if callable(named)
        else function_of(info.op)
    )


def check_operator(outcome: Outcome, info: Any, limit: int) -> None:
    """Run an entry's samples through both."""
    mine = ours(info)
    supported = [d for d in DTYPES if getattr(torch, d) in info.dtypes]
    main = next((d for d in ("float32", "int64", *supported) if d in supported), None)
    for dtype in supported:
        grad = (
            info.supports_autograd
            and dtype in DIFFERENTIATED
            and getattr(torch, dtype) in info.backward_dtypes
        )
        for i, sample in enumerate(samples_of(info, dtype, grad, limit)):
            outcome.samples += 1
            where = f"{dtype} sample {i} {sample_text(sample)}"
            check_sample(outcome, where, mine, info, sample, dtype, grad)
            if dtype == main:
                check_layout(outcome, where, mine, info, sample, dtype)
                if i < 6:
                    check_forms(outcome, where, info, sample, dtype)
    if main is not None:
        check_errors(outcome, mine, info, limit)


def samples_of(info: Any, dtype: str, grad: bool, limit: int) -> Iterator:
    """The first samples of an entry, the same in every run."""
    torch.manual_seed(0)
    np.random.seed(0)
    yield from itertools.islice(
        info.sample_inputs("cpu", getattr(torch, dtype), requires_grad=grad), limit
    )


def sample_text(sample: Any) -> str:
    """A sample in words: tensors by their shapes."""

    def show(x: Any) -> str:
        if isinstance(x, (list, tuple)):
            return f"({', '.join(map(show, x))})"
        return str(list(x.shape)) if isinstance(x, torch.Tensor) else repr(x)[:60]

    keywords = (f"{k}={show(v)}" for k, v in sample.kwargs.items())
    return f"({', '.join([*map(show, (sample.input, *sample.args)), *keywords])})"


def call(f: Callable, args: tuple, kwargs: dict) -> tuple[Any, Exception | None]:
    """The result, or the error, of a call from a known random state."""
    torch.manual_seed(1)
    chainrule.manual_seed(1)
    try:
        return f(*args, **kwargs), None
    except Exception as e:
        return None, e


def check_sample(
    outcome: Outcome, where: str, mine: Any, info: Any, sample: Any, dtype: str, grad: bool
) -> None:
    """Values, then gradients, then second gradients; each only if what comes before agrees."""
    their_args = ((sample.input, *sample.args), sample.kwargs)
    our_args = to_ours(their_args)
    theirs, refused = call(info.op, *their_args)
    if refused is not None:
        return
    got, error = call(mine, *our_args)
    complaint = (
        f"raised {told(error)}" if error else compare_results(info, sample, got, theirs, dtype)
    )
    outcome.note("value", where, complaint)
    if complaint or not grad:
        return
    process = sample.output_process_fn_grad
    got, error = call(function_of(process), (got,), {})
    theirs = process(theirs)
    if error is not None:
        outcome.note("gradient", where, f"raised {told(error)}")
        return
    pair = Pair(flat(our_args), flat(their_args), flat(got), flat(theirs), dtype)
    pair.wide = functools.partial(wide_gradients, info, sample) if dtype in LOW else None
    pair.check(outcome, where)


def compare_results(info: Any, sample: Any, got: Any, theirs: Any, dtype: str) -> str | None:
    """How results differ; undefined ones only in shape, positions of equal elements not at all."""
    if info.name in VECTORS:
        got, theirs = (normalized(x, VECTORS[info.name]) for x in (got, theirs))
    complaint = compare(got, theirs, dtype, info.name not in UNDEFINED)
    if (
        complaint
        and info.name in CHOICES
        and same_choice(CHOICES[info.name], sample, flat(got), flat(theirs))
    ):
        return None
    if complaint and dtype in LOW and nearer(info, sample, flat(got), flat(theirs)):
        return None
    return complaint


def normalized(result: Any, places: tuple) -> list:
    """Results, columns of those at `places` scaled so that the largest element is positive."""
    return [turned(t) if i in places else t for i, t in enumerate(flat(result))]


def turned(x: Any) -> Any:
    """A tensor of vectors, each times a sign or phase."""
    v = array_of(x)
    if not v.size:
        return x
    top = np.take_along_axis(v, np.abs(v).round(4).argmax(-2, keepdims=True), -2)
    out = torch.from_numpy(v * np.abs(top) / np.where(top == 0, 1, top))
    return to_ours(out) if isinstance(x, chainrule.Tensor) else out


def nearer(info: Any, sample: Any, got: list, theirs: list) -> bool:
    """Whether our results are about as near to those in double precision as torch's own are."""
    wide = sample.transform(widened)
    best, refused = call(info.op, (wide.input, *wide.args), wide.kwargs)
    if refused is not None or any(
        isinstance(x, torch.dtype) for x in (*sample.args, *sample.kwargs.values())
    ):
        return False
    return all(off(m, b) <= 4 * off(t, b) for m, t, b in zip(got, theirs, flat(best), strict=True))


def widened(x: Any) -> Any:
    """Floating tensors in double precision."""
    if not isinstance(x, torch.Tensor) or not (x.is_floating_point() or x.is_complex()):
        return x
    return (
        x.detach()
        .to(torch.complex128 if x.is_complex() else torch.float64)
        .requires_grad_(x.requires_grad)
    )


def off(x: Any, best: Any) -> float:
    """The largest difference of a result from the best one; nan is infinitely far."""
    with np.errstate(all="ignore"):
        return float(
            np.max(np.nan_to_num(np.abs(array_of(x) - array_of(best)), nan=np.inf), initial=0)
        )


def same_choice(signature: tuple, sample: Any, got: list, theirs: list) -> bool:
    """Whether results agree but for positions, and those name equal elements."""
    place, default = signature
    args = (sample.input, *sample.args)
    dim = sample.kwargs.get("dim", args[place] if len(args) > place else default)
    x = array_of(sample.input)
    if (
        any(compare_tensors(m, t, "") for m, t in zip(got[:-1], theirs[:-1], strict=True))
        or not x.ndim
    ):
        return False
    chosen = [array_of(i) for i in (got[-1], theirs[-1])]
    chosen = [i if i.ndim == x.ndim else np.expand_dims(i, dim) for i in chosen]
    a, b = (np.take_along_axis(x, i, dim) for i in chosen)
    return bool(np.array_equal(a, b, equal_nan=x.dtype.kind in "fc"))


@dataclass
class Pair:
    """One call in both libraries: inputs and outputs, to be differentiated."""

    our_inputs: list
    their_inputs: list
    our_outputs: list
    their_outputs: list
    dtype: str
    wide: Callable | None = None  # torch's gradients in double precision

    def check(self, outcome: Outcome, where: str) -> None:
        """Compare which outputs require grad, the gradients, and the second gradients."""
        wants = [t.requires_grad for t in self.their_outputs]
        has = [t.requires_grad for t in self.our_outputs]
        if wants != has:
            outcome.note("gradient", where, f"requires_grad {has} instead of {wants}")
            return
        leaves = [
            (m, t)
            for m, t in zip(self.our_inputs, self.their_inputs, strict=True)
            if t.requires_grad
        ]
        outs = [
            (m, t)
            for m, t in zip(self.our_outputs, self.their_outputs, strict=True)
            if t.requires_grad
        ]
        if leaves and outs:
            self.differentiate(outcome, where, "gradient", leaves, outs)

    def differentiate(
        self, outcome: Outcome, where: str, kind: str, leaves: list, outs: list
    ) -> None:
        """Gradients of weighted outputs; in double precision, of these again (by weights too)."""
        first = kind == "gradient"
        create = first and self.dtype in ("float64", "complex128")
        generator = torch.Generator().manual_seed(0 if first else 1)
        weights = [torch.randn(t.shape, dtype=t.dtype, generator=generator) for _, t in outs]
        our_weights = to_ours([w.requires_grad_(create) for w in weights])
        inputs = [t for _, t in leaves]
        theirs, refused = call(
            torch.autograd.grad, ([t for _, t in outs], inputs, weights), options(create)
        )
        if refused is not None:
            return
        connected = [(m, w) for (m, _), w in zip(outs, our_weights, strict=True) if m.requires_grad]
        mine, error = [None] * len(leaves), None
        if connected:
            args = (
                [m for m, _ in connected],
                [m for m, _ in leaves],
                [w for _, w in connected],
            )
            mine, error = call(chainrule.autograd.grad, args, options(create))
        text = (
            f"raised {told(error)}"
            if error
            else compare_gradients(mine, theirs, self.dtype, 1 if first else 20)
        )
        if text and not error and self.wide is not None and self.nearer(mine, theirs, weights):
            text = None
        outcome.note(kind, where, text)
        if create and not error:
            again = [
                (m, t)
                for m, t in zip(mine, theirs, strict=True)
                if t is not None and t.requires_grad and m is not None
            ]
            if again:
                leaves = [*leaves, *zip(our_weights, weights, strict=True)]
                self.differentiate(outcome, where, "second gradient", leaves, again)

    def nearer(self, mine: Any, theirs: Any, weights: list) -> bool:
        """Whether our gradients are about as near to those in double precision as torch's own."""
        best = self.wide(weights)
        triples = [
            x for x in zip(mine, theirs, best, strict=False) if all(g is not None for g in x)
        ]
        return len(triples) == len(theirs) and all(
            off(m, b) <= 4 * off(t, b) for m, t, b in triples
        )


def wide_gradients(info: Any, sample: Any, weights: list) -> list:
    """torch's gradients of a call in double precision; none if it cannot be had."""
    wide = sample.transform(widened)
    args = ((wide.input, *wide.args), wide.kwargs)
    out, refused = call(info.op, *args)
    if refused is not None:
        return []
    outs = [t for t in flat(sample.output_process_fn_grad(out)) if t.requires_grad]
    leaves = [t for t in flat(args) if t.requires_grad]
    grads = call(
        torch.autograd.grad, (outs, leaves, [widened(w) for w in weights]), options(False)
    )[0]
    return list(grads or [])


def options(create: bool) -> dict:
    """Keywords of autograd.grad."""
    return {"create_graph": create, "allow_unused": True}


def compare_gradients(mine: Any, theirs: Any, dtype: str, slack: float) -> str | None:
    """How gradients differ; None stands for zeros."""
    for m, t in zip(mine, theirs, strict=True):
        if m is None or t is None:
            other = t if m is None else m
            near = slack * TOLERANCE[dtype]
            if other is not None and not (np.abs(array_of(other)) <= near).all():
                return "None instead of a value" if m is None else "a value instead of None"
        else:
            complaint = compare_tensors(m, t, dtype, slack=slack)
            if complaint:
                return complaint
    return None


def check_layout(
    outcome: Outcome, where: str, mine: Any, info: Any, sample: Any, dtype: str
) -> None:
    """The same with inputs that have gaps in memory."""
    gaps = sample.noncontiguous()
    args = ((gaps.input, *gaps.args), gaps.kwargs)
    theirs, refused = call(info.op, *args)
    if refused is None:
        got, error = call(mine, *to_ours(args))
        outcome.note(
            "strided",
            where,
            f"raised {told(error)}" if error else compare_results(info, gaps, got, theirs, dtype),
        )


def check_forms(outcome: Outcome, where: str, info: Any, sample: Any, dtype: str) -> None:
    """The method, in-place and operator forms."""
    forms = (
        info.get_method(),
        info.get_inplace(),
        info.get_operator(),
        info.get_inplace_operator(),
    )
    for form in filter(None, forms):
        args = ((sample.input, *sample.args), sample.kwargs)
        if not isinstance(sample.input, torch.Tensor):
            continue
        name = getattr(form, "__name__", info.name)
        theirs, refused = call(form, copied(args[0]), args[1])
        mine = form_of(form)
        if refused is None and mine is None:
            outcome.note("form", where, f"there is no Tensor.{name}")
        elif refused is None:
            got, error = call(mine, to_ours(copied(args[0])), to_ours(args[1]))
            text = (
                f"raised {told(error)}"
                if error
                else compare_results(info, sample, got, theirs, dtype)
            )
            outcome.note("form", where, text and f"{name}: {text}")


def form_of(form: Callable) -> Callable | None:
    """chainrule's form for one of torch's; Python's operators serve both."""
    module = getattr(form, "__module__", "") or ""
    if module.startswith("torch.testing") or isinstance(form, functools.partial):
        return function_of(form)
    return form if module == "_operator" else getattr(chainrule.Tensor, form.__name__, None)


def copied(args: tuple) -> tuple:
    """Arguments whose first tensor may be written."""
    return (args[0].detach().clone(), *args[1:])


def check_errors(outcome: Outcome, mine: Any, info: Any, limit: int) -> None:
    """Bad input raises the class that torch raises."""
    if info.error_inputs_func is None or info.name.startswith(
        "__"
    ):  # nobody calls t.__radd__ on a number
        return
    torch.manual_seed(0)
    for i, bad in enumerate(list(info.error_inputs("cpu"))[:limit]):
        sample = bad.sample_input
        args = ((sample.input, *sample.args), sample.kwargs)
        our_args, foreign = call(to_ours, (args,), {})  # meta tensors, 65 dimensions
        theirs = call(info.op, *args)[1]
        if theirs is None or foreign is not None:
            continue
        error = call(mine, *our_args)[1]
        kind = type(theirs).__name__
        text = (
            None
            if isinstance(error, type(theirs))
            else f"{told(error) if error else 'nothing'} where torch raises {kind}"
        )
        outcome.note("error", f"bad input {i} {sample_text(sample)}", text)


OPERATORS = {label_of(info): info for info in op_db if ours(info) is not None}
MISSING = sorted({label_of(info) for info in op_db if ours(info) is None})
