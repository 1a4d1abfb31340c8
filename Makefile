# One command each: `make v2v` measures two guests through the embedded VALE, `make test` runs every test.

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
export CARGO CARGO_TARGET_DIR

# Further arguments for vale-bench: make v2v ARGS='--size 64,1518 --latency'
ARGS ?=

VALE_BENCH = $(CARGO_TARGET_DIR)/release/vale-bench

.PHONY: help setup build v2v test clean

help:
	@echo 'make v2v    set up, build, and measure VM to VM (further arguments: ARGS=...)'
	@echo 'make test   set up, build, and run all tests, those on real guests included'
	@echo 'make setup  install what is missing (Debian, Ubuntu) and fetch a guest kernel'
	@echo 'make build  build the release binary, $(VALE_BENCH)'
	@echo 'make clean  remove what was built; the cache folder stays'

setup:
	@./setup.sh

build: setup
	@$(CARGO) build --release --locked

v2v: build
	@$(VALE_BENCH) v2v --vms 2 $(ARGS)

# Set-up has seen to QEMU and a kernel, so a test that skips itself has failed.
test: export VALE_BENCH_NO_SKIP = 1
test: build
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --locked && $(CARGO) test --workspace --locked --doc; \
	else \
		$(CARGO) test --workspace --locked; \
	fi

clean:
	@$(CARGO) clean
