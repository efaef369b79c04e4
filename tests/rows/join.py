"""Joining, splitting, repeating, reversing, combining."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..op_table import ALL, INTS, Row
from .shape import dim_error, row

NUMBERS = tuple(name for name in ALL if name != "bool")


def joining() -> list[Row]:
    sizes = (RuntimeError, "Sizes of tensors must match except in dimension")
    ranks = (RuntimeError, "Tensors must have same number of dimensions: got 2 and 1")
    return [
        row(
            "cat",
            lambda m: ([m((2, 3)), m((1, 3))],),
            lambda m: ((m((2, 3)), m((2, 1)), m((2, 3))), 1),
            lambda m: (([m((2,)), m((2,))],), {"dim": -1}),
            lambda m: ([m((2, 3)), np.zeros((0,), m.dtype)],),
            lambda m: ([m((2, 0)), m((2, 3))], 1),
            lambda m: ([m((3,))],),
            errors=(
                (lambda t: t.cat([]), ValueError, "expected a non-empty list of Tensors"),
                (lambda t: t.cat([t.ones(2, 3), t.ones(2, 2)]), *sizes),
                (lambda t: t.cat([t.ones(2, 3), t.ones(3)]), *ranks),
                (lambda t: t.cat([t.tensor(1.0)]), RuntimeError, "zero-dimensional tensor .at pos"),
                (lambda t: t.cat(t.ones(2, 3)), TypeError, "must be tuple of Tensors, not Tensor"),
                (lambda t: t.cat([t.ones(2), 3]), TypeError, "Tensor"),
                dim_error(lambda t: t.cat([t.ones(2, 3), t.ones(2, 3)], 2)),
            ),
        ),
        row(
            "cat",  # of several dtypes
            lambda m: ([m((2,)), m.ints((1,))],),
            lambda m: ([m.bools((2,)), m((1,))],),
        ),
        row(
            "stack",
            lambda m: ([m((2, 3)), m((2, 3))],),
            lambda m: ([m((2, 3)), m((2, 3))], 1),
            lambda m: (((m(()), m(()), m(())),), {"dim": -1}),
            lambda m: ([m((0, 2))], 2),
            lambda m: ([m((2,)), m.ints((2,))],),
            errors=(
                (lambda t: t.stack([]), RuntimeError, "stack expects a non-empty TensorList"),
                (
                    lambda t: t.stack([t.ones(2), t.ones(3)]),
                    RuntimeError,
                    r"stack expects each tensor to be equal size, but got \[2\] at entry 0 and \[3",
                ),
                dim_error(lambda t: t.stack([t.ones(2)], 2)),
                (
                    lambda t: t.stack(t.ones(2, 3)),
                    TypeError,
                    "must be tuple of Tensors, not Tensor",
                ),
            ),
        ),
        row(
            "hstack",
            lambda m: ([m((2, 3)), m((2, 1))],),
            lambda m: ((m((2,)), m((1,))),),
            lambda m: ([m(()), m((1,))],),
            errors=(
                (lambda t: t.hstack([]), RuntimeError, "hstack expects a non-empty TensorList"),
                (lambda t: t.hstack([t.ones(2, 3), t.ones(3)]), *ranks),
            ),
        ),
        row(
            "vstack",
            lambda m: ([m((2, 3)), m((3,))],),
            lambda m: ([m(()), m((1,))],),
            errors=((lambda t: t.vstack([t.ones(2), t.ones(3)]), *sizes),),
        ),
        row("dstack", lambda m: ([m((2,)), m((2,))],), lambda m: ([m((2, 3)), m((2, 3, 2))],)),
        row(
            "column_stack",
            lambda m: ([m((2,)), m((2, 3))],),
            lambda m: ([m(()), m(())],),
            errors=((lambda t: t.column_stack([t.ones(2), t.ones(3)]), *sizes),),
        ),
        row(
            "block_diag",
            lambda m: (m((2, 3)), m((1, 2))),
            lambda m: (m((2,)), m(()), m((2, 2))),
            lambda m: (m((2, 0)), m((1, 1))),
            lambda m: (m((2, 1)), m.ints((1, 2))),
            errors=(
                (
                    lambda t: t.block_diag(t.ones(1, 1, 1)),
                    RuntimeError,
                    "must have 2 or fewer dimens",
                ),
                (lambda t: t.block_diag(t.ones(2), 3), TypeError, "expected Tensor as element 1"),
            ),
        ),
        *[
            row(
                f"atleast_{rank}d",
                lambda m: (m(()),),
                lambda m: (m((2,)), m((2, 3)), m((1, 2, 3))),
                lambda m: ([m(()), m((2,))],),
            )
            for rank in (1, 2, 3)
        ],
    ]


def splitting() -> list[Row]:
    total = (RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 3")
    even = (
        lambda m: (m((5, 2)), 2),
        lambda m: (m((2, 5)), 3, 1),
        lambda m: ((m((4,)), 2), {"dim": -1}),
        lambda m: (m((0, 2)), 2),
    )
    listed = (lambda m: (m((5, 2)), [2, 3]), lambda m: (m((2, 3)), (1, 0, 2), -1))
    no_dimension = (RuntimeError, "expects at least a 1-dimensional tensor")
    return [
        row(
            "split",
            *even,
            *listed,
            errors=(
                (lambda t: t.ones(3).split([1, 1]), *total),
                (
                    lambda t: t.ones(3).split(-1),
                    RuntimeError,
                    "split expects split_size be non-nega",
                ),
                (
                    lambda t: t.ones(3).split(0),
                    RuntimeError,
                    "split_size can only be 0 if dimension",
                ),
                (lambda t: t.ones(3).split(1.5), TypeError, "must be tuple of ints, not float"),
                (lambda t: t.tensor(1.0).split(1), *no_dimension),
                dim_error(lambda t: t.ones(2, 3).split(1, 2)),
            ),
        ),
        row("Tensor.split", even[0], listed[1]),
        row(
            "split_with_sizes",
            *listed,
            errors=(
                (lambda t: t.split_with_sizes(t.ones(3), [1, 1]), *total),
                (
                    lambda t: t.split_with_sizes(t.ones(3), [-1, 4]),
                    RuntimeError,
                    "split_with_sizes expects split_sizes have only non-negative entries",
                ),
            ),
        ),
        row("unsafe_split", *even[:3], exact_node=False),
        row("unsafe_split_with_sizes", *listed),
        row(
            "chunk",
            *even[:3],
            lambda m: (m((5,)), 4),
            lambda m: (m((0, 2)), 3),
            errors=(
                (
                    lambda t: t.ones(3).chunk(0),
                    RuntimeError,
                    "chunk expects `chunks` to be greater th",
                ),
                (lambda t: t.tensor(1.0).chunk(1), *no_dimension),
                dim_error(lambda t: t.ones(2, 3).chunk(1, 2)),
            ),
        ),
        row("unsafe_chunk", *even[:3]),
        row(
            "tensor_split",
            lambda m: (m((5, 2)), 3),
            lambda m: (m((2, 5)), (1, 4), 1),
            lambda m: (m((5,)), [3, 1]),
            lambda m: (m((3,)), (1, 9)),
            lambda m: (m((5,)), np.array([2, 3])),
            lambda m: (m((5,)), np.array(2)),
            errors=(
                (
                    lambda t: t.ones(3).tensor_split(0),
                    RuntimeError,
                    "number of sections must be large",
                ),
                (lambda t: t.tensor(1.0).tensor_split(1), RuntimeError, "at least a 1-dimensional"),
                dim_error(lambda t: t.ones(2, 3).tensor_split(1, 2)),
            ),
        ),
        *[along(name, dim) for dim, name in enumerate(("vsplit", "hsplit", "dsplit"))],
    ]


def along(name: str, dim: int) -> Row:
    """The row of a split along one dimension."""
    rank = max(dim + 1, 2)
    shape = (4,) * rank
    few = {"vsplit": 2, "hsplit": 1, "dsplit": 3}[name]
    return row(
        name,
        lambda m: (m(shape), 2),
        lambda m: (m(shape), (1, 3)),
        *([lambda m: (m((4,)), 2)] if name == "hsplit" else []),
        errors=(
            (
                lambda t: getattr(t, name)(t.ones(shape), 3),
                RuntimeError,
                f"torch.{name} attempted to split along dimension {dim}, but the size of the dimen",
            ),
            (
                lambda t: getattr(t, name)(t.ones((4,) * (few - 1)), 1),
                RuntimeError,
                f"torch.{name} requires a tensor with at least {few} dimension",
            ),
        ),
    )


def repeated() -> list[Row]:
    return [
        row(
            "Tensor.repeat",
            lambda m: (m((2, 3)), 2, 1),
            lambda m: (m((3,)), (2, 3)),
            lambda m: (m(()), 3),
            lambda m: (m(()), ()),
            lambda m: (m((2,)), 0),
            lambda m: (m((0, 2)), 2, 2),
            errors=(
                (
                    lambda t: t.ones(2, 3).repeat(2),
                    RuntimeError,
                    "Number of dimensions of repeat dims",
                ),
                (
                    lambda t: t.ones(2).repeat(-1),
                    RuntimeError,
                    "Trying to create tensor with negative",
                ),
            ),
        ),
        row(
            "tile",
            lambda m: (m((2, 3)), (2,)),
            lambda m: (m((3,)), (2, 1)),
            lambda m: ((m(()),), {"dims": (2,)}),
        ),
        row(
            "repeat_interleave",
            lambda m: (m((2, 3)), 2),
            lambda m: (m((2, 3)), 2, 1),
            lambda m: ((m((2, 3)), np.array([1, 2])), {"dim": 0}),
            lambda m: ((m((2, 3)), np.array([1, 0, 2]), -1), {"output_size": 3}),
            lambda m: ((m((3,)), np.array([2])), {"dim": 0}),
            lambda m: (m((3,)), np.array(2)),
            lambda m: (m(()), 3),
            errors=(
                (
                    lambda t: t.ones(3).repeat_interleave(-1),
                    RuntimeError,
                    "Repeats must be non-nega",
                ),
                (
                    lambda t: t.ones(3).repeat_interleave(t.tensor([1, 2])),
                    RuntimeError,
                    "repeats must have the same size as input along dim",
                ),
                (
                    lambda t: t.ones(1).repeat_interleave(t.tensor([-1])),
                    RuntimeError,
                    "repeats can not be negative",
                ),
                (
                    lambda t: t.ones(3).repeat_interleave(2.0),
                    TypeError,
                    "invalid combination of arg",
                ),
                dim_error(lambda t: t.ones(2, 3).repeat_interleave(2, 2)),
            ),
        ),
        row(
            "repeat_interleave",
            lambda m: (m((3,), 0, 3).astype(np.int64),),
            dtypes=INTS,
            grad=False,
        ),
    ]


def turned() -> list[Row]:
    return [
        row(
            "flip",
            lambda m: (m((2, 3)), (0,)),
            lambda m: (m((2, 3)), (0, -1)),
            lambda m: ((m((3,)),), {"dims": [0]}),
            lambda m: (m(()), ()),
            lambda m: (m((0, 2)), (1,)),
            errors=(
                (lambda t: t.ones(2, 3).flip(0, 0), RuntimeError, "dim 0 appears multiple times"),
                dim_error(lambda t: t.ones(2, 3).flip(2)),
            ),
        ),
        row(
            "fliplr",
            lambda m: (m((2, 3)),),
            errors=((lambda t: t.fliplr(t.ones(2)), RuntimeError, "Input must be >= 2-d."),),
        ),
        row(
            "flipud",
            lambda m: (m((2, 3)),),
            lambda m: (m((2,)),),
            errors=((lambda t: t.flipud(t.tensor(1.0)), RuntimeError, "Input must be >= 1-d."),),
        ),
        row(
            "roll",
            lambda m: (m((2, 3)), 1),
            lambda m: (m((2, 3)), -1, 1),
            lambda m: ((m((2, 3)), (1, 5)), {"dims": (0, -1)}),
            lambda m: (m((2, 3)), (1, 1), (1, 1)),
            lambda m: (m(()), 1),
            lambda m: (m((0, 2)), 1, 0),
            errors=(
                (
                    lambda t: t.ones(2, 3).roll((1, 2), 0),
                    RuntimeError,
                    "shifts and dimensions must al",
                ),
                (lambda t: t.ones(2, 3).roll(()), RuntimeError, "`shifts` required"),
                dim_error(lambda t: t.ones(2, 3).roll(1, 2)),
            ),
        ),
        row(
            "rot90",
            lambda m: (m((2, 3)),),
            lambda m: (m((2, 3)), 2),
            lambda m: (m((2, 3)), -1, (1, 0)),
            lambda m: ((m((2, 3, 2)),), {"k": 3, "dims": (0, -1)}),
            lambda m: (m((2, 3)), 4),
            errors=(
                (lambda t: t.ones(2).rot90(), RuntimeError, "expected total dims >= 2"),
                (
                    lambda t: t.ones(2, 3).rot90(1, (0, 0)),
                    RuntimeError,
                    "rotation dims to be differe",
                ),
                (
                    lambda t: t.ones(2, 3).rot90(1, (0,)),
                    RuntimeError,
                    "expected total rotation dims",
                ),
            ),
        ),
    ]


def combined() -> list[Row]:
    vectors: tuple[Callable, ...] = (
        lambda m: (m((2,)), m((3,))),
        lambda m: (m((2,)), m((1,)), m((3,))),
        lambda m: (m((3,)),),
    )
    return [
        row(
            "meshgrid",
            lambda m: ((m((2,)), m((3,))), {"indexing": "ij"}),
            lambda m: ((m((2,)), m((3,)), m(())), {"indexing": "xy"}),
            lambda m: (([m((2,)), m((0,))],), {"indexing": "xy"}),
            lambda m: ((m((2,)),), {"indexing": "xy"}),
            exact_node=False,  # a view of a view: torch's names the last of its own
            errors=(
                (
                    lambda t: t.meshgrid(t.ones(2), indexing="no"),
                    RuntimeError,
                    'indexing must be one of "xy" or "ij", but received: no',
                ),
                (
                    lambda t: t.meshgrid(t.ones(2), t.tensor([1]), indexing="ij"),
                    RuntimeError,
                    "meshgrid expects all tensors to have the same dtype",
                ),
                (
                    lambda t: t.meshgrid(t.ones(2, 2), indexing="ij"),
                    RuntimeError,
                    "Expected 0D or 1D tensor in the tensor list",
                ),
                (
                    lambda t: t.meshgrid(indexing="ij"),
                    RuntimeError,
                    "expects a non-empty TensorList",
                ),
            ),
        ),
        row(
            "cartesian_prod",
            *vectors,
            errors=(
                (
                    lambda t: t.cartesian_prod(t.ones(2, 2)),
                    RuntimeError,
                    "Expect a 1D vector, but got",
                ),
            ),
        ),
        row(
            "combinations",
            lambda m: (m((4,)),),
            lambda m: (m((4,)), 3),
            lambda m: ((m((3,)),), {"with_replacement": True}),
            lambda m: (m((2,)), 3),
            lambda m: (m((3,)), 1),
            errors=(
                (
                    lambda t: t.combinations(t.ones(2, 2)),
                    RuntimeError,
                    "Expect a 1D vector, but got",
                ),
                (
                    lambda t: t.combinations(t.ones(2), -1),
                    RuntimeError,
                    "Expect a non-negative number",
                ),
            ),
        ),
        row(
            "vander",
            lambda m: (m((3,)),),
            lambda m: (m((3,)), 2),
            lambda m: ((m((2,)),), {"N": 4, "increasing": True}),
            lambda m: (m((2,)), 0),
            dtypes=NUMBERS,
            exact_node=False,
            errors=(
                (
                    lambda t: t.vander(t.ones(2, 2)),
                    RuntimeError,
                    "x must be a one-dimensional tensor",
                ),
                (lambda t: t.vander(t.ones(2), -1), RuntimeError, "N must be non-negative"),
            ),
        ),
    ]


ROWS = [*joining(), *splitting(), *repeated(), *turned(), *combined()]
