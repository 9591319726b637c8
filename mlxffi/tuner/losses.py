"""What the trainer minimizes: cross-entropy, and divergences from a teacher, over arrays of mlxffi.core.

The loss of a batch is a sum with a count, no mean, so that batches and processes weigh what their targets do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import ArgumentError
from ..core import array, stop_gradient
from ..losses import cross_entropy, js_div_loss, kl_div_loss

if TYPE_CHECKING:
    from .datasets.examples import Batch
    from .models.functional import Tunable

__all__ = ["DistillationLoss", "cross_entropy", "default_loss", "js_div_loss", "kl_div_loss"]


def default_loss(logits: array, batch: Batch) -> tuple[array, array]:
    """Cross-entropy of a batch's targets.

    Args:
      logits: floating point [batch, width - 1, vocabulary].
      batch: whose weights tell the targets.

    Returns:
      (sum, count): the sum of the losses, in nats, and the number of targets, each float32 [].
    """
    total = cross_entropy(logits, batch.tokens[:, 1:], weights=batch.weights, reduction="sum")
    return total, batch.weights.sum()


DIVERGENCES = {"kl": kl_div_loss, "js": js_div_loss}


class DistillationLoss:
    """How far a model's predictions are from those of a teacher, which gets no gradient, mixed with cross-entropy.

    Args:
      teacher: a model of the same vocabulary.
      kind: "kl", KL(teacher || student), or "js".
      temperature: both logits are divided by it, and the divergence is multiplied by its square, so that gradients
        keep their size; above 0.
      weight: of the divergence, 0..1; the rest of 1 is cross-entropy's.

    Raises:
      ValueError: an option is not as above.

    Source: Hinton, Vinyals and Dean 2015, section 2.
    """

    def __init__(self, teacher: Tunable, kind: str = "kl", *, temperature: float = 1.0, weight: float = 1.0):
        if kind not in DIVERGENCES:
            raise ArgumentError(f"kind: expected one of {', '.join(DIVERGENCES)}, got {kind!r}")
        if not 0 < temperature < float("inf"):
            raise ArgumentError(f"temperature: expected a finite number above 0, got {temperature!r}")
        if not 0 <= weight <= 1:
            raise ArgumentError(f"weight: expected a number from 0 to 1, got {weight!r}")
        self._teacher, self._divergence = teacher, DIVERGENCES[kind]
        self._temperature, self._weight = temperature, weight

    def __call__(self, logits: array, batch: Batch) -> tuple[array, array]:
        """See `default_loss`."""
        total, count = self._distance(logits, batch), batch.weights.sum()
        if self._weight == 1:
            return total, count
        return self._weight * total + (1 - self._weight) * default_loss(logits, batch)[0], count

    def _distance(self, logits: array, batch: Batch) -> array:
        segments = None if batch.segments is None else batch.segments[:, :-1]
        teacher = self._teacher
        wanted = stop_gradient(teacher.logits(teacher.trainable(), batch.tokens[:, :-1], segments=segments))
        rows: array = self._divergence(logits, wanted, temperature=self._temperature)
        return self._temperature**2 * (rows * batch.weights).sum()
