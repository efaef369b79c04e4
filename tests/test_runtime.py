"""The runtime: records in order, the same chunks on any number of threads, workers and signals."""

from __future__ import annotations

import ctypes
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.compiler import blas, cache, lapack, machine, runtime
from chainrule.compiler.runtime import Plan, Record

pytest.importorskip("llvmlite", reason="code is made by llvmlite, the `jit` extra")

# mark (x, notes): x[i] += params[0] for i in [begin, end); notes[begin / params[1]] = begin, end
# sums (x, y): y[begin / params[0]] = sum of x[begin:end]
# wait: takes params[0] turns of a loop; ask (x): x[0] = what the function at params[0] answers
KERNELS = """
define void @mark(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end) nounwind {
  %s0 = load i32, ptr %slots
  %at1 = getelementptr i32, ptr %slots, i64 1
  %s1 = load i32, ptr %at1
  %x_at = getelementptr ptr, ptr %buffers, i32 %s0
  %x = load ptr, ptr %x_at
  %notes_at = getelementptr ptr, ptr %buffers, i32 %s1
  %notes = load ptr, ptr %notes_at
  %add = load i64, ptr %params
  %grain_at = getelementptr i64, ptr %params, i64 1
  %grain = load i64, ptr %grain_at
  %chunk = sdiv i64 %begin, %grain
  %note = getelementptr [2 x i64], ptr %notes, i64 %chunk
  store i64 %begin, ptr %note
  %second = getelementptr i64, ptr %note, i64 1
  store i64 %end, ptr %second
  br label %loop
loop:
  %i = phi i64 [ %begin, %0 ], [ %next, %one ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %one, label %done
one:
  %at = getelementptr i64, ptr %x, i64 %i
  %old = load i64, ptr %at
  %new = add i64 %old, %add
  store i64 %new, ptr %at
  %next = add i64 %i, 1
  br label %loop
done:
  ret void
}

define void @sums(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end) nounwind {
  %x = load ptr, ptr %buffers
  %y_at = getelementptr ptr, ptr %buffers, i64 1
  %y = load ptr, ptr %y_at
  %grain = load i64, ptr %params
  %chunk = sdiv i64 %begin, %grain
  br label %loop
loop:
  %i = phi i64 [ %begin, %0 ], [ %next, %loop ]
  %sum = phi float [ 0.0, %0 ], [ %more_sum, %loop ]
  %at = getelementptr float, ptr %x, i64 %i
  %value = load float, ptr %at
  %more_sum = fadd float %sum, %value
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  %to = getelementptr float, ptr %y, i64 %chunk
  store float %more_sum, ptr %to
  ret void
}

define void @wait(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end) nounwind {
  %times = load i64, ptr %params
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  call void asm sideeffect "", ""()
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %loop, label %done
done:
  ret void
}

define void @ask(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end) nounwind {
  %call = load ptr, ptr %params
  %answer = call i32 %call()
  %x = load ptr, ptr %buffers
  store i32 %answer, ptr %x
  ret void
}
"""


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[machine.Code]:
    """The kernels above; the cache out of the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINRULE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(cache, "_warned", False)
        yield machine.native(KERNELS)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The number of threads as it was."""
    before = chainrule.get_num_threads()
    yield
    chainrule.set_num_threads(before)


def mark(code: machine.Code, add: int, extent: int, grain: int, slots=(0, 1)) -> Record:
    return Record(code.address("mark"), slots, (add, grain), extent, grain)


def milliseconds(code: machine.Code, amount: float) -> Record:
    """A record that takes that long at least, more where others use the CPU too."""
    begun = time.thread_time()
    Plan([Record(code.address("wait"), (), (10**7,))], 0).run()
    spent = (time.thread_time() - begun) / 10
    return Record(code.address("wait"), (), (int(10**6 * amount / 1e3 / spent),))


# -- plans -----------------------------------------------------------------------------------------


def test_records_run_in_order_on_their_slots(code: machine.Code):
    a, b, notes = np.zeros(5, np.int64), np.zeros(5, np.int64), np.zeros((5, 2), np.int64)
    plan = Plan([mark(code, 3, 5, 5, (0, 2)), mark(code, 4, 2, 2, (1, 2))], 3, arguments=(2, 0, 1))
    plan.run(notes, a, b)
    assert a.tolist() == [3] * 5
    assert b.tolist() == [4, 4, 0, 0, 0]
    assert notes[0].tolist() == [0, 2]
    plan.run(notes, b, a)
    assert a.tolist() == [7, 7, 3, 3, 3]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(("extent", "grain"), [(1, 1), (7, 3), (9, 3), (64, 1), (9, 1000), (0, 4)])
def test_chunks_are_the_same_on_any_number_of_threads(code, count: int, extent: int, grain: int):
    chainrule.set_num_threads(count)
    x, notes = np.zeros(extent + 1, np.int64), np.full((extent + 1, 2), -1)
    plan = Plan([mark(code, 1, extent, grain)] * 50, 2, (0, 1))
    for _ in range(20):
        plan.run(x, notes)
    assert x.tolist() == [1000] * extent + [0]
    begins = list(range(0, extent, grain))
    wanted = [[b, min(b + grain, extent)] for b in begins]
    assert notes[: len(begins)].tolist() == wanted
    assert (notes[len(begins) :] == -1).all()


def test_partial_sums_have_the_same_bits(code: machine.Code):
    x = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    found = []
    for count in (1, 2, 4):
        chainrule.set_num_threads(count)
        y = np.zeros(100, np.float32)
        record = Record(code.address("sums"), (), (1000,), len(x), 1000)
        plan = Plan([record], 2, (0, 1))
        for _ in range(20):
            plan.run(x, y)
            found.append(y.tobytes())
    assert len(set(found)) == 1
    np.testing.assert_allclose(y.sum(), x.sum(), atol=0.05)


def test_fixed_arrays_and_arena(code: machine.Code):
    x, notes = np.zeros(4, np.int64), np.zeros((4, 2), np.int64)
    plan = Plan(
        [mark(code, 1, 4, 4), mark(code, 1, 2, 2, (2, 3))],
        4,
        fixed={0: x, 1: notes},
        arena=256,
        places={2: 64, 3: 128},
    )
    assert plan.arena.ctypes.data % 64 == 0
    plan.arena[:] = 0
    plan.run()
    plan.run()
    assert x.tolist() == [2] * 4
    assert plan.arena.view(np.int64)[8:12].tolist() == [2, 2, 0, 0]


@pytest.mark.parametrize("size", [1, 100, 1 << 20, 5 << 20])
def test_arenas_are_aligned(size: int):
    memory = runtime.aligned(size)
    assert memory.nbytes == size
    assert memory.ctypes.data % 64 == 0
    assert size < 4 << 20 or memory.ctypes.data % (2 << 20) == 0


def test_wrong_number_of_arrays(code: machine.Code):
    plan = Plan([mark(code, 1, 1, 1)], 2, (0, 1))
    x = np.zeros(2, np.int64)
    with pytest.raises(TypeError, match="2 arrays are needed, got 1"):
        plan.run(x)
    plan.run(x, x)


def test_python_calls_between_kernels(code: machine.Code):
    x, notes, seen = np.zeros(3, np.int64), np.zeros((3, 2), np.int64), []
    one = mark(code, 1, 3, 3)
    plan = Plan(
        [one, Record(None), one, Record(None), one, Record(None)],
        2,
        (0, 1),
        calls={i: lambda: seen.append(x[0].item()) for i in (1, 3, 5)},
    )
    plan.run(x, notes)
    assert seen == [1, 2, 3]
    plan.run(x, notes)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_an_exception_in_a_python_call(code: machine.Code):
    x, notes = np.zeros(3, np.int64), np.zeros((3, 2), np.int64)
    trouble = [True]

    def call() -> None:
        if trouble:
            raise ZeroDivisionError("mine")

    one = mark(code, 1, 3, 3)
    plan = Plan([one, Record(None), one], 2, (0, 1), calls={1: call})
    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        plan.run(x, notes)
    assert "may be half updated" in raised.value.__notes__[0]
    assert x[0] == 1
    trouble.clear()
    plan.run(x, notes)
    assert x[0] == 3


def test_a_program_inside_of_itself(code: machine.Code):
    plan = Plan([Record(None)], 0, calls={0: lambda: plan.run()})
    with pytest.raises(RuntimeError, match="inside of itself"):
        plan.run()


def test_programs_nest(code: machine.Code):
    """A Python call may run another program, workers and all."""
    x, notes = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
    inner = Plan([mark(code, 1, 64, 1)] * 10, 2, (0, 1))
    one = mark(code, 100, 64, 1)
    outer = Plan([one, Record(None), one], 2, (0, 1), calls={1: lambda: inner.run(x, notes)})
    chainrule.set_num_threads(3)
    for _ in range(50):
        outer.run(x, notes)
    assert x.tolist() == [50 * 210] * 64


# -- threads ---------------------------------------------------------------------------------------


def on_threads(count: int, act: Callable[[int], None]) -> None:
    """act(i) on that many Python threads at once; their exceptions are raised here."""
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            act(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "deadlock"
    if errors:
        raise errors[0]


def test_python_threads_run_programs_at_once(code: machine.Code):
    chainrule.set_num_threads(3)
    totals = np.zeros((4, 64), np.int64)

    def act(i: int) -> None:
        notes = np.zeros((64, 2), np.int64)
        plan = Plan([mark(code, 1, 64, 1)] * 20, 2, (0, 1))
        for _ in range(200):
            plan.run(totals[i], notes)

    on_threads(4, act)
    assert (totals == 4000).all()


def test_python_threads_share_one_program(code: machine.Code):
    """Whoever comes second waits until the first has finished."""
    chainrule.set_num_threads(2)
    x, notes = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
    plan = Plan([mark(code, 1, 64, 1)] * 20 + [Record(None)], 2, (0, 1), calls={20: time.time})

    def act(i: int) -> None:
        for _ in range(50):
            plan.run(x, notes)

    on_threads(3, act)
    assert x.tolist() == [3 * 50 * 20] * 64


def test_the_number_of_threads_may_change_at_any_time(code: machine.Code):
    x, notes = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
    plan = Plan([mark(code, 1, 64, 1)] * 20, 2, (0, 1))
    over = threading.Event()

    def act(i: int) -> None:
        if i == 0:
            for _ in range(500):
                plan.run(x, notes)
            over.set()
        else:
            for count in itertools.cycle((1, 2, 4)):
                if over.is_set():
                    return
                chainrule.set_num_threads(count)
                time.sleep(1e-3)

    on_threads(2, act)
    assert x.tolist() == [10_000] * 64


def test_workers_are_as_many_as_asked_for(code: machine.Code):
    x, notes = np.zeros(8, np.int64), np.zeros((8, 2), np.int64)
    plan = Plan([mark(code, 1, 8, 1)], 2, (0, 1))
    for count in (1, 4, 2):
        chainrule.set_num_threads(count)
        plan.run(x, notes)
        assert len(runtime.runtime().workers.threads) == count - 1


def test_other_threads_run_meanwhile(code: machine.Code):
    """The interpreter lock is let go: a counter counts while a program runs."""
    plan, count, over = Plan([milliseconds(code, 300)], 0), [0], threading.Event()

    def act(i: int) -> None:
        if i:
            plan.run()
            over.set()
        while not over.is_set():
            count[0] += 1
            time.sleep(1e-3)

    on_threads(2, act)
    assert count[0] > 10


def test_workers_share_the_work(code: machine.Code):
    """Chunks of one record are at work at the same time (seen by their threads' CPU time)."""
    chainrule.set_num_threads(2)
    one = milliseconds(code, 10)
    plan = Plan([Record(one.function, (), one.params, 40, 1)], 0)
    plan.run()
    own, all_of_us = time.thread_time(), time.process_time()
    plan.run()
    own, all_of_us = time.thread_time() - own, time.process_time() - all_of_us
    assert own < 0.8 * all_of_us


def test_idle_workers_use_no_time(code: machine.Code):
    chainrule.set_num_threads(4)
    x, notes = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
    Plan([mark(code, 1, 64, 1)], 2, (0, 1)).run(x, notes)
    assert len(runtime.runtime().workers.threads) == 3
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.03


# -- signals, forks, exit --------------------------------------------------------------------------


def test_interrupted_between_kernels(code: machine.Code):
    """Ctrl-C in a program of 20 seconds is answered after a record, and the program runs again."""
    x, notes = np.zeros(8, np.int64), np.zeros((8, 2), np.int64)
    long = milliseconds(code, 20)
    plan = Plan([mark(code, 1, 8, 1), *[long] * 1000], 2, (0, 1))
    timer = threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    begun = time.perf_counter()
    with pytest.raises(KeyboardInterrupt) as raised:
        plan.run(x, notes)
    assert time.perf_counter() - begun < 5
    assert "may be half updated" in raised.value.__notes__[0]
    plan.words[runtime.COUNT] = 1
    plan.run(x, notes)
    assert x.tolist() == [2] * 8


def test_a_signal_handler_that_returns(code: machine.Code):
    """Its program goes on."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(time.perf_counter()))
    try:
        long = milliseconds(code, 20)
        plan = Plan([long] * 30, 0)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        plan.run()
        ended = time.perf_counter()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(seen) == 1
    assert seen[0] < ended - 0.1


SETUP = f"""
import os, signal, sys, threading, time
import numpy as np
import chainrule
from chainrule.compiler import machine, runtime
from chainrule.compiler.runtime import Plan, Record
chainrule.set_num_threads(3)
code = machine.native({KERNELS!r})
x, notes = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
one = Record(code.address("mark"), (0, 1), (1, 1), 64, 1)
plan = Plan([one] * 20, 2, (0, 1))
plan.run(x, notes)
"""


def script(text: str, timeout: float = 60) -> str:
    """What a program prints that begins with SETUP; it must end by itself, and well."""
    root = Path(runtime.__file__).parents[2]
    command = [sys.executable, "-c", SETUP + text]
    done = subprocess.run(command, cwd=root, timeout=timeout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fork():
    """A child hires workers of its own, and so does the parent after."""
    said = script("""
for turn in range(5):
    child = os.fork()
    plan.run(x, notes)
    if not child:
        ok = (x == 20 * (turn + 2)).all() and len(runtime.runtime().workers.threads) == 2
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (x == 20 * (turn + 2)).all()
print("well")
""")
    assert said == "well\n"


def test_fork_while_another_thread_runs_a_program():
    said = script("""
over = []
def work():
    y, n = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
    mine = Plan([one] * 2000, 2, (0, 1))
    while not over:
        mine.run(y, n)
thread = threading.Thread(target=work)
thread.start()
for turn in range(20):
    child = os.fork()
    plan.run(x, notes)
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
over.append(1)
thread.join()
print("well")
""")
    assert said == "well\n"


def test_multiprocessing_by_fork():
    said = script("""
import multiprocessing
def work(i):
    y = np.zeros(64, np.int64)
    plan.run(y, notes)
    return int(y.sum())
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(pool.map(work, range(6)))
""")
    assert said == f"{[64 * 20] * 6}\n"


@pytest.mark.parametrize("turn", range(3))
def test_exit_while_programs_run(turn: int):
    """Daemon threads in programs, workers at work or asleep: the process ends, quietly."""
    said = script("""
def work():
    y, n = np.zeros(64, np.int64), np.zeros((64, 2), np.int64)
    mine = Plan([one] * 2000, 2, (0, 1))
    while True:
        mine.run(y, n)
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
print("well")
""")
    assert said == "well\n"


def test_ctrl_c_at_the_prompt():
    """SIGINT from outside ends a long program with KeyboardInterrupt."""
    said = script("""
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
long = Record(code.address("wait"), (), (10**7,))
try:
    Plan([one] + [long] * 10000, 2, (0, 1)).run(x, notes)
except KeyboardInterrupt as error:
    print(error.__notes__[0])
""")
    assert "may be half updated" in said


# -- products --------------------------------------------------------------------------------------

KINDS = {"f32": np.float32, "f64": np.float64, "c64": np.complex64, "c128": np.complex128}
TOLERANCE = {"f32": 1e-4, "c64": 1e-4, "f64": 1e-12, "c128": 1e-12}


def numbers(kind: str, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(shape[0])
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if kind[0] == "c" else x).astype(KINDS[kind])


def op(x: np.ndarray, how: int) -> np.ndarray:
    return (x, x.mT, x.mT.conj())[how]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opa", range(3))
@pytest.mark.parametrize("opb", range(3))
@pytest.mark.parametrize("split", [blas.ROWS, blas.COLUMNS])
def test_gemm(kind: str, opa: int, opb: int, split: int):
    """Of parts of larger matrices, in chunks, onto what is there."""
    m, n, k = 13, 17, 11
    a = numbers(kind, 20, 20)
    b, c = a[::-1].copy(), a[:, ::-1].copy()
    alpha, beta = (1.5, -0.5) if kind[0] == "f" else (1.5 + 2j, 0.5 - 1j)
    part_a = a[1:, 2:][: (k if opa else m), : (m if opa else k)]
    part_b = b[3:, 1:][: (n if opb else k), : (k if opb else n)]
    wanted = c.copy()
    part = wanted[2 : 2 + m, 3 : 3 + n]
    part[:] = alpha * (op(part_a, opa) @ op(part_b, opb)) + beta * part
    params = blas.gemm_params(
        *(m, n, k),
        **dict(lda=20, ldb=20, ldc=20, opa=opa, opb=opb, alpha=alpha, beta=beta),
        offsets=(22, 61, 43),
        split=split,
    )
    extent = m if split == blas.ROWS else n
    record = Record(runtime.kernel(f"cr.gemm.{kind}"), (0, 1, 2), params, extent, 5)
    Plan([record], 3, (0, 1, 2)).run(a, b, c)
    np.testing.assert_allclose(c, wanted, rtol=TOLERANCE[kind], atol=TOLERANCE[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_gemm_over_a_batch(kind: str):
    a, b, c = numbers(kind, 7, 5, 6), numbers(kind, 6, 8), np.empty((7, 5, 8), KINDS[kind])
    params = blas.gemm_params(5, 8, 6, lda=6, ldb=8, ldc=8, split=blas.BATCH, strides=(30, 0, 40))
    record = Record(runtime.kernel(f"cr.gemm.{kind}"), (0, 1, 2), params, 7, 2)
    Plan([record], 3, (0, 1, 2)).run(a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=TOLERANCE[kind], atol=TOLERANCE[kind])


def test_gemm_over_a_batch_of_two_dimensions():
    """Heads inside of samples, as attention has them: q k^T of [sample, time, head, width]."""
    q, k = numbers("f32", 3, 5, 2, 4), numbers("f32", 4, 5, 2, 4)[:3]
    c = np.empty((3, 2, 5, 5), np.float32)
    params = blas.gemm_params(
        *(5, 5, 4),
        **dict(lda=8, ldb=8, ldc=5, opb=1, split=blas.BATCH),
        **dict(strides=(4, 4, 25), inner=2, outer=(40, 40, 50)),
    )
    record = Record(runtime.kernel("cr.gemm.f32"), (0, 1, 2), params, 6, 1)
    Plan([record], 3, (0, 1, 2)).run(q, k, c)
    wanted = q.transpose(0, 2, 1, 3) @ k.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(c, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemv(kind: str, transposed: int):
    a = numbers(kind, 9, 12)
    x = numbers(kind, (8 if transposed else 10) * 2)
    y = numbers(kind, (10 if transposed else 8) * 3)
    wanted = y.copy()
    part = a[1:, 2:]
    wanted[2::3] = 2 * ((part.T if transposed else part) @ x[1::2]) - y[2::3]
    params = blas.gemv_params(
        *(8, 10), lda=12, incx=2, incy=3, op=transposed, alpha=2, beta=-1, offsets=(14, 1, 2)
    )
    extent = 10 if transposed else 8
    record = Record(runtime.kernel(f"cr.gemv.{kind}"), (0, 1, 2), params, extent, 3)
    Plan([record], 3, (0, 1, 2)).run(a, x, y)
    np.testing.assert_allclose(y, wanted, rtol=TOLERANCE[kind], atol=TOLERANCE[kind])


def test_products_of_nothing():
    """m, n or k of 0: beta C is all that is left."""
    kernel = runtime.kernel("cr.gemm.f32")
    c = np.ones((3, 2), np.float32)
    for m, n, k in ((0, 2, 4), (3, 0, 4), (3, 2, 0)):
        params = blas.gemm_params(m, n, k, lda=max(k, 1), ldb=max(n, 1), ldc=2, beta=3.0)
        Plan([Record(kernel, (0, 1, 2), params, m)], 3, (0, 1, 2)).run(c, c, c)
    assert (c == 3).all()


def test_products_do_not_depend_on_the_number_of_threads():
    m, n, k = 96, 80, 200
    split, extent, grain = blas.gemm_split(m, n, k)
    a, b = numbers("f32", m, k), numbers("f32", k, n)
    params = blas.gemm_params(m, n, k, lda=k, ldb=n, ldc=n, split=split)
    record = Record(runtime.kernel("cr.gemm.f32"), (0, 1, 2), params, extent, grain)
    plan, found = Plan([record], 3, (0, 1, 2)), set()
    for count in (1, 2, 3):
        chainrule.set_num_threads(count)
        c = np.empty((m, n), np.float32)
        plan.run(a, b, c)
        found.add(c.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (128, 256, 784), (784, 128, 256), (10**6, 3, 2)])
def test_splits_are_sound(shape: tuple[int, int, int]):
    split, extent, grain = blas.gemm_split(*shape)
    assert extent == shape[split] == max(shape[:2])
    assert 0 < grain <= extent
    assert grain == extent or grain % 16 == 0


def test_blas_has_one_thread_inside_of_programs_and_its_own_outside(code: machine.Code):
    kernel = runtime.kernel("cr.gemm.f32")
    if not runtime.runtime().splits:
        pytest.skip("this BLAS is not OpenBLAS: its threads are its own")
    get, give = blas._threads_of()
    before = get()
    give(2)
    try:
        inside = np.zeros(1, np.int32)
        x = np.ones((1, 1), np.float32)
        address = ctypes.cast(get, ctypes.c_void_p).value
        params = blas.gemm_params(1, 1, 1, lda=1, ldb=1, ldc=1)
        records = [Record(code.address("ask"), (), (address,)), Record(kernel, (1, 1, 1), params)]
        Plan(records, 2, (0, 1)).run(inside, x)
        assert inside[0] == 1
        assert get() == 2
    finally:
        give(before)


def test_scipy_works_after_its_blas_was_taken():
    """The products' addresses come from one module of scipy.linalg, loaded without the others."""
    said = script("""
before = "scipy" in sys.modules
runtime.kernel("cr.gemm.f64")
assert "scipy.linalg" not in sys.modules
import scipy.linalg, scipy.linalg.cython_blas
from scipy.linalg import cython_blas
print(before, scipy.linalg.inv(np.eye(2) * 2)[0, 0], "dgemm" in cython_blas.__pyx_capi__)
""")
    assert said == "False 0.5 True\n"


# -- routines of LAPACK ----------------------------------------------------------------------------


def call(name: str, arguments: list, arrays: list[np.ndarray], batch: int) -> None:
    """Run a routine over a batch, two at a time."""
    params = lapack.call_params(name, arguments)
    slots = range(len(arrays))
    record = Record(runtime.kernel("cr.call"), slots, params, batch, 2)
    Plan([record], len(arrays), slots).run(*arrays)


def positive(kind: str, batch: int, n: int) -> np.ndarray:
    a = numbers(kind, batch, n, n)
    return a @ a.mT.conj() + np.eye(n, dtype=a.dtype)


@pytest.mark.parametrize(("letter", "kind"), [("s", "f32"), ("d", "f64"), ("z", "c128")])
def test_potrf(letter: str, kind: str):
    """Cholesky's factor, the lower triangle in C order: the upper one of the (conjugated) rest."""
    a = positive(kind, 5, 4)
    factor, info = a.conj().copy(), np.ones(5, np.int32)
    size = a.itemsize
    call(f"{letter}potrf", ["U", 4, (0, 0, 16 * size), 4, (1, 0, 4)], [factor, info], 5)
    assert (info == 0).all()
    wanted = np.linalg.cholesky(a).conj()
    np.testing.assert_allclose(np.tril(factor), wanted, rtol=TOLERANCE[kind], atol=TOLERANCE[kind])


def test_potrf_says_which_matrix_is_not_positive():
    a, info = positive("f64", 3, 4), np.zeros(3, np.int32)
    a[1, 2, 2] = -1
    call("dpotrf", ["U", 4, (0, 0, 128), 4, (1, 0, 4)], [a, info], 3)
    assert info.tolist() == [0, 3, 0]


def test_getrf_and_getrs():
    """Systems in C order, solved with the transposed factors."""
    a, b = numbers("f64", 6, 5, 5), numbers("f64", 6, 5)
    lu, x = a.copy(), b.copy()
    pivots, info = np.zeros((6, 5), np.int32), np.zeros(6, np.int32)
    matrix, pivot, told = (0, 0, 200), (1, 0, 20), (2, 0, 4)
    call("dgetrf", [5, 5, matrix, 5, pivot, told], [lu, pivots, info], 6)
    solve = ["T", 5, 1, matrix, 5, pivot, (3, 0, 40), 5, told]
    call("dgetrs", solve, [lu, pivots, info, x], 6)
    np.testing.assert_allclose(x, np.linalg.solve(a, b[..., None])[..., 0], rtol=1e-10)


def test_trsm_takes_its_scale():
    """L X = alpha B: to BLAS, X^T L^T = alpha B^T."""
    l, b = (
        np.tril(numbers("f32", 4, 3, 3)) + 3 * np.eye(3, dtype=np.float32),
        numbers("f32", 4, 3, 2),
    )
    x = b.copy()
    arguments = ["R", "U", "N", "N", 2, 3, 0.5, (0, 0, 36), 3, (1, 0, 24), 2]
    call("strsm", arguments, [l, x], 4)
    np.testing.assert_allclose(l @ x, 0.5 * b, rtol=1e-5, atol=1e-6)


def test_syevd_and_gesdd():
    a, m = positive("f64", 3, 4), numbers("f64", 3, 4, 4)
    vectors, values, info = a.copy(), np.zeros((3, 4)), np.zeros(3, np.int32)
    work, more = np.zeros((3, 200)), np.zeros((3, 64), np.int32)
    matrix, told, room, integers = (0, 0, 128), (2, 0, 4), (3, 0, 1600), (4, 0, 256)
    arguments = ["V", "U", 4, matrix, 4, (1, 0, 32), room, 200, integers, 64, told]
    call("dsyevd", arguments, [vectors, values, info, work, more], 3)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a), rtol=1e-10)
    np.testing.assert_allclose(vectors.mT @ (values[..., None] * vectors), a, rtol=1e-8, atol=1e-9)
    u, v = np.zeros((3, 4, 4)), np.zeros((3, 4, 4))
    arguments = ["A", 4, 4, matrix, 4, (1, 0, 32), (5, 0, 128), 4, (6, 0, 128), 4, room, 200]
    call("dgesdd", [*arguments, integers, told], [m.copy(), values, info, work, more, v, u], 3)
    np.testing.assert_allclose(u @ (values[..., None] * v), m, rtol=1e-8, atol=1e-9)


def test_an_unknown_routine():
    with pytest.raises(KeyError, match="dnothing"):
        lapack.routine("dnothing")
