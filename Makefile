# chainrule's commands. Each makes the virtual environment it needs; only Python >= 3.11, git and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test fast parity bench lint docs golden wheel clean

$(VENV)/base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/examples: $(VENV)/base
	$(PIP) -e '.[examples]'
	touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) -e '.[dev]'
	touch $@

$(VENV)/parity: $(VENV)/dev
	$(PIP) torch==2.13.0
	$(PIP) -e '.[parity,bench]'
	touch $@

run: $(VENV)/examples        ## the tutorials, the examples from science, then a real network
	$(BIN)/python examples/run_all.py

test: $(VENV)/dev            ## all tests, without torch
	$(BIN)/python -m pytest -n 2

fast: $(VENV)/dev            ## a quick look while working
	$(BIN)/python -m pytest -x -n 2 -m "not slow" tests/test_conventions.py tests/test_autograd.py tests/test_printing.py

parity: $(VENV)/parity       ## against torch: its operator database and the golden files
	$(BIN)/python tools/parity.py --write docs/parity.md
	$(BIN)/python tools/golden.py --check

golden: $(VENV)/parity       ## write the golden files anew from torch
	$(BIN)/python tools/golden.py

bench: $(VENV)/parity        ## peers side by side
	$(BIN)/python benchmarks/eager.py --write docs/benchmarks.md
	$(BIN)/python benchmarks/transforms.py --write docs/transforms_benchmarks.md
	$(BIN)/python benchmarks/compiled.py --torch-compile --write docs/compiled_benchmarks.md

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/composition.py
	$(BIN)/python tools/lowering.py

wheel: $(VENV)/dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
