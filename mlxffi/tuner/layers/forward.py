"""What a layer computes of its inputs, with what its adapters add."""

from __future__ import annotations

from typing import Any

from ... import core as mx
from ...blocks import Linear
from ...fused import lora_linear
from ...losses import Head
from .adapters import factors, gain, ratio, rescaled, scale_of
from .nodes import PACKED, Kind, Node, dense_weight, is_quantized, quantization_of

HALF = (mx.float16, mx.bfloat16)
# From how many rows on a GPU unpacks a weight to multiply by it.
MANY_ROWS = 128


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
        out: mx.array = lora_linear(x, node["weight"], only["lora_a"], only["lora_b"], scale_of(only), **packing)
        return out + node["bias"] if "bias" in node else out
    shape, x = x.shape, x.reshape(-1, x.shape[-1])  # one axis of rows: gradients of factors are no sums over a batch
    out = y = _product(node, x)
    for adapter in adapters:
        # Factors, which are small, become what activations are, not the other way round; so does the scale.
        down, up = factors(adapter, kind)
        scale = scale_of(adapter)
        down, up = down.astype(y.dtype), (up if scale == 1 else scale * up).astype(y.dtype)
        hidden = _dropped(x, adapter, training) @ down
        if "m" in adapter:
            change = rescaled(y, hidden @ up, gain(dense_weight(node), adapter, kind))
            out = out + change.astype(y.dtype)
        else:
            out = mx.addmm(out, hidden, up)
    out = out + node["bias"] if "bias" in node else out
    return out.reshape(*shape[:-1], out.shape[-1])


def head(node: Node) -> Head | None:
    """An output layer as losses that need no logits take it.

    Args:
      node: that of a linear layer or an embedding.

    Returns:
      its weight [out, in] and bias, packed as the node's are; None where the node has adapters.
    """
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
        z = scale_of(adapter) * (adapter["lora_a"][ids] @ adapter["lora_b"])
        change = _dropped(z, adapter, training)
        if "m" in adapter:
            change = rescaled(y, change, ratio(adapter["m"][ids], y + z)[..., None])
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
        change = scale_of(adapter) * chosen(chosen(_dropped(x, adapter, training), down), up)
        if "m" in adapter:
            gains = gain(dense_weight(node), adapter, "switch")[indices]
            change = rescaled(y, change, mx.expand_dims(gains, -2))
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
    """A linear layer as a `DecoderBlock` takes it.

    Args:
      node: as for `linear`.

    Returns:
      its weight, bias and factors; None for several adapters and for DoRA, which a block does not have.
    """
    adapters = node.get("adapters", ())
    if len(adapters) > 1 or any("m" in adapter for adapter in adapters):
        return None
    parts: dict[str, Any] = {"bias": node.get("bias"), **_packing(node)}
    if adapters:
        parts |= {"a": adapters[0]["lora_a"], "b": adapters[0]["lora_b"], "scale": scale_of(adapters[0])}
    return Linear(node["weight"], **parts)


def _product(node: Node, x: mx.array) -> mx.array:
    if not is_quantized(node):
        return dense_product(x, node["weight"])
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


# --- products with weights, by the fastest way that the device has ---


def dense_product(x: mx.array, weight: mx.array) -> mx.array:
    """x weight^T.

    Args:
      x: [rows, in].
      weight: [out, in].

    Returns:
      [rows, out].
    """
    if on_cpu():
        found: mx.array = x @ weight.swapaxes(-1, -2)
        return found

    @mx.custom_function
    def product(x: mx.array, weight: mx.array) -> mx.array:
        found: mx.array = x @ weight.swapaxes(-1, -2)
        return found

    # A weight's gradient lies as the weight does: what an optimizer reads beside it, it reads in order.
    @product.vjp
    def back(primals: list[mx.array], cotangent: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:
        x, weight = primals
        return cotangent @ weight, cotangent.swapaxes(-1, -2) @ x

    result: mx.array = product(x, weight)
    return result


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
    # each time, they depend on what they are multiplied by.
    def unpacked(rows: mx.array) -> mx.array:
        again = mx.depends(parts, [rows])[: len(parts)]
        return mx.stop_gradient(mx.dequantize(*again, **options).astype(rows.dtype))

    @mx.custom_function
    def product(x: mx.array) -> mx.array:
        found: mx.array = x @ unpacked(x).swapaxes(-1, -2)
        return found

    @product.vjp
    def back(_: mx.array, cotangent: mx.array, __: mx.array) -> mx.array:
        found: mx.array = cotangent @ unpacked(cotangent)
        return found

    result: mx.array = product(x)
    return result


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
