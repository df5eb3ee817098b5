# make demo and make test are all a newcomer needs; make help lists the rest.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find rust -name '*.rs' -o -name Cargo.toml)

# Tests and linters need a Python for the extension module, and the ONNX Runtime of the environment.
export PYO3_PYTHON := $(abspath $(BIN)/python)
export ORT_DISABLE_TELEMETRY := 1
# Every test that starts the program would otherwise compile all it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo build test test-rust test-python test-long bench bench-library bench-load proto lint format lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(VENV)/.built ## Build, then run the main job on a simulated event log
	$(BIN)/propense demo --out demo

build: $(VENV)/.built ## Build the package and install it into .venv

test: test-rust test-python ## Set up and pass every test

test-rust: $(VENV)/.test ## Run the tests of the Rust crates
	cargo test --workspace --locked

test-python: $(VENV)/.built $(VENV)/.test ## Run the tests of the Python package
	$(BIN)/python -m pytest

test-long: $(VENV)/.built $(VENV)/.test ## Run the tests that have larger numbers at those
	PROPENSE_LONG=1 cargo test --locked -p propense-server --test segments_live
	PROPENSE_LONG=1 $(BIN)/python -m pytest tests/concurrency tests/delivery tests/hostile tests/parity

bench: $(VENV)/.built $(VENV)/.bench ## Measure every target beside its peers, in a few minutes
	$(BIN)/propense bench --out benches/runs --plot docs/bench

bench-library: $(VENV)/.built $(VENV)/.bench ## Time the calls that people make
	$(BIN)/python -m pytest benches/library

bench-load: $(VENV)/.built $(VENV)/.bench ## Measure the gRPC service under load, beside a Python server
	cargo build --release --locked --package propense-server --example load
	$(BIN)/python benches/load/run.py --load target/release/examples/load

proto: $(VENV)/.test ## Generate the Python stubs of the service anew
	$(BIN)/python proto/stubs.py

lint: $(VENV)/.built $(VENV)/.test ## Check formatting, lints, types and the stub file
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked --quiet
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest propense._core

format: $(VENV)/.test ## Format everything
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.run ## Resolve the pinned Python versions anew
	$(BIN)/python -m pip install --quiet uv
	for name in run test bench; do $(BIN)/uv pip compile --quiet --upgrade --no-annotate --no-header \
		--python-version 3.11 requirements/$$name.in --output-file requirements/$$name.lock; done

clean: ## Remove everything that was built
	rm -rf $(VENV) target demo

$(VENV)/.run: requirements/run.lock
	@echo "== installing what propense runs on into $(VENV)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements/run.lock
	@touch $@

$(VENV)/.test: requirements/test.lock $(VENV)/.run
	@echo "== installing what the tests need into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements/test.lock
	@touch $@

$(VENV)/.bench: requirements/bench.lock $(VENV)/.test
	@echo "== installing the peers of the benchmark into $(VENV)"
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements/bench.lock
	@touch $@

$(VENV)/.built: $(VENV)/.run $(RUST_SOURCES)
	@echo "== building propense (a few minutes the first time)"
	$(BIN)/maturin develop --release --locked
	@touch $@
