"""Datasets, samplers and loaders against torch (tests/golden/nn.json.gz, written by
tools/golden_nn.py), and worker processes."""

from __future__ import annotations

import multiprocessing
import os
import random
import time

import numpy as np
import pytest

import chainrule as torch
from chainrule.utils import data
from chainrule.utils.data import workers
from chainrule.utils.data.workers import numpy_seed

from .golden_nn import assert_same_text, golden, observe

PROGRAMS = golden("data programs")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    case = PROGRAMS[name]
    got = observe(case["source"], torch)
    assert len(got) == len(case["seen"]), got
    for a, b in zip(got, case["seen"], strict=True):
        assert_same_text(a.replace("chainrule.utils", "torch.utils"), b)


# -- worker processes ------------------------------------------------------------------------------


class Numbers(data.Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, i):
        return i


class Draws(Numbers):
    def __getitem__(self, i):
        info = data.get_worker_info()
        drawn = [float(torch.rand(1)), float(np.random.rand()), random.random()]
        return [i, info.id, info.num_workers, info.seed, *drawn]


class Stream(data.IterableDataset):
    def __iter__(self):
        info = data.get_worker_info()
        return iter([info.id] * (3 + 3 * info.id))


class Failing(Numbers):
    def __getitem__(self, i):
        if i == 2:
            raise KeyError("boo")
        return i


class Slow(Numbers):
    def __getitem__(self, i):
        time.sleep(20)


class Dying(Numbers):
    def __getitem__(self, i):
        os._exit(3)


class Wide(Numbers):
    def __getitem__(self, i):
        return torch.full((200_000,), float(i))


def values(loader):
    return [batch.tolist() for batch in loader]


@pytest.fixture(autouse=True)
def no_children_left():
    yield
    deadline = time.monotonic() + 5
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_keep_the_order(workers):
    for options in ({}, {"shuffle": True}, {"drop_last": True}, {"prefetch_factor": 1}):
        orders = []
        for count in (0, workers):
            torch.manual_seed(4)
            given = {k: v for k, v in options.items() if count or k != "prefetch_factor"}
            orders.append(values(data.DataLoader(Numbers(), 2, num_workers=count, **given)))
            orders.append(float(torch.rand(1)))
        assert orders[:2] == orders[2:]


def test_workers_started_afresh():
    loader = data.DataLoader(Numbers(), 3, num_workers=1, multiprocessing_context="spawn")
    assert values(loader) == [[0, 1, 2], [3, 4, 5], [6]]


def test_seeds_of_workers():
    """The numbers that torch's workers draw after manual_seed(0)."""
    torch.manual_seed(0)
    first, second = list(data.DataLoader(Draws(), num_workers=2))[:2]
    assert [int(first[k]) for k in range(3)] == [0, 0, 2]
    assert [int(second[k]) for k in range(3)] == [1, 1, 2]
    assert int(second[3]) - int(first[3]) == 1 and int(first[3]) % 1000 == 455
    shown = [round(float(x), 4) for x in (*first[4:], *second[4:])]
    assert shown == [0.7821, 0.8372, 0.2132, 0.6938, 0.6703, 0.7734]
    assert len(numpy_seed(2**40 + 1, 3)) == 4


def test_streams_in_workers():
    loader = data.DataLoader(Stream(), 2, num_workers=2)
    assert values(loader) == [[0, 0], [1, 1], [0], [1, 1], [1, 1]]
    loader = data.DataLoader(Stream(), 4, num_workers=2)
    assert values(loader) == [[0, 0, 0], [1, 1, 1, 1], [1, 1]]


@pytest.mark.parametrize("dataset", [Numbers(), Stream()])
def test_persistent_workers(dataset):
    loader = data.DataLoader(dataset, num_workers=2, persistent_workers=True)
    assert values(loader) == values(loader)
    processes = loader._pool.processes
    assert all(p.is_alive() for p in processes)
    loader._pool.close()
    assert not any(p.is_alive() for p in processes)


def test_errors_cross_over():
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process 0") as e:
        list(data.DataLoader(Failing(), num_workers=2))
    assert "__getitem__" in str(e.value)


def test_slow_and_dead_workers():
    with pytest.raises(RuntimeError, match=r"timed out after 0\.2 seconds"):
        list(data.DataLoader(Slow(), num_workers=1, timeout=0.2))
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(data.DataLoader(Dying(), num_workers=1))


def _say(worker):
    torch.manual_seed(worker)


def _fail(worker):
    raise ValueError("no start")


def test_worker_init():
    batches = list(data.DataLoader(Draws(), num_workers=1, worker_init_fn=_say))
    torch.manual_seed(0)
    assert [float(b[4]) for b in batches] == [float(torch.rand(1)) for _ in batches]
    with pytest.raises(ValueError, match="no start"):
        list(data.DataLoader(Numbers(), num_workers=1, worker_init_fn=_fail))


def test_leaving_early():
    batches = iter(data.DataLoader(Wide(), num_workers=2))
    assert next(batches)[0, 0] == 0
    processes = batches.pool.processes
    del batches
    assert not any(p.is_alive() for p in processes)


def test_big_batches_and_big_tasks():
    order = [list(range(7)) * 20_000, [1, 2]]
    assert [len(b) for b in data.DataLoader(Numbers(), batch_sampler=order, num_workers=1)] == [
        140_000,
        2,
    ]
    total = sum(float(b.mean()) for b in data.DataLoader(Wide(), num_workers=2))
    assert total == 21


def test_pinning_is_understood():
    with pytest.warns(UserWarning, match="no accelerator is found"):
        assert values(data.DataLoader(Numbers(), 7, pin_memory=True)) == [[0, 1, 2, 3, 4, 5, 6]]


def test_too_many_workers():
    with pytest.warns(UserWarning, match="create 5000 worker processes"):
        data.DataLoader(Numbers(), num_workers=5000)


def test_rows_of_tensors_are_taken_at_once():
    """The short way of TensorDataset gives what collating one by one gives."""
    torch.manual_seed(1)
    rows = data.TensorDataset(torch.randn(9, 2, requires_grad=True), torch.arange(9))

    class Copy(data.TensorDataset):
        pass

    other = Copy(*rows.tensors)
    for a, b in zip(data.DataLoader(rows, 4), data.DataLoader(other, 4), strict=True):
        assert type(a) is type(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert a[0].requires_grad and a[0].dtype == b[0].dtype
    assert data.get_worker_info() is None


def test_workers_end_by_themselves(monkeypatch):
    codes, close = [], workers.Pool.close

    def watched(pool):
        processes = list(pool.processes)
        close(pool)
        codes.extend(p.exitcode for p in processes)

    monkeypatch.setattr(workers.Pool, "close", watched)
    values(data.DataLoader(Numbers(), 2, num_workers=2))
    assert codes == [0, 0]
