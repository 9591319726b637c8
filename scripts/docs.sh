#!/usr/bin/env bash
# Builds the documentation site in build/site, strictly: a warning is an error. The tools come from pyproject.toml's extra
# `docs`, into the virtual environment .venv-docs; mlxffi itself is read and neither built nor imported.
# usage: scripts/docs.sh [serve]
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(sed -n 's/^docs = \[\(.*\)\]$/\1/p' pyproject.toml | tr -d '",')
[ -x .venv-docs/bin/mkdocs ] || {
  "${PYTHON:-python3}" -m venv .venv-docs
  # shellcheck disable=SC2086
  .venv-docs/bin/python -m pip install -q $tools
}
if [ "${1:-build}" = serve ]; then exec .venv-docs/bin/mkdocs serve; fi
export NO_MKDOCS_2_WARNING=1  # what Material says of its successor
exec .venv-docs/bin/mkdocs build --quiet --clean
