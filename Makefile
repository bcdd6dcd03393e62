# make demo   the whole way on a small model: train, evaluate, export, score, reward
# make test   the test suite; make test-all adds the long ones (soak, kills)
# Each makes .venv and installs with the tested versions (configs/constraints.txt) first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := configs/constraints.txt

.PHONY: install demo test test-all lint types clean

install: $(STAMP)

# torch goes first and alone: where a wheel of just that version is at hand it is taken, whatever its build.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' $(CONSTRAINTS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint $(CONSTRAINTS)
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/tracelift-rm demo --force

test: $(STAMP)
	$(BIN)/python -m pytest -m "not long and not gpu" --nbmake tests notebooks

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu" --nbmake tests notebooks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
