"""Losses over hidden states on the GPU: against float64, and what they take beside the same losses of logits."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array, losses, memory
from mlxffi.losses import Head

from . import reference

# Halves are rounded between the product and the loss, and sums of their products on the way back.
TOLERANCE = {"float32": 2e-4, "float16": 4e-3, "bfloat16": 3e-2}
REPEATS = 10

Report = Callable[[str, bool], None]
ListFunction = Callable[[list[Array]], list[Array]]


def check_all(report: Report) -> None:
    """Report a line and a verdict for each dtype and loss."""
    rng = np.random.default_rng(1)
    for dtype, tolerance in TOLERANCE.items():
        for rows, classes in ((5, 33), (300, 1000), (200, 600_000)):
            errors = worst(rng, dtype, rows, classes)
            told = " ".join(f"{name} {error:.0e}" for name, error in errors.items())
            report(f"of hidden states {dtype:8} {rows:>3} x {classes:<6} {told}", max(errors.values()) < tolerance)
    error = packed(rng)
    report(f"of hidden states, 4-bit weight: {error:.0e}", error < TOLERANCE["bfloat16"])


def rounded(values: Any, dtype: str) -> tuple[Array, Any]:
    array = mlxffi.astype(Array(np.asarray(values, np.float32)), dtype)
    return array, np.asarray(mlxffi.astype(array, "float32")).astype(np.float64)


def worst(rng: Any, dtype: str, rows: int, classes: int) -> dict[str, float]:
    """Errors of the loss and the gradients of hidden states and weight, relative to the largest number of each."""
    h, hidden = rounded(rng.normal(size=(rows, 64)), dtype)
    w, weight = rounded(rng.normal(size=(classes, 64)) / 8, dtype)
    targets = rng.integers(0, classes, rows)
    goal, cotangent = Array(targets.astype(np.int32)), Array(np.ones(rows, np.float32))
    right_values, of_x = reference.cross_entropy(hidden @ weight.T, targets, np.ones(rows))
    right = {"loss": right_values, "dh": of_x @ weight, "dw": of_x.T @ hidden}
    values, gradients = mlxffi.vjp(lambda v: [losses.linear_cross_entropy(v[0], v[1], goal)], [h, w], [cotangent])
    return {name: apart(found, right[name]) for name, found in zip(right, [*values, *gradients], strict=True)}


def packed(rng: Any) -> float:
    """The error of the gradient of hidden states for a 4-bit weight."""
    h, hidden = rounded(rng.normal(size=(200, 128)), "bfloat16")
    w, scales, biases = mlxffi.quantize(rounded(rng.normal(size=(512, 128)) / 8, "bfloat16")[0], 64, 4)
    plain = mlxffi.dequantize(w, scales, biases, 64, 4)
    weight = np.asarray(mlxffi.astype(plain, "float32")).astype(np.float64)
    targets = rng.integers(0, 512, 200)
    of_x = reference.cross_entropy(hidden @ weight.T, targets, np.ones(200))[1]
    loss = lambda v: [losses.linear_cross_entropy(v[0], Head(w, scales, biases), Array(targets.astype(np.int32)))]  # noqa: E731
    return apart(mlxffi.vjp(loss, [h], [Array(np.ones(200, np.float32))])[1][0], of_x @ weight)


def apart(found: Array, right: Any) -> float:
    return float(np.abs(np.asarray(mlxffi.astype(found, "float32")) - right).max() / np.abs(right).max())


def compare(rows: int, classes: int, width: int = 1024) -> None:
    """Milliseconds and peaks of memory of forward and backward, with and without logits in memory."""
    h = mlxffi.random.normal((rows, width), dtype="bfloat16")
    w = mlxffi.astype(mlxffi.multiply(mlxffi.random.normal((classes, width), dtype="bfloat16"), 0.03), "bfloat16")
    goal = mlxffi.random.randint(0, classes, (rows,), dtype="int32")
    mlxffi.eval(h, w, goal)

    def of_hidden(v: list[Array]) -> list[Array]:
        return [losses.linear_cross_entropy(v[0], w, goal, reduction="sum")]

    def of_logits(v: list[Array]) -> list[Array]:
        return [losses.cross_entropy(mlxffi.matmul(v[0], mlxffi.transpose(w)), goal, reduction="sum")]

    for name, loss in (("hidden states", of_hidden), ("logits", of_logits)):
        print(f"cross-entropy of {name:13} {rows} x {width} x {classes}: {told(compiled(loss), h)}", flush=True)


def compiled(loss: ListFunction) -> ListFunction:
    pair = mlxffi.value_and_grad(loss, 0)

    def step(v: list[Array]) -> list[Array]:
        values, gradients = pair.apply(*v)
        return [*values, *gradients]

    return mlxffi.compile(step)


def told(step: Callable[[list[Array]], list[Array]], h: Array) -> str:
    times = []
    for _ in range(REPEATS):
        memory.clear_cache()
        memory.reset_peak_memory()
        before, start = memory.active_memory(), time.perf_counter()
        mlxffi.eval(*step([h]))
        times.append(time.perf_counter() - start)
    return f"{1e3 * statistics.median(times):.2f} ms, peak {(memory.peak_memory() - before) / 1e9:.2f} GB"
