"""Printing against the texts that torch made (tests/golden/printing.json)."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from chainrule import display

GOLDEN = Path(__file__).parent / "golden" / "printing.json"
CASES = json.loads(GOLDEN.read_text())["cases"]
NAMES = {"np": np, "nan": np.nan, "inf": np.inf}


@pytest.fixture(autouse=True)
def default_options():
    before = display.get_printoptions()
    display.set_printoptions(profile="default")
    yield
    display.set_printoptions(**before)


def build(spec):
    dtype = ml_dtypes.bfloat16 if spec["dtype"] == "bfloat16" else spec["dtype"]
    with np.errstate(all="ignore"):
        return np.asarray(eval(spec["x"], NAMES)).astype(dtype)


def text(spec, array):
    return display.format_tensor(
        array,
        spec["dtype"],
        default_dtype_name=spec.get("default", "float32"),
        requires_grad="requires_grad" in spec or "grad_fn" in spec,
        grad_fn_name=spec.get("grad_fn"),
        leading=spec.get("leading", "tensor("),
        suffixes=spec.get("suffixes", ()),
    )


@pytest.mark.parametrize("spec", CASES, ids=[f"{i}-{s['dtype']}" for i, s in enumerate(CASES)])
def test_prints_what_torch_prints(spec):
    display.set_printoptions(**spec.get("options", {}))
    array = build(spec)
    assert text(spec, array) == spec["text"]
    assert text(spec, array[()]) == spec["text"]  # 0-d arrays become scalars


def test_enough_cases_of_every_dtype():
    seen = [spec["dtype"] for spec in CASES]
    assert len(seen) >= 350
    assert min(seen.count(name) for name in ("float16", "bfloat16", "complex64", "int64")) >= 30


def test_options_stay_until_set_again_but_for_sci_mode():
    display.set_printoptions(precision=2, sci_mode=True)
    display.set_printoptions(linewidth=40)
    options = display.get_printoptions()
    assert options == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 3,
        "linewidth": 40,
        "sci_mode": None,
    }
    display.set_printoptions(profile="full", edgeitems=1)
    display.set_printoptions(**options)
    assert display.get_printoptions() == options


def test_the_options_returned_are_a_copy():
    display.get_printoptions()["precision"] = 17
    assert display.get_printoptions()["precision"] == 4


def test_only_the_edges_of_a_large_array_are_formatted(monkeypatch):
    sizes = []
    cells = display._cells

    def counting(x, dtype_name):
        sizes.append(x.size)
        return cells(x, dtype_name)

    monkeypatch.setattr(display, "_cells", counting)
    display.format_array(np.zeros((1000, 1000)), "float64", 7)
    display.format_array(np.zeros((4, 100_000)), "float64", 7)
    assert sizes == [36, 24]


@pytest.mark.parametrize("shape", [(1,) * 64, (1,) * 62 + (2000, 1), (2,) * 9 + (9,)])
def test_many_axes(shape):
    array = np.zeros(shape, np.float32)
    lines = display.format_array(array, "float32", 7).splitlines()
    assert lines[0].startswith("[" * len(shape) + "0.")
    assert lines[-1].endswith("]" * len(shape))


def test_every_bit_pattern_of_a_half_prints_without_warning():
    bits = np.arange(2**16, dtype=np.uint16)
    display.set_printoptions(profile="full")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        shown = display.format_array(bits.view(dtype), np.dtype(dtype).name, 7)
        assert shown.count(",") == 2**16 - 1


def test_the_array_is_only_read():
    array = np.array([[1.5, np.nan], [2.0, -0.0]])
    array.flags.writeable = False
    assert display.format_array(array.T, "float64", 0) == "[[1.5000, 2.0000],\n [   nan, -0.0000]]"


class Tensor:
    """No more of a tensor than `tensor_repr` asks for."""

    dtype, requires_grad, grad_fn = "torch.float32", False, None

    def __init__(self, data, **changes):
        self._data = data
        vars(self).update(changes)


class Parameter(Tensor):
    pass


class Quantity(Tensor):
    pass


class Orphan(Tensor):
    @property
    def grad_fn(self):
        raise RuntimeError("a view whose history was lost")


class SumBackward0:
    pass


def test_repr_of_tensors_and_their_subclasses():
    x = np.float32([1, 2])
    shown = {
        "tensor([1., 2.])": Tensor(x),
        "tensor([1., 2.], requires_grad=True)": Parameter(x, requires_grad=True),
        "Quantity([1., 2.])": Quantity(x),
        "Orphan([1., 2.], grad_fn=<Invalid>)": Orphan(x, requires_grad=True),
        "tensor(3., grad_fn=<SumBackward0>)": Tensor(
            np.float32(3), requires_grad=True, grad_fn=SumBackward0()
        ),
        "tensor([1, 2], dtype=torch.int32)": Tensor(x.astype("int32"), dtype="torch.int32"),
    }
    assert {display.tensor_repr(tensor) for tensor in shown.values()} == set(shown)


def test_suffixes_come_last_and_break_lines():
    tensor = Tensor(np.float32([1, 2]), requires_grad=True)
    suffixes = ["tangent=tensor([0., 1.])", "made_of=" + "x" * 40]
    assert (
        display.tensor_repr(tensor, suffixes)
        == "tensor([1., 2.], requires_grad=True, tangent=tensor([0., 1.]),\n"
        "       made_of=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx)"
    )
