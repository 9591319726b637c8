#!/usr/bin/env bash
# MLX 0.32.4: vjp accepts more cotangents than there are outputs, of any shape, and ignores the extra ones. One too few,
# or one tangent too many for jvp, is an error. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"))
x = mx.array([1.0, 2.0])


def found(transform, directions):
    try:
        return transform(lambda y: y * y, [x], directions)[1][0].tolist()
    except ValueError:
        return "an error"


calls = {
    "vjp, a cotangent for the output": found(mx.vjp, [x]),
    "vjp, another one of another shape": found(mx.vjp, [x, mx.array([5.0, 6.0, 7.0])]),
    "vjp, none": found(mx.vjp, []),
    "jvp, a tangent too many": found(mx.jvp, [x, x]),
}
for name, value in calls.items():
    print(f"{name}: {value}")
sys.exit(0 if list(calls.values()) == [[2.0, 8.0], [2.0, 8.0], "an error", "an error"] else 1)
PROGRAM
