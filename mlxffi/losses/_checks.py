"""What arguments of losses must be: checked before anything is computed."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, SupportsIndex

from .._errors import ArgumentError

if TYPE_CHECKING:
    from ..array import Array

REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}


def require_logits(name: str, what: str, logits: Array) -> None:
    if logits.dtype.kind != "f" or not logits.ndim or not logits.shape[-1]:
        came = f"{logits.dtype.name} {list(logits.shape)}"
        raise ArgumentError(f"[{name}] {what}: expected floating point with a last axis of classes, got {came}")


def require_targets(name: str, logits: Array, targets: Array) -> None:
    if targets.dtype.kind not in "iu":
        raise ArgumentError(f"[{name}] targets: expected integers, got {targets.dtype.name}")
    if targets.shape != logits.shape[:-1]:
        shapes = f"{list(logits.shape[:-1])}, got {list(targets.shape)}"
        raise ArgumentError(f"[{name}] targets: expected the shape of logits without its last axis, {shapes}")


def require_weights(name: str, what: str, targets: Array, weights: Array) -> None:
    if weights.shape != targets.shape:
        shapes = f"{list(targets.shape)}, got {list(weights.shape)}"
        raise ArgumentError(f"[{name}] {what}: expected the shape of targets, {shapes}")
    require_real(name, what, weights)


def require_pair(name: str, logits_q: Array, logits_p: Array) -> None:
    require_logits(name, "logits_q", logits_q)
    if (logits_p.dtype, logits_p.shape) != (logits_q.dtype, logits_q.shape):
        wanted, came = (f"{array.dtype.name} {list(array.shape)}" for array in (logits_q, logits_p))
        raise ArgumentError(f"[{name}] logits_p: expected the dtype and shape of logits_q, {wanted}, got {came}")


def require_real(name: str, what: str, array: Array) -> None:
    if array.dtype.kind == "c":
        raise ArgumentError(f"[{name}] {what}: expected real numbers, got {array.dtype.name}")


def require_elements(name: str, what: str, array: Array) -> None:
    if not array.size:
        raise ArgumentError(f"[{name}] {what}: expected at least one element, got shape {list(array.shape)}")


def require_smoothing(name: str, label_smoothing: Any) -> None:
    is_number = isinstance(label_smoothing, Real)
    if not (is_number and 0 <= label_smoothing <= 1):
        raise ArgumentError(f"[{name}] label_smoothing: expected a number from 0 to 1, got {label_smoothing!r}")


def require_temperature(name: str, temperature: Any) -> None:
    is_number = isinstance(temperature, Real)
    if not (is_number and 0 < temperature < math.inf):
        raise ArgumentError(f"[{name}] temperature: expected a finite number above 0, got {temperature!r}")


def require_index(name: str, ignore_index: Any) -> None:
    is_int = isinstance(ignore_index, SupportsIndex)
    if ignore_index is not None and not (is_int and -(2**31) <= ignore_index < 2**31):
        raise ArgumentError(f"[{name}] ignore_index: expected an int of 32 bits, got {ignore_index!r}")


def require_reduction(name: str, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"[{name}] reduction: expected one of {', '.join(REDUCTIONS)}, got {reduction!r}")
