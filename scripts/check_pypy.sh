#!/usr/bin/env bash
# Builds the flat layer for PyPy 3.11 in a bare Debian 13 made with debootstrap, runs its tests there and prints a verdict.
#
# usage: scripts/check_pypy.sh [pytest arguments]      (ROOT=FOLDER keeps the Debian in that folder, or takes it from there)
#
# debian.sh says what this needs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
source scripts/debian.sh
debian=${ROOT:-$(mktemp -d)}
[ -n "${ROOT:-}" ] || trap 'rm -rf --one-file-system "$debian"' EXIT

# (Newer versions of hypothesis have a native module that PyPy 7.3.19 does not load.)
make_environment() {
  make_debian trixie "pypy3 pypy3-dev pypy3-venv g++"
  inside 'pypy3 -m venv venv
    venv/bin/pip install -q mlx-cpu==0.32.4 scipy-openblas32 setuptools numpy pytest pytest-xdist PyYAML "hypothesis<6.140"'
}

test_there() {
  rm -rf "$debian/root/tree" && checkout_in "$debian/root/tree"
  inside "venv/bin/pip install -q --no-build-isolation --no-deps ./tree"
  inside "venv/bin/python -m pytest -p no:cacheprovider -n auto --dist loadfile $(flat_tests | sed 's|^|tree/|' | xargs) ${*@Q}"
}

[ -e "$debian/root/venv/pyvenv.cfg" ] || make_environment >/dev/null
version=$(inside 'venv/bin/python -c "import sys; print(sys.version.replace(chr(10), chr(32)))"')
status=0
test_there "$@" || status=$?
echo "flat layer on PyPy ($version): $([ $status = 0 ] && echo passed || echo "FAILED with status $status")"
exit $status
