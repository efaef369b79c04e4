"""Finished plans that outlive the process: a program that was compiled before is only looked up.

What is kept is data: the table of records with the names of their kernels, where every slot of the
plan comes from, the constants that passes made, and the name under which the machine code is kept.
The key is a digest of the captured program, as it was before any pass, and of all that decides what
becomes of it. Tensors have no identity there but their place among the program's inputs, so that
the next process, whose tensors are others, finds the plan of this one; and neither kernels nor
routines have an address there. A program that calls Python is not kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..namespace import get_num_threads
from . import blas, cache, draws, foreign, lapack, machine, products, routines, runtime
from .program import Program, Value
from .runtime import Record

LIBRARY = "lapack."  # before the name of a routine
PRODUCT = "product "  # and of one of our own for products
INPUT, OUTPUT, CONSTANT, MADE = range(4)  # where the memory of a slot comes from
UNSPEAKABLE = (" at 0x", "array(")  # in the text of an argument that says not all that it is


class Kept:
    """A plan, and what an entry has to know of how it was made.

    Attributes:
        plan: ready to run.
        inputs: those of the program.
        arguments: for each array that comes with a call, (INPUT or OUTPUT, its number among the
            program's inputs or outputs).
        used: the inputs that are read.
        code: what holds its kernels, which live as long as this.
    """

    def __init__(
        self,
        plan: Any,
        inputs: Sequence[Value],
        arguments: Sequence[tuple[int, int]],
        used: Sequence[int],
        code: Any,
    ) -> None:
        self.plan, self.arguments, self.code = plan, arguments, code
        self.inputs, self.used = inputs, {inputs[n] for n in used}


def prepared(
    program: Program,
    outputs: Sequence[Any],
    fixed: dict[Value, Any],
    layouts: dict[Value, tuple],
    make: Callable[[], Any],
) -> Kept:
    """The plan of a program: that of an earlier process, or that of the planner that `make`
    returns, which is kept for later ones.

    Args:
        program, outputs, fixed, layouts: as the planner gets them, or what it gets comes of them.
        make: plans the program.
    """
    key = key_of(program, outputs, fixed, layouts) if machine.available() else None
    found = None if key is None else load(key, program, outputs, fixed)
    if found is not None:
        return found
    constants = len(program.constants)
    planner = make()
    if key is not None:
        store(key, planner, program, constants)
    sources = sources_of(program, planner.outputs)
    arguments = [sources[v] for v in planner.arguments]
    used = used_by(planner.program, program)
    return Kept(planner.plan, program.inputs, arguments, used, planner)


# -- the key ---------------------------------------------------------------------------------------


def key_of(
    program: Program, outputs: Sequence[Any], fixed: dict[Value, Any], layouts: dict[Value, tuple]
) -> str | None:
    """The name under which the plan of a captured program is kept; None if it cannot be kept.

    Args:
        program: as captured; its outputs are not looked at.
        outputs, fixed, layouts: as the planner gets them.
    """
    if any(i.name == "python" and not draws.said(i) for i in program.instructions):
        return None
    given = [(v.number, v.shape, str(v.dtype), v in fixed, layouts.get(v)) for v in program.inputs]
    wanted = [
        (o.value.number, None if o.target is None else o.target.number, o.array is None)
        for o in outputs
    ]
    done = [
        (i.name, i.args, i.kwargs, [v if v is None else (v.shape, v.dtype.char) for v in i.outputs])
        for i in program.instructions
    ]
    text = repr(done)
    if any(word in text for word in UNSPEAKABLE):
        return None
    whole = hashlib.sha256(f"{setting()}\n{given}\n{wanted}\n{text}\n".encode())
    for v in program.constants:
        whole.update(f"{v.number} {v.shape} {v.dtype}\n".encode())
        whole.update(np.ascontiguousarray(v.data))
    return whole.hexdigest()


def setting() -> str:
    """All that decides what becomes of a program, besides itself."""
    return f"{machine.setting()}\n{np.__version__}\n{sources()}\n{blas.CORES} {get_num_threads()}"


@functools.cache
def sources() -> str:
    """Which version of the compiler this is: while it is worked on, its files change, and the
    version's number does not.
    """
    folder = Path(__file__).parent
    files = sorted(folder.glob("*.py"))
    states = [(f.name, os.stat(f)) for f in files]
    return repr((str(folder), [(name, s.st_size, s.st_mtime_ns) for name, s in states]))


# -- writing ---------------------------------------------------------------------------------------


def store(key: str, planner: Any, captured: Program, constants: int) -> None:
    """Keep the plan that a planner has made.

    Args:
        key: from `key_of`, before any pass.
        planner: with its plan.
        captured: the captured program.
        constants: how many constants it had before any pass.
    """
    named = {planner.code.address(name): name for name in planner.names.values()}
    named |= runtime.kernels | {at: f"{LIBRARY}{name}" for at, name in lapack.names.items()}
    named |= foreign.names | {at: f"{PRODUCT}{place}" for at, place in products.places.items()}
    if planner.generators:
        named |= {draws.engine().address(draws.WORD_SOURCE): draws.WORD_SOURCE}
    unfit = planner.calls or any(map(callable, planner.errors))
    if unfit or any(r.function not in named for r in planner.records):
        return
    if not all(r.lasting for r in planner.routines.values()):
        return
    numbers = {v: (CONSTANT, n) for n, v in enumerate(captured.constants[:constants])}
    numbers |= sources_of(captured, planner.outputs)
    arrays: list[Any] = []
    fixed = []
    for v, array in planner.fixed_arrays().items():
        if v not in numbers:
            numbers[v] = (MADE, len(arrays))
            arrays.append(array)
        fixed.append((planner.slots[v], *numbers[v]))
    head = {
        "code": planner.code.name,
        "records": [
            (named[r.function], whole(r.slots), spoken(r.params, named), r.extent, r.grain, r.blas)
            for r in planner.records
        ],
        "slots": len(planner.slots),
        "arguments": [(planner.slots[v], *numbers[v]) for v in planner.arguments],
        "fixed": fixed,
        "arena": planner.arena,
        "places": [(planner.slots[v], at) for v, at in planner.offsets.items()],
        "release": planner.releases(),
        "errors": planner.errors,
        "generators": draws.slots_of(planner),
        "used": used_by(planner.program, captured),
        "made": [(a.dtype.str, a.shape) for a in arrays],
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    cache.store(key, b"".join([struct.pack("<Q", len(text)), text, *(a.tobytes() for a in arrays)]))


def sources_of(captured: Program, outputs: Sequence[Any]) -> dict[Value, tuple[int, int]]:
    """Where the values that a plan is given, and those that it gives back, come from."""
    found = {o.value: (OUTPUT, n) for n, o in enumerate(outputs)}
    fresh = [(n, o) for n, o in enumerate(outputs) if o.target is None and o.array is None]
    found |= {o.value: (OUTPUT, n) for n, o in fresh}
    return found | {v: (INPUT, n) for n, v in enumerate(captured.inputs)}


def used_by(program: Program, captured: Program) -> list[int]:
    """The numbers of the captured program's inputs that another one reads."""
    uses = program.uses()
    return [n for n, v in enumerate(captured.inputs) if v in uses]


def whole(numbers: Sequence[int]) -> list[int]:
    """Numbers as Python's integers."""
    return [int(n) for n in numbers]


def spoken(params: Sequence[int], named: dict[int, str]) -> list[int | str]:
    """The params of a record, with names in place of addresses: of kernels, and of routines of BLAS
    and LAPACK.
    """
    return [named.get(int(n), int(n)) for n in params]


# -- reading ---------------------------------------------------------------------------------------


def load(
    key: str, program: Program, outputs: Sequence[Any], fixed: dict[Value, Any]
) -> Kept | None:
    """The plan of a captured program, on its memory; None if there is none that can be used."""
    entry = cache.load(key)
    if entry is None:
        return None
    try:
        (size,) = struct.unpack_from("<Q", entry)
        head = json.loads(entry[8 : 8 + size])
        arrays = made(entry, 8 + size, head["made"])
        code = machine.kept(head["code"])
        if code is None:
            return None
        return restored(head, code, arrays, program, outputs, fixed)
    except (KeyError, ValueError, TypeError, IndexError, struct.error):
        return None  # written by another hand than ours


def made(entry: bytes, start: int, types: Sequence) -> list[Any]:
    """The arrays that an entry holds."""
    found = []
    for dtype, shape in types:
        count = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(entry, dtype, count, start)
        start += flat.nbytes
        found.append(flat.reshape(shape).copy())
    return found


def restored(
    head: dict,
    code: Any,
    arrays: list[Any],
    program: Program,
    outputs: Sequence[Any],
    fixed: dict[Value, Any],
) -> Kept:
    """The plan that an entry describes."""

    def memory(kind: int, n: int) -> Any:
        if kind == INPUT:
            return fixed[program.inputs[n]]
        if kind == OUTPUT:
            return outputs[n].array
        return np.ascontiguousarray(program.constants[n].data) if kind == CONSTANT else arrays[n]

    known: dict[str, int] = {}

    def address(name: str) -> int:
        if name not in known:
            if name.startswith(foreign.MARK):
                known[name] = foreign.address_of(name)
            elif name == draws.WORD_SOURCE:
                known[name] = draws.engine().address(name)
            elif name.startswith(LIBRARY):
                known[name] = routines.entry_of(name.removeprefix(LIBRARY))
            elif name.startswith(PRODUCT):
                known[name] = products.address_again(name.removeprefix(PRODUCT))
            else:
                of_runtime = name.startswith("cr.")
                known[name] = runtime.kernel(name) if of_runtime else code.address(name)
        return known[name]

    records = []
    for name, slots, words, extent, grain, calls_blas in head["records"]:
        params = [address(w) if isinstance(w, str) else w for w in words]
        records.append(Record(address(name), slots, params, extent, grain, calls_blas))
    plan = draws.plan_with(head["generators"])(
        records,
        head["slots"],
        arguments=[slot for slot, *_ in head["arguments"]],
        fixed={slot: memory(kind, n) for slot, kind, n in head["fixed"]},
        arena=head["arena"],
        places=dict(head["places"]),
        release=head["release"],
        errors=head["errors"],
    )
    arguments = [(kind, n) for _, kind, n in head["arguments"]]
    return Kept(plan, program.inputs, arguments, head["used"], code)
