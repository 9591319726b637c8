#!/usr/bin/env bash
# Makes the virtual environment .venv-quickstart, installs mlxffi into it and trains a small transformer on English prose.
# usage: scripts/quickstart.sh [options]     (--help lists them)
set -euo pipefail
source "$(dirname "$0")/environment.sh"
environment .venv-quickstart cpu,plot
# Unbuffered, so that reports show at once in a pipe or a log file too.
PYTHONPATH=$root/scripts${PYTHONPATH:+:$PYTHONPATH} exec "$python" -u -m quickstart "$@"
