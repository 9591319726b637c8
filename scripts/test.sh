#!/usr/bin/env bash
# Makes the virtual environment .venv-test, installs mlxffi with what its tests need and runs them.
# usage: scripts/test.sh [pytest arguments]      (EXTRAS names the extras to install: cpu,test)
set -euo pipefail
source "$(dirname "$0")/environment.sh"
environment .venv-test "${EXTRAS:-cpu,test}"
cd "$root"
"$python" -m mlxffi doctor
exec "$python" -m pytest "$@"
