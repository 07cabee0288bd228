# `make` alone lists what there is. Everything runs from .venv, which `make setup` fills from the lock files.
PYTHON ?= python3
PYTEST ?= .venv/bin/pytest --numprocesses 4 --dist worksteal -r s
BIN := .venv/bin
SOURCES := app migrations tests examples $(wildcard bench) .ci/scenarios

# Tests start many processes: bytecode that is kept is compiled once.
unexport PYTHONDONTWRITEBYTECODE

# uv installs faster; either takes the same lock files, and checks the same hashes. Neither compiles: a demo imports a
# third of what is installed, and for the tests all cores compile it once.
ifeq ($(shell command -v uv),)
VENV = $(PYTHON) -m venv --without-pip .venv
INSTALL = $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --quiet install --no-compile
else
VENV = uv venv --quiet --allow-existing --python $(PYTHON) .venv
INSTALL = uv pip install --quiet --python $(BIN)/python
endif

# The floor on age keeps out a release that is withdrawn within days of appearing.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --exclude-newer '4 days' $(LOCK_FLAGS)
UV ?= uv

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-thorough test-attacks bench check format format-check lint types imports lock openapi screenshots clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/.lint ## Make .venv from the lock files, with the project itself in it

demo: .venv/.runtime ## Start a server with sample people on http://127.0.0.1:8000
	$(BIN)/maywe serve --demo

test: .venv/.dev ## Run all tests, on SQLite and PostgreSQL
	$(PYTEST)

test-thorough: .venv/.dev ## Search longer in the tests that could search for ever: examples, crossing writers, killed servers
	MAYWE_TEST_THOROUGH=1 $(PYTEST) tests/reference tests/decision tests/storage tests/changes tests/doors/test_schemathesis.py tests/unsubscribe/test_scanner.py

test-attacks: .venv/.dev ## Attack it as intruders would: forged tokens, stolen keys, scanners, hostile requests, files and addresses
	MAYWE_TEST_THOROUGH=1 $(PYTEST) tests/unsubscribe tests/doors tests/bulk tests/publishing/test_hostile.py tests/webhooks/test_destinations.py

bench: .venv/.bench ## Measure against ceilings: BENCH="--pairs 5 check-uniform" for a part (needs wrk and two cores)
	$(BIN)/python -m bench $(BENCH)

check: format-check lint types imports test ## Run what CI runs, in the same order

format: .venv/.lint ## Format the code
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

format-check: .venv/.lint ## Is the code formatted?
	$(BIN)/ruff format --check $(SOURCES)

lint: .venv/.lint ## Look for likely mistakes
	$(BIN)/ruff check $(SOURCES)

types: .venv/.lint ## Check the types
	$(BIN)/mypy

imports: .venv/.lint ## Check who imports whom
	$(BIN)/lint-imports

lock: ## Recompile the lock files (needs uv; LOCK_FLAGS=--upgrade takes newer versions)
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --extra dev --extra lint --constraint requirements-dev.lock --output-file requirements-lint.lock
	$(COMPILE) pyproject.toml --extra dev --extra bench --constraint requirements-dev.lock --output-file requirements-bench.lock
	echo 'hatchling>=1.27' | $(COMPILE) - --constraint requirements-dev.lock --output-file requirements-build.lock

openapi: .venv/.runtime ## Write openapi/openapi.json from the code
	mkdir -p openapi
	$(BIN)/maywe openapi > openapi/openapi.json

screenshots: .venv/.dev ## Take the pictures of the pages in docs/pages anew (needs Chromium)
	rm -f docs/pages/*.png
	$(BIN)/python -m tests.unsubscribe.screenshots docs/pages

clean: ## Remove .venv, caches and build results; var/, which holds data, stays
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks
	find app migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Runtime first: it is all that a demo needs. The build backend is locked too, so that nothing is fetched unchecked.
.venv/.runtime: requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Maywe needs Python 3.11 or newer: make PYTHON=python3.13")'
	$(VENV)
	$(INSTALL) --require-hashes --requirement requirements.lock --requirement requirements-build.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@$(BIN)/python -m compileall -q -j 0 .venv/lib app  # once, and not in each process of the tests
	@touch $@

.venv/.lint: requirements-lint.lock .venv/.dev
	$(INSTALL) --require-hashes --requirement requirements-lint.lock
	@touch $@

.venv/.bench: requirements-bench.lock .venv/.dev
	$(INSTALL) --require-hashes --requirement requirements-bench.lock
	@touch $@
