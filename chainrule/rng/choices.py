"""Permutations, and choices in proportion to weights."""

from __future__ import annotations

import math

import numpy as np

from .generator import Generator
from .kinds import DIGITS, F32, F64, FLOATING, I64, INTEGERS, NAMES, U32, U64, check, require
from .rounding import Array, cast
from .strided import write
from .uniforms import draw_exponential

_SHORT = (2**32 - 1) // 20  # so few places that a word spreads over them evenly enough


def draw_permutation(generator: Generator, n: int, dtype: str = "int64") -> Array:
    """The numbers from 0 to n - 1 in random order: `randperm`.

    Raises RuntimeError if n is negative or more than `dtype` can count.
    """
    check(n >= 0, f"Trying to create tensor with negative dimension {n}: [{n}]")
    _check_count(n, dtype)
    require(dtype, INTEGERS + FLOATING, "randperm")
    if n < _SHORT:
        left = np.arange(n, 1, -1, dtype=U32)
        target = (generator.words(left.size) % left).astype(I64)
        target += np.arange(left.size)
        return cast(_after_swaps(target)[:n], dtype)
    target = generator.long_words(n) % np.arange(1, n + 1, dtype=U64)
    return cast(_after_inserts(target.view(I64)), dtype)


def _check_count(n: int, dtype: str) -> None:
    if dtype in INTEGERS and dtype != "int64":
        text = f"value cannot be converted to type {dtype}_t without overflow"
        check(n <= np.iinfo(dtype).max + 1, text)
    elif dtype in FLOATING and dtype != "bfloat16":
        most = (1 << DIGITS[dtype]) + 1
        check(n <= most, f"n cannot be greater than {most} for {NAMES[dtype][0]} type.")


def _after_swaps(target: Array) -> Array:
    """0 to n - 1 after swapping place i with place target[i] >= i, for i = 0 to n - 2 in turn.

    What place i holds when its turn comes was put there by the last step that had it as target:
    what the place of that step held at its turn, and so on back. Swapped away, it goes to the next
    step with the same target.
    """
    held = np.arange(target.size + 1)
    away = np.flatnonzero(target != held[:-1])
    held[target[away]] = away  # of several steps with one target, the last counts
    held = _ends(held)
    step, before = _repeats(target)
    out = np.append(target, held[-1])
    out[step] = held[before]
    return out


def _after_inserts(target: Array) -> Array:
    """What comes of letting, for i = 0 to n - 1 in turn, place i take what place target[i] <= i
    holds, and that place take the number i.
    """
    numbers = np.arange(target.size)
    step, before = _repeats(target)
    taken = numbers.copy()
    taken[step] = before
    source = target.copy()
    source[step] = step
    out = taken[_ends(source)]
    out[target] = numbers
    return out


def _repeats(target: Array) -> tuple[Array, Array]:
    """The steps whose target an earlier step had, and for each the last such step before it."""
    order = np.sort((target.astype(U64) << np.uint64(32)) | np.arange(target.size, dtype=U64))
    step = (order & np.uint64(0xFFFFFFFF)).astype(I64)
    order >>= np.uint64(32)
    again = np.flatnonzero(order[1:] == order[:-1])
    return step[again + 1], step[again]


def _ends(link: Array) -> Array:
    """Where i, link[i], link[link[i]] ... comes to rest, for each i: by doubling the stride."""
    while True:
        further = link[link]
        if np.array_equal(further, link):
            return link
        link = further


def draw_multinomial(
    generator: Generator, weights: Array, samples: int, replacement: bool = False
) -> Array:
    """Places drawn in proportion to the weights along the last axis (of one or two), int64.

    Raises RuntimeError for weights that are negative, not finite or sum to 0, and for more samples
    than there are weights to draw from without replacement.
    """
    _check_arguments(weights, samples, replacement)
    if not weights.size:
        return np.empty((*weights.shape[:-1], samples), I64)
    if replacement and samples > 1:
        return _found_in_sums(generator, weights, samples)
    valid = bool(((weights < math.inf) & (weights >= 0)).all())
    check(valid, "probability tensor contains either `inf`, `nan` or element < 0")
    if samples == 1:
        _check_sums(weights.astype(F64).sum(-1))
    race = write(np.empty_like(weights), draw_exponential, generator)
    with np.errstate(divide="ignore", over="ignore"):
        np.divide(weights, race, out=race)
    return _largest_first(race.astype(F64), samples)


def _check_arguments(weights: Array, samples: int, replacement: bool) -> None:
    check(weights.ndim in (1, 2), "prob_dist must be 1 or 2 dim")
    name = weights.dtype.name
    text = "multinomial only supports floating-point dtypes for input, got: "
    check(name in FLOATING, text + NAMES[name][0])
    check(samples > 0, "cannot sample n_sample <= 0 samples")
    text = "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    check(replacement or samples <= weights.shape[-1], text)


def _check_sums(sums: Array) -> None:
    check(bool((sums > 0).all()), "invalid multinomial distribution (sum of probabilities <= 0)")


def _largest_first(x: Array, k: int) -> Array:
    """The places of the k largest values along the last axis, the largest first."""
    if k == 1:
        return x.argmax(-1, keepdims=True)
    places = np.argpartition(-x, k - 1, axis=-1)[..., :k]
    order = np.argsort(-np.take_along_axis(x, places, -1), axis=-1, kind="stable")
    return np.take_along_axis(places, order, -1)


def _found_in_sums(generator: Generator, weights: Array, samples: int) -> Array:
    text = "invalid multinomial distribution (encountering probability entry "
    check(bool((weights >= 0).all()), f"{text}< 0)")
    check(bool((weights < math.inf).all()), f"{text}= infinity or NaN)")
    rows = np.atleast_2d(weights)
    sums = rows.astype(F64 if weights.dtype == F64 else F32).cumsum(-1)
    _check_sums(sums[:, -1])
    sums /= sums[:, -1:].copy()
    sums[:, -1] = 1
    uniforms = generator.doubles(len(rows) * samples).reshape(-1, samples)
    places = [row.searchsorted(u) for row, u in zip(sums.astype(F64), uniforms, strict=True)]
    return np.array(places).reshape(*weights.shape[:-1], samples)
