#!/usr/bin/env bash
# Rules of the house that no compiler checks. (Who may depend on whom is a test of the server.)
set -euo pipefail
cd "$(dirname "$0")/.."
failures=0
fail() {
  echo "house: $*" >&2
  failures=$((failures + 1))
}

# One idea a file, named for what it is.
while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 600 ] || fail "$file has $lines lines, more than 600: which two ideas are in it?"
done < <(git ls-files -z '*.rs' '*.ts' '*.tsx' | xargs -0 wc -l)
if vague=$(git ls-files | grep -E '(^|/)(utils?|helpers?|common|misc|manager)(\.(rs|ts|tsx)|/)'); then
  fail "a name that says nothing:" "$vague"
fi

[ "$failures" -eq 0 ]
