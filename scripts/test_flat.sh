#!/usr/bin/env bash
# Tests the flat layer alone: mlxffi is built without _native (MLXFFI_FLAT=1) and installed into the virtual environment
# .venv-flat, and the tests of everything but mlxffi.core and what stands on it run there. The last line is the verdict.
# usage: scripts/test_flat.sh [pytest arguments]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
install_missing
python=$root/.venv-flat/bin/python
[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$root/.venv-flat"
MLXFFI_FLAT=1 "$python" -m pip install -q --force-reinstall "$root[cpu]"
"$python" -m pip install -q 'mlx==0.32.4' 'numpy>=2' 'ml-dtypes>=0.5' 'pytest>=8' 'pytest-xdist>=3.6' 'hypothesis>=6.100' 'setuptools>=77'

cd "$(mktemp -d)"
"$python" -c '
import importlib.util, mlxffi
assert mlxffi.Array([1, 2]).tolist() == [1, 2]
assert importlib.util.find_spec("mlxffi._native") is None, "this build has _native"'
status=0
# shellcheck disable=SC2046
"$python" -m pytest -n auto --dist worksteal -p no:cacheprovider $(flat_tests | sed "s|^|$root/|") "$@" || status=$?
echo "flat layer without _native: $([ $status = 0 ] && echo passed || echo "FAILED with status $status")"
exit $status
