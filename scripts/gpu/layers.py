"""Parts of layers on the GPU: values and gradients against float64, the same bits each time, other transforms against
the CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array, fused

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

# isort: split
import fused_oracle as oracle  # type: ignore[import-not-found]

# Of errors relative to the largest number; halves are rounded before and after, by products in between as well.
TOLERANCE = {"float32": 2e-5, "float16": 3e-3, "bfloat16": 2e-2}
EPS, SCALE = 1e-3, 1.5

Report = Callable[[str, bool], None]
Kernel = Callable[..., Array]


def check_all(report: Report) -> None:
    """Report a line and a verdict for each dtype and part, and for each part's other transforms."""
    for dtype, tolerance in TOLERANCE.items():
        for name, kernel, shapes, right in cases():
            errors, same = errors_of(kernel, shapes, right, dtype)
            told = " ".join(f"{error:.0e}" for error in errors)
            report(f"{name:28} {dtype:8} {told}{'' if same else ', other bits'}", max(errors) < tolerance and same)
    for name, kernel, shapes, _ in cases():
        error = max(map(apart, *(transforms(kernel, shapes, device) for device in ("gpu", "cpu"))))
        report(f"{name:28} second derivatives, jvp and vmap: {error:.0e} from the CPU's", error < 1e-4)


def cases() -> list[tuple[str, Kernel, list[tuple[int, ...]], Callable[..., list[Any]]]]:
    """Name, kernel, shapes of its inputs, and from these and a cotangent in float64 the result and gradients."""

    def norm(x: Any, w: Any, g: Any) -> list[Any]:
        return [oracle.rms_norm(x, w, EPS), *oracle.rms_norm_gradients(x, w, EPS, g)]

    def gate(kind: str) -> Callable[..., list[Any]]:
        def right(x: Any, u: Any, g: Any) -> list[Any]:
            value, slope = oracle.gate(kind, x)
            return [value * u, g * u * slope, g * value]

        return right

    def lora(x: Any, w: Any, a: Any, b: Any, g: Any) -> list[Any]:
        dx, _, da, db = oracle.lora_linear_gradients(x, w, a, b, SCALE, g)
        return [oracle.lora_linear(x, w, a, b, SCALE), dx, da, db]

    found: list[Any] = [
        ("rms_norm, heads", lambda x, w: fused.rms_norm(x, w, EPS), [(2, 50, 7, 128), (128,)], norm),
        ("rms_norm, odd width", lambda x, w: fused.rms_norm(x, w, EPS), [(9, 1037), (1037,)], norm),
        ("swiglu", fused.swiglu, [(33, 777)] * 2, gate("swiglu")),
        ("geglu", fused.geglu, [(4, 33, 96)] * 2, gate("geglu")),
    ]
    for rows, features, rank, out in ((600, 256, 8, 520), (70, 530, 3, 77), (90, 96, 24, 1024)):
        shapes = [(rows, features), (out, features), (features, rank), (rank, out)]
        found.append((f"lora_linear, rank {rank}", partial(fused.lora_linear, scale=SCALE), shapes, lora))
    shapes = [(600, 256), (77 + 520, 256), (256, 16), (16, 77 + 520)]
    found.append(("lora_linears", grouped, shapes, in_blocks))
    return found


def grouped(x: Array, w: Array, a: Array, b: Array) -> Array:
    """Two layers of 77 and 520 features and of rank 8, from their weights and factors in one array each."""
    weights, downs = mlxffi.split_sections(w, [77], 0), mlxffi.split_sections(a, [8], 1)
    ups = [mlxffi.slice(b, [8 * i, 77 * i], [8 + 8 * i, 77 + 520 * i], [1, 1]) for i in range(2)]
    return mlxffi.concatenate_axis(fused.lora_linears(x, weights, downs, ups, SCALE), 1)


def in_blocks(x: Any, w: Any, a: Any, b: Any, g: Any) -> list[Any]:
    """The same in float64: b has no numbers but where a layer's own factor stands."""
    own = np.zeros_like(b)
    own[:8, :77] = own[8:, 77:] = 1
    dx, _, da, db = oracle.lora_linear_gradients(x, w, a, b * own, SCALE, g)
    return [oracle.lora_linear(x, w, a, b * own, SCALE), dx, da, db * own]


def inputs_of(shapes: list[tuple[int, ...]], dtype: str) -> list[Array]:
    """Inputs and a cotangent; factors, the last two of four inputs, are float32."""
    rng = np.random.default_rng(1)
    made = []
    for place, shape in enumerate(shapes):
        values = rng.normal(size=shape) / (shape[-1] ** 0.5 if len(shapes) == 4 and place else 1)
        made.append(mlxffi.astype(Array(values.astype(np.float32)), "float32" if place > 1 else dtype))
    return made


def errors_of(kernel: Kernel, shapes: list[tuple[int, ...]], right: Any, dtype: str) -> tuple[list[float], bool]:
    """Errors of the result and of gradients, relative to the largest number, and whether a second run agrees."""
    inputs = inputs_of(shapes, dtype)
    trained = [place for place in range(len(inputs)) if len(inputs) == 2 or place != 1]

    def run(given: list[Array]) -> list[Array]:
        every = list(inputs)
        for place, value in zip(trained, given, strict=True):
            every[place] = value
        return [kernel(*every)]

    g = Array(np.random.default_rng(2).normal(size=run([inputs[i] for i in trained])[0].shape).astype(np.float32))
    g = mlxffi.astype(g, dtype)
    runs = [mlxffi.vjp(run, [inputs[i] for i in trained], [g]) for _ in range(2)]
    first, second = ([numbers(item) for item in (*values, *gradients)] for values, gradients in runs)
    expected = right(*(numbers(item) for item in (*inputs, g)))
    errors = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(first, expected, strict=True)]
    return errors, all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def transforms(kernel: Kernel, shapes: list[tuple[int, ...]], device: str) -> list[Array]:
    """The gradient of a gradient's square, a directional derivative, and results of a batch of two."""
    mlxffi.set_default_device(mlxffi.Device(device))
    inputs = inputs_of(shapes, "float32")

    def square(v: list[Array]) -> list[Array]:
        loss = lambda w: [mlxffi.sum(mlxffi.square(kernel(*w, *inputs[1:])))]  # noqa: E731
        return [mlxffi.sum(mlxffi.square(mlxffi.vjp(loss, v, [Array(1.0)])[1][0]))]

    second = mlxffi.vjp(square, inputs[:1], [Array(1.0)])[1]
    along = mlxffi.jvp(lambda v: [kernel(*v)], inputs, inputs)[1]
    twice = mlxffi.vmap(lambda v: [kernel(*v, *inputs[1:])])([mlxffi.stack([inputs[0], inputs[0]])])
    found = [*second, *along, *twice]
    mlxffi.eval(*found)
    mlxffi.set_default_device(mlxffi.Device("gpu"))
    return found


def apart(a: Array, b: Array) -> float:
    return float(np.abs(numbers(a) - numbers(b)).max() / np.abs(numbers(b)).max())


def numbers(array: Array) -> Any:
    return np.asarray(mlxffi.astype(array, "float32")).astype(np.float64)
