# Every target sets up what it needs; a second time that is quick.
#   make run                     the synthetic census through the whole stack, on this machine
#   make run CSV=path OUT=dir    any census CSV
#   make test                    everything that CI runs

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFORMANCE := .venv-conformance
# MXNet is retired: it needs numpy below 2, which has no wheels beyond Python 3.12.
CONFORMANCE_PYTHON ?= $(firstword $(foreach python,python3.11 python3.12 $(PYTHON),$(shell command -v $(python))))
# The functions' Python. The line is the only place that says it; the environment of the handlers' tests is named after it.
FUNCTIONS_PYTHON := $(shell sed -n 's/^RUNTIME = .*PYTHON_3_/3./p' infra/layers.py)
HANDLERS := .venv-python$(FUNCTIONS_PYTHON)
# The packages for `make run` are installed separately from those for tests, lint and benchmarks.
RUN := $(VENV)/.ready-to-run node_modules/.ready-to-run
DEV := $(VENV)/.ready-to-test node_modules/.ready-to-test
CONFORMANCE_READY := $(CONFORMANCE)/.ready
STEPFUNCTIONS := .venv-stepfunctions
SPEED := .venv-speed
MUTANTS := .venv-mutants

# Node 20 is still welcome here; the CDK command line would greet it with a banner.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

# Some containers set this variable. Every process of a run would then compile its modules anew, which takes as long as the run.
unexport PYTHONDONTWRITEBYTECODE

# These run many executions at a time, and have the machine to themselves.
CROWDED := $(addprefix tests/local/test_,aborts.py faults.py killed_functions.py load.py)

.DEFAULT_GOAL := help
.PHONY: help setup run up status down lint unit handlers functions-python test conformance browser faults soak permissions synth bootstrap deploy \
	destroy bench rehearse release stability audit docs site format clean coverage mutants nightly rooms

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv installs the packages in a tenth of pip's time. It does not read pip's configuration, such as a company's index:
# where it is not available or does not find the packages, pip installs them.
define install
@$(2)/bin/pip install -q --disable-pip-version-check -c constraints.txt uv 2>/dev/null || echo "uv is not available; using pip"
@$(2)/bin/python -m uv pip install --python $(2)/bin/python -r $(1) -c constraints.txt \
	|| $(2)/bin/python -m pip install --disable-pip-version-check -r $(1) -c constraints.txt
endef

$(VENV)/.ready-to-run: requirements.txt constraints.txt layers/base/requirements.txt layers/science/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python is $$($(PYTHON) --version); 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Installing the Python packages of a run into $(VENV) (once)…"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,requirements.txt,$(VENV))
	@touch $@

$(VENV)/.ready-to-test: $(VENV)/.ready-to-run requirements-dev.txt
	@echo "Installing the Python packages of tests and tools into $(VENV) (once)…"
	$(call install,requirements-dev.txt,$(VENV))
	@touch $@

node_modules/.ready-to-run: package.json package-lock.json jobs/report/vendor.mjs
	$(call install_npm,--omit=dev)
	@touch $@

# npm ci starts from an empty folder, so this also installs the packages for `make run`.
node_modules/.ready-to-test: package.json package-lock.json jobs/report/vendor.mjs
	$(call install_npm)
	@touch node_modules/.ready-to-run $@

define install_npm
@command -v node >/dev/null || { echo "node is missing; Node.js 20 or newer is needed" >&2; exit 1; }
@echo "Installing the npm packages (once)…"
@npm ci --no-audit --no-fund --loglevel=error $(1)
endef

$(CONFORMANCE_READY): requirements-conformance.txt
	@$(CONFORMANCE_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
		|| { echo "MXNet needs Python 3.11 or 3.12: make CONFORMANCE_PYTHON=python3.11 …" >&2; exit 1; }
	@echo "Installing MXNet and the SageMaker SDK into $(CONFORMANCE) (once, some minutes)…"
	@test -x $(CONFORMANCE)/bin/python || $(CONFORMANCE_PYTHON) -m venv $(CONFORMANCE)
	@$(CONFORMANCE)/bin/pip install -q --disable-pip-version-check -r requirements-conformance.txt
	@touch $@

# pyenv offers its other versions only where one names them; without pyenv, the variable does nothing.
$(HANDLERS)/.ready: export PYENV_VERSION := $(FUNCTIONS_PYTHON)
$(HANDLERS)/.ready: requirements.txt requirements-dev.txt constraints.txt layers/base/requirements.txt layers/science/requirements.txt
	@python$(FUNCTIONS_PYTHON) -c "" 2>/dev/null || { echo "The functions run on Python $(FUNCTIONS_PYTHON), and so do their tests;" \
		"python$(FUNCTIONS_PYTHON) is not on the PATH: install it, for example with pyenv install $(FUNCTIONS_PYTHON)" >&2; exit 1; }
	@echo "Installing the Python packages of the handlers' tests into $(HANDLERS) (once)…"
	@test -x $(HANDLERS)/bin/python || python$(FUNCTIONS_PYTHON) -m venv $(HANDLERS)
	$(call install,requirements-dev.txt,$(HANDLERS))
	@touch $@

$(STEPFUNCTIONS)/.ready: requirements-stepfunctions.txt | $(VENV)/.ready-to-run
	@echo "Installing LocalStack's Step Functions into $(STEPFUNCTIONS) (once)…"
	@test -x $(STEPFUNCTIONS)/bin/python || $(CONFORMANCE_PYTHON) -m venv $(STEPFUNCTIONS)
	@$(BIN)/python -m uv pip install -q --python $(STEPFUNCTIONS)/bin/python -r requirements-stepfunctions.txt \
		|| $(STEPFUNCTIONS)/bin/pip install -q --disable-pip-version-check -r requirements-stepfunctions.txt
	@touch $@

setup: $(DEV) ## Install everything that runs, tests and checks need

# The command's name in their messages; `census` alone works only in an activated environment.
run up status down destroy: export CENSUS_COMMAND := $(BIN)/python -m local

run: $(RUN) ## Run a census CSV through the whole stack in the embedded AWS: CSV=path OUT=dir
	@$(BIN)/python -m local run $(if $(CSV),"$(CSV)") $(if $(OUT),--out "$(OUT)")

up: $(RUN) ## Keep the embedded AWS running, with the stack deployed
	@$(BIN)/python -m local up

status: $(RUN) ## List the runs of the running embedded AWS
	@$(BIN)/python -m local status

down: $(RUN) ## Stop it
	@$(BIN)/python -m local down

lint: setup ## ruff, mypy, import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

rooms: setup ## Which folders import which; a circle of imports is an error
	@$(BIN)/python -m tools.rooms

format: setup ## Format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

unit: setup ## The tests that need no embedded AWS
	@$(BIN)/pytest tests/unit

# The interpreter's name has the version in it: the tests run under the functions' Python or not at all.
handlers: setup $(HANDLERS)/.ready ## The handlers and their work under the functions' Python, and the import of their layers
	@$(HANDLERS)/bin/python$(FUNCTIONS_PYTHON) -m pytest -n 2 tests/unit/contract tests/unit/jobs tests/unit/lambdas \
		tests/infra/test_synth.py::test_every_handler_can_be_imported_from_the_pruned_layers

functions-python:
	@echo $(FUNCTIONS_PYTHON)

conformance: setup $(CONFORMANCE_READY) $(STEPFUNCTIONS)/.ready ## Our formats, SageMaker and states against others' implementations
	@$(CONFORMANCE)/bin/python -m pytest tests/conformance
	@$(BIN)/pytest tests/interpreter

browser: setup ## The report in a real browser
	@$(BIN)/pytest tests/browser

faults: setup ## Every SageMaker operation times every fault: print the matrix
	@$(BIN)/python -m tests.local.faults

soak: setup ## Disturb many runs at random and check what must hold: RUNS=300 SEED=1
	@$(BIN)/python -m tests.soak $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED))

# Runs that pass, fail, are refused, redriven, aborted and swept: between them they use every permission.
permissions: setup ## Granted, used and refused, per role, over runs of every kind
	@rm -rf build/decisions
	@EMBEDDED_AWS_RECORDS=$(CURDIR)/build/decisions $(BIN)/pytest -q -n 2 --dist loadfile \
		tests/local/test_janitor.py tests/local/test_redrive.py tests/local/test_refusals.py
	@$(BIN)/python -m local.permissions build/decisions

# Functions, training jobs and endpoints run in processes of their own, which coverage follows too.
coverage: setup ## How much of the code the tests run, and which lines they don't
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q tests/unit tests/infra tests/embedded_aws $(if $(ALL),tests/local)
	@$(BIN)/coverage combine -q && $(BIN)/coverage report

$(MUTANTS)/.ready: requirements-mutants.txt
	@test -x $(MUTANTS)/bin/python || $(PYTHON) -m venv $(MUTANTS)
	@$(MUTANTS)/bin/pip install -q --disable-pip-version-check -r requirements-mutants.txt
	@touch $@

mutants: setup $(MUTANTS)/.ready ## How many small faults in jobs, contract and lambdas the unit tests notice
	@$(MUTANTS)/bin/python -m tools.mutants

nightly: export EVERY_CASE := 1
nightly: test mutants ## What takes too long for every change
	@$(BIN)/pytest --durations 6 tests/nightly
	@$(MAKE) --no-print-directory coverage ALL=1

test: ## Everything
	@$(MAKE) --no-print-directory -j 2 lint conformance handlers
	@$(BIN)/pytest -n 2 --dist loadfile --durations 12 $(addprefix --ignore tests/,conformance interpreter nightly) $(addprefix --ignore ,$(CROWDED))
	@$(BIN)/pytest --durations 6 $(CROWDED)

rehearse: setup ## The example of the pytest plug-in: a stack that is not ours, tested in the embedded AWS
	@$(BIN)/python -m pytest -q -p census_segmentation.rehearsal examples/rehearsal

synth: $(RUN) ## Synthesize the template into cdk.out
	@npx cdk synth --quiet

# `cdk bootstrap` runs the app to find the account and region, so it needs the app's packages; it builds no layers.
bootstrap: $(RUN) ## Prepare an AWS account and region for the CDK, once
	@npx cdk bootstrap

deploy: $(RUN) ## Deploy to the AWS account that your credentials name
	@npx cdk deploy

destroy: $(RUN) ## Delete the stack if no run is in progress (STOP=1 stops the runs); buckets with data stay
	@$(BIN)/python -m local destroy $(if $(STOP),--stop)

release: setup ## Write dist: the wheel, the template with a script for the AWS CLI, SBOMs …: SETTINGS="stage=prod clusters=6"
	@$(BIN)/python -m tools.release $(SETTINGS)

stability: setup ## How far the labels of one file agree from run to run
	@$(BIN)/python -m bench.stability

$(SPEED)/.ready: requirements-speed.txt
	@test -x $(SPEED)/bin/python || $(PYTHON) -m venv $(SPEED)
	@$(SPEED)/bin/pip install -q --disable-pip-version-check -r requirements-speed.txt
	@touch $@

bench: setup $(CONFORMANCE_READY) $(SPEED)/.ready ## Measure against named references, and write docs/performance.md
	@$(BIN)/python -m bench

# A pin that the advisories' index doesn't know is no pin without vulnerabilities: both audits then fail, and say so.
audit: setup ## Known vulnerabilities and licences of all pins
	@$(BIN)/pip-licenses --order=license --format=markdown
	@$(BIN)/pip-audit --strict --progress-spinner off -r constraints.txt --no-deps --disable-pip; python=$$?; \
		npm audit && exit $$python

docs: setup ## Write the documents that are generated
	@$(BIN)/python -m tools.documents

# Material prints a banner about MkDocs 2.0, which the pins in constraints.txt exclude.
site: docs ## Build the documents as a site into site; a dead link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

clean: ## Remove everything that make installed or wrote
	rm -rf $(VENV) $(CONFORMANCE) $(STEPFUNCTIONS) $(SPEED) $(MUTANTS) $(HANDLERS) node_modules cdk.out build dist site .local results out jobs/vendor
