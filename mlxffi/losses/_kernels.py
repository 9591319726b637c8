"""The losses as kernels of libmlxc: mlxffi/losses.h."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _handles
from .._arguments import handle_of, stream_of
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
    options = *ignored, label_smoothing, REDUCTIONS[reduction], stream_of(stream)
    return _handles.own_array(graph.glue_fused_cross_entropy(logits._h, targets._h, handle_of(weights), *options))


def kl_div_loss(q: Array, p: Array, temperature: float, *options: Any) -> Array:
    return _handles.own_array(graph.glue_fused_kl_div_loss(q._h, p._h, temperature, *_divergence(*options)))


def js_div_loss(q: Array, p: Array, temperature: float, *options: Any) -> Array:
    return _handles.own_array(graph.glue_fused_js_div_loss(q._h, p._h, temperature, *_divergence(*options)))


def _divergence(reduction: str, teacher_gradient: bool, stream: Stream | None) -> tuple[bool, int, int]:
    return teacher_gradient, REDUCTIONS[reduction], stream_of(stream)
