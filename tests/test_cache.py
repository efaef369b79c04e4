"""The folder of machine code: whole entries or none, whoever writes, whatever the disk does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from chainrule.compiler import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own, that has not warned yet."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", False)
    return tmp_path / "cache"


def entry(folder: Path, key: str) -> Path:
    return folder / (key + cache.SUFFIX)


def test_what_is_stored_is_loaded(folder: Path):
    assert cache.load("a") is None
    cache.store("a", b"code")
    cache.store("empty", b"")
    assert cache.load("a") == b"code"
    assert cache.load("empty") == b""
    cache.store("a", b"other")
    assert cache.load("a") == b"other"
    assert sorted(p.name for p in folder.iterdir()) == ["a.code", "empty.code"]


@pytest.mark.parametrize("length", [0, 5, 20, 43, 44, 100, 1043])
def test_a_cut_entry_is_not_there(folder: Path, length: int):
    cache.store("a", b"x" * 1000)
    whole = entry(folder, "a").read_bytes()
    entry(folder, "a").write_bytes(whole[:length])
    assert cache.load("a") is None
    cache.store("a", b"x" * 1000)
    assert cache.load("a") == b"x" * 1000


def test_a_damaged_entry_is_not_there(folder: Path):
    cache.store("a", bytes(range(256)))
    whole = entry(folder, "a").read_bytes()
    for i in range(0, len(whole), 7):
        entry(folder, "a").write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        assert cache.load("a") is None, i


def test_an_entry_others_may_write_is_not_run(folder: Path):
    cache.store("a", b"code")
    entry(folder, "a").chmod(0o666)
    assert cache.load("a") is None


def test_a_folder_others_may_write_is_not_used(folder: Path):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="other users"):
        cache.store("a", b"code")
    assert list(folder.iterdir()) == []


def test_no_folder_warns_once(folder: Path):
    folder.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be kept in .*CHAINRULE_CACHE"):
        cache.store("a", b"code")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.store("b", b"code")
        assert cache.load("a") is None


@pytest.mark.parametrize("call", ["makedirs", "replace", "fdopen"])
@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int):
    """Read-only, full, forbidden: a warning, and nothing half-written."""
    if call != "makedirs":
        folder.mkdir(mode=0o700)

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(cache.os, call, refuse)
        with pytest.warns(UserWarning, match=os.strerror(code)):
            cache.store("a", b"code")
    assert cache.load("a") is None
    assert not folder.exists() or list(folder.iterdir()) == []


def test_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """HOME somewhere that cannot be made, as in containers."""
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache, "_warned", False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    assert cache.load("a") is None
    with pytest.warns(UserWarning, match="cannot be kept"):
        cache.store("a", b"code")


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CHAINRULE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "chainrule"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "chainrule"
    monkeypatch.setenv("CHAINRULE_CACHE", "")
    assert cache.folder() is None
    cache.store("a", b"code")
    assert cache.load("a") is None


def test_size_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """What was used least recently goes; a load counts as use."""
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    monkeypatch.setattr(cache, "_sizes", {})
    now = time.time()
    for i in range(9):
        cache.store(f"e{i}", b"x" * 1000)
        os.utime(entry(folder, f"e{i}"), (now - 90_000 + i, now - 90_000 + i))
    assert cache.load("e0") is not None
    cache.store("new", b"x" * 1000)
    kept = {p.stem for p in folder.iterdir()}
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 10_000
    assert {"e0", "new", "e8"} <= kept
    assert "e1" not in kept


def test_what_the_dead_left_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "_sizes", {})
    folder.mkdir(mode=0o700)
    for name, age in (("old.part", 2 * cache.STALE), ("young.part", 1)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age, time.time() - age))
    cache.store("a", b"code")
    assert {p.name for p in folder.iterdir()} == {"young.part", "a.code"}


WRITER = """
import sys
from chainrule.compiler import cache
for i in range(300):
    cache.store("shared", bytes([i % 256]) * 20000)
    found = cache.load("shared")
    assert found is not None and len(found) == 20000 and len(set(found)) == 1
"""


def test_processes_write_at_once(folder: Path):
    """Four writers of one key: every reader finds one entry, whole."""
    command = [sys.executable, "-c", WRITER]
    root = str(Path(cache.__file__).parents[2])
    writers = [subprocess.Popen(command, cwd=root) for _ in range(4)]
    assert [w.wait(60) for w in writers] == [0] * 4
    assert [p.name for p in folder.iterdir()] == ["shared.code"]
