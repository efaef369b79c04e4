"""What compiled functions share with the world: random streams, flags, memory, containers."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import signal
import threading
import types
import weakref

import pytest

import chainrule as torch
from chainrule.ops import define
from chainrule.ops.define import wrap
from chainrule.utils.checkpoint import checkpoint

F = torch.nn.functional


def three(function, *args):
    """Results of three calls, one after the other, as one list of tensors."""
    torch.manual_seed(0)
    found = []
    for _ in range(3):
        result = function(*args)
        found += result if isinstance(result, tuple) else [result]
    return [*found, torch.rand(2)]


def same(function, *args):
    """Check a function against itself compiled; returns the compiled one."""
    wanted = three(function, *args)
    compiled = torch.compile(function)
    for x, y in zip(three(compiled, *args), wanted, strict=True):
        assert torch.allclose(x, y, rtol=1e-6), (x, y)
    return compiled


# -- random streams --------------------------------------------------------------------------------


def seeded(x):
    torch.manual_seed(3)
    return x + torch.rand(3)


def gone_back(x):
    state = torch.get_rng_state()
    a = torch.rand(2)
    torch.set_rng_state(state)
    return a, torch.rand(2)


def own_generator(x):
    g = torch.Generator().manual_seed(5)
    return x + torch.randn(3, generator=g)


def guarded(x):
    drawn = torch.randn(5)
    return drawn + int((drawn > 0).sum() > 9)


@pytest.mark.parametrize("function", [seeded, gone_back, own_generator, guarded])
def test_streams_are_set_and_asked_for_at_each_call(function):
    assert same(function, torch.zeros(3)).captures == 1


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_draw_again_what_they_drew(reentrant):
    x = torch.ones(6, requires_grad=True)

    def function():
        y = checkpoint(lambda u: F.dropout(u * 2, 0.5).sin(), x, use_reentrant=reentrant)
        x.grad = None
        y.sum().backward()
        return y.detach(), x.grad, torch.rand(2)

    assert same(function).captures == 1


def test_a_generator_that_is_held_advances():
    g = torch.Generator()

    def function():
        return torch.rand(3, generator=g)

    g.manual_seed(1)
    wanted = [function() for _ in range(4)]
    g.manual_seed(1)
    compiled = torch.compile(function)
    assert all(torch.equal(compiled(), w) for w in wanted)
    assert compiled.captures == 1


def test_draws_of_a_differentiated_function_stay_where_they_are():
    w = torch.ones(4, requires_grad=True)

    def function():
        torch.rand(3)  # unused, but drawn
        return F.dropout(w, 0.5).sum()

    def run(f):
        torch.manual_seed(1)
        found = []
        for _ in range(3):
            w.grad = None
            loss = f()
            found.append(torch.rand(1))
            loss.backward()
            found += [loss.detach(), w.grad, torch.rand(1)]
        return found

    wanted = run(function)
    assert all(torch.equal(x, y) for x, y in zip(run(torch.compile(function)), wanted, strict=True))


def test_an_error_puts_the_streams_back():
    g = torch.Generator().manual_seed(1)

    @torch.compile
    def function(x):
        torch.rand(3), torch.rand(2, generator=g)
        raise KeyError("mine")

    before = torch.get_rng_state(), g.get_state()
    with pytest.raises(KeyError, match="mine"):
        function(torch.ones(2))
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.equal(g.get_state(), before[1])


# -- flags and memory ------------------------------------------------------------------------------


def test_a_layer_that_is_frozen_between_calls():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    for n in range(6):
        model[0].requires_grad_(n % 2 == 0)
        before = model[0].weight.detach().clone()
        step(torch.randn(4, 2))
        assert torch.equal(before, model[0].weight) is (n % 2 == 1)
    assert step.captures == 2


def test_a_view_by_an_index_that_is_computed():
    def written(x, i):
        y = x[i]
        y.fill_(2.0)
        return x * 1

    def read(x, i):
        return x[i] * 2

    for function, captures in ((written, 3), (read, 1)):
        compiled = torch.compile(function)
        for k in (0, 1, 0, 2, 1):
            x, i = torch.arange(3.0), torch.tensor(k)
            assert torch.equal(compiled(x.clone(), i), function(x, i))
        assert compiled.captures == captures


def test_memory_without_elements_that_is_written():
    buffer = torch.zeros(0)

    def function(x):
        buffer.uniform_()
        return torch.cat([x**buffer, buffer]), x * 2

    same(function, torch.ones(1))


@pytest.mark.parametrize("name", ["cholesky", "inv", "det", "eigvalsh", "svdvals"])
def test_decompositions_run_in_python(name):
    x = torch.randn(4, 4)
    same(lambda: getattr(torch.linalg, name)(x @ x.mT + 3 * torch.eye(4)))


def test_what_an_index_takes_lies_row_by_row():
    x, i = torch.zeros(5, 16), torch.tensor([0, 1, 2, 0, 1])
    assert x[:, i].stride() == (5, 1)
    same(lambda: x[:, i].normal_())
    same(lambda: torch.hstack([x.T, x.T]).normal_())


def test_views_of_a_leaf_that_is_a_view():
    x = torch.stack([torch.ones(3), torch.ones(3)], -1)[..., 0].requires_grad_()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[0].fill_(1.0)


# -- long sums -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dim"),
    [((2, 60000, 3), 1), ((2, 300, 2, 400, 3), (1, 3)), ((3000, 2, 30, 7), (0, 2))],
)
def test_long_sums_over_middle_axes_round_little(shape, dim):
    x = torch.rand(shape, dtype=torch.float64)
    found = torch.compile(lambda x: x.sum(dim))
    wanted = x.sum(dim)
    for given, bound in ((x, 3e-15), (x.float(), 1.5e-6)):
        for _ in range(2):
            assert ((found(given) - wanted).abs() / wanted).max() < bound


# -- what depends on numbers -----------------------------------------------------------------------


def test_a_gradient_that_is_zero_at_first_is_no_constant():
    torch.func.grad(torch.sin)(torch.tensor(1.0))  # from now on gradients are looked into

    def function(x, y):
        x = x.detach().requires_grad_()
        both = torch.stack([x, x])
        (both.mean() + torch.maximum(x, y) * 3).backward()
        return x.grad

    compiled = torch.compile(function)
    for a, b in ((1.0, 2.0), (1.0, 0.5), (2.0, 3.0)):
        given = torch.tensor(a), torch.tensor(b)
        assert torch.equal(compiled(*given), function(*given))
    assert compiled.captures == 1


def masked(x):
    return x[x > 0]


def distinct(x):
    return torch.unique_consecutive(x.sign())


def added(x):
    x = x.clone()
    x[x > 0] += 1
    return x


@pytest.mark.parametrize("function", [masked, distinct, added])
def test_shapes_that_depend_on_numbers_are_guards(function):
    compiled = torch.compile(function)
    for numbers in ([1, -2, 3, -4], [5, -2, -3, -4], [1, 1, 1, 1], [7, -2, 3, -4]):
        x = torch.tensor(numbers, dtype=torch.float32)
        assert torch.equal(compiled(x), function(x))


def test_a_call_whose_result_changes_its_shape_says_so():
    def kernel(x):
        return x[x > 0]

    @torch.compile
    def function(x):
        return wrap(x._data.fallback(kernel, None, (x._data,))) if hasattr(x._data, "cell") else x

    function(torch.tensor([1.0, -1.0]))
    with pytest.raises(RuntimeError, match=r"kernel gave an array of shape \[2\], and \[1\]"):
        function(torch.tensor([1.0, 1.0]))


def test_values_are_read_after_shapes_that_they_hang_on():
    def function(x, y):
        return y + int((torch.bincount(x) > 0).sum())

    compiled = torch.compile(function)
    for numbers in ([0, 0, 0], [5, 0, 7], [0, 0, 0], [0, 0, 9]):
        given = torch.tensor(numbers), torch.ones(2)
        assert torch.equal(compiled(*given), function(*given))


def test_other_strides_of_memory_behind_an_element():
    def function(x, n):
        return x[n].as_strided((2, 2), (1, 1)) * 1, x.as_strided((2,), (1,)) + x[n]

    compiled = torch.compile(function)
    x = torch.arange(8.0)
    for n in (1, 1, 4):
        given = x, torch.tensor(n)
        for found, wanted in zip(compiled(*given), function(*given), strict=True):
            assert torch.equal(found, wanted)


def written_there(t, n):
    t[n].mul_(2)


def written_beside(t, n):
    row = t[n]
    t.add_(1)
    t[:, 0] = row[1] * 3


def written_behind(t, n):
    row, rest = t[n], t[1:]
    rest.view(-1)[:2].add_(1)
    t[0] = row


@pytest.mark.parametrize("write", [written_there, written_beside, written_behind])
def test_elements_of_constants_that_are_picked_are_views(write):
    def function(n):
        t = torch.ones(4, 2)
        write(t, n)
        return t * 1

    compiled = torch.compile(function)
    for n in (1, 1, -1, 2):
        assert torch.equal(compiled(torch.tensor(n)), function(torch.tensor(n)))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_numbers_that_no_integer_holds(source, kind):
    numbers = [float("nan"), float("inf"), -float("inf"), 3e9, -3e9, 2.7, -2.7, 300.0, -300.0, 1e19]
    x = torch.tensor(numbers, dtype=getattr(torch, source))
    same(lambda: (x * 1.0).to(getattr(torch, kind)))


def test_arguments_lie_in_memory_as_they_do_outside():
    def function(x):
        return (x if x.is_contiguous() else x * 3), torch.empty_like(x).normal_()

    for x in (torch.ones(3, 5), torch.ones(5, 3).T, torch.ones(3, 10)[:, ::2]):
        same(function, x)


def test_what_compiled_code_writes_is_missed_by_nodes_that_saved_it():
    x, buffer = torch.ones(3, requires_grad=True), torch.ones(3)

    @torch.compile
    def function(w):
        buffer.add_(1)
        return w * 2

    for w in (torch.ones(3), torch.ones(3, requires_grad=True)):  # one program, and two
        for _ in range(2):
            loss = (x * buffer).sum()
            function(w)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()
    assert torch.equal(buffer, torch.full((3,), 5.0))


def test_captures_of_two_threads():
    weight = torch.ones(200, requires_grad=True)
    optimizers = [torch.optim.SGD([torch.ones(50, requires_grad=True)], lr=0.5) for _ in range(4)]
    errors = []

    def train(n):
        try:
            optimizer = optimizers[n]
            (p,) = optimizer.param_groups[0]["params"]

            @torch.compile
            def step(x):
                optimizer.zero_grad()
                loss = (p * x + weight[:50].detach()).square().sum()
                loss.backward()
                optimizer.step()
                return loss

            q = torch.ones(50)
            for k in range(12):
                x = torch.full((50,), 0.1 * (k % 3) + 0.1)
                loss, wanted = step(x), (q * x + 1).square().sum()
                q = q - 0.5 * 2 * (q * x + 1) * x
                assert torch.allclose(loss, wanted, rtol=1e-5) and torch.allclose(p, q, rtol=1e-5)
                torch.randn(100).sin().sum()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=train, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors
    assert define.blank is not define.noted and not define.CAPTURES


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "Rprop"])
def test_an_error_after_the_first_step_of_an_optimizer(name):
    p, held = torch.ones(3, requires_grad=True), {}
    optimizer = getattr(torch.optim, name)([p], lr=0.1)

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        (p * x).sum().backward()
        optimizer.step()
        held["loss"] = p * 2
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        step(torch.ones(3))
    assert torch.equal(p, torch.ones(3))
    assert not any(s.any() for s in optimizer.state.get(p, {}).values() if hasattr(s, "any"))
    assert (held["loss"] * 1).shape == (3,)
    (p * 2).sum().backward()
    optimizer.step()
    assert not torch.equal(p, torch.ones(3))


# -- what leads to tensors -------------------------------------------------------------------------


def of_deque(t):
    held = collections.deque([t])
    return lambda x: x * held[0], lambda new: held.__setitem__(0, new)


def of_set(t):
    held = {t}
    return lambda x: x * next(iter(held)), lambda new: (held.clear(), held.add(new))


def of_slots(t):
    held = Slotted(t)
    return lambda x: x * held.tensor, lambda new: setattr(held, "tensor", new)


def of_class(t):
    class Held:
        tensor = t

    return lambda x: x * Held.tensor, lambda new: setattr(Held, "tensor", new)


def of_class_of_object(t):
    class Held:
        tensor = t

        def __call__(self, x):
            return x * self.tensor

    return Held(), lambda new: setattr(Held, "tensor", new)


def of_partial(t):
    held = functools.partial(lambda x, tensor: x * tensor, tensor=t)
    return lambda x: held(x), lambda new: held.keywords.__setitem__("tensor", new)


def of_function(t):
    def held(x):
        return x * held.tensor

    held.tensor = t
    return held, lambda new: setattr(held, "tensor", new)


def of_module(t):
    held.tensor = t
    return lambda x: held.function(x), lambda new: setattr(held, "tensor", new)


@dataclasses.dataclass(slots=True)
class Slotted:
    tensor: object


held = types.ModuleType("held")
exec("def function(x):\n    return x * tensor\n", held.__dict__)


@pytest.mark.parametrize(
    "make",
    [of_deque, of_set, of_slots, of_class, of_class_of_object, of_partial, of_function, of_module],
)
def test_tensors_that_containers_lead_to(make):
    tensor = torch.ones(2)
    function, replace = make(tensor)
    compiled, x = torch.compile(function), torch.ones(2)
    for n in range(3):
        assert torch.equal(compiled(x), torch.full((2,), 1.0 + n))
        tensor.add_(1)
    assert compiled.captures == 1
    replace(torch.full((2,), 7.0))
    assert torch.equal(compiled(x), torch.full((2,), 7.0))
    replace(3.0)
    assert torch.equal(compiled(x), torch.full((2,), 3.0))


@pytest.mark.parametrize("how", ["static", "class", "property", "default", "frozenset"])
def test_tensors_that_functions_of_all_kinds_lead_to(how):
    tensor = torch.ones(2)

    class Held:
        @staticmethod
        def static(x):
            return x * tensor

        @classmethod
        def of_class(cls, x):
            return x * tensor

        @property
        def own(self):
            return tensor

    some, several = Held(), frozenset([tensor])

    def default(x, *, tensor=tensor):
        return x * tensor

    function = {
        "static": lambda x: Held.static(x),
        "class": Held.of_class,
        "property": lambda x: x * some.own,
        "default": default,
        "frozenset": lambda x: x * next(iter(several)),
    }[how]
    compiled, x = torch.compile(function), torch.ones(2)
    for n in range(3):
        assert torch.equal(compiled(x), torch.full((2,), 1.0 + n))
        tensor.add_(1)


def test_tensors_that_nothing_leads_to_are_refused():
    tensor = torch.ones(2)
    reference = weakref.ref(tensor)
    for function in (lambda x: x * reference(), lambda x: x + reference().add_(0.0)):
        compiled = torch.compile(function)
        with pytest.warns(UserWarning, match="that nothing compile knows of leads to"):
            compiled(torch.ones(2))
        tensor.add_(1)
        assert torch.equal(compiled(torch.ones(2)), function(torch.ones(2)))


def test_a_view_of_a_number_is_written():
    def function(x):
        x = x.detach().requires_grad_()
        y = x.mean(-1).sin()
        y.flatten().mul_(2)
        y.mul_(y)
        y.backward()
        return y.detach(), x.grad

    same(function, torch.tensor([0.7]))


def test_new_leaves_are_given_back_as_such():
    compiled = torch.compile(lambda x: (torch.ones_like(x, requires_grad=True), x * 2))
    for _ in range(2):
        leaf, _ = compiled(torch.zeros(2))
        leaf.sum().backward()
        assert leaf.is_leaf and torch.equal(leaf.grad, torch.ones(2))


def test_an_index_of_an_empty_array_gives_a_copy():
    x, i = torch.zeros(0, 3, 8), torch.tensor([1, 0])
    same(lambda: x[:, i] * 2)
    same(lambda: F.adaptive_max_pool1d(x**2, 2))


# -- what goes wrong on the way --------------------------------------------------------------------


def test_an_error_of_a_call_inside_the_program():
    p = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.5)

    def kernel(x):
        if x[0] < 0:
            raise ZeroDivisionError("mine")
        return x * 2

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        (p * x.sum()).sum().backward()
        optimizer.step()
        return wrap(x._data.fallback(kernel, None, (x._data,))) if hasattr(x._data, "cell") else x

    x = torch.ones(2)
    step(x)
    assert torch.equal(step(x), 2 * x) and step.captures == 1
    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        step(-x)
    assert any("may be half updated" in note for note in raised.value.__notes__)
    assert torch.equal(step(x), 2 * x) and step.captures == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_runs_and_makes_programs():
    weight = torch.ones(300, 300)
    first = torch.compile(lambda x: (x @ weight).exp().sum())
    x = torch.full((300, 300), 1e-3)
    wanted = first(x), first(x)
    child = os.fork()
    if not child:
        again = torch.compile(lambda x: (x @ weight).exp().sum() * 2)
        good = torch.equal(first(x), wanted[1]) and torch.allclose(again(x), wanted[1] * 2)
        os._exit(0 if good and torch.allclose(again(x), wanted[1] * 2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(first(x), wanted[1])


def test_an_interrupt_in_a_long_step():
    x = torch.ones(400, 400) / 400

    @torch.compile
    def long(x):
        y = x
        for _ in range(600):
            y = y @ x
        return y

    def interrupted(_signal, _frame):
        raise KeyboardInterrupt

    long(x[:1, :1].clone())  # the loop has been looked at; the next call is a capture, and a run
    before = signal.signal(signal.SIGINT, interrupted)
    timer = threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,))
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                long(x)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert torch.allclose(long(x[:1, :1].clone()), x[:1, :1] ** 601)


def test_what_is_differentiated_outside_and_looks_at_numbers_runs_as_it_is():
    @torch.compile
    def function(x):
        return (x * 2 if x.sum() > 0 else x * 3).sum()

    for sign, slope in ((1.0, 2.0), (-1.0, 3.0), (1.0, 2.0)):
        x = torch.full((2,), sign, requires_grad=True)
        function(x).backward()
        assert torch.equal(x.grad, torch.full((2,), slope))


def test_writes_by_detached_tensors_into_what_the_function_made():
    """All that look at memory of constants see what is written there."""

    def f(x: torch.Tensor) -> tuple:
        a, b, c = torch.zeros(3), torch.ones(4), torch.nn.Parameter(torch.zeros(3))
        a.detach().copy_(x)
        part = b[1:]
        part.data.mul_(2).add_(x)
        c.data.add_(x)
        d = torch.deg2rad(torch.tensor([1.0, 2.0, 3.0]))
        d.data[...] = x.sum()
        return a, b, part, c.detach(), d

    x = torch.tensor([4.0, 5.0, 6.0])
    compiled = torch.compile(f)
    for _ in range(2):
        for found, wanted in zip(compiled(x), f(x), strict=True):
            assert found.tolist() == wanted.tolist()
    assert compiled.entries


def test_writes_through_views_that_the_layout_allows():
    """A column-major result, transposed, is one row: what is written there arrives."""

    def f(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        y.t().reshape(-1).mul_(2)
        return y

    x = torch.arange(32.0).reshape(2, 16).t()
    assert f(x).equal((x + 1) * 2)
    with pytest.warns(UserWarning, match="layout"):
        found = torch.compile(f)(x)
    assert found.equal(f(x))


def test_writes_by_detached_tensors_into_what_nodes_have_saved():
    """Backward uses what is there, of constants and arguments, statistics of the forward pass."""

    def constant(p: torch.Tensor) -> None:
        t = torch.zeros_like(p)
        loss = F.mse_loss(t, p, reduction="none")
        t.data[...] = loss.detach()
        loss.sum().backward()

    def normalized(p: torch.Tensor) -> None:
        y = F.layer_norm(p, (3,))
        p.data[...] = y
        y.square().sum().backward()

    for f, slopes in ((constant, [0.5, -4, -24]), (normalized, None)):
        found = []
        for step in (f, torch.compile(f)):
            for _ in range(2):
                p = torch.tensor([[0.5, 2.0, 4.0]], dtype=torch.float64, requires_grad=True)
                step(p)
            found.append(p.grad)
        assert torch.allclose(*found, rtol=1e-12, atol=0)
        assert slopes is None or found[0][0].tolist() == slopes
        assert step.entries


def test_numbers_that_the_function_makes():
    """A mask of a constant number, a draw from one, an array of constants at given places."""
    x = torch.tensor([1.0, 2.0])
    step = torch.compile(lambda x: torch.tensor(5.0)[x[0] > 0], fullgraph=True)
    assert step(x).tolist() == [5]
    step = torch.compile(lambda x: torch.bernoulli(torch.full((), 1.0)) + x, fullgraph=True)
    assert step(x).tolist() == [2, 3]
    step = torch.compile(lambda i: torch.arange(3.0)[i], fullgraph=True)
    for i in ([0, 2], [1, 1]):
        assert step(torch.tensor(i)).tolist() == i


@pytest.mark.parametrize("through", ["base", "view"])
def test_windows_of_memory_that_does_not_lie_row_by_row(through):
    """Writes reach them, and through them what they look at."""

    def f(x: torch.Tensor) -> tuple:
        windows = x.unfold(0, 2, 2)
        (x if through == "base" else windows).mul_(3)
        return x + 0, windows + 0

    def given() -> torch.Tensor:
        return torch.arange(12.0).reshape(3, 4).t()

    with pytest.warns(UserWarning, match="windows of memory"):
        compiled = torch.compile(f)
        for _ in range(2):
            for found, wanted in zip(compiled(given()), f(given()), strict=True):
                assert torch.equal(found, wanted)
    read = torch.compile(lambda x: x.unfold(0, 2, 2) + 1, fullgraph=True)
    assert torch.equal(read(given()), given().unfold(0, 2, 2) + 1)


def test_a_constant_that_was_made_as_integers_is_written():
    """sgn of floats looks at their bits."""

    def f(x: torch.Tensor) -> torch.Tensor:
        t = torch.zeros(3).sgn()
        t[...] = x
        return t * 2

    compiled = torch.compile(f, fullgraph=True)
    for number in (1.0, 2.0):
        assert compiled(torch.full((3,), number)).tolist() == [2 * number] * 3
