"""What adapters change of a layer's weight.

That depends on the weight alone, so several adapters are independent of each other and of their order: with
D = scale * (its factors' product), LoRA changes W by D, and DoRA by g (W + D) - W, g = m / |W + D| for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ... import core as mx
from .nodes import Kind, Node, dense_weight, is_quantized, requantized


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
    """What LoRA adds to a weight: scale * (the factors' product).

    Args:
      adapter: `lora_a`, `lora_b` and `scaling`.
      kind: of the layer.

    Returns:
      [..., out, in], in the dtype of the factors.

    Source: Hu et al. 2021 (LoRA), section 4.1.
    """
    down, up = factors(adapter, kind)
    return (scale_of(adapter) * up.swapaxes(-1, -2)) @ down.swapaxes(-1, -2)


def gain(weight: mx.array, adapter: Node, kind: Kind) -> mx.array:
    """By what DoRA multiplies each row of an updated weight: its magnitude by the row's norm, which gets no gradient.

    Args:
      weight: floating point [..., out, in], not packed.
      adapter: its factors, magnitudes and `scaling`.
      kind: of the layer.

    Returns:
      [..., out].

    Source: Liu et al. 2024 (DoRA), sections 4.1 and 4.3.
    """
    return ratio(adapter["m"], weight + update(adapter, kind))


def adapted_weight(node: Node, kind: Kind) -> mx.array:
    """A node's weight, unpacked, with what its adapters change.

    Args:
      node: dense or quantized, with any number of adapters.
      kind: of the layer.

    Returns:
      [..., out, in], summed in float32, in the dtype of the weight.
    """
    weight = dense_weight(node)
    changed = weight.astype(mx.float32)
    for adapter in node.get("adapters", ()):
        change = update(adapter, kind)
        if "m" in adapter:
            change = rescaled(weight, change, gain(weight, adapter, kind)[..., None])
        changed = changed + change
    return changed.astype(weight.dtype)


def without_adapter(node: Node, adapter: Node, kind: Kind, gains: mx.array | None = None) -> mx.array:
    """A node's weight, unpacked, as it was before an adapter was fused into it, but for rounding.

    Args:
      node: with the fused weight.
      adapter: was fused into it; one with magnitudes as the only one.
      kind: of the layer.
      gains: for an adapter with magnitudes, what `gain` gave for the weight without it: [..., out].

    Returns:
      [..., out, in], in the dtype of the node's weight.
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
    """What is left of adapters that are fused into weights which are quantized then.

    Args:
      adapted: nodes and their kinds.
      rounded: what a fused weight comes to; None where quantized nodes are quantized again as they were.

    Returns:
      sums over all nodes; None where no weight is quantized.
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
    """The 2-norms of a weight's rows.

    Args:
      weight: floating point [..., out, in].

    Returns:
      float32 [..., out].
    """
    return mx.linalg.norm(weight.astype(mx.float32), axis=-1)


def ratio(magnitudes: mx.array, rows: mx.array) -> mx.array:
    """Magnitudes by the norms of rows, which get no gradient.

    Args:
      magnitudes: [...].
      rows: [..., in].

    Returns:
      [...].
    """
    norms = mx.stop_gradient(row_norms(rows))
    # A row of zeros (tables are padded with them) stays one.
    return magnitudes / mx.where(norms == 0, 1, norms)


def rescaled(y: mx.array, z: mx.array, gains: mx.array) -> mx.array:
    """By what y differs from gains (y + z); as a sum, which in half precision keeps what is left of small gains.

    Args:
      y: [...].
      z: what is added to it, [...].
      gains: broadcast against them.

    Returns:
      [...].
    """
    return (gains - 1) * y + gains * z


def scale_of(adapter: Node) -> float:
    """What multiplies the product of an adapter's factors.

    Args:
      adapter: with its `scaling`.

    Returns:
      the scale, any float.
    """
    scale: float = adapter["scaling"].scale
    return scale
