#!/usr/bin/env python3
"""Check the fused losses on a GPU and time them: values and gradients against float64, speed beside MLX and PyTorch.

usage: python scripts/gpu_check.py [--rows N] [--classes N] [--no-torch] [--only values|timing]

Needs mlxffi over an MLX with a GPU (mlx-cuda-13 or mlx-metal). Prints what it finds, with a verdict on each line that
has an aim; the status is 0 where all hold. docs/logs holds what it printed last.
"""

from __future__ import annotations

import argparse
import os
import sys

# Before MLX reads it: float32 is to be float32, not TF32.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

# isort: split
from gpu import behaviour, gates, heads, linear, norms, optimizers, timing, values
from gpu.verdicts import Verdicts

import mlxffi

# Aims of an H100 at 4096 x 151,936 bfloat16; times in ms.
AIMS = {"KL": 3.0, "JS": 3.5}
ENTROPY = "cross-entropy"
NOISE = 1.02  # of a time measured twice


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=151_936)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--only", choices=("values", "timing"))
    options = parser.parse_args()
    device = mlxffi.default_device()
    print(f"mlxffi on {device}, losses of {options.rows} x {options.classes} {options.dtype} timed")
    if "gpu" not in str(device):
        print("no GPU: nothing to check")
        return 1
    verdicts = Verdicts()
    if options.only != "timing":
        check_values(verdicts)
    if options.only != "values":
        bench = timing.Bench(options.rows, options.classes, options.dtype)
        timing.mlx(bench)
        check_times(verdicts, bench)
        check_memory(verdicts, bench)
        linear.compare(options.rows, options.classes)
        if not options.no_torch:
            timing.torch(bench)
    print("all hold" if not verdicts.failed else f"{verdicts.failed} do not hold")
    return int(verdicts.failed > 0)


def check_values(verdicts: Verdicts) -> None:
    print("--- worst errors: values by max(1, value); gradients (d) by their row's cotangent; p: the teacher's ---")
    print("--- ce: cross-entropy, I: ignore_index, W: weights, S: smoothing ---")
    values.check_all(verdicts.report)
    behaviour.check_all(verdicts.report)
    linear.check_all(verdicts.report)
    norms.check_all(verdicts.report)
    gates.check_all(verdicts.report)
    heads.check_all(verdicts.report)
    optimizers.check_all(verdicts.report)
    values.check_many(verdicts.report)


def check_times(verdicts: Verdicts, bench: timing.Bench) -> None:
    found = bench.milliseconds
    fast = found[f"{ENTROPY}: mx.fast"]
    ratio = found[ENTROPY] / fast
    verdicts.report(f"cross-entropy takes {ratio:.3f} of mx.fast.cross_entropy's time (aim: 1)", ratio <= NOISE)
    for name in ("ignore_index", "masked", "weighted", "smoothed"):
        ratio = found[f"{ENTROPY}, {name}"] / fast
        verdicts.report(f"cross-entropy, {name}: {ratio:.3f} of it (aim: 1.2)", ratio <= 1.2)
    for name, aim in AIMS.items():
        verdicts.report(f"{name} takes {found[name]:.3f} ms (aim on an H100: {aim} ms)", found[name] <= aim)


def check_memory(verdicts: Verdicts, bench: timing.Bench) -> None:
    for name in (ENTROPY, f"{ENTROPY}, smoothed", "KL", "JS"):
        peak = bench.peaks[name]
        verdicts.report(f"{name}: peak memory over the inputs {peak:.4f} of the logits (aim: 1 and rows)", peak < 1.01)


if __name__ == "__main__":
    sys.exit(main())
