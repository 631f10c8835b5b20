# notify-lab: everything a newcomer types. `make help` explains; the work is done by `lab` (see lab/cli).
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LAB    := $(BIN)/lab

# Words after `make`: `make lab-switch TO=ksmbd`, `make scenarios ARGS="C1 C2"`.
ARGS ?=

.PHONY: help venv venv-dev lab-up lab-down lab-switch run-scenarios scenarios embedded \
        check test test-long bench install lock clean

help:  ## this text
	@echo "notify-lab: compare SMB2 CHANGE_NOTIFY in Samba, ksmbd and a reference server"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "After 'make lab-up':  . $(BIN)/activate  and then  lab --help"

venv: $(VENV)/.lab        ## the virtual environment, from the lock file
venv-dev: $(VENV)/.dev

# A venv with pip: Debian ships the module that makes it in a package of its own.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is missing or older than 3.11; install it or set PYTHON=…" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Debian's python3-venv, which $(PYTHON) -m venv needs"; \
	    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; \
	  else echo "$(PYTHON) cannot make virtual environments; as root: apt-get install python3-venv" >&2; exit 3; fi; }
	@echo "Making the virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.lab: requirements/lab.lock pyproject.toml | $(BIN)/python
	@echo "Installing what requirements/lab.lock pins"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-input --require-hashes -r requirements/lab.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.lab
	@echo "Installing what requirements/dev.lock pins"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-input --require-hashes -r requirements/dev.lock
	@touch $@

lab-up: venv              ## bring the lab up (engine, base image, images, containers, guest)
	@$(LAB) up

lab-down: venv            ## take it down; ARGS=--volumes removes the shares too
	@$(LAB) down $(ARGS)

lab-switch: venv          ## make another server the active one: TO=samba|ksmbd|py
	@$(LAB) switch $(TO)

scenarios: lab-up         ## all of it: set up, then every scenario against every server
	@$(LAB) run-scenarios --all $(ARGS)

run-scenarios: venv       ## scenarios against the active server: ARGS="C1 C2"
	@$(LAB) run-scenarios $(ARGS)

embedded: venv            ## the scenarios against notify_server alone; no Docker, no root
	@$(LAB) run-scenarios --embedded $(ARGS)

check: venv-dev           ## the fast part: format, lint, types, import rules, unit tests; no Docker
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@out=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$out"; exit 1; }
	@$(BIN)/pytest -q -n 3 --dist worksteal -m "not docker and not slow" $(ARGS)

test: venv-dev            ## every test, the end-to-end ones on the real lab included
	@LAB_ROOT="$(CURDIR)" $(BIN)/python -m tests.set_up_machine
	@$(BIN)/pytest $(ARGS)

test-long: venv-dev       ## tests that compile Samba: half an hour and more
	@LAB_ROOT="$(CURDIR)" $(BIN)/python -m tests.set_up_machine
	@$(BIN)/pytest -m long $(ARGS)

bench: venv-dev           ## measure the figures: bench/results.json and a table
	@$(BIN)/python -m bench $(ARGS)

install: venv             ## link lab into ~/.local/bin
	@mkdir -p "$(HOME)/.local/bin"
	@ln -sfn "$(CURDIR)/$(LAB)" "$(HOME)/.local/bin/lab"
	@echo "$(HOME)/.local/bin/lab -> $(CURDIR)/$(LAB)"
	@case ":$$PATH:" in *":$(HOME)/.local/bin:"*) ;; *) echo "Put $(HOME)/.local/bin on your PATH to type 'lab'." ;; esac

# uv lives in a venv of its own: it makes the lock files and nothing else.
UV_COMPILE = .lab/uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
             --no-emit-index-url --no-config --no-header -q
lock:                     ## make the lock files anew from pyproject.toml
	@test -x .lab/uv/bin/uv || { $(PYTHON) -m venv .lab/uv && .lab/uv/bin/pip install -q uv; }
	$(UV_COMPILE) pyproject.toml --group build -o requirements/lab.lock
	$(UV_COMPILE) --group client -c requirements/lab.lock -o requirements/client.lock
	$(UV_COMPILE) --group server -c requirements/lab.lock -o requirements/server.lock
	$(UV_COMPILE) pyproject.toml --group build --group dev -c requirements/lab.lock -o requirements/dev.lock

clean:                    ## remove the virtual environment and caches (not the lab: make lab-down)
	@rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.lab/*' -prune -exec rm -rf {} +
