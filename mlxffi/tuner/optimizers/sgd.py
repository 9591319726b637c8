"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from ..._errors import ArgumentError
from ...core import Dtype, array
from .. import _checks
from .base import ArrayOptimizer, LearningRate, Moments, Rule, scalars, zeros


@dataclass(frozen=True)
class SGD(ArrayOptimizer):
    """Gradient descent, with momentum where that is above 0.

    With the gradient g (plus weight_decay w), v = momentum v + (1 - dampening) g and w = w - learning_rate v;
    Nesterov's form steps along g + momentum v.

    Args:
      learning_rate: a number of at least 0, or a schedule.
      momentum: at least 0.
      weight_decay: at least 0, the factor of w in the gradient.
      dampening: at least 0.
      nesterov: needs momentum, and no dampening.

    Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning.
    """

    learning_rate: LearningRate
    momentum: float = 0.0
    weight_decay: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("momentum", "weight_decay", "dampening"):
            _checks.non_negative("SGD", name, getattr(self, name))
        if _checks.flag("SGD", "nesterov", self.nesterov) and (self.momentum == 0 or self.dampening != 0):
            given = f"momentum {self.momentum} and dampening {self.dampening}"
            raise ArgumentError(f"[SGD] nesterov: expected momentum above 0 and dampening 0 with it, got {given}")

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v") if self.momentum else {}

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        momentum, decay, fresh = scalars(dtype, self.momentum, self.weight_decay, 1 - self.dampening)
        rate = rate.astype(dtype)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            if self.weight_decay:
                g = g + decay * w
            if not self.momentum:
                return w - rate * g, {}
            v = momentum * moments["v"] + (fresh * g if self.dampening else g)
            return w - rate * (g + momentum * v if self.nesterov else v), {"v": v}

        return follow
