"""Timing in turns: every contestant once in each round, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping


def in_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time each contestant in every round.

    Args:
      contestants: what to run, by name.
      rounds: how often each runs; one round before it is not counted.

    Returns:
      The median time of each, in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    """The call in a loop of its own, so that the loop costs both sides the same."""

    def run() -> None:
        for _ in range(times):
            call()

    return run


def on_threads(call: Callable[[], object], times: int, threads: int) -> Callable[[], None]:
    """The call on several threads at once, `times` calls on each."""

    def run() -> None:
        workers = [threading.Thread(target=repeated(call, times)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return run
