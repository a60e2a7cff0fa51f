# Conclave. `make help` says what can be made.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

ADDRESS ?= 127.0.0.1:8080
SEEDS ?= 1000..1200
RUST := $(shell find e2ee protocol -name '*.rs') e2ee/Cargo.toml protocol/Cargo.toml Cargo.lock
WASM := web/src/wasm/conclave_e2ee_bg.wasm
PAGE := web/dist/index.html
MODULES := web/node_modules/.package-lock.json
MEDIA := target/media/camera.ivf
LAYERS := target/media/layers/vp9-large.ivf
WHIP := scripts/peers/whip/node_modules/.package-lock.json
SCHEMATHESIS := target/tools/schemathesis/bin/schemathesis
SWIFT := target/tools/swift/bin/swift-proxy-server

run: ## Build everything and serve on http://localhost:8080
	@scripts/setup.sh build
	@$(MAKE) $(PAGE)
	cargo build --release --locked -p conclave-signalling
	@scripts/run.sh --listen $(ADDRESS)

test: ## Run every test: lints, Rust, TypeScript, browsers, load test
	@scripts/test.sh

bench: $(PAGE) $(MEDIA) bench-sfu ## Measure the SFU, then calls of 1 to 50 and 10 to 10; rewrite docs/performance.md
	cargo build --release --locked -p conclave-signalling -p conclave-loadtest
	scripts/netns.sh scripts/bench.sh release 15 1:50 10:10
	target/release/conclave-bench load --page docs/performance.md target/bench/1-to-50.json target/bench/10-to-10.json

bench-sfu: ## Measure the SFU alone; rewrite its part of docs/performance.md
	cargo build --release --locked -p conclave-bench
	scripts/netns.sh target/release/conclave-bench sfu --page docs/performance.md

bench-peers: $(PAGE) $(MEDIA) ## Put the same load on Conclave and on other servers that are installed; rewrite docs/performance.md
	cargo build --release --locked -p conclave-signalling -p conclave-loadtest -p conclave-bench
	rm -rf target/bench/peers
	scripts/netns.sh scripts/peers.sh release 15 3 1:50 1:100 10:10
	target/release/conclave-bench peers --page docs/performance.md target/bench/peers

bench-group: ## Measure what groups of 10 to 500 cost their members; rewrite docs/performance.md
	cargo build --release --locked -p conclave-bench
	target/release/conclave-bench group --page docs/performance.md

bench-front: ## Measure silent sockets and joins; rewrite their part of docs/performance.md
	cargo build --release --locked -p conclave-signalling -p conclave-bench
	scripts/netns.sh target/release/conclave-bench front --page docs/performance.md

bench-join: debug-binaries ## Measure how long browsers take from joining to the first picture
	@mkdir -p target/bench
	scripts/netns.sh env CONCLAVE_E2E=jointime npm --prefix web run --silent e2e

bench-frames: $(WASM) ## Measure how many frames a worker seals and opens in a second in each browser
	@mkdir -p target/bench
	scripts/netns.sh env CONCLAVE_E2E=framebench npm --prefix web run --silent e2e

bench-files: $(PAGE) ## Measure how fast files go up and come down, sealed and plain, natively and in Chromium; rewrite docs/performance.md
	cargo build --release --locked -p conclave-signalling -p conclave-bench
	scripts/netns.sh scripts/bench-files.sh release --page docs/performance.md

bench-group-browser: $(WASM) ## Measure what groups of 10 to 500 cost a browser
	@mkdir -p target/bench
	scripts/netns.sh env CONCLAVE_E2E=groupbench npm --prefix web run --silent e2e

bench-rekey: debug-binaries ## Measure how long pictures stand still when the keys change
	@mkdir -p target/bench
	scripts/netns.sh env CONCLAVE_E2E=rekeygap npm --prefix web run --silent e2e

bench-reconnect: debug-binaries ## Measure how long a call takes to go on after what broke it
	@mkdir -p target/bench
	scripts/netns.sh env CONCLAVE_E2E=reconnectbench npm --prefix web run --silent e2e

sim-sweep: ## Play random calls of new seeds: SEEDS=first..last
	CONCLAVE_SEEDS=$(SEEDS) cargo test --locked -p conclave-sfu --test scenarios

fuzz: ## Fuzz every reader of outside bytes, a minute each (needs a nightly compiler)
	scripts/fuzz.sh 60

lint: lint-rust lint-web lint-house ## Check formatting, lints, types and the house rules

fmt: $(MODULES) ## Format Rust and TypeScript
	cargo fmt --all
	cd web && npm run --silent format

web: $(PAGE) ## Build the web client
wasm: $(WASM) ## Build the end-to-end encryption for the browser

image: ## Lint the Dockerfile and build the image, with docker or buildah
	scripts/image-check.sh

screenshot: debug-binaries ## Take docs/screenshot.png from a real call
	scripts/netns.sh env CONCLAVE_E2E=screenshot npm --prefix web run --silent e2e

icons: $(MODULES) ## Draw the icons of the installed client from its mark
	scripts/netns.sh env CONCLAVE_E2E=icons npm --prefix web run --silent e2e

clean: ## Remove everything that was built
	cargo clean
	rm -rf web/dist web/src/wasm web/node_modules scripts/peers/whip/node_modules scripts/peers/whip/package

help: ## Say what can be made
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The steps of `make test`, in its order (scripts/test.sh).

setup:
	scripts/setup.sh test

lint-rust: $(PAGE)
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	cargo fmt --check --manifest-path scripts/bindgen/Cargo.toml
	cargo clippy --workspace --all-targets --locked -- -D warnings

lint-web: $(MODULES) $(WASM)
	cd web && npm run --silent lint
	cd web && npx tsc --noEmit && npx tsc -p e2e && npx tsc -p peer

lint-house:
	scripts/house.sh

# The same tests either way; nextest runs those of several programs at once.
test-rust: $(PAGE) $(MEDIA) $(LAYERS) $(SWIFT)
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --workspace --locked; \
	else set -x; cargo test --workspace --locked; fi
	@git diff --exit-code --stat -- web/src/protocol && test -z "$$(git ls-files --others -- web/src/protocol)" || \
		{ echo "The TypeScript twins of the wire types changed: commit web/src/protocol." >&2; exit 1; }

test-web: $(MODULES) $(WASM)
	cd web && npm test

test-reproducible: $(PAGE)
	scripts/reproducible.sh

test-browsers: debug-binaries
	scripts/netns.sh npm --prefix web run e2e

test-load: debug-binaries
	scripts/netns.sh scripts/bench.sh debug 5 1:3 3:3

test-peers: debug-binaries $(WHIP)
	scripts/netns.sh env PEERS="janus whip" scripts/peers.sh debug 5 1 1:3

test-api: debug-binaries $(SCHEMATHESIS)
	scripts/netns.sh scripts/api/test.sh debug

test-nat: debug-binaries
	scripts/netns.sh scripts/nat-test.sh debug

# As the Rust tests build them: `cargo build` would choose other features and build anew.
debug-binaries: $(PAGE) $(MEDIA)
	cargo test --workspace --locked --no-run

# What is built once and again when its sources change.

$(WASM): scripts/wasm.sh $(wildcard scripts/bindgen/*.* scripts/bindgen/src/*) $(MODULES) $(RUST)
	scripts/wasm.sh
	@touch $@

$(MODULES): web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

$(PAGE): $(MODULES) $(WASM) $(shell find web/src web/public web/index.html web/*.ts -type f 2>/dev/null)
	cd web && npm run --silent build
	@touch $@

$(MEDIA): scripts/media.sh
	scripts/media.sh
	@touch $@

$(LAYERS): scripts/layers.sh
	scripts/layers.sh
	@touch $@

$(SCHEMATHESIS): scripts/api/requirements.txt
	python3 -m venv --clear target/tools/schemathesis
	target/tools/schemathesis/bin/pip install --quiet --disable-pip-version-check -r scripts/api/requirements.txt
	@touch $@

$(SWIFT): scripts/s3/requirements.txt
	python3 -m venv --clear target/tools/swift
	target/tools/swift/bin/pip install --quiet --disable-pip-version-check -r scripts/s3/requirements.txt
	@touch $@

$(WHIP): scripts/peers/whip/install.sh scripts/peers/whip/package-lock.json
	scripts/peers/whip/install.sh
	@touch $@

.PHONY: run test bench bench-files bench-sfu bench-peers bench-group bench-group-browser bench-join bench-frames bench-rekey bench-front bench-reconnect sim-sweep fuzz lint fmt web wasm image screenshot icons clean help setup debug-binaries \
	lint-rust lint-web lint-house test-rust test-web test-reproducible test-browsers test-api test-load test-peers test-nat
