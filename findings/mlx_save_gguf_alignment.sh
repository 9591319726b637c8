#!/usr/bin/env bash
# MLX 0.32.4: save_gguf writes the general.alignment that it is given, but still puts tensors at multiples of 32. A file
# that was loaded with another alignment and saved again cannot be read. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import sys
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"))
path = f"{sys.argv[1]}/a.gguf"
arrays = {"a": mx.zeros((2, 3)), "b": mx.ones((2, 3))}
outcomes = []
for alignment in (32, 256):
    mx.save_gguf(path, arrays, {"general.alignment": mx.array(alignment, mx.uint32)})
    try:
        mx.load(path)
        outcomes.append("read")
    except RuntimeError as error:
        outcomes.append(str(error)[:60])
    print("alignment", alignment, outcomes[-1])
sys.exit(0 if outcomes[0] == "read" and outcomes[1] != "read" else 1)
PROGRAM
