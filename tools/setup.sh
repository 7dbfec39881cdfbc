#!/bin/sh
# Makes .venv with everything the shop and its tests run on, exactly as locked. `make` calls it when a lock changes.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Quayside needs Python 3.11 or later; PYTHON=/path/to/python3 make setup picks one." >&2
    exit 1
fi

# Scripts begin with the path of their Python, which is another one where the clone was moved or copied.
if [ -d .venv ] && ! { [ -x .venv/bin/python ] && grep -qsF "$(pwd -P)/.venv/bin/python" .venv/bin/pip; }; then
    echo "This clone was moved, or its Python has gone: making .venv anew …"
    rm -rf .venv
fi

if [ ! -x .venv/bin/pip ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            echo "Python's venv is missing. Run:  sudo apt-get install -y python3-venv" >&2
            exit 1
        fi
        echo "Installing python3-venv …"
        umask 022 # what it installs is everybody's
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv >/dev/null
    fi
    "$python" -m venv .venv
fi

echo "Installing the locked Python packages …"
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
# Our own packages have no hash, so they come after.
set --
for package in libs/* services/* tools/*; do
    if [ -f "$package/pyproject.toml" ]; then
        set -- "$@" -e "$package"
    fi
done
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$@"
touch .venv/.installed
