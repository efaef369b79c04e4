"""README shows what really happens."""

import doctest
from pathlib import Path


def test_the_examples_print_what_readme_says():
    readme = Path(__file__).parent.parent / "README.md"
    failed, tried = doctest.testfile(str(readme), module_relative=False)
    assert tried >= 18 and failed == 0
