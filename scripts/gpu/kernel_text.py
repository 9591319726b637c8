"""The kernels' text as gpu_kernel.cpp puts it together, for other compilers."""

from __future__ import annotations

import re
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[2] / "mlxffi" / "native" / "kernels"
FILES = (
    *("cuda_prelude.h", "metal_prelude.h", "gpu_common.h", "gpu_cross_entropy.h", "gpu_divergence.h"),
    *("gpu_gate.h", "gpu_heads.h", "gpu_norm.h", "gpu_optimizer.h"),
)
OF_DTYPE = (
    *("logits", "q", "p", "pairs", "gates", "ups", "units", "cotangents", "gradient", "of_gates", "of_ups", "dq", "dp"),
    *("x", "query_norm", "key_norm", "queries", "keys", "of_queries", "of_keys", "of_values", "w", "new_w", "weight"),
    *("others", "totals"),
)
OF_MOMENTS = ("m", "v", "new_m", "new_v")

# name: inputs, outputs, the parts of its body; as gpu_*.cpp have them
ROWS = "loss lse_q lse_p"
TURNS = "cosines sines query_norm key_norm"
CASES = {
    "adam": ("w0 w1 g0 g1 m0 m1 v0 v1 settings", "new_w0 new_w1 new_m0 new_m1 new_v0 new_v1", "adam_both"),
    "squares": ("x0 x1", "sums", "squares_both"),
    "cross_entropy_forward": ("logits targets settings", "loss lse", "cross_entropy_forward_body"),
    "cross_entropy_backward": ("logits targets lse cotangent settings", "gradient", "cross_entropy_backward_body"),
    "gate_forward": ("gates ups", "units", "gate_forward_body"),
    "gate_backward": ("gates ups cotangents", "of_gates of_ups", "gate_backward_body"),
    "pairs_forward": ("pairs", "units", "pairs_forward_body"),
    "pairs_backward": ("pairs cotangents", "gradient", "pairs_backward_body"),
    "heads_forward": (f"x {TURNS} settings", "queries keys", "heads_head heads_forward_body"),
    "heads_forward_alone": (f"x {TURNS} settings", "queries", "no_keys_head heads_head heads_forward_body"),
    "heads_backward": (
        f"x {TURNS} of_queries of_keys of_values settings", "gradient sums", "heads_head heads_backward_body",
    ),
    "heads_backward_plain": (
        f"x {TURNS} of_queries of_keys of_values settings", "gradient", "no_sums_head heads_head heads_backward_body",
    ),
    "norm_backward": ("x weight cotangents others settings", "gradient sums", "norm_backward_body"),
    "norm_backward_plain": ("x weight cotangents others settings", "gradient", "no_sums_head norm_backward_body"),
    "column_sums": ("parts", "totals", "column_sums_body"),
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


def pieces() -> dict[str, str]:
    """The parts of the text by their names in C++, and the bodies for two arrays of those for many."""
    found: dict[str, str] = {}
    for name in FILES:
        text = (KERNELS / name).read_text()
        found.update(re.findall(r'const char\* (\w+) = R"gpu\((.*?)\)gpu"', text, re.DOTALL))
    for name in ("adam", "squares"):
        each = "".join(found[f"{name}_choice"].replace("#", str(number)) for number in range(2))
        found[f"{name}_both"] = found[f"{name}_head"].replace("#", "0") + each + found[f"{name}_body"]
    return found


def shared_text(found: dict[str, str], language: str) -> str:
    """What stands before all kernels in "cuda" or "metal"."""
    parts = ("common", "cross_entropy", "divergence", "gate", "heads", "norm", "optimizer")
    return found[f"{language}_prelude"] + "".join(found[f"{part}_source"] for part in parts)


def body(name: str, found: dict[str, str], language: str) -> str:
    """A kernel's."""
    return found[f"{language}_prologue"] + "".join(found[part] for part in CASES[name][2].split())


def parameters(name: str, text: str, shape: str) -> list[str]:
    """What a kernel with this body takes: its inputs, each with its shape and its number of axes where the body has
    them, and its outputs.
    """
    inputs, outputs, _ = (words.split() for words in CASES[name])
    found = []
    for word in inputs:
        told = (f"const {_type(word)}* {word}", f"{shape}{word}_shape", f"int {word}_ndim")
        known = (word, *re.findall(r"\w+", text))
        found += [one for one in told if one.split()[-1].lstrip("*") in known]
    return [*found, *(f"{_type(word)}* {word}" for word in outputs)]


def _type(word: str) -> str:
    word = word.rstrip("01")
    special = {"targets": "int", "g": "G", **dict.fromkeys(OF_DTYPE, "T"), **dict.fromkeys(OF_MOMENTS, "M")}
    return special.get(word, "float")
