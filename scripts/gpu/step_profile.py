"""Where a training step's time goes on a GPU: nodes of its graph, host time, calls of CUDA, kernels.

usage: python scripts/gpu/step_profile.py [ROW]      (a row of shapes.py, by default the first)
"""

from __future__ import annotations

import collections
import importlib
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# isort: split
import mlxffi.core as mx
from gpu.shapes import MODEL_06B, ROWS, Row
from gpu.training import Step, prepared
from mlxffi.tuner.trees import flatten

STEPS = 7


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else next(iter(ROWS))
    step = prepared(MODEL_06B, ROWS[name])
    print(name, mx.device_info()["device_name"])
    print_nodes(ROWS[name])
    for _ in range(3):
        mx.eval(step())
    print_host(step)
    print_calls(step)


def print_nodes(row: Row) -> None:
    """How many nodes of which kind a layer has: those of a graph with two layers more, halved."""
    few, many = (nodes(prepared({**MODEL_06B, "num_hidden_layers": count}, row)()) for count in (2, 4))
    layer = {name: (count - few[name]) / 2 for name, count in many.most_common() if count > few[name]}
    print(f"nodes a layer: {sum(layer.values()):.0f};", *(f"{name} {count:g}" for name, count in layer.items()))


def nodes(outputs: Any) -> collections.Counter[str]:
    """The nodes of a graph by their kind."""
    with tempfile.NamedTemporaryFile("r", suffix=".dot") as file:
        mx.export_to_dot(file.name, list(flatten(outputs).values()))
        found = re.findall(r'label ?= ?"(\w+)[^"]*", shape ?= ?rectangle', file.read())
    return collections.Counter(found)


def print_host(step: Step) -> None:
    """Medians of the time until the graph is built, until all of it is launched, and until it is done."""
    parts: list[list[float]] = [[], [], []]
    for _ in range(STEPS):
        start = time.perf_counter()
        outputs = step()
        built = time.perf_counter()
        mx.async_eval(outputs)
        launched = time.perf_counter()
        mx.eval(outputs)
        for part, end in zip(parts, (built, launched, time.perf_counter()), strict=True):
            part.append(1e3 * (end - start))
    built, launched, done = (statistics.median(part) for part in parts)
    print(f"built after {built:.1f} ms, launched after {launched:.1f}, done after {done:.1f}")


def print_calls(step: Step) -> None:
    """Calls of CUDA and kernels of one step by the time they take, as PyTorch's profiler sees them."""
    profiler: Any = importlib.import_module("torch.profiler")
    kinds = profiler.ProfilerActivity
    with profiler.profile(activities=[kinds.CPU, kinds.CUDA]) as profile:
        mx.eval(step())
    totals: dict[str, collections.Counter[str]] = {"CPU": collections.Counter(), "CUDA": collections.Counter()}
    counts: collections.Counter[str] = collections.Counter()
    for event in profile.profiler.kineto_results.events():
        kind = "CUDA" if "CUDA" in str(event.device_type()) else "CPU"
        totals[kind][event.name()] += event.duration_ns()
        counts[event.name()] += 1
    for kind, total in totals.items():
        print(f"{kind}: {sum(total.values()) / 1e6:.1f} ms, {sum(counts[name] for name in total)} events")
        for name, spent in total.most_common(40):
            print(f"  {spent / 1e6:8.2f} ms {counts[name]:6} x {name[:100]}")


if __name__ == "__main__":
    main()
