#!/usr/bin/env bash
# Tests of files and numbers that other libraries make: PyTorch, PEFT and TRL, llama.cpp, in the environment .venv-more.
# usage: scripts/test_interchange.sh [pytest arguments; by default the tests that name one of these libraries]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
environment .venv-more cpu,dev,docs
# The PyTorch that README's figures are of; llama.cpp (34 MB).
"$python" -m pip install -q "torch==2.13.*" "peft>=0.17" "trl>=1.16" "xllamacpp>=2026.10"
cd "$root"
[ $# -gt 0 ] || set -- $(grep -lE "torch|peft|trl|xllamacpp|LlamaCpp" tests/*.py tests/*/*.py | grep /test_)
exec "$python" -m pytest -n auto --dist worksteal "$@"
