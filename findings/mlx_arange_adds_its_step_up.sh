#!/usr/bin/env bash
# MLX 0.32.4 makes arange on a CPU by adding the step to the number before, in the dtype of the result: of 1,000,000
# float32 steps of 0.1 the last number is 1 % too high, and bfloat16 numbers from 0 by 1 stay at 256. numpy multiplies
# the step by the index. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 numpy==2.3.5
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np

print("mlx", version("mlx"))
last = mx.arange(0, 100_000, 0.1)[-1].item()
print(f"the last of arange(0, 100_000, 0.1): {last} (numpy {np.arange(0, 100_000, 0.1, np.float32)[-1]})")
halves = mx.arange(3000, dtype=mx.bfloat16)
print(f"the last of arange(3000, dtype=bfloat16): {halves[-1].item()}")
sys.exit(0 if last > 100_900 and halves[-1].item() == 256 else 1)
PROGRAM
