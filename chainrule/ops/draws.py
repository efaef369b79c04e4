"""Random numbers inside vmap: the same for every example, different ones, or an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays.batch import BatchArray
from ..arrays.duck import Duck, highest
from ..arrays.levels import stack
from ..tape import state


class Draw:
    """draw(shape, *given): a function of `rng`, with the generator, the dtype's name and the
    parameters that it is to have; what a compiled program may do itself.
    """

    __slots__ = ("function", "generator", "name", "parameters")

    def __init__(self, function: Callable, generator: Any, name: str, *parameters: Any) -> None:
        self.function, self.generator = function, generator
        self.name, self.parameters = name, parameters

    def __call__(self, shape: tuple, *given: Any) -> Any:
        given = tuple([np.asarray(a) for a in given])
        return self.function(self.generator, shape, self.name, *self.parameters, *given)


def drawn(draw: Callable, shape: tuple, *given: Any, singly: bool = False) -> Any:
    """draw(shape, *given), a fresh array of random numbers, as the vmaps that run ask for.

    `given` are arrays that say how to draw (chances, weights); they may differ by example.
    `singly`: the draw cannot make several arrays at once. Raises RuntimeError in a vmap with
    randomness "error", and for "same" numbers from chances that differ.
    """
    batches = [level for level in stack.levels if level.randomness]
    if any(b.randomness == "error" for b in batches):
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the"
            " 'same' or 'different' randomness flags on vmap or perform the randomness operation"
            " out of vmap"
        )
    plain = tuple([a.constant() if isinstance(a, Duck) else a for a in given])
    return _drawn(batches, draw, shape, plain, singly or bool(given))


def _drawn(batches: list, draw: Callable, shape: tuple, given: tuple, singly: bool) -> Any:
    top = highest(given)
    if top is not None and not top.ground:
        own = next((b for b in batches if b.number == top.level), None)
        if own is not None and own.randomness == "same":
            raise RuntimeError(
                "Vmap does not currently support same randomness with a batched tensor input"
            )
        others = [b for b in batches if b is not own]
        return top.fallback(
            lambda *each: _drawn(others, draw, shape, each, singly), lambda *_: None, given
        )
    different = [b for b in batches if b.randomness == "different"]
    sizes = tuple(b.size for b in different)

    def fresh(*given: Any) -> Any:
        return _repeated(draw, sizes, shape, given) if singly else draw((*sizes, *shape))

    if state.capture is None:
        array = state.run(fresh, *given)
    else:
        what = None if singly and sizes else (draw, (*sizes, *shape))
        array = state.capture.draw(fresh, *given, what=what)
    for b in different:
        array = BatchArray(array, b.number)
    return array


def _repeated(draw: Callable, sizes: Sequence, shape: tuple, given: tuple) -> Any:
    if not sizes:
        return draw(shape, *given)
    rows = [_repeated(draw, sizes[1:], shape, given) for _ in range(sizes[0])]
    return np.stack(rows) if rows else np.zeros((0, *sizes[1:], *shape))


def check_target(data: Any) -> bool:
    """Whether vmaps with randomness run, of which the tensor to be filled in place may not be an
    example; "different" numbers do not fit in it then.
    """
    batches = [level for level in stack.levels if level.randomness]
    own = {data.level} if isinstance(data, Duck) else set()
    if any(b.randomness == "different" and b.number not in own for b in batches):
        raise RuntimeError(
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will"
            " appear like same randomness. If this is necessary for your usage, please file an"
            " issue with functorch."
        )
    return bool(batches)
