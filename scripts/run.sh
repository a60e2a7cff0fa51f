#!/usr/bin/env bash
# Serves in the foreground with the release binary: run.sh [ARGUMENT of conclave]...
#
# With a terminal the server becomes its foreground job, so that Ctrl-C ends the server,
# which exits with 0, and not also `make`, which would report an interrupt.
set -euo pipefail
server=target/release/conclave
if [ -t 0 ]; then
  set -m
  "$server" "$@"
else
  exec "$server" "$@"
fi
