"""The compiler's vector math: errors in ulps, special values, loops that vectorise."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip(
    "llvmlite", reason="vecmath is LLVM text: running it takes llvmlite (jit extra)"
)

from chainrule.compiler import body, machine, vecmath

from . import vector_loops
from .vector_samples import GOLDEN, POSITIVE, reference, samples, special_values

NAMES = sorted(vecmath.functions())
DTYPES = ("f32", "f64")
KINDS = {"f32": np.float32, "f64": np.float64}
# The largest error in ulps, float32 and float64: what was measured on 20 million float32 over all
# bit patterns and on 400,000 float64, rounded up, with room for machines without fma. None is
# above 4.
BOUNDS = {
    "exp": (1.1, 1.0),
    "exp2": (1.1, 1.1),
    "expm1": (1.7, 2.1),
    "sigmoid": (2.4, 2.4),
    "tanh": (2.6, 2.6),
    "sinh": (2.4, 2.4),
    "cosh": (1.5, 1.5),
    "log": (1.0, 1.0),
    "log1p": (1.2, 1.2),
    "log2": (1.5, 1.7),
    "log10": (1.5, 1.5),
    "softplus": (1.7, 1.7),
    "log_sigmoid": (1.7, 1.7),
    "logaddexp": (3.2, 3.2),
    "logaddexp2": (4.0, 4.0),
    "arcsinh": (2.0, 2.0),
    "arccosh": (2.2, 2.2),
    "arctanh": (2.2, 2.2),
    "power": (0.7, 1.6),
    "float_power": (0.7, 1.6),
    "cbrt": (0.6, 0.6),
    "hypot": (1.3, 1.3),
    "rsqrt": (1.5, 1.5),
    "sin": (1.6, 1.6),
    "cos": (1.6, 1.6),
    "tan": (3.0, 3.0),
    "arctan": (1.8, 2.6),
    "arctan2": (1.8, 2.6),
    "arcsin": (2.5, 2.5),
    "arccos": (1.5, 1.5),
    "erf": (1.3, 1.3),
    "erfc": (4.0, 3.5),
    "twice_normal": (4.0, 2.0),
    "erfinv": (2.5, 2.5),
    "lgamma": (3.8, 3.5),
    "digamma": (4.0, 3.5),
}
# the result may be a small difference of the arguments' size: errors count against that
RELATIVE_TO_ARGUMENTS = {"logaddexp", "logaddexp2"}
ROUNDED_ONCE = {
    *("sqrt", "floor", "ceil", "trunc", "rint", "fabs", "copysign", "sign", "reciprocal"),
    *("maximum", "minimum", "fmax", "fmin", "fmod", "remainder", "floor_divide"),
}
# NumPy and SciPy are not our reference here, and what is right instead
OTHERWISE = {
    ("lgamma", -np.inf): np.inf,  # as C's lgamma
    ("erfinv", -0.0): -0.0,
    ("log_sigmoid", np.inf): 0.0,
    ("log_sigmoid", np.finfo(np.float32).max): 0.0,
    ("log_sigmoid", np.finfo(np.float64).max): 0.0,
    ("lgamma", np.finfo(np.float64).smallest_subnormal): 744.4400719213812,
}


def every(*names: str):
    """A test for each function and dtype."""
    return pytest.mark.parametrize(
        ("name", "dtype"), [(n, d) for n in names or NAMES for d in DTYPES]
    )


def ulp(value: np.ndarray, kind: type) -> np.ndarray:
    """The distance between neighbours of the format at this size."""
    limits = np.finfo(kind)
    exponent = np.frexp(value.astype(np.float64))[1]
    return np.ldexp(1.0, np.maximum(exponent - 1, limits.minexp) - limits.nmant)


def errors(got: np.ndarray, value: np.ndarray, rest: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|got - (value + rest ulps)| in ulps at `size`; inf where one is finite and the other not."""
    with np.errstate(all="ignore"):
        error = np.abs((got.astype(np.float64) - value) - rest * ulp(value, np.float64))
        error /= ulp(np.maximum(np.abs(value), size), got.dtype.type)
        rounded = value.astype(got.dtype)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    finite = np.isfinite(got) & np.isfinite(rounded)
    return np.where(finite, error, np.where(same, 0.0, np.inf))


def sizes(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """What errors are measured against where the value itself is smaller."""
    if name not in RELATIVE_TO_ARGUMENTS:
        return np.full(1, float(name == "twice_normal"))  # a sum with 1
    with np.errstate(invalid="ignore"):
        return np.abs(np.maximum(*arrays))


def largest_error(name: str, arrays: list[np.ndarray], got, value, rest=0.0) -> tuple:
    """The largest error and where."""
    error = errors(got, value, rest, sizes(name, arrays))
    i = int(np.argmax(error))
    return error[i], [a[i] for a in arrays], got[i], value[i]


def test_every_function_has_a_bound():
    assert set(BOUNDS) | ROUNDED_ONCE == set(NAMES)
    assert max(b for bounds in BOUNDS.values() for b in bounds) <= 4


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_float32_is_within_its_bound(name: str):
    arrays = samples(name, "f32", 20_000, vecmath.functions()[name].arguments, seed=3)
    got = vector_loops.compiled(name, "f32")(*arrays)
    value = reference(name, *(a.astype(np.float64) for a in arrays))
    error, *where = largest_error(name, arrays, got, value)
    assert error <= BOUNDS[name][0], (error, where)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_float64_is_within_its_bound(name: str):
    with np.load(GOLDEN) as golden:
        arrays, value, rest = (golden[f"{name}.{part}"] for part in ("arguments", "values", "rest"))
    got = vector_loops.compiled(name, "f64")(*arrays)
    error, *where = largest_error(name, list(arrays), got, value, rest)
    assert error <= BOUNDS[name][1], (error, where)


@every("exp", "exp2", "power", "sigmoid", "softplus")
def test_the_same_without_instructions_for_powers_of_two(name: str, dtype: str):
    """What CPUs other than those with AVX-512 compute: where results are subnormal, too."""
    arrays = samples(name, dtype, 20_000, vecmath.functions()[name].arguments, seed=4)
    run, other = (vector_loops.compiled(name, dtype, s) for s in (False, None))
    np.testing.assert_array_max_ulp(run(*arrays), other(*arrays), 1)
    arrays = special_values(dtype, vecmath.functions()[name].arguments)
    np.testing.assert_array_max_ulp(run(*arrays), other(*arrays), 1)


@every(*sorted(ROUNDED_ONCE))
def test_what_is_exact_or_rounded_once_equals_numpy(name: str, dtype: str):
    arrays = samples(name, dtype, 20_000, vecmath.functions()[name].arguments, seed=3)
    np.testing.assert_array_equal(
        vector_loops.compiled(name, dtype)(*arrays), reference(name, *arrays)
    )


@every()
def test_special_values(name: str, dtype: str):
    arrays = special_values(dtype, vecmath.functions()[name].arguments)
    if name in POSITIVE:
        arrays = [x[~(x < 0) | (x == np.rint(x))] for x in arrays]
    got = vector_loops.compiled(name, dtype)(*arrays)
    with np.errstate(over="ignore"):  # float_power is float64 to NumPy
        want = reference(name, *arrays).astype(KINDS[dtype])
    for i, x in enumerate(arrays[0]):
        for (other, at), value in OTHERWISE.items():
            if other == name and x == at and np.signbit(x) == np.signbit(at):
                want[i] = value
    wrong = errors(got, want, 0.0, sizes(name, arrays)) > 4
    wrong |= ~np.isnan(want) & (np.signbit(got) != np.signbit(want))
    wrong |= (want == 0) & (got != 0)
    assert not wrong.any(), [(*v, g, w) for *v, g, w in zip(*arrays, got, want, strict=True)][
        int(np.argmax(wrong))
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_cases(dtype: str):
    def at(name: str, *numbers: float) -> float:
        return float(vector_loops.compiled(name, dtype)(*([v] for v in numbers))[0])

    assert at("exp", 0.0) == at("cos", 0.0) == at("cosh", 0.0) == at("erfc", 0.0) == 1.0
    assert at("log", 1.0) == at("log2", 1.0) == at("lgamma", 1.0) == at("lgamma", 2.0) == 0.0
    assert at("tanh", 40.0) == at("erf", 7.0) == at("sigmoid", 90.0) == 1.0
    assert at("sigmoid", 0.0) == at("exp2", -1.0) == 0.5
    assert [at("exp2", float(k)) for k in range(-30, 31)] == [2.0**k for k in range(-30, 31)]
    assert [at("log2", 2.0**k) for k in range(-120, 121)] == list(range(-120, 121))
    assert [at("log10", 10.0**k) for k in range(10)] == list(range(10))
    assert [at("cbrt", float(k**3)) for k in range(-60, 61)] == list(range(-60, 61))
    assert [at("power", -3.0, float(k)) for k in range(10)] == [(-3.0) ** k for k in range(10)]
    assert [at("hypot", 3.0 * k, 4.0 * k) for k in range(9)] == [5.0 * k for k in range(9)]


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "fmod"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rescued_lane_leaves_the_others_alone(name: str, dtype: str):
    """One huge argument at each place of short arrays: vectors, their rest, and scalars."""
    run, kind = vector_loops.compiled(name, dtype), KINDS[dtype]
    for size in (1, 7, 16, 33):
        for place in range(size):
            x = np.linspace(-3, 3, size).astype(kind)
            x[place] = kind(3e37 if dtype == "f32" else 1e300)
            arrays = [x] if name != "fmod" else [x, np.full(size, 0.7, kind)]
            value = reference(name, *(a.astype(np.float64) for a in arrays))
            np.testing.assert_allclose(run(*arrays), value, rtol=4e-7 if dtype == "f32" else 1e-15)


def test_cos_near_all_multiples_of_a_quarter_turn_in_float32():
    """Where the reduction cancels most: the floats around k pi/2, up to the rescue's beginning."""
    k = np.arange(1, 70_000)
    x = (k * (np.pi / 2)).astype(np.float32)
    for near in (np.nextafter(x, np.float32(0)), x, np.nextafter(x, np.float32(np.inf))):
        for name in ("sin", "cos"):
            got = vector_loops.compiled(name, "f32")(near)
            value = reference(name, near.astype(np.float64))
            error, *where = largest_error(name, [near], got, value)
            assert error <= 1.6, (error, where)


@pytest.mark.parametrize("name", sorted(POSITIVE))
def test_gamma_of_negative_numbers(name: str):
    """Around the zeros the error is absolute, in ulps of the terms that cancel."""
    x = -np.random.default_rng(5).uniform(1e-3, 20, 20_000).astype(np.float32)
    value, mirror = (reference(name, sign * x.astype(np.float64)) for sign in (1, -1))
    error = np.abs(vector_loops.compiled(name, "f32")(x) - value)
    assert (error / np.maximum(np.abs(value), np.maximum(np.abs(mirror), 1))).max() < 6e-7


# -- the text --------------------------------------------------------------------------------------


@every()
def test_loop_is_vectorised(name: str, dtype: str):
    """The whole body became vectors; nothing is called but instructions and the rescues."""
    text = str(vector_loops.module(name, dtype))
    loop = text[text.index("define void @loop") :]
    loop = loop[: loop.index("\n}")]
    stored = [int(w) for w in re.findall(r"store <(\d+) x (?:float|double)>", loop)]
    assert stored and max(stored) >= {"f32": 4, "f64": 2}[dtype]
    called = set(re.findall(r"call [^@]*@([\w.]+)", loop))
    assert all(c.startswith(("llvm.", f"cr.rescue.{name}")) or "fmod" in c for c in called), called


@every()
def test_function_is_branch_free_and_calls_no_library(name: str, dtype: str):
    text = vecmath.define({(name, dtype)})
    symbol = re.escape(vecmath.call(name, dtype))
    inlined = re.search(rf"define internal \w+ {symbol}\(.*?\n}}", text, re.DOTALL)
    assert inlined and not re.search(r"\bbr\b|\bphi\b|\bload\b|frem", inlined[0])
    instructions = {"fma", "fmuladd", "fabs", "copysign", "sqrt", "floor", "ceil", "trunc", "rint"}
    instructions |= {"ldexp"} if machine.scales() else set()
    assert set(re.findall(r"^declare .*@llvm\.(\w+)\.", text, re.MULTILINE)) <= instructions
    assert not re.search(r"^declare (?!.*@llvm\.)", text, re.MULTILINE)


def test_define_gives_what_is_asked_for_and_each_thing_once():
    one = vecmath.define({("exp", "f32")})
    assert re.findall(r"@cr\.[\w.]+", one) == [vecmath.call("exp", "f32")]
    everything = {(n, d) for n in NAMES for d in DTYPES}
    text = vecmath.define(everything)
    vector_loops.optimized(text)  # parses and verifies: no symbol twice
    assert all(f" {vecmath.call(n, d)}(" in text for n, d in everything)


def test_constants_are_written_in_the_format():
    assert body.constant(0.1, "float") == "0x3FB99999A0000000"
    assert body.constant(0.1, "double") == "0x3FB999999999999A"
    assert body.constant(-1, "i64") == "-1"
