"""Discrete Fourier transforms."""

from __future__ import annotations

import chainrule

from ..op_table import COMPLEX, INTS, REAL, Row
from .linalg import raising
from .reduce import calls

WHOLE = (*INTS, *REAL, *COMPLEX)
TOLERANCE = {"float32": 1e-5, "complex64": 1e-5, "float64": 1e-13, "complex128": 1e-13}


def over_one(name: str) -> Row:
    bad_norm = raising(
        lambda t: getattr(t.fft, name)(t.ones(3), norm="x"), 'Invalid normalization mode: "x"'
    )
    no_points = raising(
        lambda t: getattr(t.fft, name)(t.ones(3), 0), "Invalid number of data points (0) specified"
    )
    half = raising(
        lambda t: getattr(t.fft, name)(t.ones(4, dtype=t.float16)), "Unsupported dtype Half"
    )
    real_only = raising(
        lambda t: getattr(t.fft, name)(t.ones(3, dtype=t.complex64)),
        f"{name} expects a real input tensor, but got ComplexFloat",
    )
    from_real = name in ("rfft", "ihfft")
    return Row(
        f"fft.{name}",
        calls(
            lambda m: (m((4,)),),
            lambda m: (m((5,)),),
            lambda m: (m((2, 3)), 5),
            lambda m: (m((2, 5)), 3, 1),
            lambda m: (m((3, 2)), None, 0, "ortho"),
            lambda m: ((m((3, 2)),), {"n": 4, "dim": 0, "norm": "forward"}),
        ),
        (*INTS, *REAL) if from_real else WHOLE,
        complex_grad=not from_real,
        tolerance=TOLERANCE,
        exact_node=False,
        errors=(bad_norm, no_points, half, *((real_only,) if from_real else ())),
    )


def over_several(name: str, two: bool) -> Row:
    f = f"{name}2" if two else f"{name}n"
    from_real = name in ("rfft", "ihfft")
    twice = raising(
        lambda t: getattr(t.fft, f)(t.ones(2, 3), dim=(0, 0)), "FFT dims must be unique"
    )
    unequal = raising(
        lambda t: getattr(t.fft, f)(t.ones(2, 3), s=(2,), dim=(0, 1)),
        "When given, dim and shape arguments must have the same length",
    )
    return Row(
        f"fft.{f}",
        calls(
            lambda m: (m((2, 3)),),
            lambda m: (m((2, 3, 4)), (3, 2)),
            lambda m: ((m((2, 3, 3)),), {"dim": (0, 2), "norm": "ortho"}),
            lambda m: (m((3, 2)), (2, -1), (1, 0), "forward"),
        ),
        (*INTS, *REAL) if from_real else WHOLE,
        complex_grad=not from_real,
        tolerance=TOLERANCE,
        exact_node=False,
        errors=(twice, unequal),
    )


def moves() -> list[Row]:
    return [
        Row(
            f"fft.{name}",
            calls(
                lambda m: (m((4,)),),
                lambda m: (m((3, 4)),),
                lambda m: (m((3, 4)), 0),
                lambda m: (m((3, 4)), (1,)),
            ),
            WHOLE,
            complex_grad=True,
        )
        for name in ("fftshift", "ifftshift")
    ] + [
        Row(
            f"fft.{name}",
            calls(
                lambda m: (5,),
                lambda m: (4, 0.5),
                lambda m: (0,),
                lambda m: ((3,), {"d": 2.0, "dtype": chainrule.float64}),
            ),
            ("float32",),
            grad=False,
            errors=(
                raising(
                    lambda t, f=name: getattr(t.fft, f)(4, dtype=t.int64),
                    f"{name} requires a floating point or complex dtype",
                ),
            ),
        )
        for name in ("fftfreq", "rfftfreq")
    ]


NAMES = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
ROWS = [
    *(over_one(name) for name in NAMES),
    *(over_several(name, two) for name in NAMES for two in (True, False)),
    *moves(),
]
