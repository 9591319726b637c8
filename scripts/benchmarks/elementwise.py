"""Elementwise operations, reductions, casts and lookups: mlxffi.core, mlx.core, numpy and, where installed, PyTorch.

All run in one process, in turns; in it MLX finds the large pages that libmlxc asks for, too.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# First: the BLAS bridge must come before libmlx binds its BLAS.
from mlxffi import core

# isort: split
import mlx.core as mx
import numpy as np

from ._elements.inputs import arrays
from ._elements.rows import Work, works
from ._machine import described

ROUNDS = 7
# Of a library that takes longer: as many rounds as fit into so many seconds, and at least two.
MOST_SECONDS, LEAST_ROUNDS = 0.3, 2
SIZES = {"16 M": (1 << 24, 1), "256 K": (1 << 18, 8), "1 K": (1 << 10, 200)}


def _evaluated(work: Work, module: Any, x: Any, y: Any) -> Callable[[], object]:
    return lambda: module.eval(work(module, x, y))


def contestants(row: dict[str, Work], size: int, half: bool) -> dict[str, Callable[[], object]]:
    """What each library does for a row."""
    found = {
        label: _evaluated(row["mlx"], module, *arrays(module, size, half))
        for label, module in (("mlxffi", core), ("mlx.core", mx))
    }
    if not half and "numpy" in row:
        found["numpy"] = lambda: row["numpy"](np, *arrays(np, size, half))
    if "torch" in row and importlib.util.find_spec("torch"):
        import torch

        found["torch"] = lambda: row["torch"](torch, *arrays(torch, size, half))
    return found


def _seconds(run: Callable[[], object], times: int) -> tuple[float, float]:
    if times > 1:
        run()  # What the others left in the caches, or took from them, is not this one's.
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times, (time.process_time() - cpu) / times


def measured(found: dict[str, Callable[[], object]], times: int) -> dict[str, tuple[float, float]]:
    """The medians of the rounds, by the clock and of all threads; a library without the operation is left out."""
    taken: dict[str, list[tuple[float, float]]] = {}
    for label, run in found.items():
        try:
            run()
            taken[label] = []
        except (AttributeError, TypeError, KeyError, NotImplementedError, RuntimeError):
            pass
    for done in range(ROUNDS):
        for label, seconds in taken.items():
            if done < LEAST_ROUNDS or times * sum(wall for wall, _ in seconds) < MOST_SECONDS:
                seconds.append(_seconds(found[label], times))
    return {
        label: (statistics.median(wall for wall, _ in seconds), statistics.median(cpu for _, cpu in seconds))
        for label, seconds in taken.items()
    }


def memory_time(size: int, times: int) -> float:
    """The seconds of copying as many float32 on all cores, to memory that is there already."""
    cores = len(os.sched_getaffinity(0))
    source, target = np.ones(size, np.float32), np.zeros(size, np.float32)
    parts = list(zip(np.array_split(source, cores), np.array_split(target, cores), strict=True))
    with ThreadPoolExecutor(cores) as pool:
        return measured({"copy": lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))}, times)[
            "copy"
        ][0]


def tabulate(works_of: Callable[[int, bool], dict[str, dict[str, Work]]], halves: tuple[bool, ...], *rows: str) -> None:
    """Print microseconds by the clock / of all threads, and how many times ours the others take by the clock."""
    print(
        f"{described()}; medians of {ROUNDS} in turns, of a library that takes long of those within {MOST_SECONDS} s, "
        f"at least {LEAST_ROUNDS}"
    )
    print("us by the clock / of all threads; in brackets the clock as a multiple of mlxffi's")
    for label, (size, times) in SIZES.items():
        for half in halves:
            copying = memory_time(size, times) * 1e6
            print(f"--- {label} {'bfloat16' if half else 'float32'}; copying float32 on all cores: {copying:.0f} us")
            for name, row in works_of(size, half).items():
                if not rows or name in rows:
                    _print_row(name, measured(contestants(row, size, half), times))


def _print_row(name: str, found: dict[str, tuple[float, float]]) -> None:
    ours = found.get("mlxffi", (float("nan"),))[0]
    parts = (f"{who} {wall * 1e6:.1f} / {cpu * 1e6:.1f} ({wall / ours:.2f})" for who, (wall, cpu) in found.items())
    print(f"{name:24}" + "   ".join(parts), flush=True)


def main(*rows: str) -> None:
    """Print the rows of float32 and bfloat16."""
    tabulate(works, (False, True), *rows)


if __name__ == "__main__":
    main()
