"""Traces a second on eight threads at once against one: without a GIL, two cores do about twice as many."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from mlxffi import core

from ._machine import described
from ._timing import in_turns, on_threads

THREADS, ROUNDS, CALLS, LAYERS = 8, 7, 1600, 10


def traced() -> Callable[[], object]:
    """Value and gradients of some operations, which are not computed; the weight is one for all threads."""
    weight, x = core.array([0.5, 0.25]), core.array([1.0, 2.0])
    core.eval(weight, x)

    def loss(x: core.array) -> core.array:
        for _ in range(LAYERS):
            x = core.tanh(x * weight)
        return x.sum()

    step = core.value_and_grad(loss)
    return lambda: step(x)


def main() -> None:
    """Print traces a second by the clock, and what one costs in time of the processor."""
    spent: dict[str, list[float]] = {"one": [], "eight": []}

    def measured(name: str, run: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            start = time.process_time()
            run()
            spent[name].append(time.process_time() - start)

        return call

    call = traced()
    runs = {"one": on_threads(call, CALLS, 1), "eight": on_threads(call, CALLS // THREADS, THREADS)}
    found = in_turns({name: measured(name, run) for name, run in runs.items()}, ROUNDS)
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    cost = {name: sorted(times)[len(times) // 2] / CALLS * 1e6 for name, times in spent.items()}
    print(f"{described()}; CPython {sys.version.split()[0]} {'with' if gil else 'without'} a GIL")
    for name in runs:
        print(f"{name}: {CALLS / found[name]:.0f} traces a second, {cost[name]:.0f} us of the processor each")
    faster, dearer = found["one"] / found["eight"], cost["eight"] / cost["one"]
    print(f"eight threads against one: {faster:.2f} by the clock, {dearer:.2f} of the processor's time")
