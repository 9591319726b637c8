"""Rates of their own for each element, from the squares of its gradients: Adagrad, RMSprop, AdaDelta."""

from __future__ import annotations

from dataclasses import dataclass

from ... import core as mx
from ...core import Dtype, array
from .. import _checks
from .base import ArrayOptimizer, LearningRate, Moments, Rule, epsilon, scalars, zeros


@dataclass(frozen=True)
class Adagrad(ArrayOptimizer):
    """v = v + g^2; w = w - learning_rate g / (sqrt(v) + eps).

    Args:
      learning_rate: a number of at least 0, or a schedule.
      eps: above 0.

    Source: Duchi et al. 2011, Adaptive subgradient methods.
    """

    learning_rate: LearningRate
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.positive("Adagrad", "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        rate, eps = rate.astype(dtype), epsilon(dtype, self.eps)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            v = moments["v"] + mx.square(g)
            return w - rate * g / (mx.sqrt(v) + eps), {"v": v}

        return follow


@dataclass(frozen=True)
class RMSprop(ArrayOptimizer):
    """v = alpha v + (1 - alpha) g^2; w = w - learning_rate g / (sqrt(v) + eps).

    Args:
      learning_rate: a number of at least 0, or a schedule.
      alpha: at least 0 and below 1.
      eps: above 0.

    Source: Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6.5.
    """

    learning_rate: LearningRate
    alpha: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.fraction("RMSprop", "alpha", self.alpha)
        _checks.positive("RMSprop", "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        alpha, fresh = scalars(dtype, self.alpha, 1 - self.alpha)
        rate, eps = rate.astype(dtype), epsilon(dtype, self.eps)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            v = alpha * moments["v"] + fresh * mx.square(g)
            return w - rate * g / (mx.sqrt(v) + eps), {"v": v}

        return follow


@dataclass(frozen=True)
class AdaDelta(ArrayOptimizer):
    """v = rho v + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(v + eps) g; u = rho u + (1 - rho) d^2.

    And w = w - learning_rate d.

    Args:
      learning_rate: a number of at least 0, or a schedule.
      rho: at least 0 and below 1.
      eps: above 0.

    Source: Zeiler 2012, ADADELTA.
    """

    learning_rate: LearningRate
    rho: float = 0.9
    eps: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.fraction("AdaDelta", "rho", self.rho)
        _checks.positive("AdaDelta", "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v", "u")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        rho, fresh = scalars(dtype, self.rho, 1 - self.rho)
        rate, eps = rate.astype(dtype), epsilon(dtype, self.eps)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            v, u = rho * moments["v"] + fresh * mx.square(g), moments["u"]
            d = mx.sqrt(u + eps) / mx.sqrt(v + eps) * g
            return w - rate * d, {"v": v, "u": rho * u + fresh * mx.square(d)}

        return follow
