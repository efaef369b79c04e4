"""`check_rules`: right functions pass every check; a wrong rule fails the check that sees it."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as torch
from chainrule.autograd import Function, RuleReport
from chainrule.autograd.consistency import RuleError
from chainrule.autograd.gradcheck import GradcheckError

CHECKS = [
    "vjp against jvp",
    "<u, J t> against <J^T u, t>",
    "vjp against finite differences",
    "jvp against finite differences",
    "vmap of value against loop",
    "vmap of vjp against loop",
    "vmap of jvp against loop",
    "reverse over reverse against finite differences",
    "forward over reverse against finite differences",
]
SHADOW = ["value against float64 shadow", "gradient against float64 shadow"]


def numbers(*shape, dtype=torch.float64):
    a = np.random.RandomState(0).standard_normal(shape)
    if dtype.is_complex:
        a = a + 1j * np.random.RandomState(1).standard_normal(shape)
    return torch.tensor(a.tolist(), dtype=dtype)


class Product(Function):
    """x^2 y, with each rule off by what `slip` says."""

    slip: dict = {}

    @staticmethod
    def forward(x, y):
        out = x * x * y
        return out * (1 + Product.slip.get("single", 0)) if x.dtype == torch.float32 else out

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        if "second" in Product.slip:
            x = x.detach()
        wrong = torch.zeros_like(x)
        wrong[..., 1] = Product.slip.get("vjp", 0)
        return g * (2 * x * y + wrong), (g * x * x)

    @staticmethod
    def jvp(ctx, t, u):
        x, y = ctx.saved_tensors
        return 2 * x * y * t * (1 + Product.slip.get("jvp", 0)) + x * x * u

    @staticmethod
    def vmap(info, in_dims, x, y):
        return Product.forward(x, y) + Product.slip.get("vmap", 0), 0


def wrong_checks(dtype=torch.float64, **slip):
    Product.slip = slip
    x, y = numbers(3, dtype=dtype), numbers(3, dtype=dtype) + 2
    report = torch.check_rules(Product.apply, (x, y), raise_exception=False)
    return {r.check for r in report.rows if not r.passed}


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (torch.sin, [(3,)]),
        (lambda x, y: (x * y, x.sum(), x > 0), [(3,), (2, 3)]),
        (lambda x, y: x @ y, [(5, 7), (7, 3)]),
        (lambda x: torch.softmax(x, -1).log().sum(0), [(30, 40)]),
        (lambda x: x**3, [()]),
        (lambda x: x * 2, [(0, 3)]),
        (lambda x: x * 2, [(4,)]),
        (lambda x: torch.ones(2).double(), [(4,)]),
    ],
)
def test_right_functions(f, shapes):
    report = torch.check_rules(f, tuple(numbers(*s) for s in shapes))
    assert isinstance(report, RuleReport)
    assert report.passed
    assert [r.check for r in report.rows] == CHECKS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.complex64])
def test_dtypes_have_a_shadow(dtype):
    report = torch.check_rules(lambda x: torch.tanh(x) * x, numbers(3, dtype=dtype))
    assert set(SHADOW) <= {r.check for r in report.rows}


def test_complex_functions_need_not_be_holomorphic():
    z = numbers(3, dtype=torch.complex128)
    assert torch.check_rules(lambda z: (z * z.conj() + z.exp(), z.real * 2), z)


def test_the_report_is_a_table():
    Product.slip = {}
    report = torch.check_rules(torch.sin, numbers(3))
    lines = repr(report).split("\n")
    assert len(lines) == 1 + len(CHECKS)
    assert lines[0].split() == ["check", "worst", "error", "allowed", "where"]
    assert lines[1].startswith("vjp against jvp ")
    assert " ok " in lines[1]
    assert "input 0 (" in lines[1]
    assert "output 0 (" in lines[1]


def test_each_wrong_rule_is_seen():
    assert wrong_checks() == set()
    both = {"vjp against jvp", "<u, J t> against <J^T u, t>"}
    seen = wrong_checks(vjp=0.1)
    assert both | {"vjp against finite differences"} <= seen
    assert "jvp against finite differences" not in seen
    seen = wrong_checks(jvp=0.1)
    assert both | {"jvp against finite differences"} <= seen
    assert "vjp against finite differences" not in seen
    assert wrong_checks(vmap=0.1) >= {"vmap of value against loop"}
    assert "reverse over reverse against finite differences" in wrong_checks(second=True)
    assert "vjp against finite differences" not in wrong_checks(second=True)
    assert "value against float64 shadow" in wrong_checks(torch.float32, single=0.1)


def test_the_error_names_check_input_element_and_values():
    Product.slip = {"vjp": 0.5}
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    with pytest.raises(RuleError) as e:
        torch.check_rules(Product.apply, (x, x))
    assert isinstance(e.value, GradcheckError)
    assert str(e.value) == (
        "vjp against jvp: at input 0 (1,), output 0 (1,): vjp gives 8.5, jvp gives 8.0 (difference"
        " 0.5, allowed 1.8e-08)"
    )
    Product.slip = {}
    z = numbers(2, dtype=torch.complex128)

    class Turned(Function):
        @staticmethod
        def forward(ctx, z):
            return z * 1j

        @staticmethod
        def backward(ctx, g):
            return g * 1j

    with pytest.raises(RuleError, match=r"input 0 \(0,\) \((real|imaginary) part\), output 0"):
        torch.check_rules(Turned.apply, z)


def test_a_rule_that_raises():
    class Half(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(RuleError, match="vjp against jvp: NotImplementedError: You must implement"):
        torch.check_rules(Half.apply, numbers(2))
    report = torch.check_rules(Half.apply, numbers(2), raise_exception=False)
    assert not report
    assert "WRONG  NotImplementedError: You must implement" in repr(report)


def test_tolerances_and_order():
    Product.slip = {"vjp": 0.5}
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.check_rules(Product.apply, (x, x), atol=100.0, rtol=0.0)
    Product.slip = {"second": True}
    assert torch.check_rules(Product.apply, (x, x), order=1)
    with pytest.raises(RuleError, match="reverse over reverse against finite differences"):
        torch.check_rules(Product.apply, (x, x))


def test_what_cannot_be_checked():
    with pytest.raises(ValueError, match="at least one real or complex tensor"):
        torch.check_rules(lambda x: x, torch.arange(3))
    w = torch.ones(3)
    with pytest.raises(RuleError, match="vjp against finite differences: RuntimeError"):
        torch.check_rules(lambda x: x @ w, torch.ones(3))


def test_inputs_are_left_alone():
    x = numbers(3).requires_grad_()
    before = x.detach().clone()
    assert torch.autograd.check_rules(lambda x, k: x * k, (x, 3))
    assert x.grad is None
    assert (x == before).all()
