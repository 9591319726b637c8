"""What `gpu_tuner.py` times: rows of steps here, in mlx_lm and in PyTorch, decoding, and what they are to come to.

Everything is timed in a process of its own, all that is compared in turns.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .training import MODEL_06B, ROWS, Row

HERE = Path(__file__).parent
TUNER = HERE.parent / "gpu_tuner.py"
LIMIT = 120  # seconds of a process
PORT = "38017"
OURS, TORCH, MLX_LM = "mlxffi.tuner", "torch.compile", "mlx_lm"

Report = Callable[[str, bool], None]


class Cell(NamedTuple):
    """Of a step: its milliseconds, and bytes of arrays at the peak; NaN where it failed."""

    milliseconds: float = math.nan
    peak: float = math.nan

    def __str__(self) -> str:
        return f"{self.milliseconds:9.1f} ms {self.peak / 1e9:6.1f} GB"


Table = dict[str, dict[str, Cell]]


def timed(turns: int) -> Table:
    """Medians of each row here and elsewhere, printed as they come."""
    print(f"{'bfloat16, 28 layers, width 1,024':34}" + "".join(f"{name:>22}" for name in (OURS, TORCH, MLX_LM)))
    table: Table = {}
    for name, row in ROWS.items():
        runs = [{who: cell(command) for who, command in commands(name, row).items()} for _ in range(turns)]
        table[name] = {who: median([run[who] for run in runs]) for who in runs[0]}
        print(f"{name:34}" + "".join(f"{table[name].get(who, '')!s:>22}" for who in (OURS, TORCH, MLX_LM)), flush=True)
    return table


def median(cells: Sequence[Cell]) -> Cell:
    """The median of each number."""
    return Cell(*(statistics.median(numbers) for numbers in zip(*cells, strict=True)))


def commands(name: str, row: Row) -> dict[str, list[str]]:
    """By whom a row is timed, and how: not with checkpoints elsewhere, nor 4-bit weights in PyTorch."""
    sizes = [json.dumps(MODEL_06B), str(row.batch), str(row.length)]
    found = {OURS: [str(TUNER), "--time", name]}
    if not row.checkpoint and row.case != "4-bit":
        full = ["--full"] if row.case == "full" else []
        found[TORCH] = [str(HERE / "torch_step.py"), *sizes, *full]
    if not row.checkpoint and row.case != "full":
        bits = ["--bits", "4"] if row.case == "4-bit" else []
        found[MLX_LM] = [str(HERE / "mlx_lm_step.py"), *sizes, *bits]
    return found


def cell(command: Sequence[str]) -> Cell:
    """What a process tells of a step."""
    found = told([command])[0]
    return Cell(found["milliseconds"], found["peak"]) if found else Cell()


def told(commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]] = ({},)) -> list[dict[str, Any]]:
    """What processes that run together print in their last lines, as JSON; {} of those that fail."""
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen([sys.executable, *command], env={**os.environ, **more}, stdout=pipe, stderr=pipe, text=True)
        for command, more in zip(commands, environments, strict=True)
    ]
    found = []
    for process in running:
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        if process.returncode:
            print(*err.splitlines()[-3:], sep="\n")
        found.append({} if process.returncode else json.loads(out.splitlines()[-1]))
    return found


def together(count: int, command: Sequence[str]) -> list[dict[str, Any]]:
    """What processes with a GPU each tell, joined by NCCL."""
    hosts = {"MLX_WORLD_SIZE": str(count), "NCCL_HOST_IP": "127.0.0.1", "NCCL_PORT": PORT}
    ranks = [{**hosts, "MLX_RANK": str(rank), "CUDA_VISIBLE_DEVICES": str(rank)} for rank in range(count)]
    return told([command] * count, ranks)


def decoding(turns: int) -> dict[str, dict[str, float]]:
    """Medians of tokens a second by mlx_lm over each core, with the host's time a token."""
    found: dict[str, dict[str, float]] = {}
    for bits in ([], ["--bits", "4"]):
        runs: dict[str, list[dict[str, float]]] = {"mlx": [], "mlxffi": []}
        for _ in range(turns):
            for core, done in runs.items():
                done += told([[str(HERE / "decode.py"), json.dumps(MODEL_06B), core, *bits]])
        for core, done in runs.items():
            name = f"{core}.core, {'4-bit' if bits else 'bfloat16'}"
            keys = ("tokens", "build", "launch")
            found[name] = {key: statistics.median(run.get(key, math.nan) for run in done) for key in keys}
            host = f"{found[name]['build']:.0f} us a token to build, {found[name]['launch']:.0f} to launch"
            print(f"decoding, {name:24} {found[name]['tokens']:6.1f} tokens a second; {host}", flush=True)
    return found


# --- aims ---


def judge_steps(table: Table, report: Report) -> None:
    """A verdict on each aim of a step."""

    def ratio(line: str, a: float, b: float, most: float) -> None:
        report(f"{line}: {a / b:.2f} (aim: at most {most})", a / b <= most)

    short, long, longest, packed, full = (
        table[name] for name in ROWS if not name.endswith("checkpointed") or ROWS[name].length > 8192
    )
    ratio("4 x 1,024: time of torch.compile's", short[OURS].milliseconds, short[TORCH].milliseconds, 0.70)
    ratio("4 x 1,024: peak of torch.compile's", short[OURS].peak, short[TORCH].peak, 1.0)
    ratio("1 x 8,192: time of mlx_lm's", long[OURS].milliseconds, long[MLX_LM].milliseconds, 0.5)
    ratio("1 x 8,192: peak of mlx_lm's", long[OURS].peak, long[MLX_LM].peak, 0.25)
    ratio("1 x 32,768: peak of 80 GB", longest[OURS].peak, 80e9, 1.0)
    ratio("4-bit base: time of bfloat16's", packed[OURS].milliseconds, short[OURS].milliseconds, 1.15)
    saved = (short[OURS].peak - packed[OURS].peak) / 1e9
    report(f"4-bit base: {saved:.2f} GB less than bfloat16 (aim: 1.2)", saved >= 1.2)
    ratio("full, 4 x 1,024: time of torch.compile's", full[OURS].milliseconds, full[TORCH].milliseconds, 0.8)


def judge_processes(count: int, report: Report) -> None:
    """A verdict on the tokens a second of several GPUs beside one's."""
    row = next(iter(ROWS))
    command = [str(TUNER), "--time", row]
    one, several = cell(command).milliseconds, together(count, command)
    slowest = max((found.get("milliseconds", math.nan) for found in several), default=math.nan)
    times, aim = count * one / slowest, {2: 1.9, 4: 3.7}.get(count, 0.9 * count)
    report(f"{row} on {count} GPUs: {times:.2f} times one's tokens a second (aim: {aim})", times >= aim)


def judge_decoding(found: dict[str, dict[str, float]], report: Report) -> None:
    """A verdict on decoding over mlxffi.core for each kind of weights."""
    for kind in ("bfloat16", "4-bit"):
        ours, theirs = found[f"mlxffi.core, {kind}"], found[f"mlx.core, {kind}"]
        share = ours["tokens"] / theirs["tokens"]
        report(f"decoding, {kind}: {share:.3f} of mlx.core's tokens a second (aim: at least 0.98)", share >= 0.98)
