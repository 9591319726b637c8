"""Traces a second on eight threads at once against one: without a GIL, two cores do about twice as many.

Other programs take cores away meanwhile, so this also says how many cores each run had, what CPU time a trace took, and
how often a thread waited for a lock. And each trace of eight threads is timed by itself: what one takes while another
thread traces all that time, against what it takes while none does, shows on a busy machine too.
"""

from __future__ import annotations

import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable

from mlxffi import core

from ._machine import described
from ._timing import in_turns, on_threads

# A round takes so long that starting the threads, one after the other, is no part of it worth counting.
THREADS, ROUNDS, CALLS, LAYERS = 8, 5, 16000, 10
# Of the traces that are timed alone: how many, and how many must have met another for a verdict.
TIMED, MET = 32000, 100
WANTED = 1.7

# The start and end of a trace, in nanoseconds.
Span = tuple[int, int]


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


def watched(run: Callable[[], None], spent: list[tuple[float, int]]) -> Callable[[], None]:
    """The run, with the CPU seconds and the waits of its threads noted each time."""

    def watch() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF)
        run()
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        spent.append((cpu, after.ru_nvcsw - before.ru_nvcsw))

    return watch


def by_the_clock(call: Callable[[], object]) -> float:
    """How many times the traces of one thread eight do in a second; prints what each took."""
    spent: dict[str, list[tuple[float, int]]] = {"one": [], "eight": []}
    runs = {
        name: watched(on_threads(call, CALLS // threads, threads), spent[name])
        for name, threads in (("one", 1), ("eight", THREADS))
    }
    found = in_turns(runs, ROUNDS)
    for name, took in found.items():
        cpu, waits = (statistics.median(each[1:]) for each in zip(*spent[name], strict=True))
        print(
            f"{name}: {CALLS / took:.0f} traces a second on {cpu / took:.2f} cores, "
            f"{cpu / CALLS * 1e6:.1f} us of CPU time each, {waits / CALLS * 1e3:.1f} waits in 1,000"
        )
    return found["one"] / found["eight"]


def timed(call: Callable[[], object]) -> list[list[Span]]:
    """The spans of the traces of each thread, less those during which the thread's core was taken."""
    spans: list[list[Span]] = [[] for _ in range(THREADS)]
    barrier = threading.Barrier(THREADS)

    def work(mine: list[Span]) -> None:
        barrier.wait()
        taken = 0
        for _ in range(TIMED // THREADS):
            start = time.perf_counter_ns()
            call()
            end = time.perf_counter_ns()
            before, taken = taken, resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
            if taken == before:
                mine.append((start, end))

    workers = [threading.Thread(target=work, args=[mine]) for mine in spans]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return spans


def shared_time(span: Span, others: list[Span], first: int) -> tuple[float, int]:
    """The part of a span in which others ran; those before `first` are over. And what that is for the next span."""
    start, end = span
    while first < len(others) and others[first][1] <= start:
        first += 1
    met, place = 0, first
    while place < len(others) and others[place][0] < end:
        met += min(end, others[place][1]) - max(start, others[place][0])
        place += 1
    return met / (end - start), first


def by_meeting(call: Callable[[], object]) -> float | None:
    """How many times one core's traces two do, by what each takes; None where too few met. Prints what was found."""
    spans = timed(call)
    alone, together = [], []
    for number, mine in enumerate(spans):
        others = sorted(span for place, other in enumerate(spans) if place != number for span in other)
        first = 0
        for span in mine:
            share, first = shared_time(span, others, first)
            if share > 0.9:
                together.append(span[1] - span[0])
            elif share < 0.05:
                alone.append(span[1] - span[0])
    if min(len(alone), len(together)) < MET:
        return None
    apart, beside = statistics.median(alone) / 1e3, statistics.median(together) / 1e3
    print(f"a trace: {apart:.1f} us alone ({len(alone)}), {beside:.1f} us beside another ({len(together)})")
    return 2 * apart / beside


def main() -> None:
    """Print traces a second by the clock, what one takes beside another, and a verdict."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"{described()}; CPython {sys.version.split()[0]} {'with' if gil else 'without'} a GIL")
    call = traced()
    call()
    faster, predicted = by_the_clock(call), by_meeting(call)
    told = "too few met" if predicted is None else f"{predicted:.2f} by traces that met"
    print(f"eight threads against one: {faster:.2f} by the clock, {told}")
    reached = predicted is not None and predicted >= WANTED
    print(f"at least {WANTED} times on two cores: {'yes' if reached else 'NO'}")
    sys.exit(0 if reached else 1)
