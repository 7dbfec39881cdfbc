# `make` alone lists the targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
SHOPCTL := $(BIN)/shopctl
INSTALLED := .venv/.installed
PACKAGES := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)

.PHONY: help setup up down reset status logs seed test lint format bench audit lock

help:  ## Print this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run the shop
up: $(INSTALLED)  ## Start the shop and fill its shelves; harmless when it runs
	@$(SHOPCTL) up

down:  ## Stop the shop; the data stays
	@test ! -x $(SHOPCTL) || $(SHOPCTL) down

status: $(INSTALLED)  ## Show what runs, what it weighs and what waits in it
	@$(SHOPCTL) status

logs: $(INSTALLED)  ## Follow the logs; SERVICE=order for one alone
	@$(SHOPCTL) logs --follow $(SERVICE)

seed: $(INSTALLED)  ## Put the demo catalogue on the shelves
	@$(SHOPCTL) seed

reset: $(INSTALLED)  ## Stop the shop and remove its data
	@$(SHOPCTL) reset

##@ Prove it
test: $(INSTALLED)  ## Run every test against real stores
	@$(SHOPCTL) packages
	@$(BIN)/pytest

audit: $(INSTALLED)  ## Check what must hold once the shop is quiet
	@$(SHOPCTL) audit

bench: $(INSTALLED)  ## Measure the shop: throughput, latency, CPU, memory
	@$(SHOPCTL) bench

##@ Work on it
setup: $(INSTALLED)  ## Make the virtual environment

lint: $(INSTALLED)  ## Check style, types, architecture, scripts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@git ls-files '*.sh' .ci/run | xargs -r $(BIN)/shellcheck
	@$(BIN)/yamllint --strict .

format: $(INSTALLED)  ## Put the code into its form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: $(INSTALLED)  ## Renew requirements/*.txt
	@tools/lock.sh

$(INSTALLED): $(wildcard requirements/*.txt) $(PACKAGES) tools/setup.sh
	@tools/setup.sh
