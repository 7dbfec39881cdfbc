# `make` alone lists the targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
SHOPCTL := $(BIN)/shopctl
INSTALLED := .venv/.installed
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
PACKAGES := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)

# A virtual environment contains its own path and that of its Python. If the clone was moved or copied, or that Python is
# gone, the environment is created again.
ifneq ($(shell test -x $(BIN)/python && grep -qsF "$$(pwd -P)/$(BIN)/python" $(SHOPCTL) && echo good),good)
.PHONY: $(INSTALLED)
endif

# Images are named IMAGES/<service>:TAG; REGISTRY sets IMAGES=REGISTRY/quayside.
ifdef REGISTRY
export REGISTRY
export IMAGES := $(REGISTRY)/quayside
endif
ifdef TAG
export TAG
endif

.PHONY: help setup up down reset status top logs seed images push pull charts cluster-up cluster-down test \
  test-containers cluster-test cluster-bench screenshots new-service lint format bench bench-scale audit lock \
  chaos mutants load load-ui cluster-load docs docs-serve lab answer grade classroom classroom-down labs-test

help:  ## Print this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run the shop
up: $(INSTALLED)  ## Start the shop and load the demo catalog; OBSERVE=1 also starts Prometheus, Jaeger, Grafana
	@$(SHOPCTL) up

down: $(if $(wildcard $(BIN)),$(INSTALLED))  ## Stop the shop; keep its data
	@test ! -d $(BIN) || $(SHOPCTL) down

status: $(INSTALLED)  ## Show each process with its memory and backlog
	@$(SHOPCTL) status

top: $(INSTALLED)  ## Watch orders, latency, errors and queues, until Ctrl-C
	@$(SHOPCTL) top

logs: $(INSTALLED)  ## Follow the logs; SERVICE=order selects one service
	@$(SHOPCTL) logs --follow $(SERVICE)

seed: $(INSTALLED)  ## Load the demo catalog
	@$(SHOPCTL) seed

reset: $(INSTALLED)  ## Stop the shop and delete its data
	@$(SHOPCTL) reset

##@ Containers
images:  ## Build every image
	@docker buildx bake

# A working tree with uncommitted changes gets a new tag each time, because a node does not pull a tag twice.
VERSION = $(or $(TAG),$(shell git describe --tags --always --dirty=-$$(date +%s)))

push: export TAG := $(VERSION)
push:  ## Build and push every image; REGISTRY=registry.example:5000, default TAG from git describe
	@REVISION=$$(git rev-parse HEAD) SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) docker buildx bake --push $(BAKE)

pull:  ## Pull pushed images: REGISTRY=… TAG=…; `make up` with the same values runs them
	@docker compose pull $(notdir $(wildcard services/*)) load-leader

##@ Kubernetes, on the cluster that KUBECONFIG names
NAMESPACE ?= quayside
charts: $(INSTALLED)  ## Fetch the charts' dependencies and check the charts
	@tools/charts.sh check
	@$(BIN)/pytest tests/charts

cluster-up: export TAG := $(VERSION)
# Who may not create objects of the whole cluster, such as a student, installs without PriorityClasses.
cluster-up:  ## Push the images to REGISTRY, unless PUSHED=1, and install the shop in NAMESPACE, by default quayside
	@test -n "$(REGISTRY)" || { echo "Set the registry from which the nodes pull: make cluster-up REGISTRY=localhost:5000" >&2; exit 2; }
	@test -n "$(PUSHED)" || $(MAKE) push
	@tools/charts.sh build
	@kubectl get namespace $(NAMESPACE) >/dev/null 2>&1 || sed 's/name: quayside/name: $(NAMESPACE)/' charts/namespace.yaml | kubectl apply --filename -
	@helm upgrade --install shop charts/shop --namespace $(NAMESPACE) --wait --wait-for-jobs --cleanup-on-fail --timeout 10m \
	  --set-string global.registry=$(REGISTRY),global.tag=$(TAG) \
	  $$(kubectl auth can-i create priorityclasses --quiet 2>/dev/null || echo --set global.priorityClasses=false)

cluster-down:  ## Uninstall the shop; keep its volumes and passwords
	@helm uninstall shop --namespace $(NAMESPACE) --wait --cascade foreground --timeout 5m

##@ Tests
test: $(INSTALLED)  ## Run every test against real stores
	@$(SHOPCTL) packages
	@RUNTIME=native TEST_STORES=native \
	  tools/test.sh services tests/contracts tests/load tests/labs \
	    -- libs tools tests/browser tests/e2e/test_privacy.py \
	    -- tests/faults tests/e2e/test_privacy.py tests/e2e/test_series.py \
	    -- tests/e2e tests/edge tests/native

test-containers: $(INSTALLED)  ## Run tests in containers: newest versions of the stores, and the shop in Compose
	@RUNTIME=compose TEST_STORES=containers TESTCONTAINERS_RYUK_DISABLED=true \
	  tools/test.sh libs services tests/containers -- tests/e2e/test_orders.py tests/faults

cluster-test: $(INSTALLED)  ## Install the shop on the cluster, in separate namespaces, and test faults
	@tools/charts.sh build
	@$(BIN)/pytest tests/cluster

audit: $(INSTALLED)  ## Check that orders, payments, stock and messages agree
	@$(SHOPCTL) audit

chaos: $(INSTALLED)  ## Break the running shop under traffic, and report: SEED=7 FOR=3m
	@$(SHOPCTL) chaos run $(if $(SEED),--seed $(SEED)) $(if $(FOR),--for $(FOR))

mutants: $(INSTALLED)  ## Show that each safety of the shop is tested: break it in a copy, and run the tests
	@$(SHOPCTL) packages
	@TEST_STORES=native $(BIN)/python tools/mutants.py $(MUTANTS)

##@ Labs
lab: $(INSTALLED)  ## Open a lab of docs/labs: check that all it needs is there; LAB=09
	@$(SHOPCTL) lab open $(LAB)

answer: $(INSTALLED)  ## Answer the lab's questions: LAB=09 ANSWERS="b a c"
	@$(SHOPCTL) lab answer $(LAB) $(ANSWERS)

grade: $(INSTALLED)  ## Grade the lab: points, what is missing, a hint; LAB=09, with JSON=1 as JSON
	@$(SHOPCTL) lab grade $(LAB) $(if $(JSON),--json)

classroom:  ## Give each student a namespace, a share of the cluster and a kubeconfig: STUDENTS="ann bob"
	@tools/classroom.sh up $(STUDENTS)

classroom-down:  ## Remove the namespaces of STUDENTS, or of all, with all that is in them
	@tools/classroom.sh down $(STUDENTS)

labs-test: $(INSTALLED)  ## Run each block of labs and models, on the runtimes that answer here; LAB=09 selects one
	@$(BIN)/pytest $(if $(LAB),docs/labs/$(LAB)-*.md,docs/labs docs/models)

##@ Load and measurements
load: $(INSTALLED)  ## Load the running shop, and judge it: SHAPE=spike USERS=200 TIME=2m SEED=1
	@$(SHOPCTL) load

load-ui: $(INSTALLED)  ## The same with Locust's page on port 8089, to choose personas and shape there
	@$(SHOPCTL) load --ui

cluster-load: $(INSTALLED)  ## The same for the shop on the cluster, with WORKERS=2 pods of shoppers
	@tools/charts.sh build
	@$(BIN)/python -m shopctl.load.cluster

bench: $(INSTALLED)  ## Measure the shop: throughput, latency, CPU, memory; BASE=<commit> compares that one with this clone
	@$(SHOPCTL) bench $(if $(BASE),--base $(BASE))

bench-scale: $(INSTALLED)  ## Measure a shop as it grows to 100,000 orders and products; UP_TO=1000000 for more
	@$(SHOPCTL) bench-scale $(if $(UP_TO),--up-to $(UP_TO))

cluster-bench: $(INSTALLED)  ## Compare orders per CPU-second on the cluster with Compose
	@tools/charts.sh build
	@$(BIN)/python tests/cluster/bench.py

##@ Development
setup: $(INSTALLED)  ## Create the virtual environment

screenshots: $(INSTALLED)  ## Write pictures of every page of the running shop to .run/screenshots
	@$(SHOPCTL) packages
	@PYTHONPATH=tests $(BIN)/python tools/screenshots.py

new-service: $(INSTALLED)  ## Create a service from the template: NAME=reviews
	@$(BIN)/python tools/new_service.py "$$NAME"
	@$(MAKE) setup
	@echo "Next: \`make test\` names each place where the service is to be added; docs/how-to/new-service.md describes it."

lint: .venv/.docs  ## Check style, types, architecture, scripts
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
	@$(BIN)/python tools/dashboards.py --check

# Not with --quiet: MkDocs counts as faults only the warnings that it shows.
docs: .venv/.docs  ## Build the documentation site in .run/site, and check it
	@$(MKDOCS) build
	@$(BIN)/pytest tests/site

docs-serve: .venv/.docs  ## Serve the documentation at http://127.0.0.1:8000, and build it again when a page changes
	@$(MKDOCS) serve

format: $(INSTALLED)  ## Format the code, and update the generated files
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(SHOPCTL) derive
	@$(BIN)/python tools/chart_values.py
	@$(BIN)/python tools/dashboards.py

lock: $(INSTALLED)  ## Update requirements/*.txt
	@tools/lock.sh

.venv/.docs: requirements/docs.txt $(INSTALLED)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

$(INSTALLED): $(wildcard requirements/*.txt) $(PACKAGES) tools/setup.sh
	@tools/setup.sh
