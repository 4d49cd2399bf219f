# Every target makes .venv and installs what it needs the first time; nothing happens when nothing changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
WORKERS ?= 2
READY := .venv/.ready

.PHONY: setup demo test test-browser test-room lint bench
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

# Prefect's and MLflow's pages in a browser. Debian's chromium is installed where we may and can, within minutes; without one
# these tests are skipped and say so. Pictures: build/pictures.
APT := apt-get --quiet --yes --no-install-recommends -o Acquire::Retries=1 -o Acquire::http::Timeout=15
test-browser: $(READY)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		{ timeout 60 $(APT) update; DEBIAN_FRONTEND=noninteractive timeout 180 $(APT) install chromium; } >/dev/null 2>&1; } || true
	@$(BIN)/python -c 'import playwright' 2>/dev/null || timeout 120 $(BIN)/python -m pip install --quiet --retries 1 \
		--timeout 15 --disable-pip-version-check --constraint constraints.txt playwright || true
	$(BIN)/python -m pytest tests/browser -rs

# The control room over its API, for ten minutes: killed, cancelled, retried, paused; runs that wait for each other; schedules.
test-room: $(READY)
	$(BIN)/python -m pytest tests/room -rs

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/data.py --quick --json
