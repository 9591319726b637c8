#!/usr/bin/env python3
"""Check fine-tuning on GPUs against CPUs, two processes against one (NCCL), and time a LoRA step of 0.6 B parameters.

usage: python scripts/gpu_tuner.py [--processes N] [--no-timing]

Needs mlxffi over an MLX with a GPU. Prints a line for each check with its verdict; the status is 0 where all hold.
docs/logs holds what it printed last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Before MLX reads it: float32 is to be float32, not TF32.
os.environ.setdefault("MLX_ENABLE_TF32", "0")

# isort: split
from gpu.training import CASES, DECODERS, MODEL_06B, ROWS, Row, Speed, losses_of, speed

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
    parser.add_argument("--time", choices=ROWS, help="time one step, and print it as JSON")
    options = parser.parse_args()
    if options.child:
        print(json.dumps([World().size, losses_of("llama", "lora", mx.gpu)]))
        return 0
    if options.time:
        print(json.dumps(speed(MODEL_06B, ROWS[options.time])._asdict()))
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
    """Milliseconds and peak of each row's step, here and in PyTorch, in turns and each in a process of its own."""
    print(f"{'bfloat16, 28 layers, width 1,024':34}{'mlxffi.tuner':>22}{'torch.compile':>22}{'times':>8}{'memory':>8}")
    for name, row in ROWS.items():
        ours = _told([__file__, "--time", name], Speed._fields)
        theirs = None if row.checkpoint or row.case == "4-bit" else _told(_torch(row), ("milliseconds", "peak"))
        ratios = theirs and "".join(f"{ours[key] / theirs[key]:8.2f}" for key in ("milliseconds", "peak"))
        print(f"{name:34}{_cell(ours)}{_cell(theirs)}{ratios or ''}", flush=True)


def _torch(row: Row) -> list[str]:
    script = Path(__file__).parent / "gpu" / "torch_step.py"
    full = ["--full"] if row.case == "full" else []
    return [str(script), json.dumps(MODEL_06B), str(row.batch), str(row.length), *full]


def _told(command: list[str], keys: Sequence[str]) -> dict[str, float]:
    """What a process printed in its last line, as JSON; NaN for what it did not."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode:
        print(*done.stderr.splitlines()[-3:], sep="\n")
        return dict.fromkeys(keys, math.nan)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _cell(found: dict[str, float] | None) -> str:
    return f"{found['milliseconds']:9.1f} ms {found['peak'] / 1e9:6.1f} GB" if found else f"{'':22}"


if __name__ == "__main__":
    sys.exit(main())
