"""Forward mode as functions of functions: jvp, jacfwd, linearize."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..arrays.boundary import tangent_part, value_part
from ..arrays.levels import Captor
from ..autograd.forward_ad import dual, is_dual
from ..autograd.reverse import zeros_like
from ..ops import define
from .arguments import check_outputs, chosen, parts_of, replaced
from .batching import vmap
from .pullback import basis, cut, recorded, refuse_complex, vjp
from .trees import leaves, mapped, rebuild, shape_of

HEAD = "jvp(f, primals, tangents)"


def jvp(
    func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """(func(*primals), the derivative of func at `primals` in the direction `tangents`[, aux]), in
    one forward pass.

    `tangents` has the structure of `primals`, a tuple. With `strict`, an output that does not
    depend on the inputs is an error. Raises RuntimeError for structures that do not match.
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"{HEAD}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    if shape_of(primals) != shape_of(tangents):
        raise RuntimeError(
            f"{HEAD}: Expected primals and tangents to have the same python structure. For"
            " example, if primals is a tuple of 3 tensors, tangents also must be. Got primals with"
            f" structure {shape_of(primals)} and tangents with structure {shape_of(tangents)}"
        )
    flat, directions = leaves(primals), leaves(tangents)
    _check_tensors(flat, "primals")
    _check_tensors(directions, "tangents")
    with Captor(func) as level:
        number = level.number
        duals = [dual(p, t, number) for p, t in zip(flat, directions, strict=True)]
        level.given = duals
        out = func(*rebuild(primals, iter(duals)))
        if has_aux:
            out, aux = parts_of(out, f"{HEAD}: ")
            aux = mapped(lambda t: _value(t, number), aux)
        outs = leaves(out)
        check_outputs(HEAD, outs, out)
        values = [_value(o, number) for o in outs]
        slopes = [_tangent(o, number, strict) for o in outs]
    found = rebuild(out, iter(values)), rebuild(out, iter(slopes))
    return (*found, aux) if has_aux else found


def _value(t: Any, level: int) -> Any:
    if not is_dual(t, level):
        return t
    return value_part.op.entry(t, level)


def _tangent(t: Any, level: int, strict: bool) -> Any:
    if is_dual(t, level):
        return tangent_part.op.entry(t, level)
    if strict:
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the"
            " inputs. This is not allowed with strict=True."
        )
    return zeros_like(t)


def jacfwd(
    func: Callable, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """A function that returns the Jacobian of `func` in its argument(s) `argnums`, by forward mode:
    for each output and input a tensor of shape output.shape + input.shape.
    """

    @functools.wraps(func, updated=())
    def jacobian(*args: Any) -> Any:
        refuse_complex("jacfwd", args, "inputs")
        selected = chosen(args, argnums)
        inputs = (selected,) if isinstance(argnums, int) else selected
        flat = leaves(inputs)

        def pushed(*directions: Any) -> Any:
            def of_chosen(*given: Any) -> Any:
                return func(*replaced(args, given, argnums))

            found = jvp(of_chosen, inputs, rebuild(inputs, iter(directions)), has_aux=has_aux)
            refuse_complex("jacfwd", found[0], "outputs")
            return found[1:]

        dims = (0, None) if has_aux else (0,)
        columns, *aux = vmap(pushed, out_dims=dims, randomness=randomness)(*basis(flat))
        result = mapped(lambda c: _by_input(c, flat, inputs, argnums), columns)
        return (result, aux[0]) if has_aux else result

    return jacobian


def _by_input(columns: Any, flat: list, inputs: tuple, argnums: Any) -> Any:
    """Columns of a Jacobian, of all inputs together, cut into one for each input, in its shape."""
    found, start = [], 0
    moved = columns.movedim(0, -1)
    for t in flat:
        n, whole = t.numel(), (*columns._data.shape[1:], *t._data.shape)
        part = moved if len(flat) == 1 else moved.narrow(-1, start, n)
        found.append(part if part._data.shape == whole else part.reshape(whole))
        start += n
    cut = rebuild(inputs, iter(found))
    return cut[0] if isinstance(argnums, int) else cut


def linearize(func: Callable, *primals: Any) -> tuple:
    """(func(*primals), its derivative there as a linear function of tangents), for many tangents at
    one point: the function is evaluated once, the linear map replays the tape.
    """
    out, pullback = recorded(func, primals)
    zeros = mapped(zeros_like, out)

    def pushed(*tangents: Any) -> Any:
        if shape_of(tangents) != shape_of(primals):
            raise RuntimeError(
                "Expected the tangents given to linearized function to have the same structure as"
                f" the primals: {shape_of(primals)}, got {shape_of(tangents)}"
            )
        for p, t in zip(leaves(primals), leaves(tangents), strict=True):
            if p.shape != t.shape or p.dtype != t.dtype:
                raise RuntimeError(
                    f"Expected tangent of shape {list(p.shape)} and dtype {p.dtype}, got"
                    f" {list(t.shape)} and {t.dtype}"
                )
        _, transposed = vjp(lambda *w: pullback(rebuild(out, iter(w))), *leaves(zeros))
        found = iter(transposed(tangents))
        outer = any(t.requires_grad for t in (*leaves(out), *leaves(tangents)))
        return mapped(lambda _: next(found) if outer else cut(next(found)), out)

    return out, pushed


def _check_tensors(found: list, name: str) -> None:
    if not found:
        raise RuntimeError(f"{HEAD}: Expected {name} to contain at least one Tensor.")
    for t in found:
        if not isinstance(t, define.Tensor):
            raise RuntimeError(f"{HEAD}: Expected {name} to only contain Tensors, got {type(t)}")
