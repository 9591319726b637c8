"""Losses: forward and backward as one kernel each, in float32 for half-precision inputs.

Shapes and dtypes are checked before anything is computed; error messages name the argument, what was required and what
was given. `reference` has the same losses composed of MLX's operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _ops
from .._arguments import as_array, handle_of, in_kind, maybe, stream_of
from .._errors import ArgumentError
from .._ffi import graph, plain_mlxc, read
from .._handles import own_array
from ..array import Array
from . import _checks, reference
from .linear import Head as Head
from .linear import linear_cross_entropy, linear_js_div_loss, linear_kl_div_loss

if TYPE_CHECKING:
    from .._arguments import ArrayLike
    from ..device import Stream

__all__ = [
    "cross_entropy",
    "cross_entropy_loss",
    "js_div_loss",
    "kl_div_loss",
    "linear_cross_entropy",
    "linear_js_div_loss",
    "linear_kl_div_loss",
    "masked_cross_entropy_loss",
    "mse_loss",
]

# --- cross-entropy ---


@in_kind
def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "none",
    stream: Stream | None = None,
) -> Array:
    """Cross-entropy between targets, given as class indices, and the softmax of logits, in nats.

    Args:
      logits: floating point [..., classes], unnormalised.
      targets: integers [...], each in 0..classes-1; the loss of any other is NaN.
      weights: real numbers or bool [...], by which losses are multiplied; None: 1 everywhere. A position whose weight
        is false or an integer 0 does not count, whatever its logits; floating point weights can be differentiated.
      ignore_index: positions with this target do not count: their loss and gradient are 0.
      label_smoothing: 0..1, the part of each target that is spread evenly over all classes.
      reduction: "none", "sum", or "mean": of the positions that count, with weights sum(weight loss) / sum(weight).

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape, a dtype or an option is not as above.

    Source: log-sum-exp form, Goodfellow et al. 2016, section 6.2.2.3; label smoothing, Szegedy et al. 2016,
    section 7. C mlxffi_cross_entropy; docs/losses.md.
    """
    name, x, goal = "cross_entropy", as_array(logits), as_array(targets)
    factors = maybe(weights)
    _checks.require_logits(name, "logits", x)
    _checks.require_targets(name, x, goal)
    if factors is not None:
        _checks.require_weights(name, "weights", goal, factors)
    _checks.require_index(name, ignore_index)
    _checks.require_smoothing(name, label_smoothing)
    _checks.require_reduction(name, reduction)
    return _cross_entropy(x, goal, factors, ignore_index, label_smoothing, reduction, stream)


@in_kind
def cross_entropy_loss(logits: ArrayLike, targets: ArrayLike, *, stream: Stream | None = None) -> Array:
    """Mean negative log-likelihood of the targets, in nats.

    Args:
      logits: floating point [..., classes], unnormalised.
      targets: integers [...], each in 0..classes-1; any other makes the result NaN.

    Returns:
      A scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape or dtype is not as above, or there are no targets.

    Source: log-sum-exp form, Goodfellow et al. 2016, section 6.2.2.3. The Go port's CrossEntropyLoss.
    """
    x, goal = _checked("cross_entropy_loss", logits, targets)
    return _cross_entropy(x, goal, None, None, 0.0, "mean", stream)


@in_kind
def masked_cross_entropy_loss(
    logits: ArrayLike, targets: ArrayLike, mask: ArrayLike, *, stream: Stream | None = None
) -> Array:
    """Mean negative log-likelihood of the targets that a mask selects, in nats.

    Args:
      logits: floating point [..., classes], unnormalised.
      targets: integers [...], each in 0..classes-1; any other that counts makes the result NaN.
      mask: numbers or bool [...]: the weight of each target, 1 or true to count it and 0 or false to leave it out.

    Returns:
      A scalar, sum(loss * mask) / sum(mask): float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape or dtype is not as above, or the mask is all zeros. Only a mask whose values are known can be
        found to be: for one that is not evaluated yet or is an argument of a transform the result is NaN.

    Source: the Go port's MaskedCrossEntropyLoss.
    """
    name, weights = "masked_cross_entropy_loss", as_array(mask)
    x, goal = _checked(name, logits, targets)
    _checks.require_weights(name, "mask", goal, weights)
    _require_some(name, weights)
    return _cross_entropy(x, goal, weights, None, 0.0, "mean", stream)


def _cross_entropy(
    logits: Array,
    targets: Array,
    weights: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    stream: Stream | None,
) -> Array:
    if plain_mlxc:
        return reference.cross_entropy(logits, targets, weights, ignore_index, label_smoothing, reduction, stream)
    ignored = ignore_index or 0, ignore_index is not None
    options = *ignored, label_smoothing, _checks.REDUCTIONS[reduction], stream_of(stream)
    return own_array(graph.glue_mlxffi_cross_entropy(logits._h, targets._h, handle_of(weights), *options))


def _checked(name: str, logits: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
    x, goal = as_array(logits), as_array(targets)
    _checks.require_logits(name, "logits", x)
    _checks.require_targets(name, x, goal)
    _checks.require_elements(name, "logits", x)
    return x, goal


def _require_some(name: str, mask: Array) -> None:
    if _is_known(mask) and not _ops.any(mask).item():
        raise ArgumentError(f"[{name}] mask: expected at least one target that counts, got all zeros")


def _is_known(array: Array) -> bool:
    """Whether an array has its values already; the stand-ins for arguments that transforms trace with have none."""
    return bool(read("bool", graph.glue_array_is_available, array._h))


# --- divergences ---


@in_kind
def kl_div_loss(
    logits_q: ArrayLike,
    logits_p: ArrayLike,
    *,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """The Kullback-Leibler divergence KL(p || q) = sum(p (log p - log q)), in nats.

    Args:
      logits_q: floating point [..., classes], of the student: q = softmax(logits_q / temperature).
      logits_p: the same dtype and shape, of the teacher: p = softmax(logits_p / temperature).
      temperature: finite, above 0. Gradients carry its factor 1 / temperature and no other.
      reduction: "none", "sum" or "mean".
      teacher_gradient: whether `logits_p` get a gradient; without, it is 0.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape, a dtype or an option is not as above.

    Source: Kullback and Leibler 1951; distillation, Hinton et al. 2015. C mlxffi_kl_div_loss; docs/losses.md.
    """
    return _divergence("kl_div_loss", logits_q, logits_p, temperature, reduction, teacher_gradient, stream)


@in_kind
def js_div_loss(
    logits_q: ArrayLike,
    logits_p: ArrayLike,
    *,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """The Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in nats: from 0 to log 2.

    Args:
      logits_q, logits_p, temperature, reduction, teacher_gradient: as in `kl_div_loss`.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape, a dtype or an option is not as above.

    Source: Lin 1991. C mlxffi_js_div_loss; docs/losses.md.
    """
    return _divergence("js_div_loss", logits_q, logits_p, temperature, reduction, teacher_gradient, stream)


def _divergence(
    name: str,
    logits_q: ArrayLike,
    logits_p: ArrayLike,
    temperature: float,
    reduction: str,
    teacher_gradient: bool,
    stream: Stream | None,
) -> Array:
    """That of the kernel of that name; over somebody else's mlx-c, of `reference`."""
    q, p = as_array(logits_q), as_array(logits_p)
    _checks.require_pair(name, q, p)
    _checks.require_temperature(name, temperature)
    _checks.require_reduction(name, reduction)
    if plain_mlxc:
        composed: Array = getattr(reference, name)(q, p, temperature, reduction, teacher_gradient, stream)
        return composed
    options = temperature, teacher_gradient, _checks.REDUCTIONS[reduction], stream_of(stream)
    return own_array(getattr(graph, f"glue_mlxffi_{name}")(q._h, p._h, *options))


# --- mean squared error ---


@in_kind
def mse_loss(predictions: ArrayLike, targets: ArrayLike, *, stream: Stream | None = None) -> Array:
    """Mean squared difference.

    Args:
      predictions: real numbers [...].
      targets: real numbers of the same shape.

    Returns:
      A scalar: float32, or float64 where one of the two is.

    Raises:
      ValueError: the shapes differ, a dtype is complex, or there are no elements.

    Source: the Go port's MSELoss.
    """
    name, found, goal = "mse_loss", as_array(predictions), as_array(targets)
    _checks.require_real(name, "predictions", found)
    _checks.require_real(name, "targets", goal)
    if found.shape != goal.shape:
        shapes = f"{list(found.shape)}, got {list(goal.shape)}"
        raise ArgumentError(f"[{name}] targets: expected the shape of predictions, {shapes}")
    _checks.require_elements(name, "predictions", found)
    ops = reference.On(stream)
    found, goal = reference.widened(ops, found), reference.widened(ops, goal)
    return ops.mean(ops.square(ops.subtract(found, goal)))
