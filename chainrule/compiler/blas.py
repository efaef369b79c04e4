"""Matrix products as kernels: LLVM IR around the BLAS that SciPy exports, and how to reach it.

`cr.gemm.<t>`: C[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C, all in C order, for t in f32, f64,
c64, c128.

    slots   A, B, C
    params  m n k, lda ldb ldc, opa opb, alpha, beta (each the bits of two float64: real and
            imaginary part), offsets of A B C, how the extent splits (ROWS or COLUMNS of C, BATCH),
            strides of A B C in a batch, the length of its inner run, strides of A B C from run to
            run; all in elements. `gemm_params` puts them in order.

`cr.gemv.<t>`: y = alpha op(A) x + beta y with A[m, n] in C order; the extent is y's length.

    slots   A, x, y
    params  m n, lda, incx incy, op, alpha, beta, offsets of A x y; see `gemv_params`.

op is 0 for a matrix as it is, 1 transposed, 2 (gemm only) transposed and conjugated. BLAS counts
columns first, so the kernels ask it for C^T = op(B)^T op(A)^T. They take its addresses from the
runtime's table: nothing of this process is in the code, which can therefore be kept on disk.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import os
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROWS, COLUMNS, BATCH = 0, 1, 2
TYPES = {  # kernel's suffix: (BLAS's letter, bytes of an element, whether its parts are float32)
    "f32": ("s", 4, "true"),
    "f64": ("d", 8, "false"),
    "c64": ("c", 8, "true"),
    "c128": ("z", 16, "false"),
}
ROUTINES = tuple(
    f"{letter}{routine}" for letter, *_ in TYPES.values() for routine in ("gemm", "gemv")
)


def gemm_params(
    m: int,
    n: int,
    k: int,
    *,
    lda: int,
    ldb: int,
    ldc: int,
    opa: int = 0,
    opb: int = 0,
    alpha: complex = 1.0,
    beta: complex = 0.0,
    offsets: tuple[int, int, int] = (0, 0, 0),
    split: int = ROWS,
    strides: tuple[int, int, int] = (0, 0, 0),
    inner: int = 1 << 62,
    outer: tuple[int, int, int] = (0, 0, 0),
) -> list[int]:
    """The params of a `cr.gemm` record; its extent is m, n or the batch, as `split` says.

    In a batch, matrix i of A begins at (i // inner) * outer[0] + (i % inner) * strides[0], and so
    on for B and C: heads inside of samples, say.
    """
    scale = [*bits(alpha), *bits(beta)]
    return [m, n, k, lda, ldb, ldc, opa, opb, *scale, *offsets, split, *strides, inner, *outer]


def gemv_params(
    m: int,
    n: int,
    *,
    lda: int,
    incx: int = 1,
    incy: int = 1,
    op: int = 0,
    alpha: complex = 1.0,
    beta: complex = 0.0,
    offsets: tuple[int, int, int] = (0, 0, 0),
) -> list[int]:
    """The params of a `cr.gemv` record; its extent is m, or n if transposed."""
    return [m, n, lda, incx, incy, op, *bits(alpha), *bits(beta), *offsets]


PIECE = 1 << 18  # products of float32 that are worth a chunk of their own: 4 us of one core
CORES = os.cpu_count() or 1


def gemm_split(m: int, n: int, k: int) -> tuple[int, int, int]:
    """(split, extent, grain): how to share a product among threads.

    The longer side of C is cut, into a piece per core (of the machine, whatever the number of
    threads: pieces decide about the last bits), 16 rows or columns at least. Measured in GFLOP/s on
    two cores, OpenBLAS and float32, cut by rows and by columns: 128 x 784 x 256 gives 197 and 200,
    128 x 256 x 784 200 and 213, 784 x 128 x 256 242 and 182, 512 x 128 x 512 252 and 196 (118 to
    132 on one).
    """
    split, extent = (COLUMNS, n) if n > m else (ROWS, m)
    pieces = max(1, min(CORES, m * n * k // PIECE, extent // 16))
    grain = -(-extent // pieces)
    return split, extent, min(extent, -(-grain // 16) * 16)


def batch_grain(count: int, size: int) -> int:
    """How many of `count` products of so many multiplications make a chunk: one chunk per core, of
    at least PIECE, and no longer than 32 of those.
    """
    return max(1, min(max(-(-count // CORES), PIECE // size), -(-32 * PIECE // size)))


def bits(value: complex) -> tuple[int, int]:
    """The bits of a number's two parts, as signed integers."""
    value = complex(value)
    return struct.unpack("2q", struct.pack("2d", value.real, value.imag))


class Body:
    """Lines of one LLVM function, with names for values that nobody has to think of."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def __call__(self, code: str) -> str:
        """A line that computes a value, whose name is returned."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {code}")
        return f"%v{self.count}"

    def do(self, *lines: str) -> None:
        """Lines without a value."""
        self.lines += [f"{'' if line.endswith(':') else '  '}{line}" for line in lines]

    def param(self, i: int) -> str:
        """params[i]."""
        return self(f"load i64, ptr {self(f'getelementptr i64, ptr %params, i64 {i}')}")

    def buffer(self, i: int) -> str:
        """buffers[slots[i]]."""
        slot = self(f"load i32, ptr {self(f'getelementptr i32, ptr %slots, i64 {i}')}")
        return self(f"load ptr, ptr {self(f'getelementptr ptr, ptr %buffers, i32 {slot}')}")

    def cell(self, kind: str, value: str) -> str:
        """A place on the stack that holds a value: BLAS takes all by address."""
        place = self(f"alloca {kind}")
        self.do(f"store {kind} {value}, ptr {place}")
        return place

    def integer(self, value: str) -> str:
        """The place of a BLAS integer."""
        return self.cell("i32", self(f"trunc i64 {value} to i32"))

    def letter(self, op: str) -> str:
        """The place of N, T or C for op 0, 1, 2."""
        other = self(f"select i1 {self(f'icmp eq i64 {op}, 1')}, i8 84, i8 67")
        return self.cell("i8", self(f"select i1 {self(f'icmp eq i64 {op}, 0')}, i8 78, i8 {other}"))

    def scale(self, first: int) -> str:
        """The place of alpha or beta, whose bits are params[first] and the one after."""
        double, single = self("alloca [2 x double]"), self("alloca [2 x float]")
        for i in range(2):
            value = self(f"bitcast i64 {self.param(first + i)} to double")
            self.do(
                f"store double {value}, ptr {self(f'getelementptr double, ptr {double}, i64 {i}')}"
            )
            short = self(f"fptrunc double {value} to float")
            self.do(
                f"store float {short}, ptr {self(f'getelementptr float, ptr {single}, i64 {i}')}"
            )
        return self(f"select i1 %single, ptr {single}, ptr {double}")

    def at(self, place: str, start: str, index: str, step: str) -> str:
        """The address of element start + index * step."""
        offset = self(f"add i64 {start}, {self(f'mul i64 {index}, {step}')}")
        return self(f"getelementptr i8, ptr {place}, i64 {self(f'mul i64 {offset}, %size')}")

    def choose(self, test: str, yes: str, no: str) -> str:
        """One of two i64."""
        return self(f"select i1 {test}, i64 {yes}, i64 {no}")

    def call(self, places: Sequence[str]) -> None:
        """Call the routine."""
        self.do(f"call void %routine({', '.join(f'ptr {p}' for p in places)})")


KERNEL = "ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end"


def text(entry: Callable[[str], str]) -> str:
    """All kernels; `entry` says where the address of a routine of BLAS will stand.

    What differs between types is little: one function does the work, told the routine, the bytes of
    an element, and whether alpha and beta are float32.
    """
    parts = []
    for routine, body in (("gemm", _gemm()), ("gemv", _gemv())):
        more = "ptr %routine, i64 %size, i1 %single"
        parts += [
            f"define internal void @{routine}({KERNEL}, {more}) noinline nounwind {{",
            body,
            "}",
        ]
        for suffix, (letter, size, single) in TYPES.items():
            parts += [
                f"define void @cr.{routine}.{suffix}({KERNEL}) nounwind {{",
                f"  %routine = load ptr, ptr {entry(letter + routine)}",
                f"  tail call void @{routine}({KERNEL}, ptr %routine, i64 {size}, i1 {single})",
                "  ret void",
                "}",
            ]
    return "\n".join(parts)


def _gemm() -> str:
    """The body of every `cr.gemm`."""
    f = Body()
    m, n, k, lda, ldb, ldc, opa, opb = (f.param(i) for i in range(8))
    alpha, beta = f.scale(8), f.scale(10)
    starts = [f.param(12 + i) for i in range(3)]
    split = f.param(15)
    strides, outer = [f.param(16 + i) for i in range(3)], [f.param(20 + i) for i in range(3)]
    inner = f.choose(f(f"icmp eq i64 {split}, {BATCH}"), f.param(19), str(1 << 62))
    buffers = [f.buffer(i) for i in range(3)]
    rows, columns = f(f"icmp eq i64 {split}, {ROWS}"), f(f"icmp eq i64 {split}, {COLUMNS}")
    batch = f(f"icmp eq i64 {split}, {BATCH}")
    length = f("sub i64 %end, %begin")
    plain_a, plain_b = f(f"icmp eq i64 {opa}, 0"), f(f"icmp eq i64 {opb}, 0")
    steps = [  # from one unit of the extent to the next, in A, B, C
        f.choose(rows, f.choose(plain_a, lda, "1"), f.choose(batch, strides[0], "0")),
        f.choose(columns, f.choose(plain_b, "1", ldb), f.choose(batch, strides[1], "0")),
        f.choose(rows, ldc, f.choose(batch, strides[2], "1")),
    ]
    places = [f.letter(opb), f.letter(opa)]
    places += [f.integer(f.choose(columns, length, n)), f.integer(f.choose(rows, length, m))]
    places += [f.integer(k), alpha]
    leads = [f.integer(lead) for lead in (lda, ldb, ldc)]
    times = f.choose(batch, "%end", f("add i64 %begin, 1"))
    f.do("br label %loop", "loop:")
    i = f("phi i64 [ %begin, %0 ], [ %next, %body ]")
    more = f(f"icmp slt i64 {i}, {times}")
    f.do(f"br i1 {more}, label %body, label %done", "body:")
    run, index = f(f"udiv i64 {i}, {inner}"), f(f"urem i64 {i}, {inner}")
    firsts = [f(f"add i64 {starts[j]}, {f(f'mul i64 {run}, {outer[j]}')}") for j in range(3)]
    a, b, c = (f.at(buffers[j], firsts[j], index, steps[j]) for j in range(3))
    f.call([*places, b, leads[1], a, leads[0], beta, c, leads[2]])
    f.do(f"%next = add i64 {i}, 1", "br label %loop", "done:", "ret void")
    return "\n".join(f.lines)


def _gemv() -> str:
    """The body of every `cr.gemv`."""
    f = Body()
    m, n, lda, incx, incy, op = (f.param(i) for i in range(6))
    alpha, beta = f.scale(6), f.scale(8)
    starts = [f.param(10 + i) for i in range(3)]
    plain = f(f"icmp eq i64 {op}, 0")
    length = f("sub i64 %end, %begin")
    steps = [f.choose(plain, lda, "1"), "0", incy]
    a, x, y = (f.at(f.buffer(j), starts[j], "%begin", steps[j]) for j in range(3))
    letter = f.letter(f(f"sub i64 1, {op}"))  # BLAS sees the transpose
    sizes = f.integer(f.choose(plain, n, length)), f.integer(f.choose(plain, length, m))
    lead, stepx, stepy = f.integer(lda), f.integer(incx), f.integer(incy)
    f.call([letter, *sizes, alpha, a, lead, x, stepx, beta, y, stepy])
    f.do("ret void")
    return "\n".join(f.lines)


def addresses() -> dict[str, int | None]:
    """Where the routines are, and the two functions that govern OpenBLAS's threads (None for any
    other BLAS): {"sgemm": address, ...}.
    """
    capsules = scipy_module("scipy.linalg.cython_blas").__pyx_capi__
    found: dict[str, int | None] = {r: pointer_of(capsules[r]) for r in ROUTINES}
    get, set_ = _threads_of()
    found["get_blas_threads"] = ctypes.cast(get, ctypes.c_void_p).value if get else None
    found["set_blas_threads"] = ctypes.cast(set_, ctypes.c_void_p).value if set_ else None
    return found


def set_threads(count: int) -> None:
    """Give OpenBLAS a number of threads."""
    _threads_of()[1](count)


@functools.cache
def _threads_of() -> tuple[Any, Any]:
    """OpenBLAS's functions to read and set its number of threads; names carry SciPy's prefix."""
    library = ctypes.CDLL(
        scipy_module("scipy.linalg.cython_blas").__file__
    )  # a look-up goes on to what it was linked with
    for prefix in ("scipy_", ""):
        for suffix in ("", "64_", "_64"):
            names = (f"{prefix}openblas_{act}_num_threads{suffix}" for act in ("get", "set"))
            found = [getattr(library, n, None) for n in names]
            if all(found):
                return found[0], found[1]
    return None, None


def pointer_of(capsule: Any) -> int:
    """The address that a capsule holds."""
    api = ctypes.pythonapi
    name, pointer = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, name(capsule))


def scipy_module(name: str) -> Any:
    """A module of scipy.linalg without the rest of it, which takes ten times as long."""
    if name not in sys.modules:
        import scipy

        finder = importlib.machinery.FileFinder(
            str(Path(scipy.__file__).parent / "linalg"),
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        )
        spec = finder.find_spec(name)
        if spec is None:
            return importlib.import_module(name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
