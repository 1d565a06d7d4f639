# The commands of this repository. `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run test check up bench chaos

BIN := .venv/bin
# `make up COMPOSE=...` for another Compose
COMPOSE ?= docker compose
STATIC_SOURCES := $(shell find shared/web/static shared/web/build.mjs services/*/static gateway/site gateway/build_site.py \
	-type f 2>/dev/null)
BENCHMARKS := $(wildcard benchmarks/bench_*.py)

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 10

setup: build/.stamp ## everything into .venv and node_modules, static files into build

run: setup ## all of it on this machine, http://127.0.0.1:8000 (PORT, DATA_DIR, FEED, REPLAY_SPEED)
	@exec $(BIN)/python -m embedded

# with it, as images of Python set it, each process that a test starts would compile all it imports anew
test: export PYTHONDONTWRITEBYTECODE =
test: setup ## all tests; installs RabbitMQ and Chromium first when they are missing (Debian, as root)
	@sh tests/install_servers.sh
	$(BIN)/python -m pytest -p no:cacheprovider -m "not alone" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -p no:cacheprovider -m alone
	@sh .ci/with_node npm test

check: setup ## linters, types, architecture, migrations, infrastructure
	@sh .ci/check

up: setup ## the full stack in containers, http://127.0.0.1:8080
	@$(BIN)/python -m embedded.container_secrets .env
	$(COMPOSE) up --build --detach --wait

bench: setup .venv/.bench-stamp ## every benchmark, with its table; installs the libraries and servers it compares with
	@sh tests/install_servers.sh
	@for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

chaos: setup ## the promises of reliability at full size
	@sh tests/install_servers.sh
	$(BIN)/python -m pytest -p no:cacheprovider --full-size tests/chaos

# The stamp says where it was made. When the Python in .venv is gone or too old, or the checkout was moved (programs
# name the place of their Python), the stamp counts for nothing.
ifneq "$(shell $(BIN)/python -c 'import sys; print(sys.version_info >= (3, 11))' 2>&1; cat .venv/.stamp 2>&1)" "True $(CURDIR)"
.PHONY: .venv/.stamp
endif
.venv/.stamp: pyproject.toml uv.lock .ci/setup_python
	@sh .ci/setup_python

# what the benchmarks compare with, beside what everybody needs
.venv/.bench-stamp: .venv/.stamp
	@sh .ci/setup_python bench
	@touch $@

node_modules/.stamp: package.json package-lock.json .venv/.stamp
	@echo "Front-end packages (npm):"
	@sh .ci/with_node npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

build/.stamp: node_modules/.stamp $(STATIC_SOURCES)
	@sh .ci/with_node node shared/web/build.mjs
	@$(BIN)/python -m gateway.build_site build/static build/site
	@touch $@
