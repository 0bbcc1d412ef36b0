# Every target does its own set-up, in .venv inside this directory; nothing needs root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
STUBS := proto/gen/python

help: ## what there is
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment, from the lock
$(READY): requirements/lock.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

node_modules := tests/interop/node_modules/.package-lock.json
$(node_modules): tests/interop/package-lock.json
	cd tests/interop && npm install --silent --no-progress --no-save

proto: $(READY) ## regenerate the committed stubs
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iproto --python_out=$(STUBS) \
	  --pyi_out=$(STUBS) --grpc_python_out=$(STUBS) --mypy_grpc_out=quiet:$(STUBS) proto/bmig/v1/*.proto

proto-check: proto $(node_modules) ## the stubs are current, the contract is clean
	git diff --exit-code --stat -- $(STUBS)
	cd proto && ../tests/interop/node_modules/.bin/buf lint

certs: $(READY) ## a CA and certificates for trying, in certs/out
	test -e certs/out/ca.pem || $(BIN)/python -m certs.issue ca --cluster trial
	$(BIN)/python -m certs.issue show

lint: $(READY) ## style and import layers
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY) ## mypy, strict
	$(BIN)/mypy

test: $(READY) ## unit, contract and process tests
	$(BIN)/coverage run -m pytest tests --ignore=tests/e2e --ignore=tests/interop
	$(BIN)/coverage report --skip-covered | tail -n 40

e2e: $(READY) $(node_modules) ## real daemons, real certificates, real guests, another language
	$(BIN)/python -m pytest tests/e2e tests/interop

demo: $(READY) ## a running guest moves from host1 to host2 and back
	$(BIN)/python -m tests.demo

bench: $(READY) ## throughput beside a bare stream; see bench/
	$(BIN)/python -m bench.throughput

docs: $(READY) ## redraw what the documents take from the code
	$(BIN)/python -m docs.diagrams

check: lint types proto-check test e2e demo ## everything that CI runs

clean: ## remove what was made here
	rm -rf .venv .demo tests/interop/node_modules certs/out .coverage .mypy_cache .ruff_cache .pytest_cache

.PHONY: help setup proto proto-check certs lint types test e2e demo bench docs check clean
