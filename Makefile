# Every target does its own set-up, in .venv inside this directory; nothing needs root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
STUBS := proto/gen/python

help: ## what there is
	@awk -F':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment, from the lock
$(READY): requirements/lock.txt pyproject.toml bmigd/drivers/dirtylog/preload.c
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

BUF := ../tests/interop/node_modules/.bin/buf
node_modules := tests/interop/node_modules/.package-lock.json
$(node_modules): tests/interop/package-lock.json
	cd tests/interop && npm install --silent --no-progress --no-save

PROTOC := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iproto
proto: $(READY) ## regenerate the committed stubs
	$(PROTOC) --python_out=$(STUBS) --pyi_out=$(STUBS) --grpc_python_out=$(STUBS) \
	  --mypy_grpc_out=quiet:$(STUBS) proto/bmig/v1/*.proto

proto-check: $(READY) $(node_modules) ## the stubs are current, the contract is clean and breaks nothing
	rm -rf .stubs && cp -r $(STUBS) .stubs && find .stubs -name '*_pb2*' -delete
	$(MAKE) --no-print-directory proto STUBS=.stubs
	diff -r --exclude=__pycache__ $(STUBS) .stubs && rm -rf .stubs
	cd proto && $(BUF) lint && $(BUF) breaking --against baseline.txtpb

proto-baseline: $(node_modules) ## take the contract as it is for the one to keep to; see proto/README.md
	cd proto && $(BUF) build --exclude-source-info --output baseline.txtpb

TRIAL := $(BIN)/python -m certs.issue --out .trial/certs
certs: $(READY) ## a CA and certificates for trying, in .trial/certs
	test -e .trial/certs/ca.pem || { $(TRIAL) ca --cluster trial && $(TRIAL) node host1 host2 && $(TRIAL) operator alice; }
	$(TRIAL) show

trial: certs ## two nodes and a guest to try by hand, in .trial; tells what to type
	$(BIN)/python -m tests.trial

lint: $(READY) ## style and import layers
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY) ## mypy, strict
	$(BIN)/mypy

# Most of the time a test waits for something; one at a time takes nearly twice as long.
AT_ONCE := -n 3 --dist worksteal

# Real processes with real limits of time, on a machine that may be busy: what failed is tried once more, alone.
AGAIN := $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

test: $(READY) ## unit, contract and process tests
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests --ignore=tests/e2e --ignore=tests/interop || $(AGAIN) tests
	$(BIN)/coverage combine --quiet 2>/dev/null # a process that was killed leaves half a file
	$(BIN)/coverage report --skip-covered --sort=-miss

e2e: $(READY) $(node_modules) ## real daemons, real certificates, real guests, another language
	$(BIN)/python -m pytest tests/e2e tests/interop $(AT_ONCE) || $(AGAIN) tests/e2e tests/interop

sim: $(READY) ## every interleaving of the handoff; `python -m tests.sim --random` goes on at random
	$(BIN)/python -m tests.sim

soak: $(READY) ## 200 migrations under random faults; SOAK="--seed 7 --minutes 8"
	$(BIN)/python -m tests.soak $(SOAK)

faults: $(READY) ## the fault matrix; its results become a table of docs/FAILURES.md
	rm -f docs/faults.json
	BMIG_FAULT_RESULTS=docs/faults.json $(BIN)/python -m pytest tests/e2e/faults tests/e2e/network
	$(BIN)/python -m docs.faults

demo: $(READY) ## a running guest moves from host1 to host2 and back
	$(BIN)/python -m tests.demo

demo-qemu: $(READY) ## a booted Linux guest moves between two hosts with its disk and its connections
	$(BIN)/python -m tests.demo_qemu

guest: $(READY) ## the Linux guest for QEMU, from Debian's packages, in .guest
	$(BIN)/python -m tests.linuxguest

BENCHES := throughput ceiling bhyve_path scaling peers
bench: $(READY) ## everything beside what else there is, with plots and targets, in three quarters of an hour; see bench/
	for one in $(BENCHES); do $(BIN)/python -m bench.$$one || exit; done
	$(BIN)/python -m bench.targets

bench-quick: $(READY) ## a little of the same in under two minutes; nothing is kept
	for one in $(filter-out throughput,$(BENCHES)); do $(BIN)/python -m bench.$$one --quick || exit; done

docs: $(READY) ## redraw what the documents take from the code
	$(BIN)/python -m docs.diagrams
	$(BIN)/python -m docs.configuration

check: lint types proto-check test sim e2e demo demo-qemu ## everything that CI runs

clean: ## remove what was made here; not certs/out, where a real CA may be
	rm -rf .venv .demo .guest .stubs .trial build *.egg-info tests/interop/node_modules bmigd/drivers/dirtylog/*.so
	rm -rf .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: trial demo-qemu guest soak faults sim help setup proto proto-check proto-baseline certs lint types test e2e demo bench bench-quick docs check clean
