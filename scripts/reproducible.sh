#!/usr/bin/env bash
# Builds the web client and its WASM a second time, from a copy in another place, and compares
# the results byte by byte with what `make web` has built here.
#
# Shared with the first build are what was downloaded (the crates and the node modules, each
# under another path) and the program of scripts/bindgen. Every crate is compiled anew.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'reproducible: %s\n' "$*" >&2; }

elsewhere=$(mktemp -d "${TMPDIR:-/tmp}/conclave-elsewhere-XXXXXX")
trap 'rm -rf "$elsewhere"' EXIT
readonly copy=$elsewhere/another/place

# As it would be committed: nothing that is ignored, and nothing that was deleted.
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | tar --create --null --files-from=- | tar --extract --directory "$copy" --touch

cp -a web/node_modules "$copy/web/"
touch "$copy/web/node_modules/.package-lock.json"
mkdir -p "$copy/target/tools/bin"
cp target/tools/bin/conclave-bindgen{,.stamp} "$copy/target/tools/bin/"
mkdir "$elsewhere/cargo"
for part in "${CARGO_HOME:-$HOME/.cargo}"/*; do
  ln -s "$(realpath "$part")" "$elsewhere/cargo/"
done

# Another time zone, language and rights of new files, should any of them matter.
began=$SECONDS
(
  cd "$copy"
  umask 077
  unset CARGO_TARGET_DIR
  export CARGO_HOME=$elsewhere/cargo TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 HOSTNAME=elsewhere
  export CONCLAVE_REQUIRE_WASM_OPT=1
  make --no-print-directory web
) >"$elsewhere/log" 2>&1 || {
  tail -n 40 "$elsewhere/log" >&2
  say "the build in the other place failed"
  exit 1
}

hashes() { (cd "$1" && find dist src/wasm -type f -print0 | sort -z | xargs -0 sha256sum); }
hashes web >"$elsewhere/here"
hashes "$copy/web" >"$elsewhere/there"
if ! diff "$elsewhere/here" "$elsewhere/there" >"$elsewhere/difference"; then
  cat "$elsewhere/difference" >&2
  say "two builds of the same source differ (< here, > elsewhere)"
  exit 1
fi
say "$(wc -l <"$elsewhere/here") files are the same in both builds; the second took $((SECONDS - began)) s"
say "client hash $(sha256sum <web/dist/.well-known/conclave/client.json | cut -d' ' -f1)"
