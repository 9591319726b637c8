#!/usr/bin/env bash
# torch 2.13.0: the imaginary part of a conjugate is a view that is negated when it is read. Its __dlpack__ exports the
# memory unchanged (for a conjugate it raises an error), so numpy.from_dlpack reads the wrong sign without an error.
# Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
import torch

print("torch", version("torch"), "numpy", np.__version__)
tensor = torch.tensor([1 + 2j]).conj().imag
try:
    found = np.from_dlpack(tensor).tolist()
except BufferError as error:
    found = str(error)
print("torch:", tensor.tolist(), "is_neg:", tensor.is_neg(), "numpy.from_dlpack:", found)
sys.exit(0 if tensor.tolist() == [-2.0] and found == [2.0] else 1)
PROGRAM
