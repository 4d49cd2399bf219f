# Every target makes .venv and installs what it needs the first time; nothing happens when nothing changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2
READY := .venv/.ready

.PHONY: setup demo test test-browser lint bench
setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[sample,dev]'
	@touch $@

demo: $(READY)
	$(BIN)/pretrace run configs/tiny.yaml
	$(BIN)/pretrace fill "$$($(BIN)/pretrace show pretrain --keys | tail -n 1)" "Paris is the [MASK] of France."

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/browser --ignore tests/room

# The control room and its pages. Debian's chromium is installed where we may; without one these tests are skipped and say so. Pictures: build/pictures.
test-browser: $(READY)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install --quiet --yes --no-install-recommends chromium >/dev/null; } || true
	@$(BIN)/python -c 'import playwright' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest tests/browser tests/room -rs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/data.py --quick --json
