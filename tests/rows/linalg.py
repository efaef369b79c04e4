"""Products, linear algebra: solvers, factorizations, norms."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..op_table import COMPLEX, FLOATS, INTS, REAL, Constant, Row
from .reduce import calls

INEXACT = (*REAL, *COMPLEX)
NUMBERS = (*INTS, *FLOATS, *COMPLEX)
LOOSE = {
    "float32": 1e-4,
    "complex64": 1e-4,
    "float64": 1e-12,
    "complex128": 1e-12,
    "gradient": 1e-5,
    "float32 gradient": 1e-3,
    "complex64 gradient": 1e-3,
}
HALF_SUMS = {
    "float16": 4e-3,
    "bfloat16": 3e-2,
    "float16 gradient": 2e-2,
    "bfloat16 gradient": 2e-1,
    "float32": 1e-5,
}


def regular(m: Any, n: int = 3, lead: tuple = ()) -> np.ndarray:
    """Square matrices far from singular."""
    return m((*lead, n, n)) + 4 * np.eye(n, dtype=m.dtype)


def positive(m: Any, n: int = 3, lead: tuple = ()) -> np.ndarray:
    """Positive-definite matrices."""
    a = m((*lead, n, n))
    return (a @ a.conj().swapaxes(-1, -2) + 2 * np.eye(n)).astype(m.dtype)


def pivots(*numbers: int) -> np.ndarray:
    """LAPACK's pivots."""
    return np.array(numbers, np.int32)


def raising(f: Callable, text: str, kind: type = RuntimeError) -> tuple:
    """An error with exactly this text in it."""
    return f, kind, re.escape(text)


def singular(t: Any) -> Any:
    """A matrix without inverse."""
    return t.tensor([[1.0, 2.0], [2.0, 4.0]])


# -- products --------------------------------------------------------------------------------------

MISFIT = "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"
UNLIKE = "expected m1 and m2 to have the same dtype, but got: float != double"
NO_BOOL = "not implemented for 'Bool'"


def two_operands() -> list[Row]:
    return [
        Row(
            "mm",
            calls(
                lambda m: (m((2, 3)), m((3, 4))),
                lambda m: (m((1, 3)), m((3, 1))),
                lambda m: (m((2, 0)), m((0, 3))),
                lambda m: (m((0, 3)), m((3, 2))),
                lambda m: ((m((2, 3)),), {"mat2": m((3, 2))}),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(lambda t: t.mm(t.ones(2, 3), t.ones(2, 3)), MISFIT),
                raising(lambda t: t.mm(t.ones(3), t.ones(3, 3)), "self must be a matrix"),
                raising(lambda t: t.mm(t.ones(3, 3), t.ones(3)), "mat2 must be a matrix"),
                raising(lambda t: t.mm(t.ones(2, 2), t.ones(2, 2, dtype=t.float64)), UNLIKE),
                raising(lambda t: t.mm(*[t.ones(2, 2, dtype=t.bool)] * 2), NO_BOOL),
                (lambda t: t.mm(t.ones(2, 2), 2), TypeError, "must be Tensor, not int"),
            ),
        ),
        Row(
            "mv",
            calls(
                lambda m: (m((2, 3)), m((3,))),
                lambda m: (m((2, 0)), m((0,))),
                lambda m: ((m((2, 3)),), {"vec": m((3,))}),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.mv(t.ones(3, 4), t.ones(3)),
                    "size mismatch, got input (3), mat (3x4), vec (3)",
                ),
                raising(
                    lambda t: t.mv(t.ones(3), t.ones(3)),
                    "vector + matrix @ vector expected, got 1, 1, 1",
                ),
            ),
        ),
        *(
            Row(
                name,
                calls(lambda m: (m((4,)), m((4,))), lambda m: (m((0,)), m((0,)))),
                NUMBERS,
                complex_grad=True,
                tolerance=HALF_SUMS,
                errors=(
                    raising(
                        lambda t, f=name: getattr(t, f)(t.ones(2, 2), t.ones(2)),
                        "1D tensors expected, but got 2D and 1D tensors",
                    ),
                    raising(
                        lambda t, f=name: getattr(t, f)(t.ones(3), t.ones(4)),
                        "inconsistent tensor size, expected tensor [3] and src [4] to have the "
                        "same number of elements, but got 3 and 4 elements respectively",
                    ),
                    raising(
                        lambda t, f=name: getattr(t, f)(t.ones(3), t.ones(3, dtype=t.float64)),
                        "dot : expected both vectors to have same dtype, but found Float and "
                        "Double",
                    ),
                ),
            )
            for name in ("dot", "vdot")
        ),
        Row(
            "outer",
            calls(
                lambda m: (m((2,)), m((3,))),
                lambda m: (m((2,)), np.ones(3, np.int64)),
                lambda m: (m((0,)), m((3,))),
            ),
            ("bool", *NUMBERS),
            complex_grad=True,
            errors=(
                raising(
                    lambda t: t.outer(t.ones(2, 2), t.ones(2)),
                    "outer: Expected 1-D argument self, but got 2-D",
                ),
            ),
        ),
        Row(
            "bmm",
            calls(
                lambda m: (m((2, 2, 3)), m((2, 3, 4))),
                lambda m: (m((0, 2, 3)), m((0, 3, 4))),
                lambda m: (m((2, 2, 0)), m((2, 0, 3))),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.bmm(t.ones(2, 3), t.ones(2, 3, 3)), "batch1 must be a 3D tensor"
                ),
                raising(
                    lambda t: t.bmm(t.ones(2, 3, 3), t.ones(2, 4, 3)),
                    "Expected size for first two dimensions of batch2 tensor to be: [2, 3] but "
                    "got: [2, 4].",
                ),
                raising(
                    lambda t: t.bmm(t.ones(2, 3, 3), t.ones(2, 3, 3, dtype=t.float64)),
                    "expected scalar type Float but found Double",
                ),
            ),
        ),
    ]


def matmuls() -> list[Row]:
    shapes = (
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 2)),
        ((2, 2, 3), (3, 2)),
        ((2, 2, 3), (3,)),
        ((3,), (2, 3, 2)),
        ((2, 3), (2, 3, 2)),
        ((2, 2, 3), (2, 3, 2)),
        ((2, 1, 2, 3), (3, 3, 1)),
        ((1, 2, 3), (2, 3, 2)),
        ((2, 0, 3), (3, 2)),
        ((2, 2, 0), (0, 3)),
        ((0,), (0,)),
        ((0, 2, 3), (0, 3, 1)),
    )
    return [
        Row(
            "matmul",
            calls(*(lambda m, p=p, q=q: (m(p), m(q)) for p, q in shapes)),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            exact_node=False,
            errors=(
                raising(
                    lambda t: t.matmul(t.tensor(1.0), t.ones(2)),
                    "both arguments to matmul need to be at least 1D, but they are 0D and 1D",
                ),
                raising(
                    lambda t: t.ones(2, 2, 3) @ t.ones(2, 3),
                    "mat1 and mat2 shapes cannot be multiplied (4x3 and 2x3)",
                ),
                raising(
                    lambda t: t.ones(2, 2, 3) @ t.ones(3, 3, 3),
                    "The size of tensor a (2) must match the size of tensor b (3) at "
                    "non-singleton dimension 0",
                ),
                raising(
                    lambda t: t.ones(2, 2, 3) @ t.ones(2, 2, 3),
                    "Expected size for first two dimensions of batch2 tensor to be: [2, 3] but "
                    "got: [2, 2].",
                ),
                raising(
                    lambda t: t.ones(2, 2, 3) @ t.ones(2),
                    "size mismatch, got input (4), mat (4x3), vec (2)",
                ),
                raising(lambda t: t.ones(2) @ t.ones(3, 2), "(1x2 and 3x2)"),
                (lambda t: t.ones(2, 2) @ 2, TypeError, "unsupported operand"),
                (lambda t: 2 @ t.ones(2, 2), TypeError, "unsupported operand"),
                (lambda t: t.matmul(t.ones(2, 2), 2), TypeError, "must be Tensor, not int"),
            ),
        ),
        Row(
            "chain_matmul",
            calls(
                lambda m: (m((2, 3)), m((3, 4)), m((4, 1)), m((1, 2))),
                lambda m: (m((2, 3)), m((3, 2))),
                lambda m: (m((2, 3)),),
            ),
            REAL,
            tolerance=HALF_SUMS,
            exact_node=False,
            errors=(
                raising(lambda t: t.chain_matmul(), "Expected one or more matrices"),
                raising(
                    lambda t: t.chain_matmul(t.ones(2, 3), t.ones(2, 3)),
                    "multi_dot(): tensors 0 and 1 with shapes [2, 3] and [2, 3] cannot be "
                    "multiplied",
                ),
            ),
        ),
        Row(
            "linalg.multi_dot",
            calls(
                lambda m: ([m((2, 3)), m((3, 4)), m((4, 1))],),
                lambda m: ([m((3,)), m((3, 4)), m((4, 2))],),
                lambda m: ([m((2, 3)), m((3, 4)), m((4,))],),
                lambda m: ([m((3,)), m((3,))],),
                lambda m: ([m((2, 0)), m((0, 2)), m((2, 3))],),
            ),
            INEXACT,
            complex_grad=True,
            tolerance=LOOSE,
            exact_node=False,
            errors=(
                raising(
                    lambda t: t.linalg.multi_dot([t.ones(2, 2)]),
                    "multi_dot(): expected at least 2 tensors but got 1",
                ),
                raising(
                    lambda t: t.linalg.multi_dot([t.ones(2, 2), t.ones(2, 2, 2)]),
                    "multi_dot(): the last tensor must be 1D or 2D but got 3D",
                ),
                raising(
                    lambda t: t.linalg.multi_dot([t.ones(2, 2), t.ones(2, 2, 2), t.ones(2)]),
                    "multi_dot(): tensor 1 must be 2D but got 3D",
                ),
                raising(
                    lambda t: t.linalg.multi_dot([t.ones(2, 2), t.ones(2, 2, dtype=t.float64)]),
                    "tensor 0 is float and tensor 1 double",
                ),
            ),
        ),
    ]


def sums_with_products() -> list[Row]:
    def with_scales(x: tuple, a: tuple, b: tuple) -> list[Callable]:
        return [
            lambda m: (m(x), m(a), m(b)),
            lambda m: ((m(x), m(a), m(b)), {"beta": 2, "alpha": 3}),
            lambda m: ((m(x), m(a), m(b)), {"beta": 0}),
        ]

    expanded = raising(
        lambda t: t.addmm(t.ones(4, 4), t.ones(3, 2), t.ones(2, 3)),
        "The expanded size of the tensor (3) must match the existing size (4) at non-singleton "
        "dimension 1.  Target sizes: [3, 3].  Tensor sizes: [4, 4]",
    )
    rows = {
        "addmm": ((2, 4), (2, 3), (3, 4)),
        "addmv": ((2,), (2, 3), (3,)),
        "addbmm": ((2, 4), (2, 2, 3), (2, 3, 4)),
        "baddbmm": ((2, 2, 4), (2, 2, 3), (2, 3, 4)),
        "addr": ((2, 3), (2,), (3,)),
    }
    small = {"addmm": (4,), "addmv": (1,), "addbmm": (2, 1), "baddbmm": (4,), "addr": (3,)}
    errors = {
        "addmm": (
            expanded,
            raising(
                lambda t: t.addmm(t.ones(3), t.ones(3), t.ones(2, 3)),
                "mat1 must be a matrix, got 1-D tensor",
            ),
            raising(
                lambda t: t.addmm(t.ones(3), t.ones(3, 2), t.ones(2, 3, dtype=t.float64)),
                "self and mat2 must have the same dtype, but got Float and Double",
            ),
        ),
        "addmv": (
            raising(
                lambda t: t.addmv(t.ones(4), t.ones(3, 2), t.ones(2)),
                "size mismatch, got input (4), mat (3x2), vec (2)",
            ),
        ),
        "addbmm": (
            raising(
                lambda t: t.addbmm(t.ones(3, 3), t.ones(2, 3, 2), t.ones(3, 2, 3)),
                "batch1 and batch2 must have same number of batches, got 2 and 3",
            ),
        ),
        "baddbmm": (
            raising(
                lambda t: t.baddbmm(
                    t.ones(3, 3, dtype=t.float64), t.ones(2, 3, 2), t.ones(2, 2, 3)
                ),
                "Input dtypes must be the same, got: input double, batch1: float, batch2: float",
            ),
        ),
        "addr": (
            raising(
                lambda t: t.addr(t.ones(3, 3), t.ones(3, 3), t.ones(3)),
                "addr: Expected 1-D argument vec1, but got 2-D",
            ),
            raising(
                lambda t: t.addr(*[t.ones(2, dtype=t.int64)] * 3, beta=0.5),
                "For integral input tensors, argument beta must not be a floating point number.",
            ),
        ),
    }
    return [
        Row(
            name,
            calls(
                *with_scales(*shapes), lambda m, s=small[name], r=shapes: (m(s), m(r[1]), m(r[2]))
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=errors[name],
        )
        for name, shapes in rows.items()
    ]


def linear_layers() -> list[Row]:
    linear = "nn.functional.linear"
    return [
        Row(
            linear,
            calls(
                lambda m: (m((2, 3)), m((4, 3)), m((4,))),
                lambda m: (m((2, 3)), m((4, 3))),
                lambda m: (m((2, 2, 3)), m((4, 3)), m((4,))),
                lambda m: (m((2, 2, 3)), m((4, 3))),
                lambda m: (m((3,)), m((4, 3)), m((4,))),
                lambda m: (m((2, 3)), m((3,))),
                lambda m: (m((2, 3)), m((4, 3)), m((1,))),
                lambda m: (m((2, 3)), m((4, 3)), m((2, 1))),
                lambda m: (m((0, 3)), m((4, 3)), m((4,))),
                lambda m: (m((2, 0)), m((4, 0)), m((4,))),
                lambda m: ((m((2, 3)),), {"weight": m((4, 3)), "bias": m((4,))}),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(4, 2)),
                    "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x4)",
                ),
                raising(
                    lambda t: t.nn.functional.linear(t.ones(5, 2, 3), t.ones(4, 2), t.ones(4)),
                    "mat1 and mat2 shapes cannot be multiplied (10x3 and 2x4)",
                ),
                raising(
                    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(4, 3), t.ones(3)),
                    "The expanded size of the tensor (4) must match the existing size (3)",
                ),
                raising(
                    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(4, 3, dtype=t.float64)),
                    "expected m1 and m2 to have the same dtype, but got: float != double",
                ),
                raising(
                    lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(3), t.ones(2)),
                    "mat2 must be a matrix, got 1-D tensor",
                ),
                raising(
                    lambda t: t.nn.functional.linear(t.tensor(1.0), t.ones(4, 2)),
                    "both arguments to linear need to be at least 1D, but they are 0D and 2D",
                ),
                (lambda t: t.nn.functional.linear(t.ones(2, 3), 3), TypeError, "argument 'weight'"),
            ),
        ),
        Row(
            "nn.functional.bilinear",
            calls(
                lambda m: (m((2, 3)), m((2, 4)), m((5, 3, 4)), m((5,))),
                lambda m: (m((2, 3)), m((2, 4)), m((5, 3, 4))),
                lambda m: (m((2, 1, 3)), m((2, 1, 2)), m((2, 3, 2)), m((2,))),
                lambda m: (m((3,)), m((2,)), m((2, 3, 2))),
            ),
            REAL,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.nn.functional.bilinear(t.ones(2, 3), t.ones(3, 4), t.ones(5, 3, 4)),
                    "bilinear(): input batch dimensions do not match at dim 0: got 2 and 3",
                ),
                raising(
                    lambda t: t.nn.functional.bilinear(t.ones(2, 3), t.ones(2, 4), t.ones(5, 2, 4)),
                    "bilinear(): input1 size does not match weight size: got 3 but expected 2",
                ),
            ),
        ),
    ]


def contractions() -> list[Row]:
    equations = {
        "ij,jk->ik": ((2, 3), (3, 4)),
        "bij,bjk->bik": ((2, 2, 3), (2, 3, 2)),
        "bqhd,bkhd->bhqk": ((2, 2, 3, 2), (2, 3, 3, 2)),
        "i,i->": ((3,), (3,)),
        "i,j": ((2,), (3,)),
        "ij->ji": ((2, 3),),
        "ii->i": ((3, 3),),
        "ii": ((3, 3),),
        "iji->j": ((2, 3, 2),),
        "ij->": ((2, 3),),
        "ij,ij->ij": ((2, 3), (2, 3)),
        "ij,kl->": ((2, 3), (2, 2)),
        "...ij,...jk": ((2, 1, 2, 3), (4, 3, 2)),
        "...a,...b->ab...": ((2, 1, 2), (3, 2)),
        "i...->...": ((2, 3),),
        "bn,anm,bm->ba": ((2, 3), (4, 3, 2), (2, 2)),
        "i,i,i->i": ((3,), (1,), (3,)),
        "ij,jk,kl,lm->im": ((2, 3), (3, 4), (4, 2), (2, 3)),
        "baA": ((2, 3, 2),),
        "ij,jk": ((2, 0), (0, 3)),
    }
    bad = {
        "i1,jk->ik": "invalid subscript given at index 1 in the equation string",
        "ij,jk,kl": "fewer operands were provided than specified in the equation",
        "ij": "more operands were provided than specified in the equation",
        "ij,jk->ia": "output subscript a does not appear in the equation for any input operand",
        "ij,jk->ii": "output subscript i appears more than once in the output",
        "ijk,jk": (
            "the number of subscripts in the equation (3) does not match the number of "
            "dimensions (2) for operand 0 and no ellipsis was given"
        ),
        "ij,ik": (
            "subscript i has size 3 for operand 1 which does not broadcast with previously "
            "seen size 2"
        ),
        "ii,jk": "subscript i is repeated for operand 0 but the sizes don't match, 3 != 2",
        "..i,jk": "found '.' for operand 0 that is not part of any ellipsis",
        "...i...,jk": "found '.' for operand 0 for which an ellipsis was already found",
    }
    return [
        Row(
            "einsum",
            calls(
                *(
                    lambda m, e=e, s=s: (e, *[m(shape) for shape in s])
                    for e, s in equations.items()
                ),
                lambda m: (m((2, 3)), [0, 1], m((3, 2)), [1, 2], [2, 0]),
                lambda m: (m((2, 3)), [..., 1], m((3,)), [1]),
                lambda m: ("ij,jk", [m((2, 3)), m((3, 2))]),
            ),
            (*INTS, *FLOATS, *COMPLEX),
            complex_grad=True,
            tolerance={
                "float16": 1e-2,
                "bfloat16": 1e-1,
                "float32": 1e-5,
                "float16 gradient": 1e-1,
                "bfloat16 gradient": 1,
            },
            exact_node=False,
            errors=(
                *(
                    raising(
                        lambda t, e=e: t.einsum(e, t.ones(2, 3), t.ones(3, 4)), f"einsum(): {text}"
                    )
                    for e, text in bad.items()
                ),
                raising(
                    lambda t: t.einsum(t.ones(2), [60]),
                    "subscript in subscript list is not within the valid range [0, 52)",
                    ValueError,
                ),
                raising(
                    lambda t: t.einsum("ij"),
                    "einsum(): must specify the equation string and at least one operand",
                    ValueError,
                ),
            ),
        ),
        Row(
            "einsum",
            calls(
                lambda m: ("ij,ij", m((1, 3)), m((2, 3))),
                lambda m: (" ij , jk -> ki", m((2, 1)), m((3, 2))),
            ),
            REAL,
            complex_grad=True,
            exact_node=False,
        ),
        Row(
            "tensordot",
            calls(
                lambda m: (m((2, 3)), m((3, 4)), 1),
                lambda m: (m((2, 3)), m((2, 3))),
                lambda m: (m((2, 3)), m((3,)), 0),
                lambda m: (m((2, 3, 4)), m((4, 2, 2)), ([0, 2], [1, 0])),
                lambda m: ((m((2, 1)), m((3, 2))), {"dims": ([-1], [0])}),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), 1),
                    "contracted dimensions need to match, but first has size 3 in dim -1 and "
                    "second has size 2 in dim 0",
                ),
                raising(
                    lambda t: t.tensordot(t.ones(2, 3), t.ones(3, 3), 3),
                    "tensordot expects dims < ndim_a or ndim_b, but got dims=3",
                ),
                raising(
                    lambda t: t.tensordot(t.ones(2, 3), t.ones(3, 3), ([1, 0], [0])),
                    "both dimension lists should have same length",
                ),
            ),
        ),
        Row(
            "inner",
            calls(
                lambda m: (m((3,)), m((3,))),
                lambda m: (m((2, 3)), m((4, 3))),
                lambda m: (m((2, 2, 3)), m((3,))),
                lambda m: (m(), m((2,))),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.inner(t.ones(3, 3), t.ones(4)),
                    "inner() the last dimension must match on both input tensors but got shapes "
                    "[3, 3] and [4]",
                ),
            ),
        ),
        Row(
            "kron",
            calls(
                lambda m: (m((2, 3)), m((1, 2))),
                lambda m: (m((2,)), m((2, 3))),
                lambda m: (m((2, 3)), np.ones((2,), np.int64)),
                lambda m: (m((0, 2)), m((2, 2))),
                lambda m: (m(), m((2,))),
            ),
            NUMBERS,
            complex_grad=True,
        ),
        Row(
            "linalg.vecdot",
            calls(
                lambda m: (m((3,)), m((3,))),
                lambda m: ((m((2, 3)), m((1, 3))), {"dim": -1}),
                lambda m: ((m((3, 2)), m((3, 2))), {"dim": 0}),
            ),
            (*FLOATS, *COMPLEX),
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.linalg.vecdot(t.ones(3), t.ones(3, dtype=t.float64)),
                    "Expected x and y to have the same dtype, but found x of type Float and y of "
                    "type Double instead",
                ),
            ),
        ),
        *crosses(),
    ]


def crosses() -> list[Row]:
    length = "linalg.cross: inputs dimension {} must have length 3. Got {}"
    return [
        Row(
            "cross",
            calls(
                lambda m: (m((3,)), m((3,))),
                lambda m: (m((2, 3)), m((2, 3))),
                lambda m: (m((3, 3)), m((1, 3)), 1),
                lambda m: (m((3, 2)), m((3, 2)), 0),
                lambda m: (m((0, 3)), m((0, 3)), -1),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.cross(t.ones(2, 2), t.ones(2, 2)), "no dimension of size 3 in input"
                ),
                raising(
                    lambda t: t.cross(t.ones(2, 3), t.ones(2, 3), 0), length.format(0, "2 and 2")
                ),
            ),
        ),
        Row(
            "linalg.cross",
            calls(lambda m: (m((2, 3)), m((1, 3))), lambda m: ((m((3, 2)), m((3, 2))), {"dim": 0})),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.linalg.cross(t.ones(3), t.ones(2, 3)),
                    "linalg.cross: inputs must have the same number of dimensions.",
                ),
                raising(
                    lambda t: t.linalg.cross(t.ones(2, 4), t.ones(2, 4)),
                    length.format(-1, "4 and 4"),
                ),
            ),
        ),
        Row(
            "trace",
            calls(
                lambda m: (m((3, 3)),),
                lambda m: (m((2, 4)),),
                lambda m: (m((4, 2)),),
                lambda m: (m((0, 2)),),
            ),
            NUMBERS,
            complex_grad=True,
            tolerance=HALF_SUMS,
            errors=(
                raising(
                    lambda t: t.trace(t.ones(3)),
                    "trace: expected a matrix, but got tensor with dim 1",
                ),
            ),
        ),
    ]


# -- inverses, systems -----------------------------------------------------------------------------

SINGULAR = (
    "linalg.inv: The diagonal element 2 is zero, the inversion could not be completed because the "
    "input matrix is singular."
)


def not_square(path: str, name: str, *rest: Any) -> tuple:
    """The error for matrices that should be square."""

    def call(t: Any) -> Any:
        f = t
        for part in path.split("."):
            f = getattr(f, part)
        return f(t.ones(2, 3), *[r(t) if callable(r) else r for r in rest])

    return raising(
        call, f"{name}: A must be batches of square matrices, but they are 2 by 3 matrices"
    )


def inverses() -> list[Row]:
    one = calls(
        lambda m: (regular(m),),
        lambda m: (regular(m, 2, (2, 1)),),
        lambda m: (m((0, 0)),),
        lambda m: (m((0, 2, 2)),),
    )
    whole = raising(
        lambda t: t.linalg.inv(t.ones(2, 2, dtype=t.int64)),
        "linalg.inv: Expected a floating point or complex tensor as input. Got Long",
    )
    failed = (
        raising(lambda t: t.linalg.inv(singular(t)), SINGULAR),
        raising(
            lambda t: t.linalg.inv(t.stack([t.eye(3), t.zeros(3, 3)])),
            "linalg.inv: (Batch element 1): The diagonal element 1 is zero",
        ),
        raising(
            lambda t: t.linalg.inv(t.ones(3)),
            "linalg.inv: The input tensor A must have at least 2 dimensions.",
        ),
    )
    table = {"dtypes": INEXACT, "complex_grad": True, "tolerance": LOOSE}
    return [
        Row("inverse", one, **table, errors=(not_square("inverse", "linalg.inv"),)),
        Row(
            "linalg.inv",
            one,
            **table,
            errors=(not_square("linalg.inv", "linalg.inv"), whole, *failed),
        ),
        Row(
            "linalg.inv_ex",
            one,
            **table,
            errors=(
                raising(
                    lambda t: t.linalg.inv_ex(singular(t), check_errors=True),
                    "linalg.inv_ex: The diagonal element 2 is zero",
                ),
            ),
        ),
        *(
            Row(name, one, **table, errors=(not_square(name, says),))
            for name, says in (("det", "linalg.det"), ("linalg.det", "linalg.det"))
        ),
        Row(
            "det",
            calls(*(lambda m, k=k: (of_rank(m, k),) for k in (1, 2))),
            ("float64",),
        ),
        Row(
            "logdet",
            calls(
                lambda m: (positive(m),), lambda m: ((-np.eye(3, dtype=m.dtype)).view(Constant),)
            ),
            REAL,
            tolerance=LOOSE,
            errors=(not_square("logdet", "logdet"),),
        ),
        *(
            Row(name, one, **table, errors=(not_square(name, "linalg.slogdet"),))
            for name in ("slogdet", "linalg.slogdet")
        ),
        Row(
            "linalg.tensorinv",
            calls(lambda m: ((regular(m, 6).reshape(2, 3, 6),), {"ind": 2})),
            REAL,
            tolerance=LOOSE,
            exact_node=False,
            errors=(
                raising(lambda t: t.linalg.tensorinv(t.ones(2, 3), 0), "strictly positive integer"),
            ),
        ),
        Row(
            "linalg.tensorsolve",
            calls(lambda m: (regular(m, 6).reshape(2, 3, 6), m((2, 3)))),
            REAL,
            tolerance=LOOSE,
            exact_node=False,
        ),
        Row(
            "matrix_exp",
            calls(lambda m: (m((3, 3)),), lambda m: (m((2, 2, 2)),), lambda m: (m((0, 0)),)),
            INEXACT,
            complex_grad=True,
            tolerance=LOOSE,
            errors=(not_square("matrix_exp", "linalg.matrix_exp"),),
        ),
        Row(
            "matrix_power",
            calls(
                *(lambda m, n=n: (regular(m, 2), n) for n in (0, 1, 2, 5, -1, -2)),
                lambda m: (regular(m, 2, (2,)), 3),
                lambda m: (m((0, 0)), 2),
            ),
            INEXACT,
            complex_grad=True,
            tolerance=LOOSE,
            exact_node=False,
            errors=(
                not_square("matrix_power", "linalg.matrix_power", 2),
                (lambda t: t.matrix_power(t.eye(2), 2.0), TypeError, "must be int, not float"),
            ),
        ),
    ]


def of_rank(m: Any, rank: int) -> np.ndarray:
    """A (3, 3) matrix of low rank, in whole numbers."""
    a = np.array([[1, 2, 0], [0, 1, 1], [2, 0, 1]])[:, :rank]
    return (a @ a.T).astype(m.dtype)


def systems() -> list[Row]:
    table = {"dtypes": INEXACT, "complex_grad": True, "tolerance": LOOSE}
    pairs = calls(
        lambda m: (regular(m), m((3, 2))),
        lambda m: (regular(m), m((3,))),
        lambda m: (regular(m, 2, (3, 1)), m((2, 2, 1))),
        lambda m: (regular(m, 2, (2,)), m((2, 2))),
        lambda m: ((regular(m), m((2, 3))), {"left": False}),
        lambda m: (m((0, 3, 3)), m((0, 3, 1))),
        lambda m: (m((0, 0)), m((0, 2))),
    )
    misfit = raising(
        lambda t: t.linalg.solve(t.eye(3), t.ones(2, 3)),
        "linalg.solve: Incompatible shapes of A and B for the equation AX = B (3x3 and 2x3)",
    )
    triangle = [
        lambda m: ((regular(m), m((3, 2))), {"upper": True}),
        lambda m: ((regular(m), m((3, 2))), {"upper": False, "unitriangular": True}),
        lambda m: ((regular(m), m((2, 3))), {"upper": True, "left": False}),
        lambda m: ((regular(m, 2, (4, 1)), m((2, 2, 1))), {"upper": False}),
    ]
    return [
        Row(
            "linalg.solve",
            pairs,
            **table,
            errors=(
                misfit,
                raising(
                    lambda t: t.linalg.solve(singular(t), t.ones(2)),
                    "torch.linalg.solve: The solver failed because the input matrix is singular.",
                ),
                raising(
                    lambda t: t.linalg.solve(t.eye(3), t.ones(3, dtype=t.float64)),
                    "Expected A and B to have the same dtype, but found A of type Float and B of "
                    "type Double instead",
                ),
            ),
        ),
        Row("linalg.solve_ex", pairs, **table),
        Row(
            "linalg.solve_triangular",
            calls(*triangle),
            **table,
            errors=(
                raising(
                    lambda t: t.linalg.solve_triangular(t.ones(2, 3), t.ones(3, 1), upper=True),
                    "A must be batches of square matrices, but they are 2 by 3 matrices",
                ),
                (lambda t: t.linalg.solve_triangular(t.eye(2), t.ones(2, 1)), TypeError, "upper"),
            ),
        ),
        Row(
            "triangular_solve",
            calls(
                lambda m: (m((3, 2)), regular(m)),
                lambda m: ((m((3, 2)), regular(m)), {"upper": False, "transpose": True}),
                lambda m: ((m((3, 2)), regular(m)), {"unitriangular": True}),
                lambda m: (m((2, 2, 1)), regular(m, 2)),
            ),
            **table,
            errors=(
                raising(
                    lambda t: t.triangular_solve(t.ones(2, 1), t.eye(3)),
                    "each A matrix is 3 by 3 but each b matrix is 2 by 1",
                ),
            ),
        ),
        Row(
            "cholesky_solve",
            calls(
                lambda m: (m((3, 2)), np.tril(regular(m)).view(Constant)),
                lambda m: ((m((3, 2)), np.triu(regular(m)).view(Constant)), {"upper": True}),
            ),
            **table,
            errors=(
                raising(
                    lambda t: t.cholesky_solve(t.ones(2, 1), t.eye(3)),
                    "Incompatible matrix sizes for cholesky_solve: each A matrix is 3 by 3 but "
                    "each b matrix is 2 by 1",
                ),
            ),
        ),
        Row(
            "cholesky_inverse",
            calls(
                lambda m: (np.linalg.cholesky(positive(m)),),
                lambda m: (np.linalg.cholesky(positive(m)).conj().T, True),
            ),
            INEXACT,
            grad=False,
            tolerance=LOOSE,
        ),
        *(
            Row(name, factored, **table, errors=errors, exact_node=False)
            for name, factored, errors in lu_solutions()
        ),
        *least_squares(),
    ]


def lu_solutions() -> list[tuple]:
    int64 = raising(
        lambda t: t.linalg.lu_solve(t.eye(2), t.tensor([1, 2]), t.ones(2, 1)),
        "linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32",
    )
    return [
        ("lu_solve", calls(lambda m: (m((3, 2)), regular(m), pivots(2, 2, 3))), ()),
        (
            "linalg.lu_solve",
            calls(
                lambda m: (regular(m), pivots(1, 3, 3), m((3, 2))),
                lambda m: ((regular(m), pivots(1, 3, 3), m((2, 3))), {"left": False}),
                lambda m: ((regular(m), pivots(2, 2, 3), m((3, 2))), {"adjoint": True}),
                lambda m: (
                    (regular(m), pivots(3, 2, 3), m((2, 3))),
                    {"left": False, "adjoint": True},
                ),
            ),
            (int64,),
        ),
    ]


def least_squares() -> list[Row]:
    plain = calls(
        lambda m: (m((4, 2)), m((4, 2))),
        lambda m: (m((2, 3)), m((2, 1))),
        lambda m: (m((2, 4, 2)), m((2, 4))),
    )
    by_values = calls(
        lambda m: ((m((4, 2)), m((4, 1))), {"driver": "gelsd"}),
        lambda m: ((m((4, 2)), m((4, 1))), {"driver": "gelss"}),
        lambda m: ((m((4, 2)), m((4, 1))), {"driver": "gels"}),
    )
    errors = (
        raising(
            lambda t: t.linalg.lstsq(t.ones(3, 2), t.ones(2, 1)),
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2)",
        ),
        raising(
            lambda t: t.linalg.lstsq(t.ones(3, 2), t.ones(3, 1), driver="x"),
            "parameter `driver` should be one of (gels, gelsy, gelsd, gelss)",
        ),
    )
    low = calls(lambda m: (m((3, 2)),), lambda m: (m((2, 2, 3)),), lambda m: (m((0, 2)),))
    with_cutoff = calls(
        lambda m: ((of_rank(m, 2),), {"rtol": 1e-3}),
        lambda m: ((m((3, 3)),), {"atol": 0.5, "rtol": 0.1}),
        lambda m: ((positive(m),), {"hermitian": True}),
    )
    return [
        Row("linalg.lstsq", plain, INEXACT, complex_grad=True, tolerance=LOOSE, errors=errors),
        Row("linalg.lstsq", by_values, INEXACT, complex_grad=True, tolerance=LOOSE),
        Row(
            "linalg.pinv",
            low,
            INEXACT,
            complex_grad=True,
            tolerance=LOOSE,
            errors=(
                raising(
                    lambda t: t.linalg.pinv(t.ones(3)),
                    "linalg.pinv(Float{[3]}): expected a tensor with 2 or more",
                ),
            ),
        ),
        Row("linalg.pinv", with_cutoff, REAL, grad=False, tolerance=LOOSE),
        Row("pinverse", low, INEXACT, complex_grad=True, tolerance=LOOSE),
    ]


# -- factorizations --------------------------------------------------------------------------------


def choleskies() -> list[Row]:
    samples = calls(
        lambda m: (positive(m),),
        lambda m: ((positive(m, 2, (2, 2)),), {"upper": True}),
        lambda m: (m((0, 0)),),
    )
    text = (
        ": The factorization could not be completed because the input is not positive-definite "
        "(the leading minor of order 1 is not positive-definite)."
    )
    batch = raising(
        lambda t: t.linalg.cholesky(t.stack([t.eye(2), -t.eye(2)])),
        "linalg.cholesky: (Batch element 1)",
    )
    return [
        Row(
            "cholesky",
            samples,
            INEXACT,
            grad=False,
            tolerance=LOOSE,
            errors=(raising(lambda t: t.cholesky(-t.eye(3)), f"cholesky{text}"),),
        ),
        Row(
            "linalg.cholesky",
            samples,
            INEXACT,
            grad=False,
            tolerance=LOOSE,
            errors=(
                raising(lambda t: t.linalg.cholesky(-t.eye(3)), f"linalg.cholesky{text}"),
                batch,
            ),
        ),
        Row(
            "linalg.cholesky_ex",
            samples,
            INEXACT,
            grad=False,
            tolerance=LOOSE,
            errors=(
                raising(
                    lambda t: t.linalg.cholesky_ex(-t.eye(3), check_errors=True),
                    f"linalg.cholesky_ex{text}",
                ),
            ),
        ),
    ]


def lus() -> list[Row]:
    samples = calls(
        lambda m: (m((3, 3)),),
        lambda m: (m((2, 4)),),
        lambda m: (m((2, 3, 2)),),
        lambda m: (m((0, 2)),),
    )
    table = {"dtypes": INEXACT, "complex_grad": True, "tolerance": LOOSE}
    no_pivot = "linalg.lu_factor: LU without pivoting is not implemented on the CPU"
    zero = "U[2,2] is zero and using it on lu_solve would result in a division by zero."
    return [
        Row("lu", samples, **table),
        Row(
            "linalg.lu",
            samples,
            **table,
            errors=(
                raising(lambda t: t.linalg.lu(t.ones(2, 3), pivot=False), no_pivot),
                raising(
                    lambda t: t.linalg.lu(t.ones(3)), "Expected tensor with 2 or more dimensions."
                ),
            ),
        ),
        Row(
            "linalg.lu_factor",
            samples,
            **table,
            errors=(
                raising(
                    lambda t: t.linalg.lu_factor(singular(t)), f"torch.linalg.lu_factor: {zero}"
                ),
            ),
        ),
        Row(
            "linalg.lu_factor_ex",
            samples,
            **table,
            errors=(
                raising(
                    lambda t: t.linalg.lu_factor_ex(singular(t), check_errors=True),
                    f"torch.linalg.lu_factor_ex: {zero}",
                ),
            ),
        ),
        Row(
            "lu_unpack",
            calls(
                lambda m: (m((3, 3)), pivots(2, 3, 3)),
                lambda m: (m((2, 3)), pivots(2, 2)),
                lambda m: (m((3, 2)), pivots(1, 3)),
                lambda m: (m((2, 2)), pivots(1, 2), False),
                lambda m: ((m((2, 2)), pivots(1, 2)), {"unpack_pivots": False}),
            ),
            **table,
            errors=(
                raising(
                    lambda t: t.lu_unpack(t.eye(2), t.tensor([1, 3], dtype=t.int32)),
                    "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive.",
                ),
            ),
        ),
    ]


def orthogonal() -> list[Row]:
    table = {"dtypes": INEXACT, "complex_grad": True, "tolerance": LOOSE}
    tall = calls(
        lambda m: (m((3, 2)),),
        lambda m: (m((2, 3)),),
        lambda m: (m((2, 3, 3)),),
        lambda m: (m((3, 0)),),
    )
    modes = calls(
        lambda m: (m((3, 2)), "complete"),
        lambda m: (m((3, 2)), "r"),
        lambda m: ((m((0, 3)),), {"mode": "r"}),
    )
    square = calls(lambda m: (m((2, 3)), "complete"))
    unknown = raising(
        lambda t: t.linalg.qr(t.ones(2, 2), mode="x"),
        "qr received unrecognized mode 'x' but expected one of 'reduced' (default), 'r', or "
        "'complete'",
    )
    not_kept = raising(
        lambda t: t.linalg.qr(t.ones(2, 2, requires_grad=True), "r")[1].sum().backward(),
        "The derivative of linalg.qr depends on Q, which is not computed when mode='r'.",
    )
    too_tall = raising(
        lambda t: t.linalg.qr(t.ones(3, 2, requires_grad=True), "complete")[1].sum().backward(),
        "The QR decomposition is not differentiable when mode='complete' and nrows > ncols.",
    )
    name = "torch.linalg.householder_product"
    return [
        Row("linalg.qr", tall, **table, errors=(unknown, not_kept, too_tall)),
        Row("linalg.qr", modes, INEXACT, grad=False, tolerance=LOOSE),
        Row("linalg.qr", square, **table),
        Row("qr", tall, **table),
        Row("qr", calls(lambda m: (m((3, 2)), False)), INEXACT, grad=False, tolerance=LOOSE),
        Row(
            "geqrf",
            tall,
            INEXACT,
            grad=False,
            tolerance=LOOSE,
            errors=(
                raising(
                    lambda t: t.geqrf(t.ones(3, 2, requires_grad=True))[0].sum().backward(),
                    "the derivative for 'geqrf' is not implemented.",
                    NotImplementedError,
                ),
            ),
        ),
        Row(
            "linalg.householder_product",
            calls(
                lambda m: (m((3, 2)), m((2,))),
                lambda m: (m((3, 3)), m((1,))),
                lambda m: (m((2, 3, 2)), m((2, 2))),
                lambda m: (m((3, 2)), m((0,))),
            ),
            **table,
            errors=(
                raising(
                    lambda t: t.linalg.householder_product(t.ones(2, 3), t.ones(2)),
                    f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]",
                ),
            ),
        ),
        Row("orgqr", calls(lambda m: (m((3, 2)), m((2,)))), **table),
        Row(
            "ormqr",
            calls(
                lambda m: (m((3, 2)), m((2,)), m((3, 2))),
                lambda m: ((m((3, 2)), m((2,)), m((2, 3))), {"left": False, "transpose": True}),
            ),
            **table,
            exact_node=False,
        ),
    ]


def spectra() -> list[Row]:
    table = {"dtypes": INEXACT, "tolerance": LOOSE}
    rectangles = calls(
        lambda m: (m((3, 2)),),
        lambda m: (m((2, 3)),),
        lambda m: (m((2, 2, 2)),),
        lambda m: (m((0, 2)),),
    )
    thin = calls(
        lambda m: (m((3, 2)), False), lambda m: (m((2, 3)), False), lambda m: (m((2, 2, 2)), False)
    )
    hermitian = calls(
        lambda m: (positive(m),), lambda m: (positive(m, 2, (2,)), "U"), lambda m: (m((0, 2, 2)),)
    )
    square = calls(lambda m: (m((3, 3)),), lambda m: (m((2, 2, 2)),), lambda m: (m((0, 0)),))
    not_finite = raising(
        lambda t: t.linalg.svd(t.full((2, 2), t.nan)),
        "linalg.svd: The algorithm failed to converge because the input matrix contained "
        "non-finite values.",
    )
    infinite = raising(
        lambda t: t.linalg.eig(t.full((2, 2), t.inf)),
        "torch.linalg.eig: input tensor should not contain infs or NaNs.",
    )
    triangle = raising(
        lambda t: t.linalg.eigh(t.eye(2), UPLO="x"),
        "Expected UPLO argument to be 'L' or 'U', but got x",
    )
    phase = raising(
        lambda t: (
            t.linalg.svd(t.tensor([[1, 2j], [3j, 1]], requires_grad=True))[0].real.sum().backward()
        ),
        "svd_backward: The singular vectors in the complex case are specified up to "
        "multiplication by e^{i phi}.",
    )
    return [
        Row("linalg.svd", thin, REAL, tolerance=LOOSE, values=False, errors=(not_finite, phase)),
        Row("linalg.svd", rectangles, INEXACT, grad=False, values=False),
        Row(
            "svd",
            calls(lambda m: (m((3, 2)),), lambda m: (m((2, 3)),)),
            REAL,
            tolerance=LOOSE,
            values=False,
            exact_node=False,
        ),
        Row(
            "svd",
            calls(
                lambda m: ((m((3, 2)),), {"some": False}),
                lambda m: ((m((3, 2)),), {"compute_uv": False}),
            ),
            INEXACT,
            grad=False,
            values=False,
        ),
        Row("linalg.svdvals", rectangles, complex_grad=True, **table),
        Row(
            "linalg.eigh",
            hermitian,
            INEXACT,
            grad=False,
            values=False,
            errors=(triangle, not_square("linalg.eigh", "linalg.eigh")),
        ),
        Row("linalg.eigvalsh", hermitian, grad=False, **table),
        Row("linalg.eig", square, INEXACT, grad=False, values=False, errors=(infinite,)),
        Row("linalg.eigvals", square, complex_grad=True, **table),
        Row(
            "linalg.ldl_factor", calls(lambda m: (positive(m),)), REAL, grad=False, tolerance=LOOSE
        ),
        Row(
            "linalg.ldl_factor_ex",
            calls(lambda m: ((positive(m),), {"hermitian": True})),
            INEXACT,
            grad=False,
            tolerance=LOOSE,
            exact_node=False,
        ),
        Row(
            "linalg.ldl_solve",
            calls(lambda m: (np.diag(np.arange(1, 4)).astype(m.dtype), pivots(1, 2, 3), m((3, 2)))),
            INEXACT,
            grad=False,
            tolerance=LOOSE,
            exact_node=False,
        ),
        *(
            Row(
                name,
                calls(lambda m: (m((4, 3)), 2)),
                REAL,
                grad=False,
                values=False,
                exact_node=False,
            )
            for name in ("svd_lowrank", "pca_lowrank")
        ),
    ]


# -- norms -----------------------------------------------------------------------------------------


def norms() -> list[Row]:
    orders = ("fro", "nuc", 1, -1, 2, -2, float("inf"), float("-inf"))
    whole = "linalg.matrix_norm: Order 3 not supported."
    inside = calls(*(lambda m, o=o: (m((2, 3)), o) for o in orders))
    kept = calls(
        *(lambda m, o=o: ((m((2, 2, 3)), o), {"dim": (0, 2), "keepdim": True}) for o in orders),
        lambda m: (m((0, 2)), "nuc"),
        lambda m: (m((0, 2)), 1),
    )
    table = {"dtypes": INEXACT, "complex_grad": True, "tolerance": LOOSE}
    three = raising(
        lambda t: t.linalg.norm(t.ones(2, 3, 3), ord=2),
        "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got 3D.",
    )
    return [
        Row(
            "linalg.matrix_norm",
            inside,
            **table,
            errors=(
                raising(lambda t: t.linalg.matrix_norm(t.ones(3, 3), 3), whole),
                raising(
                    lambda t: t.linalg.matrix_norm(t.ones(3, 3), dim=(0, 0)),
                    "dims must be different. Got (0, 0)",
                ),
                raising(
                    lambda t: t.linalg.matrix_norm(t.ones(3)), "must have at least 2 dimensions"
                ),
            ),
        ),
        Row("linalg.matrix_norm", kept, **table),
        Row(
            "linalg.norm",
            calls(
                *(lambda m, o=o: (m((2, 3)), o) for o in orders),
                lambda m: (m((2, 2)),),
                lambda m: (m((3,)), 3),
                lambda m: (m((2, 3)), 2, 1),
                lambda m: (m((2, 2, 3)), None, (0, 1)),
                lambda m: (m(),),
            ),
            **table,
            errors=(three,),
        ),
        Row(
            "linalg.cond",
            calls(
                *(lambda m, o=o: (regular(m), o) for o in (None, *orders)),
                lambda m: (m((2, 3)),),
                lambda m: (regular(m, 2, (2,)), "fro"),
            ),
            **table,
            exact_node=False,
            errors=(
                raising(
                    lambda t: t.linalg.cond(t.ones(2, 3), "fro"),
                    "linalg.cond(ord=fro): A must be batches of square",
                ),
                raising(
                    lambda t: t.linalg.cond(t.eye(2), "x"),
                    "linalg.cond got an invalid norm type: x",
                ),
            ),
        ),
        Row(
            "linalg.matrix_rank",
            calls(
                lambda m: (m((3, 2)),),
                lambda m: (of_rank(m, 2),),
                lambda m: ((of_rank(m, 1),), {"hermitian": True}),
                lambda m: ((m((2, 2, 2)),), {"atol": 1.0, "rtol": 0.1}),
                lambda m: (m((2, 2)), 0.5),
                lambda m: (m((0, 2)),),
            ),
            REAL,
            grad=False,
            errors=(
                raising(
                    lambda t: t.linalg.matrix_rank(t.ones(2, dtype=t.float32)),
                    "must have at least 2 dimensions",
                ),
            ),
        ),
        Row(
            "linalg.vander",
            calls(
                lambda m: (m((3,)),),
                lambda m: ((m((2, 2)),), {"N": 4}),
                lambda m: ((m(),), {"N": 2}),
            ),
            (*INTS, *INEXACT),
            complex_grad=True,
            tolerance=LOOSE,
            errors=(
                raising(lambda t: t.linalg.vander(t.ones(3), N=0), "N must be greater than 1."),
            ),
        ),
        Row(
            "linalg.diagonal",
            calls(
                lambda m: (m((2, 3)),),
                lambda m: ((m((2, 3, 2)),), {"offset": 1, "dim1": 0, "dim2": 1}),
            ),
            NUMBERS,
            complex_grad=True,
        ),
    ]


def removed() -> list[Row]:
    return [
        Row(
            name,
            calls(),
            REAL,
            grad=False,
            errors=(
                raising(
                    lambda t, f=name: getattr(t, f)(
                        *[t.eye(2)] * (2 if f in ("solve", "lstsq") else 1)
                    ),
                    "deprecated since version 1.9 and is now removed",
                ),
            ),
        )
        for name in ("symeig", "eig", "solve", "lstsq", "matrix_rank")
    ]


ROWS = [
    *two_operands(),
    *matmuls(),
    *sums_with_products(),
    *linear_layers(),
    *contractions(),
    *inverses(),
    *systems(),
    *choleskies(),
    *lus(),
    *orthogonal(),
    *spectra(),
    *norms(),
    *removed(),
]
