"""Views: shapes, the order of dimensions, dimensions of size 1, windows and strides."""

from __future__ import annotations

import numpy as np

import chainrule

from ..op_table import ALL, Row
from .elementwise import calls


def row(name: str, *build, dtypes: tuple = ALL, **facets) -> Row:
    """A row of a function that moves elements: any dtype, complex gradients too."""
    facets.setdefault("complex_grad", facets.get("grad", True))
    return Row(name, calls(*build), dtypes, **facets)


def dim_error(call) -> tuple:
    """The error of a dimension that is not there."""
    return call, IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\]"


def reshaping() -> list[Row]:
    return [
        row(
            "reshape",
            lambda m: (m((2, 6)), (3, 4)),
            lambda m: (m((2, 6)), (-1,)),
            lambda m: ((m((2, 6)),), {"shape": (2, 1, 3, -1)}),
            lambda m: (m(()), (1, 1)),
            lambda m: (m((1,)), ()),
            lambda m: (m((0, 3)), (3, 0)),
            lambda m: (m((0, 3)), (-1, 3)),
            errors=(
                (
                    lambda t: t.ones(6).reshape(4, 2),
                    RuntimeError,
                    r"shape '\[4, 2\]' is invalid for",
                ),
                (
                    lambda t: t.ones(6).reshape(-1, -1),
                    RuntimeError,
                    "only one dimension can be inf",
                ),
                (lambda t: t.ones(6).reshape(-2, 3), RuntimeError, "invalid shape dimension -2"),
                (
                    lambda t: t.ones(0).reshape(-1, 0),
                    RuntimeError,
                    "cannot reshape tensor of 0 ele",
                ),
                (lambda t: t.ones(6).t().reshape("a"), TypeError, "must be tuple of ints, not str"),
                (lambda t: t.ones(6).reshape(), TypeError, "missing 1 required positional"),
            ),
        ),
        row(
            "Tensor.view",
            lambda m: (m((2, 6)), 2, 2, 3),
            lambda m: (m((2, 6)), (2, 1, -1)),
            lambda m: (m((12,)), [4, 3]),
            lambda m: (m((2, 6)), chainrule.Size([2, 3, 2])),
            lambda m: (m(()), 1),
            lambda m: (m((0, 3)), -1),
            errors=(
                (
                    lambda t: t.ones(2, 3).t().view(6),
                    RuntimeError,
                    "view size is not compatible with",
                ),
                (
                    lambda t: t.ones(6).view(4),
                    RuntimeError,
                    r"shape '\[4\]' is invalid for input of",
                ),
                (lambda t: t.ones(6).view(), TypeError, "view"),
                (lambda t: t.ones(6).view(2.5), TypeError, ""),
            ),
        ),
        row(
            "Tensor.view",
            lambda m: (m((2, 4)), chainrule.int32),
            lambda m: (m((2, 4)), chainrule.float64),
            lambda m: ((m((2, 4)),), {"dtype": chainrule.uint8}),
            dtypes=("float32",),
            grad=False,
            strided=False,
            errors=(
                (
                    lambda t: t.ones(2, 3).view(t.float64),
                    RuntimeError,
                    r"self.size\(-1\) must be divisible by 2 to view Float as Double",
                ),
                (
                    lambda t: t.tensor(1.0).view(t.float64),
                    RuntimeError,
                    r"self.dim\(\) cannot be 0 to view Float as Double",
                ),
                (
                    lambda t: t.ones(2, 4).t().view(t.float64),
                    RuntimeError,
                    r"self.stride\(-1\) must be 1 to view Float as Double",
                ),
            ),
        ),
        row("Tensor.view_as", lambda m: (m((12,)), m.constant((3, 4)))),
        row("Tensor.reshape_as", lambda m: (m((2, 6)), m.constant((3, 4)))),
        row(
            "flatten",
            lambda m: (m((2, 3, 2)),),
            lambda m: (m((2, 3, 2)), 1),
            lambda m: ((m((2, 3, 2)),), {"start_dim": 0, "end_dim": -2}),
            lambda m: (m((3,)),),
            lambda m: (m(()),),
            lambda m: (m((2, 0)),),
            errors=(
                dim_error(lambda t: t.ones(2, 3).flatten(2)),
                (lambda t: t.ones(2, 3).flatten(1, 0), RuntimeError, "flatten.. has invalid args"),
            ),
        ),
        row(
            "unflatten",
            lambda m: (m((2, 6)), 1, (2, 3)),
            lambda m: (m((2, 6)), -1, (-1, 2)),
            lambda m: ((m((6,)),), {"dim": 0, "sizes": (6, 1)}),
            errors=(
                (
                    lambda t: t.ones(6).unflatten(0, (4, 2)),
                    RuntimeError,
                    "unflatten: Provided sizes",
                ),
                (
                    lambda t: t.ones(6).unflatten(0, ()),
                    RuntimeError,
                    "unflatten: sizes must be non",
                ),
                dim_error(lambda t: t.ones(6, 2).unflatten(2, (2, 3))),
            ),
        ),
        row("ravel", lambda m: (m((2, 3)),), lambda m: (m(()),)),
    ]


def repeating() -> list[Row]:
    mismatch = (
        RuntimeError,
        r"The expanded size of the tensor \(2\) must match the existing size \(3\) at non-single",
    )
    return [
        row(
            "Tensor.expand",
            lambda m: (m((3, 1)), 3, 4),
            lambda m: (m((3, 1)), (2, -1, 4)),
            lambda m: (m((3,)), 3),
            lambda m: (m(()), (2, 2)),
            lambda m: (m(()), ()),
            lambda m: (m((1, 0)), 3, 0),
            errors=(
                (lambda t: t.ones(3).expand(2), *mismatch),
                (
                    lambda t: t.ones(3).expand(-1, 3),
                    RuntimeError,
                    "isn't allowed in a leading, non-ex",
                ),
                (
                    lambda t: t.ones(3, 1).expand(3),
                    RuntimeError,
                    "the number of sizes provided .1. m",
                ),
            ),
        ),
        row("Tensor.expand_as", lambda m: (m((3, 1)), m.constant((2, 3, 4)))),
        row(
            "broadcast_to",
            lambda m: (m((3, 1)), (2, 3, 4)),
            lambda m: ((m(()),), {"size": (2,)}),
            errors=((lambda t: t.ones(3).broadcast_to((2,)), *mismatch),),
        ),
        row(
            "broadcast_tensors",
            lambda m: (m((3, 1)), m((4,))),
            lambda m: (m((2,)), m(()), m((1, 1))),
            lambda m: (m((2,)),),
            errors=(
                (
                    lambda t: t.broadcast_tensors(t.ones(2), t.ones(3)),
                    RuntimeError,
                    r"The size of tensor a \(2\) must match the size of tensor b \(3\)",
                ),
                (
                    lambda t: t.broadcast_tensors(t.ones(2), 3),
                    TypeError,
                    "expected Tensor as element 1",
                ),
            ),
        ),
        row(
            "broadcast_shapes",
            lambda m: ((2, 1), (3,)),
            lambda m: ((), (1,), (4, 1, 0)),
            lambda m: (2, (3, 1)),
            dtypes=("float32",),
            grad=False,
            errors=(
                (
                    lambda t: t.broadcast_shapes((2,), (3,)),
                    RuntimeError,
                    "Attempting to broadcast a dim",
                ),
                (
                    lambda t: t.broadcast_shapes((-2,)),
                    ValueError,
                    "Attempting to broadcast a dimension",
                ),
            ),
        ),
    ]


def ordering() -> list[Row]:
    matrix = lambda m: (m((2, 3)),)  # noqa: E731
    return [
        row(
            "transpose",
            lambda m: (m((2, 3)), 0, 1),
            lambda m: (m((2, 3, 2)), -1, 0),
            lambda m: ((m((2, 3)),), {"dim0": 1, "dim1": 1}),
            lambda m: (m(()), 0, -1),
            errors=(dim_error(lambda t: t.ones(2, 3).transpose(0, 2)),),
        ),
        row("swapaxes", lambda m: (m((2, 3)), 0, 1), lambda m: ((m((2, 3)), -1), {"axis1": 0})),
        row("swapdims", lambda m: (m((2, 3)), 0, 1), lambda m: ((m((2, 3)), -1), {"dim1": 0})),
        row(
            "t",
            matrix,
            lambda m: (m((3,)),),
            lambda m: (m(()),),
            errors=(
                (lambda t: t.ones(1, 2, 3).t(), RuntimeError, "expects a tensor with <= 2 dim"),
            ),
        ),
        row(
            "adjoint",
            matrix,
            lambda m: (m((2, 3, 2)),),
            exact_node=False,  # conjugates are computed at once
            errors=(
                (lambda t: t.ones(2).adjoint(), RuntimeError, "only supported on matrices or bat"),
            ),
        ),
        row(
            "permute",
            lambda m: (m((2, 3, 2)), (2, 0, 1)),
            lambda m: (m((2, 3)), (-1, 0)),
            lambda m: ((m((3,)),), {"dims": (0,)}),
            lambda m: (m(()), ()),
            errors=(
                (
                    lambda t: t.ones(2, 3).permute(0),
                    RuntimeError,
                    "number of dimensions in the tensor",
                ),
                (
                    lambda t: t.ones(2, 3).permute(0, 0),
                    RuntimeError,
                    "duplicate dims are not allowed",
                ),
                dim_error(lambda t: t.ones(2, 3).permute(0, 2)),
            ),
        ),
        row(
            "movedim",
            lambda m: (m((2, 3, 2)), 0, 2),
            lambda m: (m((2, 3, 2)), (0, 1), (-1, 0)),
            lambda m: ((m((2, 3)),), {"source": -1, "destination": 0}),
            errors=(
                (
                    lambda t: t.ones(2, 3).movedim((0, 0), (0, 1)),
                    RuntimeError,
                    "repeated dim in `sour",
                ),
                (
                    lambda t: t.ones(2, 3).movedim((0, 1), (1, 1)),
                    RuntimeError,
                    "repeated dim in `dest",
                ),
                (
                    lambda t: t.ones(2, 3).movedim(0, (0, 1)),
                    TypeError,
                    "invalid combination of arg",
                ),
                dim_error(lambda t: t.ones(2, 3).movedim(0, 2)),
            ),
        ),
    ]


def sizes_of_one() -> list[Row]:
    return [
        row(
            "squeeze",
            lambda m: (m((1, 3, 1)),),
            lambda m: (m((1, 3, 1)), 0),
            lambda m: (m((1, 3, 1)), -2),
            lambda m: (m((1, 3, 1)), (0, -1)),
            lambda m: ((m((1, 1)),), {"dim": (0, 1)}),
            lambda m: (m(()),),
            lambda m: (m(()), -1),
            lambda m: (m((1, 0)),),
            errors=(
                dim_error(lambda t: t.ones(1, 3).squeeze(2)),
                (
                    lambda t: t.ones(1, 3).squeeze((0, 0)),
                    RuntimeError,
                    "dim 0 appears multiple times",
                ),
                (lambda t: t.ones(1, 3).squeeze(1.5), TypeError, "squeeze"),
            ),
        ),
        row(
            "unsqueeze",
            lambda m: (m((2, 3)), 0),
            lambda m: (m((2, 3)), -1),
            lambda m: (m((2, 3)), 1),
            lambda m: ((m(()),), {"dim": 0}),
            lambda m: (m((0,)), 1),
            errors=(dim_error(lambda t: t.ones(2).unsqueeze(2)),),
        ),
    ]


def windows() -> list[Row]:
    return [
        row(
            "Tensor.unfold",
            lambda m: (m((7,)), 0, 3, 2),
            lambda m: (m((2, 5)), 1, 2, 1),
            lambda m: (m((5, 2)), -2, 3, 1),
            lambda m: (m((5,)), 0, 5, 4),
            lambda m: (m(()), 0, 1, 1),
            lambda m: ((m((3, 4)),), {"dimension": 1, "size": 1, "step": 3}),
            errors=(
                (
                    lambda t: t.ones(3).unfold(0, 4, 1),
                    RuntimeError,
                    "maximum size for tensor at dimen",
                ),
                (lambda t: t.ones(3).unfold(0, 2, 0), RuntimeError, "step is 0 but must be > 0"),
                (lambda t: t.ones(3).unfold(0, -1, 1), RuntimeError, "size is -1 but must be >= 0"),
                dim_error(lambda t: t.ones(2, 3).unfold(2, 1, 1)),
            ),
        ),
        row(
            "as_strided",
            lambda m: (m((2, 6)), (2, 3), (2, 1)),
            lambda m: (m((12,)), (3, 2), (1, 1), 4),
            lambda m: ((m((12,)),), {"size": (2, 2), "stride": (0, 3), "storage_offset": 1}),
            lambda m: (m((3,)), (), (), 2),
            strided=False,
            errors=(
                (
                    lambda t: t.ones(3).as_strided((2,), (3,)),
                    RuntimeError,
                    "out of bounds for storage",
                ),
                (
                    lambda t: t.ones(3).as_strided((2,), (-1,)),
                    RuntimeError,
                    "Negative strides are not",
                ),
                (
                    lambda t: t.ones(3).as_strided((2,), (1, 1)),
                    RuntimeError,
                    "mismatch in length of st",
                ),
                (
                    lambda t: t.ones(3).as_strided((2,), (1,), -1),
                    RuntimeError,
                    "invalid storage offset",
                ),
            ),
        ),
    ]


def in_place() -> list[Row]:
    leaf = (
        RuntimeError,
        "a leaf Variable that requires grad is being used in an in-place operation",
    )

    def on_leaf(change) -> tuple:
        return lambda t: change(t.ones(1, 2, requires_grad=True)), *leaf

    return [
        row(
            "Tensor.squeeze_",
            lambda m: (m((1, 3, 1)),),
            lambda m: (m((1, 3, 1)), 0),
            lambda m: (m((1, 3, 1)), (0, 2)),
            errors=(on_leaf(lambda x: x.squeeze_()), dim_error(lambda t: t.ones(2, 3).squeeze_(2))),
        ),
        row(
            "Tensor.unsqueeze_",
            lambda m: (m((2, 3)), 1),
            errors=(on_leaf(lambda x: x.unsqueeze_(0)),),
        ),
        row("Tensor.t_", lambda m: (m((2, 3)),), errors=(on_leaf(lambda x: x.t_()),)),
        row(
            "Tensor.transpose_",
            lambda m: (m((2, 3, 2)), 0, -1),
            errors=(
                on_leaf(lambda x: x.transpose_(0, 1)),
                dim_error(lambda t: t.ones(2, 3).transpose_(0, 2)),
            ),
        ),
        row("Tensor.swapaxes_", lambda m: (m((2, 3)), 0, 1)),
        row("Tensor.swapdims_", lambda m: (m((2, 3)), 0, 1)),
        row("Tensor.as_strided_", lambda m: (m((2, 3)), (2, 2), (1, 2), 1), strided=False),
        row(
            "Tensor.resize_",
            lambda m: (m((2, 3)), 2, 2),
            lambda m: (m((2, 3)), (3, 2)),
            lambda m: (m((2, 3)), (0,)),
            grad=False,
            strided=False,
            errors=(
                (
                    lambda t: t.ones(3, requires_grad=True).resize_(2),
                    RuntimeError,
                    "cannot resize variables that require grad",
                ),
                (lambda t: t.ones(3).resize_(-1), RuntimeError, ""),
            ),
        ),
        row("resize_as_", lambda m: (m((2, 3)), m((3, 2))), grad=False, strided=False),
        row("Tensor.resize", lambda m: (m((6,)), 3, 2), exact_node=False),
        row("Tensor.resize_as", lambda m: (m((6,)), m.constant((3, 2))), exact_node=False),
        row(
            "Tensor.set_",
            lambda m: (m((2, 3)), m((3,))),
            lambda m: (m((2, 3)),),
            grad=False,
            errors=(
                (
                    lambda t: t.ones(3).set_(t.ones(2, dtype=t.int64)),
                    RuntimeError,
                    "Could not set tensor of type",
                ),
            ),
        ),
    ]


def question(name: str, *build, dtypes: tuple = ALL, **facets) -> Row:
    """A row of a function whose answer is no tensor."""
    return Row(name, calls(*build), dtypes, grad=False, **facets)


def questions() -> list[Row]:
    one = lambda m: (m((2, 3)),)  # noqa: E731
    return [
        question(
            "numel",
            one,
            lambda m: (m(()),),
            lambda m: (m((0, 3)),),
            errors=((lambda t: t.numel(3), TypeError, "must be Tensor, not int"),),
        ),
        question("is_floating_point", one),
        question("is_complex", one),
        question("is_inference", one),
        question("is_storage", one),
        question(
            "is_nonzero",
            lambda m: (m((1, 1)),),
            lambda m: (np.zeros((), m.dtype),),
            errors=(
                (
                    lambda t: t.is_nonzero(t.ones(2)),
                    RuntimeError,
                    "with more than one value is ambig",
                ),
                (lambda t: t.is_nonzero(t.ones(0)), RuntimeError, "with no values is ambiguous"),
            ),
        ),
        question(
            "is_same_size", lambda m: (m((2, 3)), m((2, 3))), lambda m: (m((2, 3)), m((3, 2)))
        ),
        question("Tensor.is_set_to", lambda m: (m((2, 3)), m((2, 3)))),
        question(
            "result_type",
            lambda m: (m((2,)), m(())),
            lambda m: (m((2,)), 3),
            lambda m: (2.5, m((2,))),
            lambda m: (m(()), m.ints((2,))),
            lambda m: (m(()), 1j),
            lambda m: (True, 3),
            dtypes=("bool", "int32", "float32", "float64", "complex64"),
            errors=(
                (lambda t: t.result_type(t.ones(2), "a"), TypeError, "invalid combination of"),
            ),
        ),
    ]


ROWS = [
    *reshaping(),
    *repeating(),
    *ordering(),
    *sizes_of_one(),
    *windows(),
    *in_place(),
    *questions(),
]
