#!/bin/sh
# Makes .venv with exactly what the lock files name. Run by the Makefile from the root of the checkout, and only when a
# lock file or a pyproject.toml changed. Needs Python 3.11 or newer and nothing else.
set -eu

fail() {
    echo "contactship: $1" >&2
    exit 1
}

usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or newer and found none (python3, python3.11 to python3.14); name one: make PYTHON=/path/to/python"
}

# Scripts in a virtual environment know its absolute path: one that was moved or whose Python is gone is made again.
home=$(pwd -P)
if [ "$(cat .venv/.checkout 2>/dev/null || true)" != "$home" ] || ! usable .venv/bin/python; then
    python=$(find_python) || exit 1
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$python cannot make virtual environments (no ensurepip); on Debian and Ubuntu: apt install python3-venv"
    rm -rf .venv
    echo "contactship: making .venv with $("$python" --version)"
    "$python" -m venv .venv || fail "could not make .venv"
    echo "$home" >.venv/.checkout
fi

echo "contactship: installing the pinned dependencies"
# Settings of an outer virtual environment or project must not move the installation elsewhere.
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT UV_PYTHON PYTHONPATH PYTHONHOME
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock ||
    fail "could not install uv (the lines above say why)"
# pip trusts what the machine trusts, a company's own authority included; uv has to be told. A bare container without
# any certificates keeps those that come with uv.
if [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || [ "$(uname)" = Darwin ]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
fi
uv() {
    .venv/bin/python -m uv "$@"
}
uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock ||
    fail "could not install requirements.lock (the lines above say why)"
uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation \
    -e libs/common -e libs/devstack -e services/api -e services/ai_worker -e services/sync_worker \
    -e services/delivery_worker || fail "could not install the packages of this repository (the lines above say why)"
touch .venv/.installed
