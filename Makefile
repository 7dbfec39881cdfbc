# `make` alone lists the targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
SHOPCTL := $(BIN)/shopctl
INSTALLED := .venv/.installed
PACKAGES := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)

# A virtual environment knows its own path and its Python's: where the clone was moved or copied, or that Python has gone,
# it is made anew.
ifneq ($(shell test -x $(BIN)/python && grep -qsF "$$(pwd -P)/$(BIN)/python" $(SHOPCTL) && echo good),good)
.PHONY: $(INSTALLED)
endif

# Images are IMAGES/<service>:TAG; REGISTRY stands for IMAGES=REGISTRY/quayside.
ifdef REGISTRY
export REGISTRY
export IMAGES := $(REGISTRY)/quayside
endif
ifdef TAG
export TAG
endif

.PHONY: help setup up down reset status logs seed images push pull charts cluster-up cluster-down test \
  test-containers cluster-test cluster-bench new-service lint format bench audit lock

help:  ## Print this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run the shop
up: $(INSTALLED)  ## Start the shop and fill its shelves; harmless when it runs
	@$(SHOPCTL) up

down: $(if $(wildcard $(BIN)),$(INSTALLED))  ## Stop the shop; the data stays
	@test ! -d $(BIN) || $(SHOPCTL) down

status: $(INSTALLED)  ## Show what runs, what it weighs and what waits in it
	@$(SHOPCTL) status

logs: $(INSTALLED)  ## Follow the logs; SERVICE=order for one alone
	@$(SHOPCTL) logs --follow $(SERVICE)

seed: $(INSTALLED)  ## Put the demo catalogue on the shelves
	@$(SHOPCTL) seed

reset: $(INSTALLED)  ## Stop the shop and remove its data
	@$(SHOPCTL) reset

##@ Containers
images:  ## Build every image
	@docker buildx bake

# A working tree with changes of its own gets a name of its own each time: a node keeps what it has pulled.
VERSION = $(or $(TAG),$(shell git describe --tags --always --dirty=-$$(date +%s)))

push: export TAG := $(VERSION)
push:  ## Build every image and push it: REGISTRY=registry.example:5000, TAG as git describes this commit
	@REVISION=$$(git rev-parse HEAD) SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) docker buildx bake --push $(BAKE)

pull:  ## Fetch what was pushed: REGISTRY=… TAG=…; `make up` with the same runs it
	@docker compose pull $(notdir $(wildcard services/*))

##@ On the Kubernetes cluster that KUBECONFIG names
charts: $(INSTALLED)  ## Fetch the charts' dependencies and check the charts
	@tools/charts.sh check
	@$(BIN)/pytest tests/charts

cluster-up: export TAG := $(VERSION)
cluster-up:  ## Push the images to REGISTRY and install the shop in the namespace quayside
	@test -n "$(REGISTRY)" || { echo "Name a registry that the nodes pull from: make cluster-up REGISTRY=localhost:5000" >&2; exit 2; }
	@$(MAKE) push
	@tools/charts.sh build
	@kubectl apply --filename charts/namespace.yaml
	@helm upgrade --install shop charts/shop --namespace quayside --wait --wait-for-jobs --cleanup-on-fail --timeout 10m \
	  --set-string global.registry=$(REGISTRY),global.tag=$(TAG)

cluster-down:  ## Remove it; the volumes and the passwords stay
	@helm uninstall shop --namespace quayside --wait --cascade foreground --timeout 5m

##@ Prove it
test: $(INSTALLED)  ## Run every test against real stores
	@$(SHOPCTL) packages
	@tools/test.sh

test-containers: $(INSTALLED)  ## Run them on containers: stores of the newest versions, and the shop by Compose
	@RUNTIME=compose TEST_STORES=containers TESTCONTAINERS_RYUK_DISABLED=true \
	  $(BIN)/pytest libs services tests/containers tests/e2e/test_orders.py tests/faults

cluster-test: $(INSTALLED)  ## Install the shop there, in namespaces of the tests' own, and break it
	@tools/charts.sh build
	@$(BIN)/pytest tests/cluster

audit: $(INSTALLED)  ## Check what must hold once the shop is quiet
	@$(SHOPCTL) audit

bench: $(INSTALLED)  ## Measure the shop: throughput, latency, CPU, memory
	@$(SHOPCTL) bench

cluster-bench: $(INSTALLED)  ## Orders per CPU-second on that cluster, against Compose here, in one run
	@tools/charts.sh build
	@$(BIN)/python tests/cluster/bench.py

##@ Work on it
setup: $(INSTALLED)  ## Make the virtual environment

new-service: $(INSTALLED)  ## Make a service from the template: NAME=reviews
	@$(BIN)/python tools/new_service.py "$$NAME"
	@$(MAKE) setup
	@echo "Next: \`make test\` names each place where the service is to be added; docs/how-to/new-service.md describes it."

lint: $(INSTALLED)  ## Check style, types, architecture, scripts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@git ls-files '*.sh' .ci/run .devcontainer/join-docker | xargs -r $(BIN)/shellcheck
	@$(BIN)/yamllint --strict .
	@git ls-files '*Dockerfile' | xargs $(BIN)/hadolint
	@$(BIN)/zizmor --quiet --offline .github
	@$(SHOPCTL) derive --check
	@$(BIN)/python tools/chart_values.py --check

format: $(INSTALLED)  ## Put the code into its form, and write what follows from the charts' values
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(SHOPCTL) derive
	@$(BIN)/python tools/chart_values.py

lock: $(INSTALLED)  ## Renew requirements/*.txt
	@tools/lock.sh

$(INSTALLED): $(wildcard requirements/*.txt) $(PACKAGES) tools/setup.sh
	@tools/setup.sh
