#!/usr/bin/env python3
"""Compile the CUDA text of the layers' kernels with NVRTC, which needs no GPU, and print what each takes of an H100.

usage: pip install --no-deps --target FOLDER nvidia-cuda-nvrtc nvidia-cuda-runtime; python scripts/gpu/cuda.py FOLDER
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

from metal import FILES, LAYERS, pieces_of  # type: ignore[import-not-found]

# MLX's own is an array of the standard library.
SHAPE = "struct Shape { int d[10]; __device__ int operator[](int i) const { return d[i]; } };\n"
SOURCES = ("cuda_prelude", "common_source", "chunks_source", "norm_source", "gate_source", "low_rank_source")
DTYPES = ("float", "__half", "__nv_bfloat16")
VALUES = {"EPS": "5", "SCALE": "5", "WEIGHTED": "true", "GELU": "true", "RANK": "8", "STRIDE": "24", "ROWS": "2"}


def main() -> int:
    text, kernels = source()
    folder = Path(sys.argv[1]) / "nvidia" / "cu13"
    code, log = compiled(text, kernels, folder)
    print(log if code else "\n".join(told(log)))
    return int(code != 0)


def source() -> tuple[str, list[str]]:
    """The text, and the names of its kernels for each dtype."""
    pieces = pieces_of(("cuda_prelude.h", *FILES[1:]))
    text, kernels = SHAPE + "".join(pieces[name] for name in SOURCES), []
    for name, (template, inputs, outputs, definitions, body) in LAYERS.items():
        parameters = []
        for kind, word in (item.split(":") for item in inputs.split()):
            parameters.append(f"const {kind}* {word}")
            if f"{word}_shape" in pieces[body]:
                parameters += [
                    f"const __grid_constant__ Shape {word}_shape",
                    f"const __grid_constant__ int {word}_ndim",
                ]
        parameters += [f"{kind}* {word}" for kind, word in (item.split(":") for item in outputs.split())]
        whole = pieces["cuda_layer_prologue"] + definitions + pieces[body]
        text += f"template <{template}>\n__global__ void {name}({', '.join(parameters)}) {{{whole}}}\n"
        values = {**VALUES, "COUNT": name[-1], "F": "float", "LAST": "true"}
        words = [item.split()[-1] for item in template.split(",")]
        kernels += [f"{name}<{', '.join(values.get(word, dtype) for word in words)}>" for dtype in DTYPES]
    return text, kernels


def compiled(text: str, kernels: list[str], folder: Path) -> tuple[int, str]:
    """NVRTC's status and log."""
    nvrtc = ctypes.CDLL(str(folder / "lib" / "libnvrtc.so.13"))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"layers.cu", 0, None, None)
    for kernel in kernels:
        nvrtc.nvrtcAddNameExpression(program, kernel.encode())
    options = ["--gpu-architecture=sm_90", f"-I{folder / 'include'}", "--std=c++17", "--ptxas-options=-v"]
    code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options)))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    return code, log.value.decode()


def told(log: str) -> list[str]:
    """Of each kernel its mangled name, what it spills, and its registers and shared memory."""
    names = re.findall(r"Compiling entry function '(\w+)'", log)
    spills, used = re.findall(r"(\d+ bytes spill stores)", log), re.findall(r"Used (.*smem|\d+ registers)", log)
    return [" ".join(found) for found in zip(names, spills, used, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
