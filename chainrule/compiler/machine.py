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

import functools
import hashlib
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

from ..version import __version__
from . import cache

LEVEL = 2  # of LLVM's pipeline: 3 makes the same code of loops, see the module's tests
_names = itertools.count()


def available() -> bool:
    """Whether code can be made: llvmlite (the `jit` extra) is installed."""
    return importlib.util.find_spec("llvmlite") is not None


class Code:
    """Machine code in memory, unloaded when this object goes."""

    def __init__(self, image: bytes) -> None:
        jit, llvm = _jit(), _llvm()
        self.name = f"chainrule.{next(_names)}"
        library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        self._trackers = [library.link(jit, self.name)]  # the code goes with any of them
        self._found: dict[str, int] = {}

    def address(self, name: str) -> int:
        """Where the function or global of that name is; KeyError if the text defines none."""
        if name not in self._found:
            try:
                tracker = _jit().lookup(self.name, name)
            except RuntimeError as error:
                raise KeyError(f"no {name!r} in this code: {error}") from None
            self._trackers.append(tracker)
            self._found[name] = tracker[name]
        return self._found[name]


def native(text: str | Callable[[], str], key: str | None = None) -> Code:
    """Code for a module of LLVM IR, from the cache or compiled and put there.

    Args:
        text: the module; or, with `key`, a function that writes it, called only where the cache
            has no entry.
        key: names the module instead of its text: equal keys must mean equal texts.

    Raises:
        ValueError: the text is not valid IR; LLVM's message, with the line.
    """
    if key is None:
        assert isinstance(text, str), "without a key the text itself is needed"
    name = hashlib.sha256(f"{setting()}\n{key or text}".encode()).hexdigest()
    image = cache.load(name)
    if image is None:
        image = compiled(text if isinstance(text, str) else text())
        cache.store(name, image)
    return Code(image)


def compiled(text: str) -> bytes:
    """The object file of a module of LLVM IR."""
    llvm, target = _llvm(), _target()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise ValueError(f"invalid LLVM IR: {error}") from None
    options = llvm.create_pipeline_tuning_options(LEVEL)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def assembly(text: str) -> str:
    """The assembly of a module of LLVM IR, to look at."""
    llvm, target = _llvm(), _target()
    module = llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(LEVEL)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    return target.emit_assembly(module)


@functools.cache
def features() -> str:
    """The CPU that code is made for: LLVM's name of it and of what it can do."""
    llvm = _llvm()
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@functools.cache
def setting() -> str:
    """All that code depends on besides its text."""
    import llvmlite

    version = ".".join(map(str, _llvm().llvm_version_info))
    return f"{__version__} {llvmlite.__version__} {version} O{LEVEL} {features()}"


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding

    llvmlite.binding.initialize_native_target()
    llvmlite.binding.initialize_native_asmprinter()
    return llvmlite.binding


@functools.cache
def _target() -> Any:
    llvm = _llvm()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=LEVEL,
        jit=True,
    )


@functools.cache
def _jit() -> Any:
    return _llvm().create_lljit_compiler(_target())
