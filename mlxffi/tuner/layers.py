"""Layers as pure functions over nodes: dense, quantized and adapted ones alike.

A node is a dict of what a layer has: `weight` [out, in] and perhaps `bias` [out]; for expert layers [experts, out, in]
and [experts, out]. In a quantized node `weight` is packed, and `scales`, `biases` (affine mode only) and
`quantization`, a `Quantization`, say how. An adapted node also has `adapters`, a tuple of dicts: the factors `lora_a`
and `lora_b`, for DoRA the magnitudes `m`, and `scaling`, a `Scaling`.

What an adapter adds depends on the weights alone, so several are independent of each other and of their order: with
D = scale * (its factors' product), LoRA changes W by D, and DoRA by g (W + D) - W, g = m / |W + D| for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from .. import core as mx
from .._errors import ArgumentError
from ..blocks import Linear
from ..fused import lora_linear
from ..losses import Head

Node: TypeAlias = "dict[str, Any]"
Kind: TypeAlias = Literal["linear", "embedding", "switch"]

# What MLX makes of a weight, in its order; float modes have no biases.
PACKED = ("weight", "scales", "biases")


@dataclass(frozen=True)
class Quantization:
    """How weights are quantized; see `mlxffi.core.quantize`.

    Args:
      group_size: how many weights beside each other share a scale.
      bits: of each weight.
      mode: "affine", "mxfp4", "mxfp8" or "nvfp4".
    """

    group_size: int = 64
    bits: int = 4
    mode: str = "affine"

    def options(self) -> dict[str, Any]:
        """The keyword arguments by which MLX's functions take it."""
        return {"group_size": self.group_size, "bits": self.bits, "mode": self.mode}


@dataclass(frozen=True)
class Scaling:
    """What goes with an adapter's factors.

    Args:
      scale: multiplies the factors' product.
      dropout: the probability, 0 <= p < 1, with which an input of the factors is dropped in training.
    """

    scale: float
    dropout: float = 0.0


# --- forward ---


def linear(node: Node, x: mx.array, *, training: bool = False) -> mx.array:
    """A linear layer: x weight^T + bias, and what the node's adapters add.

    Args:
      node: `weight` [out, in]; factors `lora_a` [in, rank], `lora_b` [rank, out], magnitudes `m` [out].
      x: floating point [..., in].
      training: whether dropout is active; it draws from `mlxffi.core.random`'s state.

    Returns:
      [..., out].
    """
    return _linear(node, x, "linear", training)


def as_linear(node: Node, x: mx.array, *, training: bool = False) -> mx.array:
    """An embedding used as the output layer: x weight^T, and what the node's adapters add.

    Args:
      node: that of an `embedding`.
      x: floating point [..., width].
      training: as in `linear`.

    Returns:
      [..., entries].
    """
    return _linear(node, x, "embedding", training)


def _linear(node: Node, x: mx.array, kind: Kind, training: bool) -> mx.array:
    adapters = node.get("adapters", ())
    if kind == "linear" and len(adapters) == 1 and _is_plain(node, adapters[0], x, training):
        only, packing = adapters[0], _packing(node)
        out: mx.array = lora_linear(x, node["weight"], only["lora_a"], only["lora_b"], _scale(only), **packing)
        return out + node["bias"] if "bias" in node else out
    shape, x = x.shape, x.reshape(-1, x.shape[-1])  # one axis of rows: gradients of factors are no sums over a batch
    out = y = _product(node, x)
    for adapter in adapters:
        # Factors, which are small, become what activations are, not the other way round; so does the scale.
        down, up = factors(adapter, kind)
        down, up = down.astype(y.dtype), (_scale(adapter) * up).astype(y.dtype)
        hidden = _dropped(x, adapter, training) @ down
        if "m" in adapter:
            change = _rescaled(y, hidden @ up, gain(dense_weight(node), adapter, kind))
            out = out + change.astype(y.dtype)
        else:
            out = mx.addmm(out, hidden, up)
    out = out + node["bias"] if "bias" in node else out
    return out.reshape(*shape[:-1], out.shape[-1])


def head(node: Node) -> Head | None:
    """An output layer as losses that need no logits take it; None for one with adapters."""
    if node.get("adapters"):
        return None
    if not is_quantized(node):
        return Head(node["weight"], bias=node.get("bias"))
    scheme = quantization_of(node)
    packed = node["weight"], node["scales"], node.get("biases")
    return Head(*packed, node.get("bias"), scheme.group_size, scheme.bits, scheme.mode)


def embedding(node: Node, ids: mx.array, *, training: bool = False) -> mx.array:
    """The rows of a table.

    Args:
      node: `weight` [entries, width]; factors `lora_a` [entries, rank], `lora_b` [rank, width], magnitudes `m`
        [entries].
      ids: integers [...].
      training: as in `linear`; what is dropped are values of the factors' product.

    Returns:
      [..., width].
    """
    y = _rows(node, ids)
    out = y
    for adapter in node.get("adapters", ()):
        z = _scale(adapter) * (adapter["lora_a"][ids] @ adapter["lora_b"])
        change = _dropped(z, adapter, training)
        if "m" in adapter:
            change = _rescaled(y, change, _ratio(adapter["m"][ids], y + z)[..., None])
        out = out + change.astype(y.dtype)
    return out


def switch_linear(
    node: Node, x: mx.array, indices: mx.array, *, sorted_indices: bool = False, training: bool = False
) -> mx.array:
    """Linear layers of several experts, of which indices choose one for each matrix of `x`.

    Args:
      node: `weight` [experts, out, in]; factors `lora_a` [experts, rank, in], `lora_b` [experts, out, rank],
        magnitudes `m` [experts, out].
      x: floating point [..., rows, in]; the leading axes broadcast against those of `indices`.
      indices: integers [...], each in 0..experts-1.
      sorted_indices: whether they ascend, which MLX makes use of.
      training: as in `linear`.

    Returns:
      [..., rows, out].
    """

    def chosen(x: mx.array, weight: mx.array) -> mx.array:
        return chosen_product(x, weight, indices, sorted_indices)

    if is_quantized(node):
        packed = (node["weight"], node["scales"], node.get("biases"))
        options = quantization_of(node).options()
        y = mx.gather_qmm(x, *packed, rhs_indices=indices, sorted_indices=sorted_indices, **options)
    else:
        y = chosen(x, node["weight"].swapaxes(-1, -2))
    out = y
    for adapter in node.get("adapters", ()):
        down, up = factors(adapter, "switch")
        change = _scale(adapter) * chosen(chosen(_dropped(x, adapter, training), down), up)
        if "m" in adapter:
            gains = gain(dense_weight(node), adapter, "switch")[indices]
            change = _rescaled(y, change, mx.expand_dims(gains, -2))
        out = out + change.astype(y.dtype)
    return out + mx.expand_dims(node["bias"][indices], -2) if "bias" in node else out


def _is_plain(node: Node, adapter: Node, x: mx.array, training: bool) -> bool:
    """Whether one kernel has this layer: LoRA beside a weight of the dtype of x, without dropout."""
    if "m" in adapter or (training and adapter["scaling"].dropout):
        return False
    # Packed weights of a GPU are unpacked for many rows.
    weight = node["scales"] if is_quantized(node) and on_cpu() else node["weight"]
    factors = {adapter["lora_a"].dtype, adapter["lora_b"].dtype}
    wide = factors == {mx.float32} and x.dtype in HALF
    return bool(x.dtype == weight.dtype and (wide or factors == {x.dtype}))


def _packing(node: Node) -> dict[str, Any]:
    """How the weight of a node is packed, as kernels take it; {} where it is not."""
    if not is_quantized(node):
        return {}
    packed = {"scales": node["scales"], "biases": node.get("biases")}
    return {**packed, **quantization_of(node).options()}


def operand(node: Node) -> Linear | None:
    """A linear layer as a `DecoderBlock` takes it; None where that has none of its kind."""
    adapters = node.get("adapters", ())
    if len(adapters) > 1 or any("m" in adapter for adapter in adapters):
        return None
    parts: dict[str, Any] = {"bias": node.get("bias"), **_packing(node)}
    if adapters:
        parts |= {"a": adapters[0]["lora_a"], "b": adapters[0]["lora_b"], "scale": _scale(adapters[0])}
    return Linear(node["weight"], **parts)


def _product(node: Node, x: mx.array) -> mx.array:
    if not is_quantized(node):
        found: mx.array = x @ node["weight"].swapaxes(-1, -2)
        return found
    return packed_product(x, node["weight"], node["scales"], node.get("biases"), quantization_of(node).options())


def _rows(node: Node, ids: mx.array) -> mx.array:
    if not is_quantized(node):
        weight: mx.array = node["weight"]
        return weight[ids]
    packed = {key: node[key][ids] for key in PACKED if node.get(key) is not None}
    return dense_weight({**packed, "quantization": quantization_of(node)})


def _dropped(x: mx.array, adapter: Node, training: bool) -> mx.array:
    rate = adapter["scaling"].dropout
    if not training or rate == 0:
        return x
    kept = mx.random.bernoulli(1 - rate, x.shape)
    return mx.where(kept, x * (1 / (1 - rate)), mx.array(0, x.dtype))


# --- what adapters change ---


def factors(adapter: Node, kind: Kind) -> tuple[mx.array, mx.array]:
    """An adapter's factors as its layer multiplies its input by them.

    Args:
      adapter: `lora_a` and `lora_b`.
      kind: of the layer.

    Returns:
      down [..., in, rank], up [..., rank, out].
    """
    a, b = adapter["lora_a"], adapter["lora_b"]
    if kind == "linear":
        return a, b
    a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
    return (b, a) if kind == "embedding" else (a, b)


def update(adapter: Node, kind: Kind) -> mx.array:
    """What LoRA adds to a weight: scale * (the factors' product), [..., out, in]."""
    down, up = factors(adapter, kind)
    return (_scale(adapter) * up.swapaxes(-1, -2)) @ down.swapaxes(-1, -2)


def gain(weight: mx.array, adapter: Node, kind: Kind) -> mx.array:
    """By what DoRA multiplies each row of an updated weight: its magnitude by the row's norm, [..., out].

    The norm gets no gradient.

    Source: Liu et al. 2024 (DoRA), sections 4.1 and 4.3.
    """
    return _ratio(adapter["m"], weight + update(adapter, kind))


def adapted_weight(node: Node, kind: Kind) -> mx.array:
    """A node's weight, unpacked, with what its adapters change; in the dtype of the weight."""
    weight = dense_weight(node)
    changed = weight.astype(mx.float32)
    for adapter in node.get("adapters", ()):
        change = update(adapter, kind)
        if "m" in adapter:
            change = _rescaled(weight, change, gain(weight, adapter, kind)[..., None])
        changed = changed + change
    return changed.astype(weight.dtype)


def without_adapter(node: Node, adapter: Node, kind: Kind, gains: mx.array | None = None) -> mx.array:
    """A node's weight, unpacked, as it was before an adapter was fused into it, but for rounding.

    Args:
      node: with the fused weight.
      adapter: was fused into it; one with magnitudes as the only one.
      kind: of the layer.
      gains: for an adapter with magnitudes, what `gain` gave for the weight without it: [..., out].
    """
    weight = dense_weight(node)
    if gains is None:
        return (weight.astype(mx.float32) - update(adapter, kind)).astype(weight.dtype)
    return (weight.astype(mx.float32) / gains[..., None] - update(adapter, kind)).astype(weight.dtype)


class Survival(NamedTuple):
    """What is left of adapters in weights that were quantized again: sums of products over all of them.

    Args:
      kept: of what has changed with what was to change.
      whole: of what was to change with itself.
      error: of the difference between the two with itself.
    """

    kept: float
    whole: float
    error: float

    def __str__(self) -> str:
        share, error = self.kept / (self.whole or 1), (self.error / (self.whole or 1)) ** 0.5
        return f"{share:.0%} of what the adapter changes is left, beside an error of {error:.2f} times its size"


def surviving(
    adapted: Iterable[tuple[Node, Kind]], rounded: Callable[[mx.array], mx.array] | None = None
) -> Survival | None:
    """What is left of adapters that are fused into weights which are quantized then; None without such.

    Args:
      adapted: nodes and their kinds.
      rounded: what a fused weight comes to; None where quantized nodes are quantized again as they were.
    """
    sums = [0.0, 0.0, 0.0]
    lossy = [(node, kind) for node, kind in adapted if node.get("adapters") and (rounded or is_quantized(node))]
    for node, kind in lossy:
        weight, wanted = dense_weight(node).astype(mx.float32), adapted_weight(node, kind)
        found = rounded(wanted) if rounded else dense_weight(requantized(node, wanted)).astype(mx.float32)
        change = wanted.astype(mx.float32) - weight
        products = ((found - weight) * change).sum(), change.square().sum(), (found - weight - change).square().sum()
        sums = [before + product.item() for before, product in zip(sums, products, strict=True)]
    return Survival(*sums) if lossy else None


def row_norms(weight: mx.array) -> mx.array:
    """The 2-norms of a weight's rows: float32 [..., out]."""
    return mx.linalg.norm(weight.astype(mx.float32), axis=-1)


def _ratio(magnitudes: mx.array, rows: mx.array) -> mx.array:
    norms = mx.stop_gradient(row_norms(rows))
    # A row of zeros (tables are padded with them) stays one.
    return magnitudes / mx.where(norms == 0, 1, norms)


def _rescaled(y: mx.array, z: mx.array, gains: mx.array) -> mx.array:
    """By what y differs from gains (y + z); as a sum, which in half precision keeps what is left of small gains."""
    return (gains - 1) * y + gains * z


def _scale(adapter: Node) -> float:
    scale: float = adapter["scaling"].scale
    return scale


# --- weights ---


def is_quantized(node: Mapping[str, Any]) -> bool:
    """Whether a node's weight is packed."""
    return "scales" in node


def quantization_of(node: Mapping[str, Any]) -> Quantization:
    """How a node's weight is quantized.

    Raises:
      ValueError: the node does not say.
    """
    found = node.get("quantization")
    if not isinstance(found, Quantization):
        raise ArgumentError(f"[quantization] a node with scales needs a Quantization; got {type(found).__name__}")
    return found


def dims(node: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of a node's weight as it is when it is not packed: [..., out, in]."""
    shape: tuple[int, ...] = node["weight"].shape
    if not is_quantized(node):
        return shape
    return (*shape[:-1], shape[-1] * 32 // quantization_of(node).bits)


def dense_weight(node: Node) -> mx.array:
    """A node's weight, unpacked if it is quantized: [..., out, in]."""
    if not is_quantized(node):
        weight: mx.array = node["weight"]
        return weight
    return mx.dequantize(node["weight"], node["scales"], node.get("biases"), **quantization_of(node).options())


def dequantized(node: Node) -> Node:
    """A node with its weight unpacked."""
    if not is_quantized(node):
        return node
    rest = {key: value for key, value in node.items() if key not in (*PACKED, "quantization")}
    return {**rest, "weight": dense_weight(node)}


def quantized(node: Node, quantization: Quantization) -> Node:
    """A node with its weight quantized.

    Args:
      node: a dense one, or one that is quantized already, perhaps in another way.
      quantization: how.

    Raises:
      ValueError: the width is no multiple of the group size, or MLX knows no such scheme.
    """
    packed = mx.quantize(dense_weight(node), **quantization.options())
    return {**dequantized(node), **dict(zip(PACKED, packed, strict=False)), "quantization": quantization}


def requantized(node: Node, weight: mx.array) -> Node:
    """A node with another weight, which is quantized as the node's own is, if that is.

    Args:
      node: a dense or quantized one.
      weight: floating point [..., out, in], not packed.
    """
    dense = {**dequantized(node), "weight": weight}
    return quantized(dense, quantization_of(node)) if is_quantized(node) else dense


# --- products with weights, by the fastest way that the device has ---


HALF = (mx.float16, mx.bfloat16)
# From how many rows on a GPU unpacks a weight to multiply by it.
MANY_ROWS = 128


def packed_product(
    x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array | None, options: dict[str, Any]
) -> mx.array:
    """x weight^T for a quantized weight, in the dtype in which MLX computes it.

    Args:
      x: [..., in].
      weight: packed, [out, ...].
      scales: of its groups.
      biases: of its groups, in affine mode.
      options: group size, bits and mode as MLX takes them.

    Returns:
      [..., out].
    """
    # Packed weights get no gradient, also where they are arguments of a checkpoint.
    offsets = None if biases is None else mx.stop_gradient(biases)
    packed = mx.stop_gradient(weight), mx.stop_gradient(scales), offsets
    if on_cpu() or x.size < MANY_ROWS * x.shape[-1]:
        return mx.quantized_matmul(x, *packed, **options)
    parts = [item for item in packed if item is not None]

    # MLX's products of packed weights on GPUs are made for few rows. Unpacked weights are not kept for the gradient:
    # since they depend on x, compile does not take those of the forward pass for it.
    def product(x: mx.array) -> mx.array:
        again = mx.depends(parts, [x])[: len(parts)]
        found: mx.array = x @ mx.dequantize(*again, **options).astype(x.dtype).swapaxes(-1, -2)
        return found

    found: mx.array = mx.checkpoint(product)(x)
    return found


def chosen_product(x: mx.array, weight: mx.array, indices: mx.array, sorted_indices: bool) -> mx.array:
    """x weight[index] for an index for each matrix of x.

    Args:
      x: [..., rows, in].
      weight: [choices, in, out].
      indices: integers [...].
      sorted_indices: whether they ascend.

    Returns:
      [..., rows, out].
    """
    dtype = mx.result_type(x, weight)
    if dtype in HALF and on_cpu():
        # There, MLX has it in float32 only.
        x, weight = x.astype(mx.float32), weight.astype(mx.float32)
    return mx.gather_mm(x, weight, rhs_indices=indices, sorted_indices=sorted_indices).astype(dtype)


def on_cpu() -> bool:
    """Whether the CPU computes what names no device."""
    return mx.default_device() == mx.cpu
