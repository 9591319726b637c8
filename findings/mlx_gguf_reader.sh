#!/usr/bin/env bash
# MLX 0.32.4 misreads GGUF files written by the gguf package: it decodes every odd block of 32 of a Q4_K tensor with the
# scale of the block before, reads a bfloat16 tensor as float16 (1e38 becomes inf), and silently skips an MXFP4 tensor
# with everything after it. Exits with 1 if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlx==0.32.4 mlx-cpu==0.32.4 gguf==0.19.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import sys
from importlib.metadata import version

import gguf
import mlx.core as mx
import numpy as np

print("mlx", version("mlx"), "gguf", version("gguf"))


def loaded(kind, raw):
    path = f"{sys.argv[1]}/{kind.name}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("a", raw, raw_dtype=kind)
    writer.add_tensor("b", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return mx.load(path)


kinds = gguf.GGMLQuantizationType
# One block of Q4_K: the scales of its eight parts are 1 to 8, and each element is 1.
block = np.array([1, 0], "<f2").tobytes() + bytes([1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8]) + b"\x11" * 128
block = np.frombuffer(block, np.uint8).reshape(1, -1)
wanted = gguf.dequantize(block, kinds.Q4_K).reshape(8, 32)[:, 0].tolist()
found = loaded(kinds.Q4_K, block)["a"].reshape(8, 32)[:, 0].tolist()
print("Q4_K: the first element of each 32 by gguf:", wanted, "by mlx:", found)
wide = (np.full((1, 4), 1e38, np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
half = loaded(kinds.BF16, wide)["a"]
print("BF16: 1e38 is", half)
names = sorted(loaded(kinds.MXFP4, np.zeros((1, 17), np.uint8)))
print("MXFP4: of the tensors a and b there are", names)
as_before = found == [1, 1, 3, 3, 5, 5, 7, 7] and str(half.dtype) == "mlx.core.float16" and names == []
sys.exit(0 if wanted == [1, 2, 3, 4, 5, 6, 7, 8] and as_before else 1)
PROGRAM
