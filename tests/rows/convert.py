"""Conversion: dtypes, memory formats, devices, and the tensor types of old."""

from __future__ import annotations

from collections.abc import Callable

import chainrule

from ..op_table import ALL, Row
from .elementwise import calls
from .shape import question, row

IMAGES = (2, 3, 2, 2)
NO_CUDA = (AssertionError, "Torch not compiled with CUDA enabled")
NO_ACCELERATOR = (RuntimeError, "Cannot access accelerator device when none is available")


def one(m: Callable) -> tuple:
    """A matrix."""
    return (m((2, 3)),)


def copying() -> list[Row]:
    return [
        row(
            "clone",
            one,
            lambda m: (m(()),),
            lambda m: (m((0, 2)),),
            lambda m: ((m(IMAGES),), {"memory_format": chainrule.channels_last}),
            errors=(
                (
                    lambda t: t.ones(2).clone(memory_format=t.channels_last),
                    RuntimeError,
                    "required rank 4 tensor to use channels_last format",
                ),
            ),
        ),
        row(
            "Tensor.contiguous",
            one,
            lambda m: ((m(IMAGES),), {"memory_format": chainrule.channels_last}),
            strided=False,
        ),
        question(
            "Tensor.is_contiguous",
            one,
            lambda m: ((m(IMAGES),), {"memory_format": chainrule.channels_last}),
            strided=False,
        ),
    ]


def converting() -> list[Row]:
    names = {
        "float": "float32",
        "double": "float64",
        "half": "float16",
        "bfloat16": "bfloat16",
        "cfloat": "complex64",
        "cdouble": "complex128",
        "bool": "bool",
        "byte": "uint8",
        "char": "int8",
        "short": "int16",
        "int": "int32",
        "long": "int64",
    }
    floating = ("double", "cdouble")
    return [
        *[row(f"Tensor.{name}", one, lambda m: (m(()),), grad=name in floating) for name in names],
        row(
            "Tensor.to",
            lambda m: (m((2, 3)), chainrule.float64),
            lambda m: (m((2, 3)), "cpu", chainrule.float64),
            lambda m: ((m((2, 3)),), {"dtype": chainrule.float64, "copy": True}),
            lambda m: (m((2, 3)), "cpu"),
            lambda m: (m((2, 3)), chainrule.float64, True, True),
            errors=(
                (lambda t: t.ones(2).to("cuda"), *NO_CUDA),
                (lambda t: t.ones(2).to(t.float32, t.float64), TypeError, "invalid combination of"),
                (lambda t: t.ones(2).to(foo=1), TypeError, "foo"),
                (lambda t: t.ones(2).to("nowhere"), RuntimeError, ""),
            ),
        ),
        row("Tensor.to", lambda m: (m((2,)), m.ints((3,))), grad=False),
        row("Tensor.to", lambda m: (m((2,)), chainrule.int32), grad=False),
        row(
            "Tensor.type",
            lambda m: (m((2, 3)), chainrule.float64),
            lambda m: (m((2, 3)), "torch.DoubleTensor"),
            errors=(
                (
                    lambda t: t.ones(2).type("torch.NoTensor"),
                    ValueError,
                    "invalid type: 'torch.NoT",
                ),
                (lambda t: t.ones(2).type(3), TypeError, "dtype must be a type, str, or dtype obj"),
            ),
        ),
        question("Tensor.type", one),
        row(
            "Tensor.type_as",
            lambda m: (m((2, 3)), m.constant((1,))),
            errors=((lambda t: t.ones(2).type_as(3), TypeError, "must be Tensor, not int"),),
        ),
    ]


def staying() -> list[Row]:
    return [
        row("Tensor.cpu", one, exact_node=False),
        row("Tensor.cuda", errors=((lambda t: t.ones(2).cuda(), *NO_CUDA),)),
        row("Tensor.pin_memory", errors=((lambda t: t.ones(2).pin_memory(), *NO_ACCELERATOR),)),
        question("get_default_device", lambda m: (), dtypes=("float32",)),
        question(
            "set_default_device",
            lambda m: ("cpu",),
            dtypes=("float32",),
            errors=(
                (lambda t: t.set_default_device("nowhere"), RuntimeError, "Expected one of cpu"),
            ),
        ),
        question("Tensor.is_pinned", one),
        question("Tensor.is_shared", one),
        row("Tensor.share_memory_", one, grad=False),
        row("Tensor.to_dense", one, exact_node=False),
        row("resolve_conj", one, exact_node=False),
        row("resolve_neg", one, exact_node=False),
        question("is_conj", one),
        question("is_neg", one),
    ]


def exchanging() -> list[Row]:
    return [
        row(
            "from_dlpack",
            one,
            lambda m: (m((0, 2)),),
            dtypes=tuple(name for name in ALL if name != "bfloat16"),
            grad=False,
            errors=(
                (
                    lambda t: t.from_dlpack(3),
                    RuntimeError,
                    "from_dlpack received an invalid capsule",
                ),
                (
                    lambda t: t.from_dlpack(t.ones(2, requires_grad=True)),
                    BufferError,
                    "Can't export tensors that require gradient, use tensor.detach()",
                ),
            ),
        ),
        row("to_dlpack", errors=((lambda t: t.to_dlpack(3), TypeError, ""),)),
    ]


def legacy() -> list[Row]:
    """FloatTensor and its kind."""
    kinds = ("Float", "Double", "Half", "BFloat16", "Bool", "Byte", "Char", "Short", "Int", "Long")
    return [
        *[
            Row(
                f"{kind}Tensor",
                calls(
                    lambda m: ([1, 0, 2],),
                    lambda m: ([[1.5], [0.5]],),
                    lambda m: (),
                    lambda m: (0, 3),
                ),
                ("float32",),
                grad=False,
                errors=(
                    (
                        lambda t, kind=kind: getattr(t, f"{kind}Tensor")(1.5),
                        TypeError,
                        r"new\(\): data must be a sequence \(got float\)",
                    ),
                    (
                        lambda t, kind=kind: getattr(t, f"{kind}Tensor")(t.ones(2).cfloat()),
                        TypeError,
                        "expected",
                    ),
                ),
            )
            for kind in kinds
        ],
        row(
            "Tensor.new",
            lambda m: (m((2,)), [1, 0]),
            lambda m: (m((2,)), m((3,))),
            lambda m: (m((2,)),),
            lambda m: (m((2,)), 0, 2),
            lambda m: ((m((2,)),), {"size": (0,)}),
            grad=False,
        ),
    ]


ROWS = [*copying(), *converting(), *staying(), *exchanging(), *legacy()]
