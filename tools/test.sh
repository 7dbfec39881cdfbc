#!/usr/bin/env bash
# Every test, on stores from this machine's packages, in two runs side by side: the packages, each for itself, and what
# starts whole parts of the shop. `make test` calls it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
export RUNTIME=native TEST_STORES=native
report=$(mktemp)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -f "$report"' EXIT

.venv/bin/pytest tests/native tests/edge tests/contracts tests/e2e tests/faults >"$report" 2>&1 &
shop=$!
.venv/bin/pytest libs services tools
packages=$?
echo "The shop's tests run beside these; their report follows."
wait "$shop"
shop=$?
cat "$report"
exit $((packages || shop))
