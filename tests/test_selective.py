"""Selective checkpointing: what a policy keeps is not computed again."""

from __future__ import annotations

import doctest
import functools

import numpy as np
import pytest

import chainrule as torch
from chainrule import func
from chainrule.autograd import rule
from chainrule.ops.aten import name_of
from chainrule.utils import selective
from chainrule.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

aten = torch.ops.aten
F = torch.nn.functional
W = torch.tensor([[0.5, -1.0, 0.3], [1.5, 0.2, -0.7], [-0.4, 0.9, 1.1]], dtype=torch.float64)
X = torch.tensor([[0.3, 1.2, -0.5], [0.8, -0.6, 0.1], [1.4, 0.7, -0.2]], dtype=torch.float64)


def network(x):
    return F.softmax(F.gelu((x @ W).sigmoid() @ W) * x, -1).pow(2).sum()


def keeping(what, **options):
    return functools.partial(create_selective_checkpoint_contexts, what, **options)


def gradient(f, what, **options):
    x = X.clone().requires_grad_()
    checkpoint(f, x, use_reentrant=False, context_fn=keeping(what, **options)).backward()
    return x.grad


@pytest.fixture
def again(monkeypatch):
    """The operators that second runs compute, by name."""
    found = []
    compute = selective.Recalling.operator

    def watched(self, op, place, frame, kernel, args):
        if self.kept.get(op, {}).get(place) is selective.RECOMPUTED:
            found.append(name_of(op))
        return compute(self, op, place, frame, kernel, args)

    monkeypatch.setattr(selective.Recalling, "operator", watched)
    return found


ALL = ["mm", "sigmoid", "mm", "gelu", "mul", "softmax", "pow"]
POLICIES = {
    "nothing": ([], ALL),
    "by torch's name": ([aten.mm.default], [n for n in ALL if n != "mm"]),
    "an overload": ([aten.mul.Tensor, aten._softmax.default], [*ALL[:4], "pow"]),
    "the function itself": ([torch.mm, torch.sigmoid], ["gelu", "mul", "softmax", "pow"]),
    "a function around it": ([torch.matmul, F.softmax], ["sigmoid", "gelu", "mul", "pow"]),
    "a policy": (
        lambda context, op, *args, **kwargs: (
            CheckpointPolicy.PREFER_SAVE
            if op in {aten.mm.default, F.gelu}
            else CheckpointPolicy.PREFER_RECOMPUTE
        ),
        ["sigmoid", "mul", "softmax", "pow"],
    ),
    "yes and no": (lambda context, op, *args: op != aten.mm.default, ["mm", "mm"]),
    "on another device": (lambda *_: CheckpointPolicy.MUST_CPU_OFFLOAD, ALL),
    "everything": (lambda *_: CheckpointPolicy.MUST_SAVE, []),
}


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_kept_is_not_computed_again(name, again):
    policy, computed = POLICIES[name]
    x = X.clone().requires_grad_()
    network(x).backward()
    assert torch.equal(gradient(network, policy), x.grad)
    assert again == computed


def test_an_operator_of_ones_own():
    calls = []

    @rule(vjp=lambda g, out: g * out)
    def exponential(x, /):
        calls.append(1)
        return np.exp(x)

    for kept, count in (([], 2), ([exponential], 1)):
        calls.clear()
        grad = gradient(lambda x: (exponential(x.sin()) * x).sum(), kept)
        assert len(calls) == count
        assert torch.allclose(grad, (X.sin().exp() * (1 + X * X.cos())))


def test_what_a_policy_is_told():
    seen = []

    def policy(context, op, *args, **kwargs):
        assert isinstance(context, SelectiveCheckpointContext) and not context.is_recompute
        assert not torch.is_grad_enabled()
        seen.append((str(op), tuple(context.op_output.shape), len(args), (args[0] * 2).shape))
        return CheckpointPolicy.PREFER_RECOMPUTE

    gradient(lambda x: (x @ W[:, :2]).sum(0).mul(3.0).sin().sum(), policy)
    assert seen[:2] == [
        ("aten.mm.default", (3, 2), 2, (3, 3)),
        ("aten.sum.default", (2,), 3, (3, 2)),
    ]
    assert [s[0] for s in seen[2:]] == ["aten.mul.default", "aten.sin.default", "aten.sum.default"]


def test_once():
    x = X.clone().requires_grad_()
    for kept, fails in (([], False), ([aten.mm.default], True)):
        y = checkpoint(network, x, use_reentrant=False, context_fn=keeping(kept))
        y.backward(retain_graph=True)
        if fails:
            with pytest.raises(RuntimeError, match="Trying to backward an extra time"):
                y.backward()
        else:
            y.backward()


def test_a_result_that_is_overwritten():
    def f(x):
        y = x @ W
        z = y * 2
        y.relu_()
        return (z.sin() * y).sum()

    with pytest.raises(
        RuntimeError, match="cached during selective activation checkpoint has been"
    ):
        gradient(f, [torch.mm])
    gradient(f, [torch.mm], allow_cache_entry_mutation=True)
    plain = X.clone().requires_grad_()
    f(plain).backward()
    assert torch.allclose(gradient(f, [torch.sin]), plain.grad)


def test_runs_that_differ():
    runs = []

    def f(x):
        runs.append(1)
        y = x.sin() if len(runs) == 1 else x.sin() + 0
        return y.cos().sum()

    with pytest.raises(
        RuntimeError, match=r"aten\.add\.default encountered during backward but not"
    ):
        gradient(f, [torch.sin])
    runs.clear()

    def more(x):
        runs.append(1)
        y = x.sin()
        return (y if len(runs) == 1 else y.sin()).cos().sum()

    with pytest.raises(RuntimeError, match=r"aten\.sin\.default invocation index 1 encountered"):
        gradient(more, [torch.sin])


def test_random_numbers_are_the_same_again(again):
    def f(x):
        y = F.dropout(x, 0.5) @ W * torch.bernoulli(x.sigmoid()) + torch.rand(3, 3)
        y = F.gumbel_softmax(F.rrelu(y, training=True)) + F.alpha_dropout(y)
        q = y[None, None]
        y = y + F.scaled_dot_product_attention(q, q, q, dropout_p=0.3)[0, 0]
        return F.dropout(y * torch.normal(x, 1.0) * torch.multinomial(x.exp(), 2)[:, :1], 0.2).sum()

    torch.manual_seed(3)
    kept = gradient(f, lambda *_: True)
    assert not again
    torch.manual_seed(3)
    x = X.clone().requires_grad_()
    f(x).backward()
    assert torch.equal(kept, x.grad)


def test_layers(again):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True)
    model = torch.nn.Sequential(layer, torch.nn.Linear(4, 2))
    x = torch.randn(2, 3, 4)
    grads = []
    attention = "scaled_dot_product_flash_attention_for_cpu"
    for kept, spared in (
        ([], ""),
        ([F.scaled_dot_product_attention], attention),
        ([aten.addmm.default], "addmm"),
    ):
        model.zero_grad()
        out = checkpoint(model, x, use_reentrant=False, context_fn=keeping(kept))
        again.clear()
        out.square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
        assert {"addmm", attention} - set(again) == {spared} - {""}
    for other in grads[1:]:
        assert all(map(torch.equal, grads[0], other))


@pytest.mark.parametrize(
    "transform",
    [
        func.grad,
        func.vmap,
        lambda f: func.vmap(func.grad(f)),
        lambda f: lambda x: func.jvp(f, (x,), (x,))[1],
        lambda f: lambda x: func.jvp(func.grad(f), (x,), (x,))[1],
    ],
)
def test_under_transforms(transform):
    def f(x):
        return checkpoint(
            lambda x: ((x * W).sin() @ x.sin()).tanh().sum(),
            x,
            use_reentrant=False,
            context_fn=keeping([torch.matmul, torch.sin]),
        )

    expected = transform(lambda x: ((x * W).sin() @ x.sin()).tanh().sum())(X)
    assert torch.allclose(transform(f)(X), expected)


def test_names():
    assert (
        str(aten.mm.default) == "aten.mm.default" and aten.add.Tensor.name() == "aten::add.Tensor"
    )
    assert aten.mm.default == aten.mm.default and aten.mm.default != aten.bmm.default
    assert aten.mm.default in {torch.mm} and torch.mm in {aten.mm.default}
    assert torch.equal(aten.mm.default(X, W), X @ W) and torch.equal(aten.mm(X, W), X @ W)
    assert repr(aten.mm.default) == "<OpOverload(op='aten.mm', overload='default')>"
    with pytest.raises(AttributeError, match="'_OpNamespace' 'aten' object has no attribute 'foo'"):
        aten.foo  # noqa: B018
    with pytest.raises(NotImplementedError, match="names what an operator does"):
        aten.mkldnn_rnn_layer.default(X)


def test_lists_of_something_else():
    with pytest.raises(ValueError, match="OpOverloadPacket to a specific OpOverload"):
        create_selective_checkpoint_contexts([aten.mm])
    with pytest.raises(ValueError, match="to be an OpOverload but got: mm of type <class 'str'>"):
        create_selective_checkpoint_contexts(["mm"])
    with pytest.raises(TypeError, match="must be either a function or a list of ops"):
        create_selective_checkpoint_contexts(3)


def test_the_example_in_the_documentation():
    result = doctest.testmod(selective)
    assert result.failed == 0 and result.attempted > 5
