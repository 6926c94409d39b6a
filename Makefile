PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALLED := .venv/.installed

# Tests marked "long" take their counts times the scale; random tests take the seed.
SEED ?= $(shell $(PYTHON) -c 'import random; print(random.randrange(10**9))')
SEED := $(SEED)
PYTEST = GATEWAY_SCALE=$(SCALE) GATEWAY_SEED=$(SEED) $(BIN)/python -m pytest --hypothesis-seed=$(SEED)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with the gateway and everything it can use

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@echo "Making .venv, a Python environment for this project ..."
	@$(PYTHON) -m venv .venv
	@echo "Installing the packages that requirements.txt names into .venv; this takes a minute the first time ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@echo "Installing the gateway itself into .venv ..."
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## show a gateway at work; ARGS="--seconds 15" ends it by itself
	@$(BIN)/gateway demo $(ARGS)

test: SCALE ?= 0.1
test: install ## run all tests, long ones at a tenth; SEED=n repeats a run, ARGS goes to pytest
	@echo "seed $(SEED): repeat with make $@ SEED=$(SEED)"
	@$(PYTEST) $(ARGS)

test-long: SCALE ?= 1
test-long: install ## run all tests at full length
	@echo "seed $(SEED): repeat with make $@ SEED=$(SEED)"
	@$(PYTEST) $(ARGS)

coverage: SCALE ?= 0.1
coverage: install ## run all tests and tell which lines they miss
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered $(ARGS)

lint: install ## check form, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install ## measure against the bounds
	@$(BIN)/python bench/run.py $(ARGS)

isolation: install ## measure what dead devices do to living ones
	@$(BIN)/python bench/isolation.py $(ARGS)

lock: install ## write requirements.txt anew from pyproject.toml
	$(BIN)/pip-compile -q --upgrade --generate-hashes --allow-unsafe --no-strip-extras --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--all-extras -o requirements.txt pyproject.toml

clean: ## remove what was made, .venv too
	rm -rf .venv build dist bench/build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install demo test test-long coverage lint bench isolation lock clean
