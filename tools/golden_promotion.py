"""Record the dtypes torch promotes to: writes tests/golden/promotion.json.gz, or compares with it
(`--check`).

What is recorded, and how, stands in tests/test_promotion.py.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.test_promotion import CASES, GOLDEN, outcomes


def record() -> bytes:
    """The golden file's content."""
    found = {f"{name} {default}": outcomes(torch, name, default) for name, default in CASES}
    text = json.dumps({"torch": torch.__version__.split("+")[0], "outcomes": found}, indent=0)
    return gzip.compress(text.encode(), mtime=0)


def main() -> int:
    """Write the file, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the stored file")
    content = record()
    if not parser.parse_args().check:
        GOLDEN.write_bytes(content)
        print(f"{GOLDEN.name}: {len(CASES)} operators, {len(content)} bytes")
        return 0
    same = gzip.decompress(content) == gzip.decompress(GOLDEN.read_bytes())
    print(f"{GOLDEN.name}: {'as stored' if same else 'torch gives something else now'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
