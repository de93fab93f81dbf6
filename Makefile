# Every target first makes the environment in .venv; where it is there already, that takes no time.
PYTHON ?= python3
LAB_OPTIONS ?=
PYTEST_OPTIONS ?=

.PHONY: lab test record browser-test setup
.DEFAULT_GOAL := lab

setup:  ## make or update .venv
	@$(PYTHON) tools/setup_env.py

lab: setup  ## open JupyterLab on the first chapter
	@.venv/bin/python -m jupyterlab $(LAB_OPTIONS) notebooks/00_start.ipynb

test: setup  ## check the style, and run all tests and all notebooks
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m pytest -n auto --dist loadfile $(PYTEST_OPTIONS)

record: setup  ## record the cells that this machine can run, for the machines that cannot
	@.venv/bin/python tools/record.py

browser-test: setup  ## the workbook in a real browser; needs Chromium on the PATH
	@.venv/bin/python -m pip install --quiet -c .venv/constraints.txt -e ".[browser]"
	@.venv/bin/python -m pytest tests/browser $(PYTEST_OPTIONS)
