#!/usr/bin/env python3
"""Compile the CUDA text of the kernels for a GPU that need not be there, and tell what each needs.

usage: python scripts/gpu/cuda.py [--nvcc nvcc] [--arch sm_90] [--dtypes bfloat16 float32 float16]

Prints the registers, shared memory and spilled bytes of each kernel; the status is 0 where all compile and none spills.
What MLX puts around the text is made alike here.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from kernel_text import CASES, body, parameters, pieces, shared_text

TYPES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}
HEAD = """
#include <cuda/std/array>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
using Shape = cuda::std::array<int, 8>;
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--dtypes", nargs="*", default=list(TYPES), choices=TYPES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernels.cu"
        source.write_text(cuda_text([TYPES[dtype] for dtype in options.dtypes]))
        flags = ["-std=c++17", "-cubin", f"-arch={options.arch}", "-Xptxas=-v", "-o", f"{folder}/kernels.cubin"]
        done = subprocess.run([options.nvcc, *flags, str(source)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr)
        return 1
    return int(sum(told(done.stderr)) > 0)


def cuda_text(types: list[str]) -> str:
    """All kernels, for these types and both options."""
    found = pieces()
    text: str = HEAD + shared_text(found, "cuda")
    for name in CASES:
        inside = body(name, found, "cuda")
        given = parameters(name, inside, "const __grid_constant__ Shape ")
        words = "template <typename T, int UNROLL, bool OPTION, typename G = T, typename M = T>"
        text += f"{words}\n__global__ void {name}({', '.join(given)}) {{{inside}}}\n"
        of = ", ".join(re.sub(r" ?\w+$", "", parameter) for parameter in given)
        for kind in types:
            plain = re.sub(r"\b[TGM]\b", kind, of)
            for option in ("false", "true"):
                text += f"template __global__ void {name}<{kind}, 2, {option}>({plain});\n"
    return text


def told(messages: str) -> list[int]:
    """Print a line for each kernel that ptxas tells of, and give the bytes that each spills."""
    spilled = []
    for entry in messages.split("Compiling entry function '")[1:]:
        [(name, option, kind)] = re.findall(r"^_Z\d+([a-z_]+?)I(?=.*Lb([01]))(f|6__half|13__nv_bfloat16)", entry)
        [(stores, loads)] = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        registers = re.findall(r"Used (\d+) registers", entry)[0]
        shared = (re.findall(r"(\d+) bytes smem", entry) or ["0"])[0]
        spilled.append(int(stores) + int(loads))
        kind = {"f": "float32", "6__half": "float16", "13__nv_bfloat16": "bfloat16"}[kind]
        print(f"{name:24} {kind:8} {option} {registers:>4} registers {shared:>6} bytes shared {spilled[-1]:>4} spilled")
    return spilled


if __name__ == "__main__":
    sys.exit(main())
