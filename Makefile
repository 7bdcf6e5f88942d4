# make setup | demo | test | test-slow | test-all | check | lock | clean
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.stamp
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
COMPILE := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--no-annotate --no-emit-index-url --no-emit-find-links --generate-hashes --custom-compile-command "make lock"

.PHONY: setup demo test test-slow test-all check lock clean
.DELETE_ON_ERROR:

setup: $(STAMP)

# The stamp is written last, so an interrupted set-up starts over; only lock and pyproject make it stale.
$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo \
		"gac needs Python 3.11 or newer, $(PYTHON) is not here; try: make PYTHON=python3.11 setup" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
		"gac needs Python 3.11 or newer, %s is %d.%d; try: make PYTHON=python3.11 setup" % (sys.executable, v[0], v[1]))'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
		"gac needs the venv module of $(PYTHON); install it (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV) from requirements.lock (once, a minute or two)"
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --require-hashes --only-binary :all: -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup
	$(VENV)/bin/gac demo

test: setup
	$(VENV)/bin/python -m pytest -m "not slow"

test-slow: setup
	$(VENV)/bin/python -m pytest -m slow

test-all: setup
	$(VENV)/bin/python -m pytest

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict gac

# Resolves anew (needs uv); everything else installs what these files say.
lock:
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock
	$(COMPILE) --upgrade --extra recipes --constraints requirements.lock --output-file recipes.lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
