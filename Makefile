# Everything runs from here: `make` lists it. Needs Python >= 3.10 and GNU make; the rest is fetched into this folder.

PYTHON ?= python3
PY := .venv/bin/python
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check -qq -c constraints.txt
FRONT_END := $(PY) scripts/front_end.py
PACKAGING := pyproject.toml constraints.txt hatch_build.py scripts/front_end.py

SETUP := .make/setup
# The full environment also serves the demo.
DEMO_SETUP := $(if $(wildcard $(SETUP)),$(SETUP),.make/setup-demo)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo model build test test-all test-unit test-python test-front-end test-browser test-packaging \
        test-remote test-gpu remote-server lint format bench sweep wheel clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SETUP) ## make .venv with everything for work on the project
	@$(FRONT_END) build

demo: $(DEMO_SETUP) model ## open the example in JupyterLab; HEADLESS=1: run it without a browser into out/
	@$(FRONT_END) build
ifdef HEADLESS
	@$(PY) scripts/run_notebook.py examples/quickstart.ipynb out
else
	@.venv/bin/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) examples/quickstart.ipynb
endif

model: $(DEMO_SETUP) ## fetch and convert the demo model, once
	@$(PY) -m horizon_widget.models.demo

build: $(SETUP) ## build the front end, if its sources changed
	@$(FRONT_END) build

test: lint test-python test-front-end test-browser test-packaging ## check everything: lint, Python, front end, browser, wheel

test-all: test test-remote ## check everything that CI checks: `make test`, and remote models against a real NDIF server

test-unit: setup ## check the quick half: few architectures, no demo model, no browser, nothing long
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile -m "not demo_model and not every_architecture and not long" \
	    tests/unit tests/invariants tests/protocol
	@$(FRONT_END) npm run test:quick

test-python: setup model
	$(PY) -m pytest --ignore=tests/browser --ignore=tests/packaging --ignore=tests/gpu --ignore=tests/remote

test-front-end: setup
	@$(FRONT_END) npm test

test-browser: setup model
	$(PY) -m pytest tests/browser

test-packaging: setup
	$(PY) -m pytest tests/packaging

test-remote: setup model ## check remote models against a real NDIF server on this machine (Linux; its packages: 1.7 GB)
	$(PY) -m pytest tests/remote

test-gpu: setup ## check what needs a GPU (no part of `make test`)
	$(PY) -m pytest tests/gpu

lint: setup ## check form, types and the direction of imports
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	.venv/bin/lint-imports
	@$(FRONT_END) npm run check

format: setup ## bring all code into the project's form
	$(PY) -m ruff check --fix
	$(PY) -m ruff format
	@$(FRONT_END) npm run format

remote-server: setup model ## run an NDIF server with the demo model on this machine, for examples/remote.ipynb; PORT=18700
	@$(PY) -m tests.remote.server $(PORT)

bench: setup model ## measure the speed
	$(PY) -m benchmarks

sweep: setup ## try every architecture of transformers, built small, against plain hooks; writes docs/architectures.md
	OMP_NUM_THREADS=1 $(PY) -m tests.sweep

wheel: setup ## build the wheel and the source distribution into dist/
	$(PY) -m build --outdir dist

clean: ## remove what was built; keeps .venv, .venv-ndif and the cached model
	rm -rf dist build out .make horizon_widget/static js/node_modules .mypy_cache .ruff_cache .pytest_cache \
	       .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed, this is " \
	    + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "No virtual environment could be made: is the venv module there \
	    (Debian: apt-get install python3-venv)?"; exit 1; }

# The front end is built first, so that installing the package needs no Node of its own.
.make/setup-demo: $(PACKAGING) | $(PY)
	@$(FRONT_END) build
	@echo "Installing the package and what the demo needs (some minutes the first time)"
	@$(PIP_INSTALL) -e '.[demo]'
	@mkdir -p .make && touch $@

.make/setup: $(PACKAGING) | $(PY)
	@$(FRONT_END) build
	@echo "Installing the package and what its tests need (some minutes the first time)"
	@$(PIP_INSTALL) -e '.[demo,test]'
	@mkdir -p .make && touch .make/setup-demo $@
