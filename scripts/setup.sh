#!/bin/sh
# Make the virtual environment $VENV with $PYTHON and install agpd with everything its checks need.
set -eu
if ! "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    echo "agpd needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! "$PYTHON" -m venv "$VENV" >/dev/null 2>&1; then
    # Debian ships ensurepip in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        "$PYTHON" -m venv --clear "$VENV"
    else
        echo "cannot make a virtual environment: install it with 'sudo apt-get install python3-venv'" >&2
        exit 1
    fi
fi
"$VENV/bin/pip" install --quiet --disable-pip-version-check -e '.[dev]'
if [ "$("$VENV/bin/python" -c 'import agpd.hotpath; print(agpd.hotpath.COMPILED)')" = False ]; then
    echo "The hot path runs in Python, several times slower: compiling it takes a C compiler and the headers of Python." >&2
fi
