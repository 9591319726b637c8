#!/usr/bin/env bash
# MLX 0.32.4: what mx.checkpoint computes again waits for the results of the first time, which so stay in memory until the
# backward pass also where nobody else needs them. Waiting for cotangents, it gives the same gradient and keeps none.
# Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from importlib.metadata import version

import mlx.core as mx

COUNT = 8


def block(x):
    return mx.exp(x[:, None] * x)


def waiting_for_cotangents(function):
    run = mx.custom_function(function)

    @run.vjp
    def again(x, cotangent, _):
        (given,) = mx.depends([x], [cotangent])
        return mx.vjp(function, [given], [cotangent])[1][0]

    return run


def kept(function):
    """Results of 16 MiB in memory between a loss and its gradient, and that; of means, no gradient needs a result."""
    x = mx.ones((2048,)) / 8
    mx.eval(x)
    before = mx.get_active_memory()
    loss, slope = mx.value_and_grad(lambda x: sum(function(x + i).mean() for i in range(COUNT)))(x)
    mx.eval(loss)
    mx.synchronize()
    return round((mx.get_active_memory() - before) / 2**24), slope.sum().item()


print("mlx", version("mlx"))
held, slope = kept(mx.checkpoint(block))
free, same = kept(waiting_for_cotangents(block))
print(f"results in memory before the backward pass: mx.checkpoint {held}, waiting for cotangents {free}")
print(f"the same gradient: {slope == same}")
sys.exit(0 if (held, free) == (COUNT, 0) and slope == same else 1)
PROGRAM
