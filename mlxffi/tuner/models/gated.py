"""Gated units of a gate and an up projection that are one array."""

from __future__ import annotations

from collections.abc import Callable

from ... import core as mx

Unit = Callable[[mx.array, mx.array], mx.array]


def gated(unit: Unit, y: mx.array) -> mx.array:
    """A gated unit whose gradient is one expression, which `mx.compile` makes one kernel of.

    MLX's own rules for its operations share values, which a GPU would write to memory, and give each half a gradient of
    its own, which would be copied.

    Args:
      unit: of gate and up, elementwise.
      y: floating point [..., 2 features]: the gate, then up.

    Returns:
      [..., features].
    """

    @mx.custom_function
    def forward(y: mx.array) -> mx.array:
        return unit(*mx.split(y, 2, axis=-1))

    @forward.vjp
    def backward(y: mx.array, cotangent: mx.array, _: mx.array) -> mx.array:
        halves = y.reshape(*y.shape[:-1], 2, -1)
        parts = halves[..., :1, :], halves[..., 1:, :], cotangent[..., None, :]
        gate, up, given = (mx.broadcast_to(part, halves.shape) for part in parts)
        of_gate, of_up = mx.vjp(unit, [gate, up], [given])[1]
        return mx.where(mx.array([[True], [False]]), of_gate, of_up).reshape(y.shape)

    found: mx.array = forward(y)
    return found
