# The two commands of the README, and the checks that continuous integration runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export LABELWISE_DATA ?= $(wildcard $(CURDIR)/../shared/data)

.PHONY: demo test check docs wheel clean

demo: $(VENV)/.demo
	$(BIN)/labelwise demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict

# The built wheel alone, in another environment, run from another folder.
wheel: $(VENV)/.test
	.ci/wheel $(PYTHON)

clean:
	rm -rf $(VENV) build dist site

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# torch first and by its pin: a plain `pip install torch` may fetch gigabytes of GPU libraries.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(BIN)/pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@
