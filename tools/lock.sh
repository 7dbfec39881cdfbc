#!/bin/sh
# Updates the locks: for all services, for load tests, for development, for the site; with hashes, without URLs.
set -eu
cd "$(dirname "$0")/.."

set -- --quiet --universal --python-version 3.11 --generate-hashes --prerelease if-necessary-or-explicit \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header
for pyproject in libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml; do
    set -- "$@" --no-emit-package "$(sed -n 's/^name = "\(quayside-.*\)"/\1/p' "$pyproject")"
done
{
    echo "# The dependencies of the services and of shopctl. 'make lock' writes this list, and services.txt from it."
    for package in libs/* services/* tools/shopctl; do echo "./$package"; done
} >requirements/services.in
.venv/bin/uv pip compile "$@" requirements/services.in -o requirements/services.txt
.venv/bin/uv pip compile "$@" requirements/loadtests.in -o requirements/loadtests.txt
.venv/bin/uv pip compile "$@" requirements/dev.in -o requirements/dev.txt
.venv/bin/uv pip compile "$@" requirements/docs.in -o requirements/docs.txt
