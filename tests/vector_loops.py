"""Loops over the functions of vecmath, compiled by LLVM: what the vecmath tests run.

Needs llvmlite. A loop is one exported function `void loop(x, [y,] out, n)`; compiling it the way
the compiler does shows whether LLVM's vectoriser takes it, and runs it on NumPy arrays.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np

from chainrule.compiler import vecmath

LOOP = """
define void @loop({pointers}, ptr noalias %out, i64 %n) #0 {{
entry:
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
{loads}
  %result = call {type} {symbol}({values})
  %place = getelementptr {type}, ptr %out, i64 %i
  store {type} %result, ptr %place
  %next = add nuw nsw i64 %i, 1
  %done = icmp eq i64 %next, %n
  br i1 %done, label %end, label %body
end:
  ret void
}}
attributes #0 = {{ alignstack=64 "prefer-vector-width"="512" }}
"""
KEPT: list = []  # engines own the machine code


def source(name: str, dtype: str, scales: bool | None = None) -> str:
    """The module: the function and a loop over it."""
    type = {"f32": "float", "f64": "double"}[dtype]
    names = ["x", "y", "z"][: vecmath.functions()[name].arguments]
    load = "  %at_{0} = getelementptr {1}, ptr %p_{0}, i64 %i\n  %{0} = load {1}, ptr %at_{0}"
    loop = LOOP.format(
        pointers=", ".join(f"ptr noalias %p_{n}" for n in names),
        loads="\n".join(load.format(n, type) for n in names),
        values=", ".join(f"{type} %{n}" for n in names),
        type=type,
        symbol=vecmath.call(name, dtype),
    )
    return vecmath.define({(name, dtype)}, scales) + loop


@functools.cache
def machine():
    """The host's target machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True
    )


def optimized(text: str):
    """The module after LLVM's O3 pipeline."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    module.data_layout = str(machine().target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine(), options)
    builder.getModulePassManager().run(module, builder)
    return module


@functools.cache
def module(name: str, dtype: str, scales: bool | None = None):
    """The optimised module of a function and its loop."""
    return optimized(source(name, dtype, scales))


@functools.cache
def compiled(name: str, dtype: str, scales: bool | None = None) -> Callable[..., np.ndarray]:
    """The function over arrays: `compiled("exp", "f32")(x)`; for CPUs that do `scales` or not."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(
        llvm.parse_bitcode(module(name, dtype, scales).as_bitcode()), machine()
    )
    engine.finalize_object()
    KEPT.append(engine)
    count = vecmath.functions()[name].arguments
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (count + 1), ctypes.c_int64)
    loop = signature(engine.get_function_address("loop"))
    kind = {"f32": np.float32, "f64": np.float64}[dtype]

    def run(*arrays, out=None):
        arrays = [np.ascontiguousarray(a, kind) for a in arrays]
        result = np.empty_like(arrays[0]) if out is None else out
        loop(*(a.ctypes.data for a in arrays), result.ctypes.data, result.size)
        return result

    run.loop = loop
    return run
