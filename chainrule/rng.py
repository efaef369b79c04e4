"""The random streams of torch's CPU generator: same seed, same numbers.

Everything is drawn from one MT19937 engine, seeded as NumPy's legacy `RandomState(seed mod 2**32)`.
Its 32-bit words w become values thus; "double" stands for two words, the first one on top:

    float       (w mod 2**24) / 2**24
    double      (w mod 2**53) / 2**53          for the 64-bit w = w1 * 2**32 + w2
    uniform     float (double for float64): u * (high - low) + low, fused; half types round the
                float, and what rounding lifted to `high` becomes `low`
    normal      16 or more values, contiguous: floats (doubles for float64) in groups of 16, where
                lanes i and i + 8 give r cos t and r sin t with r = sqrt(-2 log(1 - u1)), t = 2 pi u2;
                a last, partial group redraws the last 16 values from 16 new words.
                Fewer, or strided: two doubles give the pair (t from the first, r from the second);
                the sine half waits in the generator, as `cached_normal`, for the next such draw
    integers    low + w mod (high - low); w has 64 bits if the range reaches 2**28
    bernoulli   double < p; with a tensor of probabilities below float64, float < p
    exponential, cauchy, geometric             a double each, through the inverse distribution
    multinomial one draw, or no replacement: the largest p / exponential; else a double each, looked
                up in the cumulative sum
    permutation for each place i a word: swap with place i + w mod (n - i)
    poisson, binomial, gamma                   rejection from doubles, so one value after the other

Words to 2**32 are exact in every step, so what is left is rounding, and torch's is followed too: its
float32 normals come from single precision polynomials for log, sine and cosine with fused
multiply-adds (redone here by rounding float64 products once), its float64 functions from libm.

Every draw takes (generator, shape, dtype name) and returns a new C-contiguous array; `write` puts
a draw into an existing array of any strides. One lock per generator makes a draw atomic.
"""

from __future__ import annotations

import math
import operator
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows "bfloat16" by name from here on)
import numpy as np

Array = np.ndarray[Any, Any]

DEFAULT_SEED = 67280421310721
_F32, _F64, _I32, _I64, _U32, _U64 = map(
    np.dtype, ("float32", "float64", "int32", "int64", "uint32", "uint64")
)

# NumPy's name of a dtype -> torch's name of it in messages, C++'s name of it in messages
_NAMES = {
    "bool": ("Bool", "bool"),
    "uint8": ("Byte", "unsigned char"),
    "int8": ("Char", "signed char"),
    "int16": ("Short", "short int"),
    "int32": ("Int", "int"),
    "int64": ("Long", "long int"),
    "uint16": ("UInt16", "short unsigned int"),
    "uint32": ("UInt32", "unsigned int"),
    "uint64": ("UInt64", "long unsigned int"),
    "float16": ("Half", "c10::Half"),
    "bfloat16": ("BFloat16", "c10::BFloat16"),
    "float32": ("Float", "float"),
    "float64": ("Double", "double"),
    "complex64": ("ComplexFloat", "c10::complex<float>"),
    "complex128": ("ComplexDouble", "c10::complex<double>"),
}
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_HALVES = {"float16", "bfloat16"}
_FLOATING = set(_DIGITS)
_PARTS = {"complex64": "float32", "complex128": "float64"}
_COUNTED = {"uint8", "int8", "int16", "int32", "int64"}


# ------------------------------------------------------------------------------- the generator

_STATE = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),
        ("seeded", "<i4"),
        ("next", "<u8"),
        ("words", "<u8", 624),
        ("normal_x", "<f8"),
        ("normal_y", "<f8"),
        ("normal_rho", "<f8"),
        ("normal_is_valid", "<i4"),
        ("gap", "<i4"),
        ("float_normal", "<f4"),
        ("float_normal_is_valid", "<i4"),
    ]
)


class Generator:
    """A stream of pseudo-random numbers: torch's CPU generator, MT19937 with a cached normal value.

    `device` is kept for the caller. Draws from several threads are atomic: each holds `lock`.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = device
        self.lock = threading.RLock()
        self._bits: Any = None  # NumPy's engine, made and seeded by the first draw
        self.manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed`, an integer in [-2**63, 2**64); its lowest 32 bits choose it.

        Raises ValueError outside that range and RuntimeError for anything but an integer.
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError("Overflow when unpacking long long")
        with self.lock:
            self._seed = int(seed) % (1 << 64)
            self._stale = self._fresh = True
            self.cached_normal: float | None = None
        return self

    def seed(self) -> int:
        """Start the stream of a 64-bit seed from the operating system, and return that seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def state_bytes(self) -> Array:
        """The state as torch's `get_state` gives it: 5056 bytes, uint8."""
        with self.lock:
            state, engine = np.zeros(1, _STATE), self._engine().state["state"]
            position = int(engine["pos"])
            state["seed"], state["seeded"], state["words"] = self._seed, 1, engine["key"]
            state["left"], state["next"] = 625 - position, 0 if self._fresh else position
            if self.cached_normal is not None:
                state["normal_y"], state["normal_is_valid"] = self.cached_normal, 1
        return state.view(np.uint8)

    def set_state_bytes(self, state: Array) -> None:
        """Continue from a state that `state_bytes`, or torch's `get_state`, gave.

        Raises TypeError unless `state` is a uint8 array, RuntimeError unless it is contiguous, has
        5056 elements and holds a state that this engine can be in.
        """
        record = _checked_state(state)
        left, place = int(record["left"]), int(record["next"])
        with self.lock:
            self._seed, self._stale, self._fresh = int(record["seed"]), True, False
            words = record["words"].astype(_U32)
            engine = {"key": words, "pos": 625 - left}
            self._engine().state = {"bit_generator": "MT19937", "state": engine}
            self._fresh = place == 0
            valid = record["normal_is_valid"]
            self.cached_normal = float(record["normal_y"]) if valid else None

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self.device, "state": self.state_bytes()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        Generator.__init__(self, saved["device"])
        self.set_state_bytes(saved["state"])

    def _engine(self) -> Any:
        if self._stale:
            if self._bits is None:
                self._bits = np.random.MT19937(0)
                self._many = np.random.Generator(self._bits).integers
            np.random.RandomState(self._bits).seed(self._seed & 0xFFFFFFFF)
            self._stale = False
        return self._bits

    def words(self, n: int) -> Array:
        """The next n words of 32 bits, uint32."""
        with self.lock:
            bits = self._engine()
            self._fresh = self._fresh and n == 0
            if n < 1024:  # fewer calls inside
                return bits.random_raw(n).astype(_U32)
            return self._many(0, 1 << 32, n, dtype=np.uint32)

    def long_words(self, n: int) -> Array:
        """The next n words of 64 bits, uint64."""
        words = self.words(2 * n)
        out = words[::2].astype(_U64)
        out <<= np.uint64(32)
        out |= words[1::2]
        return out

    def floats(self, n: int) -> Array:
        """The next n multiples of 2**-24 in [0, 1), float32."""
        words = self.words(n)
        words &= np.uint32(0xFFFFFF)
        out = words.view(_I32).astype(_F32)
        out *= np.float32(2**-24)
        return out

    def doubles(self, n: int) -> Array:
        """The next n multiples of 2**-53 in [0, 1), float64."""
        words = self.words(2 * n)
        out = (words[::2] & np.uint32(0x1FFFFF)).astype(_F64)
        out *= 2.0**32
        out += words[1::2]
        out *= 2.0**-53
        return out

    @contextmanager
    def tape(self) -> Iterator[Callable[[], float]]:
        """A function that gives the next double; on leaving, what was not used is put back."""
        with self.lock:
            start, fresh, drawn, rest = self._engine().state, self._fresh, 0, iter(())

            def reels() -> Iterator[Iterator[float]]:
                nonlocal drawn, rest
                while True:
                    drawn += 512
                    rest = iter(self.doubles(512).tolist())
                    yield rest

            try:
                yield chain.from_iterable(reels()).__next__
            finally:
                used = drawn - operator.length_hint(rest)
                self._bits.state = start
                self._bits.random_raw(2 * used, output=False)
                self._fresh = fresh and used == 0


def _checked_state(state: Array) -> Any:
    if not isinstance(state, np.ndarray):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
    if state.dtype != np.uint8:
        raise TypeError("RNG state must be a torch.ByteTensor")
    _check(state.flags.c_contiguous, "RNG state must be contiguous")
    _check(
        state.size == _STATE.itemsize,
        f"Expected a CPUGeneratorImplState of size {_STATE.itemsize} "
        f"but found the input RNG state size to be {state.size}",
    )
    record = state.reshape(-1).view(_STATE)[0]
    left, place = int(record["left"]), int(record["next"])
    possible = 1 <= left <= 624 and (place == 625 - left or (place, left) == (0, 1))
    _check(bool(record["seeded"]) and possible, "Invalid mt19937 state")
    return record


default_generator = Generator()


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise RuntimeError(message)


def _require(dtype: str, supported: set[str], kernel: str) -> None:
    if dtype not in supported:
        raise NotImplementedError(f'"{kernel}" not implemented for \'{_NAMES[dtype][0]}\'')


# ----------------------------------------------------------------------- rounding as torch does


def _cast(values: Array, dtype: str) -> Array:
    """Round to `dtype`; half types by way of float32, as C++ converts to them."""
    if dtype in _HALVES and values.dtype != _F32:
        values = values.astype(_F32)
    return values.astype(dtype, copy=False)


def _fma(x: Array, y: Any, z: Any) -> Array:
    """Float32 x * y + z, rounded once: the product of float32 numbers is exact in float64."""
    wide = x.astype(_F64)
    wide *= y
    wide += z
    return wide.astype(_F32)


def _split(x: Any) -> tuple[Any, Any]:
    """Two numbers of at most 26 bits that add up to the float64 x."""
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def _fused(x: Array, scale: float, shift: float) -> Array:
    """Float64 x * scale + shift, rounded once (Dekker's exact product, Knuth's exact sum)."""
    product = x * scale
    if shift == 0 or scale == 1 or not 1e-200 < abs(scale) < 1e200:
        return product + shift
    (x1, x0), (s1, s0) = _split(x), _split(scale)
    lost = x0 * s0 - (((product - x1 * s1) - x0 * s1) - x1 * s0)
    total = product + shift
    back = total - product
    lost += (product - (total - back)) + (shift - back)
    return total + lost


def _libm(function: Callable[[float], float], x: Array) -> Array:
    """A function of the C library at each element of a float64 array, as torch computes it."""
    return np.fromiter(map(function, x.ravel().tolist()), _F64, x.size).reshape(x.shape)


def _double(vector: np.ufunc, scalar: Callable[[float], float], x: Array, dtype: str) -> Array:
    """A float64 function to the last bit for a float64 result; else NumPy's, some 50 times faster,
    whose last bit does not survive the rounding to a shorter type."""
    return _libm(scalar, x) if dtype == "float64" else vector(x)


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.8 else math.inf


def _log(x: float) -> float:
    return math.log(x) if x else -math.inf


def _logs(x: Array) -> Array:
    """log to the last bit. For many elements from SciPy, where 1 * log x is the C library's."""
    if x.size < 1 << 17:
        return _libm(math.log, x)
    from scipy.special import xlogy

    return xlogy(1.0, x)


# -------------------------------------------------------------------------------------- uniform


def draw_uniform(
    generator: Generator, shape: tuple[int, ...], dtype: str = "float32", low: float = 0.0, high: float = 1.0
) -> Array:
    """Uniform on [low, high), floating or complex (then both parts are).

    Raises RuntimeError for bounds that are not finite in `dtype` or not in order.
    """
    if dtype in _PARTS:
        parts = draw_uniform(generator, (*shape, 2), _PARTS[dtype], low, high)
        return parts.view(dtype).reshape(shape)
    _require(dtype, _FLOATING, "check_uniform_bounds")
    _check_interval(dtype, low, high)
    n = math.prod(shape)
    if dtype == "float64":
        values = _fused(generator.doubles(n), high - low, low)
    else:
        values = generator.floats(n)
        start = np.float32(low)
        if (low, high) != (0.0, 1.0):
            values = _fma(values, float(np.float32(high) - start), float(start))
        values = _cast(values, dtype)
    if (low, high) != (0.0, 1.0) or dtype in _HALVES:
        first, last = np.array([low, high], _F64).astype(dtype)
        values[values == last] = first
    return values.reshape(shape)


def _largest(dtype: str) -> float:
    return float(ml_dtypes.finfo(np.dtype(dtype)).max)


def _check_interval(dtype: str, low: float, high: float) -> None:
    limit = _largest(dtype)
    torch_name, name = _NAMES[dtype]
    _check(-limit <= low <= limit, f"from is out of bounds for {name}")
    _check(-limit <= high <= limit, f"to is out of bounds for {name}")
    _check(
        low <= high,
        f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}",
    )
    _check(
        high - low <= limit,
        f"uniform_ expects to-from <= std::numeric_limits<{torch_name}>::max(), but found "
        f"to={high:g} and from={low:g} which result in to-from to exceed the limit",
    )


# --------------------------------------------------------------------------------------- normal


def draw_normal(
    generator: Generator,
    shape: tuple[int, ...],
    dtype: str = "float32",
    mean: float = 0.0,
    std: float = 1.0,
    contiguous: bool = True,
) -> Array:
    """Normal with `mean` and `std`, floating or complex (then each part has std / sqrt(2)).

    `contiguous=False` is for a strided destination, which torch fills value by value.
    Raises RuntimeError if std is negative or NaN.
    """
    _check(std >= 0, f"normal expects std >= 0.0, but found std {std:g}")
    if dtype in _PARTS:
        std /= math.sqrt(2)
        parts = draw_normal(generator, (*shape, 2), _PARTS[dtype], mean, std, contiguous)
        return parts.view(dtype).reshape(shape)
    n = math.prod(shape)
    if n:
        _require(dtype, _FLOATING, "normal_kernel_cpu")
    if n >= 16 and contiguous:
        values = _grouped_normals(generator, n, dtype, mean, std)
    else:
        values = _fused(_serial_normals(generator, n, dtype), std, mean)
    return _cast(values, dtype).reshape(shape)


def draw_normal_around(generator: Generator, mean: Array | float, std: Array | float) -> Array:
    """Normal about each element of `mean` with each element of `std`; at least one is an array.

    The dtype is that of `mean` if it is an array, else of `std`. Raises RuntimeError if a std is
    negative.
    """
    first = mean if isinstance(mean, np.ndarray) else std
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
    if isinstance(std, np.ndarray):
        _check(not std.size or bool(std.min() >= 0), "normal expects all elements of std >= 0.0")
        out = draw_normal(generator, shape, first.dtype.name)
        np.multiply(out, std, out=out, casting="same_kind")
    else:
        out = draw_normal(generator, shape, first.dtype.name, 0.0, std)
    return np.add(out, mean, out=out, casting="same_kind")


def _serial_normals(generator: Generator, n: int, dtype: str) -> Array:
    """n standard normals in float64, pair by pair, starting with the cached one if there is one."""
    if not n:
        return np.empty(0)
    with generator.lock:
        cached = generator.cached_normal
        first = cached is not None
        angles, seconds = _pairs(generator, (n - first + 1) // 2)
        radii = np.sqrt(-2.0 * _double(np.log1p, math.log1p, -seconds, dtype))
        out = np.empty(first + 2 * radii.size)
        out[:first] = cached
        out[first::2] = radii * np.cos(angles)
        out[first + 1 :: 2] = radii * np.sin(angles)
        generator.cached_normal = None
        if out.size > n:
            radius = math.sqrt(-2.0 * math.log1p(-seconds[-1]))
            generator.cached_normal = radius * math.sin(angles[-1])
    return out[:n]


def _pairs(generator: Generator, n: int) -> tuple[Array, Array]:
    uniforms = generator.doubles(2 * n)
    return 2.0 * math.pi * uniforms[::2], uniforms[1::2]


def _grouped_normals(generator: Generator, n: int, dtype: str, mean: float, std: float) -> Array:
    """n >= 16 normals in groups of 16, the last 16 from words of their own unless 16 divides n."""
    whole, last = n - n % 16, 16 if n % 16 else 0
    skipped = 0 if dtype in _HALVES else n - whole  # drawn for the last group, then drawn anew
    count = whole + skipped + last
    draws = generator.doubles(count) if dtype == "float64" else generator.words(count)
    draws[whole : whole + last] = draws[whole + skipped :]
    groups = draws[: whole + last].reshape(-1, 2, 8)
    if dtype == "float64":
        values = _box_muller_double(groups, mean, std)
    else:
        values = _box_muller(groups, float(np.float32(mean)), float(np.float32(std)))
    values = values.reshape(-1)
    if last:
        values[n - 16 : n] = values[whole:].copy()
    return values[:n]


def _box_muller_double(uniforms: Array, mean: float, std: float) -> Array:
    radius = np.sqrt(-2.0 * _logs(1.0 - uniforms[:, 0]))
    angle = 2.0 * math.pi * uniforms[:, 1]
    return _fused(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), std, mean)


def _box_muller(words: Array, mean: float, std: float) -> Array:
    """Float32 normals from groups of 2 x 8 words, 16384 pairs at a time to stay in cache."""
    out = np.empty(words.shape, _F32)
    for start in range(0, len(words), 2048):
        block = words[start : start + 2048] & np.uint32(0xFFFFFF)
        fractions, target = block.view(_I32), out[start : start + 2048]
        radius = _log_of_fraction(np.int32(1 << 24) - fractions[:, 0])
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        cosine, sine = _cosine_sine_of_turn(fractions[:, 1])
        np.multiply(radius, cosine, out=target[:, 0])
        np.multiply(radius, sine, out=target[:, 1])
        target[...] = target + np.float32(0) if (mean, std) == (0, 1) else _fma(target, std, mean)
    return out


# The polynomials of S. Moshier's Cephes library, single precision: log(1 + x) = x - x^2/2 + x^3 p(x)
# on sqrt(1/2) <= 1 + x < sqrt(2), and cos, sin on |x| <= pi/4, each in x^2.
_LOG = [
    float(np.float32(c))
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
]  # fmt: skip
_LOG2_LOW, _LOG2_HIGH = np.float32(-2.12194440e-4), 0.693359375  # log(2) in two pieces
_COSINE_SINE = [
    np.array(pair, _F32).astype(_F64).reshape(2, 1, 1)
    for pair in (
        (2.443315711809948e-5, -1.9515295891e-4),
        (-1.388731625493765e-3, 8.3321608736e-3),
        (4.166664568298827e-2, -1.6666654611e-1),
    )
]
_QUARTER_PI = 0.78515625, 2.4187564849853515625e-4, float(np.float32(3.77489497744594108e-8))


def _polynomial(coefficients: list[Any], x: Array) -> Array:
    """Horner's rule in float32 with fused steps, at float32 numbers x held in float64."""
    wide = x * coefficients[0]
    wide += coefficients[1]
    y = wide.astype(_F32)
    for c in coefficients[2:]:
        wide[...] = y
        wide *= x
        wide += c
        y[...] = wide
    return y


def _log_of_fraction(k: Array) -> Array:
    """log(k / 2**24) in float32, for int32 k from 1 to 2**24."""
    x = k.astype(_F32)
    bits = x.view(_I32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    bits -= exponent << np.int32(23)  # x is now between sqrt(1/2) and sqrt(2)
    x -= np.float32(1)
    exponent -= np.int32(24)
    power = exponent.astype(_F32)
    y = _polynomial(_LOG, x.astype(_F64))
    y *= x
    square = x * x
    y = _fma(y, square, power * _LOG2_LOW)
    square *= np.float32(0.5)
    y -= square
    x += y
    return _fma(power, _LOG2_HIGH, x)


def _cosine_sine_of_turn(k: Array) -> tuple[Array, Array]:
    """cos and sin of the float32 angle 2 pi k / 2**24, for int32 k from 0 to 2**24 - 1."""
    x = k.astype(_F32)
    x *= np.float32(2 * math.pi) * np.float32(2**-24)
    octant = (x * np.float32(4 / math.pi)).astype(_I32)
    octant += np.int32(1)
    octant &= np.int32(~1)  # even: the nearest multiple of pi/4 to subtract
    turns = octant.astype(_F32)
    x -= turns * np.float32(_QUARTER_PI[0])  # these two products are exact
    x -= turns * np.float32(_QUARTER_PI[1])
    x = _fma(turns, -_QUARTER_PI[2], x)
    square = x * x
    wide = square.astype(_F64)
    cosine, sine = _polynomial(_COSINE_SINE, wide) * square
    cosine = _fma(cosine, wide, square * np.float32(-0.5))
    cosine += np.float32(1)
    sine = _fma(sine, x, x)
    return _turn(cosine, sine, octant)


def _turn(cosine: Array, sine: Array, octant: Array) -> tuple[Array, Array]:
    """Turn the pair by octant * pi/4, octant even: swap and negate by integer operations."""
    c, s = cosine.view(_I32), sine.view(_I32)
    swap = (c ^ s) & -((octant >> np.int32(1)) & np.int32(1))
    c ^= swap ^ (((octant + np.int32(2)) & np.int32(4)) << np.int32(29))
    s ^= swap ^ ((octant & np.int32(4)) << np.int32(29))
    return cosine, sine


# ------------------------------------------------------------------------------------- integers


def draw_integers(
    generator: Generator, shape: tuple[int, ...], dtype: str, low: int, high: int | None
) -> Array:
    """Uniform integers low <= i < high, in any real dtype: `randint` and `random_(low, high)`.

    `high=None` reaches to the largest value of the dtype (for floating types to 2**digits).
    Raises RuntimeError for an empty range and for one that the dtype cannot hold.
    """
    if high is None and low == -(1 << 63):
        return _full_range(generator, shape, dtype)
    low, last = _integer_range(dtype, low, high)
    n, span = math.prod(shape), last - low + 1
    words = generator.words(n) if span < 1 << 28 else generator.long_words(n)
    offsets = _modulo(words, span).astype(_I64, copy=False)
    offsets += np.int64(low)
    return _cast(offsets, dtype).reshape(shape)


def draw_any_integers(generator: Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Integers from 0 to the largest value of the dtype, 2**digits if floating: `random_()`."""
    _require(dtype, _COUNTED | _FLOATING | {"bool"}, "random_kernel_cpu")
    n, count = math.prod(shape), _last_integer(dtype) + 1
    words = generator.long_words(n) if dtype in ("int64", "float64") else generator.words(n)
    return _cast(_modulo(words, count), dtype).reshape(shape)


def _full_range(generator: Generator, shape: tuple[int, ...], dtype: str) -> Array:
    kernel = "random_full_64_bits_range_kernel_cpu"
    _require(dtype, _COUNTED | {"bfloat16", "float32", "float64"}, kernel)
    handled = dtype == "int64" or dtype in _FLOATING
    _check(handled, f"{kernel} handles only int64, double, float and bfloat16")
    return _cast(generator.long_words(math.prod(shape)).view(_I64), dtype).reshape(shape)


def _modulo(words: Array, m: int) -> Array:
    """words mod m; NumPy divides by a constant much faster than it takes remainders."""
    divisor = words.dtype.type(m)
    multiple = words // divisor
    multiple *= divisor
    words -= multiple
    return words


def _last_integer(dtype: str) -> int:
    if dtype in _FLOATING:
        return 1 << _DIGITS[dtype]
    return 1 if dtype == "bool" else int(np.iinfo(dtype).max)


def _integer_range(dtype: str, low: int, high: int | None) -> tuple[int, int]:
    """The first and the last integer of the range, as `dtype` can hold them."""
    if high is None:
        return _open_range(dtype, low)
    text = "random_ expects 'from'{0} to be less than 'to'{0}, but got from={1} >= to={2}"
    _check(low < high, text.format("", low, high))
    if dtype in _FLOATING:
        low, high = _nudged(low, 1, dtype), _nudged(high, -1, dtype)
        _check(low < high, text.format(" casted to dtype", low, high))
    _require_real(dtype, "check_random_bounds")
    _check_range(dtype, low, high - 1)
    return low, high - 1


def _open_range(dtype: str, low: int) -> tuple[int, int]:
    _require_real(dtype, "random_from_to_impl")
    last = _last_integer(dtype)
    if dtype in _FLOATING:
        low = _nudged(low, 1, dtype)
        text = "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted "
        _check(low < last, f"{text}to dtype, but got from={low} > to_inc={last}")
    _check_range(dtype, low, last)
    return low, last


def _require_real(dtype: str, function: str) -> None:
    text = "handles only integral, floating-point and boolean types"
    _check(dtype not in _PARTS, f"{function} {text}")


def _nudged(bound: int, inward: int, dtype: str) -> int:
    """`bound`, moved inward by a step of the dtype if its inner neighbour rounds past it."""
    inner = float(_cast(np.array(bound + inward, _I64), dtype))
    inside = inner >= bound if inward > 0 else inner < bound
    if inside or not -(2.0**63) <= inner < 2.0**63:
        return bound
    step = 1 << (abs(bound + inward).bit_length() - _DIGITS[dtype])
    return int(inner) + inward * step


def _check_range(dtype: str, low: int, last: int) -> None:
    name, (least, most) = _NAMES[dtype][1], _limits(dtype)
    for label, bound in (("from", low), ("to - 1", last)):
        _check(least <= bound <= most, f"{label} is out of bounds for {name}")
    digits = _DIGITS.get(dtype, 64)
    for label, bound in (("from", low), ("to - 1", last)):
        if abs(bound) > 1 << digits:
            warnings.warn(
                f"{label} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision "
                f"limitations {name} can support discrete uniform distribution only within this "
                "range. This warning will become an error in version 1.7 release, please fix the "
                "code in advance",
                UserWarning,
                stacklevel=5,
            )


def _limits(dtype: str) -> tuple[float, float]:
    if dtype in _FLOATING:
        return -_largest(dtype), _largest(dtype)
    if dtype == "uint64":
        return 0, (1 << 63) - 1
    return (0, 1) if dtype == "bool" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


# ---------------------------------------------------------- one double, or one float, per value


def draw_bernoulli(
    generator: Generator, shape: tuple[int, ...], dtype: str, p: float | Array
) -> Array:
    """1 with probability p, else 0. An array p (floating) is broadcast to `shape`.

    An array below float64 costs one word per value, a number p and a float64 array two.
    Raises RuntimeError if a probability is not in [0, 1].
    """
    supported = _COUNTED | _FLOATING | {"bool"}
    n = math.prod(shape)
    if isinstance(p, np.ndarray):
        if n:
            _require(dtype, supported, "bernoulli_tensor_cpu_self_")
            _require(p.dtype.name, _FLOATING, "bernoulli_tensor_cpu_p_")
        p = p.astype(_F64 if p.dtype == _F64 else _F32)
        text = "Expected p_in >= 0 && p_in <= 1 to be true, but got false."
        _check(bool(((p >= 0) & (p <= 1)).all()), text)
    else:
        _check(0 <= p <= 1, f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        if n:
            _require(dtype, supported, "bernoulli_scalar_cpu_")
    single = isinstance(p, np.ndarray) and p.dtype == _F32
    uniforms = generator.floats(n) if single else generator.doubles(n)
    return (uniforms.reshape(shape) < p).astype(dtype)


def draw_dropout_mask(generator: Generator, shape: tuple[int, ...], p: float) -> Array:
    """What dropout with probability p keeps, bool; the kept values are then divided by 1 - p."""
    return draw_bernoulli(generator, shape, "bool", 1.0 - p)


def draw_exponential(
    generator: Generator, shape: tuple[int, ...], dtype: str = "float32", rate: float = 1.0
) -> Array:
    """Exponential, -log(1 - u) / rate. Raises RuntimeError unless rate > 0 and dtype floats."""
    _check(rate > 0, f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    uniforms = generator.doubles(_continuous(shape, dtype, "Exponential", 0))
    values = (-1.0 / rate) * _double(np.log1p, math.log1p, -uniforms, dtype)
    return _cast(values, dtype).reshape(shape)


def draw_cauchy(
    generator: Generator,
    shape: tuple[int, ...],
    dtype: str = "float32",
    median: float = 0.0,
    sigma: float = 1.0,
) -> Array:
    """Cauchy, median + sigma tan(pi (u - 1/2)). Raises RuntimeError unless sigma > 0."""
    _check(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    uniforms = generator.doubles(_continuous(shape, dtype, "Cauchy", 1))
    tangents = _double(np.tan, math.tan, math.pi * (uniforms - 0.5), dtype)
    return _cast(_fused(tangents, sigma, median), dtype).reshape(shape)


def draw_log_normal(
    generator: Generator,
    shape: tuple[int, ...],
    dtype: str = "float32",
    mean: float = 1.0,
    std: float = 2.0,
) -> Array:
    """exp of a normal with `mean` and `std`. Raises RuntimeError unless std > 0."""
    _check(std > 0, f"log_normal_ expects std > 0.0, but found std={std:g}")
    n = math.prod(shape)
    if n:
        _require(dtype, _FLOATING, "log_normal_cpu")
    exponents = _fused(_serial_normals(generator, n, dtype), std, mean)
    with np.errstate(over="ignore"):
        return _cast(_double(np.exp, _exp, exponents, dtype), dtype).reshape(shape)


def draw_geometric(generator: Generator, shape: tuple[int, ...], dtype: str, p: float) -> Array:
    """Trials up to the first success, ceil(log(u) / log(1 - p)). Raises RuntimeError unless
    0 < p < 1."""
    _check(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    n = math.prod(shape)
    if n:
        _require(dtype, _COUNTED | _FLOATING, "geometric_cpu")
    with np.errstate(divide="ignore"):
        trials = np.ceil(np.log(generator.doubles(n)) / math.log1p(-p))
    return _cast(trials, dtype).reshape(shape)


def _continuous(shape: tuple[int, ...], dtype: str, distribution: str, name: int) -> int:
    """The number of values; torch names the dtype its own way in one message, C++'s in another."""
    n = math.prod(shape)
    _check(
        dtype in _FLOATING,
        f"{distribution} distribution is a continuous probability distribution. "
        f"dtype must be a floating point but you specified {_NAMES[dtype][name]}",
    )
    return n


# -------------------------------------------------------------------- permutation, multinomial

_SHORT = (2**32 - 1) // 20  # below, a word is spread evenly enough over the places that are left


def draw_permutation(generator: Generator, n: int, dtype: str = "int64") -> Array:
    """The numbers 0 to n - 1 in random order: `randperm`. Raises RuntimeError if n is negative or
    the dtype cannot hold n."""
    _check(n >= 0, f"Trying to create tensor with negative dimension {n}: [{n}]")
    _require(dtype, _COUNTED | _FLOATING, "randperm")
    _check_count(n, dtype)
    if n < _SHORT:
        left = np.arange(n, 1, -1, dtype=_U32)
        target = (generator.words(left.size) % left).astype(_I64)
        order = _after_swaps(target + np.arange(left.size))[:n]
    else:
        order = _after_inserts(generator.long_words(n) % np.arange(1, n + 1, dtype=_U64))
    return _cast(order, dtype)


def _check_count(n: int, dtype: str) -> None:
    if dtype in _COUNTED:
        _check(
            n <= np.iinfo(dtype).max + (dtype != "int64"),
            f"value cannot be converted to type {dtype}_t without overflow",
        )
    elif dtype != "bfloat16":
        limit = (1 << _DIGITS[dtype]) + 1
        text = f"n cannot be greater than {limit} for {_NAMES[dtype][0]} type."
        _check(n <= limit, text)


def _grouped(key: Array) -> tuple[Array, Array]:
    """Steps ordered by key, and for each of these whether the one before has the same key."""
    packed = np.sort((key.astype(_U64) << np.uint64(32)) | np.arange(key.size, dtype=_U64))
    steps = (packed & np.uint64(0xFFFFFFFF)).astype(_I64)
    key = packed >> np.uint64(32)
    repeats = np.zeros(key.size, bool)
    np.equal(key[1:], key[:-1], out=repeats[1:])
    return steps, repeats


def _roots(parent: Array) -> Array:
    """The end of each chain i, parent[i], parent[parent[i]] ..., by doubling the step."""
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further


def _after_swaps(target: Array) -> Array:
    """0 to n - 1 after swapping place i with place target[i] >= i, for i = 0 to n - 2 in turn.

    What place i holds when its turn comes, it got from the last step that chose it as target: the
    value that step's own place held then; and so on back. Place i ends with what its target holds.
    """
    n = target.size + 1
    held = np.arange(n)
    away = np.flatnonzero(target != held[:-1])
    held[target[away]] = away  # of several steps with one target, the last stays
    held = _roots(held)
    steps, repeats = _grouped(target)
    out = np.empty(n, _I64)
    out[:-1], out[-1] = target, held[-1]
    out[steps[repeats]] = held[steps[np.flatnonzero(repeats) - 1]]
    return out


def _after_inserts(target: Array) -> Array:
    """For i = 0 to n - 1: place i takes what place target[i] <= i holds, which then takes i."""
    steps, repeats = _grouped(target)
    before = np.arange(target.size)
    before[steps[repeats]] = steps[np.flatnonzero(repeats) - 1]  # the last to choose this target
    fresh = before == np.arange(target.size)
    ends = _roots(np.where(fresh, target.astype(_I64), np.arange(target.size)))
    out = before[ends]
    out[target.astype(_I64)] = np.arange(target.size)
    return out


def draw_multinomial(
    generator: Generator, weights: Array, samples: int, replacement: bool = False
) -> Array:
    """Indices drawn with probabilities in proportion to the last axis of `weights`, int64.

    `weights` has one axis or two. Raises RuntimeError for weights that are negative or not finite,
    rows that sum to 0, and more samples than there are categories to draw without replacement.
    """
    _check_multinomial(weights, samples, replacement)
    if not weights.size:
        return np.empty((*weights.shape[:-1], samples), _I64)
    if replacement and samples > 1:
        return _with_replacement(generator, weights, samples)
    valid = bool(((weights < math.inf) & (weights >= 0)).all())
    _check(valid, "probability tensor contains either `inf`, `nan` or element < 0")
    if samples == 1:
        positive = bool((weights.astype(_F64).sum(-1) > 0).all())
        _check(positive, "invalid multinomial distribution (sum of probabilities <= 0)")
    race = write(np.empty_like(weights), draw_exponential, generator)
    with np.errstate(divide="ignore", over="ignore"):
        np.divide(weights, race, out=race)
    return _largest_first(race.astype(_F64), samples)


def _largest_first(x: Array, k: int) -> Array:
    """The places of the k largest values along the last axis, in descending order of these."""
    if k == 1:
        return x.argmax(-1, keepdims=True)
    places = np.argpartition(-x, k - 1, axis=-1)[..., :k]
    order = np.argsort(-np.take_along_axis(x, places, -1), axis=-1, kind="stable")
    return np.take_along_axis(places, order, -1)


def _check_multinomial(weights: Array, samples: int, replacement: bool) -> None:
    _check(weights.ndim in (1, 2), "prob_dist must be 1 or 2 dim")
    name = weights.dtype.name
    text = "multinomial only supports floating-point dtypes for input, got: "
    _check(name in _FLOATING, text + _NAMES[name][0])
    _check(samples > 0, "cannot sample n_sample <= 0 samples")
    enough = replacement or samples <= weights.shape[-1]
    _check(enough, "cannot sample n_sample > prob_dist.size(-1) samples without replacement")


def _with_replacement(generator: Generator, weights: Array, samples: int) -> Array:
    text = "invalid multinomial distribution ("
    _check(bool((weights >= 0).all()), f"{text}encountering probability entry < 0)")
    finite = bool((weights < math.inf).all())
    _check(finite, f"{text}encountering probability entry = infinity or NaN)")
    rows = np.atleast_2d(weights)
    sums = rows.astype(_F64 if weights.dtype == _F64 else _F32).cumsum(-1)
    _check(bool((sums[:, -1] > 0).all()), f"{text}sum of probabilities <= 0)")
    sums /= sums[:, -1:].copy()
    sums[:, -1] = 1
    uniforms = generator.doubles(len(rows) * samples).reshape(-1, samples)
    found = [row.searchsorted(u) for row, u in zip(sums.astype(_F64), uniforms, strict=True)]
    return np.array(found).reshape(*weights.shape[:-1], samples)


# ---------------------------------------------------------------------- rejection, value by value


def draw_poisson(generator: Generator, rates: Array) -> Array:
    """Poisson with each of `rates` (floating). Raises RuntimeError if one is negative or NaN."""
    _require(rates.dtype.name, _FLOATING, "poisson_cpu")
    text = "invalid Poisson rate, expected rate to be non-negative"
    _check(bool((rates >= 0).all()), text)
    with generator.tape() as draw:
        counts = [
            _by_transformed_rejection(rate, draw) if rate >= 10 else _by_product(rate, draw)
            for rate in rates.ravel().astype(_F64).tolist()
        ]
    return _cast(np.array(counts, _F64), rates.dtype.name).reshape(rates.shape)


def _by_product(rate: float, draw: Callable[[], float]) -> int:
    """Knuth's method: how many uniforms it takes to bring their product to exp(-rate), less 1."""
    count, product, least = 0, 1.0, math.exp(-rate)
    while rate:
        product *= draw()
        if product <= least:
            break
        count += 1
    return count


def _by_transformed_rejection(rate: float, draw: Callable[[], float]) -> int:
    """W. Hoermann, The transformed rejection method for generating Poisson random variables,
    Insurance: Mathematics and Economics 12 (1993), algorithm PTRS."""
    a, b, bound, log_rate, log_inverse = _poisson_box(rate)
    while True:
        u, v = draw() - 0.5, draw()
        edge = 0.5 - abs(u)
        if edge < 0.013 and v > edge:
            continue
        k = math.floor((2 * a / edge + b) * u + rate + 0.43)
        if edge >= 0.07 and v <= bound:
            return k
        if k >= 0 and (
            _log(v) + log_inverse - math.log(a / (edge * edge) + b)
            <= -rate + k * log_rate - math.lgamma(k + 1)
        ):
            return k


@lru_cache(typed=True)
def _poisson_box(rate: float) -> tuple[float, float, float, float, float]:
    b = 0.931 + 2.53 * math.sqrt(rate)
    log_inverse = math.log(1.1239 + 1.1328 / (b - 3.4))
    return -0.059 + 0.02483 * b, b, 0.9277 - 3.6224 / (b - 2), math.log(rate), log_inverse


def draw_binomial(generator: Generator, counts: Array, probabilities: Array) -> Array:
    """Binomial for each pair of a count and a probability, float32 or float64, broadcast.

    Raises ValueError unless the counts are floating, RuntimeError if the dtypes differ.
    """
    name, other = counts.dtype.name, probabilities.dtype.name
    if name not in _FLOATING:
        text = "binomial only supports floating-point dtypes for count, got: "
        raise ValueError(text + _NAMES[name][0])
    if name != other:
        raise RuntimeError(f"Found dtype {_NAMES[other][0]} but expected {_NAMES[name][0]}")
    _require(name, {"float32", "float64"}, "binomial_cpu")
    pairs = np.broadcast(counts, probabilities)
    with generator.tape() as draw:
        values = [_binomial(count, p)(draw) for count, p in pairs]
    return np.array(values, counts.dtype).reshape(pairs.shape)


@lru_cache(typed=True)
def _binomial(count: Any, p: Any) -> Callable[[Callable[[], float]], float]:
    """The method for one pair of NumPy scalars, in which float32 steps round to float32."""
    n = float(count)
    if n <= 0 or p <= 0:
        return lambda draw: 0.0
    if p >= 1 or math.isnan(p):
        return lambda draw: n if p >= 1 else math.nan
    if p > 0.5:
        failures = _binomial(count, type(p)(1.0 - float(p)))
        return lambda draw: n - failures(draw)
    if count * p < 10:
        return partial(_by_gaps, n, float(np.log1p(-p)))
    deviation = float(np.sqrt(count * p * (1 - p)))
    odds, most_likely = float(p / (1 - p)), math.floor((count + 1) * p)
    return partial(_by_binomial_box, n, float(p), float(count * p), deviation, odds, most_likely)


def _by_gaps(n: float, log_failure: float, draw: Callable[[], float]) -> float:
    """The number of successes in n trials, adding up the geometric gaps between them."""
    trials, successes = 0.0, 0
    while True:
        trials += math.ceil(_log(draw()) / log_failure)
        if trials > n:
            return successes
        successes += 1


def _by_binomial_box(
    n: float, p: float, mean: float, deviation: float, odds: float, m: float, draw: Callable[[], float]
) -> float:
    """W. Hoermann, The generation of binomial random variates, Journal of Statistical Computation
    and Simulation 46 (1993), algorithm BTRS; m is the most likely value."""
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    bound, alpha = 0.92 - 4.2 / b, (2.83 + 5.1 / b) * deviation
    while True:
        u, v = draw() - 0.5, draw()
        edge = 0.5 - abs(u)
        k = math.floor((2 * a / edge + b) * u + (mean + 0.5)) if edge else -1
        if k < 0 or k > n:
            continue
        if edge >= 0.07 and v <= bound:
            return k
        if _log(v * alpha / (a / (edge * edge) + b)) <= _log_ratio(n, k, m, odds):
            return k


def _log_ratio(n: float, k: int, m: float, odds: float) -> float:
    """log of the binomial probability of k successes over that of m, the most likely number."""
    return (
        (m + 0.5) * math.log((m + 1) / (odds * (n - m + 1)))
        + (n + 1) * math.log((n - m + 1) / (n - k + 1))
        + (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
        + (_stirling_rest(m) + _stirling_rest(n - m) - _stirling_rest(k) - _stirling_rest(n - k))
    )


_STIRLING = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
    0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
    0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_rest(k: float) -> float:
    """log k! less Stirling's approximation of it."""
    if k < 10:
        return _STIRLING[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)


def draw_gamma(generator: Generator, shapes: Array) -> Array:
    """Standard gamma (rate 1) with each of the shape parameters, float32 or float64."""
    name = shapes.dtype.name
    _require(name, {"float32", "float64"}, "gamma_cpu")
    tiny = float(np.finfo(shapes.dtype).tiny)
    with generator.tape() as draw:
        normal = _normals_from(generator, draw)
        values = [max(tiny, _gamma(a, draw, normal)) for a in shapes.ravel()]
    return np.array(values, shapes.dtype).reshape(shapes.shape)


def draw_dirichlet(generator: Generator, concentrations: Array) -> Array:
    """Dirichlet along the last axis: gamma values in float64 over their sum, float32 or float64."""
    _require(concentrations.dtype.name, {"float32", "float64"}, "dirichlet")
    values = draw_gamma(generator, concentrations.astype(_F64))
    values /= values.sum(-1, keepdims=True)
    info = np.finfo(concentrations.dtype)
    return values.astype(concentrations.dtype).clip(info.tiny, 1 - info.epsneg)


_THIRD, _SQUEEZE = np.float32(1) / np.float32(3), float(np.float32(0.0331))


def _gamma(alpha: Any, draw: Callable[[], float], normal: Callable[[], float]) -> float:
    """G. Marsaglia and W. W. Tsang, A simple method for generating gamma variables, ACM
    Transactions on Mathematical Software 26 (2000); below 1 through the value for alpha + 1."""
    if alpha <= 0:
        return 0.0
    power, d, c = _gamma_box(alpha)
    scale = (1 - draw()) ** power if power else 1.0
    while True:
        x = normal()
        y = 1 + c * x
        if y <= 0:
            continue
        v, u, square = y * y * y, 1 - draw(), x * x
        if u < 1 - _SQUEEZE * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


@lru_cache(typed=True)
def _gamma_box(alpha: Any) -> tuple[float, float, float]:
    one, third = type(alpha)(1), type(alpha)(_THIRD)
    boost = alpha < 1
    d = float((alpha + one if boost else alpha) - third)
    return float(one / alpha) if boost else 0.0, d, 1 / math.sqrt(9 * d)


def _normals_from(generator: Generator, draw: Callable[[], float]) -> Callable[[], float]:
    """The function that gives the next standard normal, in pairs and cached as torch's are."""

    def normal() -> float:
        cached, generator.cached_normal = generator.cached_normal, None
        if cached is not None:
            return cached
        angle, radius = 2.0 * math.pi * draw(), math.sqrt(-2.0 * math.log1p(-draw()))
        generator.cached_normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    return normal


# --------------------------------------------------------------------------- into strided memory


def write(out: Array, draw: Callable[..., Array], generator: Generator, *parameters: Any) -> Array:
    """Fill `out` with draw(generator, shape, dtype, *parameters) in the order torch does.

    That is the order of the addresses, whatever the order of the axes. Array parameters are
    broadcast to the shape of `out`. Returns `out`.
    """
    if out.flags.c_contiguous:
        out[...] = draw(generator, out.shape, out.dtype.name, *parameters)
        return out
    axes = sorted(range(out.ndim), key=lambda axis: -out.strides[axis])
    ordered = [
        np.broadcast_to(p, out.shape).transpose(axes) if isinstance(p, np.ndarray) else p
        for p in parameters
    ]
    target = out.transpose(axes)
    strided = {"contiguous": False} if draw is draw_normal else {}
    target[...] = draw(generator, target.shape, out.dtype.name, *ordered, **strided)
    return out
