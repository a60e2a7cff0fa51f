#!/usr/bin/env bash
# Rules of the house that no compiler checks.
set -euo pipefail
cd "$(dirname "$0")/.."
failures=0
fail() {
  echo "house: $*" >&2
  failures=$((failures + 1))
}

# The server cannot decrypt, because the code to do so is not in it.
keyholders='^(conclave-e2ee|openmls|sframe)'
tree() { cargo tree --locked --prefix none --edges normal,build --format '{p}' -p "$1"; }
for server in conclave-sfu conclave-signalling; do
  if found=$(tree "$server" | grep -E "$keyholders" | sort -u); then
    fail "$server must not depend on end-to-end keys, but has:" "$found"
  fi
done
tree conclave-loadtest | grep -qE "$keyholders" || fail "the load test, which does hold keys, shows none: this check sees nothing"

# One idea a file, named for what it is.
while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 600 ] || fail "$file has $lines lines, more than 600: which two ideas are in it?"
done < <(git ls-files -z '*.rs' '*.ts' '*.tsx' | xargs -0 wc -l)
if vague=$(git ls-files | grep -E '(^|/)(utils?|helpers?|common|misc|manager)(\.(rs|ts|tsx)|/)'); then
  fail "a name that says nothing:" "$vague"
fi

[ "$failures" -eq 0 ]
