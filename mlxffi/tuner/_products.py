"""Products with the weights of layers, by the fastest way that the device has.

MLX's products with packed weights are slow on CPUs (measured on two cores, 512 rows by 1024 x 1024, 4 bits: 458 ms, and
7 in the way below). There, packed weights are unpacked first where they are used for more than a few rows. Unpacked
weights live until the backward pass has used them: checkpoints of blocks bound that.
"""

from __future__ import annotations

import math
from typing import Any

from .. import core as mx

# From so many rows on, unpacking a weight costs less on a CPU than it saves.
UNPACKED_ROWS = 8

HALF = (mx.float16, mx.bfloat16)


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
    if not _on_cpu() or math.prod(x.shape[:-1]) < UNPACKED_ROWS:
        return mx.quantized_matmul(x, weight, scales, biases, **options)
    # Packed weights get no gradient, also where they are arguments of a checkpoint.
    offsets = None if biases is None else mx.stop_gradient(biases)
    unpacked = mx.dequantize(mx.stop_gradient(weight), mx.stop_gradient(scales), offsets, **options)
    dtype = x.dtype if biases is None else mx.result_type(x, scales)
    return x.astype(dtype) @ unpacked.astype(dtype).swapaxes(-1, -2)


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
    if dtype in HALF and _on_cpu():
        # There, MLX has it in float32 only.
        x, weight = x.astype(mx.float32), weight.astype(mx.float32)
    return mx.gather_mm(x, weight, rhs_indices=indices, sorted_indices=sorted_indices).astype(dtype)


def _on_cpu() -> bool:
    return mx.default_device() == mx.cpu
