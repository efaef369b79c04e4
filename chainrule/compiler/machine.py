"""From LLVM IR text to code in memory: the one place that knows llvmlite.

    code = native("define void @f(...) ...")
    code.address("f")  # an integer, to call through ctypes or from other code

A text is parsed, verified, optimised for this very CPU and linked into the process; the object file
in between goes into the cache (`cache`), under a key that names the text, the CPU and every version
that had a part in it. The address holds as long as the `Code` object lives. External functions
resolve among those of the process (libc, libm). llvmlite is imported when first needed; without it
`available()` is False.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import itertools
import platform
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..namespace import get_num_threads
from ..version import __version__
from . import cache, loader, parts

LEVEL = 2  # of LLVM's pipeline: 3 makes the same code of loops, see the module's tests
MODEL: dict[str, Any] = (  # what `loader` understands, else what LLVM's linker likes best
    {"reloc": "pic", "codemodel": "small"} if loader.available() else {"jit": True}
)
_emitting, _lock = 0, threading.Lock()
_names = itertools.count()


def made_once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Decorator: what `make` makes when it is first called, and by one thread alone; code that was
    made twice would be unloaded under whoever has the other.
    """
    lock, made = threading.Lock(), []

    @functools.wraps(make)
    def get() -> Any:
        if not made:
            with lock:
                if not made:
                    made.append(make())
        return made[0]

    return get


def available() -> bool:
    """Whether code can be made: llvmlite (the `jit` extra) is installed."""
    return importlib.util.find_spec("llvmlite") is not None


class Code:
    """Machine code in memory, unloaded when this object goes; `name` is the cache's for it.

    Raises:
        RuntimeError: the code calls a function that this process does not have.
    """

    def __init__(self, images: Sequence[bytes], name: str = "") -> None:
        self.name = name
        self._loaded = [_load(image) for image in images]

    def address(self, name: str) -> int:
        """Where the function or global of that name is; KeyError if the text defines none."""
        for loaded in self._loaded:
            try:
                return loaded.addresses[name]
            except KeyError:
                continue
        raise KeyError(f"this code defines no {name!r}")


def _load(image: bytes) -> Any:
    """An object file in memory, by our own loader where it knows all that is in there."""
    if loader.available():
        try:
            return loader.Loaded(image)
        except ValueError:
            return _Linked(image)
    return _Linked(image)


class _Linked:
    """Code loaded by LLVM's own linker, where `loader` does not know the platform's objects."""

    def __init__(self, image: bytes) -> None:
        self.name = f"chainrule.{next(_names)}"
        library = _llvm().JITLibraryBuilder().add_object_img(image).add_current_process()
        self.tracker = library.link(_jit(), self.name)
        self.addresses = _Addresses(self.name)


class _Addresses(dict):
    """The addresses of a library's symbols, each looked up once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trackers: list[Any] = []  # the code goes with any of them

    def __missing__(self, name: str) -> int:
        try:
            tracker = _jit().lookup(self.name, name)
        except RuntimeError as error:
            if "Symbols not found" in str(error) and name in str(error):
                raise KeyError(name) from None
            raise
        self.trackers.append(tracker)
        self[name] = tracker[name]
        return self[name]


def native(text: str | Callable[[], str], key: str | None = None, level: int = LEVEL) -> Code:
    """Code for a module of LLVM IR, from the cache or compiled and put there.

    Args:
        text: the module; or, with `key`, a function that writes it, called only where the cache
            has no entry.
        key: names the module instead of its text: equal keys must mean equal texts.
        level: how hard LLVM tries: 2 for loops; 0 takes a tenth of the time, for code that is run
            once or calls others.

    Raises:
        ValueError: the text is not valid IR; LLVM's message, with the line.
    """
    if key is None:
        assert isinstance(text, str), "without a key the text itself is needed"
    name = hashlib.sha256(f"{setting()}\nO{level}\n{key or text}".encode()).hexdigest()
    found = kept(name)
    if found is not None:
        return found
    images = compiled(text if isinstance(text, str) else text(), level)
    cache.store(name, _pack(images))
    return Code(images, name)


def kept(name: str) -> Code | None:
    """The code that the cache has under a name (a `Code`'s), None if it has none."""
    found = cache.load(name)
    return None if found is None else Code(_unpack(found), name)


def compiled(text: str, level: int = LEVEL) -> list[bytes]:
    """The object files of a module of LLVM IR: one, or several compiled at the same time."""
    texts = parts.cut(text, get_num_threads())
    with _without_strength_reduction():
        if len(texts) == 1:
            return [_emitted(text, level)]
        with concurrent.futures.ThreadPoolExecutor(len(texts)) as pool:
            return list(pool.map(_emitted, texts, itertools.repeat(level)))


@contextlib.contextmanager
def _without_strength_reduction() -> Iterator[None]:
    """Without LLVM's choice of other variables to count by, which takes half of the time to emit
    our loops and makes them no quicker (x86 adds index to base for nothing).
    """
    global _emitting
    with _lock:
        _emitting += 1
        if _emitting == 1:
            _llvm().set_option("chainrule", "--disable-lsr")
    try:
        yield
    finally:
        with _lock:
            _emitting -= 1
            if not _emitting:
                _llvm().set_option("chainrule", "--disable-lsr=false")


def assembly(text: str, level: int = LEVEL) -> str:
    """The assembly of a module of LLVM IR, to look at."""
    target = _target(level)
    return target.emit_assembly(_optimised(text, target, level))


def _emitted(text: str, level: int) -> bytes:
    """The object file of a module of LLVM IR."""
    target = _target(level)
    module = _optimised(text, target, level)
    lib, ffi = _llvm().ffi.lib, _llvm().ffi
    with ffi.OutputString() as message:
        buffer = _unlocked(lib.LLVMPY_TargetMachineEmitToMemory)(target, module, 1, message)
        if not buffer:
            raise RuntimeError(f"LLVM makes no code of this: {message}")
    try:
        start, size = lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(start, size)
    finally:
        lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _optimised(text: str, target: Any, level: int) -> Any:
    """The module after LLVM's passes, in a context of its own."""
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise ValueError(f"invalid LLVM IR: {error}") from None
    options = llvm.create_pipeline_tuning_options(level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
    builder = llvm.create_pass_builder(target, options)
    passes = builder.getModulePassManager()
    _unlocked(llvm.ffi.lib.LLVMPY_RunNewModulePassManager)(passes, module, builder)
    return module


def _unlocked(function: Any) -> Any:
    """A function of llvmlite's without its lock around: two threads may be in LLVM at once as long
    as they share no context and no target machine, and ours do not.
    """
    return getattr(function, "_cfn", function)


def _pack(images: Sequence[bytes]) -> bytes:
    """Object files as one entry of the cache: how many, how long each, then they."""
    sizes = struct.pack(f"<{len(images) + 1}Q", len(images), *map(len, images))
    return sizes + b"".join(images)


def _unpack(entry: bytes) -> list[bytes]:
    """What `_pack` was given."""
    (count,) = struct.unpack_from("<Q", entry)
    start, found = 8 * (count + 1), []
    for size in struct.unpack_from(f"<{count}Q", entry, 8):
        found.append(entry[start : start + size])
        start += size
    return found


@functools.cache
def features() -> str:
    """The CPU that code is made for: LLVM's name of it and of what it can do."""
    llvm = _llvm()
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def registers() -> tuple[int, int]:
    """(bytes of a vector, how many registers there are) of this CPU."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return 16, 32
    if "+avx512f" in features():
        return 64, 32
    return (32 if "+avx2" in features() else 16), 16


def scales() -> bool:
    """Whether a product with a power of two is a few instructions, for whole vectors, too."""
    return registers()[0] == 64 and _llvm().llvm_version_info >= (22,)


@functools.cache
def setting() -> str:
    """All that code depends on besides its text, found without importing llvmlite."""
    home = importlib.util.find_spec("llvmlite")
    assert home is not None and home.origin is not None
    version = (Path(home.origin).parent / "_version.py").read_text()
    return f"{__version__}\n{version}\n{MODEL} no strength reduction\n{_cpu()}"


def _cpu() -> str:
    """What tells this CPU from others: the system's description of it, else LLVM's."""
    try:
        with open("/proc/cpuinfo") as file:
            one = file.read().partition("\n\n")[0]
    except OSError:
        return features()
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")
    lines = [line for line in one.split("\n") if line.startswith(wanted)]
    known = any(line.startswith(("flags", "Features")) for line in lines)
    return "\n".join(lines) if known else features()


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding

    llvmlite.binding.initialize_native_target()
    llvmlite.binding.initialize_native_asmprinter()
    return llvmlite.binding


def _target(level: int) -> Any:
    llvm = _llvm()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=level,
        **MODEL,
    )


@functools.cache
def _jit() -> Any:
    return _llvm().create_lljit_compiler(_target(LEVEL))
