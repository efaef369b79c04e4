"""Write all golden files from torch, or compare with them: runs every tools/golden_*.py and passes
the options on.

python tools/golden.py [--check]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    scripts = sorted(Path(__file__).parent.glob("golden_*.py"))
    failed = [
        s.name
        for s in scripts
        if subprocess.run([sys.executable, str(s), *sys.argv[1:]], check=False).returncode
    ]
    print(
        "golden files: all in order"
        if not failed
        else f"golden files: trouble in {', '.join(failed)}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
