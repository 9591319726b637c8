"""Losses over arrays of mlxffi.core: the fused ones, those of `mlxffi.losses`, and what the trainer makes of them.

The loss of a batch is a sum with a count, no mean, so that batches and processes weigh what their targets do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import ArgumentError
from ..core import array, stop_gradient
from ..core._arguments import taken
from ..losses import cross_entropy as _cross_entropy
from ..losses import js_div_loss as _js_div_loss
from ..losses import kl_div_loss as _kl_div_loss

if TYPE_CHECKING:
    from .datasets.examples import Batch
    from .models.tunable import Tunable

__all__ = ["DistillationLoss", "cross_entropy", "default_loss", "js_div_loss", "kl_div_loss"]


def cross_entropy(
    logits: array,
    targets: array,
    *,
    weights: array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "none",
) -> array:
    """Cross-entropies of class indices, in nats; see `mlxffi.losses.cross_entropy`.

    Args:
      logits: floating point [..., classes].
      targets: integers [...].
      weights: numbers or bool [...]: the factor of each loss.
      ignore_index: targets that count as 0.
      label_smoothing: the part of the target's probability that all classes share, from 0 to 1.
      reduction: "none", "sum" or "mean".

    Returns:
      float32 (float64 for float64 logits) [...], or [] where it is reduced.
    """
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    return taken(_cross_entropy(logits, targets, weights=weights, **options))  # type: ignore[arg-type]


def kl_div_loss(
    logits_q: array,
    logits_p: array,
    *,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
) -> array:
    """KL(p || q) of a student q and a teacher p, row by row; see `mlxffi.losses.kl_div_loss`.

    Args:
      logits_q: the student's, floating point [..., classes].
      logits_p: the teacher's, of the same shape.
      temperature: both logits are divided by it; above 0.
      reduction: "none", "sum" or "mean".
      teacher_gradient: whether the teacher's logits get a gradient.

    Returns:
      float32 (float64 for float64 logits) [...], or [] where it is reduced; in nats.
    """
    options = {"temperature": temperature, "reduction": reduction, "teacher_gradient": teacher_gradient}
    return taken(_kl_div_loss(logits_q, logits_p, **options))  # type: ignore[arg-type]


def js_div_loss(
    logits_q: array,
    logits_p: array,
    *,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
) -> array:
    """The Jensen-Shannon divergence of q and p, row by row; see `mlxffi.losses.js_div_loss` and `kl_div_loss`."""
    options = {"temperature": temperature, "reduction": reduction, "teacher_gradient": teacher_gradient}
    return taken(_js_div_loss(logits_q, logits_p, **options))  # type: ignore[arg-type]


# --- of a batch ---


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
        rows = self._divergence(logits, wanted, temperature=self._temperature)
        return self._temperature**2 * (rows * batch.weights).sum()
