#!/usr/bin/env bash
# MLX 0.32.4 sums float32 on a CPU in float32, with a few partial sums side by side: the sum of 16 million numbers is 9
# % too low, and that of 64 million ones is 2^24. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 numpy
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np

print("mlx", version("mlx"))
x = np.full(2**24, 0.3, np.float32)
exact, found = x.astype(np.float64).sum(), mx.sum(mx.array(x)).item()
print(f"sum of 2**24 times 0.3: {found} (exactly {exact:.1f}, numpy {x.sum()})")
ones = mx.sum(mx.ones((2**26,))).item()
print(f"sum of 2**26 ones: {ones}")
sys.exit(0 if found < 0.95 * exact and ones == 2**24 else 1)
PROGRAM
