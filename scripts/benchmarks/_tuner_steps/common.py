"""What the programs share: tokens, timing, and the line that they print."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH, LENGTH, VOCABULARY, RATE = 4, 128, 8192, 1e-3


def batches(count: int) -> list[Any]:
    """Token ids, int64 [4, 129] each."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, VOCABULARY, (BATCH, LENGTH + 1)) for _ in range(count)]


def measure(step: Callable[[Any], float], peak: Callable[[], int] | None = None) -> None:
    """Time steps, each of which gives its loss, and print what came of it as JSON.

    Args:
      step: takes tokens.
      peak: bytes of arrays at the peak, where the library counts them.
    """
    times, losses = [], []
    for tokens in batches(int(sys.argv[2]) + 2):
        start = time.perf_counter()
        losses.append(step(tokens))
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"times": times[2:], "losses": losses, "memory": memory, "arrays": peak() if peak else None}))
