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


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("lengths", [None, [3, 1]])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "bias": False, "num_layers": 2}])
def test_derivatives_of_recurrent_layers(mode, lengths, options):
    """First and second derivatives against differences, for whole and packed sequences."""
    torch.manual_seed(3)
    layer = getattr(nn, mode)(2, 2, **options).double()
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    h = torch.randn(len(layer.all_weights), 2, 2, dtype=torch.float64, requires_grad=True)

    def run(x, h, *weights):
        given = x if lengths is None else nn.utils.rnn.pack_padded_sequence(x, lengths)
        out, last = layer(given, (h, h * 2) if mode == "LSTM" else h)
        out = out if lengths is None else out.data
        last = last if isinstance(last, tuple) else (last,)
        return (out, *last)

    inputs = (x, h, *layer.parameters())
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs[:3])


def test_projected_lstm_derivatives():
    torch.manual_seed(3)
    layer = nn.LSTM(2, 3, proj_size=2, bidirectional=True).double()
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    inputs = (x, *layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *w: layer(x)[0], inputs)
    assert torch.autograd.gradgradcheck(lambda x, *w: layer(x)[0], inputs[:2])


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
