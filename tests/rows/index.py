"""Reading and writing by index, diagonals and triangles, lookups in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..op_table import ALL, COMPLEX, FLOATS, INTS, REAL, Row

NOT_BOOL = (*INTS, *FLOATS, *COMPLEX)


def calls(*build: Callable) -> Callable:
    """Each of the functions makes one call's arguments: a tuple, or a tuple and a dict."""

    def samples(make: Any) -> Iterator:
        for f in build:
            given = f(make)
            yield given if len(given) == 2 and isinstance(given[1], dict) else (given, {})

    return samples


def row(name: str, *build: Callable, dtypes: tuple = ALL, errors: tuple = (), **rest: Any) -> Row:
    """A row for data movement: every dtype, gradients of complex numbers too."""
    return Row(
        name,
        calls(*build),
        dtypes,
        complex_grad=rest.pop("complex_grad", "complex64" in dtypes),
        errors=errors,
        **rest,
    )


def ints(*values: Any) -> np.ndarray:
    """An int64 array of the values."""
    return np.array(values, np.int64)


def apart(make: Any, shape: tuple) -> np.ndarray:
    """Numbers of which no two are close, so that the largest is clearly so."""
    count = int(np.prod(shape))
    values = make.random.permutation(count).reshape(shape) - count // 2
    return np.asarray(values).astype(make.dtype)


def between(make: Any) -> Any:
    """What to add to numbers that are apart, so that none equals another that is not moved."""
    return make.dtype.type(0.25)


def reading() -> list[Row]:
    index = IndexError
    return [
        row(
            "Tensor.__getitem__",
            lambda m: (m((3, 4)), 1),
            lambda m: (m((3, 4)), -1),
            lambda m: (m((5,)), 2),
            lambda m: (m((3, 4)), (1, 2)),
            lambda m: (m((3, 4)), (slice(None), 0)),
            lambda m: (m((3, 4)), slice(0, 2)),
            lambda m: (m((5,)), slice(-4, None, 2)),
            lambda m: (m((3, 4)), (slice(5, 9), slice(1, 3))),
            lambda m: (m((3, 4)), None),
            lambda m: (m(()), (..., None)),
            lambda m: (m((2, 3, 4)), (..., 1)),
            lambda m: (m((2, 3, 4)), (0, ..., slice(None, None, 3))),
            lambda m: (m((3, 4)), ...),
            lambda m: (m((3, 4)), ()),
            lambda m: (m((0, 4)), (slice(None), 2)),
            lambda m: (m((3, 4)), m.ints((5,), -3, 3)),
            lambda m: (m((3, 4)), m.ints((2, 2), 0, 3)),
            lambda m: (m((3, 4)), ints()),
            lambda m: (m((3, 4)), np.array(2)),
            lambda m: (m((3, 4)), [2, 0, 2]),
            lambda m: (m((3, 4)), ([0, 2, 2], [1, 3, 3])),
            lambda m: (m((3, 4)), (slice(None), [3, 0])),
            lambda m: (m((2, 3, 4)), (0, slice(None), [1, 1, 2])),
            lambda m: (m((2, 3, 4)), ([0, 1], slice(None), [3, 0])),
            lambda m: (m((2, 3, 4)), ([1, 0], None, slice(0, 2), [3, 0])),
            lambda m: (m((2, 3, 4)), (..., [[0], [1]], [1, 2, 3])),
            lambda m: (m((3, 4)), m.bools((3, 4))),
            lambda m: (m((3, 4)), m.bools((3,))),
            lambda m: (m((2, 3, 4)), (1, m.bools((3, 4)))),
            lambda m: (m((2, 3, 4)), (slice(None), m.bools((3,)), 1)),
            lambda m: (m((3, 4)), True),
            lambda m: (m((3, 4)), (0, False)),
            lambda m: (m(()), np.array(True)),
            errors=(
                (lambda t: t.ones(2, 3)[2], index, "index 2 is out of bounds for dimension 0"),
                (lambda t: t.ones(2, 3)[0, -4], index, "index -4 is out of bounds for dimension 1"),
                (lambda t: t.ones(2)[0, 0], index, "too many indices for tensor of dimension 1"),
                (lambda t: t.tensor(1.0)[0], index, "invalid index of a 0-dim tensor"),
                (lambda t: t.tensor(1.0)[:], index, r"slice\(\) cannot be applied to a 0-dim"),
                (lambda t: t.ones(2)[::-1], ValueError, "step must be greater than zero"),
                (lambda t: t.ones(2)[::0], ValueError, "slice step cannot be zero"),
                (lambda t: t.ones(2)[1.5], index, "only integers, slices"),
                (lambda t: t.ones(2)["a"], TypeError, "new"),
                (lambda t: t.ones(2)[0.5:], TypeError, "slice indices must be integers"),
                (lambda t: t.ones(2)[t.tensor([0.5])], index, "tensors used as indices must be"),
                (lambda t: t.ones(2)[t.tensor([2])], index, "index 2 is out of bounds"),
                (lambda t: t.ones(2)[[True, False, True]], index, "The shape of the mask"),
                (lambda t: t.ones(2, 0)[t.ones(2, 2) > 0], index, "The shape of the mask"),
                (lambda t: t.ones(3, 3)[[0, 1], [0, 1, 2]], index, "shape mismatch: indexing"),
                (lambda t: t.ones(2).__delitem__(0), TypeError, "does not support deleting"),
            ),
        ),
        row(
            "select",
            lambda m: (m((3, 4)), 0, 1),
            lambda m: (m((3, 4)), -1, -2),
            lambda m: (m((3,)), 0, 2),
            lambda m: ((m((2, 0, 3)),), {"dim": 2, "index": 0}),
            errors=(
                (lambda t: t.ones(2).select(0, 2), index, r"select\(\): index 2 out of range"),
                (lambda t: t.tensor(1.0).select(0, 0), index, r"select\(\) cannot be applied"),
                (lambda t: t.ones(2).select(1, 0), index, "Dimension out of range"),
            ),
        ),
        row(
            "narrow",
            lambda m: (m((3, 4)), 0, 1, 2),
            lambda m: (m((3, 4)), -1, -2, 2),
            lambda m: (m((3, 4)), 1, 4, 0),
            lambda m: (m((3, 4)), 0, np.array(1), 1),
            lambda m: ((m((0, 3)),), {"dim": 1, "start": 0, "length": 2}),
            errors=(
                (lambda t: t.ones(2).narrow(0, 1, 2), RuntimeError, r"start \(1\) \+ length"),
                (lambda t: t.ones(2).narrow(0, 0, -1), RuntimeError, "length must be non-negative"),
                (lambda t: t.ones(2).narrow(0, 3, 0), index, "start out of range"),
                (lambda t: t.tensor(1.0).narrow(0, 0, 1), RuntimeError, "cannot be applied to a 0"),
            ),
        ),
        row(
            "unbind",
            lambda m: (m((2, 3)),),
            lambda m: (m((2, 3)), 1),
            lambda m: (m((3,)), -1),
            lambda m: (m((0, 3)),),
            lambda m: ((m((2, 0, 3)),), {"dim": 2}),
            errors=((lambda t: t.tensor(1.0).unbind(), index, "Dimension specified as 0 but"),),
        ),
        row(
            "gather",
            lambda m: (m((3, 4)), 0, m.ints((2, 4), 0, 3)),
            lambda m: (m((3, 4)), 1, m.ints((3, 5), 0, 4)),
            lambda m: (m((3, 4)), -1, m.ints((2, 2), 0, 4)),
            lambda m: (m((2, 3, 2)), 1, m.ints((2, 4, 2), 0, 3)),
            lambda m: (m((5,)), 0, m.ints((3,), 0, 5)),
            lambda m: (m(()), 0, ints(0, 0)),
            lambda m: (m((3,)), 0, np.array(2)),
            lambda m: (m((3, 4)), 0, np.zeros((0, 4), np.int64)),
            lambda m: ((m((3, 4)),), {"dim": 0, "index": m.ints((1, 4), 0, 3).astype(np.int32)}),
            errors=(
                (
                    lambda t: t.ones(2).gather(0, t.tensor([2])),
                    RuntimeError,
                    "index 2 is out of bounds for dimension 0 with size 2",
                ),
                (lambda t: t.ones(2).gather(0, t.tensor([-1])), RuntimeError, "index -1 is out of"),
                (
                    lambda t: t.ones(2).gather(0, t.tensor([1.0])),
                    RuntimeError,
                    r"gather\(\): Expected dtype int32/int64 for index",
                ),
                (
                    lambda t: t.ones(2, 2).gather(0, t.tensor([1])),
                    RuntimeError,
                    "Index tensor must have the same number of dimensions",
                ),
                (
                    lambda t: t.ones(2, 2).gather(0, t.zeros(2, 3, dtype=t.int64)),
                    RuntimeError,
                    "Size does not match at dimension 1",
                ),
                (lambda t: t.ones(2).gather(0, [0]), TypeError, "must be Tensor, not list"),
            ),
        ),
        row(
            "index_select",
            lambda m: (m((3, 4)), 0, m.ints((5,), 0, 3)),
            lambda m: (m((3, 4)), -1, m.ints((2,), 0, 4).astype(np.int32)),
            lambda m: (m((3, 4)), 1, np.array(2)),
            lambda m: (m(()), 0, ints(0)),
            lambda m: ((m((3, 4)),), {"dim": 0, "index": ints()}),
            errors=(
                (lambda t: t.ones(2).index_select(0, t.tensor([2])), index, "index out of range"),
                (lambda t: t.ones(2).index_select(0, t.tensor([-1])), index, "index out of range"),
                (lambda t: t.ones(2).index_select(0, t.tensor([[0]])), index, "to be a vector"),
                (
                    lambda t: t.ones(2).index_select(0, t.tensor([0.0])),
                    RuntimeError,
                    "Expected dtype int32 or int64",
                ),
            ),
        ),
        row(
            "take",
            lambda m: (m((3, 4)), m.ints((5,), -12, 12)),
            lambda m: (m((3, 4)), m.ints((2, 2), 0, 12)),
            lambda m: (m(()), np.array(0)),
            lambda m: ((m((0,)),), {"index": ints()}),
            errors=(
                (lambda t: t.ones(2).take(t.tensor([2])), index, "out of range: tried to access"),
                (lambda t: t.zeros(0).take(t.tensor([0])), index, "tried to take from an empty"),
                (
                    lambda t: t.ones(2).take(t.tensor([0], dtype=t.int32)),
                    RuntimeError,
                    "Expected a long tensor for index, but got Int",
                ),
            ),
        ),
        row(
            "take_along_dim",
            lambda m: (m((3, 4)), m.ints((2, 4), -3, 3), 0),
            lambda m: (m((3, 4)), m.ints((1, 2), 0, 4), 1),
            lambda m: (m((1, 4)), m.ints((3, 2), 0, 4), -1),
            lambda m: (m((3, 4)), m.ints((5,), 0, 12)),
            lambda m: ((m((5,)),), {"indices": m.ints((3,), 0, 5), "dim": 0}),
            errors=(
                (
                    lambda t: t.ones(2, 2).take_along_dim(t.tensor([0]), 0),
                    RuntimeError,
                    "input and indices should have the same number of dimensions",
                ),
                (
                    lambda t: t.ones(2).take_along_dim(t.tensor([0.0]), 0),
                    RuntimeError,
                    "dtype of indices should be Long but got Float",
                ),
            ),
        ),
        row(
            "masked_select",
            lambda m: (m((3, 4)), m.bools((3, 4))),
            lambda m: (m((3, 4)), m.bools((4,))),
            lambda m: (m((4,)), m.bools((3, 1))),
            lambda m: (m(()), np.array(True)),
            lambda m: ((m((0, 3)),), {"mask": m.bools((3,))}),
            errors=(
                (
                    lambda t: t.ones(2).masked_select(t.tensor([0, 1])),
                    RuntimeError,
                    "masked_select: expected BoolTensor for mask",
                ),
                (
                    lambda t: t.ones(2, 3).masked_select(t.ones(2) > 0),
                    RuntimeError,
                    "must match the size of tensor b",
                ),
            ),
        ),
    ]


def places() -> list[Row]:
    """Where something is: results are indices."""
    samples = (
        lambda m: (m((3, 4)),),
        lambda m: (np.where(m.bools((3, 4)), m((3, 4)), 0).astype(m.dtype),),
        lambda m: (m((0, 3)),),
        lambda m: (np.ones((), m.dtype),),
        lambda m: (np.zeros((), m.dtype),),
    )
    return [
        row("nonzero", *samples, grad=False),
        row("nonzero", lambda m: ((m.bools((2, 3)),), {"as_tuple": True}), grad=False),
        row("argwhere", *samples, grad=False),
        row(
            "unravel_index",
            lambda m: (np.array([3, 5, 0]).astype(m.dtype), (2, 3)),
            lambda m: (np.array(7).astype(m.dtype), (2, 2, 2)),
            lambda m: ((np.array([[1], [4]]).astype(m.dtype),), {"shape": 5}),
            dtypes=INTS,
            grad=False,
        ),
    ]


def scattering() -> list[Row]:
    runtime = RuntimeError
    unlike = (
        (lambda t: t.ones(2).scatter(0, t.tensor([2]), t.ones(1)), runtime, "index 2 is out of"),
        (lambda t: t.ones(2).scatter(0, t.tensor([-1]), t.ones(1)), runtime, "index -1 is out of"),
        (
            lambda t: t.ones(2).scatter(0, t.tensor([1]), t.ones(1).double()),
            runtime,
            "Expected self.dtype to be equal to src.dtype",
        ),
        (
            lambda t: t.ones(2).scatter(0, t.tensor([0, 1]), t.ones(1)),
            runtime,
            "no larger size than src",
        ),
        (
            lambda t: t.ones(2, 2).scatter(0, t.tensor([0]), 1.0),
            runtime,
            "Index tensor must have the same number of dimensions as self",
        ),
        (lambda t: t.ones(2).scatter(0, t.tensor([0])), TypeError, "invalid combination"),
        (
            lambda t: t.ones(2).scatter(0, t.tensor([0]), 1.0, reduce="mean"),
            runtime,
            "reduce argument must be either add or multiply",
        ),
    )
    shapes = (
        lambda m: (m((3, 4)), 1, np.array([[0, 2], [3, 1]]), m((2, 2))),
        lambda m: (m((3, 4)), 0, np.array([[0, 2, 1, 1]]), m((2, 4))),
        lambda m: (m((2, 3)), -1, np.array([[2, 0, 1], [0, 1, 2]]), m((2, 3))),
        lambda m: (m((5,)), 0, ints(4, 0), m((2,))),
        lambda m: (m(()), 0, np.array(0), m(())),
        lambda m: (m((3, 4)), 0, np.zeros((0, 4), np.int64), m((0, 4))),
    )
    repeated = (
        *shapes,
        lambda m: (m((3, 4)), 1, m.ints((3, 5), 0, 4), m((3, 5))),
        lambda m: (m((3,)), 0, m.ints((5,), 0, 3), m((5,))),
    )
    reductions = [
        row(
            "scatter_reduce",
            *(
                lambda m, i=i, how=how, own=own, shape=shape: (
                    (apart(m, shape), 0, i(m), apart(m, (4, *shape[1:])) + between(m), how),
                    {"include_self": own},
                )
                for own in (True, False)
                for shape, i in (
                    ((3,), lambda m: ints(0, 2, 2, 0)),
                    ((3, 2), lambda m: m.ints((4, 2), 0, 3)),
                )
            ),
            dtypes=REAL,
        )
        for how in ("sum", "prod", "mean", "amax", "amin")
    ]
    return [
        row("scatter", *shapes, errors=unlike),
        row(
            "scatter",
            lambda m: (m((3, 4)), 1, m.ints((2, 2), 0, 4), 1),
            lambda m: ((m((4,)), 0, ints(1, 1)), {"value": 1}),
            lambda m: (m(()), 0, np.array(0), 1),
        ),
        row("scatter_add", *repeated, dtypes=NOT_BOOL),
        *reductions,
        row(
            "scatter_reduce",
            lambda m: (apart(m, (3,)), 0, ints(0, 2, 2), apart(m, (3,)), "amax"),
            lambda m: (apart(m, (3,)), 0, ints(0, 2, 2), apart(m, (3,)), "sum"),
            dtypes=("int32", "int64"),
            grad=False,
            errors=(
                (
                    lambda t: t.ones(2).scatter_reduce(0, t.tensor([0]), t.ones(1), "median"),
                    runtime,
                    "reduce argument must be either sum, prod, mean, amax or amin",
                ),
            ),
        ),
        row(
            "index_add",
            lambda m: (m((3, 4)), 0, ints(2, 0, 2), m((3, 4))),
            lambda m: (m((3, 4)), 1, ints(1), m((3, 1))),
            lambda m: ((m((3, 2)), -1, ints(0, 0), m((3, 2))), {"alpha": 2}),
            lambda m: (m(()), 0, ints(0), m(())),
            lambda m: (m((3, 4)), 0, ints(), m((0, 4))),
            dtypes=NOT_BOOL,
            errors=(
                (
                    lambda t: t.ones(2, 2).index_add(0, t.tensor([2]), t.ones(1, 2)),
                    runtime,
                    "index 2 is out of bounds",
                ),
                (
                    lambda t: t.ones(2, 2).index_add(0, t.tensor([0]), t.ones(2, 2)),
                    runtime,
                    "Number of indices",
                ),
                (
                    lambda t: t.ones(2).index_add(0, t.tensor([0]), t.ones(1).double()),
                    runtime,
                    "must have the same scalar type",
                ),
            ),
        ),
        row(
            "index_reduce",
            lambda m: (m((3, 2), 1, 2), 0, ints(2, 0, 2), m((3, 2), 1, 2), "prod"),
            lambda m: (m((3, 2)), 0, ints(2, 0, 2), m((3, 2)), "mean"),
            lambda m: (apart(m, (3, 2)), 1, ints(1, 1), apart(m, (3, 2)) + between(m), "amax"),
            lambda m: (
                (apart(m, (3, 2)), 0, ints(1, 1), apart(m, (2, 2)), "amin"),
                {"include_self": False},
            ),
            dtypes=REAL,
        ),
        row(
            "index_copy",
            lambda m: (m((3, 4)), 0, ints(2, 0), m((2, 4))),
            lambda m: (m((3, 4)), -1, ints(1), m((3, 1))),
            lambda m: (m(()), 0, ints(0), m(())),
            errors=(
                (
                    lambda t: t.ones(2).index_copy(0, t.tensor([2]), t.ones(1)),
                    IndexError,
                    "index 2 is out of bounds",
                ),
                (
                    lambda t: t.ones(2, 2).index_copy(0, t.tensor([0]), t.ones(2)),
                    IndexError,
                    "their dimensionality must match",
                ),
            ),
        ),
        row(
            "index_fill",
            lambda m: (m((3, 4)), 0, ints(2, 0), 1),
            lambda m: (m((3, 4)), 1, ints(-1, 1, 1), m(())),
            lambda m: (m(()), 0, ints(0), 1),
            lambda m: (m((3, 4)), 0, np.array(1), 0.5 if m.dtype.kind in "fcV" else 1),
            errors=(
                (
                    lambda t: t.ones(2).index_fill(0, t.tensor([2]), 1),
                    IndexError,
                    "index 2 is out of bounds",
                ),
                (
                    lambda t: t.ones(2).index_fill(0, t.tensor([0]), t.ones(1)),
                    runtime,
                    "only supports a 0-dimensional value tensor",
                ),
                (
                    lambda t: t.ones(2).index_fill(0, t.tensor([0]), 1e300),
                    runtime,
                    "value cannot be converted to type float without overflow",
                ),
            ),
        ),
        row(
            "put",
            lambda m: (m((3, 4)), ints(-1, 0, 5), m((3,))),
            lambda m: (m((3, 4)), np.array([[2, 7]]), m((2, 1))),
            lambda m: (m(()), ints(0), m((1,))),
            errors=(
                (
                    lambda t: t.ones(2).put(t.tensor([0]), t.ones(2)),
                    IndexError,
                    "same number of elements",
                ),
            ),
        ),
        row(
            "put",
            lambda m: ((m((3, 4)), m.ints((5,), 0, 12), m((5,))), {"accumulate": True}),
            dtypes=NOT_BOOL,
        ),
        *assignment(),
        *masked(),
        *slices(),
    ]


def assignment() -> list[Row]:
    samples = (
        lambda m: (m((3, 4)), (ints(2, 0),), m((2, 4))),
        lambda m: (m((3, 4)), (ints(2, 0), ints(1, 1)), m((2,))),
        lambda m: (m((3, 4)), (np.array([[0], [2]]), ints(1, 3)), m((2, 1))),
        lambda m: (m((3, 4)), (m.bools((3, 4)),), m(())),
        lambda m: (m((5,)), [ints(-1)], m((1,))),
    )
    wrong = (
        (
            lambda t: t.ones(2).index_put((t.tensor([0]),), t.ones(1).double()),
            RuntimeError,
            "Index put requires the source and destination dtypes match",
        ),
        (
            lambda t: t.ones(3).index_put((t.tensor([0, 1]),), t.ones(3)),
            RuntimeError,
            "shape mismatch: value tensor",
        ),
        (lambda t: t.ones(3).index_put(t.tensor([0]), t.ones(1)), TypeError, "must be tuple of"),
    )
    return [
        row("index_put", *samples, errors=wrong),
        row(
            "index_put",
            lambda m: ((m((3, 4)), (m.ints((5,), 0, 3),), m((5, 4))), {"accumulate": True}),
            lambda m: ((m((2, 3)), (ints(1, 1), ints(2, 2)), m(())), {"accumulate": True}),
            dtypes=NOT_BOOL,
            tolerance={"float16": 2e-3, "bfloat16": 2e-2},
        ),
        row("index_put_", *samples, exact_node=False),
        row("fill", lambda m: (m((3, 2)), 1), lambda m: (m(()), m(())), lambda m: (m((0,)), 1)),
        row("fill_", lambda m: (m((3, 2)), 1), lambda m: (m(()), m(())), lambda m: (m((0,)), 1)),
        row("zero_", lambda m: (m((3, 2)),), lambda m: (m(()),)),
        row(
            "Tensor.copy_",
            lambda m: (m((3, 2)), m((3, 2))),
            lambda m: (m((3, 2)), m((2,))),
            lambda m: (m((2,)), m(())),
        ),
        row(
            "Tensor.fill_diagonal_",
            lambda m: (m((3, 4)), 1),
            lambda m: ((m((5, 2)), 1), {"wrap": True}),
            lambda m: (m((2, 2, 2)), 1),
            exact_node=False,
            errors=((lambda t: t.ones(3).fill_diagonal_(1), RuntimeError, "larger than 1"),),
        ),
    ]


def masked() -> list[Row]:
    return [
        row(
            "masked_fill",
            lambda m: (m((3, 4)), m.bools((3, 4)), 1),
            lambda m: (m((3, 4)), m.bools((4,)), m(())),
            lambda m: (m((4,)), m.bools((3, 1)), 1),
            lambda m: (m(()), np.array(True), 1),
            lambda m: ((m((0, 3)),), {"mask": m.bools((3,)), "value": 0}),
            errors=(
                (
                    lambda t: t.ones(2).masked_fill(t.ones(2), 0),
                    RuntimeError,
                    "masked_fill_ only supports boolean masks",
                ),
                (
                    lambda t: t.ones(2).masked_fill(t.ones(2) > 0, t.ones(1)),
                    RuntimeError,
                    "only supports a 0-dimensional value tensor",
                ),
                (
                    lambda t: t.tensor([1]).masked_fill(t.tensor([True]), float("inf")),
                    RuntimeError,
                    "value cannot be converted to type int64_t without overflow",
                ),
                (
                    lambda t: t.ones(2).masked_fill_(t.ones(1, 2) > 0, 0),
                    RuntimeError,
                    "doesn't match the broadcast shape",
                ),
            ),
        ),
        row(
            "masked_scatter",
            lambda m: (m((3, 4)), m.bools((3, 4)), m((12,))),
            lambda m: (m((3, 4)), m.bools((4,)), m((4, 3))),
            lambda m: (m((4,)), m.bools((2, 1)), m((8,))),
            errors=(
                (
                    lambda t: t.ones(2).masked_scatter(t.ones(2) > 0, t.ones(1)),
                    RuntimeError,
                    "Number of elements of source < number of ones in mask",
                ),
            ),
        ),
    ]


def slices() -> list[Row]:
    wrong = "expected src to have a size equal to the slice of self"
    return [
        row(
            "select_scatter",
            lambda m: (m((3, 4)), m((4,)), 0, 1),
            lambda m: (m((3, 4)), m((3,)), -1, -1),
            lambda m: ((m((3,)), m(())), {"dim": 0, "index": 2}),
            errors=((lambda t: t.ones(2, 2).select_scatter(t.ones(3), 0, 0), RuntimeError, wrong),),
        ),
        row(
            "slice_scatter",
            lambda m: (m((3, 4)), m((2, 4)), 0, 1),
            lambda m: (m((3, 4)), m((3, 2)), 1, 0, 9, 2),
            lambda m: (m((3, 4)), m((3, 4))),
            lambda m: ((m((3, 4)), m((3, 1))), {"dim": -1, "start": -1}),
            errors=((lambda t: t.ones(2).slice_scatter(t.ones(1)), RuntimeError, wrong),),
        ),
    ]


def diagonals() -> list[Row]:
    spread = (
        lambda m: (m((3, 4)),),
        lambda m: (m((3, 4)), 1),
        lambda m: (m((3, 4)), -2),
        lambda m: (m((3, 4)), 4),
        lambda m: (m((2, 3, 4)), 1, 2, 0),
        lambda m: ((m((2, 0, 3)),), {"offset": 0, "dim1": -2, "dim2": -1}),
    )
    alike = (
        lambda t: t.ones(2, 2).diagonal(0, 1, -1),
        RuntimeError,
        "diagonal dimensions cannot be identical",
    )
    triangle = (
        lambda m: (m((3, 4)),),
        lambda m: (m((3, 4)), 1),
        lambda m: ((m((2, 4, 3)),), {"diagonal": -1}),
        lambda m: (m((0, 3)),),
    )
    return [
        row("diagonal", *spread, errors=(alike,)),
        row("diagonal_copy", *spread),
        row(
            "linalg.diagonal",
            lambda m: (m((2, 3, 4)),),
            lambda m: ((m((2, 3, 4)),), {"offset": 1, "dim1": 0, "dim2": 1}),
        ),
        row(
            "diag_embed",
            lambda m: (m((3,)),),
            lambda m: (m((2, 3)), 1),
            lambda m: (m((2, 3)), -1, 0, 2),
            lambda m: ((m((0,)),), {"offset": 1}),
        ),
        row(
            "diag",
            lambda m: (m((3,)),),
            lambda m: (m((3,)), -1),
            lambda m: (m((3, 4)),),
            lambda m: ((m((3, 4)),), {"diagonal": 1}),
            errors=((lambda t: t.ones(1, 1, 1).diag(), RuntimeError, "Supports 1D or 2D tensors"),),
        ),
        row("diagflat", lambda m: (m((2, 2)),), lambda m: (m((3,)), 1), lambda m: (m(()),)),
        row(
            "diagonal_scatter",
            lambda m: (m((3, 4)), m((3,))),
            lambda m: (m((3, 4)), m((2,)), -1),
            lambda m: (m((2, 3, 4)), m((3, 2)), 0, 0, 2),
            errors=(
                (
                    lambda t: t.ones(2, 2).diagonal_scatter(t.ones(3)),
                    RuntimeError,
                    "expected src to have a size equal to the slice of self",
                ),
            ),
        ),
        row(
            "tril",
            *triangle,
            errors=((lambda t: t.ones(3).tril(), RuntimeError, "must have at least 2 dim"),),
        ),
        row("triu", *triangle),
    ]


def lookups() -> list[Row]:
    one_hot = "nn.functional.one_hot"
    embedding, bag = "nn.functional.embedding", "nn.functional.embedding_bag"
    return [
        row(
            one_hot,
            lambda m: (m.ints((4,), 0, 3),),
            lambda m: (m.ints((2, 2), 0, 3), 5),
            lambda m: (np.array(1),),
            lambda m: ((ints(),), {"num_classes": 2}),
            dtypes=("int64",),
            grad=False,
            errors=(
                (lambda t: t.nn.functional.one_hot(t.tensor([1]), 1), RuntimeError, "smaller"),
                (lambda t: t.nn.functional.one_hot(t.tensor([-1])), RuntimeError, "non-negative"),
                (lambda t: t.nn.functional.one_hot(t.tensor([1.0])), RuntimeError, "LongTensor"),
            ),
        ),
        row(
            embedding,
            lambda m: (m.ints((3,), 0, 5), m((5, 2))),
            lambda m: (m.ints((2, 4), 0, 5), m((5, 2))),
            lambda m: (np.array(1), m((5, 2))),
            lambda m: (ints(), m((5, 2))),
            dtypes=FLOATS,
            errors=(
                (
                    lambda t: t.nn.functional.embedding(t.tensor([5]), t.ones(5, 2)),
                    IndexError,
                    "index out of range in self",
                ),
                (
                    lambda t: t.nn.functional.embedding(t.tensor([0.0]), t.ones(5, 2)),
                    RuntimeError,
                    "Expected tensor for argument #1 'indices'",
                ),
                (
                    lambda t: t.nn.functional.embedding(t.tensor([0]), t.ones(5), padding_idx=7),
                    AssertionError,
                    "Padding_idx must be within num_embeddings",
                ),
            ),
        ),
        row(  # rows of the gradient are left out or scaled
            embedding,
            lambda m: ((ints(1, 2, 2, 1), m((5, 2))), {"padding_idx": 2}),
            lambda m: ((ints(4, 2, 2, 1), m((5, 2))), {"padding_idx": -1}),
            lambda m: ((ints(1, 2, 2, 2), m((5, 2))), {"scale_grad_by_freq": True}),
            dtypes=FLOATS,
            grad=False,
        ),
        row(
            bag,
            lambda m: (m.ints((2, 3), 0, 5), m((5, 2))),
            lambda m: ((m.ints((4,), 0, 5), m((5, 2)), ints(0, 1, 1)), {"mode": "sum"}),
            lambda m: (
                (m.ints((4,), 0, 5), m((5, 2))),
                {"offsets": ints(0, 3, 4), "include_last_offset": True},
            ),
            lambda m: (
                (m.ints((2, 3), 0, 5), m((5, 2))),
                {"mode": "sum", "per_sample_weights": m((2, 3))},
            ),
            lambda m: ((ints(1, 2, 2, 0), m((5, 2)), ints(0, 2)), {"padding_idx": 2}),
            dtypes=REAL,
            errors=(
                (
                    lambda t: t.nn.functional.embedding_bag(t.tensor([0]), t.ones(2, 2)),
                    ValueError,
                    "offsets has to be a 1D Tensor",
                ),
            ),
        ),
        row(
            bag,
            lambda m: ((m.ints((2, 3), 0, 5), apart(m, (5, 2))), {"mode": "max"}),
            dtypes=REAL,
        ),
    ]


ROWS = [*reading(), *places(), *scattering(), *diagonals(), *lookups()]
