"""Any routine of BLAS or LAPACK as a kernel: `cr.call`, over a batch.

Such routines take everything by address. A record says for each argument either the number itself,
or where in which buffer the matrix lies and how far it is from one of the batch to the next; see
`call_params`. Addresses of routines are of this process, so they stand in the params, which are
never kept on disk.

Matrices in C order are their own transposes to these routines: the lower triangle of a C-ordered
matrix is UPLO = 'U', and a system is solved with the transposed factors.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence

from . import blas

MOST = 16  # arguments; a routine that takes fewer does not look at the others
NUMBER = -1  # instead of a slot


names: dict[int, str] = {}  # of the routines that were asked for, by address


@functools.cache
def routine(name: str) -> int:
    """The address of a routine of LAPACK or BLAS, such as `dpotrf`.

    Raises:
        KeyError: SciPy exports none of that name.
    """
    for module in ("cython_lapack", "cython_blas"):
        capsules = blas.scipy_module(f"scipy.linalg.{module}").__pyx_capi__
        if name in capsules:
            address = blas.pointer_of(capsules[name])
            names[address] = name
            return address
    raise KeyError(name)


Argument = int | float | complex | str | tuple[int, int, int]


def call_params(name: str, arguments: Sequence[Argument]) -> list[int]:
    """The params of a `cr.call` record, whose extent is the batch.

    Args:
        name: the routine, with the letter of its type.
        arguments: in its order: an int, a character, a float or complex (of the routine's
            precision), or (i, offset, stride) in bytes for a matrix in the record's i-th slot.
    """
    single = name[0] in "sc"
    table: list[int] = []
    words: list[int] = []
    first = 1 + 3 * MOST
    for a in (*arguments, *[0] * (MOST - len(arguments))):
        if isinstance(a, tuple):
            table += a
            continue
        table += [NUMBER, first + len(words), 0]
        if isinstance(a, str):
            words.append(ord(a))
        elif isinstance(a, int):
            words.append(a)
        else:
            parts = (a.real, a.imag) if isinstance(a, complex) else (a, 0.0)
            data = struct.pack("2f8x" if single else "2d", *parts)
            words += struct.unpack("2q", data)
    return [routine(name), *table, *words]


def text() -> str:
    """The kernel `cr.call`."""
    f = blas.Body()
    call = f("load ptr, ptr %params")
    table = [[f.param(1 + 3 * j + part) for part in range(3)] for j in range(MOST)]
    bases, steps = [], []
    for slot, offset, stride in table:
        number = f(f"icmp slt i64 {slot}, 0")
        at = f(f"getelementptr i32, ptr %slots, i64 {f.choose(number, '0', slot)}")
        index = f(f"load i32, ptr {at}")
        buffer = f(f"load ptr, ptr {f(f'getelementptr ptr, ptr %buffers, i32 {index}')}")
        word = f(f"getelementptr i64, ptr %params, i64 {offset}")
        matrix = f(f"getelementptr i8, ptr {buffer}, i64 {offset}")
        bases.append(f(f"select i1 {number}, ptr {word}, ptr {matrix}"))
        steps.append(stride)
    f.do("br label %loop", "loop:")
    i = f("phi i64 [ %begin, %0 ], [ %next, %body ]")
    more = f(f"icmp slt i64 {i}, %end")
    f.do(f"br i1 {more}, label %body, label %done", "body:")
    places = [
        f(f"getelementptr i8, ptr {base}, i64 {f(f'mul i64 {i}, {step}')}")
        for base, step in zip(bases, steps, strict=True)
    ]
    f.do(f"call void {call}({', '.join(f'ptr {p}' for p in places)})")
    f.do(f"%next = add i64 {i}, 1", "br label %loop", "done:", "ret void")
    return "\n".join([f"define void @cr.call({blas.KERNEL}) nounwind {{", *f.lines, "}"])
