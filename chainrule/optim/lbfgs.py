"""L-BFGS: quasi-Newton steps from the last few changes of gradient and parameters (Nocedal and
Wright, chapter 7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.define import about_to_be_written, storage_array, wrap
from ..tape import storage_of
from ..tensor import Tensor
from .optimizer import Optimizer, ParamsT, as_real, check_lr, evaluated


def cubic_minimum(
    x1: float, f1: float, g1: float, x2: float, f2: float, g2: float, bounds: tuple | None = None
) -> float:
    """Where the cubic through two points with their slopes is least, within the bounds (Nocedal and
    Wright, 3.59).
    """
    low, high = bounds or (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if x1 <= x2:
        at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        at = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(at, low), high)


def number(loss: Any) -> float:
    """A loss as a number."""
    return float(loss.detach() if isinstance(loss, Tensor) else loss)


class Point:
    """A step length t along the direction, with the loss, the gradient and the slope there."""

    __slots__ = ("f", "g", "slope", "t")

    def __init__(self, t: float, f: float, g: Any, slope: float) -> None:
        self.t, self.f, self.g, self.slope = t, f, g, slope


class Search:
    """A line search that meets the strong Wolfe conditions: first a bracket, then a zoom into it
    (Nocedal and Wright, 3.5, 3.6).
    """

    c1, c2 = 1e-4, 0.9
    tolerance = 1e-9

    def __init__(self, at: Callable[[float], tuple], direction: Any, most: int) -> None:
        self.at, self.direction, self.most, self.calls = at, direction, most, 0

    def look(self, t: float) -> Point:
        """The point at step length t."""
        f, g = self.at(t)
        self.calls += 1
        return Point(t, f, g, float(np.dot(g, self.direction)))

    def run(self, start: Point, t: float) -> Point:
        """The point to step to, beginning with a step of length t."""
        self.start = start
        bracket, iterations = self.bracket(t)
        return bracket[0] if len(bracket) == 1 else self.zoom(bracket, iterations)

    def rises(self, p: Point) -> bool:
        """Whether the loss at p is above what the first condition allows."""
        return p.f > self.start.f + self.c1 * p.t * self.start.slope

    def flat(self, p: Point) -> bool:
        """Whether the slope at p meets the second condition."""
        return abs(p.slope) <= -self.c2 * self.start.slope

    def bracket(self, t: float) -> tuple[list[Point], int]:
        """Two points with an acceptable one between them, or one that is acceptable itself."""
        before, now = self.start, self.look(t)
        for k in range(self.most):
            if self.rises(now) or (k > 1 and now.f >= before.f):
                return [before, now], k
            if self.flat(now):
                return [now], k
            if now.slope >= 0:
                return [before, now], k
            low, high = now.t + 0.01 * (now.t - before.t), now.t * 10
            t = cubic_minimum(
                before.t, before.f, before.slope, now.t, now.f, now.slope, (low, high)
            )
            before, now = now, self.look(t)
        return [self.start, now], self.most

    def zoom(self, bracket: list[Point], iterations: int) -> Point:
        """An acceptable point between two."""
        size, slow = float(abs(self.direction).max(initial=0)), False
        low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
        while iterations < self.most:
            a, b = bracket
            if abs(b.t - a.t) * size < self.tolerance:
                break
            t = cubic_minimum(a.t, a.f, a.slope, b.t, b.f, b.slope)
            least, most = min(a.t, b.t), max(a.t, b.t)
            t, slow = self.away_from_ends(t, least, most, slow)
            new = self.look(t)
            iterations += 1
            if self.rises(new) or new.f >= bracket[low].f:
                bracket[high] = new
                low, high = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
                continue
            if self.flat(new):
                bracket[low] = new
                break
            if new.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = new
        return bracket[low]

    @staticmethod
    def away_from_ends(t: float, least: float, most: float, slow: bool) -> tuple[float, bool]:
        """A step not too near the bracket's ends, where progress would be slow."""
        edge = 0.1 * (most - least)
        if min(most - t, t - least) >= edge:
            return t, False
        if slow or t >= most or t <= least:
            return (most - edge if abs(t - most) < abs(t - least) else least + edge), False
        return t, True


class LBFGS(Optimizer):
    """Limited-memory BFGS; `line_search_fn` is None (fixed steps) or "strong_wolfe"."""

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # -- all parameters as one vector
    # --------------------------------------------------------------------------------

    def _pieces(self, memory: Callable = storage_array) -> list:
        """The parameters' memory, real."""
        arrays = map(memory, self._params)
        return [as_real(a) if a.dtype.kind == "c" else a for a in arrays]

    def _gradient(self) -> Any:
        parts = []
        for p, piece in zip(self._params, self._pieces(), strict=True):
            if p._grad is None:
                parts.append(np.zeros(piece.size, piece.dtype))
            else:
                g = storage_array(p._grad)
                parts.append((as_real(g) if g.dtype.kind == "c" else g).reshape(-1))
        return np.concatenate(parts)

    def _move(self, direction: Any, t: float) -> None:
        """p += t direction."""
        at = 0
        for p, piece in zip(self._params, self._pieces(about_to_be_written), strict=True):
            piece += (direction[at : at + piece.size] * t).reshape(piece.shape)
            at += piece.size
            storage_of(p).bump()

    def _put(self, values: list) -> None:
        pieces = self._pieces(about_to_be_written)
        for p, piece, value in zip(self._params, pieces, values, strict=True):
            piece[...] = value
            storage_of(p).bump()

    # -- one step ---------------------------------------------------------------------------------
    # ------------------

    def step(self, closure: Callable) -> Any:  # type: ignore[override]
        """Up to `max_iter` iterations; `closure` clears the gradients, computes the loss and its
        gradients, and returns it.
        """
        group, own = self.param_groups[0], self.state[self._params[0]]
        own.setdefault("func_evals", 0)
        own.setdefault("n_iter", 0)
        first = evaluated(closure)
        own["func_evals"] += 1
        g, loss = self._gradient(), number(first)
        if float(abs(g).max(initial=0)) <= group["tolerance_grad"]:
            return first
        self._iterate(closure, group, own, g, loss)
        return first

    def _iterate(self, closure: Callable, group: dict, own: dict, g: Any, loss: float) -> None:
        memory = _Memory(own)
        evaluations, change = 1, group["tolerance_change"]
        for k in range(1, group["max_iter"] + 1):
            own["n_iter"] += 1
            if own["n_iter"] > 1:
                own.setdefault("al", [None] * group["history_size"])
            direction = memory.direction(
                g, group["history_size"], own["n_iter"] == 1, own.get("al")
            )
            memory.g, memory.loss = g.copy(), loss
            lr = group["lr"] if isinstance(group["lr"], int) else float(group["lr"])
            t = min(1.0, 1.0 / float(np.add.reduce(np.abs(g)))) * lr if own["n_iter"] == 1 else lr
            slope = float(np.dot(g, direction))
            memory.t = t
            if slope > -change:
                break
            calls = 0
            if group["line_search_fn"] is not None:
                point, calls = self._search(
                    closure,
                    group,
                    direction,
                    Point(0, loss, g, slope),
                    t,
                    group["max_eval"] - evaluations,
                )
                loss, g, t = point.f, point.g, point.t
                self._move(direction, t)
                converged = float(abs(g).max(initial=0)) <= group["tolerance_grad"]
            else:
                self._move(direction, t)
                converged = False
                if k != group["max_iter"]:
                    loss = number(evaluated(closure))
                    g, calls = self._gradient(), 1
                    converged = float(abs(g).max(initial=0)) <= group["tolerance_grad"]
            memory.t = t
            evaluations += calls
            own["func_evals"] += calls
            if (
                k == group["max_iter"]
                or evaluations >= group["max_eval"]
                or converged
                or float(abs(direction * t).max(initial=0)) <= change
                or abs(loss - memory.loss) < change
            ):
                break
        memory.keep(own)

    def _search(
        self, closure: Callable, group: dict, direction: Any, start: Point, t: float, most: int
    ) -> tuple[Point, int]:
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        initial = [piece.copy() for piece in self._pieces()]

        def at(t: float) -> tuple:
            self._move(direction, t)
            loss = number(evaluated(closure))
            g = self._gradient()
            self._put(initial)
            return loss, g

        search = Search(at, direction, most)
        return search.run(start, t), search.calls


class _Memory:
    """The last changes of gradient and parameters, between steps kept in the optimizer's state as
    torch keeps them.
    """

    def __init__(self, own: dict) -> None:
        self.changes = [t._data for t in own.get("old_dirs", [])]
        self.steps = [t._data for t in own.get("old_stps", [])]
        self.inverse = [t._data for t in own.get("ro", [])]
        self.d, self.g = (
            own[k]._data if own.get(k) is not None else None for k in ("d", "prev_flat_grad")
        )
        h = own.get("H_diag", 1)
        self.h = h._data if hasattr(h, "_data") else h
        self.t, self.loss = own.get("t"), own.get("prev_loss")

    def keep(self, own: dict) -> None:
        """Put it into the state."""
        own["d"], own["t"] = wrap(self.d), self.t
        own["old_dirs"], own["old_stps"] = (
            [wrap(a) for a in self.changes],
            [wrap(a) for a in self.steps],
        )
        own["ro"], own["H_diag"] = (
            [wrap(a) for a in self.inverse],
            (wrap(self.h) if hasattr(self.h, "dtype") else self.h),
        )
        own["prev_flat_grad"], own["prev_loss"] = wrap(self.g), self.loss

    def direction(self, g: Any, size: int, first: bool, weights: Any) -> Any:
        """Minus the approximate inverse Hessian times g, by the two-loop recursion."""
        if first:
            self.changes, self.steps, self.inverse, self.h = [], [], [], 1
            self.d = -g
            return self.d
        y, s = g - self.g, self.d * self.t  # type: ignore[operator]
        ys = np.dot(y, s)
        if ys > 1e-10:
            if len(self.changes) == size:
                del self.changes[0], self.steps[0], self.inverse[0]
            self.changes.append(y)
            self.steps.append(s)
            self.inverse.append(1.0 / ys)
            self.h = ys / np.dot(y, y)
        kept = list(enumerate(zip(self.changes, self.steps, self.inverse, strict=True)))
        d = -g
        for k, (y, s, r) in reversed(kept):
            weight = np.dot(s, d) * r
            weights[k] = wrap(weight)
            d = d - y * weight
        d = d * self.h
        for k, (y, s, r) in kept:
            d = d + s * (weights[k]._data - np.dot(y, d) * r)
        self.d = d
        return d
