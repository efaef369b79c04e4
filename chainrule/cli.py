"""The command line: `chainrule run script.py [args]` runs a program written for PyTorch,
unchanged.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from typing import Any

from .as_torch import install_as_torch
from .version import TORCH, __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `chainrule` command."""
    parser = argparse.ArgumentParser(
        prog="chainrule", description="Run PyTorch programs on chainrule."
    )
    parser.add_argument(
        "--version", action="version", version=f"chainrule {__version__} (follows torch {TORCH})"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a program, with `import torch` giving chainrule")
    run.add_argument(
        "--echo",
        action="store_true",
        help="as a notebook: cells begin at '# %%%%', the last expression of each is shown",
    )
    run.add_argument("script", help="the program's file")
    run.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(argv)
    return run_script(options.script, options.args, options.echo)


def run_script(path: str, args: Sequence[str], echo: bool = False) -> int:
    """Run the program in the file `path` as `__main__`; returns 2 if there is no such file."""
    try:
        with open(path, encoding="utf-8") as f:
            source = f.read()
    except OSError as e:
        print(f"chainrule: cannot read {path!r}: {e.strerror}", file=sys.stderr)
        return 2
    install_as_torch()
    sys.argv = [path, *args]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    main_module = sys.modules["__main__"]
    scope = main_module.__dict__
    scope.update(__file__=path, __name__="__main__")
    if echo:
        return run_cells(source, path, scope)
    exec(compile(source, path, "exec"), scope)
    return 0


def run_cells(source: str, path: str, scope: dict) -> int:
    """Run as a notebook would: cells begin at lines `# %%`; a cell's last expression is shown, an
    error ends only its cell.

    Returns 1 if a cell failed.
    """
    lines, start, failed = source.splitlines(keepends=True), 0, 0
    ends = [i for i, line in enumerate(lines) if line.startswith("# %%")] + [len(lines)]
    for end in ends:
        cell = "\n" * start + "".join(lines[start:end])
        start = end
        try:
            run_cell(cell, path, scope)
        except Exception as e:
            failed = 1
            print(f"{type(e).__name__}: {e}")
    return failed


def run_cell(source: str, path: str, scope: dict) -> None:
    """Run one cell and show the value of its last expression, if it has one."""
    body = ast.parse(source, path).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), path, "exec"), scope)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), path, "eval"), scope)  # type: ignore[attr-defined]
        if value is not None:
            print(shown(value))


def shown(value: Any, indent: int = 0) -> str:
    """repr, with a list or tuple that does not fit on a line broken after each element."""
    text = repr(value)
    if (
        type(value) not in (list, tuple)
        or len(value) < 2
        or (len(text) + indent < 80 and "\n" not in text)
    ):
        return text.replace("\n", "\n" + " " * indent)
    opening, closing = ("[", "]") if type(value) is list else ("(", ")")
    inner = (",\n" + " " * (indent + 1)).join(shown(v, indent + 1) for v in value)
    return opening + inner + closing


if __name__ == "__main__":
    sys.exit(main())
