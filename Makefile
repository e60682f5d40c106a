# Everything below works as root and as an ordinary user. See `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# With it each of the many processes of tests and demo compiles our modules anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first Python on the PATH that is new enough.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	if $$python -c '$(NEW_ENOUGH)' 2>/dev/null; then echo $$python; break; fi; done)

# The suite in three parts side by side, each with servers of its own, and each looks for keys on its disk at its end.
APART := tests/acceptance tests/adversity tests/integration/sidecar tests/properties
NO_KEY := tests/test_no_key_on_disk.py
BESIDE := "tests/acceptance tests/adversity $(NO_KEY)" "tests/integration/sidecar tests/properties $(NO_KEY)"
ARCHITECTURE := tests/unit/test_architecture.py

.PHONY: help
help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMP)  ## start everything and play two tenants; ONCE=1 ends by itself
	@$(BIN)/nameplate demo $(if $(filter-out 0 no,$(ONCE)),--once)

.PHONY: test
test: $(STAMP)  ## the whole suite on real servers; TESTS=tests/unit for a part
	@$(BIN)/python -m embedded.debian pebble nghttp2-client wrk knot unbound chromium prometheus pgbouncer systemd postgresql >/dev/null
ifdef TESTS
	@$(BIN)/python -m pytest $(TESTS)
else  # what the first two say comes at the end, however that comes: after the third, which is shown as it runs
	@set -m; said=$$(mktemp -d); running=; code=0; \
	trap 'kill -INT $$running 2>/dev/null && wait || true; cat $$said/*; rm -rf $$said' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	for part in $(BESIDE); do \
		$(BIN)/python -m pytest $$part >$$said/$$(basename $${part%% *}) 2>&1 & running="$$running $$!"; \
	done; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(APART)) </dev/null & running="$$! $$running"; \
	for one in $$running; do wait $$one || code=$$?; done; \
	exit $$code
endif

.PHONY: bench
bench: $(STAMP)  ## measure: figures, goals and plots in bench/results; SCENARIOS="check scale", QUICK=1
	@$(BIN)/nameplate bench $(SCENARIOS) $(if $(filter-out 0 no,$(QUICK)),--quick)

.PHONY: screenshots
screenshots: $(STAMP)  ## pictures of the pages into docs/images, and what the pages weigh
	@$(BIN)/python -m embedded.debian pebble knot unbound chromium >/dev/null
	@$(BIN)/nameplate screenshots

.PHONY: simulate
simulate: $(STAMP)  ## two years of 5,000 certificates in a minute: bench/results/lifecycle.json; QUICK=1
	@$(BIN)/python -m bench.simulate $(if $(filter-out 0 no,$(QUICK)),--quick)

.PHONY: check
check: $(STAMP)  ## format, lint, types, imports between the packages
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted (make format):"; $(BIN)/ruff format --check .; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m pytest --quiet $(ARCHITECTURE)

.PHONY: format
format: $(STAMP)  ## format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" --quiet

.PHONY: docs
docs: $(STAMP)  ## the documentation as a site: build/site; every link is checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean
	@echo "build/site/index.html"

.PHONY: lock
lock:  ## pin the dependencies of pyproject.toml anew (needs uv); UPGRADE=1 for newer versions
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@$(COMPILE) pyproject.toml --extra servers --extra bench --extra dev $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	@$(COMPILE) pyproject.toml --constraint requirements.lock --no-annotate --upgrade --output-file requirements-runtime.lock
	@for lock in sidecar build; do $(COMPILE) deploy/container/$$lock.in --constraint requirements.lock --no-annotate --upgrade \
		--output-file deploy/container/$$lock.lock; done

.PHONY: clean
clean:  ## remove what was installed and generated here
	@rm -rf $(VENV) .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed: apt-get install python3 (Debian 12, Ubuntu 24.04 or newer)" >&2; exit 1; \
	fi
	@echo "installing into $(VENV), a minute or two ..."
	@$(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null || rm -rf $(VENV)
	@if [ ! -x $(BIN)/pip ]; then \
		if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
			$(PYTHON) -m venv $(VENV); \
		else \
			wheel=$$($(PYTHON) -m embedded.debian python3-pip-whl); \
			$(PYTHON) -m venv --without-pip $(VENV); \
			$(BIN)/python "$$wheel/pip" install --quiet --no-index "$$wheel"; \
		fi; \
	fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
