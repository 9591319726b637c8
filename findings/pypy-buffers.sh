#!/usr/bin/env bash
# Buffers in PyPy 7.3.19 (Python 3.11) differ from CPython 3.11: `memoryview.tobytes()` of a transposed numpy array
# returns its memory in storage order instead of its elements in row order, and memoryview() calls the __buffer__ method
# of Python classes, which PEP 688 introduced in CPython 3.12.
#
# usage: findings/pypy-buffers.sh [pypy3]      (default: pypy3 on the path); exits with 1 if this has changed
set -euo pipefail
pypy=${1:-pypy3}
command -v "$pypy" >/dev/null || { echo "needs PyPy 3.11, and $pypy is not here; name one" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$pypy" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6
"$folder/venv/bin/python" - <<'PROGRAM'
import platform
import sys

import numpy as np


class Exporter:
    def __buffer__(self, flags):
        return memoryview(b"seen")


print(platform.python_implementation(), sys.version.split()[0], "numpy", np.__version__)
x = np.arange(6, dtype=np.uint8).reshape(2, 3)
by_view, by_numpy = memoryview(x.T).tobytes(), x.T.tobytes()
print("memoryview(x.T).tobytes()", list(by_view), "x.T.tobytes()", list(by_numpy))
try:
    called = bytes(memoryview(Exporter()))
except TypeError as error:
    called = error
print("memoryview() of a class with __buffer__:", called)
sys.exit(0 if by_view != by_numpy and called == b"seen" else 1)
PROGRAM
