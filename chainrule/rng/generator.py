"""The engine: MT19937 by NumPy, with torch's seeding, state format and cached normal value.

The engine is made and seeded by the first draw, so that a generator costs nothing until then. NumPy
keeps 624 words and the position of the next one; torch keeps the words that are `left`, too, and
counts them so that 1 means none (the next draw makes 624 new ones). A freshly seeded generator and
one that has used up its words differ in nothing but torch's `next`, hence `_fresh`.
"""

from __future__ import annotations

import functools
import operator
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np

from .kinds import F32, F64, I32, U32, U64, check
from .rounding import Array

DEFAULT_SEED = 67280421310721
_FIELDS = "seed left seeded next words x normal rho has_normal gap float_normal has_float_normal"
_TYPES = "<u8 <i4 <i4 <u8 624<u8 <f8 <f8 <f8 <i4 <i4 <f4 <i4"
_STATE = np.dtype(list(zip(_FIELDS.split(), _TYPES.split(), strict=True)))


class Generator:
    """A stream of pseudo-random numbers: torch's CPU generator.

    Each draw holds `lock`. `device` is kept for the caller.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = device
        self.lock = threading.RLock()
        self._bits: Any = None
        self._located: tuple[Any, int] = None, 0
        self.moments: list[Moment] = []
        self.pair = np.zeros(2)  # whether a normal value is cached, and which
        self.manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed`, in [-2**63, 2**64), of which the lowest 32 bits count.

        Raises ValueError outside that range, RuntimeError for anything but an integer.
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError("Overflow when unpacking long long")
        with self.lock:
            if self.moments:
                self._keep_moments()
            self._begin(int(seed) % (1 << 64))
        return self

    @property
    def cached_normal(self) -> float | None:
        """The second half of a pair of normal values, if its turn has not come yet."""
        return float(self.pair[1]) if self.pair[0] else None

    @cached_normal.setter
    def cached_normal(self, value: float | None) -> None:
        self.pair[:] = (0, 0) if value is None else (1, value)

    def memory(self) -> int:
        """The address of the engine's own memory, from which the caller is about to draw: 624 words
        of 32 bits, and the place of the next one.
        """
        engine = self._engine()
        if engine is not self._located[0]:
            self._located = engine, engine.ctypes.state_address
        self._fresh = False
        return self._located[1]

    def seed(self) -> int:
        """Start the stream of a 64-bit seed from the operating system, and return that seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with, in [0, 2**64)."""
        return self._seed

    def state_bytes(self) -> Array:
        """The state as torch's `get_state` lays it out: 5056 bytes, uint8."""
        state = np.zeros(1, _STATE)
        with self.lock:
            engine = self._engine().state["state"]
            position = int(engine["pos"])
            state["seed"], state["seeded"], state["words"] = self._seed, 1, engine["key"]
            state["left"], state["next"] = 625 - position, 0 if self._fresh else position
            if self.cached_normal is not None:
                state["normal"], state["has_normal"] = self.cached_normal, 1
        return state.view(np.uint8)

    def set_state_bytes(self, state: Array) -> None:
        """Go on from a state that `state_bytes`, or torch's `get_state`, gave.

        Raises TypeError unless `state` is a uint8 array, RuntimeError unless it is contiguous, has
        5056 elements, and is a state that the engine can be in.
        """
        record = _record(state)
        engine = {"key": record["words"].astype(U32), "pos": 625 - int(record["left"])}
        with self.lock:
            bits = self._engine()
            self._seed = int(record["seed"])
            bits.state = {"bit_generator": "MT19937", "state": engine}
            self._fresh = record["next"] == 0
            self.cached_normal = float(record["normal"]) if record["has_normal"] else None

    def way_back(self) -> Callable[[], Any]:
        """What brings the stream back to where it is now; no engine is made for one that has not
        begun.
        """
        with self.lock:
            if self._stale and self.cached_normal is None:
                return functools.partial(self._begin, self._seed)
            return functools.partial(self.set_state_bytes, self.state_bytes())

    def _begin(self, seed: int) -> None:
        """Start anew, for `manual_seed` and for what undoes a run."""
        with self.lock:
            self._seed = seed
            self._stale = self._fresh = True
            self.cached_normal = None

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self.device, "state": self.state_bytes()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        Generator.__init__(self, saved["device"])
        self.set_state_bytes(saved["state"])

    def _keep_moments(self) -> None:
        """Give those who asked for it the state, which is about to change."""
        moments, self.moments = self.moments, []
        state = self.state_bytes()
        for moment in moments:
            moment.state = state

    def _engine(self) -> Any:
        if self.moments:
            self._keep_moments()
        if self._bits is None:
            self._bits = np.random.MT19937(0)
            self._many = np.random.Generator(self._bits).integers
        if self._stale:
            np.random.RandomState(self._bits).seed(self._seed & 0xFFFFFFFF)
            self._stale = False
        return self._bits

    def words(self, n: int) -> Array:
        """The next n words of 32 bits, uint32."""
        with self.lock:
            bits = self._engine()
            self._fresh = self._fresh and n == 0
            if n < 1024:  # random_raw starts sooner, but makes 64-bit integers
                return bits.random_raw(n).astype(U32)
            return self._many(0, 1 << 32, n, dtype=np.uint32)

    def long_words(self, n: int) -> Array:
        """The next n words of 64 bits, uint64."""
        words = self.words(2 * n)
        out = words[::2].astype(U64)
        out <<= np.uint64(32)
        out |= words[1::2]
        return out

    def floats(self, n: int) -> Array:
        """The next n multiples of 2**-24 in [0, 1), float32."""
        words = self.words(n)
        words &= np.uint32(0xFFFFFF)
        out = words.view(I32).astype(F32)
        out *= np.float32(2**-24)
        return out

    def doubles(self, n: int) -> Array:
        """The next n multiples of 2**-53 in [0, 1), float64."""
        words = self.words(2 * n)
        out = (words[::2] & np.uint32(0x1FFFFF)).astype(F64)
        out *= 2.0**32
        out += words[1::2]
        out *= 2.0**-53
        return out

    @contextmanager
    def tape(self) -> Iterator[Callable[[], float]]:
        """A function that gives the next double; on leaving, what was drawn ahead is put back."""
        with self.lock:
            start, fresh = self._engine().state, self._fresh
            drawn, rest = 0, iter(())

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


class Moment:
    """The state that a generator has now, written down when it is about to change.

    Writing it down takes longer than many a draw; where nothing is drawn it costs nothing.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.state: Array | None = None
        self.traced: Any = None  # in a capture, the state as the program has it
        with generator.lock:
            generator.moments.append(self)

    def close(self) -> None:
        """Watch no longer; `state` is None if nothing has changed since."""
        with self.generator.lock:
            if self in self.generator.moments:
                self.generator.moments.remove(self)

    def come_back(self) -> None:
        """Put the generator where it was, if it has changed since; watch no longer."""
        self.close()
        if self.state is not None:
            self.generator.set_state_bytes(self.state)


def _record(state: Array) -> Any:
    """The fields of a state in torch's layout, checked."""
    if not isinstance(state, np.ndarray):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
    if state.dtype != np.uint8:
        raise TypeError("RNG state must be a torch.ByteTensor")
    check(state.flags.c_contiguous, "RNG state must be contiguous")
    expected = f"Expected a CPUGeneratorImplState of size {_STATE.itemsize}"
    found = f"but found the input RNG state size to be {state.size}"
    check(state.size == _STATE.itemsize, f"{expected} {found}")
    record = state.reshape(-1).view(_STATE)[0]
    left, place = int(record["left"]), int(record["next"])
    known = 1 <= left <= 624 and place in ((0, 624) if left == 1 else (625 - left,))
    check(known and bool(record["seeded"]), "Invalid mt19937 state")
    return record


default_generator = Generator()
