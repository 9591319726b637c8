"""Gated units on the GPU against float64, forward and backward, of two arrays and of halves of one."""

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
                report(f"{name} {dtype:8} {shape} {told}", max(errors.values()) < tolerance)


def worst(rng: Any, name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, float]:
    """Errors of the unit and of its gradient, relative to the largest number of each; and of those of two arrays."""
    unit, argument, slope = UNITS[name]
    pairs, numbers = rounded(3 * rng.normal(size=shape), dtype)
    cotangent, g = rounded(rng.normal(size=(*shape[:-1], shape[-1] // 2)), dtype)
    gate, up = np.split(numbers, 2, -1)
    share = 1 / (1 + np.exp(-argument(gate)))
    of_gate, of_up = g * up * (share + gate * share * (1 - share) * slope(gate)), g * gate * share
    outputs, gradients = mlxffi.vjp(lambda v: [unit(v[0])], [pairs], [cotangent])
    parts = [rounded(part, dtype)[0] for part in (gate, up)]
    apart_outputs, (to_gate, to_up) = mlxffi.vjp(lambda v: [unit(*v)], parts, [cotangent])
    return {
        "unit": apart(outputs[0], gate * share * up),
        "gradient": apart(gradients[0], np.concatenate([of_gate, of_up], -1)),
        "of two": apart(apart_outputs[0], gate * share * up),
        "its gradients": max(apart(to_gate, of_gate), apart(to_up, of_up)),
    }
