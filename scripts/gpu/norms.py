"""Gradients of RMSNorm on the GPU against float64, with a weight that gets one and with a frozen weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlxffi
from mlxffi import fused

from .linear import apart, rounded

TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
EPS = 1e-6

Report = Callable[[str, bool], None]


def check_all(report: Report) -> None:
    """Report a line and a verdict for each dtype and shape."""
    rng = np.random.default_rng(1)
    for dtype, tolerance in TOLERANCE.items():
        for shape in ((4096, 1024), (300, 2048), (7, 5, 128), (3, 8), (5, 20)):
            errors = worst(rng, dtype, shape)
            told = " ".join(f"{name} {error:.0e}" for name, error in errors.items())
            report(f"RMSNorm {dtype:8} {shape} {told}", max(errors.values()) < tolerance)


def worst(rng: Any, dtype: str, shape: tuple[int, ...]) -> dict[str, float]:
    """Errors of the gradients, relative to the largest number of each."""
    x, rows = rounded(rng.normal(size=shape), dtype)
    w, weight = rounded(1 + rng.normal(size=shape[-1]) / 8, dtype)
    g, cotangent = rounded(rng.normal(size=shape), dtype)
    scale = 1 / np.sqrt((rows**2).mean(-1, keepdims=True) + EPS)
    plain, scaled = rows * scale, cotangent * weight
    of_x = scale * (scaled - plain * (scaled * plain).mean(-1, keepdims=True))
    of_w = (cotangent * plain).reshape(-1, shape[-1]).sum(0)
    both = mlxffi.vjp(lambda v: [fused.rms_norm(v[0], v[1], EPS)], [x, w], [g])[1]
    frozen = mlxffi.vjp(lambda v: [fused.rms_norm(v[0], w, EPS)], [x], [g])[1]
    beside = mlxffi.vjp(lambda v: [mlxffi.add(fused.rms_norm(v[0], v[1], EPS), v[0])], [x, w], [g])[1]
    frozen_beside = mlxffi.vjp(lambda v: [mlxffi.add(fused.rms_norm(v[0], w, EPS), v[0])], [x], [g])[1]
    return {
        "dx": apart(both[0], of_x),
        "dw": apart(both[1], of_w),
        "dx of a frozen weight": apart(frozen[0], of_x),
        "dx beside a sum": max(apart(found[0], of_x + cotangent) for found in (beside, frozen_beside)),
        "dw beside a sum": apart(beside[1], of_w),
    }
