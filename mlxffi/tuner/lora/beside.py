"""What PEFT's folders have beside factors: weights and biases of the model, rows of its embedding, biases of factors.

They belong into the tree of parameters. A copy that is what the tree has already, as PEFT keeps one of each embedding
with factors, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ... import core as mx
from .. import layers
from ..layers import Node
from ..trees import Tree, flatten
from .adapter import replaced
from .config import LoRAConfig
from .targets import OUTPUT_LAYER, is_embedding, layers_of


class Beside(NamedTuple):
    """Arrays by our names.

    Args:
      weights: parameters of the model by path.
      biases: of the second factors, by the layer's path: [out], scaled as the factors are.
      tokens: new rows of a weight, by the layer's path: their indices, [rows, width].
    """

    weights: dict[str, mx.array]
    biases: dict[str, mx.array]
    tokens: dict[str, tuple[list[int], mx.array]]

    def layers(self) -> set[str]:
        """The paths of the layers that weights belong to."""
        return {path.rpartition(".")[0] for path in self.weights}


NOTHING = Beside({}, {}, {})


def put_into(parameters: Tree, beside: Beside, config: LoRAConfig) -> tuple[Tree, list[str]]:
    """The tree with all of these parameters in place, or the tree itself if they change nothing.

    Args:
      parameters: the model's tree.
      beside: what a file holds besides factors: whole weights, rows of tokens, biases.
      config: the adapter's; its `bias` says which biases are trained.

    Returns:
      (the tree, a line for each array that has no place in it).
    """
    known, nodes = flatten(parameters), dict(layers_of(parameters))
    found: dict[str, mx.array] = {}
    problems = [*_put_weights(beside, known, nodes, found), *_put_tokens(beside, nodes, found)]
    problems += _put_biases(beside, config, nodes, found)
    return (replaced(parameters, found) if found else parameters), problems


def _put_weights(
    beside: Beside, known: Mapping[str, mx.array], nodes: Mapping[str, Node], found: dict[str, mx.array]
) -> Iterator[str]:
    for path, value in beside.weights.items():
        layer, _, part = path.rpartition(".")
        node = nodes.get(layer, {}) if part == "weight" else {}
        wanted = layers.dims(node) if node else known[path].shape if path in known else None
        if wanted is None or not _fits(layer, value.shape, wanted):
            yield f"{path}: expected {wanted or 'the name of a parameter'}, got {list(value.shape)}"
            continue
        is_packed = layers.is_quantized(node)
        same = value.astype(layers.dtype_of(node) if is_packed else known[path].dtype)
        if is_packed or value.shape != wanted or not mx.array_equal(same, known[path]):
            found[path] = same


def _put_tokens(beside: Beside, nodes: Mapping[str, Node], found: dict[str, mx.array]) -> Iterator[str]:
    for layer, (indices, rows) in beside.tokens.items():
        weight = found.get(f"{layer}.weight", layers.dense_weight(nodes[layer]) if layer in nodes else None)
        if weight is None or rows.shape != (len(indices), weight.shape[-1]) or max(indices) >= weight.shape[0]:
            yield f"{layer}: expected rows of one of the model's embeddings, got {list(rows.shape)}"
            continue
        changed = found[f"{layer}.weight"] = mx.array(weight)
        changed[mx.array(indices)] = rows.astype(weight.dtype)


def _put_biases(
    beside: Beside, config: LoRAConfig, nodes: Mapping[str, Node], found: dict[str, mx.array]
) -> Iterator[str]:
    for layer, bias in beside.biases.items():
        node = nodes.get(layer, {})
        if not node or bias.shape != layers.dims(node)[:-1]:
            yield f"{layer}: expected a layer of the model with {list(bias.shape)} outputs, got another or none"
            continue
        added, own = config.scale_of(layer) * bias.astype(mx.float32), found.get(f"{layer}.bias", node.get("bias"))
        found[f"{layer}.bias"] = added.astype(layers.dtype_of(node)) if own is None else (own + added).astype(own.dtype)


def _fits(layer: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a parameter may have a shape: that of the tree's, or one for another number of tokens."""
    resizable = is_embedding(layer) or layer.rpartition(".")[2] == OUTPUT_LAYER
    return shape == wanted or (resizable and len(shape) == len(wanted) and shape[1:] == wanted[1:])
