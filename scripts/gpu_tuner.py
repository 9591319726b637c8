#!/usr/bin/env python3
"""Check fine-tuning on GPUs against CPUs and processes against one, time steps of 0.6 B parameters and decoding.

usage: python scripts/gpu_tuner.py [losses] [steps] [decoding] [settings] [processes] [--half 1|2] [--seconds N]
                                   [--count N] [--turns N] [--only RUN ...] [--rows ROW ...]

Needs mlxffi over an MLX with a GPU; PyTorch and mlx_lm, to compare with. Without a section named, the first three are
run: losses of small models on the GPU beside the CPU's; steps beside torch.compile's and mlx_lm's, in turns; decoding
over mlxffi.core beside mlx.core. Each section ends with a verdict on each of its checks and aims; the status is 0 where
all hold. All three take ten minutes of an H200, so --half 1 and --half 2 are half of them each. Rows that would begin
after so many seconds are told as not run. docs/logs holds what it printed last.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from gpu import aims, rows
from gpu.asked import Answer, Together, once
from gpu.shapes import CASES, DECODERS, HALVES, ROWS
from gpu.verdicts import Verdicts

# How far apart losses may be. Adam makes much of the last bits of gradients near 0.
NEAR = 3e-3
SECTIONS = ("losses", "steps", "decoding", "settings", "processes")


def main() -> int:
    begin, options = time.monotonic(), asked_for()
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    print(subprocess.run(command, capture_output=True, text=True, check=False).stdout, end="", flush=True)
    verdicts, wanted = Verdicts(), options.sections
    with ThreadPoolExecutor() as pool:  # neither is timed
        compiling = pool.submit(rows.compile_all, options.rows) if "steps" in wanted else None
        if "losses" in wanted:
            check_losses(options.only, verdicts)
        if compiling:
            compiling.result()
    if "steps" in wanted:
        table = rows.steps(options.rows, options.turns, begin + options.seconds)
        aims.judge_steps(table, verdicts.report)
        for name in [name for name in options.rows if name not in table]:
            verdicts.report(f"{name}: not run, for {options.seconds} s were over", False)
    if "decoding" in wanted:
        aims.judge_decoding(rows.decoding(options.turns), verdicts.report)
    if "settings" in wanted:
        rows.settings(options.turns)
    if "processes" in wanted:
        check_processes(options.count, options.turns, verdicts)
    print("all hold" if not verdicts.failed else f"{verdicts.failed} do not hold")
    return min(verdicts.failed, 1)


def asked_for() -> argparse.Namespace:
    """The options, with the sections and rows that a half stands for."""
    parser = argparse.ArgumentParser(
        description=__doc__, usage=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--count", type=int, default=2, help="how many GPUs to train on together")
    parser.add_argument("--turns", type=int, default=5, help="how often each row is timed")
    parser.add_argument("--only", nargs="*", help="which runs to compare, such as llama-lora; all by default")
    parser.add_argument("--rows", nargs="*", choices=ROWS, metavar="ROW", help="which rows to time; all by default")
    parser.add_argument("--half", type=int, choices=HALVES, help="half of the sections and rows")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no row begins; no end by default")
    options = parser.parse_args()
    if not set(options.sections) <= set(SECTIONS):
        parser.error(f"SECTION: expected some of {', '.join(SECTIONS)}, got {' '.join(options.sections)}")
    sections, of_half = HALVES.get(options.half, (SECTIONS[:3], tuple(ROWS)))
    options.sections, options.rows = options.sections or sections, options.rows or of_half
    return options


def check_losses(only: list[str] | None, verdicts: Verdicts) -> None:
    """Losses by report of each family and case on the GPU beside those on the CPU, a process each."""
    runs = [(family, case) for family in DECODERS for case in CASES if not only or f"{family}-{case}" in only]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (family, case), found in zip(runs, pool.map(_losses, *zip(*runs, strict=True)), strict=True):
            there, here = found.get("gpu", [math.nan]), found.get("cpu", [math.nan])
            apart = _apart(there, here)
            line = f"{family} {case}: losses {there[0]:.4f} to {there[-1]:.4f}, from the CPU's by {apart:.0e}"
            verdicts.report(line, apart < NEAR and there[-1] < there[0])


def _losses(family: str, case: str) -> Answer:
    # MLX's cache of kernels is not made for processes that fill it at the same time.
    with tempfile.TemporaryDirectory() as cache:
        if full := os.environ.get("MLX_PTX_CACHE_DIR"):
            shutil.copytree(full, cache, dirs_exist_ok=True)
        command = ["gpu.tuner_losses", family, case, "gpu", "cpu"]
        return once(Together(command, [{"MLX_PTX_CACHE_DIR": cache}]))[0][0]


def _apart(some: list[float], others: list[float]) -> float:
    return max((abs(a - b) / abs(b) for a, b in zip(some, others, strict=True)), default=1.0)


def check_processes(count: int, turns: int, verdicts: Verdicts) -> None:
    """Losses of several processes, a GPU each, beside those of one, and their tokens a second."""
    command = ["gpu.tuner_losses", "llama", "lora", "gpu"]
    one, found = once(Together(command), Together(command, rows.ranks(count)))
    alone, losses = one[0].get("gpu", []), found[0].get("gpu", [])
    same = all(rank.get("size") == count and rank["gpu"] == losses for rank in found) and len(losses) == len(alone)
    apart = _apart(losses, alone) if same else 1.0
    verdicts.report(f"{count} processes over NCCL: losses from one's by {apart:.0e}", apart < 1e-3)
    aims.judge_processes(count, rows.several(count, turns), verdicts.report)


if __name__ == "__main__":
    sys.exit(main())
