# `make` alone lists the targets. Everything runs in .venv, which the first target that needs it makes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= dev,report
comma := ,
READY := $(VENV)/ready-$(subst $(comma),-,$(EXTRAS))
ROWS ?= 20000
CORPUS ?= out/corpus-$(ROWS)
RUN ?= out/run-$(ROWS)
BENCH_ROWS ?= 50000
BASE ?= HEAD

.DEFAULT_GOAL := help
.PHONY: help setup scan test lint types check fuzz chaos bench bench-check test-harbor clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything pinned in constraints.txt

$(READY): pyproject.toml setup.py constraints.txt $(wildcard scanner/*.[ch] scanner/*/*.[ch])
	$(PYTHON) -c 'import sys; sys.exit("scanner needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@# pip shows what setuptools warns of at each editable installation: a folder of that name would be imported first. Here it is.
	PYTHONWARNINGS='ignore:Editable installation' $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

$(CORPUS)/made: | $(READY)
	$(BIN)/scanner make-corpus $(CORPUS) --rows $(ROWS)
	touch $@

scan: $(READY) $(CORPUS)/made ## Make the embedded sample, scan it on all cores, write the report
	$(BIN)/scanner scan $(CORPUS) --out $(RUN) --fresh
	$(BIN)/scanner report $(RUN) --html $(RUN)/report.html

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest -m "not slow"

test-harbor: $(READY) ## Ask the real Harbor about every task (needs a Python 3.12 or newer)
	$(BIN)/python tests/harbor_oracle.py install
	CI=true $(BIN)/python -m pytest tests/test_harbor_parity.py

bench: $(READY) ## Measure every part, and everything side by side with the alternatives
	$(BIN)/python -m bench --rows $(BENCH_ROWS)

bench-check: $(READY) ## Compare this tree with BASE: exact counters and paired ratios
	$(BIN)/python -m bench.check --base $(BASE)

lint: $(READY) ## Check style (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types (mypy --strict)
	$(BIN)/mypy

check: lint types test ## All of lint, types and test

chaos: $(READY) ## Kill workers and parents at random over 200,000 rows; the long tests
	$(BIN)/python -m pytest -m slow
	PYTHONPATH=tests $(BIN)/python tests/chaos.py

FUZZ ?= --runs 1000000

fuzz: $(READY) ## Fuzz everything that reads bytes: a million inputs (FUZZ="--seconds 10": so long each)
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt atheris
	$(BIN)/python -m fuzz $(FUZZ)

clean: ## Remove what was made: out, caches, .venv
	rm -rf scanner/*.so out .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
