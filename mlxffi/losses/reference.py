"""The losses composed of MLX's operations: what the kernels are compared with, and what stands in for them over
somebody else's mlx-c, which has none.

Arguments mean what they mean in `mlxffi.losses`, and are not checked. Each value is where it is not because an inf was
multiplied by 0: a probability of 0 contributes 0, also to derivatives.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .. import _ops
from .. import dtype as dtypes

if TYPE_CHECKING:
    from ..array import Array
    from ..device import Stream

__all__ = ["cross_entropy", "js_div_loss", "kl_div_loss"]

HALVES = (dtypes.float16, dtypes.bfloat16)


# --- cross-entropy ---


def cross_entropy(
    logits: Array,
    targets: Array,
    weights: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "none",
    stream: Stream | None = None,
    z_loss: float = 0.0,
) -> Array:
    """logsumexp(x) - (1 - smoothing) x[target] - smoothing mean(x) for each target, weighted and reduced, in nats.

    Args:
      logits: floating point [..., classes], unnormalised.
      targets: integers [...].
      weights: numbers or bool [...], the weight of each target; None: 1.
      ignore_index: targets with this value do not count.
      label_smoothing: 0..1.
      reduction: "none", "sum" or "mean".
      z_loss: the factor of logsumexp(x)^2, which is added.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.
    """
    counted = _counted(targets, weights, ignore_index, stream)
    if counted is not None:
        # A row that does not count may hold anything, NaN too: it is out of the way before anything is computed.
        logits = _ops.where(_ops.expand_dims(counted, -1, stream=stream), logits, 0.0, stream=stream)
    losses = _cross_entropies(logits, targets, label_smoothing, stream)
    if z_loss:
        sums = _ops.logsumexp_axis(widened(logits, stream), -1, stream=stream)
        losses = _ops.add(losses, _ops.multiply(_ops.square(sums, stream=stream), z_loss, stream=stream), stream=stream)
    shares = _ops.ones_like(losses, stream=stream)
    if weights is not None:
        shares = _ops.astype(weights, losses.dtype, stream=stream)
        losses = _ops.multiply(losses, shares, stream=stream)
    if counted is not None:
        losses, shares = (_ops.where(counted, array, 0.0, stream=stream) for array in (losses, shares))
    if reduction == "mean":
        return _ops.divide(_ops.sum(losses, stream=stream), _ops.sum(shares, stream=stream), stream=stream)
    return _reduced(losses, reduction, stream)


def _counted(targets: Array, weights: Array | None, ignore_index: int | None, stream: Stream | None) -> Array | None:
    """Which positions count; None where all do."""
    counted = None if ignore_index is None else _ops.not_equal(targets, ignore_index, stream=stream)
    if weights is not None and weights.dtype.kind != "f":
        chosen = _ops.astype(weights, dtypes.bool_, stream=stream)
        counted = chosen if counted is None else _ops.logical_and(counted, chosen, stream=stream)
    return counted


def _cross_entropies(logits: Array, targets: Array, smoothing: float, stream: Stream | None) -> Array:
    if not logits.size:
        return _ops.sum_axis(widened(logits, stream), -1, stream=stream)
    x = _below_zero(widened(logits, stream), stream)
    known = _ops.logical_and(
        _ops.greater_equal(targets, 0, stream=stream),
        _ops.less(targets, logits.shape[-1], stream=stream),
        stream=stream,
    )
    places = _ops.expand_dims(_ops.where(known, targets, 0, stream=stream), -1, stream=stream)
    places = _ops.stop_gradient(places, stream=stream)
    chosen = _ops.squeeze_axis(_ops.take_along_axis(x, places, -1, stream=stream), -1, stream=stream)
    if smoothing:
        mean = _ops.mean_axis(x, -1, stream=stream)
        parts = (chosen, 1 - smoothing), (mean, smoothing)
        chosen = _ops.add(*(_ops.multiply(part, share, stream=stream) for part, share in parts), stream=stream)
    losses = _ops.subtract(_ops.logsumexp_axis(x, -1, stream=stream), chosen, stream=stream)
    return _ops.where(known, losses, math.nan, stream=stream)


def _below_zero(logits: Array, stream: Stream | None) -> Array:
    """Logits less their maximum, which changes no loss but keeps the digits of large ones."""
    if not logits.size:
        return logits
    highest = _ops.max_axis(logits, -1, True, stream=stream)
    return _ops.subtract(logits, _ops.stop_gradient(highest, stream=stream), stream=stream)


# --- divergences ---


def kl_div_loss(
    logits_q: Array,
    logits_p: Array,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """KL(p || q) = sum(p (log p - log q)) over the last axis, in nats.

    Args:
      logits_q: floating point [..., classes], the student.
      logits_p: the same, the teacher.
      temperature: divides both.
      reduction: "none", "sum" or "mean".
      teacher_gradient: whether the teacher gets a gradient.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.
    """
    log_q, log_p = _logarithms(logits_q, logits_p, temperature, teacher_gradient, stream)
    return _reduced(_divergence(log_p, log_q, stream), reduction, stream)


def js_div_loss(
    logits_q: Array,
    logits_p: Array,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2 over the last axis, in nats; see `kl_div_loss`."""
    log_q, log_p = _logarithms(logits_q, logits_p, temperature, teacher_gradient, stream)
    middle = _ops.subtract(_ops.logaddexp(log_q, log_p, stream=stream), math.log(2), stream=stream)
    both = _ops.add(_divergence(log_p, middle, stream), _divergence(log_q, middle, stream), stream=stream)
    return _reduced(_ops.multiply(both, 0.5, stream=stream), reduction, stream)


def _logarithms(
    logits_q: Array, logits_p: Array, temperature: float, teacher_gradient: bool, stream: Stream | None
) -> tuple[Array, Array]:
    """log q and log p."""
    teacher = logits_p if teacher_gradient else _ops.stop_gradient(logits_p, stream=stream)
    return _log_softmax(logits_q, temperature, stream), _log_softmax(teacher, temperature, stream)


def _log_softmax(logits: Array, temperature: float, stream: Stream | None) -> Array:
    x = _ops.divide(_below_zero(widened(logits, stream), stream), temperature, stream=stream)
    if not logits.size:
        return x
    return _ops.subtract(x, _ops.logsumexp_axis(x, -1, True, stream=stream), stream=stream)


def _divergence(log_a: Array, log_b: Array, stream: Stream | None) -> Array:
    """sum(a (log a - log b)) over the last axis; where a is 0, neither logarithm counts."""
    a = _ops.exp(log_a, stream=stream)
    absent = _ops.equal(a, 0.0, stream=stream)
    logs = [_ops.where(absent, 0.0, log, stream=stream) for log in (log_a, log_b)]
    terms = _ops.multiply(a, _ops.subtract(*logs, stream=stream), stream=stream)
    return _ops.sum_axis(terms, -1, stream=stream)


# --- shared ---


def widened(array: Array, stream: Stream | None) -> Array:
    """In float32 at least: sums of half-precision numbers lose too much."""
    if array.dtype in HALVES or array.dtype.kind != "f":
        return _ops.astype(array, dtypes.float32, stream=stream)
    return array


def _reduced(losses: Array, reduction: str, stream: Stream | None) -> Array:
    if reduction == "none":
        return losses
    return _ops.mean(losses, stream=stream) if reduction == "mean" else _ops.sum(losses, stream=stream)
