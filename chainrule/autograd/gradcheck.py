"""`gradcheck` and `gradgradcheck`: derivatives against central finite differences.

A Jacobian here has a row for each element of an input and a column for each element of an output,
as torch prints it. The dense check compares all of it. The fast one compares v^T J u for one random
u of each input and one v of each output. Functions with complex outputs are checked as two real
functions, their real and imaginary parts; forward mode splits complex inputs likewise.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..ops import define
from .function import FunctionNode
from .modes import no_grad
from .reverse import grad, zeros_like


class GradcheckError(RuntimeError):
    """A derivative is not what the check expects."""


class Case:
    """A function, where it is checked, and how closely; `complex_places` says which outputs
    (inputs in forward mode) have been reduced to their real or imaginary parts.
    """

    func: Callable
    inputs: tuple
    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    check_grad_dtypes: bool
    check_undefined_grad: bool
    fast: bool
    masked: bool
    complex_places: tuple = ()
    imaginary: bool = False
    forward: bool = False

    def __init__(self, func: Callable, inputs: tuple, **settings: Any) -> None:
        self.func, self.inputs = func, inputs
        self.__dict__.update(settings)

    def but(self, **changes: Any) -> Case:
        """The same case with other settings."""
        return Case(**{**self.__dict__, **changes})

    def __call__(self) -> tuple:
        return as_tuple(self.func(*self.inputs))

    @property
    def moving(self) -> list[int]:
        """Which inputs are differentiated."""
        return [i for i, x in enumerate(self.inputs) if is_moving(x)]


def as_tuple(x: Any) -> tuple:
    """A sequence of values as a tuple, one value as a tuple of it."""
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def is_moving(x: Any) -> bool:
    """Whether a value is a tensor that requires grad."""
    return isinstance(x, define.Tensor) and x.requires_grad


def is_smooth(x: Any) -> bool:
    """Whether a value is a tensor of real or complex numbers."""
    return isinstance(x, define.Tensor) and define._can_require(x)


def differentiable(outputs: Any) -> tuple:
    """The outputs that require grad."""
    return tuple(o for o in as_tuple(outputs) if o.requires_grad)


# -- the public functions --------------------------------------------------------------------------


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the derivatives of `func` agree with central finite differences of step `eps`: every
    element of every Jacobian, |analytical - numerical| <= atol + rtol * |numerical|.

    Checked are the inputs that require grad, which should be float64 or complex128. `fast_mode`
    compares one random projection of each Jacobian. Backward is run twice and may differ by
    `nondet_tol`; missing output gradients must act as zeros (`check_undefined_grad`); under vmap,
    derivatives must equal a loop's (`check_batched_grad`, `check_batched_forward_grad`).

    Raises GradcheckError, which names the worst element, or returns False if `raise_exception` is
    false; ValueError if no input requires grad.

    >>> x = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, (x,))
    True
    """
    assert check_forward_ad or check_backward_ad, (
        "Expected at least one of check_forward_ad or check_backward_ad to be True"
    )
    assert check_backward_ad or not check_batched_grad, (
        "Setting check_batched_grad=True requires check_backward_ad to be True"
    )
    assert check_forward_ad or not check_batched_forward_grad, (
        "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
    )
    case = Case(
        func,
        as_tuple(inputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        nondet_tol=nondet_tol,
        check_grad_dtypes=check_grad_dtypes,
        check_undefined_grad=check_undefined_grad,
        fast=fast_mode,
        masked=bool(masked),
    )
    batched = (check_batched_grad, check_batched_forward_grad)
    try:
        return _check(case, check_forward_ad, check_backward_ad, *batched)
    except GradcheckError:
        if raise_exception:
            raise
        return False


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the gradients of `func`, as a function of its inputs and of the gradients of
    its outputs: `grad_outputs`, or else random ones (strided with gaps if
    `gen_non_contig_grad_outputs`).
    """
    assert check_fwd_over_rev or check_rev_over_rev, (
        "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True"
    )
    assert check_rev_over_rev or not check_undefined_grad, (
        "Setting check_undefined_grad=True requires check_rev_over_rev to be True"
    )
    assert check_rev_over_rev or not check_batched_grad, (
        "Setting check_batched_grad=True requires check_rev_over_rev to be True"
    )
    xs = as_tuple(inputs)
    if grad_outputs is None:
        generator = np.random.RandomState(0)
        weights = tuple(
            _random_weight(o, generator, gen_non_contig_grad_outputs)
            for o in differentiable(func(*xs))
        )
    else:
        weights = as_tuple(grad_outputs)
    moving = [is_moving(x) for x in (*xs, *weights)]

    def gradients(*args: Any) -> tuple:
        args = tuple(a.requires_grad_() if m else a for a, m in zip(args, moving, strict=True))
        given, gs = args[: len(xs)], args[len(xs) :]
        wanted = tuple(a for a, m in zip(given, moving, strict=False) if m)
        outs = differentiable(func(*given))
        found = grad(outs, wanted, gs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients,
        xs + weights,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


def _random_weight(o: Any, generator: Any, gaps: bool) -> Any:
    """A random tensor like `o` that requires grad, with gaps in memory if asked for."""
    shape, dtype = o._data.shape, o._data.dtype
    wide = (*shape[:-1], shape[-1] * 2) if gaps and shape else shape
    a = generator.uniform(-1, 1, wide)
    if dtype.kind == "c":
        a = a + 1j * generator.uniform(-1, 1, wide)
    a = np.asarray(a).astype(dtype)
    return define.wrap(a[..., ::2] if wide != shape else a).requires_grad_()


# -- the course of a check -------------------------------------------------------------------------


def _check(case: Case, forward: bool, backward: bool, batched: bool, batched_forward: bool) -> bool:
    _check_inputs(case)
    func_out = as_tuple(case())
    outputs = differentiable(func_out)
    if backward:
        for part in _output_parts(case, func_out):
            _compare(part)
    if forward:
        for part in _input_parts(case):
            _compare(part)
            if case.check_undefined_grad:
                _check_missing_tangents(part)
    if batched_forward:
        _check_batched_forward(case)
    if not backward:
        return True
    if batched:
        for i, o in enumerate(outputs):
            _check_batched_grad(case, o, i)
    _check_proportional(case, outputs)
    if case.check_undefined_grad:
        _check_missing_gradients(case)
    return True


def _check_inputs(case: Case) -> None:
    for i in case.moving:
        x = case.inputs[i]
        if x._data.dtype not in (np.float64, np.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or"
                " complex. This check will likely fail if all the inputs are not of double"
                f" precision floating point or complex. (It is {x.dtype}.)",
                stacklevel=4,
            )
        if any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs"
                " that are non-overlapping to be able to compute the numerical gradients correctly."
                " You should call .contiguous on the input before passing it to gradcheck."
            )
    if not case.moving:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have"
            " requires_grad=True."
        )


def _output_parts(case: Case, func_out: tuple) -> Iterator[Case]:
    """The case, or where an output is complex the imaginary and the real part of it."""
    if not any(o.is_complex() for o in func_out):
        yield case
        return
    places = tuple(i for i, o in enumerate(differentiable(func_out)) if o.is_complex())
    for imaginary in (True, False):

        def part(*xs: Any, imaginary: bool = imaginary) -> tuple:
            outs = as_tuple(case.func(*xs))
            return tuple((o.imag if imaginary else o.real) if o.is_complex() else o for o in outs)

        yield case.but(func=part, complex_places=places, imaginary=imaginary)


def _input_parts(case: Case) -> Iterator[Case]:
    """The case for forward mode, or where an input is complex the same in its imaginary and in its
    real part, the other part fixed.
    """
    xs = case.inputs
    places = tuple(i for i, x in enumerate(xs) if isinstance(x, define.Tensor) and x.is_complex())
    if not places:
        yield case.but(forward=True)
        return
    for imaginary in (True, False):

        def part(*parts: Any, imaginary: bool = imaginary) -> tuple:
            whole = list(parts)
            for i in places:
                whole[i] = xs[i].real + parts[i] * 1j if imaginary else parts[i] + xs[i].imag * 1j
            return as_tuple(case.func(*whole))

        inputs = tuple(
            (x.imag if imaginary else x.real) if i in places else x for i, x in enumerate(xs)
        )
        yield case.but(
            func=part,
            inputs=inputs,
            complex_places=places,
            imaginary=imaginary,
            forward=True,
        )


def _compare(case: Case) -> None:
    """Analytical against numerical Jacobians."""
    func_out = as_tuple(case())
    if not any(o.requires_grad for o in func_out):
        _check_constant(case, func_out)
    elif case.fast:
        _compare_fast(case, func_out)
    else:
        _compare_dense(case, func_out)


def _check_constant(case: Case, func_out: tuple) -> None:
    for i in case.moving:
        for jacobian in numerical_jacobians(case, i):
            if np.any(jacobian != 0):
                raise GradcheckError("Numerical gradient for function expected to be zero")


def _compare_dense(case: Case, func_out: tuple) -> None:
    smooth = [o.requires_grad for o in func_out]
    numerical = [
        [j for j, keep in zip(numerical_jacobians(case, i), smooth, strict=True) if keep]
        for i in case.moving
    ]
    outputs = differentiable(func_out)
    if case.forward:
        analytical = [forward_jacobians(case, i, smooth) for i in case.moving]
    else:
        by_output = [reverse_jacobians(case, o) for o in outputs]
        analytical = [list(column) for column in zip(*by_output, strict=True)]
    for k in range(len(outputs)):
        for j, i in enumerate(case.moving):
            a, n = analytical[j][k], numerical[j][k]
            worst = _worst(a, n, case.atol, case.rtol)
            if worst is not None:
                shapes = (case.inputs[i]._data.shape, outputs[k]._data.shape)
                raise GradcheckError(
                    _mismatch(case, a, n, k, j) + _name_worst(worst, a, n, shapes, case)
                )


# -- Jacobians -------------------------------------------------------------------------------------


def values_of(outputs: tuple) -> list:
    """Copies of the outputs' values."""
    return [np.array(o._data) for o in outputs]


def difference(case: Case, data: Any, place: Any, step: Any) -> list:
    """(f(x + step) - f(x - step)) / (2 eps) of each output, where `data[place]` is what moves."""
    kept = data[place].copy()
    try:
        data[place] = kept - step
        below = values_of(case())
        data[place] = kept + step
        above = values_of(case())
    finally:
        data[place] = kept
    for a, b in zip(below, above, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            what = "shape" if a.shape != b.shape else "dtype"
            raise AssertionError(
                f"Expected `func` to return outputs with the same {what} when inputs are perturbed"
                f" by {case.eps}, but got: {what}s {getattr(a, what)} and {getattr(b, what)}."
            )
    return [
        (_numbers(b) - _numbers(a)).reshape(-1) / (2 * case.eps)
        for a, b in zip(below, above, strict=True)
    ]


def _numbers(a: Any) -> Any:
    return a if a.dtype.kind in "fc" else a.astype(np.float64)


def numerical_jacobians(case: Case, i: int) -> list:
    """The Jacobian of each output with respect to input `i`, by finite differences."""
    x = case.inputs[i]
    data = define.storage_array(x)
    rows = []
    for place in np.ndindex(*data.shape):
        row = difference(case, data, place, case.eps)
        if data.dtype.kind == "c":
            other = difference(case, data, place, case.eps * 1j)
            row = [a + 1j * b for a, b in zip(row, other, strict=True)]
        rows.append(row)
    if not rows:
        return [np.zeros((0, o._data.size), data.dtype) for o in case()]
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _pulled(case: Case, output: Any, v: Any) -> list:
    """v^T J of one output with respect to each input, as arrays."""
    xs = [case.inputs[i] for i in case.moving]
    found = grad(output, xs, define.wrap(v), retain_graph=True, allow_unused=True)
    if case.check_grad_dtypes and any(
        g is not None and g.dtype != x.dtype for g, x in zip(found, xs, strict=True)
    ):
        raise GradcheckError("Gradient has dtype mismatch")
    return [
        np.array((zeros_like(x) if g is None else g)._data) for g, x in zip(found, xs, strict=True)
    ]


def _pulled_twice(case: Case, output: Any, v: Any) -> list:
    """`_pulled`, which must give the same a second time."""
    first, second = _pulled(case, output, v), _pulled(case, output, v)
    for a, b in zip(first, second, strict=True):
        if a.size and not np.max(np.abs(a - b)) <= case.nondet_tol:
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output"
                " multiple times gives different values, although analytical gradient matches"
                f" numerical gradient.The tolerance for nondeterminism was {case.nondet_tol}."
            )
    return first


def reverse_jacobians(case: Case, output: Any) -> list:
    """The Jacobian of one output with respect to each input, by reverse mode."""
    shape, dtype = output._data.shape, output._data.dtype
    columns = []
    for k in range(output._data.size):
        v = np.zeros(output._data.size, dtype)
        v[k] = 1
        columns.append([g.reshape(-1) for g in _pulled_twice(case, output, v.reshape(shape))])
    if not columns:
        return [
            np.zeros((case.inputs[i]._data.size, 0), case.inputs[i]._data.dtype)
            for i in case.moving
        ]
    return [np.stack(c, axis=1) for c in zip(*columns, strict=True)]


def pushed(case: Case, tangents: dict) -> list:
    """J t of each real or complex output, for tangents of some of the inputs."""
    return [np.array(t._data) for t in push(case, {i: define.wrap(t) for i, t in tangents.items()})]


def push(case: Case, tangents: dict) -> tuple:
    """`pushed`, on tensors."""
    from ..func import jvp

    def moved(*xs: Any) -> tuple:
        given = dict(zip(tangents, xs, strict=True))
        full = [
            given[i] if i in given else x.detach() if isinstance(x, define.Tensor) else x
            for i, x in enumerate(case.inputs)
        ]
        return tuple(o for o in as_tuple(case.func(*full)) if is_smooth(o))

    return jvp(moved, tuple(case.inputs[i].detach() for i in tangents), tuple(tangents.values()))[1]


def forward_jacobians(case: Case, i: int, keep: list) -> list:
    """The Jacobian of each output with respect to input `i`, by forward mode."""
    func_out = as_tuple(case())
    wanted = [k for o, k in zip(func_out, keep, strict=True) if is_smooth(o)]
    data = case.inputs[i]._data
    zeros = {
        j: np.zeros(case.inputs[j]._data.shape, case.inputs[j]._data.dtype) for j in case.moving
    }
    rows = []
    for place in np.ndindex(*data.shape):
        t = np.zeros(data.shape, data.dtype)
        t[place] = 1
        found = pushed(case, {**zeros, i: t})
        rows.append([p.reshape(-1) for p, k in zip(found, wanted, strict=True) if k])
    if not rows:
        return [np.zeros((0, o._data.size)) for o, k in zip(func_out, keep, strict=True) if k]
    return [np.stack(column) for column in zip(*rows, strict=True)]


# -- fast mode -------------------------------------------------------------------------------------


def _compare_fast(case: Case, func_out: tuple) -> None:
    """v^T J u for random unit vectors, with elements of one sign so that nothing cancels."""
    generator = np.random.RandomState(0)
    outputs = differentiable(func_out)
    us = {i: _direction(case.inputs[i], generator) for i in case.moving}
    vs = [None if case.forward else _unit(o._data.size, generator) for o in outputs]
    pulled = (
        []
        if case.forward
        else [
            _pulled_twice(case, o, v.reshape(o._data.shape).astype(o._data.dtype))
            for o, v in zip(outputs, vs, strict=True)
        ]
    )
    smooth = [o.requires_grad for o in func_out if is_smooth(o)]
    for j, i in enumerate(case.moving):
        u, ui = us[i]
        numerical = _along(case, i, u, ui, [o.requires_grad for o in func_out])
        if case.forward:
            zeros = {k: np.zeros_like(case.inputs[k]._data) for k in case.moving}
            ahead = {**zeros, i: u.reshape(case.inputs[i]._data.shape)}
            found = pushed(case, ahead)
            analytical = [p.reshape(-1) for p, k in zip(found, smooth, strict=True) if k]
        else:
            analytical = [_contract(p[j].reshape(-1), u, ui) for p in pulled]
            numerical = [np.dot(v, n) for v, n in zip(vs, numerical, strict=True)]
        for k, (a, n) in enumerate(zip(analytical, numerical, strict=True)):
            weight = (u.sum() + (0 if ui is None else ui.sum())) * (
                1 if vs[k] is None else vs[k].sum()
            )
            if (
                _worst(np.asarray(a), np.asarray(n), case.atol * float(weight), case.rtol)
                is not None
            ):
                raise GradcheckError(
                    _mismatch(case, a, n, k, j) + _slow_report(case, func_out, k, j)
                )


def _unit(size: int, generator: Any) -> Any:
    v = generator.uniform(0, 1, size)
    return v / max(math.sqrt(float(np.dot(v, v))), 1e-300)


def _direction(x: Any, generator: Any) -> tuple:
    """A direction to move `x` in, and another for its imaginary part if it is complex."""
    size = x._data.size
    return _unit(size, generator), _unit(size, generator) if x.is_complex() else None


def _along(case: Case, i: int, u: Any, ui: Any, keep: list) -> list:
    data = define.storage_array(case.inputs[i])
    step = case.eps * u.reshape(data.shape)
    found = difference(case, data, ..., step)
    if ui is not None:
        other = difference(case, data, ..., 1j * case.eps * ui.reshape(data.shape))
        found = [a + 1j * b for a, b in zip(found, other, strict=True)]
    return [f for f, k in zip(found, keep, strict=True) if k]


def _contract(g: Any, u: Any, ui: Any) -> Any:
    return np.dot(g, u) if ui is None else np.dot(g.real, u) + 1j * np.dot(g.imag, ui)


def _slow_report(case: Case, func_out: tuple, k: int, j: int) -> str:
    """What the dense check sees of the same Jacobian."""
    i, outputs = case.moving[j], differentiable(func_out)
    keep = [o.requires_grad for o in func_out]
    n = [m for m, kept in zip(numerical_jacobians(case, i), keep, strict=True) if kept][k]
    a = (
        forward_jacobians(case, i, keep)[k]
        if case.forward
        else reverse_jacobians(case, outputs[k])[j]
    )
    worst = _worst(a, n, case.atol, case.rtol)
    shapes = (case.inputs[i]._data.shape, outputs[k]._data.shape)
    largest = np.max(np.abs(a - n), initial=0)
    tail = (
        _name_worst(worst, a, n, shapes, case)
        if worst is not None
        else "Fast gradcheck failed but element-wise differences are small. This means that the"
        " test might've passed in slow_mode: try fast_mode=False.\n"
    )
    return (
        "\nThe above quantities relating the numerical and analytical jacobians are computed in"
        " fast mode. Below, we recompute numerical and analytical jacobians in slow mode:\n\n"
        f"Numerical:\n {define.wrap(n)}\nAnalytical:\n{define.wrap(a)}\n\n"
        f"The max per-element difference (slow mode) is: {largest}.\n{tail}"
    )


# -- what does not agree ---------------------------------------------------------------------------


def _worst(a: Any, n: Any, atol: float, rtol: float) -> tuple | None:
    """The element that exceeds its tolerance the most, if one does (NaNs always do)."""
    if not a.size:
        return None
    with np.errstate(all="ignore"):
        excess = np.abs(a - n) - (atol + rtol * np.abs(n))
        excess = np.where(np.isnan(excess) & (a != n), np.inf, excess)
        excess = np.where(a == n, -1.0, excess)
    place = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return tuple(int(p) for p in place) if excess[place] > 0 else None


def _mismatch(case: Case, a: Any, n: Any, output: int, given: int) -> str:
    place = given if case.forward else output
    part = "imaginary" if case.imaginary else "real"
    kind = "inputs" if case.forward else "outputs"
    head = (
        f"While considering the {part} part of complex {kind} only, "
        if place in case.complex_places
        else ""
    )
    mode = "computed with forward mode " if case.forward else ""
    return (
        f"{head}Jacobian {mode}mismatch for output {output} with respect to input {given},\n"
        f"numerical:{define.wrap(np.asarray(n))}\nanalytical:{define.wrap(np.asarray(a))}\n"
    )


def _name_worst(worst: tuple, a: Any, n: Any, shapes: tuple, case: Case) -> str:
    x, y = [
        tuple(int(k) for k in np.unravel_index(w, shape)) if shape else ()
        for w, shape in zip(worst, shapes, strict=True)
    ]
    off, allowed = abs(a[worst] - n[worst]), case.atol + case.rtol * abs(n[worst])
    bad = int(np.sum(~np.isclose(a, n, case.rtol, case.atol)))
    return (
        f"{bad} of {a.size} elements disagree. The worst is the derivative of output element {y}"
        f" by input element {x}: numerical {n[worst]}, analytical {a[worst]}, difference {off},"
        f" allowed {allowed}.\n"
    )


# -- the other checks ------------------------------------------------------------------------------


def _check_proportional(case: Case, outputs: tuple) -> None:
    """Gradients of zero give zero, in the inputs' shapes and dtypes."""
    xs = [case.inputs[i] for i in case.moving]
    if not outputs:
        return
    found = grad(outputs, xs, [zeros_like(o) for o in outputs], True, allow_unused=True)
    for g, x in zip(found, xs, strict=True):
        if g is None:
            continue
        zero = np.allclose(g._data, 0, atol=1e-8) if case.masked else not np.any(g._data)
        if not zero:
            raise GradcheckError("backward not multiplied by grad_output")
        if g.dtype != x.dtype:
            raise GradcheckError("grad is incorrect type")
        if g.shape != x.shape:
            raise GradcheckError("grad is incorrect size")


def _check_missing_gradients(case: Case) -> None:
    """Outputs that receive no gradient must act as if they received zeros."""
    xs = [case.inputs[i] for i in case.moving]
    outputs = differentiable(case())
    trials: list[Callable] = [lambda: _without_gradients(outputs)]
    if len(outputs) > 1:
        for k in range(len(outputs)):
            rest = [o for i, o in enumerate(outputs) if i != k]
            trials.append(
                lambda rest=rest: grad(
                    rest, xs, [zeros_like(o) for o in rest], True, allow_unused=True
                )
            )
    for trial in trials:
        try:
            found = trial()
        except (RuntimeError, TypeError, AttributeError) as e:
            raise GradcheckError(
                "Expected backward function to handle undefined output grads. Give it"
                " set_materialize_grads(True), or let it take None for a gradient"
            ) from e
        if any(
            g is not None and np.any(g._data if isinstance(g, define.Tensor) else g) for g in found
        ):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are"
                " undefined or zero."
            )


def _without_gradients(outputs: tuple) -> list:
    """What users' Functions return for outputs none of which received a gradient."""
    found: list = []
    for node in {o.grad_fn for o in outputs if isinstance(o.grad_fn, FunctionNode)}:
        missing = None if node.op.outputs == 1 else [None] * len(node.shape)
        with no_grad():
            found += node.pull(missing, node.args)
    return found


def _check_missing_tangents(case: Case) -> None:
    """An input without a tangent must act as if its tangent were zero."""
    generator = np.random.RandomState(0)
    us = {}
    for i in case.moving:
        data = case.inputs[i]._data
        us[i] = _unit(data.size, generator).reshape(data.shape).astype(data.dtype)
    if len(us) < 2:
        return
    for i in case.moving:
        zero = pushed(case, {**us, i: np.zeros_like(us[i])})
        missing = pushed(case, {k: u for k, u in us.items() if k != i})
        for k, (a, b) in enumerate(zip(zero, missing, strict=True)):
            if not np.allclose(a, b):
                raise GradcheckError(
                    f"Mismatch in tangent values for output with index: {k} when input: {i} has an"
                    f" undefined tangent value. Got: {b} but expected: {a}"
                )


def _check_batched_grad(case: Case, output: Any, k: int) -> None:
    """Two gradients at once against one after the other."""
    xs = [case.inputs[i] for i in case.moving]
    generator = np.random.RandomState(0)
    weights = [_random_weight(output, generator, False).detach() for _ in range(2)]
    options: dict = {"retain_graph": True, "allow_unused": True}
    expected = [grad(output, xs, w, materialize_grads=True, **options) for w in weights]
    stacked = define.wrap(np.stack([w._data for w in weights]))
    try:
        found = grad(output, xs, stacked, is_grads_batched=True, **options)
    except (RuntimeError, TypeError, ValueError, AttributeError) as e:
        raise GradcheckError(f"While computing batched gradients, got: {e}") from e
    zeros = [define.wrap(np.zeros((2, *x._data.shape), x._data.dtype)) for x in xs]
    found = tuple(z if g is None else g for g, z in zip(found, zeros, strict=True))
    _compare_batched(found, expected, lambda j: f"For output {k} and input {j}:")


def _check_batched_forward(case: Case) -> None:
    """Two tangents at once against one after the other."""
    from ..func import vmap

    generator = np.random.RandomState(0)
    for i in case.moving:
        tangents = [_random_weight(case.inputs[i], generator, False).detach() for _ in range(2)]
        one = functools.partial(_push_one, case, i)
        expected = [one(t) for t in tangents]
        stacked = define.wrap(np.stack([t._data for t in tangents]))
        try:
            found = vmap(one)(stacked)
        except (RuntimeError, TypeError, ValueError, AttributeError) as e:
            raise GradcheckError(
                f"While computing batched gradients, got: {e} (in forward mode)"
            ) from e
        _compare_batched(found, expected, lambda k, i=i: f"For output {k} and input {i}:")


def _push_one(case: Case, i: int, tangent: Any) -> tuple:
    return push(case, {i: tangent})


def _compare_batched(found: tuple, expected: list, where: Callable) -> None:
    for j, a in enumerate(found):
        b = np.stack([np.asarray(e[j]._data) for e in expected])
        if not np.allclose(a._data, b, rtol=1e-5, atol=1e-8):
            raise GradcheckError(
                f"{where(j)}\n\ngradcheck or gradgradcheck failed while testing batched gradient"
                f" computation.\n\nGot:\n{a}\n\nExpected:\n{define.wrap(b)}"
            )
