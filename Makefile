# `make compare` and `make test` set up what they need: a virtual environment in .venv with the package installed.
PYTHON ?= python3
BIN := .venv/bin
# Two processes for the tests; `make test WORKERS=` runs them in one, and shows what they print.
WORKERS ?= --numprocesses 2 --dist loadgroup

.PHONY: compare test check docs dist setup clean

compare: setup
	@$(BIN)/python scripts/compare.py --dataset fashion_mnist_10k --train-size 6000 --members 5 --passes 100 --repetitions 3

test: setup
	$(BIN)/python -m pytest $(WORKERS)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

# The pages of docs as a site, in build/site/index.html.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open build/site/index.html"

setup: .venv/installed

# A wheel and a source archive in dist, looked through and tried in an environment of their own, away from this folder.
dist: setup
	rm -rf dist build
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/try
	build/try/bin/python -m pip install --quiet dist/*.whl
	cd build/try && bin/evd compare --dataset magic --train-size 300 --members 2 --epochs 2 --passes 3 --out run && \
	  bin/evd report run && bin/evd export run && bin/python -m ensemble_vs_dropout --version

.venv/installed: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (about two minutes the first time)"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv
