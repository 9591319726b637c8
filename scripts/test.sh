#!/usr/bin/env bash
# Makes the virtual environment .venv-test, installs mlxffi with what its tests need and runs them, a process for each CPU.
# usage: [PYTHON=python3.10] [EXTRAS=cpu,test] scripts/test.sh [pytest arguments]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
environment .venv-test "${EXTRAS:-cpu,test}"
cd "$root"
"$python" -m mlxffi doctor
exec "$python" -m pytest -n auto --dist worksteal "$@"
