"""Modules against what torch gives (tests/golden/nn.json.gz, written by tools/golden_nn.py).

Layers: text, state, results and gradients from known random numbers, in training and in evaluation.
Programs: short pieces of code that show what they do; texts are compared word by word, and the
numbers in them up to rounding.
"""

from __future__ import annotations

import copy
import gc
import pickle
import re
import warnings
import weakref

import pytest

import chainrule

from .golden_nn import assert_same, assert_same_text, golden, observe, observe_layer

LAYERS, PROGRAMS = golden("layers"), golden("programs")


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    case = LAYERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = observe_layer(case["make"], case["call"], chainrule)
    assert_same(got, case["seen"], name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    case = PROGRAMS[name]
    got = observe(case["source"], chainrule)
    assert len(got) == len(case["seen"]), got
    for a, b in zip(got, case["seen"], strict=True):
        assert_same_text(a, b)


# -- what is ours ----------------------------------------------------------------------------------

nn, torch = chainrule.nn, chainrule


def test_every_layer_is_recorded():
    missing = set()
    for name in nn.__all__:
        cls = getattr(nn, name)
        if isinstance(cls, type) and issubclass(cls, nn.Module):
            texts = [c["make"] for c in LAYERS.values()] + [c["source"] for c in PROGRAMS.values()]
            if not any(re.search(rf"nn\.{name}\b", t) for t in texts):
                missing.add(name)
    assert not missing - {"DataParallel", "Module", "RNNBase", "RNNCellBase"}, missing


def test_attributes_follow_the_registries():
    m = nn.Linear(2, 2)
    w = nn.Parameter(torch.ones(2, 2))
    m._parameters["weight"] = w
    assert m.weight is w and m.__dict__["weight"] is w
    m._parameters.update(bias=None)
    assert m.bias is None
    del m._parameters["bias"]
    assert not hasattr(m, "bias")
    m._modules["inner"] = nn.ReLU()
    assert isinstance(m.inner, nn.ReLU)
    assert m._modules.pop("inner") is not None and not hasattr(m, "inner")
    m._modules |= {"a": nn.ReLU(), "b": nn.Tanh()}
    m._modules.move_to_end("a")
    assert list(m._modules) == ["b", "a"]
    m._modules.move_to_end("a", last=False)
    assert list(m._modules) == ["a", "b"]
    assert m._modules.popitem()[0] == "b" and m._modules.setdefault("a") is m.a
    m._modules.clear()
    assert not hasattr(m, "a") and m._modules.copy() == {}


def test_a_module_is_freed_without_the_collector():
    gc.disable()
    try:
        m = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        m(torch.ones(3, 2)).sum().backward()
        gone = weakref.ref(m)
        del m
        assert gone() is None
    finally:
        gc.enable()


def test_a_call_without_hooks_adds_one_frame():
    frames = []

    class Probe(nn.Module):
        def forward(self, x):
            import sys

            f = sys._getframe()
            while f.f_code.co_name != "test_a_call_without_hooks_adds_one_frame":
                frames.append(f.f_code.co_name)
                f = f.f_back
            return x

    Probe()(torch.ones(1))
    assert frames == ["forward", "__call__"]


def test_copies_have_registries_of_their_own():
    m = nn.Sequential(nn.Linear(2, 2))
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        other[0].weight = nn.Parameter(torch.zeros(2, 2))
        assert other[0]._parameters["weight"] is other[0].weight
        assert bool((m[0].weight != 0).any())


def test_hooks_survive_pickling():
    m = nn.Linear(1, 1)
    m.register_forward_hook(_double)
    again = pickle.loads(pickle.dumps(m))
    assert again(torch.ones(1, 1)).item() == m(torch.ones(1, 1)).item()
    assert copy.deepcopy(m)(torch.ones(1, 1)).item() == m(torch.ones(1, 1)).item()


def _double(module, args, out):
    return out * 2


def test_there_is_no_cuda():
    with pytest.raises(RuntimeError, match="CPU only"):
        nn.Linear(1, 1).to("cuda")
    with pytest.raises(RuntimeError, match="CPU only"):
        nn.Linear(1, 1).cuda()
    with pytest.raises(RuntimeError, match="CPU only"):
        nn.Linear(1, 1, device="cuda")
    with pytest.raises(RuntimeError, match="one process"):
        nn.parallel.DistributedDataParallel(nn.Linear(1, 1))


def stepped(layer, cell, x, states, backward):
    """One layer in one direction, a cell at a time: outputs and last states."""
    suffix = "_l0_reverse" if backward else "_l0"
    for name in dict(cell.named_parameters()):
        cell._parameters[name] = getattr(layer, name + suffix)
    outs, steps = [None] * x.shape[0], range(x.shape[0])
    for t in reversed(steps) if backward else steps:
        got = cell(x[t], states if len(states) > 1 else states[0])
        states = got if isinstance(got, tuple) else (got,)
        outs[t] = states[0]
    return torch.stack(outs), states


def by_cells(layer, cell, sequences, states):
    """A layer over sequences of any lengths, each by itself: outputs and last states."""
    outs, lasts = [], []
    directions = (False, True) if layer.bidirectional else (False,)
    for k, x in enumerate(sequences):
        start = [[s[d, k : k + 1] for s in states] for d in range(len(directions))]
        ends = [
            stepped(layer, cell, x.unsqueeze(1), tuple(start[d]), back)
            for d, back in enumerate(directions)
        ]
        outs.append(torch.cat([out for out, _ in ends], 2).squeeze(1))
        lasts.append([torch.cat(parts) for parts in zip(*(last for _, last in ends), strict=True)])
    return outs, [torch.stack(parts, 1) for parts in zip(*lasts, strict=True)]


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("lengths", [[4, 4, 4], [2, 4, 1]])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "bias": False}])
def test_derivatives_of_recurrent_layers(mode, lengths, options):
    """Results, first and second derivatives of the one-node layer against cells step by step."""
    torch.manual_seed(3)
    layer = getattr(nn, mode)(2, 3, **options).double()
    cell = getattr(nn, mode + "Cell")(2, 3, bias=layer.bias).double()
    sequences = [torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in lengths]
    count = 2 if mode == "LSTM" else 1
    shape = (2 if layer.bidirectional else 1, len(lengths), 3)
    states = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(count)]

    def whole():
        packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
        given = torch.stack(sequences, 1) if len(set(lengths)) == 1 else packed
        out, last = layer(given, tuple(states) if count == 2 else states[0])
        if given is packed:
            outs = nn.utils.rnn.unpack_sequence(out)
        else:
            outs = out.unbind(1)
        return [*outs, *(last if count == 2 else (last,))]

    def pieces():
        outs, last = by_cells(layer, cell, sequences, states)
        return [*outs, *last]

    inputs = [*sequences, *states, *layer.parameters()]
    results = []
    for run in (whole, pieces):
        outs = run()
        loss = sum(
            (o * torch.arange(1.0, o.numel() + 1).cos().reshape(o.shape)).sum() for o in outs
        )
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        again = sum((g * g * g).sum() for g in first)
        results.append([*outs, *first, *torch.autograd.grad(again, inputs)])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-9), (a, b)


def test_projections_are_derived():
    """An LSTM with a projection against its equations."""
    torch.manual_seed(3)
    layer = nn.LSTM(2, 3, proj_size=2).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    inputs = [x, *layer.parameters()]
    w = dict(layer.named_parameters())

    def by_hand():
        h, c = (torch.zeros(2, n, dtype=torch.float64) for n in (2, 3))
        outs = []
        for t in range(4):
            gates = nn.functional.linear(x[t], w["weight_ih_l0"], w["bias_ih_l0"])
            gates = gates + nn.functional.linear(h, w["weight_hh_l0"], w["bias_hh_l0"])
            i, f, g, o = gates.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = (o.sigmoid() * c.tanh()) @ w["weight_hr_l0"].t()
            outs.append(h)
        return torch.stack(outs)

    results = []
    for run in (lambda: layer(x)[0], by_hand):
        out = run()
        first = torch.autograd.grad(out.pow(3).sum(), inputs, create_graph=True)
        again = torch.autograd.grad(sum((g * g).sum() for g in first), inputs)
        results.append([out, *first, *again])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-9)


def test_torchs_paths():
    from chainrule.nn.modules.module import Module
    from chainrule.nn.modules.utils import _pair

    from chainrule.nn.modules import Linear, batchnorm
    from chainrule.nn.utils.stateless import functional_call

    assert Linear is nn.Linear and batchnorm._BatchNorm and Module is nn.Module
    assert _pair(3) == (3, 3) and _pair((1, 2)) == (1, 2)
    m = nn.Linear(1, 1)
    zero = {"weight": torch.zeros(1, 1), "bias": torch.zeros(1)}
    assert functional_call(m, zero, (torch.ones(1, 1),)).item() == 0
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        assert nn.DataParallel(m)(torch.ones(1, 1)).shape == (1, 1)
