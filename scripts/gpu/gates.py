"""Gated units of halves on the GPU against float64, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlxffi
from mlxffi import fused

from .linear import apart, rounded
from .norms import TOLERANCE

Report = Callable[[str, bool], None]
GELU = np.sqrt(8 / np.pi)
# By name, what the sigmoid is taken of and its slope.
UNITS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "swiglu": (fused.swiglu, lambda g: g, lambda _: 1.0),
    "geglu": (
        fused.geglu,
        lambda g: GELU * (g + 0.044715 * g**3),
        lambda g: GELU * (1 + 3 * 0.044715 * g**2),
    ),
}


def check_all(report: Report) -> None:
    """Report a line and a verdict for each unit, dtype and shape."""
    rng = np.random.default_rng(2)
    for name in UNITS:
        for dtype, tolerance in TOLERANCE.items():
            for shape in ((4096, 6144), (7, 5, 46)):
                errors = worst(rng, name, dtype, shape)
                told = " ".join(f"{part} {error:.0e}" for part, error in errors.items())
                report(f"{name} of halves {dtype:8} {shape} {told}", max(errors.values()) < tolerance)


def worst(rng: Any, name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, float]:
    """Errors of the unit and of its gradient, relative to the largest number of each."""
    unit, argument, slope = UNITS[name]
    pairs, numbers = rounded(3 * rng.normal(size=shape), dtype)
    cotangent, g = rounded(rng.normal(size=(*shape[:-1], shape[-1] // 2)), dtype)
    gate, up = np.split(numbers, 2, -1)
    share = 1 / (1 + np.exp(-argument(gate)))
    wanted = np.concatenate([g * up * (share + gate * share * (1 - share) * slope(gate)), g * gate * share], -1)
    outputs, gradients = mlxffi.vjp(lambda v: [unit(v[0])], [pairs], [cotangent])
    return {"unit": apart(outputs[0], gate * share * up), "gradient": apart(gradients[0], wanted)}
