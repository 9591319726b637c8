#!/usr/bin/env bash
# MLX 0.32.3 gives wrong results, without an error, where 0.32.4 and numpy agree: the xor of booleans whose result takes an
# operand's memory; derivatives and vmap of a slice whose step passes all but one element; what is computed of the parts
# of a reversed array; the gradient of a complex square root, which is not conjugated; and the shape of the gradient of a
# convolution that is padded unevenly. Exits with 1 if either release has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

results() {
  "${PYTHON:-python3}" -m venv "$folder/$1"
  "$folder/$1/bin/pip" install -q mlx=="$1" mlx-cpu=="$1" || exit 2
  "$folder/$1/bin/python" - <<'PROGRAM'
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"))
mx.set_default_device(mx.cpu)


def gradient(function, at):
    return mx.vjp(function, [at], [mx.ones_like(function(at))])[1][0]


booleans = mx.array([False, False, True, True])
print("xor:", (booleans ^ mx.array([False, True, False, True])).tolist())

numbers = mx.arange(4.0)
for name, part in {"[0:2:2]": lambda x: x[0:2:2], "[2:1:-1]": lambda x: x[2:1:-1]}.items():
    forward = mx.jvp(part, [numbers], [numbers])[1][0].tolist()
    print(f"{name}: jvp {forward}, vjp {gradient(part, numbers).tolist()}, vmap {mx.vmap(part)(numbers[None]).tolist()}")

columns = [mx.abs(part).flatten().tolist() for part in mx.split(mx.arange(12.0).reshape(4, 3)[2::-1], 3, axis=1)]
print("columns of reversed rows are right:", columns == [[6, 3, 0], [7, 4, 1], [8, 5, 2]])

print("gradient of sqrt(2i):", gradient(mx.sqrt, mx.array([2j])).tolist())
padded = gradient(lambda x: mx.conv_general(x, mx.ones((2, 3, 2)), padding=([2], [1])), mx.ones((1, 5, 2)))
print("gradient for an input of shape (1, 5, 2):", padded.shape)
PROGRAM
}

results 0.32.3 | tee "$folder/before"
results 0.32.4 | tee "$folder/after"
diff "$folder/before" - <<'WRONG' && diff "$folder/after" - <<'RIGHT'
mlx 0.32.3
xor: [False, True, False, True]
[0:2:2]: jvp [0.0, 1.0], vjp [1.0, 1.0, 0.0, 0.0], vmap [[0.0, 1.0]]
[2:1:-1]: jvp [], vjp [0.0, 0.0, 0.0, 0.0], vmap [[]]
columns of reversed rows are right: False
gradient of sqrt(2i): [(0.25-0.25j)]
gradient for an input of shape (1, 5, 2): (1, 4, 2)
WRONG
mlx 0.32.4
xor: [False, True, True, False]
[0:2:2]: jvp [0.0], vjp [1.0, 0.0, 0.0, 0.0], vmap [[0.0]]
[2:1:-1]: jvp [2.0], vjp [0.0, 0.0, 1.0, 0.0], vmap [[2.0]]
columns of reversed rows are right: True
gradient of sqrt(2i): [(0.25+0.25j)]
gradient for an input of shape (1, 5, 2): (1, 5, 2)
RIGHT
