# Every target first makes the environment in .venv; where it is there already, that takes no time.
PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
LAB_OPTIONS ?=
PYTEST_OPTIONS ?=
# Two processes where there is no GPU; one GPU is not shared. Asked when it is used, so after set-up.
WORKERS ?= $(shell $(VENV_PYTHON) -c "from helpers.device import gpus; print(0 if gpus() else 2)")

.DEFAULT_GOAL := lab
.PHONY: lab test test-fast fuzz mutate record bench browser-test docs setup

setup:
	@$(PYTHON) tools/setup_env.py

lab: setup
	@$(VENV_PYTHON) -m jupyterlab --LabApp.news_url=None \
	  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LabApp.default_url=/lab/tree/00_start.ipynb \
	  $(LAB_OPTIONS) notebooks/00_start.ipynb

test: setup
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@if $(VENV_PYTHON) -c "import playwright" 2>/dev/null; then $(VENV_PYTHON) -m pytest tests/browser; fi
	@$(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile --ignore=tests/browser $(PYTEST_OPTIONS)

# A first answer in a minute and a half: no notebooks, no recorder, no fuzzing, no set-up of environments.
SLOW := --ignore=tests/browser --ignore=tests/fuzz --ignore=tests/notebooks --ignore=tests/tools/test_record.py \
  --ignore=tests/tools/test_setup.py --ignore=tests/tools/test_mutate.py
test-fast: setup
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy
	@$(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile $(SLOW) tests $(PYTEST_OPTIONS)

# The large runs of what the tests try in small: about a quarter of an hour, a line for each. FUZZ="port --seed 7" for one.
fuzz: setup
	@$(VENV_PYTHON) tests/fuzz/fuzz.py $(FUZZ)

# How many of 300 small faults in what guards something do the tests notice? Each is shown that they do not.
mutate: setup
	@$(VENV_PYTHON) -m pip install --quiet -c .venv/constraints.txt -e ".[mutate]"
	@$(VENV_PYTHON) -m tools.mutate $(MUTATE)

record: setup
	@$(VENV_PYTHON) -m tools.record

bench: setup
	@$(VENV_PYTHON) -m tools.bench build/bench
	@cp build/bench/bench*.* data/

# The helpers' docstrings as pages: open build/docs/helpers.html.
docs: setup
	@$(VENV_PYTHON) -m pip install --quiet -c .venv/constraints.txt -e ".[docs]"
	@$(VENV_PYTHON) -m pdoc --docformat restructuredtext --output-directory build/docs helpers

# Once this has installed Playwright, `make test` runs the browser tests too, by themselves: they do not like company.
browser-test: setup
	@$(VENV_PYTHON) -m pip install --quiet -c .venv/constraints.txt -e ".[browser]"
	@WORKBOOK_BROWSER=required $(VENV_PYTHON) -m pytest tests/browser $(PYTEST_OPTIONS)
