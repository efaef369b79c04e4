"""Function transforms and forward mode: what crosses their boundaries, what they refuse."""

from __future__ import annotations

import threading

import pytest

import chainrule as torch
from chainrule import func
from chainrule.autograd import forward_ad
from chainrule.func import (
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)

A = torch.tensor([[0.5, -1.0, 0.3], [1.5, 0.2, -0.7], [-0.4, 0.9, 1.1]], dtype=torch.float64)
X = torch.tensor([[0.1, 0.2, 0.3], [-0.5, 0.4, 0.6]], dtype=torch.float64)
x, v = X[0], X[1]


def f(u):
    return torch.tanh(A @ u)


def s(u):
    return (A @ u).sin().sum() * u[0]


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def gradient_of(build, *leaves):
    """The gradients of the sum of what `build` returns, by the tape."""
    fresh = [t.clone().requires_grad_() for t in leaves]
    build(*fresh).sum().backward()
    return [t.grad for t in fresh]


# -- every way to a Jacobian and a Hessian ---------------------------------------------------------


def test_jacobians_agree():
    rows = torch.stack([vjp(f, x)[1](e)[0] for e in torch.eye(3, dtype=torch.float64)])
    columns = torch.stack([jvp(f, (x,), (e,))[1] for e in torch.eye(3, dtype=torch.float64)], 1)
    for way in (jacrev(f)(x), jacfwd(f)(x), columns, jacrev(f, chunk_size=1)(x)):
        same(way, rows)
    vectorized = torch.autograd.functional.jacobian
    same(vectorized(f, x, vectorize=True), rows)
    same(vectorized(f, x, vectorize=True, strategy="forward-mode"), rows)
    leaf = x.clone().requires_grad_()
    eye = torch.eye(3, dtype=torch.float64)
    same(torch.autograd.grad(f(leaf), leaf, eye, is_grads_batched=True)[0], rows)


def test_hessians_agree():
    expected = torch.autograd.functional.hessian(s, x)
    for way in (
        hessian(s),
        jacrev(jacrev(s)),
        jacfwd(jacfwd(s)),
        jacrev(jacfwd(s)),
        lambda u: vmap(lambda e: jvp(grad(s), (u,), (e,))[1])(torch.eye(3, dtype=torch.float64)),
    ):
        same(way(x), expected)
    same(vmap(hessian(s))(X)[1], hessian(s)(X[1]))


def test_linearize_evaluates_once():
    calls = []

    def counted(u):
        calls.append(1)
        return f(u)

    out, push = linearize(counted, x)
    same(push(v), jvp(f, (x,), (v,))[1])
    same(push(2 * v), 2 * push(v))
    assert len(calls) == 1 and out.grad_fn is None and push(v).grad_fn is None
    with pytest.raises(RuntimeError, match="shape"):
        push(torch.ones(2, dtype=torch.float64))


def test_pytrees_and_aux():
    tree = {"a": x, "b": (v, [x])}
    g = grad(lambda t: (t["a"] * t["b"][0]).sum() + t["b"][1][0].sum())(tree)
    same(g["a"], v)
    same(g["b"][0], x)
    same(g["b"][1][0], torch.ones_like(x))
    g, (value, extra) = func.grad_and_value(lambda u: (u.sum(), {"twice": u * 2}), has_aux=True)(x)
    same(extra["twice"], 2 * x)
    assert value.grad_fn is None and g.grad_fn is None and extra["twice"].grad_fn is None
    out = vmap(lambda d: {"s": d["a"] * d["k"], "n": d["a"].sum()}, in_dims=({"a": 0, "k": None},))(
        {"a": X, "k": x}
    )
    same(out["s"], X * x)
    same(out["n"], X.sum(1))


# -- the tape outside of a transform ---------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda u: vmap(lambda a: (a * u).sin().sum())(X),
        lambda u: vmap(lambda a, b: (a * b).sin().sum(), (0, None))(X, u),
        lambda u: vmap(lambda a: (a * u).sin().sum())(X).sum() + (u * u).sum(),
        lambda u: jvp(f, (u,), (v,))[1],
        lambda u: jvp(f, (x,), (u,))[1],
        lambda u: jvp(lambda w: w * u * u, (u * 2,), (u,))[1],
        lambda u: jvp(lambda w: f(w) * u, (u,), (u.sin(),))[1] + u * u,
        lambda u: grad(s)(u) ** 2,
        lambda u: grad(lambda w: (w * u).sin().sum())(x) ** 2,
        lambda u: hessian(s)(u) ** 2,
        lambda u: jacfwd(f)(u) ** 2,
        lambda u: jacrev(f)(u) ** 2,
        lambda u: vmap(hessian(lambda a: (a * u).sin().sum()))(X) ** 2,
        lambda u: vmap(lambda a: jvp(lambda w: (w * u).sin(), (a,), (u,))[1])(X),
        lambda u: vjp(lambda w: f(w) * u, u)[1](u)[0],
        lambda u: linearize(f, u)[1](u),
    ],
)
def test_the_tape_sees_through_transforms(build):
    (got,) = gradient_of(build, x)
    h = 1e-6
    for i, e in enumerate(torch.eye(3, dtype=torch.float64)):
        slope = (build(x + h * e).sum() - build(x - h * e).sum()) / (2 * h)
        assert abs(float(got[i] - slope)) < 1e-7 * (1 + abs(float(slope)))


def test_results_have_history_only_if_something_outside_wants_it():
    for transformed in (grad(s), hessian(s), jacrev(f), jacfwd(f), lambda u: jvp(f, (u,), (v,))[1]):
        assert transformed(x).grad_fn is None
        assert transformed(x.clone().requires_grad_()).requires_grad
    w = x.clone().requires_grad_()
    assert grad(lambda u: (u * w).sum())(v).requires_grad


# -- in place, random numbers, control flow inside vmap --------------------------------------------


def written(u):
    out = torch.zeros_like(u) + u
    out[0] = u[1] * 2
    out[1:].mul_(u[:2])
    return out


def test_writing_inside_transforms():
    same(vmap(written)(X), torch.stack([written(u) for u in X]))
    _, tangent = jvp(written, (x,), (v,))
    h = 1e-6
    assert float((tangent - (written(x + h * v) - written(x - h * v)) / (2 * h)).abs().max()) < 1e-8
    g = vmap(grad(lambda u: (written(u) ** 2).sum()))(X)
    same(g[1], grad(lambda u: (written(u) ** 2).sum())(X[1]))
    batch = X.clone()
    vmap(lambda u: u.add_(1))(batch)
    same(batch, X + 1)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(lambda u: torch.zeros(3, dtype=torch.float64).add_(u))(X)


def test_buffers_that_become_dual():
    def build(u):
        out = torch.zeros(3, dtype=torch.float64)
        out[0] = u[1]
        out[1:] = u[:2] * u[:2]
        return out

    value, tangent = jvp(build, (x,), (v,))
    same(value, build(x))
    same(tangent, torch.stack([v[1], 2 * x[0] * v[0], 2 * x[1] * v[1]]))


TOTAL = torch.zeros(3, dtype=torch.float64)


def test_what_a_transform_captured_is_not_written():
    total = torch.zeros(3, dtype=torch.float64)

    def by_closure(u):
        total.add_(u)
        return u.sum()

    def by_a_view(u):
        total[1:].copy_(u[1:])
        return u.sum()

    def by_module(u):
        TOTAL[0] = u[1]
        return u.sum()

    def innocent(u):
        own = torch.zeros(3, dtype=torch.float64)
        own.add_(u)
        own[0] = u[1]
        return own.sum()

    for function in (by_closure, by_a_view, by_module):
        for transform in (
            lambda h: grad(h)(x),
            lambda h: vjp(h, x),
            lambda h: jvp(h, (x,), (v,)),
            lambda h: vmap(grad(h))(X),
        ):
            with pytest.raises(RuntimeError, match="mutate a captured Tensor"):
                transform(function)
            assert not total.any() and not TOTAL.any() and total.grad_fn is None
    same(grad(innocent)(x), torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64))
    same(vmap(lambda u: total.add_(1) * u)(X)[0], total * X[0])


def test_writing_into_numbers_in_forward_mode():
    def rewritten(u):
        a, b = u.clone(), u * u
        a.mul_(3)
        b.zero_()
        return a * u + b

    value, tangent = jvp(rewritten, (x[0],), (v[0],))
    same(value, 3 * x[0] * x[0])
    same(tangent, 6 * x[0] * v[0])


def test_random_numbers_inside_vmap():
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda u: u + torch.rand(3))(X)
    drawn = vmap(lambda u: torch.rand(3), randomness="same")(X)
    assert drawn.shape == (2, 3) and torch.equal(drawn[0], drawn[1])
    drawn = vmap(lambda u: torch.rand(3), randomness="different")(X)
    assert len(set(drawn.reshape(-1).tolist())) == 6
    dropped = vmap(lambda u: torch.nn.functional.dropout(u * 0 + 1), randomness="different")(
        torch.ones(50, 3)
    )
    assert not torch.equal(dropped[0], dropped[1]) or not torch.equal(dropped[1], dropped[2])
    coins = vmap(lambda u: torch.bernoulli(u), randomness="different")(torch.full((40, 8), 0.5))
    assert 0 < float(coins.mean()) < 1
    with pytest.raises(RuntimeError, match="same randomness with a batched"):
        vmap(lambda u: torch.bernoulli(u), randomness="same")(torch.full((4, 8), 0.5))
    with pytest.raises(RuntimeError, match="inplace randomness on an unbatched"):
        vmap(lambda u: torch.zeros(3).normal_() + u, randomness="different")(X)
    nested = vmap(
        lambda u: vmap(lambda w: torch.rand(2), randomness="different")(u), randomness="different"
    )(X)
    assert nested.shape == (2, 3, 2) and len(set(nested.reshape(-1).tolist())) == 12


X2 = torch.tensor([[1.0, 0, 2], [0, 3, 4]], dtype=torch.float64)
TIMES = torch.tensor([[1, 2, 1], [2, 1, 1]])
PLACES = torch.tensor([[0, 2, 1], [1, 0, 2]])


def unpooled(u, i):
    return torch.nn.functional.max_unpool1d(u[None] ** 2, i[None] * 2, 2)[0]


BY_EXAMPLE = {  # functions that look at the numbers of what is batched
    "argwhere": (lambda u, _: torch.argwhere(u), X2, TIMES),
    "repeat_interleave": (lambda u, r: torch.repeat_interleave(u * u, r), X2, TIMES),
    "repeat_interleave of counts": (lambda _, r: torch.repeat_interleave(r), X2, TIMES),
    "histogram": (lambda u, _: torch.histogram(u, 3), X2, TIMES),
    "linspace": (lambda u, r: torch.linspace(u[0], r[0], 3), X2, TIMES),
    "logspace": (lambda u, r: torch.logspace(u[0], r[0], 3, 2.0), X2, TIMES),
    "one_hot": (lambda _, r: torch.nn.functional.one_hot(r, 4), X2, TIMES),
    "masked_scatter": (lambda u, _: u.masked_scatter(u > 1, u * u), X2, TIMES),
    "put": (lambda u, i: u.put(i, u * u), X2, PLACES),
    "max_unpool1d": (unpooled, X2, PLACES),
    "unravel_index": (lambda _, r: torch.unravel_index(r, (2, 3)), X2, TIMES),
    "embedding_bag": (
        lambda u, i: torch.nn.functional.embedding_bag(i[None], u[:, None] ** 2),
        X2,
        PLACES,
    ),
    "ctc_loss": (
        lambda u, i: torch.nn.functional.ctc_loss(
            (u * u).expand(4, 1, 3).log_softmax(-1), i[None, :1] % 2 + 1, [4], [1]
        ),
        X2,
        PLACES,
    ),
}


SMOOTH = {"repeat_interleave", "masked_scatter", "put", "max_unpool1d", "embedding_bag", "ctc_loss"}


def looped(f, us, others):
    return [f(u, o) for u, o in zip(us, others, strict=True)]


@pytest.mark.parametrize("name", BY_EXAMPLE)
def test_examples_that_differ_in_their_numbers(name):
    f, us, others = BY_EXAMPLE[name]
    loop = looped(f, us, others)
    found = vmap(f)(us, others)
    if isinstance(found, tuple):
        found, loop = found[0], [r[0] for r in loop]
    same(found.double(), torch.stack(loop).double())
    if name not in SMOOTH:
        return
    slope = grad(lambda u, o: f(u, o).pow(2).sum())
    same(vmap(slope)(us, others), torch.stack(looped(slope, us, others)))

    def forward(u, o):
        return jvp(lambda w: f(w, o), (u,), (u + 1,))[1]

    same(vmap(forward)(us, others), torch.stack(looped(forward, us, others)))


def test_examples_whose_results_do_not_stack():
    ragged = torch.tensor([[1, 2], [2, 2]])
    for call, words in (
        (
            lambda: vmap(torch.repeat_interleave)(ragged),
            r"got \[3\] at entry 0 and \[4\] at entry 1",
        ),
        (lambda: vmap(torch.bincount)(torch.tensor([[1, 2], [2, 5]])), "equal size"),
        (lambda: vmap(torch.nonzero)(X), "dynamic shape"),
        (lambda: vmap(torch.argwhere)(X[:0]), "dims of size 0"),
        (lambda: vmap(torch.nn.functional.one_hot)(ragged), "explicit positive num_classes"),
    ):
        with pytest.raises(RuntimeError, match=words):
            call()


def test_what_transforms_refuse():
    for call, kind, words in (
        (lambda: vmap(lambda u: u if u.sum() > 0 else -u)(X), RuntimeError, "control flow"),
        (lambda: vmap(lambda u: u.sum().item())(X), RuntimeError, "item"),
        (lambda: vmap(lambda u: 3)(X), ValueError, "must only return Tensors"),
        (lambda: vmap(lambda u: u)(3), ValueError, "Got in_dim=0 for an input but the input is"),
        (lambda: vmap(lambda u: u, in_dims=(0, 0))(X), ValueError, "not compatible"),
        (lambda: vmap(lambda u, w: u)(X, x), ValueError, r"got sizes \[2, 3\]"),
        (lambda: vmap(lambda u: u, in_dims=2)(X), ValueError, "dimensionality 2"),
        (lambda: vmap(lambda u: u, out_dims="a")(X), ValueError, "`out_dims` must be"),
        (lambda: vmap(lambda: x)(), ValueError, "got no inputs"),
        (lambda: vmap(lambda u: u, randomness="some"), RuntimeError, "Only allowed values"),
        (lambda: vmap(lambda u: u, chunk_size=0), ValueError, "chunk_size"),
        (lambda: grad(f)(x), RuntimeError, "return a scalar Tensor, got tensor with 1 dims"),
        (lambda: grad(lambda u: 1.0)(x), RuntimeError, "return a Tensor, got"),
        (lambda: grad(s, argnums=1)(x), RuntimeError, "only 1 positional"),
        (lambda: vjp(f, x)[1](x, x), RuntimeError, "pytree structure of cotangents"),
        (lambda: jvp(f, (x,), (x, x)), RuntimeError, "same python structure"),
        (lambda: jvp(f, x, x), RuntimeError, "primals to be a tuple"),
        (lambda: jvp(f, (x,), (x[:2],)), RuntimeError, "different size"),
        (lambda: jvp(lambda u: x, (x,), (x,), strict=True), RuntimeError, "independent"),
        (lambda: jacrev(f)(x + 1j), RuntimeError, "complex tensor at flattened input idx: 0"),
        (
            lambda: vmap(lambda u: (u * x.clone().requires_grad_()).sum().backward())(X),
            RuntimeError,
            "inside a functorch transform",
        ),
    ):
        with pytest.raises(kind, match=words):
            call()


def test_a_tensor_that_leaks_says_so():
    kept = []
    vmap(lambda u: kept.append(u) or u)(X)
    with pytest.raises(RuntimeError, match="after that vmap had ended"):
        kept[0] + 1


# -- forward_ad ------------------------------------------------------------------------------------


def test_dual_levels():
    with forward_ad.dual_level():
        d = forward_ad.make_dual(x, v)
        y = f(d)
        same(forward_ad.unpack_dual(y).tangent, jvp(f, (x,), (v,))[1])
        assert forward_ad.unpack_dual(x).tangent is None
        assert forward_ad.unpack_dual(d.detach()).tangent is None
        with torch.no_grad():
            same(forward_ad.unpack_dual(d * 2).tangent, 2 * v)
        with pytest.raises(RuntimeError, match="Nested forward mode"), forward_ad.dual_level():
            pass
        with pytest.raises(RuntimeError, match="different size"):
            forward_ad.make_dual(x, v[:2])
        assert "tangent=" in repr(d)
    assert forward_ad.unpack_dual(y).tangent is None
    assert (y * 2).tolist() == (f(x) * 2).tolist() and "tangent" not in repr(y)
    with pytest.raises(RuntimeError, match="no level exists"):
        forward_ad.make_dual(x, v)
    with pytest.raises(RuntimeError, match="not the last one"):
        forward_ad.exit_dual_level()


def test_the_tape_and_dual_tensors():
    """torch's figures: a leaf used as it is and in a dual tensor, reverse over forward."""
    for twice, expected in ((False, [3.0, 5.0]), (True, [18.0, 120.0])):
        leaf = torch.tensor([1.0, 2.0], requires_grad=True)
        with forward_ad.dual_level():
            out = forward_ad.make_dual(leaf, torch.tensor([3.0, 5.0])) * leaf
            out = out * out if twice else out
            forward_ad.unpack_dual(out).tangent.sum().backward()
        assert leaf.grad.tolist() == expected
    leaf = x.clone().requires_grad_()
    with forward_ad.dual_level():
        d = forward_ad.make_dual(leaf, v)
        (g,) = torch.autograd.grad(s(d), leaf)
        same(forward_ad.unpack_dual(g).tangent, jvp(grad(s), (x,), (v,))[1])


def test_threads_have_levels_of_their_own():
    results = {}

    def run(k):
        results[k] = vmap(lambda u: jvp(f, (u,), (u * k,))[1])(X)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(4):
        same(results[k], k * torch.stack([jvp(f, (u,), (u,))[1] for u in X]))


def test_an_ensemble():
    torch.manual_seed(0)
    models = [torch.nn.Linear(3, 2, dtype=torch.float64) for _ in range(4)]
    params, buffers = stack_module_state(models)
    assert params["weight"].shape == (4, 2, 3) and params["weight"].is_leaf and not buffers

    def call(p, data):
        return func.functional_call(models[0], p, (data,))

    same(vmap(call, (0, None))(params, x), torch.stack([m(x) for m in models]))
    with pytest.raises(RuntimeError, match="at least one model"):
        stack_module_state([])
    with pytest.raises(RuntimeError, match="same class"):
        stack_module_state([models[0], torch.nn.ReLU()])


def test_large_batches_agree_with_single_examples():
    """Where sums and products of a batch take ways of their own: over 4096, over 131072 numbers."""
    draws = torch.Generator().manual_seed(0)
    x, y = (torch.randn(*s, generator=draws, dtype=torch.float64) for s in ((8, 10), (8, 1)))
    weights = torch.randn(240, generator=draws, dtype=torch.float64)
    directions = torch.randn(800, 240, generator=draws, dtype=torch.float64)

    def error(w):
        hidden = torch.tanh(x @ w[:200].reshape(10, 20) + w[200:220])
        return ((hidden @ w[220:].reshape(20, 1) - y) ** 2).mean()

    def product(v):
        return func.jvp(func.grad(error), (weights,), (v,))[1]

    together = func.vmap(product)(directions)
    for i in (0, 101, 102, 799):
        torch.testing.assert_close(together[i], product(directions[i]))
    torch.testing.assert_close(together, directions @ func.hessian(error)(weights))


def test_outer_products_of_a_batch_hold_no_negative_zero():
    x, y = torch.tensor([[0.0, -1.0], [2.0, 0.0]]), torch.tensor([[-3.0, 0.0], [0.0, -1.0]])
    found = func.vmap(lambda a, b: a[:, None] @ b[None])(x, y)
    torch.testing.assert_close(found, x[:, :, None] * y[:, None, :])
    assert not torch.signbit(found[found == 0]).any()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)])
def test_the_jacobian_of_one_number_has_its_shape_in_front(shape):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = func.jacrev(lambda x: (x * x).sum().reshape(shape))(x)
    assert found.shape == (*shape, 2, 2)
    torch.testing.assert_close(found.reshape(2, 2), 2 * x)
    twice = func.jacrev(func.jacrev(lambda x: (x**3).sum().reshape(shape)))(x)
    torch.testing.assert_close(twice.reshape(4, 4), torch.diag(6 * x.reshape(4)))


def test_examples_pick_from_what_they_share():
    """x[i] and its kin, where `i` differs by example and x does not."""
    x, i = torch.arange(6.0, dtype=torch.float64).reshape(3, 2), torch.tensor([0, 2])
    assert vmap(lambda i: x[i])(i).tolist() == [[0, 1], [4, 5]]
    assert vmap(lambda i: x[i])(i[:, None]).tolist() == [[[0, 1]], [[4, 5]]]
    assert vmap(lambda i: x[:, i % 2])(i[:, None]).tolist() == [[[0], [2], [4]]] * 2
    assert vmap(lambda i: x.index_select(0, i))(i[:, None]).tolist() == [[[0, 1]], [[4, 5]]]
    assert vmap(lambda i: x.gather(0, i))(i[:, None, None]).tolist() == [[[0]], [[4]]]
    slopes = vmap(lambda i: grad(lambda w: w[i].sum())(x))(i[:, None])
    assert slopes.tolist() == [[[1, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [1, 1]]]
    assert vmap(lambda i: jvp(lambda w: w[i] * 2, (x,), (x,))[1])(i).tolist() == [[0, 2], [8, 10]]


def test_numbers_to_integer_powers_in_batches():
    x = torch.tensor([1, 2, 3, -1])
    assert torch.vmap(lambda n: 2**n)(x).tolist() == (2**x).tolist() == [2, 4, 8, 0]
    assert torch.vmap(lambda n: True**n)(x).tolist() == [1, 1, 1, 1]
