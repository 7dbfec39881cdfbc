#!/usr/bin/env bash
# Runs two halves of the tests in parallel: those of the packages, and those of the shop. `make test` and
# `make test-containers` call this script: tools/test.sh PACKAGES… -- SHOP…
set -uo pipefail
cd "$(dirname "$0")/.." || exit
first=()
while [ "$1" != -- ]; do first+=("$1") && shift; done
shift
report=$(mktemp)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -f "$report"' EXIT

.venv/bin/pytest "$@" >"$report" 2>&1 &
shop=$!
.venv/bin/pytest "${first[@]}"
packages=$?
echo "The tests of the shop run in parallel; their report follows."
wait "$shop"
shop=$?
cat "$report"
exit $((packages || shop))
