# Start with `make quickstart` and `make test`. Both create the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Versions come from constraints.txt; pip's configuration decides where wheels come from.
INSTALLED := $(VENV)/.installed

.PHONY: quickstart test lint types generated clean

quickstart: $(INSTALLED)
	$(BIN)/python experiments/quickstart.py

# One more process than the two cores of the smallest machine, because some tests mostly wait.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("sltk needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Update files that are generated from the code; tests fail if they are out of date.
generated: $(INSTALLED)
	$(BIN)/sltk schema > experiments/sltk.schema.json
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/families.py

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache
