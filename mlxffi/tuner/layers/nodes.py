"""What a node holds of a layer: its weight, dense or quantized, and how it is quantized and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ... import core as mx
from ..._errors import ArgumentError

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


def is_quantized(node: Mapping[str, Any]) -> bool:
    """Whether a node's weight is packed.

    Args:
      node: of any layer.

    Returns:
      True where it has scales.
    """
    return "scales" in node


def quantization_of(node: Mapping[str, Any]) -> Quantization:
    """How a node's weight is quantized.

    Args:
      node: a quantized one.

    Returns:
      its group size, bits and mode.

    Raises:
      ValueError: the node does not say.
    """
    found = node.get("quantization")
    if not isinstance(found, Quantization):
        raise ArgumentError(f"[quantization] a node with scales needs a Quantization; got {type(found).__name__}")
    return found


def dims(node: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of a node's weight as it is when it is not packed.

    Args:
      node: dense or quantized.

    Returns:
      (..., out, in).

    Raises:
      ValueError: the node has scales and does not say how it is quantized.
    """
    shape: tuple[int, ...] = node["weight"].shape
    if not is_quantized(node):
        return shape
    return (*shape[:-1], shape[-1] * 32 // quantization_of(node).bits)


def dtype_of(node: Mapping[str, Any]) -> mx.Dtype:
    """The dtype of a node's weight as it is when it is not packed.

    Args:
      node: dense or quantized.

    Returns:
      A floating point dtype; scales that are bytes stand for bfloat16.
    """
    dtype: mx.Dtype = node["scales" if is_quantized(node) else "weight"].dtype
    return mx.bfloat16 if dtype == mx.uint8 else dtype


def dense_weight(node: Node) -> mx.array:
    """A node's weight, unpacked if it is quantized.

    Args:
      node: dense or quantized; its adapters do not count.

    Returns:
      floating point [..., out, in].

    Raises:
      ValueError: the node has scales and does not say how it is quantized.
    """
    if not is_quantized(node):
        weight: mx.array = node["weight"]
        return weight
    return mx.dequantize(node["weight"], node["scales"], node.get("biases"), **quantization_of(node).options())


def dequantized(node: Node) -> Node:
    """A node with its weight unpacked.

    Args:
      node: dense or quantized.

    Returns:
      the node itself where it is dense; else a new one, with the same bias and adapters.

    Raises:
      ValueError: the node has scales and does not say how it is quantized.
    """
    if not is_quantized(node):
        return node
    rest = {key: value for key, value in node.items() if key not in (*PACKED, "quantization")}
    return {**rest, "weight": dense_weight(node)}


def quantized(node: Node, quantization: Quantization) -> Node:
    """A node with its weight quantized.

    Args:
      node: a dense one, or one that is quantized already, perhaps in another way.
      quantization: how.

    Returns:
      a new node, with the same bias and adapters.

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

    Returns:
      a new node, with the same bias and adapters.

    Raises:
      ValueError: the width is no multiple of the group size.
    """
    dense = {**dequantized(node), "weight": weight}
    return quantized(dense, quantization_of(node)) if is_quantized(node) else dense
