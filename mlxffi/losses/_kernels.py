"""The losses as kernels of libmlxc: mlxffi/losses.h."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _handles
from .._arguments import handle_of
from .._ffi import graph
from ._checks import REDUCTIONS

if TYPE_CHECKING:
    from ..array import Array
    from ..device import Stream


def cross_entropy(
    logits: Array,
    targets: Array,
    weights: Array | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    stream: Stream | None,
) -> Array:
    ignored = ignore_index or 0, ignore_index is not None
    options = *ignored, label_smoothing, REDUCTIONS[reduction], handle_of(stream)
    return _handles.own_array(graph.glue_fused_cross_entropy(logits._h, targets._h, handle_of(weights), *options))


def kl_div_loss(
    logits_q: Array, logits_p: Array, temperature: float, reduction: str, teacher_gradient: bool, stream: Stream | None
) -> Array:
    options = temperature, teacher_gradient, REDUCTIONS[reduction], handle_of(stream)
    return _handles.own_array(graph.glue_fused_kl_div_loss(logits_q._h, logits_p._h, *options))


def js_div_loss(
    logits_q: Array, logits_p: Array, temperature: float, reduction: str, teacher_gradient: bool, stream: Stream | None
) -> Array:
    options = temperature, teacher_gradient, REDUCTIONS[reduction], handle_of(stream)
    return _handles.own_array(graph.glue_fused_js_div_loss(logits_q._h, logits_p._h, *options))
