#!/usr/bin/env python3
"""Check fine-tuning on GPUs against CPUs, two processes against one (NCCL), and time a LoRA step of 0.6 B parameters.

usage: python scripts/gpu_tuner.py [--processes N] [--no-timing]

Needs mlxffi over an MLX with a GPU. Prints a line for each check with its verdict; the status is 0 where all hold.
docs/logs holds what it printed last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

# Before MLX reads it: float32 is to be float32, not TF32.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

# isort: split
from gpu.training import CASES, DECODERS, MODEL_06B, losses_of, speed

import mlxffi.core as mx
from mlxffi.tuner.distributed import World

# How far apart losses may be. Adam makes much of the last bits of gradients near 0.
NEAR = 3e-3
PORT = "38017"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=1, help="how many GPUs to train on together")
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--only", nargs="*", help="which runs to compare, such as llama-lora; all by default")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps([World().size, losses_of("llama", "lora", mx.gpu)]))
        return 0
    print(f"fine-tuning on {mx.default_device()}, {mx.device_info()['device_name']}")
    failed = 0
    if options.processes > 1:
        failed += not check_processes(options.processes)
    if not options.no_timing:
        print_speed()
    pairs = [(family, case) for family in DECODERS for case in CASES]
    failed += sum(not check(*pair) for pair in pairs if not options.only or "-".join(pair) in options.only)
    print("all hold" if not failed else f"{failed} failed")
    return min(failed, 1)


def check(family: str, case: str) -> bool:
    """Losses by step on the GPU beside those on the CPU."""
    start = time.perf_counter()
    there, here = losses_of(family, case, mx.gpu), losses_of(family, case, mx.cpu)
    apart = max(abs(a - b) / abs(b) for a, b in zip(there, here, strict=True))
    good = apart < NEAR and there[-1] < there[0]
    told = f"{there[0]:.4f} to {there[-1]:.4f}, from those of the CPU by {apart:.0e} at most"
    print(f"{'ok  ' if good else 'FAIL'} {family:8} {case:12} losses {told} ({time.perf_counter() - start:.1f} s)")
    return good


def check_processes(count: int) -> bool:
    """Losses of several processes, a GPU each, beside those of one."""
    hosts = {"MLX_WORLD_SIZE": str(count), "NCCL_HOST_IP": "127.0.0.1", "NCCL_PORT": PORT}
    ranks = [{**hosts, "MLX_RANK": str(rank), "CUDA_VISIBLE_DEVICES": str(rank)} for rank in range(count)]
    found = [_child(environment) for environment in ranks]
    told = [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in found]
    alone = losses_of("llama", "lora", mx.gpu)
    apart = max(abs(a - b) / abs(b) for a, b in zip(told[0][1], alone, strict=True))
    good = all(size == count for size, _ in told) and all(losses == told[0][1] for _, losses in told) and apart < 1e-3
    print(f"{'ok  ' if good else 'FAIL'} {count} processes (NCCL, {told[0][0]} joined): losses apart by {apart:.0e}")
    return good


def _child(environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child"]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def print_speed() -> None:
    """Tokens a second of a LoRA step, and the peak of memory."""
    for options in ({}, {"grad_checkpoint": True}):
        found = speed(MODEL_06B, batch=4, length=1024, **options)
        print(
            f"LoRA, 28 layers, width 1024, bfloat16, batch 4 x 1024{', checkpointed' if options else ''}: "
            f"{found.milliseconds:.1f} ms a step, {found.tokens:,.0f} tokens a second, peak {found.peak / 1e9:.1f} GB"
        )


if __name__ == "__main__":
    sys.exit(main())
