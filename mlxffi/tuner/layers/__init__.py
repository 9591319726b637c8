"""Layers as pure functions over nodes: dense, quantized and adapted ones alike.

A node is a dict of what a layer has: `weight` [out, in] and perhaps `bias` [out]; for expert layers [experts, out, in]
and [experts, out]. In a quantized node `weight` is packed, and `scales`, `biases` (affine mode only) and
`quantization`, a `Quantization`, say how. An adapted node also has `adapters`, a tuple of dicts: the factors `lora_a`
and `lora_b`, for DoRA the magnitudes `m`, and `scaling`, a `Scaling`.
"""

from .adapters import Survival, adapted_weight, factors, gain, row_norms, surviving, update, without_adapter
from .forward import as_linear, embedding, head, linear, on_cpu, operand, switch_linear
from .nodes import (
    PACKED,
    Kind,
    Node,
    Quantization,
    Scaling,
    dense_weight,
    dequantized,
    dims,
    dtype_of,
    is_quantized,
    quantization_of,
    quantized,
    requantized,
)

__all__ = [
    "PACKED",
    "Kind",
    "Node",
    "Quantization",
    "Scaling",
    "Survival",
    "adapted_weight",
    "as_linear",
    "dense_weight",
    "dequantized",
    "dims",
    "dtype_of",
    "embedding",
    "factors",
    "gain",
    "head",
    "is_quantized",
    "linear",
    "on_cpu",
    "operand",
    "quantization_of",
    "quantized",
    "requantized",
    "row_norms",
    "surviving",
    "switch_linear",
    "update",
    "without_adapter",
]
