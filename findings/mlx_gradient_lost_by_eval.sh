#!/usr/bin/env bash
# MLX 0.32.4: evaluating the value of an inner gradient inside a function that is itself being differentiated loses its
# graph, and the outer gradient is silently 0. Exits with 1 if this has changed.
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


def loss(x, evaluate):
    value, _ = mx.value_and_grad(lambda y: (y * y).sum())(x)
    if evaluate:
        mx.eval(value)
    return value


found = [mx.grad(loss)(mx.array([1.0, 2.0]), evaluate).tolist() for evaluate in (False, True)]
print(f"gradient of x*x at 1 and 2: {found[0]}; with the value evaluated inside: {found[1]}")
sys.exit(0 if found == [[2.0, 4.0], [0.0, 0.0]] else 1)
PROGRAM
