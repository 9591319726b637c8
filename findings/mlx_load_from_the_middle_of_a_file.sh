#!/usr/bin/env bash
# MLX 0.32.4: given a binary file object that is not at its start, mx.load reads the header of the .npy file that starts
# there, but the elements from other offsets: wrong numbers without an error. numpy reads them correctly. Exits with 1
# if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import io
import sys
from importlib.metadata import version

import mlx.core as mx
import numpy as np

print("mlx", version("mlx"))
found = []
for load in (np.load, lambda file: mx.load(file, "npy")):
    file = io.BytesIO()
    file.write(b"kept")
    np.save(file, np.arange(3, dtype=np.int32))
    file.seek(4)
    found.append(load(file).tolist())
print("numpy:", found[0], "mlx:", found[1])
sys.exit(0 if found[0] == [0, 1, 2] and found[1] != [0, 1, 2] else 1)
PROGRAM
