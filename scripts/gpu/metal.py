#!/usr/bin/env python3
"""Compile the Metal text of the kernels as C++, with stand-ins for Metal's words, and compare results with float64.

usage: python scripts/gpu/metal.py [--compiler g++] [--only losses|layers]

No GPU is needed. Of losses one thread has a row; of layers the threads of a block take turns (block.h). This finds what
is wrong in the text, which CUDA shares, and in its arithmetic; what Apple's compiler thinks of it, it cannot tell.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent.parent / "mlxffi" / "native" / "kernels"
LOSSES = ("gpu_cross_entropy.h", "gpu_divergence.h")
FILES = ("metal_prelude.h", "gpu_common.h", *LOSSES, "gpu_chunks.h", "gpu_norm.h", "gpu_gate.h", "gpu_low_rank.h")
POSITIONS = (
    "thread_position_in_threadgroup",
    "threads_per_threadgroup",
    "threadgroup_position_in_grid",
    "threadgroups_per_grid",
)
LOGITS = ("logits", "q", "p")
GRADIENTS = ("gradient", "dq", "dp")

# name: inputs, outputs, the parts of its body; as gpu.cpp has them
ROWS = "loss lse_q lse_p"
CASES = {
    "cross_entropy_forward": ("logits targets settings", "loss lse", "cross_entropy_forward_body"),
    "cross_entropy_backward": ("logits targets lse cotangent settings", "gradient", "cross_entropy_backward_body"),
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

# name: template parameters, inputs, outputs, body; as gpu_layers.cpp has them
RANKS = "typename T, typename F, int COUNT, int RANK, int STRIDE, bool LAST"
LAYERS = {
    "norm": ("typename T, int EPS, bool WEIGHTED", "T:x T:weight", "T:y float:scale", "", "norm_forward_body"),
    "norm_back": (
        "typename T, bool WEIGHTED", "T:x T:weight T:cotangent float:scale", "T:gradient", "", "norm_backward_body",
    ),
    "gate": ("typename T, bool GELU", "T:gate T:up", "T:out", "", "gate_forward_body"),
    "gate_back": ("typename T, bool GELU", "T:gate T:up T:cotangent", "T:to_gate T:to_up", "", "gate_backward_body"),
}  # fmt: skip
# As gpu_low_rank.cpp has them for one x and one factor, and for two.
for count, definition in ((1, "{{{0}}}"), (2, "{{{0}, other}}")):
    factors, low = "const Inputs<F, COUNT> factors" + definition.format("factor") + ";\n", "low + place.item * RANK;\n"
    to = "const auto to = parts + size_t(place.part) * COUNT * RANK * x_shape[x_ndim - 1];\n"
    LAYERS |= {
        f"low_rank_down_{count}": (
            f"{RANKS}, int ROWS, int SCALE", "T:x F:factor F:other", "float:low", f"{factors}const auto to = {low}",
            "low_rank_down_body",
        ),
        f"low_rank_up_{count}": (
            f"{RANKS}, int ROWS", "T:x float:low F:factor F:other", "T:out", f"{factors}const auto from = {low}",
            "low_rank_up_body",
        ),
        f"low_rank_outer_{count}": (
            RANKS, "T:x float:low", "float:parts", f"{to}const auto from = {low}",
            "low_rank_outer_body",
        ),
    }  # fmt: skip

PLACES = """
  const uint3 thread_position_in_threadgroup{0, 0, 0}, threads_per_threadgroup{32, 1, 1};
  const uint3 threadgroups_per_grid{1, 4, 1};
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--only", choices=PROGRAMS)
    options = parser.parse_args()
    chosen = [options.only] if options.only else list(PROGRAMS)
    return max([run(options.compiler, *PROGRAMS[name]) for name in chosen])


def run(compiler: str, main: str, text: str) -> int:
    """Compile a program with kernels as functions, and run it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "metal_text.h").write_text(text)
        program = str(Path(folder) / "program")
        flags = ["-std=c++17", "-O1", "-Wno-unknown-pragmas", f"-I{folder}", f"-I{HERE}"]
        subprocess.run([compiler, *flags, str(HERE / main), "-o", program], check=True)
        return subprocess.run([program], check=False).returncode


def pieces_of(files: Iterable[str]) -> dict[str, str]:
    """The pieces of text in C++ files by their name."""
    found: dict[str, str] = {}
    for name in files:
        found.update(re.findall(r'const char\* (\w+) = R"gpu\((.*?)\)gpu"', (KERNELS / name).read_text(), re.DOTALL))
    return found


def changed(text: str, *changes: tuple[str, str]) -> str:
    for whole, single in changes:
        if whole not in text:
            raise ValueError(f"the kernels' text has no {whole!r} any more; change metal.py with it")
        text = text.replace(whole, single)
    return text


def losses_text() -> str:
    """The kernels of losses as functions of C++: one thread stands for a whole warp, and for the block."""
    pieces = pieces_of(FILES)
    shared = "".join(pieces[name] for name in ("metal_prelude", "common_source"))
    shared += pieces["cross_entropy_source"] + pieces["divergence_source"]
    shared = changed(
        shared,
        ("team.width = parts * block_width;", "team.width = 1;"),
        ("team.warps = block_width / 32;", "team.warps = 1;"),
        ('_Pragma("clang loop unroll(full)")', ""),
    )
    return shared + "".join(function(name, pieces) for name in CASES)


def layers_text() -> str:
    """The kernels of layers as functions of C++, for the threads of a block.h."""
    pieces = pieces_of(FILES)
    sources = ("metal_prelude", "common_source", "chunks_source", "norm_source", "gate_source", "low_rank_source")
    shared = changed(
        "".join(pieces[name] for name in sources),
        ("threadgroup float name[size]", "static float name[size]"),
        ('_Pragma("clang loop unroll(full)")', ""),
        ('_Pragma("clang loop unroll_count(8)")', ""),
    )
    return shared + "".join(layer(name, pieces) for name in LAYERS)


def layer(name: str, pieces: dict[str, str]) -> str:
    template, inputs, outputs, definitions, body = LAYERS[name]
    parameters = []
    for kind, word in (item.split(":") for item in inputs.split()):
        parameters.append(f"const {kind}* {word}")
        if f"{word}_shape" in pieces[body]:
            parameters += [f"const int* {word}_shape", f"int {word}_ndim"]
    parameters += [f"{kind}* {word}" for kind, word in (item.split(":") for item in outputs.split())]
    parameters += [f"uint3 {word}" for word in POSITIONS]
    text = pieces["metal_layer_prologue"] + definitions + pieces[body]
    return f"template <{template}>\nvoid run_{name}({', '.join(parameters)}) {{{text}}}\n"


def function(name: str, pieces: dict[str, str]) -> str:
    inputs, outputs, parts = (text.split() for text in CASES[name])
    parameters = [f"const {_type(word)}* {word}" for word in inputs]
    parameters.insert(1, f"const int* {inputs[0]}_shape")
    parameters += [f"{_type(word)}* {word}" for word in outputs]
    parameters.append("uint3 threadgroup_position_in_grid")
    body = PLACES + pieces["metal_prologue"] + "".join(pieces[part] for part in parts)
    return f"template <typename T, int UNROLL, bool OPTION>\nvoid run_{name}({', '.join(parameters)}) {{{body}}}\n"


def _type(word: str) -> str:
    return "T" if word in LOGITS + GRADIENTS else "int" if word == "targets" else "float"


PROGRAMS = {"losses": ("metal_rows.cpp", losses_text()), "layers": ("metal_layers.cpp", layers_text())}

if __name__ == "__main__":
    sys.exit(main())
