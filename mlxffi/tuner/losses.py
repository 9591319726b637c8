"""The fused losses over arrays of mlxffi.core: those of `mlxffi.losses`, whose results are arrays of its own."""

from __future__ import annotations

from ..core import array
from ..core._arguments import taken
from ..losses import cross_entropy as _cross_entropy
from ..losses import js_div_loss as _js_div_loss
from ..losses import kl_div_loss as _kl_div_loss

__all__ = ["cross_entropy", "js_div_loss", "kl_div_loss"]


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
