#!/usr/bin/env bash
# MLX 0.32.4: grad puts traced arrays into the caller's own dict while the function runs. If the function raises, they
# stay there: afterwards the caller's parameters are different objects. Exits with 1 if this has changed.
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


def loss(parameters, fail):
    if fail:
        raise KeyError("a mistake in the loss")
    return parameters["w"] ** 2


kept = []
for fail in (False, True):
    parameters = {"w": mx.array(3.0)}
    before = parameters["w"]
    try:
        mx.grad(loss)(parameters, fail)
    except KeyError:
        pass
    kept.append(parameters["w"] is before)
print(f"the same array is in the dict afterwards: {kept[0]}; where the function raised: {kept[1]}")
sys.exit(0 if kept == [True, False] else 1)
PROGRAM
