"""Creation: filled tensors, tensors like another, ranges, matrices, tensors from data."""

from __future__ import annotations

import numpy as np

import chainrule

from ..op_table import REAL, Row
from .elementwise import calls
from .shape import row

ONE = ("float32",)
NEGATIVE = (RuntimeError, "Trying to create tensor with negative dimension -1")
ONLY_FLOATS = (RuntimeError, "Only Tensors of floating point and complex dtype can require grad")
NOT_FINITE = (RuntimeError, "value cannot be converted to type .* without overflow")
DTYPES = ("bool", "uint8", "int64", "float16", "bfloat16", "float64", "complex64")


def once(name: str, *build, **facets) -> Row:
    """A row of a function that does not look at tensors."""
    return Row(name, calls(*build), ONE, grad=False, **facets)


def in_dtypes(*args, dtypes: tuple = DTYPES) -> list:
    """Calls with these arguments for each dtype."""
    return [lambda m, d=d: (args, {"dtype": getattr(chainrule, d)}) for d in dtypes]


def filled() -> list[Row]:
    def sized(name: str, **facets) -> Row:
        negative = (
            (RuntimeError, "Dimension size must be non-negative") if name == "zeros" else NEGATIVE
        )
        return once(
            name,
            lambda m: (2, 3),
            lambda m: ((2, 3),),
            lambda m: ([2],),
            lambda m: ((),),
            lambda m: (0, 3),
            lambda m: ((), {"size": (2,), "requires_grad": True}),
            lambda m: ((2,), {"dtype": int, "device": "cpu", "layout": chainrule.strided}),
            *in_dtypes(2),
            errors=(
                (lambda t: getattr(t, name)(-1), *negative),
                (lambda t: getattr(t, name)(1.5), TypeError, "must be tuple of ints, not float"),
                (lambda t: getattr(t, name)((2, 1.5)), TypeError, "must be tuple of ints"),
                (lambda t: getattr(t, name)(True), TypeError, "must be tuple of ints, not bool"),
                (lambda t: getattr(t, name)(2, foo=1), TypeError, "unexpected keyword argument"),
                (
                    lambda t: getattr(t, name)(2, dtype="float"),
                    TypeError,
                    "must be torch.dtype, not s",
                ),
                (
                    lambda t: getattr(t, name)(2, device="cuda"),
                    AssertionError,
                    "not compiled with CU",
                ),
                (lambda t: getattr(t, name)(10**14), RuntimeError, "can't allocate memory"),
                (
                    lambda t: getattr(t, name)(2**40, 2**40),
                    RuntimeError,
                    "size calculation overflowed",
                ),
                (lambda t: getattr(t, name)(2, dtype=t.int64, requires_grad=True), *ONLY_FLOATS),
            ),
            **facets,
        )

    return [
        sized("zeros"),
        sized("ones"),
        sized("empty", values=False),
        once(
            "full",
            lambda m: ((2, 3), 3),
            lambda m: ((2,), 1.5),
            lambda m: ((2,), True),
            lambda m: ([0], 1j),
            lambda m: ((), -2.5),
            lambda m: ((2,), np.array(4.0)),
            lambda m: ((), {"size": (2,), "fill_value": float("nan")}),
            *in_dtypes((2,), 1.75),
            errors=(
                (lambda t: t.full((2,), 300, dtype=t.uint8), *NOT_FINITE),
                (lambda t: t.full((2,), float("inf"), dtype=t.int32), *NOT_FINITE),
                (lambda t: t.full((2,), 1e39), *NOT_FINITE),
                (lambda t: t.full((2,), 1j, dtype=t.float32), *NOT_FINITE),
                (lambda t: t.full(2, 1), TypeError, "must be tuple of ints, not int"),
                (lambda t: t.full((2,), "a"), TypeError, "must be Number, not str"),
                (lambda t: t.full((-1,), 1), *NEGATIVE),
            ),
        ),
        once(
            "scalar_tensor",
            lambda m: (3,),
            lambda m: (True,),
            *in_dtypes(1.5),
            errors=((lambda t: t.scalar_tensor(1j), *NOT_FINITE),),
        ),
        once(
            "empty_strided",
            lambda m: ((2, 3), (1, 2)),
            lambda m: (((0,), (1,)), {"dtype": chainrule.int16}),
            values=False,
            errors=(
                (
                    lambda t: t.empty_strided((2,), (1, 1)),
                    RuntimeError,
                    "must match dimensionality",
                ),
                (lambda t: t.empty_strided((2,), (-1,)), RuntimeError, ""),
            ),
        ),
        once(
            "empty_permuted",
            lambda m: ((2, 3, 4), (0, 2, 1)),
            values=False,
            errors=(
                (lambda t: t.empty_permuted((2, 3), (0,)), RuntimeError, "Number of dimensions"),
            ),
        ),
    ]


def alike() -> list[Row]:
    def like(name: str, *values, **facets) -> Row:
        return row(
            name,
            lambda m: (m((2, 3)), *values),
            lambda m: (m(()), *values),
            lambda m: ((m((0, 3)), *values), {"dtype": chainrule.float64, "requires_grad": True}),
            lambda m: ((m((2, 3)), *values), {"memory_format": chainrule.contiguous_format}),
            grad=False,
            errors=(
                (lambda t: getattr(t, name)([1.0], *values), TypeError, "must be Tensor, not list"),
                (
                    lambda t: getattr(t, name)(t.ones(2), *values, device="cuda"),
                    AssertionError,
                    "Torch not compiled with CUDA enabled",
                ),
            ),
            **facets,
        )

    def new(name: str, **facets) -> Row:
        return row(
            f"Tensor.{name}",
            lambda m: (m((2,)), 2, 3),
            lambda m: (m((2,)), (3,)),
            lambda m: ((m((2,)), (0,)), {"dtype": chainrule.float64, "requires_grad": True}),
            lambda m: ((m((2,)),), {"size": (2,)}),
            grad=False,
            errors=(
                (lambda t: getattr(t.ones(2), name)(), TypeError, "missing 1 required positional"),
                (
                    lambda t: getattr(t.ones(2), name)(1.5),
                    TypeError,
                    "must be tuple of ints, not f",
                ),
            ),
            **facets,
        )

    return [
        like("zeros_like"),
        like("ones_like"),
        like("empty_like", values=False),
        like("full_like", 2),
        new("new_zeros"),
        new("new_ones"),
        new("new_empty", values=False),
        row(
            "Tensor.new_full",
            lambda m: (m((2,)), (2, 3), 2),
            lambda m: ((m((2,)), (2,), 1.5), {"dtype": chainrule.int64}),
            grad=False,
            errors=(
                (lambda t: t.ones(2).new_full(3, 1), TypeError, "must be tuple of ints, not int"),
            ),
        ),
        row(
            "Tensor.new_empty_strided", lambda m: (m(()), (2, 3), (1, 2)), grad=False, values=False
        ),
        row(
            "Tensor.new_tensor",
            lambda m: (m((2,)), [1, 0]),
            lambda m: (m((2,)), 1),
            lambda m: ((m((2,)), [[1.5]]), {"dtype": chainrule.float64, "requires_grad": True}),
            grad=False,
        ),
    ]


def ranges() -> list[Row]:
    ends = [(0, 1, 5), (3, -2, 4), (0.5, 7, 11), (1, 1, 3), (2, 9, 1), (0, 1, 0)]
    integers = ("uint8", "int8", "int16", "int32", "int64")
    lines = [lambda m, e=e: e for e in ends]
    wrong = (RuntimeError, "upper bound and lower bound inconsistent with step sign")

    def line_errors(name: str) -> tuple:
        return (
            (
                lambda t: getattr(t, name)(0, 1, -1),
                RuntimeError,
                "number of steps must be non-negative",
            ),
            (lambda t: getattr(t, name)(0, 1, 2.5), TypeError, name),
            (lambda t: getattr(t, name)(0, 1), TypeError, name),
            (
                lambda t: getattr(t, name)(t.ones(1), 1, 3),
                RuntimeError,
                "only supports 0-dimensional",
            ),
        )

    return [
        once(
            "arange",
            *[lambda m, a=a: a for a in ((5,), (5.0,), (0,), (1, 5), (5, 1, -2), (0, 1, 0.1))],
            *[lambda m, a=a: a for a in ((1.0, 1.3, 0.1), (0, 2, 1 / 3), (-1.5, 40, 0.3), (True,))],
            lambda m: ((), {"end": 4}),
            lambda m: ((1,), {"end": 6, "step": 2}),
            lambda m: ((), {"start": 1, "end": 3, "requires_grad": False}),
            lambda m: (np.array(3), np.array(5.0)),
            *in_dtypes(-3, 90, 1.75, dtypes=("int64", "int8", "float64", "float16", "bfloat16")),
            *in_dtypes(0.5, 5.5, 1.5, dtypes=integers),
            errors=(
                (lambda t: t.arange(-1), *wrong),
                (lambda t: t.arange(1, 5, -1), *wrong),
                (lambda t: t.arange(1, 5, 0), RuntimeError, "step must be nonzero"),
                (lambda t: t.arange(float("nan")), RuntimeError, "unsupported range: 0 -> nan"),
                (lambda t: t.arange("a"), TypeError, "must be Number, not str"),
                (lambda t: t.arange(5, step=2), TypeError, "arange"),
                (lambda t: t.arange(3, requires_grad=True), *ONLY_FLOATS),
                (
                    lambda t: t.arange(3, dtype=t.bool),
                    NotImplementedError,
                    "not implemented for 'Bool'",
                ),
                (lambda t: t.arange(10**17), RuntimeError, "allocate"),
            ),
        ),
        once(
            "range",
            lambda m: (0, 3),
            lambda m: (1, 2, 0.25),
            lambda m: ((3, 0, -2), {"dtype": chainrule.float64}),
            errors=((lambda t: t.range(1, 0), *wrong),),
        ),
        once(
            "linspace",
            *lines,
            lambda m: (0, 1j, 3),
            lambda m: (np.array(0.5), 2, 3),
            lambda m: ((), {"start": 0, "end": 1, "steps": 3, "requires_grad": True}),
            *in_dtypes(-3, 10, 7, dtypes=("int64", "float64", "float16", "bfloat16", "complex128")),
            errors=line_errors("linspace"),
        ),
        once(
            "logspace",
            *lines,
            lambda m: (0, 3, 4, 2),
            lambda m: ((0, 1, 3), {"base": -2.0}),
            *in_dtypes(0, 2, 5, dtypes=("int64", "float64", "float16", "complex128")),
            tolerance={"float32": 1e-6},
            errors=line_errors("logspace"),
        ),
    ]


def matrices() -> list[Row]:
    def indices(name: str) -> Row:
        return once(
            name,
            *[lambda m, a=a: a for a in ((3, 3), (2, 4, 1), (4, 2, -1), (3, 3, 9), (0, 2))],
            lambda m: ((), {"row": 2, "col": 3, "offset": -1, "dtype": chainrule.int32}),
            errors=(
                (
                    lambda t: getattr(t, name)(-1, 2),
                    RuntimeError,
                    "row must be non-negative, got-1",
                ),
                (
                    lambda t: getattr(t, name)(2, 2, dtype=t.float32),
                    NotImplementedError,
                    f"\"{name}\" not implemented for 'Float'",
                ),
            ),
        )

    return [
        once(
            "eye",
            *[lambda m, a=a: a for a in ((3,), (2, 3), (3, 2), (0,))],
            lambda m: ((), {"n": 2, "m": 4, "requires_grad": True}),
            *in_dtypes(2),
            errors=(
                (lambda t: t.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
                (lambda t: t.eye(2, -1), RuntimeError, "m must be greater or equal to 0, got -1"),
                (lambda t: t.eye(1.5), TypeError, "must be int, not float"),
            ),
        ),
        indices("tril_indices"),
        indices("triu_indices"),
    ]


def complex_parts() -> list[Row]:
    wrong = (RuntimeError, "Expected both inputs to be Half, Float or Double tensors but got Long")
    pairs = (
        lambda m: (m((2, 3)), m((2, 3))),
        lambda m: (m((2, 1)), m((3,))),
        lambda m: (m(()), m((0,))),
    )
    return [
        row(
            "complex",
            *pairs,
            dtypes=REAL,
            complex_grad=False,
            errors=(
                (lambda t: t.complex(t.tensor([1]), t.tensor([1])), *wrong),
                (
                    lambda t: t.complex(t.ones(1).double(), t.ones(1)),
                    RuntimeError,
                    "Expected object of scalar type Double but got scalar type Float for second",
                ),
            ),
        ),
        row(
            "polar",
            *pairs,
            dtypes=REAL,
            complex_grad=False,
            tolerance={"float32": 1e-6},
            errors=((lambda t: t.polar(t.tensor([1]), t.tensor([1])), *wrong),),
        ),
    ]


def from_data() -> list[Row]:
    numbers = (
        1,
        1.5,
        True,
        1j,
        [],
        [[]],
        [1, 2],
        [1, 2.5, True],
        [True, False],
        [1, 2j],
        [[1], [2]],
        (1, 2),
        [(1, 2), [3, 4]],
        [1e300],
        -(2**63),
        [[[True]], [[2]]],
    )
    kinds = ("bool", "uint8", "int32", "float16", "bfloat16", "float64", "complex64")
    ragged = (ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)")
    overflow = (RuntimeError, "value cannot be converted to type u?int.* without overflow")
    refused = (
        ([[1, 2], [3]], *ragged),
        ([[1, 2], 3], TypeError, "not a sequence"),
        ([1, [2]], TypeError, "'list' object cannot be interpreted as an integer"),
        ("a", TypeError, r"new\(\): invalid data type 'str'"),
        (["a"], ValueError, "too many dimensions 'str'"),
        ([1, "a"], TypeError, r"new\(\): invalid data type 'str'"),
        (None, RuntimeError, "Could not infer dtype of NoneType"),
        ([1, None], RuntimeError, "Could not infer dtype of NoneType"),
        ({}, RuntimeError, "Could not infer dtype of dict"),
        (2**63, ValueError, "Overflow when unpacking long long"),
        ([2**70], ValueError, "Overflow when unpacking long long"),
    )
    errors = tuple((lambda t, x=x: t.tensor(x), kind, text) for x, kind, text in refused)
    return [
        once(
            "tensor",
            *[lambda m, x=x: (x,) for x in numbers],
            lambda m: (([1.5, -2.5],), {"dtype": chainrule.int64}),
            lambda m: (([-1, 255],), {"dtype": chainrule.uint8}),
            lambda m: (([1.0],), {"requires_grad": True, "device": "cpu"}),
            *in_dtypes([1.75, 0], dtypes=kinds),
            errors=(
                *errors,
                (lambda t: t.tensor([300], dtype=t.uint8), *overflow),
                (lambda t: t.tensor(float("nan"), dtype=t.int64), *overflow),
                (
                    lambda t: t.tensor([1j], dtype=t.float32),
                    TypeError,
                    "must be real number, not co",
                ),
                (
                    lambda t: t.tensor([1j], dtype=t.int64),
                    TypeError,
                    "'complex' object cannot be in",
                ),
                (lambda t: t.tensor([1], requires_grad=True), *ONLY_FLOATS),
                (lambda t: t.tensor([1], dtype="int"), TypeError, "must be torch.dtype, not str"),
                (lambda t: t.tensor([1], device="cuda"), AssertionError, "not compiled with CUDA"),
                (lambda t: t.tensor(), TypeError, "missing 1 required positional argument"),
            ),
        ),
        row(
            "as_tensor",
            lambda m: (m((2, 3)),),
            lambda m: ((m((2,)),), {"dtype": chainrule.float64}),
            exact_node=False,
        ),
        row(
            "asarray",
            lambda m: (m((2, 3)),),
            lambda m: ((m((2,)),), {"dtype": chainrule.float64, "copy": True}),
            exact_node=False,
            errors=(
                (
                    lambda t: t.asarray([1], copy=False),
                    ValueError,
                    "can't alias arbitrary sequence",
                ),
                (
                    lambda t: t.asarray(t.ones(1), dtype=t.float64, copy=False),
                    ValueError,
                    "can't alias tensor with dtype 'Float' into dtype 'Double'",
                ),
            ),
        ),
        once(
            "from_numpy",
            errors=(
                (lambda t: t.from_numpy([1]), TypeError, r"expected np.ndarray \(got list\)"),
                (lambda t: t.from_numpy(np.array(["a"])), TypeError, "can't convert np.ndarray of"),
                (
                    lambda t: t.from_numpy(np.ones(2)[::-1]),
                    ValueError,
                    "At least one stride in the",
                ),
                (
                    lambda t: t.from_numpy(np.ones(2, ">f4")),
                    ValueError,
                    "byte order different from",
                ),
            ),
        ),
        once(
            "frombuffer",
            lambda m: ((bytearray(b"abcdefgh"),), {"dtype": chainrule.int32}),
            lambda m: (
                (bytearray(b"abcdefgh"),),
                {"dtype": chainrule.uint8, "count": 3, "offset": 2},
            ),
            errors=(
                (
                    lambda t: t.frombuffer(3, dtype=t.int8),
                    ValueError,
                    "object does not implement Pyt",
                ),
                (
                    lambda t: t.frombuffer(bytearray(3), dtype=t.int16),
                    ValueError,
                    "must be a multiple",
                ),
                (lambda t: t.frombuffer(bytearray(0), dtype=t.int8), ValueError, "must not be 0"),
                (
                    lambda t: t.frombuffer(bytearray(4), dtype=t.int16, count=3),
                    ValueError,
                    "must not be greater than actual buffer length",
                ),
                (
                    lambda t: t.frombuffer(bytearray(4), dtype=t.int8, offset=4),
                    ValueError,
                    "must be non-negative and no greater than buffer length",
                ),
            ),
        ),
    ]


ROWS = [*filled(), *alike(), *ranges(), *matrices(), *complex_parts(), *from_data()]
