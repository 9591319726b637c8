#!/usr/bin/env bash
# Builds the documentation site in build/site, strictly: a warning is an error. mlxffi itself is read and neither built nor
# imported. PYTHON is an interpreter that has pyproject.toml's extra `docs` (default: that of .venv-docs, which is made).
# usage: scripts/docs.sh [serve]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv-docs/bin/python}
[ -n "${PYTHON:-}" ] || [ -x .venv-docs/bin/mkdocs ] || {
  python3 -m venv .venv-docs
  # shellcheck disable=SC2046
  "$python" -m pip install -q $(sed -n 's/^docs = \[\(.*\)\]$/\1/p' pyproject.toml | tr -d '",')
}
[ "${1:-build}" = serve ] || set -- build --quiet --clean
export NO_MKDOCS_2_WARNING=1  # what Material says of its successor
exec "$python" -m mkdocs "$@"
