# Every target makes .venv and installs what it needs the first time; nothing happens when nothing changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2
READY := .venv/.ready

.PHONY: setup demo test lint bench
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[sample,dev]'
	@touch $@

demo: $(READY)
	$(BIN)/pretrace run configs/tiny.yaml
	$(BIN)/pretrace fill "$$($(BIN)/pretrace show pretrain --keys | tail -n 1)" "Paris is the [MASK] of France."

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/data.py --quick --json
