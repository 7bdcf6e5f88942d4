# make setup | demo | test | test-slow | test-all | check | lock | clean
# make rivals-setup | rivals-lock | compare-quick
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.stamp
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
COMPILE := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--no-annotate --no-emit-index-url --no-emit-find-links --generate-hashes --custom-compile-command "make lock"

RIVALS := benchmarks/rivals
RIVALS_VENV := .venv-rivals
RIVALS_STAMP := $(RIVALS_VENV)/.stamp
RIVALS_PIP := $(RIVALS_VENV)/bin/python -m pip --disable-pip-version-check --quiet
RIVALS_INSTALL := $(RIVALS_PIP) install --require-hashes --no-deps
RIVALS_COMPILE := $(subst make lock,make rivals-lock,$(COMPILE))
RIVALS_LOCKS := $(addprefix $(RIVALS)/,requirements.lock torch.lock torch-cpu.lock)

.PHONY: setup demo test test-slow test-all check lock clean rivals-setup rivals-lock compare-quick
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

# A file of tests stays in one process: what its tests share is made once.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: setup
	$(PYTEST) -m "not slow"

test-slow: setup
	$(PYTEST) -m slow

test-all: setup
	$(PYTEST)

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict gac

# Resolves anew (needs uv); everything else installs what these files say.
lock:
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock
	$(COMPILE) --upgrade --extra recipes --constraints requirements.lock --output-file recipes.lock

rivals-setup: $(RIVALS_STAMP)

# The libraries that gac is compared with, apart from gac's environment; gac itself is read from this folder.
$(RIVALS_STAMP): $(RIVALS_LOCKS)
	@echo "setting up $(RIVALS_VENV) from $(RIVALS)/requirements.lock (once, a few minutes)"
	$(PYTHON) -m venv --clear $(RIVALS_VENV)
	$(RIVALS_INSTALL) -r $(RIVALS)/requirements.lock
	@$(RIVALS_INSTALL) -r $(RIVALS)/torch-cpu.lock 2>/dev/null || { echo \
		"no CPU build of torch for this machine is offered to pip; taking the usual one, which on Linux has CUDA (3 GB)" \
		&& $(RIVALS_INSTALL) -r $(RIVALS)/torch.lock; }
	@touch $(RIVALS_STAMP)

# As `lock`, for the rivals: gac's own dependencies as they are locked, torch apart from what CUDA needs.
rivals-lock:
	$(RIVALS_COMPILE) $(RIVALS)/requirements.in --config-file $(RIVALS)/uv.toml --overrides $(RIVALS)/overrides.in \
		--constraints requirements.lock --no-emit-package torch --upgrade --output-file $(RIVALS)/requirements.lock
	grep ^torch $(RIVALS)/requirements.in | $(subst pyproject.toml,-,$(RIVALS_COMPILE)) \
		--constraints $(RIVALS)/requirements.lock --output-file $(RIVALS)/torch.lock

compare-quick: setup rivals-setup
	$(VENV)/bin/gac compare $(RIVALS)/quick.toml --out runs/compare-quick --resume

clean:
	rm -rf $(VENV) $(RIVALS_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
