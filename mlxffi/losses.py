"""Losses: scalar means, in float32 for half-precision inputs.

Shapes and dtypes are checked before anything is computed; a message names the argument, what was required and what
came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _ops
from . import dtype as dtypes
from ._arguments import as_array
from ._errors import ArgumentError, check
from ._ffi import ffi, graph

if TYPE_CHECKING:
    from ._arguments import ArrayLike
    from .array import Array
    from .device import Stream

__all__ = ["cross_entropy_loss", "masked_cross_entropy_loss", "mse_loss"]

HALVES = (dtypes.float16, dtypes.bfloat16)


def cross_entropy_loss(logits: ArrayLike, targets: ArrayLike, *, stream: Stream | None = None) -> Array:
    """Mean negative log-likelihood of the targets, in nats.

    Args:
      logits: floating point [..., classes], unnormalised.
      targets: integers [...], each in 0..classes-1, which is not checked.

    Returns:
      A scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape or dtype is not as above, or there are no targets.

    Source: log-sum-exp form, Goodfellow et al. 2016, section 6.2.2.3. The Go port's CrossEntropyLoss.
    """
    losses = _cross_entropies("cross_entropy_loss", as_array(logits), as_array(targets), stream)
    return _ops.mean(losses, stream=stream)


def masked_cross_entropy_loss(
    logits: ArrayLike, targets: ArrayLike, mask: ArrayLike, *, stream: Stream | None = None
) -> Array:
    """Mean negative log-likelihood of the targets that a mask selects, in nats.

    Args:
      logits: floating point [..., classes], unnormalised.
      targets: integers [...], each in 0..classes-1, which is not checked.
      mask: numbers or bool [...]: the weight of each target, 1 or true to count it and 0 or false to leave it out.

    Returns:
      A scalar, sum(loss * mask) / sum(mask): float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape or dtype is not as above, or the mask is all zeros. Only a mask whose values are known can be
        found to be: for one that is not evaluated yet or is an argument of a transform the result is NaN.

    Source: the Go port's MaskedCrossEntropyLoss.
    """
    name, weights = "masked_cross_entropy_loss", as_array(mask)
    goal = as_array(targets)
    losses = _cross_entropies(name, as_array(logits), goal, stream)
    if weights.shape != goal.shape:
        shapes = f"{list(goal.shape)}, got {list(weights.shape)}"
        raise ArgumentError(f"[{name}] mask: expected the shape of targets, {shapes}")
    _require_real(name, "mask", weights)
    _require_some(name, weights)
    weights = _ops.astype(weights, losses.dtype, stream=stream)
    total = _ops.sum(_ops.multiply(losses, weights, stream=stream), stream=stream)
    return _ops.divide(total, _ops.sum(weights, stream=stream), stream=stream)


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
    _require_real(name, "predictions", found)
    _require_real(name, "targets", goal)
    if found.shape != goal.shape:
        shapes = f"{list(found.shape)}, got {list(goal.shape)}"
        raise ArgumentError(f"[{name}] targets: expected the shape of predictions, {shapes}")
    _require_elements(name, "predictions", found)
    difference = _ops.subtract(_widened(found, stream), _widened(goal, stream), stream=stream)
    return _ops.mean(_ops.square(difference, stream=stream), stream=stream)


def _cross_entropies(name: str, logits: Array, targets: Array, stream: Stream | None) -> Array:
    """logsumexp(x) - x[target], for each target, where x is logits - max(logits)."""
    if logits.dtype.kind != "f" or not logits.ndim:
        came = f"{logits.dtype.name} {list(logits.shape)}"
        raise ArgumentError(f"[{name}] logits: expected floating point with a last axis of classes, got {came}")
    if targets.dtype.kind not in "iu":
        raise ArgumentError(f"[{name}] targets: expected integers, got {targets.dtype.name}")
    if targets.shape != logits.shape[:-1]:
        shapes = f"{list(logits.shape[:-1])}, got {list(targets.shape)}"
        raise ArgumentError(f"[{name}] targets: expected the shape of logits without its last axis, {shapes}")
    _require_elements(name, "logits", logits)
    shifted = _below_zero(_widened(logits, stream), stream)
    places = _ops.expand_dims(targets, -1, stream=stream)
    chosen = _ops.squeeze_axis(_ops.take_along_axis(shifted, places, -1, stream=stream), -1, stream=stream)
    return _ops.subtract(_ops.logsumexp_axis(shifted, -1, stream=stream), chosen, stream=stream)


def _below_zero(logits: Array, stream: Stream | None) -> Array:
    """Logits less their maximum, which changes no loss but keeps the digits of large ones."""
    highest = _ops.max_axis(logits, -1, True, stream=stream)
    return _ops.subtract(logits, _ops.stop_gradient(highest, stream=stream), stream=stream)


def _widened(array: Array, stream: Stream | None) -> Array:
    """In float32 at least: sums of half-precision numbers lose too much."""
    if array.dtype in HALVES or array.dtype.kind != "f":
        return _ops.astype(array, dtypes.float32, stream=stream)
    return array


def _require_real(name: str, what: str, array: Array) -> None:
    if array.dtype.kind == "c":
        raise ArgumentError(f"[{name}] {what}: expected real numbers, got {array.dtype.name}")


def _require_elements(name: str, what: str, array: Array) -> None:
    if not array.size:
        raise ArgumentError(f"[{name}] {what}: expected at least one element, got shape {list(array.shape)}")


def _require_some(name: str, mask: Array) -> None:
    if _is_known(mask) and not _ops.any(mask).item():
        raise ArgumentError(f"[{name}] mask: expected at least one target that counts, got all zeros")


def _is_known(array: Array) -> bool:
    """Whether an array has its values already; the stand-ins for arguments that transforms trace with have none."""
    known = ffi.new("bool *")
    check(graph.glue_array_is_available(known, array._h))
    return bool(known[0])
