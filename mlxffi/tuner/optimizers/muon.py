"""Muon: momentum whose matrices are made orthogonal before each step."""

from __future__ import annotations

from dataclasses import dataclass

from ... import core as mx
from ...core import Dtype, array
from .. import _checks
from .base import ArrayOptimizer, LearningRate, Moments, Rule, scalars, zeros

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
        _checks.non_negative("Muon", "momentum", self.momentum)
        _checks.non_negative("Muon", "weight_decay", self.weight_decay)
        _checks.flag("Muon", "nesterov", self.nesterov)
        _checks.count("Muon", "ns_steps", self.ns_steps, 0)

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
