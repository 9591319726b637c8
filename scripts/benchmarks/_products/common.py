"""The cases, and the loop of a program: one line of input names a case, one line of output has its seconds."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# Terms and columns: the layers of SmolLM2-135M.
SHAPES = [(576, 576), (576, 1536), (1536, 576), (576, 49152)]
ROWS = (1, 8, 43, 512)
# How the matrix is kept; x is float32 beside a packed one.
KINDS = ("float32", "bfloat16", "float16", "2 bits", "4 bits", "8 bits", "mxfp4", "nvfp4")
# Multiplications beyond which a case is left out: MLX's own packed product takes seconds for them.
MOST = 2e9
LEAST_SECONDS = 2e-3


def cases() -> list[tuple[str, int, int, int]]:
    """Kind, rows, terms and columns of each."""
    sizes = [(rows, *shape) for shape in SHAPES for rows in ROWS if rows * shape[0] * shape[1] < MOST]
    return [(kind, *size) for size in sizes for kind in KINDS]


def operands(rows: int, terms: int, columns: int) -> tuple[Any, Any]:
    """x [rows, terms] and weight [columns, terms], float32."""
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(shape, dtype=np.float32) for shape in ((rows, terms), (columns, terms)))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def serve(prepare: Callable[[str, int, int, int], Callable[[], object] | None]) -> None:
    """Answer cases until the input ends.

    Args:
      prepare: makes the product x weight^T of a case; None where the library has no such product.
    """
    ready: dict[str, Callable[[], object] | None] = {}
    for line in sys.stdin:
        if line not in ready:
            ready = {line: prepare(*json.loads(line))}
        run = ready[line]
        print(json.dumps(None if run is None else _timed(run)), flush=True)


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of all threads, of one product out of as many as can be told apart."""
    run()
    count, wall, cpu = 0, time.perf_counter(), _cpu_seconds()
    while count == 0 or time.perf_counter() - wall < LEAST_SECONDS:
        run()
        count += 1
    return (time.perf_counter() - wall) / count, (_cpu_seconds() - cpu) / count
