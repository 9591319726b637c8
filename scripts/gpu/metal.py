#!/usr/bin/env python3
"""Compile the Metal text of the kernels as C++, with stand-ins for Metal's words, and compare its rows with float64.

usage: python scripts/gpu/metal.py [--compiler g++]

No Apple GPU is needed. This finds what is wrong in the text and in its arithmetic; what Apple's compiler thinks of it,
and whether many threads agree, it cannot tell.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent.parent / "mlxffi" / "native" / "kernels"
FILES = (
    *("metal_prelude.h", "gpu_common.h", "gpu_cross_entropy.h", "gpu_divergence.h", "gpu_gate.h", "gpu_heads.h"),
    *("gpu_norm.h", "gpu_optimizer.h"),
)
OF_DTYPE = (
    *("logits", "q", "p", "pairs", "units", "cotangents", "gradient", "dq", "dp"),
    *("x", "query_norm", "key_norm", "queries", "keys", "of_queries", "of_keys", "of_values", "w", "new_w", "weight"),
)
OF_MOMENTS = ("m", "v", "new_m", "new_v")

# name: inputs, outputs, the parts of its body; as gpu.cpp has them
ROWS = "loss lse_q lse_p"
TURNS = "cosines sines query_norm key_norm"
CASES = {
    "adam": ("w0 w1 g0 g1 m0 m1 v0 v1 settings", "new_w0 new_w1 new_m0 new_m1 new_v0 new_v1", "adam_both"),
    "squares": ("x0 x1", "sums", "squares_both"),
    "cross_entropy_forward": ("logits targets settings", "loss lse", "cross_entropy_forward_body"),
    "cross_entropy_backward": ("logits targets lse cotangent settings", "gradient", "cross_entropy_backward_body"),
    "gate_forward": ("pairs", "units", "gate_forward_body"),
    "gate_backward": ("pairs cotangents", "gradient", "gate_backward_body"),
    "heads_forward": (f"x {TURNS} settings", "queries keys", "heads_head heads_row heads_forward_body"),
    "heads_forward_alone": (f"x {TURNS} settings", "queries", "no_keys_head heads_head heads_row heads_forward_body"),
    "heads_backward": (
        f"x {TURNS} of_queries of_keys of_values settings", "gradient", "heads_head heads_row heads_backward_body",
    ),
    "heads_norms": (f"x {TURNS} of_queries of_keys of_values settings", "sums", "heads_head heads_norms_body"),
    "norm_backward": ("x weight cotangents settings", "gradient sums", "norm_backward_body"),
    "kl_forward": ("q p settings", ROWS, "kl_forward_body"),
    "js_forward": ("q p settings", f"{ROWS} kl_q kl_p", "js_forward_body"),
    "kl_backward": (
        f"q p {ROWS} cotangent settings", "dq", "no_teacher_head divergence_backward_head kl_backward_body",
    ),
    "kl_backward_both": (f"q p {ROWS} cotangent settings", "dq dp", "divergence_backward_head kl_backward_body"),
    "js_backward_both": (
        f"q p {ROWS} kl_q kl_p cotangent settings", "dq dp", "divergence_backward_head js_backward_body",
    ),
}  # fmt: skip

PLACES = """
  const uint3 thread_position_in_threadgroup{0, 0, 0}, threads_per_threadgroup{32, 1, 1};
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
    """The kernels as functions of C++: one thread stands for a whole warp, and for the block."""
    pieces: dict[str, str] = {}
    for name in FILES:
        found = re.findall(r'const char\* (\w+) = R"gpu\((.*?)\)gpu"', (KERNELS / name).read_text(), re.DOTALL)
        pieces.update(found)
    for name in ("adam", "squares"):  # for two arrays
        each = "".join(pieces[f"{name}_choice"].replace("#", str(number)) for number in range(2))
        pieces[f"{name}_both"] = pieces[f"{name}_head"].replace("#", "0") + each + pieces[f"{name}_body"]
    parts = ("common", "cross_entropy", "divergence", "gate", "heads", "norm", "optimizer")
    shared = pieces["metal_prelude"] + "".join(pieces[f"{part}_source"] for part in parts)
    for whole, single in (
        ("team.width = parts * block_width;", "team.width = 1;"),
        ("team.warps = block_width / 32;", "team.warps = 1;"),
        ("team.lanes = 32;", "team.lanes = 1;"),
        ("#define PAIRS 4", "#define PAIRS 128"),
        ('_Pragma("clang loop unroll(full)")', ""),
    ):
        if whole not in shared:
            raise ValueError(f"the kernels' text has no {whole!r} any more; change metal.py with it")
        shared = shared.replace(whole, single)
    return shared + "".join(function(name, pieces) for name in CASES)


def function(name: str, pieces: dict[str, str]) -> str:
    inputs, outputs, parts = (text.split() for text in CASES[name])
    body = PLACES + pieces["metal_prologue"] + "".join(pieces[part] for part in parts)
    parameters = []
    for word in inputs:
        told = (f"const {_type(word)}* {word}", f"const int* {word}_shape", f"int {word}_ndim")
        parameters += [text for text in told if text.split()[-1].lstrip("*") in (word, *re.findall(r"\w+", body))]
    parameters += [f"{_type(word)}* {word}" for word in outputs]
    parameters.append("uint3 threadgroup_position_in_grid")
    words = "template <typename T, int UNROLL, bool OPTION, typename G = T, typename M = T>"
    return f"{words}\nvoid run_{name}({', '.join(parameters)}) {{{body}}}\n"


def _type(word: str) -> str:
    word = word.rstrip("01")
    special = {"targets": "int", "g": "G", **dict.fromkeys(OF_DTYPE, "T"), **dict.fromkeys(OF_MOMENTS, "M")}
    return special.get(word, "float")


if __name__ == "__main__":
    sys.exit(main())
