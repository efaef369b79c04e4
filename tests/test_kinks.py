"""Derivatives at kinks, bounds, ties, poles and NaN: what torch takes for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chainrule as torch
from chainrule import func
from chainrule.nn import functional as F

inf, nan = math.inf, math.nan


def gradient(f: Callable, points: list[float], order: int = 1) -> list[float]:
    """The derivative of order 1 or 2 of an elementwise function at some points."""
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    y = f(x)
    for _ in range(order):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=order > 1)
    return y.tolist()


def to(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


FIRST: dict[str, tuple[Callable, list[float], list[float]]] = {
    "abs": (torch.abs, [-1, 0, 1], [-1, 0, 1]),
    "sqrt": (torch.sqrt, [0, -1, inf], [inf, nan, 0]),
    "log": (torch.log, [0, -1, inf], [inf, -1, 0]),
    "square": (lambda x: x**2, [0, inf, nan], [0, inf, nan]),
    "power 0": (lambda x: x**0, [0, inf, nan], [0, 0, 0]),
    "power 1/2": (lambda x: x**0.5, [0, -1], [inf, nan]),
    "exponent 0": (lambda x: x ** to([0, 0]), [0, 2], [0, 0]),
    "base 0": (lambda x: to([0, 0, 0]) ** x, [0, 2, -1], [0, 0, -inf]),
    "maximum": (lambda x: torch.maximum(x, to([1])), [0, 1, 2, nan], [0, 0.5, 1, 1]),
    "minimum": (lambda x: torch.minimum(x, to([1])), [0, 1, 2, nan], [1, 0.5, 0, 1]),
    "maximum of one": (lambda x: torch.maximum(x, x), [0, nan], [1, 2]),
    "fmax": (lambda x: torch.fmax(x, to([1, 1, 1, nan])), [0, 1, nan, 1], [0, 1, 0, 1]),
    "fmax, second": (lambda x: torch.fmax(to([1, 1, nan]), x), [0, 1, 0], [0, 0, 1]),
    "clamp": (lambda x: torch.clamp(x, 0, 1), [-1, 0, 1, 2, nan], [0, 1, 1, 0, 0]),
    "clamp, crossed": (lambda x: torch.clamp(x, 1, 0), [0, 0.5, 1], [0, 0, 0]),
    "clamp's bound": (lambda x: torch.clamp(to([0, 1, 2]), max=x), [1, 1, 1], [0, 0, 1]),
    "atan2": (lambda x: torch.atan2(x, to([0])), [0, 1], [0, 0]),
    "hypot": (lambda x: torch.hypot(x, to([0])), [0, 1], [nan, 1]),
    "norm 1": (lambda x: x.norm(1), [nan, 0, -2], [0, 0, -1]),
    "distance 1": (lambda x: torch.dist(x, to([1, 1, 1]), 1), [nan, 1, -2], [0, 0, -1]),
    "xlogy": (lambda x: torch.xlogy(x, to([0, 1, -1])), [0, 0, 0], [0, 0, 0]),
    "sign": (torch.sign, [0, -1, nan], [0, 0, 0]),
    "sinc": (torch.sinc, [0], [0]),
    "nan_to_num": (torch.nan_to_num, [nan, inf, 1], [0, 0, 1]),
    "relu": (F.relu, [-1, 0, 1, nan], [0, 0, 1, 1]),
    "relu6": (F.relu6, [0, 3, 6], [0, 1, 0]),
    "leaky_relu": (F.leaky_relu, [-1, 0, 1], [0.01, 0.01, 1]),
    "hardtanh": (F.hardtanh, [-1, 0, 1, nan], [0, 1, 0, 1]),
    "hardsigmoid": (F.hardsigmoid, [-3, 0, 3, nan], [0, 1 / 6, 0, 0]),
    "hardswish": (F.hardswish, [-3, 0, 3, nan], [0, 0.5, 1, 1]),
    "hardshrink": (F.hardshrink, [-0.5, 0, 0.5, 1], [0, 0, 0, 1]),
    "softshrink": (F.softshrink, [-0.5, 0, 0.5, 1], [0, 0, 0, 1]),
    "threshold": (lambda x: F.threshold(x, 1, 5), [0, 1, 2], [0, 0, 1]),
    "elu": (lambda x: F.elu(x, 2.0), [0, 1], [2, 1]),
}
SECOND: dict[str, tuple[Callable, list[float], list[float]]] = {
    "sigmoid": (torch.sigmoid, [1000, -1000], [0, 0]),
    "silu": (F.silu, [0, 1000, -1000], [0.5, 0, 0]),
    "softplus": (F.softplus, [0, 1000, -1000], [0.25, 0, 0]),
    "logsigmoid": (F.logsigmoid, [0, 1000, -1000], [-0.25, 0, 0]),
    "mish": (F.mish, [1000, -1000], [0, 0]),
    "gelu": (F.gelu, [1000, -1000], [0, 0]),
    "sinc": (torch.sinc, [1e-3, 2], [-(math.pi**2) / 3, -0.5]),
    "logaddexp": (lambda x: torch.logaddexp(x, -x), [0, 1000, -1000], [1, 0, 0]),
    "elu": (F.elu, [0, 1], [0, 0]),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_derivative(name: str):
    f, points, expected = FIRST[name]
    assert gradient(f, points) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", SECOND)
def test_second_derivative(name: str):
    f, points, expected = SECOND[name]
    assert gradient(f, points, 2) == pytest.approx(expected, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("p", [-2, 0, 0.5, 1, 1.5, 2, 3, inf])
def test_norms_at_zero_in_forward_mode(p: float):
    v = to([1, -0.5, 0.25])
    for norm in (torch.linalg.vector_norm, lambda x, p: torch.dist(x, to([0, 0, 0]), p)):
        value, slope = torch.func.jvp(lambda x, norm=norm: norm(x, p), (to([0, 0, 0]),), (v,))
        assert (float(value), float(slope)) == (0, 0)
        value, slope = torch.func.jvp(lambda x, norm=norm: norm(x, p), (to([3, 0, -4]),), (v,))
        assert math.isfinite(float(value)) and math.isfinite(float(slope))


NOT_SMOOTH = {0.5: (nan, 0), 1.5: (nan, nan), 2: (0, 1), 2.5: (nan, nan), 3: (0, 0), -2: (0, 0)}


@pytest.mark.parametrize("p", NOT_SMOOTH)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_norms_at_zero_in_forward_over_reverse(p: float, dtype: torch.dtype):
    """What torch gives for the derivative of the gradient at zero, and at zero in one place."""
    f = torch.func

    def slope(norm, x: list, v: list) -> float:
        def gradient(x):
            return f.vjp(lambda x: norm(x, p), x)[1](torch.ones(()).double())[0]

        tangent = f.jvp(gradient, (torch.tensor(x, dtype=dtype),), (torch.tensor(v, dtype=dtype),))
        return tangent[1][0].real.item()

    for norm in (torch.linalg.vector_norm, lambda x, p: torch.dist(x, x.new_zeros(2), p)):
        found = slope(norm, [0, 0], [2, 0]), slope(norm, [0, 2], [2, 0])
        assert found == pytest.approx(NOT_SMOOTH[p], nan_ok=True)
    if p > 0:  # what is not scaled down does not see the norm
        assert slope(lambda x, p: torch.renorm(x[None], p, 0, 1.0).sum().real, [0, 0], [2, 0]) == 0


def test_masked_gradients_carry_neither_nan_nor_minus_zero():
    x = torch.tensor([-1.0, 1.0], requires_grad=True)
    F.relu(x).backward(torch.tensor([nan, -1.0]))
    assert str(x.grad) == "tensor([ 0., -1.])"


def test_number_before_the_tensor():
    """The signature of old programs: x.add(2, y) is x + 2 * y."""
    x, y = torch.tensor([1.0]), torch.tensor([3.0])
    with pytest.warns(UserWarning, match="This overload of add is deprecated"):
        assert x.add(2, y).item() == 7
    with pytest.warns(UserWarning, match="deprecated"):
        assert x.clone().addcdiv_(2, y, x).item() == 7


@pytest.mark.parametrize("size", [100, 100_000])
def test_large_arrays_take_the_same_values(size: int):
    """Above some size masks work on bits, and sums of steps in blocks."""
    x = torch.linspace(-9, 9, size)
    piece = x[:: size // 50].contiguous()
    for f in (F.gelu, torch.sigmoid, F.elu, lambda v: torch.where(v > 0, v, 2 * v), F.softplus):
        assert torch.allclose(f(x)[:: size // 50], f(piece), rtol=1e-6, atol=1e-6)


# -- docs/kinks.md ---------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "kinks.md"


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("copies", [1, 60])  # long scans run by doubling
def test_nothing_comes_from_behind_a_zero_of_a_running_product(compiled: bool, copies: int):
    def slopes(x, g):
        return torch.autograd.grad(x.cumprod(0), x, g)[0]

    call = torch.compile(slopes) if compiled else slopes
    for values, cotangents, expected in (
        ([2, 0, 3, 0, 1], [1, inf, nan, inf, nan], [1, nan, 0, 0, 0]),
        ([2, 0, 3, 0, 1], [1, 1, 1, inf, -inf], [1, 8, 0, 0, 0]),
        ([0, 2, 3, 1, 1], [inf, 1, 1, 1, 1], [inf, 0, 0, 0, 0]),
    ):
        x, g = to(values + [1] * 2 * copies), to(cotangents + [0] * 2 * copies)
        found = call(x.requires_grad_(), g)
        assert found[:5].tolist() == pytest.approx(expected, nan_ok=True)


# name: (function, points, cotangents, the gradient); NaN and infinities stay where they belong
COTANGENTS: dict[str, tuple[Callable, list, list, list]] = {
    "max": (lambda x: x.max().reshape(1), [1, 3, 2], [nan], [0, nan, 0]),
    "median": (lambda x: x.median().reshape(1), [1, 3, 2], [inf], [0, 0, inf]),
    "tanh": (torch.tanh, [0, 1000, 1], [inf, inf, 0], [inf, nan, 0]),
    "complex": (lambda x: torch.complex(x, to([1, 1])).real, [1, 2], [nan, 1], [nan, 1]),
    "imaginary part": (lambda x: torch.complex(to([1, 1]), x).real, [1, 2], [nan, 1], [0, 0]),
    "power 0": (lambda x: x ** to([0, 2]), [3, 4], [nan, 1], [0, 8]),
    "distance 0": (lambda x: torch.cdist(x[:, None], to([[1]]))[:, 0], [1, 3], [nan, 1], [0, 1]),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", COTANGENTS)
def test_cotangents_that_are_not_finite(name: str, compiled: bool):
    f, points, cotangents, expected = COTANGENTS[name]

    def slopes(x, g):
        return torch.autograd.grad(f(x), x, g)[0]

    call = torch.compile(slopes) if compiled else slopes
    for _ in range(1 + compiled):
        found = call(to(points).requires_grad_(), to(cotangents))
        assert found.tolist() == pytest.approx(expected, nan_ok=True)


def test_remainders_go_down_by_whole_divisors():
    y = to([0.1]).requires_grad_()
    torch.remainder(to([1.0]), y).sum().backward()
    assert y.grad.tolist() == [-9]  # 1 / 0.1 is 10, but 0.1 is more than a tenth


NAMES = {"torch": torch, "F": F, "inf": inf, "nan": nan}


def rows() -> Iterator[list[str]]:
    """The rows of the page's tables: expression, points, first and second derivative, remark."""
    for line in PAGE.read_text().split("\n"):
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" |")]


def tensor_of(values: list) -> torch.Tensor:
    """float64, or complex128 if there are complex numbers."""
    first = values[0] if isinstance(values[0], list) else values
    kind = torch.complex128 if any(isinstance(v, complex) for v in first) else torch.float64
    return torch.tensor(values, dtype=kind)


def pulled(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor | None:
    """The gradient of the sum of y's elements, of real and imaginary parts; zeros if y is
    constant.
    """
    if not y.requires_grad:
        return torch.zeros_like(x)
    y = torch.view_as_real(y) if y.is_complex() else y
    return torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)[0]


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: f"{row[0]} at {row[1]}")
def test_page_says_what_is_computed(row: list[str]):
    expression, points, first, second, _ = row
    x = tensor_of(eval(f"[{points}]", NAMES)).requires_grad_()
    g = pulled(eval(expression.strip("`"), NAMES | {"x": x, "to": tensor_of}), x)
    if first == "none":
        assert g is None
        return
    assert_close(g, first)
    if second:
        h = pulled(g, x)
        assert_close(torch.zeros_like(x) if h is None else h, second)


def assert_close(found: torch.Tensor, cell: str) -> None:
    """Equal to the six digits of a cell, part by part."""
    expected = tensor_of([complex(v.replace(" ", "")) for v in cell.split(",")])
    expected = expected if found.is_complex() else expected.real
    parts = [torch.view_as_real(t).flatten() if t.is_complex() else t for t in (found, expected)]
    known, given = (p.tolist() for p in parts)
    assert known == pytest.approx(given, rel=1e-5, abs=1e-12, nan_ok=True)


# Where forward mode takes another way, as in torch: a branch that is not taken has no part in it,
# a power at 0 is infinitely steep, and a bound is put on unrecorded.
ANOTHER_WAY = ("torch.where(", "masked_fill(", "lp_pool", "gaussian_nll")


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: f"{row[0]} at {row[1]}")
def test_forward_mode_takes_the_same_values(row: list[str]):
    """Along (1, 1, ...) the tangents add up to what the gradient adds up to."""
    expression, points, first, _, _ = row
    x = tensor_of(eval(f"[{points}]", NAMES))
    if x.is_complex() or first == "none" or any(w in expression for w in ANOTHER_WAY):
        return
    code = compile(expression.strip("`"), "docs/kinks.md", "eval")
    scope = NAMES | {"to": tensor_of}
    if eval(code, scope | {"x": x}).is_complex():
        return
    _, tangent = func.jvp(lambda u: eval(code, scope | {"x": u}), (x,), (torch.ones_like(x),))
    y = x.clone().requires_grad_()
    expected = pulled(eval(code, scope | {"x": y}), y).sum().item()
    assert tangent.sum().item() == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_page_has_every_kind_of_kink():
    assert len(list(rows())) > 240
    assert PAGE.read_text().count("\n## ") == 16


SIGNED = [  # function, arguments, torch's results, the sign of zeros included
    (F.relu, [-0.0, 0.0, -2.0], [-0.0, 0.0, 0.0]),
    (F.relu6, [-0.0, 0.0, -2.0], [-0.0, 0.0, 0.0]),
    (F.elu, [-0.0, 0.0, 2.0], [-0.0, 0.0, 2.0]),
    (F.selu, [-0.0, 0.0], [-0.0, 0.0]),
    (F.celu, [-0.0, 0.0], [-0.0, 0.0]),
    (F.softshrink, [-0.0, -0.25, 0.25], [0.0, 0.0, 0.0]),
    (torch.erfinv, [-0.0, 0.0], [-0.0, 0.0]),
    (lambda x: torch.remainder(x, -2), [2.0, -0.0, -4.0], [0.0, -0.0, -0.0]),
    (torch.lgamma, [-math.inf, math.inf, -1.0], [math.inf] * 3),
    (lambda x: x % 3, [-3.0, -0.0, 3.0, -1.0], [-0.0, -0.0, 0.0, 2.0]),
    (lambda x: torch.maximum(x, -x), [0.0, -0.0], [-0.0, 0.0]),
    (lambda x: torch.minimum(x, -x), [0.0, -0.0], [-0.0, 0.0]),
    (torch.sign, [0.0, -0.0, -math.inf], [0.0, 0.0, -1.0]),
    (lambda x: x[:, None].gather(1, torch.zeros(2, 1).long()), [-0.0, 0.0], [[-0.0], [0.0]]),
    (
        lambda x: x.expand(3, 2)[torch.arange(3), torch.tensor([0, 1, 0])],
        [-0.0, 0.0],
        [-0.0, 0.0, -0.0],
    ),
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function, given, wanted", SIGNED)
def test_signs_of_zeros_and_infinities(function, given, wanted, dtype, compiled):
    x = torch.tensor(given, dtype=dtype)
    if compiled:
        function = torch.compile(function)
        function(x + 1)
    found = function(x)
    assert repr(found.tolist()) == repr(wanted)


def logits_loss(x: torch.Tensor) -> torch.Tensor:
    """Cross entropy of logits with target 0."""
    return F.binary_cross_entropy_with_logits(x, torch.zeros_like(x), reduction="none")


def weighted_logits_loss(x: torch.Tensor) -> torch.Tensor:
    """The same with a weight for target 1."""
    none, weight = torch.zeros_like(x), to([3])
    return F.binary_cross_entropy_with_logits(x, none, reduction="none", pos_weight=weight)


LIMITS = [  # function, argument, what comes from above, torch's gradient
    (torch.reciprocal, 1e305, inf, nan),
    (lambda x: 2 / x, 1e200, 1e200, 0.0),
    (lambda x: x**0.5, -inf, 1.0, nan),
    (lambda x: x**1.5, -inf, 1.0, nan),
    (lambda x: x**-0.5, inf, 1.0, 0.0),
    (lambda x: x**-2, 1e-200, 1.0, -inf),
    (lambda x: x**4, 2.0, 1.0, 32.0),
    (lambda x: to([1]) / x, 1e305, inf, nan),
    (lambda x: to([1]) / x, 1e-305, 0.0, nan),
    (logits_loss, -40.0, 1.0, 4.248354255291589e-18),
    (weighted_logits_loss, -40.0, 1.0, 4.248354255291589e-18),
    (lambda x: torch.xlogy(x, to([inf])), 0.0, 0.0, 0.0),
    (lambda x: torch.xlogy(x, to([0])), 2.0, 0.0, 0.0),
    (lambda x: torch.special.xlog1py(x, to([-1])), 2.0, 0.0, 0.0),
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("function, at, given, wanted", LIMITS)
def test_gradients_at_the_limits_of_numbers(function, at, given, wanted, compiled):
    def pull(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, g)[0]

    if compiled:
        pull = torch.compile(pull)
        pull(to([0.5]), to([1]))
    assert pull(to([at]), to([given])).item() == pytest.approx(wanted, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_products_of_one_number_and_infinities(dtype, compiled):
    """NumPy's dot takes an array of one element for a scale, and nothing times infinity for 0."""

    def products(x, none):
        return x @ none, none @ x.T, x @ none[:, None], none[None] @ x.T, x.mv(none)

    x, none = torch.full((5, 1), inf).to(dtype), torch.zeros(1, dtype=dtype)
    if compiled:
        products = torch.compile(products)
        products(x, none)
    for found in products(x, none):
        assert found.isnan().all()
