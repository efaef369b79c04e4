"""The architecture, held by tests: layers, what rules may call, one row per operator, names, sizes.

Whoever breaks a rule here is told which and where; whoever has a reason adds it to the list beside
the test.
"""

from __future__ import annotations

import ast
import dis
import functools
import gc
import inspect
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule.arrays import grad
from chainrule.ops.define import FUNCTIONS, OPS, PRIMITIVES, Op

from .op_table import find
from .rows import families

PACKAGE = Path(chainrule.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(), str(path)) for path in FILES}

# From the ground up; a module imports from its own layer and those below. `x.` is all of package x.
LAYERS = (
    ("version", "errors"),
    ("dtypes", "storage", "devices"),
    ("arrays.duck", "arrays.levels"),
    ("tape",),
    ("cuts", "captures"),
    ("ops.define", "ops.inplace", "ops.places"),
    ("arrays.",),
    ("autograd.",),
    ("display", "namespace", "return_types"),
    ("tensor",),
    ("rng.",),
    ("ops.",),
    (
        "func.",
        "nn.",
        "optim.",
        "compiler.",
        "utils.",
        "serialization.",
        "testing",
        "cuda",
        "amp",
        "backends",
        "linalg",
        "fft",
        "special",
    ),
    ("", "as_torch", "cli"),
)
# Imports from above that have to wait until they are called, and why.
LATE = {
    ("autograd.consistency", "func"): "jvp and vmap, which it checks",
    ("autograd.gradcheck", "func"): "jvp and vmap, which it checks",
    ("tensor", "ops.legacy"): "Tensor(2, 3) builds tensors",
    ("nn.init", ""): "randperm",
    ("nn.module", ""): "compile",
    ("namespace", "compiler.api"): "the compiler is loaded when it is asked for",
    ("namespace", "compiler.eager"): "and by the first large array",
}
TORCH_PACKAGES = {"utils", "nn/utils"}  # torch's own names; no module of ours is called so


def module_name(path: Path) -> str:
    """The dotted name below `chainrule`; a package's own file is the package."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip(".")
    )


def layer(name: str) -> int:
    """How far up a module stands."""
    for i, names in enumerate(LAYERS):
        if name in names:
            return i
    for i, names in enumerate(LAYERS):
        if any(n.endswith(".") and (f"{name}.").startswith(n) for n in names):
            return i
    raise AssertionError(f"{name} has no place in LAYERS")


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, as absolute dotted names, and whether when it is loaded (or later)."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    late = {
        id(n) for f in ast.walk(TREES[path]) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)
    }
    for node in ast.walk(TREES[path]):
        now = id(node) not in late
        if isinstance(node, ast.Import):
            yield from ((alias.name, now) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or "", now
        elif isinstance(node, ast.ImportFrom):
            yield from ((found, now) for found in relative(package, node))


def relative(package: str, node: ast.ImportFrom) -> Iterator[str]:
    """The modules of ours that `from .x import y` names: x.y where that is a module, else x."""
    parts = package.split(".") if package else []
    parts = parts[: len(parts) - node.level + 1]
    base = ".".join([*parts, *(node.module or "").split(".")]).strip(".")
    for alias in node.names:
        inner = f"{base}.{alias.name}".strip(".")
        yield f"chainrule.{inner if is_module(inner) else base}"


def is_module(name: str) -> bool:
    """Whether a dotted name below `chainrule` is a module."""
    path = PACKAGE / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


# -- imports ---------------------------------------------------------------------------------------


def test_imports_run_one_way():
    wrong = []
    for path in FILES:
        name = module_name(path)
        for target, now in imports_of(path):
            below = target.removeprefix("chainrule").lstrip(".")
            if target.split(".")[0] != "chainrule" or layer(below) <= layer(name):
                continue
            if now or (name, below) not in LATE:
                wrong.append(f"{name or 'chainrule'} imports {below}, which stands above it")
    assert not wrong, "\n".join(wrong)


def test_late_imports_are_still_needed():
    found = {
        (module_name(p), t.removeprefix("chainrule."))
        for p in FILES
        for t, now in imports_of(p)
        if not now
    }
    assert set(LATE) <= found, set(LATE) - found


@pytest.mark.parametrize(("library", "home"), [("llvmlite", "compiler.machine"), ("torch", None)])
def test_library_is_imported_only_at_home(library: str, home: str | None):
    users = {
        module_name(p)
        for p in FILES
        for target, _ in imports_of(p)
        if target.split(".")[0] == library
    }
    assert users <= {home}


@functools.cache
def loaded_at_import() -> set[str]:
    """The modules that `import chainrule` loads in a fresh process."""
    code = "import sys, chainrule; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return set(run.stdout.split())


def test_import_loads_numpy_and_little_else():
    heavy = {"scipy", "torch", "llvmlite", "sklearn", "safetensors", "asyncio", "multiprocessing"}
    assert not heavy & {name.partition(".")[0] for name in loaded_at_import()}


# -- rules -----------------------------------------------------------------------------------------

# What else rules may take from NumPy: constants, dtypes, and work on shapes and indices.
CONSTANTS = {
    "zeros",
    "ones",
    "full",
    "arange",
    "eye",
    "tri",
    "array",
    "pi",
    "inf",
    "nan",
    "e",
    "newaxis",
    "dtype",
    "finfo",
    "iinfo",
    "generic",
    "integer",
    "ndarray",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "int8",
    "int64",
    "intp",
    "uint8",
    "bool_",
    "broadcast_shapes",
    "prod",
    "result_type",
    "bincount",
    "searchsorted",
    "triu_indices",
    "tril_indices",
}
# Functions that rules call and that may use what the rules may not, and why.
TRUSTED = {
    "blend": "takes its quick way on plain arrays only",
    "_base": "a grid of constants",
    "reuse": "writes into the memory of plain arrays only",
    "view_places": "geometry, known before",
    "spread_mean": "np.asarray of the divisor, a constant",
    "_check_eigenvectors": "looks at values to raise an error",
    "_check_phase": "looks at values to raise an error",
}


def all_rules() -> list:
    """(operator's key, rule) for every derivative rule."""
    return [(key, rule) for key, o in OPS.items() for rule in o.rules if rule is not None]


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def numpy_names(f: FunctionType) -> Iterator[str]:
    """The dotted names below `np` that a function mentions."""
    for code in codes(f.__code__):
        path: str | None = None
        for i in dis.get_instructions(code):
            if i.opname == "LOAD_GLOBAL":
                path = "" if f.__globals__.get(i.argval) is np else None
            elif i.opname in ("LOAD_ATTR", "LOAD_METHOD") and path is not None:
                path = f"{path}.{i.argval}".lstrip(".")
                yield path
            elif i.opname != "CACHE":
                path = None


def allowed(path: str) -> bool:
    """Whether a rule may say `np.<path>`."""
    head, _, method = path.partition(".")
    known = isinstance(getattr(np, head, None), np.ufunc) or head in grad.RULES or head in CONSTANTS
    return known and method != "at"


def called_functions(f: FunctionType) -> Iterator[FunctionType]:
    """The plain functions of ours that a function mentions: neither operators nor primitives."""
    for code in codes(f.__code__):
        for name in {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}:
            g = f.__globals__.get(name)
            if (
                isinstance(g, FunctionType)
                and g.__module__.startswith("chainrule.ops")
                and not registered(g)
            ):
                yield g


def registered(f: Any) -> bool:
    """Whether a function dispatches by itself: an operator, a primitive, or made of them."""
    return hasattr(f, "op") or hasattr(f, "facets") or PRIMITIVES.get(f.__name__) is f


def reached(rule: FunctionType) -> list[FunctionType]:
    """A rule and the plain functions it runs."""
    seen = [rule]
    for f in seen:
        seen += [g for g in called_functions(f) if g not in seen and g.__name__ not in TRUSTED]
    return seen


def trespasses(f: FunctionType) -> Iterator[str]:
    """What a function does that other array types could not follow."""
    if f.__name__ in TRUSTED:
        return
    yield from (f"np.{path}" for path in numpy_names(f) if not allowed(path))
    instructions = [i for code in codes(f.__code__) for i in dis.get_instructions(code)]
    if any(i.opname in ("STORE_SUBSCR", "DELETE_SUBSCR") for i in instructions):
        yield "item assignment"
    if any(type(c) is tuple and "out" in c for code in codes(f.__code__) for c in code.co_consts):
        yield "out="


def test_rules_use_what_every_array_type_understands():
    wrong = {
        f"{key}: {place(f)}: {what}"
        for key, rule in all_rules()
        for f in reached(rule)
        for what in trespasses(f)
    }
    assert not wrong, "\n".join(sorted(wrong))


def place(f: FunctionType) -> str:
    """Where a function stands."""
    return f"{Path(f.__code__.co_filename).name}:{f.__code__.co_firstlineno} {f.__name__}"


def test_rules_ask_for_what_there_is():
    wrong = []
    for key, o in OPS.items():
        tensors, rest = o.params[: o.n], o.params[o.n :]
        known = {*tensors, *rest, "out", "needs", *(f"{p}_shape" for p in tensors)} | (
            {"extra"} if o.extra else set()
        )
        for rule, names in zip(o.rules, o.names, strict=True):
            if rule is not None and (
                not set(names) <= known or rule.__code__.co_varnames[0] != "g"
            ):
                wrong.append(
                    f"{key}: {place(rule)}{inspect.signature(rule)}, there are {sorted(known)}"
                )
    assert not wrong, "\n".join(wrong)


def test_no_more_rules_than_inputs():
    wrong = [key for key, o in OPS.items() if not o.joint and len(o.rules) > max(o.n, 1)]
    assert not wrong, wrong


# -- registry, exports, rows, docs -----------------------------------------------------------------


def paths(name: str, namespace: str, aliases: tuple[str, ...]) -> list[str]:
    """Where a registered function is to be found below `torch`."""
    return [
        (a if "." in a else f"{namespace}.{a}").removeprefix("torch.") for a in (name, *aliases)
    ]


def public() -> dict[str, tuple[Any, list[str]]]:
    """Every registered public function by its path, with its aliases' paths."""
    found = {}
    for o in OPS.values():
        if o.namespace != "primitive":
            first, *others = paths(o.name, o.namespace, o.alias)
            found[first] = (o.entry, others)
    for f in FUNCTIONS.values():
        _, _, alias, namespace = f.facets
        if namespace != "primitive":
            first, *others = paths(f.__name__, namespace, alias)
            found[first] = (f, others)
    return found


PUBLIC = public()
# Registered functions that need no row of their own, and why.
RANDOM = "draws; held by tests/test_random.py and tests/test_random_streams.py"
NO_ROW: dict[str, str] = {
    "linalg.LinAlgError": "an exception",
    **dict.fromkeys(
        [
            *("bernoulli", "binomial", "get_rng_state", "initial_seed", "manual_seed"),
            *("multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like"),
            *("randn", "randn_like", "randperm", "seed", "set_rng_state"),
            *(f"Tensor.{n}_" for n in ("bernoulli", "cauchy", "exponential", "geometric")),
            *(f"Tensor.{n}_" for n in ("log_normal", "normal", "random", "uniform")),
            *(f"nn.functional.dropout{n}" for n in ("", "1d", "2d", "3d")),
            *("nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout"),
        ],
        RANDOM,
    ),
}


def test_every_operator_has_a_row():
    rows = {row.name for rows in families().values() for row in rows}
    missing = set(PUBLIC) - rows - set(NO_ROW)
    assert not missing, (
        f"{len(missing)} of {len(PUBLIC)} have no row in tests/rows: {', '.join(sorted(missing))}"
    )


def test_exceptions_are_still_needed():
    rows = {row.name for rows in families().values() for row in rows}
    assert not set(NO_ROW) & rows
    assert set(NO_ROW) <= set(PUBLIC)


def test_exports_equal_the_registry():
    wrong = []
    for path, (f, aliases) in PUBLIC.items():
        for p in (path, *aliases):
            try:
                if find(chainrule, p) is not f:
                    wrong.append(f"chainrule.{p} is something else")
            except AttributeError:
                wrong.append(f"chainrule.{p} is missing")
    assert not wrong, "\n".join(wrong)


def test_methods_are_attached():
    named = [
        (n, o.method)
        for o in OPS.values()
        for n in (o.name, *o.alias)
        if o.namespace != "primitive"
    ]
    named += [(n, f.facets[0]) for f in FUNCTIONS.values() for n in (f.__name__, *f.facets[2])]
    missing = [
        n for n, method in named if method and "." not in n and not hasattr(chainrule.Tensor, n)
    ]
    assert not missing, missing


def test_public_functions_are_documented():
    named = {**{path: f for path, (f, _) in PUBLIC.items()}, **public_members(chainrule)}
    for name in (
        "nn",
        "optim",
        "autograd",
        "func",
        "linalg",
        "special",
        "fft",
        "utils",
        "nn.functional",
        "Tensor",
    ):
        if hasattr(chainrule, name.split(".")[0]):
            named |= {f"{name}.{k}": v for k, v in public_members(find(chainrule, name)).items()}
    missing = sorted(name for name, f in named.items() if not (f.__doc__ or "").strip())
    assert not missing, f"{len(missing)} without a docstring: {', '.join(missing)}"


def public_members(owner: Any) -> dict[str, Any]:
    """The public functions and classes of ours in a module or class."""
    found = {n: f for n, f in vars(owner).items() if isinstance(f, (FunctionType, type))}
    return {n: f for n, f in found.items() if n[0] != "_" and f.__module__.startswith("chainrule")}


# -- names and sizes -------------------------------------------------------------------------------


def test_no_module_for_odds_and_ends():
    folders = {str(p.parent.relative_to(PACKAGE)) for p in FILES} - TORCH_PACKAGES
    names = {p.stem for p in FILES} | {f.rpartition("/")[2] for f in folders}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc"}


def test_no_module_hides_a_function():
    """Importing `chainrule.x` later would put a module over a function of that name."""
    wrong = []
    for name in filter(None, map(module_name, FILES)):
        owner, _, own = f"chainrule.{name}".rpartition(".")
        if f"chainrule.{name}" not in loaded_at_import() and hasattr(sys.modules.get(owner), own):
            wrong += [name] if not isinstance(getattr(sys.modules[owner], own), ModuleType) else []
    theirs = {"nn.utils.spectral_norm", "nn.utils.weight_norm"}  # torch has both, under one name
    guarded = {"autograd.gradcheck"}  # its package keeps the function
    assert set(wrong) <= theirs | guarded, wrong


@pytest.mark.parametrize(
    "first",
    [
        "from chainrule.autograd import gradcheck",
        "from chainrule.autograd.gradcheck import GradcheckError",
        "import chainrule.autograd.gradcheck",
        "chainrule.autograd.gradgradcheck",
        "from chainrule.autograd import *",
    ],
)
def test_gradcheck_is_a_function_however_it_is_imported(first: str):
    code = f"import chainrule\n{first}\nprint(type(chainrule.autograd.gradcheck).__name__)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert run.stdout == "function\n"


def test_what_autograd_imports_late_is_there():
    missing = [name for name in dir(chainrule.autograd) if not hasattr(chainrule.autograd, name)]
    assert not missing
    assert set(chainrule.autograd.__all__) <= set(dir(chainrule.autograd))


def test_nothing_is_left_to_be_done():
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    wrong = [
        f"{p.relative_to(PACKAGE)}:{i}"
        for p in FILES
        for i, line in enumerate(p.read_text().split("\n"), 1)
        if words.search(line)
    ]
    assert not wrong, wrong


def test_not_implemented_says_what_is_missing():
    wrong = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and node.exc is not None:
                bare = isinstance(node.exc, ast.Name) or (
                    isinstance(node.exc, ast.Call) and not node.exc.args
                )
                name = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                if bare and isinstance(name, ast.Name) and name.id == "NotImplementedError":
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not wrong, wrong


def lengths() -> list[tuple[int, str]]:
    """(lines, place) of every function, without its docstring and the functions inside it."""
    found = []
    for path, tree in TREES.items():
        for f in ast.walk(tree):
            if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)):
                own = f.end_lineno - f.lineno + 1
                if ast.get_docstring(f, clean=False) is not None:
                    own -= f.body[0].end_lineno - f.body[0].lineno + 1
                inner = [g for g in ast.walk(f) if g is not f and isinstance(g, ast.FunctionDef)]
                own -= sum(
                    g.end_lineno - g.lineno + 1
                    for g in inner
                    if not any(g in ast.walk(h) for h in inner if h is not g)
                )
                found.append((own, f"{path.relative_to(PACKAGE)}:{f.lineno} {f.name}"))
    return sorted(found, reverse=True)


MANY_ARGUMENTS = "multi_head_attention_forward"  # torch's 26 arguments, a line each


def test_functions_are_short():
    found = lengths()
    sizes = [n for n, _ in found]
    median, most = statistics.median(sizes), sizes[len(sizes) // 20]
    longest = ", ".join(f"{where} ({n})" for n, where in found[:12])
    said = f"{len(sizes)} functions: median {median}, 95 % <= {most} lines; longest: {longest}"
    assert median <= 6, said
    assert most <= 30, said
    assert [where for n, where in found if n > 60 and not where.endswith(MANY_ARGUMENTS)] == [], (
        said
    )


def frames_of(f: Callable[[], Any]) -> int:
    """How many Python functions run during the call that f makes, without the collector's."""
    f()
    gc.collect()
    gc.disable()
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count - 2  # f and the call inside it


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("x * y", lambda x, y: x * y),
        ("x + 1", lambda x, y: x + 1),
        ("x.exp()", lambda x, y: x.exp()),
        ("x.sum()", lambda x, y: x.sum()),
        ("x.reshape(9)", lambda x, y: x.reshape(9)),
        ("x[0]", lambda x, y: x[0]),
        ("x @ y", lambda x, y: x @ y),
        ("x.softmax(1)", lambda x, y: x.softmax(1)),
        ("F.softmax(x, 1)", lambda x, y: chainrule.nn.functional.softmax(x, 1)),
    ],
)
def test_frames_per_operation(name: str, call: Callable):
    x, y = (chainrule.ones(3, 3, requires_grad=True) for _ in range(2))
    count = frames_of(lambda: call(x, y))
    assert count <= 6, f"{name}: {count} Python frames"


def test_operators_are_what_the_registry_holds():
    assert all(isinstance(o, Op) for o in OPS.values())


def test_no_primitive_has_the_name_of_a_function_of_the_waist():
    taken = [n for n in PRIMITIVES if isinstance(getattr(np, n, None), np.ufunc)]
    assert taken == []
