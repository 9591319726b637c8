"""What the programs share: the tokens, the tasks and their timing, and the line that they print."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# Rows and tokens of a training step.
STEPS = {"step": (4, 128), "short": (1, 32), "long": (1, 2048), "long checkpointed": (1, 2048)}
PROMPT, GENERATED, CONTEXT = 512, 32, 64
# Of each process: what is not measured, and what is.
WARMUPS, REPEATS = 1, 3
RATE = 1e-3

FOLDER, TASK = (Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) == 3 else (Path(), "")
# Whether blocks are computed again for the gradient.
CHECKPOINTED = TASK.endswith("checkpointed")


def text_tokens() -> Any:
    """The ids of a text, int64."""
    return np.load(FOLDER.parent / "tokens.npy")


def batches(rows: int, length: int) -> list[Any]:
    """Int64 [rows, length + 1] each: one for each step, of different parts of the text."""
    tokens, size = text_tokens(), rows * (length + 1)
    starts = [index * size % (len(tokens) - size) for index in range(WARMUPS + REPEATS)]
    return [tokens[start : start + size].reshape(rows, length + 1) for start in starts]


def train(step: Callable[[Any], float], peak: Callable[[], int] | None = None) -> None:
    """Time steps, each of which takes tokens and gives its loss; `peak`: bytes of arrays, where they are counted."""
    found = [timed(partial(step, tokens)) for tokens in batches(*STEPS[TASK])]
    report([times for times, _ in found[WARMUPS:]], losses=[loss for _, loss in found], arrays=peak and peak())


def repeat(run: Callable[[], object], count: int) -> None:
    """Time what reads or writes so many tokens at once."""
    times = [timed(run)[0] for _ in range(WARMUPS + REPEATS)][WARMUPS:]
    report([(wall / count, cpu / count) for wall, cpu in times])


def timed(run: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds by the clock and of all threads, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return (time.perf_counter() - wall, time.process_time() - cpu), found


def report(times: list[tuple[float, float]], **rest: Any) -> None:
    """Print what was measured as JSON."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"times": times, "memory": memory, **rest}))
