#!/usr/bin/env bash
# Every test, step by step, each within its own time; ends with what each step took.
set -euo pipefail
cd "$(dirname "$0")/.."

# name, and the minutes after which it hangs rather than works
steps=(
  "setup 15"
  "wasm 25"
  "web 5"
  "lint-web 5"
  "lint-house 2"
  "lint-rust 30"
  "test-rust 40"
  "test-web 5"
  "test-reproducible 20"
  "test-browsers 35"
  "test-api 5"
  "test-load 10"
  "test-peers 5"
  "test-nat 5"
)

began=$SECONDS
summary=()
for step in "${steps[@]}"; do
  read -r name minutes <<<"$step"
  printf '\n━━━ %s\n' "$name"
  start=$SECONDS
  status=0
  timeout --kill-after=20 "${minutes}m" make --no-print-directory "$name" </dev/null || status=$?
  took=$((SECONDS - start))
  summary+=("$(printf '%-17s %4d s' "$name" "$took")")
  if [ "$status" -ne 0 ]; then
    printf '\n%s\n' "${summary[@]}"
    if [ "$status" -eq 124 ]; then echo "$name did not end within $minutes minutes"; fi
    echo "FAILED at $name"
    exit 1
  fi
done

printf '\n'
printf '%s\n' "${summary[@]}"
printf '%-17s %4d s\n' together $((SECONDS - began))
