"""Object files put into memory: what a linker does, for the little that our code needs of it.

Reading machine code back from the cache must not cost the import of a compiler, so this is done
here for what our compiler writes on x86-64 with ELF: position-independent code of the small model.
Sections go into one mapping, code and constants first, then what may be written; five kinds of
relocation are filled in; functions from outside, which may be far away, are reached through stubs
and a table of addresses beside the code. Then the first part is made executable and is never
written again.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

ALLOC, WRITE = 0x2, 0x1  # of a section's flags
SYMBOLS, RELOCATIONS, EMPTY = 2, 4, 8  # types of section: SYMTAB, RELA, NOBITS
R_64, R_PC32, R_PLT32, R_GOTPCREL, R_GOTPCRELX, R_REX_GOTPCRELX = 1, 2, 4, 9, 41, 42
UNUSED = (".eh_frame", ".note")  # loaded sections that nobody reads
GOT_RELATIVE = (R_GOTPCREL, R_GOTPCRELX, R_REX_GOTPCRELX)
JUMP = b"\xff\x25\x00\x00\x00\x00"  # jmp *0(%rip), followed by the address
STUB, SLOT = 16, 8  # bytes of a stub, of an entry in the table of addresses


def available() -> bool:
    """Whether this platform's objects are those that are understood here."""
    return sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 1 << 32


class Section:
    """A section of an object file, and where it goes."""

    __slots__ = (
        "align",
        "data",
        "entries",
        "flags",
        "info",
        "kind",
        "link",
        "name",
        "place",
        "size",
    )

    def __init__(self, header: tuple[int, ...], image: bytes) -> None:
        self.name, self.kind, self.flags, _, offset, self.size = header[:6]
        self.link, self.info, self.align, _ = header[6:]
        self.data = b"" if self.kind == EMPTY else image[offset : offset + self.size]
        self.place = -1


class Object:
    """An object file taken apart.

    Raises:
        ValueError: it is not one, or holds what is not understood.
    """

    def __init__(self, image: bytes) -> None:
        if image[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", image, 16) != (1, 62):
            raise ValueError("not an object file for x86-64")
        start, count = (
            struct.unpack_from("<Q", image, 40)[0],
            struct.unpack_from("<H", image, 60)[0],
        )
        headers = (struct.unpack_from("<IIQQQQIIQQ", image, start + 64 * i) for i in range(count))
        self.sections = [Section(h, image) for h in headers]
        names = self.sections[struct.unpack_from("<H", image, 62)[0]].data
        self.loaded = [
            s
            for s in self.sections
            if s.flags & ALLOC
            and s.size
            and not _text(names, s.name).startswith((".eh_frame", ".note"))
        ]
        table = next(s for s in self.sections if s.kind == SYMBOLS)
        texts = self.sections[table.link].data
        self.symbols = [
            (_text(texts, name), section, value)
            for name, _, _, section, value, _ in struct.iter_unpack("<IBBHQQ", table.data)
        ]

    def relocations(self) -> Iterator[tuple[Section, int, int, int, int]]:
        """(section, offset in it, type, symbol, addend) of every place to fill in."""
        for s in self.sections:
            if s.kind == RELOCATIONS and self.sections[s.info] in self.loaded:
                for offset, info, addend in struct.iter_unpack("<QQq", s.data):
                    yield self.sections[s.info], offset, info & 0xFFFFFFFF, info >> 32, addend


def _text(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode()


class Loaded:
    """Code in memory; `addresses` says where each of its functions and globals is."""

    def __init__(self, image: bytes) -> None:
        o = Object(image)
        far = [i for i, (name, section, _) in enumerate(o.symbols) if name and not section]
        outside = {i: symbol(o.symbols[i][0]) for i in far}
        relocations = list(o.relocations())
        tabled = sorted({index for _, _, kind, index, _ in relocations if kind in GOT_RELATIVE})
        jumps = _lay([s for s in o.loaded if not s.flags & WRITE], 0)
        slots = jumps + STUB * len(far)
        data = -(-(slots + SLOT * len(tabled)) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.size = max(_lay([s for s in o.loaded if s.flags & WRITE], data), data)
        self.base = _map(self.size)
        content = bytearray(self.size)
        for s in o.loaded:
            content[s.place : s.place + len(s.data)] = s.data
        where = {  # of every symbol: its address
            i: outside[i] if i in outside else self.base + o.sections[section].place + value
            for i, (_, section, value) in enumerate(o.symbols)
            if i in outside or (0 < section < len(o.sections) and o.sections[section].place >= 0)
        }
        for i, index in enumerate(far):
            struct.pack_into("<6sQ", content, jumps + STUB * i, JUMP, where[index])
        for i, index in enumerate(tabled):
            struct.pack_into("<Q", content, slots + SLOT * i, where[index])
        near = where | {index: self.base + jumps + STUB * i for i, index in enumerate(far)}
        table = {index: self.base + slots + SLOT * i for i, index in enumerate(tabled)}
        for section, offset, kind, index, addend in relocations:
            target = table if kind in GOT_RELATIVE else where if kind == R_64 else near
            at = section.place + offset
            _fill(content, at, kind, target[index] + addend, self.base + at)
        ctypes.memmove(self.base, (ctypes.c_char * self.size).from_buffer(content), self.size)
        _protect(self.base, data)
        self.addresses = {o.symbols[i][0]: a for i, a in where.items() if i not in outside}

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # at exit other threads may still be inside
        if getattr(self, "base", None) and not finalizing():
            _library().munmap(self.base, self.size)


def _fill(content: bytearray, at: int, kind: int, target: int, here: int) -> None:
    """Fill in one place, which will be at `here`, with a target's address or the way to it."""
    if kind == R_64:
        struct.pack_into("<Q", content, at, target)
    elif kind in (R_PC32, R_PLT32, *GOT_RELATIVE):
        struct.pack_into("<i", content, at, target - here)
    else:
        raise ValueError(f"relocation of type {kind} is not understood")


def _lay(sections: list[Section], start: int) -> int:
    """Give sections their places from `start` on; the end, ready for a stub."""
    for s in sections:
        start = -(-start // max(s.align, 1)) * max(s.align, 1)
        s.place = start
        start += s.size
    return -(-start // STUB) * STUB


# -- the system ------------------------------------------------------------------------------------


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


def _map(size: int) -> int:
    """Fresh memory, to be written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    base = _library().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if base in (None, (1 << 64) - 1):
        raise MemoryError(f"no {size} bytes for code: {os.strerror(ctypes.get_errno())}")
    return base


def _protect(base: int, size: int) -> None:
    """Make memory executable, and no longer to be written."""
    if size and _library().mprotect(base, size, mmap.PROT_READ | mmap.PROT_EXEC):
        error = ctypes.get_errno()
        raise OSError(error, f"this system runs no code made at run time: {os.strerror(error)}")


@functools.cache
def symbol(name: str) -> int:
    """The address of a function of this process, or of the library of mathematics.

    Raises:
        RuntimeError: there is none of that name.
    """
    for library in (_library(), _mathematics()):
        found = getattr(library, name, None)
        if found is not None:
            address = ctypes.cast(found, ctypes.c_void_p).value
            assert address
            return address
    raise RuntimeError(f"code needs a function {name!r}, which this process does not have")


@functools.cache
def _mathematics() -> Any:
    return ctypes.CDLL("libm.so.6")
