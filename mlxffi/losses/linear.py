"""Losses of hidden states and an output layer, whose logits are computed a few rows at a time and never all stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._arguments import as_array, handle_of, in_kind, maybe, stream_of
from .._ffi import graph, plain_mlxc
from .._handles import own_array
from .._structs import Struct
from ..array import Array
from . import _checks, reference

if TYPE_CHECKING:
    from .._arguments import ArrayLike
    from ..device import Stream

__all__ = ["Head", "linear_cross_entropy", "linear_js_div_loss", "linear_kl_div_loss"]


@dataclass(frozen=True)
class Head:
    """An output layer: logits = hidden weight^T + bias, or soft_cap tanh(that / soft_cap).

    Args:
      weight: floating point [classes, features]; or uint32, quantized as by `quantize`, which gets no gradient.
      scales, biases: of a quantized weight; `biases` only for the mode "affine".
      bias: floating point [classes].
      group_size, bits, mode: of a quantized weight.
      soft_cap: finite, above 0; 0: none.
    """

    weight: ArrayLike
    scales: ArrayLike | None = None
    biases: ArrayLike | None = None
    bias: ArrayLike | None = None
    group_size: int = 64
    bits: int = 4
    mode: str = "affine"
    soft_cap: float = 0.0


@in_kind
def linear_cross_entropy(
    hidden: ArrayLike,
    weight: ArrayLike | Head,
    targets: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "none",
    stream: Stream | None = None,
) -> Array:
    """`cross_entropy` of the logits of an output layer.

    The gradient of `hidden` is made from the same logits as the losses where the call is being differentiated; that of
    the weight from logits that are made again.

    Args:
      hidden: floating point [..., features].
      weight: [classes, features], or a `Head`.
      targets: integers [...], each in 0..classes-1; the loss of any other is NaN.
      weights, ignore_index, label_smoothing, reduction: as in `cross_entropy`.
      z_loss: 0 or more; z_loss logsumexp(logits)^2 is added to each loss that counts.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape, a dtype or an option is not as above.

    Source: Wijmans et al. 2024 (Cut your losses in large-vocabulary language models); z-loss, Chowdhery et al. 2022,
    section 5. C mlxffi_linear_cross_entropy; docs/losses.md.
    """
    x, goal, factors = as_array(hidden), as_array(targets), maybe(weights)
    _checks.require_index("linear_cross_entropy", ignore_index)
    _checks.require_reduction("linear_cross_entropy", reduction)
    if plain_mlxc:
        logits = _logits(x, _head(weight), stream)
        return reference.cross_entropy(
            logits, goal, factors, ignore_index, label_smoothing, reduction, stream, z_loss=z_loss
        )
    own = _struct(weight)
    options = ignore_index or 0, ignore_index is not None, label_smoothing, z_loss, _checks.REDUCTIONS[reduction]
    found = graph.glue_mlxffi_linear_cross_entropy(
        x._h, own.address, goal._h, handle_of(factors), *options, stream_of(stream)
    )
    return own_array(found)


@in_kind
def linear_kl_div_loss(
    hidden_q: ArrayLike,
    weight_q: ArrayLike | Head,
    hidden_p: ArrayLike,
    weight_p: ArrayLike | Head,
    *,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """`kl_div_loss` of the logits of a student's and a teacher's output layer.

    Args:
      hidden_q, hidden_p: floating point [..., features], of one shape but for the features.
      weight_q, weight_p: [classes, features], or a `Head`, with as many classes.
      temperature, reduction, teacher_gradient: as in `kl_div_loss`.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape, a dtype or an option is not as above.

    Source: as of `kl_div_loss`. C mlxffi_linear_kl_div_loss; docs/losses.md.
    """
    options = temperature, reduction, teacher_gradient, stream
    return _divergence("kl_div_loss", hidden_q, weight_q, hidden_p, weight_p, *options)


@in_kind
def linear_js_div_loss(
    hidden_q: ArrayLike,
    weight_q: ArrayLike | Head,
    hidden_p: ArrayLike,
    weight_p: ArrayLike | Head,
    *,
    temperature: float = 1.0,
    reduction: str = "none",
    teacher_gradient: bool = False,
    stream: Stream | None = None,
) -> Array:
    """`js_div_loss` of the logits of a student's and a teacher's output layer.

    Args:
      hidden_q, hidden_p, weight_q, weight_p: as in `linear_kl_div_loss`.
      temperature, reduction, teacher_gradient: as in `js_div_loss`.

    Returns:
      [...] or a scalar: float32, or float64 for float64 logits.

    Raises:
      ValueError: a shape, a dtype or an option is not as above.

    Source: as of `js_div_loss`. C mlxffi_linear_js_div_loss; docs/losses.md.
    """
    options = temperature, reduction, teacher_gradient, stream
    return _divergence("js_div_loss", hidden_q, weight_q, hidden_p, weight_p, *options)


def _divergence(
    name: str,
    hidden_q: ArrayLike,
    weight_q: ArrayLike | Head,
    hidden_p: ArrayLike,
    weight_p: ArrayLike | Head,
    temperature: float,
    reduction: str,
    teacher_gradient: bool,
    stream: Stream | None,
) -> Array:
    _checks.require_reduction(f"linear_{name}", reduction)
    q, p = as_array(hidden_q), as_array(hidden_p)
    if plain_mlxc:
        both = _logits(q, _head(weight_q), stream), _logits(p, _head(weight_p), stream)
        composed: Array = getattr(reference, name)(*both, temperature, reduction, teacher_gradient, stream)
        return composed
    student, teacher = _struct(weight_q), _struct(weight_p)
    options = temperature, teacher_gradient, _checks.REDUCTIONS[reduction], stream_of(stream)
    glue = getattr(graph, f"glue_mlxffi_linear_{name}")
    return own_array(glue(q._h, student.address, p._h, teacher.address, *options))


def _head(weight: ArrayLike | Head) -> Head:
    return weight if isinstance(weight, Head) else Head(weight)


def _struct(weight: ArrayLike | Head) -> Struct:
    return Struct("mlxffi_head", vars(_head(weight)))


def _logits(hidden: Array, head: Head, stream: Stream | None) -> Array:
    """The logits whole: over somebody else's mlx-c, which has no such loss."""
    ops, weight = reference.On(stream), as_array(head.weight)
    if head.scales is not None:
        packing = head.group_size, head.bits, head.mode
        weight = ops.dequantize(weight, as_array(head.scales), maybe(head.biases), *packing)
    logits = ops.matmul(hidden, ops.transpose(weight))
    if head.bias is not None:
        logits = ops.add(logits, as_array(head.bias))
    if not head.soft_cap:
        return logits
    return ops.multiply(ops.tanh(ops.divide(logits, head.soft_cap)), head.soft_cap)
