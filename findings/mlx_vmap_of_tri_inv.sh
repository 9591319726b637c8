#!/usr/bin/env bash
# MLX 0.32.4: tri_inv and cholesky_inv read one triangle of a matrix, but under vmap tri_inv inverts the whole matrix, and
# cholesky_inv, which is made of it, answers accordingly. One would expect a map to equal a loop. Exits with 1 if this has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 || exit 2
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"))
mx.set_default_device(mx.cpu)
a = mx.array([[2.0, 5.0], [3.0, 4.0]])
triangular = mx.tril(a)
alike = []
for function in (mx.linalg.tri_inv, mx.linalg.cholesky_inv):
    alone, mapped = function(a), mx.vmap(function)(a[None])[0]
    print(f"{function.__name__}: {alone.tolist()}; under vmap: {mapped.tolist()}")
    mapped_triangular = mx.vmap(function)(triangular[None])[0]
    print(f"  with zeros in the other triangle under vmap: {mapped_triangular.tolist()}")
    alike.append((mx.allclose(alone, mapped).item(), mx.allclose(alone, mapped_triangular, atol=1e-6).item()))
whole = mx.linalg.inv(a)
print(f"inv of the whole matrix: {whole.tolist()}")
is_whole = mx.allclose(mx.vmap(mx.linalg.tri_inv)(a[None])[0], whole).item()
sys.exit(0 if is_whole and alike == [(False, True), (False, True)] else 1)
PROGRAM
