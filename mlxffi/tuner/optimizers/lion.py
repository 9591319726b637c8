"""Lion: steps of one size in every element, along the sign of a mean of gradients."""

from __future__ import annotations

from dataclasses import dataclass

from ... import core as mx
from ...core import Dtype, array
from .. import _checks
from .base import ArrayOptimizer, LearningRate, Moments, Rule, scalars, zeros


@dataclass(frozen=True)
class Lion(ArrayOptimizer):
    """c = b1 m + (1 - b1) g; m = b2 m + (1 - b2) g; w = w (1 - learning_rate weight_decay) - learning_rate sign(c).

    Args:
      learning_rate: a number of at least 0, or a schedule; a third to a tenth of what suits AdamW.
      betas: (b1, b2), each at least 0 and below 1.
      weight_decay: at least 0; three to ten times what suits AdamW.

    Source: Chen et al. 2023, Symbolic discovery of optimization algorithms.
    """

    learning_rate: LearningRate
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", _checks.pair("Lion", "betas", self.betas, _checks.fraction))
        _checks.non_negative("Lion", "weight_decay", self.weight_decay)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "m")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        b1, b2 = self.betas
        beta_1, fresh_1, beta_2, fresh_2 = scalars(dtype, b1, 1 - b1, b2, 1 - b2)
        rate = rate.astype(dtype)
        kept = 1 - rate * self.weight_decay

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            m = moments["m"]
            direction = mx.sign(beta_1 * m + fresh_1 * g)
            w = w * kept if self.weight_decay else w
            return w - rate * direction, {"m": beta_2 * m + fresh_2 * g}

        return follow
