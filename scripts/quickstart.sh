#!/usr/bin/env bash
# Makes the virtual environment .venv-quickstart, installs mlxffi into it and trains a small transformer on English prose.
# usage: scripts/quickstart.sh [options]     (--help lists them)
set -euo pipefail
source "$(dirname "$0")/environment.sh"
environment .venv-quickstart cpu,plot
# The matrices are small: on a busy machine BLAS threads wait for one another longer than they compute.
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
# Unbuffered, so that reports show at once in a pipe or a log file too.
PYTHONPATH=$root/scripts${PYTHONPATH:+:$PYTHONPATH} exec "$python" -u -m quickstart "$@"
