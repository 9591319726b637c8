"""Adam and its variants: a mean of the gradients, divided by a mean of their size."""

from __future__ import annotations

from dataclasses import dataclass

from ... import core as mx
from ...core import Dtype, array
from .. import checks
from .base import ArrayOptimizer, LearningRate, Moments, Rule, scalars, zeros


@dataclass(frozen=True)
class _Adam(ArrayOptimizer):
    """What Adam and AdamW share."""

    elementwise = True

    learning_rate: LearningRate
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", checks.pair(self._name, "betas", self.betas, checks.fraction))
        checks.non_negative(self._name, "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "m", "v")

    def _means(self, dtype: Dtype) -> list[array]:
        """The factors of the old mean and the new value, of both means."""
        return scalars(dtype, self.betas[0], 1 - self.betas[0], self.betas[1], 1 - self.betas[1])

    def _rule(self, step: array, rate: array, dtype: Dtype, bias_correction: bool) -> Rule:
        beta_1, fresh_1, beta_2, fresh_2 = self._means(dtype)
        rate, eps = rate.astype(dtype), mx.array(self.eps, dtype)
        scale = None
        if bias_correction:
            rate = (rate / (1 - self.betas[0] ** step)).astype(dtype)
            scale = mx.rsqrt(1 - self.betas[1] ** step).astype(dtype)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            m = beta_1 * moments["m"] + fresh_1 * g
            v = beta_2 * moments["v"] + fresh_2 * mx.square(g)
            size = mx.sqrt(v) if scale is None else mx.sqrt(v) * scale
            return w - rate * m / (size + eps), {"m": m, "v": v}

        return follow


@dataclass(frozen=True)
class Adam(_Adam):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w = w - learning_rate m / (sqrt(v) + eps).

    Args:
      learning_rate: a number of at least 0, or a schedule.
      betas: (b1, b2), each at least 0 and below 1.
      eps: at least 0.
      bias_correction: whether m is divided by 1 - b1^step and v by 1 - b2^step.

    Source: Kingma and Ba 2015, Adam, whose correction is off unless asked for, as in mlx.optimizers.
    """

    bias_correction: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.flag("Adam", "bias_correction", self.bias_correction)

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        return self._rule(step, rate, dtype, self.bias_correction)


@dataclass(frozen=True)
class AdamW(_Adam):
    """Adam on w (1 - learning_rate weight_decay): the decay bypasses the means.

    Args:
      learning_rate: a number of at least 0, or a schedule.
      betas: (b1, b2), each at least 0 and below 1.
      eps: at least 0.
      weight_decay: at least 0.
      bias_correction: as in `Adam`.

    Source: Loshchilov and Hutter 2019, Decoupled weight decay regularization.
    """

    weight_decay: float = 0.01
    bias_correction: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.non_negative("AdamW", "weight_decay", self.weight_decay)
        checks.flag("AdamW", "bias_correction", self.bias_correction)

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        adam = self._rule(step, rate, dtype, self.bias_correction)
        kept = 1 - rate.astype(dtype) * self.weight_decay
        return lambda g, w, moments: adam(g, w * kept, moments)


@dataclass(frozen=True)
class Adamax(_Adam):
    """Adam with v = max(b2 v, |g|), and w = w - learning_rate m / (v + eps).

    Args:
      learning_rate: a number of at least 0, or a schedule.
      betas: (b1, b2), each at least 0 and below 1.
      eps: at least 0.

    Source: Kingma and Ba 2015, section 7.1, without the correction of m.
    """

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        beta_1, fresh_1, beta_2, _ = self._means(dtype)
        rate, eps = rate.astype(dtype), mx.array(self.eps, dtype)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            m = beta_1 * moments["m"] + fresh_1 * g
            v = mx.maximum(beta_2 * moments["v"], mx.abs(g))
            return w - rate * m / (v + eps), {"m": m, "v": v}

        return follow
