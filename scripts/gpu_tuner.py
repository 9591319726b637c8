#!/usr/bin/env python3
"""Check fine-tuning on GPUs against CPUs and processes against one, time steps of 0.6 B parameters and decoding.

usage: python scripts/gpu_tuner.py [--processes N] [--turns N] [--no-timing] [--no-losses] [--only RUN ...]

Needs mlxffi over an MLX with a GPU; PyTorch and mlx_lm, to compare with. Ends with a verdict on each check and aim; the
status is 0 where all hold.
docs/logs holds what it printed last.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

# Before MLX reads it: float32 is to be float32, not TF32.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

# isort: split
from gpu import rows
from gpu.training import CASES, DECODERS, MODEL_06B, ROWS, losses_of, speed

import mlxffi.core as mx
from mlxffi.tuner.distributed import World

# How far apart losses may be. Adam makes much of the last bits of gradients near 0.
NEAR = 3e-3


class Verdicts:
    """Prints lines with their verdicts at the end, and counts what does not hold."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = 0

    def report(self, line: str, good: bool) -> None:
        self.failed += not good
        self.lines.append(f"{'ok  ' if good else 'FAIL'} {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=1, help="how many GPUs to train on together")
    parser.add_argument("--turns", type=int, default=3, help="how often each row is timed")
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--no-losses", action="store_true")
    parser.add_argument("--only", nargs="*", help="which runs to compare, such as llama-lora; all by default")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--time", choices=ROWS, help="time one step, and print it as JSON")
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"size": World().size, "losses": losses_of("llama", "lora", mx.gpu)}))
        return 0
    if options.time:
        print(json.dumps(speed(MODEL_06B, ROWS[options.time])._asdict()))
        return 0
    print(f"fine-tuning on {mx.default_device()}, {mx.device_info()['device_name']}")
    verdicts = Verdicts()
    if options.processes > 1:
        check_processes(options.processes, verdicts)
    if not options.no_losses:
        check_losses(options.only, verdicts)
    if not options.no_timing:
        rows.judge_steps(rows.timed(options.turns), verdicts.report)
        rows.judge_decoding(rows.decoding(options.turns), verdicts.report)
    print(*verdicts.lines, "all hold" if not verdicts.failed else f"{verdicts.failed} do not hold", sep="\n")
    return min(verdicts.failed, 1)


def check_losses(only: list[str] | None, verdicts: Verdicts) -> None:
    """Losses by step of each family and case on the GPU beside those on the CPU."""
    for family, case in ((family, case) for family in DECODERS for case in CASES):
        if only and f"{family}-{case}" not in only:
            continue
        start = time.perf_counter()
        there, here = losses_of(family, case, mx.gpu), losses_of(family, case, mx.cpu)
        apart = max(abs(a - b) / abs(b) for a, b in zip(there, here, strict=True))
        told = f"{there[0]:.4f} to {there[-1]:.4f}, from those of the CPU by {apart:.0e} at most"
        print(f"{family:12} {case:12} losses {told} ({time.perf_counter() - start:.1f} s)", flush=True)
        verdicts.report(f"{family} {case}: losses from the CPU's by {apart:.0e}", apart < NEAR and there[-1] < there[0])


def check_processes(count: int, verdicts: Verdicts) -> None:
    """Losses of several processes, a GPU each, beside those of one, and their tokens a second."""
    told = rows.together(count, [__file__, "--child"])
    alone = losses_of("llama", "lora", mx.gpu)
    first = told[0].get("losses", [])
    same = all(found.get("size") == count and found["losses"] == first for found in told)
    apart = max((abs(a - b) / abs(b) for a, b in zip(first, alone, strict=bool(first))), default=1.0)
    verdicts.report(f"{count} processes over NCCL: losses apart by {apart:.0e}", same and apart < 1e-3)
    rows.judge_processes(count, verdicts.report)


if __name__ == "__main__":
    sys.exit(main())
