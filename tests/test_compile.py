"""`compile`: state written in place, gradients, optimizers, guards, results: each step is run
beside the same step that is not compiled, on a copy of everything.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.compiler import api, machine
from chainrule.compiler.api import Compiled, compile

F = nn.functional


def close(x: Any, y: Any) -> None:
    """Two results agree: dtypes, shapes, and numbers as rounding allows."""
    assert type(x) is type(y), (x, y)
    if isinstance(x, torch.Tensor):
        assert x.dtype == y.dtype and x.shape == y.shape, (x, y)
        limit = {torch.float64: 1e-12, torch.complex128: 1e-12, torch.float16: 2e-3}
        limit |= {torch.bfloat16: 2e-2, torch.float32: 1e-5, torch.complex64: 1e-5}
        wide = (x.detach().to(torch.complex128), y.detach().to(torch.complex128))
        a, b = (t.numpy() for t in wide)
        np.testing.assert_allclose(a, b, rtol=limit.get(x.dtype, 0), atol=limit.get(x.dtype, 0))
    elif isinstance(x, dict):
        assert list(x) == list(y)
        for k in x:
            close(x[k], y[k])
    elif isinstance(x, (tuple, list)):
        assert len(x) == len(y)
        for a, b in zip(x, y, strict=True):
            close(a, b)
    elif isinstance(x, nn.Module):
        close(dict(x.state_dict()), dict(y.state_dict()))
    else:
        assert x == y


class Pair:
    """A function, compiled and not, each in a world of its own.

    `make(world)` gets a dictionary to put its state in, and returns the function.
    """

    def __init__(self, make: Callable, **given: Any) -> None:
        self.worlds = [copy.deepcopy(given), copy.deepcopy(given)]
        self.eager, function = (make(w) for w in self.worlds)
        self.compiled = compile(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call both with copies of the arguments; results, arguments and worlds have to agree."""
        given = [copy.deepcopy((args, kwargs)) for _ in range(2)]
        results = []
        for f, (a, k) in zip((self.eager, self.compiled), given, strict=True):
            torch.manual_seed(5)
            results.append((f(*a, **k), torch.rand(2)))
        close(results[1], results[0])
        close(given[1], given[0])
        for t, u in zip(tensors(self.worlds[1]), tensors(self.worlds[0]), strict=True):
            close(t, u)
            close(t.grad, u.grad)
        for t, u in zip(tensors(given[1]), tensors(given[0]), strict=True):
            close(t.grad, u.grad)
        return results[1][0]

    @property
    def captures(self) -> int:
        """How many programs were made."""
        return self.compiled.captures


def tensors(x: Any) -> list:
    """The tensors in containers, modules and optimizers."""
    if isinstance(x, torch.Tensor):
        return [x]
    if isinstance(x, nn.Module):
        return [*x.parameters(), *x.buffers()]
    if isinstance(x, torch.optim.Optimizer):
        return [t for s in x.state.values() for t in tensors(list(s.values()))]
    if isinstance(x, dict):
        return [t for v in x.values() for t in tensors(v)]
    if isinstance(x, (list, tuple)):
        return [t for v in x for t in tensors(v)]
    return []


def model() -> nn.Module:
    """A small network."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


# -- optimizers ------------------------------------------------------------------------------------

OPTIMIZERS = [
    "SGD(p, lr=0.1)",
    "SGD(p, lr=0.1, momentum=0.9)",
    "SGD(p, lr=0.1, momentum=0.9, dampening=0.5)",
    "SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)",
    "SGD(p, lr=0.1, maximize=True)",
    "Adam(p, lr=0.01)",
    "Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True)",
    "AdamW(p, lr=0.01)",
    "AdamW(p, lr=0.01, amsgrad=True, maximize=True)",
    "NAdam(p)",
    "RAdam(p)",
    "Adamax(p)",
    "Adagrad(p)",
    "Adadelta(p)",
    "RMSprop(p, momentum=0.5, centered=True)",
    "Rprop(p)",
    "ASGD(p)",
]


@pytest.mark.filterwarnings("ignore:compile.* is run as it is")
@pytest.mark.parametrize("text", OPTIMIZERS)
@pytest.mark.parametrize("zero", ["none", "zeros", "after"])
def test_training(text, zero):
    def make(w):
        w["opt"] = opt = eval(f"torch.optim.{text}", {"torch": torch, "p": w["net"].parameters()})

        def step(x, y):
            if zero != "after":
                opt.zero_grad(set_to_none=zero == "none")
            loss = F.mse_loss(w["net"](x), y)
            loss.backward()
            opt.step()
            if zero == "after":
                opt.zero_grad()
            return loss.detach()

        return step

    pair = Pair(make, net=model().double())
    for _ in range(4):
        pair(torch.randn(5, 4).double(), torch.randn(5, 3).double())
    if text.startswith(("SGD", "Adam(", "AdamW")) and "damp" not in text and zero != "zeros":
        assert pair.captures == 1


def test_a_new_learning_rate_needs_no_new_program():
    def make(w):
        w["opt"] = opt = torch.optim.Adam(w["net"].parameters(), lr=0.1)

        def step(x):
            opt.zero_grad()
            w["net"](x).square().sum().backward()
            opt.step()

        return step

    pair = Pair(make, net=model())
    for rate in (0.1, 0.05, 0.2):
        for w in pair.worlds:
            w["opt"].param_groups[0]["lr"] = rate
        pair(torch.randn(5, 4))
    assert pair.captures == 1


def test_other_settings_are_seen():
    def make(w):
        w["opt"] = opt = torch.optim.SGD(w["net"].parameters(), lr=0.1, momentum=0.5)

        def step(x):
            opt.zero_grad()
            w["net"](x).square().sum().backward()
            opt.step()

        return step

    pair = Pair(make, net=model())
    for momentum in (0.5, 0.9, 0.9):
        for w in pair.worlds:
            w["opt"].param_groups[0]["momentum"] = momentum
        pair(torch.randn(5, 4) * 0.1)


# -- gradients -------------------------------------------------------------------------------------


def test_gradients_accumulate_over_calls_and_within_one():
    def make(w):
        def step(x):
            (w["p"] * x).sum().backward()
            (w["p"] * w["p"]).sum().backward()

        return step

    pair = Pair(make, p=torch.randn(3).requires_grad_())
    for _ in range(4):
        pair(torch.randn(3))
    for w in pair.worlds:
        w["p"].grad = None
    pair(torch.randn(3))
    for w in pair.worlds:
        w["p"].grad = torch.ones(3)
    pair(torch.randn(3))


def test_gradients_of_arguments():
    pair = Pair(lambda w: lambda x, y: (x * y).sum().backward())
    for _ in range(3):
        pair(torch.randn(3).requires_grad_(), torch.randn(3))
    x = torch.randn(3).requires_grad_()
    x.grad = torch.ones(3)
    pair(x, torch.randn(3))
    pair(torch.randn(3).requires_grad_(), torch.randn(3).requires_grad_())


def test_one_tensor_as_an_argument_accumulates():
    step = compile(lambda x: (x * x).sum().backward())
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for n in range(1, 5):
        step(x)
        assert x.grad.tolist() == [2.0 * n, 4.0 * n]


def test_a_constant_gradient():
    pair = Pair(lambda w: lambda: w["p"].sum().backward(), p=torch.randn(3).requires_grad_())
    for _ in range(3):
        pair()
        for w in pair.worlds:
            w["p"].grad.mul_(3)


def test_gradients_as_results():
    def make(w):
        return lambda x: torch.autograd.grad((w["p"] * x).exp().sum(), [w["p"], x])

    pair = Pair(make, p=torch.randn(3).requires_grad_())
    for _ in range(3):
        pair(torch.randn(3).requires_grad_())


def test_double_backward():
    def step(x):
        (g,) = torch.autograd.grad(x.tanh().sum(), x, create_graph=True)
        g.square().sum().backward()

    pair = Pair(lambda w: step)
    for _ in range(3):
        pair(torch.randn(4).requires_grad_())


# -- state -----------------------------------------------------------------------------------------


def test_batch_norm_train_and_eval():
    def make(w):
        return lambda x: w["net"](x).detach()

    pair = Pair(make, net=nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()))
    for mode in (True, False, True, False):
        for w in pair.worlds:
            w["net"].train(mode)
        pair(torch.randn(6, 4))
        pair(torch.randn(6, 4))
    assert pair.captures == 2


def test_dropout_and_draws_take_eagers_numbers():
    def make(w):
        def step(x):
            return (
                F.dropout(x, 0.4),
                x + torch.randn(x.shape),
                torch.randint(0, 9, (4,)),
                torch.randperm(7),
                torch.bernoulli(x.sigmoid()),
                torch.rand(3) + torch.randn(20)[:3],
            )

        return step

    pair = Pair(make)
    for _ in range(3):
        pair(torch.randn(5, 4))


def test_buffers_written_in_place():
    def make(w):
        def step(x):
            w["b"].mul_(0.9).add_(x.mean(0), alpha=0.1)
            w["n"] += 1
            w["c"][1:] = w["c"][:-1].clone()
            w["c"][0] = x[0, 0]
            return w["b"] * 2

        return step

    pair = Pair(make, b=torch.zeros(4), n=torch.tensor(0), c=torch.arange(5.0))
    for _ in range(4):
        pair(torch.randn(3, 4))


def test_views_and_writes_in_the_step():
    def make(w):
        def step(x, mask, index, value):
            y = x * 2
            y[1:, ::2] += value
            y[mask] = -1.0
            y[index] = 0.5
            z = y.t()
            z[0] = 7.0
            y.diagonal().mul_(3)
            flat = y.view(-1)
            flat[3:5] = flat[:2].clone()
            z.add_(1)
            y.index_put_((index, index), value, accumulate=True)
            x[0].zero_()
            return y, z, x.sum()

        return step

    pair = Pair(make)
    for n in range(3):
        mask = torch.randn(4, 4) > 0
        pair(torch.randn(4, 4), mask, torch.tensor([n, 3]), torch.tensor(1.5))


def test_base_and_view_both_captured():
    def make(w):
        w["v"] = w["b"][1]

        def step(x):
            w["v"].add_(x)
            w["b"].mul_(2)
            return w["v"] * 1

        return step

    pair = Pair(make, b=torch.zeros(3, 4))
    for _ in range(3):
        pair(torch.randn(4))


def test_argument_that_is_also_captured():
    def make(w):
        def step(x):
            w["b"].add_(x)
            return x * 2

        return step

    pair = Pair(make, b=torch.ones(3))
    pair(torch.randn(3))
    results = [f(w["b"]) for f, w in zip((pair.eager, pair.compiled), pair.worlds, strict=True)]
    close(*results)
    close(*[w["b"] for w in pair.worlds])
    pair(torch.randn(3))


def test_arguments_in_one_memory():
    def step(x, y):
        x.add_(1)
        return y * 2

    for f in (step, compile(step)):
        f(torch.zeros(3), torch.zeros(3))
        both = torch.zeros(4)
        assert f(both[:3], both[1:]).tolist() == [2.0, 2.0, 0.0]
        assert f(both, both).tolist() == [4.0, 4.0, 4.0, 2.0]


# -- results ---------------------------------------------------------------------------------------


def test_results_are_fresh():
    step = compile(lambda x: (x + 1, torch.zeros(2), x.sum()))
    first = step(torch.zeros(2))
    second = step(torch.ones(2))
    kept = [t.clone() for t in second]
    third = step(torch.full((2,), 5.0))
    for t in third:
        t.fill_(9)
    close(list(second), kept)
    assert first[0].tolist() == [1.0, 1.0]
    fourth = step(torch.zeros(2))
    assert fourth[1].tolist() == [0.0, 0.0]


def test_results_that_are_given_or_kept():
    p = nn.Parameter(torch.ones(2))

    def step(x):
        return x, p, None, "text", x * 1

    f = compile(step)
    for _ in range(3):
        x = torch.randn(2)
        out = f(x)
        assert out[0] is x and out[1] is p and out[2:4] == (None, "text")
        assert out[4] is not x


def test_no_result_and_nested_results():
    pair = Pair(lambda w: lambda x: {"a": [x * 2, (x.sum(), None)], "b": x > 0})
    none = Pair(lambda w: lambda x: None)
    for _ in range(3):
        pair(torch.randn(3))
        none(torch.randn(3))


def test_nested_arguments():
    def step(data, *, scale=1.0, extra=None):
        out = data["x"] * scale + data["y"][0] - data["y"][1]
        return out if extra is None else out + extra

    pair = Pair(lambda w: step)
    for _ in range(2):
        data = {"x": torch.randn(3), "y": (torch.randn(3), torch.randn(3))}
        pair(data)
        pair(data, scale=2.0)
        pair(data, scale=2.0, extra=torch.randn(3))
        pair(data, extra=None)


def test_a_module_as_argument():
    def step(net, x):
        return net(x)

    pair = Pair(lambda w: step)
    net = model()
    for _ in range(3):
        pair(net, torch.randn(2, 4))


# -- arguments -------------------------------------------------------------------------------------

SHAPES = [(), (1,), (0,), (3,), (2, 0, 3), (4, 5), (2, 3, 4), (100003,), (400, 301)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape):
    def step(x):
        y = (x * 2 + 1).tanh()
        return y, y.sum(), x - y.mean() if x.numel() else x, y.reshape(-1)[:1]

    pair = Pair(lambda w: step)
    for _ in range(2):
        pair(torch.randn(shape))
        pair(torch.randn(shape).double())


def test_layouts():
    def step(x, y):
        return x + y, x.sum(0), x.reshape(-1), x.exp().t() @ y, x.contiguous() * 2

    pair = Pair(lambda w: step)
    for _ in range(2):
        for x in (
            torch.randn(4, 6),
            torch.randn(6, 4).t(),
            torch.randn(4, 12)[:, ::2],
            torch.randn(8, 6)[::2],
            torch.randn(1, 6).expand(4, 6),
            torch.randn(4, 1).expand(4, 6),
            torch.randn(25)[1:].view(4, 6),
        ):
            pair(x, torch.randn(4, 6))
            pair(torch.randn(4, 6), x)


def test_layouts_keep_their_memory():
    def step(x):
        x.add_(1)

    for f in (step, compile(step)):
        for _ in range(2):
            base = torch.zeros(4, 6)
            f(base[:, ::2])
            assert base[0].tolist() == [1, 0, 1, 0, 1, 0]
            base = torch.zeros(4, 6)
            f(base.t())
            assert base.sum() == 24


DTYPES = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128"


@pytest.mark.parametrize("name", DTYPES.split())
def test_dtypes(name):
    dtype = getattr(torch, name)

    def step(x, y):
        out = [x == y, x * y, torch.where(x == y, x, y), x.float() if name[0] != "c" else x.abs()]
        out += [x.sum(), x.reshape(2, 3).t() * 1, torch.cat([x, y]), x.to(torch.complex64)]
        if name != "bool":
            out += [x + y, x - y, x * 3, x.square()]
        if name[0] in "fb" and name != "bool":
            out += [x / 2, x.exp(), x.sigmoid(), x.mean(), torch.softmax(x, 0)]
        if name[0] in "iu":
            out += [x // 2, x % 3, x & y, x | y, ~x, x / 2, x.max()]
        return out

    pair = Pair(lambda w: step)
    for _ in range(3):
        x, y = (torch.tensor(np.random.default_rng(3).integers(0, 4, 6)).to(dtype) for _ in "ab")
        pair(x, y.roll(1, 0))


# -- guards ----------------------------------------------------------------------------------------


def test_shapes_and_dtypes_make_programs():
    pair = Pair(lambda w: lambda x: x * 2)
    for _ in range(2):
        pair(torch.randn(3))
        pair(torch.randn(4))
        pair(torch.randn(3).double())
        pair(torch.ones(3).long())
    assert pair.captures == 4


def test_closures_and_globals_are_looked_at():
    def make(w):
        scale, shift = 2.0, torch.ones(3)

        def change(by):
            nonlocal scale, shift
            scale, shift = by, torch.full((3,), by)

        w["change"] = change
        return lambda x: x * scale + shift

    pair = Pair(make)
    for by in (1.0, 2.0, 3.0, 3.0):
        pair(torch.randn(3))
        for w in pair.worlds:
            w["change"](by)
        pair(torch.randn(3))


def test_operators_in_closures():
    def on(f):
        return lambda x: f(x) * 2

    x = torch.rand(3, 3) + 0.1
    for f in (torch.tanh, torch.isfinite, F.relu, torch.Tensor.exp, torch.linalg.inv):
        c = compile(on(f))
        for _ in range(3):
            torch.testing.assert_close(c(x), on(f)(x))
        assert c.captures == len(c.entries) == 1


OFFSET = [torch.zeros(3)]


def test_a_global_written_between_calls():
    f = compile(lambda x: x + OFFSET[0])
    x = torch.zeros(3)
    for n in range(3):
        OFFSET[0].fill_(n)
        assert f(x).tolist() == [n] * 3
        OFFSET[0] = torch.full((3,), n + 0.5)
        assert f(x).tolist() == [n + 0.5] * 3


class Scaled(nn.Module):
    """Looks at a global and at attributes of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = 2.0
        self.parts = [torch.ones(3), {"a": torch.ones(3)}]

    def forward(self, x):
        return x * self.factor + self.parts[0] + self.parts[1]["a"] * OFFSET[0]


def test_attributes_of_modules():
    net = Scaled()
    f = compile(net)
    x = torch.ones(3)
    for n in range(3):
        close(f(x), net(x))
        net.factor += 1
        close(f(x), net(x))
        net.parts[1]["a"] = torch.full((3,), float(n))
        close(f(x), net(x))
        net.parts[0].mul_(2)
        OFFSET[0].fill_(n + 3)
        close(f(x), net(x))


def test_grad_mode_and_default_dtype():
    def step(x):
        return x * torch.ones(3), torch.tensor([0.5]) + x[:1].long()

    pair = Pair(lambda w: step)
    x = torch.randn(3)
    pair(x)
    torch.set_default_dtype(torch.float64)
    pair(x)
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        pair(x)
    pair(x)


def test_requires_grad_of_arguments():
    def step(x):
        return x.requires_grad, x * 2

    pair = Pair(lambda w: lambda x: step(x)[0])
    for flag in (False, True, False, True):
        pair(torch.randn(3).requires_grad_(flag))


def test_python_state_that_the_function_changes():
    class Counter:
        n = 0

    counter, seen = Counter(), []

    def step(x):
        counter.n += 1
        seen.append(counter.n)
        return x * counter.n

    f = compile(step)
    for n in range(1, 4):
        assert f(torch.ones(2)).tolist() == [n, n]
    assert seen == [1, 2, 3]


def test_reading_numbers():
    def branch(x):
        return x * 2 if x.sum() > 0 else x - 1

    f = compile(branch)
    for sign in (1.0, -1.0, 1.0, -1.0):
        x = torch.full((3,), sign)
        close(f(x), branch(x))

    def read(x):
        return x * x.sum().item()

    with pytest.raises(RuntimeError, match=r"is read by Python at .*test_compile.py:\d+ in read"):
        compile(read)(torch.ones(3))


def test_an_error_leaves_everything_as_it_was():
    net, data = model(), torch.ones(5, 4)
    opt = torch.optim.Adam(net.parameters())
    before = copy.deepcopy(net.state_dict())

    def step(x):
        opt.zero_grad()
        net(x).sum().backward()
        opt.step()
        x.zero_()
        raise ValueError("stop")

    f = compile(step)
    for _ in range(2):
        with pytest.raises(ValueError, match="stop"):
            f(data)
        close(dict(net.state_dict()), dict(before))
        assert data.sum() == 20 and not opt.state and net[0].weight.grad is None
    assert net(data).requires_grad


def test_reset_and_limit():
    f = compile(lambda x: x + 1)
    with pytest.warns(UserWarning, match="run as it is"):
        for n in range(1, 12):
            assert f(torch.zeros(n)).sum() == n
    assert len(f.entries) == 8
    f.reset()
    assert not f.entries
    f(torch.zeros(30))
    assert len(f.entries) == 1


def test_methods_and_decoration():
    class Model:
        def __init__(self) -> None:
            self.w = torch.ones(3)

        @compile
        def step(self, x):
            self.w.add_(x)
            return self.w.sum()

    a, b = Model(), Model()
    for n in range(1, 4):
        assert a.step(torch.ones(3)).item() == 3 + 3 * n
        assert b.step(torch.zeros(3)).item() == 3
    assert isinstance(Model.__dict__["step"], Compiled)


# -- differentiated outside ------------------------------------------------------------------------


def test_a_module_is_trained_from_outside():
    torch.manual_seed(3)
    plain = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
    nets = [plain, copy.deepcopy(plain)]
    forwards = [nets[0], compile(nets[1], fullgraph=True)]
    optimizers = [torch.optim.SGD(n.parameters(), lr=0.1) for n in nets]
    target = torch.randint(0, 3, (5,))
    for _ in range(4):
        given = torch.randn(5, 6)
        inputs = [given.clone().requires_grad_() for _ in nets]
        for forward, optimizer, x in zip(forwards, optimizers, inputs, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(forward(x), target).backward()
            optimizer.step()
        close(inputs[1].grad, inputs[0].grad)
    for p, q in zip(nets[1].parameters(), nets[0].parameters(), strict=True):
        close(p, q)
    assert forwards[1].captures == 1


def test_results_of_which_some_are_differentiated():
    def f(x, w):
        y = (x @ w).tanh()
        return {"sum": y.sum(), "y": y, "size": y.detach().abs().max(), "x": x}

    c = compile(f, fullgraph=True)
    for _ in range(3):
        x, w = torch.randn(4, 3), torch.randn(3, 2, requires_grad=True)
        out, expected = c(x, w), f(x, w)
        assert out["x"] is x and not out["size"].requires_grad
        for k in ("sum", "y", "size"):
            close(out[k], expected[k])
        (g,) = torch.autograd.grad(out["sum"] + (out["y"] ** 2).sum(), w)
        (h,) = torch.autograd.grad(expected["sum"] + (expected["y"] ** 2).sum(), w)
        close(g, h)


def test_batch_norm_from_outside_follows_its_statistics():
    nets = [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    forwards = [nets[0], compile(nets[1], fullgraph=True)]
    for _ in range(3):
        x = torch.randn(8, 3)
        for forward in forwards:
            forward(x).square().sum().backward()
    close(nets[1].running_mean, nets[0].running_mean)
    close(nets[1].running_var, nets[0].running_var)
    close(nets[1].weight.grad, nets[0].weight.grad)


def test_dropout_differentiated_outside_draws_the_same_numbers():
    f = lambda x: nn.functional.dropout(x * 2, 0.5).exp()  # noqa: E731
    c = compile(f, fullgraph=True)
    grads = []
    for g in (f, c):
        torch.manual_seed(1)
        for _ in range(3):
            x = torch.ones(20, requires_grad=True)
            g(x).sum().backward()
            grads.append(x.grad)
    close(torch.stack(grads[3:]), torch.stack(grads[:3]))


# -- what random programs found --------------------------------------------------------------------

FOUND = {
    "numbers that share what they are computed from": lambda x: F.mish(F.mish(x[0, 0])),
    "a number tiled": lambda x: (x * x).var().repeat(2),
    "signs tiled": lambda x: torch.sign(x[:, :1, None]).tile(2),
    "windows of every second column": lambda x: (x[:, ::2].unfold(0, 2, 1) > 0).sum(-3),
    "backwards sums": lambda x: x.logcumsumexp(0) + x.flip(0),
    "a diagonal filled": lambda x: (x * 1).diagonal().fill_(1),
    "a running sum of a number, overwritten": lambda x: (x[0, 0].cumsum(0).add_(1), x * 1),
    "draws into new memory": lambda x: (
        torch.zeros(3).uniform_(),
        torch.ones(3).normal_() + x[0, 0],
    ),
    "draws into transposed memory": lambda x: (x * 1).t().normal_(),
    "part of a pair": lambda x: torch.stack([x[0, 0], x[0, 0]], -1)[::2] * 1,
    "a row at a computed place": lambda x: x[x[0].argmin()] * 1,
    "integers are numbers": lambda x: (x.argmin(0).isnan(), x.long().isfinite(), x.long().isinf()),
    "a complex variance": lambda x: x.to(torch.complex64).square().var(0).real,
    "one over, and an inverse": lambda x: (1 / x.exp(), x.t()[:2, :2].reciprocal()),
    "what is contiguous": lambda x: x.t().contiguous().mul_(2) + x.t(),
    "other strides": lambda x: (x * 1).as_strided((2, 2), (1, 1), 1),
    "expanded to itself": lambda x: x.exp().expand(1, 4, 6).mul_(2),
    "nothing, repeated": lambda x: x[:0].repeat_interleave(2, -1),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    pair = Pair(lambda w: lambda x: FOUND[name](x))
    for _ in range(3):
        pair(torch.randn(4, 6))
    assert pair.compiled.eager is None and pair.captures == 1


def test_sums_over_many_rows_are_exact_enough():
    f = compile(lambda x: (x * x).sum(0))
    x = torch.full((70001, 2), 0.1)
    f(x)  # this one is NumPy's
    close(f(x), (x.double() * x.double()).sum(0).float())


def test_found_in_steps():
    def make(w):
        def step(x):
            w["q"].mul(2).tanh().sum().backward()
            w["c"].squeeze(0).clamp(max=w["q"].detach()).add_(x.sum())
            return x

        return step

    pair = Pair(make, q=torch.tensor(0.5).requires_grad_(), c=torch.randn(1, 3))
    for _ in range(3):
        pair(torch.randn(3))


@pytest.mark.filterwarnings("ignore:compile.* is run as it is")
def test_tensors_that_change_their_shape():
    def make(w):
        def step():
            w["b"].squeeze_()
            return torch.rand(2)

        return step

    pair = Pair(make, b=torch.ones(1, 3))
    for _ in range(3):
        pair()


def test_operators_that_are_used_elsewhere_for_the_first_time_change_nothing():
    def step(x, y):
        return F.huber_loss(x, y, delta=0.7).detach()

    c = compile(step)
    x, y = torch.randn(5), torch.randn(5)
    c(x, y)
    F.huber_loss(x.clone().requires_grad_(), y, delta=0.7).backward()  # reads the rules
    c(x, y)
    assert c.captures == 1


def test_a_step_that_is_called_as_a_method_it_uses_is_captured_once():
    source = """
import chainrule as torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

@torch.compile
def step(x):
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
    return loss.detach()
"""
    scope: dict = {"__name__": "a_script"}
    exec(source, scope)
    losses = [scope["step"](torch.ones(3, 2)).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and scope["step"].captures == 1


def test_rows_too_long_for_the_stack():
    f = compile(lambda x: torch.softmax(x.exp().sin() * 3, -1), fullgraph=True)
    x = torch.randn(2, 3_000_000)
    f(x)
    close(f(x), torch.softmax(x.exp().sin() * 3, -1))


def test_without_llvmlite_programs_run_through_numpy(monkeypatch):
    monkeypatch.setattr(machine, "available", lambda: False)
    monkeypatch.setattr(api, "told", [])
    nets = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))]
    nets.append(copy.deepcopy(nets[0]))
    optimizers = [torch.optim.Adam(n.parameters(), lr=0.1) for n in nets]

    def make(net, optimizer):
        def step(x):
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss, x

        return step

    eager, compiled = make(nets[0], optimizers[0]), compile(make(nets[1], optimizers[1]))
    for n in range(4):
        x = torch.randn(5, 3)
        warned = pytest.warns(UserWarning, match="llvmlite") if n == 0 else nullcontext()
        with warned:
            loss, same = compiled(x)
        close(loss, eager(x)[0].detach())
        assert same is x
    assert compiled.captures == 1 and "through NumPy" in compiled.explain()
    forward = compile(nets[1])
    x, y = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    for _ in range(2):
        forward(x).sum().backward()
        nets[0](y).sum().backward()
    close(x.grad, y.grad)


def test_check_compares_leaf_by_leaf():
    f = compile(lambda x: {"x": x, "y": x * 2, "flag": x > 0}, fullgraph=True, check=True)
    for _ in range(3):
        x = torch.randn(4)
        out = f(x)
        assert out["x"] is x
        close(out["y"], x * 2)
