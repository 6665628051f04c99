# The two commands of the README need Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint bench soak lock

install: $(VENV)/.installed

# A stamp file, so that a second `make demo` starts at once and a changed lock file re-installs.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "smrjax needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	$(BIN)/python -m experiments.smr --curve bezier

test: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# Peers that are not installed are left out; $(BIN)/pip install '.[bench]' brings them.
bench: install
	$(BIN)/python -m pytest benchmarks -o python_files='bench_*.py' -o python_functions='bench_*' \
	  -o filterwarnings=default -o timeout=0 --benchmark-quiet
	$(BIN)/python -m pytest -m soak -k million -o timeout=0

soak: install
	$(BIN)/python -m pytest -m soak

# Pins every package for every platform and Python 3.11+, with hashes and without index addresses.
lock:
	uv pip compile pyproject.toml --extra dev --extra weights --extra drl --extra dask --extra pcam --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --output-file requirements.lock
