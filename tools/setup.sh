#!/bin/sh
# Creates .venv with the locked dependencies of the shop and its tests. `make` calls it when a lock changes.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Quayside needs Python 3.11 or later; PYTHON=/path/to/python3 make setup selects one." >&2
    exit 1
fi

# Scripts in .venv start with the absolute path of its Python, which changes if the clone is moved or copied.
if [ -d .venv ] && ! { [ -x .venv/bin/python ] && grep -qsF "$(pwd -P)/.venv/bin/python" .venv/bin/pip; }; then
    echo "This clone was moved, or its Python is gone: recreating .venv …"
    rm -rf .venv
fi

if [ ! -x .venv/bin/pip ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            echo "Python's venv is missing. Run:  sudo apt-get install -y python3-venv" >&2
            exit 1
        fi
        echo "Installing python3-venv …"
        umask 022 # all users can read what it installs
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv >/dev/null
    fi
    "$python" -m venv .venv
fi

echo "Installing the locked Python packages …"
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
# The project's own packages have no hash, so they are installed separately.
set --
for package in libs/* services/* tools/*; do
    if [ -f "$package/pyproject.toml" ]; then
        set -- "$@" -e "$package"
    fi
done
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$@"
touch .venv/.installed
