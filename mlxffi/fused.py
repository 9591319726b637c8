"""Parts of a transformer's layers, forward and backward as one kernel each on CPUs: mlxffi/fused.h, docs/fused.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _handles, _ops
from ._arguments import as_array, handle_of, in_kind, stream_of
from ._ffi import graph, plain_mlxc
from .array import Array

if TYPE_CHECKING:
    from ._arguments import ArrayLike
    from .device import Stream

# sqrt(8 / pi): (1 + tanh(z)) / 2 = sigmoid(2 z).
GELU = 1.5957691216057308

__all__ = ["attention", "geglu", "lora_linear", "rms_norm", "rope", "swiglu"]


@in_kind
def rms_norm(x: ArrayLike, weight: ArrayLike | None, eps: float, *, stream: Stream | None = None) -> Array:
    """x / sqrt(mean(x^2) + eps) along the last axis, times `weight`.

    Args:
      x: floating point [..., features].
      weight: [features], or None for 1.

    Returns:
      The dtype and shape of x, where the weight has its dtype.

    Source: Zhang and Sennrich 2019. C: mlxffi_rms_norm.
    """
    x, weight = as_array(x), _maybe(weight)
    return _handles.own_array(graph.glue_fused_rms_norm(x._h, handle_of(weight), eps, stream_of(stream)))


@in_kind
def rope(
    x: ArrayLike,
    dims: int,
    *,
    traditional: bool = False,
    base: float | None = 10000.0,
    scale: float = 1.0,
    offset: ArrayLike = 0,
    freqs: ArrayLike | None = None,
    stream: Stream | None = None,
) -> Array:
    """Pairs of the first `dims` features turned by scale * position / base^(2 i / dims) radians.

    Args:
      x: floating point [..., positions, features].
      dims: even, up to the number of features.
      traditional: neighbours are a pair, not features `dims`/2 apart.
      base: or None, where `freqs` [dims/2] stand for its powers.
      offset: the first position, an integer, or one for each element of axis 0.

    Source: Su et al. 2021. C: mlxffi_rope.
    """
    x, first, freqs = as_array(x), as_array(offset), _maybe(freqs)
    options = (dims, traditional, 0.0 if base is None else base, base is not None, scale)
    return _handles.own_array(graph.glue_fused_rope(x._h, *options, first._h, handle_of(freqs), stream_of(stream)))


@in_kind
def attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    *,
    scale: float,
    causal: bool = False,
    mask: ArrayLike | None = None,
    stream: Stream | None = None,
) -> Array:
    """softmax(scale q k^T + mask) v.

    Args:
      q: floating point [batch, heads, positions, features].
      k, v: [batch, heads, positions, features] with as many heads, or a divisor of that.
      causal: a query sees keys up to its own position; the last query sees all.
      mask: booleans (True is seen) or numbers to add, broadcast to [batch, heads, positions, positions].

    Returns:
      [batch, heads, positions, features of v].

    Source: Vaswani et al. 2017; Dao 2023 for the backward pass. C: mlxffi_attention.
    """
    q, k, v, mask = as_array(q), as_array(k), as_array(v), _maybe(mask)
    options = scale, causal, handle_of(mask), stream_of(stream)
    return _handles.own_array(graph.glue_fused_attention(q._h, k._h, v._h, *options))


@in_kind
def swiglu(gate: ArrayLike, up: ArrayLike, *, stream: Stream | None = None) -> Array:
    """silu(gate) * up, where silu(x) = x / (1 + exp(-x)).

    Args:
      gate, up: floating point, of one shape and dtype.

    Source: Shazeer 2020. C: mlxffi_swiglu.
    """
    gate, up = as_array(gate), as_array(up)
    if plain_mlxc:
        return _ops.multiply(_ops.multiply(gate, _ops.sigmoid(gate, stream=stream), stream=stream), up, stream=stream)
    return _handles.own_array(graph.glue_fused_swiglu(gate._h, up._h, stream_of(stream)))


@in_kind
def geglu(gate: ArrayLike, up: ArrayLike, *, stream: Stream | None = None) -> Array:
    """gelu(gate) * up, where gelu(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.

    Args:
      gate, up: floating point, of one shape and dtype.

    Source: Shazeer 2020. C: mlxffi_geglu.
    """
    gate, up = as_array(gate), as_array(up)
    if plain_mlxc:
        cubic = _ops.multiply(_ops.square(gate, stream=stream), GELU * 0.044715, stream=stream)
        factor = _ops.add(cubic, GELU, stream=stream)
        share = _ops.sigmoid(_ops.multiply(gate, factor, stream=stream), stream=stream)
        return _ops.multiply(_ops.multiply(gate, share, stream=stream), up, stream=stream)
    return _handles.own_array(graph.glue_fused_geglu(gate._h, up._h, stream_of(stream)))


@in_kind
def lora_linear(
    x: ArrayLike, weight: ArrayLike, a: ArrayLike, b: ArrayLike, scale: float, *, stream: Stream | None = None
) -> Array:
    """x weight^T + scale (x a) b: a linear layer with a low-rank addition.

    Args:
      x: floating point [..., in].
      weight: [out, in], of the dtype of x.
      a, b: [in, rank] and [rank, out], of the dtype of x or, beside half precision, float32.

    Source: Hu et al. 2021. C: mlxffi_lora_linear.
    """
    x, weight, a, b = as_array(x), as_array(weight), as_array(a), as_array(b)
    if plain_mlxc:
        low = _ops.multiply(_ops.matmul(x, a, stream=stream), scale, stream=stream)
        whole = _ops.matmul(x, _ops.transpose(weight, stream=stream), stream=stream)
        return _ops.astype(_ops.add(whole, _ops.matmul(low, b, stream=stream), stream=stream), x.dtype, stream=stream)
    return _handles.own_array(graph.glue_fused_lora_linear(x._h, weight._h, a._h, b._h, scale, stream_of(stream)))


def _maybe(value: ArrayLike | None) -> Array | None:
    return None if value is None else as_array(value)
