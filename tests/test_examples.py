"""The programs in examples/science find what they say they find."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCIENCE = Path(__file__).parent.parent / "examples" / "science"


def figures(name: str, **settings: int) -> dict:
    """What the example's main() returns."""
    return runpy.run_path(str(SCIENCE / f"{name}.py"))["main"](**settings)


def test_every_example_is_run_here():
    here = Path(__file__).read_text()
    missing = [p.stem for p in SCIENCE.glob("*.py") if f'figures("{p.stem}"' not in here]
    assert not missing, missing


def test_newton_cg_finds_the_certified_values():
    found = figures("newton_cg")
    assert found["error"] < 1e-8
    assert found["squares"] == pytest.approx(5642.7082397, abs=1e-6)
    assert found["steps"] < 40
    assert found["asymmetry"] < 1e-10


def test_the_adjoint_is_the_solvers_gradient():
    found = figures("neural_ode", epochs=120)
    assert found["error"] < 0.4 * found["no change"]
    assert found["fine"] < 1e-6
    assert 1500 < found["coarse"] / found["fine"] < 12000  # fourth order: 8^4 = 4096


def test_per_sample_gradients_tell_the_influence_of_a_day():
    found = figures("per_sample_gradients")
    assert found["weights"] == pytest.approx([0.7156, 1.2953, -0.1521, -39.9197], abs=5e-5)
    assert found["sum"] < 1e-8
    assert (found["day"], found["distance"]) == (21, pytest.approx(0.692, abs=5e-4))
    assert found["error"] < 1e-10
    assert found["network"] < 1e-12


def test_the_physics_informed_network_solves_the_heat_equation():
    found = figures("physics_informed", rounds=150)
    assert found["last"] < 1e-3 * found["first"]
    assert found["error"] < 0.05 * found["still"]


def test_maml_adapts_in_one_step():
    found = figures("maml", batches=200)
    assert found["slope"] < 1e-7
    assert found["maml 1"] < 0.6 * found["alike 1"]
    assert found["maml 5"] < found["maml 1"] < found["maml 0"]


def test_the_implicit_rule_finds_the_orbit_of_the_earth():
    found = figures("implicit_gradients")
    assert found["eccentricity"] == pytest.approx(0.0167, abs=1e-4)
    assert found["perihelion"] == pytest.approx(4, abs=1)  # 4 January 2025
    assert found["seconds of arc"] < 8
    assert found["first"] < 1e-8
    assert found["second"] < 1e-12
    assert found["mapped"] < 1e-12
