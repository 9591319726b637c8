#!/usr/bin/env bash
# CPython 3.10 to 3.13: a memoryview can have an axis of length 0 (numpy makes one from an array of shape (0, 3)), but
# memoryview.cast() refuses to make one. So a Python class that exports its memory through __buffer__ (3.12 and newer)
# cannot export an empty array with several axes, and if it exports a flat view instead, numpy.asarray() loses the
# shape. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy>=2.2,<2.6"
"$folder/venv/bin/python" - <<'PROGRAM'
import sys

import numpy as np

print("CPython", sys.version.split()[0], "numpy", np.__version__)
print("of numpy:", memoryview(np.zeros((0, 3), "f4")).shape)
try:
    made = memoryview(b"").cast("f", (0, 3)).shape
except TypeError as error:
    made = f"TypeError: {error}"
except ValueError as error:
    made = f"ValueError: {error}"
print("by cast:", made)
sys.exit(0 if isinstance(made, str) and memoryview(np.zeros((0, 3), "f4")).shape == (0, 3) else 1)
PROGRAM
