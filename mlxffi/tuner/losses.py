"""The trainer's losses: cross-entropy, and divergences from a teacher, over arrays of mlxffi.core.

The loss of a batch is a sum and a count instead of a mean, so that every target has the same weight in all batches and
processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import ArgumentError
from ..core import array, stop_gradient, where
from ..losses import (
    Head,
    cross_entropy,
    js_div_loss,
    kl_div_loss,
    linear_cross_entropy,
    linear_js_div_loss,
    linear_kl_div_loss,
)
from . import checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from .datasets.examples import Batch
    from .models.functional import Tunable

__all__ = ["CrossEntropyLoss", "DistillationLoss", "cross_entropy", "default_loss", "js_div_loss", "kl_div_loss"]


class CrossEntropyLoss:
    """The cross-entropy of a batch's targets."""

    def __call__(self, logits: array, batch: Batch) -> tuple[array, array]:
        """The loss of logits.

        Args:
          logits: floating point [batch, width - 1, vocabulary].
          batch: its weights select the targets.

        Returns:
          (sum, count): the sum of the losses, in nats, and the number of targets, each float32 [].
        """
        total = cross_entropy(logits, batch.tokens[:, 1:], weights=batch.weights, reduction="sum")
        return total, batch.weights.sum()

    def of_hidden(self, hidden: array, head: Head, batch: Batch) -> tuple[array, array]:
        """The loss of hidden states, without the logits in memory.

        Args:
          hidden: floating point [batch, width - 1, features].
          head: the output layer.
          batch: its weights select the targets.

        Returns:
          The sum of the losses, in nats, and the number of targets, each float32 [].
        """
        targets = targets_where(batch.weights, batch)
        total = linear_cross_entropy(
            hidden, head, targets, weights=batch.weights, ignore_index=NO_TARGET, reduction="sum"
        )
        return total, batch.weights.sum()


# Of positions with this target nothing is computed.
NO_TARGET = -1


def targets_where(wanted: array, batch: Batch) -> array:
    """The tokens to predict where `wanted` is not 0, and NO_TARGET elsewhere.

    Args:
      wanted: numbers [batch, width - 1].
      batch: the batch with the tokens.

    Returns:
      int32 [batch, width - 1].
    """
    return where(wanted == 0, NO_TARGET, batch.tokens[:, 1:])


default_loss = CrossEntropyLoss()

# By kind: over logits, and over hidden states.
DIVERGENCES = {"kl": (kl_div_loss, linear_kl_div_loss), "js": (js_div_loss, linear_js_div_loss)}


class DistillationLoss:
    """The divergence of a model's predictions from a teacher's, mixed with cross-entropy; the teacher gets no gradient.

    Args:
      teacher: a model with the same vocabulary.
      kind: "kl", KL(teacher || student), or "js".
      temperature: divides both logits; the divergence is multiplied by its square, so that gradients keep their size;
        above 0.
      weight: the weight of the divergence, 0..1; cross-entropy has the rest.

    Raises:
      ValueError: an option is not as above.

    Source: Hinton, Vinyals and Dean 2015, section 2.
    """

    def __init__(self, teacher: Tunable, kind: str = "kl", *, temperature: float = 1.0, weight: float = 1.0):
        if kind not in DIVERGENCES:
            raise ArgumentError(f"[DistillationLoss] kind: expected one of {', '.join(DIVERGENCES)}, got {kind!r}")
        self._teacher, (self._divergence, self._linear_divergence) = teacher, DIVERGENCES[kind]
        self._temperature = checks.positive("DistillationLoss", "temperature", temperature)
        self._weight = checks.unit("DistillationLoss", "weight", weight)

    def __call__(self, logits: array, batch: Batch) -> tuple[array, array]:
        """See `CrossEntropyLoss`."""
        teacher = self._teacher
        wanted = stop_gradient(teacher.logits(teacher.trainable(), batch.inputs, segments=batch.input_segments))
        rows = self._divergence(logits, wanted, temperature=self._temperature)
        return self._mixed(rows, batch, lambda: default_loss(logits, batch))

    def of_hidden(self, hidden: array, head: Head, batch: Batch) -> tuple[array, array] | None:
        """The loss of hidden states; None where the teacher has none; see `CrossEntropyLoss`."""
        teacher = self._teacher
        of_teacher = getattr(teacher, "hidden", None)
        found = of_teacher and of_teacher(teacher.trainable(), batch.inputs, segments=batch.input_segments)
        if found is None:
            return None
        wanted, its_head = found
        rows = self._linear_divergence(hidden, head, stop_gradient(wanted), its_head, temperature=self._temperature)
        return self._mixed(rows, batch, lambda: default_loss.of_hidden(hidden, head, batch))

    def _mixed(self, rows: array, batch: Batch, plain: Callable[[], tuple[array, array]]) -> tuple[array, array]:
        distance = self._temperature**2 * (rows * batch.weights).sum()
        if self._weight == 1:
            return distance, batch.weights.sum()
        total, count = plain()
        return self._weight * distance + (1 - self._weight) * total, count


def sums_of(found: Any) -> tuple[array, ...]:
    """What a loss gave: a sum, the number of its targets, and perhaps more sums.

    Args:
      found: what it returned.

    Returns:
      the same.

    Raises:
      ValueError: it is something else.
    """
    if not isinstance(found, (tuple, list)) or len(found) < 2 or not all(isinstance(item, array) for item in found):
        raise ArgumentError(f"loss: expected a sum and the number of targets, as arrays, got {found!r}")
    return tuple(found)
