# The two commands of the README, and their parts. `make book` and `make test` need Python 3.11 and a package registry.
SHELL := /bin/bash -euo pipefail
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ENV := .venv/.installed

.PHONY: book test lint unit notebooks browser serve refresh clean

book: $(ENV)
	$(BIN)/flowprune book

# In the order of their cost: what fails cheaply fails first. The book is built from nothing, as for a release.
test: lint unit notebooks
	$(BIN)/flowprune book --clean
	$(BIN)/flowprune claims > /dev/null
	$(MAKE) browser

lint: $(ENV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

unit: $(ENV)
	$(BIN)/pytest -q -n 2 -m "not browser"

# The committed notebooks, executed with their quick defaults; published trials never stand in for computed ones.
notebooks: $(ENV)
	FLOWPRUNE_RECOMPUTE=1 $(BIN)/pytest -q -n 2 --dist loadfile -o addopts= --nbval-lax --nbval-current-env notebooks

browser: $(ENV)
	$(BIN)/pytest -q -n 2 -m browser tests/book

serve: book
	@echo "The book is at http://localhost:8000/ (stop with Ctrl-C)"
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

# After a change that alters them on purpose: the quick outputs in the committed notebooks, findings and picture of the README.
refresh: $(ENV)
	$(BIN)/python -c "from flowprune.study import notebooks; notebooks.refresh()"
	$(BIN)/python -m flowprune.study.findings
	$(BIN)/python -m flowprune.experiments.pictures.readme

clean:
	rm -rf _build book/executed book/generated

$(ENV): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
