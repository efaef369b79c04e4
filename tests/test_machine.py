"""Machine code from LLVM IR: right, for this CPU, kept on disk and never run when damaged."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.compiler import cache, machine

pytest.importorskip("llvmlite", reason="code is made by llvmlite, the `jit` extra")

ADD = """
define i64 @add(i64 %x, i64 %y) nounwind {
  %z = add i64 %x, %y
  ret i64 %z
}
"""
HYPOT = """
declare double @hypot(double, double)
define double @length(double %x, double %y) nounwind {
  %z = call double @hypot(double %x, double %y)
  ret double %z
}
"""
TABLE = """
@numbers = constant [4 x i32] [i32 2, i32 3, i32 5, i32 7]
@count = global i64 0
define i32 @number(i64 %i) nounwind {
  %n = load i64, ptr @count
  %more = add i64 %n, 1
  store i64 %more, ptr @count
  %at = getelementptr i32, ptr @numbers, i64 %i
  %x = load i32, ptr %at
  ret i32 %x
}
"""
SQUARES = """
define void @squares(ptr noalias %x, ptr noalias %y, i64 %n) #0 {
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %from = getelementptr float, ptr %x, i64 %i
  %a = load float, ptr %from
  %b = fmul float %a, %a
  %to = getelementptr float, ptr %y, i64 %i
  store float %b, ptr %to
  %next = add nsw i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
attributes #0 = { nounwind "prefer-vector-width"="512" }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", False)
    return tmp_path / "cache"


def call(code: machine.Code, name: str, *arguments: int) -> int:
    kinds = [ctypes.c_int64] * len(arguments)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(code.address(name))(*arguments)


def test_code_runs():
    assert call(machine.native(ADD), "add", 40, 2) == 42


def test_functions_of_the_c_library():
    code = machine.native(HYPOT)
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)
    assert kind(code.address("length"))(3.0, 4.0) == 5.0


def test_data_and_constants():
    code = machine.native(TABLE)
    number = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)(code.address("number"))
    assert [number(i) for i in range(4)] == [2, 3, 5, 7]
    assert ctypes.c_int64.from_address(code.address("count")).value == 4


def test_loops_become_vector_code():
    x = np.arange(1001, dtype=np.float32)
    y = np.empty_like(x)
    code = machine.native(SQUARES)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    kind(code.address("squares"))(x.ctypes.data, y.ctypes.data, len(x))
    np.testing.assert_array_equal(y, x * x)
    if "+avx2" in machine.features():
        register = "zmm" if "+avx512f" in machine.features() else "ymm"
        assert register in machine.assembly(SQUARES)


def test_two_codes_may_share_names():
    twice = machine.native(ADD.replace("%x, %y\n", "%x, %x\n"))
    assert call(machine.native(ADD), "add", 1, 2) == 3
    assert call(twice, "add", 1, 2) == 2


def test_unknown_names():
    with pytest.raises(KeyError, match="subtract"):
        machine.native(ADD).address("subtract")


@pytest.mark.parametrize(
    "text", ["define i64 @f() { ret i32 0 }", "nonsense", "define void @f() { br label %x }"]
)
def test_invalid_text_says_where(text: str, folder: Path):
    with pytest.raises(ValueError, match=r"invalid LLVM IR(.|\n)*<string>:1:"):
        machine.native(text)
    assert not folder.exists()


def test_an_unknown_function_is_an_error():
    text = HYPOT.replace("@hypot", "@nobody_has_this")
    with pytest.raises(RuntimeError, match="nobody_has_this"):
        machine.native(text).address("length")


def test_code_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    machine.native(ADD)
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(machine, "compiled", None)
    assert call(machine.native(ADD), "add", 2, 3) == 5


def test_a_key_stands_for_the_text(monkeypatch: pytest.MonkeyPatch):
    written = []

    def text() -> str:
        written.append(1)
        return ADD

    for _ in range(2):
        assert call(machine.native(text, key="sum of two"), "add", 2, 3) == 5
    assert len(written) == 1


def test_the_key_names_cpu_and_versions(folder: Path, monkeypatch: pytest.MonkeyPatch):
    machine.native(ADD)
    for setting in ("another CPU", "another version"):
        monkeypatch.setattr(machine, "setting", lambda s=setting: s)
        machine.native(ADD)
    assert len(list(folder.iterdir())) == 3
    monkeypatch.undo()
    assert machine.__version__ in machine.setting()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:-8] + bytes(8)])
def test_damaged_code_is_compiled_anew(folder: Path, damage):
    machine.native(ADD)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert call(machine.native(ADD), "add", 2, 3) == 5
    assert path.read_bytes() == whole


def test_an_unusable_folder_warns_and_works(folder: Path):
    folder.write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert call(machine.native(ADD), "add", 2, 3) == 5
    assert call(machine.native(ADD), "add", 2, 4) == 6


def test_code_is_unloaded():
    """A thousand modules made and dropped: the process's memory stays."""

    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0])

    if not Path("/proc/self/statm").exists():
        pytest.skip("the size of a process is read from /proc")
    for i in range(300):
        machine.native(ADD)
        if i == 50:
            gc.collect()
            before = pages()
    gc.collect()
    assert pages() - before < 500  # each load maps three pages or more


def test_without_llvmlite():
    """Where llvmlite is not installed, `available` says so; code that is kept needs none of it."""
    script = """
import sys
from chainrule.compiler import machine
assert "llvmlite" not in sys.modules
sys.modules["llvmlite"] = None
assert not machine.available()
"""
    root = Path(machine.__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)
    assert machine.available()


def test_code_from_the_cache_needs_no_compiler():
    """A new process that finds its code does not import llvmlite, which takes longest."""
    if not machine.loader.available():
        pytest.skip("on this platform LLVM's linker loads code")
    script = f"""
import sys
from chainrule.compiler import machine
machine.native({ADD!r}).address("add")
print("llvmlite" in sys.modules)
"""
    root = Path(machine.__file__).parents[2]
    command = [sys.executable, "-c", script]
    said = [subprocess.run(command, check=True, cwd=root, capture_output=True) for _ in range(2)]
    assert [s.stdout.split() for s in said] == [[b"True"], [b"False"]]


def test_both_linkers_agree(monkeypatch: pytest.MonkeyPatch):
    """Our own loader, and LLVM's, which serves where ours does not know the platform."""
    images = machine.compiled(TABLE)
    for _ in range(2):
        code = machine.Code(images)
        number = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)(code.address("number"))
        assert [number(i) for i in range(4)] == [2, 3, 5, 7]
        with pytest.raises(KeyError):
            code.address("letters")
        monkeypatch.setattr(machine.loader, "available", lambda: False)


@pytest.mark.parametrize(
    "image", [b"", b"\x7fELF\x02\x01" + bytes(58), b"\x7fELF\x01\x01" + bytes(58)]
)
def test_what_is_no_object_is_refused(image: bytes):
    if not machine.loader.available():
        pytest.skip("on this platform LLVM's linker loads code")
    with pytest.raises(ValueError, match="not an object file"):
        machine.loader.Loaded(image)


def many(count: int, extra: str = "") -> str:
    """A module of loops that share an internal function: fI writes x * x + I."""
    pad = "; " + "x" * machine.parts.LEAST + "\n"
    inner = (
        "define internal float @square(float %a) alwaysinline {\n"
        "  %b = fmul float %a, %a\n  ret float %b\n}\n"
    )
    sum_ = f"{pad}  %c = call float @square(float %a)\n  %b = fadd float %c, "
    functions = [
        SQUARES.partition("attributes")[0]
        .replace("@squares", f"@f{i}")
        .replace("%b = fmul float %a, %a", f"{sum_}{i}.0")
        for i in range(count)
    ]
    return "\n".join([inner, *functions, extra, "attributes #0 = { nounwind }"])


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_modules_are_compiled_in_parts(count: int, threads: int):
    before = chainrule.get_num_threads()
    chainrule.set_num_threads(threads)
    try:
        assert len(machine.compiled(many(count))) == min(count, threads)
        for _ in range(2):  # the second time from the cache
            code = machine.native(many(count))
            x, y = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
            kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
            for i in range(count):
                kind(code.address(f"f{i}"))(x.ctypes.data, y.ctypes.data, 5)
                assert y.tolist() == [x * x + i for x in range(5)]
            with pytest.raises(KeyError, match="square"):
                code.address("square")
    finally:
        chainrule.set_num_threads(before)


@pytest.mark.parametrize(
    "extra",
    [
        "@count = global i64 0",
        "define void @g(ptr %x) {\n  call void @f0(ptr %x, ptr %x, i64 1)\n  ret void\n}",
        "define internal void @g(ptr %x) {\n  call void @f0(ptr %x, ptr %x, i64 1)\n  ret void\n}",
    ],
)
def test_modules_that_hang_together_stay_whole(extra: str):
    assert len(machine.parts.cut(many(4), 4)) == 4
    assert len(machine.parts.cut(many(4, "@ten = constant i64 10"), 4)) == 4
    assert machine.parts.cut(many(4, extra), 4) == [many(4, extra)]


def test_small_modules_stay_whole():
    assert machine.parts.cut(ADD + SQUARES, 4) == [ADD + SQUARES]
