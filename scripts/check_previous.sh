#!/usr/bin/env bash
# Builds the checkout with another release of MLX, in a folder and an environment of its own, and runs tests there: those
# of the flat layer and a short form of the drop-in's.
#
# usage: [WORK=FOLDER] scripts/check_previous.sh [VERSION [pytest arguments]]     (VERSION: 0.32.3 where none is given)
#
# WORK keeps what was built.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
source scripts/debian.sh
version=${1:-0.32.3}
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
python=$work/venv/bin/python

install_missing
[ -x "$python" ] || python3 -m venv "$work/venv"
"$python" -m pip install -q mlx=="$version" mlx-cpu=="$version" scipy-openblas32 'setuptools>=77' 'cffi>=2' wheel \
  'numpy>=2' ml-dtypes safetensors gguf pytest pytest-xdist hypothesis
checkout_in "$work/tree"
cd "$work/tree"
# Without isolation pip builds with the packages that are installed.
"$python" -m pip install -q --no-build-isolation --no-deps -e .
status=0
# shellcheck disable=SC2046
"$python" -m pytest -p no:cacheprovider "${@:2}" $(flat_tests) $(short_core_tests) || status=$?
echo "built with MLX $version: $([ $status = 0 ] && echo passed || echo "FAILED with status $status")"
exit $status
