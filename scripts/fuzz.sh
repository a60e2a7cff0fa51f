#!/usr/bin/env bash
# Feeds each reader of outside bytes with what it does not expect, for so many seconds each.
# Ordinary tests replay the inputs in fuzz/corpus; this looks for new ones. It needs a nightly
# compiler and cargo-fuzz, and says so when it has neither.
#
# usage: scripts/fuzz.sh [SECONDS [TARGET...]]        (default: 60, every target)
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=0.13.2
seconds=${1:-60}
targets=("${@:2}")

skip() {
  echo "Not fuzzed: $*" >&2
  exit 0
}
rustup toolchain list 2>/dev/null | grep -q '^nightly' ||
  skip "the sanitizer needs a nightly compiler (rustup toolchain install nightly)."
if [ "$(cargo fuzz --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
  cargo install --quiet --locked "cargo-fuzz@$version" ||
    skip "cargo-fuzz $version is missing and could not be installed."
fi

if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(cargo +nightly fuzz list)
fi
for target in "${targets[@]}"; do
  printf '\n━━━ %s\n' "$target"
  # What is new goes to the first folder; the committed inputs stay as they are.
  found=target/fuzz/corpus/$target
  mkdir -p "$found"
  cargo +nightly fuzz run --target-dir target/fuzz "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1
done
