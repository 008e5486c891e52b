# GPT Broker. `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo run test test-quick test-containers bench fuzz soak lint format lock clean live doctor rehearse status deploy-sksndev deploy-techsksn rollback-sksndev rollback-techsksn logs-sksndev logs-techsksn down-sksndev down-techsksn

PYTHON ?= python3
FUZZ_SECONDS ?= 60
BIN := .venv/bin
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

bench: .venv/development ## measure the cost of a call and a token: ROUNDS=5 ONLY="1 3" AMONG="nginx broker" SIZE=quick
	@tests/install-parts
	@ROUNDS="$(ROUNDS)" ONLY="$(ONLY)" AMONG="$(AMONG)" SIZE="$(SIZE)" $(BIN)/python -m tests.benchmarks

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

format: .venv/development ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: .venv/development ## resolve config/*.in into requirements.txt and config/development.txt (UPGRADE=--upgrade)
	@$(COMPILE) $(UPGRADE) --output-file requirements.txt config/runtime.in
	@$(COMPILE) $(UPGRADE) --output-file config/development.txt --constraint requirements.txt config/development.in

live: setup ## check running brokers as a user: make live TARGET=sksndev (sksndev_prod, …; default: all)
	@$(BIN)/python -m tests.live $(TARGET)

doctor: ## check a tenant and its dependencies: make doctor TENANT=sksndev
	@deploy/stack doctor "$(TENANT)"

rehearse: ## ask OpenAI once per name in MODELS: what would be left out or refused: make rehearse TENANT=sksndev
	@deploy/stack rehearse "$(TENANT)"

status: ## what runs on the Docker host (HOST=ssh://user@host: a remote one; so for all below)
	@deploy/stack status

deploy-sksndev: ## build this commit, start sksndev from it, check it; put the image before back if it is not well
	@deploy/$(if $(filter kubernetes,$(ON)),kubernetes/release,stack) deploy sksndev

deploy-techsksn: ## build this commit, start techsksn from it, check it; put the image before back if it is not well
	@deploy/$(if $(filter kubernetes,$(ON)),kubernetes/release,stack) deploy techsksn

rollback-sksndev: ## put the image before back for sksndev
	@deploy/$(if $(filter kubernetes,$(ON)),kubernetes/release,stack) rollback sksndev

rollback-techsksn: ## put the image before back for techsksn
	@deploy/$(if $(filter kubernetes,$(ON)),kubernetes/release,stack) rollback techsksn

logs-sksndev: ## follow what the broker of sksndev writes
	@deploy/stack logs sksndev

logs-techsksn: ## follow what the broker of techsksn writes
	@deploy/stack logs techsksn

down-sksndev: ## stop sksndev; its counts are kept
	@deploy/stack stop sksndev

down-techsksn: ## stop techsksn; its counts are kept
	@deploy/stack stop techsksn

clean: ## remove everything that make created
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/*/node_modules .fuzz .soak
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
