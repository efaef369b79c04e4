"""`check_rules`: everything that must agree about the derivatives of a function, checked at once.

One derivative can be had in many ways, and each is a witness against the others: reverse mode,
forward mode, finite differences, double precision, vmap. Jacobians are compared at a sample of
their elements, so that a large function costs no more than a small one; a complex tensor counts as
twice as many real elements, so that nothing has to be holomorphic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..ops import define
from .gradcheck import GradcheckError, as_tuple, is_smooth
from .modes import enable_grad
from .reverse import grad

SAMPLE = 12  # elements of each tensor that Jacobians are compared at
EXAMPLES = 3  # in a batch
# relative tolerance among derivatives of one dtype; finite differences allow 1e-5 at least
TOLERANCES = {"float64": 1e-9, "float32": 5e-4, "float16": 3e-2, "bfloat16": 2e-1}
TOLERANCES |= {"complex128": 1e-9, "complex64": 5e-4}


class RuleError(GradcheckError):
    """Two ways to compute the same derivative disagree."""


class Row(NamedTuple):
    """One check: the largest error relative to what is allowed, and where it is."""

    check: str
    error: float = 0.0
    allowed: float = 0.0
    where: str = "nothing to compare"
    got: Any = None
    expected: Any = None
    passed: bool = True

    def complaint(self) -> str:
        """What is wrong, in words."""
        if self.got is None:
            return f"{self.check}: {self.where}"
        left, right = self.check.split(" against ")
        return (
            f"{self.check}: at {self.where}: {left} gives {self.got}, {right} gives {self.expected}"
            f" (difference {self.error:.3g}, allowed {self.allowed:.3g})"
        )


class RuleReport:
    """The outcome of `check_rules`; true if all checks passed, printed as a table."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(r.passed for r in self.rows)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        head = ("check", "worst error", "allowed", "", "where")
        lines = [
            (r.check, f"{r.error:.2g}", f"{r.allowed:.2g}", "ok" if r.passed else "WRONG", r.where)
            for r in self.rows
        ]
        widths = [max(len(line[k]) for line in (head, *lines)) for k in range(5)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in (head, *lines)
        )


class Subject:
    """A function of its real and complex inputs alone, its outputs a tuple of real and complex
    tensors.
    """

    def __init__(self, func: Callable, inputs: tuple, wide: bool = False) -> None:
        self.func, self.inputs, self.wide = func, inputs, wide
        self.places = [i for i, x in enumerate(inputs) if is_smooth(x)]
        arrays = [np.array(inputs[i]._data) for i in self.places]
        self.xs = [_widened(a) if wide else a for a in arrays]

    def __call__(self, *xs: Any) -> tuple:
        full = list(self.inputs)
        for i, x in zip(self.places, xs, strict=True):
            full[i] = x
        try:
            outs = as_tuple(self.func(*full))
        except RuntimeError as e:
            if self.wide:
                e.add_note(
                    "in the double precision copy that finite differences need: if the function"
                    " captures a tensor of another dtype, pass it as an input"
                )
            raise
        return tuple(o for o in outs if is_smooth(o))

    def values(self, xs: list) -> list:
        """The outputs' arrays."""
        return [np.array(o._data) for o in self(*_tensors(xs))]

    def pull(self, us: Any, *xs: Any, create_graph: bool = False) -> tuple:
        """J^T u, summed over the outputs, for each input."""
        with enable_grad():
            if not create_graph:
                xs = tuple(x.detach().requires_grad_() for x in xs)
            pairs = [
                (o, u)
                for o, u in zip(self(*xs), us, strict=True)
                if u is not None and o.requires_grad
            ]
            outs, weights = [o for o, _ in pairs], [u for _, u in pairs]
            if not pairs:
                return tuple(x * 0 for x in xs)
            options = {"allow_unused": True, "materialize_grads": True}
            return grad(outs, xs, weights, create_graph=create_graph, **options)  # type: ignore[arg-type]

    def gradient(self, us: Any) -> Callable:
        """x -> J^T u, differentiable."""

        def f(*xs: Any) -> tuple:
            with enable_grad():
                xs = tuple(x if x.requires_grad else x.requires_grad_() for x in xs)
            return self.pull(us, *xs, create_graph=True)

        return f


def check_rules(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float | None = None,
    rtol: float | None = None,
    order: int = 2,
    seed: int = 0,
    raise_exception: bool = True,
) -> RuleReport:
    """Check every derivative of `func` at `inputs` against every other way to compute it.

    `inputs` is a tensor or a tuple; the real and complex tensors among it are differentiated,
    whether they require grad or not. The checks: vjp against jvp (one is the other's transpose),
    both against central finite differences of step `eps` in double precision, values and gradients
    against double precision (if the inputs are not in it already), vmap of value, vjp and jvp
    against a loop, and (if `order` is 2) second derivatives by reverse-over-reverse and
    forward-over-reverse against finite differences of the gradient. Two numbers agree if they
    differ by at most `atol` +
    `rtol` * the largest number compared; the defaults go by dtype.

    Returns a report that prints as a table. Raises RuleError at the first disagreement unless
    `raise_exception` is false: it names the check, input, output, element and both values.

    >>> x = torch.tensor([0.3, 2.0])
    >>> bool(torch.check_rules(torch.sin, x))
    True
    """
    subject = Subject(func, as_tuple(inputs))
    if not subject.places:
        raise ValueError("check_rules expects at least one real or complex tensor among the inputs")
    course = _Course(subject, eps, atol, rtol, seed)
    report = RuleReport()
    for check, compute, finite in course.checks(order):
        try:
            row = course.compare(check, compute(), finite)
        except GradcheckError:
            raise
        except Exception as e:
            if raise_exception:
                raise RuleError(f"{check}: {type(e).__name__}: {e}") from e
            row = Row(check, np.inf, where=f"{type(e).__name__}: {e}", passed=False)
        report.rows.append(row)
        if raise_exception and not row.passed:
            raise RuleError(row.complaint())
    return report


# -- numbers ---------------------------------------------------------------------------------------


def _widened(a: Any) -> Any:
    """An array in double precision."""
    return np.asarray(a).astype(np.complex128 if a.dtype.kind == "c" else np.float64)


def _tensors(arrays: Any) -> list:
    return [define.wrap(a) for a in arrays]


def _real(t: Any) -> Any:
    """All real numbers in a tensor or array, flat, in double precision."""
    a = _widened(t._data if isinstance(t, define.Tensor) else t)
    return np.ascontiguousarray(a).reshape(-1).view(np.float64)


def _unit(like: Any, k: int) -> Any:
    """A tensor like the array `like` of zeros with a one (or an i) at real number k."""
    a = np.zeros(like.size, like.dtype)
    if like.dtype.kind == "c":
        a[k // 2] = 1j if k % 2 else 1
    else:
        a[k] = 1
    return define.wrap(a.reshape(like.shape))


def _element(like: Any, k: int) -> str:
    """Where real number k of the array `like` stands."""
    is_complex = like.dtype.kind == "c"
    place = np.unravel_index(k // 2 if is_complex else k, like.shape) if like.shape else ()
    part = (" (imaginary part)" if k % 2 else " (real part)") if is_complex else ""
    return f"{tuple(int(p) for p in place)}{part}"


def _pushed(f: Callable, xs: Any, ts: Any) -> tuple:
    """J t for each output of f, complex where the output is."""
    from ..func import jvp

    outs, found = jvp(f, tuple(xs), tuple(ts))
    for k, (o, t) in enumerate(zip(outs, found, strict=True)):
        if o.shape != t.shape or o.is_complex() != t.is_complex():
            raise RuntimeError(
                f"output {k} is {o.dtype} of shape {list(o.shape)}, but its tangent is {t.dtype} of"
                f" shape {list(t.shape)}"
            )
    return found


# -- the checks ------------------------------------------------------------------------------------


class _Course:
    """One run of all checks."""

    def __init__(
        self, subject: Subject, eps: float, atol: float | None, rtol: float | None, seed: int
    ) -> None:
        self.subject, self.eps, self.atol, self.rtol = subject, eps, atol, rtol
        self.shadow = Subject(subject.func, subject.inputs, wide=True)
        self.random = np.random.RandomState(seed)
        self.xs = subject.xs
        self.outs = subject.values(self.xs)
        names = [define.FROM_NUMPY[a.dtype].name for a in (*self.xs, *self.outs)]
        self.tolerance = max(TOLERANCES[n] for n in names)
        self.double = all(a.dtype in (np.float64, np.complex128) for a in (*self.xs, *self.outs))
        self.picked = [self._sample(a) for a in self.xs]
        self.picked_out = [self._sample(a) for a in self.outs]
        self.us = [self._noise(a) for a in self.outs]
        self.ts = [self._noise(a) for a in self.xs]

    def _sample(self, a: Any) -> list:
        count = a.size * (2 if a.dtype.kind == "c" else 1)
        if count <= SAMPLE:
            return list(range(count))
        return sorted(int(k) for k in self.random.choice(count, SAMPLE, replace=False))

    def _noise(self, a: Any) -> Any:
        n = self.random.standard_normal(a.shape)
        if a.dtype.kind == "c":
            n = n + 1j * self.random.standard_normal(a.shape)
        return np.asarray(n).astype(a.dtype)

    def checks(self, order: int) -> Iterator[tuple[str, Callable, bool]]:
        """The name of each check, what computes its blocks, and whether finite differences are in
        it.
        """
        pairs = self._pairs
        yield "vjp against jvp", lambda: pairs(self.by_vjp, self.by_jvp), False
        yield "<u, J t> against <J^T u, t>", self.products, False
        yield "vjp against finite differences", lambda: pairs(self.by_vjp, self.by_steps), True
        yield "jvp against finite differences", lambda: pairs(self.by_jvp, self.by_steps), True
        if not self.double:
            yield "value against float64 shadow", self.shadow_values, False
            yield "gradient against float64 shadow", self.shadow_gradients, False
        yield (
            "vmap of value against loop",
            lambda: self.batched(self.subject, self.outs, False),
            False,
        )
        yield "vmap of vjp against loop", lambda: self.batched(self._vjp, self.xs, True), False
        yield "vmap of jvp against loop", lambda: self.batched(self._jvp, self.outs, False), False
        if order < 2:
            return
        steps = self.second_by_steps
        yield (
            "reverse over reverse against finite differences",
            lambda: pairs(self.second_by_vjp, steps, True),
            True,
        )
        yield (
            "forward over reverse against finite differences",
            lambda: pairs(self.second_by_jvp, steps, True),
            True,
        )

    def _vjp(self, *xs: Any) -> tuple:
        return self.subject.pull(_tensors(self.us), *xs)

    def _jvp(self, *xs: Any) -> tuple:
        return _pushed(self.subject, xs, _tensors(self.ts))

    def _pairs(self, left: Callable, right: Callable, second: bool = False) -> Iterator[tuple]:
        """Blocks of two Jacobians: for each output (gradient, in second order) and input."""
        rows, picked = (self.xs, self.picked) if second else (self.outs, self.picked_out)
        a, b = left(), right()
        what = "gradient" if second else "output"
        for o, y in enumerate(rows):
            for i, x in enumerate(self.xs):

                def where(place: tuple, o: int = o, i: int = i, y: Any = y, x: Any = x) -> str:
                    return (
                        f"input {self.subject.places[i]} {_element(x, self.picked[i][place[1]])},"
                        f" {what} {o} {_element(y, picked[o][place[0]])}"
                    )

                yield a[o][i], b[o][i], where

    def by_vjp(self) -> list:
        """Sampled rows of the Jacobians, by reverse mode."""
        return self._rows(lambda us, xs: self.subject.pull(us, *xs), self.outs, self.picked_out)

    def second_by_vjp(self) -> list:
        """Sampled rows of the gradient's Jacobians, by reverse mode."""
        gradient = self.subject.gradient(_tensors(self.us))

        def pull(us: list, xs: list) -> tuple:
            xs = [x.detach().requires_grad_() for x in xs]
            pairs = [
                (g, u)
                for g, u in zip(gradient(*xs), us, strict=True)
                if g.requires_grad and u is not None
            ]
            if not pairs:
                return tuple(x.detach() * 0 for x in xs)
            gs, weights = [g for g, _ in pairs], [u for _, u in pairs]
            return grad(gs, xs, weights, allow_unused=True, materialize_grads=True)

        return self._rows(pull, self.xs, self.picked)

    def _rows(self, pull: Callable, outs: list, picked: list) -> list:
        found: list = []
        for o, y in enumerate(outs):
            rows = []
            for r in picked[o]:
                us = [_unit(y, r) if k == o else None for k in range(len(outs))]
                pulled = pull(us, _tensors(self.xs))
                rows.append([_real(g)[p] for g, p in zip(pulled, self.picked, strict=True)])
            found.append(
                [
                    np.array([row[i] for row in rows]).reshape(len(rows), len(p))
                    for i, p in enumerate(self.picked)
                ]
            )
        return found

    def by_jvp(self) -> list:
        """Sampled columns of the Jacobians, by forward mode."""
        return self._columns(self._forward(self.subject), self.picked_out)

    def second_by_jvp(self) -> list:
        """Sampled columns of the gradient's Jacobians, by forward mode."""
        return self._columns(self._forward(self.subject.gradient(_tensors(self.us))), self.picked)

    def _forward(self, f: Callable) -> Callable:
        def column(i: int, c: int) -> tuple:
            ts = [
                _unit(x, c) if k == i else define.wrap(np.zeros(x.shape, x.dtype))
                for k, x in enumerate(self.xs)
            ]
            return _pushed(f, _tensors(self.xs), ts)

        return column

    def by_steps(self) -> list:
        """Sampled columns of the Jacobians, by finite differences in double precision."""
        return self._columns(self._steps(self.shadow.values), self.picked_out)

    def second_by_steps(self) -> list:
        """Sampled columns of the gradient's Jacobians, by finite differences."""
        us = _tensors(_widened(u) for u in self.us)
        return self._columns(
            self._steps(lambda xs: self.shadow.pull(us, *_tensors(xs))), self.picked
        )

    def _steps(self, f: Callable) -> Callable:
        def column(i: int, c: int) -> list:
            sides = []
            x = self.shadow.xs[i]
            size = self.eps * max(1.0, float(abs(_real(x)[c])))
            for step in (size, -size):
                moved = np.array(x)
                flat = moved.reshape(-1).view(np.float64)
                flat[c] += step
                xs = [moved if k == i else y for k, y in enumerate(self.shadow.xs)]
                sides.append([_real(v) for v in f(xs)])
            return [(a - b) / (2 * size) for a, b in zip(*sides, strict=True)]

        return column

    def _columns(self, column: Callable, picked: list) -> list:
        found: list = [[[] for _ in self.xs] for _ in picked]
        for i, cs in enumerate(self.picked):
            for c in cs:
                for o, v in enumerate(column(i, c)):
                    found[o][i].append(_real(v)[picked[o]])
        return [
            [
                np.array(cs).reshape(len(self.picked[i]), len(picked[o])).T
                for i, cs in enumerate(row)
            ]
            for o, row in enumerate(found)
        ]

    def products(self) -> Iterator[tuple]:
        """<u, J t> and <J^T u, t>, which see every element."""
        xs = _tensors(self.xs)
        ahead = sum(
            np.dot(_real(u), _real(t)) for u, t in zip(self.us, self._jvp(*xs), strict=True)
        )
        back = sum(np.dot(_real(g), _real(t)) for g, t in zip(self._vjp(*xs), self.ts, strict=True))
        yield np.array([ahead]), np.array([back]), lambda _: "the sum over all elements"

    def shadow_values(self) -> Iterator[tuple]:
        """Outputs in their own and in double precision."""
        yield from self._elementwise(
            self.outs, self.shadow.values(self.shadow.xs), self.outs, "output"
        )

    def shadow_gradients(self) -> Iterator[tuple]:
        """J^T u in its own and in double precision."""
        us = _tensors(_widened(u) for u in self.us)
        mine, wide = self._vjp(*_tensors(self.xs)), self.shadow.pull(us, *_tensors(self.shadow.xs))
        yield from self._elementwise(mine, wide, self.xs, "input")

    def _elementwise(self, a: Any, b: Any, like: list, what: str) -> Iterator[tuple]:
        for k, (p, q, y) in enumerate(zip(a, b, like, strict=True)):
            number = self.subject.places[k] if what == "input" else k
            yield _real(p), _real(q), lambda at, n=number, y=y: f"{what} {n} {_element(y, at[0])}"

    def batched(self, f: Callable, like: list, pulled: bool) -> Iterator[tuple]:
        """f under vmap and in a loop, on examples a little apart."""
        from ..func import vmap

        scales = [1 + 1e-3 * self.random.standard_normal((EXAMPLES, *x.shape)) for x in self.xs]
        stacked = [(x * s).astype(x.dtype) for x, s in zip(self.xs, scales, strict=True)]
        together = vmap(f)(*_tensors(stacked))
        for e in range(EXAMPLES):
            alone = f(*_tensors([np.array(s[e]) for s in stacked]))
            mine = [t._data[e] for t in together]
            for a, b, where in self._elementwise(
                mine, alone, like, "input" if pulled else "output"
            ):
                yield a, b, lambda at, w=where, e=e: f"{w(at)} of example {e}"

    def compare(self, check: str, blocks: Any, finite: bool) -> Row:
        """The worst of all blocks' elements."""
        row, worst = Row(check), -1.0
        rtol = self.rtol if self.rtol is not None else max(self.tolerance, 1e-5 if finite else 0.0)
        atol = self.atol if self.atol is not None else rtol * 1e-2
        for a, b, where in blocks:
            if not a.size:
                continue
            with np.errstate(all="ignore"):
                off = np.abs(a - b)
                off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, off)
                off = np.where(np.isnan(off), np.inf, off)
            finite_values = np.abs(b)[np.isfinite(b)]
            allowed = atol + rtol * float(np.max(finite_values, initial=0.0))
            place = tuple(int(p) for p in np.unravel_index(int(np.argmax(off)), off.shape))
            error = float(off[place])
            if error / allowed > worst:
                worst = error / allowed
                row = Row(
                    check,
                    error,
                    allowed,
                    where(place),
                    float(a[place]),
                    float(b[place]),
                    error <= allowed,
                )
        return row
