# One command each: `make v2v` measures two guests through the embedded VALE, `make test` runs every test.

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
export CARGO CARGO_TARGET_DIR

# Further arguments for vale-bench: make v2v ARGS='--size 64,1518 --latency'
ARGS ?=

# Ports of DPDK's are built in where its headers are, unless VALE_BENCH_DPDK is `no`.
FEATURES = $(shell [ "$$VALE_BENCH_DPDK" != no ] && pkg-config --exists 'libdpdk >= 22.11' 2>/dev/null && \
	echo --features vale-bench/dpdk)

VALE_BENCH = $(CARGO_TARGET_DIR)/release/vale-bench

.PHONY: help setup build v2v compare test lint clean

help:
	@echo 'make v2v    set up, build, and measure VM to VM (further arguments: ARGS=...)'
	@echo 'make compare  the same through uvale and DPDK testpmd, side by side'
	@echo 'make test   set up, build, and run all tests, those on real guests included'
	@echo 'make setup  install what is missing (Debian, Ubuntu) and fetch a guest kernel'
	@echo 'make build  build the release binary, $(VALE_BENCH)'
	@echo 'make lint   check the source with clippy and rustdoc'
	@echo 'make clean  remove what was built; the cache folder stays'

setup:
	@./setup.sh

build: setup
	@$(CARGO) build --release --locked --package vale-bench $(FEATURES)

v2v: build
	@$(VALE_BENCH) v2v --vms 2 $(ARGS)

COMMA := ,

# An option of ours, unless ARGS has it.
unless_given = $(if $(findstring --$(1),$(ARGS)),,--$(1) $(2))

compare: build
	@$(VALE_BENCH) v2v --vms 2 $(call unless_given,dataplane,uvale$(COMMA)testpmd) $(call unless_given,repeat,6) \
		$(call unless_given,duration,2) $(call unless_given,size,64$(COMMA)1518) $(ARGS)

# Set-up has seen to QEMU and a kernel, so a test that skips itself has failed.
test: export VALE_BENCH_NO_SKIP = 1
test: build
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --locked $(FEATURES) && \
		$(CARGO) test --workspace --locked --doc $(FEATURES); \
	else \
		$(CARGO) test --workspace --locked $(FEATURES); \
	fi

# With DPDK, where it is, and without.
lint:
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@[ -z "$(FEATURES)" ] || $(CARGO) clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked $(FEATURES)

clean:
	@$(CARGO) clean
