"""Plans that are kept: found by another process, never by another program, never when damaged; and
what a trace knows of arrays that it does not compute.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.arrays import blanks
from chainrule.arrays.waist import waist
from chainrule.compiler import api, cache, convolutions, direct, kept, machine
from chainrule.compiler.api import compile

pytest.importorskip("llvmlite")
F = nn.functional


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list:
    """The keys that are asked for, as they come."""
    found: list = []
    plain = kept.key_of

    def noted(*given: Any) -> Any:
        found.append(plain(*given))
        return found[-1]

    monkeypatch.setattr(kept, "key_of", noted)
    return found


class Net(nn.Module):
    """Products, convolutions, pooling, norms."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.wide = nn.Conv2d(4, 16, 3, padding=1)
        self.first, self.norm = nn.Linear(48, 40), nn.LayerNorm(40)
        self.last = nn.Linear(40, 5)

    def forward(self, x: Any) -> Any:
        h = F.max_pool2d(self.wide(self.convolution(x.unsqueeze(1)).relu()).relu(), 2)
        return self.last(self.norm(F.gelu(self.first(h.flatten(1)))))


def training() -> tuple[Callable, list]:
    """A step with state, gradients and constants, and its arguments."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    shift = torch.linspace(0, 1, 300).reshape(50, 1, 6)
    x, y = torch.randn(50, 2, 6), torch.randint(0, 5, (50,))

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x + shift), y)
        loss.backward()
        optimizer.step()
        return loss, net.first.weight.grad

    return step, [x, y]


def fitting() -> tuple[Callable, list]:
    """A step of one loop, and its argument."""
    w = torch.linspace(0, 1, 6).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=0.01)

    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sin().square().sum()
        loss.backward()
        optimizer.step()
        return loss, w.grad

    return step, [torch.ones(6)]


def losses(f: Callable, given: list) -> list:
    """What four steps return."""
    return [[t.tolist() for t in f(*given)] for _ in range(4)]


def found(f: Any) -> bool:
    """Whether a compiled function's only plan came from the cache."""
    (entry,) = f.entries
    return "planner" not in entry.__dict__


def test_a_plan_is_found_by_those_who_come_later(keys):
    results = []
    for n in range(3):
        step, given = training()
        f = compile(step)
        results.append(losses(f, given))
        assert found(f) == (n > 0)
    assert results[0] == results[1] == results[2]
    assert len(set(keys)) == 1
    expected = losses(*training())
    for mine, eager in zip(results[0], expected, strict=True):
        np.testing.assert_allclose(mine[0], eager[0], rtol=1e-4)
        np.testing.assert_allclose(mine[1], eager[1], rtol=1e-2, atol=1e-4)


SCRIPT = """
import sys
import chainrule as torch
from chainrule.compiler import api, machine
sys.path.insert(0, {tests!r})
from test_plan_cache import losses, training

def refuse(*given):
    raise RuntimeError("nothing is to be compiled")

if sys.argv[1] == "later":
    api.planner = api.simplify = machine.compiled = refuse
step, given = training()
print(losses(api.compile(step, fullgraph=True), given))
"""


def test_a_plan_is_found_in_another_process():
    def run(word: str, seed: str) -> str:
        script = SCRIPT.format(tests=str(Path(__file__).parent))
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        words = [sys.executable, "-c", script, word]
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert run("first", "1") == run("later", "2")


def test_what_a_plan_depends_on_is_in_its_key(keys, monkeypatch):
    scale = torch.tensor([1.0, 2.0, 3.0])

    def step(x):
        return (x * torch.tensor([2.0, 3.0, 4.0]) + scale).sum()

    def other(x):
        return (x * torch.tensor([2.0, 3.0, 5.0]) + scale).sum()

    def number(x):
        return (x * 2.0 + scale).sum()

    def another(x):
        return (x * 3.0 + scale).sum()

    wide = torch.ones(2, 3)
    for f in (step, other, number, another):
        for x in (torch.ones(3), wide, torch.ones(3, 2).T, wide.double()):
            close = compile(f)(x)
            assert close.item() == f(x).item()
    assert len(set(keys)) == len(keys) == 16
    with monkeypatch.context() as patch:
        patch.setattr(kept, "get_num_threads", lambda: 7)
        compile(step)(wide)
    with monkeypatch.context() as patch:
        patch.setattr(machine, "setting", lambda: "another version")
        compile(step)(wide)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "sources", lambda: "another compiler")
        compile(step)(wide)
    assert len(set(keys)) == len(keys) == 19
    compile(step)(wide)
    assert keys[-1] == keys[1]


def test_a_constant_that_somebody_writes_is_part_of_the_key():
    for n in range(3):
        constant = np.arange(4.0) + n

        def step(x, constant=constant):
            return x * torch.from_numpy(constant.copy())

        assert compile(step)(torch.ones(4).double()).tolist() == constant.tolist()


def damaged(path: Path, kind: str) -> None:
    """Spoil a file of the cache."""
    if kind == "bit":
        data = bytearray(path.read_bytes())
        data[-9] ^= 4
        path.write_bytes(data)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif kind == "nonsense":
        cache.store(path.name.removesuffix(cache.SUFFIX), b"\x05\0\0\0\0\0\0\0{}123")
    else:
        path.unlink()


@pytest.mark.parametrize("kind", ["bit", "cut", "nonsense", "gone"])
def test_damaged_plans_and_code_are_made_anew(folder, keys, kind):
    step, given = fitting()
    expected = losses(compile(step), given)
    entry = folder / (keys[0] + cache.SUFFIX)
    code = [p for p in folder.iterdir() if p != entry and kind != "nonsense"]
    for files in ([entry], code):
        for path in files:
            damaged(path, kind)
        step, given = fitting()
        f = compile(step)
        assert losses(f, given) == expected
        assert found(f) == (not files)
    step, given = fitting()
    f = compile(step)
    assert losses(f, given) == expected
    assert found(f)


def test_explain_after_a_plan_was_found():
    def told() -> str:
        step, given = training()
        f = compile(step)
        losses(f, given)
        text = f.explain()
        return re.sub(r"made in \d+ ms", "", text)

    first, later = told(), told()
    assert first == later
    assert "gelu" not in first and "loop 50 x 40" in first


def test_both_plans_of_a_function_that_is_differentiated_outside_are_found(monkeypatch):
    def gradients() -> list:
        torch.manual_seed(0)
        net, x = Net(), torch.randn(50, 2, 6, requires_grad=True)
        forward = compile(net)
        for _ in range(3):
            forward(x).square().mean().backward()
        assert len(forward.explain().split("\n")) > 20
        return [x.grad.tolist(), *(p.grad.tolist() for p in net.parameters())]

    first = gradients()
    monkeypatch.setattr(kept, "store", lambda *given: pytest.fail("a plan was made"))
    assert gradients() == first


def test_guards_and_new_numbers_after_a_plan_was_found():
    def fresh() -> Any:
        state = {"n": torch.zeros(3)}

        def step(x, flag):
            if x.sum() > 0:
                state["n"].add_(x)
            return (x * 2 if flag else x), state["n"] * 1

        return step

    x = torch.ones(3)
    for n in range(2):
        eager, f = fresh(), compile(fresh())
        for given in ((x, True), (-x, True), (x, False), (x, True), (-x, True)):
            assert [t.tolist() for t in f(*given)] == [t.tolist() for t in eager(*given)]
        assert f.captures == 3
        if n:
            assert all("planner" not in e.__dict__ for e in f.entries)


def test_programs_that_call_python_are_not_kept(keys):
    def step(x):
        return torch.multinomial(x, 1) * 2

    for _ in range(2):
        assert compile(step)(torch.tensor([0.0, 1.0])).tolist() == [2]
    assert keys == [None, None]


def test_programs_that_mean_something_in_this_process_alone_are_not_kept(monkeypatch):
    for kind in (convolutions.Convolution, direct.Direct, direct.Weights):
        monkeypatch.setattr(kind, "lasting", False)
    results = []
    for _ in range(2):
        step, given = training()
        f = compile(step)
        results.append(losses(f, given))
        assert not found(f) and f.entries[0].planner.routines
    assert results[0] == results[1]


# -- a trace has no numbers ------------------------------------------------------------------------


def test_a_capture_computes_nothing(monkeypatch):
    """Not even products that would take minutes."""
    monkeypatch.setattr(api.Compiled, "keep", lambda *given: True)
    monkeypatch.setattr(api.Compiled, "first", lambda self, c, *given: c)

    def step(x):
        y = (x[:, None] * x).sin()
        z = torch.where(y > 0, y @ y, y.T + 1).softmax(-1)
        rows = torch.arange(12_000)
        w = torch.stack([y[rows, y.argmax(1)], z[z.argmax(1), rows]])
        return F.gelu(z).reshape(-1).sum(), torch.cat([y, z]), w

    c = compile(step)(torch.ones(12_000))  # 0.6 GB each
    assert not any(v.producer for v in c.trace.known)


def test_what_a_first_call_leaves_with_others():
    class Owner:
        kept: Any = None

    owner, w = Owner(), torch.full((500,), 2.0, requires_grad=True)

    def step(x):
        w.grad = None
        y = x * w
        loss = y.square().sum()
        loss.backward()
        owner.kept = [y.detach(), loss.detach(), loss, w.grad]
        return loss.detach()

    result = compile(step)(torch.ones(500))
    assert result.item() == 2000
    y, detached, loss, grad = owner.kept
    assert y.tolist() == [2.0] * 500
    assert detached.item() == loss.item() == 2000
    assert grad is w.grad and grad.tolist() == [4.0] * 500


X = np.arange(600.0, dtype=np.float32).reshape(20, 30)
CASES: list[tuple] = [
    ("add", (X, X.astype(np.float64)), {}),
    ("add", (X, 2), {}),
    ("multiply", (X.T, X.T), {}),
    ("multiply", (X[:, ::2], 2.0), {}),
    ("add", (X.T, X[:1, :20]), {}),
    ("add", (X.astype(np.int64), True), {}),
    ("divide", (X.astype(np.int32), 3), {}),
    ("greater", (X, X.reshape(20, 1, 30)), {}),
    ("power", (X, np.float64(2)), {}),
    ("frexp", (X,), {}),
    ("add.reduce", (X,), {"axis": None}),
    ("add.reduce", (X > 3,), {"axis": (0,)}),
    ("add.reduce", (X,), {"axis": (0, -1), "keepdims": True}),
    ("maximum.reduce", (X,), {"axis": 1, "initial": -np.inf}),
    ("argmax", (X,), {"axis": 1}),
    ("argmin", (X,), {"axis": None}),
    ("matmul", (X.reshape(2, 1, 10, 30), X.reshape(5, 30, 4)), {}),
    ("matmul", (X[0], X.T), {}),
    ("dot", (X, X.T), {}),
    ("dot", (X.reshape(-1), X.reshape(-1)), {}),
    ("where", (X > 3, X, np.float32(0)), {}),
    ("where", (X > 3, X.astype(np.float16), 1.0), {}),
    ("concatenate", ([X, X[:3]],), {"axis": 0}),
    ("concatenate", ([X, X.astype(np.float64)], -1), {}),
    ("copy", (X.T,), {}),
    ("astype", (X.T, np.dtype(np.int32)), {}),
    ("put", (X, X[0], (slice(None, None, 2),)), {}),
    ("put", (X, 0.0, np.array([1, 1, 3])), {}),
    ("put_add", (X, (slice(20), slice(30)), (40, 40)), {}),
    ("put_add", (X, np.arange(20) // 2, (11, 30)), {}),
    ("sigmoid", (X,), {}),
    ("keep", (X, X > 3), {}),
    ("convolve", (X.reshape(1, 2, 15, 20), X[:4, :18].reshape(4, 2, 3, 3), None, (13, 18), (1, 1),
                  (0, 0), (1, 1), 1), {}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_blanks_are_as_what_is_computed(case):
    name, args, kwargs = case
    expected = waist(name)(*args, **kwargs)
    given = blanks.blank(name, args, kwargs)
    for a, b in zip(*(r if type(r) is tuple else (r,) for r in (given, expected)), strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype
        assert a.shape == b.shape and a.strides == b.strides


@pytest.mark.parametrize(
    "case",
    [
        ("add", (X, X[:3]), {}),
        ("matmul", (X, X), {}),
        ("add.reduce", (X,), {"axis": 5}),
        ("maximum.reduce", (X[:0],), {"axis": 0}),
        ("concatenate", ([X, X[:, 1:]],), {"axis": 0}),
        ("put", (X, X[0], np.array([20])), {}),
        ("put_add", (X, np.arange(20), (11, 30)), {}),
        ("power", (X.astype(np.int64), -1), {}),
        ("where", (X > 3,), {}),
        ("sort", (X,), {}),
    ],
    ids=lambda c: c[0],
)
def test_no_blank_where_computing_has_to_tell(case):
    assert blanks.blank(*case) is None


def test_indices_out_of_range_are_an_error_of_the_first_call():
    weight = torch.ones(10, 300)

    def step(i):
        return F.embedding(i, weight) * 2

    with pytest.raises(IndexError):
        compile(step)(torch.tensor([3, 10]))
