"""Gated units and low-rank linear layers over core arrays, as one kernel each on CPUs: mlxffi.fused."""

from __future__ import annotations

from .. import fused
from ..core._arguments import taken
from ..core._array import array

__all__ = ["geglu", "lora_linear", "swiglu"]


def swiglu(gate: array, up: array) -> array:
    """silu(`gate`) * `up`, of one shape and floating point dtype."""
    return taken(fused.swiglu(gate, up))


def geglu(gate: array, up: array) -> array:
    """gelu(`gate`) * `up`, by gelu's form with tanh; of one shape and floating point dtype."""
    return taken(fused.geglu(gate, up))


def lora_linear(x: array, weight: array, a: array, b: array, scale: float) -> array:
    """`x` `weight`^T + `scale` (`x` `a`) `b`, all of one floating point dtype.

    Args:
      x: [..., in]; weight: [out, in]; a: [in, rank]; b: [rank, out].
    """
    return taken(fused.lora_linear(x, weight, a, b, scale))
