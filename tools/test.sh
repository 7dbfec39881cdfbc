#!/usr/bin/env bash
# Runs pytests in parallel, for `make test` and `make test-containers`: tools/test.sh FIRST… [-- NEXT…] …
# The first one is shown while it runs, the others afterwards. Each may start a shop: they have different ports.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
offsets=(11000 10000 12000 13000)
reports=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$reports"' EXIT

first=() group=() others=()
for word in "$@" --; do
  if [ "$word" != -- ]; then
    group+=("$word")
  elif [ ${#first[@]} = 0 ]; then
    first=("${group[@]}") group=()
  else
    n=$((${#others[@]} + 1))
    TEST_PORT_OFFSET=${offsets[n]} .venv/bin/pytest "${group[@]}" >"$reports/$n" 2>&1 &
    others+=($!) group=()
  fi
done
TEST_PORT_OFFSET=${offsets[0]} .venv/bin/pytest "${first[@]}"
failed=$?
for n in "${!others[@]}"; do
  echo "These tests ran in parallel:"
  wait "${others[n]}" || failed=1
  cat "$reports/$((n + 1))"
done
exit $failed
