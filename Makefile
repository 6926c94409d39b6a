PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALLED := .venv/.installed

# Tests marked "long" take their counts times the scale; random tests take the seed.
SEED ?= $(shell $(PYTHON) -c 'import random; print(random.randrange(10**9))')
SEED := $(SEED)
PYTEST = GATEWAY_SCALE=$(SCALE) GATEWAY_SEED=$(SEED) $(BIN)/python -m pytest --hypothesis-seed=$(SEED)
# Most tests wait: three files at a time take a third of the time. Those that measure, or fill the machine, come after them,
# alone; each writes its report only when it has come to its end. With ARGS there is one run, where -s shows what was measured.
BESIDE = $(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder -m "not alone" --junitxml=build/beside.xml
ALONE = $(PYTEST) -m alone --junitxml=build/alone.xml
RUN = $(if $(ARGS),$(PYTEST) $(ARGS),$(BESIDE); beside=$$?; $(ALONE) && exit $$beside)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	@$(RUN)

test-long: SCALE ?= 1
test-long: install ## run all tests at full length
	@echo "seed $(SEED): repeat with make $@ SEED=$(SEED)"
	@$(RUN)

coverage: SCALE ?= 0.1
coverage: install ## run all tests and tell which lines they miss
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered $(ARGS)

fuzz: install ## fuzz one of the targets in tests/fuzz: make fuzz TARGET=device SECONDS=600; needs atheris
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) install 'atheris>=3,<4'
	@$(BIN)/python -m tests.fuzz.run $(or $(TARGET),device) $(or $(SECONDS),60)

docs: install ## write the tables of the reference that the code says itself
	@$(BIN)/python docs/generate.py

lint: install ## check form, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples/gateway-tally/gateway_tally
	$(BIN)/bandit -q -c pyproject.toml -r gateway

bench: install ## measure against the bounds
	@$(BIN)/python bench/run.py $(ARGS)

bench-bacnet: install ## measure BACnet beside Modbus
	@$(BIN)/python bench/bacnet.py $(ARGS)

isolation: install ## measure what dead devices do to living ones
	@$(BIN)/python bench/isolation.py $(ARGS)

soak: SECONDS ?= 600
soak: DEVICES ?= 50
soak: install ## all faults at once, at random, for SECONDS=600; SEED, DEVICES=50
	@echo "seed $(SEED): repeat with make $@ SEED=$(SEED)"
	@$(BIN)/python -m tests.soak.run --seconds $(SECONDS) --seed $(SEED) --devices $(DEVICES)

LOCK := $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --no-strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# What users may want, which is all but what is for development and demonstration.
EXTRAS = $(shell $(PYTHON) -c 'import tomllib; d = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*("--extra=" + e for e in d["optional-dependencies"] if e not in ("dev", "demo")))')

lock: install ## write requirements*.txt anew from pyproject.toml
	$(LOCK) --upgrade --all-extras -o requirements.txt pyproject.toml
	rm -f requirements-run.txt requirements-build.txt
	$(LOCK) $(EXTRAS) -c requirements.txt -o requirements-run.txt pyproject.toml
	$(LOCK) --only-build-deps --build-deps-for=wheel -c requirements.txt -o requirements-build.txt pyproject.toml

wheel: install ## build the wheel into dist, the same bytes each time
	@$(BIN)/python tools/wheel.py

sbom: install ## write the bill of materials of what runs (CycloneDX) to dist/sbom.json
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.json requirements-run.txt

audit: install ## ask the package index for known vulnerabilities of every locked package
	@$(BIN)/python tools/audit.py

clean: ## remove what was made, .venv too
	rm -rf .venv build dist bench/build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install docs demo test test-long coverage fuzz lint bench bench-bacnet isolation soak lock wheel sbom audit clean
