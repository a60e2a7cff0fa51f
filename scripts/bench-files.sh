#!/usr/bin/env bash
# How fast files go up and come down: a native client of its own server, then Chromium.
#
# usage: scripts/bench-files.sh PROFILE [ARGUMENT OF `conclave-bench files`]...
set -euo pipefail
cd "$(dirname "$0")/.."

profile=$1
data=$(mktemp -d)
address=127.0.0.1:8090
"target/$profile/conclave" --listen "$address" --media-port 0 --data "$data" --log json >"$data.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || true; rm -rf "$data" "$data.log"' EXIT
for _ in {1..100}; do
  if (exec 3<>"/dev/tcp/${address/://}") 2>/dev/null; then break; fi
  sleep 0.1
done
"target/$profile/conclave-bench" files "$address" "${@:2}"
mkdir -p target/bench
CONCLAVE_PROFILE=$profile CONCLAVE_E2E=filebench npm --prefix web run --silent e2e
