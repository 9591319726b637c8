#!/usr/bin/env bash
# MLX 0.32.4: a function that was exported to a file can be imported by the thread that imported MLX, and by no other:
# there import_function raises an error about a stream, whatever the file holds. (A stream that such a thread makes for
# itself and makes its default does not help; operations work on it.) Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4
"$folder/venv/bin/python" - "$folder/function.mlxfn" <<'PROGRAM'
import sys
import threading
from importlib.metadata import version

import mlx.core as mx

print("mlx", version("mlx"))
path, found = sys.argv[1], {}
mx.export_function(path, lambda x: x * 2 + 1, mx.array([1.0]))


def try_to(name, action):
    try:
        found[name] = action()
    except RuntimeError as error:
        found[name] = f"{type(error).__name__}: {error}"
    print(f"{name}: {found[name]}")


def on_another_thread():
    mx.set_default_stream(mx.new_stream(mx.cpu))
    try_to("operations, another thread", lambda: (mx.array([1.0]) * 2 + 1).tolist())
    try_to("import_function, another thread", lambda: mx.import_function(path)(mx.array([1.0]))[0].tolist())


try_to("import_function, main thread", lambda: mx.import_function(path)(mx.array([1.0]))[0].tolist())
other = threading.Thread(target=on_another_thread)
other.start()
other.join()
right = found["import_function, main thread"] == found["operations, another thread"] == [3.0]
sys.exit(0 if right and "There is no Stream" in str(found["import_function, another thread"]) else 1)
PROGRAM
