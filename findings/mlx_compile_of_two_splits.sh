#!/usr/bin/env bash
# MLX 0.32.4: a compiled function with both a split and the gradient of that split raises an IndexError about a map.
# Each of them alone compiles, and both together run without compile. Exits with 1 if this has changed.
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
x, ends = mx.arange(10.0), [3, 5]


def gradient(x):
    return mx.grad(lambda y: sum((piece * piece).sum() for piece in mx.split(y, ends)))(x)


def middle(x):
    return mx.split(x, ends)[1]


def both(x):
    return [gradient(x), middle(x)]


def found(function):
    try:
        return str(function(x)).replace("\n", "")
    except Exception as error:
        return f"{type(error).__name__}: {error}"


calls = {
    "gradient, compiled": found(mx.compile(gradient)),
    "split, compiled": found(mx.compile(middle)),
    "both": found(both),
    "both, compiled": found(mx.compile(both)),
}
for name, value in calls.items():
    print(f"{name}: {value}")
*fine, failing = calls.values()
sys.exit(0 if "_Map_base::at" in failing and all("array" in value for value in fine) else 1)
PROGRAM
