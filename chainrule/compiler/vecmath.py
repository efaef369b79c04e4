"""Vector mathematics for the compiler: LLVM IR text that its loops call and LLVM makes vectors of.

Each function of formulas.py becomes one straight-line function of scalars, `@cr.NAME.f32` or
`.f64`, inlined into the loop that calls it, where LLVM's vectoriser makes it as wide as the machine
is. No branches, no tables in memory, no calls to a C library.

A few formulas do not reach everywhere: sin of 1e30 needs a thousand bits of pi. There the function
ends in a *rescue*: a call with vector variants, which LLVM keeps as one call for a whole vector.
It looks whether any lane is beyond the formula's reach, and returns at once where none is; else it
computes those lanes one by one by a slow formula.

A loop that calls a rescue keeps its constants on the stack, for no vector register outlives a call:
give the function around it `alignstack(64)`, or wide loads from there straddle cache lines (a
quarter slower on AVX-512, by chance of the stack's address).
"""

from __future__ import annotations

from . import machine
from .body import FORMATS, INLINED, OUTSIDE, SLOW, WIDTHS, Body, Format, constant, rescue_symbols
from .formulas import FUNCTIONS, RESCUES, Function


def functions() -> dict[str, Function]:
    """All functions by name; each exists as f32 and f64."""
    return FUNCTIONS


def call(name: str, dtype: str) -> str:
    """The symbol of a function: `call("exp", "f32")` is "@cr.exp.f32"."""
    return f"@cr.{name}.{dtype}"


def define(names: set[tuple[str, str]], scales: bool | None = None) -> str:
    """The IR text that defines exactly these (name, dtype) pairs, and declares what they need; for
    CPUs that do `scales` (`machine`) or do not, None: for this one.
    """
    scales = machine.scales() if scales is None else scales
    texts: list[str] = []
    intrinsics: set[str] = set()
    rescues: set[tuple[str, str]] = set()
    for name, dtype in sorted(names):
        row = FUNCTIONS[name]
        body = Body(FORMATS[dtype], row.arguments, scales)
        texts.append(body.define(call(name, dtype), row.formula(body, *body.inputs), INLINED))
        intrinsics |= body.intrinsics
        rescues |= body.rescues
    for name, dtype in sorted(rescues):
        texts.append(rescue_text(name, FORMATS[dtype], intrinsics))
    if rescues:
        symbols = [s for r in sorted(rescues) for s in rescue_symbols(*r)]
        used = ", ".join(f"ptr {symbol}" for symbol in symbols)
        texts.append(
            f"@llvm.compiler.used = appending global [{len(symbols)} x ptr] [{used}], "
            'section "llvm.metadata"\n'
        )
    return "\n".join([*sorted(intrinsics), "", *texts])


def rescue_text(name: str, form: Format, intrinsics: set[str]) -> str:
    """A rescue's scalar function, and those for vectors: a glance at all lanes, seldom more."""
    row, (symbol, *vectors) = RESCUES[name], rescue_symbols(name, form.kind)
    body = Body(form, row.arguments)  # one number at a time
    texts = [body.define(f"{symbol}.slow", row.formula(body, *body.inputs), SLOW)]
    intrinsics |= body.intrinsics
    names = [x.name for x in body.inputs]
    shared = {
        "scalar": symbol,
        "type": form.name,
        "limit": constant(row.limit[form.kind], form.name),
        "numbers": ", ".join(f"{form.name} {n}" for n in names),
        "pointers": ", ".join(f"ptr {n}" for n in names),
        "loads": "\n".join(
            f"  {n}.at = getelementptr {form.name}, ptr {n}, i32 %i\n"
            f"  {n}.one = load {form.name}, ptr {n}.at"
            for n in names
        ),
        "picked": ", ".join(f"{form.name} {n}.one" for n in names),
        "spills": "\n".join(SPILL.format(n) for n in names),
        "spilled": ", ".join(f"ptr {n}.memory" for n in names),
        "attributes": OUTSIDE,
    }
    texts.append(RESCUE_SCALAR.format(**shared))
    for width, vector in zip(WIDTHS[form.kind], vectors, strict=True):
        type = f"<{width} x {form.name}>"
        vectors_in = ", ".join(f"{type} {n}" for n in names)
        text = RESCUE_VECTOR.replace("{spills}", shared["spills"])
        texts.append(
            text.format(**shared, symbol=vector, width=width, vector=type, vectors=vectors_in)
        )
    return "\n".join(texts)


RESCUE_SCALAR = """\
define internal {type} {scalar}({type} %quick, {type} %measure, {numbers}) {attributes} {{
  %needed = fcmp ogt {type} %measure, {limit}
  br i1 %needed, label %slow, label %end
slow:
  %result = call {type} {scalar}.slow({numbers})
  ret {type} %result
end:
  ret {type} %quick
}}
define internal void {scalar}.lanes(i32 %n, ptr %quick, ptr %measure, {pointers}) noinline cold {{
entry:
  br label %loop
loop:
  %i = phi i32 [ 0, %entry ], [ %next, %loop ]
  %at = getelementptr {type}, ptr %quick, i32 %i
  %old = load {type}, ptr %at
  %measure.at = getelementptr {type}, ptr %measure, i32 %i
  %measure.one = load {type}, ptr %measure.at
{loads}
  %new = call {type} {scalar}({type} %old, {type} %measure.one, {picked})
  store {type} %new, ptr %at
  %next = add i32 %i, 1
  %done = icmp eq i32 %next, %n
  br i1 %done, label %end, label %loop
end:
  ret void
}}
"""
SPILL = "  {0}.memory = alloca {{vector}}\n  store {{vector}} {0}, ptr {0}.memory"
RESCUE_VECTOR = """\
define internal {vector} {symbol}({vector} %quick, {vector} %measure, {vectors}) {attributes} {{
  %needed = fcmp ogt {vector} %measure, splat ({type} {limit})
  %mask = bitcast <{width} x i1> %needed to i{width}
  %none = icmp eq i{width} %mask, 0
  br i1 %none, label %end, label %slow
slow:
  %memory = alloca {vector}
  store {vector} %quick, ptr %memory
  %measure.memory = alloca {vector}
  store {vector} %measure, ptr %measure.memory
{spills}
  call void {scalar}.lanes(i32 {width}, ptr %memory, ptr %measure.memory, {spilled})
  %result = load {vector}, ptr %memory
  ret {vector} %result
end:
  ret {vector} %quick
}}
"""
