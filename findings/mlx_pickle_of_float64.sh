#!/usr/bin/env bash
# MLX 0.32.4: a pickle of a float64 array has all its digits and its dtype, but loads as a float32 array. Exits with 1
# if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import pickle
import sys
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"))
array = mx.array([0.1, 1e300], mx.float64)
again = pickle.loads(pickle.dumps(array))
print(array.dtype, array.tolist(), "->", again.dtype, again.tolist())
sys.exit(0 if again.dtype == mx.float32 and again.tolist() != array.tolist() else 1)
PROGRAM
