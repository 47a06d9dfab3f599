# Contactship. `make run` needs Python 3.11 or newer and nothing else. `make help` lists everything.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PACKAGES := libs/common libs/devstack services/api services/ai_worker services/sync_worker services/delivery_worker
PYPROJECTS := $(PACKAGES:%=%/pyproject.toml)
INSTALLED := .venv/.installed
BIN := .venv/bin
STACK := exec $(BIN)/contactship-devstack
export PYTHON

# What pytest gets in addition: make test ARGS="-k lead -x"
ARGS ?=

# A checkout that was moved has a .venv that no longer works: install again.
ifneq ($(shell cat .venv/.checkout 2>/dev/null),$(realpath .))
.PHONY: $(INSTALLED)
endif

$(INSTALLED): requirements.lock requirements-bootstrap.lock libs/devstack/bootstrap.sh $(PYPROJECTS)
	@sh libs/devstack/bootstrap.sh

##@ Everyday
.PHONY: help run dev demo test lint types fmt
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## start everything on this machine: databases, API (PORT=3000), scheduler, workers
	@$(STACK) run

dev: $(INSTALLED) ## the same, restarting what changed when a file is saved
	@$(STACK) dev

demo: $(INSTALLED) ## a story on the running system: leads, summaries, meetings, a conversation, WhatsApp, a code, KPIs
	@$(STACK) demo

test: $(INSTALLED) ## every test of every package and of the whole system (ARGS="-k lead")
	@$(STACK) test $(ARGS)

lint: $(INSTALLED) ## check style and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(INSTALLED) ## check types
	@$(BIN)/mypy

fmt: $(INSTALLED) ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

##@ Tests of one part
.PHONY: test-common test-devstack test-api test-ai-worker test-sync-worker test-delivery-worker test-system chaos cov
test-common: $(INSTALLED) ## libs/common
	@$(STACK) test libs/common $(ARGS)

test-devstack: $(INSTALLED) ## libs/devstack
	@$(STACK) test libs/devstack $(ARGS)

test-api: $(INSTALLED) ## services/api
	@$(STACK) test services/api $(ARGS)

test-ai-worker: $(INSTALLED) ## services/ai_worker
	@$(STACK) test services/ai_worker $(ARGS)

test-sync-worker: $(INSTALLED) ## services/sync_worker, the scheduler included
	@$(STACK) test services/sync_worker $(ARGS)

test-delivery-worker: $(INSTALLED) ## services/delivery_worker
	@$(STACK) test services/delivery_worker $(ARGS)

test-system: $(INSTALLED) ## tests: real processes together, and what they survive
	@$(STACK) test tests $(ARGS)

chaos: $(INSTALLED) ## every fault under a mixed load at full length, with a table at the end; takes minutes (ARGS="-k hanging")
	@$(STACK) test tests services/api/tests/access services/api/tests/otp -m chaos -n 0 -s --timeout 600 $(ARGS)

cov: $(INSTALLED) ## all tests with line coverage; htmlcov/index.html
	@$(STACK) test --cov=libs --cov=services --cov-report=term --cov-report=html $(ARGS)

##@ Measuring
.PHONY: bench loadtest
bench: $(INSTALLED) ## measure on production-like servers of its own, into bench/RESULTS.md (ARGS="kpis")
	@$(BIN)/python -m bench $(ARGS)

loadtest: $(INSTALLED) ## a storm against a running system: make loadtest URL=http://127.0.0.1:3000 KEY=...
	@$(BIN)/python -m bench.loadtest "$(URL)" "$(KEY)" $(ARGS)

##@ Database and tasks
.PHONY: migrate revision psql tasks admin eval
migrate: $(INSTALLED) ## bring the database to the newest schema
	@$(STACK) migrate

revision: $(INSTALLED) ## write a migration for changed models: make revision m="add a column"
	@$(STACK) revision "$(m)"

psql: $(INSTALLED) ## open the running database
	@$(STACK) psql

tasks: $(INSTALLED) ## what waits, runs and failed
	@$(STACK) tasks

admin: $(INSTALLED) ## make or reset an administrator: make admin EMAIL=you@example.com
	@$(STACK) admin $(EMAIL) $(ARGS)

eval: $(INSTALLED) ## how often classification agrees with labels, field by field (ARGS="--provider openai --half b")
	@$(BIN)/python -m contactship_ai_worker.evaluate $(ARGS)

##@ Housekeeping
.PHONY: lock clean clean-data
lock: $(INSTALLED) ## pin all dependencies again with hashes, without any download address (UPGRADE=1 takes newer ones)
	@$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --no-annotate $(if $(UPGRADE),--upgrade) \
		requirements.dev.in $(PYPROJECTS) -o requirements.lock --no-emit-package contactship-common
	@grep '^uv==' requirements.lock | cut -d ' ' -f 1 | $(BIN)/python -m uv pip compile --quiet --universal \
		--python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
		- -o requirements-bootstrap.lock
	@! grep -n '://' requirements.lock requirements-bootstrap.lock

clean: ## remove .venv and caches; data are kept
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	@find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: $(INSTALLED) ## stop the embedded servers and delete their data (CONTACTSHIP_DATA_DIR, else .data)
	@$(STACK) clean-data
