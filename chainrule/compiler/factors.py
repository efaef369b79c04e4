"""Triangular systems by BLAS, and the first half of QR, as records."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .foreign import Function, copy_record, cores, found, loop_params, ufunc_of
from .lapack import call_params
from .program import Instruction, Value
from .routines import Routine
from .runtime import Record, kernel
from .views import contiguous, dense

if TYPE_CHECKING:
    from .plan import Planner

LETTERS = {"f4": "s", "f8": "d", "c8": "c", "c16": "z"}


class Triangular(Routine):
    """`triangular(A, B, lower, unit)`: B is copied, and solved for where the copy is. Row-major
    arrays are their own transposes to BLAS: it solves X^T A^T = B^T.
    """

    def __init__(self, i: Instruction) -> None:
        self.instruction = i

    def records(self, planner: Planner, memory: int) -> list[Record]:
        i = self.instruction
        A, B, lower, unit = i.args
        dtype, out = i.output.dtype, planner.slot(i.output)
        size, (n, k) = dtype.itemsize, B.shape[-2:]
        a, b = planner.place_of(A), planner.place_of(B)
        rows = [[s * size for s in r] for r in (contiguous(B.shape), b.strides)]
        copied = copy_record(
            out, planner.slot(b.root), size, B.shape, rows[0], rows[1], 0, b.offset * size
        )
        many = math.prod(B.shape[:-2])
        one = 1 + 0j if dtype.kind == "c" else 1.0
        given = ["R", "U" if lower else "L", "N", "U" if unit else "N", k, n, one]
        given += [(0, a.offset * size, n * n * size), n, (1, 0, n * k * size), k]
        params = call_params(LETTERS[dtype.str[1:]] + "trsm", given)
        slots = [planner.slot(a.root), out]
        return [copied, Record(kernel("cr.call"), slots, params, many, blas=True)]


class Reflected(Routine):
    """`qr_raw(A)`: a copy of A, overwritten by Householder vectors and R, and their factors."""

    def __init__(self, i: Instruction, function: Function) -> None:
        self.instruction, self.function = i, function

    def records(self, planner: Planner, memory: int) -> list[Record]:
        (x,), (made, tau) = self.instruction.args, self.instruction.outputs
        place, size = planner.place_of(x), x.dtype.itemsize
        to, source = planner.slot(made), planner.slot(place.root)
        rows = [[s * size for s in r] for r in (contiguous(x.shape), place.strides)]
        copied = copy_record(to, source, size, x.shape, rows[0], rows[1], 0, place.offset * size)
        f = ufunc_of("gufuncs.qr_r_raw")
        lead, counts, _ = cores(f, [x], [tau])
        n, k = x.shape[-1], tau.shape[-1]
        steps = [math.prod(x.shape[-2:]) * size, k * size, n * size, size, size]
        params = loop_params(self.function, [lead, *counts], [0, 0], [], [], steps)
        return [copied, Record(kernel("cr.loop"), [to, planner.slot(tau)], params, lead)]


def routine(i: Instruction, planner: Planner) -> Routine | None:
    """The routine of an instruction of linear algebra; None for anything else."""
    if i.name == "triangular":
        A, B = i.args[:2]
        fits = isinstance(A, Value) and isinstance(B, Value) and B.size and A.size
        fits = fits and A.dtype == B.dtype == i.output.dtype and A.dtype.str[1:] in LETTERS
        return Triangular(i) if fits and dense(planner.place_of(A)) else None
    if i.name == "qr_raw" and i.args[0].size:
        x, tau = i.args[0], i.outputs[1]
        function = found(ufunc_of("gufuncs.qr_r_raw"), [x.dtype], [tau.dtype])
        return None if function is None else Reflected(i, function)
    return None
