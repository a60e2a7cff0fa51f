#!/usr/bin/env bash
# Holds the operators' API to its own OpenAPI document: schemathesis reads the document, makes up
# requests that keep to it and requests that do not, and looks whether the answers do.
#
#   test.sh PROFILE     debug or release; to be run within netns.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=target/${1:?the profile}
data=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  wait
  rm -rf "$data"
}
trap finish EXIT

"$bin/conclave" --data "$data/server" --listen 127.0.0.1:8099 --media-port 0 >"$data/said" 2>"$data/log" &
server=$!
for _ in $(seq 100); do
  if grep -q 'Ctrl-C stops it' "$data/said"; then break; fi
  sleep 0.1
done
key=$("$bin/conclave" key create --data "$data/server" --name test \
  --scopes create,invite,moderate,observe,operate)

# Draining would end the server under test.
target/tools/schemathesis/bin/schemathesis --config-file scripts/api/schemathesis.toml \
  run http://127.0.0.1:8099/api/v1/openapi.json \
  --header "Authorization: Bearer $key" --exclude-path /api/v1/drain \
  --phases coverage,fuzzing --max-examples 20 --seed 1 --generation-database none

if grep -E 'ERROR|panicked' "$data/log"; then
  echo "The server has logged errors under the requests." >&2
  exit 1
fi
kill "$server"
wait "$server"
server=
