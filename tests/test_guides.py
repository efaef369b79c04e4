"""The guides in docs/ show what really happens."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("guide", "examples"), [("transforms", 75), ("compile", 21)])
def test_the_examples_print_what_the_guide_says(guide: str, examples: int):
    failed, tried = doctest.testfile(
        str(DOCS / f"{guide}.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert tried >= examples and failed == 0
