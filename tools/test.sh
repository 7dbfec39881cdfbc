#!/usr/bin/env bash
# Runs two pytests in parallel, for `make test` and `make test-containers`: tools/test.sh FIRST… -- SECOND…
# Each may start a shop: they have different ports.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
first_tests=()
while [ "$1" != -- ]; do first_tests+=("$1") && shift; done
shift
report=$(mktemp)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -f "$report"' EXIT

.venv/bin/pytest "$@" >"$report" 2>&1 &
second=$!
TEST_PORT_OFFSET=11000 .venv/bin/pytest "${first_tests[@]}"
first=$?
echo "The tests of the shop run in parallel; their report follows."
wait "$second"
second=$?
cat "$report"
exit $((first || second))
