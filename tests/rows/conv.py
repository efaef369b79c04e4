"""Convolutions, windows, padding, resampling, sampling at places of a grid."""

from __future__ import annotations

from collections.abc import Callable

from ..op_table import ALL, COMPLEX, FLOATS, INTS, REAL, Row
from .reduce import calls

INEXACT = (*FLOATS, *COMPLEX)
F = "nn.functional."
LOOSE = {
    "float16": 4e-3,
    "bfloat16": 3e-2,
    "float32": 1e-5,
    "float64": 1e-13,
    "complex64": 1e-5,
    "complex128": 1e-13,
}


def refused(call: Callable, message: str, error: type = RuntimeError) -> tuple:
    """An error that torch raises too."""
    return call, error, message


def convolutions() -> list[Row]:
    one = calls(
        lambda m: (m((2, 3, 6)), m((4, 3, 3)), m((4,))),
        lambda m: (m((3, 6)), m((4, 3, 3))),
        lambda m: ((m((2, 4, 7)), m((6, 2, 2)), m((6,))), {"groups": 2, "stride": 2, "padding": 1}),
        lambda m: ((m((1, 2, 8)), m((3, 2, 3)), None), {"padding": "same", "dilation": 2}),
        lambda m: ((m((1, 2, 8)), m((3, 2, 4)), None), {"padding": "same"}),
        lambda m: ((m((1, 2, 8)), m((3, 2, 4)), None, (2,)), {"padding": "valid"}),
        lambda m: (m((0, 2, 5)), m((3, 2, 2))),
    )
    two = calls(
        lambda m: (m((2, 3, 5, 4)), m((4, 3, 3, 2)), m((4,))),
        lambda m: (m((3, 5, 4)), m((4, 3, 2, 2)), m((4,)), (2, 1), (1, 0)),
        lambda m: ((m((2, 4, 5, 5)), m((4, 1, 3, 3)), m((4,))), {"groups": 4, "padding": (1, 2)}),
        lambda m: ((m((1, 2, 7, 6)), m((2, 2, 3, 3))), {"dilation": (2, 1), "stride": (1, 2)}),
        lambda m: ((m((1, 2, 4, 5)), m((2, 2, 2, 3))), {"padding": "same"}),
        lambda m: (m((2, 3, 4, 4)), m((5, 3, 1, 1))),
    )
    three = calls(
        lambda m: (m((1, 2, 3, 4, 3)), m((3, 2, 2, 2, 2)), m((3,))),
        lambda m: (m((2, 3, 4, 3)), m((3, 2, 2, 2, 2)), None, 2, 1),
        lambda m: ((m((1, 2, 3, 3, 3)), m((2, 1, 2, 2, 2))), {"groups": 2}),
    )
    errors = (
        refused(lambda t: t.conv2d(t.ones(1, 3, 4, 4), t.ones(2, 2, 3, 3)), "to have 2 channels"),
        refused(lambda t: t.conv2d(t.ones(2, 2), t.ones(1, 1, 1, 1)), "Expected 3D .* or 4D"),
        refused(lambda t: t.conv2d(t.ones(1, 1, 2, 2), t.ones(1, 1, 3, 3)), "Kernel size can't be"),
        refused(
            lambda t: t.conv2d(t.ones(1, 1, 4, 4), t.ones(1, 1, 3, 3), stride=2, padding="same"),
            "padding='same' is not supported for strided convolutions",
        ),
        refused(
            lambda t: t.conv2d(t.ones(1, 1, 4, 4), t.ones(1, 1, 3, 3, dtype=t.float64)),
            "expected scalar type Float but found Double",
        ),
        refused(
            lambda t: t.conv2d(t.ones(1, 1, 4, 4), t.ones(1, 1, 3, 3), t.ones(2)),
            "expected bias to be 1-dimensional with 1 elements",
        ),
        refused(
            lambda t: t.conv2d(t.ones(1, 1, 4, 4), t.ones(1, 1, 3, 3), padding=-1),
            "negative padding is not supported",
        ),
    )
    several = calls(
        lambda m: (m((1, 2, 4)), m((3, 2, 2)), m((3,)), [1], [0], [1], False, [0], 1),
        lambda m: (m((1, 2, 4)), m((2, 3, 2)), m((3,)), [2], [1], [1], True, [1], 1),
    )
    timed = calls(lambda m: (m((5, 2, 3)), m((2, 3, 4)), m((4,)), 1))
    return [
        Row(F + "conv1d", one, INEXACT, complex_grad=True, tolerance=LOOSE, exact_node=False),
        Row(F + "conv1d", one, ("int64",), grad=False),
        Row(F + "conv2d", two, INEXACT, tolerance=LOOSE, errors=errors, exact_node=False),
        Row(F + "conv3d", three, REAL, tolerance=LOOSE, exact_node=False),
        Row("convolution", several, REAL, tolerance=LOOSE),
        Row(F + "conv_tbc", timed, REAL, tolerance=LOOSE, exact_node=False),
    ]


def transposed() -> list[Row]:
    one = calls(
        lambda m: (m((2, 3, 4)), m((3, 2, 3)), m((2,))),
        lambda m: (m((3, 4)), m((3, 2, 3))),
        lambda m: ((m((1, 4, 3)), m((4, 3, 2)), m((6,))), {"groups": 2, "stride": 3}),
        lambda m: (
            (m((1, 2, 4)), m((2, 3, 3))),
            {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 2},
        ),
        lambda m: ((m((1, 2, 4)), m((2, 3, 3))), {"output_padding": 1, "dilation": 2}),
    )
    two = calls(
        lambda m: (m((2, 3, 3, 2)), m((3, 2, 3, 2)), m((2,))),
        lambda m: (m((3, 3, 2)), m((3, 2, 2, 2)), None, (2, 1), (1, 0), (1, 0)),
        lambda m: ((m((1, 2, 3, 3)), m((2, 1, 2, 2))), {"groups": 2, "dilation": 2}),
    )
    three = calls(
        lambda m: (m((1, 2, 2, 3, 2)), m((2, 2, 2, 1, 2)), m((2,))),
        lambda m: ((m((2, 2, 3, 2)), m((2, 2, 2, 2, 2))), {"stride": 2, "padding": 1}),
    )
    errors = (
        refused(
            lambda t: t.conv_transpose2d(t.ones(1, 1, 3, 3), t.ones(1, 1, 2, 2), output_padding=1),
            "output padding must be smaller than either stride or dilation",
        ),
        refused(
            lambda t: t.conv_transpose2d(t.ones(1, 1, 1, 1), t.ones(1, 1, 1, 1), padding=2),
            "Output size is too small",
        ),
        refused(
            lambda t: t.conv_transpose2d(t.ones(1, 3, 4, 4), t.ones(2, 2, 3, 3)),
            "to have 2 channels, but got 3 channels instead",
        ),
    )
    kinds = {"tolerance": LOOSE, "exact_node": False}
    return [
        Row(F + "conv_transpose1d", one, INEXACT, complex_grad=True, **kinds),
        Row(F + "conv_transpose2d", two, REAL, errors=errors, **kinds),
        Row(F + "conv_transpose3d", three, REAL, **kinds),
    ]


def windows() -> list[Row]:
    unfolds = calls(
        lambda m: (m((2, 2, 4, 3)), 2),
        lambda m: (m((2, 4, 5)), (3, 2), 2, 1, (1, 2)),
        lambda m: (m((0, 1, 4, 4)), 2),
    )
    folds = calls(
        lambda m: (m((2, 8, 6)), (4, 3), 2),
        lambda m: (m((4, 9)), 4, 2),
        lambda m: (m((1, 12, 4)), (5, 5), (3, 2), 1, 0, 2),
    )
    small = refused(
        lambda t: t.nn.functional.unfold(t.ones(1, 1, 2, 2), 3), "calculated shape of the array"
    )
    wrong = refused(
        lambda t: t.nn.functional.fold(t.ones(1, 4, 8), 4, 2),
        "expected size of input's dimension 2 to match",
    )
    return [
        Row(F + "unfold", unfolds, INEXACT, complex_grad=True, errors=(small,)),
        Row(F + "fold", folds, INEXACT, tolerance=LOOSE, errors=(wrong,)),
    ]


def pads() -> list[Row]:
    constant = calls(
        lambda m: (m((2, 3)), (1, 2)),
        lambda m: (m((2, 3)), (1, -1, 0, 2), 1),
        lambda m: (m((3,)), (-1, -1)),
        lambda m: (m(), ()),
        lambda m: (m((0, 2)), (1, 1, 2, 0)),
    )
    modes = calls(
        *(
            lambda m, mode=mode: ((m((2, 3, 4)), (2, 1)), {"mode": mode})
            for mode in ("reflect", "replicate", "circular")
        ),
        *(
            lambda m, mode=mode: ((m((1, 3, 4, 5)), (1, 2, 2, -1), mode), {})
            for mode in ("reflect", "replicate", "circular")
        ),
        *(
            lambda m, mode=mode: (m((1, 2, 3, 2, 3)), (1, 1, 1, 0, 2, 1), mode)
            for mode in ("reflect", "replicate", "circular")
        ),
        lambda m: ((m((2, 3)), (4, 3), "replicate"), {}),
        lambda m: ((m((2, 3)), (1, 1)), {"value": 3}),
    )
    pad = "nn.functional.pad"
    errors = (
        refused(lambda t: t.nn.functional.pad(t.ones(2, 2), (1,)), "Padding length must be"),
        refused(lambda t: t.nn.functional.pad(t.ones(2), (1, 1, 1, 1)), "Padding length should be"),
        refused(
            lambda t: t.nn.functional.pad(t.ones(1, 2), (2, 0), "reflect"),
            "Padding size should be less than the corresponding input dimension",
        ),
        refused(
            lambda t: t.nn.functional.pad(t.ones(1, 2), (3, 0), "circular"),
            "Padding value causes wrapping around more than once",
        ),
        refused(
            lambda t: t.nn.functional.pad(t.ones(1, 2), (1, 0), "mirror"),
            "Unrecognised padding mode mirror",
            NotImplementedError,
        ),
    )
    return [
        Row("constant_pad_nd", constant, ALL),
        Row(pad, modes, (*INTS, *INEXACT), errors=errors, tolerance=LOOSE, exact_node=False),
    ]


def moved() -> list[Row]:
    up = calls(lambda m: (m((1, 8, 2, 3)), 2), lambda m: (m((4, 1, 2)), 2))
    down = calls(lambda m: (m((1, 2, 4, 6)), 2), lambda m: (m((2, 3, 3)), 3))
    shuffled = calls(lambda m: (m((2, 6, 2)), 2), lambda m: (m((1, 6, 2, 2)), 3))
    indivisible = refused(lambda t: t.pixel_shuffle(t.ones(1, 3, 2, 2), 2), "is not divisible by 4")
    groups = refused(lambda t: t.channel_shuffle(t.ones(1, 3, 2), 2), "must be divisible by groups")
    return [
        Row("pixel_shuffle", up, ALL, errors=(indivisible,)),
        Row("pixel_unshuffle", down, ALL),
        Row("channel_shuffle", shuffled, FLOATS, errors=(groups,)),
    ]


def resampled() -> list[Row]:
    sizes = calls(
        lambda m: (m((1, 2, 3)), 5),
        lambda m: ((m((1, 2, 4)),), {"scale_factor": 1.6, "mode": "linear"}),
        lambda m: ((m((1, 2, 4)), 7), {"mode": "nearest-exact"}),
        lambda m: ((m((1, 2, 3, 4)), (5, 3)), {"mode": "bilinear"}),
        lambda m: ((m((1, 2, 3, 4)), (5, 3)), {"mode": "bilinear", "align_corners": True}),
        lambda m: ((m((1, 1, 4, 3)), (3, 5)), {"mode": "bicubic"}),
        lambda m: ((m((1, 1, 4, 3)),), {"scale_factor": (1.5, 2), "mode": "bicubic"}),
        lambda m: ((m((1, 1, 6, 5)), (3, 2)), {"mode": "area"}),
        lambda m: ((m((1, 1, 2, 3, 2)), (3, 2, 3)), {"mode": "trilinear"}),
        lambda m: ((m((1, 1, 2, 3, 2)),), {"scale_factor": 2}),
        lambda m: ((m((1, 2, 4)),), {"scale_factor": 1.6, "recompute_scale_factor": True}),
    )
    bytes_ = calls(
        lambda m: ((m((1, 2, 4, 5), 0, 255), (6, 3)), {"mode": "bilinear"}),
        lambda m: ((m((1, 2, 4, 5), 0, 255), (3, 7)), {"mode": "bicubic"}),
        lambda m: (m((1, 2, 4, 5), 0, 255), (3, 7)),
    )
    old = calls(lambda m: (m((1, 2, 2, 3)), (4, 4)), lambda m: (m((1, 2, 2, 3)), None, 2))
    smooth = calls(
        lambda m: ((m((1, 1, 5, 4)), (3, 2)), {"mode": "bilinear", "antialias": True}),
        lambda m: ((m((1, 1, 5, 4)), (3, 6)), {"mode": "bicubic", "antialias": True}),
        lambda m: ((m((1, 1, 6, 5)), (3, 7)), {"mode": "lanczos", "antialias": True}),
    )
    interpolate = "nn.functional.interpolate"
    errors = (
        refused(
            lambda t: t.nn.functional.interpolate(t.ones(1, 1, 4)),
            "either size or scale_factor should be defined",
            ValueError,
        ),
        refused(
            lambda t: t.nn.functional.interpolate(t.ones(1, 1, 4), 2, mode="bilinear"),
            "Got 3D input, but bilinear mode needs 4D input",
            NotImplementedError,
        ),
        refused(
            lambda t: t.nn.functional.interpolate(t.ones(1, 1, 4), 0),
            "Input and output sizes should be greater than 0",
        ),
        refused(
            lambda t: t.nn.functional.interpolate(t.ones(1, 1, 4), 2, align_corners=True),
            "align_corners option can only be set",
            ValueError,
        ),
    )
    loose = {**LOOSE, "float16": 4e-3, "bfloat16": 3e-2}
    return [
        Row(interpolate, sizes, FLOATS, tolerance=loose, errors=errors, exact_node=False),
        Row(interpolate, bytes_, ("uint8",), grad=False),
        Row(interpolate, smooth, REAL, tolerance=loose, exact_node=False),
        Row(F + "upsample", old, REAL, tolerance=loose),
        Row(F + "upsample_nearest", old, REAL, tolerance=loose),
        Row(F + "upsample_bilinear", old, REAL, tolerance=loose),
    ]


def sampled() -> list[Row]:
    modes = [
        (mode, padding, align)
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for align in (True, False)
    ]
    places = calls(
        *(
            lambda m, mode=mode, padding=padding, align=align: (
                m((1, 2, 3, 4)),
                m((1, 2, 3, 2), -1.4, 1.4),
                mode,
                padding,
                align,
            )
            for mode, padding, align in modes
        ),
        lambda m: (m((1, 1, 2, 3, 2)), m((1, 2, 1, 2, 3), -1, 1), "bilinear", "zeros", False),
    )
    numbers = calls(lambda m: (m((1, 2, 3, 4)), m((1, 2, 3, 2), -1.4, 1.4), 0, 1, False))
    volumes = calls(lambda m: (m((1, 1, 2, 3, 2)), m((1, 2, 1, 2, 3), -1, 1), 0, 0, True))
    maps = calls(
        lambda m: (m((2, 2, 3)), (2, 1, 3, 2), False),
        lambda m: (m((1, 3, 4)), (1, 1, 2, 3, 1), True),
    )
    errors = (
        refused(
            lambda t: t.nn.functional.grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 1, 1, 2), "cubic"),
            "expected mode to be",
            ValueError,
        ),
        refused(
            lambda t: t.grid_sampler(t.ones(1, 1, 2, 2), t.ones(2, 1, 1, 2), 0, 0, False),
            "expected grid and input to have same batch size",
        ),
    )
    kinds = {"tolerance": {**LOOSE, "gradient": 1e-5}, "exact_node": False}
    return [
        Row(F + "grid_sample", places, REAL, errors=errors, **kinds),
        Row("grid_sampler", numbers, REAL, **kinds),
        Row("grid_sampler_2d", numbers, REAL, **kinds),
        Row("grid_sampler_3d", volumes, REAL, **kinds),
        Row(F + "affine_grid", maps, REAL, **kinds),
        Row("affine_grid_generator", maps, REAL, **kinds),
    ]


ROWS = [
    *convolutions(),
    *transposed(),
    *windows(),
    *pads(),
    *moved(),
    *resampled(),
    *sampled(),
]
