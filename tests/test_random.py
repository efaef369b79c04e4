"""Random tensors: the tensor side of the streams (the numbers themselves are held in
test_random_streams.py).
"""

import subprocess
import sys

import pytest

import chainrule as torch

F = torch.nn.functional


def test_known_numbers():
    torch.manual_seed(0)
    assert repr(torch.randn(3)) == "tensor([ 1.5410, -0.2934, -2.1788])"
    assert repr(torch.rand(2)) == "tensor([0.4556, 0.6323])"
    assert torch.initial_seed() == 0


def test_state_and_generators():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert state.dtype is torch.uint8 and state.shape == (5056,)
    first = torch.rand(5)
    torch.set_rng_state(state)
    assert torch.equal(first, torch.rand(5))
    g = torch.Generator().manual_seed(3)
    assert torch.equal(first, torch.rand(5, generator=g))
    h = torch.Generator()
    h.set_state(g.get_state())
    assert torch.equal(torch.randperm(7, generator=g), torch.randperm(7, generator=h))
    with pytest.raises(TypeError, match="ByteTensor"):
        torch.set_rng_state([1, 2])


@pytest.mark.parametrize("call", ["rand(2", "randperm(3"])
def test_the_first_bfloat16_of_a_process_may_be_a_draw(call):
    code = f"import chainrule as torch; print(torch.{call}, dtype=torch.bfloat16).dtype)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "torch.bfloat16\n"


@pytest.mark.parametrize("make", [torch.rand, torch.randn])
def test_factories_take_sizes_dtypes_and_flags(make):
    assert make(2, 3).shape == make((2, 3)).shape == make(size=(2, 3)).shape == (2, 3)
    assert make(()).shape == () and make(0, 2).numel() == 0
    assert make(2, dtype=torch.float64).dtype is torch.float64
    assert make(2, requires_grad=True).is_leaf
    out = torch.zeros(2)
    assert make(2, out=out) is out and out.abs().sum() > 0
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        make(-1)
    with pytest.raises(RuntimeError, match="CPU only"):
        make(2, device="cuda")


def test_integers():
    assert torch.randint(3, 5, (100,)).unique().tolist() == [3, 4]
    assert torch.randint(2, (3,), dtype=torch.uint8).dtype is torch.uint8
    with pytest.raises(
        RuntimeError, match="expects 'from' to be less than 'to', but got from=4 >= to=4"
    ):
        torch.randint(4, 4, (2,))
    assert sorted(torch.randperm(9).tolist()) == list(range(9))
    with pytest.raises(RuntimeError, match="n must be non-negative, got -1"):
        torch.randperm(-1)


def test_draws_in_place_fill_views_and_cut_history():
    x = torch.zeros(4, 4)
    x[:, 1].uniform_(1, 2)
    assert (x[:, 1] >= 1).all() and x[:, 0].eq(0).all()
    y = torch.ones(3, requires_grad=True) * 2
    y.normal_().sum().backward()
    assert y.grad_fn.name() == "NormalBackward0"
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        torch.ones(3, requires_grad=True).normal_()
    z = torch.ones(3)
    with pytest.raises(RuntimeError, match="normal expects std >= 0"):
        z.normal_(0, -1)
    assert z.eq(1).all()


def test_distributions_of_parameters():
    p = torch.tensor([0.0, 1.0, 1.0], requires_grad=True)
    draw = torch.bernoulli(p)
    assert draw.tolist() == [0, 1, 1] and draw.grad_fn.name() == "BernoulliBackward0"
    draw.sum().backward()
    assert p.grad.tolist() == [0, 0, 0]
    assert torch.normal(torch.tensor([5.0, -5.0]), 1e-9).round().tolist() == [5, -5]
    assert torch.multinomial(torch.tensor([0.0, 1.0, 0.0]), 4, replacement=True).tolist() == [
        1,
        1,
        1,
        1,
    ]
    with pytest.raises(RuntimeError, match=r"cannot sample n_sample > prob_dist\.size"):
        torch.multinomial(torch.ones(2), 3)


def test_dropout():
    x = torch.ones(1000, requires_grad=True)
    y = F.dropout(x, 0.25)
    kept = y != 0
    assert 650 < kept.sum() < 850 and torch.allclose(y[kept], torch.tensor(4 / 3))
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert F.dropout(x, 0.5, training=False) is x and F.dropout(x, 1.0).eq(0).all()
    channels = F.dropout2d(torch.ones(4, 8, 3, 3), 0.5)
    assert set(channels.sum((2, 3)).unique().tolist()) <= {0.0, 18.0}
    with pytest.raises(ValueError, match=r"has to be between 0 and 1, but got 1\.5"):
        F.dropout(x, 1.5)
