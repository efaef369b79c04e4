"""The random streams against what torch drew (tests/golden/random.json.gz), array by array."""

import base64
import copy
import gzip
import hashlib
import json
import pickle
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from chainrule import rng
from chainrule.rng import choices, normals, rounding

PATH = Path(__file__).parent / "golden" / "random.json.gz"
GOLDEN = json.loads(gzip.decompress(PATH.read_bytes()))
SIZE = "Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be "
CACHED = slice(5024, 5032)  # the bytes of a state that hold the cached normal value

# What takes float64 values from the C library, which may round its own way on another system.
BY_LIBRARY = (
    "normal",
    "normal_around",
    "log_normal",
    "exponential",
    "cauchy",
    "gamma",
    "dirichlet",
)


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def array(parameter):
    if not isinstance(parameter, dict):
        return parameter
    return rounding.cast(np.asarray(eval(parameter["x"], {"np": np})), parameter["dtype"])


def draw(stream, op, *parameters):
    function = getattr(rng, f"draw_{op}")
    if not (isinstance(parameters[-1], dict) and "view" in parameters[-1]):
        return function(stream, *map(array, parameters))
    shape, dtype, *rest, how = parameters
    axes, steps = how["view"]
    base = np.zeros(shape, dtype_of(dtype))
    target = base.transpose(axes)[tuple(slice(None, None, step) for step in steps)]
    assert rng.write(target, function, stream, *map(array, rest)) is target
    return base


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def ends(values):
    flat = values.reshape(-1)
    flat = flat.view(f"f{flat.itemsize // 2}") if flat.dtype.kind == "c" else flat
    return np.concatenate([flat[:4], flat[-4:]]).astype(np.float64)


def agree(values, expected, op):
    assert [*values.shape] == expected["shape"]
    assert values.dtype.name == expected["dtype"]
    if digest(values.tobytes()) != expected["digest"]:
        exact = not (op in BY_LIBRARY and values.dtype.name in ("float64", "complex128"))
        np.testing.assert_allclose(ends(values), expected["ends"], rtol=0 if exact else 1e-12)
        assert not exact, "the values differ between the ends"


def agree_on_state(stream, expected):
    state = stream.state_bytes()
    assert state.dtype == np.uint8 and state.shape == (5056,)
    if expected["cached"] is None:
        assert stream.cached_normal is None
    else:
        assert stream.cached_normal == pytest.approx(expected["cached"], rel=1e-15)
    state[CACHED] = np.array([expected["cached"] or 0.0]).view(np.uint8)
    assert digest(state[:5024].tobytes() + state[5032:].tobytes()) == expected["digest"]


def name(case):
    return "-".join(f"{d[0]}" for d in case["draws"][:2]) + f"-{case['seed']}"


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name)
@pytest.mark.filterwarnings("ignore:(from|to - 1) is out of bounds:UserWarning")
def test_same_seed_same_numbers(case):
    stream = rng.Generator().manual_seed(case["seed"])
    for parameters, expected in zip(case["draws"], case["outcomes"], strict=True):
        agree(draw(stream, *parameters), expected, parameters[0])
    agree_on_state(stream, case["state"])


@pytest.mark.parametrize("case", GOLDEN["refused"], ids=lambda case: case["draw"][0])
def test_refuses_what_torch_refuses_in_its_words(case):
    stream = rng.Generator()
    with pytest.raises(Exception) as caught:
        draw(stream, *case["draw"])
    assert type(caught.value).__name__ == case["error"]
    assert str(caught.value) == case["text"]


@pytest.mark.parametrize("case", GOLDEN["states"], ids=["fresh", "midway", "used up"])
def test_goes_on_from_a_state_that_torch_saved(case):
    saved = np.frombuffer(base64.b64decode(case["bytes"]), np.uint8)
    stream = rng.Generator()
    stream.set_state_bytes(saved)
    assert stream.initial_seed() == 7
    np.testing.assert_array_equal(stream.state_bytes(), saved)
    for parameters, expected in zip(case["draws"], case["outcomes"], strict=True):
        agree(draw(stream, *parameters), expected, parameters[0])
    agree_on_state(stream, case["state"])


def broken(**fields):
    state = rng.Generator().state_bytes()
    places = {"left": (8, "<i4"), "seeded": (12, "<i4"), "next": (16, "<u8")}
    for field, value in fields.items():
        start, kind = places[field]
        code = np.array([value], kind).view(np.uint8)
        state[start : start + code.size] = code
    return state


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ([1], TypeError, "expected a torch.ByteTensor, but got list"),
        (np.zeros(5056), TypeError, "RNG state must be a torch.ByteTensor"),
        (np.zeros((5056, 2), np.uint8)[:, 0], RuntimeError, "RNG state must be contiguous"),
        (np.zeros(5048, np.uint8), RuntimeError, SIZE + "5048"),
        (np.zeros(5056, np.uint8), RuntimeError, "Invalid mt19937 state"),
        (broken(left=0), RuntimeError, "Invalid mt19937 state"),
        (broken(left=625), RuntimeError, "Invalid mt19937 state"),
        (broken(seeded=0), RuntimeError, "Invalid mt19937 state"),
        (broken(next=625), RuntimeError, "Invalid mt19937 state"),
    ],
)
def test_refuses_a_state_that_is_none(state, error, text):
    stream = rng.Generator()
    before = stream.state_bytes()
    with pytest.raises(error) as caught:
        stream.set_state_bytes(state)
    assert str(caught.value) == text
    np.testing.assert_array_equal(stream.state_bytes(), before)


def test_seeds():
    stream = rng.Generator()
    assert stream.initial_seed() == rng.DEFAULT_SEED == 67280421310721
    assert stream.manual_seed(-1) is stream
    assert stream.initial_seed() == 2**64 - 1
    assert stream.manual_seed(np.int64(5)).initial_seed() == 5
    assert stream.seed() == stream.initial_seed() < 2**64
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="Overflow when unpacking long long"):
            stream.manual_seed(seed)
    for seed in (1.5, "3", True, None):
        with pytest.raises(RuntimeError, match=f"expected a long, but got {type(seed).__name__}"):
            stream.manual_seed(seed)


def test_seeding_forgets_the_cached_normal():
    stream = rng.Generator().manual_seed(3)
    first = rng.draw_normal(stream, (3,))
    assert stream.cached_normal is not None
    stream.manual_seed(3)
    assert stream.cached_normal is None
    np.testing.assert_array_equal(rng.draw_normal(stream, (3,)), first)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_goes_on_alone(duplicate):
    stream = rng.Generator("here").manual_seed(11)
    rng.draw_normal(stream, (3,))
    twin = duplicate(stream)
    assert twin.device == "here"
    expected = rng.draw_normal(stream, (5,))
    np.testing.assert_array_equal(rng.draw_normal(twin, (5,)), expected)


def test_tape_puts_back_what_it_drew_ahead():
    stream, twin = rng.Generator(), rng.Generator()
    for count in (0, 1, 511, 512, 513, 2000):
        with stream.tape() as next_double:
            taken = [next_double() for _ in range(count)]
        np.testing.assert_array_equal(taken, twin.doubles(count))
        np.testing.assert_array_equal(stream.state_bytes(), twin.state_bytes())


def test_tape_puts_back_after_an_error():
    stream, twin = rng.Generator(), rng.Generator()
    with pytest.raises(KeyError), stream.tape() as next_double:
        next_double()
        raise KeyError
    twin.doubles(1)
    np.testing.assert_array_equal(stream.state_bytes(), twin.state_bytes())


def test_draws_of_several_threads_do_not_mix():
    stream, twin, drawn = rng.Generator(), rng.Generator(), []

    def work():
        for _ in range(40):
            drawn.append(rng.draw_normal(stream, (7,)).tobytes())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drawn) == sorted(rng.draw_normal(twin, (7,)).tobytes() for _ in range(160))


def one_by_one(swap, target):
    out = list(range(len(target) + swap))
    for i, j in enumerate(target):
        if swap:
            out[i], out[j] = out[j], out[i]
        else:
            out[i] = out[j]
            out[j] = i
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 8, 200])
def test_permutations_without_a_loop(n):
    steps, random = np.arange(n), np.random.default_rng(n)
    for _ in range(50):
        swaps = random.integers(steps, n + 1)
        np.testing.assert_array_equal(choices._after_swaps(swaps), one_by_one(True, swaps))
        inserts = random.integers(0, steps + 1)
        np.testing.assert_array_equal(choices._after_inserts(inserts), one_by_one(False, inserts))


def test_very_long_permutations_insert(monkeypatch):
    monkeypatch.setattr(choices, "_SHORT", 10)
    stream, twin = rng.Generator(), rng.Generator()
    target = twin.long_words(12) % np.arange(1, 13, dtype=np.uint64)
    expected = one_by_one(False, target.tolist())
    np.testing.assert_array_equal(rng.draw_permutation(stream, 12, "int32"), expected)


def test_fused_multiply_add_rounds_once():
    random = np.random.default_rng(0)
    x, y, z = random.standard_normal((3, 500))
    exact = [float(Fraction(a) * Fraction(y[0]) + Fraction(c)) for a, c in zip(x, z, strict=True)]
    single = [a.astype(np.float32) for a in (x, y, z)]
    fused = [rounding.fma_double(x[i : i + 1], y[0], z[i])[0] for i in range(500)]
    np.testing.assert_array_equal(fused, exact)
    triples = zip(*(a.tolist() for a in single), strict=True)
    exact = np.array([float(Fraction(a) * Fraction(b) + Fraction(c)) for a, b, c in triples])
    np.testing.assert_array_equal(rounding.fma(*single), exact.astype(np.float32))


def test_single_precision_functions_are_accurate():
    k = np.unique(np.geomspace(1, 2**24 - 1, 40000).astype(np.int32))
    logs = np.log(k.astype(float) / 2**24)
    np.testing.assert_allclose(normals._log_of_fraction(k), logs, rtol=2e-7)
    cosine, sine = normals._cosine_sine_of_turn(k)
    turn = 2 * np.pi * k.astype(float) / 2**24
    np.testing.assert_allclose(cosine, np.cos(turn), atol=1e-6)
    np.testing.assert_allclose(sine, np.sin(turn), atol=1e-6)


def test_log_of_many_is_log_of_few():
    x = np.random.default_rng(1).uniform(size=1 << 17)
    np.testing.assert_array_equal(rounding.log_double(x)[:500], rounding.log_double(x[:500]))


def test_warns_of_integers_beyond_the_precision():
    with pytest.warns(
        UserWarning, match=r"^to - 1 is out of bounds \[-\(2\^11\), 2\^11\]\. .*c10::Half"
    ):
        rng.draw_integers(rng.Generator(), (3,), "float16", 0, 3000)


def test_the_engine_waits_for_the_first_draw():
    code = "import sys, chainrule.rng; sys.exit('numpy.random' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=PATH.parents[2], check=False).returncode
        == 0
    )
