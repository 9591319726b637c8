#!/usr/bin/env bash
# MLX 0.32.4 on a Linux CPU: if there is no g++, mx.compile returns the function itself, which gives the right values
# and runs again at each call. If there is a g++ that answers `--version` but cannot compile (its cc1plus or the C++
# headers are missing, as in slim images), the compiled function fails when it is evaluated. Exits with 1 if this has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4
mkdir "$folder/none" "$folder/broken"
ln -s /bin/sh "$folder/none/sh"
ln -s /bin/sh "$folder/broken/sh"
printf '%s\n' '#!/bin/sh' '[ "$1" = --version ] && exit 0' 'echo "g++: cannot execute cc1plus"; exit 1' >"$folder/broken/g++"
chmod +x "$folder/broken/g++"
cat >"$folder/program.py" <<'PROGRAM'
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"), end=": ")
print(mx.compile(lambda x: mx.exp(mx.sin(x)) + 1)(mx.array([0.0])).tolist())
PROGRAM
# A folder of its own for compiled kernels, so that none of an earlier run is found.
run() { TMPDIR=$folder PATH=$folder/$1 "$folder/venv/bin/python" "$folder/program.py" 2>&1 || true; }
none=$(run none) broken=$(run broken)
printf 'without g++: %s\nwith a g++ that cannot compile: %s\n' "$none" "$(tail -n 1 <<<"$broken")"
[[ $none == *"[2.0]" && $broken == *"Failed to compile function"* ]]
