"""The names that PyTorch programs use most: whether they exist, and which entries check them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity_modules import MODULES, OPTIMIZERS
from parity_operators import OPERATORS

import chainrule

LIST = Path(__file__).resolve().parent / "required_names.txt"
DUNDERS = {
    "and": "bitwise_and",
    "or": "bitwise_or",
    "invert": "bitwise_not",
    "setitem": "index_put",
}


def required_names() -> list[str]:
    """The names in tools/required_names.txt."""
    return [line for line in LIST.read_text().split("\n") if line and line[0] != "#"]


def exists(name: str) -> bool:
    """Whether chainrule has what torch calls so."""
    root, _, path = name.partition(".")
    x = chainrule.ones(2, 2, requires_grad=True)
    owner: Any = {"torch": chainrule, "Tensor": x, "Module": chainrule.nn.Module}[root]
    for part in path.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


def entries_of(name: str) -> list[str]:
    """The entries of the databases that check a name."""
    path = name.partition(".")[2]
    if path.startswith("__"):
        path = DUNDERS.get(path.strip("_"), path.strip("_"))
    wanted = {path, path.rstrip("_")}
    found = [x for x, i in OPERATORS.items() if wanted & {i.name, *(a.name for a in i.aliases)}]
    return found + sorted(wanted & {*MODULES, *OPTIMIZERS})
