"""AdamW (Loshchilov and Hutter 2019) as pure functions: every step gives new lists and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import mlxffi
from mlxffi import Array

MEAN_DECAY = 0.9
SQUARE_DECAY = 0.99
WEIGHT_DECAY = 0.1
EPS = 1e-8
WARMUP = 50  # steps


def learning_rate(step: Array, highest: float) -> Array:
    """Linear warm-up, then the inverse square root of the step (Vaswani et al. 2017): it needs to know no last step,
    so that a run can be resumed for as long as one likes."""
    return highest * mlxffi.minimum(step / WARMUP, mlxffi.rsqrt(step / WARMUP))


def adamw(
    step: Array, rate: Array, parameters: Sequence[Array], gradients: Sequence[Array], moments: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    """One step; `step` counts from 1.

    Args:
      step: a float32 scalar, as is `rate`.
      parameters: as many as the gradients.
      moments: the running means of all gradients, then those of all their squares; zeros at first.

    Returns:
      (parameters, moments): what the next step takes.
    """
    count = len(parameters)
    means = [decayed(mean, gradient, MEAN_DECAY) for mean, gradient in zip(moments[:count], gradients, strict=True)]
    squares = [
        decayed(square, mlxffi.square(gradient), SQUARE_DECAY)
        for square, gradient in zip(moments[count:], gradients, strict=True)
    ]
    # Both averages start at zero; these factors undo the pull towards it.
    mean_scale = 1 / (1 - mlxffi.power(MEAN_DECAY, step))
    square_scale = 1 / (1 - mlxffi.power(SQUARE_DECAY, step))
    updated = [
        decay(parameter, rate) - rate * (mean * mean_scale) / (mlxffi.sqrt(square * square_scale) + EPS)
        for parameter, mean, square in zip(parameters, means, squares, strict=True)
    ]
    return updated, means + squares


def decayed(average: Array, value: Array, decay: float) -> Array:
    """An exponential moving average with one more value in it."""
    return decay * average + (1 - decay) * value


def decay(parameter: Array, rate: Array) -> Array:
    """Weight decay, for matrices alone: the scale of a norm has no reason to be small."""
    return parameter if parameter.ndim == 1 else parameter * (1 - rate * WEIGHT_DECAY)
