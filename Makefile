# Needs python3 (3.11 or later) and make; everything else is fetched, pinned by hash, into .venv and .venv-local.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
UV := $(BIN)/uv
# $(call sync,python,lock files): uv brings its own certificates; where a company's proxy has another, the system knows it.
sync = $(UV) pip sync --quiet --require-hashes --python $(1) $(2) 2>/dev/null || UV_SYSTEM_CERTS=1 $(UV) pip sync --quiet --require-hashes --python $(1) $(2)

.PHONY: install bench demo test test-slow test-browser fuzz soak mutants registries check build lock clean
.DEFAULT_GOAL := install

install: .venv/.installed .venv-local/.installed
	@:

.venv/bin/uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Retour needs Python 3.11 or later: install it, or say make PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "Python could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "fetching the packages (once)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --force-reinstall -r requirements/uv.txt
	@touch $@

.venv/.installed: .venv/bin/uv requirements/dev.txt requirements/uv.txt pyproject.toml
	@$(call sync,$(BIN)/python,requirements/dev.txt requirements/uv.txt)
	@$(UV) pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

# The embedded AWS pins its own boto3, so it lives apart, together with what the functions import.
.venv-local/.installed: .venv/bin/uv requirements/local.txt
	@test -x .venv-local/bin/python || $(BIN)/python -m venv --without-pip .venv-local
	@$(call sync,.venv-local/bin/python,requirements/local.txt)
	@touch $@

.venv-sam/.installed: .venv/bin/uv requirements/sam.txt
	@test -x .venv-sam/bin/python || $(BIN)/python -m venv --without-pip .venv-sam
	@$(call sync,.venv-sam/bin/python,requirements/sam.txt)
	@echo '*' > .venv-sam/.gitignore
	@touch $@

.venv-mutants/.installed: .venv/bin/uv requirements/dev.txt requirements/mutants.txt
	@test -x .venv-mutants/bin/python || $(BIN)/python -m venv --without-pip .venv-mutants
	@$(call sync,.venv-mutants/bin/python,requirements/dev.txt requirements/mutants.txt)
	@echo '*' > .venv-mutants/.gitignore
	@touch $@

.venv-bench/.installed: .venv/bin/uv requirements/bench.txt
	@test -x .venv-bench/bin/python || $(BIN)/python -m venv --without-pip .venv-bench
	@$(call sync,.venv-bench/bin/python,requirements/bench.txt)
	@echo '*' > .venv-bench/.gitignore
	@touch $@

# make bench ARGS="reader --quick"
bench: install .venv-bench/.installed
	@PYTHONPATH=infra:shared $(BIN)/python -m bench $(ARGS)

# make demo          leaves the hub up; Ctrl-C stops it
# make demo EXIT=1   stops by itself; exit code 0 only if every payout is the expected one
demo: install
	@$(BIN)/retour demo $(if $(EXIT),--exit)

test: install
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow" $(ARGS)

# Hostile files, kills, histories, hubs of their own.
test-slow: install
	$(BIN)/pytest -n 2 --dist loadgroup -m slow $(ARGS)

# make fuzz ARGS="--seconds 60 --seed 7 xml"
fuzz: install
	$(BIN)/python -m tests.fuzz $(ARGS)

# make soak                              a million histories over two processes
# make soak ARGS="--seed 7 -v"           one of them, every store call of it
# make soak ARGS="--faults 200 --first 1"   a store that is unwell; also --kills 2000, --orders 500, --hub-kills 20
soak: install
	POWERTOOLS_LOG_LEVEL=CRITICAL PYTHONPATH=infra:shared:. $(BIN)/python -m tests.soak $(ARGS)
	$(if $(ARGS),,POWERTOOLS_LOG_LEVEL=CRITICAL PYTHONPATH=infra:shared:. $(BIN)/python -m tests.soak \
		--faults 200 --kills 2000 --orders 500 --actions 100000 --hub-kills 20)
	$(if $(ARGS),,POWERTOOLS_LOG_LEVEL=CRITICAL PYTHONPATH=infra:. $(BIN)/python -m tests.senders)
	$(if $(ARGS),,RETOUR_LARGE_ROWS=100000 $(BIN)/pytest -q tests/local/test_large_files.py)
	$(if $(ARGS),,RETOUR_LEDGER_ACTIONS=100000 $(BIN)/pytest -q -s tests/console/test_cost.py)
	$(if $(ARGS),,RETOUR_FLOOD=1 $(BIN)/pytest -q -n 0 -s tests/local/test_flood.py)

# make mutants                           a seeded sample of faults in the rules, each judged by the pure tests
# make mutants ARGS="--sample 0"         all of them
mutants: install .venv-mutants/.installed
	.venv-mutants/bin/python -m tests.mutants $(ARGS)

# What the registries (senders, ...) say of themselves, written into the schema and the documents.
registries: install
	$(BIN)/pytest -q -n 0 tests/conformance/test_generated.py --bless

# What people do in a real browser, on a local hub; fetches chromium and axe-core first.
test-browser: install
	$(BIN)/python tests/browser/install.py
	RETOUR_BROWSER=must $(BIN)/pytest -q tests/browser $(ARGS)

check: install .venv-sam/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict shared/retour functions infra/local
	$(BIN)/cfn-lint $$(grep -l "^AWSTemplateFormatVersion" template.yaml infra/*.yaml)
	SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint --region eu-central-1
	$(MAKE) --no-print-directory test

# sam build needs the very interpreter of the Lambda runtime on PATH, and a pyenv shim does not count.
RUNTIME = $(shell sed -n 's/^ *Runtime: *\(python3\.[0-9]*\).*/\1/p' template.yaml | head -1)
FOLDERS = $(wildcard $(HOME)/.pyenv/versions/$(RUNTIME:python%=%)*/bin) $(filter-out %/shims,$(subst :, ,$(PATH)))
INTERPRETER = $(firstword $(foreach folder,$(FOLDERS),$(if $(wildcard $(folder)/$(RUNTIME)),$(folder))))

build: install .venv-sam/.installed
	@test -n "$(INTERPRETER)" || { echo "sam build needs $(RUNTIME) on PATH: install it (pyenv install $(RUNTIME:python%=%))"; exit 1; }
	PATH="$(INTERPRETER):$$PATH" SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam build

# Renew the pins: every package with its hashes, for every Python and platform, without naming a registry.
COMPILE := $(UV) pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header
lock: install
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) pyproject.toml --extra hub --extra pgp --extra dev -o requirements/dev.txt
	$(COMPILE) infra/local/requirements.txt -o requirements/local.txt
	$(COMPILE) requirements/sam.in -o requirements/sam.txt
	$(COMPILE) requirements/bench.in -o requirements/bench.txt
	$(COMPILE) -c requirements/dev.txt requirements/mutants.in -o requirements/mutants.txt

clean:
	rm -rf .venv .venv-local .venv-sam .venv-bench .venv-mutants .aws-sam build
