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
# More than one kernel takes.
SHAPES = ((1024, 3072), (151_936, 64), (3_000_001,), (7, 33), (1,), *((count, 8) for count in range(1, 15)))
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
        lists, numbers = _given(rng, dtypes)
        errors = _adam(lists, numbers)
        told = " ".join(f"{name} {error:.0e}" for name, error in errors.items())
        tolerance = max(ROUNDED[dtypes[0]], ROUNDED[dtypes[2]])
        report(f"Adam {'/'.join(dtypes)} {told}", max(errors.values()) < tolerance)
        report(f"Adam {'/'.join(dtypes)} not taken changes nothing", _kept(lists))
    for dtype in ROUNDED:
        lists, numbers = _given(rng, (dtype, dtype, dtype))
        found, again = (fused.sum_of_squares(lists[1]).item() for _ in range(2))
        right = sum(float((x**2).sum()) for x in numbers[1])
        error = abs(found - right) / right
        report(
            f"sum of squares {dtype:8} {error:.0e}, the same bits again: {found == again}",
            error < 1e-5 and found == again,
        )


def _given(rng: Any, dtypes: tuple[str, ...]) -> tuple[list[list[Array]], list[list[Any]]]:
    """Parameters, gradients, m and v, as arrays and as their numbers."""
    of_parameter, of_gradient, of_moments = dtypes
    values = [[rng.normal(size=shape) for shape in SHAPES] for _ in range(4)]
    values[3] = [np.abs(x) for x in values[3]]
    kinds = (of_parameter, of_gradient, of_moments, of_moments)
    pairs = [[rounded(x, kind) for x in items] for items, kind in zip(values, kinds, strict=True)]
    return [[array for array, _ in items] for items in pairs], [[x for _, x in items] for items in pairs]


def _adam(lists: list[list[Array]], numbers: list[list[Any]]) -> dict[str, float]:
    """The worst errors, relative to the largest number of each array."""
    w, g, m, v = lists
    found = fused.adam(w, g, m, v, Array(np.array(NUMBERS, np.float32)))
    worst = dict.fromkeys("wmv", 0.0)
    for place, given in enumerate(zip(*numbers, strict=True)):
        for name, made, right in zip("wmv", found, _stepped(*given), strict=True):
            worst[name] = max(worst[name], apart(made[place], right))
    return worst


def _stepped(w: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
    _, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps = NUMBERS
    m = beta_1 * m + fresh_1 * scale * g
    v = beta_2 * v + fresh_2 * (scale * g) ** 2
    return kept * w - rate * m / (correction * np.sqrt(v) + eps), m, v


def _kept(lists: list[list[Array]]) -> bool:
    w, g, m, v = lists
    found = fused.adam(w, [x * np.inf for x in g], m, v, Array(np.array((0, *NUMBERS[1:]), np.float32)))
    pairs = [pair for made, old in zip(found, (w, m, v), strict=True) for pair in zip(made, old, strict=True)]
    return all(bool(mlxffi.array_equal(one, other).item()) for one, other in pairs)
