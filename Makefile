# GPT Broker. `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo run test test-quick test-containers bench fuzz soak sbom drill lint format lock clean live doctor rehearse status monitoring reload \
	users user block unblock reset grant audit

PYTHON ?= python3
TENANTS := $(shell awk '/^[a-z]/{print $$1}' deploy/tenants)
FUZZ_SECONDS ?= 60
DRILLS ?= $(addprefix tests/integration/,test_redis_sentinel.py test_redis_cluster.py test_many_brokers.py)
BIN := .venv/bin
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

help: ## show this list
	@awk '/^(\$$\(TENANTS:%=)?[a-z-]+.*## /{ \
	  name = $$0; sub(/^\$$\(TENANTS:%=/, "", name); sub(/%.*/, "<tenant>", name); sub(/:.*/, "", name); \
	  text = $$0; sub(/.*## /, "", text); printf "  make %-23s %s\n", name, text }' $(MAKEFILE_LIST)
	@echo "tenants (deploy/tenants): $(TENANTS)"

setup: .venv/runtime ## create .venv with the broker's dependencies

demo: setup ## run the broker with stand-ins for OpenAI and Supabase and stream an answer (ONCE=1: then exit)
	@$(BIN)/python -m deploy.local.demo

run: setup ## run a tenant without containers: make run TENANT=sksndev
	@[ -n "$(TENANT)" ] || { echo "name a tenant: make run TENANT=sksndev" >&2; exit 2; }
	@[ -f .env.$(TENANT) ] || { echo ".env.$(TENANT) is missing: copy config/example.env and fill it in" >&2; exit 2; }
	@ENV_FILE=.env.$(TENANT) exec $(BIN)/gunicorn -c config/gunicorn.conf.py wsgi:app

test: .venv/development ## run all tests with a real Redis and gunicorn; installs the programs they need
	@tests/install-parts
	@$(MAKE) --no-print-directory tests/browser/node_modules tests/clients/node_modules
	@$(BIN)/python -m pytest

test-quick: .venv/development ## run the tests that need no other program
	@$(BIN)/python -m pytest -m "not integration"

bench: .venv/development ## measure the cost of a call and a token: ROUNDS=5 ONLY="1 3" AMONG="nginx broker" SIZE=quick CHECK=1
	@tests/install-parts
	@ROUNDS="$(ROUNDS)" ONLY="$(ONLY)" AMONG="$(AMONG)" SIZE="$(SIZE)" CHECK="$(CHECK)" $(BIN)/python -m tests.benchmarks

test-containers: .venv/development ## build the image and test the container stack
	@tests/containers/run

fuzz: .venv/development ## fuzz the parsers, FUZZ_SECONDS=60 each; the corpus is in .fuzz/
	@set -o pipefail; for parser in $$($(BIN)/python -m tests.fuzz 2>/dev/null); do \
	  echo "$$parser"; $(BIN)/python -m tests.fuzz $$parser $(FUZZ_SECONDS) .fuzz/$$parser 2>&1 | tail -n 12 || exit 1; done

soak: .venv/development ## mixed load with faults, checks for growth: MINUTES=10; plot and table in .soak/
	@tests/install-parts
	@MINUTES="$(MINUTES)" $(BIN)/python -m tests.soak .soak

lint: .venv/development ## check style, types and import layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -m pytest --no-header tests/unit/test_project.py tests/unit/test_prose.py tests/unit/test_mirror.py \
	  -k "budget or directly_in_broker or package or plain_english or test_file"

format: .venv/development ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: .venv/development ## resolve config/*.in into requirements.txt and config/development.txt (UPGRADE=--upgrade)
	@$(COMPILE) $(UPGRADE) --output-file requirements.txt config/runtime.in
	@$(COMPILE) $(UPGRADE) --output-file config/development.txt --constraint requirements.txt config/development.in

sbom: .venv/development ## list the image's packages and their hashes as CycloneDX, in .sbom/
	@mkdir -p .sbom
	@$(BIN)/cyclonedx-py requirements --output-reproducible --sv 1.6 --short-PURLs requirements.txt -o .sbom/gpt-broker.cdx.json

drill: .venv/development ## fail-overs of Redis and a rolling update of eight brokers, with figures: STREAMS=5000
	@tests/install-parts
	@STREAMS="$(or $(STREAMS),5000)" $(BIN)/python -m pytest -s -o faulthandler_timeout=900 $(DRILLS)

live: setup ## check running brokers as a user: make live TARGET=sksndev (sksndev_prod, …; default: all)
	@$(BIN)/python -m tests.live $(TARGET)

doctor: ## check a tenant and its dependencies: make doctor TENANT=sksndev
	@deploy/stack doctor "$(TENANT)"

rehearse: ## ask OpenAI once per name in MODELS which parameters it refuses: make rehearse TENANT=sksndev
	@deploy/stack rehearse "$(TENANT)"

status: ## show what runs on the Docker host (HOST=ssh://user@host: on a remote one, for this and the targets below)
	@deploy/stack status

monitoring: ## start Prometheus and Grafana, or update their configuration
	@deploy/stack monitor

reload: ## read a tenant's settings and secrets anew, without a new container: make reload TENANT=sksndev
	@deploy/stack reload "$(TENANT)"

users: ## show who used what today (DAY=2026-11-24 TOP=10 CSV=file): make users TENANT=sksndev
	@deploy/stack users "$(TENANT)"

user: ## show one user's day and the changes made to it: make user TENANT=sksndev ID=…
	@deploy/stack user "$(TENANT)"

block: ## refuse a user at once and end their open answers: make block TENANT=sksndev ID=…
	@deploy/stack block "$(TENANT)"

unblock: ## admit a blocked user again: make unblock TENANT=sksndev ID=…
	@deploy/stack unblock "$(TENANT)"

reset: ## give a user's calls of today back: make reset TENANT=sksndev ID=…
	@deploy/stack reset "$(TENANT)"

grant: ## raise a user's limits for today: make grant TENANT=sksndev ID=… CALLS=20 (TOKENS=, DOLLARS=)
	@deploy/stack grant "$(TENANT)"

audit: ## show who blocked, reset or granted what, and when: make audit TENANT=sksndev
	@deploy/stack audit "$(TENANT)"

VERBS := deploy rollback logs down backup restore upgrade-redis
RELEASER = deploy/$(if $(ON),$(if $(filter kubernetes,$(ON)),kubernetes/release,\
	$(error ON=$(ON) is unknown: ON=kubernetes, or no ON for Docker. Nothing was done)),stack)
.PHONY: $(foreach verb,$(VERBS),$(TENANTS:%=$(verb)-%))
$(TENANTS:%=deploy-%): deploy-%: ## build this commit, check it beside the running release, then switch to it
	@$(RELEASER) deploy $*

$(TENANTS:%=rollback-%): rollback-%: ## go back to the release before, or to TO=<commit>, with its settings
	@$(RELEASER) rollback $*

$(TENANTS:%=logs-%): logs-%: ## follow the broker's log (RELEASE=<number>: the log of an older release)
	@deploy/stack logs $*

$(TENANTS:%=down-%): down-%: ## stop a tenant; its counts are kept
	@deploy/stack stop $*

$(TENANTS:%=backup-%): backup-%: ## write the tenant's counts to a file (FILE=…)
	@deploy/stack backup $*

$(TENANTS:%=restore-%): restore-%: ## replace the tenant's counts by those of FILE=…
	@deploy/stack restore $*

$(TENANTS:%=upgrade-redis-%): upgrade-redis-%: ## back up, then run the Redis image that REDIS_IMAGE names
	@deploy/stack upgrade_redis $*

# one of these without a tenant, or with one that is not in the list; `deploy` is also the name of a folder
NO_TENANT = @echo "name a tenant: make $(firstword $(foreach verb,$(VERBS),$(if $(filter $(verb) $(verb)-%,$@),$(verb))))-<tenant>," \
	"one of $(TENANTS). Nothing was done." >&2; exit 2
$(VERBS): always
	$(NO_TENANT)
$(VERBS:%=%-%): always
	$(NO_TENANT)
always:

clean: ## remove everything that make created
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/*/node_modules .fuzz .soak .sbom
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# npm packages for the tests in Chromium, and clients of OpenAI
%/node_modules: %/package.json %/package-lock.json
	@cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.venv/runtime: requirements.txt deploy/local/make-venv
	@echo "making .venv (once; less than a minute)"
	@PYTHON=$(PYTHON) deploy/local/make-venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/development: .venv/runtime config/development.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r config/development.txt
	@touch $@
