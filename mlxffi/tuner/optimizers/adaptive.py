"""Optimizers with a rate for each element: Adagrad, RMSprop, AdaDelta, Adafactor, and Adam and its variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from ...core import Dtype, array
from ...fused import adam
from .. import checks
from .base import ArrayOptimizer, Arrays, LearningRate, Moments, Rule, RuleOfMany, Share, scalars, zeros


@dataclass(frozen=True)
class Adagrad(ArrayOptimizer):
    """v = v + g^2; w = w - learning_rate g / (sqrt(v) + eps).

    Args:
      learning_rate: a number of at least 0, or a schedule.
      eps: above 0.

    Source: Duchi et al. 2011, Adaptive subgradient methods.
    """

    elementwise = True

    learning_rate: LearningRate
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("Adagrad", "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        rate, eps = rate.astype(dtype), mx.array(self.eps, dtype)

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

    elementwise = True

    learning_rate: LearningRate
    alpha: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("RMSprop", "alpha", self.alpha)
        checks.positive("RMSprop", "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        alpha, fresh = scalars(dtype, self.alpha, 1 - self.alpha)
        rate, eps = rate.astype(dtype), mx.array(self.eps, dtype)

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

    elementwise = True

    learning_rate: LearningRate
    rho: float = 0.9
    eps: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("AdaDelta", "rho", self.rho)
        checks.positive("AdaDelta", "eps", self.eps)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v", "u")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        rho, fresh = scalars(dtype, self.rho, 1 - self.rho)
        rate, eps = rate.astype(dtype), mx.array(self.eps, dtype)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            v, u = rho * moments["v"] + fresh * mx.square(g), moments["u"]
            d = mx.sqrt(u + eps) / mx.sqrt(v + eps) * g
            return w - rate * d, {"v": v, "u": rho * u + fresh * mx.square(d)}

        return follow


# From a gradient and its moments to the gradient over the root of its mean square, and the moments.
Scaled: TypeAlias = "Callable[[array, Moments], tuple[array, Moments]]"


@dataclass(frozen=True)
class Adafactor(ArrayOptimizer):
    """Gradients over the root of their mean square, clipped by their root mean square, times a relative rate.

    The state's `learning_rate` is the rate in use, before it is multiplied with the size of each parameter.

    Args:
      learning_rate: a number of at least 0, or a schedule; of use only with `relative_step` false, which needs it.
      eps: (what is added to squared gradients, the least size of a parameter), each at least 0.
      clip_threshold: above 0, the root mean square from which updates are scaled down.
      decay_rate: at most 0; the mean of step t keeps 1 - t^decay_rate of the last one.
      beta_1: at least 0 and below 1, for a mean of the updates too; None for none.
      weight_decay: at least 0.
      scale_parameter: whether the rate is multiplied with the root mean square of the parameter.
      relative_step: whether the rate of step t is min(0.01, 1 / sqrt(t)).
      warmup_init: whether that begins as 1e-6 t instead of 0.01.

    Source: Shazeer and Stern 2018, Adafactor.
    """

    learning_rate: LearningRate | None = None
    eps: tuple[float, float] = (1e-30, 1e-3)
    clip_threshold: float = 1.0
    decay_rate: float = -0.8
    beta_1: float | None = None
    weight_decay: float = 0.0
    scale_parameter: bool = True
    relative_step: bool = True
    warmup_init: bool = False

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            super().__post_init__()
        elif not self.relative_step:
            raise ArgumentError("[Adafactor] learning_rate: expected one with relative_step=False, got None")
        eps = checks.pair("Adafactor", "eps", self.eps, checks.non_negative)
        object.__setattr__(self, "eps", eps)
        checks.positive("Adafactor", "clip_threshold", self.clip_threshold)
        checks.non_positive("Adafactor", "decay_rate", self.decay_rate)
        checks.non_negative("Adafactor", "weight_decay", self.weight_decay)
        if self.beta_1 is not None:
            checks.fraction("Adafactor", "beta_1", self.beta_1)
        for name in ("scale_parameter", "relative_step", "warmup_init"):
            checks.flag("Adafactor", name, getattr(self, name))

    def rate(self, step: array) -> array:
        if not self.relative_step:
            return super().rate(step)
        step = step + 1
        return mx.minimum(1e-6 * step if self.warmup_init else 1e-2, mx.rsqrt(step))

    def moments(self, parameter: array) -> Moments:
        means = zeros(parameter, "exp_avg") if self.beta_1 is not None else {}
        if parameter.ndim < 2:
            return means | zeros(parameter, "exp_avg_sq")
        *outer, rows, columns = parameter.shape
        return means | {
            "exp_avg_sq_row": mx.zeros([*outer, rows], parameter.dtype),
            "exp_avg_sq_col": mx.zeros([*outer, columns], parameter.dtype),
        }

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        scaled = self._scaled(step, dtype)
        one, clip, least, beta, fresh, decay = scalars(
            dtype, 1, self.clip_threshold, self.eps[1], self.beta_1 or 0, 1 - (self.beta_1 or 0), -self.weight_decay
        )
        rate = rate.astype(dtype)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            update, after = scaled(g, moments)
            own_rate = mx.maximum(least, _rms(w)) * rate if self.scale_parameter else rate
            update = own_rate * (update / mx.maximum(one, _rms(update) / clip))
            if self.beta_1 is not None:
                update = after["exp_avg"] = beta * moments["exp_avg"] + fresh * update
            return (w + w * (decay * own_rate) if self.weight_decay else w) - update, after

        return follow

    def _scaled(self, step: array, dtype: Dtype) -> Scaled:
        kept = 1 - (step**self.decay_rate).astype(dtype)
        fresh, eps = 1 - kept, mx.array(self.eps[0], dtype)

        def scaled(g: array, moments: Moments) -> tuple[array, Moments]:
            squares = mx.square(g) + eps
            if g.ndim < 2:
                mean = kept * moments["exp_avg_sq"] + fresh * squares
                return mx.rsqrt(mean) * g, {"exp_avg_sq": mean}
            rows = kept * moments["exp_avg_sq_row"] + fresh * mx.mean(squares, axis=-1)
            columns = kept * moments["exp_avg_sq_col"] + fresh * mx.mean(squares, axis=-2)
            by_row = mx.rsqrt(rows / mx.mean(rows, axis=-1, keepdims=True))
            factors = mx.expand_dims(by_row, -1) * mx.expand_dims(mx.rsqrt(columns), -2)
            return factors * g, {"exp_avg_sq_row": rows, "exp_avg_sq_col": columns}

        return scaled


def _rms(values: array) -> array:
    """The root of the mean square."""
    return mx.sqrt(mx.mean(mx.square(values)))


# --- Adam and its kin ---


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

    def _kernel(self, step: array, rate: array, share: Share, kept: array | float, bias_correction: bool) -> RuleOfMany:
        (b1, b2), correction = self.betas, mx.array(1.0)
        if bias_correction:
            rate, correction = rate / (1 - b1**step), mx.rsqrt(1 - b2**step)
        values = (share.applied, share.scale, rate, kept, b1, 1 - b1, b2, 1 - b2, correction, self.eps)
        numbers = mx.stack([mx.array(value).astype(mx.float32) for value in values])

        def follow(grads: Arrays, arrays: Arrays, moments: dict[str, Arrays]) -> tuple[Arrays, dict[str, Arrays]]:
            made, m, v = adam(arrays, grads, moments["m"], moments["v"], numbers)
            return made, {"m": m, "v": v}

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

    kernel_moments = ("m", "v")

    bias_correction: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.flag("Adam", "bias_correction", self.bias_correction)

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        return self._rule(step, rate, dtype, self.bias_correction)

    def kernel(self, step: array, rate: array, share: Share) -> RuleOfMany:
        return self._kernel(step, rate, share, 1.0, self.bias_correction)


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

    kernel_moments = ("m", "v")

    weight_decay: float = 0.01
    bias_correction: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.non_negative("AdamW", "weight_decay", self.weight_decay)
        checks.flag("AdamW", "bias_correction", self.bias_correction)

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        plain = self._rule(step, rate, dtype, self.bias_correction)
        kept = 1 - rate.astype(dtype) * self.weight_decay
        return lambda g, w, moments: plain(g, w * kept, moments)

    def kernel(self, step: array, rate: array, share: Share) -> RuleOfMany:
        return self._kernel(step, rate, share, 1 - rate * self.weight_decay, self.bias_correction)


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
