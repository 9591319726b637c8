#!/usr/bin/env python3
"""Compile the Metal text of the kernels as C++, with stand-ins for Metal's words, and compare its rows with float64.

usage: python scripts/gpu/metal.py [--compiler g++]

No Apple GPU is needed. This finds what is wrong in the text, in its arithmetic and in what the threads of a block tell
each other; what Apple's compiler thinks of it, it cannot tell.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from kernel_text import CASES, body, parameters, pieces, shared_text

HERE = Path(__file__).resolve().parent

PLACES = """
  const uint3 thread_position_in_threadgroup{uint(block::current), 0, 0}, threads_per_threadgroup{block::width, 1, 1};
  const uint3 threadgroups_per_grid{1, 4, 1};
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--compiler", default="g++")
    compiler = parser.parse_args().compiler
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "metal_text.h").write_text(metal_text())
        program = str(Path(folder) / "metal_rows")
        flags = ["-std=c++17", "-O1", "-Wno-unknown-pragmas", f"-I{folder}", f"-I{HERE}"]
        subprocess.run([compiler, *flags, str(HERE / "metal_rows.cpp"), "-o", program], check=True)
        return subprocess.run([program], check=False).returncode


def metal_text() -> str:
    """The kernels as functions of C++ that run a block."""
    found = pieces()
    shared: str = shared_text(found, "metal")
    for whole, single in (
        ("#define BLOCK_ARRAY threadgroup", "#define BLOCK_ARRAY static"),  # all threads have the same
        ('_Pragma("clang loop unroll(full)")', ""),
    ):
        if whole not in shared:
            raise ValueError(f"the kernels' text has no {whole!r} any more; change metal.py with it")
        shared = shared.replace(whole, single)
    return shared + "".join(function(name, body(name, found, "metal")) for name in CASES)


def function(name: str, text: str) -> str:
    given = [*parameters(name, text, "const int* "), "uint3 threadgroup_position_in_grid"]
    words = "template <typename T, int UNROLL, bool OPTION, typename G = T, typename M = T>"
    names = ", ".join(parameter.split()[-1].lstrip("*") for parameter in given)
    thread = f"{words}\nvoid thread_of_{name}({', '.join(given)}) {{{PLACES}{text}}}\n"
    each = f"block::run([=] {{ thread_of_{name}<T, UNROLL, OPTION, G, M>({names}); }});"
    return f"{thread}{words}\nvoid run_{name}({', '.join(given)}) {{ {each} }}\n"


if __name__ == "__main__":
    sys.exit(main())
