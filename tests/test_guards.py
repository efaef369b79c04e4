"""The guards of compiled functions as native code: they say what the guards in Python say."""

import types

import numpy as np
import pytest

import chainrule as torch
from chainrule import nn
from chainrule.compiler import guards
from chainrule.compiler.api import Compiled

pytest.importorskip("llvmlite")
if guards.layout() is None:
    pytest.skip("this interpreter keeps objects in another way", allow_module_level=True)

factor = 3


class Holder:
    def __init__(self):
        self.weight = torch.ones(4)
        self.items = [torch.ones(2), torch.zeros(2)]


def compiled(f, *args):
    c = Compiled(f)
    c(*args)
    (entry,) = c.entries
    assert entry.holds is not None
    assert entry.holds(*args)
    assert entry.matches(args, {})
    return c, entry


X, Y = torch.ones(3, 4), torch.ones(4)


@pytest.mark.parametrize(
    "args",
    [
        (X, Y),
        (X.clone(), Y + 1),
        (X,),
        (X, Y, Y),
        (X, 1.0),
        (X, [Y]),
        (X, X),
        (X.double(), Y),
        (X[:2], Y),
        (torch.ones(4, 3).t(), Y),
        (torch.ones(3, 8)[:, ::2], Y),
        (torch.ones(1, 3, 4), Y),
        (X, torch.ones(4, requires_grad=True)),
        (X, nn.Parameter(torch.ones(4))),
        (X, torch.tensor(1.0)),
        (X, None),
    ],
)
def test_arguments_as_in_python(args):
    _, entry = compiled(lambda x, y: x * 2 + y, X, Y)
    if len(args) == 2 and isinstance(args[1], nn.Parameter):
        assert not entry.holds(*args)  # the type has to be the same: Python is asked then
    else:
        assert entry.holds(*args) == entry.matches(args, {})


def test_constants():
    flag, name = object(), "a name"
    _, entry = compiled(lambda x, y, z: x + 1, X, flag, name)
    assert entry.holds(X, flag, name)
    assert not entry.holds(X, object(), name)


def test_surroundings():
    holder = Holder()
    c, entry = compiled(lambda x: x * factor + holder.weight + holder.items[0].sum(), torch.ones(4))
    x = torch.ones(4)

    def changed():
        assert entry.holds(x) == entry.matches((x,), {})
        return not entry.holds(x)

    assert not changed()
    before = holder.weight
    holder.weight = torch.ones(4)
    assert changed()
    holder.weight = before
    assert not changed()
    before = holder.weight._data
    holder.weight.data = torch.zeros(4)
    assert changed()
    holder.weight.data = torch.from_numpy(before)
    c.reset()
    c(x)
    (entry,) = c.entries
    holder.items.append(torch.ones(2))
    assert changed()
    holder.items.pop()
    assert not changed()
    holder.items[0] = torch.ones(2)
    assert changed()
    holder.items.clear()
    assert changed()


def test_numbers_that_are_equal_do_not_matter():
    table = {"scale": 1000}
    x = torch.ones(4)
    c, entry = compiled(lambda x: x * table["scale"], x)
    table["scale"] = int("1000")
    assert not entry.holds(x)
    assert entry.matches((x,), {})
    assert entry.holds(x)
    table["scale"] = 1001
    assert not entry.holds(x)
    assert float(c(x)[0]) == 1001


def test_modes():
    x = torch.ones(4)
    layer = nn.Dropout(0.0)
    _, entry = compiled(lambda x: layer(x) * 2, x)
    with torch.no_grad():
        assert not entry.holds(x)
    layer.eval()
    assert not entry.holds(x)
    layer.train()
    assert entry.holds(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert not entry.holds(x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert entry.holds(x)


def test_arguments_in_shared_memory():
    state = torch.zeros(4)

    def step(x, y):
        state.add_(x)
        return state + y

    x, y = torch.ones(4), torch.ones(4)
    _, entry = compiled(step, x, y)
    assert not entry.holds(x, x)
    assert not entry.holds(state, y)
    assert not entry.holds(x, state.view(4))
    both = torch.ones(8)
    assert not entry.holds(both[:4], both[4:])
    memory = bytearray(32)
    assert not entry.holds(x, torch.frombuffer(memory, dtype=torch.float32, count=4))  # not known
    assert entry.holds(y, x)


def test_versions_count_up():
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], 0.1)

    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.ones(3)
    c, _ = compiled(step, x)
    before = w._version
    for n in range(3):
        c(x)
        assert w._version == before + n + 1
    held = (w * w).sum()
    c(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        held.backward()


def test_a_table_without_numbers_of_changes():
    words = guards.changes()
    tables = [{"a": 1}, {"b": 2, "c": 3}]
    rows = [(t, k, v) for t in tables for k, v in t.items()]
    table = guards.Guards([], None, True)
    table.watch([], rows, [])
    check = table.builtin()
    for _ in range(2):
        assert check()
    del tables[1]["c"]
    assert not check()
    tables[1]["c"] = 3
    assert check()
    assert words >= -1


def test_objects_stay_as_long_as_the_guards():
    def make():
        names = {str(n): np.float64(n) for n in range(50)}
        table = guards.Guards([], None, True)
        table.watch([], [(names, k, v) for k, v in names.items()], [])
        return table

    tables = [make() for _ in range(20)]
    assert all(t.builtin()() for t in tables)


TABLE = np.array([1.0, 2.0])


def test_numpy_arrays_are_constants_that_are_watched():
    """In closures, globals, defaults, attributes and arguments, whatever is done with them."""
    local, held = np.array([1.0, 2.0]), types.SimpleNamespace(array=np.array([1.0, 2.0]))
    large = np.ones((1000, 2))

    def default(x, array=None):
        return x * torch.tensor(array)

    default.__defaults__ = (np.array([1.0, 2.0]),)

    cases = [
        (lambda x: x * torch.tensor(local), local),
        (lambda x: x * torch.from_numpy(TABLE), TABLE),
        (lambda x: x * float(held.array[0]), held.array),
        (lambda x: x * torch.as_tensor(large[3]), large),
        (default, default.__defaults__[0]),
    ]
    x = torch.ones(2, dtype=torch.float64)
    for function, array in cases:
        compiled = torch.compile(function)
        for factor in (1, 1, 5, 5, 1):
            array[...] = np.array([1.0, 2.0]) * factor
            assert torch.equal(compiled(x), function(x))
        assert compiled.eager is None and len(compiled.entries) == 2
    compiled = torch.compile(lambda x, array: x * torch.tensor(array))
    for numbers in ([1.0, 2.0], [1.0, 2.0], [3.0, 4.0]):
        assert compiled(x, np.array(numbers)).tolist() == numbers
    assert len(compiled.entries) == 2


def test_what_a_function_writes_into_numpy_arrays_is_written():
    array = np.zeros(2, np.float32)

    def write(x):
        return torch.from_numpy(array).add_(x) * 2

    compiled = torch.compile(write)
    with pytest.warns(UserWarning, match="memory of a NumPy array"):
        for n in (1, 2, 3):
            assert compiled(torch.ones(2)).tolist() == [2 * n, 2 * n]
    assert array.tolist() == [3, 3]


def test_other_defaults():
    def scaled(x, by=2.0):
        return x * by

    compiled = torch.compile(scaled)
    assert compiled(torch.ones(1)).item() == compiled(torch.ones(1)).item() == 2
    scaled.__defaults__ = (3.0,)
    assert compiled(torch.ones(1)).item() == 3
