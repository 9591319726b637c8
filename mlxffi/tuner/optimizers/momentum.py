"""Steps along a mean of gradients: SGD, Lion (of one size in every element), Muon (along an orthogonal matrix)."""

from __future__ import annotations

from dataclasses import dataclass

from ... import core as mx
from ..._errors import ArgumentError
from ...core import Dtype, array
from .. import checks
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

    elementwise = True

    learning_rate: LearningRate
    momentum: float = 0.0
    weight_decay: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("momentum", "weight_decay", "dampening"):
            checks.non_negative("SGD", name, getattr(self, name))
        if checks.flag("SGD", "nesterov", self.nesterov) and (self.momentum == 0 or self.dampening != 0):
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


@dataclass(frozen=True)
class Lion(ArrayOptimizer):
    """c = b1 m + (1 - b1) g; m = b2 m + (1 - b2) g; w = w (1 - learning_rate weight_decay) - learning_rate sign(c).

    Args:
      learning_rate: a number of at least 0, or a schedule; a third to a tenth of what suits AdamW.
      betas: (b1, b2), each at least 0 and below 1.
      weight_decay: at least 0; three to ten times what suits AdamW.

    Source: Chen et al. 2023, Symbolic discovery of optimization algorithms.
    """

    elementwise = True

    learning_rate: LearningRate
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", checks.pair("Lion", "betas", self.betas, checks.fraction))
        checks.non_negative("Lion", "weight_decay", self.weight_decay)

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


# The quintic a x + b x^3 + c x^5, which brings singular values near 1 in few steps (not to 1: to 0.7..1.2).
QUINTIC = (3.4445, -4.7750, 2.0315)


@dataclass(frozen=True)
class Muon(ArrayOptimizer):
    """v = momentum v + (1 - momentum) g, and a step along the orthogonal matrix that is next to it.

    Arrays of more than two axes count as matrices with all axes but the first in a row; those of fewer take the plain
    step. Embeddings, heads and vectors are better off with AdamW: see `MultiOptimizer`.

    Args:
      learning_rate: a number of at least 0, or a schedule; tall matrices get sqrt(rows / columns) times that.
      momentum: at least 0.
      weight_decay: at least 0, the factor of w in the gradient.
      nesterov: whether the step is along (1 - momentum) g + momentum v.
      ns_steps: the Newton-Schulz iterations, at least 0.

    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    """

    learning_rate: LearningRate
    momentum: float = 0.95
    weight_decay: float = 0.01
    nesterov: bool = True
    ns_steps: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.non_negative("Muon", "momentum", self.momentum)
        checks.non_negative("Muon", "weight_decay", self.weight_decay)
        checks.flag("Muon", "nesterov", self.nesterov)
        checks.count("Muon", "ns_steps", self.ns_steps, 0)

    def moments(self, parameter: array) -> Moments:
        return zeros(parameter, "v")

    def rule(self, step: array, rate: array, dtype: Dtype) -> Rule:
        momentum, fresh, decay = scalars(dtype, self.momentum, 1 - self.momentum, self.weight_decay)
        rate = rate.astype(dtype)

        def follow(g: array, w: array, moments: Moments) -> tuple[array, Moments]:
            if self.weight_decay:
                g = g + decay * w
            v = momentum * moments["v"] + fresh * g
            update = fresh * g + momentum * v if self.nesterov else v
            if w.ndim < 2:
                return w - rate * update, {"v": v}
            tall = max(1, w.shape[-2] / w.shape[-1]) ** 0.5
            return w - rate * tall * self._orthogonal(update), {"v": v}

        return follow

    def _orthogonal(self, update: array) -> array:
        """About U V^T of a matrix U S V^T, by Newton-Schulz iterations on its shorter side."""
        x = update.reshape(update.shape[0], -1) if update.ndim > 2 else update
        is_tall = x.shape[0] > x.shape[1]
        x = x.T if is_tall else x
        x = x / (mx.linalg.norm(x, keepdims=True) + 1e-7)
        a, b, c = QUINTIC
        for _ in range(self.ns_steps):
            square = x @ x.T
            polynomial = mx.addmm(b * square, square, square, alpha=c)
            x = mx.addmm(a * x, polynomial, x)
        return (x.T if is_tall else x).reshape(update.shape)
