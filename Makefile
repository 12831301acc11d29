# make setup   what the rest needs, once        make demo   the main job, on made-up patients
# make test    the tests                        make lint   style, types, the import contract
# make wheel   the wheel, in dist/

PYTHON ?= python3
# Small tensors gain nothing from many threads.
THREADS := $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)
OMP_NUM_THREADS ?= $(THREADS)
export OMP_NUM_THREADS
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Commands are called through python: their scripts would hold the path of the checkout, blanks and all.
BIN := .venv/bin/python
PIP := $(BIN) -m pip install --quiet --constraint constraints.txt

.PHONY: setup test demo lint wheel
setup: .venv/.installed

# A .venv that was moved or copied from elsewhere is made anew when its python does not start.
.venv/.installed: pyproject.toml constraints.txt setup.py medsynth/view/niivue.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "medsynth needs Python 3.11 or newer; name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(BIN) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(BIN) -m pip --version >/dev/null 2>&1 || $(BIN) -m ensurepip
	@echo "installing into .venv: some minutes, once"
	$(PIP) torch setuptools
	$(PIP) --editable '.[dev]'
	@touch $@

test: setup
	$(BIN) -m pytest

demo: setup
	$(BIN) scripts/demo.py

lint: setup
	$(BIN) -m ruff check
	$(BIN) -m ruff format --check
	$(BIN) -m mypy
	$(BIN) -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'

wheel: setup
	MEDSYNTH_NIIVUE=$${MEDSYNTH_NIIVUE:-required} $(BIN) -m build --wheel --no-isolation
