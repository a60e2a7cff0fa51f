#!/usr/bin/env bash
# Puts the same load on Conclave and on every other server that is installed, in turn:
#
#   peers.sh release|debug SECONDS REPETITIONS PUBLISHERS:SUBSCRIBERS...
#
# To be run under netns.sh. Each repetition goes through all servers before the next, so that
# a slower hour of the machine hits all of them alike. Servers get the first core and bots
# the second. Another server is one more file in scripts/peers/; PEERS names those to run.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=$1
seconds=$2
repetitions=$3
shift 3
address=${CONCLAVE_TEST_ADDRESS:?run this under scripts/netns.sh}
results=target/bench/peers
mkdir -p "$results"
work=$(mktemp -d)

# A recording, and generated pictures of the same size and rate.
video=meeting.ivf
alike=generated:640x360@30,1mbit
warmup=15s
lateness=20ms
bounds=()
# A debug build is tested, not measured: it plays less and may be late, but frames must come.
if [ "$profile" = debug ]; then
  video=camera.ivf
  alike=generated:320x180@20,200kbit
  warmup=3s
  lateness=1s
  bounds=(--slo 'delivered>95%')
fi
on_server=() on_bots=()
if [ "$(nproc)" -ge 2 ]; then
  on_server=(taskset --cpu-list 0)
  on_bots=(taskset --cpu-list 1)
fi

# What the files in scripts/peers/ use: a process of a server, and when it can be reached.
processes=()
serve() {
  "${on_server[@]}" "$@" >>"$log" 2>&1 &
  processes+=($!)
}
await() {
  for _ in $(seq 100); do
    if (: <"/dev/tcp/$address/$1") 2>/dev/null; then return; fi
    if ! kill -0 "${processes[0]}" 2>/dev/null; then break; fi
    sleep 0.1
  done
  echo "peers: $name does not listen on port $1" >&2
  return 1
}

stop() {
  local process
  for process in "${processes[@]}"; do kill -INT "$process" 2>/dev/null || true; done
  for process in "${processes[@]}"; do wait "$process" || true; done
  processes=()
}
trap 'stop; rm -rf "$work"' EXIT

present=()
: >"$results/versions"
for peer in ${PEERS-$(basename -s .sh scripts/peers/*.sh | LC_ALL=C sort)}; do
  . "scripts/peers/$peer.sh"
  if available; then
    present+=("$peer")
    printf '%s\t%s\n' "$name" "$(version)" >>"$results/versions"
  else
    echo "peers: $peer is not installed" >&2
    # Whoever names one wants it to be measured.
    if [ -n "${PEERS-}" ]; then exit 1; fi
  fi
done

failures=0
for scenario in "$@"; do
  for ((repetition = 1; repetition <= repetitions; repetition++)); do
    for peer in "${present[@]}"; do
      # What cameras show. A server that does not carry the recording says what else.
      pictures=(--video "target/media/$video")
      . "scripts/peers/$peer.sh"
      run=$results/${scenario/:/-to-}.$name.$repetition
      log=$run.log
      : >"$log"
      printf '\n%s, repetition %s: ' "$name" "$repetition"
      if ! begin; then
        tail -n 20 "$log" >&2
        exit 1
      fi
      pids=()
      for process in "${processes[@]}"; do pids+=(--server-pid "$process"); done
      status=0
      "${on_bots[@]}" "target/$profile/conclave-loadtest" run "${bots[@]}" "${pids[@]}" \
        --publishers "${scenario%:*}" --subscribers "${scenario#*:}" --duration "${seconds}s" --warmup "$warmup" \
        "${pictures[@]}" --audio target/media/voice.ogg --lateness-bound "$lateness" \
        "${bounds[@]}" --json "$run.json" || status=$?
      # A void run is shown as such; the others have failed.
      if [ "$status" -ne 0 ] && [ "$status" -ne 3 ]; then
        failures=$((failures + 1))
        tail -n 20 "$log" >&2
      fi
      stop
    done
  done
done
echo "The same as JSON: $results"
[ "$failures" -eq 0 ]
