# Two commands do everything: `make demo`, `make test`. Both make a private environment in .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test soak bench lint types contracts docs clean
demo: .venv/.installed
	$(BIN)/duskmatch demo --overwrite $(ARGS)

# Two threads in each of many test processes only wait for each other. worksteal: a process keeps a run of tests that
# lie side by side, so what a file or a room shares is made once.
test: export OMP_NUM_THREADS = 1
test: .venv/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# By hand: 200 processes that are killed while they write to a gallery, ten minutes of writers and a reader together.
soak: .venv/.installed-dev
	$(BIN)/python -m tests.gallery.soak $(ARGS)

# Each work in turns with its alternative; then docs/performance.md and its picture.
bench: .venv/.installed-dev
	for script in ranking embedding training keeping; do $(BIN)/python -m benchmarks.harness $$script $(ARGS) || exit 1; done
	$(BIN)/python -m benchmarks.performance_page

lint: .venv/.installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/.installed-dev
	$(BIN)/mypy

contracts: .venv/.installed-dev
	$(BIN)/lint-imports

docs: .venv/.installed-dev
	$(BIN)/pip install -q -e '.[docs]' && $(BIN)/python -m sphinx -W -b html docs docs/_build/html

.venv/bin/python:
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; } # half an environment would stop the next try

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[pretrained,speed,gallery]'
	touch $@

.venv/.installed-dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv demo docs/_build
