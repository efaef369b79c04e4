"""Every program of the composition matrix in every mode of differentiation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule
from tools import composition as page

from . import composition
from .composition import FORBIDDEN, MODES, PROGRAMS, Formula

CELLS = [
    pytest.param(mode, program, way, id=f"{program}-{mode}-{way}".replace(" ", "_"))
    for program in PROGRAMS
    for mode in MODES
    for way in MODES[mode].ways
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("mode", "program", "way"), CELLS)
def test_cell(mode: str, program: str, way: str):
    assert composition.complaint(chainrule, mode, program, way) is None


SOME = list(zip(PROGRAMS, itertools.cycle(MODES)))  # `tools/composition.py --compiled` runs all


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("program", "mode"), SOME)
def test_some_cells_compiled(program: str, mode: str):
    way = next(iter(MODES[mode].ways))
    assert composition.compiled_complaint(chainrule, mode, program, way) is None


def test_refusals_are_of_ways_that_exist():
    ways = {way for mode in MODES.values() for way in mode.ways}
    assert len(ways) == sum(len(mode.ways) for mode in MODES.values())
    for program, refused in FORBIDDEN.items():
        assert program in PROGRAMS and set(refused) <= ways


def test_the_formula_is_the_derivative_of_its_value():
    """By differences of the value, which nothing but NumPy computes."""
    o, h = Formula(), 1e-5
    for data in (composition.arrays(False), composition.arrays(True)):
        x, w = data.x, data.w
        steps = h * np.eye(3)
        columns = [(o.value(x + e) - o.value(x - e)) / (2 * h) for e in steps]
        assert np.allclose(o.jacobian(x, 1), np.stack(columns, 1), atol=1e-8)
        columns = [
            (o.jacobian(x + e, 1).T @ w - o.jacobian(x - e, 1).T @ w) / (2 * h) for e in steps
        ]
        assert np.allclose(o.second(x, w, 1), np.stack(columns, 1), atol=1e-8)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_page_is_up_to_date():
    """The matrix of programs as it comes out now; of the operators, that each has its line."""
    text = page.TARGET.read_text()
    assert text.startswith(page.program_part())
    listed = {line.split(" | ")[0][2:] for line in text.splitlines() if line.count(" | ") == 8}
    names = {name for rows in page.families().values() for name in rows}
    assert names <= listed
    assert listed - names == {"operator", "operators", *page.WORST}
    assert not [line for line in text.splitlines() if page.FAILS in line[2:].strip("* ")]
