"""Products of rows with a layer's weight, plain and packed: mlxffi.core, mlx.core, numpy and PyTorch.

Each library has a process of its own, and a case goes to one after the other in every round: mlx.core must not find the
BLAS bridge, and threads must not meet. PyTorch may stand in another environment: its interpreter is named by
TORCH_PYTHON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from ._machine import described
from ._products.common import cases

ROUNDS = 5
PROGRAMS = "benchmarks._products"
TORCH = os.environ.get("TORCH_PYTHON", sys.executable)
OURS = [sys.executable, "-m", "mlxffi", "run", "-m", f"{PROGRAMS}.mlx_products"]
CONTESTANTS = {
    "mlxffi": OURS,
    "mlxffi int8": ["env", "MLXFFI_INT8_ACTIVATIONS=1", *OURS],
    "mlx.core": [sys.executable, "-m", f"{PROGRAMS}.mlx_products"],
    "numpy": [sys.executable, "-m", f"{PROGRAMS}.numpy_products"],
    "torch": [TORCH, "-m", f"{PROGRAMS}.torch_products"],
}


class Program:
    """A library's process."""

    def __init__(self, command: list[str]):
        place = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": place},
        )  # fmt: skip

    def seconds(self, case: tuple[str, int, int, int]) -> tuple[float, float] | None:
        """By the clock and of all threads; None where the library is missing or has no such product."""
        if self._process.stdin is None or self._process.stdout is None or self._process.poll() is not None:
            return None
        try:
            self._process.stdin.write(json.dumps(case) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._process.stdout.readline()
        found: Any = json.loads(line) if line else None
        return tuple(found) if found else None


def _measured(programs: dict[str, Program], case: tuple[str, int, int, int]) -> dict[str, tuple[float, float]]:
    """The medians of each library that has the case."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            seconds = program.seconds(case)
            found[name] += [seconds] if seconds else []
    return {name: tuple(map(statistics.median, zip(*times, strict=True))) for name, times in found.items() if times}


def main() -> None:
    """Print milliseconds by the clock / of all threads, and how many times ours a library takes of the latter."""
    print(f"x [rows, terms] times weight^T [columns, terms]; {described()}; medians of {ROUNDS} in turns")
    print("ms by the clock / of all threads; in brackets the latter as a multiple of mlxffi's")
    programs = {name: Program(command) for name, command in CONTESTANTS.items()}
    for case in cases():
        kind, rows, terms, columns = case
        found = _measured(programs, case)
        ours = found["mlxffi"][1]
        parts = [f"{name} {wall * 1e3:.3f} / {cpu * 1e3:.3f} ({cpu / ours:.1f})" for name, (wall, cpu) in found.items()]
        print(f"{rows:4} x {terms:5} x {columns:5} {kind:8}  " + "   ".join(parts), flush=True)
