"""Write the explicit export lists from the registry: what torch has under a name and we define is
imported under that name.

python tools/exports.py     (needs torch, to know which names are public)

Writes the marked blocks of chainrule/__init__.py and chainrule/nn/functional.py, and
chainrule/linalg.py, fft.py, special.py.
"""

from __future__ import annotations

import ast
import collections
import importlib
import pathlib
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import torch

import chainrule.ops
from chainrule.ops.define import FUNCTIONS, OPS

ROOT = pathlib.Path(__file__).parent.parent / "chainrule"
BEGIN, END = "# exports: begin (tools/exports.py)\n", "# exports: end\n"
REGISTRIES: dict[str, dict] = {"FUNCTIONS": FUNCTIONS, "OPS": OPS}
PAGES = {
    "linalg": "Linear algebra (`torch.linalg`).",
    "fft": "Discrete Fourier transforms (`torch.fft`).",
    "special": "Special functions (`torch.special`).",
}


def defined_in(module: Any) -> set[str]:
    """The names that a module defines itself."""
    names = set()
    for node in ast.parse(pathlib.Path(module.__file__).read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else []
        names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def homes() -> dict[int, tuple[str, str]]:
    """id of a function -> (module below ops, variable)."""
    found: dict[int, tuple[str, str]] = {}
    for info in pkgutil.iter_modules(chainrule.ops.__path__):
        if info.name in ("attach", "define"):
            continue
        module = importlib.import_module(f"chainrule.ops.{info.name}")
        for name in defined_in(module):
            value = getattr(module, name, None)
            if callable(value):
                found.setdefault(id(value), (info.name, name))
                entry = getattr(getattr(value, "op", None), "entry", None)
                if entry is not None and entry is not value:
                    found.setdefault(id(entry), (info.name, f"{name}.op.entry"))
    return found


def public() -> dict[str, dict[str, Callable]]:
    """namespace -> name -> function, of what torch has too."""
    entries = [(f.facets[3], f.__name__, f.facets[2], f) for f in FUNCTIONS.values()]
    entries += [(o.namespace, o.name, o.alias, o.entry) for o in OPS.values()]
    found: dict[str, dict[str, Callable]] = collections.defaultdict(dict)
    for namespace, name, aliases, f in entries:
        for n in (name, *aliases):
            path = (n if "." in n else f"{namespace}.{n}").removeprefix("torch.")
            if namespace not in ("primitive", "Tensor") and in_torch(path):
                where, _, last = path.rpartition(".")
                found[where or "torch"].setdefault(last, f)
    return found


def in_torch(path: str) -> bool:
    """Whether torch has a public function at that path."""
    here: Any = torch
    for part in path.split("."):
        here = getattr(here, part, None)
    return callable(here)


def block(functions: dict[str, Callable], dots: str) -> str:
    """Import statements, and assignments for the public side of primitives."""
    where, imports, assignments = homes(), collections.defaultdict(set), []
    for name, f in sorted(functions.items()):
        module, variable = where.get(id(f), ("define", ""))
        if not variable:  # made by a table
            registry, key = next(
                (r, k)
                for r in ("FUNCTIONS", "OPS")
                for k, v in REGISTRIES[r].items()
                if (v if r == "FUNCTIONS" else v.entry) is f
            )
            imports[module].add(f"{registry} as _{registry}")
            assignments.append(
                f"{name} = _{registry}[{key!r}]" + (".entry" if registry == "OPS" else "")
            )
        elif variable.endswith(".op.entry"):
            own = variable.removesuffix(".op.entry")
            imports[module].add(f"{own} as _{name}")
            assignments.append(f"{name} = _{name}.op.entry")
        else:
            imports[module].add(f"{variable} as {name}")
    if dots == "." and "abs" in functions:  # the rest attach methods, or export elsewhere
        every = {i.name for i in pkgutil.iter_modules(chainrule.ops.__path__)} - {
            "attach",
            "define",
        }
        imports[""] |= {f"{m} as _{m}" for m in every - set(imports)}
    lines = [
        f"from {dots}ops{'.' * bool(m)}{m} import {item}"
        for m in sorted(imports)
        for item in sorted(imports[m])
    ]
    return "\n".join([*lines, *assignments]) + "\n"


def write_block(path: pathlib.Path, text: str) -> None:
    """Replace the marked block of a file."""
    old = path.read_text()
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    assert pattern.search(old), path
    path.write_text(pattern.sub(lambda _: BEGIN + text + END, old))


def main() -> None:
    """Write all lists."""
    homes()  # imports every module of operators
    found = public()
    write_block(ROOT / "__init__.py", block(found["torch"], "."))
    write_block(ROOT / "nn" / "functional.py", block(found["nn.functional"], ".."))
    for name, title in PAGES.items():
        (ROOT / f"{name}.py").write_text(f'"""{title}"""\n\n{block(found[name], ".")}')
    for namespace, functions in found.items():
        print(f"{namespace}: {len(functions)} names")


if __name__ == "__main__":
    main()
