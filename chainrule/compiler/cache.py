"""A folder of machine code that outlives the process, so that a program is compiled once.

An entry is one file, named by its key, which says everything that the code depends on (the caller's
concern). It begins with a checksum of the rest: an entry that was cut short, damaged, or written by
a version with another layout is not there, and the code is made and written anew. Files appear by
renaming, so that readers see all of an entry or nothing, however many processes write at once.
Nothing here raises for want of a folder: without one, each process compiles for itself, and is told
so once.

`CHAINRULE_CACHE` names the folder ("" for none); `LIMIT` bounds its size, the entries unused for
the longest going first. Code is run as it is found, so a folder that other users may write to is
not used.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

LIMIT = 256 << 20  # bytes
MAGIC = b"chainrule 2\n"  # the number changes with the layout of entries
SUFFIX = ".code"
TOUCH = 3600  # seconds: an entry's time of use is written down no more often than this
STALE = 3600  # seconds after which a half-written file has been left behind


def folder() -> Path | None:
    """Where entries are kept: `CHAINRULE_CACHE`, else the platform's place; None if off."""
    named = os.environ.get("CHAINRULE_CACHE")
    if named is not None:
        return Path(named) if named else None
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "chainrule" if os.path.isabs(base) else None


def load(key: str) -> bytes | None:
    """The entry of that key, or None where there is none that is whole."""
    place = folder()
    if place is None:
        return None
    path = place / (key + SUFFIX)
    try:
        with open(path, "rb") as file:
            trusted = _ours(file.fileno())
            data = file.read()
            used = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None  # not there, or not to be read: storing it says why
    found = _unpack(data) if trusted else None
    if found is not None and time.time() - used > TOUCH:
        _quietly(os.utime, path)
    return found


def store(key: str, data: bytes) -> None:
    """Keep an entry, replacing one of the same key; warns once where that cannot be done."""
    place = folder()
    if place is None:
        return
    entry = MAGIC + hashlib.sha256(data).digest() + data
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        _check_owner(place)
        handle, name = tempfile.mkstemp(dir=place, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(entry)
            os.replace(name, place / (key + SUFFIX))
        except BaseException:
            _quietly(os.unlink, name)
            raise
        _bound(place, len(entry))
    except OSError as error:
        _warn(place, error)


def _unpack(entry: bytes) -> bytes | None:
    """What an entry holds, None if it is not what was written."""
    start = len(MAGIC) + 32
    whole = entry[: len(MAGIC)] == MAGIC and len(entry) >= start
    if not whole or hashlib.sha256(entry[start:]).digest() != entry[len(MAGIC) : start]:
        return None
    return entry[start:]


def _ours(file: int | Path) -> bool:
    """Whether nobody else (but the administrator) may have written a file or into a folder."""
    if not hasattr(os, "getuid"):
        return True
    state = os.stat(file)
    return state.st_uid in (os.getuid(), 0) and not state.st_mode & 0o002


def _check_owner(place: Path) -> None:
    if not _ours(place):
        raise PermissionError("the folder belongs to, or may be written by, other users")


# -- size ------------------------------------------------------------------------------------------

_sizes: dict[Path, int] = {}  # what each folder held when last counted, and what was added since


def _bound(place: Path, added: int) -> None:
    """Remove what was used least recently, down to 3/4 of LIMIT, where LIMIT is passed."""
    if place in _sizes:
        _sizes[place] += added
        if _sizes[place] <= LIMIT:
            return
    entries = sorted(_entries(place))
    total = sum(size for _, size, _ in entries)
    if total > LIMIT:
        for _, size, path in entries:
            _quietly(os.unlink, path)
            total -= size
            if total <= LIMIT * 3 // 4:
                break
    _sizes[place] = total


def _entries(place: Path) -> list[tuple[float, int, str]]:
    """(time of last use, bytes, path) of every entry; what dead processes half wrote goes."""
    found = []
    with os.scandir(place) as files:
        for file in files:
            try:
                state = file.stat()
            except OSError:
                continue  # another process removed it
            if file.name.endswith(SUFFIX):
                found.append((state.st_mtime, state.st_size, file.path))
            elif file.name.endswith(".part") and time.time() - state.st_mtime > STALE:
                _quietly(os.unlink, file.path)
    return found


# -- trouble ---------------------------------------------------------------------------------------

_warned = False


def _warn(place: Path, error: OSError) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"Compiled code cannot be kept in {place} ({error.strerror or error}): every process will"
        " compile its programs again. Set CHAINRULE_CACHE to a folder of yours that can be written"
        ' (or to "", which keeps nothing and does not warn).',
        UserWarning,
        stacklevel=2,
    )


def _quietly(act: Callable[[str], None], path: str | Path) -> None:
    """Do what nothing depends on; another process may have been quicker."""
    try:
        act(os.fspath(path))
    except OSError:
        return
