"""Steps of Adam and sums of squares on the GPU against float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array, fused

from .linear import apart, rounded

Report = Callable[[str, bool], None]
# One rounding of a number, of the dtype in which it is kept.
ROUNDED = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}
SHAPES = ((1024, 3072), (151_936, 64), (3_000_001,), (7, 33), (1,))
# Of parameter, gradient and moments.
DTYPES = (
    *((dtype, dtype, dtype) for dtype in ROUNDED),
    ("bfloat16", "float32", "bfloat16"),
    ("float16", "float16", "float32"),
    ("float32", "bfloat16", "float32"),
)
# Whether the step is taken, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps.
NUMBERS = (1, 0.25, 0.125, 0.99, 0.9, 0.1, 0.999, 0.001, 1.5, 1e-3)


def check_all(report: Report) -> None:
    """Report a line and a verdict for each combination of dtypes, and for each dtype's sums."""
    rng = np.random.default_rng(5)
    for dtypes in DTYPES:
        errors = [_adam(rng, dtypes, shape) for shape in SHAPES]
        told = " ".join(f"{name} {max(error[name] for error in errors):.0e}" for name in errors[0])
        tolerance = max(ROUNDED[dtypes[0]], ROUNDED[dtypes[2]])
        report(f"Adam {'/'.join(dtypes)} {told}", all(max(error.values()) < tolerance for error in errors))
        report(f"Adam {'/'.join(dtypes)} not taken changes nothing", all(_kept(rng, dtypes, shape) for shape in SHAPES))
    for dtype in ROUNDED:
        errors, same = zip(*(_squares(rng, dtype, shape) for shape in SHAPES), strict=True)
        text = f"sum of squares {dtype:8} {max(errors):.0e}, the same bits again: {all(same)}"
        report(text, max(errors) < 1e-5 and all(same))


def _given(rng: Any, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> list[tuple[Array, Any]]:
    """Parameter, gradient, m and v, each as an array and as its numbers."""
    of_parameter, of_gradient, of_moments = dtypes
    kinds = (of_parameter, of_gradient, of_moments, of_moments)
    values = [rng.normal(size=shape) for _ in kinds]
    values[3] = np.abs(values[3])
    return [rounded(x, kind) for x, kind in zip(values, kinds, strict=True)]


def _adam(rng: Any, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> dict[str, float]:
    """Errors relative to the largest number of each."""
    given = _given(rng, dtypes, shape)
    (_, w), (_, g), (_, m), (_, v) = given
    _, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps = NUMBERS
    m = beta_1 * m + fresh_1 * scale * g
    v = beta_2 * v + fresh_2 * (scale * g) ** 2
    w = kept * w - rate * m / (correction * np.sqrt(v) + eps)
    found = fused.adam(*(array for array, _ in given), Array(np.array(NUMBERS, np.float32)))
    return {name: apart(one, right) for name, one, right in zip("wmv", found, (w, m, v), strict=True)}


def _kept(rng: Any, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> bool:
    arrays = [array for array, _ in _given(rng, dtypes, shape)]
    arrays[1] = arrays[1] * np.inf
    found = fused.adam(*arrays, Array(np.array((0, *NUMBERS[1:]), np.float32)))
    old = (arrays[0], *arrays[2:])
    return all(bool(mlxffi.array_equal(one, other).item()) for one, other in zip(found, old, strict=True))


def _squares(rng: Any, dtype: str, shape: tuple[int, ...]) -> tuple[float, bool]:
    """The relative error, and whether a second run gives the same bits."""
    x, numbers = rounded(rng.normal(size=shape), dtype)
    found, again = (fused.sum_of_squares(x).item() for _ in range(2))
    right = float((numbers**2).sum())
    return abs(found - right) / right, found == again
