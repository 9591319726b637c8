"""Heads out of one array on the GPU against float64, forward and backward, with norms and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlxffi
from mlxffi import Array, fused

from .linear import apart, rounded
from .norms import EPS, TOLERANCE

Report = Callable[[str, bool], None]
# Rows, positions, heads of queries, of keys, and features of each.
LAYOUTS = (
    *((4096, 1024, 16, 8, 128), (12, 6, 3, 1, 10), (5, 5, 2, 2, 64), (9, 3, 1, 1, 96)),
    *((4096, 1024, 16, 0, 128), (4096, 1024, 8, 0, 128), (6, 3, 3, 0, 256), (6, 3, 3, 0, 300)),  # queries alone
    *((40, 10, 12, 5, 128), (6, 3, 2, 1, 512), (6, 3, 2, 1, 514)),  # the last by MLX's operations
)


def check_all(report: Report) -> None:
    """Report a line and a verdict for each dtype, layout and whether there are norms."""
    rng = np.random.default_rng(4)
    for dtype, tolerance in TOLERANCE.items():
        for layout in LAYOUTS:
            for normed in (True, False):
                errors, same = worst(rng, dtype, layout, normed)
                told = " ".join(f"{name} {error:.0e}" for name, error in errors.items())
                kind = "normed" if normed else "plain "
                text = f"heads {dtype:8} {layout} {kind} {told}, the same bits again: {same}"
                report(text, max(errors.values()) < tolerance and same)


def worst(rng: Any, dtype: str, layout: tuple[int, ...], normed: bool) -> tuple[dict[str, float], bool]:
    """Errors, relative to the largest number of each, and whether a second run gives the same bits."""
    rows, positions, count, key_count, width = layout
    x, numbers = rounded(rng.normal(size=(rows, (count + 2 * key_count) * width)), dtype)
    kinds = 2 if key_count else 1
    given = [rounded(1 + rng.normal(size=width) / 4, dtype) if normed else (None, None) for _ in range(kinds)]
    angles = rng.normal(size=(positions, width // 2)) * 3
    cosines = np.cos(angles).astype(np.float32)
    sines = np.stack([-np.sin(angles), np.sin(angles)], 1).astype(np.float32)
    shapes = [(rows, count, width), (rows, key_count, width), (rows, key_count, width)][: 2 * kinds - 1]
    cotangents = [rounded(rng.normal(size=shape), dtype) for shape in shapes]

    def run() -> list[Array]:
        cos, sin = Array(cosines), Array(sines)

        def function(v: list[Array]) -> list[Array]:
            q_norm, k_norm = [*v[1:], None, None][:2]
            return fused.heads(v[0], cos, sin, q_norm, k_norm, count, key_count, EPS)

        weights = [weight for weight, _ in given if weight is not None]
        outputs, gradients = mlxffi.vjp(function, [x, *weights], [cotangent for cotangent, _ in cotangents])
        return [*outputs, *gradients]

    angles_of = np.tile(angles, (rows // positions, 1))
    parts = np.split(numbers.reshape(rows, -1, width), [count, count + key_count], 1)
    turned = [_turned(parts[i], given[i][1], angles_of, cotangents[i][1]) for i in range(kinds)]
    values, of_values = (parts[2:], [cotangents[2][1]]) if key_count else ([], [])
    gradient = np.concatenate([*(of_part for _, of_part, _ in turned), *of_values], 1).reshape(rows, -1)
    right = [*(part for part, _, _ in turned), *values, gradient, *(of_norm for _, _, of_norm in turned if normed)]
    found, again = run(), run()
    names = ["q", "k", "v", "gradient"] if key_count else ["q", "gradient"]
    names += ["q norm", "k norm"][:kinds] if normed else []
    errors = {name: apart(one, wanted) for name, one, wanted in zip(names, found, right, strict=True)}
    return errors, all(np.array_equal(_bits(a), _bits(b)) for a, b in zip(found, again, strict=True))


def _bits(array: Array) -> Any:
    return np.asarray(mlxffi.astype(array, "float32"))


def _turned(x: Any, weight: Any, angles: Any, cotangent: Any) -> tuple[Any, Any, Any]:
    """Heads [rows, heads, width], normalized where there is a weight and turned; the gradients of both."""
    scale = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + EPS) if weight is not None else 1
    factor = 1 if weight is None else weight
    straight = _by(cotangent, -angles)
    back = straight * factor
    share = 0 if weight is None else x * scale**2 * (back * x).mean(-1, keepdims=True)
    return _by(x * scale * factor, angles), scale * (back - share), (straight * x * scale).sum((0, 1))


def _by(x: Any, angles: Any) -> Any:
    a, b = np.split(x, 2, -1)
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.concatenate([a * c - b * s, a * s + b * c], -1)
