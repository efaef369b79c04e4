"""The main job: tutorials and examples from science one after the other, then a real network
trained, saved and reloaded.
"""

import pathlib
import runpy
import sys

HERE = pathlib.Path(__file__).parent
TUTORIALS = ["first_gradient", "tracking", "polynomial", "graphs", "scalar_loss"]


def main():
    """Run every tutorial, every example and the training."""
    science = sorted((HERE / "science").glob("*.py"))
    for path in [*(HERE / "tutorials" / f"{name}.py" for name in TUTORIALS), *science]:
        print(f"\n=== {path.relative_to(HERE.parent)}\n")
        runpy.run_path(str(path), run_name="__main__")
    print("\n=== examples/digits.py\n")
    sys.argv = ["digits.py", "--out", str(HERE.parent / "build" / "digits.pt")]
    (HERE.parent / "build").mkdir(exist_ok=True)
    runpy.run_path(str(HERE / "digits.py"), run_name="__main__")


if __name__ == "__main__":
    main()
