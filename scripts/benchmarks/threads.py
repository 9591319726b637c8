"""Traces a second on eight threads at once against one: without a GIL, two cores do about twice as many.

What is compared runs by the clock, so nothing else should run meanwhile: where eight threads had fewer than two cores,
there is no verdict. CPU times stay comparable then, but threads that seldom run at once seldom wait for each other's
memory. How dear that is differs from machine to machine, and on a virtual one from hour to hour.
"""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Callable

from mlxffi import core

from ._machine import described
from ._timing import in_turns, on_threads

# A round takes so long that starting the threads, one after the other, is no part of it worth counting.
THREADS, ROUNDS, CALLS, LAYERS = 8, 5, 16000, 10
WANTED = 1.7
# With fewer cores on average, other programs had the rest.
CORES = 1.8

# CPU seconds, and how often a thread waited.
Usage = tuple[float, int]


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


def watched(run: Callable[[], None], spent: list[Usage]) -> Callable[[], None]:
    """The run, with what its threads used noted each time."""

    def watch() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF)
        run()
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent.append((cpu, after.ru_nvcsw - before.ru_nvcsw))

    return watch


def report(name: str, took: float, spent: list[Usage]) -> float:
    """Print what a run did; returns on how many cores."""
    cpu, waits = (statistics.median(each[1:]) for each in zip(*spent, strict=True))
    print(
        f"{name}: {CALLS / took:.0f} traces a second on {cpu / took:.2f} cores, "
        f"{cpu / CALLS * 1e6:.1f} us of CPU time each, {waits / CALLS * 1e3:.1f} waits in 1,000"
    )
    return float(cpu / took)


def main() -> None:
    """Print traces a second on one thread and on eight, and a verdict."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"{described()}; CPython {sys.version.split()[0]} {'with' if gil else 'without'} a GIL")
    call = traced()
    call()
    spent: dict[str, list[Usage]] = {"one": [], "eight": []}
    threads = {"one": 1, "eight": THREADS}
    took = in_turns(
        {name: watched(on_threads(call, CALLS // count, count), spent[name]) for name, count in threads.items()}, ROUNDS
    )
    cores = {name: report(name, took[name], spent[name]) for name in threads}
    faster = took["one"] / took["eight"]
    print(f"eight threads against one: {faster:.2f} by the clock")
    if not gil and cores["eight"] < CORES:
        sys.exit(f"no verdict: other programs left fewer than {CORES} cores")
    print(f"at least {WANTED} times on two cores: {'yes' if faster >= WANTED else 'NO'}")
    sys.exit(0 if faster >= WANTED else 1)
