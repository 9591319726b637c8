"""The losses composed of MLX's operations: what the kernels are compared with, and what stands in for them over
somebody else's mlx-c, which has none.

Arguments mean what they mean in `mlxffi.losses`, and are not checked. Each value is where it is not because an inf was
multiplied by 0: a probability of 0 contributes 0, also to derivatives.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import _ops
from .. import dtype as dtypes

if TYPE_CHECKING:
    from ..array import Array
    from ..device import Stream

__all__ = ["cross_entropy", "js_div_loss", "kl_div_loss"]

HALVES = (dtypes.float16, dtypes.bfloat16)


class On:
    """MLX's operations, of one result, on a stream; None: the default stream."""

    def __init__(self, stream: Stream | None):
        self._stream = stream

    def __getattr__(self, name: str) -> Callable[..., Array]:
        return functools.partial(getattr(_ops, name), stream=self._stream)


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
    ops = On(stream)
    counted = _counted(ops, targets, weights, ignore_index)
    if counted is not None:
        # A row that does not count may hold anything, NaN too: it is out of the way before anything is computed.
        logits = ops.where(ops.expand_dims(counted, -1), logits, 0.0)
    losses = _cross_entropies(ops, logits, targets, label_smoothing)
    if z_loss:
        sums = ops.logsumexp_axis(widened(ops, logits), -1)
        losses = ops.add(losses, ops.multiply(ops.square(sums), z_loss))
    shares = ops.ones_like(losses)
    if weights is not None:
        shares = ops.astype(weights, losses.dtype)
        losses = ops.multiply(losses, shares)
    if counted is not None:
        losses, shares = (ops.where(counted, array, 0.0) for array in (losses, shares))
    if reduction == "mean":
        return ops.divide(ops.sum(losses), ops.sum(shares))
    return _reduced(ops, losses, reduction)


def _counted(ops: On, targets: Array, weights: Array | None, ignore_index: int | None) -> Array | None:
    """Which positions count; None where all do."""
    counted = None if ignore_index is None else ops.not_equal(targets, ignore_index)
    if weights is not None and weights.dtype.kind != "f":
        chosen = ops.astype(weights, dtypes.bool_)
        counted = chosen if counted is None else ops.logical_and(counted, chosen)
    return counted


def _cross_entropies(ops: On, logits: Array, targets: Array, smoothing: float) -> Array:
    if not logits.size:
        return ops.sum_axis(widened(ops, logits), -1)
    x = _below_zero(ops, widened(ops, logits))
    known = ops.logical_and(ops.greater_equal(targets, 0), ops.less(targets, logits.shape[-1]))
    places = ops.stop_gradient(ops.expand_dims(ops.where(known, targets, 0), -1))
    chosen = ops.squeeze_axis(ops.take_along_axis(x, places, -1), -1)
    if smoothing:
        chosen = ops.add(ops.multiply(chosen, 1 - smoothing), ops.multiply(ops.mean_axis(x, -1), smoothing))
    losses = ops.subtract(ops.logsumexp_axis(x, -1), chosen)
    return ops.where(known, losses, math.nan)


def _below_zero(ops: On, logits: Array) -> Array:
    """Logits less their maximum, which changes no loss but keeps the digits of large ones."""
    if not logits.size:
        return logits
    highest = ops.max_axis(logits, -1, True)
    return ops.subtract(logits, ops.stop_gradient(highest))


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
    ops = On(stream)
    log_q, log_p = _logarithms(ops, logits_q, logits_p, temperature, teacher_gradient)
    return _reduced(ops, _divergence(ops, log_p, log_q), reduction)


def js_div_loss(
    logits_q: Array,
    logits_p: Array,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2 over the last axis, in nats; see `kl_div_loss`."""
    ops = On(stream)
    log_q, log_p = _logarithms(ops, logits_q, logits_p, temperature, teacher_gradient)
    middle = ops.subtract(ops.logaddexp(log_q, log_p), math.log(2))
    both = ops.add(_divergence(ops, log_p, middle), _divergence(ops, log_q, middle))
    return _reduced(ops, ops.multiply(both, 0.5), reduction)


def _logarithms(
    ops: On, logits_q: Array, logits_p: Array, temperature: float, teacher_gradient: bool
) -> tuple[Array, Array]:
    """log q and log p."""
    teacher = logits_p if teacher_gradient else ops.stop_gradient(logits_p)
    return _log_softmax(ops, logits_q, temperature), _log_softmax(ops, teacher, temperature)


def _log_softmax(ops: On, logits: Array, temperature: float) -> Array:
    x = ops.divide(_below_zero(ops, widened(ops, logits)), temperature)
    if not logits.size:
        return x
    return ops.subtract(x, ops.logsumexp_axis(x, -1, True))


def _divergence(ops: On, log_a: Array, log_b: Array) -> Array:
    """sum(a (log a - log b)) over the last axis; where a is 0, neither logarithm counts."""
    a = ops.exp(log_a)
    absent = ops.equal(a, 0.0)
    logs = [ops.where(absent, 0.0, log) for log in (log_a, log_b)]
    terms = ops.multiply(a, ops.subtract(*logs))
    return ops.sum_axis(terms, -1)


# --- shared ---


def widened(ops: On, array: Array) -> Array:
    """In float32 at least: sums of half-precision numbers lose too much."""
    if array.dtype in HALVES or array.dtype.kind != "f":
        return ops.astype(array, dtypes.float32)
    return array


def _reduced(ops: On, losses: Array, reduction: str) -> Array:
    if reduction == "none":
        return losses
    return ops.mean(losses) if reduction == "mean" else ops.sum(losses)
