"""What `gpu_tuner.py` times: rows of steps here, in mlx_lm and in PyTorch, and decoding; all that is compared in turns,
each in a process of its own but for the cores of decoding.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from .asked import Answer, Together, in_turns, once
from .shapes import MODEL_06B, ROWS, SHORT

PORT = "38017"
OURS, TORCH, MLX_LM = "mlxffi.tuner", "torch.compile", "mlx_lm"
EVERYBODY = (OURS, TORCH, MLX_LM)

# Of MLX, by what they are told as.
SETTINGS: dict[str, dict[str, str]] = {
    "as MLX has it": {},
    **{
        f"{name}={value}": {name: value}
        for name, value in (
            ("MLX_CUDA_GRAPH_CACHE_SIZE", "4000"),
            ("MLX_USE_CUDA_GRAPHS", "0"),
            ("MLX_MAX_MB_PER_BUFFER", "200"),
            ("MLX_MAX_OPS_PER_BUFFER", "40"),
        )
    },
}

Commands = dict[str, list[str]]


class Cell(NamedTuple):
    """Of a step: its milliseconds, and bytes of arrays at the peak; NaN where it failed."""

    milliseconds: float = math.nan
    peak: float = math.nan

    def __str__(self) -> str:
        return f"{self.milliseconds:9.1f} ms {self.peak / 1e9:6.1f} GB"


Table = dict[str, dict[str, Cell]]


def steps(names: Sequence[str], turns: int, end: float) -> Table:
    """Medians of rows here and elsewhere, printed as they come, with the least and the most of the times; of rows that
    begin before `end` on the monotonic clock.
    """
    print(f"{'bfloat16, 28 layers, width 1,024':34}" + "".join(f"{name:>22}" for name in EVERYBODY), flush=True)
    table: Table = {}
    for name in names:
        if time.monotonic() > end:
            break
        runs = in_turns({who: Together(command) for who, command in commands(name).items()}, turns)
        table[name] = {who: _cell(found) for who, found in runs.items()}
        print(f"{name:34}" + "".join(f"{table[name].get(who, '')!s:>22}" for who in EVERYBODY), flush=True)
        print(f"{'':34}" + "".join(f"{_spread(runs.get(who, [])):>22}" for who in EVERYBODY), flush=True)
    return table


def commands(name: str) -> Commands:
    """By whom a row is timed, and how: not with checkpoints elsewhere, nor 4-bit weights in PyTorch."""
    row = ROWS[name]
    sizes = [json.dumps(MODEL_06B), str(row.batch), str(row.length)]
    found = {OURS: ["gpu.tuner_step", name]}
    if not row.checkpoint and row.case != "4-bit":
        found[TORCH] = ["gpu.torch_step", *sizes, *(["--full"] if row.case == "full" else [])]
    if not row.checkpoint and row.case != "full":
        found[MLX_LM] = ["gpu.mlx_lm_step", *sizes, *(["--bits", "4"] if row.case == "4-bit" else [])]
    return found


def compile_all(names: Sequence[str]) -> None:
    """Let all compile what their caches on disk keep: PyTorch all steps at once, MLX one after the other."""
    by_who = [commands(name) for name in names]
    chains = [[found[who] for found in by_who if who in found] for who in (OURS, MLX_LM)]
    chains += [[found[TORCH]] for found in by_who if TORCH in found]
    with ThreadPoolExecutor(len(chains)) as pool:
        list(pool.map(lambda chain: [once(Together(command)) for command in chain], chains))


def medians(found: Sequence[Answer], keys: Sequence[str]) -> list[float]:
    """Of answers, the median of each number; NaN where there is none."""
    return [statistics.median([answer.get(key, math.nan) for answer in found] or [math.nan]) for key in keys]


def _cell(found: Sequence[Answer]) -> Cell:
    return Cell(*medians(found, Cell._fields))


def _spread(found: Sequence[Answer], key: str = "milliseconds", digits: int = 1) -> str:
    numbers = [answer[key] for answer in found if answer]
    return f"{min(numbers):.{digits}f} to {max(numbers):.{digits}f}" if numbers else ""


def settings(turns: int) -> None:
    """Medians of the first row with other settings of MLX beside the others', and their least and most."""
    ours, *others = commands(SHORT).items()
    running = {name: Together(ours[1], [environment]) for name, environment in SETTINGS.items()}
    found = in_turns({**running, **{who: Together(command) for who, command in others}}, turns)
    for name, runs in found.items():
        print(f"{SHORT}, {name:34} {_cell(runs)}, {_spread(runs)}", flush=True)


def ranks(count: int) -> list[dict[str, str]]:
    """The environments of processes with a GPU each, joined by NCCL."""
    hosts = {"MLX_WORLD_SIZE": str(count), "NCCL_HOST_IP": "127.0.0.1", "NCCL_PORT": PORT}
    # MLX's cache of kernels is not made for processes that fill it at the same time.
    cache = f"{tempfile.gettempdir()}/mlxffi_kernels_"
    return [
        {**hosts, "MLX_RANK": str(rank), "CUDA_VISIBLE_DEVICES": str(rank), "MLX_PTX_CACHE_DIR": f"{cache}{rank}"}
        for rank in range(count)
    ]


def several(count: int, turns: int) -> list[Cell]:
    """A step of one GPU, and of several with a batch each, in turns."""
    command = ["gpu.tuner_step", SHORT]
    found = in_turns({"one": Together(command), "several": Together(command, ranks(count))}, turns)
    for name, runs in found.items():
        print(f"{SHORT}, {name:8} {_cell(runs)}, {_spread(runs)}", flush=True)
    return [_cell(runs) for runs in found.values()]


def decoding(turns: int) -> dict[str, float]:
    """By kind of weights, mlxffi.core's share of mlx.core's tokens a second under mlx_lm: the median of the turns."""
    shares = {}
    for kind, bits in (("bfloat16", []), ("4-bit", ["--bits", "4"])):
        found = in_turns({kind: Together(["gpu.decode", json.dumps(MODEL_06B), *bits])}, turns)[kind]
        for core in ("mlx.core", "mlxffi.core"):
            runs = [answer[core] for answer in found if answer] or [[math.nan] * 3]
            tokens, build, launch = map(statistics.median, zip(*runs, strict=True))
            host = f"{build:.0f} us of CPU time a token to build, {launch:.0f} to launch"
            print(f"decoding, {f'{core}, {kind}':24} {tokens:6.1f} tokens a second; {host}", flush=True)
        [shares[kind]] = medians(found, ["share"])
        print(f"decoding, {kind}: {_spread(found, 'share', 3)} of mlx.core's tokens a second", flush=True)
    return shares
