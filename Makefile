# make demo   sets itself up, then exports, builds and verifies (CHECKPOINT=... DATA=camvid:DIR)
# make test   sets itself up, then lints, type-checks and tests

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CHECKPOINT ?=
DATA ?=

.PHONY: demo test lint setup clean

demo: setup
	$(BIN)/python tools/demo.py $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)") $(if $(DATA),--data "$(DATA)")

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt tools/tensorrt_typings.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q 'pip>=25.1'
	$(BIN)/python -m pip install -q -c constraints.txt --group dev -e '.[export,rtx]'
	$(BIN)/python tools/tensorrt_typings.py
	touch $@

clean:
	rm -rf $(VENV) .typings build demo *.egg-info
