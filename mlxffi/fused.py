"""Fused layers of transformers, and steps of optimizers: mlxffi/fused.h, docs/fused.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._arguments import as_array, as_kind, handle_of, in_kind, kind_of, maybe, stream_of, text
from ._ffi import graph, plain_mlxc
from ._handles import handles, own_array, take_arrays
from .array import Array
from .losses.reference import On

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._arguments import ArrayLike
    from .device import Stream

# sqrt(8 / pi): (1 + tanh(z)) / 2 = sigmoid(2 z).
GELU = 1.5957691216057308

__all__ = [
    "adam",
    "attention",
    "geglu",
    "heads",
    "lora_linear",
    "paced",
    "rms_norm",
    "rope",
    "sum_of_squares",
    "swiglu",
]


@in_kind
def rms_norm(x: ArrayLike, weight: ArrayLike | None, eps: float, *, stream: Stream | None = None) -> Array:
    """x / sqrt(mean(x^2) + eps) along the last axis, times `weight`.

    Args:
      x: floating point [..., features].
      weight: [features], or None for 1.
      eps: added to the mean square.

    Returns:
      [..., features], in the dtype of x if the weight has it.

    Source: Zhang and Sennrich 2019. C: mlxffi_rms_norm.
    """
    x, weight = as_array(x), maybe(weight)
    norm = graph.glue_fast_rms_norm if plain_mlxc else graph.glue_mlxffi_rms_norm
    return own_array(norm(x._h, handle_of(weight), eps, stream_of(stream)))


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
    """Rotary position embedding: rotate pairs of the first `dims` features by scale * position / base^(2 i / dims)
    radians.

    Args:
      x: floating point [..., positions, features].
      dims: even, up to the number of features.
      traditional: whether neighbours form a pair, instead of features `dims`/2 apart.
      base: the base of the angles; None if `freqs` are given.
      scale: the factor of positions.
      offset: the first position, an integer, or one for each element of axis 0.
      freqs: [dims/2], used instead of the powers of `base`.

    Returns:
      The shape and dtype of x.

    Source: Su et al. 2021. C: mlxffi_rope.
    """
    x, first, freqs = as_array(x), as_array(offset), maybe(freqs)
    options = (dims, traditional, 0.0 if base is None else base, base is not None, scale)
    turn = graph.glue_fast_rope_dynamic if plain_mlxc else graph.glue_mlxffi_rope
    return own_array(turn(x._h, *options, first._h, handle_of(freqs), stream_of(stream)))


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
      k, v: [batch, key heads, positions, features]; the number of key heads divides the number of heads.
      scale: the factor of the scores.
      causal: whether a query attends only to keys up to its own position; the last query attends to all.
      mask: bool (True: attend) or numbers to add, broadcast to [batch, heads, positions, positions].

    Returns:
      [batch, heads, positions, features of v].

    Source: Vaswani et al. 2017; Dao 2023 for the backward pass. C: mlxffi_attention.
    """
    q, k, v, mask = as_array(q), as_array(k), as_array(v), maybe(mask)
    if plain_mlxc:
        options = scale, b"causal" if causal else b"", handle_of(mask), 0, stream_of(stream)
        return own_array(graph.glue_fast_scaled_dot_product_attention(q._h, k._h, v._h, *options))
    return own_array(graph.glue_mlxffi_attention(q._h, k._h, v._h, scale, causal, handle_of(mask), stream_of(stream)))


@in_kind
def swiglu(gate: ArrayLike, up: ArrayLike | None = None, *, stream: Stream | None = None) -> Array:
    """silu(gate) * up, where silu(x) = x / (1 + exp(-x)).

    Args:
      gate, up: floating point, of the same shape and dtype; without `up`, `gate` holds both as halves of its last axis,
        which has kernels for GPUs as well.

    Returns:
      The shape and dtype of the inputs, or half as many features.

    Source: Shazeer 2020. C: mlxffi_swiglu.
    """
    gate, up = as_array(gate), maybe(up)
    if plain_mlxc:
        gate, up, ops = *_halves(gate, up), On(stream)
        return ops.multiply(ops.multiply(gate, ops.sigmoid(gate)), up)
    return own_array(graph.glue_mlxffi_swiglu(gate._h, handle_of(up), stream_of(stream)))


@in_kind
def geglu(gate: ArrayLike, up: ArrayLike | None = None, *, stream: Stream | None = None) -> Array:
    """gelu(gate) * up, where gelu(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.

    Args:
      gate, up: floating point, of the same shape and dtype; without `up`, `gate` holds both as halves of its last axis,
        which has kernels for GPUs as well.

    Returns:
      The shape and dtype of the inputs, or half as many features.

    Source: Shazeer 2020. C: mlxffi_geglu.
    """
    gate, up = as_array(gate), maybe(up)
    if plain_mlxc:
        gate, up, ops = *_halves(gate, up), On(stream)
        factor = ops.add(ops.multiply(ops.square(gate), GELU * 0.044715), GELU)
        return ops.multiply(ops.multiply(gate, ops.sigmoid(ops.multiply(gate, factor))), up)
    return own_array(graph.glue_mlxffi_geglu(gate._h, handle_of(up), stream_of(stream)))


def _halves(gate: Array, up: Array | None) -> tuple[Array, Array]:
    half = gate.shape[-1] // 2
    return (gate[..., :half], gate[..., half:]) if up is None else (gate, up)


@in_kind
def lora_linear(
    x: ArrayLike,
    weight: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    scale: float,
    *,
    scales: ArrayLike | None = None,
    biases: ArrayLike | None = None,
    group_size: int = 64,
    bits: int = 4,
    mode: str = "affine",
    stream: Stream | None = None,
) -> Array:
    """x weight^T + scale (x a) b: a linear layer with a low-rank update.

    Args:
      x: floating point [..., in].
      weight: [out, in], of the dtype of x; or uint32, packed as by `quantize`, which gets no gradient.
      a, b: [in, rank] and [rank, out], of the dtype of x, or float32 if x has half precision.
      scale: the factor of the update.
      scales, biases: those of a packed weight; `biases` in mode "affine" only.
      group_size, bits, mode: how a packed weight was quantized.

    Returns:
      [..., out], in the dtype of x.

    Source: Hu et al. 2021. C: mlxffi_lora_linear, mlxffi_lora_quantized_linear.
    """
    x, weight, a, b = as_array(x), as_array(weight), as_array(a), as_array(b)
    packed, offsets = maybe(scales), maybe(biases)
    if plain_mlxc:
        ops = On(stream)
        low = ops.multiply(ops.matmul(x, a), scale)
        if packed is None:
            whole = ops.matmul(x, ops.transpose(weight))
        else:
            whole = ops.quantized_matmul(x, weight, packed, offsets, True, group_size, bits, mode)
        return ops.astype(ops.add(whole, ops.matmul(low, b)), x.dtype)
    if packed is None:
        return own_array(graph.glue_mlxffi_lora_linear(x._h, weight._h, a._h, b._h, scale, stream_of(stream)))
    handles = x._h, weight._h, packed._h, handle_of(offsets), a._h, b._h
    width, name = (group_size, True, bits, True), text(mode, "mode")
    return own_array(graph.glue_mlxffi_lora_quantized_linear(*handles, scale, *width, name, stream_of(stream)))


def heads(
    x: ArrayLike,
    cosines: ArrayLike,
    sines: ArrayLike,
    query_norm: ArrayLike | None,
    key_norm: ArrayLike | None,
    count: int,
    key_count: int,
    eps: float,
    *,
    stream: Stream | None = None,
) -> list[Any]:
    """Heads for attention out of one array: queries and keys normalized and rotated, values as they are.

    On GPUs it is one kernel forward and one backward, and one more for the gradients of norms.

    Args:
      x: floating point [..., (count + 2 key_count) D]: queries, keys, values.
      cosines: [positions, D / 2]; the rows of x follow the positions again and again.
      sines: [positions, 2, D / 2], with the sign for the first and for the second of a pair (i, i + D / 2).
      query_norm, key_norm: [D], the weights of `rms_norm` in the dtype of x, or None for no norms.
      count: how many heads of queries.
      key_count: how many of keys, and of values; 0: x has queries alone, or keys in their place.
      eps: added to the mean squares.

    Returns:
      queries [..., count, D], keys and values [..., key_count, D]; of queries alone, only these.

    Source: Su et al. 2021; Zhang and Sennrich 2019. C: mlxffi_heads.
    """
    rows, turns, norms = as_array(x), (as_array(cosines), as_array(sines)), (maybe(query_norm), maybe(key_norm))
    if plain_mlxc:
        found = _plain_heads(stream, rows, turns, norms, (count, key_count), eps)
    else:
        (cos, sin), (of_q, of_k) = map(handle_of, turns), map(handle_of, norms)
        options = count, key_count, eps, stream_of(stream)
        found = take_arrays(graph.glue_mlxffi_heads(handle_of(rows), cos, sin, of_q, of_k, *options))
    return [as_kind(kind_of(x), one) for one in found]


def _plain_heads(
    stream: Stream | None, x: Array, turns: Any, norms: Any, counts: tuple[int, int], eps: float
) -> list[Array]:
    ops, (count, key_count), (cosines, sines) = On(stream), counts, turns
    every = ops.reshape(x, (*x.shape[:-1], count + 2 * key_count, -1))
    positions, half = cosines.shape

    def turned(part: Array, norm: Array | None) -> Array:
        normed = part if norm is None else rms_norm(part, norm, eps, stream=stream)
        pairs = ops.reshape(normed, (-1, positions, part.shape[-2], 2, half))
        straight = ops.multiply(pairs, ops.reshape(cosines, (positions, 1, 1, half)))
        across = ops.multiply(pairs[..., ::-1, :], ops.reshape(sines, (positions, 1, 2, half)))
        return ops.astype(ops.reshape(ops.add(straight, across), part.shape), x.dtype)

    q, k, v = every[..., :count, :], every[..., count : count + key_count, :], every[..., count + key_count :, :]
    return [turned(q, norms[0]), turned(k, norms[1]), v] if key_count else [turned(q, norms[0])]


def paced(arrays: Sequence[ArrayLike], ahead: int, *, stream: Stream | None = None) -> list[Any]:
    """The same arrays, at which a GPU's host waits until no more than `ahead` such places are ahead of the GPU.

    MLX gives memory back when the GPU has come to its last use, so it is what is ahead that takes memory. Gradients are
    paced likewise. On a CPU nothing waits.

    Args:
      arrays: one or more, of any kind.
      ahead: how many places, at least 1.

    Returns:
      As many arrays, in the same memory.

    C: mlxffi_paced.
    """
    given = [as_array(item) for item in arrays]
    if plain_mlxc:
        return list(arrays)
    found = take_arrays(graph.glue_mlxffi_paced(handles(given), len(given), ahead, stream_of(stream)))
    return [as_kind(kind_of(item), one) for item, one in zip(arrays, found, strict=True)]


# --- optimizers ---


def adam(
    parameters: Sequence[ArrayLike],
    gradients: Sequence[ArrayLike],
    m: Sequence[ArrayLike],
    v: Sequence[ArrayLike],
    numbers: ArrayLike,
    *,
    stream: Stream | None = None,
) -> list[list[Any]]:
    """A step of Adam or AdamW, in float32 (float64 for float64) and rounded once; GPUs have one kernel for many arrays.

    With g = scale gradient: m = beta_1 m + fresh_1 g; v = beta_2 v + fresh_2 g^2; and the parameter becomes
    kept parameter - rate m / (correction sqrt(v) + eps).

    Args:
      parameters, gradients, m, v: as many floating-point arrays each; those at one place of one shape, and both moments
        of one dtype.
      numbers: [10]: whether the step is taken (where it is 0, nothing changes), scale, rate, kept, beta_1, fresh_1,
        beta_2, fresh_2, correction, eps.

    Returns:
      The new parameters, m and v, each array in its old dtype.

    Source: Kingma and Ba 2015; Loshchilov and Hutter 2019. C: mlxffi_adam.
    """
    kinds, count, step = [kind_of(item) for item in parameters], len(parameters), as_array(numbers)
    w, g, old_m, old_v = ([as_array(item) for item in items] for items in (parameters, gradients, m, v))
    if plain_mlxc:
        steps = [_plain_adam(On(stream), *given, step) for given in zip(w, g, old_m, old_v, strict=True)]
        found = [made[place] for place in range(3) for made in steps]
    else:
        moments = handles(old_m), len(old_m), handles(old_v), len(old_v)
        here = handle_of(step), stream_of(stream)
        found = take_arrays(graph.glue_mlxffi_adam(handles(w), count, handles(g), len(g), *moments, *here))
    all_of_it = [as_kind(kind, one) for kind, one in zip(kinds * 3, found, strict=True)]
    return [all_of_it[place * count : (place + 1) * count] for place in range(3)]


def _plain_adam(ops: On, w: Array, gradient: Array, m: Array, v: Array, numbers: Array) -> list[Array]:
    dtype = "float64" if w.dtype.name == "float64" else "float32"
    old, numbers = (w, m, v), ops.astype(numbers, dtype)
    w, m, v, g = (ops.astype(item, dtype) for item in (w, m, v, gradient))
    taken, scale, rate, kept, beta_1, fresh_1, beta_2, fresh_2, correction, eps = (numbers[i] for i in range(10))
    g = ops.multiply(scale, g)
    m = ops.add(ops.multiply(beta_1, m), ops.multiply(fresh_1, g))
    v = ops.add(ops.multiply(beta_2, v), ops.multiply(fresh_2, ops.square(g)))
    size = ops.add(ops.multiply(correction, ops.sqrt(v)), eps)
    w = ops.subtract(ops.multiply(kept, w), ops.multiply(rate, ops.divide(m, size)))
    made = (ops.astype(new, was.dtype) for new, was in zip((w, m, v), old, strict=True))
    return [ops.where(ops.not_equal(taken, 0), new, was) for new, was in zip(made, old, strict=True)]


def sum_of_squares(arrays: Sequence[ArrayLike], *, stream: Stream | None = None) -> Any:
    """The sum of the squares of all numbers, always in the same order; on GPUs one kernel takes many arrays.

    Args:
      arrays: floating point, of any shapes.

    Returns:
      [], float64 where one of them is, else float32.

    C: mlxffi_sum_of_squares.
    """
    given = [as_array(item) for item in arrays]
    if plain_mlxc:
        found = _plain_sum_of_squares(On(stream), given)
    else:
        found = own_array(graph.glue_mlxffi_sum_of_squares(handles(given), len(given), stream_of(stream)))
    return as_kind(kind_of(*arrays), found)


def _plain_sum_of_squares(ops: On, arrays: list[Array]) -> Array:
    total = as_array(0.0)
    for x in arrays:
        wide = x if x.dtype.name == "float64" else ops.astype(x, "float32")
        total = ops.add(total, ops.sum(ops.square(wide)))
    return total
