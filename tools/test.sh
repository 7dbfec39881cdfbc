#!/usr/bin/env bash
# Runs every test on stores from this machine's packages. There are two runs in parallel: the tests of each package, and
# the tests that start the shop or parts of it. `make test` calls this script.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
export RUNTIME=native TEST_STORES=native
report=$(mktemp)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -f "$report"' EXIT

.venv/bin/pytest tests/native tests/edge tests/contracts tests/e2e tests/faults >"$report" 2>&1 &
shop=$!
.venv/bin/pytest libs services tools
packages=$?
echo "The tests of the shop run in parallel; their report follows."
wait "$shop"
shop=$?
cat "$report"
exit $((packages || shop))
