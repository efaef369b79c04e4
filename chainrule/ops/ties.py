"""Which of equal elements a selection takes.

Nothing says which, but torch's CPU code always takes the same: what its algorithms happen to leave
in that place. They are introselect (C++'s nth_element) and quickselect, both by swaps around a
median of three, so equal elements do not stay in order. Programs that print places, or send a
gradient to one of several equal elements, depend on it; so rows with equal elements are gone
through here step by step as there. That is slow, and done for small tensors only: of more than
`FEW` elements, equal ones are taken in order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.duck import Duck
from ..arrays.duck import highest as array_type
from ..tape import state

FEW = 1024
SHORT = 16  # up to this length introsort leaves the work to an insertion sort, which is stable


def retied(x: Any, places: Any, axis: int, pick: Callable[[list], list]) -> Any:
    """`places` of elements along `axis`; where a row has equal ones, as `pick` takes them."""
    x, places = (a.constant() if isinstance(a, Duck) else a for a in (x, places))
    top = array_type((x, places))
    if top is not None and top.ground and x.size <= FEW and state.capture is not None:
        order = np.sort(x, axis=axis).swapaxes(axis, -1)
        tied = ~(order[..., :-1] < order[..., 1:])
        again = functools.partial(retied, axis=axis, pick=pick)
        return state.capture.unless(again, tied, places, (x, places)) if tied.size else places
    if top is not None and x.size <= FEW:
        return top.fallback(lambda a, at: retied(a, at, axis, pick), None, (x, places))
    if x.size > FEW or type(x) is not np.ndarray:
        return places
    order = np.sort(x, axis=axis).swapaxes(axis, -1)
    distinct = order[..., :-1] < order[..., 1:]
    if distinct.all():
        return places
    out = places.swapaxes(axis, -1).copy()
    rows = x.swapaxes(axis, -1)
    for at in map(tuple, np.argwhere(~distinct.all(axis=-1))):
        out[at] = pick(np.unique(rows[at], return_inverse=True)[1].tolist())
    return out.swapaxes(axis, -1)


def lowest(k: int, ordered: bool) -> Callable:
    """The places of the `k` lowest ranks, as introselect and (if `ordered`) introsort leave them.

    `pick` is given the rank of each element of a row, and returns the places.
    """

    def pick(rank: list) -> list:
        order = list(range(len(rank)))
        select(order, rank, k - 1)
        if ordered:
            split(order, rank, 0, k - 1)
            order[: k - 1] = sorted(order[: k - 1], key=rank.__getitem__)
        return order[:k]

    return pick


def highest(k: int, ordered: bool) -> Callable:
    """The places of the `k` highest ranks."""
    pick = lowest(k, ordered)
    return lambda rank: pick([-r for r in rank])


def nth(k: int) -> Callable:
    """The place that quickselect leaves at `k`."""

    def pick(rank: list) -> list:
        order = list(range(len(rank)))
        low, high = 0, len(rank) - 1
        while high > low + 1:
            end, start = hoare(order, rank, low, high)
            low, high = (start if end <= k else low), (end - 1 if end >= k else high)
        if high == low + 1 and rank[order[low]] > rank[order[high]]:
            swap(order, low, high)
        return [order[k]]

    return pick


def hoare(order: list, rank: list, low: int, high: int) -> tuple[int, int]:
    """Part lower ranks from higher by a median of three: its place, and where the higher begin."""
    swap(order, low + (high - low) // 2, low + 1)
    for a, b in ((low + 1, high), (low, high), (low + 1, low)):
        if rank[order[a]] > rank[order[b]]:
            swap(order, a, b)
    i, j, pivot = low + 1, high, rank[order[low]]
    while True:
        i += 1
        while pivot > rank[order[i]]:
            i += 1
        j -= 1
        while rank[order[j]] > pivot:
            j -= 1
        if j < i:
            break
        swap(order, i, j)
    swap(order, low, j)
    return j, i


def swap(order: list, i: int, j: int) -> None:
    """Exchange two elements."""
    order[i], order[j] = order[j], order[i]


def select(order: list, rank: list, nth: int) -> None:
    """Introselect: reorder so that `order[nth]` has the rank it would have in order."""
    first, last = 0, len(order)
    while last - first > 3:
        cut = partition(order, rank, first, last)
        first, last = (cut, last) if cut <= nth else (first, cut)
    order[first:last] = sorted(order[first:last], key=rank.__getitem__)


def split(order: list, rank: list, first: int, last: int) -> None:
    """Introsort down to short pieces, which a stable sort may finish."""
    while last - first > SHORT:
        cut = partition(order, rank, first, last)
        split(order, rank, cut, last)
        last = cut


def partition(order: list, rank: list, first: int, last: int) -> int:
    """Move a median of three in front, lower ranks before the returned place, higher ones after."""
    median = median_of_three(order, rank, first + 1, first + (last - first) // 2, last - 1)
    swap(order, first, median)
    pivot, i, j = rank[order[first]], first + 1, last
    while True:
        while rank[order[i]] < pivot:
            i += 1
        j -= 1
        while pivot < rank[order[j]]:
            j -= 1
        if i >= j:
            return i
        swap(order, i, j)
        i += 1


def median_of_three(order: list, rank: list, a: int, b: int, c: int) -> int:
    """Which of three places holds the middle rank, in the order C++ asks."""
    x, y, z = rank[order[a]], rank[order[b]], rank[order[c]]
    if x < y:
        return b if y < z else c if x < z else a
    return a if x < z else c if y < z else b
