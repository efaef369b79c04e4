"""Threads that compute on shared parameters: right answers, no crash, no deadlock."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import chainrule as torch
from chainrule.ops.define import DOUBLES, OPS
from chainrule.storage import LAST, WRITTEN

THREADS, ROUNDS = 8, 1000


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads take turns a thousand times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


def together(*works: Callable[[], None]) -> None:
    """Run each in a thread of its own, starting at once; raise what one raised."""
    start, raised = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as e:
            raised.append(e)

    threads = [threading.Thread(target=run, args=(w,), daemon=True) for w in works]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "a thread hangs"
    if raised:
        raise raised[0]


class Twice(torch.autograd.Function):
    """2 x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        assert ctx.saved_tensors[0].shape == g.shape
        return g * 2


class Shared:
    """Parameters of the three kinds of memory: large (NumPy lets other threads run), small, and a
    number.
    """

    def __init__(self) -> None:
        f64 = torch.float64
        self.large = torch.ones(40, 50, dtype=f64, requires_grad=True)
        self.small = torch.ones(3, dtype=f64, requires_grad=True)
        self.number = torch.tensor(1.0, dtype=f64, requires_grad=True)
        self.hooked = 0
        self.all = [self.large, self.small, self.number]


# In a round each adds 2 to every element of every gradient, but `watching` and `asking` nothing.


def plain(s: Shared) -> None:
    (s.large.sum() * 2 + (s.small * s.number).sum() * 2 / 3 * s.number).backward(inputs=[s.large])
    ((s.small * 2).sum() + 2 * s.number).backward()


def hooks(s: Shared) -> None:
    y = s.large * 1
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    (y.sum() + (s.small + s.number).sum() * 0).backward()
    assert y.grad is not None and y.grad_fn.name() == "MulBackward0"
    (s.small.sum() * 2 + s.number * 2).backward()


def shared_hooks(s: Shared) -> None:
    handle = s.small.register_hook(lambda g: g * 1)
    (Twice.apply(s.large).sum() + Twice.apply(s.small).sum() + Twice.apply(s.number)).backward()
    handle.remove()


def watching(s: Shared) -> None:
    with torch.no_grad():
        assert not (s.large * 2).requires_grad
        assert s.number.detach().numpy().shape == ()
    with torch.inference_mode():
        assert (s.small * 2).is_inference()
    assert (s.small * 2).requires_grad


def asking(s: Shared) -> None:
    g, h = torch.autograd.grad(
        (s.large**2).sum() * s.number, [s.large, s.number], create_graph=True
    )
    (k,) = torch.autograd.grad(g.sum(), s.number)
    assert g[0, 0].item() == 2 and h.item() == 2000 and k.item() == 4000


def writing(s: Shared) -> None:
    own = torch.zeros(3, dtype=torch.float64)
    own += s.small
    own[0] = s.number * 1
    (own[0] * 2 + own[1:].sum() * 2 + s.small[0] * 2 + s.large.sum() * 2).backward()


def test_shared_parameters():
    s = Shared()
    kinds = [plain, hooks, shared_hooks, watching, asking, writing, plain, shared_hooks]

    def work(kind: Callable) -> Callable[[], None]:
        return lambda: [kind(s) for _ in range(ROUNDS)][:0]

    together(*[work(k) for k in kinds])
    expected = 2 * ROUNDS * sum(k not in (watching, asking) for k in kinds)
    for p in s.all[1:]:
        assert (p.grad == expected).all(), p.grad
    assert (s.large.grad == expected).all()
    assert len(s.small._node.notes("hooks")[0]) == 0


def test_training_apart():
    """Models of their own in every thread: the same numbers as one after the other."""

    def train(seed: int) -> list[float]:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(16, 4, generator=generator)
        w = torch.randn(4, 1, generator=generator).requires_grad_()
        optimizer = torch.optim.Adam([w], lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            loss = ((torch.tanh(x @ w) - 0.5) ** 2).mean()
            loss.backward()
            optimizer.step()
        return w.flatten().tolist()

    expected = [train(seed) for seed in range(THREADS)]
    found: dict[int, list[float]] = {}

    def work(seed: int) -> Callable[[], None]:
        return lambda: found.update({seed: train(seed)})

    together(*[work(seed) for seed in range(THREADS)])
    assert [found[seed] for seed in range(THREADS)] == expected


def test_first_use_of_an_operator():
    """Tables that the first call fills: no thread sees them half full."""
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        for name in ("add", "mul", "exp"):
            OPS[name].set_rules(OPS[name].rules)
        classes = []

        def work() -> None:
            y = ((x + 1.0) * x * 2.0).exp()
            y.sum().backward()
            classes.append((type(y.grad_fn), type((x * 2.0).grad_fn)))  # noqa: B023

        together(*[work] * THREADS)
        assert len(set(classes)) == 1


def test_table_of_numbers_that_is_emptied():
    """Every number of a program is kept as an array, up to 4096 of them."""
    x = torch.ones(2, dtype=torch.float64)

    def work() -> None:
        for i in range(3000):
            assert (x * (i + 0.5))[0].item() == i + 0.5

    DOUBLES.clear()
    together(*[work] * THREADS)


def test_clock_of_writes_never_goes_back():
    stop, back = threading.Event(), []

    def watch() -> None:
        latest = 0
        while not stop.is_set():
            now = LAST[0]
            if now < latest:
                back.append((latest, now))
            latest = now

    def write() -> None:
        own = torch.zeros(2)
        for _ in range(2000):
            own += 1
        assert own._version == 2000

    watcher = threading.Thread(target=watch)
    watcher.start()
    together(*[write] * THREADS)
    stop.set()
    watcher.join()
    assert not back


def test_views_of_one_number():
    """A 0-d tensor becomes memory at its first view: the same memory for all."""
    for _ in range(200):
        x, seen = torch.ones(()) * 2, []
        together(*[lambda: seen.append(x.detach())] * THREADS)  # noqa: B023
        seen[0].add_(1)
        assert [v.item() for v in seen] == [3.0] * THREADS
        assert len({id(v._storage) for v in seen}) == 1


def test_writes_are_forgotten_with_their_memory():
    before = len(WRITTEN)

    def work() -> None:
        for _ in range(300):
            torch.zeros(2).add_(1)

    together(*[work] * THREADS)
    assert len(WRITTEN) <= before + THREADS


def test_hook_that_computes_in_another_thread():
    """No lock is held while hooks run."""
    x = torch.ones(3, requires_grad=True)
    y = torch.ones(3, requires_grad=True)

    def hook(leaf: torch.Tensor) -> None:
        together(lambda: (y * 2).sum().backward(), lambda: (y * 3).sum().backward())

    x.register_post_accumulate_grad_hook(hook)
    together(lambda: (x * 2).sum().backward())
    assert x.grad.tolist() == [2, 2, 2] and y.grad.tolist() == [5, 5, 5]
