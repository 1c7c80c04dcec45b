# Everything lives in .venv and var/ of this folder; `make clean` forgets both.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test ui lint format bench clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP)  ## create .venv with the pinned packages

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup  ## run one business day against the sandbox, to a verified evidence pack
	$(BIN)/athena-fusion demo

test: setup  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

ui: setup  ## sandbox, Dagster UI and daemon until Ctrl-C
	$(BIN)/athena-fusion up

lint: setup  ## format, lint, types, import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## rewrite to the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## the figures of docs/performance.md
	$(BIN)/python -m benchmarks

clean:  ## remove the virtual environment and all local state
	rm -rf $(VENV) var
