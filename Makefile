# make lab · make test · make record · make browser-test     (each sets itself up in .venv)
PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
LAB_OPTIONS ?=
# One process per core where there is no GPU; one GPU is not shared.
WORKERS ?= $(shell $(VENV_PYTHON) -c "from helpers.device import gpus; print(0 if gpus() else 2)" 2>/dev/null || echo 2)

.PHONY: lab test browser-test record setup

lab: setup
	.venv/bin/jupyter lab --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	  $(LAB_OPTIONS) notebooks/00_start.ipynb

test: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile

browser-test: setup
	$(VENV_PYTHON) -m pytest tests/browser

record: setup
	$(VENV_PYTHON) tools/record.py

setup:
	@$(PYTHON) tools/setup_env.py
