#!/usr/bin/env bash
# Load-tests a freshly started server: bench.sh release|debug SECONDS PUBLISHERS:SUBSCRIBERS...
#
# To be run under netns.sh, so that ports are free and nothing else is on the network.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=$1
seconds=$2
shift 2
server=http://127.0.0.1:8080
results=target/bench
mkdir -p "$results"

# Bandwidth estimation needs some seconds to find out what the path carries.
video=meeting.ivf
warmup=15s
lateness=20ms
# A debug build is tested, not measured: it plays less and may be late.
if [ "$profile" = debug ]; then
  video=camera.ivf
  warmup=3s
  lateness=1s
fi

started=""
stop() {
  if [ -n "$started" ]; then
    kill -INT "$started" 2>/dev/null || true
    wait "$started" || echo "bench: the server did not end cleanly, see $log" >&2
    started=""
  fi
}
trap stop EXIT

for scenario in "$@"; do
  name=${scenario/:/-to-}
  log=$results/$name.log
  "target/$profile/conclave" --listen 127.0.0.1:8080 --media-port 3478 --public-address 127.0.0.1 >"$log" 2>&1 &
  started=$!
  for _ in $(seq 100); do
    if (: </dev/tcp/127.0.0.1/8080) 2>/dev/null; then break; fi
    if ! kill -0 "$started" 2>/dev/null; then
      cat "$log" >&2
      exit 1
    fi
    sleep 0.1
  done

  printf '\n%s publishers, %s subscribers, %s s, %s build\n' "${scenario%:*}" "${scenario#*:}" "$seconds" "$profile"
  "target/$profile/conclave-loadtest" run --server "$server" --publishers "${scenario%:*}" --subscribers "${scenario#*:}" \
    --duration "${seconds}s" --warmup "$warmup" --video "target/media/$video" --audio target/media/voice.ogg \
    --lateness-bound "$lateness" --json "$results/$name.json" || {
    tail -n 20 "$log" >&2
    exit 1
  }
  stop
done
echo "The same as JSON: $results"
